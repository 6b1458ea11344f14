/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama_answer - what an Ollama answers: lines of /api/chat and /api/generate, vectors of /api/embed and
 * /api/embeddings.
 *
 * A call of a tool arrives whole, alone or with others in one line, and ends with done_reason "stop" all the
 * same; whether an answer ends with calls is for others to conclude from the calls seen. Ids may be missing,
 * and older servers number every call 0, so calls are numbered here.
 *
 * A stream that ends with neither done:true nor error was cut. A line that Ollama's own clients stumble over
 * (null where a text or a list is due, arguments as text, figures left out) is understood and marked a flaw.
 */
#include <float.h>
#include <math.h>

#include "dialect/ollama.h"

static bool malformed(struct err *err, const char *what)
{
    return err_set(err, LLM_ERR_ALL_PROVIDERS_FAILED, "the provider's answer is malformed: %s",
                   what);
}

static void emit(struct dialect_in *st, const struct llm_event *ev)
{
    if (!st->ended && !st->emit(st->arg, ev))
        st->ended = true;
}

static void emit_text(struct dialect_in *st, enum llm_event_kind kind, strv text)
{
    if (text.len > 0)
        emit(st, &(struct llm_event){.kind = kind, .text = text});
}

/* Ollama's own errors are a text and nothing else; the one worth telling apart is a full queue. */
static void take_error(struct dialect_in *st, const struct dialect_said *said)
{
    bool busy = strv_contains_nocase(said->message, STRV("server busy"));
    int status = said->status != 0 ? said->status : busy ? 503 : 500;
    emit(st, &(struct llm_event){.kind = LLM_EV_ERROR, .text = said->message, .error = status});
    st->ended = true;
}

static void take_start(struct dialect_in *st, yyjson_val *root)
{
    if (st->started)
        return;
    st->started = true;
    emit(st, &(struct llm_event){.kind = LLM_EV_START, .model = json_get_str(root, "model")});
}

/* ---- text and calls ---- */

static bool take_call(struct dialect_in *st, const struct json *doc, yyjson_val *call,
                      struct err *err)
{
    yyjson_val *function = json_get(call, "function"), *id = json_get(call, "id");
    yyjson_val *arguments = json_get(function, "arguments");
    struct llm_event ev = {.kind = LLM_EV_CALL,
                           .call = st->calls,
                           .id = yyjson_is_str(id) ? json_str(id) : STRV(""),
                           .name = json_get_str(function, "name")};
    strv text = json_str(arguments);
    if (ev.name.len == 0)
        return malformed(err, "a call without a name");
    if (json_get_int(function, "index", st->calls) != st->calls || !yyjson_is_obj(arguments))
        st->flaw = true;
    if (arguments != NULL && text.ptr == NULL)
        (void)json_raw_member(doc, function, "arguments", &text);
    emit(st, &ev);
    if (text.len > 0)
        emit(st, &(struct llm_event){.kind = LLM_EV_ARGS, .call = st->calls, .text = text});
    emit(st, &(struct llm_event){.kind = LLM_EV_CALL_END, .call = st->calls});
    st->calls++;
    return true;
}

static bool take_calls(struct dialect_in *st, const struct json *doc, yyjson_val *from,
                       struct err *err)
{
    yyjson_val *calls = json_get(from, "tool_calls"), *call;
    size_t at, max;
    if (calls == NULL)
        return true;
    if (!yyjson_is_arr(calls))
        return malformed(err, "tool_calls is not a list");
    yyjson_arr_foreach(calls, at, max, call)
    {
        if (!take_call(st, doc, call, err))
            return false;
    }
    return true;
}

/* There, but null: clients iterate and join without looking. */
static bool is_null(yyjson_val *obj, const char *key)
{
    return yyjson_is_null(yyjson_obj_get(obj, key));
}

static bool take_content(struct dialect_in *st, const struct json *doc, struct err *err)
{
    yyjson_val *message = json_get(doc->root, "message");
    yyjson_val *from = message != NULL ? message : doc->root;
    const char *key = message != NULL ? "content" : "response";
    yyjson_val *text = json_get(from, key);
    if (text != NULL && !yyjson_is_str(text))
        return malformed(err, "the text is not a string");
    if (is_null(doc->root, "message") || is_null(from, key) || is_null(from, "tool_calls"))
        st->flaw = true;
    emit_text(st, LLM_EV_REASONING, json_get_str(from, "thinking"));
    emit_text(st, LLM_EV_TEXT, json_str(text));
    return take_calls(st, doc, from, err);
}

/* ---- the last line ---- */

/* Absent when the runner went away after its last token. */
static void take_finish(struct dialect_in *st, yyjson_val *root)
{
    strv reason = json_get_str(root, "done_reason");
    enum llm_finish finish = LLM_FINISH_OTHER;
    if (reason.len == 0 || strv_eq_cstr(reason, "stop"))
        finish = LLM_FINISH_STOP;
    else if (strv_eq_cstr(reason, "length"))
        finish = LLM_FINISH_LENGTH;
    st->finished = true;
    emit(st, &(struct llm_event){.kind = LLM_EV_FINISH, .finish = finish, .raw_finish = reason});
}

/* Ollama leaves out what is zero, so an absent figure is unknown, not 0. */
static struct llm_usage usage_of(yyjson_val *root)
{
    struct llm_usage u = LLM_USAGE_NONE;
    const struct {
        const char *key;
        int64_t *into;
    } rows[] = {
        {"prompt_eval_count", &u.input}, {"eval_count", &u.output},
        {"load_duration", &u.load_ns},   {"prompt_eval_duration", &u.input_ns},
        {"eval_duration", &u.output_ns}, {"total_duration", &u.total_ns},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t n = json_get_int(root, rows[i].key, -1);
        if (n >= 0)
            *rows[i].into = n;
    }
    return u;
}

static void take_end(struct dialect_in *st, yyjson_val *root)
{
    struct llm_event usage = {.kind = LLM_EV_USAGE, .usage = usage_of(root)};
    strv reason = json_get_str(root, "done_reason");
    bool loading = strv_eq_cstr(reason, "load") || strv_eq_cstr(reason, "unload");
    if (!loading && (usage.usage.input < 0 || usage.usage.output < 0))
        st->flaw = true; /* whoever counts tokens loses them all for one figure */
    take_finish(st, root);
    emit(st, &usage);
    emit(st, &(struct llm_event){.kind = LLM_EV_END});
    st->ended = true;
}

/* ---- vectors ---- */

static bool take_vector(struct dialect_in *st, yyjson_val *list, int at, struct err *err)
{
    size_t n = yyjson_arr_size(list), i, max;
    float *vector = ARENA_ARRAY(st->scratch, float, n + 1);
    yyjson_val *v;
    if (vector == NULL)
        return err_oom(err);
    if (n == 0)
        return malformed(err, "a vector is empty or no list");
    yyjson_arr_foreach(list, i, max, v)
    {
        double number = NAN;
        if (!json_is_num(v, &number) || !(fabs(number) <= (double)FLT_MAX))
            return malformed(err, "a vector holds something else than numbers");
        vector[i] = (float)number;
    }
    emit(st,
         &(struct llm_event){.kind = LLM_EV_VECTOR, .choice = at, .vector = vector, .n_vector = n});
    return true;
}

/* {"embeddings":[[...],[...]]}, or the older {"embedding":[...]}, which is empty for an empty text. */
static bool take_vectors(struct dialect_in *st, yyjson_val *root, struct err *err)
{
    yyjson_val *list = json_get(root, "embeddings"), *one = json_get(root, "embedding"), *v;
    struct llm_event usage = {.kind = LLM_EV_USAGE, .usage = usage_of(root)};
    size_t at, max, dimensions = yyjson_arr_size(yyjson_arr_get_first(list));
    if (!yyjson_is_arr(list) && !yyjson_is_arr(one))
        return malformed(err, "no embeddings");
    /* Who reads them by their place would take one for another's. None at all is its answer to "". */
    if (st->n_inputs > 0 && yyjson_arr_size(list) > 0 && yyjson_arr_size(list) != st->n_inputs)
        return malformed(err, "not as many vectors as inputs");
    take_start(st, root);
    yyjson_arr_foreach(list, at, max, v)
    {
        if (yyjson_arr_size(v) != dimensions)
            return malformed(err, "vectors of different lengths");
        if (!take_vector(st, v, (int)at, err))
            return false;
    }
    if (list == NULL && yyjson_arr_size(one) > 0 && !take_vector(st, one, 0, err))
        return false;
    usage.usage.output = 0;
    st->finished = true;
    emit(st, &(struct llm_event){.kind = LLM_EV_FINISH, .finish = LLM_FINISH_STOP});
    emit(st, &usage);
    emit(st, &(struct llm_event){.kind = LLM_EV_END});
    st->ended = true;
    return true;
}

/* ---- frames and whole answers ---- */

static bool take_object(struct dialect_in *st, const struct json *doc, struct err *err)
{
    struct dialect_said said;
    if (dialect_read_error(doc->root, &said)) {
        take_error(st, &said);
        return true;
    }
    if (ollama_is_embed(st->op))
        return take_vectors(st, doc->root, err);
    take_start(st, doc->root);
    if (!take_content(st, doc, err))
        return false;
    if (yyjson_is_true(json_get(doc->root, "done")))
        take_end(st, doc->root);
    return true;
}

bool ollama_decode_frame(struct dialect_in *st, strv name, strv data, struct err *err)
{
    struct json doc;
    (void)name;
    if (st->ended || strv_trim(data).len == 0)
        return true;
    if (!json_read(&doc, data, st->scratch, LLM_ERR_ALL_PROVIDERS_FAILED, err))
        return false;
    if (!yyjson_is_obj(doc.root))
        return malformed(err, "a line is not a JSON object");
    return take_object(st, &doc, err);
}

bool ollama_decode_reply(struct dialect_in *st, strv body, struct err *err)
{
    struct json doc;
    if (!json_read(&doc, body, st->scratch, LLM_ERR_ALL_PROVIDERS_FAILED, err))
        return false;
    if (!yyjson_is_obj(doc.root))
        return malformed(err, "not a JSON object");
    if (!take_object(st, &doc, err))
        return false;
    return st->ended || malformed(err, "done is not true");
}
