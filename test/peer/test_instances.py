# SPDX-License-Identifier: Apache-2.0
"""Several servers under one name: conversations stay, load spreads, one that dies is replaced, and it comes back."""
import concurrent.futures
import itertools
import signal

import pytest

from harness import wait_for

LIMITS = {"breaker_failures": 2, "breaker_open": "300ms", "retries": 0}


def many(router, servers, **options):
    r = router({"providers": {"p": {"kind": "openai", "urls": [s.url for s in servers], **options}},
                "probe_interval": "200ms"})
    wait_for(lambda: all(i["is_available"] for i in r.get("/router/providers")[0]["instances"]), "all are known")
    return r


def turn(r, conversation, *more):
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "story %s" % conversation}, *more]
    return r.ask("POST", "/v1/chat/completions", {"model": "p/demo", "messages": messages})


@pytest.mark.tsan
def test_a_conversation_stays_with_one_server_and_conversations_spread(router, standin):
    servers = [standin() for _ in range(3)]
    r = many(router, servers)
    answer = {"role": "assistant", "content": "Once"}, {"role": "user", "content": "and then?"}
    for n in range(12):
        assert turn(r, n).status == 200
        assert turn(r, n, *answer).status == 200
        assert turn(r, n, *answer, *answer).status == 200
    asked = [[q["json"]["messages"][1]["content"] for q in s.requests()] for s in servers]
    assert sum(len(a) for a in asked) == 36
    for n in range(12):     # all turns of it at one server
        assert sorted(a.count("story %d" % n) for a in asked) == [0, 0, 3]
    assert sum(bool(a) for a in asked) >= 2


@pytest.mark.tsan
def test_a_busy_server_shares_its_conversation(router, standin):
    servers = [standin() for _ in range(2)]
    for s in servers:
        s.control(rules=[{"n": -1, "first_ms": 1000}])      # long enough for all to be there at once
    r = many(router, servers, concurrency=2)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: turn(r, "same"), range(8)))
    assert [x.status for x in replies] == [200] * 8
    assert all(len(s.requests()) >= 2 for s in servers)
    assert all(s.stats()["requests_peak"] <= 2 for s in servers if "requests_peak" in s.stats())


@pytest.mark.tsan
def test_a_server_that_dies_is_replaced_and_nobody_notices(router, standin):
    servers = [standin() for _ in range(2)]
    r = many(router, servers, **LIMITS)
    servers[0].close()
    for n in range(10):
        reply = turn(r, n)
        assert reply.status == 200 and reply.header("X-LLM-Provider") == "p", n
    assert len(servers[1].requests()) == 10
    states = {b["provider"]: b for b in r.get("/router/breakers")}
    assert set(states) == {"p#1", "p#2"} and states["p#2"]["state"] == "closed"
    wait_for(lambda: [i["is_available"] for i in r.get("/router/providers")[0]["instances"]] == [False, True],
             "the probe sees it")
    metrics = r.ask("GET", "/metrics").text
    assert 'provider="p#1"' in metrics and 'provider="p#2"' in metrics
    servers[1].close()
    assert turn(r, "last").status in (502, 503)      # 503 if the probe was there first


def test_each_server_has_its_own_breaker(router, standin):
    servers = [standin() for _ in range(2)]
    servers[0].control(rules=[{"n": -1, "status": 500}])
    r = many(router, servers, **{**LIMITS, "breaker_open": "1h", "breaker_open_max": "1h"})
    for n in range(20):
        assert turn(r, n).status == 200, n
    states = {b["provider"]: b["state"] for b in r.get("/router/breakers")}
    assert states == {"p#1": "open", "p#2": "closed"}
    assert len(servers[0].requests()) == 2 and len(servers[1].requests()) == 20


def test_servers_are_added_and_taken_away_by_a_reload(router, standin):
    servers = [standin() for _ in range(3)]
    r = many(router, servers[:2])
    r.reconfigure(providers={"p": {"kind": "openai", "urls": [s.url for s in servers]}})
    r.signal(signal.SIGHUP)
    wait_for(lambda: len(r.get("/router/providers")[0]["instances"]) == 3, "the third one is there")
    # Conversations stay where they began, so it takes new ones until every worker has it, and it was probed.
    fresh = itertools.count()
    wait_for(lambda: turn(r, next(fresh)).status == 200 and servers[2].requests(), "and gets its share")
    r.reconfigure(providers={"p": {"kind": "openai", "url": servers[2].url}})
    r.signal(signal.SIGHUP)
    wait_for(lambda: "instances" not in r.get("/router/providers")[0], "one is left")

    def in_a_row():
        """Of 16 new conversations none goes elsewhere: every worker has it."""
        before = len(servers[2].requests())
        assert all(turn(r, next(fresh)).status == 200 for _ in range(16))
        return len(servers[2].requests()) == before + 16
    wait_for(in_a_row, "it is asked alone")
