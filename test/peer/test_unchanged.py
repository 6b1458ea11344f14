# SPDX-License-Identifier: Apache-2.0
"""Programs written for one vendor, run where another dialect is spoken. Nothing in them changes but the address.

Each program is the usual loop with everything that its vendor's users use; it returns the turns it was given.
"""
import base64
import json

import anthropic
import ollama
import openai
import pytest

import samples
from conftest import engine_provider

LLAMACPP = "demo-vision+owner=llamacpp+reasoning=2+call=2+call_first=1"
# The client warns its users of models that will end; ours are names only.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Using Claude:UserWarning")
CLAUDES = ["claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-5-5"]


def program_for_claude(url, model):
    """System blocks, cache marks, thinking, tools, streaming, results with an error among them."""
    client = anthropic.Anthropic(base_url=url, api_key="sk-ant-api03-none", max_retries=0, timeout=30)
    mark = {"cache_control": {"type": "ephemeral"}}
    tools = [{"name": t["name"], "description": t["description"], "input_schema": t["schema"]} for t in samples.TOOLS]
    messages = [{"role": "user", "content": [
        {"type": "text", "text": "<context>" + "long words " * 50 + "</context>", **mark},
        {"type": "text", "text": "What is the weather?"}]}]
    turns = []
    for _ in range(2):
        with client.messages.stream(
                model=model, max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 2000},
                system=[{"type": "text", "text": "You are a careful assistant."},
                        {"type": "text", "text": "Rules: " + "be brief. " * 20,
                         "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
                tools=[tools[0], {**tools[1], **mark}], tool_choice={"type": "auto"}, messages=messages,
                metadata={"user_id": "user_0123_account__session_4567"}, stop_sequences=["</never>"],
                extra_headers={"anthropic-beta": "interleaved-thinking-2025-05-14"}) as stream:
            seen = [event.type for event in stream]
            reply = stream.get_final_message()
        assert seen[0] == "message_start" and seen[-1] == "message_stop"
        turns.append(reply)
        messages.append({"role": "assistant", "content": reply.content})
        calls = [b for b in reply.content if b.type == "tool_use"]
        if not calls:
            break
        results = [{"type": "tool_result", "tool_use_id": calls[0].id,
                    "content": [{"type": "text", "text": samples.RESULTS["get_weather"]}]}]
        results += [{"type": "tool_result", "tool_use_id": c.id, "content": "the clock is broken", "is_error": True}
                    for c in calls[1:]]
        messages.append({"role": "user", "content": [*results[:-1], {**results[-1], **mark}]})
    return turns


def program_for_openai(url, model):
    """A developer's message, effort, sampling, parallel tools, an image, streaming, and a schema at the end."""
    client = openai.OpenAI(base_url=url + "/v1", api_key="sk-none", max_retries=0, timeout=30)
    tools = [{"type": "function", "function": {"name": t["name"], "description": t["description"],
                                               "parameters": t["schema"]}} for t in samples.TOOLS]
    messages = [{"role": "developer", "content": "Be brief."},
                {"role": "user", "name": "someone", "content": [
                    {"type": "text", "text": "What is this, and the weather?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + samples.PNG}}]}]
    turns = []
    for _ in range(3):
        with client.chat.completions.stream(
                model=model, messages=messages, tools=tools, tool_choice="auto", parallel_tool_calls=True,
                temperature=0.7, top_p=0.9, max_completion_tokens=4000, reasoning_effort="medium", user="someone",
                seed=7, stop=["</never>", "\n\n\n"], stream_options={"include_usage": True}) as stream:
            stream.until_done()
            reply = stream.get_final_completion().choices[0]
        turns.append(reply)
        messages.append(reply.message.model_dump(exclude_none=True, exclude={"parsed"}))
        if not reply.message.tool_calls:
            break
        messages += [{"role": "tool", "tool_call_id": c.id, "content": samples.RESULTS[c.function.name]}
                     for c in reply.message.tool_calls]
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
              "required": ["name", "count"], "additionalProperties": False}
    x = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "As JSON, please"}],
                                       response_format={"type": "json_schema", "json_schema": {
                                           "name": "answer", "strict": True, "schema": schema}})
    return turns, json.loads(x.choices[0].message.content)


def program_for_ollama(url, model):
    """Functions as tools, a picture, options, thinking, streaming, a schema at the end."""
    client = ollama.Client(host=url, timeout=30)

    def get_weather(city: str) -> str:
        """Current weather"""
        return samples.RESULTS["get_weather"]

    def get_time() -> str:
        """The time"""
        return samples.RESULTS["get_time"]

    functions = {"get_weather": get_weather, "get_time": get_time}
    messages = [{"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is this, and the weather?",
                 "images": [base64.b64decode(samples.PNG)]}]
    turns = []
    for _ in range(3):
        text, thinking, calls = "", "", []
        for part in client.chat(model=model, messages=messages, tools=list(functions.values()), stream=True,
                                think=True, keep_alive="5m",
                                options={"temperature": 0.2, "num_ctx": 8192, "num_predict": 2000, "seed": 1,
                                         "repeat_penalty": 1.1, "stop": ["</never>"]}):
            text += part.message.content or ""
            thinking += part.message.thinking or ""
            calls += part.message.tool_calls or []
        assert part.done
        turns.append((text, thinking, calls))
        messages.append({"role": "assistant", "content": text, "thinking": thinking, "tool_calls": calls})
        if not calls:
            break
        messages += [{"role": "tool", "tool_name": c.function.name,
                      "content": functions[c.function.name](**c.function.arguments)} for c in calls]
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    x = client.chat(model=model, messages=[{"role": "user", "content": "As JSON, please"}], format=schema)
    return turns, json.loads(x.message.content)


# ---- where they run --------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def pretended(module_router, module_standin):
    """A strict Anthropic of several generations, and a llama-server as far as it can be pretended."""
    behind = module_standin("--strict", "--models", ",".join(["demo-vision", *CLAUDES]))
    knobs = "+reasoning=2+call=2"
    return module_router({"providers": {
        "anthropic": {"kind": "anthropic", "url": behind.url, "zone": "local",
                      "models": [name + knobs for name in CLAUDES]},
        "llamacpp": {"kind": "openai", "url": behind.url, "zone": "local", "models": [LLAMACPP]}},
        "aliases": {"claude-*-local": ["llamacpp/" + LLAMACPP]}})


@pytest.fixture(scope="module")
def real(module_router, engine):
    """The real one, under the names that the program has built in."""
    providers = {name: engine_provider(engine, name, spawn={"context": 8192}) for name in ("2tool", "think", "text")}
    return module_router({"providers": providers, "aliases": {
        "claude-opus-4-6": ["2tool/tiny-2tool"], "claude-sonnet-4-5": ["think/tiny-think"],
        "llama3.2": ["text/tiny-text"], "qwen3": ["2tool/tiny-2tool"]}}).wait_up()


def test_claude_style_code_written_for_the_cloud_runs_unchanged_on_llama_server(real):
    """The engine's models say one thing each: this one always calls, that one always thinks."""
    for turn in program_for_claude(real.url, "claude-opus-4-6"):
        assert turn.stop_reason == "tool_use" and turn.usage.output_tokens > 0
        assert [b.type for b in turn.content] == ["text", "tool_use", "tool_use"]
        assert [b.input for b in turn.content[1:]] == [{"city": "Paris"}, {"city": "Rome"}]
    (turn,) = program_for_claude(real.url, "claude-sonnet-4-5")
    assert [b.type for b in turn.content] == ["thinking", "text"] and turn.stop_reason == "end_turn"
    assert turn.content[0].thinking.strip() == "I am thinking" and turn.content[1].text == "The answer is 42"


def test_claude_style_code_goes_its_whole_way_on_a_pretended_llama_server(pretended):
    first, last = program_for_claude(pretended.url, "claude-opus-local")
    assert [b.type for b in first.content] == ["thinking", "tool_use", "tool_use"] and first.stop_reason == "tool_use"
    assert "Zürich" in first.content[1].input["city"] and first.content[2].input == {}
    assert [b.type for b in last.content] == ["thinking", "text"] and last.stop_reason == "end_turn"
    assert "18 C" in last.content[1].text and "the clock is broken" in last.content[1].text


@pytest.mark.parametrize("name", CLAUDES)
def test_openai_style_code_runs_unchanged_on_the_anthropic_dialect(pretended, name):
    turns, answer = program_for_openai(pretended.url, "anthropic/%s+reasoning=2+call=2" % name)
    first, last = turns
    assert first.finish_reason == "tool_calls" and last.finish_reason == "stop"
    assert [c.function.name for c in first.message.tool_calls] == ["get_weather", "get_time"]
    assert "Zürich" in json.loads(first.message.tool_calls[0].function.arguments)["city"]
    for result in samples.RESULTS.values():
        assert result in last.message.content
    assert set(answer) == {"name", "count"}


def test_an_ollama_client_runs_unchanged_on_both(pretended):
    """On llama-server's dialect, and on Anthropic's."""
    for model in ("llamacpp/" + LLAMACPP, "anthropic/claude-opus-4-6+reasoning=2+call=2"):
        (first, last), answer = program_for_ollama(pretended.url, model)
        assert [c.function.name for c in first[2]] == ["get_weather", "get_time"] and first[1], model
        for result in samples.RESULTS.values():
            assert result in last[0], model
        assert isinstance(answer["name"], str)


def test_an_ollama_client_runs_unchanged_on_the_real_llama_server(real):
    client = ollama.Client(host=real.url, timeout=30)
    assert client.show("llama3.2").capabilities
    said = client.chat(model="llama3.2", messages=[{"role": "user", "content": "Hi"}], options={"num_ctx": 2048})
    assert said.message.content == "Hello from the tiny model. Café ok" and said.done_reason == "stop"

    def get_weather(city: str) -> str:
        """Current weather"""
        return "18 C"

    messages = [{"role": "user", "content": "Weather?"}]
    for _ in range(2):      # the model can only call, also once it has the results
        reply = client.chat(model="qwen3", messages=messages, tools=[get_weather]).message
        assert [c.function.arguments["city"] for c in reply.tool_calls] == ["Paris", "Rome"]
        messages += [reply, *({"role": "tool", "tool_name": "get_weather", "content": get_weather("x")}
                              for _ in reply.tool_calls)]
