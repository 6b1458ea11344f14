/* SPDX-License-Identifier: Apache-2.0 */
#include "advisor/prose.h"

#include <string.h>

#include "advisor/read.h"

#define MESSAGE_MAX ((size_t)300)
#define TYPES_MAX   32 /* kinds of violations that are told apart */

/* ---- a model's text ---- */

/* What stands at the beginning of a line and is no word: "## ", "- ", "> ", "1. ". */
static strv without_mark(strv line)
{
    size_t i = 0;
    line = strv_trim(line);
    while (i < line.len && strchr("#>-*+", line.ptr[i]) != NULL)
        i++;
    if (i > 0 && i < line.len && strv_is_blank(line.ptr[i]))
        return strv_trim(strv_from(line, i));
    for (i = 0; i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9'; i++)
        ;
    if (i > 0 && i + 1 < line.len && (line.ptr[i] == '.' || line.ptr[i] == ')') &&
        strv_is_blank(line.ptr[i + 1]))
        return strv_trim(strv_from(line, i + 1));
    return line;
}

/* Length of "<b>" or "</p>" at the front; 0 = it is none. "<80 hours" is none. */
static size_t tag_length(strv text)
{
    if (text.len < 3 || text.ptr[0] != '<')
        return 0;
    char c = text.ptr[1];
    if (c != '/' && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z'))
        return 0;
    const char *end = memchr(text.ptr, '>', text.len);
    return end != NULL ? (size_t)(end - text.ptr) + 1 : 0;
}

static void put_plain(strv line, struct buf *out)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];
        size_t tag = tag_length(strv_from(line, i));
        if (tag > 0) {
            i += tag - 1;
        } else if (strv_is_blank((char)c)) {
            strv so_far = buf_view(out);
            if (so_far.len > 0 && so_far.ptr[so_far.len - 1] != ' ')
                buf_put_char(out, ' ');
        } else if (c >= 0x20 && c != 0x7f && c != '*' && c != '`') {
            buf_put_char(out, (char)c);
        }
    }
}

static bool ends_sentence(strv text, size_t i)
{
    return strchr(".!?", text.ptr[i]) != NULL &&
           (i + 1 == text.len || strv_is_blank(text.ptr[i + 1]));
}

/* Not longer than it may be, and with the last sentence that is whole. */
static void put_bounded(strv text, struct buf *out)
{
    strv cut = utf8_cut(text, ADVICE_PROSE_MAX - 3);
    if (cut.len == text.len) {
        buf_put_strv(out, text);
        return;
    }
    for (size_t i = cut.len; i-- > cut.len / 2;)
        if (ends_sentence(cut, i)) {
            buf_put(out, cut.ptr, i + 1);
            return;
        }
    buf_put_strv(out, cut);
    buf_put_cstr(out, "...");
}

/* ---- does it say the opposite of the figures? ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "valid" as a word, and not behind "not": 1; behind it, or "invalid": -1; both, or neither: 0. */
static int says_valid(strv text)
{
    bool yes = false, no = strv_contains_nocase(text, STRV("invalid"));
    for (size_t i = 0; i + 5 <= text.len; i++) {
        strv word = {text.ptr + i, 5};
        if (!strv_eq_nocase(word, STRV("valid")) || (i > 0 && is_letter(text.ptr[i - 1])) ||
            (i + 5 < text.len && is_letter(text.ptr[i + 5])))
            continue;
        size_t back = i < 12 ? i : 12;
        bool denied = strv_contains_nocase((strv){text.ptr + i - back, back}, STRV("not ")) ||
                      strv_contains_nocase((strv){text.ptr + i - back, back}, STRV("n't "));
        yes = yes || !denied;
        no = no || denied;
    }
    return yes == no ? 0 : yes ? 1 : -1;
}

static bool contradicts(strv text, yyjson_val *evaluation)
{
    yyjson_val *valid = json_get(evaluation, "valid");
    int said = says_valid(text);
    return yyjson_is_bool(valid) && said != 0 && (said > 0) != yyjson_get_bool(valid);
}

enum advice_reason advice_prose(strv reply, yyjson_val *evaluation, struct buf *out)
{
    struct buf plain;
    strv rest = advice_after_thoughts(reply), line;
    enum advice_reason why = ADVICE_REASON_OK;
    if (reply.len > ADVICE_REPLY_MAX)
        return ADVICE_REASON_TOO_LARGE;
    buf_init(&plain, ADVICE_REPLY_MAX + 1024);
    while (rest.len > 0 && strv_cut(&rest, '\n', &line)) {
        if (strv_starts(strv_trim(line), STRV("```")))
            continue;
        put_plain(without_mark(line), &plain);
        put_plain(STRV(" "), &plain);
    }
    strv text = strv_trim(buf_view(&plain));
    if (text.len == 0 || plain.failed)
        why = ADVICE_REASON_MODEL_FAILED;
    else if (contradicts(text, evaluation))
        why = ADVICE_REASON_CONTRADICTION;
    else
        put_bounded(text, out);
    buf_fini(&plain);
    return why;
}

/* ---- without a model ---- */

static int gravity(yyjson_val *violation)
{
    static const char *const severities[] = {"low", "medium", "high", "critical"};
    strv word = json_get_str(violation, "severity");
    for (int i = 0; i < 4; i++)
        if (strv_eq_cstr(word, severities[i]))
            return i;
    return -1;
}

static yyjson_val *gravest(yyjson_val *evaluation)
{
    yyjson_val *list = json_get(evaluation, "violations"), *v, *best = NULL;
    size_t i, max;
    if (!yyjson_is_arr(list))
        return NULL;
    yyjson_arr_foreach(list, i, max, v)
    {
        if (best == NULL || gravity(v) > gravity(best))
            best = v;
    }
    return best;
}

void advice_prose_plain(yyjson_val *evaluation, struct buf *out)
{
    double score = 0, coverage;
    int64_t critical = json_get_int(evaluation, "critical_violations", 0);
    bool valid = yyjson_get_bool(json_get(evaluation, "valid"));
    (void)json_is_num(json_get(evaluation, "score"), &score);
    buf_printf(out, "Score %.1f%% (%s).", score * 100, valid ? "Valid" : "Invalid");
    if (json_is_num(json_get(evaluation, "coverage_rate"), &coverage))
        buf_printf(out, " Coverage %.1f%%.", coverage * 100);
    if (critical > 0)
        buf_printf(out, " Critical violations: %lld.", (long long)critical);
    strv message = strv_trim(json_get_str(valid ? NULL : gravest(evaluation), "message"));
    if (message.len > 0) {
        buf_put_cstr(out, " Most severe: ");
        put_plain(utf8_cut(message, MESSAGE_MAX), out);
        if (!strv_ends(buf_view(out), STRV(".")))
            buf_put_char(out, '.');
    }
}

struct kind_count {
    strv type;
    int gravity;
    size_t n;
};

/* The gravest first; among equals the one that occurs most, then the one named first. */
static size_t count_types(yyjson_val *list, struct kind_count kinds[TYPES_MAX], size_t *primary)
{
    size_t i, max, n = 0;
    yyjson_val *v;
    *primary = 0;
    yyjson_arr_foreach(list, i, max, v)
    {
        strv type = json_get_str(v, "type");
        size_t k = 0;
        while (k < n && !strv_eq(kinds[k].type, type))
            k++;
        if (type.ptr == NULL || k == TYPES_MAX)
            continue;
        if (k == n)
            kinds[n++] = (struct kind_count){.type = type, .gravity = -1};
        kinds[k].n++;
        if (gravity(v) > kinds[k].gravity)
            kinds[k].gravity = gravity(v);
    }
    for (i = 1; i < n; i++)
        if (kinds[i].gravity > kinds[*primary].gravity ||
            (kinds[i].gravity == kinds[*primary].gravity && kinds[i].n > kinds[*primary].n))
            *primary = i;
    return n;
}

static bool record_names(yyjson_val *record, strv type)
{
    yyjson_val *types = json_get(record, "violation_types"), *v;
    size_t i, max;
    if (!yyjson_is_arr(types))
        return false;
    yyjson_arr_foreach(types, i, max, v)
    {
        if (strv_eq(json_str(v), type))
            return true;
    }
    return false;
}

/* In how many of the latest rounds, without a gap, has it occurred? */
static size_t rounds_of(yyjson_val *history, strv type)
{
    size_t n = 0, i, max;
    yyjson_val *record;
    if (!yyjson_is_arr(history))
        return 0;
    yyjson_arr_foreach(history, i, max, record)
    {
        n = record_names(record, type) ? n + 1 : 0;
    }
    return n;
}

void advice_findings(yyjson_val *evaluation, yyjson_val *history, struct buf *out)
{
    struct kind_count kinds[TYPES_MAX];
    yyjson_val *list = json_get(evaluation, "violations");
    size_t primary = 0;
    size_t n = yyjson_is_arr(list) ? count_types(list, kinds, &primary) : 0;
    buf_put_cstr(out, "{\"primary\":");
    if (n == 0) {
        buf_put_cstr(out, "null}");
        return;
    }
    json_put_str(out, kinds[primary].type);
    buf_printf(out, ",\"rounds\":%zu,\"counts\":{", rounds_of(history, kinds[primary].type));
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        json_put_str(out, kinds[i].type);
        buf_printf(out, ":%zu", kinds[i].n);
    }
    buf_put_cstr(out, "}}");
}
