#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""loop_child.py generator|evaluator [--kill ROUND:WHEN] [--die ROUND] - a toy optimiser for `advise loop`.

What it answers is a function of what it is asked, so two runs that go the same way are the same to the last digit. greedy
never leads to a valid candidate, pulp to none at all.

    --kill ROUND:WHEN   kills its parent, the router's command, with -9: when it is asked (asked) or as soon as it has
                        answered (answered)
    --die ROUND         ends without an answer
"""
import argparse
import json
import os
import random
import signal
import sys

BASE = {"greedy": 0.1, "cp_sat": 0.8, "pulp": 0, "hybrid": 0.7}


def generate(m):
    params = m["params"]
    chance = random.Random(m["seed"] * 7919 + m["round"]).random()
    value = BASE[params["algorithm"]] + 0.15 * chance * (0.3 + params.get("diversification_factor", 0))
    candidate = {"value": value, "by": params["algorithm"]}
    return {"candidate": None if params["algorithm"] == "pulp" else candidate, "seconds": 1.5}


def evaluate(m):
    bad = m["candidate"]["by"] == "greedy"
    violations = [{"type": "80_HOUR_VIOLATION", "severity": "critical", "message": "Ada Example: 86.0 hours/week"}] * bad
    return {"seconds": 0, "evaluation": {
        "valid": not bad, "score": 0 if bad else m["candidate"]["value"], "soft_score": 0.3,
        "critical_violations": len(violations), "total_violations": len(violations), "violations": violations}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role")
    parser.add_argument("--kill", default="0:never")
    parser.add_argument("--die", type=int, default=0)
    args = parser.parse_args()
    at, when = args.kill.split(":")
    for line in sys.stdin:
        m = json.loads(line)
        if m["op"] == "problem":
            print(json.dumps({"ready": True}), flush=True)
            continue
        if m["round"] == args.die:
            sys.exit(3)
        due = m["round"] == int(at)
        if due and when == "asked":
            os.kill(os.getppid(), signal.SIGKILL)
        print(json.dumps(generate(m) if m["op"] == "generate" else evaluate(m)), flush=True)
        if due and when == "answered":
            os.kill(os.getppid(), signal.SIGKILL)


main()
