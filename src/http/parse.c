/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse - see parse.h. llhttp pauses after the head and after the message, so that nobody outside is
 * called from inside of it but on_body.
 *
 * llhttp checks syntax, exclusive and single Content-Length, line ends, folding and chunk sizes; what it
 * leaves to its user is in check_request() and check_answer().
 */
#include "http/parse.h"

#include <assert.h>

/* A spare head keeps this much; ordinary requests have 0.5 to 2 KB. */
#define TEXT_KEEP_MAX ((size_t)16 * 1024)

static int on_url(llhttp_t *ll, const char *at, size_t len);
static int on_name(llhttp_t *ll, const char *at, size_t len);
static int on_value(llhttp_t *ll, const char *at, size_t len);
static int on_name_end(llhttp_t *ll);
static int on_value_end(llhttp_t *ll);
static int on_extension(llhttp_t *ll, const char *at, size_t len);
static int on_headers_complete(llhttp_t *ll);
static int on_body(llhttp_t *ll, const char *at, size_t len);
static int on_message_complete(llhttp_t *ll);

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_field_complete = on_name_end,
    .on_header_value_complete = on_value_end,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static enum http_parsed fail(struct http_parser *p, enum http_parsed why);
static bool check_request(struct http_parser *p);
static bool check_answer(struct http_parser *p);
static bool check_headers(struct http_parser *p, size_t *hosts);
static strv value_of(const struct http_head *h, size_t i);

/* ---- the head ---- */

struct http_head *http_head_new(size_t bytes_max)
{
    struct http_head *h = mem_alloc(sizeof *h);

    assert(bytes_max <= UINT32_MAX);
    if (h == NULL)
        return NULL;
    buf_init(&h->text, bytes_max);
    h->target_len = h->n = 0;
    return h;
}

void http_head_free(struct http_head *h)
{
    if (h != NULL)
        buf_fini(&h->text);
    mem_free(h);
}

void http_head_clear(struct http_head *h)
{
    if (h->text.cap > TEXT_KEEP_MAX)
        buf_fini(&h->text);
    buf_clear(&h->text);
    h->target_len = h->n = 0;
}

void http_head_views(const struct http_head *h, const char *base, struct http_header *out)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct http_field *f = &h->fields[i];

        out[i].name = (strv){base + f->name_at, f->name_len};
        out[i].value = (strv){base + f->value_at, f->value_len};
    }
}

/* ---- the parser ---- */

void http_parser_init(struct http_parser *p, bool answers, struct http_head *head,
                      size_t head_bytes_max, http_body_fn body, void *arg)
{
    memset(p, 0, sizeof *p);
    llhttp_init(&p->ll, answers ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    p->ll.data = p;
    p->head = head;
    p->limit = p->left = head_bytes_max;
    p->on_body = body;
    p->arg = arg;
}

/* Where one field too many begins, what stands in it does not matter: llhttp tells of a name when it has ended or the
 * bytes have, so how they were cut would decide which of two faults is seen first. */
static enum http_parsed what_is_wrong(const struct http_parser *p)
{
    return !p->headed && p->head->n == HTTP_HEADERS_MAX ? HTTP_PARSED_TOO_LARGE : HTTP_PARSED_BAD;
}

enum http_parsed http_parser_feed(struct http_parser *p, const char *data, size_t len, size_t *used)
{
    llhttp_errno_t rc;
    size_t n = len;

    *used = 0;
    if (!p->headed) {
        n = len < p->left ? len : p->left;
        /* A text cannot be longer than the bytes it comes from, so the callbacks need not look. */
        if (n > 0 && buf_reserve(&p->head->text, n) == NULL)
            return fail(p, HTTP_PARSED_NO_MEMORY);
    }
    p->result = HTTP_PARSED_MORE;
    if (llhttp_get_errno(&p->ll) == HPE_PAUSED)
        llhttp_resume(&p->ll);
    rc = llhttp_execute(&p->ll, data, n);
    if (rc != HPE_OK && rc != HPE_PAUSED)
        return fail(p, p->result != HTTP_PARSED_MORE ? p->result : what_is_wrong(p));
    *used = rc == HPE_OK ? n : (size_t)(llhttp_get_error_pos(&p->ll) - data);
    if (!p->headed) {
        p->left -= *used;
        if (p->left == 0)
            return fail(p, HTTP_PARSED_TOO_LARGE);
    }
    return p->result;
}

bool http_parser_eof(struct http_parser *p)
{
    return p->headed && p->until_eof && llhttp_get_errno(&p->ll) == HPE_OK;
}

struct http_head *http_parser_take_head(struct http_parser *p)
{
    struct http_head *h = p->head;

    p->head = NULL;
    return h;
}

enum http_method http_parser_method(const struct http_parser *p)
{
    switch (p->ll.method) {
    case LLHTTP_GET:
        return HTTP_GET;
    case LLHTTP_HEAD:
        return HTTP_HEAD;
    case LLHTTP_POST:
        return HTTP_POST;
    case LLHTTP_PUT:
        return HTTP_PUT;
    case LLHTTP_DELETE:
        return HTTP_DELETE;
    case LLHTTP_OPTIONS:
        return HTTP_OPTIONS;
    case LLHTTP_PATCH:
        return HTTP_PATCH;
    default:
        return HTTP_OTHER;
    }
}

int http_parser_minor(const struct http_parser *p)
{
    return p->ll.http_minor;
}

int http_parser_status(const struct http_parser *p)
{
    return p->ll.status_code;
}

/* Sticky: llhttp gives the same error at every further call. */
static enum http_parsed fail(struct http_parser *p, enum http_parsed why)
{
    p->ll.error = HPE_USER;
    p->result = why;
    return why;
}

/* ---- what llhttp calls ---- */

static int stop(struct http_parser *p, enum http_parsed why)
{
    p->result = why;
    return HPE_USER;
}

/* Bytes that belong to nobody's data: extensions, trailers. */
static int skip(struct http_parser *p, size_t len)
{
    if (len > p->left)
        return stop(p, HTTP_PARSED_TOO_LARGE);
    p->left -= len;
    return 0;
}

static void collect(struct buf *text, const char *at, size_t len)
{
    assert(len <= text->cap - text->end);
    memcpy(text->data + text->end, at, len);
    text->end += len;
}

static int on_url(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = ll->data;

    collect(&p->head->text, at, len);
    p->head->target_len += len;
    return 0;
}

static int on_name(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = ll->data;

    if (p->headed)
        return skip(p, len);
    if (p->head->n == HTTP_HEADERS_MAX)
        return stop(p, HTTP_PARSED_TOO_LARGE);
    collect(&p->head->text, at, len);
    return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = ll->data;

    if (p->headed)
        return skip(p, len);
    collect(&p->head->text, at, len);
    return 0;
}

static int on_name_end(llhttp_t *ll)
{
    struct http_parser *p = ll->data;

    if (p->headed)
        return skip(p, 1);
    struct http_head *h = p->head;
    struct http_field *f = &h->fields[h->n];
    size_t end = h->n > 0 ? (size_t)f[-1].value_at + f[-1].value_len : h->target_len;

    f->name_at = (uint32_t)end;
    f->name_len = (uint32_t)(buf_len(&h->text) - end);
    f->value_at = (uint32_t)buf_len(&h->text);
    return 0;
}

static int on_value_end(llhttp_t *ll)
{
    struct http_parser *p = ll->data;

    if (p->headed)
        return skip(p, 1);
    struct http_head *h = p->head;
    struct http_field *f = &h->fields[h->n++];

    /* llhttp leaves the blanks before the line's end in. They are dropped from the text too, because
     * the next name begins where this value ends. */
    while (buf_len(&h->text) > f->value_at &&
           (h->text.data[h->text.end - 1] == ' ' || h->text.data[h->text.end - 1] == '\t'))
        h->text.end--;
    f->value_len = (uint32_t)(buf_len(&h->text) - f->value_at);
    return 0;
}

static int on_extension(llhttp_t *ll, const char *at, size_t len)
{
    (void)at;
    return skip(ll->data, len);
}

static int on_headers_complete(llhttp_t *ll)
{
    struct http_parser *p = ll->data;

    ll->upgrade = 0; /* we never upgrade: such a request is a plain one */
    if (p->answer_to_head)
        ll->flags |= F_SKIPBODY;
    p->has_length = (ll->flags & F_CONTENT_LENGTH) != 0;
    p->length = p->has_length ? ll->content_length : 0;
    p->chunked = (ll->flags & F_CHUNKED) != 0;
    p->keep_alive = llhttp_should_keep_alive(ll) != 0;
    p->until_eof = llhttp_message_needs_eof(ll) != 0;
    if (!(ll->type == HTTP_REQUEST ? check_request(p) : check_answer(p)))
        return stop(p, HTTP_PARSED_BAD);
    p->headed = true;
    p->left = p->limit;
    p->result = HTTP_PARSED_HEAD;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = ll->data;

    if (len == 0) /* after a pause at a piece's end */
        return 0;
    switch (p->on_body(p->arg, at, len)) {
    case HTTP_BODY_GO:
        return 0;
    case HTTP_BODY_PAUSE: /* as undici does; the error is taken up again like any other pause */
        p->result = HTTP_PARSED_PAUSED;
        return HPE_PAUSED;
    default:
        return stop(p, HTTP_PARSED_STOPPED);
    }
}

static int on_message_complete(llhttp_t *ll)
{
    struct http_parser *p = ll->data;

    p->result = HTTP_PARSED_MESSAGE;
    return HPE_PAUSED;
}

/* ---- what two servers could read differently ---- */

static strv value_of(const struct http_head *h, size_t i)
{
    return (strv){h->text.data + h->fields[i].value_at, h->fields[i].value_len};
}

/* Where the name begins a Host that a link could be made of: nothing that could end it early. */
static bool host_ok(strv host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];

        if (c <= ' ' || c >= 0x7f || strchr("/\\@?#,<>\"", c) != NULL)
            return false;
    }
    return true;
}

static bool target_ok(strv target)
{
    if (target.len == 0 || target.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];

        if (c <= ' ' || c >= 0x7f || c == '#')
            return false;
    }
    return true;
}

static bool check_request(struct http_parser *p)
{
    const struct http_head *h = p->head;
    size_t hosts;

    if (p->ll.http_major != 1 || p->ll.http_minor > 1 || p->ll.method == LLHTTP_CONNECT)
        return false;
    if (!target_ok((strv){h->text.data, h->target_len}) || !check_headers(p, &hosts))
        return false;
    return hosts == 1 || (hosts == 0 && p->ll.http_minor == 0);
}

static bool check_answer(struct http_parser *p)
{
    size_t hosts;

    if (p->ll.http_major != 1 || p->ll.http_minor > 1)
        return false;
    if (p->ll.status_code < 100 || p->ll.status_code > 599 || p->ll.status_code == 101)
        return false;
    return check_headers(p, &hosts);
}

static bool check_headers(struct http_parser *p, size_t *hosts)
{
    const struct http_head *h = p->head;
    bool answer = p->ll.type == HTTP_RESPONSE;
    size_t lengths = 0, encodings = 0;

    *hosts = 0;
    for (size_t i = 0; i < h->n; i++) {
        strv name = {h->text.data + h->fields[i].name_at, h->fields[i].name_len};
        strv value = value_of(h, i);

        switch (name.len) { /* lengths differ, so nearly all headers cost one comparison */
        case 4:
            if (strv_eq_nocase(name, STRV("Host"))) {
                (*hosts)++;
                if (!answer && !host_ok(value))
                    return false;
            }
            break;
        case 6:
            if (!answer && strv_eq_nocase(name, STRV("Expect")) &&
                strv_eq_nocase(value, STRV("100-continue")))
                p->expects_continue = p->ll.http_minor == 1;
            break;
        case 14:
            lengths += strv_eq_nocase(name, STRV("Content-Length"));
            break;
        case 16:
            if (answer && strv_eq_nocase(name, STRV("Content-Encoding")) &&
                !strv_eq_nocase(value, STRV("identity")))
                return false; /* we asked for identity; a decompressor is one more way to be bombed */
            break;
        case 17:
            if (strv_eq_nocase(name, STRV("Transfer-Encoding"))) {
                encodings++;
                if (!strv_eq_nocase(value, STRV("chunked")) || p->ll.http_minor == 0)
                    return false;
            }
            break;
        }
    }
    return lengths + encodings <= 1 && (encodings == 1) == p->chunked;
}
