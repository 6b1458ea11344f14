#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""answers.py SEED N - writes N random scenarios for `scenario --judge`: one caller, one provider, one odd answer.

Every door asks every kind of upstream, and the upstream answers with pieces that servers are known to send
(translation.md), in orders and combinations that none would: calls without an index, an id, an end or arguments,
two choices where one was asked for, reasons to end that come twice or too early, blocks inside of blocks. In debug
builds each stream that goes out is read by the rules of its dialect (exchange/check.c), which is the point.

The same seed gives the same text.
"""
import json
import random
import sys

CONFIG = """config
deadline: 40s
repair: %s
providers:
  one:   { kind: openai, url: "http://127.0.0.1:9001", retries: 0%s }
  two:   { kind: ollama, url: "http://127.0.0.1:9002", retries: 0 }
  three: { kind: anthropic, url: "http://127.0.0.1:9003", zone: local, retries: 0 }
end"""
LONG_NAME = "a.b c/" + "x" * 70
TOOLS = [{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": LONG_NAME}}]
ARGUMENTS = ['{"k"', ":1", "}", "{}", '{"k":1}', "{k:1}", "", "x", '"', '{"a":"', "\\", "null", "[1]", ",", "```", " ",
             '{"k":9007199254740993', '{"a":1}{"b":2}', "\n"]
TEXTS = ["Hel", "lo", "", " ", "{", "}", '{"a":1}']


def dump(value):
    return json.dumps(value, separators=(",", ":"))


def likely(rng, chance):
    return rng.random() < chance


# ---- callers ----

def ask(rng):
    """(path, body): one of the doors."""
    door = rng.choice(["chat", "chat", "messages", "messages", "ollama", "generate", "native", "responses", "completion"])
    body, tools = {"stream": likely(rng, 0.8)}, likely(rng, 0.7)
    if door in ("chat", "messages", "ollama"):
        body["messages"] = [{"role": "user", "content": "hi"}]
    if door == "chat":
        if tools:
            body["tools"] = TOOLS
        elif likely(rng, 0.2):
            body["functions"] = [{"name": "a"}]
        if body["stream"] and likely(rng, 0.5):
            body["stream_options"] = {"include_usage": True}
        if likely(rng, 0.12):
            body["n"] = 2
        if likely(rng, 0.2):
            body["response_format"] = {"type": "json_object"}
        return "/v1/chat/completions", body
    if door == "messages":
        body["max_tokens"] = 4000
        if tools:
            body["tools"] = [{"name": "a", "input_schema": {"type": "object"}}]
        if likely(rng, 0.4):
            body["thinking"] = {"type": "enabled", "budget_tokens": 2000}
        return "/v1/messages", body
    if door == "ollama":
        if tools:
            body["tools"] = TOOLS
        body.update(rng.choice([{}, {"think": True}, {"format": "json"}]))
        return "/api/chat", body
    if door == "responses":
        body["input"] = "hi"
        if tools:
            body["tools"] = [{"type": "function", "name": "a", "parameters": {"type": "object"}}]
        if likely(rng, 0.4):
            body["reasoning"] = {"effort": "low", "summary": "auto"}
        return "/v1/responses", body
    body["prompt"] = "hi"
    if door == "generate":
        return "/api/generate", body
    if door == "completion":
        return "/v1/completions", body
    return "/router/stream" if body["stream"] else "/router/generate", body


# ---- OpenAI's answers ----

def openai_call(rng):
    call, function = {}, {}
    if likely(rng, 0.8):
        call["index"] = rng.choice([0, 0, 0, 1, 1, 2, -1, "0", None, 7])
    if likely(rng, 0.6):
        call["id"] = rng.choice(["c1", "c1", "c2", "", "call_x", 5, None, "i" * 200])
    if likely(rng, 0.6):
        call["type"] = "function"
    if likely(rng, 0.7):
        function["name"] = rng.choice(["a", "a", "a", "a", "b", "", "a_b", None])
    if likely(rng, 0.8):
        function["arguments"] = rng.choice(ARGUMENTS) if likely(rng, 0.9) else rng.choice([{}, {"k": 1}, None, [1], 3])
    if likely(rng, 0.95):
        call["function"] = function
    return call


def openai_says(rng):
    """What stands in a delta or a message."""
    says = {}
    if likely(rng, 0.5):
        says["content"] = rng.choice(TEXTS + [None])
    if likely(rng, 0.2):
        says[rng.choice(["reasoning_content", "reasoning"])] = rng.choice(["hm", "so", "", None])
    if likely(rng, 0.4):
        says["tool_calls"] = [openai_call(rng) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
    if likely(rng, 0.03):
        says["function_call"] = {"name": "a", "arguments": rng.choice(ARGUMENTS)}
    if likely(rng, 0.04):
        says["refusal"] = rng.choice(["no", None])
    return says


def openai_usage(rng):
    return rng.choice([None, {"prompt_tokens": 3, "completion_tokens": 1},
                       {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}])


def openai_chunk(rng, completion, finish=None, delta=None):
    choice = {"index": 0 if likely(rng, 0.9) else rng.choice([1, 1, 2, 127, 128]), "finish_reason": finish}
    if completion:
        choice["text"] = rng.choice(["a", "", None])
    else:
        choice["delta"] = delta if delta is not None else openai_says(rng)
    chunk = {"id": "u1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    if likely(rng, 0.07):
        chunk["choices"] = rng.choice([[], [choice, choice], [choice, dict(choice, index=1)]])
    if likely(rng, 0.15):
        chunk["usage"] = openai_usage(rng)
    for key in ("id", "created", "model"):
        if likely(rng, 0.03):
            del chunk[key]
    return dump(chunk)


def good_calls(rng):
    for index in range(rng.randint(1, 3)):
        yield {"tool_calls": [{"index": index, "id": "c%d" % index, "type": "function",
                               "function": {"name": "a", "arguments": ""}}]}
        for piece in rng.choice([['{"k"', ":1}"], ["{}"], ["{k", ":1}"], ['{"k":']]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def openai_stream(rng, completion):
    events = [openai_chunk(rng, completion) for _ in range(rng.randint(0, 7))]
    if likely(rng, 0.3):
        events += [openai_chunk(rng, completion, None, delta) for delta in good_calls(rng)]
    if likely(rng, 0.9):
        events.append(openai_chunk(rng, completion, rng.choice(["stop", "stop", "length", "tool_calls", "content_filter",
                                                                "function_call", "odd", "", 5])))
    if likely(rng, 0.2):
        events.append(openai_chunk(rng, completion, rng.choice(["stop", None])))
    if likely(rng, 0.5):
        events.append(dump({"id": "u1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
                            "usage": openai_usage(rng)}))
    if likely(rng, 0.05):
        events.insert(rng.randrange(len(events) + 1), dump({"error": {"message": "boom", "code": 429}}))
    if likely(rng, 0.9):
        events.append("[DONE]")
    return events


def openai_whole(rng, completion):
    choices = []
    for index in rng.choice([[0], [0], [0], [0], [0, 1], [1], [], [0, 0]]):
        choice = {"index": index, "finish_reason": rng.choice(["stop", "stop", "tool_calls", "length", None, "", "odd"])}
        if completion:
            choice["text"] = rng.choice(["a", ""])
        else:
            choice["message"] = dict(openai_says(rng), role="assistant")
        choices.append(choice)
    whole = {"id": "u1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    if likely(rng, 0.6):
        whole["usage"] = openai_usage(rng)
    return dump(whole)


# ---- Anthropic's ----

def anthropic_block(rng):
    kind = rng.choice(["text", "text", "thinking", "tool_use", "tool_use", "redacted_thinking", "server_tool_use", "odd"])
    block = {"type": kind}
    if kind == "text":
        block["text"] = rng.choice(["", "x"])
    elif kind == "thinking":
        block.update(rng.choice([{"thinking": ""}, {"thinking": "t"}, {"thinking": "", "signature": "s"}]))
    elif kind == "redacted_thinking":
        block["data"] = "zzz"
    elif kind != "odd":
        block.update(id=rng.choice(["toolu_1", "toolu_1", "", "t2"]), name=rng.choice(["a", "a", "a", "", "zz"]),
                     input=rng.choice([{}, {}, {"k": 1}, None, "x"]))
    return block


def anthropic_delta(rng, kind):
    fits = {"text": "text_delta", "thinking": rng.choice(["thinking_delta", "signature_delta"]),
            "tool_use": "input_json_delta", "server_tool_use": "input_json_delta"}
    members = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature",
               "input_json_delta": "partial_json", "citations_delta": "citation"}
    name = fits.get(kind, "citations_delta") if likely(rng, 0.9) else rng.choice(list(members))
    return {"type": name, members[name]: rng.choice(ARGUMENTS if name == "input_json_delta" else ["Hi", "", "yo"])}


def anthropic_stream(rng):
    events = [("message_start", {"message": {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
                                             "stop_reason": None, "usage": {"input_tokens": 3, "output_tokens": 1}}})]
    for index in range(rng.randint(0, 4)):
        block = anthropic_block(rng)
        events.append(("content_block_start", {"index": index, "content_block": block}))
        for _ in range(rng.randint(0, 3)):
            events.append(("content_block_delta", {"index": index + likely(rng, 0.05),
                                                   "delta": anthropic_delta(rng, block["type"])}))
        events.append(("content_block_stop", {"index": index}))
    reason = rng.choice(["end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal", "pause_turn", None, "odd"])
    events.append(("message_delta", {"delta": {"stop_reason": reason, "stop_sequence": rng.choice([None, "S"])},
                                     "usage": {"output_tokens": 2}}))
    events.append(("message_stop", {}))
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        at = rng.randrange(len(events))
        what = rng.random()
        if what < 0.4 and len(events) > 1:
            del events[at]
        elif what < 0.6:
            events.insert(at, ("ping", {}))
        elif what < 0.8:
            events.insert(at, rng.choice(events))
        else:
            events.insert(at, ("error", {"error": {"type": "overloaded_error", "message": "x"}}))
    return ["event: %s\ndata: %s" % (name, dump(dict(event, type=name))) for name, event in events]


def anthropic_whole(rng):
    return dump({"id": "m", "type": "message", "role": "assistant", "model": "m",
                 "content": [anthropic_block(rng) for _ in range(rng.randint(0, 3))],
                 "stop_reason": rng.choice(["end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal", None, "odd"]),
                 "stop_sequence": rng.choice([None, "S"]),
                 "usage": rng.choice([None, {}, {"input_tokens": 3, "output_tokens": 1}])})


# ---- Ollama's ----

def ollama_line(rng, generate, done):
    says = {"thinking": rng.choice(["t", ""])} if likely(rng, 0.3) else {}
    line = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": done}
    if generate:
        line.update(says, response=rng.choice(TEXTS))
    else:
        if likely(rng, 0.35):
            says["tool_calls"] = [{"function": {"name": rng.choice(["a", "a", "a", "", "b"]),
                                                "arguments": rng.choice([{}, {"k": 1}, '{"k":1}', None, "x"])},
                                   "id": rng.choice(["", "1", "2"])} for _ in range(rng.randint(0, 2))]
        line["message"] = dict(says, role="assistant", content=rng.choice(TEXTS))
    if done:
        line["done_reason"] = rng.choice(["stop", "stop", "length", "load", "", "odd"])
        line.update(rng.choice([{}, {"prompt_eval_count": 3, "eval_count": 2}]))
    return dump(line)


def ollama_stream(rng, generate):
    lines = [ollama_line(rng, generate, False) for _ in range(rng.randint(0, 6))]
    if likely(rng, 0.1):
        lines.append(dump({"error": "x"}))
    if likely(rng, 0.95):
        lines.append(ollama_line(rng, generate, True))
    if likely(rng, 0.1):
        lines.append(ollama_line(rng, generate, likely(rng, 0.5)))
    return lines


# ---- stories ----

def escaped(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def story(rng):
    yield CONFIG % (rng.choice(["true", "false"]), rng.choice(["", "", ", stream_always: true"]))
    path, body = ask(rng)
    own = {"/api/chat": "two", "/api/generate": "two", "/v1/messages": "three"}.get(path, "one")
    provider = own if likely(rng, 0.4) else rng.choice(["one", "two", "three"])
    completion, generate = path == "/v1/completions", path == "/api/generate"
    body["model"] = provider + "/m"
    yield "client c POST %s %s" % (path, dump(body))
    yield "provider %s expect POST /x" % provider
    if not body["stream"] or likely(rng, 0.1):
        whole = {"one": lambda: openai_whole(rng, completion), "two": lambda: ollama_line(rng, generate, likely(rng, 0.97)),
                 "three": lambda: anthropic_whole(rng)}[provider]
        if not likely(rng, 0.2):
            yield "provider %s reply 200 json %s" % (provider, escaped(whole()))
            return
    yield "provider %s head 200 %s" % (provider, "ndjson" if provider == "two" else "sse")
    bare = likely(rng, 0.1)
    for event in {"one": lambda: openai_stream(rng, completion), "two": lambda: ollama_stream(rng, generate),
                  "three": lambda: anthropic_stream(rng)}[provider]():
        if provider == "one" and bare and likely(rng, 0.6):
            yield "provider one bytes data:%s\\n\\n" % escaped(event)
        else:
            yield "provider %s %s %s" % (provider, "line" if provider == "two" else "event", escaped(event))
    yield "provider %s %s" % (provider, rng.choice(["last", "last", "last", "eof", "reset"]))


def main():
    seed, n = int(sys.argv[1]), int(sys.argv[2])
    for k in range(n):
        print('scenario "answer %d/%d"' % (seed, k))
        for line in story(random.Random("%d/%d" % (seed, k))):
            print(line)


main()
