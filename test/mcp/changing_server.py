#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""changing_server - an MCP server over stdio whose lists and resources change when a tool is called, and that asks back.

    tools       touch {uri}: that resource is another one; grow: one more tool; ask: a form; sample: a model; die; marked
                {region}: an argument that headers repeat (it is told which it got); subscribed: the URIs it tells of
    resources   test://a and test://b

usage: changing_server.py legacy|modern
"""
import json
import os
import sys
import threading

MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = "io.modelcontextprotocol/"
era = sys.argv[1]
out = threading.Lock()
versions = {"test://a": 1, "test://b": 1}
more, asked, subscribed = [], {}, set()
listens = {}        # id -> notifications


def send(message):
    with out:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def tool(name, **properties):
    return {"name": name, "description": "the tool " + name, "inputSchema": {"type": "object", "properties": properties}}


def tools():
    text = {"type": "string"}
    return [tool("touch", uri=text), tool("grow"), tool("ask"), tool("sample"), tool("die"), tool("subscribed"),
            tool("marked", region={"type": "string", "x-mcp-header": "Region"}), *more]


def result(**members):
    if era == "modern":
        members = {"resultType": "complete", **members}
    return members


def text(said):
    return result(content=[{"type": "text", "text": said}])


def tell(method, wanted, params):
    """Everybody who wants to hear of it, in the words of the era."""
    if era == "legacy":
        send({"method": method, "params": params})
    for mid, notifications in list(listens.items()):
        if wanted(notifications):
            send({"method": method, "params": {**params, "_meta": {META + "subscriptionId": mid}}})


def told():
    uris = set(subscribed)
    for notifications in listens.values():
        uris.update(notifications.get("resourceSubscriptions", []))
    return uris


def call(mid, params):
    name, a = params["name"], params.get("arguments") or {}
    if name == "touch":
        versions[a["uri"]] += 1
        if a["uri"] in told():
            tell("notifications/resources/updated", lambda n: a["uri"] in n.get("resourceSubscriptions", []),
                 {"uri": a["uri"]})
        return text("touched")
    if name == "grow":
        more.append(tool("grown_%d" % len(more)))
        tell("notifications/tools/list_changed", lambda n: n.get("toolsListChanged"), {})
        return text("grown")
    if name == "subscribed":
        return text(" ".join(sorted(told())))
    if name in ("ask", "sample"):
        form = {"method": "elicitation/create", "params": {"mode": "form", "message": "name?", "requestedSchema": {
            "type": "object", "properties": {"name": {"type": "string"}}}}}
        model = {"method": "sampling/createMessage", "params": {"maxTokens": 5, "messages": [
            {"role": "user", "content": {"type": "text", "text": "hi"}}]}}
        question = form if name == "ask" else model
        if era == "modern":
            if "inputResponses" in params:
                return text(json.dumps(params["inputResponses"]["q"]))
            return {"resultType": "input_required", "inputRequests": {"q": question}}
        asked["q%s" % mid] = mid
        send({"id": "q%s" % mid, **question})
        return None
    if name == "marked":
        return text("region " + a.get("region", "none"))
    if name == "die":
        os._exit(0)
    raise ValueError("Unknown tool")


def handle(m):
    method, params, mid = m["method"], m.get("params") or {}, m.get("id")
    capabilities = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}
    if era == "modern" and method == "server/discover":
        return result(supportedVersions=[MODERN], capabilities=capabilities, ttlMs=0, cacheScope="private")
    if era == "modern" and method == "subscriptions/listen":
        listens[mid] = params["notifications"]
        send({"method": "notifications/subscriptions/acknowledged",
              "params": {"notifications": params["notifications"], "_meta": {META + "subscriptionId": mid}}})
        return None
    if era == "legacy" and method == "initialize":
        return {"protocolVersion": LEGACY, "capabilities": capabilities, "serverInfo": {"name": "c", "version": "1"}}
    if era == "legacy" and method in ("resources/subscribe", "resources/unsubscribe"):
        (subscribed.add if method.endswith("/subscribe") else subscribed.discard)(params["uri"])
        return {}
    if method == "tools/list":
        return result(tools=tools(), ttlMs=0, cacheScope="private")
    if method == "resources/list":
        return result(resources=[{"uri": uri, "name": uri[-1]} for uri in versions], ttlMs=0, cacheScope="private")
    if method == "resources/read":
        return result(contents=[{"uri": params["uri"], "text": "version %d" % versions[params["uri"]]}], ttlMs=0,
                      cacheScope="private")
    if method == "tools/call":
        return call(mid, params)
    if method == "ping":
        return {}
    raise KeyError(method)


def take(m):
    if "method" not in m:
        mid = asked.pop(m["id"], None)
        send({"id": mid, "result": text(json.dumps(m.get("result", m.get("error"))))})
    elif m["method"] == "notifications/cancelled":
        listens.pop(m["params"].get("requestId"), None)
    elif "id" in m:
        try:
            answer = handle(m)
        except KeyError as e:
            send({"id": m["id"], "error": {"code": -32601, "message": str(e)}})
        except ValueError as e:
            send({"id": m["id"], "error": {"code": -32602, "message": str(e)}})
        else:
            if answer is not None:
                send({"id": m["id"], "result": answer})


for line in sys.stdin:
    take(json.loads(line))
