/* SPDX-License-Identifier: Apache-2.0 */
/* url - base URLs of providers: "http://10.0.0.5:8000/v1", "https://host", "unix:/run/x.sock". */
#ifndef HTTP_URL_H
#define HTTP_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct http_url {
    bool tls;
    const char *host;      /* without brackets; NULL for unix */
    uint16_t port;         /* explicit or the scheme's */
    const char *authority; /* value of the Host header: "host", "host:8000", "[::1]:8000" */
    const char *path;      /* base path without a slash at its end; "" if none */
    const char *unix_path; /* NULL for TCP */
};

/* http and https; a user, a query or a fragment is refused, and so is everything RFC 3986 does not allow
 * in a host. Strings go to the arena. */
bool http_url_parse(strv text, struct arena *arena, struct http_url *out, struct err *err);
/* Base path + path: "/v1" + "/v1/models" and "/engines/v1" + "/v1/models" do not double the "/v1". */
bool http_url_join(const struct http_url *url, const char *path, struct buf *out);

#endif
