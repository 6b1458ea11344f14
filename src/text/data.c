/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data - see data.h. The file is checked whole when it is opened (its digest, and that every section lies inside
 * it); after that a section is a pointer into our own copy, which nobody can write.
 */
#include "text/data.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 1, HEAD = 16, ROW = 32, NAME = 16, ALIGN = 64 };
#define SECTIONS_MAX 64                  /* a dozen is what we have */
#define BYTES_MAX    ((size_t)256 << 20) /* a few megabytes is what we have */

struct text_data {
    atomic_uint refs;
    const unsigned char *map;
    size_t bytes;
    uint32_t sections;
    char digest[2 * SHA256_DIGEST_LENGTH + 1];
};

static uint32_t u32_at(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t u64_at(const unsigned char *p)
{
    return (uint64_t)u32_at(p) | (uint64_t)u32_at(p + 4) << 32;
}

/* Every row's name ends, and its bytes lie between the table and the digest. */
static bool table_is_sound(const struct text_data *d)
{
    size_t end = d->bytes - SHA256_DIGEST_LENGTH;
    size_t table_end = HEAD + (size_t)d->sections * ROW;
    if (d->sections > SECTIONS_MAX || table_end > end)
        return false;
    for (size_t i = 0; i < d->sections; i++) {
        const unsigned char *row = d->map + HEAD + i * ROW;
        uint64_t offset = u64_at(row + NAME), length = u64_at(row + NAME + 8);
        if (memchr(row, '\0', NAME) == NULL || offset % ALIGN != 0 || offset < table_end ||
            offset > end || length > end - offset)
            return false;
    }
    return true;
}

static bool check(struct text_data *d, const char *path, struct err *err)
{
    if (d->bytes < HEAD + SHA256_DIGEST_LENGTH || memcmp(d->map, "LLMR", 4) != 0)
        return err_set(err, 0, "%s is no data file of llm-router", path);
    if (u32_at(d->map + 4) != VERSION)
        return err_set(err, 0, "%s has version %u, and this program reads %d", path,
                       (unsigned)u32_at(d->map + 4), VERSION);
    unsigned char digest[SHA256_DIGEST_LENGTH];
    size_t n = d->bytes - sizeof digest;
    SHA256(d->map, n, digest);
    if (memcmp(digest, d->map + n, sizeof digest) != 0)
        return err_set(err, 0, "%s is damaged: its digest is another", path);
    d->sections = u32_at(d->map + 8);
    if (!table_is_sound(d))
        return err_set(err, 0, "%s has a section that lies outside of it", path);
    for (size_t i = 0; i < sizeof digest; i++) {
        d->digest[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        d->digest[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    return true;
}

/* A copy that only we can see: what was checked stays what is read, whatever becomes of the file. */
static bool read_all(struct text_data *d, int fd)
{
    unsigned char *to =
        mmap(NULL, d->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (to == MAP_FAILED)
        return false;
    d->map = to;
    for (size_t n = 0; n < d->bytes;) {
        ssize_t got = read(fd, to + n, d->bytes - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got == 0 ? EIO : errno; /* it has become shorter */
            return false;
        }
        n += (size_t)got;
    }
    return mprotect(to, d->bytes, PROT_READ) == 0;
}

static bool read_file(struct text_data *d, const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, 0, "cannot open %s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
        (uint64_t)st.st_size > BYTES_MAX) {
        close(fd);
        return err_set(err, 0, "%s is no data file of llm-router", path);
    }
    d->bytes = (size_t)st.st_size;
    bool ok = read_all(d, fd);
    int why = errno;
    close(fd);
    return ok || err_set(err, 0, "cannot read %s: %s", path, strerror(why));
}

struct text_data *text_data_open(const char *path, struct err *err)
{
    struct text_data *d = mem_zalloc(sizeof *d);
    if (d == NULL) {
        err_oom(err);
        return NULL;
    }
    atomic_init(&d->refs, 1);
    if (read_file(d, path, err) && check(d, path, err))
        return d;
    text_data_unref(d);
    return NULL;
}

struct text_data *text_data_ref(struct text_data *d)
{
    atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    return d;
}

void text_data_unref(struct text_data *d)
{
    if (d == NULL || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (d->map != NULL)
        munmap((void *)(uintptr_t)d->map, d->bytes);
    mem_free(d);
}

strv text_data_section(const struct text_data *d, const char *name)
{
    for (size_t i = 0; i < d->sections; i++) {
        const unsigned char *row = d->map + HEAD + i * ROW;
        if (strcmp((const char *)row, name) == 0)
            return (strv){(const char *)d->map + u64_at(row + NAME), u64_at(row + NAME + 8)};
    }
    return STRV_NONE;
}

const char *text_data_digest(const struct text_data *d)
{
    return d->digest;
}
