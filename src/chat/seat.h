/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seat - a socket's end of a session. Everything here is called on the socket's thread, and calls back on it.
 *
 *   chat_sit() > frame()... <- chat_say() ... chat_rise() > risen()
 */
#ifndef CHAT_SEAT_H
#define CHAT_SEAT_H

#include <stdatomic.h>

#include "base/base.h"
#include "chat/keep.h"
#include "policy/policy.h"

/* A frame: JSON text, shared by all seats it goes to. Counted; any thread. */
struct chat_frame {
    atomic_uint refs;
    size_t len;
    char text[];
};
struct chat_frame *chat_frame_ref(struct chat_frame *f);
void chat_frame_unref(struct chat_frame *f);

struct chat_user {
    char id[CHAT_USER_MAX + 1];
    char name[65];
    char address[64];             /* for log and audit */
    struct policy_keys *keys;     /* held by the seat as long as it lasts; NULL = none */
    const struct policy_key *key; /* his rules; NULL = none */
    bool admin;                   /* may approve what others' calls wait for */
    int64_t until_us;             /* wall clock: his login ends; 0 = it does not */
};

struct chat_sit {
    struct chat_user user;
    char session[CHAT_SESSION_MAX + 1]; /* "" = make one up */
    enum llm_mode mode;                 /* of a new session; UNSET = the configuration's */
    strv model;                         /* of a new session; "" = auto */
};
struct chat_seat_ops {
    void (*frame)(void *arg, struct chat_frame *f); /* to be sent; the callee refs what it keeps */
    void (*shut)(void *arg, unsigned code, const char *reason); /* no frame comes after it */
    void (*risen)(void *arg); /* after chat_rise(): the last call of all */
};

struct chat_room; /* the sessions whose home is this worker; session.h */
struct chat_seat;
/* NULL: no memory. Callbacks come later, never from inside; the first frame is `connected`, unless it is shut. */
struct chat_seat *chat_sit(struct chat_room *here, const struct chat_sit *s,
                           const struct chat_seat_ops *ops, void *arg);
/* A message of the client's. False: no memory, or so many wait that it is to be closed (1013). */
bool chat_say(struct chat_seat *seat, strv text);
/* The socket is gone. */
void chat_rise(struct chat_seat *seat);

#endif
