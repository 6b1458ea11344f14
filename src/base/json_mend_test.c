/* SPDX-License-Identifier: Apache-2.0 */
/* json_mend: valid objects pass, broken ones are mended, whatever comes leaves as an object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json_mend.h"
#include "base/rng.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct buf out;
static struct arena arena;

static int open_out(void **state)
{
    (void)state;
    buf_init(&out, 16 << 20);
    arena_init(&arena, 4096, 64 << 20);
    return 0;
}

static int close_out(void **state)
{
    (void)state;
    buf_fini(&out);
    arena_fini(&arena);
    return 0;
}

/* From a copy of exact size, so that ASan sees a read behind the end. */
static void feed(struct json_mend *m, strv piece)
{
    char *copy = malloc(piece.len != 0 ? piece.len : 1);
    assert_non_null(copy);
    if (piece.len != 0)
        memcpy(copy, piece.ptr, piece.len);
    assert_true(json_mend_feed(m, (strv){copy, piece.len}, &out));
    free(copy);
}

static enum json_mend_result mend(strv text, size_t step)
{
    struct json_mend m;
    json_mend_init(&m);
    buf_clear(&out);
    for (size_t at = 0; at < text.len; at += step)
        feed(&m, (strv){text.ptr + at, text.len - at < step ? text.len - at : step});
    enum json_mend_result result = json_mend_end(&m, &out);
    assert_int_equal(json_mended(&m), result != JSON_MEND_OK);
    assert_false(out.failed);
    return result;
}

static void expect(strv text, enum json_mend_result want, strv json, const char *how)
{
    static const char *const names[] = {"ok", "fixed", "failed"};
    struct json_mend m;
    for (size_t cut = 0; cut <= text.len + 1; cut++) {
        enum json_mend_result result;
        if (cut > text.len) {
            result = mend(text, 1);
        } else {
            json_mend_init(&m);
            buf_clear(&out);
            feed(&m, (strv){text.ptr, cut});
            struct json_mend moved = m; /* plain data */
            feed(&moved, strv_from(text, cut));
            result = json_mend_end(&moved, &out);
        }
        if (result != want || !strv_eq(buf_view(&out), json))
            fail_msg("%s '" STRV_FMT "' cut at %zu: %s '" STRV_FMT "', not %s '" STRV_FMT "'", how,
                     STRV_ARG(text), cut, names[result], STRV_ARG(buf_view(&out)), names[want],
                     STRV_ARG(json));
    }
}

/* One JSON object by the reader that will read it. */
static void expect_object(strv text, strv json)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (!json_read(&doc, json, &arena, 1, &err) || !yyjson_is_obj(doc.root))
        fail_msg("'" STRV_FMT "' became '" STRV_FMT "': %s", STRV_ARG(text), STRV_ARG(json),
                 err.set ? err.text : "no object");
    arena_reset(&arena);
}

static const char *const valid[] = {
    "{}",
    "{ }",
    " \t\r\n{\n}\n ",
    "{\"a\":1}",
    "{\"a\":-0,\"b\":0.5e-10,\"c\":1E+2,\"d\":12345678901234567890123,\"e\":-1.0}",
    "{\"a\":true,\"b\":false,\"c\":null}",
    "{\"a\":{},\"b\":[],\"c\":[{}],\"d\":{\"e\":[[1],[2,3]]}}",
    "{ \"a\" : [ 1 , 2 ] , \"b\" : { \"c\" : \"d\" } }",
    "{\n  \"city\": \"Oslo\",\n  \"days\": [\n    1,\n    2\n  ]\n}\n",
    "{\"\":\"\"}",
    "{\"a\":1,\"a\":2}",
    "{\"q\":\"say \\\"hi\\\"\",\"p\":\"C:\\\\x\\/y\",\"w\":\"\\b\\f\\n\\r\\t\"}",
    "{\"u\":\"\\u0041\\u0000\\ud83d\\ude00\\uD83D\\uDE00\\uFFFD\"}",
    "{\"\\u0041\\\"\":\"\\\\\"}",
    "{\"t\":\"na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80 \x7f\",\"\xc3\xa9\":1}",
    "{\"c\":\"// no comment /* at all */\",\"d\":\"it's\",\"e\":\"```\"}",
    "{\"code\":\"if (a) {\\n  b[0] = \\\"x\\\";\\n}\"}",
    "{\"s\":\"True None NaN\",\"k\":[true,false,null,0]}",
    "{\"a\":[[[[[[[[]]]]]]]],\"b\":[\"\",\"\"]}",
};

static void a_valid_object_passes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        strv text = strv_of(valid[i]);
        expect_object(text, text);
        expect(text, JSON_MEND_OK, text, "valid");
    }
}

/* What is out is always a beginning of what came, and lacks no more than the name says. */
static void a_valid_object_passes_as_it_comes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        struct json_mend m;
        json_mend_init(&m);
        buf_clear(&out);
        for (size_t n = 0; n < strlen(valid[i]); n++) {
            feed(&m, (strv){valid[i] + n, 1});
            strv got = buf_view(&out);
            assert_false(json_mended(&m));
            assert_true(got.len <= n + 1 && n + 1 - got.len < 30);
            assert_true(strv_starts(strv_of(valid[i]), got));
        }
    }
    static const struct {
        const char *text;
        size_t held;
    } cases[] = {
        {"{\"a\":\"half a str", 0},
        {"{\"a\":\"half a \\", 1},
        {"{\"a\":\"half a \\u00", 4},
        {"{\"a\":\"half a \xc3", 1},
        {"{\"a\":\"text\"", 0},
        {"{\"a\":\"text\",", 1},
        {"{\"a\":\"text\",\"ke", 4},
        {"{\"a\":[1,{", 0},
        {"{\"a\":[1,", 1},
        {"{\"a\":[1, ", 2},
        {"{\"a\":tru", 7},
        {"{\"a\":12", 6},
        {"{\"a\":\"\\ud83d\\ude0", 11},
        {"{\"a\":1}\n", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_mend m;
        json_mend_init(&m);
        buf_clear(&out);
        feed(&m, strv_of(cases[i].text));
        assert_int_equal(strlen(cases[i].text) - buf_len(&out), cases[i].held);
    }
}

static const struct {
    const char *text, *json;
} fixed[] = {
    /* around */
    {"", "{}"},
    {" \n\t ", " \n\t {}"},
    {"```json\n{\"a\":1}\n```", "{\"a\":1}\n"},
    {"```\n{\"a\":1}```\n", "{\"a\":1}"},
    {" ```json {\"a\":1} ``` ", " {\"a\":1} "},
    {"```{}```", "{}"},
    {"```json\n```", "{}"},
    {"```json\n{\"a\":[1,\n```", "{\"a\":[1]}"},
    {"```json\n{\"a\":1\n```\nDone.", "{\"a\":1\n}"},
    {"{\"a\":1} That is all.", "{\"a\":1} "},
    {"{\"a\":1}}", "{\"a\":1}"},
    {"{\"a\":1}]\n", "{\"a\":1}"},
    {"{\"a\":1}{\"b\":2}", "{\"a\":1}"},
    {"{\"a\":1}</tool_call>", "{\"a\":1}"},
    {"/* call */ // now\n{}", " \n{}"},
    {"// nothing", "{}"},
    /* no object */
    {"[1,2]", "{\"value\":[1,2]}"},
    {" [] ", " {\"value\":[]} "},
    {"[{\"a\":1},", "{\"value\":[{\"a\":1}]}"},
    {"\"text\"", "{\"value\":\"text\"}"},
    {"\"{\\\"a\\\":1}\"", "{\"value\":\"{\\\"a\\\":1}\"}"},
    {"'text'", "{\"value\":\"text\"}"},
    {"12", "{\"value\":12}"},
    {"-1.5e3 ", "{\"value\":-1.5e3}"},
    {"+.5", "{\"value\":0.5}"},
    {"true", "{\"value\":true}"},
    {"None", "{\"value\":null}"},
    {"```json\nnull\n```", "{\"value\":null}"},
    /* commas */
    {"{\"a\":1,}", "{\"a\":1}"},
    {"{\"a\":[1,2 , ] , }", "{\"a\":[1,2 ] }"},
    {"{,\"a\":1,,\"b\":[,1,,2]}", "{\"a\":1,\"b\":[1,2]}"},
    {"{\"a\":1 \"b\":2}", "{\"a\":1 ,\"b\":2}"},
    {"{\"a\":\"x\"\n\"b\":{}'c':3}", "{\"a\":\"x\"\n,\"b\":{},\"c\":3}"},
    {"{\"a\":[1 2 \"b\" [3]{}{}]}", "{\"a\":[1 ,2 ,\"b\" ,[3],{},{}]}"},
    {"{\"a\":,\"b\":2}", "{\"b\":2}"},
    {"{\"z\":0,\"a\":,\"b\":2}", "{\"z\":0,\"b\":2}"},
    {"{\"a\":}", "{}"},
    {"{\"z\":0,\"a\": }", "{\"z\":0}"},
    /* cut short */
    {"{", "{}"},
    {"{\"", "{}"},
    {"{\"a", "{}"},
    {"{\"a\"", "{}"},
    {"{\"a\" :", "{}"},
    {"{\"a\":1", "{\"a\":1}"},
    {"{\"a\":1,", "{\"a\":1}"},
    {"{\"a\":1, \"b", "{\"a\":1}"},
    {"{\"a\":1, \"b\": ", "{\"a\":1}"},
    {"{\"a\":1, \"b\": -", "{\"a\":1}"},
    {"{\"a\":1, b", "{\"a\":1}"},
    {"{\"a\":1 /", "{\"a\":1 }"},
    {"{\"a\":1 /* x", "{\"a\":1 }"},
    {"{\"a\":\"", "{\"a\":\"\"}"},
    {"{\"a\":\"bc", "{\"a\":\"bc\"}"},
    {"{\"a\":\"bc\\", "{\"a\":\"bc\"}"},
    {"{\"a\":\"bc\\u12", "{\"a\":\"bc\"}"},
    {"{\"a\":\"bc\\ud83d", "{\"a\":\"bc\"}"},
    {"{\"a\":\"bc\xe2\x82", "{\"a\":\"bc\"}"},
    {"{\"a\":'bc'", "{\"a\":\"bc\"}"},
    {"{\"a\":[[{\"b\":[\"c", "{\"a\":[[{\"b\":[\"c\"]}]]}"},
    {"{\"a\":[1, ", "{\"a\":[1]}"},
    {"{\"a\":t", "{\"a\":true}"},
    {"{\"a\":[fals", "{\"a\":[false]}"},
    {"{\"a\":No", "{\"a\":null}"},
    {"{\"a\":-Inf", "{\"a\":null}"},
    {"{\"a\":1.", "{\"a\":1}"},
    {"{\"a\":1.5e", "{\"a\":1.5}"},
    {"{\"a\":1.5e-", "{\"a\":1.5}"},
    {"{\"a\":cel", "{\"a\":\"cel\"}"},
    /* brackets */
    {"{\"a\":[1,2}", "{\"a\":[1,2]}"},
    {"{\"a\":{\"b\":[1,{\"c\":2}}", "{\"a\":{\"b\":[1,{\"c\":2}]}}"},
    {"{\"a\":[{\"b\":1]}", "{\"a\":[{\"b\":1}]}"},
    {"{\"a\":1]}", "{\"a\":1}"},
    {"{\"a\":[1,}", "{\"a\":[1]}"},
    {"[1}", "{\"value\":[1]}"},
    /* quotes */
    {"{'a':'b'}", "{\"a\":\"b\"}"},
    {"{'a':'it\\'s \"so\"'}", "{\"a\":\"it's \\\"so\\\"\"}"},
    {"{'a':'it's','b':['x', 'y' ]}", "{\"a\":\"it's\",\"b\":[\"x\", \"y\" ]}"},
    {"{a:1, b_2 : \"x\", $c-d.e:2}", "{\"a\":1, \"b_2\" : \"x\", \"$c-d.e\":2}"},
    {"{1:2}", "{\"1\":2}"},
    {"{\"unit\":celsius,\"b\":[x , y]}", "{\"unit\":\"celsius\",\"b\":[\"x\" , \"y\"]}"},
    /* strings */
    {"{\"a\":\"x\ny\tz\r\x01\"}", "{\"a\":\"x\\ny\\tz\\r\\u0001\"}"},
    {"{\"a\nb\":1}", "{\"a\\nb\":1}"},
    {"{\"a\":\"C:\\Users\\users\\d+\"}", "{\"a\":\"C:\\\\Users\\\\users\\\\d+\"}"},
    {"{\"a\":\"x \\\n y\"}", "{\"a\":\"x \\\\\\n y\"}"},
    {"{\"a\":\"\\u12\"}", "{\"a\":\"\\\\u12\"}"},
    {"{\"a\":\"\\'\\\xc3\xa9\"}", "{\"a\":\"'\\\\\xc3\xa9\"}"},
    {"{\"a\":\"\\ud83d\"}", "{\"a\":\"\\ufffd\"}"},
    {"{\"a\":\"\\ude00x\"}", "{\"a\":\"\\ufffdx\"}"},
    {"{\"a\":\"\\ud83d\\n\"}", "{\"a\":\"\\ufffd\\n\"}"},
    {"{\"a\":\"\\ud83d\\u0041\"}", "{\"a\":\"\\ufffd\\u0041\"}"},
    {"{\"a\":\"\\ud83d\\ud83d\\ude00\"}", "{\"a\":\"\\ufffd\\ud83d\\ude00\"}"},
    {"{\"a\":\"\\ud83d\\u00zz\"}", "{\"a\":\"\\ufffd\\\\u00zz\"}"},
    {"{\"a\":\"\xff\xc3\x28\xe2\x82\xe2\x82\xac\xf0\x9f\"}",
     "{\"a\":\"\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xe2\x82\xac\xef\xbf\xbd\"}"},
    /* words and numbers */
    {"{\"a\":True,\"b\":False,\"c\":None,\"d\":TRUE}",
     "{\"a\":true,\"b\":false,\"c\":null,\"d\":true}"},
    {"{\"a\":NaN,\"b\":-Infinity,\"c\":nan,\"d\":+inf,\"e\":undefined}",
     "{\"a\":null,\"b\":null,\"c\":null,\"d\":null,\"e\":null}"},
    {"{\"a\":.5,\"b\":+1,\"c\":1.,\"d\":-.5,\"e\":1.e5}",
     "{\"a\":0.5,\"b\":1,\"c\":1,\"d\":-0.5,\"e\":1e5}"},
    {"{\"a\":1e999,\"b\":-1e999}", "{\"a\":null,\"b\":null}"},
    /* comments */
    {"{\"a\":1, // one\n\"b\":/*two*/2/***/}", "{\"a\":1, \n\"b\":2}"},
    {"{/**/\"a\"/**/:/**/1/**/,/**/}", "{\"a\":1}"},
    {"{\"a\":[1,2,// more\n]}", "{\"a\":[1,2]}"},
};

static void what_was_plainly_meant_is_mended(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(fixed); i++) {
        expect(strv_of(fixed[i].text), JSON_MEND_FIXED, strv_of(fixed[i].json), "fixed");
        expect_object(strv_of(fixed[i].text), strv_of(fixed[i].json));
        expect(strv_of(fixed[i].json), JSON_MEND_OK, strv_of(fixed[i].json), "mended again");
    }
}

static const struct {
    const char *text, *json;
} failed[] = {
    /* no JSON at all */
    {"Sure! {\"a\":1}", "{\"_raw\":\"Sure! {\\\"a\\\":1}\"}"},
    {" <tool>\n\x01\xff", " {\"_raw\":\"<tool>\\n\\u0001\xef\xbf\xbd\"}"},
    {"city=Oslo", "{\"_raw\":\"city=Oslo\"}"},
    {"12 apples", "{\"_raw\":\"12 apples\"}"},
    {"12\n/* c */", "{\"_raw\":\"12\\n/* c */\"}"},
    {"/etc/passwd", "{\"_raw\":\"/etc/passwd\"}"},
    {"/", "{\"_raw\":\"/\"}"},
    {"``x``", "{\"_raw\":\"``x``\"}"},
    {"```", "{\"_raw\":\"```\"}"},
    {"```python\nprint(1)\n```", "{\"_raw\":\"```python\\nprint(1)\\n```\"}"},
    {"```a b\xe2\x82", "{\"_raw\":\"```a b\xef\xbf\xbd\"}"},
    {"}", "{\"_raw\":\"}\"}"},
    {":", "{\"_raw\":\":\"}"},
    {"0x1F", "{\"_raw\":\"0x1F\"}"},
    {"```\ntrue\nfalse```", "{\"_raw\":\"```\\ntrue\\nfalse```\"}"},
    /* understood to a point */
    {"{\"a\":1,\"b\":@}", "{\"a\":1}"},
    {"{\"a\":\"say \"hi\" now\"}", "{\"a\":\"say \"}"},
    {"{\"a\":New York,\"b\":1}", "{\"a\":\"New\" }"},
    {"{\"a\":[New York]}", "{\"a\":[\"New\" ]}"},
    {"{\"a\":[New \"York\"]}", "{\"a\":[\"New\" ]}"},
    {"{\"a\":02134}", "{}"},
    {"{\"a\":0x1F,\"b\":1}", "{}"},
    {"{\"a\":2026-11-22}", "{}"},
    {"{\"a\":1.2.3", "{}"},
    {"{\"a\":1-}", "{}"},
    {"{\"a\":http://x}", "{\"a\":\"http\"}"},
    {"{\"a\" 1}", "{}"},
    {"{\"z\":0,\"a\"}", "{\"z\":0}"},
    {"{\"a\"=1}", "{}"},
    {"{\"a\":1;\"b\":2}", "{\"a\":1}"},
    {"{{\"a\":1}}", "{}"},
    {"{\"a\":(1)}", "{}"},
    {"{\"a\":1/2}", "{\"a\":1}"},
    {"{\"a\":`x`}", "{}"},
    {"{\"a\":[1,[2,\x01", "{\"a\":[1,[2]]}"},
    {"{\\\"a\\\":1}", "{}"},
    {"{\"a\":{\"b\":1],\"c\":2}", "{\"a\":{\"b\":1}}"},
    {"{\"a\":[1},\"b\":2}", "{\"a\":[1]}"},
    {"[1] and [2]", "{\"value\":[1]} "},
    {"\"a\":1}", "{\"value\":\"a\"}"},
    {"[tool call]", "{\"value\":[\"tool\" ]}"},
};

static void anything_else_stops_where_it_was_plain(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(failed); i++) {
        expect(strv_of(failed[i].text), JSON_MEND_FAILED, strv_of(failed[i].json), "failed");
        expect_object(strv_of(failed[i].text), strv_of(failed[i].json));
    }
}

static void every_beginning_of_a_valid_object_is_mended(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        strv text = strv_of(valid[i]);
        for (size_t n = 0; n < strv_trim(text).len; n++) {
            strv part = {text.ptr, n};
            assert_int_equal(mend(part, 7), JSON_MEND_FIXED);
            expect_object(part, buf_view(&out));
        }
    }
}

/* A key that does not fit into what may be held back goes out, and is owed a value. */
static void a_long_key_gets_null(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after, *want;
        enum json_mend_result result;
    } cases[] = {
        {"{\"", "\":1}", "\":1}", JSON_MEND_OK},
        {"{\"z\":0, \"", "\" : [] }", "\" : [] }", JSON_MEND_OK},
        {"{\"z\":0,\"", "", "\":null}", JSON_MEND_FIXED},
        {"{\"z\":0,\"", "\"", "\":null}", JSON_MEND_FIXED},
        {"{\"z\":0,\"", "\" :", "\" :null}", JSON_MEND_FIXED},
        {"{\"z\":0,\"", "\":}", "\":null}", JSON_MEND_FIXED},
        {"{\"z\":0,\"", "\": ,\"b\":1}", "\": null,\"b\":1}", JSON_MEND_FIXED},
        {"{\"", "\":,}", "\":null}", JSON_MEND_FIXED},
        {"{\"z\":0,\"", "\":-", "\":null}", JSON_MEND_FIXED},
        {"{\"z\":0,\"", "\"}", "\":null}", JSON_MEND_FAILED},
        {"{\"z\":0,\"", "\":@}", "\":null}", JSON_MEND_FAILED},
        {"{\"z\":0,\"", "\":1,\"b", "\":1}", JSON_MEND_FIXED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[1000], want[1000], key[601];
        memset(key, 'k', 600);
        key[600] = '\0';
        snprintf(text, sizeof text, "%s%s%s", cases[i].before, key, cases[i].after);
        snprintf(want, sizeof want, "%s%s%s", cases[i].before, key, cases[i].want);
        expect_object(strv_of(text), strv_of(want));
        expect(strv_of(text), cases[i].result, strv_of(want), "long key");
    }
}

static void a_run_of_blanks_is_held_back(void **state)
{
    (void)state;
    static const char *const around[][2] = {
        {"{\"a\":1,", "\"b\":2}"},
        {"{\"a\":[1,", "2]}"},
        {"{\"a\"", ":1}"},
        {"{\"a\":1,\"b\":", "2}"},
        {"{", "}"},
        {"", "{}"},
    };
    char text[2000];
    for (size_t i = 0; i < COUNT(around); i++) {
        int n = snprintf(text, sizeof text, "%s\n%1000s%s", around[i][0], "", around[i][1]);
        expect((strv){text, (size_t)n}, JSON_MEND_OK, (strv){text, (size_t)n}, "blanks");
    }
    int n = snprintf(text, sizeof text, "{\"a\":1,%1000s}", "");
    expect((strv){text, (size_t)n}, JSON_MEND_FIXED, STRV("{\"a\":1}"), "blanks");
    n = snprintf(text, sizeof text, "{\"a\":1,%1000s", "");
    expect((strv){text, (size_t)n}, JSON_MEND_FIXED, STRV("{\"a\":1}"), "blanks");
    /* a wilder run loses some */
    n = snprintf(text, sizeof text, "{\"a\":1,%1000s\n\n \"b\":2}", "");
    assert_int_equal(mend((strv){text, (size_t)n}, 3), JSON_MEND_FIXED);
    expect_object((strv){text, (size_t)n}, buf_view(&out));
}

static void nesting_ends_at_128(void **state)
{
    (void)state;
    for (int object = 0; object < 2; object++) {
        for (size_t levels = JSON_DEPTH_MAX - 1; levels <= JSON_DEPTH_MAX + 1; levels++) {
            struct buf text;
            buf_init(&text, 10000);
            buf_put_cstr(&text, "{\"a\":");
            for (size_t i = 1; i < levels; i++)
                buf_put_cstr(&text, object ? "{\"a\":" : "[");
            buf_put_cstr(&text, "1");
            for (size_t i = 1; i < levels; i++)
                buf_put_cstr(&text, object ? "}" : "]");
            buf_put_cstr(&text, "}");
            bool fits = levels <= JSON_DEPTH_MAX;
            assert_int_equal(mend(buf_view(&text), 5), fits ? JSON_MEND_OK : JSON_MEND_FAILED);
            expect_object(buf_view(&text), buf_view(&out));
            buf_fini(&text);
        }
    }
    char many[1000];
    memset(many, '[', sizeof many);
    assert_int_equal(mend((strv){many, sizeof many}, 1000), JSON_MEND_FAILED);
    expect_object((strv){many, sizeof many}, buf_view(&out));
}

static void a_number_of_more_than_120_characters_is_not_understood(void **state)
{
    (void)state;
    char text[200];
    for (int n = 115; n < 125; n++) {
        int len = snprintf(text, sizeof text, "{\"a\":0.%0*d}", n - 2, 1);
        strv all = {text, (size_t)len};
        assert_int_equal(mend(all, 4), n <= 120 ? JSON_MEND_OK : JSON_MEND_FAILED);
        expect_object(all, buf_view(&out));
        len = snprintf(text, sizeof text, "%0*d", n, 0);
        assert_int_equal(mend((strv){text, (size_t)len}, 4), JSON_MEND_FAILED);
        expect_object((strv){text, (size_t)len}, buf_view(&out));
    }
}

/* Random texts from the letters that matter; the same however they are cut, and within the bound. */
static void whatever_comes_leaves_as_an_object(void **state)
{
    (void)state;
    static const char *const atoms[] = {
        "{",       "}",     "[",    "]",       ",",       ":",      "\"",
        "'",       "\\",    "/",    "*",       "//",      "/*",     "*/",
        "`",       "```",   "json", "\n",      " ",       "\t",     "a",
        "true",    "None",  "NaN",  "-",       "+",       ".",      "1",
        "0",       "e",     "\\u",  "\\ud83d", "\\ude00", "d8",     "\xf0\x9f\x98\x80",
        "\xe2",    "\x82",  "\xff", "\x01",    "@",       "\"a\":", "{\"a\":",
        ",\"b\":", "\"x\"", "$",
    };
    struct rng rng;
    rng_seed(&rng, 20261122);
    for (int round = 0; round < 30000; round++) {
        char text[400], whole[4000];
        size_t n = 0, atoms_max = rng_below(&rng, 40);
        bool bytes = round % 8 == 0;
        if (round % 3 != 0)
            text[n++] = '{';
        for (size_t i = 0; i < atoms_max; i++) {
            const char *atom = atoms[rng_below(&rng, COUNT(atoms))];
            size_t len = bytes ? 1 : strlen(atom);
            memcpy(text + n, atom, len);
            if (bytes)
                text[n] = (char)rng_u64(&rng);
            n += len;
        }
        enum json_mend_result result = mend((strv){text, n}, 400);
        assert_true(buf_len(&out) <= 6 * n + 200);
        size_t len = buf_len(&out);
        memcpy(whole, buf_view(&out).ptr, len);
        expect_object((strv){text, n}, (strv){whole, len});
        if (result == JSON_MEND_OK)
            assert_true(strv_eq((strv){text, n}, (strv){whole, len}));
        assert_int_equal(mend((strv){text, n}, 1 + rng_below(&rng, 3)), result);
        assert_true(strv_eq(buf_view(&out), (strv){whole, len}));
        assert_int_equal(mend((strv){whole, len}, 400), JSON_MEND_OK);
    }
}

static void refused_memory_is_told(void **state)
{
    (void)state;
    for (size_t max = 0; max < 8; max++) {
        struct json_mend m;
        struct buf small;
        buf_init(&small, max);
        json_mend_init(&m);
        bool ok = json_mend_feed(&m, STRV("{\"a\":[1]}"), &small);
        assert_false(ok);
        json_mend_end(&m, &small);
        assert_true(small.failed);
        buf_fini(&small);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_out, close_out)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_valid_object_passes),
        TEST(a_valid_object_passes_as_it_comes),
        TEST(what_was_plainly_meant_is_mended),
        TEST(anything_else_stops_where_it_was_plain),
        TEST(every_beginning_of_a_valid_object_is_mended),
        TEST(a_long_key_gets_null),
        TEST(a_run_of_blanks_is_held_back),
        TEST(nesting_ends_at_128),
        TEST(a_number_of_more_than_120_characters_is_not_understood),
        TEST(whatever_comes_leaves_as_an_object),
        TEST(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
