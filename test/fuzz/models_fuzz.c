/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models - a provider's list of models, which is any server's bytes.
 *
 *   first byte   which kind of provider, and in its upper half what else the answer may be (learn.c)
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
    check(!remote || p->kind == PROVIDER_OLLAMA || p->kind == PROVIDER_OPENAI);
    arena_fini(&arena);
}

/* The same bytes as the answer to another question, with a list that holds two models. */
static void learn(struct provider_cell *cell, unsigned question, strv body)
{
    struct err err = ERR_INIT;
    check(provider_models_take(cell, PROVIDER_OPENAI,
                               STRV("{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]}"), &err));
    if (question == 0)
        (void)provider_learn_loaded(cell, body);
    else if (question == 1)
        (void)provider_learn_shown(cell, STRV("a"), body);
    else if (question == 2)
        (void)provider_learn_slots(cell, body);
    else if (question == 3)
        (void)provider_learn_metrics(cell, body);
    else if (provider_models_take(cell, PROVIDER_OPENAI, STRV("{\"data\":[{\"id\":\"a\"}]}"), &err))
        (void)provider_learn_props(cell, body);
    struct provider_models *m = provider_models_get(cell);
    check(m != NULL && m->n >= 1 && m->items[0].context >= 0);
    check((m->items[0].has & m->items[0].lacks) == 0);
    check(cell->busy >= 0 && cell->queued >= 0 && cell->slots_seen >= 0);
    provider_models_unref(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct provider p = {.name = "p"};
    if (size == 0)
        return 0;
    p.kind = (enum provider_kind)(data[0] % PROVIDER_KINDS);
    strv body = {(const char *)data + 1, size - 1};
    p.cell = provider_cell_get("p", "fuzz");
    check(p.cell != NULL);
    bool ok = provider_models_take(p.cell, p.kind, body, &err);
    struct provider_models *m = provider_models_get(p.cell);
    check(ok == (m != NULL) && ok == !err.set);
    for (size_t i = 0; m != NULL && i < m->n && i < 20; i++)
        check_model(&p, &m->items[i]);
    provider_models_unref(m);
    learn(p.cell, data[0] >> 5, body);
    provider_cells_free();
    return 0;
}
