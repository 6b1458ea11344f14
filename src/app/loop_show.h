/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_show - how far a loop is: on a terminal one line that is drawn again (rounds, best score, the latest scores as a
 * curve), elsewhere a line for what is worth one. Pure but for the writing; texts are cleaned.
 */
#ifndef APP_LOOP_SHOW_H
#define APP_LOOP_SHOW_H

#include "advisor/advisor.h"

struct loop_show {
    bool quiet, tty, color;
    bool drawn; /* a line without an end is on the terminal */
};

void loop_show_round(struct loop_show *s, const struct loop *l);
/* The last question's answer. */
void loop_show_advice(struct loop_show *s, const struct loop *l);
void loop_show_end(struct loop_show *s, const struct loop *l);
/* Before anything else is printed. */
void loop_show_clear(struct loop_show *s);
/* The line for a terminal of so many columns. */
void loop_show_line(struct buf *out, const struct loop *l, size_t width);

#endif
