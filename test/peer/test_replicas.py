# SPDX-License-Identifier: Apache-2.0
"""Three routers with their keys on one PostgreSQL server: what one makes or revokes the others know, each gives its part
of a limit, one may be killed, and the server may go and come back."""
import os
import shutil
import subprocess
import tempfile

import pytest

from harness import TOP, router_binary, wait_for

SERVER = os.path.join(TOP, "test/lib/postgres")


@pytest.fixture(scope="module")
def server():
    """Calls test/lib/postgres with a folder that is gone afterwards."""
    if b"without libpq" in subprocess.run(
            [router_binary(), "check", "--set", "store.postgres=host=/nowhere", "--set", "chat.keep=false"],
            capture_output=True, timeout=60).stderr:
        pytest.skip("this build knows no PostgreSQL")
    folder = tempfile.mkdtemp(prefix="lr-pg-", dir="/tmp")

    def call(*words):
        return subprocess.run([SERVER, words[0], folder, *words[1:]], stdin=subprocess.DEVNULL, timeout=240).returncode

    try:
        status = call("start")
        if status == 77:
            pytest.skip("no PostgreSQL server is installed")
        assert status == 0
        call.address = "host=%s/socket user=router dbname=router" % folder
        yield call
        call("stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def config_of(server, s):
    return {"providers": {"p": {"kind": "openai", "url": s.url}}, "keys": {"require": True}, "chat": {"keep": False},
            "limits": {"wrong_keys": 0},
            "store": {"postgres": server.address, "replicas": 3}}


def status(r, key):
    return r.ask("GET", "/v1/models", headers={"x-api-key": key}).status


def knows(r, key, expected=200):
    wait_for(lambda: status(r, key) == expected, "%s of a key" % expected)


def lines(r, event):
    return [line for line in r.log_lines() if line.get("event") == event]


def make(r, *words):
    made = r.command("keys", "add", *words)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def id_of(r, name):
    listed = r.command("keys", "list").stdout
    return next(word for line in listed.splitlines() if name in line for word in line.split() if word.startswith("k_"))


def test_three_routers_have_the_same_keys(router, standin, server):
    s = standin()
    routers = [router(config_of(server, s), ready="/healthz") for _ in range(3)]
    one, two, three = routers
    anna, bert = make(one, "Anna"), make(two, "Bert", "--rpm", "3")
    for r in routers:
        knows(r, anna)
        knows(r, bert)
    assert two.command("keys", "revoke", id_of(three, "Anna")).returncode == 0
    for r in routers:
        knows(r, anna, 401)
        knows(r, bert)

    # each gives a third of the three
    for r in routers:
        got = [r.chat("openai", "p/demo", False, headers={"x-api-key": bert}).status for _ in range(2)]
        assert got == [200, 429], got

    # one is killed, and the others do not care
    three.kill()
    carl = make(one, "Carl")
    for r in (one, two):
        knows(r, carl)

    # the server goes, and who is known is served
    assert server("stop") == 0
    for r in (one, two):
        wait_for(lambda r=r: lines(r, "keys_not_read"), "the server is missed")
        assert status(r, carl) == 200 and status(r, anna) == 401
    refused = one.command("keys", "add", "Dora")
    assert refused.returncode != 0 and "PostgreSQL" in refused.stderr
    start = subprocess.run([router_binary(), "serve", "-c", three.path], capture_output=True, text=True, timeout=120)
    assert start.returncode == 1 and "PostgreSQL" in start.stderr

    # it comes back with all that was there, and is heard again
    assert server("start") == 0
    for r in (one, two):
        wait_for(lambda r=r: lines(r, "keys_readable"), "the server is there again")
    dora = make(two, "Dora")
    for r in (one, two):
        knows(r, dora)
        knows(r, carl)
        assert status(r, anna) == 401
