/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main - arguments, listening sockets, the loop and its timers.
 *
 * Every connection has at most one timer; they lie in a binary heap. The loop sleeps to the nanosecond
 * (epoll_pwait2, Linux 5.11), so events of many streams leave one by one and not in millisecond bursts.
 */
#include "standin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct settings settings = {.record = 256,
                            .record_bytes = 4 << 20,
                            .models = "demo,demo-2",
                            .slots = 4,
                            .n_ctx = 4096,
                            .busy = -1};
SSL_CTX *tls_context;

static int poller = -1;
static volatile sig_atomic_t stopped;

/* ---- timers ---- */

static struct conn **heap; /* 1-based */
static size_t heap_used, heap_cap;

static void heap_put(size_t slot, struct conn *c)
{
    heap[slot] = c;
    c->timer_slot = slot;
}

static void heap_settle(size_t slot)
{
    struct conn *c = heap[slot];
    while (slot > 1 && heap[slot / 2]->timer_ns > c->timer_ns) {
        heap_put(slot, heap[slot / 2]);
        slot /= 2;
    }
    for (;;) {
        size_t child = slot * 2;
        if (child > heap_used)
            break;
        if (child < heap_used && heap[child + 1]->timer_ns < heap[child]->timer_ns)
            child++;
        if (heap[child]->timer_ns >= c->timer_ns)
            break;
        heap_put(slot, heap[child]);
        slot = child;
    }
    heap_put(slot, c);
}

void timers_set(struct conn *c, uint64_t at_ns)
{
    c->timer_ns = at_ns;
    if (at_ns == 0) {
        size_t slot = c->timer_slot;
        if (slot == 0)
            return;
        c->timer_slot = 0;
        struct conn *last = heap[heap_used--];
        if (last != c) {
            heap_put(slot, last);
            heap_settle(slot);
        }
        return;
    }
    if (c->timer_slot == 0) {
        if (heap_used + 1 >= heap_cap) {
            heap_cap = heap_cap ? heap_cap * 2 : 1024;
            heap = must_alloc(heap, heap_cap * sizeof *heap);
        }
        heap_put(++heap_used, c);
    }
    heap_settle(c->timer_slot);
}

static void timers_run(void)
{
    uint64_t now = now_ns();
    while (heap_used && heap[1]->timer_ns <= now) {
        struct conn *c = heap[1];
        timers_set(c, 0);
        conn_timer(c);
    }
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- listening sockets ---- */

static struct listener {
    int fd;
    bool tls, control;
    struct sockaddr_storage address;
    socklen_t address_len;
} listeners[8];
static size_t listeners_used;

static bool is_listener(const void *p)
{
    return (const struct listener *)p >= listeners &&
           (const struct listener *)p < listeners + listeners_used;
}

void watch(int fd, void *what)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = what};
    if (is_listener(what))
        ev.events = EPOLLIN;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) < 0) {
        perror("standin: epoll_ctl");
        exit(1);
    }
}

static bool listener_open(struct listener *l)
{
    int one = 1, family = l->address.ss_family;
    l->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return false;
    (void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (family == AF_UNIX)
        unlink(((struct sockaddr_un *)(void *)&l->address)->sun_path);
    if (bind(l->fd, (struct sockaddr *)&l->address, l->address_len) < 0 ||
        listen(l->fd, 4096) < 0) {
        close(l->fd);
        l->fd = -1;
        return false;
    }
    l->address_len = sizeof l->address;
    getsockname(l->fd, (struct sockaddr *)&l->address,
                &l->address_len); /* the port that 0 became */
    watch(l->fd, l);
    return true;
}

/* A closed listener is the honest way to refuse: the kernel answers RST to the SYN. */
bool listening(bool on)
{
    for (size_t i = 0; i < listeners_used; i++) {
        struct listener *l = &listeners[i];
        if (l->control)
            continue;
        if (on && l->fd < 0 && !listener_open(l))
            return false;
        if (!on && l->fd >= 0) {
            close(l->fd);
            l->fd = -1;
        }
    }
    return true;
}

static void listener_accept(struct listener *l)
{
    for (int i = 0; i < 64 && l->fd >= 0; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                perror("standin: accept");
            return;
        }
        if (!l->control && settings.refuse != 0) {
            struct linger now = {.l_onoff = 1, .l_linger = 0};
            if (settings.refuse > 0)
                settings.refuse--;
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            close(fd);
            continue;
        }
        conn_open(fd, l->tls, l->control);
    }
}

static void add_tcp(const char *host, const char *port, bool tls, bool control)
{
    struct listener *l = &listeners[listeners_used++];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
        fprintf(stderr, "standin: bad address %s\n", host);
        exit(2);
    }
    memcpy(&l->address, &a, sizeof a);
    l->address_len = sizeof a;
    l->tls = tls;
    l->control = control;
    if (!listener_open(l)) {
        fprintf(stderr, "standin: %s:%s: %s\n", host, port, strerror(errno));
        exit(1);
    }
    memcpy(&a, &l->address, sizeof a);
    printf("standin %s %s:%d\n",
           control ? "control"
           : tls   ? "https"
                   : "http",
           host, ntohs(a.sin_port));
}

static void add_unix(const char *path)
{
    struct listener *l = &listeners[listeners_used++];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path) {
        fprintf(stderr, "standin: path too long: %s\n", path);
        exit(2);
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    memcpy(&l->address, &a, sizeof a);
    l->address_len = sizeof a;
    if (!listener_open(l)) {
        fprintf(stderr, "standin: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    printf("standin unix %s\n", path);
}

static void tls_setup(const char *cert, const char *key)
{
    tls_context = SSL_CTX_new(TLS_server_method());
    if (tls_context == NULL || SSL_CTX_use_certificate_chain_file(tls_context, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "standin: cannot use certificate %s with key %s\n", cert, key);
        exit(1);
    }
    /* A retried write may come from another buffer, and may be taken in part, like write() itself. */
    SSL_CTX_set_mode(tls_context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* ---- */

static const char usage[] =
    "usage: standin [OPTION]...\n"
    "\n"
    "One pretended provider: OpenAI, Anthropic and Ollama upstream in one, with faults on demand.\n"
    "\n"
    "  --port P            listen on P (0: any free one; repeatable). One line for each listener "
    "goes to stdout,\n"
    "                      \"standin http 127.0.0.1:4242\", when it accepts\n"
    "  --host ADDRESS      for the ports that follow (default 127.0.0.1)\n"
    "  --unix PATH         listen on a unix socket\n"
    "  --tls-port P        listen on P with TLS; needs --cert FILE and --key-file FILE before it\n"
    "  --control-port P    a listener that \"refuse\" and \"listen\" never touch\n"
    "  --models A,B        names in the lists (default demo,demo-2)\n"
    "  --strict            404 for names (without their +knobs) that are not listed, and 400 for "
    "what\n"
    "                      the vendors refuse, in their words\n"
    "  --key KEY           401 for requests without this key (Bearer or x-api-key)\n"
    "  --record N          how many requests /_requests remembers (default 256, 0: none, for "
    "benches)\n"
    "  --knobs SET         knobs for every request\n"
    "  --markdown          print the table of knobs for README.md and leave\n"
    "\n"
    "Knobs, written name=value+name+..., chosen by --knobs, by POST /_control, by the model's "
    "name\n"
    "(\"demo+cut=3+gap_ms=20\") or by the header X-Standin; each covers those before it:\n";

static const char usage_control[] =
    "\n"
    "Control, on any port:\n"
    "  POST /_control      "
    "{\"rules\":[{\"n\":2,\"status\":503,\"retry_after\":1},{\"n\":1,\"path\":\"/"
    "health\",\"loading\":true},\n"
    "                       {\"n\":-1,\"model\":\"demo\",\"knobs\":\"cut=3+gap_ms=5\"}],\n"
    "                       \"loop\":false,        start the rules again when all are used up\n"
    "                       \"default\":\"events=20\", \"models\":\"a,b\", \"strict\":true, "
    "\"slots\":1,\n"
    "                       \"read_bytes\":500, requests are read in such pieces, one each 10 ms "
    "(new connections)\n"
    "                       \"refuse\":3,          RST to this many connections right after accept "
    "(-1: all)\n"
    "                       \"listen\":false,      close the listening sockets: connection "
    "refused\n"
    "                       \"n_ctx\":4096, \"vision\":true, \"sleeping\":true, \"busy\":3, "
    "\"metrics\":{\"num_requests_waiting\":7},\n"
    "                       \"loaded\":\"a\", \"loaded_max\":1, \"remote\":\"b\"}   what lists and "
    "probes tell\n"
    "                      A rule serves n requests (default 1, -1: for ever), or with \"ms\":5000 "
    "those of\n"
    "                      that long from its first one on; without a path it is for inference "
    "only.\n"
    "  DELETE /_control    no rules, process defaults as built in, listening\n"
    "  GET /_requests      what was asked: method, target, headers, body, knobs, connection, "
    "outcome\n"
    "  DELETE /_requests   forget them\n"
    "  GET /_stats         connections, requests, streams, aborted; DELETE sets the counters to "
    "0\n";

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

int main(int argc, char **argv)
{
    enum {
        PORT = 256,
        HOST,
        UNIX,
        TLS_PORT,
        CERT,
        KEY_FILE,
        CONTROL,
        MODELS,
        STRICT,
        KEY,
        RECORD,
        KNOBS,
        MARKDOWN,
        HELP
    };
    static const struct option options[] = {{"port", 1, NULL, PORT},
                                            {"host", 1, NULL, HOST},
                                            {"unix", 1, NULL, UNIX},
                                            {"tls-port", 1, NULL, TLS_PORT},
                                            {"cert", 1, NULL, CERT},
                                            {"key-file", 1, NULL, KEY_FILE},
                                            {"control-port", 1, NULL, CONTROL},
                                            {"models", 1, NULL, MODELS},
                                            {"strict", 0, NULL, STRICT},
                                            {"key", 1, NULL, KEY},
                                            {"record", 1, NULL, RECORD},
                                            {"knobs", 1, NULL, KNOBS},
                                            {"markdown", 0, NULL, MARKDOWN},
                                            {"help", 0, NULL, HELP},
                                            {0}};
    const char *host = "127.0.0.1", *cert = NULL, *key_file = NULL, *knobs = NULL;
    struct rlimit files;

    poller = epoll_create1(EPOLL_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }

    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if ((o == PORT || o == UNIX || o == TLS_PORT || o == CONTROL) &&
            listeners_used == sizeof listeners / sizeof *listeners) {
            fputs("standin: too many listeners\n", stderr);
            return 2;
        }
        switch (o) {
        case PORT:
            add_tcp(host, optarg, false, false);
            break;
        case HOST:
            host = optarg;
            break;
        case UNIX:
            add_unix(optarg);
            break;
        case CERT:
            cert = optarg;
            break;
        case KEY_FILE:
            key_file = optarg;
            break;
        case TLS_PORT:
            if (tls_context == NULL && cert && key_file)
                tls_setup(cert, key_file);
            if (tls_context == NULL) {
                fputs("standin: --tls-port needs --cert and --key-file before it\n", stderr);
                return 2;
            }
            add_tcp(host, optarg, true, false);
            break;
        case CONTROL:
            add_tcp(host, optarg, false, true);
            break;
        case MODELS:
            snprintf(settings.models, sizeof settings.models, "%s", optarg);
            break;
        case STRICT:
            settings.strict = true;
            break;
        case KEY:
            settings.key = optarg;
            break;
        case RECORD:
            settings.record = atoll(optarg);
            break;
        case KNOBS:
            knobs = optarg;
            break;
        case MARKDOWN:
            knobs_help(stdout, true);
            return 0;
        case HELP:
            fputs(usage, stdout);
            knobs_help(stdout, false);
            fputs(usage_control, stdout);
            return 0;
        default:
            return 2;
        }
    }
    if (listeners_used == 0) {
        fputs("standin: nothing to listen on; see --help\n", stderr);
        return 2;
    }
    if (knobs) {
        struct text json = {0}, why = {0};
        text_lit(&json, "{\"default\":\"");
        text_json(&json, knobs, strlen(knobs));
        text_lit(&json, "\"}");
        if (!knobs_control((struct span){json.data, json.len}, &why)) {
            fprintf(stderr, "standin: %.*s\n", (int)why.len, why.data);
            return 2;
        }
        text_free(&json);
    }
    fflush(stdout);

    while (!stopped) {
        struct epoll_event events[512];
        struct timespec wait = {0}, *timeout = NULL;
        if (heap_used) {
            uint64_t now = now_ns(), at = heap[1]->timer_ns;
            if (at > now) {
                wait.tv_sec = (time_t)((at - now) / 1000000000u);
                wait.tv_nsec = (long)((at - now) % 1000000000u);
            }
            timeout = &wait;
        }
        int n = epoll_pwait2(poller, events, 512, timeout, NULL);
        if (n < 0 && errno != EINTR) {
            perror("standin: epoll_pwait2");
            return 1;
        }
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (is_listener(what))
                listener_accept(what);
            else if (!((struct conn *)what)->dead)
                conn_ready(what, events[i].events);
        }
        timers_run();
        conn_bury();
    }
    _exit(
        0); /* open connections are known to the kernel only; a leak checker would take them for lost */
}
