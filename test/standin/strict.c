/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strict - what the vendors refuse, with their statuses and their words.
 *
 *   --strict            all rules of the request's dialect, in strict_openai.c, strict_anthropic.c, strict_ollama.c
 *   claude=GENERATION   what this generation of models does not take; with --strict also by the model's name
 *   ids=mistral         call ids of nine letters and digits
 *   caps=..             Ollama's "does not support"; also when the model's name says what it can do
 *
 * The first rule broken answers. Without any of these nothing is judged, and nothing is looked at.
 */
#include "standin.h"

#include <stdarg.h>
#include <stdlib.h>

bool strict_say(struct strict *s, const char *form, ...)
{
    char line[1024];
    va_list args;
    va_start(args, form);
    int n = vsnprintf(line, sizeof line, form, args);
    va_end(args);
    if (n > 0)
        text_add(s->why, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    if (s->status == 0)
        s->status = 400;
    return false;
}

bool id_plain(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        char l = s.p[i];
        if (!((l >= 'a' && l <= 'z') || (l >= 'A' && l <= 'Z') || (l >= '0' && l <= '9') ||
              l == '_' || l == '-'))
            return false;
    }
    return s.n > 0;
}

struct span string_inside(struct span value)
{
    return span_kind(value, '"') ? (struct span){value.p + 1, value.n - 2} : (struct span){0};
}

/* ---- Mistral ---- */

static bool nine_letters(struct span id)
{
    struct span s = string_inside(id);
    return s.n == 9 && id_plain(s) && memchr(s.p, '_', 9) == NULL && memchr(s.p, '-', 9) == NULL;
}

static bool mistral_id(struct strict *s, const char *what, struct span id)
{
    struct span text = string_inside(id);
    if (nine_letters(id))
        return true;
    return strict_say(s, "%s id was %.*s but must be a-z, A-Z, 0-9, with a length of 9.", what,
                      (int)text.n, text.n ? text.p : "");
}

static bool mistral(struct strict *s)
{
    struct scan messages = scan_open(s->a->messages);
    struct span none, value, call;
    struct message m;
    while (scan_next(&messages, &none, &value)) {
        message_read(value, &m);
        struct scan calls = scan_open(m.tool_calls);
        while (scan_next(&calls, &none, &call))
            if (!mistral_id(s, "Function call", scan_member(call, "id")))
                return false;
        if (span_is_string(m.role, "tool") && !mistral_id(s, "Tool call", m.tool_call_id))
            return false;
    }
    return true;
}

/* ---- generations of Claude ---- */

static bool forced_choice(const struct strict *s)
{
    struct span name;
    return tools_forced(s->c, s->a, &name);
}

static bool ends_with_assistant(const struct strict *s)
{
    struct scan messages = scan_open(s->a->messages);
    struct span none, value, last = {0};
    while (scan_next(&messages, &none, &value))
        last = value;
    return span_is_string(scan_member(last, "role"), "assistant");
}

/* Defaults are let through: only the newer version's header refuses those, see strict_anthropic.c. */
static bool sampling(struct strict *s, const char *name, struct span value, double usual)
{
    return span_null(value) || strtod(value.p, NULL) == usual ||
           strict_say(s, "`%s` is deprecated for this model.", name);
}

/* What each generation took away. */
static bool claude(struct strict *s, enum claude generation)
{
    struct span type = scan_member(s->a->thinking, "type");
    if (generation == CLAUDE_4_5)
        return !span_is_string(type, "adaptive") ||
               strict_say(s, "adaptive thinking is not supported on this model");
    if (ends_with_assistant(s))
        return strict_say(s, "This model does not support assistant message prefill. The "
                             "conversation must end with a user message.");
    if (generation == CLAUDE_4_6)
        return true;
    if (!sampling(s, "temperature", s->a->temperature, 1) ||
        !sampling(s, "top_p", s->a->top_p, 1) || !sampling(s, "top_k", s->a->top_k, -1))
        return false;
    if (generation == CLAUDE_4_7)
        return true;
    if (span_is_string(type, "enabled"))
        return strict_say(s, "\"thinking.type.enabled\" is not supported for this model. Use "
                             "\"thinking.type.adaptive\" and \"output_config.effort\" to control "
                             "thinking behavior.");
    if (span_is_string(type, "disabled"))
        return strict_say(s, "\"thinking.type.disabled\" is not supported for this model.");
    return !forced_choice(s) ||
           strict_say(s, "tool_choice: forced tool use is not supported on this model.");
}

/* ---- */

int64_t strict_check(struct conn *c, const struct request *r, const struct ask *a, struct text *why)
{
    struct strict s = {.c = c, .r = r, .a = a, .why = why};
    enum claude generation = claude_of(c);
    bool good = true;
    if (c->job == JOB_PULL)
        return 0;
    if (settings.strict && is_openai(c->dialect))
        good = strict_openai(&s);
    else if (settings.strict && c->dialect == ANTHROPIC)
        good = strict_anthropic(&s);
    else if (is_ollama(c->dialect) && (settings.strict || model_caps_known(c)))
        good = strict_ollama(&s);
    if (good && c->k.ids == IDS_MISTRAL)
        good = mistral(&s);
    if (good && generation != CLAUDE_ANY && c->dialect == ANTHROPIC)
        good = claude(&s, generation);
    return good ? 0 : s.status;
}
