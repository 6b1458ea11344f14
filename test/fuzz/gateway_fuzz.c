/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway - a message of anybody, with the headers that came with it.
 *
 *   lines of "Name: value", an empty line, the message
 *
 * Whatever it is, it is answered exactly once, with JSON or with nothing, and a request's own id. The same bytes are also
 * a state that nobody gave, a session that nobody has, a template and an address.
 */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

struct heard {
    unsigned answers;
};

static void on_message(void *arg, strv text)
{
    const struct heard *h = arg;
    check(h->answers == 0 && text.len > 0);
}

static void on_answer(void *arg, int status, strv text, strv session)
{
    struct heard *h = arg;
    struct arena arena;
    struct json json;
    struct err err = ERR_INIT;
    check(h->answers++ == 0 && session.ptr == NULL);
    check(status == 200 || status == 202 || status == 400 || status == 404);
    check((text.len == 0) == (status == 202));
    arena_init(&arena, 4096, 64 << 20);
    check(text.len == 0 || json_read(&json, text, &arena, 0, &err));
    arena_fini(&arena);
}

static const struct gateway_sink sink = {on_message, on_answer};

/* Nobody gave it, so it opens nothing. */
static void try_secrets(struct gateway *g, strv text)
{
    static const struct gateway_message none = {0};
    struct gateway_call c = {.g = g, .in = &none};
    unsigned can;
    strv out;
    c.m.method = STRV("tools/call");
    arena_init(&c.work, 4096, 64 << 20);
    check(!gateway_unseal(&c, text, &out));
    check(!gateway_session_read(&c, text, &can));
    arena_fini(&c.work);
}

static size_t read_headers(strv *rest, struct http_header headers[8])
{
    size_t n = 0;
    strv line, name;
    while (strv_cut(rest, '\n', &line) && line.len > 0) {
        if (n == 8 || !strv_cut(&line, ':', &name))
            continue;
        headers[n++] = (struct http_header){name, line.ptr != NULL ? line : STRV("")};
    }
    return n;
}

static void try_message(struct gateway *g, strv text, bool http)
{
    struct http_header headers[8];
    struct gateway_message m = {.headers = http ? headers : NULL};
    struct exchange_caller caller = {.request_id = STRV("r"), .record_id = STRV("r")};
    struct heard heard = {0};
    struct arena arena;
    m.n_headers = read_headers(&text, headers);
    if (!http)
        m.n_headers = 0;
    m.text = text.ptr != NULL ? text : STRV("");
    arena_init(&arena, 4096, 64 << 20);
    check(gateway_take(g, &arena, &m, &caller, &sink, &heard) == NULL);
    check(heard.answers == 1);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const others[] = {"generate", "classify", "explain"}; /* they need models */
    static struct exchange_env exchange;
    static struct gateway *g;
    struct err err = ERR_INIT;
    strv text = {(const char *)data, size}, template = text, uri;
    if (g == NULL) {
        exchange.loop = io_loop_new(&err);
        struct gateway_env env = {.exchange = &exchange, .hall = gateway_hall_new(&err)};
        check(exchange.loop != NULL && env.hall != NULL);
        g = gateway_new(&env);
        check(g != NULL);
    }
    if (size == 0)
        return 0;
    try_secrets(g, text);
    if (strv_cut(&template, '\n', &uri) && template.ptr != NULL)
        (void)gateway_address_fits(uri, template);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strv_contains_nocase(text, strv_of(others[i])))
            return 0;
    try_message(g, text, true);
    try_message(g, text, false);
    return 0;
}
