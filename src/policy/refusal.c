/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal - nothing is left to ask: which of the reasons is told. What the caller can change comes first, and an
 * explicit choice that policy forbids is said to be one, never changed in silence.
 */
#include "policy/internal.h"

#define NAMES_TOLD_MAX 10

struct told { /* names for a caller who asked for one that is not there */
    struct buf text;
    unsigned n;
};

static void tell(struct told *told, const char *prefix, strv name)
{
    if (name.len == 0 || name.len > 60)
        return;
    told->n++;
    if (told->n > NAMES_TOLD_MAX || buf_len(&told->text) > 200)
        return;
    if (buf_len(&told->text) > 0)
        buf_put_cstr(&told->text, ", ");
    buf_printf(&told->text, "%s%s" STRV_FMT, prefix, prefix[0] != '\0' ? "/" : "", STRV_ARG(name));
}

bool not_found(struct run *run, strv name)
{
    const struct policy_conf *conf = run->conf;
    const struct policy_facts *f = run->facts;
    struct told told = {.n = 0};
    buf_init(&told.text, 400);
    for (size_t i = 0; i < conf->n_roles; i++)
        tell(&told, "", strv_of(conf->roles[i].name));
    for (size_t i = 0; i < f->n_providers; i++) {
        strv model = strv_of(f->providers[i].default_model);
        tell(&told, f->providers[i].name, model.len > 0 ? model : any_model(run, i));
    }
    for (size_t i = 0; i < conf->n_aliases; i++)
        if (strchr(conf->aliases[i].name, '*') == NULL)
            tell(&told, "", strv_of(conf->aliases[i].name));
    name = utf8_cut(name, 64);
    strv list = buf_view(&told.text);
    err_field(run->err, LLM_ERR_MODEL_NOT_FOUND, "model",
              "The model '" STRV_FMT "' does not exist. %s" STRV_FMT "%s", STRV_ARG(name),
              told.n > 0 ? "Available are: auto, " : "No model is known yet.", STRV_ARG(list),
              told.n > NAMES_TOLD_MAX ? ", ..." : "");
    buf_fini(&told.text);
    return false;
}

static bool forbidden(struct run *run)
{
    return err_set(run->err, LLM_ERR_PROVIDER_FORBIDDEN,
                   "Policy does not allow this: the request may only be served locally (%s).",
                   run->local_why);
}

static bool barred(struct run *run)
{
    return err_field(run->err, LLM_ERR_PROVIDER_FORBIDDEN, "model",
                     "The API key does not allow this model.");
}

static bool unheard(struct run *run, strv name)
{
    name = utf8_cut(name, 64);
    return err_field(run->err, LLM_ERR_MODEL_NOT_FOUND, "model",
                     "The model '" STRV_FMT "' is not known: the cloud is sent only names that the "
                     "configuration holds or the provider's own list, which has not come yet.",
                     STRV_ARG(name));
}

bool nothing_left(struct run *run, strv name)
{
    bool chosen = run->plan->explicit_choice;
    if (run->forbidden > 0 && chosen)
        return forbidden(run);
    if (run->barred > 0 && (chosen || name.len > 0))
        return barred(run);
    if (run->too_long > 0)
        return err_field(run->err, LLM_ERR_CONTEXT_TOO_LONG, "messages",
                         "prompt is too long: about %lld tokens > %lld maximum",
                         (long long)run->tokens, (long long)run->context_max);
    if (run->unsupported > 0) {
        const char *field = llm_need_field(run->cannot);
        return err_field(run->err, LLM_ERR_UNSUPPORTED, field,
                         "%s: no provider that may serve this request supports it", field);
    }
    if (run->plan->is_private && !chosen)
        return err_set(run->err, LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE,
                       "The request may only be served locally, and no local provider can.");
    if (run->forbidden > 0)
        return forbidden(run);
    if (run->barred > 0)
        return barred(run);
    if (run->hearsay > 0)
        return unheard(run, name);
    if (run->unknown > 0)
        return err_set(run->err, LLM_ERR_ALL_PROVIDERS_FAILED,
                       "No model server that may serve this request has told which models it has. "
                       "Is it running? `llm-router doctor` tells why.");
    if (name.len == 0)
        return err_set(run->err, LLM_ERR_ALL_PROVIDERS_FAILED, "No provider has a model to offer.");
    if (find_role(run, name) != NULL || find_alias(run, name) != NULL)
        return err_field(run->err, LLM_ERR_MODEL_NOT_FOUND, "model",
                         "None of the models that '" STRV_FMT "' stands for is there.",
                         STRV_ARG(name));
    return not_found(run, name);
}
