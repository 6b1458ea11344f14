/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame - see frame.h. Two steps: find where a frame ends, then take it apart.
 *
 * The search runs over the bytes as they come and remembers only in what state they ended, so bytes are
 * searched once whatever the cuts:
 *
 *            other               LF
 *   START -----------> LINE ------------> START         START: nothing in this line yet
 *     |                  '---CR--> CR --(LF or not)--^
 *     |---LF--> frame ends
 *     '---CR--> LAST_CR --(LF or not)--> frame ends
 *
 * A frame that lies whole in the bytes fed is taken apart where it lies; otherwise its pieces are put
 * together in `partial`.
 */
#include "http/frame.h"

#include <assert.h>

enum { START, LINE, CR, LAST_CR };

/* A cursor over the bytes fed that knows where the next line ends of each kind are, so that a stream of
 * one kind is not searched again and again for the other. */
struct cursor {
    const char *at, *end;
    const char *lf, *cr; /* the first one not before `at`, or end; NULL = not known yet */
};

static bool run(struct http_framer *f, const char *data, size_t len, http_frame_fn fn, void *arg);
static size_t skip_bom(struct http_framer *f, const char *data, size_t len);
static bool find_end(struct http_framer *f, struct cursor *c);
static bool give(struct http_framer *f, strv raw, http_frame_fn fn, void *arg);
static bool parse_event(struct http_framer *f, strv raw, struct http_frame *out);

static bool fail(struct http_framer *f)
{
    f->failed = true;
    return false;
}

void http_framer_init(struct http_framer *f, enum http_framing framing, size_t frame_bytes_max)
{
    *f = (struct http_framer){.framing = framing, .bytes_max = frame_bytes_max};
    buf_init(&f->partial,
             frame_bytes_max + 3); /* + a mark's bytes, or the line ends that end() adds */
    buf_init(&f->joined, frame_bytes_max);
}

void http_framer_fini(struct http_framer *f)
{
    buf_fini(&f->partial);
    buf_fini(&f->joined);
}

bool http_framer_feed(struct http_framer *f, const char *data, size_t len, http_frame_fn fn,
                      void *arg)
{
    if (f->failed)
        return false;
    if (f->bom < 3 && len > 0) {
        size_t skipped = skip_bom(f, data, len);

        data += skipped;
        len -= skipped;
        if (f->bom < 3 || f->failed)
            return !f->failed;
        /* Bytes that began like a mark and were none are the stream's first bytes after all. */
        if (buf_len(&f->partial) > 0) {
            char begun[2];
            size_t n = buf_len(&f->partial);

            assert(n <= sizeof begun);
            memcpy(begun, f->partial.data + f->partial.start, n);
            buf_clear(&f->partial);
            if (!run(f, begun, n, fn, arg))
                return false;
        }
    }
    return len == 0 || run(f, data, len, fn, arg);
}

bool http_framer_end(struct http_framer *f, http_frame_fn fn, void *arg)
{
    if (f->failed)
        return false;
    if (f->bom < 3 && buf_len(&f->partial) > 0)
        f->state = LINE;
    f->bom = 3;
    if (buf_len(&f->partial) > 0) {
        if (f->framing == HTTP_NDJSON)
            buf_put_char(&f->partial, '\n');
        else if (f->state == LINE || f->state == CR) /* one LF more would only complete a CRLF */
            buf_put_cstr(&f->partial, "\n\n");
        else if (f->state == START)
            buf_put_char(&f->partial, '\n');
        strv raw = {f->partial.data + f->partial.start, buf_len(&f->partial)};
        if (f->partial.failed || !give(f, raw, fn, arg))
            return fail(f);
    }
    buf_clear(&f->partial);
    f->state = START;
    return true;
}

static bool run(struct http_framer *f, const char *data, size_t len, http_frame_fn fn, void *arg)
{
    struct cursor c = {.at = data, .end = data + len};

    while (c.at < c.end) {
        const char *begin = c.at;
        bool complete = find_end(f, &c);
        strv raw = {begin, (size_t)(c.at - begin)};

        if (raw.len > f->bytes_max - buf_len(&f->partial))
            return fail(f);
        if (!complete)
            return buf_put_strv(&f->partial, raw) || fail(f);
        f->state = START;
        if (buf_len(&f->partial) > 0) {
            if (!buf_put_strv(&f->partial, raw))
                return fail(f);
            raw = buf_view(&f->partial);
        }
        if (!give(f, raw, fn, arg))
            return fail(f);
        buf_clear(&f->partial);
    }
    return true;
}

/* Bytes that may be a mark wait in `partial`. Returns how many of `data` were taken. */
static size_t skip_bom(struct http_framer *f, const char *data, size_t len)
{
    static const char mark[3] = {'\xef', '\xbb', '\xbf'};
    size_t n = 0;

    while (n < len && f->bom < 3 && data[n] == mark[f->bom]) {
        buf_put_char(&f->partial, data[n]);
        n++;
        f->bom++;
    }
    if (f->bom == 3) /* a mark: forgotten. */
        buf_clear(&f->partial);
    else if (n < len)
        f->bom = 3; /* none */
    if (f->partial.failed)
        f->failed = true;
    return n;
}

static const char *next_lf(struct cursor *c)
{
    if (c->lf == NULL || (c->lf < c->at && c->lf != c->end)) {
        c->lf = memchr(c->at, '\n', (size_t)(c->end - c->at));
        if (c->lf == NULL)
            c->lf = c->end;
    }
    return c->lf;
}

static const char *next_cr(struct cursor *c)
{
    if (c->cr == NULL || (c->cr < c->at && c->cr != c->end)) {
        c->cr = memchr(c->at, '\r', (size_t)(c->end - c->at));
        if (c->cr == NULL)
            c->cr = c->end;
    }
    return c->cr;
}

/* Moves behind the frame's last byte. False: it does not end here, the cursor is at the end. */
static bool find_end(struct http_framer *f, struct cursor *c)
{
    if (f->framing == HTTP_NDJSON) {
        const char *lf = next_lf(c);

        c->at = lf < c->end ? lf + 1 : lf;
        return lf < c->end;
    }
    while (c->at < c->end) {
        switch (f->state) {
        case LAST_CR:
            c->at += *c->at == '\n';
            return true;
        case CR:
            c->at += *c->at == '\n';
            f->state = START;
            break;
        case START:
            if (*c->at == '\n') {
                c->at++;
                return true;
            }
            f->state = *c->at == '\r' ? LAST_CR : LINE;
            c->at += f->state == LAST_CR;
            break;
        case LINE: {
            const char *lf = next_lf(c), *cr = next_cr(c);

            c->at = lf < cr ? lf : cr;
            if (c->at == c->end)
                return false;
            f->state = *c->at++ == '\n' ? START : CR;
            break;
        }
        }
    }
    return false;
}

static bool give(struct http_framer *f, strv raw, http_frame_fn fn, void *arg)
{
    struct http_frame frame = {.name = STRV(""), .raw = raw};

    if (f->framing == HTTP_NDJSON) {
        frame.data = (strv){raw.ptr, raw.len - 1};
        if (frame.data.len > 0 && frame.data.ptr[frame.data.len - 1] == '\r')
            frame.data.len--;
        return strv_trim(frame.data).len == 0 || fn(arg, &frame);
    }
    if (!parse_event(f, raw, &frame))
        return !f->failed; /* nothing in it for anybody */
    return fn(arg, &frame);
}

/* One line off the front, whatever ends it. */
static strv take_line(struct cursor *c)
{
    const char *lf = next_lf(c), *cr = next_cr(c);
    const char *end = lf < cr ? lf : cr;
    strv line = {c->at, (size_t)(end - c->at)};

    c->at = end < c->end ? end + 1 : end;
    if (end == cr && c->at < c->end && *c->at == '\n')
        c->at++;
    return line;
}

static bool is_field(strv line, strv name, strv *value)
{
    if (line.len < name.len || memcmp(line.ptr, name.ptr, name.len) != 0)
        return false;
    *value = strv_from(line, name.len);
    if (value->len == 0)
        return true; /* a name without a colon has an empty value */
    if (value->ptr[0] != ':')
        return false;
    *value = strv_from(*value, value->len > 1 && value->ptr[1] == ' ' ? 2 : 1);
    return true;
}

/* False if there is nothing in it for anybody. */
static bool parse_event(struct http_framer *f, strv raw, struct http_frame *out)
{
    struct cursor c = {.at = raw.ptr, .end = raw.ptr + raw.len};
    size_t lines = 0;

    while (c.at < c.end) {
        strv line = take_line(&c), value;

        if (is_field(line, STRV("data"), &value)) {
            if (lines == 1) {
                buf_clear(&f->joined);
                buf_put_strv(&f->joined, out->data);
            }
            if (lines++ == 0) {
                out->data = value;
                continue;
            }
            buf_put_char(&f->joined, '\n');
            if (!buf_put_strv(&f->joined, value))
                return fail(f);
        } else if (is_field(line, STRV("event"), &value)) {
            out->name = value;
        } else if (is_field(line, STRV("id"), &value)) {
            out->id = value;
        } else if (is_field(line, STRV("retry"), &value)) {
            out->retry = value;
        }
    }
    if (lines > 1)
        out->data = buf_view(&f->joined);
    return lines > 0 || (f->marks && (out->id.ptr != NULL || out->retry.ptr != NULL));
}
