/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history - a conversation's past, made fit for any dialect: calls and their results paired.
 *
 *   came                                            leaves
 *   assistant  CALL a, CALL b                       assistant  CALL a, CALL b
 *   user       TEXT "wait", RESULT b                user       RESULT a (made up), RESULT b
 *   assistant  ...                                  user       TEXT "wait"
 *                                                   assistant  ...
 *
 * Callers drop results when a turn was cancelled, spread them over several messages, repeat ids or send
 * none (Ollama), and every upstream refuses something else of that (translation.md 12 to 15). A group is a
 * run of assistant messages and what follows up to the next one: results in it belong to calls in it.
 *
 * Also here: ids and names that an upstream refuses, mapped by a function of the text alone. The same
 * history gets the same ids on every turn, with nothing remembered.
 */
#include "llm/llm.h"

#define SEARCHED_MAX                                                                               \
    1024 /* calls of one group that results are looked for in; beyond it only order counts */
#define SEARCHES_MAX                                                                               \
    ((size_t)4 << 20) /* looks at a call, of one group: results without end find none */
#define NAME_MAX_LEN 64
#define NAME_KEPT    55

struct history {
    struct llm_request *r;
    struct llm_message *out;
    size_t n;
    uint64_t *ids; /* open addressing; 0 = free */
    size_t ids_mask;
};

/* ---- ids ---- */

static bool is_id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool fits(strv text, size_t min, size_t max, bool marks)
{
    bool ok = text.len >= min && text.len <= max;
    for (size_t i = 0; ok && i < text.len; i++)
        ok = is_id_char(text.ptr[i]) || (marks && (text.ptr[i] == '_' || text.ptr[i] == '-'));
    return ok;
}

/* `n` letters and digits that follow from the text. */
static strv hashed(const char *prefix, strv text, size_t n, struct arena *arena)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char word[33] = "";
    uint64_t h = strv_hash(text, 0x6c6c6d);
    for (size_t i = 0; i < n && i < sizeof word - 1; i++) {
        if (i == 10) /* 62^10 is nearly all of 64 bits */
            h = strv_hash(text, 0x726f75);
        word[i] = digits[h % 62];
        h /= 62;
    }
    char *id = arena_printf(arena, "%s%s", prefix, word);
    return id != NULL ? strv_of(id) : STRV("");
}

strv llm_id_for(enum llm_id_rule rule, strv id, struct arena *arena)
{
    switch (rule) {
    case LLM_IDS_WORD:
        return fits(id, 1, NAME_MAX_LEN, true) ? id : hashed("call_", id, 20, arena);
    case LLM_IDS_MISTRAL:
        return fits(id, 9, 9, false) ? id : hashed("", id, 9, arena);
    case LLM_IDS_ANY:
        break;
    }
    return id;
}

strv llm_tool_name_for(strv name, struct arena *arena)
{
    char text[NAME_KEPT + 1];
    size_t n = name.len < NAME_KEPT ? name.len : NAME_KEPT;
    if (fits(name, 1, NAME_MAX_LEN, true))
        return name;
    for (size_t i = 0; i < n; i++)
        text[i] = is_id_char(name.ptr[i]) || name.ptr[i] == '-' ? name.ptr[i] : '_';
    text[n] = '\0';
    char *made = arena_printf(arena, "%s_%08x", text, (unsigned)(strv_hash(name, 0) & 0xffffffff));
    return made != NULL ? strv_of(made) : STRV("");
}

bool llm_tool_renames(const struct llm_request *r, struct arena *arena, struct llm_rename **out,
                      size_t *n)
{
    *out = NULL;
    *n = 0;
    for (size_t i = 0; i < r->n_tools; i++) {
        strv name = r->tools[i].name;
        if (fits(name, 1, NAME_MAX_LEN, true))
            continue;
        if (*out == NULL)
            *out = ARENA_ARRAY(arena, struct llm_rename, r->n_tools);
        if (*out == NULL)
            return false;
        (*out)[(*n)++] =
            (struct llm_rename){arena_strv(arena, name), llm_tool_name_for(name, arena)};
    }
    return !arena->failed;
}

/* True if the id is new, and remembers it. */
static bool claim_id(struct history *h, strv id)
{
    uint64_t hash = strv_hash(id, 1) | 1;
    size_t at = hash & h->ids_mask;
    while (h->ids[at] != 0) {
        if (h->ids[at] == hash)
            return false;
        at = (at + 1) & h->ids_mask;
    }
    h->ids[at] = hash;
    return true;
}

/* ---- groups ---- */

struct group {
    size_t from, answers,
        to;                 /* messages: assistant's [from, answers), what follows [answers, to) */
    struct llm_part *calls; /* all parts of the assistant's message; the CALLs among them count */
    size_t n_parts, n_calls;
    struct llm_part *results; /* one for each call, in order */
    strv *was;                /* ids as they came */
    bool *answered;
    size_t unanswered; /* first call that may be */
    size_t searches;
};

static size_t count_parts(const struct llm_request *r, size_t from, size_t to,
                          enum llm_part_kind kind, size_t *all)
{
    size_t n = 0;
    *all = 0;
    for (size_t i = from; i < to; i++) {
        *all += r->messages[i].n_parts;
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            n += r->messages[i].parts[k].kind == kind;
    }
    return n;
}

/* One assistant message out of the run, with ids that are there and differ. */
static bool join_calls(struct history *h, struct group *g)
{
    struct arena *arena = h->r->arena;
    size_t at = 0, call = 0;
    g->n_calls = count_parts(h->r, g->from, g->answers, LLM_PART_CALL, &g->n_parts);
    g->calls = ARENA_ARRAY(arena, struct llm_part, g->n_parts + 1);
    g->results = ARENA_ARRAY(arena, struct llm_part, g->n_calls + 1);
    g->was = ARENA_ARRAY(arena, strv, g->n_calls + 1);
    g->answered = ARENA_ARRAY(arena, bool, g->n_calls + 1);
    if (g->calls == NULL || g->results == NULL || g->was == NULL || g->answered == NULL)
        return false;
    for (size_t i = g->from; i < g->answers; i++)
        for (size_t k = 0; k < h->r->messages[i].n_parts; k++) {
            struct llm_part *p = &g->calls[at++];
            *p = h->r->messages[i].parts[k];
            if (p->kind != LLM_PART_CALL)
                continue;
            g->was[call] = p->id;
            if (p->id.len == 0 || !claim_id(h, p->id)) {
                char *made = arena_printf(arena, "call_%zu_%zu", g->from, at - 1);
                p->id = made != NULL ? strv_of(made) : STRV("");
                (void)claim_id(h, p->id);
            }
            g->results[call++] = (struct llm_part){.kind = LLM_PART_RESULT,
                                                   .id = p->id,
                                                   .name = p->name,
                                                   .is_error = true,
                                                   .made_up = true};
        }
    return !arena->failed;
}

/* The call a result belongs to: by id, else by name, else the next one; n_calls = none. */
static size_t find_call(struct group *g, const struct llm_part *result)
{
    size_t by_name = g->n_calls;
    while (g->unanswered < g->n_calls && g->answered[g->unanswered])
        g->unanswered++;
    if (g->n_calls > SEARCHED_MAX)
        return g->unanswered;
    if (g->searches > SEARCHES_MAX)
        return g->n_calls;
    g->searches += g->n_calls - g->unanswered;
    for (size_t i = g->unanswered; i < g->n_calls; i++) {
        if (g->answered[i])
            continue;
        if (result->id.len > 0 && strv_eq(g->was[i], result->id))
            return i;
        if (by_name == g->n_calls && result->name.len > 0 &&
            strv_eq(g->results[i].name, result->name))
            by_name = i;
    }
    if (result->id.len > 0) /* it names another call than those of this turn */
        return by_name < g->n_calls && g->was[by_name].len == 0 ? by_name : g->n_calls;
    return by_name < g->n_calls || result->name.len > 0 ? by_name : g->unanswered;
}

static bool add_message(struct history *h, enum llm_role role, struct llm_part *parts, size_t n)
{
    h->out[h->n++] = (struct llm_message){role, parts, n};
    return true;
}

/* A result that no call asked for is still something the caller wanted said. */
static bool to_text(struct history *h, struct llm_part *result)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 4);
    for (size_t i = 0; i < result->n_parts; i++) {
        if (result->parts[i].kind != LLM_PART_TEXT)
            continue;
        if (buf_len(&b) > 0)
            buf_put_char(&b, '\n');
        buf_put_strv(&b, result->parts[i].text);
    }
    strv text = arena_strv(h->r->arena, buf_view(&b));
    bool ok = !b.failed && !h->r->arena->failed;
    buf_fini(&b);
    *result = (struct llm_part){.kind = LLM_PART_TEXT, .text = text.ptr != NULL ? text : STRV("")};
    return ok;
}

/* What remains of a message whose results went to their calls. */
static bool keep_rest(struct history *h, struct group *g, const struct llm_message *m)
{
    struct llm_part *parts = ARENA_ARRAY(h->r->arena, struct llm_part, m->n_parts + 1);
    size_t n = 0;
    if (parts == NULL)
        return false;
    for (size_t k = 0; k < m->n_parts; k++) {
        struct llm_part p = m->parts[k];
        size_t call = p.kind == LLM_PART_RESULT && g != NULL ? find_call(g, &p) : SIZE_MAX;
        if (g != NULL && p.kind == LLM_PART_RESULT && call < g->n_calls) {
            p.id = g->results[call].id;
            p.name = g->results[call].name;
            g->results[call] = p;
            g->answered[call] = true;
            continue;
        }
        if (p.kind == LLM_PART_RESULT && !to_text(h, &p))
            return false;
        parts[n++] = p;
    }
    return (n == 0 && m->n_parts > 0) || add_message(h, m->role, parts, n);
}

static bool mend_group(struct history *h, struct group *g)
{
    if (!join_calls(h, g))
        return false;
    if (g->n_calls == 0) {
        for (size_t i = g->from; i < g->answers; i++)
            add_message(h, LLM_ASSISTANT, h->r->messages[i].parts, h->r->messages[i].n_parts);
    } else {
        add_message(h, LLM_ASSISTANT, g->calls, g->n_parts);
        add_message(h, LLM_USER, g->results, g->n_calls);
    }
    for (size_t i = g->answers; i < g->to; i++)
        if (!keep_rest(h, g->n_calls > 0 ? g : NULL, &h->r->messages[i]))
            return false;
    return true;
}

static size_t run_of(const struct llm_request *r, size_t from, bool assistant)
{
    while (from < r->n_messages && (r->messages[from].role == LLM_ASSISTANT) == assistant)
        from++;
    return from;
}

bool llm_request_mend(struct llm_request *r)
{
    size_t all, calls, size = 16;
    struct history h = {.r = r};
    if (r->mended || !r->has_history) {
        r->mended = true;
        return true;
    }
    calls = count_parts(r, 0, r->n_messages, LLM_PART_CALL, &all);
    while (size < 3 * calls)
        size *= 2;
    h.ids = ARENA_ARRAY(r->arena, uint64_t, size);
    h.ids_mask = size - 1;
    h.out = ARENA_ARRAY(r->arena, struct llm_message, 2 * r->n_messages + 2);
    if (h.ids == NULL || h.out == NULL)
        return false;
    size_t first = run_of(r, 0, false);
    for (size_t i = 0; i < first; i++)
        if (!keep_rest(&h, NULL, &r->messages[i]))
            return false;
    for (size_t from = first; from < r->n_messages;) {
        struct group g = {.from = from, .answers = run_of(r, from, true)};
        g.to = run_of(r, g.answers, false);
        if (!mend_group(&h, &g))
            return false;
        from = g.to;
    }
    r->messages = h.out;
    r->n_messages = h.n;
    r->mended = true;
    return true;
}
