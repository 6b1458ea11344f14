# SPDX-License-Identifier: Apache-2.0
"""Coding agents, unmodified, with a local provider: they write a file because the model told them to.

The stand-in plays the model: where tools are offered it calls one of them, and once the result is there it says so. So
each agent goes its whole way: its own system prompt and dozens of tools, a streamed call, the work, the result, an end.

Qwen Code comes with the other npm clients. The others are large (Claude Code 364 MB, Codex 404 MB), so ./dev test does not
fetch them; this file's README says how.
"""
import json
import os
import subprocess

import pytest

from harness import TOP, first_of, node_binary

AGENTS = os.environ.get("AGENTS") or os.path.join(TOP, "build", "agents")
KINDS = ["openai", "anthropic", "ollama"]
SAID = "Hello from the agent\n"


def installed(path):
    return first_of(*(os.path.join(place, "node_modules", path)
                      for place in (AGENTS, os.path.join(TOP, "build", "node"))))


def claude(url, home, target):
    """Claude Code: Anthropic's dialect, streamed, thinking and cache marks in every request."""
    program = installed("@anthropic-ai/claude-code-linux-x64/claude")
    env = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none", "ANTHROPIC_MODEL": "claude-demo",
           "ANTHROPIC_SMALL_FAST_MODEL": "claude-demo", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
           "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1"}
    call = ("Write", {"file_path": target, "content": SAID})
    return program, [program, "-p", "Write hello.txt", "--allowedTools", "Write"], env, call


def codex(url, home, target):
    """OpenAI's Codex: Responses, streamed. Its tools that run at OpenAI are off: nobody else can run them."""
    program = installed("@openai/codex/bin/codex.js")
    os.makedirs(os.path.join(home, ".codex"))
    with open(os.path.join(home, ".codex", "config.toml"), "w") as f:
        f.write('model = "gpt-demo"\nmodel_provider = "router"\nweb_search = "disabled"\n'
                '[features]\nmulti_agent = false\n'
                '[model_providers.router]\nname = "router"\nbase_url = "%s/v1"\nenv_key = "KEY"\n'
                'wire_api = "responses"\n[analytics]\nenabled = false\n' % url)
    call = ("exec_command", {"cmd": "printf '%s\\n' '" + SAID.strip() + "' > hello.txt"})
    return program, [node_binary(), program, "exec", "--skip-git-repo-check",
                     "--dangerously-bypass-approvals-and-sandbox", "Write hello.txt"], {"KEY": "none"}, call


def qwen(url, home, target):
    """Qwen Code: chat completions."""
    program = installed("@qwen-code/qwen-code/cli-entry.js")
    env = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": url + "/v1", "OPENAI_MODEL": "gpt-demo"}
    call = ("write_file", {"file_path": target, "content": SAID})
    return program, [node_binary(), program, "-p", "Write hello.txt", "--yolo", "--auth-type", "openai"], env, call


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("agent", [claude, codex, qwen], ids=lambda a: a.__name__)
def test_a_coding_agent_completes_a_task(router, standin, tmp_path, agent, kind):
    behind = standin("--strict")
    r = router({"providers": {kind: {"kind": kind, "url": behind.url, "zone": "local"}},
                "aliases": {"claude-*": [kind + "/demo"], "gpt-*": [kind + "/demo"]}}).wait_up()
    work = tmp_path / "work"
    work.mkdir()
    target = work / "hello.txt"
    program, argv, more, (name, arguments) = agent(r.url, str(tmp_path), str(target))
    if program is None:
        pytest.skip("%s is not in %s" % (agent.__name__, AGENTS))
    behind.control(rules=[{"n": -1, "call": 1, "call_name": name, "call_args": json.dumps(arguments)}])
    env = {"PATH": os.path.dirname(node_binary() or "") + ":/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    done = subprocess.run(argv, env={**env, **more}, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:] + r.log_text()[-2000:]
    assert target.read_text() == SAID
    assert "result " in done.stdout, "what the model said at the end: " + done.stdout
    asked = [q for q in behind.requests() if name in q["body"]]
    assert len(asked) >= 2, "one turn for the call, one for its result"
