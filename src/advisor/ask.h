/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask - one question put to a model: an exchange like any other, private and local whatever its text.
 *
 *   advisor_ask() ... done(): answered, its text in `reply`; or not, and `why` says why
 *
 * The answer is bound to the question's JSON Schema where the server can do that, and read with care in any case, so its
 * form is not checked on the way. The question's time includes everything: waiting for a place, loading a model.
 */
#ifndef ADVISOR_ASK_H
#define ADVISOR_ASK_H

#include "advisor/check.h"
#include "advisor/conf.h"
#include "exchange/exchange.h"

struct advisor_ask {
    /* the asker's to set */
    struct exchange_env *env;
    const struct advisor_conf *conf;
    struct arena *arena; /* must live until done(), and a turn longer */
    struct exchange_caller caller;
    enum advice_question question;
    yyjson_val *asked;                   /* the question's data, an object */
    strv model;                          /* asked for by name; "" = the configuration's */
    uint64_t ms;                         /* its time */
    void (*done)(struct advisor_ask *a); /* once; not after advisor_ask_gone() */
    void *arg;

    /* the outcome */
    bool answered;
    enum advice_reason why; /* not answered: NO_MODEL, MODEL_FAILED, TIMEOUT, TOO_LARGE */
    int error;              /* enum llm_error of the exchange; 0 = none */
    uint64_t retry_after_s;
    struct buf reply;
    const char *provider; /* NULL = nobody was asked */
    strv from;            /* model that answered; STRV_NONE */
    size_t attempts;
    const struct template *template;
    int64_t started_us, us;

    struct arena request; /* private from here on */
    struct llm_request r;
    struct exchange *x;
    bool over;
};
/* False: no memory; done() is not called. It may be called before this returns. */
bool advisor_ask(struct advisor_ask *a);
/* Nobody waits for it any more. */
void advisor_ask_gone(struct advisor_ask *a);
/* In any case at the end. */
void advisor_ask_fini(struct advisor_ask *a);

#endif
