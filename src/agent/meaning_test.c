/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meaning_test - vectors of tools and questions: exchanges are played by the test, which stands in the linker's place of
 * exchange.c.
 *
 *   exchange_start() > struct exchange > vectors(), ends() | fails()      what an embedding model does
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../test/lib/fake_io.h"
#include "agent/agent.h"
#include "agent/index.h"
#include "agent/shelf_test.h"

#define TOOLS 40
#define DIMS  4

struct exchange {
    struct llm_request *r;
    const struct exchange_sink *sink;
    void *arg;
    const char *model;
    bool over, gone;
};

static struct {
    struct io_loop *loop;
    struct exchange_env ex;
    struct snapshot snapshot;
    struct policy_name name;
    struct policy_list role;
    struct agent_env env;
    struct rng rng;
    struct exchange_caller caller;
    struct exchange x; /* the latest */
    unsigned asked;
    const char *model;
    struct shelf shelf;
    struct meaning *m;
    int told;
    float got[DIMS];
    bool got_none;
} t;

/* ---- in exchange.c's place ---- */

struct exchange *exchange_start(struct exchange_env *env, struct arena *arena,
                                struct llm_request *r, const struct exchange_caller *caller,
                                const struct exchange_sink *sink, void *arg)
{
    char *memory = arena_alloc(arena, 16); /* as the exchange itself would need some */
    assert_ptr_equal(env, &t.ex);
    assert_true(caller->no_store && caller->no_cache);
    if (memory == NULL)
        return NULL;
    t.x = (struct exchange){.r = r, .sink = sink, .arg = arg, .model = t.model};
    t.asked++;
    return &t.x;
}

void exchange_caller_gone(struct exchange *x)
{
    assert_false(x->over);
    x->gone = true;
}

const char *exchange_provider(const struct exchange *x)
{
    (void)x;
    return "near";
}

strv exchange_model(const struct exchange *x)
{
    return strv_of(x->model);
}

/* ---- what a model does ---- */

static bool fails(void)
{
    t.x.over = true;
    (t.x.sink->fail)(t.x.arg, &t.x, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    fake_run(t.loop);
    return false;
}

static bool vector(const float *v, size_t n)
{
    const struct llm_event ev = {.kind = LLM_EV_VECTOR, .vector = v, .n_vector = n};
    return t.x.sink->event(t.x.arg, &ev) || fails();
}

static void ends(void)
{
    const struct llm_event ev = {.kind = LLM_EV_END};
    assert_true(t.x.sink->event(t.x.arg, &ev));
    t.x.over = true;
    t.x.sink->end(t.x.arg);
    fake_run(t.loop);
}

/* All tools lie the one way, but "seven", which lies the other. */
static bool answers(void)
{
    t.x.sink->begin(t.x.arg, &t.x, 200, "application/json", HTTP_LENGTH_STREAM);
    for (size_t i = 0; i < t.x.r->n_inputs; i++) {
        bool seven = strv_contains_nocase(t.x.r->inputs[i], STRV("seven"));
        const float v[DIMS] = {seven ? 0 : 3, seven ? 5 : 0.1f * (float)(i % 3), 0, 4};
        if (!vector(v, DIMS))
            return false;
    }
    ends();
    return true;
}

/* ---- the place ---- */

static void open_shelf(const char *note_of_seven)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_put_cstr(&b, "{\"tools\":[");
    for (int i = 0; i < TOOLS; i++)
        buf_printf(&b, "%s{\"name\":\"tool_%d\",\"description\":\"It is %s.\",\"inputSchema\":{}}",
                   i > 0 ? "," : "", i, i == 7 ? note_of_seven : "another");
    buf_put_cstr(&b, "]}");
    buf_put_char(&b, '\0');
    arena_init(&t.shelf.arena, 1 << 14, 1 << 26);
    char *list = arena_alloc(&t.shelf.arena, buf_len(&b));
    memcpy(list, buf_view(&b).ptr, buf_len(&b));
    shelf_open(&t.shelf, "x", strv_of(list), STRV_NONE, NULL);
    buf_fini(&b);
}

static int begin(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    memset(&t, 0, sizeof t);
    t.loop = io_loop_new(&err);
    t.role = (struct policy_list){.name = "embedding", .names = &t.name, .n = 1};
    t.snapshot.policy.roles = &t.role;
    t.snapshot.policy.n_roles = 1;
    t.ex = (struct exchange_env){.loop = t.loop, .rng = &t.rng, .snapshot = &t.snapshot};
    t.model = "m1";
    open_shelf("seven");
    t.env = (struct agent_env){.exchange = &t.ex, .index = agent_index_new(t.shelf.catalogue)};
    assert_non_null(t.env.index);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fake_run(t.loop);
    agent_index_unref(t.env.index);
    shelf_close(&t.shelf);
    assert_int_equal(fake_end(t.loop), 0);
    return 0;
}

static void on_meaning(void *arg, const float *v, size_t n)
{
    assert_ptr_equal(arg, &t);
    t.told++;
    t.got_none = v == NULL;
    if (v != NULL) {
        assert_int_equal(n, DIMS);
        memcpy(t.got, v, sizeof t.got);
    }
}

static bool ask(const char *question)
{
    t.told = 0;
    t.m = meaning_ask(&t.env, t.env.index, strv_of(question), &t.caller, on_meaning, &t);
    return t.m != NULL;
}

static bool has_learned(void)
{
    return atomic_load(&t.env.index->vectors) != NULL;
}

static void learn(void)
{
    agent_learn(&t.env, NULL);
    fake_run(t.loop);
    assert_true(answers());
    assert_true(answers());
    assert_true(has_learned());
}

/* ---- tests ---- */

static void without_the_role_nobody_is_asked(void **state)
{
    (void)state;
    t.role.n = 0;
    agent_learn(&t.env, NULL);
    assert_false(ask("what?"));
    t.snapshot.policy.n_roles = 0;
    assert_false(ask("what?"));
    fake_run(t.loop);
    assert_int_equal(t.asked, 0);
}

static void tools_are_learned_some_at_a_time(void **state)
{
    (void)state;
    agent_learn(&t.env, NULL);
    agent_learn(&t.env, NULL); /* somebody does already */
    fake_run(t.loop);
    assert_int_equal(t.asked, 1);
    assert_int_equal(t.x.r->n_inputs, 32);
    assert_int_equal(t.x.r->mode, LLM_MODE_LOCAL);
    assert_true(t.x.r->private_hint);
    assert_int_equal(t.x.r->op, LLM_OP_EMBED);
    assert_true(strv_eq_cstr(t.x.r->model, "embedding"));
    assert_true(strv_eq_cstr(t.x.r->inputs[7], "tool 7: It is seven."));
    assert_int_equal(t.x.r->messages[0].n_parts, 32); /* the detector reads them there */
    assert_false(ask("what?"));                       /* words alone meanwhile */
    assert_true(answers());
    assert_int_equal(t.x.r->n_inputs, TOOLS - 32);
    assert_false(has_learned());
    assert_true(answers());
    assert_true(has_learned());
    agent_learn(&t.env, NULL);
    fake_run(t.loop);
    assert_int_equal(t.asked, 2);
    const struct index_vectors *v = atomic_load(&t.env.index->vectors);
    assert_int_equal(v->dims, DIMS);
    float length = 0;
    for (size_t k = 0; k < DIMS; k++)
        length += v->values[k] * v->values[k];
    assert_float_equal(length, 1, 1e-5);
}

static void a_question_finds_what_has_no_word_of_it(void **state)
{
    struct arena arena;
    struct agent_menu menu;
    (void)state;
    learn();
    assert_true(ask("seven, in other words"));
    assert_int_equal(t.told, 0);
    assert_true(answers());
    assert_int_equal(t.told, 1);
    assert_false(t.got_none);
    struct agent_wish w = {.question = STRV("quelle est la bonne?"),
                           .before = STRV(""),
                           .tokens_max = 800,
                           .bytes_max = 90 * 1024,
                           .tools_max = 8};
    arena_init(&arena, 4096, 1 << 22);
    assert_true(agent_menu_make(t.env.index, &w, &arena, &menu));
    assert_int_equal(menu.n, 1); /* the finder */
    w.meaning = t.got;
    w.n_meaning = DIMS;
    assert_true(agent_menu_make(t.env.index, &w, &arena, &menu));
    assert_true(menu.n >= 2);
    assert_true(strv_eq_cstr(menu.of[0]->name, "tool_7"));
    w.n_meaning = DIMS - 1; /* another model's */
    assert_true(agent_menu_make(t.env.index, &w, &arena, &menu));
    assert_int_equal(menu.n, 1);
    arena_fini(&arena);
}

static void a_model_that_is_slow_is_left_alone(void **state)
{
    (void)state;
    learn();
    assert_true(ask("what?"));
    fake_advance(t.loop, 249);
    assert_int_equal(t.told, 0);
    fake_advance(t.loop, 2);
    assert_int_equal(t.told, 1);
    assert_true(t.got_none && t.x.gone);
    assert_false(ask("what?"));
    fake_advance(t.loop, 31000);
    assert_true(ask("what?"));
    assert_true(answers());
    assert_false(t.got_none);
}

static void a_model_that_fails_is_asked_later(void **state)
{
    (void)state;
    agent_learn(&t.env, NULL);
    fake_run(t.loop);
    assert_true(answers());
    fails();
    assert_false(has_learned());
    assert_false(ask("what?"));
    assert_int_equal(t.asked, 2);
    fake_advance(t.loop, 31000);
    assert_false(ask("what?")); /* it begins to learn; this one gets words alone */
    fake_run(t.loop);
    assert_int_equal(t.asked, 3);
    assert_true(answers() && answers());
    assert_true(has_learned());
    assert_true(ask("what?"));
    fails();
    assert_int_equal(t.told, 1);
    assert_true(t.got_none);
}

static void vectors_that_are_none_are_not_taken(void **state)
{
    static const float zero[DIMS] = {0, 0, 0, 0}, one[DIMS] = {1, 0, 0, 0};
    (void)state;
    learn();
    assert_true(ask("zero"));
    assert_false(vector(zero, DIMS));
    assert_true(t.told == 1 && t.got_none);
    fake_advance(t.loop, 31000);
    assert_true(ask("two"));
    assert_true(vector(one, DIMS));
    assert_false(vector(one, DIMS));
    fake_advance(t.loop, 31000);
    assert_true(ask("none at all"));
    ends();
    assert_true(t.told == 1 && t.got_none);
    fake_advance(t.loop, 31000);
    assert_true(ask("empty"));
    assert_false(vector(one, 0));
}

static void another_models_vectors_say_nothing(void **state)
{
    (void)state;
    learn();
    t.model = "m2";
    assert_true(ask("what?"));
    assert_true(answers());
    assert_true(t.told == 1 && t.got_none);
}

static void a_question_can_be_taken_back(void **state)
{
    (void)state;
    learn();
    assert_true(ask("what?"));
    meaning_cancel(t.m);
    assert_true(t.x.gone);
    fake_advance(t.loop, 1000);
    assert_int_equal(t.told, 0);
    assert_true(ask("what?")); /* that was not the model's fault */
    t.x.over = true;
    t.x.sink->abort(t.x.arg);
    meaning_cancel(t.m); /* between its end and its answer */
    fake_run(t.loop);
    assert_int_equal(t.told, 0);
}

static void a_new_catalogue_takes_over_what_is_the_same(void **state)
{
    struct agent_index *before = t.env.index;
    struct shelf old = t.shelf;
    (void)state;
    learn();
    open_shelf("seven, newly described");
    t.env.index = agent_index_new(t.shelf.catalogue);
    agent_learn(&t.env, before);
    agent_index_unref(before);
    fake_run(t.loop);
    assert_int_equal(t.x.r->n_inputs, 1);
    assert_true(answers());
    assert_true(has_learned());
    shelf_close(&old);
}

static void the_end_of_the_process_ends_it(void **state)
{
    (void)state;
    agent_learn(&t.env, NULL);
    fake_run(t.loop);
    t.ex.draining = true;
    assert_true(answers());
    assert_int_equal(t.asked, 1);
    assert_false(has_learned());
    assert_false(ask("what?"));
}

static void no_memory_is_no_meaning(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        unsigned asked = t.asked;
        fake_advance(t.loop, 31000);
        mem_fail_at(nth, false);
        agent_learn(&t.env, NULL);
        fake_run(t.loop);
        while (t.asked > asked && !t.x.over && !has_learned() && answers())
            ;
        bool reached = mem_count() >= nth;
        mem_fail_at(0, false);
        fake_run(t.loop);
        while (!t.x.over && t.asked > asked && answers())
            ;
        if (!reached)
            break;
        assert_in_range(nth, 1, 1000);
        if (has_learned()) { /* the refused one was not needed */
            mem_free(atomic_exchange(&t.env.index->vectors, NULL));
        }
    }
    assert_true(has_learned());
    for (uint64_t nth = 1;; nth++) {
        fake_advance(t.loop, 31000);
        mem_fail_at(nth, false);
        bool begun = ask("what?");
        if (begun)
            (void)answers();
        bool reached = mem_count() >= nth;
        mem_fail_at(0, false);
        fake_run(t.loop);
        assert_int_equal(t.told, begun);
        if (!reached)
            break;
        assert_in_range(nth, 1, 1000);
    }
    assert_false(t.got_none);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_the_role_nobody_is_asked),
        TEST(tools_are_learned_some_at_a_time),
        TEST(a_question_finds_what_has_no_word_of_it),
        TEST(a_model_that_is_slow_is_left_alone),
        TEST(a_model_that_fails_is_asked_later),
        TEST(vectors_that_are_none_are_not_taken),
        TEST(another_models_vectors_say_nothing),
        TEST(a_question_can_be_taken_back),
        TEST(a_new_catalogue_takes_over_what_is_the_same),
        TEST(the_end_of_the_process_ends_it),
        TEST(no_memory_is_no_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
