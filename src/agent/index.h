/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index - which tools have words in common with a question: what menu.h asks. Inside src/agent only.
 *
 *   tool: name, note, overlay's words, parameters, enums -> stems -> postings with their BM25 weight
 *   overlay: [["swap", "trade", "take over"], ...]       -> phrases -> the words of the others, at half weight
 *
 *   question -> words -> stems -> terms (and the phrases that begin there; and for a word that nobody knows, those one
 *   slip away) -> sum of their postings
 *
 * Everything is worked out once per catalogue; a question costs some microseconds and allocates two arrays.
 */
#ifndef AGENT_INDEX_H
#define AGENT_INDEX_H

#include "agent/menu.h"
#include "agent/slim.h"

#define INDEX_NONE UINT32_MAX

struct index_entry { /* a tool that can be offered */
    const struct mcp_tool *tool;
    struct slim full, lean;
    strv bare;        /* its name in small letters and digits only, without _tool */
    uint32_t from, n; /* its words */
    float length;     /* of its words' weights, as a vector's */
};
struct index_word { /* of a tool, by term */
    uint32_t term;
    float weight;
};
struct index_term {
    strv stem;
    uint32_t from, n; /* its postings */
    uint32_t phrases; /* the first phrase that begins with it; INDEX_NONE = none */
    uint32_t known;   /* the first of its words as they are written; INDEX_NONE = none */
};
struct index_posting {
    uint32_t entry;
    float weight;
};
#define PHRASE_MAX 5 /* words */
struct index_phrase {
    uint32_t terms[PHRASE_MAX], n, group, next;
};
struct index_lead { /* a word of a group of synonyms */
    uint32_t term;
    float weight;
};
struct index_group {
    uint32_t from, n; /* its leads */
};
struct index_known {  /* a word as it is written, for slips */
    uint32_t letters; /* words_letters() of it */
    strv text;
    uint32_t term, next; /* of the same term */
};

struct index_vectors { /* what the tools mean: meaning.h */
    char model[96];    /* whose they are: another one's say nothing of these */
    size_t dims;
    float values[]; /* of each entry, of length one */
};

struct agent_index {
    atomic_uint refs;
    _Atomic(struct index_vectors *) vectors; /* NULL until they are learned; then they stay */
    atomic_bool learning;
    _Atomic int64_t rests_until; /* the embedding model is left alone until then; io_now_us */
    struct mcp_catalogue *catalogue;
    struct arena arena;
    struct index_entry *entries;
    struct index_term *terms;
    struct index_posting *postings;
    struct index_word *words; /* the postings once more, tool by tool */
    struct index_phrase *phrases;
    struct index_lead *leads;
    struct index_group *groups;
    struct index_known *known;
    uint32_t *slots; /* hash table of terms; INDEX_NONE = free */
    size_t n, n_terms, n_postings, n_phrases, n_leads, n_groups, n_known, n_slots;
    struct slim finder;
};

/* The term of a stem; INDEX_NONE: no tool and no overlay has it. */
uint32_t index_term_of(const struct agent_index *x, strv stem);
/* Small letters and digits only; without "tool" at its end. In the arena; ptr NULL: no memory. */
strv index_bare(strv name, struct arena *arena);
/* scores[i] of entry i for these texts: adds up. False: no memory. */
bool index_score(const struct agent_index *x, strv question, strv before, struct arena *arena,
                 float *scores);

/* Adds to the scores of those tools that resemble the question more than tools do by the way. */
void index_resemble(const struct agent_index *x, const float *question, size_t dims, float *scores);

struct index_order { /* a tool in its place */
    float score;
    uint32_t entry;
};
/* How much two tools say the same: 0 to 1. */
float index_alike(const struct agent_index *x, uint32_t a, uint32_t b);
/* Of the sorted ones the first `places` are chosen anew: who looks like two that stand there already counts less, so
 * that one family does not take every place. Scores from `keep` on are left where they are. */
void index_spread(const struct agent_index *x, struct index_order *orders, size_t n, size_t places,
                  float keep);

#endif
