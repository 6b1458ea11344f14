/* SPDX-License-Identifier: Apache-2.0 */
/* dialect: the table, duplicate members, parameters, and edits of the caller's own bytes. */
#include "dialect/testing.h"

static struct arena arena;
static struct buf out;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 64 << 20);
    buf_init(&out, 8 << 20);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    arena_fini(&arena);
    buf_fini(&out);
    return 0;
}

static void every_dialect_has_its_row(void **state)
{
    (void)state;
    for (int d = 0; d < LLM_DIALECTS; d++) {
        const struct dialect *row = dialect_get((enum llm_dialect)d);
        assert_non_null(row);
        assert_int_equal(row->id, d);
        assert_non_null(row->decode_request);
        assert_non_null(row->encode_event);
        assert_non_null(row->encode_reply);
        assert_non_null(row->encode_error);
        assert_non_null(row->stream_error);
        assert_non_null(row->keepalive);
        /* the upstream's side is there as a whole or not at all */
        bool up = row->encode_request != NULL;
        assert_int_equal(row->path != NULL, up);
        assert_int_equal(row->decode_frame != NULL, up);
        assert_int_equal(row->decode_reply != NULL, up);
        assert_int_equal(row->decode_error != NULL, up);
    }
}

static void losses_have_names(void **state)
{
    (void)state;
    assert_string_equal(dialect_loss_name(LLM_P_SEED), "seed");
    assert_string_equal(dialect_loss_name(DIALECT_LOSS_USER), "user");
    assert_string_equal(dialect_loss_name(DIALECT_LOSS_OTHER), "other");
    for (unsigned i = 0; i < DIALECT_LOSSES; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(dialect_loss_name(i), dialect_loss_name(k));
}

/* ---- duplicate members ---- */

static bool root_of(const char *text, struct err *err)
{
    struct json doc;
    *err = ERR_INIT;
    arena_reset(&arena);
    return dialect_root(&doc, strv_of(text), &arena, err);
}

static void a_member_may_occur_once(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why; /* NULL = fine */
    } cases[] = {
        {"{}", NULL},
        {"{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":1}]}", NULL},
        {"{\"a\":1,\"A\":1,\"a \":1}", NULL},
        {"{\"a\":1,\"a\":1}", "the member \"a\" occurs twice"},
        {"{\"a\":1,\"b\":1,\"\\u0061\":1}", "the member \"a\" occurs twice"},
        {"{\"a\":null,\"a\":1}", "the member \"a\" occurs twice"},
        {"{\"x\":[[{\"b\":{\"stream_options\":1,\"stream_options\":2}}]]}",
         "the member \"stream_options\" occurs twice"},
        {"{\"\":1,\"\":2}", "a member occurs twice in one object"},
        {"{\"Dr. Who\":1,\"Dr. Who\":2}", "a member occurs twice in one object"}, /* not a name */
        {"[{}]", "the body must be a JSON object"},
        {" \n", "the body is empty, a JSON object is expected"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err;
        assert_int_equal(root_of(cases[i].text, &err), cases[i].why == NULL);
        assert_string_equal(err.text, cases[i].why != NULL ? cases[i].why : "");
    }
}

/* Small and large objects are checked by different means. */
static void duplicates_are_found_in_objects_of_any_size(void **state)
{
    (void)state;
    for (unsigned n = 2; n < 70; n++) {
        for (unsigned twin = 0; twin <= n; twin++) { /* twin == n: none */
            struct err err;
            buf_clear(&out);
            for (unsigned i = 0; i < n; i++)
                buf_printf(&out, "%c\"k%u\":%u", i == 0 ? '{' : ',',
                           i == n - 1 && twin < i ? twin : i, i);
            buf_put(&out, "}", 2);
            assert_int_equal(root_of(out.data, &err), twin >= n - 1);
        }
    }
}

static void more_members_than_anybody_needs_are_refused(void **state)
{
    (void)state;
    for (unsigned n = 16384; n <= 16385; n++) {
        buf_clear(&out);
        for (unsigned i = 0; i < n; i++)
            buf_printf(&out, "%c\"%u\":0", i == 0 ? '{' : ',', i);
        buf_put(&out, "}", 2);
        struct err err;
        assert_int_equal(root_of(out.data, &err), n == 16384);
    }
}

/* What Go's servers would take for the member itself, see is_disguised(). */
static void a_known_member_in_other_letters_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"{\"model\":1,\"Model\":2}", "the member \"Model\" must be written in lower case"},
        {"{\"MODEL\":1}", "the member \"MODEL\" must be written in lower case"},
        {"{\"m\\u006fDel\":1}", "the member \"moDel\" must be written in lower case"},
        {"{\"\\u017ftream\":1}", "the member \"\u017ftream\" must be written in lower case"},
        {"{\"thin\\u212a\":1}", "the member \"thin\u212a\" must be written in lower case"},
        {"{\"Max_Tokens\":1}", "the member \"Max_Tokens\" must be written in lower case"},
        {"{\"messages\":[{\"Content\":1}]}",
         "the member \"Content\" must be written in lower case"},
        {"{\"messages\":[{\"content\":[{\"Text\":1}]}]}",
         "the member \"Text\" must be written in lower case"},
        {"{\"messages\":[{\"tool_calls\":[{\"function\":{\"Arguments\":{}}}]}]}",
         "the member \"Arguments\" must be written in lower case"},
        {"{\"tools\":[{\"function\":{\"Name\":\"f\"}}]}",
         "the member \"Name\" must be written in lower case"},
        {"{\"Input\":\"x\"}", "the member \"Input\" must be written in lower case"},
        /* not known, or where members mean nothing to a server */
        {"{\"tools\":[{\"function\":{\"parameters\":{\"Name\":1}}}]}", NULL},
        {"{\"fooBar\":1,\"Modell\":1,\"mod\\u00c9l\":1,\"Model\\u0000\":1}", NULL},
        {"{\"metadata\":{\"Model\":1}}", NULL},
        {"{\"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOP\":1}", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err;
        assert_int_equal(root_of(cases[i].text, &err), cases[i].why == NULL);
        assert_string_equal(err.text, cases[i].why != NULL ? cases[i].why : "");
    }
}

/* ---- parameters ---- */

static bool params_of(const char *text, enum llm_dialect d, struct llm_request *r, struct err *err)
{
    struct json doc;
    *err = ERR_INIT;
    *r = (struct llm_request){.dialect = d};
    arena_reset(&arena);
    assert_true(json_read(&doc, strv_of(text), &arena, 1, err));
    return dialect_decode_params(r, d, doc.root, d == LLM_OLLAMA ? "options." : "", err);
}

static void parameters_go_by_the_dialects_names(void **state)
{
    (void)state;
    struct llm_request r;
    struct err err;
    assert_true(params_of("{\"num_predict\":5,\"max_tokens\":\"x\"}", LLM_OLLAMA, &r, &err));
    assert_int_equal(r.params_set, 1u << LLM_P_MAX_TOKENS);
    assert_true(params_of("{\"seed\":1,\"top_p\":0.5}", LLM_ANTHROPIC, &r, &err));
    assert_int_equal(r.params_set, 1u << LLM_P_TOP_P);
    assert_false(params_of("{\"top_p\":1.5}", LLM_OLLAMA, &r, &err));
    assert_string_equal(err.text, "options.top_p: must be a number between 0 and 1");
    assert_string_equal(err.field, "options.top_p");
}

static void ollama_is_lenient(void **state)
{
    (void)state;
    struct llm_request r;
    struct err err;
    /* no limit, until the context is full: both are no wish (translation.md 1) */
    assert_true(params_of("{\"num_predict\":-1}", LLM_OLLAMA, &r, &err));
    assert_int_equal(r.params_set, 0);
    assert_true(params_of("{\"num_predict\":-2,\"top_k\":40.7}", LLM_OLLAMA, &r, &err));
    assert_true(r.params[LLM_P_TOP_K] == 40);
    assert_false(params_of("{\"max_tokens\":-1}", LLM_OPENAI, &r, &err));
}

static void integers_may_be_written_as_reals(void **state)
{
    (void)state;
    struct llm_request r;
    struct err err;
    assert_true(params_of("{\"max_tokens\":1e3,\"seed\":3.0}", LLM_OPENAI, &r, &err));
    assert_true(r.params[LLM_P_MAX_TOKENS] == 1000 && r.params[LLM_P_SEED] == 3);
    assert_false(params_of("{\"seed\":9007199254740994}", LLM_OPENAI, &r, &err));
    assert_string_equal(err.text,
                        "seed: must be an integer between -9007199254740992 and 9007199254740992");
}

/* ---- edits ---- */

static void edits_keep_every_other_byte(void **state)
{
    (void)state;
    static const struct dialect_edit edits[] = {
        {"a", STRV("[1]")}, {"b", STRV("\"x\"")}, {"new", STRV("{}")}};
    static const struct {
        const char *body, *expected;
    } cases[] = {
        {"{}", NULL},
        {"{\"a\":0}", NULL},
        {"\t{ \"model\" :\"m\" , \"a\" : -1.5e3, \"b\" :true }\n",
         "\t{\"new\":{}, \"model\" :\"new \\\"m\\\"\" , \"a\" : [1], \"b\" :\"x\" }\n"},
        {"{\"b\":{\"a\":\"}\",\"c\":[\"]\\\"\",{}]},\"a\":[{\"b\":[[]]}],\"model\":\"\\\"\\\\\"}",
         "{\"new\":{},\"b\":\"x\",\"a\":[1],\"model\":\"new \\\"m\\\"\"}"},
        {"{\"a\":null,\"z\":\"\\\\\",\"b\":1,\"model\":{\"model\":1}}",
         "{\"new\":{},\"a\":[1],\"z\":\"\\\\\",\"b\":\"x\",\"model\":\"new \\\"m\\\"\"}"},
        {"{\"a\":\"\",\"b\":\"a\\\\\\\"b\",\"model\":7}",
         "{\"new\":{},\"a\":[1],\"b\":\"x\",\"model\":\"new \\\"m\\\"\"}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r = {.dialect = LLM_OPENAI};
        struct err err = ERR_INIT;
        struct json again;
        arena_reset(&arena);
        buf_clear(&out);
        assert_true(dialect_root(&r.body, strv_of(cases[i].body), &arena, &err));
        assert_true(dialect_edit_body(&r, STRV("new \"m\""), edits, COUNT(edits), &arena, &out));
        if (cases[i].expected != NULL) {
            assert_int_equal(buf_len(&out), strlen(cases[i].expected));
            assert_memory_equal(out.data, cases[i].expected, buf_len(&out));
        }
        assert_true(dialect_root(&again, buf_view(&out), &arena, &err));
        assert_true(strv_eq_cstr(json_get_str(again.root, "model"), "new \"m\""));
        assert_true(strv_eq_cstr(json_get_str(again.root, "b"), "x"));
        assert_int_equal(yyjson_arr_size(json_get(again.root, "a")), 1);
        assert_true(yyjson_is_obj(json_get(again.root, "new")));
    }
}

/* ---- arguments and vectors ---- */

static void arguments_become_an_object(void **state)
{
    (void)state;
    static const struct {
        const char *text, *object;
    } cases[] = {
        {"", "{}"},
        {" \n", "{}"},
        {"{}", "{}"},
        /* Trap 11: numbers and the order of members stay as they are. */
        {" {\"z\": 9007199254740993, \"a\":1.0} ", "{\"z\": 9007199254740993, \"a\":1.0}"},
        {"[1]", "{\"value\":[1]}"},
        {"12345678901234567890", "{\"value\":12345678901234567890}"},
        {"null", "{\"value\":null}"},
        {"{\"a\":", "{\"_raw\":\"{\\\"a\\\":\"}"},
        {"{k:1}", "{\"_raw\":\"{k:1}\"}"},
        {"{\"a\":1,\"\\u0061\":2}", "{\"_raw\":\"{\\\"a\\\":1,\\\"\\\\u0061\\\":2}\"}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_clear(&out);
        assert_true(dialect_put_arguments(&out, strv_of(cases[i].text)));
        assert_int_equal(buf_len(&out), strlen(cases[i].object));
        assert_memory_equal(buf_view(&out).ptr, cases[i].object, buf_len(&out));
    }
    buf_clear(&out);
    mem_fail_at(1, true);
    assert_false(dialect_put_arguments(&out, STRV("{\"a\":1}")));
    mem_fail_at(0, false);
}

static void a_vector_reads_back_the_same(void **state)
{
    (void)state;
    static const float few[] = {0.1f, -0.02f, 1, 0, 16777216, 3.4028235e38f};
    static const char text[] = "[0.1,-0.02,1,0,16777216,3.4028234663852886e38]";
    buf_clear(&out);
    assert_true(dialect_put_vector(&out, few, COUNT(few)));
    assert_int_equal(buf_len(&out), sizeof text - 1);
    assert_memory_equal(buf_view(&out).ptr, text, buf_len(&out));

    uint32_t bits = 1;
    for (int round = 0; round < 200; round++) {
        float many[64];
        struct json doc;
        struct err err = ERR_INIT;
        size_t n = 0, at, max;
        yyjson_val *v;
        while (n < COUNT(many)) {
            bits = bits * 1664525 + 1013904223;
            uint32_t one = round % 2 ? bits : (bits & 0x83ffffff) | 0x3c000000; /* around 0.01 */
            memcpy(&many[n], &one, sizeof one);
            n += (one & 0x7f800000) != 0x7f800000; /* no infinity, no NaN */
        }
        buf_clear(&out);
        arena_reset(&arena);
        assert_true(dialect_put_vector(&out, many, n));
        assert_true(json_read(&doc, buf_view(&out), &arena, LLM_ERR_INTERNAL, &err));
        yyjson_arr_foreach(doc.root, at, max, v)
        {
            float again = (float)yyjson_get_num(v);
            assert_memory_equal(&again, &many[at], sizeof again);
        }
        if (round % 2 == 0)
            assert_true(buf_len(&out) < n * 14);
    }
    buf_clear(&out);
    bits = 0x7fc00000;
    float none;
    memcpy(&none, &bits, sizeof none);
    assert_false(dialect_put_vector(&out, &none, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dialect_has_its_row),
        cmocka_unit_test(losses_have_names),
        cmocka_unit_test(a_member_may_occur_once),
        cmocka_unit_test(duplicates_are_found_in_objects_of_any_size),
        cmocka_unit_test(more_members_than_anybody_needs_are_refused),
        cmocka_unit_test(a_known_member_in_other_letters_is_refused),
        cmocka_unit_test(parameters_go_by_the_dialects_names),
        cmocka_unit_test(ollama_is_lenient),
        cmocka_unit_test(integers_may_be_written_as_reals),
        cmocka_unit_test(edits_keep_every_other_byte),
        cmocka_unit_test(arguments_become_an_object),
        cmocka_unit_test(a_vector_reads_back_the_same),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
