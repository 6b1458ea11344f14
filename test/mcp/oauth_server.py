#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oauth_server - an MCP server that wants a login, and its authorization server, in one process.

    /mcp                      Streamable HTTP, 2025-11-25, stateless; one tool, echo; 401 without a token of now
    /issuer                   the authorization server: metadata, authorize (logs everybody in), token, register
    /control                  GET: what happened; POST: what shall happen

Checked as a strict server would: PKCE, redirect address, resource, client secret; refresh tokens are good once. POST
/control takes {"expire": true} (access tokens of now), {"revoke": true} (refresh tokens of now), {"wrong": "state" |
"issuer" | "busy" | ""} (how the next answers are wrong), {"port": ...}.

usage: oauth_server.py        prints its port
"""
import base64
import hashlib
import json
import secrets
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

access, refresh, codes, clients = set(), {}, {}, {"robot": "s3cret&robot"}
state = {"wrong": "", "refreshed": 0, "logins": 0, "registered": 0, "credentials": 0, "refused": 0, "issued": []}


def digest(verifier):
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def new(kind):
    token = kind + "-" + secrets.token_hex(16)
    state["issued"].append(token)
    return token


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    @property
    def base(self):
        return "http://127.0.0.1:%d" % self.server.server_port

    def send(self, status, body=None, headers=()):
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    # ---- what both are ----

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/control":
            self.send(200, state)
        elif path == "/.well-known/oauth-protected-resource/mcp":
            self.send(200, {"resource": self.base + "/mcp", "authorization_servers": [self.base + "/issuer"],
                            "scopes_supported": ["read"]})
        elif path == "/.well-known/oauth-authorization-server/issuer":
            self.send(200, {"issuer": self.base + "/issuer", "authorization_endpoint": self.base + "/authorize",
                            "token_endpoint": self.base + "/token", "registration_endpoint": self.base + "/register",
                            "authorization_response_iss_parameter_supported": True,
                            "code_challenge_methods_supported": ["S256"],
                            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"]})
        elif path == "/authorize":
            self.authorize(dict(urllib.parse.parse_qsl(query)))
        else:
            self.send(405 if path == "/mcp" else 404)

    def do_POST(self):
        body = self.body()
        if self.path == "/control":
            wanted = json.loads(body)
            if wanted.get("expire"):
                access.clear()
            if wanted.get("revoke"):
                refresh.clear()
            state["wrong"] = wanted.get("wrong", state["wrong"])
            self.send(200, state)
        elif self.path == "/mcp":
            self.mcp(json.loads(body))
        elif self.path == "/register":
            state["registered"] += 1
            client = "client-" + secrets.token_hex(4)
            clients[client] = None
            self.send(201, {"client_id": client, "token_endpoint_auth_method": "none"})
        elif self.path == "/token":
            self.token(dict(urllib.parse.parse_qsl(body.decode())))
        else:
            self.send(404)

    # ---- the authorization server ----

    def authorize(self, q):
        if (q.get("response_type") != "code" or q.get("client_id") not in clients or q.get("code_challenge_method") != "S256"
                or q.get("resource") != self.base + "/mcp" or not q["redirect_uri"].startswith("http://127.0.0.1:")):
            self.send(400, {"error": "invalid_request"})
            return
        code = secrets.token_hex(8)
        codes[code] = q
        back = {"code": code, "state": "forged" if state["wrong"] == "state" else q["state"],
                "iss": self.base + ("/another" if state["wrong"] == "issuer" else "/issuer")}
        self.send(302, headers=[("Location", q["redirect_uri"] + "?" + urllib.parse.urlencode(back))])

    def client(self, form):
        """Who asks for a token, if it is who it says."""
        given = self.headers.get("Authorization") or ""
        if given.startswith("Basic "):
            name, _, secret = base64.b64decode(given[6:]).decode().partition(":")
            name, secret = urllib.parse.unquote(name), urllib.parse.unquote(secret)
            return name if clients.get(name) == secret else None
        name = form.get("client_id")
        return name if name in clients and clients[name] is None else None

    def grant(self, client, form):
        kind = form.get("grant_type")
        if form.get("resource") != self.base + "/mcp":
            return False
        if kind == "authorization_code":
            asked = codes.pop(form.get("code"), None)
            state["logins"] += 1
            return bool(asked and asked["client_id"] == client and asked["redirect_uri"] == form.get("redirect_uri")
                        and digest(form.get("code_verifier", "")) == asked["code_challenge"])
        if kind == "refresh_token":
            state["refreshed"] += 1
            return refresh.pop(form.get("refresh_token"), None) == client
        state["credentials"] += 1
        return kind == "client_credentials" and clients.get(client) is not None

    def token(self, form):
        client = self.client(form)
        if state["wrong"] == "busy":
            self.send(503, {"error": "temporarily_unavailable"})
        elif client is None or not self.grant(client, form):
            state["refused"] += 1
            self.send(400 if client else 401, {"error": "invalid_grant" if client else "invalid_client"})
        else:
            answer = {"access_token": new("access"), "token_type": "Bearer", "expires_in": 60}
            access.add(answer["access_token"])
            if form["grant_type"] != "client_credentials":
                answer["refresh_token"] = new("refresh")
                refresh[answer["refresh_token"]] = client
            self.send(200, answer)

    # ---- the MCP server ----

    def mcp(self, m):
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in access:
            self.send(401, {}, [("WWW-Authenticate", 'Bearer resource_metadata="%s/.well-known/oauth-protected-resource/mcp", '
                                 'scope="read"' % self.base)])
            return
        method, result = m.get("method"), None
        if method == "initialize":
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "o", "version": "1"}}
        elif method == "tools/list":
            result = {"tools": [{"name": "echo", "description": "says it again", "inputSchema": {
                "type": "object", "properties": {"text": {"type": "string"}}}}]}
        elif method == "tools/call":
            result = {"content": [{"type": "text", "text": m["params"]["arguments"].get("text", "")}]}
        elif method == "ping":
            result = {}
        if "id" not in m:
            self.send(202)
        elif result is None:
            self.send(400, {"jsonrpc": "2.0", "id": m["id"], "error": {"code": -32601, "message": "no such method"}})
        else:
            self.send(200, {"jsonrpc": "2.0", "id": m["id"], "result": result})


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
sys.stdout.close()
server.serve_forever()
