/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session - the state machine of a conversation, on its home worker.
 *
 *   LOAD > IDLE --user_message--> ANSWER --whole--> IDLE
 *                                   |  --interrupt--> IDLE at once, the provider's connection cut
 *                                   |  --a second user_message--> queued (one); a third: notice busy
 *
 * Exactly one of complete, interrupted, error ends an answer. Private stays private: once a session is, its mode is local
 * for what is private and never widens. A session without seats lives on while it is answered, then until it is quiet for
 * a while; then only the file has it.
 */
#ifndef CHAT_SESSION_H
#define CHAT_SESSION_H

#include "agent/agent.h"
#include "chat/keep.h"
#include "chat/seat.h"

struct chat_conf { /* of a configuration */
    size_t session_bytes_max, message_bytes_max;
    size_t sessions_live_max;            /* in memory, of a worker */
    uint64_t quiet_ms;                   /* without seats: out of memory after this */
    int64_t messages_min, messages_hour; /* of a user; 0 = no limit */
    const char *titles; /* role or model that makes titles and summaries; always local. NULL: titles
                           are first words, summaries are made by whatever routing finds */
};

struct chat_room_env {
    struct exchange_env *exchange;
    struct agent_env *agent;        /* NULL = no tools */
    struct chat_keep *keep;         /* NULL = nothing is kept */
    const struct chat_conf *conf;   /* of the present snapshot; swapped on the room's loop */
    struct chat_room *const *rooms; /* of all workers, by number */
    size_t n_rooms;
};
struct chat_room *chat_room_new(const struct chat_room_env *env); /* NULL: no memory */
size_t chat_room_seats(const struct chat_room *r);                /* of this worker's sockets */
void chat_room_free(struct chat_room *r); /* after chat_rooms_settle() and the loop; NULL is fine */
void chat_room_conf(struct chat_room *r, const struct chat_conf *conf);
/* No new seats; those of sessions that nothing runs in are shut with 1001 at once, the others after their answer. `empty`
 * comes once, when this worker has neither a seat nor a running answer any more; maybe from inside. */
void chat_room_drain(struct chat_room *r, void (*empty)(void *arg), void *arg);
/* The process ends: running answers end as interrupted, kept, and every seat is shut with 1001. */
void chat_room_stop(struct chat_room *r);
/* By the main thread, when the workers' threads have ended, their loops are still there and all seats have risen: what is
 * under way between rooms arrives. No room calls another any more, nor the file, which may be closed then. */
void chat_rooms_settle(struct chat_room *const *rooms, size_t n);
/* Deletion or renaming by REST, of a session that may be live here or elsewhere. fn on `loop`. BUSY as FAILED. */
bool chat_room_rename(struct chat_room *here, const char *user, const char *id, strv title,
                      chat_done_fn fn, void *arg);
bool chat_room_delete(struct chat_room *here, const char *user, const char *id, chat_done_fn fn,
                      void *arg);

#endif
