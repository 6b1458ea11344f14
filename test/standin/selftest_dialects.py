#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stand-in's own test, second part: what a translator needs from a provider.

    selftest_dialects.py PATH_TO_STANDIN [PART_OF_A_NAME]

Tools and their flaws, results that come back, thinking, answers in JSON, images, refusals, lists, embeddings, pulls.
"""
import base64
import json
import struct
import sys

from selftest import (PATHS, SENTENCE, Standin, Truncated, ask, body_for, control, expect_truncated, http, infer, run,
                      sse, text_of)

CHATS = ("openai", "anthropic", "chat")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "id": {"type": "integer"},
                                           "ratio": {"type": "number"}, "note": {"type": "string"}},
          "required": ["city", "id", "ratio"]}
ARGS = '{"ratio":1.50, "id":9007199254740993, "city":"Z\\u00fcrich \\"日\\" 🙂"}'
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 60).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff" + b"x" * 20).decode()
PDF = base64.b64encode(b"%PDF-1.7 x").decode()
VERSION = "anthropic-version: 2023-06-01\r\n"


def tool(d, name="get_weather", schema=SCHEMA):
    if d == "anthropic":
        return {"name": name, "input_schema": schema}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def tools(d, *names):
    return [tool(d, n) for n in names or ("get_weather", "get_time")]


def whole(s, d, model="demo", headers="", **more):
    status, _, body = infer(s.port, d, model, False, headers, **more)
    assert status == 200, body
    return json.loads(body)


def chunks(body):
    return [json.loads(data) for _, data in sse(body) if data != "[DONE]"]


def calls_whole(d, reply):
    """[(id, name, arguments as text)]"""
    if d == "openai":
        return [(c.get("id"), c["function"]["name"], c["function"]["arguments"])
                for c in reply["choices"][0]["message"].get("tool_calls", [])]
    if d == "anthropic":
        return [(b.get("id"), b["name"], b["input"]) for b in reply["content"] if b["type"] == "tool_use"]
    return [(c.get("id"), c["function"]["name"], c["function"]["arguments"])
            for c in reply["message"].get("tool_calls", [])]


def calls_streamed(d, body):
    """The same from a stream, by the letter of the dialect, and the finish reason."""
    if d == "openai":
        made, reason = [], None
        for c in chunks(body):
            for choice in c["choices"]:
                reason = choice["finish_reason"] or reason
                for t in choice["delta"].get("tool_calls", []):
                    if "id" in t:
                        assert t["index"] == len(made)
                        made.append([t["id"], t["function"]["name"], ""])
                    made[t["index"]][2] += t["function"]["arguments"]
        return [tuple(m) for m in made], reason
    if d == "anthropic":
        made, reason, opened, stopped = [], None, -1, -1
        for data in chunks(body):
            if data["type"] == "content_block_start":
                assert data["index"] == opened + 1 == stopped + 1, "blocks count up and do not overlap"
                opened += 1
                if data["content_block"]["type"] == "tool_use":
                    assert data["content_block"]["input"] == {}
                    made.append([data["content_block"]["id"], data["content_block"]["name"], ""])
            elif data["type"] == "content_block_delta" and data["delta"]["type"] == "input_json_delta":
                made[-1][2] += data["delta"]["partial_json"]
            elif data["type"] == "content_block_stop":
                stopped += 1
                assert data["index"] == stopped == opened
            elif data["type"] == "message_delta":
                reason = data["delta"]["stop_reason"]
        return [tuple(m) for m in made], reason
    lines = [json.loads(x) for x in body.decode().split("\n") if x.strip()]
    made = [(c.get("id"), c["function"]["name"], c["function"]["arguments"])
            for x in lines for c in x["message"].get("tool_calls", [])]
    return made, lines[-1]["done_reason"]


def ask_with(s, d, headers, path, model="demo", **more):
    """A member of ... is left out."""
    more.setdefault("stream", False)
    body = {k: v for k, v in body_for(d, model, **more).items() if v is not ...}
    status, _, text = ask(s.port, http("POST", path or PATHS[d], body, headers))
    return status, json.loads(text)


def refused(s, d, wanted, status=400, headers=VERSION, path=None, **more):
    got, reply = ask_with(s, d, headers, path, **more)
    assert got == status, (wanted, reply)
    message = reply["error"]["message"] if isinstance(reply["error"], dict) else reply["error"]
    assert wanted in message, (wanted, message)


def fine(s, d, headers=VERSION, path=None, **more):
    status, reply = ask_with(s, d, headers, path, **more)
    assert status == 200, reply
    return reply


# ---- calls ----

def test_calls_only_when_offered_and_wanted(s):
    for d in CHATS:
        assert calls_whole(d, whole(s, d, "demo+call")) == []
        assert calls_whole(d, whole(s, d, tools=tools(d))) == []
        (one,) = calls_whole(d, whole(s, d, "demo+call", tools=tools(d)))
        assert one[1] == "get_weather"
        three = calls_whole(d, whole(s, d, "demo+call=3", tools=tools(d)))
        assert [c[1] for c in three] == ["get_weather", "get_time", "get_weather"]
        assert len({c[0] for c in three}) == 3
    none = {"openai": "none", "anthropic": {"type": "none"}}
    any_ = {"openai": "required", "anthropic": {"type": "any"}}
    named = {"openai": {"type": "function", "function": {"name": "get_time"}},
             "anthropic": {"type": "tool", "name": "get_time"}}
    for d in none:
        assert calls_whole(d, whole(s, d, "demo+call", tools=tools(d), tool_choice=none[d])) == []
        assert len(calls_whole(d, whole(s, d, tools=tools(d), tool_choice=any_[d]))) == 1
        assert calls_whole(d, whole(s, d, "demo+call=0", tools=tools(d), tool_choice=any_[d])) == []
        assert calls_whole(d, whole(s, d, tools=tools(d), tool_choice=named[d]))[0][1] == "get_time"
    assert len(calls_whole("openai", whole(s, "openai", "demo+call=2", tools=tools("openai"),
                                           parallel_tool_calls=False))) == 1
    assert len(calls_whole("anthropic", whole(
        s, "anthropic", "demo+call=2", tools=tools("anthropic"),
        tool_choice={"type": "auto", "disable_parallel_tool_use": True}))) == 1


def test_whole_and_streamed_calls_are_the_same(s):
    reasons = {"openai": "tool_calls", "anthropic": "tool_use", "chat": "stop"}
    for d in CHATS:
        for knobs in ("call=2", "call=2+call_text", "call=2+call_text=after", "call=2+call_text+reasoning",
                      "call=1+call_fragments=3", "call=2+call_fragments=1+chunk=5", "call=2+call_first=4",
                      "call+finish=length"):
            reply = whole(s, d, "demo+" + knobs, tools=tools(d))
            got = calls_whole(d, reply)
            made, reason = calls_streamed(d, infer(s.port, d, "demo+" + knobs, True, tools=tools(d))[2])
            as_text = lambda a: a if isinstance(a, str) else json.dumps(a, sort_keys=True)
            want = lambda c: json.dumps(json.loads(ARGS), sort_keys=True)
            assert [c[1] for c in got] == [c[1] for c in made], (d, knobs)
            for c in got + made:
                args = as_text(c[2])
                assert json.dumps(json.loads(args), sort_keys=True) == want(c), args
            if d == "openai":
                assert all(c[2] == ARGS for c in got + made)
            assert reason == ("length" if d != "anthropic" else "max_tokens") if "length" in knobs else reasons[d]
            said = text_of(d, infer(s.port, d, "demo+" + knobs, True, tools=tools(d))[2].replace(b'"content":null,', b""))
            assert said == (SENTENCE if "call_text" in knobs else ""), (d, knobs, said)


def test_arguments_on_the_wire_keep_their_spelling(s):
    for d in CHATS:
        body = infer(s.port, d, "demo+call", False, tools=tools(d))[2].decode()
        assert (ARGS if d != "openai" else json.dumps(ARGS, ensure_ascii=False)) in body, body
        body = infer(s.port, d, "demo+call", True, tools=tools(d))[2].decode()
        assert (ARGS if d == "chat" else json.dumps(ARGS, ensure_ascii=False)) in body, body
    given = '{"a+b":  "1:2%"}'
    control(s, {"rules": [{"n": -1, "call": 1, "call_args": given, "call_name": "x+y:z"}]})
    assert calls_whole("openai", whole(s, "openai", tools=tools("openai")))[0][1:] == ("x+y:z", given)


def test_flaws_of_calls(s):
    def stream(knobs, d="openai"):
        return infer(s.port, d, "demo+" + knobs, True, tools=tools(d))[2]

    def deltas(knobs):
        return [t for c in chunks(stream(knobs)) for t in c["choices"][0]["delta"].get("tool_calls", [])]
    assert all("index" not in t for t in deltas("call=2+call_index=none"))
    assert {t["index"] for t in deltas("call=2+call_index=zero")} == {0}
    assert all("id" not in t for t in deltas("call=2+call_id=none"))
    assert len({t["id"] for t in deltas("call=2+call_id=same") if "id" in t}) == 1
    assert all(t["function"]["name"] for t in deltas("call+call_fragments=5+call_repeat_name"))
    order = [t["index"] for t in deltas("call=2+call_fragments=20+call_interleave")]
    assert order[:4] == [0, 1, 0, 1], order
    for d in CHATS:
        for knob, test in (("call_id=long", lambda i: len(i) > 70), ("call_id=odd", lambda i: "." in i and "é" in i),
                           ("ids=mistral", lambda i: len(i) == 9 and i.isalnum())):
            assert test(calls_whole(d, whole(s, d, "demo+call+" + knob, tools=tools(d)))[0][0]), (d, knob)
    bad = {"truncated": lambda a: a.startswith('{"ratio":1.50, "id') and not a.endswith("}"), "quotes": lambda a: "'" in a,
           "comma": lambda a: a.endswith(",}"), "words": lambda a: a.startswith("the"), "array": lambda a: a[0] == "["}
    for how, test in bad.items():
        for d in CHATS:
            args = calls_whole(d, whole(s, d, "demo+call+call_args_bad=" + how, tools=tools(d)))[0][2]
            assert isinstance(args, str) and test(args), (d, how, args)
            made, _ = calls_streamed(d, stream("call+call_args_bad=" + how, d))
            assert test(made[0][2]), (d, how, made)
    args = lambda d, k: calls_whole(d, whole(s, d, "demo+call+" + k, tools=tools(d)))[0][2]
    assert isinstance(args("openai", "call_args_object"), dict)
    assert isinstance(args("chat", "call_args_object"), str) and isinstance(args("anthropic", "call_args_object"), str)
    assert args("openai", "call_empty_args") == "" and args("chat", "call_empty_args") == {}
    assert calls_streamed("anthropic", stream("call=2+call_empty_args", "anthropic"))[0][1][2] == ""
    assert b"input_json_delta" not in stream("call+call_empty_args", "anthropic")
    assert calls_streamed("openai", stream("call+call_empty_args"))[0][0][2] == ""
    message = lambda k: whole(s, "openai", "demo+" + k, tools=tools("openai"))["choices"][0]["message"]
    assert message("call")["content"] is None and message("call+call_content=empty")["content"] == ""
    assert "content" not in message("call+call_content=absent")
    assert message("empty_calls")["tool_calls"] == [] and message("empty_calls")["content"] == SENTENCE
    assert message("empty_calls=null")["tool_calls"] is None
    assert b'"content":" from","tool_calls":[]}' in stream("empty_calls")
    assert b'"tool_calls":[]' in stream("empty_calls", "chat")
    assert whole(s, "openai", "demo+call+finish=stop", tools=tools("openai"))["choices"][0]["finish_reason"] == "stop"
    reply = whole(s, "anthropic", "demo+finish=calls", tools=tools("anthropic"))
    assert reply["stop_reason"] == "tool_use" and reply["content"][0]["type"] == "text"
    assert calls_streamed("chat", stream("call=3+call_joined", "chat"))[0][2][1] == "get_weather"
    assert sum(b"tool_calls" in line for line in stream("call=3+call_joined", "chat").split(b"\n")) == 1
    names = [n for n, _ in sse(stream("call=2+call_interleave+call_fragments=20", "anthropic"))]
    assert names.index("content_block_stop") > len(names) - 1 - names[::-1].index("content_block_start")
    assert whole(s, "chat", "demo+call+call_index=none+call_id=none", tools=tools("chat"))["message"]["tool_calls"][0] \
        .keys() == {"function"}


def test_calls_meet_the_faults(s):
    for d in CHATS:
        e = expect_truncated(infer, s.port, d, "demo+call+call_fragments=4+cut=4", True, tools=tools(d))\
            if d != "chat" else expect_truncated(infer, s.port, d, "demo+call=3+cut=2", True, tools=tools(d))
        assert b"get_weather" in e.got and b"DONE" not in e.got and b"message_stop" not in e.got
        body = infer(s.port, d, "demo+call=2+error=1", True, tools=tools(d))[2]
        assert b"get_weather" in body and b"error" in body and b"get_time" not in body
        body = infer(s.port, d, "demo+call+call_text", True, tools=tools(d), **(
            {"options": {"num_predict": 3}} if d == "chat" else {"max_tokens": 3}))[2]
        assert text_of(d, body) == "Hello from the" and b"get_weather" not in body


# ---- the second turn ----

def history(d, content="18 C", **more):
    if d == "openai":
        return [{"role": "user", "content": "hi"},
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": content, **more}]
    if d == "anthropic":
        return [{"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "get_weather",
                                                   "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": content,
                                              **more}]}]
    return [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", "function": {
                "name": "get_weather", "arguments": {}}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": content, **more}]


def said(d, reply):
    if d == "openai":
        return reply["choices"][0]["message"]["content"]
    if d == "anthropic":
        return "".join(b["text"] for b in reply["content"] if b["type"] == "text")
    return reply["message"]["content"]


def test_results_are_repeated(s):
    for d in CHATS:
        for text in ("18 C", "Zürich \"quoted\" 🙂\n2", "x" * 5000):
            reply = whole(s, d, "demo+call", tools=tools(d), messages=history(d, text))
            assert said(d, reply) == "result call_1: " + text, reply
            body = infer(s.port, d, "demo+call+events=3", True, tools=tools(d), messages=history(d, text))[2]
            assert text_of(d, body) == "result call_1: " + text
        older = history(d) + [{"role": "assistant", "content": "ok"}, {"role": "user", "content": "more"}]
        assert said(d, whole(s, d, messages=older)) == SENTENCE
        again = whole(s, d, "demo+call+call_again", tools=tools(d), messages=history(d))
        assert len(calls_whole(d, again)) == 1
    assert said("anthropic", whole(s, "anthropic", messages=history("anthropic", [
        {"type": "text", "text": "no "}, {"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": PNG}}], is_error=True))) == \
        "error call_1: no \nimage/png 68 bytes"
    two = history("openai") + [{"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "B"}]},
                               {"role": "user", "content": "and?"}]
    assert said("openai", whole(s, "openai", messages=two)) == "result call_1: 18 C\nresult call_2: B"
    named = [{"role": "tool", "tool_name": "get_weather", "content": "rain"}]
    assert said("chat", whole(s, "chat", messages=named)) == "result get_weather: rain"


def test_images_and_documents_are_seen(s):
    uri = "data:image/png;base64," + PNG
    parts = {"openai": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": uri}},
                        {"type": "file", "file": {"filename": "a.pdf",
                                                  "file_data": "data:application/pdf;base64," + PDF}},
                        {"type": "image_url", "image_url": {"url": "https://x.example/a.jpg"}}],
             "anthropic": [{"type": "text", "text": "see"},
                           {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                           {"type": "document", "source": {"type": "base64", "media_type": "application/pdf",
                                                           "data": PDF}},
                           {"type": "image", "source": {"type": "url", "url": "https://x.example/a.jpg"}}]}
    for d, content in parts.items():
        assert said(d, whole(s, d, messages=[{"role": "user", "content": content}])) == \
            "image/png 68 bytes\napplication/pdf 10 bytes\nlink https://x.example/a.jpg"
    reply = whole(s, "chat", messages=[{"role": "user", "content": "see", "images": [JPEG, PNG]}])
    assert said("chat", reply) == "image/jpeg 23 bytes\nimage/png 68 bytes"
    assert whole(s, "generate", images=[PNG])["response"] == "image/png 68 bytes"
    text = [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "héllo"}}]
    assert said("anthropic", whole(s, "anthropic", messages=[{"role": "user", "content": text}])) == \
        "text/plain 6 bytes"


# ---- thinking ----

def test_thinking_follows_the_request(s):
    types = lambda r: [b["type"] for b in r["content"]]
    on = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000}
    assert types(whole(s, "anthropic", **on)) == ["thinking", "text"]
    assert types(whole(s, "anthropic", thinking={"type": "adaptive"})) == ["thinking", "text"]
    assert types(whole(s, "anthropic", thinking={"type": "disabled"})) == ["text"]
    one = whole(s, "anthropic", **on)["content"][0]
    assert one == whole(s, "anthropic", **on)["content"][0] and one["thinking"] == "Hello from"
    assert one["signature"] != whole(s, "anthropic", "demo+reasoning=3", **on)["content"][0]["signature"]
    body = infer(s.port, "anthropic", "demo", True, **on)[2]
    deltas = [c["delta"] for c in chunks(body) if c["type"] == "content_block_delta"]
    assert [x["signature"] for x in deltas if x["type"] == "signature_delta"] == [one["signature"]]
    hidden = whole(s, "anthropic", thinking={"type": "adaptive", "display": "omitted"})["content"][0]
    assert hidden["thinking"] == "" and hidden["signature"] == one["signature"]
    body = infer(s.port, "anthropic", "demo", True, thinking={"type": "adaptive", "display": "omitted"})[2]
    assert b"thinking_delta" not in body and one["signature"].encode() in body
    assert types(whole(s, "anthropic", "demo+reasoning+redacted=2+call", tools=tools("anthropic"))) == [
        "thinking", "redacted_thinking", "redacted_thinking", "tool_use"]
    body = infer(s.port, "anthropic", "demo+reasoning+redacted=2+call", True, tools=tools("anthropic"))[2]
    assert calls_streamed("anthropic", body)[0] and body.count(b'"type":"redacted_thinking"') == 2
    assert b"signature_delta" not in infer(s.port, "anthropic", "demo+reasoning+no_signature", True)[2]
    assert whole(s, "chat", think=True)["message"]["thinking"] == "Hello from"
    assert whole(s, "chat", think="high")["message"]["thinking"]
    assert "thinking" not in whole(s, "chat", "demo+reasoning", think=False)["message"]
    for field, names in (("reasoning", {"reasoning"}), ("both", {"reasoning", "reasoning_content"})):
        reply = whole(s, "openai", "demo+reasoning+reasoning_field=" + field)["choices"][0]["message"]
        assert {n for n in reply if n.startswith("reasoning")} == names
        body = infer(s.port, "openai", "demo+reasoning+reasoning_field=" + field, True)[2]
        assert {n for c in chunks(body) for n in c["choices"][0]["delta"] if n.startswith("reasoning")} == names


def test_signatures_are_judged(s):
    control(s, {"strict": True})
    on = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000, "tools": tools("anthropic")}
    control(s, {"default": "call"})
    reply = fine(s, "anthropic", **on)
    assert [b["type"] for b in reply["content"]] == ["thinking", "tool_use"]
    back = lambda content: [{"role": "user", "content": "hi"}, {"role": "assistant", "content": content},
                            {"role": "user", "content": [{"type": "tool_result", "tool_use_id":
                                                          reply["content"][1]["id"], "content": "x"}]}]
    assert "result toolu_" in said("anthropic", fine(s, "anthropic", messages=back(reply["content"]), **on))
    thinking, use = reply["content"]
    for wrong in ({**thinking, "thinking": "other"}, {**thinking, "signature": "c3RhbmRpbg=="},
                  {**thinking, "signature": ""}):
        refused(s, "anthropic", "Invalid `signature` in `thinking` block", messages=back([wrong, use]), **on)
    fine(s, "anthropic", messages=back([{**thinking, "thinking": ""}, use]), **on)
    refused(s, "anthropic", "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
            messages=back([use]), **on)
    refused(s, "anthropic", "redacted_thinking", messages=back([{"type": "redacted_thinking", "data": "x"}, use]), **on)
    think = lambda **t: {"thinking": {"type": "enabled", **t}}
    refused(s, "anthropic", "greater than or equal to 1024", **think(budget_tokens=1000), max_tokens=4000)
    refused(s, "anthropic", "`max_tokens` must be greater", **think(budget_tokens=2000), max_tokens=2000)
    refused(s, "anthropic", "forces tool use", tool_choice={"type": "any"}, **on)
    refused(s, "anthropic", "may only be set to 1", temperature=0.5, **on)
    control(s, {"default": "reasoning=2"})
    assert [b["type"] for b in fine(s, "anthropic")["content"]] == ["text"]


def test_generations_and_abilities(s):
    for claude, more, wanted in (
            ("5_5", {"temperature": 0.5}, "deprecated"), ("4_7", {"top_k": 3}, "deprecated"), ("5_5", {"thinking": {"type": "enabled", "budget_tokens": 1024},
                                                               "max_tokens": 2000}, "not supported"),
            ("5_5", {"tools": tools("anthropic"), "tool_choice": {"type": "any"}}, "forced"),
            ("4_6", {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "prefill"),
            ("4_5", {"thinking": {"type": "adaptive"}}, "adaptive")):
        refused(s, "anthropic", wanted, model="demo+claude=" + claude, **more)
    fine(s, "anthropic", model="demo+claude=5_5", thinking={"type": "adaptive"}, temperature=1)
    fine(s, "anthropic", model="demo+claude=4_6", thinking={"type": "adaptive"}, temperature=0.5)
    refused(s, "chat", '"demo" does not support thinking', model="demo+caps=completion", think=True)
    refused(s, "chat", "old-notools does not support tools", model="old-notools", tools=tools("chat"))
    fine(s, "chat", model="qwen-think", think="low", tools=tools("chat"))
    control(s, {"strict": True, "models": "demo,claude-opus-5-5"})
    refused(s, "anthropic", "deprecated", model="claude-opus-5-5", temperature=0.5)
    refused(s, "chat", '"demo" does not support thinking', think=True)


def test_reasoning_in_turns_and_nulls(s):
    kinds = lambda k: ["r" if "reasoning_content" in c["choices"][0]["delta"] else "t" for c in chunks(
        infer(s.port, "openai", "demo+reasoning_mixed+" + k, True)[2])[1:-1]]
    assert kinds("reasoning=2+events=4") == list("rtrttt") and kinds("reasoning=3+events=1") == list("rtrr")
    for d in PATHS:
        assert text_of(d, infer(s.port, d, "demo+reasoning_mixed+reasoning=3", True)[2]) == SENTENCE
    body = infer(s.port, "anthropic", "demo+reasoning_mixed+reasoning=3+call+call_text", True, tools=tools("anthropic"))[2]
    assert len(calls_streamed("anthropic", body)[0]) == 1
    opened = [c["content_block"]["type"] for c in chunks(body) if c["type"] == "content_block_start"]
    assert opened == ["thinking", "text"] * 3 + ["tool_use"], opened
    signatures = [c["delta"]["signature"] for c in chunks(body) if b"signature_delta" in json.dumps(c).encode()]
    assert len(set(signatures)) == 3
    delta = chunks(infer(s.port, "openai", "demo+nulls", True)[2])[1]["choices"][0]["delta"]
    assert delta == {"content": "Hello", "reasoning_content": None, "refusal": None, "function_call": None,
                     "tool_calls": None}
    assert chunks(infer(s.port, "openai", "demo+usage_chunk", True)[2])[-1]["choices"] == []
    assert "choices" not in chunks(infer(s.port, "openai", "demo+usage_chunk=bare", True)[2])[-1]


def test_refusals_and_strange_things(s):
    message = whole(s, "openai", "demo+refusal")["choices"][0]["message"]
    assert message["content"] is None and message["refusal"] == SENTENCE
    body = infer(s.port, "openai", "demo+refusal", True)[2]
    assert "".join(c["choices"][0]["delta"].get("refusal", "") for c in chunks(body)) == SENTENCE
    reply = whole(s, "anthropic", "demo+refusal")
    assert reply["stop_reason"] == "refusal" and reply["stop_details"]["category"]
    assert b'"stop_reason":"refusal","stop_details":{' in infer(s.port, "anthropic", "demo+refusal", True)[2]
    for d in PATHS:
        body = infer(s.port, d, "demo+strange", True)[2]
        assert text_of(d, body.replace(b'"text":"not this"', b'"a":1')) == SENTENCE and (
            b"future" in body or b'"choices":[],"prompt_filter' in body)


# ---- JSON ----

def test_answers_in_json(s):
    schema = {"type": "object", "properties": {
        "verdict": {"enum": ["yes", "no"]}, "score": {"type": "integer", "maximum": 5}, "list": {
            "type": "array", "items": {"$ref": "#/$defs/row"}, "minItems": 2}, "day": {"type": "string", "format": "date"},
        "maybe": {"anyOf": [{"type": "null"}, {"type": "number"}]}}, "required": ["verdict"],
        "$defs": {"row": {"type": "object", "properties": {"n": {"type": ["null", "boolean"]}}}}}
    want = {"verdict": "yes", "score": 5, "list": [{"n": True}] * 2, "day": "2026-11-22", "maybe": 1.5}
    ask_for = {"openai": {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}},
               "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
               "chat": {"format": schema}}
    for d, more in ask_for.items():
        text = said(d, whole(s, d, **more))
        assert json.loads(text) == want and list(json.loads(text)) == list(want), text
        assert text_of(d, infer(s.port, d, "demo", True, **more)[2]) == text
        assert said(d, whole(s, d, "demo+json_bad=fence", **more)) == "```json\n" + text + "\n```"
        assert said(d, whole(s, d, "demo+json_bad=prose", **more)).startswith("Sure")
        assert text.startswith(said(d, whole(s, d, "demo+json_bad=truncated", **more)))
        assert "unexpected" in said(d, whole(s, d, "demo+json_bad=mismatch", **more))
        control(s, {"rules": [{"n": 1, "json_bad": "fence"}]})
        assert "```" in said(d, whole(s, d, **more)) and said(d, whole(s, d, **more)) == text
    assert json.loads(said("openai", whole(s, "openai", response_format={"type": "json_object"})))["answer"]
    assert json.loads(said("chat", whole(s, "chat", format="json")))["answer"]
    assert json.loads(whole(s, "generate", format=schema)["response"]) == want


# ---- what the vendors refuse ----

def test_openai_refuses(s):
    control(s, {"strict": True, "models": "demo,local,cloud", "rules": [
        {"n": -1, "model": "local", "owner": "llamacpp"}, {"n": -1, "model": "cloud", "owner": "openai"}]})
    h = history("openai")
    fine(s, "openai", messages=h, tools=tools("openai"))
    for wanted, messages in (
            ("must be a response to a preceeding message", [h[0], h[2]]),
            ("did not have response messages: call_1", h[:2]),
            ("did not have response messages: call_1", h[:2] + [h[0]]),
            ("not found in 'tool_calls'", h[:2] + [{**h[2], "tool_call_id": "other"}]),
            ("expected a string, but got an object", [h[0], {**h[1], "tool_calls": [{
                "id": "a", "type": "function", "function": {"name": "f", "arguments": {}}}]}]),
            ("does not match pattern", [h[0], {**h[1], "tool_calls": [{
                "id": "a", "type": "function", "function": {"name": "a.b", "arguments": "{}"}}]}]),
            ("expected a string, got null", [h[0], {"role": "assistant", "content": None}]),
            ("Supported values are", [{"role": "human", "content": "x"}]),
            ("empty array", []),
            ("Invalid base64", [{"role": "user", "content": [{"type": "image_url", "image_url": {
                "url": "data:image/png;base64,!!"}}]}]),
            ("unsupported image", [{"role": "user", "content": [{"type": "image_url", "image_url": {
                "url": "data:image/png;base64,AAAA"}}]}]),
            ("expected an object", [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]),
            ("application/pdf", [{"role": "user", "content": [{"type": "file", "file": {"file_data": PDF}}]}]),
            ("Supported values", [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])):
        refused(s, "openai", wanted, messages=messages)
    refused(s, "openai", "'tools' are specified", tool_choice="auto")
    refused(s, "openai", "'tools' are specified", parallel_tool_calls=True)
    refused(s, "openai", "empty array", tools=[])
    refused(s, "openai", "maximum length 64", tools=tools("openai", "x" * 65))
    refused(s, "openai", "not found in 'tools'", tools=tools("openai"),
            tool_choice={"type": "function", "function": {"name": "no"}})
    refused(s, "openai", "additionalProperties", tools=[{"type": "function", "function": {
        "name": "f", "strict": True, "parameters": SCHEMA}}])
    refused(s, "openai", "json_schema.name", response_format={"type": "json_schema", "json_schema": {"schema": SCHEMA}})
    refused(s, "openai", "only allowed when 'stream'", stream_options={"include_usage": True})
    refused(s, "openai", "maximum value", temperature=2.5)
    refused(s, "openai", "Unrecognized request argument supplied: top_k", model="cloud", top_k=1)
    refused(s, "openai", "array too long", model="cloud", stop=list("abcde"))
    fine(s, "openai", top_k=1, stop=list("12345"))
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}]}]
    fine(s, "openai", messages=image)
    refused(s, "openai", "image input is not supported", 500, model="local", messages=image)
    control(s, {"vision": True})
    refused(s, "openai", "Failed to download image", model="local", messages=image)
    refused(s, "openai", "unrecognized type nonsense", model="local", response_format={
        "type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}})
    refused(s, "openai", "Invalid tool_choice: sometimes", model="local", tools=tools("openai"), tool_choice="sometimes")


def test_unknown_models(s):
    control(s, {"strict": True})
    refused(s, "openai", "The model `no` does not exist", 404, model="no")
    refused(s, "anthropic", "model: no", 404, model="no+call")
    refused(s, "chat", "model 'no' not found", 404, model="no")
    fine(s, "openai", model="no+owner=llamacpp")


def test_mistral_wants_nine_letters(s):
    h = history("openai")
    refused(s, "openai", "Function call id was call_1 but must be", model="demo+ids=mistral", messages=h)
    h[1]["tool_calls"][0]["id"] = "abcDEF123"
    refused(s, "openai", "Tool call id was call_1", model="demo+ids=mistral", messages=h)
    h[2]["tool_call_id"] = "abcDEF123"
    fine(s, "openai", model="demo+ids=mistral", messages=h)


def test_anthropic_refuses(s):
    control(s, {"strict": True})
    h, t = history("anthropic"), tools("anthropic")
    result = h[2]["content"][0]
    fine(s, "anthropic", messages=h, tools=t)
    user = lambda *blocks: [*h[:2], {"role": "user", "content": list(blocks)}]
    text = {"type": "text", "text": "and"}
    for wanted, messages in (
            ("messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: call_1", h[:2]),
            ("found without `tool_result`", user(text)),
            ("found without `tool_result`", user(text, result)),
            ("found without `tool_result`", [*h[:2], {"role": "assistant", "content": "x"}, h[0]]),
            ("unexpected `tool_use_id`", [h[0], {"role": "assistant", "content": "x"}, h[2]]),
            ("unexpected `tool_use_id`", [h[2]]),
            ("multiple `tool_result`", user(result, result)),
            ("messages.1.content.0.tool_use.id: String should match pattern", [
                h[0], {"role": "assistant", "content": [{**h[1]["content"][0], "id": "a.b"}]}]),
            ("tool_result.tool_use_id: String should match", user({**result, "tool_use_id": "a:b"})),
            ("valid dictionary", [h[0], {"role": "assistant", "content": [{**h[1]["content"][0], "input": "{}"}]}]),
            ("must be unique", [h[0], {"role": "assistant", "content": h[1]["content"] * 2}]),
            ("must be non-empty", [{"role": "user", "content": [{"type": "text", "text": ""}]}]),
            ("non-whitespace", [{"role": "user", "content": [{"type": "text", "text": " \n"}]}]),
            ("non-empty content", [{"role": "user", "content": ""}]),
            ("non-empty content", [h[0], {"role": "assistant", "content": []}, h[0]]),
            ("first message must use", [{"role": "assistant", "content": "x"}]),
            ("Unexpected role \"tool\"", [{"role": "tool", "content": "x"}]),
            ("appears to be a image/png image", [{"role": "user", "content": [{"type": "image", "source": {
                "type": "base64", "media_type": "image/jpeg", "data": PNG}}]}]),
            ("appears to be a image/jpeg image", user({**result, "content": [{"type": "image", "source": {
                "type": "base64", "media_type": "image/png", "data": JPEG}}]})),
            ("invalid base64", [{"role": "user", "content": [{"type": "image", "source": {
                "type": "base64", "media_type": "image/png", "data": "data:image/png;base64," + PNG}}]}]),
            ("media_type: Input should be", [{"role": "user", "content": [{"type": "image", "source": {
                "type": "base64", "media_type": "image/bmp", "data": PNG}}]}]),
            ("PDF specified was not valid", [{"role": "user", "content": [{"type": "document", "source": {
                "type": "base64", "media_type": "application/pdf", "data": PNG}}]}]),
            ("Found 5", [{"role": "user", "content": [{**text, "cache_control": {"type": "ephemeral"}}] * 5}]),
            ("expected tags", [{"role": "user", "content": [{"type": "image_url"}]}])):
        refused(s, "anthropic", wanted, messages=messages, tools=t)
    fine(s, "anthropic", messages=user(result, text), tools=t)
    fine(s, "anthropic", messages=[*h[:2], h[2], {"role": "user", "content": "neighbour"}], tools=t)
    fine(s, "anthropic", messages=[h[0], {"role": "assistant", "content": "prefill"}])
    refused(s, "anthropic", "must define tools", messages=h)
    refused(s, "anthropic", "foo: Extra inputs are not permitted", foo=1)
    refused(s, "anthropic", "max_tokens: Field required", max_tokens=...)
    refused(s, "anthropic", "messages: Field required", messages=...)
    refused(s, "anthropic", "header is required", headers="")
    refused(s, "anthropic", "temperature", temperature=1.5)
    refused(s, "anthropic", "Extra inputs", temperature=1, headers="anthropic-version: 2026-10-21\r\n")
    refused(s, "anthropic", "non-whitespace", stop_sequences=[" "])
    refused(s, "anthropic", "only be specified while providing tools", tool_choice={"type": "auto"})
    refused(s, "anthropic", "not found in provided tools", tools=t, tool_choice={"type": "tool", "name": "no"})
    refused(s, "anthropic", "tools.0.custom.input_schema: Field required", tools=[{"name": "f"}])
    refused(s, "anthropic", "Input should be 'object'", tools=[{"name": "f", "input_schema": {}}])
    refused(s, "anthropic", "tools.0.custom.name", tools=tools("anthropic", "a.b"))
    refused(s, "anthropic", "unique", tools=tools("anthropic", "a", "a"))
    refused(s, "anthropic", "Extra inputs", output_config={"format": {"type": "json_schema", "schema": SCHEMA,
                                                                      "name": "x"}})
    count = "/v1/messages/count_tokens"
    assert fine(s, "anthropic", path=count, max_tokens=..., stream=...)["input_tokens"] > 0


def test_ollama_refuses(s):
    control(s, {"strict": True, "models": "demo,v-vision"})
    h = history("chat")
    fine(s, "chat", messages=h)
    user = lambda **m: [{"role": "user", "content": "x", **m}]
    for wanted, messages in (
            ("cannot unmarshal array into Go struct field ChatRequest.messages.content", user(content=[])),
            ("cannot unmarshal string into Go struct field ToolCallFunction", [
                h[0], {**h[1], "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]),
            ("invalid role", [{"role": "developer", "content": "x"}]),
            ("illegal base64 data at input byte 4", user(images=["data:image/png;base64," + PNG])),
            ("illegal base64 data at input byte 5", user(images=["https://x/a.png"]))):
        refused(s, "chat", wanted, messages=messages)
    fine(s, "chat", model="v-vision", messages=user(images=[PNG]))
    refused(s, "chat", "invalid think value", think="very")
    refused(s, "chat", "invalid format", format="yaml")
    refused(s, "chat", 'option "temperature"', options={"temperature": "hot"})
    refused(s, "chat", "missing unit in duration", keep_alive="300")
    refused(s, "generate", "raw mode", raw=True, system="x")
    fine(s, "chat", keep_alive=300, format="json", options={"temperature": 1, "stop": ["zz"]})


def test_windows(s):
    long = "x" * 9000
    for d in CHATS:
        body = body_for(d, "demo+window=1000", False, messages=[{"role": "user", "content": long}])
        status, _, text = ask(s.port, http("POST", PATHS[d], body))
        assert status == (200 if d == "chat" else 400), text
    assert b'"n_ctx":1000' in ask(s.port, http("POST", PATHS["openai"], body))[2]
    body["truncate"] = False
    assert ask(s.port, http("POST", "/api/chat", body))[0] == 400


# ---- the other endpoints ----

def post(s, path, body, status=200, headers=""):
    got, _, text = ask(s.port, http("POST", path, body, headers))
    assert got == status, (got, text)
    return json.loads(text)


def get(s, path, headers="", status=200):
    got, _, text = ask(s.port, http("GET", path, headers=headers))
    assert got == status, (got, text)
    return json.loads(text) if text[:1] in (b"{", b"[") else text.decode()


def test_completions(s):
    one = post(s, "/v1/completions", {"model": "demo", "prompt": "hi"})
    assert one["object"] == "text_completion" and one["choices"][0]["text"] == SENTENCE
    two = post(s, "/v1/completions", {"model": "demo", "prompt": ["a", "b"], "n": 2})
    assert [c["index"] for c in two["choices"]] == [0, 1, 2, 3]
    assert len(post(s, "/v1/completions", {"model": "demo", "prompt": [1, 2, 3]})["choices"]) == 1
    body = ask(s.port, http("POST", "/v1/completions", {"model": "demo", "prompt": ["a", "b"], "stream": True,
                                                        "stream_options": {"include_usage": True}}))[2]
    events = chunks(body)
    for i in (0, 1):
        mine = [c["choices"][0] for c in events if c["choices"] and c["choices"][0]["index"] == i]
        assert "".join(c["text"] for c in mine) == SENTENCE and mine[-1]["finish_reason"] == "stop"
    assert events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] == 8
    assert body.endswith(b"data: [DONE]\n\n")
    e = expect_truncated(ask, s.port, http("POST", "/v1/completions", {"model": "demo+cut=2", "prompt": "x",
                                                                       "stream": True}))
    assert b"from" in e.got and b"stand-in" not in e.got
    many = whole(s, "openai", n=3)
    assert [c["index"] for c in many["choices"]] == [0, 1, 2]
    assert post(s, "/v1/completions", {"model": "demo", "prompt": "x", "stop": "stand"})["choices"][0]["text"] == \
        "Hello from the "


def test_embeddings(s):
    e = lambda **b: post(s, "/v1/embeddings", {"model": "demo", **b})
    one, two = e(input="hello")["data"][0], e(input=["hello", "w\u00f6rld"])["data"]
    assert two[0]["embedding"] == one["embedding"] != two[1]["embedding"] and [x["index"] for x in two] == [0, 1]
    assert abs(sum(x * x for x in one["embedding"]) - 1) < 1e-5 and len(one["embedding"]) == 8
    packed = e(input="hello", encoding_format="base64")["data"][0]["embedding"]
    assert [round(x, 5) for x in struct.unpack("<8f", base64.b64decode(packed))] == \
        [round(x, 5) for x in one["embedding"]]
    small = e(input="hello", dimensions=4)["data"][0]["embedding"]
    assert len(small) == 4 and abs(sum(x * x for x in small) - 1) < 1e-5
    assert abs(small[0] / small[1] - one["embedding"][0] / one["embedding"][1]) < 1e-4
    assert len(e(input=[1, 2, 3])["data"]) == 1 and len(e(input=[[1, 2], [3]])["data"]) == 2
    assert e(input=[[1, 2], [3]])["usage"]["prompt_tokens"] == 3
    for empty in ("", []):
        post(s, "/v1/embeddings", {"model": "demo", "input": empty}, 400)
    assert "cannot be empty" in post(s, "/v1/embeddings", {"model": "x+owner=llamacpp", "input": ""}, 400)["error"][
        "message"]
    assert len(post(s, "/v1/embeddings", {"model": "x+owner=llamacpp+dims=64", "input": "a", "dimensions": 4})[
        "data"][0]["embedding"]) == 64
    o = lambda **b: post(s, "/api/embed", {"model": "demo", **b})
    assert o(input="hello")["embeddings"] == [one["embedding"]] == o(input=["hello"])["embeddings"]
    assert o(input=[])["embeddings"] == [] == o(input="")["embeddings"] and len(o(input=["a", "b"])["embeddings"]) == 2
    assert post(s, "/api/embed", {"model": "demo", "input": [1, 2]}, 400)["error"] == "invalid input type"
    old = post(s, "/api/embeddings", {"model": "demo", "prompt": "hello"})["embedding"]
    assert abs(old[0] - 3 * one["embedding"][0]) < 1e-5
    control(s, {"rules": [{"n": 1, "status": 503}], "strict": True})
    post(s, "/v1/embeddings", {"model": "demo", "input": "a"}, 503)
    post(s, "/v1/embeddings", {"model": "other", "input": "a"}, 404)


def test_lists_of_each_owner(s):
    models = lambda owner: get(s, "/v1/models", f"X-Standin: owner={owner}\r\n")["data"][0]
    assert set(models("localai")) == {"id", "object"}
    assert models("vllm")["max_model_len"] == 4096 and models("docker")["dmr"]["context_window"] == 4096
    control(s, {"n_ctx": 1024, "vision": True, "models": "a/b:c,claude-opus-5-5,q-think,e-embed,far-cloud"})
    assert models("llamacpp")["meta"]["n_ctx"] == 1024
    assert models("llamacpp")["architecture"]["input_modalities"] == ["text", "image"]
    assert get(s, "/v1/models/a/b:c")["id"] == "a/b:c" == get(s, "/v1/models/a%2Fb%3Ac")["id"]
    get(s, "/v1/models/no", status=404)
    one = get(s, "/v1/models/claude-opus-5-5", VERSION)
    assert one["type"] == "model" and not one["capabilities"]["thinking"]["types"]["enabled"]["supported"]
    assert one["capabilities"]["thinking"]["types"]["adaptive"]["supported"]
    page = get(s, "/v1/models?limit=2&after_id=a/b:c", VERSION)
    assert [m["id"] for m in page["data"]] == ["claude-opus-5-5", "q-think"] and page["has_more"]
    assert page["last_id"] == "q-think" and get(s, "/v1/models?after_id=q-think", VERSION)["has_more"] is False
    tags = {m["name"]: m for m in get(s, "/api/tags")["models"]}
    assert tags["q-think:latest"]["capabilities"] == ["completion", "tools", "vision", "thinking"]
    assert tags["e-embed:latest"]["capabilities"] == ["embedding"]
    assert tags["far-cloud:latest"]["remote_host"] and "remote_host" not in tags["q-think:latest"]
    control(s, {"remote": "q-think"})
    assert post(s, "/api/show", {"model": "q-think"})["remote_model"] == "q-think"
    assert "thinking" in post(s, "/api/show", {"name": "q-think"})["capabilities"]


def test_probes_of_local_servers(s):
    llama, vllm = "X-Standin: owner=llamacpp\r\n", "X-Standin: owner=vllm\r\n"
    control(s, {"busy": 5, "slots": 2, "n_ctx": 2048, "sleeping": True})
    props = get(s, "/props", llama)
    assert props["total_slots"] == 2 and props["default_generation_settings"]["n_ctx"] == 2048
    assert props["is_sleeping"] and props["chat_template_caps"]["supports_tools"]
    assert [x["is_processing"] for x in get(s, "/slots")] == [True, True]
    get(s, "/slots?fail_on_no_slot=1", status=503)
    assert "\nllamacpp:requests_processing 2\n" in get(s, "/metrics", llama)
    assert "\nllamacpp:requests_deferred 3\n" in get(s, "/metrics", llama)
    control(s, {"metrics": {"num_requests_waiting": 7, "kv_cache_usage_perc": 0.5}})
    text = get(s, "/metrics", vllm)
    assert '\nvllm:num_requests_waiting{engine="0",model_name="demo"} 7\n' in text and "} 0.5\n" in text
    control(s, b"", "DELETE")
    assert 'waiting{engine="0",model_name="demo"} 0.0\n' in get(s, "/metrics", vllm)
    get(s, "/metrics", status=404)
    assert get(s, "/health", vllm) == "" and get(s, "/health", llama) == {"status": "ok"}
    assert get(s, "/readyz", "X-Standin: owner=localai\r\n") == "" and get(s, "/version", vllm)["version"]
    assert post(s, "/tokenize", {"content": "hi"})["tokens"] == [104, 105]
    assert post(s, "/tokenize", {"content": "hi", "with_pieces": True})["tokens"][0] == {"id": 104, "piece": "h"}
    assert post(s, "/tokenize", {"model": "demo", "prompt": "hi"})["count"] == 2
    assert post(s, "/detokenize", {"tokens": [104, 105]})["content"] == "hi"


def test_loaded_models_come_and_go(s):
    control(s, {"models": "a,b,c", "loaded": "a", "loaded_max": 2})
    names = lambda: [m["name"] for m in get(s, "/api/ps")["models"]]
    assert names() == ["a:latest"]
    infer(s.port, "chat", "b+load_ms=1")
    assert names() == ["b:latest", "a:latest"]
    infer(s.port, "chat", "a")
    infer(s.port, "generate", "c")
    assert names() == ["c:latest", "a:latest"] and control(s, b"", "GET", "/_stats")["loads"] == 2
    reply = post(s, "/api/chat", {"model": "c", "messages": [], "keep_alive": 0})
    assert reply["done_reason"] == "unload" and names() == ["a:latest"]


def pull(s, model, **more):
    lines = ask(s.port, http("POST", "/api/pull", {"model": model, **more}))[2].decode()
    return [json.loads(x) for x in lines.split("\n") if x]


def test_pulls_go_on_where_they_were_cut(s):
    lines = pull(s, "one")
    assert [x["status"] for x in lines][:1] + [x["status"] for x in lines][-3:] == [
        "pulling manifest", "verifying sha256 digest", "writing manifest", "success"]
    assert "completed" not in lines[1] and [x["completed"] for x in lines[2:-3]] == list(range(100000, 1000001, 100000))
    assert lines[1]["total"] == 1000000 and len(lines[1]["digest"]) == 71
    assert "one" in [m["id"] for m in get(s, "/v1/models")["data"]]
    e = expect_truncated(pull, s, "two+cut=3")
    assert json.loads(e.got.decode().strip().split("\n")[-1])["completed"] == 300000
    lines = pull(s, "two+pull_step=350000")
    assert [x.get("completed") for x in lines if "digest" in x] == [300000, 650000, 1000000]
    lines = pull(s, "three+error=2")
    assert "error" in lines[-1] and lines[-2]["completed"] == 200000
    assert pull(s, "four+pull_missing")[-1]["error"].endswith("file does not exist")
    assert pull(s, "five", stream=False) == [{"status": "success"}]
    assert [x["status"] for x in pull(s, "one")][-1] == "success"


# ---- usage ----

def test_usage_in_each_form(s):
    u = whole(s, "openai", "demo+prompt_tokens=100+cached=40+cache_write=30+reasoning=3")["usage"]
    assert u["prompt_tokens"] == 100 and u["prompt_tokens_details"] == {"cached_tokens": 40, "cache_write_tokens": 30}
    assert u["completion_tokens"] == 11 and u["completion_tokens_details"]["reasoning_tokens"] == 3
    u = whole(s, "anthropic", "demo+prompt_tokens=100+cached=40+cache_write=30+reasoning_tokens=5")["usage"]
    assert (u["input_tokens"], u["cache_read_input_tokens"], u["cache_creation_input_tokens"]) == (30, 40, 30)
    assert sum(u["cache_creation"].values()) == 30 and u["output_tokens_details"]["thinking_tokens"] == 5
    for at, start, delta in (("start", True, False), ("delta", False, True), ("both", True, True)):
        got = chunks(infer(s.port, "anthropic", f"demo+cached=4+usage_at={at}", True)[2])
        first = [c["message"]["usage"] for c in got if c["type"] == "message_start"][0]
        last = [c["usage"] for c in got if c["type"] == "message_delta"][0]
        assert ("cache_read_input_tokens" in first, "cache_read_input_tokens" in last) == (start, delta), at
        assert first["input_tokens"] == (7 if start else 1)
    got = chunks(infer(s.port, "anthropic", "demo+usage_at=nulls", True)[2])
    assert [c["usage"]["input_tokens"] for c in got if c["type"] == "message_delta"] == [None]
    each = chunks(infer(s.port, "openai", "demo+usage_each", True)[2])
    assert [c["usage"]["completion_tokens"] for c in each] == [0, *range(8), 8]
    each = chunks(infer(s.port, "openai", "demo", True, stream_options={
        "include_usage": True, "continuous_usage_stats": True})[2])
    assert all(c["usage"] for c in each) and each[-1]["usage"]["completion_tokens"] == 8
    assert whole(s, "openai", "demo+usage_form=null_details")["usage"]["prompt_tokens_details"] is None
    assert "prompt_tokens_details" not in whole(s, "openai", "demo+usage_form=no_details")["usage"]
    assert whole(s, "openai", "demo+usage_form=null")["usage"] is None
    assert whole(s, "openai", "demo+owner=llamacpp")["timings"]["predicted_n"] == 8
    assert "timings" in chunks(infer(s.port, "openai", "demo+owner=llamacpp", True)[2])[-1]
    assert whole(s, "openai", "demo+owner=vllm", stop=["stand"])["choices"][0]["stop_reason"] == "stand"


if __name__ == "__main__":
    sys.exit(run(dict(globals())))
