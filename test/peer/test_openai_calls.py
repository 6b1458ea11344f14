# SPDX-License-Identifier: Apache-2.0
"""What the official OpenAI clients call besides chat: responses (whole, as events, through their stream helpers),
completions, embeddings; towards every kind of provider. The clients judge: what they hand to their user is looked at,
not bytes."""
import json
import os
import subprocess

import openai
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from conftest import engine_provider
from harness import SENTENCE

KINDS = ["openai", "anthropic", "ollama"]
MODELS = ["demo", "demo+reasoning=2", "demo+finish=length", "demo+finish=filter", "demo+cut=3", "demo+error=3",
          "demo+call=2+call_text=before+call_fragments=3", "demo+call=1", "demo+status=400"]
MJS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "js", "openai_calls.mjs")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
TOOL = {"type": "function", "name": "get_weather", "description": "Weather", "strict": False,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "id": {"type": "integer"}},
                       "required": ["city", "id"]}}


@pytest.fixture(scope="module")
def world(module_router, module_standin):
    models = MODELS + ["demo-embed", "demo-vision"]
    # An Ollama serves what is private only of models that it lists: others may be somewhere else.
    standin = module_standin("--record", "1024", "--models", ",".join(models))
    local = {"url": standin.url, "zone": "local", "models": models, "retries": 0, "breaker_failures": 1000}
    router = module_router({"providers": {kind: {"kind": kind, **local} for kind in KINDS}, "probe_interval": "60s"})
    router.wait_up(*KINDS)
    router.standin = standin
    return router


@pytest.fixture
def client(world):
    with openai.OpenAI(base_url=world.url + "/v1", api_key="none", max_retries=0, timeout=30) as c:
        yield c


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def types_of(response):
    return [item.type for item in response.output]


# ---- responses ----

def test_a_response_is_whole(client, kind):
    r = client.responses.create(model=kind + "/demo", input="Hi", instructions="Be brief", metadata={"a": "b"})
    assert (r.status, r.output_text, types_of(r)) == ("completed", SENTENCE, ["message"])
    assert (r.usage.input_tokens, r.usage.output_tokens, r.usage.total_tokens) == (11, 8, 19)
    assert (r.instructions, r.metadata, r.store) == ("Be brief", {"a": "b"}, False)
    assert r.id.startswith("resp_") and r.output[0].id.startswith("msg_")


def test_a_response_is_streamed(client, kind):
    text, judge = "", TypeAdapter(ResponseStreamEvent)
    for n, event in enumerate(client.responses.create(model=kind + "/demo", input="Hi", stream=True)):
        judge.validate_python(event.model_dump())
        assert event.sequence_number == n
        text += event.delta if event.type == "response.output_text.delta" else ""
    assert (event.type, text, event.response.output_text) == ("response.completed", SENTENCE, SENTENCE)
    assert event.response.usage.output_tokens == 8


def test_the_stream_helper_collects(client, kind):
    with client.responses.stream(model=kind + "/demo", input="Hi") as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        assert text == stream.get_final_response().output_text == SENTENCE


@pytest.mark.parametrize("summary", [None, "auto"])
def test_reasoning_is_an_item(client, kind, summary):
    reasoning = {"effort": "low", **({"summary": summary} if summary else {})}
    with client.responses.stream(model=kind + "/demo+reasoning=2", input="Hi", reasoning=reasoning) as stream:
        for _ in stream:
            pass
        r = stream.get_final_response()
    assert types_of(r) == ["reasoning", "message"] and r.output_text == SENTENCE
    part = (r.output[0].summary if summary else r.output[0].content)[0]
    assert part.type == ("summary_text" if summary else "reasoning_text") and part.text


@pytest.mark.parametrize("stream", [False, True])
def test_calls_and_their_results_go_around(client, kind, stream):
    ask = dict(model=kind + "/demo+call=2+call_text=before+call_fragments=3", tools=[TOOL],
               input=[{"role": "user", "content": "Weather?"}])
    if stream:
        with client.responses.stream(**ask) as s:
            for _ in s:
                pass
            r = s.get_final_response()
    else:
        r = client.responses.create(**ask)
    assert types_of(r) == ["message", "function_call", "function_call"] and r.output_text == SENTENCE
    calls = r.output[1:]
    assert len({c.call_id for c in calls}) == 2 and {c.name for c in calls} == {"get_weather"}
    for call in calls:
        assert json.loads(call.arguments)["id"] == 9007199254740993
    # the official way to go on: everything that came back, and the results
    history = ask["input"] + [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in r.output]
    history += [{"type": "function_call_output", "call_id": c.call_id, "output": "18 C"} for c in calls]
    again = client.responses.create(**{**ask, "input": history})
    assert types_of(again) == ["message"]
    assert again.output_text.count("18 C") == 2


def test_an_image_arrives(client, kind):
    r = client.responses.create(model=kind + "/demo-vision", input=[{"role": "user", "content": [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64," + PNG, "detail": "auto"}]}])
    assert "image/png 70 bytes" in r.output_text
    with pytest.raises(openai.BadRequestError) as e:
        client.responses.create(model=kind + "/demo-vision", input=[{"role": "user", "content": [
            {"type": "input_image", "file_id": "file_1", "detail": "auto"}]}])
    assert e.value.param == "input[0].content[0]"


def test_a_schema_shapes_the_answer(client, kind):
    r = client.responses.create(model=kind + "/demo", input="Hi", text={"format": {
        "type": "json_schema", "name": "answer", "strict": True, "schema": {
            "type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string"}},
            "required": ["n", "s"], "additionalProperties": False}}})
    answer = json.loads(r.output_text)
    assert isinstance(answer["n"], int) and isinstance(answer["s"], str)


def test_an_answer_that_was_cut_by_its_limit_is_incomplete(client, kind):
    r = client.responses.create(model=kind + "/demo+finish=length", input="Hi")
    assert (r.status, r.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    *_, last = client.responses.create(model=kind + "/demo+finish=length", input="Hi", stream=True)
    assert (last.type, last.response.status) == ("response.incomplete", "incomplete")


@pytest.mark.parametrize("fault", ["cut=3", "error=3"])
def test_a_stream_that_fails_raises(client, kind, fault):
    seen = []
    with pytest.raises(openai.APIError):
        for event in client.responses.create(model="%s/demo+%s" % (kind, fault), input="Hi", stream=True):
            seen.append(event.type)
    assert "response.output_text.delta" in seen and "response.completed" not in seen


@pytest.mark.parametrize("more, param", [
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"background": True}, "background"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
])
def test_what_needs_memory_or_the_vendor_is_refused_by_name(client, more, param):
    with pytest.raises(openai.BadRequestError) as e:
        client.responses.create(**{"model": "openai/demo", "input": "Hi", **more})
    assert e.value.param == param and param.split("[")[0] in e.value.message


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as e:
        client.responses.create(model="nobody-has-this", input="Hi")
    assert e.value.code == "model_not_found"


# ---- completions ----

def test_a_prompt_is_continued(client, kind):
    x = client.completions.create(model=kind + "/demo", prompt="Hi", max_tokens=50)
    assert (x.object, x.choices[0].text, x.choices[0].finish_reason) == ("text_completion", SENTENCE, "stop")
    assert (x.usage.prompt_tokens, x.usage.completion_tokens) == (11, 8)


def test_a_prompt_is_continued_piece_by_piece(client, kind):
    text, finish, usage = "", None, None
    for x in client.completions.create(model=kind + "/demo", prompt="Hi", stream=True,
                                       stream_options={"include_usage": True}):
        for choice in x.choices:
            text += choice.text
            finish = choice.finish_reason or finish
        usage = x.usage or usage
    assert (text, finish, usage.completion_tokens) == (SENTENCE, "stop", 8)


def test_what_only_completions_have_goes_only_there(world, client):
    world.standin.reset()
    client.completions.create(model="openai/demo", prompt="Hi", suffix="!", extra_body={"own": 1})
    body = world.standin.requests("/v1/completions")[-1]["json"]
    assert (body["prompt"], body["suffix"], body["own"]) == ("Hi", "!", 1)
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="ollama/demo", prompt="Hi", suffix="!")


# ---- embeddings ----

@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_vectors_come_in_every_form(client, kind):
    ask = dict(model=kind + "/demo-embed", input=["a", "bb", "ccc"])
    numbers = client.embeddings.create(**ask, encoding_format="float")
    packed = client.embeddings.create(**ask)                # the client asks for base64 by itself
    assert [e.index for e in numbers.data] == [e.index for e in packed.data] == [0, 1, 2]
    for one, other in zip(numbers.data, packed.data):
        assert len(one.embedding) > 0 and one.embedding == pytest.approx(other.embedding, rel=1e-6)
    one = client.embeddings.create(model=kind + "/demo-embed", input="bb", encoding_format="float")
    assert one.data[0].embedding == pytest.approx(numbers.data[1].embedding, rel=1e-6)


def test_tokens_are_for_their_own_interface(world, client):
    world.standin.reset()
    client.embeddings.create(model="openai/demo-embed", input=[[1, 2], [3]])
    assert world.standin.requests("/v1/embeddings")[-1]["json"]["input"] == [[1, 2], [3]]
    # Nobody can read them here, so they count as private; and nobody else could read them there.
    with pytest.raises((openai.BadRequestError, openai.PermissionDeniedError)):
        client.embeddings.create(model="ollama/demo-embed", input=[[1, 2], [3]])


def test_nobody_embeds_with_another_model(client):
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="demo-embed-large", input="a")
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="anthropic/demo", input="a")


# ---- the real engine ----

def test_the_engine_is_asked_in_each_way(router, engine):
    r = router({"providers": {"engine-" + name: engine_provider(engine, name) for name in ("text", "think")}})
    r.wait_up()
    with openai.OpenAI(base_url=r.url + "/v1", api_key="none", max_retries=0, timeout=60) as c:
        with c.responses.stream(model="engine-think/tiny-think", input="Hi", store=False) as stream:
            for _ in stream:
                pass
            x = stream.get_final_response()
        assert types_of(x) == ["reasoning", "message"] and x.output_text == "The answer is 42"
        assert x.output[0].content[0].text == "I am thinking\n"
        assert c.responses.create(model="engine-text/tiny-text", input="Hi").output_text == \
            "Hello from the tiny model. Café ok"
        x = c.completions.create(model="engine-text/tiny-text", prompt="Hi", max_tokens=3)
        assert x.object == "text_completion" and x.usage.completion_tokens <= 3
        pieces = list(c.completions.create(model="engine-text/tiny-text", prompt="Hi", max_tokens=3, stream=True))
        assert pieces[-1].choices[0].finish_reason in ("stop", "length")
        # It was started without them, and says so; nobody makes up vectors.
        with pytest.raises(openai.APIStatusError):
            c.embeddings.create(model="engine-text/tiny-text", input="a")


# ---- the npm client ----

def test_the_npm_client_agrees(world, node):
    done = subprocess.run([node, MJS, world.url], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    told = json.loads(done.stdout)
    for kind in KINDS:
        r = told[kind]
        assert r["whole"] == r["streamed"] == r["helper"] == [SENTENCE, "completed"], kind
        assert r["calls"] == ["message", "function_call", "function_call"], kind
        assert r["result"].count("18 C") == 2, kind
        assert r["reasoning"] == ["reasoning", "message"], kind
        assert r["completion"] == r["completion_streamed"] == SENTENCE, kind
        assert r["cut"] == "APIError", kind
        if kind != "anthropic":
            assert r["base64"] == pytest.approx(r["float"], rel=1e-6) and r["float"], kind
