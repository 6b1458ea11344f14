# SPDX-License-Identifier: Apache-2.0
"""The real llama-server as our child: killed, hung, slow to load, crowded, and left behind."""
import concurrent.futures
import os
import signal
import stat

import pytest

from conftest import engine_provider
from harness import (DEADLINE, alive, ask, body_of, children, connect, path_of, read_reply, request_bytes, understand,
                     wait_for)

TEXT = "Hello from the tiny model. Café ok"
CALLERS = ["openai", "anthropic", "ollama", "native"]


@pytest.fixture
def served(router, engine):
    """served(model) -> a router with that model behind it, up."""
    def make(model="loop", **more):
        env = more.pop("env", None)
        options = {k: more.pop(k) for k in ("spawn", "idle", "concurrency", "queue") if k in more}
        return router({"providers": {"engine": engine_provider(engine, model, **options)}, **more},
                      env=env).wait_up("engine")
    return make


def engine_pid(router):
    """Our child; the loader that runs the engine keeps its process id."""
    found = children(router.process.pid)
    assert len(found) == 1, found
    return found[0]


def state_of(router):
    return router.get("/router/providers")[0]


def begin_stream(router, door, model, **more):
    """A connection on which a stream has begun, and the file to read the rest from."""
    c = connect(router.port)
    c.sendall(request_bytes("POST", path_of(door, True), body_of(door, model, True, **more)))
    wait_for(lambda: c.recv(65536, 0x2).count(b"la") or None, "the first words")      # MSG_PEEK
    return c, c.makefile("rb")


LONG = {"openai": {"max_tokens": 100000}, "anthropic": {"max_tokens": 100000},
        "ollama": {"options": {"num_predict": 100000}}, "native": {"max_tokens": 100000}}


@pytest.mark.parametrize("door", CALLERS)
def test_an_engine_killed_in_mid_stream_is_told_and_comes_back(served, door):
    r = served(spawn={"context": 100000})
    pid = engine_pid(r)
    c, f = begin_stream(r, door, "tiny-loop", **LONG[door])
    with c:
        os.kill(pid, signal.SIGKILL)
        reply = read_reply(f)
    a = understand(door, True, reply)
    assert reply.status == 200 and not reply.complete, reply.problem
    assert a.error and not a.ended and a.finish is None and a.text.startswith("la"), a.error
    wait_for(lambda: pid not in children(r.process.pid) and state_of(r)["state"] == "up", "the engine is back")
    again = wait_for(lambda: (x := r.chat("openai", "tiny-loop", False, max_tokens=3)).status == 200 and x, "an answer")
    assert understand("openai", False, again).finish == "length"
    assert 'llm_router_engine_restarts_total{provider="engine"} 1' in r.ask("GET", "/metrics").text


def test_an_engine_that_keeps_falling_is_started_again_ever_more_slowly(served):
    r = served("text")
    for fall in range(3):
        pid = engine_pid(r)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: pid not in children(r.process.pid), "its end is noticed")
        wait_for(lambda: children(r.process.pid) and state_of(r)["state"] == "up", "it is back")
    waits = [line["ms"] for line in r.log_lines() if line.get("state") == "ended"]
    assert len(waits) == 3 and waits == sorted(waits) and waits[0] < waits[2], waits
    assert understand("openai", False, r.chat("openai", "tiny-text", False)).text == TEXT


def test_between_fall_and_return_the_caller_hears_when_to_come_back(served):
    r = served("text")
    os.kill(engine_pid(r), signal.SIGKILL)
    refused = None
    for _ in range(2000):
        reply = r.chat("openai", "tiny-text", False)
        if reply.status == 200 and state_of(r)["state"] == "up":
            break
        refused = reply if reply.status != 200 else refused
    assert refused is not None and refused.status in (502, 503), refused
    assert refused.header("Retry-After") or refused.status == 502


def test_kill_of_the_router_leaves_no_orphan(router, engine):
    r = router({"providers": {"engine": engine_provider(engine, "loop", spawn={"context": 100000})}}).wait_up()
    pid = engine_pid(r)
    c, _ = begin_stream(r, "openai", "tiny-loop", **LONG["openai"])
    with c:
        r.signal(signal.SIGKILL)
        r.process.wait()
        r.ended = True
        wait_for(lambda: not alive(pid), "the engine ends with the router")
    # What it left behind does not keep the next one from starting.
    again = router(r.config, dir=r.dir)
    again.wait_up()
    assert understand("openai", False, again.chat("openai", "tiny-loop", False, max_tokens=3)).finish == "length"


def test_sigterm_lets_a_stream_end_and_exits_with_0(served):
    r = served(spawn={"context": 20000})
    pid = engine_pid(r)
    c, f = begin_stream(r, "openai", "tiny-loop", max_tokens=1500)
    with c:
        r.signal(signal.SIGTERM)
        wait_for(lambda: any(line.get("event") == "stopping" for line in r.log_lines()), "it drains")
        reply = read_reply(f)
    a = understand("openai", True, reply)
    assert reply.complete and a.ended and a.finish == "length", reply.problem
    assert r.process.wait(DEADLINE) == 0
    wait_for(lambda: not alive(pid), "the engine is gone")
    socket_path = os.path.join(r.dir, "run")
    assert not [name for name in os.listdir(socket_path) if name.endswith(".sock")], "its socket too"
    r.stop()


def test_a_drain_that_takes_too_long_ends_in_band(served):
    r = served(spawn={"context": 100000}, drain="300ms")
    c, f = begin_stream(r, "anthropic", "tiny-loop", **LONG["anthropic"])
    with c:
        r.signal(signal.SIGTERM)
        reply = read_reply(f)
    a = understand("anthropic", True, reply)
    assert not reply.complete and not a.ended and a.finish is None, reply.problem
    assert r.process.wait(DEADLINE) == 0
    r.stop()


def test_while_the_engine_loads_the_answer_is_503_with_retry_after(router, engine, tmp_path):
    """A wrapper that starts the engine only when told: loading for as long as we like."""
    gate = tmp_path / "go"
    wrapper = tmp_path / "slow-engine"
    wrapper.write_text("#!/bin/sh\nwhile [ ! -e %s ]; do sleep 0.05; done\nexec %s \"$@\"\n" % (gate, engine))
    wrapper.chmod(0o755)
    r = router({"providers": {"engine": engine_provider(str(wrapper), "text")}}, ready="/healthz")
    assert r.ask("GET", "/readyz").status == 503
    for door, status in (("openai", 503), ("anthropic", 529), ("ollama", 503), ("native", 503)):
        for stream in (False, True):
            reply = r.chat(door, "engine/tiny-text", stream)
            assert reply.status == status and int(reply.header("Retry-After")) >= 1, reply
    assert state_of(r)["state"] == "loading"
    gate.write_text("")
    r.wait_up()
    assert r.ask("GET", "/readyz").status == 200
    assert understand("openai", False, r.chat("openai", "engine/tiny-text", False)).text == TEXT


def test_an_engine_that_cannot_start_is_told_and_does_not_stop_the_router(router, engine, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 200)
    providers = {"bad": engine_provider(engine, "text", spawn={"model": str(broken)}),
                 "none": engine_provider(engine, "text", spawn={"model": str(tmp_path / "none.gguf")}),
                 "no-program": engine_provider("/nonexistent/llama-server", "text")}
    r = router({"providers": providers}, ready="/healthz")
    wait_for(lambda: all(p["error_message"] for p in r.get("/router/providers")), "each says what is wrong")
    found = {p["provider"]: p["error_message"] for p in r.get("/router/providers")}
    assert "model file" in found["none"], found
    assert r.ask("GET", "/readyz").status == 503 and r.ask("GET", "/healthz").status == 200


def test_a_stopped_engine_does_not_hold_its_callers_for_ever(served):
    """SIGSTOP: it accepts connections and says nothing. The stream's idle limit ends the caller's wait, and the
    missing answers to /health end the engine."""
    r = served(spawn={"context": 100000}, idle="1s")
    pid = engine_pid(r)
    c, f = begin_stream(r, "openai", "tiny-loop", **LONG["openai"])
    with c:
        os.kill(pid, signal.SIGSTOP)
        reply = read_reply(f)
    assert not reply.complete and reply.problem != "hangs" and understand("openai", True, reply).error
    wait_for(lambda: not alive(pid), "the hung engine is killed")
    wait_for(lambda: state_of(r)["state"] == "up", "and started again")
    assert r.chat("openai", "tiny-loop", False, max_tokens=3).status == 200


def test_the_engine_is_private(served):
    r = served("text", env={"PEER_CANARY": "x", "LLAMA_ARG_HOST": "0.0.0.0", "GGML_PEER": "x"})
    run = os.path.join(r.dir, "run")
    assert stat.S_IMODE(os.stat(run).st_mode) == 0o700
    sockets = [os.path.join(run, name) for name in os.listdir(run)]
    sockets = [p for p in sockets if stat.S_ISSOCK(os.stat(p).st_mode)]
    assert len(sockets) == 1
    pid = engine_pid(r)
    with open("/proc/%d/environ" % pid, "rb") as f:
        environ = dict(line.split(b"=", 1) for line in f.read().split(b"\0") if b"=" in line)
    key = environ[b"LLAMA_API_KEY"].decode()
    assert len(key) >= 32
    # A private engine is started by a script, whose shell adds a few of its own.
    assert set(environ) <= {b"PATH", b"HOME", b"LLAMA_API_KEY", b"PWD", b"OLDPWD", b"SHLVL", b"_", b"OPENSSL_CONF"}
    for name in os.listdir("/proc"):        # what `ps` shows of anybody
        if name.isdigit():
            try:
                with open("/proc/%s/cmdline" % name, "rb") as f:
                    assert key.encode() not in f.read()
            except (FileNotFoundError, ProcessLookupError):
                pass
    assert key not in r.log_text() and key not in r.ask("GET", "/metrics").text
    assert key not in r.ask("GET", "/router/providers").text
    assert key not in r.command("check").stdout
    # Without the key its own door is shut, with it it is open.
    path = sockets[0]
    body = body_of("openai", "x", False, max_tokens=1)
    assert ask(path, "POST", "/v1/chat/completions", body).status == 401
    assert ask(path, "POST", "/v1/chat/completions", body, {"Authorization": "Bearer " + key}).status == 200


@pytest.mark.tsan
def test_more_callers_than_slots_are_all_answered(served):
    r = served("text", spawn={"slots": 2}, queue="60s")

    def one(i):
        door, stream = CALLERS[i % 4], i % 3 == 0
        reply = r.chat(door, "tiny-text", stream)
        return reply.status, understand(door, stream, reply).text, reply.complete

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = list(pool.map(one, range(48)))
    assert set(results) == {(200, TEXT, True)}, set(results)
    text = r.ask("GET", "/metrics").text
    assert "llm_router_queue_seconds_count" in text
    assert r.get("/router/stats")["success_count"] == 48


def test_a_full_queue_is_told_at_once(router, engine):
    r = router({"providers": {"engine": engine_provider(engine, "loop", spawn={"slots": 1, "context": 100000},
                                                        concurrency=1, queue_max=1, queue="60s")}}).wait_up()
    c, f = begin_stream(r, "openai", "tiny-loop", **LONG["openai"])
    with c, connect(r.port) as waiting:
        waiting.sendall(request_bytes("POST", path_of("openai"), body_of("openai", "tiny-loop", False, max_tokens=2)))
        wait_for(lambda: state_of(r)["waiting"] == 1, "one waits")
        refused = r.chat("openai", "tiny-loop", False, max_tokens=2)
        assert refused.status == 503 and refused.header("Retry-After"), refused
        f.close()
        c.close()
        assert read_reply(waiting.makefile("rb")).status == 200, "the one that waited gets the slot"


def test_the_engine_stops_computing_for_a_caller_who_left(served):
    """Also one who wanted the answer whole: it is always asked for a stream."""
    r = served(spawn={"slots": 1, "context": 100000})
    for stream in (True, False):
        with connect(r.port) as c:
            c.sendall(request_bytes("POST", path_of("openai"), body_of("openai", "tiny-loop", stream, **LONG["openai"])))
            wait_for(lambda: state_of(r)["in_flight"] == 1, "it computes")
        wait_for(lambda: state_of(r)["in_flight"] == 0, "it is free again")
        reply = r.chat("openai", "tiny-loop", False, max_tokens=2)
        assert reply.status == 200, reply


def test_a_prompt_too_long_for_the_window_is_the_callers_matter(served):
    r = served("text", spawn={"context": 256})
    for door in CALLERS:
        for stream in (False, True):
            reply = r.chat(door, "tiny-text", stream, prompt="many words " * 2000)
            assert reply.status == 400, reply
            assert "long" in reply.text or "context" in reply.text
    assert r.get("/router/breakers")[0]["failure_count"] == 0
    assert understand("openai", False, r.chat("openai", "tiny-text", False)).text == TEXT


def test_a_reload_keeps_the_engine_and_a_changed_one_is_replaced(served):
    r = served("text")
    pid = engine_pid(r)
    r.reconfigure(deadline="10m")
    r.signal(signal.SIGHUP)
    wait_for(lambda: any(line.get("event") == "reloaded" for line in r.log_lines()), "reloaded")
    assert engine_pid(r) == pid and understand("openai", False, r.chat("openai", "tiny-text", False)).text == TEXT
    r.reconfigure(providers={})
    r.signal(signal.SIGHUP)
    wait_for(lambda: not alive(pid), "an engine that nobody wants any more is stopped")
