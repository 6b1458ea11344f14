/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native - the router's own door, /router/generate and /router/stream; no upstream speaks it.
 *
 * The request is that of the scheduler's own language model layer (a prompt or messages, flat
 * parameters, a free object of metadata), and so is its tolerance: numbers and booleans may come as
 * text, unknown members are ignored, null is refused where its schema refuses it. Tools come in OpenAI's
 * shape or in Anthropic's; a call goes out in the schema's own, flat and whole. The answer adds what a router
 * knows: who answered, how long it took, and why (metadata.route).
 *
 *   data: {"delta":"Hel","provider":"ollama","model":"llama3.2","finish_reason":null,"tool_calls":null}
 *   data: {"delta":"",...,"tool_calls":[{"id":"call_0","name":"f","arguments":{...}}]}    one for each call
 *   data: {"delta":"",...,"approval":{"id":"ap_...","server":"s","tool":"f","effect":"write","until":...,"arguments":{...}}}
 *   data: {"delta":"","provider":...,"finish_reason":"stop","tool_calls":null,"usage":{...},"metadata":{...}}
 *   data: [DONE]                      or, when it fails:   event: error
 *                                                          data: {"detail":...,"code":...,"request_id":...}
 */
#include <stdio.h>

#include "dialect/reading.h"

#define MAX_TOKENS_DEFAULT 4096
#define MAX_TOKENS_MAX     100000
#define STOPS_MAX          16

/* ---- numbers and booleans as the schema takes them ---- */

static bool number_of(yyjson_val *v, double *out)
{
    if (yyjson_is_str(v))
        return strv_double(strv_trim(json_str(v)), out);
    return json_is_num(v, out);
}

static bool bool_of(yyjson_val *v, bool *out)
{
    static const char *const yes[] = {"true", "1", "yes", "on", "t", "y"};
    static const char *const no[] = {"false", "0", "no", "off", "f", "n"};
    int64_t number;
    if (yyjson_is_bool(v)) {
        *out = yyjson_get_bool(v);
        return true;
    }
    if (json_is_int(v, &number) && (number == 0 || number == 1)) {
        *out = number == 1;
        return true;
    }
    for (size_t i = 0; yyjson_is_str(v) && i < sizeof yes / sizeof *yes; i++) {
        if (strv_eq_nocase(json_str(v), strv_of(yes[i])) ||
            strv_eq_nocase(json_str(v), strv_of(no[i]))) {
            *out = strv_eq_nocase(json_str(v), strv_of(yes[i]));
            return true;
        }
    }
    return false;
}

static bool refuse(struct err *err, const char *field, const char *what)
{
    return dialect_bad(err, LLM_ERR_INVALID_REQUEST, field, what);
}

/* ---- the request ---- */

static bool decode_number(struct llm_request *r, enum llm_param p, yyjson_val *v, struct err *err)
{
    const struct llm_param_row *row = &llm_params[p];
    const char *name = row->name[LLM_NATIVE];
    double max = p == LLM_P_MAX_TOKENS ? MAX_TOKENS_MAX : row->max, value;
    bool whole = row->kind == LLM_KIND_INT;
    if (number_of(v, &value) && value >= row->min && value <= max &&
        (!whole || value == (double)(int64_t)value)) {
        llm_set(r, p, value);
        return true;
    }
    return err_field(err, LLM_ERR_INVALID_REQUEST, name, "%s: must be %s between %.15g and %.15g",
                     name, whole ? "an integer" : "a number", row->min, max);
}

static bool decode_numbers(struct llm_request *r, yyjson_val *root, struct err *err)
{
    llm_set(r, LLM_P_MAX_TOKENS, MAX_TOKENS_DEFAULT);
    llm_set(r, LLM_P_TEMPERATURE, 0.7);
    for (int i = 0; i < LLM_PARAMS; i++) {
        enum llm_param p = (enum llm_param)i;
        yyjson_val *v = yyjson_obj_get(root, llm_params[p].name[LLM_NATIVE]);
        bool strict = p == LLM_P_MAX_TOKENS || p == LLM_P_TEMPERATURE; /* null is refused */
        if (v == NULL || (yyjson_is_null(v) && !strict))
            continue;
        if (!decode_number(r, p, v, err))
            return false;
    }
    return true;
}

static bool decode_model(struct llm_request *r, yyjson_val *root, struct err *err)
{
    yyjson_val *model = json_get(root, "model"), *provider = yyjson_obj_get(root, "provider");
    if (model != NULL && !yyjson_is_str(model))
        return refuse(err, "model", "must be a string");
    r->model = model != NULL ? json_str(model) : STRV("");
    if (provider == NULL)
        return true;
    strv name = json_str(provider);
    bool fits = name.len > 0 && name.len <= 64;
    for (size_t i = 0; fits && i < name.len; i++)
        fits = name.ptr[i] > ' ' && name.ptr[i] < 0x7f && (name.ptr[i] < 'A' || name.ptr[i] > 'Z');
    if (!fits)
        return refuse(err, "provider", "must be \"auto\" or a provider's name in lower case");
    if (!strv_eq_cstr(name, "auto"))
        r->provider = name;
    return true;
}

/* {"name","description","input_schema"}, the shape of Anthropic's; the name alone is enough. */
static bool decode_flat_tool(struct reading *rd, yyjson_val *v, const char *field)
{
    yyjson_val *schema = json_get(v, "input_schema");
    struct llm_tool *tool = &rd->r->tools[rd->r->n_tools];
    if (!dialect_read_tool(rd, v, field)) /* "parameters" in it is read as well */
        return false;
    if (schema == NULL)
        return true;
    if (!yyjson_is_obj(schema))
        return invalid(rd, "tools", "input_schema must be an object");
    return json_raw_member(&rd->r->body, v, "input_schema", &tool->schema);
}

static bool decode_tools(struct reading *rd, yyjson_val *root)
{
    yyjson_val *tools = json_get(root, "tools"), *tool;
    size_t i, max;
    if (tools == NULL)
        return true;
    if (!yyjson_is_arr(tools))
        return invalid(rd, "tools", "must be an array of objects");
    if (!dialect_read_tools_room(rd, tools, "tools"))
        return false;
    yyjson_arr_foreach(tools, i, max, tool)
    {
        char field[64];
        yyjson_val *function = json_get(tool, "function");
        if (!yyjson_is_obj(tool))
            return invalid(rd, "tools", "must be an array of objects");
        snprintf(field, sizeof field, "tools[%zu]%s", i, function != NULL ? ".function" : "");
        if (function != NULL ? !dialect_read_tool(rd, function, field)
                             : !decode_flat_tool(rd, tool, field))
            return false;
        rd->r->needs |= LLM_NEED_TOOLS;
    }
    return true;
}

static bool decode_metadata(struct llm_request *r, yyjson_val *root, struct err *err)
{
    yyjson_val *metadata = yyjson_obj_get(root, "metadata");
    if (metadata == NULL)
        return true;
    if (!yyjson_is_obj(metadata))
        return refuse(err, "metadata", "must be an object");
    yyjson_val *sensitivity = json_get(metadata, "sensitivity");
    strv word = strv_trim(json_str(sensitivity));
    /* A hint only tightens: a word that we do not know is taken for the strictest. */
    r->private_hint = sensitivity != NULL && !strv_eq_nocase(word, STRV("public")) &&
                      !strv_eq_nocase(word, STRV("normal"));
    r->task = json_get_str(metadata, "task");
    r->session = json_get_str(metadata, "session");
    r->request_id = json_get_str(metadata, "request_id");
    return true;
}

static void add_text(struct llm_request *r, enum llm_role role, struct llm_part *part, strv text)
{
    *part = (struct llm_part){.kind = LLM_PART_TEXT, .text = text};
    r->messages[r->n_messages++] = (struct llm_message){role, part, 1};
}

/* system, then messages or the prompt */
static bool decode_conversation(struct llm_request *r, yyjson_val *root, struct arena *arena,
                                struct err *err)
{
    yyjson_val *prompt = yyjson_obj_get(root, "prompt"), *system = json_get(root, "system");
    yyjson_val *messages = json_get(root, "messages");
    bool blank = strv_trim(json_str(prompt)).len == 0;
    if (prompt != NULL && !yyjson_is_str(prompt))
        return refuse(err, "prompt", "must be a string");
    if (system != NULL && !yyjson_is_str(system))
        return refuse(err, "system", "must be a string");
    if (messages != NULL && !yyjson_is_arr(messages))
        return refuse(err, "messages", "must be an array");
    if (yyjson_arr_size(messages) == 0 && blank)
        return refuse(err, "prompt", "is required and must not be blank");
    if (yyjson_arr_size(messages) > 0 && !blank)
        return refuse(err, "prompt", "must be left out when messages are given");

    struct llm_part *parts = ARENA_ARRAY(arena, struct llm_part, 2);
    r->messages = ARENA_ARRAY(arena, struct llm_message, yyjson_arr_size(messages) + 2);
    if (parts == NULL || r->messages == NULL)
        return err_oom(err);
    if (yyjson_get_len(system) > 0)
        add_text(r, LLM_SYSTEM, &parts[0], json_str(system));
    if (blank)
        return dialect_decode_messages(r, messages, arena, err);
    add_text(r, LLM_USER, &parts[1], json_str(prompt));
    return true;
}

static bool decode_request(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                           struct err *err)
{
    struct reading rd = {out, arena, err};
    *out = (struct llm_request){.arena = arena, .dialect = LLM_NATIVE, .op = op, .choices = 1};
    if (!dialect_root(&out->body, body, arena, err))
        return false;
    yyjson_val *root = out->body.root, *stream = yyjson_obj_get(root, "stream");
    if (stream != NULL && !bool_of(stream, &out->stream))
        return refuse(err, "stream", "must be true or false");
    return decode_conversation(out, root, arena, err) && decode_model(out, root, err) &&
           decode_numbers(out, root, err) && decode_tools(&rd, root) &&
           decode_metadata(out, root, err) &&
           dialect_decode_stops(out, json_get(root, "stop"), "stop", STOPS_MAX, arena, err);
}

/* ---- the answer ---- */

/* Microseconds as milliseconds with three digits: 812.400 */
static void put_ms(struct buf *out, int64_t us)
{
    if (us < 0)
        us = 0;
    char fraction[4] = {'.', (char)('0' + us / 100 % 10), (char)('0' + us / 10 % 10),
                        (char)('0' + us % 10)};
    buf_put_i64(out, us / 1000);
    buf_put(out, fraction, sizeof fraction);
}

static const char *finish_word(enum llm_finish finish)
{
    return finish == LLM_FINISH_LENGTH  ? "length"
           : finish == LLM_FINISH_CALLS ? "tool_calls"
                                        : "stop";
}

/* An id is always there, and the arguments are an object. */
static void put_call_head(strv id, strv name, int number, struct buf *out)
{
    buf_put_cstr(out, "{\"id\":");
    if (id.len > 0)
        json_put_str(out, id);
    else
        buf_printf(out, "\"call_%d\"", number);
    buf_put_cstr(out, ",\"name\":");
    json_put_str(out, name);
    buf_put_cstr(out, ",\"arguments\":");
}

static void put_calls(const struct llm_reply *reply, struct buf *out)
{
    int n = 0;
    buf_put_cstr(out, ",\"tool_calls\":");
    for (size_t i = 0; i < reply->n_parts; i++) {
        const struct llm_reply_part *p = &reply->parts[i];
        if (p->kind != LLM_PART_CALL)
            continue;
        buf_put_char(out, n > 0 ? ',' : '[');
        put_call_head(p->id, p->name, n++, out);
        dialect_put_arguments(out, llm_reply_text(reply, p));
        buf_put_char(out, '}');
    }
    buf_put_cstr(out, n > 0 ? "]" : "null");
}

static void put_usage(const struct llm_usage *u, struct buf *out)
{
    buf_put_cstr(out, ",\"usage\":");
    if (u->input < 0 && u->output < 0) {
        buf_put_cstr(out, "null");
        return;
    }
    int64_t input = u->input >= 0 ? u->input : 0, output = u->output >= 0 ? u->output : 0;
    buf_put_cstr(out, "{\"input_tokens\":");
    buf_put_i64(out, input);
    buf_put_cstr(out, ",\"output_tokens\":");
    buf_put_i64(out, output);
    buf_put_cstr(out, ",\"total_tokens\":");
    buf_put_i64(out, input + output);
    buf_put_cstr(out, ",\"cost_usd\":null}");
}

static void put_metadata(const struct dialect_out *st, enum llm_finish finish, strv raw,
                         const struct llm_usage *u, struct buf *out)
{
    buf_put_cstr(out, ",\"metadata\":{\"latency_ms\":");
    put_ms(out, st->total_us);
    if (u->total_ns >= 0) {
        buf_put_cstr(out, ",\"total_duration\":");
        buf_put_i64(out, u->total_ns);
    }
    if (u->load_ns >= 0) {
        buf_put_cstr(out, ",\"load_duration\":");
        buf_put_i64(out, u->load_ns);
    }
    if ((finish == LLM_FINISH_OTHER || finish == LLM_FINISH_FILTER) && raw.len > 0) {
        buf_put_cstr(out, ",\"raw_finish_reason\":");
        json_put_str(out, raw);
    }
    if (st->route_json.ptr != NULL) {
        buf_put_cstr(out, ",\"route\":");
        buf_put_strv(out, st->route_json);
    }
    buf_put_char(out, '}');
}

static void put_who(const struct dialect_out *st, struct buf *out)
{
    buf_put_cstr(out, ",\"provider\":");
    json_put_str(out, st->provider);
    buf_put_cstr(out, ",\"model\":");
    json_put_str(out, st->model);
}

/* What follows the text in every piece but the last; written once per stream. */
static void put_rest(struct dialect_out *st, struct buf *out)
{
    if (st->fixed_len > 0) {
        buf_put(out, st->fixed, st->fixed_len);
        return;
    }
    size_t from = buf_len(out);
    put_who(st, out);
    buf_put_cstr(out, ",\"finish_reason\":null,\"tool_calls\":null}\n\n");
    strv made = strv_from(buf_view(out), from);
    if (!out->failed && made.len <= sizeof st->fixed) {
        memcpy(st->fixed, made.ptr, made.len);
        st->fixed_len = made.len;
    }
}

static void put_end(struct dialect_out *st, struct buf *out)
{
    buf_put_cstr(out, "data: {\"delta\":\"\"");
    put_who(st, out);
    buf_put_cstr(out, ",\"finish_reason\":\"");
    buf_put_cstr(out, finish_word(st->finish));
    buf_put_cstr(out, "\",\"tool_calls\":null");
    put_usage(&st->usage, out);
    put_metadata(st, st->finish, strv_of(st->raw_finish), &st->usage, out);
    buf_put_cstr(out, "}\n\ndata: [DONE]\n\n");
}

static void begin_call(struct dialect_out *st, const struct llm_event *ev)
{
    buf_clear(&st->kept);
    put_call_head(ev->id, ev->name, st->calls++, &st->kept);
    st->kept_head = buf_len(&st->kept);
}

/* A piece of its own, without text. */
static bool put_call(struct dialect_out *st, struct buf *out)
{
    strv kept = buf_view(&st->kept);
    if (st->kept.failed)
        return false;
    buf_put_cstr(out, "data: {\"delta\":\"\"");
    put_who(st, out);
    buf_put_cstr(out, ",\"finish_reason\":null,\"tool_calls\":[");
    buf_put(out, kept.ptr, st->kept_head);
    dialect_put_arguments(out, strv_from(kept, st->kept_head));
    buf_clear(&st->kept);
    return buf_put_cstr(out, "}]}\n\n");
}

/* A call waits for a person: a piece without text, so that readers that know nothing of it pass over it. */
static void put_wait(const struct dialect_out *st, strv json, struct buf *out)
{
    buf_put_cstr(out, "data: {\"delta\":\"\"");
    put_who(st, out);
    buf_put_cstr(out, ",\"finish_reason\":null,\"tool_calls\":null,\"approval\":");
    buf_put_strv(out, json);
    buf_put_cstr(out, "}\n\n");
}

static bool encode_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    if (st->finished)
        return !out->failed;
    if (!st->started) {
        st->started = true;
        st->usage = LLM_USAGE_NONE;
    }
    switch (ev->kind) {
    case LLM_EV_TEXT:
        if (ev->text.len == 0 || ev->choice != 0)
            break;
        buf_put_strv(out, STRV("data: {\"delta\":\""));
        json_put_esc(out, ev->text);
        buf_put_char(out, '"');
        put_rest(st, out);
        break;
    case LLM_EV_FINISH:
        if (ev->choice == 0)
            dialect_remember_finish(st, ev);
        break;
    case LLM_EV_USAGE:
        llm_usage_merge(&st->usage, &ev->usage);
        break;
    case LLM_EV_END:
        put_end(st, out);
        st->finished = true;
        break;
    case LLM_EV_CALL:
        if (ev->choice == 0)
            begin_call(st, ev);
        break;
    case LLM_EV_ARGS:
        if (ev->choice == 0)
            buf_put_strv(&st->kept, ev->text);
        break;
    case LLM_EV_CALL_END:
        return ev->choice != 0 || put_call(st, out);
    case LLM_EV_SIGNATURE:
    case LLM_EV_VECTOR:
    case LLM_EV_REASONING: /* the chunk has no place for it */
    case LLM_EV_START:
    case LLM_EV_ERROR:
        break;
    case LLM_EV_PING:
        if (ev->text.len > 0)
            put_wait(st, ev->text, out);
        break;
    }
    return !out->failed;
}

static bool encode_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    char time[TIMEFMT_MAX];
    size_t n = timefmt_rfc3339(time, st->created_us, 6);
    buf_put_cstr(out, "{\"content\":");
    dialect_put_text(out, reply, LLM_PART_TEXT);
    put_who(st, out);
    put_calls(reply, out);
    put_usage(&reply->usage, out);
    buf_put_cstr(out, ",\"finish_reason\":\"");
    buf_put_cstr(out, finish_word(reply->finish));
    buf_put_cstr(out, "\"");
    put_metadata(st, reply->finish, reply->raw_finish, &reply->usage, out);
    buf_put_cstr(out, ",\"timestamp\":");
    json_put_str(out, (strv){time, n});
    buf_put_char(out, '}');
    return !out->failed;
}

/* ---- errors ---- */

/* "messages[2].content" -> ["body","messages",2,"content"] */
static void put_loc(strv field, struct buf *out)
{
    strv dotted, step;
    buf_put_cstr(out, "[\"body\"");
    while (strv_cut(&field, '.', &dotted)) {
        for (bool first = true; strv_cut(&dotted, '[', &step); first = false) {
            buf_put_char(out, ',');
            uint64_t number;
            if (!first && step.len > 0 &&
                strv_u64((strv){step.ptr, step.len - 1}, 0, UINT32_MAX, &number))
                buf_put_u64(out, number);
            else
                json_put_str(out, step);
        }
    }
    buf_put_char(out, ']');
}

static void encode_error(int code, strv message, strv field, strv request_id, struct buf *out)
{
    const struct llm_error_row *row = llm_error_row(code);
    if (message.len == 0)
        message = strv_of(row->text);
    message.len = utf8_whole(message);
    buf_put_cstr(out, "{\"detail\":");
    if (field.len > 0) {
        buf_put_cstr(out, "[{\"loc\":");
        put_loc(field, out);
        buf_put_cstr(out, ",\"msg\":");
        json_put_str(out, message);
        buf_put_cstr(out, ",\"type\":\"value_error\"}]");
    } else {
        json_put_str(out, message);
    }
    buf_put_cstr(out, ",\"code\":");
    json_put_str(out, strv_of(row->code));
    buf_put_cstr(out, ",\"request_id\":");
    if (request_id.ptr != NULL)
        json_put_str(out, request_id);
    else
        buf_put_cstr(out, "null");
    buf_put_char(out, '}');
}

static void stream_error(struct dialect_out *st, int code, strv message, strv request_id,
                         struct buf *out)
{
    st->finished = true;
    buf_put_cstr(out, "event: error\ndata: ");
    encode_error(code, message, STRV_NONE, request_id, out);
    buf_put_cstr(out, "\n\n");
}

const struct dialect dialect_native = {
    .id = LLM_NATIVE,
    .framing = DIALECT_SSE,
    .stream_type = "text/event-stream",
    .json_type = "application/json",
    .keepalive = ": ping\n\n",
    .decode_request = decode_request,
    .encode_event = encode_event,
    .encode_reply = encode_reply,
    .encode_error = encode_error,
    .stream_error = stream_error,
};
