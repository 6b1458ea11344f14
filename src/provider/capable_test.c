/* SPDX-License-Identifier: Apache-2.0 */
/* capable - what models can do, as their servers, their kind and the operator say it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "provider/provider.h"

struct world {
    struct provider p;
    struct arena arena;
};

static int open_world(void **state)
{
    static struct world w;
    w = (struct world){.p = {.name = "p", .cell = provider_cell_get("p", "x")}};
    arena_init(&w.arena, 256, 65536);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    arena_fini(&w->arena);
    provider_cells_free();
    return 0;
}

static struct provider_facts facts(struct world *w, const char *model)
{
    struct provider_facts f;
    (void)provider_model_facts(&w->p, strv_of(model), &w->arena, &f);
    return f;
}

static void take(struct world *w, enum provider_kind kind, const char *body)
{
    struct err err = ERR_INIT;
    w->p.kind = kind;
    if (!provider_models_take(w->p.cell, kind, strv_of(body), &err))
        fail_msg("%s", err.text);
}

#define SAID (LLM_NEED_TOOLS | LLM_NEED_IMAGES | LLM_NEED_AUDIO | LLM_NEED_THINKING)

static void an_ollama_s_words(void **state)
{
    struct world *w = *state;
    take(w, PROVIDER_OLLAMA,
         "{\"models\":["
         "{\"name\":\"see\",\"capabilities\":[\"completion\",\"vision\",\"tools\"],"
         "\"details\":{\"context_length\":8192}},"
         "{\"name\":\"think\",\"capabilities\":[\"completion\",\"thinking\",\"insert\",5,null]},"
         "{\"name\":\"draw\",\"capabilities\":[\"image\"]},"
         "{\"name\":\"embed\",\"capabilities\":[\"embedding\"]},"
         "{\"name\":\"empty\",\"capabilities\":[]},{\"name\":\"odd\",\"capabilities\":\"x\"},"
         "{\"name\":\"old\"}]}");
    struct provider_facts f = facts(w, "see");
    assert_int_equal(f.has, LLM_NEED_IMAGES | LLM_NEED_TOOLS);
    assert_int_equal(f.lacks, LLM_NEED_AUDIO | LLM_NEED_THINKING);
    assert_int_equal(f.context, 8192);
    assert_int_equal(facts(w, "think").has, LLM_NEED_THINKING);
    assert_int_equal(facts(w, "draw").lacks, SAID);
    f = facts(w, "embed");
    assert_int_equal(f.has, LLM_NEED_EMBED);
    assert_int_equal(f.lacks, SAID);
    const char *const unknown[] = {"empty", "odd", "old", "nobody"};
    for (size_t i = 0; i < 4; i++) {
        f = facts(w, unknown[i]);
        assert_int_equal(f.has | f.lacks, 0);
    }
    w->p.num_ctx = 4096; /* more is not asked for */
    assert_int_equal(facts(w, "see").context, 4096);
    assert_int_equal(facts(w, "old").context, 4096);
}

static void a_llama_server_s_modalities(void **state)
{
    struct world *w = *state;
    take(w, PROVIDER_LLAMA_SERVER,
         "{\"data\":[{\"id\":\"text\",\"architecture\":{\"input_modalities\":[\"text\"]},"
         "\"meta\":{\"n_ctx\":1024}},"
         "{\"id\":\"all\",\"architecture\":{\"input_modalities\":[\"text\",\"image\",\"audio\"]}},"
         "{\"id\":\"none\",\"architecture\":null}]}");
    assert_int_equal(facts(w, "text").lacks, LLM_NEED_IMAGES | LLM_NEED_AUDIO);
    assert_int_equal(facts(w, "text").context, 1024);
    assert_int_equal(facts(w, "text").warmth, PROVIDER_WARM);
    assert_int_equal(facts(w, "all").has, LLM_NEED_IMAGES | LLM_NEED_AUDIO);
    assert_int_equal(facts(w, "none").lacks, 0);
    w->p.spawn.model = "x.gguf"; /* our own: we know how it was started */
    assert_int_equal(facts(w, "none").lacks, LLM_NEED_EMBED);
    w->p.spawn.embeddings = true;
    assert_int_equal(facts(w, "none").lacks, 0);
    w->p.spawn.context = 512;
    assert_int_equal(facts(w, "none").context, 512);
}

#define TYPES(enabled, adaptive, disabled)                                                         \
    "\"thinking\":{\"supported\":true,\"types\":{\"enabled\":{\"supported\":" enabled              \
    "},\"adaptive\":{\"supported\":" adaptive "},\"disabled\":{\"supported\":" disabled "}}}"

static void anthropic_s_own_words(void **state)
{
    static const struct {
        const char *model;
        enum dialect_thinking thinking;
    } cases[] = {{"budget", DIALECT_THINK_BUDGET},
                 {"adaptive", DIALECT_THINK_ADAPTIVE},
                 {"always", DIALECT_THINK_ALWAYS},
                 {"claude-opus-4-5", DIALECT_THINK_ADAPTIVE}, /* above the table */
                 {"claude-opus-4-8", DIALECT_THINK_ADAPTIVE}, /* from the table */
                 {"claude-opus-5-5", DIALECT_THINK_ALWAYS},
                 {"claude-sonnet-4-6", DIALECT_THINK_BUDGET}};
    struct world *w = *state;
    struct dialect_target t;
    struct llm_request r = {0};
    take(
        w, PROVIDER_ANTHROPIC,
        "{\"data\":[{\"id\":\"budget\",\"capabilities\":{" TYPES(
            "true", "true",
            "true") "}},"
                    "{\"id\":\"adaptive\",\"capabilities\":{" TYPES(
                        "false", "true",
                        "true") "}},"
                                "{\"id\":\"always\",\"capabilities\":{" TYPES(
                                    "false", "true",
                                    "false") "}},"
                                             "{\"id\":\"claude-opus-4-5\","
                                             "\"capabilities\":{" TYPES(
                                                 "false", "true",
                                                 "true") "}},"
                                                         "{\"id\":\"dumb\",\"capabilities\":{"
                                                         "\"thinking\":{\"supported\":false},"
                                                         "\"image_input\":{\"supported\":true},"
                                                         "\"pdf_input\":{\"supported\":false}}}]}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        provider_target(&w->p, strv_of(cases[i].model), &r, &t);
        if (t.thinking != cases[i].thinking || t.no_thinking)
            fail_msg("%s: %d", cases[i].model, t.thinking);
    }
    struct provider_facts f = facts(w, "dumb");
    assert_int_equal(f.has, LLM_NEED_IMAGES);
    /* COUNT: it is on the premises, and nobody says that it counts. */
    assert_int_equal(f.lacks, LLM_NEED_DOCUMENTS | LLM_NEED_THINKING | LLM_NEED_COUNT);
    provider_target(&w->p, STRV("dumb"), &r, &t);
    assert_true(t.no_thinking);
    w->p.zone = ZONE_CLOUD;
    assert_int_equal(facts(w, "budget").lacks, 0);
}

static void who_counts_on_the_premises(void **state)
{
    struct world *w = *state;
    take(w, PROVIDER_ANTHROPIC,
         "{\"data\":[{\"id\":\"a\",\"owned_by\":\"vllm\"},{\"id\":\"b\",\"owned_by\":\"library\"}]"
         "}");
    assert_int_equal(facts(w, "a").lacks, 0);
    assert_int_equal(facts(w, "b").lacks, LLM_NEED_COUNT);
}

/* ---- the operator ---- */

static void claims_as_they_are_written(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint32_t has, lacks;
        int64_t context;
    } cases[] = {
        {"llava*=vision", true, LLM_NEED_IMAGES, 0, 0},
        {" m = tools  -vision context:8192 ", true, LLM_NEED_TOOLS, LLM_NEED_IMAGES, 8192},
        {"*=-tools tools", true, LLM_NEED_TOOLS, 0, 0},
        {"*=embedding -thinking pdf audio", true,
         LLM_NEED_EMBED | LLM_NEED_DOCUMENTS | LLM_NEED_AUDIO, LLM_NEED_THINKING, 0},
        {"", false, 0, 0, 0},
        {"llava", false, 0, 0, 0},
        {"=vision", false, 0, 0, 0},
        {"llava=", false, 0, 0, 0},
        {"a b=vision", false, 0, 0, 0},
        {"m=flying", false, 0, 0, 0},
        {"m=-", false, 0, 0, 0},
        {"m=context:0", false, 0, 0, 0},
        {"m=context:many", false, 0, 0, 0},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct provider_claim c;
        bool ok = provider_claim_parse(strv_of(cases[i].text), &w->arena, &c);
        if (ok != cases[i].ok || (ok && (c.has != cases[i].has || c.lacks != cases[i].lacks ||
                                         c.context != cases[i].context)))
            fail_msg("%s: %d %x %x %d", cases[i].text, ok, c.has, c.lacks, (int)c.context);
    }
}

static void the_operator_has_the_last_word(void **state)
{
    static const struct provider_claim claims[] = {
        {"*", 0, LLM_NEED_TOOLS, 0},
        {"see", LLM_NEED_TOOLS, LLM_NEED_IMAGES, 777},
    };
    struct world *w = *state;
    struct dialect_target t;
    struct llm_request r = {0};
    take(w, PROVIDER_OLLAMA,
         "{\"models\":[{\"name\":\"see:latest\",\"capabilities\":[\"vision\",\"thinking\"],"
         "\"details\":{\"context_length\":8192}},{\"name\":\"old\"}]}");
    w->p.claims = claims;
    w->p.n_claims = 2;
    struct provider_facts f = facts(w, "see");
    assert_int_equal(f.has, LLM_NEED_TOOLS | LLM_NEED_THINKING);
    assert_int_equal(f.lacks, LLM_NEED_IMAGES | LLM_NEED_AUDIO);
    assert_int_equal(f.context, 777);
    assert_int_equal(facts(w, "old").lacks, LLM_NEED_TOOLS);
    provider_target(&w->p, STRV("see:latest"), &r, &t);
    assert_int_equal(t.num_ctx, 777);
    assert_false(t.no_thinking);
}

/* ---- what may be asked ---- */

static void what_zone_and_kind_rule_out(void **state)
{
    static const struct dialect everything = {.can = ~0u};
    struct world *w = *state;
    uint32_t both = LLM_NEED_LINKS | LLM_NEED_ANTHROPIC;
    w->p.dialect = &everything;
    w->p.kind = PROVIDER_OPENAI;
    assert_int_equal(provider_can(&w->p), ~both);
    w->p.links = true;
    assert_int_equal(provider_can(&w->p), ~(uint32_t)LLM_NEED_ANTHROPIC);
    w->p.links = false;
    w->p.kind = PROVIDER_ANTHROPIC;
    assert_int_equal(provider_can(&w->p), ~both);
    w->p.zone = ZONE_CLOUD;
    assert_int_equal(provider_can(&w->p), ~0u);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_ollama_s_words),           TEST(a_llama_server_s_modalities),
        TEST(anthropic_s_own_words),       TEST(who_counts_on_the_premises),
        TEST(claims_as_they_are_written),  TEST(the_operator_has_the_last_word),
        TEST(what_zone_and_kind_rule_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
