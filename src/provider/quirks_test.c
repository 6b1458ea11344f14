/* SPDX-License-Identifier: Apache-2.0 */
/* quirks - what each model is told differently, Ollama's context, and the headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "provider/provider.h"

struct world {
    struct provider p;
    struct llm_request r;
    struct llm_part part;
    struct llm_message message;
};

static int open_world(void **state)
{
    static struct world w;
    w = (struct world){.p = {.name = "p", .cell = provider_cell_get("p", "x")}};
    w.message = (struct llm_message){LLM_USER, &w.part, 1};
    w.r.messages = &w.message;
    w.r.n_messages = 1;
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    provider_cells_free();
    return 0;
}

static void list(struct world *w, const char *body)
{
    struct err err = ERR_INIT;
    assert_true(provider_models_take(w->p.cell, w->p.kind, strv_of(body), &err));
}

static struct dialect_target target(struct world *w, const char *model)
{
    struct dialect_target t;
    provider_target(&w->p, strv_of(model), &w->r, &t);
    assert_true(strv_eq_cstr(t.model, model));
    return t;
}

static void models_of_anthropic(void **state)
{
    static const struct {
        const char *model;
        bool no_sampling, no_prefill;
        int64_t cap;
    } cases[] = {
        {"claude-fable-5-2", true, true, 128000},
        {"claude-mythos-preview", true, true, 128000},
        {"claude-opus-5-5", true, true, 128000},
        {"claude-opus-5", true, true, 128000},
        {"claude-opus-4-8", true, true, 128000},
        {"claude-opus-4-7-20260401", true, true, 128000},
        {"claude-opus-4-6", false, true, 128000},
        {"claude-sonnet-4-6", false, true, 128000},
        {"claude-opus-4-5-20251101", false, false, 128000},
        {"claude-haiku-4-5", false, false, 64000},
        {"claude-haiku-4-5-20251001", false, false, 64000},
        {"claude-haiku-5-5", true, true, 128000},
        {"claude-opus-4-20250514", false, false, 0},
        {"claude-3-5-sonnet-20241022", false, false, 0},
        {"claude-sonnet-4.7", true, true, 128000},
        {"us.anthropic.claude-opus-4-7-v1:0", true, true, 128000},
        {"some-local-model", false, false, 0},
    };
    struct world *w = *state;
    w->p.kind = PROVIDER_ANTHROPIC;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dialect_target t = target(w, cases[i].model);
        if (t.no_sampling != cases[i].no_sampling || t.no_prefill != cases[i].no_prefill ||
            t.max_tokens_cap != cases[i].cap)
            fail_msg("%s: %d %d %d", cases[i].model, t.no_sampling, t.no_prefill,
                     (int)t.max_tokens_cap);
        assert_int_equal(t.max_tokens_default, 4096); /* it must have one */
        assert_int_equal(t.num_ctx, 0);
    }
    w->p.max_tokens = 777;
    assert_int_equal(target(w, "claude-opus-5-5").max_tokens_default, 777);
    list(w, "{\"data\":[{\"id\":\"claude-opus-5-5\",\"max_tokens\":9000}]}");
    assert_int_equal(target(w, "claude-opus-5-5").max_tokens_cap, 9000); /* its own word counts */
}

static void models_of_openai_s_kin(void **state)
{
    struct world *w = *state;
    w->p.kind = PROVIDER_OPENAI;
    struct dialect_target t = target(w, "gpt-5-mini");
    assert_true(t.completion_tokens && t.no_sampling);
    assert_int_equal(t.max_tokens_default, 0);
    assert_true(target(w, "o3").completion_tokens);
    t = target(w, "gpt-4o");
    assert_false(t.completion_tokens || t.no_sampling || t.repetition_penalty);
    assert_false(target(w, "claude-opus-5-5").no_sampling); /* another's name */
    list(w, "{\"data\":[{\"id\":\"a\",\"owned_by\":\"vllm\"},{\"id\":\"b\",\"owned_by\":\"x\"}]}");
    assert_true(target(w, "a").repetition_penalty);
    assert_false(target(w, "b").repetition_penalty);
    w->r.stream = true;
    assert_true(target(w, "a").stream);
}

static void how_each_is_told_to_think_and_to_call(void **state)
{
    static const struct {
        enum provider_kind kind;
        const char *model, *owner;
        struct dialect_target want;
    } cases[] = {
        {PROVIDER_ANTHROPIC, "claude-3-5-sonnet-20241022", "", {.no_thinking = true}},
        {PROVIDER_ANTHROPIC, "claude-sonnet-4-6", "", {.thinking = DIALECT_THINK_BUDGET}},
        {PROVIDER_ANTHROPIC, "claude-opus-4-7", "", {.thinking = DIALECT_THINK_ADAPTIVE}},
        {PROVIDER_ANTHROPIC, "claude-opus-5", "", {.thinking = DIALECT_THINK_ADAPTIVE}},
        {PROVIDER_ANTHROPIC,
         "claude-opus-5-5",
         "",
         {.thinking = DIALECT_THINK_ALWAYS, .no_forced_tools = true}},
        {PROVIDER_ANTHROPIC,
         "claude-sonnet-5-5",
         "",
         {.thinking = DIALECT_THINK_ALWAYS, .no_forced_tools = true}},
        {PROVIDER_ANTHROPIC, "claude-haiku-5-5", "", {.thinking = DIALECT_THINK_ALWAYS}},
        {PROVIDER_OLLAMA, "gpt-oss:20b", "", {.levels_only = true}},
        {PROVIDER_OLLAMA, "mistral", "", {.levels_only = false}},
        {PROVIDER_OPENAI, "o3", "", {.reasoning_effort = true}},
        {PROVIDER_OPENAI, "gpt-4o", "", {.reasoning_effort = false}},
        {PROVIDER_OPENAI,
         "x",
         "library",
         {.reasoning_effort = true, .reasoning_field = "reasoning"}},
        {PROVIDER_OPENAI,
         "mistralai/Mistral-7B",
         "vllm",
         {.reasoning_effort = true, .reasoning_field = "reasoning", .ids = LLM_IDS_MISTRAL}},
        {PROVIDER_OPENAI, "mistral-large", "mistralai", {.ids = LLM_IDS_ANY}},
        {PROVIDER_OPENAI,
         "mixtral",
         "llamacpp",
         {.reasoning_field = "reasoning_content", .ids = LLM_IDS_MISTRAL}},
        {PROVIDER_OPENAI, "ai/smollm2", "docker", {.reasoning_field = "reasoning_content"}},
        {PROVIDER_OPENAI, "deepseek-chat", "", {.reasoning_field = "reasoning_content"}},
        {PROVIDER_OPENAI, "q", "organization_owner", {.no_json_mode = true}},
        {PROVIDER_LLAMA_SERVER,
         "Devstral-Small",
         "",
         {.reasoning_field = "reasoning_content", .ids = LLM_IDS_MISTRAL}},
        {PROVIDER_LLAMA_SERVER,
         "gpt-oss-20b",
         "llamacpp",
         {.reasoning_field = "reasoning_content", .reasoning_effort = true}},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct dialect_target *want = &cases[i].want;
        char body[200];
        bool anthropic = cases[i].kind == PROVIDER_ANTHROPIC;
        w->p.kind = cases[i].kind;
        if (w->p.kind != PROVIDER_OLLAMA) {
            snprintf(body, sizeof body, "{\"data\":[{\"id\":\"%s\",\"owned_by\":\"%s\"}]}",
                     cases[i].model, cases[i].owner);
            list(w, body);
        }
        struct dialect_target t = target(w, cases[i].model);
        const char *field = t.reasoning_field != NULL ? t.reasoning_field : "";
        if (strcmp(field, want->reasoning_field != NULL ? want->reasoning_field : "") != 0 ||
            t.thinking != want->thinking || t.no_thinking != want->no_thinking ||
            t.levels_only != want->levels_only || t.reasoning_effort != want->reasoning_effort ||
            t.no_forced_tools != want->no_forced_tools || t.no_json_mode != want->no_json_mode ||
            t.ids != (anthropic ? LLM_IDS_WORD : want->ids))
            fail_msg("%s of %s", cases[i].model, cases[i].owner);
        assert_int_equal(t.short_names, w->p.kind != PROVIDER_OLLAMA);
        assert_int_equal(t.no_truncate, w->p.kind == PROVIDER_OLLAMA);
        assert_false(t.own_signatures);
        w->p.zone = ZONE_CLOUD;
        assert_int_equal(target(w, cases[i].model).own_signatures, anthropic);
        w->p.zone = ZONE_LOCAL;
    }
}

static void local_ai_is_known_by_what_it_does_not_say(void **state)
{
    struct world *w = *state;
    w->p.kind = PROVIDER_OPENAI;
    list(w, "{\"data\":[{\"id\":\"a\",\"object\":\"model\"},{\"id\":\"b\",\"object\":\"model\","
            "\"created\":1}]}");
    assert_string_equal(target(w, "a").reasoning_field, "reasoning_content");
    assert_null(target(w, "b").reasoning_field);
}

static void a_model_that_does_not_think(void **state)
{
    struct world *w = *state;
    w->p.kind = PROVIDER_OLLAMA;
    list(w, "{\"models\":[{\"name\":\"a\",\"capabilities\":[\"completion\",\"thinking\"]},"
            "{\"name\":\"b\",\"capabilities\":[\"completion\"]},{\"name\":\"c\"}]}");
    assert_false(target(w, "a").no_thinking);
    assert_true(target(w, "b").no_thinking);
    assert_false(target(w, "c").no_thinking); /* nobody knows */
    /* A configuration may name it as people do, without the tag that the list has. */
    list(w, "{\"models\":[{\"name\":\"d:latest\",\"capabilities\":[\"completion\"]}]}");
    assert_true(target(w, "d").no_thinking);
}

/* It computes on for a caller who left unless it has a limit. */
static void the_engine_always_has_a_limit(void **state)
{
    struct world *w = *state;
    w->p.kind = PROVIDER_LLAMA_SERVER;
    w->p.spawn.context = 2048;
    assert_int_equal(target(w, "demo").max_tokens_default, 2048);
    w->p.spawn.context = 0;
    list(w, "{\"data\":[{\"id\":\"demo\",\"meta\":{\"n_ctx\":1024}}]}");
    assert_int_equal(target(w, "demo").max_tokens_default, 1024);
}

/* ---- num_ctx ---- */

static void ask(struct world *w, size_t bytes, int64_t max_tokens)
{
    static char text[400000];
    assert_true(bytes <= sizeof text);
    w->part = (struct llm_part){.kind = LLM_PART_TEXT, .text = {text, bytes}};
    w->r.params_set = 0;
    if (max_tokens > 0)
        llm_set(&w->r, LLM_P_MAX_TOKENS, (double)max_tokens);
}

static int64_t ctx(struct world *w, const char *model)
{
    return target(w, model).num_ctx;
}

static void context_goes_in_coarse_steps(void **state)
{
    static const struct {
        size_t bytes;
        int64_t max_tokens, want;
    } cases[] = {
        {0, 0, 4096},
        {9000, 0, 4096},
        {9000, 2000, 8192},
        {30000, 0, 16384},
        {300000, 0, 131072},
        {100, 200000, 262144},
        {0, 2147483647, INT64_C(4294967296)},
    };
    struct world *w = *state;
    w->p.kind = PROVIDER_OLLAMA;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char model[16];
        snprintf(model, sizeof model, "m%zu", i);
        ask(w, cases[i].bytes, cases[i].max_tokens);
        assert_true(ctx(w, model) == cases[i].want);
    }
}

static void context_never_shrinks_and_has_a_cap(void **state)
{
    struct world *w = *state;
    w->p.kind = PROVIDER_OLLAMA;
    ask(w, 30000, 0);
    assert_int_equal(ctx(w, "a"), 16384);
    ask(w, 100, 0);
    assert_int_equal(ctx(w, "a"), 16384); /* another value would load it anew */
    assert_int_equal(ctx(w, "b"), 4096);
    w->p.num_ctx = 6000;
    assert_int_equal(ctx(w, "a"), 6000); /* the configuration has changed */
    ask(w, 30000, 0);
    assert_int_equal(ctx(w, "b"), 6000);
    list(w, "{\"models\":[{\"name\":\"c\",\"details\":{\"context_length\":2048}}]}");
    assert_int_equal(ctx(w, "c"), 2048); /* it has no more */
    w->p.num_ctx = 0;
    assert_int_equal(ctx(w, "c"), 2048);
}

static void many_models_share_a_small_table(void **state)
{
    struct world *w = *state;
    char model[16];
    w->p.kind = PROVIDER_OLLAMA;
    ask(w, 30000, 0);
    for (int i = 0; i < 3 * PROVIDER_ASKED_MAX; i++) {
        snprintf(model, sizeof model, "m%d", i);
        assert_int_equal(ctx(w, model), 16384);
    }
    ask(w, 0, 0);
    assert_int_equal(ctx(w, model), 16384); /* the latest is remembered */
    assert_int_equal(ctx(w, "m0"), 4096);   /* the oldest is not */
}

/* ---- headers ---- */

static void headers_by_kind(void **state)
{
    static const struct {
        enum provider_kind kind;
        const char *key, *version;
        const char *name[2], *value[2];
    } cases[] = {
        {PROVIDER_OPENAI, "k", NULL, {"Authorization"}, {"Bearer k"}},
        {PROVIDER_OPENAI, NULL, NULL, {NULL}, {NULL}},
        {PROVIDER_OLLAMA, NULL, NULL, {NULL}, {NULL}},
        {PROVIDER_OLLAMA, "", NULL, {NULL}, {NULL}},
        {PROVIDER_OLLAMA, "k", NULL, {"Authorization"}, {"Bearer k"}},
        {PROVIDER_LLAMA_SERVER, "k", NULL, {"Authorization"}, {"Bearer k"}},
        {PROVIDER_ANTHROPIC, "k", NULL, {"x-api-key", "anthropic-version"}, {"k", "2023-06-01"}},
        {PROVIDER_ANTHROPIC,
         "k",
         "2026-10-21",
         {"x-api-key", "anthropic-version"},
         {"k", "2026-10-21"}},
        {PROVIDER_ANTHROPIC, NULL, "", {"anthropic-version"}, {"2023-06-01"}},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_header out[4];
        struct arena arena;
        arena_init(&arena, 256, 4096);
        w->p.kind = cases[i].kind;
        w->p.key = cases[i].key;
        w->p.anthropic_version = cases[i].version;
        size_t n = provider_headers(&w->p, &arena, out);
        assert_int_equal(n, (cases[i].name[0] != NULL) + (cases[i].name[1] != NULL));
        for (size_t k = 0; k < n; k++) {
            assert_true(strv_eq_cstr(out[k].name, cases[i].name[k]));
            assert_true(strv_eq_cstr(out[k].value, cases[i].value[k]));
        }
        arena_fini(&arena);
    }
}

static void no_memory_for_a_header_shows_in_the_arena(void **state)
{
    struct world *w = *state;
    struct http_header out[4];
    struct arena arena;
    w->p.kind = PROVIDER_OPENAI;
    w->p.key = "k";
    arena_init(&arena, 256, 4096);
    mem_fail_at(1, true);
    assert_int_equal(provider_headers(&w->p, &arena, out), 0);
    mem_fail_at(0, false);
    assert_true(arena.failed);
    arena_fini(&arena);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(models_of_anthropic),
        TEST(models_of_openai_s_kin),
        TEST(how_each_is_told_to_think_and_to_call),
        TEST(local_ai_is_known_by_what_it_does_not_say),
        TEST(a_model_that_does_not_think),
        TEST(the_engine_always_has_a_limit),
        TEST(context_goes_in_coarse_steps),
        TEST(context_never_shrinks_and_has_a_cap),
        TEST(many_models_share_a_small_table),
        TEST(headers_by_kind),
        TEST(no_memory_for_a_header_shows_in_the_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
