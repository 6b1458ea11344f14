/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop against a simulated optimiser and every kind of adviser: what is followed, what changes nothing, when it stops,
 * what the adapter does, and that a run that is saved and gone on from after any round ends as if it had never stopped.
 */
#include <math.h>

#include "advisor/loop.h"
#include "advisor/testing.h"

#define PROBLEM(loop)                                                                              \
    STRV("{\"name\":\"sim\",\"loop\":{" loop                                                       \
         "},\"params\":{\"algorithm\":\"greedy\",\"timeout_seconds\":60}}")

/* ---- the simulated optimiser: a pure function of seed, round and parameters ---- */

struct sim {
    bool never_valid;
    bool no_pulp; /* no candidate with that method */
    double seconds;
};

static double noise(int64_t seed, int64_t round)
{
    struct rng r;
    rng_seed(&r, (uint64_t)(seed * 7919 + round));
    return (double)rng_below(&r, 1000) / 1000;
}

static strv generate(const struct sim *sim, strv asked)
{
    static char out[256];
    yyjson_val *q = parse(asked), *params = json_get(q, "params");
    strv algorithm = json_get_str(params, "algorithm");
    double base = strv_eq_cstr(algorithm, "greedy") ? -1 : 0.55, d = 0;
    json_is_num(json_get(params, "diversification_factor"), &d);
    if (strv_eq_cstr(algorithm, "cp_sat"))
        base = 0.8;
    if (sim->no_pulp && strv_eq_cstr(algorithm, "pulp"))
        return STRV("{\"candidate\":null,\"seconds\":1}");
    double x = base + 0.15 * (0.2 + 0.8 * d) *
                          noise(json_get_int(q, "seed", 0), json_get_int(q, "round", 0));
    snprintf(out, sizeof out, "{\"candidate\":{\"x\":%.6f},\"seconds\":%g}", x, sim->seconds);
    return strv_of(out);
}

static strv evaluate(const struct sim *sim, strv asked)
{
    static char out[512];
    yyjson_val *q = parse(asked);
    double x = 0;
    assert_true(json_is_num(json_get(json_get(q, "candidate"), "x"), &x));
    if (sim->never_valid || x < 0)
        return STRV(
            "{\"seconds\":0,\"evaluation\":{\"valid\":false,\"score\":0.7,\"soft_score\":0.4,"
            "\"critical_violations\":1,\"total_violations\":2,\"violations\":["
            "{\"type\":\"80_HOUR_VIOLATION\",\"severity\":\"critical\",\"message\":\"A\"},"
            "{\"type\":\"80_HOUR_VIOLATION\",\"severity\":\"critical\"}]}}");
    snprintf(out, sizeof out,
             "{\"seconds\":0,\"evaluation\":{\"valid\":true,\"score\":%.6f,"
             "\"critical_violations\":0,\"total_violations\":0,\"violations\":[]}}",
             x);
    return strv_of(out);
}

/* ---- advisers ---- */

typedef strv (*adviser)(int64_t question, const char **reason); /* NULL = nobody is asked */

static strv healthy(int64_t n, const char **reason)
{
    (void)n;
    (void)reason;
    return STRV("{\"accepted\":true,\"reason\":\"ok\",\"suggestion\":{\"type\":\"strategy_change\","
                "\"confidence\":0.8,\"reasoning\":\"farther\",\"params\":{\"algorithm\":\"cp_sat\","
                "\"diversification_factor\":1}},\"source\":\"rules\",\"decision_id\":\"r1\"}");
}

static strv refused(int64_t n, const char **reason)
{
    (void)n;
    (void)reason;
    return STRV("{\"accepted\":false,\"reason\":\"no_advice\",\"suggestion\":null}");
}

static strv garbage(int64_t n, const char **reason)
{
    static const strv rows[] = {
        {"", 0},
        {"\0\xff\x80", 3},
        {"{", 1},
        {"[1,2]", 5},
        {"{\"accepted\":true}", 17},
        {"{\"accepted\":1,\"suggestion\":{\"type\":\"strategy_change\"}}", 55},
    };
    (void)reason;
    return rows[(size_t)n % COUNT(rows)];
}

static strv slow(int64_t n, const char **reason)
{
    (void)n;
    *reason = "slow";
    return STRV_NONE;
}

static strv down(int64_t n, const char **reason)
{
    (void)n;
    *reason = "unreachable";
    return STRV_NONE;
}

/* Says that it was accepted, and is beyond every bound or touches what advice may not. */
static strv injected(int64_t n, const char **reason)
{
    static const char *const params[] = {
        "{\"timeout_seconds\":601}",
        "{\"algorithm\":\"rm -rf\"}",
        "{\"random_seed\":1}",
        "{\"diversification_factor\":1.01}",
        "{\"constraint_weights\":{\"coverage\":1}}",
        "[]",
        "{\"generator\":\"sh\"}",
    };
    static char out[512];
    (void)reason;
    snprintf(out, sizeof out,
             "{\"accepted\":true,\"reason\":\"ok\",\"merged_params\":{\"algorithm\":\"evil\"},"
             "\"suggestion\":{\"type\":\"strategy_change\",\"confidence\":1,"
             "\"reasoning\":\"ignore all rules\",\"params\":%s}}",
             params[(size_t)n % COUNT(params)]);
    return strv_of(out);
}

/* ---- driving ---- */

static void open_loop(struct loop *l, strv problem)
{
    struct err err = ERR_INIT;
    if (!loop_init(l, conf.schema, problem, &err))
        fail_msg("%s", err.text);
}

static void consult(struct loop *l, adviser who)
{
    const char *why = loop_wants_advice(l), *reason = "";
    struct buf b;
    if (why == NULL || who == NULL)
        return;
    buf_init(&b, 1 << 20);
    assert_true(loop_put_question(l, STRV("auto"), 5, &b));
    parse(buf_view(&b));
    buf_fini(&b);
    strv answer = who((int64_t)l->n_advice, &reason);
    assert_true(loop_take_answer(l, why, answer, reason));
}

static void play_round(struct loop *l, const struct sim *sim, adviser who)
{
    struct err err = ERR_INIT;
    struct buf b;
    strv verdict = STRV_NONE;
    consult(l, who);
    buf_init(&b, 1 << 20);
    assert_true(loop_put_generate(l, &b));
    if (!loop_take_candidate(l, generate(sim, buf_view(&b)), 9, &err))
        fail_msg("%s", err.text);
    buf_clear(&b);
    if (buf_len(&l->candidate) > 0) {
        assert_true(loop_put_evaluate(l, &b));
        verdict = evaluate(sim, buf_view(&b));
    }
    if (!loop_take_evaluation(l, verdict, 9, &err))
        fail_msg("%s", err.text);
    buf_fini(&b);
    assert_true(l->rounds == (int64_t)l->n_records);
}

static void play(struct loop *l, const struct sim *sim, adviser who)
{
    while ((l->stop = loop_due(l)) == LOOP_STOP_NONE)
        play_round(l, sim, who);
}

/* All but what was asked: the same for two runs that went the same way. */
static strv way_of(struct loop *l)
{
    struct buf b;
    buf_init(&b, 1 << 24);
    l->n_advice = 0;
    l->asked_since = -1;
    assert_true(loop_save(l, &b));
    strv text = arena_strv(&arena, buf_view(&b));
    buf_fini(&b);
    return text;
}

/* ---- tests ---- */

static const struct sim plain = {.seconds = 2};

static void an_adviser_that_is_no_use_changes_nothing(void **state)
{
    static const adviser advisers[] = {NULL, refused, garbage, slow, down, injected};
    strv first = STRV_NONE;
    (void)state;
    for (size_t i = 0; i < COUNT(advisers); i++) {
        struct loop l;
        open_loop(&l, PROBLEM("\"max_iterations\":60,\"stagnation_limit\":60"));
        play(&l, &plain, advisers[i]);
        assert_int_equal(l.rounds, 60);
        assert_true(i == 0 || l.n_advice >= 7);
        for (size_t k = 0; k < l.n_advice; k++)
            assert_false(l.advice[k].accepted);
        strv way = way_of(&l);
        first = i == 0 ? way : first;
        if (!strv_eq(way, first))
            fail_msg("adviser %zu has changed the run", i);
        loop_fini(&l);
    }
}

static void accepted_advice_acts_on_the_next_round_and_is_measured(void **state)
{
    struct loop l;
    struct buf b;
    (void)state;
    open_loop(&l, PROBLEM("\"target_score\":0.9,\"stagnation_limit\":60"));
    play_round(&l, &plain, healthy);
    assert_null(l.advice);
    assert_string_equal(loop_wants_advice(&l), "new_failure");
    play_round(&l, &plain, healthy);
    assert_int_equal(l.n_advice, 1);
    assert_true(l.advice[0].accepted && l.advice[0].applied && l.advice[0].measured);
    assert_true(l.records[1].advised);
    assert_non_null(strstr(l.records[1].params.ptr, "\"algorithm\":\"cp_sat\""));
    assert_true(l.advice[0].after > 0.7 && !(l.advice[0].before > 0));
    buf_init(&b, 4096);
    assert_true(loop_put_outcome(&l, &b));
    yyjson_val *told = parse(buf_view(&b));
    assert_true(strv_eq_cstr(json_get_str(told, "decision_id"), "r1"));
    assert_true(yyjson_is_true(json_get(told, "applied")));
    buf_fini(&b);
    play(&l, &plain, healthy);
    assert_int_equal(l.stop, LOOP_STOP_TARGET);
    struct loop_tally rows[LOOP_TALLIES_MAX];
    assert_int_equal(loop_tally(&l, rows), 1);
    assert_true(rows[0].asked == rows[0].applied && rows[0].gain > 0.7);
    loop_fini(&l);
}

static void it_asks_seldom(void **state)
{
    struct loop l;
    struct sim sim = {.never_valid = true, .seconds = 1};
    (void)state;
    open_loop(&l, PROBLEM("\"ask_after\":5"));
    play(&l, &sim, refused);
    /* After the first round (a new failure), and after 5, 10 and 15 without gain. */
    assert_int_equal(l.n_advice, 4);
    assert_int_equal(l.advice[0].round, 2);
    assert_int_equal(l.advice[1].round, 6);
    loop_fini(&l);
    open_loop(&l, PROBLEM("\"asks_max\":2"));
    play(&l, &sim, refused);
    assert_int_equal(l.n_advice, 2);
    loop_fini(&l);
}

static void the_traps_of_the_scheduler_s_loop(void **state)
{
    struct loop l;
    struct sim sim = {.never_valid = true, .seconds = 1};
    (void)state;
    /* A run with nothing valid stops after exactly 20 evaluated rounds. */
    open_loop(&l, PROBLEM(""));
    play(&l, &sim, NULL);
    assert_int_equal(l.stop, LOOP_STOP_STAGNATION);
    assert_int_equal(l.rounds, 20);
    /* A critical violation makes the score 0, whatever the evaluator says. */
    assert_true(!(l.best.v.score > 0) && !l.best.v.valid);
    /* Five invalid rounds look like stagnation, which goes before the change of method from then on. */
    assert_true(strv_eq_cstr(l.records[3].rule, "acgme_algorithm_switch"));
    for (size_t i = 4; i < l.n_records; i++)
        assert_true(strv_eq_cstr(l.records[i].rule, "stagnation_diversification"));
    loop_fini(&l);
    /* A round without a candidate counts as a round, not as one without gain; the method is left. */
    sim = (struct sim){.no_pulp = true, .seconds = 1};
    open_loop(&l, STRV("{\"params\":{\"algorithm\":\"pulp\"}}"));
    play_round(&l, &sim, NULL);
    assert_true(l.rounds == 1 && l.since == 0 && l.best.round == 0);
    assert_true(strv_eq_cstr(l.records[0].rule, "no_candidate_switch"));
    assert_non_null(strstr(l.params.ptr, "hybrid"));
    loop_fini(&l);
}

static void stop_order(void **state)
{
    static const struct {
        strv problem;
        enum loop_stop stop;
        int64_t rounds;
    } rows[] = {
        {PROBLEM("\"target_score\":0.1,\"max_iterations\":2"), LOOP_STOP_TARGET, 2},
        {PROBLEM("\"max_iterations\":3,\"stagnation_limit\":1"), LOOP_STOP_STAGNATION, 1},
        {PROBLEM("\"max_iterations\":1,\"stagnation_limit\":1"), LOOP_STOP_ROUNDS, 1},
        {PROBLEM("\"time_limit_seconds\":7"), LOOP_STOP_TIME, 4},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct loop l;
        open_loop(&l, rows[i].problem);
        play(&l, &plain, NULL);
        assert_int_equal(l.stop, rows[i].stop);
        assert_int_equal(l.rounds, rows[i].rounds);
        loop_fini(&l);
    }
    assert_string_equal(loop_stop_status(LOOP_STOP_TARGET), "completed");
    assert_string_equal(loop_stop_status(LOOP_STOP_ERROR), "exhausted");
}

/* ---- the adapter, a row each ---- */

static strv record_line(double score, bool valid, const char *type)
{
    static char out[512];
    snprintf(out, sizeof out,
             "{\"seconds\":0,\"evaluation\":{\"valid\":%s,\"score\":%g,\"violations\":[%s%s%s]}}",
             valid ? "true" : "false", score, type[0] ? "{\"type\":\"" : "", type,
             type[0] ? "\",\"severity\":\"high\"}" : "");
    return strv_of(out);
}

static void adapter_rules(void **state)
{
    static const struct {
        const char *params, *type;
        double score, seconds;
        bool valid;
        int repeat; /* rounds with nearly the same score */
        const char *rule, *want;
    } rows[] = {
        {"{}", "", 0.9, 1, true, 1, "", "{}"},
        {"{\"timeout_seconds\":60}", "", 0.2, 56, true, 1, "timeout_increase",
         "\"timeout_seconds\":90"},
        {"{\"timeout_seconds\":250}", "", 0.2, 56, true, 1, "timeout_increase",
         "\"timeout_seconds\":300"},
        {"{\"algorithm\":\"hybrid\"}", "1_IN_7_VIOLATION", 0.9, 1, true, 1,
         "acgme_algorithm_switch", "\"algorithm\":\"greedy\""},
        {"{}", "N1_VULNERABILITY", 0.9, 1, true, 1, "n1_weight_increase",
         "{\"constraint_weights\":{\"resilience\":1.2}}"},
        {"{\"constraint_weights\":{\"resilience\":2,\"x\":1}}", "N1_VULNERABILITY", 0.9, 1, true, 1,
         "n1_weight_increase", "{\"constraint_weights\":{\"resilience\":2,\"x\":1}}"},
        {"{\"diversification_factor\":0.05}", "", 0.9, 1, false, 1, "near_feasible_narrow",
         "\"diversification_factor\":0,\"neighborhood_size\":5"},
        {"{}", "UTILIZATION_RED", 0.9, 1, true, 1, "utilization_weight_decrease",
         "{\"constraint_weights\":{\"coverage_rate\":0.9}}"},
        {"{\"diversification_factor\":0.8}", "", 0.9, 1, true, 5, "stagnation_diversification",
         "\"diversification_factor\":1,"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct loop l;
        struct err err = ERR_INIT;
        char problem[256], made[64];
        snprintf(problem, sizeof problem, "{\"params\":%s}", rows[i].params);
        snprintf(made, sizeof made, "{\"candidate\":1,\"seconds\":%g}", rows[i].seconds);
        open_loop(&l, strv_of(problem));
        for (int n = 0; n < rows[i].repeat; n++) {
            if (n == rows[i].repeat - 1)
                l.params = strv_of(rows[i].params);
            assert_true(loop_take_candidate(&l, strv_of(made), 0, &err));
            strv line = record_line(rows[i].score, rows[i].valid, rows[i].type);
            if (!loop_take_evaluation(&l, line, 0, &err))
                fail_msg("%s", err.text);
        }
        assert_true(strv_eq_cstr(l.records[l.n_records - 1].rule, rows[i].rule));
        if (strstr(l.params.ptr, rows[i].want) == NULL)
            fail_msg("row %zu: %s", i, l.params.ptr);
        loop_fini(&l);
    }
}

static void what_the_adapter_writes_is_within_the_bounds_of_advice(void **state)
{
    struct loop l;
    struct sim sim = {.never_valid = true, .seconds = 60};
    (void)state;
    open_loop(&l, PROBLEM("\"stagnation_limit\":100,\"max_iterations\":100"));
    while (loop_due(&l) == LOOP_STOP_NONE) {
        struct advice a;
        play_round(&l, &sim, NULL);
        yyjson_val *advice =
            parse(STRV("{\"type\":\"strategy_change\",\"confidence\":1,"
                       "\"reasoning\":\"x\",\"params\":{\"timeout_seconds\":20}}"));
        assert_true(advice_check(conf.schema, ADVICE_SUGGEST, advice, parse(l.params), &arena, &a));
        assert_true(a.accepted);
    }
    loop_fini(&l);
}

/* ---- saved and gone on from ---- */

static strv saved(struct loop *l)
{
    struct buf b;
    buf_init(&b, 1 << 24);
    assert_true(loop_save(l, &b));
    strv text = arena_strv(&arena, buf_view(&b));
    buf_fini(&b);
    return text;
}

static void a_run_that_was_cut_after_any_round_ends_the_same(void **state)
{
    strv problem = PROBLEM("\"max_iterations\":40,\"stagnation_limit\":40");
    struct loop whole;
    (void)state;
    open_loop(&whole, problem);
    play(&whole, &plain, healthy);
    strv want = saved(&whole);
    for (int64_t cut = 0; cut <= whole.rounds; cut++) {
        struct loop a, b;
        struct err err = ERR_INIT;
        open_loop(&a, problem);
        while (a.rounds < cut)
            play_round(&a, &plain, healthy);
        strv state_file = saved(&a);
        consult(&a, healthy); /* and lost with the round that ran */
        loop_fini(&a);
        open_loop(&b, problem);
        if (!loop_resume(&b, state_file, &err))
            fail_msg("%s", err.text);
        play(&b, &plain, healthy);
        if (!strv_eq(saved(&b), want))
            fail_msg("cut after round %lld: another end", (long long)cut);
        loop_fini(&b);
    }
    loop_fini(&whole);
}

static void a_state_file_that_is_none_is_refused(void **state)
{
    strv problem = PROBLEM("\"max_iterations\":12,\"rng_seed\":7");
    struct loop l;
    struct err err = ERR_INIT;
    (void)state;
    open_loop(&l, problem);
    play(&l, &plain, healthy);
    strv good = saved(&l);
    loop_fini(&l);
    /* Cut anywhere it is no JSON; a byte changed must not crash. */
    for (size_t n = 0; n + 1 < good.len; n += 1 + good.len / 400) {
        char *copy = arena_cstr(&arena, good);
        err = ERR_INIT;
        open_loop(&l, problem);
        assert_false(loop_resume(&l, (strv){good.ptr, n}, &err));
        assert_true(err.set);
        loop_fini(&l);
        copy[n] = '1';
        err = ERR_INIT;
        open_loop(&l, problem);
        assert_true(loop_resume(&l, (strv){copy, good.len}, &err) || err.set);
        loop_fini(&l);
    }
    static const struct {
        strv problem;
        const char *says;
    } rows[] = {{PROBLEM("\"max_iterations\":13,\"rng_seed\":7"), "another problem"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        err = ERR_INIT;
        open_loop(&l, rows[i].problem);
        assert_false(loop_resume(&l, good, &err));
        assert_non_null(strstr(err.text, rows[i].says));
        loop_fini(&l);
    }
    open_loop(&l, problem);
    l.conf.seed = 8;
    err = ERR_INIT;
    assert_false(loop_resume(&l, good, &err));
    assert_non_null(strstr(err.text, "another seed"));
    loop_fini(&l);
}

/* ---- bad lines ---- */

static void children_s_bad_lines_are_errors(void **state)
{
    static const strv candidates[] = {
        {"", 0}, {"{", 1}, {"[]", 2}, {"{}", 2}, {"{\"error\":\"no\"}", 14}};
    static const char *const verdicts[] = {
        "{}",
        "{\"evaluation\":[]}",
        "{\"evaluation\":{}}",
        "{\"evaluation\":{\"score\":\"1\"}}",
        "{\"evaluation\":{\"score\":NaN}}",
        "{\"evaluation\":{\"score\":1,\"valid\":1}}",
        "{\"evaluation\":{\"score\":1,\"violations\":[{\"severity\":\"odd\"}]}}",
        "{\"error\":\"broken\"}",
    };
    struct loop l;
    (void)state;
    open_loop(&l, PROBLEM(""));
    for (size_t i = 0; i < COUNT(candidates); i++) {
        struct err err = ERR_INIT;
        assert_false(loop_take_candidate(&l, candidates[i], 0, &err));
        assert_true(err.set);
    }
    for (size_t i = 0; i < COUNT(verdicts); i++) {
        struct err err = ERR_INIT;
        assert_true(loop_take_candidate(&l, STRV("{\"candidate\":{\"a\":1}}"), 0, &err));
        if (loop_take_evaluation(&l, strv_of(verdicts[i]), 0, &err) || !err.set)
            fail_msg("taken: %s", verdicts[i]);
        assert_int_equal(l.n_records, 0);
    }
    loop_fini(&l);
}

static void a_problem_that_is_none_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "[]",
        "{\"loop\":[]}",
        "{\"params\":1}",
        "{\"loop\":{\"max_iterations\":0}}",
        "{\"loop\":{\"max_iterations\":1.5}}",
        "{\"loop\":{\"target_score\":\"high\"}}",
        "{\"loop\":{\"adapter\":\"yes\"}}",
        "{\"loop\":{\"algorithms\":[1]}}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct loop l;
        struct err err = ERR_INIT;
        assert_false(loop_init(&l, conf.schema, strv_of(rows[i]), &err));
        assert_true(err.set);
        loop_fini(&l);
    }
}

/* ---- the report ---- */

static void the_report_holds_no_markup_of_others(void **state)
{
    struct loop l;
    struct buf b;
    struct sim sim = {.seconds = 1};
    (void)state;
    open_loop(&l, STRV("{\"name\":\"<script>alert(1)</script>\",\"loop\":{\"max_iterations\":9},"
                       "\"params\":{\"algorithm\":\"greedy\",\"<b>\":\"</code>&\"}}"));
    play(&l, &sim, healthy);
    l.advice[0].reasoning = STRV("<img src=x>");
    buf_init(&b, 1 << 20);
    loop_report(&l, &b);
    assert_false(b.failed);
    buf_put_char(&b, '\0');
    const char *page = buf_view(&b).ptr;
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "<img"));
    assert_null(strstr(page, "<b>\"")); /* <b> of ours is there, theirs is not */
    assert_non_null(strstr(page, "&lt;script&gt;"));
    assert_non_null(strstr(page, "<svg"));
    assert_null(strstr(page, "http:"));
    assert_null(strstr(page, "nan"));
    buf_fini(&b);
    loop_fini(&l);
}

/* ---- without memory ---- */

static void no_memory_is_an_error_and_nothing_worse(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 60; n++) {
        struct loop l;
        struct err err = ERR_INIT;
        struct buf b;
        buf_init(&b, 1 << 20);
        mem_fail_at(n, false);
        bool ok = loop_init(&l, conf.schema, PROBLEM(""), &err);
        ok = ok && loop_put_generate(&l, &b) &&
             loop_take_candidate(&l, STRV("{\"candidate\":[1,2]}"), 0, &err);
        buf_clear(&b);
        ok = ok && loop_put_evaluate(&l, &b) &&
             loop_take_evaluation(&l, record_line(0.5, true, "X"), 0, &err);
        const char *reason = "";
        ok = ok && loop_take_answer(&l, "stagnation", healthy(0, &reason), reason);
        buf_clear(&b);
        ok = ok && loop_save(&l, &b);
        mem_fail_at(0, false);
        (void)ok;
        buf_fini(&b);
        loop_fini(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_adviser_that_is_no_use_changes_nothing),
        cmocka_unit_test(accepted_advice_acts_on_the_next_round_and_is_measured),
        cmocka_unit_test(it_asks_seldom),
        cmocka_unit_test(the_traps_of_the_scheduler_s_loop),
        cmocka_unit_test(stop_order),
        cmocka_unit_test(adapter_rules),
        cmocka_unit_test(what_the_adapter_writes_is_within_the_bounds_of_advice),
        cmocka_unit_test(a_run_that_was_cut_after_any_round_ends_the_same),
        cmocka_unit_test(a_state_file_that_is_none_is_refused),
        cmocka_unit_test(children_s_bad_lines_are_errors),
        cmocka_unit_test(a_problem_that_is_none_is_refused),
        cmocka_unit_test(the_report_holds_no_markup_of_others),
        cmocka_unit_test(no_memory_is_an_error_and_nothing_worse),
    };
    return cmocka_run_group_tests_name("loop", tests, open_all, close_all);
}
