/* SPDX-License-Identifier: Apache-2.0 */
/* json: reading and its limits, spans in the original bytes, writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"

#define CODE         17
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct arena arena;

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 64 << 20);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct json read_ok(const char *text)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (!json_read(&doc, strv_of(text), &arena, CODE, &err))
        fail_msg("%s", err.text);
    return doc;
}

/* From a copy of exact size, so that ASan sees a read behind the end. */
static bool reads(const char *text, size_t len, struct err *err)
{
    struct json doc;
    char *copy = malloc(len != 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    bool ok = json_read(&doc, (strv){copy, len}, &arena, CODE, err);
    assert_int_equal(ok, doc.root != NULL);
    free(copy);
    arena_reset(&arena);
    return ok;
}

static void what_is_json_and_what_not(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        "[]",
        "0",
        "-0",
        "1.5e+10",
        "\"\"",
        "true",
        "false",
        "null",
        " [ 1 , 2 ] ",
        "{\"a\":1,\"a\":2}",
        "\"\\u0000\"",
        "\"\\ud83d\\ude00\"",
        "\"\xf0\x9f\x98\x80\"",
        "18446744073709551615",
        "18446744073709551616",
        "\"\x7f\"",
        "\t\r\n {}",
    };
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "01",
        "+1",
        ".5",
        "5.",
        "1e",
        "nan",
        "NaN",
        "Infinity",
        "-Infinity",
        "tru",
        "nul",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\n\"",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xed\xa0\x80\"",
        "[] []",
        "{} x",
        "/**/1",
        "1//",
        "\xef\xbb\xbf{}",
        "1e999",
        "-1e999",
        "\x00",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct err err = ERR_INIT;
        if (!reads(good[i], strlen(good[i]), &err))
            fail_msg("refused '%s': %s", good[i], err.text);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err err = ERR_INIT;
        if (reads(bad[i], strlen(bad[i]), &err))
            fail_msg("accepted '%s'", bad[i]);
        assert_true(err.set);
        assert_int_equal(err.code, CODE);
        assert_true(err.offset <= strlen(bad[i]));
        assert_true(strv_starts(strv_of(err.text), STRV("invalid JSON at byte ")));
    }
    assert_false(reads("{}\0", 3, NULL));
    assert_false(reads("\0", 1, NULL));
}

static void an_error_says_where(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_false(reads("{\"a\": nope}", 11, &err));
    assert_int_equal(err.offset, 6);
    assert_true(strv_starts(strv_of(err.text), STRV("invalid JSON at byte 6: ")));
    /* the first error is kept, its offset too */
    assert_false(reads("[1,nope]", 8, &err));
    assert_int_equal(err.offset, 6);
}

static const char sample[] = "{\"model\":\"m\\\"x\",\"n\":[1,-2,3.5,1e300,{\"k\":null}],\"t\":"
                             "\"\\u00e9\xe2\x82\xac\\ud83d\\ude00\","
                             "\"e\":{},\"b\":[true,false,[]]}";

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof(sample) - 1; n++)
        assert_false(reads(sample, n, NULL));
    assert_true(reads(sample, sizeof(sample) - 1, NULL));
}

/* Any answer is fine, as long as nothing is read or written out of bounds. */
static void every_byte_may_be_any_byte(void **state)
{
    (void)state;
    static const char bytes[] = "\0\x01 \"\\[]{}:,0-.eu\x7f\x80\xc3\xe2\xf0\xff";
    char text[sizeof(sample)];
    for (size_t at = 0; at < sizeof(sample) - 1; at++) {
        memcpy(text, sample, sizeof(text));
        for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
            text[at] = bytes[i];
            reads(text, sizeof(sample) - 1, NULL);
        }
    }
}

static void depth_ends_at_128(void **state)
{
    (void)state;
    char text[5 * JSON_DEPTH_MAX];
    for (size_t depth = JSON_DEPTH_MAX - 2; depth <= JSON_DEPTH_MAX + 2; depth++) {
        for (int object = 0; object < 2; object++) {
            struct buf b;
            struct err err = ERR_INIT;
            bool want = depth <= JSON_DEPTH_MAX;
            buf_init(&b, sizeof(text) * 2);
            buf_put_cstr(
                &b, object ? "" : "[\"[\\\"[[\",[[]],"); /* one level, and brackets that close */
            size_t levels = object ? depth : depth - 1;
            for (size_t i = 0; i < levels; i++)
                buf_put_cstr(&b, object ? "{\"\":" : "[");
            buf_put_cstr(&b, "1");
            for (size_t i = 0; i < levels; i++)
                buf_put_char(&b, object ? '}' : ']');
            buf_put_cstr(&b, object ? "" : "]");
            strv v = buf_view(&b);
            assert_int_equal(reads(v.ptr, v.len, &err), want);
            if (!want) {
                size_t head = object ? 0 : 14;
                size_t step = object ? 4 : 1;
                size_t open = JSON_DEPTH_MAX - (object ? 0 : 1);
                assert_int_equal(err.offset, head + open * step);
                assert_non_null(strstr(err.text, "nested deeper than 128"));
            }
            buf_fini(&b);
        }
    }
    size_t n = 1 << 20; /* no recursion anywhere */
    char *deep = malloc(n);
    assert_non_null(deep);
    memset(deep, '[', n / 2);
    memset(deep + n / 2, ']', n / 2);
    assert_false(reads(deep, n, NULL));
    /* More than the arena has room for: still the fault of who wrote it. */
    struct arena small;
    struct json doc;
    struct err err = ERR_INIT;
    arena_init(&small, 4096, 2 * n);
    assert_false(json_read(&doc, (strv){deep, n}, &small, 7, &err));
    assert_int_equal(err.code, 7);
    assert_non_null(strstr(err.text, "nested deeper than 128"));
    arena_fini(&small);
    free(deep);
}

static void many_shallow_values_are_fine(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_put_cstr(&b, "[[]");
    for (int i = 0; i < 100000; i++)
        buf_put_cstr(&b, i % 3 == 0 ? ",[]" : i % 3 == 1 ? ",{}" : ",[1]");
    buf_put_cstr(&b, "]");
    struct json doc;
    assert_true(json_read(&doc, buf_view(&b), &arena, CODE, NULL));
    assert_int_equal(yyjson_arr_size(doc.root), 100001);
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_true(json_put_val(&out, doc.root, &arena));
    assert_true(strv_eq(buf_view(&out), buf_view(&b)));
    buf_fini(&out);
    buf_fini(&b);
}

/* A parsed document costs its text and 16 bytes a value, not yyjson's estimate. */
static void memory_is_given_back_after_parsing(void **state)
{
    (void)state;
    static const size_t sizes[] = {10, 500, 5000, 50000, 1000000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct buf b;
        struct json doc;
        buf_init(&b, SIZE_MAX / 2);
        buf_put_cstr(&b, "{\"content\":\"");
        memset(buf_reserve(&b, sizes[i]), 'x', sizes[i]);
        buf_added(&b, sizes[i]);
        buf_put_cstr(&b, "\"}");
        assert_true(json_read(&doc, buf_view(&b), &arena, CODE, NULL));
        assert_in_range(arena.used, sizes[i], sizes[i] + 256);
        assert_in_range(arena.reserved, sizes[i], sizes[i] + 8192);
        assert_int_equal(json_get_str(doc.root, "content").len, sizes[i]);
        arena_fini(&arena);
        buf_fini(&b);
    }
}

static void refused_memory_is_out_of_memory(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_put_cstr(&b, "[0");
    for (int i = 0; i < 20000; i++)
        buf_put_cstr(&b, ",0"); /* more values than yyjson expects: it grows its array */
    buf_put_cstr(&b, "]");
    uint64_t nth = 1;
    for (;; nth++) {
        struct json doc;
        struct err err = ERR_INIT;
        arena_fini(&arena);
        mem_fail_at(nth, true);
        bool ok = json_read(&doc, buf_view(&b), &arena, CODE, &err);
        bool all = mem_count() < nth;
        mem_fail_at(0, false);
        if (ok) { /* the last one only shrinks, and may be refused */
            assert_int_equal(yyjson_arr_size(doc.root), 20001);
            if (all)
                break;
            continue;
        }
        assert_int_equal(err.code, ERR_CODE_OOM);
        assert_null(doc.root);
        assert_true(arena.failed);
    }
    assert_true(nth > 3);

    struct arena small;
    struct err err = ERR_INIT;
    struct json doc;
    arena_init(&small, 1024, 10000); /* the copy alone is too much */
    assert_false(json_read(&doc, buf_view(&b), &small, CODE, &err));
    assert_int_equal(err.code, ERR_CODE_OOM);
    arena_fini(&small);
    buf_fini(&b);
}

static void spans_stand_in_the_original(void **state)
{
    (void)state;
    static const char *const strings[] = {
        "\"\"",        "\"a\"",           "\"plain text\"",     "\"\\\"\"",
        "\"\\\\\"",    "\"a\\\\\\\"b\"",  "\"\\\"\\\"\\\"\"",   "\"\\u0022\"",
        "\"\\u005c\"", "\"\\n\\\\\\\\\"", "\"\\ud83d\\ude00\"", "\"\xe2\x82\xac\"",
    };
    for (size_t i = 0; i < COUNT(strings); i++) {
        char text[200];
        snprintf(text, sizeof(text), "{ \"x\\\"\":\"\\\\\" , \"model\" :\n %s,\"y\":[%s]}",
                 strings[i], strings[i]);
        struct json doc = read_ok(text);
        size_t at = 0, len = 0;
        assert_true(json_span(&doc, json_get(doc.root, "model"), &at, &len));
        assert_true(strv_eq_cstr((strv){text + at, len}, strings[i]));
        assert_true(json_span(&doc, yyjson_arr_get_first(json_get(doc.root, "y")), &at, &len));
        assert_true(strv_eq_cstr((strv){text + at, len}, strings[i]));
        assert_int_equal(at, strlen(text) - 2 - len);
    }
    struct json whole = read_ok("\"abc\"");
    size_t at = 9, len = 9;
    assert_true(json_span(&whole, whole.root, &at, &len));
    assert_int_equal(at, 0);
    assert_int_equal(len, 5);
}

static void a_span_needs_a_string_of_the_document(void **state)
{
    (void)state;
    struct json a = read_ok("{\"n\":1,\"s\":\"x\",\"z\":null}"), b = read_ok("{\"s\":\"x\"}");
    size_t at, len;
    assert_false(json_span(&a, NULL, &at, &len));
    assert_false(json_span(&a, a.root, &at, &len));
    assert_false(json_span(&a, json_get(a.root, "n"), &at, &len));
    assert_false(json_span(&a, yyjson_obj_get(a.root, "z"), &at, &len));
    assert_false(json_span(&a, json_get(b.root, "s"), &at, &len));
    assert_false(json_span(&b, json_get(a.root, "s"), &at, &len));
}

/* Every member and element, in every depth: the bytes read back to the same value, and begin and end
 * with it. */
static void check_raw(const struct json *doc, yyjson_val *v, strv raw)
{
    struct json again;
    assert_true(raw.ptr >= doc->text.ptr);
    assert_true(raw.ptr + raw.len <= doc->text.ptr + doc->text.len);
    assert_true(strv_eq(strv_trim(raw), raw));
    assert_true(json_read(&again, raw, &arena, CODE, NULL));
    assert_true(yyjson_equals(again.root, v));
    size_t at, max;
    yyjson_val *key, *value;
    strv part;
    yyjson_obj_foreach(v, at, max, key, value)
    {
        assert_true(json_raw_value(doc, key, &part));
        check_raw(doc, value, part);
    }
    strv rest = raw;
    yyjson_arr_foreach(v, at, max, value)
    {
        assert_true(json_raw_next(&rest, &part));
        check_raw(doc, value, part);
    }
    if (yyjson_is_arr(v))
        assert_false(json_raw_next(&rest, &part));
}

static void a_value_has_its_own_bytes(void **state)
{
    (void)state;
    static const char *const values[] = {
        "{}",
        "[]",
        "{ }",
        "[ \n]",
        "0",
        "-0",
        "-0.0",
        "12345678901234567890123",
        "1.0",
        "1E+2",
        "true",
        "false",
        "null",
        "\"\"",
        "\"}\"",
        "\"\\\"\\\\\"",
        "\"\\u0041]\\/\"",
        "\"ð\"",
        "[[]]",
        "[[],[ [ ] ] , {}]",
        "[1,2 ,3\t,\"4,\",null]",
        "{\"z\":1,\"a\":18446744073709551615,\"a\":2}",
        "{ \"a\" : { \"b\\\"\" : [ \"]\" , { } ] , \"\":{\"\":\"\"} } }",
    };
    static const struct {
        const char *key, *before, *after;
    } around[] = {
        {"v", "{\"v\":", "}"},
        {"w", "{\"v\":1,\"w\":", ",\"w\":7}"},
        {"w", " { \"x:\" : \":\\\\\" , \"w\"\n:\r\t ", " , \"y\":[[],{\"w\":0}]} "},
    };
    for (size_t i = 0; i < COUNT(values); i++) {
        for (size_t k = 0; k < COUNT(around); k++) {
            char text[400];
            strv raw;
            snprintf(text, sizeof(text), "%s%s%s", around[k].before, values[i], around[k].after);
            struct json doc = read_ok(text);
            check_raw(&doc, doc.root, strv_trim(strv_of(text)));
            assert_true(json_raw_member(&doc, doc.root, around[k].key, &raw));
            assert_true(strv_eq_cstr(raw, values[i]));
        }
    }
}

static void own_bytes_need_a_member_of_the_document(void **state)
{
    (void)state;
    struct json a = read_ok("{\"d\":1,\"d\":2,\"s\":\"d\",\"n\":null}"), b = read_ok("{\"d\":3}");
    strv raw = STRV_NONE;
    assert_false(json_raw_member(&a, a.root, "x", &raw));
    assert_false(json_raw_member(&a, NULL, "d", &raw));
    assert_false(json_raw_member(&a, json_get(a.root, "d"), "d", &raw));
    assert_false(json_raw_member(&a, b.root, "d", &raw));
    assert_false(json_raw_value(&a, json_get(a.root, "s"), &raw));
    assert_false(json_raw_value(&a, NULL, &raw));
    assert_null(raw.ptr);
    assert_true(json_raw_member(&a, a.root, "d", &raw)); /* the first counts */
    assert_true(strv_eq_cstr(raw, "1"));
    assert_true(json_raw_member(&a, a.root, "n", &raw));
    assert_true(strv_eq_cstr(raw, "null"));
    strv rest = STRV("{}");
    assert_false(json_raw_next(&rest, &raw));
    rest = STRV_NONE;
    assert_false(json_raw_next(&rest, &raw));
    static const char *const cut[] = {"[",        "[\"a", "[\"a\\\"", "[[\"]",
                                      "[{\"a\":", "[1",   "[1,",      "["};
    for (size_t i = 0; i < COUNT(cut); i++) { /* no JSON at all: ends, and within the text */
        rest = strv_of(cut[i]);
        while (json_raw_next(&rest, &raw))
            assert_true(raw.ptr + raw.len <= cut[i] + strlen(cut[i]));
    }
}

static void members_are_found_or_not_there(void **state)
{
    (void)state;
    struct json doc =
        read_ok("{\"s\":\"x\\u0000y\",\"z\":null,\"i\":5,\"dup\":1,\"dup\":2,\"e\":\"\"}");
    assert_true(strv_eq(json_get_str(doc.root, "s"), STRV("x\0y")));
    assert_non_null(json_get_str(doc.root, "e").ptr);
    assert_int_equal(json_get_str(doc.root, "e").len, 0);
    assert_null(json_get(doc.root, "z"));
    assert_null(json_get(doc.root, "missing"));
    assert_null(json_get(NULL, "s"));
    assert_null(json_get(json_get(doc.root, "s"), "s"));
    assert_null(json_get_str(doc.root, "i").ptr);
    assert_null(json_get_str(doc.root, "z").ptr);
    assert_null(json_get_str(NULL, "s").ptr);
    assert_null(json_str(NULL).ptr);
    assert_int_equal(json_get_int(doc.root, "i", 9), 5);
    assert_int_equal(json_get_int(doc.root, "s", 9), 9);
    assert_int_equal(json_get_int(doc.root, "z", 9), 9);
    assert_int_equal(json_get_int(doc.root, "missing", 9), 9);
    assert_int_equal(json_get_int(NULL, "i", 9), 9);
    assert_int_equal(json_get_int(doc.root, "dup", 9), 1); /* the first counts */
}

static void integers_are_whole_numbers_in_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"-0.0", true, 0},
        {"5", true, 5},
        {"5.0", true, 5},
        {"5e2", true, 500},
        {"-7.0", true, -7},
        {"5.5", false, 0},
        {"1e-9", false, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"18446744073709551615", false, 0},
        {"1e19", false, 0},
        {"1e300", false, 0},
        {"-1e300", false, 0},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775808.0", true, INT64_MIN},
        {"9223372036854775807.0", false, 0}, /* is 2^63 as a double */
        {"\"5\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json doc = read_ok(cases[i].text);
        int64_t got = 77;
        double number = -77;
        if (json_is_int(doc.root, &got) != cases[i].ok || got != (cases[i].ok ? cases[i].want : 77))
            fail_msg("'%s'", cases[i].text);
        bool is_number =
            cases[i].text[0] == '-' || (cases[i].text[0] >= '0' && cases[i].text[0] <= '9');
        assert_int_equal(json_is_num(doc.root, &number), is_number);
        assert_true(!is_number || number == strtod(cases[i].text, NULL));
    }
    int64_t i;
    double d;
    assert_false(json_is_int(NULL, &i));
    assert_false(json_is_num(NULL, &d));
}

static void escapes_are_what_json_needs(void **state)
{
    (void)state;
    static const struct {
        strv text;
        const char *want;
    } cases[] = {
        {{"", 0}, "\"\""},
        {{"plain", 5}, "\"plain\""},
        {{"\"", 1}, "\"\\\"\""},
        {{"\\", 1}, "\"\\\\\""},
        {{"/", 1}, "\"/\""},
        {{"\b\t\n\f\r", 5}, "\"\\b\\t\\n\\f\\r\""},
        {{"\0\x01\x0b\x1f", 4}, "\"\\u0000\\u0001\\u000b\\u001f\""},
        {{" \x7f", 2}, "\" \x7f\""},
        {{"\xc3\xa9\xf0\x9f\x98\x80", 6}, "\"\xc3\xa9\xf0\x9f\x98\x80\""},
        {{"\xe2\x80\xa8", 3}, "\"\xe2\x80\xa8\""}, /* U+2028 */
        {{"say \"hi\"\n", 9}, "\"say \\\"hi\\\"\\n\""},
    };
    struct buf b;
    buf_init(&b, 1000);
    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_clear(&b);
        assert_true(json_put_str(&b, cases[i].text));
        assert_true(strv_eq_cstr(buf_view(&b), cases[i].want));
    }
    buf_clear(&b);
    assert_true(json_put_str(&b, STRV_NONE));
    assert_true(strv_eq_cstr(buf_view(&b), "\"\""));
    buf_fini(&b);
}

static void writes_times(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_true(json_put_time(&b, 0, 3) && json_put_time(&b, -1, 0));
    assert_true(json_put_time(&b, 1234567890123456, 0) && json_put_time(&b, 1234567890123456, 3));
    assert_true(
        strv_eq_cstr(buf_view(&b), "nullnull\"2009-02-13T23:31:30Z\"\"2009-02-13T23:31:30.123Z\""));
    buf_fini(&b);
}

/* Every byte value at every place of a longer text, where eight bytes are looked at together. */
static void a_written_string_reads_back_the_same(void **state)
{
    (void)state;
    char text[21];
    struct buf b;
    buf_init(&b, 1000);
    for (int c = 0; c < 0x80; c++) {
        for (size_t at = 0; at < sizeof(text); at++) {
            for (int fill = 0; fill < 2; fill++) {
                struct json doc;
                memset(text, fill == 0 ? 'a' : '!', sizeof(text));
                text[at] = (char)c;
                buf_clear(&b);
                assert_true(json_put_str(&b, (strv){text, sizeof(text)}));
                assert_true(json_read(&doc, buf_view(&b), &arena, CODE, NULL));
                assert_true(strv_eq(json_str(doc.root), (strv){text, sizeof(text)}));
                arena_reset(&arena);
            }
        }
    }
    buf_fini(&b);
}

static void one_letter_is_escaped_as_in_a_text(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    for (int c = 0; c < 0x60; c++) {
        char letter = (char)c, escape[6];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_clear(&b);
        assert_true(json_put_esc(&b, (strv){&letter, 1}));
        assert_true(strv_eq(buf_view(&b), (strv){escape, json_escape(letter, escape)}));
    }
    buf_fini(&b);
}

static void keys_get_their_commas(void **state)
{
    (void)state;
    struct buf b;
    bool first = true;
    buf_init(&b, 1000);
    assert_true(json_put_key(&b, &first, "a"));
    assert_false(first);
    buf_put_u64(&b, 1);
    assert_true(json_put_key(&b, &first, "q\""));
    assert_true(strv_eq_cstr(buf_view(&b), "\"a\":1,\"q\\\"\":"));
    buf_fini(&b);
}

static void numbers_have_the_fewest_digits(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *want;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0.0"},
        {1, "1"},
        {-1, "-1"},
        {0.7, "0.7"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e-9, "1e-9"},
        {1e22, "1e22"},
        {100, "100"},
        {4096, "4096"},
        {1.0 / 3, "0.3333333333333333"},
        {9007199254740992, "9007199254740992"},
        {5e-324, "5e-324"},
        {DBL_MAX, "1.7976931348623157e308"},
        {-DBL_MAX, "-1.7976931348623157e308"},
        {-2.2250738585072014e-308, "-2.2250738585072014e-308"},
    };
    struct buf b;
    buf_init(&b, 100);
    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_clear(&b);
        assert_true(json_put_num(&b, cases[i].v));
        if (!strv_eq_cstr(buf_view(&b), cases[i].want))
            fail_msg("'" STRV_FMT "', not '%s'", STRV_ARG(buf_view(&b)), cases[i].want);
        double back;
        assert_true(strv_double(buf_view(&b), &back));
        assert_memory_equal(&back, &cases[i].v, sizeof(back));
    }
    buf_fini(&b);
}

static void values_are_written_as_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        "0",
        "18446744073709551615",
        "-9223372036854775808",
        "0.1",
        "{\"b\":1,\"a\":[1,2.5,{\"x\":null}],\"b\":\"\\\"\\n\xc3\xa9\"}",
        "[[[[]]],{},\"x\"]",
    };
    struct buf b;
    buf_init(&b, 1000);
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct json doc = read_ok(texts[i]);
        buf_clear(&b);
        assert_true(json_put_val(&b, doc.root, &arena));
        assert_true(strv_eq_cstr(buf_view(&b), texts[i]));
    }
    struct json doc = read_ok("{\"a\":[1,{\"b\":2}]}"); /* a part of a document */
    buf_clear(&b);
    assert_true(json_put_val(&b, json_get(doc.root, "a"), &arena));
    assert_true(strv_eq_cstr(buf_view(&b), "[1,{\"b\":2}]"));
    buf_fini(&b);
}

static void writing_fails_sticky(void **state)
{
    (void)state;
    struct json doc = read_ok("[\"0123456789\"]");
    bool first = true;
    for (size_t max = 0; max < 14; max++) {
        struct buf b;
        buf_init(&b, max);
        assert_false(json_put_str(&b, STRV("a\"b\\c\nd12345")));
        assert_true(b.failed);
        assert_false(json_put_esc(&b, STRV("")));
        assert_false(json_put_key(&b, &first, "k"));
        assert_false(json_put_num(&b, 1));
        assert_false(json_put_val(&b, doc.root, &arena));
        buf_clear(&b);
        assert_false(json_put_val(&b, doc.root, &arena));
        buf_fini(&b);
    }
    struct buf b;
    struct arena none;
    buf_init(&b, 1000);
    arena_init(&none, 1024, 0);
    assert_false(json_put_val(&b, doc.root, &none));
    assert_true(b.failed);
    assert_true(none.failed);
    arena_fini(&none);
    buf_fini(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_arena, close_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_json_and_what_not),
        TEST(an_error_says_where),
        TEST(every_truncation_is_refused),
        TEST(every_byte_may_be_any_byte),
        TEST(depth_ends_at_128),
        TEST(many_shallow_values_are_fine),
        TEST(memory_is_given_back_after_parsing),
        TEST(refused_memory_is_out_of_memory),
        TEST(spans_stand_in_the_original),
        TEST(a_span_needs_a_string_of_the_document),
        TEST(a_value_has_its_own_bytes),
        TEST(own_bytes_need_a_member_of_the_document),
        TEST(members_are_found_or_not_there),
        TEST(integers_are_whole_numbers_in_range),
        TEST(escapes_are_what_json_needs),
        TEST(writes_times),
        TEST(a_written_string_reads_back_the_same),
        TEST(one_letter_is_escaped_as_in_a_text),
        TEST(keys_get_their_commas),
        TEST(numbers_have_the_fewest_digits),
        TEST(values_are_written_as_read),
        TEST(writing_fails_sticky),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
