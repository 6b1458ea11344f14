/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws - libwslay between a stream's bytes and an owner's texts.
 *
 *   stream --on_data--> in --wslay_event_recv()--> on_text
 *   ws_send() --wslay_event_send()--> out --end of the turn--> stream
 *
 * What is given to wslay is framed at once into `out`: its own queue is empty between calls, so a close cannot overtake
 * a text (wslay sends control frames first), and pongs to a flood of pings count as unsent bytes like anything else.
 */
#include "ws/ws.h"

#include <assert.h>
#include <wslay/wslay.h>

#include "ws/ws_int.h"

/* Room behind the texts for their frames, our close, and answers to pings. */
#define CONTROL_BYTES ((size_t)4096)
/* wslay keeps each piece of a text by itself, which takes a hundred bytes besides: so many, and one more for each PIECE. */
#define PIECES_MAX 1024
#define PIECE      256

enum ws_state { WS_OPEN, WS_CLOSING, WS_GONE };

struct ws {
    struct io_loop *loop;
    struct io_stream *stream; /* NULL once gone */
    wslay_event_context_ptr frames;
    struct ws_opts opts;
    const struct ws_ops *ops; /* NULL once told */
    void *arg;
    strv in;          /* bytes of this turn that wslay has not taken */
    struct buf early; /* bytes from before our time */
    struct buf out;
    struct io_timer timer;
    struct io_task task; /* the end of the turn: early bytes, output, the end */
    int64_t said_us;     /* when a text last went either way */
    enum ws_state state;
    bool heard;                /* anything, since the last ping */
    bool stuck;                /* some output is kept in the stream */
    bool failed;               /* memory, or a peer that does not take what it makes us send */
    bool free_it;              /* by the owner */
    unsigned code;             /* for on_closed */
    uint64_t pieces, promised; /* of the text that is being received: frames, and their bytes */
};

static void settle(struct ws *w);

/* ---- what wslay asks for ---- */

static ssize_t give_input(wslay_event_context_ptr ctx, uint8_t *data, size_t len, int flags,
                          void *arg)
{
    struct ws *w = arg;
    size_t n = w->in.len < len ? w->in.len : len;

    (void)flags;
    if (n == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(data, w->in.ptr, n);
    w->in = strv_from(w->in, n);
    return (ssize_t)n;
}

static ssize_t take_output(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                           void *arg)
{
    struct ws *w = arg;

    (void)flags;
    if (!buf_put(&w->out, data, len)) {
        wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)len;
}

static void on_frame(wslay_event_context_ptr ctx,
                     const struct wslay_event_on_frame_recv_start_arg *frame, void *arg)
{
    struct ws *w = arg;
    bool binary = frame->opcode == WSLAY_BINARY_FRAME, text = frame->opcode == WSLAY_TEXT_FRAME;

    if (wslay_is_ctrl_frame(frame->opcode) || w->state != WS_OPEN)
        return;
    w->pieces = text ? 1 : w->pieces + 1;
    w->promised = text ? frame->payload_length : w->promised + frame->payload_length;
    bool many = w->pieces > PIECES_MAX + w->promised / PIECE;
    if (!binary && !many)
        return;
    wslay_event_shutdown_read(ctx);
    ws_close(w, binary ? WS_BAD_TYPE : WS_TOO_LARGE,
             binary ? "text messages only" : "too many pieces");
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *msg,
                       void *arg)
{
    struct ws *w = arg;

    (void)ctx;
    if (msg->opcode != WSLAY_TEXT_FRAME || w->state != WS_OPEN || w->ops == NULL)
        return;
    w->said_us = io_now_us(w->loop);
    w->ops->on_text(w->arg, (strv){(const char *)msg->msg, msg->msg_length});
}

static int make_mask(wslay_event_context_ptr ctx, uint8_t *out, size_t len, void *arg)
{
    (void)arg;
    if (rng_secret(out, len))
        return 0;
    wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = give_input,
    .send_callback = take_output,
    .genmask_callback = make_mask, /* asked of a client only */
    .on_frame_recv_start_callback = on_frame,
    .on_msg_recv_callback = on_message,
};

/* ---- its life ---- */

/* Frames what wslay has to say. */
static void frame(struct ws *w)
{
    if (wslay_event_send(w->frames) != 0)
        w->failed = true;
    io_defer(w->loop, &w->task);
}

static void read_input(struct ws *w, strv bytes)
{
    w->heard = true;
    w->in = bytes;
    if (wslay_event_recv(w->frames) != 0)
        w->failed = true;
    w->in = STRV_NONE;
    frame(w);
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct ws *w = arg;

    if (buf_len(&w->early) > 0) { /* not yet read itself */
        if (!buf_put(&w->early, data, len))
            w->failed = true;
        return;
    }
    read_input(w, (strv){data, len});
}

/* The connection is over; the owner is told at the end of the turn. */
static void leave(struct ws *w, void (*end)(struct io_stream *s))
{
    if (w->state == WS_GONE)
        return;
    io_timer_stop(w->loop, &w->timer);
    end(w->stream);
    w->stream = NULL;
    w->state = WS_GONE;
    io_defer(w->loop, &w->task);
}

static void finish(struct io_stream *s)
{
    io_stream_finish(s, 2000);
}

static void on_end(void *arg, enum io_end end)
{
    struct ws *w = arg;

    (void)end;
    leave(w, io_stream_close);
}

static void on_drain(void *arg)
{
    struct ws *w = arg;

    w->stuck = false;
    if (w->ops != NULL && w->ops->on_drain != NULL && w->state == WS_OPEN)
        w->ops->on_drain(w->arg);
}

static const struct io_stream_ops stream_ops = {on_data, on_end, on_drain};

static void on_timer(void *arg)
{
    struct ws *w = arg;
    struct wslay_event_msg ping = {.opcode = WSLAY_PING};
    int64_t silent_ms = (io_now_us(w->loop) - w->said_us) / 1000;

    if (w->state == WS_CLOSING) { /* the peer does not answer our close */
        leave(w, finish);
        return;
    }
    if (!w->heard) {
        leave(w, io_stream_abort);
        return;
    }
    if (w->opts.idle_ms > 0 && silent_ms >= (int64_t)w->opts.idle_ms) {
        ws_close(w, WS_GOING_AWAY, "idle");
        return;
    }
    w->heard = false;
    if (wslay_event_queue_msg(w->frames, &ping) != 0)
        w->failed = true;
    frame(w);
    io_timer_start(w->loop, &w->timer, w->opts.ping_ms, on_timer, w);
}

static void run_task(struct io_task *task)
{
    struct ws *w = list_entry(task, struct ws, task);

    if (w->state != WS_GONE && buf_len(&w->early) > 0) {
        struct buf early = w->early;

        buf_init(&w->early, early.max);
        read_input(w, buf_view(&early));
        buf_fini(&early);
    }
    settle(w);
}

/* What was collected goes out; then, where both have said goodbye or nothing more can be said, it ends. */
static void write_out(struct ws *w)
{
    struct iovec v = {w->out.data + w->out.start, buf_len(&w->out)};

    if (v.iov_len > 0 && !io_stream_write(w->stream, &v, 1))
        w->failed = true;
    buf_fini(&w->out);
    w->stuck = io_stream_pending(w->stream) > 0;
}

static unsigned code_sent(const struct ws *w)
{
    unsigned code = wslay_event_get_status_code_sent(w->frames);

    if (!wslay_event_get_close_sent(w->frames))
        return WS_CUT;
    return code != WS_NO_CODE ? code
                              : WS_BAD_FRAME; /* wslay gives no code for some faults of frames */
}

static void settle(struct ws *w)
{
    if (w->state != WS_GONE) {
        unsigned got = wslay_event_get_close_received(w->frames)
                           ? wslay_event_get_status_code_received(w->frames)
                           : 0;
        bool said = wslay_event_get_close_sent(w->frames) != 0;

        write_out(w);
        if (got != 0)
            w->code = got;
        else if (wslay_event_get_close_received(w->frames))
            w->code = WS_NO_CODE;
        if (w->failed)
            leave(w, io_stream_abort);
        else if (said && (wslay_event_get_close_received(w->frames) ||
                          !wslay_event_get_read_enabled(w->frames)))
            leave(w, finish);
        else if (said && w->state == WS_OPEN) { /* wslay itself has found a fault */
            w->state = WS_CLOSING;
            io_timer_start(w->loop, &w->timer, w->opts.close_ms, on_timer, w);
        }
    }
    if (w->state == WS_GONE && w->ops != NULL) {
        const struct ws_ops *ops = w->ops;

        w->ops = NULL;
        w->free_it = true;
        ops->on_closed(w->arg, w->code != WS_CUT ? w->code : code_sent(w));
    }
    if (w->state == WS_GONE && w->free_it && !w->task.queued) {
        wslay_event_context_free(w->frames);
        buf_fini(&w->early);
        buf_fini(&w->out);
        mem_free(w);
    }
}

/* ---- the interface ---- */

struct ws *ws_new(struct io_loop *loop, struct io_stream *s, strv early, const struct ws_opts *opts,
                  const struct ws_ops *ops, void *arg)
{
    return ws_make(loop, s, early, opts, ops, arg, false);
}

struct ws *ws_make(struct io_loop *loop, struct io_stream *s, strv early,
                   const struct ws_opts *opts, const struct ws_ops *ops, void *arg, bool client)
{
    struct ws *w = mem_zalloc(sizeof *w);
    int (*init)(wslay_event_context_ptr *, const struct wslay_event_callbacks *, void *) =
        client ? wslay_event_context_client_init : wslay_event_context_server_init;

    if (w == NULL || init(&w->frames, &callbacks, w) != 0) {
        mem_free(w);
        io_stream_abort(s);
        return NULL;
    }
    w->loop = loop;
    w->stream = s;
    w->opts = *opts;
    w->ops = ops;
    w->arg = arg;
    w->code = WS_CUT;
    w->heard = true;
    w->said_us = io_now_us(loop);
    w->task.run = run_task;
    buf_init(&w->early, early.len + opts->message_bytes_max);
    buf_init(&w->out, opts->pending_bytes_max + CONTROL_BYTES);
    wslay_event_config_set_max_recv_msg_length(w->frames, opts->message_bytes_max);
    w->failed = !buf_put_strv(&w->early, early);
    io_stream_bind(s, &stream_ops, w);
    io_stream_set_max(s, opts->pending_bytes_max + CONTROL_BYTES);
    io_stream_read(s, true);
    io_timer_start(loop, &w->timer, opts->ping_ms, on_timer, w);
    io_defer(loop, &w->task);
    return w;
}

size_t ws_pending(const struct ws *w)
{
    return w->state == WS_GONE ? 0 : io_stream_pending(w->stream) + buf_len(&w->out);
}

bool ws_send(struct ws *w, strv text)
{
    struct wslay_event_msg msg = {WSLAY_TEXT_FRAME, (const uint8_t *)text.ptr, text.len};
    size_t pending = ws_pending(w);

    if (w->state != WS_OPEN || w->failed || text.len > w->opts.pending_bytes_max ||
        pending > w->opts.pending_bytes_max - text.len)
        return false;
    w->said_us = io_now_us(w->loop);
    if (wslay_event_queue_msg(w->frames, &msg) != 0)
        w->failed = true;
    frame(w);
    return !w->failed;
}

void ws_close(struct ws *w, unsigned code, const char *reason)
{
    if (w->state != WS_OPEN)
        return;
    assert(strlen(reason) <= 123);
    w->state = WS_CLOSING;
    wslay_event_config_set_no_buffering(w->frames, 1); /* nobody reads what still comes */
    if (wslay_event_queue_close(w->frames, (uint16_t)code, (const uint8_t *)reason, strlen(reason)))
        w->failed = true;
    frame(w);
    io_timer_start(w->loop, &w->timer, w->opts.close_ms, on_timer, w);
}

void ws_free(struct ws *w)
{
    if (w == NULL)
        return;
    w->ops = NULL;
    w->free_it = true;
    leave(w, io_stream_abort);
}
