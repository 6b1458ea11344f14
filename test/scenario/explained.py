#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""explained.py FILE.jsonl ... - the cases of test/routing as scenarios in which explain is asked first and the very
same request is sent then: who is asked, and in which order, must be what was told.

The corpus names findings and classes; here texts that have them are judged and classified by the detector and the
classifier themselves, so a plan may be another one than in the corpus. That does not matter: two answers of the
program are compared, and both come from the same text. Left out are scenes made of environment variables, and what
the native door cannot say (vectors, pictures, raw prompts).
"""
import json
import sys

# One of each class; the last two are hard enough for the cloud.
PROMPTS = {
    "simple_query": "What is the capital of France?",
    "explanation": "Explain in two sentences why residents rest after a night.",
    "documentation": "Write a short section of the handbook about swapping shifts.",
    "code_generation": "Write a Python function that removes doubles from a list and keeps the order.",
    "tool_calling": "Use the calendar tool to find a free hour tomorrow.",
    "multi_step": "Weigh three call models on cost, safety and learning, pick one and phase it in.",
}
FOUND = " MRN 00481516."
TOOL = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


def provider(row, number):
    out = {k: v for k, v in row.items() if k != "key_env"}
    if out["url"].startswith("https:"):
        out.update(url="http://203.0.113.%d:80" % (number + 1), zone="cloud")
    if "key_env" in row:
        out["key_env"] = "KEY"
    out["retries"] = 0
    return out


def configuration(scene, case):
    out = dict(scene["config"], attempts_max=8, privacy={"data": "@DATA@"})  # JSON ends where scenario would add it
    out["providers"] = {name: provider(row, i) for i, (name, row) in enumerate(out["providers"].items())}
    for word in case.get("set", []):
        name, value = word.split("=", 1)
        out[name] = value
    return out


def body(case):
    ask = case["ask"]
    if ask.get("op") or set(ask.get("needs", [])) - {"tools"}:
        return None
    prompt = PROMPTS[case.get("class", {}).get("task", "explanation")] + " word" * (ask.get("letters", 0) // 5)
    meta = {k: ask[k] for k in ("mode", "task") if k in ask}
    if ask.get("private"):
        meta["sensitivity"] = "private"
    out = {"messages": [{"role": "user", "content": prompt + (FOUND if case.get("found") else "")}]}
    out.update({k: ask[k] for k in ("model", "provider") if k in ask})
    if meta:
        out["metadata"] = meta
    if "tools" in ask.get("needs", []):
        out["tools"] = TOOL
    return out


def rules(key):
    return " ".join("%s=%s" % (k, "yes" if v is True else v) for k, v in key.items())


def scenario(scene, case, number):
    sent = body(case)
    if sent is None:
        return
    print('scenario "%s: %s (%d)"\nconfig' % (scene["scene"].split(":")[0], case["why"].replace('"', "'"), number))
    whole = configuration(scene, case)
    confined = whole.get("airgap") in (True, "true") or whole.get("mode") == "local"
    print(json.dumps(whole))
    print("end")
    header = ""
    if "key" in case:
        print("key holder", rules(case["key"]))
        header = " Authorization: Bearer holder"
    for name, models in scene.get("lists", {}).items():
        if confined and whole["providers"][name].get("zone") == "cloud":
            continue  # it does not exist
        ollama = scene["config"]["providers"][name].get("kind") == "ollama"
        rows = [m if isinstance(m, dict) else {"name" if ollama else "id": m} for m in models]
        print("provider %s models %s" % (name, json.dumps({"models" if ollama else "data": rows})))
    for name, models in scene.get("loaded", {}).items():
        print("provider %s memory %s" % (name, json.dumps({"models": [{"name": m} for m in models]})))
    text = json.dumps(sent, separators=(",", ":"))
    print("client told POST /router/explain %s%s" % (text, header))
    print("client told expect status 200")
    print("client sends POST /router/generate %s%s" % (text, header))
    print("client sends follows told\n")


def main(paths):
    number = 0
    for path in paths:
        scene = None
        for line in open(path, encoding="utf-8"):
            row = json.loads(line)
            if "scene" in row:
                scene = row
            elif scene.get("config"):
                number += 1
                scenario(scene, row, number)


main(sys.argv[1:])
