/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models - a provider's list of models, which is any server's bytes.
 *
 *   first byte   which kind of provider
 *   the rest     the answer
 *
 * A list that is taken holds sound names, each of which the provider then owns; one that is refused
 * says why and leaves the cell as it was.
 */
#include <stdint.h>
#include <stdlib.h>

#include "provider/provider.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_model(const struct provider *p, const struct provider_model *m)
{
    struct arena arena;
    strv exact, name = strv_of(m->name);
    bool remote;
    arena_init(&arena, 1024, 65536);
    check(name.len > 0 && name.len <= 256 && utf8_valid(name));
    check(m->context >= 0 && m->size_bytes >= 0 && m->modified_us >= 0 && m->output_max >= 0);
    check(m->digest != NULL && m->owner != NULL);
    check(provider_has_model(p, name, &arena, &exact, &remote) && exact.len > 0);
    check(!remote || p->kind == PROVIDER_OLLAMA);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct provider p = {.name = "p"};
    if (size == 0)
        return 0;
    p.kind = (enum provider_kind)(data[0] % PROVIDER_KINDS);
    p.cell = provider_cell_get("p", "fuzz");
    check(p.cell != NULL);
    bool ok = provider_models_take(p.cell, p.kind, (strv){(const char *)data + 1, size - 1}, &err);
    struct provider_models *m = provider_models_get(p.cell);
    check(ok == (m != NULL) && ok == !err.set);
    for (size_t i = 0; m != NULL && i < m->n && i < 20; i++)
        check_model(&p, &m->items[i]);
    provider_models_unref(m);
    provider_cells_free();
    return 0;
}
