/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slips - labels and months with a slip of the hand in them: "pasport no C1234567", "recrod 481516", "Otcober 3, 1966".
 *
 * Only where a number stands that nothing explains are the words near it looked at; only those that no table knows are
 * compared with the words of the labels. If one of them is a label after all, phrases and labels are read once more,
 * with the word in its place.
 */
#include "privacy/rules.h"

#include <stdlib.h>
#include <string.h>

#include "privacy/words.h"

enum { WORD_MIN = 5, WORD_MAX = 16, BACK = 44, AHEAD = 24 };

static int cmp_word(const void *a, const void *b)
{
    const struct label_word *x = a, *y = b;
    size_t n = x->word.len < y->word.len ? x->word.len : y->word.len;
    int c = memcmp(x->word.ptr, y->word.ptr, n);
    return c != 0 ? c : (x->word.len > y->word.len) - (x->word.len < y->word.len);
}

static uint32_t letters_of(strv word)
{
    uint32_t letters = 0;
    for (size_t i = 0; i < word.len; i++)
        letters |= (uint32_t)1 << (word.ptr[i] & 31);
    return letters;
}

/* Longer words of the phrases that are labels, and months, each once. */
size_t slips_words(struct label_word *out, size_t max)
{
    size_t n = 0, kept = 0;
    for (unsigned row = 0; row < PHRASES; row++) {
        strv rest = strv_of(rules_rows[row].phrases), phrase, word;
        if (rules_rows[row].act != ACT_LABEL && row != PHRASE_MONTH)
            continue;
        while (strv_cut(&rest, ';', &phrase))
            while (strv_cut(&phrase, ' ', &word))
                if (word.len >= WORD_MIN && word.len < WORD_MAX && n < max)
                    out[n++] = (struct label_word){word, letters_of(word)};
    }
    qsort(out, n, sizeof *out, cmp_word);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !strv_eq(out[kept - 1].word, out[i].word))
            out[kept++] = out[i];
    return kept;
}

/* At most two kinds of letters of one word are not in the other. */
static bool alike(uint32_t a, uint32_t b)
{
    uint32_t other = a ^ b;
    other &= other - 1;
    return (other & (other - 1)) == 0;
}

static bool find_label_word(const struct rules *r, strv typed, strv *word)
{
    size_t n;
    const struct label_word *words = rules_label_words(r, &n);
    uint32_t letters = letters_of(typed);
    for (size_t i = 0; i < n; i++)
        if (alike(letters, words[i].letters) && words[i].word.len + 1 >= typed.len &&
            words[i].word.len <= typed.len + 1 && is_one_slip(typed, words[i].word)) {
            *word = words[i].word;
            return true;
        }
    return false;
}

/* Words as they were typed, until there are enough to be looked up. */
struct typed {
    strv words[WORDS_AT_ONCE];
    size_t n;
};

static void look_at(const struct privacy_piece *t, struct typed *typed, struct slips *out)
{
    size_t n = words_unknown(t->p->words, typed->words, typed->n);
    for (size_t i = 0; i < n && out->n < SLIPS_MAX; i++) {
        strv w = typed->words[i], word;
        size_t start = (size_t)(w.ptr - t->view->folded);
        if (find_label_word(t->p->rules, w, &word))
            out->of[out->n++] = (struct slip){(uint32_t)start, (uint32_t)(start + w.len), word};
    }
    typed->n = 0;
}

/* Words of letters in [from, to), each of them once: *seen is where the last look ended. */
static void look_around(const struct privacy_piece *t, size_t from, size_t to, size_t *seen,
                        struct typed *typed, struct slips *out)
{
    size_t i = from > *seen ? from : *seen;
    while (i < to) {
        size_t start = i;
        while (is_letter(t->view->folded[i])) /* a zero stands behind the view */
            i++;
        bool whole = start == 0 || !is_word(at(t, start - 1));
        size_t n = i - start;
        if (whole && !is_digit(at(t, i)) && n + 1 >= WORD_MIN && n <= WORD_MAX)
            typed->words[typed->n++] = (strv){t->view->folded + start, n};
        if (typed->n == WORDS_AT_ONCE)
            look_at(t, typed, out);
        i += i == start;
    }
    *seen = i > *seen ? i : *seen;
}

static bool explained(const struct privacy_piece *t, const struct privacy_token *k)
{
    for (size_t i = 0; i < t->n_found; i++)
        if (t->found[i].start < k->end && t->found[i].end > k->start && t->found[i].weight >= 1000)
            return true;
    return false;
}

void slips_scan(struct privacy_piece *t)
{
    struct slips slips;
    struct typed typed;
    size_t seen = 0;
    slips.n = typed.n = 0; /* most texts have none: the rest is left as it is */
    for (size_t i = 0; i < t->n_tokens; i++) {
        const struct privacy_token *k = &t->tokens[i];
        if (k->digits < 4 || explained(t, k))
            continue;
        size_t from = k->start > BACK ? k->start - BACK : 0, to = k->end + AHEAD;
        while (from > 0 && from < k->start && is_letter(at(t, from - 1)))
            from++; /* not from inside a word */
        look_around(t, from, to < t->view->n ? to : t->view->n, &seen, &typed, &slips);
    }
    look_at(t, &typed, &slips);
    if (slips.n == 0)
        return;
    if (rules_scan_slips(t, &slips))
        labels_scan(t);
    else
        t->failed = true;
}
