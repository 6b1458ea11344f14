# SPDX-License-Identifier: Apache-2.0
"""check - what test/deploy/make.py made, tried for real in the workshop, without any network but its own.

A pair of interfaces that leads nowhere carries the default route, so that what would leave this machine is a packet
counted there. The only things that are not real: Ollama, whose image cannot be had (test/standin takes its place under
the name standin-for-ollama), and vLLM and the others, whose overlays are only read.

Prints "ok NAME" or "not ok NAME: why", and figures as "# ...".
"""
import glob
import itertools
import json
import os
import re
import shutil
import socket
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request

from docker import BASE, IMAGE, TOP, Engine, NoDocker, base_image, docker, run

OVERLAYS = ["gpu", "vllm", "llamacpp", "model-runner", "localai", "airgap", "bundle", "observability", "scheduler"]
STANDIN = "standin-for-ollama:test"
SENTENCE = "Hello from the stand-in."
SETTINGS = {"VLLM_MODEL_DIR": "/m", "LLAMACPP_MODEL_DIR": "/m", "LLAMACPP_MODEL": "m.gguf", "LOCALAI_MODEL_DIR": "/m",
            "GRAFANA_PASSWORD": "not-a-secret", "SCHEDULER_NETWORK": "scheduler", "OLLAMA_MODEL_DIR": "/tmp/models",
            "BUNDLE_DIR": "/tmp/bundle/opt", "BUNDLE_KEY": "/tmp/bundle/pub.pem",
            "OLLAMA_IMAGE": STANDIN, "ROUTER_PORT": "18484"}
world = None        # an Outside
HARD = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


def compose(*words, overlays=(), **more):
    files = [w for o in ("", *overlays) for w in ("-f", "compose.%s%syaml" % (o, "." if o else ""))]
    return run("docker", "compose", *files, *words, cwd=TOP, env={**os.environ, **SETTINGS}, **more).stdout


def until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, what
        time.sleep(0.1)


def call(url, key=None, body=None):
    request = urllib.request.Request(url, data=json.dumps(body).encode() if body else None,
                                     headers={"Content-Type": "application/json"})
    if key:
        request.add_header("Authorization", "Bearer " + key)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


class Outside:
    """What left towards the world."""

    def __init__(self):
        self.packets = []
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind(("world", 0))
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            frame, (_, _, direction, *_) = self.socket.recvfrom(65536)
            if direction != socket.PACKET_OUTGOING:
                self.packets.append("type %s to %s" % (frame[12:14].hex(), ".".join(map(str, frame[30:34]))))


def knock(container):
    """Tries to reach the world from inside: an address, and a name."""
    docker("exec", container, "timeout", "3", "bash", "-c",
           "echo >/dev/tcp/203.0.113.9/443; getent hosts www.example.org", check=False)


def ask(base, key):
    return call(base + "/v1/chat/completions", key,
                {"model": "auto", "messages": [{"role": "user", "content": "Hello?"}]})


# ---- the image ------------------------------------------------------------------------------------


def image_is_small_and_labelled():
    facts = json.loads(docker("image", "inspect", IMAGE))[0]
    base = json.loads(docker("image", "inspect", BASE))[0]
    beyond = (facts["Size"] - base["Size"]) / 1e6
    print("# image %s: %.1f MB, %.1f MB beyond its base" % (facts["Id"][:19], facts["Size"] / 1e6, beyond))
    assert beyond <= 25, beyond
    config = facts["Config"]
    assert config["User"] == "10001:10001" and config["Healthcheck"]["Test"] == ["CMD", "llm-router", "health"], config
    version = docker("run", "--rm", *HARD, IMAGE, "version").split()[-1]
    assert config["Labels"]["org.opencontainers.image.version"] == version, (config["Labels"], version)


def image_refuses_to_listen_without_a_key():
    done = run("docker", "run", "--rm", *HARD, IMAGE, check=False)
    assert done.returncode != 0 and "there are no API keys" in done.stdout, done.stdout


def image_serves_read_only_without_rights():
    docker("volume", "create", "one")
    key = json.loads(docker("run", "--rm", *HARD, "-v", "one:/var/lib/llm-router", IMAGE, "keys", "add", "--json", "me"))["key"]
    started = time.monotonic()
    docker("run", "-d", "--name", "router-alone", *HARD, "-v", "one:/var/lib/llm-router", "-p", "127.0.0.1::8484", IMAGE)
    base = "http://" + docker("port", "router-alone", "8484").splitlines()[0]

    def up():
        try:
            return call(base + "/healthz")[0] == 200
        except OSError:
            return False
    until(up, "the container answers")
    print("# docker run to the first answer: %.2f s" % (time.monotonic() - started))
    assert call(base + "/v1/models")[0] == 401 and call(base + "/v1/models", key)[0] == 200
    until(lambda: docker("inspect", "-f", "{{.State.Health.Status}}", "router-alone") == "healthy", "its health check passes")
    print("# memory idle: " + docker("stats", "--no-stream", "--format", "{{.MemUsage}}", "router-alone"))
    docker("stop", "router-alone")
    state = json.loads(docker("inspect", "router-alone"))[0]["State"]
    assert state["ExitCode"] == 0 and not state["OOMKilled"], state
    docker("rm", "-v", "router-alone")
    docker("volume", "rm", "one")


def image_carries_the_list_of_its_parts():
    parts = json.loads(docker("run", "--rm", "--entrypoint", "cat", IMAGE, "/usr/share/llm-router/sbom.spdx.json"))["packages"]
    listed = {p["name"]: p["versionInfo"] for p in parts if p.get("supplier") == "Organization: Debian"}
    there = dict(line.split("=") for line in docker(
        "run", "--rm", "--entrypoint", "dpkg-query", IMAGE, "-W", "-f", "${Package}=${Version}\n", *listed).splitlines())
    assert listed and there == listed, (there, listed)
    assert {"llm-router", "preact"} <= {p["name"] for p in parts}


# ---- compose --------------------------------------------------------------------------------------


def every_combination_of_overlays_is_valid():
    n = 0
    for count in (0, 1, 2, len(OVERLAYS)):
        for some in itertools.combinations(OVERLAYS, count):
            compose("config", "-q", overlays=some)
            n += 1
    print("# %d combinations" % n)


def every_service_is_hardened():
    for some in [()] + [(o,) for o in OVERLAYS]:
        whole = json.loads(compose("config", "--format", "json", overlays=some))
        for name, service in whole["services"].items():
            assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], name
            assert int(service["mem_limit"]) > 0, name
            for port in service.get("ports", []):
                assert port["host_ip"] == "127.0.0.1", (name, port)
            ways_out = [n for n in service.get("networks") or {} if not whole["networks"][n].get("internal")]
            assert not ways_out or name in ("router", "fetch") or (name, ways_out) == ("grafana", ["page"]), (name, ways_out)


def the_examples_name_what_is_read():
    text = "".join(open(p).read() for p in glob.glob(os.path.join(TOP, "compose*.yaml")))
    for path in (".env.example", ".env.airgap.example"):
        for name in re.findall(r"^#?([A-Z_]+)=", open(os.path.join(TOP, path)).read(), re.M):
            assert "${" + name in text, (path, name)


def a_first_start_serves():
    context = "/tmp/standin"
    os.makedirs(context, exist_ok=True)
    shutil.copy(os.path.join(TOP, "build/release/test/standin/standin"), context)
    with open(context + "/ollama", "w") as f:
        f.write("""#!/bin/bash
# The test's stand-in for Ollama's program: serve, and list, which says whether it serves.
case $1 in
serve) mkdir -p /models/blobs && exec standin --host 0.0.0.0 --port 11434 --models llama3.2:latest ;;
list) exec 3<>/dev/tcp/127.0.0.1/11434 ;;
esac
""")
    os.chmod(context + "/ollama", 0o755)
    with open(context + "/Dockerfile", "w") as f:
        f.write("FROM %s\nUSER 0:0\nCOPY standin ollama /usr/bin/\nENTRYPOINT [\"ollama\"]\nCMD [\"serve\"]\n"
                "HEALTHCHECK NONE\n" % IMAGE)
    docker("build", "-q", "-t", STANDIN, context)
    started = time.monotonic()
    compose("up", "-d", "--no-build", timeout=120)
    until(lambda: docker("inspect", "-f", "{{.State.Health.Status}}", "llm-router-router-1") == "healthy", "router healthy")
    print("# compose up to a healthy router: %.1f s" % (time.monotonic() - started))
    key = compose("exec", "-T", "router", "cat", "first.key").strip()
    base = "http://127.0.0.1:" + SETTINGS["ROUTER_PORT"]
    status, text = ask(base, key)
    assert status == 200 and SENTENCE in text, (status, text)
    assert ask(base, None)[0] == 401


def only_missing_models_are_fetched():
    until(lambda: docker("inspect", "-f", "{{.State.Status}}", "llm-router-models-1") == "exited", "models fetched")
    log = compose("logs", "--no-log-prefix", "models")
    assert docker("inspect", "-f", "{{.State.ExitCode}}", "llm-router-models-1") == "0", log
    assert "mistral is there" in log and "llama3.2: " not in log, log


def the_engine_has_no_way_out_and_the_router_has():
    world.packets.clear()
    knock("llm-router-ollama-1")
    assert not world.packets, world.packets
    knock("llm-router-router-1")
    assert any("203.0.113.9" in p for p in world.packets), "the counter counts nothing"


def a_killed_router_comes_back():
    pid = docker("inspect", "-f", "{{.State.Pid}}", "llm-router-router-1")
    run("kill", "-9", pid)
    until(lambda: docker("inspect", "-f", "{{.RestartCount}}/{{.State.Health.Status}}", "llm-router-router-1") == "1/healthy",
          "it is started again")


def a_second_start_makes_no_second_key():
    key = compose("exec", "-T", "router", "cat", "first.key")
    compose("up", "-d", "--no-build", "--force-recreate", timeout=120)
    assert compose("exec", "-T", "router", "cat", "first.key") == key
    compose("exec", "-T", "router", "rm", "first.key")
    two = json.loads(compose("run", "--rm", "--no-deps", "-T", "router", "keys", "add", "--json", "two"))["key"]
    base = "http://127.0.0.1:" + SETTINGS["ROUTER_PORT"]
    until(lambda: call(base + "/v1/models", two)[0] == 200, "a further key is taken over")
    compose("down", "-v", timeout=120)


def in_airgap_nothing_leaves():
    os.makedirs("/tmp/models/blobs", exist_ok=True)
    compose("down", "-v", timeout=120)
    compose("up", "-d", "--no-build", overlays=["airgap"], timeout=120)
    until(lambda: docker("inspect", "-f", "{{.State.Health.Status}}", "llm-router-router-1") == "healthy", "router healthy")
    world.packets.clear()
    key = compose("exec", "-T", "router", "cat", "first.key", overlays=["airgap"]).strip()
    status, text = ask("http://172.30.86.2:8484", key)
    assert status == 200 and SENTENCE in text, (status, text)
    names = docker("ps", "--format", "{{.Names}}").split()
    assert sorted(names) == ["llm-router-ollama-1", "llm-router-router-1"], names
    for name in names:
        knock(name)
    assert not world.packets, world.packets
    assert run("docker", "exec", "llm-router-ollama-1", "touch", "/models/x", check=False).returncode != 0
    compose("down", "-v", overlays=["airgap"], timeout=120)


def a_changed_model_is_not_loaded():
    """A bundle made by the image, installed, mounted: the engine starts, and after one byte it does not."""
    shutil.rmtree("/tmp/bundle", ignore_errors=True)
    os.makedirs("/tmp/bundle/ollama/blobs")
    blob = "/tmp/bundle/opt/ollama/blobs/sha256-ab"
    with open("/tmp/bundle/ollama/blobs/sha256-ab", "w") as f:
        f.write("weights")
    as_root = ["run", "--rm", "-u", "0:0", "-v", "/tmp/bundle:/b", IMAGE, "bundle"]
    with open("/tmp/bundle/pub.pem", "w") as f:
        f.write(docker(*as_root, "keygen", "/b/key.pem") + "\n")
    docker(*as_root, "create", "/b/made", "/b/key.pem", "ollama=/b/ollama")
    docker(*as_root, "install", "/b/made", "/b/opt", "-k", "/b/pub.pem")
    both = ["airgap", "bundle"]
    compose("up", "-d", "--no-build", overlays=both, timeout=120)
    until(lambda: docker("inspect", "-f", "{{.State.Running}}", "llm-router-ollama-1") == "true", "the engine runs")
    compose("down", "-v", overlays=both, timeout=120)
    with open(blob, "w") as f:
        f.write("weighty")
    compose("up", "-d", "--no-build", overlays=both, timeout=120, check=False)
    assert "ollama/blobs/sha256-ab: changed" in compose("logs", "models-checked", overlays=both)
    assert "ollama" not in docker("ps", "--format", "{{.Names}}")
    compose("down", "-v", overlays=both, timeout=120)


# ---- observability --------------------------------------------------------------------------------


def dashboard_and_alerts_use_metrics_that_exist():
    known = {}
    with open(os.path.join(TOP, "src/ledger/metrics.def")) as f:
        for kind, name in re.findall(r'^METRIC\(\w+, (\w+), \w+, "(\w+)"', f.read(), re.M):
            known[name] = kind
    used = set()
    for path in glob.glob(os.path.join(TOP, "deploy/observability/**/*"), recursive=True):
        if path.endswith((".json", "alerts.yaml")):
            used |= set(re.findall(r"llm_router_\w+", open(path).read()))
    for name in used:
        plain = re.sub(r"_(bucket|sum|count)$", "", name)
        assert known.get(name) in ("COUNTER", "GAUGE") or known.get(plain) == "HISTOGRAM", name
    json.load(open(os.path.join(TOP, "deploy/observability/grafana/dashboards/llm-router.json")))


# ---- without Docker -------------------------------------------------------------------------------


def the_package_is_lintian_clean():
    changes = glob.glob(os.path.join(TOP, "build/deploy/deb/*.changes"))[0]
    done = run("lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", "--allow-root", changes, check=False)
    assert done.returncode == 0, done.stdout


def the_package_installs_and_goes():
    deb = glob.glob(os.path.join(TOP, "build/deploy/deb/llm-router_*.deb"))[0]
    run("dpkg", "-i", deb)
    assert run("llm-router", "version").stdout.startswith("llm-router ")
    assert run("getent", "passwd", "llm-router").stdout
    run("llm-router", "check", "-c", "/etc/llm-router/llm-router.yaml")
    parts = json.load(open("/usr/share/llm-router/sbom.spdx.json"))["packages"]
    assert {"libuv1t64", "preact"} <= {p["name"] for p in parts}, parts
    assert "privacy" in run("llm-router", "doctor", "--offline", "-c", "/etc/llm-router/llm-router.yaml", check=False).stdout
    key = run("runuser", "-u", "llm-router", "--", "llm-router", "keys", "add", "me", "-c", "/etc/llm-router/llm-router.yaml")
    assert os.path.exists("/var/lib/llm-router/llm-router.db"), key.stdout


def the_unit_is_sound_and_fenced():
    unit = "/usr/lib/systemd/system/llm-router.service"
    said = run("systemd-analyze", "verify", "--man=no", unit).stdout
    assert "llm-router" not in said, said
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit, check=False).stdout
    line = [x for x in done.splitlines() if "Overall exposure" in x][0]
    print("# " + line.strip(" →"))
    assert float(re.search(r": ([0-9.]+)", line).group(1)) <= 2.0, line
    run("dpkg", "-P", "llm-router")
    assert not os.path.exists("/usr/bin/llm-router")


ALONE = [the_package_is_lintian_clean, the_package_installs_and_goes, the_unit_is_sound_and_fenced,
         dashboard_and_alerts_use_metrics_that_exist, the_examples_name_what_is_read]
WITH_DOCKER = [image_is_small_and_labelled, image_refuses_to_listen_without_a_key, image_serves_read_only_without_rights,
               image_carries_the_list_of_its_parts,
               every_combination_of_overlays_is_valid, every_service_is_hardened, a_first_start_serves,
               only_missing_models_are_fetched, the_engine_has_no_way_out_and_the_router_has, a_killed_router_comes_back,
               a_second_start_makes_no_second_key, in_airgap_nothing_leaves, a_changed_model_is_not_loaded]


def clear():
    """What a run that was ended has left; the engine is our own."""
    for kind, list_words in (("container", ["ps", "-aq"]), ("volume", ["volume", "ls", "-q"])):
        left = docker(*list_words).split()
        if left:
            docker(kind, "rm", "-f", *left)
    docker("network", "prune", "-f")


def attempt(test):
    try:
        test()
        print("ok " + test.__name__, flush=True)
        return True
    except Exception as e:
        print("not ok %s: %s" % (test.__name__, " ".join(str(e).split())[:600]), flush=True)
        traceback.print_exc()
        return False


def main(names):
    global world
    for words in ("link set lo up", "link add outside type veth peer name world", "link set world up",
                  "link set outside up",
                  "addr add 198.51.100.2/24 dev outside", "route add default via 198.51.100.1"):
        run("ip", *words.split())
    for name in ("outside", "world"):       # no chatter of their own
        with open("/proc/sys/net/ipv6/conf/%s/disable_ipv6" % name, "w") as f:
            f.write("1")
    world = Outside()
    # Nobody answers there, but packets go: the router that leads on has an address.
    run("ip", "neigh", "add", "198.51.100.1", "lladdr", "02:00:00:00:00:01", "dev", "outside", "nud", "permanent")
    with open("/etc/resolv.conf", "w") as f:
        f.write("nameserver 198.51.100.53\n")
    run("ip", "neigh", "add", "198.51.100.53", "lladdr", "02:00:00:00:00:01", "dev", "outside", "nud", "permanent")
    wanted = lambda tests: [t for t in tests if not names or t.__name__ in names]
    good = all([attempt(t) for t in wanted(ALONE)])
    if wanted(WITH_DOCKER):
        try:
            with Engine():
                base_image()
                clear()
                good &= all([attempt(t) for t in wanted(WITH_DOCKER)])
        except NoDocker as e:
            print("skip image and compose: %s" % e)
    return 0 if good else 1


sys.exit(main(sys.argv[1:]))
