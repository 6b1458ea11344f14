# SPDX-License-Identifier: Apache-2.0
"""What an operator relies on: reload, keys, exposure, limits, refusals, metrics, logs, and a start from nothing but
the environment. Requests that no client library would send go over plain sockets."""
import json
import os
import re
import shutil
import signal
import sqlite3
import uuid

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import (DEADLINE, DOORS, SENTENCE, TOP, ask, body_of, connect, everywhere, path_of, read_reply,
                     request_bytes, router_binary, send_raw, understand, wait_for)

CALLERS = ["openai", "anthropic", "ollama", "native"]


@pytest.fixture(scope="module")
def plain(module_router, module_standin):
    """One router with one provider, for everything that leaves no trace."""
    s = module_standin("--record", "2048")
    r = module_router({"providers": {"p": {"kind": "openai", "url": s.url}}, "roles": {"general": ["p/demo"]}})
    r.standin = s
    return r.wait_up()


def assert_error_of(door, reply):
    """The body is an error in that door's own form; its text."""
    body = reply.json
    if door == "openai":
        assert body["error"]["type"] and "code" in body["error"], reply
        return body["error"]["message"]
    if door == "anthropic":
        assert body["type"] == "error" and body["error"]["type"], reply
        return body["error"]["message"]
    if door in ("ollama", "generate"):
        assert list(body) == ["error"], reply
        return body["error"]
    assert body["code"] and body["request_id"], reply
    return body["detail"]


# ---- reload --------------------------------------------------------------------------------------


def logged(router, event):
    return [line for line in router.log_lines() if line.get("event") == event]


@pytest.mark.tsan
def test_a_reload_takes_over_without_dropping_a_stream(router, standin):
    old, new = standin(), standin()
    model = "demo+events=300+gap_ms=5"
    r = router({"providers": {"p": {"kind": "openai", "url": old.url, "models": [model, "demo"]}},
                "roles": {"general": ["p/demo"]}}).wait_up()
    with connect(r.port) as c, connect(r.port) as idle:
        c.sendall(request_bytes("POST", DOORS["openai"], body_of("openai", "p/" + model, True)))
        f = c.makefile("rb")
        wait_for(lambda: old.stats()["events"] > 3, "the stream has begun")
        for i in range(3):
            r.reconfigure(providers={"p": {"kind": "anthropic", "zone": "local", "url": new.url}}, deadline="%dm" % (i + 5))
            r.signal(signal.SIGHUP)
            wait_for(lambda: len(logged(r, "reloaded")) == i + 1, "reloaded")
        r.wait_up()
        # New requests, also on connections that were open before, go the new way.
        wait_for(lambda: r.chat("openai", "general", False).status == 200 and new.requests(), "the new provider answers")
        idle.sendall(request_bytes("POST", DOORS["ollama"], body_of("ollama", "general", False)))
        assert understand("ollama", False, read_reply(idle.makefile("rb"))).text == SENTENCE
        reply = read_reply(f)
    a = understand("openai", True, reply)
    assert reply.complete and a.ended and a.finish == "stop" and a.text.startswith(SENTENCE[:5]), reply.problem
    assert len(old.requests()) == 1
    assert "llm_router_reloads_total 3" in r.ask("GET", "/metrics").text


@pytest.mark.parametrize("text,says", [
    ("listen: [", None), ("", None), ("providers: { p: { kind: nonsense } }", "nonsense"),
    ("no_such_option: 1", "no_such_option"), ("providers: { p: { kind: openai } }", "url"),
    ("\0binary\xff", None),
])
def test_a_bad_file_changes_nothing(plain, text, says):
    refused, taken = len(logged(plain, "reload_refused")), len(logged(plain, "reloaded"))
    good = plain.config
    plain.write(text)
    plain.signal(signal.SIGHUP)
    if text == "":      # an empty file is one without options: legal, and refused by nobody
        wait_for(lambda: len(logged(plain, "reloaded")) == taken + 1, "the empty one is taken")
        plain.write(good)
        plain.signal(signal.SIGHUP)
        wait_for(lambda: len(logged(plain, "reloaded")) == taken + 2, "the good one is taken")
        assert len(logged(plain, "reload_refused")) == refused
    else:
        wait_for(lambda: len(logged(plain, "reload_refused")) == refused + 1, "refused")
        check = plain.command("check")
        assert check.returncode == 2 and (says or "") in check.stderr
        plain.write(good)
    everywhere(lambda: plain.chat("openai", "p/demo", False).status == 200, "all is as it was")


def test_check_names_line_column_and_what_was_expected(plain):
    r = plain
    good = r.config
    r.write("listen: [ 127.0.0.1:0 ]\nproviders:\n  p:\n    kind: openai\n    url: http://127.0.0.1:1\n    concurrency: many\n")
    found = r.command("check")
    r.write(good)
    assert found.returncode == 2
    assert re.search(r"\b6\b.*\b18\b|:6:", found.stderr) and "concurrency" in found.stderr, found.stderr


# ---- exposure and keys ---------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_without_keys_nothing_but_loopback_is_served(router, standin, address):
    r = router({"listen": [address], "providers": {"p": {"kind": "openai", "url": standin().url}}}, start=False)
    refused = r.command("serve")
    assert refused.returncode == 1 and "keys add" in refused.stderr, refused
    # With a key it starts, and loopback needs the key as well as anybody.
    key = r.command("keys", "add", "first")
    assert key.returncode == 0, key.stderr
    if address.startswith("["):
        return
    r.ready = "/healthz"
    r.start()
    assert r.ask("GET", "/v1/models").status == 401
    assert r.ask("GET", "/v1/models", headers={"x-api-key": key.stdout.strip()}).status == 200


def test_keys_are_kept_as_digests_and_revoking_takes_effect(router, standin):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url}}, "keys": {"require": True},
                "limits": {"wrong_keys": 0}}, ready="/healthz")
    for door in CALLERS:        # required and none there yet: nobody comes in
        refused = r.chat(door, "p/demo", False)
        assert refused.status == 401
        assert_error_of(door, refused)
    first = r.command("keys", "add", "first one")
    second = r.command("keys", "add", "--json", "second one")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    first, made = first.stdout.strip(), json.loads(second.stdout)
    second = made["key"]
    assert re.fullmatch(r"llmr_[0-9A-Za-z]{43}", first) and first != second

    def status(key, door="openai", header="Authorization"):
        return r.chat(door, "p/demo", False, {header: "Bearer " + key if header == "Authorization" else key}).status

    everywhere(lambda: status(first) == status(second) == 200, "both keys work")
    for door in CALLERS:
        assert status(first, door) == status(first, door, "x-api-key") == 200
        for wrong in ("", "x", first + "x", first[:-1], first.lower(), "llmr_" + "0" * 43):
            refused = r.chat(door, "p/demo", door != "native", {"x-api-key": wrong})
            assert refused.status == 401, wrong
            assert "llmr_" not in assert_error_of(door, refused)
    for path in ("/router/providers", "/router/stats", "/metrics", "/v1/models", "/api/tags"):
        assert r.ask("GET", path).status == 401, path
    for path in ("/healthz", "/readyz", "/api/version", "/"):
        assert r.ask("GET", path).status == 200, path
    folder = os.path.join(r.dir, "state")
    assert os.stat(folder).st_mode & 0o077 == 0
    for where, folders, names in os.walk(folder):
        for name in folders + names:
            assert os.stat(os.path.join(where, name)).st_mode & 0o077 == 0, name
        for name in filter(lambda name: os.path.isfile(os.path.join(where, name)), names):
            with open(os.path.join(where, name), "rb") as f:
                content = f.read()
            for key in (first, second, first.removeprefix("llmr_")):
                assert key.encode() not in content, name
    listed = r.command("keys", "list").stdout
    assert "first one" in listed and first not in listed and second not in listed
    assert r.command("keys", "revoke", made["id"]).returncode == 0
    wait_for(lambda: status(second) == 401, "the revoked key is refused")
    assert status(first) == 200
    with sqlite3.connect("file:%s?mode=ro" % os.path.join(folder, "llm-router.db"), uri=True) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    assert r.command("keys", "revoke", "k_nobody").returncode != 0


def test_the_callers_key_stays_here_and_the_providers_key_is_sent(router, standin, tmp_path):
    secret = "sk-peer-" + uuid.uuid4().hex
    s = standin("--key", secret)
    file = tmp_path / "key"
    file.write_text(secret + "\n")
    file.chmod(0o600)
    r = router({"providers": {
        "a": {"kind": "openai", "url": s.url, "key_env": "PEER_KEY"},
        "b": {"kind": "anthropic", "url": s.url, "key_file": str(file), "zone": "cloud"},
        "c": {"kind": "ollama", "url": s.url, "key_env": "PEER_KEY"}}}, env={"PEER_KEY": secret}).wait_up()
    for provider, header in (("a", "authorization"), ("b", "x-api-key"), ("c", "authorization")):
        s.reset()
        for door in CALLERS:
            assert r.chat(door, provider + "/demo", False, {"Authorization": "Bearer other"}).status == 200
        for seen in s.requests():
            assert seen["headers"][header].removeprefix("Bearer ") == secret
            if provider == "b":
                assert seen["headers"]["anthropic-version"] == "2023-06-01"
    checked = r.command("check")
    assert checked.returncode == 0 and secret not in checked.stdout + checked.stderr
    assert secret not in r.log_text() and secret not in r.ask("GET", "/metrics").text
    with open("/proc/%d/cmdline" % r.process.pid) as f:
        assert secret not in f.read()


def test_wrong_upstream_keys_are_not_shown_as_the_callers_fault(router, standin):
    s = standin("--key", "right")
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "models": ["demo"], "retries": 0}}}, ready="/healthz")
    for door in CALLERS:
        reply = r.chat(door, "p/demo", False)
        assert reply.status in (502, 503), reply
        assert_error_of(door, reply)


# ---- browsers ------------------------------------------------------------------------------------


def test_only_our_own_names_are_served(router, standin):
    r = router({"providers": {"p": {"kind": "openai", "url": standin().url}}, "hosts": ["listed.example.org"]})
    for host in ("127.0.0.1", "localhost:1234", "LOCALHOST", "[::1]:80", "10.1.2.3:8484", "a.localhost",
                 "listed.example.org", "Listed.Example.org:80"):
        assert r.ask("GET", "/v1/models", headers={"Host": host}).status == 200, host
    for host in ("evil.example.org", "localhost.evil.example.org", "127.0.0.1.evil.example.org", "evil.example.org:127",
                 "xlocalhost", "127.0.0.1@evil.example.org", ""):
        for path, door in (("/v1/models", "openai"), ("/api/tags", "ollama"), ("/router/stats", "native")):
            reply = r.ask("GET", path, headers={"Host": host})
            assert reply.status in (403, 400), (host, reply)
            assert_error_of(door, reply)


def test_origins_are_answered_only_if_listed(router, standin):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url}}, "origins": ["https://localhost:3000"]}).wait_up()
    good, body = {"Origin": "https://localhost:3000"}, body_of("ollama", "p/demo", False)
    reply = r.ask("POST", "/api/chat", body, good)
    assert reply.status == 200 and reply.header("Access-Control-Allow-Origin") == "https://localhost:3000"
    assert reply.header("Vary") == "Origin" and reply.header("Access-Control-Allow-Credentials") is None
    preflight = r.ask("OPTIONS", "/api/chat", headers={**good, "Access-Control-Request-Method": "POST",
                                                       "Access-Control-Request-Headers": "content-type,x-api-key"})
    assert preflight.status == 204
    assert preflight.header("Access-Control-Allow-Methods") == "GET, POST, DELETE, HEAD, OPTIONS"
    assert "content-type" in preflight.header("Access-Control-Allow-Headers")
    s.reset()
    for origin in ("https://evil.example.org", "null", "http://localhost:3000", "https://localhost:3001", "*",
                   "https://localhost:3000.evil.example.org"):
        for method in ("POST", "OPTIONS"):
            reply = r.ask(method, "/api/chat", body if method == "POST" else b"", {"Origin": origin})
            assert reply.status == 403 and reply.header("Access-Control-Allow-Origin") is None, (origin, reply)
    assert s.requests() == []


def test_the_last_key_of_the_right_admin_that_can_be_used_stays(router):
    r = router({"providers": {"p": {"kind": "openai", "url": "http://127.0.0.1:1"}}}, ready="/healthz")

    def add(key, **rules):
        reply = r.ask("POST", "/router/keys", {"name": "x", "rules": rules}, {"Authorization": "Bearer %s" % key})
        assert reply.status == 201, reply
        return reply.json

    first = add("none is needed yet", admin=True)
    add(first["key"], admin=True, expires="2001-01-01")
    add(first["key"], admin=True, doors="openai")
    mine = {"Authorization": "Bearer " + first["key"]}
    assert r.ask("DELETE", "/router/keys/" + first["id"], headers=mine).status == 409
    add(first["key"], admin=True)
    assert r.ask("DELETE", "/router/keys/" + first["id"], headers=mine).status == 204


# ---- limits --------------------------------------------------------------------------------------


def test_bodies_heads_and_connections_have_limits(router, standin):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url}}, "server": {
        "max_body": "10KiB", "max_header": "8KiB", "max_connections": 8}}, workers=1).wait_up()
    big = "x" * 20000
    for door in CALLERS:
        reply = ask(r.port, "POST", DOORS[door], body_of(door, "p/demo", False, prompt=big))
        assert reply.status == 413, reply
        assert_error_of(door, reply)
        head = "POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" % DOORS[door]
        replies, closed = send_raw(r.port, head.encode() + b"4e20\r\n" + big.encode() + b"\r\n0\r\n\r\n")
        assert [x.status for x in replies] == [413] and closed
        reply = ask(r.port, "POST", DOORS[door], body_of(door, "p/demo", False), {"X-Long": "y" * 9000})
        assert reply.status == 431, reply
        assert_error_of(door, reply)
        reply = ask(r.port, "POST", DOORS[door] + "?" + "q" * 9000, body_of(door, "p/demo", False))
        assert reply.status == 431, reply
    many = request_bytes("GET", "/healthz", headers={"X-%d" % i: "1" for i in range(150)})
    replies, closed = send_raw(r.port, many)
    assert [x.status for x in replies] == [431] and closed
    # As large as allowed is allowed.
    assert ask(r.port, "POST", DOORS["openai"], body_of("openai", "p/demo", False, prompt="x" * 9000)).status == 200
    wait_for(lambda: "llm_router_connections 1\n" in r.ask("GET", "/metrics").text, "all connections are closed")
    held = [connect(r.port) for _ in range(8)]
    try:
        for c in held:      # each is really there
            c.sendall(request_bytes("GET", "/healthz"))
            assert read_reply(c.makefile("rb")).status == 200
        reply = ask(r.port, "GET", "/healthz")
        assert reply.status == 503 and reply.header("Retry-After"), reply
    finally:
        for c in held:
            c.close()
    wait_for(lambda: ask(r.port, "GET", "/healthz").status == 200, "there is room again")


def test_slow_senders_are_timed_out_and_hold_nobody_up(router, standin):
    r = router({"providers": {"p": {"kind": "openai", "url": standin().url}}, "server": {
        "head_timeout": "1s", "body_timeout": "1s", "keepalive_timeout": "1s"}}).wait_up()
    for sent in (b"GET /hea", b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"):
        with connect(r.port) as c:
            c.sendall(sent)
            reply = read_reply(c.makefile("rb"))
            assert reply.status == 408, reply
    with connect(r.port) as c:      # kept alive without a request: closed without a word
        assert c.recv(1) == b""


def test_too_many_requests_in_progress_are_refused_with_retry_after(router, standin):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "models": ["demo+hang_head", "demo"]}},
                "max_exchanges": 2}, workers=1).wait_up()
    held = [connect(r.port) for _ in range(2)]
    for c in held:
        c.sendall(request_bytes("POST", DOORS["openai"], body_of("openai", "p/demo+hang_head", True)))
    wait_for(lambda: len(s.requests()) == 2, "both are in progress")
    for door in CALLERS:
        reply = r.chat(door, "p/demo", False)
        assert reply.status == (529 if door == "anthropic" else 503) and reply.header("Retry-After"), reply
        assert_error_of(door, reply)
    for c in held:
        c.close()
    wait_for(lambda: r.chat("openai", "p/demo", False).status == 200, "there is room again")


# ---- bad input -----------------------------------------------------------------------------------

USER = [{"role": "user", "content": "x"}]
BAD_ANYWHERE = [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"model":"p/demo"', b"{}x", b'{"model":NaN}',
                b'{"a":1,"a":2}', b"[" * 100000, b'{"model":' + b'{"a":' * 5000]
BAD = {     # each of them is refused with 400, or 422 at the native door
    "openai": [{}, {"model": "p/demo"}, {"messages": "x"}, {"messages": []}, {"messages": [1]}, {"messages": [{}]},
               {"messages": [{"role": "nobody", "content": "x"}]}, {"messages": [{"role": "user"}]},
               {"messages": [{"role": "user", "content": 5}]}, {"messages": USER, "model": 5},
               {"messages": USER, "temperature": "hot"}, {"messages": USER, "temperature": 3},
               {"messages": USER, "max_tokens": -1}, {"messages": USER, "max_tokens": 1.5},
               {"messages": USER, "stream": "yes"}, {"messages": USER, "stop": 5}, {"messages": USER, "n": 0},
               {"messages": USER, "top_p": 2}, {"messages": USER, "seed": "x"}, {"messages": USER, "logprobs": 1},
               {"messages": USER, "tools": "f"}, {"messages": USER, "tools": [{"type": "function"}]},
               {"messages": USER, "tools": [{"type": "custom", "custom": {"name": "f"}}]},
               {"messages": USER, "response_format": {"type": "xml"}}, {"messages": USER, "response_format": "json"},
               {"messages": USER, "response_format": {"type": "json_schema"}}, {"messages": USER, "reasoning_effort": 5},
               {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}]},
               {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://h/x.png"}}]}]}],
    "anthropic": [{}, {"max_tokens": 5}, {"messages": USER}, {"messages": USER, "max_tokens": "5"},
                  {"messages": [], "max_tokens": 5}, {"messages": "x", "max_tokens": 5},
                  {"messages": [{"role": "user", "content": [{"type": "image"}]}], "max_tokens": 5},
                  {"messages": [{"role": "nobody", "content": "x"}], "max_tokens": 5},
                  {"messages": USER, "max_tokens": 5, "system": 5}, {"messages": USER, "max_tokens": 5, "stop_sequences": "x"},
                  {"messages": USER, "max_tokens": 5, "stream": 1},
                  {"messages": USER, "max_tokens": 5, "tools": [{"name": "f"}]},
                  {"messages": USER, "max_tokens": 5, "tools": [{"input_schema": {"type": "object"}}]},
                  {"messages": USER, "max_tokens": 5, "tool_choice": {"type": "any"}},
                  {"messages": USER, "max_tokens": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}},
                  {"messages": USER, "max_tokens": 5, "output_config": {"format": {"type": "xml"}}},
                  {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}], "max_tokens": 5}],
    "ollama": [{"messages": USER, "model": 5}, {"model": "p/demo", "messages": "x"}, {"model": "p/demo", "messages": [1]},
               {"model": "p/demo", "messages": [{"role": "user", "content": ["x"]}]},
               {"model": "p/demo", "messages": USER, "options": {"temperature": "hot"}},
               {"model": "p/demo", "messages": USER, "options": []}, {"model": "p/demo", "messages": USER, "stream": "no"},
               {"model": "p/demo", "messages": USER, "tools": "f"}, {"model": "p/demo", "messages": USER, "format": "xml"},
               {"model": "p/demo", "messages": [{"role": "user", "content": "x", "images": ["?"]}]},
               {"model": "p/demo", "messages": [{"role": "user", "content": "x", "images": "iVBO"}]},
               {"model": "p/demo", "messages": USER, "think": "much"}],
    "native": [{}, {"prompt": 5}, {"prompt": None}, {"prompt": ""}, {"prompt": "x", "max_tokens": None},
               {"prompt": "x", "max_tokens": 100.5}, {"prompt": "x", "max_tokens": 0}, {"prompt": "x", "max_tokens": 100001},
               {"prompt": "x", "temperature": 2.5}, {"prompt": "x", "provider": None}, {"prompt": "x", "metadata": None},
               {"prompt": "x", "tools": {}}, {"prompt": "x", "tools": ["f"]}],
}


@pytest.mark.parametrize("door", CALLERS)
def test_bad_input_is_refused_in_the_doors_own_words_and_goes_nowhere(plain, door):
    plain.standin.reset()
    for bad in [*BAD_ANYWHERE, *BAD[door]]:
        reply = ask(plain.port, "POST", DOORS[door], bad)
        assert reply.status == 400 or door == "native" and reply.status == 422, (bad[:80] if isinstance(bad, bytes) else bad, reply)
        assert reply.complete
        text = assert_error_of(door, reply)
        assert text and "\0" not in text
    assert plain.standin.requests() == []
    assert plain.ask("GET", "/healthz").status == 200


def test_unknown_paths_and_methods_have_the_errors_of_their_door(plain):
    for path, door in (("/v1/nothing", "openai"), ("/v1/messages/batches", "anthropic"), ("/api/nothing", "ollama"),
                       ("/router/nothing", "native"), ("/v1/chat/completions/", "openai"), ("/v1//models", "openai"),
                       ("/%76%31/models", "openai"), ("/../etc/passwd", "openai")):
        reply = plain.ask("GET", path)
        assert reply.status == 404, (path, reply)
        assert_error_of(door, reply)
    for method, path, door in (("GET", "/v1/chat/completions", "openai"), ("PUT", "/v1/messages", "anthropic"),
                               ("DELETE", "/api/chat", "ollama"), ("POST", "/router/stats", "native")):
        reply = plain.ask(method, path)
        assert reply.status == 405, (path, reply)
        assert_error_of(door, reply)
    assert plain.ask("HEAD", "/").status == 200
    assert plain.ask("GET", "/").text == "Ollama is running"


CHAT = b'{"model":"p/demo","messages":[{"role":"user","content":"x"}]}'
SMUGGLED = b"GET /router/stats HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(*lines, body=b""):
    return b"\r\n".join([b"POST /v1/chat/completions HTTP/1.1", b"Host: localhost", *lines, b"", b""]) + body


SMUGGLING = {
    "length and chunked": post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked and length": post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"0\r\n\r\n"),
    "two lengths": post(b"Content-Length: 61", b"Content-Length: 5", body=CHAT),
    "two equal lengths": post(b"Content-Length: 61", b"Content-Length: 61", body=CHAT),
    "length list": post(b"Content-Length: 61, 61", body=CHAT),
    "length plus": post(b"Content-Length: +61", body=CHAT),
    "length minus": post(b"Content-Length: -61", body=CHAT),
    "length hex": post(b"Content-Length: 0x3d", body=CHAT),
    "length empty": post(b"Content-Length: ", body=CHAT),
    "length words": post(b"Content-Length: 6 1", body=CHAT),
    "length huge": post(b"Content-Length: 99999999999999999999", body=CHAT),
    "blank before colon": post(b"Content-Length : 61", body=CHAT),
    "two codings": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
    "coding not last": post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "unknown coding": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "coding with a tab": post(b"Transfer-Encoding:\tchunked\x0b", body=b"0\r\n\r\n"),
    "folded coding": post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"),
    "chunked in 1.0": b"POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size overflow": post(b"Transfer-Encoding: chunked", body=b"ffffffffffffffff1\r\nx\r\n0\r\n\r\n"),
    "chunk size sign": post(b"Transfer-Encoding: chunked", body=b"-1\r\nx\r\n0\r\n\r\n"),
    "chunk size blank": post(b"Transfer-Encoding: chunked", body=b"1 \r\nx\r\n0\r\n\r\n"),
    "chunk without end": post(b"Transfer-Encoding: chunked", body=b"1\r\nxx0\r\n\r\n"),
    "chunk with bare LF": post(b"Transfer-Encoding: chunked", body=b"1\nx\n0\n\n"),
    "bare LF": b"POST /v1/chat/completions HTTP/1.1\nHost: localhost\nContent-Length: 61\n\n" + CHAT,
    "bare CR in a value": post(b"X-A: b\rContent-Length: 61", body=CHAT),
    "NUL in a value": post(b"X-A: b\0c", b"Content-Length: 61", body=CHAT),
    "NUL in a name": post(b"X-\0A: b", b"Content-Length: 61", body=CHAT),
    "folded header": post(b"X-A: b", b" c", b"Content-Length: 61", body=CHAT),
    "header without colon": post(b"Nonsense", b"Content-Length: 61", body=CHAT),
    "name with a blank": post(b"X A: b", b"Content-Length: 61", body=CHAT),
    "no host": b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 61\r\n\r\n" + CHAT,
    "two hosts": post(b"Host: localhost", b"Content-Length: 61", body=CHAT),
    "HTTP/0.9": b"GET /router/stats\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET /router/stats HTTP/1.2\r\nHost: localhost\r\n\r\n",
    "tab in the line": b"GET\t/router/stats\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
    "small letters": b"get /router/stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
    "no path": b"GET HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "connect": b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "other bytes": bytes(range(256)),
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_a_request_that_could_be_read_two_ways_is_refused_and_the_connection_closed(plain, name):
    plain.standin.reset()
    before = plain.get("/router/stats")["total_requests"]
    replies, closed = send_raw(plain.port, SMUGGLING[name] + SMUGGLED, deadline=DEADLINE)
    assert closed, "the connection stays open"
    assert len(replies) <= 1, "what came behind it was answered: %r" % replies
    for reply in replies:
        assert 400 <= reply.status < 600, reply
    assert plain.standin.requests() == [] and plain.get("/router/stats")["total_requests"] == before


def test_pipelined_requests_are_answered_in_order(plain):
    one = request_bytes("POST", DOORS["openai"], body_of("openai", "p/demo", True))
    two = request_bytes("GET", "/v1/models")
    three = request_bytes("POST", DOORS["anthropic"], body_of("anthropic", "p/demo", False), {"Connection": "close"})
    replies, closed = send_raw(plain.port, one + two + three)
    assert closed and [r.status for r in replies] == [200, 200, 200]
    assert understand("openai", True, replies[0]).text == understand("anthropic", False, replies[2]).text == SENTENCE
    assert replies[1].json["object"] == "list"


def test_requests_cut_anywhere_are_read_the_same(plain):
    data = request_bytes("POST", DOORS["openai"], body_of("openai", "p/demo", False), {"Connection": "close"})
    for step in (1, 2, 7):
        with connect(plain.port) as c:
            for i in range(0, len(data), step):
                c.sendall(data[i:i + step])
            assert understand("openai", False, read_reply(c.makefile("rb"))).text == SENTENCE


def test_http_1_0_callers_get_a_stream_that_ends_with_the_connection(plain):
    for stream in (True, False):
        replies, closed = send_raw(plain.port, request_bytes("POST", DOORS["openai"], body_of("openai", "p/demo", stream),
                                                             version="1.0"))
        assert closed and replies[0].status == 200 and replies[0].header("Transfer-Encoding") is None
        assert understand("openai", stream, replies[0]).text == SENTENCE


# ---- what can be watched -------------------------------------------------------------------------


def test_request_ids_are_echoed_or_made(plain):
    for given in ("abc-123", "x" * 255, "~!@#$%^&*()"):
        assert plain.ask("GET", "/healthz", headers={"X-Request-ID": given}).header("X-Request-ID") == given
    for given in ("", "x" * 256, "two words", "caf\xe9"):
        made = plain.ask("GET", "/healthz", headers={"X-Request-ID": given}).header("X-Request-ID")
        assert uuid.UUID(made).version == 4, given
    for door in CALLERS:
        reply = plain.chat(door, "no-such-model", False, {"X-Request-ID": "my-own-id"})
        assert reply.status == 404 and reply.header("X-Request-ID") == "my-own-id"
        reply = plain.chat(door, "p/demo", True, {"X-Request-ID": "my-own-id"})
        assert reply.header("X-Request-ID") == "my-own-id" and reply.header("X-LLM-Provider") == "p"


def parsed_metrics(router):
    reply = router.ask("GET", "/metrics")
    assert reply.status == 200 and reply.header("Content-Type").startswith("text/plain; version=0.0.4")
    return {f.name: f for f in text_string_to_metric_families(reply.text)}


def test_metrics_are_prometheus_and_their_labels_are_bounded(router, standin):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "retries": 0, "breaker_failures": 1000,
                                    "models": ["demo", "demo+status=500", "demo+cut=2"]},
                              "q": {"kind": "ollama", "url": s.url}}}).wait_up()

    def series():
        return {(x.name, tuple(sorted(x.labels.items()))) for f in parsed_metrics(r).values() for x in f.samples}

    def traffic(marks):
        for i in marks:
            for door in CALLERS:
                mark = {"X-Request-ID": "canary-%d" % i, "User-Agent": "canary-%d" % i}
                for model in ("p/demo", "q/demo", "p/demo+status=500", "canary-model-%d" % i, "p/canary-%d" % i):
                    r.chat(door, model, i % 2 == 0, mark)
                r.chat(door, "p/demo+cut=2", True, mark)
            r.ask("GET", "/canary-%d" % i)
            r.ask("GET", "/healthz", headers={"Host": "canary-%d.example.org" % i})
            r.ask("POST", "/v1/messages", b"{canary")

    traffic(range(4))
    first = series()
    traffic(range(4, 12))
    assert series() == first, "more traffic of the same sort makes no new series"
    text = r.ask("GET", "/metrics").text
    assert "canary" not in text
    families = parsed_metrics(r)
    for name, family in families.items():
        assert name.startswith("llm_router_") and family.documentation, name
        for sample in family.samples:
            assert set(sample.labels) <= {"provider", "outcome", "door", "error", "code", "field", "what", "task", "le",
                                          "parameter", "class", "member", "period", "kind",
                                          "server"}, sample
    documented = set(re.findall(r'"(llm_router_[a-z_]+)"', open(os.path.join(TOP, "src/ledger/metrics.def")).read()))
    assert {n + ("_total" if f.type == "counter" else "") for n, f in families.items()} <= documented
    # Histograms add up.
    for family in families.values():
        if family.type == "histogram":
            counts, infinite = {}, {}
            for x in family.samples:
                key = tuple(sorted((k, v) for k, v in x.labels.items() if k != "le"))
                if x.name.endswith("_count"):
                    counts[key] = x.value
                elif x.labels.get("le") == "+Inf":
                    infinite[key] = x.value
            assert counts == infinite, family.name
    assert len(r.ask("GET", "/metrics").text) < 200000


@pytest.mark.tsan
def test_the_statistics_add_up_at_any_moment(router, standin):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "retries": 0, "breaker_failures": 1000,
                                    "models": ["demo", "demo+status=500", "demo+cut=2", "demo+status=400"]},
                              "q": {"kind": "anthropic", "zone": "local", "url": s.url}},
                "roles": {"general": ["p/demo+status=500", "q/demo"]}}).wait_up()
    asked = 0
    for i in range(6):
        for door in CALLERS:
            for model in ("p/demo", "q/demo", "general", "p/demo+status=500", "p/demo+status=400", "no-such", "p/demo+cut=2"):
                more = {"X-LLM-Task": "explanation"} if i % 2 else {}
                r.chat(door, model, i % 3 == 0, more)
                asked += 1
                st = r.get("/router/stats")
                assert st["total_requests"] == asked
                assert st["total_requests"] == st["success_count"] + st["error_count"]
                assert sum(st["requests_by_provider"].values()) == st["success_count"]
                assert sum(st["requests_by_task_type"].values()) == st["total_requests"]
    assert st["fallback_count"] == 6 * 4 and st["requests_by_task_type"]["explanation"] == asked // 2
    assert st["total_tokens_used"] >= st["success_count"] * 19 and st["avg_latency_ms"] > 0
    for path in ("/router/providers", "/router/breakers", "/router/models", "/router/available"):
        assert r.ask("GET", path).status == 200
    assert r.get("/router/available") == {"available": True}


def allowed_fields():
    with open(os.path.join(TOP, "src/base/log_fields.def")) as f:
        return set(re.findall(r'LOG_FIELD\([A-Z_]+, "([a-z_]+)"', f.read())) | {"time", "level", "event"}


def test_logs_metrics_and_errors_hold_no_content(router, standin, tmp_path):
    """One secret word in everything a caller, a provider or an operator could put it into, then a look at every sink."""
    word = "canary" + uuid.uuid4().hex
    s = standin("--key", "upstream-" + word)
    r = router({"providers": {
        "p": {"kind": "openai", "url": s.url, "key_env": "PEER_KEY", "retries": 0, "breaker_failures": 1000,
              "models": ["demo", "demo+status=500", "demo+error=2", "demo+malformed=2", "demo+html"]},
        "q": {"kind": "ollama", "url": s.url, "key_env": "PEER_KEY"}},
        "log": {"level": "debug"}, "keys": {"require": True}}, env={"PEER_KEY": "upstream-" + word}, ready="/healthz")
    key = r.command("keys", "add", "someone", "--admin", "yes").stdout.strip()
    everywhere(lambda: r.ask("GET", "/v1/models", headers={"x-api-key": key}).status == 200, "the key works")
    bodies = []
    for door in CALLERS:
        for stream in (True, False):
            for model in ("p/demo", "q/demo", "p/demo+status=500", "p/demo+error=2", "p/demo+malformed=2", "p/demo+html"):
                body = body_of(door, model, stream, prompt="my name is " + word)
                body["user" if door == "openai" else "system"] = word
                path = path_of(door, stream) + "?api_key=" + word
                headers = {"x-api-key": key, "Cookie": word, "Referer": "http://x/" + word, "User-Agent": word}
                reply = r.ask("POST", path, body, headers)
                bodies.append((model, reply))
        bodies.append(("bad", r.ask("POST", DOORS[door], ('{"prompt":"%s",' % word).encode(), {"x-api-key": key})))
        bodies.append(("wrong key", r.chat(door, "p/demo", False, {"x-api-key": word})))
        r.ask("GET", "/" + word, headers={"x-api-key": key})
        r.ask(word.upper()[:20], "/v1/models", headers={"x-api-key": key})
        r.chat(door, "p/demo", False, {"x-api-key": key, "X-LLM-Task": word})
    metrics = r.ask("GET", "/metrics", headers={"x-api-key": key}).text
    stats = "".join(r.ask("GET", p, headers={"x-api-key": key}).text for p in (
        "/router/stats", "/router/providers", "/router/breakers", "/router/models"))
    r.signal(signal.SIGTERM)
    r.process.wait(DEADLINE)
    log = r.log_text()
    lines = log.splitlines()
    assert len([x for x in lines if '"event":"exchange"' in x]) >= 48
    allowed = allowed_fields()
    for line in lines:
        one = json.loads(line)
        assert set(one) <= allowed, set(one) - allowed
        assert isinstance(one["event"], str) and one["level"] in ("debug", "info", "warn", "error")
    for name, text in (("log", log), ("metrics", metrics), ("statistics", stats)):
        assert word not in text.replace(r.dir, "") and word.upper()[:20] not in text, name
        assert key not in text and "Café" not in text and "stand-in." not in text, name
    for what, reply in bodies:
        assert word not in reply.text, (what, reply)
        for _, value in reply.headers:
            assert word not in value and key not in value, (what, reply)


def test_the_process_leaves_no_core_dumps(plain):
    with open("/proc/%d/limits" % plain.process.pid) as f:
        line = next(x for x in f if x.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"], line


def test_the_process_cannot_be_looked_into(router, standin):
    """What may not be dumped belongs to root in /proc, whoever runs it. So it is run by somebody else."""
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url}}}, start=False)
    if os.getuid() == 0:
        binary = os.path.join(r.dir, "binary")
        shutil.copy(router_binary(), binary)
        for path in (r.dir, binary, r.path):
            os.chown(path, 65534, 65534)
        r.start(binary=binary, user=65534, group=65534, extra_groups=[])
    else:
        r.start()
    pid = r.process.pid
    with open("/proc/%d/status" % pid) as f:
        uid = int(re.search(r"^Uid:\s+(\d+)", f.read(), re.M).group(1))
    assert uid != 0 and os.stat("/proc/%d/environ" % pid).st_uid == 0


# ---- start ---------------------------------------------------------------------------------------


def test_nothing_but_ollama_url_is_needed(router, standin):
    s = standin("--models", "llama3.2:latest,mistral:latest")
    base = {"LLM_ROUTER_LISTEN": "127.0.0.1:0", "OLLAMA_URL": s.url}
    r = router(None, env={**base, "OLLAMA_DEFAULT_MODEL": "llama3.2", "OLLAMA_TOOL_MODEL": "", "LLM_NONSENSE": "1",
                          "FALLBACK_ENABLED": "Yes"})
    r.wait_up()
    for door in CALLERS:
        for stream in (True, False):
            for model in ("", "auto", "llama3.2", "general", "fast", "ollama/mistral"):
                reply = r.chat(door, model, stream)
                assert understand(door, stream, reply).text == SENTENCE, reply
    assert {x["model"].removesuffix(":latest") for x in s.requests()} == {"llama3.2", "mistral"}
    assert any("LLM_NONSENSE" in json.dumps(line) for line in r.log_lines()), "an unknown name is warned about"


@pytest.mark.parametrize("env,says", [
    ({"OLLAMA_MODEL": "a", "LOCAL_LLM_MODEL": "b"}, "LOCAL_LLM_MODEL"),
    ({"AIRGAP_MODE": "perhaps"}, "AIRGAP_MODE"),
    ({"AIRGAP_MODE": "true", "LLM_AIRGAP_MODE": "false"}, "AIRGAP_MODE"),
    ({"OLLAMA_URL": "not an address"}, "OLLAMA_URL"),
    ({"LLM_ROUTER_LISTEN": "nowhere"}, "LLM_ROUTER_LISTEN"),
])
def test_an_environment_that_contradicts_itself_does_not_start(router, env, says):
    r = router(None, env={"LLM_ROUTER_LISTEN": "127.0.0.1:0", **env}, start=False)
    for command in ("serve", "check"):
        refused = r.command(command)
        assert refused.returncode == 2 and says in refused.stderr, refused


def test_airgap_leaves_the_cloud_out(router, standin):
    s = standin()
    r = router({"providers": {"home": {"kind": "openai", "url": s.url},
                              "cloud": {"kind": "anthropic", "url": s.url, "zone": "cloud", "key_env": "PEER_KEY"}},
                "roles": {"general": ["cloud/demo", "home/demo"]}},
               env={"PEER_KEY": "x", "AIRGAP_MODE": "1"}).wait_up()
    assert [p["provider"] for p in r.get("/router/providers")] == ["home"]
    assert r.chat("openai", "general", False).header("X-LLM-Provider") == "home"
    assert r.chat("openai", "cloud/demo", False).status in (403, 404)
    assert all(not x["target"].startswith("/v1/messages") for x in s.requests())


def test_a_private_request_never_meets_the_cloud(router, standin):
    home, cloud = standin(), standin()
    r = router({"providers": {"cloud": {"kind": "anthropic", "url": cloud.url, "zone": "cloud", "key_env": "PEER_KEY"},
                              "home": {"kind": "openai", "url": home.url, "retries": 0}},
                "roles": {"general": ["cloud/demo", "home/demo"]}}, env={"PEER_KEY": "x"}).wait_up()
    for door in CALLERS:
        for hint in ({"X-LLM-Sensitivity": "private"}, {"X-LLM-Mode": "local"}, {"X-LLM-Sensitivity": "who knows"}):
            reply = r.chat(door, "general", False, hint)
            assert reply.status == 200 and reply.header("X-LLM-Provider") == "home", reply
            assert reply.header("X-LLM-Private") == "yes" and reply.header("Cache-Control") == "no-store"
            assert r.chat(door, "cloud/demo", False, hint).status == 403
    home.control(default="status=500")
    for door in CALLERS:
        reply = r.chat(door, "general", True, {"X-LLM-Sensitivity": "private"})
        assert reply.status == (529 if door == "anthropic" else 503) and reply.header("Retry-After"), reply
    assert cloud.requests() == []
    assert r.chat("openai", "general", False).header("X-LLM-Provider") == "cloud"


def test_a_local_provider_that_is_not_local_is_refused(router):
    """An address in the file is checked at once; a name is, wherever a connection is made (unit tests of provider/)."""
    r = router({"providers": {"p": {"kind": "openai", "url": "http://192.0.2.1:9", "zone": "local", "models": ["m"]}}},
               start=False)
    refused = r.command("serve")
    assert refused.returncode == 2 and "zone is local" in refused.stderr, refused


def test_sigterm_drains_streams_and_refuses_new_ones(router, standin):
    s = standin()
    model = "demo+events=200+gap_ms=5"
    r = router({"providers": {"p": {"kind": "openai", "url": s.url, "models": [model]}}}).wait_up()
    with connect(r.port) as c, connect(r.port) as idle:
        c.sendall(request_bytes("POST", DOORS["openai"], body_of("openai", "p/" + model, True)))
        wait_for(lambda: s.stats()["events"] > 1, "the stream has begun")
        r.signal(signal.SIGTERM)
        assert idle.recv(1) == b"", "idle connections are closed"
        reply = read_reply(c.makefile("rb"))
    assert reply.complete and understand("openai", True, reply).finish == "stop", reply.problem
    assert r.process.wait(DEADLINE) == 0
    r.stop()


def test_unix_sockets_are_served(router, standin):
    s = standin()
    r = router(start=False)
    path = os.path.join(r.dir, "door.sock")
    r = router({"listen": ["unix:" + path], "providers": {"p": {"kind": "openai", "url": s.url, "models": ["demo"]}}})
    reply = ask(path, "POST", DOORS["openai"], body_of("openai", "p/demo", True), host="localhost")
    assert understand("openai", True, reply).text == SENTENCE
