#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""server - a small MCP server over its standard input and output, for the unit tests of the client side.

It answers as many servers do, out of order where a call is slow, and can be made to behave badly:

  --banner        writes lines that are no messages first
  --fragile       ends when the first message is not initialize
  --modern        speaks 2026-07-28 only
  --mute          never answers anything
  --large N       answers initialize with N bytes
  --deaf          reads nothing at all
  --many N        has N more tools
  --flood         writes lines that are no messages, without end
  --stubborn      goes on when its input has ended, and at SIGTERM

Tools: echo {text}; wait {id} answers when `go {id}` is called; die; ask (elicitation); sample (sampling); add_tool;
progress {n}; noise (writes to standard error); env {name}; bad (an error); structured.

usage: server.py [OPTION...]
"""
import json
import os
import signal
import sys
import threading

args = sys.argv[1:]
out_lock = threading.Lock()
waiting = {}
asked = {}
extra = []


def option(name):
    return int(args[args.index(name) + 1]) if name in args else 0


def send(message):
    with out_lock:
        sys.stdout.write(json.dumps(dict(message, jsonrpc="2.0")) + "\n")
        sys.stdout.flush()


def tool(name, properties=None, **more):
    return dict({"name": name, "description": "the tool " + name,
                 "inputSchema": {"type": "object", "properties": properties or {}}}, **more)


def tools():
    text = {"text": {"type": "string"}}
    listed = [
        tool("echo", text, annotations={"readOnlyHint": True}),
        tool("wait"), tool("go"), tool("die"), tool("ask"), tool("sample"), tool("add_tool"),
        tool("progress"), tool("noise"), tool("env"), tool("bad"),
        {"description": "no name"}, "no tool at all",
        tool("odd.name/with dots"), tool("broken", inputSchema={"type": "string"}),
    ]
    return listed + [tool("more_%d" % i) for i in range(option("--many"))] + extra


def text_result(text):
    return {"content": [{"type": "text", "text": text}]}


def ask(mid, method, params):
    rid = "q%s" % mid
    asked[rid] = mid
    send({"id": rid, "method": method, "params": params})


def call(mid, params):
    name, a = params["name"], params.get("arguments") or {}
    if name == "echo":
        return text_result(a.get("text", ""))
    if name == "wait":
        waiting[a.get("id")] = mid
        return None
    if name == "go":
        send({"id": waiting.pop(a.get("id")), "result": text_result("gone")})
        return text_result("went")
    if name == "die":
        os._exit(3)
    if name == "ask":
        ask(mid, "elicitation/create", {"message": "name?", "requestedSchema": {"type": "object"}})
        return None
    if name == "sample":
        ask(mid, "sampling/createMessage", {"messages": [], "maxTokens": 1})
        return None
    if name == "add_tool":
        for _ in range(50):
            send({"method": "notifications/tools/list_changed"})
        extra.append(tool("added_%d" % len(extra)))
        send({"method": "notifications/tools/list_changed"})
        return text_result("added")
    if name == "progress":
        token = params.get("_meta", {}).get("progressToken")
        for i in range(int(a.get("n", 3))):
            send({"method": "notifications/progress",
                  "params": {"progressToken": token, "progress": i + 1, "total": a.get("n", 3), "message": "step"}})
        return text_result("done")
    if name == "noise":
        sys.stderr.write("noise\n" * 20000)
        return text_result("loud")
    if name == "env":
        return text_result(os.environ.get(a.get("name"), "unset"))
    raise ValueError("Unknown tool")


def cancelled(params):
    for key in [k for k, v in waiting.items() if v == params.get("requestId")]:
        del waiting[key]


def modern(m):
    meta = m.get("params", {}).get("_meta", {})
    version = meta.get("io.modelcontextprotocol/protocolVersion")
    if m["method"] == "initialize" or version != "2026-07-28":
        raise LookupError
    if m["method"] == "server/discover":
        return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": True}}, "ttlMs": 0,
                "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "m", "version": "1"}}}
    return None


def handle(m):
    method, params = m["method"], m.get("params", {})
    if "--modern" in args:
        result = modern(m)
        if result is not None:
            return result
    elif method == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": True}},
                  "serverInfo": {"name": "test", "title": "A test\x1b[31m server", "version": "1"},
                  "instructions": "be kind"}
        if option("--large"):
            result["instructions"] = "x" * option("--large")
        return result
    if method == "tools/list":
        all_tools, at = tools(), int(params.get("cursor") or 0)
        page = {"tools": all_tools[at:at + 8]}
        if at + 8 < len(all_tools):
            page["nextCursor"] = str(at + 8)
        return page
    if method == "tools/call":
        return call(m["id"], params)
    if method == "ping":
        return {}
    raise KeyError(method)


def answer(m):
    if "id" in m and "method" not in m:  # an answer to a question of ours
        mid = asked.pop(m["id"], None)
        send({"id": mid, "result": text_result(json.dumps(m.get("result", m.get("error"))))})
        return
    if m.get("method") == "notifications/cancelled":
        cancelled(m["params"])
    if "id" not in m:
        return
    try:
        result = handle(m)
    except LookupError as e:
        code = -32601 if isinstance(e, KeyError) else -32022
        send({"id": m["id"], "error": {"code": code, "message": str(e), "data": {"supported": ["2026-07-28"]}}})
    except ValueError as e:
        send({"id": m["id"], "error": {"code": -32602, "message": str(e)}})
    else:
        if result is not None:
            send({"id": m["id"], "result": result})


def flood():
    while True:
        with out_lock:
            sys.stdout.write(("x" * 1000 + "\n") * 64)
            sys.stdout.flush()


def main():
    if "--stubborn" in args:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "--flood" in args:
        threading.Thread(target=flood, daemon=True).start()
    if "--banner" in args:
        print("Welcome to the server!\n\n[info] it is ready\n{not json", flush=True)
    if "--deaf" in args:
        threading.Event().wait()
    first = True
    for line in sys.stdin:
        m = json.loads(line)
        if "--fragile" in args and first and m.get("method") != "initialize":
            sys.stderr.write("expected initialize\n")
            sys.exit(1)
        first = False
        if "--mute" not in args:
            answer(m)
    if "--stubborn" in args:
        threading.Event().wait()


main()
