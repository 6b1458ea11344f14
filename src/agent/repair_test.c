/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/repair.h"
#include "agent/shelf_test.h"

static const char schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"day\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"part\":{\"type\":\"number\"},"
    "\"on\":{\"type\":\"boolean\"},\"start_date\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":"
    "\"null\"}],"
    "\"default\":null},\"kind\":{\"type\":\"string\",\"enum\":[\"full\",\"incremental\","
    "\"double_booking\"]},\"ids\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"kinds\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/K\"}},"
    "\"nums\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}},"
    "\"map\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"number\"}},"
    "\"inner\":{\"type\":\"object\",\"properties\":{\"max_hours\":{\"type\":\"integer\"}}},"
    "\"any\":{},\"way\":{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"array\",\"items\":{\"type\":"
    "\"integer\"}}]}},\"$defs\":{\"K\":{\"type\":\"string\",\"enum\":[\"red\",\"green\"]}}}";

static struct arena arena;

static int start(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 1 << 24);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static bool mend(const char *of, const char *note, strv args, strv *out,
                 uint32_t counts[AGENT_REPAIRS], struct err *err)
{
    struct mcp_tool t = {.schema = strv_of(of), .note = strv_of(note)};
    memset(counts, 0, AGENT_REPAIRS * sizeof *counts);
    return agent_repair_args(&t, args, &arena, out, counts, err);
}

struct row {
    const char *args, *want; /* NULL = refused */
    int kind;                /* -1 = nothing was mended */
    const char *says;        /* of a refusal */
};

static void check(const char *of, const char *note, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t counts[AGENT_REPAIRS];
        struct err err = ERR_INIT;
        strv out = STRV_NONE;
        bool ok = mend(of, note, strv_of(rows[i].args), &out, counts, &err);
        if (ok != (rows[i].want != NULL))
            fail_msg("%s: %s", rows[i].args, ok ? arena_cstr(&arena, out) : err.text);
        if (!ok && strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].args, err.text);
        if (!ok)
            continue;
        assert_string_equal(arena_cstr(&arena, out), rows[i].want);
        for (int k = 0; k < AGENT_REPAIRS; k++)
            if ((counts[k] > 0) != (k == rows[i].kind))
                fail_msg("%s: %s counted %u", rows[i].args, agent_repair_name(k), counts[k]);
    }
}
#define CHECK(of, note, rows) check(of, note, rows, sizeof rows / sizeof *rows)

static void what_fits_passes_byte_by_byte(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{}", "{}", -1, NULL},
        {"", "{}", -1, NULL},
        {" \n", "{}", -1, NULL},
        {"{ \"n\" : 5 , \"part\":1.50,\"day\":\"\\u0041\"}",
         "{ \"n\" : 5 , \"part\":1.50,\"day\":\"\\u0041\"}", -1, NULL},
        {"{\"n\":5.0,\"part\":3}", "{\"n\":5.0,\"part\":3}", -1, NULL},
        {"{\"start_date\":null}", "{\"start_date\":null}", -1, NULL},
        {"{\"any\":[\"null\",{\"x\":\"5\"}]}", "{\"any\":[\"null\",{\"x\":\"5\"}]}", -1, NULL},
        {"{\"map\":{\"a b\":1}}", "{\"map\":{\"a b\":1}}", -1, NULL},
        {"{\"way\":[1]}", "{\"way\":[1]}", -1, NULL},
    };
    CHECK(schema, "", rows);
}

static void each_kind_is_mended(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"n\":5,}", "{\"n\":5}", AGENT_REPAIR_SYNTAX, NULL},
        {"```json\n{'n':5}\n```", "{\"n\":5}", AGENT_REPAIR_SYNTAX, NULL},
        {"{\"n\":\"5\"}", "{\"n\":5}", AGENT_REPAIR_NUMBER, NULL},
        {"{\"part\":\" 0.5 \"}", "{\"part\":0.5}", AGENT_REPAIR_NUMBER, NULL},
        {"{\"n\":\"-3\"}", "{\"n\":-3}", AGENT_REPAIR_NUMBER, NULL},
        {"{\"day\":7}", "{\"day\":\"7\"}", AGENT_REPAIR_NUMBER, NULL},
        {"{\"nums\":[\"1\",2,\"3.5\"]}", "{\"nums\":[1,2,3.5]}", AGENT_REPAIR_NUMBER, NULL},
        {"{\"map\":{\"a\":\"1\"}}", "{\"map\":{\"a\":1}}", AGENT_REPAIR_NUMBER, NULL},
        {"{\"way\":\"4\"}", "{\"way\":4}", AGENT_REPAIR_NUMBER, NULL},
        {"{\"on\":\"True\"}", "{\"on\":true}", AGENT_REPAIR_BOOLEAN, NULL},
        {"{\"on\":\"no\"}", "{\"on\":false}", AGENT_REPAIR_BOOLEAN, NULL},
        {"{\"on\":1}", "{\"on\":true}", AGENT_REPAIR_BOOLEAN, NULL},
        {"{\"day\":true}", "{\"day\":\"true\"}", AGENT_REPAIR_BOOLEAN, NULL},
        {"{\"start_date\":\"null\"}", "{}", AGENT_REPAIR_NULL, NULL},
        {"{\"n\":null,\"day\":\"x\"}", "{\"day\":\"x\"}", AGENT_REPAIR_NULL, NULL},
        {"{\"day\":\"None\"}", "{}", AGENT_REPAIR_NULL, NULL},
        {"{\"n\":\"\"}", "{}", AGENT_REPAIR_NULL, NULL},
        {"null", "{}", AGENT_REPAIR_NULL, NULL},
        {"{\"kind\":\"FULL\"}", "{\"kind\":\"full\"}", AGENT_REPAIR_ENUM, NULL},
        {"{\"kind\":\"double booking\"}", "{\"kind\":\"double_booking\"}", AGENT_REPAIR_ENUM, NULL},
        {"{\"kind\":\"incremntal\"}", "{\"kind\":\"incremental\"}", AGENT_REPAIR_ENUM, NULL},
        {"{\"kinds\":[\"Red\"]}", "{\"kinds\":[\"red\"]}", AGENT_REPAIR_ENUM, NULL},
        {"{\"ids\":\"[\\\"a\\\"]\"}", "{\"ids\":[\"a\"]}", AGENT_REPAIR_NESTED, NULL},
        {"{\"inner\":\"{'max_hours':8}\"}", "{\"inner\":{\"max_hours\":8}}", AGENT_REPAIR_NESTED,
         NULL},
        {"\"{\\\"n\\\":5}\"", "{\"n\":5}", AGENT_REPAIR_NESTED, NULL},
        {"{\"ids\":\"a\"}", "{\"ids\":[\"a\"]}", AGENT_REPAIR_LIST, NULL},
        {"{\"nums\":4}", "{\"nums\":[4]}", AGENT_REPAIR_LIST, NULL},
        {"{\"day\":[\"x\"]}", "{\"day\":\"x\"}", AGENT_REPAIR_LIST, NULL},
        {"{\"kinds\":\"red, Green\"}", "{\"kinds\":[\"red\",\"green\"]}", AGENT_REPAIR_LIST, NULL},
        {"{\"ids\":\"a, b\"}", "{\"ids\":[\"a, b\"]}", AGENT_REPAIR_LIST, NULL},
        {"{\"startDate\":\"x\"}", "{\"start_date\":\"x\"}", AGENT_REPAIR_MEMBER, NULL},
        {"{\"Start-Date\":\"x\"}", "{\"start_date\":\"x\"}", AGENT_REPAIR_MEMBER, NULL},
        {"{\"strat_date\":\"x\"}", "{\"start_date\":\"x\"}", AGENT_REPAIR_MEMBER, NULL},
        {"{\"inner\":{\"maxHours\":8}}", "{\"inner\":{\"max_hours\":8}}", AGENT_REPAIR_MEMBER,
         NULL},
        {"{\"name\":\"t\",\"arguments\":{\"n\":5}}", "{\"n\":5}", AGENT_REPAIR_MEMBER, NULL},
        {"{\"parameters\":{\"n\":5}}", "{\"n\":5}", AGENT_REPAIR_MEMBER, NULL},
        {"{\"n\":5,\"zebra\":1}", "{\"n\":5}", AGENT_REPAIR_DROPPED, NULL},
    };
    CHECK(schema, "", rows);
}

static void what_could_change_the_meaning_is_refused(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"n\":\"five\"}", NULL, 0, "/n: must be of type \"integer\". It takes: integer"},
        {"{\"n\":5.5}", NULL, 0, "/n"},
        {"{\"n\":\"02134\"}", NULL, 0, "/n"},
        {"{\"on\":2}", NULL, 0, "/on"},
        {"{\"kind\":\"daily\"}", NULL, 0, "It takes: full, incremental, double_booking"},
        {"{\"day\":{\"a\":1}}", NULL, 0, "/day"},
        {"{\"day\":[\"x\",\"y\"]}", NULL, 0, "/day"},
        {"hello", NULL, 0, "not a JSON object"},
        {"[1,2]", NULL, 0, "must be a JSON object"},
        {"7", NULL, 0, "must be a JSON object"},
    };
    CHECK(schema, "", rows);
}

static void everything_missing_is_told_at_once(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{}", NULL, 0, "Missing required arguments: a, b."},
        {"{\"a\":1}", NULL, 0, "Missing required argument: b."},
        {"{\"a\":1,\"b\":\"null\"}", "{\"a\":1,\"b\":\"null\"}", -1, NULL},
    };
    CHECK("{\"properties\":{\"a\":{},\"b\":{}},\"required\":[\"a\",\"b\"]}", "", rows);
}

static void a_null_that_must_be_given_stays(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"a\":null}", "{\"a\":null}", -1, NULL},
        {"{\"a\":\"null\"}", "{\"a\":null}", AGENT_REPAIR_NULL, NULL},
    };
    CHECK("{\"properties\":{\"a\":{\"type\":[\"integer\",\"null\"]}},\"required\":[\"a\"]}", "",
          rows);
}

static void a_word_of_an_enum_that_means_nothing_stays(void **state)
{
    (void)state;
    static const struct row rows[] = {{"{\"a\":\"none\"}", "{\"a\":\"none\"}", -1, NULL}};
    CHECK("{\"properties\":{\"a\":{\"enum\":[\"none\",\"all\"]}}}", "", rows);
    CHECK("{\"properties\":{\"a\":{\"type\":\"string\"}}}",
          "{\"arguments\":{\"a\":{\"enum\":[\"none\",\"all\"]}}}", rows);
}

static void the_overlay_knows_words_that_the_schema_does_not(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"a\":\"Full\"}", "{\"a\":\"full\"}", AGENT_REPAIR_ENUM, NULL},
        {"{\"a\":\"daily\"}", NULL, 0, "Argument a must be one of: full, other."},
        {"{\"l\":[\"X-Ray\"]}", "{\"l\":[\"x_ray\"]}", AGENT_REPAIR_ENUM, NULL},
    };
    CHECK("{\"properties\":{\"a\":{\"type\":\"string\"},\"l\":{\"type\":\"array\",\"items\":{"
          "\"type\":"
          "\"string\"}}}}",
          "{\"arguments\":{\"a\":{\"enum\":[\"full\",\"other\"]},\"l\":{\"items\":{\"enum\":[\"x_"
          "ray\"]}}}}",
          rows);
}

static void a_secret_is_not_taken_from_a_model(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"v\":\"1\",\"approval_token\":\"guess\"}", NULL, 0, "only a person may give"},
        {"{\"v\":\"1\"}", NULL, 0, "only a person may give"},
    };
    static const struct row pins[] = {
        {"{\"v\":\"1\",\"pin\":\"7\"}", "{\"v\":\"1\"}", AGENT_REPAIR_DROPPED, NULL},
    };
    CHECK("{\"properties\":{\"v\":{},\"approval_token\":{\"type\":\"string\"}},\"required\":[\"v\","
          "\"approval_token\"]}",
          "", rows);
    CHECK("{\"properties\":{\"v\":{},\"pin\":{}}}", "{\"hide\":[\"pin\"]}", pins);
}

static void without_a_sound_schema_the_server_decides(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"a\":\"5\"}", "{\"a\":\"5\"}", -1, NULL},
    };
    CHECK("", "", rows);
    CHECK("[1]", "", rows);
    CHECK("{\"type\":\"object\"}", "", rows);
    CHECK("{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"type\":7}", "", rows);
}

/* Any text ends: mended to what the schema takes, or with a sentence. */
static void every_prefix_of_arguments_ends(void **state)
{
    (void)state;
    strv all = STRV(
        "{\"n\":\"5\",\"ids\":\"[\\\"a\\\",\\\"b\\\"]\",\"kind\":\"Full\",\"startDate\":\"None\","
        "\"inner\":{\"maxHours\":\"8\"}}");
    for (size_t n = 0; n <= all.len; n++) {
        uint32_t counts[AGENT_REPAIRS];
        struct err err = ERR_INIT;
        strv out;
        char *copy = arena_cstr(&arena, (strv){all.ptr, n});
        bool ok = mend(schema, "", (strv){copy, n}, &out, counts, &err);
        assert_true(ok || err.text[0] != '\0');
    }
}

static void no_memory_is_told(void **state)
{
    (void)state;
    struct mcp_tool t = {.schema = strv_of(schema), .note = STRV("{\"arguments\":{}}")};
    for (uint64_t nth = 1; nth < 100; nth++) {
        struct arena a;
        struct err err = ERR_INIT;
        uint32_t counts[AGENT_REPAIRS] = {0};
        strv out;
        arena_init(&a, 64, 1 << 22);
        mem_fail_at(nth, true);
        bool ok = agent_repair_args(&t, STRV("{'n':\"5\",\"ids\":\"a\"}"), &a, &out, counts, &err);
        bool reached = mem_count() >= nth;
        mem_fail_at(0, false);
        /* what is refused at the very end, in a check with memory of its own, changes nothing */
        assert_true(ok || (reached && a.failed));
        if (ok)
            assert_string_equal(arena_cstr(&a, out), "{\"n\":5,\"ids\":[\"a\"]}");
        arena_fini(&a);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_fits_passes_byte_by_byte),
        TEST(each_kind_is_mended),
        TEST(what_could_change_the_meaning_is_refused),
        TEST(everything_missing_is_told_at_once),
        TEST(a_null_that_must_be_given_stays),
        TEST(a_word_of_an_enum_that_means_nothing_stays),
        TEST(the_overlay_knows_words_that_the_schema_does_not),
        TEST(a_secret_is_not_taken_from_a_model),
        TEST(without_a_sound_schema_the_server_decides),
        TEST(every_prefix_of_arguments_ends),
        TEST(no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
