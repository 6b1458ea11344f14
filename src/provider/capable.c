/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capable - what a model can do, from everybody who says something about it.
 *
 *   its own words       the item of the server's list, or what the server tells when asked (learn.c)
 *   its kind            the engine without --embeddings, an Anthropic server that does not count
 *   the operator        providers.*.capabilities; the last word
 *
 * What nobody speaks of is unknown, and unknown is allowed: a server that refuses does no harm, a router
 * that refuses what would have worked does.
 */
#include "provider/internal.h"

void model_say(uint32_t *has, uint32_t *lacks, uint32_t need, bool yes)
{
    *has = yes ? *has | need : *has & ~need;
    *lacks = yes ? *lacks & ~need : *lacks | need;
}

static void say(struct provider_model *out, uint32_t need, bool yes)
{
    model_say(&out->has, &out->lacks, need, yes);
}

/* ---- Ollama ---- */

/* What its words speak of. EMBED is not among them: a model that chats embeds as well. */
#define TOLD_BY_WORDS (LLM_NEED_TOOLS | LLM_NEED_IMAGES | LLM_NEED_AUDIO | LLM_NEED_THINKING)

/* ["completion","tools","vision"]: what is not there is lacking. */
bool model_read_words(yyjson_val *words, struct provider_model *out)
{
    yyjson_val *word;
    size_t i, max;
    uint32_t need;
    if (!yyjson_is_arr(words) || yyjson_arr_size(words) == 0)
        return false;
    out->has = 0;
    yyjson_arr_foreach(words, i, max, word)
    {
        /* "image" is a model that draws; "vision" is one that sees. */
        if (!strv_eq_cstr(json_str(word), "image") && llm_need_parse(json_str(word), &need))
            out->has |= need;
    }
    out->lacks = TOLD_BY_WORDS & ~out->has;
    return true;
}

/* ---- OpenAI's kin ---- */

/* llama-server: {"input_modalities":["text","image"]} */
static void read_modalities(yyjson_val *architecture, struct provider_model *out)
{
    yyjson_val *list = json_get(architecture, "input_modalities"), *word;
    bool image = false, audio = false;
    size_t i, max;
    if (!yyjson_is_arr(list))
        return;
    yyjson_arr_foreach(list, i, max, word)
    {
        image = image || strv_eq_cstr(json_str(word), "image");
        audio = audio || strv_eq_cstr(json_str(word), "audio");
    }
    say(out, LLM_NEED_IMAGES, image);
    say(out, LLM_NEED_AUDIO, audio);
}

enum told { TOLD_NOTHING, TOLD_NO, TOLD_YES };

/* Anthropic: {"supported":true} */
static enum told supported(yyjson_val *capabilities, const char *key)
{
    yyjson_val *v = json_get(json_get(capabilities, key), "supported");
    return !yyjson_is_bool(v) ? TOLD_NOTHING : yyjson_get_bool(v) ? TOLD_YES : TOLD_NO;
}

/* The SDK's ThinkingTypes (November 2026): each type has its own word, and false means 400. */
static void read_thinking(yyjson_val *types, struct provider_model *out)
{
    bool adaptive = supported(types, "adaptive") == TOLD_YES;
    if (supported(types, "enabled") == TOLD_YES)
        out->thinking = DIALECT_THINK_BUDGET;
    else if (adaptive && supported(types, "disabled") == TOLD_NO)
        out->thinking = DIALECT_THINK_ALWAYS;
    else if (adaptive)
        out->thinking = DIALECT_THINK_ADAPTIVE;
}

void model_read_openai(yyjson_val *item, struct provider_model *out)
{
    static const struct {
        const char *key;
        uint32_t need;
    } rows[] = {{"image_input", LLM_NEED_IMAGES},
                {"pdf_input", LLM_NEED_DOCUMENTS},
                {"thinking", LLM_NEED_THINKING}};
    yyjson_val *capabilities = json_get(item, "capabilities");
    read_modalities(json_get(item, "architecture"), out);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum told told = supported(capabilities, rows[i].key);
        if (told != TOLD_NOTHING)
            say(out, rows[i].need, told == TOLD_YES);
    }
    read_thinking(json_get(json_get(capabilities, "thinking"), "types"), out);
}

/* ---- kinds ---- */

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static uint32_t lacked_by_kind(const struct provider *p, const struct provider_model *known)
{
    /* Who serves /v1/messages and counts as well (openai.md B1); an Ollama and LocalAI do not. */
    static const char *const count[] = {"vllm", "llamacpp", "docker", NULL};
    uint32_t lacks = 0;
    if (p->kind == PROVIDER_LLAMA_SERVER && p->spawn.model != NULL && !p->spawn.embeddings)
        lacks |= LLM_NEED_EMBED;
    if (p->kind == PROVIDER_ANTHROPIC && p->zone != ZONE_CLOUD &&
        (known == NULL || !is_one_of(known->owner, count)))
        lacks |= LLM_NEED_COUNT;
    return lacks;
}

uint32_t provider_can(const struct provider *p)
{
    uint32_t can = p->dialect->can;
    bool vendor = p->kind == PROVIDER_ANTHROPIC && p->zone == ZONE_CLOUD;
    if (!vendor)
        can &= ~(uint32_t)LLM_NEED_ANTHROPIC;
    if (!vendor && !p->links)
        can &= ~(uint32_t)LLM_NEED_LINKS;
    return can;
}

/* ---- the operator ---- */

static bool read_claim_word(strv word, struct provider_claim *out)
{
    static const strv context = {"context:", 8};
    uint32_t need;
    uint64_t tokens;
    if (strv_starts(word, context)) {
        if (!strv_u64(strv_from(word, context.len), 1, 1000000000, &tokens))
            return false;
        out->context = (int64_t)tokens;
        return true;
    }
    bool no = word.len > 0 && word.ptr[0] == '-';
    if (!llm_need_parse(no ? strv_from(word, 1) : word, &need))
        return false;
    model_say(&out->has, &out->lacks, need, !no);
    return true;
}

bool provider_claim_parse(strv text, struct arena *arena, struct provider_claim *out)
{
    strv rest = strv_trim(text), pattern, word;
    *out = (struct provider_claim){0};
    if (!strv_cut(&rest, '=', &pattern) || rest.ptr == NULL)
        return false;
    pattern = strv_trim(pattern);
    rest = strv_trim(rest);
    if (pattern.len == 0 || memchr(pattern.ptr, ' ', pattern.len) != NULL || rest.len == 0)
        return false;
    while (strv_cut(&rest, ' ', &word))
        if (word.len > 0 && !read_claim_word(word, out))
            return false;
    if (arena != NULL)
        out->pattern = arena_cstr(arena, pattern);
    return true;
}

void model_known(const struct provider *p, strv model, const struct provider_model *known,
                 uint32_t *has, uint32_t *lacks, int64_t *context)
{
    *has = known != NULL ? known->has : 0;
    *lacks = known != NULL ? known->lacks : 0;
    model_say(has, lacks, lacked_by_kind(p, known), false);
    for (size_t i = 0; i < p->n_claims; i++) {
        const struct provider_claim *c = &p->claims[i];
        if (!strv_glob(strv_of(c->pattern), model) &&
            !strv_glob(strv_of(c->pattern), model_without_latest(model)))
            continue;
        model_say(has, lacks, c->lacks, false);
        model_say(has, lacks, c->has, true);
        if (c->context > 0)
            *context = c->context;
    }
}
