/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embed - embeddings: the same vector for the same text, in every dialect, of length one.
 *
 *   POST /v1/embeddings      one text, several, tokens, several lists of tokens; floats or base64; dimensions
 *   POST /api/embed          one text or several; tokens are refused; dimensions
 *   POST /api/embeddings     one prompt; this one's vector is three times as long, as it is not normalised there
 *
 * A vector is made of its text's hash, so equal inputs are equal and others are not. Fewer dimensions are the first
 * ones of the whole vector, made one long again. llama-server does not know `dimensions`.
 */
#include "standin.h"

#include <math.h>

#define DIMS_MAX 4096

struct job_embed {
    struct conn *c;
    struct text *t;
    int64_t dims;
    bool base64;
    int64_t tokens, index;
};

static void make_vector(uint64_t seed, int64_t dims, float *out)
{
    double sum = 0;
    for (int64_t i = 0; i < dims; i++) {
        seed = hash_more(seed, &i, sizeof i);
        out[i] = (float)((int64_t)(seed >> 40) - (1 << 23)) / (float)(1 << 23);
        sum += (double)out[i] * (double)out[i];
    }
    for (int64_t i = 0; i < dims; i++)
        out[i] = (float)((double)out[i] / sqrt(sum > 0 ? sum : 1));
}

static void add_vector(struct job_embed *e, uint64_t seed, float scale)
{
    static float vector[DIMS_MAX];
    char number[32];
    make_vector(seed, e->dims, vector);
    if (e->base64) { /* little-endian, as every machine here is */
        text_lit(e->t, "\"");
        text_base64(e->t, vector, (size_t)e->dims * sizeof *vector);
        text_lit(e->t, "\"");
        return;
    }
    text_lit(e->t, "[");
    for (int64_t i = 0; i < e->dims; i++) {
        snprintf(number, sizeof number, "%s%.9g", i ? "," : "", (double)(vector[i] * scale));
        text_str(e->t, number);
    }
    text_lit(e->t, "]");
}

/* A text's hash is that of its letters, however they were escaped; a token list's that of its numbers. */
static uint64_t input_seed(struct job_embed *e, struct span value)
{
    struct text plain = {0};
    uint64_t seed = HASH_START;
    if (span_kind(value, '"')) {
        scan_text(value, &plain);
        seed = hash_more(seed, plain.data, plain.len);
        e->tokens += (int64_t)plain.len / 4 + 1;
    } else {
        struct scan s = scan_open(value);
        struct span none, token;
        while (scan_next(&s, &none, &token)) {
            seed = hash_more(hash_more(seed, token.p, token.n), ",", 1);
            e->tokens++;
        }
    }
    text_free(&plain);
    return seed;
}

static void openai_row(struct job_embed *e, struct span value)
{
    text_str(e->t, e->index ? ",{" : "{");
    text_lit(e->t, "\"object\":\"embedding\",\"index\":");
    text_int(e->t, e->index++);
    text_lit(e->t, ",\"embedding\":");
    add_vector(e, input_seed(e, value), 1);
    text_lit(e->t, "}");
}

static bool is_list_of_inputs(struct span input)
{
    struct scan s = scan_open(input);
    struct span none, first;
    return s.array && scan_next(&s, &none, &first) &&
           (span_kind(first, '"') || span_kind(first, '['));
}

static int64_t openai_embed(struct job_embed *e, const struct ask *a)
{
    struct text *t = e->t;
    struct scan s = scan_open(a->input);
    struct span none, value;
    bool list = is_list_of_inputs(a->input);
    if (span_null(a->input) || a->input.n == 2) { /* "" or [] */
        dialect_error(OPENAI, 400, e->c->k.owner == OWNER_LLAMACPP ? FORM_LLAMA : FORM_DIALECT,
                      e->c->k.owner == OWNER_LLAMACPP ? "Input content cannot be empty"
                                                      : "'$.input' is invalid. Please check the "
                                                        "API reference: it must not be empty.",
                      t);
        return 400;
    }
    text_lit(t, "{\"object\":\"list\",\"model\":\"");
    word_model(t, e->c);
    text_lit(t, "\",\"data\":[");
    if (!list)
        openai_row(e, a->input);
    while (list && scan_next(&s, &none, &value))
        openai_row(e, value);
    text_lit(t, "],\"usage\":{\"prompt_tokens\":");
    text_int(t, e->tokens);
    text_lit(t, ",\"total_tokens\":");
    text_int(t, e->tokens);
    text_lit(t, "}}");
    return 200;
}

static int64_t ollama_embed(struct job_embed *e, const struct ask *a)
{
    struct text *t = e->t;
    struct scan s = scan_open(a->input);
    struct span none, value = {0};
    text_lit(t, "{\"model\":\"");
    word_model(t, e->c);
    text_lit(t, "\",\"embeddings\":[");
    if (span_kind(a->input, '"') && a->input.n > 2)
        add_vector(e, input_seed(e, a->input), 1);
    while (s.array && scan_next(&s, &none, &value)) {
        if (!span_kind(value, '"'))
            break;
        text_str(t, e->index++ ? "," : "");
        add_vector(e, input_seed(e, value), 1);
    }
    if (value.p && !span_kind(value, '"')) {
        t->len = 0;
        text_lit(t, "{\"error\":\"invalid input type\"}");
        return 400;
    }
    text_lit(t, "],\"total_duration\":14143917,\"load_duration\":1019500,\"prompt_eval_count\":");
    text_int(t, e->tokens);
    text_lit(t, "}");
    return 200;
}

int64_t embed_answer(struct conn *c, const struct ask *a, struct text *t)
{
    struct job_embed e = {.c = c, .t = t, .dims = c->k.dims};
    int64_t wanted = 0;
    e.base64 = span_is_string(a->encoding_format, "base64");
    if (c->k.owner != OWNER_LLAMACPP && span_int(a->dimensions, &wanted) && wanted > 0 &&
        wanted < e.dims)
        e.dims = wanted;
    if (e.dims < 1 || e.dims > DIMS_MAX)
        e.dims = 8;
    if (c->dialect == OPENAI)
        return openai_embed(&e, a);
    if (c->dialect == OLLAMA_CHAT)
        return ollama_embed(&e, a);
    text_lit(t, "{\"embedding\":");
    add_vector(&e, input_seed(&e, a->prompt), 3);
    text_lit(t, "}");
    return 200;
}
