# SPDX-License-Identifier: Apache-2.0
"""The scorecard: the scenes of scorecard.py, one after the other, through the real router. A verdict is made of what the
caller saw, when he saw it, how often the providers were asked, and what all the accounts say of it afterwards.

test_faults.py has many more faults, at every door and from every kind of provider, and says nothing of accounts.
"""
import re
import time
import uuid

import pytest

import scorecard
from harness import SENTENCE, ask, body_of, path_of, understand, wait_for
from scorecard import CUT, EITHER, FIRST, SCENES, SECOND
from test_faults import base, judge_error
from test_usage import rows

FIRST_SAYS, SECOND_SAYS = "prompt_tokens=100+tokens=10", "events=3+size=8+prompt_tokens=200+tokens=20"
OTHER_SENTENCE = "aaaaaaaabbbbbbbbcccccccc"     # what the stand-in says with that
TOKENS = {FIRST: (100, 10), SECOND: (200, 20)}
PRICES = {FIRST: (1, 10), SECOND: (2, 20)}      # micro-dollars for a token in, out
BOOKS = ("total_requests", "success_count", "error_count", "fallback_count", "total_tokens_used")


class World:
    """One router for all scenes, each with a first provider of its own: a breaker remembers."""

    def __init__(self, make_router, make_standin):
        self.first, self.second = make_standin("--record", "8192"), make_standin("--record", "8192")
        providers = {"second": base("openai", self.second.url, zone="cloud", models=["demo"])}
        roles, prices = {}, {"second/demo": ["in=2 out=20"]}
        for i, scene in enumerate(SCENES):
            for kind in {one.kind for one in scene.asks}:
                name = "%s%d" % (kind, i)
                zone = {} if kind == "anthropic" else {"zone": "cloud"}     # in the cloud it would want a key
                providers[name] = base(kind, self.first.url, **{"models": ["demo"], **zone, **scene.options})
                roles["scene-" + name] = [name + "/demo", "second/demo"]
                prices[name + "/demo"] = ["in=1 out=10"]
        self.router = make_router({"providers": providers, "roles": roles, "prices": prices, "shipped_prices": False,
                                   "ledger": {"interval": "10ms"}, "probe_interval": "60s"})
        self.router.wait_up()

    def prepare(self, knobs, second, loop=False):
        for standin in (self.first, self.second):
            standin.reset()
        self.first.control(rules=[{"n": n, "knobs": k} for n, k in knobs], default=FIRST_SAYS, loop=loop)
        self.second.control(default=SECOND_SAYS + ("+" + second if second else ""))

    def books(self):
        """Every account's sums, by one name each."""
        stats, usage = self.router.get("/router/stats"), self.router.get("/router/usage")["total"]
        spent = re.findall(r"^llm_router_cost_microdollars_total\{.*\} (\d+)$", self.router.ask("GET", "/metrics").text, re.M)
        found = {name: stats[name] for name in BOOKS}
        found["metrics_cost"], found["usage_cost"] = sum(map(int, spent)), round(usage["cost_usd"] * 1e6)
        found.update({"usage_" + name: usage[name] for name in ("requests", "answered", "input_tokens", "output_tokens")})
        found["rows"] = len(rows(self.router, "id"))
        return found


@pytest.fixture(scope="module")
def world(module_router, module_standin):
    return World(module_router, module_standin)


class Heard:
    """One request of a scene, and its row in the ledger."""

    def __init__(self, world, number, wanted):
        self.wanted, self.door, self.name = wanted, wanted.door, "%s%d" % (wanted.kind, number)
        request, begun = str(uuid.uuid4()), time.monotonic()
        body = body_of(self.door, "scene-" + self.name, wanted.stream)
        self.reply = ask(world.router.port, "POST", path_of(self.door, wanted.stream), body, {"X-Request-ID": request},
                         scorecard.DEADLINE)
        self.took = time.monotonic() - begun
        self.answer = understand(self.door, wanted.stream, self.reply)
        self.row = wait_for(lambda: rows(world.router, where="request_id = '%s'" % request), "the row is written")[0]
        self.calls = len(world.first.requests()), len(world.second.requests())

    def got(self):
        """In the scorecard's words; anything else is wrong."""
        r, a = self.reply, self.answer
        if r.status != 200:
            return self.row["outcome"] if r.complete and not judge_error(self) else "no error of this door"
        if a.error is not None:
            said = a.text and SENTENCE.startswith(a.text) and not r.complete and not a.ended
            return CUT if said and r.header("X-LLM-Provider") == self.name else "cut, and shown otherwise"
        if not r.complete or not a.ended or a.junk or a.finish != self.wanted.finish and self.door == "openai":
            return "neither whole nor an error"
        return {(SENTENCE, self.name): FIRST, (OTHER_SENTENCE, "second"): SECOND}.get(
            (a.text, r.header("X-LLM-Provider")), "words of nobody, or of both")

    def check(self):
        got, w = self.got(), self.wanted
        assert got in ((FIRST, SECOND) if w.got == EITHER else (w.got,)), (w, got, self.reply, self.answer)
        assert self.took < scorecard.DEADLINE, (w, self.took)
        assert self.reply.status == w.status, (w, self.reply)
        if got == FIRST:
            assert self.answer.finish == w.finish, (w, self.answer)
        if w.got != EITHER:
            assert all(n in allowed for n, allowed in zip(self.calls, w.asked)), (w, self.calls)
            assert self.row["attempts"].replace(self.name, "first") == w.attempts, (w, self.row)
        self.check_row(got)
        return got

    def check_row(self, got):
        row = self.row
        tokens = row["input"], row["output"]
        assert row["status"] == self.wanted.status, row
        if got in TOKENS:
            assert row["provider"] == self.reply.header("X-LLM-Provider") and row["outcome"] == "ok", row
            assert tokens == TOKENS[got] and not row["estimated"], row
        elif got == CUT:
            assert row["provider"] == self.name and row["outcome"] == "upstream_cut" and min(tokens) > 0, row
            assert row["estimated"] or tokens == TOKENS[FIRST], row
        else:
            assert row["provider"] is None and tokens == (0, 0), row
        price = PRICES[SECOND if got == SECOND else FIRST]
        assert row["cost_micro"] == sum(n * each for n, each in zip(tokens, price)), row


@pytest.mark.parametrize("number", range(len(SCENES)), ids=[scene.name for scene in SCENES])
def test_scene(world, number):
    scene, heard, got = SCENES[number], [], []
    before = world.books()
    if scene.loop:
        world.prepare(scene.loop, "", loop=True)
    for wanted in scene.asks:
        if not scene.loop:
            world.prepare([(wanted.times, wanted.knobs)], wanted.second)
        heard.append(Heard(world, number, wanted))
        got.append(heard[-1].check())
    answered = sum(word in TOKENS for word in got)
    tokens_in, tokens_out, cost = (sum(one.row[c] for one in heard) for c in ("input", "output", "cost_micro"))
    after = world.books()
    assert {name: after[name] - before[name] for name in after} == {
        "rows": len(got), "total_requests": len(got), "usage_requests": len(got),
        "success_count": answered, "usage_answered": answered, "error_count": len(got) - answered,
        "fallback_count": got.count(SECOND),
        "total_tokens_used": tokens_in + tokens_out, "usage_input_tokens": tokens_in, "usage_output_tokens": tokens_out,
        "metrics_cost": cost, "usage_cost": cost}
    if scene.loop:
        assert set(got) == {FIRST, SECOND}
    wait_for(lambda: world.first.stats()["requests_active"] == 0, "nothing is left open at the provider")
