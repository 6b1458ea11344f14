/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_io - the functions of io/ with a made-up network, clock and process table.
 *
 * A test links the program's `core` with this instead of `io`. The program does not notice; the test
 * holds the other end of every connection as a `struct fake_peer` and moves the clock by hand.
 *
 *   program                                test
 *   io_connect("api:443") --------------> rule of fake_target("api", 443) -> on_peer(peer)
 *   io_listen("127.0.0.1:8484") <-------- fake_client_connect(loop, "127.0.0.1:8484") -> peer
 *   on_data <-- cut as the test says <--- fake_peer_send(peer)
 *   io_stream_write -- up to the window -> fake_peer_received(peer)
 *
 * Nothing happens inside a fake_peer_...() call: what the test does is seen by the program in the next
 * fake_run() or fake_advance(). Order is that of creation, cuts are random only from a given seed, the
 * clock stands still unless advanced: the same test always does the same.
 *
 * What stands in for the program's own memory (streams, connects, kept output) comes from mem_alloc()
 * and can be refused; the test's side (peers, what they received) comes from malloc(3), so that a
 * refused allocation hits the program and never the script.
 */
#ifndef TEST_LIB_FAKE_IO_H
#define TEST_LIB_FAKE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strv.h"
#include "io/io.h"

/* ---- running ---- */

/* Runs until nothing can happen without time passing. io_loop_run() is the same. */
void fake_run(struct io_loop *loop);
/* Runs, then lets time pass and fires timers one after the other at their own times. */
void fake_advance(struct io_loop *loop, uint64_t ms);
/* How long until the next timer fires, in ms rounded up; UINT64_MAX when none runs. */
uint64_t fake_next_timer_ms(struct io_loop *loop);
void fake_set_wall_us(struct io_loop *loop, int64_t unix_us);
void fake_raise(struct io_loop *loop, int signum);
/* Waits (in real time, at most 10 s) until a thread has called io_post(); false if none has. For tests
 * of what has a thread of its own; follow with fake_run(). */
bool fake_wait_post(struct io_loop *loop);
/* Frees the loop and all that is left. Returns how many things the program forgot: streams, listeners,
 * connects, timers, children; each is named on standard error. TLS settings are counted apart. */
size_t fake_end(struct io_loop *loop);
size_t fake_tls_live(void);

/* ---- the program connects ---- */

struct fake_peer;

enum fake_answer {
    FAKE_ACCEPT,
    FAKE_REFUSE,
    FAKE_HANG,    /* no answer until connect_ms has passed */
    FAKE_NO_NAME, /* IO_DNS */
    FAKE_UNREACHABLE,
    FAKE_TLS_FAILURE, /* IO_TLS; for a plain target it accepts */
    FAKE_NO_ROOM,     /* IO_NO_MEMORY: out of descriptors */
};

struct fake_rule {
    enum fake_answer answer;
    uint64_t after_ms; /* how long it takes to accept or refuse */
    unsigned times;    /* for the next so many connects; 0 = from now on */
    /* Our end of an accepted connection, before the program gets its own; may be NULL. */
    void (*on_peer)(void *arg, struct fake_peer *peer);
    void *arg;
};

/* Rules with `times` are used up in order of their making; then the newest standing rule holds. A target
 * without any rule refuses. A UNIX socket is its path and port 0. */
void fake_target(struct io_loop *loop, const char *host, uint16_t port,
                 const struct fake_rule *rule);
/* What a name resolves to, for `allow`. Otherwise literals are themselves, "localhost" is 127.0.0.1 and
 * any other name is 203.0.113.1, which is nobody's. */
void fake_resolve(struct io_loop *loop, const char *name, const char *literal);
/* Connects that are not decided yet. */
size_t fake_connecting(struct io_loop *loop);
/* Connects asked for so far. */
size_t fake_connects(struct io_loop *loop);

/* ---- a caller connects ---- */

/* NULL if the program does not listen there. `from` is the caller's address, NULL = 127.0.0.1. */
struct fake_peer *fake_client_connect(struct io_loop *loop, const char *address, const char *from);

/* ---- the other end of a connection ---- */

enum fake_state {
    FAKE_OPEN,
    FAKE_FINISHED, /* the program has said that it sends no more (io_stream_finish) */
    FAKE_CLOSED,   /* cleanly; also after FINISHED */
    FAKE_ABORTED,  /* by a reset (io_stream_abort) */
};
#define FAKE_UNLIMITED SIZE_MAX

void fake_peer_send(struct fake_peer *p, const void *data, size_t len);
void fake_peer_send_cstr(struct fake_peer *p, const char *text);
/* Bytes per read of the program: 0 = all there is. Holds for what is not delivered yet. */
void fake_peer_cut(struct fake_peer *p, size_t bytes);
/* Cuts of 1 to 64 bytes by a generator with this seed. */
void fake_peer_cut_random(struct fake_peer *p, uint64_t seed);
/* For peers made from now on; as fake_peer_cut(). */
void fake_cut(struct io_loop *loop, size_t bytes);
/* Sends no more; the program gets IO_EOF after the data (IO_TRUNCATED if `truncated`, as TLS has it). */
void fake_peer_eof(struct fake_peer *p, bool truncated);
void fake_peer_reset(struct fake_peer *p);
/* How many more bytes the peer takes; then io_stream_pending() grows. */
void fake_peer_window(struct fake_peer *p, size_t bytes);
/* What the program has sent, until fake_peer_eat() or the next run. */
strv fake_peer_received(const struct fake_peer *p);
void fake_peer_eat(struct fake_peer *p, size_t n);
enum fake_state fake_peer_state(const struct fake_peer *p);
/* The test has ended it: fake_peer_eof() or fake_peer_reset() was called. */
bool fake_peer_over(const struct fake_peer *p);
/* Sent by us and not taken by the program: back-pressure, or it has closed. */
size_t fake_peer_unread(const struct fake_peer *p);
/* Written by the program but dropped because it closed before the window let it out. */
size_t fake_peer_lost(const struct fake_peer *p);
const char *fake_peer_target(const struct fake_peer *p); /* "host:port" as the program named it */
struct io_tls *fake_peer_tls(const struct fake_peer *p); /* NULL = plain */
/* fn is called from fake_run() after bytes have arrived or the state has changed; it may use every
 * fake_peer function. For scripts that answer by themselves. */
void fake_peer_watch(struct fake_peer *p, void (*fn)(void *arg, struct fake_peer *p), void *arg);
/* The test has seen enough of it; a live connection is reset. Else peers go with fake_end(). */
void fake_peer_free(struct fake_peer *p);

/* ---- child processes ---- */

/* Told of every start; may be NULL. Children live (as records) until fake_end(). */
void fake_on_child(struct io_loop *loop, void (*fn)(void *arg, struct io_child *c), void *arg);
/* The next start fails with this text. */
void fake_child_refuse(struct io_loop *loop, const char *why);
size_t fake_children(struct io_loop *loop);                      /* running */
const char *fake_child_argv(const struct io_child *c, size_t i); /* NULL past the end */
const char *fake_child_env(const struct io_child *c, const char *name);
bool fake_child_running(const struct io_child *c);
/* Last signal sent by the program, 0 = none. SIGTERM and SIGKILL end the child in the next turn; a
 * stubborn one only dies of SIGKILL. */
int fake_child_signal(const struct io_child *c);
void fake_child_stubborn(struct io_child *c, bool stubborn);
void fake_child_line(struct io_child *c, const char *line);
void fake_child_exit(struct io_child *c, int status, int signal);
/* The child's end of its standard input and output, if it talks. Ends when the child does. */
struct fake_peer *fake_child_peer(const struct io_child *c);

#endif
