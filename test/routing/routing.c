/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routing - plays the corpus of plans: facts in, plan out, one line each.
 *
 *   routing [--any N] FILE.jsonl ...
 *
 * A file begins with a scene, an object with "scene"; those after it are its cases, until the next scene.
 *
 *   scene    what it is about, in words
 *   config   the configuration file, as JSON (which is YAML)         environment  {"OLLAMA_URL": "..."}
 *   lists    {"ollama": ["llama3.2:latest", {"name": "m", ...}]}     as the server itself would tell it;
 *            an absent provider has told nothing yet
 *   loaded   {"ollama": ["mistral"]}                                 what an Ollama has in memory
 *
 *   why      what the case shows
 *   set      ["airgap=true"]: options that differ from the scene's
 *   ask      the request: model, provider, mode, task, private (hint), op ("embed", "count"), needs (["tools"]),
 *            letters (length of the prompt)
 *   found    kinds of finding in the verdict: ["mrn"]
 *   class    the classifier's word: {"task", "sure", "cloud", "complexity"}
 *   key      the rules of the caller's key: {"mode": "local", "models": "fast,claude-*", "private": true}
 *   plan     targets in order            by       the rules that had a say, in order
 *   error    instead of a plan           private  whether only local targets were allowed for
 *   reason   in words                    not      {candidate: why it was left out}
 *
 * `plan` or `error`, and `by`, must be there; the rest is compared if it is. Every case is run twice, and again
 * with facts changed that must not matter: the plan must be the same. With --any, N more requests are made up
 * over every scene, and what must hold of any plan at all is looked at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "exchange/exchange.h"

#define TEXT_MAX ((size_t)64 * 1024)

static struct {
    struct json scene;
    struct arena arena; /* of the scene */
    const char *file;
    unsigned line, run, wrong;
} t;

static bool wrong(const char *what, const char *want, const char *got)
{
    printf("# %s:%u: %s\n#   wanted %s\n#   got    %s\n", t.file, t.line, what, want, got);
    return false;
}

static void die(const char *what)
{
    fprintf(stderr, "%s:%u: %s\n", t.file, t.line, what);
    exit(2);
}

static const char *text_of(struct arena *arena, yyjson_val *v)
{
    return yyjson_is_str(v) ? arena_cstr(arena, json_str(v)) : NULL;
}

/* ---- the scene ---- */

static const char *const *strings(struct arena *arena, yyjson_val *list)
{
    size_t n = yyjson_arr_size(list), i, max;
    const char **out = ARENA_ARRAY(arena, const char *, n + 1);
    yyjson_val *v;
    yyjson_arr_foreach(list, i, max, v) out[i] = text_of(arena, v);
    return out;
}

static const char *const *environment(struct arena *arena)
{
    yyjson_val *vars = json_get(t.scene.root, "environment"), *k, *v;
    const char **out = ARENA_ARRAY(arena, const char *, yyjson_obj_size(vars) + 2);
    size_t i, max, n = 0;
    yyjson_obj_foreach(vars, i, max, k, v) out[n++] =
        arena_printf(arena, "%s=%s", yyjson_get_str(k), yyjson_get_str(v));
    out[n] = "HOME=/home/u";
    return out;
}

static struct config *load(struct arena *arena, yyjson_val *set)
{
    struct err err = ERR_INIT;
    strv yaml = STRV("");
    struct config_source source = {.path = "/nonexistent", .environment = environment(arena)};
    source.set = strings(arena, set);
    json_raw_member(&t.scene, t.scene.root, "config", &yaml);
    struct config *c = config_load_text(&source, yaml, &err);
    if (c == NULL)
        die(err.text);
    return c;
}

/* What the provider would say when it is asked for its models. */
static strv list_text(struct arena *arena, enum provider_kind kind, yyjson_val *names)
{
    struct buf b;
    size_t i, max;
    yyjson_val *v;
    buf_init(&b, TEXT_MAX);
    buf_put_cstr(&b, kind == PROVIDER_OLLAMA ? "{\"models\":[" : "{\"data\":[");
    yyjson_arr_foreach(names, i, max, v)
    {
        buf_put_cstr(&b, i > 0 ? "," : "");
        if (yyjson_is_str(v)) {
            buf_put_cstr(&b, kind == PROVIDER_OLLAMA ? "{\"name\":" : "{\"id\":");
            json_put_str(&b, json_str(v));
            buf_put_char(&b, '}');
        } else {
            json_put_val(&b, v, arena);
        }
    }
    buf_put_cstr(&b, "]}");
    strv text = arena_strv(arena, buf_view(&b));
    buf_fini(&b);
    return text;
}

static void tell_lists(struct arena *arena, struct snapshot *s)
{
    yyjson_val *lists = json_get(t.scene.root, "lists"), *loaded = json_get(t.scene.root, "loaded");
    for (size_t i = 0; i < s->n_providers; i++) {
        const struct provider *p = &s->providers[i];
        struct err err = ERR_INIT;
        yyjson_val *names = json_get(lists, p->name);
        if (names != NULL &&
            !provider_models_take(p->cell, p->kind, list_text(arena, p->kind, names), &err))
            die(err.text);
        names = json_get(loaded, p->name);
        if (names != NULL &&
            !provider_learn_loaded(p->cell, list_text(arena, PROVIDER_OLLAMA, names)))
            die("loaded");
    }
}

/* ---- a case ---- */

struct facts { /* all that a plan is made of */
    struct llm_request r;
    struct privacy_verdict verdict;
    struct classify_result classified;
    bool has_class;
    struct policy_key key;
    struct llm_message message;
    struct llm_part part;
};

static uint32_t need_bit(strv name)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } rows[] = {{"tools", LLM_NEED_TOOLS},         {"images", LLM_NEED_IMAGES},
                {"documents", LLM_NEED_DOCUMENTS}, {"audio", LLM_NEED_AUDIO},
                {"embed", LLM_NEED_EMBED},         {"count", LLM_NEED_COUNT},
                {"links", LLM_NEED_LINKS},         {"choices", LLM_NEED_CHOICES},
                {"logprobs", LLM_NEED_LOGPROBS},   {"raw", LLM_NEED_OLLAMA_RAW}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strv_eq_cstr(name, rows[i].name))
            return rows[i].bit;
    die("no such need");
    return 0;
}

static void take_ask(struct facts *f, yyjson_val *ask, struct arena *arena)
{
    struct err err = ERR_INIT;
    struct llm_request *r = &f->r;
    yyjson_val *v;
    size_t i, max, letters = (size_t)json_get_int(ask, "letters", 20);
    strv op = json_get_str(ask, "op");
    *r = (struct llm_request){.model = json_get_str(ask, "model"),
                              .provider = json_get_str(ask, "provider"),
                              .messages = &f->message,
                              .n_messages = 1,
                              .arena = arena};
    char *text = arena_alloc(arena, letters + 1);
    memset(text, 'x', letters);
    f->part = (struct llm_part){.kind = LLM_PART_TEXT, .text = {text, letters}};
    f->message = (struct llm_message){LLM_USER, &f->part, 1};
    r->op = strv_eq(op, STRV("embed"))   ? LLM_OP_EMBED
            : strv_eq(op, STRV("count")) ? LLM_OP_COUNT
                                         : LLM_OP_CHAT;
    if (r->op != LLM_OP_CHAT)
        r->needs |= r->op == LLM_OP_EMBED ? LLM_NEED_EMBED : LLM_NEED_COUNT;
    yyjson_arr_foreach(json_get(ask, "needs"), i, max, v) r->needs |= need_bit(json_str(v));
    if (!policy_hints(r, json_get_str(ask, "mode"),
                      yyjson_get_bool(json_get(ask, "private")) ? STRV("private") : STRV_NONE,
                      json_get_str(ask, "task"), &err))
        die(err.text);
}

static void take_verdict(struct facts *f, yyjson_val *found)
{
    size_t i, max;
    yyjson_val *v;
    privacy_verdict_init(&f->verdict);
    yyjson_arr_foreach(found, i, max, v)
    {
        unsigned kind = 0;
        while (kind < PRIVACY_KINDS && !strv_eq_cstr(json_str(v), privacy_kinds[kind].name))
            kind++;
        if (kind == PRIVACY_KINDS)
            die("no such kind of finding");
        privacy_verdict_add(&f->verdict, (enum privacy_kind)kind);
    }
}

static void take_class(struct facts *f, yyjson_val *class)
{
    struct classify_result *c = &f->classified;
    unsigned task = 0;
    double complexity = 0.5;
    f->has_class = class != NULL;
    *c = (struct classify_result){.why = "said"};
    if (class == NULL)
        return;
    while (policy_tasks[task] != NULL &&
           !strv_eq_cstr(json_get_str(class, "task"), policy_tasks[task]))
        task++;
    if (policy_tasks[task] == NULL)
        die("no such class");
    (void)json_is_num(json_get(class, "complexity"), &complexity);
    yyjson_val *sure = json_get(class, "sure");
    c->task = task;
    c->scores[task] = 1;
    c->sure = sure == NULL || yyjson_get_bool(sure);
    c->needs_cloud = yyjson_get_bool(json_get(class, "cloud")) ? 0.9f : 0.1f;
    c->complexity = (float)complexity;
}

static void take_key(struct facts *f, yyjson_val *key)
{
    struct policy_rules *rules = &f->key.rules;
    if (key == NULL)
        return;
    snprintf(f->key.id, sizeof f->key.id, "k_test");
    rules->force_private = yyjson_get_bool(json_get(key, "private"));
    snprintf(rules->models, sizeof rules->models, STRV_FMT, STRV_ARG(json_get_str(key, "models")));
    strv mode = json_get_str(key, "mode");
    if (mode.len > 0 && !policy_mode_parse(mode, &rules->mode))
        die("no such mode");
}

static bool run(struct snapshot *s, const struct facts *f, struct arena *arena,
                struct policy_plan *plan, struct err *err)
{
    const struct exchange_basis basis = {
        .verdict = &f->verdict,
        .classified = f->has_class ? &f->classified : NULL,
        .key = f->key.id[0] != '\0' ? &f->key : NULL,
    };
    *err = ERR_INIT;
    return exchange_plan(s, &f->r, &basis, arena, plan, err);
}

/* ---- as text ---- */

static const char *targets_text(const struct snapshot *s, const struct policy_plan *plan,
                                struct arena *arena)
{
    char *text = arena_cstr(arena, STRV(""));
    for (size_t i = 0; i < plan->n; i++)
        text = arena_printf(arena, "%s%s%s/" STRV_FMT, text, i > 0 ? " " : "",
                            s->providers[plan->targets[i].provider].name,
                            STRV_ARG(plan->targets[i].model));
    return text;
}

static const char *steps_text(const struct policy_plan *plan, struct arena *arena)
{
    char *text = arena_cstr(arena, STRV(""));
    for (size_t i = 0; i < plan->n_steps; i++)
        text = arena_printf(arena, "%s%s%s", text, i > 0 ? " " : "",
                            policy_orders[plan->steps[i]].name);
    return text;
}

static const char *list_words(yyjson_val *list, struct arena *arena)
{
    char *text = arena_cstr(arena, STRV(""));
    size_t i, max;
    yyjson_val *v;
    yyjson_arr_foreach(list, i, max, v) text =
        arena_printf(arena, "%s%s%s", text, i > 0 ? " " : "", yyjson_get_str(v));
    return text;
}

/* Everything a plan says, for comparing two. */
static const char *whole_text(const struct snapshot *s, const struct policy_plan *plan,
                              const struct err *err, struct arena *arena)
{
    char *text = arena_printf(arena, "%s | %s | %s | %d %s", targets_text(s, plan, arena),
                              steps_text(plan, arena), plan->reason != NULL ? plan->reason : "-",
                              plan->is_private, err->set ? err->text : "");
    for (size_t i = 0; i < plan->n; i++)
        text = arena_printf(arena, "%s; %s", text, plan->targets[i].why);
    for (size_t i = 0; i < plan->n_skips; i++)
        text = arena_printf(arena, "%s; %s %s", text, plan->skips[i].candidate, plan->skips[i].why);
    return text;
}

/* ---- what must hold of any plan ---- */

static bool is_home(struct snapshot *s, const struct policy_target *target, struct arena *arena)
{
    struct provider_facts f;
    (void)provider_model_facts(&s->providers[target->provider], target->model, arena, &f);
    return s->providers[target->provider].zone == ZONE_LOCAL && !f.remote;
}

static bool private_stays_home(struct snapshot *s, const struct facts *f,
                               const struct policy_plan *plan, struct arena *arena)
{
    bool confined = f->verdict.is_private || f->r.private_hint || f->r.mode == LLM_MODE_LOCAL ||
                    f->key.rules.force_private || f->key.rules.mode == LLM_MODE_LOCAL ||
                    s->policy.airgap || s->policy.mode == LLM_MODE_LOCAL;
    for (size_t i = 0; confined && i < plan->n; i++)
        if (!is_home(s, &plan->targets[i], arena))
            return wrong("in the cloud", "local targets", targets_text(s, plan, arena));
    return true;
}

/* The same again, and with facts changed that no rule looks at. */
static bool same_again(struct snapshot *s, const struct facts *f, const char *first,
                       struct arena *arena)
{
    struct policy_plan plan;
    struct err err;
    struct facts other = *f;
    (void)run(s, f, arena, &plan, &err);
    const char *again = whole_text(s, &plan, &err, arena);
    if (strcmp(first, again) != 0)
        return wrong("not the same again", first, again);
    other.r.stream = !other.r.stream;
    other.r.dialect = LLM_ANTHROPIC;
    other.verdict.score = 7;
    other.classified.why = "otherwise";
    for (size_t i = 0; i < CLASSIFY_TASKS; i++)
        other.classified.scores[i] = 0.1f;
    /* What was found makes no difference, only that it was; but for a link that nobody can read. */
    if (f->verdict.is_private && f->verdict.counts[PRIVACY_UNREADABLE] == 0)
        privacy_verdict_add(&other.verdict, PRIVACY_LANGUAGE);
    (void)run(s, &other, arena, &plan, &err);
    again = whole_text(s, &plan, &err, arena);
    return strcmp(first, again) == 0 || wrong("facts that must not matter", first, again);
}

/* Whoever is more careful gets no target in the cloud that he would not have got anyway. */
static bool care_adds_no_cloud(struct snapshot *s, const struct facts *f,
                               const struct policy_plan *plan, struct arena *arena)
{
    struct facts careful = *f;
    struct policy_plan other;
    struct err err;
    privacy_verdict_add(&careful.verdict, PRIVACY_SUSPECT);
    (void)run(s, &careful, arena, &other, &err);
    for (size_t i = 0; i < other.n; i++)
        if (!is_home(s, &other.targets[i], arena))
            return wrong("a verdict let it out", targets_text(s, plan, arena),
                         targets_text(s, &other, arena));
    return true;
}

/* A provider that was named answers alone, or nobody does. */
static bool choice_is_kept(struct snapshot *s, const struct facts *f,
                           const struct policy_plan *plan, struct arena *arena)
{
    bool named = f->r.provider.len > 0 && !strv_eq(f->r.provider, STRV("auto"));
    size_t n = s->policy.explicit_fallback && plan->n > 1 ? 1 : plan->n;
    for (size_t i = 0; named && i < n; i++)
        if (!strv_eq_cstr(f->r.provider, s->providers[plan->targets[i].provider].name))
            return wrong("another provider than was named", s->providers[i].name,
                         targets_text(s, plan, arena));
    return true;
}

static bool holds(struct snapshot *s, const struct facts *f, struct arena *arena)
{
    struct policy_plan plan;
    struct err err;
    bool ok = run(s, f, arena, &plan, &err);
    if (ok != (plan.n > 0) && ok)
        return wrong("a plan", "targets", "none");
    return private_stays_home(s, f, &plan, arena) && choice_is_kept(s, f, &plan, arena) &&
           same_again(s, f, whole_text(s, &plan, &err, arena), arena) &&
           care_adds_no_cloud(s, f, &plan, arena);
}

/* ---- comparing ---- */

static bool compare(struct arena *arena, yyjson_val *row, const char *key, const char *got)
{
    yyjson_val *want = json_get(row, key);
    const char *text = yyjson_is_arr(want) ? list_words(want, arena) : text_of(arena, want);
    return want == NULL || strcmp(text, got) == 0 || wrong(key, text, got);
}

static bool compare_skips(struct arena *arena, yyjson_val *row, const struct policy_plan *plan)
{
    size_t i, max;
    yyjson_val *k, *v;
    yyjson_obj_foreach(json_get(row, "not"), i, max, k, v)
    {
        const char *why = "it was not left out";
        for (size_t n = 0; n < plan->n_skips; n++)
            if (strv_eq_cstr(json_str(k), plan->skips[n].candidate))
                why = plan->skips[n].why;
        if (strcmp(yyjson_get_str(v), why) != 0)
            return wrong(text_of(arena, k), yyjson_get_str(v), why);
    }
    return true;
}

static bool judge(struct snapshot *s, const struct facts *f, yyjson_val *row, struct arena *arena)
{
    struct policy_plan plan;
    struct err err;
    bool ok = run(s, f, arena, &plan, &err);
    yyjson_val *is_private = json_get(row, "private");
    if (ok == (json_get(row, "error") != NULL))
        return wrong("the end", ok ? "an error" : "a plan",
                     ok ? targets_text(s, &plan, arena) : err.text);
    return compare(arena, row, "plan", targets_text(s, &plan, arena)) &&
           compare(arena, row, "error", ok ? "" : llm_error_row(err.code)->code) &&
           compare(arena, row, "by", steps_text(&plan, arena)) &&
           compare(arena, row, "reason", plan.reason != NULL ? plan.reason : "") &&
           compare_skips(arena, row, &plan) &&
           (is_private == NULL || yyjson_get_bool(is_private) == plan.is_private ||
            wrong("private", "otherwise", plan.is_private ? "yes" : "no")) &&
           holds(s, f, arena);
}

static void read_facts(struct facts *f, yyjson_val *row, struct arena *arena)
{
    memset(f, 0, sizeof *f);
    take_ask(f, json_get(row, "ask"), arena);
    take_verdict(f, json_get(row, "found"));
    take_class(f, json_get(row, "class"));
    take_key(f, json_get(row, "key"));
}

static void play(yyjson_val *row)
{
    struct arena arena;
    struct facts f;
    arena_init(&arena, 16384, 64 << 20);
    if (json_get(row, "by") == NULL ||
        (json_get(row, "plan") == NULL) == (json_get(row, "error") == NULL))
        die("a case needs by, and plan or error");
    struct config *c = load(&arena, json_get(row, "set"));
    tell_lists(&arena, c->snapshot);
    read_facts(&f, row, &arena);
    bool ok = judge(c->snapshot, &f, row, &arena);
    t.run++;
    t.wrong += !ok;
    printf("%s %u - %s\n", ok ? "ok" : "not ok", t.run, text_of(&arena, json_get(row, "why")));
    config_free(c);
    provider_cells_free();
    arena_fini(&arena);
}

/* ---- made up ---- */

static const char *pick(struct rng *rng, const char *const *words)
{
    size_t n = 0;
    while (words[n] != NULL)
        n++;
    return words[rng_below(rng, n)];
}

/* Names that mean something in the scene, and some that do not. */
static strv any_name(struct rng *rng, const struct snapshot *s, struct arena *arena)
{
    static const char *const others[] = {"", "auto", "fast", "code", "gpt-4o", "nobody", NULL};
    const struct policy_conf *conf = &s->policy;
    size_t kind = rng_below(rng, 5);
    const struct provider *p = &s->providers[rng_below(rng, s->n_providers)];
    struct provider_models *m = provider_models_any(p);
    char *name = arena_cstr(arena, strv_of(pick(rng, others)));
    if (kind < 2 && m != NULL && m->n > 0) {
        const char *model = m->items[rng_below(rng, m->n)].name;
        name = kind == 0 ? arena_cstr(arena, strv_of(model))
                         : arena_printf(arena, "%s/%s", p->name, model);
    } else if (kind == 2 && conf->n_roles > 0) {
        name = arena_cstr(arena, strv_of(conf->roles[rng_below(rng, conf->n_roles)].name));
    } else if (kind == 3 && conf->n_aliases > 0) {
        name = arena_cstr(arena, strv_of(conf->aliases[rng_below(rng, conf->n_aliases)].name));
    }
    provider_models_unref(m);
    return strv_of(name);
}

static void make_up(struct facts *f, struct rng *rng, const struct snapshot *s, struct arena *arena)
{
    static const uint32_t needs[] = {
        0, 0, 0, LLM_NEED_TOOLS, LLM_NEED_IMAGES, LLM_NEED_LINKS, LLM_NEED_CHOICES};
    static const enum llm_mode modes[] = {LLM_MODE_UNSET, LLM_MODE_UNSET, LLM_MODE_LOCAL,
                                          LLM_MODE_HYBRID, LLM_MODE_CLOUD};
    memset(f, 0, sizeof *f);
    take_ask(f, NULL, arena);
    privacy_verdict_init(&f->verdict);
    f->r.model = any_name(rng, s, arena);
    if (rng_below(rng, 5) == 0)
        f->r.provider = strv_of(s->providers[rng_below(rng, s->n_providers)].name);
    f->r.mode = modes[rng_below(rng, 5)];
    f->r.private_hint = rng_below(rng, 4) == 0;
    f->r.needs = needs[rng_below(rng, 7)];
    if (rng_below(rng, 3) == 0)
        f->r.task = strv_of(policy_tasks[rng_below(rng, CLASSIFY_TASKS)]);
    if (rng_below(rng, 4) == 0)
        privacy_verdict_add(&f->verdict, (enum privacy_kind)rng_below(rng, PRIVACY_KINDS));
    if (rng_below(rng, 3) == 0) {
        snprintf(f->key.id, sizeof f->key.id, "k_any");
        f->key.rules.force_private = rng_below(rng, 4) == 0;
        f->key.rules.mode = modes[rng_below(rng, 5)];
        snprintf(f->key.rules.models, sizeof f->key.rules.models, "%s",
                 rng_below(rng, 2) == 0 ? "*" : "l*,fast");
    }
    f->has_class = rng_below(rng, 4) != 0;
    f->classified.task = (unsigned)rng_below(rng, CLASSIFY_TASKS);
    f->classified.sure = rng_below(rng, 4) != 0;
    f->classified.needs_cloud = rng_below(rng, 2) == 0 ? 0.1f : 0.9f;
    f->classified.complexity = (float)rng_below(rng, 101) / 100;
    f->classified.why = "made up";
}

static void play_any(unsigned n)
{
    static const char *const sets[] = {
        "mode=hybrid",    "mode=local", "mode=cloud", "airgap=true", "explicit_fallback=true",
        "fallback=false", NULL};
    static struct rng rng; /* the same requests every time */
    struct arena arena, scratch;
    bool ok = true;
    rng_seed(&rng, 4);
    arena_init(&arena, 16384, 64 << 20);
    for (size_t i = 0; sets[i] != NULL && ok; i++) {
        const char *set[] = {sets[i], NULL};
        struct err err = ERR_INIT;
        struct config_source source = {.path = "/nonexistent", .environment = environment(&arena)};
        strv yaml = STRV("");
        source.set = set;
        json_raw_member(&t.scene, t.scene.root, "config", &yaml);
        struct config *c = config_load_text(&source, yaml, &err);
        if (c == NULL) /* nothing is left of the scene */
            continue;
        tell_lists(&arena, c->snapshot);
        for (unsigned k = 0; k < n && ok; k++) {
            struct facts f;
            arena_init(&scratch, 16384, 1 << 20);
            make_up(&f, &rng, c->snapshot, &scratch);
            ok = holds(c->snapshot, &f, &scratch);
            arena_fini(&scratch);
        }
        config_free(c);
        provider_cells_free();
    }
    t.run++;
    t.wrong += !ok;
    printf("%s %u - any request: %s\n", ok ? "ok" : "not ok", t.run,
           text_of(&arena, json_get(t.scene.root, "scene")));
    arena_fini(&arena);
}

/* ---- files ---- */

static void play_line(strv line, unsigned any)
{
    struct arena arena;
    struct json doc;
    struct err err = ERR_INIT;
    arena_init(&arena, 16384, 16 << 20);
    if (!json_read(&doc, line, &arena, 0, &err))
        die(err.text);
    if (json_get(doc.root, "scene") != NULL) {
        arena_reset(&t.arena);
        if (!json_read(&t.scene, arena_strv(&t.arena, line), &t.arena, 0, &err))
            die(err.text);
        if (any > 0)
            play_any(any);
    } else {
        play(doc.root);
    }
    arena_fini(&arena);
}

static void play_file(const char *path, unsigned any)
{
    static char text[1 << 20];
    FILE *f = fopen(path, "rb");
    t.file = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    t.line = 0;
    if (f == NULL)
        die("cannot open");
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    strv rest = {text, n}, line;
    while (strv_cut(&rest, '\n', &line)) {
        t.line++;
        if (strv_trim(line).len > 0)
            play_line(line, any);
    }
}

int main(int argc, char **argv)
{
    unsigned any = 0;
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "--any") == 0) {
        any = (unsigned)strtoul(argv[2], NULL, 10);
        first = 3;
    }
    arena_init(&t.arena, 16384, 16 << 20);
    for (int i = first; i < argc; i++)
        play_file(argv[i], any);
    printf("1..%u\n# %u passed, %u failed\n", t.run, t.run - t.wrong, t.wrong);
    arena_fini(&t.arena);
    config_forget();
    return t.wrong > 0;
}
