/* SPDX-License-Identifier: Apache-2.0 */
/*
 * menu - see menu.h. Which tools have words in common with a question: index.h; what they look like: slim.h.
 *
 * Filled in this order: what was used before, what the question names, then by score. Each tool comes lean; what is left
 * of the budget makes the first ones full again.
 */
#include "agent/menu.h"

#include <stdlib.h>

#include "agent/index.h"
#include "agent/words.h"

/* llama.cpp refuses a grammar made from 98 to 100 kB of tools; nobody's limit goes beyond this. */
#define BYTES_MAX ((size_t)96 * 1000)

/* Added to the score, which is below 100 for questions that people write. */
#define USED_BONUS  2000.0f
#define NAMED_BONUS 1000.0f

static const char used_before[] = "used before", named[] = "named in the question",
                  ranked[] = "ranked", all_fit[] = "all fit", too_many_tokens[] = "too many tokens",
                  too_many_bytes[] = "too many bytes", enough[] = "others fit better",
                  nothing_common[] = "no word in common";

/* ---- who may be on it ---- */

static bool is_id(const struct mcp_tool *t, strv pattern)
{
    strv server = strv_of(t->server->name), rest = pattern, head;
    if (strv_glob(pattern, strv_of(t->id)) || strv_glob(pattern, t->name))
        return true;
    return strv_cut(&rest, '/', &head) && rest.ptr != NULL && strv_glob(head, server) &&
           strv_glob(rest, t->name);
}

static bool is_listed(const struct mcp_tool *t, const char *const *list)
{
    for (; *list != NULL; list++)
        if (is_id(t, strv_of(*list)))
            return true;
    return false;
}

static bool may_have(const struct agent_wish *w, const struct mcp_tool *t)
{
    return (w->may == NULL || w->may(w->arg, t)) && (w->only == NULL || is_listed(t, w->only));
}

static bool was_used(const struct agent_wish *w, const struct mcp_tool *t)
{
    for (const char *const *id = w->used; id != NULL && *id != NULL; id++)
        if (strcmp(*id, t->id) == 0)
            return true;
    return false;
}

/* ---- ranking ---- */

struct ranking {
    const struct agent_index *x;
    struct agent_choice *choices; /* those that may be seen */
    const struct index_entry **entries;
    size_t n;
};

static int by_score(const void *pa, const void *pb)
{
    const struct index_order *a = pa, *b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->entry < b->entry ? -1 : a->entry > b->entry;
}

/* The tool's whole name in the question, as it is written or with blanks: "validate_schedule", "validate schedule tool".
 * One word alone ("search") is nobody's name. */
static bool is_named(const struct index_entry *e, strv bare_question)
{
    strv name = e->tool->name;
    bool compound = memchr(name.ptr, '_', name.len) != NULL || memchr(name.ptr, '-', name.len);
    return compound && e->bare.len >= 8 && e->bare.len <= bare_question.len &&
           memmem(bare_question.ptr, bare_question.len, e->bare.ptr, e->bare.len) != NULL;
}

static bool order_entries(const struct agent_index *x, const struct agent_wish *w,
                          struct arena *arena, struct index_order **out, size_t *n)
{
    float *scores = ARENA_ARRAY(arena, float, x->n + 1);
    struct index_order *orders = ARENA_ARRAY(arena, struct index_order, x->n + 1);
    strv bare = index_bare(utf8_cut(w->question, 4000), arena);
    if (scores == NULL || orders == NULL || bare.ptr == NULL ||
        !index_score(x, w->question, w->before, arena, scores))
        return false;
    if (w->meaning != NULL)
        index_resemble(x, w->meaning, w->n_meaning, scores);
    *n = 0;
    for (size_t i = 0; i < x->n; i++) {
        const struct index_entry *e = &x->entries[i];
        if (!may_have(w, e->tool))
            continue;
        if (was_used(w, e->tool))
            scores[i] += USED_BONUS;
        else if (is_named(e, bare))
            scores[i] +=
                NAMED_BONUS + 5 * (float)e->bare.len; /* the longer name is the one meant */
        orders[(*n)++] = (struct index_order){scores[i], (uint32_t)i};
    }
    qsort(orders, *n, sizeof *orders, by_score);
    index_spread(x, orders, *n, w->tools_max, NAMED_BONUS);
    *out = orders;
    return true;
}

static const char *reason_of(float score)
{
    return score >= USED_BONUS    ? used_before
           : score >= NAMED_BONUS ? named
           : score > 0            ? ranked
                                  : nothing_common;
}

static bool rank(const struct agent_index *x, const struct agent_wish *w, struct arena *arena,
                 struct ranking *out)
{
    struct index_order *orders;
    *out = (struct ranking){.x = x};
    if (!order_entries(x, w, arena, &orders, &out->n))
        return false;
    out->choices = ARENA_ARRAY(arena, struct agent_choice, out->n + 1);
    out->entries = ARENA_ARRAY(arena, const struct index_entry *, out->n + 1);
    if (out->choices == NULL || out->entries == NULL)
        return false;
    for (size_t i = 0; i < out->n; i++) {
        out->entries[i] = &x->entries[orders[i].entry];
        out->choices[i] = (struct agent_choice){.tool = out->entries[i]->tool,
                                                .score = orders[i].score,
                                                .tokens = out->entries[i]->lean.tokens,
                                                .why = reason_of(orders[i].score)};
    }
    return true;
}

/* ---- filling ---- */

struct plate {
    int64_t tokens, tokens_max;
    size_t bytes, bytes_max, n;
};

static bool fits(const struct plate *p, const struct slim *s)
{
    return s->tokens <= p->tokens_max - p->tokens && s->bytes <= p->bytes_max - p->bytes;
}

static void put(struct plate *p, const struct slim *s)
{
    p->tokens += s->tokens;
    p->bytes += s->bytes;
}

static bool all_would_fit(const struct ranking *r, const struct agent_wish *w, struct plate p)
{
    if (r->n > w->tools_max)
        return false;
    for (size_t i = 0; i < r->n; i++) {
        if (!fits(&p, &r->entries[i]->lean))
            return false;
        put(&p, &r->entries[i]->lean);
    }
    return true;
}

static void choose(const struct ranking *r, const struct agent_wish *w, struct plate *p, bool all)
{
    for (size_t i = 0; i < r->n; i++) {
        struct agent_choice *c = &r->choices[i];
        const struct slim *lean = &r->entries[i]->lean;
        if (!all && c->score <= 0 && w->only == NULL)
            continue; /* nothing speaks for it: the finder has it */
        if (p->n >= w->tools_max) {
            c->why = enough;
        } else if (!fits(p, lean)) {
            c->why = lean->bytes > p->bytes_max - p->bytes ? too_many_bytes : too_many_tokens;
        } else {
            put(p, lean);
            p->n++;
            c->offered = true;
            c->why = all && c->score < NAMED_BONUS ? all_fit : c->why;
        }
    }
}

/* What is left goes to the best ones. */
static void enrich(const struct ranking *r, struct plate *p)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct slim *lean = &r->entries[i]->lean, *full = &r->entries[i]->full;
        struct plate without = *p;
        if (!r->choices[i].offered)
            continue;
        without.tokens -= lean->tokens;
        without.bytes -= lean->bytes;
        if (!fits(&without, full))
            continue;
        put(&without, full);
        *p = without;
        r->choices[i].tokens = full->tokens;
    }
}

static bool serve(const struct ranking *r, const struct plate *p, bool finder, struct arena *arena,
                  struct agent_menu *out)
{
    out->tools = ARENA_ARRAY(arena, struct llm_tool, p->n + 1);
    out->of = ARENA_ARRAY(arena, const struct mcp_tool *, p->n + 1);
    if (out->tools == NULL || out->of == NULL)
        return false;
    for (size_t i = 0; i < r->n; i++) {
        const struct index_entry *e = r->entries[i];
        if (!r->choices[i].offered)
            continue;
        out->of[out->n] = e->tool;
        out->tools[out->n++] = r->choices[i].tokens == e->full.tokens ? e->full.tool : e->lean.tool;
    }
    if (finder)
        out->tools[out->n++] = r->x->finder.tool;
    return true;
}

bool agent_menu_make(const struct agent_index *x, const struct agent_wish *w, struct arena *arena,
                     struct agent_menu *out)
{
    struct ranking r;
    struct plate p = {.tokens_max = w->tokens_max > 0 ? w->tokens_max : 0,
                      .bytes_max = w->bytes_max < BYTES_MAX ? w->bytes_max : BYTES_MAX};
    *out = (struct agent_menu){.n = 0};
    if (!rank(x, w, arena, &r))
        return false;
    bool all = all_would_fit(&r, w, p);
    out->has_finder = !all && r.n > 0 && fits(&p, &x->finder);
    if (out->has_finder)
        put(&p, &x->finder);
    choose(&r, w, &p, all);
    enrich(&r, &p);
    if (!serve(&r, &p, out->has_finder, arena, out))
        return false;
    out->tokens = p.tokens;
    out->bytes = p.bytes;
    out->choices = r.choices;
    out->n_choices = r.n;
    return true;
}

/* ---- finding more ---- */

#define FOUND_AROUND 200 /* bytes that stand around one, and the last words */

bool agent_menu_find(const struct agent_index *x, const struct agent_wish *w, size_t results,
                     struct buf *out)
{
    struct arena arena;
    struct ranking r;
    size_t found = 0;
    arena_init(&arena, 16 * 1024, 64 * 1024 * 1024);
    bool ok = rank(x, w, &arena, &r);
    for (size_t i = 0; ok && i < r.n && found < results && r.choices[i].score > 0; i++) {
        const struct llm_tool *t = &r.entries[i]->full.tool;
        if (t->name.len + t->description.len + t->schema.len + FOUND_AROUND >
            out->max - buf_len(out))
            continue; /* a smaller one may fit */
        buf_printf(out, "%s" STRV_FMT ": " STRV_FMT "\nArguments: ", found++ > 0 ? "\n" : "",
                   STRV_ARG(t->name), STRV_ARG(t->description));
        buf_put_strv(out, t->schema);
        buf_put_char(out, '\n');
    }
    if (ok && found == 0)
        buf_put_cstr(out, "No tool was found for these words. Try others, or answer without one.");
    else if (ok)
        buf_put_cstr(out, "\nThese may be called by their names now.");
    arena_fini(&arena);
    return ok && !out->failed;
}

/* Of the name with its server, the name alone, and what stands behind a dot, a slash or two underlines. */
static size_t name_distance(const struct index_entry *e, strv whole, strv tail, size_t max,
                            struct arena *arena)
{
    strv id = index_bare(strv_of(e->tool->id), arena);
    size_t best, other;
    if (id.ptr == NULL)
        return max + 1;
    best = words_distance(e->bare, whole, max);
    other = words_distance(id, whole, max);
    best = other < best ? other : best;
    other = words_distance(e->bare, tail, max);
    return other < best ? other : best;
}

static strv behind_server(strv name)
{
    for (size_t i = name.len; i > 0; i--) {
        char c = name.ptr[i - 1];
        if (c == '.' || c == '/' || c == ':' || (c == '_' && i > 1 && name.ptr[i - 2] == '_'))
            return strv_from(name, i);
    }
    return name;
}

const struct mcp_tool *agent_menu_nearest(const struct agent_index *x, const struct agent_wish *w,
                                          strv name)
{
    struct arena arena;
    const struct mcp_tool *nearest = NULL;
    name = utf8_cut(name, 128);
    arena_init(&arena, 4096, 16 * 1024 * 1024);
    strv whole = index_bare(name, &arena), tail = index_bare(behind_server(name), &arena);
    /* a slip in four letters: "valdate_schedul" but not "validate_plan" */
    size_t best = tail.len / 4 + 1;
    for (size_t i = 0; i < x->n && !arena.failed && tail.len > 2; i++) {
        if (!may_have(w, x->entries[i].tool))
            continue;
        size_t d = name_distance(&x->entries[i], whole, tail, best - 1, &arena);
        if (d < best) {
            best = d;
            nearest = x->entries[i].tool;
        }
        if (best == 0)
            break;
    }
    bool failed = arena.failed;
    arena_fini(&arena);
    return failed ? NULL : nearest;
}

bool agent_slim(const struct mcp_tool *t, struct arena *arena, struct llm_tool *out,
                int64_t *tokens)
{
    struct slim s;
    if (!slim_make(t, SLIM_FULL, arena, &s))
        return false;
    *out = s.tool;
    *tokens = s.tokens;
    return true;
}
