/* SPDX-License-Identifier: Apache-2.0 */
/* servers_test - the section mcp_servers: what is built of it, what is refused, what is left out. */
#include "config/testing.h"

#define BASE                                                                                       \
    "providers:\n  ollama: { kind: ollama, url: \"http://127.0.0.1:11434\" }\n"                    \
    "mcp_servers:\n"

static const struct mcp_server_conf *server(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->mcp.n_servers; i++)
        if (strcmp(c->mcp.servers[i].name, name) == 0)
            return &c->mcp.servers[i];
    return NULL;
}

static void both_transports(void **state)
{
    (void)state;
    struct config *c = testing_good(
        BASE
        "  scheduler:\n    url: \"http://127.0.0.1:8080/mcp\"\n    key_env: MCP_KEY\n"
        "    headers: [ X-Org=ORG ]\n    call: 90s\n    era: legacy\n"
        "  files:\n    command: [ /bin/tools, --root, /srv ]\n    env: [ A=b, MCP_KEY, UNSET ]\n",
        TESTING_LIST("HOME=/h", "MCP_KEY=s3cret", "ORG=ours"), NULL);
    assert_int_equal(c->mcp.n_servers, 2);
    const struct mcp_server_conf *s = server(c, "scheduler"), *f = server(c, "files");
    assert_ptr_equal(s, &c->mcp.servers[0]); /* the file's order */
    assert_int_equal(s->transport, MCP_HTTP);
    assert_string_equal(s->path, "/mcp");
    assert_int_equal(s->upstream.url.port, 8080);
    assert_true(s->local && !s->disabled);
    assert_int_equal(s->era, MCP_ERA_LEGACY);
    assert_int_equal(s->call_ms, 90000);
    assert_int_equal(s->n_headers, 2);
    assert_true(strv_eq_cstr(s->headers[0].value, "Bearer s3cret"));
    assert_true(strv_eq_cstr(s->headers[1].name, "X-Org"));
    assert_true(strv_eq_cstr(s->headers[1].value, "ours"));
    assert_int_equal(f->transport, MCP_STDIO);
    assert_string_equal(f->argv[0], "/bin/tools");
    assert_null(f->argv[3]);
    assert_string_equal(f->env[0], "A=b");
    assert_string_equal(f->env[1], "MCP_KEY=s3cret");
    assert_null(f->env[2]);
    testing_warns(c, "mcp_servers.files: the variable UNSET is not set");
    config_free(c);
}

static void logins(void **state)
{
    (void)state;
    struct config *c = testing_good(
        BASE "  t:\n    url: \"http://127.0.0.1:8080/mcp\"\n    oauth:\n      client_id: me\n"
             "      secret_env: SECRET\n      scopes: [ a, b ]\n      port: 7777\n"
             "      issuer: \"https://login.example.org/x\"\n      client_credentials: true\n"
             "  u: { url: \"http://127.0.0.1/\", oauth: { client_credentials: false } }\n"
             "  v: { url: \"http://127.0.0.1/\", oauth: { client_id: me, secret_env: UNSET } }\n",
        TESTING_LIST("SECRET=s3cret"), NULL);
    const struct mcp_oauth_conf *o = server(c, "t")->oauth;
    assert_non_null(o);
    assert_string_equal(o->client_id, "me");
    assert_string_equal(o->client_secret, "s3cret");
    assert_string_equal(o->scope, "a b");
    assert_string_equal(o->issuer, "https://login.example.org/x");
    assert_true(o->client_credentials && o->port == 7777 && o->document == NULL);
    assert_null(server(c, "u")->oauth);
    assert_true(server(c, "v")->disabled && !server(c, "t")->disabled);
    testing_warns(c, "the MCP server v is disabled: the variable UNSET is not set");
    config_free(c);
}

static void rules(void **state)
{
    (void)state;
    struct config *c = testing_good(BASE "  t:\n    command: [ x ]\n    rules:\n"
                                         "      - get_*=read,none,auto\n      - put=write\n",
                                    NULL, NULL);
    const struct mcp_rule *r = c->mcp.servers[0].rules;
    assert_int_equal(c->mcp.servers[0].n_rules, 2);
    assert_string_equal(r[0].pattern, "get_*");
    assert_int_equal(r[0].effect, MCP_READ);
    assert_int_equal(r[0].data, MCP_DATA_NONE);
    assert_int_equal(r[0].approval, MCP_AUTO);
    assert_int_equal(r[1].effect, MCP_WRITE);
    assert_int_equal(r[1].data, -1);
    assert_int_equal(c->mcp.rounds_max, 8);
    assert_string_equal(c->mcp.agents[0], "agent");
    config_free(c);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *text;
    } cases[] = {
        {"  t: { }\n", NULL},
        {"  t: { enabled: true }\n", "file:4:17: mcp_servers.t: command or url is missing"},
        {"  t: { command: [ x ], url: \"http://127.0.0.1/\" }\n",
         "file:4:17: mcp_servers.t: command and url are both given; keep one"},
        {"  t: { command: [ x ], transport: http }\n",
         "file:4:35: mcp_servers.t.transport: http goes with url"},
        {"  t: { url: \"http://127.0.0.1/\", transport: stdio }\n",
         "file:4:45: mcp_servers.t.transport: stdio goes with command"},
        {"  t: { url: \"http://10.1.2.3/mcp\" }\n",
         "file:4:13: mcp_servers.t.zone: is missing: say local or cloud, since 10.1.2.3 is neither "
         "loopback nor in local_networks"},
        {"  t: { url: \"http://169.254.169.254/\", zone: cloud }\n",
         "file:4:13: mcp_servers.t.url: 169.254.169.254 is a link-local or metadata address: never "
         "used"},
        {"  t: { command: [ x ], rules: [ \"a=often\" ] }\n",
         "file:4:33: mcp_servers.t.rules: expected name=words, such as get_*=read,none,auto, not "
         "\"a=often\""},
        {"  t: { command: [ x ], rules: [ \"a=read,write\" ] }\n",
         "file:4:33: mcp_servers.t.rules: expected name=words, such as get_*=read,none,auto, not "
         "\"a=read,write\""},
        {"  t: { command: [ x ], overlay: /nonexistent/o.json }\n",
         "file:4:33: mcp_servers.t.overlay: /nonexistent/o.json: No such file or directory"},
        {"  t: { command: [ x ], oauth: { client_id: me } }\n",
         "file:4:44: mcp_servers.t.oauth: a login goes with url, not with command"},
        {"  t: { url: \"http://127.0.0.1/\", oauth: { client_credentials: true } }\n",
         "file:4:63: mcp_servers.t.oauth: client_credentials goes with client_id"},
        {"  t: { url: \"http://127.0.0.1/\", oauth: { document: \"http://h/x\" } }\n",
         "file:4:53: mcp_servers.t.oauth: document must be an https address"},
        {"  T: { command: [ x ] }\n",
         "file:4:3: mcp_servers: expected a name of at most 31 small letters, digits and -, "
         "beginning with no -, not \"T\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char yaml[600];
        snprintf(yaml, sizeof yaml, "%s%s", BASE, cases[i].yaml);
        if (cases[i].text != NULL)
            testing_bad(yaml, NULL, NULL, cases[i].text);
        else
            config_free(testing_good(yaml, NULL, NULL)); /* nothing was said: there is none */
    }
}

static void cloud_and_keys(void **state)
{
    (void)state;
    static const char cloud[] =
        BASE "  far: { url: \"https://tools.example.com/mcp\", zone: cloud }\n"
             "  near: { command: [ x ] }\n";
    static const char started[] = BASE "  far: { command: [ mcp-remote ], zone: cloud }\n"
                                       "  near: { command: [ x ], zone: local }\n";
    static const char keyless[] =
        BASE "  far: { url: \"http://127.0.0.1/mcp\", key_env: NONE_SUCH }\n";
    struct config *c = testing_good(cloud, NULL, NULL);
    assert_int_equal(c->mcp.n_servers, 2);
    assert_false(server(c, "far")->local);
    assert_non_null(server(c, "far")->upstream.tls);
    config_free(c);
    c = testing_good(cloud, NULL, TESTING_LIST("airgap=true"));
    assert_int_equal(c->mcp.n_servers, 1);
    testing_warns(c, "the MCP server far is left out: it is in the cloud and airgap is on");
    config_free(c);
    c = testing_good(cloud, NULL, TESTING_LIST("mode=local"));
    assert_null(server(c, "far"));
    config_free(c);
    c = testing_good(started, NULL, NULL);
    assert_false(server(c, "far")->local);
    assert_true(server(c, "near")->local);
    config_free(c);
    c = testing_good(started, NULL, TESTING_LIST("airgap=true"));
    assert_null(server(c, "far"));
    config_free(c);
    c = testing_good(keyless, NULL, NULL);
    assert_true(server(c, "far")->disabled);
    testing_warns(c, "the MCP server far is disabled: the variable NONE_SUCH is not set");
    config_free(c);
}

/* What is printed can be read again and is the same. */
static void printed(void **state)
{
    (void)state;
    struct config *c =
        testing_good(BASE "  t: { command: [ x, y ], env: [ A=1 ], deny: [ z* ] }\n", NULL, NULL);
    struct buf text, again;
    buf_init(&text, 1 << 20);
    buf_init(&again, 1 << 20);
    assert_true(config_print(c, &text) && buf_put_char(&text, '\0'));
    struct config *d = testing_good(buf_view(&text).ptr, NULL, NULL);
    assert_int_equal(d->mcp.n_servers, 1);
    assert_string_equal(d->mcp.servers[0].argv[1], "y");
    assert_string_equal(d->mcp.servers[0].deny[0], "z*");
    config_free(c);
    config_free(d);
    buf_fini(&text);
    buf_fini(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_transports), cmocka_unit_test(logins),
        cmocka_unit_test(rules),           cmocka_unit_test(refused),
        cmocka_unit_test(cloud_and_keys),  cmocka_unit_test(printed),
    };
    int failed = cmocka_run_group_tests_name("servers", tests, NULL, NULL);
    config_forget();
    return failed;
}
