/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster - the operator's list of people.
 *
 *   # comment                                     one person a line, UTF-8
 *   Ana María Smith-Jones
 *   Smith, John; aka Jack; login jsmith2; mail john.smith@here.org; phone 614-555-0100; id S-0042
 *
 * The name first, "First ... Last" or "Last, First ..."; then, after semicolons: aka, login, mail, phone, id, each as
 * often as wanted. A line that says anything else is an error with its number: a typing error must not drop a person.
 *
 * All that is kept are hashes of forms (first, last, the parts of a double name and the whole, first and last as one
 * word in both orders, logins made of them, numbers without separators) and of the forms with one letter left out,
 * which is how a word one letter away is found. A form that is also a usual word is marked: alone it is not enough.
 */
#include <stddef.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "privacy/names.h"

enum { LINE_MAX_BYTES = 1000, BYTES_MAX = 16 << 20, PARTS_MAX = 12, FORM_MAX = 40, PART_MAX = 40 };
enum {
    FORM_WORD = 1,
    FORM_NUMBER = 2,
    FORM_INITIALS = 3,
    FORM_SHORTENED = 4
}; /* what a hash stands for */

struct roster {
    uint64_t *
        slots; /* open addressing; the lowest 3 bits say what it is, bit 3 that it is also a usual word */
    size_t cap, used, people;
};

/* ---- the set ---- */

static uint64_t tagged(uint64_t hash, unsigned what)
{
    return (hash * 0x9e3779b97f4a7c15u & ~(uint64_t)15) | what;
}

static uint64_t find(const struct roster *r, uint64_t hash, unsigned what)
{
    uint64_t wanted = tagged(hash, what);
    if (r->cap == 0)
        return 0;
    for (size_t i = (size_t)(wanted >> 32) & (r->cap - 1);; i = (i + 1) & (r->cap - 1)) {
        if (r->slots[i] == 0)
            return 0;
        if ((r->slots[i] & ~(uint64_t)8) == wanted)
            return r->slots[i];
    }
}

static void place(uint64_t *slots, size_t cap, uint64_t value)
{
    size_t i = (size_t)(value >> 32) & (cap - 1);
    while (slots[i] != 0)
        i = (i + 1) & (cap - 1);
    slots[i] = value;
}

static bool add(struct roster *r, uint64_t hash, unsigned what, bool usual)
{
    if (find(r, hash, what) != 0)
        return true;
    if (2 * (r->used + 1) > r->cap) {
        size_t cap = r->cap > 0 ? 2 * r->cap : 1024;
        uint64_t *slots = mem_zalloc(cap * sizeof *slots);
        if (slots == NULL)
            return false;
        for (size_t i = 0; i < r->cap; i++)
            if (r->slots[i] != 0)
                place(slots, cap, r->slots[i]);
        mem_free(r->slots);
        r->slots = slots;
        r->cap = cap;
    }
    place(r->slots, r->cap, tagged(hash, what) | (usual ? 8 : 0));
    r->used++;
    return true;
}

/* ---- forms ---- */

struct person {
    struct {
        char text[PART_MAX];
        size_t n;
        bool joined; /* by a hyphen to the part before */
    } part[PARTS_MAX];
    size_t parts, first_of_last; /* the surname begins with this part */
};

struct reader {
    struct roster *r;
    const struct word_table *words;
    struct text_scratch *text;
    struct err *err;
    size_t line;
};

static bool oom(struct reader *in)
{
    return err_oom(in->err);
}

/* How much a word says by itself: a usual word says nothing without a slot. */
static bool is_usual(const struct reader *in, const char *p, size_t n)
{
    unsigned info = word_info(in->words, text_hash(p, n));
    unsigned class = info_class(info);
    return n < 3 || info_word(info) >= 2 || info_spanish(info) ||
           (class != CLASS_NONE && class != CLASS_PUBLIC);
}

/* The form, and for six letters and more each form with one letter left out. */
static bool add_word(struct reader *in, const char *p, size_t n)
{
    if (n < 2)
        return true;
    if (!add(in->r, text_hash(p, n), FORM_WORD, is_usual(in, p, n)))
        return oom(in);
    if (n < 6 || n >= FORM_MAX)
        return true;
    if (!add(in->r, text_hash(p, n), FORM_SHORTENED, false))
        return oom(in);
    char shorter[FORM_MAX];
    for (size_t i = 0; i < n; i++) {
        memcpy(shorter, p, i);
        memcpy(shorter + i, p + i + 1, n - i - 1);
        if (!add(in->r, text_hash(shorter, n - 1), FORM_SHORTENED, false))
            return oom(in);
    }
    return true;
}

/* Parts [from, to) as one word, after `before` letters of the part `head` (SIZE_MAX = the head whole). */
static size_t join(const struct person *who, size_t head, size_t before, size_t from, size_t to,
                   char *out)
{
    size_t n = 0;
    if (before > 0) {
        size_t take = before < who->part[head].n ? before : who->part[head].n;
        memcpy(out, who->part[head].text, take);
        n = take;
    }
    for (size_t i = from; i < to && n + who->part[i].n < FORM_MAX; i++) {
        memcpy(out + n, who->part[i].text, who->part[i].n);
        n += who->part[i].n;
    }
    return n;
}

static bool add_exact(struct reader *in, const char *p, size_t n)
{
    if (n < 4) /* too short to be a login that tells somebody */
        return true;
    return add(in->r, text_hash(p, n), FORM_WORD, is_usual(in, p, n)) ? true : oom(in);
}

static bool add_initials(struct reader *in, const struct person *who)
{
    char all[PARTS_MAX], two[2] = {who->part[0].text[0], who->part[who->first_of_last].text[0]};
    for (size_t i = 0; i < who->parts; i++)
        all[i] = who->part[i].text[0];
    if (who->parts < 2)
        return true;
    return add(in->r, text_hash(two, 2), FORM_INITIALS, true) &&
                   add(in->r, text_hash(all, who->parts), FORM_INITIALS, true)
               ? true
               : oom(in);
}

static bool is_particle(const char *p, size_t n)
{
    static const char *const particles[] = {"de",  "del", "la",  "las", "los", "da",  "dos", "di",
                                            "van", "von", "der", "den", "el",  "al",  "bin", "ibn",
                                            "le",  "du",  "st",  "san", "ter", "ten", "y",   "e",
                                            "jr",  "sr",  "ii",  "iii", "md",  "do",  "phd", "rn"};
    for (size_t i = 0; i < sizeof particles / sizeof *particles; i++)
        if (strlen(particles[i]) == n && memcmp(particles[i], p, n) == 0)
            return true;
    return false;
}

static bool add_forms(struct reader *in, const struct person *who)
{
    size_t last = who->first_of_last, n;
    char out[FORM_MAX];
    for (size_t i = 0; i < who->parts; i++) {
        if (is_particle(who->part[i].text, who->part[i].n))
            continue;
        if (!add_word(in, who->part[i].text, who->part[i].n))
            return false;
        if (i > 0 && who->part[i].joined) {
            n = join(who, 0, 0, i - 1, i + 1, out);
            if (!add_word(in, out, n))
                return false;
        }
    }
    if (who->parts < 2)
        return true;
    if (who->parts - last > 1) { /* van Houten: also vanhouten */
        n = join(who, 0, 0, last, who->parts, out);
        if (!add_word(in, out, n))
            return false;
    }
    n = join(who, 0, SIZE_MAX, last, who->parts, out); /* firstlast */
    if (!add_exact(in, out, n))
        return false;
    n = join(who, 0, 1, last, who->parts, out); /* flast */
    if (!add_exact(in, out, n))
        return false;
    n = join(who, last, SIZE_MAX, 0, 1, out); /* lastfirst */
    if (!add_exact(in, out, n))
        return false;
    n = join(who, 0, 0, last, who->parts, out); /* lastf */
    if (n + 1 < FORM_MAX)
        out[n++] = who->part[0].text[0];
    return add_exact(in, out, n) && add_initials(in, who);
}

/* ---- a line ---- */

static bool wrong(struct reader *in, const char *what)
{
    return err_at(in->err, 0, in->line, 0, "the roster's line %zu: %s", in->line, what);
}

static bool fold(struct reader *in, strv text, struct text_view *v)
{
    if (!text_normalise(in->text, text, TEXT_PLAIN, v))
        return oom(in);
    return v->invalid ? wrong(in, "this is not UTF-8") : true;
}

/* Letters become parts; anything but letters, blanks, hyphens, dots and apostrophes is no name. */
static bool split_name(struct reader *in, const struct text_view *v, struct person *who,
                       size_t *comma_at)
{
    bool open = false, joined = false;
    *comma_at = 0;
    for (size_t i = 0; i < v->n; i++) {
        unsigned char c = (unsigned char)v->folded[i];
        if ((c >= 'a' && c <= 'z') || c >= 0x80) {
            if (!open && who->parts == PARTS_MAX)
                return wrong(in, "this name has too many parts");
            if (!open) {
                who->part[who->parts].n = 0;
                who->part[who->parts++].joined = joined;
            }
            size_t *n = &who->part[who->parts - 1].n;
            if (*n == PART_MAX - 1)
                return wrong(in, "a part of this name is too long");
            who->part[who->parts - 1].text[(*n)++] = (char)c;
            open = true;
            joined = false;
        } else if (c == '\'') {
            continue;
        } else if (c == ' ' || c == '\t' || c == '.' || c == '-' || c == ',') {
            joined = c == '-' && open;
            open = false;
            if (c == ',' && (who->parts == 0 || *comma_at != 0))
                return wrong(in, "there is nothing before the comma, or a second comma");
            if (c == ',')
                *comma_at = who->parts;
        } else {
            return wrong(in,
                         "a name has letters, blanks, hyphens, dots, apostrophes and one comma");
        }
    }
    return who->parts > 0 ? true : wrong(in, "there is no name before the first semicolon");
}

static void surname_last(struct person *who)
{
    size_t at = who->parts - 1;
    while (at > 0 && is_particle(who->part[at].text, who->part[at].n) && at + 1 == who->parts &&
           who->parts > 2) {
        who->parts--; /* Jr, MD */
        at--;
    }
    while (at > 1 && who->part[at].joined)
        at--;
    while (at > 1 && is_particle(who->part[at - 1].text, who->part[at - 1].n))
        at--;
    who->first_of_last = at;
}

static void turn(struct person *who, size_t comma_at)
{
    struct person turned = {.parts = who->parts, .first_of_last = who->parts - comma_at};
    for (size_t i = 0; i < who->parts; i++)
        turned.part[i] = who->part[(i + comma_at) % who->parts];
    *who = turned;
}

static bool read_name(struct reader *in, strv text)
{
    struct text_view v;
    struct person who = {0};
    size_t comma_at;
    if (!fold(in, text, &v) || !split_name(in, &v, &who, &comma_at))
        return false;
    if (comma_at > 0 && comma_at < who.parts)
        turn(&who, comma_at);
    else
        surname_last(&who);
    return add_forms(in, &who);
}

static bool read_nickname(struct reader *in, strv text)
{
    struct text_view v;
    struct person who = {0};
    size_t comma_at;
    if (!fold(in, text, &v) || !split_name(in, &v, &who, &comma_at))
        return false;
    for (size_t i = 0; i < who.parts; i++)
        if (!add_word(in, who.part[i].text, who.part[i].n))
            return false;
    return true;
}

/* Letters and digits, without what separates them: a phone or staff number, a login. */
static bool read_number(struct reader *in, strv text)
{
    struct text_view v;
    char bare[FORM_MAX];
    size_t n = 0, digits = 0;
    if (!fold(in, text, &v))
        return false;
    for (size_t i = 0; i < v.n && n < sizeof bare; i++) {
        char c = v.folded[i];
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            bare[n++] = c;
        digits += c >= '0' && c <= '9';
    }
    if (n < 3)
        return wrong(in, "this number or login is too short to tell anybody");
    const char *p = bare;
    if (digits == n && n == 11 && *p == '1') { /* +1 is left out as often as not */
        p++;
        n--;
    }
    return add(in->r, text_hash(p, n), FORM_NUMBER, false) ? true : oom(in);
}

static bool read_mail(struct reader *in, strv text)
{
    strv local = STRV_NONE, rest = text;
    if (!strv_cut(&rest, '@', &local) || rest.ptr == NULL || local.len == 0)
        return wrong(in, "a mail address has an @");
    return local.len >= 3 ? read_number(in, local) : true;
}

static bool read_item(struct reader *in, strv item)
{
    static const struct {
        const char *word;
        bool (*read)(struct reader *, strv);
    } items[] = {{"aka", read_nickname},
                 {"login", read_number},
                 {"mail", read_mail},
                 {"phone", read_number},
                 {"id", read_number}};
    item = strv_trim(item);
    strv word = STRV_NONE, rest = item;
    if (item.len == 0)
        return true;
    if (!strv_cut(&rest, ' ', &word) || rest.ptr == NULL)
        return wrong(
            in, "after a semicolon comes: aka, login, mail, phone or id, a blank, and what it is");
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        if (strv_eq_cstr(word, items[i].word))
            return items[i].read(in, strv_trim(rest));
    return wrong(in, "after a semicolon comes: aka, login, mail, phone or id");
}

static bool read_line(struct reader *in, strv line)
{
    line = strv_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return true;
    if (line.len > LINE_MAX_BYTES)
        return wrong(in, "it is longer than 1000 bytes");
    strv part = STRV_NONE;
    if (!strv_cut(&line, ';', &part) || !read_name(in, strv_trim(part)))
        return false;
    while (strv_cut(&line, ';', &part))
        if (!read_item(in, part))
            return false;
    in->r->people++;
    return true;
}

/* ---- the file ---- */

static bool read_file(const char *path, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, 0, "cannot open the roster %s: %s", path, strerror(errno));
    struct stat st;
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (!ok)
        err_set(err, 0, "the roster %s is no file", path);
    while (ok) {
        char *to = buf_reserve(out, 4096);
        if (to == NULL) {
            ok = false;
            err_set(err, 0, "the roster %s is larger than 16 MB, or there is no memory", path);
            break;
        }
        ssize_t n = read(fd, to, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ok = err_set(err, 0, "cannot read the roster %s: %s", path, strerror(errno));
        if (n <= 0)
            break;
        buf_added(out, (size_t)n);
    }
    close(fd);
    return ok;
}

static bool read_lines(struct reader *in, strv text)
{
    strv line = STRV_NONE;
    if (strv_starts(text, STRV("\xef\xbb\xbf")))
        text = strv_from(text, 3);
    while (strv_cut(&text, '\n', &line)) {
        in->line++;
        if (!read_line(in, line))
            return false;
    }
    return true;
}

struct roster *roster_open(const char *path, const struct word_table *words, struct err *err)
{
    struct roster *r = mem_zalloc(sizeof *r);
    struct reader in = {.r = r, .words = words, .err = err};
    struct buf text;
    buf_init(&text, BYTES_MAX);
    bool ok = r != NULL && (in.text = text_scratch_new()) != NULL;
    if (!ok)
        err_oom(err);
    ok = ok && read_file(path, &text, err) && read_lines(&in, buf_view(&text));
    buf_fini(&text);
    text_scratch_free(in.text);
    if (ok)
        return r;
    roster_free(r);
    return NULL;
}

void roster_free(struct roster *r)
{
    if (r == NULL)
        return;
    mem_free(r->slots);
    mem_free(r);
}

size_t roster_size(const struct roster *r)
{
    return r->people;
}

/* ---- look-ups ---- */

/* One letter more, less, other, or two neighbours changed: then the word or it less one letter is a shortened form. */
static bool is_misspelt(const struct roster *r, const char *p, size_t n)
{
    if (n < 5 || n >= FORM_MAX - 1)
        return false;
    if (find(r, text_hash(p, n), FORM_SHORTENED) != 0)
        return true;
    char shorter[FORM_MAX];
    for (size_t i = 0; i < n; i++) {
        memcpy(shorter, p, i);
        memcpy(shorter + i, p + i + 1, n - i - 1);
        if (n > 5 && find(r, text_hash(shorter, n - 1), FORM_SHORTENED) != 0)
            return true;
    }
    return false;
}

unsigned roster_word(const struct roster *r, const char *letters, size_t n, unsigned info)
{
    uint64_t found = find(r, text_hash(letters, n), FORM_WORD);
    if (found != 0)
        return found & 8 ? TOKEN_ROSTER_WORD : TOKEN_ROSTER;
    bool known = info_word(info) > 0 || info_class(info) != CLASS_NONE || info_spanish(info);
    return !known && is_misspelt(r, letters, n) ? TOKEN_ROSTER : 0;
}

bool roster_number(const struct roster *r, uint64_t hash)
{
    return find(r, hash, FORM_NUMBER) != 0;
}

bool roster_initials(const struct roster *r, const char *upper, size_t n)
{
    return find(r, text_hash(upper, n), FORM_INITIALS) != 0;
}
