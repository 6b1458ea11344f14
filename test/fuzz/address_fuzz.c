/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address - does a resource's URI fit a server's template? Both are foreign.
 *
 *   first line   the template
 *   the rest     the URI
 *
 * It ends soon, whatever they are. A template without braces fits what is written like it and nothing else; a URI that fits
 * is no longer than it may be, and whatever {+x} stands for, it fits any text.
 */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool has(strv text, char c)
{
    return text.len > 0 && memchr(text.ptr, c, text.len) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    strv rest = {(const char *)data, size}, template;

    if (size == 0 || !strv_cut(&rest, '\n', &template))
        return 0;
    if (rest.ptr == NULL)
        rest = STRV("");
    bool fits = gateway_address_fits(template, rest);
    check(fits == gateway_address_fits(template, rest));
    check(!fits || (template.len > 0 && rest.len <= 8192));
    if (!has(template, '{') && !has(template, '}') && template.len > 0 && template.len <= 4096) {
        check(gateway_address_fits(template, template));
        check(fits == strv_eq(template, rest));
    }
    check(gateway_address_fits(STRV("{+x}"), rest) == (rest.len > 0 && rest.len <= 8192));
    check(mem_live() == 0);
    return 0;
}
