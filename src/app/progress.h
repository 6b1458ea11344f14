/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress - how far a download is: from the lines of an Ollama to what a person reads.
 *
 *   {"status":"pulling manifest"}
 *   {"status":"pulling a80c4f17acd5","digest":"sha256:a80c...","total":2019377376,"completed":104857600}
 *   {"status":"success"}
 *
 * A model comes in layers, one after the other or several at a time; how many is told bit by bit. The sums
 * over all of them are what is shown. What a layer has when it is first told of in an attempt was there
 * before: it counts as done, but not as speed. Pure: time is an argument, nothing is printed here. Every
 * figure and word is the server's and may be wrong: sums stay in range and text is cleaned.
 */
#ifndef APP_PROGRESS_H
#define APP_PROGRESS_H

#include <stdbool.h>

#include "base/base.h"

#define PROGRESS_LAYERS_MAX 64 /* a model has five or so; more are not told apart */

struct progress {
    struct progress_layer {
        char digest[80];
        int64_t total, completed;
        bool seen; /* in this attempt */
    } layers[PROGRESS_LAYERS_MAX];
    size_t n;
    int64_t total, completed; /* over all layers */
    int64_t moved;            /* what arrived under our eyes, over all attempts */
    char status[128];         /* the last one, "" = none yet */
    bool in_layer;            /* ... and it was about a layer's bytes */
    char error[400];          /* the server's words; "" = none */
    bool success;

    double rate; /* bytes per second, smoothed; 0 = not known yet */
    int64_t mark_us, mark_moved;
};

/* A new attempt begins. */
void progress_begin(struct progress *p, int64_t now_us);
/* Reads one line. False: it is none of an Ollama's. */
bool progress_take(struct progress *p, strv line, struct arena *scratch, int64_t now_us);
/* The same for bytes that are counted here: so many of so many are done. */
void progress_moved(struct progress *p, int64_t completed, int64_t total, int64_t now_us);
/* Seconds until the layers known so far are complete; -1 = not known. */
int64_t progress_seconds_left(const struct progress *p);

/* "512 B", "12.3 MB", "2.0 GB" */
void progress_put_bytes(struct buf *out, int64_t bytes);
/* "45 s", "3 min 20 s", "2 h 5 min" */
void progress_put_seconds(struct buf *out, int64_t seconds);
/* One line without an end: the status, or how much there is of how much, how fast and how much longer. */
void progress_put_line(struct buf *out, const struct progress *p, const char *name);
/* The same for `width` columns of a terminal, with a bar where there is room. */
void progress_put_bar(struct buf *out, const struct progress *p, const char *name, size_t width);

#endif
