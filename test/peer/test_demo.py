# SPDX-License-Identifier: Apache-2.0
"""The demo model (tools/demo-model) behind the router: each door, whole and streamed, gives the facts it was asked for."""
import hashlib
import json
import math
import os
import subprocess
import sys

import pytest

from conftest import engine_provider
from harness import TOP, body_of, path_of, understand

FOLDER = os.path.join(TOP, "tools", "demo-model")
MODEL = os.path.join(FOLDER, "llm-router-demo.gguf")
DOORS = ["openai", "anthropic", "ollama", "native"]
ASKED = [("Where is the audit log?", "state_dir"), ("How do I connect Ollama?", "kind: ollama"), ("What is the capital of France?", "do not know")]


@pytest.fixture
def demo(router, engine):
    return router({"providers": {"engine": engine_provider(engine, "text", spawn={"model": MODEL, "embeddings": True})}}).wait_up("engine")


def test_the_file_is_the_one_its_card_tells_of():
    with open(MODEL, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    with open(MODEL + ".sha256", encoding="ascii") as f:
        assert f.read().split() == [digest, "llm-router-demo.gguf"]
    with open(os.path.join(FOLDER, "README.md"), encoding="utf-8") as f:
        assert digest in f.read()
    assert os.path.getsize(MODEL) <= 8 << 20


def test_its_facts_stand_in_the_documents_and_its_card_names_what_it_was_trained_on():
    done = subprocess.run([sys.executable, os.path.join(FOLDER, "data.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    with open(os.path.join(FOLDER, "README.md"), encoding="utf-8") as f:
        assert done.stdout.split()[-1] in f.read(), "the material has changed: train it anew (tools/demo-model/README.md)"


@pytest.mark.parametrize("door", DOORS)
def test_each_door_gets_the_facts(demo, door):
    for stream in (False, True):
        for question, words in ASKED:
            more = {"options": {"temperature": 0}} if door == "ollama" else {"temperature": 0}
            more |= {"max_tokens": 200} if door == "anthropic" else {}
            reply = demo.ask("POST", path_of(door, stream), body_of(door, "auto", stream, question, **more))
            assert reply.status == 200 and reply.complete, reply
            a = understand(door, stream, reply)
            assert a.ended and not a.error and a.text.startswith("Demo model") and words in a.text, (question, a)


def test_what_was_said_before_does_not_confuse_it(demo):
    messages = [{"role": "system", "content": "You are a pirate."}, {"role": "user", "content": "How do I run the tests?"},
                {"role": "assistant", "content": "Run ./dev test."}, {"role": "user", "content": "Where is the audit log?"}]
    reply = demo.ask("POST", path_of("openai"), {"model": "auto", "messages": messages, "temperature": 0})
    assert "state_dir" in reply.json["choices"][0]["message"]["content"], reply


def test_it_calls_a_tool_that_is_offered_and_wanted_and_no_other(demo):
    tools = [{"type": "function", "function": {"name": n, "description": n, "parameters": {"type": "object", "properties": {}}}}
             for n in ("get_weather", "list_models")]
    for question, wanted in ("Which models are available?", ["list_models"]), ("Where is the audit log?", []):
        body = body_of("openai", "auto", False, question, tools=tools, temperature=0)
        message = demo.ask("POST", path_of("openai"), body).json["choices"][0]["message"]
        assert [c["function"]["name"] for c in message.get("tool_calls") or []] == wanted, message
        assert wanted or "state_dir" in message["content"], message


def test_how_sure_it_is_stands_in_a_header_and_nowhere_else(router, engine):
    r = router({"providers": {"engine": engine_provider(engine, "text", spawn={"model": MODEL})}, "confidence": {"general": ["mark=0.7"]}}).wait_up("engine")
    said = {}
    for door in DOORS:
        more = {"options": {"temperature": 0}} if door == "ollama" else {"temperature": 0}
        more |= {"max_tokens": 200} if door == "anthropic" else {}
        reply = r.ask("POST", path_of(door, False), body_of(door, "auto", False, "Where is the audit log?", **more))
        assert reply.status == 200 and b'"logprob"' not in reply.body, reply
        said[door] = float(reply.header("X-LLM-Confidence").removesuffix(";unsure"))
    assert 0 < min(said.values()) and max(said.values()) <= 1 and max(said.values()) - min(said.values()) < 0.05, said
    own = r.ask("POST", path_of("openai"), body_of("openai", "auto", False, "Where is the audit log?", temperature=0, logprobs=True))
    tokens = own.json["choices"][0]["logprobs"]["content"]
    assert own.header("X-LLM-Confidence").startswith("%.3f" % math.exp(min(t["logprob"] for t in tokens))), own
    stream = r.ask("POST", path_of("openai"), body_of("openai", "auto", True, "Where is the audit log?", temperature=0))
    assert stream.complete and stream.header("X-LLM-Confidence") is None and b'"logprob"' not in stream.body, stream


def test_a_schema_binds_it_and_it_makes_vectors(demo):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99, "minimum": 0}}, "required": ["n"], "additionalProperties": False}
    body = body_of("openai", "auto", False, "hello", temperature=0,
                   response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}})
    assert list(json.loads(demo.ask("POST", path_of("openai"), body).json["choices"][0]["message"]["content"])) == ["n"]
    reply = demo.ask("POST", "/v1/embeddings", {"model": "engine/", "input": "hello"})
    assert reply.status == 200 and len(reply.json["data"][0]["embedding"]) == 192, reply
