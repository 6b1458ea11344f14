/* SPDX-License-Identifier: Apache-2.0 */
/* options_test - the table is sound; values are read strictly and written so that they can be read. */
#include "config/testing.h"

static struct value parse(const char *path, const char *text, struct arena *arena, bool *ok)
{
    strv name, item = strv_of(text);
    struct value v;
    char why[OPTION_WHY_MAX];
    const struct option *o = option_find(strv_of(path), &name);
    assert_non_null(o);
    *ok = option_parse(o, &item, 1, arena, &v, why);
    assert_true(*ok || why[0] != '\0');
    return v;
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *path, *text;
        uint64_t value;
        const char *printed; /* NULL = refused */
    } cases[] = {
        {"drain", "1ms", 1, "1ms"},
        {"drain", "1.5s", 1500, "1500ms"},
        {"drain", "0.25m", 15000, "15s"},
        {"drain", "90s", 90000, "90s"},
        {"drain", "60s", 60000, "1m"},
        {"drain", "24h", 86400000, "24h"},
        {"drain", "30 s", 30000, "30s"},
        {"drain", "24.1h", 0, NULL},
        {"drain", "0.5ms", 0, NULL},
        {"drain", "30", 0, NULL},
        {"drain", "s", 0, NULL},
        {"drain", "", 0, NULL},
        {"drain", "-1s", 0, NULL},
        {"drain", "+1s", 0, NULL},
        {"drain", "1e3s", 0, NULL},
        {"drain", "1..5s", 0, NULL},
        {"drain", "1S", 0, NULL},
        {"drain", "1s ", 1000, "1s"},
        {"drain", "99999999999999999999999999h", 0, NULL},
        {"server.max_body", "1KiB", 1024, "1KiB"},
        {"server.max_body", "2048B", 2048, "2KiB"},
        {"server.max_body", "1.5MiB", 1572864, "1536KiB"},
        {"server.max_body", "1GiB", 1073741824, "1GiB"},
        {"server.max_body", "1025MiB", 0, NULL},
        {"server.max_body", "1023B", 0, NULL},
        {"server.max_body", "1MB", 0, NULL},
        {"server.max_body", "1024", 0, NULL},
        {"workers", "0", 0, "0"},
        {"workers", "64", 64, "64"},
        {"workers", "0x10", 0, NULL},
        {"workers", " 1", 0, NULL},
        {"airgap", "TRUE", 1, "true"},
        {"airgap", "oN", 1, "true"},
        {"airgap", "0", 0, "false"},
        {"airgap", "No", 0, "false"},
        {"airgap", "2", 0, NULL},
        {"airgap", "", 0, NULL},
        {"log.level", "WARNING", LOG_WARN, "warn"},
        {"log.level", "critical", LOG_ERROR, "error"},
        {"log.level", "verbose", 0, NULL},
        {"providers.x.kind", "llama-server", PROVIDER_LLAMA_SERVER, "llama-server"},
        {"providers.x.kind", "llama_server", 0, NULL},
    };
    struct arena arena;
    struct buf out;
    arena_init(&arena, 4096, 1 << 20);
    buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strv name;
        bool ok;
        struct value v = parse(cases[i].path, cases[i].text, &arena, &ok);
        if (ok != (cases[i].printed != NULL) || (ok && v.number != cases[i].value))
            fail_msg("%s \"%s\"", cases[i].path, cases[i].text);
        if (!ok)
            continue;
        buf_clear(&out);
        option_print_value(option_find(strv_of(cases[i].path), &name), &v, &out);
        if (!strv_eq_cstr(buf_view(&out), cases[i].printed))
            fail_msg("%s %.*s", cases[i].printed, (int)buf_len(&out), buf_view(&out).ptr);
    }
    buf_fini(&out);
    arena_fini(&arena);
}

static void forms(void **state)
{
    (void)state;
    static const struct {
        const char *path, *text;
        bool ok;
    } cases[] = {
        {"listen", "0.0.0.0:80", true},
        {"listen", "localhost:0", true},
        {"listen", "127.0.0.1", false},
        {"local_networks", "10.0.0.0/8", true},
        {"local_networks", "10.0.0.0/7", false},
        {"local_networks", "fc00::/7", true},
        {"local_networks", "::/0", false},
        {"local_networks", "10.0.0.1", true},
        {"local_networks", "169.254.0.0/16", false},
        {"local_networks", "fe80::/64", false},
        {"local_networks", "10.0.0.0/33", false},
        {"local_networks", "name/8", false},
        {"local_networks", "/8", false},
        {"providers.a.url", "https://h/v1", true},
        {"providers.a.url", "unix:/x", true},
        {"providers.a.url", "unix:x", false},
        {"providers.a.url", "ftp://h", false},
        {"providers.a.url", "http://u:p@h", false},
        {"providers.a.url", "http://h/?q", false},
        {"providers.a.key_env", "A_1", true},
        {"providers.a.key_env", "1A", false},
        {"providers.a.key_env", "sk-x", false},
        {"origins", "http://localhost:3000", true},
        {"origins", "chrome-extension://abc", true},
        {"origins", "null", false},
        {"origins", "http://h/path", false},
        {"origins", "://h", false},
        {"hosts", "a.b:80", true},
        {"hosts", "a/b", false},
        {"roles.x", "ollama/", true},
        {"roles.x", "/m", false},
        {"roles.x", "a b", false},
        {"providers.a.spawn.args", "--host=0.0.0.0", false},
        {"providers.a.spawn.args", "--hf-repo", false},
        {"providers.a.spawn.args", "--hostile", true},
        {"state_dir", "a\nb", false},
        {"state_dir", "\xff", false},
        {"state_dir", "/sp ace", true},
    };
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool ok;
        parse(cases[i].path, cases[i].text, &arena, &ok);
        if (ok != cases[i].ok)
            fail_msg("%s \"%s\"", cases[i].path, cases[i].text);
    }
    arena_fini(&arena);
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *row, *name;
    } cases[] = {
        {"workers", "workers", NULL},
        {"log.level", "log.level", NULL},
        {"providers.a.idle", "providers.*.idle", "a"},
        {"providers.a.spawn.model", "providers.*.spawn.model", "a"},
        {"aliases.gpt-4.1*", "aliases.*", "gpt-4.1*"},
        {"roles.fast", "roles.*", "fast"},
        {"providers.a.b.idle", NULL, NULL},
        {"providers..idle", NULL, NULL},
        {"providers.idle", NULL, NULL},
        {"providers.a", NULL, NULL},
        {"roles.", NULL, NULL},
        {"roles", NULL, NULL},
        {"log", NULL, NULL},
        {"", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strv name;
        const struct option *o = option_find(strv_of(cases[i].path), &name);
        if ((o != NULL) != (cases[i].row != NULL) ||
            (o != NULL &&
             (strcmp(o->path, cases[i].row) != 0 || !strv_eq(name, strv_of(cases[i].name)))))
            fail_msg("%s", cases[i].path);
    }
    assert_true(option_is_section(STRV("")));
    assert_true(option_is_section(STRV("providers")));
    assert_true(option_is_section(STRV("providers.*")));
    assert_true(option_is_section(STRV("providers.*.spawn")));
    assert_false(option_is_section(STRV("provider")));
    assert_false(option_is_section(STRV("workers")));
    assert_false(option_is_section(STRV("roles.*")));
}

static void hints(void **state)
{
    (void)state;
    static const struct {
        const char *path, *key, *hint;
    } cases[] = {
        {"", "provider", "did you mean \"providers\"?"},
        {"", "AIRGAP", "did you mean \"airgap\"?"},
        {"providers.*", "concurency", "did you mean \"concurrency\"?"},
        {"providers.*", "URL", "did you mean \"url\"?"},
        {"keys", "xyz", "known here: require"},
        {"server", "zzzzzzzzzzzzzz",
         "known here: max_body, max_header, max_connections, max_unsent, head_timeout, "
         "body_timeout, "
         "keepalive_timeout, write_timeout"},
    };
    char hint[160];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        option_hint(strv_of(cases[i].path), strv_of(cases[i].key), hint, sizeof hint);
        assert_string_equal(hint, cases[i].hint);
    }
    for (size_t size = 32; size < 160; size++) { /* never more than there is room for */
        char *exact = malloc(size);
        option_hint(STRV(""), STRV("zzzzzzzzzzzz"), exact, size);
        assert_true(strlen(exact) < size);
        free(exact);
    }
}

static void lists_in_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *items;
        size_t n;
    } cases[] = {
        {"a", "a", 1},
        {" a , b ", "a|b", 2},
        {"", "", 0},
        {",,", "", 0},
        {"[]", "", 0},
        {"[\"a\", \"b,c\"]", "a|b,c", 2},
        {"[::1]:2,b", "[::1]:2|b", 2},
    };
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n;
        char text[64] = "";
        strv *items = option_split(strv_of(cases[i].text), &arena, &n);
        assert_non_null(items);
        assert_int_equal(n, cases[i].n);
        for (size_t k = 0; k < n; k++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.*s", k != 0 ? "|" : "",
                     (int)items[k].len, items[k].ptr);
        assert_string_equal(text, cases[i].items);
    }
    static const char *const bad[] = {"[1]", "[\"a\"", "[a]", "[[\"a\"]]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t n;
        strv *items = option_split(strv_of(bad[i]), &arena, &n);
        assert_true(items == NULL || bad[i][strlen(bad[i]) - 1] != ']');
    }
    arena_fini(&arena);
}

/* What the rows promise each other. */
static void the_table_is_sound(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    for (size_t i = 0; i < options_count; i++) {
        const struct option *o = &options[i];
        char why[OPTION_WHY_MAX];
        struct value v;
        assert_true(option_row(o->path) == o); /* once only */
        assert_true(o->min <= o->max);
        assert_true(strlen(o->doc) > 10 && o->doc[strlen(o->doc) - 1] == '.');
        assert_true((o->type == OPT_WORD) == (o->form->words != NULL));
        const char *texts[] = {o->initial, o->example, option_kind_default(o, PROVIDER_OLLAMA),
                               option_kind_default(o, PROVIDER_ANTHROPIC),
                               option_kind_default(o, PROVIDER_LLAMA_SERVER)};
        bool any = false;
        for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
            strv item = strv_of(texts[t]);
            any |= texts[t] != NULL;
            if (texts[t] != NULL && !option_parse(o, &item, 1, &arena, &v, why))
                fail_msg("%s: %s", o->path, why);
        }
        assert_true(any);
    }
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(forms),
        cmocka_unit_test(paths),
        cmocka_unit_test(hints),
        cmocka_unit_test(lists_in_one_line),
        cmocka_unit_test(the_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
