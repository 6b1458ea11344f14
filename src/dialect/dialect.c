/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect - the table of wire formats, and what reading a body has in common in all of them.
 *
 * Texts of errors begin with the field at fault ("temperature: must be ..."), the field stands in
 * err->field as well. Nothing of the caller's content gets into an error, only names and positions.
 */
#include "dialect/dialect.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct dialect *const dialect_table[] = {
    [LLM_OPENAI] = &dialect_openai,       [LLM_ANTHROPIC] = &dialect_anthropic,
    [LLM_OLLAMA] = &dialect_ollama,       [LLM_NATIVE] = &dialect_native,
    [LLM_RESPONSES] = &dialect_responses,
};
_Static_assert(sizeof dialect_table / sizeof *dialect_table == LLM_DIALECTS, "one row per dialect");

const struct dialect *dialect_get(enum llm_dialect id)
{
    assert(id < LLM_DIALECTS);
    return dialect_table[id];
}

void dialect_resume(struct dialect_out *st, const struct dialect_in *in)
{
    st->started = true;
    st->blocks = in->place.blocks;
    st->block_open = in->place.block_open;
    st->block_kind = in->place.block_kind;
    st->block_some = in->place.block_some;
}

const char *dialect_loss_name(unsigned bit)
{
    static const char *const names[] = {"user",
                                        "reasoning",
                                        "stop",
                                        "name",
                                        "other",
                                        "cache_control",
                                        "tool_choice",
                                        "parallel_tool_calls",
                                        "strict",
                                        "json_mode",
                                        "reasoning_effort",
                                        "detail",
                                        "citations",
                                        "service_tier",
                                        "metadata",
                                        "dimensions",
                                        "keep_alive",
                                        "tool_arguments"};
    _Static_assert(sizeof names / sizeof *names == DIALECT_LOSSES - LLM_PARAMS, "one name per bit");
    _Static_assert(DIALECT_LOSSES <= 32, "losses are bits of a uint32_t");
    assert(bit < DIALECT_LOSSES);
    return bit < LLM_PARAMS ? llm_params[bit].id : names[bit - LLM_PARAMS];
}

bool dialect_bad(struct err *err, int code, const char *field, const char *what)
{
    return err_field(err, code, field, "%s: %s", field, what);
}

void dialect_put_text(struct buf *out, const struct llm_reply *reply, enum llm_part_kind kind)
{
    buf_put_char(out, '"');
    for (size_t i = 0; i < reply->n_parts; i++)
        if (reply->parts[i].kind == kind && !reply->parts[i].redacted)
            json_put_esc(out, llm_reply_text(reply, &reply->parts[i]));
    buf_put_char(out, '"');
}

/* ---- the root object, without duplicate members ---- */

static int key_order(const void *a, const void *b)
{
    yyjson_val *const *x = a, *const *y = b;
    return strv_cmp(json_str(*x), json_str(*y));
}

/* A caller's own key goes into the text only if it is plainly a name. */
static bool duplicate(strv key, struct err *err)
{
    bool plain = key.len > 0 && key.len <= 40;
    for (size_t i = 0; plain && i < key.len; i++)
        plain = (key.ptr[i] >= 'a' && key.ptr[i] <= 'z') || key.ptr[i] == '_';
    if (plain)
        return err_set(err, LLM_ERR_INVALID_REQUEST, "the member \"" STRV_FMT "\" occurs twice",
                       STRV_ARG(key));
    return err_set(err, LLM_ERR_INVALID_REQUEST, "a member occurs twice in one object");
}

/* Comparing each with each is quickest for the few members that real objects have, and a gift to an
 * attacker beyond that. */
#define FEW 16
/* Sorting more than this takes the time that others wait for; no real object has as many. */
#define MEMBERS_MAX 16384

static bool unique_few(yyjson_val *obj, struct err *err)
{
    strv seen[FEW];
    size_t n = 0, at, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(obj, at, max, key, value)
    {
        strv name = json_str(key);
        for (size_t i = 0; i < n; i++)
            if (strv_eq(seen[i], name))
                return duplicate(name, err);
        seen[n++] = name;
    }
    return true;
}

static bool unique_many(yyjson_val *obj, struct err *err)
{
    if (yyjson_obj_size(obj) > MEMBERS_MAX)
        return err_set(err, LLM_ERR_INVALID_REQUEST, "an object has more than %d members",
                       MEMBERS_MAX);
    yyjson_val **keys = mem_alloc(yyjson_obj_size(obj) * sizeof(*keys));
    if (keys == NULL)
        return err_oom(err);
    size_t n = 0, at, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(obj, at, max, key, value)
    {
        keys[n++] = key;
    }
    qsort(keys, n, sizeof(*keys), key_order);
    bool ok = true;
    for (size_t i = 1; ok && i < n; i++)
        if (strv_eq(json_str(keys[i - 1]), json_str(keys[i])))
            ok = duplicate(json_str(keys[i]), err);
    mem_free(keys);
    return ok;
}

/* Recursion is as deep as JSON_DEPTH_MAX at most. */
bool dialect_unique(yyjson_val *v, struct err *err)
{
    size_t at, max;
    yyjson_val *key, *value;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, at, max, value)
        {
            if (yyjson_is_ctn(value) && !dialect_unique(value, err))
                return false;
        }
    } else if (yyjson_is_obj(v)) {
        if (yyjson_obj_size(v) <= FEW ? !unique_few(v, err) : !unique_many(v, err))
            return false;
        yyjson_obj_foreach(v, at, max, key, value)
        {
            if (yyjson_is_ctn(value) && !dialect_unique(value, err))
                return false;
        }
    }
    return true;
}

/* ---- what is written in more than one dialect ---- */

/* Outside of strings JSON may hold line ends, which would end a line or an event of a stream. */
static void one_line(struct buf *out, size_t from)
{
    for (size_t i = out->start + from; i < out->end; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
}

bool dialect_put_arguments(struct buf *out, strv text)
{
    size_t from = buf_len(out);
    struct arena arena;
    struct json doc;
    struct err err = ERR_INIT;
    text = strv_trim(text);
    if (text.len == 0)
        return buf_put_cstr(out, "{}");
    arena_init(&arena, 4096, SIZE_MAX / 2); /* a small multiple of the text, which has its limit */
    bool ok = json_read(&doc, text, &arena, LLM_ERR_INVALID_REQUEST, &err) &&
              (!yyjson_is_ctn(doc.root) || dialect_unique(doc.root, &err));
    if (ok && yyjson_is_obj(doc.root)) {
        buf_put_strv(out, text);
    } else if (ok) {
        buf_put_cstr(out, "{\"value\":");
        buf_put_strv(out, text);
        buf_put_char(out, '}');
    } else if (err.code == ERR_CODE_OOM) {
        out->failed = true;
    } else {
        buf_put_cstr(out, "{\"_raw\":");
        json_put_str(out, text);
        buf_put_char(out, '}');
    }
    arena_fini(&arena);
    one_line(out, from);
    return !out->failed;
}

static void keep_text(char *to, size_t size, strv text)
{
    text = utf8_cut(text, size - 1);
    if (text.len > 0)
        memcpy(to, text.ptr, text.len);
    to[text.len] = '\0';
}

void dialect_remember_finish(struct dialect_out *st, const struct llm_event *ev)
{
    st->finish = ev->finish;
    keep_text(st->raw_finish, sizeof st->raw_finish, ev->raw_finish);
    keep_text(st->stop_sequence, sizeof st->stop_sequence, ev->stop_sequence);
}

/* Of ten: at or one below that of the first digit. */
static int magnitude(double v)
{
    int binary;
    (void)frexp(v, &binary);
    int scaled = (binary - 1) * 30103; /* log10(2) is 0.30103 */
    return scaled >= 0 ? scaled / 100000 : -((-scaled + 99999) / 100000);
}

/* The double nearest to the value in that many decimal digits (or one more): a whole number divided by a
 * power of ten is rounded once, as long as both are exact. */
static double in_digits(double v, int digits)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int shift = digits - 1 - magnitude(v);
    if (shift < 0 || shift >= (int)(sizeof powers / sizeof *powers))
        return v;
    return (double)(int64_t)(v * powers[shift] + (v < 0 ? -0.5 : 0.5)) / powers[shift];
}

bool dialect_put_vector(struct buf *out, const float *vector, size_t n)
{
    buf_put_char(out, '[');
    for (size_t i = 0; i < n && !out->failed; i++) {
        double shown = (double)vector[i];
        if (!isfinite(shown)) {
            out->failed = true;
            return false;
        }
        for (int digits = 6; digits <= 9 && vector[i] != 0; digits++) { /* nine always do */
            double shorter = in_digits((double)vector[i], digits);
            if ((float)shorter == vector[i]) {
                shown = shorter;
                break;
            }
        }
        if (i > 0)
            buf_put_char(out, ',');
        json_put_num(out, shown);
    }
    return buf_put_char(out, ']');
}

/* ---- names that are the same for some ---- */

/* Go's servers (Ollama, LocalAI) find a member by its name without regard to case, and take the last one
 * that fits: to them {"model":"here","Model":"there"} asks for "there". So a known name in other letters is
 * refused where members have a meaning: at the root, in messages and in their parts. */
static strv fold_name(strv name, char out[32])
{
    size_t n = 0, at = 0;
    while (at < name.len && n < 32) {
        strv rest = strv_from(name, at);
        bool long_s =
            strv_starts(rest, STRV("\xc5\xbf")); /* U+017F, an s in Unicode's simple folding */
        bool kelvin = strv_starts(rest, STRV("\xe2\x84\xaa")); /* U+212A, a k */
        char c = rest.ptr[0];
        out[n++] = (char)(long_s ? 's' : kelvin ? 'k' : c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        at += long_s ? 2 : kelvin ? 3 : 1;
    }
    return (strv){out, at == name.len ? n : 0};
}

/* Names with a meaning, in any dialect. */
static const char *const meaningful[] = {"arguments",
                                         "audio",
                                         "best_of",
                                         "cache_control",
                                         "call_id",
                                         "citations",
                                         "container",
                                         "content",
                                         "context",
                                         "conversation",
                                         "description",
                                         "detail",
                                         "dimensions",
                                         "echo",
                                         "encoding_format",
                                         "file",
                                         "file_data",
                                         "filename",
                                         "format",
                                         "function",
                                         "function_call",
                                         "functions",
                                         "image_url",
                                         "images",
                                         "include",
                                         "input",
                                         "input_audio",
                                         "input_schema",
                                         "instructions",
                                         "keep_alive",
                                         "logit_bias",
                                         "logprobs",
                                         "max_completion_tokens",
                                         "max_output_tokens",
                                         "max_tokens",
                                         "mcp_servers",
                                         "messages",
                                         "metadata",
                                         "modalities",
                                         "model",
                                         "n",
                                         "name",
                                         "options",
                                         "output",
                                         "output_config",
                                         "output_format",
                                         "parallel_tool_calls",
                                         "parameters",
                                         "prediction",
                                         "previous_response_id",
                                         "prompt",
                                         "provider",
                                         "raw",
                                         "reasoning",
                                         "reasoning_content",
                                         "reasoning_effort",
                                         "refusal",
                                         "repetition_penalty",
                                         "response_format",
                                         "role",
                                         "safety_identifier",
                                         "shift",
                                         "source",
                                         "stop",
                                         "stop_sequences",
                                         "stream",
                                         "stream_options",
                                         "suffix",
                                         "system",
                                         "template",
                                         "text",
                                         "think",
                                         "thinking",
                                         "tool_call_id",
                                         "tool_calls",
                                         "tool_choice",
                                         "tool_name",
                                         "tool_use_id",
                                         "tools",
                                         "top_logprobs",
                                         "truncate",
                                         "truncation",
                                         "type",
                                         "url",
                                         "user",
                                         "web_search_options"};

static bool is_disguised(strv name)
{
    char room[32];
    bool plain = true;
    for (size_t i = 0; i < name.len && plain; i++)
        plain = (name.ptr[i] < 'A' || name.ptr[i] > 'Z') && (name.ptr[i] & 0x80) == 0;
    if (plain)
        return false;
    strv folded = fold_name(name, room);
    for (size_t i = 0; i < sizeof meaningful / sizeof *meaningful; i++)
        if (strv_eq_cstr(folded, meaningful[i]))
            return true;
    for (int p = 0; p < LLM_PARAMS; p++)
        for (int d = 0; d < LLM_DIALECTS; d++)
            if (llm_params[p].name[d] != NULL && strv_eq_cstr(folded, llm_params[p].name[d]))
                return true;
    return false;
}

/* Objects that are read member by member; a schema or arguments have names of the caller's own. */
static bool is_nested(strv name)
{
    static const char *const names[] = {
        "file",        "function",        "function_call", "image_url",  "input_audio",
        "json_schema", "response_format", "source",        "tool_choice"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strv_eq_cstr(name, names[i]))
            return true;
    return false;
}

/* `levels` of objects below this one, through arrays. */
static bool undisguised(yyjson_val *v, int levels, struct err *err)
{
    size_t at, max;
    yyjson_val *key, *value;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, at, max, value)
        {
            if (yyjson_is_obj(value) && !undisguised(value, levels, err))
                return false;
        }
        return true;
    }
    yyjson_obj_foreach(v, at, max, key, value)
    {
        strv name = json_str(key);
        if (is_disguised(name))
            return err_set(err, LLM_ERR_INVALID_REQUEST,
                           "the member \"" STRV_FMT "\" must be written in lower case",
                           STRV_ARG(name));
        if (levels > 0 && yyjson_is_arr(value) && !undisguised(value, levels - 1, err))
            return false;
        if (yyjson_is_obj(value) && is_nested(name) && !undisguised(value, 0, err))
            return false;
    }
    return true;
}

bool dialect_root(struct json *doc, strv body, struct arena *arena, struct err *err)
{
    if (strv_trim(body).len == 0)
        return err_set(err, LLM_ERR_INVALID_REQUEST,
                       "the body is empty, a JSON object is expected");
    if (!json_read(doc, body, arena, LLM_ERR_INVALID_REQUEST, err))
        return false;
    if (!yyjson_is_obj(doc->root))
        return err_set(err, LLM_ERR_INVALID_REQUEST, "the body must be a JSON object");
    return dialect_unique(doc->root, err) && undisguised(doc->root, 2, err);
}

/* ---- members ---- */

static bool param_range(const struct llm_param_row *row, const char *field, struct err *err)
{
    const char *kind = row->kind == LLM_KIND_INT ? "an integer" : "a number";
    if (row->max == INT32_MAX)
        return err_field(err, LLM_ERR_INVALID_REQUEST, field, "%s: must be %s of at least %.17g",
                         field, kind, row->min);
    return err_field(err, LLM_ERR_INVALID_REQUEST, field, "%s: must be %s between %.17g and %.17g",
                     field, kind, row->min, row->max);
}

bool dialect_decode_param(struct llm_request *r, enum llm_param p, enum llm_dialect d,
                          yyjson_val *v, const char *field, struct err *err)
{
    const struct llm_param_row *row = &llm_params[p];
    double value;
    int64_t whole;
    if (!json_is_num(v, &value))
        return param_range(row, field, err);
    if (row->kind == LLM_KIND_INT) {
        if (d == LLM_OLLAMA && value > -0x1p62 && value < 0x1p62)
            value = (double)(int64_t)value; /* Ollama takes 40.5 for 40 */
        else if (!json_is_int(v, &whole))
            return param_range(row, field, err);
    }
    /* Ollama's -1 (no limit) and -2 (until the context is full): no wish of the caller's. */
    if (d == LLM_OLLAMA && p == LLM_P_MAX_TOKENS && value <= 0)
        return true;
    if (!(value >= row->min && value <= row->max))
        return param_range(row, field, err);
    llm_set(r, p, value);
    return true;
}

bool dialect_decode_params(struct llm_request *r, enum llm_dialect d, yyjson_val *obj,
                           const char *prefix, struct err *err)
{
    for (int p = 0; p < LLM_PARAMS; p++) {
        const char *name = llm_params[p].name[d];
        yyjson_val *v = name != NULL ? json_get(obj, name) : NULL;
        if (v == NULL)
            continue;
        char field[64];
        snprintf(field, sizeof field, "%s%s", prefix, name);
        if (!dialect_decode_param(r, (enum llm_param)p, d, v, field, err))
            return false;
    }
    return true;
}

bool dialect_decode_stops(struct llm_request *r, yyjson_val *v, const char *field, size_t max,
                          struct arena *arena, struct err *err)
{
    if (v == NULL || yyjson_is_null(v))
        return true;
    if (!yyjson_is_str(v) && !yyjson_is_arr(v))
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, field,
                           "must be a string or an array of strings");
    size_t n = yyjson_is_arr(v) ? yyjson_arr_size(v) : 1;
    if (n > max)
        return err_field(err, LLM_ERR_INVALID_REQUEST, field, "%s: takes at most %zu strings",
                         field, max);
    r->n_stops = 0;
    r->stops = ARENA_ARRAY(arena, strv, n + 1);
    if (r->stops == NULL)
        return err_oom(err);
    if (yyjson_is_str(v)) {
        if (yyjson_get_len(v) > 0)
            r->stops[r->n_stops++] = json_str(v);
        return true;
    }
    size_t at, count;
    yyjson_val *one;
    yyjson_arr_foreach(v, at, count, one)
    {
        if (!yyjson_is_str(one)) {
            char item[64];
            snprintf(item, sizeof item, "%.40s[%zu]", field, at);
            return dialect_bad(err, LLM_ERR_INVALID_REQUEST, item, "must be a string");
        }
        if (yyjson_get_len(one) > 0) /* an empty one would stop before the first token */
            r->stops[r->n_stops++] = json_str(one);
    }
    return true;
}

bool dialect_decode_bool(yyjson_val *obj, const char *key, bool *out, struct err *err)
{
    yyjson_val *v = json_get(obj, key);
    if (v == NULL)
        return true;
    if (!yyjson_is_bool(v))
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, key, "must be true or false");
    *out = yyjson_get_bool(v);
    return true;
}

bool dialect_is_nothing(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v) || yyjson_is_false(v) ||
           (yyjson_is_str(v) && yyjson_get_len(v) == 0) ||
           (yyjson_is_ctn(v) && unsafe_yyjson_get_len(v) == 0);
}

/* ---- the caller's own bytes with some members replaced ---- */

struct splice {
    size_t at, len;  /* what goes out of the source */
    const char *key; /* a member to insert: its name; NULL = only a value is replaced */
    strv json;       /* STRV_NONE = the model's name */
};

static int splice_order(const void *a, const void *b)
{
    const struct splice *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

bool dialect_edit_body(const struct llm_request *r, strv model, const struct dialect_edit *edits,
                       size_t n, struct arena *arena, struct buf *out)
{
    const struct json *doc = &r->body;
    strv text = doc->text;
    struct splice *cuts = ARENA_ARRAY(arena, struct splice, n + 1);
    if (cuts == NULL)
        return false;
    size_t open = (size_t)(strv_trim(text).ptr - text.ptr); /* of the root's brace */
    assert(open < text.len && text.ptr[open] == '{');
    bool empty = yyjson_obj_size(doc->root) == 0;
    for (size_t i = 0; i <= n; i++) {
        struct splice *s = &cuts[i];
        const char *key = i < n ? edits[i].key : "model";
        s->json = i < n ? edits[i].json : STRV_NONE;
        strv old;
        if (json_raw_member(doc, doc->root, key, &old)) {
            s->at = (size_t)(old.ptr - text.ptr);
            s->len = old.len;
        } else {
            s->key = key;
            s->at = open + 1;
        }
    }
    qsort(cuts, n + 1, sizeof(*cuts), splice_order);
    size_t done = 0;
    for (size_t i = 0; i <= n; i++) {
        const struct splice *s = &cuts[i];
        buf_put(out, text.ptr + done, s->at - done);
        if (s->key != NULL) {
            json_put_str(out, strv_of(s->key));
            buf_put_char(out, ':');
        }
        if (s->json.ptr != NULL)
            buf_put_strv(out, s->json);
        else
            json_put_str(out, model);
        if (s->key != NULL && !(empty && i == n))
            buf_put_char(out, ',');
        done = s->at + s->len;
    }
    buf_put(out, text.ptr + done, text.len - done);
    return !out->failed;
}
