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
    /* What comes out is a file of ours. */
    static const char *const none[] = {NULL};
    const struct config_source source = {.environment = none, .set = none};
    struct config *c = config_load_text(&source, strv_of(text), &err);
    if (c == NULL)
        fail_msg("%s\n%s", err.text, text);
    config_free(c);
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
            "    deny: [ \"z\" ]\n"
            "providers:\n"
            "  ollama:\n"
            "    kind: ollama\n"
            "    url: \"http://127.0.0.1:11434\"\n"
            "roles:\n"
            "  tools: [ \"ollama/m\" ]\n",
            "w-2: this is its new name; the old one was W\n"
            "broken: left out: neither command nor url\n");
    /* the other bridge's, with the model in it */
    becomes("{\"mcpServers\":{\"files\":{\"command\":\"node\",\"args\":[\"x.js\"],"
            "\"allowedDirectory\":\"/srv\"}},\"mcpServerName\":\"files\",\"llm\":{\"model\":"
            "\"qwen2.5:7b\",\"baseUrl\":\"http://localhost:11434\",\"apiKey\":\"hush\","
            "\"temperature\":0.1,\"maxTokens\":1000},\"systemPrompt\":\"be kind\"}",
            "mcp_servers:\n"
            "  files:\n"
            "    command: [ \"node\", \"x.js\" ]\n"
            "providers:\n"
            "  ollama:\n"
            "    kind: ollama\n"
            "    url: \"http://localhost:11434\"\n"
            "roles:\n"
            "  tools: [ \"ollama/qwen2.5:7b\" ]\n",
            "files: left out, there is no such option: allowedDirectory\n"
            "llm: its key was not copied; where one is needed, set providers.ollama.key_env\n"
            "llm: left out, each request says it itself: temperature\n"
            "llm: left out, each request says it itself: maxTokens\n"
            "file: left out, there is nothing like it here: mcpServerName\n"
            "file: left out, each request says it itself: systemPrompt\n");
}

static void editors(void **state)
{
    (void)state;
    /* VS Code: a file of its own, and below mcp in the settings of all */
    static const char servers[] =
        "{\"servers\":{\"gh\":{\"type\":\"http\",\"url\":\"https://api.example.com/mcp/?key=k1\","
        "\"headers\":{\"Authorization\":\"Bearer ${input:gh-key}\"}},\"db\":{\"type\":\"stdio\","
        "\"command\":\"${workspaceFolder}/db\",\"args\":[\"--api-key\",\"x\"],\"env\":{\"DB\":"
        "\"${input:db}\",\"HOME\":\"${env:HOME}\"}}},\"inputs\":[{\"type\":\"promptString\",\"id\":"
        "\"gh-key\",\"password\":true}]}";
    static const char yaml[] = "mcp_servers:\n"
                               "  gh:\n"
                               "    url: \"https://api.example.com/mcp/\"\n"
                               "    zone: cloud\n"
                               "    key_env: \"GH_AUTHORIZATION\"\n"
                               "  db:\n"
                               "    command: [ \"${workspaceFolder}/db\", \"--api-key\", \"x\" ]\n"
                               "    env: [ \"DB\", \"HOME\" ]\n";
    static const char notes[] =
        "gh: what stands behind ? in its address was not copied; give a key by key_env\n"
        "gh: taken for one outside: if it is on the premises, say zone: local, and local_networks\n"
        "gh: set this variable to the key, which was not copied: GH_AUTHORIZATION\n"
        "db: nobody replaces what stands in ${...} here, write it out: ${workspaceFolder}/db\n"
        "db: if an argument is a secret, give it by env instead; see command\n"
        "db: the application asks for it each time; set this variable for the router: DB\n"
        "file: the application asks for this, here it is a variable: gh-key\n";
    char settings[2000];
    becomes(servers, yaml, notes);
    snprintf(settings, sizeof settings, "{\"editor.fontSize\":12,\"mcp\":%s}", servers);
    becomes(settings, yaml, notes);
    /* Cursor, Claude Code, Gemini */
    becomes(
        "{\"mcpServers\":{\"o\":{\"url\":\"https://u:p@t.example.com/mcp\",\"auth\":{\"CLIENT_ID\":"
        "\"me\",\"CLIENT_SECRET\":\"hush\",\"scopes\":[\"a\",\"b\"]}},"
        "\"c\":{\"type\":\"http\",\"url\":\"http://localhost:7/mcp\",\"oauth\":{\"clientId\":"
        "\"you\",\"callbackPort\":7777}},"
        "\"g\":{\"httpUrl\":\"http://127.0.0.1:6/mcp\",\"includeTools\":[\"a\"],\"excludeTools\":"
        "[\"b\"],\"timeout\":5000},"
        "\"w\":{\"type\":\"ws\",\"url\":\"ws://127.0.0.1/\"}}}",
        "mcp_servers:\n"
        "  o:\n"
        "    url: \"https://t.example.com/mcp\"\n"
        "    zone: cloud\n"
        "    oauth:\n"
        "      client_id: \"me\"\n"
        "      secret_env: \"O_CLIENT_SECRET\"\n"
        "      scopes: [ \"a\", \"b\" ]\n"
        "  c:\n"
        "    url: \"http://localhost:7/mcp\"\n"
        "    oauth:\n"
        "      client_id: \"you\"\n"
        "      port: 7777\n"
        "  g:\n"
        "    url: \"http://127.0.0.1:6/mcp\"\n"
        "    allow: [ \"a\" ]\n"
        "    deny: [ \"b\" ]\n",
        "o: name and password in its address were not copied\n"
        "o: taken for one outside: if it is on the premises, say zone: local, and local_networks\n"
        "o: set this variable to the client's secret, which was not copied: O_CLIENT_SECRET\n"
        "o: log in once with: llm-router mcp login o\n"
        "c: log in once with: llm-router mcp login c\n"
        "g: left out, there is no such option: timeout\n"
        "w: left out: servers by WebSocket are not reached\n");
}

static void a_child_that_reaches_outside(void **state)
{
    (void)state;
    becomes(
        "{\"mcpServers\":{\"a\":{\"command\":\"npx\",\"args\":[\"-y\",\"mcp-remote\","
        "\"https://t.example.com/mcp\"]},\"b\":{\"command\":\"npx\",\"args\":[\"mcp-remote\","
        "\"http://localhost:7/mcp\"]}}}",
        "mcp_servers:\n"
        "  a:\n"
        "    command: [ \"npx\", \"-y\", \"mcp-remote\", \"https://t.example.com/mcp\" ]\n"
        "    zone: cloud\n"
        "  b:\n"
        "    command: [ \"npx\", \"mcp-remote\", \"http://localhost:7/mcp\" ]\n",
        "a: has an address among its arguments, so it is taken for one outside: if that is on the "
        "premises, say zone: local\n");
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
        cmocka_unit_test(editors),
        cmocka_unit_test(a_child_that_reaches_outside),
        cmocka_unit_test(no_secret_is_copied),
        cmocka_unit_test(other_files),
    };
    int failed = cmocka_run_group_tests_name("mcp_import", tests, NULL, NULL);
    config_forget();
    return failed;
}
