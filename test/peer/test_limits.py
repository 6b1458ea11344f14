# SPDX-License-Identifier: Apache-2.0
"""Limits as the official clients meet them: they raise their RateLimitError, see when to come again, and where they may
try again by themselves they wait as told and get their answer. And over all workers a limit is one limit."""
import threading
import time

import anthropic
import openai
import pytest

import clients
from harness import SENTENCE, everywhere, wait_for


def limited(router, standin, *rules):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url}}, "keys": {"require": True}, "workers": 2},
               ready="/healthz")
    key = r.command("keys", "add", "someone", *rules).stdout.strip()
    everywhere(lambda: r.ask("GET", "/v1/models", headers={"x-api-key": key}).status == 200, "the key works")
    return r, key


@pytest.mark.parametrize("client", clients.PYTHON)
def test_the_official_clients_see_a_limit(router, standin, client):
    r, key = limited(router, standin, "--rpm", "2")
    job = {"url": r.url, "model": "p/demo", "stream": False, "key": key}
    for _ in range(2):
        assert clients.run(client, job)["text"] == SENTENCE
    for stream in (False, True):
        error = clients.run(client, {**job, "stream": stream})["error"]
        assert error["class"] == ("ResponseError" if "ollama" in client else "RateLimitError"), error
        assert error["status"] == 429 and "2 requests a minute" in error["message"]
        if "ollama" not in client:
            assert 1 <= int(error["retry_after"]) <= 30


def test_openai_waits_as_told_and_gets_its_answer(router, standin):
    r, key = limited(router, standin, "--rpm", "60")
    ask = {"model": "p/demo", "messages": [{"role": "user", "content": "Hi"}]}
    with openai.OpenAI(base_url=r.url + "/v1", api_key=key, max_retries=0) as hasty, \
            openai.OpenAI(base_url=r.url + "/v1", api_key=key, max_retries=1) as patient:
        seen = []
        while True:
            try:
                raw = hasty.chat.completions.with_raw_response.create(**ask)
                seen.append(int(raw.headers["x-ratelimit-remaining-requests"]))
                assert raw.headers["x-ratelimit-limit-requests"] == "60"
                assert raw.headers["x-ratelimit-reset-requests"].endswith("s")
            except openai.RateLimitError as e:
                assert e.code == "rate_limit_exceeded" and e.response.headers["retry-after"] == "1"
                break
        assert len(seen) >= 60 and seen[0] == 59
        assert patient.chat.completions.create(**ask).choices[0].message.content == SENTENCE


def test_anthropic_waits_as_told_and_gets_its_answer(router, standin):
    r, key = limited(router, standin, "--rpm", "60", "--tpm", "1M")
    ask = {"model": "p/demo", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
    with anthropic.Anthropic(base_url=r.url, api_key=key, max_retries=0) as hasty, \
            anthropic.Anthropic(base_url=r.url, api_key=key, max_retries=1) as patient:
        while True:
            try:
                raw = hasty.messages.with_raw_response.create(**ask)
                assert raw.headers["anthropic-ratelimit-requests-limit"] == "60"
                assert raw.headers["anthropic-ratelimit-tokens-limit"] == "1000000"
                assert raw.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
            except anthropic.RateLimitError as e:
                assert e.response.headers["retry-after"] == "1"
                break
        assert patient.messages.create(**ask).content[0].text == SENTENCE


def test_all_workers_share_one_limit(router, standin):
    r, key = limited(router, standin, "--rpm", "100")
    statuses, lock, began = [], threading.Lock(), time.monotonic()

    def caller():
        for _ in range(20):
            status = r.chat("openai", "p/demo", False, {"x-api-key": key}).status
            with lock:
                statuses.append(status)

    threads = [threading.Thread(target=caller) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    good = statuses.count(200)
    may = 100 + (time.monotonic() - began) * 100 / 60 + 1       # it fills again while they ask
    assert good + statuses.count(429) == 200 and 100 <= good <= may, (statuses, may)
