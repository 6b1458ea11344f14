/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_audit - the audit: check it, read it, print the key that checks it.
 *
 * verify and show need no configuration when they are told a folder (and verify a public key): an auditor works on a
 * copy. Nothing here writes to the folder.
 */
#include "app/command.h"
#include "app/term.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TELL_MAX  100000 /* problems that are told; more are only counted */
#define PAGE_MAX  ((size_t)64 * 1024 * 1024)
#define FOLLOW_MS 250

/* ---- where ---- */

struct where {
    struct config *config; /* NULL = not needed */
    const char *dir, *key;
};

static bool find(struct cli *cli, bool with_key, struct where *out)
{
    *out = (struct where){.dir = cli->n_words > 1 ? cli->words[1] : NULL,
                          .key = cli->flags[FLAG_PUBLIC_KEY]};
    if (out->dir != NULL && (out->key != NULL || !with_key))
        return true;
    out->config = command_config(cli);
    if (out->config == NULL)
        return false;
    if (out->dir == NULL)
        out->dir = out->config->audit.dir;
    if (out->key == NULL)
        out->key = out->config->audit.key;
    return true;
}

/* ---- verify ---- */

struct telling {
    bool json, color;
    struct buf problems, remarks; /* as JSON, or as text */
    uint64_t n_problems, n_remarks;
};

static void put_problem(struct telling *t, bool wrong, const struct audit_problem *p)
{
    struct buf *b = wrong ? &t->problems : &t->remarks;
    uint64_t n = wrong ? t->n_problems++ : t->n_remarks++;
    if (n >= TELL_MAX)
        return;
    if (t->json) {
        bool first = true;
        buf_put_cstr(b, n > 0 ? ",{" : "{");
        term_json_text(b, &first, "file", strv_of(p->file));
        buf_printf(b, ",\"line\":%llu,\"seq\":%llu", (unsigned long long)p->line,
                   (unsigned long long)p->seq);
        term_json_text(b, &first, "what", strv_of(p->what));
        buf_put_char(b, '}');
        return;
    }
    term_put(b, t->color, wrong ? TERM_BAD : TERM_DIM, wrong ? "wrong: " : "note: ");
    term_clean(b, strv_of(p->file), false);
    if (p->line > 0)
        buf_printf(b, " line %llu", (unsigned long long)p->line);
    if (p->seq > 0)
        buf_printf(b, ", record %llu", (unsigned long long)p->seq);
    buf_put_cstr(b, ": ");
    term_clean(b, strv_of(p->what), false);
    buf_put_char(b, '\n');
}

static bool on_problem(void *arg, const struct audit_problem *p)
{
    put_problem(arg, true, p);
    return true;
}

static void on_remark(void *arg, const struct audit_problem *p)
{
    put_problem(arg, false, p);
}

static void put_hash(struct buf *b, const uint8_t hash[32])
{
    for (size_t i = 0; i < 32; i++)
        buf_printf(b, "%02x", hash[i]);
}

static void put_json(struct buf *b, struct telling *t, const struct audit_count *c)
{
    bool first = true;
    buf_put_char(b, '{');
    term_json_bool(b, &first, "ok", c->problems == 0);
    buf_printf(b, ",\"files\":%llu,\"records\":%llu,\"first\":%llu,\"last\":%llu,\"hash\":\"",
               (unsigned long long)c->files, (unsigned long long)c->records,
               (unsigned long long)c->first_seq, (unsigned long long)c->last_seq);
    put_hash(b, c->last_hash);
    buf_put_char(b, '"');
    term_json_text(b, &first, "time", c->records > 0 ? strv_of(c->last_time) : STRV_NONE);
    buf_printf(b, ",\"signatures\":%llu,\"unsigned\":%llu,\"problems\":[",
               (unsigned long long)c->checkpoints, (unsigned long long)c->unsigned_records);
    buf_put_strv(b, buf_view(&t->problems));
    buf_put_cstr(b, "],\"remarks\":[");
    buf_put_strv(b, buf_view(&t->remarks));
    buf_put_cstr(b, "]}\n");
}

static void put_text(struct buf *b, struct telling *t, const struct audit_count *c)
{
    buf_put_strv(b, buf_view(&t->remarks));
    buf_put_strv(b, buf_view(&t->problems));
    buf_printf(b, "%llu records in %llu files", (unsigned long long)c->records,
               (unsigned long long)c->files);
    if (c->records > 0)
        buf_printf(b, ", %llu to %llu, the last of %s", (unsigned long long)c->first_seq,
                   (unsigned long long)c->last_seq, c->last_time);
    buf_put_cstr(b, "\n");
    if (c->records > 0) {
        buf_printf(b, "last: %llu:", (unsigned long long)c->last_seq);
        put_hash(b, c->last_hash);
        buf_put_char(b, '\n');
    }
    if (c->problems == 0) {
        term_put(b, t->color, TERM_GOOD, "nothing was changed");
        buf_put_char(b, '\n');
    } else {
        buf_printf(b, "%llu ", (unsigned long long)c->problems);
        term_put(b, t->color, TERM_BAD, c->problems == 1 ? "problem" : "problems");
        buf_put_char(b, '\n');
    }
}

/* "1204:9f86d0..." as verify prints it. */
static bool parse_expect(const char *text, struct audit_check *check)
{
    strv rest = strv_of(text), number;
    if (text == NULL)
        return true;
    if (!strv_cut(&rest, ':', &number) || !strv_u64(number, 1, INT64_MAX, &check->expect_seq) ||
        rest.ptr == NULL || rest.len != 64)
        return false;
    for (size_t i = 0; i < 32; i++) {
        int high = strv_hex(rest.ptr[2 * i]), low = strv_hex(rest.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        check->expect_hash[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int audit_verify_command(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct where where;
    struct telling t = {.json = cli->flags[FLAG_JSON] != NULL, .color = cli->color};
    struct audit_check check = {.problem = on_problem, .remark = on_remark, .arg = &t};
    struct audit_count count;
    struct buf out;
    if (!parse_expect(cli->flags[FLAG_EXPECT], &check)) {
        term_error(
            "--expect takes a record's number, a colon and its digest, as verify prints them");
        return EXIT_USAGE;
    }
    if (!find(cli, true, &where))
        return EXIT_USAGE;
    check.dir = where.dir;
    check.public_key = where.key;
    buf_init(&t.problems, PAGE_MAX);
    buf_init(&t.remarks, PAGE_MAX);
    buf_init(&out, PAGE_MAX * 2);
    bool ok = audit_verify(&check, &count, &err);
    if (!ok)
        term_error("%s", err.text);
    else if (t.json)
        put_json(&out, &t, &count);
    else
        put_text(&out, &t, &count);
    buf_fini(&t.problems);
    buf_fini(&t.remarks);
    config_free(where.config);
    if (!ok) {
        buf_fini(&out);
        return EXIT_FAILED;
    }
    return term_write(&out) && count.problems == 0 ? EXIT_OK : EXIT_FAILED;
}

/* ---- show ---- */

struct view {
    struct cli *cli;
    char since[TIMEFMT_MAX], until[TIMEFMT_MAX]; /* "" = any */
    bool json, narrow;                           /* narrow: what is no exchange is not asked for */
    struct arena arena;
    struct buf out;
    bool failed;
};

/* A time as in the records, or its beginning; or how long ago: 90s, 30m, 6h, 7d. */
static bool parse_when(const char *text, char out[TIMEFMT_MAX])
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    strv when = strv_of(text);
    uint64_t n;
    out[0] = '\0';
    if (text == NULL)
        return true;
    if (when.len > 1 && when.len < TIMEFMT_MAX && strspn(text, "0123456789-T:.Z") == when.len &&
        memchr(text, '-', when.len) != NULL) {
        memcpy(out, text, when.len + 1);
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (when.len > 1 && when.ptr[when.len - 1] == units[i].unit &&
            strv_u64((strv){text, when.len - 1}, 0, 1000000000, &n)) {
            int64_t then = (int64_t)time(NULL) - (int64_t)n * units[i].seconds;
            timefmt_rfc3339(out, then > 0 ? then * 1000000 : 0, 6);
            return true;
        }
    return false;
}

static bool flag_fits(const struct view *v, enum flag flag, strv text)
{
    const char *want = v->cli->flags[flag];
    return want == NULL || (text.ptr != NULL && strv_eq_cstr(text, want));
}

/* Of the record itself or of one of its attempts. */
static bool member_fits(const struct view *v, enum flag flag, yyjson_val *record, const char *key)
{
    size_t i, n;
    yyjson_val *one, *attempts = json_get(record, "attempts");
    if (flag_fits(v, flag, json_get_str(record, key)))
        return true;
    yyjson_arr_foreach(attempts, i, n, one)
    {
        if (flag_fits(v, flag, json_get_str(one, key)))
            return true;
    }
    return false;
}

/* Of an exchange or a tool, so that somebody caused it. */
static bool is_call(strv type)
{
    return strv_eq_cstr(type, "exchange") || strv_eq_cstr(type, "intent") ||
           strv_eq_cstr(type, "tool") || strv_eq_cstr(type, "tool-intent");
}

static bool fits(const struct view *v, yyjson_val *r)
{
    strv time = json_get_str(r, "time"), type = json_get_str(r, "type");
    if (time.len < strlen(v->until))
        return false;
    if ((v->since[0] != '\0' && strv_cmp(time, strv_of(v->since)) < 0) ||
        (v->until[0] != '\0' &&
         strv_cmp((strv){time.ptr, strlen(v->until)}, strv_of(v->until)) > 0))
        return false;
    if (!is_call(type))
        return !v->narrow &&
               (v->json || (!strv_eq_cstr(type, "open") && !strv_eq_cstr(type, "checkpoint")));
    return flag_fits(v, FLAG_KEY_ID, json_get_str(r, "key")) &&
           flag_fits(v, FLAG_REQUEST_ID, json_get_str(r, "request")) &&
           flag_fits(v, FLAG_OUTCOME, json_get_str(r, "outcome")) &&
           (member_fits(v, FLAG_PROVIDER, r, "provider") ||
            flag_fits(v, FLAG_PROVIDER, json_get_str(r, "server"))) &&
           member_fits(v, FLAG_ZONE, r, "zone") &&
           (v->cli->flags[FLAG_PRIVATE] == NULL || yyjson_is_true(json_get(r, "private")));
}

static void cell(struct buf *b, strv text, size_t width)
{
    size_t before = buf_len(b);
    term_clean(b, text.len > 0 ? text : STRV("-"), false);
    size_t used = term_width(strv_from(buf_view(b), before));
    do
        buf_put_char(b, ' ');
    while (++used <= width);
}

/* What a record says that is of no exchange. */
static void put_event(struct buf *b, yyjson_val *r)
{
    static const char *const keys[] = {"what", "why", "records", "cut_bytes", "through", "version"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        yyjson_val *v = json_get(r, keys[i]);
        if (v == NULL)
            continue;
        buf_printf(b, "%s ", keys[i]);
        if (yyjson_is_str(v))
            term_clean(b, json_str(v), false);
        else
            buf_put_i64(b, (int64_t)yyjson_get_sint(v));
        buf_put_char(b, ' ');
    }
}

static void put_row(struct view *v, yyjson_val *r)
{
    struct buf *b = &v->out;
    strv time = json_get_str(r, "time"), type = json_get_str(r, "type");
    buf_printf(b, "%9lld  ", (long long)json_get_int(r, "seq", 0));
    cell(b, (strv){time.ptr, time.len > 23 ? 23 : time.len}, 23);
    cell(b, type, 11);
    if (!is_call(type)) {
        put_event(b, r);
        buf_put_char(b, '\n');
        return;
    }
    cell(b, json_get_str(r, "request"), 36);
    cell(b, json_get_str(r, "key"), 14);
    bool tool = json_get(r, "server") != NULL;
    cell(b, json_get_str(r, tool ? "server" : "provider"), 12);
    cell(b, json_get_str(r, tool ? "tool" : "model"), 20);
    cell(b, json_get_str(r, tool ? "approval" : "task"), 15);
    cell(b, yyjson_is_true(json_get(r, "private")) ? STRV("private") : STRV("plain"), 7);
    cell(b, strv_eq_cstr(type, "intent") ? json_get_str(r, "address") : json_get_str(r, "outcome"),
         1);
    buf_put_char(b, '\n');
}

static bool flush(struct view *v)
{
    strv text = buf_view(&v->out);
    bool ok =
        !v->out.failed && (text.len == 0 || fwrite(text.ptr, 1, text.len, stdout) == text.len);
    buf_clear(&v->out);
    v->failed = v->failed || !ok;
    return ok;
}

static bool show_line(void *arg, strv line)
{
    struct view *v = arg;
    struct json doc;
    struct err err = ERR_INIT;
    arena_reset(&v->arena);
    if (!json_read(&doc, line, &v->arena, 0, &err))
        return true; /* verify tells of it */
    if (!fits(v, doc.root))
        return true;
    if (v->json) {
        buf_put_strv(&v->out, line);
        buf_put_char(&v->out, '\n');
    } else {
        put_row(v, doc.root);
    }
    return buf_len(&v->out) < 65536 || flush(v);
}

static bool show_all(struct view *v, const char *dir)
{
    struct audit_place place = {0};
    struct err err = ERR_INIT;
    const struct timespec pause = {0, FOLLOW_MS * 1000000L};
    do {
        if (!audit_each(dir, &place, show_line, v, &err)) {
            term_error("%s", err.text);
            return false;
        }
        if (!flush(v) || fflush(stdout) != 0)
            return false;
    } while (v->cli->flags[FLAG_FOLLOW] != NULL && nanosleep(&pause, NULL) == 0);
    return true;
}

static int audit_show_command(struct cli *cli)
{
    struct where where;
    struct view v = {.cli = cli, .json = cli->flags[FLAG_JSON] != NULL};
    static const enum flag narrow[] = {FLAG_KEY_ID,   FLAG_REQUEST_ID, FLAG_OUTCOME,
                                       FLAG_PROVIDER, FLAG_ZONE,       FLAG_PRIVATE};
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++)
        v.narrow = v.narrow || cli->flags[narrow[i]] != NULL;
    if (!parse_when(cli->flags[FLAG_SINCE], v.since) ||
        !parse_when(cli->flags[FLAG_UNTIL], v.until)) {
        term_error(
            "a time is written as 2026-11-22, 2026-11-22T15:00, or how long ago: 30m, 6h, 7d");
        return EXIT_USAGE;
    }
    if (!find(cli, false, &where))
        return EXIT_USAGE;
    arena_init(&v.arena, 16384, 1 << 22);
    buf_init(&v.out, PAGE_MAX);
    bool ok = show_all(&v, where.dir);
    arena_fini(&v.arena);
    buf_fini(&v.out);
    config_free(where.config);
    return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- key ---- */

/* The key that is to follow, made at its place beside the present one; a second time it is the same one. */
static bool make_next(const char *key, struct buf *pem, struct err *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s" AUDIT_KEY_NEXT, key) >= (int)sizeof path)
        return err_set(err, 0, "audit.key: the path is too long");
    return audit_public_key(path, true, pem, err);
}

static int audit_key_command(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct buf pem, out;
    bool rotate = cli->n_words == 2;
    if (rotate && strcmp(cli->words[1], "rotate") != 0)
        return command_usage_error(cli);
    struct config *config = command_config(cli);
    if (config == NULL)
        return EXIT_USAGE;
    buf_init(&pem, 4096);
    buf_init(&out, 8192);
    bool ok = audit_public_key(config->audit.key, false, &pem, &err);
    if (ok && rotate) {
        buf_clear(&pem);
        ok = make_next(config->audit.key, &pem, &err);
        if (ok)
            fputs("the router takes it at its next reload (SIGHUP) or start\n", stderr);
    }
    config_free(config);
    if (!ok) {
        term_error("%s%s", err.text, rotate ? "" : "; the router makes it when it starts");
    } else if (cli->flags[FLAG_JSON] != NULL) {
        bool first = true;
        buf_put_char(&out, '{');
        term_json_text(&out, &first, "public_key", buf_view(&pem));
        buf_put_cstr(&out, "}\n");
    } else {
        buf_put_strv(&out, buf_view(&pem));
    }
    buf_fini(&pem);
    if (ok)
        return term_write(&out) ? EXIT_OK : EXIT_FAILED;
    buf_fini(&out);
    return EXIT_FAILED;
}

/* ---- */

static const struct {
    const char *name;
    size_t words; /* at most, with its own */
    int (*run)(struct cli *cli);
} verbs[] = {
    {"verify", 2, audit_verify_command},
    {"show", 2, audit_show_command},
    {"key", 2, audit_key_command},
};

int command_audit(struct cli *cli)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(cli->words[0], verbs[i].name) == 0 && cli->n_words <= verbs[i].words)
            return verbs[i].run(cli);
    return command_usage_error(cli);
}
