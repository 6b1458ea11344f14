/* SPDX-License-Identifier: Apache-2.0 */
/* mcp_import_test - files as applications and bridges have them; nothing secret is copied. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "app/mcp.h"

/* What is in the buffer, as a text. */
static char *text_of(const struct buf *b)
{
    char *text = calloc(1, buf_len(b) + 1);
    assert_non_null(text);
    if (buf_len(b) > 0)
        memcpy(text, buf_view(b).ptr, buf_len(b));
    return text;
}

static char *import(const char *json, char **notes, struct err *err)
{
    struct buf out, said;
    buf_init(&out, 1 << 20);
    buf_init(&said, 1 << 20);
    *err = ERR_INIT;
    bool ok = mcp_import_text(strv_of(json), &out, &said, err);
    char *text = ok ? text_of(&out) : NULL;
    *notes = text_of(&said);
    buf_fini(&out);
    buf_fini(&said);
    return text;
}

static void becomes(const char *json, const char *yaml, const char *said)
{
    struct err err;
    char *notes, *text = import(json, &notes, &err);
    if (text == NULL)
        fail_msg("%s", err.text);
    assert_string_equal(text, yaml);
    assert_string_equal(notes, said);
    free(text);
    free(notes);
}

static void desktop_files(void **state)
{
    (void)state;
    becomes("{\"mcpServers\":{\"My Files (2)\":{\"command\":\"npx\",\"args\":[\"-y\",\"x y\",7],"
            "\"env\":{\"TOKEN\":\"s3cret\",\"HOME\":\"${HOME}\"},\"autoApprove\":[\"a\"]}}}",
            "mcp_servers:\n"
            "  my-files-2:\n"
            "    command: [ \"npx\", \"-y\", \"x y\" ]\n"
            "    env: [ \"TOKEN\", \"HOME\" ]\n",
            "my-files-2: this is its new name; the old one was My Files (2)\n"
            "my-files-2: an argument is no text and was left out\n"
            "my-files-2: set this variable for the router, its value was not copied: TOKEN\n"
            "my-files-2: left out, there is no such option: autoApprove\n");
    becomes("{\"servers\":{\"a\":{\"type\":\"sse\",\"url\":\"http://127.0.0.1:9/"
            "sse\",\"disabled\":true,"
            "\"headers\":{\"Authorization\":\"Bearer k3y\",\"X-Org\":\"${ORG}\"}}}}",
            "mcp_servers:\n"
            "  a:\n"
            "    url: \"http://127.0.0.1:9/sse\"\n"
            "    transport: sse\n"
            "    key_env: \"A_AUTHORIZATION\"\n"
            "    headers: [ \"X-Org=ORG\" ]\n"
            "    enabled: false\n",
            "a: set this variable to the key, which was not copied: A_AUTHORIZATION\n");
}

/* ollama-mcp-bridge's, with its filter and with parts that are not for us. */
static void bridges(void **state)
{
    (void)state;
    becomes("{\"mcpServers\":{\"w\":{\"url\":\"http://127.0.0.1:8/mcp\",\"toolFilter\":{\"mode\":"
            "\"include\",\"tools\":[\"get_x\",\"get_y\"]}},"
            "\"W\":{\"command\":\"w\",\"toolFilter\":{\"mode\":\"exclude\",\"tools\":[\"z\"]}},"
            "\"broken\":{\"args\":[]}},\"llm\":{\"model\":\"m\"}}",
            "mcp_servers:\n"
            "  w:\n"
            "    url: \"http://127.0.0.1:8/mcp\"\n"
            "    allow: [ \"get_x\", \"get_y\" ]\n"
            "  w-2:\n"
            "    command: [ \"w\" ]\n"
            "    deny: [ \"z\" ]\n",
            "w-2: this is its new name; the old one was W\n"
            "broken: left out: neither command nor url\n");
}

static void no_secret_is_copied(void **state)
{
    (void)state;
    struct err err;
    char *notes,
        *text = import("{\"mcpServers\":{\"a\":{\"command\":\"x\",\"env\":{\"A\":\"hush-1\"}},"
                       "\"b\":{\"url\":\"http://h/\",\"headers\":{\"K\":\"hush-2\","
                       "\"Authorization\":\"Basic hush-3\"}}}}",
                       &notes, &err);
    assert_non_null(text);
    assert_null(strstr(text, "hush"));
    assert_null(strstr(notes, "hush"));
    free(text);
    free(notes);
}

static void other_files(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "", "[]", "{}", "{\"mcpServers\":[]}", "{\"mcpServers\":", "{\"mcpServers\":7}"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err;
        char *notes, *text = import(cases[i], &notes, &err);
        assert_null(text);
        assert_true(err.text[0] != '\0');
        free(notes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(desktop_files),
        cmocka_unit_test(bridges),
        cmocka_unit_test(no_secret_is_copied),
        cmocka_unit_test(other_files),
    };
    return cmocka_run_group_tests_name("mcp_import", tests, NULL, NULL);
}
