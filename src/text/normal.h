/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normal - one piece of text in the views that detectors read.
 *
 *   raw bytes > escapes undone > NFKC > format characters dropped > look-alikes folded > plain, folded
 *
 * Two views of equal length, byte for byte: `plain` keeps the case, `folded` is lower case. Both are UTF-8 in
 * which everything that has an ASCII form has it (marks removed, full width, dashes, quotes and kinds of space
 * unified, letters of other scripts that look Latin folded inside words that mix scripts). A zero ends `folded`. `at[i]` is the
 * offset in the raw bytes of what stands at i; at[n] is the raw length. Text that needs nothing done has
 * at == NULL: the offset is i.
 *
 * Escapes: JSON's (\n \u0041 \" ..., also twice escaped, as in arguments inside a JSON string), HTML's
 * references, percent escapes. A JSON string's raw content is given as it stands between its quotes.
 */
#ifndef TEXT_NORMAL_H
#define TEXT_NORMAL_H

#include "base/base.h"

struct text_view {
    strv raw;
    const char *plain, *folded;
    size_t n;
    const uint32_t *at;     /* n + 1 of them; NULL = identity */
    bool ascii;             /* nothing but ASCII in the views */
    bool invalid;           /* not valid UTF-8, or an escape nobody knows: unreadable */
    bool odd;               /* invisible characters or look-alikes were undone */
    uint64_t scripts;       /* enum text_script bits of the letters in it */
    const uint32_t *starts; /* where text_mark() was called, in order */
    size_t n_starts;
};

enum text_script {
    TEXT_LATIN = 1 << 0,
    TEXT_GREEK = 1 << 1,
    TEXT_CYRILLIC = 1 << 2,
    TEXT_OTHER_SCRIPT = 1 << 3,
};

enum text_escapes { TEXT_PLAIN, TEXT_JSON_STRING };

struct text_scratch;                         /* buffers that are used again; one per thread */
struct text_scratch *text_scratch_new(void); /* NULL: no memory */
void text_scratch_free(struct text_scratch *s);

/* The views live until the next call with the same scratch. False: no memory, or longer than 2^31 bytes. */
bool text_normalise(struct text_scratch *s, strv raw, enum text_escapes escapes,
                    struct text_view *out);

/* The same for a text that is put together from pieces of a document, and from a few words of our own:
 *
 *   text_begin(s); text_add(s, piece, where it stands, TEXT_JSON_STRING); ... text_end(s, document, &view)
 *
 * Words of our own stand at one place of the document, and are plain ASCII. Each false: no memory. */
void text_begin(struct text_scratch *s);
bool text_add(struct text_scratch *s, strv piece, size_t place, enum text_escapes escapes);
bool text_add_own(struct text_scratch *s, strv words, size_t place);
size_t text_added(const struct text_scratch *s); /* length of the views so far */
/* What follows begins a text of its own: what stands before it says nothing about its first words. */
bool text_mark(struct text_scratch *s);
/* Keeps the end only: at most n bytes, from behind a blank. */
void text_keep(struct text_scratch *s, size_t n);
bool text_end(struct text_scratch *s, strv document, struct text_view *out);

/* The escape of a JSON string that begins the text: its character in UTF-8 goes to `to` (4 bytes) and its length
 * to *made; the escape's length, 0 if JSON knows none such. */
size_t text_json_escape(strv text, char *to, size_t *made);

/* Raw bytes that stand for [start, end) of the views. */
static inline size_t text_at(const struct text_view *v, size_t i)
{
    return v->at != NULL ? v->at[i] : i;
}

/* A word's hash: the same in tools/ and here. FNV-1a, 64 bits, over its folded bytes. */
#define TEXT_HASH_BEGIN 0xcbf29ce484222325u
#define TEXT_HASH_PRIME 0x100000001b3u
static inline uint64_t text_hash_on(uint64_t h, const char *p, size_t n) /* goes on with a hash */
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * TEXT_HASH_PRIME;
    return h;
}

static inline uint64_t text_hash(const char *p, size_t n)
{
    return text_hash_on(TEXT_HASH_BEGIN, p, n);
}

#endif
