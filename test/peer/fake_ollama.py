# SPDX-License-Identifier: Apache-2.0
"""fake_ollama - an Ollama's management side, as far as pull, show and ps need it, with each failure on demand.

    with FakeOllama() as server:
        server.plan = ["cut", "ok"]         what comes of the next pulls, in order; "ok" when it is used up
        server.hold = threading.Event()     no line of a layer goes out before it is set

    ok       to the end, from where the last one stopped
    cut      the connection ends half way through what is left
    error    a line {"error":...} half way
    missing  a line {"error":...} at once, as for a name that the registry does not know
    busy     503
    garbage  a line that is none
"""
import http.server
import json
import threading

SIZE, STEP = 1_000_000, 50_000
DETAILS = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "3.2B",
           "quantization_level": "Q4_K_M"}
SHOW = {"license": "none", "modelfile": "FROM x", "parameters": "temperature 0.5", "template": "{{ .Prompt }}",
        "details": DETAILS, "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
        "capabilities": ["completion", "tools"], "modified_at": "2026-05-04T17:37:44.7-07:00"}


class FakeOllama:
    def __init__(self, models=("llama3.2:latest",), port=0):
        self.models = list(models)
        self.plan, self.hold, self.received = [], None, []
        self.have = {}              # model -> bytes of its layer
        self.left = threading.Event()   # somebody went away in the middle of a pull
        handler = type("Handler", (Handler,), {"fake": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        if self.hold is not None:
            self.hold.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    kill = close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def item(self, name):
        return {"name": name, "model": name, "modified_at": "2026-05-04T17:37:44.7-07:00", "size": SIZE,
                "digest": "a80c4f17acd5", "details": DETAILS}

    def known(self, name):
        return name if name in self.models else name + ":latest" if name + ":latest" in self.models else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake = None

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        fake = self.fake
        if self.path == "/api/tags":
            self.answer(200, {"models": [fake.item(m) for m in fake.models]})
        elif self.path == "/api/ps":
            self.answer(200, {"models": [{**fake.item(m), "expires_at": "2318-01-01T00:00:00Z", "size_vram": SIZE,
                                          "context_length": 4096} for m in fake.models[:1]]})
        elif self.path == "/api/version":
            self.answer(200, {"version": "0.33.0"})
        else:
            self.answer(404, {"error": "not found"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        self.fake.received.append((self.path, body))
        if self.path == "/api/show":
            known = self.fake.known(body["model"])
            self.answer(200 if known else 404, SHOW if known else {"error": "model '%s' not found" % body["model"]})
        elif self.path == "/api/pull":
            self.pull(body)
        else:
            self.answer(404, {"error": "not found"})

    def line(self, **what):
        data = json.dumps(what).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def pull(self, body):
        fake = self.fake
        what = fake.plan.pop(0) if fake.plan else "ok"
        if what == "busy":
            self.answer(503, {"error": "server busy"})
            return
        if not body.get("stream", True):
            if what == "ok":
                fake.models.append(body["model"])
            self.answer(200 if what == "ok" else 500,
                        {"status": "success"} if what == "ok" else {"error": "pull model manifest: file does not exist"})
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self.pull_lines(body["model"], what)
        except OSError:
            fake.left.set()
            self.close_connection = True

    def pull_lines(self, model, what):
        fake = self.fake
        self.line(status="pulling manifest")
        if what == "missing":
            self.line(error="pull model manifest: file does not exist")
            self.wfile.write(b"0\r\n\r\n")
            return
        if what == "garbage":
            self.wfile.write(b"7\r\nno JSON\r\n1\r\n\n\r\n0\r\n\r\n")
            return
        layer = {"status": "pulling a80c4f17acd5", "digest": "sha256:a80c4f17acd5", "total": SIZE}
        done = fake.have.get(model, 0)
        stop = (done + SIZE) // 2 if what in ("cut", "error") else SIZE
        self.line(**layer, completed=done)
        while done < stop:
            if fake.hold is not None:
                while not fake.hold.wait(0.05):
                    self.line(**layer, completed=done)      # as Ollama's ticker; also how a caller's leaving shows
            done = fake.have[model] = min(done + STEP, stop)
            self.line(**layer, completed=done)
        if what == "cut":
            self.close_connection = True
            return
        if what == "error":
            self.line(error="max retries exceeded: unexpected EOF")
        else:
            for status in ("verifying sha256 digest", "writing manifest", "success"):
                self.line(status=status)
            fake.models.append(model)
        self.wfile.write(b"0\r\n\r\n")
