/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals - calls of tools that wait for a person, over HTTP: listed and decided, with the right admin.
 *
 *   GET  /router/approvals        {"approvals":[{"id":"ap_...","decision":"pending","tool":...,"arguments":{...}}]}
 *   POST /router/approvals/{id}   {"decision":"approve"|"deny","remember":"session"}
 */
#include "agent/agent.h"
#include "api/api_int.h"
#include "api/target.h"

#define LIST_BYTES_MAX ((size_t)64 * 1024 * 1024)

static struct agent_desk *desk_of(const struct api *api)
{
    return api->agent != NULL ? api->agent->desk : NULL;
}

static bool no_desk(struct http_request *req)
{
    api_error(req, LLM_NATIVE, LLM_ERR_NOT_FOUND, 0, STRV("No tool servers are configured."),
              STRV_NONE, 0);
    return false;
}

void api_approvals(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct buf b;
    if (desk_of(api) == NULL) {
        no_desk(req);
        return;
    }
    buf_init(&b, LIST_BYTES_MAX);
    agent_desk_json(desk_of(api), &b);
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    if (b.failed)
        api_error(req, route->door, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, "application/json", buf_view(&b));
    buf_fini(&b);
}

static bool read_decision(struct http_request *req, enum agent_decision *decision, bool *remember,
                          struct err *err)
{
    struct json doc;
    if (!dialect_root(&doc, req->body, &req->arena, err))
        return false;
    strv word = json_get_str(doc.root, "decision");
    yyjson_val *keep = json_get(doc.root, "remember");
    bool approve = strv_eq_cstr(word, "approve");
    if (!approve && !strv_eq_cstr(word, "deny"))
        return err_field(err, LLM_ERR_INVALID_REQUEST, "decision",
                         "decision: expected approve or deny");
    if (keep != NULL && !strv_eq_cstr(json_str(keep), "session"))
        return err_field(err, LLM_ERR_INVALID_REQUEST, "remember", "remember: expected session");
    *decision = approve ? AGENT_APPROVED : AGENT_DENIED;
    *remember = keep != NULL;
    return true;
}

void api_decide(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    enum agent_decision decision = AGENT_DENIED;
    bool remember = false;
    strv id;
    const char *by = api_key_id(req) != NULL ? api_key_id(req) : "no key";
    if (desk_of(api) == NULL) {
        no_desk(req);
        return;
    }
    if (!target_name(route->path, req->path, &req->arena, &id))
        id = STRV("");
    if (!read_decision(req, &decision, &remember, &err)) {
        api_refuse(api, req, route->door, &err);
    } else if (!agent_desk_decide(desk_of(api), id, decision, remember, by, &err)) {
        err.code = err.field[0] != '\0' ? LLM_ERR_INVALID_REQUEST : LLM_ERR_NOT_FOUND;
        api_refuse(api, req, route->door, &err);
    } else {
        http_reply_header(req, "Cache-Control", STRV("no-store"));
        http_reply_whole(req, 200, "application/json",
                         decision == AGENT_APPROVED ? STRV("{\"decision\":\"approved\"}")
                                                    : STRV("{\"decision\":\"denied\"}"));
    }
}
