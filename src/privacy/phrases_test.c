/* SPDX-License-Identifier: Apache-2.0 */
/* phrases_test - every phrase is found where it stands and nowhere else: the tree against a search for each phrase. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "privacy/rules.h"

enum { TEXT_MAX = 400, HITS_MAX = 4096 };

static struct privacy_scratch scratch;
static struct privacy_hit expected[HITS_MAX];
static size_t n_expected;

/* One blank for up to three; where each byte comes from. */
static size_t space_out(char *to, uint32_t *map, const char *from, size_t n)
{
    size_t k = 0, run = 0;
    for (size_t i = 0; i < n; i++) {
        bool blank = strchr(" _-.'\n\t\r", from[i]) != NULL;
        run = blank ? run + 1 : 0;
        k -= blank && run > 1 && run < 4 && (from[i] != '\n' || from[i - 1] != '\n');
        to[k] = blank ? ' ' : from[i];
        map[k++] = (uint32_t)i;
    }
    return k;
}

static void expect(strv phrase, unsigned row, const char *text, const uint32_t *map, size_t n)
{
    for (size_t i = 0; i + phrase.len <= n; i++) {
        size_t end = i + phrase.len;
        bool limits = (!is_word(phrase.ptr[0]) || i == 0 || !is_letter(text[i - 1])) &&
                      (!is_word(phrase.ptr[phrase.len - 1]) || end == n || !is_letter(text[end]));
        if (memcmp(text + i, phrase.ptr, phrase.len) != 0 || !limits)
            continue;
        assert_true(n_expected < HITS_MAX);
        expected[n_expected++] = (struct privacy_hit){map[i], map[end - 1] + 1, (uint16_t)row};
    }
}

static int by_place(const void *a, const void *b)
{
    const struct privacy_hit *x = a, *y = b;
    return x->end != y->end       ? (x->end > y->end) - (x->end < y->end)
           : x->start != y->start ? (x->start > y->start) - (x->start < y->start)
                                  : x->what - y->what;
}

static void check(const struct phrases *p, const char *text)
{
    char spaced[TEXT_MAX];
    uint32_t map[TEXT_MAX];
    struct text_view view = {.folded = text, .plain = text, .n = strlen(text)};
    struct privacy_piece *t = &scratch.piece;
    piece_begin(t, NULL, &scratch, &view);
    char *own = malloc(view.n + (view.n == 0)); /* a byte too far is seen */
    memcpy(own, text, view.n);
    assert_true(phrases_scan(p, t, own, view.n, NULL));
    free(own);
    for (size_t i = 1; i < t->n_hits; i++)
        assert_true(t->hits[i - 1].end <= t->hits[i].end);
    size_t n = space_out(spaced, map, text, view.n);
    n_expected = 0;
    for (unsigned row = 0; row < PHRASES; row++) {
        strv rest = strv_of(rules_rows[row].phrases), phrase;
        while (strv_cut(&rest, ';', &phrase))
            expect(phrase, row, spaced, map, n);
    }
    qsort(expected, n_expected, sizeof *expected, by_place);
    if (t->n_hits > 0)
        qsort(t->hits, t->n_hits, sizeof *t->hits, by_place);
    if (t->n_hits != n_expected)
        fail_msg("<%s>: %zu instead of %zu", text, t->n_hits, n_expected);
    for (size_t i = 0; i < n_expected; i++)
        assert_int_equal(by_place(&t->hits[i], &expected[i]), 0);
}

static void each_phrase_is_found(void **state)
{
    struct phrases *p = *state;
    char text[TEXT_MAX];
    for (unsigned row = 0; row < PHRASES; row++) {
        strv rest = strv_of(rules_rows[row].phrases), phrase;
        while (strv_cut(&rest, ';', &phrase)) {
            static const char *const around[][2] = {
                {"", ""}, {"x", ""}, {"", "x"}, {"7", "7"}, {" ", "\n"}, {"(", ")"}, {"--", ".."}};
            for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
                snprintf(text, sizeof text, "%s" STRV_FMT "%s", around[i][0], STRV_ARG(phrase),
                         around[i][1]);
                check(p, text);
            }
        }
    }
}

/* Phrases and other things in any order, with all kinds of blanks. */
static void any_text_is_read_alike(void **state)
{
    struct phrases *p = *state;
    static const char *const pieces[] = {
        " ", "_",    "-", "'s ", "\n",   "\n\n", ". ", "   ", "    ",     "x",  "12",    "@",
        "#", "(at)", "/", ":",   "[at ", "m",    "yo", "y/o", "\xc3\xb1", "of", "last 4"};
    srand(4);
    int rounds = getenv("UNDER_VALGRIND") != NULL ? 100 : 4000;
    for (int round = 0; round < rounds; round++) {
        char text[TEXT_MAX] = "";
        for (size_t n = 0; n < 300; n = strlen(text)) {
            strv rest = strv_of(rules_rows[(unsigned)rand() % PHRASES].phrases), phrase = rest;
            for (int k = rand() % 30; k >= 0 && strv_cut(&rest, ';', &phrase);)
                k--;
            const char *piece = pieces[(size_t)rand() % (sizeof pieces / sizeof *pieces)];
            size_t len = rand() % 4 == 0 ? (size_t)rand() % (phrase.len + 1) : phrase.len;
            snprintf(text + n, sizeof text - n, "%.*s%s", (int)(len < 60 ? len : 60), phrase.ptr,
                     piece);
            if (rand() % 20 == 0)
                break;
        }
        check(p, text);
    }
}

static void no_memory(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 3; nth++) {
        mem_fail_at(nth, false);
        struct phrases *p = phrases_new();
        mem_fail_at(0, false);
        assert_null(p);
    }
}

static int set_up(void **state)
{
    *state = phrases_new();
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    phrases_free(*state);
    mem_free(scratch.piece.hits);
    memset(&scratch, 0, sizeof scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_phrase_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_text_is_read_alike, set_up, tear_down),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
