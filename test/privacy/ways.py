# SPDX-License-Identifier: Apache-2.0
"""ways - what is private, and every way in which a caller could send it.

Samples: every probe and every prompt of the development set with an identifier. Ways: doors, whole and streamed, the
parts of a request, cloud providers and models by name, headers that try to loosen. test/peer/test_leak.py sends them
through the router; test/privacy/evaluate.py has the detector read all of them, which takes seconds.
"""
import json
import os

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "privacy")
CLEAN = "Explain the 80-hour rule in two sentences."


# ---- samples ----


class Sample:
    def __init__(self, name, text, marks=(), must=False, body=None, packable=True):
        self.name, self.text, self.must, self.body = name, text, must, body
        self.packable = packable    # False: what makes it private is not in the text
        # What is looked for in the sinks: nothing that other words could be made of by chance.
        self.marks = [m for m in {*marks, text} if len(m) >= 8]


def probe_body(p):
    """Probes that are more than a prompt, as a request of the native door."""
    value = json.loads(p["text"]) if p["where"] in ("tools", "messages", "metadata") else p["text"]
    return {"prompt": p["prompt"], p["where"]: value} if "prompt" in p else {p["where"]: value}


def read_samples():
    with open(os.path.join(DATA, "privacy-probes.json")) as f:
        rows = [p for p in json.load(f)["probes"] if p["want"] == "local_only"]
    probes = [Sample(p["id"], p["text"] if p["where"] != "metadata" else p["prompt"],
                     must=p["level"] == "must" and p["id"] != "PX-06",
                     body=None if p["where"] == "prompt" else probe_body(p), packable=p["where"] != "metadata")
              for p in rows]
    with open(os.path.join(DATA, "phi-dev.jsonl")) as f:
        rows = [json.loads(line) for line in f]
    others = [Sample(r["id"], r["text"], [e["text"] for e in r["entities"]]) for r in rows if r["contains_phi"]]
    return probes, others


# ---- ways: text -> path, body, headers ----

CLOUD_FIRST = "general"     # the role's list begins with the cloud, so what may leave does
TOOL = {"type": "object", "properties": {"x": {"type": "string"}}}


def openai(text, stream=False, **more):
    return "/v1/chat/completions", {"model": CLOUD_FIRST, "stream": stream,
                                    "messages": [{"role": "user", "content": text}], **more}, {}


def anthropic(text, stream=False, **more):
    return "/v1/messages", {"model": CLOUD_FIRST, "stream": stream, "max_tokens": 64,
                            "messages": [{"role": "user", "content": text}], **more}, {}


def ollama(text, stream=False, **more):
    return "/api/chat", {"model": CLOUD_FIRST, "stream": stream,
                         "messages": [{"role": "user", "content": text}], **more}, {}


def native(text, stream=False, **more):
    return "/router/stream" if stream else "/router/generate", {"model": CLOUD_FIRST, "prompt": text, **more}, {}


def openai_call(text, where):
    """A history with a call and its result."""
    arguments, result = (json.dumps({"x": text}), "fine") if where == "arguments" else ("{}", text)
    return openai(CLEAN, messages=[
        {"role": "user", "content": CLEAN},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": result}])


def anthropic_call(text, where):
    given, result = ({"x": text}, "fine") if where == "arguments" else ({}, text)
    return anthropic(CLEAN, messages=[
        {"role": "user", "content": CLEAN},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "look_up", "input": given}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": result}]}])


def ollama_call(text, where):
    given, result = ({"x": text}, "fine") if where == "arguments" else ({}, text)
    return ollama(CLEAN, messages=[
        {"role": "user", "content": CLEAN},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look_up", "arguments": given}}]},
        {"role": "tool", "tool_name": "look_up", "content": result}])


def with_headers(way, **headers):
    return way[0], way[1], {k.replace("_", "-"): v for k, v in headers.items()}


def earlier(text):
    return openai(CLEAN, messages=[{"role": "user", "content": text}, {"role": "assistant", "content": "Noted."},
                                   {"role": "user", "content": CLEAN}])


WAYS = {
    "openai": lambda t: openai(t),
    "openai streamed": lambda t: openai(t, True),
    "openai parts": lambda t: openai(CLEAN, messages=[{"role": "user", "content": [{"type": "text", "text": CLEAN},
                                                                                 {"type": "text", "text": t}]}]),
    "openai system": lambda t: openai(CLEAN, messages=[{"role": "system", "content": t},
                                                       {"role": "user", "content": CLEAN}]),
    "openai earlier turn": earlier,
    "openai tool": lambda t: openai(CLEAN, tools=[{"type": "function", "function": {
        "name": "look_up", "description": t, "parameters": TOOL}}]),
    "openai tool default": lambda t: openai(CLEAN, tools=[{"type": "function", "function": {
        "name": "look_up", "parameters": {"type": "object", "properties": {"x": {"type": "string", "default": t}}}}}]),
    "openai arguments": lambda t: openai_call(t, "arguments"),
    "openai result": lambda t: openai_call(t, "result"),
    "openai schema": lambda t: openai(CLEAN, response_format={"type": "json_schema", "json_schema": {
        "name": "form", "schema": {"type": "object", "description": t, "properties": {"a": {"type": "string"}}}}}),
    "openai stop": lambda t: openai(CLEAN, stop=[t[:200]]) if len(t) < 200 else openai(t),
    "openai metadata": lambda t: openai(CLEAN, metadata={"note": t}),
    "openai user": lambda t: openai(CLEAN, user=t),
    "openai cache key": lambda t: openai(CLEAN, prompt_cache_key=t),
    "openai tool's enum": lambda t: openai(CLEAN, tools=[{"type": "function", "function": {
        "name": "look_up", "parameters": {"type": "object", "properties": {"x": {"enum": ["one", t]}}}}}]),
    "openai property": lambda t: openai(CLEAN, tools=[{"type": "function", "function": {
        "name": "look_up", "parameters": {"type": "object", "properties": {t: {"type": "string"}}}}}]),
    "openai prediction": lambda t: openai(CLEAN, prediction={"type": "content", "content": t}),
    "openai refusal": lambda t: openai(CLEAN, messages=[
        {"role": "user", "content": CLEAN}, {"role": "assistant", "content": None, "refusal": t},
        {"role": "user", "content": CLEAN}]),
    "openai reasoning": lambda t: openai(CLEAN, messages=[
        {"role": "user", "content": CLEAN}, {"role": "assistant", "content": "Fine.", "reasoning_content": t},
        {"role": "user", "content": CLEAN}]),
    "openai member": lambda t: openai(CLEAN, something_new={"deep": [{"x": [t]}]}),
    "openai member's name": lambda t: openai(CLEAN, metadata={t: "x"}),
    "openai name": lambda t: openai(CLEAN, messages=[{"role": "user", "name": t, "content": CLEAN}]),
    "completions": lambda t: ("/v1/completions", {"model": CLOUD_FIRST, "prompt": t}, {}),
    "completions streamed": lambda t: ("/v1/completions", {"model": CLOUD_FIRST, "prompt": t, "stream": True}, {}),
    "responses": lambda t: ("/v1/responses", {"model": CLOUD_FIRST, "input": t}, {}),
    "responses streamed": lambda t: ("/v1/responses", {"model": CLOUD_FIRST, "input": t, "stream": True}, {}),
    "responses arguments": lambda t: ("/v1/responses", {"model": CLOUD_FIRST, "input": [
        {"role": "user", "content": CLEAN},
        {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": json.dumps({"x": t})},
        {"type": "function_call_output", "call_id": "call_1", "output": "fine"}]}, {}),
    "responses result": lambda t: ("/v1/responses", {"model": CLOUD_FIRST, "input": [
        {"role": "user", "content": CLEAN},
        {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": t}]}, {}),
    "responses metadata": lambda t: ("/v1/responses", {"model": CLOUD_FIRST, "input": CLEAN, "metadata": {"a": t}}, {}),
    "completions suffix": lambda t: ("/v1/completions", {"model": CLOUD_FIRST, "prompt": CLEAN, "suffix": t}, {}),
    "responses instructions": lambda t: ("/v1/responses", {"model": CLOUD_FIRST, "input": CLEAN, "instructions": t},
                                         {}),
    "embeddings": lambda t: ("/v1/embeddings", {"model": "embedding", "input": t}, {}),
    "embeddings list": lambda t: ("/v1/embeddings", {"model": "embedding", "input": [CLEAN, t]}, {}),
    "anthropic": lambda t: anthropic(t),
    "anthropic streamed": lambda t: anthropic(t, True),
    "anthropic system": lambda t: anthropic(CLEAN, system=[{"type": "text", "text": t}]),
    "anthropic tool": lambda t: anthropic(CLEAN, tools=[{"name": "look_up", "description": t, "input_schema": TOOL}]),
    "anthropic arguments": lambda t: anthropic_call(t, "arguments"),
    "anthropic result": lambda t: anthropic_call(t, "result"),
    "anthropic document": lambda t: anthropic(CLEAN, messages=[{"role": "user", "content": [
        {"type": "document", "title": "notes.txt", "source": {"type": "text", "media_type": "text/plain", "data": t}},
        {"type": "text", "text": CLEAN}]}]),
    "anthropic context": lambda t: anthropic(CLEAN, messages=[{"role": "user", "content": [
        {"type": "document", "title": "notes.txt", "context": t,
         "source": {"type": "text", "media_type": "text/plain", "data": CLEAN}}, {"type": "text", "text": CLEAN}]}]),
    "anthropic result's parts": lambda t: anthropic(CLEAN, messages=[
        {"role": "user", "content": CLEAN},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [
            {"type": "text", "text": "Found:"}, {"type": "text", "text": t}]}]}]),
    "anthropic user": lambda t: anthropic(CLEAN, metadata={"user_id": t}),
    "anthropic stop": lambda t: anthropic(CLEAN, stop_sequences=[t]),
    "count_tokens": lambda t: ("/v1/messages/count_tokens",
                               {"model": CLOUD_FIRST, "messages": [{"role": "user", "content": t}]}, {}),
    "ollama": lambda t: ollama(t),
    "ollama streamed": lambda t: ollama(t, True),
    "ollama result": lambda t: ollama_call(t, "result"),
    "ollama arguments": lambda t: ollama_call(t, "arguments"),
    "ollama generate": lambda t: ("/api/generate", {"model": CLOUD_FIRST, "prompt": t, "stream": False}, {}),
    "ollama generate streamed": lambda t: ("/api/generate", {"model": CLOUD_FIRST, "prompt": t}, {}),
    "ollama system": lambda t: ("/api/generate", {"model": CLOUD_FIRST, "prompt": CLEAN, "system": t}, {}),
    "ollama suffix": lambda t: ("/api/generate", {"model": CLOUD_FIRST, "prompt": CLEAN, "suffix": t}, {}),
    "ollama stop": lambda t: ollama(CLEAN, options={"stop": [t]}),
    "ollama thinking": lambda t: ollama(CLEAN, messages=[
        {"role": "user", "content": CLEAN}, {"role": "assistant", "content": "Fine.", "thinking": t},
        {"role": "user", "content": CLEAN}]),
    "ollama embed": lambda t: ("/api/embed", {"model": "embedding", "input": [t, CLEAN]}, {}),
    "ollama embeddings": lambda t: ("/api/embeddings", {"model": "embedding", "prompt": t}, {}),
    "native": lambda t: native(t),
    "native streamed": lambda t: native(t, True),
    "native system": lambda t: native(CLEAN, system=t),
    "cloud provider": lambda t: native(t, provider="cloud"),
    "cloud provider streamed": lambda t: native(t, True, provider="vendor"),
    "cloud model": lambda t: openai(t, model="cloud/demo"),
    "cloud model streamed": lambda t: anthropic(t, True, model="vendor/far"),
    "cloud model's name": lambda t: openai(t, model="far"),
    "alias": lambda t: anthropic(t, model="claude-any"),
    "said to be public": lambda t: with_headers(openai(t), X_LLM_Sensitivity="public", X_LLM_Mode="cloud"),
    "said to be a class": lambda t: with_headers(ollama(t, True), X_LLM_Task="multi_step", X_LLM_Mode="cloud"),
    "metadata says public": lambda t: native(t, metadata={"sensitivity": "public", "task": "explanation"}),
}
NAMES_THE_CLOUD = {"cloud provider", "cloud provider streamed", "cloud model", "cloud model streamed",
                   "cloud model's name"}

# In which a prompt must be found to be a sample of the leak test: alone, and with others' words before and behind it.
PLAIN = ("native", "openai system", "openai tool", "openai metadata", "anthropic result's parts")
