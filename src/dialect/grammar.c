/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grammar - is a stream that goes to a caller legal in its dialect?
 *
 *   frame --> [ ended? ] --> JSON --> the dialect's own machine --> c->broken, the first rule that did not hold
 *
 * The rules are those that clients were seen to rely on: openai.md A7 and A12, anthropic.md 7, ollama.md 3 and
 * 4, traps 1 to 11 of translation.md. One file for each dialect: grammar_*.c. Nothing is kept but counts and
 * hashes; arguments that come in pieces go through a scanner that knows its place in the JSON text and no more.
 */
#include "dialect/grammar.h"

/* ---- JSON in pieces ---- */

enum scan_state {
    SCAN_VALUE,       /* a value must come */
    SCAN_FIRST_VALUE, /* ... or the end of the array */
    SCAN_FIRST_KEY,   /* a key must come, or the end of the object */
    SCAN_KEY,
    SCAN_COLON,
    SCAN_NEXT, /* a comma, or the end of what is open */
    SCAN_KEY_TEXT,
    SCAN_TEXT,
    SCAN_WORD,
    SCAN_NUMBER,
    SCAN_DONE
};

/* Inside a string: sub counts what is missing of an escape. */
enum { TEXT_PLAIN, TEXT_ESCAPE, TEXT_HEX_1, TEXT_HEX_2, TEXT_HEX_3, TEXT_HEX_4 };
/* Inside a number: what came last. */
enum { NUM_MINUS, NUM_ZERO, NUM_INT, NUM_DOT, NUM_FRACTION, NUM_E, NUM_SIGN, NUM_EXPONENT };

void grammar_scan_init(struct dialect_scan *s)
{
    *s = (struct dialect_scan){.state = SCAN_VALUE};
}

static bool is_blank(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

static bool in_object(const struct dialect_scan *s)
{
    unsigned level = s->depth - 1;
    return s->depth > 0 && (s->objects[level / 64] >> (level % 64) & 1) != 0;
}

static void after_value(struct dialect_scan *s)
{
    s->state = s->depth > 0 ? SCAN_NEXT : SCAN_DONE;
}

static void scan_open(struct dialect_scan *s, bool object)
{
    uint64_t bit = (uint64_t)1 << (s->depth % 64);
    if (s->depth == JSON_DEPTH_MAX) {
        s->failed = true;
        return;
    }
    if (s->depth == 0)
        s->is_object = object;
    s->objects[s->depth / 64] &= ~bit;
    s->objects[s->depth / 64] |= object ? bit : 0;
    s->depth++;
    s->state = object ? SCAN_FIRST_KEY : SCAN_FIRST_VALUE;
}

static void scan_close(struct dialect_scan *s, char ch)
{
    if (s->depth == 0 || in_object(s) != (ch == '}')) {
        s->failed = true;
        return;
    }
    s->depth--;
    after_value(s);
}

static void scan_begin_value(struct dialect_scan *s, char ch)
{
    s->sub = 0;
    if (ch == '{' || ch == '[') {
        scan_open(s, ch == '{');
    } else if (ch == '"') {
        s->state = SCAN_TEXT;
    } else if (ch == '-' || is_digit(ch)) {
        s->state = SCAN_NUMBER;
        s->sub = ch == '-' ? NUM_MINUS : ch == '0' ? NUM_ZERO : NUM_INT;
    } else if (ch == 't' || ch == 'f' || ch == 'n') {
        s->state = SCAN_WORD;
        s->word = ch == 't' ? "rue" : ch == 'f' ? "alse" : "ull";
    } else {
        s->failed = true;
    }
}

static bool is_hex(char ch)
{
    return is_digit(ch) || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F');
}

static void scan_text(struct dialect_scan *s, char ch)
{
    if (s->sub == TEXT_ESCAPE) {
        s->failed = memchr("\"\\/bfnrtu", ch, 9) == NULL;
        s->sub = ch == 'u' ? TEXT_HEX_1 : TEXT_PLAIN;
    } else if (s->sub >= TEXT_HEX_1) {
        s->failed = !is_hex(ch);
        s->sub = s->sub == TEXT_HEX_4 ? TEXT_PLAIN : s->sub + 1;
    } else if (ch == '\\') {
        s->sub = TEXT_ESCAPE;
    } else if (ch == '"') {
        if (s->state == SCAN_KEY_TEXT)
            s->state = SCAN_COLON;
        else
            after_value(s);
    } else {
        s->failed = (unsigned char)ch < 0x20;
    }
}

/* False: the number ended before this character. */
static bool scan_number(struct dialect_scan *s, char ch)
{
    bool ended =
        s->sub == NUM_ZERO || s->sub == NUM_INT || s->sub == NUM_FRACTION || s->sub == NUM_EXPONENT;
    bool whole = s->sub == NUM_ZERO || s->sub == NUM_INT;
    if (is_digit(ch) && s->sub != NUM_ZERO) {
        if (s->sub == NUM_MINUS)
            s->sub = ch == '0' ? NUM_ZERO : NUM_INT;
        else if (s->sub == NUM_DOT)
            s->sub = NUM_FRACTION;
        else if (s->sub == NUM_E || s->sub == NUM_SIGN)
            s->sub = NUM_EXPONENT;
        return true;
    }
    if (ch == '.' && whole)
        s->sub = NUM_DOT;
    else if ((ch == 'e' || ch == 'E') && (whole || s->sub == NUM_FRACTION))
        s->sub = NUM_E;
    else if ((ch == '+' || ch == '-') && s->sub == NUM_E)
        s->sub = NUM_SIGN;
    else if (ended)
        return false;
    else
        s->failed = true;
    return true;
}

static void scan_word(struct dialect_scan *s, char ch)
{
    s->failed = *s->word != ch;
    if (!s->failed && *++s->word == '\0')
        after_value(s);
}

static void scan_between(struct dialect_scan *s, char ch)
{
    bool may_close =
        s->state == SCAN_NEXT || s->state == SCAN_FIRST_KEY || s->state == SCAN_FIRST_VALUE;
    if (may_close && (ch == '}' || ch == ']')) {
        scan_close(s, ch);
    } else if (s->state == SCAN_VALUE || s->state == SCAN_FIRST_VALUE) {
        scan_begin_value(s, ch);
    } else if (s->state == SCAN_FIRST_KEY || s->state == SCAN_KEY) {
        s->failed = ch != '"';
        s->state = SCAN_KEY_TEXT;
        s->sub = TEXT_PLAIN;
    } else if (s->state == SCAN_COLON) {
        s->failed = ch != ':';
        s->state = SCAN_VALUE;
    } else if (s->state == SCAN_NEXT) {
        s->failed = ch != ',';
        s->state = in_object(s) ? SCAN_KEY : SCAN_VALUE;
    } else {
        s->failed = true; /* something stands behind the value */
    }
}

static void scan_char(struct dialect_scan *s, char ch)
{
    if (s->state == SCAN_TEXT || s->state == SCAN_KEY_TEXT) {
        scan_text(s, ch);
        return;
    }
    if (s->state == SCAN_WORD) {
        scan_word(s, ch);
        return;
    }
    if (s->state == SCAN_NUMBER) {
        if (scan_number(s, ch))
            return;
        after_value(s);
    }
    if (!is_blank(ch))
        scan_between(s, ch);
}

void grammar_scan_feed(struct dialect_scan *s, strv piece)
{
    for (size_t i = 0; i < piece.len && !s->failed; i++)
        scan_char(s, piece.ptr[i]);
}

bool grammar_scan_empty(const struct dialect_scan *s)
{
    return !s->failed && s->depth == 0 && s->state == SCAN_VALUE;
}

bool grammar_scan_whole(struct dialect_scan *s)
{
    grammar_scan_feed(s, STRV(" ")); /* ends a number */
    return !s->failed && s->state == SCAN_DONE;
}

/* ---- what stays the same ---- */

bool grammar_same(uint64_t *kept, strv text)
{
    uint64_t hash = grammar_hash(GRAMMAR_HASH_START, text) | 1; /* never 0 */
    bool same = *kept == 0 || *kept == hash;
    *kept = hash;
    return same;
}

/* FNV-1a: strv_hash() takes a text only whole. */
uint64_t grammar_hash(uint64_t hash, strv piece)
{
    for (size_t i = 0; i < piece.len; i++)
        hash = (hash ^ (unsigned char)piece.ptr[i]) * UINT64_C(1099511628211);
    return hash;
}

/* ---- the front ---- */

void dialect_check_init(struct dialect_check *c, enum llm_dialect d, enum llm_op op)
{
    *c = (struct dialect_check){.dialect = d, .op = op};
}

static void check_root(struct dialect_check *c, strv name, yyjson_val *root)
{
    switch (c->dialect) {
    case LLM_OPENAI:
        grammar_openai(c, name, root);
        break;
    case LLM_ANTHROPIC:
        grammar_anthropic(c, name, root);
        break;
    case LLM_OLLAMA:
        grammar_ollama(c, name, root);
        break;
    case LLM_NATIVE:
        grammar_native(c, name, root);
        break;
    case LLM_RESPONSES:
        grammar_responses(c, name, root);
        break;
    case LLM_DIALECTS:
        break;
    }
}

bool dialect_check_frame(struct dialect_check *c, strv name, strv data, struct arena *scratch)
{
    struct err err = ERR_INIT;
    struct json doc = {.root = NULL};
    if (c->broken != NULL)
        return false;
    if (!must(c, !c->failed, "nothing follows an error") ||
        !must(c, !c->ended, "nothing follows the end mark"))
        return false;
    bool marks = c->dialect == LLM_OPENAI || c->dialect == LLM_NATIVE;
    if (!(marks && strv_eq_cstr(data, "[DONE]"))) {
        bool ok = json_read(&doc, data, scratch, 0, &err);
        if (scratch->failed) /* no memory: nothing is known, so nothing is claimed */
            return true;
        if (!must(c, ok && yyjson_is_obj(doc.root), "every frame is one JSON object"))
            return false;
    }
    check_root(c, name, doc.root);
    return c->broken == NULL;
}

bool dialect_check_end(struct dialect_check *c, bool complete)
{
    if (complete)
        must(c, c->ended && !c->failed, "a complete stream has its end mark");
    else
        must(c, c->failed && !c->ended, "a failed stream ends with the error and no end mark");
    return c->broken == NULL;
}

/* ---- the native door ---- */

static void native_end(struct dialect_check *c, yyjson_val *root)
{
    must(c, strv_eq(json_get_str(root, "delta"), STRV("")), "the last piece has no text");
    must(c, yyjson_is_obj(yyjson_obj_get(root, "metadata")), "the last piece has the metadata");
    must(c, yyjson_obj_get(root, "usage") != NULL, "the last piece has the usage");
    c->finished = true;
}

static void native_calls(struct dialect_check *c, yyjson_val *calls)
{
    size_t i, max;
    yyjson_val *call;
    must(c, calls == NULL || (yyjson_is_arr(calls) && yyjson_arr_size(calls) > 0),
         "calls are null or a list with something in it");
    yyjson_arr_foreach(calls, i, max, call)
    {
        c->calls = true;
        must(c, json_get_str(call, "name").len > 0, "a call has a name");
        must(c, yyjson_is_obj(json_get(call, "arguments")), "arguments of a call are an object");
    }
}

void grammar_native(struct dialect_check *c, strv name, yyjson_val *root)
{
    static const char *const words[] = {"stop", "length", "tool_calls", NULL};
    if (root == NULL) {
        must(c, c->finished, "[DONE] follows a finish_reason");
        c->ended = true;
        return;
    }
    if (strv_eq_cstr(name, "error")) {
        must(c, yyjson_obj_get(root, "detail") != NULL, "an error has a detail");
        must(c, json_get_str(root, "code").len > 0, "an error has a code");
        c->failed = true;
        return;
    }
    must(c, name.len == 0, "only errors have a name");
    must(c, !c->finished, "only [DONE] follows the last piece");
    must(c, json_get_str(root, "delta").ptr != NULL, "delta is a string");
    must(c, grammar_same(&c->id, json_get_str(root, "provider")), "provider stays the same");
    must(c, grammar_same(&c->model, json_get_str(root, "model")), "model stays the same");
    native_calls(c, json_get(root, "tool_calls"));
    yyjson_val *approval = yyjson_obj_get(root, "approval");
    must(c, approval == NULL || json_get_str(approval, "id").len > 0, "what waits has an id");
    yyjson_val *finish = json_get(root, "finish_reason");
    if (finish == NULL)
        return;
    must(c, grammar_one_of(json_str(finish), words), "finish_reason is one of the known words");
    /* A reason that has no word here is told as it came: what was filtered is not to be run. */
    bool other = json_get(json_get(root, "metadata"), "raw_finish_reason") != NULL;
    must(c, !(strv_eq_cstr(json_str(finish), "stop") && c->calls && !other),
         "after a call the finish_reason is tool_calls");
    must(c, !(strv_eq_cstr(json_str(finish), "tool_calls") && !c->calls),
         "finish_reason tool_calls follows a call");
    native_end(c, root);
}
