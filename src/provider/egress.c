/* SPDX-License-Identifier: Apache-2.0 */
/* egress - see egress.h. Short on purpose: this is the page to read for "what can leave this house?" */
#include "provider/provider.h"

/* All zero is what policy_key_digest() leaves when it could not compute one. */
static bool digest_of(strv body, uint8_t out[32])
{
    static const uint8_t none[32];
    policy_key_digest(body, out);
    return memcmp(out, none, sizeof none) != 0;
}

static bool make_pass(struct egress_pass *pass, const struct provider *p, strv body, bool leaves)
{
    *pass = (struct egress_pass){.bytes = body.ptr, .n_bytes = body.len, .leaves = leaves};
    if (leaves && !digest_of(body, pass->digest))
        return false;
    pass->p = p;
    return true;
}

enum egress_sealed egress_seal(struct egress_pass *pass, const struct provider *p, bool leaves,
                               strv body, const struct egress_judge *judge,
                               struct privacy_verdict *found)
{
    leaves = leaves || p->zone != ZONE_LOCAL;
    *pass = (struct egress_pass){0};
    if (leaves) {
        privacy_verdict_init(found);
        if (judge->detector == NULL)
            privacy_verdict_add(found, PRIVACY_NOT_READY);
        else if (judge->scratch == NULL)
            privacy_verdict_add(found, PRIVACY_MEMORY);
        else
            privacy_scan_body(judge->detector, judge->scratch, body, judge->model, PRIVACY_NORMAL,
                              found);
        if (judge->is_private || found->is_private)
            return EGRESS_PRIVATE;
    }
    if (!make_pass(pass, p, body, leaves))
        return EGRESS_FAILED;
    pass->read = leaves;
    return EGRESS_SEALED;
}

enum egress_sealed egress_seal_masked(struct egress_pass *pass, const struct provider *p, strv body,
                                      const struct egress_judge *judge,
                                      const struct pseudonyms *map)
{
    struct privacy_verdict found;
    *pass = (struct egress_pass){0};
    if (judge->detector == NULL || judge->scratch == NULL)
        return EGRESS_PRIVATE;
    privacy_verdict_init(&found);
    privacy_scan_body(judge->detector, judge->scratch, body, judge->model, PRIVACY_STRICT, &found);
    if (!pseudonyms_clean(map, body, &found))
        return EGRESS_PRIVATE;
    if (!make_pass(pass, p, body, true))
        return EGRESS_FAILED;
    pass->read = true;
    return EGRESS_SEALED;
}

bool egress_seal_own(struct egress_pass *pass, const struct provider *p, strv body)
{
    if (!make_pass(pass, p, body, p->zone != ZONE_LOCAL))
        return false;
    pass->own = true;
    return true;
}

/* The upstream is the provider's, or a copy with another path: the key tells everything else apart. */
static bool same_place(const struct provider *p, const struct http_upstream *up)
{
    return up->allow != NULL && up->allow == p->upstream.allow &&
           up->allow_arg == p->upstream.allow_arg && up->tls == p->upstream.tls &&
           up->unix_path == p->upstream.unix_path && up->url.host == p->upstream.url.host &&
           up->url.port == p->upstream.url.port && up->key == p->upstream.key;
}

static bool fits(const struct egress_pass *pass, const struct http_call_spec *spec)
{
    uint8_t digest[32];
    if (pass == NULL || pass->p == NULL || !same_place(pass->p, spec->upstream))
        return false;
    bool leaves = pass->leaves || pass->p->zone != ZONE_LOCAL;
    if (leaves && !pass->read && !pass->own)
        return false;
    if (spec->body.len != pass->n_bytes)
        return false;
    if (!leaves)
        return spec->body.ptr == pass->bytes;
    return digest_of(spec->body, digest) && memcmp(digest, pass->digest, sizeof digest) == 0;
}

struct http_call *egress_call(struct http_client *c, const struct egress_pass *pass,
                              const struct http_call_spec *spec, const struct http_call_ops *ops,
                              void *arg, bool *withheld)
{
    bool fit = fits(pass, spec);
    if (withheld != NULL)
        *withheld = !fit;
    return fit ? http_call(c, spec, ops, arg) : NULL;
}

void egress_go(const struct egress_pass *pass, struct http_call *call)
{
    if (pass->p != NULL && pass->leaves)
        http_call_go(call);
}
