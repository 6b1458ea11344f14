/* SPDX-License-Identifier: Apache-2.0 */
#include "advisor/read.h"

#include <string.h>

#include "dialect/dialect.h"

/* Strict, and no member twice. False: no memory. */
static bool parse(strv text, struct arena *arena, struct json *out, bool *ok)
{
    struct err err = ERR_INIT;
    *ok = json_read(out, text, arena, 0, &err) && dialect_unique(out->root, &err);
    return *ok || err.code != ERR_CODE_OOM;
}

/* ---- finding it ---- */

strv advice_after_thoughts(strv reply)
{
    static const char begin[] = "<think>", end[] = "</think>";
    reply = strv_trim(reply);
    if (!strv_starts(reply, STRV("<think>")))
        return reply;
    const char *at =
        memmem(reply.ptr + sizeof begin - 1, reply.len - (sizeof begin - 1), end, sizeof end - 1);
    if (at == NULL)
        return STRV(""); /* it thought until the end */
    return strv_trim(strv_from(reply, (size_t)(at - reply.ptr) + sizeof end - 1));
}

/* Without ```json and ``` around it. */
static strv unfenced(strv text)
{
    strv body = text, first;
    if (!strv_starts(text, STRV("```")) || !strv_cut(&body, '\n', &first) || body.ptr == NULL)
        return text;
    body = strv_trim(body);
    if (!strv_ends(body, STRV("```")))
        return text;
    body.len -= 3;
    return strv_trim(body);
}

/* Length of the object that begins the text, brackets in strings not counted; 0 = it has no end. */
static size_t balanced(strv text)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{') {
            depth++;
        } else if (c == '}' && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

/* A brace that a quoted name or another brace follows; "{coverage}" is prose. */
static bool begins_object(strv text)
{
    strv rest = strv_trim(strv_from(text, 1));
    return rest.len > 0 && (rest.ptr[0] == '"' || rest.ptr[0] == '}');
}

static bool search(strv text, struct arena *arena, struct json *out, enum advice_reason *why)
{
    *why = ADVICE_REASON_NO_JSON;
    for (size_t i = 0; i < text.len; i++) {
        strv rest = strv_from(text, i);
        bool ok;
        if (rest.ptr[0] != '{')
            continue;
        if (*why == ADVICE_REASON_NO_JSON)
            *why = ADVICE_REASON_BAD_JSON;
        if (!begins_object(rest))
            continue;
        size_t len = balanced(rest);
        if (len == 0)
            return true;
        if (!parse((strv){rest.ptr, len}, arena, out, &ok))
            return false;
        if (ok && json_get(out->root, "type") != NULL) {
            *why = ADVICE_REASON_OK;
            return true;
        }
        if (ok)
            *why = ADVICE_REASON_MISSING_TYPE;
        i += len - 1;
    }
    return true;
}

bool advice_read(strv reply, struct arena *arena, struct json *out, enum advice_reason *why)
{
    bool ok;
    *why = ADVICE_REASON_TOO_LARGE;
    if (reply.len > ADVICE_REPLY_MAX)
        return true;
    strv text = unfenced(advice_after_thoughts(reply));
    if (text.len > 0) {
        if (!parse(text, arena, out, &ok))
            return false;
        if (ok) {
            *why = yyjson_is_obj(out->root) ? ADVICE_REASON_OK : ADVICE_REASON_NOT_OBJECT;
            return true;
        }
    }
    return search(text, arena, out, why);
}
