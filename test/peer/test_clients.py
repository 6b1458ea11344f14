# SPDX-License-Identifier: Apache-2.0
"""The official client libraries, unmodified, as judges: every door, towards every kind of provider, streamed
and whole. What a client hands to its user is compared exactly: text to the last letter, finish reason, usage,
model, ids, the class of an error.

    py-openai py-anthropic py-ollama js-openai js-anthropic js-anthropic-0 js-ollama
        x  openai, anthropic, ollama (the stand-in), llama-server (the real one, as our child)
        x  whole, streamed
"""
import os
import threading

import anthropic
import ollama
import openai
import pytest

import clients
from conftest import engine_provider
from harness import SENTENCE, ask, body_of, everywhere, understand, wait_for

ALL = clients.PYTHON + clients.NODE
KINDS = ["openai", "anthropic", "ollama"]
FORMS = [pytest.param(False, id="whole"), pytest.param(True, id="streamed")]
MJS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "js", "clients.mjs")

FINISH = {   # what the stop reasons are called at each door
    "openai": {"stop": "stop", "length": "length", "filter": "content_filter"},
    "anthropic": {"stop": "end_turn", "length": "max_tokens", "filter": "refusal"},
    "ollama": {"stop": "stop", "length": "length", "filter": "stop"},
}
ODD = "demo+words=odd+events=12"

# What the stand-in's models say, by the knobs in their names.
STANDIN_MODELS = {
    "demo": dict(text=SENTENCE, finish="stop", usage=[11, 8]),
    "demo+finish=length": dict(text=SENTENCE, finish="length", usage=[11, 8]),
    "demo+finish=filter": dict(text=SENTENCE, finish="filter", usage=[11, 8]),
    "demo+cached=4": dict(text=SENTENCE, finish="stop", usage=[11, 8]),
    "demo+tokens=77+prompt_tokens=1234": dict(text=SENTENCE, finish="stop", usage=[1234, 77]),
    "demo+split=1+split_us=1": dict(text=SENTENCE, finish="stop", usage=[11, 8]),
    "demo+split_utf8+chunk=7": dict(text=SENTENCE, finish="stop", usage=[11, 8]),
    "demo+pings+lines=crlf": dict(text=SENTENCE, finish="stop", usage=[11, 8]),
    "demo+lines=cr+nospace": dict(text=SENTENCE, finish="stop", usage=[11, 8]),
    "demo+vary_id+empty_starts": dict(text=SENTENCE, finish="stop", usage=[11, 8]),
    "demo+framing=close": dict(text=SENTENCE, finish="stop", usage=[11, 8]),
    "demo+reasoning=2": dict(text=SENTENCE, finish="stop", usage=None),
    ODD: dict(text=None, finish="stop", usage=[11, 12]),
}
# What the engine's scripted models say.
ENGINE_MODELS = {
    "text": dict(text="Hello from the tiny model. Café ok", reasoning="", finish="stop"),
    "think": dict(text="The answer is 42", reasoning="I am thinking\n", finish="stop"),
    "loop": dict(text=None, finish="length", max_tokens=9),
    "random": dict(text=None, finish=None, max_tokens=8),
}
FAULTS = {   # told to the caller: class of the exception, status, Retry-After
    "status=400": ({"openai": "BadRequestError", "anthropic": "BadRequestError", "ollama": "ResponseError"}, 400),
    "status=401": ({"openai": "InternalServerError", "anthropic": "InternalServerError",
                    "ollama": "ResponseError"}, 502),
    "status=422": ({"openai": "UnprocessableEntityError", "anthropic": "UnprocessableEntityError",
                    "ollama": "ResponseError"}, 422),
    "context": ({"openai": "BadRequestError", "anthropic": "BadRequestError", "ollama": "ResponseError"}, 400),
    "status=500": ({"openai": "InternalServerError", "anthropic": "InternalServerError",
                    "ollama": "ResponseError"}, 502),
    "status=503": ({"openai": "InternalServerError", "anthropic": ("OverloadedError", "InternalServerError"),
                    "ollama": "ResponseError"}, (503, 529)),
    "status=429+retry_after=7": ({"openai": "RateLimitError", "anthropic": "RateLimitError",
                                  "ollama": "ResponseError"}, 429),
}
CUTS = ["error=3", "cut=3", "reset=3", "malformed=3", "stall=3", "cut_clean=3", "no_finish+events=3"]


def provider_name(kind, fault):
    return "%s_%s" % (kind, "".join(c if c.isalnum() else "_" for c in fault))


class World:
    """One router with everything behind it, and the npm clients' answers to all jobs, asked in one run."""

    def __init__(self, make_router, make_standin, engine):
        self.standin = make_standin("--record", "1024")
        providers = {}
        for kind in KINDS:
            zone = {"zone": "local"} if kind == "anthropic" else {}
            providers[kind] = {"kind": kind, "url": self.standin.url, **zone, "models": sorted(STANDIN_MODELS),
                               "concurrency": 8, "idle": "30s"}
            # One provider for each fault: a Retry-After keeps everybody away from its provider for a while.
            for fault in [*FAULTS, *CUTS]:
                providers[provider_name(kind, fault)] = {
                    "kind": kind, "url": self.standin.url, **zone, "models": ["demo+" + fault], "retries": 0,
                    "breaker_failures": 1000, "idle": "1s"}
        if engine:
            for name in ENGINE_MODELS:
                providers["engine-" + name] = engine_provider(engine, name)
        self.router = make_router({"providers": providers, "probe_interval": "60s",
                                   "roles": {"general": ["openai/demo"]}})
        if engine:
            self.router.wait_up(*["engine-" + name for name in ENGINE_MODELS])
        self.url = self.router.url
        self.node_results = {}

    def job(self, model, stream, **more):
        return {"url": self.url, "model": model, "stream": stream, **more}

    def ask_node(self, node):
        jobs = []
        for client in clients.NODE:
            for stream in (False, True):
                for job in self.all_jobs(stream):
                    jobs.append({"client": client, **job})
            jobs.append({"client": client, "list": True, "url": self.url, "model": "", "stream": False})
        results = clients.run_node(node, MJS, jobs)
        for job, result in zip(jobs, results):
            self.node_results[self.key(job["client"], job)] = result

    @staticmethod
    def key(client, job):
        return client, job["model"], job["stream"], job.get("system"), str(job.get("stop")), job.get("list")

    def all_jobs(self, stream):
        yield from (self.job(kind + "/" + model, stream) for kind in KINDS for model in STANDIN_MODELS)
        for kind in KINDS:
            for fault in [*FAULTS, *CUTS] if stream else FAULTS:
                yield self.job("%s/demo+%s" % (provider_name(kind, fault), fault), stream)
        for name, wants in ENGINE_MODELS.items():
            yield self.job("engine-%s/tiny-%s" % (name, name), stream, max_tokens=wants.get("max_tokens", 64))
        yield self.job("engine-text/tiny-text", stream, system="Be brief.", stop=[" tiny"])
        yield self.job("no-such-model", stream)

    def run(self, client, model, stream, **more):
        job = self.job(model, stream, **more)
        if client in clients.PYTHON:
            return clients.run(client, job)
        return self.node_results[self.key(client, job)]


@pytest.fixture(scope="module")
def world(module_router, module_standin, request):
    engine = None
    try:
        engine = request.getfixturevalue("engine")
    except pytest.skip.Exception:
        pass
    w = World(module_router, module_standin, engine)
    w.engine = engine
    return w


@pytest.fixture(scope="module")
def judges(world, request):
    """run(client, ...), with the npm clients asked when the first of them is wanted."""
    def run(client, *args, **more):
        if client in clients.NODE and not world.node_results:
            world.ask_node(request.getfixturevalue("node"))
        return world.run(client, *args, **more)
    return run


def assert_id(door, id):
    if door == "openai":
        assert id.startswith("chatcmpl-")
    elif door == "anthropic":
        assert id.startswith("msg_")


def odd_text(world):
    """What the stand-in says with its odd words, asked without a router between."""
    body = body_of("openai", ODD, False)
    return ask(world.standin.port, "POST", "/v1/chat/completions", body).json["choices"][0]["message"]["content"]


@pytest.mark.parametrize("stream", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", ALL)
def test_every_client_gets_exactly_what_every_provider_said(world, judges, client, kind, stream):
    door = clients.DOOR[client]
    for model, wants in STANDIN_MODELS.items():
        if kind == "ollama" and "lines=cr+" in model:
            continue    # a carriage return alone ends lines of SSE only
        if (client, kind, model) == ("py-ollama", "ollama", ODD):
            continue    # passed as it came: Ollama escapes U+2028, which this client takes for a line's end
        r = judges(client, kind + "/" + model, stream)
        assert r["error"] is None, (model, r)
        assert r["text"] == (wants["text"] or odd_text(world)), model
        assert r["finish"] == FINISH[door][wants["finish"]] or (wants["finish"] == "filter" and kind == "ollama"), model
        if wants["usage"]:
            assert r["usage"] == wants["usage"], model
        assert r["model"].removesuffix(":latest") == model
        assert_id(door, r["id"])
        assert r["pieces"] >= (8 if stream else 1), model
        if "reasoning" in model and door != "anthropic":     # there only who asks for thinking gets it
            assert r["reasoning"], model


@pytest.mark.parametrize("stream", FORMS)
@pytest.mark.parametrize("model", ENGINE_MODELS)
@pytest.mark.parametrize("client", ALL)
def test_every_client_is_answered_by_the_real_engine(world, judges, client, model, stream):
    if world.engine is None:
        pytest.skip("no llama-server on the PATH or in build/engine")
    door, wants = clients.DOOR[client], ENGINE_MODELS[model]
    limit = wants.get("max_tokens", 64)
    r = judges(client, "engine-%s/tiny-%s" % (model, model), stream, max_tokens=limit)
    assert r["error"] is None, r
    if wants["text"] is not None:
        assert r["text"] == wants["text"]
        assert r["reasoning"] == ("" if door == "anthropic" else wants["reasoning"])
    if wants["finish"]:
        assert r["finish"] == FINISH[door][wants["finish"]]
    assert r["model"] == "tiny-" + model
    assert_id(door, r["id"])
    assert r["usage"][0] > 0 and 0 < r["usage"][1] <= limit
    if model == "loop":
        assert r["text"].strip().startswith(("la", "li", "lo")) and r["usage"][1] == limit


@pytest.mark.parametrize("stream", FORMS)
@pytest.mark.parametrize("client", ALL)
def test_stop_sequences_and_system_prompts_work_with_the_engine(world, judges, client, stream):
    if world.engine is None:
        pytest.skip("no llama-server on the PATH or in build/engine")
    r = judges(client, "engine-text/tiny-text", stream, system="Be brief.", stop=[" tiny"])
    assert r["error"] is None, r
    assert r["text"] == "Hello from the"
    assert r["finish"] in ("stop", "end_turn", "stop_sequence")


@pytest.mark.parametrize("stream", FORMS)
@pytest.mark.parametrize("client", ALL)
def test_an_unknown_model_is_not_found(judges, client, stream):
    r = judges(client, "no-such-model", stream)
    assert r["error"]["class"] == ("ResponseError" if "ollama" in client else "NotFoundError"), r
    assert r["error"]["status"] == 404
    assert "no-such-model" in r["error"]["message"]
    assert "openai/demo" in r["error"]["message"], "the names that exist"


@pytest.mark.parametrize("stream", FORMS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", ALL)
def test_an_upstreams_refusal_becomes_the_clients_own_exception(judges, client, kind, fault, stream):
    classes, statuses = FAULTS[fault]
    r = judges(client, "%s/demo+%s" % (provider_name(kind, fault), fault), stream)
    wanted = classes[clients.DOOR[client]]
    wanted = wanted if isinstance(wanted, tuple) else (wanted, "ServiceUnavailableError", "APIStatusError")
    assert r["error"] is not None, r
    # A second request within Retry-After meets a provider that is being spared.
    spared = "retry_after" in fault and r["error"]["status"] in (503, 529)
    if not spared:
        assert r["error"]["class"] in wanted, r
        assert r["error"]["status"] in (statuses if isinstance(statuses, tuple) else (statuses,)), r
    assert r["text"] == ""
    if "retry_after" in fault and r["error"]["retry_after"] is not None:
        assert 1 <= int(r["error"]["retry_after"]) <= 7


# An Ollama that says done without a reason is older than reasons: that is complete.
BROKEN = [(kind, fault) for kind in KINDS for fault in CUTS if not (kind == "ollama" and "no_finish" in fault)]


@pytest.mark.parametrize("kind,fault", BROKEN)
@pytest.mark.parametrize("client", ALL)
def test_a_stream_that_breaks_raises_and_never_looks_complete(judges, client, kind, fault):
    r = judges(client, "%s/demo+%s" % (provider_name(kind, fault), fault), True)
    assert r["error"] is not None, r
    assert r["text"] != "" and SENTENCE.startswith(r["text"]), r
    assert r["finish"] is None, r


# ---- what reaches the upstream -------------------------------------------------------------------

# door's own names -> what each kind of provider must get, by its own names
SAMPLING = {
    "openai": dict(max_tokens=33, temperature=0.25, top_p=0.5, seed=42, frequency_penalty=0.5, presence_penalty=-0.5,
                   stop=["END", "\n\n"], top_k=7, min_p=0.125, repeat_penalty=1.25, user="someone"),
    "anthropic": dict(max_tokens=33, temperature=0.25, top_p=0.5, top_k=7, stop_sequences=["END", "FIN"],
                      metadata={"user_id": "someone"}),
    "ollama": dict(options=dict(num_predict=33, temperature=0.25, top_p=0.5, seed=42, frequency_penalty=0.5,
                                presence_penalty=-0.5, stop=["END", "\n\n"], top_k=7, min_p=0.125,
                                repeat_penalty=1.25)),
}
COMMON = dict(max=33, temperature=0.25, top_p=0.5, top_k=7, stop=["END", "\n\n"])
RICH = dict(seed=42, frequency_penalty=0.5, presence_penalty=-0.5, min_p=0.125, repeat_penalty=1.25)
ANTHROPIC_HAS_NOT = {"seed", "frequency_penalty", "presence_penalty", "min_p", "repeat_penalty"}


def sampling_of(kind, body):
    """The parameters of an upstream's body by one set of names."""
    where = body.get("options", {}) if kind == "ollama" else body
    names = {"openai": {"max": ("max_tokens", "max_completion_tokens"), "stop": ("stop",)},
             "anthropic": {"max": ("max_tokens",), "stop": ("stop_sequences",)},
             "ollama": {"max": ("num_predict",), "stop": ("stop",)}}[kind]
    found = {}
    for name in (*COMMON, *RICH):
        for other in names.get(name, (name,)):
            if other in where:
                found[name] = where[other]
    return found


@pytest.mark.parametrize("stream", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("door", ["openai", "anthropic", "ollama", "generate"])
def test_parameters_arrive_in_the_providers_own_names_and_losses_are_told(world, door, kind, stream):
    world.standin.reset()
    given = SAMPLING["ollama" if door == "generate" else door]
    body = body_of(door, kind + "/demo", stream, prompt="A question", **given)
    if door in ("anthropic", "generate"):
        body["system"] = "Be brief."
    else:
        body["messages"].insert(0, {"role": "system", "content": "Be brief."})
    reply = world.router.ask("POST", {"openai": "/v1/chat/completions", "anthropic": "/v1/messages",
                                      "ollama": "/api/chat", "generate": "/api/generate"}[door], body)
    assert reply.status == 200 and reply.complete, reply
    assert understand(door, stream, reply).text == SENTENCE
    (seen,) = world.standin.requests()
    wants, lost = dict(COMMON), set()
    if door == "anthropic":
        wants["stop"] = ["END", "FIN"]
    else:
        wants.update(RICH)
    if kind == "anthropic" and door != "anthropic":
        # It has no such names, wants one of temperature and top_p, and no blank stop sequence.
        lost = ANTHROPIC_HAS_NOT | {"top_p", "stop"}
        wants = {k: v for k, v in wants.items() if k not in lost} | {"stop": ["END"]}
    if kind == "ollama" and door in ("openai", "anthropic"):
        lost = {"user"}
    assert sampling_of(kind, seen["json"]) == wants
    assert bool(seen["json"].get("stream")) == stream
    assert "Be brief." in seen["body"] and "A question" in seen["body"]
    if kind == "openai" and stream:
        assert seen["json"]["stream_options"]["include_usage"] is True
    if kind == "ollama":
        assert seen["json"]["options"]["num_ctx"] >= 1024
    dropped = {w.strip().lower() for w in (reply.header("X-LLM-Dropped") or "").split(",") if w.strip()}
    assert dropped == lost


def test_a_long_conversation_arrives_in_order(world):
    said = [("user", "one"), ("assistant", "two"), ("user", "three é 🙂"), ("assistant", "four"), ("user", "five")]
    for kind in KINDS:
        for door in ("openai", "anthropic", "ollama"):
            world.standin.reset()
            body = body_of(door, kind + "/demo", False)
            body["messages"] = [{"role": r, "content": t} for r, t in said]
            assert world.router.ask("POST", {"openai": "/v1/chat/completions", "anthropic": "/v1/messages",
                                             "ollama": "/api/chat"}[door], body).status == 200
            (seen,) = world.standin.requests()
            flat = [(m["role"], m["content"] if isinstance(m["content"], str)
                     else "".join(p["text"] for p in m["content"])) for m in seen["json"]["messages"]]
            assert flat == said, (door, kind)


def test_the_same_dialect_leaves_the_body_as_it_came(world):
    """Members that nobody here knows survive, and so does the spelling of numbers."""
    world.standin.reset()
    body = ('{"model":"openai/demo","messages":[{"role":"user","content":"x"}],"temperature":0.10,'
            '"some_extension":{"deep":[1,2.50,12345678901234567890]},"stream":false}').encode()
    assert world.router.ask("POST", "/v1/chat/completions", body).status == 200
    (seen,) = world.standin.requests()
    assert seen["body"] == body.decode().replace('"openai/demo"', '"demo"')


def test_the_clients_own_headers_do_not_travel(world):
    for kind in KINDS:
        world.standin.reset()
        headers = {"Authorization": "Bearer callers-own-secret", "x-api-key": "callers-own-secret",
                   "Cookie": "a=callers-own-secret", "X-LLM-Task": "simple_query", "User-Agent": "peer"}
        body = body_of("openai", kind + "/demo", False)
        assert world.router.ask("POST", "/v1/chat/completions", body, headers).status == 200
        (seen,) = world.standin.requests()
        assert "callers-own-secret" not in str(seen["headers"])


# ---- lists, keys, leaving ------------------------------------------------------------------------


def test_every_client_lists_the_models(world, judges):
    names = [m.id for m in openai.OpenAI(base_url=world.url + "/v1", api_key="x").models.list()]
    assert "auto" in names and "general" in names and "demo" in names
    listed = [m.id for m in anthropic.Anthropic(base_url=world.url, api_key="x").models.list()]
    assert listed == names
    tags = [m.model for m in ollama.Client(host=world.url).list().models]
    assert "demo" in [t.removesuffix(":latest") for t in tags]
    judges("js-openai", "no-such-model", False)
    for client in clients.NODE:
        result = world.node_results[(client, "", False, None, "None", True)]
        assert "demo" in [m.removesuffix(":latest") for m in result["models"]], client


@pytest.mark.parametrize("client", clients.PYTHON)
def test_a_wrong_key_is_an_authentication_error(router, standin, client):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url}}, "keys": {"require": True}}, ready="/healthz")
    made = r.command("keys", "add", "someone")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()

    def job(key, stream):
        return clients.run(client, {"url": r.url, "model": "p/demo", "stream": stream, "key": key})

    everywhere(lambda: job(key, False)["error"] is None, "the new key works")
    assert job(key, True)["text"] == SENTENCE
    for wrong in ("wrong", key[:-1], key + "x", "llmr_" + "0" * 43):
        for stream in (False, True):
            error = job(wrong, stream)["error"]
            assert error["class"] == ("ResponseError" if "ollama" in client else "AuthenticationError"), error
            assert error["status"] == 401


def test_the_npm_clients_show_their_keys_and_may_leave(router, standin, node):
    s = standin()
    model = "demo+events=100000+gap_ms=20"
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "models": ["demo", model]}},
                "keys": {"require": True}, "limits": {"wrong_keys": 0}}, ready="/healthz")
    key = r.command("keys", "add", "someone").stdout.strip()
    everywhere(lambda: r.ask("GET", "/v1/models", headers={"x-api-key": key}).status == 200, "the key works")
    jobs = [{"client": c, "url": r.url, "model": "p/" + m, "stream": stream, "key": k, "leave": leave}
            for c in clients.NODE for m, stream, k, leave in (
                ("demo", False, key, 0), ("demo", True, key, 0), ("demo", False, "wrong", 0), ("demo", True, "wrong", 0),
                (model, True, key, 3))]
    for job, result in zip(jobs, clients.run_node(node, MJS, jobs)):
        error = result["error"]
        if job["key"] == "wrong":
            assert error["class"] == ("ResponseError" if "ollama" in job["client"] else "AuthenticationError"), result
            assert error["status"] == 401
        elif job["leave"]:
            assert error is None and result["pieces"] == 3, result
        else:
            assert error is None and result["text"] == SENTENCE, result
    wait_for(lambda: [x["outcome"] for x in s.requests()].count("aborted") == len(clients.NODE), "all have left")


@pytest.mark.tsan
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", clients.PYTHON)
def test_a_caller_who_leaves_ends_the_upstream_request(router, standin, client, kind):
    s = standin()
    zone = {"zone": "local"} if kind == "anthropic" else {}
    r = router({"providers": {"p": {"kind": kind, "url": s.url, "concurrency": 4, **zone,
                                    "models": ["demo+events=100000+gap_ms=20"]}}}).wait_up()
    result = clients.run(client, {"url": r.url, "model": "p/demo+events=100000+gap_ms=20", "stream": True, "leave": 3})
    assert result["error"] is None and result["pieces"] == 3, result
    # Not by the stand-in's sum: a probe that takes too long is aborted, too.
    wait_for(lambda: [x["outcome"] for x in s.requests()] == ["aborted"], "the upstream request ends")
    wait_for(lambda: r.get("/router/stats")["total_requests"] == 1, "the exchange is closed")
    assert [x["outcome"] for x in s.requests()] == ["aborted"], "nothing is asked after the caller left"


@pytest.mark.tsan
def test_many_clients_at_once_get_their_own_answers(router, standin):
    s = standin()
    providers = {k: {"kind": k, "url": s.url, "concurrency": 0, "models": ["demo", "demo+gap_ms=1"],
                     **({"zone": "local"} if k == "anthropic" else {})} for k in KINDS}
    r = router({"providers": providers}).wait_up()
    failures = []

    def work(client, kind):
        for stream in (False, True):
            for model in ("demo", "demo+gap_ms=1"):
                x = clients.run(client, {"url": r.url, "model": kind + "/" + model, "stream": stream})
                if x["error"] or x["text"] != SENTENCE or x["usage"] != [11, 8]:
                    failures.append((client, kind, stream, x))

    threads = [threading.Thread(target=work, args=(c, k)) for c in clients.PYTHON for k in KINDS for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[:3]
    stats = r.get("/router/stats")
    assert stats["total_requests"] == stats["success_count"] == len(threads) * 4
