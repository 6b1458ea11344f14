/* SPDX-License-Identifier: Apache-2.0 */
/* oauth - see oauth.h. */
#include "mcp/oauth.h"

#include <openssl/evp.h>

/* ---- WWW-Authenticate (RFC 9110, 11.3) ---- */

static bool is_token(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static strv take_token(strv *rest)
{
    strv token = {rest->ptr, 0};

    while (token.len < rest->len && is_token(rest->ptr[token.len]))
        token.len++;
    *rest = strv_from(*rest, token.len);
    return token;
}

static void skip(strv *rest, const char *what)
{
    while (rest->len > 0 && rest->ptr[0] != '\0' && strchr(what, rest->ptr[0]) != NULL)
        *rest = strv_from(*rest, 1);
}

/* "..." with its escapes; what has no end reaches to the end. */
static bool take_quoted(strv *rest, struct arena *arena, strv *out)
{
    char *copy = arena_alloc(arena, rest->len);
    size_t n = 0, i = 1;

    if (copy == NULL)
        return false;
    for (; i < rest->len && rest->ptr[i] != '"'; i++) {
        if (rest->ptr[i] == '\\' && i + 1 < rest->len)
            i++;
        copy[n++] = rest->ptr[i];
    }
    *rest = strv_from(*rest, i < rest->len ? i + 1 : i);
    *out = (strv){copy, n};
    return true;
}

static void keep(strv name, strv value, struct oauth_challenge *out)
{
    if (strv_eq_nocase(name, STRV("resource_metadata")))
        out->metadata = value;
    else if (strv_eq_nocase(name, STRV("scope")))
        out->scope = value;
    else if (strv_eq_nocase(name, STRV("error")))
        out->error = value;
}

bool oauth_challenge_read(strv header, struct arena *arena, struct oauth_challenge *out)
{
    strv rest = header, name, value;
    bool ours = false;

    for (;;) {
        skip(&rest, " \t,");
        if (rest.len == 0)
            return true;
        name = take_token(&rest);
        if (name.len == 0) { /* part of no token and no list: looked over */
            rest = strv_from(rest, 1);
            continue;
        }
        skip(&rest, " \t");
        if (rest.len == 0 || rest.ptr[0] != '=') { /* not name=value, so a scheme */
            ours = strv_eq_nocase(name, STRV("Bearer"));
            out->bearer = out->bearer || ours;
            continue;
        }
        rest = strv_from(rest, 1);
        skip(&rest, " \t");
        if (rest.len > 0 && rest.ptr[0] == '"') {
            if (!take_quoted(&rest, arena, &value))
                return false;
        } else {
            value = take_token(&rest);
        }
        if (ours)
            keep(name, value, out);
    }
}

/* ---- addresses ---- */

static bool is_own_machine(const char *host)
{
    bool number = strspn(host, "0123456789.") == strlen(host); /* not a name that begins like one */

    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           (number && strv_starts(strv_of(host), STRV("127.")));
}

bool oauth_place_read(strv text, struct arena *arena, struct oauth_place *out)
{
    size_t host = strv_starts(text, STRV("https://"))  ? 8
                  : strv_starts(text, STRV("http://")) ? 7
                                                       : 0;
    strv rest;

    if (host == 0 || text.len > 2048)
        return false;
    while (host < text.len && strchr("/?#", text.ptr[host]) == NULL)
        host++;
    rest = strv_from(text, host);
    for (size_t i = 0; i < rest.len; i++)
        if (rest.ptr[i] <= 0x20 || rest.ptr[i] >= 0x7f ||
            strchr("#\"<>\\^`{|}", rest.ptr[i]) != NULL)
            return false;
    if (!http_url_parse((strv){text.ptr, host}, arena, &out->url, NULL))
        return false;
    out->target = rest.len > 0 && rest.ptr[0] == '/'
                      ? arena_cstr(arena, rest)
                      : arena_printf(arena, "/" STRV_FMT, STRV_ARG(rest));
    return out->target != NULL && (out->url.tls || is_own_machine(out->url.host));
}

static bool is_same_origin(const struct oauth_place *a, const struct oauth_place *b)
{
    return a->url.tls == b->url.tls && a->url.port == b->url.port &&
           strcmp(a->url.host, b->url.host) == 0;
}

/* Of a path, what stands before its query, without slashes at its end. */
static strv bare_path(const char *target)
{
    strv path = {target, strcspn(target, "?")};

    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

bool oauth_resource_fits(strv resource, strv url)
{
    struct oauth_place a, b;
    struct arena arena;
    bool fits = false;

    arena_init(&arena, 1024, 1 << 16);
    if (oauth_place_read(resource, &arena, &a) && oauth_place_read(url, &arena, &b) &&
        is_same_origin(&a, &b)) {
        strv above = bare_path(a.target), path = bare_path(b.target);

        fits = strv_starts(path, above) && (path.len == above.len || path.ptr[above.len] == '/');
    }
    arena_fini(&arena);
    return fits;
}

/* ---- documents ---- */

static bool read_object(strv json, struct arena *arena, yyjson_val **root, struct err *err)
{
    struct json doc;

    if (!json_read(&doc, json, arena, 0, err))
        return false;
    *root = doc.root;
    return yyjson_is_obj(doc.root) || err_set(err, 0, "the document is not an object");
}

static bool holds(yyjson_val *list, const char *word)
{
    size_t i, max;
    yyjson_val *v;

    yyjson_arr_foreach(list, i, max, v)
    {
        if (strv_eq_cstr(json_str(v), word))
            return true;
    }
    return false;
}

/* RFC 6749, 3.3: visible characters but quotes and backslashes. */
static bool is_scope(strv word)
{
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] <= 0x20 || word.ptr[i] >= 0x7f || word.ptr[i] == '"' || word.ptr[i] == '\\')
            return false;
    return word.len > 0;
}

static strv join_words(yyjson_val *list, struct arena *arena)
{
    strv joined = STRV_NONE, word;
    size_t i, max;
    yyjson_val *v;

    yyjson_arr_foreach(list, i, max, v)
    {
        word = json_str(v);
        if (word.ptr != NULL && is_scope(word))
            joined = oauth_scopes(joined, word, arena);
    }
    return joined;
}

/* An address that a connection may be made to; STRV_NONE if it is none. */
static strv place_of(yyjson_val *root, const char *key, struct arena *arena)
{
    strv text = json_get_str(root, key);
    struct oauth_place place;

    return text.ptr != NULL && oauth_place_read(text, arena, &place) ? text : STRV_NONE;
}

bool oauth_resource_read(strv json, strv url, strv wanted, struct arena *arena,
                         struct oauth_resource *out, struct err *err)
{
    struct oauth_place place;
    yyjson_val *root, *v;
    size_t i, max;

    *out = (struct oauth_resource){0};
    if (!read_object(json, arena, &root, err))
        return false;
    out->resource = json_get_str(root, "resource");
    if (out->resource.ptr == NULL || !oauth_resource_fits(out->resource, url))
        return err_set(err, 0, "the document is about another server");
    yyjson_arr_foreach(json_get(root, "authorization_servers"), i, max, v)
    {
        strv issuer = json_str(v);

        if ((out->issuer.ptr == NULL || (wanted.ptr != NULL && strv_eq(issuer, wanted))) &&
            issuer.ptr != NULL && oauth_place_read(issuer, arena, &place))
            out->issuer = issuer;
    }
    out->scopes = join_words(json_get(root, "scopes_supported"), arena);
    return !arena->failed || err_oom(err);
}

static bool is_issuer(strv said, strv issuer, bool exact, struct arena *arena)
{
    struct oauth_place a, b;

    if (exact || said.ptr == NULL)
        return said.ptr != NULL && strv_eq(said, issuer);
    return oauth_place_read(said, arena, &a) && oauth_place_read(issuer, arena, &b) &&
           is_same_origin(&a, &b);
}

bool oauth_server_read(strv json, strv issuer, bool exact, struct arena *arena,
                       struct oauth_server *out, struct err *err)
{
    yyjson_val *root, *methods;

    *out = (struct oauth_server){0};
    if (!read_object(json, arena, &root, err))
        return false;
    out->issuer = json_get_str(root, "issuer");
    if (!is_issuer(out->issuer, issuer, exact, arena))
        return err_set(err, 0, "the authorization server calls itself by another name");
    out->authorization = place_of(root, "authorization_endpoint", arena);
    out->token = place_of(root, "token_endpoint", arena);
    out->registration = place_of(root, "registration_endpoint", arena);
    if (out->token.ptr == NULL)
        return err_set(err, 0, "the authorization server has no token endpoint that may be used");
    if (out->authorization.ptr != NULL &&
        !holds(json_get(root, "code_challenge_methods_supported"), "S256"))
        return err_set(err, 0, "the authorization server does not know PKCE with S256");
    out->says_iss =
        yyjson_is_true(json_get(root, "authorization_response_iss_parameter_supported"));
    out->documents = yyjson_is_true(json_get(root, "client_id_metadata_document_supported"));
    out->offline = holds(json_get(root, "scopes_supported"), "offline_access");
    methods = json_get(root, "token_endpoint_auth_methods_supported");
    out->basic = methods == NULL || holds(methods, "client_secret_basic");
    out->post = holds(methods, "client_secret_post");
    out->none = holds(methods, "none");
    out->key = holds(methods, "private_key_jwt");
    return !arena->failed || err_oom(err);
}

/* Goes into a header as it is: RFC 6750, 2.1. */
static bool is_bearer(strv token)
{
    for (size_t i = 0; i < token.len; i++)
        if (token.ptr[i] <= 0x20 || token.ptr[i] >= 0x7f)
            return false;
    return token.len > 0 && token.len <= 16384;
}

bool oauth_token_read(strv json, struct arena *arena, struct oauth_token *out, struct err *err)
{
    yyjson_val *root;

    *out = (struct oauth_token){0};
    if (!read_object(json, arena, &root, err))
        return false;
    out->access = json_get_str(root, "access_token");
    if (!strv_eq_nocase(json_get_str(root, "token_type"), STRV("Bearer")) ||
        out->access.ptr == NULL || !is_bearer(out->access))
        return err_set(err, 0, "the authorization server gave no token that can be used");
    out->refresh = json_get_str(root, "refresh_token");
    out->scope = json_get_str(root, "scope");
    out->expires_s = json_get_int(root, "expires_in", 0);
    if (out->expires_s < 0)
        out->expires_s = 0;
    return true;
}

/* ---- the way back by the browser ---- */

static bool decode(strv text, struct arena *arena, strv *out)
{
    char *copy = arena_alloc(arena, text.len + 1);
    size_t n = 0;

    if (copy == NULL)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%') {
            if (text.len - i < 3 || strv_hex(text.ptr[i + 1]) < 0 || strv_hex(text.ptr[i + 2]) < 0)
                return false;
            c = (char)(strv_hex(text.ptr[i + 1]) << 4 | strv_hex(text.ptr[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        copy[n++] = c;
    }
    *out = (strv){copy, n};
    return true;
}

bool oauth_redirect_read(strv query, struct arena *arena, struct oauth_redirect *out)
{
    struct {
        const char *name;
        strv *value;
    } const known[] = {
        {"code", &out->code}, {"state", &out->state}, {"iss", &out->iss}, {"error", &out->error}};
    strv rest = query, pair, name, value;

    *out = (struct oauth_redirect){0};
    while (strv_cut(&rest, '&', &pair)) {
        if (!strv_cut(&pair, '=', &name) || !decode(name, arena, &name) ||
            !decode(pair.ptr != NULL ? pair : STRV(""), arena, &value))
            return false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            if (!strv_eq_cstr(name, known[i].name))
                continue;
            if (known[i].value->ptr != NULL)
                return false; /* said twice: which one would another reader take? */
            *known[i].value = value;
        }
    }
    return true;
}

/* ---- writing ---- */

strv oauth_scopes(strv a, strv b, struct arena *arena)
{
    strv rest = b, word, all = a;

    while (strv_cut(&rest, ' ', &word)) {
        strv seen = all, one;
        bool there = word.len == 0;

        while (!there && strv_cut(&seen, ' ', &one))
            there = strv_eq(one, word);
        if (there)
            continue;
        char *text = all.len > 0
                         ? arena_printf(arena, STRV_FMT " " STRV_FMT, STRV_ARG(all), STRV_ARG(word))
                         : arena_cstr(arena, word);
        if (text == NULL)
            return STRV_NONE;
        all = strv_of(text);
    }
    return all;
}

bool oauth_put_encoded(struct buf *out, strv value)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c != '\0' && strchr("-._~", c) != NULL)) {
            buf_put_char(out, (char)c);
        } else {
            buf_put_char(out, '%');
            buf_put_char(out, hex[c >> 4]);
            buf_put_char(out, hex[c & 15]);
        }
    }
    return !out->failed;
}

bool oauth_put_pair(struct buf *out, const char *name, strv value)
{
    strv so_far = buf_view(out);

    if (so_far.len > 0 && so_far.ptr[so_far.len - 1] != '?')
        buf_put_char(out, '&');
    buf_put_cstr(out, name);
    buf_put_char(out, '=');
    return oauth_put_encoded(out, value);
}

bool oauth_put_base64url(struct buf *out, strv bytes)
{
    size_t from = buf_len(out);

    if (!media_base64_put(out, bytes))
        return false;
    while (buf_len(out) > from && out->data[out->end - 1] == '=')
        buf_rewind(out, buf_len(out) - 1);
    for (char *p = out->data + out->start + from; p < out->data + out->end; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    return true;
}

bool oauth_put_challenge(struct buf *out, strv verifier)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    return EVP_Digest(verifier.ptr, verifier.len, digest, &n, EVP_sha256(), NULL) == 1 &&
           oauth_put_base64url(out, (strv){(const char *)digest, n});
}
