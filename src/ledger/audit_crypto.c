/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_crypto - digests and signatures of the audit.
 *
 * The private key is a file like any other of Ed25519 (PKCS #8, PEM): `openssl pkey` reads it. It is made
 * beside its place and renamed, so that there is a whole key or none.
 */
#include "ledger/audit_int.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEED      32 /* an Ed25519 private key */
#define KEY_BYTES 32
#define PEM_MAX   4096

static char no_words[1]; /* passphrase: OpenSSL asks on the terminal for one that is not given */

/* ---- digests ---- */

bool audit_hasher_init(struct audit_hasher *h)
{
    h->md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    h->ctx = EVP_MD_CTX_new();
    if (h->md != NULL && h->ctx != NULL)
        return true;
    audit_hasher_fini(h);
    return false;
}

void audit_hasher_fini(struct audit_hasher *h)
{
    EVP_MD_free(h->md);
    EVP_MD_CTX_free(h->ctx);
    *h = (struct audit_hasher){NULL, NULL};
}

bool audit_hash(struct audit_hasher *h, strv a, strv b, uint8_t out[AUDIT_HASH])
{
    return EVP_DigestInit_ex2(h->ctx, h->md, NULL) == 1 &&
           EVP_DigestUpdate(h->ctx, a.ptr, a.len) == 1 &&
           EVP_DigestUpdate(h->ctx, b.ptr, b.len) == 1 &&
           EVP_DigestFinal_ex(h->ctx, out, NULL) == 1;
}

void audit_put_hex(struct buf *b, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char *at = buf_reserve(b, n * 2);
    if (at == NULL)
        return;
    for (size_t i = 0; i < n; i++) {
        at[2 * i] = digits[bytes[i] >> 4];
        at[2 * i + 1] = digits[bytes[i] & 15];
    }
    buf_added(b, n * 2);
}

bool audit_get_hex(strv text, uint8_t *out, size_t n)
{
    if (text.len != n * 2)
        return false;
    for (size_t i = 0; i < n; i++) {
        char a = text.ptr[2 * i], b = text.ptr[2 * i + 1];
        int high = strv_hex(a), low = strv_hex(b);
        if (high < 0 || low < 0 || (a >= 'A' && a <= 'F') || (b >= 'A' && b <= 'F'))
            return false; /* one spelling only: a change of it is a change */
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* ---- the key ---- */

struct audit_key {
    EVP_PKEY *pkey;
    uint8_t public[KEY_BYTES];
    uint8_t mac[SEED]; /* of the private key; for audit_keyed() */
    bool private;
    struct audit_key *before; /* the one it took the place of */
};

void audit_key_free(struct audit_key *k)
{
    while (k != NULL) {
        struct audit_key *before = k->before;
        EVP_PKEY_free(k->pkey);
        mem_free_secret(k, sizeof *k);
        k = before;
    }
}

void audit_key_follow(struct audit_key *k, struct audit_key *before)
{
    k->before = before;
}

const uint8_t *audit_key_bytes(const struct audit_key *k)
{
    return k->public;
}

/* Takes the key over, also when it fails. */
static struct audit_key *wrap(EVP_PKEY *pkey, bool private, const char *path, struct err *err)
{
    struct audit_key *k = mem_zalloc(sizeof *k);
    size_t n = KEY_BYTES, seed_n = SEED;
    uint8_t seed[SEED] = {0};
    if (k == NULL) {
        EVP_PKEY_free(pkey);
        err_oom(err);
        return NULL;
    }
    k->pkey = pkey;
    k->private = private;
    bool ok = EVP_PKEY_get_id(pkey) == EVP_PKEY_ED25519 &&
              EVP_PKEY_get_raw_public_key(pkey, k->public, &n) == 1 && n == KEY_BYTES;
    if (ok && private) {
        static const char purpose[] = "llm-router audit session 1";
        ok = EVP_PKEY_get_raw_private_key(pkey, seed, &seed_n) == 1 && seed_n == SEED &&
             HMAC(EVP_sha256(), seed, SEED, (const unsigned char *)purpose, sizeof purpose - 1,
                  k->mac, NULL) != NULL;
    }
    mem_wipe(seed, sizeof seed);
    if (ok)
        return k;
    err_set(err, 0, "%.200s holds no Ed25519 key", path);
    audit_key_free(k);
    return NULL;
}

static bool read_small(const char *path, char text[PEM_MAX], size_t *n, struct stat *st,
                       struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, 0, "%.200s: %s", path, strerror(errno));
    ssize_t got = fstat(fd, st) == 0 && S_ISREG(st->st_mode) ? read(fd, text, PEM_MAX) : -1;
    close(fd);
    if (got <= 0 || got == PEM_MAX)
        return err_set(err, 0, "%.200s cannot be read as a key", path);
    *n = (size_t)got;
    return true;
}

struct audit_key *audit_key_load(const char *path, struct err *err)
{
    char text[PEM_MAX];
    struct stat st = {0};
    size_t n = 0;
    if (!read_small(path, text, &n, &st, err))
        return NULL;
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        err_set(err, 0, "%.200s has mode %03o, others can use it; chmod 600 it", path,
                (unsigned)st.st_mode & 0777u);
        mem_wipe(text, sizeof text);
        return NULL;
    }
    BIO *bio = BIO_new_mem_buf(text, (int)n);
    EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, no_words) : NULL;
    BIO_free(bio);
    mem_wipe(text, sizeof text);
    if (pkey != NULL)
        return wrap(pkey, true, path, err);
    err_set(err, 0, "%.200s holds no private key", path);
    return NULL;
}

struct audit_key *audit_key_load_public(const char *path, struct err *err)
{
    char text[PEM_MAX];
    struct stat st = {0};
    size_t n = 0;
    if (!read_small(path, text, &n, &st, err))
        return NULL;
    BIO *bio = BIO_new_mem_buf(text, (int)n);
    EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, NULL, no_words) : NULL;
    if (pkey == NULL && bio != NULL && BIO_reset(bio) == 1)
        pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, no_words);
    BIO_free(bio);
    mem_wipe(text, sizeof text);
    if (pkey != NULL)
        return wrap(pkey, false, path, err);
    err_set(err, 0, "%.200s holds no public key", path);
    return NULL;
}

struct audit_key *audit_key_of(const uint8_t bytes[KEY_BYTES], struct err *err)
{
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, KEY_BYTES);
    if (pkey != NULL)
        return wrap(pkey, false, "a record", err);
    err_oom(err);
    return NULL;
}

static bool print_pem(EVP_PKEY *pkey, bool private, struct buf *out)
{
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL)
        return false;
    bool ok = private ? PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1
                      : PEM_write_bio_PUBKEY(bio, pkey) == 1;
    long n = ok ? BIO_get_mem_data(bio, &text) : 0;
    ok = ok && n > 0 && buf_put(out, text, (size_t)n);
    if (private && n > 0)
        mem_wipe(text, (size_t)n);
    BIO_free(bio);
    return ok;
}

bool audit_key_pem(const struct audit_key *k, struct buf *out)
{
    return print_pem(k->pkey, false, out);
}

static bool sync_folder_of(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    snprintf(folder, sizeof folder, "%.*s", len > 0 ? (int)len : 1,
             len > 0         ? path
             : slash != NULL ? "/"
                             : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

bool audit_key_settle(const char *path)
{
    return sync_folder_of(path);
}

static bool write_key(const char *path, const struct buf *pem, struct err *err)
{
    char beside[4096];
    if (snprintf(beside, sizeof beside, "%s.new", path) >= (int)sizeof beside)
        return err_set(err, 0, "%.100s...: the path is too long", path);
    unlink(beside); /* of a process that was killed here */
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    strv text = buf_view(pem);
    bool ok = fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len && fsync(fd) == 0;
    int why = ok ? 0 : errno;
    if (fd >= 0)
        close(fd);
    /* link(2) does not replace: whoever made a key meanwhile keeps it */
    if (ok && link(beside, path) != 0) {
        ok = false;
        why = errno;
    }
    unlink(beside);
    if (ok && !sync_folder_of(path)) {
        ok = false;
        why = errno;
    }
    return ok || err_set(err, 0, "%.200s cannot be made: %s", path, strerror(why));
}

struct audit_key *audit_key_make(const char *path, struct err *err)
{
    uint8_t seed[SEED];
    struct buf pem;
    if (!rng_secret(seed, sizeof seed)) {
        err_set(err, 0, "the system gives no random numbers");
        return NULL;
    }
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SEED);
    mem_wipe(seed, sizeof seed);
    if (pkey == NULL) {
        err_oom(err);
        return NULL;
    }
    buf_init(&pem, PEM_MAX);
    bool ok = print_pem(pkey, true, &pem) || err_oom(err);
    ok = ok && write_key(path, &pem, err);
    if (pem.data != NULL)
        mem_wipe(pem.data, pem.cap);
    buf_fini(&pem);
    if (ok)
        return wrap(pkey, true, path, err);
    EVP_PKEY_free(pkey);
    return NULL;
}

bool audit_public_key(const char *path, bool make, struct buf *pem, struct err *err)
{
    bool there = access(path, F_OK) == 0;
    struct audit_key *k =
        there || !make ? audit_key_load_public(path, err) : audit_key_make(path, err);
    bool ok = k != NULL && (audit_key_pem(k, pem) || err_oom(err));
    audit_key_free(k);
    return ok;
}

/* ---- signatures ---- */

/* What is signed: purpose, previous digest, content. Ed25519 takes it in one piece. */
static bool message(struct buf *b, strv purpose, const uint8_t prev[AUDIT_HASH], strv content)
{
    buf_init(b, AUDIT_LINE_MAX + 256);
    return buf_put_strv(b, purpose) && buf_put(b, prev, AUDIT_HASH) && buf_put_strv(b, content);
}

bool audit_sign(const struct audit_key *k, strv purpose, const uint8_t prev[AUDIT_HASH],
                strv content, uint8_t sig[AUDIT_SIG])
{
    struct buf b;
    size_t n = AUDIT_SIG;
    EVP_MD_CTX *ctx = k->private ? EVP_MD_CTX_new() : NULL;
    bool ok = message(&b, purpose, prev, content) && ctx != NULL &&
              EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) == 1;
    if (ok) {
        strv text = buf_view(&b);
        ok = EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text.ptr, text.len) == 1 &&
             n == AUDIT_SIG;
    }
    EVP_MD_CTX_free(ctx);
    buf_fini(&b);
    return ok;
}

enum audit_proof audit_signed(const struct audit_key *k, strv purpose,
                              const uint8_t prev[AUDIT_HASH], strv content,
                              const uint8_t sig[AUDIT_SIG])
{
    struct buf b;
    enum audit_proof proof = AUDIT_NO_MEMORY;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (message(&b, purpose, prev, content) && ctx != NULL &&
        EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pkey) == 1) {
        strv text = buf_view(&b);
        proof =
            EVP_DigestVerify(ctx, sig, AUDIT_SIG, (const unsigned char *)text.ptr, text.len) == 1
                ? AUDIT_PROVEN
                : AUDIT_FORGED;
    }
    EVP_MD_CTX_free(ctx);
    buf_fini(&b);
    return proof;
}

bool audit_keyed(const struct audit_key *k, strv text, char out[17])
{
    uint8_t mac[AUDIT_HASH];
    unsigned n = sizeof mac;
    out[0] = '\0';
    if (!k->private || HMAC(EVP_sha256(), k->mac, SEED, (const unsigned char *)text.ptr, text.len,
                            mac, &n) == NULL)
        return false;
    for (size_t i = 0; i < 8; i++)
        snprintf(out + 2 * i, 3, "%02x", mac[i]);
    return true;
}
