# SPDX-License-Identifier: Apache-2.0
"""Providers behind TLS: a certificate is verified, name and chain and dates, or nothing is sent."""
import shutil
import subprocess

import pytest

from harness import SENTENCE, understand

KINDS = ["openai", "anthropic", "ollama"]
NAMES = {   # file: name in the certificate, days from now until it ends, signed by the CA
    "good": ("DNS:localhost,IP:127.0.0.1", 30, True),
    "other-name": ("DNS:elsewhere.example.org", 30, True),
    "over": ("DNS:localhost,IP:127.0.0.1", -1, True),
    "self-signed": ("DNS:localhost,IP:127.0.0.1", 30, False),
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], cwd=folder, check=True, capture_output=True, timeout=60)

    def make_key(name):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name + ".key")

    make_key("ca")
    openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=peer test CA", "-days", "30", "-out", "ca.pem")
    for name, (alternative, days, signed) in NAMES.items():
        make_key(name)
        (folder / (name + ".ext")).write_text("subjectAltName=%s\nbasicConstraints=CA:FALSE\n" % alternative)
        openssl("req", "-new", "-key", name + ".key", "-subj", "/CN=" + name, "-out", name + ".csr")
        by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"] if signed else ["-signkey", name + ".key"]
        if days < 0:    # x509 cannot make what is over already: faketime is not everywhere, ca(1) takes dates
            (folder / "index.txt").write_text("")
            (folder / "serial").write_text("77\n")
            (folder / "ca.cnf").write_text(
                "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n"
                "policy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
            openssl("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", name + ".csr",
                    "-extfile", name + ".ext", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-notext",
                    "-out", name + ".pem")
        else:
            openssl("x509", "-req", "-in", name + ".csr", *by, "-days", days, "-extfile", name + ".ext", "-out",
                    name + ".pem")
    return folder


def provider(kind, url, **more):
    zone = {"zone": "local"} if kind == "anthropic" else {}
    return {"kind": kind, "url": url, "models": ["demo"], "retries": 0, "breaker_failures": 1000, **{**zone, **more}}


def over_tls(standin, certificates, name):
    return standin("--cert", str(certificates / (name + ".pem")), "--key-file", str(certificates / (name + ".key")),
                   "--tls-port", "0")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_provider_with_a_good_certificate_is_asked(router, standin, certificates, kind, host):
    s = over_tls(standin, certificates, "good")
    r = router({"providers": {"p": provider(kind, "https://%s:%d" % (host, s.tls_port),
                                            ca_file=str(certificates / "ca.pem"))}}).wait_up()
    for door in ("openai", "anthropic", "ollama"):
        for stream in (True, False):
            reply = r.chat(door, "p/demo", stream)
            assert reply.complete and understand(door, stream, reply).text == SENTENCE, reply
    assert s.stats()["connections_open"] <= 4, "connections are kept and used again"


@pytest.mark.parametrize("name,ca", [("good", None), ("other-name", "ca.pem"), ("over", "ca.pem"), ("self-signed", "ca.pem"),
                                     ("good", "self-signed.pem")])
def test_a_certificate_that_proves_nothing_gets_not_one_byte(router, standin, certificates, name, ca):
    s = over_tls(standin, certificates, name)
    more = {"ca_file": str(certificates / ca)} if ca else {}
    r = router({"providers": {"p": provider("anthropic", "https://localhost:%d" % s.tls_port, zone="cloud",
                                            key_env="PEER_KEY", **more)}}, env={"PEER_KEY": "x"}, ready="/healthz")
    reply = r.chat("openai", "p/demo", True)
    assert reply.status in (502, 503), reply
    metrics = r.ask("GET", "/metrics").text
    assert 'outcome="tls"' in metrics, [x for x in metrics.splitlines() if "attempts_total" in x]
    assert s.requests() == [] and s.stats()["requests_total"] == 0
