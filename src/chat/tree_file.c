/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_file - what people attach to a question: images, known by their bytes, and texts.
 *
 * The type a client tells is believed only in that it says "this is an image", or "this is none". Whatever is neither an
 * image that models take nor a text is refused by name. A file's name goes to the model and into exports, so it is one line.
 */
#include "chat/tree.h"

#include "chat/tree_int.h"

#define NAME_BYTES_MAX 200
#define TYPE_BYTES_MAX 100

static bool bad(struct err *err, const char *what)
{
    return err_field(err, LLM_ERR_INVALID_REQUEST, "attachments", "attachments: %s", what);
}

/* One line without control characters, not longer than `max`. */
static strv one_line(strv text, size_t max, strv otherwise, struct arena *arena)
{
    strv cut = text.ptr != NULL ? utf8_cut(strv_trim(text), max) : STRV("");
    char *own = arena_alloc(arena, cut.len + 1);
    if (own == NULL || cut.len == 0)
        return own != NULL ? otherwise : STRV_NONE;
    for (size_t i = 0; i < cut.len; i++)
        own[i] = (unsigned char)cut.ptr[i] < 0x20 || cut.ptr[i] == 0x7f ? ' ' : cut.ptr[i];
    strv line = strv_trim((strv){own, cut.len});
    return line.len > 0 ? line : otherwise;
}

static bool begins(strv type, const char *prefix)
{
    size_t n = strlen(prefix);
    return type.len >= n && strv_eq_nocase((strv){type.ptr, n}, (strv){prefix, n});
}

static bool read_image(struct chat_file *f, struct arena *arena, struct err *err)
{
    struct err why = ERR_INIT;
    if (!media_base64_normal(f->data, arena, &f->data, LLM_ERR_INVALID_REQUEST, &why))
        return why.code == ERR_CODE_OOM ? err_oom(err) : bad(err, "an image must be in base64");
    strv type = strv_of(media_type_base64(f->data));
    if (!begins(type, "image/"))
        return bad(err, "an image must be PNG, JPEG, GIF, WebP or BMP");
    if (tree_file_bytes(f) > MEDIA_IMAGE_BYTES_MAX)
        return bad(err, "an image is larger than 20 MiB");
    f->type = type;
    f->image = true;
    return true;
}

bool chat_file_read(yyjson_val *attachment, struct arena *arena, struct chat_file *out,
                    struct err *err)
{
    strv type = json_get_str(attachment, "type"), data = json_get_str(attachment, "data");
    if (data.ptr == NULL)
        return bad(err, "each must be an object with name, type and data");
    *out = (struct chat_file){
        .name = one_line(json_get_str(attachment, "name"), NAME_BYTES_MAX, STRV("file"), arena),
        .type = one_line(type, TYPE_BYTES_MAX, STRV("text/plain"), arena),
        .data = data};
    if (out->name.ptr == NULL || out->type.ptr == NULL)
        return err_oom(err);
    type = out->type;
    if (begins(type, "image/") && !begins(type, "image/svg")) /* SVG is a text */
        return read_image(out, arena, err);
    if (begins(type, "audio/") || begins(type, "video/") || begins(type, "application/pdf") ||
        begins(type, "application/zip"))
        return bad(err, "only texts and images can be read");
    if (memchr(data.ptr, '\0', data.len) != NULL)
        return bad(err, "a file is no text");
    return true;
}

size_t tree_file_bytes(const struct chat_file *f)
{
    size_t n = f->data.len;
    if (!f->image)
        return n;
    size_t pads = n > 0 && f->data.ptr[n - 1] == '=' ? 1 : 0;
    pads += n > 1 && f->data.ptr[n - 2] == '=' ? 1 : 0;
    return n / 4 * 3 - pads;
}
