/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema - a JSON Schema from anybody, held against a value from anybody.
 *
 *   the schema, a line end, the value
 *
 * Both end within their budget, also for what is no schema. An error has a text that is UTF-8 and fits a
 * line of a log.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_err(bool ok, const struct err *err)
{
    check(ok != err->set);
    check(ok || err->text[0] != '\0');
    check(utf8_valid(strv_of(err->text)) && utf8_valid(strv_of(err->field)));
    check(strpbrk(err->text, "\r\n\t") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct json schema, value;
    strv rest = {(const char *)data, size}, first;

    if (size == 0 || !strv_cut(&rest, '\n', &first))
        return 0;
    arena_init(&arena, 4096, 1 << 28);
    if (json_read(&schema, first, &arena, 0, NULL) && json_read(&value, rest, &arena, 0, NULL)) {
        struct err bad = ERR_INIT, misfit = ERR_INIT;
        check_err(schema_valid(schema.root, &bad), &bad);
        check_err(schema_check(schema.root, value.root, &misfit), &misfit);
    }
    arena_fini(&arena);
    check(mem_live() == 0);
    return 0;
}
