# SPDX-License-Identifier: Apache-2.0
"""Everything the official clients and two agent frameworks can express, towards every kind of provider.

    {client} x {feature of samples.FEATURES} x {openai, anthropic, ollama (the stand-in, strict), llama-server (ours)}

A cell is one job of features.py or js/features.mjs, whole and streamed, and JUDGE says what must come of it. What a
client or a vendor has no words for stands in NO_WORDS with its reason. The whole run writes
build/test/compatibility.json, and README.md's table is made from that by tools/compatibility.
"""
import json
import math
import os
import subprocess
import sys

import pytest

import clients
import features
import samples
from conftest import engine_provider
from harness import SENTENCE, TOP
from test_clients import MJS

KINDS = ["openai", "anthropic", "ollama"]
PACKAGES = {     # the npm clients: where they lie, and what the table calls them
    "js-openai": ("openai", "npm openai"), "js-openai-6": ("openai-6", "npm openai"),
    "js-anthropic": ("@anthropic-ai/sdk", "npm @anthropic-ai/sdk"),
    "js-anthropic-0": ("anthropic-sdk-0", "npm @anthropic-ai/sdk"), "js-ollama": ("ollama", "npm ollama"),
    "js-ai-chat": ("ai", "npm ai, @ai-sdk/openai-compatible,"),
    "js-ai-responses": ("ai", "npm ai, @ai-sdk/openai (Responses),"),
    "js-ai-anthropic": ("ai", "npm ai, @ai-sdk/anthropic,"),
    "js-agents-chat": ("@openai/agents", "npm @openai/agents (chat completions)"),
    "js-agents-responses": ("@openai/agents", "npm @openai/agents (Responses)"),
}
ALL = [*features.LIBRARIES, *PACKAGES]
RECORD = os.path.join(TOP, "build", "test", "compatibility.json")

# (client or the dialect it speaks, feature, kind), None for any: reason. Where a kind is named, the client must be
# told so by a clean refusal.
NO_WORDS = {
    (None, "embeddings", "anthropic"): "Anthropic has no embeddings",
}
# The engine's models say one thing only, so only these can be judged there.
ENGINE = {"text": "text", "tools": "2tool", "thinking": "think", "count tokens": "text", "models": "text"}


def dialect(client):
    """The door it comes through."""
    word = client.split("-", 1)[1]
    return {"ai-chat": "openai", "ai-responses": "openai", "agents-chat": "openai", "agents-responses": "openai",
            "ai-anthropic": "anthropic", "openai-6": "openai", "anthropic-0": "anthropic"}.get(word, word)


def why_not(client, feature, kind):
    for who in (client, dialect(client), None):
        if (who, feature, kind) in NO_WORDS:
            return NO_WORDS[(who, feature, kind)]
    return None


CELLS = [(client, feature, kind) for client in ALL for feature in samples.FEATURES
         for kind in [*KINDS, "llama-server"] if kind != "llama-server" or feature in ENGINE]


# ---- the judge -------------------------------------------------------------------------------------

STOP = ("stop", "end_turn", "completed", None)
CALLED = {"openai": ("tool_calls", "tool-calls"), "anthropic": ("tool_use", "tool-calls"), "ollama": ("stop",)}


def judge_text(runs, client, kind):
    for run in runs:
        assert run["text"] == (SENTENCE if kind in KINDS else "Hello from the tiny model. Café ok")
        assert run["finish"] in STOP and run["calls"] == []
        assert all(n > 0 for n in run.get("usage", [])), "usage"


def judge_tools(runs, client, kind):
    names = ["get_weather", "get_time"] if kind in KINDS else ["get_weather", "get_weather"]
    for run in runs:
        assert [name for _, name, _ in run["calls"]] == names
        first, second = (json.loads(arguments) for _, _, arguments in run["calls"])
        if kind in KINDS:
            assert run["text"] == SENTENCE
            assert list(first) == ["city"] and "Zürich" in first["city"] and second == {}
        else:
            assert (first, second) == ({"city": "Paris"}, {"city": "Rome"}) and "Let me check." in run["text"]
        ids = [i for i, _, _ in run["calls"]]
        assert ids == [None, None] or len({*ids, ""}) == 3, "ids"
        assert run["finish"] in CALLED[dialect(client)], "finish"


def judge_tool_loop(runs, client, kind):
    assert len(runs) == 2
    for run in runs:
        for result in samples.RESULTS.values():
            assert result in run["text"]
        assert run["calls"] == [] and run["finish"] in STOP
        assert len(run.get("called", [1, 1])) == 2


def judge_tool_choice(runs, client, kind):
    forced, named, none = runs
    assert len(forced["calls"]) == 1
    assert [name for _, name, _ in named["calls"]] == ["get_time"]
    assert none["calls"] == [] and none["text"] == SENTENCE


def judge_json(runs, client, kind):
    assert len(runs) == 2
    for run in runs:
        assert set(run["parsed"]) == {"name", "count"} and type(run["parsed"]["count"]) is int


def judge_images(runs, client, kind):
    for run in runs:
        assert "image/png %d bytes" % len(samples.PNG_BYTES) in run["text"]


def judge_thinking(runs, client, kind):
    for run in runs:
        assert run["text"] == (SENTENCE if kind in KINDS else "The answer is 42")
    for run in runs[:2]:
        assert run["reasoning"].strip()


def judge_documents(runs, client, kind):
    """A PDF where the provider takes one, a clean refusal where not; a text document everywhere."""
    if kind == "ollama":
        assert runs[0]["error"]["status"] == 400
    else:
        assert "application/pdf %d bytes" % len(samples.PDF_BYTES) in runs[0]["text"], runs[0]
    for run in runs[1:]:
        assert run["text"] and run["finish"] in STOP


def judge_embeddings(runs, client, kind):
    """Both ways to ask give the same direction; Ollama's older one is not of length 1."""
    one, other = (run["vectors"] for run in runs)
    assert len(one) == len(other) == 2 and len(one[0]) > 0 and len(one[0]) == len(one[1])
    assert one[0] != one[1]
    for v, w in zip(one, other):
        assert [x / math.hypot(*v) for x in v] == pytest.approx([x / math.hypot(*w) for x in w], rel=1e-4, abs=1e-6)


def judge_completions(runs, client, kind):
    for run in runs:
        assert run["text"] == SENTENCE and run["finish"] == "stop"


def judge_responses(runs, client, kind):
    whole, streamed, looped, parsed, unknown = runs
    for run in (whole, streamed):
        assert run["text"] == SENTENCE and run["finish"] == "completed" and run["id"].startswith("resp_")
        assert all(n > 0 for n in run["usage"])
    for result in samples.RESULTS.values():
        assert result in looped["text"]
    assert set(parsed["parsed"]) == {"name", "count"}
    assert unknown["error"]["status"] in (400, 404) and "previous_response_id" in unknown["error"]["message"]


def judge_count_tokens(runs, client, kind):
    assert runs[0]["tokens"] > 0


def judge_models(runs, client, kind):
    known, unknown = runs
    assert len(known["listed"]) == len(set(known["listed"])) > 2 and known["one"]
    assert unknown["error"]["status"] == 404


JUDGE = {name: globals()["judge_" + name.replace(" ", "_")] for name in samples.FEATURES}


# ---- the cells -------------------------------------------------------------------------------------

class World:
    def __init__(self, make_router, make_standin, engine):
        self.engine = engine
        models = {samples.MODEL.get(f, "demo") + knobs for f, knobs in samples.FEATURES.items()}
        # An Ollama serves what is private only of models that it lists: others may be somewhere else.
        listed = sorted({"demo", "demo-vision", "demo-think", "demo-embed", "demo" + samples.CALL, *models})
        behind = make_standin("--strict", "--models", ",".join(listed)).url
        providers = {kind: {"kind": kind, "url": behind, "zone": "local", "retries": 0, "concurrency": 8,
                            "models": sorted({"demo", "demo" + samples.CALL, *models})} for kind in KINDS}
        for model in set(ENGINE.values()) if engine else ():
            providers["engine-" + model] = engine_provider(engine, model)
        self.router = make_router({"providers": providers, "probe_interval": "60s"})
        self.router.wait_up(*KINDS, *(["engine-" + model for model in set(ENGINE.values())] if engine else []))
        self.node_results = {}
        self.record = {}

    def job(self, feature, kind):
        if kind in KINDS:
            model = "%s/%s%s" % (kind, samples.MODEL.get(feature, "demo"), samples.FEATURES[feature])
        else:
            model = "engine-%s/tiny-%s" % (ENGINE[feature], ENGINE[feature])
        return {"url": self.router.url, "model": model, "feature": feature}

    def ask_node(self, node):
        wanted = [cell for cell in CELLS if cell[0] in PACKAGES and (self.engine or cell[2] in KINDS)]
        more = {"samples": samples.for_node()}
        results = clients.run_node(node, MJS, [{"client": c, **self.job(f, k), **more} for c, f, k in wanted])
        self.node_results = dict(zip(wanted, results))


@pytest.fixture(scope="module")
def world(module_router, module_standin, request):
    engine = None
    try:
        engine = request.getfixturevalue("engine")
    except pytest.skip.Exception:
        pass
    return World(module_router, module_standin, engine)


@pytest.mark.parametrize("client, feature, kind", CELLS)
def test_feature(world, matrix, request, client, feature, kind):
    if kind == "llama-server" and world.engine is None:
        pytest.skip("no llama-server on the PATH or in build/engine")
    reason = why_not(client, feature, kind)
    if client in PACKAGES:
        if not world.node_results:
            world.ask_node(request.getfixturevalue("node"))
        result = world.node_results[(client, feature, kind)]
    elif feature in features.features_of(client):
        result = features.run(client, feature, world.job(feature, kind))
    else:
        result = {"runs": None, "error": None}
    if result["runs"] is None:
        world.record[(client, feature, kind)] = ("no words", "")
        return
    world.record[(client, feature, kind)] = ("failed", "see the test")
    matrix.setdefault("features", {})[(client, feature + ">" + kind)] = "FAILED"
    if reason:
        assert result["error"] and 400 <= (result["error"]["status"] or 0) < 500, result
    else:
        assert result["error"] is None, result["error"]["message"]
        try:
            JUDGE[feature](result["runs"], client, kind)
        except AssertionError as e:
            raise AssertionError("%s\n%s" % (e, json.dumps(result["runs"], indent=1, ensure_ascii=False))) from None
    world.record[(client, feature, kind)] = ("no words", reason) if reason else ("ok", "")
    matrix["features"][(client, feature + ">" + kind)] = "refused" if reason else "ok"


def title_of(client):
    return PACKAGES[client][1] if client in PACKAGES else "Python " + client.removeprefix("py-")


def version_of(client):
    if client not in PACKAGES:
        return features.version(client)
    modules = os.environ.get("NODE_MODULES") or os.path.join(TOP, "build", "node", "node_modules")
    with open(os.path.join(modules, PACKAGES[client][0], "package.json")) as f:
        return json.load(f)["version"]


def test_the_table_in_the_readme_is_what_was_run(world):
    if set(world.record) != set(CELLS):
        pytest.skip("only a part was run")
    os.makedirs(os.path.dirname(RECORD), exist_ok=True)
    rows = []
    for client, feature, kind in CELLS:
        verdict, reason = world.record[(client, feature, kind)]
        rows.append({"client": client, "title": title_of(client), "version": version_of(client), "feature": feature,
                     "provider": kind, "verdict": verdict, "reason": reason})
    with open(RECORD, "w") as f:
        json.dump(rows, f, indent=0)
    made = subprocess.run([sys.executable, os.path.join(TOP, "tools", "compatibility"), "--check", "README.md"],
                          capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
