/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared_media - images, documents and sound that a caller sends.
 *
 *   data URI, base64    type told by the bytes, whatever the caller wrote; base64 in its normal form
 *   text/...            a TEXT part: every model reads it
 *   http(s) address     a LINK, for providers that may fetch; nothing is fetched here
 *
 * A file whose kind no upstream takes is refused by name.
 */
#include "dialect/reading.h"

#define DOCUMENT_BYTES_MAX ((size_t)32 << 20)

/* media_ functions tell where and what, but not in which member. */
static bool refuse(struct reading *rd, const char *field, const struct err *why)
{
    return why->code == ERR_CODE_OOM ? err_oom(rd->err) : invalid(rd, field, why->text);
}

static bool starts_with(strv v, const char *prefix)
{
    return strv_starts(v, strv_of(prefix));
}

bool dialect_read_file(struct reading *rd, strv base64, const char *field, struct llm_part *out)
{
    struct err why = ERR_INIT;
    strv data;
    if (!media_base64_normal(base64, rd->arena, &data, LLM_ERR_INVALID_REQUEST, &why))
        return refuse(rd, field, &why);
    const char *type = media_type_base64(data);
    *out = (struct llm_part){.type = strv_of(type), .data = data, .title = STRV("")};
    size_t max = DOCUMENT_BYTES_MAX;
    if (type != NULL && starts_with(out->type, "image/")) {
        out->kind = LLM_PART_IMAGE;
        rd->r->needs |= LLM_NEED_IMAGES;
        max = MEDIA_IMAGE_BYTES_MAX;
    } else if (type != NULL && strv_eq_cstr(out->type, "application/pdf")) {
        out->kind = LLM_PART_DOCUMENT;
        rd->r->needs |= LLM_NEED_DOCUMENTS;
    } else if (type != NULL && starts_with(out->type, "audio/")) {
        out->kind = LLM_PART_AUDIO;
        rd->r->needs |= LLM_NEED_AUDIO;
    } else {
        return invalid(rd, field, "is no image, PDF or sound of a known kind");
    }
    if (data.len / 4 * 3 > max)
        return invalid(rd, field,
                       out->kind == LLM_PART_IMAGE ? "is larger than 20 MiB"
                                                   : "is larger than 32 MiB");
    return true;
}

bool dialect_read_text_document(struct reading *rd, strv title, strv text, const char *field,
                                struct llm_part *out)
{
    if (!utf8_valid(text) || memchr(text.ptr != NULL ? text.ptr : "", '\0', text.len) != NULL)
        return invalid(rd, field, "is no text in UTF-8");
    return llm_part_text_file(rd->arena, title, text, out) || err_oom(rd->err);
}

/* The bytes of a data URI as base64, in either of its two spellings. */
static bool as_base64(struct reading *rd, const struct media_uri *uri, strv *out)
{
    *out = uri->data;
    if (uri->base64)
        return true;
    struct buf b;
    buf_init(&b, 2 * uri->data.len + 8);
    bool ok = media_base64_put(&b, uri->data);
    *out = arena_strv(rd->arena, buf_view(&b));
    buf_fini(&b);
    return ok && out->ptr != NULL ? true : err_oom(rd->err);
}

static bool read_uri(struct reading *rd, strv text, const char *field, struct media_uri *uri)
{
    struct err why = ERR_INIT;
    if (media_data_uri(text, rd->arena, uri, LLM_ERR_INVALID_REQUEST, &why))
        return true;
    return refuse(rd, field, &why);
}

bool dialect_read_link(struct reading *rd, strv address, const char *type, const char *field,
                       struct llm_part *out)
{
    if (!starts_with(address, "https://") && !starts_with(address, "http://"))
        return invalid(rd, field, "must be a data URI or an address that begins with https://");
    *out = (struct llm_part){.kind = LLM_PART_LINK, .text = address, .type = strv_of(type)};
    rd->r->needs |= LLM_NEED_LINKS;
    rd->r->needs |= strv_eq_cstr(out->type, "image") ? LLM_NEED_IMAGES : LLM_NEED_DOCUMENTS;
    return true;
}

bool dialect_read_image(struct reading *rd, strv text, const char *field, struct llm_part *out)
{
    struct media_uri uri;
    strv base64;
    if (!media_is_data_uri(text))
        return dialect_read_link(rd, text, "image", field, out);
    if (!read_uri(rd, text, field, &uri) || !as_base64(rd, &uri, &base64) ||
        !dialect_read_file(rd, base64, field, out))
        return false;
    if (out->kind != LLM_PART_IMAGE)
        return invalid(rd, field, "is no image");
    return true;
}

static bool is_text(strv type)
{
    static const char *const types[] = {"application/json", "application/xml", "application/yaml"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strv_eq_nocase(type, strv_of(types[i])))
            return true;
    return type.len > 5 && strv_eq_nocase((strv){type.ptr, 5}, STRV("text/"));
}

bool dialect_read_document(struct reading *rd, strv text, strv title, const char *field,
                           struct llm_part *out)
{
    struct media_uri uri;
    struct err why = ERR_INIT;
    strv base64;
    if (!media_is_data_uri(text)) {
        if (!dialect_read_file(rd, text, field, out))
            return false;
    } else if (!read_uri(rd, text, field, &uri)) {
        return false;
    } else if (is_text(uri.type)) {
        strv bytes = uri.data;
        if (uri.base64 &&
            !media_base64_decode(uri.data, rd->arena, &bytes, LLM_ERR_INVALID_REQUEST, &why))
            return refuse(rd, field, &why);
        return dialect_read_text_document(rd, title, bytes, field, out);
    } else if (!as_base64(rd, &uri, &base64) || !dialect_read_file(rd, base64, field, out)) {
        return false;
    }
    out->title = title;
    return true;
}

bool dialect_read_audio(struct reading *rd, strv data, strv format, const char *field,
                        struct llm_part *out)
{
    struct err why = ERR_INIT;
    bool wav = strv_eq_cstr(format, "wav");
    strv base64;
    if (!wav && !strv_eq_cstr(format, "mp3"))
        return invalid(rd, field, "must have the format wav or mp3");
    if (data.ptr == NULL)
        return invalid(rd, field, "must have data in base64");
    if (!media_base64_normal(data, rd->arena, &base64, LLM_ERR_INVALID_REQUEST, &why))
        return refuse(rd, field, &why);
    if (base64.len / 4 * 3 > DOCUMENT_BYTES_MAX)
        return invalid(rd, field, "is larger than 32 MiB");
    const char *type = media_type_base64(base64);
    bool known = type != NULL && starts_with(strv_of(type), "audio/");
    *out = (struct llm_part){.kind = LLM_PART_AUDIO,
                             .type = known ? strv_of(type)
                                     : wav ? STRV("audio/wav")
                                           : STRV("audio/mpeg"),
                             .data = base64,
                             .title = STRV("")};
    rd->r->needs |= LLM_NEED_AUDIO;
    return true;
}
