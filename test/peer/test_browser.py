# SPDX-License-Identifier: Apache-2.0
"""The pages as a person meets them: Chromium, the real binary, a real llama-server, and the stand-in as the cloud. Every test
also judges that nothing but the router is asked, that the console has no error, and that no foreign script runs (browser.py)."""
import contextlib
import glob
import http.server
import json
import os
import re
import shutil
import signal
import threading

import pytest

from browser import AXE, EVIL, PHONE, SHOTS, Visit
from conftest import engine_provider
from harness import DEADLINE, TOP, Router, Standin, wait_for
from test_mcp_loop import KEY, Scheduler

pytestmark = pytest.mark.browser
PRIVATE = "Patient Jane Miller, MRN 4471234, was admitted with pneumonia."
PAGES = ["overview", "traffic", "costs", "models", "tools", "approvals", "try", "keys", "audit", "config"]


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium: ./dev setup test installs it")
    if not os.path.exists(AXE):
        pytest.skip("no axe-core: ./dev setup test installs it")
    with playwright.sync_playwright() as p:
        try:
            # The sandbox needs rights that a container seldom gives; what is shown is our own page.
            browser = p.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage",
                                                                       "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"])
        except playwright.Error as e:
            pytest.skip("chromium does not start: " + str(e).splitlines()[0])
        yield browser
        browser.close()


class Parrot:
    """A provider that says what it was told to say, whatever it is asked."""

    def __init__(self, model):
        self.text = ""
        parrot = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.reply("application/json", json.dumps({"object": "list", "data": [{"id": model, "object": "model"}]}))

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                def event(delta, end=None):
                    return "data: %s\n\n" % json.dumps({"id": "p", "object": "chat.completion.chunk", "created": 1, "model": model,
                                                        "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
                self.reply("text/event-stream", event({"role": "assistant", "reasoning_content": parrot.text}) +
                           event({"content": parrot.text}) + event({}, "stop") + "data: [DONE]\n\n")

            def reply(self, kind, text):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/v1" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class World:
    """A router with all that its pages show: engines at home, a cloud, a tool server, prices, an audit."""

    def __init__(self, engine, dir, ends):
        self.cloud, self.scheduler = Standin("--models", "gpt-demo"), Scheduler(tools=62)
        ends.callback(self.cloud.close)
        ends.callback(self.scheduler.stop)
        self.evil_model = "<svg/onload=window.pwned=99>"
        self.parrot = Parrot(self.evil_model)
        ends.callback(self.parrot.close)
        key = os.path.join(dir, "chat.key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write("5a" * 32)
        self.router = Router(
            {"mode": "cloud",       # how far a conversation may go; the page begins with hybrid
             "providers": {
                "here": engine_provider(engine, "text", spawn={"alias": "tiny", "context": 4096}),
                "endless": engine_provider(engine, "loop", spawn={"alias": "endless", "context": 4096}),
                "agent": engine_provider(engine, "agent", spawn={"alias": "agent", "context": 32768}),
                "parrot": {"kind": "openai", "url": self.parrot.url, "zone": "local", "models": [self.evil_model]},
                "cloud": {"kind": "openai", "url": self.cloud.url + "/v1", "zone": "cloud", "models": ["gpt-demo"],
                          "key_env": "CLOUD_KEY"}},
             "roles": {"general": ["here/tiny", "cloud/gpt-demo"], "tools": ["agent/agent"]},
             "mcp_servers": {"scheduler": {"url": "http://127.0.0.1:%d/mcp" % self.scheduler.port, "key_env": "SCHEDULER_KEY",
                                           "zone": "local", "rules": ["validate_schedule_tool=write,none,ask", "*=read,none,auto"]}},
             "audit": {"dir": os.path.join(dir, "audit")},
             "chat": {"messages_per_minute": 0, "messages_per_hour": 0, "key_file": key}},
            env={"CLOUD_KEY": "sk-test", "SCHEDULER_KEY": KEY}, dir=dir)
        ends.callback(self.router.stop)
        self.router.wait_up()
        made = self.router.command("keys", "add", "--admin", "yes", EVIL[0])
        assert made.returncode == 0, made.stderr
        self.key = made.stdout.strip()
        wait_for(lambda: self.router.ask("GET", "/chat/me").status == 401, "the key is demanded")


@pytest.fixture(scope="module")
def world(engine, chromium, tmp_path_factory):
    for old in glob.glob(os.path.join(SHOTS, "*.png")):
        os.remove(old)
    with contextlib.ExitStack() as ends:
        yield World(engine, str(tmp_path_factory.mktemp("world")), ends)


@pytest.fixture
def visit(chromium, world):
    """A person comes; at the end he is asked what he saw."""
    made = []
    yield lambda **more: made.append(Visit(chromium, world.router.url, world.key, **more)) or made[-1]
    for one in made:
        one.leave()


# ---- a conversation --------------------------------------------------------------------------------


def test_a_person_asks_and_sees_who_answered_and_why(visit):
    v = visit().chat()
    answer = v.ask("Hello, who are you?")
    assert v.zone(answer) == "local"
    assert "Hello from the tiny model. Café ok" in answer.inner_text()
    answer.get_by_test_id("badge").click()
    assert re.search("On the premises.*here.*tiny", answer.get_by_test_id("why").inner_text(), re.S)
    v.shot("chat-answer")


def test_an_answer_is_watched_and_stopped(visit):
    v = visit().chat()
    v.model("endless/endless")
    answer = v.ask("go on")
    wait_for(lambda: answer.inner_text().count("lo") > 20, "it is written on")
    v.page.get_by_role("button", name="Stop the answer").click()
    answer.get_by_text("Stopped. What was there so far is kept.").wait_for()
    assert v.page.get_by_role("textbox", name="Message").is_editable()


def test_modes_are_switched_and_what_is_private_stays(visit, world):
    world.cloud.reset()
    v = visit().chat()
    v.mode("Cloud")
    assert v.zone(v.ask("Tell me something about rivers.")) == "cloud"
    assert len(world.cloud.requests()) == 1
    answer = v.ask(PRIVATE)
    assert v.zone(answer) == "local"
    assert "private" in answer.get_by_test_id("badge").inner_text()
    assert "stays on the premises" in v.page.get_by_test_id("mode-words").inner_text()
    assert v.page.get_by_role("radio", name="Local").is_checked()
    assert v.page.get_by_role("radio", name="Cloud").is_disabled()
    v.shot("chat-private")
    v.ended(v.ask("And what now?"))
    assert len(world.cloud.requests()) == 1, "the cloud heard of what is private"


def test_retry_edit_and_branches(visit):
    v = visit().chat()
    v.ended(v.ask("first"))
    v.page.get_by_role("button", name="Answer again").click()
    v.page.get_by_text("2/2").wait_for()
    v.ended(v.answers.last)
    v.page.get_by_role("button", name="Edit the question").click()
    v.page.get_by_role("textbox", name="The question, edited").fill("second")
    v.page.get_by_role("button", name="Ask as a branch").click()
    v.page.locator("article.question", has_text="second").wait_for()
    v.ended(v.answers.last)
    v.page.locator("article.question").get_by_role("button", name="The branch before").click()
    v.page.locator("article.question", has_text="first").wait_for()


def test_a_file_goes_along(visit, world):
    world.cloud.reset()
    v = visit().chat()
    v.mode("Cloud")
    v.model("cloud/gpt-demo")
    v.page.get_by_label("Files to attach").set_input_files(
        {"name": "<img src=x onerror=window.pwned=98>.csv", "mimeType": "text/csv", "buffer": b"block,hours\n7,61\n"})
    v.page.get_by_text("onerror=window.pwned=98>.csv").wait_for()
    v.ended(v.ask("What is in the file?"))
    assert "7,61" in world.cloud.requests()[-1]["body"].replace("\\n", "\n")
    assert "onerror=window.pwned=98>.csv" in v.page.locator("article.question").inner_text()


def test_a_tool_runs_once_a_person_has_approved(visit, world):
    v = visit().chat()
    v.model("agent/agent")
    before = len(world.scheduler.calls())
    answer = v.ask("Are there ACGME violations next week?")
    card = v.page.get_by_test_id("approval")
    card.wait_for()
    assert "validate_schedule_tool" in card.inner_text() and "2026-11-30" in card.inner_text()
    v.shot("chat-approval")
    assert len(world.scheduler.calls()) == before
    card.get_by_role("button", name="Approve").click()
    v.ended(answer)
    assert "PGY2-01 works 84 hours" in answer.inner_text()
    assert len(world.scheduler.calls()) == before + 1
    answer.locator("section.call summary").click()
    answer.get_by_role("heading", name="Result").wait_for()
    v.shot("chat-tool")


def test_a_reload_in_mid_answer_loses_nothing(visit):
    v = visit().chat()
    v.model("endless/endless")
    answer = v.ask("go on")
    wait_for(lambda: answer.inner_text().count("lo") > 20, "it is written on")
    before = answer.inner_text().removesuffix("Answering").strip()
    v.page.reload()
    answer.wait_for()
    assert answer.get_attribute("aria-busy") == "true"
    wait_for(lambda: len(answer.inner_text()) > len(before) + 20, "it goes on")
    assert answer.inner_text().startswith(before)
    v.page.keyboard.press("Escape")
    answer.get_by_text("Stopped").wait_for()


# ---- the operator's pages --------------------------------------------------------------------------


@pytest.mark.parametrize("dark, size, name", [(False, None, "light"), (True, None, "dark"), (False, PHONE, "phone")])
def test_operator_pages(visit, world, dark, size, name):
    v = visit(dark=dark, size=size)
    for page in PAGES:
        v.page.goto("/operator#" + page)
        v.page.get_by_role("heading", level=1).wait_for()
        v.page.get_by_text("live", exact=True).first.wait_for()
        v.page.wait_for_load_state("load")
        wait_for(lambda: v.page.locator("main .spinner, main [aria-busy=true]").count() == 0, page + " is there")
        v.shot("operator-%s-%s" % (page, name))
        v.judge_access(page + ", " + name)
        assert v.page.locator("main [role=alert]").count() == 0, v.page.locator("main [role=alert]").all_inner_texts()
        wide = v.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, "%s is %d pixels wider than the screen" % (page, wide)


@pytest.mark.parametrize("dark, size, name", [(False, None, "light"), (True, None, "dark"), (False, PHONE, "phone")])
def test_chat_page_is_accessible(visit, dark, size, name):
    v = visit(dark=dark, size=size).chat()
    v.shot("chat-empty-" + name)
    v.judge_access("empty " + name)
    v.ended(v.ask(PRIVATE)).get_by_test_id("badge").click()
    v.shot("chat-private-" + name)
    v.judge_access("answered " + name)
    v.page.get_by_role("button", name="System prompt and parameters").click()
    v.page.get_by_role("dialog").wait_for()
    v.shot("chat-settings-" + name)
    v.judge_access("settings " + name)


# ---- what models, tools and people say is text -----------------------------------------------------


def test_nothing_that_is_said_runs(visit, world):
    v = visit().chat()
    v.model("parrot/" + world.evil_model)
    for evil in EVIL:
        world.parrot.text = evil
        answer = v.ended(v.ask(evil))
        answer.locator("details.reasoning summary").click()
        assert answer.locator("script, iframe, img, svg:not(.icon), style, form, [onerror], [onload]").evaluate_all(
            "all => all.filter(e => e.closest('.tools, button, summary') === null).map(e => e.outerHTML)") == [], evil
        links = answer.locator("a").evaluate_all("all => all.map(a => a.protocol)")
        assert set(links) <= {"http:", "https:", "mailto:"}, (evil, links)
        assert v.page.evaluate("window.pwned") is None, evil
    v.shot("chat-evil")


def test_policy_of_the_pages(world):
    for page in ("/chat", "/operator"):
        policy = world.router.ask("GET", page).header("Content-Security-Policy")
        assert "default-src 'none'" in policy and "unsafe" not in policy, policy


# ---- what is kept (the router is restarted: last) --------------------------------------------------


def test_found_again_after_a_restart_and_exported(visit, world, chromium):
    v = visit().chat()
    v.ended(v.ask("Remember the word zebra."))
    v.ended(v.ask(PRIVATE))
    session = v.session
    v.allowed.append("WebSocket|ERR_")
    world.router.signal(signal.SIGTERM)
    assert world.router.process.wait(DEADLINE) == 0
    world.router.start()
    again = visit().chat()
    again.page.get_by_role("searchbox", name="Search conversations").fill("zebra")
    again.page.get_by_role("link", name=re.compile("zebra")).click()
    again.page.locator("article.question", has_text="Jane Miller").wait_for()
    assert again.session == session
    again.page.get_by_role("button", name=re.compile("^Rename, export or delete: .*zebra")).first.click()
    with again.page.expect_download() as download:
        again.page.get_by_role("link", name="Markdown").click()
    with open(download.value.path()) as f:
        text = f.read()
    assert "zebra" in text and "Hello from the tiny model" in text
