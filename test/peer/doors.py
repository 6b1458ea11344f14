# SPDX-License-Identifier: Apache-2.0
"""doors - one conversation in the words of every door, and what each door answers in one form.

    render(door, talk, model, stream) -> path, body
    read(door, stream, reply)         -> Said

talk    {system, turns, tools, choice, image, schema, stop, max_tokens, think}; a turn is (role, text) or one of
        ("calls", [(id, name, arguments as JSON text)]) and ("results", [(id, name, text)])
Said    text, reasoning, calls [(id, name, arguments as JSON text)], finish (one word for all doors), usage, error, ended
"""
import json

from harness import sse_frames

DOORS = ["openai", "anthropic", "ollama", "native", "responses"]

FINISH = {   # every door's words for the same
    "stop": "stop", "end_turn": "stop", "stop_sequence": "stop", "completed": "stop",
    "length": "length", "max_tokens": "length", "max_output_tokens": "length",
    "tool_calls": "calls", "tool_use": "calls", "content_filter": "filter", "refusal": "filter",
}


# ---- requests ------------------------------------------------------------------------------------

def function(tool):
    return {"type": "function", "function": {"name": tool["name"], "description": tool["description"],
                                             "parameters": tool["schema"]}}


def openai_messages(talk, objects=False):
    """Also the native door's. objects: arguments as objects, as Ollama has them."""
    messages = [{"role": "system", "content": talk["system"]}] if talk.get("system") else []
    for turn in talk["turns"]:
        if turn[0] == "calls":
            calls = [{"id": i, "type": "function",
                      "function": {"name": n, "arguments": json.loads(a) if objects else a}} for i, n, a in turn[1]]
            messages.append({"role": "assistant", "content": "" if objects else None, "tool_calls": calls})
        elif turn[0] == "results":
            for i, n, text in turn[1]:
                messages.append({"role": "tool", "tool_call_id": i, "content": text,
                                 **({"tool_name": n} if objects else {})})
        else:
            messages.append({"role": turn[0], "content": turn[1]})
    if talk.get("image"):
        if objects:
            messages[-1]["images"] = [talk["image"]]
        else:
            messages[-1]["content"] = [
                {"type": "text", "text": messages[-1]["content"]},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64," + talk["image"]}}]
    return messages


def render_openai(talk, model, stream):
    body = {"model": model, "stream": stream, "messages": openai_messages(talk)}
    if stream:
        body["stream_options"] = {"include_usage": True}
    if talk.get("tools"):
        body["tools"] = [function(t) for t in talk["tools"]]
    if talk.get("choice"):
        body["tool_choice"] = "required" if talk["choice"] == "any" else talk["choice"]
    if talk.get("schema"):
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": talk["schema"]}}
    if talk.get("think"):
        body["reasoning_effort"] = "high"
    for key, name in (("stop", "stop"), ("max_tokens", "max_tokens")):
        if talk.get(key):
            body[name] = talk[key]
    return "/v1/chat/completions", body


def render_native(talk, model, stream):
    _, body = render_openai(talk, model, stream)
    body.pop("stream_options", None)
    provider, body["model"] = model.split("/", 1)
    return "/router/stream" if stream else "/router/generate", {**body, "provider": provider}


def render_anthropic(talk, model, stream):
    messages = []
    for turn in talk["turns"]:
        if turn[0] == "calls":
            messages.append({"role": "assistant", "content": [
                {"type": "tool_use", "id": i, "name": n, "input": json.loads(a)} for i, n, a in turn[1]]})
        elif turn[0] == "results":
            messages.append({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": i, "content": text} for i, _, text in turn[1]]})
        else:
            messages.append({"role": turn[0], "content": turn[1]})
    if talk.get("image"):
        messages[-1]["content"] = [
            {"type": "text", "text": messages[-1]["content"]},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": talk["image"]}}]
    body = {"model": model, "stream": stream, "max_tokens": talk.get("max_tokens", 4096), "messages": messages}
    if talk.get("system"):
        body["system"] = [{"type": "text", "text": talk["system"], "cache_control": {"type": "ephemeral"}}]
    if talk.get("tools"):
        body["tools"] = [{"name": t["name"], "description": t["description"], "input_schema": t["schema"]}
                         for t in talk["tools"]]
    if talk.get("choice"):
        body["tool_choice"] = {"type": talk["choice"]}
    if talk.get("schema"):
        body["output_config"] = {"format": {"type": "json_schema", "schema": talk["schema"]}}
    if talk.get("think"):
        body["thinking"] = {"type": "enabled", "budget_tokens": 2048}
    if talk.get("stop"):
        body["stop_sequences"] = talk["stop"]
    return "/v1/messages", body


def render_ollama(talk, model, stream):
    body = {"model": model, "stream": stream, "messages": openai_messages(talk, objects=True)}
    options = {}
    if talk.get("tools"):
        body["tools"] = [function(t) for t in talk["tools"]]
    if talk.get("schema"):
        body["format"] = talk["schema"]
    if talk.get("think"):
        body["think"] = True
    if talk.get("stop"):
        options["stop"] = talk["stop"]
    if talk.get("max_tokens"):
        options["num_predict"] = talk["max_tokens"]
    return "/api/chat", {**body, **({"options": options} if options else {})}


def render_responses(talk, model, stream):
    items = []
    for turn in talk["turns"]:
        if turn[0] == "calls":
            items += [{"type": "function_call", "call_id": i, "name": n, "arguments": a} for i, n, a in turn[1]]
        elif turn[0] == "results":
            items += [{"type": "function_call_output", "call_id": i, "output": text} for i, _, text in turn[1]]
        else:
            items.append({"role": turn[0], "content": turn[1]})
    if talk.get("image"):
        items[-1]["content"] = [{"type": "input_text", "text": items[-1]["content"]},
                                {"type": "input_image", "image_url": "data:image/png;base64," + talk["image"]}]
    body = {"model": model, "stream": stream, "input": items}
    if talk.get("system"):
        body["instructions"] = talk["system"]
    if talk.get("tools"):
        body["tools"] = [{"type": "function", "name": t["name"], "description": t["description"],
                          "parameters": t["schema"]} for t in talk["tools"]]
    if talk.get("choice"):
        body["tool_choice"] = "required" if talk["choice"] == "any" else talk["choice"]
    if talk.get("schema"):
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": talk["schema"]}}
    if talk.get("think"):
        body["reasoning"] = {"effort": "high"}
    if talk.get("max_tokens"):
        body["max_output_tokens"] = talk["max_tokens"]
    return "/v1/responses", body


def render(door, talk, model, stream):
    return globals()["render_" + door](talk, model, stream)


# ---- answers -------------------------------------------------------------------------------------

class Said:
    def __init__(self):
        self.text, self.reasoning, self.calls, self.finish = "", "", [], None
        self.usage, self.error, self.ended, self.junk = None, None, False, None

    def __repr__(self):
        return str(self.__dict__)

    def finished(self, word):
        if word is not None:
            self.finish = FINISH.get(word, word)


def read_openai(r, s):
    if "error" in r:
        s.error = r["error"]["message"]
        return
    if r.get("usage"):
        s.usage = (r["usage"]["prompt_tokens"], r["usage"]["completion_tokens"])
    for choice in r["choices"]:
        m = choice.get("delta") or choice.get("message") or {}
        s.text += m.get("content") or ""
        s.reasoning += m.get("reasoning_content") or ""
        for k, call in enumerate(m.get("tool_calls") or []):
            index = call.get("index", k)
            while len(s.calls) <= index:
                s.calls.append([None, "", ""])
            f = call["function"]
            s.calls[index][0] = call.get("id") or s.calls[index][0]
            s.calls[index][1] += f.get("name") or ""
            s.calls[index][2] += f.get("arguments") or ""
        s.finished(choice.get("finish_reason"))


def read_native(r, s):
    if "detail" in r:
        s.error = r["detail"]
        return
    s.text += r.get("delta") if "delta" in r else r.get("content") or ""
    for call in r.get("tool_calls") or []:
        f = call.get("function", call)
        arguments = f.get("arguments", f.get("input"))
        s.calls.append([call.get("id"), f["name"],
                        arguments if isinstance(arguments, str) else json.dumps(arguments)])
    if r.get("usage"):
        s.usage = (r["usage"]["input_tokens"], r["usage"]["output_tokens"])
    s.finished(r.get("finish_reason"))


def usage_anthropic(u, before):
    """What is not told stands as it was told before."""
    parts = [u.get(k) for k in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")]
    return (sum(p or 0 for p in parts) if any(p is not None for p in parts) else before[0], u["output_tokens"])


def read_anthropic(r, s):
    kind = r.get("type")
    if kind == "error":
        s.error = r["error"]["message"]
    elif kind == "message":
        for b in r["content"]:
            s.text += b.get("text", "")
            s.reasoning += b.get("thinking", "")
            if b["type"] == "tool_use":
                s.calls.append([b["id"], b["name"], json.dumps(b["input"])])
        s.finished(r["stop_reason"])
        s.usage = usage_anthropic(r["usage"], (0, 0))
    elif kind == "message_start":
        s.usage = usage_anthropic(r["message"]["usage"], (0, 0))
    elif kind == "content_block_start" and r["content_block"]["type"] == "tool_use":
        s.calls.append([r["content_block"]["id"], r["content_block"]["name"], ""])
    elif kind == "content_block_delta":
        d = r["delta"]
        s.text += d.get("text", "")
        s.reasoning += d.get("thinking", "")
        if "partial_json" in d:
            s.calls[-1][2] += d["partial_json"]
    elif kind == "message_delta":
        s.finished(r["delta"]["stop_reason"])
        s.usage = usage_anthropic(r["usage"], s.usage)
    elif kind == "message_stop":
        s.ended = True


def read_ollama(r, s):
    if "error" in r:
        s.error = r["error"]
        return
    m = r["message"]
    s.text += m["content"]
    s.reasoning += m.get("thinking") or ""
    for call in m.get("tool_calls") or []:
        s.calls.append([call.get("id"), call["function"]["name"], json.dumps(call["function"]["arguments"])])
    if r["done"]:
        s.ended = True
        s.finished("tool_calls" if s.calls and r["done_reason"] == "stop" else r["done_reason"])
        s.usage = (r["prompt_eval_count"], r["eval_count"])


def read_responses(r, s):
    if "error" in r and r.get("object") != "response" and r.get("type") is None:
        s.error = r["error"]["message"]
    elif r.get("type") in ("error", "response.failed"):
        s.error = r.get("message") or r["response"]["error"]["message"]
    elif r.get("type") in ("response.completed", "response.incomplete"):
        read_responses(r["response"], s)
        s.ended = True
    elif r.get("object") == "response":
        for item in r["output"]:
            if item["type"] == "message":
                s.text += "".join(p.get("text", p.get("refusal", "")) for p in item["content"])
            elif item["type"] == "function_call":
                s.calls.append([item["call_id"], item["name"], item["arguments"]])
            elif item["type"] == "reasoning":
                s.reasoning += "".join(p["text"] for p in (item.get("content") or item.get("summary") or []))
        why = (r.get("incomplete_details") or {}).get("reason")
        s.finished(why or ("tool_calls" if s.calls else r["status"]))
        s.usage = (r["usage"]["input_tokens"], r["usage"]["output_tokens"])


def read(door, stream, reply):
    s, reader = Said(), globals()["read_" + door]
    try:
        if not stream or reply.status != 200:
            reader(reply.json, s)
            s.ended = reply.complete
        elif door == "ollama":
            for line in reply.text.splitlines():
                reader(json.loads(line), s)
        else:
            for _, data in sse_frames(reply.text):
                if data == "[DONE]":
                    s.ended = True
                else:
                    reader(json.loads(data), s)
        s.ended = s.ended and reply.complete and s.error is None
    except (ValueError, KeyError, IndexError, TypeError) as e:
        s.junk = "%r in %s" % (e, reply.text[:2000])
    return s
