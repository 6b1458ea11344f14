/* SPDX-License-Identifier: Apache-2.0 */
/* internal - what the files of this folder share. Nobody else includes it. */
#ifndef PROVIDER_INTERNAL_H
#define PROVIDER_INTERNAL_H

#include "provider/provider.h"

/* ---- models.c ---- */

struct provider_models *models_new(void);
/* The cell's list from now on; the old one goes when its last reader has done. */
void models_put(struct provider_cell *cell, struct provider_models *m);

/* "2026-05-04T17:37:44.7-07:00" as microseconds since 1970; 0 when it is anything else. */
int64_t model_read_time_us(strv text);
/* A name without the tag that is meant when there is none. */
strv model_without_latest(strv name);
/* What the list `m`, which may be NULL, says of a model, however the configuration spells it; NULL = nothing. */
const struct provider_model *model_find(const struct provider *p, const struct provider_models *m,
                                        strv name);

/* ---- capable.c ---- */

/* Ollama's "capabilities"; false if there are none. */
bool model_read_words(yyjson_val *words, struct provider_model *out);
/* What an item of an OpenAI-like list says besides its name. */
void model_read_openai(yyjson_val *item, struct provider_model *out);
/* All that is known of `model`: its own words (`known` may be NULL), what everybody knows of its kind, and
 * above all the operator's claims. *context is changed only by a claim. */
void model_known(const struct provider *p, strv model, const struct provider_model *known,
                 uint32_t *has, uint32_t *lacks, int64_t *context);
/* has and lacks after `need` was affirmed or denied. */
void model_say(uint32_t *has, uint32_t *lacks, uint32_t need, bool yes);

#endif
