/* SPDX-License-Identifier: Apache-2.0 */
/* print_test - what is printed can be read again; sample and manual hold every option; no secret in any. */
#include "config/testing.h"

#define FULL                                                                                       \
    "listen: [ 127.0.0.1:1, '[::1]:2' ]\n"                                                         \
    "local_networks: [ 10.0.0.0/24 ]\n"                                                            \
    "providers:\n"                                                                                 \
    "  o: { kind: ollama, url: 'http://10.0.0.3:11434', idle: 1500ms, num_ctx: 8192 }\n"           \
    "  a: { kind: anthropic, default_model: 'claude-\"x\\' }\n"                                    \
    "  e: { kind: llama-server, spawn: { model: /m.gguf, args: [ '-fa', 'on' ] } }\n"              \
    "roles: { fast: [ o/, a/ ], 'no': [ e/ ] }\n"                                                  \
    "aliases: { 'gpt-4.1*': fast, '-x:#': [ fast ] }\n"                                            \
    "routes: { simple_query: fast }\n"                                                             \
    "hosts: [ llm.example.org ]\n"

static const char *const with_key[] = {"HOME=/h", "ANTHROPIC_API_KEY=sk-ant-geheim", NULL};

static const char *printed(const struct config *c, struct buf *out)
{
    assert_true(config_print(c, out));
    assert_true(buf_put_char(out, '\0'));
    return buf_view(out).ptr;
}

/* Every setting of one is in the other. */
static void assert_covers(const struct config *ca, const struct config *cb)
{
    const struct whole *a = list_entry(ca, struct whole, config),
                       *b = list_entry(cb, struct whole, config);
    for (const struct setting *s = a->settings; s != NULL; s = s->next) {
        char path[280];
        const struct setting *t = setting_find(b, s->option, s->name);
        if (t == NULL || !value_equal(s->option, &s->value, &t->value))
            fail_msg("%s differs", setting_path(s->option, s->name, path, sizeof path));
    }
    assert_int_equal(ca->snapshot->n_providers, cb->snapshot->n_providers);
}

static void round_trip(const char *yaml, const char *const *environment)
{
    struct buf first, second;
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    struct config *a = testing_good(yaml, environment, NULL);
    const char *text = printed(a, &first);
    if (strstr(text, "geheim") != NULL)
        fail_msg("a secret is printed:\n%s", text);
    struct config *b = testing_good(text, environment, NULL);
    assert_covers(a, b);
    assert_covers(b, a);
    config_free(b);
    config_free(a);
    buf_fini(&first);
    buf_fini(&second);
}

static void what_is_printed_can_be_read(void **state)
{
    (void)state;
    round_trip(FULL, with_key);
    round_trip(FULL, NULL);
    round_trip("airgap: true\n" FULL, with_key);
    round_trip(NULL, NULL);
    round_trip(NULL, with_key);
    round_trip(NULL, TESTING_LIST("HOME=/h", "MLX_URL=http://x:1", "MLX_TOOL_MODEL=a/b"));
}

static void origins_stand_beside_the_values(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "listen: [\"127.0.0.1:1\", \"[::1]:2\"]              # file line 1\n",
        "workers: 2                                      # command line\n",
        "state_dir: \"/h/.local/state/llm-router\"         # default\n",
        "  o:\n",
        "    idle: 1500ms                                # file line 4\n",
        "    key_env: \"ANTHROPIC_API_KEY\"                # default; holds ***\n",
        "    spawn:\n      model: \"/m.gguf\"                          # file line 6\n",
        "  \"no\": [\"e/\"]                                  # file line 7\n",
        "  general: [\"o/\", \"e/m\", \"a/claude-\\\"x\\\\\"]      # default: every provider's "
        "default model\n",
        "log:\n  level: error                                  # command line (instead of "
        "environment LOG_LEVEL)\n",
    };
    struct buf out;
    buf_init(&out, 1 << 20);
    struct config *c = testing_good(
        FULL, TESTING_LIST("HOME=/h", "ANTHROPIC_API_KEY=sk-ant-geheim", "LOG_LEVEL=warn"),
        TESTING_LIST("workers=2", "log.level=error"));
    const char *text = printed(c, &out);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (strstr(text, lines[i]) == NULL)
            fail_msg("%s is not in\n%s", lines[i], text);
    }
    config_free(c);
    buf_clear(&out);
    c = testing_good("airgap: on\n" FULL, NULL, NULL);
    assert_non_null(
        strstr(printed(c, &out),
               "  a:                                            # left out: airgap is on\n"));
    config_free(c);
    buf_fini(&out);
}

static void no_buffer_is_large_enough(void **state)
{
    (void)state;
    struct config *c = testing_good(FULL, NULL, NULL);
    for (size_t max = 0; max < 200; max += 7) {
        struct buf out;
        buf_init(&out, max);
        assert_false(config_print(c, &out));
        buf_clear(&out);
        assert_false(config_sample(&out));
        buf_clear(&out);
        assert_false(config_manual(&out));
        buf_clear(&out);
        assert_false(config_manual_environment(&out));
        buf_fini(&out);
    }
    config_free(c);
}

/* Lines that begin with # and no blank, switched on. */
static void switch_on(char *text)
{
    char *to = text;
    bool line_begins = true;
    for (char *from = text; *from != '\0'; from++) {
        if (line_begins && *from == '#' && from[1] != ' ' && from[1] != '\n')
            continue;
        line_begins = *from == '\n' || (line_begins && *from == ' ');
        *to++ = *from;
    }
    *to = '\0';
}

static void the_sample_is_a_file(void **state)
{
    (void)state;
    struct buf out;
    struct err err;
    buf_init(&out, 1 << 20);
    assert_true(config_sample(&out));
    assert_true(buf_put_char(&out, '\0'));
    char *text = out.data + out.start;

    struct config *c = testing_good(text, NULL, NULL);
    assert_int_equal(c->snapshot->n_providers, 1);
    config_free(c);

    /* with everything switched on it is YAML, every key is known, every value is right; only that one
     * provider has the options of all kinds is wrong */
    switch_on(text);
    c = testing_load(text, NULL, NULL, &err);
    assert_null(c);
    if (strstr(err.text, "a provider of kind ollama does not have this option") == NULL)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < options_count; i++) {
        char key[128];
        const char *dot = strrchr(options[i].path, '.');
        const char *segment = dot != NULL ? dot + 1 : options[i].path;
        snprintf(key, sizeof key, "%s: ", segment);
        assert_true(strcmp(segment, "*") == 0 || strstr(text, key) != NULL);
    }
    buf_fini(&out);
}

static void the_manual_has_every_option(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_true(config_manual(&out));
    assert_true(buf_put_char(&out, '\0'));
    const char *text = buf_view(&out).ptr;
    assert_non_null(strstr(text, ".TP\n.B providers.*.concurrency\n"));
    assert_non_null(strstr(text, "Default: 120s; for ollama 300s; for anthropic 60s.\n"));
    assert_null(strstr(text, "\n.\n"));
    assert_null(strstr(text, "\n'"));
    buf_clear(&out);
    assert_true(config_manual_environment(&out));
    assert_true(buf_put_char(&out, '\0'));
    assert_non_null(strstr(buf_view(&out).ptr, ".TP\n.B OLLAMA_URL\n"));
    buf_fini(&out);
}

static void restarts(void **state)
{
    (void)state;
    struct config *a = testing_good(FULL, NULL, NULL);
    struct config *b = testing_good(FULL "log: { level: warn }\n", NULL, NULL);
    const char *const *names = config_needs_restart(a, b);
    assert_non_null(names);
    assert_null(names[0]);
    config_free(b);
    b = testing_good("providers:\n"
                     "  o: { kind: ollama, url: 'http://127.0.0.1:11434' }\n"
                     "  f: { kind: llama-server, spawn: { model: /m.gguf } }\n",
                     NULL, TESTING_LIST("workers=9"));
    names = config_needs_restart(a, b);
    static const char *const expected[] = {"workers",
                                           "listen",
                                           "providers.f.spawn.model",
                                           "providers.f.spawn.slots",
                                           "providers.e.spawn.model",
                                           "providers.e.spawn.args"};
    for (size_t e = 0; e < sizeof expected / sizeof *expected; e++) {
        bool found = false;
        for (size_t i = 0; names[i] != NULL; i++)
            found |= strcmp(names[i], expected[e]) == 0;
        if (!found)
            fail_msg("%s is missing", expected[e]);
    }
    config_free(a);
    config_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_can_be_read),
        cmocka_unit_test(origins_stand_beside_the_values),
        cmocka_unit_test(no_buffer_is_large_enough),
        cmocka_unit_test(the_sample_is_a_file),
        cmocka_unit_test(the_manual_has_every_option),
        cmocka_unit_test(restarts),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    provider_cells_free();
    return failed;
}
