/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - make load, and say what came of it in one JSON object.
 *
 *   load.c    the modes: closed rate streams idle leavers; arguments; the report
 *   peer.c    one connection: the request out, the reply in, told apart event by event
 *   measure.c histograms; the CPU time and memory of a watched process
 *
 * Every connection sends the same request. Stream events carry the stand-in's clock in their text ("t=NANOSECONDS ",
 * knob "stamp"), so the delay of each is known without any state: what the relay added is the difference to a run
 * without it. One thread; it shares its core with the stand-in, never with what is measured.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- measure.c ---- */

#define HIST_SUB 128 /* steps for each doubling: values are right to 0.8 percent */

struct hist {
    uint64_t n, max, sum;
    uint32_t count[64 * HIST_SUB];
};

void hist_add(struct hist *h, uint64_t ns);
void hist_clear(struct hist *h);
void hist_print(const char *name, const struct hist *h); /* a JSON member, in microseconds */

struct usage {
    uint64_t cpu_ns, wait_ns, rss_kb, pss_kb, fds;
};

#define WATCH_MAX 16

bool usage_read(const int *pids, size_t n, struct usage *u);
uint64_t now_ns(void);

/* ---- peer.c ---- */

enum peer_state { PEER_OFF, PEER_CONNECT, PEER_SEND, PEER_READ, PEER_IDLE };
enum peer_end { END_FINE, END_STATUS, END_ERROR_EVENT, END_CUT, END_BAD, END_CONNECT };

struct peer {
    int fd;
    enum peer_state state;
    size_t sent;
    uint64_t due_ns, begin_ns, last_event_ns, leave_ns;
    uint32_t events, requests;
    bool terminated, in_error, stalled;
    /* the reply so far */
    int part, status;
    uint64_t left;
    bool keep;
    char *carry; /* an incomplete head or line */
    size_t carry_len;
};

struct load {
    const char *path, *host_header, *extra_headers;
    char *request; /* head and body */
    size_t request_len;
    size_t *fresh; /* where the numbers are that --fresh changes */
    size_t fresh_count;
    uint64_t fresh_no;
    bool streaming;
    uint64_t gap_ns;
    int poller;
    struct hist delay, first;
    bool measuring;
    uint64_t events, stalls;
    void (*done)(struct peer *p, enum peer_end end);
};

extern struct load load;

void peer_begin(struct peer *p, uint64_t due_ns); /* connects when it must, and sends */
void peer_ready(struct peer *p, uint32_t events);
void peer_close(struct peer *p, bool abruptly);
void request_build(const char *host, const char *path, const char *dialect, const char *model,
                   size_t size, bool stream, const char *headers);
bool peer_address(const char *host, int port);

#endif
