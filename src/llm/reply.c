/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply - a whole answer, put together from its events.
 *
 *   bytes   "Let me see" "I will look." "{\"city\":\"Paris\"}"
 *   parts   REASONING    TEXT           CALL get_weather          in the order the model gave them
 *
 * Neighbouring texts of one kind become one part, so that an answer that came in a thousand pieces has as
 * many parts as one that came whole.
 */
#include "llm/llm.h"

#include <assert.h>

#define PARTS_MAX 4096 /* no answer has as many; an upstream that begins calls without end has */

void llm_reply_init(struct llm_reply *r, size_t text_bytes_max)
{
    *r = (struct llm_reply){.usage = LLM_USAGE_NONE};
    buf_init(&r->bytes, text_bytes_max);
    buf_init(&r->vectors, text_bytes_max);
}

void llm_reply_fini(struct llm_reply *r)
{
    buf_fini(&r->bytes);
    buf_fini(&r->vectors);
    mem_free(r->parts);
    r->parts = NULL;
    r->n_parts = r->room = 0;
}

size_t llm_reply_bytes(const struct llm_reply *r, enum llm_part_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_parts; i++)
        if (r->parts[i].kind == kind)
            n += r->parts[i].len;
    return n;
}

bool llm_reply_has(const struct llm_reply *r, enum llm_part_kind kind)
{
    for (size_t i = 0; i < r->n_parts; i++)
        if (r->parts[i].kind == kind)
            return true;
    return false;
}

static struct llm_reply_part *last_part(struct llm_reply *r)
{
    return r->n_parts > 0 ? &r->parts[r->n_parts - 1] : NULL;
}

static struct llm_reply_part *begin_part(struct llm_reply *r, enum llm_part_kind kind)
{
    if (r->n_parts == r->room) {
        size_t room = r->room > 0 ? 2 * r->room : 4;
        struct llm_reply_part *parts =
            room <= PARTS_MAX ? mem_realloc(r->parts, room * sizeof *parts) : NULL;
        if (parts == NULL)
            return NULL;
        r->parts = parts;
        r->room = room;
    }
    assert(r->parts != NULL);
    struct llm_reply_part *p = &r->parts[r->n_parts++];
    *p = (struct llm_reply_part){.kind = kind, .from = buf_len(&r->bytes)};
    r->open = true;
    return p;
}

/* Bytes for the open part of that kind, or for a new one. */
static bool add_bytes(struct llm_reply *r, enum llm_part_kind kind, strv text)
{
    struct llm_reply_part *p = last_part(r);
    if (p == NULL || p->kind != kind || !r->open)
        p = begin_part(r, kind);
    if (p == NULL)
        return false;
    p->len += text.len;
    return buf_put_strv(&r->bytes, text);
}

bool llm_reply_set_text(struct llm_reply *r, strv text)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_parts; i++)
        if (r->parts[i].kind != LLM_PART_TEXT)
            r->parts[n++] = r->parts[i];
    r->n_parts = n;
    r->open = false;
    return add_bytes(r, LLM_PART_TEXT, text);
}

static bool add_signature(struct llm_reply *r, strv text)
{
    struct llm_reply_part *p = last_part(r);
    if (p == NULL || p->kind != LLM_PART_REASONING ||
        !r->open) /* of thinking whose text is left out */
        p = begin_part(r, LLM_PART_REASONING);
    if (p == NULL)
        return false;
    p->signature = buf_len(&r->bytes);
    p->n_signature = text.len;
    r->open = false;
    return buf_put_strv(&r->bytes, text);
}

static bool add_redacted(struct llm_reply *r, strv data)
{
    struct llm_reply_part *p = begin_part(r, LLM_PART_REASONING);
    if (p == NULL)
        return false;
    p->redacted = true;
    return add_signature(r, data);
}

static bool begin_call(struct llm_reply *r, const struct llm_event *ev, struct arena *arena)
{
    struct llm_reply_part *p = begin_part(r, LLM_PART_CALL);
    if (p == NULL)
        return false;
    p->id = arena_strv(arena, ev->id);
    p->name = arena_strv(arena, ev->name);
    return true;
}

static bool end_call(struct llm_reply *r)
{
    struct llm_reply_part *p = last_part(r);
    bool empty = p != NULL && p->kind == LLM_PART_CALL && p->len == 0;
    bool ok = !empty || add_bytes(r, LLM_PART_CALL, STRV("{}"));
    r->open = false;
    return ok;
}

static bool add_vector(struct llm_reply *r, const struct llm_event *ev)
{
    if (r->n_vectors == 0)
        r->dimensions = ev->n_vector;
    r->n_vectors++;
    return ev->n_vector == r->dimensions &&
           buf_put(&r->vectors, ev->vector, ev->n_vector * sizeof *ev->vector);
}

static void take_finish(struct llm_reply *r, const struct llm_event *ev, struct arena *arena)
{
    r->finish = ev->finish;
    if (ev->stop_sequence.ptr != NULL)
        r->stop_sequence = arena_strv(arena, ev->stop_sequence);
    if (ev->raw_finish.ptr != NULL)
        r->raw_finish = arena_strv(arena, ev->raw_finish);
}

static bool take_event(struct llm_reply *r, const struct llm_event *ev, struct arena *arena)
{
    switch (ev->kind) {
    case LLM_EV_START:
        if (r->id.ptr == NULL)
            r->id = arena_strv(arena, ev->text);
        if (r->model.ptr == NULL && ev->model.ptr != NULL)
            r->model = arena_strv(arena, ev->model);
        break;
    case LLM_EV_TEXT:
        return add_bytes(r, LLM_PART_TEXT, ev->text);
    case LLM_EV_REASONING:
        return ev->redacted ? add_redacted(r, ev->text)
                            : add_bytes(r, LLM_PART_REASONING, ev->text);
    case LLM_EV_SIGNATURE:
        return add_signature(r, ev->text);
    case LLM_EV_CALL:
        return begin_call(r, ev, arena);
    case LLM_EV_ARGS:
        return add_bytes(r, LLM_PART_CALL, ev->text);
    case LLM_EV_CALL_END:
        return end_call(r);
    case LLM_EV_VECTOR:
        return add_vector(r, ev);
    case LLM_EV_FINISH:
        take_finish(r, ev, arena);
        break;
    case LLM_EV_USAGE:
        llm_usage_merge(&r->usage, &ev->usage);
        break;
    case LLM_EV_END:
        r->ended = true;
        break;
    case LLM_EV_ERROR:
    case LLM_EV_PING:
        break;
    }
    return true;
}

bool llm_reply_add(struct llm_reply *r, const struct llm_event *ev, struct arena *arena)
{
    if (ev->choice != 0 && ev->kind != LLM_EV_VECTOR) /* a vector's choice is its input */
        return true;
    return take_event(r, ev, arena) && !r->bytes.failed && !r->vectors.failed && !arena->failed;
}

/* ---- and back ---- */

static bool tell_thought(const struct llm_reply *r, const struct llm_reply_part *p,
                         llm_emit_fn emit, void *arg)
{
    strv text = llm_reply_text(r, p);
    strv seal = p->n_signature > 0 ? (strv){buf_view(&r->bytes).ptr + p->signature, p->n_signature}
                                   : STRV("");
    if (p->redacted)
        return emit(arg,
                    &(struct llm_event){.kind = LLM_EV_REASONING, .text = seal, .redacted = true});
    return (text.len == 0 ||
            emit(arg, &(struct llm_event){.kind = LLM_EV_REASONING, .text = text})) &&
           (seal.len == 0 ||
            emit(arg, &(struct llm_event){.kind = LLM_EV_SIGNATURE, .text = seal}));
}

static bool tell_call(const struct llm_reply *r, const struct llm_reply_part *p, int n,
                      llm_emit_fn emit, void *arg)
{
    return emit(
               arg,
               &(struct llm_event){.kind = LLM_EV_CALL, .call = n, .id = p->id, .name = p->name}) &&
           emit(
               arg,
               &(struct llm_event){.kind = LLM_EV_ARGS, .call = n, .text = llm_reply_text(r, p)}) &&
           emit(arg, &(struct llm_event){.kind = LLM_EV_CALL_END, .call = n});
}

static bool tell_parts(const struct llm_reply *r, llm_emit_fn emit, void *arg)
{
    int calls = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < r->n_parts; i++) {
        const struct llm_reply_part *p = &r->parts[i];
        if (p->kind == LLM_PART_CALL)
            ok = tell_call(r, p, calls++, emit, arg);
        else if (p->kind == LLM_PART_REASONING)
            ok = tell_thought(r, p, emit, arg);
        else
            ok = emit(arg, &(struct llm_event){.kind = LLM_EV_TEXT, .text = llm_reply_text(r, p)});
    }
    return ok;
}

static bool tell_vectors(const struct llm_reply *r, llm_emit_fn emit, void *arg)
{
    const float *at = (const float *)(const void *)buf_view(&r->vectors).ptr;
    bool ok = true;
    for (size_t i = 0; ok && i < r->n_vectors; i++)
        ok = emit(arg, &(struct llm_event){.kind = LLM_EV_VECTOR,
                                           .choice = (int)i,
                                           .vector = at + i * r->dimensions,
                                           .n_vector = r->dimensions});
    return ok;
}

bool llm_reply_tell(const struct llm_reply *r, llm_emit_fn emit, void *arg)
{
    return emit(arg, &(struct llm_event){.kind = LLM_EV_START, .text = r->id, .model = r->model}) &&
           tell_parts(r, emit, arg) && tell_vectors(r, emit, arg) &&
           emit(arg, &(struct llm_event){.kind = LLM_EV_FINISH,
                                         .finish = r->finish,
                                         .stop_sequence = r->stop_sequence,
                                         .raw_finish = r->raw_finish}) &&
           emit(arg, &(struct llm_event){.kind = LLM_EV_USAGE, .usage = r->usage}) &&
           emit(arg, &(struct llm_event){.kind = LLM_EV_END});
}
