/* SPDX-License-Identifier: Apache-2.0 */
/* log: the shape of a line, levels, and writers that take little or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"

#define TIME "{\"time\":\"2026-11-22T15:00:00.123Z\","

static int64_t fixed_us(void)
{
    return 1795359600123456;
}

struct world {
    int fds[2]; /* read end, write end; neither blocks */
    struct log log;
    char got[1 << 20];
    size_t len;
};

static struct world world;

static void open_log(enum log_level level)
{
    world.len = 0;
    assert_int_equal(pipe2(world.fds, O_NONBLOCK), 0);
    log_init(&world.log, world.fds[1], level);
    world.log.wall_us = fixed_us;
}

static const char *drain(void)
{
    char piece[4096];
    ssize_t n;
    while ((n = read(world.fds[0], piece, sizeof(piece))) > 0) {
        assert_true(world.len + (size_t)n < sizeof(world.got));
        memcpy(world.got + world.len, piece, (size_t)n);
        world.len += (size_t)n;
    }
    world.got[world.len] = '\0';
    return world.got;
}

static void drain_all(void)
{
    do {
        log_flush(&world.log);
        drain();
    } while (buf_len(&world.log.pending) > 0);
}

static void close_log(void)
{
    log_fini(&world.log);
    close(world.fds[0]);
    close(world.fds[1]);
}

/* Every line so far is one JSON object; returns how many, and adds up their "lost". */
static size_t check_lines(int64_t *lost)
{
    strv rest = {world.got, world.len}, line;
    size_t n = 0;
    *lost = 0;
    assert_true(world.len == 0 || world.got[world.len - 1] == '\n');
    while (strv_cut(&rest, '\n', &line) && rest.ptr != NULL) {
        struct arena a;
        struct json doc;
        arena_init(&a, 4096, 1 << 20);
        assert_true(json_read(&doc, line, &a, 1, NULL));
        assert_true(yyjson_is_obj(doc.root));
        *lost += json_get_int(doc.root, "lost", 0);
        arena_fini(&a);
        n++;
    }
    return n;
}

static void a_line_has_its_fields_in_order(void **state)
{
    (void)state;
    open_log(LOG_INFO);
    LOG(&world.log, LOG_INFO, "exchange", LOG_S(REQUEST_ID, STRV("7f0c")), LOG_I(STATUS, 200),
        LOG_B(STREAM, true), LOG_B(PRIVATE, 0), LOG_US(TOTAL_MS, 12345), LOG_C(MODEL, "m"),
        LOG_C(TASK, NULL), LOG_S(KEY, STRV_NONE), LOG_S(PEER, STRV("")));
    log_flush(&world.log);
    assert_string_equal(drain(),
                        TIME "\"level\":\"info\",\"event\":\"exchange\",\"request_id\":\"7f0c\","
                             "\"status\":200,\"stream\":true,\"private\":false,"
                             "\"total_ms\":12.345,\"model\":\"m\",\"peer\":\"\"}\n");
    close_log();
}

static void milliseconds_have_three_decimals(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {{0, "0.000"},
                 {1, "0.001"},
                 {999, "0.999"},
                 {1000, "1.000"},
                 {-1, "-0.001"},
                 {-1500, "-1.500"},
                 {INT64_MAX, "9223372036854775.807"},
                 {INT64_MIN, "-9223372036854775.808"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char want[200];
        open_log(LOG_DEBUG);
        LOG(&world.log, LOG_ERROR, "e", LOG_US(MS, cases[i].us));
        snprintf(want, sizeof(want), TIME "\"level\":\"error\",\"event\":\"e\",\"ms\":%s}\n",
                 cases[i].text);
        assert_string_equal(drain(), want);
        close_log();
    }
}

static void levels_below_are_silent(void **state)
{
    (void)state;
    for (int at = LOG_DEBUG; at <= LOG_OFF; at++) {
        int64_t lost;
        open_log((enum log_level)at);
        for (int level = LOG_DEBUG; level < LOG_OFF; level++) {
            LOG(&world.log, (enum log_level)level, "e", LOG_I(COUNT, level));
            log_write(&world.log, (enum log_level)level, "e", NULL, 0);
        }
        log_flush(&world.log);
        drain();
        assert_int_equal(check_lines(&lost), 2 * (LOG_OFF - at));
        close_log();
    }
}

static void nowhere_is_a_place(void **state)
{
    (void)state;
    struct log log;
    int64_t live = mem_live();
    log_write(NULL, LOG_ERROR, "e", NULL, 0);
    log_flush(NULL);
    log_init(&log, -1, LOG_DEBUG);
    LOG(&log, LOG_ERROR, "e", LOG_I(COUNT, 1));
    assert_int_equal(mem_live(), live);
    log_fini(&log);
}

static void level_names_go_both_ways(void **state)
{
    (void)state;
    enum log_level got;
    for (int level = LOG_DEBUG; level <= LOG_OFF; level++) {
        assert_true(log_level_parse(strv_of(log_level_name((enum log_level)level)), &got));
        assert_int_equal(got, level);
    }
    assert_false(log_level_parse(STRV("loud"), &got));
    assert_false(log_level_parse(STRV(""), &got));
    assert_false(log_level_parse(STRV_NONE, &got));
}

static void warnings_go_out_at_once_the_rest_later(void **state)
{
    (void)state;
    int64_t lost;
    open_log(LOG_INFO);
    LOG(&world.log, LOG_INFO, "a", LOG_I(COUNT, 1));
    assert_string_equal(drain(), "");
    LOG(&world.log, LOG_WARN, "b", LOG_I(COUNT, 2));
    drain();
    assert_int_equal(check_lines(&lost), 2);
    LOG(&world.log, LOG_INFO, "c", LOG_I(COUNT, 3));
    drain();
    assert_int_equal(check_lines(&lost), 2);
    log_fini(&world.log); /* flushes */
    drain();
    assert_int_equal(check_lines(&lost), 3);
    close_log();
}

static void full_32k_go_out(void **state)
{
    (void)state;
    int64_t lost;
    size_t n = 0;
    open_log(LOG_INFO);
    while (drain(), world.len == 0) {
        LOG(&world.log, LOG_INFO, "e", LOG_I(COUNT, n));
        n++;
        assert_true(n < 1000);
    }
    assert_true(world.len >= 32 * 1024);
    assert_int_equal(check_lines(&lost), n);
    assert_int_equal(buf_len(&world.log.pending), 0);
    close_log();
}

/* Whatever bytes a peer chose, the line is JSON of limited length. */
static void hostile_text_stays_inside_its_string(void **state)
{
    (void)state;
    char text[500];
    static const char *const texts[] = {"\"},{\"level\":\"", "a\nb", "\x01\x1f", "\xff\xfe", "\xc3",
                                        "\xe2\x82\xac",      "\\",   "\x7f"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        size_t part = strlen(texts[i]);
        for (size_t n = 0; n < sizeof(text); n += 7) {
            int64_t lost;
            for (size_t at = 0; at < n; at++)
                text[at] = texts[i][at % part];
            open_log(LOG_INFO);
            LOG(&world.log, LOG_ERROR, "e", LOG_S(REQUEST_ID, ((strv){text, n})));
            drain();
            assert_int_equal(check_lines(&lost), 1);
            assert_true(world.len < 200 * 6 + 120);
            close_log();
        }
    }
}

static void text_is_cut_at_200_bytes_between_characters(void **state)
{
    (void)state;
    char text[301], want[500];
    memset(text, 'x', 300);
    memcpy(text + 198, "\xe2\x82\xac", 3);
    text[300] = '\0';
    open_log(LOG_INFO);
    LOG(&world.log, LOG_ERROR, "e", LOG_C(PEER, text));
    snprintf(want, sizeof(want), TIME "\"level\":\"error\",\"event\":\"e\",\"peer\":\"%.198s\"}\n",
             text);
    assert_string_equal(drain(), want);
    close_log();
}

static void a_line_longer_than_an_atomic_write_is_lost(void **state)
{
    (void)state;
    char text[200];
    struct log_kv kv[8];
    int64_t lost;
    memset(text, 1, sizeof(text)); /* six bytes each when escaped */
    for (size_t i = 0; i < 8; i++)
        kv[i] = LOG_S(PEER, ((strv){text, sizeof(text)}));
    open_log(LOG_INFO);
    log_write(&world.log, LOG_ERROR, "e", kv, 8);
    assert_string_equal(drain(), "");
    LOG(&world.log, LOG_ERROR, "next", LOG_I(COUNT, 1));
    drain();
    assert_int_equal(check_lines(&lost), 1);
    assert_int_equal(lost, 1);
    close_log();
}

/* Nobody reads: lines wait up to a limit, later ones are counted; when the reader comes back, every line
 * is whole and what is missing is told. `blocking`: the descriptor itself would block. */
static void a_reader_that_sleeps_costs_lines_only(bool blocking)
{
    int64_t lost;
    const size_t n = 3000;
    open_log(LOG_INFO);
    if (blocking)
        assert_int_equal(fcntl(world.fds[1], F_SETFL, 0), 0);
    for (size_t i = 0; i < n; i++)
        LOG(&world.log, i % 3 == 0 ? LOG_ERROR : LOG_INFO, "e", LOG_I(COUNT, i));
    assert_true(world.log.lost > 0);
    assert_true(buf_len(&world.log.pending) <= 64 * 1024);
    drain_all();
    LOG(&world.log, LOG_ERROR, "last", LOG_I(COUNT, n));
    drain_all();
    size_t lines = check_lines(&lost);
    assert_true(lost > 0);
    assert_int_equal(lines + (size_t)lost, n + 1);
    assert_int_equal(world.log.lost, 0);
    close_log();
}

static void a_full_pipe_loses_whole_lines_and_counts_them(void **state)
{
    (void)state;
    a_reader_that_sleeps_costs_lines_only(false);
}

static void a_blocking_pipe_does_not_block(void **state)
{
    (void)state;
    a_reader_that_sleeps_costs_lines_only(true);
}

/* A stream socket with a small buffer takes parts of lines. */
static void a_short_write_keeps_the_rest_of_the_line(void **state)
{
    (void)state;
    int fds[2], small = 1, on = O_NONBLOCK;
    int64_t lost;
    const size_t n = 2000;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, on), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, on), 0);
    world.fds[0] = fds[0];
    world.fds[1] = fds[1];
    world.len = 0;
    log_init(&world.log, fds[1], LOG_INFO);
    for (size_t i = 0; i < n; i++) {
        LOG(&world.log, LOG_INFO, "e", LOG_I(COUNT, i), LOG_C(PEER, "127.0.0.1:50000"));
        if (i % 2 == 0) {
            log_flush(&world.log);
            ssize_t got = read(fds[0], world.got + world.len, i % 50);
            world.len += got > 0 ? (size_t)got : 0;
        }
    }
    drain_all();
    LOG(&world.log, LOG_ERROR, "last", LOG_I(COUNT, n));
    drain_all();
    assert_int_equal(check_lines(&lost) + (size_t)lost, n + 1);
    close_log();
}

static void a_writer_that_fails_stops_nothing(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    open_log(LOG_INFO);
    close(world.fds[0]);
    for (size_t i = 0; i < 3000; i++)
        LOG(&world.log, LOG_WARN, "e", LOG_I(COUNT, i));
    assert_true(world.log.lost > 2000);
    log_fini(&world.log);
    close(world.fds[1]);
    log_init(&world.log, world.fds[1], LOG_INFO); /* closed */
    LOG(&world.log, LOG_WARN, "e", LOG_I(COUNT, 1));
    log_fini(&world.log);
}

static void refused_memory_loses_the_line(void **state)
{
    (void)state;
    int64_t lost;
    open_log(LOG_INFO);
    mem_fail_at(1, true);
    LOG(&world.log, LOG_ERROR, "a", LOG_I(COUNT, 1));
    LOG(&world.log, LOG_ERROR, "b", LOG_I(COUNT, 2));
    mem_fail_at(0, false);
    assert_string_equal(drain(), "");
    LOG(&world.log, LOG_ERROR, "c", LOG_I(COUNT, 3));
    drain();
    assert_int_equal(check_lines(&lost), 1);
    assert_int_equal(lost, 2);
    close_log();
}

static void the_clock_is_the_systems_unless_told(void **state)
{
    (void)state;
    open_log(LOG_INFO);
    world.log.wall_us = NULL;
    LOG(&world.log, LOG_ERROR, "e", LOG_I(COUNT, 1));
    assert_memory_equal(drain(), "{\"time\":\"20", 11);
    close_log();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_fields_in_order),
        cmocka_unit_test(milliseconds_have_three_decimals),
        cmocka_unit_test(levels_below_are_silent),
        cmocka_unit_test(nowhere_is_a_place),
        cmocka_unit_test(level_names_go_both_ways),
        cmocka_unit_test(warnings_go_out_at_once_the_rest_later),
        cmocka_unit_test(full_32k_go_out),
        cmocka_unit_test(hostile_text_stays_inside_its_string),
        cmocka_unit_test(text_is_cut_at_200_bytes_between_characters),
        cmocka_unit_test(a_line_longer_than_an_atomic_write_is_lost),
        cmocka_unit_test(a_full_pipe_loses_whole_lines_and_counts_them),
        cmocka_unit_test(a_blocking_pipe_does_not_block),
        cmocka_unit_test(a_short_write_keeps_the_rest_of_the_line),
        cmocka_unit_test(a_writer_that_fails_stops_nothing),
        cmocka_unit_test(refused_memory_loses_the_line),
        cmocka_unit_test(the_clock_is_the_systems_unless_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
