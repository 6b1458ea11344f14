# SPDX-License-Identifier: Apache-2.0
"""Answers from the cache, as the official clients read them: whole or streamed, whichever came first, and what they
hand to their users is the same to the last letter."""
import pytest

import clients
from harness import everywhere, wait_for

MODEL = "demo+events=12"
JOBS = [(client, first) for client in clients.PYTHON for first in (False, True)]


@pytest.mark.parametrize("client,first", JOBS, ids=["%s-%s" % (c, "streamed" if f else "whole") for c, f in JOBS])
@pytest.mark.parametrize("kind", ["openai", "ollama", "anthropic"])
def test_the_official_clients_read_what_was_kept(router, standin, client, first, kind):
    s = standin()
    r = router({"providers": {"p": {"kind": kind, "url": s.url, "zone": "local", "models": [MODEL]}},
                "keys": {"require": True},
                "cache": {"bytes": "1MiB"}, "workers": 2}, ready="/healthz")
    key = r.command("keys", "add", "someone", "--cache", "yes", "--admin", "yes").stdout.strip()
    everywhere(lambda: r.ask("GET", "/v1/models", headers={"x-api-key": key}).status == 200, "the key works")
    job = {"url": r.url, "key": key, "model": "p/" + MODEL,
           "prompt": "When does the library open on Sundays?"}
    given = clients.run(client, {**job, "stream": first})
    assert given["error"] is None and given["text"], given
    asked = len(s.requests())
    for stream in (False, True, first):
        again = clients.run(client, {**job, "stream": stream})
        assert again["error"] is None, again
        for what in ("text", "finish", "usage"):
            assert again[what] == given[what], (what, stream, again, given)
    assert len(s.requests()) == asked, "somebody was asked"
    # The last bytes go out a moment before the request is counted.
    wait_for(lambda: r.get("/router/stats", **{"x-api-key": key})["total_requests"] == 4, "all are counted")
    metrics = r.ask("GET", "/metrics", headers={"x-api-key": key}).text
    assert "llm_router_cache_hits_total 3" in metrics and "llm_router_cache_entries 1" in metrics
    stats = r.get("/router/stats", **{"x-api-key": key})
    assert stats["success_count"] == 4 and stats["total_requests"] == 4
