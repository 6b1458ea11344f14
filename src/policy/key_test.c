/* SPDX-License-Identifier: Apache-2.0 */
/* key - every rule as text and back, what each refuses, which names a key may ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/policy.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define WALL_US      INT64_C(1795359600000000) /* 2026-11-22T15:00:00Z */

static void rules_are_read_and_shown(void **state)
{
    static const struct {
        enum policy_rule rule;
        const char *text, *shown; /* shown NULL = refused */
    } cases[] = {
        {POLICY_RULE_MODE, "local", "local"},
        {POLICY_RULE_MODE, " Hybrid ", "hybrid"},
        {POLICY_RULE_MODE, "cloud", "cloud"},
        {POLICY_RULE_MODE, "none", ""},
        {POLICY_RULE_MODE, "", NULL},
        {POLICY_RULE_MODE, "locals", NULL},
        {POLICY_RULE_RPM, "60", "60"},
        {POLICY_RULE_RPM, "100k", "100000"},
        {POLICY_RULE_RPM, "10M", "10000000"},
        {POLICY_RULE_RPM, "11M", NULL},
        {POLICY_RULE_RPM, "0", NULL},
        {POLICY_RULE_RPM, "-1", NULL},
        {POLICY_RULE_RPM, "k", NULL},
        {POLICY_RULE_RPM, "1.5", NULL},
        {POLICY_RULE_RPM, "60x", NULL},
        {POLICY_RULE_TPM, "100000M", "100000000000"},
        {POLICY_RULE_TPM, "100001M", NULL},
        {POLICY_RULE_TPM, "18446744073709551617", NULL},
        {POLICY_RULE_CONCURRENT, "4", "4"},
        {POLICY_RULE_BUDGET_DAY, "20", "20"},
        {POLICY_RULE_BUDGET_DAY, "2.50", "2.5"},
        {POLICY_RULE_BUDGET_DAY, "0.000001", "0.000001"},
        {POLICY_RULE_BUDGET_DAY, "0.0000001", NULL},
        {POLICY_RULE_BUDGET_DAY, "0", NULL},
        {POLICY_RULE_BUDGET_DAY, "0.0", NULL},
        {POLICY_RULE_BUDGET_DAY, ".5", NULL},
        {POLICY_RULE_BUDGET_DAY, "5.", NULL},
        {POLICY_RULE_BUDGET_DAY, "1e3", NULL},
        {POLICY_RULE_BUDGET_MONTH, "1000000000", "1000000000"},
        {POLICY_RULE_BUDGET_MONTH, "1000000000.1", NULL},
        {POLICY_RULE_PRIVATE, "yes", "yes"},
        {POLICY_RULE_PRIVATE, "true", "yes"},
        {POLICY_RULE_PRIVATE, "no", ""},
        {POLICY_RULE_PRIVATE, "none", ""},
        {POLICY_RULE_PRIVATE, "maybe", NULL},
        {POLICY_RULE_PRIVATE, "", NULL},
        {POLICY_RULE_DOORS, "openai", "openai"},
        {POLICY_RULE_DOORS, "native, anthropic", "anthropic,native"},
        {POLICY_RULE_DOORS, "openai,", NULL},
        {POLICY_RULE_DOORS, "telnet", NULL},
        {POLICY_RULE_MODELS, "fast", "fast"},
        {POLICY_RULE_MODELS, "claude-*, ollama/llama3.2:1b", "claude-*,ollama/llama3.2:1b"},
        {POLICY_RULE_MODELS, "a,,b", NULL},
        {POLICY_RULE_MODELS, "a b", NULL},
        {POLICY_RULE_MODELS, "a\n", "a"},
        {POLICY_RULE_MODELS, "a\nrpm=7", NULL},
        {POLICY_RULE_MODELS, "", NULL},
        {POLICY_RULE_EXPIRES, "2027-01-31", "2027-02-01T00:00:00Z"},
        {POLICY_RULE_EXPIRES, "2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"},
        {POLICY_RULE_EXPIRES, "2d", "2026-11-24T15:00:00Z"},
        {POLICY_RULE_EXPIRES, "12h", "2026-11-23T03:00:00Z"},
        {POLICY_RULE_EXPIRES, "0d", NULL},
        {POLICY_RULE_EXPIRES, "2027-02-29", NULL},
        {POLICY_RULE_EXPIRES, "tomorrow", NULL},
        {POLICY_RULE_EXPIRES, "", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct policy_rules rules = {.requests_min = 7}, before = rules;
        struct err err = ERR_INIT;
        struct buf out;
        bool ok = policy_rule_set(&rules, cases[i].rule, strv_of(cases[i].text), WALL_US, &err);
        if (ok != (cases[i].shown != NULL))
            fail_msg("%s=%s: %s", policy_rule_name(cases[i].rule), cases[i].text, err.text);
        if (!ok) {
            assert_string_equal(err.field, policy_rule_name(cases[i].rule));
            assert_memory_equal(&rules, &before, sizeof rules);
            continue;
        }
        buf_init(&out, 1024);
        policy_rule_show(&rules, cases[i].rule, &out);
        buf_put_char(&out, '\0');
        assert_string_equal(buf_view(&out).ptr, cases[i].shown);
        buf_fini(&out);
    }
}

static struct policy_rules all_rules(void)
{
    static const char *const texts[POLICY_RULES] = {"hybrid",
                                                    "claude-*,fast",
                                                    "openai,responses",
                                                    "60",
                                                    "100k",
                                                    "4",
                                                    "2.5",
                                                    "40",
                                                    "yes",
                                                    "yes",
                                                    "yes",
                                                    "yes",
                                                    "yes",
                                                    "s/*,!s/x",
                                                    "2027-01-31"};
    struct policy_rules rules = {.mode = LLM_MODE_UNSET};
    struct err err = ERR_INIT;
    for (unsigned i = 0; i < POLICY_RULES; i++)
        assert_true(policy_rule_set(&rules, (enum policy_rule)i, strv_of(texts[i]), WALL_US, &err));
    return rules;
}

static void the_store_gets_back_what_it_was_given(void **state)
{
    (void)state;
    struct policy_rules rules = all_rules(), read;
    struct err err = ERR_INIT;
    struct buf out;
    buf_init(&out, 4096);
    policy_rules_write(&rules, &out);
    assert_false(out.failed);
    assert_true(policy_rules_read(buf_view(&out), &read, &err));
    assert_memory_equal(&rules, &read, sizeof rules);
    buf_clear(&out);
    policy_rules_write(&(struct policy_rules){.mode = LLM_MODE_UNSET}, &out);
    assert_int_equal(buf_len(&out), 0);
    buf_fini(&out);
    assert_true(policy_rules_read(STRV(""), &read, &err));
    assert_int_equal(read.requests_min, 0);
}

static void a_rule_that_is_not_known_is_no_rule_to_pass_over(void **state)
{
    static const char *const bad[] = {"colour=red", "rpm", "rpm=", "rpm=0", "=", "rpm=1\nrpmm=1\n"};
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct policy_rules rules;
        struct err err = ERR_INIT;
        assert_false(policy_rules_read(strv_of(bad[i]), &rules, &err));
        assert_true(err.text[0] != '\0');
    }
}

static void json_has_types(void **state)
{
    (void)state;
    struct policy_rules rules = all_rules();
    struct buf out;
    buf_init(&out, 4096);
    policy_rules_json(&rules, &out);
    buf_put_char(&out, '\0');
    assert_string_equal(
        buf_view(&out).ptr,
        ",\"mode\":\"hybrid\",\"models\":[\"claude-*\",\"fast\"],\"doors\":[\"openai\","
        "\"responses\"],\"rpm\":60,\"tpm\":100000,\"concurrent\":4,\"budget_day\":2.5,"
        "\"budget_month\":40,\"private\":true,\"pseudonyms\":true,\"cache\":true,\"admin\":true,"
        "\"agent\":true,\"tools\":[\"s/*\",\"!s/x\"],"
        "\"expires\":\"2027-02-01T00:00:00Z\"");
    buf_fini(&out);
}

static void refused_memory_is_told(void **state)
{
    (void)state;
    struct policy_rules rules = all_rules();
    for (uint64_t n = 1; n <= 2; n++) {
        int64_t live = mem_live();
        struct buf out;
        buf_init(&out, 4096);
        mem_fail_at(n, false);
        policy_rules_write(&rules, &out);
        mem_fail_at(0, false);
        assert_true(out.failed);
        buf_fini(&out);
        buf_init(&out, 4096);
        mem_fail_at(n, false);
        policy_rules_json(&rules, &out);
        mem_fail_at(0, false);
        assert_true(out.failed);
        buf_fini(&out);
        assert_int_equal(mem_live(), live);
    }
}

static void models_are_patterns(void **state)
{
    static const struct {
        const char *models, *name;
        bool may;
    } cases[] = {
        {"", "anything", true},
        {"fast", "fast", true},
        {"fast", "faster", false},
        {"fast,claude-*", "claude-opus", true},
        {"fast,claude-*", "anthropic/claude-opus", false},
        {"anthropic/*", "anthropic/claude-opus", true},
        {"*", "", true},
        {"fast", "", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct policy_rules rules = {.mode = LLM_MODE_UNSET};
        snprintf(rules.models, sizeof rules.models, "%s", cases[i].models);
        assert_int_equal(policy_rules_model(&rules, strv_of(cases[i].name)), cases[i].may);
    }
}

static void tools_are_patterns_and_some_take_away(void **state)
{
    static const struct {
        const char *tools, *name;
        bool may;
    } cases[] = {
        {"", "scheduler/get_status", true},
        {"scheduler/*", "scheduler/get_status", true},
        {"scheduler/get_*", "scheduler/restore", false},
        {"!scheduler/restore_*", "scheduler/get", true},
        {"!scheduler/restore_*", "scheduler/restore_backup", false},
        {"scheduler/*,!*/rag_*", "scheduler/rag_search", false},
        {"scheduler/*,!*/rag_*", "scheduler/get", true},
        {"scheduler/*,!*/rag_*", "other/get", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct policy_rules rules = {.mode = LLM_MODE_UNSET};
        snprintf(rules.tools, sizeof rules.tools, "%s", cases[i].tools);
        assert_int_equal(policy_rules_tool(&rules, strv_of(cases[i].name)), cases[i].may);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_read_and_shown),
        cmocka_unit_test(the_store_gets_back_what_it_was_given),
        cmocka_unit_test(a_rule_that_is_not_known_is_no_rule_to_pass_over),
        cmocka_unit_test(json_has_types),
        cmocka_unit_test(refused_memory_is_told),
        cmocka_unit_test(models_are_patterns),
        cmocka_unit_test(tools_are_patterns_and_some_take_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
