/* SPDX-License-Identifier: Apache-2.0 */
/* words - see words.h. */
#include "agent/words.h"

/* ---- letters ---- */

/* U+00C0 to U+017F without marks, as the first letter of what they are made of; '?' = no letter. */
static const char latin[] = "aaaaaaaceeeeiiiidnooooo?ouuuuyts" /* C0 */
                            "aaaaaaaceeeeiiiidnooooo?ouuuuyty" /* E0 */
                            "aaaaaaccccccccddddeeeeeeeeeegggg" /* 100 */
                            "gggghhhhiiiiiiiiiiiijjkkklllllll" /* 120 */
                            "lllnnnnnnnnnoooooooorrrrrrssssss" /* 140 */
                            "ssttttttuuuuuuuuuuuuwwyyyzzzzzzs" /* 160 */;
_Static_assert(sizeof latin == 0xC0 + 1, "one letter each");

enum letter { NO_LETTER, SMALL, CAPITAL, DIGIT, OTHER, MARK };

/* The letter at the front and how many bytes it takes; its small form in *to (OTHER: the byte itself). */
static enum letter letter_at(strv v, size_t *len, char *to)
{
    unsigned char c = (unsigned char)v.ptr[0];
    unsigned char next = v.len > 1 ? (unsigned char)v.ptr[1] : 0;
    *len = 1;
    *to = (char)c;
    if (c >= 'a' && c <= 'z')
        return SMALL;
    if (c >= 'A' && c <= 'Z') {
        *to = (char)(c - 'A' + 'a');
        return CAPITAL;
    }
    if (c >= '0' && c <= '9')
        return DIGIT;
    if (c < 0x80)
        return NO_LETTER;
    if (c >= 0xC3 && c <= 0xC5 && (next & 0xC0) == 0x80) {
        *len = 2;
        *to = latin[((c - 0xC3) << 6) + (next & 0x3F)];
        return *to == '?' ? NO_LETTER : SMALL;
    }
    if (c == 0xC2 || (c == 0xE2 && next == 0x80)) { /* signs and spaces: ¿ « ’ — */
        *len = c == 0xC2 ? 2 : 3;
        *len = *len > v.len ? v.len : *len;
        return NO_LETTER;
    }
    if ((c == 0xCC || (c == 0xCD && next <= 0xAF)) && (next & 0xC0) == 0x80) {
        *len = 2; /* an accent of its own behind its letter */
        return MARK;
    }
    return OTHER;
}

/* ---- endings ---- */

static bool ends(const char *w, size_t n, const char *with)
{
    size_t k = strlen(with);
    return n >= k && memcmp(w + n - k, with, k) == 0;
}

static bool vowel(char c)
{
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y';
}

static bool has_vowel(const char *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (vowel(w[i]))
            return true;
    return false;
}

static size_t without_plural(const char *w, size_t n)
{
    if (n < 4 || w[n - 1] != 's' || ends(w, n, "ss") || ends(w, n, "us") || ends(w, n, "is"))
        return n;
    return n - 1;
}

static size_t undoubled(const char *w, size_t n)
{
    return n > 3 && w[n - 1] == w[n - 2] && !vowel(w[n - 1]) && w[n - 1] != 'l' && w[n - 1] != 's'
               ? n - 1
               : n;
}

/* One ending goes, then what is left of the joint: e, y for i. A stem keeps three letters and a vowel. */
static size_t stem(char *w, size_t n)
{
    static const char *const endings[] = {"ation", "ion", "ing", "ed", "ado", "ada", "ly"};
    if (w[n - 1] >= '0' && w[n - 1] <= '9')
        return n;
    while (n > 3 && w[n - 1] == 'e') /* violacione(s), violacion */
        n--;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t k = strlen(endings[i]);
        if (n >= k + 3 && ends(w, n, endings[i]) && has_vowel(w, n - k)) {
            n = undoubled(w, n - k);
            break;
        }
    }
    while (n > 3 && w[n - 1] == 'e')
        n--;
    if (n > 4 && ends(w, n, "at")) /* validate, validation */
        n -= 2;
    if (n > 3 && w[n - 1] == 'y')
        w[n - 1] = 'i';
    return n;
}

static void finish(struct word *out)
{
    out->len = without_plural(out->text, out->len);
    memcpy(out->stem, out->text, out->len);
    out->stem_len = stem(out->stem, out->len);
}

/* ---- cutting ---- */

bool words_next(strv *rest, struct word *out)
{
    enum letter before = NO_LETTER;
    out->len = 0;
    while (rest->len > 0) {
        size_t len;
        char c;
        enum letter kind = letter_at(*rest, &len, &c);
        /* "80hours" is two words, "n1" and "pgy2" are one: a word may end in digits but not begin with them. */
        bool edge = kind == NO_LETTER || (kind == CAPITAL && before == SMALL) ||
                    (before == DIGIT && kind != DIGIT && kind != MARK);
        if (edge && out->len > 0)
            break;
        *rest = strv_from(*rest, len);
        if (kind == NO_LETTER || kind == MARK)
            continue;
        if (out->len < WORD_MAX)
            out->text[out->len++] = c;
        before = kind;
    }
    if (out->len == 0)
        return false;
    finish(out);
    return true;
}

/* English and Spanish, sorted; without plural's s, as words_next() leaves them. */
static const char *const idle[] = {
    "a",     "about", "after", "again", "al",    "all",   "also",   "am",     "an",    "and",
    "any",   "are",   "as",    "at",    "be",    "been",  "but",    "by",     "can",   "come",
    "con",   "could", "cual",  "d",     "de",    "del",   "did",    "do",     "doe",   "el",
    "en",    "entre", "es",    "esta",  "estan", "favor", "for",    "from",   "get",   "give",
    "got",   "ha",    "had",   "have",  "hay",   "he",    "her",    "here",   "hi",    "him",
    "his",   "how",   "i",     "if",    "in",    "into",  "is",     "it",     "its",   "just",
    "la",    "las",   "le",    "let",   "like",  "ll",    "lo",     "los",    "m",     "make",
    "may",   "me",    "mi",    "my",    "need",  "no",    "not",    "now",    "o",     "of",
    "off",   "on",    "one",   "or",    "our",   "out",   "para",   "please", "pls",   "por",
    "que",   "quien", "re",    "s",     "se",    "she",   "should", "so",     "some",  "su",
    "t",     "take",  "tell",  "than",  "thank", "that",  "the",    "their",  "them",  "then",
    "there", "these", "they",  "thi",   "this",  "to",    "too",    "tool",   "un",    "una",
    "up",    "us",    "use",   "using", "ve",    "very",  "wa",     "want",   "was",   "we",
    "were",  "what",  "when",  "where", "which", "who",   "will",   "with",   "would", "y",
    "you",   "your",
};

bool words_idle(const struct word *w)
{
    size_t low = 0, high = sizeof idle / sizeof *idle;
    strv text = {w->text, w->len};
    if (w->len == 1 && w->text[0] >= '0' && w->text[0] <= '9')
        return true;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strv_cmp(text, strv_of(idle[mid]));
        if (order == 0)
            return true;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return false;
}

/* ---- slips ---- */

uint32_t words_letters(strv word)
{
    uint32_t letters = 0;
    for (size_t i = 0; i < word.len; i++)
        letters |= UINT32_C(1) << ((unsigned char)word.ptr[i] & 31);
    return letters;
}

bool words_near(strv a, strv b)
{
    size_t i = 0, k = 0;
    if (a.len > b.len) {
        strv keep = a;
        a = b;
        b = keep;
    }
    if (b.len - a.len > 1)
        return false;
    while (i < a.len && a.ptr[i] == b.ptr[i])
        i++;
    while (k < a.len - i && a.ptr[a.len - 1 - k] == b.ptr[b.len - 1 - k])
        k++;
    if (i + k >= a.len)
        return true; /* equal, or one letter more */
    if (a.len != b.len)
        return false;
    size_t left = a.len - i - k;
    return left == 1 || (left == 2 && a.ptr[i] == b.ptr[i + 1] && a.ptr[i + 1] == b.ptr[i]);
}

size_t words_distance(strv a, strv b, size_t max)
{
    enum { LONGEST = 128 };
    size_t row[LONGEST + 1];
    if (a.len > LONGEST || b.len > LONGEST || (a.len > b.len ? a.len - b.len : b.len - a.len) > max)
        return max + 1;
    for (size_t k = 0; k <= b.len; k++)
        row[k] = k;
    for (size_t i = 1; i <= a.len; i++) {
        size_t corner = row[0], best = i;
        row[0] = i;
        for (size_t k = 1; k <= b.len; k++) {
            size_t cost = corner + (a.ptr[i - 1] != b.ptr[k - 1]);
            corner = row[k];
            cost = row[k] + 1 < cost ? row[k] + 1 : cost;
            cost = row[k - 1] + 1 < cost ? row[k - 1] + 1 : cost;
            row[k] = cost;
            best = cost < best ? cost : best;
        }
        if (best > max)
            return max + 1;
    }
    return row[b.len] > max ? max + 1 : row[b.len];
}
