#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""evaluate - does the detector with the committed data still reach its floors on the development set?

The weights were trained with this set, so these are no figures of quality: docs/privacy.md has those, by
cross-validation. This test tells that rules, tables and weights still fit together.

usage: test/privacy/evaluate.py MEASURE DATA [--report]
"""
import argparse
import collections
import json
import os
import random
import re
import subprocess
import sys

import ways

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "data", "privacy")
FLOORS = {"recall": 0.97, "recall with roster": 0.985, "false alarms": 0.08, "false alarms with roster": 0.08,
          "unchanged": 0.97}
LOOKALIKE = str.maketrans("aeopcxiAEOPCXHKMTB", "аеорсхіАЕОРСХНКМТВ")


def jsonl(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def verdicts(measure, data, rows, roster=None, house=False, requests=False):
    command = [measure, "--data", data] + (["--roster", roster] if roster else []) + \
        ([] if house else ["--house-off"]) + (["--request"] if requests else [])
    lines = "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in rows)
    out = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    said = [json.loads(line) for line in out.stdout.decode().split("\n") if line]
    return {v["id"]: v for v in said}


def title(text):
    return re.sub(r"[^\W\d_]+(?:'[^\W\d_]+)?", lambda m: m.group()[0].upper() + m.group()[1:].lower(), text)


def typing(text):
    """Two neighbours inside one longer word of lower case change places."""
    found = [m for m in re.finditer(r"[a-z]{6,}", text)]
    if not found:
        return text
    at = random.Random(text).choice(found).start() + 2
    return text[:at] + text[at + 1] + text[at] + text[at + 2:]


def wrapped(text):
    out, column = [], 0
    for c in text:
        out.append("\n" if c == " " and column > 24 else c)
        column = 0 if out[-1] == "\n" else column + 1
    return "".join(out)


def between_letters(text, sign):
    return re.sub(r"([^\W\d_]{2})(?=[^\W\d_]{2})", lambda m: m.group() + sign, text, count=4)


def look_alike(text):
    words = re.split(r"(\s+)", text)
    return "".join(w[0] + w[1:2].translate(LOOKALIKE) + w[2:] if len(w) > 3 and w.isascii() else w for w in words)


CHANGES = {
    "lower case": str.lower,
    "upper case": str.upper,
    "title case": title,
    "typing": typing,
    "wrapped": wrapped,
    "wide blanks": lambda t: t.replace(" ", "  "),
    "no-break blanks": lambda t: t.replace(" ", "\u00a0"),
    "in JSON": lambda t: '{"note":' + json.dumps(t, ensure_ascii=False) + ',"v":2}',
    "JSON escapes": lambda t: '{"prompt": ' + json.dumps(t) + ', "stream": false}',
    "invisible": lambda t: between_letters(t, "\u200b"),
    "soft hyphens": lambda t: between_letters(t, "\u00ad"),
    "look-alikes": look_alike,
    "full width": lambda t: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t),
}


def shares(rows, said):
    scored = [r for r in rows if not r["source"].startswith("hand:gray")]
    private = [r for r in scored if r["contains_phi"]]
    clean = [r for r in scored if not r["contains_phi"]]
    hit = sum(said[r["id"]]["contains_phi"] for r in private)
    alarm = sum(said[r["id"]]["contains_phi"] for r in clean)
    return hit / len(private), alarm / len(clean)


def unchanged(args, rows, base):
    """Of each change: the share of prompts with the same verdict."""
    out = {}
    rows = [r for r in rows if r["source"].startswith("hand:") and not r["source"].startswith("hand:gray")]
    for name, change in CHANGES.items():
        said = verdicts(args.measure, args.data, [(r["id"], change(r["text"])) for r in rows])
        same = [r for r in rows if said[r["id"]]["contains_phi"] == base[r["id"]]["contains_phi"]]
        out[name] = len(same) / len(rows)
        if args.report:
            print(f"# unchanged, {name}: {out[name]:.3f}")
            for r in rows:
                if r not in same and args.verbose:
                    print("#    ", r["id"], base[r["id"]]["contains_phi"], repr(change(r["text"])[:100]))
    return out


def probes(args):
    """The rows that are one text; hints of the caller are judged elsewhere."""
    with open(os.path.join(FOLDER, "privacy-probes.json"), encoding="utf-8") as f:
        rows = [p for p in json.load(f)["probes"] if isinstance(p.get("text"), str) and p["category"] != "hint"]
    said = verdicts(args.measure, args.data, [(p["id"], p["text"]) for p in rows], house=True)
    wrong = collections.defaultdict(list)
    for p in rows:
        if said[p["id"]]["contains_phi"] != (p["want"] == "local_only"):
            wrong[p["level"]].append(p["id"])
    return wrong


HIDDEN_MAX = 0.0005     # of what is sent; the model's weights look at the words around, and one prompt is at the edge


def hidden(args):
    """(sample, way) as far as the sample is found when it is a prompt, and not in this way; and how many there were."""
    samples = [s for group in ways.read_samples() for s in group]
    rows = [("%s|%s" % (s.name, name), json.dumps(way(s.text)[1])) for s in samples if s.packable for name, way in ways.WAYS.items()]
    said = verdicts(args.measure, args.data, rows, os.path.join(FOLDER, "roster-dev.txt"), True, True)
    found = {name for name, v in said.items() if v["contains_phi"]}
    lost = [(s.name, name) for s in samples if "%s|native" % s.name in found
            for name in ways.WAYS if "%s|%s" % (s.name, name) not in found]
    return lost, len(rows)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("measure")
    ap.add_argument("data")
    ap.add_argument("--report", action="store_true")
    ap.add_argument("--verbose", action="store_true")
    args = ap.parse_args()
    rows = jsonl("phi-dev.jsonl")
    texts = [(r["id"], r["text"]) for r in rows]
    base = verdicts(args.measure, args.data, texts)
    got = {}
    got["recall"], got["false alarms"] = shares(rows, base)
    known = verdicts(args.measure, args.data, texts, os.path.join(FOLDER, "roster-dev.txt"))
    got["recall with roster"], got["false alarms with roster"] = shares(rows, known)
    if args.verbose:
        for r in rows:
            if r["contains_phi"] != base[r["id"]]["contains_phi"] and not r["source"].startswith("hand:gray"):
                print("#", r["id"], r["source"], r["contains_phi"], known[r["id"]]["contains_phi"], repr(r["text"][:100]),
                      [(e["type"], e["rule"]) for e in base[r["id"]]["entities"]][:4])
    same = unchanged(args, rows, base)
    got["unchanged"] = sum(same.values()) / len(same)
    failed = 0
    for name, floor in FLOORS.items():
        good = got[name] <= floor if name.startswith("false") else got[name] >= floor
        failed += not good
        print(f"{'ok' if good else 'not ok'} {name}: {got[name]:.4f}, and {floor} is wanted")
    wrong = probes(args)
    failed += bool(wrong["must"])
    print(f"{'not ok' if wrong['must'] else 'ok'} probes that must be right: wrong are {wrong['must']}; "
          f"of those that should, {wrong['should']}")
    lost, n = hidden(args)
    good = len(lost) <= HIDDEN_MAX * n
    failed += not good
    print(f"{'ok' if good else 'not ok'} what is found is found in every way to send it, but for {len(lost)} of {n}: "
          f"{lost[:20]}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
