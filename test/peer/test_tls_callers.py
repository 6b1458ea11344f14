# SPDX-License-Identifier: Apache-2.0
"""Callers over TLS, with certificates that `llm-router ca` has made: what Python, curl and openssl think of them; who
shows none where one is asked for gets nowhere; a reload shows the next certificate and cuts nobody."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess

import pytest

from harness import DEADLINE, DOORS, SENTENCE, body_of, router_binary, understand, wait_for


def run(*words, check=True, **more):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=DEADLINE,
                          stdin=subprocess.DEVNULL, **more)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    top = tmp_path_factory.mktemp("ca")
    (top / "seal").write_text("a passphrase\nand no more\n")
    env = {**os.environ, "HOME": str(top)}

    def ca(*words, check=True):
        return run(router_binary(), "ca", *words, "--dir", top / "ca", "--passphrase-file", top / "seal", check=check,
                   env=env, cwd=top)

    ca("init", "peer test")
    ca("server", "localhost", "127.0.0.1", "*.example.org")
    ca("client", "app-1")
    return top / "ca", ca


def test_what_is_made_is_well_made_and_nothing_is_written_over(authority):
    folder, ca = authority
    modes = {f: stat.S_IMODE(os.stat(folder / f).st_mode) for f in sorted(os.listdir(folder))}
    assert modes == {"app-1.key": 0o600, "app-1.pem": 0o644, "ca.key": 0o600, "ca.pem": 0o644, "localhost.key": 0o600,
                     "localhost.pem": 0o644}
    assert "ENCRYPTED" in (folder / "ca.key").read_text() and "ENCRYPTED" not in (folder / "app-1.key").read_text()
    before = {f: (folder / f).read_bytes() for f in modes}
    for words in (["init"], ["server", "localhost"], ["client", "app-1"]):
        refused = ca(*words, check=False)
        assert refused.returncode == 1 and "there already" in refused.stderr
    for words in (["server", "a,b"], ["server", "../x"], ["client", "-x y"], ["renew", "ca"], ["nonsense"], ["client"]):
        assert ca(*words, check=False).returncode in (1, 2), words
    assert before == {f: (folder / f).read_bytes() for f in sorted(os.listdir(folder))}
    told = ca("show").stdout
    assert "DNS:localhost, IP Address:127.0.0.1, DNS:*.example.org" in told and "authority" in told and "client" in told
    if shutil.which("openssl"):
        for name, purpose in (("localhost", "sslserver"), ("app-1", "sslclient")):
            run("openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", folder / "ca.pem",
                folder / (name + ".pem"))
            wrong = "sslclient" if purpose == "sslserver" else "sslserver"
            assert run("openssl", "verify", "-purpose", wrong, "-CAfile", folder / "ca.pem", folder / (name + ".pem"),
                       check=False).returncode != 0
    ca("renew")         # none is due
    assert before == {f: (folder / f).read_bytes() for f in sorted(os.listdir(folder))}


def context(folder, client=None):
    c = ssl.create_default_context(cafile=folder / "ca.pem")
    c.verify_flags |= ssl.VERIFY_X509_STRICT
    if client:
        c.load_cert_chain(folder / (client + ".pem"), folder / (client + ".key"))
    return c


def chat(port, tls, host="127.0.0.1", stream=False, connection=None):
    c = connection or http.client.HTTPSConnection(host, port, context=tls, timeout=DEADLINE)
    c.request("POST", DOORS["openai"], json.dumps(body_of("openai", "p/demo", stream)))
    reply = c.getresponse()
    reply.text = reply.read().decode()
    reply.json = json.loads(reply.text) if not stream else None
    assert reply.status == 200 and understand("openai", stream, reply).text == SENTENCE
    return c


def tls_port(r):
    return next(int(a.rsplit(":", 1)[1]) for a in r.ports if a.startswith("tls:"))


def serial(port, tls):
    with ssl.create_default_context(cafile=tls).wrap_socket(socket.create_connection(("127.0.0.1", port)),
                                                             server_hostname="localhost") as s:
        return s.getpeercert()["serialNumber"]


def config(s, folder, **more):
    return {"listen": ["127.0.0.1:0", "tls:127.0.0.1:0"],
            "tls": {"cert_file": str(folder / "localhost.pem"), "key_file": str(folder / "localhost.key"), **more},
            "providers": {"p": {"kind": "openai", "url": s.url, "models": ["demo"]}}}


def test_callers_by_name_and_address_and_a_new_certificate(router, standin, authority):
    folder, ca = authority
    r = router(config(standin(), folder)).wait_up()
    port, tls = tls_port(r), context(folder)
    for host in ("127.0.0.1", "localhost"):
        for stream in (False, True):
            chat(port, tls, host, stream).close()
    kept = chat(port, tls)
    assert kept.sock.version() == "TLSv1.3"
    old = ssl.create_default_context(cafile=folder / "ca.pem")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_alpn_protocols(["h2", "http/1.1"])
    twelve = chat(port, old)
    assert twelve.sock.version() == "TLSv1.2" and twelve.sock.selected_alpn_protocol() == "http/1.1"
    twelve.close()
    with pytest.raises(ssl.SSLError):       # nobody has told it of our authority
        chat(port, ssl.create_default_context())
    with pytest.raises((OSError, http.client.HTTPException)):       # plain HTTP
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        c.request("GET", "/healthz")
        c.getresponse()
    if shutil.which("curl"):
        done = run("curl", "-sS", "--fail", "--cacert", folder / "ca.pem", "https://localhost:%d/healthz" % port)
        assert done.stdout
    env = {**r.env, "SSL_CERT_FILE": str(folder / "ca.pem")}
    assert run(router_binary(), "health", "--url", "https://127.0.0.1:%d" % port, env=env).returncode == 0

    first = serial(port, folder / "ca.pem")
    ca("renew", "localhost", "--days", "20")
    r.signal(signal.SIGHUP)
    wait_for(lambda: serial(port, folder / "ca.pem") != first, "the next certificate is shown")
    chat(port, tls, connection=kept).close()        # who was there before goes on
    wait_for(lambda: [1 for line in r.log_lines() if re.search("is over in (19|20) days", line.get("reason", ""))],
             "it is told that the certificate ends soon")
    ends = next(line for line in r.ask("GET", "/metrics").text.splitlines() if line.startswith("llm_router_tls_cert"))
    assert int(float(ends.split()[1])) > 1700000000
    # A wrong file changes nothing.
    good = (folder / "localhost.pem").read_bytes()
    (folder / "localhost.pem").write_text("nonsense")
    r.signal(signal.SIGHUP)
    wait_for(lambda: [1 for line in r.log_lines() if line.get("event") == "reload_refused"], "refused")
    (folder / "localhost.pem").write_bytes(good)
    chat(port, tls).close()
    ca("renew")         # less than 30 days: it is due
    assert (folder / "localhost.pem").read_bytes() != good


def test_who_shows_no_certificate_of_ours_gets_nowhere(router, standin, authority):
    folder, _ = authority
    s = standin()
    r = router(config(s, folder, client_ca_file=str(folder / "ca.pem"))).wait_up()
    port = tls_port(r)
    chat(port, context(folder, "app-1")).close()
    for wrong in (context(folder), context(folder, "localhost")):      # none, and one that is for servers
        with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
            chat(port, wrong)
    assert len(s.requests()) == 1
    assert r.ask("GET", "/healthz").status == 200       # the other address asks for none
