/* SPDX-License-Identifier: Apache-2.0 */
/* command: tables of command lines; that the tables make sense; addresses; manual pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>

#include "app/command.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct command *named(const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    fail_msg("there is no command %s", name);
    return NULL;
}

/* ---- the tables ---- */

static void flags_have_names_of_their_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLAGS; i++) {
        assert_non_null(flag_rows[i].name);
        assert_non_null(flag_rows[i].doc);
        for (size_t k = 0; k < i; k++) {
            assert_true(flag_rows[i].letter == 0 || flag_rows[i].letter != flag_rows[k].letter);
            if (strcmp(flag_rows[i].name, flag_rows[k].name) != 0)
                continue;
            for (size_t c = 0; c < n_commands; c++) /* each may mean its own by a name */
                assert_true((commands[c].flags & FLAG_BIT(i)) == 0 ||
                            (commands[c].flags & FLAG_BIT(k)) == 0);
        }
    }
}

static void commands_are_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_commands; i++) {
        const struct command *c = &commands[i];
        assert_non_null(c->run);
        assert_true(c->words_min <= c->words_max);
        assert_true(c->words_max == 0 || c->usage[0] != '\0');
        assert_true(c->summary[0] != '\0' && !isupper((unsigned char)c->summary[0]));
        assert_true(c->summary[strlen(c->summary) - 1] != '.');
    }
}

/* ---- command lines ---- */

static void parses_command_lines(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        const char *args[8];
        int status;
        enum flag flag; /* HELP: none is looked at */
        const char *value;
        size_t words;
        const char *last;
    } cases[] = {
        {"ask", {NULL}, EXIT_OK, FLAG_HELP, NULL, 0, NULL},
        {"ask", {"why?"}, EXIT_OK, FLAG_HELP, NULL, 1, "why?"},
        {"ask", {"-"}, EXIT_OK, FLAG_HELP, NULL, 1, "-"},
        {"ask", {"why?", "-"}, EXIT_OK, FLAG_HELP, NULL, 2, "-"},
        {"ask", {"why?", "-", "x"}, EXIT_USAGE, FLAG_HELP, NULL, 3, NULL},
        {"ask", {"--model", "m", "why?"}, EXIT_OK, FLAG_MODEL, "m", 1, "why?"},
        {"ask", {"--model=m", "why?"}, EXIT_OK, FLAG_MODEL, "m", 1, "why?"},
        {"ask", {"--model=", "why?"}, EXIT_OK, FLAG_MODEL, "", 1, "why?"},
        {"ask", {"-m", "m", "why?"}, EXIT_OK, FLAG_MODEL, "m", 1, "why?"},
        {"ask", {"-mm", "why?"}, EXIT_OK, FLAG_MODEL, "m", 1, "why?"},
        {"ask", {"why?", "-m", "m"}, EXIT_OK, FLAG_MODEL, "m", 1, "why?"},
        {"ask", {"-m", "a", "-m", "b"}, EXIT_OK, FLAG_MODEL, "b", 0, NULL},
        {"ask", {"-m", "--json"}, EXIT_OK, FLAG_MODEL, "--json", 0, NULL},
        {"ask", {"--max-tokens", "7"}, EXIT_OK, FLAG_MAX_TOKENS, "7", 0, NULL},
        {"ask", {"-p"}, EXIT_OK, FLAG_PRIVATE, "", 0, NULL},
        {"ask", {"--private"}, EXIT_OK, FLAG_PRIVATE, "", 0, NULL},
        {"ask", {"--mode", "local"}, EXIT_OK, FLAG_MODE, "local", 0, NULL},
        {"ask", {"--", "-p"}, EXIT_OK, FLAG_PRIVATE, NULL, 1, "-p"},
        {"ask", {"--", "--"}, EXIT_OK, FLAG_PRIVATE, NULL, 1, "--"},
        {"ask", {""}, EXIT_OK, FLAG_HELP, NULL, 1, ""},
        {"ask", {"--private=yes"}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL},
        {"ask", {"--privat"}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL},
        {"ask", {"--privately"}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL},
        {"ask", {"-px"}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL},
        {"ask", {"-x"}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL},
        {"ask", {"--model"}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL},
        {"ask", {"-m"}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL},
        {"ask", {"--sample"}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL}, /* check's */
        {"check", {"--sample"}, EXIT_OK, FLAG_SAMPLE, "", 0, NULL},
        {"check", {"-c", "f"}, EXIT_OK, FLAG_CONFIG, "f", 0, NULL},
        {"check", {"f"}, EXIT_USAGE, FLAG_HELP, NULL, 1, NULL},
        {"serve", {"now"}, EXIT_USAGE, FLAG_HELP, NULL, 1, NULL},
        {"serve", {"now", "--help"}, EXIT_OK, FLAG_HELP, "", 1, "now"},
        {"explain", {NULL}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL},
        {"explain", {"-h"}, EXIT_OK, FLAG_HELP, "", 0, NULL},
        {"pull", {"--missing"}, EXIT_OK, FLAG_MISSING, "", 0, NULL},
        {"health", {"--ready"}, EXIT_OK, FLAG_READY, "", 0, NULL},
        {"health", {"me"}, EXIT_USAGE, FLAG_HELP, NULL, 1, NULL},
        {"pull", {"m", "n"}, EXIT_USAGE, FLAG_HELP, NULL, 2, NULL},
        {"pull", {"--provider", "p", "m"}, EXIT_OK, FLAG_PROVIDER, "p", 1, "m"},
        {"keys", {NULL}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL},
        {"keys", {"add", "me"}, EXIT_OK, FLAG_HELP, NULL, 2, "me"},
        {"keys", {"add", "me", "--rpm", "60"}, EXIT_OK, FLAG_RULE_RPM, "60", 2, "me"},
        {"keys", {"add", "me", "--mode=local"}, EXIT_OK, FLAG_RULE_MODE, "local", 2, "me"},
        {"keys", {"add", "me", "--private", "yes"}, EXIT_OK, FLAG_RULE_PRIVATE, "yes", 2, "me"},
        {"keys", {"add", "me", "--rpm"}, EXIT_USAGE, FLAG_HELP, NULL, 2, NULL},
        {"ask", {"--rpm", "60", "why?"}, EXIT_USAGE, FLAG_HELP, NULL, 0, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cli cli = {.command = named(cases[i].command)};
        const char *words[8];
        char *argv[8] = {0};
        int argc = 0;
        for (; argc < 8 && cases[i].args[argc] != NULL; argc++)
            argv[argc] = (char *)(uintptr_t)cases[i].args[argc];
        assert_int_equal(command_parse(&cli, argc, argv, words), cases[i].status);
        assert_true(cases[i].status != EXIT_OK || cli.n_words == cases[i].words);
        if (cases[i].last != NULL)
            assert_string_equal(cli.words[cli.n_words - 1], cases[i].last);
        if (cases[i].value != NULL)
            assert_string_equal(cli.flags[cases[i].flag], cases[i].value);
        else
            assert_null(cli.flags[cases[i].flag]);
    }
}

static void keeps_every_set_and_refuses_too_many(void **state)
{
    (void)state;
    char text[] = "workers=1", set[] = "--set";
    char *argv[2 * 80];
    const char *words[2 * 80];
    for (size_t i = 0; i < COUNT(argv); i += 2) {
        argv[i] = set;
        argv[i + 1] = text;
    }
    struct cli cli = {.command = named("check")};
    assert_int_equal(command_parse(&cli, 2 * 63, argv, words), EXIT_OK);
    assert_int_equal(cli.n_set, 63);
    assert_string_equal(cli.set[62], text);
    assert_null(cli.set[63]);
    cli = (struct cli){.command = named("check")};
    assert_int_equal(command_parse(&cli, 2 * 64, argv, words), EXIT_USAGE);
}

/* ---- addresses ---- */

static void listen_addresses_become_urls(void **state)
{
    (void)state;
    static const struct {
        const char *listen, *url; /* NULL: does not tell */
    } cases[] = {
        {"127.0.0.1:8484", "http://127.0.0.1:8484"},
        {"0.0.0.0:8484", "http://127.0.0.1:8484"},
        {"*:8484", "http://127.0.0.1:8484"},
        {":8484", "http://127.0.0.1:8484"},
        {"[::]:80", "http://[::1]:80"},
        {"[::1]:80", "http://[::1]:80"},
        {"[fd00::7]:80", "http://[fd00::7]:80"},
        {"10.0.0.5:1", "http://10.0.0.5:1"},
        {"localhost:8484", "http://localhost:8484"},
        {"unix:/run/x.sock", "unix:/run/x.sock"},
        {"tls:0.0.0.0:8443", "https://127.0.0.1:8443"},
        {"tls:10.0.0.5:443", "https://10.0.0.5:443"},
        {"127.0.0.1:0", NULL},
        {"nothing", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char url[128];
        assert_int_equal(command_url(cases[i].listen, url, sizeof url), cases[i].url != NULL);
        if (cases[i].url != NULL)
            assert_string_equal(url, cases[i].url);
    }
    char small[8];
    assert_false(command_url("127.0.0.1:8484", small, sizeof small));
    assert_false(command_url("unix:/run/x.sock", small, sizeof small));
}

/* ---- manual pages ---- */

static void every_command_has_a_page(void **state)
{
    (void)state;
    const char *names[64] = {NULL, "llm-router", "llm-router.yaml"};
    size_t n = 3;
    for (size_t i = 0; i < n_commands; i++)
        names[n++] = commands[i].name;
    for (size_t i = 0; i < n; i++) {
        struct buf b;
        buf_init(&b, (size_t)1 << 20);
        assert_true(command_manual(names[i], &b));
        strv rest = buf_view(&b), line;
        assert_true(strv_starts(rest, STRV(".\\\" ")));
        while (
            strv_cut(&rest, '\n', &line)) /* groff warns about neither; readers of the source do */
            assert_true(line.len == 0 || line.ptr[line.len - 1] != ' ');
        buf_fini(&b);
    }
    struct buf b;
    buf_init(&b, (size_t)1 << 20);
    assert_false(command_manual("nothing", &b));
    buf_fini(&b);
}

static void a_page_survives_refused_memory(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct buf b;
        buf_init(&b, (size_t)1 << 20);
        mem_fail_at(nth, true);
        bool ok = command_manual("ask", &b);
        uint64_t asked = mem_count();
        mem_fail_at(0, false);
        assert_true(ok == (asked < nth));
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_have_names_of_their_own),
        cmocka_unit_test(commands_are_complete),
        cmocka_unit_test(parses_command_lines),
        cmocka_unit_test(keeps_every_set_and_refuses_too_many),
        cmocka_unit_test(listen_addresses_become_urls),
        cmocka_unit_test(every_command_has_a_page),
        cmocka_unit_test(a_page_survives_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
