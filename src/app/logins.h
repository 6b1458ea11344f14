/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logins - what is kept of logins at MCP servers: a file each in state_dir/mcp, for its owner alone.
 *
 *   `mcp login` --writes--> state_dir/mcp/NAME.json <--reads, refreshes-- the running router, `mcp check` ...
 *
 * A file is exchanged whole, so a reader sees the old one or the new one. It holds tokens in clear: whoever can read the
 * router's files could read a key to them as well. Nothing of it is ever logged.
 */
#ifndef APP_LOGINS_H
#define APP_LOGINS_H

#include <sys/stat.h>

#include "mcp/mcp.h"

struct logins {
    char state_dir[1100];
    struct mcp_auth_host host; /* nobody is here: what is kept and no more */
};
void logins_init(struct logins *l, const char *state_dir);

/* False: it is not there, or not ours alone, or no memory. */
bool logins_read(const struct logins *l, const char *server, struct buf *out);
bool logins_write(const struct logins *l, const char *server, strv text, struct err *err);
/* *there: there was one. */
bool logins_remove(const struct logins *l, const char *server, bool *there, struct err *err);
/* Something that is another one whenever the file is; 0 = there is none. */
uint64_t logins_mark(const struct logins *l, const char *server);

#endif
