/* SPDX-License-Identifier: Apache-2.0 */
/* file_test - what a file may say; and for everything else, where it is wrong and what was expected. */
#include "config/testing.h"

/* A provider, so that the rest of a case is all that can be wrong. */
#define ONE "providers: { o: { kind: ollama, url: 'http://127.0.0.1:1' } }\n"

static const struct {
    const char *yaml, *text;
    size_t line, column;
} wrong[] = {
    /* not YAML */
    {"listen: [",
     "file:2:1: not YAML: did not find expected node content, while parsing a flow node", 2, 1},
    {"listen: \"x",
     "file:1:11: not YAML: found unexpected end of stream, while scanning a quoted scalar", 1, 11},
    {"ok: 1\n\xff\xfe\n", "file:2:1: not YAML: invalid leading UTF-8 octet", 2, 1},
    {"mode: local\n\tairgap: true\n",
     "file:2:1: not YAML: found a tab character that violates indentation, while scanning a plain "
     "scalar",
     2, 1},
    /* shapes */
    {"- a\n", "file:1:1: expected a mapping (lines of \"key: value\"), not a list", 1, 1},
    {"text", "file:1:1: expected a mapping (lines of \"key: value\"), not a text", 1, 1},
    {"providers: 7\n",
     "file:1:12: providers: expected a mapping (lines of \"key: value\"), not a text", 1, 12},
    {"providers: { o: [] }\n",
     "file:1:17: providers.*: expected a mapping (lines of \"key: value\"), not a list", 1, 17},
    {"workers: [ 1 ]\n", "file:1:10: workers: expected a whole number from 0 to 64, not a list", 1,
     10},
    {"workers:\nmode: local\n",
     "file:1:9: workers: expected a whole number from 0 to 64, not nothing", 1, 9},
    {"workers: ~\n", "file:1:10: workers: expected a whole number from 0 to 64, not nothing", 1,
     10},
    {"hosts: { a: b }\n",
     "file:1:8: hosts: expected a list of: a host name, with or without a port, not a mapping", 1,
     8},
    {"hosts:\n  - a\n  - [ b ]\n",
     "file:3:5: hosts: expected a list of: a host name, with or without a port, not a list", 3, 5},
    {"[ a ]: b\n", "file:1:1: expected a key, not a list", 1, 1},
    {"a: &x 1\n",
     "file:1:1: unknown key \"a\"; known here: listen, workers, state_dir, runtime_dir, user, "
     "sandbox, airgap, mode, local_networks, providers, roles, routes, aliases, confidence, ...",
     1, 1},
    {"mode: &x local\n",
     "file:1:7: anchors and aliases (& and *) are not supported; quote a text that begins with one "
     "of them",
     1, 7},
    {"roles: { a: *b }\n",
     "file:1:13: anchors and aliases (& and *) are not supported; quote a text that begins with "
     "one of them",
     1, 13},
    {"mode: local\n---\nmode: cloud\n", "file:2:1: a second document; one file is one document", 2,
     1},
    /* keys */
    {"mode: local\nmode: cloud\n", "file:2:1: \"mode\" stands here twice; first in line 1", 2, 1},
    {"providers:\n  a: {}\n  a: {}\n", "file:3:3: \"a\" stands here twice; first in line 2", 3, 3},
    {"lisen: x\n", "file:1:1: unknown key \"lisen\"; did you mean \"listen\"?", 1, 1},
    {"log:\n  levl: info\n", "file:2:3: unknown key \"levl\"; did you mean \"level\"?", 2, 3},
    {"log:\n  format: json\n", "file:2:3: unknown key \"format\"; known here: level", 2, 3},
    {"log.level: info\n",
     "file:1:1: unknown key \"log.level\"; known here: listen, workers, state_dir, runtime_dir, "
     "user, sandbox, airgap, mode, local_networks, providers, roles, routes, aliases, confidence, "
     "...",
     1, 1},
    {"providers:\n  o:\n    idel: 3s\n", "file:3:5: unknown key \"idel\"; did you mean \"idle\"?",
     3, 5},
    {"providers:\n  o:\n    spawn: { modl: x }\n",
     "file:3:14: unknown key \"modl\"; did you mean \"model\"?", 3, 14},
    {"providers:\n  o:\n    api_key: sk-secret\n",
     "file:3:5: unknown key \"api_key\": keys never stand in this file; name a variable with "
     "key_env or a file with "
     "key_file",
     3, 5},
    {"\"*\": 1\n",
     "file:1:1: unknown key \"*\"; known here: listen, workers, state_dir, runtime_dir, user, "
     "sandbox, airgap, mode, local_networks, providers, roles, routes, aliases, confidence, ...",
     1, 1},
    /* names */
    {"providers: { a/b: {} }\n",
     "file:1:14: providers: expected a name of at most 63 letters, digits, - and _, other than "
     "\"auto\", not \"a/b\"",
     1, 14},
    {"roles: { auto: x }\n",
     "file:1:10: roles: expected a name of at most 63 letters, digits, - and _, other than "
     "\"auto\", not \"auto\"",
     1, 10},
    {"routes: { easy: fast }\n",
     "file:1:11: routes: expected one of simple_query, explanation, documentation, "
     "code_generation, tool_calling, "
     "multi_step, not \"easy\"",
     1, 11},
    {"aliases: { \"a b\": fast }\n",
     "file:1:12: aliases: expected a model's name or pattern of at most 200 characters, without "
     "blanks, not \"a b\"",
     1, 12},
    /* values */
    {"airgap: maybe\n", "file:1:9: airgap: expected true or false, not \"maybe\"", 1, 9},
    {"workers: 1.5\n", "file:1:10: workers: expected a whole number from 0 to 64, not \"1.5\"", 1,
     10},
    {"workers: -1\n", "file:1:10: workers: expected a whole number from 0 to 64, not \"-1\"", 1,
     10},
    {"workers: 65\n", "file:1:10: workers: expected a whole number from 0 to 64, not \"65\"", 1,
     10},
    {"drain: 30\n",
     "file:1:8: drain: expected a duration with its unit (500ms, 30s, 5m, 1h) from 1ms to 24h, not "
     "\"30\"",
     1, 8},
    {"drain: 0s\n",
     "file:1:8: drain: expected a duration with its unit (500ms, 30s, 5m, 1h) from 1ms to 24h, not "
     "\"0s\"",
     1, 8},
    {"server: { max_body: 32MB }\n",
     "file:1:21: server.max_body: expected a size with its unit (64KiB, 32MiB) from 1KiB to 1GiB, "
     "not \"32MB\"",
     1, 21},
    {"mode: cluod\n", "file:1:7: mode: expected one of local, hybrid, cloud, not \"cluod\"", 1, 7},
    {"listen: nowhere\n",
     "file:1:9: listen: expected an address such as 127.0.0.1:8484, [::1]:8484, tls:0.0.0.0:8443 "
     "or "
     "unix:/run/llm-router.sock, not "
     "\"nowhere\"",
     1, 9},
    {"listen: []\n", "file:1:9: listen: expected 1 to 16 items, not 0", 1, 9},
    {"origins:\n  - http://a\n  - \"*\"\n",
     "file:3:5: origins: expected scheme://host or scheme://host:port (\"*\" and \"null\" are not "
     "accepted), not "
     "\"*\"",
     3, 5},
    {"local_networks: [ 0.0.0.0/0 ]\n",
     "file:1:19: local_networks: expected a network such as 10.0.0.0/24 or fd00::/8, not "
     "link-local, with a prefix "
     "of at least 8 (IPv6: 7), not \"0.0.0.0/0\"",
     1, 19},
    {"default_role: fast.er\n", /* it would become the name of a role */
     "file:1:15: default_role: expected a name of at most 63 letters, digits, - and _, other than "
     "\"auto\", not \"fast.er\"",
     1, 15},
    {"default_role: \"a\\tb\"\n",
     "file:1:15: default_role: expected a name of at most 63 letters, digits, - and _, other than "
     "\"auto\", not \"a\tb\"",
     1, 15},
    /* nothing that may be a secret is repeated */
    {"providers: { a: { key_env: sk-ant-1234 } }\n",
     "file:1:28: providers.a.key_env: expected the name of an environment variable (not the key "
     "itself)",
     1, 28},
    {"providers: { a: { url: 'http://me:pw@host/' } }\n",
     "file:1:24: providers.a.url: expected an address such as http://127.0.0.1:11434, without "
     "user, password, query "
     "or fragment",
     1, 24},
    {"providers: { a: { spawn: { args: [ --api-key, geheim ] } } }\n",
     "file:1:36: providers.a.spawn.args: expected an argument that the router does not give itself "
     "(model, alias, "
     "address, key) and that downloads nothing",
     1, 36},
    /* what does not fit together */
    {"providers:\n  a: {}\n",
     "file:2:3: providers.a: kind is missing: one of openai, ollama, anthropic, llama-server", 2,
     3},
    {"providers:\n  a: { kind: ollama }\n",
     "file:2:3: providers.a.url: is missing: the provider's base address", 2, 3},
    {"providers:\n  a: { kind: openai, url: 'http://example.org/v1' }\n",
     "file:2:27: providers.a.zone: is missing: say local or cloud, since example.org is neither "
     "loopback nor in "
     "local_networks",
     2, 27},
    {"providers:\n  a: { kind: openai, url: 'http://10.0.0.5/v1', zone: local }\nlocal_networks: [ "
     "10.1.0.0/16 ]\n",
     "file:2:27: providers.a.url: zone is local, but 10.0.0.5 is neither loopback nor in "
     "local_networks",
     2, 27},
    {"providers:\n  a: { kind: openai, url: 'http://169.254.169.254/v1', zone: cloud }\n",
     "file:2:27: providers.a.url: 169.254.169.254 is a link-local or metadata address: never used",
     2, 27},
    {"providers:\n  a: { kind: llama-server, url: 'http://127.0.0.1:1' }\n",
     "file:2:33: providers.a.url: a provider of kind llama-server does not have this option", 2,
     33},
    {"providers:\n  a: { kind: llama-server }\n",
     "file:2:3: providers.a.spawn.model: is missing: the model file to serve", 2, 3},
    {"providers:\n  a: { kind: openai, url: 'http://127.0.0.1:1', num_ctx: 5 }\n",
     "file:2:58: providers.a.num_ctx: a provider of kind openai does not have this option", 2, 58},
    {"providers:\n  a: { kind: openai, url: 'http://127.0.0.1:1', key_env: A, key_file: /b }\n",
     "file:2:71: providers.a: key_env and key_file are both given; keep one", 2, 71},
    {"providers:\n  a: { kind: openai, url: 'http://127.0.0.1:1', key_file: /nonexistent }\n",
     "file:2:59: providers.a.key_file: /nonexistent: No such file or directory", 2, 59},
    {"providers:\n  a: { kind: openai, url: 'http://127.0.0.1:1', ca_file: /x }\n",
     "file:2:27: providers.a: certificates are given, but the address does not begin with https", 2,
     27},
    {"providers:\n  a: { kind: openai, url: 'https://127.0.0.1:1', cert_file: /x }\n",
     "file:2:61: providers.a: cert_file and cert_key_file go together", 2, 61},
    {"providers:\n  a: { kind: openai, url: 'http://127.0.0.1:1', reply_max: 64MiB }\n",
     "file:2:60: providers.a.reply_max: must be smaller than server.max_unsent", 2, 60},
    {ONE "default_provider: x\n", "file:2:19: default_provider: there is no provider x", 2, 19},
    {"airgap: true\nproviders:\n  a: { kind: anthropic }\n",
     "file:3:3: providers: none is left: a is a cloud provider and airgap is on", 3, 3},
};

static void wrong_files_say_where_and_what(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err err;
        struct config *c = testing_load(wrong[i].yaml, NULL, NULL, &err);
        if (c == NULL && strcmp(err.text, wrong[i].text) == 0 && err.line == wrong[i].line &&
            err.column == wrong[i].column)
            continue;
        print_message("%s\nis     %zu:%zu %s\nshould %zu:%zu %s\n", wrong[i].yaml, err.line,
                      err.column, c != NULL ? "taken" : err.text, wrong[i].line, wrong[i].column,
                      wrong[i].text);
        config_free(c);
        bad++;
    }
    assert_int_equal(bad, 0);
}

static void every_option_can_be_said(void **state)
{
    (void)state;
    struct config *c =
        testing_good("listen: unix:/run/x.sock\n"
                     "workers: 3\n"
                     "state_dir: /s\n"
                     "runtime_dir: /r\n"
                     "mode: CLOUD\n"
                     "local_networks: [ 10.0.0.0/24, 'fd00::/8', 192.168.1.7 ]\n"
                     "providers:\n"
                     "  vllm:\n"
                     "    kind: openai\n"
                     "    url: http://10.0.0.5:8000/v1\n"
                     "    models: [ a, b ]\n"
                     "    idle: 1.5s\n"
                     "    total: 2h\n"
                     "    reply_max: 0.5MiB\n"
                     "    stream_always: Yes\n"
                     "  eng-1: { kind: llama-server, spawn: { model: m/x.GGUF, slots: 3, "
                     "args: [ -fa, \"on\" ] } }\n"
                     "roles: { fast: vllm/a, general: [ fast, eng-1/ ] }\n"
                     "routes: { multi_step: [ general ] }\n"
                     "aliases: { \"gpt-4.1*\": general, 'true': fast }\n"
                     "attempts_max: 12\n"
                     "server: { max_header: 1MiB }\n"
                     "keys: { require: on }\n"
                     "origins: [ http://localhost:3000 ]\n"
                     "log: { level: warning }\n",
                     NULL, NULL);
    const struct snapshot *s = c->snapshot;
    const struct provider *p = testing_provider(c, "vllm");
    char role[256];

    assert_string_equal(c->listen[0], "unix:/run/x.sock");
    assert_null(c->listen[1]);
    assert_int_equal(c->workers, 3);
    assert_string_equal(c->state_dir, "/s");
    assert_int_equal(s->policy.mode, LLM_MODE_CLOUD);
    assert_int_equal(s->attempts_max, 12);
    assert_int_equal(c->server.head_bytes_max, 1048576);
    assert_int_equal(c->server.body_bytes_max, 32 * 1048576);
    assert_true(c->require_keys);
    assert_int_equal(c->log_level, LOG_WARN);
    assert_string_equal(c->origins[0], "http://localhost:3000");
    assert_null(c->hosts[0]);

    assert_int_equal(s->n_providers, 2);
    assert_int_equal(p->zone, ZONE_LOCAL);
    assert_int_equal(p->limits.idle_ms, 1500);
    assert_int_equal(p->limits.total_ms, 7200000);
    assert_int_equal(p->limits.reply_bytes_max, 524288);
    assert_true(p->stream_always);
    assert_string_equal(p->static_models[1], "b");
    assert_string_equal(p->default_model, "a");
    assert_int_equal(p->upstream.url.port, 8000);
    assert_null(p->key);

    p = testing_provider(c, "eng-1");
    assert_int_equal(p->index, 1);
    assert_int_equal(p->kind, PROVIDER_LLAMA_SERVER);
    assert_int_equal(p->limits.concurrency, 3);
    assert_string_equal(p->spawn.socket, "/r/engine-eng-1.sock");
    assert_string_equal(p->upstream.unix_path, p->spawn.socket);
    assert_string_equal(p->spawn.alias, "x.GGUF");
    assert_string_equal(p->spawn.args[1], "on");
    assert_int_equal(strlen(p->key), 32);

    assert_string_equal(testing_role(c, "general", role), "fast eng-1/");
    assert_int_equal(s->policy.n_routes, 1);
    assert_int_equal(s->policy.n_aliases, 2);
    assert_string_equal(s->policy.aliases[0].name, "gpt-4.1*");
    assert_string_equal(s->policy.aliases[1].name, "true");
    assert_string_equal(s->policy.roles[0].names[0].provider, "vllm");
    assert_string_equal(s->policy.roles[0].names[0].model, "a");
    config_free(c);
}

static void an_empty_file_is_fine(void **state)
{
    (void)state;
    static const char *const empty[] = {"",    "# nothing\n",          "---\n",
                                        "~\n", "providers:\nroles:\n", "{}"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        struct config *c = testing_good(empty[i], NULL, NULL);
        assert_non_null(testing_provider(c, "ollama"));
        config_free(c);
    }
}

static void a_file_cut_anywhere_does_no_harm(void **state)
{
    (void)state;
    static const char yaml[] = "listen: [ \"127.0.0.1:1\" ]\nproviders:\n  o: { kind: ollama, url: "
                               "'http://127.0.0.1:1' }\nroles: { fast: [ o/ ] }\n# é\n";
    char text[sizeof yaml];
    for (size_t n = 0; n < sizeof yaml; n++) {
        struct err err;
        memcpy(text, yaml, n);
        text[n] = '\0';
        struct config *c = testing_load(text, NULL, NULL, &err);
        assert_true((c == NULL) == err.set);
        config_free(c);
    }
}

static void too_much_is_refused(void **state)
{
    (void)state;
    struct buf yaml;
    buf_init(&yaml, 4 << 20);
    buf_put_cstr(&yaml, "aliases:\n");
    for (int i = 0; i < CONFIG_KEYS_MAX; i++)
        buf_printf(&yaml, "  a%d: x\n", i);
    buf_put_char(&yaml, '\0');
    testing_bad(buf_view(&yaml).ptr, NULL, NULL, "file:4097:3: more than 4096 keys");
    buf_clear(&yaml);
    buf_put_cstr(&yaml, "providers:\n");
    for (int i = 0; i <= PROVIDERS_MAX; i++)
        buf_printf(&yaml, "  p%d: {}\n", i);
    buf_put_char(&yaml, '\0');
    testing_bad(buf_view(&yaml).ptr, NULL, NULL, "file:66:3: providers: more than 64 providers");
    buf_clear(&yaml);
    buf_put_cstr(&yaml, "hosts: [ a");
    for (int i = 0; i <= 256; i++)
        buf_put_cstr(&yaml, ", a");
    buf_put_cstr(&yaml, " ]");
    buf_put_char(&yaml, '\0');
    testing_bad(buf_view(&yaml).ptr, NULL, NULL, "file:1:8: hosts: expected at most 64 items");
    buf_clear(&yaml);
    for (int i = 0; i < 100000; i++)
        buf_put_cstr(&yaml, "[");
    buf_put_char(&yaml, '\0');
    testing_bad(buf_view(&yaml).ptr, NULL, NULL,
                "file:1:1: expected a mapping (lines of \"key: value\"), not a list");
    buf_fini(&yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_files_say_where_and_what),
        cmocka_unit_test(every_option_can_be_said),
        cmocka_unit_test(an_empty_file_is_fine),
        cmocka_unit_test(a_file_cut_anywhere_does_no_harm),
        cmocka_unit_test(too_much_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    provider_cells_free();
    return failed;
}
