/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai_fuzz - hostile callers and hostile upstreams of the OpenAI dialect and the native door.
 *
 *   first byte & 7   0 a request   1 a stream, one frame a line   2 a whole answer
 *                    3 an error answer   4 a request to the native door
 *   first byte >> 3  bits of what the target wants, or the status / 100
 *
 * What must hold besides not falling over: what we write we read again, and it says the same; an answer
 * never goes on after its end; text is valid UTF-8.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "dialect/dialect.h"
#include "dialect/reading.h"

#define BYTES_MAX      (8 << 20)
#define OPENAI_CHOICES 128

/* assert() would do, but says less in a fuzzer's report. */
#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "openai_fuzz: %s does not hold\n", #what);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- requests ---- */

static struct dialect_target target(unsigned bits)
{
    return (struct dialect_target){
        .model = STRV("up/\"stream\""),
        .stream = bits & 1,
        .max_tokens_default = bits & 2 ? 256 : 0,
        .max_tokens_cap = bits & 4 ? 9 : 0,
        .completion_tokens = bits & 8,
        .repetition_penalty = bits & 16,
        .reasoning_field = bits & 1 ? "reasoning" : "reasoning_content",
        .reasoning_effort = true,
        .short_names = bits & 8,
    };
}

static void check_parts(const struct llm_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        MUST(utf8_valid(parts[i].text) && utf8_valid(parts[i].id) && utf8_valid(parts[i].name));
        MUST(utf8_valid(parts[i].data) && utf8_valid(parts[i].title));
        check_parts(parts[i].parts, parts[i].n_parts);
    }
}

static void check_texts(const struct llm_request *r)
{
    MUST(utf8_valid(r->model));
    for (size_t i = 0; i < r->n_messages; i++)
        check_parts(r->messages[i].parts, r->messages[i].n_parts);
}

/* What a request says, in the one form that a body of this dialect can keep: texts of a message joined unless
 * there are images, reasoning first, results with their error told in words. */

static bool is_media(const struct llm_part *p)
{
    return p->kind == LLM_PART_IMAGE || p->kind == LLM_PART_DOCUMENT || p->kind == LLM_PART_AUDIO ||
           p->kind == LLM_PART_LINK;
}

static void say(struct buf *b, const char *what, strv text)
{
    buf_printf(b, "%s %zu:", what, text.len);
    buf_put_strv(b, text);
    buf_put_char(b, '\n');
}

static void say_texts(struct buf *b, const char *what, const struct llm_part *parts, size_t n,
                      enum llm_part_kind kind, const char *between, const char *prefix)
{
    struct buf whole;
    bool first = true;
    buf_init(&whole, BYTES_MAX);
    buf_put_cstr(&whole, prefix);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].kind != kind)
            continue;
        if (!first)
            buf_put_cstr(&whole, between);
        buf_put_strv(&whole, parts[i].text);
        first = false;
    }
    if (buf_len(&whole) > 0)
        say(b, what, buf_view(&whole));
    buf_fini(&whole);
}

static void say_result(struct buf *b, const struct llm_part *p)
{
    say(b, "result", p->id);
    say_texts(b, "text", p->parts, p->n_parts, LLM_PART_TEXT, "\n",
              p->made_up    ? "Error: " DIALECT_NO_RESULT
              : p->is_error ? "Error: "
                            : "");
}

static void say_message(struct buf *b, const struct llm_message *m, const struct dialect_target *t,
                        struct arena *arena)
{
    bool media = false;
    for (size_t i = 0; i < m->n_parts; i++)
        media = media || is_media(&m->parts[i]);
    say(b, "message", strv_of(llm_role_name(m->role)));
    say_texts(b, "reasoning", m->parts, m->n_parts, LLM_PART_REASONING, "\n", "");
    if (!media)
        say_texts(b, "text", m->parts, m->n_parts, LLM_PART_TEXT,
                  m->role == LLM_SYSTEM ? "\n\n" : "\n", "");
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct llm_part *p = &m->parts[i];
        if (media && p->kind == LLM_PART_TEXT && p->text.len > 0)
            say(b, "text", p->text);
        if (is_media(p)) {
            say(b, "type", p->type);
            say(b, "data", p->kind == LLM_PART_LINK ? p->text : p->data);
        }
        if (p->kind == LLM_PART_RESULT)
            say_result(b, p);
        if (p->kind == LLM_PART_CALL) {
            say(b, "call", p->id);
            say(b, "name", t->short_names ? llm_tool_name_for(p->name, arena) : p->name);
            say(b, "args", strv_trim(p->text).len > 0 ? p->text : STRV("{}"));
        }
    }
}

static void say_request(struct buf *b, const struct llm_request *r, const struct dialect_target *t,
                        struct arena *arena)
{
    for (size_t i = 0; i < r->n_messages; i++)
        say_message(b, &r->messages[i], t, arena);
    for (size_t i = 0; i < r->n_tools; i++) {
        const struct llm_tool *tool = &r->tools[i];
        say(b, "tool", t->short_names ? llm_tool_name_for(tool->name, arena) : tool->name);
        say(b, "description", tool->description);
        say(b, "schema",
            tool->schema.len > 0 ? tool->schema : STRV("{\"type\":\"object\",\"properties\":{}}"));
        buf_put_cstr(b, tool->strict ? "strict\n" : "");
    }
    if (r->n_tools > 0) {
        buf_printf(b, "choose %d one_call %d\n", (int)r->choose, r->one_call);
        if (r->choose == LLM_CHOOSE_ONE)
            say(b, "choice",
                t->short_names ? llm_tool_name_for(r->choose_name, arena) : r->choose_name);
    }
    buf_printf(b, "format %d effort %d\n", (int)r->format, (int)r->effort);
    if (r->format == LLM_FORMAT_SCHEMA) {
        say(b, "name",
            r->schema_name.len > 0 ? llm_tool_name_for(r->schema_name, arena) : STRV("answer"));
        say(b, "description", r->schema_description);
        say(b, "schema", r->schema);
        buf_put_cstr(b, r->schema_strict ? "strict\n" : "");
    }
    for (size_t i = 0; i < r->n_stops; i++)
        say(b, "stop", r->stops[i]);
}

/* Images of results stand elsewhere in this dialect. */
static bool shows_images_of_results(const struct llm_request *r)
{
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            for (size_t p = 0; p < r->messages[i].parts[k].n_parts; p++)
                if (is_media(&r->messages[i].parts[k].parts[p]))
                    return true;
    return false;
}

static void check_same(const struct llm_request *r, struct llm_request *again,
                       const struct dialect_target *t, struct arena *arena)
{
    struct buf one, other;
    buf_init(&one, BYTES_MAX);
    buf_init(&other, BYTES_MAX);
    MUST(llm_request_mend(again));
    say_request(&one, r, t, arena);
    say_request(&other, again, t, arena);
    if (!arena->failed && !one.failed && !other.failed &&
        !strv_eq(buf_view(&one), buf_view(&other))) {
        fprintf(stderr, "asked\n%.*s\nwritten\n%.*s\n", STRV_ARG(buf_view(&one)),
                STRV_ARG(buf_view(&other)));
        MUST(!"what was written reads back the same");
    }
    buf_fini(&one);
    buf_fini(&other);
}

/* The body for an upstream is itself a request, which says the same. */
static void check_encoded(const struct llm_request *r, const struct dialect_target *t)
{
    struct arena arena;
    struct buf out;
    struct err err = ERR_INIT;
    struct llm_request again;
    uint32_t losses;
    bool own = r->dialect == LLM_OPENAI && !t->fresh;
    arena_init(&arena, 4096, BYTES_MAX);
    buf_init(&out, BYTES_MAX);
    MUST(dialect_openai.encode_request(r, t, &arena, &out, &losses, &err));
    MUST(dialect_openai.decode_request(buf_view(&out), r->op, &arena, &again, &err));
    MUST(strv_eq(again.model, t->model));
    MUST(again.stream == t->stream && again.include_usage == t->stream);
    MUST(again.n_stops == r->n_stops);
    for (int p = 0; p < LLM_PARAMS; p++) {
        if (p == LLM_P_MAX_TOKENS) /* default and cap */
            continue;
        MUST(llm_has(&again, (enum llm_param)p) == llm_has(r, (enum llm_param)p));
        MUST(!llm_has(r, (enum llm_param)p) || again.params[p] == r->params[p]);
    }
    MUST(t->max_tokens_cap == 0 || !llm_has(&again, LLM_P_MAX_TOKENS) ||
         again.params[LLM_P_MAX_TOKENS] <= (double)t->max_tokens_cap ||
         !llm_has(r, LLM_P_MAX_TOKENS));
    MUST(own ? again.needs == r->needs && again.untranslated == r->untranslated : true);
    struct dialect_target names = *t;
    names.short_names = t->short_names && !own;
    if (own || !shows_images_of_results(r))
        check_same(r, &again, &names, &arena);
    buf_fini(&out);
    arena_fini(&arena);
}

static void fuzz_request(const struct dialect *door, strv body, unsigned bits)
{
    struct arena arena;
    struct err err = ERR_INIT;
    struct llm_request r;
    struct dialect_target t = target(bits);
    arena_init(&arena, 4096, BYTES_MAX);
    if (door->decode_request(body, LLM_OP_CHAT, &arena, &r, &err)) {
        MUST(r.n_messages > 0 && r.choices >= 1);
        check_texts(&r);
        r.arena = &arena;
        MUST(llm_request_mend(&r));
        check_encoded(&r, &t);
        /* Changed, and as if it had come in another dialect. */
        t.fresh = true;
        check_encoded(&r, &t);
        r.dialect = LLM_ANTHROPIC;
        check_encoded(&r, &t);
    } else {
        MUST(err.set && err.text[0] != '\0');
    }
    arena_fini(&arena);
}

/* ---- answers ---- */

struct answer {
    struct dialect_out st;
    struct buf bytes; /* what a caller gets */
    struct buf text;  /* all text of the first choice, and its calls */
    bool started, over, ended;
    int calls[OPENAI_CHOICES]; /* begun */
    bool open[OPENAI_CHOICES];
};

static void take_call(struct answer *a, const struct llm_event *ev)
{
    int *calls = &a->calls[ev->choice];
    bool *open = &a->open[ev->choice];
    switch (ev->kind) {
    case LLM_EV_CALL:
        MUST(!*open && ev->call == *calls && ev->name.len > 0);
        MUST(utf8_valid(ev->id) && utf8_valid(ev->name));
        ++*calls;
        *open = true;
        if (ev->choice == 0) {
            say(&a->text, "call", ev->id);
            say(&a->text, "name", ev->name);
        }
        break;
    case LLM_EV_ARGS:
        MUST(*open && ev->call == *calls - 1 && ev->text.len > 0);
        if (ev->choice == 0)
            buf_put_strv(&a->text, ev->text);
        break;
    case LLM_EV_CALL_END:
        MUST(*open && ev->call == *calls - 1);
        *open = false;
        break;
    default:
        MUST(!*open); /* calls are not mixed with anything */
        break;
    }
}

static bool take(void *arg, const struct llm_event *ev)
{
    struct answer *a = arg;
    MUST(!a->over);
    MUST(a->started || ev->kind == LLM_EV_START || ev->kind == LLM_EV_ERROR);
    MUST(ev->text.ptr == NULL || utf8_valid(ev->text));
    MUST(ev->choice >= 0 && ev->choice < OPENAI_CHOICES);
    switch (ev->kind) {
    case LLM_EV_START:
        MUST(!a->started);
        a->started = true;
        break;
    case LLM_EV_TEXT:
    case LLM_EV_REASONING:
        MUST(ev->text.len > 0);
        take_call(a, ev);
        if (ev->choice == 0)
            buf_put_strv(&a->text, ev->text);
        break;
    case LLM_EV_FINISH:
        MUST(ev->finish != LLM_FINISH_NONE);
        take_call(a, ev);
        break;
    case LLM_EV_END:
        a->ended = a->over = true;
        break;
    case LLM_EV_ERROR:
        MUST(ev->error >= 400 && ev->error <= 599);
        a->over = true;
        break;
    case LLM_EV_CALL:
    case LLM_EV_ARGS:
    case LLM_EV_CALL_END:
        take_call(a, ev);
        break;
    case LLM_EV_SIGNATURE:
    case LLM_EV_VECTOR:
    case LLM_EV_USAGE:
    case LLM_EV_PING:
        break;
    }
    if (a->st.id.ptr != NULL)
        MUST(dialect_openai.encode_event(&a->st, ev, &a->bytes));
    return true;
}

static void answer_init(struct answer *a, bool encode)
{
    *a = (struct answer){.over = false};
    if (encode)
        a->st = (struct dialect_out){
            .id = STRV("chatcmpl-1"), .model = STRV("m"), .include_usage = true};
    buf_init(&a->bytes, 64 << 20);
    buf_init(&a->text, 64 << 20);
}

static void answer_fini(struct answer *a)
{
    buf_fini(&a->bytes);
    buf_fini(&a->text);
}

/* Lines as frames; false when one is refused. */
static bool feed(struct answer *a, strv lines, strv prefix, bool *flaw)
{
    struct arena scratch, keep;
    struct err err = ERR_INIT;
    struct dialect_in in = {.emit = take, .arg = a, .scratch = &scratch, .arena = &keep};
    strv line;
    bool ok = true;
    arena_init(&scratch, 4096, BYTES_MAX);
    arena_init(&keep, 4096, BYTES_MAX);
    while (ok && strv_cut(&lines, '\n', &line)) {
        if (prefix.len > 0 && !strv_starts(line, prefix))
            continue;
        ok = dialect_openai.decode_frame(&in, STRV_NONE, strv_from(line, prefix.len), &err);
        MUST(ok || err.set);
        arena_reset(&scratch);
    }
    *flaw = in.flaw;
    arena_fini(&scratch);
    arena_fini(&keep);
    return ok;
}

/* What a caller gets is itself a stream, which says the same. */
static void check_again(struct answer *a)
{
    struct answer again;
    bool flaw;
    answer_init(&again, false);
    if (a->ended && !a->bytes.failed) {
        MUST(feed(&again, buf_view(&a->bytes), STRV("data: "), &flaw));
        MUST(again.ended);
        MUST(strv_eq(buf_view(&a->text), buf_view(&again.text)));
    }
    answer_fini(&again);
}

static void fuzz_stream(strv lines)
{
    struct answer a;
    bool flaw;
    answer_init(&a, true);
    feed(&a, lines, STRV_NONE, &flaw);
    check_again(&a);
    answer_fini(&a);
}

static void fuzz_reply(strv body)
{
    struct answer a;
    struct arena scratch, keep;
    struct err err = ERR_INIT;
    struct dialect_in in = {.emit = take, .arg = &a, .scratch = &scratch, .arena = &keep};
    answer_init(&a, true);
    arena_init(&scratch, 4096, BYTES_MAX);
    arena_init(&keep, 4096, BYTES_MAX);
    MUST(dialect_openai.decode_reply(&in, body, &err) || err.set);
    check_again(&a);
    arena_fini(&scratch);
    arena_fini(&keep);
    answer_fini(&a);
}

static void fuzz_failure(strv body, unsigned bits)
{
    struct arena scratch;
    struct dialect_failure f;
    arena_init(&scratch, 4096, BYTES_MAX);
    dialect_openai.decode_error(400 + (int)(bits & 15) * 10, body, &scratch, &f);
    MUST(f.message.len > 0 && f.message.len <= 512 && utf8_valid(f.message));
    arena_fini(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    strv rest = {(const char *)data + 1, size - 1};
    unsigned bits = data[0] >> 3;
    switch (data[0] & 7) {
    case 0:
        fuzz_request(&dialect_openai, rest, bits);
        break;
    case 1:
        fuzz_stream(rest);
        break;
    case 2:
        fuzz_reply(rest);
        break;
    case 3:
        fuzz_failure(rest, bits);
        break;
    case 4:
        fuzz_request(&dialect_native, rest, bits);
        break;
    default:
        break;
    }
    return 0;
}
