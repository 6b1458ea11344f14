/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai_calls - calls in an upstream's answer: pieces in any order become calls that never overlap.
 *
 *   upstream's pieces    0:{"a"   1:{"b"   0::1}   1::2}   "text"   finish
 *   told                 0:{"a"           0::1}] 1[{"b" :2}]      "text" finish
 *                                 `-- held back until 0 is a whole object, or the choice is over
 *
 * Servers number calls as they please (translation.md 3 to 5): no index, always 0, no id, the same id or
 * name in every piece, an object where a text is due, everything at once. Which call a piece belongs to is
 * told by its index, then its id, then a name that begins another one; a call whose arguments are a whole
 * object is not gone on with. Everything a strict client would not follow marks the frame as flawed,
 * and so does holding back, since the bytes had the other order.
 */
#include "dialect/openai.h"

#define CALLS_MAX      128 /* of one choice */
#define HELD_BYTES_MAX ((size_t)4 << 20)
#define NO_INDEX       (-1)
#define OLD_INDEX      (-2) /* of the deprecated function_call, of which there is one */

struct piece {
    struct piece *next;
    enum llm_event_kind kind;
    strv text;
};

struct pieces {
    struct piece *first, *last;
};

/* How far a JSON text has come. */
struct progress {
    int depth;
    bool begun, quoted, escaped, complete;
};

struct call {
    int64_t index; /* the upstream's */
    strv id, name;
    struct progress args;
    struct pieces held;
};

struct openai_choice {
    struct openai_choice *next;
    int choice;
    struct call *calls; /* in the order they were first heard of */
    size_t n, room;
    size_t told; /* how many have been told of; the last of them may be open */
    bool open;
    struct pieces texts; /* to be told after the calls */
};

/* What one piece says. */
struct said {
    int64_t index;
    strv id, name, args;
    bool function; /* "type":"function" */
};

static void progress(struct progress *p, strv text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (p->escaped) {
            p->escaped = false;
        } else if (p->quoted) {
            p->escaped = c == '\\';
            p->quoted = c != '"';
        } else if (c == '"') {
            p->begun = p->quoted = true;
        } else if (c == '{' || c == '[') {
            p->begun = true;
            p->depth++;
        } else if (c == '}' || c == ']') {
            p->complete = p->complete || p->depth == 1;
            p->depth -= p->depth > 0;
        } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            p->begun = true;
        }
    }
}

static struct openai_choice *find_choice(struct hearing *h, int choice)
{
    struct openai_choice *c = h->heard->choices;
    while (c != NULL && c->choice != choice)
        c = c->next;
    return c;
}

static bool hold(struct hearing *h, struct pieces *list, enum llm_event_kind kind, strv text)
{
    struct piece *p = ARENA_NEW(h->in->arena, struct piece);
    h->heard->held += text.len + sizeof *p;
    if (h->heard->held > HELD_BYTES_MAX)
        return openai_malformed(h, "its calls are mixed up beyond measure");
    if (p == NULL)
        return err_oom(h->err);
    *p = (struct piece){.kind = kind, .text = arena_strv(h->in->arena, text)};
    if (p->text.ptr == NULL)
        return err_oom(h->err);
    if (list->last != NULL)
        list->last->next = p;
    else
        list->first = p;
    list->last = p;
    openai_flaw(h);
    return true;
}

static void tell(struct hearing *h, const struct openai_choice *c, struct pieces *list)
{
    for (const struct piece *p = list->first; p != NULL; p = p->next)
        openai_emit(h, &(struct llm_event){.kind = p->kind,
                                           .choice = c->choice,
                                           .call = c->told > 0 ? (int)c->told - 1 : 0,
                                           .text = p->text});
    *list = (struct pieces){NULL, NULL};
}

static void end_call(struct hearing *h, struct openai_choice *c)
{
    int number = (int)c->told - 1;
    if (!c->calls[number].args.begun) { /* no arguments are the text {}, never "" (UT-06) */
        openai_flaw(h);
        openai_emit(
            h, &(struct llm_event){
                   .kind = LLM_EV_ARGS, .choice = c->choice, .call = number, .text = STRV("{}")});
    }
    openai_emit(h,
                &(struct llm_event){.kind = LLM_EV_CALL_END, .choice = c->choice, .call = number});
    c->open = false;
}

static void begin_call(struct hearing *h, struct openai_choice *c)
{
    struct call *call = &c->calls[c->told++];
    c->open = true;
    openai_emit(h, &(struct llm_event){.kind = LLM_EV_CALL,
                                       .choice = c->choice,
                                       .call = (int)c->told - 1,
                                       .id = call->id,
                                       .name = call->name});
    tell(h, c, &call->held);
}

/* Calls wait for the one before them to be whole, and for their own name. */
static void go_on(struct hearing *h, struct openai_choice *c)
{
    while (c->told < c->n && c->calls[c->told].name.len > 0) {
        if (c->open && !c->calls[c->told - 1].args.complete)
            return;
        if (c->open)
            end_call(h, c);
        begin_call(h, c);
    }
}

/* ---- whose piece is it ---- */

/* The piece begins another call, though its index or its lack of one says it goes on with this. */
static bool begins_another(const struct call *call, const struct said *s)
{
    bool other_id = s->id.len > 0 && call->id.len > 0 && !strv_eq(s->id, call->id);
    bool other_name = s->name.len > 0 && call->name.len > 0 && !strv_eq(s->name, call->name);
    if (other_name || (other_id && (s->name.len > 0 || call->args.complete)))
        return true;
    return s->name.len > 0 && call->args.complete && strv_trim(s->args).len > 0;
}

/* Number of the call that the piece goes on with, c->n for a new one. */
static size_t find_call(const struct openai_choice *c, const struct said *s)
{
    size_t at = c->n;
    for (size_t i = c->n; i-- > 0 && at == c->n;)
        if (s->index != NO_INDEX ? c->calls[i].index == s->index
                                 : s->id.len > 0 && strv_eq(c->calls[i].id, s->id))
            at = i;
    if (at == c->n && s->index == NO_INDEX && c->n > 0 && s->name.len == 0)
        at = c->n - 1;
    else if (at == c->n && s->index == NO_INDEX && c->n > 0 && s->id.len == 0 &&
             strv_eq(c->calls[c->n - 1].name, s->name) && !c->calls[c->n - 1].args.complete)
        at = c->n - 1; /* the name said again */
    return at < c->n && begins_another(&c->calls[at], s) ? c->n : at;
}

static bool remember(struct hearing *h, strv *into, strv text)
{
    if (into->len > 0 || text.len == 0)
        return true;
    h->heard->held += text.len;
    if (h->heard->held > HELD_BYTES_MAX)
        return openai_malformed(h, "ids and names of its calls are beyond measure");
    *into = arena_strv(h->in->arena, text);
    return into->ptr != NULL ? true : err_oom(h->err);
}

static bool add_call(struct hearing *h, struct openai_choice *c, const struct said *s)
{
    if (c->n == CALLS_MAX)
        return openai_malformed(h, "too many calls");
    if (c->n == c->room) {
        size_t room = c->room > 0 ? 2 * c->room : 4;
        struct call *calls =
            arena_resize(h->in->arena, c->calls, c->room * sizeof *calls, room * sizeof *calls);
        if (calls == NULL)
            return err_oom(h->err);
        c->calls = calls;
        c->room = room;
    }
    if (s->index != OLD_INDEX &&
        (!s->function || s->id.len == 0 || (!h->whole && s->index != (int64_t)c->n)))
        openai_flaw(h);
    c->calls[c->n++] = (struct call){.index = s->index, .id = STRV(""), .name = STRV("")};
    return true;
}

static bool add_args(struct hearing *h, struct openai_choice *c, size_t at, strv text)
{
    struct call *call = &c->calls[at];
    if (text.len == 0)
        return true;
    if (at < c->told && !(c->open && at == c->told - 1)) { /* behind its end */
        if (strv_trim(text).len > 0)
            openai_flaw(h);
        return true;
    }
    progress(&call->args, text);
    if (at >= c->told)
        return hold(h, &call->held, LLM_EV_ARGS, text);
    openai_emit(h, &(struct llm_event){
                       .kind = LLM_EV_ARGS, .choice = c->choice, .call = (int)at, .text = text});
    return true;
}

static bool take(struct hearing *h, struct openai_choice *c, const struct said *s)
{
    size_t at = h->whole ? c->n : find_call(c, s); /* in a whole body every entry is a call */
    if (at == c->n) {
        if (!add_call(h, c, s))
            return false;
    } else if (s->index == NO_INDEX || s->id.len > 0 || s->name.len > 0) {
        openai_flaw(h); /* some clients join ids and names as they join arguments */
    }
    struct call *call = &c->calls[at];
    if (!remember(h, &call->id, s->id) || !remember(h, &call->name, s->name))
        return false;
    go_on(h, c);
    if (!add_args(h, c, at, s->args))
        return false;
    if (at >= c->told)
        openai_flaw(h);
    go_on(h, c);
    return true;
}

/* ---- reading ---- */

static struct openai_choice *need_choice(struct hearing *h, int choice)
{
    struct openai_choice *c = find_choice(h, choice);
    if (c != NULL)
        return c;
    c = ARENA_NEW(h->in->arena, struct openai_choice);
    if (c == NULL) {
        err_oom(h->err);
        return NULL;
    }
    c->choice = choice;
    c->next = h->heard->choices;
    h->heard->choices = c;
    return c;
}

static bool read_function(struct hearing *h, yyjson_val *function, struct said *s)
{
    yyjson_val *args = json_get(function, "arguments"), *name = json_get(function, "name");
    if (function != NULL && !yyjson_is_obj(function))
        return openai_malformed(h, "the function of a call is not an object");
    if (name != NULL && !yyjson_is_str(name))
        return openai_malformed(h, "the name of a call is not a string");
    s->name = json_str(name);
    if (yyjson_is_str(args)) {
        s->args = json_str(args);
    } else if (args != NULL) { /* an object where a text is due (trap 4): its own bytes */
        openai_flaw(h);
        if (!json_raw_member(&h->doc, function, "arguments", &s->args))
            return openai_malformed(h, "the arguments of a call cannot be read");
    } else if (h->whole) {
        openai_flaw(h);
    }
    return true;
}

static bool read_call(struct hearing *h, struct openai_choice *c, yyjson_val *v)
{
    struct said s = {.index = NO_INDEX};
    yyjson_val *index = json_get(v, "index"), *id = json_get(v, "id");
    if (!yyjson_is_obj(v))
        return openai_malformed(h, "a call is not an object");
    if (index != NULL && !(json_is_int(index, &s.index) && s.index >= 0))
        s.index = NO_INDEX;
    if (id != NULL && !yyjson_is_str(id))
        openai_flaw(h); /* a number, for one: as good as none */
    s.id = json_str(id);
    s.function = strv_eq_cstr(json_get_str(v, "type"), "function");
    return read_function(h, json_get(v, "function"), &s) && take(h, c, &s);
}

bool openai_hear_calls(struct hearing *h, int choice, yyjson_val *delta, bool *any)
{
    yyjson_val *list = json_get(delta, "tool_calls"), *old = json_get(delta, "function_call"), *v;
    size_t i, max;
    *any = false;
    if (list != NULL && !yyjson_is_arr(list))
        return openai_malformed(h, "tool_calls is not an array");
    if (yyjson_arr_size(list) == 0 && old == NULL) /* an empty list beside content (trap 5) */
        return true;
    if (h->in->done[choice / 64] & (uint64_t)1 << (choice % 64))
        return openai_malformed(h, "a call behind the finish_reason");
    struct openai_choice *c = need_choice(h, choice);
    if (c == NULL)
        return false;
    *any = true;
    yyjson_arr_foreach(list, i, max, v)
    {
        if (!read_call(h, c, v))
            return false;
    }
    if (old == NULL)
        return true;
    struct said s = {.index = OLD_INDEX};
    if (h->whole) /* a stream's bytes may be just what the caller asked for with `functions` */
        openai_flaw(h);
    return read_function(h, old, &s) && take(h, c, &s);
}

bool openai_hear_text(struct hearing *h, int choice, enum llm_event_kind kind, strv text)
{
    struct openai_choice *c = find_choice(h, choice);
    if (c != NULL && c->open && c->told == c->n && c->calls[c->n - 1].args.complete)
        end_call(h, c);
    if (c != NULL && (c->open || c->told < c->n || c->texts.first != NULL))
        return hold(h, &c->texts, kind, text);
    openai_emit(h, &(struct llm_event){.kind = kind, .choice = choice, .text = text});
    return true;
}

bool openai_end_calls(struct hearing *h, int choice, size_t *calls)
{
    struct openai_choice *c = find_choice(h, choice);
    *calls = c != NULL ? c->n : 0;
    if (c == NULL)
        return true;
    while (c->open || c->told < c->n) {
        if (c->open)
            end_call(h, c);
        else if (c->calls[c->told].name.len == 0)
            return openai_malformed(h, "a call without a name");
        else
            begin_call(h, c);
    }
    tell(h, c, &c->texts);
    return true;
}
