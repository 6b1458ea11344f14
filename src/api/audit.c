/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit - the audit over HTTP, for the operator's page: records, newest first, and the check of all of them.
 *
 *   request > thread: files are read > loop: answer
 *
 * Records hold no content (docs/audit.md) and are given as they stand in the files. Files are read off the loops, one
 * request at a time: a check of everything may take a while, and the next one is told to come later.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "api/api_int.h"
#include "api/target.h"
#include "api/wait.h"

#define ANSWER_MAX   ((size_t)64 << 20)
#define LIMIT        100
#define LIMIT_MAX    1000
#define LOOKED_MAX   2000000 /* records that one question reads */
#define PROBLEMS_MAX 1000    /* that are told; all are counted */
#define WORD_MAX     200

static atomic_flag reading = ATOMIC_FLAG_INIT;

struct audit_work {
    struct api_wait wait; /* first */
    struct api *api;
    struct snapshot *snapshot; /* holds opts */
    const struct audit_opts *opts;
    uint64_t since, before, limit;
    char type[64], text[WORD_MAX + 16]; /* as a record has it: "type":"intent", and a part of one */
    uint64_t found, looked, last_seq;
    bool more;
    struct buf answer, problems, remarks;
    uint64_t n_problems, n_remarks;
    struct err err;
};

static void work_free(struct audit_work *w)
{
    atomic_flag_clear(&reading);
    buf_fini(&w->answer);
    buf_fini(&w->problems);
    buf_fini(&w->remarks);
    snapshot_unref(w->snapshot);
    mem_free(w);
}

static void later(struct http_request *req)
{
    api_error(req, LLM_NATIVE, LLM_ERR_RATE_LIMITED, 0, STRV("The audit is being read already."),
              STRV_NONE, 1);
}

/* NULL: the request was answered. */
static struct audit_work *work_new(struct api *api, struct http_request *req)
{
    if (atomic_flag_test_and_set(&reading)) {
        later(req);
        return NULL;
    }
    struct audit_work *w = mem_zalloc(sizeof *w);
    if (w == NULL) {
        atomic_flag_clear(&reading);
        later(req);
        return NULL;
    }
    w->api = api;
    w->snapshot = snapshot_ref(api->env->snapshot);
    w->opts = api->audit;
    buf_init(&w->answer, ANSWER_MAX);
    buf_init(&w->problems, ANSWER_MAX / 4);
    buf_init(&w->remarks, ANSWER_MAX / 4);
    api_wait_begin(&w->wait, req);
    return w;
}

static void on_done(void *arg)
{
    struct audit_work *w = arg;
    struct http_request *req = api_wait_over(&w->wait);
    if (w->err.set)
        LOG(w->api->env->log, LOG_ERROR, "audit_not_read", LOG_C(REASON, w->err.text));
    if (req != NULL)
        http_reply_header(req, "Cache-Control", STRV("no-store"));
    if (req != NULL && (w->err.set || w->answer.failed))
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0,
                  STRV("The audit cannot be read now; the log says why."), STRV_NONE, 0);
    else if (req != NULL)
        http_reply_whole(req, 200, "application/json", buf_view(&w->answer));
    work_free(w);
}

static void begin(struct audit_work *w, void (*run)(void *arg))
{
    struct http_request *req = w->wait.req;
    if (io_work(w->api->env->loop, run, on_done, w))
        return;
    api_wait_over(&w->wait);
    work_free(w);
    later(req);
}

/* ---- records ---- */

static bool has(strv line, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; n > 0 && i + n <= line.len; i++) {
        const char *at = memchr(line.ptr + i, part[0], line.len - i - n + 1);
        if (at == NULL)
            return false;
        if (memcmp(at, part, n) == 0)
            return true;
        i = (size_t)(at - line.ptr);
    }
    return n == 0;
}

/* A record begins with its number. */
static bool read_seq(strv line, uint64_t *seq)
{
    static const strv mark = {"{\"seq\":", 7};
    size_t n = 0;
    if (!strv_starts(line, mark))
        return false;
    strv rest = strv_from(line, mark.len);
    while (n < rest.len && rest.ptr[n] >= '0' && rest.ptr[n] <= '9')
        n++;
    return strv_u64((strv){rest.ptr, n}, 0, UINT64_MAX, seq);
}

static bool take_record(void *arg, strv line)
{
    struct audit_work *w = arg;
    uint64_t seq;
    if (!read_seq(line, &seq) || !utf8_valid(line)) /* the check tells of it */
        return true;
    w->last_seq = w->last_seq > seq ? w->last_seq : seq;
    if (seq <= w->since)
        return false;
    if ((w->before > 0 && seq >= w->before) || !has(line, w->type) || !has(line, w->text)) {
        w->more = ++w->looked == LOOKED_MAX;
        return !w->more;
    }
    if (w->found == w->limit) {
        w->more = true;
        return false;
    }
    if (w->found++ > 0)
        buf_put_char(&w->answer, ',');
    buf_put_strv(&w->answer, line);
    return !w->answer.failed;
}

static void run_records(void *arg)
{
    struct audit_work *w = arg;
    buf_put_cstr(&w->answer, "{\"records\":[");
    (void)audit_each_back(w->opts->dir, take_record, w, &w->err);
    buf_printf(&w->answer, "],\"last_seq\":%llu,\"more\":%s}", (unsigned long long)w->last_seq,
               w->more ? "true" : "false");
}

static bool bad_query(struct err *err, const char *field, const char *what)
{
    return err_field(err, LLM_ERR_INVALID_REQUEST, field, "%s: %s", field, what);
}

static bool read_number(struct http_request *req, const char *name, uint64_t min, uint64_t max,
                        uint64_t *out, struct err *err)
{
    strv text;
    return (target_query(req->query, name, &req->arena, &text) &&
            (text.ptr == NULL || strv_u64(text, min, max, out))) ||
           bad_query(err, name, "this is no number that can be here");
}

static bool is_word(strv text)
{
    bool ok = text.len < 40;
    for (size_t i = 0; ok && i < text.len; i++)
        ok = (text.ptr[i] >= 'a' && text.ptr[i] <= 'z') || text.ptr[i] == '-';
    return ok;
}

static bool read_query(struct audit_work *w, struct http_request *req, struct err *err)
{
    strv type, text;
    w->limit = LIMIT;
    if (!read_number(req, "since", 0, UINT64_MAX, &w->since, err) ||
        !read_number(req, "before", 1, UINT64_MAX, &w->before, err) ||
        !read_number(req, "limit", 1, LIMIT_MAX, &w->limit, err))
        return false;
    if (!target_query(req->query, "type", &req->arena, &type) || !is_word(type))
        return bad_query(err, "type", "a type of records is expected");
    if (!target_query(req->query, "text", &req->arena, &text) || text.len > WORD_MAX)
        return bad_query(err, "text", "at most 200 bytes are expected");
    if (type.len > 0)
        snprintf(w->type, sizeof w->type, "\"type\":\"" STRV_FMT "\"", STRV_ARG(type));
    if (text.len > 0)
        snprintf(w->text, sizeof w->text, STRV_FMT, STRV_ARG(text));
    return true;
}

void api_audit(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct audit_work *w = work_new(api, req);
    if (w == NULL)
        return;
    if (read_query(w, req, &err)) {
        begin(w, run_records);
        return;
    }
    api_wait_over(&w->wait);
    work_free(w);
    api_refuse(api, req, route->door, &err);
}

/* ---- the check ---- */

static void put_problem(struct buf *b, uint64_t n, const struct audit_problem *p)
{
    if (n >= PROBLEMS_MAX)
        return;
    buf_put_cstr(b, n > 0 ? ",{\"file\":" : "{\"file\":");
    json_put_str(b, strv_of(p->file != NULL ? p->file : ""));
    buf_printf(b, ",\"line\":%llu,\"seq\":%llu,\"what\":", (unsigned long long)p->line,
               (unsigned long long)p->seq);
    json_put_str(b, strv_of(p->what));
    buf_put_char(b, '}');
}

static bool on_problem(void *arg, const struct audit_problem *p)
{
    struct audit_work *w = arg;
    put_problem(&w->problems, w->n_problems++, p);
    return true;
}

static void on_remark(void *arg, const struct audit_problem *p)
{
    struct audit_work *w = arg;
    put_problem(&w->remarks, w->n_remarks++, p);
}

static void run_verify(void *arg)
{
    struct audit_work *w = arg;
    struct audit_count c = {0};
    const struct audit_check check = {.dir = w->opts->dir,
                                      .public_key = w->opts->key,
                                      .problem = on_problem,
                                      .remark = on_remark,
                                      .arg = w};
    struct buf *b = &w->answer;
    if (!audit_verify(&check, &c, &w->err))
        return;
    buf_printf(b,
               "{\"ok\":%s,\"records\":%llu,\"files\":%llu,\"checkpoints\":%llu,\"first_seq\":%llu,"
               "\"last_seq\":%llu,\"unsigned_records\":%llu,\"last_hash\":\"",
               c.problems == 0 ? "true" : "false", (unsigned long long)c.records,
               (unsigned long long)c.files, (unsigned long long)c.checkpoints,
               (unsigned long long)c.first_seq, (unsigned long long)c.last_seq,
               (unsigned long long)c.unsigned_records);
    for (size_t i = 0; i < sizeof c.last_hash; i++)
        buf_printf(b, "%02x", c.last_hash[i]);
    buf_put_cstr(b, "\",\"last_time\":");
    if (c.last_time[0] != '\0')
        json_put_str(b, strv_of(c.last_time));
    else
        buf_put_cstr(b, "null");
    buf_put_cstr(b, ",\"problems\":[");
    buf_put_strv(b, buf_view(&w->problems));
    buf_put_cstr(b, "],\"remarks\":[");
    buf_put_strv(b, buf_view(&w->remarks));
    buf_put_cstr(b, "]}");
    b->failed = b->failed || w->problems.failed || w->remarks.failed;
}

void api_audit_verify(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct audit_work *w = work_new(api, req);
    (void)route;
    if (w != NULL)
        begin(w, run_verify);
}
