# SPDX-License-Identifier: Apache-2.0
"""The scheduler's users and their conversations over HTTP: a token opens its own user's, and nobody else's, above all not
those of whoever needs no key here."""
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time

import pytest
from websockets.sync.client import connect

from harness import DEADLINE

SECRET = "0123456789abcdef0123456789abcdef"
PATH = "/api/v1/claude-chat"


def letters(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(user):
    claims = {"sub": user, "exp": int(time.time()) + 900}
    signed = letters(b'{"alg":"HS256","typ":"JWT"}') + "." + letters(json.dumps(claims).encode())
    return signed + "." + letters(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())


def user_of(bearer):
    middle = bearer.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))["sub"]


class Me(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        user = user_of(self.headers["Authorization"])
        body = json.dumps({"id": user, "username": user, "role": "coordinator", "is_active": True}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def application():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Me)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "http://127.0.0.1:%d" % server.server_port
    server.shutdown()
    server.server_close()


def converse(url):
    with connect(url, open_timeout=DEADLINE) as ws:
        ws.send(json.dumps({"type": "user_message", "content": "Any conflicts?"}))
        while json.loads(ws.recv(timeout=DEADLINE))["type"] != "complete":
            pass


def test_a_token_opens_its_own_users_conversations_and_no_others(router, standin, application):
    s = standin()
    r = router({"providers": {"p": {"kind": "openai", "url": s.url + "/v1", "zone": "local", "models": ["demo"],
                                    "default_model": "demo"}},
                "scheduler": {"app_url": application}}, env={"SECRET_KEY": SECRET})
    r.wait_up()
    at = "ws://127.0.0.1:%d" % r.port
    converse("%s%s/ws?token=%s&session_id=session-of-anna" % (at, PATH, token("anna")))
    converse(at + "/ws/session-at-the-desk")

    def ask(user, method, path):
        return r.ask(method, PATH + path, headers={"Authorization": "Bearer " + token(user)})

    def names(user):
        return [one["session_id"] for one in ask(user, "GET", "/sessions").json["sessions"]]

    assert names("anna") == ["session-of-anna"] and names("ben") == []
    history = ask("anna", "GET", "/sessions/session-of-anna/history").json["messages"]
    assert [m["role"] for m in history] == ["user", "assistant"]
    for user, session in (("ben", "session-of-anna"), ("anna", "session-at-the-desk")):
        assert ask(user, "GET", "/sessions/%s/history" % session).status == 403
        assert ask(user, "DELETE", "/sessions/" + session).status == 403
    assert ask("anna", "DELETE", "/sessions/session-of-anna").status == 204
    assert names("anna") == []
