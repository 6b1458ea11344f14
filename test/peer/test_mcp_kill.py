# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a tool server in each of its states, over stdio and over HTTP: the conversation that is in progress ends well, and
when the server is back its tools are used again. A row for each state; test_mcp_soak.py does it under load, at random."""
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from harness import TOP, understand, wait_for

SERVER = os.path.join(TOP, "test/mcp/stalling_server.py")
BEFORE = ["starting", "initialize", "listing"]                          # there are no tools yet
DURING = ["call", "streaming", "elicitation", "sampling"]               # a call is on its way
MODELS = {"agent": "demo+call=1", "general": "demo", "slow": "demo+hang_head"}


class Server:
    """Over stdio the router starts it; over HTTP we do."""

    def __init__(self, folder, over_http):
        self.folder, self.over_http = folder, over_http
        self.process, self.port = None, 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def stall(self, state):
        if os.path.exists(self.path("reached")):
            os.remove(self.path("reached"))
        if state is None and os.path.exists(self.path("stall")):
            os.remove(self.path("stall"))
        elif state is not None:
            with open(self.path("stall"), "w") as f:
                f.write(state)

    def reached(self):
        return os.path.exists(self.path("reached"))

    def start(self):
        if self.over_http:
            self.process = subprocess.Popen([sys.executable, SERVER, self.folder, str(self.port)], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, text=True)
            self.port = int(self.process.stdout.readline())

    def kill(self, pid=None):
        if self.process is None:
            os.kill(pid, signal.SIGKILL)
            return
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process = None

    def config(self):
        where = {"url": "http://127.0.0.1:%d/mcp" % self.port} if self.over_http else \
            {"command": [sys.executable, SERVER, self.folder]}
        return {"s": {**where, "rules": ["*=read,none,auto"]}}


@pytest.fixture(params=["stdio", "http"])
def server(request, tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    one = Server(str(folder), request.param == "http")
    yield one
    one.stall(None)
    if one.process is not None:
        one.kill()
    shutil.rmtree(folder)


def config(standin, server, general="general"):
    return {"providers": {"o": {"kind": "openai", "url": standin.url + "/v1", "models": list(MODELS.values())}},
            "roles": {"general": ["o/" + MODELS[general]]},
            "aliases": {"agent": ["o/" + MODELS["agent"]]},
            "mcp_servers": server.config()}


def talk(r, stream=False):
    reply = r.chat("openai", "agent", stream, prompt="Please act")
    answer = understand("openai", stream, reply)
    assert reply.status == 200 and reply.complete and answer.ended and answer.error is None, (reply, r.log_text()[-3000:])
    return answer.text


class Talk(threading.Thread):
    """One conversation beside the test."""

    def __init__(self, r, stream):
        super().__init__(daemon=True)
        self.r, self.stream, self.text, self.wrong = r, stream, None, None

    def run(self):
        try:
            self.text = talk(self.r, self.stream)
        except (AssertionError, OSError) as e:
            self.wrong = e

    def ends(self):
        self.join(60)
        assert not self.is_alive(), "the conversation does not end"
        assert self.wrong is None, self.wrong


def is_back(r):
    wait_for(lambda: "done" in talk(r), "its tools are used again")


def reached(server):
    wait_for(server.reached, "the state is reached")
    with open(server.path("reached")) as f:
        return int(f.read())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("state", BEFORE)
def test_before_its_tools_are_known(router, standin, server, state, stream):
    server.stall(state)
    server.start()
    r = router(config(standin(), server)).wait_up()
    pid = reached(server)
    assert "done" not in talk(r, stream)            # nobody waits for it
    server.stall(None)
    server.kill(pid)
    assert talk(r, stream) is not None
    server.start()
    is_back(r)


def test_idle(router, standin, server):
    server.start()
    r = router(config(standin(), server)).wait_up()
    is_back(r)
    server.stall("starting")                        # the next one, which a call would wait for
    server.kill(None if server.over_http else child_of(r))
    assert talk(r) is not None
    server.stall(None)
    server.start()
    if not server.over_http:
        kill_stalled(server, r)
    is_back(r)


def child_of(r):
    out = subprocess.run(["pgrep", "-f", "-P", str(r.process.pid), "stalling_server"], capture_output=True, text=True, check=True)
    return int(out.stdout.split()[0])


def kill_stalled(server, r):
    try:
        os.kill(child_of(r), signal.SIGKILL)
    except (subprocess.CalledProcessError, ProcessLookupError):
        pass                                        # it comes up by itself later


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("state", DURING)
def test_while_a_call_is_on_its_way(router, standin, server, state, stream):
    server.start()
    upstream = standin()
    r = router(config(upstream, server, "slow")).wait_up()
    is_back(r)
    server.stall(state)
    one = Talk(r, stream)
    one.start()
    pid = reached(server)
    if state == "sampling":                         # a model is busy with its question, which nobody will hear
        wait_for(lambda: upstream.stats()["requests_active"] >= 1, "the model was asked")
    server.stall(None)
    server.kill(pid)
    if server.over_http and state == "call":
        server.start()                              # the call may be made again, for it only reads
    one.ends()
    wait_for(lambda: upstream.stats()["requests_active"] == 0, "no model works for it any more")
    if server.process is None:
        server.start()
    is_back(r)


def test_stopping(router, standin, server):
    """Taken out of the configuration; the child does not go by itself and is killed while we wait for it."""
    if server.over_http:
        pytest.skip("nobody stops it")
    upstream = standin()
    r = router(config(upstream, server)).wait_up()
    is_back(r)
    server.stall("stopping")
    r.reconfigure(mcp_servers={})
    r.signal(signal.SIGHUP)
    pid = reached(server)
    one = Talk(r, False)
    one.start()
    os.kill(pid, signal.SIGKILL)
    one.ends()
    assert "done" not in talk(r)
    r.stop()
