/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai_completion - /v1/completions: a prompt in, its continuation out.
 *
 *   prompt             canonical                                        who can serve it
 *   "..." or ["..."]   one message of the user                          everybody; elsewhere it is a chat
 *   ["...", "..."]     one message, a part for each; r->inputs          this interface only
 *   [1, 2] [[1], [2]]  nothing that can be read: taken for private      this interface only
 *
 * Upstreams of this interface get the caller's own bytes. Its default of 16 tokens is theirs to apply: a chat
 * model that is asked instead has no such habit. What came back is read by openai.c; the pieces for a caller
 * are written here.
 */
#include "dialect/openai.h"
#include "dialect/reading.h"

#define PROMPTS_MAX  2048 /* OpenAI's limit of an array */
#define LOGPROBS_MAX 5
#define BEST_OF_MAX  20

/* ---- the prompt ---- */

static bool are_tokens(yyjson_val *list)
{
    size_t i, max;
    yyjson_val *v;
    int64_t token;
    yyjson_arr_foreach(list, i, max, v)
    {
        if (!json_is_int(v, &token) || token < 0)
            return false;
    }
    return yyjson_is_arr(list) && yyjson_arr_size(list) > 0;
}

/* Numbers that only the model's own vocabulary turns into words: nobody can look for names in them. */
static bool take_tokens(struct reading *rd, size_t n)
{
    rd->r->inputs = ARENA_ARRAY(rd->arena, strv, n);
    if (rd->r->inputs == NULL)
        return err_oom(rd->err);
    for (size_t i = 0; i < n; i++)
        rd->r->inputs[i] = STRV("");
    rd->r->n_inputs = n;
    rd->r->needs |= LLM_NEED_TOKEN_INPUT;
    rd->r->private_hint = true;
    rd->r->messages[0] = (struct llm_message){.role = LLM_USER};
    rd->r->n_messages = 1;
    return true;
}

static bool take_texts(struct reading *rd, yyjson_val *v, const char *field)
{
    struct llm_request *r = rd->r;
    size_t n = yyjson_is_str(v) ? 1 : yyjson_arr_size(v), i, max;
    struct llm_part *parts = ARENA_ARRAY(rd->arena, struct llm_part, n + 1); /* and a suffix */
    yyjson_val *one;
    r->inputs = ARENA_ARRAY(rd->arena, strv, n);
    if (parts == NULL || r->inputs == NULL)
        return err_oom(rd->err);
    if (yyjson_is_str(v))
        r->inputs[0] = json_str(v);
    yyjson_arr_foreach(v, i, max, one)
    {
        if (!yyjson_is_str(one))
            return invalid(rd, field, "must be a string, or an array of strings or of tokens");
        r->inputs[i] = json_str(one);
    }
    for (i = 0; i < n; i++)
        parts[i] = (struct llm_part){.kind = LLM_PART_TEXT, .text = r->inputs[i]};
    r->n_inputs = n;
    r->messages[0] = (struct llm_message){LLM_USER, parts, n};
    r->n_messages = 1;
    return true;
}

bool openai_decode_input(struct reading *rd, yyjson_val *v, const char *field, size_t most)
{
    bool list = yyjson_is_arr(v);
    if (v == NULL)
        return invalid(rd, field, "is required");
    if (!list && !yyjson_is_str(v))
        return invalid(rd, field, "must be a string, or an array of strings or of tokens");
    if (list && yyjson_arr_size(v) == 0)
        return invalid(rd, field, "must not be empty");
    rd->r->messages = ARENA_ARRAY(rd->arena, struct llm_message, 1);
    if (rd->r->messages == NULL)
        return err_oom(rd->err);
    if (are_tokens(v))
        return take_tokens(rd, 1);
    if (list && yyjson_arr_size(v) > most)
        return invalid(rd, field, "has too many members");
    if (!list || !yyjson_is_arr(yyjson_arr_get_first(v)))
        return take_texts(rd, v, field);
    size_t i, max;
    yyjson_val *one;
    yyjson_arr_foreach(v, i, max, one)
    {
        if (!are_tokens(one))
            return invalid(rd, field, "must be a string, or an array of strings or of tokens");
    }
    return take_tokens(rd, yyjson_arr_size(v));
}

/* ---- what only this interface has ---- */

static bool decode_int(struct reading *rd, yyjson_val *root, const char *name, int64_t max,
                       int64_t *out)
{
    yyjson_val *v = json_get(root, name);
    if (v == NULL || (json_is_int(v, out) && *out >= 0 && *out <= max))
        return true;
    return err_field(rd->err, LLM_ERR_INVALID_REQUEST, name,
                     "%s: must be an integer between 0 and %d", name, (int)max);
}

static bool decode_extras(struct reading *rd, yyjson_val *root)
{
    struct llm_request *r = rd->r;
    yyjson_val *suffix = json_get(root, "suffix");
    int64_t logprobs = 0, best_of = 1;
    bool echo = false;
    if (suffix != NULL && !yyjson_is_str(suffix))
        return invalid(rd, "suffix", "must be a string");
    if (!dialect_decode_bool(root, "echo", &echo, rd->err) ||
        !decode_int(rd, root, "best_of", BEST_OF_MAX, &best_of))
        return false;
    if (!yyjson_is_false(json_get(root, "logprobs")) && /* what chat says for none */
        !decode_int(rd, root, "logprobs", LOGPROBS_MAX, &logprobs))
        return false;
    /* logprobs:0 asks for those of the chosen tokens */
    bool wants_logprobs = logprobs > 0 || yyjson_is_int(json_get(root, "logprobs"));
    struct llm_message *m = &r->messages[0];
    if (yyjson_get_len(suffix) > 0 && m->parts != NULL) /* a privacy scan reads it, too */
        m->parts[m->n_parts++] = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_str(suffix)};
    if (yyjson_get_len(suffix) > 0 || echo || best_of > 1 || wants_logprobs)
        r->needs |= LLM_NEED_COMPLETION;
    if (r->n_inputs > 1)
        r->needs |= LLM_NEED_CHOICES;
    return true;
}

static bool is_own(strv name)
{
    static const char *const names[] = {"prompt", "suffix", "echo", "best_of"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strv_eq_cstr(name, names[i]))
            return true;
    return false;
}

bool openai_decode_completion(strv body, struct arena *arena, struct llm_request *out,
                              struct err *err)
{
    struct reading rd = {out, arena, err};
    *out = (struct llm_request){.dialect = LLM_OPENAI, .op = LLM_OP_GENERATE, .choices = 1};
    if (!dialect_root(&out->body, body, arena, err))
        return false;
    yyjson_val *root = out->body.root;
    if (!openai_decode_names(out, root, err) ||
        !openai_decode_input(&rd, json_get(root, "prompt"), "prompt", PROMPTS_MAX) ||
        !openai_decode_limits(out, root, err) || !openai_decode_n(out, root, err) ||
        !openai_decode_logit_bias(out, root, err) || !openai_decode_stream(out, root, err) ||
        !decode_extras(&rd, root) ||
        !dialect_decode_stops(out, json_get(root, "stop"), "stop", OPENAI_STOPS_MAX, arena, err))
        return false;
    openai_note_others(out, is_own);
    return true;
}

/* ---- the answer ---- */

static void put_text(struct dialect_out *st, int choice, strv text, struct buf *out)
{
    openai_put_chunk(st, choice, out);
    buf_put_strv(out, STRV(",\"text\":\""));
    json_put_esc(out, text);
    buf_put_strv(out, STRV("\",\"logprobs\":null,\"finish_reason\":null"));
    openai_put_chunk_end(st, out);
}

static void put_finish(struct dialect_out *st, int choice, enum llm_finish finish, struct buf *out)
{
    openai_put_chunk(st, choice, out);
    buf_put_strv(out, STRV(",\"text\":\"\",\"logprobs\":null,\"finish_reason\":\""));
    buf_put_strv(out, openai_finish_word(finish));
    buf_put_char(out, '"');
    openai_put_chunk_end(st, out);
}

bool openai_completion_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    if (st->finished || ev->kind == LLM_EV_ERROR || ev->kind == LLM_EV_PING)
        return !out->failed;
    if (!st->started) {
        st->started = true;
        st->usage = LLM_USAGE_NONE;
    }
    if (ev->kind == LLM_EV_TEXT && ev->text.len > 0) {
        st->output_bytes += ev->text.len;
        put_text(st, ev->choice, ev->text, out);
    } else if (ev->kind == LLM_EV_FINISH && ev->choice == 0) {
        st->finish = ev->finish;
    } else if (ev->kind == LLM_EV_FINISH) {
        put_finish(st, ev->choice, ev->finish, out);
    } else if (ev->kind == LLM_EV_USAGE) {
        llm_usage_merge(&st->usage, &ev->usage);
    } else if (ev->kind == LLM_EV_END) {
        put_finish(st, 0, st->finish, out);
        openai_put_end(st, out);
        st->finished = true;
    }
    return !out->failed; /* reasoning and calls have no place here */
}

bool openai_completion_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    const struct llm_usage *u = &reply->usage;
    openai_put_opening(st, "text_completion", out);
    buf_put_cstr(out, ",\"choices\":[{\"index\":0,\"text\":");
    dialect_put_text(out, reply, LLM_PART_TEXT);
    buf_put_cstr(out, ",\"logprobs\":null,\"finish_reason\":\"");
    buf_put_strv(out, openai_finish_word(reply->finish));
    buf_put_cstr(out, "\"}]");
    if (u->input >= 0 || u->output >= 0) {
        buf_put_cstr(out, ",\"usage\":");
        openai_put_usage(u, st->input_estimate, openai_guess(llm_reply_bytes(reply, LLM_PART_TEXT)),
                         out);
    }
    buf_put_char(out, '}');
    return !out->failed;
}
