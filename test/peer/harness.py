# SPDX-License-Identifier: Apache-2.0
"""harness - the real binary, its upstreams, and a caller that sees every byte.

    Router    the program under test: starts it on a free port, waits until it is ready, ends it, and
              fails the test when its exit status or its standard error is not what it should be
    Standin   the pretended provider of test/standin
    ask()     one request on a plain socket; tells a whole answer from one that only looks like it

Nothing here waits for a time to pass: wait_for() polls a condition, with a deadline that only a broken
program meets.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SENTENCE = "Hello from the stand-in. Café “ok” 日本 🙂"
# Sanitizers and a shared machine make everything slow; a deadline only ends what hangs.
DEADLINE = float(os.environ.get("PEER_DEADLINE", "30"))

SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=66:second_deadlock_stack=1:suppressions="
                    + os.path.join(TOP, "test", "tsan.supp"),
}
REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehavior|runtime error:"
                    r"|SUMMARY: |[Aa]ssertion .*failed")


def first_of(*paths):
    for path in paths:
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    return None


def router_binary():
    return first_of(os.environ.get("LLM_ROUTER"), os.path.join(TOP, "build/asan/src/llm-router"),
                    os.path.join(TOP, "build/llm-router"))


def standin_binary():
    return first_of(os.environ.get("STANDIN"), os.path.join(TOP, "build/release/test/standin/standin"),
                    os.path.join(TOP, "build/asan/test/standin/standin"))


def node_binary():
    return first_of(os.environ.get("NODE"), os.path.join(TOP, "build/node/node"))


def engine_binary():
    return first_of(shutil.which("llama-server"), os.path.join(TOP, "build/engine/bin/llama-server"))


def model_file(name):
    return os.path.join(TOP, "build", "models", "tiny-%s.gguf" % name)


def wait_for(condition, what, deadline=DEADLINE):
    """The first true value of condition()."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("%s: not within %d s" % (what, deadline))
        time.sleep(0.02)


def everywhere(condition, what):
    """Workers hear of a reload or a key each for itself, and a connection falls to any of them: when sixteen in a row are
    answered as wanted, nobody is behind."""
    wait_for(lambda: all(condition() for _ in range(16)), what)


def free_port():
    """A port that nobody listens on at the moment, for tests of refused connections."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- one request, seen byte by byte --------------------------------------------------------------


class Reply:
    """status 0: no answer at all. complete: the transfer ended as its framing said it would."""

    def __init__(self):
        self.status, self.headers, self.body, self.complete, self.problem = 0, [], b"", False, None
        self.version = None

    def header(self, name):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<%d %s %s %r>" % (self.status, "complete" if self.complete else "incomplete: %s" % self.problem,
                                  self.headers, self.body[:600])


def connect(address, deadline=DEADLINE):
    if isinstance(address, str):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(deadline)
        s.connect(address)
    else:
        s = socket.create_connection(("127.0.0.1", address), timeout=deadline)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def request_bytes(method, path, body=b"", headers=(), host="127.0.0.1", version="1.1"):
    if not isinstance(body, (bytes, bytearray)):
        body = json.dumps(body).encode()
    lines = ["%s %s HTTP/%s" % (method, path, version)]
    given = dict(headers)
    if not any(k.lower() == "host" for k in given):
        lines.append("Host: " + host)
    lines += ["%s: %s" % pair for pair in given.items()]
    if body or method == "POST":
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def read_reply(f, head_only=False):
    """Reads one reply from a socket's file. Never raises for what the peer did."""
    r = Reply()
    try:
        line = f.readline()
        if not line:
            r.problem = "closed before the head"
            return r
        r.version, status = line.split()[:2]
        r.status = int(status)
        while True:
            line = f.readline()
            if line in (b"\r\n", b"\n"):
                break
            if not line.endswith(b"\n"):
                r.problem = "head cut"
                return r
            key, _, value = line.decode("latin-1").partition(":")
            r.headers.append((key, value.strip()))
        if head_only or r.status in (204, 304) or r.status < 200:
            r.complete = True
        elif (r.header("Transfer-Encoding") or "").lower() == "chunked":
            read_chunks(f, r)
        elif r.header("Content-Length") is not None:
            want = int(r.header("Content-Length"))
            r.body = f.read(want) or b""
            r.complete = len(r.body) == want
            r.problem = None if r.complete else "body cut"
        else:
            r.body = f.read()
            r.complete = True
    except ConnectionResetError:
        r.problem = "reset"
    except TimeoutError:
        r.problem = "hangs"
    return r


def read_chunks(f, r):
    while True:
        line = f.readline()
        if not line.endswith(b"\n"):
            r.problem = "chunk head missing"
            return
        size = int(line.split(b";")[0], 16)
        data = f.read(size)
        r.body += data
        if len(data) < size:
            r.problem = "chunk cut"
            return
        if f.readline() != b"\r\n":
            r.problem = "chunk end missing"
            return
        if size == 0:
            r.complete = True
            return


def ask(address, method, path, body=b"", headers=(), deadline=DEADLINE, **more):
    """One request on a connection of its own."""
    with connect(address, deadline) as s:
        try:
            s.sendall(request_bytes(method, path, body, headers, **more))
        except (BrokenPipeError, ConnectionResetError):
            pass        # refused while we were still sending: the answer says why
        return read_reply(s.makefile("rb"), head_only=method == "HEAD")


def send_raw(address, data, deadline=DEADLINE):
    """Sends bytes as they are; (replies until the end, whether the other side closed)."""
    with connect(address, deadline) as s:
        try:
            s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        f = s.makefile("rb")
        replies = []
        while True:
            reply = read_reply(f)
            if reply.status == 0:
                return replies, reply.problem != "hangs"
            replies.append(reply)
            if not reply.complete:
                return replies, reply.problem != "hangs"


# ---- dialects ------------------------------------------------------------------------------------

DOORS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "ollama": "/api/chat",
         "generate": "/api/generate", "native": "/router/generate"}


def body_of(door, model, stream, prompt="Hi", **more):
    body = {"model": model, "stream": stream, **more}
    if door in ("generate", "native"):
        body["prompt"] = prompt
    else:
        body["messages"] = [{"role": "user", "content": prompt}]
    if door == "anthropic":
        body.setdefault("max_tokens", 64)
    return body


def path_of(door, stream=False):
    return "/router/stream" if door == "native" and stream else DOORS[door]


class Answer:
    """What a careful client of that dialect makes of a reply: text, whether it is finished, what error."""

    def __init__(self):
        self.text, self.reasoning, self.finish, self.ended, self.error, self.junk = "", "", None, False, None, None
        self.starts = 0

    def __repr__(self):
        return str(self.__dict__)


def sse_frames(text):
    for block in re.split(r"\r?\n\r?\n", text):
        name, data = None, []
        for line in block.split("\n"):
            line = line.rstrip("\r")
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
        if data:
            yield name, "\n".join(data)


def understand(door, stream, reply):
    """Answer for a 200."""
    a = Answer()
    try:
        if not stream:
            understand_whole(door, reply.json, a)
        elif door in ("ollama", "generate"):
            for line in reply.text.splitlines():
                understand_line(door, json.loads(line), a)
        else:
            for name, data in sse_frames(reply.text):
                if data == "[DONE]":
                    a.ended = True
                else:
                    understand_frame(door, name, json.loads(data), a)
    except (ValueError, KeyError, IndexError, TypeError) as e:
        a.junk = repr(e)
    return a


def understand_whole(door, r, a):
    a.ended = True
    if door == "openai":
        choice = r["choices"][0]
        a.text, a.finish = choice["message"]["content"], choice["finish_reason"]
        a.reasoning = choice["message"].get("reasoning_content") or ""
    elif door == "anthropic":
        a.text = "".join(b["text"] for b in r["content"] if b["type"] == "text")
        a.finish = r["stop_reason"]
    elif door == "native":
        a.text, a.finish = r["content"], r["finish_reason"]
    else:
        a.text = r["response"] if door == "generate" else r["message"]["content"]
        a.finish, a.ended = r["done_reason"], r["done"]


def understand_line(door, r, a):
    if "error" in r:
        a.error = r["error"]
        return
    a.starts = 1
    a.text += r["response"] if door == "generate" else r["message"]["content"]
    if r["done"]:
        a.ended, a.finish = True, r.get("done_reason")


def understand_frame(door, name, r, a):
    if door == "openai":
        if "error" in r:
            a.error = r["error"]["message"]
            return
        a.starts = 1
        for choice in r["choices"]:
            a.text += choice["delta"].get("content") or ""
            a.reasoning += choice["delta"].get("reasoning_content") or ""
            a.finish = choice["finish_reason"] or a.finish
    elif door == "native":
        if name == "error":
            a.error = r["detail"]
            return
        a.starts = 1
        a.text += r["delta"]
        a.finish = r["finish_reason"] or a.finish
    elif r["type"] == "error":
        a.error = r["error"]["message"]
    elif r["type"] == "message_start":
        a.starts += 1
    elif r["type"] == "content_block_delta" and r["delta"]["type"] == "text_delta":
        a.text += r["delta"]["text"]
    elif r["type"] == "message_delta":
        a.finish = r["delta"].get("stop_reason") or a.finish
    elif r["type"] == "message_stop":
        a.ended = True


# ---- processes -----------------------------------------------------------------------------------


def alive(pid):
    """Zombies are not."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as f:
                    if int(f.read().rsplit(")", 1)[1].split()[1]) == pid:
                        found.append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


class Standin:
    def __init__(self, *args):
        self.process = subprocess.Popen([standin_binary(), "--port", "0", "--control-port", "0", *args],
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.ports = {}
        lines = 2 + args.count("--tls-port") + args.count("--port")
        found = []
        for _ in range(lines):
            kind, address = self.process.stdout.readline().split()[1:3]
            found.append((kind, int(address.rsplit(":", 1)[1])))
        self.port = found[0][1]
        self.control_port = found[1][1]
        self.tls_port = next((port for kind, port in found if kind in ("https", "tls")), None)
        self.url = "http://127.0.0.1:%d" % self.port

    def _control(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.control_port, path), data, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE) as reply:
            text = reply.read()
        return json.loads(text) if text.strip() else None

    def control(self, **what):
        return self._control("POST", "/_control", what)

    def reset(self):
        self._control("DELETE", "/_control")
        self._control("DELETE", "/_requests")
        self._control("DELETE", "/_stats")

    def requests(self, path=None):
        """Requests for inference; heads as a dict of lower-case names, bodies read."""
        found = []
        for r in self._control("GET", "/_requests"):
            if r["method"] != "POST" or r["target"].endswith("/api/show") or (path and r["target"] != path):
                continue
            r["headers"] = {k.lower(): v for k, v in r["headers"]}
            r["json"] = json.loads(r["body"]) if r["body"].startswith("{") and r["body"].endswith("}") else None
            found.append(r)
        return found

    def stats(self):
        return self._control("GET", "/_stats")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


class Router:
    """config: a dict (written as JSON, which is YAML) or YAML text, or None for no file at all."""

    def __init__(self, config=None, env=None, args=(), ready="/readyz", workers=2, start=True, dir=None):
        self.dir = dir or tempfile.mkdtemp(prefix="lr-peer-")
        self.own_dir = dir is None
        self.path = os.path.join(self.dir, "router.yaml")
        self.has_file = config is not None
        if isinstance(config, dict):
            config = {"listen": ["127.0.0.1:0"], "workers": workers, "state_dir": os.path.join(self.dir, "state"),
                      "runtime_dir": os.path.join(self.dir, "run"), "probe_interval": "500ms", **config}
        self.config = config
        if config is not None:
            self.write(config)
        self.env = {k: v for k, v in os.environ.items()
                    if not re.match(r"LLM_|OLLAMA|ANTHROPIC|OPENAI|MLX|VLLM|LLAMA", k)}
        for name, value in SANITIZERS.items():
            self.env.setdefault(name, value)
        self.env["HOME"] = self.dir
        self.env.update(env or {})
        self.args = list(args)
        self.ready = ready
        self.process, self.log, self.port, self.ports = None, None, None, []
        self.ended = False
        if start:
            try:
                self.start()
            except BaseException:
                self.kill()
                raise

    def write(self, config):
        text = config if isinstance(config, str) else json.dumps(config, indent=1)
        with open(self.path + ".new", "w") as f:
            f.write(text)
        os.rename(self.path + ".new", self.path)

    def reconfigure(self, **changes):
        self.config = {**self.config, **changes}
        self.write(self.config)

    def command(self, *words):
        """Another command of the program, with the same configuration."""
        where = ["-c", self.path] if self.has_file else []
        return subprocess.run([router_binary(), words[0], *where, *words[1:]], env=self.env, cwd=self.dir,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE)

    def start(self, binary=None, **popen):
        # A folder may serve one router after another; each has a log of its own.
        self.log = os.path.join(self.dir, "log-%d" % len(os.listdir(self.dir)))
        where = ["-c", self.path] if self.has_file else []
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([binary or router_binary(), "serve", *where, *self.args], env=self.env,
                                            cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **popen)
        wait_for(lambda: self.listening() or self.process.poll() is not None, "listens")
        if self.process.poll() is not None:
            raise AssertionError("the router ended with %d:\n%s" % (self.process.returncode, self.log_text()))
        self.url = "http://127.0.0.1:%d" % self.port if self.port else None
        if self.ready:
            wait_for(lambda: self.is_ready() or self.process.poll() is not None, "ready:\n" + self.log_text())

    def listening(self):
        self.ports = [line["address"] for line in self.log_lines() if line.get("event") == "listening"]
        tcp = [a for a in self.ports if not a.startswith("unix:")]
        self.port = int(tcp[0].rsplit(":", 1)[1]) if tcp else None
        return self.ports

    def is_ready(self):
        try:
            address = self.port or self.ports[0].removeprefix("unix:")
            return ask(address, "GET", self.ready, deadline=5).status == 200
        except OSError:
            return False

    def wait_up(self, *names):
        """Until these providers, or all, have told which models they have."""
        def up():
            found = {p["provider"]: p["is_available"] and p["state"] == "up" and p["models"]
                     for p in self.get("/router/providers")}
            return all(found.get(name) for name in names or found)
        wait_for(up, "providers are up")
        return self

    def log_text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def log_lines(self):
        found = []
        for line in self.log_text().splitlines():
            with contextlib.suppress(ValueError):
                one = json.loads(line)
                if isinstance(one, dict):
                    found.append(one)
        return found

    def ask(self, method, path, body=b"", headers=(), **more):
        return ask(self.port, method, path, body, headers, **more)

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers).json

    def chat(self, door, model, stream, headers=(), deadline=DEADLINE, **more):
        return self.ask("POST", path_of(door, stream), body_of(door, model, stream, **more), headers,
                        deadline=deadline)

    def signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self, expect=0):
        """Ends it as an operator would, and judges what it leaves behind."""
        if self.ended:
            return
        self.ended = True
        if self.process is None:
            shutil.rmtree(self.dir, ignore_errors=True)
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGTERM)     # the second one means now
            try:
                self.process.wait(DEADLINE)
            finally:
                self._kill()
            raise AssertionError("SIGTERM did not end the router:\n" + self.log_text()[-4000:])
        text = self.log_text()
        report = REPORT.search(text)
        assert not report, "the router's standard error holds a report:\n" + text[report.start() - 200:][:8000]
        assert status == expect, "the router ended with %d:\n%s" % (status, text[-4000:])
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    def _kill(self):
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()

    def kill(self):
        """For clean-up after a failure: no judgement, nothing left behind."""
        self.ended = True
        self._kill()
