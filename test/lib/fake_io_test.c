/* SPDX-License-Identifier: Apache-2.0 */
/* fake_io - the stand-in behaves as the real thing where a program can tell, and tells its script. */
#include "fake_io.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/base.h"

struct side {
    struct io_loop *loop;
    struct io_stream *stream;
    struct buf got;
    unsigned reads, ends, drains, calls;
    enum io_end end, why;
    struct fake_peer *peer;
    bool stop_after_one;
};

static void on_data(void *arg, const char *data, size_t len)
{
    struct side *side = arg;

    side->reads++;
    buf_put(&side->got, data, len);
    if (side->stop_after_one)
        io_stream_read(side->stream, false);
}

static void on_end(void *arg, enum io_end end)
{
    struct side *side = arg;

    side->ends++;
    side->end = end;
}

static void on_drain(void *arg)
{
    ((struct side *)arg)->drains++;
}

static const struct io_stream_ops ops = {on_data, on_end, on_drain};

static void on_stream(void *arg, struct io_stream *s)
{
    struct side *side = arg;

    side->stream = s;
    io_stream_bind(s, &ops, side);
    io_stream_read(s, true);
}

static void on_connected(void *arg, struct io_stream *s, enum io_end why)
{
    struct side *side = arg;

    side->calls++;
    side->why = why;
    if (s != NULL)
        on_stream(side, s);
}

static void on_peer(void *arg, struct fake_peer *peer)
{
    ((struct side *)arg)->peer = peer;
}

static int setup(void **state)
{
    struct side *side = mem_zalloc(sizeof *side);

    if (side == NULL)
        return -1;
    side->loop = io_loop_new(&ERR_INIT);
    buf_init(&side->got, 1 << 20);
    *state = side;
    return 0;
}

static int teardown(void **state)
{
    struct side *side = *state;
    size_t left;

    io_stream_close(side->stream);
    left = fake_end(side->loop);
    buf_fini(&side->got);
    mem_free(side);
    return left == 0 && mem_live() == 0 ? 0 : -1;
}

static struct io_connect *start(struct side *side, const char *host)
{
    struct io_target target = {.host = host, .port = 80, .connect_ms = 1000};

    return io_connect(side->loop, &target, on_connected, side);
}

static void connect_to(struct side *side, const struct fake_rule *rule)
{
    struct fake_rule r = *rule;

    r.on_peer = on_peer;
    r.arg = side;
    fake_target(side->loop, "api", 80, &r);
    assert_non_null(start(side, "api"));
    assert_int_equal(side->calls, 0);
    fake_run(side->loop);
}

static void put(struct io_stream *s, const char *text, bool expected)
{
    struct iovec v[2] = {{(char *)(uintptr_t)text, 1},
                         {(char *)(uintptr_t)text + 1, strlen(text) - 1}};

    assert_int_equal(io_stream_write(s, v, 2), expected);
}

static void test_bytes_go_both_ways(void **state)
{
    struct side *side = *state;

    connect_to(side, &(struct fake_rule){0});
    put(side->stream, "hello", true);
    assert_true(strv_eq_cstr(fake_peer_received(side->peer), "hello"));
    fake_peer_eat(side->peer, 5);
    fake_peer_send_cstr(side->peer, "world");
    assert_int_equal(side->reads, 0);
    fake_run(side->loop);
    assert_true(strv_eq_cstr(buf_view(&side->got), "world"));
    assert_string_equal(fake_peer_target(side->peer), "api:80");
    assert_string_equal(io_stream_peer(side->stream), "203.0.113.1:80");
}

static void test_every_answer_of_a_target(void **state)
{
    static const struct {
        enum fake_answer answer;
        enum io_end why;
        unsigned after_ms, wait_ms;
    } cases[] = {
        {FAKE_REFUSE, IO_REFUSED, 0, 0},          {FAKE_REFUSE, IO_REFUSED, 20, 20},
        {FAKE_HANG, IO_TIMEOUT, 0, 1000},         {FAKE_NO_NAME, IO_DNS, 0, 0},
        {FAKE_UNREACHABLE, IO_UNREACHABLE, 0, 0}, {FAKE_NO_ROOM, IO_NO_MEMORY, 0, 0},
        {FAKE_ACCEPT, IO_TIMEOUT, 2000, 1000},
    };
    struct side *side = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        side->calls = 0;
        connect_to(side,
                   &(struct fake_rule){.answer = cases[i].answer, .after_ms = cases[i].after_ms});
        if (cases[i].wait_ms > 0) {
            assert_int_equal(fake_next_timer_ms(side->loop), cases[i].wait_ms);
            fake_advance(side->loop, cases[i].wait_ms - 1);
            assert_int_equal(side->calls, 0);
            assert_int_equal(fake_connecting(side->loop), 1);
            fake_advance(side->loop, 1);
        }
        assert_int_equal(side->calls, 1);
        assert_int_equal(side->why, cases[i].why);
    }
    assert_int_equal(fake_connects(side->loop), sizeof cases / sizeof *cases);
}

static void test_rules_for_some_times_come_before_the_standing_one(void **state)
{
    struct side *side = *state;

    fake_target(side->loop, "api", 80, &(struct fake_rule){.answer = FAKE_REFUSE, .times = 1});
    fake_target(side->loop, "api", 80, &(struct fake_rule){.answer = FAKE_NO_ROOM, .times = 1});
    connect_to(side, &(struct fake_rule){.answer = FAKE_UNREACHABLE});
    assert_int_equal(side->why, IO_REFUSED);
    start(side, "api");
    fake_run(side->loop);
    assert_int_equal(side->why, IO_NO_MEMORY);
    start(side, "api");
    fake_run(side->loop);
    assert_int_equal(side->why, IO_UNREACHABLE);
    start(side, "nobody");
    fake_run(side->loop);
    assert_int_equal(side->why, IO_REFUSED);
}

static bool only_loopback(void *arg, const struct sockaddr *addr)
{
    (void)arg;
    return io_sockaddr_is_loopback(addr);
}

static void test_allow_sees_what_a_name_resolves_to(void **state)
{
    struct side *side = *state;
    struct io_target target = {.host = "api", .port = 80, .connect_ms = 1, .allow = only_loopback};

    fake_target(side->loop, "api", 80, &(struct fake_rule){.on_peer = on_peer, .arg = side});
    io_connect(side->loop, &target, on_connected, side);
    fake_run(side->loop);
    assert_int_equal(side->why, IO_NOT_ALLOWED);
    assert_null(side->peer);
    fake_resolve(side->loop, "api", "127.0.0.9");
    io_connect(side->loop, &target, on_connected, side);
    fake_run(side->loop);
    assert_non_null(side->stream);
    assert_string_equal(io_stream_peer(side->stream), "127.0.0.9:80");
}

static void test_a_cancelled_connect_never_calls(void **state)
{
    struct side *side = *state;

    fake_target(side->loop, "api", 80, &(struct fake_rule){.answer = FAKE_HANG});
    io_connect_cancel(start(side, "api"));
    fake_advance(side->loop, 5000);
    assert_int_equal(side->calls, 0);
}

static void test_cuts_are_what_the_script_says(void **state)
{
    struct side *side = *state;

    connect_to(side, &(struct fake_rule){0});
    fake_peer_cut(side->peer, 1);
    fake_peer_send_cstr(side->peer, "12345");
    fake_run(side->loop);
    assert_int_equal(side->reads, 5);
    fake_peer_cut_random(side->peer, 3);
    for (int i = 0; i < 100; i++)
        fake_peer_send_cstr(side->peer, "0123456789");
    fake_run(side->loop);
    assert_in_range(side->reads, 5 + 1000 / 64, 5 + 100);
    assert_int_equal(buf_len(&side->got), 1005);
}

static void test_the_brake_holds_data_and_its_end(void **state)
{
    struct side *side = *state;

    connect_to(side, &(struct fake_rule){0});
    side->stop_after_one = true;
    fake_peer_cut(side->peer, 2);
    fake_peer_send_cstr(side->peer, "abcd");
    fake_peer_eof(side->peer, false);
    fake_run(side->loop);
    assert_int_equal(side->reads, 1);
    assert_int_equal(side->ends, 0);
    assert_int_equal(fake_peer_unread(side->peer), 2);
    side->stop_after_one = false;
    io_stream_read(side->stream, true);
    fake_run(side->loop);
    assert_int_equal(side->reads, 2);
    assert_int_equal(side->ends, 1);
    assert_int_equal(side->end, IO_EOF);
    put(side->stream, "more", true); /* half closed only */
}

static void test_a_reset_comes_after_the_data_and_kills_writing(void **state)
{
    struct side *side = *state;

    connect_to(side, &(struct fake_rule){0});
    fake_peer_send_cstr(side->peer, "abcd");
    fake_peer_reset(side->peer);
    put(side->stream, "x", false);
    assert_int_equal(side->ends, 0);
    fake_run(side->loop);
    assert_int_equal(side->reads, 1);
    assert_int_equal(side->ends, 1);
    assert_int_equal(side->end, IO_RESET);
}

static void test_truncation_has_its_own_end(void **state)
{
    struct side *side = *state;

    connect_to(side, &(struct fake_rule){0});
    fake_peer_eof(side->peer, true);
    fake_run(side->loop);
    assert_int_equal(side->end, IO_TRUNCATED);
}

static void test_the_window_makes_output_pend_and_drain(void **state)
{
    struct side *side = *state;

    connect_to(side, &(struct fake_rule){0});
    fake_peer_window(side->peer, 3);
    put(side->stream, "abcdef", true);
    assert_int_equal(io_stream_pending(side->stream), 3);
    io_stream_set_max(side->stream, 5);
    put(side->stream, "ghi", false);
    put(side->stream, "gh", true);
    fake_peer_window(side->peer, 4);
    fake_run(side->loop);
    assert_int_equal(io_stream_pending(side->stream), 1);
    assert_int_equal(side->drains, 0);
    fake_peer_window(side->peer, FAKE_UNLIMITED);
    fake_run(side->loop);
    assert_int_equal(side->drains, 1);
    assert_true(strv_eq_cstr(fake_peer_received(side->peer), "abcdefgh"));
}

static void test_the_ways_of_closing_are_told_apart(void **state)
{
    struct side *side = *state;

    connect_to(side, &(struct fake_rule){0});
    io_stream_close(side->stream);
    assert_int_equal(fake_peer_state(side->peer), FAKE_CLOSED);
    start(side, "api");
    fake_run(side->loop);
    io_stream_abort(side->stream);
    assert_int_equal(fake_peer_state(side->peer), FAKE_ABORTED);
    start(side, "api");
    fake_run(side->loop);
    fake_peer_window(side->peer, 0);
    put(side->stream, "bye", true);
    io_stream_finish(side->stream, 100);
    fake_run(side->loop);
    assert_int_equal(fake_peer_state(side->peer), FAKE_OPEN);
    fake_peer_window(side->peer, 10);
    fake_run(side->loop);
    assert_int_equal(fake_peer_state(side->peer), FAKE_FINISHED);
    assert_true(strv_eq_cstr(fake_peer_received(side->peer), "bye"));
    fake_peer_eof(side->peer, false);
    fake_run(side->loop);
    assert_int_equal(fake_peer_state(side->peer), FAKE_CLOSED);
    start(side, "api");
    fake_run(side->loop);
    fake_peer_window(side->peer, 0);
    put(side->stream, "bye", true);
    io_stream_finish(side->stream, 100);
    side->stream = NULL;
    fake_advance(side->loop, 100);
    assert_int_equal(fake_peer_state(side->peer), FAKE_CLOSED);
    assert_int_equal(fake_peer_lost(side->peer), 3);
    assert_int_equal(side->ends, 0);
}

static void test_callers_are_accepted_unless_paused(void **state)
{
    struct side *side = *state;
    struct err err = ERR_INIT;
    struct io_listener *l =
        io_listen(side->loop, STRV("127.0.0.1:0"), false, on_stream, side, &err);
    struct fake_peer *p;

    assert_non_null(l);
    assert_null(
        io_listen(side->loop, strv_of(io_listener_address(l)), false, on_stream, side, &err));
    assert_null(fake_client_connect(side->loop, "127.0.0.1:1", NULL));
    io_listener_pause(l, true);
    p = fake_client_connect(side->loop, io_listener_address(l), "10.0.0.7");
    fake_peer_send_cstr(p, "hi");
    fake_run(side->loop);
    assert_null(side->stream);
    io_listener_pause(l, false);
    fake_run(side->loop);
    assert_true(strv_eq_cstr(buf_view(&side->got), "hi"));
    assert_false(io_stream_is_loopback(side->stream));
    p = fake_client_connect(side->loop, io_listener_address(l), NULL);
    io_listener_close(l);
    fake_run(side->loop);
    assert_int_equal(fake_peer_state(p), FAKE_ABORTED);
}

static void note_time(void *arg)
{
    struct side *side = arg;

    buf_printf(&side->got, "%d ", (int)(io_now_us(side->loop) / 1000 % 100000));
}

static void test_time_passes_only_by_hand_and_in_order(void **state)
{
    struct side *side = *state;
    struct io_timer a = {0}, b = {0}, c = {0};
    int64_t wall = io_wall_us(side->loop);
    int base = (int)(io_now_us(side->loop) / 1000 % 100000);
    char expected[64];

    io_timer_start(side->loop, &a, 30, note_time, side);
    io_timer_start(side->loop, &b, 10, note_time, side);
    io_timer_start(side->loop, &c, 5, note_time, side);
    io_timer_start(side->loop, &c, 20, note_time, side);
    fake_run(side->loop);
    assert_int_equal(buf_len(&side->got), 0);
    assert_int_equal(fake_next_timer_ms(side->loop), 10);
    fake_advance(side->loop, 29);
    io_timer_start(side->loop, &b, 0, note_time, side);
    fake_run(side->loop);
    fake_advance(side->loop, 100);
    snprintf(expected, sizeof expected, "%d %d %d %d ", base + 10, base + 20, base + 29, base + 30);
    assert_true(strv_eq_cstr(buf_view(&side->got), expected));
    assert_int_equal(io_wall_us(side->loop) - wall, 129000);
}

struct chain {
    struct io_task task;
    struct side *side;
};

static void run_chain(struct io_task *task)
{
    struct chain *chain = list_entry(task, struct chain, task);

    if (++chain->side->calls < 3)
        io_defer(chain->side->loop, task);
}

static void count_call(void *arg)
{
    ((struct side *)arg)->calls++;
}

static void *post_from_thread(void *arg)
{
    struct side *side = arg;

    return io_post(side->loop, count_call, side) ? NULL : arg;
}

static void on_sig(void *arg, int signum)
{
    ((struct side *)arg)->why = (enum io_end)signum;
}

static void test_tasks_posts_and_signals_are_run(void **state)
{
    struct side *side = *state;
    struct chain chain = {{run_chain, NULL, false}, side};
    pthread_t thread;

    io_defer(side->loop, &chain.task);
    io_defer(side->loop, &chain.task);
    fake_run(side->loop);
    assert_int_equal(side->calls, 3);
    assert_int_equal(pthread_create(&thread, NULL, post_from_thread, side), 0);
    assert_true(fake_wait_post(side->loop));
    pthread_join(thread, NULL);
    fake_run(side->loop);
    assert_int_equal(side->calls, 4);
    /* the other thread's allocation was freed here; keep this thread's count even */
    void *even = mem_alloc(1);
    free(even);
    assert_true(io_on_signal(side->loop, SIGHUP, on_sig, side, NULL));
    fake_raise(side->loop, SIGHUP);
    fake_run(side->loop);
    assert_int_equal(side->why, SIGHUP);
}

static void on_line(void *arg, strv line)
{
    buf_put_strv(&((struct side *)arg)->got, line);
    buf_put_char(&((struct side *)arg)->got, ';');
}

static void on_exit_told(void *arg, int status, int signum)
{
    struct side *side = arg;

    side->ends++;
    side->calls = (unsigned)(status * 1000 + signum);
}

static void on_child(void *arg, struct io_child *c)
{
    *(struct io_child **)arg = c;
}

static void test_children_are_records(void **state)
{
    struct side *side = *state;
    struct io_child_opts opts = {.argv = (const char *const[]){"engine", "-m", "x", NULL},
                                 .envp = (const char *const[]){"HOME=/tmp", NULL},
                                 .on_line = on_line,
                                 .on_exit = on_exit_told,
                                 .arg = side};
    struct io_child *c = NULL, *seen = NULL;
    struct err err = ERR_INIT;

    fake_child_refuse(side->loop, "no such file");
    assert_null(io_child_start(side->loop, &opts, &err));
    assert_non_null(strstr(err.text, "no such file"));
    fake_on_child(side->loop, on_child, &seen);
    c = io_child_start(side->loop, &opts, &err);
    assert_ptr_equal(c, seen);
    assert_string_equal(fake_child_argv(c, 1), "-m");
    assert_null(fake_child_argv(c, 3));
    assert_string_equal(fake_child_env(c, "HOME"), "/tmp");
    fake_child_line(c, "loading");
    fake_child_line(c, "ready");
    fake_run(side->loop);
    assert_true(strv_eq_cstr(buf_view(&side->got), "loading;ready;"));
    fake_child_stubborn(c, true);
    io_child_stop(c, 50);
    fake_run(side->loop);
    assert_true(fake_child_running(c));
    fake_advance(side->loop, 50);
    assert_false(fake_child_running(c));
    assert_int_equal(side->calls, SIGKILL);
    c = io_child_start(side->loop, &opts, &err);
    fake_child_exit(c, 3, 0);
    fake_run(side->loop);
    assert_int_equal(side->calls, 3000);
    assert_int_equal(side->ends, 2);
}

static void answer(void *arg, struct fake_peer *p)
{
    struct side *side = arg;

    side->drains++;
    if (fake_peer_received(p).len >= 4) {
        fake_peer_eat(p, 4);
        fake_peer_send_cstr(p, "pong");
    }
}

static void test_a_script_can_answer_by_itself(void **state)
{
    struct side *side = *state;

    connect_to(side, &(struct fake_rule){0});
    fake_peer_watch(side->peer, answer, side);
    put(side->stream, "ping", true);
    fake_run(side->loop);
    assert_true(strv_eq_cstr(buf_view(&side->got), "pong"));
    io_stream_close(side->stream);
    side->stream = NULL;
    fake_run(side->loop);
    assert_int_equal(side->drains, 2);
    fake_peer_free(side->peer);
}

static void test_what_was_forgotten_is_counted(void **state)
{
    struct io_loop *loop = io_loop_new(&ERR_INIT);
    struct io_timer t = {0};
    struct side side = {.loop = loop};
    struct io_tls *tls = io_tls_new(&(struct io_tls_opts){0}, &ERR_INIT);

    (void)state;
    io_timer_start(loop, &t, 1, count_call, &side);
    fake_target(loop, "api", 80, &(struct fake_rule){.answer = FAKE_HANG});
    assert_non_null(start(&side, "api"));
    assert_non_null(io_listen(loop, STRV("127.0.0.1:80"), false, on_stream, &side, &ERR_INIT));
    assert_int_equal(fake_end(loop), 3);
    assert_int_equal(fake_tls_live(), 1);
    io_tls_unref(io_tls_ref(tls));
    io_tls_unref(tls);
    assert_int_equal(fake_tls_live(), 0);
    assert_int_equal(mem_live(), 0);
}

static void test_refused_memory_hits_the_program_only(void **state)
{
    struct side *side = *state;

    fake_target(side->loop, "api", 80, &(struct fake_rule){.on_peer = on_peer, .arg = side});
    mem_fail_at(1, false);
    assert_null(start(side, "api"));
    mem_fail_at(2, false);
    assert_non_null(start(side, "api"));
    fake_run(side->loop);
    assert_int_equal(side->why, IO_NO_MEMORY);
    mem_fail_at(0, false);
    assert_non_null(start(side, "api"));
    fake_run(side->loop);
    fake_peer_window(side->peer, 0);
    mem_fail_at(1, false);
    put(side->stream, "abc", false);
    mem_fail_at(0, false);
    fake_run(side->loop);
    assert_int_equal(side->end, IO_NO_MEMORY);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_bytes_go_both_ways),
        T(test_every_answer_of_a_target),
        T(test_rules_for_some_times_come_before_the_standing_one),
        T(test_allow_sees_what_a_name_resolves_to),
        T(test_a_cancelled_connect_never_calls),
        T(test_cuts_are_what_the_script_says),
        T(test_the_brake_holds_data_and_its_end),
        T(test_a_reset_comes_after_the_data_and_kills_writing),
        T(test_truncation_has_its_own_end),
        T(test_the_window_makes_output_pend_and_drain),
        T(test_the_ways_of_closing_are_told_apart),
        T(test_callers_are_accepted_unless_paused),
        T(test_time_passes_only_by_hand_and_in_order),
        T(test_tasks_posts_and_signals_are_run),
        T(test_children_are_records),
        T(test_a_script_can_answer_by_itself),
        cmocka_unit_test(test_what_was_forgotten_is_counted),
        T(test_refused_memory_hits_the_program_only),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
