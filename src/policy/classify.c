/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classify - six sums, a seventh, and what they mean.
 *
 * The section, little-endian:
 *
 *   "LMTC" version:u32=1 bits:u32 slots:u32
 *   unit:f32[2]                      of a weight of each family (LETTERS, FACTS)
 *   bias:f32[7]                      six classes, cloud
 *   cloud_of:f32[6]                  weight of each class's score in the cloud's sum
 *   margin:f32                       of the two best scores, below which the class is not sure
 *   slots x hash:u64, slots x mask:u64     cues (policy/features.h)
 *   2^bits x int8[8]                 weights: six classes, cloud, nothing
 *
 * LETTERS are divided by the root of their number, so that a long text does not shout.
 */
#include <assert.h>

#include "policy/policy.h"

#include "policy/features.h"

#define VERSION 1
#define OUTPUTS 7 /* six classes and the cloud */
#define STRIDE  8
#define CLOUD   CLASSIFY_TASKS
#define HEAD    (4 * (4 + 2 + OUTPUTS + CLASSIFY_TASKS + 1))

struct classify {
    atomic_uint refs;
    struct features_cues cues;
    float unit[FEATURES_FAMILIES], bias[OUTPUTS], cloud_of[CLASSIFY_TASKS], margin;
    const int8_t *weights;
    struct text_data *data; /* whose bytes these are; NULL = a copy behind this */
};

/* ---- the section ---- */

static uint32_t get32(const char **p)
{
    const unsigned char *b = (const unsigned char *)*p;
    *p += 4;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void get_floats(const char **p, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t v = get32(p);
        memcpy(&out[i], &v, sizeof v);
    }
}

/* The tables stand behind the head; `copy`: into memory of its own. */
static struct classify *classify_of(strv s, bool copy)
{
    const char *p = s.ptr;
    const size_t weights = (size_t)STRIDE << FEATURES_BITS;
    if (s.ptr == NULL || s.len < HEAD || memcmp(p, "LMTC", 4) != 0)
        return NULL;
    p += 4;
    uint32_t version = get32(&p), bits = get32(&p), slots = get32(&p);
    if (version != VERSION || bits != FEATURES_BITS || slots == 0 || (slots & (slots - 1)) != 0 ||
        slots > 1u << 20 || s.len != HEAD + (size_t)slots * 16 + weights)
        return NULL;
    struct classify *c = mem_alloc(sizeof *c + (copy ? s.len - HEAD : 0));
    if (c == NULL)
        return NULL;
    c->data = NULL;
    atomic_init(&c->refs, 1);
    get_floats(&p, c->unit, FEATURES_FAMILIES);
    get_floats(&p, c->bias, OUTPUTS);
    get_floats(&p, c->cloud_of, CLASSIFY_TASKS);
    get_floats(&p, &c->margin, 1);
    const unsigned char *tables = (const unsigned char *)(copy ? (char *)(c + 1) : p);
    if (copy)
        memcpy(c + 1, p, s.len - HEAD);
    c->cues = (struct features_cues){tables, tables + (size_t)slots * 8, slots - 1};
    c->weights = (const int8_t *)(tables + (size_t)slots * 16);
    return c;
}

struct classify *classify_from(strv section)
{
    return classify_of(section, true);
}

struct classify *classify_new(struct text_data *data)
{
    struct classify *c =
        data != NULL ? classify_of(text_data_section(data, "classify"), false) : NULL;
    if (c != NULL)
        c->data = text_data_ref(data);
    return c;
}

struct classify *classify_ref(struct classify *c)
{
    if (c != NULL)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void classify_unref(struct classify *c)
{
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        text_data_unref(c->data);
        mem_free(c);
    }
}

/* ---- sums ---- */

/* e^x for the scores: (1 + x/1024)^1024 is near enough, and the same on every machine. */
static float power(float x)
{
    float y = 1 + x / 1024;
    if (x < -40 || y <= 0)
        return 0;
    for (int i = 0; i < 10; i++)
        y *= y;
    return y;
}

static float root(size_t n)
{
    float x = n > 0 ? (float)n : 1, y = x > 1 ? x / 2 : 1;
    for (int i = 0; i < 12; i++) /* Newton; n is at most FEATURES_MAX */
        y = (y + x / y) / 2;
    return y;
}

#define LANES_MAX 257 /* so many bytes fit into a sum of 16 bits */

/* The eight weights of a feature are one number; its bytes are added in two numbers of four lanes each, as 0 to 255
 * instead of -128 to 127. */
static void add_up(const struct classify *c, const uint16_t *at, size_t n, int32_t sum[STRIDE])
{
    const uint64_t lanes = 0x00ff00ff00ff00ffu, signs = 0x8080808080808080u;
    uint64_t even = 0, odd = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *w = (const unsigned char *)c->weights + (size_t)at[i] * STRIDE;
        uint64_t v = 0;
        for (unsigned k = 0; k < STRIDE; k++)
            v |= (uint64_t)w[k] << 8 * k;
        v ^= signs;
        even += v & lanes;
        odd += v >> 8 & lanes;
    }
    for (unsigned k = 0; k < STRIDE; k++) {
        uint64_t lane = (k % 2 == 0 ? even : odd) >> 16 * (k / 2) & 0xffff;
        sum[k] += (int32_t)lane - 128 * (int32_t)n;
    }
}

static void sums(const struct classify *c, const struct features *f, float out[OUTPUTS])
{
    for (int k = 0; k < OUTPUTS; k++)
        out[k] = c->bias[k];
    for (int family = 0; family < FEATURES_FAMILIES; family++) {
        int32_t sum[STRIDE] = {0};
        for (size_t i = 0; i < f->n[family]; i += LANES_MAX) {
            size_t n = f->n[family] - i;
            add_up(c, f->at[family] + i, n < LANES_MAX ? n : LANES_MAX, sum);
        }
        float unit = c->unit[family];
        if (family == FEATURES_LETTERS)
            unit /= root(f->n[family]);
        for (int k = 0; k < OUTPUTS; k++)
            out[k] += unit * (float)sum[k];
    }
}

/* Scores from sums; what cannot be is left out: without tools nothing can be looked up. */
static void shares(const float sum[OUTPUTS], bool has_tools, float scores[CLASSIFY_TASKS])
{
    float top = -1e30f, total = 0;
    for (int k = 0; k < CLASSIFY_TASKS; k++)
        if ((has_tools || k != CLASSIFY_TOOL_CALLING) && sum[k] > top)
            top = sum[k];
    for (int k = 0; k < CLASSIFY_TASKS; k++) {
        scores[k] = has_tools || k != CLASSIFY_TOOL_CALLING ? power(sum[k] - top) : 0;
        total += scores[k];
    }
    for (int k = 0; k < CLASSIFY_TASKS; k++)
        scores[k] /= total;
}

/* ---- the answer ---- */

static void nothing_known(bool has_tools, const char *why, struct classify_result *out)
{
    memset(out, 0, sizeof *out);
    out->task = has_tools ? CLASSIFY_TOOL_CALLING : CLASSIFY_SIMPLE_QUERY;
    for (int k = 0; k < CLASSIFY_TASKS; k++)
        out->scores[k] = 1.0f / CLASSIFY_TASKS;
    out->complexity = 0.5f;
    out->why = why;
}

static void all_in(enum classify_task task, const char *why, struct classify_result *out)
{
    memset(out, 0, sizeof *out);
    out->task = task;
    out->scores[task] = 1;
    out->sure = true;
    out->why = why;
}

/* How hard each class is at home; the scheduler's own figures where it has one. */
static const float hardness[CLASSIFY_TASKS] = {
    [CLASSIFY_SIMPLE_QUERY] = 0.2f,  [CLASSIFY_EXPLANATION] = 0.5f,
    [CLASSIFY_DOCUMENTATION] = 0.5f, [CLASSIFY_CODE_GENERATION] = 0.6f,
    [CLASSIFY_TOOL_CALLING] = 0.7f,  [CLASSIFY_MULTI_STEP] = 0.9f,
};

static void complexity(struct classify_result *out)
{
    float sum = 0;
    for (int k = 0; k < CLASSIFY_TASKS; k++)
        sum += hardness[k] * out->scores[k];
    sum += (1 - sum) * 0.5f * out->needs_cloud;
    out->complexity = sum < 0 ? 0 : sum > 1 ? 1 : sum;
}

static void decide(const struct classify *c, const struct features *f, bool has_tools,
                   struct classify_result *out)
{
    float sum[OUTPUTS], second = 0;
    unsigned best = 0;
    sums(c, f, sum);
    shares(sum, has_tools, out->scores);
    for (unsigned k = 1; k < CLASSIFY_TASKS; k++)
        if (out->scores[k] > out->scores[best])
            best = k;
    for (unsigned k = 0; k < CLASSIFY_TASKS; k++)
        if (k != best && out->scores[k] > second)
            second = out->scores[k];
    float z = sum[CLOUD];
    for (int k = 0; k < CLASSIFY_TASKS; k++)
        z += c->cloud_of[k] * out->scores[k];
    out->needs_cloud = z >= 0 ? 1 / (1 + power(-z)) : power(z) / (1 + power(z));
    out->task = best;
    out->sure = out->scores[best] - second >= c->margin;
    out->why = out->sure ? "model" : "close";
}

void classify_text(const struct classify *c, strv text, bool has_tools, struct classify_result *out)
{
    struct features f;
    if (c == NULL) {
        nothing_known(has_tools, "no model", out);
        return;
    }
    features_read(&c->cues, text, has_tools, &f);
    if (f.courtesy)
        all_in(CLASSIFY_SIMPLE_QUERY, "greeting", out);
    else if (f.n_words == 0 && f.n[FEATURES_LETTERS] == 0)
        nothing_known(has_tools, "no text", out);
    else
        decide(c, &f, has_tools, out);
    complexity(out);
}

/* ---- the last user turn ---- */

/* Its text; of a turn in several parts as much as features_read() would look at, in `joined`. */
static strv turn_text(const struct llm_message *m, char joined[FEATURES_TEXT_MAX])
{
    strv only = STRV_NONE;
    size_t texts = 0, n = 0;
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct llm_part *part = &m->parts[i];
        if (part->kind != LLM_PART_TEXT || part->text.len == 0)
            continue;
        only = part->text;
        if (texts++ > 0 && n < FEATURES_TEXT_MAX)
            joined[n++] = '\n';
        size_t room = FEATURES_TEXT_MAX - n, take = only.len < room ? only.len : room;
        memcpy(joined + n, only.ptr, take);
        n += take;
    }
    return texts > 1 ? (strv){joined, n} : only;
}

static strv last_turn(const struct llm_request *r, char joined[FEATURES_TEXT_MAX])
{
    strv text = STRV_NONE;
    for (size_t i = r->n_messages; i-- > 0 && text.len == 0;)
        if (r->messages[i].role == LLM_USER)
            text = turn_text(&r->messages[i], joined);
    return text;
}

/* ---- what was classified before ---- */

#define MEMO_PLACES 256

struct classify_memo {
    struct siphash_key key;
    struct classify *of; /* whose results these are; held, so that no other gets its address */
    uint64_t hits;
    struct {
        uint64_t digest[2]; /* both 0 = free */
        struct classify_result result;
    } places[MEMO_PLACES];
};

struct classify_memo *classify_memo_new(void)
{
    struct classify_memo *m = mem_zalloc(sizeof *m);
    if (m != NULL && !rng_secret(&m->key, sizeof m->key)) {
        mem_free(m);
        return NULL;
    }
    return m;
}

void classify_memo_free(struct classify_memo *m)
{
    if (m == NULL)
        return;
    classify_unref(m->of);
    mem_wipe(&m->key, sizeof m->key);
    mem_free(m);
}

uint64_t classify_memo_hits(const struct classify_memo *m)
{
    return m->hits;
}

static void memo_for(struct classify_memo *m, struct classify *c)
{
    if (m->of == c)
        return;
    classify_unref(m->of);
    m->of = classify_ref(c);
    memset(m->places, 0, sizeof m->places);
}

void classify_run(struct classify_memo *m, struct classify *c, const struct llm_request *r,
                  struct classify_result *out)
{
    char joined[FEATURES_TEXT_MAX];
    strv text = last_turn(r, joined);
    bool has_tools = r->n_tools > 0;
    uint64_t digest[2];
    struct siphash h;
    if (m == NULL || c == NULL) {
        classify_text(c, text, has_tools, out);
        return;
    }
    memo_for(m, c);
    siphash_begin(&h, &m->key);
    siphash_put_u64(&h, has_tools);
    siphash_put(&h, text);
    siphash_end(&h, digest);
    size_t at = digest[0] % MEMO_PLACES;
    if (digest[0] != 0 && memcmp(m->places[at].digest, digest, sizeof digest) == 0) {
        *out = m->places[at].result;
        m->hits++;
        return;
    }
    classify_text(c, text, has_tools, out);
    memcpy(m->places[at].digest, digest, sizeof digest);
    m->places[at].result = *out;
}
