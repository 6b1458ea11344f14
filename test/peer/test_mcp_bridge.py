# SPDX-License-Identifier: Apache-2.0
"""`llm-router mcp serve --stdio`: a client behind pipes gets what one over HTTP gets, in both eras: changes of lists,
updates of resources, questions, marked arguments; and the router may be started anew under it."""
import json
import os
import queue
import subprocess
import sys
import threading

import pytest

from harness import DEADLINE, TOP, ask, router_binary, wait_for

MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = "io.modelcontextprotocol/"
CAPABILITIES = {"elicitation": {}, "sampling": {}}
ERAS = pytest.mark.parametrize("era", ["legacy", "modern"])


def settings(standin, server, port=0):
    return {"listen": ["127.0.0.1:%d" % port], "providers": {"near": {"kind": "openai", "url": standin.url, "models": ["demo"]}},
            "mcp_servers": {"c": {"command": [sys.executable, os.path.join(TOP, "test/mcp/changing_server.py"), server],
                                  "rules": ["*=read,none,auto"]}}}


class Client:
    """A program that starts its MCP server itself."""

    def __init__(self, r, era):
        self.era, self.last, self.said = era, 0, queue.Queue()
        self.process = subprocess.Popen([router_binary(), "mcp", "serve", "--stdio", "--url", r.url], env=r.env, cwd=r.dir,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        self.kept = []
        if era == "legacy":
            hello = self.ask("initialize", {"protocolVersion": LEGACY, "capabilities": CAPABILITIES, "clientInfo": {}})
            assert hello["result"]["capabilities"]["tools"] == {"listChanged": True}
            self.send({"method": "notifications/initialized"})

    def read(self):
        for line in self.process.stdout:
            self.said.put(json.loads(line))

    def send(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def begin(self, method, params=None):
        self.last += 1
        meta = {"_meta": {META + "protocolVersion": MODERN, META + "clientCapabilities": CAPABILITIES}}
        self.send({"id": self.last, "method": method, "params": {**(meta if self.era == "modern" else {}), **(params or {})}})
        return self.last

    def next(self, fits, what):
        """The next message that fits; the others are kept for whoever asks for them."""
        for m in self.kept:
            if fits(m):
                self.kept.remove(m)
                return m
        while True:
            try:
                m = self.said.get(timeout=DEADLINE)
            except queue.Empty:
                raise AssertionError("%s did not come; but: %r" % (what, self.kept))
            if fits(m):
                return m
            self.kept.append(m)

    def answer(self, mid):
        return self.next(lambda m: m.get("id") == mid and "method" not in m, "the answer to %r" % mid)

    def heard(self, method, **params):
        return self.next(lambda m: m.get("method") == method and all(m["params"].get(k) == v for k, v in params.items()), method)

    def ask(self, method, params=None):
        return self.answer(self.begin(method, params))

    def call(self, name, **arguments):
        return self.ask("tools/call", {"name": "c__" + name, "arguments": arguments})

    def says(self, name, **arguments):
        reply = self.call(name, **arguments)
        return reply["result"]["content"][0]["text"] if "result" in reply else reply["error"]

    def listen(self, **what):
        mid = self.begin("subscriptions/listen", {"notifications": what})
        told = self.heard("notifications/subscriptions/acknowledged")["params"]
        assert told["_meta"][META + "subscriptionId"] == mid and told["notifications"] == what
        return mid

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(DEADLINE)
        err = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        assert status == 0 and "Sanitizer" not in err, err


@pytest.fixture
def door(router, standin):
    made = []

    def make(era, server=None):
        r = router(settings(standin(), server or era), workers=2)
        wait_for(lambda: "c__touch" in ask(r.port, "POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {
            "Content-Type": "application/json", "Accept": "application/json, text/event-stream"}).text, "the server is up")
        made.append(Client(r, era))
        return r, made[-1]
    yield make
    for client in made:
        client.close()


@ERAS
def test_changes_of_lists_are_heard(door, era):
    _, client = door(era)
    if era == "modern":
        client.listen(toolsListChanged=True)
    assert client.says("grow") == "grown"
    client.heard("notifications/tools/list_changed")
    assert "c__grown_0" in [t["name"] for t in client.ask("tools/list")["result"]["tools"]]


@ERAS
@pytest.mark.parametrize("server", ["legacy", "modern"])
def test_updates_of_resources_are_heard(door, era, server):
    _, client = door(era, server)
    if era == "modern":
        mid = client.listen(resourceSubscriptions=["test://a"])
    else:
        assert client.ask("resources/subscribe", {"uri": "test://a"})["result"] == {}
    wait_for(lambda: client.says("subscribed") == "test://a", "the server knows")
    client.says("touch", uri="test://b")
    client.says("touch", uri="test://a")
    heard = client.heard("notifications/resources/updated")["params"]
    assert heard["uri"] == "test://a"
    if era == "modern":
        assert heard["_meta"][META + "subscriptionId"] == mid
        client.send({"method": "notifications/cancelled", "params": {"requestId": mid}})
    else:
        assert client.ask("resources/unsubscribe", {"uri": "test://a"})["result"] == {}
    wait_for(lambda: client.says("subscribed") == "", "the server knows that nobody listens")


@ERAS
def test_a_server_that_was_started_anew_is_told_again(door, era):
    _, client = door(era)
    if era == "modern":
        client.listen(resourceSubscriptions=["test://a"])
    else:
        client.ask("resources/subscribe", {"uri": "test://a"})
    wait_for(lambda: client.says("subscribed") == "test://a", "the server knows")
    client.call("die")
    wait_for(lambda: client.says("subscribed") == "test://a", "the new one knows, too")
    client.says("touch", uri="test://a")
    assert client.heard("notifications/resources/updated")["params"]["uri"] == "test://a"


def test_questions_reach_a_legacy_client(door):
    _, client = door("legacy")
    for name, method, answer in (("ask", "elicitation/create", {"action": "accept", "content": {"name": "Ada"}}),
                                 ("sample", "sampling/createMessage", {"role": "assistant", "model": "m", "content": {
                                     "type": "text", "text": "hello"}})):
        mid = client.begin("tools/call", {"name": "c__" + name, "arguments": {}})
        question = client.next(lambda m: m.get("method") == method, method)
        client.send({"id": question["id"], "result": answer})
        assert json.loads(client.answer(mid)["result"]["content"][0]["text"]) == answer


def test_questions_reach_a_modern_client(door):
    _, client = door("modern")
    first = client.call("ask")["result"]
    assert first["resultType"] == "input_required" and first["inputRequests"]["q"]["method"] == "elicitation/create"
    answer = {"action": "accept", "content": {"name": "Ada"}}
    again = client.ask("tools/call", {"name": "c__ask", "arguments": {}, "inputResponses": {"q": answer}})
    assert json.loads(again["result"]["content"][0]["text"]) == answer


@ERAS
def test_marked_arguments(door, era):
    """The client knows nothing of headers, and has not even listed the tools."""
    _, client = door(era)
    assert client.says("marked", region="Zürich ") == "region Zürich "
    assert client.says("marked") == "region none"
    assert client.says("marked", region="eu") == "region eu"


def test_the_router_is_started_anew(router, standin):
    one = standin()
    r = router(settings(one, "legacy"), workers=2)
    client = Client(r, "legacy")
    wait_for(lambda: client.says("grow") == "grown", "the tools are there")
    client.heard("notifications/tools/list_changed")
    port, old = r.port, r.dir
    r.stop()
    reply = client.call("grow")
    assert "no router" in reply["error"]["message"] or "broke off" in reply["error"]["message"], reply
    r = router({**settings(one, "legacy", port), "state_dir": os.path.join(old, "state")}, workers=2)
    # Its session means nothing to the new one: a new one is made in its place, and the client is none the wiser, but told
    # that every list may be another one.
    wait_for(lambda: client.says("subscribed") == "", "calls go on")
    for what in "tools", "resources", "prompts":
        client.heard("notifications/%s/list_changed" % what)
    mid = client.begin("tools/call", {"name": "c__ask", "arguments": {}})
    question = client.next(lambda m: m.get("method") == "elicitation/create", "a question in the new session")
    client.send({"id": question["id"], "result": {"action": "decline"}})
    assert client.answer(mid)["result"]
    assert client.says("grow") == "grown"
    client.heard("notifications/tools/list_changed")
    client.close()
