#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fixtures_server - the tools, prompts and resources that the official conformance suite looks for on a server.

They are no part of the router: it offers them through its gateway, so what the suite tests is how the router passes
on content, progress, log messages, questions and states. Speaks MCP over stdio, both eras, with the standard library
alone.

    fixtures_server.py [--era both|legacy|modern]
"""
import argparse
import base64
import hashlib
import hmac
import json
import os
import struct
import sys
import threading
import time
import zlib

MODERN, LEGACY = "2026-07-28", "2025-11-25"
LEGACIES = (LEGACY, "2025-06-18", "2025-03-26", "2024-11-05")
META = "io.modelcontextprotocol/"
INFO = {"name": "fixtures", "version": "1"}
SECRET = os.urandom(32)
OUT = threading.Lock()


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b""))


def wav():
    data = b"\0\0" * 8
    return (b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
            + b"data" + struct.pack("<I", len(data)) + data)


PNG, WAV = base64.b64encode(png()).decode(), base64.b64encode(wav()).decode()


class RpcError(Exception):
    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.code, self.data = code, data


class Needed(Exception):
    """A modern client is to be asked: it comes again with the answers."""

    def __init__(self, requests, state=None):
        super().__init__("input required")
        self.requests, self.state = requests, state


def write(message):
    with OUT:
        sys.stdout.write(json.dumps(message, ensure_ascii=False, separators=(",", ":")) + "\n")
        sys.stdout.flush()


# ---- what one request knows of its client --------------------------------------------------------


class Client:
    """Of the legacy era: one per process."""
    capabilities = {}
    waiting = {}
    count = 0


class Call:
    def __init__(self, message, modern):
        self.id, self.modern = message["id"], modern
        self.params = message.get("params") or {}
        self.meta = self.params.get("_meta") or {}
        self.args = self.params.get("arguments") or {}
        self.capabilities = self.meta.get(META + "clientCapabilities", {}) if modern else Client.capabilities

    def progress(self, done, total):
        if "progressToken" in self.meta:
            write({"jsonrpc": "2.0", "method": "notifications/progress",
                   "params": {"progressToken": self.meta["progressToken"], "progress": done, "total": total}})

    def log(self, text):
        if self.modern and META + "logLevel" not in self.meta:
            return
        write({"jsonrpc": "2.0", "method": "notifications/message",
               "params": {"level": "info", "logger": "fixtures", "data": text}})

    def ask_legacy(self, method, params):
        with OUT:
            Client.count += 1
            id = "q%d" % Client.count
            event, box = threading.Event(), []
            Client.waiting[id] = (event, box)
        write({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        event.wait(60)
        if not box or "error" in box[0]:
            raise RpcError(-32603, "the client did not answer")
        return box[0]["result"]

    def ask(self, requests, state=None):
        """{key: (method, params)} -> {key: the client's answer}"""
        for method, _ in requests.values():
            need = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation", "roots/list": "roots"}[method]
            if need not in self.capabilities:
                raise RpcError(-32021 if self.modern else -32603, "the client lacks " + need,
                               {"requiredCapabilities": {need: {}}} if self.modern else None)
        if not self.modern:
            return {key: self.ask_legacy(method, params) for key, (method, params) in requests.items()}
        given = self.params.get("inputResponses", {})
        if all(isinstance(given.get(key), dict) for key in requests):
            return {key: given[key] for key in requests}
        raise Needed({key: {"method": method, "params": params} for key, (method, params) in requests.items()}, state)


def sign(text):
    return text + "." + hmac.new(SECRET, text.encode(), hashlib.sha256).hexdigest()


def checked(call):
    """The state that this process gave, or None; what was changed is refused."""
    state = call.params.get("requestState")
    if state is None:
        return None
    text = state.rsplit(".", 1)[0]
    if not hmac.compare_digest(sign(text), state):
        raise RpcError(-32602, "requestState was changed")
    return text


# ---- tools ---------------------------------------------------------------------------------------

TOOLS = {}
EXTRA = {"tools": 0, "prompts": 0}


def tool(name, description, schema=None, **more):
    def add(fn):
        TOOLS[name] = ({"name": name, "description": description,
                        "inputSchema": schema or {"type": "object", "properties": {}}, **more}, fn)
        return fn
    return add


def text(words, **more):
    return {"content": [{"type": "text", "text": words}], **more}


def form(message, required=None, **properties):
    return ("elicitation/create", {"message": message, "requestedSchema": {
        "type": "object", "properties": properties, "required": list(properties) if required is None else required}})


def sampling(prompt, tokens=100):
    return ("sampling/createMessage", {"messages": [{"role": "user", "content": {"type": "text", "text": prompt}}],
                                       "maxTokens": tokens})


def said(answer):
    content = answer.get("content", {})
    return content.get("text", "") if isinstance(content, dict) else "".join(c.get("text", "") for c in content)


@tool("test_simple_text", "Says a sentence.")
def simple_text(call):
    return text("This is a simple text response for testing.")


@tool("test_image_content", "Shows a picture.")
def image(call):
    return {"content": [{"type": "image", "data": PNG, "mimeType": "image/png"}]}


@tool("test_audio_content", "Plays silence.")
def audio(call):
    return {"content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]}


@tool("test_embedded_resource", "Hands over a resource.")
def embedded(call):
    return {"content": [{"type": "resource", "resource": {"uri": "test://embedded-resource", "mimeType": "text/plain",
                                                          "text": "This is an embedded resource content."}}]}


@tool("test_multiple_content_types", "Says, shows and hands over.")
def mixed(call):
    return {"content": [{"type": "text", "text": "Multiple content types test:"},
                        {"type": "image", "data": PNG, "mimeType": "image/png"},
                        {"type": "resource", "resource": {"uri": "test://mixed-content-resource",
                                                          "mimeType": "application/json",
                                                          "text": json.dumps({"test": "data", "value": 123})}}]}


@tool("test_tool_with_logging", "Logs three times.")
def logging(call):
    for words in "Tool execution started", "Tool processing data", "Tool execution completed":
        call.log(words)
        time.sleep(0.05)
    return text("It was logged.")


TOOLS["test_logging_tool"] = ({**TOOLS["test_tool_with_logging"][0], "name": "test_logging_tool"}, logging)


@tool("test_error_handling", "Fails.")
def failing(call):
    return text("This tool intentionally returns an error for testing", isError=True)


@tool("test_tool_with_progress", "Reports progress.")
def progressing(call):
    for done in 0, 50, 100:
        call.progress(done, 100)
        time.sleep(0.05)
    return text("It is done.")


@tool("test_sampling", "Asks the client's model.",
      {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]})
def test_sampling(call):
    answer = call.ask({"answer": sampling(call.args.get("prompt", ""))})["answer"]
    return text("LLM response: " + said(answer))


def elicited(answer):
    return "action=%s, content=%s" % (answer.get("action"), json.dumps(answer.get("content", {})))


@tool("test_elicitation", "Asks the client's person.",
      {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]})
def test_elicitation(call):
    answer = call.ask({"answer": form(call.args.get("message", ""),
                                      username={"type": "string", "description": "User's response"},
                                      email={"type": "string", "description": "User's email address"})})["answer"]
    return text("User response: " + elicited(answer))


TOOLS["test_streaming_elicitation"] = ({**TOOLS["test_elicitation"][0], "name": "test_streaming_elicitation",
                                        "inputSchema": {"type": "object", "properties": {}}}, test_elicitation)


@tool("test_elicitation_sep1034_defaults", "Asks with defaults.")
def defaults(call):
    answer = call.ask({"answer": form(
        "Please review", [], name={"type": "string", "default": "John Doe"}, age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        verified={"type": "boolean", "default": True})})["answer"]
    return text("Elicitation completed: " + elicited(answer))


def titled(*names):
    return [{"const": "value%d" % (i + 1), "title": name} for i, name in enumerate(names)]


@tool("test_elicitation_sep1330_enums", "Asks with every form of a choice.")
def enums(call):
    words = ["option1", "option2", "option3"]
    answer = call.ask({"answer": form(
        "Please choose", [], untitledSingle={"type": "string", "enum": words},
        titledSingle={"type": "string", "oneOf": titled("First Option", "Second Option", "Third Option")},
        legacyEnum={"type": "string", "enum": ["opt1", "opt2", "opt3"],
                    "enumNames": ["Option One", "Option Two", "Option Three"]},
        untitledMulti={"type": "array", "items": {"type": "string", "enum": words}},
        titledMulti={"type": "array", "items": {"anyOf": titled("First Choice", "Second Choice", "Third Choice")}},
    )})["answer"]
    return text("Elicitation completed: " + elicited(answer))


@tool("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", {
    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object",
                          "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
                   "contactMethod": {"type": "string", "enum": ["phone", "email"]}, "phone": {"type": "string"},
                   "email": {"type": "string"}},
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]}, "else": {"required": ["email"]}, "additionalProperties": False})
def schema_2020(call):
    return text("It came: " + json.dumps(call.args))


@tool("test_input_required_result_elicitation", "Asks for a name.")
def ask_name(call):
    answer = call.ask({"user_name": form("What is your name?", name={"type": "string"})})["user_name"]
    return text("Hello, %s!" % answer.get("content", {}).get("name", "nobody"))


@tool("test_input_required_result_sampling", "Asks a model.")
def ask_model(call):
    return text(said(call.ask({"capital_question": sampling("What is the capital of France?")})["capital_question"]))


@tool("test_input_required_result_list_roots", "Asks for roots.")
def ask_roots(call):
    roots = call.ask({"client_roots": ("roots/list", {})})["client_roots"].get("roots", [])
    return text("Roots: " + ", ".join(r.get("uri", "") for r in roots))


@tool("test_input_required_result_multiple_inputs", "Asks for everything.")
def ask_all(call):
    state = checked(call)
    answers = call.ask({"user_name": form("What is your name?", name={"type": "string"}),
                        "greeting": sampling("Generate a greeting", 50), "client_roots": ("roots/list", {})},
                       sign("all"))
    if call.modern and state != "all":
        raise RpcError(-32602, "requestState is missing")
    return text("%s %s %d" % (answers["user_name"].get("content", {}).get("name"), said(answers["greeting"]),
                              len(answers["client_roots"].get("roots", []))))


def confirm(word):
    def run(call):
        state = checked(call)
        call.ask({"confirm": form("Please confirm", ok={"type": "boolean"})}, sign(word))
        if call.modern and state != word:
            raise RpcError(-32602, "requestState is missing")
        return text("state-ok")
    return run


tool("test_input_required_result_request_state", "Asks, with a state.")(confirm("confirm"))
tool("test_input_required_result_tampered_state", "Asks, with a state that may not change.")(confirm("tampered"))


@tool("test_input_required_result_multi_round", "Asks twice.")
def ask_twice(call):
    state = checked(call)
    step1 = {"step1": form("Step 1: What is your name?", name={"type": "string"})}
    step2 = {"step2": form("Step 2: What is your favorite color?", color={"type": "string"})}
    if not call.modern:
        name, color = call.ask(step1)["step1"], call.ask(step2)["step2"]
        return text("%s likes %s" % (name["content"]["name"], color["content"]["color"]))
    if state is None:
        call.ask(step1, sign("1"))
        raise RpcError(-32602, "requestState is missing")
    if state == "1":
        name = call.ask(step1, sign("1"))["step1"].get("content", {}).get("name", "")
        raise Needed({key: {"method": m, "params": p} for key, (m, p) in step2.items()}, sign("2:" + name))
    color = call.ask(step2, sign(state))["step2"].get("content", {}).get("color", "")
    return text("%s likes %s" % (state[2:], color))


@tool("test_input_required_result_capabilities", "Asks for what the client can.")
def ask_what_it_can(call):
    wanted = {"elicitation": ("name", form("What is your name?", name={"type": "string"})),
              "sampling": ("answer", sampling("Say something"))}
    return text(json.dumps(call.ask({key: what for need, (key, what) in wanted.items() if need in call.capabilities})))


@tool("test_missing_capability", "Needs a client that samples.")
def missing_capability(call):
    return text(said(call.ask({"answer": sampling("Hello")})["answer"]))


@tool("test_trigger_tool_change", "Has one tool more from now on.")
def more_tools(call):
    EXTRA["tools"] += 1
    changed("tools")
    return text("There is another tool.")


@tool("test_trigger_prompt_change", "Has one prompt more from now on.")
def more_prompts(call):
    EXTRA["prompts"] += 1
    changed("prompts")
    return text("There is another prompt.")


def all_tools():
    extra = [{"name": "extra_%d" % i, "description": "Came later.", "inputSchema": {"type": "object"}}
             for i in range(EXTRA["tools"])]
    return [entry for entry, _ in TOOLS.values()] + extra


# ---- prompts and resources -----------------------------------------------------------------------


def user(content):
    return {"role": "user", "content": content}


def argument(name, description):
    return {"name": name, "description": description, "required": True}


def prompt_with_input(call):
    answer = call.ask({"user_context": form("What context should the prompt use?", context={"type": "string"})})
    return [user({"type": "text", "text": "Context: %s" % answer["user_context"].get("content", {}).get("context")})]


PROMPTS = {
    "test_simple_prompt": ([], lambda call: [user({"type": "text", "text": "This is a simple prompt for testing."})]),
    "test_prompt_with_arguments": (
        [argument("arg1", "First test argument"), argument("arg2", "Second test argument")],
        lambda call: [user({"type": "text", "text": "Prompt with arguments: arg1='%s', arg2='%s'"
                            % (call.args.get("arg1"), call.args.get("arg2"))})]),
    "test_prompt_with_embedded_resource": (
        [argument("resourceUri", "URI of the resource to embed")],
        lambda call: [user({"type": "resource", "resource": {"uri": call.args.get("resourceUri", ""),
                                                             "mimeType": "text/plain",
                                                             "text": "Embedded resource content for testing."}}),
                      user({"type": "text", "text": "Please process the embedded resource above."})]),
    "test_prompt_with_image": ([], lambda call: [user({"type": "image", "data": PNG, "mimeType": "image/png"}),
                                                 user({"type": "text", "text": "Please analyze the image above."})]),
    "test_input_required_result_prompt": ([], prompt_with_input),
}

RESOURCES = {
    "test://static-text": ("Static text", "text/plain", {"text": "This is the content of the static text resource."}),
    "test://static-binary": ("Static binary", "image/png", {"blob": PNG}),
    "test://watched-resource": ("Watched resource", "text/plain", {"text": "Nothing has happened yet."}),
}


def all_prompts():
    extra = [{"name": "extra_%d" % i, "description": "Came later."} for i in range(EXTRA["prompts"])]
    return [{"name": name, "description": "For tests: " + name, "arguments": arguments}
            for name, (arguments, _) in PROMPTS.items()] + extra


def read(uri):
    if uri in RESOURCES:
        _, kind, what = RESOURCES[uri]
        return {"uri": uri, "mimeType": kind, **what}
    if uri.startswith("test://template/") and uri.endswith("/data"):
        id = uri[len("test://template/"):-len("/data")]
        return {"uri": uri, "mimeType": "application/json",
                "text": json.dumps({"id": id, "templateTest": True, "data": "Data for ID: " + id})}
    raise RpcError(-32602, "Resource not found", {"uri": uri})


# ---- methods -------------------------------------------------------------------------------------

LISTENING = {}      # id of a subscriptions/listen -> what it wants
CAPABILITIES = {"tools": {"listChanged": True}, "resources": {"subscribe": True, "listChanged": True},
                "prompts": {"listChanged": True}, "completions": {}, "logging": {}}


def changed(what):
    for id, wanted in list(LISTENING.items()):
        if wanted.get(what + "ListChanged"):
            write({"jsonrpc": "2.0", "method": "notifications/%s/list_changed" % what,
                   "params": {"_meta": {META + "subscriptionId": id}}})
    if LEGACY_READY.is_set():
        write({"jsonrpc": "2.0", "method": "notifications/%s/list_changed" % what})


LEGACY_READY = threading.Event()


def discover(call):
    return {"supportedVersions": [MODERN], "capabilities": CAPABILITIES, "ttlMs": 0, "cacheScope": "private"}


def initialize(call):
    Client.capabilities = call.params.get("capabilities", {})
    version = call.params.get("protocolVersion")
    LEGACY_READY.set()
    return {"protocolVersion": version if version in LEGACIES else LEGACY, "capabilities": CAPABILITIES, "serverInfo": INFO}


def call_tool(call):
    entry = TOOLS.get(call.params.get("name"))
    if entry is None:
        raise RpcError(-32602, "Unknown tool")
    return entry[1](call)


def get_prompt(call):
    entry = PROMPTS.get(call.params.get("name"))
    if entry is None:
        raise RpcError(-32602, "Unknown prompt")
    return {"messages": entry[1](call)}


def complete(call):
    value = call.params.get("argument", {}).get("value", "")
    found = [w for w in ("paris", "park", "party", "test", "testing") if w.startswith(value)]
    return {"completion": {"values": found, "total": len(found), "hasMore": False}}


def listen(call):
    wanted = {k: v for k, v in call.params.get("notifications", {}).items()
              if k in ("toolsListChanged", "promptsListChanged", "resourcesListChanged") and v}
    LISTENING[call.id] = wanted
    write({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
           "params": {"_meta": {META + "subscriptionId": call.id}, "notifications": wanted}})
    return None


def nothing(call):
    return {}


KEPT = {"ttlMs": 0, "cacheScope": "private"}
BOTH = {
    "tools/list": lambda call: {"tools": all_tools(), **KEPT},
    "tools/call": call_tool,
    "prompts/list": lambda call: {"prompts": all_prompts(), **KEPT},
    "prompts/get": get_prompt,
    "resources/list": lambda call: {"resources": [{"uri": uri, "name": name, "mimeType": kind}
                                                  for uri, (name, kind, _) in RESOURCES.items()], **KEPT},
    "resources/templates/list": lambda call: {"resourceTemplates": [
        {"uriTemplate": "test://template/{id}/data", "name": "Template", "mimeType": "application/json"}], **KEPT},
    "resources/read": lambda call: {"contents": [read(call.params.get("uri", ""))], **KEPT},
    "completion/complete": complete,
}
MODERNS = {**BOTH, "server/discover": discover, "subscriptions/listen": listen}
LEGACIES_ONLY = {**BOTH, "initialize": initialize, "ping": nothing, "logging/setLevel": nothing,
                 "resources/subscribe": nothing, "resources/unsubscribe": nothing}


def answer(message, modern):
    call = Call(message, modern)
    methods = MODERNS if modern else LEGACIES_ONLY
    try:
        if message["method"] not in methods:
            raise RpcError(-32601, "Method not found")
        result = methods[message["method"]](call)
        if result is None:
            return
        if modern:
            result = {"resultType": "complete", "_meta": {META + "serverInfo": INFO}, **result}
        else:
            result = {k: v for k, v in result.items() if k not in KEPT}
        write({"jsonrpc": "2.0", "id": call.id, "result": result})
    except Needed as e:
        write({"jsonrpc": "2.0", "id": call.id,
               "result": {"resultType": "input_required", "inputRequests": e.requests,
                          **({"requestState": e.state} if e.state is not None else {})}})
    except RpcError as e:
        write({"jsonrpc": "2.0", "id": call.id, "error": {"code": e.code, "message": str(e),
                                                          **({"data": e.data} if e.data is not None else {})}})


def take(message, era):
    if "method" not in message:
        with OUT:
            event, box = Client.waiting.pop(message.get("id"), (None, None))
        if event is not None:
            box.append(message)
            event.set()
        return
    if "id" not in message:
        if message["method"] == "notifications/cancelled":
            LISTENING.pop((message.get("params") or {}).get("requestId"), None)
        return
    meta = (message.get("params") or {}).get("_meta") or {}
    modern = META + "protocolVersion" in meta
    if modern and era == "legacy":
        write({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
    elif not modern and era == "modern":
        write({"jsonrpc": "2.0", "id": message["id"],
               "error": {"code": -32022, "message": "Unsupported protocol version",
                         "data": {"supported": [MODERN], "requested": message.get("params", {}).get("protocolVersion")}}})
    else:
        threading.Thread(target=answer, args=(message, modern), daemon=True).start()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--era", choices=("both", "legacy", "modern"), default="both")
    era = parser.parse_args().era
    for line in sys.stdin:
        if line.strip():
            take(json.loads(line), era)


if __name__ == "__main__":
    main()
