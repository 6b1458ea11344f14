# SPDX-License-Identifier: Apache-2.0
"""The router as an MCP server over HTTP: what every message is answered, in both eras of the protocol, with our own tools."""
import json

import pytest

from harness import SENTENCE, ask, everywhere, sse_frames, wait_for

MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = "io.modelcontextprotocol/"
BOTH = "application/json, text/event-stream"


@pytest.fixture(scope="module")
def door(module_router, module_standin):
    one = module_standin()
    r = module_router({"providers": {"near": {"kind": "openai", "url": one.url, "models": ["demo"]}},
                       "roles": {"general": ["near/demo"]}})
    r.wait_up()
    r.near = one
    return r


def meta(version=MODERN, capabilities=None, **more):
    return {META + "protocolVersion": version, META + "clientCapabilities": capabilities or {}, **more}


def message(method, params=None, id=1):
    return {"jsonrpc": "2.0", **({"id": id} if id is not None else {}), "method": method,
            **({"params": params} if params is not None else {})}


def post(r, body, headers=(), **more):
    given = {"Content-Type": "application/json", "Accept": BOTH, **dict(headers)}
    return ask(r.port, "POST", "/mcp", body, {k: v for k, v in given.items() if v is not None}, **more)


def modern(r, method, params=None, headers=(), meta_=None, id=1, **more):
    params = {"_meta": meta() if meta_ is None else meta_, **(params or {})}
    given = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    if method in ("tools/call", "prompts/get"):
        given["Mcp-Name"] = params.get("name", "")
    return post(r, message(method, params, id), {**given, **dict(headers)}, **more)


def legacy(r, method, params=None, headers=(), id=1, **more):
    return post(r, message(method, params, id), {"MCP-Protocol-Version": LEGACY, **dict(headers)}, **more)


def error(reply):
    return reply.status, reply.json["error"]["code"]


def call(r, name, arguments=None, era=modern, **more):
    params = {"name": name, **({"arguments": arguments} if arguments is not None else {})}
    reply = era(r, "tools/call", params, **more)
    assert reply.status == 200, reply
    return reply.json["result"]


# ---- before the message is read ------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_other_methods_are_not_allowed(door, method):
    r = ask(door.port, method, "/mcp", headers={"Accept": "text/event-stream"})
    assert r.status == 405 and "POST" in r.header("Allow")
    assert r.json == {"jsonrpc": "2.0", "id": None, "error": {"code": 405, "message": r.json["error"]["message"]}}


@pytest.mark.parametrize("headers, status", [
    ({"Host": "evil.example"}, 403),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": None}, 415),
    ({"Accept": "application/json"}, 406),
    ({"Accept": "text/event-stream"}, 406),
    ({"Accept": "text/html"}, 406),
    ({"Accept": None}, 200),
    ({"Accept": "*/*"}, 200),
    ({"Content-Type": "Application/JSON; charset=utf-8"}, 200),
])
def test_the_head_is_checked_first(door, headers, status):
    r = modern(door, "server/discover", headers=headers)
    assert r.status == status, r
    if status != 200:
        assert r.json["id"] is None and r.json["error"]["code"] == status


def test_a_page_of_our_own_origin_is_answered(door):
    for host in "localhost:%d" % door.port, "127.0.0.1:%d" % door.port:
        assert modern(door, "server/discover", headers={"Host": host, "Origin": "http://" + host}).status == 200
    assert modern(door, "server/discover", headers={"Host": "localhost:1", "Origin": "http://localhost:2"}).status == 403


@pytest.mark.parametrize("body, code", [
    (b"{", -32700),
    (b"", -32700),
    (b"[]", -32600),
    (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
    (b'{"id":1,"method":"ping"}', -32600),
    (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
    (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32600),
])
def test_what_is_no_message_is_refused(door, body, code):
    r = post(door, body)
    assert error(r) == (400, code)


# ---- modern --------------------------------------------------------------------------------------


def test_discover_tells_who_we_are(door):
    r = modern(door, "server/discover", id="a\"b")
    result = r.json["result"]
    assert r.status == 200 and r.json["id"] == "a\"b"
    assert result["supportedVersions"] == [MODERN] and "tools" in result["capabilities"]
    assert result["resultType"] == "complete" and result["ttlMs"] >= 0 and result["cacheScope"] == "private"
    assert result["_meta"][META + "serverInfo"]["name"] == "llm-router"
    assert r.header("Mcp-Session-Id") is None


@pytest.mark.parametrize("meta_, headers, expected", [
    ({META + "clientCapabilities": {}}, {}, (400, -32602)),
    ({META + "protocolVersion": MODERN}, {}, (400, -32602)),
    ({META + "protocolVersion": MODERN, META + "clientCapabilities": []}, {}, (400, -32602)),
    ({}, {}, (400, -32602)),
    (meta(), {"MCP-Protocol-Version": None}, (400, -32020)),
    (meta(), {"MCP-Protocol-Version": LEGACY}, (400, -32020)),
    (meta(), {"Mcp-Method": None}, (400, -32020)),
    (meta(), {"Mcp-Method": "tools/call"}, (400, -32020)),
    (meta(), {"Mcp-Method": "TOOLS/LIST"}, (400, -32020)),
    (meta(), {"Mcp-Method": "=?base64?%%%?="}, (400, -32020)),
    (meta("2099-01-01"), {"MCP-Protocol-Version": "2099-01-01"}, (400, -32022)),
    (meta(LEGACY), {"MCP-Protocol-Version": LEGACY}, (400, -32022)),
    (meta("2099-01-01"), {}, (400, -32020)),
])
def test_a_modern_request_says_what_it_is(door, meta_, headers, expected):
    r = modern(door, "tools/list", headers=headers, meta_=meta_)
    assert error(r) == expected and r.json["id"] == 1
    if expected[1] == -32022:
        assert r.json["error"]["data"] == {"supported": [MODERN], "requested": meta_[META + "protocolVersion"]}


@pytest.mark.parametrize("name, header, ok", [
    ("list_models", "list_models", True), ("list_models", "  list_models  ", True),
    ("list_models", "=?base64?bGlzdF9tb2RlbHM=?=", True), ("list_models", None, False),
    ("list_models", "generate", False), ("list_models", "List_Models", False), ("list_models", "=?base64?!?=", False)])
def test_the_name_stands_in_the_head_as_well(door, name, header, ok):
    r = modern(door, "tools/call", {"name": name, "arguments": {}}, {"Mcp-Name": header})
    assert r.status == 200 if ok else error(r) == (400, -32020)


def test_header_names_have_no_case(door):
    assert post(door, message("tools/list", {"_meta": meta()}),
                {"mcp-protocol-version": MODERN, "MCP-METHOD": "tools/list"}).status == 200


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "unknown/method",
                                    "tools", "", "prompts/list", "resources/read"])
def test_a_method_that_is_none_is_not_found(door, method):
    assert error(modern(door, method)) == (404, -32601)


def test_notifications_are_taken(door):
    for name in "notifications/cancelled", "notifications/initialized", "notifications/anything":
        r = modern(door, name, {"requestId": 1}, id=None)
        assert r.status == 202 and r.body == b""


def test_params_that_are_wrong_are_told_so(door):
    for params in {"name": "nothing"}, {"name": 7}, {}, {"name": "generate", "arguments": []}:
        r = modern(door, "tools/call", params, {"Mcp-Name": params.get("name") if params.get("name") != 7 else None})
        assert error(r) == (200, -32602), r
    for cursor in "", "at-0", "at-x", "7", 7, "at-1 ":
        assert error(modern(door, "tools/list", {"cursor": cursor})) == (200, -32602)


# ---- legacy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted, given", [(v, v) for v in (LEGACY, "2025-06-18", "2025-03-26", "2024-11-05")]
                         + [("2099-01-01", LEGACY), (MODERN, LEGACY), ("x", LEGACY)])
def test_initialize_agrees_on_a_version(door, wanted, given):
    r = post(door, message("initialize", {"protocolVersion": wanted, "capabilities": {}, "clientInfo": {}}))
    result = r.json["result"]
    assert r.status == 200 and result["protocolVersion"] == given and result["serverInfo"]["name"] == "llm-router"
    assert "resultType" not in result and "_meta" not in result and r.header("Mcp-Session-Id") is None


def test_legacy_needs_no_session_and_no_header(door):
    assert post(door, message("notifications/initialized", id=None)).status == 202
    assert post(door, message("ping")).json == {"jsonrpc": "2.0", "id": 1, "result": {}}
    tools = post(door, message("tools/list")).json["result"]
    assert "ttlMs" not in tools and len(tools["tools"]) >= 6
    assert error(legacy(door, "nothing")) == (200, -32601)
    assert error(legacy(door, "server/discover")) == (400, -32602)      # that is a modern method
    assert error(legacy(door, "ping", headers={"MCP-Protocol-Version": "2099-01-01"})) == (400, -32022)
    assert legacy(door, "ping", headers={"Mcp-Session-Id": "made-up"}).status == 404


# ---- our tools -----------------------------------------------------------------------------------


def test_tools_are_listed_in_the_same_order(door):
    lists = [modern(door, "tools/list").json["result"]["tools"] for _ in range(3)]
    assert lists[0] == lists[1] == lists[2] == legacy(door, "tools/list").json["result"]["tools"]
    assert [t["name"] for t in lists[0]] == ["generate", "classify", "explain_route", "list_models", "provider_health",
                                             "usage_report"]
    for tool in lists[0]:
        assert tool["description"] and tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"
        assert tool["annotations"]["readOnlyHint"] is True


@pytest.mark.parametrize("era", [modern, legacy])
def test_generate_asks_a_model(door, era):
    result = call(door, "generate", {"prompt": "Hello"}, era)
    assert result["content"] == [{"type": "text", "text": SENTENCE}]
    told = result["structuredContent"]
    assert told["text"] == SENTENCE and told["provider"] == "near" and told["model"] == "demo"
    assert told["private"] is False and told["why"] and "isError" not in result
    assert call(door, "generate", {"messages": [{"role": "user", "content": "Hello"}], "model": "near/demo",
                                   "private": True, "max_tokens": 7}, era)["structuredContent"]["private"] is True
    assert door.near.requests()[-1]["json"]["max_tokens"] == 7


@pytest.mark.parametrize("arguments", [{}, {"prompt": 7}, {"prompt": "x", "messages": [{"role": "user", "content": "x"}]},
                                       {"prompt": "x", "unknown": 1}, {"prompt": "x", "model": "nothing"},
                                       {"messages": []}, {"prompt": "x", "max_tokens": 0}])
def test_arguments_that_do_not_fit_are_the_tools_error(door, arguments):
    result = call(door, "generate", arguments)
    assert result["isError"] is True and result["content"][0]["text"]


def test_a_provider_that_fails_is_the_tools_error(door):
    door.near.control(default="status=400")
    try:
        assert call(door, "generate", {"prompt": "Hello"})["isError"] is True
    finally:
        door.near.reset()


def test_progress_makes_it_a_stream(door):
    r = modern(door, "tools/call", {"name": "generate", "arguments": {"prompt": "Hello", "model": "near/long"}},
               {"Mcp-Name": "generate"}, meta(progressToken="p/1"))
    if not r.header("Content-Type").startswith("text/event-stream"):
        return      # so short an answer has no progress
    assert r.header("Cache-Control") == "no-cache" and r.header("X-Accel-Buffering") == "no"
    frames = [json.loads(data) for _, data in sse_frames(r.text)]
    assert frames[-1]["id"] == 1 and all(f["params"]["progressToken"] == "p/1" for f in frames[:-1])


def test_what_only_reads_tells(door):
    told = call(door, "classify", {"prompt": "Write a poem"})["structuredContent"]
    assert told["recommended_provider"] == "near" and told["is_privacy_sensitive"] is False
    told = call(door, "explain_route", {"prompt": "Write a poem"})["structuredContent"]
    assert told["plan"][0]["provider"] == "near" and told["is_private"] is False
    names = [m["name"] for m in call(door, "list_models")["structuredContent"]["models"]]
    assert "auto" in names and "general" in names and "demo" in names
    health = call(door, "provider_health")["structuredContent"]["providers"]
    assert [p["provider"] for p in health] == ["near"] and health[0]["is_available"] is True
    usage = call(door, "usage_report", {"by": "model"})["structuredContent"]
    assert usage["total"]["requests"] >= 1 and "budget" in usage
    assert call(door, "usage_report", {"since": "never"})["isError"] is True


# ---- keys ----------------------------------------------------------------------------------------


def test_keys_count_as_on_every_door(router, standin):
    one = standin()
    r = router({"providers": {"near": {"kind": "openai", "url": one.url, "models": ["demo"]}},
                "roles": {"general": ["near/demo"]}, "keys": {"require": True}}, workers=1)
    keys = {name: r.command("keys", "add", name, *flags).stdout.split()[0]
            for name, flags in {"plain": (), "chief": ("--admin", "yes"), "other": ("--models", "other"),
                                "closed": ("--doors", "openai")}.items()}
    assert modern(r, "tools/list").status == 401 and modern(r, "tools/list").json["error"]["code"] == 401

    def bearer(name):
        return {"Authorization": "Bearer " + keys[name]}
    everywhere(lambda: modern(r, "tools/list", headers=bearer("closed")).status == 403, "the last key counts")
    wait_for(lambda: "isError" not in call(r, "generate", {"prompt": "Hello"}, headers=bearer("plain")), "a model")
    assert call(r, "generate", {"prompt": "Hello"}, headers=bearer("other"))["isError"] is True
    for name, everybody in ("plain", False), ("chief", True):
        usage = call(r, "usage_report", {}, headers=bearer(name))["structuredContent"]
        assert ("budget" in usage) == everybody and (usage["total"]["requests"] > 0)
