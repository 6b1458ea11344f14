/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer - one connection: the request out, the reply in, told apart event by event.
 *
 *   HEAD -> LENGTH ---------------------------------> done
 *        -> SIZE -> DATA -> DATA_END -> SIZE ... -> TRAILER -> done
 *        -> CLOSE (until the end of the connection) -> done
 *
 * Of a streamed body only lines matter, in all three dialects: a stamp, a terminator, an error. A reply counts as
 * fine when its framing ended, and, when streamed, after its terminator and without an error.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD, LENGTH, SIZE, SIZE_LINE, DATA, DATA_END, TRAILER, CLOSE, DONE, BAD };

struct load load;

static struct sockaddr_in address;
static char buffer[256 << 10];

static void *must_alloc(void *old, size_t n)
{
    void *p = realloc(old, n);
    if (p == NULL) {
        fputs("load: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

bool peer_address(const char *host, int port)
{
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, host, &address.sin_addr) == 1;
}

/* ---- the request ---- */

/*
 * A conversation: turns of about 500 bytes, so that parsers meet what they meet in life, line feeds and a letter
 * outside ASCII included. Every turn starts with a number that --fresh changes with each request.
 */
static void put_text(char *at, size_t n)
{
    static const char prose[] =
        "The resident asked whether the night of the 14th can be moved to Caf\xc3\xa9 duty, "
        "since two colleagues are away and the rota must stay fair.\\nPlease answer briefly. ";
    for (size_t i = 0; i < n; i++)
        at[i] = prose[i % (sizeof prose - 1)];
    /* Do not end inside an escape or a letter of two bytes. */
    if (n > 0 && (at[n - 1] == '\\' || (unsigned char)at[n - 1] >= 0xc0))
        at[n - 1] = '.';
}

void request_build(const char *host, const char *path, const char *dialect, const char *model,
                   size_t size, bool stream, const char *headers)
{
    static const char number[] = "#0000000000000000 ";
    char *body = must_alloc(NULL, size + 4096);
    size_t *fresh = must_alloc(NULL, (size / 500 + 2) * sizeof *fresh);
    size_t n = (size_t)sprintf(body, "{\"model\":\"%s\",\"stream\":%s,%s\"messages\":[", model,
                               stream ? "true" : "false",
                               strcmp(dialect, "anthropic") == 0 ? "\"max_tokens\":1000," : "");
    size_t turns = size > n + 600 ? (size - n) / 560 : 1;
    turns += turns % 2 == 0; /* the last one is the user's */
    load.fresh_count = 0;
    for (size_t i = 0; i < turns; i++) {
        n += (size_t)sprintf(body + n, "%s{\"role\":\"%s\",\"content\":\"", i ? "," : "",
                             i % 2 ? "assistant" : "user");
        size_t rest = size > n + 4 ? size - n - 4 : 0; /* what is left, less the closing */
        size_t text = turns - i > 1 ? rest / (turns - i) : rest;
        if (turns - i > 1)
            text = text > 40 ? text - 40 : 0;
        if (text > sizeof number) {
            memcpy(body + n, number, sizeof number - 1);
            fresh[load.fresh_count++] = n + 1;
            n += sizeof number - 1;
            text -= sizeof number - 1;
        }
        put_text(body + n, text);
        n += text;
        n += (size_t)sprintf(body + n, "\"}");
    }
    n += (size_t)sprintf(body + n, "]}");

    load.request = must_alloc(NULL, n + 4096 + strlen(headers));
    size_t head = (size_t)sprintf(
        load.request,
        "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: */*\r\n"
        "Content-Type: application/json\r\n%s%sContent-Length: %zu\r\n\r\n",
        path, host, strcmp(dialect, "anthropic") == 0 ? "anthropic-version: 2023-06-01\r\n" : "",
        headers, n);
    memcpy(load.request + head, body, n);
    load.request_len = head + n;
    for (size_t i = 0; i < load.fresh_count; i++)
        fresh[i] += head;
    load.fresh = fresh;
    free(body);
}

static void request_refresh(void)
{
    char digits[20];
    snprintf(digits, sizeof digits, "%016llu", (unsigned long long)++load.fresh_no);
    for (size_t i = 0; i < load.fresh_count; i++)
        memcpy(load.request + load.fresh[i], digits, 16);
}

/* ---- the connection ---- */

void peer_close(struct peer *p, bool abruptly)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (p->fd >= 0) {
        if (abruptly)
            (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(p->fd);
    }
    p->fd = -1;
    p->state = PEER_OFF;
    free(p->carry);
    p->carry = NULL;
    p->carry_len = 0;
}

static void finish(struct peer *p, enum peer_end end)
{
    if (end != END_FINE || !p->keep)
        peer_close(p, false);
    else
        p->state = PEER_IDLE;
    load.done(p, end);
}

static void peer_send(struct peer *p)
{
    p->state = PEER_SEND;
    while (p->sent < load.request_len) {
        ssize_t n = send(p->fd, load.request + p->sent, load.request_len - p->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno != EINTR) {
            /* An answer may lie there already: a refusal that did not wait for the body. */
            break;
        }
        if (n > 0)
            p->sent += (size_t)n;
    }
    p->state = PEER_READ;
}

void peer_begin(struct peer *p, uint64_t due_ns)
{
    p->due_ns = due_ns;
    p->begin_ns = now_ns();
    p->last_event_ns = 0;
    p->events = 0;
    p->requests++;
    p->terminated = p->in_error = p->stalled = false;
    p->sent = 0;
    p->part = HEAD;
    if (load.fresh_no)
        request_refresh();
    if (p->state == PEER_IDLE) {
        peer_send(p);
        return;
    }
    int one = 1;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = p};
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    p->state = PEER_CONNECT;
    if (p->fd < 0) {
        perror("load: socket");
        exit(1);
    }
    (void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if ((connect(p->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(load.poller, EPOLL_CTL_ADD, p->fd, &ev) < 0)
        finish(p, END_CONNECT);
}

/* ---- the reply ---- */

static void saw_line(struct peer *p, const char *line, size_t n, uint64_t now)
{
    const char *stamp = memmem(line, n, "t=", 2);
    while (stamp && !(line + n - stamp > 12 && stamp[2] >= '0' && stamp[2] <= '9'))
        stamp = memmem(stamp + 2, (size_t)(line + n - stamp - 2), "t=", 2);
    if (stamp) {
        uint64_t sent = strtoull(stamp + 2, NULL, 10);
        if (p->events++ == 0) {
            hist_add(&load.first, now - p->begin_ns);
        } else if (load.gap_ns && now - p->last_event_ns > 10 * load.gap_ns) {
            p->stalled = true;
        }
        p->last_event_ns = now;
        if (load.measuring) {
            load.events++;
            hist_add(&load.delay, now > sent ? now - sent : 0);
        }
        return;
    }
    if (memmem(line, n, "[DONE]", 6) || memmem(line, n, "\"message_stop\"", 14) ||
        memmem(line, n, "\"done\":true", 11) || memmem(line, n, "\"done\": true", 12))
        p->terminated = true;
    else if (memmem(line, n, "\"error\"", 7))
        p->in_error = true;
}

static void carry_add(struct peer *p, const char *s, size_t n)
{
    p->carry = must_alloc(p->carry, p->carry_len + n + 1);
    memcpy(p->carry + p->carry_len, s, n);
    p->carry_len += n;
    p->carry[p->carry_len] = 0;
}

static void carry_drop(struct peer *p)
{
    free(p->carry);
    p->carry = NULL;
    p->carry_len = 0;
}

static void saw_body(struct peer *p, const char *s, size_t n, uint64_t now)
{
    if (!load.streaming)
        return;
    for (;;) {
        const char *end = memchr(s, '\n', n);
        if (end == NULL) {
            if (n)
                carry_add(p, s, n);
            return;
        }
        size_t line = (size_t)(end - s);
        if (p->carry_len) {
            carry_add(p, s, line);
            saw_line(p, p->carry, p->carry_len, now);
            carry_drop(p);
        } else if (line > 1) {
            saw_line(p, s, line, now);
        }
        n -= line + 1;
        s = end + 1;
    }
}

static void parse_head(struct peer *p, const char *s, size_t n)
{
    char head[8192];
    if (n >= sizeof head) {
        p->part = BAD;
        return;
    }
    memcpy(head, s, n);
    head[n] = 0;
    p->part = CLOSE;
    p->keep = strcasestr(head, "\r\nconnection: close") == NULL;
    if (sscanf(head, "HTTP/1.%*d %d", &p->status) != 1) {
        p->part = BAD;
        return;
    }
    const char *length = strcasestr(head, "\r\ncontent-length:");
    if (strcasestr(head, "\r\ntransfer-encoding: chunked")) {
        p->part = SIZE;
        p->left = 0;
    } else if (length) {
        p->left = strtoull(length + 17, NULL, 10);
        p->part = p->left ? LENGTH : DONE;
    }
}

/* Takes some of the bytes, at least one, and says how many. */
static size_t feed(struct peer *p, const char *s, size_t n, uint64_t now)
{
    size_t take;
    const char *end;
    switch (p->part) {
    case HEAD:
        if (p->carry_len == 0 && (end = memmem(s, n, "\r\n\r\n", 4)) != NULL) {
            parse_head(p, s, (size_t)(end + 2 - s));
            return (size_t)(end + 4 - s);
        }
        carry_add(p, s, 1); /* rare: the head came in pieces */
        if (p->carry_len > 65536)
            p->part = BAD;
        if (p->carry_len >= 4 && memcmp(p->carry + p->carry_len - 4, "\r\n\r\n", 4) == 0) {
            parse_head(p, p->carry, p->carry_len - 2);
            carry_drop(p);
        }
        return 1;
    case LENGTH:
    case DATA:
        take = p->left < n ? (size_t)p->left : n;
        saw_body(p, s, take, now);
        p->left -= take;
        if (p->left == 0)
            p->part = p->part == DATA ? DATA_END : DONE;
        return take;
    case CLOSE:
        saw_body(p, s, n, now);
        return n;
    case SIZE: {
        char c = *s;
        int digit = c >= '0' && c <= '9'                 ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                         : -1;
        if (digit >= 0)
            p->left = p->left << 4 | (unsigned)digit;
        else if (c == '\n')
            p->part = p->left ? DATA : TRAILER;
        else if (c != '\r' && c != ';')
            p->part = BAD;
        return 1;
    }
    case DATA_END:
        if (*s == '\n') {
            p->part = SIZE;
            p->left = 0;
        } else if (*s != '\r') {
            p->part = BAD;
        }
        return 1;
    case TRAILER:
        if (*s == '\n')
            p->part = DONE;
        return 1;
    default:
        p->part = BAD; /* more than there should be */
        return n;
    }
}

static enum peer_end verdict(const struct peer *p)
{
    if (p->part == BAD)
        return END_BAD;
    if (p->status != 200)
        return END_STATUS;
    if (p->in_error)
        return END_ERROR_EVENT;
    return load.streaming && !p->terminated ? END_CUT : END_FINE;
}

static void ended(struct peer *p)
{
    if (p->stalled)
        load.stalls++;
    finish(p, verdict(p));
}

static void peer_read(struct peer *p, bool hangup)
{
    for (;;) {
        ssize_t got = read(p->fd, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            if (p->state == PEER_IDLE) {
                peer_close(p, false); /* the other side was tired of waiting */
            } else if (p->part == CLOSE) {
                p->keep = false;
                ended(p);
            } else {
                finish(p, END_CUT);
            }
            return;
        }
        uint64_t now = now_ns();
        size_t at = 0;
        while (at < (size_t)got && p->part < DONE)
            at += feed(p, buffer + at, (size_t)got - at, now);
        if (at < (size_t)got)
            p->part = BAD;
        if (p->part >= DONE) {
            p->keep &= !hangup;
            ended(p);
            return;
        }
        if ((size_t)got < sizeof buffer && !hangup)
            return;
    }
}

void peer_ready(struct peer *p, uint32_t events)
{
    if (p->state == PEER_CONNECT && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        int error = 0;
        socklen_t len = sizeof error;
        getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) {
            finish(p, END_CONNECT);
            return;
        }
        peer_send(p);
    } else if (p->state == PEER_SEND && (events & EPOLLOUT)) {
        peer_send(p);
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && p->fd >= 0)
        peer_read(p, (events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) != 0);
}
