# SPDX-License-Identifier: Apache-2.0
"""The official example server as a child of ours: started, listed, told apart from one that cannot start, and gone."""
import json
import os
import subprocess

from harness import DEADLINE, TOP, node_binary, router_binary

EVERYTHING = os.path.join(TOP, "build/node/node_modules/@modelcontextprotocol/server-everything/dist/index.js")


def mcp(folder, *words, **servers):
    config = os.path.join(str(folder), "llm-router.yaml")
    with open(config, "w", encoding="utf-8") as f:
        json.dump({"listen": ["127.0.0.1:0"], "providers": {"e": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}},
                   "mcp_servers": servers}, f)
    done = subprocess.run([router_binary(), "mcp", *words, "-c", config], capture_output=True, timeout=DEADLINE,
                          cwd=str(folder), text=True)
    return done.returncode, done.stdout, done.stderr


def test_its_tools_are_listed(tmp_path):
    everything = {"command": [node_binary(), EVERYTHING, "stdio"]}
    status, out, err = mcp(tmp_path, "list", everything=everything)
    assert status == 0 and "ready" in out and "2025-11-25" in out, out + err
    status, out, err = mcp(tmp_path, "tools", everything=everything)
    assert status == 0, out + err
    for name in ("everything__echo", "everything__get-sum", "everything__simulate-research-query"):
        assert name in out, out


def test_a_broken_neighbour_hides_nothing(tmp_path):
    status, out, err = mcp(tmp_path, "check", everything={"command": [node_binary(), EVERYTHING, "stdio"]},
                           broken={"command": [node_binary(), "-e", "console.error('no such module');process.exit(1)"]})
    assert status == 3, out + err
    assert "everything: ready" in out and "no such module" in out, out
