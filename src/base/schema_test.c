/* SPDX-License-Identifier: Apache-2.0 */
/* schema: each rule kept and broken, what an error says, hostile schemas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/json.h"
#include "base/schema.h"
#include "base/utf8.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct arena arena;

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 256 << 20);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static yyjson_val *parse(const char *text)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (!json_read(&doc, strv_of(text), &arena, 1, &err))
        fail_msg("%s: %s", text, err.text);
    return doc.root;
}

/* Each schema with values that fit and values that do not. */
static const struct {
    const char *schema;
    const char *good[12], *bad[12];
} rules[] = {
    {"{}", {"1", "{}", "null"}, {NULL}},
    {"true", {"1", "{}", "null"}, {NULL}},
    {"false", {NULL}, {"1", "{}", "null"}},
    /* type */
    {"{\"type\":\"object\"}", {"{}"}, {"[]", "1", "\"\"", "null", "true"}},
    {"{\"type\":\"array\"}", {"[]"}, {"{}"}},
    {"{\"type\":\"string\"}", {"\"\""}, {"1"}},
    {"{\"type\":\"number\"}", {"1", "1.5", "-1", "1e300"}, {"\"1\"", "true"}},
    {"{\"type\":\"integer\"}",
     {"1", "-1", "1.0", "-0.0", "1e300", "18446744073709551615", "12345678901234567890123"},
     {"1.5", "1e-9", "\"1\"", "4503599627370495.5"}},
    {"{\"type\":\"boolean\"}", {"true", "false"}, {"0", "null"}},
    {"{\"type\":\"null\"}", {"null"}, {"0", "false", "\"\""}},
    {"{\"type\":[\"string\",\"null\"]}", {"\"\"", "null"}, {"1", "{}"}},
    {"{\"type\":[\"integer\"]}", {"1"}, {"1.5"}},
    {"{\"type\":\"string\",\"minLength\":2,\"nullable\":true}", {"\"ab\"", "null"}, {"1", "\"a\""}},
    {"{\"type\":\"string\",\"nullable\":false}", {"\"ab\""}, {"null"}},
    /* enum, const */
    {"{\"enum\":[1,\"a\",null,[1,{\"b\":2,\"c\":3}]]}",
     {"1", "1.0", "\"a\"", "null", "[1,{\"c\":3,\"b\":2.0}]"},
     {"2", "\"b\"", "false", "[]", "[1,{\"c\":3}]", "[1,{\"c\":3,\"b\":3}]", "true"}},
    {"{\"const\":{\"a\":[0]}}",
     {"{\"a\":[0]}", "{\"a\":[-0.0]}"},
     {"{\"a\":[false]}", "{\"a\":0}", "{}", "{\"a\":[0],\"b\":1}", "{\"b\":[0]}"}},
    {"{\"const\":9007199254740993}",
     {"9007199254740993"},
     {"9007199254740992", "9007199254740992.0"}},
    {"{\"const\":null}", {"null"}, {"0"}},
    {"{\"const\":\"a\\u0000b\"}", {"\"a\\u0000b\""}, {"\"a\"", "\"a\\u0000c\""}},
    /* objects */
    {"{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":false}}",
     {"{}", "{\"a\":1}", "{\"c\":\"x\"}", "[]", "1"},
     {"{\"a\":\"1\"}", "{\"b\":1}", "{\"a\":1,\"a\":\"twice\"}"}},
    {"{\"required\":[\"a\",\"b\"]}",
     {"{\"a\":null,\"b\":0,\"c\":1}", "[]", "\"a\""},
     {"{}", "{\"a\":1}", "{\"b\":1,\"c\":2}"}},
    {"{\"required\":[]}", {"{}"}, {NULL}},
    {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}",
     {"{}", "{\"a\":1}", "[1]"},
     {"{\"b\":1}", "{\"a\":1,\"b\":1}"}},
    {"{\"additionalProperties\":{\"type\":\"string\"}}",
     {"{}", "{\"a\":\"x\",\"b\":\"\"}"},
     {"{\"a\":\"x\",\"b\":1}"}},
    {"{\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"string\"}}",
     {"{\"a\":1,\"b\":\"x\"}"},
     {"{\"a\":1,\"b\":1}"}},
    {"{\"additionalProperties\":false}", {"{}"}, {"{\"a\":1}"}},
    {"{\"additionalProperties\":true}", {"{\"a\":1}"}, {NULL}},
    {"{\"minProperties\":1,\"maxProperties\":2}",
     {"{\"a\":1}", "{\"a\":1,\"b\":2}", "[]", "1"},
     {"{}", "{\"a\":1,\"b\":2,\"c\":3}"}},
    /* arrays */
    {"{\"items\":{\"type\":\"integer\"}}", {"[]", "[1,2]", "{}", "1"}, {"[\"\"]", "[1,2,null]"}},
    {"{\"items\":false}", {"[]"}, {"[1]"}},
    {"{\"items\":true}", {"[]", "[1]"}, {NULL}},
    {"{\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"null\"}]}",
     {"[]", "[\"\"]", "[\"\",null]", "[\"\",null,1]", "1"},
     {"[1]", "[\"\",1]", "[\"\",1,1]"}},
    {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"integer\"}}",
     {"[]", "[\"\"]", "[\"\",1,2]"},
     {"[1]", "[\"\",\"\"]", "[\"\",1,\"\"]"}},
    {"{\"prefixItems\":[{},{}],\"items\":false}", {"[1,2]", "[1]"}, {"[1,2,3]"}},
    {"{\"minItems\":1,\"maxItems\":2}", {"[1]", "[1,2]", "{}", "\"\""}, {"[]", "[1,2,3]"}},
    {"{\"minItems\":1.0}", {"[1]"}, {"[]"}},
    {"{\"uniqueItems\":true}",
     {"[]", "[1]", "[1,2,\"1\",true,false,0,null]", "[[1],[2]]", "[{\"a\":1},{\"a\":2}]",
      "[1,true]", "[0,false]"},
     {"[1,1]", "[1,2,1.0]", "[[1],[1]]", "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]",
      "[\"a\",\"b\",\"a\"]", "[null,null]"}},
    {"{\"uniqueItems\":false}", {"[1,1]"}, {NULL}},
    /* strings */
    {"{\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"abc\"", "\"\xc3\xa9\xf0\x9f\x98\x80\"", "\"\\u00e9\\ud83d\\ude00x\"", "1", "[]"},
     {"\"\"", "\"a\"", "\"\xf0\x9f\x98\x80\"", "\"abcd\""}},
    {"{\"maxLength\":2.0}", {"\"ab\""}, {"\"abc\""}},
    {"{\"pattern\":\"^x$\",\"format\":\"email\"}", {"\"y\""}, {NULL}}, /* not checked */
    /* numbers */
    {"{\"minimum\":1.5,\"maximum\":3}",
     {"1.5", "2", "3", "3.0", "\"0\""},
     {"1", "1.4999", "3.0001", "4"}},
    {"{\"exclusiveMinimum\":1,\"exclusiveMaximum\":2}",
     {"1.5", "\"\""},
     {"1", "2", "1.0", "0", "3"}},
    {"{\"minimum\":-2}", {"-2", "-1.5", "0", "18446744073709551615"}, {"-3", "-2.0001", "-1e300"}},
    {"{\"minimum\":9007199254740993}",
     {"9007199254740993"},
     {"9007199254740992", "9007199254740992.0"}},
    {"{\"maximum\":18446744073709551615}", {"18446744073709551615"}, {"18446744073709551616"}},
    {"{\"multipleOf\":2}", {"0", "4", "-4", "4.0", "\"\""}, {"3", "-3", "4.5"}},
    {"{\"multipleOf\":1.5}", {"0", "4.5", "-3"}, {"4", "35"}},
    {"{\"multipleOf\":0.01}", {"0.3", "19.99", "-4.35", "1000000.01"}, {"0.005", "19.999"}},
    {"{\"multipleOf\":0.0001}", {"0.0075"}, {"0.00751"}},
    {"{\"multipleOf\":1e-8}", {"12391239123"}, {NULL}},
    {"{\"multipleOf\":9007199254740993}",
     {"9007199254740993", "18014398509481986"},
     {"9007199254740992"}},
    /* several schemas */
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}", {"1", "2.5", "3", "\"x\""}, {"1.5"}},
    {"{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}", {"1", "2.5"}, {"3", "1.5"}},
    {"{\"oneOf\":[{\"type\":\"string\"},true,false]}", {"1"}, {"\"\""}},
    {"{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}}},{\"required\":[\"b\"]}]}",
     {"{\"a\":1,\"b\":2}", "{\"b\":2}"},
     {"{\"a\":1}", "{\"a\":\"\",\"b\":2}"}},
    {"{\"not\":{\"type\":\"integer\"}}", {"\"\"", "1.5"}, {"1"}},
    {"{\"not\":{\"not\":{\"type\":\"integer\"}}}", {"1"}, {"\"\""}},
    {"{\"not\":{}}", {NULL}, {"1", "null"}},
    {"{\"anyOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"v\":{\"type\":\"string\"}},"
     "\"required\":[\"k\",\"v\"]},"
     "{\"properties\":{\"k\":{\"const\":\"b\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"k\","
     "\"v\"]}]}",
     {"{\"k\":\"a\",\"v\":\"x\"}", "{\"k\":\"b\",\"v\":1}"},
     {"{\"k\":\"a\",\"v\":1}", "{\"k\":\"b\",\"v\":\"x\"}", "{\"k\":\"c\",\"v\":1}", "{}"}},
    /* $ref */
    {"{\"properties\":{\"a\":{\"$ref\":\"#/$defs/n\"}},\"$defs\":{\"n\":{\"type\":\"integer\"}}}",
     {"{\"a\":1}", "{}"},
     {"{\"a\":\"\"}"}},
    {"{\"$ref\":\"#/definitions/a\",\"definitions\":{\"a\":{\"$ref\":\"#/definitions/"
     "b\"},\"b\":{\"type\":\"null\"}}}",
     {"null"},
     {"1"}},
    {"{\"properties\":{\"v\":{\"type\":\"integer\"},\"next\":{\"$ref\":\"#\"}},\"required\":[\"v\"]"
     ","
     "\"additionalProperties\":false}",
     {"{\"v\":1}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3}}}"},
     {"{\"v\":1,\"next\":{}}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3,\"x\":4}}}"}},
    {"{\"$defs\":{\"a/b\":{\"type\":\"null\"},\"c~d\":{\"type\":\"string\"},\"e%f "
     "g\":{\"type\":\"array\"},"
     "\"\":{\"type\":\"object\"}},\"properties\":{\"a\":{\"$ref\":\"#/$defs/a~1b\"},"
     "\"c\":{\"$ref\":\"#/$defs/c~0d\"},\"e\":{\"$ref\":\"#/$defs/e%25f%20g\"},\"o\":{\"$ref\":\"#/"
     "$defs/\"}}}",
     {"{\"a\":null,\"c\":\"\",\"e\":[],\"o\":{}}"},
     {"{\"a\":1}", "{\"c\":1}", "{\"e\":1}", "{\"o\":1}"}},
    {"{\"properties\":{\"a\":{\"$ref\":\"#/allOf/1\"}},\"allOf\":[true,{\"minProperties\":1}]}",
     {"{\"a\":{\"x\":1}}", "{\"a\":1}"},
     {"{}", "{\"a\":{}}"}},
    {"{\"$ref\":\"#/$defs/n\",\"minimum\":2,\"$defs\":{\"n\":{\"type\":\"integer\"}}}",
     {"2", "3"},
     {"1", "2.5"}},
    /* older drafts */
    {"{\"items\":[{\"type\":\"string\"},{\"type\":\"null\"}],\"additionalItems\":{\"type\":"
     "\"integer\"}}",
     {"[]", "[\"\"]", "[\"\",null,1,2]"},
     {"[1]", "[\"\",null,\"\"]"}},
    {"{\"items\":[{}],\"additionalItems\":false}", {"[1]"}, {"[1,2]"}},
    {"{\"items\":{},\"additionalItems\":false}", {"[1,2]"}, {NULL}},
    {"{\"minimum\":1,\"exclusiveMinimum\":true,\"maximum\":2,\"exclusiveMaximum\":true}",
     {"1.5"},
     {"1", "2"}},
    {"{\"minimum\":1,\"exclusiveMinimum\":false}", {"1"}, {"0"}},
    /* ignored */
    {"{\"patternProperties\":{\"^x\":{\"type\":\"null\"}},\"additionalProperties\":false}",
     {"{\"y\":1}"},
     {NULL}},
    {"{\"if\":true,\"then\":false,\"contains\":false,\"propertyNames\":false,\"x-mine\":3,"
     "\"title\":4}",
     {"{\"a\":1}", "[1]"},
     {NULL}},
    {"{\"properties\":{\"type\":{\"type\":\"string\"},\"properties\":{\"type\":\"null\"}}}",
     {"{\"type\":\"x\",\"properties\":null}"},
     {"{\"type\":1}", "{\"properties\":{}}"}},
    {"{\"enum\":[{\"type\":\"nonsense\"}],\"default\":{\"type\":5},\"examples\":[{\"items\":7}]}",
     {"{\"type\":\"nonsense\"}"},
     {"{}"}},
};

static void each_rule_is_kept_and_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rules); i++) {
        yyjson_val *schema = parse(rules[i].schema);
        struct err err = ERR_INIT;
        if (!schema_valid(schema, &err))
            fail_msg("%s: %s", rules[i].schema, err.text);
        for (size_t k = 0; k < COUNT(rules[i].good) && rules[i].good[k] != NULL; k++)
            if (!schema_check(schema, parse(rules[i].good[k]), &err))
                fail_msg("%s refuses %s: %s", rules[i].schema, rules[i].good[k], err.text);
        for (size_t k = 0; k < COUNT(rules[i].bad) && rules[i].bad[k] != NULL; k++) {
            struct err why = ERR_INIT;
            if (schema_check(schema, parse(rules[i].bad[k]), &why))
                fail_msg("%s takes %s", rules[i].schema, rules[i].bad[k]);
            assert_true(why.set && why.text[0] != '\0' && why.code == 0);
            assert_false(schema_check(schema, parse(rules[i].bad[k]), NULL));
        }
    }
}

static void an_error_says_where_and_which_rule(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *value, *field, *text;
    } cases[] = {
        {"{\"type\":\"object\"}", "1", "", "must be of type \"object\""},
        {"{\"properties\":{\"a\":{\"items\":{\"type\":\"string\"}}}}", "{\"a\":[\"\",\"\",7]}",
         "/a/2", "/a/2: must be of type \"string\""},
        {"{\"properties\":{\"a/b~\\n\":{\"maxLength\":1}}}", "{\"a/b~\\n\":\"secret\"}", "/a~1b~0?",
         "/a~1b~0?: is too long (\"maxLength\")"},
        {"{\"properties\":{\"a\":{\"required\":[\"b\"]}}}", "{\"a\":{\"secret\":1}}", "/a",
         "/a: lacks the required property \"b\""},
        {"{\"additionalProperties\":false}", "{\"secret\":1}", "",
         "has a property that \"additionalProperties\" forbids"},
        {"{\"additionalProperties\":{\"items\":{\"enum\":[1]}}}", "{\"secret\":[\"secret\"]}",
         "/*/0", "/*/0: must be one of the values in \"enum\""},
        {"{\"const\":\"x\"}", "\"secret\"", "", "must be the value of \"const\""},
        {"{\"prefixItems\":[{},{\"minimum\":3}]}", "[1,2]", "/1", "/1: is below \"minimum\""},
        {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "1", "",
         "must fit one of the schemas in \"anyOf\""},
        /* the alternative that came further is the one that was meant */
        {"{\"anyOf\":[{\"properties\":{\"a\":{\"properties\":{\"b\":{\"type\":\"string\"}}}}},{"
         "\"type\":\"null\"}]}",
         "{\"a\":{\"b\":1}}", "/a/b", "/a/b: must be of type \"string\""},
        {"{\"oneOf\":[{\"items\":{\"anyOf\":[{\"items\":{\"type\":\"null\"}},{\"type\":\"null\"}]}}"
         ",false]}",
         "[[null,0]]", "/0/1", "/0/1: must be of type \"null\""},
        {"{\"oneOf\":[true,true]}", "1", "", "must fit only one of the schemas in \"oneOf\""},
        {"{\"not\":true}", "1", "", "must not fit the schema in \"not\""},
        {"{\"items\":false}", "[1]", "/0", "/0: nothing is allowed here by the schema"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = ERR_INIT;
        assert_false(schema_check(parse(cases[i].schema), parse(cases[i].value), &err));
        assert_string_equal(err.text, cases[i].text);
        assert_string_equal(err.field, cases[i].field);
        assert_null(strstr(err.text, "secret"));
    }
}

static void what_is_no_schema(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *text;
    } cases[] = {
        {"1", "#: must be a schema: an object, true or false"},
        {"[]", "#: must be a schema: an object, true or false"},
        {"null", "#: must be a schema: an object, true or false"},
        {"{\"type\":\"text\"}", "#/type: must be the name of a type, or an array of names"},
        {"{\"type\":[]}", "#/type: must be the name of a type, or an array of names"},
        {"{\"type\":[\"string\",1]}", "#/type: must be the name of a type, or an array of names"},
        {"{\"type\":null}", "#/type: must be the name of a type, or an array of names"},
        {"{\"properties\":[]}", "#/properties: must be an object of schemas"},
        {"{\"properties\":{\"a\":1}}",
         "#/properties/a: must be a schema: an object, true or false"},
        {"{\"properties\":{\"a\":{\"items\":{\"type\":1}}}}",
         "#/properties/a/items/type: must be the name of a type, or an array of names"},
        {"{\"$defs\":{\"x/y\":{\"type\":\"\"}}}",
         "#/$defs/x~1y/type: must be the name of a type, or an array of names"},
        {"{\"definitions\":3}", "#/definitions: must be an object of schemas"},
        {"{\"required\":\"a\"}", "#/required: must be an array of strings"},
        {"{\"required\":[1]}", "#/required: must be an array of strings"},
        {"{\"additionalProperties\":1}",
         "#/additionalProperties: must be a schema: an object, true or false"},
        {"{\"items\":[1]}", "#/items/0: must be a schema: an object, true or false"},
        {"{\"items\":null}", "#/items: must be a schema: an object, true or false"},
        {"{\"prefixItems\":{}}", "#/prefixItems: must be an array of schemas"},
        {"{\"anyOf\":[]}", "#/anyOf: must be an array of schemas"},
        {"{\"oneOf\":[{},{\"allOf\":[{\"not\":0}]}]}",
         "#/oneOf/1/allOf/0/not: must be a schema: an object, true or false"},
        {"{\"enum\":[]}", "#/enum: must be an array of at least one value"},
        {"{\"enum\":1}", "#/enum: must be an array of at least one value"},
        {"{\"nullable\":1}", "#/nullable: must be true or false"},
        {"{\"uniqueItems\":\"\"}", "#/uniqueItems: must be true or false"},
        {"{\"minimum\":\"1\"}", "#/minimum: must be a number"},
        {"{\"exclusiveMaximum\":null}", "#/exclusiveMaximum: must be a number"},
        {"{\"multipleOf\":0}", "#/multipleOf: must be a number above 0"},
        {"{\"multipleOf\":-1}", "#/multipleOf: must be a number above 0"},
        {"{\"minLength\":-1}", "#/minLength: must be an integer of at least 0"},
        {"{\"maxItems\":1.5}", "#/maxItems: must be an integer of at least 0"},
        {"{\"$ref\":1}", "#/$ref: must be a string"},
        {"{\"$ref\":\"\"}", "#/$ref: must be a pointer into this schema, as \"#/$defs/name\""},
        {"{\"$ref\":\"http://x/y\"}",
         "#/$ref: must be a pointer into this schema, as \"#/$defs/name\""},
        {"{\"$ref\":\"#name\"}", "#/$ref: leads to no schema"},
        {"{\"$ref\":\"#/$defs/x\"}", "#/$ref: leads to no schema"},
        {"{\"$ref\":\"#/$defs/x\",\"$defs\":{\"y\":true}}", "#/$ref: leads to no schema"},
        {"{\"$ref\":\"#/required/0\",\"required\":[\"a\"]}", "#/$ref: leads to no schema"},
        {"{\"$ref\":\"#/allOf/01x\",\"allOf\":[{}]}", "#/$ref: leads to no schema"},
        {"{\"$ref\":\"#/allOf/1\",\"allOf\":[{}]}", "#/$ref: leads to no schema"},
        {"{\"$ref\":\"#/%4\"}", "#/$ref: leads to no schema"},
        {"{\"$ref\":\"#\"}", "#/$ref: leads in a circle"},
        {"{\"items\":{\"$ref\":\"#/$defs/a\"},\"$defs\":{\"a\":{\"$ref\":\"#/$defs/"
         "b\"},\"b\":{\"$ref\":\"#/$defs/a\"}}}",
         "#/items/$ref: leads in a circle"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = ERR_INIT;
        yyjson_val *schema = parse(cases[i].schema);
        if (schema_valid(schema, &err))
            fail_msg("%s is taken", cases[i].schema);
        if (strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s: '%s', not '%s'", cases[i].schema, err.text, cases[i].text);
        /* And is harmless. */
        static const char *const values[] = {"1", "{\"a\":[1]}", "[[1],\"x\"]", "\"x\"", "null"};
        for (size_t k = 0; k < COUNT(values); k++)
            schema_check(schema, parse(values[k]), NULL);
    }
    struct err err = ERR_INIT;
    assert_false(schema_valid(NULL, &err));
    assert_false(schema_check(NULL, parse("1"), &err));
    assert_false(schema_check(parse("{\"properties\":{\"a\":{}}}"), NULL, &err));
}

/* n times `open`, then `middle`, then n times `close`. */
static yyjson_val *nest(int n, const char *open, const char *middle, const char *close)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < n; i++)
        buf_put_cstr(&b, open);
    buf_put_cstr(&b, middle);
    for (int i = 0; i < n; i++)
        buf_put_cstr(&b, close);
    buf_put_char(&b, '\0');
    assert_false(b.failed);
    yyjson_val *v = parse(buf_view(&b).ptr);
    buf_fini(&b);
    return v;
}

static void a_deep_value_is_checked_to_its_end(void **state)
{
    (void)state;
    yyjson_val *tree =
        parse("{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":"
              "{\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/node\"},{\"type\":\"null\"}]}},"
              "\"required\":[\"next\"],\"additionalProperties\":false}}}");
    struct err err = ERR_INIT;
    assert_true(schema_valid(tree, &err));
    assert_true(schema_check(tree, nest(120, "{\"next\":", "null", "}"), &err));
    assert_false(schema_check(tree, nest(120, "{\"next\":", "1", "}"), &err));
    assert_true(strlen(err.text) < 250);
    assert_memory_equal(err.text, "/.../next/next", 14); /* the near end of the way */
    assert_non_null(strstr(err.text, "anyOf"));
    err_clear(&err);
    assert_false(schema_check(tree, nest(120, "{\"next\":", "{\"x\":null}", "}"), &err));
    assert_non_null(strstr(err.text, "must fit one of the schemas in \"anyOf\""));
}

/* Each of them would take for ever; the answer is that it cannot be told. */
static void a_hostile_schema_ends(void **state)
{
    (void)state;
    static const char *const schemas[] = {
        "{\"$ref\":\"#\"}",
        "{\"allOf\":[{\"$ref\":\"#\"}]}",
        "{\"not\":{\"$ref\":\"#\"}}",
        "{\"anyOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}",
        "{\"allOf\":[{\"allOf\":[{\"$ref\":\"#/allOf/0\"},{\"$ref\":\"#/allOf/0\"}]}]}",
    };
    for (size_t i = 0; i < COUNT(schemas); i++) {
        struct err err = ERR_INIT;
        assert_false(schema_check(parse(schemas[i]), parse("{\"a\":[1]}"), &err));
        assert_string_equal(err.text, "the schema is too complex to check this value");
    }
    /* Two choices at each of 40 levels, all wrong at the end. */
    yyjson_val *twice = parse("{\"anyOf\":[{\"items\":{\"$ref\":\"#\"}},{\"items\":{\"$ref\":\"#\"}"
                              "}],\"not\":{\"const\":0}}");
    struct err err = ERR_INIT;
    assert_true(schema_valid(twice, &err));
    assert_false(schema_check(twice, nest(40, "[", "0", "]"), &err));
    assert_string_equal(err.text, "the schema is too complex to check this value");
    assert_true(schema_check(twice, nest(40, "[", "1", "]"), NULL));
}

static void large_values_are_checked_within_the_budget(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8 << 20);
    buf_put_char(&b, '[');
    for (unsigned i = 0; i < 200000; i++) {
        buf_put_cstr(&b, i > 0 ? "," : "");
        buf_put_u64(&b, i);
    }
    buf_put_cstr(&b, "]");
    buf_put_char(&b, '\0');
    yyjson_val *many = parse(buf_view(&b).ptr);
    buf_fini(&b);
    struct err err = ERR_INIT;
    assert_true(schema_check(parse("{\"items\":{\"type\":\"integer\"}}"), many, &err));
    assert_false(schema_check(parse("{\"uniqueItems\":true}"), many, &err));
    assert_string_equal(err.text, "the schema is too complex to check this value");
}

static void a_long_name_is_cut_at_a_letter(void **state)
{
    (void)state;
    for (size_t pad = 0; pad < 4; pad++) {
        char text[1000];
        size_t n = (size_t)snprintf(text, sizeof text, "{\"required\":[\"%.*s", (int)pad, "xxx");
        for (int i = 0; i < 80; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "\xe2\x82\xac");
        snprintf(text + n, sizeof text - n, "\"]}");
        struct err err = ERR_INIT;
        assert_false(schema_check(parse(text), parse("{}"), &err));
        assert_non_null(strstr(err.text, "...\""));
        assert_true(utf8_valid(strv_of(err.text)));
        assert_true(strlen(err.text) < 150);
    }
}

/* Every length of the names before the last one. */
static void a_long_way_is_cut_at_a_letter(void **state)
{
    (void)state;
    for (int pad = 0; pad < 70; pad++) {
        char schema[1000], value[1000], name[100];
        memset(name, 'x', sizeof name);
        memcpy(name + pad, "~\xf0\x9f\x98\x80", sizeof "~\xf0\x9f\x98\x80");
        snprintf(
            schema, sizeof schema,
            "{\"properties\":{\"%s\":{\"properties\":{\"%s\":{\"properties\":{\"%s\":false}}}}}}",
            name, name, name);
        snprintf(value, sizeof value, "{\"%s\":{\"%s\":{\"%s\":1}}}", name, name, name);
        struct err err = ERR_INIT;
        assert_false(schema_check(parse(schema), parse(value), &err));
        assert_non_null(strstr(err.text, ": nothing is allowed"));
        assert_true(utf8_valid(strv_of(err.text)) && utf8_valid(strv_of(err.field)));
        assert_true(strlen(err.text) < 210);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_arena, close_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_rule_is_kept_and_broken),
        TEST(an_error_says_where_and_which_rule),
        TEST(what_is_no_schema),
        TEST(a_deep_value_is_checked_to_its_end),
        TEST(a_hostile_schema_ends),
        TEST(large_values_are_checked_within_the_budget),
        TEST(a_long_name_is_cut_at_a_letter),
        TEST(a_long_way_is_cut_at_a_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
