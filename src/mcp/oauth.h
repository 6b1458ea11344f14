/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oauth - the documents and texts of OAuth 2.1 as MCP uses it (mcp.md 15). Pure: bytes in, values out; auth.c asks the
 * servers. Everything read here was written by somebody else and may be a lie; what it leads to is checked again where
 * a connection is made.
 *
 *   401 WWW-Authenticate --> challenge --> protected resource --> authorization server --> code --> token
 */
#ifndef MCP_OAUTH_H
#define MCP_OAUTH_H

#include "http/http.h"

/* What a server wants to see, from its headers WWW-Authenticate. Texts may be views of the headers. */
struct oauth_challenge {
    bool bearer; /* the scheme is among those it takes */
    strv metadata, scope, error;
};
/* One header; false: no memory. What was found before stays. */
bool oauth_challenge_read(strv header, struct arena *arena, struct oauth_challenge *out);

/* An address in its two parts. https, or http on this very machine; no user, no fragment. */
struct oauth_place {
    struct http_url url; /* without a path */
    const char *target;  /* path and query; begins with a slash */
};
bool oauth_place_read(strv text, struct arena *arena, struct oauth_place *out);

/* RFC 9728. `url`: the tool server's own, which the document must be about. */
struct oauth_resource {
    strv resource;
    strv
        issuer; /* of the authorization servers the one wanted, else the first that can be one; STRV_NONE: none */
    strv scopes; /* with blanks between; STRV_NONE: not told */
};
/* wanted: STRV_NONE = any. */
bool oauth_resource_read(strv json, strv url, strv wanted, struct arena *arena,
                         struct oauth_resource *out, struct err *err);
/* Whether `resource` is `url` or a place above it. */
bool oauth_resource_fits(strv resource, strv url);

/* RFC 8414, and what OpenID Connect Discovery has in common with it. */
struct oauth_server {
    strv issuer, authorization, token;
    strv registration;      /* STRV_NONE: it registers nobody by itself */
    bool says_iss;          /* its answers to the browser name it */
    bool documents;         /* a client's id may be the address of a document */
    bool offline;           /* scope offline_access exists */
    bool basic, post, none; /* how a client may prove itself to it */
    bool key;               /* ... by a signed statement */
};
/* exact: `issuer` must be the text it calls itself by; else only of the same origin (servers of 2025-03-26 name no
 * issuer anywhere). */
bool oauth_server_read(strv json, strv issuer, bool exact, struct arena *arena,
                       struct oauth_server *out, struct err *err);

/* What came back by the browser. */
struct oauth_redirect {
    strv code, state, iss, error; /* STRV_NONE: not there */
};
bool oauth_redirect_read(strv query, struct arena *arena, struct oauth_redirect *out);

struct oauth_token {
    strv access, refresh; /* refresh: STRV_NONE = none */
    strv scope;           /* STRV_NONE: as asked */
    int64_t expires_s;    /* from now; 0 = not told */
};
bool oauth_token_read(strv json, struct arena *arena, struct oauth_token *out, struct err *err);

/* "a b" and "b c" are "a b c". In the arena; either may be STRV_NONE. */
strv oauth_scopes(strv a, strv b, struct arena *arena);
/* &name=value, percent-encoded; without the & where it is the first or follows a question mark. */
bool oauth_put_pair(struct buf *out, const char *name, strv value);
bool oauth_put_encoded(struct buf *out, strv value);
bool oauth_put_base64url(struct buf *out, strv bytes);
/* Of a secret text for PKCE: the form that may be seen. */
bool oauth_put_challenge(struct buf *out, strv verifier);

#endif
