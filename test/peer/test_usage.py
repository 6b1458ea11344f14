# SPDX-License-Identifier: Apache-2.0
"""Cost, savings and budgets: what the router wrote about real traffic, read by the command, over HTTP and from the
file; what is left after kill -9 and while the file cannot be written; that nothing of a caller's text is in it."""
import concurrent.futures
import contextlib
import csv
import datetime
import io
import json
import os
import random
import signal
import sqlite3
import time

import pytest

from harness import SENTENCE, everywhere, wait_for

HOUR = 3600
# Two cents a request at the prices below: 11 prompt tokens, 1000 for the answer.
CLOUD = "priced+prompt_tokens=10000+tokens=1000"
PRICES = {"far/priced*": ["in=1 out=10"], "far/dear": ["in=100 out=1000"]}


def mixed(router, standin, **config):
    """One provider at home, one in the cloud with a price."""
    home, cloud = standin(), standin()
    r = router({"providers": {"near": {"kind": "openai", "url": home.url, "retries": 0, "models": ["demo"]},
                              "far": {"kind": "openai", "url": cloud.url, "zone": "cloud", "retries": 0,
                                      "models": [CLOUD, "demo"]}},
                "roles": {"general": ["near/demo"], "outside": ["far/" + CLOUD, "near/demo"]},
                "prices": PRICES, "shipped_prices": False, "ledger": {"interval": "10ms", "reference": "far/" + CLOUD,
                                                                      **config.pop("ledger", {})},
                **config})
    r.home, r.cloud = home, cloud
    return r


def rows(r, what="*", where="1"):
    with contextlib.closing(sqlite3.connect("file:%s/state/ledger.db?mode=ro" % r.dir, uri=True)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT %s FROM exchange WHERE %s ORDER BY id" % (what, where))]


def usage(r, *flags):
    done = r.command("usage", "--json", *flags)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def settled(r, n):
    """So many rows are in the file."""
    def there():
        with contextlib.suppress(sqlite3.OperationalError):     # not there yet, or not whole
            return len(rows(r, "id")) >= n
    wait_for(there, "%d rows" % n)
    return rows(r)


# ---- what it cost --------------------------------------------------------------------------------


@pytest.mark.tsan
def test_every_exchange_has_its_row_and_its_price(router, standin):
    r = mixed(router, standin)
    uuid = "123e4567-e89b-42d3-a456-426614174000"
    for stream in (False, True):
        assert r.chat("openai", "general", stream, {"X-Request-ID": uuid}).status == 200
        reply = r.chat("anthropic", "outside", stream)
        assert reply.status == 200 and reply.header("X-LLM-Provider") == "far", reply
    assert r.chat("ollama", "nothing-of-that-name", False).status == 404
    found = settled(r, 5)
    assert [(row["provider"], row["local"], row["outcome"]) for row in found] == \
        [("near", 1, "ok"), ("far", 0, "ok")] * 2 + [(None, 0, "model_not_found")]
    assert [row["door"] for row in found] == ["openai", "anthropic"] * 2 + ["ollama"]
    assert [row["cost_micro"] for row in found] == [0, 20000, 0, 20000, 0]
    assert found[1]["model"] == CLOUD and found[1]["attempts"] == "far:ok"
    assert (found[1]["input"], found[1]["output"]) == (10000, 1000)
    # 11 tokens in, 8 out, by the reference's price
    assert [row["reference_micro"] for row in found] == [91, 20000, 91, 20000, 0]
    assert found[0]["request_id"] == uuid and found[0]["total_us"] > 0
    for row in found:
        assert row["total_us"] == row["router_us"] + row["queue_us"] + row["upstream_us"] or row["upstream_us"] < 0
    report = r.get("/router/usage?by=provider")
    assert report == usage(r, "--by", "provider")
    assert [(row["provider"], row["requests"], row["cost_usd"]) for row in report["rows"]] == \
        [("far", 2, 0.04), ("near", 2, 0.0), ("none", 1, 0.0)]
    total = report["total"]
    assert total["requests"] == 5 and total["answered"] == 4 and total["local"] == 2
    assert total["saved_usd"] == pytest.approx(0.000182) and total["saved_by_local_usd"] == pytest.approx(0.000182)
    assert report["reference_model"] == "far/" + CLOUD and "estimate" in report["note"]
    metrics = r.ask("GET", "/metrics").text
    assert 'llm_router_cost_microdollars_total{provider="far"} 40000' in metrics
    assert 'llm_router_budget_spent_microdollars{period="day"} 40000' in metrics


def test_reports_come_in_every_form_with_and_without_a_router(router, standin):
    r = mixed(router, standin)
    for i in range(3):
        r.chat("openai", "outside" if i else "general", False, {"X-LLM-Task": "explanation"} if i else {})
    settled(r, 3)
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    for by, first in (("day", today), ("class", "explanation"), ("model", "far/" + CLOUD), ("key", "none"),
                      ("provider", "far")):
        report = usage(r, "--by", by)
        assert report["rows"][0][by] == first and sum(row["requests"] for row in report["rows"]) == 3
        done = r.command("usage", "--csv", "--by", by)
        table = list(csv.DictReader(io.StringIO(done.stdout)))
        assert [row[by] for row in table] == [row[by] for row in report["rows"]]
        assert [float(row["cost_usd"]) for row in table] == [row["cost_usd"] for row in report["rows"]]
        over_http = r.ask("GET", "/router/usage?format=csv&by=" + by)
        assert over_http.header("Content-Type").startswith("text/csv") and over_http.text == done.stdout.replace("\n", "\r\n")
    text = r.command("usage").stdout
    assert today in text and "IN THE CLOUD is what far/" in text and "$0.04" in text and "█" not in text
    assert usage(r, "--until", "2020-01-01")["rows"] == []
    for wrong in (["--by", "hour"], ["--since", "soon"], ["--since", "2026-02-30"]):
        assert r.command("usage", *wrong).returncode == 2
    for wrong in ("by=hour", "since=x", "until=1", "format=xml", "since=%zz"):
        reply = r.ask("GET", "/router/usage?" + wrong)
        assert reply.status in (400, 422) and reply.json["code"] == "invalid_request", reply
    r.signal(signal.SIGTERM)
    wait_for(lambda: r.process.poll() is not None, "ended")
    assert usage(r)["total"]["requests"] == 3


def test_without_a_ledger_there_is_an_empty_report(router, standin):
    r = router({"providers": {"p": {"kind": "openai", "url": standin().url}}}, start=False)
    report = usage(r)
    assert report["rows"] == [] and report["total"]["requests"] == 0
    assert "no ledger yet" in r.command("usage").stderr


def test_attempts_that_were_thrown_away_are_paid_for(router, standin):
    r = mixed(router, standin)
    r.cloud.control(rules=[{"n": 1, "knobs": "cut=3"}])
    cut = r.chat("openai", "outside", True)
    assert "upstream_cut" in cut.text
    row = settled(r, 1)[0]
    assert row["outcome"] == "upstream_cut" and row["provider"] == "far" and row["estimated"] == 1
    assert row["cost_micro"] > 0 and row["output"] > 0, row


def test_prices_change_with_a_reload(router, standin):
    r = mixed(router, standin)
    r.chat("openai", "outside", False)
    r.reconfigure(prices={"far/priced*": ["in=2 out=20"]})
    r.signal(signal.SIGHUP)
    wait_for(lambda: any(line.get("event") == "reloaded" for line in r.log_lines()), "reloaded")
    wait_for(lambda: r.chat("openai", "outside", False).status == 200 and settled(r, 1)[-1]["cost_micro"] == 40000,
             "dearer")
    assert rows(r)[0]["cost_micro"] == 20000


# ---- who may read it -----------------------------------------------------------------------------


def test_a_key_reads_its_own_figures(router, standin):
    r = mixed(router, standin, keys={"require": True})
    names = ("admin", "first", "second")
    keys = {}
    for name in names:
        made = r.command("keys", "add", "--json", name, *(["--admin", "yes"] if name == "admin" else []))
        keys[name] = json.loads(made.stdout)
    bearer = {name: {"Authorization": "Bearer " + keys[name]["key"]} for name in names}
    everywhere(lambda: r.ask("GET", "/v1/models", headers=bearer["second"]).status == 200, "the keys are known")
    for name, n in (("first", 1), ("second", 2)):
        for _ in range(n):
            assert r.chat("openai", "outside", False, bearer[name]).status == 200
    assert r.ask("GET", "/router/usage").status == 401

    def by_key(name):
        return r.ask("GET", "/router/usage?by=key", headers=bearer[name]).json

    wait_for(lambda: by_key("admin")["total"]["requests"] == 3, "all are counted")
    one = by_key("first")
    assert [row["key"] for row in one["rows"]] == [keys["first"]["id"]] and one["total"]["requests"] == 1
    assert "budget" not in one
    everything = by_key("admin")
    assert {row["key"]: row["requests"] for row in everything["rows"]} == {keys["first"]["id"]: 1, keys["second"]["id"]: 2}
    assert everything["budget"]["day"]["spent_usd"] == 0.06


# ---- budgets -------------------------------------------------------------------------------------


def test_a_budget_that_is_used_up_keeps_calls_at_home(router, standin):
    """Each call costs two cents; the estimate before it is about one, so the third is the last."""
    r = mixed(router, standin, budget={"day": "0.055", "warn": "30%", "critical": "70%"})
    for _ in range(3):
        assert r.chat("openai", "far/" + CLOUD, False).status == 200
    for door in ("openai", "anthropic", "ollama", "native"):
        refused = r.chat(door, "far/" + CLOUD, False)
        assert refused.status == 429, refused
        assert 0 < int(refused.header("Retry-After")) <= 24 * HOUR
        assert "budget" in refused.text
        at_home = r.chat(door, "outside", door == "openai")
        assert at_home.status == 200 and at_home.header("X-LLM-Provider") == "near", at_home
    assert len(r.cloud.requests()) == 3
    levels = [line["state"] for line in r.log_lines() if line.get("event") == "budget" and line["budget"] == "day"]
    assert levels == ["warning", "critical", "exhausted"]
    told = json.loads(r.command("explain", "--offline", "--json", "-m", "outside", "Hi").stdout)
    assert told["skipped"][0]["why"] == "the budget for cloud models is used up"
    report = r.get("/router/usage")
    assert report["budget"]["day"] == {"spent_usd": 0.06, "limit_usd": 0.055, "level": "exhausted"}
    metrics = r.ask("GET", "/metrics").text
    assert 'llm_router_budget_level{period="day"} 3' in metrics and 'llm_router_budget_refused_total 8' in metrics
    assert "budget today: $0.06 of $0.055, exhausted" in r.command("usage").stdout
    found = settled(r, 11)
    assert [row["outcome"] for row in found].count("budget_exhausted") == 4
    assert found[-1]["attempts"] == "far:budget near:ok"
    # The money that was spent is still spent after a restart, and a larger budget holds from a reload on.
    r.signal(signal.SIGTERM)
    wait_for(lambda: r.process.poll() is not None, "ended")
    r.start()
    r.wait_up()
    assert r.chat("openai", "far/" + CLOUD, False).status == 429
    r.reconfigure(budget={"day": "1"})
    r.signal(signal.SIGHUP)
    wait_for(lambda: r.chat("openai", "far/" + CLOUD, False).status == 200, "the new budget holds")


def test_many_at_once_do_not_overspend(router, standin):
    r = mixed(router, standin, budget={"day": "0.10"})
    body = {"model": "far/" + CLOUD, "max_tokens": 2000, "messages": [{"role": "user", "content": "Hi"}]}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: r.ask("POST", "/v1/chat/completions", body).status, range(32)))
    # The estimate, 2000 tokens of answer, is two cents; the cost is two cents as well: five fit, and not one more.
    assert 4 <= replies.count(200) <= 5 and replies.count(429) == 32 - replies.count(200), replies
    assert r.get("/router/usage")["budget"]["day"]["spent_usd"] <= 0.10


def test_who_has_priority_passes_and_a_soft_budget_only_warns(router, standin):
    r = mixed(router, standin, budget={"day": "0.015", "priority": ["multi_step"]})
    assert r.chat("openai", "far/" + CLOUD, False).status == 200
    assert r.chat("openai", "far/" + CLOUD, False).status == 429
    assert r.chat("openai", "far/" + CLOUD, False, {"X-LLM-Task": "multi_step"}).status == 200
    r.reconfigure(budget={"day": "0.015", "hard_stop": False})
    r.signal(signal.SIGHUP)
    wait_for(lambda: r.chat("openai", "far/" + CLOUD, False).status == 200, "it only warns")


# ---- what can go wrong ---------------------------------------------------------------------------


def test_nothing_of_a_callers_text_is_in_it(router, standin):
    r = mixed(router, standin)
    canary = "Canary-Maria-Lopez-123-45-6789"
    for door in ("openai", "anthropic", "ollama", "native"):
        for model in ("general", "near/" + canary, canary, "far/" + canary):
            r.chat(door, model, door == "openai", {"X-Request-ID": canary, "User-Agent": canary}, prompt=canary)
    r.ask("POST", "/api/show", {"model": canary})
    settled(r, 8)
    r.signal(signal.SIGTERM)
    wait_for(lambda: r.process.poll() is not None, "ended")
    seen = 0
    for where, _, names in os.walk(r.dir + "/state"):
        for name in filter(lambda name: os.path.isfile(os.path.join(where, name)), names):
            with open(os.path.join(where, name), "rb") as f:
                data = f.read()
            seen += len(data)
            assert b"anary" not in data and b"Lopez" not in data and SENTENCE[:20].encode() not in data, name
    assert seen > 0
    log = r.log_text()
    assert '"exchange"' in log and "anary" not in log and "Lopez" not in log


def test_what_was_written_survives_kill_9(router, standin):
    r = mixed(router, standin, ledger={"interval": "20ms"})
    for _ in range(3):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            done = [pool.submit(r.chat, "openai", "outside", False) for _ in range(40)]
            time.sleep(random.random() * 0.05)
            r.process.kill()
            r.process.wait()
            for one in done:
                with contextlib.suppress(Exception):
                    one.result()
        with contextlib.closing(sqlite3.connect(r.dir + "/state/ledger.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            assert db.execute("SELECT count(*), total(cost_micro) FROM exchange").fetchone() == \
                db.execute("SELECT total(requests), total(cost_micro) FROM sums").fetchone()
        r.start()
        r.wait_up()
    before = len(rows(r))
    assert r.chat("openai", "outside", False).status == 200
    settled(r, before + 1)


def test_exchanges_go_on_while_the_file_cannot_be_written(router, standin):
    r = mixed(router, standin, ledger={"queue": 16, "required": True})
    r.chat("openai", "general", False)
    settled(r, 1)
    with contextlib.closing(sqlite3.connect(r.dir + "/state/ledger.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        for _ in range(30):
            assert r.chat("openai", "general", False).status == 200
        wait_for(lambda: r.ask("GET", "/readyz").status == 503, "it is required")
        assert "ledger" in r.ask("GET", "/readyz").text
        wanted = ("llm_router_ledger_failing 1", "llm_router_ledger_lost_total 14", "llm_router_ledger_rows_waiting 16")
        wait_for(lambda: all(one in r.ask("GET", "/metrics").text for one in wanted), "all thirty are counted")
        wait_for(lambda: any(line.get("event") == "ledger_rows_lost" for line in r.log_lines()), "it is logged")
        db.execute("ROLLBACK")
    wait_for(lambda: r.ask("GET", "/readyz").status == 200, "it is well again")
    assert len(settled(r, 17)) == 17
    events = [line["event"] for line in r.log_lines() if line.get("event", "").startswith("ledger_")]
    assert events.count("ledger_failing") == 1 and events.count("ledger_recovered") == 1


def test_a_damaged_file_does_not_keep_it_from_starting(router, standin):
    r = router({"providers": {"p": {"kind": "openai", "url": standin().url}}, "ledger": {"interval": "1ms"}},
               start=False)
    os.makedirs(r.dir + "/state", 0o700)
    path = r.dir + "/state/ledger.db"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
        f.write(b"no database at all" * 100)
    r.start()
    assert r.wait_up().chat("openai", "p/demo", False).status == 200
    assert "damaged" in r.command("usage").stderr
    os.remove(path)
    assert len(settled(r, 1)) == 1
    r.stop()


def test_a_ledger_that_is_required_must_be_there(router, standin):
    r = router({"providers": {"p": {"kind": "openai", "url": standin().url}}, "ledger": {"required": True}}, start=False)
    os.makedirs(r.dir + "/state/ledger.db", 0o700)
    refused = r.command("serve")
    assert refused.returncode == 1 and "the ledger cannot be used" in refused.stderr


# ---- statistics ----------------------------------------------------------------------------------


def test_the_sums_hold_whatever_happens(router, standin):
    """scheduler-consumers.md 2.7: without traffic, at any moment; and the ledger tells the same as the statistics."""
    r = mixed(router, standin, ledger={"interval": "5ms"})
    dice = random.Random(4)
    knobs = ["", "", "status=500", "status=429", "cut=2", "reset", "events=0", "no_usage", "malformed=1"]
    models = ["general", "outside", "near/demo", "far/" + CLOUD, "nobody", "near/demo+status=503", "near/demo+cut=2"]

    def one(_):
        return r.chat(dice.choice(["openai", "anthropic", "ollama", "native"]), dice.choice(models), dice.random() < 0.5,
                      {"X-LLM-Task": dice.choice(["explanation", "multi_step"])} if dice.random() < 0.5 else {})

    for _ in range(6):
        r.home.control(default=dice.choice(knobs[:6]))
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(one, range(25)))
        wait_for(lambda: "llm_router_active_exchanges 0" in r.ask("GET", "/metrics").text, "quiet")
        s = r.get("/router/stats")
        assert s["total_requests"] == s["success_count"] + s["error_count"]
        assert sum(s["requests_by_provider"].values()) == s["success_count"]
        assert sum(s["requests_by_task_type"].values()) == s["total_requests"]
        total = r.get("/router/usage")["total"]
        assert total["requests"] == s["total_requests"] and total["answered"] == s["success_count"]
        assert abs(total["input_tokens"] + total["output_tokens"] - s["total_tokens_used"]) == 0, (total, s)
