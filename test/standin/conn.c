/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn - one connection: bytes in, a parsed request, bytes out.
 *
 * Sockets are edge-triggered and registered once. Bytes are parsed where read() put them, a shared buffer; only
 * what is incomplete is copied to the connection. Replies are written at once; only what the socket did not take
 * is kept. So a stream that waits for its next event owns no buffer at all, and ten thousand of them are cheap.
 *
 * One driver, conn_run(), moves a connection on; sockets and timers only call it. A dead connection is freed at
 * the end of the turn, never inside a call.
 */
#include "standin.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX  (256u << 10)
#define BODY_MAX  (256u << 20)
#define LINGER_NS 5000000000u
#define SLOW_NS   10000000u

struct stats stats;

static char read_buffer[256 << 10];
static struct conn *graveyard;
static uint64_t conn_ids;

void conn_open(int fd, bool tls, bool control)
{
    struct conn *c = must_alloc(NULL, sizeof *c);
    int one = 1;
    *c = (struct conn){.fd = fd, .id = ++conn_ids, .control = control};
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* a unix socket says no */
    if (settings.read_bytes > 0) {
        int size = 4096;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    if (tls) {
        c->ssl = SSL_new(tls_context);
        if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1)
            exit(1);
        SSL_set_accept_state(c->ssl);
    }
    if (!control) {
        stats.connections_total++;
        stats.connections_open++;
    }
    watch(fd, c);
}

static void conn_kill(struct conn *c)
{
    if (c->dead)
        return;
    if (c->phase == PHASE_REPLY || c->phase == PHASE_HOLD)
        record_outcome(c, "aborted"); /* the caller left; our own faults have recorded theirs */
    c->dead = true;
    timers_set(c, 0);
    if (c->ssl)
        SSL_free(c->ssl);
    close(c->fd);
    c->fd = -1;
    if (!c->control)
        stats.connections_open--;
    c->next_dead = graveyard;
    graveyard = c;
}

void conn_bury(void)
{
    while (graveyard) {
        struct conn *c = graveyard;
        graveyard = c->next_dead;
        text_free(&c->in);
        text_free(&c->out);
        text_free(&c->other);
        plan_free(c);
        free(c);
    }
}

void conn_reset(struct conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    record_outcome(c, "reset");
    c->phase = PHASE_LINGER;
    if (c->ssl)
        SSL_set_quiet_shutdown(c->ssl, 1);
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    conn_kill(c);
}

/* close() with unread bytes would send RST; so only our direction is closed, and theirs waited for. */
void conn_finish(struct conn *c)
{
    record_outcome(c, "cut");
    c->phase = PHASE_LINGER;
    shutdown(c->fd, SHUT_WR);
    if (c->peer_gone)
        conn_kill(c);
    else
        timers_set(c, now_ns() + LINGER_NS);
}

void conn_arm(struct conn *c, uint64_t at_ns)
{
    if (!c->dead)
        timers_set(c, at_ns);
}

/* > 0: bytes, 0: end, -1: not now, -2: broken */
static ssize_t conn_read(struct conn *c, char *p, size_t n)
{
    if (c->ssl) {
        int got = SSL_read(c->ssl, p, n > 1 << 30 ? 1 << 30 : (int)n);
        if (got > 0)
            return got;
        int why = SSL_get_error(c->ssl, got);
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1
               : why == SSL_ERROR_ZERO_RETURN                            ? 0
                                                                         : -2;
    }
    for (;;) {
        ssize_t got = read(c->fd, p, n);
        if (got >= 0)
            return got;
        if (errno == EAGAIN)
            return -1;
        if (errno != EINTR)
            return -2;
    }
}

static ssize_t conn_write(struct conn *c, const char *p, size_t n)
{
    if (n == 0)
        return 0;
    if (c->ssl) {
        int put = SSL_write(c->ssl, p, n > 1 << 30 ? 1 << 30 : (int)n);
        if (put > 0)
            return put;
        int why = SSL_get_error(c->ssl, put);
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : -2;
    }
    for (;;) {
        ssize_t put = send(c->fd, p, n, MSG_NOSIGNAL);
        if (put >= 0)
            return put;
        if (errno == EAGAIN)
            return -1;
        if (errno != EINTR)
            return -2;
    }
}

/* How much one write may carry: all, or what the knobs for splitting allow. */
static size_t write_length(const struct conn *c, const char *p, size_t n)
{
    size_t max = c->k.split > 0 ? (size_t)c->k.split : n;
    if (max > n)
        max = n;
    for (size_t i = 0; c->k.split_utf8 && i < max; i++)
        if ((unsigned char)p[i] >= 0xc0)
            return i + 1 < n ? i + 1 : n; /* the letter's first byte is the last of this write */
    return max;
}

/* True when everything is written. Otherwise the socket or the split timer comes back. */
static bool conn_flush(struct conn *c)
{
    while (c->out_sent < c->out.len) {
        const char *p = c->out.data + c->out_sent;
        size_t left = c->out.len - c->out_sent, n = write_length(c, p, left);
        if (c->split_ns > now_ns())
            return false;
        ssize_t put = conn_write(c, p, n);
        if (put == -1)
            return false;
        if (put < 0) {
            conn_kill(c);
            return false;
        }
        c->out_sent += (size_t)put;
        if (n < left) {
            c->split_ns = now_ns() + (uint64_t)c->k.split_us * 1000;
            timers_set(c, c->split_ns);
            return false;
        }
    }
    text_free(&c->out);
    c->out_sent = 0;
    return true;
}

void conn_send(struct conn *c, const char *p, size_t n)
{
    bool whole = c->out.len == 0 && c->k.split == 0 && !c->k.split_utf8;
    ssize_t put = whole ? conn_write(c, p, n) : 0;
    if (put == -2)
        conn_kill(c);
    else if (put == -1)
        put = 0;
    if (put >= 0 && (size_t)put < n)
        text_add(&c->out, p + put, n - (size_t)put);
}

/* ---- requests ---- */

static struct span trim(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    return (struct span){p, (size_t)(end - p)};
}

static bool key_fits(struct span key)
{
    return settings.key && key.n == strlen(settings.key) && memcmp(key.p, settings.key, key.n) == 0;
}

/* The chunks of a request body, moved together in place. 0: incomplete, -1: broken, else the bytes used. */
static ssize_t dechunk(char *p, size_t n, size_t *body)
{
    size_t at = 0, out = 0;
    for (;;) {
        char *line = memchr(p + at, '\n', n - at);
        if (line == NULL)
            return 0;
        char *after;
        size_t size = strtoul(p + at, &after, 16);
        if (after == p + at || size > BODY_MAX)
            return -1;
        at = (size_t)(line + 1 - p);
        if (size == 0) {
            line = memchr(p + at, '\n', n - at);
            if (line == NULL)
                return 0;
            *body = out;
            return line + 1 - p;
        }
        if (n - at < size + 2)
            return 0;
        memmove(p + out, p + at, size);
        out += size;
        at += size + 2;
    }
}

enum parsed { PARSED, PARSE_MORE, PARSE_BAD };

/* One pass over the head. On PARSED the view has moved behind the request. */
static enum parsed parse(struct conn *c, struct request *r)
{
    const char *p = c->view, *end = p + c->view_len;
    if (c->view_len < c->in_want)
        return PARSE_MORE;
    const char *stop = memmem(p, c->view_len, "\r\n\r\n", 4);
    if (stop == NULL)
        return c->view_len > HEAD_MAX ? PARSE_BAD : PARSE_MORE;
    const char *body = stop + 4, *line = memchr(p, '\n', c->view_len);
    const char *space = memchr(p, ' ', (size_t)(line - p));
    const char *space2 = space ? memchr(space + 1, ' ', (size_t)(line - space - 1)) : NULL;
    if (space2 == NULL || line - space2 < 9 || memcmp(space2 + 1, "HTTP/1.", 7) != 0)
        return PARSE_BAD;
    *r = (struct request){
        .method = {p, (size_t)(space - p)},
        .target = {space + 1, (size_t)(space2 - space - 1)},
        .head = {p, (size_t)(stop + 2 - p)},
        .keep_alive = space2[8] == '1',
        .keyed = settings.key == NULL,
    };
    r->path = r->target;
    const char *query = memchr(r->target.p, '?', r->target.n);
    if (query)
        r->path.n = (size_t)(query - r->target.p);

    int64_t length = 0;
    bool chunked = false;
    for (p = line + 1; p < stop; p = line + 1) {
        line = memchr(p, '\n', (size_t)(body - p));
        const char *colon = memchr(p, ':', (size_t)(line - p));
        if (colon == NULL)
            return PARSE_BAD;
        struct span name = {p, (size_t)(colon - p)}, value = trim(colon + 1, line);
        switch (name.n) { /* most names fall through here by their length alone */
        case 6:
            if (span_is_nocase(name, "expect"))
                r->expect = true;
            break;
        case 9:
            if (span_is_nocase(name, "x-api-key"))
                r->keyed |= key_fits(value);
            else if (span_is_nocase(name, "x-standin"))
                r->knobs = value;
            break;
        case 10:
            if (span_is_nocase(name, "connection"))
                r->keep_alive = span_is_nocase(value, "keep-alive") ||
                                (r->keep_alive && !span_is_nocase(value, "close"));
            break;
        case 13:
            if (span_is_nocase(name, "authorization") && value.n > 7)
                r->keyed |= key_fits((struct span){value.p + 7, value.n - 7});
            break;
        case 14:
            if (span_is_nocase(name, "content-length") &&
                (!span_int(value, &length) || length < 0 || length > (int64_t)BODY_MAX))
                return PARSE_BAD;
            break;
        case 17:
            if (span_is_nocase(name, "transfer-encoding"))
                chunked = true;
            else if (span_is_nocase(name, "anthropic-version"))
                r->anthropic = true;
            break;
        default:
            break;
        }
    }

    size_t have = (size_t)(end - body), used = (size_t)length;
    r->body = (struct span){body, used};
    if (chunked) {
        /* Works on the bytes in place; they are ours, const only guards against accidents. */
        char *copy = must_alloc(NULL, have + 1);
        memcpy(copy, body, have);
        copy[have] = 0;
        ssize_t got = dechunk(copy, have, &r->body.n);
        if (got > 0)
            memcpy((char *)(uintptr_t)body, copy, r->body.n);
        free(copy);
        if (got < 0)
            return PARSE_BAD;
        used = (size_t)got;
    }
    if (chunked ? used == 0 : have < used) {
        if (!chunked) /* no need to look again before this much is there */
            c->in_want = (size_t)(body - c->view) + used;
        if (r->expect && c->in.len == 0)
            conn_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        return PARSE_MORE;
    }
    c->in_want = 0;
    c->view = body + used;
    c->view_len = have - used;
    return PARSED;
}

static void conn_next(struct conn *c)
{
    bool close_now = c->close_after;
    if (c->k.stale)
        c->stale = true;
    record_outcome(c, "done");
    c->k = knobs_default;
    c->phase = PHASE_READ;
    if (close_now)
        conn_finish(c);
}

static void conn_run(struct conn *c)
{
    while (!c->dead && conn_flush(c)) {
        struct request r;
        switch (c->phase) {
        case PHASE_READ:
            if (c->view_len == 0) {
                if (c->peer_gone)
                    conn_kill(c);
                return;
            }
            if (c->stale) {
                conn_reset(c);
                return;
            }
            switch (parse(c, &r)) {
            case PARSE_MORE:
                if (c->peer_gone)
                    conn_kill(c);
                return;
            case PARSE_BAD:
                c->close_after = true;
                reply_simple(c, 400, "text/plain", "bad request\n", 12);
                break;
            case PARSED:
                reply_begin(c, &r);
                break;
            }
            break;
        case PHASE_REPLY:
            if (!reply_step(c))
                return;
            break;
        case PHASE_DONE:
            conn_next(c);
            break;
        case PHASE_HOLD:
        case PHASE_LINGER:
            return;
        }
    }
}

/* What was not parsed moves to `in`; called after every run over the shared read buffer. */
static void keep_rest(struct conn *c)
{
    if (c->view_len == 0) {
        text_free(&c->in);
    } else if (c->in.data == NULL) {
        text_add(&c->in, c->view, c->view_len);
    } else if (c->view != c->in.data) {
        memmove(c->in.data, c->view, c->view_len);
        c->in.len = c->view_len;
    }
    c->view = NULL;
}

static void conn_drive(struct conn *c)
{
    c->view = c->in.data;
    c->view_len = c->in.len;
    conn_run(c);
    if (!c->dead)
        keep_rest(c);
}

void conn_timer(struct conn *c)
{
    if (c->phase == PHASE_LINGER)
        conn_kill(c);
    else if (c->phase == PHASE_READ && settings.read_bytes > 0)
        conn_ready(c, EPOLLIN);
    else
        conn_drive(c);
}

/* Returns false when there is nothing more to read now: a short read says so as well as another one would. */
static bool conn_fill(struct conn *c, bool hangup)
{
    ssize_t got;
    size_t asked = sizeof read_buffer;
    bool slow = settings.read_bytes > 0 && c->phase == PHASE_READ;
    if (c->in.len == 0) {
        if (slow && asked > (size_t)settings.read_bytes)
            asked = (size_t)settings.read_bytes;
        got = conn_read(c, read_buffer, asked);
        c->view = read_buffer;
        c->view_len = got > 0 ? (size_t)got : 0;
    } else {
        size_t room = c->in_want > c->in.len ? c->in_want - c->in.len + 4096 : 64 << 10;
        if (c->in.cap - c->in.len < room) {
            c->in.cap = c->in.len + room;
            c->in.data = must_alloc(c->in.data, c->in.cap);
        }
        asked = c->in.cap - c->in.len;
        if (slow && asked > (size_t)settings.read_bytes)
            asked = (size_t)settings.read_bytes;
        got = conn_read(c, c->in.data + c->in.len, asked);
        if (got > 0)
            c->in.len += (size_t)got;
        c->view = c->in.data;
        c->view_len = c->in.len;
    }
    if (got == 0 || got == -2)
        c->peer_gone = true;
    if (slow &&
        got > 0) /* the next piece in a while; the kernel's buffer is small, see conn_open() */
        timers_set(c, now_ns() + SLOW_NS);
    return got > 0 && !slow && (c->ssl || hangup || (size_t)got == asked);
}

void conn_ready(struct conn *c, uint32_t events)
{
    while (!c->dead && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
        bool more = conn_fill(c, (events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) != 0);
        if (c->phase == PHASE_LINGER) {
            c->view_len = 0;
            text_free(&c->in);
        }
        if (c->peer_gone && c->phase != PHASE_READ) {
            conn_kill(c);
            return;
        }
        conn_run(c);
        if (c->dead)
            return;
        keep_rest(c);
        if (!more)
            break;
    }
    if (!c->dead && (events & EPOLLOUT) && (c->out.len || c->phase == PHASE_REPLY))
        conn_drive(c);
}
