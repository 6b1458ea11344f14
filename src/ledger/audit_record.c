/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_record - what stands in a record. The order of members is fixed; an absent member is left out; numbers
 * are integers. So the same facts are the same bytes.
 *
 * A member added here is a decision about privacy: names of the configuration and of the source, kinds, counts,
 * sizes and digests may stand in a record, text of a request or an answer never.
 */
#include "ledger/audit_int.h"

#include "ledger/ledger.h"

#define TEXT_MAX 256 /* bytes of one text; longer ones are cut */

#define NAME(word) STRV(",\"" word "\":")

static void put_text(struct buf *b, strv name, strv text)
{
    if (text.ptr == NULL)
        return;
    if (text.len > TEXT_MAX)
        text.len = utf8_whole((strv){text.ptr, TEXT_MAX});
    buf_put_strv(b, name);
    json_put_str(b, utf8_valid(text) ? text : STRV("?"));
}

static void put_word(struct buf *b, strv name, const char *text)
{
    put_text(b, name, text != NULL && text[0] != '\0' ? strv_of(text) : STRV_NONE);
}

static void put_number(struct buf *b, strv name, int64_t n)
{
    buf_put_strv(b, name);
    buf_put_i64(b, n);
}

static void put_count(struct buf *b, strv name, int64_t n) /* if it is known */
{
    if (n >= 0)
        put_number(b, name, n);
}

static void put_bool(struct buf *b, strv name, bool yes)
{
    buf_put_strv(b, name);
    buf_put_cstr(b, yes ? "true" : "false");
}

void audit_put_begin(struct buf *b, int64_t wall_us, const char *type)
{
    char time[TIMEFMT_MAX];
    size_t n = timefmt_rfc3339(time, wall_us, 6);
    buf_put_cstr(b, "\"time\":\"");
    buf_put(b, time, n);
    buf_put_cstr(b, "\",\"type\":\"");
    buf_put_cstr(b, type);
    buf_put_char(b, '"');
}

void audit_put_intent(struct buf *b, int64_t wall_us, const struct audit_intent *in,
                      const char *session)
{
    audit_put_begin(b, wall_us, "intent");
    put_text(b, NAME("request"), in->request_id);
    put_number(b, NAME("attempt"), in->attempt);
    put_word(b, NAME("key"), in->key);
    put_word(b, NAME("door"), in->door);
    put_word(b, NAME("session"), session);
    put_text(b, NAME("task"), in->task);
    put_bool(b, NAME("private"), in->is_private);
    put_word(b, NAME("findings"), in->findings);
    put_text(b, NAME("rule"), in->rule);
    put_word(b, NAME("rules"), in->rules);
    put_word(b, NAME("provider"), in->provider);
    put_word(b, NAME("zone"), in->zone);
    put_text(b, NAME("model"), in->model);
    put_word(b, NAME("address"), in->address);
    put_word(b, NAME("ip"), in->ip);
    put_number(b, NAME("bytes"), (int64_t)in->bytes);
    buf_put_cstr(b, ",\"sha256\":\"");
    audit_put_hex(b, in->sha256, AUDIT_HASH);
    buf_put_char(b, '"');
}

void audit_put_tool(struct buf *b, int64_t wall_us, const struct audit_tool *tool,
                    const char *session, bool over)
{
    audit_put_begin(b, wall_us, over ? "tool" : "tool-intent");
    put_text(b, NAME("request"), tool->request_id);
    put_word(b, NAME("key"), tool->key);
    put_word(b, NAME("session"), session);
    put_bool(b, NAME("private"), tool->is_private);
    put_word(b, NAME("server"), tool->server);
    put_word(b, NAME("zone"), tool->zone);
    put_text(b, NAME("tool"), tool->tool);
    put_number(b, NAME("arguments_bytes"), (int64_t)tool->arguments_bytes);
    buf_put_cstr(b, ",\"arguments_sha256\":\"");
    audit_put_hex(b, tool->arguments, AUDIT_HASH);
    buf_put_char(b, '"');
    put_word(b, NAME("approval"), tool->approval);
    put_word(b, NAME("by"), tool->by);
    if (!over)
        return;
    put_word(b, NAME("data_quality"), tool->data_quality);
    put_number(b, NAME("bytes"), (int64_t)tool->bytes);
    put_number(b, NAME("us"), tool->us);
    put_word(b, NAME("outcome"), tool->end);
}

void audit_put_change(struct buf *b, int64_t wall_us, const struct audit_change *c)
{
    audit_put_begin(b, wall_us, "change");
    put_word(b, NAME("what"), c->what);
    put_word(b, NAME("subject"), c->subject);
    put_word(b, NAME("by"), c->by);
}

static void put_attempts(struct buf *b, const struct ledger_row *row)
{
    buf_put_cstr(b, ",\"attempts\":[");
    for (size_t i = 0; i < row->n_attempts; i++) {
        const struct ledger_attempt *a = &row->attempts[i];
        buf_put_cstr(b, i > 0 ? ",{\"outcome\":" : "{\"outcome\":");
        json_put_str(b, strv_of(a->outcome_name));
        put_word(b, NAME("provider"), a->provider_name);
        put_word(b, NAME("zone"), a->cloud ? "cloud" : "local");
        put_number(b, NAME("us"), a->us);
        buf_put_char(b, '}');
    }
    buf_put_char(b, ']');
}

void audit_put_exchange(struct buf *b, const struct ledger_row *row,
                        const struct audit_facts *facts, const char *session)
{
    audit_put_begin(b, row->wall_us, "exchange");
    put_text(b, NAME("request"), row->request_id);
    put_word(b, NAME("key"), row->key);
    put_word(b, NAME("door"), llm_dialect_name(row->door));
    put_word(b, NAME("session"), session);
    put_text(b, NAME("task"), row->task);
    put_bool(b, NAME("private"), row->is_private);
    put_word(b, NAME("findings"), facts->findings);
    put_text(b, NAME("rule"), facts->rule);
    put_word(b, NAME("rules"), facts->rules);
    put_attempts(b, row);
    put_word(b, NAME("provider"), row->provider);
    put_text(b, NAME("model"), row->provider != NULL ? row->model : STRV_NONE);
    put_count(b, NAME("input_tokens"), row->usage.input);
    put_count(b, NAME("output_tokens"), row->usage.output);
    put_count(b, NAME("cached_tokens"), row->usage.cached);
    put_number(b, NAME("cost_micro"), row->cost_micro);
    if (row->usage_estimated)
        put_bool(b, NAME("usage_estimated"), true);
    put_number(b, NAME("bytes_in"), row->bytes_in);
    put_number(b, NAME("bytes_out"), row->bytes_out);
    put_number(b, NAME("us"), row->total_us);
    put_word(b, NAME("outcome"), row->outcome);
    if (row->status != 0)
        put_number(b, NAME("status"), row->status);
}

/* Digests and words of the source and the schema; the parameters themselves are in the ledger. */
void audit_put_advice(struct buf *b, const struct ledger_decision *d)
{
    audit_put_begin(b, d->wall_us, d->outcome ? "advice-outcome" : "advice");
    put_word(b, NAME("request"), d->id);
    put_word(b, NAME("key"), d->key);
    if (d->outcome) {
        put_bool(b, NAME("applied"), d->applied);
        put_number(b, NAME("score_after_micro"), (int64_t)(d->score_after * 1e6));
        return;
    }
    put_word(b, NAME("question"), d->question);
    put_word(b, NAME("asked_sha256"), d->asked);
    put_word(b, NAME("source"), d->source);
    put_word(b, NAME("provider"), d->provider);
    put_word(b, NAME("model"), d->model);
    put_bool(b, NAME("accepted"), d->accepted);
    put_word(b, NAME("reason"), d->reason);
    put_word(b, NAME("advice"), d->type);
    put_word(b, NAME("template_sha256"), d->template_digest);
    if (d->template_digest[0] != '\0')
        put_number(b, NAME("template_version"), d->template_version);
    put_word(b, NAME("schema_sha256"), d->schema_digest);
    put_number(b, NAME("schema_version"), d->schema_version);
    if (d->scored)
        put_number(b, NAME("score_before_micro"), (int64_t)(d->score_before * 1e6));
    put_number(b, NAME("us"), d->latency_us);
}
