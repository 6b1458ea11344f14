/* SPDX-License-Identifier: Apache-2.0 */
#include "api/scheduler_frames.h"

bool scheduler_shows(strv type, bool answering, bool has_number)
{
    static const char *const known[] = {"connected",   "token",    "tool_call_start", "tool_call",
                                        "tool_result", "complete", "interrupted",     "history"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strv_eq_cstr(type, known[i]))
            return true;
    return strv_eq_cstr(type, "error") && (has_number || !answering);
}

/* role, content, timestamp, tool_calls, all of them always there. An answer that was stopped says so in its text. */
static void put_message(struct buf *out, yyjson_val *m, struct arena *scratch)
{
    yyjson_val *calls = json_get(m, "tool_calls");
    bool cut = strv_eq_cstr(json_get_str(m, "state"), "interrupted");
    buf_put_cstr(out, "{\"role\":");
    json_put_str(out, json_get_str(m, "role"));
    buf_put_cstr(out, ",\"content\":\"");
    json_put_esc(out, json_get_str(m, "content"));
    buf_put_cstr(out, cut ? " [interrupted]\",\"timestamp\":" : "\",\"timestamp\":");
    json_put_str(out, json_get_str(m, "timestamp"));
    buf_put_cstr(out, ",\"tool_calls\":");
    if (calls == NULL)
        buf_put_cstr(out, "null");
    else
        json_put_val(out, calls, scratch);
    buf_put_char(out, '}');
}

bool scheduler_messages(yyjson_val *messages, struct buf *out, struct arena *scratch)
{
    size_t i, n;
    yyjson_val *m;
    buf_put_char(out, '[');
    yyjson_arr_foreach(messages, i, n, m)
    {
        if (i > 0)
            buf_put_char(out, ',');
        put_message(out, m, scratch);
    }
    return buf_put_char(out, ']');
}

bool scheduler_history(strv frame, struct buf *out)
{
    struct json doc;
    struct arena arena;
    struct err err = ERR_INIT;
    arena_init(&arena, 65536, 16 * frame.len + 65536);
    bool ok = json_read(&doc, frame, &arena, 0, &err);
    if (ok) {
        buf_put_cstr(out, "{\"type\":\"history\",\"session_id\":");
        json_put_str(out, json_get_str(doc.root, "session_id"));
        buf_put_cstr(out, ",\"messages\":");
        scheduler_messages(json_get(doc.root, "messages"), out, &arena);
        ok = buf_put_char(out, '}');
    }
    arena_fini(&arena);
    return ok && !out->failed;
}
