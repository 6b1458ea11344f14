# SPDX-License-Identifier: Apache-2.0
"""Conversations across workers: sockets of one session sit on any of them, the session on one; what all of them hear, what
an interrupt leaves, and what a restart finds again. Threads meet here, so most of it runs with the thread sanitizer, too."""
import contextlib
import json
import signal
import threading

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from harness import DEADLINE, SENTENCE, wait_for

FREE = {"messages_per_minute": 0, "messages_per_hour": 0}


def chatting(router, standin, workers=3, knobs="", dir=None, **chat):
    upstream = standin()
    if knobs:
        upstream.control(default=knobs)
    r = router({"providers": {"p": {"kind": "openai", "url": upstream.url + "/v1", "zone": "local", "models": ["demo"],
                                    "default_model": "demo"}},
                "chat": {**FREE, **chat}}, workers=workers, dir=dir)
    r.wait_up()
    return r, upstream


class Chat:
    """A client's end of a session; every frame that it hears."""

    def __init__(self, r, session):
        self.ws = connect("ws://127.0.0.1:%d/ws/%s" % (r.port, session), open_timeout=DEADLINE, close_timeout=5,
                          legacy=True)
        self.heard = []
        self.until("connected")

    def say(self, type, **members):
        self.ws.send(json.dumps({"type": type, **members}))

    def hear(self):
        self.heard.append(json.loads(self.ws.recv(timeout=DEADLINE)))
        return self.heard[-1]

    def until(self, *types):
        while True:
            frame = self.hear()
            if frame["type"] in types:
                return frame

    def ask(self, content):
        self.say("user_message", content=content)
        return self.until("complete", "error", "interrupted")

    def text(self):
        return "".join(f["content"] for f in self.heard if f["type"] == "token")

    def code(self):
        """Reads on until the other side has closed."""
        try:
            while True:
                self.hear()
        except ConnectionClosed as e:
            return e.rcvd.code if e.rcvd else None


@pytest.mark.tsan
def test_sockets_of_a_session_hear_the_same_on_every_worker(router, standin):
    r, _ = chatting(router, standin)
    chats = [Chat(r, "one-session-of-all") for _ in range(12)]
    for turn in range(3):
        chats[turn].say("user_message", content="story %d" % turn)
        for c in chats:
            assert c.until("complete", "error", "interrupted")["type"] == "complete"
    told = [[f for f in c.heard if f["type"] not in ("connected",)] for c in chats]
    assert all(t == told[0] for t in told)
    assert chats[0].text() == 3 * SENTENCE
    for c in chats:
        c.ws.close()


@pytest.mark.tsan
def test_sessions_come_and_go_while_they_are_answered(router, standin):
    r, upstream = chatting(router, standin, knobs="gap_ms=3")
    wrong = []

    def one(i):
        try:
            for n in range(4):
                c, d = Chat(r, "session-%d" % (i % 5)), Chat(r, "session-%d" % (i % 5))
                c.say("user_message", content="story")
                if n % 2 == 0:
                    d.say("interrupt")
                    d.say("get_history")
                    d.until("history")
                c.ws.close() if n % 3 else c.ws.socket.close()
                d.say("set", title="turn %d" % n)
                d.until("session")
                d.ws.close()
        except Exception as e:      # of a thread: told below
            wrong.append(e)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(4 * DEADLINE)
    assert not wrong
    wait_for(lambda: upstream.stats()["active"] == 0 if "active" in upstream.stats() else True, "nothing runs on")


@pytest.mark.tsan
def test_an_interrupt_from_another_worker_ends_the_answer_once(router, standin):
    r, _ = chatting(router, standin, knobs="gap_ms=50")
    chats = [Chat(r, "stopped-session") for _ in range(6)]
    for n in range(4):
        chats[0].say("user_message", content="story")
        chats[0].until("token")
        chats[n + 1].say("interrupt")
        ends = [c.until("interrupted", "complete", "error") for c in chats]
        assert all(e["type"] == "interrupted" and e["partial_response"] for e in ends)
        assert len({e["n"] for e in ends}) == 1
    chats[0].say("get_history")
    assert [m["state"] for m in chats[0].until("history")["messages"] if m["role"] == "assistant"] == 4 * ["interrupted"]
    for c in chats:
        c.ws.close()


def test_a_restart_finds_the_conversation_again(router, standin, tmp_path):
    r, _ = chatting(router, standin, dir=str(tmp_path))
    c = Chat(r, "kept-session")
    end = c.ask("first of all")
    assert (end["provider"], end["zone"], end["mode"], end["cost_micro_usd"]) == ("p", "local", "hybrid", 0)
    assert end["saved_micro_usd"] > 0 and end["usage"]["output_tokens"] > 0 and end["window"]["used"] > 0
    c.ws.close()
    r.stop()
    again = router(r.config, dir=r.dir)
    again.wait_up()
    d = Chat(again, "kept-session")
    assert d.heard[0]["history_count"] == 2 and d.heard[0]["title"] == "first of all"
    d.say("get_history")
    assert [m["content"] for m in d.until("history")["messages"]] == ["first of all", SENTENCE]
    d.ws.close()


@pytest.mark.tsan
def test_a_drain_lets_the_answer_end_and_says_come_back(router, standin):
    r, _ = chatting(router, standin, knobs="gap_ms=60")
    c, idle = Chat(r, "drained-session"), Chat(r, "another-session")
    c.say("user_message", content="story")
    c.until("token")
    r.process.send_signal(signal.SIGTERM)
    assert idle.code() == 1001
    assert c.code() == 1001
    assert c.heard[-1]["type"] == "complete" and c.text() == SENTENCE
    wait_for(lambda: r.process.poll() is not None, "it ends")


@pytest.mark.tsan
def test_a_stop_at_once_keeps_what_was_said(router, standin, tmp_path):
    r, _ = chatting(router, standin, knobs="gap_ms=200", dir=str(tmp_path))
    c = Chat(r, "cut-off-session")
    c.say("user_message", content="story")
    c.until("token")
    r.process.send_signal(signal.SIGTERM)
    wait_for(lambda: any(line.get("event") == "stopping" for line in r.log_lines()), "it drains")
    r.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(ConnectionClosed):
        c.code()
    wait_for(lambda: r.process.poll() is not None, "it ends")
    r.stop()
    again = router(r.config, dir=r.dir)
    d = Chat(again, "cut-off-session")
    d.say("get_history")
    answer = d.until("history")["messages"][-1]
    assert answer["state"] == "interrupted" and SENTENCE.startswith(answer["content"]) and answer["content"]
    d.ws.close()
