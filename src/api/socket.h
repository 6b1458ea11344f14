/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket - the doors to conversations: a WebSocket on one side, a seat of a session (chat/seat.h) on the other.
 *
 *   request > 101 > ws --text--> seat        who may not come in is let in and then sent away with a code, for a browser
 *                      <-frame--             tells a refused upgrade from a dead server by nothing
 *
 *   ASKING   the application is asked who he is (scheduler.c); what he says waits
 *   OPEN     to and fro
 *   LEAVING  his key's rules were changed: the answer that runs is finished, then 1001, and he comes again with the new ones
 *   GONE     closed from here or there; the seat rises, and is waited for
 *
 * That a login ends in the middle of an answer, or the router stops, is the session's own matter.
 *
 * Who does not read what he is sent is closed with 1013: nobody else in the session waits for him.
 */
#ifndef API_SOCKET_H
#define API_SOCKET_H

#include "api/api_int.h"
#include "api/whois.h"
#include "ws/ws.h"

enum { /* besides RFC 6455's */
       SOCKET_NOT_LOGGED_IN = 4001,
       SOCKET_FORBIDDEN = 4003
};

/* What a request wants, found out before the upgrade; in the request's arena until the connection is taken. */
struct socket_wish {
    struct chat_sit sit;
    unsigned code; /* not 0: he is sent away with it */
    const char *reason;
    bool
        by_token; /* the application is to be asked about `claims`, and he understands only what its client does */
    strv token;
    struct token claims;
};
void socket_open(struct api *api, struct http_request *req, const struct socket_wish *wish);

/* Asks the application; as whois_ask(). */
struct whois_question *socket_whois(struct api *api, strv token, const struct token *claims,
                                    whois_fn fn, void *arg);

/* Session names that are taken: 8 to 64 letters, digits and -. */
bool socket_name_ok(strv name);

#endif
