/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rounds - a model that calls a tool at once and a tool server that answers at once, in one process, so that one clock
 * tells what the router's own loop takes between them:
 *
 *   model's answer, its last bytes   --to_tool-->    first bytes of the tool's call
 *   tool's answer, its last bytes    --to_model-->   first bytes of the next question       round = both
 *
 * Every call has a number of its own ({"n":17}), which the tool's answer repeats, so that both times find each other however
 * many loops run. After --rounds calls in a conversation the model answers with a text.
 *
 *   rounds [--rounds 3] [--tools FILE]     FILE: {"tools":[...]}, offered beside the tool that is called
 *
 * Prints its port. A line on standard input: prints what was measured since the last one, one JSON object, times in
 * microseconds. The end of standard input ends it.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 4096
#define REQUEST_MAX (1 << 20)
#define NUMBERS     (1 << 16) /* calls on their way at once are far fewer */

struct conn {
    char *data; /* of the request in hand */
    size_t len;
    uint64_t first_ns; /* when its first bytes were there */
};

static struct conn conns[CONNECTIONS]; /* by descriptor */
static uint64_t answered_ns[NUMBERS], called_ns[NUMBERS], to_tool_ns[NUMBERS];
static struct hist to_tool, to_model, whole;
static uint64_t next_number, odd;
static int rounds = 3, poller;
static const char *more_tools = ""; /* ,{...},{...} */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- answers ---- */

static void send_all(int fd, const char *data, size_t n)
{
    while (n > 0) { /* the peer reads: nothing here is larger than its windows */
        ssize_t k = send(fd, data, n, MSG_NOSIGNAL);
        if (k < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (k > 0) {
            data += k;
            n -= (size_t)k;
        }
    }
}

static void reply(int fd, int status, const char *type, const char *body, uint64_t *stamp)
{
    static char out[REQUEST_MAX];
    int n = snprintf(out, sizeof out,
                     "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", status,
                     type, strlen(body), body);
    if (n < 0 || (size_t)n >= sizeof out) {
        fputs("rounds: an answer is too long\n", stderr);
        exit(1);
    }
    if (stamp != NULL) /* before it goes: the reader may be quicker than we are */
        *stamp = now_ns();
    send_all(fd, out, (size_t)n);
}

static const char call_delta[] =
    "{\"tool_calls\":[{\"index\":0,\"id\":\"call_%llu\",\"type\":\"function\",\"function\":"
    "{\"name\":\"bench__look\",\"arguments\":\"{\\\"n\\\":%llu}\"}}]}";
static const char call_whole[] =
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_%llu\",\"type\":"
    "\"function\","
    "\"function\":{\"name\":\"bench__look\",\"arguments\":\"{\\\"n\\\":%llu}\"}}]}";

/* The model's answer: a call with a number, or a text. */
static void answer(int fd, bool stream, bool call)
{
    static const char head[] = "\"id\":\"chatcmpl-1\",\"created\":1,\"model\":\"demo\"";
    static const char tokens[] =
        "{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15}";
    char what[512], body[2048];
    uint64_t number = next_number++ % NUMBERS;
    unsigned long long n = (unsigned long long)number;
    const char *finish = call ? "tool_calls" : "stop";
    if (call && stream)
        snprintf(what, sizeof what, call_delta, n, n);
    else if (call)
        snprintf(what, sizeof what, call_whole, n, n);
    else
        snprintf(what, sizeof what, "{%s\"content\":\"It is done.\"}",
                 stream ? "" : "\"role\":\"assistant\",");
    if (stream)
        snprintf(
            body, sizeof body,
            "data: "
            "{%s,\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{"
            "\"role\":"
            "\"assistant\"},\"finish_reason\":null}]}\n\n"
            "data: {%s,\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":%s,"
            "\"finish_reason\":null}]}\n\n"
            "data: {%s,\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},"
            "\"finish_reason\":\"%s\"}]}\n\n"
            "data: {%s,\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":%s}\n\n"
            "data: [DONE]\n\n",
            head, head, what, head, finish, head, tokens);
    else
        snprintf(body, sizeof body,
                 "{%s,\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":%s,"
                 "\"finish_reason\":\"%s\"}],\"usage\":%s}",
                 head, what, finish, tokens);
    reply(fd, 200, stream ? "text/event-stream" : "application/json", body,
          call ? &answered_ns[number] : NULL);
}

/* ---- requests ---- */

static bool read_number(const char *at, uint64_t *out)
{
    char *end;
    *out = strtoull(at, &end, 10);
    return end != at && *out < NUMBERS;
}

/* A question: which results are in it, and when did the latest one leave us? */
static void on_question(int fd, const struct conn *c, const char *body)
{
    const char *last = NULL;
    int results = 0;
    uint64_t n;
    for (const char *at = body; (at = strstr(at, "look=")) != NULL; at += 5) {
        last = at + 5;
        results++;
    }
    if (last != NULL && read_number(last, &n) && called_ns[n] != 0) {
        uint64_t took = c->first_ns - called_ns[n];
        hist_add(&to_model, took);
        hist_add(&whole, took + to_tool_ns[n]);
        called_ns[n] = 0;
    }
    answer(fd, strstr(body, "\"stream\":true") != NULL, results < rounds);
}

static void on_call(int fd, const struct conn *c, const char *id, const char *body)
{
    const char *at = strstr(body, "\"n\":");
    char text[256];
    uint64_t n;
    if (at == NULL || !read_number(at + 4, &n)) {
        odd++;
        reply(fd, 400, "text/plain", "no number", NULL);
        return;
    }
    to_tool_ns[n] = c->first_ns - answered_ns[n];
    hist_add(&to_tool, to_tool_ns[n]);
    snprintf(text, sizeof text,
             "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[{\"type\":\"text\",\"text\":"
             "\"look=%llu\"}]}}",
             id, (unsigned long long)n);
    reply(fd, 200, "application/json", text, &called_ns[n]);
}

static void on_message(int fd, const struct conn *c, const char *body)
{
    static char text[REQUEST_MAX / 2];
    char id[64] = "";
    const char *at = strstr(body, "\"id\":");
    if (at != NULL)
        snprintf(id, sizeof id, "%.*s", (int)strcspn(at + 5, ",}"), at + 5);
    if (id[0] == '\0') {
        reply(fd, 202, "application/json", "", NULL);
    } else if (strstr(body, "\"tools/call\"") != NULL) {
        on_call(fd, c, id, body);
    } else if (strstr(body, "\"tools/list\"") != NULL) {
        snprintf(text, sizeof text,
                 "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"tools\":[{\"name\":\"look\","
                 "\"description\":\"Look "
                 "at a "
                 "number.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":"
                 "\"integer\"}}}}"
                 "%s]}}",
                 id, more_tools);
        reply(fd, 200, "application/json", text, NULL);
    } else if (strstr(body, "\"initialize\"") != NULL) {
        snprintf(text, sizeof text,
                 "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"protocolVersion\":\"2025-11-25\","
                 "\"capabilities\":"
                 "{\"tools\":{}},\"serverInfo\":{\"name\":\"rounds\",\"version\":\"1\"}}}",
                 id);
        reply(fd, 200, "application/json", text, NULL);
    } else {
        snprintf(text, sizeof text,
                 "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":-32601,\"message\":\"no\"}}",
                 id);
        reply(fd, 200, "application/json", text, NULL);
    }
}

static void on_request(int fd, const struct conn *c, const char *body)
{
    if (strncmp(c->data, "POST /mcp", 9) == 0)
        on_message(fd, c, body);
    else if (strncmp(c->data, "POST /v1/chat/completions", 25) == 0)
        on_question(fd, c, body);
    else if (strncmp(c->data, "GET /v1/models", 14) == 0)
        reply(fd, 200, "application/json", "{\"object\":\"list\",\"data\":[{\"id\":\"demo\"}]}",
              NULL);
    else
        reply(fd, 405, "text/plain", "", NULL);
}

/* ---- connections ---- */

static void hang_up(int fd)
{
    free(conns[fd].data);
    conns[fd] = (struct conn){0};
    close(fd);
}

/* One request after the other: nobody sends the next before the answer. */
static void take(int fd)
{
    struct conn *c = &conns[fd];
    c->data[c->len] = '\0';
    char *body = strstr(c->data, "\r\n\r\n");
    if (body == NULL)
        return;
    const char *length = strcasestr(c->data, "\r\ncontent-length:");
    size_t want = length != NULL && length < body ? strtoul(length + 17, NULL, 10) : 0;
    body += 4;
    if (c->len - (size_t)(body - c->data) < want)
        return;
    on_request(fd, c, body);
    c->len = 0;
}

static void on_ready(int fd)
{
    struct conn *c = &conns[fd];
    uint64_t now = now_ns();
    if (c->data == NULL && (c->data = malloc(REQUEST_MAX + 1)) == NULL)
        die("rounds: malloc");
    ssize_t n = recv(fd, c->data + c->len, REQUEST_MAX - c->len, 0);
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            hang_up(fd);
        return;
    }
    if (c->len == 0)
        c->first_ns = now;
    c->len += (size_t)n;
    take(fd);
}

static void watch(int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) != 0)
        die("rounds: epoll_ctl");
}

static void on_connect(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), on = 1;
    if (fd < 0)
        return;
    if (fd >= CONNECTIONS) {
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(fd);
}

/* ---- the program ---- */

static void report(void)
{
    printf("{\"odd\":%llu", (unsigned long long)odd);
    hist_print("to_tool", &to_tool);
    hist_print("to_model", &to_model);
    hist_print("round", &whole);
    puts("}");
    fflush(stdout);
    hist_clear(&to_tool);
    hist_clear(&to_model);
    hist_clear(&whole);
    odd = 0;
}

/* What stands in the list, with a comma before it. */
static const char *read_tools(const char *path)
{
    static char text[REQUEST_MAX / 4];
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        die(path);
    size_t n = fread(text + 1, 1, sizeof text - 2, f);
    fclose(f);
    text[n + 1] = '\0';
    char *from = strchr(text + 1, '['), *to = strrchr(text + 1, ']');
    if (from == NULL || to == NULL) {
        fprintf(stderr, "rounds: %s has no list\n", path);
        exit(1);
    }
    *from = ',';
    *to = '\0';
    return from;
}

static int listen_any(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        die("rounds: listen");
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            rounds = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--tools") == 0)
            more_tools = read_tools(argv[i + 1]);
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_any();
    watch(listener);
    watch(0);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            char line[64];
            if (fd == listener)
                on_connect(fd);
            else if (fd != 0)
                on_ready(fd);
            else if (read(0, line, sizeof line) > 0)
                report();
            else
                return 0;
        }
    }
}
