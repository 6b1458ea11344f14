/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_serve - the commands that only pass on: serve, version. */
#include "app/command.h"
#include "app/term.h"

int command_serve(struct cli *cli)
{
    const struct serve_opts opts = {cli->flags[FLAG_TAKE_OVER] != NULL, -1};
    return app_serve(&cli->source, &opts);
}

int command_version(struct cli *cli)
{
    struct buf out;
    buf_init(&out, 256);
    if (cli->flags[FLAG_JSON] != NULL) {
        buf_put_cstr(&out, "{\"version\":");
        json_put_str(&out, strv_of(LLM_ROUTER_VERSION));
        buf_put_cstr(&out, "}\n");
    } else {
        buf_printf(&out, "llm-router %s\n", LLM_ROUTER_VERSION);
    }
    return term_write(&out) ? EXIT_OK : EXIT_FAILED;
}
