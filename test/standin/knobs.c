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

static const char *const finishes[] = {"stop",  "length", "filter",  "null",
                                       "calls", "pause",  "context", NULL};
static const char *const forms[] = {"dialect", "plain", "html",  "empty", "flat",
                                    "detail",  "int",   "llama", "vllm",  NULL};
static const char *const heads[] = {"fine", "bad", "huge",  "two_lengths",
                                    "both", "cut", "early", NULL};
static const char *const framings[] = {"auto", "length", "chunked", "close", NULL};
static const char *const wordings[] = {"plain", "odd", NULL};
static const char *const line_ends[] = {"lf", "crlf", "cr", NULL};
static const char *const fields[] = {"reasoning_content", "reasoning", "both", NULL};
static const char *const call_texts[] = {"none", "before", "after", NULL};
static const char *const call_indices[] = {"fine", "none", "zero", NULL};
static const char *const call_ids[] = {"fine", "none", "same", "long", "odd", NULL};
static const char *const call_contents[] = {"null", "empty", "absent", NULL};
static const char *const no_calls[] = {"off", "list", "null", NULL};
static const char *const bad_args[] = {"fine",  "truncated", "quotes", "comma",
                                       "words", "array",     NULL};
static const char *const bad_json[] = {"fine", "fence", "truncated", "prose", "mismatch", NULL};
static const char *const usage_places[] = {"start", "delta", "both", "nulls", NULL};
static const char *const usage_forms[] = {"full", "null_details", "no_details", "null", NULL};
static const char *const usage_chunks[] = {"asked", "unasked", "bare", NULL};
static const char *const owners[] = {"standin", "openai", "llamacpp", "vllm",
                                     "localai", "docker", NULL};
static const char *const claudes[] = {"any", "4_5", "4_6", "4_7", "5_5", NULL};
static const char *const id_kinds[] = {"any", "mistral", NULL};
static const char *const any_text[] = {NULL}; /* the value is text; percent signs hide + : and % */

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
    ROW(reasoning, -1, 2, NULL,
        "this many reasoning events come before the content (default: 2 when the request turns "
        "thinking on, in Anthropic's and Ollama's way)"),
    ROW(head_ms, 0, 1000, NULL, "wait before the head"),
    ROW(first_ms, 0, 1000, NULL, "wait between head and first content (slow first token)"),
    ROW(gap_ms, 0, 100, NULL, "wait between events"),
    ROW(finish, -1, FINISH_LENGTH, finishes,
        "the finish reason; null: none, as a broken server says it; calls: also without a call; "
        "pause, context: Anthropic's pause_turn and model_context_window_exceeded"),
    ROW(refusal, 0, 1, NULL,
        "the sentence is a refusal: in `refusal` (OpenAI), with stop_details (Anthropic)"),
    ROW(strange, 0, 1, NULL,
        "what readers must skip comes first: unknown events, deltas and members, choices that are "
        "empty"),
    ROW(nulls, 0, 1, NULL,
        "members that are not used are there as null: refusal, tool_calls, reasoning_content .. "
        "(OpenAI streams)"),
    GROUP("Reasoning"),
    ROW(reasoning_field, FIELD_CONTENT, FIELD_REASONING, fields,
        "where OpenAI-like servers put it; both: the same text in two members"),
    ROW(reasoning_mixed, 0, 1, NULL, "reasoning and content take turns in a stream"),
    ROW(redacted, 0, 1, NULL, "this many redacted_thinking blocks behind the thinking (Anthropic)"),
    ROW(no_signature, 0, 1, NULL,
        "thinking blocks have an empty signature, and no signature_delta (Anthropic)"),
    GROUP("Tools: what comes when the request offers some; a turn that brings results gets text"),
    ROW(call, -1, 1, NULL,
        "this many calls at once (default: one when tool_choice forces it, else none)"),
    ROW(call_name, 0, 0, any_text,
        "the tool called (default: the named one, else the first offered)"),
    ROW(call_args, 0, 0, any_text,
        "the arguments' text (default: made from the schema, what it requires, in reverse order)"),
    ROW(call_text, TEXT_NONE, TEXT_BEFORE, call_texts, "the sentence before or after the calls"),
    ROW(call_fragments, 0, 7, NULL,
        "arguments are streamed in pieces of so many bytes (default: whole; never inside a "
        "letter)"),
    ROW(call_first, 0, 1 << 20, NULL,
        "so many bytes of them already in the first delta (OpenAI; llama-server: 1)"),
    ROW(call_index, INDEX_FINE, INDEX_NONE, call_indices,
        "calls without index, or all with 0 (OpenAI streams, Ollama)"),
    ROW(call_id, ID_FINE, ID_NONE, call_ids,
        "missing; one for all; 80 letters; with letters that Anthropic refuses"),
    ROW(call_args_object, 0, 1, NULL,
        "an object where OpenAI wants a string, a string where Ollama and Anthropic want an "
        "object"),
    ROW(call_args_bad, ARGS_FINE, ARGS_TRUNCATED, bad_args,
        "arguments that are not JSON, or not an object (Ollama, and Anthropic when whole: as a "
        "string)"),
    ROW(call_empty_args, 0, 1, NULL,
        "no arguments: \"\" (OpenAI), no delta (Anthropic), {} (Ollama)"),
    ROW(call_repeat_name, 0, 1, NULL, "id and name again in every fragment (OpenAI)"),
    ROW(call_content, CONTENT_NULL, CONTENT_EMPTY, call_contents,
        "content of an OpenAI message that only calls"),
    ROW(empty_calls, 0, 1, no_calls, "tool_calls: [] or null beside the content (OpenAI, Ollama)"),
    ROW(call_interleave, 0, 1, NULL,
        "the pieces of all calls in turns; in Anthropic streams the blocks overlap"),
    ROW(call_joined, 0, 1, NULL, "all calls in one line (Ollama)"),
    ROW(call_again, 0, 1, NULL, "calls also in a turn that brings results"),
    ROW(ids, IDS_ANY, IDS_MISTRAL, id_kinds,
        "mistral: 400 unless every call's id has nine letters and digits; own ids are so too"),
    GROUP("Answers in JSON, when the request wants one"),
    ROW(json_bad, JSON_FINE, JSON_FENCE, bad_json,
        "in a code fence; cut; with a sentence before it; with the wrong types"),
    GROUP("Usage"),
    ROW(cache_write, 0, 3, NULL, "prompt tokens written to the cache, of prompt_tokens"),
    ROW(reasoning_tokens, -1, 5, NULL,
        "reasoning tokens reported (default: one for each reasoning event)"),
    ROW(usage_at, USAGE_START, USAGE_DELTA, usage_places,
        "where an Anthropic stream tells the input: message_start, message_delta, both; nulls: "
        "null "
        "in the latter"),
    ROW(usage_each, 0, 1, NULL,
        "usage on every chunk (OpenAI), as stream_options.continuous_usage_stats has it"),
    ROW(usage_chunk, CHUNK_ASKED, CHUNK_UNASKED, usage_chunks,
        "the chunk with usage comes unasked; bare: it has no choices member"),
    ROW(usage_form, USAGE_FULL, USAGE_NULL_DETAILS, usage_forms,
        "details null or absent, usage null (OpenAI)"),
    GROUP("Which server this is"),
    ROW(owner, OWNER_STANDIN, OWNER_LLAMACPP, owners,
        "lists, probes, ids, extra members and refusals of this server"),
    ROW(caps, 0, 0, any_text,
        "what the model can do, as Ollama names it: \"completion,tools,thinking\" (default: by the "
        "words think, vision, embed, notools in its name, else completion,tools)"),
    ROW(claude, CLAUDE_ANY, CLAUDE_5_5, claudes,
        "the rules of this generation (default with --strict: by the model's name)"),
    ROW(window, 0, 4096, NULL,
        "400 for prompts with more tokens, at four bytes each (Ollama: only with truncate:false)"),
    ROW(load_ms, 0, 1000, NULL,
        "wait for a model that is not loaded (POST /_control {\"loaded\":\"a,b\"}; Ollama)"),
    ROW(dims, 8, 64, NULL, "numbers in an embedding"),
    ROW(pull_size, 1000000, 0, NULL,
        "bytes of a pulled model; gap_ms, cut, error .. work on its lines"),
    ROW(pull_step, 100000, 0, NULL, "bytes from one line of progress to the next"),
    ROW(pull_missing, 0, 1, NULL, "the model does not exist"),
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
    .reasoning = -1,
    .call = -1,
    .reasoning_tokens = -1,
    .dims = 8,
    .pull_size = 1000000,
    .pull_step = 100000,
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
    char knobs[2048];
};

#define RULES_MAX 256
static struct rule rules[RULES_MAX];
static size_t rules_used;
static bool rules_loop;
static struct knobs process_default;
static bool process_default_set;

/* Texts are kept for ever, once each: tests use a few, and a knob stays one number. */
static char **texts;
static size_t texts_used;

const char *knob_text(int64_t value)
{
    return value > 0 && (size_t)value <= texts_used ? texts[value - 1] : NULL;
}

static int64_t text_keep(struct span value)
{
    char *text = must_alloc(NULL, value.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < value.n; i++) {
        char hex[3] = {0};
        if (value.p[i] == '%' && value.n - i > 2) {
            memcpy(hex, value.p + i + 1, 2);
            text[n++] = (char)strtoul(hex, NULL, 16);
            i += 2;
        } else {
            text[n++] = value.p[i];
        }
    }
    text[n] = 0;
    for (size_t i = 0; i < texts_used; i++)
        if (strcmp(texts[i], text) == 0) {
            free(text);
            return (int64_t)i + 1;
        }
    texts = must_alloc(texts, (texts_used + 1) * sizeof *texts);
    texts[texts_used] = text;
    return (int64_t)++texts_used;
}

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
        if (row->choices == any_text) {
            *at = text_keep(value);
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
            const struct route *route = r->path[0] ? NULL : route_of(path);
            bool inference = route && (route->job == JOB_TALK || route->job == JOB_EMBED);
            if (r->path[0] ? !span_is(path, r->path) : !inference)
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
    settings.loaded_known = settings.vision = settings.sleeping = false;
    settings.remote[0] = 0;
    settings.n_ctx = 4096;
    settings.busy = -1;
    settings.loaded_max = 0;
    server_metric((struct span){0}, (struct span){0});
    pull_forget();
}

static bool refuse(struct text *why, const char *what, struct span which)
{
    text_str(why, what);
    text_add(why, which.p, which.n);
    return false;
}

/* A rule's knobs are kept as one list: what would end the value there is written in hex. */
static void add_hidden(struct text *list, struct span v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '+' || v.p[i] == '%' || v.p[i] == ':') {
            text_lit(list, "%");
            text_hex(list, (unsigned char)v.p[i]);
        } else {
            text_add(list, v.p + i, 1);
        }
    }
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
        char word[2048];
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
                add_hidden(&list, v);
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

static const struct {
    const char *name;
    char *text; /* one of the three */
    bool *flag;
    int64_t *number;
    size_t cap;
} members[] = {
    {"models", settings.models, NULL, NULL, sizeof settings.models},
    {"remote", settings.remote, NULL, NULL, sizeof settings.remote},
    {"loaded", settings.loaded, NULL, NULL, sizeof settings.loaded},
    {"strict", NULL, &settings.strict, NULL, 0},
    {"vision", NULL, &settings.vision, NULL, 0},
    {"sleeping", NULL, &settings.sleeping, NULL, 0},
    {"refuse", NULL, NULL, &settings.refuse, 0},
    {"read_bytes", NULL, NULL, &settings.read_bytes, 0},
    {"slots", NULL, NULL, &settings.slots, 0},
    {"busy", NULL, NULL, &settings.busy, 0},
    {"n_ctx", NULL, NULL, &settings.n_ctx, 0},
    {"loaded_max", NULL, NULL, &settings.loaded_max, 0},
};

static bool control_setting(struct span key, struct span value, const char *word, bool *good)
{
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (!span_is(key, members[i].name))
            continue;
        if (members[i].text)
            snprintf(members[i].text, members[i].cap, "%s", word);
        else if (members[i].flag)
            *members[i].flag = span_is(value, "true");
        else
            *good = span_int(value, members[i].number);
        if (members[i].text == settings.loaded)
            settings.loaded_known = true;
        return true;
    }
    return false;
}

static bool control_metrics(struct span value)
{
    struct scan s = scan_open(value);
    struct span key, number;
    bool good = !s.bad;
    while (good && scan_next(&s, &key, &number))
        good = server_metric(key, number);
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
        } else if (span_is(key, "listen")) {
            good = listening(!span_is(value, "false"));
        } else if (span_is(key, "metrics")) {
            good = control_metrics(value);
        } else if (!control_setting(key, value, word, &good)) {
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
        if (r->choices == any_text) {
            snprintf(bare, sizeof bare, "%s", "none");
        } else if (r->choices) {
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
