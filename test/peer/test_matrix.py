# SPDX-License-Identifier: Apache-2.0
"""Every door towards every kind of provider, whole and streamed, with everything that a conversation can hold.

    {door} x {dialect of the provider} x {whole, streamed} x the rows of FEATURES

A row is a conversation, the knobs of the stand-in that answers it, and what every door must hand on. The stand-in is
strict: what a vendor would refuse fails the cell. EXCEPT lists the cells where a dialect has no words for something,
each with its reason; docs/compatibility.md is made from these tables (tools/compatibility) and test_the_page compares.
"""
import base64
import json
import os
import struct
import subprocess
import sys
import zlib

import pytest

import doors
from harness import SENTENCE, connect, request_bytes, wait_for

KINDS = ["openai", "anthropic", "ollama"]
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b""))


IMAGE = base64.b64encode(png()).decode()
WEATHER = {"name": "get_weather", "description": "Current weather",
           "schema": {"type": "object", "properties": {"city": {"type": "string"}, "id": {"type": "integer"},
                                                       "ratio": {"type": "number"}},
                      "required": ["city", "id", "ratio"]}}
CLOCK = {"name": "get-time_2", "description": "", "schema": {"type": "object", "properties": {}}}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
          "required": ["name", "count"], "additionalProperties": False}
ARGS = {"ratio": 1.5, "id": 9007199254740993, "city": "Z\u00fcrich \"\u65e5\" \U0001f642"}
HI = [("user", "Hi")]
LOOKED = [("user", "Weather?"), ("calls", [("call_a", "get_weather", json.dumps(ARGS)), ("call_b", "get-time_2", "{}")]),
          ("results", [("call_a", "get_weather", "18 C"), ("call_b", "get-time_2", "noon")])]


# ---- what must come of it --------------------------------------------------------------------------

def says(text=SENTENCE, finish="stop"):
    def check(s, sent):
        assert s.error is None and s.ended and s.text == text and s.calls == [] and s.finish == finish
        assert s.usage[0] > 0 and s.usage[1] > 0
    return check


def calls(n, text=""):
    def check(s, sent):
        assert s.error is None and s.ended and s.finish == "calls" and s.text == text
        assert [name for _, name, _ in s.calls] == ["get_weather", "get-time_2"][:n]
        assert json.loads(s.calls[0][2]) == ARGS and "9007199254740993" in s.calls[0][2]
        ids = [i for i, _, _ in s.calls]
        assert len(set(ids)) == n and all(ids)
        if n > 1:
            assert json.loads(s.calls[1][2]) == {}
    return check


def holds(*pieces):
    def check(s, sent):
        assert s.error is None and s.ended and s.finish == "stop"
        for piece in pieces:
            assert piece in s.text
    return check


def thinks(s, sent):
    says()(s, sent)
    assert s.reasoning


def fits(s, sent):
    assert s.error is None and s.ended and s.finish == "stop"
    assert set(json.loads(s.text)) == {"name", "count"}


def sends(*pieces):
    def check(s, sent):
        says()(s, sent)
        for piece in pieces:
            assert piece in sent
    return check


def refused(s, sent):
    assert s.error and not s.ended


def breaks(s, sent):
    """Whole: an error. Streamed: a beginning, and no end that looks like one."""
    assert not s.ended and s.finish is None and s.calls == []
    assert SENTENCE.startswith(s.text) and s.text != SENTENCE


# name: (conversation, knobs, check, status of a whole answer, status of a streamed one)
FEATURES = {
    "text": ({"turns": HI}, "", says(), 200, 200),
    "system": ({"system": "Be brief.", "turns": HI}, "", sends("Be brief."), 200, 200),
    "multi-turn": ({"turns": [("user", "One"), ("assistant", "Two"), ("user", "Three")]}, "",
                   sends("One", "Two", "Three"), 200, 200),
    "think": ({"turns": HI, "think": True}, "reasoning=2", thinks, 200, 200),
    "one tool": ({"turns": HI, "tools": [WEATHER]}, "call=1", calls(1), 200, 200),
    "tool in fragments": ({"turns": HI, "tools": [WEATHER]}, "call=1+call_fragments=3", calls(1), 200, 200),
    "text + two tools": ({"turns": HI, "tools": [WEATHER, CLOCK]}, "call=2+call_text=before", calls(2, SENTENCE),
                         200, 200),
    "tool result": ({"turns": LOOKED, "tools": [WEATHER, CLOCK]}, "", holds("18 C", "noon"), 200, 200),
    "tool result, then text": ({"turns": [*LOOKED, ("user", "And?")], "tools": [WEATHER, CLOCK]}, "", holds("18 C"),
                               200, 200),
    "tool result missing": ({"turns": [*LOOKED[:2], ("results", LOOKED[2][1][:1]), ("user", "And?")],
                             "tools": [WEATHER, CLOCK]}, "", holds("18 C"), 200, 200),
    "image": ({"turns": HI, "image": IMAGE}, "", holds("image/png %d bytes" % len(png())), 200, 200),
    "json schema": ({"turns": HI, "schema": SCHEMA}, "", fits, 200, 200),
    "stop string": ({"turns": HI, "stop": ["THE END"]}, "", sends("THE END"), 200, 200),
    "length": ({"turns": HI, "max_tokens": 77}, "finish=length", says(finish="length"), 200, 200),
    "refusal": ({"turns": HI}, "finish=filter", says(finish="filter"), 200, 200),
    "error before": ({"turns": HI}, "status=400", refused, 400, 400),
    "error in mid-stream": ({"turns": HI}, "error=3", breaks, 502, 200),
    "cut": ({"turns": HI}, "cut=3", breaks, 502, 200),
}

# (feature, door or None, provider or None): reason. The cell is not tried.
EXCEPT = {
    ("refusal", None, "ollama"): "Ollama has no reason for a refusal",
    ("refusal", "ollama", None): "Ollama has no reason for a refusal",
    ("refusal", "native", None): "the scheduler's schema has no reason for a refusal",
    ("tool result missing", "openai", "openai"): "the caller's own bytes pass, and the vendor's rule with them",
    ("tool result missing", "anthropic", "anthropic"): "the caller's own bytes pass, and the vendor's rule with them",
    ("stop string", "responses", None): "the Responses interface has no stop strings",
    ("json schema", "native", None): "the scheduler's schema has no form for answers",
    ("think", "native", None): "the scheduler's schema has no place for reasoning",
}


def reason(feature, door, kind):
    for at in ((feature, door, kind), (feature, door, None), (feature, None, kind)):
        if at in EXCEPT:
            return EXCEPT[at]
    return None


# ---- the cells -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def world(module_router, module_standin):
    behind = module_standin("--strict", "--models", "demo,demo-think,demo-vision")
    providers = {kind: {"kind": kind, "url": behind.url, "zone": "local", "retries": 0,
                        "models": sorted({model_of(kind, f, row[1]).split("/", 1)[1] for f, row in FEATURES.items()}
                                         | {"demo+stall=2"}),
                        "breaker_failures": 1000, "concurrency": 8} for kind in KINDS}
    return module_router({"providers": providers, "mode": "hybrid"}), behind


def model_of(kind, feature, knobs):
    name = {"image": "demo-vision", "think": "demo-think"}.get(feature, "demo")
    return "%s/%s%s" % (kind, name, "+" + knobs if knobs else "")


def cells():
    for feature in FEATURES:
        for door in doors.DOORS:
            for kind in KINDS:
                if reason(feature, door, kind) is None:
                    for stream in (False, True):
                        yield pytest.param(feature, door, kind, stream,
                                           id="%s-%s-%s-%s" % (feature.replace(" ", "_"), door, kind,
                                                               "streamed" if stream else "whole"))


@pytest.mark.parametrize("feature, door, kind, stream", cells())
def test_cell(world, matrix, feature, door, kind, stream):
    router, behind = world
    talk, knobs, check, whole, streamed = FEATURES[feature]
    path, body = doors.render(door, talk, model_of(kind, feature, knobs), stream)
    behind.reset()
    reply = router.ask("POST", path, body)
    sent = "\n".join(r["body"] for r in behind.requests() if r["method"] == "POST")
    said = doors.read(door, stream, reply)
    column = "%s>%s %s" % (door, kind, "s" if stream else "w")
    matrix.setdefault("conversations", {})[(feature, column)] = "FAILED"
    assert reply.status == (streamed if stream else whole), reply.text
    assert said.junk is None, said.junk
    try:
        check(said, sent)
    except AssertionError as e:
        raise AssertionError("%s\nsaid %s\nsent %s\ngot %s" % (e, said, sent, reply.text)) from None
    matrix["conversations"][(feature, column)] = "ok"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("door", doors.DOORS)
def test_cancel(world, door, kind):
    """The caller leaves in the middle: the provider's request is aborted."""
    router, behind = world
    path, body = doors.render(door, {"turns": HI}, "%s/demo+stall=2" % kind, True)
    behind.reset()
    with connect(router.port) as s:
        s.sendall(request_bytes("POST", path, body))
        wait_for(lambda: b"Hello" in s.recv(65536), "the beginning")
    wait_for(lambda: [r["outcome"] for r in behind.requests() if r["method"] == "POST"] == ["aborted"], "aborted")


def test_the_page():
    """docs/compatibility.md says what is tried here, and why the rest is not."""
    made = subprocess.run([sys.executable, os.path.join(TOP, "tools", "compatibility"), "--check"],
                          capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
