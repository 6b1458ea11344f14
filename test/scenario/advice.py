#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""advice.py REPLIES - writes two scenarios for each reply of test/data/advice/replies.json.

A model answers POST /advisor/suggest with it, whole and streamed in pieces; the caller must be told the verdict and the
reason that the list wants, and the parameters that changed.
"""
import json
import sys

ASK = {"state": {"scenario": "baseline", "current_iteration": 14,
                 "current_params": {"algorithm": "greedy", "timeout_seconds": 60}},
       "last_evaluation": {"valid": False, "score": 0.0, "critical_violations": 2,
                           "violations": [{"type": "80_HOUR_VIOLATION", "severity": "critical",
                                           "message": "PGY2-03: 86.0 hours/week (limit: 80)"}]}}
PIECE = 20000


def dump(value):
    return json.dumps(value, separators=(",", ":"))


def line(value):
    """JSON in one line of a script, where a backslash is written twice."""
    return dump(value).replace("\\", "\\\\")


def pieces(text, size):
    return [text[i:i + size] for i in range(0, len(text), size)]


def whole(reply):
    body = line({"id": "u", "choices": [{"index": 0, "finish_reason": "stop",
                                         "message": {"role": "assistant", "content": reply}}]})
    return (["provider one head 200 json"] + ["provider one bytes " + part for part in pieces(body, PIECE)] +
            ["provider one last"])


def streamed(reply):
    size = 7 if len(reply) < 1000 else PIECE
    lines = ["provider one head 200 sse"]
    for part in pieces(reply, size) + [None]:
        delta = {"content": part} if part is not None else {}
        lines.append("provider one event " + line({"id": "u", "choices": [
            {"index": 0, "delta": delta, "finish_reason": "stop" if part is None else None}]}))
    return lines + ["provider one event [DONE]", "provider one last"]


def scenario(case, way, answer):
    rule = case.get("reply_rule")
    reply = case["reply"] if rule is None else rule["prefix"] + rule["repeat"][0] * rule["repeat"][1] + rule["suffix"]
    want = case["want"]
    lines = ['scenario "%s %s: %s"' % (case["id"], way, case["note"].replace('"', "'")), "config", "providers:",
             '  one: { kind: openai, url: "http://127.0.0.1:9001", retries: 0, stream_always: %s }'
             % ("true" if way == "streamed" else "false"),
             "routes: { multi_step: [ one/m1 ] }", "end",
             "client c POST /advisor/suggest " + dump(ASK), "provider one expect POST /v1/chat/completions"]
    lines += answer(reply) + ["client c expect status 200"]
    lines.append('client c expect has {"accepted":%s,"reason":"%s"' % (dump(want["accepted"]), want["reason"]))
    if want["accepted"]:
        merged = {**ASK["state"]["current_params"], **want["delta"]}
        lines += ['client c expect has "params":' + dump(want["delta"]),
                  'client c expect has "merged_params":' + dump(merged)]
    else:
        lines += ['client c expect has "suggestion":null', "client c expect lacks merged_params"]
    return lines + ["client c expect complete", "ledger rows 1", ""]


def main(path):
    with open(path, encoding="utf-8") as f:
        cases = json.load(f)["cases"]
    for case in cases:
        for way, answer in (("whole", whole), ("streamed", streamed)):
            print("\n".join(scenario(case, way, answer)))


main(sys.argv[1])
