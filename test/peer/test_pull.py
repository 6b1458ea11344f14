# SPDX-License-Identifier: Apache-2.0
"""Models looked at and fetched: the command pull on a terminal and elsewhere, and what the official clients make
of show, ps, pull, list and retrieve."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import anthropic
import ollama
import openai
import pytest

import clients
from conftest import closing, engine_provider
from fake_ollama import SHOW, SIZE, FakeOllama
from harness import DEADLINE, REPORT, TOP, free_port, router_binary, wait_for

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")
MJS = os.path.join(TOP, "test", "peer", "js", "clients.mjs")


@pytest.fixture
def fake():
    yield from closing(FakeOllama)


@pytest.fixture
def server(fake):
    return fake()


def configuration(server, **more):
    return {"providers": {"oll": {"kind": "ollama", "url": server.url},
                          "oai": {"kind": "openai", "url": "http://127.0.0.1:%d" % free_port(), "models": ["other"]}},
            "roles": {"general": ["oll/llama3.2"]}, **more}


@pytest.fixture
def idle(router, server):
    """A configuration, and nobody who serves it."""
    return lambda **more: router(configuration(server, **more), start=False)


def pull(r, *words, **popen):
    done = subprocess.run([router_binary(), "pull", "-c", r.path, *words], env=r.env, cwd=r.dir,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, **popen)
    assert not REPORT.search(done.stderr), done.stderr
    return done


class Terminal:
    """The command with its standard output on a terminal of that width."""

    def __init__(self, r, *words, columns=80, env=None):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.fd, self.text = ours, ""
        self.child = subprocess.Popen([router_binary(), "pull", "-c", r.path, *words],
                                      env={**r.env, "TERM": "xterm", **(env or {})}, cwd=r.dir,
                                      stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE)
        os.close(theirs)

    def read(self, until=None):
        """Until the text holds that, or the other side is gone."""
        end = time.monotonic() + DEADLINE
        while until is None or until not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, "the command hangs: " + self.text
            try:
                data = os.read(self.fd, 65536)
            except OSError:         # a terminal's other end is gone
                data = b""
            if not data:
                assert until is None, self.text
                break
            self.text += data.decode()
        return self.text

    def end(self):
        self.read()
        os.close(self.fd)
        errors = self.child.communicate(timeout=DEADLINE)[1].decode()
        assert not REPORT.search(errors), errors
        return self.child.returncode, self.text.replace("\r\n", "\n"), errors


# ---- the command, not on a terminal ---------------------------------------------------------------


def test_missing_pulls_what_the_configuration_names_and_the_server_lacks(idle, server):
    r = idle(roles={"general": ["oll/llama3.2", "oll/newmodel"], "fast": ["oll/newmodel", "oll/small"],
                    "tools": ["oai/other"]})
    done = pull(r, "--missing")
    assert done.returncode == 0 and not done.stderr, done
    assert [body["model"] for path, body in server.received if path == "/api/pull"] == ["newmodel", "small"]
    done = pull(r, "--missing")
    assert done.returncode == 0 and done.stdout == "oll: nothing is missing\n", done
    assert len([path for path, _ in server.received if path == "/api/pull"]) == 2


def test_missing_goes_on_after_a_model_that_does_not_come(idle, server):
    server.plan = ["missing", "ok"]
    r = idle(roles={"general": ["oll/nosuch", "oll/newmodel"]})
    done = pull(r, "--missing")
    assert done.returncode == 1 and "oll: " in done.stderr, done
    assert "newmodel" in server.models


def test_missing_says_when_the_server_is_not_there(idle, server):
    r = idle()
    server.kill()
    done = pull(r, "--missing")
    assert done.returncode == 3 and done.stderr.startswith("llm-router: oll: "), done
    assert pull(r, "--missing", "newmodel").returncode == 2


def test_missing_asks_nobody_in_airgap(idle, server):
    done = pull(idle(airgap=True), "--missing")
    assert done.returncode == 1 and "airgap" in done.stderr and not server.received, done


def test_plain_lines_without_a_terminal(idle, server):
    done = pull(idle(), "newmodel")
    assert done.returncode == 0 and not done.stderr, done
    assert not CONTROL.search(done.stdout), done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "newmodel: pulling manifest"
    assert lines[1].startswith("newmodel: pulling a80c4f17acd5: 0 %, 0 B of 1.0 MB")
    assert "newmodel: verifying sha256 digest" in lines
    assert lines[-1].startswith("newmodel is there: 1.0 MB received in ")
    assert len(lines) <= 6, lines       # one for each step, not one for each piece
    assert server.received == [("/api/pull", {"model": "newmodel", "stream": True})]


def test_a_model_that_is_there_is_up_to_date(idle, server):
    server.have["newmodel"] = SIZE
    done = pull(idle(), "newmodel")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "newmodel is up to date"


def test_objects_for_scripts(idle, server):
    server.plan = ["cut", "ok"]
    done = pull(idle(), "--json", "oll/newmodel")
    assert done.returncode == 0, done
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [e["event"] for e in events]
    assert kinds[0] == "progress" and "retry" in kinds and kinds[-1] == "done", kinds
    for e in events:
        assert (e["provider"], e["model"]) == ("oll", "newmodel")
    assert events[-1]["received"] == SIZE and events[-1]["size"] == SIZE and events[-1]["up_to_date"] is False
    assert [e for e in events if e["event"] == "progress" and e["total"] == SIZE]
    server.plan = ["missing"]
    done = pull(idle(), "--json", "newmodel")
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["error"] == "pull model manifest: file does not exist"


def test_it_goes_on_after_a_break(idle, server):
    server.plan = ["cut", "busy", "cut", "ok"]
    done = pull(idle(), "newmodel")
    assert done.returncode == 0, done
    assert done.stderr.count("asking again") == 3, done.stderr
    assert done.stdout.splitlines()[-1].startswith("newmodel is there: 1.0 MB received"), done.stdout
    assert len(server.received) == 4


@pytest.mark.parametrize("plan, words", [("error", "max retries exceeded"), ("missing", "file does not exist"),
                                         ("garbage", "no Ollama")])
def test_what_the_server_reports_ends_it(idle, server, plan, words):
    server.plan = [plan]
    done = pull(idle(), "newmodel")
    assert done.returncode == 1 and words in done.stderr and len(server.received) == 1, done


def test_nobody_there_is_told_at_once(router):
    r = router({"providers": {"oll": {"kind": "ollama", "url": "http://127.0.0.1:%d" % free_port()}}}, start=False)
    done = pull(r, "newmodel")
    assert done.returncode == 1 and "no connection to http://127.0.0.1" in done.stderr, done


def test_who_can_be_asked(idle, server):
    r = idle()
    for words, status, said in ((["oai/x"], 2, "kind openai"), (["--provider", "oai", "x"], 2, "kind openai"),
                                (["--provider", "nobody", "x"], 2, "no provider"), ([], 2, "usage"),
                                (["a", "b"], 2, "usage"), ([" "], 2, "no name"),
                                (["--set", "airgap=true", "x"], 1, "airgap")):
        done = pull(r, *words)
        assert done.returncode == status and said in done.stderr and not done.stdout, (words, done)
    assert not server.received
    done = pull(r, "--provider", "oll", "library/newmodel:7b")
    assert done.returncode == 0
    assert server.received[-1][1]["model"] == "library/newmodel:7b"


def test_output_that_cannot_be_written_is_status_1(idle, server):
    r = idle()
    with open("/dev/full", "w") as full:
        done = subprocess.run([router_binary(), "pull", "-c", r.path, "newmodel"], env=r.env, cwd=r.dir,
                              stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=DEADLINE)
    assert done.returncode == 1 and b"standard output" in done.stderr, done


def test_ctrl_c_leaves_the_server_and_the_next_one_goes_on(idle, server):
    server.hold = threading.Event()
    server.have["newmodel"] = SIZE // 2
    r = idle()
    child = subprocess.Popen([router_binary(), "pull", "-c", r.path, "newmodel"], env=r.env, cwd=r.dir,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = child.stdout.readline() + child.stdout.readline()
    assert "50 %" in first, first
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=DEADLINE)
    assert child.returncode == 130 and "goes on" in errors and not REPORT.search(errors), errors
    assert server.left.wait(DEADLINE)
    server.hold.set()
    done = pull(r, "newmodel")
    assert done.returncode == 0 and "500 kB received" in done.stdout, done


def test_several_servers_under_one_name_are_asked_in_turn(router, fake):
    servers = [fake(), fake()]
    r = router({"providers": {"oll": {"kind": "ollama", "urls": [s.url for s in servers]}}}, start=False)
    done = pull(r, "oll/newmodel")
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("http")] == [s.url + ":" for s in servers]
    assert len([line for line in lines if "is there: 1.0 MB" in line]) == 2
    assert all(s.received == [("/api/pull", {"model": "newmodel", "stream": True})] for s in servers)
    servers[0].plan = ["missing"]
    done = pull(r, "oll/other")
    assert done.returncode == 1 and len(servers[1].received) == 1


def test_the_stand_in_is_pulled_from_as_well(router, standin):
    s = standin("--models", "demo")
    r = router({"providers": {"oll": {"kind": "ollama", "url": s.url}}, "allow_pull": True}).wait_up("oll")
    s.control(rules=[{"n": 1, "path": "/api/pull", "cut": 4}])
    done = pull(r, "fresh")
    assert done.returncode == 0 and "asking again" in done.stderr, done
    assert done.stdout.splitlines()[-1].startswith("fresh is there: 1.0 MB received"), done
    c = ollama.Client(host=r.url, timeout=DEADLINE)
    assert [p.status for p in c.pull("other", stream=True)][-1] == "success"
    assert c.show("demo").modelinfo
    s.control(rules=[{"n": 1, "path": "/api/pull", "cut": 4}])
    with pytest.raises(ollama.ResponseError, match="broke off"):
        list(c.pull("third", stream=True))


# ---- the command, on a terminal -------------------------------------------------------------------


def drawn(text):
    """What each drawing of the line held."""
    return [line.split("\033[K")[0] for line in text.split("\r") if "\033[K" in line]


@pytest.mark.parametrize("columns", [20, 40, 80, 300])
def test_one_line_is_drawn_again_and_again(idle, server, columns):
    server.hold = threading.Event()
    server.have["newmodel"] = SIZE // 4
    t = Terminal(idle(), "newmodel", columns=columns)
    t.read("25 %")
    server.hold.set()
    status, text, errors = t.end()
    assert status == 0 and not errors, errors
    assert text.count("\n") == 1 and text.endswith("s\n"), text     # only the last word stays
    assert "newmodel is there: 750 kB received" in text
    lines = drawn(text)
    assert lines and all(len(line) < columns for line in lines), lines
    assert any("[" in line and ">" in line for line in lines) == (columns >= 80), lines


def test_a_break_does_not_leave_half_a_bar(idle, server):
    server.plan = ["cut", "ok"]
    status, text, errors = Terminal(idle(), "newmodel").end()
    assert status == 0 and "asking again" in errors
    assert text.rsplit("\033[K", 1)[1].startswith("newmodel is there: 1.0 MB"), text


def test_a_dumb_terminal_gets_plain_lines(idle, server):
    status, text, _ = Terminal(idle(), "newmodel", env={"TERM": "dumb"}).end()
    assert status == 0 and not CONTROL.search(text), text


def test_a_name_cannot_steer_the_terminal(idle, server):
    status, text, _ = Terminal(idle(), "new\033[2Jmodel").end()
    assert status == 0 and "\033[2J" not in text


# ---- through the router ---------------------------------------------------------------------------


@pytest.fixture
def served(router, server):
    return router(configuration(server, allow_pull=True)).wait_up("oll")


def test_the_python_client_manages_models(served, server):
    c = ollama.Client(host=served.url, timeout=DEADLINE)
    shown = c.show("llama3.2")
    assert shown.template == SHOW["template"] and shown.capabilities == SHOW["capabilities"]
    assert shown.modelinfo["llama.context_length"] == 131072
    assert "general" in [m.model for m in c.list().models]
    [running] = wait_for(lambda: c.ps().models, "the model in memory is told")
    assert running.model == "llama3.2:latest" and running.size_vram == running.size == SIZE, running
    assert running.context_length == 4096 and running.expires_at.year == 2318, running
    parts = list(c.pull("newmodel", stream=True))
    assert parts[0].status == "pulling manifest" and parts[-1].status == "success"
    assert max(p.completed or 0 for p in parts) == SIZE
    assert c.pull("newmodel").status == "success"
    wait_for(lambda: "newmodel" in [m.model for m in c.list().models], "the new model is listed")


def test_the_python_client_sees_what_went_wrong(served, server):
    c = ollama.Client(host=served.url, timeout=DEADLINE)
    with pytest.raises(ollama.ResponseError, match="model 'nothing' not found") as e:
        c.show("nothing")
    assert e.value.status_code == 404
    for plan, words in (("missing", "file does not exist"), ("error", "max retries"), ("cut", "broke off")):
        server.plan = [plan]
        with pytest.raises(ollama.ResponseError, match=words):
            list(c.pull("newmodel", stream=True))
    for call in (lambda: c.push("x"), lambda: c.delete("x"), lambda: c.copy("x", "y")):
        with pytest.raises(ollama.ResponseError) as e:
            call()
        assert e.value.status_code == 501


def test_pull_is_for_those_who_may(router, server):
    r = router(configuration(server)).wait_up("oll")
    c = ollama.Client(host=r.url, timeout=DEADLINE)
    for more in ({}, {"stream": True}):
        with pytest.raises(ollama.ResponseError, match="allow_pull") as e:
            list(c.pull("newmodel", **more))
        assert e.value.status_code == 403
    assert not [path for path, _ in server.received if path == "/api/pull"]


def test_a_caller_who_leaves_ends_the_download(served, server):
    server.hold = threading.Event()
    c = ollama.Client(host=served.url, timeout=DEADLINE)
    parts = c.pull("newmodel", stream=True)
    assert next(parts).status == "pulling manifest"
    parts.close()
    assert server.left.wait(DEADLINE)


def test_the_npm_client_manages_models(served, server, node):
    def manage(*calls):
        return clients.run_node(node, MJS, [{"client": "js-ollama", "url": served.url, "model": "", "manage": call}
                                            for call in calls])
    show, ps, pulled = [r["managed"] for r in manage(["show", "llama3.2"], ["ps"], ["pull", "newmodel"])]
    assert show["model_info"]["llama.context_length"] == 131072
    assert isinstance(ps["models"], list)
    assert pulled[0]["status"] == "pulling manifest" and pulled[-1]["status"] == "success"
    server.plan = ["missing"]
    results = manage(["show", "nothing"], ["pull", "newmodel"])
    assert results[0]["error"]["status"] == 404 and "not found" in results[0]["error"]["message"], results
    assert "file does not exist" in results[1]["error"]["message"], results


def test_the_engines_model_is_shown_and_running(router, engine):
    r = router({"providers": {"eng": engine_provider(engine, "text")}}).wait_up("eng")
    c = ollama.Client(host=r.url, timeout=DEADLINE)
    [running] = wait_for(lambda: c.ps().models, "the model in memory is told")
    assert running.name == "tiny-text" and running.size > 0 and running.context_length == 1024, running
    assert running.expires_at.year > 2300
    shown = c.show("tiny-text")
    assert shown.modelinfo["%s.context_length" % shown.modelinfo["general.architecture"]] == 1024, shown
    assert "completion" in shown.capabilities


def test_openai_and_anthropic_clients_retrieve_models(served):
    o = openai.OpenAI(base_url=served.url + "/v1", api_key="none", max_retries=0)
    a = anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0)
    for name in ("general", "llama3.2", "oll/llama3.2", "oai/other"):
        assert o.models.retrieve(name).id == name
        assert a.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError):
        o.models.retrieve("nothing")
    with pytest.raises(anthropic.NotFoundError):
        a.models.retrieve("nothing")
    names = [m.id for m in o.models.list()]
    assert [m.id for m in a.models.list(limit=1)] == names      # page by page
    assert [m.id for m in a.models.list(limit=2)] == names
    with pytest.raises(anthropic.BadRequestError):
        a.models.list(limit=0)
