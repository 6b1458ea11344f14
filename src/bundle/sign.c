/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign - Ed25519 over a whole manifest, which begins with what it is, so that a signature is good for nothing else.
 * The files are those that OpenSSL's own command makes and reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/bundle.h"

#define PEM_MAX 4096

static char no_words[1]; /* passphrase: OpenSSL asks on the terminal for one that is not given */

/* ---- files ---- */

static bool read_pem(const char *path, bool private, char text[PEM_MAX], size_t *n, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, 0, "%.200s: %s", path, strerror(errno));
    ssize_t got = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, text, PEM_MAX) : -1;
    close(fd);
    if (got <= 0 || got == PEM_MAX)
        return err_set(err, 0, "%.200s cannot be read as a key", path);
    *n = (size_t)got;
    if (!private || (st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return true;
    mem_wipe(text, PEM_MAX);
    return err_set(err, 0, "%.200s has mode %03o, others can use it; chmod 600 it", path,
                   (unsigned)st.st_mode & 0777u);
}

static EVP_PKEY *load(const char *path, bool private, struct err *err)
{
    char text[PEM_MAX];
    size_t n = 0;
    if (!read_pem(path, private, text, &n, err))
        return NULL;
    BIO *bio = BIO_new_mem_buf(text, (int)n);
    EVP_PKEY *key = bio == NULL ? NULL
                    : private   ? PEM_read_bio_PrivateKey(bio, NULL, NULL, no_words)
                                : PEM_read_bio_PUBKEY(bio, NULL, NULL, no_words);
    BIO_free(bio);
    mem_wipe(text, sizeof text);
    if (key != NULL && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519)
        return key;
    EVP_PKEY_free(key);
    err_set(err, 0, "%.200s holds no %s key of Ed25519", path, private ? "private" : "public");
    return NULL;
}

static bool put_pem(EVP_PKEY *key, bool private, struct buf *out)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok =
        bio != NULL && (private ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1
                                : PEM_write_bio_PUBKEY(bio, key) == 1);
    long n = ok ? BIO_get_mem_data(bio, &text) : 0;
    ok = ok && n > 0 && buf_put(out, text, (size_t)n);
    if (private && n > 0)
        mem_wipe(text, (size_t)n);
    BIO_free(bio);
    return ok;
}

/* ---- keys ---- */

/* The file is there when it is whole, or not at all. */
static bool keep(const char *path, strv text, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, 0, "%.200s: %s", path, strerror(errno));
    bool ok = write(fd, text.ptr, text.len) == (ssize_t)text.len && fsync(fd) == 0;
    int why = errno;
    ok = close(fd) == 0 && ok;
    if (!ok)
        (void)unlink(path);
    return ok || err_set(err, 0, "%.200s: %s", path, strerror(why));
}

bool bundle_key_make(const char *path, struct buf *pem, struct err *err)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct buf secret;
    buf_init(&secret, PEM_MAX);
    bool ok = key != NULL && put_pem(key, true, &secret) && put_pem(key, false, pem);
    ok = ok ? keep(path, buf_view(&secret), err) : err_oom(err);
    if (secret.data != NULL)
        mem_wipe(secret.data, secret.cap);
    buf_fini(&secret);
    EVP_PKEY_free(key);
    return ok;
}

bool bundle_sign(const char *private_key, strv text, uint8_t sig[BUNDLE_SIG], struct err *err)
{
    size_t n = BUNDLE_SIG;
    EVP_PKEY *key = load(private_key, true, err);
    if (key == NULL)
        return false;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text.ptr, text.len) == 1 &&
              n == BUNDLE_SIG;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok || err_oom(err);
}

bool bundle_signed(const char *public_key, strv text, strv sig, struct err *err)
{
    EVP_PKEY *key = load(public_key, false, err);
    if (key == NULL)
        return false;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool able = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1;
    bool ok = able && sig.len == BUNDLE_SIG &&
              EVP_DigestVerify(ctx, (const unsigned char *)sig.ptr, sig.len,
                               (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!able)
        return err_oom(err);
    return ok || err_set(err, 0, "%s: the signature is not by the key %.200s, or %s was changed",
                         BUNDLE_SIGNATURE, public_key, BUNDLE_MANIFEST);
}
