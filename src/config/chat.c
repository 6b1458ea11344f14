/* SPDX-License-Identifier: Apache-2.0 */
/* chat - the file of keys is looked at here, so that `check` and a reload find what is wrong with it; nothing of it stays. */
#include "config/internal.h"

bool chat_build(struct load *l)
{
    const struct setting *s = setting_get(l->whole, "chat.key_file", NULL);
    struct chat_keys keys;
    struct err why = ERR_INIT;
    if (s == NULL)
        return true;
    if (chat_keys_read(s->value.text, &keys, &why)) {
        chat_keys_wipe(&keys);
        return true;
    }
    return why.code == ERR_CODE_OOM ? load_oom(l)
                                    : load_fail(l, &s->origin, s->option->path, "%s", why.text);
}
