/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key - the rules of an API key as text, and back. One row of key_rules.def per rule; what a kind of rule takes
 * is one function to read it and one case to show it.
 *
 * The text of a rule is the same everywhere: on the command line, in the store, and, but for its type, in JSON.
 */
#include <assert.h>
#include <stddef.h>

#include "policy/policy.h"

#define MICRO        1000000
#define DAY_US       ((int64_t)86400 * MICRO)
#define PATTERNS_MAX 32
#define PATTERN_MAX  200

enum kind { KIND_MODE, KIND_YES, KIND_DOORS, KIND_COUNT, KIND_MONEY, KIND_DATE, KIND_MODELS };

static const struct {
    const char *name;
    enum kind kind;
    size_t at; /* of the member */
    int64_t min, max;
} rows[] = {
#define POLICY_RULE(id, name, kind, member, min, max, value, doc)                                  \
    [POLICY_RULE_##id] = {name, KIND_##kind, offsetof(struct policy_rules, member), min, max},
#include "policy/key_rules.def"
#undef POLICY_RULE
};

static const char *const modes[] = {
    [LLM_MODE_LOCAL] = "local", [LLM_MODE_HYBRID] = "hybrid", [LLM_MODE_CLOUD] = "cloud"};

const char *policy_rule_name(enum policy_rule rule)
{
    assert((size_t)rule < POLICY_RULES);
    return rows[rule].name;
}

/* ---- reading ---- */

static bool expected(struct err *err, enum policy_rule rule, const char *what)
{
    return err_field(err, LLM_ERR_INVALID_REQUEST, rows[rule].name, "%s: expected %s",
                     rows[rule].name, what);
}

static bool read_yes(strv text, bool *out)
{
    *out = strv_eq(text, STRV("yes")) || strv_eq(text, STRV("true")) || strv_eq(text, STRV("on"));
    return *out || strv_eq(text, STRV("no")) || strv_eq(text, STRV("false")) ||
           strv_eq(text, STRV("off"));
}

static bool read_doors(strv text, uint32_t *out)
{
    strv part;
    *out = 0;
    while (strv_cut(&text, ',', &part)) {
        unsigned d = 0;
        while (d < LLM_DIALECTS &&
               !strv_eq_cstr(strv_trim(part), llm_dialect_name((enum llm_dialect)d)))
            d++;
        if (d == LLM_DIALECTS)
            return false;
        *out |= 1u << d;
    }
    return *out != 0;
}

/* "100k", "2M" */
static bool read_count(strv text, int64_t min, int64_t max, int64_t *out)
{
    uint64_t n, times = 1;
    char last = text.len > 0 ? text.ptr[text.len - 1] : '\0';
    if (last == 'k' || last == 'M') {
        times = last == 'k' ? 1000 : 1000000;
        text.len--;
    }
    if (!strv_u64(text, 1, (uint64_t)max / times, &n) || n * times < (uint64_t)min)
        return false;
    *out = (int64_t)(n * times);
    return true;
}

/* Dollars with up to six digits behind the point. */
static bool read_money(strv text, int64_t min, int64_t max, int64_t *out)
{
    strv whole;
    uint64_t dollars, part = 0;
    if (!strv_cut(&text, '.', &whole) || !strv_u64(whole, 0, (uint64_t)max / MICRO, &dollars))
        return false;
    if (text.ptr != NULL) {
        if (text.len > 6 || !strv_u64(text, 0, MICRO - 1, &part))
            return false;
        for (size_t i = text.len; i < 6; i++)
            part *= 10;
    }
    *out = (int64_t)(dollars * MICRO + part);
    return *out >= min && *out <= max;
}

static bool read_date(strv text, int64_t wall_us, int64_t *out)
{
    uint64_t n;
    char last = text.len > 0 ? text.ptr[text.len - 1] : '\0';
    if ((last == 'd' || last == 'h') && strv_u64((strv){text.ptr, text.len - 1}, 1, 100000, &n)) {
        *out = wall_us + (int64_t)n * (last == 'd' ? DAY_US : DAY_US / 24);
        return true;
    }
    int64_t s = timefmt_read_rfc3339(text);
    *out = s * MICRO + (text.len == 10 ? DAY_US : 0); /* a day lasts until the next begins */
    return s > 0;
}

static bool read_models(strv text, char out[POLICY_MODELS_MAX])
{
    strv part;
    size_t at = 0, n = 0;
    while (strv_cut(&text, ',', &part)) {
        part = strv_trim(part);
        if (part.len == 0 || part.len > PATTERN_MAX || ++n > PATTERNS_MAX ||
            at + part.len + 2 > POLICY_MODELS_MAX)
            return false;
        for (size_t i = 0; i < part.len; i++)
            if (part.ptr[i] <= 0x20 || part.ptr[i] > 0x7e)
                return false;
        if (at > 0)
            out[at++] = ',';
        memcpy(out + at, part.ptr, part.len);
        at += part.len;
    }
    out[at] = '\0';
    return at > 0;
}

static bool read_rule(void *member, enum policy_rule rule, strv text, int64_t wall_us,
                      struct err *err)
{
    int64_t min = rows[rule].min, max = rows[rule].max;
    switch (rows[rule].kind) {
    case KIND_MODE:
        return policy_mode_parse(text, member) || expected(err, rule, "local, hybrid or cloud");
    case KIND_YES:
        return read_yes(text, member) || expected(err, rule, "yes or no");
    case KIND_DOORS:
        return read_doors(text, member) ||
               expected(err, rule, "some of openai, responses, anthropic, ollama, native");
    case KIND_COUNT:
        return read_count(text, min, max, member) ||
               err_field(err, LLM_ERR_INVALID_REQUEST, rows[rule].name,
                         "%s: expected a number from %lld to %lld", rows[rule].name, (long long)min,
                         (long long)max);
    case KIND_MONEY:
        return read_money(text, min, max, member) ||
               expected(err, rule, "dollars, as 20 or 2.50, at most 1000000000");
    case KIND_DATE:
        return read_date(text, wall_us, member) ||
               expected(err, rule,
                        "a day, a moment or a time from now, as 2027-01-31, "
                        "2027-01-31T12:00:00Z or 90d");
    case KIND_MODELS:
        break;
    }
    return read_models(text, member) ||
           expected(err, rule,
                    "up to 32 names or patterns without blanks, with commas between, "
                    "500 characters at most");
}

static void clear_rule(struct policy_rules *rules, enum policy_rule rule)
{
    static const struct policy_rules none;
    static const size_t sizes[] = {
        [KIND_MODE] = sizeof none.mode,
        [KIND_YES] = sizeof none.cache,
        [KIND_DOORS] = sizeof none.doors,
        [KIND_COUNT] = sizeof none.concurrent,
        [KIND_MONEY] = sizeof none.budget_day_micro,
        [KIND_DATE] = sizeof none.expires_us,
        [KIND_MODELS] = sizeof none.models,
    };
    memset((char *)rules + rows[rule].at, 0, sizes[rows[rule].kind]);
}

bool policy_rule_set(struct policy_rules *rules, enum policy_rule rule, strv text, int64_t wall_us,
                     struct err *err)
{
    struct policy_rules fresh = *rules; /* a wrong text changes nothing */
    assert((size_t)rule < POLICY_RULES);
    text = strv_trim(text);
    clear_rule(&fresh, rule);
    if (!strv_eq(text, STRV("none")) &&
        !read_rule((char *)&fresh + rows[rule].at, rule, text, wall_us, err))
        return false;
    *rules = fresh;
    return true;
}

static bool find_rule(strv name, enum policy_rule *out)
{
    for (unsigned i = 0; i < POLICY_RULES; i++)
        if (strv_eq_cstr(name, rows[i].name)) {
            *out = (enum policy_rule)i;
            return true;
        }
    return false;
}

bool policy_rules_read(strv text, struct policy_rules *out, struct err *err)
{
    strv line, name;
    enum policy_rule rule;
    *out = (struct policy_rules){.mode = LLM_MODE_UNSET};
    while (strv_cut(&text, '\n', &line)) {
        if (line.len == 0)
            continue;
        if (!strv_cut(&line, '=', &name) || line.ptr == NULL || !find_rule(name, &rule))
            return err_set(err, LLM_ERR_INVALID_REQUEST,
                           "the rule \"%.*s\" of a key is not known to this version",
                           name.len < 64 ? (int)name.len : 64, name.len > 0 ? name.ptr : "");
        if (!policy_rule_set(out, rule, line, 0, err))
            return false;
    }
    return true;
}

/* ---- showing ---- */

static void show_doors(uint32_t doors, struct buf *out)
{
    bool first = true;
    for (unsigned d = 0; d < LLM_DIALECTS; d++) {
        if ((doors & (1u << d)) == 0)
            continue;
        buf_put_cstr(out, first ? "" : ",");
        buf_put_cstr(out, llm_dialect_name((enum llm_dialect)d));
        first = false;
    }
}

static void show_money(int64_t micro, struct buf *out)
{
    char part[8];
    snprintf(part, sizeof part, "%06d", (int)(micro % MICRO));
    size_t n = 6;
    while (n > 0 && part[n - 1] == '0')
        n--;
    buf_put_i64(out, micro / MICRO);
    if (n > 0)
        buf_printf(out, ".%.*s", (int)n, part);
}

void policy_rule_show(const struct policy_rules *rules, enum policy_rule rule, struct buf *out)
{
    assert((size_t)rule < POLICY_RULES);
    const void *member = (const char *)rules + rows[rule].at;
    const int64_t *number = member; /* of the kinds that are one */
    char text[TIMEFMT_MAX];
    switch (rows[rule].kind) {
    case KIND_MODE:
        if (rules->mode != LLM_MODE_UNSET)
            buf_put_cstr(out, modes[rules->mode]);
        break;
    case KIND_YES:
        buf_put_cstr(out, *(const bool *)member ? "yes" : "");
        break;
    case KIND_DOORS:
        show_doors(rules->doors, out);
        break;
    case KIND_COUNT:
        if (*number != 0)
            buf_put_i64(out, *number);
        break;
    case KIND_MONEY:
        if (*number != 0)
            show_money(*number, out);
        break;
    case KIND_DATE:
        if (*number != 0)
            buf_put(out, text, timefmt_rfc3339(text, *number, 0));
        break;
    case KIND_MODELS:
        buf_put_cstr(out, member);
        break;
    }
}

void policy_rules_write(const struct policy_rules *rules, struct buf *out)
{
    struct buf value;
    buf_init(&value, POLICY_MODELS_MAX * 2);
    for (unsigned i = 0; i < POLICY_RULES; i++) {
        buf_clear(&value);
        policy_rule_show(rules, (enum policy_rule)i, &value);
        if (value.failed)
            out->failed = true;
        if (buf_len(&value) > 0)
            buf_printf(out, "%s=%.*s\n", rows[i].name, (int)buf_len(&value), buf_view(&value).ptr);
    }
    buf_fini(&value);
}

static void put_list(struct buf *out, strv list)
{
    strv part;
    bool first = true;
    buf_put_char(out, '[');
    while (strv_cut(&list, ',', &part)) {
        buf_put_cstr(out, first ? "" : ",");
        json_put_str(out, part);
        first = false;
    }
    buf_put_char(out, ']');
}

static void put_value(struct buf *out, enum kind kind, strv text)
{
    if (kind == KIND_DOORS || kind == KIND_MODELS)
        put_list(out, text);
    else if (kind == KIND_YES)
        buf_put_cstr(out, "true");
    else if (kind == KIND_COUNT || kind == KIND_MONEY)
        buf_put_strv(out, text);
    else
        json_put_str(out, text);
}

void policy_rules_json(const struct policy_rules *rules, struct buf *out)
{
    struct buf value;
    buf_init(&value, POLICY_MODELS_MAX * 2);
    for (unsigned i = 0; i < POLICY_RULES; i++) {
        buf_clear(&value);
        policy_rule_show(rules, (enum policy_rule)i, &value);
        if (value.failed)
            out->failed = true;
        if (buf_len(&value) == 0)
            continue;
        buf_put_cstr(out, ",\"");
        for (const char *c = rows[i].name; *c != '\0'; c++)
            buf_put_char(out, *c == '-' ? '_' : *c);
        buf_put_cstr(out, "\":");
        put_value(out, rows[i].kind, buf_view(&value));
    }
    buf_fini(&value);
}

/* ---- what they mean ---- */

bool policy_rules_model(const struct policy_rules *rules, strv name)
{
    strv list = strv_of(rules->models), pattern;
    if (list.len == 0)
        return true;
    while (strv_cut(&list, ',', &pattern))
        if (strv_glob(pattern, name))
            return true;
    return false;
}

bool policy_rules_tool(const struct policy_rules *rules, strv name)
{
    strv list = strv_of(rules->tools), pattern;
    bool listed = true, only = false, fits = false;
    while (listed && list.len > 0 && strv_cut(&list, ',', &pattern)) {
        bool not = strv_starts(pattern, STRV("!"));
        if (not )
            listed = !strv_glob(strv_from(pattern, 1), name);
        else {
            only = true;
            fits = fits || strv_glob(pattern, name);
        }
    }
    return listed && (!only || fits);
}
