/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic_content - messages of a caller, and the blocks in them.
 *
 *   text                        TEXT            tool_use                       CALL, its input as written
 *   image, document (base64)    IMAGE, DOCUMENT tool_result                    RESULT, with parts of its own
 *   image, document (url)       LINK            thinking, redacted_thinking    REASONING and its signature
 *   document (text, content)    TEXT            search_result                  TEXT
 *
 * A row in the table says where a kind of block may stand. Everything else (the vendor's server tools and
 * their results, files that lie there, kinds that are new) is for Anthropic alone: LLM_NEED_ANTHROPIC, and
 * the block's JSON as a TEXT part, so that whoever looks at what is said, counts it or searches it for what
 * is private, sees that too. It is never sent in that form.
 */
#include <stdio.h>

#include "dialect/anthropic.h"

#define FIELD_MAX 96

enum place { IN_SYSTEM, IN_USER, IN_ASSISTANT, IN_RESULT };
#define AT(place) (1u << (place))

struct spot {
    const char *field; /* path of the block, for errors */
    enum place place;
};

/* Parts being read: one block can become several. */
struct parts {
    struct llm_part *parts;
    size_t n, room;
};

static bool read_blocks(struct reading *rd, yyjson_val *list, const struct spot *at,
                        struct parts *to);

static struct llm_part *add(struct reading *rd, struct parts *to, enum llm_part_kind kind)
{
    if (to->n == to->room) {
        size_t room = to->room > 0 ? 2 * to->room : 1;
        struct llm_part *parts =
            arena_resize(rd->arena, to->parts, to->room * sizeof *parts, room * sizeof *parts);
        if (parts == NULL) {
            err_oom(rd->err);
            return NULL;
        }
        to->parts = parts;
        to->room = room;
    }
    struct llm_part *p = &to->parts[to->n++];
    *p = (struct llm_part){.kind = kind, .text = STRV(""), .id = STRV(""), .name = STRV("")};
    return p;
}

static bool add_text(struct reading *rd, struct parts *to, strv text)
{
    struct llm_part *p = add(rd, to, LLM_PART_TEXT);
    if (p == NULL)
        return false;
    p->text = text;
    return true;
}

/* What was put together in b, as a TEXT part; frees b. */
static bool add_made(struct reading *rd, struct parts *to, struct buf *b)
{
    strv text = arena_strv(rd->arena, buf_view(b));
    bool ok = !b->failed && text.ptr != NULL;
    buf_fini(b);
    return ok ? add_text(rd, to, text) : err_oom(rd->err);
}

static bool add_json(struct reading *rd, struct parts *to, yyjson_val *v)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 4);
    json_put_val(&b, v, rd->arena);
    return add_made(rd, to, &b);
}

static bool vendors_own(struct reading *rd, yyjson_val *block, struct parts *to)
{
    rd->r->needs |= LLM_NEED_ANTHROPIC;
    return add_json(rd, to, block);
}

/* ---- text ---- */

static bool read_text(struct reading *rd, yyjson_val *block, const struct spot *at,
                      struct parts *to)
{
    /* Claude Code sends a system block that changes with every request; for any other upstream it only
     * ruins the prompt cache (translation.md 2; vLLM strips it as well). */
    static const char billing[] = "x-anthropic-billing-header:";
    strv text = json_get_str(block, "text");
    if (text.ptr == NULL)
        return invalid(rd, at->field, "text: Input should be a valid string");
    if (!dialect_is_nothing(json_get(block, "citations")))
        beyond(rd, DIALECT_LOSS_CITATIONS);
    if (at->place == IN_SYSTEM && strv_starts(text, STRV(billing)))
        return true;
    return add_text(rd, to, text);
}

/* The line that a model needs to speak of a document by its name. */
static void put_title(struct buf *b, yyjson_val *block, const char *context)
{
    strv title = json_get_str(block, "title"), about = json_get_str(block, context);
    if (title.len > 0) {
        buf_put_cstr(b, "Document: ");
        buf_put_strv(b, title);
        buf_put_char(b, '\n');
    }
    if (about.len > 0) {
        buf_put_strv(b, about);
        buf_put_char(b, '\n');
    }
    if (buf_len(b) > 0)
        buf_put_char(b, '\n');
}

static bool read_search_result(struct reading *rd, yyjson_val *block, const struct spot *at,
                               struct parts *to)
{
    yyjson_val *content = json_get(block, "content"), *v;
    size_t i, n;
    struct buf b;
    if (!yyjson_is_arr(content))
        return invalid(rd, at->field, "content: Input should be a valid list");
    if (!dialect_is_nothing(json_get(json_get(block, "citations"), "enabled")))
        beyond(rd, DIALECT_LOSS_CITATIONS);
    buf_init(&b, SIZE_MAX / 4);
    put_title(&b, block, "source");
    yyjson_arr_foreach(content, i, n, v)
    {
        strv text = json_get_str(v, "text");
        if (text.ptr == NULL) {
            buf_fini(&b);
            return invalid(rd, at->field, "content: Input should be a list of text blocks");
        }
        if (i > 0)
            buf_put_cstr(&b, "\n\n");
        buf_put_strv(&b, text);
    }
    return add_made(rd, to, &b);
}

/* ---- images and documents ---- */

static bool read_link(struct reading *rd, yyjson_val *source, const char *type,
                      const struct spot *at, struct parts *to)
{
    strv url = json_get_str(source, "url");
    if (url.len == 0)
        return invalid(rd, at->field, "source.url: Field required");
    struct llm_part *p = add(rd, to, LLM_PART_LINK);
    if (p == NULL)
        return false;
    return dialect_read_link(rd, url, type, at->field, p);
}

/* The type is what the bytes are, whatever the caller calls them: upstreams check (translation.md 3). */
static bool read_bytes(struct reading *rd, yyjson_val *source, const struct spot *at,
                       struct llm_part *p)
{
    enum llm_part_kind kind = p->kind;
    strv data = json_get_str(source, "data");
    if (data.len == 0)
        return invalid(rd, at->field, "source.data: Field required");
    if (!dialect_read_file(rd, data, at->field, p))
        return false;
    if (p->kind == kind)
        return true;
    return invalid(rd, at->field,
                   kind == LLM_PART_IMAGE ? "source: the data is not an image"
                                          : "source: the data is not a PDF");
}

static bool read_image(struct reading *rd, yyjson_val *block, const struct spot *at,
                       struct parts *to)
{
    yyjson_val *source = json_get(block, "source");
    strv type = json_get_str(source, "type");
    if (strv_eq_cstr(type, "url")) {
        rd->r->needs |= LLM_NEED_IMAGES;
        return read_link(rd, source, "image", at, to);
    }
    if (strv_eq_cstr(type, "file"))
        return vendors_own(rd, block, to);
    if (!strv_eq_cstr(type, "base64"))
        return invalid(rd, at->field, "source.type: Input should be 'base64', 'url' or 'file'");
    struct llm_part *p = add(rd, to, LLM_PART_IMAGE);
    return p != NULL && read_bytes(rd, source, at, p);
}

/* A document that is blocks of text and images, or one text. */
static bool read_inline(struct reading *rd, yyjson_val *block, yyjson_val *content,
                        const struct spot *at, struct parts *to)
{
    struct buf b;
    char field[FIELD_MAX];
    buf_init(&b, SIZE_MAX / 4);
    put_title(&b, block, "context");
    if (yyjson_is_str(content)) {
        buf_put_strv(&b, json_str(content));
        return add_made(rd, to, &b);
    }
    if (!yyjson_is_arr(content)) {
        buf_fini(&b);
        return invalid(rd, at->field,
                       "source: Input should hold a string or a list of content blocks");
    }
    if (buf_len(&b) > 0 && !add_made(rd, to, &b))
        return false;
    buf_fini(&b);
    snprintf(field, sizeof field, "%.80s.source.content", at->field);
    return read_blocks(rd, content, &(struct spot){field, IN_RESULT}, to);
}

static bool read_document(struct reading *rd, yyjson_val *block, const struct spot *at,
                          struct parts *to)
{
    yyjson_val *source = json_get(block, "source");
    strv type = json_get_str(source, "type"), title = json_get_str(block, "title");
    bool text = strv_eq_cstr(type, "text");
    if (!dialect_is_nothing(json_get(json_get(block, "citations"), "enabled")))
        beyond(rd, DIALECT_LOSS_CITATIONS);
    if (text || strv_eq_cstr(type, "content"))
        return read_inline(rd, block, json_get(source, text ? "data" : "content"), at, to);
    if (strv_eq_cstr(type, "file") || at->place == IN_ASSISTANT)
        return vendors_own(rd, block, to);
    if (strv_eq_cstr(type, "url")) {
        rd->r->needs |= LLM_NEED_DOCUMENTS;
        return read_link(rd, source, "document", at, to);
    }
    if (!strv_eq_cstr(type, "base64"))
        return invalid(rd, at->field,
                       "source.type: Input should be 'base64', 'text', 'content', 'url' or 'file'");
    struct llm_part *p = add(rd, to, LLM_PART_DOCUMENT);
    if (p == NULL || !read_bytes(rd, source, at, p))
        return false;
    p->title = title.ptr != NULL ? title : STRV("");
    return true;
}

/* ---- tools and thinking ---- */

static bool read_call(struct reading *rd, yyjson_val *block, const struct spot *at,
                      struct parts *to)
{
    strv id = json_get_str(block, "id"), name = json_get_str(block, "name");
    if (id.ptr == NULL)
        return invalid(rd, at->field, "id: Field required");
    if (name.len == 0)
        return invalid(rd, at->field, "name: Field required");
    if (!yyjson_is_obj(json_get(block, "input")))
        return invalid(rd, at->field, "input: Input should be a valid dictionary");
    struct llm_part *p = add(rd, to, LLM_PART_CALL);
    if (p == NULL)
        return false;
    p->id = id;
    p->name = name;
    rd->r->has_history = true;
    return json_raw_member(&rd->r->body, block, "input", &p->text);
}

static bool read_result(struct reading *rd, yyjson_val *block, const struct spot *at,
                        struct parts *to)
{
    yyjson_val *content = json_get(block, "content");
    struct parts inner = {NULL, 0, 0};
    char field[FIELD_MAX];
    strv id = json_get_str(block, "tool_use_id");
    bool is_error = false;
    if (id.ptr == NULL)
        return invalid(rd, at->field, "tool_use_id: Field required");
    if (!dialect_decode_bool(block, "is_error", &is_error, rd->err))
        return false;
    if (yyjson_is_str(content)) {
        if (yyjson_get_len(content) > 0 && !add_text(rd, &inner, json_str(content)))
            return false;
    } else if (yyjson_is_arr(content)) {
        snprintf(field, sizeof field, "%.80s.content", at->field);
        if (!read_blocks(rd, content, &(struct spot){field, IN_RESULT}, &inner))
            return false;
    } else if (content != NULL) {
        return invalid(rd, at->field,
                       "content: Input should be a valid string or a list of content blocks");
    }
    struct llm_part *p = add(rd, to, LLM_PART_RESULT);
    if (p == NULL)
        return false;
    p->id = id;
    p->is_error = is_error;
    p->parts = inner.parts;
    p->n_parts = inner.n;
    rd->r->has_history = true;
    return true;
}

static bool read_thought(struct reading *rd, yyjson_val *block, const struct spot *at,
                         struct parts *to)
{
    bool redacted = strv_eq_cstr(json_get_str(block, "type"), "redacted_thinking");
    strv text = redacted ? STRV("") : json_get_str(block, "thinking");
    strv signature = json_get_str(block, redacted ? "data" : "signature");
    if (text.ptr == NULL)
        return invalid(rd, at->field, "thinking: Field required");
    if (redacted && signature.ptr == NULL)
        return invalid(rd, at->field, "data: Field required");
    struct llm_part *p = add(rd, to, LLM_PART_REASONING);
    if (p == NULL)
        return false;
    p->text = text;
    p->signature = signature.ptr != NULL ? signature : STRV("");
    p->redacted = redacted;
    return true;
}

/* ---- blocks and messages ---- */

static const struct {
    const char *type;
    unsigned places;
    bool (*read)(struct reading *rd, yyjson_val *block, const struct spot *at, struct parts *to);
} blocks[] = {
    {"text", AT(IN_SYSTEM) | AT(IN_USER) | AT(IN_ASSISTANT) | AT(IN_RESULT), read_text},
    {"image", AT(IN_USER) | AT(IN_RESULT), read_image},
    /* In an assistant message until version 2026-10-21. */
    {"document", AT(IN_USER) | AT(IN_ASSISTANT) | AT(IN_RESULT), read_document},
    {"search_result", AT(IN_USER) | AT(IN_RESULT), read_search_result},
    {"tool_use", AT(IN_ASSISTANT), read_call},
    {"tool_result", AT(IN_USER), read_result},
    {"thinking", AT(IN_ASSISTANT), read_thought},
    {"redacted_thinking", AT(IN_ASSISTANT), read_thought},
};

static bool read_block(struct reading *rd, yyjson_val *block, const struct spot *at,
                       struct parts *to)
{
    static const char *const places[] = {"system messages", "user messages", "assistant messages",
                                         "tool results or documents"};
    strv type = json_get_str(block, "type");
    char what[FIELD_MAX];
    size_t i = 0;
    if (!yyjson_is_obj(block))
        return invalid(rd, at->field, "Input should be an object");
    if (type.ptr == NULL)
        return invalid(rd, at->field, "type: Field required");
    if (!dialect_is_nothing(json_get(block, "cache_control")))
        beyond(rd, DIALECT_LOSS_CACHE);
    while (i < sizeof blocks / sizeof *blocks && !strv_eq_cstr(type, blocks[i].type))
        i++;
    if (i == sizeof blocks / sizeof *blocks)
        return vendors_own(rd, block, to);
    if (!(blocks[i].places & AT(at->place))) {
        snprintf(what, sizeof what, "%s blocks are not allowed in %s", blocks[i].type,
                 places[at->place]);
        return invalid(rd, at->field, what);
    }
    return blocks[i].read(rd, block, at, to);
}

static bool read_blocks(struct reading *rd, yyjson_val *list, const struct spot *at,
                        struct parts *to)
{
    size_t i, n;
    yyjson_val *block;
    yyjson_arr_foreach(list, i, n, block)
    {
        char field[FIELD_MAX];
        snprintf(field, sizeof field, "%.70s.%zu", at->field, i);
        if (!read_block(rd, block, &(struct spot){field, at->place}, to))
            return false;
    }
    return true;
}

static bool read_content(struct reading *rd, yyjson_val *v, const char *field,
                         struct llm_message *m)
{
    static const enum place places[] = {
        [LLM_SYSTEM] = IN_SYSTEM, [LLM_USER] = IN_USER, [LLM_ASSISTANT] = IN_ASSISTANT};
    struct parts list = {NULL, 0, 0};
    if (!yyjson_is_str(v) && !yyjson_is_arr(v))
        return invalid(rd, field, "Input should be a valid string or a list of content blocks");
    if (yyjson_is_str(v) ? !add_text(rd, &list, json_str(v))
                         : !read_blocks(rd, v, &(struct spot){field, places[m->role]}, &list))
        return false;
    m->parts = list.parts;
    m->n_parts = list.n;
    return true;
}

static bool read_message(struct reading *rd, yyjson_val *v, size_t at, bool last)
{
    struct llm_message *m = &rd->r->messages[rd->r->n_messages++];
    char field[64];
    snprintf(field, sizeof field, "messages.%zu", at);
    if (!yyjson_is_obj(v))
        return invalid(rd, field, "Input should be an object");
    strv role = json_get_str(v, "role");
    if (strv_eq_cstr(role, "user"))
        m->role = LLM_USER;
    else if (strv_eq_cstr(role, "assistant"))
        m->role = LLM_ASSISTANT;
    else if (strv_eq_cstr(role, "system"))
        m->role = LLM_SYSTEM;
    else {
        snprintf(field, sizeof field, "messages.%zu.role", at);
        return invalid(rd, field, "Input should be 'user' or 'assistant'");
    }
    yyjson_val *content = json_get(v, "content");
    if (dialect_is_nothing(content) && (content == NULL || !last || m->role != LLM_ASSISTANT))
        return invalid(rd, field,
                       "all messages must have non-empty content except for the optional final "
                       "assistant message");
    snprintf(field, sizeof field, "messages.%zu.content", at);
    return read_content(rd, content, field, m);
}

static bool read_system(struct reading *rd, yyjson_val *system)
{
    if (system == NULL)
        return true;
    struct llm_message *m = &rd->r->messages[rd->r->n_messages];
    m->role = LLM_SYSTEM;
    if (!read_content(rd, system, "system", m))
        return false;
    if (m->n_parts > 0)
        rd->r->n_messages++;
    else
        *m = (struct llm_message){.role = LLM_SYSTEM};
    return true;
}

bool anthropic_read_messages(struct reading *rd, yyjson_val *root)
{
    yyjson_val *list = json_get(root, "messages"), *v;
    if (list == NULL)
        return invalid(rd, "messages", "Field required");
    if (!yyjson_is_arr(list))
        return invalid(rd, "messages", "Input should be a valid list");
    if (yyjson_arr_size(list) == 0)
        return invalid(rd, "messages", "at least one message is required");
    rd->r->messages = ARENA_ARRAY(rd->arena, struct llm_message, yyjson_arr_size(list) + 1);
    if (rd->r->messages == NULL)
        return err_oom(rd->err);
    if (!read_system(rd, json_get(root, "system")))
        return false;
    size_t at, n;
    yyjson_arr_foreach(list, at, n, v)
    {
        if (!read_message(rd, v, at, at + 1 == n))
            return false;
    }
    if (rd->r->has_history)
        rd->r->needs |= LLM_NEED_TOOLS;
    return true;
}
