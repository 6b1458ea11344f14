/* SPDX-License-Identifier: Apache-2.0 */
#include "app/loop_show.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "app/term.h"

#define CURVE_MAX   32
#define BAR_MAX     20
#define LINE_EVERY  10
#define WIDTH_OTHER 80
#define LINE_BYTES  ((size_t)16 * 1024)

/* ---- one line ---- */

static void put_bar(struct buf *out, const struct loop *l, size_t cells)
{
    size_t full = (size_t)((double)l->rounds / (double)l->conf.rounds_max * (double)cells);
    for (size_t i = 0; i < cells; i++)
        buf_put_cstr(out, i < full ? "\xe2\x96\x88" : "\xe2\x96\x91");
}

/* The latest scores, one cell each: U+2581 to U+2588 between the least and the most of them. */
static void put_curve(struct buf *out, const struct loop *l, size_t cells)
{
    size_t from = l->n_records > cells ? l->n_records - cells : 0;
    double least = 1e300, most = -1e300;
    for (size_t i = from; i < l->n_records; i++) {
        double s = l->records[i].v.score;
        least = s < least ? s : least;
        most = s > most ? s : most;
    }
    for (size_t i = from; i < l->n_records; i++) {
        double part = most > least ? (l->records[i].v.score - least) / (most - least) : 0.5;
        char cell[4] = {'\xe2', '\x96', (char)(0x81 + (int)(part * 7)), '\0'};
        buf_put_cstr(out, cell);
    }
}

static strv algorithm_of(const struct loop *l, struct arena *scratch)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (l->n_records == 0 ||
        !json_read(&doc, l->records[l->n_records - 1].params, scratch, 0, &err))
        return STRV("");
    strv name = json_get_str(doc.root, "algorithm");
    return name.ptr != NULL ? utf8_cut(name, 24) : STRV("");
}

void loop_show_line(struct buf *out, const struct loop *l, size_t width)
{
    struct arena scratch;
    double best = l->best.round > 0 ? l->best.v.score : 0;
    size_t before = buf_len(out);
    arena_init(&scratch, 1024, 1 << 20);
    buf_printf(out, "round %lld/%lld ", (long long)l->rounds, (long long)l->conf.rounds_max);
    if (width >= 70)
        put_bar(out, l, BAR_MAX);
    buf_printf(out, " best %.4f of %.4g%s ", best, l->conf.target,
               l->best.round > 0 && !l->best.v.valid ? " (invalid)" : "");
    strv name = algorithm_of(l, &scratch);
    strv so_far = strv_from(buf_view(out), before);
    size_t used = term_width(so_far) + name.len + 2;
    if (width > used)
        put_curve(out, l, width - used < CURVE_MAX ? width - used : CURVE_MAX);
    buf_put_char(out, ' ');
    term_clean(out, name, false);
    arena_fini(&scratch);
}

/* ---- writing ---- */

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20)
        return WIDTH_OTHER;
    return size.ws_col < 200 ? size.ws_col : 200;
}

static void write_out(struct buf *b)
{
    if (!b->failed)
        fwrite(buf_view(b).ptr, 1, buf_len(b), stdout);
    fflush(stdout);
    buf_fini(b);
}

void loop_show_clear(struct loop_show *s)
{
    if (s->drawn)
        fputs("\r\033[K", stdout);
    if (s->drawn)
        fflush(stdout);
    s->drawn = false;
}

void loop_show_round(struct loop_show *s, const struct loop *l)
{
    const struct loop_record *r = &l->records[l->n_records - 1];
    struct buf b;
    if (s->quiet || (!s->tty && !r->best && r->round % LINE_EVERY != 0))
        return;
    buf_init(&b, LINE_BYTES);
    if (s->tty) {
        buf_put_char(&b, '\r');
        loop_show_line(&b, l, terminal_width() - 1);
        buf_put_cstr(&b, "\033[K");
        s->drawn = true;
    } else {
        buf_printf(&b, "round %lld: score %.4f%s, best %.4f of %.4g, %lld violations",
                   (long long)r->round, r->v.score, r->v.valid ? "" : " (invalid)",
                   l->best.round > 0 ? l->best.v.score : 0.0, l->conf.target,
                   (long long)r->v.total);
        buf_put_cstr(&b, r->candidate ? "\n" : ", no candidate\n");
    }
    write_out(&b);
}

void loop_show_advice(struct loop_show *s, const struct loop *l)
{
    const struct loop_advice *a = &l->advice[l->n_advice - 1];
    struct buf b;
    if (s->quiet)
        return;
    loop_show_clear(s);
    buf_init(&b, LINE_BYTES);
    buf_printf(&b, "round %lld: advice (" STRV_FMT "): ", (long long)a->round, STRV_ARG(a->why));
    term_clean(&b, a->accepted ? a->type : a->reason, false);
    if (a->accepted) {
        buf_put_char(&b, ' ');
        term_clean(&b, utf8_cut(a->params, 300), false);
        buf_put_cstr(&b, ", from ");
        term_clean(&b, a->model.len > 0 ? a->model : a->source, false);
    }
    buf_put_char(&b, '\n');
    write_out(&b);
}

void loop_show_end(struct loop_show *s, const struct loop *l)
{
    struct loop_tally rows[LOOP_TALLIES_MAX];
    struct buf b;
    if (s->quiet)
        return;
    loop_show_clear(s);
    buf_init(&b, LINE_BYTES);
    buf_printf(&b, "%s (%s) after %lld rounds: best %.4f of %.4g, in round %lld\n",
               loop_stop_status(l->stop), loop_stop_word(l->stop), (long long)l->rounds,
               l->best.round > 0 ? l->best.v.score : 0.0, l->conf.target, (long long)l->best.round);
    size_t n = loop_tally(l, rows);
    for (size_t i = 0; i < n; i++) {
        buf_put_cstr(&b, "advice ");
        term_clean(&b, rows[i].type, false);
        buf_printf(&b, ": %lld asked, %lld accepted, %lld applied", (long long)rows[i].asked,
                   (long long)rows[i].accepted, (long long)rows[i].applied);
        if (rows[i].applied > 0)
            buf_printf(&b, ", mean gain %+.4f", rows[i].gain / (double)rows[i].applied);
        buf_put_char(&b, '\n');
    }
    write_out(&b);
}
