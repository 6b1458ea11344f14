/* SPDX-License-Identifier: Apache-2.0 */
/* roster_test - every form of a person, words that are names too, lines that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "privacy/names.h"

struct place {
    char path[64];
    struct text_data *data;
    struct word_table words;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct err err = ERR_INIT;
    snprintf(p->path, sizeof p->path, "/tmp/llm-router-roster-XXXXXX");
    int fd = mkstemp(p->path);
    if (fd < 0)
        return -1;
    close(fd);
    p->data = text_data_open(getenv("ROUTER_DATA"), &err);
    if (p->data == NULL || !word_table_open(&p->words, text_data_section(p->data, "words"), &err))
        return -1;
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    int status = unlink(p->path);
    text_data_unref(p->data);
    free(p);
    return status;
}

static struct roster *read_text(struct place *p, const char *text, struct err *err)
{
    *err = ERR_INIT;
    FILE *f = fopen(p->path, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    return roster_open(p->path, &p->words, err);
}

static struct roster *read_good(struct place *p, const char *text)
{
    struct err err;
    struct roster *r = read_text(p, text, &err);
    assert_false(err.set);
    assert_non_null(r);
    return r;
}

static unsigned word(const struct place *p, const struct roster *r, const char *letters)
{
    size_t n = strlen(letters);
    return roster_word(r, letters, n, word_info(&p->words, text_hash(letters, n)));
}

static void all_forms_of_a_name(void **state)
{
    struct place *p = *state;
    struct roster *r =
        read_good(p, "# staff\n\nOd\xc3\xadlia Vanterpool-Quist\r\nPetrakis, Eleftheria\n");
    assert_int_equal(roster_size(r), 2);
    static const char *const forms[] = {
        "odilia",          "vanterpool",         "quist",
        "vanterpoolquist", "ovanterpoolquist",   "odiliavanterpoolquist",
        "petrakis",        "eleftheria",         "epetrakis",
        "petrakise",       "eleftheriapetrakis", "petrakiseleftheria"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        assert_int_equal(word(p, r, forms[i]), TOKEN_ROSTER);
    assert_true(roster_initials(r, "ep", 2));
    assert_true(roster_initials(r, "ov", 2));
    assert_false(roster_initials(r, "pe", 2));
    assert_int_equal(word(p, r, "schedule"), 0);
    roster_free(r);
}

static void a_letter_more_less_other_or_two_changed(void **state)
{
    struct place *p = *state;
    struct roster *r = read_good(p, "Eleftheria Petrakis\nIda Ngo\n");
    static const char *const near[] = {"petrakkis", "petraks", "petrakos",
                                       "petarkis",  "etrakis", "petrakiss"};
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        assert_int_equal(word(p, r, near[i]), TOKEN_ROSTER);
    assert_int_equal(word(p, r, "petrxkxs"), 0);
    assert_int_equal(word(p, r, "ngoo"), 0); /* too short to be spelt wrong */
    roster_free(r);
}

static void a_usual_word_needs_a_slot(void **state)
{
    struct place *p = *state;
    struct roster *r = read_good(p, "Faith Petrakis\nEleftheria Strand\n");
    assert_int_equal(word(p, r, "faith"), TOKEN_ROSTER_WORD);
    assert_int_equal(word(p, r, "strand"), TOKEN_ROSTER_WORD);
    assert_int_equal(word(p, r, "stranded"), 0); /* a word of its own, and no misspelling */
    roster_free(r);
}

static void items_after_the_name(void **state)
{
    struct place *p = *state;
    struct roster *r =
        read_good(p, "Eleftheria van der Petrakis Jr.; aka Lefty Kallo; login epk42;"
                     " mail quokka.petr@here.org; phone +1 (614) 555-0100; id S-009412;\n");
    assert_int_equal(word(p, r, "kallo"), TOKEN_ROSTER);
    assert_int_equal(word(p, r, "vanderpetrakis"), TOKEN_ROSTER);
    assert_int_equal(word(p, r, "der"), 0);
    static const char *const numbers[] = {"epk42", "quokkapetr", "6145550100", "s009412"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_true(roster_number(r, text_hash(numbers[i], strlen(numbers[i]))));
    assert_false(roster_number(r, text_hash("6145550101", 10)));
    roster_free(r);
}

static void a_wrong_line_is_named(void **state)
{
    struct place *p = *state;
    static const char *const wrong[] = {"; login x",
                                        "Ana Lee; colour red",
                                        "Ana Lee; login",
                                        "Ana 7",
                                        "Lee, Ana, MD",
                                        ", Ana",
                                        "Ana\xff Lee",
                                        "Ana Lee; mail ana",
                                        "Ana Lee; id 7",
                                        "a b c d e f g h i j k l m",
                                        "Abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij",
                                        "Ana Lee; aka 9"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[200];
        struct err err;
        snprintf(text, sizeof text, "Ida Ngo\n# two\n%s\nIda Ngo\n", wrong[i]);
        assert_null(read_text(p, text, &err));
        assert_true(err.set);
        assert_int_equal(err.line, 3);
    }
    char longest[1300] = "";
    struct err err;
    memset(longest, 'a', sizeof longest - 1);
    assert_null(read_text(p, longest, &err));
    assert_int_equal(err.line, 1);
}

static void no_file_and_a_folder_are_errors(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    assert_null(roster_open("/nonexistent/roster", &p->words, &err));
    assert_true(err.set);
    err = ERR_INIT;
    assert_null(roster_open("/tmp", &p->words, &err));
    assert_true(err.set);
    roster_free(NULL);
}

static void every_allocation_may_fail(void **state)
{
    struct place *p = *state;
    const char *text = "Eleftheria van der Petrakis-Kallo; aka Lefty; login epk42\nIda Ngo\n";
    roster_free(read_good(p, text));
    int64_t before = mem_live();
    for (uint64_t nth = 1;; nth++) {
        struct err err = ERR_INIT;
        mem_fail_at(nth, false);
        struct roster *r = roster_open(p->path, &p->words, &err);
        bool done = mem_count() < nth;
        mem_fail_at(0, false);
        assert_true(done ? r != NULL : r != NULL || err.set);
        roster_free(r);
        assert_int_equal(mem_live(), before);
        if (done)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_forms_of_a_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_letter_more_less_other_or_two_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_usual_word_needs_a_slot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(items_after_the_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_line_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_file_and_a_folder_are_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
