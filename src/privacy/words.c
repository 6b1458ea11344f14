/* SPDX-License-Identifier: Apache-2.0 */
#include "privacy/words.h"

#include "privacy/names.h"

/* ---- life ---- */

struct words *words_new(struct text_data *data, const char *roster, struct err *err)
{
    static atomic_ullong serials;
    struct words *w = mem_zalloc(sizeof *w);
    if (w == NULL) {
        err_oom(err);
        return NULL;
    }
    w->serial = atomic_fetch_add(&serials, 1) + 1;
    w->data = text_data_ref(data);
    word_kinds_make(&w->kinds);
    bool ok = word_table_open(&w->table, text_data_section(data, "words"), err) &&
              near_open(&w->near, text_data_section(data, "near"), err) &&
              model_open(&w->model, text_data_section(data, "model"), err);
    if (ok && roster != NULL) {
        w->roster = roster_open(roster, &w->table, err);
        ok = w->roster != NULL;
    }
    if (ok)
        return w;
    words_free(w);
    return NULL;
}

void words_free(struct words *w)
{
    if (w == NULL)
        return;
    roster_free(w->roster);
    text_data_unref(w->data);
    mem_free(w);
}

size_t words_roster_size(const struct words *w)
{
    return w->roster != NULL ? roster_size(w->roster) : 0;
}

size_t words_unknown(const struct words *w, strv letters[], size_t n)
{
    uint64_t hashes[WORDS_AT_ONCE];
    uint16_t infos[WORDS_AT_ONCE];
    size_t kept = 0;
    if (n == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        hashes[i] = text_hash(letters[i].ptr, letters[i].len);
    word_infos(&w->table, hashes, n, infos);
    for (size_t i = 0; i < n; i++)
        if (info_word(infos[i]) == 0 && info_class(infos[i]) == CLASS_NONE &&
            info_first(infos[i]) <= 3 && info_last(infos[i]) <= 3)
            letters[kept++] = letters[i];
    return kept;
}

void words_scratch_free(struct words_scratch *s)
{
    if (s == NULL)
        return;
    mem_free(s->tokens);
    mem_free(s);
}

/* ---- the pass ---- */

enum { ENOUGH = 1000 };

static int threshold_of(const struct words *w, unsigned how)
{
    if (how & PRIVACY_STRICT)
        return w->model.threshold_strict;
    return w->roster != NULL ? w->model.threshold_roster : w->model.threshold;
}

/* A word of the roster that is also a usual word, two names in one, and a name that is written to be overlooked, are
 * names a good deal sooner than others. */
static int lenience(const struct words *w, const struct token *t)
{
    return t->flags & (TOKEN_ROSTER_WORD | TOKEN_JOINED | TOKEN_SPACED) ? w->model.scale / 2 : 0;
}

/* A name of several words is one finding. */
static bool continues(const struct token *t)
{
    return t->gap == GAP_SPACE || t->gap == GAP_HYPHEN || t->gap == GAP_DOT || t->gap == GAP_NONE ||
           t->gap == GAP_UNDERSCORE;
}

/* A run of words that are names. */
struct run {
    size_t first, last; /* tokens; last == SIZE_MAX: none */
    unsigned rule, weight;
};

static bool is_title(const struct words_scratch *s, size_t i)
{
    const struct token *k = &s->tokens[i], *next = k + 1;
    bool joined = next->gap == GAP_SPACE || next->gap == GAP_DOT;
    return joined && (info_class(k->info) == CLASS_HONOR || k->shape == SHAPE_SINGLE) &&
           !(k->flags & TOKEN_POSSESSIVE);
}

/* The title and initials before a name belong to it; a name of the roster is replaced without them. */
static void find_run(struct privacy_piece *t, const struct words_scratch *s, const struct run *r,
                     size_t after)
{
    size_t first = r->first;
    if (r->last == SIZE_MAX)
        return;
    while (r->rule == RULE_NAME_MODEL && first > after && r->first - first < 3 &&
           is_title(s, first - 1))
        first--;
    piece_find(t, PRIVACY_NAME, r->rule, r->weight, r->rule == RULE_NAME_ROSTER,
               s->tokens[first].start, s->tokens[r->last].end);
}

/* KillShell: a usual word in an identifier is just that, unless the other part is a name and nothing else. */
static bool is_name_only(const struct token *k)
{
    return info_word(k->info) == 0 && (info_first(k->info) >= 3 || info_last(k->info) >= 3);
}

static bool is_word_of_code(const struct words_scratch *s, size_t i)
{
    const struct token *k = &s->tokens[i];
    if (!(k->flags & TOKEN_CODE) || info_word(k->info) < 2 || (k->flags & TOKEN_ROSTER_WORD))
        return false;
    bool before = i > 0 && k->gap == GAP_NONE && is_name_only(k - 1);
    return !before && (i + 1 == s->n || k[1].gap != GAP_NONE || !is_name_only(k + 1));
}

/* Weight of a word over the threshold, 0 = it is no name. */
static unsigned weight_of(struct privacy_piece *t, const struct words *w,
                          const struct words_scratch *s, size_t i, int threshold)
{
    const struct token *k = &s->tokens[i];
    if (!token_is_candidate(s, i))
        return 0;
    if (k->flags & TOKEN_ROSTER)
        return 2 * ENOUGH;
    if (is_word_of_code(s, i))
        return 0;
    int over = token_score(&w->model, s, t->view, i) + lenience(w, k) - threshold;
    return over < 0 ? 0 : ENOUGH + (unsigned)over * ENOUGH / (unsigned)w->model.scale;
}

static void judge(struct privacy_piece *t, const struct words *w, const struct words_scratch *s,
                  unsigned how)
{
    int threshold = threshold_of(w, how);
    struct run run = {.last = SIZE_MAX};
    size_t after = 0; /* the first word behind the run before */
    for (size_t i = 0; i < s->n; i++) {
        const struct token *k = &s->tokens[i];
        unsigned weight = weight_of(t, w, s, i, threshold);
        bool known = (k->flags & TOKEN_ROSTER) != 0;
        if (weight == 0)
            continue;
        if (run.last != SIZE_MAX && run.last + 1 == i && continues(k)) {
            run.weight = weight > run.weight ? weight : run.weight;
            run.rule = known ? RULE_NAME_ROSTER : run.rule;
        } else {
            find_run(t, s, &run, after);
            after = run.last != SIZE_MAX ? run.last + 1 : 0;
            run = (struct run){i, i, known ? RULE_NAME_ROSTER : RULE_NAME_MODEL, weight};
        }
        run.last = i;
    }
    find_run(t, s, &run, after);
}

/* ---- language ---- */

static bool is_other_script(const struct text_view *v, const struct token *t)
{
    size_t high = 0;
    for (size_t i = t->start; i < t->end; i++)
        high += (unsigned char)v->folded[i] >= 0x80;
    return high >= 4; /* two letters: one alone is a sign of mathematics */
}

static bool is_function_word(unsigned class)
{
    return (class >= CLASS_CONJ && class <= CLASS_IMPER) || class == CLASS_PRON3 ||
           class == CLASS_AUX;
}

/* Text in another script, or with more function words of other languages than of English and Spanish. */
static void judge_language(struct privacy_piece *t, const struct words_scratch *s)
{
    size_t ours = 0, foreign = 0, unknown = 0;
    for (size_t i = 0; s->foreign && i < s->n; i++) {
        const struct token *k = &s->tokens[i];
        unsigned class = info_class(k->info);
        if (k->shape == SHAPE_NUMBER || k->shape == SHAPE_SINGLE || (k->flags & TOKEN_CODE))
            continue;
        if (k->shape == SHAPE_OTHER && is_other_script(t->view, k)) {
            piece_find(t, PRIVACY_LANGUAGE, RULE_LANGUAGE, ENOUGH, false, k->start, k->end);
            return;
        }
        if (class == CLASS_FOREIGN)
            foreign += info_word(k->info) < 2;
        else if (is_function_word(class))
            ours++;
        else
            unknown += info_word(k->info) == 0 && class == CLASS_NONE && !info_spanish(k->info);
    }
    bool sentence = foreign >= 2 && foreign > ours;
    if (sentence || (foreign == 1 && unknown >= 1 && ours == 0))
        piece_find(t, PRIVACY_LANGUAGE, RULE_LANGUAGE, ENOUGH, false, s->tokens[0].start,
                   s->tokens[s->n - 1].end);
}

void privacy_words(struct privacy_piece *t, unsigned how)
{
    struct privacy_scratch *scratch = t->scratch;
    const struct words *w = t->p->words;
    if (t->fixed) /* read by people once; a name in it would be everybody's */
        return;
    if (scratch->words == NULL)
        scratch->words = mem_zalloc(sizeof *scratch->words);
    if (scratch->words == NULL || !tokens_make(scratch->words, w, t)) {
        t->failed = true;
        return;
    }
    judge(t, w, scratch->words, how);
    judge_language(t, scratch->words);
}
