/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - an optimisation that goes round until it is good enough, and may ask for advice on the way.
 *
 *   stop? -> ask (seldom) -> generate -> evaluate -> best, record, adapter -> save -> stop? ...
 *
 * This is the loop without its world: no processes, no network, no files and no clock. Whoever runs it (app/loop_run.h)
 * carries lines there and back:
 *
 *   loop_put_question()  -> the router       -> loop_take_answer()       advice: checked here once more
 *   loop_put_generate()  -> the generator    -> loop_take_candidate()
 *   loop_put_evaluate()  -> the evaluator    -> loop_take_evaluation()   the round is over, loop_save() is due
 *
 * Advice is asked for on stagnation and on a failure pattern that no round had before. What is accepted acts on one round,
 * and the adapter goes on from there. Whatever else the answer is, nothing changes: seeds come from the run's seed and the
 * round's number, and the time that a question takes does not count. So a run without advice, and one whose adviser is
 * dead or talks rubbish, take the same way.
 *
 * The parameters are any JSON object. The adapter's rules are those of the scheduler's own loop: it changes only members
 * that it knows, and the problem may switch it off.
 */
#ifndef ADVISOR_LOOP_H
#define ADVISOR_LOOP_H

#include "advisor/check.h"

#define LOOP_LINE_MAX       ((size_t)64 << 20) /* of a child's answer */
#define LOOP_PROBLEM_MAX    ((size_t)16 << 20)
#define LOOP_STATE_MAX      ((size_t)512 << 20)
#define LOOP_ALGORITHMS_MAX 16
#define LOOP_ROUNDS_MAX     100000

enum loop_stop {
#define LOOP_STOP(id, word, status, doc) LOOP_STOP_##id,
#include "advisor/stops.def"
#undef LOOP_STOP
    LOOP_STOPS
};
const char *loop_stop_word(enum loop_stop s);   /* "target_reached", ... */
const char *loop_stop_status(enum loop_stop s); /* "running", "completed", "exhausted" */

struct loop_conf {
    double target;
    int64_t rounds_max, stagnation_limit;
    double seconds_max; /* of generating and evaluating; 0 = none */
    int64_t seed;
    int64_t ask_after; /* rounds without gain, and each time as many again */
    int64_t asks_max;
    bool adapter;
    strv algorithms[LOOP_ALGORITHMS_MAX]; /* the adapter goes through them */
    size_t n_algorithms;
    strv name;
};

struct loop_verdict {
    bool valid;
    double score, soft;
    int64_t critical, total; /* violations */
    strv types;              /* JSON array: each once, in order; "[]" = none */
};

struct loop_record {
    int64_t round;
    bool candidate; /* the generator had one, and it was evaluated */
    bool best, advised;
    struct loop_verdict v;
    double seconds;
    strv params;
    strv rule; /* of the adapter, after it; "" = none */
};

struct loop_advice {
    int64_t round; /* in which it was asked for, and acted */
    strv why;      /* "stagnation", "new_failure" */
    bool accepted, applied;
    strv reason; /* a word of reasons.def, or "unreachable", "slow", "refused", "unreadable" */
    strv source, model, decision_id;
    strv type, params, reasoning;
    double before, after; /* best score; after: when its round was over */
    bool measured;        /* ... which it is */
};

struct loop {
    struct loop_conf conf;
    const struct advice_schema *schema;
    struct arena arena, scratch;
    strv problem; /* one line */
    char digest[65];

    int64_t rounds, since; /* over; evaluated and without gain */
    double seconds;
    strv params; /* of the next round, or the present one */
    struct {
        int64_t round; /* 0 = nothing was evaluated */
        struct loop_verdict v;
        strv params;
        struct buf candidate, evaluation; /* JSON */
    } best;
    struct loop_record *records;
    size_t n_records, records_cap;
    struct loop_advice *advice;
    size_t n_advice, advice_cap;
    int64_t
        asked_since; /* `since` when stagnation was last asked about; -1 = not since the last gain */
    enum loop_stop stop; /* why it ended; NONE = it runs */

    /* of the present round */
    struct buf candidate; /* empty = none */
    double generated_s;
    bool advised;
};

/* False with err. loop_fini() is due in any case. */
bool loop_init(struct loop *l, const struct advice_schema *schema, strv problem, struct err *err);
void loop_fini(struct loop *l);
/* Goes on where loop_save() was. False with err: no state of this problem. */
bool loop_resume(struct loop *l, strv state, struct err *err);
/* The whole run as JSON: what loop_resume() takes, and the report for programs. False: no memory. */
bool loop_save(struct loop *l, struct buf *out);

/* Stop order: target, rounds, stagnation, time. NONE: another round. */
enum loop_stop loop_due(const struct loop *l);
/* Why advice should be asked for before this round; NULL = it should not. */
const char *loop_wants_advice(const struct loop *l);

/* The body of POST /advisor/suggest. False: no memory; the same for all that follows, unless it has an err. */
bool loop_put_question(struct loop *l, strv source, double seconds, struct buf *out);
/* The answer; STRV_NONE: there was none, and `reason` says why. */
bool loop_take_answer(struct loop *l, const char *why, strv answer, const char *reason);
/* What became of advice that was accepted, for POST /advisor/outcome; false: nothing to tell. Once for each. */
bool loop_put_outcome(struct loop *l, struct buf *out);

bool loop_put_problem(struct loop *l, struct buf *out);
bool loop_put_generate(struct loop *l, struct buf *out);
/* `seconds` that it took, unless the answer says so itself; the same below. */
bool loop_take_candidate(struct loop *l, strv line, double seconds, struct err *err);
bool loop_put_evaluate(struct loop *l, struct buf *out);
/* Ends the round; without a candidate `line` is STRV_NONE. */
bool loop_take_evaluation(struct loop *l, strv line, double seconds, struct err *err);

/* After a round: the next parameters, and which rule made them ("" = none). False: no memory. */
bool loop_adapt(struct loop *l, strv *rule);
/* A page with plots, complete in itself. */
void loop_report(const struct loop *l, struct buf *out);

/* What the advice of one type brought; the last row of a list has the type "". */
struct loop_tally {
    strv type;
    int64_t asked, accepted, applied;
    double gain; /* of the best score, sum over those that were applied */
};
#define LOOP_TALLIES_MAX (ADVICE_TYPES_MAX + 2)
/* Rows by type, refused ones under "none". The number of rows. */
size_t loop_tally(const struct loop *l, struct loop_tally out[LOOP_TALLIES_MAX]);

#endif
