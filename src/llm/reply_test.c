/* SPDX-License-Identifier: Apache-2.0 */
/* reply_test - a reply keeps the order of its parts, joins what belongs together, and stays bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/llm.h"

static struct arena arena;

static void add(struct llm_reply *r, struct llm_event ev)
{
    assert_true(llm_reply_add(r, &ev, &arena));
}

static void is(const struct llm_reply *r, size_t i, enum llm_part_kind kind, const char *text)
{
    assert_true(i < r->n_parts);
    assert_int_equal(r->parts[i].kind, kind);
    assert_true(strv_eq_cstr(llm_reply_text(r, &r->parts[i]), text));
}

static void parts_keep_their_order(void **state)
{
    (void)state;
    struct llm_reply r;
    arena_init(&arena, 256, 1 << 16);
    llm_reply_init(&r, 1 << 16);
    add(&r, (struct llm_event){.kind = LLM_EV_START, .text = STRV("id")});
    add(&r, (struct llm_event){.kind = LLM_EV_REASONING, .text = STRV("let ")});
    add(&r, (struct llm_event){.kind = LLM_EV_REASONING, .text = STRV("me")});
    add(&r, (struct llm_event){.kind = LLM_EV_SIGNATURE, .text = STRV("SIG")});
    add(&r, (struct llm_event){.kind = LLM_EV_REASONING, .text = STRV("secret"), .redacted = true});
    add(&r, (struct llm_event){.kind = LLM_EV_TEXT, .text = STRV("I ")});
    add(&r, (struct llm_event){.kind = LLM_EV_TEXT, .text = STRV("look")});
    add(&r, (struct llm_event){.kind = LLM_EV_CALL, .id = STRV("a"), .name = STRV("f")});
    add(&r, (struct llm_event){.kind = LLM_EV_ARGS, .text = STRV("{\"x\":")});
    add(&r, (struct llm_event){.kind = LLM_EV_ARGS, .text = STRV("1}")});
    add(&r, (struct llm_event){.kind = LLM_EV_CALL_END});
    add(&r, (struct llm_event){.kind = LLM_EV_CALL, .call = 1, .id = STRV("b"), .name = STRV("g")});
    add(&r, (struct llm_event){.kind = LLM_EV_CALL_END, .call = 1});
    add(&r, (struct llm_event){.kind = LLM_EV_TEXT, .text = STRV("done")});
    assert_int_equal(r.n_parts, 6);
    is(&r, 0, LLM_PART_REASONING, "let me");
    assert_int_equal(r.parts[0].n_signature, 3);
    assert_true(r.parts[1].redacted && r.parts[1].len == 0 && r.parts[1].n_signature == 6);
    is(&r, 2, LLM_PART_TEXT, "I look");
    is(&r, 3, LLM_PART_CALL, "{\"x\":1}");
    is(&r, 4, LLM_PART_CALL, "{}");
    assert_true(strv_eq_cstr(r.parts[4].name, "g") && strv_eq_cstr(r.parts[4].id, "b"));
    is(&r, 5, LLM_PART_TEXT, "done");
    assert_int_equal(llm_reply_bytes(&r, LLM_PART_TEXT), 10);
    assert_true(llm_reply_set_text(&r, STRV("other")));
    assert_int_equal(llm_reply_bytes(&r, LLM_PART_TEXT), 5);
    assert_true(llm_reply_has(&r, LLM_PART_CALL));
    llm_reply_fini(&r);
    arena_fini(&arena);
}

static void vectors_have_one_length(void **state)
{
    (void)state;
    const float v[] = {1, 2, 3};
    struct llm_reply r;
    arena_init(&arena, 256, 1 << 16);
    llm_reply_init(&r, 1 << 16);
    add(&r, (struct llm_event){.kind = LLM_EV_VECTOR, .vector = v, .n_vector = 3});
    add(&r, (struct llm_event){.kind = LLM_EV_VECTOR, .choice = 1, .vector = v, .n_vector = 3});
    assert_int_equal(r.n_vectors, 2);
    assert_int_equal(buf_len(&r.vectors), 6 * sizeof(float));
    assert_false(llm_reply_add(
        &r, &(struct llm_event){.kind = LLM_EV_VECTOR, .choice = 2, .vector = v, .n_vector = 2},
        &arena));
    llm_reply_fini(&r);
    arena_fini(&arena);
}

static void calls_without_end_are_too_many(void **state)
{
    (void)state;
    struct llm_reply r;
    int n = 0;
    arena_init(&arena, 256, 1 << 20);
    llm_reply_init(&r, 1 << 16);
    while (llm_reply_add(&r, &(struct llm_event){.kind = LLM_EV_CALL, .call = n}, &arena))
        assert_true(++n < 100000);
    llm_reply_fini(&r);
    arena_fini(&arena);
}

/* Through bytes and back into a reply: it is the same one. */
static bool pack(void *arg, const struct llm_event *ev)
{
    return llm_event_pack(arg, ev);
}

static void a_reply_is_told_again_through_bytes(void **state)
{
    (void)state;
    static const float v[2] = {0.5F, -1.0F};
    struct llm_reply r, again;
    struct buf b;
    struct llm_event ev;
    size_t at = 0;
    arena_init(&arena, 256, 1 << 16);
    buf_init(&b, 1 << 16);
    llm_reply_init(&r, 1 << 16);
    llm_reply_init(&again, 1 << 16);
    add(&r, (struct llm_event){.kind = LLM_EV_START, .text = STRV("id"), .model = STRV("m")});
    add(&r, (struct llm_event){.kind = LLM_EV_REASONING, .text = STRV("think")});
    add(&r, (struct llm_event){.kind = LLM_EV_SIGNATURE, .text = STRV("SIG")});
    add(&r, (struct llm_event){.kind = LLM_EV_REASONING, .text = STRV("secret"), .redacted = true});
    add(&r, (struct llm_event){.kind = LLM_EV_TEXT, .text = STRV("I look")});
    add(&r, (struct llm_event){.kind = LLM_EV_CALL, .id = STRV("a"), .name = STRV("f")});
    add(&r, (struct llm_event){.kind = LLM_EV_CALL_END});
    add(&r, (struct llm_event){.kind = LLM_EV_VECTOR, .vector = v, .n_vector = 2});
    add(&r, (struct llm_event){.kind = LLM_EV_FINISH,
                               .finish = LLM_FINISH_CALLS,
                               .raw_finish = STRV("tool_calls")});
    struct llm_usage usage = LLM_USAGE_NONE;
    usage.input = 7;
    add(&r, (struct llm_event){.kind = LLM_EV_USAGE, .usage = usage});
    add(&r, (struct llm_event){.kind = LLM_EV_END});
    assert_true(llm_reply_tell(&r, pack, &b));
    while (at < buf_len(&b)) {
        llm_event_unpack(buf_view(&b), &at, &ev);
        add(&again, ev);
    }
    assert_int_equal(again.n_parts, r.n_parts);
    for (size_t i = 0; i < r.n_parts; i++) {
        assert_int_equal(again.parts[i].kind, r.parts[i].kind);
        assert_true(
            strv_eq(llm_reply_text(&again, &again.parts[i]), llm_reply_text(&r, &r.parts[i])));
        assert_int_equal(again.parts[i].n_signature, r.parts[i].n_signature);
        assert_int_equal(again.parts[i].redacted, r.parts[i].redacted);
    }
    assert_true(strv_eq_cstr(again.id, "id") && strv_eq_cstr(again.model, "m"));
    assert_true(strv_eq_cstr(again.raw_finish, "tool_calls") && again.ended);
    assert_int_equal(again.usage.input, 7);
    assert_int_equal(again.dimensions, 2);
    llm_reply_fini(&r);
    llm_reply_fini(&again);
    buf_fini(&b);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_keep_their_order),
        cmocka_unit_test(vectors_have_one_length),
        cmocka_unit_test(calls_without_end_are_too_many),
        cmocka_unit_test(a_reply_is_told_again_through_bytes),
    };
    return cmocka_run_group_tests_name("llm/reply", tests, NULL, NULL);
}
