/* SPDX-License-Identifier: Apache-2.0 */
/* members - every row is found, and what is no word, identifier or name of a program is text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "privacy/members.h"

static const char *const members[] = {
#define MEMBER(name, is) name,
#include "privacy/members.def"
#undef MEMBER
};
static const char *const words[] = {
#define API_WORD(word) word,
#include "privacy/members.def"
#undef API_WORD
};

static void every_row_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (member_is(strv_of(members[i])) == 0)
            fail_msg("%s does not stand in its place", members[i]);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!member_is_word(strv_of(words[i])))
            fail_msg("%s does not stand in its place", words[i]);
}

static void others_are_not(void **state)
{
    (void)state;
    static const char *const others[] = {"",     "a",     "zzz",   "rol", "roles",
                                         "Role", "smith", "user ", NULL};
    for (size_t i = 0; others[i] != NULL; i++) {
        assert_int_equal(member_is(strv_of(others[i])), 0);
        assert_false(member_is_word(strv_of(others[i])));
    }
    assert_int_equal(member_is(STRV_NONE), 0);
    assert_true((member_is(STRV("role")) & MEMBER_WORD) != 0);
    assert_true((member_is(STRV("seed")) & MEMBER_SETTING) != 0);
}

static void machines_write_identifiers_like_this(void **state)
{
    (void)state;
    static const char *const ids[] = {"call_1",
                                      "call_0",
                                      "c7",
                                      "1",
                                      "call_a1b2c3",
                                      "call_ROsGzYlF",
                                      "yCDdAwcFE",
                                      "call_9ydi2rQ4fQvyPZVnvOrz0xTe",
                                      "toolu_01A09q90qw90lq917835lq9",
                                      "srvtoolu_01WYG3ziw53XMcoyKL4XcZmE",
                                      "chatcmpl-tool-4f1c09ab22d34aa1b8b6a6e2a5b0c9d1",
                                      "msg_67ccd3acc8d48190a77525dc6de64b4104becb25c45c1d42",
                                      "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
                                      "call_1b4e28ba-2fa1-11d2-883f-0016d3cca427",
                                      "XkJqPzRtY",
                                      "call_qWzRtKlp",
                                      NULL};
    static const char *const texts[] = {"call_219-09-9999",
                                        "call_john_smith",
                                        "call_00481516",
                                        "call_smith1",
                                        "call_john1988",
                                        "call_JohnSmith",
                                        "JohnSmith",
                                        "McDonalds",
                                        "call_JohnMcDonaldSmith",
                                        "call_JRSmith",
                                        "call_SmithMD",
                                        "call_GARCIALOPEZ",
                                        "call_vanBuren",
                                        "call_MaryEllenStJohn",
                                        "call_LaToyaMcDonald",
                                        "garciaroj",
                                        "functions.page_smith:0",
                                        "john",
                                        "call",
                                        "808-555-0143",
                                        "toolu_808-555-0143",
                                        "808-555-0143-is-the-home-phone-number",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cca42x",
                                        "functions.page_808-555-0143:0",
                                        "msg_to john",
                                        NULL};
    for (size_t i = 0; ids[i] != NULL; i++)
        if (!member_is_machine_id(strv_of(ids[i])))
            fail_msg("%s is an identifier", ids[i]);
    for (size_t i = 0; texts[i] != NULL; i++)
        if (member_is_machine_id(strv_of(texts[i])))
            fail_msg("%s is none", texts[i]);
}

static void programs_have_names_like_this(void **state)
{
    (void)state;
    assert_true(member_is_model(STRV("claude-sonnet-4-20250514")));
    assert_true(member_is_model(STRV("hf.co/a/b:Q4_K_M")));
    assert_false(member_is_model(STRV("a model")));
    assert_false(member_is_model(STRV("808-555-0143")));
    assert_false(member_is_model(STRV("mrn-123456789")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found),
        cmocka_unit_test(others_are_not),
        cmocka_unit_test(machines_write_identifiers_like_this),
        cmocka_unit_test(programs_have_names_like_this),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
