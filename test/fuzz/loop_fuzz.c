/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - an optimisation whose problem, state file, children and adviser all write what they like.
 *
 *   first line   the problem; if it is none, a small one
 *   the rest     lines in turn: the adviser's answer, the generator's, the evaluator's
 *
 * Whatever they write, parameters that advice may touch stay within its bounds if they were, and what is saved after a
 * round can be gone on from, as the same run.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/advisor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROUNDS_MAX 40

static const char small[] = "{\"params\":{\"algorithm\":\"greedy\",\"timeout_seconds\":60}}";
static struct advisor_conf conf;
static struct arena kept;

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_bound(yyjson_val *params, const char *key, double min, double max)
{
    yyjson_val *v = yyjson_obj_get(params, key);
    check(v == NULL || (yyjson_is_num(v) && yyjson_get_num(v) >= min && yyjson_get_num(v) <= max));
}

static void check_params(const struct loop *l, struct arena *arena)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (!json_read(&doc, l->params, arena, 0, &err)) {
        check(err.code == ERR_CODE_OOM);
        return;
    }
    check_bound(doc.root, "timeout_seconds", 10, 600);
    check_bound(doc.root, "diversification_factor", 0, 1);
}

/* Saved, gone on from, saved again: the same. */
static void check_state(struct loop *l, strv problem)
{
    struct loop again;
    struct buf a, b;
    struct err err = ERR_INIT;
    buf_init(&a, 1 << 22);
    buf_init(&b, 1 << 22);
    check(loop_save(l, &a) && loop_init(&again, conf.schema, problem, &err));
    check(loop_resume(&again, buf_view(&a), &err) && loop_save(&again, &b));
    check(strv_eq(buf_view(&a), buf_view(&b)));
    loop_fini(&again);
    buf_fini(&a);
    buf_fini(&b);
}

/* False: a child's line was refused, and the run is over. */
static bool play(struct loop *l, strv *rest)
{
    struct err err = ERR_INIT;
    struct buf b;
    strv line;
    const char *why = loop_wants_advice(l);
    buf_init(&b, 1 << 22);
    if (why != NULL && strv_cut(rest, '\n', &line))
        check(loop_put_question(l, STRV("auto"), 1, &b) && loop_take_answer(l, why, line, ""));
    buf_clear(&b);
    bool ok = loop_put_generate(l, &b) && strv_cut(rest, '\n', &line) &&
              loop_take_candidate(l, line, 0, &err);
    line = STRV_NONE;
    buf_clear(&b);
    if (ok && buf_len(&l->candidate) > 0)
        ok = loop_put_evaluate(l, &b) && strv_cut(rest, '\n', &line);
    ok = ok && loop_take_evaluation(l, line, 0, &err);
    buf_fini(&b);
    return ok;
}

static void run(strv problem, strv rest, bool bounded)
{
    struct loop l;
    struct arena arena;
    struct buf page;
    struct err err = ERR_INIT;
    arena_init(&arena, 4096, 16 << 20);
    check(loop_init(&l, conf.schema, problem, &err));
    while (loop_due(&l) == LOOP_STOP_NONE && l.rounds < ROUNDS_MAX && play(&l, &rest)) {
        if (bounded)
            check_params(&l, &arena);
        arena_reset(&arena);
        check_state(&l, problem);
    }
    buf_init(&page, 1 << 22);
    loop_report(&l, &page);
    buf_fini(&page);
    loop_fini(&l);
    arena_fini(&arena);
}

/* What is no problem is told; what is none of our states, too. */
static bool is_problem(strv problem, strv state)
{
    struct loop l;
    struct err err = ERR_INIT;
    bool ok = loop_init(&l, conf.schema, problem, &err);
    check(ok || err.set);
    if (ok)
        check(loop_resume(&l, state, &err) || err.set);
    loop_fini(&l);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    strv rest = {(const char *)data, size}, problem;
    if (size == 0 || size > 1 << 16)
        return 0;
    if (conf.schema == NULL) {
        arena_init(&kept, 4096, 1 << 24);
        check(advisor_conf_schema(&conf, STRV_NONE, &kept, NULL));
    }
    strv_cut(&rest, '\n', &problem);
    rest = rest.ptr != NULL ? rest : STRV("");
    if (is_problem(problem, rest))
        run(problem, rest, false);
    else
        run(strv_of(small), rest, true);
    return 0;
}
