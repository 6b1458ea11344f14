# SPDX-License-Identifier: Apache-2.0
"""Our client of tool servers, judged by the official conformance suite of MCP, both eras.

    0.1.13          the last suite that knows only the revisions up to 2025-11-25: all its client scenarios
    0.2.0-alpha.12  the frozen lists of what 2025-11-25 and 2026-07-28 require of a client

The client is test/mcp/mcp_client.c: the router's own code, connecting as the router does. A scenario that ends well
with nothing checked is a failure here: the suite lets a client pass that never spoke.
"""
import glob
import json
import os
import re
import subprocess

import pytest

import harness

MODULES = os.path.join(harness.TOP, "build", "node", "node_modules")
OLD, NEW = (os.path.join(MODULES, "mcp-conformance-%d" % n) for n in (1, 2))

# A scenario that cannot be passed by a client that keeps to the standard, and why.
WAIVED = {
    (OLD, "auth/metadata-var2"): "its server names another issuer than the one asked (RFC 8414, 3.3)",
    (OLD, "auth/metadata-var3"): "its server names another issuer than the one asked (RFC 8414, 3.3)",
    (OLD, "auth/client-credentials-jwt"): "signed statements in place of a secret: an extension we do not have",
}

OLD_SCENARIOS = """
    initialize tools_call elicitation-sep1034-client-defaults sse-retry
    auth/metadata-default auth/metadata-var1 auth/metadata-var2 auth/metadata-var3 auth/basic-cimd
    auth/scope-from-www-authenticate auth/scope-from-scopes-supported auth/scope-omitted-when-undefined
    auth/scope-step-up auth/scope-retry-limit
    auth/token-endpoint-auth-basic auth/token-endpoint-auth-post auth/token-endpoint-auth-none
    auth/resource-mismatch auth/pre-registration
    auth/2025-03-26-oauth-metadata-backcompat auth/2025-03-26-oauth-endpoint-fallback
    auth/client-credentials-jwt auth/client-credentials-basic""".split()


def required(revision):
    """The scenarios of a client that the suite's frozen list names."""
    path = os.path.join(NEW, "requirements", revision + ".yaml")
    if not os.path.exists(path):
        return []
    found, ours = [], False
    with open(path) as f:
        for line in f:
            if re.match(r"\w+:", line):
                ours = line.startswith("client:")
            row = re.match(r"  - (\S+)$", line)
            if ours and row:
                found.append(row.group(1))
    return found


def mcp_client():
    build = os.path.dirname(os.path.dirname(harness.router_binary() or ""))
    return harness.first_of(os.path.join(build, "test", "mcp", "mcp_client"),
                            os.path.join(harness.TOP, "build/asan/test/mcp/mcp_client"))


def run(suite, scenario, revision, tmp_path):
    node, client = harness.node_binary(), mcp_client()
    if not os.path.exists(suite) or node is None:
        pytest.skip("the conformance suite is not here: ./dev setup test brings it")
    if client is None:
        pytest.skip("no mcp_client is built")
    env = {**os.environ, **harness.SANITIZERS, "HOME": str(tmp_path)}
    argv = [node, os.path.join(suite, "dist", "index.js"), "client", "--command", client, "--scenario", scenario,
            "-o", str(tmp_path)]
    if revision:
        argv += ["--spec-version", revision]
    ended = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True,
                           timeout=4 * harness.DEADLINE)
    checks = []
    for path in glob.glob(str(tmp_path / "**" / "checks.json"), recursive=True):
        with open(path) as f:
            checks += json.load(f)
    return ended, [c["status"] for c in checks]


def judge(suite, scenario, revision, tmp_path):
    ended, verdicts = run(suite, scenario, revision, tmp_path)
    said = ended.stdout + ended.stderr
    assert not harness.REPORT.search(said), said
    assert ended.returncode == 0 and "FAILURE" not in verdicts, said
    assert verdicts.count("SUCCESS") > 0, "nothing was checked\n" + said


@pytest.mark.parametrize("scenario", OLD_SCENARIOS)
def test_the_suite_of_the_legacy_era(scenario, tmp_path):
    if (OLD, scenario) in WAIVED:
        pytest.skip(WAIVED[OLD, scenario])
    judge(OLD, scenario, None, tmp_path)


@pytest.mark.parametrize("scenario", required("2025-11-25"))
def test_what_2025_11_25_requires(scenario, tmp_path):
    judge(NEW, scenario, "2025-11-25", tmp_path)


@pytest.mark.parametrize("scenario", required("2026-07-28"))
def test_what_2026_07_28_requires(scenario, tmp_path):
    judge(NEW, scenario, "2026-07-28", tmp_path)


def test_the_lists_are_whole():
    """A list that is not found must not look like one that is empty."""
    if not os.path.exists(NEW):
        pytest.skip("the conformance suite is not here: ./dev setup test brings it")
    assert (len(OLD_SCENARIOS), len(required("2025-11-25")), len(required("2026-07-28"))) == (23, 18, 32)
