/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - a JSON text as lines that people could have written: "member: value".
 *
 * One walk over valid JSON hands every string, number and member's name to one view, so that a label in one place
 * explains a number in the next: {"mrn": 481516}, {"label": "MRN", "value": "481516"}, two parts of a message.
 * What a request to a model is made of (members.h: roles, types, models, identifiers of calls, the words of JSON
 * schema) is left out where it is just that, and is read like any other text where it is not.
 *
 * A turn of the conversation (an element of "messages", "input", "system" or "tools") is read by itself, with the last
 * words of the turn before it in front: so what is found in it does not depend on how much else is there, and a turn
 * that was read once need not be read again (memo.h). Evidence adds up over all of them.
 *
 * What stands under "arguments", "input" of a call or anywhere else that is not the API's own is data: there
 * everything is read with its label.
 */
#include <string.h>

#include "privacy/detect.h"
#include "privacy/members.h"
#include "privacy/memo.h"

enum {
    DEPTH_MAX = 128,
    FLUSH_BYTES = 8192,
    CONTEXT_BYTES = 120, /* of the turn before: no label reaches further */
};

enum place {
    PLACE_API, /* members have the meaning that the API gives them */
    PLACE_TOOLS, /* definitions of tools: "name" is a tool's, and read without saying "name" before it */
    PLACE_SCHEMA,     /* JSON schema: members are its words */
    PLACE_PROPERTIES, /* members are names of properties */
    PLACE_DATA,       /* anything */
};
struct level {
    bool object;
    bool turns; /* an array of turns: what ends in it ends a paragraph */
    uint8_t place;
    strv key;
};
struct walk {
    struct scan c;
    strv text;
    size_t i;
    struct level levels[DEPTH_MAX + 1];
    size_t depth;
    strv key;    /* of the value that comes, NONE in an array */
    unsigned is; /* what member_is() says of it */
    bool sent;
    strv model;            /* of what is to be sent: the one that was told */
    strv before;           /* the turn before; NONE = none in this array */
    uint64_t before_is[2]; /* its digest */
    bool quiet;            /* what is taken is only context */
};

/* ---- out ---- */

static bool lost(struct walk *w)
{
    privacy_verdict_add(w->c.out, PRIVACY_MEMORY);
    w->c.over = true;
    return false;
}

static bool flush(struct walk *w, bool fixed)
{
    struct text_view view;
    if (text_added(w->c.s->text) == 0 || w->quiet)
        return true;
    if (!text_end(w->c.s->text, w->text, &view))
        return lost(w);
    bool ok = scan_view(&w->c, &view, fixed);
    text_begin(w->c.s->text);
    return ok;
}

static bool own(struct walk *w, const char *words, size_t place)
{
    return text_add_own(w->c.s->text, strv_of(words), place) || lost(w);
}

static bool mark(struct walk *w)
{
    return text_mark(w->c.s->text) || lost(w);
}

/* Of a text that is only context its last words are enough. */
static bool add_end(struct walk *w, strv piece)
{
    size_t from = piece.len > OVERLAP ? scan_again(piece, piece.len) : 0;
    strv end = strv_from(piece, from < piece.len ? from : 0);
    text_keep(w->c.s->text, CONTEXT_BYTES);
    return text_add(w->c.s->text, end, (size_t)(end.ptr - w->text.ptr), TEXT_JSON_STRING) ||
           lost(w);
}

/* What stands at that place of the document. Long text goes out piece by piece. */
static bool add(struct walk *w, strv piece)
{
    size_t place = (size_t)(piece.ptr - w->text.ptr);
    if (w->quiet)
        return add_end(w, piece);
    if (text_added(w->c.s->text) + piece.len > PIECE_BYTES && !flush(w, false))
        return false;
    while (piece.len > PIECE_BYTES) {
        size_t cut = scan_cut(piece, PIECE_BYTES);
        if (!text_add(w->c.s->text, (strv){piece.ptr, cut}, place, TEXT_JSON_STRING))
            return lost(w);
        if (!flush(w, false))
            return false;
        size_t again = scan_again(piece, cut);
        piece = strv_from(piece, again);
        place += again;
    }
    return text_add(w->c.s->text, piece, place, TEXT_JSON_STRING) || lost(w);
}

/* A member's name as words: "birthDate" like birth_date. */
static bool add_key(struct walk *w, strv key)
{
    size_t from = 0;
    for (size_t i = 1; key.ptr != NULL && i < key.len && key.len < 64; i++)
        if (key.ptr[i] >= 'A' && key.ptr[i] <= 'Z' && key.ptr[i - 1] >= 'a' &&
            key.ptr[i - 1] <= 'z') {
            strv part = {key.ptr + from, i - from};
            if (!add(w, part) || !own(w, "_", (size_t)(key.ptr - w->text.ptr) + i))
                return false;
            from = i;
        }
    return add(w, strv_from(key, from));
}

/* ---- what is left out, and what is said ---- */

static bool left_out(const struct walk *w, const struct level *in, strv v)
{
    if (in->place == PLACE_DATA || w->key.ptr == NULL)
        return false;
    if ((w->is & MEMBER_WORD) != 0)
        return member_is_word(v);
    if ((w->is & MEMBER_ID) != 0)
        return member_is_machine_id(v);
    if (strv_eq_cstr(w->key, "model")) /* a caller's own name for it is never sent */
        return w->depth == 1 && (w->sent ? w->model.len > 0 : member_is_model(v));
    return false;
}

/* Is the member's name said before its value? */
static bool said(const struct walk *w)
{
    const struct level *in = &w->levels[w->depth];
    if (w->key.ptr == NULL)
        return false;
    if (in->place == PLACE_DATA || in->place == PLACE_PROPERTIES)
        return true;
    if (in->place == PLACE_SCHEMA)
        return (w->is & MEMBER_SCHEMA) == 0;
    /* of a turn it is somebody's; of a part inside of one it is a tool's */
    bool name = strv_eq_cstr(w->key, "name") && in->place == PLACE_API && w->depth <= 3;
    return (w->is & MEMBER_API) == 0 || name;
}

/* ---- strings and numbers ---- */

/* A string's own text, for its digest; STRV_NONE = no memory. The caller frees. */
static strv unescaped(strv raw)
{
    char *out = mem_alloc(raw.len + 1);
    size_t n = 0;
    if (out == NULL)
        return STRV_NONE;
    for (size_t i = 0; i < raw.len;) {
        size_t made = 1, used = 1;
        if (raw.ptr[i] == '\\')
            used = text_json_escape(strv_from(raw, i), out + n, &made);
        else
            out[n] = raw.ptr[i];
        if (used == 0)
            break;
        n += made;
        i += used;
    }
    return (strv){out, n};
}

static bool string_is_fixed(struct walk *w, strv raw)
{
    if (w->c.p->n_fixed == 0 || raw.len < 16)
        return false;
    if (memchr(raw.ptr, '\\', raw.len) == NULL)
        return scan_fixed(w->c.p, raw);
    strv text = unescaped(raw);
    bool is = text.ptr != NULL && scan_fixed(w->c.p, text);
    if (text.ptr != NULL)
        mem_free_secret((char *)(uintptr_t)text.ptr, raw.len + 1);
    return is;
}

/* In the place of the model's name stands something else. */
static bool is_foreign(struct walk *w, strv raw)
{
    if (!w->sent || w->model.len == 0 || w->depth != 1 || !strv_eq_cstr(w->key, "model"))
        return false;
    if (memchr(raw.ptr, '\\', raw.len) == NULL)
        return !strv_eq(raw, w->model);
    strv text = unescaped(raw);
    bool same = text.ptr != NULL && strv_eq(text, w->model);
    if (text.ptr != NULL)
        mem_free_secret((char *)(uintptr_t)text.ptr, raw.len + 1);
    return !same;
}

static bool add_value(struct walk *w, strv raw, bool number)
{
    const struct level *in = &w->levels[w->depth];
    size_t end = (size_t)(raw.ptr - w->text.ptr) + raw.len;
    if (!number && is_foreign(w, raw)) {
        privacy_verdict_add(w->c.out, PRIVACY_UNREADABLE);
        w->c.over = true;
        return false;
    }
    if (number ? in->place != PLACE_DATA && w->key.ptr != NULL && (w->is & MEMBER_SETTING) != 0
               : left_out(w, in, raw))
        return true;
    if (!number && string_is_fixed(w, raw))
        return flush(w, false) && add(w, raw) && flush(w, true);
    bool name = said(w);
    if ((w->key.ptr != NULL || in->place == PLACE_API) && !mark(w))
        return false;
    if (name &&
        (!add_key(w, w->key) || !own(w, ": ", (size_t)(w->key.ptr - w->text.ptr) + w->key.len)))
        return false;
    if (!add(w, raw) || !own(w, "\n", end))
        return false;
    /* A member's name may only tell more of its value, never hide what the value says by itself. */
    if (!number && name && (!mark(w) || !add(w, raw) || !own(w, "\n", end)))
        return false;
    return text_added(w->c.s->text) < FLUSH_BYTES || flush(w, false);
}

/* ---- the walk ---- */

/* Where the string ends whose content begins at i: its quote, or the end of the text. */
static size_t string_end(strv text, size_t i)
{
    for (size_t from = i; from < text.len;) {
        const char *quote = memchr(text.ptr + from, '"', text.len - from);
        if (quote == NULL)
            return text.len;
        size_t end = (size_t)(quote - text.ptr), k = end;
        while (k > i && text.ptr[k - 1] == '\\')
            k--;
        if ((end - k) % 2 == 0)
            return end;
        from = end + 1;
    }
    return text.len;
}

/* The raw content of the string that begins at w->i; moves behind it. */
static strv string_at(struct walk *w)
{
    size_t from = ++w->i;
    size_t end = string_end(w->text, w->i);
    w->i = end < w->text.len ? end + 1 : end;
    return (strv){w->text.ptr + from, end > from ? end - from : 0};
}

static enum place place_of(const struct walk *w)
{
    enum place in = (enum place)w->levels[w->depth].place;
    if (in == PLACE_DATA)
        return PLACE_DATA;
    if (w->key.ptr == NULL)
        return in; /* an element is what its array is */
    if (in == PLACE_PROPERTIES)
        return PLACE_SCHEMA;
    if ((w->is & MEMBER_PROPERTIES) != 0)
        return in == PLACE_SCHEMA ? PLACE_PROPERTIES : PLACE_DATA;
    if ((w->is & MEMBER_SCHEMAS) != 0)
        return PLACE_SCHEMA;
    if (in == PLACE_SCHEMA)
        return (w->is & MEMBER_DATA) != 0 ? PLACE_DATA : PLACE_SCHEMA;
    if ((w->is & MEMBER_TOOLS) != 0)
        return PLACE_TOOLS;
    if (strv_eq_cstr(w->key, "input"))
        return w->depth == 1 ? PLACE_API : PLACE_DATA; /* of a request, of a call */
    return (w->is & (MEMBER_API | MEMBER_DATA)) == MEMBER_API ? in : PLACE_DATA;
}

static bool open_level(struct walk *w, bool object)
{
    if (w->depth == DEPTH_MAX) {
        privacy_verdict_add(w->c.out, PRIVACY_UNREADABLE);
        w->c.over = true;
        return false;
    }
    enum place place = w->depth == 0 ? PLACE_API : place_of(w);
    if (w->depth > 0 && w->key.ptr != NULL && said(w) &&
        (!mark(w) || !add_key(w, w->key) ||
         !own(w, ":\n", (size_t)(w->key.ptr - w->text.ptr) + w->key.len)))
        return false;
    w->levels[++w->depth] =
        (struct level){.object = object,
                       .turns = !object && w->key.ptr != NULL && (w->is & MEMBER_TURNS) != 0,
                       .place = (uint8_t)place,
                       .key = w->key};
    w->key = STRV_NONE;
    if (w->depth == 2 && !w->quiet) { /* no turn of this array was read yet */
        w->before = STRV_NONE;
        memset(w->before_is, 0, sizeof w->before_is);
    }
    w->i++;
    return true;
}

static bool close_level(struct walk *w)
{
    if (w->depth > 0)
        w->depth--;
    w->key = STRV_NONE;
    w->i++;
    return !w->levels[w->depth].turns || own(w, "\n", w->i);
}

static bool take_string(struct walk *w)
{
    strv raw = string_at(w);
    size_t next = w->i;
    while (next < w->text.len && strv_is_blank(w->text.ptr[next]))
        next++;
    bool key = w->levels[w->depth].object && w->key.ptr == NULL && next < w->text.len &&
               w->text.ptr[next] == ':';
    if (key) {
        w->key = raw;
        w->is = member_is(raw);
        w->i = next + 1;
        return true;
    }
    bool ok = add_value(w, raw, false);
    w->key = STRV_NONE;
    return ok;
}

/* A number, or true, false, null, which say nothing but their member's name. */
static bool take_scalar(struct walk *w)
{
    size_t from = w->i;
    while (w->i < w->text.len && !strv_is_blank(w->text.ptr[w->i]) &&
           strchr(",]}\"", w->text.ptr[w->i]) == NULL)
        w->i++;
    w->i += w->i == from;
    strv raw = {w->text.ptr + from, w->i - from};
    bool number = is_digit(raw.ptr[0]) || raw.ptr[0] == '-';
    bool ok = number ? add_value(w, raw, true)
                     : w->key.ptr == NULL || !said(w) || (add_key(w, w->key) && own(w, "\n", from));
    w->key = STRV_NONE;
    return ok;
}

/* ---- turns ---- */

static bool step(struct walk *w);

/* The object that begins at i; empty if it does not end. */
static strv object_at(strv text, size_t i)
{
    size_t depth = 0;
    for (size_t k = i; k < text.len; k++) {
        char c = text.ptr[k];
        if (c == '"')
            k = string_end(text, k + 1);
        else if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return (strv){text.ptr + i, k + 1 - i};
    }
    return STRV("");
}

static bool walk_turn(struct walk *w, strv turn)
{
    size_t end = (size_t)(turn.ptr - w->text.ptr) + turn.len, depth = w->depth;
    w->i = end - turn.len;
    (void)open_level(w, true);
    while (w->i < end && !w->c.over)
        if (!step(w))
            break;
    w->i = end;
    w->depth = depth;
    w->key = STRV_NONE;
    return !w->c.over;
}

/* The last words of the turn before, in front of what comes. */
static bool put_context(struct walk *w)
{
    if (w->before.ptr == NULL)
        return true;
    w->quiet = true;
    bool ok = walk_turn(w, w->before);
    w->quiet = false;
    text_keep(w->c.s->text, CONTEXT_BYTES);
    w->c.skip = text_added(w->c.s->text);
    return ok;
}

/* All that the reading of this turn depends on. */
static void digest_turn(struct walk *w, strv turn, uint64_t is[2], uint64_t all[2])
{
    const struct level *in = &w->levels[w->depth];
    struct siphash h;
    siphash_begin(&h, &w->c.s->memo->key);
    siphash_put(&h, turn);
    siphash_end(&h, is);
    siphash_begin(&h, &w->c.s->memo->key);
    siphash_put_u64(&h, is[0]);
    siphash_put_u64(&h, is[1]);
    siphash_put_u64(&h, w->before_is[0]);
    siphash_put_u64(&h, w->before_is[1]);
    siphash_put_u64(&h, w->c.p->serial);
    siphash_put_u64(&h, (uint64_t)w->c.how << 8 | in->place);
    siphash_put(&h, in->key);
    siphash_end(&h, all);
}

/* False: it is not to be kept. */
static bool facts_of(const struct privacy_verdict *v, size_t place, struct memo_facts *out)
{
    uint32_t placed = v->counts[PRIVACY_SUSPECT] + v->counts[PRIVACY_UNREADABLE], all = 0;
    for (unsigned k = 0; k < PRIVACY_KINDS; k++)
        all += v->counts[k];
    if (v->n_findings > MEMO_FINDINGS || all - placed != v->n_findings ||
        v->counts[PRIVACY_UNREADABLE] > 1)
        return false;
    *out = (struct memo_facts){.n = v->n_findings, .unreadable = v->counts[PRIVACY_UNREADABLE] > 0};
    for (size_t i = 0; i < out->n; i++) {
        out->found[i] = v->findings[i];
        out->found[i].start -= (uint32_t)place;
        out->found[i].end -= (uint32_t)place;
    }
    return true;
}

static void take_facts(struct walk *w, const struct memo_facts *facts, size_t place)
{
    struct privacy_verdict *out = w->c.out;
    for (size_t i = 0; i < facts->n; i++) {
        struct privacy_finding f = facts->found[i];
        f.start += (uint32_t)place;
        f.end += (uint32_t)place;
        scan_add(out, &f, w->c.how);
    }
    if (facts->unreadable)
        privacy_verdict_add(out, PRIVACY_UNREADABLE);
    scan_sum_up(out, w->c.how);
}

/* What a turn's verdict says that is not said yet. */
static void take_verdict(struct walk *w, const struct privacy_verdict *v)
{
    struct privacy_verdict *out = w->c.out;
    uint32_t kept[PRIVACY_KINDS] = {0};
    for (size_t i = 0; i < v->n_findings; i++) {
        kept[v->findings[i].kind]++;
        scan_add(out, &v->findings[i], w->c.how);
    }
    for (unsigned k = 0; k < PRIVACY_KINDS; k++)
        if (k != PRIVACY_SUSPECT)
            out->counts[k] += v->counts[k] - kept[k]; /* without a place, or too many to keep */
    out->more = out->more || v->more;
    out->is_private = out->is_private || (v->is_private && v->counts[PRIVACY_SUSPECT] == 0);
    scan_sum_up(out, w->c.how);
    out->is_private = out->is_private || v->is_private;
}

static void read_turn(struct walk *w, strv turn, struct privacy_verdict *v)
{
    struct privacy_verdict *out = w->c.out;
    privacy_verdict_init(v);
    w->c.out = v;
    if (put_context(w) && walk_turn(w, turn))
        flush(w, false);
    w->c.skip = 0;
    w->c.out = out;
}

/* An element of an array of turns. False: it is none, and nothing was taken. */
static bool take_turn(struct walk *w)
{
    struct privacy_scratch *s = w->c.s;
    strv turn = object_at(w->text, w->i);
    size_t place = w->i;
    uint64_t is[2] = {0}, all[2];
    struct memo_facts facts;
    if (turn.len == 0)
        return false;
    if (s->memo == NULL)
        s->memo = memo_new();
    if (s->memo != NULL)
        digest_turn(w, turn, is, all);
    if (flush(w, false)) {
        if (s->memo != NULL && memo_find(s->memo, all, &facts)) {
            take_facts(w, &facts, place);
        } else {
            read_turn(w, turn, &s->turn);
            take_verdict(w, &s->turn);
            if (s->memo != NULL && !w->c.over && facts_of(&s->turn, place, &facts))
                memo_put(s->memo, all, &facts);
        }
    }
    w->i = place + turn.len;
    w->before = turn;
    memcpy(w->before_is, is, sizeof is);
    return true;
}

static bool step(struct walk *w)
{
    char c = w->text.ptr[w->i];
    if (c == '"')
        return take_string(w);
    if (c == '{' && w->depth == 2 && w->levels[2].turns && take_turn(w))
        return !w->c.over;
    if (c == '{' || c == '[')
        return open_level(w, c == '{');
    if (c == '}' || c == ']')
        return close_level(w);
    if (c == ',' || c == ':' || strv_is_blank(c)) {
        w->i++;
        return true;
    }
    return take_scalar(w);
}

/* `w` holds what is asked: text, sent, model. */
static void walk(struct walk *w, const struct privacy *p, struct privacy_scratch *s, unsigned how,
                 struct privacy_verdict *out)
{
    w->i = w->depth = 0;
    w->key = w->before = STRV_NONE;
    memset(w->before_is, 0, sizeof w->before_is);
    w->quiet = false;
    w->levels[0] = (struct level){0};
    if (!scan_begin(&w->c, p, s, w->text.len, how, out))
        return;
    text_begin(s->text);
    while (w->i < w->text.len && !w->c.over)
        if (!step(w))
            break;
    if (!w->c.over)
        flush(w, false);
    text_begin(s->text);
}

void privacy_scan_json(const struct privacy *p, struct privacy_scratch *s, strv json, unsigned how,
                       struct privacy_verdict *out)
{
    struct walk w;
    w.text = json;
    w.sent = false;
    w.model = STRV_NONE;
    walk(&w, p, s, how, out);
}

void privacy_scan_body(const struct privacy *p, struct privacy_scratch *s, strv json, strv model,
                       unsigned how, struct privacy_verdict *out)
{
    struct walk w;
    w.text = json;
    w.sent = true;
    w.model = model;
    walk(&w, p, s, how, out);
}
