/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider - what is behind us: who they are, what they can do, whether they are well.
 *
 *   struct provider        a row of the configuration: kind, address, limits. Immutable, part of a snapshot.
 *   struct provider_cell   what has been learnt about it: breaker, calls in flight, model list, health.
 *                          Shared by all workers under its mutex; outlives snapshots, so a reload forgets
 *                          nothing. One per (name, address); several servers under one name have one each.
 *   egress                 the one way out: every call to a provider passes it, with a permission for its bytes
 *   outcomes.def           every way an attempt can end, and what follows from each. One row each.
 *
 * A normal call: provider_admit() says GO and takes a slot; the exchange sends; provider_report() gives the
 * slot back with the outcome. A bad case: the outcome counts against the breaker, or the breaker is open
 * and admit says OPEN; all slots are taken and admit says BUSY and remembers that a worker waits.
 *
 * The breaker: `failures` consecutive failures open it for `open_ms`, jittered; then exactly one call is let
 * through as a trial; its success closes the breaker, its failure opens it for longer (doubling up to
 * open_max_ms). A success resets the count. Mistakes of the caller count for nothing. A 429 or 529 with
 * Retry-After keeps new calls away until then, open_max_ms at most, without counting as a failure.
 */
#ifndef PROVIDER_PROVIDER_H
#define PROVIDER_PROVIDER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "dialect/dialect.h"
#include "http/http.h"
#include "llm/llm.h"
#include "policy/policy.h"
#include "provider/egress.h"

#define PROVIDERS_MAX 64

enum provider_kind {
    PROVIDER_OPENAI,
    PROVIDER_OLLAMA,
    PROVIDER_ANTHROPIC,
    PROVIDER_LLAMA_SERVER,
    PROVIDER_KINDS
};
const char *
provider_kind_name(enum provider_kind k); /* "openai", "ollama", "anthropic", "llama-server" */
bool provider_kind_parse(strv name, enum provider_kind *out);

enum provider_zone { ZONE_LOCAL, ZONE_CLOUD };

/* How an attempt ended. */
enum outcome {
#define OUTCOME(id, name, counts, next, error, doc) OUTCOME_##id,
#include "provider/outcomes.def"
#undef OUTCOME
    OUTCOMES
};

/* What the exchange does after an attempt that failed before anything was sent to the caller. */
enum outcome_next {
    NEXT_NONE,   /* success */
    NEXT_RETRY,  /* the same target again as configured, then the next */
    NEXT_TARGET, /* the next target */
    NEXT_MODEL,  /* the next target on the same provider first */
    NEXT_TELL,   /* no other target: tell the caller */
    NEXT_STOP    /* nobody is left to tell */
};

struct outcome_row {
    const char *name; /* metric label, log, attempts list */
    bool counts;      /* against the provider's breaker */
    enum outcome_next next;
    int error; /* enum llm_error when this was the last attempt */
    const char *doc;
};
const struct outcome_row *outcome_row(enum outcome o);
/* What an HTTP status other than 2xx means, with what the dialect found in the body. */
enum outcome outcome_of_status(int status, const struct dialect_failure *failure);
enum outcome outcome_of_end(enum http_end how, enum io_end why, bool head_seen);

/* Milliseconds; every one > 0. */
struct provider_limits {
    uint64_t connect_ms;
    uint64_t head_ms;        /* request sent to response head, for streamed calls */
    uint64_t first_token_ms; /* request sent to first content, model warm */
    uint64_t cold_ms;        /* the same while the model is not known to be loaded */
    uint64_t idle_ms;        /* between two pieces of a stream */
    uint64_t total_ms; /* one attempt altogether; for unstreamed calls also the wait for the head */
    uint64_t queue_ms; /* wait for a free slot */
    int64_t concurrency;         /* calls in flight, over all workers; 0 = no limit */
    int64_t queue_max;           /* exchanges waiting for a slot, over all workers */
    int64_t retries;             /* further attempts on the same target */
    uint64_t retry_ms;           /* first back-off, doubled each time, jittered by half */
    uint64_t retry_after_max_ms; /* longest Retry-After that is waited for; longer = next target */
    int64_t breaker_failures;
    uint64_t breaker_open_ms, breaker_open_max_ms;
    uint64_t frame_bytes_max; /* one event of a stream */
    uint64_t reply_bytes_max; /* a whole reply */
};

struct provider_spawn {  /* kind llama-server */
    const char *command; /* file; NULL = "llama-server" on PATH */
    const char *model;   /* path of a GGUF file */
    const char *alias;   /* name the model is served by; default: the file's name without .gguf */
    int64_t slots, context /* of each slot */, threads;
    bool embeddings;
    const char *const *args; /* more arguments, NULL-terminated */
    const char *socket;      /* UNIX socket path, chosen by config from the runtime directory */
};

/* The name it is served by: spawn->alias, or else made of the file's name. */
strv provider_spawn_alias(const struct provider_spawn *spawn);

struct provider_models; /* a counted, immutable list */

/* What the operator says of models: "llava*=vision -tools context:8192". */
struct provider_claim {
    const char *pattern;
    uint32_t has, lacks; /* enum llm_need */
    int64_t context;     /* tokens, 0 = not said */
};
/* False: `text` is no such line. out->pattern is a copy in `arena`; NULL arena: only looked at. */
bool provider_claim_parse(strv text, struct arena *arena, struct provider_claim *out);

struct provider {
    const char *name;
    size_t index; /* place in the snapshot */
    enum provider_kind kind;
    enum provider_zone zone;
    const struct dialect *dialect;
    struct http_upstream upstream;
    const char *key; /* API key, NULL = none; never logged or printed */
    const char *anthropic_version;
    const char *const
        *static_models; /* NULL-terminated; may be empty: then the provider's own list counts */
    const char *default_model; /* NULL = first of its list */
    int64_t max_tokens; /* default for requests that name none; 0 = leave it to the provider */
    int64_t num_ctx;    /* Ollama: largest context to ask for; 0 = from the estimate */
    const struct provider_claim *claims; /* in order: a later one overrides an earlier one */
    size_t n_claims;
    bool links;         /* it may fetch images and documents from addresses that callers name */
    bool stream_always; /* ask for a stream even if the caller did not (llama-server) */
    struct provider_limits limits;
    struct provider_spawn spawn;
    struct provider_cell *cell;
    /* Several servers under one name: a copy of this row for each, with an upstream and a cell of its own; the
     * first one's are also this row's. NULL: there is only this one. */
    const struct provider *instances;
    size_t n_instances;
    unsigned instance; /* of a copy: its place */
};

#define PROVIDER_INSTANCES_MAX 16

static inline size_t provider_instance_count(const struct provider *p)
{
    return p->n_instances > 0 ? p->n_instances : 1;
}

static inline const struct provider *provider_instance(const struct provider *p, size_t i)
{
    return p->n_instances > 0 ? &p->instances[i] : p;
}

/* ---- cells ---- */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
const char *breaker_state_name(enum breaker_state s);

enum provider_state { /* of the process behind it, where we know */
                      PROVIDER_UP,
                      PROVIDER_LOADING,
                      PROVIDER_DOWN
};

struct provider_waiter { /* a worker that has exchanges waiting for a slot of this provider */
    struct list node;
    void (*wake)(void *arg); /* any thread; must only post a message */
    void *arg;
};

#define PROVIDER_ASKED_MAX 16

struct provider_cell {
    pthread_mutex_t lock;
    char name[64], address[200];
    size_t index; /* place in the registry, for metrics: < PROVIDERS_MAX */
    /* breaker */
    enum breaker_state breaker;
    int64_t failures; /* consecutive */
    int64_t failures_total;
    uint64_t open_ms;            /* present length of an open period */
    int64_t opened_us, retry_us; /* io_now_us scale: when it opened, when a trial is allowed */
    bool trial;                  /* the trial call is out */
    int64_t trial_us;            /* when it began, */
    int64_t newest_us;     /* and the newest of the calls let through while closed: all before it */
    int64_t hold_until_us; /* asked to stay away (Retry-After) */
    int64_t last_failure_wall_us, next_retry_wall_us; /* 0 = never */
    /* slots */
    int64_t in_flight, waiting;
    struct list waiters; /* struct provider_waiter */
    /* health */
    enum provider_state state;
    bool probed, available; /* from the last probe or call */
    int64_t last_check_wall_us;
    char problem[64];       /* constant text of the last failure, "" = none */
    int64_t latency_us[10]; /* last successful calls, ring */
    unsigned latency_n;
    int64_t last_success_us; /* io_now_us scale, 0 = never */
    struct provider_models *models;
    int64_t busy,
        queued;     /* calls in progress and waiting, as it says itself (vLLM, llama-server) */
    int64_t others; /* of these, what was not ours when it was told: ours we know at any time */
    int64_t cache_percent; /* vLLM: how full its cache is */
    int64_t slots_seen;    /* llama-server: total_slots from /props, 0 = unknown */
    int64_t restarts;      /* llama-server: how often it ended by itself, for metrics */
    struct
        provider_asked { /* Ollama: the largest num_ctx asked for, by model; see provider_target() */
        uint64_t model;  /* hash of its name, 0 = free */
        int64_t num_ctx;
    } asked[PROVIDER_ASKED_MAX];
    unsigned asked_n; /* next to be overwritten when all are taken */
    /* Ollama: the model of the last good call, a hash; it is in memory whatever the last list said. 0 = the
     * server has told itself since */
    uint64_t last_model;
    bool
        ask_loaded; /* the last call was for another model than the one before: memory has changed */
};

/* Find or make. NULL: memory refused, or PROVIDERS_MAX cells exist. Cells live until the program's end. */
struct provider_cell *provider_cell_get(const char *name, const char *address);
void provider_cells_free(void); /* at the program's end, for leak checks */

enum admit {
    ADMIT_GO,
    ADMIT_BUSY,
    ADMIT_OPEN,
    ADMIT_LOADING,
    ADMIT_DOWN,
    ADMIT_FORBIDDEN /* never by provider_admit(): policy stands in the way */
};

/* May a call go to this provider now? GO takes a slot, to be given back by provider_report(). *wait_ms gets
 * a hint for Retry-After where the answer is no. */
enum admit provider_admit(const struct provider *p, int64_t now_us, uint64_t *wait_ms);
struct provider_report {
    enum outcome outcome;
    int64_t now_us, wall_us;
    int64_t
        latency_us; /* since provider_admit(): now_us - latency_us is the now_us it was given, and
                                   tells a trial call from one that was under way before the breaker opened */
    uint64_t retry_after_ms; /* told by the provider; 0 = not */
    strv model;              /* that was asked */
};
/* Gives the slot back and lets breaker and health learn. `rng` jitters the open time. */
void provider_report(const struct provider *p, const struct provider_report *r, struct rng *rng);
/* Be woken (once) when a slot may be free; at once if one is free by now. The waiter stays the caller's. */
void provider_wait(const struct provider *p, struct provider_waiter *w);
void provider_unwait(const struct provider *p, struct provider_waiter *w);
/* False if queue_max exchanges wait already; true counts one more, given back by provider_queue_leave. */
bool provider_queue_enter(const struct provider *p);
void provider_queue_leave(const struct provider *p);
/* How it stands with one server: what admit would say, without a call. */
struct provider_glance {
    bool open;     /* the breaker, an asked pause or the process behind it keep calls away */
    bool ill;      /* the last probe or call did not reach it */
    bool full;     /* no slot is free */
    int64_t calls; /* in progress there, ours and others', and waiting */
};
void provider_look(const struct provider *p, int64_t now_us, struct provider_glance *out);
/* The model may have to be loaded first: the server says so, or else there was no success in the last five
 * minutes (Ollama's keep_alive). */
bool provider_is_cold(const struct provider *p, strv model, int64_t now_us);
/* A call for this model makes no other one leave the memory: it was the last one called, or (`told`) is in
 * memory by the server's own words. Always true where one model is all there is. */
bool provider_has_loaded(const struct provider *p, strv model, bool *told);
/* problem: constant text or NULL. A process that has just come up starts with a clean sheet: the breaker is
 * closed. */
void provider_set_state(struct provider_cell *cell, enum provider_state state, const char *problem);

/* ---- model lists ---- */

struct provider_memory { /* what a loaded model has there, by an Ollama's own words; 0 = not told */
    int64_t bytes, vram_bytes;
    int64_t context;    /* the window it was loaded with */
    int64_t expires_us; /* wall clock: when it goes if nobody asks */
};
struct provider_model {
    const char *name;
    int64_t context;     /* tokens, 0 = unknown */
    int64_t size_bytes;  /* 0 = unknown */
    int64_t modified_us; /* wall clock, 0 = unknown */
    const char *digest;  /* "" = unknown */
    bool remote;         /* Ollama's cloud models: not local whatever the server's address */
    bool loaded;         /* known to be in memory */
    struct provider_memory memory;
    bool shown;          /* asked of by itself, so that it is not asked again */
    bool effort;         /* reads reasoning_effort, by its own words */
    int8_t thinking;     /* enum dialect_thinking by its own words, -1 = unknown */
    uint32_t has, lacks; /* enum llm_need, by its own words; neither = nobody knows */
    int64_t output_max;  /* tokens of an answer, 0 = unknown */
    const char *owner;   /* who serves it by its own words ("vllm", "llamacpp"), "" = unknown */
};
struct provider_models {
    atomic_uint refs;
    struct arena arena;
    struct provider_model *items;
    size_t n;
    bool loaded_known; /* the server tells what is in memory: what is not `loaded` is not */
};
/* The current list, counted; NULL if none is known yet. Unref when done. */
struct provider_models *provider_models_get(struct provider_cell *cell);
void provider_models_unref(struct provider_models *m); /* NULL is fine */
/* Walks the models that may be asked of the provider: the configured ones if there are any, else those of
 * `list` (may be NULL). facts is NULL for a configured model that the list does not hold. */
void provider_each_model(const struct provider *p, const struct provider_models *list,
                         void (*fn)(void *arg, const char *name,
                                    const struct provider_model *facts),
                         void *arg);
/* Reads the answer to the provider's list request (path below) and puts it in the cell. */
bool provider_models_take(struct provider_cell *cell, enum provider_kind kind, strv body,
                          struct err *err);
const char *provider_models_path(enum provider_kind kind); /* "/v1/models", "/api/tags" */
/* What else servers tell; false = the body teaches nothing. See learn.c. */
bool provider_learn_loaded(struct provider_cell *cell, strv body);            /* /api/ps */
bool provider_learn_shown(struct provider_cell *cell, strv model, strv body); /* /api/show */
bool provider_learn_silent(struct provider_cell *cell, strv model); /* ... has nothing to say */
bool provider_learn_props(struct provider_cell *cell, strv body);   /* llama-server's /props */
bool provider_learn_slots(struct provider_cell *cell, strv body);   /* and /slots */
bool provider_learn_metrics(struct provider_cell *cell, strv body); /* vLLM's /metrics */
/* Is `model` the provider's: in its static list or its known list? Ollama names compare without case and
 * with ":latest" implied. *exact (may be NULL) gets the spelling the provider knows; it lives as long as the
 * arena. *remote (may be NULL): the model is really served elsewhere, or an Ollama has not told yet where
 * (also set when the result is false). */
bool provider_has_model(const struct provider *p, strv model, struct arena *arena, strv *exact,
                        bool *remote);

/* The `remote` of it alone, of which a call is asked several times. */
bool provider_is_remote(const struct provider *p, strv model);

/* What is known of one model of a provider, from all sources: its list, /api/show, the configuration. */
struct provider_facts {
    strv exact;          /* the spelling the provider knows; in the arena */
    bool remote;         /* as of provider_has_model() */
    uint32_t has, lacks; /* enum llm_need; neither = nobody knows, which counts as yes */
    int64_t context;     /* tokens that prompt and answer may have there, 0 = unknown */
    enum provider_warmth { PROVIDER_COLD, PROVIDER_WARMTH_UNKNOWN, PROVIDER_WARM } warmth;
    bool full;     /* no slot is free */
    int64_t calls; /* in progress there, ours and others', and waiting */
};
/* The same answer as provider_has_model(); `out` is filled either way. */
bool provider_model_facts(const struct provider *p, strv model, struct arena *arena,
                          struct provider_facts *out);
/* enum llm_need that requests to it may have: its dialect's, less what its zone and kind rule out. */
uint32_t provider_can(const struct provider *p);

/* ---- what to say to them ---- */

/* Per-model facts from the quirk table and the model list: fills the target for dialect->encode_request. */
void provider_target(const struct provider *p, strv model, const struct llm_request *r,
                     struct dialect_target *out);
/* Request headers for the provider (key, version); writes at most 4 into out. Strings live in arena; look at
 * arena->failed afterwards. */
size_t provider_headers(const struct provider *p, struct arena *arena, struct http_header out[4]);

/* ---- several servers under one name ---- */

struct provider_wish {
    strv model;
    uint64_t prefix; /* of provider_prefix(), 0 = none */
    uint32_t spent;  /* a bit per instance that is not to be asked */
    int64_t now_us;
};
/* Which instance to ask; -1 = all are spent. See instance.c. */
int provider_pick(const struct provider *p, const struct provider_wish *w, struct rng *rng);
/* A digest of how the conversation begins: the same for all its turns. 0 = it has no beginning. */
uint64_t provider_prefix(const struct llm_request *r);
/* The list of the first instance that has told one, counted; NULL if none has. */
struct provider_models *provider_models_any(const struct provider *p);

/* ---- watching ---- */

/* Asks every provider of the snapshot for its model list in turn: at once, then every interval; sooner after
 * a failure. One prober per process, on one loop. `providers` must outlive it or be swapped by
 * provider_prober_set. Providers that are cloud are asked only if `cloud` is true. */
struct provider_prober;
struct provider_prober *provider_prober_new(struct io_loop *loop, struct http_client *client,
                                            struct log *log, uint64_t interval_ms);
/* keep is called with +1 now and -1 when the last probe that uses `providers` is over. */
void provider_prober_set(struct provider_prober *p, const struct provider *providers, size_t n,
                         bool cloud, void (*keep)(void *arg, int change), void *arg);
void provider_prober_free(struct provider_prober *p);

/* The local engine: starts, watches and restarts the llama-server of `p` (main thread's loop). State goes to
 * the cell: LOADING until /health says ok, then UP; DOWN between restarts (back-off 0.5 s doubling to 30 s,
 * reset after a minute of life). */
struct provider_engine;
struct provider_engine *provider_engine_start(struct io_loop *loop, struct http_client *client,
                                              struct log *log, const struct provider *p,
                                              struct err *err);
/* SIGTERM, after grace_ms SIGKILL; stopped(arg) when it is gone (at once if it was not running). The handle
 * is freed then. */
void provider_engine_stop(struct provider_engine *e, uint64_t grace_ms, void (*stopped)(void *arg),
                          void *arg);
int provider_engine_pid(const struct provider_engine *e); /* 0 = not running */

#endif
