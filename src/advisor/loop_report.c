/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_report - a run on one page for people: plain HTML with its style and plots inside, no script, nothing loaded.
 *
 * All texts come from files, children and models: each is escaped where it is put.
 */
#include <math.h>
#include <stdio.h>

#include "advisor/loop.h"

#define WIDTH  900.0
#define HEIGHT 260.0
#define LEFT   44.0
#define FOOT   22.0

static const char style[] =
    ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;"
    "margin:2rem auto;padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #8884;"
    "vertical-align:top}code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}"
    "svg{width:100%;height:auto}.axis{stroke:#8888;stroke-width:1}.target{stroke:#2a8;"
    "stroke-dasharray:5 4}.best{fill:none;stroke:#36c;stroke-width:2}.dot{fill:#36c8}"
    ".bad{fill:#c33a}.advice{stroke:#c80;stroke-width:1.5}text{font:11px system-ui;fill:#888}"
    ".big{font-size:2rem;font-weight:600}";

static void put_html(struct buf *b, strv text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '<')
            buf_put_cstr(b, "&lt;");
        else if (c == '>')
            buf_put_cstr(b, "&gt;");
        else if (c == '&')
            buf_put_cstr(b, "&amp;");
        else if (c == '"')
            buf_put_cstr(b, "&quot;");
        else
            buf_put_char(b, c < 0x20 ? ' ' : (char)c);
    }
}

static void put_cell(struct buf *b, strv text)
{
    buf_put_cstr(b, "<td>");
    put_html(b, text);
}

static void put_code(struct buf *b, strv text)
{
    buf_put_cstr(b, "<td><code>");
    put_html(b, text);
    buf_put_cstr(b, "</code>");
}

/* ---- the plot ---- */

struct plot {
    double low, high; /* scores */
    double rounds;
};

static struct plot plot_of(const struct loop *l)
{
    struct plot p = {INFINITY, l->conf.target, fmax(1, (double)l->n_records)};
    for (size_t i = 0; i < l->n_records; i++) {
        p.low = fmin(p.low, l->records[i].v.score);
        p.high = fmax(p.high, l->records[i].v.score);
    }
    p.low = fmin(p.low, l->conf.target);
    if (!(p.high > p.low))
        p.high = p.low + 1;
    return p;
}

static double x_of(const struct plot *p, double round)
{
    return LEFT + (WIDTH - LEFT - 10) * (round - 0.5) / p->rounds;
}

static double y_of(const struct plot *p, double score)
{
    return 10 + (HEIGHT - FOOT - 10) * (1 - (score - p->low) / (p->high - p->low));
}

static void put_line(struct buf *b, const char *class, double x1, double y1, double x2, double y2)
{
    buf_printf(b, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", class, x1,
               y1, x2, y2);
}

static void put_axes(const struct loop *l, const struct plot *p, struct buf *b)
{
    double bottom = HEIGHT - FOOT;
    put_line(b, "axis", LEFT, 5, LEFT, bottom);
    put_line(b, "axis", LEFT, bottom, WIDTH, bottom);
    put_line(b, "target", LEFT, y_of(p, l->conf.target), WIDTH, y_of(p, l->conf.target));
    buf_printf(b, "<text x=\"2\" y=\"%.1f\">%.3g</text><text x=\"2\" y=\"%.1f\">%.3g</text>",
               y_of(p, p->high) + 8, p->high, bottom, p->low);
    buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">round %zu</text>", WIDTH,
               HEIGHT - 5, l->n_records);
}

static void put_plot(const struct loop *l, struct buf *b)
{
    struct plot p = plot_of(l);
    double best = p.low;
    buf_printf(b, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"scores by round\">",
               WIDTH, HEIGHT);
    put_axes(l, &p, b);
    for (size_t i = 0; i < l->n_advice; i++) {
        double x = x_of(&p, (double)l->advice[i].round) - 3;
        if (l->advice[i].applied && l->advice[i].measured)
            put_line(b, "advice", x, HEIGHT - FOOT, x, HEIGHT - FOOT - 14);
    }
    for (size_t i = 0; i < l->n_records; i++)
        if (l->records[i].candidate)
            buf_printf(b, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>",
                       l->records[i].v.valid ? "dot" : "bad", x_of(&p, (double)l->records[i].round),
                       y_of(&p, l->records[i].v.score));
    buf_put_cstr(b, "<polyline class=\"best\" points=\"");
    for (size_t i = 0; i < l->n_records; i++) {
        best = l->records[i].best ? l->records[i].v.score : best;
        buf_printf(b, "%.1f,%.1f ", x_of(&p, (double)l->records[i].round), y_of(&p, best));
    }
    buf_put_cstr(b, "\"/></svg><p>Line: the best score so far. Dots: each round's, red if it was "
                    "invalid. Dashed: the target. Orange marks: rounds with advice.</p>");
}

/* ---- tables ---- */

static void put_head(struct buf *b, const char *const names[])
{
    buf_put_cstr(b, "<table><tr>");
    for (; *names != NULL; names++)
        buf_printf(b, "<th>%s", *names);
    buf_put_cstr(b, "\n");
}

static void put_types(const struct loop *l, struct buf *b)
{
    static const char *const head[] = {"type", "asked", "accepted", "applied", "mean gain", NULL};
    struct loop_tally rows[LOOP_TALLIES_MAX];
    size_t n = loop_tally(l, rows);
    put_head(b, head);
    for (size_t i = 0; i < n; i++) {
        const struct loop_tally *t = &rows[i];
        buf_put_cstr(b, "<tr>");
        put_cell(b, t->type);
        buf_printf(b, "<td>%lld<td>%lld<td>%lld<td>", (long long)t->asked, (long long)t->accepted,
                   (long long)t->applied);
        if (t->applied > 0)
            buf_printf(b, "%+.4f", t->gain / (double)t->applied);
        buf_put_char(b, '\n');
    }
    buf_put_cstr(b, "</table>");
}

static void put_advice(const struct loop *l, struct buf *b)
{
    static const char *const head[] = {"round",      "asked for", "verdict", "from", "type",
                                       "parameters", "its words", "gain",    NULL};
    buf_put_cstr(b, "<h2>Advice</h2>");
    if (l->n_advice == 0) {
        buf_put_cstr(b, "<p>None was asked for.</p>");
        return;
    }
    put_types(l, b);
    buf_put_cstr(b, "<p></p>");
    put_head(b, head);
    for (size_t i = 0; i < l->n_advice; i++) {
        const struct loop_advice *a = &l->advice[i];
        buf_printf(b, "<tr><td>%lld", (long long)a->round);
        put_cell(b, a->why);
        put_cell(b, a->reason);
        put_cell(b, a->model.len > 0 ? a->model : a->source);
        put_cell(b, a->type);
        put_code(b, a->params);
        put_cell(b, a->reasoning);
        if (a->applied && a->measured)
            buf_printf(b, "<td>%+.4f\n", a->after - a->before);
        else
            buf_put_cstr(b, "<td>\n");
    }
    buf_put_cstr(b, "</table>");
}

static void put_rounds(const struct loop *l, struct buf *b)
{
    static const char *const head[] = {"round",      "score",   "critical", "violations",
                                       "parameters", "seconds", "then",     NULL};
    buf_put_cstr(b, "<h2>Rounds</h2>");
    put_head(b, head);
    for (size_t i = 0; i < l->n_records; i++) {
        const struct loop_record *r = &l->records[i];
        buf_printf(b, "<tr><td>%lld<td>%s%.4f%s<td>%lld<td>", (long long)r->round,
                   r->best ? "<b>" : "", r->v.score, r->best ? "</b>" : "",
                   (long long)r->v.critical);
        put_html(b, r->v.types);
        put_code(b, r->params);
        buf_printf(b, "<td>%.2f", r->seconds);
        put_cell(b, r->rule);
        buf_put_char(b, '\n');
    }
    buf_put_cstr(b, "</table>");
}

static void put_summary(const struct loop *l, struct buf *b)
{
    const char *why = loop_stop_word(l->stop);
    buf_put_cstr(b, "<h1>");
    put_html(b, l->conf.name);
    buf_printf(b,
               "</h1><p><span class=\"big\">%.4f</span> of %.4g, found in round %lld of %lld. "
               "%s%s%s, seed %lld, %.1f s of generating and evaluating.</p>",
               l->best.round > 0 ? l->best.v.score : 0.0, l->conf.target, (long long)l->best.round,
               (long long)l->rounds, loop_stop_status(l->stop), why[0] != '\0' ? ": " : "", why,
               (long long)l->conf.seed, l->seconds);
    if (l->best.round > 0) {
        buf_put_cstr(b, "<p>Best parameters: <code>");
        put_html(b, l->best.params);
        buf_put_cstr(b, "</code></p>");
    }
}

void loop_report(const struct loop *l, struct buf *b)
{
    buf_put_cstr(b, "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">"
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                    "style-src 'unsafe-inline'\"><title>");
    put_html(b, l->conf.name);
    buf_printf(b, "</title><style>%s</style>\n", style);
    put_summary(l, b);
    put_plot(l, b);
    put_advice(l, b);
    put_rounds(l, b);
    buf_put_cstr(b, "</html>\n");
}
