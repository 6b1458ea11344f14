/* SPDX-License-Identifier: Apache-2.0 */
/* child - real processes: what they get, what is told of them, and that none is left behind. */
#include "io/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/timer.h"

#define GUARD_MS 20000

struct fixture {
    struct io_loop *loop;
    struct io_child *child;
    struct buf lines;
    struct io_timer timer;
    unsigned exits;
    int status, signum;
    size_t longest;
    void (*on_line)(struct fixture *f);
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);

    if (f == NULL)
        return -1;
    f->loop = io_loop_new(&ERR_INIT);
    buf_init(&f->lines, 1 << 20);
    *state = f;
    return f->loop == NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    buf_fini(&f->lines);
    io_loop_free(f->loop);
    mem_free(f);
    return mem_live() == 0 ? 0 : -1;
}

static void take_line(void *arg, strv line)
{
    struct fixture *f = arg;

    if (line.len > f->longest)
        f->longest = line.len;
    buf_put_strv(&f->lines, line);
    buf_put_char(&f->lines, ';');
    if (f->on_line != NULL)
        f->on_line(f);
}

static void take_exit(void *arg, int status, int signum)
{
    struct fixture *f = arg;

    f->exits++;
    f->status = status;
    f->signum = signum;
    f->child = NULL;
    io_loop_stop(f->loop);
}

static struct io_child *start_argv(struct fixture *f, const char *const *argv, const char *cwd,
                                   struct err *err)
{
    static const char *const envp[] = {"ONLY=this", NULL};
    struct io_child_opts opts = {.argv = argv,
                                 .envp = envp,
                                 .cwd = cwd,
                                 .on_line = take_line,
                                 .on_exit = take_exit,
                                 .arg = f};

    f->child = io_child_start(f->loop, &opts, err);
    return f->child;
}

static void start(struct fixture *f, const char *script)
{
    struct err err = ERR_INIT;

    if (start_argv(f, (const char *const[]){"sh", "-c", script, NULL}, NULL, &err) == NULL)
        fail_msg("%s", err.text);
}

static void on_guard(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for %d ms", GUARD_MS);
}

static void run(struct fixture *f)
{
    io_timer_start(f->loop, &f->timer, GUARD_MS, on_guard, NULL);
    while (f->exits == 0)
        io_loop_run(f->loop);
    io_timer_stop(f->loop, &f->timer);
}

static void run_script(struct fixture *f, const char *script)
{
    start(f, script);
    run(f);
}

static bool said(struct fixture *f, const char *text)
{
    return strv_eq_cstr(buf_view(&f->lines), text);
}

static void test_exit_status_and_lines_are_told(void **state)
{
    struct fixture *f = *state;

    run_script(f, "echo one >&2; printf 'two\\r\\n\\nthree' >&2; echo unseen; exit 7");
    assert_int_equal(f->status, 7);
    assert_int_equal(f->signum, 0);
    assert_true(said(f, "one;two;three;"));
}

static void test_long_lines_are_cut(void **state)
{
    struct fixture *f = *state;

    run_script(f, "printf '%05000d\\nend\\n' 0 >&2");
    assert_int_equal(f->longest, 1024);
    assert_true(strv_ends(buf_view(&f->lines), STRV("0;end;")));
}

static void test_it_gets_the_given_environment_and_no_other(void **state)
{
    struct fixture *f = *state;

    setenv("SECRET", "key", 1);
    run_script(f, "echo \"$ONLY${SECRET-none}\" >&2");
    assert_true(said(f, "thisnone;"));
}

static void test_it_gets_no_descriptor_of_ours(void **state)
{
    struct fixture *f = *state;
    int fd = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a careless library would */

    assert_int_equal(dup2(fd, 77), 77);
    run_script(f, "for n in 3 4 5 6 7 8 9 77; do [ -e /proc/$$/fd/$n ] && echo $n >&2; done;"
                  "x=$(readlink /proc/$$/fd/0 /proc/$$/fd/1); echo $x >&2");
    close(77);
    close(fd);
    assert_true(said(f, "/dev/null /dev/null;"));
}

static void test_it_gets_default_signals_and_its_own_session(void **state)
{
    struct fixture *f = *state;
    sigset_t set, old;

    signal(SIGUSR1, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    run_script(f, "cut -d' ' -f1,5,6 /proc/$$/stat | awk '{print ($1==$2)($1==$3)}' >&2;"
                  "kill -USR1 $$; echo survived >&2");
    sigprocmask(SIG_SETMASK, &old, NULL);
    signal(SIGUSR1, SIG_DFL);
    assert_true(said(f, "11;"));
    assert_int_equal(f->signum, SIGUSR1);
    assert_int_equal(f->status, 0);
}

/* ---- a child that talks ---- */

struct talk {
    struct fixture *f;
    struct io_stream *stream;
    struct buf heard;
    bool finish; /* on the first word */
    bool ended;
};

static void talk_data(void *arg, const char *data, size_t len)
{
    struct talk *t = arg;

    buf_put(&t->heard, data, len);
    if (t->finish)
        io_stream_write(t->stream, &(struct iovec){(void *)(uintptr_t) "bye\n", 4}, 1);
}

static void talk_end(void *arg, enum io_end end)
{
    struct talk *t = arg;

    (void)end;
    t->ended = true;
    io_loop_stop(t->f->loop);
}

static const struct io_stream_ops talk_ops = {talk_data, talk_end, NULL};

static void talk_to(struct fixture *f, struct talk *t, const char *script)
{
    static const char *const envp[] = {"PATH=/usr/bin:/bin", NULL};
    const char *argv[] = {"sh", "-c", script, NULL};
    struct io_child_opts opts = {.argv = argv,
                                 .envp = envp,
                                 .on_line = take_line,
                                 .on_exit = take_exit,
                                 .arg = f,
                                 .talks = true,
                                 .bounded = true};

    t->f = f;
    buf_init(&t->heard, 1 << 20);
    f->child = io_child_start(f->loop, &opts, &ERR_INIT);
    assert_non_null(f->child);
    t->stream = io_child_take_stream(f->child);
    assert_non_null(t->stream);
    assert_null(io_child_take_stream(f->child));
    io_stream_bind(t->stream, &talk_ops, t);
    io_stream_read(t->stream, true);
}

static void test_it_talks_and_its_last_words_are_heard(void **state)
{
    struct fixture *f = *state;
    struct talk t = {.finish = true};

    talk_to(f, &t,
            "echo hello; read word; echo \"got $word\"; echo aside >&2; yes | head -c 200000");
    run(f);
    while (!t.ended)
        io_loop_run(f->loop);
    assert_int_equal(buf_len(&t.heard), 200000 + strlen("hello\ngot bye\n"));
    assert_true(strv_starts(buf_view(&t.heard), STRV("hello\ngot bye\n")));
    assert_true(said(f, "aside;"));
    io_stream_close(t.stream);
    buf_fini(&t.heard);
}

static void test_its_input_ends_when_the_stream_is_finished(void **state)
{
    struct fixture *f = *state;
    struct talk t = {0};

    talk_to(f, &t, "while read word; do :; done; echo \"end of input\" >&2");
    io_stream_write(t.stream, &(struct iovec){(void *)(uintptr_t) "one\ntwo\n", 8}, 1);
    io_stream_finish(t.stream, GUARD_MS);
    run(f);
    assert_int_equal(f->status, 0);
    assert_true(said(f, "end of input;"));
}

static void test_a_bounded_child_leaves_no_core_and_has_a_limit_of_files(void **state)
{
    struct fixture *f = *state;
    struct talk t = {0};

    talk_to(f, &t, "ulimit -Hc >&2; [ $(ulimit -Hn) -le 4096 ] && echo few >&2");
    run(f);
    io_stream_close(t.stream);
    /* valgrind keeps the limit of files for itself, and its children with it */
    assert_true(said(f, getenv("UNDER_VALGRIND") != NULL ? "0;" : "0;few;"));
}

static void test_a_stream_that_nobody_takes_is_closed_with_the_child(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"sh", "-c", "cat", NULL};
    struct io_child_opts opts = {
        .argv = argv, .on_exit = take_exit, .arg = f, .envp = argv + 3, .talks = true};

    f->child = io_child_start(f->loop, &opts, &ERR_INIT);
    assert_non_null(f->child);
    io_child_stop(f->child, GUARD_MS);
    run(f);
    assert_int_equal(f->signum, SIGTERM);
}

static void test_what_cannot_be_started_is_told_at_once(void **state)
{
    static const struct {
        const char *file, *cwd, *text;
    } cases[] = {
        {"no-such-program-anywhere", NULL, "no such program on PATH"},
        {"/nonexistent/program", NULL, "No such file"},
        {"/etc/passwd", NULL, "Permission denied"},
        {"/bin/sh", "/nonexistent/folder", "in /nonexistent/folder: No such file"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR_INIT;

        assert_null(start_argv(f, (const char *const[]){cases[i].file, NULL}, cases[i].cwd, &err));
        if (strstr(err.text, cases[i].text) == NULL || strstr(err.text, cases[i].file) == NULL)
            fail_msg("%s", err.text);
    }
    io_loop_run(f->loop);
    assert_int_equal(f->exits, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* and no zombie */
}

static void test_the_folder_is_the_given_one(void **state)
{
    struct fixture *f = *state;

    assert_non_null(
        start_argv(f, (const char *const[]){"sh", "-c", "pwd >&2", NULL}, "/usr", &ERR_INIT));
    run(f);
    assert_true(said(f, "/usr;"));
}

static void stop_it(struct fixture *f)
{
    io_child_stop(f->child, 5);
}

static void test_stopping_asks_first_and_kills_then(void **state)
{
    struct fixture *f = *state;

    f->on_line = stop_it;
    start(f, "echo ready >&2; while :; do sleep 1; done");
    run(f);
    assert_true(f->signum == SIGTERM || f->signum == SIGKILL);
    f->exits = 0;
    start(f, "trap '' TERM; echo ready >&2; while :; do sleep 1; done");
    run(f);
    assert_int_equal(f->signum, SIGKILL);
    assert_int_equal(f->exits, 1);
}

static bool is_gone(pid_t pid)
{
    char path[64], stat[256] = "";
    FILE *file;
    size_t n;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (file == NULL)
        return true;
    n = fread(stat, 1, sizeof stat - 1, file);
    fclose(file);
    return n == 0 || strstr(stat, ") Z ") != NULL || strstr(stat, ") X ") != NULL;
}

static void look_again(void *arg)
{
    io_loop_stop(arg);
}

static void wait_until_gone(struct fixture *f, pid_t pid)
{
    for (int i = 0; i < GUARD_MS && !is_gone(pid); i++) {
        io_timer_start(f->loop, &f->timer, 1, look_again, f->loop);
        io_loop_run(f->loop);
    }
    assert_true(is_gone(pid));
}

static void test_its_own_children_go_with_it(void **state)
{
    struct fixture *f = *state;

    run_script(f, "sleep 1000 & echo $! >&2; exit 0");
    assert_int_equal(f->status, 0);
    char pid[32];
    snprintf(pid, sizeof pid, STRV_FMT, STRV_ARG(buf_view(&f->lines))); /* it has no terminator */
    wait_until_gone(f, atoi(pid));
}

/* A process of its own that starts a child and is killed without a chance to clean up. */
static void live_and_be_killed(int out)
{
    struct io_child_opts opts = {.argv = (const char *const[]){"sleep", "1000", NULL},
                                 .envp = (const char *const[]){NULL}};
    struct io_child *c = io_child_start(io_loop_new(&ERR_INIT), &opts, &ERR_INIT);
    pid_t pid = c != NULL ? io_child_pid(c) : 0;

    if (write(out, &pid, sizeof pid) == sizeof pid)
        pause();
    _exit(1);
}

static void test_it_dies_when_we_are_killed(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    pid_t router, child = 0;

    assert_int_equal(pipe(fds), 0);
    router = fork();
    if (router == 0)
        live_and_be_killed(fds[1]);
    assert_int_equal(read(fds[0], &child, sizeof child), sizeof child);
    assert_true(child > 0);
    assert_false(is_gone(child));
    kill(router, SIGKILL);
    waitpid(router, NULL, 0);
    wait_until_gone(f, child);
    close(fds[0]);
    close(fds[1]);
}

static void test_refused_memory_starts_nothing(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    mem_fail_at(1, false);
    assert_null(start_argv(f, (const char *const[]){"true", NULL}, NULL, &err));
    mem_fail_at(0, false);
    assert_int_equal(err.code, ERR_CODE_OOM);
}

/* Last, because it holds for the rest of this process: the kernel "does not know" pidfd_open. */
static void test_without_pidfd_sigchld_is_watched(void **state)
{
    struct fixture *f = *state;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof *code, code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        skip();
    run_script(f, "echo one >&2; exit 3");
    assert_true(said(f, "one;"));
    assert_int_equal(f->status, 3);
    f->exits = 0;
    f->on_line = stop_it;
    start(f, "trap '' TERM; echo ready >&2; while :; do sleep 1; done");
    run(f);
    assert_int_equal(f->signum, SIGKILL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_exit_status_and_lines_are_told),
        T(test_long_lines_are_cut),
        T(test_it_gets_the_given_environment_and_no_other),
        T(test_it_gets_no_descriptor_of_ours),
        T(test_it_gets_default_signals_and_its_own_session),
        T(test_it_talks_and_its_last_words_are_heard),
        T(test_its_input_ends_when_the_stream_is_finished),
        T(test_a_bounded_child_leaves_no_core_and_has_a_limit_of_files),
        T(test_a_stream_that_nobody_takes_is_closed_with_the_child),
        T(test_what_cannot_be_started_is_told_at_once),
        T(test_the_folder_is_the_given_one),
        T(test_stopping_asks_first_and_kills_then),
        T(test_its_own_children_go_with_it),
        T(test_it_dies_when_we_are_killed),
        T(test_refused_memory_starts_nothing),
        T(test_without_pidfd_sigchld_is_watched),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
