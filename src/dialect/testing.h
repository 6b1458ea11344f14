/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testing - what the unit tests of the wire formats share: events as a line of text, so that a test can
 * state a whole answer, and the recorded exchanges of test/data/.
 *
 *   start(id,model) text(Hel) text(lo) finish(stop:stop) usage(in=3,out=2) end
 */
#ifndef DIALECT_TESTING_H
#define DIALECT_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "dialect/dialect.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- events as text ---- */

struct trace {
    struct buf text;
    unsigned events,
        refuse_from; /* the n-th event and every later one is answered with false; 0 = none */
};

static inline const char *trace_finish(enum llm_finish f)
{
    static const char *const names[] = {"none",  "stop",   "stop_sequence", "length",
                                        "calls", "filter", "other"};
    return names[f];
}

static inline void trace_count(struct buf *b, const char *name, int64_t n)
{
    if (n >= 0)
        buf_printf(b, "%s%s=%lld", b->data[b->end - 1] == '(' ? "" : ",", name, (long long)n);
}

static inline bool trace_emit(void *arg, const struct llm_event *ev)
{
    struct trace *t = arg;
    struct buf *b = &t->text;
    assert_true(t->refuse_from == 0 || t->events < t->refuse_from); /* never called again */
    t->events++;
    if (buf_len(b) > 0)
        buf_put_char(b, ' ');
    char choice[16] = "";
    if (ev->choice != 0)
        snprintf(choice, sizeof choice, "%d:", ev->choice);
    switch (ev->kind) {
    case LLM_EV_START:
        buf_printf(b, "start(%.*s,%.*s)", STRV_ARG(ev->text), (int)ev->model.len,
                   ev->model.ptr != NULL ? ev->model.ptr : "");
        break;
    case LLM_EV_TEXT:
        buf_printf(b, "text(%s%.*s)", choice, STRV_ARG(ev->text));
        break;
    case LLM_EV_REASONING:
        buf_printf(b, "reasoning(%s%.*s)", choice, STRV_ARG(ev->text));
        break;
    case LLM_EV_SIGNATURE:
        buf_printf(b, "signature(%s%.*s)", choice, STRV_ARG(ev->text));
        break;
    case LLM_EV_CALL:
        buf_printf(b, "call(%s%d,%.*s,%.*s)", choice, ev->call, STRV_ARG(ev->id),
                   STRV_ARG(ev->name));
        break;
    case LLM_EV_ARGS:
        buf_printf(b, "args(%s%d,%.*s)", choice, ev->call, STRV_ARG(ev->text));
        break;
    case LLM_EV_CALL_END:
        buf_printf(b, "call_end(%s%d)", choice, ev->call);
        break;
    case LLM_EV_VECTOR:
        buf_printf(b, "vector(%s", choice);
        for (size_t i = 0; i < ev->n_vector; i++)
            buf_printf(b, i > 0 ? ",%g" : "%g", (double)ev->vector[i]);
        buf_put_char(b, ')');
        break;
    case LLM_EV_FINISH:
        buf_printf(b, "finish(%s%s:%.*s", choice, trace_finish(ev->finish),
                   STRV_ARG(ev->raw_finish));
        if (ev->stop_sequence.ptr != NULL)
            buf_printf(b, ",%.*s", STRV_ARG(ev->stop_sequence));
        buf_put_char(b, ')');
        break;
    case LLM_EV_USAGE:
        buf_put_cstr(b, "usage(");
        trace_count(b, "in", ev->usage.input);
        trace_count(b, "out", ev->usage.output);
        trace_count(b, "cached", ev->usage.cached);
        trace_count(b, "write", ev->usage.cache_write);
        trace_count(b, "reasoning", ev->usage.reasoning);
        trace_count(b, "write_1h", ev->usage.cache_write_1h);
        trace_count(b, "load_ns", ev->usage.load_ns);
        trace_count(b, "in_ns", ev->usage.input_ns);
        trace_count(b, "out_ns", ev->usage.output_ns);
        trace_count(b, "total_ns", ev->usage.total_ns);
        buf_put_char(b, ')');
        break;
    case LLM_EV_END:
        buf_put_cstr(b, "end");
        break;
    case LLM_EV_ERROR:
        buf_printf(b, "error(%d,%.*s)", ev->error, STRV_ARG(ev->text));
        break;
    case LLM_EV_PING:
        buf_put_cstr(b, "ping");
        break;
    }
    return t->refuse_from == 0 || t->events < t->refuse_from;
}

/* The text with a terminator; valid until the next event. */
static inline const char *trace_text(struct trace *t)
{
    assert_true(buf_put_char(&t->text, '\0'));
    t->text.end--;
    return t->text.data + t->text.start;
}

static inline void trace_init(struct trace *t)
{
    *t = (struct trace){.events = 0};
    buf_init(&t->text, 1 << 20);
}

static inline void trace_fini(struct trace *t)
{
    buf_fini(&t->text);
}

/* ---- replies ---- */

static inline void reply_put(struct llm_reply *r, enum llm_event_kind kind, const char *text)
{
    struct arena none = {0};
    assert_true(llm_reply_add(r, &(struct llm_event){.kind = kind, .text = strv_of(text)}, &none));
}

/* All text of a kind, malloc'ed; the caller frees. */
static inline char *reply_text(const struct llm_reply *r, enum llm_part_kind kind)
{
    size_t n = 0;
    char *text = malloc(llm_reply_bytes(r, kind) + 1);
    assert_non_null(text);
    for (size_t i = 0; i < r->n_parts; i++) {
        strv part = llm_reply_text(r, &r->parts[i]);
        if (r->parts[i].kind != kind || part.len == 0)
            continue;
        memcpy(text + n, part.ptr, part.len);
        n += part.len;
    }
    text[n] = '\0';
    return text;
}

static inline void reply_same(const struct llm_reply *a, const struct llm_reply *b,
                              enum llm_part_kind kind)
{
    char *one = reply_text(a, kind), *other = reply_text(b, kind);
    assert_string_equal(one, other);
    free(one);
    free(other);
}

/* ---- recorded exchanges ---- */

/* test/data/NAME, malloc'ed with a terminator; the caller frees. */
static inline char *data_read(const char *name, size_t *len)
{
    const char *root = getenv("TEST_DATA");
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root != NULL ? root : "test/data", name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s (set TEST_DATA to the folder test/data)", path);
    char *data = malloc(1 << 20);
    assert_non_null(data);
    *len = fread(data, 1, (1 << 20) - 1, file);
    data[*len] = '\0';
    fclose(file);
    return data;
}

/* A recorded response: its status, and its body with the chunk framing taken out, in place. */
static inline strv data_body(char *response, size_t len, int *status)
{
    assert_int_equal(sscanf(response, "HTTP/1.1 %d", status), 1);
    char *body = strstr(response, "\r\n\r\n");
    assert_non_null(body);
    *body = '\0';
    bool chunked = strstr(response, "Transfer-Encoding: chunked") != NULL;
    body += 4;
    if (!chunked)
        return (strv){body, len - (size_t)(body - response)};
    char *to = body, *from = body;
    for (;;) {
        char *end;
        size_t n = strtoul(from, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        if (n == 0)
            return (strv){body, (size_t)(to - body)};
        memmove(to, end + 2, n);
        to += n;
        from = end + 2 + n + 2;
    }
}

/* The next SSE event of a well-formed recording: name and data, one data line each. */
static inline bool data_event(strv *rest, strv *name, strv *data)
{
    strv line;
    *name = *data = STRV_NONE;
    while (strv_cut(rest, '\n', &line)) {
        if (strv_starts(line, STRV("data: ")))
            *data = strv_from(line, 6);
        else if (strv_starts(line, STRV("event: ")))
            *name = strv_from(line, 7);
        else if (line.len == 0 && data->ptr != NULL)
            return true;
    }
    return false;
}

#endif
