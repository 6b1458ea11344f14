/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange - one request from caller to model and back. The spine: everything the program does for anyone
 * goes through exchange_start().
 *
 *   ADMIT > PLAN > (QUEUE) > SEAL > (RECORD) > SEND > AWAIT > HOLD > (STREAM) > FINISH > CLOSE
 *             ^---------------------------------------- BACKOFF           refuse > CLOSE
 *
 * A normal case: everything the caller sent is judged (may it leave the premises?), the plan's first target is
 * admitted, the request is written in its dialect, sealed (may exactly these bytes go there?), recorded in the audit if they leave the premises,
 * and sent; what comes back is held until its first content, then relayed piece by piece. A bad case before that first
 * piece: the attempt ends with an outcome, whose row says whether to try again, go on or tell the caller.
 * After it: the stream ends with an error in the caller's own dialect, never as if complete.
 *
 * Promises: exactly one ledger row on every path; no attempt after the caller left; nothing sent to a
 * provider that the plan does not hold; everything that waits has a deadline; nothing is freed inside a
 * callback.
 *
 * Ownership: the exchange lives in the arena given to exchange_start() and is over when the sink's end, fail
 * or abort was called, or after exchange_caller_gone(); the arena may go at the end of that turn. It holds a
 * reference to the snapshot meanwhile.
 */
#ifndef EXCHANGE_EXCHANGE_H
#define EXCHANGE_EXCHANGE_H

#include <stdatomic.h>

#include "base/base.h"
#include "dialect/dialect.h"
#include "exchange/cache.h"
#include "exchange/outlet.h"
#include "http/http.h"
#include "io/io.h"
#include "ledger/ledger.h"
#include "llm/llm.h"
#include "policy/policy.h"
#include "provider/provider.h"

/* The part of the configuration that exchanges need: immutable, counted, swapped whole on reload. */
struct snapshot {
    atomic_uint refs;
    struct arena arena; /* everything below lives here */
    struct policy_conf policy;
    struct policy_quotas quotas;
    struct cache_conf cache_conf;
    struct cache *cache; /* of answers; NULL = there is none */
    struct provider *providers;
    struct policy_provider *policy_providers; /* the same rows as policy sees them */
    size_t n_providers;
    uint64_t deadline_ms;      /* over the whole chain of attempts */
    size_t attempts_max;       /* <= LEDGER_ATTEMPTS_MAX */
    size_t exchanges_max;      /* at once, per worker */
    size_t pending_high_bytes; /* unsent to the caller: stop reading upstream above this */
    uint64_t keepalive_ms;     /* silence of a begun stream before the dialect's keep-alive */
    struct privacy *privacy;   /* the detector; NULL: everything is private */
    struct classify *classify; /* NULL: no request has a class but by its caller's word */
    const char *privacy_why;   /* why the detector is not ready; NULL = it is */
    int64_t roster_until_us;   /* wall clock: from here on the roster is too old; 0 = never */
    uint32_t pseudonym_tasks;  /* bit 1 << task: its private requests may leave under pseudonyms */
    bool roster_required;      /* without a roster that is young enough everything is private */
    bool audit_all;         /* nothing is sent while the audit cannot be written, at home either */
    uint64_t audit_wait_ms; /* for a record to be durable */
    bool strict;            /* refuse rather than drop what a translation cannot carry */
    bool repair; /* one more turn when structured output or a call's arguments do not fit */
    struct ledger_conf ledger;        /* prices, budget */
    void (*drop)(struct snapshot *s); /* called when the last reference goes */
};
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s); /* any thread */

/* One per worker thread. */
struct exchange_env {
    struct io_loop *loop;
    struct http_client *client;
    struct rng *rng;
    struct log *log;
    struct metrics *metrics;
    struct snapshot *snapshot;    /* current; new exchanges take a reference */
    struct policy_limits *limits; /* of all workers; NULL = only keys have limits */
    struct ledger *ledger;        /* NULL = no file is kept, and no budget */
    struct audit *audit;          /* of all workers; NULL = nothing may leave */
    bool leaving;  /* another one is to be asked from now on; what still comes is answered */
    bool draining; /* nothing new is begun */
    size_t active;
    struct list live;            /* every exchange in progress */
    struct exchange_wait *waits; /* per provider cell: exchanges waiting for a slot */
    struct arena scratch;        /* for decoding one frame or body; empty between callbacks */
    struct privacy_scratch *privacy_scratch; /* NULL: no memory for it, everything is private */
    struct classify_memo *classes;           /* NULL: each turn is classified anew */
    struct policy_sticky *sticky; /* shared by all workers; NULL = nothing is remembered */
    struct buf encoded;           /* for encoding one frame's events; empty between callbacks */
};
/* Fills what is private; the fields above `waits` are the caller's to set. */
bool exchange_env_init(struct exchange_env *env, struct err *err);
void exchange_env_fini(struct exchange_env *env); /* no exchange may be active */

struct exchange;

/* Where the answer goes. Calls come only after exchange_start() has returned, or from inside it. */
struct exchange_sink {
    /* The answer begins: length >= 0 for a whole reply, HTTP_LENGTH_STREAM for a stream. */
    void (*begin)(void *arg, struct exchange *x, int status, const char *content_type,
                  int64_t length);
    void (*body)(void *arg, const char *data, size_t n);
    /* NULL, or: the answer comes as events, whatever was asked for and wherever it comes from, mended as everybody's;
     * `body` is never called, and begin() is told a stream. False: the receiver cannot take it, and the answer fails. */
    bool (*event)(void *arg, const struct llm_event *ev);
    /* Complete as announced. Last call. */
    void (*end)(void *arg);
    /* Nothing was begun: answer with this error. retry_after_s 0 = none. Last call. */
    void (*fail)(void *arg, struct exchange *x, int error, int status, strv message, strv field,
                 uint64_t retry_after_s);
    /* Begun, and told in-band that it failed; the transfer must not look complete. Last call. */
    void (*abort)(void *arg);
    size_t (*pending)(void *arg); /* bytes the caller has not taken yet */
};

struct exchange_caller {
    strv request_id;                 /* told to the caller: his own, if he sent one */
    strv record_id;                  /* in log, ledger and audit: never text that a caller wrote */
    const char *key;                 /* id of the API key or NULL */
    const struct policy_key *holder; /* the key and its rules, NULL = none */
    strv address;                    /* the caller's, with its port */
    bool no_cache;                   /* an answer that is kept is not wanted */
    bool no_store;                   /* nor shall this one be kept */
    bool
        goes_on; /* it is part of something that began before, and is answered while draining, too */
    int64_t received_us;  /* when the request's head was complete */
    uint64_t deadline_ms; /* a shorter time than the snapshot's for all of it; 0 = none */
    int64_t bytes_in;
    void (*committed)(
        void *arg); /* r->arena and the body's bytes are not needed any more; may be NULL */
};

/* `caller` and all it points to must live as long as the exchange; `r` too, but what is in r->arena only until
 * caller->committed. NULL when memory is refused; the sink was not called then. */
struct exchange *exchange_start(struct exchange_env *env, struct arena *arena,
                                struct llm_request *r, const struct exchange_caller *caller,
                                const struct exchange_sink *sink, void *arg);
/* The caller left: everything stops now, upstream too. No sink call after this. */
void exchange_caller_gone(struct exchange *x);
/* The process ends now: every exchange is told so, in-band where its answer has begun. */
void exchange_stop_all(struct exchange_env *env);
/* The caller has taken what was pending. */
void exchange_proceed(struct exchange *x);

/* Facts for the reply's headers. */
const char *exchange_provider(const struct exchange *x); /* NULL = none yet */
strv exchange_model(const struct exchange *x);
strv exchange_task(const struct exchange *x);          /* STRV_NONE = none */
const char *exchange_reason(const struct exchange *x); /* NULL = none */
bool exchange_judged(const struct exchange *x);        /* it was read for what is private */
bool exchange_private(const struct exchange *x);
const char *exchange_findings(const struct exchange *x); /* "mrn=1 name=2"; "" = none */
size_t exchange_attempts(const struct exchange *x);
strv exchange_route(
    const struct exchange *x); /* native door: metadata.route, once it has answered */
int exchange_error(const struct exchange *x); /* what the caller was told: enum llm_error */
uint32_t exchange_losses(const struct exchange *x);
/* How probable the least sure token of the answer was, 0..1, where the configuration asks for it and the provider told
 * it. *unsure: that is less than it should be. False: not known. */
bool exchange_sure(const struct exchange *x, double *least, bool *unsure);
/* What it has come to so far, for whoever shows it; whole in the sink's last call. -1 = not known. */
struct exchange_sums {
    bool local;             /* who answers is of zone local */
    struct llm_usage usage; /* of all attempts */
    int64_t cost_micro;
    int64_t saved_micro; /* what the cloud would have charged more */
    int64_t window;      /* tokens that prompt and answer may have there */
};
void exchange_sum(const struct exchange *x, struct exchange_sums *out);
/* What it waits for before an answer begins: "queue" (every place of the model is taken), "load" (the model is brought
 * into memory); NULL = neither. */
const char *exchange_waits(const struct exchange *x);
/* Could the answer come from the cache, and did it? */
bool exchange_recalled(const struct exchange *x, bool *hit, int64_t *age_us);
/* How much of the caller's quotas is left; limit 0 = there is none. */
void exchange_levels(const struct exchange *x, struct policy_level *requests,
                     struct policy_level *tokens);

/* What the request holds: everything that its caller sent, its hints, and what the detector cannot read. The
 * conversation's past is not looked at. Never fails: what cannot be judged is private. */
void exchange_judge(const struct exchange_env *env, const struct llm_request *r,
                    struct privacy_verdict *out);
/* Why no request may go to a provider of zone cloud now; NULL = it may. */
const char *exchange_cloud_refused(const struct snapshot *s, int64_t wall_us);

/* ---- explaining: what would become of a request, by the functions that a request itself passes ---- */

struct exchange_basis { /* what a plan is made of besides the request */
    const struct privacy_verdict *verdict;
    const struct classify_result *classified; /* NULL = none */
    const struct policy_key *key;             /* NULL = none */
};
/* The plan by these facts and what the snapshot's providers have told. */
bool exchange_plan(struct snapshot *s, const struct llm_request *r,
                   const struct exchange_basis *basis, struct arena *arena, struct policy_plan *out,
                   struct err *err);

struct exchange_asker {
    const struct policy_key *key; /* NULL = none was needed */
    strv address;                 /* where he calls from, with its port; STRV_NONE = a command */
    struct ledger_budget *budget; /* where env has neither ledger nor loop: what was spent ... */
    int64_t wall_us;              /* ... and the time */
};
struct exchange_outlook {
    struct privacy_verdict verdict;
    struct classify_result classified;
    bool has_class; /* false: no text, or no classifier */
    bool requires_tools;
    bool pseudonyms; /* private, and it may leave all the same, under pseudonyms */
    bool throttled;  /* the question itself was one too many: err says of what */
    uint64_t wait_s; /* it would be refused, and is worth another try after that; 0 = not known */
    struct policy_plan plan;
};
/* False with err: it would be refused; the outlook says what is known all the same, unless there was no memory
 * (err->code <= 0). `out` begins as zero. The question counts as a request of the asker. */
bool exchange_explain(struct exchange_env *env, const struct llm_request *r,
                      const struct exchange_asker *asker, struct arena *arena,
                      struct exchange_outlook *out, struct err *err);
/* The plan for a name alone, without a text: for model look-ups. */
bool exchange_find(struct exchange_env *env, const struct llm_request *r,
                   const struct policy_key *key, struct arena *arena, struct policy_plan *out,
                   struct err *err);
struct exchange_states { /* how it stands with a provider now, in a word */
    const char *(*of)(void *arg, size_t provider);
    void *arg;
};
/* All of it as a JSON object. Kinds and counts of findings, never text. */
void exchange_outlook_json(const struct snapshot *s, const struct exchange_outlook *o,
                           const struct err *err, const struct exchange_states *states,
                           struct buf *out);
/* What the scheduler's schema of a classification has, and a few members more. */
void exchange_class_json(const struct snapshot *s, const struct exchange_outlook *o,
                         const struct err *err, struct buf *out);

#endif
