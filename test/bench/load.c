/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - the modes, arguments, and the report.
 *
 *   closed   C connections, each sends its next request when the last is answered: what a server can do at most
 *   rate     R requests a second, whatever the server does; a latency counts from when the request was due, so a
 *            server that stops the clock cannot hide it (coordinated omission)
 *   streams  N streams opened over a ramp, measured while all of them run, then followed to their ends
 *   idle     N connections that had one answer each and then keep silent: what an open connection costs
 *   leavers  N streams at any time, whose callers leave at random moments and come back as new ones: the soak
 *
 * The report is one JSON object on standard output; times are microseconds.
 */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

enum mode { CLOSED, RATE, STREAMS, IDLE, LEAVERS };

static struct {
    enum mode mode;
    int64_t connections;
    double rate, seconds, warmup, ramp, drain, stay;
    const char *dialect, *model, *body_file;
    char headers[4096];
    int64_t size;
    bool stream, fresh, grow;
    int pids[WATCH_MAX];
    size_t pid_count;
} opt = {.connections = 32,
         .rate = 1000,
         .seconds = 5,
         .warmup = 1,
         .ramp = 2,
         .drain = 60,
         .stay = 1,
         .dialect = "openai",
         .model = "demo",
         .size = 512};

static struct peer *peers;
static size_t *free_list, free_count; /* rate: who may send */
static uint64_t opened, fine, left, late_max, active, active_peak;
static uint64_t ends[END_CONNECT + 1];
static uint64_t next_due_ns, gap_ns; /* rate: when the next request is due */
static uint64_t random_state = 88172645463325252ull;
static bool stopping;
static struct hist latency;
static struct usage before, at_start, at_end;

/* xorshift64: the same choices in every run. */
static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void open_stream(struct peer *p, uint64_t now)
{
    opened++;
    if (++active > active_peak)
        active_peak = active;
    /* Any moment from the connect on, mostly early: waiting for the head, between events, rarely after the end. */
    double stay = opt.stay * (double)(random_next() >> 11) / (double)(1ull << 53);
    p->leave_ns = now + (uint64_t)(stay * 2 * (double)SECOND);
    peer_begin(p, now);
}

static void rate_send(uint64_t now)
{
    while (free_count && next_due_ns <= now && !stopping) {
        if (now - next_due_ns > late_max)
            late_max = now - next_due_ns;
        struct peer *p = &peers[free_list[--free_count]];
        uint64_t due = next_due_ns;
        next_due_ns += gap_ns;
        opened++;
        peer_begin(p, due);
        now = now_ns();
    }
}

static void on_done(struct peer *p, enum peer_end end)
{
    uint64_t now = now_ns();
    ends[end]++;
    if (load.measuring && end == END_FINE) {
        fine++;
        hist_add(&latency, now - p->due_ns);
    }
    switch (opt.mode) {
    case CLOSED:
        if (end == END_CONNECT && ends[END_CONNECT] > 10000) {
            fputs("load: nobody is listening\n", stderr);
            exit(1);
        }
        if (!stopping) {
            opened++;
            peer_begin(p, now);
        }
        break;
    case RATE:
        free_list[free_count++] = (size_t)(p - peers);
        rate_send(now);
        break;
    case LEAVERS:
        active--;
        if (!stopping)
            p->leave_ns = now + SECOND / 100; /* comes back a little later, also when refused */
        break;
    case STREAMS:
    case IDLE:
        active--;
        break;
    }
}

/* One turn of the loop; waits no longer than until at_ns. */
static void turn(uint64_t at_ns)
{
    struct epoll_event events[512];
    uint64_t now = now_ns();
    struct timespec wait = {0};
    if (at_ns > now) {
        wait.tv_sec = (time_t)((at_ns - now) / SECOND);
        wait.tv_nsec = (long)((at_ns - now) % SECOND);
    }
    int n = epoll_pwait2(load.poller, events, 512, &wait, NULL);
    for (int i = 0; i < n; i++)
        peer_ready(events[i].data.ptr, events[i].events);
    if (n < 0 && errno != EINTR) {
        perror("load: epoll_pwait2");
        exit(1);
    }
}

static void run_until(uint64_t end_ns)
{
    for (uint64_t now; (now = now_ns()) < end_ns;) {
        uint64_t at = end_ns;
        if (opt.mode == RATE) {
            rate_send(now);
            if (free_count && next_due_ns < at)
                at = next_due_ns;
        }
        turn(at);
    }
}

static uint64_t seconds(double s)
{
    return (uint64_t)(s * (double)SECOND);
}

static void measure(double window)
{
    load.measuring = true;
    load.events = 0;
    hist_clear(&latency);
    hist_clear(&load.delay);
    usage_read(opt.pids, opt.pid_count, &at_start);
    run_until(now_ns() + seconds(window));
    usage_read(opt.pids, opt.pid_count, &at_end);
    load.measuring = false;
}

static void run_closed_or_rate(void)
{
    for (int64_t i = 0; i < opt.connections; i++) {
        if (opt.mode == RATE) {
            free_list[free_count++] = (size_t)i;
        } else {
            opened++;
            peer_begin(&peers[i], now_ns());
        }
    }
    gap_ns = (uint64_t)((double)SECOND / opt.rate);
    next_due_ns = now_ns();
    run_until(now_ns() + seconds(opt.warmup));
    late_max = 0;
    measure(opt.seconds);
    stopping = true;
}

static void run_streams(void)
{
    uint64_t start = now_ns(), step = seconds(opt.ramp) / (uint64_t)opt.connections;
    for (int64_t i = 0; i < opt.connections; i++) {
        run_until(start + (uint64_t)i * step);
        opened++;
        if (++active > active_peak)
            active_peak = active;
        peer_begin(&peers[i], now_ns());
    }
    run_until(now_ns() + seconds(opt.warmup));
    measure(opt.seconds);
    for (uint64_t stop = now_ns() + seconds(opt.drain); active && now_ns() < stop;)
        turn(stop);
}

static void run_idle(void)
{
    size_t next = 0;
    while (next < (size_t)opt.connections || active) {
        while (next < (size_t)opt.connections && active < 4) {
            opened++;
            active++;
            peer_begin(&peers[next++], now_ns());
        }
        turn(now_ns() + SECOND / 10);
    }
    run_until(now_ns() + seconds(opt.warmup));
    measure(opt.seconds);
}

static void run_leavers(void)
{
    uint64_t start = now_ns(), stop = start + seconds(opt.seconds), tick = start;
    uint64_t step = seconds(opt.ramp) / (uint64_t)opt.connections;
    load.measuring = true;
    usage_read(opt.pids, opt.pid_count, &at_start);
    for (int64_t i = 0; i < opt.connections; i++)
        peers[i].leave_ns = start + (uint64_t)i * step + 1;
    for (uint64_t now, report = start + 10 * SECOND; (now = now_ns()) < stop;) {
        if (now >= tick) {
            for (int64_t i = 0; i < opt.connections; i++) {
                struct peer *p = &peers[i];
                if (p->leave_ns == 0 || p->leave_ns > now)
                    continue;
                if (p->state == PEER_OFF || p->state == PEER_IDLE) {
                    /* Every other time on the old connection, if there is one. */
                    if (p->state == PEER_IDLE && random_next() % 2)
                        peer_close(p, false);
                    open_stream(p, now);
                } else {
                    peer_close(p, random_next() % 2);
                    left++;
                    active--;
                    p->leave_ns = now + random_next() % (SECOND / 50);
                }
            }
            tick = now + SECOND / 500;
        }
        if (now >= report) {
            struct usage u;
            usage_read(opt.pids, opt.pid_count, &u);
            fprintf(stderr,
                    "%4.0f s  opened %llu  finished %llu  left %llu  now %llu  pss %llu KB  "
                    "descriptors %llu\n",
                    (double)(now - start) / (double)SECOND, (unsigned long long)opened,
                    (unsigned long long)ends[END_FINE], (unsigned long long)left,
                    (unsigned long long)active, (unsigned long long)u.pss_kb,
                    (unsigned long long)u.fds);
            report += 10 * SECOND;
        }
        turn(tick);
    }
    stopping = true;
    usage_read(opt.pids, opt.pid_count, &at_end);
    load.measuring = false;
}

/* A number; or three: before the first connection, at the window's start, at its end. */
static void print_levels(const char *name, uint64_t first, const uint64_t *more)
{
    if (more == NULL)
        printf(",\"%s\":%llu", name, (unsigned long long)first);
    else
        printf(",\"%s\":[%llu,%llu,%llu]", name, (unsigned long long)first,
               (unsigned long long)more[0], (unsigned long long)more[1]);
}

static void report(void)
{
    static const char *const names[] = {"closed", "rate", "streams", "idle", "leavers"};
    static const char *const end_names[] = {
        [END_FINE] = "fine", [END_STATUS] = "status", [END_ERROR_EVENT] = "error_event",
        [END_CUT] = "cut",   [END_BAD] = "bad",       [END_CONNECT] = "connect"};
    uint64_t failed = 0;
    for (size_t i = END_FINE + 1; i <= END_CONNECT; i++)
        failed += ends[i];
    printf("{\"mode\":\"%s\",\"connections\":%lld,\"seconds\":%.3f,\"request_bytes\":%zu,"
           "\"opened\":%llu,"
           "\"failed\":%llu",
           names[opt.mode], (long long)opt.connections, opt.seconds, load.request_len,
           (unsigned long long)opened, (unsigned long long)failed);
    printf(",\"ends\":{");
    for (size_t i = 0; i <= END_CONNECT; i++)
        printf("%s\"%s\":%llu", i ? "," : "", end_names[i], (unsigned long long)ends[i]);
    printf("},\"requests\":%llu,\"per_second\":%.1f", (unsigned long long)fine,
           (double)fine / opt.seconds);
    hist_print("latency", &latency);
    if (opt.mode == RATE)
        printf(",\"late_max\":%.1f", (double)late_max / 1000);
    if (load.streaming) {
        printf(",\"events\":%llu,\"stalls\":%llu,\"active_end\":%llu,\"active_peak\":%llu,\"left\":"
               "%llu",
               (unsigned long long)load.events, (unsigned long long)load.stalls,
               (unsigned long long)active, (unsigned long long)active_peak,
               (unsigned long long)left);
        hist_print("delay", &load.delay);
        hist_print("first", &load.first);
    }
    if (opt.pid_count) {
        print_levels("cpu_ns", at_end.cpu_ns - at_start.cpu_ns, NULL);
        print_levels("wait_ns", at_end.wait_ns - at_start.wait_ns, NULL);
        print_levels("pss_kb", before.pss_kb, (uint64_t[]){at_start.pss_kb, at_end.pss_kb});
        print_levels("rss_kb", before.rss_kb, (uint64_t[]){at_start.rss_kb, at_end.rss_kb});
        print_levels("fds", before.fds, (uint64_t[]){at_start.fds, at_end.fds});
    }
    puts("}");
}

static const char usage[] =
    "usage: load closed|rate|streams|idle|leavers http://HOST:PORT/PATH [OPTION]...\n"
    "\n"
    "  --connections N   connections, or streams (default 32)\n"
    "  --rate R          requests a second (rate; default 1000)\n"
    "  --seconds S       the measured window (default 5)\n"
    "  --warmup S        before it (default 1)\n"
    "  --ramp S          over which streams are opened (default 2)\n"
    "  --drain S         how long to wait for streams to end after it (default 60)\n"
    "  --stay S          leavers: how long a caller stays on average (default 1)\n"
    "  --size BYTES      of the request's body (default 512), made up of turns of about 500 bytes\n"
    "  --body FILE       send this body instead\n"
    "  --fresh           other text in every turn of every request\n"
    "  --grow            other text in the last turn only: its history was seen before\n"
    "  --dialect D       openai, anthropic or ollama (default openai)\n"
    "  --model M         (default demo)\n"
    "  --stream          ask for a stream (streams and leavers always do)\n"
    "  --gap-ms G        time between the upstream's events; ten times that is a stall\n"
    "  --header 'K: V'   repeatable\n"
    "  --watch PID       repeatable: report CPU time, memory and descriptors of these processes; "
    "memory and\n"
    "                    descriptors are [before the first connection, start, end of the window]\n";

static void read_body_file(void)
{
    static char body[64 << 20];
    FILE *f = fopen(opt.body_file, "rb");
    size_t n = f ? fread(body, 1, sizeof body, f) : 0;
    char *head_end = strstr(load.request, "Content-Length:");
    if (f == NULL || head_end == NULL) {
        fprintf(stderr, "load: %s: %s\n", opt.body_file, strerror(errno));
        exit(1);
    }
    fclose(f);
    size_t head = (size_t)(head_end - load.request);
    char *request = malloc(head + 64 + n);
    if (request == NULL)
        exit(1);
    memcpy(request, load.request, head);
    head += (size_t)sprintf(request + head, "Content-Length: %zu\r\n\r\n", n);
    memcpy(request + head, body, n);
    load.request = request;
    load.request_len = head + n;
    load.fresh_count = 0;
}

int main(int argc, char **argv)
{
    enum {
        CONNECTIONS = 256,
        RATE_,
        SECONDS,
        WARMUP,
        RAMP,
        DRAIN,
        STAY,
        SIZE,
        BODY,
        FRESH,
        GROW,
        DIALECT,
        MODEL,
        STREAM,
        GAP,
        HEADER,
        WATCH
    };
    static const struct option options[] = {{"connections", 1, NULL, CONNECTIONS},
                                            {"rate", 1, NULL, RATE_},
                                            {"seconds", 1, NULL, SECONDS},
                                            {"warmup", 1, NULL, WARMUP},
                                            {"ramp", 1, NULL, RAMP},
                                            {"drain", 1, NULL, DRAIN},
                                            {"stay", 1, NULL, STAY},
                                            {"size", 1, NULL, SIZE},
                                            {"body", 1, NULL, BODY},
                                            {"fresh", 0, NULL, FRESH},
                                            {"grow", 0, NULL, GROW},
                                            {"dialect", 1, NULL, DIALECT},
                                            {"model", 1, NULL, MODEL},
                                            {"stream", 0, NULL, STREAM},
                                            {"gap-ms", 1, NULL, GAP},
                                            {"header", 1, NULL, HEADER},
                                            {"watch", 1, NULL, WATCH},
                                            {0}};
    static const char *const modes[] = {"closed", "rate", "streams", "idle", "leavers"};

    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case CONNECTIONS:
            opt.connections = atoll(optarg);
            break;
        case RATE_:
            opt.rate = atof(optarg);
            break;
        case SECONDS:
            opt.seconds = atof(optarg);
            break;
        case WARMUP:
            opt.warmup = atof(optarg);
            break;
        case RAMP:
            opt.ramp = atof(optarg);
            break;
        case DRAIN:
            opt.drain = atof(optarg);
            break;
        case STAY:
            opt.stay = atof(optarg);
            break;
        case SIZE:
            opt.size = atoll(optarg);
            break;
        case BODY:
            opt.body_file = optarg;
            break;
        case FRESH:
            opt.fresh = true;
            break;
        case GROW:
            opt.grow = true;
            break;
        case DIALECT:
            opt.dialect = optarg;
            break;
        case MODEL:
            opt.model = optarg;
            break;
        case STREAM:
            opt.stream = true;
            break;
        case GAP:
            load.gap_ns = (uint64_t)(atof(optarg) * 1e6);
            break;
        case HEADER:
            if (strlen(opt.headers) + strlen(optarg) + 3 < sizeof opt.headers) {
                strcat(opt.headers, optarg);
                strcat(opt.headers, "\r\n");
            }
            break;
        case WATCH:
            if (opt.pid_count < WATCH_MAX)
                opt.pids[opt.pid_count++] = atoi(optarg);
            break;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    char host[64], path[1024] = "/";
    int port = 80;
    size_t mode = 0;
    if (argc - optind == 2)
        while (mode < 5 && strcmp(argv[optind], modes[mode]) != 0)
            mode++;
    if (argc - optind != 2 || mode == 5 || opt.connections < 1 ||
        sscanf(argv[optind + 1], "http://%63[^:/]:%d%1023s", host, &port, path) < 2 ||
        !peer_address(host, port)) {
        fputs(usage, stderr);
        return 2;
    }
    opt.mode = (enum mode)mode;
    load.streaming = opt.stream || opt.mode == STREAMS || opt.mode == LEAVERS;
    load.done = on_done;
    snprintf(host + strlen(host), sizeof host - strlen(host), ":%d", port);
    request_build(host, path, opt.dialect, opt.model, (size_t)opt.size, load.streaming,
                  opt.headers);
    if (opt.body_file)
        read_body_file();
    if (opt.grow && load.fresh_count > 1) {
        load.fresh += load.fresh_count - 1;
        load.fresh_count = 1;
    }
    load.fresh_no = opt.fresh || opt.grow ? (uint64_t)time(NULL) * 1000000 : 0;

    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    load.poller = epoll_create1(EPOLL_CLOEXEC);
    peers = calloc((size_t)opt.connections, sizeof *peers);
    free_list = calloc((size_t)opt.connections, sizeof *free_list);
    if (load.poller < 0 || peers == NULL || free_list == NULL) {
        perror("load");
        return 1;
    }
    for (int64_t i = 0; i < opt.connections; i++)
        peers[i].fd = -1;

    usage_read(opt.pids, opt.pid_count, &before);
    switch (opt.mode) {
    case CLOSED:
    case RATE:
        run_closed_or_rate();
        break;
    case STREAMS:
        run_streams();
        break;
    case IDLE:
        run_idle();
        break;
    case LEAVERS:
        run_leavers();
        break;
    }
    report();
    return 0;
}
