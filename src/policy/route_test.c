/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route - requests and the plans they get, as one table of cases over one small installation:
 *
 *   provider    zone   says it has                           default
 *   ollama      local  llama3.2:latest mistral cloudy(*)     first of its list
 *   engine      local  demo                                  demo
 *   vllm        local  nothing yet                           none
 *   raw         local  nothing yet, but may be a relay (**)  hidden
 *   anthropic   cloud  claude-opus-5-5 claude-sonnet-5-5     claude-sonnet-5-5
 *   openai      cloud  gpt-5 demo                            none: first of its list
 *
 *   (*) served by the cloud behind an Ollama   (**) nobody can tell where a model of it is served
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/policy.h"

enum { OLLAMA, ENGINE, VLLM, RAW, ANTHROPIC, OPENAI, N };

static const struct privacy_verdict harmless;

static const struct policy_provider providers[N] = {
    [OLLAMA] = {"ollama", true, LLM_NEED_OLLAMA_RAW, NULL},
    [ENGINE] = {"engine", true, LLM_NEED_CHOICES | LLM_NEED_LOGPROBS, "demo"},
    [VLLM] = {"vllm", true, LLM_NEED_CHOICES | LLM_NEED_LOGPROBS, NULL},
    [RAW] = {"raw", true, 0, "hidden"},
    [ANTHROPIC] = {"anthropic", false, 0, "claude-sonnet-5-5"},
    [OPENAI] = {"openai", false, LLM_NEED_CHOICES, NULL},
};

static const char *const lists[N][4] = {
    [OLLAMA] = {"llama3.2:latest", "mistral", "cloudy"},
    [ENGINE] = {"demo"},
    [ANTHROPIC] = {"claude-opus-5-5", "claude-sonnet-5-5"},
    [OPENAI] = {"gpt-5", "demo"},
};

static bool has_model(void *arg, size_t i, strv model, struct arena *arena,
                      struct policy_model *out)
{
    (void)arg;
    *out = (struct policy_model){.warmth = POLICY_WARMTH_UNKNOWN};
    out->remote = i == RAW || (i == OLLAMA && strv_eq(model, STRV("cloudy")));
    if (i == OLLAMA && strv_eq(model, STRV("llama3.2")))
        model = STRV("llama3.2:latest");
    for (size_t k = 0; lists[i][k] != NULL; k++)
        if (strv_eq_cstr(model, lists[i][k])) {
            out->exact = arena_strv(arena, model);
            return true;
        }
    return false;
}

static strv any_model(void *arg, size_t i, struct arena *arena)
{
    (void)arg;
    return arena_strv(arena, strv_of(lists[i][0]));
}

/* ---- roles, routes, aliases ---- */

#define P(provider, model)                                                                         \
    {                                                                                              \
        provider "/" model, provider, model                                                        \
    }
#define D(provider)                                                                                \
    {                                                                                              \
        provider "/", provider, NULL                                                               \
    }
#define M(name)                                                                                    \
    {                                                                                              \
        name, NULL, name                                                                           \
    }
#define LIST(array)                                                                                \
    array, sizeof array / sizeof *array,                                                           \
    {                                                                                              \
        0, 0                                                                                       \
    }

static struct policy_name fast[] = {P("ollama", "llama3.2"), D("engine"), M("demo")};
static struct policy_name general[] = {M("fast"), P("anthropic", "claude-sonnet-5-5")};
static struct policy_name tools[] = {P("anthropic", "claude-opus-5-5"), M("mistral"),
                                     P("ollama", "gone"), M("nobody"), P("nowhere", "x")};
static struct policy_name far[] = {P("anthropic", "claude-opus-5-5"), M("openai")};
static struct policy_name loop_a[] = {M("loop_b"), M("mistral")};
static struct policy_name loop_b[] = {M("loop_a"), M("demo")};
static struct policy_name waiting[] = {M("vllm"), M("raw")};
static struct policy_name missing[] = {P("ollama", "gone")};
static struct policy_name cloudy[] = {P("ollama", "cloudy"), P("ollama", "mistral")};
static struct policy_name nothing[1];

static struct policy_list roles[] = {
    {"fast", LIST(fast)},          {"general", LIST(general)},
    {"tools", LIST(tools)},        {"far", LIST(far)},
    {"loop_a", LIST(loop_a)},      {"loop_b", LIST(loop_b)},
    {"waiting", LIST(waiting)},    {"missing", LIST(missing)},
    {"cloudy_role", LIST(cloudy)}, {"nothing", nothing, 0, {0, 0}},
};

static struct policy_name to_tools[] = {M("tools")}, to_far[] = {M("far")},
                          to_demo[] = {D("engine")}, to_fast[] = {M("fast")};
static struct policy_list routes[] = {
    {"tool_calling", LIST(to_tools)},
    {"multi_step", LIST(to_far)},
    {"documentation", nothing, 0, {0, 0}},
};
static struct policy_list aliases[] = {
    {"gpt-4*", LIST(to_fast)},
    {"gpt-4o-mini", LIST(to_demo)}, /* exact: wins although it stands behind the pattern */
    {"gpt-4o*", LIST(to_tools)},    /* never reached */
    {"vendor/model", LIST(to_demo)},
};
static struct policy_list aliases_all[] = {{"*", LIST(to_fast)}};

static const struct policy_conf plain = {
    .mode = LLM_MODE_HYBRID,
    .fallback = true,
    .fallback_to_cloud = true,
    .fallback_to_local = true,
    .roles = roles,
    .n_roles = sizeof roles / sizeof *roles,
    .routes = routes,
    .n_routes = sizeof routes / sizeof *routes,
    .aliases = aliases,
    .n_aliases = sizeof aliases / sizeof *aliases,
    .default_role = "general",
};

/* ---- one case ---- */

struct wish {
    const char *model, *provider, *task;
    enum llm_mode mode;
    bool is_private;
    uint32_t needs;
};

enum variant { PLAIN, AIRGAP, MODE_LOCAL, MODE_CLOUD, ONE, EXPLICIT_FALLBACK, CATCH_ALL, NO_ROLES };

static struct policy_conf conf_of(enum variant v)
{
    struct policy_conf c = plain;
    c.airgap = v == AIRGAP;
    c.mode = v == MODE_LOCAL ? LLM_MODE_LOCAL : v == MODE_CLOUD ? LLM_MODE_CLOUD : c.mode;
    c.fallback = v != ONE;
    c.explicit_fallback = v == EXPLICIT_FALLBACK;
    if (v == CATCH_ALL) {
        c.aliases = aliases_all;
        c.n_aliases = 1;
    }
    if (v == NO_ROLES)
        c.n_roles = c.n_routes = c.n_aliases = 0;
    return c;
}

static struct llm_request request_of(const struct wish *w)
{
    return (struct llm_request){.model = strv_of(w->model),
                                .provider = strv_of(w->provider),
                                .task = strv_of(w->task),
                                .mode = w->mode,
                                .private_hint = w->is_private,
                                .needs = w->needs};
}

static const char *plan_text(const struct policy_plan *plan, struct arena *arena)
{
    char *text = arena_cstr(arena, STRV(""));
    for (size_t i = 0; i < plan->n; i++) {
        const struct policy_target *t = &plan->targets[i];
        assert_non_null(t->why);
        text = arena_printf(arena, "%s%s%s/" STRV_FMT, text, i > 0 ? " " : "",
                            providers[t->provider].name, STRV_ARG(t->model));
    }
    return text;
}

static bool run(enum variant v, const struct wish *w, struct arena *arena, struct policy_plan *plan,
                struct err *err)
{
    struct policy_conf conf = conf_of(v);
    struct policy_facts facts = {.conf = &conf,
                                 .providers = providers,
                                 .n_providers = N,
                                 .has_model = has_model,
                                 .any_model = any_model,
                                 .verdict = &harmless};
    struct llm_request r = request_of(w);
    return policy_run(&facts, &r, arena, plan, err);
}

#define SONNET  "anthropic/claude-sonnet-5-5"
#define OPUS    "anthropic/claude-opus-5-5"
#define FAST    "ollama/llama3.2:latest engine/demo"
#define GENERAL FAST " openai/demo " SONNET

static const struct {
    const char *name;
    enum variant variant;
    struct wish wish;
    const char *plan; /* NULL = the error */
    int error;
} cases[] = {
    /* auto, classes */
    {"auto is the default role", PLAIN, {.model = "auto"}, GENERAL, 0},
    {"empty is auto", PLAIN, {.model = ""}, GENERAL, 0},
    {"absent is auto", PLAIN, {.model = NULL}, GENERAL, 0},
    {"auto in any case, with blanks", PLAIN, {.model = " Auto "}, GENERAL, 0},
    {"a class has its route", PLAIN, {.task = "tool_calling"}, OPUS " ollama/mistral", 0},
    {"a class without a route is the default role", PLAIN, {.task = "explanation"}, GENERAL, 0},
    {"an empty route is the default role", PLAIN, {.task = "documentation"}, GENERAL, 0},
    {"a class that is none", PLAIN, {.task = "poetry"}, NULL, LLM_ERR_INVALID_REQUEST},
    {"the private class of the scheduler", PLAIN, {.task = "privacy_sensitive"}, FAST, 0},
    {"a named model goes before the class",
     PLAIN,
     {.model = "mistral", .task = "multi_step"},
     "ollama/mistral",
     0},
    {"a route whose targets are all forbidden is the default role",
     PLAIN,
     {.task = "multi_step", .is_private = true},
     FAST,
     0},
    {"without roles: every provider in order",
     NO_ROLES,
     {.model = "auto"},
     "ollama/llama3.2:latest engine/demo raw/hidden " SONNET " openai/gpt-5",
     0},

    /* roles */
    {"a role", PLAIN, {.model = "tools"}, OPUS " ollama/mistral", 0},
    {"roles in roles; the same target once", PLAIN, {.model = "general"}, GENERAL, 0},
    {"a provider's name is its default model", PLAIN, {.model = "far"}, OPUS " openai/gpt-5", 0},
    {"roles that contain each other",
     PLAIN,
     {.model = "loop_a"},
     "engine/demo openai/demo ollama/mistral",
     0},
    {"a role without entries", PLAIN, {.model = "nothing"}, NULL, LLM_ERR_MODEL_NOT_FOUND},
    {"a role that nobody filled is the default role", PLAIN, {.model = "code"}, GENERAL, 0},
    {"an unfilled role of one provider",
     PLAIN,
     {.provider = "engine", .model = "reasoning"},
     "engine/demo",
     0},
    {"the star hides no unfilled role", CATCH_ALL, {.model = "embedding"}, GENERAL, 0},
    {"without roles there is no default one",
     NO_ROLES,
     {.model = "code"},
     NULL,
     LLM_ERR_MODEL_NOT_FOUND},
    {"a role whose models are not there",
     PLAIN,
     {.model = "missing"},
     NULL,
     LLM_ERR_MODEL_NOT_FOUND},
    {"a default that is not listed is taken all the same",
     PLAIN,
     {.model = "waiting"},
     "raw/hidden",
     0},

    /* aliases */
    {"an exact alias goes before a pattern", PLAIN, {.model = "gpt-4o-mini"}, "engine/demo", 0},
    {"the first pattern that fits", PLAIN, {.model = "gpt-4o"}, FAST " openai/demo", 0},
    {"an alias may have a slash", PLAIN, {.model = "vendor/model"}, "engine/demo", 0},
    {"the star catches what nobody knows", CATCH_ALL, {.model = "gpt-4o"}, FAST " openai/demo", 0},
    {"the star hides no model", CATCH_ALL, {.model = "mistral"}, "ollama/mistral", 0},
    {"the star hides no role", CATCH_ALL, {.model = "tools"}, OPUS " ollama/mistral", 0},
    {"the star hides no provider", CATCH_ALL, {.model = "openai/gpt-5"}, "openai/gpt-5", 0},

    /* names of models */
    {"a model in the provider's own spelling",
     PLAIN,
     {.model = "llama3.2"},
     "ollama/llama3.2:latest",
     0},
    {"every provider that lists it, in order",
     PLAIN,
     {.model = "demo"},
     "engine/demo openai/demo",
     0},
    {"nobody's model", PLAIN, {.model = "nobody"}, NULL, LLM_ERR_MODEL_NOT_FOUND},
    {"letters count", PLAIN, {.model = "DEMO"}, NULL, LLM_ERR_MODEL_NOT_FOUND},
    {"an unknown provider is part of a name",
     PLAIN,
     {.model = "nowhere/x"},
     NULL,
     LLM_ERR_MODEL_NOT_FOUND},

    /* explicit */
    {"provider/model", PLAIN, {.model = "openai/demo"}, "openai/demo", 0},
    {"provider/", PLAIN, {.model = "engine/"}, "engine/demo", 0},
    {"provider/ without a default: the first it lists",
     PLAIN,
     {.model = "openai/"},
     "openai/gpt-5",
     0},
    {"provider/ that has told nothing",
     PLAIN,
     {.model = "vllm/"},
     NULL,
     LLM_ERR_ALL_PROVIDERS_FAILED},
    {"provider/model before it has told", PLAIN, {.model = "vllm/a/b"}, "vllm/a/b", 0},
    {"provider/model that it does not have",
     PLAIN,
     {.model = "engine/mistral"},
     NULL,
     LLM_ERR_MODEL_NOT_FOUND},
    {"the provider field", PLAIN, {.provider = "ollama"}, "ollama/llama3.2:latest", 0},
    {"the provider field is auto",
     PLAIN,
     {.provider = "auto", .model = "mistral"},
     "ollama/mistral",
     0},
    {"provider and model", PLAIN, {.provider = "openai", .model = "demo"}, "openai/demo", 0},
    {"provider and provider/model",
     PLAIN,
     {.provider = "openai", .model = "openai/demo"},
     "openai/demo",
     0},
    {"provider and role: its part of the role",
     PLAIN,
     {.provider = "engine", .model = "general"},
     "engine/demo",
     0},
    {"provider and another's model",
     PLAIN,
     {.provider = "engine", .model = "mistral"},
     NULL,
     LLM_ERR_MODEL_NOT_FOUND},
    {"a provider that is none", PLAIN, {.provider = "nowhere"}, NULL, LLM_ERR_PROVIDER_UNKNOWN},
    {"provider and role: one of its part",
     PLAIN,
     {.provider = "ollama", .model = "cloudy_role"},
     "ollama/cloudy",
     0},
    {"explicit is alone", PLAIN, {.provider = "anthropic"}, SONNET, 0},
    {"explicit with fallback",
     EXPLICIT_FALLBACK,
     {.provider = "anthropic", .model = "claude-opus-5-5"},
     OPUS " " GENERAL,
     0},
    {"a model's name with fallback",
     EXPLICIT_FALLBACK,
     {.model = "mistral"},
     "ollama/mistral " GENERAL,
     0},
    {"no fallback at all", ONE, {.model = "general"}, "ollama/llama3.2:latest", 0},

    /* private, airgap, modes */
    {"private: local only", PLAIN, {.is_private = true}, FAST, 0},
    {"private: a local provider's cloud model is cloud",
     PLAIN,
     {.model = "cloudy_role", .is_private = true},
     "ollama/mistral",
     0},
    {"the same model when it may",
     PLAIN,
     {.model = "cloudy_role"},
     "ollama/cloudy ollama/mistral",
     0},
    {"private and nothing local",
     PLAIN,
     {.model = "far", .is_private = true},
     NULL,
     LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE},
    {"private and nobody can tell where",
     PLAIN,
     {.model = "waiting", .is_private = true},
     NULL,
     LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE},
    {"private and an explicit cloud provider",
     PLAIN,
     {.provider = "anthropic", .is_private = true},
     NULL,
     LLM_ERR_PROVIDER_FORBIDDEN},
    {"private and an explicit cloud provider without models",
     PLAIN,
     {.model = "openai/", .is_private = true},
     NULL,
     LLM_ERR_PROVIDER_FORBIDDEN},
    {"private and a cloud model's name",
     PLAIN,
     {.model = "gpt-5", .is_private = true},
     NULL,
     LLM_ERR_PROVIDER_FORBIDDEN},
    {"private and a relayed model's name",
     PLAIN,
     {.model = "cloudy", .is_private = true},
     NULL,
     LLM_ERR_PROVIDER_FORBIDDEN},
    {"private and a name that is in both",
     PLAIN,
     {.model = "demo", .is_private = true},
     "engine/demo",
     0},
    {"private, explicit, and nobody can tell where",
     PLAIN,
     {.model = "raw/innocent", .is_private = true},
     NULL,
     LLM_ERR_ALL_PROVIDERS_FAILED},
    {"private is no fallback to others",
     EXPLICIT_FALLBACK,
     {.provider = "anthropic", .is_private = true},
     NULL,
     LLM_ERR_PROVIDER_FORBIDDEN},
    {"a private fallback is local",
     EXPLICIT_FALLBACK,
     {.model = "mistral", .is_private = true},
     "ollama/mistral " FAST,
     0},
    {"local by the caller", PLAIN, {.mode = LLM_MODE_LOCAL}, FAST, 0},
    {"local by the caller and nothing local",
     PLAIN,
     {.model = "far", .mode = LLM_MODE_LOCAL},
     NULL,
     LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE},
    {"wider than allowed is what is allowed", MODE_LOCAL, {.mode = LLM_MODE_CLOUD}, FAST, 0},
    {"cloud is clamped to hybrid", PLAIN, {.mode = LLM_MODE_CLOUD}, GENERAL, 0},
    {"cloud first",
     MODE_CLOUD,
     {.model = "auto"},
     "openai/demo " SONNET " ollama/llama3.2:latest engine/demo",
     0},
    {"the caller tightens to hybrid", MODE_CLOUD, {.mode = LLM_MODE_HYBRID}, GENERAL, 0},
    {"cloud first does not turn a chosen model",
     MODE_CLOUD,
     {.model = "demo"},
     "engine/demo openai/demo",
     0},
    {"airgap", AIRGAP, {.model = "auto"}, FAST, 0},
    {"airgap and nothing local", AIRGAP, {.model = "far"}, NULL, LLM_ERR_PROVIDER_FORBIDDEN},
    {"airgap and an explicit cloud provider",
     AIRGAP,
     {.provider = "openai"},
     NULL,
     LLM_ERR_PROVIDER_FORBIDDEN},
    {"airgap stands above a wish for the cloud", AIRGAP, {.mode = LLM_MODE_CLOUD}, FAST, 0},

    /* needs */
    {"who cannot say it is left out",
     PLAIN,
     {.needs = LLM_NEED_CHOICES},
     "engine/demo openai/demo",
     0},
    {"nobody can say it", PLAIN, {.needs = LLM_NEED_LOGIT_BIAS}, NULL, LLM_ERR_UNSUPPORTED},
    {"the explicit one cannot say it",
     PLAIN,
     {.provider = "ollama", .needs = LLM_NEED_CHOICES},
     NULL,
     LLM_ERR_UNSUPPORTED},
    {"who could is forbidden",
     PLAIN,
     {.model = "far", .is_private = true, .needs = LLM_NEED_CHOICES},
     NULL,
     LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE},
    {"both together, only one has it",
     PLAIN,
     {.needs = LLM_NEED_CHOICES | LLM_NEED_LOGPROBS},
     "engine/demo",
     0},
};

static void every_case(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct policy_plan plan;
        struct arena arena;
        struct err err = ERR_INIT;
        arena_init(&arena, 4096, 1 << 20);
        bool ok = run(cases[i].variant, &cases[i].wish, &arena, &plan, &err);
        const char *got = ok ? plan_text(&plan, &arena) : llm_error_row(err.code)->code;
        const char *want =
            cases[i].plan != NULL ? cases[i].plan : llm_error_row(cases[i].error)->code;
        if (ok != (cases[i].plan != NULL) || strcmp(got, want) != 0) {
            wrong++;
            print_error("%s:\n  wanted %s\n  got    %s %s\n", cases[i].name, want, got, err.text);
        }
        assert_true(ok == !err.set);
        assert_true(!ok || (plan.n > 0 && plan.reason != NULL));
        arena_fini(&arena);
    }
    assert_int_equal(wrong, 0);
}

/* Promise 1, over every case and every variant: a private request meets no cloud. */
static void private_never_meets_the_cloud(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int v = PLAIN; v <= NO_ROLES; v++)
            for (int how = 0; how < 3; how++) {
                struct policy_plan plan;
                struct arena arena;
                struct err err = ERR_INIT;
                struct wish w = cases[i].wish;
                w.is_private = how == 0;
                w.mode = how == 1 ? LLM_MODE_LOCAL : w.mode;
                w.task = how == 2 ? "privacy_sensitive" : w.task;
                arena_init(&arena, 4096, 1 << 20);
                bool ok = run((enum variant)v, &w, &arena, &plan, &err);
                for (size_t k = 0; ok && k < plan.n; k++) {
                    assert_true(providers[plan.targets[k].provider].local);
                    assert_false(strv_eq(plan.targets[k].model, STRV("cloudy")));
                    assert_int_not_equal(plan.targets[k].provider, RAW);
                }
                assert_true(!ok || plan.is_private);
                arena_fini(&arena);
            }
}

static void what_nobody_judged_is_private(void **state)
{
    (void)state;
    struct policy_conf conf = conf_of(PLAIN);
    struct policy_facts facts = {.conf = &conf,
                                 .providers = providers,
                                 .n_providers = N,
                                 .has_model = has_model,
                                 .any_model = any_model};
    struct llm_request r = {.model = STRV("auto")};
    struct policy_plan plan;
    struct arena arena;
    struct err err = ERR_INIT;
    arena_init(&arena, 4096, 1 << 20);
    assert_true(policy_run(&facts, &r, &arena, &plan, &err));
    assert_true(plan.is_private);
    assert_string_equal(plan_text(&plan, &arena), FAST);
    arena_fini(&arena);
}

static bool has_none(void *arg, size_t i, strv model, struct arena *arena, struct policy_model *out)
{
    (void)arg, (void)model, (void)arena;
    *out = (struct policy_model){.warmth = POLICY_WARMTH_UNKNOWN, .remote = i == RAW};
    return false;
}

static strv any_none(void *arg, size_t i, struct arena *arena)
{
    (void)arg, (void)i, (void)arena;
    return STRV_NONE;
}

/* Nobody has told what it has: what the caller alone calls a model may be any text, and does not leave. */
static void hearsay_does_not_leave(void **state)
{
    static const struct {
        const char *provider, *model, *plan;
        enum llm_error error;
    } rows[] = {
        {"anthropic", "john-smith", NULL, LLM_ERR_MODEL_NOT_FOUND},
        {"anthropic", "claude-john-smith", NULL, LLM_ERR_MODEL_NOT_FOUND},
        {NULL, "openai/john-smith", NULL, LLM_ERR_MODEL_NOT_FOUND},
        {NULL, "raw/john-smith", NULL, LLM_ERR_ALL_PROVIDERS_FAILED},
        {NULL, "anthropic/claude-sonnet-5-5", SONNET, LLM_OK}, /* its default */
        {NULL, "anthropic/claude-opus-5-5", OPUS, LLM_OK},     /* in a list */
        {NULL, "vllm/john-smith", "vllm/john-smith", LLM_OK},
    };
    (void)state;
    struct policy_conf conf = conf_of(PLAIN);
    struct policy_facts facts = {.conf = &conf,
                                 .providers = providers,
                                 .n_providers = N,
                                 .has_model = has_none,
                                 .any_model = any_none,
                                 .verdict = &harmless};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct llm_request r = {.provider = strv_of(rows[i].provider),
                                .model = strv_of(rows[i].model)};
        struct policy_plan plan;
        struct arena arena;
        struct err err = ERR_INIT;
        arena_init(&arena, 4096, 1 << 20);
        bool ok = policy_run(&facts, &r, &arena, &plan, &err);
        assert_int_equal(ok, rows[i].plan != NULL);
        if (ok)
            assert_string_equal(plan_text(&plan, &arena), rows[i].plan);
        else
            assert_int_equal(err.code, rows[i].error);
        arena_fini(&arena);
    }
}

static void rules_have_names_of_their_own_and_stand_by_rank(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICY_ORDERS; i++) {
        assert_true(policy_orders[i].looks_at[0] != '\0' && policy_orders[i].does[0] != '\0');
        assert_true(i == 0 || policy_orders[i].rank >= policy_orders[i - 1].rank);
        assert_non_null(policy_rank_name(policy_orders[i].rank));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(policy_orders[i].name, policy_orders[k].name);
    }
}

static void every_refused_allocation_is_a_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool done = false;
        for (uint64_t nth = 1; !done; nth++) {
            struct policy_plan plan;
            struct arena arena;
            struct err err = ERR_INIT;
            assert_true(nth < 1000);
            arena_init(&arena, 64, 1 << 20); /* small blocks: many allocations */
            mem_fail_at(nth, true);
            bool ok = run(cases[i].variant, &cases[i].wish, &arena, &plan, &err);
            done = mem_count() < nth;
            mem_fail_at(0, false);
            assert_true(ok || err.set);
            assert_true(done || !ok || !arena.failed);
            arena_fini(&arena);
        }
    }
}

/* ---- what is said beside the plan ---- */

static void a_plan_explains_itself(void **state)
{
    struct policy_plan plan;
    struct arena arena;
    struct err err = ERR_INIT;
    (void)state;
    arena_init(&arena, 4096, 1 << 20);
    assert_true(run(PLAIN, &(struct wish){.task = "tool_calling", .is_private = true}, &arena,
                    &plan, &err));
    assert_string_equal(plan.reason, "hint task=tool_calling");
    assert_true(strv_eq(plan.task, STRV("tool_calling")));
    assert_string_equal(plan.targets[0].why, "task tool_calling, role tools");
    assert_int_equal(plan.n_skips, 4);
    assert_string_equal(plan.skips[0].candidate, OPUS);
    assert_string_equal(plan.skips[0].why, "private, and it is in the cloud");
    assert_string_equal(plan.skips[1].candidate, "ollama/gone");
    assert_string_equal(plan.skips[1].why, "the provider does not list it");
    assert_string_equal(plan.skips[2].candidate, "nobody");
    assert_string_equal(plan.skips[2].why, "no provider lists it");
    assert_string_equal(plan.skips[3].why, "no such provider");

    assert_true(run(PLAIN, &(struct wish){.model = "gpt-4o"}, &arena, &plan, &err));
    assert_string_equal(plan.reason, "alias gpt-4*");
    assert_false(plan.explicit_choice);
    assert_true(run(PLAIN, &(struct wish){.model = "openai/demo"}, &arena, &plan, &err));
    assert_true(plan.explicit_choice);
    assert_false(plan.is_private);
    assert_true(run(AIRGAP, &(struct wish){.model = "auto"}, &arena, &plan, &err));
    assert_false(plan.is_private); /* no verdict about this request */
    arena_fini(&arena);
}

static void an_error_helps(void **state)
{
    static const struct {
        struct wish wish;
        const char *text, *field;
    } rows[] = {
        {{.model = "nobody"},
         "The model 'nobody' does not exist. Available are: auto, fast, general, tools, far, "
         "loop_a, "
         "loop_b, waiting, missing, cloudy_role, nothing, ...",
         "model"},
        {{.model = "missing"}, "None of the models that 'missing' stands for is there.", "model"},
        {{.provider = "x"}, "The provider 'x' does not exist.", "provider"},
        {{.provider = "openai", .is_private = true},
         "Policy does not allow this: the request may only be served locally (private).",
         ""},
        {{.needs = LLM_NEED_LOGIT_BIAS},
         "logit_bias: no provider that may serve this request supports it",
         "logit_bias"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct policy_plan plan;
        struct arena arena;
        struct err err = ERR_INIT;
        arena_init(&arena, 4096, 1 << 20);
        assert_false(run(PLAIN, &rows[i].wish, &arena, &plan, &err));
        assert_string_equal(err.text, rows[i].text);
        assert_string_equal(err.field, rows[i].field);
        arena_fini(&arena);
    }
}

/* Somebody's long name must not push the list of names out of the error, nor cut a letter in two. */
static void a_long_name_is_cut(void **state)
{
    char name[200];
    struct policy_plan plan;
    struct arena arena;
    struct err err = ERR_INIT;
    (void)state;
    for (size_t i = 0; i + 1 < sizeof name; i++)
        name[i] = i == 0 ? 'x' : i % 2 == 1 ? '\xc3' : '\xa9';
    name[sizeof name - 1] = '\0';
    arena_init(&arena, 4096, 1 << 20);
    assert_false(run(PLAIN, &(struct wish){.model = name}, &arena, &plan, &err));
    assert_true(utf8_valid(strv_of(err.text)));
    assert_non_null(strstr(err.text, "general"));
    arena_fini(&arena);
}

static void more_targets_than_a_plan_holds(void **state)
{
    static struct policy_name many[40];
    static char text[40][16];
    struct policy_list list = {"many", many, 40, {0, 0}};
    struct policy_conf conf = plain;
    struct policy_plan plan;
    struct arena arena;
    struct err err = ERR_INIT;
    (void)state;
    for (int i = 0; i < 40; i++) {
        snprintf(text[i], sizeof text[i], "m%d", i);
        many[i] = (struct policy_name){text[i], "vllm", text[i]};
    }
    conf.roles = &list;
    conf.n_roles = 1;
    struct policy_facts facts = {.conf = &conf,
                                 .providers = providers,
                                 .n_providers = N,
                                 .has_model = has_model,
                                 .any_model = any_model,
                                 .verdict = &harmless};
    struct llm_request r = {.model = STRV("many")};
    arena_init(&arena, 4096, 1 << 20);
    assert_true(policy_run(&facts, &r, &arena, &plan, &err));
    assert_int_equal(plan.n, POLICY_TARGETS_MAX);
    r.private_hint = true;
    for (int i = 0; i < 40; i++)
        many[i].provider = "anthropic";
    assert_false(policy_run(&facts, &r, &arena, &plan, &err));
    assert_int_equal(plan.n_skips, POLICY_TARGETS_MAX);
    arena_fini(&arena);
}

/* ---- names and hints ---- */

static void names_are_parsed_once(void **state)
{
    static const struct {
        const char *text, *provider, *model;
    } rows[] = {
        {"ollama/llama3.2", "ollama", "llama3.2"},
        {"ollama/", "ollama", NULL},
        {"openai/org/name:tag", "openai", "org/name:tag"},
        {"org/name", NULL, "org/name"},
        {"ollama", NULL, "ollama"},
        {"/x", NULL, "/x"},
        {"", NULL, ""},
    };
    struct arena arena;
    (void)state;
    arena_init(&arena, 4096, 1 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct policy_name name;
        policy_name_parse(providers, N, strv_of(rows[i].text), &arena, &name);
        assert_string_equal(name.text, rows[i].text);
        assert_true((name.provider == NULL) == (rows[i].provider == NULL));
        assert_true(name.provider == NULL || strcmp(name.provider, rows[i].provider) == 0);
        assert_true((name.model == NULL) == (rows[i].model == NULL));
        assert_true(name.model == NULL || strcmp(name.model, rows[i].model) == 0);
    }
    arena_fini(&arena);
}

static void hints_only_tighten(void **state)
{
    static const struct {
        enum llm_mode before;
        const char *mode, *sensitivity, *task;
        bool ok;
        enum llm_mode after;
        bool is_private;
        const char *task_after;
    } rows[] = {
        {LLM_MODE_UNSET, NULL, NULL, NULL, true, LLM_MODE_UNSET, false, NULL},
        {LLM_MODE_UNSET, " Cloud ", NULL, NULL, true, LLM_MODE_CLOUD, false, NULL},
        {LLM_MODE_LOCAL, "cloud", NULL, NULL, true, LLM_MODE_LOCAL, false, NULL},
        {LLM_MODE_CLOUD, "local", NULL, NULL, true, LLM_MODE_LOCAL, false, NULL},
        {LLM_MODE_UNSET, "", "", "", true, LLM_MODE_UNSET, false, NULL},
        {LLM_MODE_UNSET, "moon", NULL, NULL, false, LLM_MODE_UNSET, false, NULL},
        {LLM_MODE_UNSET, NULL, "private", NULL, true, LLM_MODE_UNSET, true, NULL},
        {LLM_MODE_UNSET, NULL, "Public", NULL, true, LLM_MODE_UNSET, false, NULL},
        {LLM_MODE_UNSET, NULL, "whatever", NULL, true, LLM_MODE_UNSET, true, NULL},
        {LLM_MODE_UNSET, NULL, NULL, "multi_step", true, LLM_MODE_UNSET, false, "multi_step"},
        {LLM_MODE_UNSET, NULL, NULL, "privacy_sensitive", true, LLM_MODE_UNSET, true, NULL},
        {LLM_MODE_UNSET, NULL, NULL, "Multi_Step", false, LLM_MODE_UNSET, false, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct llm_request r = {.mode = rows[i].before};
        struct err err = ERR_INIT;
        bool ok = policy_hints(&r, strv_of(rows[i].mode), strv_of(rows[i].sensitivity),
                               strv_of(rows[i].task), &err);
        assert_int_equal(ok, rows[i].ok);
        assert_int_equal(ok ? 0 : LLM_ERR_INVALID_REQUEST, err.code);
        assert_int_equal(r.mode, rows[i].after);
        assert_int_equal(r.private_hint, rows[i].is_private);
        assert_true(strv_eq(r.task, strv_of(rows[i].task_after)));
    }
    /* No hint takes back what is private already. */
    struct llm_request r = {.private_hint = true};
    struct err err = ERR_INIT;
    assert_true(policy_hints(&r, STRV_NONE, STRV("public"), STRV_NONE, &err));
    assert_true(r.private_hint);
}

/* ---- what is known of models ---- */

/* Four providers that list one model, and one that lists it in the cloud. */
enum { A, B, C, FAR, D_, KINS };
static const struct policy_provider kin[KINS] = {
    [A] = {"a", true, ~0u, NULL},      [B] = {"b", true, ~0u, NULL},  [C] = {"c", true, ~0u, NULL},
    [FAR] = {"far", false, ~0u, NULL}, [D_] = {"d", true, ~0u, NULL},
};

static bool kin_has(void *arg, size_t i, strv model, struct arena *arena, struct policy_model *out)
{
    const struct policy_model *known = arg;
    (void)arena;
    *out = known[i];
    return strv_eq(model, STRV("m"));
}

static strv kin_any(void *arg, size_t i, struct arena *arena)
{
    (void)arg;
    (void)i;
    (void)arena;
    return STRV("m");
}

static struct policy_name by_hand[] = {P("b", "m"), P("a", "m"), P("d", "m")};
static struct policy_list kin_roles[] = {{"general", LIST(by_hand)}};

static bool kin_run(const struct policy_model *known, struct llm_request *r, struct arena *arena,
                    struct policy_plan *plan, struct err *err)
{
    struct policy_conf conf = {.mode = LLM_MODE_HYBRID,
                               .fallback = true,
                               .fallback_to_cloud = true,
                               .fallback_to_local = true,
                               .default_role = "general",
                               .roles = kin_roles,
                               .n_roles = 1};
    struct policy_model copy[KINS];
    memcpy(copy, known, sizeof copy);
    struct policy_facts facts = {.conf = &conf,
                                 .providers = kin,
                                 .n_providers = KINS,
                                 .has_model = kin_has,
                                 .any_model = kin_any,
                                 .arg = copy,
                                 .verdict = &harmless};
    return policy_run(&facts, r, arena, plan, err);
}

static const char *order(const struct policy_plan *plan, struct arena *arena)
{
    char *text = arena_cstr(arena, STRV(""));
    for (size_t i = 0; i < plan->n; i++)
        text = arena_printf(arena, "%s%s%s", text, i > 0 ? " " : "",
                            kin[plan->targets[i].provider].name);
    return text;
}

#define U POLICY_WARMTH_UNKNOWN

static void equals_are_ranked(void **state)
{
    static const struct {
        const char *name, *model, *plan;
        struct policy_model known[KINS];
    } rows[] = {
        {"nothing known: as configured", "m", "a b c far d", {{.warmth = U}}},
        {"the loaded one first, then those that do not say",
         "m",
         "b c a far d",
         {[B] = {.warmth = POLICY_WARM}, [C] = {.warmth = U}, [FAR] = {.warmth = U}}},
        {"what is near and what is far stays",
         "m",
         "d a b far c",
         {[FAR] = {.warmth = POLICY_WARM}, [D_] = {.warmth = POLICY_WARM}}},
        {"a free place before few calls",
         "m",
         "b c d far a",
         {[A] = {.full = true, .calls = 1},
          [B] = {.calls = 7},
          [C] = {.calls = 8},
          [D_] = {.calls = 9}}},
        {"fewer calls",
         "m",
         "d c b far a",
         {[A] = {.calls = 4}, [B] = {.calls = 3}, [C] = {.calls = 2}, [D_] = {.calls = 1}}},
        {"the order of a role is the operator's",
         "general",
         "b a d",
         {[A] = {.warmth = POLICY_WARM}, [B] = {.full = true, .calls = 9}}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena arena;
        struct policy_plan plan;
        struct err err = ERR_INIT;
        struct llm_request r = {.model = strv_of(rows[i].model)};
        arena_init(&arena, 1024, 65536);
        if (!kin_run(rows[i].known, &r, &arena, &plan, &err))
            fail_msg("%s: %s", rows[i].name, err.text);
        if (strcmp(order(&plan, &arena), rows[i].plan) != 0)
            fail_msg("%s: %s", rows[i].name, order(&plan, &arena));
        arena_fini(&arena);
    }
}

static void what_a_model_lacks_keeps_it_out(void **state)
{
    static const struct {
        uint32_t need;
        const char *words, *field;
    } rows[] = {{LLM_NEED_TOOLS, "does not take tools", "tools"},
                {LLM_NEED_IMAGES, "does not take images", "image"},
                {LLM_NEED_DOCUMENTS, "does not take documents", "document"},
                {LLM_NEED_AUDIO, "does not take audio", "audio"},
                {LLM_NEED_EMBED, "makes no embeddings", "embed"},
                {LLM_NEED_COUNT, "does not count tokens", "count"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena arena;
        struct policy_plan plan;
        struct err err = ERR_INIT;
        struct policy_model known[KINS] = {[A] = {.lacks = rows[i].need}};
        struct llm_request r = {.model = STRV("m"), .needs = rows[i].need};
        arena_init(&arena, 1024, 65536);
        assert_true(kin_run(known, &r, &arena, &plan, &err));
        assert_string_equal(order(&plan, &arena), "b c far d");
        assert_int_equal(plan.n_skips, 1);
        assert_string_equal(plan.skips[0].candidate, "a/m");
        assert_string_equal(plan.skips[0].why, rows[i].words);
        r.needs = 0; /* nobody asked for it */
        assert_true(kin_run(known, &r, &arena, &plan, &err));
        assert_int_equal(plan.n, KINS);
        r.needs = rows[i].need;
        for (size_t k = 0; k < KINS; k++)
            known[k].lacks = ~0u;
        assert_false(kin_run(known, &r, &arena, &plan, &err));
        assert_int_equal(err.code, LLM_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.field, rows[i].field));
        arena_fini(&arena);
    }
}

static void what_is_too_long_for_a_window(void **state)
{
    static char text[30000];
    struct llm_part part = {.kind = LLM_PART_TEXT, .text = {text, 24000}};
    struct llm_message message = {LLM_USER, &part, 1};
    struct llm_request r = {.model = STRV("m"), .messages = &message, .n_messages = 1};
    /* About 8016 tokens if one is optimistic about their number, 3000 if one is not. */
    struct policy_model known[KINS] = {[A] = {.context = 4096},
                                       [B] = {.context = 2048},
                                       [C] = {.context = 8192},
                                       [FAR] = {.context = 2999}};
    struct arena arena;
    struct policy_plan plan;
    struct err err = ERR_INIT;
    (void)state;
    memset(text, 'x', sizeof text);
    arena_init(&arena, 1024, 65536);
    assert_true(kin_run(known, &r, &arena, &plan, &err));
    assert_string_equal(order(&plan, &arena), "c d a"); /* d: nobody knows */
    assert_int_equal(plan.n_skips, 2);
    assert_string_equal(plan.skips[0].why,
                        "does not fit its context window (about 8016 > 2048 tokens)");
    llm_set(&r, LLM_P_MAX_TOKENS, 500); /* with the answer it is not sure of c any more */
    assert_true(kin_run(known, &r, &arena, &plan, &err));
    assert_string_equal(order(&plan, &arena), "d a c");
    for (size_t i = 0; i < KINS; i++)
        known[i].context = 1000 + (int64_t)i;
    assert_false(kin_run(known, &r, &arena, &plan, &err));
    assert_int_equal(err.code, LLM_ERR_CONTEXT_TOO_LONG);
    assert_string_equal(err.text, "prompt is too long: about 8016 tokens > 1004 maximum");
    arena_fini(&arena);
}

/* What looks long in bytes and may still fit: letters of several bytes, runs of blanks, images, many inputs. */
static void a_window_is_not_judged_by_bytes(void **state)
{
    static char text[24000];
    static const char hindi[] = "\xe0\xa4\xa8";
    struct llm_part part = {.kind = LLM_PART_TEXT, .text = {text, sizeof text}};
    struct llm_message message = {LLM_USER, &part, 1};
    struct llm_request r = {.model = STRV("m"), .messages = &message, .n_messages = 1};
    struct policy_model known[KINS] = {[A] = {.context = 1000}};
    struct arena arena;
    struct policy_plan plan;
    struct err err = ERR_INIT;
    (void)state;
    arena_init(&arena, 1024, 65536);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = hindi[i % 3];
    assert_true(kin_run(known, &r, &arena, &plan, &err));
    assert_string_equal(order(&plan, &arena), "b c d far a");
    memset(text, ' ', sizeof text);
    assert_true(kin_run(known, &r, &arena, &plan, &err));
    assert_int_equal(plan.n, KINS);
    part = (struct llm_part){.kind = LLM_PART_IMAGE, .data = {text, sizeof text}};
    assert_true(kin_run(known, &r, &arena, &plan, &err));
    assert_int_equal(plan.n, KINS);
    memset(text, 'x', sizeof text);
    strv input = {text, sizeof text};
    r = (struct llm_request){
        .model = STRV("m"), .op = LLM_OP_EMBED, .inputs = &input, .n_inputs = 1};
    assert_true(kin_run(known, &r, &arena, &plan, &err));
    assert_int_equal(plan.n, KINS);
    arena_fini(&arena);
}

static struct policy_sure sure_of(const char *model)
{
    struct arena arena;
    struct policy_plan plan;
    struct err err = ERR_INIT;
    arena_init(&arena, 1024, 65536);
    assert_true(run(PLAIN, &(struct wish){.model = model}, &arena, &plan, &err));
    arena_fini(&arena);
    return plan.sure;
}

/* Is it this much? */
static bool is(double value, double percent)
{
    return value * 100 > percent - 1 && value * 100 < percent + 1;
}

/* roles: general is fast and more, the alias gpt-4* is fast. */
static void how_sure_is_told_by_the_outermost_list_that_says_it(void **state)
{
    (void)state;
    assert_true(is(sure_of("fast").mark, 0));
    roles[0].sure = (struct policy_sure){0.7, 0.5};
    assert_true(is(sure_of("fast").mark, 70));
    assert_true(is(sure_of("gpt-4").escalate, 50));
    assert_true(is(sure_of("general").mark, 70));
    assert_true(is(sure_of("tools").mark, 0));
    assert_true(is(sure_of("mistral").mark, 0));
    roles[1].sure = (struct policy_sure){0, 0.2};
    assert_true(is(sure_of("general").mark, 0));
    assert_true(is(sure_of("general").escalate, 20));
    roles[0].sure = roles[1].sure = (struct policy_sure){0, 0};
}

static void what_a_confidence_may_look_like(void **state)
{
    static const char *const wrong[] = {"",         "mark",      "mark=",    "=0.5",
                                        "mark=1.1", "mark=-0.1", "mark=nan", "mark=0.5x",
                                        "Mark=0.5", "unsure=0.5"};
    struct policy_sure sure = {0, 0};
    (void)state;
    assert_true(policy_sure_parse(STRV("mark=0.7"), &sure));
    assert_true(policy_sure_parse(STRV("escalate=1"), &sure));
    assert_true(is(sure.mark, 70) && is(sure.escalate, 100));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(policy_sure_parse(strv_of(wrong[i]), &sure));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case),
        cmocka_unit_test(private_never_meets_the_cloud),
        cmocka_unit_test(rules_have_names_of_their_own_and_stand_by_rank),
        cmocka_unit_test(what_nobody_judged_is_private),
        cmocka_unit_test(hearsay_does_not_leave),
        cmocka_unit_test(every_refused_allocation_is_a_value),
        cmocka_unit_test(a_plan_explains_itself),
        cmocka_unit_test(an_error_helps),
        cmocka_unit_test(a_long_name_is_cut),
        cmocka_unit_test(more_targets_than_a_plan_holds),
        cmocka_unit_test(how_sure_is_told_by_the_outermost_list_that_says_it),
        cmocka_unit_test(what_a_confidence_may_look_like),
        cmocka_unit_test(names_are_parsed_once),
        cmocka_unit_test(hints_only_tighten),
        cmocka_unit_test(equals_are_ranked),
        cmocka_unit_test(what_a_model_lacks_keeps_it_out),
        cmocka_unit_test(what_is_too_long_for_a_window),
        cmocka_unit_test(a_window_is_not_judged_by_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
