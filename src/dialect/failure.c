/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failure - what an upstream's error answer says and means.
 *
 * Servers answer in each other's envelopes, proxies in front of them in none, so one reader takes all:
 *
 *   {"error":{"message","type","code"}}           OpenAI and its kin; code is text or a number
 *   {"type":"error","error":{"type","message"}}   Anthropic
 *   {"error":"text"}                              Ollama
 *   {"object":"error","message",...}              old vLLM
 *   {"detail":"text" or [{"loc","msg"}]}          FastAPI
 *   text                                          Docker Model Runner
 *   HTML, nothing                                 proxies; the page is not copied, at most its title is
 *
 * The texts are for a caller's eyes only, cut to 512 bytes. They decide nothing but the four flags, and
 * those only steer which target is tried next.
 */
#include "dialect/dialect.h"

#include <stdio.h>

#define MESSAGE_BYTES_MAX 512
#define BODY_BYTES_MAX    65536 /* more of an error body is not looked at */

/* ---- error objects ---- */

static const struct {
    const char *word; /* a type or a code */
    int status;
} statuses[] = {
    {"invalid_request_error", 400},
    {"BadRequestError", 400},
    {"exceed_context_size_error", 400},
    {"context_length_exceeded", 400},
    {"authentication_error", 401},
    {"invalid_api_key", 401},
    {"permission_error", 403},
    {"not_found_error", 404},
    {"NotFoundError", 404},
    {"model_not_found", 404},
    {"request_too_large", 413},
    {"rate_limit_error", 429},
    {"rate_limit_exceeded", 429},
    {"insufficient_quota", 429},
    {"server_error", 500},
    {"api_error", 500},
    {"InternalServerError", 500},
    {"not_supported_error", 501},
    {"unavailable_error", 503},
    {"model_loading", 503},
    {"timeout_error", 504},
    {"overloaded_error", 529},
};

static int status_of(strv word)
{
    for (size_t i = 0; word.len > 0 && i < sizeof statuses / sizeof *statuses; i++)
        if (strv_eq_cstr(word, statuses[i].word))
            return statuses[i].status;
    return 0;
}

static void read_object(yyjson_val *error, struct dialect_said *out)
{
    int64_t number = json_get_int(error, "code", 0);
    uint64_t digits;
    out->message = json_get_str(error, "message");
    out->type = json_get_str(error, "type");
    out->code = json_get_str(error, "code");
    if (out->code.ptr != NULL && strv_u64(out->code, 400, 599, &digits))
        number = (int64_t)digits;
    if (number >= 400 && number <= 599)
        out->status = (int)number;
    else if (status_of(out->code) != 0)
        out->status = status_of(out->code);
    else
        out->status = status_of(out->type);
}

bool dialect_read_error(yyjson_val *root, struct dialect_said *out)
{
    *out = (struct dialect_said){.status = 0};
    yyjson_val *error = json_get(root, "error");
    if (yyjson_is_obj(error))
        read_object(error, out);
    else if (yyjson_is_str(error))
        out->message = json_str(error);
    else if (strv_eq_cstr(json_get_str(root, "object"), "error") ||
             strv_eq_cstr(json_get_str(root, "type"), "error"))
        read_object(root, out);
    else
        return error != NULL && !yyjson_is_false(error); /* an error that says nothing */
    return true;
}

/* ---- what it means ---- */

static bool has_any(strv text, const char *const *phrases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strv_contains_nocase(text, strv_of(phrases[i])))
            return true;
    return false;
}
#define HAS_ANY(text, phrases) has_any((text), (phrases), sizeof(phrases) / sizeof *(phrases))

static bool is_context(int status, const struct dialect_said *said)
{
    static const char *const phrases[] = {
        "maximum context length", "maximum model length", "context length",    "context window",
        "context size",           "prompt is too long",   "input is too large"};
    if (strv_eq_cstr(said->type, "exceed_context_size_error") ||
        strv_eq_cstr(said->code, "context_length_exceeded"))
        return true;
    /* llama-server says of an over-long embedding input, with 500, that it is "too large to process";
     * the other words may as well be about a model that does not fit the memory. */
    return (status < 500 && HAS_ANY(said->message, phrases)) ||
           strv_contains_nocase(said->message, STRV("input is too large to process"));
}

static bool is_model_missing(int status, const struct dialect_said *said)
{
    static const char *const gone[] = {"not found", "does not exist", "no such model",
                                       "not loaded"};
    if (strv_eq_cstr(said->code, "model_not_found"))
        return true;
    if (!strv_contains_nocase(said->message, STRV("model")))
        return false;
    /* llama-server's router mode and LocalAI say it with 400; a path that is not there names no model. */
    return status == 404 || (status == 400 && HAS_ANY(said->message, gone));
}

/* 500s of llama-server that another try or another server would not cure (local-engine.md). */
static bool is_caller_fault(int status, const struct dialect_said *said)
{
    static const char *const phrases[] = {
        "Failed to parse messages", "input is not supported", "' is required",
        "is too large to process",  "Missing 'role'",         "Expected 'messages'"};
    return status >= 500 &&
           (strv_eq_cstr(said->type, "invalid_request_error") || HAS_ANY(said->message, phrases));
}

/* Ollama says "NAME does not support tools", vLLM that a parser is missing, llama-server that there is no
 * projector for pictures. */
static bool is_incapable(int status, const struct dialect_said *said)
{
    static const char *const phrases[] = {
        "does not support tools",       "does not support thinking", "does not support vision",
        "does not support image",       "is not a multimodal model", "image input is not supported",
        "audio input is not supported", "--enable-auto-tool-choice", "does not support embeddings",
        "does not support chat"};
    return status >= 400 && status != 404 && HAS_ANY(said->message, phrases);
}

static bool is_loading(int status, const struct dialect_said *said, yyjson_val *root)
{
    return status == 503 &&
           (strv_contains_nocase(said->message, STRV("loading model")) ||
            strv_contains_nocase(said->message, STRV("model is loading")) ||
            strv_eq_cstr(said->code, "model_loading") || yyjson_is_obj(json_get(root, "loading")));
}

/* ---- its words ---- */

/* Valid text on one line, or nothing. */
static strv clean(strv text, struct arena *scratch)
{
    text = utf8_cut(strv_trim(text), MESSAGE_BYTES_MAX);
    if (text.len == 0 || !utf8_valid(text))
        return STRV_NONE;
    char *copy = arena_cstr(scratch, text);
    if (copy == NULL)
        return STRV_NONE;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)copy[i] < 0x20 || copy[i] == 0x7f)
            copy[i] = ' ';
    return (strv){copy, text.len};
}

/* {"detail":[{"loc":["body","messages"],"msg":"Field required"}]}: the first one, as "body.messages: ..." */
static strv read_detail(yyjson_val *detail, struct arena *scratch)
{
    if (!yyjson_is_arr(detail))
        return json_str(detail);
    yyjson_val *first = yyjson_arr_get_first(detail), *step;
    strv msg = json_get_str(first, "msg");
    struct buf text;
    buf_init(&text, 4096);
    size_t i, max;
    yyjson_arr_foreach(json_get(first, "loc"), i, max, step)
    {
        int64_t number;
        if (i > 0)
            buf_put_char(&text, '.');
        if (json_is_int(step, &number))
            buf_put_i64(&text, number);
        else
            buf_put_strv(&text, json_str(step));
    }
    if (buf_len(&text) > 0)
        buf_put_cstr(&text, ": ");
    buf_put_strv(&text, msg);
    strv whole = msg.ptr != NULL && !text.failed ? arena_strv(scratch, buf_view(&text)) : msg;
    buf_fini(&text);
    return whole;
}

static strv read_title(strv page)
{
    for (size_t at = 0; at + 7 < page.len; at++) {
        if (page.ptr[at] != '<' || !strv_eq_nocase((strv){page.ptr + at, 7}, STRV("<title>")))
            continue;
        strv rest = strv_from(page, at + 7), title;
        return strv_cut(&rest, '<', &title) ? title : STRV_NONE;
    }
    return STRV_NONE;
}

static yyjson_val *read_json(strv body, struct arena *scratch, struct dialect_said *said)
{
    struct json doc;
    struct err ignored = ERR_INIT;
    if (!json_read(&doc, body, scratch, LLM_ERR_ALL_PROVIDERS_FAILED, &ignored))
        return NULL;
    if (dialect_read_error(doc.root, said))
        return doc.root;
    if (yyjson_is_str(doc.root)) {
        said->message = json_str(doc.root);
        return doc.root;
    }
    said->message = read_detail(json_get(doc.root, "detail"), scratch);
    if (said->message.ptr == NULL)
        read_object(doc.root, said);
    return doc.root;
}

void dialect_decode_failure(int status, strv body, struct arena *scratch,
                            struct dialect_failure *out)
{
    struct dialect_said said = {.status = 0};
    yyjson_val *root = NULL;
    *out = (struct dialect_failure){.message = STRV_NONE};
    body = strv_trim(body);
    if (body.len > BODY_BYTES_MAX)
        body.len = BODY_BYTES_MAX;
    if (body.len > 0 && (body.ptr[0] == '{' || body.ptr[0] == '[' || body.ptr[0] == '"'))
        root = read_json(body, scratch, &said);
    else
        said.message = body.len > 0 && body.ptr[0] == '<' ? read_title(body) : body;
    out->message = said.message = clean(said.message, scratch);
    out->context_too_long = is_context(status, &said);
    out->model_missing = !out->context_too_long && is_model_missing(status, &said);
    out->incapable = is_incapable(status, &said);
    out->caller_fault = is_caller_fault(status, &said);
    out->loading = is_loading(status, &said, root);
    if (out->message.len > 0)
        return;
    char *generic = arena_printf(scratch, "The provider answered with status %d.", status);
    out->message =
        generic != NULL ? strv_of(generic) : STRV("The provider answered with an error.");
}
