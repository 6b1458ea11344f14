# SPDX-License-Identifier: Apache-2.0
"""Nothing leaves but to the configured upstreams, proven by the kernel: the program runs in a network namespace with
nothing but loopback (fence.py), where every packet for elsewhere, sent or only tried, is counted.

Skipped, with the reason, where no namespace can be made.
"""
import glob
import json
import os
import subprocess
import sys

import pytest

import fence
from harness import DOORS, TOP, Router, Standin, first_of

HERE = os.path.dirname(os.path.abspath(__file__))
FENCE = os.path.join(HERE, "fence.py")


def fenced(*command, timeout=600, **more):
    done = subprocess.run([sys.executable, FENCE, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, **more)
    if done.returncode == fence.NOT_PERMITTED:
        pytest.skip(done.stderr.strip())
    return done


def in_fence(*arguments):
    """This file as a program, inside."""
    return fenced(sys.executable, os.path.abspath(__file__), *arguments, cwd=HERE)


def test_the_fence_counts_who_tries():
    """The measure itself: else zero would prove nothing."""
    code = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "try:\n    s.sendto(b'x', ('192.0.2.1', 9))\nexcept OSError:\n    pass\n")
    assert fenced(sys.executable, "-c", code).returncode == fence.TRIED
    assert fenced(sys.executable, "-c", "pass").returncode == 0


@pytest.mark.parametrize("setting", ["airgap", "mode", "local"])
def test_behind_a_fence_not_one_packet_is_tried(setting):
    """Every door, probes, a reload and every command, with a cloud provider configured but ruled out."""
    done = in_fence(setting)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cloud_provider_is_what_would_be_tried():
    """The same with the cloud allowed: the probe alone is counted."""
    assert in_fence("hybrid").returncode == fence.TRIED


def test_the_suite_runs_without_a_network():
    """Scenarios, and the part of the peer tests that is about staying at home."""
    scenario = first_of(os.path.join(TOP, "build/asan/test/scenario/scenario"))
    if scenario is None:
        pytest.skip("no scenario program: ./dev build asan")
    done = fenced(scenario, *sorted(glob.glob(os.path.join(TOP, "test/scenario/*.scn"))))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    done = fenced(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE, "-k",
                  "(test_leak and (healthy or data)) or (test_operations and (private or airgap)) or "
                  "(test_cli and fence)", cwd=TOP)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


# ---- inside ----


def use_everything(setting):
    home = Standin()
    router = None
    try:
        providers = {"near": {"kind": "openai", "url": home.url + "/v1"},
                     "near2": {"kind": "ollama", "url": home.url}}
        extra = {"airgap": {"airgap": True}, "mode": {"mode": "local"}, "local": {}, "hybrid": {}}[setting]
        if setting != "local":
            providers["far"] = {"kind": "openai", "url": "http://192.0.2.1:80/v1", "zone": "cloud", "models": ["far"]}
        router = Router({"providers": providers, "roles": {"general": ["near/demo", "near2/demo"]}, **extra})
        router.wait_up("near", "near2")
        for door in DOORS:
            for stream in (False, True):
                assert router.chat(door, "general", stream, prompt="Explain the 80-hour rule.").status == 200
                router.chat(door, "far/far", stream, prompt="MRN 00481516 was admitted")
        router.ask("POST", "/v1/embeddings", {"model": "near/demo", "input": "x"})
        router.ask("POST", "/api/show", {"model": "demo"})
        router.ask("POST", "/api/pull", {"model": "demo"})
        for path in ("/readyz", "/metrics", "/router/providers", "/router/models", "/v1/models", "/api/tags"):
            router.ask("GET", path)
        router.reconfigure(deadline="1m")
        router.signal(1)
        for words in (["doctor"], ["models"], ["explain", "Hi"], ["check"], ["keys", "list"]):
            router.command(*words)
        router.stop()
    finally:
        if router is not None:
            router.kill()
        home.close()


if __name__ == "__main__":
    use_everything(sys.argv[1])
    print(json.dumps({"attempts": fence.attempts()}))
