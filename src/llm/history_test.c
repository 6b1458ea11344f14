/* SPDX-License-Identifier: Apache-2.0 */
/* history_test - calls and results find each other, whatever a caller left out; ids and names by rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "llm/llm.h"

/*
 * A history as a line of text:   u: hi | a: text @a=f | u: #a=ok text | ...
 * u, a, s: roles; @id=name a call; #id=text a result by id; #=text one without; #id/name=text with a name;
 * anything else is text. A made-up result is written #id!.
 */
static struct arena arena;

static strv token(strv *rest)
{
    strv t;
    *rest = strv_trim(*rest);
    return strv_cut(rest, ' ', &t) ? t : STRV("");
}

static struct llm_part read_part(strv t)
{
    struct llm_part p = {.kind = LLM_PART_TEXT, .text = t, .id = STRV(""), .name = STRV("")};
    strv id, text = strv_from(t, 1);
    if (t.ptr[0] == '@') {
        p.kind = LLM_PART_CALL;
        strv_cut(&text, '=', &p.id);
        p.name = text;
        p.text = STRV("{}");
    } else if (t.ptr[0] == '#') {
        p.kind = LLM_PART_RESULT;
        strv_cut(&text, '=', &id);
        strv_cut(&id, '/', &p.id);
        p.name = id.ptr != NULL ? id : STRV("");
        p.parts = ARENA_NEW(&arena, struct llm_part);
        *p.parts = (struct llm_part){.kind = LLM_PART_TEXT, .text = text};
        p.n_parts = 1;
    }
    return p;
}

static struct llm_request read_history(const char *text)
{
    struct llm_request r = {.arena = &arena, .has_history = true};
    strv rest = strv_of(text), one;
    r.messages = ARENA_ARRAY(&arena, struct llm_message, 64);
    while (strv_cut(&rest, '|', &one)) {
        struct llm_message *m = &r.messages[r.n_messages++];
        char role = token(&one).ptr[0];
        m->role = role == 'u' ? LLM_USER : role == 'a' ? LLM_ASSISTANT : LLM_SYSTEM;
        m->parts = ARENA_ARRAY(&arena, struct llm_part, 64);
        for (strv t = token(&one); t.len > 0; t = token(&one))
            m->parts[m->n_parts++] = read_part(t);
    }
    return r;
}

static void write_part(struct buf *b, const struct llm_part *p)
{
    if (p->kind == LLM_PART_CALL)
        buf_printf(b, " @%.*s=%.*s", STRV_ARG(p->id), STRV_ARG(p->name));
    else if (p->kind == LLM_PART_RESULT && p->made_up)
        buf_printf(b, " #%.*s/%.*s!", STRV_ARG(p->id), STRV_ARG(p->name));
    else if (p->kind == LLM_PART_RESULT)
        buf_printf(b, " #%.*s/%.*s=%.*s", STRV_ARG(p->id), STRV_ARG(p->name),
                   STRV_ARG(p->parts[0].text));
    else
        buf_printf(b, " %.*s", STRV_ARG(p->text));
}

static void write_history(struct buf *b, const struct llm_request *r)
{
    for (size_t i = 0; i < r->n_messages; i++) {
        buf_put_cstr(b, i > 0 ? " | " : "");
        buf_put_char(b, "sua"[r->messages[i].role]);
        buf_put_char(b, ':');
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            write_part(b, &r->messages[i].parts[k]);
    }
    buf_put_char(b, '\0');
}

static void becomes(const char *before, const char *after)
{
    struct buf b;
    arena_init(&arena, 4096, 1 << 20);
    buf_init(&b, 1 << 16);
    struct llm_request r = read_history(before);
    assert_true(llm_request_mend(&r));
    assert_true(llm_request_mend(&r)); /* once is enough */
    write_history(&b, &r);
    assert_string_equal(buf_view(&b).ptr, after);
    buf_fini(&b);
    arena_fini(&arena);
}

static void a_good_history_stays(void **state)
{
    (void)state;
    becomes("s: be | u: hi | a: hm @a=f @b=g | u: #a=1 #b=2 go | a: done",
            "s: be | u: hi | a: hm @a=f @b=g | u: #a/f=1 #b/g=2 | u: go | a: done");
    becomes("u: hi | a: yes | u: no", "u: hi | a: yes | u: no");
}

static void trap_12_results_of_one_turn_become_one_message(void **state)
{
    (void)state;
    becomes("u: hi | a: @a=f @b=g | u: #b=2 | u: #a=1 | u: and | a: ok",
            "u: hi | a: @a=f @b=g | u: #a/f=1 #b/g=2 | u: and | a: ok");
}

static void trap_13_a_call_without_a_result_gets_one(void **state)
{
    (void)state;
    becomes("u: hi | a: @a=f @b=g | u: #b=2 stop",
            "u: hi | a: @a=f @b=g | u: #a/f! #b/g=2 | u: stop");
    becomes("u: hi | a: @a=f | a: sorry | u: so", "u: hi | a: @a=f sorry | u: #a/f! | u: so");
    becomes("u: hi | a: @a=f", "u: hi | a: @a=f | u: #a/f!");
}

static void ids_are_made_and_results_paired_by_name_and_order(void **state)
{
    (void)state;
    becomes("u: hi | a: @=f @=g @=f | u: #/g=2 | u: #=1 | u: #/f=3",
            "u: hi | a: @call_1_0=f @call_1_1=g @call_1_2=f | u: #call_1_0/f=1 #call_1_1/g=2 "
            "#call_1_2/f=3");
    /* A server that calls everything call_0. */
    becomes("u: hi | a: @x=f | u: #x=1 | a: @x=f | u: #x=2",
            "u: hi | a: @x=f | u: #x/f=1 | a: @call_3_0=f | u: #call_3_0/f=2");
    becomes("u: hi | a: @x=f @x=g | u: #x=1 | u: #x=2",
            "u: hi | a: @x=f @call_1_1=g | u: #x/f=1 #call_1_1/g=2");
}

static void a_result_that_nobody_asked_for_is_text(void **state)
{
    (void)state;
    becomes("u: #z=0 hi | a: @a=f | u: #z=9 #a=1 #a=2", "u: 0 hi | a: @a=f | u: #a/f=1 | u: 9 2");
    becomes("u: hi | a: yes | u: #a=1", "u: hi | a: yes | u: 1");
}

static void a_system_message_in_between_moves_behind(void **state)
{
    (void)state;
    becomes("u: hi | a: @a=f | s: now | u: #a=1", "u: hi | a: @a=f | u: #a/f=1 | s: now");
}

/* Quadratic searches would take minutes. */
static void a_hostile_number_of_calls_takes_linear_time(void **state)
{
    (void)state;
    enum { N = 100000 };
    arena_init(&arena, 1 << 20, 1 << 28);
    struct llm_part *calls = ARENA_ARRAY(&arena, struct llm_part, N),
                    *results = ARENA_ARRAY(&arena, struct llm_part, N);
    struct llm_message messages[] = {{LLM_ASSISTANT, calls, N}, {LLM_USER, results, N}};
    for (size_t i = 0; i < N; i++) {
        calls[i] = (struct llm_part){.kind = LLM_PART_CALL, .id = STRV("x"), .name = STRV("f")};
        results[i] = (struct llm_part){.kind = LLM_PART_RESULT, .id = STRV("y")};
    }
    struct llm_request r = {
        .arena = &arena, .has_history = true, .messages = messages, .n_messages = 2};
    assert_true(llm_request_mend(&r));
    assert_int_equal(r.messages[1].n_parts, N);
    arena_fini(&arena);
}

static void a_refusal_of_memory_is_a_refusal(void **state)
{
    (void)state;
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        arena_init(&arena, 64, 1 << 20);
        struct llm_request r = read_history("u: hi | a: @=f @b=g | u: #b=2 | u: #q=1 | a: ok");
        mem_fail_at(n, true);
        done = llm_request_mend(&r);
        mem_fail_at(0, false);
        arena_fini(&arena);
    }
    assert_int_equal(mem_live(), 0);
}

static void ids_follow_the_rule_of_the_upstream(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 1 << 16);
    strv odd = STRV("call:1.2/x"), word = STRV("toolu_01-X");
    assert_true(strv_eq(llm_id_for(LLM_IDS_ANY, odd, &arena), odd));
    assert_true(strv_eq(llm_id_for(LLM_IDS_WORD, word, &arena), word));
    strv a = llm_id_for(LLM_IDS_WORD, odd, &arena), b = llm_id_for(LLM_IDS_WORD, odd, &arena);
    assert_true(strv_eq(a, b) && strv_starts(a, STRV("call_")) && a.len == 25);
    strv nine = llm_id_for(LLM_IDS_MISTRAL, word, &arena);
    assert_int_equal(nine.len, 9);
    assert_true(strv_eq(llm_id_for(LLM_IDS_MISTRAL, nine, &arena), nine));
    assert_false(strv_eq(nine, llm_id_for(LLM_IDS_MISTRAL, odd, &arena)));
    arena_fini(&arena);
}

static void trap_15_names_are_shortened_and_restored(void **state)
{
    (void)state;
    char name[80];
    memset(name, 'n', sizeof name);
    arena_init(&arena, 4096, 1 << 16);
    struct llm_tool tools[] = {{.name = STRV("fine-1_x")},
                               {.name = STRV("mcp.files/read")},
                               {.name = {name, sizeof name}}};
    struct llm_request r = {.tools = tools, .n_tools = 3};
    struct llm_rename *renames;
    size_t n;
    assert_true(llm_tool_renames(&r, &arena, &renames, &n));
    assert_int_equal(n, 2);
    assert_true(strv_eq_cstr(renames[0].own, "mcp.files/read"));
    assert_true(strv_starts(renames[0].sent, STRV("mcp_files_read_")));
    assert_int_equal(renames[0].sent.len, 14 + 1 + 8);
    assert_int_equal(renames[1].sent.len, 64);
    assert_true(strv_eq(renames[1].sent, llm_tool_name_for(renames[1].own, &arena)));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_history_stays),
        cmocka_unit_test(trap_12_results_of_one_turn_become_one_message),
        cmocka_unit_test(trap_13_a_call_without_a_result_gets_one),
        cmocka_unit_test(ids_are_made_and_results_paired_by_name_and_order),
        cmocka_unit_test(a_result_that_nobody_asked_for_is_text),
        cmocka_unit_test(a_system_message_in_between_moves_behind),
        cmocka_unit_test(a_hostile_number_of_calls_takes_linear_time),
        cmocka_unit_test(a_refusal_of_memory_is_a_refusal),
        cmocka_unit_test(ids_follow_the_rule_of_the_upstream),
        cmocka_unit_test(trap_15_names_are_shortened_and_restored),
    };
    return cmocka_run_group_tests_name("llm/history", tests, NULL, NULL);
}
