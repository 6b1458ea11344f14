/* SPDX-License-Identifier: Apache-2.0 */
#include "app/chat_wire.h"

#include <stdio.h>

#define MESSAGE_MAX ((size_t)64 * 1024 * 1024)
#define PENDING_MAX ((size_t)64 * 1024 * 1024)
#define TRIES_MAX   6
#define FIRST_MS    500 /* pause before the first try again; each is twice the one before */

static void dial(struct chat_wire *w);

static void on_text(void *arg, strv text)
{
    struct chat_wire *w = arg;
    struct json doc;
    struct err err = ERR_INIT;
    w->tries = 0;
    arena_reset(&w->scratch);
    if (json_read(&doc, text, &w->scratch, 0, &err))
        w->frame(w->arg, doc.root, &w->scratch);
}

static void on_again(void *arg)
{
    dial(arg);
}

static void try_again(struct chat_wire *w, int status, unsigned code, enum io_end why)
{
    if (!w->was_open || w->tries >= TRIES_MAX) {
        w->closed(w->arg, status, code, why);
        return;
    }
    if (w->tries == 0)
        w->lost(w->arg);
    io_timer_start(w->remote->loop, &w->again, (uint64_t)FIRST_MS << w->tries++, on_again, w);
}

static void on_closed(void *arg, unsigned code)
{
    struct chat_wire *w = arg;
    w->ws = NULL;
    if (code == WS_NORMAL || code == 4001 || code == 4003)
        w->closed(w->arg, 0, code, IO_EOF);
    else
        try_again(w, 0, code, IO_EOF);
}

static void on_dialed(void *arg, struct ws *ws, int status, enum io_end why)
{
    struct chat_wire *w = arg;
    w->dial = NULL;
    w->ws = ws;
    if (ws == NULL && status != 0 && status < 500)
        w->closed(w->arg, status, 0, why); /* it means it */
    else if (ws == NULL)
        try_again(w, status, 0, why);
    else
        w->was_open = true;
}

static void dial(struct chat_wire *w)
{
    static const struct ws_opts opts = {.message_bytes_max = MESSAGE_MAX,
                                        .pending_bytes_max = PENDING_MAX,
                                        .ping_ms = 30000,
                                        .close_ms = 5000};
    static const struct ws_ops ops = {on_text, NULL, on_closed};
    struct ws_call call = {&w->remote->upstream, w->path, w->remote->headers, w->remote->n_headers};
    w->dial = ws_dial(w->remote->loop, &call, &opts, &ops, w, on_dialed);
    if (w->dial == NULL)
        w->closed(w->arg, 0, 0, IO_NO_MEMORY);
}

static void put_query(struct buf *b, const char *name, const char *value)
{
    static const char hex[] = "0123456789ABCDEF";
    if (value[0] == '\0')
        return;
    buf_put_char(b, memchr(buf_view(b).ptr, '?', buf_len(b)) == NULL ? '?' : '&');
    buf_put_cstr(b, name);
    buf_put_char(b, '=');
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_';
        if (plain)
            buf_put_char(b, (char)c);
        else
            buf_put(b, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
}

bool chat_wire_open(struct chat_wire *w, const char *session, const char *mode, const char *model)
{
    struct buf b;
    buf_init(&b, sizeof w->path - 1);
    buf_put_cstr(&b, "/ws/");
    buf_put_cstr(&b, session);
    put_query(&b, "mode", mode);
    put_query(&b, "model", model);
    bool ok = !b.failed;
    if (ok)
        memcpy(w->path, buf_view(&b).ptr, buf_len(&b));
    w->path[ok ? buf_len(&b) : 0] = '\0';
    buf_fini(&b);
    w->tries = 0;
    w->was_open = false;
    arena_init(&w->scratch, 16 * 1024, 8 * MESSAGE_MAX);
    if (ok)
        dial(w);
    return ok;
}

void chat_wire_close(struct chat_wire *w)
{
    if (w->remote == NULL || w->remote->loop == NULL)
        return;
    io_timer_stop(w->remote->loop, &w->again);
    ws_dial_cancel(w->dial);
    ws_free(w->ws);
    w->dial = NULL;
    w->ws = NULL;
    arena_fini(&w->scratch);
}

bool chat_wire_send(struct chat_wire *w, strv frame)
{
    return w->ws != NULL && ws_send(w->ws, frame);
}
