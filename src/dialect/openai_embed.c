/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai_embed - /v1/embeddings: texts in, vectors out.
 *
 *   input "..." | ["...", ...]      r->inputs, and a message of as many parts, so that whoever looks for
 *                                   names in what leaves the house finds them here, too
 *   input [1, 2] | [[1, 2], ...]    tokens: for an upstream of this interface only, and taken for private
 *
 * The official clients ask for base64 without telling anybody, and many servers only know lists of numbers;
 * either form is made from either. Vectors are told in the order of their inputs, whatever the upstream's.
 */
#include "dialect/openai.h"

#include <math.h>

#include "dialect/reading.h"

#define INPUTS_MAX     16384 /* OpenAI takes 2048, local servers more */
#define DIMENSIONS_MAX 1048576

/* ---- the question ---- */

static bool is_own(strv name)
{
    static const char *const names[] = {"input", "encoding_format", "dimensions"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strv_eq_cstr(name, names[i]))
            return true;
    return false;
}

static bool decode_form(struct reading *rd, yyjson_val *root)
{
    yyjson_val *format = json_get(root, "encoding_format"), *n = json_get(root, "dimensions");
    struct llm_request *r = rd->r;
    r->base64 = strv_eq_cstr(json_str(format), "base64");
    if (format != NULL && !r->base64 && !strv_eq_cstr(json_str(format), "float"))
        return invalid(rd, "encoding_format", "must be float or base64");
    if (n != NULL &&
        !(json_is_int(n, &r->dimensions) && r->dimensions >= 1 && r->dimensions <= DIMENSIONS_MAX))
        return invalid(rd, "dimensions", "must be an integer of at least 1");
    return true;
}

bool openai_decode_embed(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                         struct err *err)
{
    struct reading rd = {out, arena, err};
    *out = (struct llm_request){
        .dialect = LLM_OPENAI, .op = op, .choices = 1, .needs = LLM_NEED_EMBED};
    if (!dialect_root(&out->body, body, arena, err))
        return false;
    yyjson_val *root = out->body.root;
    if (!openai_decode_names(out, root, err) ||
        !openai_decode_input(&rd, json_get(root, "input"), "input", INPUTS_MAX) ||
        !decode_form(&rd, root))
        return false;
    for (size_t i = 0; i < out->n_inputs; i++)
        if (out->inputs[i].len == 0 && (out->needs & LLM_NEED_TOKEN_INPUT) == 0)
            return invalid(&rd, "input", "must not be empty");
    openai_note_others(out, is_own);
    return true;
}

/* From another dialect; the same one gets the caller's own bytes. */
static bool encode_fresh(const struct llm_request *r, const struct dialect_target *t,
                         struct buf *out, uint32_t *losses, struct err *err)
{
    *losses |= r->untranslated;
    buf_put_cstr(out, "{\"model\":");
    json_put_str(out, t->model);
    buf_put_cstr(out, ",\"input\":[");
    for (size_t i = 0; i < r->n_inputs; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        json_put_str(out, r->inputs[i]);
    }
    buf_put_cstr(out, "],\"encoding_format\":\"float\"");
    if (r->dimensions > 0) {
        buf_put_cstr(out, ",\"dimensions\":");
        buf_put_i64(out, r->dimensions);
    }
    buf_put_char(out, '}');
    return out->failed ? err_oom(err) : true;
}

bool openai_encode_embed(const struct llm_request *r, const struct dialect_target *t,
                         struct arena *arena, struct buf *out, uint32_t *losses, struct err *err)
{
    *losses = 0;
    if (r->dialect != LLM_OPENAI)
        return encode_fresh(r, t, out, losses, err);
    return dialect_edit_body(r, t->model, NULL, 0, arena, out) || err_oom(err);
}

/* ---- the answer of an upstream ---- */

static bool malformed(struct err *err, const char *what)
{
    return err_set(err, LLM_ERR_ALL_PROVIDERS_FAILED, "the provider's answer is malformed: %s",
                   what);
}

static bool read_numbers(struct dialect_in *in, yyjson_val *list, struct llm_event *ev,
                         struct err *err)
{
    size_t i, max;
    yyjson_val *v;
    float *room = ARENA_ARRAY(in->scratch, float, yyjson_arr_size(list));
    if (room == NULL)
        return err_oom(err);
    yyjson_arr_foreach(list, i, max, v)
    {
        double number;
        if (!json_is_num(v, &number) || !isfinite((float)number))
            return malformed(err, "a vector has something else than numbers");
        room[i] = (float)number;
    }
    ev->vector = room;
    ev->n_vector = yyjson_arr_size(list);
    return true;
}

static bool read_vector(struct dialect_in *in, yyjson_val *v, struct llm_event *ev, struct err *err)
{
    struct err why = ERR_INIT;
    if (yyjson_is_str(v) != in->base64) /* not the form that was asked for */
        in->flaw = true;
    if (yyjson_is_arr(v)) {
        if (!read_numbers(in, v, ev, err))
            return false;
    } else if (!yyjson_is_str(v)) {
        return malformed(err, "a vector is missing");
    } else if (!media_floats_get(json_str(v), in->scratch, &ev->vector, &ev->n_vector, 0, &why)) {
        return why.code == ERR_CODE_OOM ? err_oom(err)
                                        : malformed(err, "a vector is no base64 of floats");
    }
    return ev->n_vector > 0 || malformed(err, "a vector is empty");
}

/* The rows by their index; those without one by their place. */
static bool sort_rows(struct dialect_in *in, yyjson_val *data, yyjson_val **rows, struct err *err)
{
    size_t i, max, n = yyjson_arr_size(data);
    yyjson_val *row;
    yyjson_arr_foreach(data, i, max, row)
    {
        yyjson_val *index = json_get(row, "index");
        int64_t at = (int64_t)i;
        if (index != NULL && !(json_is_int(index, &at) && at >= 0 && at < (int64_t)n))
            return malformed(err, "the index of a vector is out of range");
        if (index == NULL || at != (int64_t)i) /* strict clients want it, simple ones in order */
            in->flaw = true;
        if (rows[at] != NULL)
            return malformed(err, "two vectors have the same index");
        rows[at] = row;
    }
    return true;
}

static void emit(struct dialect_in *in, bool *stopped, const struct llm_event *ev)
{
    if (!*stopped && !in->emit(in->arg, ev))
        *stopped = true;
}

static void emit_usage(struct dialect_in *in, yyjson_val *root, bool *stopped)
{
    struct llm_event ev = {.kind = LLM_EV_USAGE, .usage = LLM_USAGE_NONE};
    int64_t n = json_get_int(json_get(root, "usage"), "prompt_tokens", -1);
    if (n < 0 || n > (int64_t)1 << 53)
        return;
    ev.usage.input = n;
    emit(in, stopped, &ev);
}

static bool read_error(struct dialect_in *in, yyjson_val *root)
{
    struct dialect_said said;
    if (!dialect_read_error(root, &said))
        return false;
    in->ended = true;
    in->emit(in->arg,
             &(struct llm_event){.kind = LLM_EV_ERROR,
                                 .text = said.message.ptr != NULL ? said.message : STRV(""),
                                 .error = said.status != 0 ? said.status : 500});
    return true;
}

bool openai_decode_embed_reply(struct dialect_in *in, strv body, struct err *err)
{
    struct json doc;
    bool stopped = false;
    if (!json_read(&doc, body, in->scratch, LLM_ERR_ALL_PROVIDERS_FAILED, err))
        return false;
    if (read_error(in, doc.root))
        return true;
    yyjson_val *data = json_get(doc.root, "data");
    size_t n = yyjson_arr_size(data);
    if (n == 0)
        return malformed(err, "no vectors");
    if (in->n_inputs > 0 && n != in->n_inputs)
        return malformed(err, "not as many vectors as inputs");
    yyjson_val **rows = ARENA_ARRAY(in->scratch, yyjson_val *, n);
    if (rows == NULL)
        return err_oom(err);
    if (!sort_rows(in, data, rows, err))
        return false;
    emit(in, &stopped,
         &(struct llm_event){
             .kind = LLM_EV_START, .text = STRV(""), .model = json_get_str(doc.root, "model")});
    for (size_t i = 0; i < n && !stopped; i++) {
        struct llm_event ev = {.kind = LLM_EV_VECTOR, .choice = (int)i};
        if (!read_vector(in, json_get(rows[i], "embedding"), &ev, err))
            return false;
        emit(in, &stopped, &ev);
    }
    in->finished = in->ended = true;
    emit(in, &stopped, &(struct llm_event){.kind = LLM_EV_FINISH, .finish = LLM_FINISH_STOP});
    emit_usage(in, doc.root, &stopped);
    emit(in, &stopped, &(struct llm_event){.kind = LLM_EV_END});
    return true;
}

/* ---- the answer for a caller ---- */

bool openai_embed_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    strv all = buf_view(&reply->vectors);
    int64_t input = reply->usage.input >= 0 ? reply->usage.input : st->input_estimate;
    buf_put_cstr(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < reply->n_vectors; i++) {
        /* floats that were appended to a buffer: aligned, since nothing else is in it */
        const float *v =
            (const float *)(const void *)(all.ptr + i * reply->dimensions * sizeof(float));
        buf_put_cstr(out, i > 0 ? ",{\"object\":\"embedding\",\"index\":"
                                : "{\"object\":\"embedding\",\"index\":");
        buf_put_u64(out, i);
        buf_put_cstr(out, ",\"embedding\":");
        if (st->base64) {
            buf_put_char(out, '"');
            media_floats_put(out, v, reply->dimensions);
            buf_put_char(out, '"');
        } else if (!dialect_put_vector(out, v, reply->dimensions)) {
            return false;
        }
        buf_put_char(out, '}');
    }
    buf_put_cstr(out, "],\"model\":");
    json_put_str(out, st->model);
    buf_put_cstr(out, ",\"usage\":{\"prompt_tokens\":");
    buf_put_i64(out, input);
    buf_put_cstr(out, ",\"total_tokens\":");
    buf_put_i64(out, input);
    buf_put_cstr(out, "}}");
    return !out->failed;
}
