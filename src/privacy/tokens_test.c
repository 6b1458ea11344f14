/* SPDX-License-Identifier: Apache-2.0 */
/* tokens_test - the table of words, how a text falls into them, and what is seen of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "privacy/names.h"

struct place {
    struct words words;
    struct text_scratch *text;
    struct text_view view;
    struct privacy_piece *piece;
    struct words_scratch s;
    char joined[512];
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct err err = ERR_INIT;
    p->words.data = text_data_open(getenv("ROUTER_DATA"), &err);
    p->text = text_scratch_new();
    p->piece = calloc(1, sizeof *p->piece);
    p->piece->view = &p->view;
    *state = p;
    return p->words.data != NULL &&
                   word_table_open(&p->words.table, text_data_section(p->words.data, "words"),
                                   &err) &&
                   near_open(&p->words.near, text_data_section(p->words.data, "near"), &err) &&
                   model_open(&p->words.model, text_data_section(p->words.data, "model"), &err)
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    text_data_unref(p->words.data);
    text_scratch_free(p->text);
    mem_free(p->s.tokens);
    free(p->piece);
    free(p);
    return 0;
}

static const struct token *cut(struct place *p, const char *text)
{
    assert_true(text_normalise(p->text, strv_of(text), TEXT_PLAIN, &p->view));
    assert_true(tokens_make(&p->s, &p->words, p->piece));
    p->joined[0] = '\0';
    for (size_t i = 0; i < p->s.n; i++)
        snprintf(p->joined + strlen(p->joined), sizeof p->joined - strlen(p->joined), "%s%.*s",
                 i > 0 ? "|" : "", (int)(p->s.tokens[i].end - p->s.tokens[i].start),
                 p->view.folded + p->s.tokens[i].start);
    return p->s.tokens;
}

static unsigned info(const struct place *p, const char *word)
{
    return word_info(&p->words.table, text_hash(word, strlen(word)));
}

static void the_table_knows_names_and_words(void **state)
{
    struct place *p = *state;
    assert_int_equal(info_first(info(p, "michael")), 7);
    assert_int_equal(info_last(info(p, "smith")), 7);
    assert_int_equal(info_word(info(p, "schedule")), 3);
    assert_true(info_spanish(info(p, "enfermedad")));
    assert_int_equal(info(p, "qzxjvkwpq"), 0);
    assert_true(info_first(info(p, "rose")) >= 5 && info_word(info(p, "rose")) == 3);
}

/* names.h has the classes in the order of data/words.txt. */
static void classes_are_those_of_the_word_file(void **state)
{
    struct place *p = *state;
    static const struct {
        const char *word;
        unsigned class;
    } some[] = {
        {"she", CLASS_PRON3},           {"would", CLASS_AUX},       {"dr", CLASS_HONOR},
        {"resident", CLASS_ROLE},       {"daughter", CLASS_REL},    {"ask", CLASS_CONTACT},
        {"covers", CLASS_SCHED},        {"says", CLASS_SAY},        {"off", CLASS_STATE},
        {"vacation", CLASS_POSS},       {"syndrome", CLASS_EPNOUN}, {"june", CLASS_MONTH},
        {"friday", CLASS_WEEKDAY},      {"tomorrow", CLASS_TIME},   {"and", CLASS_CONJ},
        {"between", CLASS_PREP},        {"these", CLASS_DET},       {"please", CLASS_FUNC},
        {"porque", CLASS_SPFUNC},       {"regards", CLASS_GREET},   {"summarize", CLASS_IMPER},
        {"lastname", CLASS_NAMEKEY},    {"university", CLASS_ORG},  {"metformin", CLASS_MEDWORD},
        {"kubernetes", CLASS_TECHWORD}, {"ohio", CLASS_PLACE},      {"crohn", CLASS_EPONYM},
        {"shakespeare", CLASS_PUBLIC},  {"medtronic", CLASS_BRAND}, {"nicht", CLASS_FOREIGN}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        assert_int_equal(info_class(info(p, some[i].word)), some[i].class);
}

static void words_are_cut_where_they_end(void **state)
{
    struct place *p = *state;
    static const char *const texts[][2] = {
        {"Dr. O'Brien-Li's 2 shifts", "dr|o'brien|li|2|shifts"},
        {"swap_ingrid_smith(x)", "swap|ingrid|smith|x"},
        {"patientListing", "patient|listing"},
        {"McGregor didn't", "mcgregor|didn't"},
        {"she'll call", "she|call"},
        {"a\xe2\x80\x99s \xc2\xbfqu\xc3\xa9?", "a|que"},
        {"", ""},
        {"... --- !", ""},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cut(p, texts[i][0]);
        assert_string_equal(p->joined, texts[i][1]);
    }
    const struct token *t = cut(p, "Smith's clinic, Li");
    assert_true(t[0].flags & TOKEN_POSSESSIVE);
    assert_int_equal(t[1].gap, GAP_SPACE);
    assert_int_equal(t[2].gap, GAP_COMMA);
}

static void odd_writing_is_undone(void **state)
{
    struct place *p = *state;
    const struct token *t = cut(p, "m i c h a e l called");
    assert_true(t[0].flags & TOKEN_SPACED);
    assert_string_equal(p->joined, "m i c h a e l|called");
    t = cut(p, "RAMIR3Z and M1chael");
    assert_int_equal(t[0].shape, SHAPE_MIXED);
    assert_true(info_last(t[0].info) >= 5);
    assert_true(info_first(t[2].info) >= 5);
    t = cut(p, "jramirez42 is locked, michaelramirez");
    assert_true(t[0].flags & TOKEN_LOGIN);
    assert_true(t[3].flags & TOKEN_JOINED);
}

/* Letters changed over, left out, twice, the key beside it. */
static void slips_of_the_hand_are_undone(void **state)
{
    struct place *p = *state;
    static const char *const texts[] = {"the paitent", "the ptient", "the patientt", "the pstient"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct token *t = cut(p, texts[i]);
        assert_true(t[1].flags & TOKEN_NEAR);
        assert_int_equal(t[1].hash, text_hash("patient", 7));
        assert_int_equal(info_class(t[1].info), CLASS_ROLE);
    }
    const struct token *t = cut(p, "ask Micheeal, Virgiina Apgar");
    assert_true((t[1].flags & TOKEN_NEAR) && info_first(t[1].info) >= 5);
    assert_true((t[2].flags & TOKEN_PHRASE) && (t[3].flags & TOKEN_PHRASE));
    t = cut(p, "Cusing and cusing"); /* a capital: Cushing */
    assert_int_equal(t[0].hash, text_hash("cushing", 7));
    assert_int_not_equal(t[2].hash, text_hash("cushing", 7));
    t = cut(p, "michael, zqxvwkj, hrs");
    for (size_t i = 0; i < 3; i++)
        assert_false(t[i].flags & TOKEN_NEAR);
}

static void texts_in_json_are_texts(void **state)
{
    struct place *p = *state;
    const struct token *t = cut(p, "{\"note\":\"Rose left\",\"v\":2,\"owner\":\"Rose\"}");
    assert_string_equal(p->joined, "note|rose|left|v|2|owner|rose");
    assert_int_equal(t[1].gap, GAP_START);
    assert_int_equal(t[3].gap, GAP_START);
    assert_int_equal(t[6].gap, GAP_COLON);
}

/* A line that ended with its sentence, and what the view says begins anew. */
static void texts_of_their_own_begin_anew(void **state)
{
    struct place *p = *state;
    static const uint32_t starts[] = {0, 9};
    const struct token *t = cut(p, "It is so.\nRose left\nRose Dr.\nRose");
    assert_int_equal(t[3].gap, GAP_START);
    assert_int_equal(t[5].gap, GAP_LINE);
    assert_int_equal(t[7].gap, GAP_LINE); /* the full stop of Dr. ends no sentence */
    assert_true(text_normalise(p->text, STRV("one two \nthree four"), TEXT_PLAIN, &p->view));
    p->view.starts = starts;
    p->view.n_starts = 2;
    assert_true(tokens_make(&p->s, &p->words, p->piece));
    assert_int_equal(p->s.tokens[1].gap, GAP_SPACE);
    assert_int_equal(p->s.tokens[2].gap, GAP_START);
    assert_int_equal(p->s.tokens[3].gap, GAP_SPACE);
}

static void context_is_marked(void **state)
{
    struct place *p = *state;
    const struct token *t = cut(p, "Dr. Ramirez asked Virginia Apgar");
    assert_true(t[1].flags & TOKEN_HONOR);
    assert_int_equal(t[1].gap, GAP_SPACE); /* the full stop of Dr. ends no sentence */
    assert_true(t[3].flags & TOKEN_PHRASE);
    assert_true(t[4].flags & TOKEN_PHRASE);
    struct privacy_value value = {.start = 10, .end = 14, .label = LABEL_NAME};
    p->piece->values = &value;
    p->piece->n_values = 1;
    t = cut(p, "provider: Rose rose");
    assert_true(t[1].flags & TOKEN_LABEL);
    assert_false(t[2].flags & TOKEN_LABEL);
    p->piece->n_values = 0;
}

static void the_way_of_writing_is_seen(void **state)
{
    struct place *p = *state;
    cut(p, "ask rose about it");
    assert_int_equal(p->s.regime, REGIME_LOWER);
    cut(p, "ASK ROSE ABOUT IT");
    assert_int_equal(p->s.regime, REGIME_UPPER);
    cut(p, "Ask Rose About It");
    assert_int_equal(p->s.regime, REGIME_TITLE);
    cut(p, "Ask Rose about it");
    assert_int_equal(p->s.regime, REGIME_NORMAL);
}

static void every_candidate_has_all_features(void **state)
{
    struct place *p = *state;
    cut(p, "tell Rose that J.R. and QM cover for Ramirez, please");
    size_t candidates = 0;
    for (size_t i = 0; i < p->s.n; i++) {
        uint32_t a[FEATURES], b[FEATURES];
        if (!token_is_candidate(&p->s, i))
            continue;
        candidates++;
        memset(a, 1, sizeof a);
        memset(b, 2, sizeof b);
        token_features(&p->s, &p->view, i, a);
        token_features(&p->s, &p->view, i, b);
        assert_memory_equal(a, b, sizeof a);
    }
    assert_int_equal(candidates, 4);
}

static void sections_that_lie_are_refused(void **state)
{
    struct place *p = *state;
    strv words = text_data_section(p->words.data, "words"),
         model = text_data_section(p->words.data, "model");
    struct word_table table;
    struct model weights;
    struct near_filter slips;
    strv near = text_data_section(p->words.data, "near");
    for (size_t less = 1; less < 100; less++) {
        struct err err = ERR_INIT;
        assert_false(word_table_open(&table, (strv){words.ptr, words.len - less}, &err));
        assert_false(model_open(&weights, (strv){model.ptr, model.len - less}, &err));
        assert_false(near_open(&slips, (strv){near.ptr, near.len - less}, &err));
        assert_true(err.set);
    }
    struct err err = ERR_INIT;
    assert_false(word_table_open(&table, STRV_NONE, &err));
    assert_false(model_open(&weights, STRV_NONE, &err));
    assert_false(near_open(&slips, STRV_NONE, &err));
    char *broken = malloc(words.len);
    memcpy(broken, words.ptr, words.len);
    memset(broken + 16 + 4096 + 400, 0xff, 4); /* a bucket beyond the entries */
    assert_false(word_table_open(&table, (strv){broken, words.len}, &err));
    free(broken);
    broken = malloc(near.len);
    memcpy(broken, near.ptr, near.len);
    broken[4]++; /* twice as many blocks as there are */
    assert_false(near_open(&slips, (strv){broken, near.len}, &err));
    free(broken);
}

static void no_memory_for_tokens(void **state)
{
    struct place *p = *state;
    assert_true(text_normalise(p->text, STRV("a b c"), TEXT_PLAIN, &p->view));
    struct words_scratch s = {0};
    mem_fail_at(1, true);
    assert_false(tokens_make(&s, &p->words, p->piece));
    mem_fail_at(0, false);
    assert_true(tokens_make(&s, &p->words, p->piece));
    mem_free(s.tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_table_knows_names_and_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(classes_are_those_of_the_word_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_are_cut_where_they_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(odd_writing_is_undone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slips_of_the_hand_are_undone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(texts_in_json_are_texts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(texts_of_their_own_begin_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(context_is_marked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_way_of_writing_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_candidate_has_all_features, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sections_that_lie_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_memory_for_tokens, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
