/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: a child enters it and tries what must work and what must not. What it finds is its exit status: 0, or the
 * line where it was otherwise. No assert of cmocka's is in the child: it would go on as a second test program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/sandbox.h"

static char top[] = "/tmp/llm-router-test-XXXXXX";

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)

static const char *below(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *to = path[turn++ % 4];
    snprintf(to, sizeof path[0], "%s/%s", top, name);
    return to;
}

static int write_file(const char *name, const char *text)
{
    FILE *f = fopen(below(name), "we");
    return f == NULL ? -1 : fputs(text, f) == EOF ? (fclose(f), -1) : fclose(f);
}

static int make_files(void **state)
{
    char text[512];
    (void)state;
    if (mkdtemp(top) == NULL || mkdir(below("conf"), 0700) != 0 ||
        mkdir(below("elsewhere"), 0700) != 0 || symlink("../elsewhere", below("conf/link")) != 0)
        return -1;
    snprintf(text, sizeof text,
             "state_dir: %s/state\nproviders:\n  x: { kind: openai, url: \"http://127.0.0.1:1\", "
             "key_file: %s/conf/key }\n",
             top, top);
    return write_file("conf/c.yaml", text) | write_file("conf/key", "0123456789abcdef\n") |
           write_file("elsewhere/secret", "secret\n");
}

static int remove_files(void **state)
{
    static const char *const files[] = {"conf/c.yaml",      "conf/key",    "conf/new", "conf/link",
                                        "elsewhere/secret", "state/audit", "state"};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (unlink(below(files[i])) != 0)
            rmdir(below(files[i]));
    rmdir(below("conf"));
    rmdir(below("elsewhere"));
    return rmdir(top);
}

static struct config *load(const char *more)
{
    static const char *const environment[] = {"HOME=/nonexistent", NULL};
    const char *const set[] = {more, NULL};
    struct config_source source = {
        .path = below("conf/c.yaml"), .environment = environment, .set = more != NULL ? set : NULL};
    struct err err = ERR_INIT;
    struct config *c = config_load(&source, &err);
    if (c == NULL)
        print_error("%s\n", err.text);
    return c;
}

static bool opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool refused(const char *path, int flags)
{
    errno = 0;
    return !opens(path, flags) && errno == EACCES;
}

static int try_files(void)
{
    EXPECT(opens(below("conf/key"), O_RDONLY));
    EXPECT(opens("/etc/hosts", O_RDONLY));
    EXPECT(refused(below("conf/key"), O_WRONLY));
    EXPECT(refused(below("conf/new"), O_WRONLY | O_CREAT));
    EXPECT(refused(below("elsewhere/secret"), O_RDONLY));
    EXPECT(refused(below("conf/../elsewhere/secret"), O_RDONLY));
    EXPECT(refused(below("conf/link/secret"), O_RDONLY));
    EXPECT(refused("/etc/hosts", O_WRONLY));
    EXPECT(refused("/proc/1/status", O_RDONLY));
    EXPECT(refused("/", O_RDONLY | O_DIRECTORY));
    EXPECT(opens(below("state/new"), O_RDWR | O_CREAT));
    EXPECT(rename(below("state/new"), below("state/newer")) == 0);
    EXPECT(truncate(below("state/newer"), 0) == 0);
    EXPECT(link(below("state/newer"), below("state/twice")) == 0);
    EXPECT(rename(below("state/twice"), below("conf/new")) != 0);
    EXPECT(unlink(below("state/newer")) == 0 && unlink(below("state/twice")) == 0);
    EXPECT(symlink("/etc/passwd", below("state/link")) != 0);
    return 0;
}

static void *idle(void *arg)
{
    return arg;
}

static int try_calls(void)
{
    char *const argv[] = {(char[]){"true"}, NULL};
    pthread_t thread;
    char pushed = 'x';
    EXPECT(pthread_create(&thread, NULL, idle, NULL) == 0 && pthread_join(thread, NULL) == 0);
    EXPECT(execve("/bin/true", argv, NULL) != 0 && errno == ENOSYS);
    EXPECT(fork() < 0 && errno == ENOSYS);
    EXPECT(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) != 0 && errno == ENOSYS);
    EXPECT(kill(getppid(), 0) != 0 && errno == ENOSYS);
    EXPECT(chdir("/") != 0 && errno == ENOSYS);
    EXPECT(ioctl(0, TIOCSTI, &pushed) != 0 && errno == ENOSYS);
    EXPECT(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EAFNOSUPPORT);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(fd >= 0 || errno == EAFNOSUPPORT); /* of the kernel, which may have no IPv6 */
    if (fd >= 0)
        close(fd);
    return 0;
}

static void test_what_is_left_and_what_is_not(void **state)
{
    struct config *c = load(NULL);
    struct sandbox s;
    char text[256];
    int status = -1;
    (void)state;
    assert_non_null(c);
    sandbox_prepare(&s, c, true);
    sandbox_describe(&s, text, sizeof text);
    assert_int_equal(s.scope, SANDBOX_ON);
    if (s.ruleset < 0 && !s.calls) {
        config_free(c);
        skip(); /* valgrind, an old kernel */
    }
    pid_t pid = fork();
    if (pid == 0) {
        int line = sandbox_enter(&s) ? 0 : __LINE__;
        if (line == 0 && s.ruleset >= 0)
            line = try_files();
        if (line == 0 && s.calls)
            line = try_calls();
        if (line != 0)
            dprintf(STDERR_FILENO, "sandbox_test.c:%d: %s\n", line, strerror(errno));
        _exit(line != 0);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
    sandbox_fini(&s);
    config_free(c);
}

static void test_what_it_says_of_itself(void **state)
{
    static const struct {
        struct sandbox s;
        const char *text;
    } rows[] = {
        {{.scope = SANDBOX_OFF, .ruleset = -1}, "off, as configured"},
        {{.scope = SANDBOX_ON, .ruleset = 3, .calls = true}, "all threads: files, system calls"},
        {{.scope = SANDBOX_WORKERS, .ruleset = 3, .calls = true},
         "the workers: files, system calls"},
        {{.scope = SANDBOX_ON, .ruleset = 3, .no_calls = "why"},
         "all threads: files; not the other: why"},
        {{.scope = SANDBOX_ON, .ruleset = -1, .calls = true, .no_files = "why"},
         "all threads: system calls; not the other: why"},
        {{.scope = SANDBOX_ON, .ruleset = -1, .no_files = "this", .no_calls = "that"},
         "none: this; that"},
    };
    char text[256];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sandbox_describe(&rows[i].s, text, sizeof text);
        assert_string_equal(text, rows[i].text);
    }
}

/* Programs to start would be in it too: then it is the workers'. */
static void test_whose_it_is(void **state)
{
    static const struct {
        const char *set;
        enum config_sandbox scope;
    } rows[] = {{NULL, SANDBOX_ON},
                {"sandbox=workers", SANDBOX_WORKERS},
                {"sandbox=off", SANDBOX_OFF},
                {"mcp_servers.tools.command=/bin/true", SANDBOX_WORKERS}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *c = load(rows[i].set);
        struct sandbox s;
        assert_non_null(c);
        sandbox_prepare(&s, c, false);
        assert_int_equal(s.scope, rows[i].scope);
        sandbox_fini(&s);
        config_free(c);
    }
}

static void test_a_user_who_is_not_there(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    assert_true(sandbox_become(NULL, &err));
    if (geteuid() != 0)
        skip();
    assert_false(sandbox_become("nobody-of-that-name", &err));
    assert_string_equal(err.text, "user: there is no user nobody-of-that-name");
    pid_t pid = fork();
    if (pid == 0)
        _exit(!(sandbox_become("nobody", &err) && geteuid() != 0 && getegid() != 0 &&
                seteuid(0) != 0));
    int status = -1;
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left_and_what_is_not),
        cmocka_unit_test(test_what_it_says_of_itself),
        cmocka_unit_test(test_whose_it_is),
        cmocka_unit_test(test_a_user_who_is_not_there),
    };
    int failed = cmocka_run_group_tests_name("app/sandbox", tests, make_files, remove_files);
    config_forget();
    return failed;
}
