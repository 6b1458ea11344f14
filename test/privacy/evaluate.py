#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""evaluate - does the detector with the committed data still reach its floors on the development set?

The weights were trained with this set, so these are no figures of quality. This test tells that rules, tables and
weights still fit together. With --folds each prompt, and all that is made of it here, is judged by weights that have
seen neither it nor anything made of it: tools/data/train_names --folds-to DIR writes them, tools/data/pack makes a data
file K.data of each. Those are the figures of docs/privacy.md; then nothing fails.

usage: test/privacy/evaluate.py MEASURE DATA [--report] [--verbose] [--folds DIR]
"""
import argparse
import collections
import json
import os
import random
import re
import subprocess
import sys
import unicodedata

import ways

HERE = os.path.dirname(os.path.abspath(__file__))
SETS = ("phi-dev.jsonl", "phi-own.jsonl")
FOLDER = os.path.join(HERE, "..", "data", "privacy")
FLOORS = {"recall": 0.97, "recall with roster": 0.985, "false alarms": 0.08, "false alarms with roster": 0.08,
          "unchanged": 0.97}
LOOKALIKE = str.maketrans("aeopcxiAEOPCXHKMTB", "аеорсхіАЕОРСХНКМТВ")


def jsonl(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


class Detector:
    """What the detector says of texts; of prompts of the set, by the weights that may judge them."""

    def __init__(self, args):
        self.measure, self.data, self.folds, self.parts = args.measure, args.data, None, {}
        if args.folds:
            with open(os.path.join(args.folds, "folds.json"), encoding="utf-8") as f:
                told = json.load(f)
            self.folds, self.parts, self.folder = told["fold"], told["parts"], args.folds

    def say(self, rows, roster=None, house=False):
        if self.folds is None:
            return verdicts(self.measure, self.data, rows, roster, house)
        out = {}
        for k in range(1 + max(self.folds.values())):
            mine = [r for r in rows if self.folds[r[0]] == k or any(p[2] == k for p in self.parts.get(r[0], []))]
            for i, v in verdicts(self.measure, f"{self.folder}/{k}.data", mine, roster, house).items():
                if i in self.parts:
                    v = self.of_parts(i, v, k)
                    v["contains_phi"] |= i in out and out[i]["contains_phi"]
                    v["entities"] += out[i]["entities"] if i in out else []
                out[i] = v
        return out

    def of_parts(self, i, v, k):
        """A composed prompt: the names that these weights may find."""
        v["entities"] = [e for e in v["entities"] if e["rule"] != "name.model" or any(
            a <= e["start"] < b and fold == k for a, b, fold in self.parts[i])]
        v["contains_phi"] = any(e["weight"] >= 1000 for e in v["entities"])
        return v


def verdicts(measure, data, rows, roster=None, house=False, requests=False):
    command = [measure, "--data", data] + (["--roster", roster] if roster else []) + \
        ([] if house else ["--house-off"]) + (["--request"] if requests else [])
    lines = "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in rows)
    out = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    said = [json.loads(line) for line in out.stdout.decode().split("\n") if line]
    return {v["id"]: v for v in said}


def title(text):
    return re.sub(r"[^\W\d_]+(?:'[^\W\d_]+)?", lambda m: m.group()[0].upper() + m.group()[1:].lower(), text)


def typing(least, how):
    """One slip inside a longer word of letters of one case; another one for each draw."""
    def change(text, draw):
        found = list(re.finditer("[a-z]{%d,}" % least, text))
        rng = random.Random(text + draw * "+")
        if not found:
            return text
        word = rng.choice(found)
        at = rng.randrange(word.start() + 1, word.end() - 2)
        return text[:at] + how(text[at], text[at + 1], rng) + text[at + 2:]
    return change


def beside(c, rng):
    rows = "qwertyuiop", "asdfghjkl", "zxcvbnm"
    row = next(r for r in rows if c in r)
    return rng.choice(row[max(0, row.index(c) - 1):row.index(c)] + row[row.index(c) + 1:row.index(c) + 2])


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


DRAWS = 10      # in a report: which slip one makes is chance
SLIPS = {
    "letters changed over": typing(6, lambda a, b, rng: b + a),
    "the same, also in short words": typing(4, lambda a, b, rng: b + a),
    "a letter left out": typing(5, lambda a, b, rng: a),
    "a letter twice": typing(5, lambda a, b, rng: a + a + b),
    "the key beside it": typing(6, lambda a, b, rng: beside(a, rng) + b),
}
CHANGES = {
    "lower case": str.lower,
    "upper case": str.upper,
    "title case": title,
    "no blank after a colon": lambda t: re.sub(r"([:,]) ", r"\1", t),
    "O and l for digits": lambda t: re.sub(r"(?<=\d)[01](?=\d)", lambda m: "Ol"[int(m.group())], t),
    "no marks": lambda t: "".join(c for c in unicodedata.normalize("NFKD", t) if not unicodedata.combining(c)),
    "no stop at the end": lambda t: t.rstrip(".?!"),
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


def unchanged(detector, args, rows, base):
    """Of each change: the share of prompts with the same verdict."""
    out = {}
    rows = [r for r in rows if r["source"].startswith("hand:") and not r["source"].startswith("hand:gray")]
    for name, change, draw in [(name, change, None) for name, change in CHANGES.items()] + \
            [(name, change, k) for name, change in SLIPS.items() for k in range(DRAWS if args.report else 1)]:
        texts = {r["id"]: change(r["text"]) if draw is None else change(r["text"], draw) for r in rows}
        said = detector.say(texts.items())
        same = [r for r in rows if said[r["id"]]["contains_phi"] == base[r["id"]]["contains_phi"]]
        out.setdefault(name, []).append(len(same) / len(rows))
        for r in rows:
            if args.report and args.verbose and r not in same:
                print("#    ", name, r["id"], base[r["id"]]["contains_phi"], repr(texts[r["id"]][:100]))
    out = {name: sum(shares) / len(shares) for name, shares in out.items()}
    for name, share in out.items():
        if args.report:
            print(f"# unchanged, {name}: {share:.3f}")
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
    ap.add_argument("--folds")
    args = ap.parse_args()
    detector = Detector(args)
    failed = 0
    for name in SETS:
        failed += one_set(detector, args, name)
    wrong = probes(args)
    failed += bool(wrong["must"])
    print(f"{'not ok' if wrong['must'] else 'ok'} probes that must be right: wrong are {wrong['must']}; "
          f"of those that should, {wrong['should']}")
    lost, n = hidden(args)
    good = len(lost) <= HIDDEN_MAX * n
    failed += not good
    print(f"{'ok' if good else 'not ok'} what is found is found in every way to send it, but for {len(lost)} of {n}: "
          f"{lost[:20]}")
    sys.exit(failed > 0 and not args.folds)


def one_set(detector, args, name):
    rows = jsonl(name)
    print("#", name)
    texts = [(r["id"], r["text"]) for r in rows]
    base = detector.say(texts)
    got = {}
    got["recall"], got["false alarms"] = shares(rows, base)
    known = detector.say(texts, os.path.join(FOLDER, "roster-dev.txt"))
    got["recall with roster"], got["false alarms with roster"] = shares(rows, known)
    if args.verbose:
        for r in rows:
            if r["contains_phi"] != base[r["id"]]["contains_phi"] and not r["source"].startswith("hand:gray"):
                print("#", r["id"], r["source"], r["contains_phi"], known[r["id"]]["contains_phi"], repr(r["text"][:100]),
                      [(e["type"], e["rule"]) for e in base[r["id"]]["entities"]][:4])
    same = unchanged(detector, args, rows, base)
    got["unchanged"] = sum(same.values()) / len(same)
    failed = 0
    for name, floor in FLOORS.items():
        good = got[name] <= floor if name.startswith("false") else got[name] >= floor
        failed += not good
        print(f"{'ok' if good else 'not ok'} {name}: {got[name]:.4f}, and {floor} is wanted")
    return failed


if __name__ == "__main__":
    main()
