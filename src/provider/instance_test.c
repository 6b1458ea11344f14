/* SPDX-License-Identifier: Apache-2.0 */
/* instance - which of several servers gets a call: affinity and its bound, chance, health. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "provider/provider.h"

#define SERVERS 4

struct world {
    struct provider row, one[SERVERS];
    struct rng rng;
};

static int open_world(void **state)
{
    static struct world w;
    w = (struct world){.row = {.name = "vllm", .kind = PROVIDER_OPENAI}};
    rng_seed(&w.rng, 7);
    for (unsigned i = 0; i < SERVERS; i++) {
        char name[16], address[32];
        snprintf(name, sizeof name, "vllm#%u", i + 1);
        snprintf(address, sizeof address, "http://10.0.0.%u:8000", i + 1);
        w.one[i] = w.row;
        w.one[i].instance = i;
        w.one[i].cell = provider_cell_get(name, address);
        w.one[i].limits = (struct provider_limits){.breaker_failures = 1,
                                                   .breaker_open_ms = 1000,
                                                   .breaker_open_max_ms = 1000,
                                                   .queue_max = 9};
    }
    w.row.cell = w.one[0].cell;
    w.row.instances = w.one;
    w.row.n_instances = SERVERS;
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    provider_cells_free();
    return 0;
}

static int pick(struct world *w, uint64_t prefix, uint32_t spent)
{
    struct provider_wish wish = {
        .model = STRV("m"), .prefix = prefix, .spent = spent, .now_us = 1000};
    return provider_pick(&w->row, &wish, &w->rng);
}

static void tell(struct world *w, unsigned i, const char *body)
{
    struct err err = ERR_INIT;
    assert_true(provider_models_take(w->one[i].cell, w->row.kind, strv_of(body), &err));
}

static void one_server_needs_no_choice(void **state)
{
    struct world *w = *state;
    struct provider_wish wish = {.model = STRV("m")};
    assert_int_equal(provider_pick(&w->one[0], &wish, &w->rng), 0);
    wish.spent = 1;
    assert_int_equal(provider_pick(&w->one[0], &wish, &w->rng), -1);
    assert_int_equal(provider_instance_count(&w->one[0]), 1);
    assert_ptr_equal(provider_instance(&w->one[0], 0), &w->one[0]);
    assert_int_equal(provider_instance_count(&w->row), SERVERS);
    assert_ptr_equal(provider_instance(&w->row, 2), &w->one[2]);
}

static void a_conversation_stays_and_conversations_spread(void **state)
{
    struct world *w = *state;
    unsigned got[SERVERS] = {0};
    for (uint64_t prefix = 1; prefix <= 1000; prefix++) {
        int first = pick(w, prefix * 0x9e3779b97f4a7c15, 0);
        got[first]++;
        assert_int_equal(pick(w, prefix * 0x9e3779b97f4a7c15, 0), first);
    }
    for (size_t i = 0; i < SERVERS; i++)
        assert_in_range(got[i], 200, 300);
}

static void only_the_share_of_a_lost_server_moves(void **state)
{
    struct world *w = *state;
    for (uint64_t prefix = 1; prefix <= 200; prefix++) {
        int all = pick(w, prefix, 0), without = pick(w, prefix, 1u << 2);
        assert_true(all == 2 ? without != 2 : without == all);
    }
}

static void affinity_has_a_bound(void **state)
{
    struct world *w = *state;
    int own = pick(w, 77, 0);
    w->one[own].cell->in_flight = 4;
    assert_int_equal(pick(w, 77, 0), own);
    w->one[own].cell->in_flight = 5; /* the others have nothing to do */
    assert_int_not_equal(pick(w, 77, 0), own);
    for (int i = 0; i < SERVERS; i++)
        w->one[i].cell->in_flight = 100;
    w->one[own].cell->in_flight = 129;
    assert_int_equal(pick(w, 77, 0), own);
    w->one[own].cell->in_flight = 130;
    assert_int_not_equal(pick(w, 77, 0), own);
    w->one[own].cell->in_flight = 100; /* those of others and who waits count, too */
    w->one[own].cell->others = 20;
    w->one[own].cell->waiting = 10;
    assert_int_not_equal(pick(w, 77, 0), own);
}

/* By chance alone one of many has far less to do than the rest. */
static void the_bound_follows_the_others_and_not_the_least_of_them(void **state)
{
    struct world *w = *state;
    int own = pick(w, 77, 0), least = (own + 1) % SERVERS;
    for (int i = 0; i < SERVERS; i++)
        w->one[i].cell->in_flight = 14;
    w->one[least].cell->in_flight = 5;
    assert_int_equal(pick(w, 77, 0), own);
    w->one[own].cell->in_flight = 17; /* the others: 11, and a quarter, and four */
    assert_int_equal(pick(w, 77, 0), own);
    w->one[own].cell->in_flight = 18;
    assert_int_not_equal(pick(w, 77, 0), own);
}

/* A server that is idle beats a cache behind a queue; with no idle one the cache is worth the wait. */
static void no_waiting_while_another_has_a_place(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SERVERS; i++)
        w->one[i].limits.concurrency = 1;
    int own = pick(w, 77, 0);
    w->one[own].cell->in_flight = 1;
    assert_int_not_equal(pick(w, 77, 0), own);
    for (unsigned i = 0; i < SERVERS; i++)
        w->one[i].cell->in_flight = 1;
    assert_int_equal(pick(w, 77, 0), own);
}

static void chance_prefers_those_with_less_to_do(void **state)
{
    struct world *w = *state;
    unsigned got[SERVERS] = {0};
    for (unsigned i = 0; i < 1000; i++)
        got[pick(w, 0, 0)]++;
    for (size_t i = 0; i < SERVERS; i++)
        assert_in_range(got[i], 180, 320);
    memset(got, 0, sizeof got);
    w->one[3].cell->in_flight = 9; /* the busiest of all is the better of no two */
    for (unsigned i = 0; i < 1000; i++)
        got[pick(w, 0, 0)]++;
    assert_int_equal(got[3], 0);
    memset(got, 0, sizeof got);
    w->one[3].cell->in_flight = 0;
    for (unsigned i = 0; i < 3; i++)
        w->one[i].cell->in_flight = 5;
    for (unsigned i = 0; i < 1000; i++)
        got[pick(w, 0, 0)]++;
    assert_in_range(got[3], 430, 570); /* whenever it is one of the two */
}

/* Calls come and go: no server gets much more than its share. */
static void load_stays_even(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 400; i++)
        w->one[pick(w, 0, 0)].cell->in_flight++;
    for (unsigned i = 0; i < SERVERS; i++)
        assert_in_range(w->one[i].cell->in_flight, 97, 103);
    for (unsigned i = 0; i < SERVERS; i++)
        w->one[i].cell->in_flight = 0;
    for (unsigned i = 0; i < 400; i++) /* one conversation many times over */
        w->one[pick(w, 5, 0)].cell->in_flight++;
    for (unsigned i = 0; i < SERVERS; i++)
        assert_in_range(w->one[i].cell->in_flight, 85, 130);
}

static void a_server_that_is_down_gets_nothing(void **state)
{
    struct world *w = *state;
    int own = pick(w, 77, 0);
    uint64_t ms;
    assert_int_equal(provider_admit(&w->one[own], 500, &ms), ADMIT_GO);
    provider_report(
        &w->one[own],
        &(struct provider_report){.outcome = OUTCOME_HTTP_5XX, .now_us = 900, .latency_us = 400},
        &w->rng);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_not_equal(pick(w, 77, 0), own);
        assert_int_not_equal(pick(w, 0, 0), own);
    }
    unsigned others = ((1u << SERVERS) - 1) & ~(1u << own);
    assert_int_equal(pick(w, 77, others), own); /* none else is left: admit says why not */
    assert_int_equal(pick(w, 77, others | 1u << own), -1);
}

static void health_comes_from_probes(void **state)
{
    struct world *w = *state;
    int own = pick(w, 77, 0);
    w->one[own].cell->probed = true; /* and not available */
    assert_int_not_equal(pick(w, 77, 0), own);
    for (unsigned i = 0; i < SERVERS; i++)
        w->one[i].cell->probed = true;
    assert_int_equal(pick(w, 77, 0), own); /* all are ill: it is worth a try */
    w->one[own].cell->state = PROVIDER_LOADING;
    assert_int_not_equal(pick(w, 77, 0), own);
}

static void a_server_without_the_model_is_passed_over(void **state)
{
    struct world *w = *state;
    tell(w, 0, "{\"data\":[{\"id\":\"other\"}]}");
    tell(w, 1, "{\"data\":[{\"id\":\"other\"}]}");
    tell(w, 2, "{\"data\":[{\"id\":\"m\"}]}");
    for (uint64_t i = 0; i < 50; i++)
        assert_in_range(pick(w, i, 0), 2, 3); /* 3 has not told yet */
    assert_in_range(pick(w, 1, 1u << 2 | 1u << 3), 0, 1);
}

static void facts_of_several_are_joined(void **state)
{
    struct world *w = *state;
    struct arena arena;
    struct provider_facts f;
    arena_init(&arena, 512, 4096);
    assert_false(provider_model_facts(&w->row, STRV("m"), &arena, &f));
    tell(w, 1, "{\"data\":[{\"id\":\"m\",\"max_model_len\":1000}]}");
    assert_true(provider_model_facts(&w->row, STRV("m"), &arena, &f));
    assert_int_equal(f.context, 1000);
    tell(w, 2, "{\"data\":[{\"id\":\"m\",\"max_model_len\":3000}]}");
    assert_true(provider_model_facts(&w->row, STRV("m"), &arena, &f));
    assert_int_equal(f.context, 3000);
    assert_int_equal(f.calls, 0);
    struct provider_models *m = provider_models_any(&w->row);
    assert_non_null(m); /* the second one's: the first has not told */
    provider_models_unref(m);
    arena_fini(&arena);
    for (unsigned i = 0; i < SERVERS; i++)
        w->one[i].kind = PROVIDER_OLLAMA;
    tell(w, 3, "{\"data\":[]}");
    arena_init(&arena, 512, 4096);
    assert_true(provider_has_model(&w->row, STRV("m"), &arena, NULL, &f.remote));
    assert_true(f.remote); /* one of them has not told where it serves what */
    assert_true(provider_is_remote(&w->row, STRV("m")));
    arena_fini(&arena);
}

/* ---- the beginning of a conversation ---- */

static uint64_t prefix_of(const char *system, const char *user, const char *next)
{
    struct llm_part parts[] = {{.kind = LLM_PART_TEXT, .text = strv_of(system)},
                               {.kind = LLM_PART_TEXT, .text = strv_of(user)},
                               {.kind = LLM_PART_TEXT, .text = strv_of(next)}};
    struct llm_message messages[] = {
        {LLM_SYSTEM, &parts[0], 1}, {LLM_USER, &parts[1], 1}, {LLM_ASSISTANT, &parts[2], 1}};
    struct llm_request r = {.messages = messages, .n_messages = next != NULL ? 3 : 2};
    return provider_prefix(&r);
}

static void a_prefix_is_what_all_turns_share(void **state)
{
    (void)state;
    uint64_t first = prefix_of("be kind", "hello", NULL);
    assert_true(first != 0);
    assert_true(prefix_of("be kind", "hello", "hi there") == first);
    assert_true(prefix_of("be kind", "hello!", NULL) != first);
    assert_true(prefix_of("be rude", "hello", NULL) != first);
    assert_true(prefix_of("be kindhello", "", NULL) != first);
    struct llm_request r = {.op = LLM_OP_CHAT};
    assert_true(provider_prefix(&r) == 0);
    r.op = LLM_OP_EMBED;
    assert_true(provider_prefix(&r) == 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_server_needs_no_choice),
        TEST(a_conversation_stays_and_conversations_spread),
        TEST(only_the_share_of_a_lost_server_moves),
        TEST(affinity_has_a_bound),
        TEST(the_bound_follows_the_others_and_not_the_least_of_them),
        TEST(no_waiting_while_another_has_a_place),
        TEST(chance_prefers_those_with_less_to_do),
        TEST(load_stays_even),
        TEST(a_server_that_is_down_gets_nothing),
        TEST(health_comes_from_probes),
        TEST(a_server_without_the_model_is_passed_over),
        TEST(facts_of_several_are_joined),
        TEST(a_prefix_is_what_all_turns_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
