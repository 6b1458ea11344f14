# SPDX-License-Identifier: Apache-2.0
"""The first customer's own HTTP clients, which are stricter than the official ones: what they read, and how, is
known case by case (UT-nn); each of their demands is checked on what the doors really send, from every kind of
provider. A drop-in that breaks one of these breaks the application in silence."""
import json

import pytest

from harness import SENTENCE, body_of

KINDS = ["openai", "anthropic", "ollama"]


@pytest.fixture(scope="module")
def served(module_router, module_standin):
    s = module_standin()
    models = ["demo", "demo+finish=length", "demo+no_usage", "demo+cut=3", "demo+error=3", "demo+empty_starts=2"]
    r = module_router({"providers": {
        k: {"kind": k, "url": s.url, "models": models, "concurrency": 0, "retries": 0, "breaker_failures": 1000,
            **({"zone": "local"} if k == "anthropic" else {})} for k in KINDS}})
    r.standin = s
    return r.wait_up()


def read_openai_whole(text):
    """UT-01 to UT-04: one choice, content a text, usage an object with all three figures or not there."""
    r = json.loads(text)
    (choice,) = r["choices"]
    assert isinstance(choice["message"]["content"], str)
    assert choice["message"].get("tool_calls") is None
    if "usage" in r:
        assert all(isinstance(r["usage"][k], int) for k in ("prompt_tokens", "completion_tokens", "total_tokens"))
    return choice["message"]["content"], choice["finish_reason"]


def read_openai_stream(text):
    """UT-16 to UT-19: "data: " with its space, one choice in each chunk, ends at the first finish_reason."""
    said, finish = "", None
    for line in text.split("\n"):
        assert line == "" or line.startswith("data: ") or line.startswith(":"), line
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        chunk = json.loads(line[6:])
        assert len(chunk["choices"]) == 1, "a chunk for usage alone, which nobody asked for"
        choice = chunk["choices"][0]
        said += choice["delta"].get("content") or ""
        finish = choice.get("finish_reason") or finish
    return said, finish


def read_ollama(line):
    """UT-09 to UT-15: response or content is a text; no tool_calls member without calls."""
    r = json.loads(line)
    if "response" in r:
        assert isinstance(r["response"], str)
    else:
        assert isinstance(r["message"]["content"], str) and "tool_calls" not in r["message"]
    if r["done"]:       # UT-10: the client drops usage unless both counts are there
        assert isinstance(r["prompt_eval_count"], int) and isinstance(r["eval_count"], int)
        assert r["done_reason"] in ("stop", "length") and r["eval_duration"] > 0
    return r


@pytest.mark.parametrize("model", ["demo", "demo+finish=length", "demo+no_usage", "demo+empty_starts=2"])
@pytest.mark.parametrize("kind", KINDS)
def test_its_openai_client_can_read_everything(served, kind, model):
    want = (SENTENCE, "length" if "length" in model else "stop")
    reply = served.chat("openai", kind + "/" + model, False)
    assert reply.status == 200 and read_openai_whole(reply.body) == want
    reply = served.chat("openai", kind + "/" + model, True)
    assert reply.status == 200 and reply.complete and read_openai_stream(reply.text) == want


@pytest.mark.parametrize("door", ["ollama", "generate"])
@pytest.mark.parametrize("model", ["demo", "demo+finish=length", "demo+empty_starts=2"])
@pytest.mark.parametrize("kind", KINDS)
def test_its_ollama_client_can_read_everything(served, kind, model, door):
    key = (lambda r: r["response"]) if door == "generate" else (lambda r: r["message"]["content"])
    reply = served.chat(door, kind + "/" + model, False)
    assert reply.status == 200 and key(read_ollama(reply.body)) == SENTENCE
    reply = served.chat(door, kind + "/" + model, True)
    lines = [read_ollama(line) for line in reply.text.splitlines()]
    assert reply.complete and "".join(key(r) for r in lines) == SENTENCE
    assert [r["done"] for r in lines] == [False] * (len(lines) - 1) + [True]


@pytest.mark.parametrize("door", ["openai", "ollama", "generate", "anthropic", "native"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_failed_looks_failed_to_clients_that_see_no_error_events(served, kind, door):
    """UT-18, UT-21, UT-22: an error inside a stream is invisible to them; only a broken transfer is not."""
    for model in ("demo+cut=3", "demo+error=3"):
        reply = served.chat(door, kind + "/" + model, True)
        assert reply.status == 200 and not reply.complete, (model, reply)
        reply = served.chat(door, kind + "/" + model, False)
        assert reply.status >= 500, (model, reply)


def test_ut_23_and_24_the_add_in_gets_json_or_an_error(served):
    """It parses the response as JSON at once, so prose would be worse than a refusal. The stand-in's Anthropic has no
    JSON mode and does not heed the instruction that stands for it: that answer is not passed off as JSON."""
    for kind in KINDS:
        body = {**body_of("generate", kind + "/demo", False), "format": "json"}
        reply = served.ask("POST", "/api/generate", body)
        if kind == "anthropic":
            assert reply.status == 502 and "form" in reply.json["error"], reply
        else:
            assert reply.status == 200 and isinstance(json.loads(reply.json["response"]), dict), reply


def test_embeddings_are_refused_and_not_made_up(served):
    """Vectors of another model would mix with its own in silence."""
    reply = served.ask("POST", "/v1/embeddings", {"input": ["x"], "model": "all-MiniLM-L6-v2"})
    assert reply.status == 404, reply
