/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn - a caller's connection, as server.c (states, limits), intake.c (requests on their way in) and
 * reply.c (replies on their way out) share it. Private.
 *
 *              first byte    head and on_head      body           reply's end      all sent
 *   accept -> IDLE --------> HEAD ---------> BODY ------> SERVE ------------> FLUSH ------> IDLE
 *                             '--- bad, too slow, busy ----^                    '-- closing: gone
 *
 * Whatever happens to the connection itself leads to DEAD. Nothing is freed before the end of the turn:
 * a connection that needs attention then is put on server->todo, and one io_task works that list off.
 */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include "http/parse.h"
#include "http/server.h"

/* Output of one turn. Larger pieces are not copied in here but sent along with what is. */
#define OUT_BYTES        ((size_t)32 * 1024)
#define OUT_DIRECT_BYTES ((size_t)16 * 1024)

enum conn_state { CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_SERVE, CONN_FLUSH, CONN_DEAD, CONN_STATES };

struct http_conn {
    struct list node; /* server->conns */
    struct list todo; /* server->todo */
    struct http_server *server;
    struct io_stream *stream; /* NULL once let go */
    const char *listener;
    struct serving *req; /* NULL between requests */
    struct io_timer timer;
    struct buf input;   /* what came behind the current request */
    uint64_t given;     /* bytes handed to the stream so far */
    uint64_t sent_mark; /* bytes out when the write limit was last looked at */
    enum conn_state state;
    bool closing; /* no further request on this connection */
    bool peer_eof;
    bool writing;  /* the timer watches the progress of output */
    bool braked;   /* reading is off: input is full */
    bool gone_due; /* on_gone is to be called at the end of the turn */
};

/* A request while it is read and answered. */
struct serving {
    struct http_request pub;
    struct http_conn *conn;
    struct http_parser parser;
    char *body; /* pub.body's memory */
    size_t body_len, body_cap;
    struct reply_line *lines, *lines_end; /* headers for the reply to come */
    int64_t announced;                    /* body bytes promised, or HTTP_LENGTH_STREAM */
    uint64_t given;                       /* body bytes given */
    enum http_bad bad;                    /* why the body was stopped */
    /* Takes the connection over at the end of the turn; NULL = it stays HTTP. */
    void (*taken)(struct http_request *req, struct io_stream *s, strv early);
    bool timed; /* the head's limit is running */
    bool lines_failed;
    bool begun;
    bool ended; /* the handler is done with it, or it with the handler */
    bool chunked;
    bool no_body; /* HEAD, 204, 304 */
};

/* Where the replies of a turn are put together. At most one chunk is open, at the end:
 *
 *   start        chunk_at   + SIZE_LINE     len
 *   |--head-------|--room----|--data--------|
 */
struct http_out {
    struct http_conn *owner; /* NULL = empty */
    size_t start, len;
    size_t chunk_at; /* SIZE_MAX = no chunk is open */
    char data[OUT_BYTES];
};

struct http_listener {
    struct http_listener *next;
    struct http_server *server;
    struct io_listener *io; /* NULL once closed */
    char *address;
};

struct http_server {
    struct io_loop *loop;
    struct http_server_opts opts;
    struct http_handlers on;
    struct http_listener *listeners;
    struct io_tls *tls; /* for addresses that begin with "tls:" */
    struct list conns, todo;
    size_t n_conns;
    struct http_head *spare; /* NULL while it is lent to a parser */
    struct io_task task;     /* output and todo, at the end of the turn */
    void (*drained)(void *arg);
    void *drained_arg;
    unsigned depth;    /* how many of our functions are on the stack under the loop */
    uint64_t grace_ms; /* of the drain */
    bool leaving;      /* each reply is its connection's last */
    bool draining, freed;
    int64_t date_s; /* which second `date` is */
    char date[40];  /* "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" */
    struct http_out out;
};

/* server.c */
void http_conn_go(struct http_conn *c, enum conn_state to); /* the only writer of c->state */
void http_conn_attend(struct http_conn *c);                 /* look at it at the end of the turn */
/* Drops the connection without a further word; an unanswered request gets on_gone. */
void http_conn_lost(struct http_conn *c);
void http_conn_reply_ended(struct http_conn *c);
/* Output was given: sees to the limits. */
void http_conn_wrote(struct http_conn *c, size_t bytes);

/* intake.c */
bool http_intake_begin(struct http_conn *c);   /* false: memory is refused */
void http_intake_head(struct http_conn *c);    /* it is complete */
void http_intake_message(struct http_conn *c); /* it is complete */
void http_intake_free(struct http_conn *c);
/* Has the handler say what is wrong; the connection closes after that. */
void http_conn_bad(struct http_conn *c, enum http_bad why);

/* reply.c */
void http_out_flush(struct http_server *s);
void http_out_drop(struct http_conn *c);

#endif
