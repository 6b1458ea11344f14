/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth - is this secret one of our keys?
 *
 * Only SHA-256 digests are kept: a key is 128 random bits or more, so a slow hash would add cost and
 * no strength. The digest of what came is compared with every key's, each in constant time and
 * without an early end, so the time tells neither whether a key matched nor which.
 */
#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "policy/policy.h"

/* The cell that a key of this id had before, or a new one. */
static struct policy_cell *cell_of(const struct policy_keys *before, const char *id)
{
    for (size_t i = 0; before != NULL && i < before->n; i++)
        if (strcmp(before->items[i].id, id) == 0)
            return policy_cell_ref(before->items[i].cell);
    return policy_cell_new();
}

static bool has_key(const struct policy_keys *k, const char *id)
{
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->items[i].id, id) == 0)
            return true;
    return false;
}

struct policy_keys *policy_keys_new(const struct policy_key *items, size_t n,
                                    const struct policy_keys *before)
{
    struct policy_keys *k;
    if (n > (SIZE_MAX - sizeof *k) / sizeof *items)
        return NULL;
    k = mem_alloc(sizeof *k + n * sizeof *items);
    if (k == NULL)
        return NULL;
    atomic_init(&k->refs, 1);
    k->items = (struct policy_key *)(k + 1);
    for (k->n = 0; k->n < n; k->n++) {
        struct policy_key *key = &k->items[k->n];
        *key = items[k->n];
        key->cell = cell_of(before, key->id);
        if (key->cell == NULL) {
            policy_keys_unref(k);
            return NULL;
        }
    }
    for (size_t i = 0; before != NULL && i < before->n; i++)
        if (!has_key(k, before->items[i].id))
            policy_cell_close(before->items[i].cell);
    return k;
}

struct policy_keys *policy_keys_ref(struct policy_keys *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

void policy_keys_unref(struct policy_keys *k)
{
    if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < k->n; i++)
        policy_cell_unref(k->items[i].cell);
    mem_free(k);
}

/* Looking an algorithm up by its name takes a lock that all threads share and costs more than the digest of a
 * key: done once. */
static EVP_MD *sha256;

static void find_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
}

/* All zero when the library could not compute it (memory); policy_auth() lets that match nothing. */
void policy_key_digest(strv secret, uint8_t out[32])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *text = secret.ptr != NULL ? secret.ptr : "";
    pthread_once(&once, find_sha256);
    if (sha256 == NULL || EVP_Digest(text, secret.len, out, NULL, sha256, NULL) != 1)
        memset(out, 0, 32);
}

const struct policy_key *policy_auth(const struct policy_keys *keys, strv secret)
{
    static const uint8_t zero[32];
    uint8_t digest[32];
    size_t found = 0; /* index + 1 */
    policy_key_digest(secret, digest);
    for (size_t i = 0; i < keys->n; i++) {
        size_t same = CRYPTO_memcmp(digest, keys->items[i].digest, sizeof digest) == 0;
        found |= (0 - same) & (i + 1) & (0 - (size_t)(found == 0));
    }
    bool usable = secret.len > 0 && CRYPTO_memcmp(digest, zero, sizeof zero) != 0;
    mem_wipe(digest, sizeof digest);
    return usable && found > 0 ? &keys->items[found - 1] : NULL;
}

bool policy_key_admits(const struct policy_key *key, int door, int64_t wall_us, struct err *err)
{
    if (key->cell != NULL && policy_cell_is_closed(key->cell))
        return err_set(err, LLM_ERR_UNAUTHORIZED, "This API key has been revoked.");
    if (key->rules.expires_us != 0 && wall_us >= key->rules.expires_us)
        return err_set(err, LLM_ERR_UNAUTHORIZED, "This API key has expired.");
    if (door >= 0 && key->rules.doors != 0 && (key->rules.doors & (1u << door)) == 0)
        return err_set(err, LLM_ERR_FORBIDDEN, "This API key may not use this interface.");
    return true;
}

strv policy_key_from_headers(strv authorization, strv x_api_key)
{
    strv rest = strv_trim(authorization);
    strv scheme = STRV("bearer");
    if (rest.len > scheme.len && strv_eq_nocase((strv){rest.ptr, scheme.len}, scheme) &&
        (rest.ptr[scheme.len] == ' ' || rest.ptr[scheme.len] == '\t')) {
        rest = strv_trim(strv_from(rest, scheme.len));
        if (rest.len > 0)
            return rest;
    }
    rest = strv_trim(x_api_key);
    return rest.len > 0 ? rest : STRV_NONE;
}
