# SPDX-License-Identifier: Apache-2.0
"""A model that picks tools by chance, held to the tools' grammar by the real llama-server. What it picks makes no sense, and
that is the point: whatever a model writes within the grammar of what it was offered, each call is one that its tool's schema
takes, or was mended or refused with a sentence, and each conversation ends well."""
import json
import os

import pytest
from jsonschema import Draft202012Validator

from harness import TOP, Router, model_file, understand
from test_mcp_loop import KEY, Scheduler, config, wait_tools

QUESTIONS = 20
TOOLS = [{"type": "mcp", "server_label": "scheduler", "require_approval": "never"}]
PARTS = ("dev", "other", "look", "final")


def questions():
    """Some of all kinds, evenly drawn, with a tool to be picked."""
    with open(os.path.join(TOP, "test/data/tools/questions.jsonl"), encoding="utf-8") as f:
        rows = [row for row in map(json.loads, f) if row["tools"] and row["part"] in PARTS]
    return [row["text"] for row in rows[::len(rows) // QUESTIONS]][:QUESTIONS]


@pytest.fixture(scope="module")
def schemas():
    with open(os.path.join(TOP, "test/data/tools/scheduler.json"), encoding="utf-8") as f:
        return {t["name"]: Draft202012Validator(t["inputSchema"]) for t in json.load(f)["tools"]}


@pytest.fixture(scope="module")
def place(engine):
    scheduler = Scheduler(slow=0)
    wanted = config(scheduler, engine)
    wanted["providers"]["engine"]["spawn"].update(model=model_file("picker"))
    wanted["mcp_servers"]["scheduler"]["rules"] = ["*=read,staff,auto"]     # whatever it picks may run
    router = Router(wanted, env={"SCHEDULER_KEY": KEY})
    try:
        yield wait_tools(router.wait_up()), scheduler
        router.stop()
    finally:
        router.kill()
        scheduler.stop()


def test_what_a_model_picks_is_sound(place, schemas, capsys):
    router, scheduler = place
    picked, calls, rounds, unread = set(), 0, 0, 0
    for i, question in enumerate(questions()):
        before = len(scheduler.calls())
        stream = i % 2 == 1
        reply = router.chat("openai", "engine/tiny", stream, prompt=question, tools=TOOLS,
                            max_tokens=300, seed=i, temperature=0.7)
        answer = understand("openai", stream and reply.status == 200, reply)
        if reply.status == 502 or answer.error is not None:      # the engine could not read what its own model wrote
            unread += 1
        else:
            assert reply.complete and reply.status == 200 and answer.junk is None and answer.ended, (question, reply)
            assert answer.finish in ("stop", "length"), (question, answer)
        rounds += int(reply.header("X-LLM-Rounds") or 1)
        for call in scheduler.calls()[before:]:
            wrong = [e.message for e in schemas[call["tool"]].iter_errors(call["arguments"])]
            assert not wrong, (question, call, wrong)
            picked.add(call["tool"])
            calls += 1
    with capsys.disabled():
        print("\nmodel that picks: %d questions, %d rounds, %d calls of %d tools, %d answers that its engine could not read"
              % (QUESTIONS, rounds, calls, len(picked), unread))
    assert calls >= 3 and len(picked) >= 2      # it did pick
    assert unread <= QUESTIONS / 2
