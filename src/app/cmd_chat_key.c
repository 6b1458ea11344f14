/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_chat_key - a key for the conversations that are kept. The key itself is not shown: the file alone has it. */
#include "app/command.h"
#include "app/term.h"
#include "chat/chat.h"

int command_chat_key(struct cli *cli)
{
    struct err err = ERR_INIT;
    if (!chat_keys_make(cli->words[0], &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    fprintf(stderr, "%s: a new key seals from the next start on; keep a copy of the file\n",
            cli->words[0]);
    return EXIT_OK;
}
