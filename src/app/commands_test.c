/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands: whole command lines in this process, each again with the n-th allocation refused. A command may
 * fail then, but with a status of its table, and it gives back all it took.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/command.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static char dir[] = "/tmp/llm-router-test-XXXXXX";
static char file[64], file2[64];

static int make_files(void **state)
{
    static const char text[] =
        "providers:\n"
        "  near: { kind: openai, url: \"http://127.0.0.1:1/v1\", models: [ a, b ] }\n"
        "  far: { kind: openai, url: \"https://far.invalid/v1\", zone: cloud,\n"
        "         models: [ c ] }\n"
        "mode: local\n"
        "roles: { general: [ near/a, far/c, near/b ] }\n"
        "aliases: { \"claude-*\": [ general ] }\n";
    (void)state;
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(file, sizeof file, "%s/c.yaml", dir);
    FILE *f = fopen(file, "w");
    if (f == NULL)
        return 1;
    snprintf(file2, sizeof file2, "%s/d.yaml", dir);
    FILE *other = fopen(file2, "w");
    if (other == NULL)
        return 1;
    fputs("providers: { idle: { kind: ollama, url: \"http://127.0.0.1:1\" } }\n", other);
    fclose(other);
    fprintf(f, "%sstate_dir: \"%s/state\"\nruntime_dir: \"%s/run\"\n", text, dir, dir);
    return fclose(f);
}

static int remove_files(void **state)
{
    static const char *const names[] = {"c.yaml", "d.yaml", "state/llm-router.db",
                                        "state/llm-router.db-wal", "state/llm-router.db-shm"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/state", dir);
    rmdir(path);
    return rmdir(dir);
}

/* Both outputs go nowhere meanwhile: they are the test's own report. */
static int run_quietly(char **argv)
{
    int argc = 0, out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    while (argv[argc] != NULL)
        argc++;
    fflush(stdout);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    int status = command_main(argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(nowhere);
    close(out);
    close(err);
    return status;
}

static int run_words(const char *const *words)
{
    char *argv[12], copies[12][96];
    size_t n = 0;
    for (; words[n] != NULL; n++) {
        snprintf(copies[n], sizeof copies[n], "%s",
                 strcmp(words[n], "FILE") == 0    ? file
                 : strcmp(words[n], "FILE2") == 0 ? file2
                                                  : words[n]);
        argv[n] = copies[n];
    }
    argv[n] = NULL;
    return run_quietly(argv);
}

static const struct {
    const char *words[10];
    int status;
} lines[] = {
    {{"llm-router", "version"}, EXIT_OK},
    {{"llm-router", "help"}, EXIT_OK},
    {{"llm-router", "manpage"}, EXIT_OK},
    {{"llm-router", "manpage", "llm-router.yaml"}, EXIT_OK},
    {{"llm-router", "check", "--sample"}, EXIT_OK},
    {{"llm-router", "check", "-c", "FILE"}, EXIT_OK},
    {{"llm-router", "check", "-c", "FILE", "--set", "workers=x"}, EXIT_USAGE},
    {{"llm-router", "explain", "-c", "FILE", "--offline", "Hi"}, EXIT_OK},
    {{"llm-router", "explain", "-c", "FILE", "--offline", "--json", "-p", "Hi"}, EXIT_OK},
    {{"llm-router", "explain", "-c", "FILE", "--offline", "-m", "far/c", "Hi"}, EXIT_REFUSED},
    {{"llm-router", "explain", "-c", "FILE", "--offline", "--request", "FILE"}, EXIT_USAGE},
    {{"llm-router", "doctor", "-c", "FILE", "--offline"}, EXIT_OK},
    {{"llm-router", "doctor", "-c", "FILE", "--offline", "--json"}, EXIT_OK},
    {{"llm-router", "models", "-c", "FILE"}, EXIT_UNREACHABLE},
    {{"llm-router", "models", "-c", "FILE", "--json"}, EXIT_UNREACHABLE},
    {{"llm-router", "pull", "-c", "FILE", "m"}, EXIT_USAGE}, /* nobody who could */
    {{"llm-router", "pull", "-c", "FILE", "near/m"}, EXIT_USAGE},
    {{"llm-router", "pull", "-c", "FILE", "--provider", "nobody", "m"}, EXIT_USAGE},
    {{"llm-router", "pull", "-c", "FILE", "--set", "airgap=true", "m"}, EXIT_FAILED},
    {{"llm-router", "pull", "-c", "FILE2", "m"}, EXIT_FAILED},
    {{"llm-router", "pull", "-c", "FILE2", "--json", "idle/m"}, EXIT_FAILED},
    {{"llm-router", "ask", "-c", "FILE", "--url", "http://127.0.0.1:1", "Hi"}, EXIT_UNREACHABLE},
    {{"llm-router", "keys", "-c", "FILE", "list"}, EXIT_OK},
    {{"llm-router", "keys", "-c", "FILE", "add", "me"}, EXIT_OK},
    {{"llm-router", "keys", "-c", "FILE", "add", "you", "--rpm", "60", "--json"}, EXIT_OK},
    {{"llm-router", "keys", "-c", "FILE", "add", "you", "--rpm", "0"}, EXIT_USAGE},
    {{"llm-router", "keys", "-c", "FILE", "list", "--json"}, EXIT_OK},
    {{"llm-router", "keys", "-c", "FILE", "list", "--rpm", "60"}, EXIT_USAGE},
    {{"llm-router", "keys", "-c", "FILE", "edit", "k_nothere"}, EXIT_USAGE}, /* nothing to do */
    {{"llm-router", "keys", "-c", "FILE", "edit", "k_nothere", "--rpm", "60"}, EXIT_FAILED},
    {{"llm-router", "keys", "-c", "FILE", "revoke", "k_nothere"}, EXIT_FAILED},
    {{"llm-router", "bundle", "keygen", "FILE"}, EXIT_FAILED}, /* it is there */
    {{"llm-router", "bundle", "create", "/proc/no", "FILE"}, EXIT_FAILED},
    {{"llm-router", "bundle", "create", "/proc/no", "FILE", "a"}, EXIT_FAILED},
    {{"llm-router", "bundle", "verify", "/nonexistent"}, EXIT_USAGE}, /* by which key? */
    {{"llm-router", "bundle", "verify", "/nonexistent", "-k", "FILE", "--json"}, EXIT_FAILED},
    {{"llm-router", "bundle", "install", "/nonexistent", "-k", "FILE"}, EXIT_USAGE}, /* whereto? */
    {{"llm-router", "bundle", "carry", "FILE"}, EXIT_USAGE},
};

/* The detector is made by the first command and kept by config/, as it is over reloads. */
static void make_detector(void)
{
    static const char *const words[] = {"llm-router", "check", "-c", "FILE", NULL};
    (void)run_words(words);
}

static void commands_end_with_their_status(void **state)
{
    (void)state;
    make_detector();
    for (size_t i = 0; i < COUNT(lines); i++) {
        int64_t live = mem_live();
        int status = run_words(lines[i].words);
        if (status != lines[i].status)
            fail_msg("%s: status %d instead of %d", lines[i].words[1], status, lines[i].status);
        assert_int_equal(mem_live(), live);
    }
}

static void commands_survive_refused_memory(void **state)
{
    (void)state;
    make_detector();
    for (size_t i = 0; i < COUNT(lines); i++) {
        bool reached = true;
        /* Every one of the first, then ever larger steps: reading the configuration alone asks often. */
        for (uint64_t nth = 1; reached; nth += 1 + nth / 50) {
            int64_t live = mem_live();
            mem_fail_at(nth, nth % 2 == 0);
            int status = run_words(lines[i].words);
            reached = mem_count() >= nth;
            mem_fail_at(0, false);
            assert_in_range(status, EXIT_OK, EXIT_REFUSED);
            if (mem_live() != live)
                fail_msg("%s: %d blocks are left behind when allocation %d is refused",
                         lines[i].words[1], (int)(mem_live() - live), (int)nth);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_end_with_their_status),
        cmocka_unit_test(commands_survive_refused_memory),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
