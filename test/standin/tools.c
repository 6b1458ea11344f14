/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools - which calls are made, with which flaws, in which steps.
 *
 * A call is made when the request offers tools, tool_choice lets it, and the knob `call` wants one or tool_choice
 * forces one. Its arguments are text from the start: no number and no order of members is ever read and written.
 *
 *   steps     call 0: begin  piece  piece      call 1: begin  piece  piece       one event each
 *   in turns  call 0: begin  call 1: begin     call 0: piece  call 1: piece  ..  (call_interleave)
 *
 * Ollama's calls are one step each, or one for all.
 */
#include "standin.h"

bool tool_read(enum dialect d, struct span value, struct tool *tool)
{
    struct span f = d == ANTHROPIC ? value : scan_member(value, "function");
    tool->name = scan_member(f, "name");
    tool->schema = scan_member(f, d == ANTHROPIC ? "input_schema" : "parameters");
    return span_kind(tool->name, '"');
}

/* "required", {"type":"any"}, or one tool by name, which is then in *name. */
bool tools_forced(const struct conn *c, const struct ask *a, struct span *name)
{
    struct span choice = a->tool_choice, type = scan_member(choice, "type");
    *name = (struct span){0};
    if (is_ollama(c->dialect) || choice.p == NULL)
        return false;
    if (span_is_string(choice, "required") || span_is_string(type, "any"))
        return true;
    if (span_is_string(type, "tool"))
        *name = scan_member(choice, "name");
    else if (span_is_string(type, "function"))
        *name = scan_member(scan_member(choice, "function"), "name");
    else if (span_is_string(type, "allowed_tools"))
        return span_is_string(scan_member(scan_member(choice, "allowed_tools"), "mode"),
                              "required");
    return name->p != NULL;
}

static bool none_wanted(const struct ask *a)
{
    return span_is_string(a->tool_choice, "none") ||
           span_is_string(scan_member(a->tool_choice, "type"), "none");
}

/* At most one: parallel_tool_calls:false, or disable_parallel_tool_use. llama-server does not care. */
static bool one_only(const struct conn *c, const struct ask *a)
{
    return c->k.owner != OWNER_LLAMACPP &&
           (span_is(a->parallel_tool_calls, "false") ||
            span_is(scan_member(a->tool_choice, "disable_parallel_tool_use"), "true"));
}

/* ---- names, ids, arguments ---- */

static bool pick_tool(const struct conn *c, const struct ask *a, struct span forced, size_t nth,
                      struct tool *tool)
{
    struct scan s = scan_open(a->tools);
    struct span none, value;
    struct tool first = {{0}, {0}}, each;
    const char *wanted = knob_text(c->k.call_name);
    size_t n = 0, count = scan_count(a->tools);
    while (scan_next(&s, &none, &value)) {
        if (!tool_read(c->dialect, value, &each))
            continue;
        if (first.name.p == NULL)
            first = each;
        bool fits = forced.p ? forced.n == each.name.n && !memcmp(forced.p, each.name.p, forced.n)
                    : wanted ? span_is_string(each.name, wanted)
                             : n == nth % count; /* parallel calls go round the tools */
        if (fits) {
            *tool = each;
            return true;
        }
        n++;
    }
    *tool = first;
    return first.name.p != NULL;
}

static void make_id(const struct conn *c, size_t nth, struct text *t)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t seed[2] = {c->request_no, c->k.call_id == ID_SAME ? 0 : nth};
    uint64_t hash = hash_more(HASH_START, seed, sizeof seed);
    size_t n = c->k.ids == IDS_MISTRAL        ? 9
               : c->k.call_id == ID_LONG      ? 75
               : c->k.owner == OWNER_LLAMACPP ? 32
               : is_ollama(c->dialect)        ? 8
                                              : 24;
    if (c->k.ids != IDS_MISTRAL && c->k.owner != OWNER_LLAMACPP)
        text_str(t, c->dialect == ANTHROPIC ? "toolu_" : "call_");
    if (c->k.call_id == ID_ODD)
        text_lit(t, "odd:id.\u00e9/");
    for (size_t i = 0; i < n; i++) {
        hash = hash_more(hash, &i, sizeof i);
        text_add(t, &letters[(hash >> 20) % 62], 1);
    }
}

/* What a weak model makes of {"a":1}. */
static void spoil(struct text *args, enum args_bad how)
{
    static const char words[] = "the city is Paris", array[] = "[\"Paris\",1]";
    switch (how) {
    case ARGS_TRUNCATED:
        args->len -= args->len / 3 + 1;
        return;
    case ARGS_QUOTES:
        for (size_t i = 0; i < args->len; i++)
            if (args->data[i] == '"' && (i == 0 || args->data[i - 1] != '\\'))
                args->data[i] = '\'';
        return;
    case ARGS_COMMA:
        if (args->len > 0 && args->data[args->len - 1] == '}') {
            args->len--;
            text_lit(args, ",}");
        }
        return;
    case ARGS_WORDS:
        args->len = 0;
        text_lit(args, words);
        return;
    case ARGS_ARRAY:
        args->len = 0;
        text_lit(args, array);
        return;
    default:
        return;
    }
}

static void make_args(const struct conn *c, const struct tool *tool, struct text *t)
{
    const char *given = knob_text(c->k.call_args);
    if (c->k.call_empty_args)
        return;
    if (given)
        text_str(t, given);
    else if (span_null(tool->schema))
        text_lit(t, "{}");
    else
        schema_sample(tool->schema, true, t);
    spoil(t, (enum args_bad)c->k.call_args_bad);
}

/* ---- steps ---- */

static size_t piece_end(const struct text *args, size_t from, size_t n)
{
    size_t end = from + n < args->len ? from + n : args->len;
    while (end < args->len && ((unsigned char)args->data[end] & 0xc0) == 0x80)
        end++; /* JSON cannot carry half a letter */
    return end;
}

static void add_step(struct plan *p, struct call_step step)
{
    p->steps = must_alloc(p->steps, (p->steps_used + 1) * sizeof *p->steps);
    p->steps[p->steps_used++] = step;
}

/* The next piece of one call's arguments; false when there is none left. */
static bool add_piece(const struct conn *c, struct plan *p, size_t call, size_t *at)
{
    const struct text *args = &p->calls[call].args;
    size_t size = c->k.call_fragments > 0 ? (size_t)c->k.call_fragments : args->len;
    if (*at >= args->len)
        return false;
    size_t end = piece_end(args, *at, size);
    add_step(
        p, (struct call_step){.call = call, .from = *at, .n = end - *at, .last = end == args->len});
    *at = end;
    return true;
}

static void make_steps(const struct conn *c, struct plan *p)
{
    size_t at[64] = {0};
    bool pieces = !is_ollama(c->dialect);
    for (size_t i = 0; i < p->calls_used; i++) {
        const struct text *args = &p->calls[i].args;
        size_t first = is_openai(c->dialect) ? piece_end(args, 0, (size_t)c->k.call_first) : 0;
        at[i] = first;
        if (pieces || i == 0 || !c->k.call_joined)
            add_step(p, (struct call_step){
                            .call = i, .n = first, .begin = true, .last = first == args->len});
        while (pieces && !c->k.call_interleave && add_piece(c, p, i, &at[i]))
            ;
    }
    bool more = pieces && c->k.call_interleave;
    while (more) {
        more = false;
        for (size_t i = 0; i < p->calls_used; i++)
            more |= add_piece(c, p, i, &at[i]);
    }
}

void tools_plan(struct conn *c, const struct ask *a, struct plan *p)
{
    struct span forced;
    int64_t n = tools_forced(c, a, &forced);
    struct tool tool;
    if (c->k.call >= 0)
        n = c->k.call;
    if (!span_kind(a->tools, '[') || none_wanted(a) || n == 0)
        return;
    if (n > 1 && one_only(c, a))
        n = 1;
    if (n > 64)
        n = 64;
    p->calls = must_alloc(NULL, (size_t)n * sizeof *p->calls);
    for (size_t i = 0; i < (size_t)n && pick_tool(c, a, forced, i, &tool); i++) {
        struct call *call = &p->calls[p->calls_used++];
        *call = (struct call){{0}, {0}, {0}};
        if (knob_text(c->k.call_name) && forced.p == NULL)
            text_str(&call->name, knob_text(c->k.call_name));
        else
            scan_text(tool.name, &call->name);
        make_id(c, i, &call->id);
        make_args(c, &tool, &call->args);
    }
    make_steps(c, p);
}

struct call_step *plan_step(struct conn *c, int64_t event)
{
    struct plan *p = c->plan;
    int64_t first = p && p->calls_first ? 0 : c->events;
    if (p == NULL || event < first || event >= first + (int64_t)p->steps_used)
        return NULL;
    return &p->steps[event - first];
}
