/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream - connecting, accepting, sending and ending over real loopback sockets.
 *
 * Both sides are ours and on one loop: `client` connects, `server` accepts. Where the other side has to
 * misbehave it is a plain socket (`raw`). until() runs the loop until a callback has made the condition
 * true; the guard timer only makes a hanging test fail, no test passes because of it.
 */
#include "io/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "io/loop.h"
#include "io/timer.h"

#define GUARD_MS 20000

struct side {
    struct fixture *f;
    struct io_stream *stream;
    struct buf got;
    enum io_end end;
    unsigned ends, drains, reads;
    bool keep; /* false: count the bytes only */
    size_t bytes;
    void (*on_data)(struct side *side);
    void (*on_end)(struct side *side);
};

struct fixture {
    struct io_loop *loop;
    struct io_listener *listener;
    struct io_timer guard;
    struct side client, server;
    struct io_target target;
    struct io_connect *connect;
    bool connected; /* the call came */
    enum io_end why;
    char host[64];
};

static void side_data(void *arg, const char *data, size_t len)
{
    struct side *side = arg;

    side->reads++;
    side->bytes += len;
    if (side->keep)
        buf_put(&side->got, data, len);
    if (side->on_data != NULL)
        side->on_data(side);
    io_loop_stop(side->f->loop);
}

static void side_end(void *arg, enum io_end end)
{
    struct side *side = arg;

    side->ends++;
    side->end = end;
    if (side->on_end != NULL)
        side->on_end(side);
    io_loop_stop(side->f->loop);
}

static void side_drain(void *arg)
{
    struct side *side = arg;

    side->drains++;
    assert_int_equal(io_stream_pending(side->stream), 0);
    io_loop_stop(side->f->loop);
}

static const struct io_stream_ops side_ops = {side_data, side_end, side_drain};

static void side_take(struct side *side, struct io_stream *s)
{
    side->stream = s;
    io_stream_bind(s, &side_ops, side);
    io_stream_read(s, true);
}

static void on_accept(void *arg, struct io_stream *s)
{
    struct fixture *f = arg;

    side_take(&f->server, s);
    io_loop_stop(f->loop);
}

static void on_connect(void *arg, struct io_stream *s, enum io_end why)
{
    struct fixture *f = arg;

    assert_false(f->connected);
    f->connected = true;
    f->connect = NULL;
    f->why = why;
    if (s != NULL)
        side_take(&f->client, s);
    io_loop_stop(f->loop);
}

static void on_guard(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for %d ms", GUARD_MS);
}

static void stop_loop(void *arg)
{
    io_loop_stop(arg);
}

#define until(f, condition)                                                                        \
    do {                                                                                           \
        io_timer_start((f)->loop, &(f)->guard, GUARD_MS, on_guard, NULL);                          \
        while (!(condition))                                                                       \
            io_loop_run((f)->loop);                                                                \
        io_timer_stop((f)->loop, &(f)->guard);                                                     \
    } while (0)

static void run_for(struct fixture *f, uint64_t ms)
{
    io_timer_start(f->loop, &f->guard, ms, stop_loop, f->loop);
    io_loop_run(f->loop);
    io_timer_stop(f->loop, &f->guard);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);

    if (f == NULL)
        return -1;
    f->loop = io_loop_new(&ERR_INIT);
    f->client.f = f->server.f = f;
    f->client.keep = f->server.keep = true;
    buf_init(&f->client.got, 1 << 26);
    buf_init(&f->server.got, 1 << 26);
    *state = f;
    return f->loop == NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    io_stream_close(f->client.stream);
    io_stream_close(f->server.stream);
    io_listener_close(f->listener);
    buf_fini(&f->client.got);
    buf_fini(&f->server.got);
    io_loop_free(f->loop);
    mem_free(f);
    return mem_live() == 0 ? 0 : -1;
}

static void listen_on(struct fixture *f, const char *address)
{
    struct err err = ERR_INIT;
    const char *bound;

    f->listener = io_listen(f->loop, strv_of(address), false, on_accept, f, &err);
    if (f->listener == NULL)
        fail_msg("%s", err.text);
    bound = io_listener_address(f->listener);
    f->target.connect_ms = GUARD_MS;
    if (strncmp(bound, "unix:", 5) == 0) {
        f->target.unix_path = bound + 5;
        return;
    }
    f->target.port = (uint16_t)atoi(strrchr(bound, ':') + 1);
    if (f->target.host == NULL) {
        snprintf(f->host, sizeof f->host, "%.*s", (int)(strrchr(bound, ':') - bound), bound);
        f->target.host = f->host;
    }
}

static void start_connect(struct fixture *f)
{
    f->connected = false;
    f->connect = io_connect(f->loop, &f->target, on_connect, f);
    assert_non_null(f->connect);
    assert_false(f->connected);
}

static void make_pair(struct fixture *f, const char *address)
{
    listen_on(f, address);
    start_connect(f);
    until(f, f->client.stream != NULL && f->server.stream != NULL);
}

/* A plain socket connected to our listener; f->server is our end of it. */
static int raw_pair(struct fixture *f)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (f->listener == NULL)
        listen_on(f, "127.0.0.1:0");
    in.sin_port = htons(f->target.port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    until(f, f->server.stream != NULL);
    return fd;
}

static void raw_reset(int fd)
{
    struct linger reset = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
}

static bool put(struct io_stream *s, const char *text)
{
    struct iovec v = {(void *)(uintptr_t)text, strlen(text)};

    return io_stream_write(s, &v, 1);
}

static bool put_zeros(struct io_stream *s, size_t n)
{
    char *zeros = calloc(1, n); /* the test's own: not to be refused */
    struct iovec v = {zeros, n};
    bool ok = io_stream_write(s, &v, 1);

    free(zeros);
    return ok;
}

static bool got(const struct side *side, const char *text)
{
    return strv_eq_cstr(buf_view(&side->got), text);
}

static void talk(struct fixture *f)
{
    struct iovec v[3] = {{(char[]){"he"}, 2}, {(char[]){""}, 0}, {(char[]){"llo"}, 3}};

    assert_true(io_stream_write(f->client.stream, v, 3));
    assert_int_equal(io_stream_pending(f->client.stream), 0);
    until(f, got(&f->server, "hello"));
    assert_true(put(f->server.stream, "world"));
    until(f, got(&f->client, "world"));
    assert_int_equal(f->client.drains, 0);
}

static void test_bytes_go_both_ways_over_tcp(void **state)
{
    struct fixture *f = *state;
    char expected[64];

    make_pair(f, "127.0.0.1:0");
    talk(f);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", f->target.port);
    assert_string_equal(io_stream_peer(f->client.stream), expected);
    assert_string_equal(io_listener_address(f->listener), expected);
    assert_memory_equal(io_stream_peer(f->server.stream), "127.0.0.1:", 10);
    assert_true(io_stream_is_loopback(f->client.stream));
    assert_true(io_stream_is_loopback(f->server.stream));
}

static void test_bytes_go_both_ways_over_a_unix_socket(void **state)
{
    struct fixture *f = *state;
    char address[64];
    struct stat st;

    snprintf(address, sizeof address, "unix:/tmp/io-stream-test-%d", (int)getpid());
    make_pair(f, address);
    assert_int_equal(stat(address + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    talk(f);
    assert_string_equal(io_stream_peer(f->client.stream), "unix");
    assert_string_equal(io_stream_peer(f->server.stream), "unix");
    assert_true(io_stream_is_loopback(f->server.stream));
    io_listener_close(f->listener);
    f->listener = NULL;
    assert_int_not_equal(stat(address + 5, &st), 0);
}

static void test_localhost_and_names_are_found(void **state)
{
    struct fixture *f = *state;

    f->target.host = "localhost";
    make_pair(f, "127.0.0.1:0");
    talk(f);
}

static void test_a_name_is_looked_up_in_another_thread(void **state)
{
    struct fixture *f = *state;

    f->target.host = "127.1"; /* not a literal for us, but the resolver knows it without asking */
    make_pair(f, "127.0.0.1:0");
    assert_memory_equal(io_stream_peer(f->client.stream), "127.0.0.1:", 10);
    talk(f);
}

static void test_the_second_address_is_tried_when_the_first_refuses(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    f->listener = io_listen(f->loop, STRV("[::1]:0"), false, on_accept, f, &err);
    if (f->listener == NULL)
        skip(); /* a machine without IPv6 */
    f->target = (struct io_target){
        .host = "localhost",
        .port = (uint16_t)atoi(strrchr(io_listener_address(f->listener), ':') + 1),
        .connect_ms = GUARD_MS,
    };
    start_connect(f);
    until(f, f->client.stream != NULL && f->server.stream != NULL);
    assert_memory_equal(io_stream_peer(f->client.stream), "[::1]:", 6);
    assert_true(io_stream_is_loopback(f->server.stream));
    talk(f);
}

static void test_a_stale_unix_socket_is_replaced_but_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct err err = ERR_INIT;
    char address[64];
    FILE *file;
    int fd;

    snprintf(address, sizeof address, "unix:/tmp/io-stale-test-%d", (int)getpid());
    snprintf(un.sun_path, sizeof un.sun_path, "%s", address + 5);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd); /* the file stays: stale */
    listen_on(f, address);
    /* alive: refused */
    assert_null(io_listen(f->loop, strv_of(address), false, on_accept, f, &err));
    assert_non_null(strstr(err.text, "answers"));
    io_listener_close(f->listener);
    f->listener = NULL;
    /* not a socket: refused, and left alone */
    file = fopen(un.sun_path, "w");
    assert_non_null(file);
    fclose(file);
    err_clear(&err);
    assert_null(io_listen(f->loop, strv_of(address), false, on_accept, f, &err));
    assert_non_null(strstr(err.text, "not a socket"));
    assert_int_equal(unlink(un.sun_path), 0);
}

static void test_workers_share_a_port_and_a_unix_socket(void **state)
{
    struct fixture *f = *state;
    struct io_listener *a, *b;
    struct err err = ERR_INIT;
    char address[64];

    a = io_listen(f->loop, STRV("127.0.0.1:0"), true, on_accept, f, &err);
    b = io_listen(f->loop, strv_of(io_listener_address(a)), true, on_accept, f, &err);
    assert_non_null(b);
    io_listener_close(a);
    io_listener_close(b);
    snprintf(address, sizeof address, "unix:/tmp/io-share-test-%d", (int)getpid());
    a = io_listen(f->loop, strv_of(address), true, on_accept, f, &err);
    b = io_listen(f->loop, strv_of(address), true, on_accept, f, &err);
    assert_non_null(b);
    io_listener_close(a);
    assert_int_equal(access(address + 5, F_OK), 0);
    f->listener = b;
    f->target = (struct io_target){.unix_path = address + 5, .connect_ms = GUARD_MS};
    start_connect(f);
    until(f, f->client.stream != NULL && f->server.stream != NULL);
    talk(f);
    io_listener_close(b);
    f->listener = NULL;
    assert_int_not_equal(access(address + 5, F_OK), 0);
}

static void test_a_port_in_use_is_an_error_that_names_it(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    listen_on(f, "127.0.0.1:0");
    assert_null(
        io_listen(f->loop, strv_of(io_listener_address(f->listener)), false, on_accept, f, &err));
    assert_non_null(strstr(err.text, io_listener_address(f->listener)));
}

/* ---- the ends ---- */

static void test_a_clean_end_is_eof_and_writing_goes_on(void **state)
{
    struct fixture *f = *state;
    int fd = raw_pair(f);
    char text[8];

    assert_int_equal(send(fd, "last", 4, 0), 4);
    shutdown(fd, SHUT_WR);
    until(f, f->server.ends == 1);
    assert_int_equal(f->server.end, IO_EOF);
    assert_true(got(&f->server, "last"));
    assert_true(put(f->server.stream, "still"));
    assert_int_equal(recv(fd, text, sizeof text, 0), 5);
    close(fd);
}

static void test_a_reset_is_told_after_the_data_before_it(void **state)
{
    struct fixture *f = *state;
    int fd = raw_pair(f);

    assert_int_equal(send(fd, "data", 4, 0), 4);
    raw_reset(fd);
    until(f, f->server.ends == 1);
    assert_int_equal(f->server.end, IO_RESET);
    assert_true(got(&f->server, "data"));
    assert_false(put(f->server.stream, "x"));
}

static void test_a_reset_behind_the_brake_waits_for_the_data(void **state)
{
    struct fixture *f = *state;
    int fd = raw_pair(f);

    io_stream_read(f->server.stream, false);
    assert_int_equal(send(fd, "data", 4, 0), 4);
    raw_reset(fd);
    (void)put_zeros(f->server.stream, 1); /* fails already; must not tell more */
    run_for(f, 5);
    assert_int_equal(f->server.reads, 0);
    assert_int_equal(f->server.ends, 0);
    io_stream_read(f->server.stream, true);
    until(f, f->server.ends == 1);
    assert_true(got(&f->server, "data"));
    assert_int_equal(f->server.end, IO_RESET);
}

static void test_a_failed_write_is_told_once_and_not_inside_the_call(void **state)
{
    struct fixture *f = *state;
    int fd = raw_pair(f);
    bool ok = true;

    io_stream_read(f->server.stream, false);
    raw_reset(fd);
    for (int i = 0; i < 100 && ok; i++)
        ok = put(f->server.stream, "x");
    assert_false(ok);
    assert_false(put(f->server.stream, "x"));
    assert_int_equal(f->server.ends, 0);
    until(f, f->server.ends == 1);
    assert_int_equal(f->server.end, IO_RESET);
}

static void test_the_brake_stops_data_and_letting_go_brings_it(void **state)
{
    struct fixture *f = *state;

    make_pair(f, "127.0.0.1:0");
    io_stream_read(f->server.stream, false);
    assert_true(put(f->client.stream, "one"));
    run_for(f, 5);
    assert_int_equal(f->server.reads, 0);
    io_stream_read(f->server.stream, true);
    until(f, got(&f->server, "one"));
    /* on and off again between two packets */
    io_stream_read(f->server.stream, false);
    io_stream_read(f->server.stream, true);
    assert_true(put(f->client.stream, "two"));
    until(f, got(&f->server, "onetwo"));
}

static void brake(struct side *side)
{
    io_stream_read(side->stream, false);
}

static void test_the_brake_holds_inside_on_data(void **state)
{
    struct fixture *f = *state;

    make_pair(f, "127.0.0.1:0");
    f->server.on_data = brake;
    put_zeros(f->client.stream, 1000000);
    until(f, f->server.reads == 1);
    assert_true(f->server.bytes <= 65536);
    f->server.on_data = NULL;
    io_stream_read(f->server.stream, true);
    until(f, f->server.bytes == 1000000);
}

static void test_what_the_kernel_does_not_take_is_kept_and_drained(void **state)
{
    struct fixture *f = *state;
    const size_t piece = 3000000;

    make_pair(f, "127.0.0.1:0");
    f->server.keep = false;
    io_stream_read(f->server.stream, false);
    for (int i = 0; i < 10; i++)
        assert_true(put_zeros(f->client.stream, piece));
    assert_true(io_stream_pending(f->client.stream) > 0);
    assert_int_equal(f->client.drains, 0);
    io_stream_read(f->server.stream, true);
    until(f, f->client.drains == 1);
    until(f, f->server.bytes == 10 * piece);
    assert_int_equal(f->client.drains, 1);
}

static void test_pending_output_has_a_maximum_and_refuses_whole_writes(void **state)
{
    struct fixture *f = *state;
    size_t sent = 0, before;

    make_pair(f, "127.0.0.1:0");
    f->server.keep = false;
    io_stream_read(f->server.stream, false);
    io_stream_set_max(f->client.stream, 100000);
    while (put_zeros(f->client.stream, 50000))
        sent += 50000;
    before = io_stream_pending(f->client.stream);
    assert_true(before > 50000 && before <= 100000);
    assert_false(put_zeros(f->client.stream, 50000));
    assert_int_equal(io_stream_pending(f->client.stream), before);
    assert_true(put_zeros(f->client.stream, 100000 - before));
    sent += 100000 - before;
    io_stream_read(f->server.stream, true);
    until(f, f->server.bytes == sent);
    assert_int_equal(f->client.ends, 0);
}

static void close_it(struct side *side)
{
    io_stream_close(side->stream);
    side->stream = NULL;
}

static void test_closing_inside_on_data_is_the_last_word(void **state)
{
    struct fixture *f = *state;

    make_pair(f, "127.0.0.1:0");
    f->server.on_data = close_it;
    put_zeros(f->client.stream, 1000000);
    until(f, f->client.ends == 1);
    assert_int_equal(f->server.reads, 1);
    assert_int_equal(f->server.ends, 0);
    assert_int_equal(f->client.end, IO_RESET); /* unread data was thrown away */
}

static void test_closing_inside_on_end_is_fine(void **state)
{
    struct fixture *f = *state;

    make_pair(f, "127.0.0.1:0");
    f->client.on_end = close_it;
    close_it(&f->server);
    until(f, f->client.ends == 1);
    assert_int_equal(f->client.end, IO_EOF);
}

static void test_abort_is_seen_as_a_reset(void **state)
{
    struct fixture *f = *state;

    make_pair(f, "127.0.0.1:0");
    io_stream_abort(f->server.stream);
    f->server.stream = NULL;
    until(f, f->client.ends == 1);
    assert_int_equal(f->client.end, IO_RESET);
}

static void test_finish_sends_what_is_kept(void **state)
{
    struct fixture *f = *state;
    const size_t all = 30000000;

    make_pair(f, "127.0.0.1:0");
    f->server.keep = false;
    assert_true(put_zeros(f->client.stream, all));
    assert_true(io_stream_pending(f->client.stream) > 0);
    io_stream_finish(f->client.stream, GUARD_MS);
    f->client.stream = NULL;
    until(f, f->server.ends == 1);
    assert_int_equal(f->server.end, IO_EOF);
    assert_int_equal(f->server.bytes, all);
    assert_int_equal(f->client.ends + f->client.drains, 0);
}

static void test_finish_survives_a_peer_that_goes_on_sending(void **state)
{
    struct fixture *f = *state;
    int fd = raw_pair(f);
    char text[64];
    ssize_t n;

    f->server.on_data = brake;
    assert_int_equal(send(fd, "more", 4, 0), 4);
    until(f, f->server.reads == 1);
    assert_int_equal(send(fd, "and more", 8, 0), 8); /* never read: a plain close would reset */
    assert_true(put(f->server.stream, "answer"));
    io_stream_finish(f->server.stream, GUARD_MS);
    f->server.stream = NULL;
    run_for(f, 5);
    assert_int_equal(send(fd, "and more", 8, MSG_NOSIGNAL), 8);
    run_for(f, 5);
    n = recv(fd, text, sizeof text, 0);
    assert_int_equal(n, 6);
    assert_memory_equal(text, "answer", 6);
    assert_int_equal(recv(fd, text, sizeof text, 0), 0);
    close(fd);
}

static void test_finish_gives_up_on_a_peer_that_never_closes(void **state)
{
    struct fixture *f = *state;
    int fd = raw_pair(f);

    io_stream_finish(f->server.stream, 3);
    f->server.stream = NULL;
    io_listener_close(f->listener);
    f->listener = NULL;
    io_loop_run(f->loop); /* comes back because nothing is left */
    close(fd);
}

static void test_a_loop_can_go_while_a_finished_stream_lingers(void **state)
{
    struct fixture *f = *state;
    int fd = raw_pair(f);

    put_zeros(f->server.stream, 20000000);
    io_stream_finish(f->server.stream, GUARD_MS);
    f->server.stream = NULL;
    io_listener_close(f->listener);
    f->listener = NULL;
    io_loop_free(f->loop);
    f->loop = io_loop_new(&ERR_INIT);
    close(fd);
}

/* ---- connecting ---- */

static void expect_failure(struct fixture *f, enum io_end why)
{
    start_connect(f);
    until(f, f->connected);
    assert_null(f->client.stream);
    assert_string_equal(io_end_name(f->why), io_end_name(why));
}

static void test_nobody_listens(void **state)
{
    struct fixture *f = *state;

    listen_on(f, "127.0.0.1:0");
    io_listener_close(f->listener);
    f->listener = NULL;
    expect_failure(f, IO_REFUSED);
    f->target.host = "localhost"; /* two addresses, both refuse (or the second does not exist) */
    start_connect(f);
    until(f, f->connected);
    assert_true(f->why == IO_REFUSED || f->why == IO_UNREACHABLE);
}

static void test_no_such_unix_socket(void **state)
{
    struct fixture *f = *state;

    f->target = (struct io_target){.unix_path = "/nonexistent/x.sock", .connect_ms = GUARD_MS};
    expect_failure(f, IO_UNREACHABLE);
}

static void test_no_such_name(void **state)
{
    struct fixture *f = *state;

    f->target = (struct io_target){.host = "no such name", .port = 1, .connect_ms = GUARD_MS};
    expect_failure(f, IO_DNS);
}

static bool turn_down(void *arg, const struct sockaddr *addr)
{
    unsigned *asked = arg;

    assert_true(io_sockaddr_is_loopback(addr));
    (*asked)++;
    return false;
}

static void test_an_address_that_is_turned_down_gets_no_connection(void **state)
{
    struct fixture *f = *state;
    unsigned asked = 0;

    listen_on(f, "127.0.0.1:0");
    f->target.allow = turn_down;
    f->target.allow_arg = &asked;
    expect_failure(f, IO_NOT_ALLOWED);
    assert_int_equal(asked, 1);
    f->target.host = "localhost";
    expect_failure(f, IO_NOT_ALLOWED);
    assert_int_equal(asked, 3);
    f->target.unix_path = "/tmp/x.sock";
    expect_failure(f, IO_NOT_ALLOWED);
    assert_null(f->server.stream);
}

static bool only_v4(void *arg, const struct sockaddr *addr)
{
    (void)arg;
    return addr->sa_family == AF_INET;
}

static void test_only_allowed_addresses_are_tried(void **state)
{
    struct fixture *f = *state;

    f->target.host = "localhost";
    f->target.allow = only_v4;
    make_pair(f, "127.0.0.1:0");
    talk(f);
}

static void test_connecting_has_a_limit(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0), filler[8];

    /* A listener whose backlog is full and that never accepts: the kernel drops further SYNs. */
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, 0), 0);
    getsockname(fd, (struct sockaddr *)&in, &len);
    for (int i = 0; i < 8; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(filler[i], (struct sockaddr *)&in, sizeof in);
    }
    f->target =
        (struct io_target){.host = "127.0.0.1", .port = ntohs(in.sin_port), .connect_ms = 5};
    expect_failure(f, IO_TIMEOUT);
    for (int i = 0; i < 8; i++)
        close(filler[i]);
    close(fd);
}

static void test_a_cancelled_connect_never_calls(void **state)
{
    struct fixture *f = *state;

    listen_on(f, "127.0.0.1:0");
    start_connect(f); /* under way */
    io_connect_cancel(f->connect);
    f->target.unix_path = "/nonexistent";
    start_connect(f); /* failed already, not told yet */
    io_connect_cancel(f->connect);
    f->target.unix_path = NULL;
    f->target.host = "no such name";
    start_connect(f); /* looking up */
    io_connect_cancel(f->connect);
    io_listener_close(f->listener);
    f->listener = NULL;
    io_loop_run(f->loop);
    assert_false(f->connected);
}

static void test_a_paused_listener_leaves_callers_waiting(void **state)
{
    struct fixture *f = *state;

    listen_on(f, "127.0.0.1:0");
    io_listener_pause(f->listener, true);
    start_connect(f);
    until(f, f->client.stream != NULL); /* the kernel accepts by itself */
    assert_null(f->server.stream);
    io_listener_pause(f->listener, false);
    until(f, f->server.stream != NULL);
    talk(f);
}

static void test_out_of_descriptors_callers_wait(void **state)
{
    struct fixture *f = *state;
    struct rlimit old, low;
    int next;

    if (getenv("UNDER_VALGRIND") != NULL) {
        print_message("valgrind takes descriptors from the same limit\n");
        skip();
    }
    listen_on(f, "127.0.0.1:0");
    start_connect(f);
    until(f, f->client.stream != NULL && f->server.stream != NULL);
    close_it(&f->server);
    close_it(&f->client);
    run_for(f, 1);
    start_connect(f); /* has its descriptor; the listener gets none for the other end */
    next = open("/dev/null", O_RDONLY);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    until(f, f->client.stream != NULL);
    run_for(f, 5);
    assert_null(f->server.stream);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    until(f, f->server.stream != NULL);
    talk(f);
}

/* ---- memory ---- */

static void test_a_refused_allocation_fails_one_thing_and_not_the_process(void **state)
{
    struct fixture *f = *state;

    listen_on(f, "127.0.0.1:0");
    for (uint64_t nth = 1; nth < 8; nth++) {
        struct io_connect *c;

        f->connected = false;
        mem_fail_at(nth, false);
        c = io_connect(f->loop, &f->target, on_connect, f);
        if (c != NULL) {
            until(f, f->connected);
            if (f->client.stream != NULL && put_zeros(f->client.stream, 20000000))
                until(f, f->server.stream != NULL || f->client.ends > 0);
        }
        mem_fail_at(0, false);
        close_it(&f->client);
        close_it(&f->server);
        f->client.ends = 0;
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_bytes_go_both_ways_over_tcp),
        T(test_bytes_go_both_ways_over_a_unix_socket),
        T(test_localhost_and_names_are_found),
        T(test_a_name_is_looked_up_in_another_thread),
        T(test_the_second_address_is_tried_when_the_first_refuses),
        T(test_a_stale_unix_socket_is_replaced_but_nothing_else),
        T(test_workers_share_a_port_and_a_unix_socket),
        T(test_a_port_in_use_is_an_error_that_names_it),
        T(test_a_clean_end_is_eof_and_writing_goes_on),
        T(test_a_reset_is_told_after_the_data_before_it),
        T(test_a_reset_behind_the_brake_waits_for_the_data),
        T(test_a_failed_write_is_told_once_and_not_inside_the_call),
        T(test_the_brake_stops_data_and_letting_go_brings_it),
        T(test_the_brake_holds_inside_on_data),
        T(test_what_the_kernel_does_not_take_is_kept_and_drained),
        T(test_pending_output_has_a_maximum_and_refuses_whole_writes),
        T(test_closing_inside_on_data_is_the_last_word),
        T(test_closing_inside_on_end_is_fine),
        T(test_abort_is_seen_as_a_reset),
        T(test_finish_sends_what_is_kept),
        T(test_finish_survives_a_peer_that_goes_on_sending),
        T(test_finish_gives_up_on_a_peer_that_never_closes),
        T(test_a_loop_can_go_while_a_finished_stream_lingers),
        T(test_nobody_listens),
        T(test_no_such_unix_socket),
        T(test_no_such_name),
        T(test_an_address_that_is_turned_down_gets_no_connection),
        T(test_only_allowed_addresses_are_tried),
        T(test_connecting_has_a_limit),
        T(test_a_cancelled_connect_never_calls),
        T(test_a_paused_listener_leaves_callers_waiting),
        T(test_out_of_descriptors_callers_wait),
        T(test_a_refused_allocation_fails_one_thing_and_not_the_process),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
