/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chats - many conversations at once over WebSockets (docs/chat.md), and what came of them in one JSON object.
 *
 *   idle      N sockets, each of a conversation of its own, on which nothing is said
 *   streams   N answers at once: every event's delay while all of them run, then each is followed to its end
 *   stop      one after the other is interrupted at its first word: from `interrupt` sent to `interrupted` read
 *
 * The events' texts carry the stand-in's clock, as in load.h. A client that only measures: it masks with zeros, knows a
 * frame by its first member, and does not look at what else is in it.
 */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND   1000000000ull
#define OPENING  64                /* connections that are being opened at once */
#define READ_MAX ((size_t)1 << 20) /* of one socket in one turn, and a frame's most */

enum mode { IDLE, STREAMS, STOP };

struct chat {
    int fd;
    bool upgraded, ready;
    uint32_t events, rounds;
    uint64_t stopped_ns; /* when `interrupt` was sent; 0 = it was not */
    char *rest;          /* an incomplete head or frame */
    size_t rest_len;
};

static struct {
    enum mode mode;
    int port;
    size_t chats, rounds, events;
    double seconds, warmup, ramp, drain;
    const char *name;
    int pids[WATCH_MAX];
    size_t n_pids;
} opt = {
    .chats = 1, .rounds = 200, .seconds = 5, .warmup = 1, .ramp = 2, .drain = 30, .name = "chat"};

static struct {
    struct chat *chats;
    int poller;
    size_t opening, ready, active, whole, failed;
    uint64_t events;
    bool measuring;
    struct hist delay, stop;
    struct usage before, start, end;
} s;

static void die(const char *what)
{
    fprintf(stderr, "chats: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- a socket ---- */

static void put(struct chat *c, const void *data, size_t n)
{
    if (send(c->fd, data, n, MSG_NOSIGNAL) != (ssize_t)n) /* few and short: there is always room */
        die("send");
}

static void say(struct chat *c, int opcode, const char *text, size_t n)
{
    char frame[6 + 125] = {(char)(0x80 | opcode), (char)(0x80 | n)};
    memcpy(frame + 6, text, n);
    put(c, frame, 6 + n);
}

static void say_text(struct chat *c, const char *text)
{
    say(c, 1, text, strlen(text));
}

static void ask(struct chat *c)
{
    char text[100];
    snprintf(text, sizeof text,
             "{\"type\":\"user_message\",\"content\":\"Tell me story %zu, part %u.\"}",
             (size_t)(c - s.chats), c->rounds);
    say_text(c, text);
}

static void open_chat(struct chat *c)
{
    char head[512];
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)opt.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&to, sizeof to) != 0)
        die("connect");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(s.poller, EPOLL_CTL_ADD, c->fd, &e) != 0)
        die("epoll_ctl");
    int n = snprintf(head, sizeof head,
                     "GET /ws/%s-%08zu?model=o/demo HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                     "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     opt.name, (size_t)(c - s.chats), opt.port);
    s.opening++;
    put(c, head, (size_t)n);
}

/* ---- what it hears ---- */

static void on_ready(struct chat *c)
{
    c->ready = true;
    s.opening--;
    s.ready++;
    if (opt.mode == STOP) {
        s.active++;
        ask(c);
    }
}

static void on_token(struct chat *c, const char *text, size_t n, uint64_t now)
{
    static const char mark[] = "t=";
    const char *at = text, *end = text + n;
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)) != NULL) {
        uint64_t stamp = strtoull(at + 2, NULL, 10); /* it ends at a blank or a quote */
        at += 2;
        c->events++;
        if (!s.measuring)
            continue;
        s.events++;
        hist_add(&s.delay, now > stamp ? now - stamp : 0);
    }
    if (opt.mode != STOP || c->stopped_ns != 0)
        return;
    say_text(c, "{\"type\":\"interrupt\"}");
    c->stopped_ns = now_ns();
}

static void on_stopped(struct chat *c, uint64_t now)
{
    hist_add(&s.stop, now - c->stopped_ns);
    c->stopped_ns = 0;
    if (++c->rounds < opt.rounds)
        ask(c);
    else
        s.active--;
}

static void on_text(struct chat *c, const char *text, size_t n)
{
    static const char before[] = "{\"type\":\"";
    const char *type = n > sizeof before + 16 ? text + sizeof before - 1 : "";
    uint64_t now = now_ns();
    if (strncmp(type, "token\"", 6) == 0) {
        on_token(c, text, n, now);
    } else if (strncmp(type, "connected\"", 10) == 0) {
        on_ready(c);
    } else if (strncmp(type, "complete\"", 9) == 0) {
        s.active--;
        s.whole += c->events == opt.events;
    } else if (strncmp(type, "interrupted\"", 12) == 0) {
        on_stopped(c, now);
    } else if (strncmp(type, "error\"", 6) == 0) {
        fprintf(stderr, "chats: %.*s\n", (int)n, text);
        s.active--;
        s.failed++;
    }
}

static void on_gone(struct chat *c)
{
    (void)epoll_ctl(s.poller, EPOLL_CTL_DEL, c->fd, NULL);
    s.failed++;
    if (!c->ready)
        s.opening--;
    else if (opt.mode != IDLE)
        s.active--;
}

/* What is read of `at`: the answer's head, a frame; 0 = it is not whole. */
static size_t take(struct chat *c, const char *at, size_t n)
{
    const unsigned char *b = (const unsigned char *)at;
    if (!c->upgraded) {
        const char *end = memmem(at, n, "\r\n\r\n", 4);
        if (end == NULL)
            return 0;
        if (strncmp(at, "HTTP/1.1 101 ", 13) != 0)
            die("no upgrade");
        c->upgraded = true;
        return (size_t)(end + 4 - at);
    }
    if (n < 2)
        return 0;
    size_t len = b[1], head = 2;
    if (len == 126 || len == 127) {
        head = len == 126 ? 4 : 10;
        if (n < head)
            return 0;
        len = 0;
        for (size_t i = 2; i < head; i++)
            len = len << 8 | b[i];
    }
    if (n < head + len)
        return 0;
    if ((b[0] & 15) == 1)
        on_text(c, at + head, len);
    else if ((b[0] & 15) == 9)
        say(c, 10, at + head, len);
    return head + len;
}

static void on_readable(struct chat *c)
{
    static char in[READ_MAX + 1];
    if (c->rest_len > 0)
        memcpy(in, c->rest, c->rest_len);
    ssize_t got = recv(c->fd, in + c->rest_len, READ_MAX - c->rest_len, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        on_gone(c);
        return;
    }
    size_t n = c->rest_len + (size_t)got, at = 0;
    in[n] = '\0';
    for (size_t step; (step = take(c, in + at, n - at)) > 0;)
        at += step;
    c->rest_len = n - at;
    c->rest = realloc(c->rest, c->rest_len + 1);
    if (c->rest == NULL)
        die("memory");
    memcpy(c->rest, in + at, c->rest_len);
}

/* ---- time ---- */

static uint64_t after(double seconds)
{
    return now_ns() + (uint64_t)(seconds * (double)SECOND);
}

static void turn(uint64_t until)
{
    struct epoll_event events[256];
    uint64_t now = now_ns(), wait = until > now ? until - now : 0;
    int n = epoll_wait(s.poller, events, 256, (int)(wait / 1000000 + (wait > 0)));
    if (n < 0 && errno != EINTR)
        die("epoll_wait");
    for (int i = 0; i < n; i++)
        on_readable(events[i].data.ptr);
}

static void run_until(uint64_t end)
{
    while (now_ns() < end)
        turn(end);
}

static void open_all(void)
{
    uint64_t end = after(60);
    for (size_t i = 0; s.ready + s.failed < opt.chats;) {
        while (i < opt.chats && s.opening < OPENING)
            open_chat(&s.chats[i++]);
        if (now_ns() > end)
            die("not all were opened");
        turn(after(0.1));
    }
}

static void measure(void)
{
    s.measuring = true;
    usage_read(opt.pids, opt.n_pids, &s.start);
    run_until(after(opt.seconds));
    usage_read(opt.pids, opt.n_pids, &s.end);
    s.measuring = false;
}

static void run_streams(void)
{
    uint64_t start = now_ns(), step = (uint64_t)(opt.ramp * (double)SECOND) / opt.chats;
    for (size_t i = 0; i < opt.chats; i++) {
        run_until(start + i * step);
        s.active++;
        ask(&s.chats[i]);
    }
    run_until(after(opt.warmup));
    measure();
    for (uint64_t end = after(opt.drain); s.active > 0 && now_ns() < end;)
        turn(end);
}

static void report(void)
{
    static const char *const names[] = {"idle", "streams", "stop"};
    printf("{\"mode\":\"%s\",\"sockets\":%zu,\"whole\":%zu,\"failed\":%zu,\"active_end\":%zu,"
           "\"events\":%llu",
           names[opt.mode], s.ready, s.whole, s.failed, s.active, (unsigned long long)s.events);
    hist_print("delay", &s.delay);
    hist_print("stop", &s.stop);
    printf(",\"cpu_ns\":%llu,\"wait_ns\":%llu,\"rss_kb\":[%llu,%llu,%llu]}\n",
           (unsigned long long)(s.end.cpu_ns - s.start.cpu_ns),
           (unsigned long long)(s.end.wait_ns - s.start.wait_ns),
           (unsigned long long)s.before.rss_kb, (unsigned long long)s.start.rss_kb,
           (unsigned long long)s.end.rss_kb);
}

static const char usage[] =
    "usage: chats idle|streams|stop PORT [OPTION]...\n"
    "\n"
    "  --sockets N     conversations (default 1)\n"
    "  --name NAME     what theirs begin with (default chat)\n"
    "  --events N      that an answer has when it is whole (streams)\n"
    "  --rounds N      answers of each that are interrupted (stop; default 200)\n"
    "  --ramp S        over which they are asked for (streams; default 2)\n"
    "  --warmup S      before the measured window (default 1)\n"
    "  --seconds S     the measured window (default 5)\n"
    "  --drain S       how long to wait for ends after it (default 30)\n"
    "  --watch PID     repeatable: CPU time in the window; memory before the first socket, at the "
    "window's start and "
    "end\n";

static bool read_options(int argc, char **argv)
{
    static const char *const modes[] = {"idle", "streams", "stop"};
    static const struct option options[] = {{"sockets", 1, NULL, 'n'}, {"name", 1, NULL, 'm'},
                                            {"events", 1, NULL, 'e'},  {"rounds", 1, NULL, 'r'},
                                            {"ramp", 1, NULL, 'a'},    {"warmup", 1, NULL, 'w'},
                                            {"seconds", 1, NULL, 's'}, {"drain", 1, NULL, 'd'},
                                            {"watch", 1, NULL, 'p'},   {0}};
    double *const times[] = {
        ['a'] = &opt.ramp, ['w'] = &opt.warmup, ['s'] = &opt.seconds, ['d'] = &opt.drain};
    size_t *const counts[] = {['n'] = &opt.chats, ['e'] = &opt.events, ['r'] = &opt.rounds};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'a' || o == 'w' || o == 's' || o == 'd')
            *times[o] = atof(optarg);
        else if (o == 'n' || o == 'e' || o == 'r')
            *counts[o] = strtoul(optarg, NULL, 10);
        else if (o == 'm')
            opt.name = optarg;
        else if (o == 'p' && opt.n_pids < WATCH_MAX)
            opt.pids[opt.n_pids++] = atoi(optarg);
        else
            return false;
    }
    if (argc - optind != 2 || opt.chats == 0)
        return false;
    opt.port = atoi(argv[optind + 1]);
    for (size_t i = 0; i < 3; i++)
        if (strcmp(argv[optind], modes[i]) == 0) {
            opt.mode = (enum mode)i;
            return opt.port > 0;
        }
    return false;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    if (!read_options(argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    s.poller = epoll_create1(EPOLL_CLOEXEC);
    s.chats = calloc(opt.chats, sizeof *s.chats);
    if (s.poller < 0 || s.chats == NULL)
        die("start");
    usage_read(opt.pids, opt.n_pids, &s.before);
    open_all();
    if (opt.mode == STREAMS) {
        run_streams();
    } else if (opt.mode == STOP) {
        for (uint64_t end = after(opt.drain); s.active > 0 && now_ns() < end;)
            turn(end);
    } else {
        run_until(after(opt.warmup));
        measure();
    }
    report();
    return 0;
}
