/* SPDX-License-Identifier: Apache-2.0 */
/* index - built once per catalogue; see index.h. Questions: rank.c. */
#include "agent/index.h"

#include <math.h>
#include <stdlib.h>

#include "agent/note.h"
#include "agent/words.h"

#define ARENA_MAX ((size_t)256 * 1024 * 1024)
#define TOOL_WORDS_MAX                                                                             \
    2000                  /* of one tool; the rest of a server's flood of words is not looked at */
#define SYNONYMS_MAX 4000 /* phrases of all overlays */
#define SAME_MAX     8    /* words of one group of everyday.def */

/* How much a word tells where it stands. */
#define IN_NAME     3.0f
#define IN_WORDS    2.0f /* the overlay's own: put there to be found */
#define IN_NOTE     1.5f
#define IN_GROUP    1.0f
#define IN_MEMBER   0.8f /* names of parameters, words of enums */
#define IN_ARGUMENT 0.5f

/* BM25: a second mention counts less, a long text a little less. */
#define K1 1.2f
#define B  0.3f

/* ---- while it is built ---- */

struct mention {
    uint32_t term, entry;
    float weight;
};
struct pile { /* grows in the scratch arena */
    void *items;
    size_t n, room, size;
};
struct build {
    struct agent_index *x;
    struct arena scratch;
    struct pile terms, known, phrases, leads, groups, mentions;
    size_t words; /* of the present tool */
};

static void *push(struct build *b, struct pile *l)
{
    if (l->n == l->room) {
        size_t room = l->room > 0 ? 2 * l->room : 256;
        void *items = arena_resize(&b->scratch, l->items, l->room * l->size, room * l->size);
        if (items == NULL)
            return NULL;
        l->items = items;
        l->room = room;
    }
    return (char *)l->items + l->size * l->n++;
}

static bool grow_slots(struct build *b)
{
    struct agent_index *x = b->x;
    size_t n = x->n_slots > 0 ? 4 * x->n_slots : 4096;
    const struct index_term *terms = b->terms.items;
    uint32_t *slots = ARENA_ARRAY(&x->arena, uint32_t, n);
    if (slots == NULL)
        return false;
    memset(slots, 0xFF, n * sizeof *slots);
    for (size_t i = 0; i < b->terms.n; i++) {
        size_t at = strv_hash(terms[i].stem, 0) & (n - 1);
        while (slots[at] != INDEX_NONE)
            at = (at + 1) & (n - 1);
        slots[at] = (uint32_t)i;
    }
    x->slots = slots;
    x->n_slots = n;
    return true;
}

static bool add_known(struct build *b, const struct word *w, uint32_t term)
{
    struct index_known *k = push(b, &b->known);
    if (k == NULL)
        return false;
    struct index_term *t = (struct index_term *)b->terms.items + term;
    strv text = {w->text, w->len};
    *k = (struct index_known){words_letters(text), arena_strv(&b->x->arena, text), term, t->known};
    t->known = (uint32_t)b->known.n - 1;
    return k->text.ptr != NULL;
}

static bool is_known(const struct build *b, const struct word *w, uint32_t term)
{
    const struct index_known *known = b->known.items;
    const struct index_term *terms = b->terms.items;
    for (uint32_t i = terms[term].known; i != INDEX_NONE; i = known[i].next)
        if (strv_eq(known[i].text, (strv){w->text, w->len}))
            return true;
    return false;
}

/* The word's term, a new one if need be; INDEX_NONE: no memory. */
static uint32_t term_for(struct build *b, const struct word *w)
{
    struct agent_index *x = b->x;
    strv stem = {w->stem, w->stem_len};
    size_t at;
    if (b->terms.n * 2 >= x->n_slots && !grow_slots(b))
        return INDEX_NONE;
    for (at = strv_hash(stem, 0) & (x->n_slots - 1); x->slots[at] != INDEX_NONE;
         at = (at + 1) & (x->n_slots - 1)) {
        struct index_term *t = (struct index_term *)b->terms.items + x->slots[at];
        if (strv_eq(t->stem, stem))
            return is_known(b, w, x->slots[at]) || add_known(b, w, x->slots[at]) ? x->slots[at]
                                                                                 : INDEX_NONE;
    }
    uint32_t id = (uint32_t)b->terms.n;
    struct index_term *t = push(b, &b->terms);
    if (t == NULL)
        return INDEX_NONE;
    *t = (struct index_term){
        .stem = arena_strv(&x->arena, stem), .phrases = INDEX_NONE, .known = INDEX_NONE};
    x->slots[at] = id;
    return t->stem.ptr != NULL && add_known(b, w, id) ? id : INDEX_NONE;
}

/* ---- tools ---- */

static bool add_words(struct build *b, uint32_t entry, strv text, float weight)
{
    struct word w;
    while (b->words < TOOL_WORDS_MAX && words_next(&text, &w)) {
        if (words_idle(&w))
            continue;
        b->words++;
        uint32_t term = term_for(b, &w);
        struct mention *m = term != INDEX_NONE ? push(b, &b->mentions) : NULL;
        if (m == NULL)
            return false;
        *m = (struct mention){term, entry, weight};
    }
    return true;
}

static bool add_enum(struct build *b, uint32_t entry, yyjson_val *schema)
{
    yyjson_val *one;
    size_t i, n;
    bool ok = true;
    yyjson_arr_foreach(json_get(schema, "enum"), i, n, one)
    {
        if (yyjson_is_str(one))
            ok = ok && add_words(b, entry, json_str(one), IN_MEMBER);
    }
    return ok;
}

/* Parameters as they stand in the slim form: the overlay's and the docstring's notes are there. */
static bool add_parameters(struct build *b, uint32_t entry, strv schema)
{
    struct json doc;
    struct err err = ERR_INIT;
    yyjson_val *key, *val;
    size_t i, n;
    bool ok = true;
    if (!json_read(&doc, schema, &b->scratch, 0, &err))
        return !b->scratch.failed;
    yyjson_val *all = json_get(doc.root, "properties");
    if (!yyjson_is_obj(all))
        return true;
    yyjson_obj_foreach(all, i, n, key, val)
    {
        ok = ok && add_words(b, entry, json_str(key), IN_MEMBER) &&
             add_words(b, entry, json_get_str(val, "description"), IN_ARGUMENT) &&
             add_enum(b, entry, val) && add_enum(b, entry, json_get(val, "items"));
    }
    return ok;
}

static bool add_tool(struct build *b, uint32_t i)
{
    const struct index_entry *e = &b->x->entries[i];
    yyjson_val *note = agent_note(e->tool, &b->scratch);
    b->words = 0;
    return !b->scratch.failed && add_words(b, i, e->tool->name, IN_NAME) &&
           add_words(b, i, json_get_str(note, "words"), IN_WORDS) &&
           add_words(b, i, json_get_str(note, "group"), IN_GROUP) &&
           add_words(b, i, e->tool->title, IN_GROUP) &&
           add_words(b, i, e->full.tool.description, IN_NOTE) &&
           add_parameters(b, i, e->full.tool.schema);
}

/* ---- synonyms ---- */

/* A phrase of a group: its words lead to the tools, and the phrase in a question leads to the group. */
static bool add_phrase(struct build *b, uint32_t group, strv text)
{
    struct index_phrase phrase = {.n = 0, .group = group, .next = INDEX_NONE};
    struct word words[PHRASE_MAX];
    size_t telling = 0;
    while (phrase.n < PHRASE_MAX && words_next(&text, &words[phrase.n])) {
        uint32_t term = term_for(b, &words[phrase.n]);
        if (term == INDEX_NONE)
            return false;
        telling += !words_idle(&words[phrase.n]);
        phrase.terms[phrase.n++] = term;
    }
    if (phrase.n == 0 || b->phrases.n >= SYNONYMS_MAX)
        return true;
    for (size_t i = 0; i < phrase.n; i++) {
        struct index_lead *lead;
        if (words_idle(&words[i]))
            continue;
        if ((lead = push(b, &b->leads)) == NULL)
            return false;
        *lead = (struct index_lead){phrase.terms[i], 1.0f / (float)telling};
    }
    struct index_term *first = (struct index_term *)b->terms.items + phrase.terms[0];
    phrase.next = first->phrases;
    first->phrases = (uint32_t)b->phrases.n;
    struct index_phrase *p = push(b, &b->phrases);
    if (p != NULL)
        *p = phrase;
    return p != NULL;
}

static bool open_group(struct build *b)
{
    struct index_group *g = push(b, &b->groups);
    if (g != NULL)
        *g = (struct index_group){(uint32_t)b->leads.n, 0};
    return g != NULL;
}

static void close_group(struct build *b)
{
    struct index_group *g = (struct index_group *)b->groups.items + b->groups.n - 1;
    g->n = (uint32_t)b->leads.n - g->from;
}

static bool add_synonyms(struct build *b, strv overlay)
{
    struct json doc;
    struct err err = ERR_INIT;
    yyjson_val *list, *one;
    size_t i, n, k, m;
    if (overlay.len == 0 || !json_read(&doc, overlay, &b->scratch, 0, &err))
        return !b->scratch.failed;
    yyjson_arr_foreach(json_get(doc.root, "words"), i, n, list)
    {
        if (!open_group(b))
            return false;
        yyjson_arr_foreach(list, k, m, one)
        {
            if (yyjson_is_str(one) && !add_phrase(b, (uint32_t)b->groups.n - 1, json_str(one)))
                return false;
        }
        close_group(b);
    }
    return true;
}

static bool add_everyday(struct build *b)
{
    static const char *const same[][SAME_MAX] = {
#define SAME(...) {__VA_ARGS__},
#include "agent/everyday.def"
#undef SAME
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        if (!open_group(b))
            return false;
        for (size_t k = 0; k < SAME_MAX && same[i][k] != NULL; k++)
            if (!add_phrase(b, (uint32_t)b->groups.n - 1, strv_of(same[i][k])))
                return false;
        close_group(b);
    }
    return true;
}

static bool add_all_synonyms(struct build *b)
{
    const struct mcp_catalogue *c = b->x->catalogue;
    if (!add_everyday(b))
        return false;
    for (size_t i = 0; i < c->n_servers; i++) {
        bool same = false; /* two servers may have one overlay */
        for (size_t k = 0; k < i && !same; k++)
            same = strv_eq(c->servers[k].overlay, c->servers[i].overlay);
        if (!same && !add_synonyms(b, c->servers[i].overlay))
            return false;
    }
    return true;
}

/* ---- weights ---- */

static int by_term(const void *pa, const void *pb)
{
    const struct mention *a = pa, *b = pb;
    if (a->term != b->term)
        return a->term < b->term ? -1 : 1;
    return a->entry < b->entry ? -1 : a->entry > b->entry;
}

static float *lengths_of(struct build *b, const struct mention *m, size_t n)
{
    float *lengths = ARENA_ARRAY(&b->scratch, float, b->x->n + 1), total = 0;
    if (lengths == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        lengths[m[i].entry] += m[i].weight;
        total += m[i].weight;
    }
    for (size_t i = 0; i < b->x->n; i++) /* as a multiple of the mean */
        lengths[i] = total > 0 ? lengths[i] * (float)b->x->n / total : 1;
    return lengths;
}

static void weigh(struct agent_index *x, struct index_term *t, const float *lengths)
{
    float df = (float)t->n, idf = logf(1 + ((float)x->n - df + 0.5f) / (df + 0.5f));
    for (uint32_t i = t->from; i < t->from + t->n; i++) {
        struct index_posting *p = &x->postings[i];
        p->weight = idf * p->weight * (K1 + 1) / (p->weight + K1 * (1 - B + B * lengths[p->entry]));
    }
}

static bool make_postings(struct build *b)
{
    struct agent_index *x = b->x;
    struct mention *m = b->mentions.items;
    size_t n = b->mentions.n;
    float *lengths = lengths_of(b, m, n);
    x->postings = ARENA_ARRAY(&x->arena, struct index_posting, n + 1);
    if (lengths == NULL || x->postings == NULL)
        return false;
    if (n > 0)
        qsort(m, n, sizeof *m, by_term);
    for (size_t i = 0; i < n; i++) {
        struct index_term *t = &x->terms[m[i].term];
        if (i == 0 || m[i].term != m[i - 1].term)
            t->from = (uint32_t)x->n_postings;
        if (t->n > 0 && x->postings[t->from + t->n - 1].entry == m[i].entry) {
            x->postings[t->from + t->n - 1].weight += m[i].weight;
            continue;
        }
        x->postings[x->n_postings++] = (struct index_posting){m[i].entry, m[i].weight};
        t->n++;
    }
    for (size_t i = 0; i < x->n_terms; i++)
        weigh(x, &x->terms[i], lengths);
    return true;
}

/* ---- what a tool says ---- */

/* The postings are by term, so the words of each tool come in that order, too. */
static bool make_words(struct build *b)
{
    struct agent_index *x = b->x;
    uint32_t from = 0;
    x->words = ARENA_ARRAY(&x->arena, struct index_word, x->n_postings + 1);
    if (x->words == NULL)
        return false;
    for (size_t i = 0; i < x->n_postings; i++)
        x->entries[x->postings[i].entry].n++;
    for (size_t i = 0; i < x->n; i++) {
        x->entries[i].from = from;
        from += x->entries[i].n;
        x->entries[i].n = 0;
    }
    for (uint32_t term = 0; term < x->n_terms; term++)
        for (uint32_t p = x->terms[term].from; p < x->terms[term].from + x->terms[term].n; p++) {
            struct index_entry *e = &x->entries[x->postings[p].entry];
            float weight = x->postings[p].weight;
            x->words[e->from + e->n++] = (struct index_word){term, weight};
            e->length += weight * weight;
        }
    for (size_t i = 0; i < x->n; i++)
        x->entries[i].length = sqrtf(x->entries[i].length);
    return true;
}

/* ---- all of it ---- */

static void *keep(struct agent_index *x, const struct pile *l)
{
    void *copy = arena_alloc(&x->arena, l->n * l->size + 1);
    if (copy != NULL && l->n > 0)
        memcpy(copy, l->items, l->n * l->size);
    return copy;
}

static bool keep_lists(struct build *b)
{
    struct agent_index *x = b->x;
    x->terms = keep(x, &b->terms);
    x->known = keep(x, &b->known);
    x->phrases = keep(x, &b->phrases);
    x->leads = keep(x, &b->leads);
    x->groups = keep(x, &b->groups);
    x->n_terms = b->terms.n;
    x->n_known = b->known.n;
    x->n_phrases = b->phrases.n;
    x->n_leads = b->leads.n;
    x->n_groups = b->groups.n;
    return !x->arena.failed;
}

static bool slim_all(struct agent_index *x)
{
    const struct mcp_catalogue *c = x->catalogue;
    x->entries = ARENA_ARRAY(&x->arena, struct index_entry, c->n_tools + 1);
    if (x->entries == NULL)
        return false;
    for (size_t i = 0; i < c->n_tools; i++) {
        struct index_entry *e = &x->entries[x->n];
        if (c->tools[i].refused != NULL)
            continue;
        e->tool = &c->tools[i];
        e->bare = index_bare(c->tools[i].name, &x->arena);
        if (e->bare.ptr == NULL || !slim_make(e->tool, SLIM_FULL, &x->arena, &e->full) ||
            !slim_make(e->tool, SLIM_LEAN, &x->arena, &e->lean))
            return false;
        x->n++;
    }
    return true;
}

static bool build_index(struct build *b)
{
    if (!slim_all(b->x) || !grow_slots(b))
        return false;
    for (size_t i = 0; i < b->x->n; i++)
        if (!add_tool(b, (uint32_t)i))
            return false;
    return add_all_synonyms(b) && keep_lists(b) && make_postings(b) && make_words(b);
}

static void describe_finder(struct agent_index *x)
{
    x->finder.tool = (struct llm_tool){
        .name = STRV(AGENT_FINDER),
        .description = STRV("Find more tools when none of these fits."),
        .schema = STRV("{\"type\":\"object\",\"properties\":{\"words\":{\"type\":\"string\"}},"
                       "\"required\":[\"words\"]}"),
    };
    slim_measure(&x->finder);
}

struct agent_index *agent_index_new(struct mcp_catalogue *c)
{
    struct agent_index *x = mem_zalloc(sizeof *x);
    if (x == NULL)
        return NULL;
    struct build b = {.x = x,
                      .terms.size = sizeof(struct index_term),
                      .known.size = sizeof(struct index_known),
                      .phrases.size = sizeof(struct index_phrase),
                      .leads.size = sizeof(struct index_lead),
                      .groups.size = sizeof(struct index_group),
                      .mentions.size = sizeof(struct mention)};
    atomic_init(&x->refs, 1);
    x->catalogue = mcp_catalogue_ref(c);
    arena_init(&x->arena, 64 * 1024, ARENA_MAX);
    arena_init(&b.scratch, 64 * 1024, ARENA_MAX);
    describe_finder(x);
    bool made = build_index(&b);
    arena_fini(&b.scratch);
    if (!made) {
        agent_index_unref(x);
        return NULL;
    }
    return x;
}

struct agent_index *agent_index_ref(struct agent_index *x)
{
    atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
    return x;
}

void agent_index_unref(struct agent_index *x)
{
    if (x == NULL || atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1)
        return;
    mem_free(atomic_load_explicit(&x->vectors, memory_order_acquire));
    arena_fini(&x->arena);
    mcp_catalogue_unref(x->catalogue);
    mem_free(x);
}

struct mcp_catalogue *agent_index_catalogue(const struct agent_index *x)
{
    return x->catalogue;
}
