/* SPDX-License-Identifier: Apache-2.0 */
#include "privacy/privacy.h"

#include <stdio.h>
#include <string.h>

const struct privacy_kind_row privacy_kinds[PRIVACY_KINDS] = {
#define PRIVACY_KIND(id, name, group, doc) {name, doc, PRIVACY_##group},
#include "privacy/kinds.def"
#undef PRIVACY_KIND
};

/* ---- verdicts ---- */

void privacy_verdict_init(struct privacy_verdict *v)
{
    memset(v, 0, sizeof *v);
}

void privacy_verdict_add(struct privacy_verdict *v, enum privacy_kind kind)
{
    v->is_private = true;
    v->counts[kind]++;
}

void privacy_verdict_words(const struct privacy_verdict *v, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < PRIVACY_KINDS && n < size; i++)
        if (v->counts[i] > 0)
            n += (size_t)snprintf(out + n, size - n, "%s%s=%u", n > 0 ? " " : "",
                                  privacy_kinds[i].name, (unsigned)v->counts[i]);
}
