/* SPDX-License-Identifier: Apache-2.0 */
/* pass - messages and descriptors between two ends, a folder with a long name, and the service manager. */
#include "io/io.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#define LONG                                                                                       \
    "a-folder-whose-name-leaves-no-room-in-the-address-of-a-socket-"                               \
    "a-folder-whose-name-leaves-no-room-in-the-address-of-a-socket"

struct place {
    char folder[64], deep[256];
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    strcpy(p->folder, "/tmp/llm-router-pass-XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return -1;
    snprintf(p->deep, sizeof p->deep, "%s/" LONG, p->folder);
    *state = p;
    return mkdir(p->deep, 0700);
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    int status = system(command);
    free(p);
    return status;
}

static int open_files(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

static void meet(const char *folder)
{
    struct err err = ERR_INIT;
    struct stat st;
    char path[400], text[16];
    pid_t pid = 0;
    int given[2], got[IO_PASS_FDS], before = open_files();
    size_t n = 0;
    assert_int_equal(io_pass_dial(folder, &err), -1); /* nobody is there, and that is no error */
    assert_false(err.set);
    int listener = io_pass_listen(folder, &err);
    assert_true(listener >= 0);
    snprintf(path, sizeof path, "%s/handover.sock", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int a = io_pass_dial(folder, &err), b = io_pass_accept(listener, &pid);
    assert_true(a >= 0 && b >= 0);
    assert_int_equal(pid, getpid());

    assert_true(pipe(given) == 0);
    assert_true(io_pass_send(a, STRV("two"), given, 2));
    assert_int_equal(io_pass_recv(b, text, sizeof text, got, &n), 3);
    assert_memory_equal(text, "two", 3);
    assert_int_equal(n, 2);
    assert_int_equal(write(got[1], "x", 1), 1);
    assert_int_equal(read(given[0], text, 1), 1);
    close(got[0]);
    close(got[1]);
    /* What nobody wants is closed; what does not fit is no message. */
    assert_true(io_pass_send(a, STRV("none"), given, 2));
    assert_int_equal(io_pass_recv(b, text, sizeof text, NULL, NULL), 4);
    assert_true(io_pass_send(a, STRV("more than there is room for"), NULL, 0));
    assert_int_equal(io_pass_recv(b, text, sizeof text, NULL, NULL), -1);
    assert_false(io_pass_send(a, STRV("too many"), given, IO_PASS_FDS + 1));
    close(given[0]);
    close(given[1]);

    assert_false(io_pass_gone(b));
    io_pass_limit(b, 1);
    assert_int_equal(io_pass_recv(b, text, sizeof text, NULL, NULL), -1);
    close(a);
    assert_true(io_pass_gone(b));
    assert_int_equal(io_pass_recv(b, text, sizeof text, NULL, NULL), 0);
    assert_false(io_pass_send(b, STRV("hello"), NULL, 0));
    close(b);

    /* The next one takes the name; who has listened before hears nobody any more. */
    int next = io_pass_listen(folder, &err);
    assert_true(next >= 0);
    io_pass_end(listener);
    assert_int_equal(io_pass_accept(listener, &pid), -1);
    close(listener);
    a = io_pass_dial(folder, &err);
    assert_true(a >= 0);
    close(a);
    close(next);
    assert_int_equal(io_pass_dial(folder, &err), -1);
    assert_false(err.set);
    assert_int_equal(open_files(), before);
}

static void test_two_ends_meet(void **state)
{
    struct place *p = *state;
    meet(p->folder);
}

static void test_the_name_may_be_long(void **state)
{
    struct place *p = *state;
    meet(p->deep);
}

static void test_no_folder(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    assert_int_equal(io_pass_listen("/nonexistent/folder", &err), -1);
    assert_non_null(strstr(err.text, "/nonexistent/folder/handover.sock: "));
}

static void test_the_service_manager_is_told(void **state)
{
    struct place *p = *state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char text[32];
    unsetenv("NOTIFY_SOCKET");
    io_notify("READY=1"); /* to nobody */
    snprintf(at.sun_path, sizeof at.sun_path, "%s/notify", p->folder);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    io_notify("READY=1");
    assert_int_equal(recv(fd, text, sizeof text, MSG_DONTWAIT), 7);
    assert_memory_equal(text, "READY=1", 7);
    close(fd);
    io_notify("STOPPING=1"); /* it is gone: nothing happens */
    unsetenv("NOTIFY_SOCKET");
}

/* A listener goes from one loop to another, as it does from one process to another: who waits in it is served. */
struct guest {
    struct io_loop *loop;
    unsigned seen;
};

static void on_guest(void *arg, struct io_stream *s)
{
    struct guest *g = arg;
    g->seen++;
    io_stream_close(s);
    io_loop_stop(g->loop);
}

static void hand_over(const char *address)
{
    struct err err = ERR_INIT;
    struct guest old = {io_loop_new(&err), 0}, new = {io_loop_new(&err), 0};
    struct io_listener *l = io_listen(old.loop, strv_of(address), true, on_guest, &old, &err);
    assert_non_null(l);
    char bound[128];
    snprintf(bound, sizeof bound, "%s", io_listener_address(l));
    int fd = io_listener_fd(l);
    assert_true(fd >= 0);
    assert_true(io_listens_on(fd, strv_of(bound)));
    assert_false(io_listens_on(fd, STRV("127.0.0.1:1")));
    bool is_unix = bound[0] == 'u';
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_storage in;
    socklen_t len = sizeof in;
    int caller = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (is_unix) {
        snprintf(un.sun_path, sizeof un.sun_path, "%.100s", bound + 5);
        assert_int_equal(connect(caller, (struct sockaddr *)&un, sizeof un), 0);
    } else {
        assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
        assert_int_equal(connect(caller, (struct sockaddr *)&in, len), 0);
    }
    struct io_listener *m = io_listen_on(new.loop, strv_of(address), fd, on_guest, &new, &err);
    assert_non_null(m);
    assert_string_equal(io_listener_address(m), bound);
    io_listeners_given();
    io_listener_close(l);
    io_loop_free(old.loop);
    io_loop_run(new.loop);
    assert_int_equal(new.seen, 1);
    io_listener_close(m);
    io_loop_free(new.loop);
    close(caller);
}

static void test_who_waits_is_served_by_the_next(void **state)
{
    struct place *p = *state;
    char address[128];
    hand_over("127.0.0.1:0");
    snprintf(address, sizeof address, "unix:%s/l.sock", p->folder);
    hand_over(address);
    assert_int_equal(access(address + 5, F_OK), 0); /* whoever was given it removes it */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_two_ends_meet),
        T(test_the_name_may_be_long),
        T(test_no_folder),
        T(test_the_service_manager_is_told),
        T(test_who_waits_is_served_by_the_next),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
