# SPDX-License-Identifier: Apache-2.0
"""A private request goes to the cloud under pseudonyms, and what comes back is the caller's own again.

The stand-in for the cloud says what the last tool result brought, so placeholders come back in text, and calls a tool with
the arguments it is told, so they come back in arguments; whole and streamed, written in one piece or byte by byte.
What it received is looked at: nothing of the originals.
"""
import json

import pytest

from harness import everywhere, sse_frames, wait_for

HARD = "Weigh three call models on cost, safety and learning, pick one and phase it in over two years."
MAIL, MRN = "jw@uhs.example.net", "00481516"
FACTS = "Owner: %s, MRN %s." % (MAIL, MRN)
TOOL = {"type": "object", "properties": {"to": {"type": "string"}, "about": {"type": "string"}}}
ARGUMENTS = '{"to":"EMAIL-1","about":"MRN-1 and mrn-1\'s"}'


def openai(stream, result):
    call = {"id": "call_1", "type": "function", "function": {"name": "mail", "arguments": "{}"}}
    past = [{"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": FACTS}] if result else []
    return "/v1/chat/completions", {
        "model": "general", "stream": stream, "messages": [
            {"role": "user", "content": HARD if result else HARD + " " + FACTS}, *past],
        "tools": [{"type": "function", "function": {"name": "mail", "parameters": TOOL}}]}


def anthropic(stream, result):
    past = [{"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "mail", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": FACTS}]}] if result else []
    return "/v1/messages", {
        "model": "general", "stream": stream, "max_tokens": 200, "messages": [
            {"role": "user", "content": HARD if result else HARD + " " + FACTS}, *past],
        "tools": [{"name": "mail", "input_schema": TOOL}]}


def ollama(stream, result):
    past = [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "mail", "arguments": {}}}]},
            {"role": "tool", "tool_name": "mail", "content": FACTS}] if result else []
    return "/api/chat", {
        "model": "general", "stream": stream, "messages": [
            {"role": "user", "content": HARD if result else HARD + " " + FACTS}, *past],
        "tools": [{"type": "function", "function": {"name": "mail", "parameters": TOOL}}]}


DOORS = {"openai": openai, "anthropic": anthropic, "ollama": ollama}


def strings(value, key=None):
    """Of an answer, in order: what it says, and what it calls with."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield from strings(v, "data" if key in ("arguments", "input", "data") else k)
    elif isinstance(value, list):
        for v in value:
            yield from strings(v, key)
    elif isinstance(value, str) and key in ("content", "text", "arguments", "partial_json", "data"):
        yield value


def said(reply):
    kind = reply.header("Content-Type")
    if "event-stream" in kind:
        documents = [json.loads(d) for _, d in sse_frames(reply.text) if d != "[DONE]"]
    elif "ndjson" in kind:
        documents = [json.loads(line) for line in reply.text.splitlines() if line]
    else:
        documents = [reply.json]
    return "".join(s for d in documents for s in strings(d))


@pytest.fixture(scope="module")
def house(module_router, module_standin):
    near, cloud = module_standin(), module_standin()
    far = {"url": cloud.url, "zone": "cloud", "models": ["demo"], "retries": 0}
    r = module_router({
        "providers": {"openai": {**far, "kind": "openai", "url": cloud.url + "/v1"},
                      "anthropic": {**far, "kind": "anthropic", "key_env": "PEER_KEY"},
                      "ollama": {**far, "kind": "ollama"},
                      "near": {"kind": "openai", "url": near.url + "/v1"}},
        "roles": {"general": ["near/demo"]},
        "aliases": {kind + "-first": [kind + "/demo", "near/demo"] for kind in ("openai", "anthropic", "ollama")},
        "privacy": {"pseudonyms": ["simple_query", "explanation", "documentation", "code_generation", "tool_calling",
                                   "multi_step"]}}, env={"PEER_KEY": "sk-peer"}).wait_up()
    r.cloud, r.near = cloud, near
    return r


def ask(house, door, kind, stream, result, knobs):
    house.cloud.reset()
    house.cloud.control(default=knobs)
    path, body = DOORS[door](stream, result)
    reply = house.ask("POST", path, {**body, "model": kind + "-first"})
    assert reply.status == 200, repr(reply)
    assert (reply.header("X-LLM-Provider"), reply.header("X-LLM-Private")) == (kind, "yes"), repr(reply)
    (received,) = house.cloud.requests()
    assert MAIL not in received["body"] and MRN not in received["body"]
    assert "EMAIL-1" in received["body"] and "MRN-1" in received["body"]
    return said(reply)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("cut", ["split=0", "split=1+split_us=0", "split=7+split_us=0"])
@pytest.mark.parametrize("kind", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("door", list(DOORS))
def test_text_comes_back_as_it_was(house, door, kind, stream, cut):
    text = ask(house, door, kind, stream, True, cut)
    assert FACTS in text, text
    assert "EMAIL-1" not in text and "MRN-1" not in text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("pieces", [0, 1, 3])
@pytest.mark.parametrize("kind", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("door", list(DOORS))
def test_a_call_has_the_values_themselves(house, door, kind, stream, pieces):
    house.cloud.control(default="")
    knobs = "call=1+call_args=" + ARGUMENTS.replace("%", "%25").replace("+", "%2b").replace(":", "%3a")
    text = ask(house, door, kind, stream, False, knobs + ("+call_fragments=%d" % pieces if pieces else ""))
    assert MAIL in text and text.count(MRN) == 2 and "EMAIL-1" not in text, text


def test_nobody_else_is_told(house):
    """Neither log nor ledger nor audit nor metrics hold a value or a placeholder; what was no placeholder is counted."""
    for secret in (MAIL, MRN, "EMAIL-1"):
        assert secret not in house.log_text()
        assert secret not in house.ask("GET", "/metrics").text
    house.cloud.reset()
    house.cloud.control(default="call=1+call_args={\"to\"%3a\"MRN-7\"}")
    path, body = openai(False, False)
    reply = house.ask("POST", path, {**body, "model": "openai-first"})
    assert "MRN-7" in said(reply)
    metrics = house.ask("GET", "/metrics").text
    assert "\nllm_router_pseudonyms_unknown_total 1\n" in metrics, [m for m in metrics.split("\n") if "pseudo" in m]


def test_a_key_wishes_for_it(router, standin):
    near, cloud = standin(), standin()
    r = router({"providers": {"cloud": {"kind": "openai", "url": cloud.url + "/v1", "zone": "cloud", "models": ["demo"]},
                              "near": {"kind": "openai", "url": near.url + "/v1"}},
                "roles": {"general": ["cloud/demo", "near/demo"]}, "keys": {"require": True}},
               ready="/healthz")
    path, body = openai(False, False)
    for rule, provider in ((["--pseudonyms", "yes"], "cloud"), ([], "near")):
        key = r.command("keys", "add", "k" + provider, *rule).stdout.strip()
        everywhere(lambda: r.ask("GET", "/v1/models", headers={"x-api-key": key}).status == 200, "the key works")
        reply = r.ask("POST", path, body, {"Authorization": "Bearer " + key})
        assert (reply.status, reply.header("X-LLM-Provider")) == (200, provider), repr(reply)
    (received,) = cloud.requests()
    assert MAIL not in received["body"] and MRN not in received["body"]
