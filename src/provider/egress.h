/* SPDX-License-Identifier: Apache-2.0 */
/*
 * egress - the one way out. No byte reaches a provider but through egress_call(); tools/check-egress proves
 * that nobody else calls http_call().
 *
 *   bytes to be sent + verdict --egress_seal()--> pass --egress_call()--> http_call()
 *                                    |                        |
 *                      zone cloud: these very bytes      other bytes, another provider,
 *                      are read once more                no address rule, no pass: nothing is sent
 *
 * A pass is bound to the bytes, to the provider and its zone, and to the verdict: by their SHA-256 where they
 * leave the premises, else by where they lie (at home nobody asks twice, and a digest of a long history costs as
 * much as relaying it). The address
 * belongs to it too: the provider's rule (`allow`) is asked for every resolved address, and the connection is
 * made to exactly the address that was asked about (io/connect.c) and that the record of the call names; kept connections are shared only by
 * providers of the same zone and networks.
 *
 * Own questions (lists of models, health) hold no caller's text. They need a pass as well, made by
 * egress_seal_own(), so that the rules about addresses hold for them too.
 */
#ifndef PROVIDER_EGRESS_H
#define PROVIDER_EGRESS_H

#include "base/base.h"
#include "privacy/privacy.h"

struct provider;

struct egress_pass {
    const struct provider *p; /* NULL = not sealed: opens nothing */
    bool leaves;              /* the premises: zone cloud, or a model that is served elsewhere */
    bool read;                /* the bytes were read by the detector and found clean */
    bool own;                 /* this program's own question */
    uint8_t digest[32];       /* SHA-256 of the bytes, if they leave */
    const char *bytes;        /* where they lie, to compare and never to read */
    size_t n_bytes;
};

struct egress_judge {
    const struct privacy *detector; /* NULL: everything is private */
    struct privacy_scratch *scratch;
    bool is_private; /* the verdict so far */
    strv model;      /* the name in the body, if the configuration or the provider told it */
};

enum egress_sealed {
    EGRESS_SEALED,
    EGRESS_PRIVATE, /* `found` says what; nothing is sealed */
    EGRESS_FAILED   /* no digest could be made: memory */
};

/* May this body (JSON) go to `p`? `leaves`: to a model that is served elsewhere though p is local; ignored for
 * a provider of zone cloud, where everything leaves. `found` is filled if the bytes were read. */
enum egress_sealed egress_seal(struct egress_pass *pass, const struct provider *p, bool leaves,
                               strv body, const struct egress_judge *judge,
                               struct privacy_verdict *found);
/* As egress_seal(), for a private body in which `map` has put placeholders: it is read strictly, and may go if what is
 * found is what the map put there and nothing of what it replaced is left. */
enum egress_sealed egress_seal_masked(struct egress_pass *pass, const struct provider *p, strv body,
                                      const struct egress_judge *judge,
                                      const struct pseudonyms *map);
/* A question of our own; its body is made by us from what the provider itself has told, or from the
 * configuration. False: no digest could be made. */
bool egress_seal_own(struct egress_pass *pass, const struct provider *p, strv body);

/* http_call(), if `pass` fits what is to be sent. NULL: *withheld says whether the pass did not fit (nothing
 * was sent, nothing was connected) or memory was refused. `spec` as for http_call(); its upstream is that of
 * pass->p, or a copy of it with another base path. */
struct http_call *egress_call(struct http_client *c, const struct egress_pass *pass,
                              const struct http_call_spec *spec, const struct http_call_ops *ops,
                              void *arg, bool *withheld);

/* A call that egress_call() made with this pass is held on a connection: its bytes go out now. */
void egress_go(const struct egress_pass *pass, struct http_call *call);

#endif
