/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route - from a request to an ordered list of targets.
 *
 *   what the caller named            how it is read, the first that fits
 *   -------------------------------  ------------------------------------------------------------
 *   a provider (native door)         that provider, with the named model or its default
 *   "" or "auto"                     the route of the task class, else the default role
 *   a role                           its list
 *   an alias, exact, then a pattern  its list
 *   provider/model                   that one
 *   a model's name                   every provider that lists it, in the order of configuration
 *   anything else                    the alias "*" if there is one, else MODEL_NOT_FOUND
 *
 * A list is walked in order; its entries are roles again, providers, provider/model or models. Each
 * candidate passes add(), the one gate: what may not be asked (policy), cannot say it (needs), cannot
 * hold it (context) or is not there is noted as skipped, with the reason. What remains is the plan. When
 * nothing remains, the notes decide which error it is.
 *
 * The order of a list is the operator's and stays. Only providers that list one bare name are equals: of
 * these the first is the one whose window holds the request for sure, then the one that has the model in
 * memory, then the one with a free place, then the one with the fewest calls. Local ones change places with
 * local ones only, so that what is near and what is far, free and paid, stays as configured.
 */
#include <assert.h>

#include "policy/policy.h"

#define ROLE_DEPTH_MAX 8 /* a role that names a role that names ... */
#define NAMES_TOLD_MAX 10

const char *const policy_tasks[] = {
    "simple_query", "explanation", "documentation", "code_generation", "tool_calling",
    "multi_step",   NULL};

struct role_path { /* the roles we are inside of, so that one cannot contain itself */
    const struct policy_list *role;
    const struct role_path *outer;
    unsigned depth;
};

struct run {
    const struct policy_facts *facts;
    const struct policy_conf *conf;
    const struct llm_request *r;
    struct arena *arena;
    struct policy_plan *plan;
    bool local_only;
    const char *local_why; /* "airgap", "private", "mode local" */
    enum llm_mode mode;
    int only;        /* the explicit provider, -1 = any */
    uint32_t cannot; /* needs that kept a candidate out */
    unsigned forbidden, unsupported, unknown, too_long;
    int64_t tokens;                                /* the request's, estimated high; 0 = not yet */
    int64_t tokens_low;                            /* the same, estimated low; -1 = not yet */
    int64_t context_max;                           /* the largest window that was too small */
    struct policy_model known[POLICY_TARGETS_MAX]; /* of the plan's targets */
};

static bool is_task(strv task)
{
    for (size_t i = 0; policy_tasks[i] != NULL; i++)
        if (strv_eq_cstr(task, policy_tasks[i]))
            return true;
    return false;
}

/* ---- hints ---- */

bool policy_mode_parse(strv text, enum llm_mode *out)
{
    static const struct {
        const char *name;
        enum llm_mode mode;
    } rows[] = {{"local", LLM_MODE_LOCAL}, {"hybrid", LLM_MODE_HYBRID}, {"cloud", LLM_MODE_CLOUD}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strv_eq_nocase(text, strv_of(rows[i].name))) {
            *out = rows[i].mode;
            return true;
        }
    return false;
}

static bool bad_task(struct err *err)
{
    return err_field(err, LLM_ERR_INVALID_REQUEST, "X-LLM-Task",
                     "the task class must be one of simple_query, explanation, documentation, "
                     "code_generation, tool_calling, multi_step");
}

bool policy_hints(struct llm_request *r, strv mode, strv sensitivity, strv task, struct err *err)
{
    enum llm_mode m;
    mode = strv_trim(mode);
    task = strv_trim(task);
    sensitivity = strv_trim(sensitivity);
    if (mode.len > 0) {
        if (!policy_mode_parse(mode, &m))
            return err_field(err, LLM_ERR_INVALID_REQUEST, "X-LLM-Mode",
                             "the mode must be local, hybrid or cloud");
        if (r->mode == LLM_MODE_UNSET || m < r->mode) /* two hints: the tighter one */
            r->mode = m;
    }
    if (sensitivity.len > 0 && !strv_eq_nocase(sensitivity, STRV("public")) &&
        !strv_eq_nocase(sensitivity, STRV("normal")))
        r->private_hint = true;
    if (task.len > 0) {
        /* The scheduler's schema has the verdict among the classes. A body that says it is not overruled by
         * a header that names another class. */
        if (strv_eq(r->task, STRV("privacy_sensitive")) || strv_eq(task, STRV("privacy_sensitive")))
            r->private_hint = true;
        if (strv_eq(task, STRV("privacy_sensitive")))
            return true;
        if (!is_task(task))
            return bad_task(err);
        r->task = task;
    }
    return true;
}

/* ---- names ---- */

static int find_provider(const struct policy_provider *providers, size_t n, strv name)
{
    for (size_t i = 0; i < n; i++)
        if (strv_eq_cstr(name, providers[i].name))
            return (int)i;
    return -1;
}

void policy_name_parse(const struct policy_provider *providers, size_t n, strv text,
                       struct arena *arena, struct policy_name *out)
{
    strv rest = text, head;
    *out = (struct policy_name){.text = arena_cstr(arena, text)};
    if (strv_cut(&rest, '/', &head) && rest.ptr != NULL && find_provider(providers, n, head) >= 0) {
        out->provider = arena_cstr(arena, head);
        out->model = rest.len > 0 ? arena_cstr(arena, rest) : NULL;
    } else {
        out->model = out->text;
    }
}

static const struct policy_list *find_list(const struct policy_list *lists, size_t n, strv name)
{
    for (size_t i = 0; i < n; i++)
        if (strv_eq_cstr(name, lists[i].name))
            return &lists[i];
    return NULL;
}

static const struct policy_list *find_role(const struct run *run, strv name)
{
    return find_list(run->conf->roles, run->conf->n_roles, name);
}

static const struct policy_list *default_role(const struct run *run)
{
    return run->conf->default_role != NULL ? find_role(run, strv_of(run->conf->default_role))
                                           : NULL;
}

/* The roles with a meaning of their own: one that nobody filled is the default role. */
static bool is_known_role(strv name)
{
    static const char *const names[] = {"fast", "general",   "tools",
                                        "code", "reasoning", "embedding"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strv_eq_cstr(name, names[i]))
            return true;
    return false;
}

static const struct policy_list *find_alias(const struct run *run, strv name)
{
    const struct policy_conf *conf = run->conf;
    const struct policy_list *exact = find_list(conf->aliases, conf->n_aliases, name);
    if (exact != NULL)
        return exact;
    for (size_t i = 0; i < conf->n_aliases; i++) {
        strv pattern = strv_of(conf->aliases[i].name);
        /* "*" alone stands for names nobody knows, so it must not hide those somebody does. */
        if (!strv_eq(pattern, STRV("*")) && strv_glob(pattern, name))
            return &conf->aliases[i];
    }
    return NULL;
}

/* ---- candidates ---- */

static void skip(struct run *run, const char *candidate, const char *why)
{
    struct policy_plan *plan = run->plan;
    if (plan->n_skips < POLICY_TARGETS_MAX && candidate != NULL)
        plan->skips[plan->n_skips++] = (struct policy_skip){candidate, why};
}

static const char *label(struct run *run, size_t provider, strv model)
{
    return arena_printf(run->arena, "%s/" STRV_FMT, run->facts->providers[provider].name,
                        STRV_ARG(model));
}

static bool is_planned(const struct policy_plan *plan, size_t provider, strv model)
{
    for (size_t i = 0; i < plan->n; i++)
        if (plan->targets[i].provider == provider && strv_eq(plan->targets[i].model, model))
            return true;
    return false;
}

/* ---- does it fit? ---- */

static int64_t count_letters(strv text)
{
    int64_t n = 0;
    bool blank = false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_blank = c <= ' ';
        n += (c & 0xc0) != 0x80 && !(blank && is_blank);
        blank = is_blank;
    }
    return n;
}

static int64_t part_letters(const struct llm_part *p)
{
    int64_t n = p->kind == LLM_PART_LINK ? 0 : count_letters(p->text);
    for (size_t i = 0; i < p->n_parts; i++)
        n += part_letters(&p->parts[i]);
    return n;
}

/* Less than any tokenizer makes of it: an eighth of the letters, however many bytes they have, runs of blanks
 * as one. English has 4 to 5 letters a token, Chinese one or two. What is no text counts nothing. */
static int64_t estimate_low(const struct llm_request *r)
{
    int64_t n = 0;
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            n += part_letters(&r->messages[i].parts[k]);
    return n / 8;
}

static int64_t tokens_of(struct run *run)
{
    if (run->tokens == 0)
        run->tokens = llm_request_estimate_tokens(run->r);
    return run->tokens;
}

/* Letters are counted only for a request that is large enough for it to matter. Inputs of embeddings are
 * many texts, each with a window of its own. */
static bool is_too_long(struct run *run, int64_t context)
{
    if (context <= 0 || run->r->op == LLM_OP_EMBED || tokens_of(run) <= context)
        return false;
    if (run->tokens_low < 0)
        run->tokens_low = estimate_low(run->r);
    return run->tokens_low > context;
}

static bool is_sure_to_fit(struct run *run, int64_t context)
{
    const struct llm_request *r = run->r;
    int64_t answer = llm_has(r, LLM_P_MAX_TOKENS) ? (int64_t)r->params[LLM_P_MAX_TOKENS] : 0;
    return context <= 0 || r->op == LLM_OP_EMBED || tokens_of(run) + answer <= context;
}

/* ---- the gate ---- */

static const char *lack_words(uint32_t lacks)
{
    static const struct {
        uint32_t need;
        const char *words;
    } rows[] = {
        {LLM_NEED_TOOLS, "does not take tools"},         {LLM_NEED_IMAGES, "does not take images"},
        {LLM_NEED_DOCUMENTS, "does not take documents"}, {LLM_NEED_AUDIO, "does not take audio"},
        {LLM_NEED_EMBED, "makes no embeddings"},         {LLM_NEED_COUNT, "does not count tokens"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((lacks & rows[i].need) != 0)
            return rows[i].words;
    return "cannot express the request";
}

/* Why it cannot serve the request; NULL = it can. */
static const char *inability(struct run *run, const struct policy_provider *p,
                             const struct policy_model *known)
{
    /* Whoever fetches it, the address goes to somebody who is no provider, and it may say as much as a text. */
    if (run->plan->is_private && (run->r->needs & LLM_NEED_LINKS) != 0) {
        run->unsupported++;
        run->cannot |= LLM_NEED_LINKS;
        return "private, and a link would be fetched from elsewhere";
    }
    uint32_t lacks = run->r->needs & (~p->can | known->lacks);
    if (lacks != 0) {
        run->unsupported++;
        run->cannot |= lacks;
        return (run->r->needs & ~p->can) != 0 ? "cannot express the request" : lack_words(lacks);
    }
    if (is_too_long(run, known->context)) {
        run->too_long++;
        if (known->context > run->context_max)
            run->context_max = known->context;
        return arena_printf(run->arena,
                            "does not fit its context window (about %lld > %lld tokens)",
                            (long long)run->tokens, (long long)known->context);
    }
    return NULL;
}

/* The gate every candidate passes. `model` has the provider's own spelling. */
static void add(struct run *run, size_t i, strv model, const struct policy_model *known,
                const char *why)
{
    const struct policy_provider *p = &run->facts->providers[i];
    struct policy_plan *plan = run->plan;
    if (run->only >= 0 && (size_t)run->only != i)
        return;
    if (run->local_only && (!p->local || known->remote)) {
        run->forbidden++;
        skip(run, label(run, i, model),
             arena_printf(run->arena, "%s, and it is in the cloud", run->local_why));
        return;
    }
    const char *unable = inability(run, p, known);
    if (unable != NULL) {
        skip(run, label(run, i, model), unable);
        return;
    }
    if (run->arena->failed || plan->n == POLICY_TARGETS_MAX || is_planned(plan, i, model))
        return;
    run->known[plan->n] = *known;
    plan->targets[plan->n++] = (struct policy_target){i, model, why};
}

/* `known->remote` is also told of a model that is not owned: the provider may pass it on elsewhere. */
static bool owns(struct run *run, size_t i, strv model, struct policy_model *known)
{
    const struct policy_facts *f = run->facts;
    *known = (struct policy_model){.exact = STRV_NONE, .warmth = POLICY_WARMTH_UNKNOWN};
    if (!f->has_model(f->arg, i, model, run->arena, known))
        return false;
    if (known->exact.ptr == NULL)
        known->exact = model;
    return true;
}

static strv any_model(struct run *run, size_t i)
{
    return run->facts->any_model(run->facts->arg, i, run->arena);
}

static void add_unknown(struct run *run, size_t i, strv model)
{
    run->unknown++;
    skip(run, label(run, i, model), "its models are not known yet");
}

/* A model that the configuration or the caller names and no list confirms. Where it would be served
 * is unknown then, and unknown does not leave the premises. */
static void add_unlisted(struct run *run, size_t i, strv model, struct policy_model *known,
                         const char *why)
{
    if (known->remote && run->local_only && run->facts->providers[i].local) {
        add_unknown(run, i, model);
        return;
    }
    known->remote = false;
    add(run, i, arena_strv(run->arena, model), known, why);
}

/* Provider i with whatever it serves when no model is named. */
static void add_default(struct run *run, size_t i, const char *why)
{
    const struct policy_provider *p = &run->facts->providers[i];
    strv model = strv_of(p->default_model);
    struct policy_model known = {.warmth = POLICY_WARMTH_UNKNOWN};
    if (model.len == 0)
        model = any_model(run, i);
    if (run->only >= 0 && (size_t)run->only != i)
        return;
    if (model.len == 0 && run->local_only && !p->local)
        add(run, i, STRV(""), &known, why); /* forbidden, whatever its models */
    else if (model.len == 0)
        add_unknown(run, i, STRV("?"));
    else if (owns(run, i, model, &known))
        add(run, i, known.exact, &known, why);
    else
        add_unlisted(run, i, model, &known, why);
}

/* provider/model: taken as written while the provider's list is not known. False: the list is known
 * and does not hold it. */
static bool add_named(struct run *run, size_t i, strv model, const char *why)
{
    struct policy_model known;
    if (run->only >= 0 && (size_t)run->only != i)
        return true;
    if (owns(run, i, model, &known)) {
        add(run, i, known.exact, &known, why);
    } else if (any_model(run, i).len == 0) {
        add_unlisted(run, i, model, &known, why);
    } else {
        skip(run, label(run, i, model), "the provider does not list it");
        return false;
    }
    return true;
}

/* Is the a-th target a better choice than the b-th, of two that are otherwise equal? */
static bool is_better(struct run *run, size_t a, size_t b)
{
    const struct policy_model *x = &run->known[a], *y = &run->known[b];
    bool fits_x = is_sure_to_fit(run, x->context), fits_y = is_sure_to_fit(run, y->context);
    if (fits_x != fits_y)
        return fits_x;
    if (x->warmth != y->warmth)
        return x->warmth > y->warmth;
    if (x->full != y->full)
        return y->full;
    return x->calls < y->calls;
}

static bool is_near(const struct run *run, size_t target)
{
    const struct policy_target *t = &run->plan->targets[target];
    return run->facts->providers[t->provider].local && !run->known[target].remote;
}

static void exchange_targets(struct run *run, size_t a, size_t b)
{
    struct policy_target target = run->plan->targets[a];
    struct policy_model known = run->known[a];
    run->plan->targets[a] = run->plan->targets[b];
    run->known[a] = run->known[b];
    run->plan->targets[b] = target;
    run->known[b] = known;
}

/* The targets from `first` on are equals: the best one first, others in the order they have. */
static void rank(struct run *run, size_t first)
{
    for (size_t i = first + 1; i < run->plan->n; i++) {
        size_t at = i;
        for (size_t k = i; k-- > first;) {
            if (is_near(run, k) != is_near(run, at))
                continue;
            if (!is_better(run, at, k))
                break;
            exchange_targets(run, k, at);
            at = k;
        }
    }
}

static bool add_listed(struct run *run, strv model, const char *why)
{
    bool found = false;
    size_t first = run->plan->n;
    for (size_t i = 0; i < run->facts->n_providers; i++) {
        struct policy_model known;
        if (owns(run, i, model, &known)) {
            found = true;
            add(run, i, known.exact, &known, why);
        }
    }
    rank(run, first);
    return found;
}

static bool is_inside(const struct role_path *path, const struct policy_list *role)
{
    for (; path != NULL; path = path->outer)
        if (path->role == role)
            return true;
    return false;
}

static void walk(struct run *run, const struct policy_list *list, const struct role_path *outer,
                 const char *why);

/* `name` is a role without a list of its own: the default role's. */
static bool walk_unfilled(struct run *run, strv name, const struct role_path *path, const char *why)
{
    const struct policy_list *role = default_role(run);
    if (!is_known_role(name) || find_role(run, name) != NULL || role == NULL ||
        is_inside(path, role) || (path != NULL && path->depth >= ROLE_DEPTH_MAX))
        return false;
    walk(
        run, role, path,
        arena_printf(run->arena, "%s, role " STRV_FMT " is the default role", why, STRV_ARG(name)));
    return true;
}

static void add_entry(struct run *run, const struct policy_name *name, const struct role_path *path,
                      const char *why)
{
    const struct policy_facts *f = run->facts;
    strv model = strv_of(name->model);
    if (name->provider != NULL) {
        int i = find_provider(f->providers, f->n_providers, strv_of(name->provider));
        if (i < 0)
            skip(run, name->text, "no such provider");
        else if (model.len == 0)
            add_default(run, (size_t)i, why);
        else
            add_named(run, (size_t)i, model, why);
        return;
    }
    const struct policy_list *role = find_role(run, model);
    int i = find_provider(f->providers, f->n_providers, model);
    if (role != NULL && !is_inside(path, role) && path->depth < ROLE_DEPTH_MAX)
        walk(run, role, path, arena_printf(run->arena, "%s, role %s", why, role->name));
    else if (i >= 0)
        add_default(run, (size_t)i, why);
    else if (!add_listed(run, model, why) && !walk_unfilled(run, model, path, why))
        skip(run, name->text, role != NULL ? "the role contains itself" : "no provider lists it");
}

static void walk(struct run *run, const struct policy_list *list, const struct role_path *outer,
                 const char *why)
{
    struct role_path path = {list, outer, outer != NULL ? outer->depth + 1 : 0};
    if (why == NULL) /* memory refused; told at the end */
        return;
    for (size_t i = 0; i < list->n; i++)
        add_entry(run, &list->names[i], &path, why);
}

static void walk_default(struct run *run)
{
    const struct policy_list *role = default_role(run);
    if (role != NULL) {
        walk(run, role, NULL, arena_printf(run->arena, "role %s", role->name));
        return;
    }
    for (size_t i = 0; i < run->facts->n_providers; i++)
        add_default(run, i, "no default role: every provider in order");
}

/* ---- when nothing remains ---- */

struct told { /* names for a caller who asked for one that is not there */
    struct buf text;
    unsigned n;
};

static void tell(struct told *told, const char *prefix, strv name)
{
    if (name.len == 0 || name.len > 60)
        return;
    told->n++;
    if (told->n > NAMES_TOLD_MAX || buf_len(&told->text) > 200)
        return;
    if (buf_len(&told->text) > 0)
        buf_put_cstr(&told->text, ", ");
    buf_printf(&told->text, "%s%s" STRV_FMT, prefix, prefix[0] != '\0' ? "/" : "", STRV_ARG(name));
}

static bool not_found(struct run *run, strv name, struct err *err)
{
    const struct policy_conf *conf = run->conf;
    const struct policy_facts *f = run->facts;
    struct told told = {.n = 0};
    buf_init(&told.text, 400);
    for (size_t i = 0; i < conf->n_roles; i++)
        tell(&told, "", strv_of(conf->roles[i].name));
    for (size_t i = 0; i < f->n_providers; i++) {
        strv model = strv_of(f->providers[i].default_model);
        tell(&told, f->providers[i].name, model.len > 0 ? model : any_model(run, i));
    }
    for (size_t i = 0; i < conf->n_aliases; i++)
        if (strchr(conf->aliases[i].name, '*') == NULL)
            tell(&told, "", strv_of(conf->aliases[i].name));
    name = utf8_cut(name, 64);
    strv list = buf_view(&told.text);
    err_field(err, LLM_ERR_MODEL_NOT_FOUND, "model",
              "The model '" STRV_FMT "' does not exist. %s" STRV_FMT "%s", STRV_ARG(name),
              told.n > 0 ? "Available are: auto, " : "No model is known yet.", STRV_ARG(list),
              told.n > NAMES_TOLD_MAX ? ", ..." : "");
    buf_fini(&told.text);
    return false;
}

static bool forbidden(struct run *run, struct err *err)
{
    return err_set(err, LLM_ERR_PROVIDER_FORBIDDEN,
                   "Policy does not allow this: the request may only be served locally (%s).",
                   run->local_why);
}

static bool nothing_left(struct run *run, strv name, struct err *err)
{
    bool chosen = run->plan->explicit_choice;
    if (run->forbidden > 0 && chosen)
        return forbidden(run, err);
    if (run->too_long > 0)
        return err_field(err, LLM_ERR_CONTEXT_TOO_LONG, "messages",
                         "prompt is too long: about %lld tokens > %lld maximum",
                         (long long)run->tokens, (long long)run->context_max);
    if (run->unsupported > 0) {
        const char *field = llm_need_field(run->cannot);
        return err_field(err, LLM_ERR_UNSUPPORTED, field,
                         "%s: no provider that may serve this request supports it", field);
    }
    if (run->plan->is_private && !chosen)
        return err_set(err, LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE,
                       "The request may only be served locally, and no local provider can.");
    if (run->forbidden > 0)
        return forbidden(run, err);
    if (run->unknown > 0)
        return err_set(err, LLM_ERR_ALL_PROVIDERS_FAILED,
                       "No provider that may serve this request has told which models it has.");
    if (name.len == 0)
        return err_set(err, LLM_ERR_ALL_PROVIDERS_FAILED, "No provider has a model to offer.");
    if (find_role(run, name) != NULL || find_alias(run, name) != NULL)
        return err_field(err, LLM_ERR_MODEL_NOT_FOUND, "model",
                         "None of the models that '" STRV_FMT "' stands for is there.",
                         STRV_ARG(name));
    return not_found(run, name, err);
}

/* ---- the run ---- */

static enum llm_mode clamp_mode(enum llm_mode allowed, enum llm_mode wish)
{
    if (allowed == LLM_MODE_UNSET)
        allowed = LLM_MODE_HYBRID;
    return wish == LLM_MODE_UNSET || wish > allowed ? allowed : wish;
}

static void cloud_first(struct run *run)
{
    struct policy_plan *plan = run->plan;
    struct policy_target sorted[POLICY_TARGETS_MAX];
    size_t n = 0;
    for (int local = 0; local <= 1; local++)
        for (size_t i = 0; i < plan->n; i++)
            if (run->facts->providers[plan->targets[i].provider].local == (local == 1))
                sorted[n++] = plan->targets[i];
    assert(n == plan->n);
    memcpy(plan->targets, sorted, n * sizeof *sorted);
}

/* The caller named the provider. */
static bool plan_provider(struct run *run, size_t i, strv model, struct err *err)
{
    const struct policy_facts *f = run->facts;
    const struct policy_list *list = NULL;
    struct policy_name name;
    bool found = true;
    run->only = (int)i;
    run->plan->explicit_choice = true;
    run->plan->reason = "explicit provider";
    policy_name_parse(f->providers, f->n_providers, model, run->arena, &name);
    if (name.provider != NULL &&
        find_provider(f->providers, i + 1, strv_of(name.provider)) == (int)i)
        model = strv_of(name.model); /* the provider named twice */
    if (model.len > 0)
        list = find_role(run, model) != NULL ? find_role(run, model) : find_alias(run, model);
    if (list == NULL && is_known_role(model))
        list = default_role(run);
    struct policy_model known;
    if (model.len == 0) {
        add_default(run, i, "explicit provider");
        if (run->plan->n == 0) /* its default is not known: what the roles ask it for */
            walk_default(run);
    } else if (list != NULL && !owns(run, i, model, &known))
        walk(run, list, NULL, arena_printf(run->arena, "explicit provider, %s", list->name));
    else
        found = add_named(run, i, model, "explicit");
    if (run->plan->n > 1)
        run->plan->n = 1;
    run->only = -1;
    return run->plan->n > 0 || (found ? nothing_left(run, model, err) : not_found(run, model, err));
}

static void plan_auto(struct run *run)
{
    const struct policy_conf *conf = run->conf;
    const struct policy_list *route = NULL;
    run->plan->reason = "auto";
    if (run->plan->task.len > 0)
        route = find_list(conf->routes, conf->n_routes, run->plan->task);
    if (route != NULL) {
        run->plan->reason = arena_printf(run->arena, "hint task=%s", route->name);
        walk(run, route, NULL, arena_printf(run->arena, "task %s", route->name));
    }
    if (run->plan->n == 0) /* no route, or nothing of it may or can be asked */
        walk_default(run);
}

static bool plan_model(struct run *run, strv name, struct err *err)
{
    const struct policy_facts *f = run->facts;
    const struct policy_list *list = find_role(run, name);
    struct policy_name parsed;
    if (list != NULL) {
        run->plan->reason = arena_printf(run->arena, "role %s", list->name);
        walk(run, list, NULL, run->plan->reason);
        return true;
    }
    list = find_alias(run, name);
    if (list == NULL) {
        policy_name_parse(f->providers, f->n_providers, name, run->arena, &parsed);
        if (parsed.provider != NULL) {
            int i = find_provider(f->providers, f->n_providers, strv_of(parsed.provider));
            return plan_provider(run, (size_t)i, strv_of(parsed.model), err);
        }
        if (add_listed(run, name, "listed by provider")) {
            run->plan->reason = "model listed by provider";
            run->plan->explicit_choice = true;
            return true;
        }
        if (walk_unfilled(run, name, NULL, "model")) {
            run->plan->reason =
                arena_printf(run->arena, "role " STRV_FMT ", the default one", STRV_ARG(name));
            return true;
        }
        list = find_list(run->conf->aliases, run->conf->n_aliases, STRV("*"));
    }
    if (list == NULL)
        return not_found(run, name, err);
    run->plan->reason = arena_printf(run->arena, "alias %s", list->name);
    walk(run, list, NULL, run->plan->reason);
    return true;
}

static bool choose(struct run *run, struct err *err)
{
    const struct policy_facts *f = run->facts;
    strv provider = strv_trim(run->r->provider), model = strv_trim(run->r->model);
    if (strv_eq_nocase(model, STRV("auto")))
        model = STRV_NONE;
    if (provider.len > 0 && !strv_eq(provider, STRV("auto"))) {
        int i = find_provider(f->providers, f->n_providers, provider);
        provider = utf8_cut(provider, 64);
        if (i < 0)
            return err_field(err, LLM_ERR_PROVIDER_UNKNOWN, "provider",
                             "The provider '" STRV_FMT "' does not exist.", STRV_ARG(provider));
        if (!plan_provider(run, (size_t)i, model, err))
            return false;
    } else if (model.len == 0) {
        plan_auto(run);
    } else if (!plan_model(run, model, err)) {
        return false;
    }
    return run->plan->n > 0 || nothing_left(run, model, err);
}

static void finish(struct run *run)
{
    struct policy_plan *plan = run->plan;
    if (plan->explicit_choice && run->conf->explicit_fallback)
        walk_default(run);
    else if (!plan->explicit_choice && run->mode == LLM_MODE_CLOUD)
        cloud_first(run);
    if (!run->conf->fallback && plan->n > 1)
        plan->n = 1;
}

bool policy_run(const struct policy_facts *facts, const struct llm_request *r, struct arena *arena,
                struct policy_plan *out, struct err *err)
{
    const struct policy_conf *conf = facts->conf;
    struct run run = {.facts = facts,
                      .conf = conf,
                      .r = r,
                      .arena = arena,
                      .plan = out,
                      .only = -1,
                      .tokens_low = -1};
    bool said_private = r->private_hint || (facts->verdict != NULL && facts->verdict->is_private);
    *out = (struct policy_plan){.task = STRV_NONE};
    if (r->task.len > 0) {
        if (strv_eq(r->task, STRV("privacy_sensitive")))
            said_private = true;
        else if (!is_task(r->task))
            return bad_task(err);
        else
            out->task = r->task;
    }
    run.mode = clamp_mode(conf->mode, r->mode);
    /* A caller who asks for local only means this request; what the operator demands of all requests
     * is no verdict about this one. */
    out->is_private = said_private || r->mode == LLM_MODE_LOCAL;
    run.local_only = out->is_private || conf->airgap || run.mode == LLM_MODE_LOCAL;
    run.local_why = said_private ? "private" : conf->airgap ? "airgap" : "mode local";
    bool ok = choose(&run, err);
    if (ok)
        finish(&run);
    if (arena->failed)
        return err->set ? false : err_oom(err);
    return ok;
}
