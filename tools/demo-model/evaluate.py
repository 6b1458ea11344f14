#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ask the served demo model the questions that were kept apart, and say how it did.

usage: evaluate.py LLAMA_SERVER MODEL.gguf [--calibration] [--show] [--foreign FILE]

    --calibration   ask only calibration.txt, which sets the gate (what one may look at while working on the material)
    --show          every question that was not answered as it should, but those of test.txt
    --foreign       further questions that must be refused, one a line

An answer is right when it is word for word the fact's own. Confidence is the least probability of all its tokens. The gate
is the lowest threshold at which of the calibration questions at most 2 % are confidently wrong; an answer below it counts as
unsure. "Confidently wrong" is another answer than the right one, and no refusal. Behind each share stands its 95 % interval
(Wilson). Standard library only.
"""
import argparse
import http.client
import json
import math
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

import data

THRESHOLDS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99]
TOOL_QUESTIONS = [                  # a sample only: whoever wrote it knew the patterns of data.py
    ("are the providers alright?", "provider_health"), ("which of my servers are online", "provider_health"),
    ("Is the ollama provider reachable right now?", "provider_health"), ("tell me the health of the backends", "provider_health"),
    ("what models can I choose from", "list_models"), ("please list all models", "list_models"), ("Show the models", "list_models"),
    ("which models does the router offer", "list_models"), ("usage by model please", "usage_report"),
    ("show me the cost by key", "usage_report"), ("how much did we spend per day", "usage_report"), ("a usage report by provider", "usage_report"),
    ("hello", None), ("where is the audit log?", None), ("How do I connect Ollama?", None), ("what is private mode", None),
    ("what is the capital of Sweden", None), ("write a poem", None), ("thank you", None), ("how do I revoke a key", None)]


class Engine:
    """A llama-server of our own on a socket that nobody else reaches."""

    def __init__(self, command, model):
        self.dir = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.dir.name, "engine.sock")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("LLAMA_", "GGML_", "LD_"))}
        self.process = subprocess.Popen(
            [command, "-m", model, "--host", self.path, "--no-ui", "--offline", "-np", "1", "-c", "2048", "-t", "1",
             "--embeddings", "--pooling", "mean", "--cache-ram", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean)
        for _ in range(600):
            try:
                if self.ask("GET", "/health")[0] == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.close()
        sys.exit("the engine does not start")

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        raw = reply.read()
        connection.close()
        return reply.status, json.loads(raw) if raw[:1] in b"{[" else raw

    def chat(self, question, **more):
        body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 160, "logprobs": True, **more}
        status, reply = self.ask("POST", "/v1/chat/completions", body)
        assert status == 200, reply
        choice = reply["choices"][0]
        tokens = (choice.get("logprobs") or {}).get("content") or []
        return choice["message"], math.exp(min([t["logprob"] for t in tokens] or [-99])), reply["timings"]

    def memory(self):
        """Resident MB: the peak, as the kernel counts it."""
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as f:
            return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) / 1024

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.dir.cleanup()


def interval(hits, total):
    """"81.2 % (130 of 160; 74.5 to 86.5)": Wilson's interval."""
    z, share = 1.96, hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return "%5.1f %%  (%d of %d; %.1f to %.1f)" % (100 * share, hits, total, 100 * max(0, middle - half), 100 * min(1, middle + half))


class Asked:
    def __init__(self, engine, material, name, question):
        message, self.sure, timings = engine.chat(question)
        text = message.get("content") or ""
        self.name, self.question, self.text = name, question, text
        self.right, self.refused = text == material.said[name], text == material.refusal
        self.wrong = not self.right and not self.refused
        self.tokens, self.ms = timings["predicted_n"], timings["predicted_ms"]


def gate_of(asked):
    for threshold in THRESHOLDS:
        if sum(a.wrong and a.sure >= threshold for a in asked) <= 0.02 * len(asked):
            return threshold
    return THRESHOLDS[-1]


def report(title, asked, gate, facts):
    print("%s, %d questions" % (title, len(asked)))
    if facts:
        print("  right, no gate        ", interval(sum(a.right for a in asked), len(asked)))
        print("  right, gate on        ", interval(sum(a.right and a.sure >= gate for a in asked), len(asked)))
    else:
        print("  refused, no gate      ", interval(sum(a.right for a in asked), len(asked)))
        print("  refused or unsure     ", interval(sum(a.right or a.sure < gate for a in asked), len(asked)))
    print("  wrong, no gate        ", interval(sum(a.wrong for a in asked), len(asked)))
    print("  confidently wrong     ", interval(sum(a.wrong and a.sure >= gate for a in asked), len(asked)))


def curve(asked, known, threshold):
    def share(hits, of):
        return 100 * sum(hits) / sum(of)
    return (share((a.right and a.sure >= threshold for a in asked if a.name in known), (a.name in known for a in asked)),
            share((a.right or a.sure < threshold for a in asked if a.name == "foreign"), (a.name == "foreign" for a in asked)),
            share((a.wrong and a.sure >= threshold for a in asked), (True for _ in asked)))


def tools(engine):
    """How many of TOOL_QUESTIONS lead to the right call, or to none."""
    offered = [{"type": "function", "function": {"name": n, "description": n, "parameters": {"type": "object", "properties": {}}}}
               for n in ("provider_health", "get_weather", "list_models", "usage_report")]
    hits = 0
    for question, wanted in TOOL_QUESTIONS:
        calls = engine.chat(question, tools=offered, logprobs=False)[0].get("tool_calls") or []
        hits += [c["function"]["name"] for c in calls] == ([wanted] if wanted else [])
    return interval(hits, len(TOOL_QUESTIONS))


def features(engine):
    """What the engine can do with any good model, it does with this one; yes or no each."""
    schema = {"type": "object", "properties": {"answer": {"type": "string", "maxLength": 40}}, "required": ["answer"]}
    message, _, _ = engine.chat("What is llm-router?", response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
    yield "JSON schema", isinstance(json.loads(message["content"]).get("answer"), str)
    status, raw = engine.ask("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}], "stream": True})
    yield "streaming", status == 200 and raw.rstrip().endswith(b"data: [DONE]")
    status, reply = engine.ask("POST", "/v1/embeddings", {"input": "hello", "model": "demo"})
    yield "embeddings", status == 200 and len(reply["data"][0]["embedding"]) > 0
    status, reply = engine.ask("GET", "/props")
    yield "template with tools", reply["chat_template_caps"]["supports_tools"]


def report_all(title, asked, gate, known):
    report(title + ": facts", [a for a in asked if a.name in known], gate, True)
    report(title + ": greetings and the like", [a for a in asked if a.name not in known and a.name != "foreign"], gate, True)
    report(title + ": foreign", [a for a in asked if a.name == "foreign"], gate, False)
    report(title + ": all", asked, gate, True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("model")
    parser.add_argument("--calibration", action="store_true")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--foreign")
    args = parser.parse_args()
    material, engine = data.Data(), Engine(args.server, args.model)
    known = {f.name for f in material.facts}

    def ask(file):
        return [Asked(engine, material, name, question) for name, question in data.apart(file)]

    try:
        calibration = ask("calibration.txt")
        gate = gate_of(calibration)
        print("gate: an answer whose least sure token has less than %.2f is unsure" % gate)
        report_all("calibration", calibration, gate, known)
        done, shown = list(calibration), list(calibration)
        if not args.calibration:
            test, earlier = ask("test.txt"), ask("heldout.txt")
            report_all("test", test, gate, known)
            print("test at other thresholds (none of them chosen): facts right / foreign refused or unsure / of all confidently wrong")
            for threshold in (0.5, 0.8, 0.9, 0.95, 0.98, 0.99):
                print("  %.2f  %5.1f %%  %5.1f %%  %5.1f %%" % ((threshold,) + curve(test, known, threshold)))
            report_all("earlier questions", earlier, gate, known)
            print("tools: right call or none", tools(engine))
            print("features:", ", ".join("%s %s" % (n, "yes" if ok else "NO") for n, ok in features(engine)))
            done, shown = done + test + earlier, shown + earlier
        if args.foreign:
            with open(args.foreign, encoding="utf-8") as f:
                others = [Asked(engine, material, "foreign", line.strip()) for line in f if line.strip()]
            report(os.path.basename(args.foreign), others, gate, False)
        print("speed %.0f tokens/s on one thread, memory %.0f MB, file %.2f MB" % (
            1000 * sum(a.tokens for a in done) / sum(a.ms for a in done), engine.memory(), os.path.getsize(args.model) / 1e6))
    finally:
        engine.close()
    for a in shown if args.show else []:
        if not a.right:
            print("%s%.2f  [%s] %s\n          %s" % ("sure " if a.sure >= gate else "     ", a.sure, a.name, a.question, a.text[:100]))


if __name__ == "__main__":
    main()
