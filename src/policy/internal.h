/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal - one run of the rules, and what its files share. Nobody else includes it.
 *
 *   route.c        the rules in their order             refusal.c   when nothing is left
 *   names.c        what a name stands for               hints.c     the caller's headers
 *   candidates.c   lists into targets, through one gate
 *   fit.c          can it serve the request?
 */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include "policy/policy.h"

struct run {
    const struct policy_facts *facts;
    const struct policy_conf *conf;
    const struct llm_request *r;
    struct arena *arena;
    struct policy_plan *plan;
    struct err *err; /* why there is none */

    /* what confines */
    bool local_only;
    const char *local_why; /* "airgap", "private", "mode local" */
    enum llm_mode mode;
    const struct policy_rules *key_models; /* whose patterns a target must fit; NULL = any may be */

    /* what is chosen */
    strv name;         /* `model`, trimmed; "auto" is nothing */
    const char *class; /* to plan by, a row of policy_tasks; NULL = none, or not sure of it */
    int only;          /* the explicit provider, -1 = any */

    /* what kept candidates out */
    uint32_t cannot; /* needs */
    unsigned forbidden, barred /* by the key */, unsupported, unknown, too_long;
    unsigned hearsay;    /* names for the cloud that only the caller has said */
    int64_t context_max; /* the largest window that was too small */
    int64_t tokens;      /* the request's, estimated high; 0 = not yet */
    int64_t tokens_low;  /* the same, estimated low; -1 = not yet */
    struct policy_model known[POLICY_TARGETS_MAX]; /* of the plan's targets */
};

/* ---- hints.c ---- */

/* The row of policy_tasks; NULL = no such class. */
const char *task_find(strv task);
bool task_refuse(struct err *err); /* false */

/* ---- names.c ---- */

int find_provider(const struct policy_provider *providers, size_t n, strv name); /* -1 = none */
const struct policy_list *find_list(const struct policy_list *lists, size_t n, strv name);
const struct policy_list *find_role(const struct run *run, strv name);
/* Exact ones first, then patterns in order, but for "*". */
const struct policy_list *find_alias(const struct run *run, strv name);
const struct policy_list *default_role(const struct run *run);
/* A role with a meaning of its own: one that nobody filled is the default role. */
bool is_known_role(strv name);

/* ---- candidates.c ---- */

struct role_path { /* the roles we are inside of, so that one cannot contain itself */
    const struct policy_list *role;
    const struct role_path *outer;
    unsigned depth;
};

/* `known->remote` is also told of a model that is not owned: the provider may pass it on elsewhere. */
bool owns(struct run *run, size_t i, strv model, struct policy_model *known);
strv any_model(struct run *run, size_t i);
/* Provider i with whatever it serves when no model is named. */
void add_default(struct run *run, size_t i, const char *why);
/* provider/model: taken as written while the provider's list is not known, at home or if the configuration has it.
 * False: the list is known and does not hold it. */
bool add_named(struct run *run, size_t i, strv model, const char *why);
/* Every provider that lists the model, equals ranked. False: none does. */
bool add_listed(struct run *run, strv model, const char *why);
/* A list's entries, in order. A `why` of NULL: memory was refused; told at the end. */
void walk(struct run *run, const struct policy_list *list, const struct role_path *outer,
          const char *why);
/* `name` is a role without a list of its own: the default role's. False: it is not. */
bool walk_unfilled(struct run *run, strv name, const struct role_path *path, const char *why);
void walk_default(struct run *run);
/* Is the plan's target served on the premises, also by its model's own account? */
bool is_near(const struct run *run, size_t target);
/* What is on the other side of the premises' border than the first target is left out. */
void keep_side(struct run *run, const char *why);
/* Targets in the cloud before those at home, else in the order they have. False: they were so already. */
bool cloud_first(struct run *run);

/* ---- fit.c ---- */

/* Why it cannot serve the request, counted; NULL = it can. */
const char *inability(struct run *run, const struct policy_provider *p,
                      const struct policy_model *known);
bool is_sure_to_fit(struct run *run, int64_t context);

/* ---- refusal.c: always false, with run->err ---- */

bool not_found(struct run *run, strv name);
bool nothing_left(struct run *run, strv name);

#endif
