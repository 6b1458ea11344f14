/* SPDX-License-Identifier: Apache-2.0 */
/* sticky - later turns of a private conversation are private, others are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/policy.h"

struct talk { /* a conversation of texts; roles take turns, the user first */
    struct llm_part parts[16];
    struct llm_message messages[16];
    struct llm_request r;
};

static const struct llm_request *say(struct talk *t, const char *const *texts, size_t n)
{
    *t = (struct talk){.r = {.messages = t->messages, .n_messages = n}};
    for (size_t i = 0; i < n; i++) {
        bool system = texts[i][0] == '#';
        t->parts[i] = (struct llm_part){.kind = LLM_PART_TEXT, .text = strv_of(texts[i])};
        t->messages[i] = (struct llm_message){system       ? LLM_SYSTEM
                                              : i % 2 == 0 ? LLM_USER
                                                           : LLM_ASSISTANT,
                                              &t->parts[i], 1};
    }
    return &t->r;
}

#define SAY(t, ...)                                                                                \
    say(t, (const char *const[]){__VA_ARGS__},                                                     \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static const struct policy_turn nobody = {NULL, 1000};

static void later_turns_are_private(void **state)
{
    struct policy_sticky *s = policy_sticky_new();
    struct talk t;
    (void)state;
    policy_sticky_note(s, SAY(&t, "one", "two", "three"), &nobody);
    assert_true(policy_sticky_seen(s, SAY(&t, "one", "two", "three", "four", "five"), &nobody));
    assert_true(policy_sticky_seen(s, SAY(&t, "one", "two", "three", "4", "5", "6", "7"), &nobody));
    /* The same once more is judged by itself, another beginning is another conversation. */
    assert_false(policy_sticky_seen(s, SAY(&t, "one", "two", "three"), &nobody));
    assert_false(policy_sticky_seen(s, SAY(&t, "one", "two"), &nobody));
    assert_false(policy_sticky_seen(s, SAY(&t, "one", "2", "three", "four", "five"), &nobody));
    assert_false(policy_sticky_seen(s, SAY(&t, "onetwo", "", "three", "four"), &nobody));
    policy_sticky_free(s);
}

static void a_system_message_changes_nothing(void **state)
{
    struct policy_sticky *s = policy_sticky_new();
    struct talk t;
    (void)state;
    policy_sticky_note(s, SAY(&t, "hello"), &nobody);
    const char *const later[] = {"#12:05", "b", "hello", "d", "e"};
    say(&t, later, 5);
    t.messages[1] = t.messages[2]; /* system, user hello, assistant, user */
    t.messages[2] = t.messages[3];
    t.messages[3] = t.messages[4];
    t.r.n_messages = 4;
    assert_true(policy_sticky_seen(s, &t.r, &nobody));
    const char *const only[] = {"#12:05"};
    say(&t, only, 1);
    policy_sticky_note(s, &t.r, &nobody); /* nobody has said anything: no conversation */
    assert_false(policy_sticky_seen(s, SAY(&t, "x", "y", "z"), &nobody));
    policy_sticky_free(s);
}

static void results_of_tools_belong_to_it(void **state)
{
    struct policy_sticky *s = policy_sticky_new();
    struct talk t;
    struct llm_part text = {.kind = LLM_PART_TEXT, .text = STRV("42 beds")};
    (void)state;
    SAY(&t, "how many", "let me look", "");
    t.parts[2] = (struct llm_part){.kind = LLM_PART_RESULT, .parts = &text, .n_parts = 1};
    policy_sticky_note(s, &t.r, &nobody);
    SAY(&t, "how many", "let me look", "", "42", "thanks");
    t.parts[2] = (struct llm_part){.kind = LLM_PART_RESULT, .parts = &text, .n_parts = 1};
    assert_true(policy_sticky_seen(s, &t.r, &nobody));
    text.text = STRV("43 beds");
    assert_false(policy_sticky_seen(s, &t.r, &nobody));
    policy_sticky_free(s);
}

static void a_session_is_private_as_a_whole(void **state)
{
    struct policy_sticky *s = policy_sticky_new();
    struct talk t;
    (void)state;
    SAY(&t, "one");
    t.r.session = STRV("a");
    policy_sticky_note(s, &t.r, &nobody);
    SAY(&t, "something else");
    t.r.session_header = STRV("a"); /* wherever it is named */
    assert_true(policy_sticky_seen(s, &t.r, &nobody));
    t.r.session = STRV("b"); /* a second name takes nothing back */
    assert_true(policy_sticky_seen(s, &t.r, &nobody));
    t.r.session_header = STRV("c");
    assert_false(policy_sticky_seen(s, &t.r, &nobody));
    policy_sticky_free(s);
}

static void keys_do_not_share(void **state)
{
    struct policy_sticky *s = policy_sticky_new();
    const struct policy_turn one = {"k_1", 5}, two = {"k_2", 5};
    struct talk t;
    (void)state;
    SAY(&t, "one");
    t.r.session = STRV("a");
    policy_sticky_note(s, &t.r, &one);
    assert_true(policy_sticky_seen(s, &t.r, &one));
    assert_false(policy_sticky_seen(s, &t.r, &two));
    assert_false(policy_sticky_seen(s, &t.r, &nobody));
    assert_false(policy_sticky_seen(s, SAY(&t, "one", "two", "three"), &two));
    policy_sticky_free(s);
}

static void it_forgets_after_a_day_and_the_oldest_first(void **state)
{
    struct policy_sticky *s = policy_sticky_new();
    struct policy_turn turn = {NULL, 1};
    struct talk t;
    char id[32];
    size_t known = 0;
    (void)state;
    SAY(&t, "one");
    t.r.session = STRV("first");
    policy_sticky_note(s, &t.r, &turn);
    turn.now_us = POLICY_STICKY_AGE_US;
    assert_true(policy_sticky_seen(s, &t.r, &turn));
    turn.now_us++;
    assert_false(policy_sticky_seen(s, &t.r, &turn));
    t.r.n_messages = 0; /* more sessions than there is room for */
    for (int i = 0; i < 200000; i++) {
        t.r.session = (strv){id, (size_t)snprintf(id, sizeof id, "session %d", i)};
        turn.now_us++;
        policy_sticky_note(s, &t.r, &turn);
        assert_true(policy_sticky_seen(s, &t.r, &turn));
    }
    for (int i = 199000; i < 200000; i++) {
        t.r.session = (strv){id, (size_t)snprintf(id, sizeof id, "session %d", i)};
        known += policy_sticky_seen(s, &t.r, &turn);
    }
    assert_int_equal(known,
                     1000); /* a bucket would have to get eight newer ones out of a thousand */
    policy_sticky_free(s);
}

static void no_memory_is_no_table(void **state)
{
    (void)state;
    mem_fail_at(1, false);
    assert_null(policy_sticky_new());
    mem_fail_at(0, false);
    policy_sticky_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_turns_are_private),
        cmocka_unit_test(a_system_message_changes_nothing),
        cmocka_unit_test(results_of_tools_belong_to_it),
        cmocka_unit_test(a_session_is_private_as_a_whole),
        cmocka_unit_test(keys_do_not_share),
        cmocka_unit_test(it_forgets_after_a_day_and_the_oldest_first),
        cmocka_unit_test(no_memory_is_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
