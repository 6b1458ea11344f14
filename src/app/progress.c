/* SPDX-License-Identifier: Apache-2.0 */
#include "app/progress.h"

#include "app/term.h"

#define BYTES_MAX                                                                                  \
    ((int64_t)1 << 50)          /* of a layer: no model is larger, and sums of it cannot overflow */
#define SAMPLE_US        250000 /* a shorter look tells nothing about speed */
#define SMOOTH_S         4.0    /* a change of speed is believed after about that long */
#define BAR_MIN          10
#define NAME_MAX_COLUMNS 32
#define LINE_MAX_BYTES   1024

/* ---- reading ---- */

static struct progress_layer *find_layer(struct progress *p, strv digest)
{
    for (size_t i = 0; i < p->n; i++)
        if (strv_eq_cstr(digest, p->layers[i].digest))
            return &p->layers[i];
    if (p->n == PROGRESS_LAYERS_MAX || digest.len >= sizeof p->layers->digest)
        return NULL;
    struct progress_layer *layer = &p->layers[p->n++];
    *layer = (struct progress_layer){0};
    memcpy(layer->digest, digest.ptr, digest.len);
    return layer;
}

static int64_t in_range(int64_t n, int64_t max)
{
    return n < 0 ? 0 : n > max ? max : n;
}

static void take_layer(struct progress *p, yyjson_val *root, strv digest)
{
    struct progress_layer *layer = find_layer(p, digest);
    if (layer == NULL)
        return;
    int64_t total = in_range(json_get_int(root, "total", layer->total), BYTES_MAX);
    int64_t completed =
        in_range(json_get_int(root, "completed", layer->seen ? layer->completed : 0), total);
    if (layer->seen && completed > layer->completed)
        p->moved += completed - layer->completed;
    p->total += total - layer->total;
    p->completed += completed - layer->completed;
    layer->total = total;
    layer->completed = completed;
    layer->seen = true;
    p->in_layer = true;
}

static void keep(char *out, size_t size, strv text)
{
    text = utf8_cut(text, size - 1);
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
}

/* An average in which what is long past counts ever less. */
static void measure(struct progress *p, int64_t now_us)
{
    int64_t us = now_us - p->mark_us;
    if (us < SAMPLE_US)
        return;
    double s = (double)us / 1e6, now = (double)(p->moved - p->mark_moved) / s;
    p->rate = p->rate > 0 ? p->rate + (now - p->rate) * s / (SMOOTH_S + s) : now;
    p->mark_us = now_us;
    p->mark_moved = p->moved;
}

void progress_begin(struct progress *p, int64_t now_us)
{
    for (size_t i = 0; i < p->n; i++)
        p->layers[i].seen = false;
    p->mark_us = now_us;
    p->mark_moved = p->moved;
}

bool progress_take(struct progress *p, strv line, struct arena *scratch, int64_t now_us)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (!json_read(&doc, line, scratch, 0, &err))
        return false;
    strv status = json_get_str(doc.root, "status"), error = json_get_str(doc.root, "error");
    strv digest = json_get_str(doc.root, "digest");
    if (status.ptr == NULL && error.ptr == NULL)
        return false;
    p->in_layer = false;
    if (error.ptr != NULL)
        keep(p->error, sizeof p->error, error.len > 0 ? error : STRV("it gives no reason"));
    if (status.ptr != NULL)
        keep(p->status, sizeof p->status, status);
    if (digest.len > 0)
        take_layer(p, doc.root, digest);
    measure(p, now_us);
    p->success = p->success || strv_eq_cstr(status, "success");
    return true;
}

void progress_moved(struct progress *p, int64_t completed, int64_t total, int64_t now_us)
{
    p->total = in_range(total, BYTES_MAX);
    completed = in_range(completed, p->total);
    if (completed > p->completed)
        p->moved += completed - p->completed;
    p->completed = completed;
    p->in_layer = true;
    measure(p, now_us);
}

int64_t progress_seconds_left(const struct progress *p)
{
    if (p->rate < 1)
        return -1;
    double s = (double)(p->total - p->completed) / p->rate;
    return s < 1e9 ? (int64_t)(s + 0.5) : -1;
}

/* ---- writing ---- */

void progress_put_bytes(struct buf *out, int64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB"};
    double n = (double)bytes;
    size_t unit = 0;
    if (bytes < 1000) {
        buf_printf(out, "%lld B", (long long)bytes);
        return;
    }
    for (n /= 1000; n >= 999.5 && unit + 1 < sizeof units / sizeof *units; unit++)
        n /= 1000;
    buf_printf(out, n < 99.95 ? "%.1f %s" : "%.0f %s", n, units[unit]);
}

void progress_put_seconds(struct buf *out, int64_t seconds)
{
    long long s = seconds;
    if (s < 60)
        buf_printf(out, "%lld s", s);
    else if (s < 3600)
        buf_printf(out, "%lld min %lld s", s / 60, s % 60);
    else
        buf_printf(out, "%lld h %lld min", s / 3600, s % 3600 / 60);
}

static int percent(const struct progress *p)
{
    return p->total > 0 ? (int)(p->completed * 100 / p->total) : 0;
}

static void put_figures(struct buf *out, const struct progress *p)
{
    int64_t left = progress_seconds_left(p);
    progress_put_bytes(out, p->completed);
    buf_put_cstr(out, " of ");
    progress_put_bytes(out, p->total);
    if (p->rate >= 1 && p->completed < p->total) {
        buf_put_cstr(out, ", ");
        progress_put_bytes(out, (int64_t)p->rate);
        buf_put_cstr(out, "/s");
        if (left >= 0) {
            buf_put_cstr(out, ", ");
            progress_put_seconds(out, left);
            buf_put_cstr(out, " left");
        }
    }
}

static void put_name(struct buf *out, const char *name)
{
    struct buf clean;
    buf_init(&clean, LINE_MAX_BYTES);
    term_clean(&clean, strv_of(name), false);
    strv text = buf_view(&clean);
    bool cut = term_width(text) > NAME_MAX_COLUMNS;
    while (term_width(text) > (cut ? NAME_MAX_COLUMNS - 2 : NAME_MAX_COLUMNS))
        text = utf8_cut(text, text.len - 1);
    buf_put_strv(out, text);
    buf_put_cstr(out, cut ? ".." : "");
    buf_fini(&clean);
}

void progress_put_line(struct buf *out, const struct progress *p, const char *name)
{
    put_name(out, name);
    buf_put_cstr(out, ": ");
    term_clean(out, strv_of(p->status), false);
    if (p->in_layer) {
        buf_printf(out, ": %d %%, ", percent(p));
        put_figures(out, p);
    }
}

static void put_filled(struct buf *out, const struct progress *p, size_t width)
{
    size_t full =
        p->total > 0 ? (size_t)((double)p->completed / (double)p->total * (double)width) : 0;
    buf_put_char(out, '[');
    for (size_t i = 0; i < width; i++)
        buf_put_char(out, i < full ? '=' : i == full ? '>' : ' ');
    buf_put_cstr(out, "] ");
}

void progress_put_bar(struct buf *out, const struct progress *p, const char *name, size_t width)
{
    struct buf line, figures;
    buf_init(&line, LINE_MAX_BYTES);
    buf_init(&figures, LINE_MAX_BYTES);
    if (p->in_layer) {
        put_name(&line, name);
        buf_printf(&line, " %3d %% ", percent(p));
        put_figures(&figures, p);
        size_t taken = term_width(buf_view(&line)) + term_width(buf_view(&figures)) + 3;
        if (taken + BAR_MIN <= width)
            put_filled(&line, p, width - taken < 50 ? width - taken : 50);
        buf_put_strv(&line, buf_view(&figures));
    } else {
        progress_put_line(&line, p, name);
    }
    strv text = buf_view(&line);
    while (term_width(text) > width)
        text = utf8_cut(text, text.len - 1);
    out->failed = out->failed || line.failed || figures.failed;
    buf_put_strv(out, text);
    buf_fini(&line);
    buf_fini(&figures);
}
