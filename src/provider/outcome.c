/* SPDX-License-Identifier: Apache-2.0 */
/* outcome - the tables of outcomes and kinds, and what a status or a broken connection means. */
#include <assert.h>

#include "provider/provider.h"

enum { LLM_ERR_OK = LLM_OK }; /* so that every row reads the same */

static const struct outcome_row rows[OUTCOMES] = {
#define OUTCOME(id, name, counts, next, error, doc)                                                \
    [OUTCOME_##id] = {name, counts, NEXT_##next, LLM_ERR_##error, doc},
#include "provider/outcomes.def"
#undef OUTCOME
};

const struct outcome_row *outcome_row(enum outcome o)
{
    assert(o < OUTCOMES);
    return &rows[o];
}

/* 404, 405: where an error of the model would say so. Anything else is a wrong base URL, or something
 * at the address that is no model server. */
static enum outcome of_missing(const struct dialect_failure *failure)
{
    return failure->model_missing ? OUTCOME_MODEL_MISSING : OUTCOME_MALFORMED;
}

static enum outcome of_5xx(int status, const struct dialect_failure *failure)
{
    if (failure->loading)
        return OUTCOME_LOADING;
    if (failure->caller_fault)
        return OUTCOME_REJECTED;
    return status == 503 || status == 529 ? OUTCOME_HTTP_OVERLOADED : OUTCOME_HTTP_5XX;
}

enum outcome outcome_of_status(int status, const struct dialect_failure *failure)
{
    if (status < 300 || status > 599) /* 204, 206, 999: nothing that could be an answer */
        return OUTCOME_MALFORMED;
    if (status < 400)
        return OUTCOME_REDIRECT;
    if (failure->context_too_long)
        return OUTCOME_CONTEXT_TOO_LONG;
    if (failure->incapable)
        return OUTCOME_INCAPABLE;
    if (status >= 500)
        return of_5xx(status, failure);
    switch (status) {
    case 401:
    case 402:
    case 403:
    case 407:
        return OUTCOME_AUTH;
    case 404:
    case 405:
        return of_missing(failure);
    case 408:
        return OUTCOME_HTTP_408;
    case 429:
        return OUTCOME_HTTP_429;
    default: /* llama-server's router mode and LocalAI say 400 of a missing model */
        return failure->model_missing ? OUTCOME_MODEL_MISSING : OUTCOME_REJECTED;
    }
}

static enum outcome of_connect(enum io_end why)
{
    switch (why) {
    case IO_REFUSED:
        return OUTCOME_CONNECT_REFUSED;
    case IO_TIMEOUT:
        return OUTCOME_CONNECT_TIMEOUT;
    case IO_DNS:
        return OUTCOME_DNS;
    case IO_TLS:
        return OUTCOME_TLS;
    case IO_NOT_ALLOWED:
        return OUTCOME_NOT_LOCAL;
    case IO_NO_MEMORY: /* ours, memory or descriptors: no fault of the provider */
        return OUTCOME_NO_MEMORY;
    default:
        return OUTCOME_CONNECT_FAILED;
    }
}

enum outcome outcome_of_end(enum http_end how, enum io_end why, bool head_seen)
{
    switch (how) {
    case HTTP_DONE:
    case HTTP_DONE_AT_EOF:
        return OUTCOME_OK;
    case HTTP_CUT:
    case HTTP_RESET:
        return head_seen ? OUTCOME_CUT : OUTCOME_RESET;
    case HTTP_CONNECT:
        return of_connect(why);
    case HTTP_NO_MEMORY:
        return OUTCOME_NO_MEMORY;
    case HTTP_MALFORMED:
    case HTTP_ENDS:
        break;
    }
    return OUTCOME_MALFORMED;
}

/* ---- kinds and states ---- */

static const char *const kinds[PROVIDER_KINDS] = {
    [PROVIDER_OPENAI] = "openai",
    [PROVIDER_OLLAMA] = "ollama",
    [PROVIDER_ANTHROPIC] = "anthropic",
    [PROVIDER_LLAMA_SERVER] = "llama-server",
};

const char *provider_kind_name(enum provider_kind k)
{
    assert(k < PROVIDER_KINDS);
    return kinds[k];
}

bool provider_kind_parse(strv name, enum provider_kind *out)
{
    for (int k = 0; k < PROVIDER_KINDS; k++)
        if (strv_eq_cstr(name, kinds[k])) {
            *out = (enum provider_kind)k;
            return true;
        }
    return false;
}

const char *breaker_state_name(enum breaker_state s)
{
    static const char *const names[] = {"closed", "open", "half_open"};
    assert((size_t)s < sizeof names / sizeof *names);
    return names[s];
}
