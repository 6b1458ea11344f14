/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy - who may ask, and who may answer. Pure: request and facts in, plan out; no I/O.
 *
 *   auth    an API key's digest -> the key and its rules
 *   limit   how much of something its holder, an address or all may use in a minute
 *   classify which kind of task, and how hard (policy/classify.h)
 *   route   a request -> an ordered list of targets, each with its reason, or an error (order.def: the rules)
 *   sticky  which conversations were private before
 *
 * A normal case: `model` is a role or an alias, the role's list is walked, what policy forbids is left out,
 * the plan is what remains in order. A bad case: the caller names a provider that policy forbids; that is an
 * error, never a silent change (design.md 3). Order of authority: airgap and privacy, keys, explicit
 * provider, explicit model, task class, default. Same request and same facts give the same plan.
 *
 * Policy knows providers only as facts (struct policy_provider), not their connections.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdatomic.h>

#include "base/base.h"
#include "llm/llm.h"
#include "policy/classify.h"
#include "policy/limit.h"
#include "policy/sticky.h"
#include "privacy/privacy.h"

/* ---- auth ---- */

#define POLICY_MODELS_MAX 512

/* What the holder of a key may do. All zero: whatever the configuration allows, without a limit of his own. */
struct policy_rules {
    enum llm_mode mode; /* widest; UNSET = the configuration's */
    bool force_private; /* every request counts as private */
    bool pseudonyms;    /* a private request may go out under pseudonyms */
    bool cache;         /* answers may be kept and given again */
    bool agent;         /* conversations get tools of MCP servers unasked */
    bool admin;         /* may read what is told of everybody: metrics, statistics, usage, audit */
    uint32_t doors;     /* 1 << enum llm_dialect; 0 = all */
    int64_t requests_min, tokens_min;             /* per minute; 0 = no limit, as below */
    int64_t concurrent;                           /* requests at the same time */
    int64_t budget_day_micro, budget_month_micro; /* millionths of a dollar, UTC days and months */
    int64_t expires_us;                           /* wall time; 0 = never */
    char models[POLICY_MODELS_MAX];               /* patterns, commas between; "" = every model */
    char tools
        [POLICY_MODELS_MAX]; /* the same of server/tool, !pattern = not these; "" = every tool */
};

struct policy_key {
    char id[32];        /* public name of the key, "k_..." */
    char name[64];      /* operator's words */
    uint8_t digest[32]; /* SHA-256 of the whole key text */
    struct policy_rules rules;
    struct policy_cell *cell; /* what its holder has used: policy_keys_new() makes it */
};
struct policy_keys { /* counted, immutable */
    atomic_uint refs;
    struct policy_key *items;
    size_t n;
};
/* Copies; cells are made, or taken over from the keys of the same id in `before` (which may be NULL), so that a
 * reload gives nobody a full bucket; keys that are in `before` only are revoked. NULL: no memory. */
struct policy_keys *policy_keys_new(const struct policy_key *items, size_t n,
                                    const struct policy_keys *before);
struct policy_keys *policy_keys_ref(struct policy_keys *k);
void policy_keys_unref(struct policy_keys *k);
/* The key that `secret` is, or NULL. Takes the same time whichever key matches or none. */
const struct policy_key *policy_auth(const struct policy_keys *keys, strv secret);
/* May it be used now, and at this door (-1: at none)? What it asks for there is route's matter. */
bool policy_key_admits(const struct policy_key *key, int door, int64_t wall_us, struct err *err);
void policy_key_digest(strv secret, uint8_t out[32]);
/* The key in "Authorization: Bearer KEY" or "x-api-key: KEY"; STRV_NONE if neither holds one. */
strv policy_key_from_headers(strv authorization, strv x_api_key);

/* ---- what a key's rules are called: one row each in key_rules.def ---- */

enum policy_rule {
#define POLICY_RULE(id, name, kind, member, min, max, value, doc) POLICY_RULE_##id,
#include "policy/key_rules.def"
#undef POLICY_RULE
    POLICY_RULES
};
const char *policy_rule_name(enum policy_rule rule); /* "rpm"; the flag of `keys add` */
/* The rule's value from its text ("60", "100k", "2.50", "yes", "2027-01-31", "30d", "claude-*,fast"); "none" takes
 * it away. False with err, which names the rule and what it takes. */
bool policy_rule_set(struct policy_rules *rules, enum policy_rule rule, strv text, int64_t wall_us,
                     struct err *err);
/* Its value as text that policy_rule_set() reads; nothing if it is not set. */
void policy_rule_show(const struct policy_rules *rules, enum policy_rule rule, struct buf *out);
/* As the store keeps them: a line "name=value" for each that is set. A line that is not understood is an error:
 * a rule of a newer version must not be passed over. */
bool policy_rules_read(strv text, struct policy_rules *out, struct err *err);
void policy_rules_write(const struct policy_rules *rules, struct buf *out);
/* As members of a JSON object, each with a comma before it. */
void policy_rules_json(const struct policy_rules *rules, struct buf *out);
/* May the holder of the key ask for this name, or be answered by it? True for the name of a model, role or alias,
 * or "provider/model", that one of the patterns fits, and for every name if there are none. */
bool policy_rules_model(const struct policy_rules *rules, strv name);
/* May he see and call "server/tool"? */
bool policy_rules_tool(const struct policy_rules *rules, strv name);

/* ---- route ---- */

struct policy_name {      /* an entry of a role's or route's list, parsed once at configuration */
    const char *text;     /* as written: "ollama/llama3.2", "fast", "llama3.2" */
    const char *provider; /* NULL = not explicit */
    const char
        *model; /* NULL = the provider's default; role names have provider NULL and model = role */
};
/* How probable the least sure token of a whole answer must be, 0..1; 0 = nobody asks. */
struct policy_sure {
    double mark;     /* below: the answer says so */
    double escalate; /* below: the next target is asked, unless the request is private */
};
struct policy_list {
    const char *name; /* role, task class or alias pattern ("claude-*") */
    struct policy_name *names;
    size_t n;
    struct policy_sure sure;
};

struct policy_conf {    /* part of a snapshot */
    enum llm_mode mode; /* widest allowed: LOCAL, HYBRID or CLOUD */
    bool airgap;
    bool explicit_fallback; /* may an explicit choice fall back to others? */
    bool fallback_to_cloud; /* from a first choice that is local */
    bool fallback_to_local; /* from one in the cloud */
    bool fallback;          /* walk the list at all beyond its first target */
    struct policy_list *roles, *routes, *aliases;
    size_t n_roles, n_routes, n_aliases;
    const char *default_role; /* "general" */
    bool complexity_set;      /* by the operator; else the classifier says what is hard */
    float complexity_min;     /* a request is hard from here on; above 1: none is */
};

struct policy_provider {
    const char *name;
    bool local;                /* zone */
    uint32_t can;              /* enum llm_need that may be asked of it */
    const char *default_model; /* NULL = unknown */
};

struct policy_model { /* what is known of a model at a provider */
    strv exact;     /* the provider's own spelling, in the arena; STRV_NONE = as it was asked for */
    bool remote;    /* served elsewhere although the provider is local, or nobody can tell */
    uint32_t lacks; /* enum llm_need it is known not to have */
    int64_t context; /* tokens, 0 = unknown */
    enum policy_warmth { POLICY_COLD, POLICY_WARMTH_UNKNOWN, POLICY_WARM } warmth; /* in memory? */
    bool full;     /* another call would wait for a place */
    int64_t calls; /* that it is busy with, or that wait there */
};

struct policy_facts {
    const struct policy_conf *conf;
    const struct policy_provider *providers;
    size_t n_providers;
    /* Does provider i own this model? *out is filled whatever the answer. */
    bool (*has_model)(void *arg, size_t i, strv model, struct arena *arena,
                      struct policy_model *out);
    /* First model provider i lists, when it has no default; STRV_NONE = nothing known. */
    strv (*any_model)(void *arg, size_t i, struct arena *arena);
    void *arg;
    const struct privacy_verdict *verdict;    /* NULL = nobody has judged: private */
    const struct classify_result *classified; /* NULL = not classified */
    const struct policy_key *key;             /* the caller's; NULL = none was needed */
};

/* The rules, the highest first; what each looks at and does is a row of order.def. */
enum policy_by {
#define POLICY_ORDER(id, name, rank, function, looks_at, does) POLICY_BY_##id,
#include "policy/order.def"
#undef POLICY_ORDER
    POLICY_ORDERS
};
enum policy_rank {
    POLICY_RANK_SAFETY,
    POLICY_RANK_KEY,
    POLICY_RANK_PROVIDER,
    POLICY_RANK_MODEL,
    POLICY_RANK_CLASS,
    POLICY_RANK_DEFAULT,
    POLICY_RANK_ORDER
};
struct policy_order {
    const char *name; /* stable: "task.route" */
    enum policy_rank rank;
    const char *looks_at, *does;
};
extern const struct policy_order policy_orders[POLICY_ORDERS];
const char *policy_rank_name(enum policy_rank rank);

#define POLICY_TARGETS_MAX 16

struct policy_target {
    size_t provider;
    strv model;
    const char *why; /* constant or in the arena: "role fast", "explicit", "listed by provider" */
};

struct policy_skip { /* a candidate that was left out, for explain */
    const char *candidate, *why;
};

struct policy_plan {
    struct policy_target targets[POLICY_TARGETS_MAX];
    size_t n;
    struct policy_skip skips[POLICY_TARGETS_MAX];
    size_t n_skips;
    enum policy_by steps[POLICY_ORDERS]; /* the rules that had a say, in order */
    size_t n_steps;
    strv task;               /* class named or found, sure or not; STRV_NONE = not classified */
    const char *reason;      /* how the list was found: "hint task=explanation", "alias claude-*" */
    struct policy_sure sure; /* of the list that the first target comes from */
    bool is_private;         /* only local targets are in the plan */
    bool explicit_choice;
};

/* The plan for a request. False with err: MODEL_NOT_FOUND (text lists the names that exist),
 * PROVIDER_UNKNOWN, PROVIDER_FORBIDDEN, UNSUPPORTED (no target can express it, or its model lacks what is
 * needed), CONTEXT_TOO_LONG (no target's window can hold it), PRIVACY_LOCAL_UNAVAILABLE
 * (private and no local target exists at all), INVALID_REQUEST (bad hint). */
bool policy_run(const struct policy_facts *facts, const struct llm_request *r, struct arena *arena,
                struct policy_plan *out, struct err *err);
/* Does a role, a route or an alias name this model? */
bool policy_names_model(const struct policy_conf *conf, strv model);
/* "provider/model", "provider/" or a name. Unknown providers stay part of the name (models have slashes). */
void policy_name_parse(const struct policy_provider *providers, size_t n, strv text,
                       struct arena *arena, struct policy_name *out);
/* Header values of X-LLM-Mode and X-LLM-Sensitivity and X-LLM-Task into the request. Unknown values are
 * INVALID_REQUEST, except for sensitivity, where anything unknown means private (hints fail closed). */
bool policy_hints(struct llm_request *r, strv mode, strv sensitivity, strv task, struct err *err);
/* "mark=0.7" or "escalate=0.5" into its member. */
bool policy_sure_parse(strv text, struct policy_sure *out);
bool policy_mode_parse(strv text, enum llm_mode *out);
extern const char *const policy_tasks[]; /* the six classes, NULL-terminated */

#endif
