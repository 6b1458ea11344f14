/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address - does a resource's URI fit a server's template?
 *
 * Of RFC 6570 as much as tells whose resource it is: literals stand for themselves; {x} for text without a slash, question
 * mark or number sign; {+x} for any text; {#x} {.x} {/x} {;x} {?x} {&x} for such a text, with its sign before it, or for
 * nothing. What the text means is the server's to say. Both are foreign bytes: steps are bounded, and a template
 * that is none fits nothing.
 */
#include "gateway/internal.h"

#define STEPS_MAX 100000

struct match {
    strv template, uri;
    size_t steps;
};

static bool fits(struct match *m, size_t t, size_t u);

/* May the character stand in what an expression with this operator stands for? */
static bool allowed(char op, char c)
{
    switch (op) {
    case '+':
    case '#':
        return true;
    case '/':
        return c != '?' && c != '#';
    case '?':
    case '&':
        return c != '#';
    default:
        return c != '/' && c != '?' && c != '#';
    }
}

/* From the longest text to the shortest: a template's next literal is rarely inside. */
static bool expression(struct match *m, char op, size_t next, size_t u)
{
    bool has_sign = op != '\0' && op != '+';
    size_t from = u, to;
    if (has_sign && (u >= m->uri.len || m->uri.ptr[u] != op))
        return fits(m, next, u); /* undefined: it stands for nothing */
    if (has_sign)
        from++;
    for (to = from; to < m->uri.len && allowed(op, m->uri.ptr[to]); to++)
        ;
    for (size_t end = to; end > from; end--)
        if (fits(m, next, end))
            return true;
    return has_sign && fits(m, next, u);
}

static bool fits(struct match *m, size_t t, size_t u)
{
    if (++m->steps > STEPS_MAX)
        return false;
    while (t < m->template.len) {
        char c = m->template.ptr[t];
        if (c == '}')
            return false;
        if (c == '{') {
            const char *end = memchr(m->template.ptr + t, '}', m->template.len - t);
            if (end == NULL || end == m->template.ptr + t + 1)
                return false;
            char first = m->template.ptr[t + 1];
            char op = first != '\0' && strchr("+#./;?&", first) != NULL ? first : '\0';
            return expression(m, op, (size_t)(end - m->template.ptr) + 1, u);
        }
        if (u >= m->uri.len || m->uri.ptr[u] != c)
            return false;
        t++;
        u++;
    }
    return u == m->uri.len;
}

bool gateway_address_fits(strv template, strv uri)
{
    struct match m = {template, uri, 0};
    return template.len > 0 && template.len <= 4096 && uri.len <= 8192 && fits(&m, 0, 0);
}
