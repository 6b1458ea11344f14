/* SPDX-License-Identifier: Apache-2.0 */
/* hello - who we are and what we can do, in the words of either era. */
#include "gateway/internal.h"

#define DISCOVER_TTL_MS 60000

static const char instructions[] =
    "A router for language models. generate asks a model that policy allows; text about persons "
    "stays with local "
    "models. classify and explain_route tell what would become of a question without asking it.";

static bool any_subscribes(const struct gateway *g)
{
    struct mcp_catalogue *cat = gateway_catalogue(g);
    bool any = false;
    for (size_t i = 0; i < cat->n_servers; i++)
        any = any || (cat->servers[i].subscribe && cat->servers[i].local);
    mcp_catalogue_unref(cat);
    return any;
}

/* A legacy client hears of changes on the stream of its session; without one there is none (GET is 405). */
static void put_capabilities(const struct gateway_call *c, struct buf *b)
{
    bool modern = c->era == MCP_ERA_MODERN, told = modern || c->new_session.ptr != NULL;
    const char *changes = told ? "{\"listChanged\":true}" : "{}";
    const char *resources = changes;
    if (!gateway_has_servers(c->g)) {
        buf_put_cstr(b, "\"capabilities\":{\"tools\":{}}");
        return;
    }
    if (told && (!modern || any_subscribes(c->g)))
        resources = "{\"subscribe\":true,\"listChanged\":true}";
    buf_printf(b,
               "\"capabilities\":{\"tools\":%s,\"resources\":%s,\"prompts\":%s,\"completions\":{},"
               "\"logging\":{}}",
               changes, resources, changes);
}

static void put_instructions(struct buf *b)
{
    buf_put_cstr(b, ",\"instructions\":");
    json_put_str(b, strv_of(instructions));
}

static void reply(struct gateway_call *c, struct buf *b)
{
    if (b->failed)
        gateway_no_memory(c);
    else
        gateway_result(c, buf_view(b));
    buf_fini(b);
}

void gateway_discover(struct gateway_call *c)
{
    struct buf b;
    buf_init(&b, 8192);
    buf_put_cstr(&b, "\"supportedVersions\":[\"" MCP_MODERN "\"],");
    put_capabilities(c, &b);
    put_instructions(&b);
    gateway_put_cache(c, &b, DISCOVER_TTL_MS);
    reply(c, &b);
}

/* A version that we do not know is answered with our newest of this era; the client hangs up if that is none of its own. */
void gateway_initialize(struct gateway_call *c)
{
    struct buf b;
    strv wanted = json_get_str(c->m.params, "protocolVersion");
    yyjson_val *capabilities = json_get(c->m.params, "capabilities");
    if (wanted.ptr == NULL || (capabilities != NULL && !yyjson_is_obj(capabilities))) {
        gateway_bad_params(c, "initialize: protocolVersion and capabilities are needed.");
        return;
    }
    c->revision = mcp_revision_era(wanted) == MCP_ERA_LEGACY ? wanted : strv_of(MCP_LEGACY);
    c->can = gateway_can(capabilities);
    if (gateway_has_servers(c->g) && (c->can != 0 || any_subscribes(c->g))) {
        c->new_session = gateway_session_new(c, c->can);
        if (c->new_session.ptr == NULL) {
            gateway_no_memory(c);
            return;
        }
    }
    buf_init(&b, 8192);
    buf_put_cstr(&b, "\"protocolVersion\":");
    json_put_str(&b, c->revision);
    buf_put_char(&b, ',');
    put_capabilities(c, &b);
    buf_put_cstr(&b, ",\"serverInfo\":{\"name\":\"" GATEWAY_NAME "\",\"title\":\"LLM router\","
                     "\"version\":\"" LLM_ROUTER_VERSION "\"}");
    put_instructions(&b);
    reply(c, &b);
}
