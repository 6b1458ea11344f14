# SPDX-License-Identifier: Apache-2.0
"""Nothing private reaches the cloud by way of tools, and nothing private is written down.

Samples with identifiers x ways to send them out by a tool: a model that puts them into arguments, a tool at home that
tells them (by its class, by its words, by its error), a conversation that is private from the start, every door; MCP
clients of both eras that put them into arguments, hints, answers, capabilities, tokens, addresses, names; the bridge on
pipes. A model and two tool servers play the cloud and keep every byte they were sent: no sample may be among them, and
neither in log, audit or ledger. LEAK_SEED repeats a run.
"""
import http.server
import json
import os
import random
import subprocess
import sys
import threading

import pytest

from harness import DEADLINE, TOP, ask, router_binary, wait_for

sys.path.insert(0, os.path.join(TOP, "test", "privacy"))
from ways import DATA, read_samples

CLEAN = "Which rules of rest hold for the night team?"
SEED = int(os.environ.get("LEAK_SEED", random.randrange(1 << 30)))
META = "io.modelcontextprotocol/"
BOTH = "application/json, text/event-stream"


class Peer(http.server.ThreadingHTTPServer):
    """Keeps all that it is sent, head and body."""
    daemon_threads = True

    def __init__(self, answer):
        self.seen, self.lock, self.answer = [], threading.Lock(), answer
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def take(self):
        with self.lock:
            seen, self.seen = self.seen, []
        return seen

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def handle_one_method(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.seen.append("%s\n%s\n%s" % (self.requestline, self.headers, body.decode()))
        status, kind, text = self.server.answer(self.command, self.path, self.headers, json.loads(body) if body else None)
        data = text.encode()
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = handle_one_method


class Model:
    """A chat server whose answers a test writes: calls for each round, then text."""

    def __init__(self):
        self.script = []
        self.peer = Peer(self.answer)

    def answer(self, method, path, headers, body):
        if method == "GET":
            return 200, "application/json", json.dumps({"object": "list", "data": [{"id": "demo", "object": "model"}]})
        round_ = sum(m["role"] == "assistant" for m in body["messages"])
        calls = self.script[round_] if round_ < len(self.script) else []
        calls = [{"index": i, "id": "c%d%d" % (round_, i), "type": "function",
                  "function": {"name": n, "arguments": json.dumps(a)}} for i, (n, a) in enumerate(calls)]
        said = {"role": "assistant", "content": None if calls else "done", **({"tool_calls": calls} if calls else {})}
        finish = "tool_calls" if calls else "stop"
        whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "demo",
                 "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
        if not body.get("stream"):
            return 200, "application/json", json.dumps({**whole, "choices": [
                {"index": 0, "message": said, "finish_reason": finish}]})
        events = [{**whole, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": said, "finish_reason": None}]},
                  {**whole, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}]
        return 200, "text/event-stream", "".join("data: %s\n\n" % json.dumps(e) for e in events) + "data: [DONE]\n\n"


class Tools:
    """A tool server: `modern` speaks 2026-07-28, else 2025-11-25. What its tools say is the test's."""

    def __init__(self, names, modern=False):
        self.names, self.modern, self.says = names, modern, {}
        self.peer = Peer(self.answer)

    def result(self, message):
        method, params = message["method"], message.get("params") or {}
        if method == "server/discover":
            return {"resultType": "complete", "supportedVersions": ["2026-07-28"],
                    "capabilities": {"tools": {}, "resources": {}, "prompts": {}, "completions": {}}}
        if method == "initialize":
            return {"protocolVersion": "2025-11-25", "serverInfo": {"name": "x", "version": "1"},
                    "capabilities": {"tools": {}, "resources": {}, "prompts": {}, "completions": {}}}
        if method == "tools/list":
            return {"tools": [{"name": n, "description": "Looks for rules of rest.", "inputSchema": {
                "type": "object", "properties": {"q": {"type": "string"}}}} for n in self.names]}
        if method == "resources/list":
            return {"resources": [{"uri": "doc://one", "name": "one"}]}
        if method == "resources/templates/list":
            return {"resourceTemplates": [{"uriTemplate": "doc://{+x}", "name": "any"}]}
        if method == "prompts/list":
            return {"prompts": [{"name": "p", "arguments": [{"name": "q"}]}]}
        return self.says.get(params.get("name"), {"content": [{"type": "text", "text": "eight hours"}]})

    def answer(self, method, path, headers, body):
        if method != "POST" or "method" not in body:
            return (405 if method == "GET" else 202), None, ""
        if "id" not in body:
            return 202, None, ""
        if not self.modern and body["method"] == "server/discover":
            return 400, "application/json", json.dumps({"jsonrpc": "2.0", "id": body["id"], "error": {
                "code": -32601, "message": "Method not found"}})
        result = self.result(body)
        key = "error" if "code" in result else "result"
        return 200, "application/json", json.dumps({"jsonrpc": "2.0", "id": body["id"], key: result})

    def calls(self):
        return [s for s in self.peer.take() if '"tools/call"' in s]


class World:
    def __init__(self, make_router):
        self.far, self.near = Model(), Model()
        self.out, self.old = Tools(["search", "ask"], modern=True), Tools(["search"])
        self.home = Tools(["staff", "plain", "fail"])
        rules = ["*=read,none,auto"]

        def server(tools, **more):
            return {"url": tools.peer.url + "/mcp", "rules": rules, **more}
        self.router = make_router({
            "providers": {"far": {"kind": "openai", "url": self.far.peer.url, "zone": "cloud", "models": ["demo"]},
                          "near": {"kind": "openai", "url": self.near.peer.url, "models": ["demo"]}},
            "roles": {"general": ["far/demo", "near/demo"], "tools": ["far/demo", "near/demo"]},
            "mode": "cloud", "privacy": {"roster": os.path.join(DATA, "roster-dev.txt")},
            "mcp_servers": {"out": server(self.out, zone="cloud"), "old": server(self.old, zone="cloud"),
                            "home": {**server(self.home), "rules": ["staff=read,staff,auto", "*=read,none,auto"]}}})
        self.router.wait_up("near")
        wait_for(lambda: all(n in self.mcp("legacy", "tools/list").text for n in ("out__ask", "old__search", "home__fail")),
                 "the tools are there")

    def script(self, *rounds):
        self.far.script = self.near.script = list(rounds)

    def mcp(self, era, method, params=None, headers=(), meta=(), id=1):
        params = dict(params or {})
        head = {"Content-Type": "application/json", "Accept": BOTH, **dict(headers)}
        if era == "modern":
            params["_meta"] = {META + "protocolVersion": "2026-07-28", META + "clientCapabilities": {}, **dict(meta)}
            head.update({"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method})
            if "name" in params:
                head["Mcp-Name"] = params["name"]
            if "uri" in params and method == "resources/read":
                head["Mcp-Name"] = params["uri"]
        else:
            params["_meta"] = dict(meta)
            head["MCP-Protocol-Version"] = "2025-11-25"
        try:
            for value in head.values():
                value.encode("ascii")
        except UnicodeEncodeError:
            del head["Mcp-Name"]
        return ask(self.router.port, "POST", "/mcp", {"jsonrpc": "2.0", "id": id, "method": method, "params": params}, head)

    def sent_out(self):
        """All that the cloud was sent since the last time."""
        return self.far.peer.take() + self.out.peer.take() + self.old.peer.take()


@pytest.fixture(scope="module")
def world(module_router):
    w = World(module_router)
    yield w
    for one in (w.far, w.near, w.out, w.old, w.home):
        one.peer.stop()


@pytest.fixture(scope="module")
def samples(world):
    """Those in which the detector finds something: how much it finds is measured elsewhere."""
    print("LEAK_SEED=%d" % SEED)
    _, all_ = read_samples()
    chosen = random.Random(SEED).sample([s for s in all_ if s.text.isascii() and "\n" not in s.text], 24)
    found = [s.text for s in chosen
             if world.router.ask("POST", "/router/classify", {"prompt": s.text}).json["is_privacy_sensitive"]]
    assert len(found) > 12
    return found[:12]


def holds(pieces, text):
    """Is the sample in there, as it is or written as JSON? Its middle is enough."""
    part = json.dumps(text[len(text) // 4:-len(text) // 4 or None])[1:-1]
    return [p for p in pieces if part in p or part.replace("\\", "") in p]


def check(world, text, what):
    found = holds(world.sent_out(), text)
    assert not found, (what, found[0][:2000])


def doors(text):
    user = [{"role": "user", "content": text}]
    return {
        "openai": ("/v1/chat/completions", {"model": "agent", "messages": user}),
        "openai stream": ("/v1/chat/completions", {"model": "agent", "messages": user, "stream": True}),
        "responses": ("/v1/responses", {"model": "agent", "input": text}),
        "anthropic": ("/v1/messages", {"model": "agent", "max_tokens": 64, "messages": user}),
        "ollama": ("/api/chat", {"model": "agent", "messages": user, "stream": False}),
        "native": ("/router/generate", {"model": "agent", "prompt": text}),
    }


DOORS = list(doors(""))


def say(world, door, text, **more):
    path, body = doors(text)[door]
    reply = world.router.ask("POST", path, {**body, **more})
    assert reply.status == 200, reply
    return reply


@pytest.mark.parametrize("door", DOORS)
def test_clean_calls_do_go_out(world, door):
    """Otherwise all that follows would prove nothing."""
    world.sent_out()
    world.script([("out__search", {"q": "rules of rest"}), ("old__search", {"q": "rules of rest"})])
    say(world, door, CLEAN)
    assert len(world.out.calls()) == 1 and len(world.old.calls()) == 1
    assert len([s for s in world.far.peer.take() if s.startswith("POST")]) == 2


@pytest.mark.parametrize("door", DOORS)
def test_arguments_of_a_model(world, samples, door):
    for text in samples:
        world.script([("out__search", {"q": text}), ("old__search", {"q": [text]}), ("old__search", {text: 1})])
        say(world, door, CLEAN)
        check(world, text, "arguments")


@pytest.mark.parametrize("door", DOORS)
def test_what_a_tool_at_home_tells(world, samples, door):
    for i, text in enumerate(samples):
        name, says = [("staff", {"content": [{"type": "text", "text": "nobody is tired"}], "_meta": {"x": text}}),
                      ("plain", {"content": [{"type": "text", "text": text}]}),
                      ("plain", {"content": [], "structuredContent": {"rows": [{"x": text}]}}),
                      ("fail", {"code": -32000, "message": text}),
                      ("fail", {"content": [{"type": "text", "text": text}], "isError": True})][i % 5]
        world.home.says = {name: says}
        world.script([("home__" + name, {"q": "rest"})], [("out__search", {"q": text}), ("old__search", {"q": "rest"})])
        world.sent_out()
        say(world, door, CLEAN)
        out = world.sent_out()
        assert not holds(out, text), name
        assert len([s for s in out if s.startswith("POST /v1/chat")]) == 1, (name, text)     # the first round alone
        assert not [s for s in out if '"tools/call"' in s], name


@pytest.mark.parametrize("door", DOORS)
def test_a_conversation_that_is_private(world, samples, door):
    world.script([("out__search", {"q": "rest"}), ("old__search", {"q": "rest"})])
    for text in samples:
        world.sent_out()
        say(world, door, text)
        assert not [s for s in world.sent_out() if s.startswith("POST")], text


def ways_of_a_client(text):
    """name: (method, params, headers, meta, id)."""
    word = text.replace("/", " ")
    return {
        "arguments": ("tools/call", {"name": "out__search", "arguments": {"q": text}}, {}, {}, 1),
        "arguments, older": ("tools/call", {"name": "old__search", "arguments": {"q": [{"x": text}]}}, {}, {}, 1),
        "a name in arguments": ("tools/call", {"name": "out__search", "arguments": {text: 1}}, {}, {}, 1),
        "twice": ("tools/call", {"name": "out__search", "arguments": {"q": "rest", "Q": text}}, {}, {}, 1),
        "answers": ("tools/call", {"name": "out__search", "arguments": {"q": "rest"}, "inputResponses": {
            "who": {"action": "accept", "content": {"n": text}}}}, {}, {}, 1),
        "what it can": ("tools/call", {"name": "out__search", "arguments": {"q": "rest"}}, {},
                        {META + "clientCapabilities": {"elicitation": {}, "experimental": {"x": {"y": text}}}}, 1),
        "level": ("tools/call", {"name": "out__search", "arguments": {"q": "rest"}}, {}, {META + "logLevel": text}, 1),
        "who it is": ("tools/call", {"name": "out__search", "arguments": {"q": "rest"}}, {},
                      {META + "clientInfo": {"name": text, "version": text}, "traceparent": text, text: text}, 1),
        "token": ("tools/call", {"name": "out__search", "arguments": {"q": "rest"}}, {}, {"progressToken": text}, 1),
        "id": ("tools/call", {"name": "old__search", "arguments": {"q": "rest"}}, {}, {}, text),
        "beside": ("tools/call", {"name": "out__search", "arguments": {"q": "rest"}, "task": {"ttl": 1, "x": text},
                                  "more": text}, {}, {}, 1),
        "tool": ("tools/call", {"name": "out__" + text, "arguments": {}}, {}, {}, 1),
        "state": ("tools/call", {"name": "out__search", "arguments": {"q": "rest"}, "requestState": text}, {}, {}, 1),
        "address": ("resources/read", {"uri": "doc://" + word}, {}, {}, 1),
        "prompt": ("prompts/get", {"name": "out__p", "arguments": {"q": text}}, {}, {}, 1),
        "completion": ("completion/complete", {"ref": {"type": "ref/prompt", "name": "out__p"},
                                               "argument": {"name": "q", "value": text}}, {}, {}, 1),
        "completion of an address": ("completion/complete", {"ref": {"type": "ref/resource", "uri": "doc://{+x}"},
                                                             "argument": {"name": "x", "value": text}}, {}, {}, 1),
        "subscription": ("resources/subscribe", {"uri": "doc://" + word}, {}, {}, 1),
        "cursor": ("tools/list", {"cursor": text}, {}, {}, 1),
    }


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_an_mcp_client(world, samples, era):
    for text in samples:
        for name, (method, params, headers, meta, id_) in ways_of_a_client(text).items():
            reply = world.mcp(era, method, params, headers, meta, id_)
            assert reply.status in (200, 400, 404), (name, reply)
            check(world, text, (era, name))


@pytest.mark.parametrize("headers", [{"X-LLM-Sensitivity": "private"}, {"X-LLM-Mode": "local"},
                                     {"X-LLM-Task": "privacy_sensitive"}], ids=lambda h: next(iter(h)))
@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_hints_of_an_mcp_client(world, era, headers):
    world.sent_out()
    reply = world.mcp(era, "tools/call", {"name": "out__search", "arguments": {"q": "rest"}}, headers)
    assert reply.status == 200 and reply.json["result"]["isError"], reply
    assert not world.out.calls()
    reply = world.mcp(era, "tools/call", {"name": "out__search", "arguments": {"q": "rest"}})
    assert not reply.json["result"].get("isError") and len(world.out.calls()) == 1


def test_a_server_outside_that_asks(world, samples):
    """A client that would answer anything is not asked, and neither is a model here."""
    form = {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": {"type": "object"}}}
    sampling = {"method": "sampling/createMessage", "params": {"maxTokens": 9, "messages": [
        {"role": "user", "content": {"type": "text", "text": "Tell me all you know."}}]}}
    for question in (form, sampling, {"method": "roots/list", "params": {}}):
        world.out.says = {"ask": {"resultType": "input_required", "inputRequests": {"who": question}, "requestState": "s"}}
        world.near.peer.take()
        can = {"elicitation": {}, "sampling": {}, "roots": {}}
        reply = world.mcp("modern", "tools/call", {"name": "out__ask", "arguments": {}}, meta={META + "clientCapabilities": can})
        assert reply.json["result"].get("resultType") == "complete" and reply.json["result"]["isError"], reply
        assert not [s for s in world.near.peer.take() if s.startswith("POST")]
        sent = world.out.calls()
        assert len(sent) == 1 and "elicitation" not in sent[0] and "sampling" not in sent[0], sent
    world.out.says = {}


def test_the_bridge(world, samples):
    lines = [{"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}, "experimental": {samples[0]: {}}},
        "clientInfo": {"name": samples[0], "version": "1"}}}, {"jsonrpc": "2.0", "method": "notifications/initialized"}]
    for i, text in enumerate(samples):
        lines.append({"jsonrpc": "2.0", "id": i + 1, "method": "tools/call", "params": {
            "name": "out__search", "arguments": {"q": text}}})
    bridge = subprocess.Popen([router_binary(), "mcp", "serve", "--stdio", "--url", "http://127.0.0.1:%d" % world.router.port],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env=world.router.env, cwd=world.router.dir)
    try:
        for line in lines:
            bridge.stdin.write(json.dumps(line) + "\n")
        bridge.stdin.flush()
        answers = {}
        while len(answers) < len(samples) + 1:
            message = json.loads(bridge.stdout.readline())
            if "id" in message:
                answers[message["id"]] = message
        bridge.stdin.close()
        bridge.wait(DEADLINE)
    finally:
        bridge.kill()
        bridge.wait()
        bridge.stdout.close()
    assert all(answers[i + 1]["result"]["isError"] for i in range(len(samples)))
    out = world.sent_out()
    assert not any(holds(out, text) for text in samples)


def test_nothing_is_written_down(world, samples):
    """After all of the above: log, audit, ledger, store."""
    world.router.command("audit", "verify")
    for folder, _, names in os.walk(world.router.dir):
        for name in filter(lambda name: os.path.isfile(os.path.join(folder, name)), names):
            with open(os.path.join(folder, name), "rb") as f:
                data = f.read()
            for text in samples:
                assert text.encode() not in data and json.dumps(text)[1:-1].encode() not in data, (folder, name)
    assert not any(text in world.router.log_text() for text in samples)
