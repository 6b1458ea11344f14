/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse - one HTTP/1 message, fed in any pieces; llhttp underneath. Private to this folder.
 *
 *   feed -> MORE .. MORE -> HEAD -> feed -> (body to on_body) MORE .. -> MESSAGE
 *              \                               \
 *               BAD, TOO_LARGE, NO_MEMORY       STOPPED (on_body said so)
 *
 * The head is collected in a struct http_head that is lent to the parser until HEAD; one such object per
 * server or client serves nearly all messages, since a head mostly comes in one read.
 *
 * Refused on top of what llhttp refuses: anything that two servers could read differently. A request
 * whose target is not in origin form, with other than exactly one Host, with a Transfer-Encoding other
 * than `chunked`, versions other than 1.0 and 1.1, CONNECT; an answer that is compressed or switches
 * protocols. Trailers and chunk extensions are read over, but count against a limit.
 */
#ifndef HTTP_PARSE_H
#define HTTP_PARSE_H

/* llhttp's enumeration of methods has names that are ours too. */
#define HTTP_DELETE  LLHTTP_DELETE
#define HTTP_GET     LLHTTP_GET
#define HTTP_HEAD    LLHTTP_HEAD
#define HTTP_POST    LLHTTP_POST
#define HTTP_PUT     LLHTTP_PUT
#define HTTP_OPTIONS LLHTTP_OPTIONS
#define HTTP_PATCH   LLHTTP_PATCH
#define HTTP_CONNECT LLHTTP_CONNECT
#include <llhttp.h>
#undef HTTP_DELETE
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_OPTIONS
#undef HTTP_PATCH
#undef HTTP_CONNECT

#include "http/server.h"

struct http_field {
    uint32_t name_at, name_len, value_at, value_len; /* in text */
};

/* A head while it is read, and until its reader has taken what it needs. */
struct http_head {
    struct buf text;   /* the target, then names and values, nothing between them */
    size_t target_len; /* requests only */
    size_t n;
    struct http_field fields[HTTP_HEADERS_MAX];
};

struct http_head *http_head_new(size_t bytes_max);
void http_head_free(struct http_head *h);
/* Ready for the next message; memory that an unusually large head took is given back. */
void http_head_clear(struct http_head *h);
/* Fills out[0 .. n-1] with views into `base`: h's own text or a copy of it. */
void http_head_views(const struct http_head *h, const char *base, struct http_header *out);

enum http_parsed {
    HTTP_PARSED_MORE,    /* all bytes used, the message goes on */
    HTTP_PARSED_HEAD,    /* the head is complete; feed on for the body, also when there is none */
    HTTP_PARSED_MESSAGE, /* the message is complete; bytes not used belong to the next */
    HTTP_PARSED_PAUSED, /* on_body said so; feed the bytes not used again, even if there are none */
    HTTP_PARSED_STOPPED, /* on_body said so */
    HTTP_PARSED_BAD,
    HTTP_PARSED_TOO_LARGE, /* the head, or what came with the chunks besides the body */
    HTTP_PARSED_NO_MEMORY,
};

enum http_body { HTTP_BODY_GO, HTTP_BODY_PAUSE, HTTP_BODY_STOP };
/* Body bytes as they come, dechunked: a view into what is fed. The answer counts for what follows. */
typedef enum http_body (*http_body_fn)(void *arg, const char *data, size_t len);

struct http_parser {
    llhttp_t ll;
    struct http_head *head; /* lent, at the latest before the first feed */
    http_body_fn on_body;
    void *arg;
    size_t left; /* of the head's limit; after it, for extensions and trailers */
    size_t limit;
    enum http_parsed result;
    bool headed;
    bool answer_to_head; /* no body follows, whatever the head says */
    /* Known from HEAD on: */
    bool keep_alive; /* as far as the sender is concerned */
    bool has_length;
    bool chunked;
    bool until_eof; /* the connection's end is the end of the body */
    bool expects_continue;
    uint64_t length; /* of the body if has_length */
};

void http_parser_init(struct http_parser *p, bool answers, struct http_head *head,
                      size_t head_bytes_max, http_body_fn on_body, void *arg);
/* After anything but MORE, HEAD and PAUSED the parser takes nothing more. */
enum http_parsed http_parser_feed(struct http_parser *p, const char *data, size_t len,
                                  size_t *used);
/* The connection has ended cleanly: whether that completes the message. */
bool http_parser_eof(struct http_parser *p);
struct http_head *http_parser_take_head(struct http_parser *p);
enum http_method http_parser_method(const struct http_parser *p);
int http_parser_minor(const struct http_parser *p); /* of HTTP/1.x */
int http_parser_status(const struct http_parser *p);

#endif
