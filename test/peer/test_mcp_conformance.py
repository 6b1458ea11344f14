# SPDX-License-Identifier: Apache-2.0
"""The official MCP conformance suite against /mcp: every scenario that a revision requires of a server.

What the suite looks for (tools named test_simple_text and so on) is offered by test/mcp/fixtures_server.py, which
the router starts as any configured server and offers under its own names (prefix: false). So the suite judges what the
gateway makes of content, progress, log messages, questions and states.

An empty pass is none: each scenario must have at least one check that succeeded.
"""
import json
import os
import re
import subprocess
import sys

import pytest

from harness import TOP, ask, wait_for

MODERN, LEGACY = "2026-07-28", "2025-11-25"
FIXTURES = os.path.join(TOP, "test", "mcp", "fixtures_server.py")
MODULES = os.environ.get("MCP_MODULES", os.path.join(TOP, "build", "node", "node_modules"))
ALPHA = os.path.join(MODULES, "mcp-conformance-2")      # 0.2.0-alpha.12
FIRST = os.path.join(MODULES, "mcp-conformance-1")      # 0.1.13
COUNTED = {}    # scenario -> (passed, failed, warned); printed at the end


def required(revision):
    """Names under `server:` in the suite's own frozen list."""
    path = os.path.join(ALPHA, "requirements", revision + ".yaml")
    if not os.path.exists(path):
        pytest.skip("no conformance suite in build/node: ./dev test installs it")
    names, inside = [], False
    with open(path) as f:
        for line in f:
            if not line.startswith((" ", "#", "\n")):
                inside = line.startswith("server:")
            elif inside and line.startswith("  - "):
                names.append(line[4:].strip())
    assert len(names) >= 30
    return names


def offering(module_router, era):
    """A router that offers the fixtures, which speak this era to it."""
    if not os.path.isdir(ALPHA):
        pytest.skip("no conformance suite in build/node: ./dev test installs it")
    r = module_router({"providers": {}, "mcp_servers": {
        "fixtures": {"command": [sys.executable, FIXTURES, "--era", era], "prefix": False,
                     "rules": ["*=read,none,auto"]}}}, ready=None)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}

    def offered():
        reply = ask(r.port, "POST", "/mcp", body, {"Content-Type": "application/json"})
        return reply.status == 200 and "test_simple_text" in reply.text
    wait_for(offered, "the fixtures are offered")
    return r


@pytest.fixture(scope="module")
def of_modern(module_router):
    return offering(module_router, "modern")


@pytest.fixture(scope="module")
def of_legacy(module_router):
    return offering(module_router, "legacy")


def run(node, suite, r, scenario, out, *flags):
    """(passed, failed, warned) of one scenario, and what was said."""
    done = subprocess.run([node, os.path.join(suite, "dist", "index.js"), "server", "--url",
                           "http://127.0.0.1:%d/mcp" % r.port, "--scenario", scenario, "-o", str(out), *flags],
                          cwd=str(out), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    found = []
    for folder, _, files in os.walk(str(out)):
        if "checks.json" in files:
            with open(os.path.join(folder, "checks.json")) as f:
                found += json.load(f)
    count = [sum(c["status"] == status for c in found) for status in ("SUCCESS", "FAILURE", "WARNING")]
    said = "\n".join("%s %s: %s" % (c["status"], c["id"], c.get("errorMessage")) for c in found
                     if c["status"] not in ("SUCCESS", "INFO"))
    return (*count, done.returncode, said + done.stderr[-500:])


def judge(title, scenario, result):
    passed, failed, warned, status, said = result
    COUNTED.setdefault(title, {})[scenario] = (passed, failed, warned)
    assert passed >= 1 and failed == 0 and status == 0, said


def pytest_generate_tests(metafunc):
    if "required_of" in metafunc.fixturenames:
        cases = []
        for revision in LEGACY, MODERN:
            try:
                cases += [(revision, name) for name in required(revision)]
            except pytest.skip.Exception:
                cases.append((revision, None))
        metafunc.parametrize("required_of", cases, ids=["%s-%s" % case for case in cases])


def test_what_a_revision_requires(required_of, of_modern, of_legacy, node, tmp_path):
    revision, scenario = required_of
    if scenario is None:
        pytest.skip("no conformance suite in build/node: ./dev test installs it")
    r = of_legacy if scenario in NEEDS_LEGACY else of_modern
    for attempt in range(3 if scenario in RACES else 1):
        out = tmp_path / str(attempt)
        out.mkdir()
        result = run(node, ALPHA, r, scenario, out, "--spec-version", revision)
        if result[1] == 0:
            break
    judge(revision, scenario, result)


# Subscriptions to single resources are passed on to servers that have them as requests of their own.
NEEDS_LEGACY = {"resources-subscribe", "resources-unsubscribe"}
# The suite's own client tells of progress one turn later than of the result, and forgets who wanted it with the result:
# what comes in one piece with the result, as it does on a busy machine, it never tells.
RACES = {"tools-call-with-progress"}
# Where the server itself asks by requests, the way through the router is another.
BY_REQUEST = ["tools-call-sampling", "tools-call-elicitation", "elicitation-sep1034-defaults", "elicitation-sep1330-enums",
              "tools-call-with-logging", "tools-call-with-progress", "tools-call-simple-text", "prompts-get-with-args"]


@pytest.mark.parametrize("scenario", BY_REQUEST)
def test_a_legacy_server_behind_it(scenario, of_legacy, node, tmp_path):
    required(LEGACY)
    judge("legacy behind", scenario, run(node, ALPHA, of_legacy, scenario, tmp_path, "--spec-version", LEGACY))


def test_the_older_suite(of_legacy, node, tmp_path):
    """0.1.13 in one run: all its server scenarios."""
    if not os.path.exists(FIRST):
        pytest.skip("no conformance suite 0.1.13 in build/node: ./dev test installs it")
    done = subprocess.run([node, os.path.join(FIRST, "dist", "index.js"), "server", "--url",
                           "http://127.0.0.1:%d/mcp" % of_legacy.port, "--suite", "active"],
                          cwd=str(tmp_path), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    counts = re.findall(r"^\S+ (\S+): (\d+) passed, (\d+) failed", done.stdout, re.M)
    assert len(counts) >= 30, done.stdout[-3000:]
    for scenario, passed, failed in counts:
        judge("0.1.13", scenario, (int(passed), int(failed), 0, 0, scenario))


def test_the_numbers(capsys):
    """Printed for the README; not a test of anything but that something was counted."""
    with capsys.disabled():
        for title, scenarios in COUNTED.items():
            sums = [sum(column) for column in zip(*scenarios.values())]
            print("\nconformance, server, %s: %d scenarios; checks %d passed, %d failed, %d warnings"
                  % (title, len(scenarios), *sums))
