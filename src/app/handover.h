/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handover - one process of the router takes over from another, and nobody who calls notices.
 *
 *   old                                    new (serve --take-over, reload)
 *    | <---------- take, its protocol ------ |
 *    | -- side, sockets it listens on -----> |   opens everything but the audit
 *    | <------------------------- yield ---- |
 *    |  its audit lets the files go          |
 *    | -- yielded, a socket for records ---> |   goes on with the chain; listens
 *    | <------------------------- ready ---- |
 *    |  drains; its records go over there    |
 *    | -- done ----------------------------> |
 *
 * The sockets are the same ones, not others on the same port: who waits in their backlog waits for either. Whatever goes
 * wrong up to `ready` (the new one exits, says nothing, is of a version that talks otherwise), the old one goes on as
 * if nothing had been. One at a time: as long as an older process still finishes its streams there is no other handover.
 *
 * The socket lies in the state folder (io/pass.h), since that is what there can be only one router of. It is served by a
 * thread of its own, which may wait. `reload` asks there as well, which program's file the router was started from.
 */
#ifndef APP_HANDOVER_H
#define APP_HANDOVER_H

#include "app/app.h"
#include "ledger/ledger.h"

struct handover;

struct handover_env { /* calls come on the loop's thread */
    struct io_loop *loop;
    struct log *log; /* only its level and descriptor are looked at */
    struct audit *audit;
    void (*given)(void *arg, pid_t to);
    void (*reload)(void *arg);
    void *arg;
};

struct handover *handover_new(struct err *err);
void handover_free(struct handover *h); /* before the audit and the loop */

/* ---- the new process; each waits ---- */

/* Asks the router of this state folder for its sockets. True without handover_is_on(): nobody is there to ask. */
bool handover_take(struct handover *h, const char *state_dir, struct err *err);
bool handover_is_on(const struct handover *h);
/* Which names the engines' sockets have: not the old process's. */
bool handover_side(const struct handover *h);
/* Sockets that systemd has opened already ($LISTEN_FDS), for the addresses of `listen`. */
void handover_activated(struct handover *h, const char *const *listen);
/* How many sockets there are for an address as it stands in the configuration, and the n-th, the caller's. */
size_t handover_count(const struct handover *h, const char *address);
int handover_socket(const struct handover *h, const char *address, size_t n);
/* The audit's files are free; the descriptor for audit_take(). */
bool handover_audit(struct handover *h, int *records, struct err *err);
/* All is there: the old process drains. What was not claimed is closed. */
bool handover_done(struct handover *h, struct err *err);

/* ---- a process that serves ---- */

/* Remembers a socket for whoever takes over, and owns the descriptor. */
void handover_keep(struct handover *h, const char *address, int fd);
/* Answers at the state folder's socket from now on. */
bool handover_serve(struct handover *h, const char *state_dir, const struct handover_env *env,
                    struct err *err);
/* Nothing is given any more. */
void handover_close(struct handover *h);

/* ---- the command reload ---- */

enum handover_found { HANDOVER_NOBODY, HANDOVER_SAME, HANDOVER_OTHER, HANDOVER_FAILED };
/* Is the running router of the same program's file? Then it is told to read its configuration again. */
enum handover_found handover_reload(const char *state_dir, struct err *err);

#endif
