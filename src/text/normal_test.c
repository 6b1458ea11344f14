/* SPDX-License-Identifier: Apache-2.0 */
/* Texts and what they look like in the views; the way back; joined pieces; no memory. */
#include "text/normal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct text_scratch *scratch;

static int setup(void **state)
{
    (void)state;
    scratch = text_scratch_new();
    return scratch != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    text_scratch_free(scratch);
    assert_int_equal(mem_live(), 0);
    return 0;
}

static struct text_view view_of(const char *text, enum text_escapes escapes)
{
    struct text_view v;
    assert_true(text_normalise(scratch, strv_of(text), escapes, &v));
    assert_true(v.at == NULL || v.at[v.n] == strlen(text));
    for (size_t i = 0; i < v.n; i++)
        assert_true(text_at(&v, i) <= text_at(&v, i + 1));
    return v;
}

static void same(strv got, const char *want)
{
    if (!strv_eq_cstr(got, want))
        fail_msg("got <" STRV_FMT ">, want <%s>", STRV_ARG(got), want);
}

static void becomes(const char *text, enum text_escapes escapes, const char *plain,
                    const char *folded)
{
    struct text_view v = view_of(text, escapes);
    assert_false(v.invalid);
    same((strv){v.plain, v.n}, plain);
    same((strv){v.folded, v.n}, folded);
}

static void test_ascii(void **state)
{
    (void)state;
    const char *text = "Block 7 of PGY2-03: 94% of [A-Z]@{z}";
    struct text_view v = view_of(text, TEXT_PLAIN);
    becomes(text, TEXT_PLAIN, text, "block 7 of pgy2-03: 94% of [a-z]@{z}");
    assert_true(v.ascii && !v.odd);
    v = view_of("no escape here", TEXT_JSON_STRING);
    assert_null(v.at);
    v = view_of("", TEXT_PLAIN);
    assert_int_equal(v.n, 0);
}

static void test_folds(void **state)
{
    (void)state;
    static const struct {
        const char *text, *plain;
    } rows[] = {
        {"José Núñez, Øystein Łuk, Straße", "Jose Nunez, Oystein Luk, Strasse"},
        {"Trần Quốc Đạt", "Tran Quoc Dat"},
        {"e\xCC\x81", "e"},               /* a mark of its own */
        {"ＭＲＮ：００４８", "MRN:0048"}, /* full width */
        {"𝐌𝐑𝐍 𝟒𝟖", "MRN 48"},             /* mathematical */
        {"٤٨١٥", "4815"},                 /* Arabic digits */
        {"808‑555–0143", "808-555-0143"}, /* other dashes */
        {"‘it’ “is”", "'it' \"is\""},
        {"a\xC2\xA0"
         "b\xE2\x80\xAF"
         "c",
         "a b c"}, /* hard and narrow blanks */
        {"pat\xE2\x80\x8Bi\xC2\xAD"
         "ent",
         "patient"},                            /* zero width, soft hyphen */
        {"\xE2\x80\xAEtxt\xE2\x80\xAC", "txt"}, /* direction */
        {"раtient", "patient"},                 /* Cyrillic p, a */
        {"Ασχημο", "Ασχημο"},                   /* Greek alone stays */
        {"Вот", "Вот"},
        {"佐々木 x", "佐々木 x"},
        {"o\x01k", "ok"},
        {"a\x0C"
         "b",
         "a\nb"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        same((strv){view_of(rows[i].text, TEXT_PLAIN).plain, view_of(rows[i].text, TEXT_PLAIN).n},
             rows[i].plain);
    assert_true(view_of("pat\xE2\x80\x8Bient", TEXT_PLAIN).odd);
    assert_true(view_of("раtient", TEXT_PLAIN).odd);
    assert_int_equal(view_of("раtient", TEXT_PLAIN).scripts, TEXT_LATIN);
    assert_int_equal(view_of("Вот", TEXT_PLAIN).scripts, TEXT_LATIN | TEXT_CYRILLIC);
    assert_int_equal(view_of("值班", TEXT_PLAIN).scripts & TEXT_OTHER_SCRIPT, TEXT_OTHER_SCRIPT);
    assert_int_equal(view_of("😀 … → ±", TEXT_PLAIN).scripts, TEXT_LATIN);
    becomes("ПРИВЕТ ΩΣ Ё", TEXT_PLAIN, "ПРИВЕТ ΩΣ Ё", "привет ωσ ё");
}

static void test_escapes(void **state)
{
    (void)state;
    becomes("a\\nB\\u00e9\\\"", TEXT_JSON_STRING, "a\nBe\"", "a\nbe\"");
    becomes("{\\\"n\\\":\\\"Jos\\\\u00e9\\\\nM\\\"}", TEXT_JSON_STRING, "{\"n\":\"Jose\nM\"}",
            "{\"n\":\"jose\nm\"}");
    becomes("\\ud83d\\ude00x", TEXT_JSON_STRING, "😀x", "😀x");
    becomes("Manr\\u00edquez\\nnext", TEXT_PLAIN, "Manriquez\nnext", "manriquez\nnext");
    becomes("C:\\new\\table \\nabla \\theta", TEXT_PLAIN, "C:\\new\\table \\nabla \\theta",
            "c:\\new\\table \\nabla \\theta");
    becomes("Jos&eacute; &amp;amp; &#77;&#x52;N&nbsp;4", TEXT_PLAIN, "Jose & MRN 4",
            "jose & mrn 4");
    becomes("pat&shy;ient%20MRN%3A481516%C3%A9", TEXT_PLAIN, "patient MRN:481516e",
            "patient mrn:481516e");
    becomes("100% &done; %zz \\d{3}", TEXT_PLAIN, "100% &done; %zz \\d{3}",
            "100% &done; %zz \\d{3}");
}

static void test_invalid(void **state)
{
    (void)state;
    static const char *const plain[] = {"\xFF", "a\xC3", "\xED\xA0\x80", "\xF5\x80\x80\x80", NULL};
    static const char *const json[] = {"\\q", "\\", "\\u12", "\\ud800", "\\udc00x", NULL};
    for (size_t i = 0; plain[i] != NULL; i++)
        assert_true(view_of(plain[i], TEXT_PLAIN).invalid);
    for (size_t i = 0; json[i] != NULL; i++)
        assert_true(view_of(json[i], TEXT_JSON_STRING).invalid);
}

static void test_way_back(void **state)
{
    (void)state;
    const char *text = "x \\u0041\\u0042 é\xE2\x80\x8Bz";
    struct text_view v = view_of(text, TEXT_JSON_STRING);
    same((strv){v.plain, v.n}, "x AB ez");
    assert_int_equal(text_at(&v, 2), 2);
    assert_int_equal(text_at(&v, 3), 8);
    assert_int_equal(text_at(&v, 5), 15);
    assert_int_equal(text_at(&v, 6), 20);
    assert_int_equal(text_at(&v, 7), strlen(text));
}

static void test_joined(void **state)
{
    (void)state;
    strv document = STRV("{\"mrn\":\"48\\n15\"}");
    struct text_view v;
    for (int round = 0; round < 2; round++) {
        text_begin(scratch);
        assert_true(text_add(scratch, (strv){document.ptr + 2, 3}, 2, TEXT_JSON_STRING));
        assert_true(text_add_own(scratch, STRV(": "), 5));
        assert_true(text_add(scratch, (strv){document.ptr + 8, 6}, 8, TEXT_JSON_STRING));
        assert_int_equal(text_added(scratch), 10);
        assert_true(text_end(scratch, document, &v));
        same((strv){v.plain, v.n}, "mrn: 48\n15");
        assert_int_equal(text_at(&v, 5), 8);
        assert_int_equal(text_at(&v, 8), 12);
    }
}

/* Where texts of their own begin is told by the view, also when only its end is kept. */
static void test_marks(void **state)
{
    (void)state;
    struct text_view v;
    text_begin(scratch);
    for (uint32_t i = 0; i < 100; i++) {
        assert_true(text_mark(scratch));
        assert_true(text_add_own(scratch, STRV("one two\n"), 0));
    }
    assert_true(text_end(scratch, STRV(""), &v));
    assert_int_equal(v.n_starts, 100);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(v.starts[i], 8 * i);
    text_keep(scratch, 13); /* "two\none two\n" */
    assert_true(text_end(scratch, STRV(""), &v));
    same((strv){v.plain, v.n}, "two\none two\n");
    assert_int_equal(v.n_starts, 1);
    assert_int_equal(v.starts[0], 4);
    v = view_of("x", TEXT_PLAIN);
    assert_int_equal(v.n_starts, 0);
    struct text_scratch *s = text_scratch_new();
    text_begin(s);
    mem_fail_at(1, false);
    assert_false(text_mark(s));
    mem_fail_at(0, false);
    assert_false(text_end(s, STRV(""), &v)); /* the text has failed as a whole */
    text_scratch_free(s);
}

/* Text cut in two at every place: no part reads beyond itself, whatever it is cut in. */
static void test_every_split(void **state)
{
    (void)state;
    const char *text = "é\\u0041\\\\n&eacute;%C3%A9\\ud83d\\ude00 \xE2\x80\x8B раt &#x41; C:\\n";
    for (size_t i = 0; i <= strlen(text); i++)
        for (int escapes = TEXT_PLAIN; escapes <= TEXT_JSON_STRING; escapes++) {
            strv parts[2] = {{text, i}, {text + i, strlen(text) - i}};
            for (int k = 0; k < 2; k++) {
                char *own = mem_alloc(parts[k].len); /* a sanitizer sees the end */
                assert_non_null(own);
                memcpy(own, parts[k].ptr, parts[k].len);
                struct text_view v;
                assert_true(text_normalise(scratch, (strv){own, parts[k].len},
                                           (enum text_escapes)escapes, &v));
                assert_true(v.n <= parts[k].len);
                mem_free(own);
            }
        }
}

static void test_no_memory(void **state)
{
    (void)state;
    static char text[20000];
    memset(text, 'x', sizeof text);
    text[100] = '\\';
    for (uint64_t nth = 1; nth <= 7; nth++) {
        struct text_view v;
        mem_fail_at(nth, false);
        struct text_scratch *s = text_scratch_new();
        bool ok = s != NULL && text_normalise(s, STRV("small"), TEXT_PLAIN, &v);
        ok = ok && text_normalise(s, (strv){text, sizeof text}, TEXT_PLAIN, &v);
        mem_fail_at(0, false);
        assert_false(ok);
        if (s != NULL) { /* and it works again */
            assert_true(text_normalise(s, (strv){text, sizeof text}, TEXT_PLAIN, &v));
            assert_int_equal(v.n, sizeof text);
        }
        text_scratch_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ascii, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_invalid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_way_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_split, setup, teardown),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
