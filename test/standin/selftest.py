#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stand-in's own test: what others build on must itself be tried.

    selftest.py PATH_TO_STANDIN [PART_OF_A_NAME]

What is said and how it fails is tried here; tools, JSON, images, strictness and lists in selftest_dialects.py. Plain sockets and json only, so that nothing here forgives what a client library would forgive.
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading

SENTENCE = "Hello from the stand-in. Café “ok” 日本 🙂"
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages",
         "chat": "/api/chat", "generate": "/api/generate"}


class Standin:
    running = []

    def __init__(self, binary, *args):
        Standin.running.append(self)
        self.process = subprocess.Popen([binary, "--port", "0", "--control-port", "0", *args],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.control_port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def close(self):
        Standin.running.remove(self)
        self.process.terminate()
        assert self.process.wait(10) == 0
        self.process.stdout.close()

    @classmethod
    def kill_all(cls):
        while cls.running:
            s = cls.running.pop()
            s.process.kill()
            s.process.wait(10)
            s.process.stdout.close()


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def http(method, path, body=b"", headers=""):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return (f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


class Truncated(Exception):
    """The connection ended before the reply did; .got holds what came."""

    def __init__(self, got, why):
        super().__init__(why)
        self.got = got


def read_reply(f, no_body=False):
    """(status, headers, body); Truncated when the framing was left open."""
    got = b""
    try:
        line = f.readline()
        if not line:
            raise Truncated(b"", "no head")
        status = int(line.split()[1])
        headers = {}
        while (line := f.readline()) != b"\r\n":
            if not line.endswith(b"\r\n"):
                raise Truncated(b"", "head cut")
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if status < 200:
            return read_reply(f)
        if no_body:
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            while True:
                line = f.readline()
                if not line.strip():
                    raise Truncated(got, "chunk head missing")
                n = int(line, 16)
                data = f.read(n + 2)
                if n == 0:
                    return status, headers, got
                got += data[:n]
                if len(data) < n + 2:
                    raise Truncated(got, "chunk cut")
        if "content-length" in headers:
            n = int(headers["content-length"])
            got = f.read(n)
            if len(got) < n:
                raise Truncated(got, "body cut")
            return status, headers, got
        got = f.read()
        return status, headers, got
    except ConnectionResetError:
        raise Truncated(got, "reset") from None


def ask(port, request, no_body=False):
    try:
        with connect(port) as s:
            s.sendall(request)
            return read_reply(s.makefile("rb"), no_body)
    except (ConnectionResetError, BrokenPipeError):
        raise Truncated(b"", "reset") from None


def body_for(dialect, model="demo", stream=None, **more):
    body = {"model": model, **more}
    if dialect == "generate":
        body.setdefault("prompt", "hi")
    else:
        body.setdefault("messages", [{"role": "user", "content": "hi"}])
    if dialect == "anthropic":
        body.setdefault("max_tokens", 100)
    if stream is not None:
        body["stream"] = stream
    return body


def infer(port, dialect, model="demo", stream=None, headers="", **more):
    return ask(port, http("POST", PATHS[dialect], body_for(dialect, model, stream, **more), headers))


def control(s, body, method="POST", path="/_control"):
    status, _, text = ask(s.control_port, http(method, path, body))
    assert status == 200, text
    return json.loads(text)


def sse(body):
    """[(event name or None, data)] by the letter of the specification."""
    out, name, data = [], None, []
    text = body.decode().replace("\r\n", "\n").replace("\r", "\n")
    for line in text.split("\n"):
        if not line:
            if data:
                out.append((name, "\n".join(data)))
            name, data = None, []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith("event:"):
            name = line[6:].removeprefix(" ")
    return out


def text_of(dialect, body):
    if dialect == "openai":
        events = [d for _, d in sse(body)]
        assert events[-1] == "[DONE]"
        chunks = [json.loads(e) for e in events[:-1]]
        assert len({(c["id"], c["created"]) for c in chunks}) == 1
        assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] is not None
        return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    if dialect == "anthropic":
        events = [(n, json.loads(d)) for n, d in sse(body)]
        assert all(n == d["type"] for n, d in events)
        names = [n for n, _ in events if n != "ping"]
        assert names[0] == "message_start" and names[-2:] == ["message_delta", "message_stop"], names
        return "".join(d["delta"].get("text", "") for n, d in events if n == "content_block_delta")
    lines = [json.loads(line) for line in body.decode().split("\n") if line.strip()]
    assert [x["done"] for x in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["eval_duration"] > 0
    return "".join(x["message"]["content"] if dialect == "chat" else x["response"] for x in lines)


# ---- the tests ----

def test_whole_and_streamed_say_the_same(s):
    for d in PATHS:
        status, headers, body = infer(s.port, d, stream=False)
        assert status == 200 and headers["content-type"].startswith("application/json")
        whole = json.loads(body)
        text = {"openai": lambda: whole["choices"][0]["message"]["content"],
                "anthropic": lambda: whole["content"][0]["text"],
                "chat": lambda: whole["message"]["content"],
                "generate": lambda: whole["response"]}[d]()
        assert text == SENTENCE, text
        status, headers, body = infer(s.port, d, stream=True)
        assert status == 200 and headers["transfer-encoding"] == "chunked"
        assert text_of(d, body) == SENTENCE


def test_ollama_streams_by_default_and_loads(s):
    assert infer(s.port, "chat")[1]["content-type"] == "application/x-ndjson"
    assert infer(s.port, "openai")[1]["content-type"] == "application/json"
    _, _, body = ask(s.port, http("POST", "/api/chat", {"model": "demo", "messages": []}))
    assert json.loads(body)["done_reason"] == "load"


def test_usage_only_when_asked(s):
    chunks = lambda b: [json.loads(d) for _, d in sse(b) if d != "[DONE]"]
    assert not any("usage" in c for c in chunks(infer(s.port, "openai", stream=True)[2]))
    asked = chunks(infer(s.port, "openai", stream=True, stream_options={"include_usage": True})[2])
    assert asked[-1]["choices"] == [] and asked[-1]["usage"]["completion_tokens"] == 8
    assert all("usage" in c for c in asked)


def test_limits_and_stops(s):
    for d, more, key in (("openai", {"max_tokens": 3}, "length"),
                         ("anthropic", {"max_tokens": 3}, "max_tokens"),
                         ("chat", {"options": {"num_predict": 3}}, "length")):
        _, _, body = infer(s.port, d, stream=True, **more)
        assert text_of(d, body) == "Hello from the" and f'"{key}"' in body.decode()
    for d, more, key in (("openai", {"stop": ["stand"]}, '"stop"'), ("openai", {"stop": "stand"}, '"stop"'),
                         ("anthropic", {"stop_sequences": ["zzz", "stand"]}, '"stop_sequence":"stand"'),
                         ("chat", {"options": {"stop": ["stand"]}}, '"stop"')):
        for stream in (True, False):
            _, _, body = infer(s.port, d, stream=stream, **more)
            assert key in body.decode(), body
            if stream:
                assert text_of(d, body) == "Hello from the ", body


def test_every_byte_shape_means_the_same(s):
    for shape in ("split=1+split_us=1", "split_utf8+split_us=1", "lines=crlf", "nospace", "chunk=1",
                  "merge_data", "pings", "framing=close", "lines=cr+nospace+merge_data+chunk=3", "head=early",
                  "empty_starts=3", "gap_ms=1", "first_ms=5+head_ms=5"):
        for d in PATHS:
            if d in ("chat", "generate") and ("cr+" in shape):
                continue
            _, _, body = infer(s.port, d, "demo+" + shape, stream=True)
            assert text_of(d, body) == SENTENCE, (shape, d, body)
            status, _, body = infer(s.port, d, "demo+" + shape, stream=False)
            assert status == 200 and json.loads(body)


def test_reasoning_and_odd_words(s):
    for d in PATHS:
        _, _, body = infer(s.port, d, "demo+reasoning=3", stream=True)
        assert text_of(d, body) == SENTENCE
        assert "Hello" in body.decode()
        _, _, body = infer(s.port, d, "demo+words=odd", stream=True)
        assert text_of(d, body).startswith('"Hello" \\from\\\n\n\tthe </stand-in>\r\n \x01\x1f \u2028{}[]')
    whole = json.loads(infer(s.port, "anthropic", "demo+reasoning=2", stream=False)[2])
    assert [b["type"] for b in whole["content"]] == ["thinking", "text"]


def expect_truncated(f, *args, **kw):
    try:
        f(*args, **kw)
    except Truncated as e:
        return e
    raise AssertionError("came to an end")


def test_faults_end_connections_as_told(s):
    for d in PATHS:
        for knob in ("reset=3", "cut=3"):
            for more in ("", "+gap_ms=1"):
                e = expect_truncated(infer, s.port, d, "demo+" + knob + more, stream=True)
                assert "stand-in" not in e.got.decode() and "the" in e.got.decode(), (knob, e.got)
                assert ("reset" in str(e)) == knob.startswith("reset"), (knob, str(e))
            expect_truncated(infer, s.port, d, "demo+" + knob, stream=False)
        for knob in ("reset_head", "close_head", "head=cut"):
            expect_truncated(infer, s.port, d, "demo+" + knob)
        _, _, body = infer(s.port, d, "demo+cut_clean=2", stream=True)
        assert b"DONE" not in body and b"message_stop" not in body and b'"done":true' not in body
        _, _, body = infer(s.port, d, "demo+no_done", stream=True)
        assert b"DONE" not in body and b"message_stop" not in body and b'"done":true' not in body
        _, _, body = infer(s.port, d, "demo+error=2", stream=True)
        assert b'"error"' in body and b"stand-in" not in body
        _, _, body = infer(s.port, d, "demo+malformed=2", stream=True)
        assert b"lost" in body and b"stand-in" in body
        _, _, body = infer(s.port, d, "demo+giant=100000", stream=True)
        assert b"G" * 100000 in body
        _, _, body = infer(s.port, d, "demo+empty", stream=True)
        assert body == b""


def test_errors(s):
    for d in PATHS:
        for status in (400, 401, 404, 408, 429, 500, 503, 529):
            got, headers, body = infer(s.port, d, f"demo+status={status}+retry_after=2")
            assert got == status and headers["retry-after"] == "2" and json.loads(body)["error"]
        assert "retry-after" not in infer(s.port, d, "demo+status=429")[1]
        assert infer(s.port, d, "demo+context")[0] == 400
        assert infer(s.port, d, "demo+redirect")[1]["location"]
        assert infer(s.port, d, "demo+html")[1]["content-type"] == "text/html"
        assert infer(s.port, d, "demo+status=500+form=html")[2].startswith(b"<html>")
    assert ask(s.port, http("POST", "/v1/chat/completions", b'{"model":'))[0] == 400
    assert ask(s.port, http("GET", "/nowhere"))[0] == 404


def test_rules_are_used_in_order_and_loop(s):
    control(s, {"rules": [{"n": 2, "status": 503}, {"n": 1, "knobs": "status=429+retry_after=1"},
                          {"path": "/health", "loading": True}]})
    got = [infer(s.port, "openai")[0] for _ in range(4)]
    assert got == [503, 503, 429, 200], got
    assert [ask(s.port, http("GET", "/health"))[0] for _ in range(2)] == [503, 200]
    control(s, {"rules": [{"n": 2, "status": 500}, {"n": 1}], "loop": True})
    assert [infer(s.port, "chat")[0] for _ in range(6)] == [500, 500, 200] * 2
    control(s, {"rules": [{"n": -1, "model": "bad", "status": 500}], "loop": False, "default": "events=2"})
    assert infer(s.port, "openai", "bad+events=1")[0] == 500
    assert text_of("openai", infer(s.port, "openai", stream=True)[2]) == "Hello from"
    status, _, text = ask(s.control_port, http("POST", "/_control", {"rules": [{"statsu": 500}]}))
    assert status == 400 and b"statsu" in text
    control(s, b"", "DELETE")
    assert text_of("openai", infer(s.port, "openai", stream=True)[2]) == SENTENCE


def test_rules_by_time_and_slow_reading(s):
    control(s, {"rules": [{"ms": 1, "status": 503}, {"ms": 600000, "events": 1}], "read_bytes": 2000})
    assert infer(s.port, "openai")[0] == 503
    while (got := infer(s.port, "openai", stream=True, filler="x" * 9000))[0] == 503:
        pass
    assert text_of("openai", got[2]) == "Hello"


def test_refused_and_reset_connections(s):
    control(s, {"listen": False})
    try:
        connect(s.port)
        raise AssertionError("accepted")
    except ConnectionRefusedError:
        pass
    control(s, {"listen": True, "refuse": 1})
    expect_truncated(infer, s.port, "openai")
    assert infer(s.port, "openai")[0] == 200


def test_record_and_outcomes(s):
    control(s, b"", "DELETE", "/_requests")
    before = control(s, b"", "GET", "/_stats")
    infer(s.port, "openai", "demo", headers="X-Test: é\r\n", temperature=0.5)
    with connect(s.port) as c:
        c.sendall(http("POST", "/v1/messages", body_for("anthropic", "demo+stall=2", True)))
        assert c.recv(65536)
    expect_truncated(infer, s.port, "openai", "demo+reset_head")
    records = control(s, b"", "GET", "/_requests")
    while records[1]["outcome"] == "open":
        records = control(s, b"", "GET", "/_requests")
    assert [r["outcome"] for r in records] == ["done", "aborted", "reset"], records
    assert json.loads(records[0]["body"])["temperature"] == 0.5
    assert ["X-Test", "é"] in records[0]["headers"]
    assert records[1]["events"] == 2 and records[1]["target"] == "/v1/messages"
    after = control(s, b"", "GET", "/_stats")
    assert after["aborted"] - before["aborted"] == 1
    assert after["requests_active"] == 0 and after["streams_active"] == 0
    assert after["connections_open"] == 0, after


def test_keep_alive_pipelining_and_stale(s):
    with connect(s.port) as c:
        f = c.makefile("rb")
        one = http("POST", "/api/chat", body_for("chat"))
        c.sendall(one * 3)
        for _ in range(3):
            assert text_of("chat", read_reply(f)[2]) == SENTENCE
        c.sendall(http("POST", "/api/chat", body_for("chat", "demo+stale")))
        read_reply(f)
        c.sendall(one)
        expect_truncated(read_reply, f)
    with connect(s.port) as c:
        f = c.makefile("rb")
        c.sendall(http("POST", "/api/chat", body_for("chat", "demo+close_quiet")))
        assert "connection" not in read_reply(f)[1]
        assert f.read() == b""


def test_requests_cut_anywhere(s):
    body = json.dumps(body_for("openai", stream=True)).encode()
    whole = http("POST", "/v1/chat/completions", body)
    chunked = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
               b"".join(b"%x\r\n%b\r\n" % (len(body[i:i + 9]), body[i:i + 9]) for i in range(0, len(body), 9)) +
               b"0\r\n\r\n")
    for request in (whole, chunked):
        with connect(s.port) as c:
            f = c.makefile("rb")
            for i in range(1, len(request), 7):
                c.sendall(request[:i])
                c.sendall(request[i:])
                assert text_of("openai", read_reply(f)[2]) == SENTENCE
    big = json.dumps(body_for("openai", filler="x" * (5 << 20))).encode()
    assert ask(s.port, http("POST", "/v1/chat/completions", big, "Expect: 100-continue\r\n"))[0] == 200


def test_lists_and_probes(s):
    get = lambda p, h="": ask(s.port, http("GET", p, headers=h))
    assert [m["id"] for m in json.loads(get("/v1/models")[2])["data"]] == ["demo", "demo-2"]
    assert json.loads(get("/v1/models", "anthropic-version: 2023-06-01\r\n")[2])["data"][0]["type"] == "model"
    assert json.loads(get("/api/tags")[2])["models"][0]["name"] == "demo:latest"
    assert get("/")[2] == b"Ollama is running" and json.loads(get("/api/version")[2])["version"]
    assert json.loads(get("/api/ps")[2]) and json.loads(get("/props")[2])["total_slots"] == 4
    assert json.loads(ask(s.port, http("POST", "/api/show", {"model": "demo"}))[2])["capabilities"]
    assert ask(s.port, http("HEAD", "/"), no_body=True)[0] == 200


def test_keys_strictness_unix_and_tls(s):
    binary = s.process.args[0]
    with tempfile.TemporaryDirectory() as where:
        path, cert, key = (os.path.join(where, n) for n in ("s.sock", "cert.pem", "key.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-days", "1",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        other = Standin(binary, "--unix", path, "--key", "secret", "--strict", "--cert", cert, "--key-file", key,
                        "--tls-port", "0")
        other.process.stdout.readline()
        tls_port = int(other.process.stdout.readline().rsplit(":", 1)[1])
        assert infer(other.port, "openai")[0] == 401
        assert infer(other.port, "openai", headers="Authorization: Bearer secret\r\n")[0] == 200
        assert infer(other.port, "anthropic", "x", headers="x-api-key: secret\r\n")[0] == 404
        u = socket.socket(socket.AF_UNIX)
        u.connect(path)
        u.sendall(http("GET", "/health"))
        assert read_reply(u.makefile("rb"))[0] == 200
        u.close()
        import ssl
        context = ssl.create_default_context(cafile=cert)
        with context.wrap_socket(connect(tls_port), server_hostname="localhost") as t:
            f = t.makefile("rb")
            for stream in (True, False, True):
                t.sendall(http("POST", "/v1/messages", body_for("anthropic", "demo+gap_ms=1", stream),
                               "x-api-key: secret\r\nanthropic-version: 2023-06-01\r\n"))
                assert SENTENCE.encode()[:5] in read_reply(f)[2]
        other.close()


def test_many_streams_at_once(s):
    failed = []

    def one(i):
        try:
            d = list(PATHS)[i % 4]
            assert text_of(d, infer(s.port, d, "demo+gap_ms=2+events=30", stream=True)[2]).startswith(SENTENCE)
        except Exception as e:  # noqa: BLE001 - a thread must hand its failure over
            failed.append(repr(e))
    threads = [threading.Thread(target=one, args=(i,)) for i in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed[:3]


def run(names):
    """All tests of a module, each with a stand-in of its own; the exit status."""
    failed = 0
    tests = [(n, f) for n, f in sorted(names.items()) if n.startswith("test_")]
    if len(sys.argv) > 2:
        tests = [(n, f) for n, f in tests if sys.argv[2] in n]
    print(f"1..{len(tests)}")
    for i, (name, test) in enumerate(tests, 1):
        s = Standin(sys.argv[1])
        try:
            test(s)
            s.close()
            print(f"ok {i} - {name[5:].replace('_', ' ')}")
        except Exception:  # noqa: BLE001 - every test must have its turn
            import traceback
            failed += 1
            print(f"not ok {i} - {name[5:].replace('_', ' ')}")
            for line in traceback.format_exc().splitlines():
                print("#", line)
        Standin.kill_all()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(dict(globals())))
