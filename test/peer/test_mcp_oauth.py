# SPDX-License-Identifier: Apache-2.0
"""A tool server that wants a login, from the first refusal to the last: nobody is here, a person logs in, tokens grow old,
are refreshed, revoked, given up; answers that are forged. The person's browser is three lines of ours."""
import json
import os
import stat
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import pytest

from harness import DEADLINE, TOP, ask, router_binary, wait_for

BOTH = "application/json, text/event-stream"


class Server:
    """test/mcp/oauth_server.py"""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, os.path.join(TOP, "test/mcp/oauth_server.py")],
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = "http://127.0.0.1:%d/mcp" % self.port

    def control(self, **wanted):
        return ask(self.port, "POST", "/control", wanted).json

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def server():
    s = Server()
    yield s
    s.close()


@pytest.fixture
def door(router, standin, server):
    one = standin()

    def make(**oauth):
        row = {"url": server.url, "rules": ["*=read,none,auto"], **({"oauth": oauth} if oauth else {})}
        r = router({"providers": {"near": {"kind": "openai", "url": one.url, "models": ["demo"]}},
                    "mcp_servers": {"tools": row}}, workers=1, env={"ROBOT_SECRET": "s3cret&robot"})
        return r
    return make


# ---- a person with a browser ---------------------------------------------------------------------


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def follow(url):
    """Where the page of the authorization server leads to."""
    try:
        urllib.request.build_opener(NoRedirect).open(url, timeout=DEADLINE)
    except urllib.error.HTTPError as e:
        assert e.code == 302, e
        return e.headers["Location"]
    raise AssertionError("the page leads nowhere")


def come_back(url):
    there = urllib.parse.urlsplit(url)
    return ask(there.port, "GET", there.path + "?" + there.query)


class Login:
    """`mcp login`, up to the address that it prints."""

    def __init__(self, r, *flags):
        self.process = subprocess.Popen([router_binary(), "mcp", "login", "tools", "-c", r.path, *flags], env=r.env, cwd=r.dir,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def end(self, pasted=None):
        _, err = self.process.communicate(pasted, timeout=DEADLINE)
        return self.process.returncode, err


def log_in(r):
    login = Login(r)
    reply = come_back(follow(login.url))
    assert reply.status == 200 and "can be closed" in reply.text
    status, err = login.end()
    assert status == 0 and "Logged in at tools" in err, err


# ---- the router ----------------------------------------------------------------------------------


def call(r, text):
    reply = ask(r.port, "POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                                         "params": {"name": "tools__echo", "arguments": {"text": text}}},
                {"Content-Type": "application/json", "Accept": BOTH, "MCP-Protocol-Version": "2025-11-25"})
    return reply.json.get("result") or {"isError": True, "content": [{"text": reply.json["error"]["message"]}]}


def says(r, text):
    return call(r, text) == {"content": [{"type": "text", "text": text}]}


def assert_silent(r, server):
    """No token, code or secret ever stood in the log."""
    log = r.log_text()
    issued = server.control()["issued"]
    for secret in [*issued, "s3cret&robot"]:
        assert secret not in log
    assert "Bearer" not in log


def check(r):
    done = r.command("mcp", "check")
    return done.returncode, done.stdout


def test_a_login_and_all_that_becomes_of_it(door, server):
    r = door()
    status, out = check(r)
    assert status == 3 and "tools: down: it wants a login: nobody has logged in (llm-router mcp login)" in out, out
    log_in(r)
    kept = os.path.join(r.dir, "state", "mcp", "tools.json")
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(kept)).st_mode) == 0o700
    wait_for(lambda: says(r, "hello"), "the running router has noticed")
    # Tokens grow old, again and again; the refresh token is another one each time.
    for i in 1, 2, 3:
        server.control(expire=True)
        assert says(r, "hello %d" % i)
        assert server.control()["refreshed"] == i
    # A command beside the router refreshes, too: neither spoils it for the other.
    server.control(expire=True)
    assert check(r)[0] == 0
    assert says(r, "shared") and server.control()["refreshed"] == 4
    # An authorization server that is busy costs nobody his login.
    server.control(expire=True, wrong="busy")
    assert call(r, "busy")["isError"]
    server.control(wrong="")
    wait_for(lambda: says(r, "well again"), "it is asked again")
    # The login is revoked at the server: the reason is told, and only a person can help.
    server.control(expire=True, revoke=True)
    assert "login" in call(r, "revoked")["content"][0]["text"]
    assert "access_token" not in json.load(open(kept)) and "refresh_token" not in json.load(open(kept))
    status, out = check(r)
    assert status == 3 and "nobody has logged in" in out
    log_in(r)
    wait_for(lambda: says(r, "back"), "the second login counts")
    # It is given up here: the router has it no longer.
    done = r.command("mcp", "logout", "tools")
    assert done.returncode == 0 and not os.path.exists(kept)
    wait_for(lambda: call(r, "gone").get("isError"), "the router has heard of it")
    assert r.command("mcp", "logout", "tools").returncode == 0
    assert_silent(r, server)


def test_a_login_by_a_browser_elsewhere(door, server):
    r = door()
    login = Login(r, "--paste")
    back = follow(login.url)
    forged = back.replace("state=", "state=x")
    status, err = login.end(forged + "\n" + back + "\n")
    assert status == 0 and "Once more" in err and "Logged in" in err, err
    wait_for(lambda: says(r, "hello"), "the running router has noticed")
    login = Login(r, "--paste")
    status, err = login.end("")
    assert status == 1 and "there was no answer" in err
    assert says(r, "still")


def test_forged_answers(door, server):
    r = door()
    server.control(wrong="state")
    login = Login(r)
    assert come_back(follow(login.url)).status == 400
    assert come_back(login.url.replace("/authorize", "/other")).status == 404
    server.control(wrong="")
    assert come_back(follow(login.url)).status == 200     # it went on waiting for the right one
    assert login.end()[0] == 0
    r.command("mcp", "logout", "tools")

    server.control(wrong="issuer")
    login = Login(r)
    assert come_back(follow(login.url)).status == 200
    status, err = login.end()
    assert status == 4 and "came from another authorization server" in err, err
    assert not os.path.exists(os.path.join(r.dir, "state", "mcp", "tools.json"))


def test_another_authorization_server_than_ours(door, server):
    r = door(issuer="http://127.0.0.1:%d/elsewhere" % server.port)
    done = r.command("mcp", "login", "tools")
    assert done.returncode == 3 and "names another authorization server than the configuration" in done.stderr
    assert server.control()["registered"] == 0


def test_client_credentials_need_nobody(door, server):
    r = door(client_id="robot", secret_env="ROBOT_SECRET", client_credentials=True)
    wait_for(lambda: says(r, "hello"), "it gets its token by itself")
    server.control(expire=True)
    assert says(r, "again")
    told = server.control()
    assert told["logins"] == 0 and told["credentials"] >= 2
    assert r.command("mcp", "login", "tools").returncode == 0
    assert_silent(r, server)


def test_where_there_is_no_login(router, standin, server):
    one = standin()
    r = router({"providers": {"near": {"kind": "openai", "url": one.url, "models": ["demo"]}},
                "mcp_servers": {"keyed": {"url": server.url, "key_env": "KEY"},
                                "child": {"command": [sys.executable, os.path.join(TOP, "test/mcp/server.py")]}}},
               workers=1, env={"KEY": "k1"})
    for name, text in ("keyed", "takes the place of a login"), ("child", "is a program"), ("none", "there is no such"):
        done = r.command("mcp", "login", name)
        assert done.returncode == 2 and text in done.stderr, done.stderr
    assert r.command("mcp", "logout", "../x").returncode == 2
