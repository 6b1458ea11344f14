# SPDX-License-Identifier: Apache-2.0
"""Every way a provider can fail, in three dialects, at four doors, streamed and whole, with and without another
provider to fall back to. One row says what must come of it; the same table for all.

    fallback   the other provider's whole answer, nothing of the first one's
    in-band    what had been said, then the error of the caller's dialect, and a transfer that does not look whole
    error N    a plain error with that status
    ok         the provider's own answer, whole: that was no fault

Wrong would be: cut text shown as complete, a caller who waits longer than the limits, two answers in one, more
calls to a provider than it should get, a crash, a connection or an exchange left behind.
"""
import concurrent.futures
import re
import socket
import threading

import pytest

from harness import DOORS, SENTENCE, Reply, ask, body_of, connect, path_of, read_reply, request_bytes, understand, wait_for

KINDS = ["openai", "anthropic", "ollama"]
CALLERS = ["openai", "anthropic", "ollama", "native"]
GOOD = "The answer of the other one"
ERROR, FALLBACK, INBAND, OK = "error", "fallback", "in-band", "ok"
ANY = object()      # one plain error or another; which one is not the point


class Row:
    """streamed, whole: what must come of it with another provider there; alone: the status without one."""

    def __init__(self, knobs, streamed=FALLBACK, whole=FALLBACK, alone=502, hangs=False, spared=False, only=KINDS,
                 **options):
        self.knobs, self.alone, self.hangs, self.spared, self.only = knobs, alone, hangs, spared, only
        self.words = {True: streamed, False: whole}
        self.options = options
        self.name = re.sub(r"[^A-Za-z0-9]+", "-", knobs)
        self.model = "demo+" + knobs


OVERLOADED = {"openai": 503, "anthropic": 529, "ollama": 503, "native": 503}
# Far longer than a busy machine takes for what does not hang; all that hang are asked at once, so they end at once.
LIMITS = {"head": "4s", "first_token": "4s", "cold_first_token": "4s", "idle": "4s", "total": "6s"}

ROWS = [
    # before the head
    Row("refused"),
    Row("hang_head", alone=504, hangs=True),
    Row("reset_head"),
    Row("close_head"),
    Row("status=500"), Row("status=502"), Row("status=500+form=html"), Row("status=500+form=plain"),
    Row("status=500+form=empty"), Row("status=500+form=flat"), Row("status=500+form=detail"),
    Row("status=500+form=int"),
    Row("status=503", alone=OVERLOADED), Row("status=529", alone=OVERLOADED),
    Row("status=408", alone=504),
    Row("status=429", alone=429, spared=True), Row("status=429+retry_after=7", alone=429, spared=True),
    Row("status=401"), Row("status=403"),
    Row("status=404", alone=ANY),
    Row("status=400", streamed=ERROR, whole=ERROR, alone=400),
    Row("status=422", streamed=ERROR, whole=ERROR, alone=422),
    Row("context", alone=400),
    Row("loading", alone=OVERLOADED, spared=True),
    Row("redirect=302"), Row("redirect=307"),
    Row("head=bad"), Row("head=huge"), Row("head=two_lengths"), Row("head=both"), Row("head=cut"),
    Row("head=early", streamed=OK, whole=OK),
    # after the head, before the first word
    Row("hang_body", alone=504, hangs=True),
    Row("first_ms=60000", alone=504, hangs=True),
    Row("stall=0", alone=504, hangs=True),
    Row("reset=0"), Row("cut=0"), Row("cut_clean=0", whole=OK), Row("malformed=0"), Row("error=0", alone=ANY), Row("error=0+error_done", alone=ANY),
    Row("html"), Row("empty"), Row("giant=100000+giant_at=0", event_max="64KiB", reply_max="64KiB"),
    Row("json_stream", streamed=OK, whole=OK),
    # after the first word
    Row("reset=3", streamed=INBAND), Row("cut=3", streamed=INBAND), Row("cut_clean=3", streamed=INBAND, whole=OK),
    Row("cut=3+framing=close", streamed=INBAND),
    Row("stall=3", streamed=INBAND, alone=504, hangs=True),
    Row("malformed=3", streamed=INBAND), Row("error=3", streamed=INBAND), Row("error=3+error_done", streamed=INBAND),
    Row("giant=100000+giant_at=3", streamed=INBAND, event_max="64KiB", reply_max="64KiB"),
    Row("no_finish", streamed=INBAND, whole=OK, only=["openai", "anthropic"]),
    Row("finish=null", streamed=INBAND, only=["openai", "anthropic"]),
    Row("no_done", streamed=OK, whole=OK, only=["openai"]),
    Row("no_done", streamed=INBAND, whole=OK, only=["anthropic", "ollama"]),
    # no faults at all
    Row("close_quiet", streamed=OK, whole=OK), Row("close", streamed=OK, whole=OK),
    Row("extra", streamed=OK, whole=OK), Row("no_usage", streamed=OK, whole=OK),
]


def rows_of(kind):
    return [row for row in ROWS if kind in row.only]


def base(kind, url, **more):
    """A provider without limits of its own that matter."""
    zone = {"zone": "local"} if kind == "anthropic" else {}
    return {"kind": kind, "url": url, "concurrency": 0, "retries": 0, "breaker_failures": 1000, **zone, **more}


class Cell:
    def __init__(self, row, door, stream, fallback):
        self.row, self.door, self.stream, self.fallback = row, door, stream, fallback
        # Nothing like a name: a private request that nobody local answers is told so (503), whatever the fault. By the
        # row's number, because some rows' names are somebody's.
        self.prompt = "fault_row(%d, %s, %s, %s)" % (ROWS.index(row), door, stream, fallback)
        self.reply, self.answer, self.calls = Reply(), None, {}

    def word(self):
        r, a = self.reply, self.answer
        if r.status != 200:
            whole = r.complete and r.status >= 400 and r.body
            return "%s %d" % (ERROR, r.status) if whole else "WRONG: %r" % r
        if a.error is not None and not a.ended and not (a.finish and r.complete):
            # Anthropic's own stop reason may have passed when its message_stop is missing; the error says more.
            good = self.stream and a.text and SENTENCE.startswith(a.text.rstrip("x")) and (
                a.finish is None or self.door == "anthropic")
            return INBAND if good and not r.complete else "WRONG: %r" % r
        if not r.complete or a.junk or not a.ended and self.door != "anthropic" or a.finish is None or a.starts > 1:
            return "WRONG: %r %r" % (a, r)
        if a.text == SENTENCE and r.header("X-LLM-Provider") == "bad-" + self.row.name:
            return OK
        if a.text == GOOD and r.header("X-LLM-Provider") == "good":
            return FALLBACK
        return "WRONG: %r %r" % (a, r)


class Run:
    """All cells of one kind of provider, asked at the same time; the limits of those that hang overlap."""

    def __init__(self, kind, make_router, make_standin):
        self.kind = kind
        self.standin = make_standin("--record", "8192")
        self.silent = socket.socket()       # bound and not listening: connections to it are refused
        self.silent.bind(("127.0.0.1", 0))
        providers = {"good": base("openai", self.good(), models=["good"])}
        roles = {"general": ["good/good"]}
        for row in rows_of(kind):
            refused = "http://127.0.0.1:%d" % self.silent.getsockname()[1]
            url = refused if row.knobs == "refused" else self.standin.url
            providers["bad-" + row.name] = base(kind, url, models=[row.model], **(LIMITS if row.hangs else {}),
                                                **row.options)
            roles["both-" + row.name] = ["bad-%s/%s" % (row.name, row.model), "good/good"]
        self.router = make_router({"providers": providers, "roles": roles, "probe_interval": "60s"})
        self.router.wait_up("good")
        self.cells = {}
        cells = [Cell(row, door, stream, fallback) for row in rows_of(kind) for door in CALLERS
                 for stream in (True, False) for fallback in (True, False)]
        hanging, others = [c for c in cells if c.row.hangs], [c for c in cells if not c.row.hangs]
        for some, at_once in ((hanging, len(hanging)), (others, 24)):
            with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
                list(pool.map(self.ask, some))
        seen = {}
        for r in self.standin.requests():
            prompt = next((p for p in re.findall(r'"(?:content|prompt|text)":\s*"([^"]*)"', r["body"])), None)
            seen.setdefault(prompt, []).append(r["model"])
        for cell in cells:
            for model in seen.get(cell.prompt, ()):
                model = "bad" if model.startswith("demo") else "other"
                cell.calls[model] = cell.calls.get(model, 0) + 1
            self.cells[cell.row.name, cell.door, cell.stream, cell.fallback] = cell

    def good(self):
        """Another sentence, so that nobody takes one answer for the other."""
        self.other = OtherProvider()
        return self.other.url

    def ask(self, cell):
        name = cell.row.name
        model = "both-" + name if cell.fallback else "bad-%s/%s" % (name, cell.row.model)
        body = body_of(cell.door, model, cell.stream, prompt=cell.prompt)
        cell.reply = ask(self.router.port, "POST", path_of(cell.door, cell.stream), body)
        cell.answer = understand(cell.door, cell.stream, cell.reply)

    def close(self):
        self.silent.close()
        self.other.close()


class OtherProvider:
    """A tiny OpenAI server that says GOOD, counts who asks for it by prompt, and never fails."""

    def __init__(self):
        self.seen, self.lock = {}, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            with s:
                self.one(s)
        except OSError:
            pass

    def one(self, s):
        f = s.makefile("rb")
        while line := f.readline():
            size = 0
            while (header := f.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    size = int(header.split(b":")[1])
            body = f.read(size)
            if line.startswith(b"GET"):
                self.answer(s, "application/json", '{"object":"list","data":[{"id":"good","object":"model"}]}')
                continue
            prompt = re.search(r'"content":\s*"([^"]*)"', body.decode()).group(1)
            with self.lock:
                self.seen[prompt] = self.seen.get(prompt, 0) + 1
            if b'"stream":true' in body.replace(b" ", b""):
                words = GOOD.split(" ")
                pieces = [words[0]] + [" " + w for w in words[1:]]
                chunk = '{"id":"chatcmpl-o","object":"chat.completion.chunk","created":1,"model":"good","choices":%s}'
                events = [chunk % ('[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]' % p) for p in pieces]
                events.append(chunk % '[{"index":0,"delta":{},"finish_reason":"stop"}]')
                self.answer(s, "text/event-stream", "".join("data: %s\n\n" % e for e in [*events, "[DONE]"]))
            else:
                self.answer(s, "application/json", '{"id":"chatcmpl-o","object":"chat.completion","created":1,'
                            '"model":"good","choices":[{"index":0,"message":{"role":"assistant","content":"%s"},'
                            '"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":6,'
                            '"total_tokens":7}}' % GOOD)

    @staticmethod
    def answer(s, kind, text):
        body = text.encode()
        s.sendall(("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))).encode()
                  + body)

    def close(self):
        self.listener.close()


@pytest.fixture(scope="module")
def runs(module_router, module_standin):
    made = {}

    def run(kind):
        if kind not in made:
            made[kind] = Run(kind, module_router, module_standin)
        return made[kind]

    yield run
    for one in made.values():
        one.close()


def check_status(row, door, status):
    wanted = row.alone
    if wanted is ANY:
        return 400 <= status < 600
    if isinstance(wanted, dict):
        wanted = wanted[door]
    # While a Retry-After lasts nobody asks that provider: then it is one that cannot be asked.
    return status == wanted or row.spared and status in (429, 503, 529)


@pytest.mark.parametrize("kind,row", [pytest.param(k, r, id="%s-%s" % (k, r.name)) for k in KINDS for r in rows_of(k)])
def test_every_fault_ends_as_its_row_says(runs, matrix, kind, row):
    run = runs(kind)
    wrong = []
    for door in CALLERS:
        for stream in (True, False):
            for fallback in (True, False):
                cell = run.cells[row.name, door, stream, fallback]
                word, wanted = cell.word(), row.words[stream]
                title = "%s, %s" % (kind, "streamed" if stream else "whole") + ("" if fallback else ", alone")
                matrix.setdefault("faults of a provider, and what its callers got", {})[row.knobs, title] = \
                    word if len(word) < 16 else "WRONG"
                if wanted == FALLBACK and not fallback:
                    wanted = ERROR
                good = word == wanted or wanted == ERROR and word.startswith(ERROR) and \
                    check_status(row, door, cell.reply.status)
                calls = {"bad": 0 if row.knobs == "refused" else 1, "other": 1 if wanted == FALLBACK else 0}
                calls_made = {"bad": cell.calls.get("bad", 0), "other": run.other.seen.get(cell.prompt, 0)}
                if row.spared:
                    calls["bad"] = min(1, calls_made["bad"])
                if row.knobs in ("close_head", "reset_head") and calls_made["bad"] == 2:
                    # A kept connection that ends without a byte looks like one that the server had closed
                    # for being idle: it is replaced by a fresh one, once (src/http/client.h).
                    calls["bad"] = 2
                if not good or calls_made != calls:
                    wrong.append((door, "streamed" if stream else "whole", fallback, word, calls_made))
                if word.startswith(ERROR):
                    wrong += judge_error(cell)
    assert not wrong, "wanted %s:\n%s" % (row.words, "\n".join(str(w)[:1200] for w in wrong))


def judge_error(cell):
    """An error is in the caller's own form, and never speaks of what a provider said unless it must."""
    r = cell.reply
    try:
        body = r.json
        if cell.door == "openai":
            fine = isinstance(body["error"]["message"], str) and body["error"]["type"]
        elif cell.door == "anthropic":
            fine = body["type"] == "error" and body["error"]["type"] and body["error"]["message"]
        elif cell.door == "ollama":
            fine = isinstance(body["error"], str)
        else:
            fine = isinstance(body["detail"], str) and body["code"] and body["request_id"]
    except (ValueError, KeyError, TypeError):
        fine = False
    if r.status in (429, 503, 529) and not (r.header("Retry-After") or "").isdigit():
        fine = False
    return [] if fine else [(cell.door, "not an error of this door", repr(r))]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_behind_after_all_faults(runs, kind):
    run = runs(kind)

    def quiet():
        text = run.router.ask("GET", "/metrics").text
        value = {k: float(v) for k, v in re.findall(r"^(llm_router_[a-z_]+) (\S+)$", text, re.M)}
        flying = sum(float(v) for v in re.findall(r"^llm_router_provider_in_flight\{.*\} (\S+)$", text, re.M))
        return value["llm_router_active_exchanges"] == value["llm_router_active_streams"] == 0 and flying == 0 and \
            value["llm_router_upstream_connections_busy"] == 0

    wait_for(quiet, "no exchange, stream or upstream connection is open")
    wait_for(lambda: run.standin.stats()["requests_active"] == 0, "nothing is open at the provider")
    stats = run.router.get("/router/stats")
    assert stats["total_requests"] == len(run.cells)
    assert stats["total_requests"] == stats["success_count"] + stats["error_count"]


# ---- what needs a story of its own ---------------------------------------------------------------


@pytest.mark.parametrize("door", CALLERS)
def test_a_rate_limit_is_told_with_its_retry_after(router, standin, door):
    s = standin()
    r = router({"providers": {"p": base("openai", s.url, models=["demo+status=429+retry_after=7"])}}).wait_up()
    reply = r.chat(door, "p/demo+status=429+retry_after=7", True)
    assert reply.status == 429 and 1 <= int(reply.header("Retry-After")) <= 7, reply
    assert len(s.requests()) == 1


@pytest.mark.tsan
def test_a_short_failure_is_retried_and_nobody_notices(router, standin):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "retries": 2, "retry_backoff": "1ms"}}}).wait_up()
    for fault in ({"status": 500}, {"reset_head": 1}, {"close_head": 1}, {"cut": 0}, {"status": 503, "retry_after": 1}):
        s.reset()
        s.control(rules=[{"n": 2 if "retry_after" not in fault else 1, **fault}])
        reply = r.chat("openai", "p/demo", True)
        assert understand("openai", True, reply).text == SENTENCE and reply.complete, (fault, reply)
        # A kept connection that turns out dead is replaced without counting as an attempt.
        assert 1 < int(reply.header("X-LLM-Attempts")) <= len(s.requests()) <= 4, fault


@pytest.mark.tsan
def test_a_flapping_provider_costs_nobody_an_answer(router, standin):
    s, other = standin(), standin()
    s.control(rules=[{"n": 1, "status": 500}, {"n": 1}, {"n": 1, "cut": 0}, {"n": 2}, {"n": 1, "reset_head": 1}],
              loop=True)
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "retries": 0, "breaker_open": "50ms",
                                    "breaker_failures": 2}, "q": {"kind": "ollama", "url": other.url}},
                "roles": {"general": ["p/demo", "q/demo"]}}).wait_up()
    for i in range(60):
        door = CALLERS[i % 4]
        reply = r.chat(door, "general", i % 2 == 0)
        a = understand(door, i % 2 == 0, reply)
        assert reply.status == 200 and reply.complete and a.text == SENTENCE, reply
    stats = r.get("/router/stats")
    assert stats["success_count"] == 60 and stats["fallback_count"] > 0
    assert set(stats["requests_by_provider"]) == {"p", "q"}


def test_the_breaker_opens_keeps_calls_away_and_closes_after_one_trial(router, standin):
    s = standin()
    s.control(rules=[{"n": 3, "status": 500}, {"n": -1, "gap_ms": 1}])
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "retries": 0, "breaker_failures": 3,
                                    "breaker_open": "400ms"}}}).wait_up()

    def state():
        return r.get("/router/breakers")[0]

    for _ in range(3):
        assert r.chat("openai", "p/demo", False).status == 502
    assert state()["state"] == "open" and state()["failure_count"] == 3 and state()["next_retry"]
    refused = r.chat("openai", "p/demo", False)
    if refused.status != 200:       # the open time may be over on a slow machine
        assert refused.status == 503 and refused.header("Retry-After") and len(s.requests()) == 3
    wait_for(lambda: r.chat("openai", "p/demo", False).status == 200, "the trial call closes it")
    assert state()["state"] == "closed" and state()["failure_count"] == 0


STATES = {   # where the exchange is when its caller goes away
    "await": "hang_head", "hold": "hang_body", "held-back": "empty_starts=3+stall=0", "stream": "events=100000+gap_ms=20",
    "stall": "stall=3",
}


@pytest.mark.tsan
@pytest.mark.parametrize("where,stream", [(w, s) for w in STATES for s in (True, False) if s or w != "stream"])
def test_nothing_is_asked_after_the_caller_left(router, standin, where, stream):
    s, other = standin(), standin()
    model = "demo+" + STATES[where]
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "models": [model], "retries": 3},
                              "q": {"kind": "openai", "url": other.url}},
                "roles": {"general": ["p/" + model, "q/demo"]}}).wait_up()
    with connect(r.port) as c:
        c.sendall(request_bytes("POST", DOORS["openai"], body_of("openai", "general", stream)))
        wait_for(lambda: len(s.requests()) == 1, "the provider is asked")
        if stream and where in ("stream", "stall"):
            assert c.recv(100).startswith(b"HTTP/1.1 200")
    wait_for(lambda: s.stats()["requests_active"] == 0, "the upstream request ends at once")
    wait_for(lambda: r.get("/router/stats")["total_requests"] == 1, "the exchange is closed")
    assert [x["outcome"] for x in s.requests()] == ["aborted"]
    assert other.requests() == [], "no other provider is asked for somebody who left"
    assert "llm_router_caller_gone_total 1" in r.ask("GET", "/metrics").text


def test_a_caller_who_leaves_while_waiting_for_a_place_or_a_retry_costs_nothing(router, standin):
    s = standin()
    r = router({"providers": {
        "narrow": {"kind": "openai", "url": s.url, "concurrency": 1, "models": ["demo+hang_head", "demo"]},
        "again": {"kind": "openai", "url": s.url, "models": ["demo+status=500"], "retries": 3,
                  "retry_backoff": "60s"}}}).wait_up()
    with connect(r.port) as first:
        first.sendall(request_bytes("POST", DOORS["openai"], body_of("openai", "narrow/demo+hang_head", True)))
        wait_for(lambda: len(s.requests()) == 1, "the only place is taken")
        with connect(r.port) as second:
            second.sendall(request_bytes("POST", DOORS["openai"], body_of("openai", "narrow/demo", True)))
            wait_for(lambda: any(p["waiting"] == 1 for p in r.get("/router/providers")), "the second one waits")
        wait_for(lambda: all(p["waiting"] == 0 for p in r.get("/router/providers")), "and waits no more")
    with connect(r.port) as third:
        third.sendall(request_bytes("POST", DOORS["openai"], body_of("openai", "again/demo+status=500", True)))
        wait_for(lambda: len(s.requests()) == 2, "failed once, waits for its retry")
    wait_for(lambda: r.get("/router/stats")["total_requests"] == 3, "all are closed")
    assert len(s.requests()) == 2


@pytest.mark.tsan
@pytest.mark.parametrize("door", CALLERS)
@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_slow_loses_nothing_and_holds_back_the_provider(router, standin, kind, door):
    """A caller who does not read: the provider is braked, then everything arrives."""
    s = standin()
    model = "demo+events=3000+size=4096"
    r = router({"providers": {"p": base(kind, s.url, models=[model])}, "stream_buffer": "64KiB"}).wait_up()
    with connect(r.port) as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        more = {"max_tokens": 5000} if door == "anthropic" else {}
        c.sendall(request_bytes("POST", path_of(door, True), body_of(door, "p/" + model, True, **more)))
        f = c.makefile("rb")
        first = c.recv(1, socket.MSG_PEEK)
        assert first == b"H"

        def braked():
            before = s.stats()["events"]
            return before > 0 and before == s.stats()["events"] and before < 3000

        wait_for(braked, "the provider stands still")
        reply = read_reply(f)
    a = understand(door, True, reply)
    assert reply.complete and not a.error and len(a.text) == 3000 * 4096, (len(a.text), reply.problem)
    peak = r.ask("GET", "/metrics").text
    assert "llm_router_active_streams 0" in peak


def test_a_pooled_connection_that_died_is_replaced_without_a_word(router, standin):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "retries": 0,
                                    "models": ["demo+close_quiet", "demo+stale", "demo"]}}}, workers=1).wait_up()
    for model in ("demo+close_quiet", "demo", "demo+stale", "demo", "demo+stale", "demo+stale", "demo"):
        for stream in (True, False):
            reply = r.chat("openai", "p/" + model, stream)
            assert reply.status == 200 and understand("openai", stream, reply).text == SENTENCE, (model, reply)
    assert r.get("/router/stats")["error_count"] == 0
