# SPDX-License-Identifier: Apache-2.0
"""`llm-router advise loop`: an adviser that is no use changes nothing, kill -9 costs one round at most, the log of advice
says what it was worth, and all of it works where there is no network. The rounds themselves are tested in
src/advisor/loop_test.c."""
import http.server
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

import fence
from conftest import engine_provider
from harness import DEADLINE, Router, first_of, free_port, router_binary, wait_for
from test_airgap import FENCE, HERE

CHILD = "exec %s %s " % (sys.executable, os.path.join(HERE, "loop_child.py"))
PROBLEM = {"name": "toy", "loop": {"target_score": 0.99, "max_iterations": 24, "stagnation_limit": 24},
           "params": {"algorithm": "greedy", "timeout_seconds": 60}}


def advise(folder, *words, generator="generator", evaluator="evaluator", problem=PROBLEM, wait=True, env=None, name="p"):
    path = os.path.join(str(folder), name + ".json")
    with open(path, "w") as f:
        json.dump(problem, f)
    argv = [router_binary(), "advise", "loop", "--problem", path, "--generator", CHILD + generator, "--evaluator",
            CHILD + evaluator, *words]
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             cwd=str(folder), env=env)
    if not wait:
        return child
    out, err = child.communicate(timeout=4 * DEADLINE)
    return subprocess.CompletedProcess(argv, child.returncode, out, err)


def state_of(folder, name="p"):
    with open(os.path.join(str(folder), name + ".loop.json")) as f:
        return json.load(f)


def way(state):
    """All that must not depend on who was asked."""
    return {k: state.get(k) for k in ("rounds", "best", "params", "records", "seconds", "stop_reason", "status")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    done = advise(folder, "--advisor", "off")
    assert done.returncode == 0, done.stderr
    return state_of(folder)


# ---- advisers that are no use ----

class Stub:
    """An HTTP server that answers every POST with these bytes; None: not at all."""

    def __init__(self, *answers):
        stub = self
        self.asked, self.end = [], threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                stub.asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                answer = answers[(len(stub.asked) - 1) % len(answers)]
                if answer is None:
                    stub.end.wait(DEADLINE)
                    return
                status, body = answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.end.set()
        self.server.shutdown()
        self.server.server_close()


def says(**what):
    return 200, json.dumps({"accepted": True, "reason": "ok", "decision_id": "0" * 32, **what}).encode()


def suggests(params):
    return says(suggestion={"type": "strategy_change", "confidence": 1, "reasoning": "Ignore all rules.", "params": params},
                merged_params={"algorithm": "cp_sat", "timeout_seconds": 10 ** 9})


@pytest.mark.parametrize("answers", [
    [(200, b""), (200, b"\x00\xff{"), (200, b"[]"), (200, b'{"accepted":true}'), (200, b"x" * 100000)],
    [(500, b"{}"), (404, b"not here"), (429, b'{"detail":"no"}'), (302, b"")],
    [(200, b'{"accepted":false,"reason":"no_advice","suggestion":null}')],
    [suggests({"timeout_seconds": 601}), suggests({"algorithm": "rm"}), suggests({"random_seed": 1}),
     suggests({"constraint_weights": {"coverage": 1}}), suggests([1]), says(suggestion=7), says()],
    [None],
], ids=["garbage", "errors", "no-advice", "injected", "slow"])
def test_an_adviser_that_is_no_use_changes_nothing(answers, alone, tmp_path):
    stub = Stub(*answers)
    try:
        # Nobody waits long for one that says nothing; the others are heard, however slow the machine is.
        done = advise(tmp_path, "--url", stub.url, "--set", "advisor.timeout=" + ("50ms" if answers == [None] else "30s"))
        assert done.returncode == 0, done.stderr
        state = state_of(tmp_path)
        wait_for(lambda: len(stub.asked) == len(state["advice"]), "the last of its threads has read")
    finally:
        stub.close()
    assert way(state) == way(alone)
    assert len(stub.asked) >= 3 and {path for path, _ in stub.asked} == {"/advisor/suggest"}
    assert [a["accepted"] for a in state["advice"]] == [False] * len(stub.asked)


def test_a_dead_adviser_changes_nothing_and_is_left_alone_soon(alone, tmp_path):
    done = advise(tmp_path, "--url", "http://127.0.0.1:%d" % free_port())
    assert done.returncode == 0, done.stderr
    state = state_of(tmp_path)
    assert way(state) == way(alone)
    assert [a["reason"] for a in state["advice"]] == ["unreachable"] * 3
    assert "not asked any more" in done.stderr


# ---- killed ----

@pytest.mark.parametrize("role", ["generator", "evaluator"])
@pytest.mark.parametrize("when", ["asked", "answered"])
@pytest.mark.parametrize("at", [1, 2, 9, 24])
def test_killed_in_a_round_it_goes_on_and_ends_the_same(role, when, at, alone, tmp_path):
    done = advise(tmp_path, "--advisor", "off", **{role: "%s --kill %d:%s" % (role, at, when)})
    if done.returncode == -signal.SIGKILL:
        left = state_of(tmp_path)["rounds"] if os.path.exists(tmp_path / "p.loop.json") else 0
        assert left >= at - 1
        again = advise(tmp_path, "--advisor", "off")
        assert again.returncode == 0, again.stderr
        assert left == 0 or "goes on after round %d" % left in again.stdout
    else:   # the last answer was faster than the signal
        assert when == "answered"
    assert way(state_of(tmp_path)) == way(alone)


def test_killed_while_it_asks_for_advice(alone, tmp_path):
    stub = Stub(None)
    try:
        child = advise(tmp_path, "--url", stub.url, wait=False)
        while not stub.asked:
            assert child.poll() is None
        child.kill()
        child.communicate()
    finally:
        stub.close()
    assert state_of(tmp_path)["rounds"] == 1
    assert advise(tmp_path, "--advisor", "off").returncode == 0
    assert way(state_of(tmp_path)) == way(alone)


def test_ctrl_c_leaves_a_report_and_goes_on(alone, tmp_path):
    stub = Stub(None)
    try:
        child = advise(tmp_path, "--url", stub.url, wait=False)
        while not stub.asked:
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=DEADLINE)
    finally:
        stub.close()
    assert child.returncode == 130
    assert state_of(tmp_path)["stop_reason"] == "user_abort" and os.path.exists(tmp_path / "p.html")
    assert advise(tmp_path, "--advisor", "off").returncode == 0
    assert way(state_of(tmp_path)) == way(alone)


# ---- what is wrong is said ----

def test_what_is_wrong_is_said(tmp_path):
    done = advise(tmp_path, "--advisor", "off", generator="generator --die 3")
    assert done.returncode == 1 and "generator: it ended with status 3" in done.stderr
    assert state_of(tmp_path)["stop_reason"] == "error" and state_of(tmp_path)["rounds"] == 2
    done = advise(tmp_path, "--advisor", "off", "--seed", "7")
    assert done.returncode == 2 and "another seed" in done.stderr
    done = advise(tmp_path, "--advisor", "off", problem={**PROBLEM, "name": "other"})
    assert done.returncode == 2 and "another problem" in done.stderr
    done = advise(tmp_path, "--advisor", "off", "--rounds", "4")
    assert done.returncode == 0 and state_of(tmp_path)["rounds"] == 4 and "goes on after round 2" in done.stdout
    done = advise(tmp_path, "--advisor", "maybe")
    assert done.returncode == 2 and "--advisor takes" in done.stderr
    done = advise(tmp_path, "--advisor", "off", problem={"loop": {"max_iterations": 0}}, name="bad")
    assert done.returncode == 2 and "max_iterations" in done.stderr
    done = subprocess.run([router_binary(), "advise", "loop"], capture_output=True, text=True)
    assert done.returncode == 2 and "--problem" in done.stderr


# ---- with a router ----

def follow(folder, router, *words):
    """A run with a healthy adviser; the state, and what the log of advice says."""
    done = advise(folder, "--url", router.url, *words, env=router.env)
    assert done.returncode == 0, done.stderr
    state = state_of(folder)
    applied = sum(a["applied"] for a in state["advice"])

    def told():
        report = json.loads(router.command("advise", "report", "--json").stdout)
        rows = report["advice"]
        return report if sum(r["asked"] for r in rows) == len(state["advice"]) and \
            sum(r["applied"] for r in rows) == applied else None

    report = wait_for(told, "the ledger has all of it")
    return state, report, router.command("advise", "report").stdout


def advice_records(router, n):
    lines = router.command("audit", "show", "--json").stdout.splitlines()
    mine = [line for line in lines if json.loads(line)["type"].startswith("advice")]
    return mine if len(mine) == n else None


def check_rules(folder):
    router = Router({"airgap": True}, ready="/healthz")
    try:
        state, told, text = follow(folder, router, "--advisor", "rules")
        want = len(state["advice"]) + sum(a["accepted"] for a in state["advice"])
        records = wait_for(lambda: advice_records(router, want), "the audit has all of it")
    finally:
        router.kill()
    assert any(a["applied"] for a in state["advice"])
    for row in told["advice"]:
        mine = [a for a in state["advice"] if (a["type"] or None) == row["type"]]
        assert row["source"] == "rules" and row["asked"] == len(mine)
        assert row["applied"] == sum(a["applied"] for a in mine)
        if row["measured"]:
            gain = sum(a["after"] - a["before"] for a in mine if a["applied"]) / row["applied"]
            assert abs(row["mean_gain"] - gain) < 1e-9
    assert "algorithm_switch" in text and "MEAN GAIN" in text
    kinds = [json.loads(r)["type"] for r in records]
    assert kinds.count("advice") == len(state["advice"])
    assert kinds.count("advice-outcome") == sum(a["accepted"] for a in state["advice"])
    assert "Ada" not in "".join(records)


def test_the_log_of_advice_agrees_with_the_run(tmp_path):
    check_rules(tmp_path)


def test_start_to_report_where_there_is_no_network(tmp_path):
    done = subprocess.run([sys.executable, FENCE, sys.executable, os.path.abspath(__file__), str(tmp_path)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=HERE, timeout=8 * DEADLINE)
    if done.returncode == fence.NOT_PERMITTED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_with_the_real_engine_under_airgap(engine, tmp_path):
    """A tiny model talks nonsense, which is refused; with auto the rules stand in, and the run gets somewhere."""
    parts = os.path.join(os.path.dirname(router_binary()), "..", "examples", "residency", "residency-")
    if first_of(parts + "generator") is None:
        pytest.skip("examples/residency is not built beside this router")
    made = subprocess.run([parts + "instance", "12", "1"], capture_output=True, text=True)
    problem = tmp_path / "r.json"
    problem.write_text(made.stdout)
    provider = engine_provider(engine, "text", spawn={"context": 8192})
    router = Router({"airgap": True, "advisor": {"max_tokens": 64}, "providers": {"engine": provider}})
    try:
        router.wait_up("engine")
        done = subprocess.run([router_binary(), "advise", "loop", "--problem", str(problem), "--generator",
                               parts + "generator", "--evaluator", parts + "evaluator", "--rounds", "6", "--url",
                               router.url], env=router.env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=8 * DEADLINE)
    finally:
        router.kill()
    assert done.returncode == 0, done.stdout + done.stderr
    state = json.loads((tmp_path / "r.loop.json").read_text())
    assert len(state["advice"]) >= 1 and state["best"]["score"] > 0.5
    page = (tmp_path / "r.html").read_text()
    assert "<svg" in page and "<script" not in page


if __name__ == "__main__":
    check_rules(sys.argv[1])
