/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_health - is the router well? Asked by the binary itself, so that an image needs neither curl nor a shell.
 */
#include "app/remote.h"

#define REPLY_MAX ((size_t)64 * 1024)

int command_health(struct cli *cli)
{
    struct remote r;
    struct buf reply;
    buf_init(&reply, REPLY_MAX);
    int status = remote_open(&r, cli);
    if (status == EXIT_OK)
        status = remote_ask(&r, HTTP_GET, cli->flags[FLAG_READY] != NULL ? "/readyz" : "/healthz",
                            STRV_NONE, &reply);
    remote_close(&r);
    buf_fini(&reply);
    return status;
}
