# SPDX-License-Identifier: Apache-2.0
"""Attempts to get a wrong outcome that need the whole process: the end with work in hand, configuration and
keys that change under load, bytes on the wire that no client library sends."""
import json
import os
import signal
import socket
import stat
import threading
import time

import pytest

from harness import (DOORS, SENTENCE, ask, body_of, connect, everywhere, path_of, read_reply, request_bytes, send_raw,
                     understand, wait_for)

ONE = {"kind": "openai", "concurrency": 1, "queue": "60s"}


def in_hand(router, provider="one"):
    return next(p for p in router.get("/router/providers") if p["provider"] == provider)


def open_request(router, door="openai", model="one/demo", stream=True, knobs="", headers=()):
    s = connect(router.port)
    s.sendall(request_bytes("POST", path_of(door, stream), body_of(door, model, stream),
                            {**({"X-Standin": knobs} if knobs else {}), **dict(headers)}))
    return s


# ---- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_the_end_with_one_request_served_and_others_waiting(router, standin, workers):
    """A slot that becomes free while everything is torn down wakes nobody who is gone."""
    s = standin()
    s.control(default="hang_body")
    r = router({"providers": {"one": {**ONE, "url": s.url}}, "roles": {"general": ["one/demo"]}}, workers=workers)
    sockets = [open_request(r) for _ in range(8)]
    wait_for(lambda: in_hand(r)["in_flight"] == 1 and in_hand(r)["waiting"] == 7, "all but one wait")
    r.signal(signal.SIGTERM)
    wait_for(lambda: '"stopping"' in r.log_text(), "stopping")
    r.signal(signal.SIGTERM)
    r.stop()
    for one in sockets:
        one.close()


def slow_engine(directory):
    """A child that does not end when it is asked to: it has to be killed."""
    path = os.path.join(directory, "slow-engine")
    with open(path, "w") as f:
        f.write("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n")
    os.chmod(path, 0o755)
    model = os.path.join(directory, "some.gguf")
    with open(model, "w") as f:
        f.write("x")
    return {"kind": "llama-server", "spawn": {"command": path, "model": model}}


def test_reloads_and_keys_while_the_engine_is_being_stopped(router, standin, tmp_path):
    """The workers have ended by then; what is sent to them must not be looked at."""
    s = standin()
    r = router({"providers": {"one": {**ONE, "url": s.url}, "slow": slow_engine(str(tmp_path))}})
    r.signal(signal.SIGTERM)
    deadline = time.monotonic() + 20
    while r.process.poll() is None and time.monotonic() < deadline:
        r.signal(signal.SIGHUP)
        time.sleep(0.05)
    r.stop()


def test_engines_that_are_not_running_go_with_one_reload(router, standin, tmp_path):
    s = standin()
    providers = {"one": {**ONE, "url": s.url}}
    broken = {}
    for name in ("a", "b", "c"):
        broken[name] = slow_engine(str(tmp_path))
        broken[name]["spawn"] = {**broken[name]["spawn"], "model": str(tmp_path / ("gone-%s.gguf" % name))}
    r = router({"providers": {**providers, **broken}})
    for k in range(3):
        r.reconfigure(providers=providers)
        r.signal(signal.SIGHUP)
        wait_for(lambda: r.log_text().count('"reloaded"') == 2 * k + 1, "reloaded")
        everywhere(lambda: [p["provider"] for p in r.get("/router/providers")] == ["one"], "the others are gone")
        r.reconfigure(providers={**providers, **broken})
        r.signal(signal.SIGHUP)
        wait_for(lambda: r.log_text().count('"reloaded"') == 2 * k + 2, "reloaded")
    assert ask(r.port, "GET", "/healthz").status == 200


# ---- keys ----------------------------------------------------------------------------------------


def test_beyond_loopback_the_last_key_revoked_leaves_nobody_in(router, standin):
    s = standin()
    r = router({"listen": ["0.0.0.0:0"], "providers": {"one": {**ONE, "url": s.url}}}, start=False)
    made = r.command("keys", "add", "first")
    assert made.returncode == 0, made.stderr
    r.start()
    assert r.ask("GET", "/v1/models").status == 401
    listed = json.loads(r.command("keys", "list", "--json").stdout)
    keys = listed["keys"] if isinstance(listed, dict) else listed
    assert r.command("keys", "revoke", keys[0]["id"]).returncode == 0
    wait_for(lambda: '"keys_read"' in r.log_text(), "the revocation is seen")
    for _ in range(16):
        assert r.ask("GET", "/v1/models").status == 401
    assert r.ask("GET", "/healthz").status == 200


# ---- everything at once --------------------------------------------------------------------------


def flapping_engine(directory, standin_path):
    """The stand-in as an engine: it serves on the socket that the router chooses."""
    path = os.path.join(directory, "flapping-engine")
    with open(path, "w") as f:
        f.write("#!/bin/sh\nwhile [ $# -gt 0 ]; do\n  case $1 in --host) socket=$2 ;; esac\n  shift\ndone\n"
                "exec %s --unix \"$socket\" --port 0 --knobs gap_ms=2 >/dev/null\n" % standin_path)
    os.chmod(path, 0o755)
    model = os.path.join(directory, "flap.gguf")
    with open(model, "w") as f:
        f.write("x")
    return {"kind": "llama-server", "spawn": {"command": path, "model": model, "slots": 2}}


KNOBS = ["gap_ms=3", "status=500", "status=429+retry_after=1", "cut=2", "reset=1", "malformed=2", "no_done",
         "stall=1+stall_ms=200", "hang_head", "head=bad", "extra=40", "close_quiet", "stale", "error=1", "giant=200000",
         "json_stream", "empty", "vary_id", "events=300+size=900"]


@pytest.mark.tsan
def test_a_storm_ends_in_order(router, standin, tmp_path):
    """Streams, faults, callers who leave, reloads, keys, scrapes, an engine that dies: after it every slot is
    free, no breaker is stuck in its trial, every request has its row, and the sanitizer has nothing to say."""
    from harness import children, standin_binary
    s = standin()
    s.control(rules=[rule for k in KNOBS for rule in ({"n": 1, "knobs": k}, {"n": 6, "knobs": "gap_ms=1"})], loop=True)
    limits = {"head": "2s", "first_token": "2s", "cold_first_token": "2s", "idle": "2s", "total": "10s",
              "retry_backoff": "5ms", "breaker_failures": 4, "breaker_open": "50ms", "breaker_open_max": "100ms",
              "queue": "2s", "concurrency": 3}
    providers = {"one": {"kind": "openai", "url": s.url, **limits},
                 "two": {"kind": "ollama", "url": s.url, **limits},
                 "three": {"kind": "anthropic", "url": s.url, "zone": "local", **limits},
                 "flap": {**flapping_engine(str(tmp_path), standin_binary()), **{k: v for k, v in limits.items()
                                                                                 if k != "concurrency"}}}
    roles = {"general": ["one/demo", "flap/flap", "two/demo", "three/demo"]}
    r = router({"providers": providers, "roles": roles, "deadline": "15s"}, start=False)
    made = json.loads(r.command("keys", "add", "ours", "--json", "--admin", "yes").stdout)
    key = {"Authorization": "Bearer " + made["key"]}
    r.start()
    seconds = float(os.environ.get("PEER_STORM_SECONDS", "6"))
    over = time.monotonic() + seconds
    wrong, statuses, lock = [], {}, threading.Lock()

    def count(what):
        with lock:
            statuses[what] = statuses.get(what, 0) + 1


    def caller(seed):
        import random
        rng = random.Random(seed)
        while time.monotonic() < over:
            door = rng.choice(list(DOORS))
            stream = rng.random() < 0.7
            model = rng.choice(["general", "one/demo", "two/demo", "three/demo", "flap/flap", "auto"])
            try:
                c = open_request(r, door, model, stream, headers=key)
                if rng.random() < 0.25:
                    if rng.random() < 0.5:
                        c.recv(rng.choice([1, 100, 4000]))
                    c.close()
                    count("left")
                    continue
                reply = read_reply(c.makefile("rb"))
                c.close()
            except OSError as e:
                wrong.append(("no connection", repr(e)))
                continue
            count((reply.status, reply.complete))
            if reply.status == 200 and reply.complete:
                a = understand(door, stream, reply)
                if a.junk or not a.finish or a.error or not (a.ended or door == "openai"):
                    wrong.append((door, model, stream, reply, a))
            elif reply.status == 200:
                if stream and reply.body and not understand(door, stream, reply).error:
                    wrong.append(("broken off without a word", door, model, reply))
            elif reply.status == 0 or not reply.complete or reply.header("X-Request-ID") is None:
                wrong.append((door, model, stream, reply))

    def operator():
        k = 0
        while time.monotonic() < over:
            k += 1
            changed = {name: {**p, **({"concurrency": 1 + k % 3} if name != "flap" else {})}
                       for name, p in providers.items()}
            if k % 5 == 4:
                changed.pop("two")
            r.reconfigure(providers=changed)
            r.signal(signal.SIGHUP)
            for path in ("/metrics", "/router/providers", "/router/stats", "/router/breakers", "/router/models",
                         "/v1/models", "/readyz"):
                if r.ask("GET", path, headers=key).status not in (200, 503):
                    wrong.append(path)
            if k % 4 == 0:
                for pid in children(r.process.pid):
                    os.kill(pid, signal.SIGKILL)
            if k % 3 == 0:
                r.command("keys", "add", "k%d" % k)
                listed = json.loads(r.command("keys", "list", "--json").stdout)
                for one in listed["keys"] if isinstance(listed, dict) else listed:
                    if one["name"] != "ours":
                        r.command("keys", "revoke", one["id"])
            time.sleep(0.15)

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(16)] + [threading.Thread(target=operator)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    r.reconfigure(providers=providers)
    r.signal(signal.SIGHUP)
    wait_for(lambda: all(p["in_flight"] == 0 and p["waiting"] == 0 for p in r.get("/router/providers", **key)),
             "every slot is free")
    assert not wrong, (statuses, len(wrong), wrong[:5])
    print(statuses)
    assert statuses.get((200, True), 0) > 20, statuses
    s.control(default="", rules=[])
    for provider in ("one", "two", "three"):   # and each still serves, whatever its breaker went through
        wait_for(lambda: r.chat("openai", provider + "/demo", False, headers=key).status == 200, provider + " serves again")
