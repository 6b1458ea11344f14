# SPDX-License-Identifier: Apache-2.0
"""`llm-router chat`: driven by tmux as a person drives it, and piped as scripts do."""
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile

import pytest

from harness import DEADLINE, REPORT, SENTENCE, TOP, router_binary, wait_for

SLOW = "demo+gap_ms=300"


@pytest.fixture
def served(router, standin):
    up = standin()

    def make(model="demo", **more):
        return router({"providers": {"oai": {"kind": "openai", "url": up.url, "models": ["demo", SLOW],
                                             "zone": "local"}},
                       "roles": {"general": ["oai/" + model]}, **more})
    return make


class Screen:
    """A terminal of tmux with the command in it: keys go in, what a person sees comes out."""

    def __init__(self, r, *words, columns=100, env=None):
        self.dir = tempfile.mkdtemp(prefix="lr-tmux-")
        self.errors = os.path.join(self.dir, "status")
        environment = {**r.env, "LLM_ROUTER_URL": r.url, "TERM": "screen-256color", "LC_ALL": "C.UTF-8", **(env or {})}
        command = "%s chat %s; echo ended with $?; exec sleep 1000" % (
            shlex.quote(router_binary()), " ".join(map(shlex.quote, words)))
        self.tmux("-f", "/dev/null", "-u", "new-session", "-d", "-c", r.dir, "-x", str(columns), "-y", "40", command,
                  env=environment)

    def tmux(self, *words, env=None):
        return subprocess.run(["tmux", "-S", os.path.join(self.dir, "socket"), *words], env=env, check=True,
                              capture_output=True, text=True, timeout=DEADLINE).stdout

    @property
    def text(self):
        return self.tmux("capture-pane", "-p", "-J", "-S", "-200")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)
        self.tmux("send-keys", "Enter")

    def sees(self, pattern):
        def look():
            text = self.text
            assert not REPORT.search(text), text
            return re.search(pattern, text, re.MULTILINE)
        try:
            return wait_for(look, pattern)
        except AssertionError:
            raise AssertionError("never seen: %s\n%s" % (pattern, self.text)) from None

    def close(self):
        subprocess.run(["tmux", "-S", os.path.join(self.dir, "socket"), "kill-server"], capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    kill = close


@pytest.fixture
def screen():
    if shutil.which("tmux") is None:
        pytest.skip("no tmux: ./dev setup test installs it")
    made = []
    yield lambda *args, **more: made.append(Screen(*args, **more)) or made[-1]
    for one in made:
        one.close()


def chat(r, *words, **more):
    more = more if "input" in more else {"stdin": subprocess.DEVNULL, **more}
    done = subprocess.run([router_binary(), "chat", *words], env={"LLM_ROUTER_URL": r.url, **r.env}, cwd=r.dir,
                          capture_output=True, text=True, timeout=DEADLINE, **more)
    assert not REPORT.search(done.stderr), done.stderr
    return done


def test_a_question_in_a_pipe_is_one_question(served):
    r = served()
    done = chat(r, input="first line\nsecond line\n")
    assert done.returncode == 0 and done.stdout == SENTENCE + "\n", done
    assert "local" in done.stderr and "demo" in done.stderr
    done = chat(r, "why?")
    assert done.returncode == 0 and done.stdout == SENTENCE + "\n", done


def test_a_person_asks_and_leaves(served, screen):
    r = served()
    s = screen(r)
    s.sees(r"^hybrid> ")
    s.type("what is it?")
    s.sees("Hello from the stand-in")
    s.sees(r"local · demo · oai · \d")
    s.keys("Up")
    s.sees(r"^hybrid> what is it\?$")
    s.keys("C-c")
    s.type("/mode local")
    s.sees("mode local, model auto")
    s.sees(r"^local> ")
    s.type("/help")
    s.sees(r"/retry")
    s.type("/nonsense")
    s.sees("There is no /nonsense")
    s.type("/retry")
    s.sees(r"(?s)(Hello from the stand-in.*){2}")
    s.keys("C-d")
    s.sees("ended with 0")
    history = os.path.join(r.dir, ".local/state/llm-router/chat-history")
    assert open(history).read() == "what is it?\n"
    assert stat.S_IMODE(os.stat(history).st_mode) == 0o600


def test_conversations_are_found_opened_and_exported(served, screen):
    r = served()
    s = screen(r)
    s.sees(r"^hybrid> ")
    s.type("what is it?")
    s.sees(r"local · demo")
    s.type("/title The first one")
    s.sees("^The first one$")
    s.type("/new")
    s.sees(r"(?s)(Conversation [0-9a-f-]{36}.*){2}")
    s.type("/sessions first")
    s.sees(r"^1 +20\d\d-.* The first one$")
    s.type("/open 1")
    s.sees(r"^Conversation [0-9a-f-]{36}: The first one$")
    s.type("/export")
    s.sees(r"^# The first one$")
    s.type("/export it.json")
    s.sees("written to it.json")
    s.type("/export it.json")
    s.sees("it.json: File exists")
    s.type("/edit what was it?")
    s.sees(r"(?s)(local · demo.*){2}")
    s.type("/quit")
    s.sees("ended with 0")
    with open(os.path.join(r.dir, "it.json")) as f:
        kept = json.load(f)
    assert [m["role"] for m in kept["messages"]] == ["user", "assistant"]


def test_ctrl_c_stops_the_answer_and_not_the_program(served, screen):
    r = served(SLOW)
    s = screen(r)
    s.sees(r"^hybrid> ")
    s.type("go on")
    s.sees("Hello")
    s.keys("C-c")
    s.sees(r"\(stopped\)")
    s.sees(r"(?s)stopped.*^hybrid> ")
    s.keys("C-c")
    s.keys("C-c")
    s.sees("ended with 0")


@pytest.mark.parametrize("key, decision, result", [("y", "approved", "< hello"), ("n", "denied", "< failed: ")])
def test_a_call_that_changes_something_is_asked_about(router, standin, screen, key, decision, result):
    up = standin()
    server = {"command": [sys.executable, os.path.join(TOP, "test/mcp/server.py")], "zone": "local",
              "rules": ["echo=write,none,ask"]}
    r = router({"providers": {"oai": {"kind": "openai", "url": up.url, "models": ["demo"], "zone": "local"}},
                "roles": {"general": ["oai/demo"], "tools": ["oai/demo"]}, "mcp_servers": {"everyone": server}})
    up.control(rules=[{"n": 1, "call": 1, "call_name": "everyone__echo", "call_args": '{"text":"hello"}'}])
    s = screen(r)
    s.sees(r"hybrid> ")
    s.type("echo hello with the tool")
    s.sees(r"^Approval: .*echo of everyone \(.*hello")
    s.sees(r"^Allow it\? ")
    s.type(key)
    s.sees("^Decided: " + decision)
    s.sees("^" + result)
    s.sees(r"> $")
    s.keys("C-d")
    s.sees("ended with 0")


def test_history_is_kept_only_if_wanted(served, screen):
    r = served()
    s = screen(r, "--no-history")
    s.sees(r"^hybrid> ")
    s.type("what is it?")
    s.sees("Hello from the stand-in")
    s.sees(r"local · demo")
    s.keys("C-d")
    s.sees("ended with 0")
    assert not os.path.exists(os.path.join(r.dir, ".local/state/llm-router/chat-history"))


def test_what_is_private_is_in_no_file(served, screen):
    r = served()
    s = screen(r)
    s.sees(r"^hybrid> ")
    s.type("Patient Jane Miller, MRN 4471234, was admitted with pneumonia.")
    s.sees("private now")
    s.sees(r"^private, \w+> $")
    s.type("and what now?")
    s.sees(r"(?s)(Hello from the stand-in.*){2}")
    s.sees(r"> $")
    s.keys("C-d")
    s.sees("ended with 0")
    assert open(os.path.join(r.dir, ".local/state/llm-router/chat-history")).read() == ""


def test_letters_of_all_scripts_are_typed_and_shown(served, screen):
    s = screen(served())
    s.sees(r"^hybrid> ")
    s.tmux("send-keys", "-l", "grüße 日本 x")
    s.sees(r"^hybrid> grüße 日本 x")
    s.keys("BSpace", "BSpace", "BSpace", "Enter")
    s.sees("Hello from the stand-in")


def test_a_lost_connection_is_told(served, screen):
    r = served()
    s = screen(r)
    s.sees(r"^hybrid> ")
    r.process.terminate()
    r.process.wait(DEADLINE)
    s.sees("connection was lost")


def test_nobody_there_is_told(served):
    done = chat(served(), "--url", "http://127.0.0.1:1", "x")
    assert done.returncode == 3 and "127.0.0.1:1" in done.stderr, done


def test_a_wrong_session_is_refused(served):
    r = served()
    done = chat(r, "--session", "x y", "q")
    assert done.returncode == 2
