# SPDX-License-Identifier: Apache-2.0
"""The official libraries of MCP on both sides of the router: every client against every server, feature by feature.

    clients   TypeScript 1.x, TypeScript 2.x in its older and its 2026-07-28 mode, Python 1.x; each over POST /mcp and over
              `llm-router mcp serve --stdio`                          test/mcp/sdk_client.mjs, sdk_client.py
    servers   TypeScript 1.x, TypeScript 2.x (2026-07-28), Python 1.x; each over pipes and over HTTP
                                                                      test/mcp/sdk_server.mjs, sdk_server.py

A client and a server of these libraries agree on what a feature is; the router stands between them and must not be noticed. Where
it must be, because the two eras know different things, expected() says what is seen instead.
"""
import json
import os
import subprocess
import sys

import pytest

from harness import SENTENCE, TOP, ask, node_binary, router_binary, wait_for

MCP = os.path.join(TOP, "test", "mcp")
MODULES = os.path.join(TOP, "build", "node", "node_modules", "@modelcontextprotocol")
CLIENTS = ["v1", "v2", "v2-modern", "python"]
DOORS = ["http", "stdio"]
SERVERS = {"v1pipe": ("v1", "stdio"), "v1web": ("v1", "http"), "v2pipe": ("v2-strict", "stdio"),
           "v2web": ("v2-strict", "http"), "pypipe": ("python", "stdio"), "pyweb": ("python", "http")}

SEEN = {
    "tools": 2,
    "structured": {"sum": 5},
    "image": "<image image/png>",
    "tool error": [True, True],
    "bad argument": True,
    "unknown tool": "refused",
    "progress": ["done", 1, 2, 3],
    "cancel": "cancelled",
    "logging": "heard",
    "elicitation": "Hello Ann",
    "sampling": 'It said: "Ping", said my model',
    "roots": "file:///mine",
    "resource": "A text.",
    "resources listed": 1,
    "template": [True, "Item 7."],
    "prompt": [True, "Greet ann."],
    "completion of a prompt": ["ann", "anna"],
    "completion of a template": ["1", "12"],
    "list changed": "heard",
    "resource updated": "heard",
    "task": "It is later now.",
}

# What a library's servers do not have.
LACKS = {"v1": [], "v2-strict": ["task"], "python": ["task", "resource updated"]}


def servers_of(door):
    return list(SERVERS) if door == "http" else ["v1pipe", "v2web"]     # the way behind the router is the same


def server_command(kind, transport, name):
    if kind == "python":
        return [sys.executable, "-W", "ignore", os.path.join(MCP, "sdk_server.py"), transport, name]
    return [node_binary(), os.path.join(MCP, "sdk_server.mjs"), kind, transport, name]


class Web:
    """A server over HTTP."""

    def __init__(self, name):
        self.process = subprocess.Popen(server_command(*SERVERS[name], name), stdout=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, text=True)
        self.port = None

    def url(self):
        self.port = self.port or int(self.process.stdout.readline())
        return "http://127.0.0.1:%d/mcp" % self.port

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def between(module_router, module_standin, node):
    """The router with all servers behind it, and a model of its own."""
    if not os.path.isdir(os.path.join(MODULES, "sdk")):
        pytest.skip("the libraries are not here: ./dev setup test brings them")
    model = module_standin()
    webs = {name: Web(name) for name, (_, transport) in SERVERS.items() if transport == "http"}
    try:
        servers = {name: {"url": webs[name].url()} if transport == "http" else
                   {"command": server_command(kind, transport, name)} for name, (kind, transport) in SERVERS.items()}
        r = module_router({"providers": {"near": {"kind": "openai", "url": model.url, "models": ["demo"]}},
                           "roles": {"general": ["near/demo"]},
                           "mcp_servers": {name: {**server, "rules": ["*=read,none,auto"]} for name, server in servers.items()}})
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}

        def offered():
            text = ask(r.port, "POST", "/mcp", body, {"Content-Type": "application/json"}).text
            return all('"%s__add"' % name in text for name in servers)
        wait_for(offered, "all servers are there")
        yield r
    finally:
        for web in webs.values():
            web.stop()


def job_of(client, door, r):
    job = {"library": client, "servers": servers_of(door),
           "skip": {name: LACKS[kind] for name, (kind, _) in SERVERS.items()}}
    if door == "http":
        return {**job, "url": r.url + "/mcp"}
    return {**job, "command": [router_binary(), "mcp", "serve", "--stdio", "--url", r.url], "env": r.env}


def look(client, door, r, folder):
    argv = [sys.executable, "-W", "ignore", os.path.join(MCP, "sdk_client.py")] if client == "python" else \
        [node_binary(), os.path.join(MCP, "sdk_client.mjs")]
    done = subprocess.run(argv, input=json.dumps(job_of(client, door, r)), capture_output=True, text=True, timeout=240,
                          cwd=str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def seen(between, tmp_path_factory):
    """What each client saw through each door, looked at once."""
    found = {}

    def get(client, door):
        if (client, door) not in found:
            found[client, door] = look(client, door, between, tmp_path_factory.mktemp("sdk"))
        return found[client, door]
    return get


def is_modern(server):
    return SERVERS[server][0].startswith("v2")


def expected(client, server, feature):
    """A client of the newer era cannot be asked by a server of the older one: the router answers in its place."""
    if client == "v2-modern" and not is_modern(server):
        if feature == "sampling":
            return "It said: " + SENTENCE
        if feature == "elicitation":
            return "No name: decline"
        if feature == "roots":
            return ""
    return SEEN[feature]


def agrees(feature, found, wanted):
    """Progress is what is heard in time: the router hands on so many in a second, and a library forgets who wanted it with the
    result that comes in the same piece."""
    if feature == "progress":
        return found[0] == wanted[0] and len(found) > 1 and found[1:] == [n for n in wanted[1:] if n in found]
    return found == wanted


@pytest.mark.parametrize("client, door, server", [(c, d, s) for c in CLIENTS for d in DOORS for s in servers_of(d)])
def test_what_a_client_sees_of_a_server(client, door, server, seen, matrix):
    found = seen(client, door)[server]
    tried = [f for f in SEEN if f not in LACKS[SERVERS[server][0]]]
    assert sorted(found) == sorted(tried)
    wrong = {f: (found[f], expected(client, server, f)) for f in tried
             if not agrees(f, found[f], expected(client, server, f))}
    matrix.setdefault("MCP libraries: features that work, of those the server has", {})[
        client + " " + door, server] = "%d of %d" % (len(tried) - len(wrong), len(tried))
    assert not wrong


# ---- the inspector's command line ----------------------------------------------------------------


def inspect(door, r, folder, *words):
    """(status, what it printed as JSON or text)"""
    cli = os.path.join(MODULES, "inspector", "clients", "launcher", "build", "index.js")
    target = [r.url + "/mcp", "--transport", "http"] if door == "http" else \
        [router_binary(), "mcp", "serve", "--stdio", "--url", r.url]
    done = subprocess.run([node_binary(), cli, "--cli", *target, *words], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=120, cwd=str(folder), env={**r.env, "HOME": str(folder)})
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("door, era", [("http", "modern"), ("stdio", "legacy")])
def test_the_inspector_understands_us(door, era, between, tmp_path):
    def ask_it(*words):
        return inspect(door, between, tmp_path, "--protocol-era", era, *words)
    status, found = ask_it("--method", "tools/list", "--strict")
    assert status == 0, found       # 6: a schema that is not portable
    assert "v1pipe__add" in [t["name"] for t in found["tools"]]
    status, found = ask_it("--method", "tools/call", "--tool-name", "v2web__add", "--tool-arg", "a=2", "b=3")
    assert (status, found["structuredContent"]) == (0, {"sum": 5})
    if era == "modern":     # each of its commands takes two seconds
        return
    status, found = ask_it("--method", "resources/read", "--uri", "pypipe://text")
    assert (status, found["contents"][0]["text"]) == (0, "A text.")
    status, found = ask_it("--method", "prompts/get", "--prompt-name", "pyweb__greet", "--prompt-args", "who=ann")
    assert (status, found["messages"][0]["content"]["text"]) == (0, "Greet ann.")
