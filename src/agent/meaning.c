/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meaning - see meaning.h. One struct for both kinds of question to the embedding model: a batch of tools, and a
 * person's question.
 *
 *   ask > exchange > a vector for each input > settle --deferred--> tools: the next batch, or the vectors are published
 *                    failed, too late > settle --deferred-->        a question: done()
 *
 * What follows an exchange is deferred: nothing is started or freed under the feet of one that is ending. So there is
 * always either an exchange, which is ended when the process ends, or a deferred task.
 */
#include "agent/meaning.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/index.h"

#define BATCH        32 /* tools in one question: what small servers take */
#define NOTE_MAX     500
#define QUESTION_MAX 2000
#define WAIT_MS      250 /* for a question's vector: more than that is not worth it */
#define REST_US      ((int64_t)30 * 1000 * 1000) /* a model that failed is left alone for so long */
#define DIMS_MAX     8192
#define VECTORS_MAX  ((size_t)64 * 1024 * 1024) /* bytes, of one catalogue */
#define ARENA_MAX    ((size_t)16 * 1024 * 1024)

struct meaning {
    struct agent_env *env;
    struct agent_index *index;
    struct arena arena; /* of one exchange */
    struct llm_request r;
    struct exchange_caller caller;
    struct exchange *x;
    struct io_timer late;
    struct io_task next, burial;
    float *values; /* n_inputs vectors of `dims` floats, one behind the other; NULL = none yet */
    size_t dims, n;
    bool asking, settled, failed, over;
    char id[37];

    struct index_vectors *learned; /* NULL: it is a question */
    uint32_t *missing;             /* entries whose vector is asked for */
    size_t n_missing, at;

    meaning_fn done;
    void *arg;
};

/* ---- may it be asked? ---- */

static bool has_role(const struct snapshot *s)
{
    for (size_t i = 0; i < s->policy.n_roles; i++)
        if (strcmp(s->policy.roles[i].name, "embedding") == 0)
            return s->policy.roles[i].n > 0;
    return false;
}

static bool may_ask(const struct agent_env *env, const struct agent_index *index)
{
    const struct exchange_env *ex = env->exchange;
    return index != NULL && index->n > 0 && !ex->draining && ex->snapshot != NULL &&
           has_role(ex->snapshot) &&
           io_now_us(ex->loop) >= atomic_load_explicit(&index->rests_until, memory_order_relaxed);
}

static void rest(struct meaning *m)
{
    atomic_store_explicit(&m->index->rests_until, io_now_us(m->env->exchange->loop) + REST_US,
                          memory_order_relaxed);
}

/* ---- the end ---- */

static void bury(struct io_task *task)
{
    struct meaning *m = (struct meaning *)(void *)((char *)task - offsetof(struct meaning, burial));
    agent_index_unref(m->index);
    mem_free(m->learned);
    mem_free(m->missing);
    arena_fini(&m->arena);
    mem_free(m);
}

static void over(struct meaning *m)
{
    struct io_loop *loop = m->env->exchange->loop;
    m->over = true;
    io_timer_stop(loop, &m->late);
    m->burial.run = bury;
    io_defer(loop, &m->burial);
}

static void proceed(struct io_task *task);

static void settle(struct meaning *m, bool failed)
{
    m->asking = false;
    if (m->over || m->settled)
        return;
    m->settled = true;
    m->failed = failed;
    io_timer_stop(m->env->exchange->loop, &m->late);
    m->next.run = proceed;
    io_defer(m->env->exchange->loop, &m->next);
}

/* ---- the sink ---- */

static void on_begin(void *arg, struct exchange *x, int status, const char *type, int64_t length)
{
    struct meaning *m = arg;
    (void)status;
    (void)type;
    (void)length;
    m->x = x;
}

/* To length one, so that a product of two is their cosine. */
static bool normalise(float *to, const float *from, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)from[i] * (double)from[i];
    if (!(sum > 0) || !isfinite(sum))
        return false;
    for (size_t i = 0; i < n; i++)
        to[i] = (float)((double)from[i] / sqrt(sum));
    return true;
}

static bool on_event(void *arg, const struct llm_event *ev)
{
    struct meaning *m = arg;
    if (ev->kind != LLM_EV_VECTOR)
        return true;
    if (m->values == NULL) {
        m->dims = ev->n_vector;
        if (m->dims == 0 || m->dims > DIMS_MAX)
            return false;
        m->values = ARENA_ARRAY(&m->arena, float, m->dims * m->r.n_inputs);
    }
    if (m->values == NULL || ev->n_vector != m->dims || m->n >= m->r.n_inputs)
        return false;
    float *to = m->values + m->dims * m->n;
    m->n++;
    return normalise(to, ev->vector, m->dims);
}

/* Vectors of two models have nothing to do with each other, and a role may hold several. The first one is taken. */
static bool is_same_model(struct meaning *m)
{
    const struct index_vectors *v =
        m->learned != NULL ? m->learned
                           : atomic_load_explicit(&m->index->vectors, memory_order_acquire);
    char name[sizeof v->model];
    const char *provider = exchange_provider(m->x);
    strv model = exchange_model(m->x);
    int n = snprintf(name, sizeof name, "%s/" STRV_FMT, provider != NULL ? provider : "",
                     STRV_ARG(model));
    if (n < 0 || (size_t)n >= sizeof name)
        return false;
    if (m->learned != NULL && m->learned->model[0] == '\0')
        memcpy(m->learned->model, name, sizeof name);
    return strcmp(v->model, name) == 0;
}

static void on_end(void *arg)
{
    struct meaning *m = arg;
    settle(m, m->n != m->r.n_inputs || !is_same_model(m));
}

static void on_fail(void *arg, struct exchange *x, int error, int status, strv message, strv field,
                    uint64_t retry_after_s)
{
    (void)x;
    (void)error;
    (void)status;
    (void)message;
    (void)field;
    (void)retry_after_s;
    settle(arg, true);
}

static void on_abort(void *arg)
{
    settle(arg, true);
}

static size_t on_pending(void *arg)
{
    (void)arg;
    return 0;
}

static const struct exchange_sink sink = {.begin = on_begin,
                                          .event = on_event,
                                          .end = on_end,
                                          .fail = on_fail,
                                          .abort = on_abort,
                                          .pending = on_pending};

/* ---- one exchange ---- */

static struct meaning *new_meaning(struct agent_env *env, struct agent_index *index)
{
    struct meaning *m = mem_zalloc(sizeof *m);
    if (m == NULL)
        return NULL;
    m->env = env;
    m->index = agent_index_ref(index);
    arena_init(&m->arena, 4096, ARENA_MAX);
    return m;
}

/* Asks for the inputs, which are in the arena: as a message, too, for those who read what is sent. */
static bool ask(struct meaning *m, strv *inputs, size_t n)
{
    struct exchange_env *ex = m->env->exchange;
    struct llm_part *parts = ARENA_ARRAY(&m->arena, struct llm_part, n);
    struct llm_message *message = ARENA_NEW(&m->arena, struct llm_message);
    if (parts == NULL || message == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        parts[i] = (struct llm_part){.kind = LLM_PART_TEXT, .text = inputs[i]};
    *message = (struct llm_message){LLM_USER, parts, n};
    m->r = (struct llm_request){.arena = &m->arena,
                                .dialect = LLM_NATIVE,
                                .op = LLM_OP_EMBED,
                                .model = STRV("embedding"),
                                .messages = message,
                                .n_messages = 1,
                                .inputs = inputs,
                                .n_inputs = n,
                                .choices = 1,
                                .needs = LLM_NEED_EMBED,
                                .mode = LLM_MODE_LOCAL,
                                .private_hint = true,
                                .user = STRV_NONE,
                                .task = STRV_NONE,
                                .session = STRV_NONE,
                                .request_id = STRV_NONE};
    m->n = 0;
    m->values = NULL;
    m->caller.received_us = io_now_us(ex->loop);
    m->asking = true;
    struct exchange *x = exchange_start(ex, &m->arena, &m->r, &m->caller, &sink, m);
    if (m->asking) /* not over yet */
        m->x = x;
    if (x == NULL)
        m->asking = false;
    return x != NULL;
}

static void take_caller(struct meaning *m)
{
    rng_uuid(m->env->exchange->rng, m->id);
    m->caller = (struct exchange_caller){.request_id = strv_of(m->id),
                                         .record_id = strv_of(m->id),
                                         .address = STRV("tools"),
                                         .no_cache = true,
                                         .no_store = true};
}

/* ---- tools ---- */

/* "validate schedule tool: Check every assignment ..." */
static strv text_of(const struct index_entry *e, struct arena *arena)
{
    strv note = utf8_cut(e->full.tool.description, NOTE_MAX), name = e->tool->name;
    char *text = arena_printf(arena, STRV_FMT ": " STRV_FMT, STRV_ARG(name), STRV_ARG(note));
    for (size_t i = 0; text != NULL && i < name.len; i++)
        if (text[i] == '_' || text[i] == '-')
            text[i] = ' ';
    return text != NULL ? strv_of(text) : STRV_NONE;
}

static bool ask_batch(struct meaning *m)
{
    size_t n = m->n_missing - m->at < BATCH ? m->n_missing - m->at : BATCH;
    arena_reset(&m->arena);
    strv *inputs = ARENA_ARRAY(&m->arena, strv, n);
    if (inputs == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        inputs[i] = text_of(&m->index->entries[m->missing[m->at + i]], &m->arena);
        if (inputs[i].ptr == NULL)
            return false;
    }
    return ask(m, inputs, n);
}

/* Room for all of them, when it is known how long a vector is. */
static bool make_room(struct meaning *m, size_t dims)
{
    size_t n = m->index->n * dims;
    if (m->learned->dims == dims)
        return true;
    if (m->learned->dims != 0 || n * sizeof(float) > VECTORS_MAX)
        return false;
    struct index_vectors *v = mem_zalloc(sizeof *v + n * sizeof(float));
    if (v == NULL)
        return false;
    memcpy(v->model, m->learned->model, sizeof v->model);
    mem_free(m->learned);
    m->learned = v;
    v->dims = dims;
    return true;
}

static bool take_batch(struct meaning *m)
{
    if (!make_room(m, m->dims))
        return false;
    for (size_t i = 0; i < m->n; i++, m->at++)
        memcpy(m->learned->values + m->dims * m->missing[m->at], m->values + m->dims * i,
               m->dims * sizeof(float));
    return true;
}

static void learn_on(struct meaning *m)
{
    bool going = !m->failed && !m->env->exchange->draining && (m->n == 0 || take_batch(m));
    if (going && m->at < m->n_missing && ask_batch(m))
        return;
    if (going && m->at == m->n_missing) {
        atomic_store_explicit(&m->index->vectors, m->learned, memory_order_release);
        m->learned = NULL;
    } else {
        rest(m);
    }
    atomic_store_explicit(&m->index->learning, false, memory_order_release);
    over(m);
}

/* The entry of a tool that had the same name and note in the catalogue before; NULL = there is none. */
static const struct index_entry *as_before(const struct agent_index *before,
                                           const struct index_entry *e)
{
    for (size_t i = 0; i < before->n; i++) {
        const struct index_entry *b = &before->entries[i];
        if (strcmp(b->tool->id, e->tool->id) == 0)
            return strv_eq(b->full.tool.description, e->full.tool.description) ? b : NULL;
    }
    return NULL;
}

/* Vectors that can be taken over, and a list of the others. */
static bool sort_out(struct meaning *m, const struct agent_index *before)
{
    const struct index_vectors *known =
        before != NULL ? atomic_load_explicit(&before->vectors, memory_order_acquire) : NULL;
    m->learned = mem_zalloc(sizeof *m->learned);
    m->missing = mem_zalloc((m->index->n + 1) * sizeof *m->missing);
    if (m->learned == NULL || m->missing == NULL || (known != NULL && !make_room(m, known->dims)))
        return false;
    if (known != NULL)
        memcpy(m->learned->model, known->model, sizeof known->model);
    for (size_t i = 0; i < m->index->n; i++) {
        const struct index_entry *b =
            known != NULL ? as_before(before, &m->index->entries[i]) : NULL;
        if (b != NULL)
            memcpy(m->learned->values + known->dims * i,
                   known->values + known->dims * (size_t)(b - before->entries),
                   known->dims * sizeof(float));
        else
            m->missing[m->n_missing++] = (uint32_t)i;
    }
    return true;
}

void agent_learn(struct agent_env *env, const struct agent_index *before)
{
    struct agent_index *x = env->index;
    struct meaning *m;
    if (!may_ask(env, x) || atomic_load_explicit(&x->vectors, memory_order_acquire) != NULL ||
        atomic_exchange_explicit(&x->learning, true, memory_order_acq_rel))
        return;
    if ((m = new_meaning(env, x)) == NULL) {
        atomic_store_explicit(&x->learning, false, memory_order_release);
        return;
    }
    take_caller(m);
    settle(m, !sort_out(m, before));
}

/* ---- a question ---- */

static void tell(struct meaning *m)
{
    const float *vector = m->failed ? NULL : m->values;
    if (vector == NULL)
        rest(m);
    over(m);
    m->done(m->arg, vector, vector != NULL ? m->dims : 0);
}

static void proceed(struct io_task *task)
{
    struct meaning *m = (struct meaning *)(void *)((char *)task - offsetof(struct meaning, next));
    m->settled = false;
    if (m->over)
        return;
    if (m->done == NULL)
        learn_on(m);
    else
        tell(m);
}

static void too_late(void *arg)
{
    struct meaning *m = arg;
    struct exchange *x = m->asking ? m->x : NULL;
    settle(m, true);
    if (x != NULL)
        exchange_caller_gone(x);
}

struct meaning *meaning_ask(struct agent_env *env, struct agent_index *index, strv question,
                            const struct exchange_caller *caller, meaning_fn done, void *arg)
{
    struct meaning *m;
    if (question.len == 0 || !may_ask(env, index))
        return NULL;
    if (atomic_load_explicit(&index->vectors, memory_order_acquire) == NULL) {
        if (index == env->index)
            agent_learn(env, NULL);
        return NULL;
    }
    if ((m = new_meaning(env, index)) == NULL)
        return NULL;
    m->done = done;
    m->arg = arg;
    take_caller(m);
    m->caller.key = caller->key;
    strv *input = ARENA_NEW(&m->arena, strv);
    if (input != NULL)
        *input = arena_strv(&m->arena, utf8_cut(question, QUESTION_MAX));
    if (input == NULL || input->ptr == NULL || !ask(m, input, 1)) {
        over(m);
        return NULL;
    }
    io_timer_start(env->exchange->loop, &m->late, WAIT_MS, too_late, m);
    return m;
}

void meaning_cancel(struct meaning *m)
{
    struct exchange *x = m->asking ? m->x : NULL;
    m->asking = false;
    over(m);
    if (x != NULL)
        exchange_caller_gone(x);
}
