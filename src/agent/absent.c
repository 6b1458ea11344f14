/* SPDX-License-Identifier: Apache-2.0 */
/*
 * absent - servers whose tools a request would use, and which are not there: waited for while they start, then named to
 * the model and to the caller. Nobody is to take an answer without them for one with them.
 */
#include "agent/loop_int.h"

#define NAMES_MAX 1024

static const char before[] = "These servers of tools cannot be reached at the moment: ";
static const char behind[] =
    ". Their tools cannot be called now. Where an answer needs them, say so; do not guess.";

/* May the key call any tool of this server? Its rule is a list of patterns of server/tool, with ! for what it may not. */
static bool key_knows(const struct policy_key *key, const char *server)
{
    strv list = key != NULL ? strv_of(key->rules.tools) : STRV(""), pattern, of;
    bool only = false, fits = false;
    while (list.len > 0 && strv_cut(&list, ',', &pattern)) {
        bool not = strv_starts(pattern, STRV("!"));
        strv rest = not ? strv_from(pattern, 1) : pattern;
        (void)strv_cut(&rest, '/', &of);
        bool here = strv_glob(of, strv_of(server));
        bool whole = rest.ptr == NULL || strv_eq(rest, STRV("*"));
        if (not &&here && whole)
            return false;
        only = only || !not ;
        fits = fits || (!not &&here);
    }
    return !only || fits;
}

static bool is_meant(const struct agent_loop *l, const struct mcp_server_conf *s)
{
    bool named = l->r->n_mcp == 0;
    for (size_t i = 0; i < l->r->n_mcp; i++)
        named = named || strv_eq_cstr(l->r->mcp[i].server, s->name);
    return named && !s->disabled && (s->local || loop_may_leave(l)) &&
           key_knows(l->caller->holder, s->name);
}

static enum mcp_state state_of(const struct agent_loop *l, const char *name)
{
    const struct mcp_listed *s =
        l->index != NULL ? mcp_catalogue_server(agent_index_catalogue(l->index), strv_of(name))
                         : NULL;
    return s != NULL ? s->state : MCP_STARTING;
}

bool absent_starting(const struct agent_loop *l)
{
    const struct mcp_conf *conf = l->env->conf;
    for (size_t i = 0; conf != NULL && i < conf->n_servers; i++)
        if (is_meant(l, &conf->servers[i]) && state_of(l, conf->servers[i].name) == MCP_STARTING)
            return true;
    return false;
}

/* "a, b"; "" = all are there. NULL: no memory. */
static const char *names_of(struct agent_loop *l)
{
    const struct mcp_conf *conf = l->env->conf;
    const char *text = NULL;
    struct buf b;
    buf_init(&b, NAMES_MAX);
    for (size_t i = 0; conf != NULL && i < conf->n_servers; i++) {
        enum mcp_state state = state_of(l, conf->servers[i].name);
        if (state == MCP_READY || state == MCP_DISABLED || !is_meant(l, &conf->servers[i]))
            continue;
        buf_put_cstr(&b, buf_len(&b) > 0 ? ", " : "");
        buf_put_cstr(&b, conf->servers[i].name);
    }
    if (!b.failed)
        text = arena_cstr(&l->own, buf_view(&b));
    buf_fini(&b);
    return text;
}

/* Behind what the caller's own system message says, or before everything: models know no other place for it. */
bool absent_tell(struct agent_loop *l)
{
    const char *names = names_of(l);
    struct llm_message *first = l->messages;
    if (names == NULL || names[0] == '\0')
        return names != NULL;
    l->absent = names;
    bool own = l->n_messages > 0 && first->role == LLM_SYSTEM;
    size_t n = own ? first->n_parts : 0;
    struct llm_part *parts = ARENA_ARRAY(&l->own, struct llm_part, n + 1);
    char *text = arena_printf(&l->own, "%s%s%s%s", n > 0 ? "\n\n" : "", before, names, behind);
    if (parts == NULL || text == NULL)
        return false;
    if (n > 0)
        memcpy(parts, first->parts, n * sizeof *parts);
    parts[n] = (struct llm_part){.kind = LLM_PART_TEXT, .text = strv_of(text)};
    if (!own)
        memmove(first + 1, first, l->n_messages++ * sizeof *first);
    *first = (struct llm_message){LLM_SYSTEM, parts, n + 1};
    return true;
}
