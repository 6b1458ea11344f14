# SPDX-License-Identifier: Apache-2.0
"""features - what each official Python client can express, said in its own way; js/features.mjs is the same for npm.

    run(client, feature, job) -> {"runs": [run, ...], "error": None or {class, status, message}}

A feature is one use as the client's own manual shows it, helpers included (schemas from pydantic, streams that
accumulate, tool runners), and nothing here knows what stands behind the router. A run is what the client handed out,
in one form for all: text, reasoning, calls [[id, name, arguments]], finish, parsed, ids .. whatever the feature has;
test_features.py judges it. An exception within a feature that expects one is a run with "error".
"""
import base64
import json
from importlib import metadata

import anthropic
import ollama
import openai
import pydantic

import samples


class Answer(pydantic.BaseModel):
    name: str
    count: int


def version(client):
    return metadata.version(client.removeprefix("py-"))


def as_run(text="", **more):
    return {"text": text or "", "reasoning": "", "calls": [], "finish": None, **more}


def caught(call):
    """The run, or the client's own exception as one."""
    try:
        return call()
    except Exception as e:      # whatever the client raises is what we look at
        return as_run(error={"class": type(e).__name__, "status": getattr(e, "status_code", None), "message": str(e)})


# ---- openai ----------------------------------------------------------------------------------------

def openai_tool(tool, **more):
    return {"type": "function", "function": {"name": tool["name"], "description": tool["description"],
                                             "parameters": tool["schema"], **more}}


OPENAI_TOOLS = [openai_tool(t) for t in samples.TOOLS]


def openai_run(x, **more):
    """Of a completion, plain or parsed."""
    m = x.choices[0].message
    assert m.content is not None or m.tool_calls, "an answer without calls has content"
    calls = [[c.id, c.function.name, c.function.arguments] for c in m.tool_calls or []]
    return as_run(m.content, calls=calls, finish=x.choices[0].finish_reason, id=x.id,
                  reasoning=getattr(m, "reasoning_content", None) or "",
                  usage=[x.usage.prompt_tokens, x.usage.completion_tokens], **more)


class OpenAI:
    def __init__(self, job):
        self.client = openai.OpenAI(base_url=job["url"] + "/v1", api_key="none", max_retries=0, timeout=30)
        self.model = job["model"]

    def whole(self, **ask):
        ask.setdefault("messages", [{"role": "user", "content": "Hi"}])
        return openai_run(self.client.chat.completions.create(model=self.model, **ask))

    def streamed(self, **ask):
        ask.setdefault("messages", [{"role": "user", "content": "Hi"}])
        with self.client.chat.completions.stream(model=self.model, stream_options={"include_usage": True},
                                                 **ask) as stream:
            reasoning = text = ""
            for event in stream:
                if event.type == "chunk":
                    for choice in event.chunk.choices:
                        reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                        text += choice.delta.content or ""
            run = openai_run(stream.get_final_completion())
            assert run["text"] == text, "the pieces and the whole disagree"
            return {**run, "reasoning": reasoning}

    def both(self, **ask):
        return [self.whole(**ask), self.streamed(**ask)]

    def text(self):
        return self.both(messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
                         max_completion_tokens=99)

    def tools(self):
        return self.both(tools=OPENAI_TOOLS, parallel_tool_calls=True)

    def tool_loop(self):
        runs = []
        for ask in (self.whole, self.streamed):
            messages = [{"role": "user", "content": "Weather?"}]
            first = ask(tools=OPENAI_TOOLS, messages=messages)
            messages.append({"role": "assistant", "content": first["text"] or None, "tool_calls": [
                {"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in first["calls"]]})
            messages += [{"role": "tool", "tool_call_id": i, "content": samples.RESULTS[n]}
                         for i, n, _ in first["calls"]]
            runs.append(ask(tools=OPENAI_TOOLS, messages=messages))
        return runs

    def tool_choice(self):
        named = {"type": "function", "function": {"name": samples.TOOLS[1]["name"]}}
        return [self.whole(tools=OPENAI_TOOLS, tool_choice=c) for c in ("required", named, "none")]

    def json(self):
        x = self.client.chat.completions.parse(model=self.model, messages=[{"role": "user", "content": "Hi"}],
                                               response_format=Answer)
        whole = openai_run(x, parsed=x.choices[0].message.parsed.model_dump())
        with self.client.chat.completions.stream(model=self.model, messages=[{"role": "user", "content": "Hi"}],
                                                 response_format=Answer,
                                                 stream_options={"include_usage": True}) as stream:
            x = stream.until_done().get_final_completion()
        return [whole, openai_run(x, parsed=x.choices[0].message.parsed.model_dump())]

    def images(self):
        return self.both(messages=[{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + samples.PNG, "detail": "low"}}]}])

    def documents(self):
        return [caught(lambda: self.whole(messages=[{"role": "user", "content": [
            {"type": "text", "text": "Read."},
            {"type": "file", "file": {"filename": "a.pdf",
                                      "file_data": "data:application/pdf;base64," + samples.PDF}}]}]))]

    def thinking(self):
        return self.both(reasoning_effort="high")

    def embeddings(self):
        words = ["one", "two"]
        plain = self.client.embeddings.create(model=self.model, input=words)      # the client asks for base64
        floats = self.client.embeddings.create(model=self.model, input=words, encoding_format="float")
        return [as_run(vectors=[d.embedding for d in x.data]) for x in (plain, floats)]

    def completions(self):
        x = self.client.completions.create(model=self.model, prompt="Hi", max_tokens=50)
        runs = [as_run(x.choices[0].text, finish=x.choices[0].finish_reason)]
        text, finish = "", None
        for part in self.client.completions.create(model=self.model, prompt="Hi", max_tokens=50, stream=True):
            for choice in part.choices:
                text, finish = text + choice.text, choice.finish_reason or finish
        return [*runs, as_run(text, finish=finish)]

    def responses(self):
        create = self.client.responses.create
        tools = [{"type": "function", "name": t["name"], "description": t["description"], "parameters": t["schema"],
                  "strict": False} for t in samples.TOOLS]
        runs = [self.of_response(create(model=self.model, instructions="Be brief.", input="Hi"))]
        with self.client.responses.stream(model=self.model, input="Hi") as stream:
            numbers = [event.sequence_number for event in stream]
            runs.append(self.of_response(stream.get_final_response()))
        assert numbers == list(range(len(numbers))), numbers
        talk = [{"role": "user", "content": "Weather?"}]
        called = create(model=self.model + samples.CALL, input=talk, tools=tools)
        calls = [item for item in called.output if item.type == "function_call"]
        talk += [item.model_dump(exclude_none=True) for item in called.output]
        talk += [{"type": "function_call_output", "call_id": c.call_id, "output": samples.RESULTS[c.name]}
                 for c in calls]
        runs.append(self.of_response(create(model=self.model + samples.CALL, input=talk, tools=tools)))
        parsed = self.client.responses.parse(model=self.model, input="Hi", text_format=Answer)
        runs.append({**self.of_response(parsed), "parsed": parsed.output_parsed.model_dump()})
        runs.append(caught(lambda: self.of_response(create(model=self.model, input="Go on",
                                                           previous_response_id="resp_that_nobody_knows"))))
        return runs

    @staticmethod
    def of_response(x):
        return as_run(x.output_text, finish=x.status, id=x.id, usage=[x.usage.input_tokens, x.usage.output_tokens])

    def models(self):
        listed = [m.id for m in self.client.models.list()]
        return [as_run(listed=listed, one=self.client.models.retrieve(self.model).id),
                caught(lambda: as_run(one=self.client.models.retrieve("nobody/knows-it").id))]


# ---- anthropic -------------------------------------------------------------------------------------

ANTHROPIC_TOOLS = [{"name": t["name"], "description": t["description"], "input_schema": t["schema"]}
                   for t in samples.TOOLS]
SYSTEM_BLOCKS = [{"type": "text", "text": "You are a careful assistant."},
                 {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]


def anthropic_run(x, **more):
    return as_run("".join(b.text for b in x.content if b.type == "text"), finish=x.stop_reason, id=x.id,
                  calls=[[b.id, b.name, json.dumps(b.input)] for b in x.content if b.type == "tool_use"],
                  reasoning="".join(b.thinking for b in x.content if b.type == "thinking"),
                  usage=[x.usage.input_tokens, x.usage.output_tokens], **more)


class Anthropic:
    def __init__(self, job):
        self.client = anthropic.Anthropic(base_url=job["url"], api_key="none", max_retries=0, timeout=30)
        self.model = job["model"]

    def ask(self, **ask):
        ask.setdefault("messages", [{"role": "user", "content": "Hi"}])
        return {"model": self.model, "max_tokens": 4096, **ask}

    def whole(self, **ask):
        return anthropic_run(self.client.messages.create(**self.ask(**ask)))

    def streamed(self, **ask):
        with self.client.messages.stream(**self.ask(**ask)) as stream:
            text = "".join(e.delta.text for e in stream
                           if e.type == "content_block_delta" and e.delta.type == "text_delta")
            run = anthropic_run(stream.get_final_message())
        assert run["text"] == text, "the pieces and the whole disagree"
        return run

    def both(self, **ask):
        return [self.whole(**ask), self.streamed(**ask)]

    def text(self):
        return self.both(system=SYSTEM_BLOCKS, metadata={"user_id": "someone"}, messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}])

    def tools(self):
        marked = [*ANTHROPIC_TOOLS[:-1], {**ANTHROPIC_TOOLS[-1], "cache_control": {"type": "ephemeral"}}]
        return self.both(tools=marked)

    def tool_loop(self):
        """By the client's own tool runner, which calls these functions."""
        @anthropic.beta_tool
        def get_weather(city: str) -> str:
            """Current weather"""
            return samples.RESULTS["get_weather"]

        @anthropic.beta_tool
        def get_time() -> str:
            """The time"""
            return samples.RESULTS["get_time"]

        runs = []
        for stream in (False, True):
            runner = self.client.beta.messages.tool_runner(**self.ask(tools=[get_weather, get_time], stream=stream))
            runs.append(anthropic_run(runner.until_done()))
        return runs

    def tool_choice(self):
        return [self.whole(tools=ANTHROPIC_TOOLS, tool_choice=c) for c in (
            {"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": samples.TOOLS[1]["name"]},
            {"type": "none"})]

    def json(self):
        x = self.client.messages.parse(**self.ask(output_format=Answer))
        runs = [anthropic_run(x, parsed=x.parsed_output.model_dump())]
        with self.client.messages.stream(**self.ask(output_format=Answer)) as stream:
            x = stream.get_final_message()
        return [*runs, anthropic_run(x, parsed=x.parsed_output.model_dump())]

    def images(self):
        return self.both(messages=[{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": samples.PNG}},
            {"type": "text", "text": "What is this?"}]}])

    def documents(self):
        def asked(source):
            return self.whole(messages=[{"role": "user", "content": [
                {"type": "document", "title": "A page", "source": source}, {"type": "text", "text": "Read."}]}])
        return [caught(lambda: asked({"type": "base64", "media_type": "application/pdf", "data": samples.PDF})),
                asked({"type": "text", "media_type": "text/plain", "data": samples.PAGE})]

    def thinking(self):
        """And what was thought goes back with its signature, as the manual says for tools."""
        think = {"type": "enabled", "budget_tokens": 2048}
        runs = self.both(thinking=think)
        first = self.client.messages.create(**self.ask(thinking=think))
        runs.append(self.whole(thinking=think, messages=[
            {"role": "user", "content": "Hi"}, {"role": "assistant", "content": first.content},
            {"role": "user", "content": "And?"}]))
        return runs

    def count_tokens(self):
        x = self.client.messages.count_tokens(model=self.model, messages=[{"role": "user", "content": "Hi " * 50}],
                                              system=SYSTEM_BLOCKS, tools=ANTHROPIC_TOOLS)
        return [as_run(tokens=x.input_tokens)]

    def models(self):
        listed = [m.id for m in self.client.models.list(limit=2)]       # pages of two, fetched one after another
        return [as_run(listed=listed, one=self.client.models.retrieve(self.model).id),
                caught(lambda: as_run(one=self.client.models.retrieve("nobody/knows-it").id))]


# ---- ollama ----------------------------------------------------------------------------------------

def get_weather(city: str) -> str:
    """Current weather

    Args:
        city: the city
    """
    return samples.RESULTS["get_weather"]


def get_time() -> str:
    """The time"""
    return samples.RESULTS["get_time"]


FUNCTIONS = [get_weather, get_time]


class Ollama:
    def __init__(self, job):
        self.client = ollama.Client(host=job["url"], timeout=30)
        self.model = job["model"]

    def chat(self, stream, **ask):
        ask.setdefault("messages", [{"role": "user", "content": "Hi"}])
        x = self.client.chat(model=self.model, stream=stream, **ask)
        run, done = as_run(), False
        for part in x if stream else [x]:
            m = part.message
            run["text"] += m.content or ""
            run["reasoning"] += m.thinking or ""
            for c in m.tool_calls or []:
                run["calls"].append([None, c.function.name, json.dumps(dict(c.function.arguments))])
            if part.done:
                done = True
                run.update(finish=part.done_reason, usage=[part.prompt_eval_count, part.eval_count])
        assert done, "no last line"
        return run

    def both(self, **ask):
        return [self.chat(False, **ask), self.chat(True, **ask)]

    def text(self):
        return self.both(messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
                         options={"num_predict": 99})

    def tools(self):
        return self.both(tools=FUNCTIONS)

    def tool_loop(self):
        runs = []
        for stream in (False, True):
            messages = [{"role": "user", "content": "Weather?"}]
            first = self.chat(stream, messages=messages, tools=FUNCTIONS)
            messages.append({"role": "assistant", "content": first["text"], "tool_calls": [
                {"function": {"name": n, "arguments": json.loads(a)}} for _, n, a in first["calls"]]})
            by_name = {f.__name__: f for f in FUNCTIONS}
            messages += [{"role": "tool", "tool_name": n, "content": by_name[n](**json.loads(a))}
                         for _, n, a in first["calls"]]
            runs.append(self.chat(stream, messages=messages, tools=FUNCTIONS))
        return runs

    def json(self):
        runs = self.both(format=Answer.model_json_schema())
        for run in runs:
            run["parsed"] = Answer.model_validate_json(run["text"]).model_dump()
        return runs

    def images(self):
        return self.both(messages=[{"role": "user", "content": "What is this?",
                                    "images": [base64.b64decode(samples.PNG)]}])

    def thinking(self):
        return self.both(think=True)

    def embeddings(self):
        many = self.client.embed(model=self.model, input=["one", "two"])
        old = [self.client.embeddings(model=self.model, prompt=p).embedding for p in ("one", "two")]
        return [as_run(vectors=[list(v) for v in many.embeddings]), as_run(vectors=[list(v) for v in old])]

    def completions(self):
        x = self.client.generate(model=self.model, prompt="Hi")
        parts = list(self.client.generate(model=self.model, prompt="Hi", stream=True))
        return [as_run(x.response, finish=x.done_reason),
                as_run("".join(p.response for p in parts), finish=parts[-1].done_reason)]

    def models(self):
        listed = [m.model for m in self.client.list().models]
        shown = self.client.show(self.model)
        self.client.ps()
        return [as_run(listed=listed, one=self.model if shown.capabilities else None),
                caught(lambda: as_run(one=str(self.client.show("nobody/knows-it"))))]


LIBRARIES = {"py-openai": OpenAI, "py-anthropic": Anthropic, "py-ollama": Ollama}


def features_of(client):
    return [name for name in samples.FEATURES if hasattr(LIBRARIES[client], name.replace(" ", "_"))]


def run(client, feature, job):
    try:
        return {"runs": getattr(LIBRARIES[client](job), feature.replace(" ", "_"))(), "error": None}
    except Exception as e:
        return {"runs": [], "error": {"class": type(e).__name__, "status": getattr(e, "status_code", None),
                                      "message": str(e)[:1500]}}
