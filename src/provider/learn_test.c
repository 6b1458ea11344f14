/* SPDX-License-Identifier: Apache-2.0 */
/* learn - what servers tell besides their lists, what stays of it, and what does no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "provider/provider.h"

static const char tags[] =
    "{\"models\":[{\"name\":\"a:latest\",\"digest\":\"1\"},{\"name\":\"b\",\"digest\":\"2\"},"
    "{\"name\":\"c\",\"digest\":\"3\",\"capabilities\":[\"completion\",\"tools\"]}]}";

static const char props[] =
    "{\"default_generation_settings\":{\"params\":{},\"n_ctx\":1024},\"total_slots\":2,"
    "\"modalities\":{\"vision\":true,\"audio\":false},\"chat_template_caps\":{\"supports_tools\":"
    "false,\"supports_reasoning_effort\":true},\"is_sleeping\":false}";

/* As vLLM 0.11 writes them, two engines. */
static const char metrics[] =
    "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
    "# TYPE vllm:num_requests_running gauge\n"
    "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\n"
    "vllm:num_requests_running{engine=\"1\",model_name=\"m\"} 4.0\n"
    "vllm:num_requests_running_more{engine=\"0\"} 100.0\n"
    "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 2.0\n"
    "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.25\n"
    "vllm:kv_cache_usage_perc{engine=\"1\",model_name=\"m\"} 0.75\n";

struct world {
    struct provider p;
    struct arena arena;
};

static int open_world(void **state)
{
    static struct world w;
    w = (struct world){
        .p = {.name = "p", .kind = PROVIDER_OLLAMA, .cell = provider_cell_get("p", "x")}};
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

static void take(struct world *w, const char *body)
{
    struct err err = ERR_INIT;
    if (!provider_models_take(w->p.cell, w->p.kind, strv_of(body), &err))
        fail_msg("%s", err.text);
}

static struct provider_facts facts(struct world *w, const char *model)
{
    struct provider_facts f;
    (void)provider_model_facts(&w->p, strv_of(model), &w->arena, &f);
    return f;
}

static void what_is_in_memory(void **state)
{
    struct world *w = *state;
    assert_false(provider_learn_loaded(w->p.cell, STRV("{\"models\":[]}"))); /* no list yet */
    take(w, tags);
    assert_int_equal(facts(w, "a").warmth, PROVIDER_WARMTH_UNKNOWN);
    assert_true(provider_learn_loaded(
        w->p.cell, STRV("{\"models\":[{\"name\":\"A\"},{\"model\":\"b:latest\",\"remote_host\":"
                        "\"https://ollama.com\"},{\"name\":\"gone\"},{},5]}")));
    assert_int_equal(facts(w, "a").warmth, PROVIDER_WARM);
    assert_int_equal(facts(w, "b").warmth, PROVIDER_WARM);
    assert_int_equal(facts(w, "c").warmth, PROVIDER_COLD);
    assert_int_equal(facts(w, "nobody").warmth, PROVIDER_WARMTH_UNKNOWN);
    assert_false(facts(w, "a").remote);
    assert_true(facts(w, "b").remote); /* it is only relayed */
    take(w, tags);                     /* a new list does not say, and takes nothing back */
    assert_true(facts(w, "b").remote);
    assert_int_equal(facts(w, "a").warmth, PROVIDER_WARM);
    assert_int_equal(facts(w, "c").warmth, PROVIDER_COLD);
    take(w, "{\"models\":[{\"name\":\"a:latest\",\"digest\":\"new\"}]}"); /* another one */
    assert_int_equal(facts(w, "a").warmth, PROVIDER_COLD);
    assert_true(provider_learn_loaded(w->p.cell, STRV("{\"models\":null}")));
    assert_int_equal(facts(w, "a").warmth, PROVIDER_COLD);
}

static void what_a_model_takes_there(void **state)
{
    struct world *w = *state;
    take(w, tags);
    assert_true(provider_learn_loaded(
        w->p.cell,
        STRV("{\"models\":[{\"name\":\"a\",\"size\":7,\"size_vram\":5,\"context_length\":4096,"
             "\"expires_at\":\"2026-11-22T15:00:00Z\"},{\"name\":\"b\",\"size\":-1,\"expires_at\":"
             "\"soon\"}]}")));
    take(w, tags); /* a new list takes nothing back */
    struct provider_models *m = provider_models_get(w->p.cell);
    for (size_t i = 0; i < m->n; i++) {
        bool a = strcmp(m->items[i].name, "a:latest") == 0;
        assert_int_equal(m->items[i].memory.bytes, a ? 7 : 0);
        assert_int_equal(m->items[i].memory.vram_bytes, a ? 5 : 0);
        assert_int_equal(m->items[i].memory.context, a ? 4096 : 0);
        assert_int_equal(m->items[i].memory.expires_us, a ? 1795359600000000 : 0);
    }
    provider_models_unref(m);
    assert_true(provider_learn_loaded(w->p.cell, STRV("{\"models\":[{\"name\":\"a\"}]}")));
    m = provider_models_get(w->p.cell);
    for (size_t i = 0; i < m->n; i++)
        assert_int_equal(m->items[i].memory.bytes, 0);
    provider_models_unref(m);
}

static void what_one_model_can_do(void **state)
{
    struct world *w = *state;
    take(w, tags);
    assert_true(provider_learn_shown(
        w->p.cell, STRV("a:latest"),
        STRV(
            "{\"capabilities\":[\"completion\",\"vision\"],\"model_info\":{\"general.architecture\""
            ":\"llama\",\"llama.context_length\":131072}}")));
    struct provider_facts f = facts(w, "a");
    assert_int_equal(f.has, LLM_NEED_IMAGES);
    assert_int_equal(f.lacks, LLM_NEED_TOOLS | LLM_NEED_AUDIO | LLM_NEED_THINKING);
    assert_int_equal(f.context, 131072);
    take(w, tags); /* remembered, by its digest */
    assert_int_equal(facts(w, "a").has, LLM_NEED_IMAGES);
    assert_int_equal(facts(w, "a").context, 131072);
    take(w, "{\"models\":[{\"name\":\"a:latest\",\"digest\":\"new\"}]}");
    assert_int_equal(facts(w, "a").has, 0);
    take(w, tags);
    assert_true(provider_learn_shown(w->p.cell, STRV("b"), STRV("{\"remote_model\":\"x\"}")));
    assert_true(facts(w, "b").remote);
    take(w, tags); /* a list that does not say takes nothing back: private texts would go there */
    assert_true(facts(w, "b").remote);
    assert_true(provider_learn_silent(w->p.cell, STRV("a")));
    struct provider_models *m = provider_models_get(w->p.cell);
    for (size_t i = 0; i < m->n; i++)
        assert_int_equal(m->items[i].shown, strcmp(m->items[i].name, "c") != 0);
    provider_models_unref(m);
    assert_false(provider_learn_shown(w->p.cell, STRV("nobody"), STRV("{}")));
}

static void what_a_llama_server_tells(void **state)
{
    struct world *w = *state;
    struct dialect_target t;
    struct llm_request r = {0};
    w->p.kind = PROVIDER_OPENAI;
    take(w, "{\"data\":[{\"id\":\"m\",\"owned_by\":\"llamacpp\"}]}");
    assert_true(provider_learn_props(w->p.cell, strv_of(props)));
    struct provider_facts f = facts(w, "m");
    assert_int_equal(f.has, LLM_NEED_IMAGES);
    assert_int_equal(f.lacks, LLM_NEED_AUDIO | LLM_NEED_TOOLS);
    assert_int_equal(f.context, 1024);
    assert_int_equal(f.warmth, PROVIDER_WARM);
    assert_int_equal(w->p.cell->slots_seen, 2);
    provider_target(&w->p, STRV("m"), &r, &t);
    assert_true(t.reasoning_effort);
    assert_false(provider_is_cold(&w->p, STRV("m"), 5));
    assert_true(provider_learn_props(w->p.cell, STRV("{\"total_slots\":4,\"is_sleeping\":true}")));
    assert_int_equal(facts(w, "m").warmth, PROVIDER_COLD);
    assert_true(provider_is_cold(&w->p, STRV("m"), 5));
    assert_int_equal(facts(w, "m").context, 1024);
    assert_true(provider_learn_slots(
        w->p.cell,
        STRV("[{\"id\":0,\"is_processing\":true},{\"id\":1,\"is_processing\":false},{\"is_"
             "processing\":true},7]")));
    assert_int_equal(w->p.cell->busy, 2);
    assert_int_equal(facts(w, "m").calls, 2);
    /* several models behind it: whose would they be? */
    take(w, "{\"data\":[{\"id\":\"m\"},{\"id\":\"n\"}]}");
    assert_false(provider_learn_props(w->p.cell, strv_of(props)));
}

/* As build 11669 answered: test/data/llama-server. */
static strv recorded(const char *name, char out[16384])
{
    const char *root = getenv("TEST_DATA");
    char path[512];
    snprintf(path, sizeof path, "%s/llama-server/%s.response", root != NULL ? root : "test/data",
             name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("cannot open %s (set TEST_DATA to the folder test/data)", path);
    out[fread(out, 1, 16383, f)] = '\0';
    fclose(f);
    const char *body = strstr(out, "\r\n\r\n");
    assert_non_null(body);
    return strv_of(body + 4);
}

static void what_a_real_llama_server_told(void **state)
{
    static char text[16384];
    struct world *w = *state;
    struct err err = ERR_INIT;
    w->p.kind = PROVIDER_OPENAI;
    assert_true(provider_models_take(w->p.cell, w->p.kind, recorded("05-models", text), &err));
    assert_int_equal(facts(w, "tiny-random").lacks, LLM_NEED_IMAGES | LLM_NEED_AUDIO);
    assert_true(provider_learn_props(w->p.cell, recorded("39-props", text)));
    struct provider_facts f = facts(w, "tiny-random");
    assert_int_equal(f.has, LLM_NEED_TOOLS);
    assert_int_equal(f.lacks, LLM_NEED_IMAGES | LLM_NEED_AUDIO);
    assert_int_equal(f.context, 1024);
    assert_int_equal(w->p.cell->slots_seen, 2);
    assert_true(provider_learn_slots(w->p.cell, recorded("40-slots", text)));
    assert_int_equal(w->p.cell->busy, 0);
    assert_false(provider_learn_slots(w->p.cell, recorded("72-no-slots", text)));
}

static void what_vllm_tells(void **state)
{
    struct world *w = *state;
    assert_true(provider_learn_metrics(w->p.cell, strv_of(metrics)));
    assert_int_equal(w->p.cell->busy, 7);
    assert_int_equal(w->p.cell->queued, 2);
    assert_int_equal(w->p.cell->cache_percent, 75);
    static const char *const bad[] = {
        "",
        "\n\n",
        "vllm:num_requests_running",
        "vllm:num_requests_running{",
        "vllm:num_requests_running{} ",
        "vllm:num_requests_running{} nan\n",
        "vllm:num_requests_running{} -1\n",
        "vllm:num_requests_running{} 1e99\n",
        "vllm:num_requests_running{}9\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(provider_learn_metrics(w->p.cell, strv_of(bad[i])));
    assert_int_equal(w->p.cell->busy, 7);
}

/* Of the 9 calls that it tells of 4 are ours; when ours end the others are still there. */
static void calls_of_others_are_told_from_ours(void **state)
{
    struct world *w = *state;
    struct provider_glance glance;
    w->p.cell->in_flight = 4;
    assert_true(provider_learn_metrics(w->p.cell, strv_of(metrics)));
    provider_look(&w->p, 1, &glance);
    assert_int_equal(glance.calls, 9);
    w->p.cell->in_flight = 1;
    provider_look(&w->p, 1, &glance);
    assert_int_equal(glance.calls, 6);
    w->p.cell->in_flight = 30; /* more than it has seen by then */
    assert_true(provider_learn_metrics(w->p.cell, strv_of(metrics)));
    provider_look(&w->p, 1, &glance);
    assert_int_equal(glance.calls, 30);
    w->p.cell->in_flight = 0;
}

static void every_beginning_of_a_body_is_harmless(void **state)
{
    struct world *w = *state;
    static const char *const bodies[] = {props, metrics, tags};
    take(w, tags);
    for (size_t i = 0; i < 3; i++)
        for (size_t n = 0; n <= strlen(bodies[i]); n++) {
            strv body = {bodies[i], n};
            (void)provider_learn_loaded(w->p.cell, body);
            (void)provider_learn_shown(w->p.cell, STRV("a"), body);
            (void)provider_learn_props(w->p.cell, body);
            (void)provider_learn_slots(w->p.cell, body);
            (void)provider_learn_metrics(w->p.cell, body);
        }
    struct provider_models *m = provider_models_get(w->p.cell);
    assert_int_equal(m->n, 3);
    provider_models_unref(m);
}

static void refused_memory_teaches_nothing(void **state)
{
    struct world *w = *state;
    take(w, tags);
    int64_t live = mem_live();
    for (uint64_t n = 1; n < 6; n++) {
        mem_fail_at(n, true);
        bool learnt = provider_learn_loaded(w->p.cell, STRV("{\"models\":[{\"name\":\"a\"}]}"));
        mem_fail_at(0, false);
        if (learnt)
            break;
        assert_int_equal(mem_live(), live);
        assert_int_equal(facts(w, "a").warmth, PROVIDER_WARMTH_UNKNOWN);
        arena_fini(&w->arena);
    }
}

/* ---- the last call ---- */

static void call(struct world *w, const char *model, int64_t now)
{
    uint64_t ms;
    assert_int_equal(provider_admit(&w->p, now, &ms), ADMIT_GO);
    provider_report(
        &w->p,
        &(struct provider_report){
            .outcome = OUTCOME_OK, .now_us = now + 1, .latency_us = 1, .model = strv_of(model)},
        NULL);
}

static void a_call_changes_what_is_in_memory(void **state)
{
    struct world *w = *state;
    bool told;
    take(w, tags);
    assert_true(provider_learn_loaded(w->p.cell, STRV("{\"models\":[{\"name\":\"a\"}]}")));
    assert_false(w->p.cell->ask_loaded);
    assert_false(provider_has_loaded(&w->p, STRV("a:latest"), &told));
    assert_true(told);
    assert_true(provider_is_cold(&w->p, STRV("b"), 10));
    call(w, "b", 10);
    assert_true(w->p.cell->ask_loaded); /* a may be out */
    assert_true(provider_has_loaded(&w->p, STRV("b"), &told));
    assert_false(told);
    assert_int_equal(facts(w, "b").warmth, PROVIDER_WARM);
    assert_false(provider_is_cold(&w->p, STRV("b"), 20));
    w->p.cell->ask_loaded = false;
    call(w, "b", 30); /* nothing new */
    assert_false(w->p.cell->ask_loaded);
    assert_true(provider_learn_loaded(w->p.cell, STRV("{\"models\":[{\"name\":\"c\"}]}")));
    assert_int_equal(facts(w, "b").warmth, PROVIDER_COLD); /* the server knows better */
    assert_true(provider_is_cold(&w->p, STRV("b"), 40));
    w->p.kind = PROVIDER_OPENAI; /* nothing to choose */
    assert_true(provider_has_loaded(&w->p, STRV("b"), &told));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_in_memory),
        TEST(what_a_model_takes_there),
        TEST(what_one_model_can_do),
        TEST(what_a_llama_server_tells),
        TEST(what_a_real_llama_server_told),
        TEST(what_vllm_tells),
        TEST(calls_of_others_are_told_from_ours),
        TEST(every_beginning_of_a_body_is_harmless),
        TEST(refused_memory_teaches_nothing),
        TEST(a_call_changes_what_is_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
