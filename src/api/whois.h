/* SPDX-License-Identifier: Apache-2.0 */
/*
 * whois - may somebody chat? His token does not say; the application that gave it does.
 *
 *   token --GET /api/v1/auth/me, the token as bearer--> {"id","username","role","is_active"} --> verdict
 *
 * Only the application knows of revoked tokens and changed roles, so what it said is good for a minute at most. When it does
 * not answer nobody is let in and nobody sent away: the caller is to come again. One worker's; its thread.
 */
#ifndef API_WHOIS_H
#define API_WHOIS_H

#include "api/api.h"
#include "api/token.h"

enum whois_verdict {
    WHOIS_MAY,
    WHOIS_MAY_NOT,   /* his role, or he is not active any more */
    WHOIS_BAD_TOKEN, /* the application does not take it */
    WHOIS_NO_ANSWER
};

struct whois;
struct whois *whois_new(struct exchange_env *env); /* NULL: no memory */
void whois_free(struct whois *w);                  /* no question may be open; NULL is fine */

/* name: what he is called there, "" where he may not. */
typedef void (*whois_fn)(void *arg, enum whois_verdict verdict, const char *name);
struct whois_question;
/* conf is of the environment's present snapshot, which is held meanwhile. fn comes once, never from inside. NULL: no memory,
 * or too many are asked already; then it does not come. */
struct whois_question *whois_ask(struct whois *w, const struct whois_conf *conf, strv token,
                                 const struct token *claims, whois_fn fn, void *arg);
void whois_cancel(struct whois_question *q); /* fn does not come; NULL is fine */

#endif
