/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker - one thread: its loop, listeners, upstream pools, exchanges. Workers share nothing but the
 * configuration snapshot (counted) and the provider cells (locked).
 *
 * Made and freed by the main thread while the worker's own does not run; in between, spoken to by messages.
 */
#ifndef APP_WORKER_H
#define APP_WORKER_H

#include <pthread.h>
#include <semaphore.h>

#include "admin/admin.h"
#include "agent/agent.h"
#include "app/app.h"
#include "app/sandbox.h"
#include "chat/chat.h"

struct worker {
    unsigned number;
    struct io_loop *loop;
    struct http_client *client;
    struct http_server *server;
    struct rng rng;
    struct log log;
    struct metrics *metrics;
    struct exchange_env env;
    struct api api;
    struct admin admin;
    struct agent_env agent;
    struct gateway *gateway;
    struct chat_room *room;
    struct io_timer tick, leave;
    pthread_t thread;
    bool running;
    bool exposed; /* an address that is not loopback is listened on: nobody gets in without a key */
    uint64_t grace_ms;             /* of the drain */
    sem_t entered;                 /* the thread is where it belongs, or refused */
    int refused;                   /* errno */
    const struct sandbox *sandbox; /* the thread enters it; NULL = all are in it, or none */
    unsigned draining;             /* how many of HTTP and the chat are not empty yet */
    void (*on_drained)(void *arg, struct worker *w); /* on the worker's thread */
    void *arg;
};

/* Everything but the thread. */
bool worker_init(struct worker *w, unsigned number, const struct config *c,
                 struct policy_keys *keys, enum log_level level, struct err *err);
/* Then /mcp is served; after w->agent is set. */
bool worker_open_gateway(struct worker *w, struct gateway_hall *hall, struct err *err);
/* Then there are conversations; before any worker is started. rooms: of all workers, filled when each has its own. */
bool worker_open_room(struct worker *w, struct chat_keep *keep, struct chat_room *const *rooms,
                      size_t n_rooms, struct err *err);
bool worker_listen(struct worker *w, strv address, bool shared, const char **bound,
                   struct err *err);
/* The same on a socket that another process has handed over; `fd` is the worker's from here on. */
bool worker_listen_on(struct worker *w, strv address, int fd, const char **bound, struct err *err);
/* A second descriptor, the caller's, of the socket that was listened on last. */
int worker_last_fd(const struct worker *w);
bool worker_start(struct worker *w, struct err *err);
/* Messages; any thread. Configuration and keys are referenced until taken over. */
bool worker_take_config(struct worker *w, const struct config *c);
bool worker_take_keys(struct worker *w, struct policy_keys *keys);
bool worker_take_tools(struct worker *w, struct agent_index *index);
/* Not ready any more, though what comes is answered. */
void worker_leave(struct worker *w);
/* grace_ms: what idle connections have for one more request; 0: they are closed, and what still comes is refused. */
void worker_drain(struct worker *w, uint64_t grace_ms);
void worker_stop(struct worker *w); /* now; then join */
void worker_join(struct worker *w);
void worker_fini(struct worker *w);

#endif
