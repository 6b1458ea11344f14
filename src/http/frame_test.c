/* SPDX-License-Identifier: Apache-2.0 */
/* frame - events and lines cut out of a stream: the same ones however the stream arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http.h"

#define FRAME_MAX 64

/* Frames as text: "name|data|raw~" each. */
struct got {
    struct buf text;
    unsigned frames;
    unsigned stop_after; /* 0 = never */
};

static bool on_frame(void *arg, const struct http_frame *frame)
{
    struct got *got = arg;

    buf_put_strv(&got->text, frame->name);
    buf_put_char(&got->text, '|');
    buf_put_strv(&got->text, frame->data);
    buf_put_char(&got->text, '|');
    buf_put_strv(&got->text, frame->raw);
    buf_put_char(&got->text, '~');
    return ++got->frames != got->stop_after;
}

struct case_row {
    const char *name;
    enum http_framing framing;
    const char *in;
    const char *out;
    bool fails;
};

static const struct case_row cases[] = {
    {"one event", HTTP_SSE, "data: a\n\n", "|a|data: a\n\n~", false},
    {"a name", HTTP_SSE, "event: e\ndata: a\n\n", "e|a|event: e\ndata: a\n\n~", false},
    {"the name behind", HTTP_SSE, "data: a\nevent: e\n\n", "e|a|data: a\nevent: e\n\n~", false},
    {"CRLF", HTTP_SSE, "event: e\r\ndata: a\r\n\r\ndata: b\r\n\r\n",
     "e|a|event: e\r\ndata: a\r\n\r\n~|b|data: b\r\n\r\n~", false},
    {"CR", HTTP_SSE, "event: e\rdata: a\r\rdata: b\r\rdata: c",
     "e|a|event: e\rdata: a\r\r~|b|data: b\r\r~|c|data: c\n\n~", false},
    {"all of them", HTTP_SSE, "data: a\r\n\ndata: b\n\r\ndata: c\r\ndata: d\n\rdata: e\n\n",
     "|a|data: a\r\n\n~|b|data: b\n\r\n~|c\nd|data: c\r\ndata: d\n\r~|e|data: e\n\n~", false},
    {"no blank behind the colon", HTTP_SSE, "data:a\nevent:e\n\n", "e|a|data:a\nevent:e\n\n~",
     false},
    {"only one blank goes", HTTP_SSE, "data:  a \n\n", "| a |data:  a \n\n~", false},
    {"lines join", HTTP_SSE, "data: a\ndata:\ndata: b\n\n", "|a\n\nb|data: a\ndata:\ndata: b\n\n~",
     false},
    {"an empty data line", HTTP_SSE, "data:\n\n", "||data:\n\n~", false},
    {"a data line without colon", HTTP_SSE, "data\n\n", "||data\n\n~", false},
    {"two of them", HTTP_SSE, "data\ndata\n\n", "|\n|data\ndata\n\n~", false},
    {"no data, no event", HTTP_SSE, "event: e\n\nid: 1\n\nretry: 5\n\n", "", false},
    {"other fields", HTTP_SSE, "id: 7\ndatax: n\n data: n\ndata: a\nretry: 1\n\n",
     "|a|id: 7\ndatax: n\n data: n\ndata: a\nretry: 1\n\n~", false},
    {"comments", HTTP_SSE, ": hello\n\n:\n\ndata: a\n: in it\ndata: b\n\n",
     "|a\nb|data: a\n: in it\ndata: b\n\n~", false},
    {"blank lines", HTTP_SSE, "\n\n\r\n\r\ndata: a\n\n\n\n\n", "|a|data: a\n\n~", false},
    {"a byte order mark", HTTP_SSE,
     "\xef\xbb\xbf"
     "data: a\n\n",
     "|a|data: a\n\n~", false},
    {"only at the start", HTTP_SSE,
     "\xef\xbb\xbf\xef\xbb\xbf"
     "data: a\n\ndata: b\n\n",
     "|b|data: b\n\n~", false},
    {"nearly a mark", HTTP_SSE,
     "\xef\xbb"
     "data: a\ndata: b\n\n",
     "|b|\xef\xbb"
     "data: a\ndata: b\n\n~",
     false},
    {"letters of several bytes", HTTP_SSE, "data: \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n\n",
     "|\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80|data: \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n\n~",
     false},
    {"the last without its end", HTTP_SSE, "data: a\n\ndata: b", "|a|data: a\n\n~|b|data: b\n\n~",
     false},
    {"the last without its blank line", HTTP_SSE, "data: b\n", "|b|data: b\n\n~", false},
    {"the last cut in CRLF", HTTP_SSE, "data: b\r\n\r", "|b|data: b\r\n\r~", false},
    {"the last after CR", HTTP_SSE, "data: b\r", "|b|data: b\r\n\n~", false},
    {"only a mark's beginning", HTTP_SSE, "\xef\xbb", "", false},
    {"exactly the limit", HTTP_SSE,
     "data: 01234567890123456789012345678901234567890123456789012345\n\n",
     "|01234567890123456789012345678901234567890123456789012345|"
     "data: 01234567890123456789012345678901234567890123456789012345\n\n~",
     false},
    {"one more", HTTP_SSE,
     "data: a\n\ndata: 012345678901234567890123456789012345678901234567890123456\n\ndata: b\n\n",
     "|a|data: a\n\n~", true},
    {"a line without end", HTTP_SSE,
     "data: 01234567890123456789012345678901234567890123456789012345678901234567890", "", true},
    {"a comment over the limit", HTTP_SSE,
     ":0123456789012345678901234567890123456789012345678901234567890123456789\n\n", "", true},

    {"lines", HTTP_NDJSON, "{\"a\":1}\n{}\n", "|{\"a\":1}|{\"a\":1}\n~|{}|{}\n~", false},
    {"lines with CRLF", HTTP_NDJSON, "{}\r\n[]\r\n", "|{}|{}\r\n~|[]|[]\r\n~", false},
    {"empty lines", HTTP_NDJSON, "\n\r\n  \n{}\n\n", "|{}|{}\n~", false},
    {"the last line without its end", HTTP_NDJSON, "{}\n[1]", "|{}|{}\n~|[1]|[1]\n~", false},
    {"a mark before lines", HTTP_NDJSON, "\xef\xbb\xbf{}\n", "|{}|{}\n~", false},
    {"a carriage return is no end", HTTP_NDJSON, "a\rb\n", "|a\rb|a\rb\n~", false},
    {"a line over the limit", HTTP_NDJSON,
     "{}\n0123456789012345678901234567890123456789012345678901234567890123\n", "|{}|{}\n~", true},
};

static void start(struct http_framer *f, struct got *got, const struct case_row *row)
{
    http_framer_init(f, row->framing, FRAME_MAX);
    *got = (struct got){0};
    buf_init(&got->text, 10000);
}

static void finish(struct http_framer *f, struct got *got, const struct case_row *row, bool ok,
                   const char *how, size_t at)
{
    if (ok)
        ok = http_framer_end(f, on_frame, got);
    if (ok == row->fails)
        fail_msg("%s, %s %zu: %s", row->name, how, at, ok ? "did not fail" : "failed");
    if (!strv_eq_cstr(buf_view(&got->text), row->out))
        fail_msg("%s, %s %zu: got\n%.*s\nwant\n%s", row->name, how, at,
                 STRV_ARG(buf_view(&got->text)), row->out);
    if (row->fails) { /* for good */
        assert_false(http_framer_feed(f, "data: z\n\n", 9, on_frame, got));
        assert_false(http_framer_end(f, on_frame, got));
    }
    buf_fini(&got->text);
    http_framer_fini(f);
}

/* From a block of exactly that size, so that a sanitizer sees a look past its end. */
static bool feed(struct http_framer *f, const char *data, size_t len, struct got *got)
{
    char *copy = mem_alloc(len);
    memcpy(copy, data, len);
    bool ok = http_framer_feed(f, copy, len, on_frame, got);
    mem_free(copy);
    return ok;
}

static void test_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_framer f;
        struct got got;

        start(&f, &got, &cases[i]);
        bool ok = feed(&f, cases[i].in, strlen(cases[i].in), &got);
        finish(&f, &got, &cases[i], ok, "whole", 0);
    }
}

static void test_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].in);

        for (size_t size = 1; size <= 7; size++) {
            struct http_framer f;
            struct got got;
            bool ok = true;

            start(&f, &got, &cases[i]);
            for (size_t at = 0; at < len && ok; at += size)
                ok = feed(&f, cases[i].in + at, len - at < size ? len - at : size, &got);
            finish(&f, &got, &cases[i], ok, "pieces of", size);
        }
    }
}

static void test_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].in);

        for (size_t at = 0; at <= len; at++) {
            struct http_framer f;
            struct got got;

            start(&f, &got, &cases[i]);
            bool ok = feed(&f, cases[i].in, at, &got) && feed(&f, cases[i].in + at, len - at, &got);
            finish(&f, &got, &cases[i], ok, "split", at);
        }
    }
}

static void test_nul_is_a_byte(void **state)
{
    struct http_framer f;
    struct got got = {0};
    (void)state;

    buf_init(&got.text, 100);
    http_framer_init(&f, HTTP_SSE, 100);
    assert_true(http_framer_feed(&f, "data: a\0b\n\n", 11, on_frame, &got));
    assert_int_equal(buf_len(&got.text), 1 + 3 + 1 + 11 + 1);
    http_framer_fini(&f);
    buf_fini(&got.text);
}

static bool on_mark(void *arg, const struct http_frame *frame)
{
    struct buf *text = arg;

    return buf_printf(text, "%.*s|%s|%.*s|%.*s~", STRV_ARG(frame->data),
                      frame->data.ptr != NULL ? "data" : "none", STRV_ARG(frame->id),
                      STRV_ARG(frame->retry));
}

/* Who comes back later needs the id and the time of events that hold nothing else, too. */
static void test_marks(void **state)
{
    static const char in[] = "id: 1\nretry: 500\n\n"
                             "id: 2\ndata:\n\n"
                             "retry: 7\r\n\r\n"
                             "event: e\n\n"
                             "id\n\n"
                             "data: a\nid: 3\n\n"
                             ": nothing\n\n";
    static const char out[] = "|none|1|500~|data|2|~|none||7~|none||~a|data|3|~";
    (void)state;

    for (size_t at = 0; at < sizeof in; at++) {
        struct http_framer f;
        struct buf text;

        buf_init(&text, 1000);
        http_framer_init(&f, HTTP_SSE, FRAME_MAX);
        f.marks = true;
        assert_true(http_framer_feed(&f, in, at, on_mark, &text));
        assert_true(http_framer_feed(&f, in + at, sizeof in - 1 - at, on_mark, &text));
        assert_true(http_framer_end(&f, on_mark, &text));
        buf_put_char(&text, '\0');
        assert_string_equal(buf_view(&text).ptr, out);
        http_framer_fini(&f);
        buf_fini(&text);
    }
}

static void test_stopping(void **state)
{
    struct http_framer f;
    struct got got = {.stop_after = 2};
    (void)state;

    buf_init(&got.text, 1000);
    http_framer_init(&f, HTTP_SSE, 100);
    assert_false(http_framer_feed(&f, "data: a\n\ndata: b\n\ndata: c\n\n", 27, on_frame, &got));
    assert_int_equal(got.frames, 2);
    assert_false(http_framer_feed(&f, "data: d\n\n", 9, on_frame, &got));
    assert_int_equal(got.frames, 2);
    http_framer_fini(&f);
    buf_fini(&got.text);
}

static void test_whole_events_cost_no_memory(void **state)
{
    struct http_framer f;
    struct got got = {0};
    const char *text = "event: e\r\ndata: {\"a\":1}\r\n\r\ndata: x\n\n";
    uint64_t count;
    (void)state;

    buf_init(&got.text, 100000);
    assert_non_null(buf_reserve(&got.text, 50000));
    http_framer_init(&f, HTTP_SSE, 1000);
    mem_fail_at(0, false);
    for (int i = 0; i < 100; i++)
        assert_true(http_framer_feed(&f, text, strlen(text), on_frame, &got));
    count = mem_count();
    assert_int_equal(count, 0);
    assert_int_equal(got.frames, 200);
    http_framer_fini(&f);
    buf_fini(&got.text);
}

static void test_refused_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (uint64_t n = 1; n < 4; n++) {
            struct http_framer f;
            struct got got;
            bool ok = true;
            size_t len = strlen(cases[i].in);

            start(&f, &got, &cases[i]);
            assert_non_null(buf_reserve(&got.text, 5000));
            mem_fail_at(n, true);
            for (size_t at = 0; at < len && ok; at += 3)
                ok = http_framer_feed(&f, cases[i].in + at, len - at < 3 ? len - at : 3, on_frame,
                                      &got);
            mem_fail_at(0, false);
            if (ok)
                assert_true(http_framer_end(&f, on_frame, &got));
            http_framer_fini(&f);
            buf_fini(&got.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_in_pieces),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_nul_is_a_byte),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_whole_events_cost_no_memory),
        cmocka_unit_test(test_refused_memory),
    };

    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
