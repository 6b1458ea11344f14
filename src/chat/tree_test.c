/* SPDX-License-Identifier: Apache-2.0 */
/* tree: messages and branches, as a request, as JSON and back, as Markdown; memory that is refused at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "chat/tree.h"

#define AT       ((int64_t)1795428000 * 1000000) /* 2026-11-23T10:00:00Z */
#define TREE_MAX ((size_t)4 << 20)

static const char png[] =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5"
    "ErkJggg==";

static struct chat_message *add(struct chat_tree *t, uint32_t parent, bool assistant,
                                const char *text)
{
    struct chat_message *m = chat_tree_add(t, parent, assistant, AT);
    assert_non_null(m);
    assert_true(chat_tree_text(t, m, strv_of(text)));
    return m;
}

/* 1 > 2 > 3 > 4;  2 > 5 > 6;  and 7, another root */
static struct chat_tree *branches(void)
{
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    assert_non_null(t);
    add(t, 0, false, "q1");
    add(t, 1, true, "a2");
    add(t, 2, false, "q3");
    add(t, 3, true, "a4");
    add(t, 2, false, "q5");
    add(t, 5, true, "a6");
    return t;
}

static char *text_of(struct buf *b)
{
    buf_put_char(b, '\0');
    assert_false(b->failed);
    return b->data + b->start;
}

static void json_is(struct chat_tree *t, uint32_t n, const char *expected)
{
    struct buf b;
    buf_init(&b, TREE_MAX);
    assert_true(chat_message_json(t, chat_tree_find(t, n), true, &b));
    assert_string_equal(text_of(&b), expected);
    buf_fini(&b);
}

/* ---- the tree ---- */

static void the_path_that_counts_ends_in_the_newest_leaf(void **state)
{
    (void)state;
    struct chat_tree *t = branches();
    static const uint32_t rows[][2] = {{1, 6}, {2, 6}, {3, 4}, {4, 4}, {5, 6}, {6, 6}};
    assert_int_equal(chat_tree_count(t), 6);
    assert_int_equal(chat_tree_leaf(t)->n, 6);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(chat_tree_select(t, rows[i][0]));
        assert_int_equal(chat_tree_leaf(t)->n, rows[i][1]);
    }
    assert_false(chat_tree_select(t, 7));
    assert_false(chat_tree_select(t, 0));
    assert_null(chat_tree_find(t, 7));
    assert_null(chat_tree_add(t, 9, false, AT));
    chat_tree_free(t);
    chat_tree_free(NULL);
}

static void the_newest_message_can_be_taken_back(void **state)
{
    (void)state;
    struct chat_tree *t = branches();
    chat_tree_drop(t, chat_tree_find(t, 6));
    assert_int_equal(chat_tree_leaf(t)->n, 5);
    chat_tree_drop(t, chat_tree_find(t, 5));
    assert_int_equal(chat_tree_leaf(t)->n, 2);
    assert_true(chat_tree_select(t, 1)); /* the older branch counts again */
    assert_int_equal(chat_tree_leaf(t)->n, 4);
    assert_int_equal(add(t, 4, false, "again")->n, 5);
    while (chat_tree_count(t) > 0)
        chat_tree_drop(t, chat_tree_find(t, chat_tree_count(t)));
    assert_null(chat_tree_leaf(t));
    assert_int_equal(add(t, 0, false, "first")->n, 1);
    chat_tree_free(t);
}

static void a_message_has_only_so_many_branches(void **state)
{
    (void)state;
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    for (int i = 0; i < CHAT_BRANCHES_MAX; i++)
        assert_non_null(chat_tree_add(t, 0, false, AT));
    assert_null(chat_tree_add(t, 0, false, AT));
    assert_non_null(chat_tree_add(t, 1, true, AT));
    chat_tree_free(t);
}

static void what_is_said_is_bounded_and_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    struct chat_tree *t = chat_tree_new(4096);
    char big[4096];
    memset(big, 'x', sizeof big);
    struct chat_message *m = chat_tree_add(t, 0, true, AT);
    assert_non_null(m);
    assert_false(chat_tree_text(t, m, (strv){big, sizeof big}));
    assert_false(chat_tree_reasoning(t, m, (strv){big, sizeof big}));
    assert_false(chat_tree_call(t, m, &(struct chat_call){.id = STRV("a"), .name = {big, 4000}}));
    assert_false(chat_tree_file(t, m, &(struct chat_file){.data = {big, 4000}}));
    assert_false(chat_tree_facts(t, m, &(struct chat_facts){.why = {big, 4000}}));
    assert_int_equal(buf_len(&m->text) + buf_len(&m->reasoning) + m->n_calls + m->n_files, 0);
    assert_true(chat_tree_text(t, m, (strv){big, 2000}));
    assert_false(chat_tree_text(t, m, (strv){big, 2000}));
    for (int i = 0; i < 100; i++) /* the old ones give their room back */
        assert_true(chat_tree_facts(t, m, &(struct chat_facts){.why = {big, 500}}));
    chat_tree_drop(t, m);
    assert_true(chat_tree_text(t, chat_tree_add(t, 0, true, AT), (strv){big, 2000}));
    chat_tree_free(t);
    t = chat_tree_new(10);
    assert_null(chat_tree_add(t, 0, false, AT));
    chat_tree_free(t);
}

static void results_find_their_calls(void **state)
{
    (void)state;
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    struct chat_message *m = chat_tree_add(t, 0, true, AT);
    struct chat_call a = {.id = STRV("a"), .name = STRV("x"), .input = STRV("{\"k\": 1}")};
    struct chat_call b = {.id = STRV("b"), .name = STRV("y"), .input = STRV("no \"JSON\"")};
    assert_true(chat_tree_call(t, m, &a));
    assert_true(chat_tree_call(t, m, &b));
    assert_true(chat_tree_call(t, m, &a)); /* ids may come twice */
    assert_false(chat_tree_result(t, m, STRV("c"), STRV("?"), false, STRV("")));
    assert_true(chat_tree_result(t, m, STRV("b"), STRV("{\"n\":2}"), false, STRV("mock")));
    assert_false(chat_tree_result(t, m, STRV("b"), STRV("again"), false, STRV("")));
    assert_true(chat_tree_result(t, m, STRV("a"), STRV(""), true, STRV("")));
    assert_true(chat_tree_result(t, m, STRV("a"), STRV("second"), false, STRV("")));
    assert_true(strv_eq(m->calls[1].input, STRV("{\"value\":\"no \\\"JSON\\\"\"}")));
    assert_true(m->calls[1].object && !m->calls[0].object);
    assert_true(m->calls[0].is_error && m->calls[0].result.ptr != NULL);
    assert_true(strv_eq(m->calls[2].result, STRV("second")));
    chat_tree_free(t);
}

/* ---- as JSON ---- */

static struct chat_facts facts(void)
{
    struct chat_facts f = CHAT_FACTS_NONE;
    f.provider = STRV("ollama");
    f.model = STRV("llama3.2");
    f.zone = STRV("local");
    f.mode = STRV("hybrid");
    f.task = STRV("tool_calling");
    f.is_private = true;
    f.findings = STRV("mrn=1");
    f.why = STRV("private stays home");
    f.cost_micro = 0;
    f.saved_micro = 310;
    f.first_token_us = 180499;
    f.total_us = 803999;
    f.tokens_in = 812;
    f.tokens_out = 24;
    f.window_used = 836;
    f.window_size = 4096;
    f.request_id = STRV("r1");
    return f;
}

static struct chat_tree *whole(void)
{
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    struct chat_facts f = facts();
    struct chat_message *m = add(t, 0, false, "what is \"this\"?");
    assert_true(chat_tree_file(t, m,
                               &(struct chat_file){.name = STRV("week.csv"),
                                                   .type = STRV("text/csv"),
                                                   .data = STRV("a,b\n1,2\n")}));
    assert_true(chat_tree_file(t, m,
                               &(struct chat_file){.name = STRV("dot.png"),
                                                   .type = STRV("image/png"),
                                                   .data = strv_of(png),
                                                   .image = true}));
    m = add(t, 1, true, "Two.");
    assert_true(chat_tree_reasoning(t, m, STRV("hm")));
    assert_true(chat_tree_call(t, m,
                               &(struct chat_call){.id = STRV("c0"),
                                                   .name = STRV("find"),
                                                   .server = STRV("sched"),
                                                   .input = STRV("{\"d\": 1.50}")}));
    assert_true(chat_tree_result(t, m, STRV("c0"), STRV("{\"total\": 2}"), false, STRV("")));
    assert_true(chat_tree_call(
        t, m, &(struct chat_call){.id = STRV("c1"), .name = STRV("find"), .input = STRV("{}")}));
    assert_true(chat_tree_result(t, m, STRV("c1"), STRV("no"), true, STRV("mock")));
    assert_true(chat_tree_facts(t, m, &f));
    m = add(t, 1, true, "cut");
    m->state = CHAT_INTERRUPTED;
    return t;
}

static void a_message_is_written_as_documented(void **state)
{
    (void)state;
    struct chat_tree *t = whole();
    json_is(
        t, 2,
        "{\"n\":2,\"parent\":1,\"role\":\"assistant\",\"content\":\"Two.\",\"timestamp\":"
        "\"2026-11-23T10:00:00.000Z\",\"state\":\"complete\",\"reasoning\":\"hm\",\"siblings\":"
        "[2,3],\"tool_calls\":[{\"id\":\"c0\",\"name\":\"find\",\"server\":\"sched\",\"input\":"
        "{\"d\": 1.50},\"result\":{\"tool_name\":\"find\",\"total\": 2},\"is_error\":false},"
        "{\"id\":\"c1\",\"name\":\"find\",\"input\":{},\"result\":{\"tool_name\":\"find\","
        "\"text\":\"no\"},\"is_error\":true,\"quality\":\"mock\"}],\"facts\":{\"provider\":"
        "\"ollama\",\"model\":\"llama3.2\",\"zone\":\"local\",\"mode\":\"hybrid\",\"task\":"
        "\"tool_calling\",\"private\":true,\"findings\":\"mrn=1\",\"why\":\"private stays "
        "home\",\"cost_micro_usd\":0,\"saved_micro_usd\":310,\"first_token_ms\":180,"
        "\"total_ms\":803,\"tokens_per_s\":38.5,\"usage\":{\"input_tokens\":812,"
        "\"output_tokens\":24},\"window\":{\"used\":836,\"size\":4096},\"request_id\":\"r1\"}}");
    json_is(t, 3,
            "{\"n\":3,\"parent\":1,\"role\":\"assistant\",\"content\":\"cut\",\"timestamp\":"
            "\"2026-11-23T10:00:00.000Z\",\"state\":\"interrupted\",\"siblings\":[2,3]}");
    struct buf b;
    buf_init(&b, TREE_MAX);
    assert_true(chat_message_json(t, chat_tree_find(t, 1), false, &b));
    assert_string_equal(
        text_of(&b),
        "{\"n\":1,\"role\":\"user\",\"content\":\"what is \\\"this\\\"?\",\"timestamp\":"
        "\"2026-11-23T10:00:00.000Z\",\"state\":\"complete\",\"attachments\":[{\"name\":"
        "\"week.csv\",\"type\":\"text/csv\",\"bytes\":8},{\"name\":\"dot.png\",\"type\":"
        "\"image/png\",\"bytes\":70}]}");
    buf_fini(&b);
    chat_tree_free(t);
}

/* All messages with their files, one after another: what a file keeps. */
static void dump(struct chat_tree *t, struct buf *out)
{
    for (uint32_t n = 1; n <= chat_tree_count(t); n++) {
        assert_true(chat_message_json(t, chat_tree_find(t, n), true, out));
        buf_put_char(out, '\n');
    }
}

static struct chat_tree *read_again(struct chat_tree *t)
{
    struct chat_tree *again = chat_tree_new(TREE_MAX);
    struct buf b;
    for (uint32_t n = 1; n <= chat_tree_count(t); n++) {
        struct err err = ERR_INIT;
        buf_init(&b, TREE_MAX);
        assert_true(chat_message_json(t, chat_tree_find(t, n), true, &b));
        if (!chat_tree_read(again, buf_view(&b), &err))
            fail_msg("%s: %s", err.text, text_of(&b));
        buf_fini(&b);
    }
    return again;
}

static void same(struct chat_tree *a, struct chat_tree *b)
{
    struct buf first, second;
    buf_init(&first, 2 * TREE_MAX);
    buf_init(&second, 2 * TREE_MAX);
    dump(a, &first);
    dump(b, &second);
    assert_string_equal(text_of(&first), text_of(&second));
    buf_fini(&first);
    buf_fini(&second);
}

static void json_is_read_and_written_again_the_same(void **state)
{
    (void)state;
    struct chat_tree *t = whole(), *again = read_again(t);
    same(t, again);
    assert_int_equal(chat_tree_leaf(again)->n, 3);
    assert_true(chat_tree_find(again, 1)->files[1].image);
    assert_false(chat_tree_find(again, 1)->files[0].image);
    assert_true(strv_eq(chat_tree_find(again, 2)->calls[0].result, STRV("{\"total\": 2}")));
    chat_tree_free(t);
    chat_tree_free(again);
}

/* Results of every form come back to the byte. */
static void results_come_back_as_they_were(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "plain",
                                       "{}",
                                       "{ }",
                                       "{\"a\":1}",
                                       "{ \"a\" : [1, {\"b\":\"}\"}] }",
                                       "{\"text\":\"x\"}",
                                       "{\"tool_name\":\"y\",\"b\":1}",
                                       "{\"a\":1,\"a\":2}",
                                       " {\"a\":1}",
                                       "[1,2]",
                                       "\"s\"",
                                       "{broken",
                                       "{\"a\":1}{\"b\":2}",
                                       "{\"tex\\u0074\":\"x\"}",
                                       "\xc3\xa4 \xf0\x9f\x98\x80 \x01"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct chat_tree *t = chat_tree_new(TREE_MAX);
        struct chat_message *m = chat_tree_add(t, 0, true, AT);
        struct chat_call c = {
            .name = STRV("a\"b"), .input = strv_of(rows[i]), .result = strv_of(rows[i])};
        assert_true(chat_tree_call(t, m, &c));
        struct chat_tree *again = read_again(t);
        same(t, again);
        m = chat_tree_find(again, 1);
        assert_true(m->calls[0].result.ptr != NULL);
        assert_true(strv_eq(m->calls[0].result, strv_of(rows[i])));
        chat_tree_free(t);
        chat_tree_free(again);
    }
}

static void what_nests_too_deep_is_kept_as_text(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4096);
    for (int i = 0; i < 65; i++)
        buf_put_cstr(&b, "{\"a\":");
    buf_put_char(&b, '1');
    for (int i = 0; i < 65; i++)
        buf_put_char(&b, '}');
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    struct chat_call c = {.name = STRV("x"), .input = buf_view(&b), .result = buf_view(&b)};
    assert_true(chat_tree_call(t, chat_tree_add(t, 0, true, AT), &c));
    assert_false(chat_tree_find(t, 1)->calls[0].object);
    struct chat_tree *again = read_again(t);
    same(t, again);
    buf_fini(&b);
    chat_tree_free(t);
    chat_tree_free(again);
}

#define HEAD "\"role\":\"user\",\"content\":\"x\",\"timestamp\":\"2026-11-23T10:00:00.000Z\","
#define TAIL "\"state\":\"complete\""

static void what_is_no_message_is_refused_and_nothing_stays(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "{}",
        "[]",
        "1",
        "{\"n\":1}",
        "{" HEAD TAIL "}",
        "{\"n\":0," HEAD TAIL "}",
        "{\"n\":-1," HEAD TAIL "}",
        "{\"n\":1.5," HEAD TAIL "}",
        "{\"n\":\"1\"," HEAD TAIL "}",
        "{\"n\":4000000000," HEAD TAIL "}",
        "{\"n\":1,\"parent\":1," HEAD TAIL "}",
        "{\"n\":5,\"parent\":4," HEAD TAIL "}",
        "{\"n\":1," HEAD "\"state\":\"odd\"}",
        "{\"n\":1," HEAD "\"state\":1}",
        "{\"n\":1,\"role\":\"system\",\"content\":\"x\",\"timestamp\":\"2026-11-23T10:00:00."
        "000Z\"," TAIL "}",
        "{\"n\":1,\"role\":\"user\",\"content\":1,\"timestamp\":\"2026-11-23T10:00:00.000Z\"," TAIL
        "}",
        "{\"n\":1,\"role\":\"user\",\"content\":\"x\",\"timestamp\":\"2026-11-23T10:00:00Z\"," TAIL
        "}",
        "{\"n\":1,\"role\":\"user\",\"content\":\"x\",\"timestamp\":\"2026-13-23T10:00:00."
        "000Z\"," TAIL "}",
        "{\"n\":1,\"role\":\"user\",\"content\":\"x\",\"timestamp\":\"2026-11-23T10:00:00."
        "0x0Z\"," TAIL "}",
        "{\"n\":1," HEAD TAIL ",\"reasoning\":1}",
        "{\"n\":1," HEAD TAIL ",\"tool_calls\":{}}",
        "{\"n\":1," HEAD TAIL ",\"tool_calls\":[1]}",
        "{\"n\":1," HEAD TAIL ",\"tool_calls\":[{\"name\":\"x\"}]}",
        "{\"n\":1," HEAD TAIL ",\"tool_calls\":[{\"name\":\"x\",\"input\":\"{}\"}]}",
        "{\"n\":1," HEAD TAIL ",\"tool_calls\":[{\"name\":1,\"input\":{}}]}",
        "{\"n\":1," HEAD TAIL ",\"tool_calls\":[{\"name\":\"x\",\"input\":{},\"result\":\"y\"}]}",
        "{\"n\":1," HEAD TAIL ",\"attachments\":1}",
        "{\"n\":1," HEAD TAIL ",\"attachments\":[{\"name\":\"x\"}]}",
        "{\"n\":1," HEAD TAIL ",\"attachments\":[{\"type\":\"image/png\",\"data\":\"AAAA\"}]}",
        "{\"n\":1," HEAD TAIL ",\"facts\":{\"model\":1}}",
        "{\"n\":1," HEAD TAIL ",\"facts\":{\"total_ms\":-4}}",
        "{\"n\":1," HEAD TAIL ",\"facts\":{\"total_ms\":9007199254740991}}",
        "{\"n\":1," HEAD TAIL ",\"facts\":{\"usage\":{\"input_tokens\":1e300}}}",
    };
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = ERR_INIT;
        if (chat_tree_read(t, strv_of(rows[i]), &err))
            fail_msg("taken: %s", rows[i]);
        assert_true(err.set);
        assert_int_equal(chat_tree_count(t), 0);
        assert_null(chat_tree_leaf(t));
    }
    struct err err = ERR_INIT;
    assert_true(
        chat_tree_read(t, STRV("{\"n\":7," HEAD "\"state\":\"running\",\"more\":[]}"), &err));
    assert_int_equal(chat_tree_find(t, 7)->state, CHAT_INTERRUPTED);
    assert_false(chat_tree_read(t, STRV("{\"n\":7," HEAD TAIL "}"), &err));
    assert_int_equal(chat_tree_leaf(t)->n, 7);
    assert_int_equal(add(t, 7, true, "")->n, 8); /* gaps are no harm */
    chat_tree_free(t);
}

/* A tree of chance. */
static struct chat_tree *random_tree(struct rng *rng)
{
    static const char *const bits[] = {
        "", "a", "\"", "\n", "{}", "\xc3\xa4", "\\", "\x01", "x\xf0\x9f\x98\x80"};
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    uint32_t n = (uint32_t)rng_below(rng, 40);
#define BIT strv_of(bits[rng_below(rng, sizeof bits / sizeof *bits)])
    for (uint32_t i = 0; i < n; i++) {
        struct chat_message *m =
            chat_tree_add(t, (uint32_t)rng_below(rng, i + 1), rng_below(rng, 2) == 0,
                          AT + (int64_t)rng_below(rng, 1u << 30) * 1000);
        assert_non_null(m);
        m->state = rng_below(rng, 2) == 0 ? CHAT_WHOLE : CHAT_FAILED;
        for (uint64_t k = rng_below(rng, 4); k > 0; k--) {
            assert_true(chat_tree_text(t, m, BIT) && chat_tree_reasoning(t, m, BIT));
            struct chat_call c = {BIT, BIT, BIT, BIT, STRV_NONE, false, STRV(""), false};
            if (rng_below(rng, 2) == 0)
                c.result = BIT;
            assert_true(chat_tree_call(t, m, &c));
            struct chat_facts f = facts();
            f.total_us = (int64_t)rng_below(rng, 1u << 24);
            f.tokens_out = (int64_t)rng_below(rng, 1000) - 1;
            f.error = BIT;
            assert_true(chat_tree_facts(t, m, &f));
        }
    }
#undef BIT
    return t;
}

static void random_trees_come_back_the_same(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    for (int i = 0; i < 200; i++) {
        struct chat_tree *t = random_tree(&rng), *again = read_again(t);
        same(t, again);
        for (uint32_t n = 1; n <= chat_tree_count(t); n++) {
            assert_true(chat_tree_select(t, n) && chat_tree_select(again, n));
            assert_int_equal(chat_tree_leaf(t)->n, chat_tree_leaf(again)->n);
        }
        chat_tree_free(t);
        chat_tree_free(again);
    }
}

static void lists_hold_the_path_or_everything(void **state)
{
    (void)state;
    struct chat_tree *t = branches();
    static const char *const expected[] = {"1256", "123456"};
    for (int all = 0; all < 2; all++) {
        struct buf b;
        struct json doc;
        struct arena arena;
        struct err err = ERR_INIT;
        char numbers[8] = "";
        size_t i, n;
        yyjson_val *one;
        buf_init(&b, TREE_MAX);
        arena_init(&arena, 4096, TREE_MAX);
        assert_true(chat_tree_json(t, all == 1, &b));
        assert_true(json_read(&doc, buf_view(&b), &arena, 0, &err));
        yyjson_arr_foreach(doc.root, i, n, one)
        {
            numbers[i] = (char)('0' + json_get_int(one, "n", 0));
        }
        assert_string_equal(numbers, expected[all]);
        arena_fini(&arena);
        buf_fini(&b);
    }
    chat_tree_free(t);
}

/* ---- files ---- */

static bool read_file(const char *json, struct arena *arena, struct chat_file *f, struct err *err)
{
    struct json doc;
    assert_true(json_read(&doc, strv_of(json), arena, 0, err));
    return chat_file_read(doc.root, arena, f, err);
}

static void files_are_texts_or_images_by_their_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *json, *name, *type; /* type NULL = refused */
    } rows[] = {
        {"{\"name\":\"a.csv\",\"type\":\"text/csv\",\"data\":\"1,2\"}", "a.csv", "text/csv"},
        {"{\"data\":\"\"}", "file", "text/plain"},
        {"{\"name\":\" a\\nb\\u001b[0m \",\"type\":\"\",\"data\":\"x\"}", "a b [0m", "text/plain"},
        {"{\"name\":\"x\",\"type\":\"image/svg+xml\",\"data\":\"<svg/>\"}", "x", "image/svg+xml"},
        {"{\"name\":\"x\",\"type\":\"image/jpeg\",\"data\":\"iVBORw0KGgoAAAANSUhEUg\"}", "x",
         "image/png"},
        {"{\"name\":\"x\",\"type\":\"IMAGE/PNG\",\"data\":\"AAAA\"}", NULL, NULL},
        {"{\"name\":\"x\",\"type\":\"image/png\",\"data\":\"???\"}", NULL, NULL},
        {"{\"name\":\"x\",\"type\":\"image/png\",\"data\":\"JVBERi0xLjQKAAAAAAAAAAAAAAAAAAAA\"}",
         NULL, NULL},
        {"{\"name\":\"x\",\"type\":\"application/pdf\",\"data\":\"x\"}", NULL, NULL},
        {"{\"name\":\"x\",\"type\":\"audio/wav\",\"data\":\"x\"}", NULL, NULL},
        {"{\"name\":\"x\",\"type\":\"text/plain\",\"data\":\"a\\u0000b\"}", NULL, NULL},
        {"{\"name\":\"x\",\"type\":\"text/plain\"}", NULL, NULL},
        {"{\"name\":\"x\",\"data\":1}", NULL, NULL},
        {"[]", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena arena;
        struct chat_file f;
        struct err err = ERR_INIT;
        arena_init(&arena, 4096, TREE_MAX);
        bool ok = read_file(rows[i].json, &arena, &f, &err);
        if (ok != (rows[i].type != NULL))
            fail_msg("%s", rows[i].json);
        if (ok) {
            assert_true(strv_eq(f.name, strv_of(rows[i].name)));
            assert_true(strv_eq(f.type, strv_of(rows[i].type)));
            assert_int_equal(f.image, strv_eq(f.type, STRV("image/png")));
        } else {
            assert_true(err.set);
        }
        arena_fini(&arena);
    }
}

static void a_question_has_only_so_many_files(void **state)
{
    (void)state;
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    struct chat_message *m = chat_tree_add(t, 0, false, AT);
    struct chat_file f = {.name = STRV("x"), .type = STRV("text/plain"), .data = STRV("y")};
    for (int i = 0; i < CHAT_FILES_MAX; i++)
        assert_true(chat_tree_file(t, m, &f));
    assert_false(chat_tree_file(t, m, &f));
    chat_tree_free(t);
}

/* ---- as a request ---- */

static void put_part(struct buf *out, const struct llm_part *p)
{
    static const char letters[] = "trcRidal";
    buf_put_char(out, letters[p->kind]);
    buf_put_char(out, '(');
    if (p->id.len > 0)
        buf_put_strv(out, p->id);
    buf_put_strv(out, p->text);
    for (size_t i = 0; i < p->n_parts; i++)
        put_part(out, &p->parts[i]);
    buf_put_char(out, ')');
}

/* "s t(x) | u t(..)" */
static void request_is(struct chat_tree *t, const struct chat_asked *asked, const char *expected)
{
    struct arena arena;
    struct buf b;
    arena_init(&arena, 4096, TREE_MAX);
    struct llm_request r = {.arena = &arena};
    buf_init(&b, TREE_MAX);
    assert_true(chat_tree_request(t, asked, &r));
    for (size_t i = 0; i < r.n_messages; i++) {
        buf_put_cstr(&b, i > 0 ? " | " : "");
        buf_put_char(&b, llm_role_name(r.messages[i].role)[0]);
        for (size_t k = 0; k < r.messages[i].n_parts; k++)
            put_part(&b, &r.messages[i].parts[k]);
    }
    assert_string_equal(text_of(&b), expected);
    buf_fini(&b);
    arena_fini(&arena);
}

static void a_request_tells_the_path(void **state)
{
    (void)state;
    struct chat_tree *t = branches();
    struct chat_asked asked = {.system = STRV("be kind"), .upto = 5};
    request_is(t, &asked, "st(be kind) | ut(q1) | at(a2) | ut(q5)");
    asked = (struct chat_asked){.system = STRV(""), .upto = 3};
    request_is(t, &asked, "ut(q1) | at(a2) | ut(q3)");
    asked = (struct chat_asked){.summary = STRV("S"), .summary_to = 2, .upto = 3};
    request_is(t, &asked, "ut(Summary of what was said before:\nS\n\n)t(q3)");
    asked.summary_to = 4; /* of another branch, or of all: it does not count */
    asked.upto = 5;
    request_is(t, &asked, "ut(q1) | at(a2) | ut(q5)");
    asked.upto = 99;
    struct arena arena;
    arena_init(&arena, 4096, TREE_MAX);
    struct llm_request r = {.arena = &arena};
    assert_false(chat_tree_request(t, &asked, &r));
    arena_fini(&arena);
    chat_tree_free(t);
}

static void a_request_tells_calls_files_and_cuts(void **state)
{
    (void)state;
    struct chat_tree *t = whole();
    add(t, 2, false, "next");
    struct chat_asked asked = {.upto = 4};
    request_is(t, &asked,
               "ut(week.csv\na,b\n1,2\n)i()t(what is \"this\"?) | ac(c0{\"d\": 1.50})c(c1{}) | "
               "uR(c0t({\"total\": 2}))R(c1t(no)) | at(Two.) | ut(next)");
    add(t, 3, false, "and");
    asked.upto = 5;
    request_is(t, &asked,
               "ut(week.csv\na,b\n1,2\n)i()t(what is \"this\"?) | at(cut [interrupted]) | ut(and)");
    struct arena arena;
    arena_init(&arena, 4096, TREE_MAX);
    struct llm_request r = {.arena = &arena};
    asked.upto = 4;
    assert_true(chat_tree_request(t, &asked, &r));
    assert_true(r.has_history);
    assert_int_equal(r.needs, LLM_NEED_TOOLS | LLM_NEED_IMAGES);
    assert_true(strv_eq(r.messages[0].parts[1].data, strv_of(png)));
    arena_fini(&arena);
    chat_tree_free(t);
}

static void no_turn_is_empty(void **state)
{
    (void)state;
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    add(t, 0, false, "q");
    add(t, 1, true, " \n");
    add(t, 2, false, "q");
    add(t, 3, true, "")->state = CHAT_FAILED;
    struct chat_message *m = add(t, 4, false, "");
    assert_true(chat_tree_file(t, m, &(struct chat_file){.name = STRV("f"), .data = STRV("x")}));
    m = add(t, 5, true, "");
    m->state = CHAT_INTERRUPTED;
    assert_true(chat_tree_call(
        t, m, &(struct chat_call){.id = STRV("a"), .name = STRV("n"), .input = STRV("{}")}));
    add(t, 6, false, "q");
    request_is(t, &(struct chat_asked){.upto = 7},
               "ut(q) | at([no answer]) | ut(q) | at([interrupted]) | ut(f\nx) | ac(a{}) | "
               "at([interrupted]) | ut(q)");
    chat_tree_free(t);
}

static void the_oldest_go_into_a_summary(void **state)
{
    (void)state;
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    char text[301];
    memset(text, 'x', 300);
    text[300] = '\0';
    for (uint32_t n = 0; n < 9; n++) /* 9 messages of 108 tokens each */
        add(t, n, n % 2 == 1, text);
    struct chat_asked asked = {.upto = 9};
    static const struct {
        int64_t tokens;
        uint32_t oldest;
    } rows[] = {{2000, 0}, {981, 0}, {980, 2}, {770, 2}, {764, 4}, {400, 6}, {150, 8}, {116, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(chat_tree_oldest(t, &asked, rows[i].tokens), rows[i].oldest);
    asked.summary = STRV("short");
    asked.summary_to = 4;
    assert_int_equal(chat_tree_oldest(t, &asked, 600), 0);
    assert_int_equal(chat_tree_oldest(t, &asked, 400), 6);
    asked.upto = 99;
    assert_int_equal(chat_tree_oldest(t, &asked, 400), 0);
    chat_tree_free(t);
}

/* ---- as Markdown ---- */

static void an_export_is_for_people(void **state)
{
    (void)state;
    struct chat_tree *t = whole();
    struct buf b;
    assert_true(chat_tree_select(t, 2));
    buf_init(&b, TREE_MAX);
    assert_true(chat_tree_markdown(t, STRV("Block 7\n# *x*"), &b));
    assert_string_equal(
        text_of(&b),
        "# Block 7 \\# \\*x\\*\n\n## User, 2026-11-23 10:00 UTC\n\nAttached: week.csv (text/csv, 8 "
        "bytes)\n\nAttached: dot.png (image/png, 70 bytes)\n\nwhat is \"this\"?\n\n## Assistant, "
        "2026-11-23 10:00 UTC\n\nTool **find** of sched\n\n```\n{\"d\": "
        "1.50}\n```\n\nResult:\n\n```\n{\"total\": 2}\n```\n\nTool **find**\n\n```\n{}\n```\n\nIt "
        "failed:\n\n(its quality is doubtful: "
        "mock)\n\n```\nno\n```\n\nTwo.\n\n*llama3.2, ollama, local, private, private stays "
        "home*\n\n");
    buf_fini(&b);
    chat_tree_free(t);
    t = chat_tree_new(TREE_MAX);
    buf_init(&b, TREE_MAX);
    struct chat_message *m = chat_tree_add(t, 0, true, AT);
    struct chat_facts f = CHAT_FACTS_NONE;
    f.error = STRV("no `model`");
    f.model = STRV("m");
    f.cost_micro = 1002100;
    m->state = CHAT_FAILED;
    assert_true(chat_tree_facts(t, m, &f));
    assert_true(chat_tree_call(
        t, m, &(struct chat_call){.name = STRV("n"), .input = STRV("{\"a\":\"````\"}")}));
    assert_true(chat_tree_markdown(t, STRV(""), &b));
    assert_string_equal(
        text_of(&b), "# Conversation\n\n## Assistant, 2026-11-23 10:00 UTC\n\nTool **n**\n\n"
                     "`````\n{\"a\":\"````\"}\n`````\n\nNo result came.\n\n*The answer failed: no "
                     "\\`model\\`*\n\n*m, $1.002100*\n\n");
    buf_fini(&b);
    chat_tree_free(t);
}

/* ---- memory ---- */

/* Everything once; true if nothing was refused. Never asserts. */
static bool do_everything(const strv *texts, size_t n)
{
    struct err err = ERR_INIT;
    struct arena arena;
    struct buf b;
    struct chat_tree *t = chat_tree_new(TREE_MAX);
    if (t == NULL)
        return false;
    bool ok = true;
    arena_init(&arena, 4096, TREE_MAX);
    buf_init(&b, TREE_MAX);
    for (size_t i = 0; i < n; i++)
        ok = chat_tree_read(t, texts[i], &err) && ok;
    struct llm_request r = {.arena = &arena};
    uint32_t upto = chat_tree_count(t);
    struct chat_asked asked = {
        .system = STRV("s"), .summary = STRV("x"), .summary_to = 2, .upto = upto};
    ok = ok && chat_tree_request(t, &asked, &r) && chat_tree_oldest(t, &asked, 10) <= upto &&
         chat_tree_json(t, true, &b) && chat_tree_markdown(t, STRV("t"), &b);
    struct chat_message *m = chat_tree_add(t, upto, true, AT);
    if (m != NULL) {
        struct chat_call c = {.id = STRV("z"), .name = STRV("n"), .input = STRV("bad")};
        ok = chat_tree_text(t, m, STRV("abc")) && ok;
        ok = chat_tree_call(t, m, &c) &&
             chat_tree_result(t, m, STRV("z"), STRV("{}"), false, STRV("")) && ok;
        chat_tree_drop(t, m);
    }
    buf_fini(&b);
    arena_fini(&arena);
    chat_tree_free(t);
    return ok && m != NULL;
}

static void refused_memory_fails_that_call_only(void **state)
{
    (void)state;
    struct chat_tree *t = whole();
    struct buf texts[3];
    strv views[3];
    for (uint32_t i = 0; i < 3; i++) {
        buf_init(&texts[i], TREE_MAX);
        assert_true(chat_message_json(t, chat_tree_find(t, i + 1), true, &texts[i]));
        views[i] = buf_view(&texts[i]);
    }
    int64_t live = mem_live();
    uint64_t at = 1;
    for (bool done = false; !done; at++) {
        mem_fail_at(at, false);
        done = do_everything(views, 3) && mem_count() < at;
        mem_fail_at(0, false);
        assert_int_equal(mem_live(), live);
        assert_true(at < 1000);
    }
    assert_true(at > 20);
    for (int i = 0; i < 3; i++)
        buf_fini(&texts[i]);
    chat_tree_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_path_that_counts_ends_in_the_newest_leaf),
        cmocka_unit_test(the_newest_message_can_be_taken_back),
        cmocka_unit_test(a_message_has_only_so_many_branches),
        cmocka_unit_test(what_is_said_is_bounded_and_taken_whole_or_not_at_all),
        cmocka_unit_test(results_find_their_calls),
        cmocka_unit_test(a_message_is_written_as_documented),
        cmocka_unit_test(json_is_read_and_written_again_the_same),
        cmocka_unit_test(results_come_back_as_they_were),
        cmocka_unit_test(what_nests_too_deep_is_kept_as_text),
        cmocka_unit_test(what_is_no_message_is_refused_and_nothing_stays),
        cmocka_unit_test(random_trees_come_back_the_same),
        cmocka_unit_test(lists_hold_the_path_or_everything),
        cmocka_unit_test(files_are_texts_or_images_by_their_bytes),
        cmocka_unit_test(a_question_has_only_so_many_files),
        cmocka_unit_test(a_request_tells_the_path),
        cmocka_unit_test(a_request_tells_calls_files_and_cuts),
        cmocka_unit_test(no_turn_is_empty),
        cmocka_unit_test(the_oldest_go_into_a_summary),
        cmocka_unit_test(an_export_is_for_people),
        cmocka_unit_test(refused_memory_fails_that_call_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
