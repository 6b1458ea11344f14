# SPDX-License-Identifier: Apache-2.0
"""The drill: a bundle is made on one side, carried, checked, installed and used on the other, where there is no network
but loopback (fence.py); and whatever happens to it on the way is found out by name.

What it carries is real: the program under test, its data, an engine with its libraries, the demo model, a configuration.
"""
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

import fence
from harness import TOP, ask, free_port, router_binary, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = "models/llm-router-demo.gguf"
CONFIG = """state_dir: "{0}/state"
runtime_dir: "{0}/run"
airgap: true
providers:
  engine:
    kind: llama-server
    spawn: {{ command: "{0}/engine/bin/llama-server", model: "{0}/{1}", slots: 1, context: 1024 }}
"""


def bundle(*words, program=None, check=True):
    """Its JSON; a failure must be one that was asked for."""
    done = subprocess.run([program or router_binary(), "bundle", *words, "--json"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=300)
    assert (done.returncode == 0) == check, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def names(result):
    return sorted(p["path"] for p in result["problems"])


def flip(path):
    with open(path, "r+b") as f:
        f.seek(os.path.getsize(path) // 2)
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 1]))


class Side:
    """A folder for each side, and what the drill has in it."""

    def __init__(self, root, engine):
        self.outside, self.inside = os.path.join(root, "outside"), os.path.join(root, "inside")
        self.carried = os.path.join(root, "stick")
        os.makedirs(self.outside)
        os.makedirs(self.inside)
        self.key, self.pub = self.outside + "/key.pem", self.inside + "/pub.pem"
        with open(self.pub, "w") as f:
            f.write(bundle("keygen", self.key)["public_key"])
        self.prefix = self.inside + "/opt"
        with open(self.outside + "/llm-router.yaml", "w") as f:
            f.write(CONFIG.format(self.prefix, MODEL))
        self.made = self.outside + "/bundle"
        self.engine = os.path.dirname(os.path.dirname(engine))

    def make(self):
        return bundle("create", self.made, self.key, "engine=" + self.engine,
                      MODEL + "=" + os.path.join(TOP, "tools/demo-model/llm-router-demo.gguf"),
                      "etc/llm-router.yaml=" + self.outside + "/llm-router.yaml")

    def carry(self):
        shutil.copytree(self.made, self.carried)

    def files(self):
        return sorted(os.path.relpath(os.path.join(folder, name), self.carried)
                      for folder, _, inside in os.walk(self.carried) for name in inside
                      if not (folder == self.carried and name.startswith("MANIFEST")))


@pytest.fixture
def side(tmp_path, engine):
    if not os.path.exists(os.path.join(os.path.dirname(os.path.dirname(engine)), "MANIFEST")):
        pytest.skip("the engine on the PATH is not one folder: tools/engine-fetch makes one")
    yield Side(str(tmp_path), engine)
    shutil.rmtree(tmp_path)     # a third of a gigabyte each time


def live_inside(side_root, prefix, pub):
    """Behind the fence: checked, installed, checked again, served, asked. Everything from the stick."""
    stick = os.path.join(side_root, "stick")
    carried = os.path.join(stick, "bin/llm-router")
    bundle("verify", stick, "-k", pub, program=carried)
    bundle("install", stick, prefix, "-k", pub, program=carried)
    program = os.path.join(prefix, "bin/llm-router")
    bundle("verify", "--installed", prefix, "-k", pub, program=program)
    port = free_port()
    log = open(os.path.join(side_root, "router.log"), "wb")
    router = subprocess.Popen([program, "serve", "-c", prefix + "/etc/llm-router.yaml", "--set",
                               "listen=127.0.0.1:%d" % port], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                              env={"PATH": "/usr/bin:/bin", "HOME": side_root})
    try:
        def ready():
            assert router.poll() is None, open(log.name).read()
            try:
                return ask(port, "GET", "/readyz").status == 200
            except OSError:
                return False
        wait_for(ready, "the installed router is ready", 120)
        body = {"model": "auto", "messages": [{"role": "user", "content": "Hello, who are you?"}]}
        reply = ask(port, "POST", "/v1/chat/completions", json.dumps(body).encode(),
                    [("Content-Type", "application/json")], deadline=120)
        assert reply.status == 200, reply.text
        text = reply.json["choices"][0]["message"]["content"]
        assert text.strip(), reply.text
        router.send_signal(signal.SIGTERM)
        assert router.wait(60) == 0, open(log.name).read()
    finally:
        if router.poll() is None:
            router.kill()
            router.wait()


@pytest.mark.parametrize("time", ["first", "second", "third"])
def test_drill(side, time):
    made = side.make()
    assert made["ok"] and made["files"] > 20
    side.carry()
    done = subprocess.run([sys.executable, os.path.join(HERE, "fence.py"), sys.executable, os.path.abspath(__file__),
                           os.path.dirname(side.carried), side.prefix, side.pub], cwd=HERE, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=400)
    if done.returncode == fence.NOT_PERMITTED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_flipped_byte_in_any_file_is_named(side):
    side.make()
    side.carry()
    files = side.files()
    for those in (files[::2], files[1::2]):
        for name in those:
            flip(os.path.join(side.carried, name))
        assert names(bundle("verify", side.carried, "-k", side.pub, check=False)) == sorted(those)
        assert names(bundle("install", side.carried, side.prefix, "-k", side.pub, check=False)) == sorted(those)
        assert not os.path.exists(os.path.join(side.prefix, "bin/llm-router"))
        for name in those:
            flip(os.path.join(side.carried, name))
    for name in ("MANIFEST", "MANIFEST.sig"):
        flip(os.path.join(side.carried, name))
        said = bundle("install", side.carried, side.prefix, "-k", side.pub, check=False)
        assert "MANIFEST.sig: the signature is not by" in said, said
        flip(os.path.join(side.carried, name))
    assert bundle("install", side.carried, side.prefix, "-k", side.pub)["copied"] == len(files)


def test_a_model_that_was_changed_is_not_let_pass(side):
    """What a unit runs before the engine is started."""
    side.make()
    bundle("install", side.made, side.prefix, "-k", side.pub)
    gate = ["verify", "--installed", side.prefix, os.path.join(side.prefix, MODEL), "-k", side.pub]
    assert names(bundle(*gate)) == []
    flip(os.path.join(side.prefix, MODEL))
    assert names(bundle(*gate, check=False)) == [MODEL]
    shutil.copy(os.path.join(side.prefix, MODEL), os.path.join(side.prefix, "models/other.gguf"))
    gate[3] = os.path.join(side.prefix, "models/other.gguf")
    assert names(bundle(*gate, check=False)) == [gate[3]]
    # The old one is kept beside, the right one comes back.
    bundle("install", side.made, side.prefix, "-k", side.pub, check=False)
    assert bundle("install", side.made, side.prefix, "-k", side.pub, "--replace")["replaced"] == 1
    gate[3] = MODEL
    assert names(bundle(*gate)) == []
    assert filecmp.cmp(os.path.join(side.prefix, MODEL + ".old"), os.path.join(side.prefix, "models/other.gguf"), False)


def test_an_install_that_is_killed_is_gone_on_with(side):
    side.make()
    words = [router_binary(), "bundle", "install", side.made, side.prefix, "-k", side.pub]

    def begun():
        return child.poll() is not None or any(files for _, _, files in os.walk(side.prefix))
    for _ in range(5):
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(begun, "something is there")
        child.kill()
        child.wait()
    result = bundle("install", side.made, side.prefix, "-k", side.pub)
    assert result["copied"] + result["kept"] == result["files"]
    assert bundle("verify", "--installed", side.prefix, "-k", side.pub)["ok"]
    left = [name for _, _, files in os.walk(side.prefix) for name in files if name.startswith(".llm-router-bundle-")]
    assert left == []


def test_other_programs_check_a_bundle_as_well(side):
    """In ten years there may be no llm-router at hand."""
    side.make()
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "MANIFEST"], cwd=side.made, check=True, timeout=120)
    subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", side.pub, "-rawin", "-in", "MANIFEST",
                    "-sigfile", "MANIFEST.sig"], cwd=side.made, check=True, timeout=120, stdout=subprocess.DEVNULL)


def test_the_list_of_parts_is_whole_and_the_same_again():
    """tools/sbom: what SPDX 2.3 asks of every package, all relationships lead somewhere, twice the same bytes."""
    words = [os.path.join(TOP, "tools/sbom"), router_binary(), os.path.join(TOP, "tools/demo-model/llm-router-demo.gguf")]
    first, second = (subprocess.run(words, capture_output=True, check=True, timeout=120,
                                    env={**os.environ, "SOURCE_DATE_EPOCH": "1795000000"}).stdout for _ in range(2))
    assert first == second
    document = json.loads(first)
    assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0"
    assert document["documentNamespace"].startswith("https://") and document["creationInfo"]["created"].endswith("Z")
    parts = {p["SPDXID"]: p for p in document["packages"]}
    assert len(parts) == len(document["packages"])
    for p in parts.values():
        assert p["versionInfo"] and p["downloadLocation"] and p["licenseDeclared"] and "filesAnalyzed" in p, p
        assert set(p["SPDXID"]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-"), p
    for r in document["relationships"]:
        assert r["relatedSpdxElement"] in parts and r["spdxElementId"] in {*parts, "SPDXRef-DOCUMENT"}, r
    assert {r["relatedSpdxElement"] for r in document["relationships"]} == set(parts)
    listed = {p["name"] for p in parts.values()}
    assert {"llm-router", "preact", "libc6", "llm-router-demo.gguf"} <= listed, listed


if __name__ == "__main__":
    live_inside(*sys.argv[1:])
