/* SPDX-License-Identifier: Apache-2.0 */
/* models - lists as servers send them, what is refused, and whose a name is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "provider/provider.h"

static const char llama_server[] =
    "{\"models\":[{\"name\":\"tiny-random\",\"model\":\"tiny-random\",\"modified_at\":\"\","
    "\"size\":\"\",\"digest\":\"\",\"type\":\"model\",\"capabilities\":[\"completion\"]}],"
    "\"object\":\"list\",\"data\":[{\"id\":\"tiny-random\",\"aliases\":[\"tiny-random\"],"
    "\"object\":\"model\",\"created\":1795360550,\"owned_by\":\"llamacpp\",\"meta\":{\"n_vocab\":"
    "281,"
    "\"n_ctx\":1024,\"n_ctx_train\":2048,\"size\":107428}}]}";

static const char vllm[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"Qwen/"
    "Qwen3-8B\",\"object\":\"model\",\"created\":1795359600,"
    "\"owned_by\":\"vllm\",\"root\":\"x\",\"max_model_len\":32768},"
    "{\"id\":\"text-embedding-x\",\"object\":\"model\"},{\"id\":\"lora-1\",\"object\":\"model\"}]}";

static const char docker[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"ai/"
    "smollm2:latest\",\"object\":\"model\",\"created\":1,"
    "\"owned_by\":\"docker\",\"dmr\":{\"context_window\":8192,\"size\":\"256 MiB\"}}]}";

static const char dated[] = "{\"data\":[{\"id\":\"claude-a-1-20260301\"},"
                            "{\"id\":\"claude-b-1-2026030x\"}]}";

static const char anthropic[] =
    "{\"data\":[{\"type\":\"model\",\"id\":\"claude-sonnet-5-5\",\"display_name\":\"Claude\","
    "\"created_at\":\"2026-09-28T00:00:00Z\",\"max_input_tokens\":1000000,\"max_tokens\":128000,"
    "\"lifecycle\":\"active\",\"capabilities\":{}}],\"has_more\":false}";

static const char ollama[] =
    "{\"models\":["
    "{\"name\":\"nomic-embed-text:latest\",\"modified_at\":\"2026-05-04T17:37:44.7-07:00\","
    "\"size\":5},"
    "{\"name\":\"my-alias:latest\",\"remote_host\":\"https://"
    "ollama.com\",\"remote_model\":\"big\"},"
    "{\"name\":\"Llama3.2:latest\",\"model\":\"Llama3.2:latest\",\"size\":2019393189,"
    "\"modified_at\":\"2026-05-04T17:37:44.7-07:00\",\"digest\":\"a80c4f17acd5\","
    "\"details\":{\"family\":\"llama\",\"context_length\":131072},"
    "\"capabilities\":[\"completion\",\"tools\"]},"
    "{\"name\":\"gpt-oss:120b-cloud\",\"size\":1},"
    "{\"name\":\"searcher\",\"capabilities\":[\"embedding\"]},"
    "{\"model\":\"hf.co/org/repo:Q4_K_M\",\"details\":null}]}";

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

static struct provider_models *take(struct world *w, enum provider_kind kind, const char *body)
{
    struct err err = ERR_INIT;
    w->p.kind = kind;
    if (!provider_models_take(w->p.cell, kind, strv_of(body), &err))
        fail_msg("%s", err.text);
    struct provider_models *m = provider_models_get(w->p.cell);
    provider_models_unref(m); /* the cell has it still */
    return m;
}

/* ---- reading ---- */

static void lists_of_openai_s_kin(void **state)
{
    struct world *w = *state;
    struct provider_models *m = take(w, PROVIDER_LLAMA_SERVER, llama_server);
    assert_int_equal(m->n, 1);
    assert_string_equal(m->items[0].name, "tiny-random");
    assert_int_equal(m->items[0].context, 1024);
    assert_int_equal(m->items[0].size_bytes, 107428);
    assert_true(m->items[0].modified_us == 1795360550000000);
    assert_true(m->items[0].loaded);
    m = take(w, PROVIDER_OPENAI, vllm);
    assert_int_equal(m->n, 3);
    assert_string_equal(m->items[0].name, "Qwen/Qwen3-8B");
    assert_int_equal(m->items[0].context, 32768);
    assert_string_equal(m->items[0].owner, "vllm");
    assert_string_equal(m->items[1].name, "lora-1");   /* can chat */
    assert_string_equal(m->items[1].owner, "localai"); /* as LocalAI's items are */
    assert_string_equal(m->items[2].name, "text-embedding-x");
    m = take(w, PROVIDER_OPENAI, docker);
    assert_int_equal(m->items[0].context, 8192);
    assert_int_equal(m->items[0].size_bytes, 0);
    m = take(w, PROVIDER_OPENAI, "{\"object\":\"list\",\"data\":null}");
    assert_int_equal(m->n, 0);
    m = take(w, PROVIDER_OPENAI, "{\"data\":[]}");
    assert_int_equal(m->n, 0);
}

static void the_list_of_anthropic(void **state)
{
    struct provider_models *m = take(*state, PROVIDER_ANTHROPIC, anthropic);
    assert_int_equal(m->n, 1);
    assert_int_equal(m->items[0].context, 1000000);
    assert_int_equal(m->items[0].output_max, 128000);
    assert_true(m->items[0].modified_us == 1790553600000000);
}

static void the_list_of_ollama(void **state)
{
    static const struct {
        const char *name;
        bool remote;
    } want[] = {
        /* local before relayed, and what cannot chat last */
        {"Llama3.2:latest", false},   {"hf.co/org/repo:Q4_K_M", false},   {"my-alias:latest", true},
        {"gpt-oss:120b-cloud", true}, {"nomic-embed-text:latest", false}, {"searcher", false},
    };
    struct provider_models *m = take(*state, PROVIDER_OLLAMA, ollama);
    assert_int_equal(m->n, sizeof want / sizeof *want);
    for (size_t i = 0; i < m->n; i++) {
        assert_string_equal(m->items[i].name, want[i].name);
        assert_int_equal(m->items[i].remote, want[i].remote);
    }
    assert_int_equal(m->items[0].context, 131072);
    assert_true(m->items[0].size_bytes == 2019393189);
    assert_string_equal(m->items[0].digest, "a80c4f17acd5");
    assert_true(m->items[0].modified_us == 1777941464700000);
}

static void times_that_are_none(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"2026-05-05T00:37:44.7Z", 1777941464700000},
        {"2026-05-05T02:07:44.700000000+01:30", 1777941464700000},
        {"1970-01-01T00:00:01Z", 1000000},
        {"2024-02-29T12:00:00Z", 1709208000000000},
        {"2026-05-05T00:37:44", 0},
        {"2026-13-05T00:37:44Z", 0},
        {"2026-05-05T00:37:44+x", 0},
        {"yesterday at about half past two", 0},
        {"", 0},
        {"9999999999999999999999999999999999999999999999999999", 0},
        {"-026-05-05T00:37:44Z", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"models\":[{\"name\":\"m\",\"modified_at\":\"%s\"}]}",
                 cases[i].text);
        struct provider_models *m = take(*state, PROVIDER_OLLAMA, body);
        if (m->items[0].modified_us != cases[i].us)
            fail_msg("%s: %lld", cases[i].text, (long long)m->items[0].modified_us);
    }
}

static void bad_lists_leave_the_old_one(void **state)
{
    static const struct {
        enum provider_kind kind;
        const char *body, *text;
    } cases[] = {
        {PROVIDER_OPENAI, "", NULL},
        {PROVIDER_OPENAI, "<html>", NULL},
        {PROVIDER_OPENAI, "[]", "no list of models: member \"data\" is missing"},
        {PROVIDER_OPENAI, "{\"models\":[]}", "no list of models: member \"data\" is missing"},
        {PROVIDER_OLLAMA, "{\"data\":[]}", "no list of models: member \"models\" is missing"},
        {PROVIDER_OPENAI, "{\"data\":{}}", "no list of models: member \"data\" is missing"},
        {PROVIDER_OPENAI, "{\"data\":[{}]}", "a model without a name"},
        {PROVIDER_OPENAI, "{\"data\":[{\"id\":\"\"}]}", "a model without a name"},
        {PROVIDER_OPENAI, "{\"data\":[{\"id\":5}]}", "a model without a name"},
        {PROVIDER_OPENAI, "{\"data\":[null]}", "a model without a name"},
        {PROVIDER_OPENAI, "{\"data\":[{\"id\":\"a\"},{\"id\":\"a\\nb\"}]}",
         "a model's name has blanks or control characters"},
        {PROVIDER_OPENAI, "{\"data\":[{\"id\":\"a\"}]", NULL},
    };
    struct world *w = *state;
    struct provider_models *old = take(w, PROVIDER_OPENAI, vllm);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR_INIT;
        assert_false(provider_models_take(w->p.cell, cases[i].kind, strv_of(cases[i].body), &err));
        assert_true(err.set);
        if (cases[i].text != NULL)
            assert_string_equal(err.text, cases[i].text);
        assert_ptr_equal(w->p.cell->models, old);
    }
    char body[400], name[300];
    struct err err = ERR_INIT;
    memset(name, 'x', sizeof name);
    snprintf(body, sizeof body, "{\"data\":[{\"id\":\"%.257s\"}]}", name);
    assert_false(provider_models_take(w->p.cell, PROVIDER_OPENAI, strv_of(body), &err));
}

/* Every prefix of a list is refused, and never read past its end. */
static void a_list_cut_anywhere_is_refused(void **state)
{
    struct world *w = *state;
    for (size_t n = 0; n + 1 < sizeof ollama; n++) {
        struct err err = ERR_INIT;
        char *copy = mem_alloc(n);
        assert_non_null(copy);
        memcpy(copy, ollama, n);
        bool ok = provider_models_take(w->p.cell, PROVIDER_OLLAMA, (strv){copy, n}, &err);
        mem_free(copy);
        assert_int_equal(ok, n + 1 == sizeof ollama);
    }
}

static void a_list_in_use_outlives_its_successor(void **state)
{
    struct world *w = *state;
    take(w, PROVIDER_OPENAI, vllm);
    struct provider_models *m = provider_models_get(w->p.cell);
    take(w, PROVIDER_OPENAI, docker);
    assert_string_equal(m->items[0].name, "Qwen/Qwen3-8B");
    provider_models_unref(m);
}

static void refused_memory_leaves_the_old_list(void **state)
{
    struct world *w = *state;
    struct provider_models *old = take(w, PROVIDER_OLLAMA, ollama);
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        struct err err = ERR_INIT;
        int64_t live = mem_live();
        mem_fail_at(nth, false);
        bool ok = provider_models_take(w->p.cell, PROVIDER_OLLAMA, strv_of(ollama), &err);
        done = mem_count() < nth;
        mem_fail_at(0, false);
        assert_int_equal(ok, done);
        if (!ok) {
            assert_int_equal(err.code, ERR_CODE_OOM);
            assert_int_equal(mem_live(), live);
            assert_ptr_equal(w->p.cell->models, old);
        }
    }
}

/* ---- looking up ---- */

static const struct {
    enum provider_kind kind;
    enum provider_zone zone;
    const char *list;
    const char *statics[3];
    const char *name, *exact; /* NULL = not its model */
    bool remote;
} owners[] = {
    {PROVIDER_OLLAMA, ZONE_LOCAL, ollama, {NULL}, "llama3.2", "Llama3.2:latest", false},
    {PROVIDER_OLLAMA, ZONE_LOCAL, ollama, {NULL}, "LLAMA3.2:LATEST", "Llama3.2:latest", false},
    {PROVIDER_OLLAMA, ZONE_LOCAL, ollama, {NULL}, "llama3.2:3b", NULL, true},
    {PROVIDER_OLLAMA, ZONE_LOCAL, ollama, {NULL}, "searcher:latest", "searcher", false},
    {PROVIDER_OLLAMA, ZONE_LOCAL, ollama, {NULL}, "my-alias", "my-alias:latest", true},
    {PROVIDER_OLLAMA, ZONE_LOCAL, ollama, {NULL}, "gpt-oss:120b-cloud", "gpt-oss:120b-cloud", true},
    {PROVIDER_OLLAMA, ZONE_LOCAL, ollama, {NULL}, "", NULL, true},
    {PROVIDER_OLLAMA, ZONE_LOCAL, ollama, {NULL}, ":latest", NULL, true},
    /* before it has told: it may be an alias of anything */
    {PROVIDER_OLLAMA, ZONE_LOCAL, NULL, {NULL}, "llama3.2", NULL, true},
    {PROVIDER_OLLAMA, ZONE_LOCAL, NULL, {"llama3.2"}, "llama3.2", "llama3.2", true},
    {PROVIDER_OLLAMA, ZONE_LOCAL, ollama, {"llama3.2"}, "llama3.2", "llama3.2", false},
    {PROVIDER_OLLAMA, ZONE_LOCAL, ollama, {"my-alias"}, "my-alias", "my-alias", true},
    {PROVIDER_OPENAI, ZONE_LOCAL, vllm, {NULL}, "Qwen/Qwen3-8B", "Qwen/Qwen3-8B", false},
    {PROVIDER_OPENAI, ZONE_LOCAL, vllm, {NULL}, "qwen/qwen3-8b", NULL, false},
    {PROVIDER_OPENAI,
     ZONE_LOCAL,
     vllm,
     {"gpt-oss:120b-cloud"},
     "gpt-oss:120b-cloud",
     "gpt-oss:120b-cloud",
     true},
    {PROVIDER_OPENAI, ZONE_LOCAL, docker, {NULL}, "ai/smollm2", "ai/smollm2:latest", false},
    /* a static list is the whole list */
    {PROVIDER_OPENAI, ZONE_LOCAL, vllm, {"other"}, "Qwen/Qwen3-8B", NULL, false},
    {PROVIDER_OPENAI, ZONE_LOCAL, vllm, {"other"}, "other", "other", false},
    /* at the cloud: what it lists, with or without the date; not whatever sounds like it */
    {PROVIDER_ANTHROPIC, ZONE_CLOUD, NULL, {NULL}, "claude-sonnet-6", NULL, false},
    {PROVIDER_ANTHROPIC, ZONE_CLOUD, anthropic, {NULL}, "claude-john-smith", NULL, false},
    {PROVIDER_ANTHROPIC, ZONE_CLOUD, dated, {NULL}, "claude-a-1", "claude-a-1", false},
    {PROVIDER_ANTHROPIC, ZONE_CLOUD, dated, {NULL}, "claude-b-1", NULL, false},
    {PROVIDER_ANTHROPIC, ZONE_CLOUD, dated, {NULL}, "claude-a", NULL, false},
    {PROVIDER_ANTHROPIC,
     ZONE_CLOUD,
     anthropic,
     {NULL},
     "claude-sonnet-5-5",
     "claude-sonnet-5-5",
     false},
    {PROVIDER_ANTHROPIC, ZONE_CLOUD, anthropic, {"claude-x"}, "claude-opus-5-5", NULL, false},
    {PROVIDER_ANTHROPIC, ZONE_LOCAL, NULL, {NULL}, "claude-opus-5-5", NULL, false},
    {PROVIDER_ANTHROPIC, ZONE_CLOUD, NULL, {NULL}, "gpt-5", NULL, false},
    {PROVIDER_LLAMA_SERVER, ZONE_LOCAL, NULL, {NULL}, "demo", "demo", false},
    {PROVIDER_LLAMA_SERVER, ZONE_LOCAL, NULL, {NULL}, "gpt-5", NULL, false},
    {PROVIDER_LLAMA_SERVER, ZONE_LOCAL, llama_server, {NULL}, "tiny-random", "tiny-random", false},
};

static void a_name_belongs_to_who_has_it(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++) {
        strv exact = STRV_NONE;
        bool remote = !owners[i].remote;
        close_world(state);
        open_world(state);
        if (owners[i].list != NULL)
            take(w, owners[i].kind, owners[i].list);
        w->p.kind = owners[i].kind;
        w->p.zone = owners[i].zone;
        w->p.static_models = owners[i].statics;
        w->p.spawn.model = "/some/where/demo.gguf";
        bool has = provider_has_model(&w->p, strv_of(owners[i].name), &w->arena, &exact, &remote);
        if (has != (owners[i].exact != NULL) || remote != owners[i].remote)
            fail_msg("case %zu %s: has %d remote %d", i, owners[i].name, has, remote);
        assert_true(!has || strv_eq_cstr(exact, owners[i].exact));
        assert_int_equal(provider_is_remote(&w->p, strv_of(owners[i].name)), remote);
        assert_int_equal(provider_has_model(&w->p, strv_of(owners[i].name), &w->arena, NULL, NULL),
                         has);
    }
}

static void a_list_without_end_is_refused(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct buf list;
    buf_init(&list, 1 << 20);
    buf_put_cstr(&list, "{\"data\":[");
    for (int i = 0; i < 4097; i++)
        buf_printf(&list, "%s{\"id\":\"m%d\"}", i > 0 ? "," : "", i);
    buf_put_cstr(&list, "]}");
    assert_false(provider_models_take(w->p.cell, PROVIDER_OPENAI, buf_view(&list), &err));
    assert_null(provider_models_get(w->p.cell));
    buf_fini(&list);
}

static void an_engine_has_a_name(void **state)
{
    (void)state;
    struct provider_spawn s = {.model = "models/tiny.gguf"};
    assert_true(strv_eq(provider_spawn_alias(&s), STRV("tiny")));
    s.model = "tiny.bin";
    assert_true(strv_eq(provider_spawn_alias(&s), STRV("tiny.bin")));
    s.alias = "demo";
    assert_true(strv_eq(provider_spawn_alias(&s), STRV("demo")));
}

static void every_kind_has_a_path(void **state)
{
    (void)state;
    assert_string_equal(provider_models_path(PROVIDER_OLLAMA), "/api/tags");
    assert_string_equal(provider_models_path(PROVIDER_OPENAI), "/v1/models");
    assert_string_equal(provider_models_path(PROVIDER_LLAMA_SERVER), "/v1/models");
    assert_string_equal(provider_models_path(PROVIDER_ANTHROPIC), "/v1/models?limit=1000");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lists_of_openai_s_kin),
        TEST(the_list_of_anthropic),
        TEST(the_list_of_ollama),
        TEST(times_that_are_none),
        TEST(bad_lists_leave_the_old_one),
        TEST(a_list_cut_anywhere_is_refused),
        TEST(a_list_in_use_outlives_its_successor),
        TEST(refused_memory_leaves_the_old_list),
        TEST(a_name_belongs_to_who_has_it),
        TEST(a_list_without_end_is_refused),
        TEST(an_engine_has_a_name),
        TEST(every_kind_has_a_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
