/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan - what a request wants beyond the sentence: calls, JSON, to hear what its results and images were.
 *
 * Made once when the request is read, and only for requests that have such members: most have none, and then there
 * is no plan, no copy and no cost. Order of what is said, the first that applies:
 *
 *   tool_choice and `call` want calls, and the turn brings no results    calls, with the sentence if call_text
 *   a format in JSON is asked for                                        JSON that fits it
 *   the turn brings results, images, documents                           these, see turn.c
 *   otherwise                                                            the sentence
 */
#include "standin.h"

#include <stdlib.h>

static void free_call(struct call *call)
{
    text_free(&call->name);
    text_free(&call->id);
    text_free(&call->args);
}

void plan_free(struct conn *c)
{
    struct plan *p = c->plan;
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->calls_used; i++)
        free_call(&p->calls[i]);
    free(p->calls);
    free(p->steps);
    text_free(&p->say);
    free(p);
    c->plan = NULL;
}

/* ---- JSON ---- */

/* The schema of the answer; for plain JSON without one *schema stays empty. False: no JSON is asked for. */
static bool json_wanted(const struct conn *c, const struct ask *a, struct span *schema)
{
    *schema = (struct span){0};
    if (is_openai(c->dialect)) {
        struct span type = scan_member(a->response_format, "type");
        *schema = scan_member(scan_member(a->response_format, "json_schema"), "schema");
        return span_is_string(type, "json_object") || span_is_string(type, "json_schema");
    }
    if (c->dialect == ANTHROPIC) {
        struct span format = scan_member(a->output_config, "format");
        *schema = scan_member(format, "schema");
        return span_is_string(scan_member(format, "type"), "json_schema");
    }
    if (span_kind(a->format, '{'))
        *schema = a->format;
    return schema->p != NULL || span_is_string(a->format, "json");
}

static void say_json(const struct conn *c, struct span schema, struct text *say)
{
    struct text json = {0};
    if (c->k.json_bad == JSON_MISMATCH) {
        text_lit(&json, "{\"unexpected\":[null,\"not what was asked for\"]}");
    } else if (schema.p) {
        schema_sample(schema, false, &json);
    } else {
        text_lit(&json, "{\"answer\":\"");
        text_json(&json, say->data, say->len);
        text_str(&json, say->len ? "\"}" : "Hello from the stand-in\"}");
    }
    say->len = 0;
    if (c->k.json_bad == JSON_FENCE)
        text_lit(say, "```json\n");
    if (c->k.json_bad == JSON_PROSE)
        text_lit(say, "Sure, here it is: ");
    text_add(say, json.data, json.len);
    if (c->k.json_bad == JSON_FENCE)
        text_lit(say, "\n```");
    if (c->k.json_bad == JSON_PROSE)
        text_lit(say, " I hope that helps!");
    if (c->k.json_bad == JSON_TRUNCATED)
        say->len -= say->len / 3 + 1;
    text_free(&json);
}

/* ---- */

/* Thinking that the request turns on or off, in the ways of Anthropic and Ollama. */
static void plan_thinking(struct conn *c, const struct ask *a, struct plan *p)
{
    struct span type = scan_member(a->thinking, "type");
    bool on = span_is_string(type, "enabled") || span_is_string(type, "adaptive");
    bool off = c->dialect == ANTHROPIC && settings.strict && !on;
    if (is_ollama(c->dialect)) {
        on = span_is(a->think, "true") || (span_kind(a->think, '"') && a->think.n > 2);
        off = span_is(a->think, "false");
    } else if (c->dialect != ANTHROPIC) {
        on = off = false;
    }
    if (off)
        c->k.reasoning = c->k.redacted = 0;
    else if (c->k.reasoning < 0)
        c->k.reasoning = on ? 2 : 0;
    p->omit_thinking = span_is_string(scan_member(a->thinking, "display"), "omitted");
}

/* Several prompts, or n, give as many choices. */
static void plan_choices(struct conn *c, const struct ask *a)
{
    int64_t n = 1;
    struct scan s = scan_open(a->prompt);
    struct span none, first;
    span_int(a->n, &n);
    if (n < 1 || n > 128)
        n = 1;
    if (c->dialect == OPENAI_TEXT && s.array && scan_next(&s, &none, &first) &&
        (first.p[0] == '"' || first.p[0] == '[')) /* numbers: one prompt of tokens */
        n *= (int64_t)scan_count(a->prompt);
    c->choices = n > 0 ? n : 1;
}

static bool wants_plan(const struct conn *c, const struct ask *a, bool quoted)
{
    return quoted || a->tools.p || a->thinking.p || a->think.p || a->response_format.p ||
           a->output_config.p || a->format.p || c->k.call > 0;
}

void plan_make(struct conn *c, const struct ask *a)
{
    struct plan made = {.steps = NULL}, *p = &made;
    struct span schema;
    bool results;
    turn_quote(c, a, &p->say, &results);
    c->choices = 1;
    if (a->n.p || c->dialect == OPENAI_TEXT)
        plan_choices(c, a);
    if (!wants_plan(c, a, p->say.len > 0)) {
        text_free(&p->say);
        if (c->k.reasoning < 0)
            c->k.reasoning = 0;
        if (c->dialect == ANTHROPIC && settings.strict)
            c->k.reasoning = c->k.redacted = 0;
        return;
    }
    c->plan = must_alloc(NULL, sizeof made);
    plan_thinking(c, a, p);
    if (!results || c->k.call_again)
        tools_plan(c, a, p);
    if (p->calls_used > 0) {
        p->says = p->say.len > 0 && c->k.call_text != TEXT_NONE;
        p->calls_first = c->k.call_text == TEXT_AFTER;
    } else {
        if (json_wanted(c, a, &schema))
            say_json(c, schema, &p->say);
        p->says = p->say.len > 0;
    }
    *c->plan = made;
    if (!p->says && p->calls_used == 0 && !p->omit_thinking)
        plan_free(c);
}

void plan_drop_calls(struct conn *c)
{
    struct plan *p = c->plan;
    for (size_t i = 0; i < p->calls_used; i++)
        free_call(&p->calls[i]);
    p->calls_used = p->steps_used = 0;
}

/* Part `event` of what is said: cut evenly, but not through a letter. */
void plan_text(const struct conn *c, int64_t event, struct text *t)
{
    const struct text *say = &c->plan->say;
    size_t parts = c->k.events > 0 ? (size_t)c->k.events : 8, at[2];
    for (size_t i = 0; i < 2; i++) {
        at[i] = say->len * ((size_t)event + i) / parts;
        while (at[i] < say->len && ((unsigned char)say->data[at[i]] & 0xc0) == 0x80)
            at[i]++;
    }
    text_add(t, say->data + at[0], at[1] - at[0]);
}
