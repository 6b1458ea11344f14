# SPDX-License-Identifier: Apache-2.0
"""Tools by the router's own loop: a real llama-server whose model calls a tool and then answers, the scheduler's MCP
server (a stand-in made with its own library), the program, every door. Airgap is on: nothing but loopback is there."""
import json
import os
import subprocess
import sys

import pytest

from harness import DEADLINE, DOORS, TOP, Router, ask, engine_binary, model_file, understand, wait_for

QUESTION = "Are there ACGME violations next week?"
ANSWER = "Yes: PGY2-01 works 84 hours in that week."
KEY = "only-for-this-test"


class Scheduler:
    def __init__(self, tools=112, port=0, slow=1):
        env = {**os.environ, "MCP_API_KEY": KEY, "SLOW": str(slow), "PORT": str(port)}
        self.process = subprocess.Popen([sys.executable, "-W", "ignore", os.path.join(TOP, "test/mcp/scheduler_server.py"),
                                         str(tools)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=env)
        self.port = int(self.process.stdout.readline())

    def calls(self):
        return ask(self.port, "GET", "/test/calls").json

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def scheduler():
    one = Scheduler()
    yield one
    one.stop()


def config(scheduler, engine, **more):
    return {"airgap": True,
            "providers": {"engine": {"kind": "llama-server", "spawn": {
                "command": engine, "model": model_file("agent"), "alias": "tiny", "context": 32768, "slots": 2}}},
            "mcp_servers": {"scheduler": {"url": "http://127.0.0.1:%d/mcp" % scheduler.port, "key_env": "SCHEDULER_KEY",
                                          "overlay": os.path.join(TOP, "data/scheduler-overlay.json")}},
            **more}


def wait_tools(router):
    """Until the tools of the server are there."""
    def there():
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        reply = router.ask("POST", "/mcp", body, {"Content-Type": "application/json", "MCP-Protocol-Version": "2025-11-25",
                                                  "Accept": "application/json, text/event-stream"})
        return reply.status == 200 and "scheduler__validate_schedule_tool" in reply.text
    wait_for(there, "the server's tools are there")
    return router


@pytest.fixture(scope="module")
def router(scheduler, engine):
    one = Router(config(scheduler, engine), env={"SCHEDULER_KEY": KEY})
    wait_tools(one.wait_up())
    yield one
    one.stop()


def test_ask_agent(router, scheduler):
    """The whole of it, as a coordinator types it."""
    before = len(scheduler.calls())
    done = router.command("ask", "--agent", "--url", router.url, QUESTION)
    assert (done.returncode, done.stdout.strip()) == (0, ANSWER), (done.stderr, router.log_text()[-3000:])
    calls = scheduler.calls()[before:]
    assert calls == [{"tool": "validate_schedule_tool",
                      "arguments": {"start_date": "2026-11-30", "end_date": "2026-12-06"}}]
    shown = router.command("audit", "show", "--json")
    records = [json.loads(line) for line in shown.stdout.splitlines()]
    assert any(r.get("tool") == "validate_schedule_tool" for r in records), shown.stdout
    assert "2026-11-30" not in shown.stdout and "PGY2" not in shown.stdout and QUESTION not in shown.stdout
    assert router.command("audit", "verify").returncode == 0
    assert "PGY2" not in router.log_text() and "2026-11-30" not in router.log_text() and KEY not in router.log_text()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("door", [d for d in DOORS if d != "generate"])
def test_every_door(router, scheduler, door, stream):
    before = len(scheduler.calls())
    reply = router.chat(door, "agent", stream, prompt=QUESTION)
    assert reply.status == 200 and reply.complete, reply
    answer = understand(door, stream, reply)
    assert answer.junk is None and answer.error is None and answer.ended, (answer, reply)
    assert answer.text == ANSWER
    assert answer.finish in ("stop", "end_turn")
    assert "validate_schedule" not in reply.text      # our calls are ours
    assert reply.header("X-LLM-Private") == "yes"      # what the tool told pins the conversation
    assert len(scheduler.calls()) == before + 1


def test_without_the_alias_there_are_no_tools(router, scheduler):
    before = len(scheduler.calls())
    assert router.chat("openai", "engine/tiny", False, prompt=QUESTION).status == 200
    assert len(scheduler.calls()) == before


def test_tools_command(router):
    shown = router.command("mcp", "tools", "--for", QUESTION, "--json")
    assert shown.returncode == 0, shown
    offered = [t for t in json.loads(shown.stdout)["tools"] if t["offered"]]
    assert "scheduler__validate_schedule_tool" in [t["name"] for t in offered]
    assert len(offered) <= 8
    assert json.loads(shown.stdout)["tokens"] <= 800


def test_the_server_goes_and_comes_back(engine):
    one = Scheduler()
    port = one.port
    router = Router(config(one, engine), env={"SCHEDULER_KEY": KEY})
    try:
        wait_tools(router.wait_up())
        assert understand("openai", False, router.chat("openai", "agent", False, prompt=QUESTION)).text == ANSWER
        one.stop()
        reply = router.chat("openai", "agent", False, prompt=QUESTION)     # its tool says that it is down; the model goes on
        assert reply.status == 200 and understand("openai", False, reply).text == ANSWER, reply
        one = Scheduler(port=port)
        wait_for(lambda: router.chat("openai", "agent", False, prompt=QUESTION).status == 200 and one.calls(),
                 "the server is used again")
        router.stop()
    finally:
        router.kill()
        one.stop()


def test_the_engine_takes_tools_in_their_slim_shape(scheduler, engine):
    """llama.cpp makes a grammar of the tools, and refuses shapes that it cannot: those with the largest schemas, eight at a
    time, since the scripted model's tokens are letters."""
    with open(os.path.join(TOP, "test/data/tools/scheduler.json"), encoding="utf-8") as f:
        tools = sorted(json.load(f)["tools"], key=lambda t: -len(json.dumps(t["inputSchema"])))
    names = [t["name"] for t in tools[:24] if t["name"] != "validate_schedule_tool"]
    one = Router(config(scheduler, engine, mcp={"offer": 256, "offer_tokens": 100000}), env={"SCHEDULER_KEY": KEY})
    try:
        wait_tools(one.wait_up())
        for at in range(0, len(names), 8):
            entry = {"type": "mcp", "server_label": "scheduler", "require_approval": "never",
                     "allowed_tools": ["validate_schedule_tool", *names[at:at + 8]]}
            reply = one.chat("openai", "engine/tiny", False, prompt=QUESTION, tools=[entry], deadline=120)
            assert reply.status == 200 and understand("openai", False, reply).text == ANSWER, (names[at:at + 8], reply)
            assert reply.json["usage"]["prompt_tokens"] > 2000      # they were there
        one.stop()
    finally:
        one.kill()
