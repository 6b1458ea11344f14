/* SPDX-License-Identifier: Apache-2.0 */
/*
 * knobs - every way in which the stand-in can be told to differ from a well-behaved provider.
 *
 * One row for each knob; parser, --help and README.md come from the rows. A set of knobs is written
 * "name=value+name+name=value" and a request gets, each covering the one before:
 *
 *   defaults of the process   --knobs, or "default" of POST /_control
 *   a rule                    POST /_control {"rules":[{"n":2,"path":"/v1/messages","status":503}, ...]}
 *   the model's name          "demo+cut=3+gap_ms=20" (a tag such as ":latest" behind it is ignored)
 *   a header                  X-Standin: cut=3+gap_ms=20
 *
 * Rules are used in order: the first that fits and is not used up serves the request. With "loop":true the list
 * starts again when all its rules are used up, which is how a flapping provider is made.
 */
#include "standin.h"

#include <stdlib.h>

static const char *const finishes[] = {"stop", "length", "filter", "null", NULL};
static const char *const forms[] = {"dialect", "plain",  "html", "empty",
                                    "flat",    "detail", "int",  NULL};
static const char *const heads[] = {"fine", "bad", "huge",  "two_lengths",
                                    "both", "cut", "early", NULL};
static const char *const framings[] = {"auto", "length", "chunked", "close", NULL};
static const char *const wordings[] = {"plain", "odd", NULL};
static const char *const line_ends[] = {"lf", "crlf", "cr", NULL};

/* `unset` when not named, `bare` when named without a value. */
static const struct row {
    const char *name;
    size_t at;
    int64_t unset, bare;
    const char *const *choices;
    const char *doc;
} rows[] = {
#define ROW(name, unset, bare, choices, doc)                                                       \
    {                                                                                              \
#name, offsetof(struct knobs, name), unset, bare, choices, doc                             \
    }
#define GROUP(doc)                                                                                 \
    {                                                                                              \
        NULL, 0, 0, 0, NULL, doc                                                                   \
    }
    GROUP("What is said, and when"),
    ROW(events, -1, 8, NULL,
        "content events (default 8, one sentence); a whole reply is all their texts joined"),
    ROW(size, -1, 64, NULL,
        "bytes of text in each event, ASCII (default: words, some of them multibyte)"),
    ROW(words, WORDS_PLAIN, WORDS_ODD, wordings,
        "odd: words with quotes, backslashes, controls, U+2028"),
    ROW(stamp, 0, 1, NULL,
        "event texts are \"t=NANOSECONDS \" of CLOCK_MONOTONIC, filled with dots up to size"),
    ROW(tokens, -1, 0, NULL, "completion tokens reported (default: one for each event)"),
    ROW(prompt_tokens, 11, 0, NULL, "prompt tokens reported, the cached ones included"),
    ROW(cached, 0, 4, NULL, "cached prompt tokens reported"),
    ROW(no_usage, 0, 1, NULL, "usage is never reported"),
    ROW(reasoning, 0, 2, NULL, "this many reasoning events come before the content"),
    ROW(head_ms, 0, 1000, NULL, "wait before the head"),
    ROW(first_ms, 0, 1000, NULL, "wait between head and first content (slow first token)"),
    ROW(gap_ms, 0, 100, NULL, "wait between events"),
    ROW(finish, -1, FINISH_LENGTH, finishes,
        "the finish reason; null: none, as a broken server says it"),
    GROUP("Faults before the head"),
    ROW(hang_head, 0, 1, NULL, "the request is read, nothing is ever answered"),
    ROW(reset_head, 0, 1, NULL, "RST instead of an answer"),
    ROW(close_head, 0, 1, NULL, "FIN instead of an answer"),
    ROW(status, -1, 500, NULL, "an error with this status (a redirect for 3xx)"),
    ROW(retry_after, -1, 1, NULL, "Retry-After in seconds on that error"),
    ROW(form, FORM_DIALECT, FORM_HTML, forms,
        "the error's body; flat: old vLLM, detail: FastAPI, int: code as number"),
    ROW(context, 0, 1, NULL, "400 prompt too long (llama-server's wording, Anthropic's, Ollama's)"),
    ROW(loading, 0, 1, NULL, "503 as llama-server gives while it loads its model"),
    ROW(redirect, 0, 302, NULL, "a redirect with this status to another path here"),
    ROW(head, HEAD_FINE, HEAD_BAD, heads,
        "bad: not HTTP; huge: 256 KB of header; two_lengths: two Content-Length; both: length and "
        "chunked; "
        "cut: FIN inside the head; early: 103 before the real head"),
    GROUP("Faults after the head; k counts the content events sent before it (in a whole reply: k "
          "of events parts)"),
    ROW(hang_body, 0, 1, NULL, "head, then silence"),
    ROW(reset, -1, 0, NULL, "RST after k events"),
    ROW(cut, -1, 0, NULL, "FIN after k events, the body's framing left open"),
    ROW(cut_clean, -1, 0, NULL,
        "the body ends properly after k events, without finish and terminator"),
    ROW(stall, -1, 0, NULL, "silence after k events"),
    ROW(stall_ms, 0, 1000, NULL, "that silence ends after this long (0: never)"),
    ROW(malformed, -1, 0, NULL, "after k events one that is not JSON, then on as usual"),
    ROW(error, -1, 0, NULL, "after k events the dialect's error inside the 200, then the end"),
    ROW(error_done, 0, 1, NULL, "that error is followed by the terminator, as vLLM and LocalAI do"),
    ROW(no_finish, 0, 1, NULL, "no finish reason: all content, then only the terminator"),
    ROW(no_done, 0, 1, NULL, "no terminator ([DONE], message_stop, done:true)"),
    ROW(giant, 0, 1 << 20, NULL, "one event has this many bytes of text"),
    ROW(giant_at, 1, 0, NULL, "which event that is"),
    ROW(html, 0, 1, NULL, "200 with an HTML page"),
    ROW(json_stream, 0, 1, NULL, "a stream is asked for, a whole reply comes"),
    ROW(empty, 0, 1, NULL, "200 with no body at all"),
    ROW(empty_starts, 0, 3, NULL, "this many events without content before the first one with it"),
    ROW(vary_id, 0, 1, NULL, "another id in every chunk (Ollama's /v1 and litellm do that)"),
    GROUP("Bytes on the wire"),
    ROW(framing, FRAME_AUTO, FRAME_CHUNKED, framings,
        "how the body is framed; auto: streams chunked, whole with length"),
    ROW(chunk, 0, 7, NULL, "HTTP chunks of this many bytes, cutting through events"),
    ROW(split, 0, 1, NULL, "this many bytes for each write"),
    ROW(split_us, 50, 1000, NULL, "pause between those writes"),
    ROW(split_utf8, 0, 1, NULL, "a new write inside every multibyte letter"),
    ROW(lines, LINE_LF, LINE_CRLF, line_ends, "line ends of events"),
    ROW(nospace, 0, 1, NULL, "\"data:\" without the space"),
    ROW(merge_data, 0, 1, NULL, "an event's JSON over several data: lines"),
    ROW(pings, 0, 1, NULL, "a comment (OpenAI) or ping event (Anthropic) before every event"),
    ROW(extra, 0, 16, NULL, "this many bytes too many behind a finished reply"),
    GROUP("The connection afterwards"),
    ROW(close, 0, 1, NULL, "Connection: close, and closed"),
    ROW(close_quiet, 0, 1, NULL, "closed after the reply though keep-alive was promised"),
    ROW(stale, 0, 1, NULL, "RST when the next request arrives on this connection"),
#undef ROW
#undef GROUP
};

#define ROWS (sizeof rows / sizeof *rows)

const struct knobs knobs_default = {
    .events = -1,
    .size = -1,
    .tokens = -1,
    .prompt_tokens = 11,
    .finish = -1,
    .status = -1,
    .retry_after = -1,
    .reset = -1,
    .cut = -1,
    .cut_clean = -1,
    .stall = -1,
    .malformed = -1,
    .error = -1,
    .giant_at = 1,
    .split_us = 50,
};

struct rule {
    int64_t n, left; /* n < 0: for ever */
    int64_t ms;      /* > 0: from its first use on for this long */
    uint64_t until_ns;
    char model[128], path[128];
    char knobs[512];
};

#define RULES_MAX 256
static struct rule rules[RULES_MAX];
static size_t rules_used;
static bool rules_loop;
static struct knobs process_default;
static bool process_default_set;

bool knobs_set(struct knobs *k, struct span name, struct span value)
{
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        if (row->name == NULL || !span_is(name, row->name))
            continue;
        int64_t *at = (int64_t *)(void *)((char *)k + row->at);
        if (value.p == NULL) {
            *at = row->bare;
            return true;
        }
        for (int64_t j = 0; row->choices && row->choices[j]; j++)
            if (span_is(value, row->choices[j])) {
                *at = j;
                return true;
            }
        return row->choices == NULL && span_int(value, at);
    }
    return false;
}

bool knobs_parse(struct knobs *k, const char *p, size_t n, struct text *why)
{
    const char *end = p + n;
    bool good = true;
    while (p < end) {
        const char *next = memchr(p, '+', (size_t)(end - p));
        if (next == NULL)
            next = end;
        const char *eq = memchr(p, '=', (size_t)(next - p));
        struct span name = {p, (size_t)((eq ? eq : next) - p)}, value = {0};
        if (eq)
            value = (struct span){eq + 1, (size_t)(next - eq - 1)};
        if (name.n > 0 && !knobs_set(k, name, value)) {
            good = false;
            if (why) {
                text_lit(why, "unknown knob or bad value: ");
                text_add(why, p, (size_t)(next - p));
            }
        }
        p = next + 1;
    }
    return good;
}

static struct rule *rule_for(struct span model, struct span path)
{
    for (int pass = 0; pass < 2; pass++) {
        bool left = false;
        for (size_t i = 0; i < rules_used; i++) {
            struct rule *r = &rules[i];
            if (r->left == 0 || (r->until_ns && now_ns() >= r->until_ns))
                continue;
            left = true;
            /* A rule without a path is for inference alone: probes and lists must not use it up. */
            enum dialect d;
            if (r->path[0] ? !span_is(path, r->path) : !dialect_of(path, &d))
                continue;
            if (r->model[0] &&
                (model.n < strlen(r->model) || memcmp(model.p, r->model, strlen(r->model)) != 0))
                continue;
            if (r->left > 0)
                r->left--;
            if (r->ms > 0 && r->until_ns == 0)
                r->until_ns = now_ns() + (uint64_t)r->ms * 1000000;
            return r;
        }
        if (left || !rules_loop)
            return NULL;
        for (size_t i = 0; i < rules_used; i++) {
            rules[i].left = rules[i].n;
            rules[i].until_ns = 0;
        }
    }
    return NULL;
}

void knobs_choose(struct knobs *k, struct span model, struct span path, struct span header)
{
    *k = process_default_set ? process_default : knobs_default;
    struct rule *rule = rules_used ? rule_for(model, path) : NULL;
    if (rule)
        knobs_parse(k, rule->knobs, strlen(rule->knobs), NULL);
    const char *plus = model.n ? memchr(model.p, '+', model.n) : NULL;
    if (plus) {
        size_t n = model.n - (size_t)(plus + 1 - model.p);
        const char *tag = memchr(plus, ':', n + 1);
        knobs_parse(k, plus + 1, tag ? (size_t)(tag - plus - 1) : n, NULL);
    }
    if (header.n)
        knobs_parse(k, header.p, header.n, NULL);
}

void knobs_reset(void)
{
    rules_used = 0;
    rules_loop = false;
    process_default_set = false;
}

static bool refuse(struct text *why, const char *what, struct span which)
{
    text_str(why, what);
    text_add(why, which.p, which.n);
    return false;
}

static bool rule_add(struct span object, struct text *why)
{
    if (rules_used == RULES_MAX)
        return refuse(why, "too many rules", (struct span){0});
    struct rule *r = &rules[rules_used];
    struct text list = {0};
    *r = (struct rule){.n = 1};
    struct scan s = scan_open(object);
    struct span key, value;
    bool good = true;
    while (good && scan_next(&s, &key, &value)) {
        char word[512];
        size_t n = scan_string(value, word, sizeof word);
        struct knobs trial = knobs_default;
        if (span_is(key, "n")) {
            good = span_int(value, &r->n);
        } else if (span_is(key, "ms")) {
            good = span_int(value, &r->ms);
            r->n = -1;
        } else if (span_is(key, "model")) {
            snprintf(r->model, sizeof r->model, "%.127s", word);
        } else if (span_is(key, "path")) {
            snprintf(r->path, sizeof r->path, "%.127s", word);
        } else if (span_is(key, "knobs")) {
            good = knobs_parse(&trial, word, n, NULL);
            text_lit(&list, "+");
            text_add(&list, word, n);
        } else if (!span_is(value, "false")) {
            struct span v = value.p[0] == '"' ? (struct span){word, n} : value;
            if (span_is(value, "true"))
                v = (struct span){0};
            good = knobs_set(&trial, key, v);
            text_lit(&list, "+");
            text_add(&list, key.p, key.n);
            if (v.p) {
                text_lit(&list, "=");
                text_add(&list, v.p, v.n);
            }
        }
        if (!good)
            refuse(why, "unknown knob or bad value: ", key);
    }
    if (good && (s.bad || list.len >= sizeof r->knobs))
        good = refuse(why, "rule is not an object, or too long", (struct span){0});
    if (good) {
        memcpy(r->knobs, list.data ? list.data : "", list.len);
        r->knobs[list.len] = 0;
        r->left = r->n;
        rules_used++;
    }
    text_free(&list);
    return good;
}

bool knobs_control(struct span body, struct text *why)
{
    struct scan s = scan_open(body);
    struct span key, value;
    while (scan_next(&s, &key, &value)) {
        char word[4096];
        size_t n = scan_string(value, word, sizeof word);
        bool good = true;
        if (span_is(key, "rules")) {
            rules_used = 0;
            struct scan list = scan_open(value);
            struct span none, rule;
            while (good && scan_next(&list, &none, &rule))
                good = rule_add(rule, why);
            if (good && list.bad)
                good = refuse(why, "rules is not a list", (struct span){0});
        } else if (span_is(key, "loop")) {
            rules_loop = span_is(value, "true");
        } else if (span_is(key, "default")) {
            process_default = knobs_default;
            process_default_set = true;
            good = knobs_parse(&process_default, word, n, why);
        } else if (span_is(key, "models")) {
            snprintf(settings.models, sizeof settings.models, "%s", word);
        } else if (span_is(key, "strict")) {
            settings.strict = span_is(value, "true");
        } else if (span_is(key, "refuse")) {
            good = span_int(value, &settings.refuse);
        } else if (span_is(key, "read_bytes")) {
            good = span_int(value, &settings.read_bytes);
        } else if (span_is(key, "slots")) {
            good = span_int(value, &settings.slots);
        } else if (span_is(key, "listen")) {
            good = listening(!span_is(value, "false"));
        } else {
            good = refuse(why, "unknown member: ", key);
        }
        if (!good) {
            if (why->len == 0)
                refuse(why, "bad value for ", key);
            return false;
        }
    }
    return !s.bad || refuse(why, "not a JSON object", (struct span){0});
}

void knobs_help(FILE *f, bool markdown)
{
    if (markdown)
        fputs("| knob | default | bare | what it does |\n|---|---|---|---|\n", f);
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *r = &rows[i];
        char unset[32] = "off", bare[32];
        if (r->name == NULL) {
            fprintf(f, markdown ? "| **%s** | | | |\n" : "\n%s\n", r->doc);
            continue;
        }
        if (r->choices) {
            if (r->unset >= 0)
                snprintf(unset, sizeof unset, "%s", r->choices[r->unset]);
            snprintf(bare, sizeof bare, "%s", r->choices[r->bare]);
        } else {
            if (r->unset > 0)
                snprintf(unset, sizeof unset, "%lld", (long long)r->unset);
            snprintf(bare, sizeof bare, "%lld", (long long)r->bare);
        }
        if (markdown) {
            fprintf(f, "| `%s` | %s | %s | %s", r->name, unset, bare, r->doc);
        } else {
            fprintf(f, "  %-14s %s", r->name, r->doc);
            fprintf(f, " [%s; bare: %s]", unset, bare);
        }
        for (size_t j = 0; r->choices && r->choices[j]; j++)
            fprintf(f, "%s%s", j ? ", " : markdown ? "; one of " : "; one of ", r->choices[j]);
        fputs(markdown ? " |\n" : "\n", f);
    }
}
