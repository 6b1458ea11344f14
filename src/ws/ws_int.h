/* SPDX-License-Identifier: Apache-2.0 */
/* ws_int - what server and client share. Private to the folder. */
#ifndef WS_WS_INT_H
#define WS_WS_INT_H

#include "ws/ws.h"

#define WS_KEY_CHARS    24 /* base64 of 16 bytes */
#define WS_ACCEPT_CHARS 28 /* base64 of a SHA-1 */

/* What answers a key (RFC 6455, 4.2.2); a terminator behind it. */
void ws_accept_of(const char key[WS_KEY_CHARS], char out[WS_ACCEPT_CHARS + 1]);
/* Is the word one of the comma-separated ones? */
bool ws_lists(strv value, const char *word);
/* ws_new() for either side: a client masks what it sends. */
struct ws *ws_make(struct io_loop *loop, struct io_stream *s, strv early,
                   const struct ws_opts *opts, const struct ws_ops *ops, void *arg, bool client);

#endif
