# SPDX-License-Identifier: Apache-2.0
"""The command line: what each command prints and where, its exit status, and that it leaves nothing behind."""
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import time

import pytest

from conftest import engine_provider
from harness import DEADLINE, REPORT, SENTENCE, free_port, router_binary, wait_for

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err
        assert not REPORT.search(err), err

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return "<%d out=%r err=%r>" % (self.status, self.out, self.err)


def environment(router, env):
    return {**{k: v for k, v in router.env.items() if not k.startswith("LLM_ROUTER_")}, **(env or {})}


def cli(router, command, *words, input=b"", env=None, config=True):
    """A command beside a router, with its configuration; the port it really serves on is given to what asks it."""
    argv = [router_binary(), command, *(["-c", router.path] if config else []), *words]
    if command in ("ask", "health") and router.port and "--url" not in words and "LLM_ROUTER_URL" not in (env or {}):
        argv[2:2] = ["--url", "http://127.0.0.1:%d" % router.port]
    done = subprocess.run(argv, env=environment(router, env), cwd=router.dir, input=input, capture_output=True,
                          timeout=DEADLINE)
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def on_terminal(router, *argv, env=None):
    """Standard output and error are terminals of their own; (status, output, errors)."""
    ends = [pty.openpty(), pty.openpty()]
    child = subprocess.Popen([router_binary(), *argv], env=environment(router, env), cwd=router.dir,
                             stdin=subprocess.DEVNULL, stdout=ends[0][1], stderr=ends[1][1])
    for _, theirs in ends:
        os.close(theirs)
    texts = {ours: b"" for ours, _ in ends}
    reading = set(texts)
    end = time.monotonic() + DEADLINE
    while reading:
        ready, _, _ = select.select(list(reading), [], [], max(0, end - time.monotonic()))
        assert ready, "the command hangs"
        for fd in ready:
            try:
                data = os.read(fd, 65536)
            except OSError:         # a terminal's other end is gone
                data = b""
            texts[fd] += data
            if not data:
                reading.discard(fd)
    status = child.wait(DEADLINE)
    for fd in texts:
        os.close(fd)
    return (status, *(texts[ours].decode().replace("\r\n", "\n") for ours, _ in ends))


@pytest.fixture(scope="module")
def upstream(module_standin):
    return module_standin("--models", "demo,other")


def configuration(upstream, **more):
    return {"providers": {"oai": {"kind": "openai", "url": upstream.url + "/v1"},
                          "oll": {"kind": "ollama", "url": upstream.url}},
            "roles": {"general": ["oai/demo", "oll/demo"], "spare": ["oll/nothere", "oll/demo"]},
            "aliases": {"claude-*": ["general"]}, **more}


@pytest.fixture(scope="module")
def served(module_router, upstream):
    return module_router(configuration(upstream)).wait_up()


@pytest.fixture(autouse=True)
def as_built_in(upstream):
    yield
    upstream.reset()
    upstream.control(models="demo,other")


@pytest.fixture
def idle(router, upstream):
    """A configuration, and nobody who serves it."""
    return lambda **more: router(configuration(upstream, **more), start=False)


@pytest.fixture
def fresh(router, upstream):
    """A router that may remember failures: it ends with the test."""
    return router(configuration(upstream)).wait_up()


# ---- the program ---------------------------------------------------------------------------------


def test_help_and_version_go_to_standard_output(served):
    for words in (["help"], ["--help"], ["-h"], ["help", "ask"], ["ask", "--help"], ["version"], ["--version"]):
        r = cli(served, *words, config=False)
        assert r.status == 0 and r.out and not r.err, (words, r)
    assert cli(served, "version", "--json", config=False).json["version"]


@pytest.mark.parametrize("words", [
    [], ["nonsense"], ["help", "nonsense"], ["manpage", "nonsense"], ["ask", "--nonsense"], ["ask", "-Z"],
    ["check", "word"], ["keys"], ["keys", "nonsense"], ["keys", "add"], ["keys", "list", "x"], ["explain"],
    ["ask", "one", "two"], ["ask", "--max-tokens", "0", "x"], ["ask", "--max-tokens", "many", "x"],
    ["ask", "--mode", "nonsense", "x"], ["ask", "--task", "nonsense", "x"], ["ask", "--url", "ftp://x", "x"],
    ["ask", "--url", "http://u:p@127.0.0.1:1", "x"], ["ask", "  "], ["ask", "--json=yes", "x"],
    ["keys", "add", ""], ["keys", "add", "x" * 64], ["keys", "add", "a\nb"], ["keys", "add", "x", "--rpm", "0"], ["keys", "add", "x", "--mode", "wide"],
    ["keys", "add", "x", "--expires", "2027-02-30"], ["keys", "list", "--rpm", "1"], ["keys", "edit", "k_1"], ["keys", "edit"],
    ["ask", "--model"],
])
def test_a_wrong_command_line_is_status_2_with_words_on_standard_error(served, words):
    r = cli(served, *(words or [""]), config=False)
    assert r.status == 2 and not r.out and r.err, r


def test_output_that_cannot_be_written_is_status_1(served):
    with open("/dev/full", "w") as full:
        for words in (["check", "-c", served.path], ["version"], ["manpage"],
                      ["ask", "--url", served.url, "Hi"], ["ask", "--url", served.url, "--json", "Hi"]):
            done = subprocess.run([router_binary(), *words], env=environment(served, None), cwd=served.dir,
                                  stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=DEADLINE)
            assert done.returncode == 1 and b"standard output" in done.stderr, (words, done)


# ---- check ---------------------------------------------------------------------------------------


def test_check_prints_what_it_can_read_again(served):
    first = cli(served, "check")
    assert first.status == 0 and not first.err and "oai" in first.out
    path = os.path.join(served.dir, "again.yaml")
    with open(path, "w") as f:
        f.write(first.out)
    again = cli(served, "check", "-c", path, config=False)
    assert again.status == 0 and not again.err, again

    def plain(text):
        return [line.partition(" #")[0].rstrip() for line in text.splitlines() if not line.startswith("#")]
    assert plain(again.out) == plain(first.out)


def test_the_sample_is_a_valid_file(served):
    sample = cli(served, "check", "--sample", config=False)
    assert sample.status == 0 and not sample.err
    path = os.path.join(served.dir, "sample.yaml")
    with open(path, "w") as f:
        f.write(sample.out)
    assert cli(served, "check", "-c", path, config=False).status == 0


def test_check_masks_secrets(idle):
    r = idle()
    r.config["providers"]["far"] = {"kind": "openai", "url": "https://far.example/v1", "zone": "cloud",
                                    "key_env": "FAR_KEY"}
    r.write(r.config)
    done = cli(r, "check", env={"FAR_KEY": "sk-very-secret-9"})
    assert done.status == 0 and "very-secret" not in done.out + done.err and "***" in done.out


def test_a_wrong_file_is_told_with_its_place(idle):
    r = idle()
    for text, line, word in (("listen: [ 127.0.0.1:1 ]\nnonsense: 1\n", 2, "nonsense"),
                             ("workers: many\n", 1, "workers"), ("listen: [\n", 2, "")):
        r.write(text)
        for command in ("check", "models", "doctor", "serve"):
            done = cli(r, command)
            assert done.status == 2 and not done.out, done
            assert re.search(r"\b%d\b" % line, done.err) and word in done.err, done
    assert cli(r, "check", "-c", "/nowhere.yaml", config=False).status == 2


def test_check_warns_of_an_address_that_serve_would_refuse(idle):
    r = idle(listen=["0.0.0.0:1"])
    done = cli(r, "check")
    assert done.status == 0 and "warning:" in done.err and "keys add" in done.err
    assert cli(r, "keys", "add", "one").status == 0
    assert not cli(r, "check").err


def test_flags_and_variables_win_over_the_file(idle):
    r = idle()
    done = cli(r, "check", "--set", "workers=3", "--set", "drain=7s", env={"LLM_ROUTER_WORKERS": "5"})
    assert done.status == 0 and re.search(r"^workers: 3 ", done.out, re.M) and "drain: 7s" in done.out
    assert cli(r, "check", "--set", "nonsense=1").status == 2


# ---- ask -----------------------------------------------------------------------------------------


def test_ask_prints_the_answer_and_nothing_else(served):
    r = cli(served, "ask", "Hi")
    assert (r.status, r.out, r.err) == (0, SENTENCE + "\n", "")


def test_ask_json_is_one_document(served):
    r = cli(served, "ask", "--json", "-m", "oll/other", "Hi")
    assert r.status == 0 and not r.err
    assert r.json["content"] == SENTENCE and r.json["provider"] == "oll" and r.json["model"].startswith("other")
    assert r.json["usage"]["output_tokens"] > 0 and r.json["metadata"]["route"]["request_id"]
    assert r.json["finish_reason"] == "stop"


@pytest.mark.parametrize("words, input, prompt", [
    (["Why?"], b"not read", "Why?"),
    ([], b"from input\n\n", "from input"),
    (["-"], "Café\n 2\n".encode(), "Café\n 2"),
    (["Why?", "-"], b"because\n", "Why?\n\nbecause"),
    (["-", "Why?"], b"because\n", "Why?\n\nbecause"),
    (["--", "--json"], b"", "--json"),
    (['q"\\\n\t\x01'], b"", 'q"\\\n\t\x01'),
])
def test_ask_sends_words_and_standard_input(served, upstream, words, input, prompt):
    assert cli(served, "ask", *words, input=input).status == 0
    sent = upstream.requests()[-1]["json"]
    assert [m["content"] for m in sent["messages"] if m["role"] == "user"] == [prompt]


def test_ask_sends_a_large_input_whole(served, upstream):
    text = "word " * 200000
    assert cli(served, "ask", "-", input=text.encode()).status == 0
    assert upstream.requests()[-1]["body_bytes"] > len(text)


def test_ask_refuses_what_is_no_text(served, upstream):
    assert cli(served, "ask", input=b"").status == 2
    assert cli(served, "ask", input=b" \n\t\n").status == 2
    assert cli(served, "ask", input=b"\xff\xfe").status == 2
    assert not upstream.requests()


def test_ask_passes_system_model_and_limit_on(served, upstream):
    assert cli(served, "ask", "-s", "Be brief.", "-m", "oai/other", "--max-tokens", "7", "Hi").status == 0
    sent = upstream.requests("/v1/chat/completions")[-1]["json"]
    assert sent["model"] == "other"
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert 7 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))


def test_ask_passes_hints_on(served):
    route = cli(served, "ask", "--json", "-p", "--mode", "local", "--task", "explanation", "Hi").json["metadata"]["route"]
    assert route["is_privacy_sensitive"] is True and route["task_type"] == "explanation"


def test_ask_finds_the_router(router, upstream):
    port = free_port()
    r = router(configuration(upstream, listen=["0.0.0.0:%d" % port], hosts=[]), start=False)
    assert cli(r, "keys", "add", "me").status == 0
    key = cli(r, "keys", "add", "--json", "two").json["key"]
    r.start()
    r.port, told = None, r.port     # cli() is not to name it
    assert told == port
    assert cli(r, "ask", "Hi", env={"LLM_ROUTER_KEY": key}).out == SENTENCE + "\n"
    env = {"LLM_ROUTER_URL": "http://127.0.0.1:%d/" % port, "LLM_ROUTER_KEY": key}
    assert cli(r, "ask", "Hi", env=env, config=False).out == SENTENCE + "\n"
    env["LLM_ROUTER_URL"] = "http://127.0.0.1:%d" % free_port()
    assert cli(r, "ask", "Hi", env=env).status == 3
    assert cli(r, "ask", "--url", "http://localhost:%d" % port, "Hi", env=env).out == SENTENCE + "\n"
    r.port = told


def test_ask_speaks_through_a_unix_socket(router, upstream):
    r = router(configuration(upstream), start=False)
    path = os.path.join(r.dir, "router.sock")
    r.reconfigure(listen=["unix:" + path])
    r.start()
    assert cli(r, "ask", "Hi").out == SENTENCE + "\n"


def test_ask_says_when_nobody_is_there(idle):
    r = idle()
    for url in ("http://127.0.0.1:%d" % free_port(), "unix:/nowhere.sock"):
        done = cli(r, "ask", "--url", url, "Hi")
        assert done.status == 3 and not done.out and "llm-router serve" in done.err, done


def test_ask_says_when_something_else_is_there(served, upstream):
    done = cli(served, "ask", "--url", upstream.url, "Hi")
    assert done.status == 3 and not done.out and "no llm-router" in done.err


def test_health_is_quiet_when_all_is_well(fresh):
    for words in ([], ["--ready"]):
        done = cli(fresh, "health", *words)
        assert done.status == 0 and not done.out and not done.err, done


def test_health_needs_no_key_and_tells_what_is_wrong(router, idle, upstream):
    done = cli(idle(), "health", "--url", "http://127.0.0.1:%d" % free_port())
    assert done.status == 3 and not done.out and done.err, done
    r = router(configuration(upstream, listen=["0.0.0.0:%d" % free_port()]), start=False)
    assert cli(r, "keys", "add", "me").status == 0
    r.start()
    assert cli(r, "health").status == 0 and cli(r, "health", "--ready").status == 0


def test_ask_says_why_it_was_refused(served):
    done = cli(served, "ask", "-m", "nothere", "Hi")
    assert done.status == 4 and not done.out
    assert "nothere" in done.err and "oai/demo" in done.err     # names that exist


def test_ask_tells_how_long_to_wait(fresh, upstream):
    upstream.control(default="status=429+retry_after=20")
    done = cli(fresh, "ask", "Hi")
    assert done.status == 4 and not done.out and "try again in" in done.err, done


@pytest.mark.parametrize("fault", ["cut=3", "reset=3", "error=3", "malformed=3", "cut_clean=3"])
def test_an_answer_that_breaks_off_is_told(fresh, upstream, fault):
    upstream.control(default=fault)
    done = cli(fresh, "ask", "-m", "oai/demo", "Hi")
    assert done.status == 1 and "broke off" in done.err, done
    assert done.out and SENTENCE.startswith(done.out.rstrip("\n")) and done.out.rstrip("\n") != SENTENCE
    assert done.out.endswith("\n")


def test_a_cut_answer_is_no_document(fresh, upstream):
    upstream.control(default="cut=3")
    done = cli(fresh, "ask", "--json", "-m", "oai/demo", "Hi")
    assert done.status in (1, 4) and not done.out and done.err


def start_ask(served, **more):
    return subprocess.Popen([router_binary(), "ask", "--url", served.url, "-m", "oai/demo", "Hi"],
                            env=environment(served, None), cwd=served.dir, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def read_some(child):
    assert select.select([child.stdout], [], [], DEADLINE)[0], "no text came"
    return os.read(child.stdout.fileno(), 4096)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_leaving_in_the_middle_ends_the_work_upstream(served, upstream, number):
    upstream.control(default="stall=2")
    child = start_ask(served)
    assert read_some(child)
    child.send_signal(number)
    out, err = child.communicate(timeout=DEADLINE)
    assert child.returncode == 128 + number and not REPORT.search(err.decode()) and out.endswith(b"\n")
    wait_for(lambda: upstream.stats()["aborted"] >= 1, "the upstream request is aborted")


def test_a_closed_pipe_ends_it(served, upstream):
    upstream.control(default="gap_ms=20+events=2000")
    child = start_ask(served)
    assert read_some(child)
    child.stdout.close()
    assert child.wait(DEADLINE) == 1
    assert child.stderr.read() == b""
    child.stderr.close()
    wait_for(lambda: upstream.stats()["aborted"] >= 1, "the upstream request is aborted")


def test_the_answer_appears_as_it_comes(served, upstream):
    upstream.control(default="stall=1")
    child = start_ask(served)
    text = read_some(child).decode()
    assert text and SENTENCE.startswith(text)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=DEADLINE)


def test_a_model_cannot_steer_the_terminal(served, upstream):
    upstream.control(default="words=odd+events=40")
    piped = cli(served, "ask", "-m", "oai/demo", "Hi").out
    assert CONTROL.search(piped), "the stand-in sends none: this test shows nothing"
    status, out, err = on_terminal(served, "ask", "--url", served.url, "-m", "oai/demo", "Hi")
    assert status == 0 and not CONTROL.search(out)
    assert out.replace("\n", "") == CONTROL.sub("", piped).replace("\n", "").replace("\r", "")


def test_a_terminal_learns_who_answered(served):
    status, out, err = on_terminal(served, "ask", "--url", served.url, "Hi")
    assert (status, out) == (0, SENTENCE + "\n")
    assert re.fullmatch("\033\\[2moai/demo, 8 tokens, [0-9.]+ s\033\\[0m\n", err), err
    _, _, err = on_terminal(served, "ask", "--url", served.url, "Hi", env={"NO_COLOR": "1"})
    assert re.fullmatch("oai/demo, 8 tokens, [0-9.]+ s\n", err), err


# ---- keys ----------------------------------------------------------------------------------------


def test_keys_open_and_close_the_door(router, upstream):
    r = router(configuration(upstream, keys={"require": True}))
    refused = cli(r, "ask", "Hi")
    assert refused.status == 4 and "LLM_ROUTER_KEY" in refused.err
    made = cli(r, "keys", "add", "first one")
    assert made.status == 0 and re.fullmatch(r"llmr_[0-9A-Za-z]{43}\n", made.out) and "first one" in made.err
    key = made.out.strip()
    second = cli(r, "keys", "add", "second", "--json").json
    assert second["key"] != key and second["name"] == "second"

    listed = cli(r, "keys", "list", "--json").json["keys"]
    assert [k["name"] for k in listed] == ["first one", "second"] and not any(k["revoked"] for k in listed)
    text = cli(r, "keys", "list").out
    assert "first one" in text and key not in text and not CONTROL.search(text)

    wait_for(lambda: cli(r, "ask", "Hi", env={"LLM_ROUTER_KEY": key}).status == 0, "the key is taken over")
    assert cli(r, "ask", "Hi", env={"LLM_ROUTER_KEY": key[:-1]}).status == 4
    assert cli(r, "ask", "Hi", env={"LLM_ROUTER_KEY": "two words"}).status == 2

    gone = cli(r, "keys", "revoke", listed[0]["id"])
    assert gone.status == 0 and listed[0]["id"] in gone.out
    wait_for(lambda: cli(r, "ask", "Hi", env={"LLM_ROUTER_KEY": key}).status == 4, "the key is revoked")
    assert cli(r, "ask", "Hi", env={"LLM_ROUTER_KEY": second["key"]}).status == 0
    assert cli(r, "keys", "list", "--json").json["keys"][0]["revoked"]
    for unknown in (listed[0]["id"], "k_nothere"):
        again = cli(r, "keys", "revoke", unknown)
        assert again.status == 1 and again.err and not again.out


def test_keys_have_rules(idle):
    r = idle()
    made = cli(r, "keys", "add", "one", "--json", "--rpm", "60", "--models", "fast,claude-*", "--expires", "2099-12-31",
               "--budget-day", "2.50").json
    rules = {"models": ["fast", "claude-*"], "rpm": 60, "budget_day": 2.5, "expires": "2100-01-01T00:00:00Z"}
    assert {k: made[k] for k in rules} == rules
    changed = cli(r, "keys", "edit", made["id"], "--rpm", "none", "--tpm", "100k", "--private", "yes", "--json").json
    rules.pop("rpm")
    rules.update({"tpm": 100000, "private": True})
    assert {k: v for k, v in changed.items() if k not in ("id", "name", "created", "revoked")} == rules
    listed = cli(r, "keys", "list", "--json").json["keys"][0]
    assert listed == changed and "key" not in listed
    assert "tpm=100000" in cli(r, "keys", "list").out
    assert cli(r, "keys", "edit", "k_nothere", "--rpm", "1").status == 1
    assert cli(r, "keys", "revoke", made["id"]).status == 0
    gone = cli(r, "keys", "edit", made["id"], "--rpm", "1")
    assert gone.status == 1 and "revoked" in gone.err


def test_the_first_key_is_made_once_and_lies_in_a_file(idle, tmp_path):
    r, path = idle(), tmp_path / "first.key"
    done = cli(r, "keys", "add", "Anna", "--admin", "yes", "--first", str(path))
    assert done.status == 0 and not done.out, done
    key = path.read_text().strip()
    assert key and key not in done.err and path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    done = cli(r, "keys", "add", "Anna", "--first", str(path))
    assert done.status == 0 and not path.exists(), done
    assert cli(r, "keys", "revoke", cli(r, "keys", "list", "--json").json["keys"][0]["id"]).status == 0
    assert cli(r, "keys", "add", "Anna", "--first", str(tmp_path / "not" / "there")).status == 1
    assert all(k["revoked"] for k in cli(r, "keys", "list", "--json").json["keys"])     # nobody has seen it
    assert cli(r, "keys", "list", "--first", "x").status == 2


def test_keys_are_kept_as_digests_and_private(idle):
    r = idle()
    assert cli(r, "keys", "list").status == 0
    assert not os.path.exists(os.path.join(r.dir, "state")), "listing makes nothing"
    key = cli(r, "keys", "add", "x").out.strip()
    state = os.path.join(r.dir, "state")
    assert stat.S_IMODE(os.stat(state).st_mode) == 0o700
    for name in os.listdir(state):
        path = os.path.join(state, name)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, name
        with open(path, "rb") as f:
            assert key[5:].encode() not in f.read()


# ---- models, explain, doctor ---------------------------------------------------------------------


def test_models_lists_names_that_can_be_asked_for(served):
    done = cli(served, "models", "--json")
    assert done.status == 0 and not done.err
    names = [m["id"] for m in done.json["models"]]
    assert names == ["oai/demo", "oai/other", "oll/demo:latest", "oll/other:latest"]
    for name in names:
        assert cli(served, "ask", "-m", name, "Hi").status == 0
    assert done.json["roles"]["general"] == ["oai/demo", "oll/demo"]
    text = cli(served, "models").out
    assert all(name in text for name in [*names, "claude-*", "spare"]) and "\033" not in text


def test_models_tells_who_cannot_be_reached(idle, upstream):
    r = idle()
    r.config["providers"]["oai"]["url"] = "http://127.0.0.1:%d" % free_port()
    r.write(r.config)
    some = cli(r, "models")
    assert some.status == 0 and "oll/demo" in some.out and "oai" in some.err and "refused" in some.err
    r.config["providers"]["oll"]["url"] = r.config["providers"]["oai"]["url"]
    r.write(r.config)
    none = cli(r, "models", "--json")
    assert none.status == 3 and none.json["models"] == [] and none.json["providers"]["oll"]["state"] == "failed"


def test_explain_plans_as_the_router_does_and_sends_nothing(served, upstream):
    done = cli(served, "explain", "--json", "Hi")
    assert done.status == 0 and not done.err
    assert [(t["provider"], t["model"]) for t in done.json["plan"]] == [("oai", "demo"), ("oll", "demo:latest")]
    spare = cli(served, "explain", "--json", "-m", "spare", "-p", "Hi").json
    assert [t["provider"] for t in spare["plan"]] == ["oll"] and spare["is_private"]
    assert spare["skipped"][0]["candidate"] == "oll/nothere" and spare["skipped"][0]["why"]
    text = cli(served, "explain", "-m", "spare", "Hi").out
    assert "oll/demo" in text and "oll/nothere" in text
    assert not upstream.requests()
    cli(served, "ask", "Hi")
    assert upstream.requests()[0]["target"] == "/v1/chat/completions"


def test_explain_tells_what_would_be_refused(served):
    done = cli(served, "explain", "--json", "-m", "nothere", "Hi")
    assert done.status == 4 and done.json["error"]["code"] == "model_not_found" and done.json["plan"] == []
    assert cli(served, "explain", "--mode", "nonsense", "Hi").status == 2


def test_explain_tells_class_rules_and_findings_and_no_text(served, tmp_path):
    secret = "Zyxwvut 4711"
    done = cli(served, "explain", "--json", "Explain in two sentences why %s residents rest after a night" % secret)
    told = done.json
    assert told["class"]["name"] == told["task"] == "explanation" and abs(sum(told["class"]["scores"].values()) - 1) < 0.01
    assert told["class"]["sure"] and told["reason"] == "class=explanation"
    assert [r["rule"] for r in told["rules"]][-2:] == ["task.class", "default"]
    assert all(r["rank"] and r["looks_at"] and r["does"] for r in told["rules"])
    hinted = cli(served, "explain", "--json", "-p", "--task", "code_generation", "Hi").json
    assert hinted["findings"]["hint"] == 1 and hinted["reason"] == "hint task=code_generation"
    text = cli(served, "explain", "-p", "Explain in two sentences why %s residents rest" % secret).out
    for word in ("private", "hint", "class", "explanation", "rules", "task.class", "plan"):
        assert word in text
    assert secret not in done.out + text and "\033" not in text


@pytest.mark.parametrize("door, body", [
    ("native", {"prompt": "Free RES-02 from call", "tools": [{"name": "swap"}], "metadata": {"task": "tool_calling"}}),
    ("openai", {"model": "spare", "messages": [{"role": "user", "content": "Hi"}]}),
    ("anthropic", {"model": "spare", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
    ("ollama", {"model": "spare", "messages": [{"role": "user", "content": "Hi"}]}),
    ("responses", {"model": "spare", "input": "Hi"})])
def test_explain_takes_a_whole_request(served, tmp_path, door, body):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(body))
    words = ["--json", "--door", door, "--request"]
    told = cli(served, "explain", *words, str(path))
    assert told.status == 0, told.err
    assert told.json["reason"] == ("hint task=tool_calling" if door == "native" else "role spare")
    assert cli(served, "explain", *words, "-", input=path.read_bytes()).json == told.json
    assert cli(served, "explain", "--request", str(tmp_path / "none")).status == 1
    path.write_text("{")
    assert cli(served, "explain", "--request", str(path)).status == 2
    assert cli(served, "explain", "--request", "--door", "nonsense", str(path)).status == 2


def cloud(upstream, **more):
    return {"providers": {"near": {"kind": "ollama", "url": upstream.url},
                          "far": {"kind": "openai", "url": upstream.url + "/v1", "zone": "cloud",
                                  "key_env": "FAR_KEY"}}, "roles": {"general": ["far/demo", "near/demo"]}, **more}


def test_private_questions_have_local_plans(router, upstream):
    r = router(cloud(upstream), start=False)
    env = {"FAR_KEY": "x"}
    assert [t["zone"] for t in cli(r, "explain", "--json", "Hi", env=env).json["plan"]] == ["cloud", "local"]
    assert [t["zone"] for t in cli(r, "explain", "--json", "-p", "Hi", env=env).json["plan"]] == ["local"]
    refused = cli(r, "explain", "-p", "-m", "far/demo", "Hi", env=env)
    assert refused.status == 4 and refused.err


def test_explain_asks_as_the_holder_of_a_key(router, upstream):
    r = router(cloud(upstream), start=False)
    env = {"FAR_KEY": "x"}
    cli(r, "keys", "add", "ward", "--mode", "local", "--doors", "openai")
    cli(r, "keys", "add", "gone", "--expires", "2020-01-01")
    assert [t["zone"] for t in cli(r, "explain", "--json", "--door", "openai", "--key", "ward", "Hi", env=env).json["plan"]] \
        == ["local"]
    assert cli(r, "explain", "--json", "--key", "ward", "Hi", env=env).json["error"]["code"] == "forbidden"
    assert cli(r, "explain", "--json", "--key", "gone", "Hi", env=env).json["error"]["code"] == "unauthorized"
    nobody = cli(r, "explain", "--key", "nobody", "Hi", env=env)
    assert nobody.status == 2 and "nobody" in nobody.err


@pytest.mark.parametrize("fence", [{"airgap": True}, {"mode": "local"}])
def test_behind_a_fence_nothing_contacts_the_cloud(router, upstream, standin, fence):
    cloud_side = standin()
    config = cloud(upstream, **fence)
    config["providers"]["far"]["url"] = cloud_side.url + "/v1"
    r = router(config, start=False)
    env = {"FAR_KEY": "x"}
    done = cli(r, "doctor", "--json", env=env)
    assert done.status == 0 and done.json["addresses"] == [upstream.url]
    states = {p["name"]: p["state"] for p in done.json["providers"]}
    assert states["near"] == "ok" and states.get("far", "forbidden") == "forbidden"
    assert cloud_side.url not in cli(r, "doctor", env=env).out.partition("may contact")[2]
    cli(r, "models", env=env)
    cli(r, "explain", "Hi", env=env)
    assert cloud_side.stats()["connections_total"] == 0


def test_doctor_offline_contacts_nobody(idle, upstream):
    r = idle()
    before = upstream.stats()["connections_total"]
    done = cli(r, "doctor", "--offline", "--json")
    assert done.status == 0 and {p["state"] for p in done.json["providers"]} == {"not_asked"}
    assert cli(r, "explain", "--offline", "-m", "oai/demo", "Hi").status in (0, 4)
    assert upstream.stats()["connections_total"] == before


def test_who_starts_it_by_hand_is_told_where_to_look(idle):
    """On a terminal; a service's standard output stays empty."""
    r = idle(listen=["127.0.0.1:0"])
    for ours, theirs in (pty.openpty(), os.pipe()):
        child = subprocess.Popen([router_binary(), "serve", "-c", r.path], env=environment(r, None), cwd=r.dir,
                                 stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE)
        port = next(json.loads(line)["address"] for line in child.stderr if b'"listening"' in line).rpartition(":")[2]
        told = os.read(ours, 4096).decode() if os.isatty(ours) else ""
        os.close(theirs)
        child.terminate()
        child.stderr.read()
        assert child.wait(DEADLINE) == 0
        if os.isatty(ours):
            assert "http://127.0.0.1:%s/chat " % port in told and "http://127.0.0.1:%s/operator " % port in told
        else:
            assert os.read(ours, 4096) == b""
        os.close(ours)


def test_doctor_tells_all_whom_the_router_may_contact(idle, upstream):
    """Tool servers and the scheduler are asked, too: a list with "no other" below it must have them."""
    r = idle()
    tools, application = "http://127.0.0.1:%d/mcp" % free_port(), "http://127.0.0.1:%d" % free_port()
    r.config["mcp_servers"] = {"sched": {"url": tools}, "gone": {"url": "http://127.0.0.1:9/mcp", "enabled": False},
                               "child": {"command": ["/nowhere/tools"]}}
    r.config["scheduler"] = {"app_url": application}
    r.write(r.config)
    env = {"SECRET_KEY": "0123456789abcdef0123456789abcdef"}
    addresses = cli(r, "doctor", "--json", env=env).json["addresses"]
    assert addresses[-2:] == [tools, application] and len(addresses) == len(set(addresses)) > 2
    told = cli(r, "doctor", env=env).out.partition("may contact")[2]
    assert tools in told and application in told and told.rstrip().endswith("no other")


def test_doctor_finds_what_is_wrong(idle, upstream, standin):
    r = idle(listen=["0.0.0.0:1"], state_dir="/etc/passwd/nothere")
    hangs, wants_key = standin("--knobs", "hang_head"), standin("--key", "SECRET")
    r.config["providers"] = {
        "well": {"kind": "openai", "url": upstream.url + "/v1", "models": ["demo", "gone"]},
        "refuses": {"kind": "openai", "url": "http://127.0.0.1:%d" % free_port()},
        "locked": {"kind": "openai", "url": wants_key.url},
        "engine": {"kind": "llama-server", "spawn": {"command": "/nowhere/llama-server", "model": "/etc/passwd"}},
    }
    hangs.control(rules=[{"n": -1, "path": "/v1/models", "hang_head": 1}])
    r.config["providers"]["hangs"] = {"kind": "openai", "url": hangs.url}
    r.config["roles"] = {"general": ["well/demo", "well/gone"]}
    r.write(r.config)
    done = cli(r, "doctor", "--json")
    assert done.status == 0, done
    found = {p["name"]: p for p in done.json["providers"]}
    assert found["well"]["state"] == "ok" and found["well"]["missing_models"] == ["gone"]
    assert found["well"]["models"] == 2 and found["well"]["latency_ms"] > 0
    assert found["refuses"]["state"] == "failed" and "refused" in found["refuses"]["why"]
    assert found["locked"]["state"] == "failed" and "key" in found["locked"]["why"]
    assert found["hangs"]["state"] == "failed" and "within" in found["hangs"]["why"]
    assert found["engine"]["state"] == "not_running"
    bad = {c["name"]: c["detail"] for c in done.json["checks"] if c["state"] == "bad"}
    assert {"engine: program", "engine: model", "listen", "state_dir"} <= set(bad), bad
    del r.config["providers"]["hangs"]      # once is enough to wait for
    r.write(r.config)
    text = cli(r, "doctor")
    assert all(word in text.out for word in ("gone", "/nowhere/llama-server", "may contact")) and "\033" not in text.out


def test_doctor_fails_when_nothing_could_be_served(idle):
    r = idle()
    for p in r.config["providers"].values():
        p["url"] = "http://127.0.0.1:%d" % free_port()
    r.write(r.config)
    done = cli(r, "doctor", "--json")
    assert done.status == 1 and done.json["can_serve"] is False and "nothing could be served" in done.err


def test_colours_are_for_terminals(served):
    _, out, _ = on_terminal(served, "doctor", "-c", served.path)
    assert "\033[32mok\033[0m" in out
    _, out, _ = on_terminal(served, "doctor", "-c", served.path, env={"NO_COLOR": "1"})
    assert "\033" not in out
    assert "\033" not in cli(served, "doctor").out


def test_the_engine_is_seen_whether_it_runs_or_not(router, engine):
    r = router({"providers": {"engine": engine_provider(engine, "text")}}, start=False)

    def states():
        doctor = cli(r, "doctor", "--json")
        assert doctor.status == 0, doctor
        return [p["state"] for p in doctor.json["providers"]]

    assert states() == ["not_running"]
    assert [m["id"] for m in cli(r, "models", "--json").json["models"]] == ["engine/tiny-text"]
    assert cli(r, "explain", "--json", "Hi").json["plan"][0]["model"] == "tiny-text"
    r.start()
    wait_for(lambda: states() == ["running"], "the engine is seen to run")
    models = cli(r, "models", "--json")
    assert [m["id"] for m in models.json["models"]] == ["engine/tiny-text"] and not models.err
    assert cli(r, "ask", "-m", "engine/tiny-text", "Hi").status == 0
