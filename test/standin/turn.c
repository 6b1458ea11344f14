/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn - what the last turn of a conversation brought: tool results, images, documents.
 *
 * The reply repeats it, one line each, so that a test sees what arrived after a translation, and under which id:
 *
 *   result call_1: 18 C           text of a tool's result; "error" instead when it is marked as one
 *   image/png 68 bytes            what the decoded bytes are; of a result's own images too
 *   text/plain 12 bytes           a document given as text
 *   link https://example.org/x    not fetched
 *
 * Only messages behind the last assistant message count: what came before has had its answer.
 */
#include "standin.h"

void message_read(struct span value, struct message *m)
{
    struct scan s = scan_open(value);
    struct span key, v;
    *m = (struct message){.all = value};
    while (scan_next(&s, &key, &v)) {
        if (span_is(key, "role"))
            m->role = v;
        else if (span_is(key, "content"))
            m->content = v;
        else if (span_is(key, "tool_calls"))
            m->tool_calls = v;
        else if (span_is(key, "tool_call_id"))
            m->tool_call_id = v;
        else if (span_is(key, "tool_name"))
            m->tool_name = v;
        else if (span_is(key, "images"))
            m->images = v;
    }
}

const char *media_sniff(const void *p, size_t n)
{
    static const struct {
        const char *type, *begin;
        size_t n, at;
    } kinds[] = {
        {"image/png", "\x89PNG\r\n\x1a\n", 8, 0},
        {"image/jpeg", "\xff\xd8\xff", 3, 0},
        {"image/gif", "GIF8", 4, 0},
        {"image/webp", "WEBP", 4, 8},
        {"application/pdf", "%PDF-", 5, 0},
        {"audio/wav", "WAVE", 4, 8},
        {"audio/mp3", "ID3", 3, 0},
        {"audio/mp3", "\xff\xfb", 2, 0},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].at + kinds[i].n &&
            memcmp((const char *)p + kinds[i].at, kinds[i].begin, kinds[i].n) == 0)
            return kinds[i].type;
    return NULL;
}

bool data_uri(struct span text, struct span *type, struct span *data)
{
    static const char mark[] = ";base64,";
    if (!span_begins(text, "data:"))
        return false;
    const char *end = text.p + text.n, *p = text.p + 5;
    const char *comma = memmem(p, (size_t)(end - p), mark, sizeof mark - 1);
    if (comma == NULL)
        return false;
    const char *stop = memchr(p, ';', (size_t)(end - p)); /* there may be parameters */
    *type = (struct span){p, (size_t)(stop - p)};
    p = comma + sizeof mark - 1;
    *data = (struct span){p, (size_t)(end - p)};
    return true;
}

/* ---- one line each ---- */

static void line(struct text *say)
{
    if (say->len > 0)
        text_lit(say, "\n");
}

static void say_bytes(const char *type, int64_t n, struct text *say)
{
    line(say);
    text_str(say, type);
    text_lit(say, " ");
    text_int(say, n);
    text_lit(say, " bytes");
}

/* In plain base64, as Ollama has it, or in an Anthropic source. */
static void say_base64(struct span value, struct text *say)
{
    struct text letters = {0}, bytes = {0};
    scan_text(value, &letters);
    if (text_unbase64(&bytes, letters.data, letters.len) >= 0) {
        line(say);
        text_lit(say, "broken base64");
    } else {
        const char *type = media_sniff(bytes.data, bytes.len);
        say_bytes(type ? type : "unknown", (int64_t)bytes.len, say);
    }
    text_free(&letters);
    text_free(&bytes);
}

static void say_url(struct span value, struct text *say)
{
    struct text url = {0}, quoted = {0};
    struct span type, data;
    scan_text(value, &url);
    if (data_uri((struct span){url.data, url.len}, &type, &data)) {
        text_lit(&quoted, "\"");
        text_add(&quoted, data.p, data.n);
        text_lit(&quoted, "\"");
        say_base64((struct span){quoted.data, quoted.len}, say);
    } else {
        line(say);
        text_lit(say, "link ");
        text_add(say, url.data, url.len);
    }
    text_free(&url);
    text_free(&quoted);
}

static void say_source(struct span source, struct text *say)
{
    struct span type = scan_member(source, "type"), data = scan_member(source, "data");
    if (span_is_string(type, "base64")) {
        say_base64(data, say);
    } else if (span_is_string(type, "text")) {
        struct text plain = {0};
        scan_text(data, &plain);
        say_bytes("text/plain", (int64_t)plain.len, say);
        text_free(&plain);
    } else if (span_is_string(type, "url")) {
        say_url(scan_member(source, "url"), say);
    } else {
        line(say);
        text_lit(say, "other source");
    }
}

/* ---- parts ---- */

static void say_result(struct span id, struct span content, bool error, struct text *say);

/* True when the part was one of ours; text parts are for the caller. */
static bool say_part(struct span part, struct text *say, bool *results)
{
    struct span type = scan_member(part, "type");
    if (span_is_string(type, "image") || span_is_string(type, "document")) {
        say_source(scan_member(part, "source"), say);
    } else if (span_is_string(type, "image_url")) {
        struct span url = scan_member(part, "image_url");
        say_url(span_kind(url, '{') ? scan_member(url, "url") : url, say);
    } else if (span_is_string(type, "file")) {
        say_url(scan_member(scan_member(part, "file"), "file_data"), say);
    } else if (span_is_string(type, "input_audio")) {
        say_base64(scan_member(scan_member(part, "input_audio"), "data"), say);
    } else if (span_is_string(type, "tool_result")) {
        *results = true;
        say_result(scan_member(part, "tool_use_id"), scan_member(part, "content"),
                   span_is(scan_member(part, "is_error"), "true"), say);
    } else {
        return false;
    }
    return true;
}

static void say_result(struct span id, struct span content, bool error, struct text *say)
{
    struct scan s = scan_open(content);
    struct span none, part;
    bool more;
    line(say);
    text_str(say, error ? "error " : "result ");
    scan_text(id, say);
    text_lit(say, ": ");
    if (span_kind(content, '"')) {
        scan_text(content, say);
        return;
    }
    while (s.array && scan_next(&s, &none, &part))
        if (!say_part(part, say, &more))
            scan_text(scan_member(part, "text"), say);
}

static void say_message(const struct message *m, struct text *say, bool *results)
{
    struct span none, part;
    if (span_is_string(m->role, "tool")) {
        *results = true;
        say_result(m->tool_call_id.p ? m->tool_call_id : m->tool_name, m->content, false, say);
    } else if (span_kind(m->content, '[')) {
        struct scan s = scan_open(m->content);
        while (scan_next(&s, &none, &part))
            say_part(part, say, results);
    }
    if (m->images.p) {
        struct scan s = scan_open(m->images);
        while (scan_next(&s, &none, &part))
            say_base64(part, say);
    }
}

void turn_quote(const struct conn *c, const struct ask *a, struct text *say, bool *results)
{
    struct scan s = scan_open(a->messages);
    struct span none, value;
    struct message m;
    *results = false;
    while (scan_next(&s, &none, &value)) {
        message_read(value, &m);
        if (span_is_string(m.role, "assistant")) {
            say->len = 0;
            *results = false;
        } else {
            say_message(&m, say, results);
        }
    }
    if (c->dialect == OLLAMA_GENERATE && a->images.p) {
        s = scan_open(a->images);
        while (scan_next(&s, &none, &value))
            say_base64(value, say);
    }
}
