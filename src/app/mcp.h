/* SPDX-License-Identifier: Apache-2.0 */
/* mcp - the command `llm-router mcp`: one function for each of its words. */
#ifndef APP_MCP_H
#define APP_MCP_H

#include "app/command.h"
#include "app/logins.h"

/* The servers of the configuration, asked by this process and not by a running router: each is started or reached as
 * serve would do it. */
struct mcp_visit {
    struct config *config;
    struct mcp_conf conf; /* those visited */
    struct logins logins;
    const struct mcp_auth_host *auth;
    uint64_t limit_ms;
    struct io_loop *loop;
    struct http_client *client;
    struct rng rng;
    struct log log;
    struct mcp_hub *hub;
    struct mcp_watch *watch;
    struct io_timer limit;
    struct mcp_catalogue *catalogue; /* when all have answered, or their time is over */
    bool waiting, stopped;
};
/* Not EXIT_OK: it was told why. mcp_visit_close() is due in any case; it ends the servers. */
int mcp_visit_open(struct mcp_visit *v, struct cli *cli);
/* The same in its steps, of which the second and third may be made with other servers, time and host. */
int mcp_visit_config(struct mcp_visit *v, struct cli *cli);
bool mcp_visit_loop(struct mcp_visit *v, struct err *err);
bool mcp_visit_run(struct mcp_visit *v, struct err *err);
void mcp_visit_close(struct mcp_visit *v);

int mcp_list(struct cli *cli);
int mcp_check(struct cli *cli);
int mcp_tools(struct cli *cli);
int mcp_call_tool(struct cli *cli);
int mcp_import(struct cli *cli);
int mcp_login(struct cli *cli);
int mcp_logout(struct cli *cli);

/* What an application's file of MCP servers ({"mcpServers":{...}}, {"servers":{...}}) says, as a section of our own
 * file; what was left out or wants a hand goes to `notes`, a line each. Values of variables and headers are not
 * copied. False with err: not such a file, or no memory. */
bool mcp_import_text(strv text, struct buf *out, struct buf *notes, struct err *err);

#endif
