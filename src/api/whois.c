/* SPDX-License-Identifier: Apache-2.0 */
#include "api/whois.h"

#include <openssl/evp.h>
#include <stdio.h>

#define PATH           "/api/v1/auth/me"
#define ANSWER_MAX     16384
#define QUESTIONS_MAX  64  /* at once: a restart of ours makes everybody ask again */
#define REMEMBERED_MAX 256 /* verdicts; a chat's users, not the world's */
#define DIGEST         32
#define USER_NAME_MAX  64

struct verdict { /* digest all zero: nothing is kept here */
    uint8_t digest[DIGEST];
    int64_t until_us; /* io_now_us() */
    enum whois_verdict verdict;
    char name[USER_NAME_MAX + 1];
};

struct whois {
    struct exchange_env *env;
    size_t open;
    struct verdict kept[REMEMBERED_MAX]; /* by digest; who comes later takes the place */
};

struct whois_question {
    struct whois *w;
    struct snapshot *snapshot;
    const struct whois_conf *conf;
    struct http_call *call;
    struct http_header bearer;
    struct buf header; /* holds the token */
    struct buf answer;
    char user[TOKEN_NAME_MAX + 1];
    int status;
    struct verdict verdict; /* what is to be told and kept */
    struct io_timer timer;
    whois_fn fn;
    void *arg;
};

struct whois *whois_new(struct exchange_env *env)
{
    struct whois *w = mem_zalloc(sizeof *w);
    if (w != NULL)
        w->env = env;
    return w;
}

void whois_free(struct whois *w)
{
    mem_free(w);
}

/* ---- what is remembered ---- */

static bool digest_of(strv token, uint8_t out[DIGEST])
{
    return EVP_Digest(token.ptr, token.len, out, NULL, EVP_sha256(), NULL) == 1;
}

static struct verdict *place_of(struct whois *w, const uint8_t digest[DIGEST])
{
    return &w->kept[digest[0] % REMEMBERED_MAX];
}

static bool recall(struct whois_question *q)
{
    const struct verdict *v = place_of(q->w, q->verdict.digest);
    if (memcmp(v->digest, q->verdict.digest, DIGEST) != 0 ||
        io_now_us(q->w->env->loop) >= v->until_us)
        return false;
    q->verdict = *v;
    return true;
}

static void remember(struct whois_question *q)
{
    if (q->verdict.verdict == WHOIS_NO_ANSWER)
        return;
    q->verdict.until_us = io_now_us(q->w->env->loop) + (int64_t)q->conf->keep_ms * 1000;
    *place_of(q->w, q->verdict.digest) = q->verdict;
}

/* ---- the end of a question ---- */

static void drop(struct whois_question *q)
{
    io_timer_stop(q->w->env->loop, &q->timer);
    http_call_cancel(q->call);
    if (q->header.data != NULL)
        mem_wipe(q->header.data, q->header.cap);
    buf_fini(&q->header);
    buf_fini(&q->answer);
    snapshot_unref(q->snapshot);
    q->w->open--;
    mem_free(q);
}

void whois_cancel(struct whois_question *q)
{
    if (q != NULL)
        drop(q);
}

static void tell(struct whois_question *q)
{
    whois_fn fn = q->fn;
    void *arg = q->arg;
    struct verdict v = q->verdict;
    drop(q);
    fn(arg, v.verdict, v.verdict == WHOIS_MAY ? v.name : "");
}

static void on_time(void *arg)
{
    tell(arg);
}

/* ---- the application's answer ---- */

static bool has_role(const struct whois_conf *conf, strv role)
{
    for (const char *const *r = conf->roles; *r != NULL; r++)
        if (strv_eq_cstr(role, *r))
            return true;
    return false;
}

/* It must speak of the very user whom the token names. */
static enum whois_verdict read_answer(struct whois_question *q)
{
    struct json doc;
    struct arena arena;
    struct err err = ERR_INIT;
    enum whois_verdict verdict = WHOIS_NO_ANSWER;
    arena_init(&arena, 4096, (size_t)16 * ANSWER_MAX);
    if (!q->answer.failed && json_read(&doc, buf_view(&q->answer), &arena, 0, &err) &&
        strv_eq_cstr(json_get_str(doc.root, "id"), q->user)) {
        strv name = utf8_cut(json_get_str(doc.root, "username"), USER_NAME_MAX);
        verdict = yyjson_is_true(json_get(doc.root, "is_active")) &&
                          has_role(q->conf, json_get_str(doc.root, "role"))
                      ? WHOIS_MAY
                      : WHOIS_MAY_NOT;
        snprintf(q->verdict.name, sizeof q->verdict.name, STRV_FMT, (int)name.len,
                 name.ptr != NULL ? name.ptr : "");
    }
    arena_fini(&arena);
    return verdict;
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct whois_question *q = arg;
    q->status = answer->status;
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct whois_question *q = arg;
    buf_put(&q->answer, data, len);
}

/* 404: the user is gone, and with him his token. */
static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct whois_question *q = arg;
    bool whole = how == HTTP_DONE || how == HTTP_DONE_AT_EOF;
    (void)why;
    q->call = NULL;
    if (whole && q->status == 200)
        q->verdict.verdict = read_answer(q);
    else if (whole && (q->status == 401 || q->status == 404))
        q->verdict.verdict = WHOIS_BAD_TOKEN;
    else if (whole && q->status == 403)
        q->verdict.verdict = WHOIS_MAY_NOT;
    remember(q);
    tell(q);
}

/* ---- the question ---- */

static bool send(struct whois_question *q, strv token)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    buf_put_cstr(&q->header, "Bearer ");
    buf_put_strv(&q->header, token);
    q->bearer = (struct http_header){STRV("Authorization"), buf_view(&q->header)};
    struct http_call_spec spec = {.upstream = &q->conf->app,
                                  .method = HTTP_GET,
                                  .path = PATH,
                                  .headers = &q->bearer,
                                  .n_headers = 1};
    q->call = q->header.failed ? NULL : http_call(q->w->env->client, &spec, &ops, q);
    return q->call != NULL;
}

struct whois_question *whois_ask(struct whois *w, const struct whois_conf *conf, strv token,
                                 const struct token *claims, whois_fn fn, void *arg)
{
    struct whois_question *q = w->open < QUESTIONS_MAX ? mem_zalloc(sizeof *q) : NULL;
    if (q == NULL)
        return NULL;
    w->open++;
    q->w = w;
    q->snapshot = snapshot_ref(w->env->snapshot);
    q->conf = conf;
    q->verdict.verdict = WHOIS_NO_ANSWER;
    q->fn = fn;
    q->arg = arg;
    memcpy(q->user, claims->user, sizeof q->user);
    buf_init(&q->header, TOKEN_BYTES_MAX + 16);
    buf_init(&q->answer, ANSWER_MAX);
    if (!digest_of(token, q->verdict.digest)) {
        drop(q);
        return NULL;
    }
    if (recall(q)) {
        io_timer_start(w->env->loop, &q->timer, 0, on_time, q);
        return q;
    }
    if (!send(q, token)) {
        drop(q);
        return NULL;
    }
    io_timer_start(w->env->loop, &q->timer, conf->answer_ms, on_time, q);
    return q;
}
