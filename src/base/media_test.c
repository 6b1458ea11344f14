/* SPDX-License-Identifier: Apache-2.0 */
/* media: base64 in its spellings and in none, types by their first bytes, data URIs, vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/media.h"
#include "base/rng.h"

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

/* A copy of exact size, so that ASan sees a read behind the end; lives until give_back(). */
static strv exact(strv text)
{
    char *copy = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(copy);
    if (text.len != 0)
        memcpy(copy, text.ptr, text.len);
    return (strv){copy, text.len};
}

static void give_back(strv text)
{
    free((void *)(uintptr_t)text.ptr);
}

static const struct {
    strv bytes;
    const char *normal;
    const char *spellings[6];
} texts[] = {
    {{"", 0}, "", {" ", "\r\n\t "}},
    {{"\0", 1}, "AA==", {"AA", "A A\n", "AA= =\n", " AA=="}},
    {{"f", 1}, "Zg==", {"Zg", "\tZ\ng"}},
    {{"fo", 2}, "Zm8=", {"Zm8", "Zm8= ", "Z m 8"}},
    {{"foo", 3}, "Zm9v", {"Zm9v\n", "Z\rm9v"}},
    {{"foob", 4}, "Zm9vYg==", {"Zm9vYg", "Zm9v\nYg==", "Zm9v\r\nYg=\r\n="}},
    {{"fooba", 5}, "Zm9vYmE=", {"Zm9vYmE", "Zm9 vYm E"}},
    {{"foobar", 6}, "Zm9vYmFy", {"Zm9v YmFy"}},
    {{"\xfb\xff\xbf", 3}, "+/+/", {"-_-_", "-/+_", "-_-\n_"}},
    {{"\xff\xff", 2}, "//8=", {"__8", "__8=", "/_8"}},
    {{"\x00\x10\x83\x10\x51\x87\x20\x92\x8b", 9}, "ABCDEFGHIJKL", {"ABCDEF\nGHIJKL"}},
};

static void every_usual_spelling_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        for (size_t k = 0; k <= COUNT(texts[i].spellings); k++) {
            const char *spelling = k == 0 ? texts[i].normal : texts[i].spellings[k - 1];
            if (spelling == NULL)
                continue;
            strv in = exact(strv_of(spelling)), out;
            struct err err = ERR_INIT;
            size_t used = arena.used;
            assert_true(media_base64_normal(in, &arena, &out, CODE, &err));
            assert_true(strv_eq_cstr(out, texts[i].normal));
            if (k == 0) { /* in order: not copied */
                assert_ptr_equal(out.ptr, in.ptr);
                assert_int_equal(arena.used, used);
            }
            assert_true(media_base64_decode(in, &arena, &out, CODE, &err));
            assert_true(strv_eq(out, texts[i].bytes));
            give_back(in);
        }
        struct buf b;
        buf_init(&b, 100);
        assert_true(media_base64_put(&b, texts[i].bytes));
        assert_true(strv_eq_cstr(buf_view(&b), texts[i].normal));
        buf_fini(&b);
    }
    strv out;
    assert_true(media_base64_normal(STRV_NONE, &arena, &out, CODE, NULL));
    assert_int_equal(out.len, 0);
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const struct {
        strv text;
        size_t at;
    } cases[] = {
        {{"A", 1}, 1},       {{"AAAAA", 5}, 5},      {{"A===", 4}, 3},     {{"AA=", 3}, 3},
        {{"AAA==", 5}, 5},   {{"AAAA=", 5}, 5},      {{"AAAA====", 8}, 6}, {{"=", 1}, 1},
        {{"====", 4}, 2},    {{"AA==AA==", 8}, 4},   {{"AA=A", 4}, 3},     {{"AA==\nA", 6}, 5},
        {{"AA=-", 4}, 3},    {{"AA*A", 4}, 2},       {{"AAAA.", 5}, 4},    {{"AAA\0", 4}, 3},
        {{"AAA\xc3", 4}, 3}, {{"AAA%3D", 6}, 3},     {{"AB==", 4}, 4},     {{"AAB=", 4}, 4},
        {{"AAAAAB", 6}, 6},  {{"AB\nCDER\n", 8}, 8}, {{"\vAAAA", 5}, 0},   {{"data:,", 6}, 4},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        strv in = exact(cases[i].text), out = STRV_NONE;
        for (int k = 0; k < 2; k++) {
            struct err err = ERR_INIT;
            if (k == 0 ? media_base64_normal(in, &arena, &out, CODE, &err)
                       : media_base64_decode(in, &arena, &out, CODE, &err))
                fail_msg("'" STRV_FMT "' is taken", STRV_ARG(in));
            assert_int_equal(err.code, CODE);
            if (err.offset != cases[i].at)
                fail_msg("'" STRV_FMT "' at %zu, not %zu", STRV_ARG(in), err.offset, cases[i].at);
            assert_non_null(strstr(err.text, "invalid base64 at byte"));
        }
        assert_null(out.ptr);
        give_back(in);
    }
}

/* Whatever bytes, however spelt; and every byte value at every place. */
static void what_is_written_reads_back(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 4648);
    for (int round = 0; round < 3000; round++) {
        char bytes[100], text[600];
        size_t len = rng_below(&rng, sizeof bytes), n = 0;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)rng_u64(&rng);
        struct buf b;
        buf_init(&b, 1000);
        assert_true(media_base64_put(&b, (strv){bytes, len}));
        strv normal = buf_view(&b), out;
        for (size_t i = 0; i < normal.len; i++) {
            char c = normal.ptr[i];
            if (c == '=' && round % 2 == 0)
                continue;
            text[n++] = c == '+' && round % 3 == 0 ? '-' : c == '/' && round % 5 == 0 ? '_' : c;
            while (round % 7 == 0 && rng_below(&rng, 3) == 0)
                text[n++] = " \t\r\n"[rng_below(&rng, 4)];
        }
        strv in = exact((strv){text, n});
        assert_true(media_base64_normal(in, &arena, &out, CODE, NULL));
        assert_true(strv_eq(out, normal));
        assert_true(media_base64_decode(in, &arena, &out, CODE, NULL));
        assert_true(strv_eq(out, (strv){bytes, len}));
        if (n > 0) { /* a stray byte: refused, or another text that both read alike */
            strv again, bytes_again;
            struct buf c;
            buf_init(&c, 1000);
            text[rng_below(&rng, n)] = (char)rng_u64(&rng);
            bool ok = media_base64_normal((strv){text, n}, &arena, &again, CODE, NULL);
            assert_int_equal(media_base64_decode((strv){text, n}, &arena, &bytes_again, CODE, NULL),
                             ok);
            if (ok) {
                assert_true(media_base64_put(&c, bytes_again));
                assert_true(strv_eq(buf_view(&c), again));
            }
            buf_fini(&c);
        }
        give_back(in);
        buf_fini(&b);
        arena_reset(&arena);
    }
}

#define BMP "BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0"

static const struct {
    strv bytes;
    const char *type;
} files[] = {
    {{"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16}, "image/png"},
    {{"\xff\xd8\xff\xe0\0\x10JFIF", 10}, "image/jpeg"},
    {{"GIF87a\1", 7}, "image/gif"},
    {{"GIF89a\1", 7}, "image/gif"},
    {{"RIFF\1\2\3\4WEBPVP8 ", 16}, "image/webp"},
    {{"RIFF\1\2\3\4WAVEfmt ", 16}, "audio/wav"},
    {{"%PDF-1.7\n", 9}, "application/pdf"},
    {{BMP, sizeof BMP - 1}, "image/bmp"},
    {{"ID3\4\0", 5}, "audio/mpeg"},
    {{"\xff\xfb\x90\x64", 4}, "audio/mpeg"},
    {{"\xff\xf3\x40\xc0", 4}, "audio/mpeg"},
};

static void a_file_is_known_by_its_first_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        for (size_t more = 0; more < 40; more += 13) {
            struct buf b, bytes;
            buf_init(&b, 1000);
            buf_init(&bytes, 1000);
            buf_put_strv(&bytes, files[i].bytes);
            for (size_t k = 0; k < more; k++)
                buf_put_char(&bytes, 'x');
            assert_string_equal(media_type(buf_view(&bytes)), files[i].type);
            buf_put_cstr(&b, " \n");
            media_base64_put(&b, buf_view(&bytes));
            assert_string_equal(media_type_base64(buf_view(&b)), files[i].type);
            buf_fini(&bytes);
            buf_fini(&b);
        }
        for (size_t n = 0; n < files[i].bytes.len; n++) { /* a part is enough, or unknown */
            strv in = exact((strv){files[i].bytes.ptr, n});
            const char *type = media_type(in);
            assert_true(type == NULL || strcmp(type, files[i].type) == 0);
            give_back(in);
        }
    }
    static const strv none[] = {
        {"", 0},
        {NULL, 0},
        {"BM was here, and so were we", 27},
        {"RIFF\1\2\3\4AVI LIST", 16},
        {"hello, world", 12},
        {"\xff\xfe\x41\x00", 4}, /* UTF-16 */
        {"\xff\xff\xff\xff", 4},
        {"\x89PNG", 4},
        {"<svg xmlns=", 11},
        {"\xff\xfb\xf0\x00", 4},
        {"\xff\xeb\x90\x64", 4}, /* a version that there is not */
    };
    for (size_t i = 0; i < COUNT(none); i++)
        assert_null(media_type(none[i]));
    static const char *const no_base64[] = {
        "", "=", "*", "iVBORw0", "iVBORw0KG", "iVBO=Rw0KGgo", "%PDF-1.7"};
    for (size_t i = 0; i < COUNT(no_base64); i++)
        assert_null(media_type_base64(strv_of(no_base64[i])));
    assert_string_equal(media_type_base64(STRV("iVBORw0KGgo")), "image/png");
    assert_string_equal(media_type_base64(STRV("_9j_4AAQ*")), "image/jpeg"); /* not read so far */
}

static void data_uris_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *uri, *type, *charset;
        bool base64;
        strv data;
    } cases[] = {
        {"data:image/png;base64,iVBORw0KGgo=", "image/png", NULL, true, {"iVBORw0KGgo=", 12}},
        {"DATA:image/PNG;charset=x;BASE64,iVBORw0KGgo",
         "image/PNG",
         "x",
         true,
         {"iVBORw0KGgo=", 12}},
        {"data:image/svg+xml; base64,AA%3D%3d", "image/svg+xml", NULL, true, {"AA==", 4}},
        {"data:image/x;base64,-_-_", "image/x", NULL, true, {"+/+/", 4}},
        {"data:image/x;base64,", "image/x", NULL, true, {"", 0}},
        {"data:;base64,AA==", "text/plain", NULL, true, {"AA==", 4}},
        {"data:,", "text/plain", NULL, false, {"", 0}},
        {"data:,a%20b%2Cc%00%zz%4", "text/plain", NULL, false, {"a b,c\0%zz%4", 11}},
        {"data:text/plain;charset=utf-8,%e2%82%ac,;",
         "text/plain",
         "utf-8",
         false,
         {"\xe2\x82\xac,;", 5}},
        {"data:text/html;base64;x=1,AA==", "text/html", NULL, false, {"AA==", 4}},
        {"data:a/b;charset=,x", "a/b", NULL, false, {"x", 1}},
        {"data: text/plain ,x", "text/plain", NULL, false, {"x", 1}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        strv in = exact(strv_of(cases[i].uri));
        struct media_uri uri;
        struct err err = ERR_INIT;
        assert_true(media_is_data_uri(in));
        if (!media_data_uri(in, &arena, &uri, CODE, &err))
            fail_msg("%s: %s", cases[i].uri, err.text);
        assert_true(strv_eq_cstr(uri.type, cases[i].type));
        assert_true(strv_eq(uri.charset, strv_of(cases[i].charset)));
        assert_int_equal(uri.base64, cases[i].base64);
        assert_true(strv_eq(uri.data, cases[i].data));
        give_back(in);
    }
}

static void what_is_no_data_uri(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "data",
        "data:",
        "data:image/png;base64",
        "http://x/data:,",
        "data:png;base64,AA==",
        "data:image/;base64,AA==",
        "data:/png,x",
        "data:a/b/c,x",
        "data:image/p ng,x",
        "data:image/p\xc3\xa9,x",
        "data:\"a/b\",x",
        "data:image/png;base64,A",
        "data:image/png;base64,AA==#x",
        "data:image/png;base64,AB==",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        strv in = exact(strv_of(cases[i]));
        struct media_uri uri;
        struct err err = ERR_INIT;
        if (media_data_uri(in, &arena, &uri, CODE, &err))
            fail_msg("'%s' is taken", cases[i]);
        assert_int_equal(err.code, CODE);
        give_back(in);
    }
    struct media_uri uri;
    assert_false(media_is_data_uri(STRV_NONE));
    assert_false(media_data_uri(STRV_NONE, &arena, &uri, CODE, NULL));
}

static void a_large_picture_is_not_copied(void **state)
{
    (void)state;
    static const char head[] = "data:image/png;base64,iVBORw0KGgoA";
    struct buf b;
    struct media_uri uri;
    buf_init(&b, 8 << 20);
    buf_put_cstr(&b, head);
    for (int i = 0; i < 1 << 20; i++)
        buf_put_cstr(&b, "+/aZ");
    assert_true(media_data_uri(buf_view(&b), &arena, &uri, CODE, NULL));
    assert_ptr_equal(uri.data.ptr, buf_view(&b).ptr + 22);
    assert_int_equal(arena.used, 0);
    assert_string_equal(media_type_base64(uri.data), "image/png");
    buf_fini(&b);
}

static void vectors_keep_their_bits(void **state)
{
    (void)state;
    static const float few[] = {0, -0.0f, 1, -1.5f, 3.4028235e38f, 1e-45f, 0.1f};
    struct buf b;
    const float *got;
    size_t n;
    buf_init(&b, 1 << 20);
    assert_true(media_floats_put(&b, few, COUNT(few)));
    assert_true(strv_eq_cstr(buf_view(&b), "AAAAAAAAAIAAAIA/AADAv///f38BAAAAzczMPQ=="));
    assert_true(media_floats_get(buf_view(&b), &arena, &got, &n, CODE, NULL));
    assert_int_equal(n, COUNT(few));
    assert_memory_equal(got, few, sizeof few);
    static const size_t sizes[] = {0, 1, 2, 3, 191, 192, 193, 384, 1000, 4096};
    float *many = calloc(4096, sizeof *many);
    assert_non_null(many);
    for (size_t i = 0; i < 4096; i++)
        many[i] = (float)i / 7 - 100;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        buf_clear(&b);
        assert_true(media_floats_put(&b, many, sizes[i]));
        assert_int_equal(buf_len(&b), (sizes[i] * 4 + 2) / 3 * 4);
        assert_true(media_floats_get(buf_view(&b), &arena, &got, &n, CODE, NULL));
        assert_int_equal(n, sizes[i]);
        if (n > 0)
            assert_memory_equal(got, many, n * sizeof *many);
    }
    free(many);
    buf_fini(&b);
}

static void what_is_no_vector(void **state)
{
    (void)state;
    static const char *const cases[] = {"AA==",     "AAAAAAAA", "AAA",     "*",
                                        "AACAfw==", "AADAfw==", "AACA/w=="};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const float *v;
        size_t n;
        struct err err = ERR_INIT;
        if (media_floats_get(strv_of(cases[i]), &arena, &v, &n, CODE, &err))
            fail_msg("'%s' is taken", cases[i]);
        assert_int_equal(err.code, CODE);
    }
}

static void refused_memory_is_told(void **state)
{
    (void)state;
    struct arena none;
    struct err err = ERR_INIT;
    struct media_uri uri;
    const float *v;
    size_t n;
    strv out;
    arena_init(&none, 1024, 0);
    assert_false(media_base64_normal(STRV("AA"), &none, &out, CODE, &err));
    assert_int_equal(err.code, ERR_CODE_OOM);
    err_clear(&err);
    assert_false(media_base64_decode(STRV("AA=="), &none, &out, CODE, &err));
    assert_int_equal(err.code, ERR_CODE_OOM);
    err_clear(&err);
    assert_false(media_data_uri(STRV("data:,%20"), &none, &uri, CODE, &err));
    assert_int_equal(err.code, ERR_CODE_OOM);
    err_clear(&err);
    assert_false(media_floats_get(STRV("AAAAAA=="), &none, &v, &n, CODE, &err));
    assert_int_equal(err.code, ERR_CODE_OOM);
    arena_fini(&none);
    struct buf small;
    buf_init(&small, 7);
    assert_false(media_base64_put(&small, STRV("abcdef")));
    assert_true(small.failed);
    buf_clear(&small);
    assert_false(media_floats_put(&small, (const float[]){1, 2}, 2));
    assert_true(small.failed);
    buf_fini(&small);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_arena, close_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_usual_spelling_is_read),
        TEST(anything_else_is_refused),
        TEST(what_is_written_reads_back),
        TEST(a_file_is_known_by_its_first_bytes),
        TEST(data_uris_are_read),
        TEST(what_is_no_data_uri),
        TEST(a_large_picture_is_not_copied),
        TEST(vectors_keep_their_bits),
        TEST(what_is_no_vector),
        TEST(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
