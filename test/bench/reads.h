/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reads - how long it takes to read each of some texts, and what of that is the machine's.
 *
 * Each text is read READS times, and all the others in between. A reading that an interrupt or another process fell
 * into is one of a text's readings: the one in the middle is what the program needs for it. So there are two
 * distributions: of single readings, machine and all, and of texts.
 *
 * Texts are windows of one long text. Windows that are read one after the other are far apart: one that shares most of its
 * words with the one before costs a fifth less, and no new text is like that.
 */
#ifndef READS_H
#define READS_H

#include <stddef.h>

enum { READS = 5, READS_TEXTS = 4000 };

/* Where the i-th window begins, below `range`. */
size_t reads_place(size_t i, size_t range);

/* Reads all texts and prints a line of JSON for this size. `read_one` returns the nanoseconds that the i-th one took. */
void reads_measure(size_t size, double (*read_one)(void *context, size_t i), void *context);

double reads_now_ns(void);

#endif
