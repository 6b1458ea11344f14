# SPDX-License-Identifier: Apache-2.0
"""The audit from outside: what the cloud has seen is on the disk, whenever the router is killed; a full disk stops
the cloud and nothing else; a check on a copy needs the public key alone."""
import contextlib
import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness import Router, ask, router_binary, wait_for

KILLS = int(os.environ.get("PEER_AUDIT_KILLS", "100"))          # at most, and at least:
KILLS_MIN = int(os.environ.get("PEER_AUDIT_KILLS_MIN", "40"))
SECONDS = float(os.environ.get("PEER_AUDIT_SECONDS", "20"))

ANSWER = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m1", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}).encode()
MODELS = json.dumps({"object": "list", "data": [{"id": "m1", "object": "model"}]}).encode()


class Cloud:
    """Remembers the digest of every body that reached it."""

    def __init__(self):
        seen = self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, body):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.answer(MODELS)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                seen.append(hashlib.sha256(body).hexdigest())
                self.answer(ANSWER)

            def handle(self):
                with contextlib.suppress(ConnectionError):
                    super().handle()

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/v1" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def cloud():
    one = Cloud()
    yield one
    one.close()


def config(cloud, **more):
    return {"providers": {"far": {"kind": "openai", "url": cloud.url, "zone": "cloud", "models": ["m1"]},
                          "near": {"kind": "openai", "url": cloud.url, "models": ["m2"]}},
            "roles": {"general": ["far/m1"], "fast": ["near/m2"]}, **more}


def question(role, n=16):
    """n makes each body another one."""
    return {"model": role, "max_tokens": n, "messages": [{"role": "user", "content": "Say hello."}]}


def records(router, *flags):
    shown = router.command("audit", "show", "--json", *flags)
    assert shown.returncode == 0, shown.stderr
    return [json.loads(line) for line in shown.stdout.splitlines()]


def verified(router, *words):
    done = router.command("audit", "verify", "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_kill_at_any_moment_leaves_no_cloud_exchange_without_a_record(cloud):
    """The router dies in the middle of its work again and again. Its digest chain stays whole, and for each body
    that the cloud has seen there is the record of an intent."""
    router = Router(config(cloud, audit={"rotate_size": "256KiB"}), ready=None, start=False)
    state = {"port": None, "stop": False, "asked": 0}
    counter, lock = iter(range(1, 10**9)), threading.Lock()

    def caller():
        while not state["stop"]:
            with lock:
                n = next(counter)
            try:
                ask(state["port"], "POST", "/v1/chat/completions", question("general", n), deadline=5)
                state["asked"] += 1
            except (OSError, TypeError, ValueError):
                time.sleep(0.002)

    callers = [threading.Thread(target=caller, daemon=True) for _ in range(8)]
    kills, end, dice = 0, time.monotonic() + SECONDS, random.Random(1)
    try:
        router.start()
        state["port"] = router.port
        for one in callers:
            one.start()
        while kills < KILLS and (kills < KILLS_MIN or time.monotonic() < end):
            heard = len(cloud.seen) + dice.choice((0, 1, 2, 5))
            wait_for(lambda: len(cloud.seen) >= heard, "the cloud is asked")
            threading.Event().wait(dice.uniform(0.0, 0.03))     # any moment
            router._kill()
            kills += 1
            router.start()
            state["port"] = router.port
        state["stop"] = True
        for one in callers:
            one.join()
        router.own_dir = False
        router.stop()
        status, result = verified(router)
        assert status == 0 and result["ok"], result["problems"][:5]
        intents = [r for r in records(router) if r["type"] == "intent"]
        missing = set(cloud.seen) - {r["sha256"] for r in intents}
        repairs = sum(1 for r in records(router) if r["type"] == "repair")
        print("%d kills, %d bodies seen by the cloud, %d intents, %d without a record; %d records in %d files, "
              "%d unfinished lines cut off" % (kills, len(cloud.seen), len(intents), len(missing),
                                               result["records"], result["files"], repairs))
        assert len(cloud.seen) == len(set(cloud.seen)) and len(cloud.seen) > kills
        assert not missing
        assert result["unsigned"] == 0
    finally:
        state["stop"] = True
        router.kill()
        shutil.rmtree(router.dir, ignore_errors=True)


def test_a_full_disk_stops_the_cloud_until_there_is_room_again(cloud, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no right to mount a file system: " + mounted.stderr.decode().strip())
    router = None
    try:
        router = Router(config(cloud, audit={"dir": str(place / "audit")}))
        router.wait_up("near")
        assert router.ask("POST", "/v1/chat/completions", question("general")).status == 200
        with contextlib.suppress(OSError), open(place / "filler", "wb", buffering=0) as f:
            while True:
                f.write(b"x" * 4096)

        def refused():      # what is left of the last page is still taken
            return router.ask("POST", "/v1/chat/completions", question("general")).status == 503
        wait_for(refused, "the cloud stops")
        before = len(cloud.seen)
        reply = router.ask("POST", "/v1/chat/completions", question("general"))
        assert reply.status == 503 and reply.json["error"]["code"] == "audit_unavailable"
        assert reply.header("Retry-After")
        assert len(cloud.seen) == before
        assert router.ask("POST", "/v1/chat/completions", question("fast")).status == 200
        assert "the audit cannot be written" in router.ask("GET", "/readyz").text
        os.unlink(place / "filler")
        wait_for(lambda: not refused(), "the cloud goes on")
        router.own_dir = False
        router.stop()
        status, result = verified(router)
        assert status == 0, result
        assert [r["why"] for r in records(router) if r["type"] == "resume"]
    finally:
        if router:
            router.kill()
            shutil.rmtree(router.dir, ignore_errors=True)
        subprocess.run(["umount", str(place)], check=False)


def test_a_new_key_goes_on_where_the_old_one_ends(cloud, tmp_path):
    router = Router(config(cloud), ready=None, start=False)
    try:
        router.start()
        for n in range(1, 4):
            assert router.ask("POST", "/v1/chat/completions", question("general", n)).status == 200
        old = tmp_path / "old.pub"
        old.write_text(router.command("audit", "key").stdout)
        made = router.command("audit", "key", "rotate")
        assert made.returncode == 0 and made.stdout != old.read_text() and "reload" in made.stderr
        assert router.command("audit", "key", "rotate").stdout == made.stdout
        router.signal(signal.SIGHUP)
        wait_for(lambda: router.command("audit", "key").stdout == made.stdout, "the new key is in its place")
        for n in range(4, 7):
            assert router.ask("POST", "/v1/chat/completions", question("general", n)).status == 200
        router.own_dir = False
        router.stop()
        for words in ((), ("--public-key", str(old))):
            status, result = verified(router, *words)
            assert status == 0 and result["ok"] and result["files"] == 2, result
        assert [r["type"] for r in records(router)].count("key") == 1
        assert router.command("audit", "key", "nonsense").returncode == 2
    finally:
        router.own_dir = True
        router.stop()


def test_a_check_works_on_a_copy_with_the_public_key_alone(cloud, tmp_path):
    router = Router(config(cloud))
    try:
        for n in range(1, 6):
            assert router.ask("POST", "/v1/chat/completions", question("general", n)).status == 200
        second = Router(router.config, dir=router.dir, start=False)
        with pytest.raises(AssertionError, match="another router writes its audit"):
            second.start()
        public = router.command("audit", "key")
        assert public.stdout.startswith("-----BEGIN PUBLIC KEY-----"), public.stderr
        (tmp_path / "audit.pub").write_text(public.stdout)
        router.own_dir = False
        router.stop()
        copy = tmp_path / "copy"
        shutil.copytree(os.path.join(router.dir, "state", "audit"), copy)

        def check(*more):
            return subprocess.run([router_binary(), "audit", "verify", str(copy), "--public-key",
                                   str(tmp_path / "audit.pub"), *more], capture_output=True, text=True,
                                  env=router.env)
        done = check()
        assert done.returncode == 0 and "nothing was changed" in done.stdout, done.stdout + done.stderr
        last = [line for line in done.stdout.splitlines() if line.startswith("last: ")][0].split()[1]
        assert check("--expect", last).returncode == 0
        assert check("--expect", "999:" + last.partition(":")[2]).returncode == 1
        rows = router.command("audit", "show", "--zone", "cloud")
        assert rows.stdout.count("exchange") == 5 and "Say hello" not in rows.stdout, rows.stdout
        assert records(router, "--outcome", "nothing") == []
        file = copy / "audit-00000001.jsonl"
        text = file.read_bytes()
        file.write_bytes(text.replace(b'"provider":"far"', b'"provider":"fur"', 1))
        done = check()
        assert done.returncode == 1 and "it was changed" in done.stdout, done.stdout
        assert "Say hello" not in text.decode()
    finally:
        router.kill()
        shutil.rmtree(router.dir, ignore_errors=True)
