/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sticky - which conversations were private before.
 *
 *   request -> keys of its conversation -> seen before as private?
 *
 * A conversation is known again by the session that its caller names, and by its own beginning: a digest over
 * its first messages. A request is a later turn of every earlier request whose messages it begins with. Both
 * are kept apart by API key. System messages do not count: applications write the time of day into them.
 *
 * Only tightens: what is in the table is private, what is not has still been read like any other text. So
 * what the table forgets (a restart, after STICKY_AGE_US, the oldest of a full bucket) loses only what cannot
 * be seen in the request itself: a hint of an earlier turn, or text that the caller has left out since.
 *
 * Digests are made with a secret of this process; no text is kept. One table for all workers, under a mutex
 * that is held for a few look-ups.
 */
#ifndef POLICY_STICKY_H
#define POLICY_STICKY_H

#include "base/base.h"
#include "llm/llm.h"

#define POLICY_STICKY_AGE_US ((int64_t)24 * 3600 * 1000000)

struct policy_sticky;
struct policy_sticky *policy_sticky_new(void); /* NULL: no memory, or no random numbers */
void policy_sticky_free(struct policy_sticky *s);

struct policy_turn { /* whose, and when */
    const char *key; /* id of the API key, NULL = none */
    int64_t now_us;  /* monotonic */
};
/* Was an earlier turn of this conversation private? Not the same request once more: that is judged by itself. */
bool policy_sticky_seen(struct policy_sticky *s, const struct llm_request *r,
                        const struct policy_turn *turn);
/* This turn is private: so are the later ones. */
void policy_sticky_note(struct policy_sticky *s, const struct llm_request *r,
                        const struct policy_turn *turn);

#endif
