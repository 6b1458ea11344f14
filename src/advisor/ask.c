/* SPDX-License-Identifier: Apache-2.0 */
#include "advisor/ask.h"

#include <string.h>

#include "advisor/read.h"

#define REQUEST_BLOCK ((size_t)4096)
#define REQUEST_MAX   ((size_t)4 * 1024 * 1024)
#define TASK          "multi_step" /* a step of a plan, weighed: the class without a model's name */
#define TEMPERATURE   0.3

/* ---- the end ---- */

static void over(struct advisor_ask *a)
{
    const struct exchange *x = a->x;
    a->over = true;
    a->us = io_now_us(a->env->loop) - a->started_us;
    if (x != NULL && exchange_provider(x) != NULL) {
        a->provider = exchange_provider(x);
        a->from = arena_strv(a->arena, exchange_model(x));
    }
    a->attempts = x != NULL ? exchange_attempts(x) : 0;
    a->x = NULL;
    arena_fini(&a->request);
    a->done(a);
}

static void fail(struct advisor_ask *a, enum advice_reason why)
{
    a->why = why;
    over(a);
}

/* ---- the sink ---- */

static void on_begin(void *arg, struct exchange *x, int status, const char *type, int64_t length)
{
    struct advisor_ask *a = arg;
    (void)status;
    (void)type;
    (void)length;
    a->x = x;
}

/* More than an answer may have ends it: nobody reads that to its end. */
static bool on_event(void *arg, const struct llm_event *ev)
{
    struct advisor_ask *a = arg;
    return ev->kind != LLM_EV_TEXT || ev->choice != 0 || buf_put_strv(&a->reply, ev->text);
}

static void on_end(void *arg)
{
    struct advisor_ask *a = arg;
    a->answered = true;
    a->why = ADVICE_REASON_OK;
    over(a);
}

static bool is_absence(int error)
{
    return error == LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE || error == LLM_ERR_MODEL_NOT_FOUND ||
           error == LLM_ERR_PROVIDER_UNKNOWN || error == LLM_ERR_PROVIDER_FORBIDDEN ||
           error == LLM_ERR_UNSUPPORTED || error == LLM_ERR_FORBIDDEN ||
           error == LLM_ERR_OVERLOADED || error == LLM_ERR_PROVIDER_LOADING ||
           error == LLM_ERR_DRAINING;
}

static void on_fail(void *arg, struct exchange *x, int error, int status, strv message, strv field,
                    uint64_t retry_after_s)
{
    struct advisor_ask *a = arg;
    (void)status;
    (void)message; /* may quote a provider */
    (void)field;
    a->x = x;
    a->error = error;
    a->retry_after_s = retry_after_s;
    bool asked = x != NULL && exchange_attempts(x) > 0;
    fail(a, a->reply.failed                      ? ADVICE_REASON_TOO_LARGE
            : error == LLM_ERR_DEADLINE_EXCEEDED ? ADVICE_REASON_TIMEOUT
            : !asked && is_absence(error)        ? ADVICE_REASON_NO_MODEL
                                                 : ADVICE_REASON_MODEL_FAILED);
}

static void on_abort(void *arg)
{
    struct advisor_ask *a = arg;
    fail(a, a->reply.failed                                     ? ADVICE_REASON_TOO_LARGE
            : exchange_error(a->x) == LLM_ERR_DEADLINE_EXCEEDED ? ADVICE_REASON_TIMEOUT
                                                                : ADVICE_REASON_MODEL_FAILED);
}

static size_t on_pending(void *arg)
{
    (void)arg;
    return 0;
}

static void on_body(void *arg, const char *data, size_t n)
{
    (void)arg;
    (void)data;
    (void)n;
}

static const struct exchange_sink sink = {.begin = on_begin,
                                          .body = on_body,
                                          .event = on_event,
                                          .end = on_end,
                                          .fail = on_fail,
                                          .abort = on_abort,
                                          .pending = on_pending};

/* ---- the question ---- */

static void on_committed(void *arg)
{
    struct advisor_ask *a = arg;
    arena_fini(&a->request);
}

static bool write_part(struct advisor_ask *a, const struct template_node *n, strv *out)
{
    struct buf b;
    buf_init(&b, TEMPLATE_OUT_MAX);
    bool ok = template_write(n, a->asked, a->conf->schema->doc.root, &b);
    *out = arena_strv(&a->request, ok ? buf_view(&b) : STRV_NONE);
    buf_fini(&b);
    return ok && out->ptr != NULL;
}

static bool write_messages(struct advisor_ask *a)
{
    struct llm_request *r = &a->r;
    struct llm_part *parts = ARENA_ARRAY(&a->request, struct llm_part, 2);
    r->messages = ARENA_ARRAY(&a->request, struct llm_message, 2);
    if (parts == NULL || r->messages == NULL)
        return false;
    parts[0].kind = parts[1].kind = LLM_PART_TEXT;
    if (!write_part(a, a->template->system, &parts[0].text) ||
        !write_part(a, a->template->question, &parts[1].text))
        return false;
    r->messages[0] = (struct llm_message){LLM_SYSTEM, &parts[0], 1};
    r->messages[1] = (struct llm_message){LLM_USER, &parts[1], 1};
    r->n_messages = 2;
    return true;
}

/* Whoever the plan names first is most likely the one that answers. */
static bool choose_template(struct advisor_ask *a)
{
    struct err err = ERR_INIT;
    struct policy_plan plan;
    bool found = exchange_find(a->env, &a->r, a->caller.holder, &a->request, &plan, &err);
    if (!found && err.code <= 0)
        return false;
    strv model = found && plan.n > 0 ? plan.targets[0].model : STRV("");
    a->template = advisor_template(a->conf, a->question, model);
    return true;
}

static bool write_request(struct advisor_ask *a)
{
    const char *model = a->conf->model;
    strv form = a->conf->schema->form[a->question];
    bool named = a->model.len > 0 || model != NULL;
    a->r = (struct llm_request){
        .arena = &a->request,
        .dialect = LLM_NATIVE,
        .op = LLM_OP_CHAT,
        .model = a->model.len > 0 ? a->model
                 : model != NULL  ? strv_of(model)
                                  : STRV(""),
        .provider = STRV(""),
        .choices = 1,
        .user = STRV_NONE,
        .mode = LLM_MODE_LOCAL, /* not even under pseudonyms */
        .private_hint = true,
        .task = named ? STRV_NONE : STRV(TASK),
        .session = STRV_NONE,
        .request_id = STRV_NONE,
        .session_header = STRV_NONE,
        .hide_reasoning = true,
        .format = form.len > 0 ? LLM_FORMAT_SCHEMA : LLM_FORMAT_TEXT,
        .form_unchecked = true,
        .schema = form,
        .schema_name = STRV("advice"),
        .schema_description = STRV(""),
    };
    llm_set(&a->r, LLM_P_MAX_TOKENS, (double)a->conf->max_tokens);
    llm_set(&a->r, LLM_P_TEMPERATURE, TEMPERATURE);
    return choose_template(a) && write_messages(a);
}

bool advisor_ask(struct advisor_ask *a)
{
    a->from = STRV_NONE;
    a->started_us = io_now_us(a->env->loop);
    buf_init(&a->reply, ADVICE_REPLY_MAX);
    arena_init(&a->request, REQUEST_BLOCK, REQUEST_MAX);
    if (!write_request(a)) {
        arena_fini(&a->request);
        a->over = true;
        return false;
    }
    a->caller.committed = on_committed;
    a->caller.no_cache = a->caller.no_store = true;
    a->caller.deadline_ms = a->ms;
    struct exchange *x = exchange_start(a->env, a->arena, &a->r, &a->caller, &sink, a);
    if (x == NULL && !a->over) {
        a->over = true;
        arena_fini(&a->request);
        return false;
    }
    if (!a->over)
        a->x = x;
    return true;
}

void advisor_ask_gone(struct advisor_ask *a)
{
    if (a->over)
        return;
    a->over = true;
    if (a->x != NULL)
        exchange_caller_gone(a->x);
    a->x = NULL;
    arena_fini(&a->request);
}

void advisor_ask_fini(struct advisor_ask *a)
{
    buf_fini(&a->reply);
}
