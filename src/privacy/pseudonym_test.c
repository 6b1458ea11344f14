/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pseudonym - what goes out, what never does, and that all of it comes back, however the answer is cut.
 *
 * Findings are given by marks in the text: "<n:Maria Lopez>" is a name; the marks are taken out before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "privacy/privacy.h"

static const struct {
    char mark;
    enum privacy_kind kind;
} marks[] = {{'n', PRIVACY_NAME}, {'m', PRIVACY_MRN},         {'d', PRIVACY_DATE},
             {'z', PRIVACY_ZIP},  {'a', PRIVACY_AGE_OVER_89}, {'e', PRIVACY_EMAIL},
             {'h', PRIVACY_CASE}, {'i', PRIVACY_PHOTO}};

struct marked {
    char text[4096];
    size_t n;
    struct privacy_verdict found;
};

static void add_finding(struct privacy_verdict *v, enum privacy_kind kind, size_t start, size_t end)
{
    v->is_private = true;
    v->counts[kind]++;
    v->findings[v->n_findings++] = (struct privacy_finding){.kind = (uint8_t)kind,
                                                            .replaceable = true,
                                                            .weight = 1000,
                                                            .start = (uint32_t)start,
                                                            .end = (uint32_t)end};
}

static void read_marks(const char *p, struct marked *out)
{
    size_t open = 0;
    enum privacy_kind kind = PRIVACY_NAME;
    memset(out, 0, sizeof *out);
    for (; *p != '\0'; p++) {
        bool begins = false;
        for (size_t i = 0; *p == '<' && p[2] == ':' && i < sizeof marks / sizeof *marks; i++)
            if (marks[i].mark == p[1]) {
                kind = marks[i].kind;
                begins = true;
            }
        if (begins) {
            open = out->n;
            p += 2;
        } else if (*p == '>') {
            add_finding(&out->found, kind, open, out->n);
        } else {
            out->text[out->n++] = *p;
        }
    }
}

static enum pseudonyms_result replace(struct pseudonyms *m, const char *marked, struct buf *out)
{
    static struct marked text;
    read_marks(marked, &text);
    buf_clear(out);
    return pseudonyms_replace(m, (strv){text.text, text.n}, &text.found, out);
}

#define RANDOM 1000 /* even: 1865 days later... see pseudonyms_new() */

static void placeholders_are_typed_and_stable(void **state)
{
    static const struct {
        const char *marked, *sent;
    } rows[] = {
        {"{\"content\":\"is <n:Maria Lopez> off?\"}", "{\"content\":\"is PERSON-A off?\"}"},
        {"[\"<n:Maria>, <n:Tom>, <n:Maria>\"]", "[\"PERSON-A, PERSON-B, PERSON-A\"]"},
        {"[\"Dr. <n:Lee> and PGY-2 <n:Kim> saw patient <n:Roe>\"]",
         "[\"Dr. FACULTY-A and PGY-2 PGY2-A saw patient PATIENT-A\"]"},
        {"[\"<n:Kim> (PGY-3), <n:Lee> PGY1, <n:Poe>\"]",
         "[\"PGY3-A (PGY-3), PGY1-A PGY1, PGY1-B\"]"},
        {"[\"patient <n:Roe>, MRN <m:7731245>\"]", "[\"patient PATIENT-A, MRN MRN-1\"]"},
        {"[\"<m:1><m:2> <e:a@b.c>\"]", "[\"MRN-1MRN-2 EMAIL-1\"]"},
        {"[\"PERSON-A and <n:Ann>\"]", "[\"PERSON-A and PERSON-B\"]"},
        {"[\"person-a, PERSON-B and <n:Ann>\"]", "[\"person-a, PERSON-B and PERSON-C\"]"},
        {"[\"a <a:94> year old from <z:02139-4307>\"]", "[\"a 90+ year old from 021\"]"},
        {"[\"<z:03601>\", \"<z:1>\"]", "[\"000\", \"000\"]"},
        {"[\"<n:Mar\\u00eda> \\n<n:Jos\xc3\xa9> \\ud83d\\ude00 <n:Zo\\u00EB>\"]",
         "[\"PERSON-A \\nPERSON-B \\ud83d\\ude00 PERSON-C\"]"},
        {"{\"input\":{\"name\":\"<n:Ann>\"}}", "{\"input\":{\"name\":\"PERSON-A\"}}"},
        {"{\"a\":[1,{\"b\":\"<n:Ann>\"},true,\"<n:Bo>\"],\"c\":\"<n:Ann>\"}",
         "{\"a\":[1,{\"b\":\"PERSON-A\"},true,\"PERSON-B\"],\"c\":\"PERSON-A\"}"},
        {"[\"{\\\"who\\\": \\\"<n:Ann>\\\"}\"]", "[\"{\\\"who\\\": \\\"PERSON-A\\\"}\"]"},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pseudonyms *m = pseudonyms_new(RANDOM);
        assert_non_null(m);
        assert_int_equal(replace(m, rows[i].marked, &out), PSEUDONYMS_DONE);
        buf_put_char(&out, '\0');
        assert_string_equal(buf_view(&out).ptr, rows[i].sent);
        pseudonyms_free(m);
    }
    buf_fini(&out);
}

static void the_impossible_stays_at_home(void **state)
{
    static const char *const rows[] = {
        "[\"a <h:pt in bed 4> with fever\"]",   /* no identifier */
        "[\"<n:Ann>\", \"<h:pt in bed 4>\"]",   /* not all of it */
        "[\"<i:face.jpg>\"]",                   /* nothing can stand for it */
        "{\"<n:Ann>\":1}",                      /* a member's name */
        "{\"mrn\":<m:7731245>}",                /* a number */
        "{\"model\":\"<n:Ann>\"}",              /* the protocol's */
        "{\"tools\":[{\"name\":\"<n:Ann>\"}]}", /* ... */
        "{\"id\":[\"<n:Ann>\"]}",               /* ... */
        "{\"input\":[],\"id\":\"<n:Ann>\"}",    /* arguments are over */
        "[\"a\\<n:nAnn>\"]",                    /* begins inside an escape */
        "[\"Mar\\u00<n:eda>\"]",                /* ... */
        "[\"<n:Mar\\u00>eda\"]",                /* ends inside one */
        "[\"<n:Ann \\\"Bo\\\" Lee>\"]",         /* would need escapes on the way back */
        "[\"<n:Ann\\nLee>\"]",                  /* ... */
        "[\"<n:Ann\",\"Lee>\"]",                /* more than one string */
        "[\"<n:>\"]",                           /* no place */
        "[\"\xc3<n:\xa9t>\"]",                  /* inside a letter */
        "[]",
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pseudonyms *m = pseudonyms_new(RANDOM);
        assert_non_null(m);
        if (replace(m, rows[i], &out) != PSEUDONYMS_IMPOSSIBLE)
            fail_msg("%s", rows[i]);
        pseudonyms_free(m);
    }
    buf_fini(&out);
}

static void every_finding_counts(void **state)
{
    static struct privacy_verdict v;
    (void)state;
    privacy_verdict_init(&v);
    assert_false(pseudonyms_possible(&v));
    add_finding(&v, PRIVACY_NAME, 2, 5);
    assert_true(pseudonyms_possible(&v));
    v.findings[0].replaceable = false;
    assert_false(pseudonyms_possible(&v));
    v.findings[0].replaceable = true;
    v.more = true;
    assert_false(pseudonyms_possible(&v));
    v.more = false;
    v.counts[PRIVACY_NAME] = 2; /* one of them without a place */
    assert_false(pseudonyms_possible(&v));
    v.counts[PRIVACY_NAME] = 1;
    for (size_t i = 0; i < PRIVACY_KINDS; i++) {
        if (privacy_kinds[i].group == PRIVACY_IDENTIFIER)
            continue;
        v.counts[i] = 1;
        assert_false(pseudonyms_possible(&v));
        v.counts[i] = 0;
    }
}

static void overlapping_findings_are_one(void **state)
{
    static struct privacy_verdict v;
    struct buf out;
    struct pseudonyms *m = pseudonyms_new(RANDOM);
    strv json = STRV("[\"ann.lee@x.org is here\"]");
    (void)state;
    buf_init(&out, 1 << 16);
    privacy_verdict_init(&v);
    add_finding(&v, PRIVACY_NAME, 6, 9); /* not in order */
    add_finding(&v, PRIVACY_EMAIL, 2, 15);
    add_finding(&v, PRIVACY_NAME, 2, 5);
    assert_int_equal(pseudonyms_replace(m, json, &v, &out), PSEUDONYMS_DONE);
    assert_true(strv_eq(buf_view(&out), STRV("[\"EMAIL-1 is here\"]")));
    pseudonyms_free(m);
    buf_fini(&out);
}

static void dates_move_together(void **state)
{
    static const char *const same[] = {"2025-06-11", "06/11/2025",    "6/11/25",
                                       "11JUN2025",  "June 11, 2025", "11 de junio de 2025",
                                       "20250611"};
    struct buf out;
    char text[256];
    (void)state;
    buf_init(&out, 1 << 16);
    for (uint64_t random = 0; random < 4000; random += 7) {
        struct pseudonyms *m = pseudonyms_new(random);
        int y[2], mo[2], d[2];
        assert_int_equal(replace(m, "[\"<d:2024-02-28>|<d:2024-03-01>\"]", &out), PSEUDONYMS_DONE);
        buf_put_char(&out, '\0');
        assert_int_equal(sscanf(buf_view(&out).ptr, "[\"DATE-%d-%d-%d|DATE-%d-%d-%d", &y[0], &mo[0],
                                &d[0], &y[1], &mo[1], &d[1]),
                         6);
        assert_null(strstr(buf_view(&out).ptr, "2024-02-28"));
        struct tm a = {.tm_year = y[0] - 1900, .tm_mon = mo[0] - 1, .tm_mday = d[0], .tm_hour = 12};
        struct tm b = {.tm_year = y[1] - 1900, .tm_mon = mo[1] - 1, .tm_mday = d[1], .tm_hour = 12};
        assert_int_equal(timegm(&b) - timegm(&a), 2 * 86400);
        pseudonyms_free(m);
    }
    struct pseudonyms *m = pseudonyms_new(RANDOM);
    assert_int_equal(replace(m, "[\"<d:2025-06-11>\"]", &out), PSEUDONYMS_DONE);
    size_t n = buf_len(&out);
    for (size_t i = 1; i < sizeof same / sizeof *same; i++) { /* same day, a number behind it */
        snprintf(text, sizeof text, "[\"<d:%s>\"]", same[i]);
        assert_int_equal(replace(m, text, &out), PSEUDONYMS_DONE);
        assert_int_equal(buf_len(&out), n + 2);
    }
    assert_int_equal(replace(m, "[\"<d:last Tuesday>\", \"<d:13/32/2020>\"]", &out),
                     PSEUDONYMS_DONE);
    assert_true(strv_eq(buf_view(&out), STRV("[\"DATE-1\", \"DATE-2\"]")));
    pseudonyms_free(m);
    buf_fini(&out);
}

static void only_our_own_is_clean(void **state)
{
    static struct privacy_verdict v;
    struct buf out;
    struct pseudonyms *m = pseudonyms_new(RANDOM);
    (void)state;
    buf_init(&out, 1 << 16);
    assert_int_equal(replace(m, "[\"<n:Maria Lopez>, MRN <m:7731245>\"]", &out), PSEUDONYMS_DONE);
    strv sent = buf_view(&out); /* ["PERSON-A, MRN MRN-1"] */
    privacy_verdict_init(&v);
    assert_true(pseudonyms_clean(m, sent, &v));
    add_finding(&v, PRIVACY_MRN, 16, 21); /* our placeholder behind its label */
    assert_true(pseudonyms_clean(m, sent, &v));
    v.findings[0].start = 12;
    assert_false(pseudonyms_clean(m, sent, &v));
    v.findings[0].start = v.findings[0].end = 16;
    assert_false(pseudonyms_clean(m, sent, &v));
    v.findings[0] = (struct privacy_finding){.kind = PRIVACY_CASE, .start = 16, .end = 21};
    v.counts[PRIVACY_CASE] = 1;
    v.counts[PRIVACY_MRN] = 0;
    assert_false(pseudonyms_clean(m, sent, &v));
    privacy_verdict_init(&v); /* what the detector did not see elsewhere */
    assert_false(pseudonyms_clean(m, STRV("[\"PERSON-A\", \"ask maria\"]"), &v));
    assert_false(pseudonyms_clean(m, STRV("[\"PERSON-A\", \"LOPEZ, x\"]"), &v));
    assert_false(pseudonyms_clean(m, STRV("[\"id 7731245\"]"), &v));
    assert_true(pseudonyms_clean(m, STRV("[\"mariachi lopezes 17731245\"]"), &v));
    pseudonyms_free(m);
    buf_fini(&out);
}

/* ---- the way back ---- */

static void restore_cut(struct pseudonyms *m, enum pseudonym_form form, strv in, size_t a, size_t b,
                        strv want)
{
    struct pseudonym_restorer r;
    struct buf out;
    buf_init(&out, 1 << 16);
    pseudonym_restorer_init(&r, m, form);
    assert_true(pseudonym_restore(&r, (strv){in.ptr, a}, &out));
    assert_true(pseudonym_restore(&r, (strv){in.ptr + a, b - a}, &out));
    assert_true(pseudonym_restore(&r, (strv){in.ptr + b, in.len - b}, &out));
    assert_true(pseudonym_restore_end(&r, &out));
    if (!strv_eq(buf_view(&out), want))
        fail_msg("cut at %zu, %zu: %.*s", a, b, STRV_ARG(buf_view(&out)));
    buf_fini(&out);
}

static void restored_at_every_cut(void **state)
{
    static const struct {
        enum pseudonym_form form;
        const char *answer, *want;
    } rows[] = {
        {PSEUDONYM_TEXT, "PERSON-A", "Ann O'Neil"},
        {PSEUDONYM_TEXT, "Ask PERSON-A, not PERSON-B.", "Ask Ann O'Neil, not Bo."},
        {PSEUDONYM_TEXT, "PERSON-A's and Person-b\xe2\x80\x99s",
         "Ann O'Neil's and Bo\xe2\x80\x99s"},
        {PSEUDONYM_TEXT,
         "**PERSON-A** (mrn-1) PERSON_A PERSON\xe2\x80\x91"
         "B",
         "**Ann O'Neil** (77) Ann O'Neil Bo"},
        {PSEUDONYM_TEXT, "PERSON-AB PERSON-Q xPERSON-A PERSON- PERSON MRN-12 MRN-1.",
         "PERSON-AB PERSON-Q xPERSON-A PERSON- PERSON MRN-12 77."},
        {PSEUDONYM_TEXT, "PERSON-APERSON-B", "PERSON-APERSON-B"},
        {PSEUDONYM_TEXT, "PERSON-A-PERSON-B", "Ann O'Neil-Bo"},
        {PSEUDONYM_TEXT, "PERPERSON-A PERSOPERSON-A PERSON-PERSON-A\xe2\x80",
         "PERPERSON-A PERSOPERSON-A PERSON-Ann O'Neil\xe2\x80"},
        {PSEUDONYM_TEXT, "no one here", "no one here"},
        {PSEUDONYM_TEXT, "", ""},
        {PSEUDONYM_JSON, "{\"who\":\"PERSON-A\",\"x\":\"a\\nPERSON-B\\u0041PERSON-B\\\\PERSON-C\"}",
         "{\"who\":\"Ann O'Neil\",\"x\":\"a\\nBo\\u0041Bo\\\\Zo\xc3\xab\"}"},
        {PSEUDONYM_TEXT, "a\\nPERSON-B", "a\\nPERSON-B"},
    };
    struct buf out;
    struct pseudonyms *m = pseudonyms_new(RANDOM);
    (void)state;
    buf_init(&out, 1 << 16);
    assert_int_equal(replace(m, "[\"<n:Ann O'Neil>, <n:Bo>, <m:77>, <n:Zo\\u00eb>\"]", &out),
                     PSEUDONYMS_DONE);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        strv in = strv_of(rows[i].answer);
        for (size_t a = 0; a <= in.len; a++)
            for (size_t b = a; b <= in.len; b++)
                restore_cut(m, rows[i].form, in, a, b, strv_of(rows[i].want));
    }
    pseudonyms_free(m);
    buf_fini(&out);
}

static void restored_byte_by_byte_and_held_no_longer(void **state)
{
    struct buf out;
    struct pseudonym_restorer r;
    struct pseudonyms *m = pseudonyms_new(RANDOM);
    strv in = STRV("PERSON-A, PERSON-B: P PE PERSON DATE-1 2 MRN-");
    (void)state;
    buf_init(&out, 1 << 16);
    assert_int_equal(replace(m, "[\"<n:Ann>, <n:Bo> <d:soon>\"]", &out), PSEUDONYMS_DONE);
    buf_clear(&out);
    pseudonym_restorer_init(&r, m, PSEUDONYM_TEXT);
    for (size_t i = 0; i < in.len; i++) {
        assert_true(pseudonym_restore(&r, (strv){in.ptr + i, 1}, &out));
        assert_true(r.n <= PSEUDONYM_LENGTH_MAX);
        if (in.ptr[i] == ' ' || in.ptr[i] == ',')
            assert_int_equal(r.n, 0);
    }
    assert_true(pseudonym_restore_end(&r, &out));
    assert_true(strv_eq(buf_view(&out), STRV("Ann, Bo: P PE PERSON soon 2 MRN-")));
    assert_int_equal(pseudonyms_unknown(m), 0);
    buf_clear(&out);
    assert_true(pseudonym_restore(&r, STRV("PERSON-X and MRN-7 and ID-"), &out));
    assert_true(pseudonym_restore_end(&r, &out));
    assert_int_equal(pseudonyms_unknown(m), 2);
    pseudonyms_free(m);
    buf_fini(&out);
}

static void escapes_in_arguments(void **state)
{
    static struct privacy_verdict v;
    struct buf out;
    struct pseudonym_restorer r;
    struct pseudonyms *m = pseudonyms_new(RANDOM);
    (void)state;
    buf_init(&out, 1 << 16);
    privacy_verdict_init(&v);
    add_finding(&v, PRIVACY_NAME, 2, 6);
    assert_int_equal(pseudonyms_replace(m, STRV("[\"A/\x7fZ\"]"), &v, &out), PSEUDONYMS_DONE);
    buf_clear(&out);
    pseudonym_restorer_init(&r, m, PSEUDONYM_JSON);
    assert_true(pseudonym_restore(&r, STRV("{\"a\":\"PERSON-A\"}"), &out));
    assert_true(pseudonym_restore_end(&r, &out));
    assert_true(strv_eq(buf_view(&out), STRV("{\"a\":\"A/\x7fZ\"}")));
    pseudonyms_free(m);
    buf_fini(&out);
}

/* Random documents: what was replaced and put back is what was there. */
static void back_again_is_the_same(void **state)
{
    static const char *const values[] = {"Ann",   "Bo Li",       "Zo\xc3\xab", "O'Neil", "7731245",
                                         "x@y.z", "Jos\xc3\xa9", "A",          "Person", "MRN"};
    static const char *const plain[] = {" ",  "PERSON-", "MRN-",   "a",       ", \xc3\xa9",
                                        "PE", "DATE-1 ", "person", "-A",      "\\n",
                                        "'s", ". ",      "(",      "\\u00e9", "\\\""};
    uint64_t seed = 42;
    struct buf out, back;
    (void)state;
    buf_init(&out, 1 << 16);
    buf_init(&back, 1 << 16);
    for (size_t round = 0; round < 3000; round++) {
        static struct marked text;
        struct pseudonyms *m = pseudonyms_new(round);
        struct pseudonym_restorer r;
        memset(&text, 0, sizeof text);
        text.n = (size_t)snprintf(text.text, sizeof text.text, "[\"");
        for (size_t i = 0; i < 12; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bool is_value = seed >> 60 < 6 || i == 5;
            const char *p = is_value ? values[(seed >> 33) % 10] : plain[(seed >> 33) % 15];
            size_t from = text.n + 1; /* a blank around each: a placeholder ends with its word */
            text.n += (size_t)snprintf(text.text + text.n, sizeof text.text - text.n,
                                       is_value ? " %s " : "%s", p);
            if (is_value)
                add_finding(&text.found, (seed >> 50) % 2 != 0 ? PRIVACY_NAME : PRIVACY_MRN, from,
                            text.n - 1);
        }
        text.n += (size_t)snprintf(text.text + text.n, sizeof text.text - text.n, "\"]");
        strv json = {text.text, text.n};
        buf_clear(&out);
        buf_clear(&back);
        assert_int_equal(pseudonyms_replace(m, json, &text.found, &out), PSEUDONYMS_DONE);
        pseudonym_restorer_init(&r, m, PSEUDONYM_JSON);
        for (size_t i = 0, k = 1; i < buf_len(&out); i += k) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            k = 1 + (seed >> 40) % 9;
            k = k < buf_len(&out) - i ? k : buf_len(&out) - i;
            assert_true(pseudonym_restore(&r, (strv){buf_view(&out).ptr + i, k}, &back));
        }
        assert_true(pseudonym_restore_end(&r, &back));
        if (!strv_eq(buf_view(&back), json))
            fail_msg("%.*s\n%.*s\n%.*s", STRV_ARG(json), STRV_ARG(buf_view(&out)),
                     STRV_ARG(buf_view(&back)));
        pseudonyms_free(m);
    }
    buf_fini(&out);
    buf_fini(&back);
}

static void memory_refused_is_told(void **state)
{
    struct buf out;
    (void)state;
    mem_fail_at(1, true);
    assert_null(pseudonyms_new(1));
    mem_fail_at(0, false);
    struct pseudonyms *m = pseudonyms_new(1);
    buf_init(&out, 1 << 16);
    mem_fail_at(1, true);
    assert_int_equal(replace(m, "[\"<n:Ann>\"]", &out), PSEUDONYMS_NO_MEMORY);
    mem_fail_at(0, false);
    pseudonyms_free(m);
    pseudonyms_free(NULL);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placeholders_are_typed_and_stable),
        cmocka_unit_test(the_impossible_stays_at_home),
        cmocka_unit_test(every_finding_counts),
        cmocka_unit_test(overlapping_findings_are_one),
        cmocka_unit_test(dates_move_together),
        cmocka_unit_test(only_our_own_is_clean),
        cmocka_unit_test(restored_at_every_cut),
        cmocka_unit_test(restored_byte_by_byte_and_held_no_longer),
        cmocka_unit_test(escapes_in_arguments),
        cmocka_unit_test(back_again_is_the_same),
        cmocka_unit_test(memory_refused_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
