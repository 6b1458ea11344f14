/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest - its lines. It is read strictly: one spelling for everything, so that what was written is what is read, and
 * reading and writing again gives the same bytes.
 */
#include <ctype.h>

#include "bundle/bundle.h"

#define STAGED ".llm-router-bundle-" /* what an install has not put in place yet */

/* ---- paths ---- */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._+=@,~- ", c) != NULL);
}

static const char *part_problem(strv part)
{
    if (part.len == 0)
        return "the path has an empty part";
    if (part.len > BUNDLE_NAME_MAX)
        return "a part of the path is too long";
    for (size_t i = 0; i < part.len; i++)
        if (!is_plain(part.ptr[i]))
            return "the path has a character that is not allowed";
    if (strv_eq_cstr(part, ".") || strv_eq_cstr(part, ".."))
        return "the path leads elsewhere";
    if (part.ptr[0] == '-' || part.ptr[0] == ' ' || part.ptr[part.len - 1] == ' ' ||
        part.ptr[part.len - 1] == '.')
        return "a part of the path begins or ends badly"; /* other systems drop it: twins */
    if (strv_starts(part, STRV(STAGED)))
        return "the path has a name of our own";
    return NULL;
}

const char *bundle_path_problem(strv path)
{
    strv rest = path, part;
    const char *problem = NULL;
    if (path.ptr == NULL || path.len == 0)
        return "the path is empty";
    if (path.len > BUNDLE_PATH_MAX)
        return "the path is too long";
    if (path.ptr[0] == '/')
        return "the path is absolute";
    /* Without case and with whatever follows: MANIFEST.old, too, is a name of ours. */
    if (path.len >= 8 && strv_eq_nocase((strv){path.ptr, 8}, STRV(BUNDLE_MANIFEST)))
        return "the path has a name of our own";
    while (problem == NULL && strv_cut(&rest, '/', &part))
        problem = part_problem(part);
    return problem;
}

/* A slash before every other character: a folder's files follow a file of its name at once. */
static int rank(char c)
{
    return c == '/' ? 0 : tolower((unsigned char)c);
}

int bundle_path_cmp(strv a, strv b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++)
        if (rank(a.ptr[i]) != rank(b.ptr[i]))
            return rank(a.ptr[i]) < rank(b.ptr[i]) ? -1 : 1;
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

const char *bundle_path_follows(strv a, strv b)
{
    int order = bundle_path_cmp(a, b);
    if (order == 0)
        return strv_eq(a, b) ? "the path stands there twice"
                             : "two paths differ in upper and lower case alone";
    if (order > 0)
        return "the paths are out of order";
    if (a.len < b.len && b.ptr[a.len] == '/' && strv_eq_nocase(a, (strv){b.ptr, a.len}))
        return "the path of a file is a folder's, too";
    /* Folders that both have, up to the first difference beyond case: spelt alike? */
    for (size_t i = 0; i < a.len && i < b.len && rank(a.ptr[i]) == rank(b.ptr[i]); i++)
        if (a.ptr[i] == '/' && memcmp(a.ptr, b.ptr, i) != 0)
            return "two folders differ in upper and lower case alone";
    return NULL;
}

/* ---- the list ---- */

void bundle_init(struct bundle *b)
{
    *b = (struct bundle){0};
    arena_init(&b->arena, 4096, (size_t)256 << 20);
}

void bundle_fini(struct bundle *b)
{
    mem_free(b->files);
    arena_fini(&b->arena);
    *b = (struct bundle){0};
}

bool bundle_add(struct bundle *b, const struct bundle_file *file, struct err *err)
{
    if (b->n == BUNDLE_FILES_MAX)
        return err_set(err, 0, "there are more than %d files", BUNDLE_FILES_MAX);
    if (b->n == b->cap) {
        size_t cap = b->cap != 0 ? b->cap * 2 : 64;
        struct bundle_file *files = mem_realloc(b->files, cap * sizeof *files);
        if (files == NULL)
            return err_oom(err);
        b->files = files;
        b->cap = cap;
    }
    b->files[b->n] = *file;
    b->files[b->n].path = arena_cstr(&b->arena, strv_of(file->path));
    if (b->files[b->n].path == NULL)
        return err_oom(err);
    b->n++;
    b->bytes += file->bytes;
    return true;
}

const struct bundle_file *bundle_find(const struct bundle *b, strv path)
{
    size_t low = 0, high = b->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = bundle_path_cmp(strv_of(b->files[middle].path), path);
        if (order == 0)
            return strv_eq_cstr(path, b->files[middle].path) ? &b->files[middle] : NULL;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- reading ---- */

struct reader {
    strv rest;
    size_t line;
    struct bundle *b;
    uint64_t files, bytes; /* as the head tells them */
    strv last;             /* path */
    struct err *err;
};

static bool bad(struct reader *r, const char *what)
{
    err_at(r->err, 0, r->line, 0, "%s, line %zu: %s", BUNDLE_MANIFEST, r->line, what);
    return false;
}

/* Every line ends with one line feed, the last one too. */
static bool next_line(struct reader *r, strv *line)
{
    r->line++;
    const char *end = r->rest.len > 0 ? memchr(r->rest.ptr, '\n', r->rest.len) : NULL;
    if (end == NULL)
        return bad(r, "the file ends too early");
    *line = (strv){r->rest.ptr, (size_t)(end - r->rest.ptr)};
    r->rest = strv_from(r->rest, line->len + 1);
    return true;
}

/* What stands behind `word` in the next line. */
static bool next_after(struct reader *r, strv word, strv *value)
{
    strv line;
    if (!next_line(r, &line))
        return false;
    if (!strv_starts(line, word))
        return bad(r, "something else was expected");
    *value = strv_from(line, word.len);
    return true;
}

/* As we write it: no zero in front. */
static bool number(strv text, uint64_t max, uint64_t *out)
{
    return strv_u64(text, 0, max, out) && (text.len == 1 || text.ptr[0] != '0');
}

static bool take_word(struct reader *r, strv text, char *out, size_t size)
{
    bool fine = text.len > 0 && text.len < size;
    for (size_t i = 0; fine && i < text.len; i++)
        fine = isalnum((unsigned char)text.ptr[i]) != 0 || strchr(".+~:-", text.ptr[i]) != NULL;
    if (!fine || memchr(text.ptr, '\0', text.len) != NULL)
        return bad(r, "a word was expected");
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

static bool read_head(struct reader *r)
{
    strv value, files;
    if (!next_after(r, STRV("# llm-router bundle "), &value))
        return false;
    if (!strv_eq_cstr(value, "1"))
        return bad(r, "a bundle of a later kind; a later llm-router reads it");
    if (!next_after(r, STRV("# version "), &value) ||
        !take_word(r, value, r->b->version, sizeof r->b->version) ||
        !next_after(r, STRV("# created "), &value) ||
        !take_word(r, value, r->b->created, sizeof r->b->created) ||
        !next_after(r, STRV("# files "), &value))
        return false;
    if (!strv_cut(&value, ' ', &files) || value.ptr == NULL || !strv_starts(value, STRV("bytes ")))
        return bad(r, "two numbers were expected");
    if (!number(files, BUNDLE_FILES_MAX, &r->files) ||
        !number(strv_from(value, 6), BUNDLE_BYTES_MAX, &r->bytes))
        return bad(r, "a number is wrong or too large");
    return true;
}

static bool read_size(struct reader *r, struct bundle_file *f)
{
    strv value;
    if (!next_after(r, STRV("# size "), &value))
        return false;
    f->executable = strv_ends(value, STRV(" executable"));
    if (f->executable)
        value.len -= strlen(" executable");
    if (!number(value, BUNDLE_BYTES_MAX - r->b->bytes, &f->bytes))
        return bad(r, "the size is wrong or too large");
    return true;
}

static bool read_hash(strv text, uint8_t hash[BUNDLE_HASH])
{
    for (size_t i = 0; i < BUNDLE_HASH; i++) {
        char a = text.ptr[2 * i], b = text.ptr[2 * i + 1];
        int high = strv_hex(a), low = strv_hex(b);
        if (high < 0 || low < 0 || (a >= 'A' && a <= 'F') || (b >= 'A' && b <= 'F'))
            return false;
        hash[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool read_file(struct reader *r)
{
    struct bundle_file f = {0};
    char path[BUNDLE_PATH_MAX + 1];
    strv line;
    if (!read_size(r, &f) || !next_line(r, &line))
        return false;
    if (line.len < 66 || !read_hash(line, f.hash) || line.ptr[64] != ' ' || line.ptr[65] != ' ')
        return bad(r, "a digest, two blanks and a path were expected");
    line = strv_from(line, 66);
    const char *problem = bundle_path_problem(line);
    if (problem == NULL && r->last.ptr != NULL)
        problem = bundle_path_follows(r->last, line);
    if (problem != NULL)
        return bad(r, problem);
    memcpy(path, line.ptr, line.len);
    path[line.len] = '\0';
    f.path = path;
    r->last = line;
    return bundle_add(r->b, &f, r->err);
}

bool bundle_read(struct bundle *b, strv text, struct err *err)
{
    struct reader r = {.rest = text, .b = b, .err = err};
    if (text.len > BUNDLE_MANIFEST_MAX)
        return err_set(err, 0, "%s is too large", BUNDLE_MANIFEST);
    if (!read_head(&r))
        return false;
    while (r.rest.len > 0)
        if (!read_file(&r))
            return false;
    if (b->n != r.files || b->bytes != r.bytes)
        return bad(&r, "the head tells of another number of files or bytes");
    return true;
}

/* ---- writing ---- */

bool bundle_write(const struct bundle *b, struct buf *out)
{
    buf_printf(out, "# llm-router bundle 1\n# version %s\n# created %s\n", b->version, b->created);
    buf_printf(out, "# files %zu bytes %llu\n", b->n, (unsigned long long)b->bytes);
    for (size_t i = 0; i < b->n; i++) {
        const struct bundle_file *f = &b->files[i];
        buf_printf(out, "# size %llu%s\n", (unsigned long long)f->bytes,
                   f->executable ? " executable" : "");
        for (size_t k = 0; k < BUNDLE_HASH; k++)
            buf_printf(out, "%02x", f->hash[k]);
        buf_printf(out, "  %s\n", f->path);
    }
    return !out->failed;
}
