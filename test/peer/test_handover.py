# SPDX-License-Identifier: Apache-2.0
"""One process takes over from another while callers are busy: no stream is cut, no connection is refused, and what both
did is in one ledger and in one audit."""
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading

from harness import (DEADLINE, DOORS, SENTENCE, Router, ask, body_of, connect, read_reply, request_bytes, router_binary,
                     understand, wait_for)

STREAMS = int(os.environ.get("PEER_HANDOVER_STREAMS", "500"))
HANDOVERS = int(os.environ.get("PEER_HANDOVERS", "5"))


class Next(Router):
    """A process that takes over, with the folder and the file of the one before."""

    def __init__(self, before, **changes):
        super().__init__(before.config, dir=before.dir, args=["--take-over"], start=False)
        self.start(**changes)
        wait_for(lambda: events(before, "handed_over"), "the one before has heard of it")


def events(router, name):
    return [line for line in router.log_lines() if line.get("event") == name]


def gone(router):
    """It ended by itself, and well."""
    wait_for(lambda: router.process.poll() is not None, "the process before is gone:\n" + router.log_text()[-2000:])
    router.stop()


class Callers:
    """New requests all the time: each on a connection of its own, or many on one; what went wrong is kept."""

    def __init__(self, port, n=4):
        self.port, self.done, self.wrong, self.ended = port, 0, [], threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i % 2 == 0,), daemon=True) for i in range(n)]
        for t in self.threads:
            t.start()

    def one(self, c, close):
        head = {"Connection": "close"} if close else {}
        c.sendall(request_bytes("POST", DOORS["openai"], body_of("openai", "p/demo", False), head))
        reply = read_reply(c.makefile("rb"))
        good = reply.status == 200 and reply.complete and understand("openai", False, reply).text == SENTENCE
        with self.lock:
            self.done += 1
            if not good:
                self.wrong.append(reply)
        return good and reply.header("Connection") != "close"

    def run(self, anew):
        c = None
        while not self.ended.is_set():
            try:
                c = c or connect(self.port)
                if not self.one(c, anew):
                    c.close()
                    c = None
            except OSError as e:
                with self.lock:
                    self.wrong.append(e)
                c = None
        if c is not None:
            c.close()

    def stop(self):
        self.ended.set()
        for t in self.threads:
            t.join(DEADLINE)
        assert not self.wrong, "%d of %d went wrong: %r" % (len(self.wrong), self.done, self.wrong[:3])
        return self.done


def rows(router):
    with sqlite3.connect("file:%s?mode=ro" % os.path.join(router.dir, "state", "ledger.db"), uri=True) as db:
        return db.execute("SELECT count(*) FROM exchange").fetchone()[0]


def audit_is_whole(router):
    found = router.command("audit", "verify", "--json")
    assert found.returncode == 0, found.stdout + found.stderr
    told = json.loads(found.stdout)
    assert told["ok"] and not told["problems"], told
    return told


def began(f):
    """Whether the reply's head is there."""
    return f.readline().split()[1:2] == [b"200"]


def test_streams_of_the_old_process_end_and_new_requests_are_served(router, standin, tmp_path):
    s = standin()
    long = "demo+events=80+gap_ms=100"
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "models": ["demo", long]}},
                "audit": {"required": "all"}, "drain": "60s"}, dir=str(tmp_path)).wait_up()
    n = STREAMS
    body = request_bytes("POST", DOORS["openai"], body_of("openai", "p/" + long, True))
    streams = [connect(r.port) for _ in range(n)]
    for c in streams:
        c.sendall(body)
    wait_for(lambda: s.stats()["streams_active"] >= n, "all streams run")
    callers = Callers(r.port)
    wait_for(lambda: callers.done > 10, "requests are served")
    new = Next(r)
    assert r.process.poll() is None, "streams go on in the old process"
    before = callers.done
    wait_for(lambda: callers.done > before + 10, "requests are served by the new one")
    for c in streams:
        reply = read_reply(c.makefile("rb"))
        a = understand("openai", True, reply)
        assert reply.complete and a.ended and a.finish == "stop", reply
        c.close()
    gone(r)
    asked = callers.stop()
    new.stop()
    assert rows(r) == n + asked
    told = audit_is_whole(r)
    assert told["records"] >= n + asked


def test_one_handover_after_the_other_and_the_chain_stays_whole(router, standin, tmp_path):
    s = standin()
    path = str(tmp_path / "h.sock")
    r = router({"listen": ["127.0.0.1:0", "unix:" + path], "audit": {"required": "all"},
                "providers": {"p": {"kind": "openai", "url": s.url, "models": ["demo"]}}}, dir=str(tmp_path)).wait_up()
    callers = Callers(r.port)
    for _ in range(HANDOVERS):
        done = callers.done
        new = Next(r)
        assert new.port == r.port
        gone(r)
        assert ask(path, "GET", "/healthz").status == 200
        wait_for(lambda: callers.done > done + 5, "requests are served")
        r = new
    asked = callers.stop()
    r.stop()
    assert rows(r) == asked
    told = audit_is_whole(r)
    assert told["records"] >= asked
    assert not os.path.exists(path), "the last one removes the socket's file"


def test_a_process_that_does_not_get_there_changes_nothing(router, standin, tmp_path):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "models": ["demo"]}},
                "audit": {"required": "all"}}, dir=str(tmp_path)).wait_up()
    callers = Callers(r.port)
    # It asks for all, gets the audit's files as well, and then is gone.
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as c:
        c.connect(os.path.join(r.dir, "state", "handover.sock"))
        c.send(b"take 1")
        assert c.recv(500) == b"side 0"
        text, fds, _, _ = socket.recv_fds(c, 500, 64)
        assert text.startswith(b"listen 127.0.0.1:0") and len(fds) == 2
        for fd in fds:
            os.close(fd)
        assert c.recv(500) == b"end"
        c.send(b"yield")
        text, fds, _, _ = socket.recv_fds(c, 500, 64)
        assert text == b"yielded" and len(fds) == 1
        os.close(fds[0])
    wait_for(lambda: events(r, "handover_failed") and events(r, "audit_taken_back"), "it is noticed")
    done = callers.done
    wait_for(lambda: callers.done > done + 10, "the old one goes on")
    # Refused while the file of the lock is not ours: none; but there may be nobody who talks otherwise.
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as c:
        c.connect(os.path.join(r.dir, "state", "handover.sock"))
        c.send(b"take 999")
        assert c.recv(500).startswith(b"no ")
    callers.ended.set()
    for t in callers.threads:
        t.join(DEADLINE)
    # While nobody could write, requests that must be recorded were refused, and nothing else went wrong.
    assert all(getattr(w, "status", None) == 503 for w in callers.wrong), callers.wrong[:3]
    good = r.config
    r.write({**good, "providers": {"p": {"kind": "nonsense"}}})
    assert r.command("reload", "--take-over").returncode == 2
    r.write(good)
    assert r.chat("openai", "p/demo", False).status == 200
    r.stop()
    audit_is_whole(r)


def test_reload_takes_a_new_program_and_tells_the_service_manager(router, standin, tmp_path):
    s = standin()
    binary = str(tmp_path / "llm-router")
    shutil.copy(router_binary(), binary)
    shutil.copy(router_binary() + ".data", binary + ".data")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE)
        r = router({"providers": {"p": {"kind": "openai", "url": s.url, "models": ["demo"]}}}, start=False, dir=str(tmp_path),
                   env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        r.start(binary=binary)
        assert manager.recv(100) == b"READY=1"
        # What it starts goes on after it, with the same standard error: no pipe, nobody would end it.
        log = tmp_path / "log-reload"

        def reload():
            with open(log, "wb") as out:
                return subprocess.run([binary, "reload", "-c", r.path], env=r.env, cwd=r.dir, stdin=subprocess.DEVNULL,
                                      stdout=out, stderr=out, timeout=DEADLINE).returncode

        assert reload() == 0, log.read_text()
        wait_for(lambda: events(r, "reloaded"), "the same program reads its configuration")
        # An upgrade: another file in its place, as dpkg does it.
        shutil.copy(binary, binary + ".new")
        os.rename(binary + ".new", binary)
        assert reload() == 0, log.read_text()
        told = manager.recv(100)
        assert told.startswith(b"MAINPID=")
        pid = int(told.split(b"=")[1])
        assert pid != r.process.pid and manager.recv(100) == b"READY=1"
        gone(r)
        assert r.ask("GET", "/healthz").status == 200
        os.kill(pid, signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
