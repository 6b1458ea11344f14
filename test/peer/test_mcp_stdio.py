# SPDX-License-Identifier: Apache-2.0
"""The official example server: as a child of ours, over Streamable HTTP and over the HTTP+SSE of 2024, with its oddities
(list_changed around initialize, bad arguments as a tool's error, a session that is gone as 400)."""
import json
import os
import subprocess

import pytest

from harness import DEADLINE, TOP, ask, free_port, node_binary, router_binary, sse_frames, wait_for

EVERYTHING = os.path.join(TOP, "build/node/node_modules/@modelcontextprotocol/server-everything/dist/index.js")


def mcp(folder, *words, **servers):
    config = os.path.join(str(folder), "llm-router.yaml")
    with open(config, "w", encoding="utf-8") as f:
        json.dump({"listen": ["127.0.0.1:0"], "providers": {"e": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}},
                   "mcp_servers": servers}, f)
    done = subprocess.run([router_binary(), "mcp", *words, "-c", config], capture_output=True, timeout=DEADLINE,
                          cwd=str(folder), text=True)
    return done.returncode, done.stdout, done.stderr


def test_its_tools_are_listed(tmp_path):
    everything = {"command": [node_binary(), EVERYTHING, "stdio"]}
    status, out, err = mcp(tmp_path, "list", everything=everything)
    assert status == 0 and "ready" in out and "2025-11-25" in out, out + err
    status, out, err = mcp(tmp_path, "tools", everything=everything)
    assert status == 0, out + err
    for name in ("everything__echo", "everything__get-sum", "everything__simulate-research-query"):
        assert name in out, out


def test_a_broken_neighbour_hides_nothing(tmp_path):
    status, out, err = mcp(tmp_path, "check", everything={"command": [node_binary(), EVERYTHING, "stdio"]},
                           broken={"command": [node_binary(), "-e", "console.error('no such module');process.exit(1)"]})
    assert status == 3, out + err
    assert "everything: ready" in out and "no such module" in out, out


# ---- behind a router, by each of its transports --------------------------------------------------


class Everything:
    """Its own HTTP server; it knows no way to choose a free port."""

    def __init__(self, transport, port=None):
        self.port = port or free_port()
        self.transport = transport
        self.process = subprocess.Popen([node_binary(), EVERYTHING, transport], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env={**os.environ, "PORT": str(self.port)})

    def entry(self):
        path = "/sse" if self.transport == "sse" else "/mcp"
        return {"url": "http://127.0.0.1:%d%s" % (self.port, path),
                **({"transport": "sse"} if self.transport == "sse" else {})}

    def stop(self):
        self.process.kill()
        self.process.wait()


NAMES = {"pipe": None, "web": "streamableHttp", "old": "sse"}
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def behind(module_router, node):
    webs = {name: Everything(transport) for name, transport in NAMES.items() if transport}
    try:
        servers = {name: webs[name].entry() if name in webs else {"command": [node, EVERYTHING, "stdio"]} for name in NAMES}
        r = module_router({"providers": {}, "mcp_servers": {
            name: {**entry, "rules": ["*=read,none,auto"]} for name, entry in servers.items()}}, ready=None)
        r.webs = webs
        wait_for(lambda: all('"%s__echo"' % name in rpc(r, "tools/list", raw=True).text for name in NAMES), "all are there")
        yield r
    finally:
        for web in webs.values():
            web.stop()


def rpc(r, method, params=None, raw=False):
    reply = ask(r.port, "POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}, HEADERS)
    if raw:
        return reply
    if reply.header("Content-Type").startswith("text/event-stream"):     # it had something to say before
        return json.loads(list(sse_frames(reply.text))[-1][1])["result"]
    return reply.json["result"]


def call(r, name, raw=False, meta=None, **arguments):
    params = {"name": name, "arguments": arguments, **({"_meta": meta} if meta else {})}
    return rpc(r, "tools/call", params, raw)


@pytest.mark.parametrize("name", NAMES)
def test_its_tools_answer(behind, name):
    def text(tool, **arguments):
        return call(behind, "%s__%s" % (name, tool), **arguments)["content"][0]["text"]
    assert text("echo", message="Grüße\n") == "Echo: Grüße\n"
    assert "is 5" in text("get-sum", a=2, b=3)
    result = call(behind, name + "__get-structured-content", location="Chicago")
    assert result["structuredContent"] == json.loads(result["content"][0]["text"])
    kinds = [c["type"] for c in call(behind, name + "__get-tiny-image")["content"]]
    assert "image" in kinds
    links = call(behind, name + "__get-resource-links", count=2)["content"]
    assert [c["type"] for c in links if c["type"] != "text"] == ["resource_link"] * 2
    wrong = call(behind, name + "__get-sum", a="two", b=3)
    assert wrong["isError"] is True and wrong["content"][0]["text"]


@pytest.mark.parametrize("name", NAMES)
def test_its_progress_comes_through(behind, name):
    reply = call(behind, name + "__trigger-long-running-operation", raw=True, meta={"progressToken": "p"}, duration=0.2,
                 steps=2)
    frames = [json.loads(data) for _, data in sse_frames(reply.text)]
    assert [f["params"]["progress"] for f in frames[:-1]] in ([1, 2], [2])      # on a busy machine the newest is enough
    assert "completed" in frames[-1]["result"]["content"][0]["text"]


def test_a_tool_that_is_a_task(behind):
    """2025-11-25's tasks: it is begun, polled and fetched, and looks like any other call from outside."""
    result = call(behind, "pipe__simulate-research-query", topic="rivers")
    assert "Research Report: rivers" in result["content"][0]["text"], result


@pytest.mark.parametrize("name", NAMES)
def test_its_resources_and_prompts(behind, name):
    prompts = [p["name"] for p in rpc(behind, "prompts/list")["prompts"]]
    assert name + "__args-prompt" in prompts
    messages = rpc(behind, "prompts/get", {"name": name + "__args-prompt", "arguments": {"city": "Rome"}})["messages"]
    assert "Rome" in messages[0]["content"]["text"]
    done = rpc(behind, "completion/complete", {
        "ref": {"type": "ref/prompt", "name": name + "__completable-prompt"}, "argument": {"name": "name", "value": "D"},
        "context": {"arguments": {"department": "Sales"}}})
    assert done["completion"]["values"] == ["David"]
    if name == "pipe":      # an address is asked for at the first server that has it
        assert rpc(behind, "resources/list")["resources"]
        templates = [t["uriTemplate"] for t in rpc(behind, "resources/templates/list")["resourceTemplates"]]
        assert "demo://resource/dynamic/text/{resourceId}" in templates
        read = rpc(behind, "resources/read", {"uri": "demo://resource/dynamic/text/1"})["contents"]
        assert "Resource 1" in read[0]["text"]


def test_a_lost_session_is_begun_anew(behind):
    """After a restart it answers 400 where the standard has 404."""
    web = behind.webs["web"]
    assert "isError" not in call(behind, "web__echo", message="before")
    web.stop()
    behind.webs["web"] = Everything("streamableHttp", web.port)
    wait_for(lambda: "isError" not in call(behind, "web__echo", message="after"), "it is used again")
