/* SPDX-License-Identifier: Apache-2.0 */
/* environment_test - a configuration from variables alone, variables beside a file, and --set. */
#include "config/testing.h"

#define ENV TESTING_LIST

static void assert_role(const struct config *c, const char *role, const char *list)
{
    char text[256];
    assert_string_equal(testing_role(c, role, text), list);
}

static void nothing_set_looks_for_ollama_here(void **state)
{
    (void)state;
    struct config *c = testing_good(NULL, NULL, NULL);
    const struct provider *p = testing_provider(c, "ollama");
    assert_int_equal(c->snapshot->n_providers, 1);
    assert_string_equal(p->upstream.url.host, "127.0.0.1");
    assert_int_equal(p->upstream.url.port, 11434);
    assert_int_equal(p->zone, ZONE_LOCAL);
    assert_int_equal(p->limits.concurrency, 1);
    assert_role(c, "general", "ollama/");
    assert_null(c->warnings);
    assert_string_equal(c->listen[0], "127.0.0.1:8484");
    assert_null(config_open_address(c));
    config_free(c);
}

static void the_schedulers_variables_are_a_configuration(void **state)
{
    (void)state;
    struct config *c = testing_good(
        NULL,
        ENV("OLLAMA_URL=http://ollama:11434", "MLX_URL=http://localhost:8082",
            "ANTHROPIC_API_KEY= sk-1 ", "LLM_DEFAULT_PROVIDER=ollama", "DEFAULT_PROVIDER=ollama",
            "LLM_ENABLE_FALLBACK=no", "FALLBACK_ENABLED=false",
            "AIRGAP_MODE=", "OLLAMA_DEFAULT_MODEL=llama3.2", "OLLAMA_FAST_MODEL=llama3.2:1b",
            "OLLAMA_TOOL_MODEL=mistral", "LOCAL_LLM_FALLBACK=qwen2.5", "MLX_TOOL_MODEL=mlx/m-7b",
            "OLLAMA_TIMEOUT=60.0", "MLX_TIMEOUT=120", "LOG_LEVEL=INFO",
            "CORS_ORIGINS=[\"http://localhost:3000\", \"https://localhost:3000\"]",
            "LLM_ROUTER_LISTEN=127.0.0.1:1, [::1]:2", "OLLAMA_KEEP_ALIVE=-1", "HOME=/home/u"),
        NULL);
    assert_int_equal(c->snapshot->n_providers, 3);
    assert_string_equal(testing_provider(c, "anthropic")->key, "sk-1");
    assert_int_equal(testing_provider(c, "anthropic")->zone, ZONE_CLOUD);
    assert_int_equal(testing_provider(c, "ollama")->limits.total_ms, 60000);
    assert_int_equal(testing_provider(c, "mlx")->limits.total_ms, 120000);
    assert_int_equal(testing_provider(c, "mlx")->kind, PROVIDER_OPENAI);
    assert_false(c->snapshot->policy.fallback);
    assert_role(c, "general", "ollama/llama3.2 ollama/qwen2.5 mlx/ anthropic/claude-sonnet-5-5");
    assert_role(
        c, "fast",
        "ollama/llama3.2:1b ollama/llama3.2 ollama/qwen2.5 mlx/ anthropic/claude-sonnet-5-5");
    assert_role(c, "tools",
                "ollama/mistral mlx/mlx/m-7b ollama/llama3.2 ollama/qwen2.5 mlx/ "
                "anthropic/claude-sonnet-5-5");
    assert_string_equal(c->origins[1], "https://localhost:3000");
    assert_string_equal(c->listen[1], "[::1]:2");
    assert_string_equal(c->state_dir, "/home/u/.local/state/llm-router");
    testing_warns(
        c,
        "no local_networks are given: all private networks count as local, since an address comes "
        "from the environment; set LLM_ROUTER_LOCAL_NETWORKS to narrow it");
    assert_null(c->warnings->next);
    config_free(c);
}

static void airgap_leaves_the_cloud_out(void **state)
{
    (void)state;
    struct config *c = testing_good(
        NULL, ENV("ANTHROPIC_API_KEY=sk", "LLM_AIRGAP_MODE=on", "AIRGAP_MODE=true"), NULL);
    assert_null(testing_provider(c, "anthropic"));
    assert_role(c, "general", "ollama/");
    testing_warns(c, "the cloud provider anthropic is left out: airgap is on");
    config_free(c);
    /* no source takes it back */
    c = testing_good("airgap: true\n", ENV("ANTHROPIC_API_KEY=sk", "AIRGAP_MODE=false"),
                     ENV("airgap=false"));
    assert_true(c->snapshot->policy.airgap);
    assert_null(testing_provider(c, "anthropic"));
    testing_warns(
        c, "airgap: true from file line 1 stands; false from a stronger source is not heeded");
    config_free(c);
    c = testing_good("mode: local\n", ENV("ANTHROPIC_API_KEY=sk"), NULL);
    testing_warns(c, "the cloud provider anthropic is left out: mode is local");
    config_free(c);
}

static const struct {
    const char *a, *b, *text;
} pairs[] = {
    {"LLM_AIRGAP_MODE=true", "AIRGAP_MODE=false",
     "environment variable LLM_AIRGAP_MODE: is \"true\", but AIRGAP_MODE is \"false\" and means "
     "the same; set one of "
     "them, or both alike"},
    {"DEFAULT_PROVIDER=ollama", "LLM_DEFAULT_PROVIDER=mlx",
     "environment variable LLM_DEFAULT_PROVIDER: is \"mlx\", but DEFAULT_PROVIDER is \"ollama\" "
     "and means the same; "
     "set one of them, or both alike"},
    {"OLLAMA_MODEL=a", "LOCAL_LLM_MODEL=b",
     "environment variable OLLAMA_MODEL: is \"a\", but LOCAL_LLM_MODEL is \"b\" and means the "
     "same; set one of them, "
     "or both alike"},
    {"LOCAL_LLM_FAST_MODEL=a", "OLLAMA_FAST_MODEL=b",
     "environment variable OLLAMA_FAST_MODEL: is \"b\", but LOCAL_LLM_FAST_MODEL is \"a\" and "
     "means the same; set one "
     "of them, or both alike"},
    {"CLAUDE_MODEL=a", "ANTHROPIC_MODEL=b",
     "environment variable ANTHROPIC_MODEL: is \"b\", but CLAUDE_MODEL is \"a\" and means the "
     "same; set one of them, "
     "or both alike"},
    {"FALLBACK_ENABLED=1", "LLM_ENABLE_FALLBACK=yes", NULL},
    {"OLLAMA_TOOL_MODEL=a", "LOCAL_LLM_TOOL_MODEL=a", NULL},
    {"OLLAMA_TOOL_MODEL=a", "MLX_TOOL_MODEL=b", NULL}, /* different providers */
    {"OLLAMA_TOOL_MODEL=a", "LOCAL_LLM_TOOL_MODEL=  ", NULL},
    {"LLM_AIRGAP_MODE=maybe", "A=b",
     "environment variable LLM_AIRGAP_MODE: airgap: expected true or false, not \"maybe\""},
    {"OLLAMA_TIMEOUT=soon", "A=b",
     "environment variable OLLAMA_TIMEOUT: providers.ollama.total: expected a duration with its "
     "unit (500ms, 30s, 5m, "
     "1h) from 1ms to 24h, not \"soon\""},
    {"OLLAMA_URL=ollama:11434", "A=b",
     "environment variable OLLAMA_URL: providers.ollama.url: expected an address such as "
     "http://127.0.0.1:11434, "
     "without user, password, query or fragment"},
    {"OLLAMA_URL=http://8.8.8.8", "A=b",
     "environment variable OLLAMA_URL: providers.ollama.url: zone is local, but 8.8.8.8 is neither "
     "loopback nor in "
     "local_networks"},
    {"OLLAMA_FAST_MODEL=a b", "A=b",
     "environment variable OLLAMA_FAST_MODEL: expected a model's name"},
    {"CORS_ORIGINS=[\"*\"]", "A=b",
     "environment variable CORS_ORIGINS: origins: expected scheme://host or scheme://host:port "
     "(\"*\" and \"null\" "
     "are not accepted), not \"*\""},
    {"CORS_ORIGINS=[1]", "A=b",
     "environment variable CORS_ORIGINS: origins: expected a list: a, b or [\"a\", \"b\"]"},
    {"ANTHROPIC_API_KEY=a", "ANTHROPIC_API_KEY_FILE=/b",
     "environment variable ANTHROPIC_API_KEY_FILE: providers.anthropic: key_env and key_file are "
     "both given; keep one"},
    {"ANTHROPIC_API_KEY=a\001b", "A=b",
     "environment variable ANTHROPIC_API_KEY: providers.anthropic.key_env: the variable "
     "ANTHROPIC_API_KEY does not "
     "hold a key: visible ASCII characters only"},
};

static void names_for_one_thing_must_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (pairs[i].text != NULL)
            testing_bad(NULL, ENV(pairs[i].a, pairs[i].b), NULL, pairs[i].text);
        else
            config_free(testing_good(NULL, ENV(pairs[i].a, pairs[i].b), NULL));
    }
}

static void what_is_not_effective_is_said(void **state)
{
    (void)state;
    struct config *c =
        testing_good(NULL,
                     ENV("LLM_FOO=1", "LLM_ROUTER_CONFIG=", "SECRET_KEY=s", "LOG_FORMAT=text",
                         "LOCAL_LLM_TEMPERATURE=0.5", "MLX_DEFAULT_MODEL=m", "MLX_TOOL_MODEL=m",
                         "LLM_DEFAULT_PROVIDER=mlx", "RATE_LIMIT_ENABLED="),
                     NULL);
    static const char *const texts[] = {
        "MLX_DEFAULT_MODEL is not used: there is no provider mlx",
        "MLX_TOOL_MODEL is not used: there is no provider mlx",
        "LOG_FORMAT is not used: log lines are JSON always",
        "LOCAL_LLM_TEMPERATURE is not used yet",
        "the environment variable LLM_FOO is not known",
        "default_provider is not heeded: there is no provider mlx",
    };
    size_t n = 0;
    for (const struct config_warning *w = c->warnings; w != NULL; w = w->next) {
        assert_true(n < sizeof texts / sizeof *texts);
        assert_string_equal(w->text, texts[n++]);
    }
    assert_int_equal(n, sizeof texts / sizeof *texts);
    config_free(c);
}

#define FILE_WITH_ENGINE "providers: { engine: { kind: llama-server, spawn: { model: x.gguf } } }\n"

static void a_files_providers_are_its_own_business(void **state)
{
    (void)state;
    /* a cloud provider never comes from a variable, a local one does */
    struct config *c = testing_good(
        FILE_WITH_ENGINE "local_networks: [ 172.18.0.0/16 ]\n",
        ENV("ANTHROPIC_API_KEY=sk", "OLLAMA_URL=http://ollama:11434", "OLLAMA_MODEL=m"), NULL);
    assert_int_equal(c->snapshot->n_providers, 2);
    assert_string_equal(testing_provider(c, "ollama")->default_model, "m");
    assert_role(c, "general", "engine/x ollama/m");
    testing_warns(c, "ANTHROPIC_API_KEY is not used: no provider of the file names it");
    config_free(c);
    /* nor do the usual networks */
    c = testing_good(FILE_WITH_ENGINE, ENV("OLLAMA_URL=http://ollama:11434"), NULL);
    assert_null(c->warnings);
    config_free(c);
    testing_bad(FILE_WITH_ENGINE, ENV("OLLAMA_URL=http://10.0.0.1:11434"), NULL,
                "environment variable OLLAMA_URL: providers.ollama.url: zone is local, but "
                "10.0.0.1 is neither "
                "loopback nor in local_networks");
    /* roles */
    c = testing_good(FILE_WITH_ENGINE "roles: { general: engine/ }\n",
                     ENV("OLLAMA_URL=http://localhost:11434", "OLLAMA_FAST_MODEL=m"), NULL);
    assert_role(c, "general", "engine/");
    assert_role(c, "fast", "");
    testing_warns(c, "OLLAMA_FAST_MODEL is not used: the configuration file has its own roles");
    config_free(c);
    /* a variable moves the provider of its name, if it is the same kind of thing */
    c = testing_good("providers: { ollama: { kind: ollama, url: 'http://127.0.0.1:1' } }\n",
                     ENV("OLLAMA_URL=http://127.0.0.1:2"), NULL);
    assert_int_equal(testing_provider(c, "ollama")->upstream.url.port, 2);
    config_free(c);
    c = testing_good("providers: { ollama: { kind: openai, url: 'http://127.0.0.1:1' } }\n",
                     ENV("OLLAMA_URL=http://127.0.0.1:2"), NULL);
    assert_int_equal(testing_provider(c, "ollama")->upstream.url.port, 1);
    testing_warns(c, "OLLAMA_URL is not used: the provider ollama of the configuration file is not "
                     "of kind ollama");
    config_free(c);
}

static void keys_come_from_where_the_file_says(void **state)
{
    (void)state;
    static const char cloud[] = "providers:\n"
                                "  l: { kind: openai, url: 'http://127.0.0.1:1', key_env: MINE }\n"
                                "  a: { kind: anthropic }\n"
                                "  b: { kind: anthropic, key_env: OTHER }\n";
    struct config *c =
        testing_good(cloud, ENV("ANTHROPIC_API_KEY=one", "OTHER=two", "MINE=three"), NULL);
    assert_string_equal(testing_provider(c, "a")->key, "one");
    assert_string_equal(testing_provider(c, "b")->key, "two");
    assert_string_equal(testing_provider(c, "l")->key, "three");
    assert_null(c->warnings);
    config_free(c);

    c = testing_good(cloud, ENV("OTHER= ", "HOME=/"), NULL);
    assert_int_equal(c->snapshot->n_providers, 1);
    assert_null(testing_provider(c, "l")->key);
    testing_warns(c,
                  "providers.l: the variable MINE is not set; the provider is asked without a key");
    testing_warns(c, "the cloud provider a is left out: the variable ANTHROPIC_API_KEY is not set");
    testing_warns(c, "the cloud provider b is left out: the variable OTHER is not set");
    config_free(c);
}

static void the_command_line_wins(void **state)
{
    (void)state;
    struct config *c = testing_good(
        "listen: 127.0.0.1:1\nlog: { level: error }\n" FILE_WITH_ENGINE, ENV("LOG_LEVEL=debug"),
        ENV("log.level=warn", "listen=127.0.0.1:5,127.0.0.1:6", "providers.engine.spawn.slots=4",
            "providers.o.kind=ollama", "providers.o.url=http://localhost:9",
            "roles.fast=[\"o/x\",\"engine/\"]", "aliases.gpt-4.1=fast"));
    assert_int_equal(c->log_level, LOG_WARN);
    assert_string_equal(c->listen[1], "127.0.0.1:6");
    assert_int_equal(testing_provider(c, "engine")->limits.concurrency, 4);
    assert_int_equal(testing_provider(c, "o")->upstream.url.port, 9);
    assert_role(c, "fast", "o/x engine/");
    assert_string_equal(c->snapshot->policy.aliases[0].name, "gpt-4.1");
    config_free(c);
    /* who says providers there gets no other */
    c = testing_good(NULL, NULL,
                     ENV("providers.o.kind=ollama", "providers.o.url=http://localhost:9"));
    assert_int_equal(c->snapshot->n_providers, 1);
    config_free(c);
}

static void wrong_assignments_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *set, *text;
    } cases[] = {
        {"workers", "--set: expected option=value"},
        {"wrokers=1", "--set: unknown option \"wrokers\"; did you mean \"workers\"?"},
        {"workers=x", "--set: workers: expected a whole number from 0 to 64, not \"x\""},
        {"providers.a/b.kind=ollama", "--set: providers: expected a name of at most 63 letters, "
                                      "digits, - and _, other than \"auto\""},
        {"routes.easy=fast",
         "--set: routes: expected one of simple_query, explanation, documentation, "
         "code_generation, tool_calling, multi_step"},
        {"providers.x.kind=ollama",
         "--set: providers.x.url: is missing: the provider's base address"},
        {"state_dir=", "--set: state_dir: expected a path, not \"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        testing_bad(NULL, NULL, ENV(cases[i].set), cases[i].text);
}

static void folders_follow_the_environment(void **state)
{
    (void)state;
    struct config *c = testing_good(
        NULL,
        ENV("STATE_DIRECTORY=/var/lib/a:/b", "XDG_STATE_HOME=/x", "XDG_RUNTIME_DIR=/run/user/5"),
        NULL);
    assert_string_equal(c->state_dir, "/var/lib/a");
    assert_string_equal(c->runtime_dir, "/run/user/5/llm-router");
    config_free(c);
    c = testing_good(NULL, ENV("XDG_STATE_HOME=/x", "HOME=/h"), NULL);
    assert_string_equal(c->state_dir, "/x/llm-router");
    assert_string_equal(c->runtime_dir, "/x/llm-router/run");
    config_free(c);
    c = testing_good(NULL, ENV("A=b"), NULL);
    assert_string_equal(c->state_dir, "/var/lib/llm-router");
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_set_looks_for_ollama_here),
        cmocka_unit_test(the_schedulers_variables_are_a_configuration),
        cmocka_unit_test(airgap_leaves_the_cloud_out),
        cmocka_unit_test(names_for_one_thing_must_agree),
        cmocka_unit_test(what_is_not_effective_is_said),
        cmocka_unit_test(a_files_providers_are_its_own_business),
        cmocka_unit_test(keys_come_from_where_the_file_says),
        cmocka_unit_test(the_command_line_wins),
        cmocka_unit_test(wrong_assignments_are_refused),
        cmocka_unit_test(folders_follow_the_environment),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    provider_cells_free();
    return failed;
}
