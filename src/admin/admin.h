/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin - what operators and their machines read: is it alive, can it serve, what does it know of its
 * providers, what has it done. Reads only; never asks a provider while somebody waits.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "agent/agent.h"
#include "base/base.h"
#include "exchange/exchange.h"
#include "http/http.h"
#include "ledger/ledger.h"
#include "provider/provider.h"

struct admin { /* one per worker */
    struct exchange_env *env;
    const struct agent_env *agent; /* NULL = there are no tools */
    /* The effective configuration as text, secrets masked. */
    bool (*put_config)(const void *config, struct buf *out);
    const void *config;
};

/* Rows of app's route table; ctx is the struct admin. */
void admin_healthz(void *ctx, struct http_request *req);
void admin_readyz(void *ctx, struct http_request *req);
void admin_metrics(void *ctx, struct http_request *req);
void admin_providers(void *ctx, struct http_request *req);
void admin_breakers(void *ctx, struct http_request *req);
void admin_stats(void *ctx, struct http_request *req);
void admin_available(void *ctx, struct http_request *req);
void admin_config(void *ctx, struct http_request *req);

/* Health of every provider, as a JSON array. */
void admin_put_providers(const struct exchange_env *env, struct arena *arena, struct buf *b);
/* How things stand, for /router/events: a JSON object. ctx is the struct admin. */
void admin_put_state(void *ctx, struct buf *b);
/* Can anything be served now? reason (may be NULL) gets a constant text when not. */
bool admin_ready(const struct exchange_env *env, const char **reason);

#endif
