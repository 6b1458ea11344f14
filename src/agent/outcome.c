/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome - see outcome.h.
 *
 *   content[] > each part as text or picture, or a note in its place --+
 *   structuredContent, if no text says the same ----------------------+> one text > cleaned > shortened > RESULT
 *   markers of placeholders in any string > a sentence in front -------+
 */
#include "agent/outcome.h"

#include "agent/note.h"
#include "agent/view.h"

#define PARTS_MAX     256 /* of one answer: a note for each is room enough */
#define PICTURES_MAX  4
#define PICTURE_BYTES ((size_t)12 * 1024 * 1024) /* base64; what vision models take is less */
#define COMPARE_MAX                                                                                \
    ((size_t)4 * 1024 * 1024) /* a larger text is not compared with the structured form */
#define SCAN_STEPS_MAX 200000
#define SCAN_DEPTH_MAX 64
#define NAME_MAX_BYTES 300 /* of a uri or a name in a note */

struct making {
    const struct mcp_tool *tool;
    const struct agent_outcome_opts *opts;
    struct arena *arena;  /* what the model gets */
    struct arena scratch; /* what is only read */
    struct buf text;
    struct llm_part pictures[PICTURES_MAX];
    size_t n_pictures;
    yyjson_val *structured;
    bool said; /* a text says what structuredContent says */
    const char *marker;
    bool is_error;
    size_t steps;
};

/* ---- markers ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* At the beginning of a word, in any case. */
static bool begins_word(strv text, const char *word)
{
    strv w = strv_of(word);
    for (size_t i = 0; i + w.len <= text.len; i++) {
        if (i > 0 && is_letter(text.ptr[i - 1]))
            continue;
        if (strv_eq_nocase((strv){text.ptr + i, w.len}, w))
            return true;
    }
    return false;
}

/* What results say of themselves when they are not what they seem. */
static const char *marker_of(strv text)
{
    static const char *const markers[] = {"placeholder",   "mock",        "fallback",
                                          "simulated",     "unavailable", "standalone_mode",
                                          "not available", "simplified",  "estimate"};
    for (size_t i = 0; i < sizeof markers / sizeof *markers; i++)
        if (begins_word(text, markers[i]))
            return markers[i];
    return NULL;
}

/* metadata.reason says why a result is not the real one; metadata.source says whence it is. */
static const char *marker_of_metadata(yyjson_val *metadata)
{
    static const char *const live[] = {"backend", "database", "db", "api", "live", "celery", NULL};
    strv source = json_get_str(metadata, "source");
    if (json_get_str(metadata, "reason").len > 0)
        return "metadata.reason";
    for (size_t i = 0; live[i] != NULL; i++)
        if (strv_eq_nocase(source, strv_of(live[i])))
            return NULL;
    return source.len > 0 ? "metadata.source" : NULL;
}

/* Nothing but zeros, and all is well: the form of a tool that has looked at nothing. */
static bool is_healthy_zero(yyjson_val *obj)
{
    yyjson_val *key, *val;
    size_t i, n, zeros = 0;
    if (!strv_eq_nocase(json_get_str(obj, "severity"), STRV("healthy")))
        return false;
    yyjson_obj_foreach(obj, i, n, key, val)
    {
        if (!yyjson_is_num(val))
            continue;
        if (yyjson_get_num(val) != 0)
            return false;
        zeros++;
    }
    return zeros >= 2;
}

static const char *marker_of_object(yyjson_val *obj)
{
    const char *marker = marker_of_metadata(json_get(obj, "metadata"));
    if (marker == NULL && is_healthy_zero(obj))
        marker = "all zero and healthy";
    /* A validator that could not reach its backend says "valid", with an issue of this form. */
    if (marker == NULL &&
        strv_eq_nocase(json_get_str(obj, "constraint_name"), STRV("connectivity")) &&
        strv_eq_nocase(json_get_str(obj, "rule_type"), STRV("system")))
        marker = "connectivity";
    return marker;
}

static void scan(struct making *m, yyjson_val *val, int depth)
{
    yyjson_val *key, *one;
    size_t i, n;
    if (m->marker != NULL || depth > SCAN_DEPTH_MAX || ++m->steps > SCAN_STEPS_MAX)
        return;
    if (yyjson_is_str(val))
        m->marker = marker_of(json_str(val));
    if (yyjson_is_obj(val))
        m->marker = marker_of_object(val);
    yyjson_arr_foreach(val, i, n, one)
    {
        scan(m, one, depth + 1);
    }
    if (!yyjson_is_obj(val))
        return;
    yyjson_obj_foreach(val, i, n, key, one)
    {
        scan(m, one, depth + 1);
    }
}

/* What is known of the tool itself: its mark, or where its answers come from. */
static const char *marker_of_tool(struct making *m)
{
    static const char *const sources[] = {"constant", "constant_formula", "simulated",
                                          "placeholder_always"};
    yyjson_val *note = agent_note(m->tool, &m->scratch);
    strv source = json_get_str(note, "source");
    if (strv_starts(strv_trim(m->tool->description), STRV("[MOCK]")) ||
        strv_eq(json_get_str(note, "mark"), STRV("[MOCK]")))
        return "[MOCK]";
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (strv_eq_cstr(source, sources[i]))
            return sources[i];
    return NULL;
}

/* ---- parts ---- */

static void put_line(struct making *m)
{
    if (buf_len(&m->text) > 0)
        buf_put_char(&m->text, '\n');
}

/* A text of the server, without what steers terminals. */
static void put_clean(struct making *m, strv text, size_t max)
{
    strv clean = mcp_clean(text, max, &m->scratch);
    if (clean.ptr != NULL)
        buf_put_strv(&m->text, clean);
}

static void put_note(struct making *m, const char *what, strv name, strv type, size_t base64_bytes)
{
    put_line(m);
    buf_printf(&m->text, "[%s", what);
    if (name.len > 0) {
        buf_put_char(&m->text, ' ');
        put_clean(m, name, NAME_MAX_BYTES);
    }
    if (type.len > 0) {
        buf_put_cstr(&m->text, ", ");
        put_clean(m, type, 80);
    }
    if (base64_bytes > 0)
        buf_printf(&m->text, ", %zu bytes", base64_bytes / 4 * 3);
    buf_put_cstr(&m->text, ": not shown]");
}

/* JSON that says "it did not work" without isError. */
static bool says_failure(yyjson_val *val)
{
    strv status = json_get_str(val, "status");
    return yyjson_is_false(json_get(val, "success")) || strv_eq_nocase(status, STRV("error")) ||
           strv_eq_nocase(status, STRV("failed"));
}

/* Is it structuredContent again: as JSON, or as the one member "result" that SDKs wrap a plain value in? */
static bool is_structured(const struct making *m, yyjson_val *val, strv text)
{
    yyjson_val *inner =
        yyjson_obj_size(m->structured) == 1 ? json_get(m->structured, "result") : NULL;
    if (m->structured == NULL)
        return false;
    if (val != NULL && (yyjson_equals(m->structured, val) || (inner && yyjson_equals(inner, val))))
        return true;
    return strv_eq(json_str(inner), text);
}

static void add_text(struct making *m, strv text)
{
    struct json doc = {.root = NULL};
    struct err err = ERR_INIT;
    strv trimmed = strv_trim(text);
    bool maybe = trimmed.len > 0 && trimmed.len <= COMPARE_MAX &&
                 (trimmed.ptr[0] == '{' || trimmed.ptr[0] == '[' || m->structured != NULL);
    if (maybe && !json_read(&doc, trimmed, &m->scratch, 0, &err))
        doc.root = NULL;
    if (yyjson_is_ctn(doc.root)) {
        scan(m, doc.root, 0);
        m->is_error = m->is_error || says_failure(doc.root);
    } else if (m->marker == NULL) {
        m->marker = marker_of(text);
    }
    m->said = m->said || is_structured(m, doc.root, text);
    put_line(m);
    put_clean(m, text, text.len);
}

static void add_picture(struct making *m, yyjson_val *part)
{
    strv data = json_get_str(part, "data"), normal, kept;
    const char *type = data.ptr != NULL ? media_type_base64(data) : NULL;
    struct err err = ERR_INIT;
    bool fits = m->opts->images && m->n_pictures < PICTURES_MAX && data.len <= PICTURE_BYTES &&
                type != NULL && strv_starts(strv_of(type), STRV("image/")) &&
                media_base64_normal(data, &m->scratch, &normal, 0, &err);
    if (!fits) {
        put_note(m, "image", STRV(""), json_get_str(part, "mimeType"), data.len);
        return;
    }
    kept = arena_strv(m->arena, normal);
    m->pictures[m->n_pictures++] =
        (struct llm_part){.kind = LLM_PART_IMAGE, .type = strv_of(type), .data = kept};
}

static void add_link(struct making *m, yyjson_val *part)
{
    put_line(m);
    buf_put_cstr(&m->text, "Link: ");
    put_clean(m, json_get_str(part, "name"), NAME_MAX_BYTES);
    buf_put_cstr(&m->text, " <");
    put_clean(m, json_get_str(part, "uri"), NAME_MAX_BYTES);
    buf_put_char(&m->text, '>');
}

static void add_resource(struct making *m, yyjson_val *part)
{
    yyjson_val *resource = json_get(part, "resource");
    strv text = json_get_str(resource, "text"), uri = json_get_str(resource, "uri");
    if (text.ptr == NULL) {
        put_note(m, "file", uri, json_get_str(resource, "mimeType"),
                 json_get_str(resource, "blob").len);
        return;
    }
    put_line(m);
    buf_put_char(&m->text, '<');
    put_clean(m, uri, NAME_MAX_BYTES);
    buf_put_char(&m->text, '>');
    add_text(m, text);
}

/* Some parts are for the person alone. */
static bool is_for_models(yyjson_val *part)
{
    yyjson_val *audience = json_get(json_get(part, "annotations"), "audience"), *one;
    size_t i, n;
    if (!yyjson_is_arr(audience) || yyjson_arr_size(audience) == 0)
        return true;
    yyjson_arr_foreach(audience, i, n, one)
    {
        if (yyjson_equals_str(one, "assistant"))
            return true;
    }
    return false;
}

static void add_part(struct making *m, yyjson_val *part)
{
    strv type = json_get_str(part, "type");
    if (!is_for_models(part))
        put_note(m, "a part for the user only", STRV(""), STRV(""), 0);
    else if (strv_eq(type, STRV("text")) && json_get_str(part, "text").ptr != NULL)
        add_text(m, json_get_str(part, "text"));
    else if (strv_eq(type, STRV("image")))
        add_picture(m, part);
    else if (strv_eq(type, STRV("audio")))
        put_note(m, "audio", STRV(""), json_get_str(part, "mimeType"),
                 json_get_str(part, "data").len);
    else if (strv_eq(type, STRV("resource_link")))
        add_link(m, part);
    else if (strv_eq(type, STRV("resource")))
        add_resource(m, part);
    else
        put_note(m, "a part of a kind that is not known", type, STRV(""), 0);
}

static void add_structured(struct making *m)
{
    if (m->structured == NULL)
        return;
    scan(m, m->structured, 0);
    m->is_error = m->is_error || says_failure(m->structured);
    if (m->said)
        return;
    struct buf json;
    buf_init(&json, m->text.max);
    if (!json_put_val(&json, m->structured, &m->scratch))
        m->text.failed = true;
    put_line(m);
    put_clean(m, buf_view(&json), buf_len(&json));
    buf_fini(&json);
}

/* ---- how it ended ---- */

static void read_result(struct making *m, strv text)
{
    struct json doc;
    struct err err = ERR_INIT;
    yyjson_val *part;
    size_t i, n;
    if (!json_read(&doc, text, &m->scratch, 0, &err) || !yyjson_is_obj(doc.root)) {
        m->is_error = true;
        buf_put_cstr(&m->text, "The tool's answer could not be read.");
        return;
    }
    m->is_error = yyjson_is_true(json_get(doc.root, "isError"));
    m->structured = json_get(doc.root, "structuredContent");
    yyjson_arr_foreach(json_get(doc.root, "content"), i, n, part)
    {
        if (i >= PARTS_MAX)
            break;
        add_part(m, part);
    }
    if (n > PARTS_MAX)
        buf_printf(&m->text, "\n[%zu more parts were left out]", n - PARTS_MAX);
    add_structured(m);
    if (buf_len(&m->text) == 0 && m->n_pictures == 0)
        buf_put_cstr(&m->text, "(The tool ended without a word.)");
}

static void read_failure(struct making *m, const struct mcp_answer *a)
{
    static const char *const sentences[] = {
        [MCP_REFUSED] = "The tool server refused the call",
        [MCP_GONE] = "The tool server is down",
        [MCP_LATE] = "The tool did not answer in time",
        [MCP_BAD] = "The tool server's answer could not be read",
        [MCP_MEMORY] = "There was not enough memory for the call",
    };
    m->is_error = true;
    buf_put_cstr(&m->text, sentences[a->end]);
    if (a->text.len > 0) {
        buf_put_cstr(&m->text, ": ");
        put_clean(m, a->text, 2000);
    }
    buf_put_char(&m->text, '.');
}

/* ---- putting it together ---- */

static const char first_words[] = "Note: this may be placeholder, simulated or estimated data and "
                                  "not what the live system holds (";
static const char last_words[] = "). Tell the user so if you use it.\n";

/* Three parts of five from the front, two from the end, where a line ends if one does nearby. */
static bool put_shortened(struct buf *out, strv text, size_t max)
{
    size_t head = max / 5 * 3, tail = max / 5 * 2;
    strv front = utf8_cut(text, head), back = strv_from(text, text.len - tail);
    for (size_t i = front.len; i > front.len / 4 * 3; i--)
        if (front.ptr[i - 1] == '\n') {
            front.len = i;
            break;
        }
    while (back.len > 0 && ((unsigned char)back.ptr[0] & 0xC0) == 0x80)
        back = strv_from(back, 1);
    const char *line = memchr(back.ptr, '\n', back.len / 4);
    if (line != NULL)
        back = strv_from(back, (size_t)(line + 1 - back.ptr));
    buf_put_strv(out, front);
    buf_printf(out, "\n[%zu bytes in the middle were left out]\n", text.len - front.len - back.len);
    return buf_put_strv(out, back);
}

static bool put_together(struct making *m, struct agent_outcome *out)
{
    struct buf all;
    strv text = buf_view(&m->text);
    buf_init(&all, m->text.max + 1024);
    if (out->suspect)
        buf_printf(&all, "%s%s%s", first_words, out->marker, last_words);
    if (text.len > m->opts->bytes_max)
        put_shortened(&all, text, m->opts->bytes_max);
    else
        buf_put_strv(&all, text);
    struct llm_part *parts = ARENA_ARRAY(m->arena, struct llm_part, m->n_pictures + 1);
    strv kept = arena_strv(m->arena, buf_view(&all));
    bool ok = parts != NULL && kept.ptr != NULL && !all.failed;
    buf_fini(&all);
    if (!ok)
        return false;
    out->bytes = text.len;
    out->kept = kept.len;
    parts[0] = (struct llm_part){.kind = LLM_PART_TEXT, .text = kept};
    for (size_t i = 0; i < m->n_pictures; i++)
        parts[i + 1] = m->pictures[i];
    out->part = (struct llm_part){.kind = LLM_PART_RESULT,
                                  .is_error = m->is_error,
                                  .parts = parts,
                                  .n_parts = m->n_pictures + 1};
    out->is_error = m->is_error;
    return true;
}

bool agent_outcome_make(const struct mcp_tool *t, const struct mcp_answer *a,
                        const struct agent_outcome_opts *opts, struct arena *arena,
                        struct agent_outcome *out)
{
    struct making m = {.tool = t, .opts = opts, .arena = arena};
    *out = (struct agent_outcome){.marker = NULL};
    arena_init(&m.scratch, 16 * 1024, (size_t)512 * 1024 * 1024);
    buf_init(&m.text, 6 * a->result.len + PARTS_MAX * (size_t)1024);
    if (a->end == MCP_OK)
        read_result(&m, a->result);
    else
        read_failure(&m, a);
    /* an error says itself that it is none of the real thing */
    if (!m.is_error) {
        out->marker = m.marker != NULL ? m.marker : marker_of_tool(&m);
        out->suspect = out->marker != NULL;
    }
    bool ok = !m.scratch.failed && !m.text.failed && put_together(&m, out) && !arena->failed;
    buf_fini(&m.text);
    arena_fini(&m.scratch);
    return ok;
}

bool agent_outcome_say(strv sentence, struct arena *arena, struct agent_outcome *out)
{
    struct llm_part *part = ARENA_NEW(arena, struct llm_part);
    strv kept = arena_strv(arena, sentence);
    *out = (struct agent_outcome){.bytes = sentence.len, .kept = sentence.len};
    if (part == NULL || kept.ptr == NULL)
        return false;
    *part = (struct llm_part){.kind = LLM_PART_TEXT, .text = kept};
    out->part =
        (struct llm_part){.kind = LLM_PART_RESULT, .is_error = true, .parts = part, .n_parts = 1};
    return true;
}
