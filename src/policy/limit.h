/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit - how much, and how fast: requests and tokens a minute, requests at the same time.
 *
 *   enter   before a request: takes its share of every quota that holds for it, or of none
 *   leave   after it: what the answer really cost takes the place of what was estimated
 *
 * A quota of n a minute is a bucket of n that fills evenly: who was quiet may use a minute's worth at once, then
 * one every minute/n. What a bucket holds is one number, the moment at which it will be full again, so that
 * it is changed without a lock by all workers, and a quota that a reload changes goes on where it stands.
 *
 *   now                full                       now + minute
 *   |--- used ---------|--- what is left ---------|           a share of k moves `full` k/n of a minute to the right;
 *                                                             it may not pass the end: that is the wait
 *
 * Whoever waits as long as he is told succeeds, unless another used it meanwhile. A request that is larger than
 * the whole bucket goes when the bucket is full, and those behind it wait the longer.
 *
 * Time is an argument, monotonic.
 */
#ifndef POLICY_LIMIT_H
#define POLICY_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct policy_quota {
    int64_t requests_min, tokens_min, concurrent; /* 0 = no limit */
};

struct policy_quotas {        /* of a configuration */
    struct policy_quota all;  /* everybody together */
    struct policy_quota key;  /* a key that has none of its own */
    struct policy_quota peer; /* an address, of callers without a key */
    int64_t wrong_min;        /* wrong keys a minute, of an address; 0 = no limit */
    int64_t replicas; /* routers that serve the same callers: each gives its part of every quota */
};

/* What one key, address or all have used. Counted; any thread. */
struct policy_cell;
struct policy_cell *policy_cell_new(void); /* NULL: no memory */
struct policy_cell *policy_cell_ref(struct policy_cell *c);
void policy_cell_unref(struct policy_cell *c);
/* Its key is revoked: who holds the key still, for a request that has begun, learns it here. */
void policy_cell_close(struct policy_cell *c);
bool policy_cell_is_closed(const struct policy_cell *c);

/* Those of everybody together and of addresses: a table of fixed size, in which who has been quiet for longest makes
 * room. Shared by all workers. */
struct policy_limits;
struct policy_limits *policy_limits_new(void);    /* NULL: no memory */
void policy_limits_free(struct policy_limits *l); /* no pass may be held */

/* A wrong key came from there. False: it is one too many; after *wait_us the next is not. A right key is never asked
 * about: whoever shares an address with a guesser is served. */
bool policy_wrong_key(struct policy_limits *l, strv address, int64_t limit, int64_t now_us,
                      int64_t *wait_us);

/* The quotas that hold for one request, and what it has taken of them. Zero is a pass without any. */
struct policy_pass {
    struct policy_share {
        struct policy_cell *cell;
        struct policy_quota quota;
        const char *who; /* "this key", for the error */
    } shares[2];
    size_t n;
    int64_t tokens; /* taken of each */
    bool entered;
};

struct policy_key;
/* key NULL: the address counts. limits may be NULL: then only the key's own hold. */
void policy_pass_init(struct policy_pass *pass, struct policy_limits *limits,
                      const struct policy_quotas *quotas, const struct policy_key *key,
                      strv address);
/* False: nothing was taken; after *wait_us it would be enough; err says of what there was not. Either way
 * policy_pass_leave() ends it. */
bool policy_pass_enter(struct policy_pass *pass, int64_t tokens, int64_t now_us, int64_t *wait_us,
                       struct err *err);
/* Would so many tokens more be within the limits? Nothing is taken. False with err: after *wait_us. */
bool policy_pass_fits(const struct policy_pass *pass, int64_t tokens, int64_t now_us,
                      int64_t *wait_us, struct err *err);
/* tokens: what was used in the end. A pass that was not entered, or left, leaves nothing. */
void policy_pass_leave(struct policy_pass *pass, int64_t tokens);

/* What a caller is told: of the quota of which least is left. limit 0 = there is none. */
struct policy_level {
    int64_t limit, remaining;
    int64_t reset_us; /* until it is full again */
};
void policy_pass_levels(const struct policy_pass *pass, int64_t now_us,
                        struct policy_level *requests, struct policy_level *tokens);

#endif
