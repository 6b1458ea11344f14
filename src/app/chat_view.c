/* SPDX-License-Identifier: Apache-2.0 */
#include "app/chat_view.h"

#include <string.h>

#define TEXT_MAX       ((size_t)64 * 1024 * 1024)
#define LINE_MAX_BYTES 400 /* of arguments and results in a note */

void chat_view_init(struct chat_view *v, bool color, bool terminal, size_t width)
{
    *v = (struct chat_view){.color = color};
    buf_init(&v->answer, TEXT_MAX);
    buf_init(&v->note, TEXT_MAX);
    markdown_init(&v->markdown, width, color && terminal);
    v->markdown.raw = !terminal;
}

void chat_view_fini(struct chat_view *v)
{
    buf_fini(&v->answer);
    buf_fini(&v->note);
    markdown_fini(&v->markdown);
}

void chat_view_width(struct chat_view *v, size_t width)
{
    v->markdown.width = width;
}

/* ---- pieces ---- */

static void keep(char *out, size_t size, yyjson_val *frame, const char *key)
{
    strv text = json_get_str(frame, key);
    if (text.ptr == NULL)
        return;
    text = utf8_cut(text, size - 1);
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
}

static void keep_bool(bool *out, yyjson_val *frame, const char *key)
{
    yyjson_val *v = json_get(frame, key);
    if (yyjson_is_bool(v))
        *out = yyjson_get_bool(v);
}

/* A line of its own, beside the answer. */
static void note(struct chat_view *v, enum term_style style, const char *text)
{
    markdown_end(&v->markdown, &v->answer);
    term_put(&v->note, v->color, style, text);
    buf_put_char(&v->note, '\n');
}

static void note_buf(struct chat_view *v, enum term_style style, struct buf *text)
{
    buf_put_char(text, '\0');
    if (text->failed)
        v->note.failed = true;
    else
        note(v, style, text->data + text->start);
    buf_fini(text);
}

/* Cut where it is long: a line is to be read, not searched. */
static void put_short(struct buf *to, strv text)
{
    strv cut = utf8_cut(text, LINE_MAX_BYTES);
    if (cut.ptr != NULL)
        buf_put_strv(to, cut);
    if (cut.len < text.len)
        buf_put_cstr(to, " ...");
}

static void put_value(struct buf *to, yyjson_val *value, struct arena *scratch)
{
    struct buf json;
    buf_init(&json, TEXT_MAX);
    if (value != NULL && json_put_val(&json, value, scratch))
        put_short(to, buf_view(&json));
    to->failed = to->failed || json.failed;
    buf_fini(&json);
}

/* ---- the session ---- */

static void take_settings(struct chat_view *v, yyjson_val *frame)
{
    keep(v->mode, sizeof v->mode, frame, "mode");
    keep(v->model, sizeof v->model, frame, "model");
    keep(v->title, sizeof v->title, frame, "title");
    keep_bool(&v->is_private, frame, "private");
    keep_bool(&v->kept, frame, "kept");
    keep_bool(&v->tools, frame, "tools");
}

static enum chat_news take_connected(struct chat_view *v, yyjson_val *frame)
{
    v->missed = v->session[0] != '\0';
    keep(v->session, sizeof v->session, frame, "session_id");
    take_settings(v, frame);
    /* what ran when the connection was lost may have ended since: history tells */
    v->running = v->running || yyjson_is_true(json_get(frame, "running"));
    return CHAT_NEWS_CONNECTED;
}

static enum chat_news take_session(struct chat_view *v, yyjson_val *frame)
{
    bool was = v->is_private;
    take_settings(v, frame);
    if (v->is_private && !was)
        note(v, TERM_DIM, "This conversation is private now: it stays with local models.");
    return CHAT_NEWS_NONE;
}

/* ---- an answer ---- */

static void show(struct chat_view *v, strv text)
{
    if (text.len == 0)
        return;
    v->thinking = false;
    v->shown += text.len;
    markdown_feed(&v->markdown, text, &v->answer);
}

static void begin(struct chat_view *v, int64_t n)
{
    v->answered = n > 0 && n <= UINT32_MAX ? (uint32_t)n : v->answered;
    v->shown = 0;
    v->thinking = false;
    v->running = true;
    v->approval[0] = '\0';
}

static void put_part(struct buf *line, strv text)
{
    if (text.len == 0)
        return;
    buf_put_cstr(line, buf_len(line) > 0 ? " \xc2\xb7 " : "");
    put_short(line, text);
}

/* From `complete`, or from "facts" of a message, which has the same members. */
static void put_badge(struct chat_view *v, yyjson_val *facts)
{
    struct buf line;
    char text[64];
    double speed;
    int64_t ms = json_get_int(facts, "total_ms", -1),
            cost = json_get_int(facts, "cost_micro_usd", -1);
    buf_init(&line, 4096);
    put_part(&line, json_get_str(facts, "zone"));
    put_part(&line, json_get_str(facts, "model"));
    put_part(&line, json_get_str(facts, "provider"));
    if (ms >= 0) {
        snprintf(text, sizeof text, "%.1f s", (double)ms / 1000);
        put_part(&line, strv_of(text));
    }
    if (json_is_num(json_get(facts, "tokens_per_s"), &speed)) {
        snprintf(text, sizeof text, "%.1f tokens/s", speed);
        put_part(&line, strv_of(text));
    }
    if (cost >= 0) {
        snprintf(text, sizeof text, "$%lld.%06lld", (long long)(cost / 1000000),
                 (long long)(cost % 1000000));
        put_part(&line, strv_of(text));
    }
    v->was_private = yyjson_is_true(json_get(facts, "private"));
    put_part(&line, v->was_private ? STRV("private") : STRV(""));
    put_part(&line, json_get_str(facts, "why"));
    if (buf_len(&line) > 0)
        note_buf(v, TERM_DIM, &line);
    buf_fini(&line);
}

static enum chat_news end(struct chat_view *v, enum chat_news how)
{
    markdown_end(&v->markdown, &v->answer);
    v->running = v->waits = false;
    v->approval[0] = '\0';
    return how;
}

static enum chat_news take_complete(struct chat_view *v, yyjson_val *frame)
{
    put_badge(v, frame);
    return end(v, CHAT_NEWS_WHOLE);
}

static enum chat_news take_interrupted(struct chat_view *v, yyjson_val *frame)
{
    if (json_get(frame, "n") == NULL)
        return CHAT_NEWS_NONE; /* there was nothing to stop */
    note(v, TERM_DIM, "(stopped)");
    return end(v, CHAT_NEWS_STOPPED);
}

static enum chat_news take_error(struct chat_view *v, yyjson_val *frame)
{
    struct buf line;
    int64_t after = json_get_int(frame, "retry_after", 0);
    buf_init(&line, 8192);
    put_short(&line, json_get_str(frame, "message"));
    if (after > 0)
        buf_printf(&line, " (try again in %lld s)", (long long)after);
    note_buf(v, TERM_BAD, &line);
    if (json_get(frame, "n") != NULL)
        return end(v, CHAT_NEWS_FAILED);
    if (v->running)
        return CHAT_NEWS_NONE;
    v->waits = false;
    return CHAT_NEWS_FAILED;
}

/* ---- tools ---- */

static enum chat_news take_call(struct chat_view *v, yyjson_val *frame, struct arena *scratch)
{
    struct buf line;
    strv server = json_get_str(frame, "server");
    buf_init(&line, 8192);
    buf_put_cstr(&line, "> ");
    put_short(&line, json_get_str(frame, "name"));
    if (server.len > 0) {
        buf_put_cstr(&line, " of ");
        put_short(&line, server);
    }
    buf_put_char(&line, ' ');
    put_value(&line, json_get(frame, "input"), scratch);
    note_buf(v, TERM_DIM, &line);
    return CHAT_NEWS_NONE;
}

static enum chat_news take_result(struct chat_view *v, yyjson_val *frame, struct arena *scratch)
{
    struct buf line;
    yyjson_val *result = json_get(frame, "result");
    strv text = json_get_str(result, "text"), quality = json_get_str(frame, "quality");
    bool failed = yyjson_is_true(json_get(frame, "is_error"));
    buf_init(&line, 8192);
    buf_put_cstr(&line, failed ? "< failed: " : "< ");
    if (text.ptr != NULL)
        put_short(&line, text);
    else
        put_value(&line, result, scratch);
    if (quality.len > 0) {
        buf_put_cstr(&line, " [quality: ");
        put_short(&line, quality);
        buf_put_char(&line, ']');
    }
    note_buf(v, failed ? TERM_BAD : TERM_DIM, &line);
    return CHAT_NEWS_NONE;
}

static enum chat_news take_approval(struct chat_view *v, yyjson_val *frame, struct arena *scratch)
{
    struct buf line;
    yyjson_val *input = json_get(frame, "input");
    keep(v->approval, sizeof v->approval, frame, "id");
    buf_init(&line, TEXT_MAX);
    buf_put_cstr(&line, "Approval: ");
    put_short(&line, json_get_str(frame, "name"));
    buf_put_cstr(&line, " of ");
    put_short(&line, json_get_str(frame, "server"));
    buf_put_cstr(&line, " (");
    put_short(&line, json_get_str(frame, "effect"));
    buf_put_cstr(&line, ") ");
    if (input != NULL) /* whole: nobody approves what he was not shown */
        json_put_val(&line, input, scratch);
    note_buf(v, TERM_BOLD, &line);
    return CHAT_NEWS_APPROVAL;
}

static enum chat_news take_decided(struct chat_view *v, yyjson_val *frame)
{
    struct buf line;
    if (strv_eq_cstr(json_get_str(frame, "id"), v->approval))
        v->approval[0] = '\0';
    buf_init(&line, 8192);
    buf_put_cstr(&line, "Decided: ");
    put_short(&line, json_get_str(frame, "decision"));
    if (json_get_str(frame, "by").len > 0) {
        buf_put_cstr(&line, " by ");
        put_short(&line, json_get_str(frame, "by"));
    }
    note_buf(v, TERM_DIM, &line);
    return CHAT_NEWS_DECIDED;
}

/* ---- the rest ---- */

static enum chat_news take_summary(struct chat_view *v, yyjson_val *frame)
{
    struct buf line;
    buf_init(&line, 200);
    buf_printf(&line, "The window is full: %lld older messages %s.",
               (long long)json_get_int(frame, "messages", 0),
               json_get_str(frame, "model").len > 0 ? "went into a summary, made locally"
                                                    : "were left out");
    note_buf(v, TERM_DIM, &line);
    return CHAT_NEWS_NONE;
}

static enum chat_news take_notice(struct chat_view *v, yyjson_val *frame)
{
    struct buf line;
    buf_init(&line, 8192);
    put_short(&line, json_get_str(frame, "message"));
    note_buf(v, TERM_DIM, &line);
    return CHAT_NEWS_NONE;
}

static enum chat_news take_message(struct chat_view *v, yyjson_val *frame)
{
    int64_t n = json_get_int(json_get(frame, "message"), "n", 0);
    v->asked = n > 0 && n <= UINT32_MAX ? (uint32_t)n : v->asked;
    return CHAT_NEWS_NONE;
}

/* The running answer's rest, and its end if that came while nobody was connected. */
static enum chat_news catch_up(struct chat_view *v, yyjson_val *message)
{
    strv content = json_get_str(message, "content"), state = json_get_str(message, "state");
    if (content.len > v->shown)
        show(v, strv_from(content, v->shown));
    if (strv_eq_cstr(state, "running"))
        return CHAT_NEWS_NONE;
    put_badge(v, json_get(message, "facts"));
    if (strv_eq_cstr(state, "complete"))
        return end(v, CHAT_NEWS_WHOLE);
    note(v, TERM_DIM, "(it was cut)");
    return end(v, CHAT_NEWS_STOPPED);
}

/* Is this the answer that we have not seen the end of? */
static bool is_due(const struct chat_view *v, int64_t n, yyjson_val *message)
{
    if (v->running && v->answered > 0)
        return n == v->answered;
    if (v->running && strv_eq_cstr(json_get_str(message, "state"), "running"))
        return true;
    return v->missed && v->waits && n > v->answered;
}

static enum chat_news take_history(struct chat_view *v, yyjson_val *frame)
{
    yyjson_val *one, *due = NULL, *newest = NULL;
    size_t i, n;
    bool was_due = v->missed && (v->running || v->waits);
    yyjson_arr_foreach(json_get(frame, "messages"), i, n, one)
    {
        int64_t number = json_get_int(one, "n", 0);
        if (number <= 0 || number > UINT32_MAX)
            continue;
        if (!strv_eq_cstr(json_get_str(one, "role"), "assistant"))
            v->asked = (uint32_t)number;
        else if ((newest = one) != NULL && is_due(v, number, one))
            due = one;
    }
    v->missed = false;
    if (due != NULL) {
        if (json_get_int(due, "n", 0) != v->answered)
            begin(v, json_get_int(due, "n", 0));
        return catch_up(v, due);
    }
    if (newest != NULL)
        v->answered = (uint32_t)json_get_int(newest, "n", 0);
    return was_due ? end(v, CHAT_NEWS_FAILED) : CHAT_NEWS_NONE;
}

static enum chat_news take_begin(struct chat_view *v, yyjson_val *frame)
{
    begin(v, json_get_int(frame, "n", 0));
    return CHAT_NEWS_BEGUN;
}

static enum chat_news take_token(struct chat_view *v, yyjson_val *frame)
{
    show(v, json_get_str(frame, "content"));
    return CHAT_NEWS_NONE;
}

static enum chat_news take_reasoning(struct chat_view *v, yyjson_val *frame)
{
    (void)frame;
    if (!v->thinking && v->shown == 0)
        note(v, TERM_DIM, "(thinking)");
    v->thinking = true;
    return CHAT_NEWS_NONE;
}

enum chat_news chat_view_take(struct chat_view *v, yyjson_val *frame, struct arena *scratch)
{
    static const struct {
        const char *type;
        enum chat_news (*take)(struct chat_view *v, yyjson_val *frame);
        enum chat_news (*take_more)(struct chat_view *v, yyjson_val *frame, struct arena *scratch);
    } rows[] = {
        {"token", take_token, NULL},         {"reasoning", take_reasoning, NULL},
        {"connected", take_connected, NULL}, {"session", take_session, NULL},
        {"message", take_message, NULL},     {"begin", take_begin, NULL},
        {"tool_call", NULL, take_call},      {"tool_result", NULL, take_result},
        {"approval", NULL, take_approval},   {"decided", take_decided, NULL},
        {"complete", take_complete, NULL},   {"interrupted", take_interrupted, NULL},
        {"error", take_error, NULL},         {"summary", take_summary, NULL},
        {"notice", take_notice, NULL},       {"history", take_history, NULL},
    };
    strv type = json_get_str(frame, "type");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strv_eq_cstr(type, rows[i].type))
            return rows[i].take != NULL ? rows[i].take(v, frame)
                                        : rows[i].take_more(v, frame, scratch);
    return CHAT_NEWS_NONE;
}
