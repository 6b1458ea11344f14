/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speak - the caller's side of a loop: one answer in his dialect, made of what several exchanges said.
 *
 * A stream begins with the first word, or with the first silence that must be filled because tools run; a whole answer
 * is collected and written at the end. Where the upstreams' texts of two rounds meet, an empty line stands between.
 */
#include "agent/loop_int.h"

#define REPLY_BYTES_MAX ((size_t)16 * 1024 * 1024)

bool speak_init(struct agent_loop *l)
{
    buf_init(&l->bytes, REPLY_BYTES_MAX * 2);
    llm_reply_init(&l->whole, REPLY_BYTES_MAX);
    bool ok =
        outlet_begin(&l->out, l->r, REPLY_BYTES_MAX, l->ex->rng, &l->own, io_wall_us(l->ex->loop));
    l->out.alive = true;
    return ok;
}

void speak_fini(struct agent_loop *l)
{
    buf_fini(&l->bytes);
    buf_fini(&l->out.kept);
    llm_reply_fini(&l->whole);
    llm_reply_fini(&l->reply);
    outlet_check_fini(&l->check);
}

static void send_bytes(struct agent_loop *l, strv bytes)
{
    l->spoke_us = io_now_us(l->ex->loop);
    if (bytes.len == 0)
        return;
    outlet_check_bytes(&l->check, bytes);
    l->sink->body(l->sink_arg, bytes.ptr, bytes.len);
}

/* Who answered first gives the answer its name. */
static void take_names(struct agent_loop *l)
{
    if (l->out.model.ptr == NULL && l->x != NULL) {
        const char *provider = exchange_provider(l->x);
        l->out.model = arena_strv(&l->own, exchange_model(l->x));
        l->out.provider = arena_strv(&l->own, strv_of(provider != NULL ? provider : ""));
    }
}

static bool encode(struct agent_loop *l, const struct llm_event *ev)
{
    if (l->sink->event != NULL) {
        l->spoke_us = io_now_us(l->ex->loop);
        l->broken = l->broken || !l->sink->event(l->sink_arg, ev);
        return !l->broken;
    }
    l->broken = l->broken || !outlet_event(&l->out, l->door, ev, &l->bytes) || l->bytes.failed;
    if (!l->broken) /* half an event is none */
        send_bytes(l, buf_view(&l->bytes));
    buf_clear(&l->bytes);
    return !l->broken;
}

static bool begin_stream(struct agent_loop *l)
{
    if (l->begun)
        return true;
    take_names(l);
    l->begun = true;
    if (l->sink->event == NULL)
        outlet_check_begin(&l->check, l->door, l->r->op);
    l->sink->begin(l->sink_arg, l->x, 200, l->door->stream_type, HTTP_LENGTH_STREAM);
    return !l->own.failed && encode(l, &(struct llm_event){.kind = LLM_EV_START});
}

bool speak(struct agent_loop *l, const struct llm_event *ev)
{
    if (!l->r->stream)
        return llm_reply_add(&l->whole, ev, &l->own);
    return begin_stream(l) && encode(l, ev);
}

bool speak_text(struct agent_loop *l, strv text)
{
    struct llm_event ev = {.kind = LLM_EV_TEXT, .text = STRV("\n\n")};
    bool ok = l->text_now || !l->text_before || speak(l, &ev);
    l->text_now = true;
    ev.text = text;
    return ok && speak(l, &ev);
}

void speak_keepalive(struct agent_loop *l)
{
    if (!begin_stream(l) || l->broken)
        return;
    if (l->sink->event == NULL && l->door->keepalive[0] != '\0')
        send_bytes(l, strv_of(l->door->keepalive));
    else
        encode(l, &(struct llm_event){.kind = LLM_EV_PING});
}

/* {"id":..., "server":..., "tool":..., "effect":..., "until":..., "arguments":{...}}, one line */
static bool put_petition(struct agent_loop *l, const struct agent_petition *p, struct buf *b)
{
    struct json doc;
    struct err err = ERR_INIT;
    char until[TIMEFMT_MAX];
    timefmt_rfc3339(until, p->until_us, 0);
    buf_put_cstr(b, "{\"id\":");
    json_put_str(b, strv_of(p->id));
    buf_put_cstr(b, ",\"server\":");
    json_put_str(b, strv_of(p->server));
    buf_put_cstr(b, ",\"tool\":");
    json_put_str(b, strv_of(p->tool));
    buf_printf(b, ",\"effect\":\"%s\",\"until\":\"%s\",\"arguments\":", mcp_effect_name(p->effect),
               until);
    if (!json_read(&doc, p->arguments, &l->own, 0, &err) ||
        !json_put_val(b, doc.root, &l->own)) /* anew: theirs may have line ends */
        return false;
    return buf_put_char(b, '}');
}

static void tell_text(struct agent_loop *l, const struct agent_petition *p)
{
    char until[TIMEFMT_MAX];
    timefmt_rfc3339(until, p->until_us, 0);
    strv tool = mcp_clean(strv_of(p->tool), 64, &l->own);
    char *text = arena_printf(
        &l->own, "%s[Until %s a person may approve the call of %s/" STRV_FMT " (%s): %s]",
        l->text_now ? "\n\n" : "", until, p->server, STRV_ARG(tool), mcp_effect_name(p->effect),
        p->id);
    if (text != NULL)
        (void)speak_text(l, strv_of(text)); /* what failed is found when the stream goes on */
}

/* The native door has a member for it. The others have no place but the text, which is the model's: only if the operator
 * wants it so, and not where the text is to be JSON. */
void speak_wait(struct agent_loop *l, const struct agent_petition *p)
{
    struct buf b;
    if (!l->r->stream || l->broken)
        return;
    buf_init(&b, REPLY_BYTES_MAX);
    if (l->r->dialect == LLM_NATIVE) {
        if (begin_stream(l) && put_petition(l, p, &b))
            encode(l, &(struct llm_event){.kind = LLM_EV_PING, .text = buf_view(&b)});
    } else if (l->env->conf->tell_approvals && l->r->format == LLM_FORMAT_TEXT) {
        tell_text(l, p);
    }
    buf_fini(&b);
}

static void set_clock(struct agent_loop *l)
{
    l->out.total_us = io_now_us(l->ex->loop) - l->caller->received_us;
    if (l->out.first_us == 0)
        l->out.first_us = l->out.total_us;
}

/* The last exchange's account of its route, and what the loop adds to it. */
static bool describe(struct agent_loop *l)
{
    strv route = l->x != NULL ? exchange_route(l->x) : STRV_NONE;
    if (route.len < 2)
        return true;
    route.len--; /* its brace */
    char *text = arena_printf(&l->own, STRV_FMT ",\"agent\":{\"rounds\":%u,\"calls\":%u}}",
                              STRV_ARG(route), l->rounds, l->calls);
    l->out.route_json = strv_of(text);
    return text != NULL;
}

static bool write_whole(struct agent_loop *l)
{
    take_names(l);
    buf_clear(&l->bytes);
    if (l->own.failed || !l->door->encode_reply(&l->out, &l->whole, &l->bytes) || l->bytes.failed)
        return false;
    strv body = buf_view(&l->bytes);
    l->begun = true;
    l->sink->begin(l->sink_arg, l->x, 200, l->door->json_type, (int64_t)body.len);
    l->sink->body(l->sink_arg, body.ptr, body.len);
    return true;
}

bool speak_end(struct agent_loop *l, enum llm_finish finish)
{
    struct llm_event ev = {.kind = LLM_EV_FINISH,
                           .finish = finish,
                           .stop_sequence = l->stop_sequence,
                           .raw_finish = l->raw_finish};
    struct llm_event usage = {.kind = LLM_EV_USAGE, .usage = l->total};
    set_clock(l);
    bool ok = describe(l) && speak(l, &ev) && speak(l, &usage) &&
              speak(l, &(struct llm_event){.kind = LLM_EV_END}) && (l->r->stream || write_whole(l));
    if (ok && l->r->stream && l->sink->event == NULL)
        outlet_check_end(&l->check, true);
    return ok;
}

void speak_failure(struct agent_loop *l, int error)
{
    const struct llm_error_row *row = llm_error_row(error);
    if (!l->r->stream || l->sink->event != NULL)
        return;
    buf_clear(&l->bytes);
    l->door->stream_error(&l->out, error, strv_of(row->text), l->caller->request_id, &l->bytes);
    if (l->bytes.failed)
        l->check.on = false;
    else
        send_bytes(l, buf_view(&l->bytes));
    outlet_check_end(&l->check, false);
}
