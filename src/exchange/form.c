/* SPDX-License-Identifier: Apache-2.0 */
/*
 * form - structured output: does the answer have the form that was asked for, and what if not.
 *
 * Most servers hold the model to the schema, some do not (and Anthropic has no plain JSON mode). So the text
 * of an answer that ended by itself is parsed and checked; one that was cut by its token limit says so in
 * its finish reason, and is nobody's JSON. A fence around it is taken off where the answer goes out whole.
 *
 * What does not fit is asked for once more, if the configuration says so: the same question, the answer,
 * and what is wrong with it. Otherwise the next target is tried, or the caller told.
 */
#include "exchange/exchange_int.h"

/* Without ```json and ``` around it. */
static strv unfenced(strv text)
{
    strv first, rest = strv_trim(text);
    if (!strv_starts(rest, STRV("```")))
        return rest;
    strv body = rest;
    if (!strv_cut(&body, '\n', &first) || body.ptr == NULL)
        return rest;
    body = strv_trim(body);
    if (!strv_ends(body, STRV("```")))
        return rest;
    body.len -= 3;
    return strv_trim(body);
}

static bool fits(struct exchange *x, strv text, struct err *err)
{
    struct json doc, schema;
    struct arena *scratch = &x->env->scratch;
    bool ok = json_read(&doc, text, scratch, LLM_ERR_OUTPUT_INVALID, err);
    if (ok && x->form == LLM_FORMAT_SCHEMA)
        ok = json_read(&schema, x->schema, scratch, LLM_ERR_OUTPUT_INVALID, err) &&
             schema_check(schema.root, doc.root, err);
    else if (ok && !yyjson_is_obj(doc.root))
        ok = err_set(err, LLM_ERR_OUTPUT_INVALID, "it is not a JSON object");
    return ok;
}

enum form form_check(struct exchange *x)
{
    struct err err = ERR_INIT;
    strv text = buf_view(&x->formed);
    enum form result = FORM_FITS;
    if (x->form == LLM_FORMAT_TEXT || x->called || x->finish == LLM_FINISH_LENGTH ||
        x->finish == LLM_FINISH_FILTER)
        return FORM_FITS;
    if (!fits(x, text, &err)) {
        struct err second = ERR_INIT;
        strv inner = unfenced(text);
        result = inner.len < text.len && fits(x, inner, &second) ? FORM_FENCED : FORM_BAD;
    }
    if (result == FORM_BAD)
        x->upstream_message = strv_of(arena_printf(
            x->arena, "the model's answer does not have the form that was asked for: %s",
            err.text));
    if (result == FORM_FENCED)
        x->unfenced = arena_strv(x->arena, unfenced(text));
    return result;
}

/* ---- once more ---- */

static struct llm_message said(struct llm_part *part, enum llm_role role, strv text)
{
    *part = (struct llm_part){.kind = LLM_PART_TEXT, .text = text};
    return (struct llm_message){role, part, 1};
}

/* The conversation with the answer and what is wrong with it. */
static bool add_complaint(struct exchange *x, struct llm_request *again)
{
    struct arena *arena = x->r->arena;
    size_t n = again->n_messages;
    struct llm_message *messages = ARENA_ARRAY(arena, struct llm_message, n + 2);
    struct llm_part *parts = ARENA_ARRAY(arena, struct llm_part, 2);
    strv answer = arena_strv(arena, buf_view(&x->formed));
    char *complaint =
        arena_printf(arena, STRV_FMT ". Answer again, with nothing but the corrected JSON.",
                     STRV_ARG(x->upstream_message));
    if (messages == NULL || parts == NULL || arena->failed)
        return false;
    memcpy(messages, again->messages, n * sizeof *messages);
    messages[n] = said(&parts[0], LLM_ASSISTANT, answer);
    messages[n + 1] = said(&parts[1], LLM_USER, strv_of(complaint));
    again->messages = messages;
    again->n_messages = n + 2;
    return true;
}

bool form_ask_again(struct exchange *x, enum outcome why)
{
    if (!x->snapshot->repair || x->ask != x->r || x->committed)
        return false;
    struct llm_request *again = ARENA_NEW(x->r->arena, struct llm_request);
    if (again == NULL || !llm_request_mend(x->r))
        return false;
    *again = *x->r;
    if (why == OUTCOME_BAD_CALL)
        again->choose = LLM_CHOOSE_ANY; /* servers hold a forced call to the tool's schema */
    else if (!add_complaint(x, again))
        return false;
    x->ask = again;
    return true;
}
