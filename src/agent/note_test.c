/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/note.h"

static enum mcp_approval approval_of(enum mcp_approval own, const char *note, const char *args)
{
    struct arena arena;
    struct json doc;
    struct err err = ERR_INIT;
    struct mcp_tool t = {.approval = own, .note = strv_of(note)};
    arena_init(&arena, 1024, 1 << 20);
    assert_true(json_read(&doc, strv_of(args), &arena, 0, &err));
    enum mcp_approval got = agent_note_approval(&t, doc.root, &arena);
    arena_fini(&arena);
    return got;
}

#define WHEN                                                                                       \
    "{\"personal_data\":\"none\",\"approval_when\":[{\"argument\":\"enabled\",\"is\":[false]"      \
    ",\"approval\":\"ask-always\"}]}"

static void an_argument_makes_a_call_graver_and_never_laxer(void **state)
{
    (void)state;
    assert_int_equal(approval_of(MCP_ASK, WHEN, "{\"enabled\":false}"), MCP_ASK_ALWAYS);
    assert_int_equal(approval_of(MCP_ASK, WHEN, "{\"enabled\":true}"), MCP_ASK);
    assert_int_equal(approval_of(MCP_ASK, WHEN, "{}"), MCP_ASK);
    assert_int_equal(approval_of(MCP_OFF, WHEN, "{\"enabled\":false}"), MCP_OFF);
    assert_int_equal(
        approval_of(MCP_ASK_ALWAYS,
                    "{\"approval_when\":[{\"argument\":\"a\",\"is\":[1],\"approval\":\"auto\"}]}",
                    "{\"a\":1}"),
        MCP_ASK_ALWAYS);
}

static void a_spelling_mistake_makes_nothing_laxer(void **state)
{
    (void)state;
    assert_int_equal(
        approval_of(MCP_AUTO,
                    "{\"approval_when\":[{\"argument\":\"a\",\"is\":[1],\"approval\":\"akks\"}]}",
                    "{\"a\":1}"),
        MCP_ASK_ALWAYS);
    assert_int_equal(approval_of(MCP_ASK, "{\"approval_when\":7}", "{\"a\":1}"), MCP_ASK);
    assert_int_equal(approval_of(MCP_ASK, "{\"approval_when\":[7,{},{\"is\":1}]}", "[]"), MCP_ASK);
    assert_int_equal(approval_of(MCP_ASK, "nonsense", "{}"), MCP_ASK);
}

static void without_memory_a_person_is_asked(void **state)
{
    (void)state;
    struct arena arena;
    struct mcp_tool t = {.approval = MCP_AUTO, .note = STRV(WHEN)};
    arena_init(&arena, 1024, 16);
    assert_int_equal(agent_note_approval(&t, NULL, &arena), MCP_ASK_ALWAYS);
    arena_fini(&arena);
}

static void secrets_are_known_by_the_overlay_and_by_their_names(void **state)
{
    (void)state;
    struct arena arena;
    struct mcp_tool t = {.note = STRV("{\"hide\":[\"pin\",7]}")};
    arena_init(&arena, 1024, 1 << 20);
    yyjson_val *note = agent_note(&t, &arena);
    assert_non_null(note);
    assert_true(agent_note_hides(note, STRV("pin")));
    assert_false(agent_note_hides(NULL, STRV("pin")));
    assert_true(agent_note_hides(NULL, STRV("approval_token")));
    assert_true(agent_note_hides(NULL, STRV("accessToken")));
    assert_true(agent_note_hides(NULL, STRV("db_password")));
    assert_true(agent_note_hides(NULL, STRV("client_secret")));
    assert_false(agent_note_hides(NULL, STRV("max_tokens")));
    assert_false(agent_note_hides(NULL, STRV("page_token")));
    assert_false(agent_note_hides(NULL, STRV("scan_secrets")));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_argument_makes_a_call_graver_and_never_laxer),
        cmocka_unit_test(a_spelling_mistake_makes_nothing_laxer),
        cmocka_unit_test(without_memory_a_person_is_asked),
        cmocka_unit_test(secrets_are_known_by_the_overlay_and_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
