#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An MCP server that stops in a state of the test's choice, to be killed there: legacy era, stdio or Streamable HTTP.

    stalling_server.py FOLDER [PORT]     over HTTP with a port (0 = any, printed as the first line)

FOLDER/stall names the state, and no such file = none; when it is reached FOLDER/reached gets the process's number.

    starting     nothing was read yet                    streaming    half of the call's answer is out
    initialize   that message has come                   elicitation  the client was asked something, in the call
    listing      tools/list has come                     sampling     the client was asked for a model's answer, in the call
    call         a call has come                         stopping     standard input ended, and nobody goes (stdio)

The tool `act` says done. Before the states of a call there is progress, so that an answer over HTTP is a stream.
"""
import http.server
import json
import os
import signal
import sys
import threading

FOLDER = sys.argv[1]
TOOL = {"name": "act", "description": "Act, and say done.", "annotations": {"readOnlyHint": True},
        "inputSchema": {"type": "object", "properties": {}}}
QUESTIONS = {"elicitation": ("elicitation/create", {"message": "Which one?", "requestedSchema": {
                 "type": "object", "properties": {"which": {"type": "string"}}}}),
             "sampling": ("sampling/createMessage", {"maxTokens": 9, "messages": [
                 {"role": "user", "content": {"type": "text", "text": "Which one?"}}]})}


def wanted():
    try:
        with open(os.path.join(FOLDER, "stall")) as f:
            return f.read()
    except FileNotFoundError:
        return None


def stall(state):
    """Here it ends if this is the state."""
    if wanted() != state:
        return
    with open(os.path.join(FOLDER, "reached.tmp"), "w") as f:
        f.write(str(os.getpid()))
    os.rename(os.path.join(FOLDER, "reached.tmp"), os.path.join(FOLDER, "reached"))
    threading.Event().wait()


def text(message):
    return json.dumps({"jsonrpc": "2.0", **message})


def answer(message, send, send_raw):
    """send: one message; send_raw: text of which only the beginning goes out."""
    method, mid = message.get("method"), message.get("id")
    if method is None or mid is None:
        return
    if method == "initialize":
        stall("initialize")
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                  "serverInfo": {"name": "stalling", "version": "1"}}
    elif method == "tools/list":
        stall("listing")
        result = {"tools": [TOOL]}
    elif method == "tools/call":
        result = call(message, send, send_raw)
    else:
        send({"id": mid, "error": {"code": -32601, "message": "no such method"}})
        return
    send({"id": mid, "result": result})


def call(message, send, send_raw):
    stall("call")
    token = message["params"].get("_meta", {}).get("progressToken")
    state = wanted()
    if token is not None:
        send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
    result = {"content": [{"type": "text", "text": "done"}]}
    if state == "streaming":
        send_raw(text({"id": message["id"], "result": result}))
        stall(state)
    if state in QUESTIONS:
        method, params = QUESTIONS[state]
        send({"id": "q1", "method": method, "params": params})
        stall(state)
    return result


def stdio():
    lock = threading.Lock()

    def write(data):
        with lock:
            sys.stdout.write(data)
            sys.stdout.flush()

    stall("starting")
    for line in sys.stdin:
        answer(json.loads(line), lambda m: write(text(m) + "\n"), lambda t: write(t[:len(t) // 2]))
    if wanted() == "stopping":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stall("stopping")


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        stall("starting")
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "id" not in message or "method" not in message:
            self.whole(202, "")
        elif message["method"] == "tools/call":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            answer(message, lambda m: self.put("data: %s\n\n" % text(m)), lambda t: self.put("data: " + t[:len(t) // 2]))
        else:
            out = []
            answer(message, out.append, None)
            self.whole(200, text(out[0]))

    def do_GET(self):
        self.whole(405, "")

    def put(self, data):
        self.wfile.write(data.encode())
        self.wfile.flush()

    def whole(self, status, body):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


if len(sys.argv) > 2:
    http.server.ThreadingHTTPServer.allow_reuse_address = True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Http)
    print(server.server_address[1], flush=True)
    server.serve_forever()
else:
    stdio()
