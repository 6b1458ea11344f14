# SPDX-License-Identifier: Apache-2.0
"""clients - the official Python clients behind one call; js/clients.mjs is the same for the npm ones.

    run(client, job) -> result

job     {url, key, model, stream, prompt, system, max_tokens, stop, options, leave}
        options: further members of the request, in the client's own names
        leave: after that many pieces the caller goes away
result  {text, reasoning, finish, usage: [in, out], model, id, pieces, error: {class, status, retry_after,
        message}}; error says that the client raised, what it had until then is there as well
"""
import json
import subprocess

import anthropic
import ollama
import openai

PYTHON = ["py-openai", "py-anthropic", "py-ollama"]
NODE = ["js-openai", "js-openai-6", "js-anthropic", "js-anthropic-0", "js-ollama"]
DOOR = {name: name.split("-")[1] for name in PYTHON + NODE}


def new_result():
    return {"text": "", "reasoning": "", "finish": None, "usage": None, "model": None, "id": None, "pieces": 0,
            "error": None}


def run_openai(job, r):
    with openai.OpenAI(base_url=job["url"] + "/v1", api_key=job.get("key", "none"), max_retries=0, timeout=30) as c:
        messages = [{"role": "user", "content": job.get("prompt", "Hi")}]
        if job.get("system"):
            messages.insert(0, {"role": "system", "content": job["system"]})
        more = dict(job.get("options", {}))
        if job.get("max_tokens"):
            more["max_tokens"] = job["max_tokens"]
        if job.get("stop"):
            more["stop"] = job["stop"]
        if not job["stream"]:
            x = c.chat.completions.create(model=job["model"], messages=messages, **more)
            choice = x.choices[0]
            r.update(text=choice.message.content, finish=choice.finish_reason, model=x.model, id=x.id, pieces=1,
                     reasoning=getattr(choice.message, "reasoning_content", None) or "",
                     usage=[x.usage.prompt_tokens, x.usage.completion_tokens])
            return
        stream = c.chat.completions.create(model=job["model"], messages=messages, stream=True,
                                           stream_options={"include_usage": True}, **more)
        for x in stream:
            r["model"], r["id"] = x.model, x.id
            if x.usage:
                r["usage"] = [x.usage.prompt_tokens, x.usage.completion_tokens]
            for choice in x.choices:
                r["text"] += choice.delta.content or ""
                r["reasoning"] += getattr(choice.delta, "reasoning_content", None) or ""
                r["pieces"] += 1 if choice.delta.content else 0
                r["finish"] = choice.finish_reason or r["finish"]
            if job.get("leave") and r["pieces"] >= job["leave"]:
                stream.close()
                return


def run_anthropic(job, r):
    with anthropic.Anthropic(base_url=job["url"], api_key=job.get("key", "none"), max_retries=0, timeout=30) as c:
        more = dict(job.get("options", {}))
        if job.get("system"):
            more["system"] = job["system"]
        if job.get("stop"):
            more["stop_sequences"] = job["stop"]
        if more:
            # The newest client has no words for the sampling parameters of version 2023-06-01 any more.
            extra = {k: more.pop(k) for k in ("temperature", "top_p", "top_k") if k in more}
            more["extra_body"] = extra or None
        ask = dict(model=job["model"], max_tokens=job.get("max_tokens") or 64,
                   messages=[{"role": "user", "content": job.get("prompt", "Hi")}], **more)
        if not job["stream"]:
            x = c.messages.create(**ask)
            fill_message(r, x)
            r["pieces"] = 1
            return
        with c.messages.stream(**ask) as stream:
            for event in stream:
                if event.type == "message_start":
                    r["model"], r["id"] = event.message.model, event.message.id
                elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                    r["text"] += event.delta.text
                    r["pieces"] += 1
                    if job.get("leave") and r["pieces"] >= job["leave"]:
                        return
            said = r["text"]
            fill_message(r, stream.get_final_message())
            assert said == r["text"], "the events and the final message disagree"


def fill_message(r, x):
    usage = x.usage
    r.update(text="".join(b.text for b in x.content if b.type == "text"),
             reasoning="".join(b.thinking for b in x.content if b.type == "thinking"),
             finish=x.stop_reason, model=x.model, id=x.id,
             usage=[usage.input_tokens + (usage.cache_read_input_tokens or 0)
                    + (usage.cache_creation_input_tokens or 0), usage.output_tokens])


def run_ollama(job, r):
    c = ollama.Client(host=job["url"], timeout=30, headers={"Authorization": "Bearer " + job.get("key", "none")})
    messages = [{"role": "user", "content": job.get("prompt", "Hi")}]
    if job.get("system"):
        messages.insert(0, {"role": "system", "content": job["system"]})
    options = dict(job.get("options", {}))
    if job.get("max_tokens"):
        options["num_predict"] = job["max_tokens"]
    if job.get("stop"):
        options["stop"] = job["stop"]
    x = c.chat(model=job["model"], messages=messages, stream=job["stream"], options=options)
    for part in x if job["stream"] else [x]:
        r["text"] += part.message.content or ""
        r["reasoning"] += part.message.thinking or ""
        r["pieces"] += 1 if part.message.content else 0
        r["model"] = part.model
        if part.done:
            r.update(finish=part.done_reason, usage=[part.prompt_eval_count, part.eval_count])
            assert part.eval_duration > 0 and part.total_duration > 0
        if job.get("leave") and r["pieces"] >= job["leave"]:
            x.close()
            return
    # The client itself does not look whether the last line was there.
    if job["stream"] and r["finish"] is None:
        raise AssertionError("the stream ended without its last line")


RUN = {"py-openai": run_openai, "py-anthropic": run_anthropic, "py-ollama": run_ollama}


def run(client, job):
    r = new_result()
    try:
        RUN[client](job, r)
    except Exception as e:      # whatever a client raises is what we look at
        reply = getattr(e, "response", None)
        r["error"] = {"class": type(e).__name__, "status": getattr(e, "status_code", None),
                      "retry_after": reply.headers.get("retry-after") if reply is not None else None,
                      "message": str(e)}
    return r


def run_node(node, script, jobs, env=None):
    """One run of Node.js for many jobs, each {client, ...job}."""
    done = subprocess.run([node, script], input=json.dumps(jobs), capture_output=True, text=True, timeout=240,
                          env=env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout)
