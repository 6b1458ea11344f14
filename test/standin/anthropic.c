/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic - messages, as the cloud words them.
 *
 *   start    message_start, the first block's start, ping
 *   event    content_block_delta; another kind of content closes the open block and opens its own
 *   call     a tool_use block: start with input {}, input_json_delta, stop
 *   finish   the open block's stop, message_delta
 *
 * A signature is made of the thinking that it signs, so that the same text always has the same one, and a later
 * request that brings it back can be judged: "standin", the text's hash, and the hash of both, in base64.
 */
#include "standin.h"

static const char *const finishes[] = {
    [FINISH_STOP] = "\"end_turn\"",
    [FINISH_LENGTH] = "\"max_tokens\"",
    [FINISH_FILTER] = "\"refusal\"",
    [FINISH_NULL] = "null",
    [FINISH_CALLS] = "\"tool_use\"",
    [FINISH_PAUSE] = "\"pause_turn\"",
    [FINISH_CONTEXT] = "\"model_context_window_exceeded\"",
};

/* ---- signatures ---- */

struct seal {
    char word[8];
    uint64_t hash, check;
};

static void add_seal(struct text *t, const char *word, uint64_t hash)
{
    struct seal seal = {.hash = hash};
    memcpy(seal.word, word, 8);
    seal.check = hash_more(HASH_START, &seal, offsetof(struct seal, check));
    text_base64(t, &seal, sizeof seal);
}

static bool read_seal(struct span value, const char *word, struct seal *seal)
{
    struct text raw = {0};
    bool good = text_unbase64(&raw, value.p, value.n) < 0 && raw.len == sizeof *seal;
    if (good) {
        memcpy(seal, raw.data, sizeof *seal);
        good = memcmp(seal->word, word, 8) == 0 &&
               seal->check == hash_more(HASH_START, seal, offsetof(struct seal, check));
    }
    text_free(&raw);
    return good;
}

/* Omitted thinking comes back without its text, so then only the seal itself can be judged. */
bool anthropic_signed(struct span signature, const struct text *thinking)
{
    struct seal seal;
    return read_seal(signature, "standin", &seal) &&
           (thinking->len == 0 ||
            seal.hash == hash_more(HASH_START, thinking->data, thinking->len));
}

bool anthropic_redacted(struct span data)
{
    struct seal seal;
    return read_seal(data, "redact.", &seal);
}

/* ---- usage ---- */

static void add_input(struct conn *c, struct text *t)
{
    text_lit(t, "\"input_tokens\":");
    text_int(t, c->k.prompt_tokens - c->k.cached - c->k.cache_write);
    text_lit(t, ",\"cache_creation_input_tokens\":");
    text_int(t, c->k.cache_write);
    text_lit(t, ",\"cache_read_input_tokens\":");
    text_int(t, c->k.cached);
    if (c->k.cache_write > 0) {
        text_lit(t, ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":");
        text_int(t, c->k.cache_write - c->k.cache_write / 3);
        text_lit(t, ",\"ephemeral_1h_input_tokens\":");
        text_int(t, c->k.cache_write / 3);
        text_lit(t, "}");
    }
}

static void add_output(struct conn *c, struct text *t, int64_t output)
{
    text_lit(t, "\"output_tokens\":");
    text_int(t, output);
    if (c->k.reasoning_tokens >= 0) {
        text_lit(t, ",\"output_tokens_details\":{\"thinking_tokens\":");
        text_int(t, reasoning_tokens(c));
        text_lit(t, "}");
    }
}

static void add_start_usage(struct conn *c, struct text *t)
{
    text_lit(t, "\"usage\":{");
    if (c->k.usage_at == USAGE_DELTA)
        text_lit(t, "\"input_tokens\":1"); /* a first guess, as gateways send it */
    else
        add_input(c, t);
    text_lit(t, ",");
    add_output(c, t, 1);
    text_lit(t, "}");
}

static void add_delta_usage(struct conn *c, struct text *t)
{
    text_lit(t, ",\"usage\":{");
    if (c->k.usage_at == USAGE_NULLS) {
        text_lit(t, "\"input_tokens\":null,\"cache_creation_input_tokens\":null,"
                    "\"cache_read_input_tokens\":null,");
    } else if (c->k.usage_at != USAGE_START) {
        add_input(c, t);
        text_lit(t, ",");
    }
    add_output(c, t, output_tokens(c));
    text_lit(t, "}");
}

/* ---- blocks ---- */

static void add_message(struct conn *c, struct text *t)
{
    text_lit(t, "\"id\":\"msg_");
    text_int(t, (int64_t)c->request_no);
    text_lit(t, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"");
    word_model(t, c);
    text_lit(t, "\",\"content\":[");
}

static void block_event(struct conn *c, struct text *t, const char *name, int64_t index,
                        const char *more)
{
    sse_open(c, t, name);
    text_lit(t, ",\"index\":");
    text_int(t, index);
    text_str(t, more);
}

static void block_stop(struct conn *c, struct text *t)
{
    if (c->block.kind == BLOCK_NONE)
        return;
    if (c->block.kind == BLOCK_THINKING && !c->k.no_signature) {
        block_event(c, t, "content_block_delta", c->block.index,
                    ",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"");
        add_seal(t, "standin", c->thought);
        text_lit(t, "\"}");
        sse_close(c, t);
    }
    block_event(c, t, "content_block_stop", c->block.index, "");
    sse_close(c, t);
    c->block.kind = BLOCK_NONE;
    c->block.index++;
}

static void add_redacted(struct text *t, int64_t i)
{
    text_lit(t, "{\"type\":\"redacted_thinking\",\"data\":\"");
    add_seal(t, "redact.", (uint64_t)i);
    text_lit(t, "\"}");
}

static void redacted_blocks(struct conn *c, struct text *t)
{
    for (; c->redacted_left > 0; c->redacted_left--) {
        block_event(c, t, "content_block_start", c->block.index, ",\"content_block\":");
        add_redacted(t, c->k.redacted - c->redacted_left);
        sse_close(c, t);
        block_event(c, t, "content_block_stop", c->block.index++, "");
        sse_close(c, t);
    }
}

static void block_open(struct conn *c, struct text *t, enum block kind)
{
    if (c->block.kind == kind && kind != BLOCK_CALL)
        return;
    block_stop(c, t);
    if (kind != BLOCK_THINKING)
        redacted_blocks(c, t);
    c->block.kind = kind;
    c->thought = HASH_START; /* each block of thinking is signed for itself */
    if (kind == BLOCK_CALL)
        return; /* its start has the call's name, see anthropic_call() */
    block_event(
        c, t, "content_block_start", c->block.index,
        kind == BLOCK_THINKING
            ? ",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"
            : ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}");
    sse_close(c, t);
}

void anthropic_start(struct conn *c, struct text *t)
{
    sse_open(c, t, "message_start");
    text_lit(t, ",\"message\":{");
    add_message(c, t);
    text_lit(t, "],\"stop_reason\":null,\"stop_sequence\":null,");
    add_start_usage(c, t);
    text_lit(t, "}");
    sse_close(c, t);
    if (c->k.reasoning == 0 && c->events > 0 && !(c->plan && c->plan->calls_first))
        block_open(c, t, BLOCK_TEXT);
    dialect_ping(c, t);
}

/* An event, a delta and a member from the future; and a citation, which text blocks may have. */
void anthropic_strange(struct conn *c, struct text *t)
{
    sse_open(c, t, "future_event");
    text_lit(t, ",\"index\":0,\"future\":[1,{}]");
    sse_close(c, t);
    if (c->block.kind != BLOCK_TEXT)
        return;
    block_event(c, t, "content_block_delta", c->block.index,
                ",\"delta\":{\"type\":\"future_delta\",\"text\":\"not this\"},\"future\":1");
    sse_close(c, t);
    block_event(c, t, "content_block_delta", c->block.index,
                ",\"delta\":{\"type\":\"citations_delta\",\"citation\":{\"type\":\"char_location\","
                "\"cited_text\":\"x\",\"document_index\":0,\"document_title\":null,"
                "\"start_char_index\":0,\"end_char_index\":1}}");
    sse_close(c, t);
}

void anthropic_event(struct conn *c, struct text *t, const struct text *words, bool reasoning)
{
    block_open(c, t, reasoning ? BLOCK_THINKING : BLOCK_TEXT);
    if (reasoning)
        c->thought = hash_more(c->thought, words->data, words->len);
    if (reasoning && c->plan && c->plan->omit_thinking)
        return;
    block_event(c, t, "content_block_delta", c->block.index,
                reasoning ? ",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\""
                          : ",\"delta\":{\"type\":\"text_delta\",\"text\":\"");
    text_json(t, words->data, words->len);
    text_lit(t, "\"}");
    sse_close(c, t);
}

/* Interleaved calls are all open at once, which is wrong, but llama-server has done it: their indices are then
   counted from the first one's, and their stops come with their last bytes. */
void anthropic_call(struct conn *c, struct text *t, const struct call_step *step)
{
    const struct call *call = &c->plan->calls[step->call];
    bool overlap = c->k.call_interleave;
    if (step->begin) {
        if (!overlap || step->call == 0)
            block_open(c, t, BLOCK_CALL);
        block_event(c, t, "content_block_start",
                    c->block.index + (overlap ? (int64_t)step->call : 0),
                    ",\"content_block\":{\"type\":\"tool_use\",");
        if (c->k.call_id != ID_NONE) {
            word_string(t, "id", &call->id);
            text_lit(t, ",");
        }
        word_string(t, "name", &call->name);
        text_str(t, c->k.owner == OWNER_LLAMACPP ? "}" : ",\"input\":{}}");
        sse_close(c, t);
    }
    if (step->n > 0) {
        block_event(c, t, "content_block_delta",
                    c->block.index + (overlap ? (int64_t)step->call : 0),
                    ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"");
        text_json(t, call->args.data + step->from, step->n);
        text_lit(t, "\"}");
        sse_close(c, t);
    }
    if (step->last && !overlap) {
        block_stop(c, t);
    } else if (step->last) {
        block_event(c, t, "content_block_stop", c->block.index + (int64_t)step->call, "");
        sse_close(c, t);
        if (++c->stopped == (int64_t)c->plan->calls_used) {
            c->block.kind = BLOCK_NONE;
            c->block.index += c->stopped;
        }
    }
}

/* ---- the end, and all at once ---- */

static void add_stop_reason(struct conn *c, struct text *t)
{
    text_lit(t, "\"stop_reason\":");
    text_str(t, c->stop[0]     ? "\"stop_sequence\""
                : c->k.refusal ? "\"refusal\""
                               : finishes[c->finish]);
    if (c->k.refusal)
        text_lit(t, ",\"stop_details\":{\"type\":\"refusal\",\"category\":\"cyber\","
                    "\"explanation\":\"not that\"}");
    if (c->stop[0]) {
        text_lit(t, ",\"stop_sequence\":\"");
        text_json(t, c->stop, strlen(c->stop));
        text_lit(t, "\"");
    } else {
        text_lit(t, ",\"stop_sequence\":null");
    }
}

void anthropic_finish(struct conn *c, struct text *t)
{
    block_stop(c, t);
    redacted_blocks(c, t);
    sse_open(c, t, "message_delta");
    text_lit(t, ",\"delta\":{");
    add_stop_reason(c, t);
    text_lit(t, "}");
    if (!c->k.no_usage)
        add_delta_usage(c, t);
    sse_close(c, t);
}

static void whole_calls(struct conn *c, struct text *t)
{
    for (size_t i = 0; c->plan && i < c->plan->calls_used; i++) {
        const struct call *call = &c->plan->calls[i];
        text_lit(t, "{\"type\":\"tool_use\",");
        if (c->k.call_id != ID_NONE) {
            word_string(t, "id", &call->id);
            text_lit(t, ",");
        }
        word_string(t, "name", &call->name);
        text_lit(t, ",\"input\":");
        if (call->args.len == 0) {
            text_lit(t, "{}");
        } else if (c->k.call_args_bad != ARGS_FINE || c->k.call_args_object) {
            text_lit(t, "\"");
            text_json(t, call->args.data, call->args.len);
            text_lit(t, "\"");
        } else {
            text_add(t, call->args.data, call->args.len);
        }
        text_lit(t, "},");
    }
}

static void whole_thinking(struct conn *c, struct text *t, const struct text *thoughts)
{
    if (thoughts->len) {
        text_lit(t, "{\"type\":\"thinking\",\"thinking\":\"");
        if (c->plan == NULL || !c->plan->omit_thinking)
            text_json(t, thoughts->data, thoughts->len);
        text_lit(t, "\",\"signature\":\"");
        if (!c->k.no_signature)
            add_seal(t, "standin", hash_more(HASH_START, thoughts->data, thoughts->len));
        text_lit(t, "\"},");
    }
    for (int64_t i = 0; i < c->k.redacted; i++) {
        add_redacted(t, i);
        text_lit(t, ",");
    }
}

void anthropic_whole(struct conn *c, struct text *t, const struct text *words,
                     const struct text *thoughts)
{
    bool calls_first = c->plan && c->plan->calls_first;
    text_lit(t, "{");
    add_message(c, t);
    size_t empty = t->len;
    whole_thinking(c, t, thoughts);
    if (calls_first)
        whole_calls(c, t);
    if (words->len) {
        text_lit(t, "{\"type\":\"text\",\"text\":\"");
        text_json(t, words->data, words->len);
        text_lit(t, "\",\"citations\":null},");
    }
    if (!calls_first)
        whole_calls(c, t);
    if (t->len > empty)
        t->len--; /* the last comma */
    text_lit(t, "],");
    add_stop_reason(c, t);
    text_lit(t, ",\"usage\":{");
    add_input(c, t);
    text_lit(t, ",");
    add_output(c, t, output_tokens(c));
    text_lit(t, "}}");
}
