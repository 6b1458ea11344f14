# SPDX-License-Identifier: Apache-2.0
"""An answer of a conversation that is stopped: in mid-sentence, while a tool runs, while a person is asked. What was at work
for it is free again, and nothing of it is heard afterwards."""
import os

import pytest

from conftest import engine_provider
from harness import ask, children, wait_for
from test_chat_workers import FREE, Chat
from test_mcp_soak import SlowServer, wait_tools

ENDS = ("interrupted", "complete", "error")


def stopped(chat):
    """Stops the answer that runs, and returns its end: the only one, and the last of it."""
    before = len(chat.heard)
    chat.say("interrupt")
    end = chat.until(*ENDS)
    chat.say("get_history")
    answer = chat.until("history")["messages"][-1]
    assert (end["type"], answer["role"], answer["state"]) == ("interrupted", "assistant", "interrupted"), chat.heard
    assert answer["n"] == end["n"]
    told = [f["type"] for f in chat.heard[before:]]
    assert told[told.index("interrupted"):] == ["interrupted", "history"], told
    return end


def engine_slots(r):
    """Asks the private engine itself, by the key that the router gave it."""
    with open("/proc/%d/environ" % children(r.process.pid)[0], "rb") as f:
        environ = dict(line.split(b"=", 1) for line in f.read().split(b"\0") if b"=" in line)
    run = os.path.join(r.dir, "run")
    path = next(os.path.join(run, name) for name in os.listdir(run) if name.endswith(".sock"))

    def busy():
        reply = ask(path, "GET", "/slots", headers={"Authorization": "Bearer " + environ[b"LLAMA_API_KEY"].decode()})
        assert reply.status == 200, reply.text
        return [slot["is_processing"] for slot in reply.json]
    return busy


def test_the_engines_slot_is_free_again(router, engine):
    """The engine would go on for minutes: only the cut connection tells it to stop."""
    r = router({"providers": {"engine": engine_provider(engine, "loop", spawn={"slots": 1, "context": 100000})},
                "chat": FREE}).wait_up("engine")
    busy = engine_slots(r)
    c = Chat(r, "slot-of-the-engine?model=engine/tiny-loop")
    for _ in range(3):
        c.say("user_message", content="go on", params={"max_tokens": 90000})
        c.until("token")
        assert busy() == [True]
        assert stopped(c)["partial_response"]
        wait_for(lambda: busy() == [False], "the slot is free")
    c.ws.close()


@pytest.fixture
def calling(router, standin):
    """calling(tool, server) -> a router whose model calls that tool of that server first of all, and the model"""
    def make(tool, server):
        up = standin()
        up.control(rules=[{"n": 1, "call": 1, "call_name": "slow__" + tool, "call_args": "{}"}])
        return router({"providers": {"p": {"kind": "openai", "url": up.url + "/v1", "zone": "local", "models": ["demo"],
                                           "default_model": "demo"}},
                       "mcp_servers": {"slow": server}, "chat": FREE}).wait_up(), up
    return make


@pytest.fixture
def slow():
    server = SlowServer()
    yield server
    server.stop()


@pytest.mark.tsan
def test_a_tool_that_runs_is_given_up(calling, slow):
    r, up = calling("hang", {"url": "http://127.0.0.1:%d/mcp" % slow.port, "zone": "local", "rules": ["*=read,none,auto"]})
    wait_tools(r)
    c = Chat(r, "tool-that-hangs?model=p/demo")
    c.say("user_message", content="use the tool that hangs")
    c.until("tool_call")
    wait_for(lambda: slow.stats()["open"] == 1, "the call is there")
    stopped(c)
    wait_for(lambda: slow.stats() == {"calls": 1, "open": 0, "left": 1}, "it is given up")
    assert c.ask("and now")["type"] == "complete"
    assert len(up.requests()) == 2, "the model hears of the next question only"
    c.ws.close()


@pytest.mark.tsan
def test_a_call_that_waits_for_a_person_is_never_made(calling, slow):
    r, up = calling("wait", {"url": "http://127.0.0.1:%d/mcp" % slow.port, "zone": "local", "rules": ["*=write,none,ask"]})
    wait_tools(r)
    c = Chat(r, "call-that-waits?model=p/demo")
    c.say("user_message", content="wait for me")
    waits = c.until("approval")
    stopped(c)
    c.say("approve", id=waits["id"], decision="approve")
    c.until("decided")      # the question outlives who asked it, for whoever may decide everybody's; nothing comes of it
    assert c.ask("and now")["type"] == "complete"
    assert slow.stats()["calls"] == 0 and len(up.requests()) == 2
    c.ws.close()
