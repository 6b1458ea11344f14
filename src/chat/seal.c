/* SPDX-License-Identifier: Apache-2.0 */
/* seal - OpenSSL's AES-256-GCM, and files of keys. */
#include "chat/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NONCE    12
#define TAG      16
#define FILE_MAX 4096

/* ---- sealing ---- */

bool chat_seal(const uint8_t key[CHAT_KEY], strv label, strv text, uint8_t *out)
{
    int n = 0, end = 0;
    if (text.len > INT_MAX - CHAT_SEAL || label.len > INT_MAX || !rng_secret(out, NONCE))
        return false;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok =
        c != NULL && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, out) == 1 &&
        EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)label.ptr, (int)label.len) == 1 &&
        EVP_EncryptUpdate(c, out + NONCE, &n, (const uint8_t *)text.ptr, (int)text.len) == 1 &&
        EVP_EncryptFinal_ex(c, out + NONCE + text.len, &end) == 1 &&
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, out + NONCE + text.len) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

bool chat_unseal(const uint8_t key[CHAT_KEY], strv label, strv sealed, uint8_t *out)
{
    int n = 0, end = 0;
    if (sealed.len < CHAT_SEAL || sealed.len > INT_MAX || label.len > INT_MAX)
        return false;
    size_t len = sealed.len - CHAT_SEAL;
    const uint8_t *in = (const uint8_t *)sealed.ptr;
    uint8_t tag[TAG];
    memcpy(tag, in + NONCE + len, TAG);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok = c != NULL && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, in) == 1 &&
              EVP_DecryptUpdate(c, NULL, &n, (const uint8_t *)label.ptr, (int)label.len) == 1 &&
              EVP_DecryptUpdate(c, out, &n, in + NONCE, (int)len) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 &&
              EVP_DecryptFinal_ex(c, out + len, &end) == 1;
    EVP_CIPHER_CTX_free(c);
    if (!ok)
        mem_wipe(out, len); /* what was deciphered is not what was sealed */
    return ok;
}

bool chat_key_derive(const uint8_t master[CHAT_KEY], const char *purpose, uint8_t out[CHAT_KEY])
{
    return HMAC(EVP_sha256(), master, CHAT_KEY, (const uint8_t *)purpose, strlen(purpose), out,
                NULL) != NULL;
}

/* ---- keys ---- */

void chat_keys_wipe(struct chat_keys *k)
{
    mem_wipe(k, sizeof *k);
}

static bool add_key(struct chat_keys *k, const uint8_t key[CHAT_KEY])
{
    uint8_t id[CHAT_KEY];
    if (!chat_key_derive(key, "llm-router chat key id 1", id))
        return false;
    memcpy(k->key[k->n], key, CHAT_KEY);
    memcpy(k->id[k->n], id, CHAT_KEY_ID);
    k->n++;
    return true;
}

static bool read_hex(strv text, uint8_t out[CHAT_KEY])
{
    if (text.len != 2 * (size_t)CHAT_KEY)
        return false;
    for (size_t i = 0; i < CHAT_KEY; i++) {
        int high = strv_hex(text.ptr[2 * i]), low = strv_hex(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* 32 bytes are 43 letters and one `=`, which some writers leave out. */
static bool read_base64(strv text, uint8_t out[CHAT_KEY])
{
    uint8_t padded[44], bytes[33];
    if (text.len != 43 && !(text.len == 44 && text.ptr[43] == '='))
        return false;
    memcpy(padded, text.ptr, 43);
    padded[43] = '=';
    bool ok = EVP_DecodeBlock(bytes, padded, sizeof padded) == sizeof bytes;
    if (ok)
        memcpy(out, bytes, CHAT_KEY);
    mem_wipe(padded, sizeof padded);
    mem_wipe(bytes, sizeof bytes);
    return ok;
}

static bool read_lines(strv content, const char *path, struct chat_keys *out, struct err *err)
{
    uint8_t key[CHAT_KEY];
    strv line;
    bool ok = true;
    for (size_t number = 1; ok && strv_cut(&content, '\n', &line); number++) {
        line = strv_trim(line);
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        if (out->n == CHAT_KEYS_MAX)
            ok = err_set(err, 0, "%.200s holds more than %d keys", path, CHAT_KEYS_MAX);
        else if (!read_hex(line, key) && !read_base64(line, key))
            ok = err_set(err, 0,
                         "%.200s, line %zu: expected a key, 64 hexadecimal digits or 32 bytes as "
                         "base64",
                         path, number);
        else
            ok = add_key(out, key) || err_oom(err);
    }
    mem_wipe(key, sizeof key);
    return ok && (out->n > 0 || err_set(err, 0, "%.200s holds no key", path));
}

bool chat_keys_parse(strv content, const char *path, struct chat_keys *out, struct err *err)
{
    *out = (struct chat_keys){.n = 0};
    bool ok = content.len == CHAT_KEY ? add_key(out, (const uint8_t *)content.ptr) || err_oom(err)
                                      : read_lines(content, path, out, err);
    if (!ok)
        chat_keys_wipe(out);
    return ok;
}

/* ---- the file ---- */

static bool read_file(const char *path, char content[FILE_MAX], size_t *n, struct err *err)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, 0, "%.200s: %s", path, strerror(errno));
    ssize_t got = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, content, FILE_MAX) : -1;
    close(fd);
    if (got < 0 || got == FILE_MAX)
        return err_set(err, 0, "%.200s cannot be read as a file of keys", path);
    *n = (size_t)got;
    return (st.st_mode & (S_IRWXG | S_IRWXO)) == 0 ||
           err_set(err, 0, "%.200s has mode %03o, others can use it; chmod 600 it", path,
                   (unsigned)st.st_mode & 0777u);
}

bool chat_keys_read(const char *path, struct chat_keys *out, struct err *err)
{
    char content[FILE_MAX];
    size_t n = 0;
    bool ok =
        read_file(path, content, &n, err) && chat_keys_parse((strv){content, n}, path, out, err);
    mem_wipe(content, sizeof content);
    return ok;
}

static void put_key(struct buf *out, const uint8_t key[CHAT_KEY])
{
    for (size_t i = 0; i < CHAT_KEY; i++)
        buf_printf(out, "%02x", key[i]);
    buf_put_char(out, '\n');
}

static bool sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
    snprintf(folder, sizeof folder, "%.*s", len, slash == NULL ? "." : path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Beside it first, then in its place: a crash leaves the old keys or the new ones. */
static bool write_file(const char *path, strv content, struct err *err)
{
    char beside[PATH_MAX];
    if (snprintf(beside, sizeof beside, "%s.new", path) >= (int)sizeof beside)
        return err_set(err, 0, "%.100s...: the path is too long", path);
    unlink(beside); /* of a process that was killed here */
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok =
        fd >= 0 && write(fd, content.ptr, content.len) == (ssize_t)content.len && fsync(fd) == 0;
    ok = ok && rename(beside, path) == 0 && sync_folder_of(path);
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (!ok)
        unlink(beside);
    return ok || err_set(err, 0, "%.200s cannot be made: %s", path, strerror(why));
}

bool chat_keys_make(const char *path, struct err *err)
{
    struct chat_keys old = {.n = 0};
    uint8_t key[CHAT_KEY];
    struct buf content;
    bool there = access(path, F_OK) == 0;
    if (there && !chat_keys_read(path, &old, err))
        return false;
    if (old.n == CHAT_KEYS_MAX) {
        chat_keys_wipe(&old);
        return err_set(err, 0,
                       "%.200s holds %d keys already; remove those that are not needed any more",
                       path, CHAT_KEYS_MAX);
    }
    buf_init(&content, FILE_MAX);
    /* All of it at once, so that no copy of a key stays behind in memory that was given back. */
    bool ok =
        (buf_reserve(&content, FILE_MAX) != NULL || err_oom(err)) &&
        (rng_secret(key, sizeof key) || err_set(err, 0, "the system gives no random numbers"));
    if (ok) {
        buf_put_cstr(&content, "# Keys of llm-router's chat.db. The first one seals.\n");
        put_key(&content, key);
        for (size_t i = 0; i < old.n; i++)
            put_key(&content, old.key[i]);
        ok = (!content.failed || err_oom(err)) && write_file(path, buf_view(&content), err);
    }
    if (content.data != NULL)
        mem_wipe(content.data, content.cap);
    buf_fini(&content);
    mem_wipe(key, sizeof key);
    chat_keys_wipe(&old);
    return ok;
}
