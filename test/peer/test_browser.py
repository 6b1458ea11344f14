# SPDX-License-Identifier: Apache-2.0
"""The pages as a person meets them: Chromium, the real binary, a real llama-server, and the stand-in as the cloud. Every test
also judges that nothing but the router is asked, that the console has no error, and that no foreign script runs (browser.py)."""
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import sys

import pytest

from browser import AXE, EVIL, PHONE, Visit
from conftest import engine_provider
from harness import DEADLINE, TOP, Router, Standin, everywhere, free_port, wait_for
from test_mcp_leak import Peer, Tools
from test_mcp_loop import KEY, Scheduler

pytestmark = pytest.mark.browser
PRIVATE = "Patient Jane Miller, MRN 4471234, was admitted with pneumonia."
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNkaGj4DwADhAIBuqSVFQAAAABJRU5ErkJggg==")
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
    """A provider that says what it was told to say, whatever it is asked; in `thought` first, and after the call of a tool
    if it was told one."""

    def __init__(self, model):
        self.model, self.text, self.thought, self.call = model, "", "", None
        self.peer = Peer(self.answer)

    def answer(self, method, path, headers, body):
        if method == "GET":
            return 200, "application/json", json.dumps({"object": "list", "data": [{"id": self.model, "object": "model"}]})

        def event(delta, end=None):
            return "data: %s\n\n" % json.dumps({"id": "p", "object": "chat.completion.chunk", "created": 1, "model": self.model,
                                                "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
        if self.call and body["messages"][-1]["role"] != "tool":
            name, arguments = self.call
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            said = event({"role": "assistant", "tool_calls": [call]}) + event({}, "tool_calls")
        else:
            words = re.findall(r"\S*\s*", self.text)
            said = event({"role": "assistant", "reasoning_content": self.thought}) + "".join(
                event({"content": word}) for word in words) + event({}, "stop")
        return 200, "text/event-stream", said + "data: [DONE]\n\n"


class EvilTools(Tools):
    """A tool server of which every word is hostile."""

    def result(self, message):
        if message["method"] == "tools/list":
            return {"tools": [{"name": "tell", "title": EVIL[1], "description": "\n".join(EVIL), "inputSchema": {
                "type": "object", "properties": {"q": {"type": "string", "description": EVIL[0]}}}}]}
        return super().result(message)


def key_file(folder):
    path = os.path.join(folder, "chat.key")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write("5a" * 32)
    return path


class World:
    """A router with all that its pages show: engines at home, a cloud, a tool server, prices, an audit."""

    def __init__(self, engine, dir, ends):
        self.cloud, self.scheduler = Standin("--models", "gpt-demo"), Scheduler(tools=62)
        ends.callback(self.cloud.close)
        ends.callback(self.scheduler.stop)
        self.evil_model = "<svg/onload=window.pwned=99>"
        self.parrot, self.tools = Parrot(self.evil_model), EvilTools([])
        ends.callback(self.parrot.peer.stop)
        ends.callback(self.tools.peer.stop)
        self.router = Router(
            {"mode": "cloud",       # how far a conversation may go; the page begins with hybrid
             "providers": {
                "here": engine_provider(engine, "text", spawn={"alias": "tiny", "context": 4096}),
                "endless": engine_provider(engine, "loop", spawn={"alias": "endless", "context": 4096}),
                "agent": engine_provider(engine, "agent", spawn={"alias": "agent", "context": 32768}),
                "parrot": {"kind": "openai", "url": self.parrot.peer.url + "/v1", "zone": "local", "models": [self.evil_model]},
                "cloud": {"kind": "openai", "url": self.cloud.url + "/v1", "zone": "cloud", "models": ["gpt-demo"],
                          "key_env": "CLOUD_KEY"}},
             "roles": {"general": ["here/tiny", "cloud/gpt-demo"], "tools": ["agent/agent"]},
             "mcp_servers": {"scheduler": {"url": "http://127.0.0.1:%d/mcp" % self.scheduler.port, "key_env": "SCHEDULER_KEY",
                                           "zone": "local", "rules": ["validate_schedule_tool=write,none,ask", "*=read,none,auto"]},
                             "words": {"url": self.tools.peer.url + "/mcp", "zone": "local", "rules": ["*=read,none,auto"]}},
             "audit": {"dir": os.path.join(dir, "audit")},
             "chat": {"messages_per_minute": 0, "messages_per_hour": 0, "key_file": key_file(dir)}},
            env={"CLOUD_KEY": "sk-test", "SCHEDULER_KEY": KEY}, dir=dir)
        ends.callback(self.router.stop)
        self.router.wait_up()
        made = self.router.command("keys", "add", "--admin", "yes", EVIL[0])
        assert made.returncode == 0, made.stderr
        self.key = made.stdout.strip()
        everywhere(lambda: self.router.ask("GET", "/chat/me").status == 401, "the key is demanded")

    def restart(self):
        """Where it was: who has the page open comes back to the same address."""
        self.router.reconfigure(listen=["127.0.0.1:%d" % self.router.port])
        self.router.signal(signal.SIGTERM)
        assert self.router.process.wait(DEADLINE) == 0
        self.router.start()
        wait_for(lambda: all(p["state"] == "up" and p["models"] for p in self.router.get(
            "/router/providers", Authorization="Bearer " + self.key)), "providers are up")


@pytest.fixture(scope="module")
def world(engine, chromium, tmp_path_factory):
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
    wait_for(lambda: "stays on the premises" in v.page.get_by_test_id("mode-words").inner_text(), "it is told")
    wait_for(lambda: v.page.get_by_role("radio", name="Local").is_checked(), "the mode is local")
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
    v.judge_access("approval")
    v.page.reload()                     # it goes on waiting, and is shown again
    card.wait_for()
    assert "2026-11-30" in card.inner_text()
    assert len(world.scheduler.calls()) == before
    card.get_by_role("button", name="Approve").click()
    v.ended(answer)
    assert "PGY2-01 works 84 hours" in answer.inner_text()
    assert len(world.scheduler.calls()) == before + 1
    answer.locator("section.call summary").click()
    answer.get_by_role("heading", name="Result").wait_for()
    v.shot("chat-tool")
    v.judge_access("a call, open")


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


def test_a_call_is_denied(visit, world):
    v = visit().chat()
    v.model("agent/agent")
    before = len(world.scheduler.calls())
    answer = v.ask("Are there ACGME violations next week?")
    v.page.get_by_test_id("approval").get_by_role("button", name="Deny").click()
    v.ended(answer)
    assert len(world.scheduler.calls()) == before
    assert answer.locator("section.call .chip").inner_text() == "failed"


def test_an_administrator_approves_elsewhere(visit, world):
    v, admin = visit().chat(), visit()
    v.model("agent/agent")
    before = len(world.scheduler.calls())
    answer = v.ask("Are there ACGME violations next week?")
    v.page.get_by_test_id("approval").wait_for()
    admin.operator("approvals")
    admin.page.get_by_role("article", name="Call of scheduler/validate_schedule_tool").wait_for()
    assert "2026-12-06" in admin.page.locator("main").inner_text()
    admin.shot("operator-approval")
    admin.judge_access("an approval that waits")
    admin.page.get_by_role("button", name="Approve scheduler/validate_schedule_tool").click()
    v.ended(answer)
    assert v.page.get_by_test_id("approval").count() == 0
    assert "PGY2-01 works 84 hours" in answer.inner_text() and len(world.scheduler.calls()) == before + 1


def test_an_image_goes_along_at_home_and_what_is_neither_is_told(visit, world):
    """What cannot be read is private, so a picture stays on the premises, whatever the mode is."""
    world.cloud.reset()
    v = visit().chat()
    v.mode("Cloud")
    v.model("parrot/" + world.evil_model)
    pick = v.page.get_by_label("Files to attach")
    pick.set_input_files({"name": "old.doc", "mimeType": "application/msword", "buffer": b"\xd0\xcf\x11\xe0\x00\x00"})
    v.page.get_by_role("alert").get_by_text("old.doc is neither text nor an image").wait_for()
    pick.set_input_files({"name": "huge.txt", "mimeType": "text/plain", "buffer": b"x" * 5_000_000})
    v.page.get_by_role("alert").get_by_text("huge.txt is too large").wait_for()
    pick.set_input_files({"name": "plan.png", "mimeType": "image/png", "buffer": PNG})
    v.page.locator(".composer .files img").wait_for()
    v.shot("chat-attached")
    world.parrot.peer.take()
    world.parrot.text = "A single point."
    assert v.zone(v.ask("What does the picture show?")) == "local"
    assert any(base64.b64encode(PNG).decode() in one for one in world.parrot.peer.take())
    assert "plan.png" in v.page.locator("article.question").inner_text()
    assert world.cloud.requests() == []


def test_a_cloud_model_that_was_chosen_is_none_for_what_is_private(visit, world):
    world.cloud.reset()
    v = visit().chat()
    v.mode("Cloud")
    v.model("cloud/gpt-demo")
    answer = v.ended(v.ask(PRIVATE))
    assert "may only be served locally" in answer.get_by_role("alert").inner_text()
    v.shot("chat-refused")
    v.judge_access("refused")
    wait_for(lambda: v.page.locator("option", has_text="gpt-demo").is_disabled(), "it cannot be chosen again")
    v.page.get_by_role("button", name="Choose automatically").click()
    v.page.get_by_role("button", name="Try again").click()
    v.page.get_by_text("2/2").wait_for()
    assert v.zone(v.answers.last) == "local"
    assert world.cloud.requests() == []


def test_one_question_waits_and_a_second_tab_sees_the_same(visit):
    v = visit().chat()
    v.model("endless/endless")
    v.ask("go on")
    other = v.context.new_page()
    other.goto("/chat#" + v.session)
    other.locator("article.answer[aria-busy=true]").wait_for()
    v.page.get_by_role("textbox", name="Message").fill("and then?")
    v.page.keyboard.press("Enter")
    other.get_by_text("waits for the answer before it").wait_for()
    wait_for(lambda: v.page.get_by_role("button", name="Send").is_disabled(), "no third one can be sent")
    other.get_by_role("button", name="Stop the answer").click()
    v.answers.first.get_by_text("Stopped").wait_for()
    wait_for(lambda: v.page.get_by_text("waits for the answer before it").count() == 0, "its turn has come")


def test_the_router_ends_and_comes_back_under_an_open_page(visit, world):
    v = visit().chat()
    v.ended(v.ask("before"))
    v.allowed.append("WebSocket|ERR_CONNECTION|401")
    world.restart()
    # Logins are of a process: whoever had one is asked for his key, and finds his conversation where it was.
    v.page.get_by_label("API key").wait_for()
    v.login(world.key)
    v.page.locator("article.question", has_text="before").wait_for()
    v.ended(v.ask("after"))


def test_a_conversation_is_renamed_and_deleted(visit, world):
    v = visit().chat()
    v.ended(v.ask("A name of its own"))
    mine = v.page.get_by_role("link", name=re.compile("A name of its own"))
    more = v.page.get_by_role("button", name="Rename, export or delete: A name of its own")
    more.click()
    v.page.get_by_label("Title").fill("Another one")
    v.page.keyboard.press("Enter")
    v.page.get_by_role("link", name=re.compile("Another one")).wait_for()
    assert mine.count() == 0
    v.page.get_by_role("heading", name="Another one").wait_for()
    session = v.session
    v.page.get_by_role("button", name="Rename, export or delete: Another one").click()
    v.page.get_by_role("button", name="Delete", exact=True).click()
    v.shot("chat-delete")
    v.page.get_by_role("dialog", name="Delete the conversation?").get_by_role("button", name="Delete").click()
    v.page.get_by_role("heading", name="What can I help with?").wait_for()
    assert v.page.get_by_role("link", name=re.compile("Another one")).count() == 0
    assert world.router.ask("GET", "/chat/sessions/" + session, headers={"Authorization": "Bearer " + world.key}).status == 404


# ---- who somebody is, and hands without a mouse ----------------------------------------------------


def test_a_wrong_key_is_told_and_who_leaves_is_out(visit, world):
    v = visit(login=False)
    v.allowed.append("401.*/chat/login")
    v.page.goto("/chat")
    v.page.get_by_label("API key").wait_for()
    v.judge_access("login")
    v.login("sk-router-wrong", wait=False)
    v.page.get_by_role("alert").wait_for()
    v.shot("login-wrong")
    wait_for(lambda: v.page.get_by_label("API key").evaluate("e => e === document.activeElement"), "it can be typed again")
    v.login(world.key)
    v.page.get_by_role("button", name="Log out").click()
    v.page.get_by_label("API key").wait_for()
    v.page.reload()
    v.page.get_by_label("API key").wait_for()


def test_without_a_mouse(visit):
    """From the list to the answer, its reasons, the settings and another conversation: Tab, Enter, arrows, Escape."""
    v = visit().chat()
    press = v.page.keyboard.press
    wait_for(lambda: v.focused() == "Message", "the cursor is there")
    v.page.keyboard.type("Keys only: who are you?")
    press("Enter")
    v.ended(v.answers.first)
    v.tab_to("Settings of this conversation|System prompt and parameters", back=True)
    press("Enter")
    v.page.get_by_role("dialog").wait_for()
    press("Escape")
    wait_for(lambda: v.page.get_by_role("dialog").count() == 0, "the dialog is gone")
    wait_for(lambda: "System prompt" in v.focused(), "the focus is where it was")
    v.tab_to("^Model$", back=True)
    press("E")                                       # the model of that letter
    wait_for(lambda: "endless" in v.page.get_by_label("Model", exact=True).input_value(), "it is chosen")
    v.tab_to("^Hybrid$", back=True)
    press("ArrowLeft")
    wait_for(lambda: v.page.get_by_role("radio", name="Local").is_checked(), "the mode is another")
    v.tab_to("^local")
    press("Enter")
    v.page.get_by_test_id("why").wait_for()
    v.tab_to("^Message$")
    v.page.keyboard.type("go on")
    press("Enter")
    wait_for(lambda: v.answers.count() == 2 and v.answers.last.inner_text().count("la") > 3, "it is written")
    press("Escape")
    v.answers.last.get_by_text("Stopped").wait_for()
    before = v.session
    v.tab_to("New conversation", back=True)
    press("Enter")
    wait_for(lambda: v.session != before, "it is another conversation")
    v.page.get_by_role("link", name=re.compile("Keys only")).wait_for()
    v.tab_to("Keys only", back=False)
    press("Enter")
    wait_for(lambda: v.session == before, "it is the old one again")


def test_operators_do_things(visit, world):
    v = visit()
    v.operator("audit")
    v.page.get_by_role("button", name="Verify now").click()
    v.page.get_by_text("Nothing was changed").wait_for()
    v.page.locator("details.record summary").first.click()
    v.shot("operator-audit-open")
    v.judge_access("audit, a record open")
    v.operator("try")
    v.page.get_by_label("Text", exact=True).fill(PRIVATE)
    v.page.get_by_role("button", name="Show the route").click()
    v.page.get_by_text("Private: it stays on the premises").wait_for()
    v.page.get_by_role("group", name="Who would not, and why").get_by_text("cloud/gpt-demo").wait_for()
    v.shot("operator-route")
    v.judge_access("a route")
    v.operator("keys")
    v.page.get_by_label("Whose key it is").fill(EVIL[1])
    v.page.get_by_role("button", name="Make a key").click()
    made = v.page.get_by_test_id("new-key").inner_text()
    v.shot("operator-key-made")
    v.judge_access("a new key")
    who = lambda: world.router.ask("GET", "/chat/me", headers={"Authorization": "Bearer " + made}).status
    wait_for(lambda: who() == 200, "the key counts")
    v.page.get_by_role("button", name="I have it").click()
    row = v.page.get_by_role("row").filter(has_text="onerror")
    row.get_by_role("button", name=re.compile("Revoke")).click()
    v.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    wait_for(lambda: who() == 401, "it counts no more")
    v.operator("config")
    v.page.get_by_label("Only lines with").fill("message_bytes")
    v.page.get_by_text("message_bytes: ").first.wait_for()
    assert "sk-test" not in v.page.content()


# ---- the operator's pages --------------------------------------------------------------------------


@pytest.mark.parametrize("dark, size, name", [(False, None, "light"), (True, None, "dark"), (False, PHONE, "phone")])
def test_operator_pages(visit, world, dark, size, name):
    v = visit(dark=dark, size=size)
    for page in PAGES:
        v.operator(page)
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


# Elements that only the page itself may make, and those never carry handlers.
FOREIGN = """all => all.filter(e => e.matches('script, iframe, object, embed, img, style, link, base, meta, form:not(.edit), video, [style]:not([style=""])')
    || (e.namespaceURI !== 'http://www.w3.org/1999/xhtml' && e.closest('svg.icon') === null)
    || [...e.attributes].some(a => a.name.startsWith('on'))).map(e => e.outerHTML)"""


def judge_text(v, where, evil):
    assert where.locator("*").evaluate_all(FOREIGN) == [], evil
    protocols = where.locator("a").evaluate_all("all => all.map(a => a.protocol)")
    assert set(protocols) <= {"http:", "https:", "mailto:"}, (evil, protocols)
    assert v.page.evaluate("window.pwned") is None, evil


def test_nothing_that_is_said_runs(visit, world):
    v = visit().chat()
    v.model("parrot/" + world.evil_model)
    for evil in EVIL:
        world.parrot.text = world.parrot.thought = evil
        answer = v.ended(v.ask(evil))
        answer.locator("details.reasoning summary").click()
        judge_text(v, v.page.get_by_role("log", name="Messages"), evil)
    v.shot("chat-evil")
    world.parrot.thought = ""
    judge_text(v, v.page.locator(".room-head"), "title")
    for evil in EVIL[:4]:
        v.page.get_by_role("button", name=re.compile("^Rename, export or delete")).first.click()
        v.page.get_by_role("dialog").get_by_label("Title").fill(evil)
        v.page.get_by_role("button", name="Rename", exact=True).click()
        v.page.get_by_role("navigation", name="Kept conversations").get_by_text(evil[:20]).wait_for()
        judge_text(v, v.page.get_by_role("complementary"), evil)


def test_nothing_that_tools_tell_runs(visit, world):
    v = visit().chat()
    v.model("parrot/" + world.evil_model)
    world.parrot.text = "It was told."
    for evil in EVIL:
        world.parrot.call = ("words__tell", {"q": evil})
        world.tools.says["tell"] = {"content": [{"type": "text", "text": evil}], "isError": evil == EVIL[1]}
        answer = v.ended(v.ask("Ask the tool."))
        assert "It was told." in answer.inner_text()
        answer.locator("section.call summary").click()
        judge_text(v, answer, evil)
    world.parrot.call = None
    v.shot("chat-evil-tool")
    v.operator("tools")
    v.page.get_by_text("Tools of words").scroll_into_view_if_needed()
    v.page.locator("section[aria-label=words] details summary").first.click()
    judge_text(v, v.page.locator("main"), "tools")
    v.shot("operator-evil-tools")


def test_a_router_without_a_model_says_so_until_there_is_one(chromium, router, standin):
    port = free_port()
    one = router({"providers": {"far": {"kind": "openai", "url": "http://127.0.0.1:%d/v1" % port}}}, ready=None)
    v = Visit(chromium, one.url, None, login=False)
    v.page.goto("/")                                 # a browser gets the page there, too
    notice = v.page.get_by_text("No model can be reached")
    notice.wait_for()
    v.shot("chat-nobody")
    v.judge_access("nobody there")
    assert "no provider is available" in v.operator("overview").page.locator(".notice.bad").inner_text()
    one.reconfigure(providers={"far": {"kind": "openai", "url": standin().url + "/v1"}})
    v.page.goto("/chat")
    notice.wait_for()
    one.signal(signal.SIGHUP)
    notice.wait_for(state="detached")
    v.ended(v.ask("Hello?"))
    v.leave()


@pytest.mark.parametrize("page", ["/chat", "/operator"])
def test_first_paint(visit, page, capfd):
    v = visit(login=False)
    v.page.goto(page)
    v.page.get_by_role("heading", level=1).wait_for()
    ms = v.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    bytes_ = v.page.evaluate("performance.getEntries().reduce((n, e) => n + (e.transferSize ?? 0), 0)")
    with capfd.disabled():
        print("%s: first contentful paint after %d ms (goal: below 300), %d bytes" % (page, ms, bytes_), file=sys.stderr)


def test_policy_of_the_pages(world):
    for page in ("/chat", "/operator"):
        policy = world.router.ask("GET", page).header("Content-Security-Policy")
        assert "default-src 'none'" in policy and "unsafe" not in policy, policy


# ---- pictures for the guides (./dev shots puts them into docs/images) ------------------------------

RESTED = """Residents of the **first year** need ten hours between two shifts, and fourteen after a night.

| Team | Shift | Rest before it |
|---|---|---|
| Night A | Mon 19:00 to 07:00 | 26 h |
| Night B | Wed 19:00 to 07:00 | 12 h |

Only *Night B* on Wednesday is close to the rule; nobody is below it."""


def test_pictures_for_the_guides(chromium, tmp_path):
    with contextlib.ExitStack() as ends:
        local, cloud, scheduler = Parrot("llama3.1"), Parrot("claude-sonnet"), Scheduler(tools=62)
        ends.callback(local.peer.stop)
        ends.callback(cloud.peer.stop)
        ends.callback(scheduler.stop)
        router = Router(
            {"mode": "cloud", "audit": {"dir": str(tmp_path / "audit")}, "chat": {"key_file": key_file(tmp_path)},
             "providers": {"premises": {"kind": "openai", "url": local.peer.url + "/v1", "zone": "local", "models": ["llama3.1"]},
                           "cloud": {"kind": "openai", "url": cloud.peer.url + "/v1", "zone": "cloud", "models": ["claude-sonnet"]}},
             "roles": {"general": ["premises/llama3.1", "cloud/claude-sonnet"], "tools": ["premises/llama3.1"]},
             "mcp_servers": {"scheduler": {"url": "http://127.0.0.1:%d/mcp" % scheduler.port, "key_env": "SCHEDULER_KEY",
                                           "zone": "local", "rules": ["validate_schedule_tool=write,none,ask", "*=read,none,auto"]}}},
            env={"SCHEDULER_KEY": KEY}, dir=str(tmp_path))
        ends.callback(router.stop)
        router.wait_up()
        v = Visit(chromium, router.url, None, login=False, size={"width": 1000, "height": 680})
        v.page.goto("/chat")
        v.chat()
        local.text = cloud.text = RESTED
        v.ended(v.ask("Which rest rules does the night team meet next week?")).get_by_test_id("badge").click()
        v.shot("guide-answer")
        v.judge_access("an answer with a table")
        v.page.get_by_role("button", name="New conversation").click()
        v.page.get_by_role("heading", name="What can I help with?").wait_for()
        v.mode("Cloud")
        v.ended(v.ask("How do other programmes share nights among six people?"))
        local.text = "I have written a short note for the hand-over. It stays here."
        v.ended(v.ask("Write a note for the hand-over: patient Jane Miller, MRN 4471234, was admitted with pneumonia."))
        v.shot("guide-private")
        v.page.get_by_role("button", name="New conversation").click()
        v.page.get_by_role("heading", name="What can I help with?").wait_for()
        local.call = ("scheduler__validate_schedule_tool", {"start_date": "2026-11-30", "end_date": "2026-12-06"})
        v.model("premises/llama3.1")
        answer = v.ask("Does the schedule of the week of 30 November keep all rules?")
        v.page.get_by_test_id("approval").wait_for()
        v.shot("guide-approval")
        local.text = "Two things: **PGY2-01** works 84 hours, and **PGY1-03** has only nine hours between two shifts on 2 December."
        v.page.get_by_role("button", name="Approve").click()
        v.ended(answer)
        v.operator("overview")
        v.page.get_by_role("cell", name="llama3.1").first.wait_for()
        v.shot("guide-overview")
        v.operator("try")
        v.page.get_by_label("Text", exact=True).fill(PRIVATE)
        v.page.get_by_role("button", name="Show the route").click()
        v.page.get_by_text("Private: it stays on the premises").wait_for()
        v.shot("guide-route")
        v.leave()


# ---- what is kept (the router is restarted: last) --------------------------------------------------


def test_found_again_after_a_restart_and_exported(visit, world, chromium):
    v = visit().chat()
    v.ended(v.ask("Remember the word zebra."))
    v.ended(v.ask(PRIVATE))
    session = v.session
    v.allowed.append("WebSocket|ERR_")
    world.restart()
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
