/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control - what a test asks of the stand-in itself: /_control /_requests /_stats.
 *
 * The record is a ring of the last requests as they came in, with how each ended from our side:
 *   open      still in work, or silent on purpose
 *   done      answered as the knobs wanted it
 *   aborted   the caller left before the end
 *   cut reset a fault ended it
 * So a test can ask not only what the upstream saw, but also whether the router closed what it should have closed.
 */
#include "standin.h"

#include <stdlib.h>

struct record {
    uint64_t no, conn;
    struct text head, body;
    size_t body_bytes;
    char model[256];
    const char *outcome;
    int64_t event;
    uint64_t start_ns, end_ns;
};

static struct record *ring;

static struct record *record_of(uint64_t no)
{
    if (ring == NULL || settings.record <= 0 || no == 0)
        return NULL;
    struct record *r = &ring[no % (uint64_t)settings.record];
    return r->no == no ? r : NULL;
}

void record_request(struct conn *c, const struct request *q)
{
    c->request_no = ++stats.requests_total;
    c->recorded = false;
    if (++stats.requests_active > stats.requests_active_peak)
        stats.requests_active_peak = stats.requests_active;
    if (settings.record <= 0)
        return;
    if (ring == NULL) {
        size_t size = (size_t)settings.record * sizeof *ring;
        ring = must_alloc(NULL, size);
        memset(ring, 0, size);
    }
    struct record *r = &ring[c->request_no % (uint64_t)settings.record];
    size_t keep =
        q->body.n < (size_t)settings.record_bytes ? q->body.n : (size_t)settings.record_bytes;
    r->no = c->request_no;
    r->conn = c->id;
    r->head.len = r->body.len = 0;
    text_add(&r->head, q->head.p, q->head.n);
    text_add(&r->body, q->body.p, keep);
    r->body_bytes = q->body.n;
    memcpy(r->model, c->model, sizeof r->model);
    r->outcome = "open";
    r->event = 0;
    r->start_ns = c->start_ns;
    r->end_ns = 0;
}

/* The first word counts: a reply that was cut is also closed later. */
void record_outcome(struct conn *c, const char *outcome)
{
    if (c->recorded || c->request_no == 0)
        return;
    c->recorded = true;
    stats.requests_active--;
    if (c->counted_stream)
        stats.streams_active--;
    c->counted_stream = false;
    if (strcmp(outcome, "done") == 0)
        stats.finished++;
    else if (strcmp(outcome, "aborted") == 0)
        stats.aborted++;
    else
        stats.faults++;
    struct record *r = record_of(c->request_no);
    if (r) {
        r->outcome = outcome;
        r->event = c->event;
        r->end_ns = now_ns();
    }
}

static void add_string(struct text *t, const char *name, const char *p, size_t n)
{
    text_lit(t, "\"");
    text_str(t, name);
    text_lit(t, "\":\"");
    text_json(t, p, n);
    text_lit(t, "\",");
}

static void add_int(struct text *t, const char *name, uint64_t n)
{
    text_lit(t, "\"");
    text_str(t, name);
    text_lit(t, "\":");
    text_int(t, (int64_t)n);
    text_lit(t, ",");
}

static void add_headers(struct text *t, const char *p, const char *end)
{
    const char *comma = "";
    text_lit(t, "\"headers\":[");
    while (p < end) {
        const char *line = memchr(p, '\n', (size_t)(end - p)), *stop = line ? line : end;
        const char *colon = memchr(p, ':', (size_t)(stop - p));
        if (colon) {
            const char *v = colon + 1, *last = stop;
            while (v < last && *v == ' ')
                v++;
            while (last > v && (last[-1] == '\r' || last[-1] == ' '))
                last--;
            text_str(t, comma);
            comma = ",";
            text_lit(t, "[\"");
            text_json(t, p, (size_t)(colon - p));
            text_lit(t, "\",\"");
            text_json(t, v, (size_t)(last - v));
            text_lit(t, "\"]");
        }
        p = stop + 1;
    }
    text_lit(t, "],");
}

static void add_record(struct text *t, const struct record *r)
{
    const char *p = r->head.data, *end = p + r->head.len;
    const char *space = memchr(p, ' ', r->head.len);
    const char *space2 = memchr(space + 1, ' ', (size_t)(end - space - 1));
    const char *line = memchr(p, '\n', r->head.len);
    text_lit(t, "{");
    add_int(t, "n", r->no);
    add_int(t, "connection", r->conn);
    add_string(t, "method", p, (size_t)(space - p));
    add_string(t, "target", space + 1, (size_t)(space2 - space - 1));
    add_headers(t, line + 1, end);
    add_string(t, "model", r->model, strlen(r->model));
    add_int(t, "body_bytes", r->body_bytes);
    add_string(t, "body", r->body.data, r->body.len);
    add_int(t, "events", (uint64_t)(r->event > 0 ? r->event : 0));
    add_int(t, "start_ns", r->start_ns);
    add_int(t, "end_ns", r->end_ns);
    add_string(t, "outcome", r->outcome, strlen(r->outcome));
    t->data[t->len - 1] = '}';
}

static void requests(struct text *t)
{
    text_lit(t, "[");
    uint64_t last = stats.requests_total,
             size = (uint64_t)(settings.record > 0 ? settings.record : 0);
    for (uint64_t no = last > size ? last - size + 1 : 1; no <= last; no++) {
        const struct record *r = record_of(no);
        if (r == NULL)
            continue;
        text_str(t, t->len > 1 ? ",\n" : "\n");
        add_record(t, r);
    }
    text_lit(t, "]\n");
}

static const struct {
    const char *name;
    uint64_t *value;
    bool now; /* a level, which resetting the counters leaves alone */
} counters[] = {
    {"connections_total", &stats.connections_total, false},
    {"connections_open", &stats.connections_open, true},
    {"requests_total", &stats.requests_total, true}, /* numbers the record */
    {"requests_active", &stats.requests_active, true},
    {"requests_active_peak", &stats.requests_active_peak, false},
    {"streams_active", &stats.streams_active, true},
    {"streams_peak", &stats.streams_peak, false},
    {"finished", &stats.finished, false},
    {"aborted", &stats.aborted, false},
    {"faults", &stats.faults, false},
    {"events", &stats.events, false},
    {"loads", &stats.loads, false},
};

#define COUNTERS (sizeof counters / sizeof *counters)

bool control_request(struct conn *c, const struct request *r)
{
    if (r->path.n < 2 || r->path.p[1] != '_')
        return false;
    if (!c->control) {
        /* A test's own connection is not one of the router's. */
        c->control = true;
        stats.connections_open--;
        stats.connections_total--;
    }
    bool wipe = span_is(r->method, "DELETE");
    int status = 200;
    struct text t = {0};
    c->request_no = 0;
    if (span_is(r->path, "/_control") && wipe) {
        knobs_reset();
        settings.refuse = 0;
        listening(true);
        text_lit(&t, "{}\n");
    } else if (span_is(r->path, "/_control")) {
        if (knobs_control(r->body, &t)) {
            text_lit(&t, "{}\n");
        } else {
            status = 400;
            text_lit(&t, "\n");
        }
    } else if (span_is(r->path, "/_requests") && wipe) {
        for (int64_t i = 0; ring && i < settings.record; i++)
            ring[i].no = 0;
        text_lit(&t, "[]\n");
    } else if (span_is(r->path, "/_requests")) {
        requests(&t);
    } else if (span_is(r->path, "/_stats")) {
        text_lit(&t, "{");
        for (size_t i = 0; i < COUNTERS; i++) {
            if (wipe && !counters[i].now)
                *counters[i].value = 0;
            add_int(&t, counters[i].name, *counters[i].value);
        }
        t.data[t.len - 1] = '}';
        text_lit(&t, "\n");
    } else {
        status = 404;
        text_lit(&t, "no such control path\n");
    }
    reply_simple(c, status, status == 200 ? "application/json" : "text/plain", t.data, t.len);
    text_free(&t);
    return true;
}
