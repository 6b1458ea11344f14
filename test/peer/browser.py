# SPDX-License-Identifier: Apache-2.0
"""browser - Debian's Chromium, driven by Playwright, on the pages that the router serves.

A Visit is a person with a browser of his own (a context): his address, light or dark, his screen's width. It keeps what must
not be: requests to anywhere but the router, errors in the console, exceptions, and `window.pwned`, which the corpus EVIL of
what models, tools and names may say tries to set. leave() judges them, so every test of a page judges them.
"""
import os
import re
import urllib.parse

from harness import DEADLINE, TOP, wait_for

SHOTS = os.path.join(TOP, "build", "test", "screenshots")
AXE = os.path.join(TOP, "build", "node", "node_modules", "axe-core", "axe.min.js")
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

# Each sets window.pwned or asks somebody else, should it ever be more than text.
EVIL = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=\"window.pwned=2\">",
    "[click](javascript:window.pwned=3)",
    "[click]( jAvAsCrIpT&colon;window.pwned=4)",
    "[data](data:text/html,<script>opener.pwned=5</script>)",
    "![track](http://tracker.invalid/pixel.png)",
    "<svg onload=window.pwned=6><script>window.pwned=7</script></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=window.pwned=8&gt;\">",
    "<iframe srcdoc=\"<script>parent.pwned=9</script>\"></iframe>",
    "<style>@import url(http://tracker.invalid/x.css); * { background: url(http://tracker.invalid/y) }</style>",
    "<a href=\"x\" style=\"background:url(http://tracker.invalid/z)\" onmouseover=window.pwned=10>over me</a>",
    "${window.pwned=11} {{constructor.constructor('window.pwned=12')()}} #{window.pwned=13}",
    "<details open ontoggle=window.pwned=14>x</details><base href=http://tracker.invalid/>",
    "[ref][1]\n\n[1]: javascript:window.pwned=15 \"onmouseover=window.pwned=16\"",
    "<javascript:window.pwned=17> <http://tracker.invalid/\"onclick=window.pwned=18>",
    "```\"><script>window.pwned=19</script>\n</code></pre><script>window.pwned=20</script>\n```",
    "| <img src=x onerror=window.pwned=21> | b |\n|---|---|\n| `</code><script>window.pwned=22</script>` | [x](vbscript:window.pwned=23) |",
    "![\" onerror=\"window.pwned=24](x\" onerror=\"window.pwned=25)",
    "</textarea></title><script>window.pwned=26</script>\u2028<link rel=prefetch href=http://tracker.invalid/p>",
    "<meta http-equiv=refresh content=\"0;url=http://tracker.invalid/\"><form action=javascript:window.pwned=27><button>x</button></form>",
]


class Visit:
    def __init__(self, chromium, url, key, dark=False, size=None, login=True):
        self.url = url
        self.context = chromium.new_context(base_url=url, viewport=size or DESK, color_scheme="dark" if dark else "light",
                                            locale="en-US", accept_downloads=True, reduced_motion="reduce",
                                            has_touch=size == PHONE)
        self.context.set_default_timeout(DEADLINE * 1000)
        self.bad = []
        self.allowed = [r"401.*/chat/me"]       # console errors that are so on purpose; the page asks who is there
        self.context.on("request", self._request)
        self.context.on("console", self._console)
        self.context.on("weberror", lambda e: self.bad.append("exception: %s" % e.error))
        self.context.add_init_script("window.pwned = null")
        self.page = self.context.new_page()
        if login:
            self.page.goto("/chat")
            self.login(key)

    def login(self, key, wait=True):
        self.page.get_by_label("API key").fill(key)
        self.page.keyboard.press("Enter")
        if wait:
            self.page.get_by_role("textbox", name="Message").wait_for()

    def _request(self, request):
        where = urllib.parse.urlsplit(request.url)
        if where.scheme not in ("data", "blob") and where.netloc != urllib.parse.urlsplit(self.url).netloc:
            self.bad.append("request: " + request.url)

    def _console(self, message):
        text = "%s (%s)" % (message.text, message.location.get("url"))
        if message.type in ("error", "warning") and not any(re.search(p, text) for p in self.allowed):
            self.bad.append("console: " + text)

    # ---- without a mouse

    def focused(self):
        """The name of what has the focus, as far as this test needs names."""
        return self.page.evaluate("""() => { const e = document.activeElement;
            return e === document.body ? '' : (e.getAttribute('aria-label') ?? e.closest('label')?.innerText ?? e.innerText ?? e.tagName).trim() }""")

    def tab_to(self, name, back=False):
        """Every stop on the way shows that it has the focus."""
        for _ in range(300):     # two for each conversation that the list shows
            self.page.keyboard.press("Shift+Tab" if back else "Tab")
            seen = self.page.evaluate("""() => { const e = document.activeElement;
                const shown = e => { const s = getComputedStyle(e); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1 };
                return e === document.body || shown(e) || shown(e.closest('label') ?? e) || e.closest('.composer') !== null }""")
            assert seen, "nobody sees that the focus is on " + self.focused()
            if re.search(name, self.focused()):
                return
        raise AssertionError("no way by the keyboard to " + name)

    def shot(self, name):
        os.makedirs(SHOTS, exist_ok=True)
        self.page.screenshot(path=os.path.join(SHOTS, name + ".png"))

    def judge_access(self, where):
        """axe-core's serious and critical findings."""
        with open(AXE) as f:
            # By the debugger's way in, for the pages' own policy lets no foreign script run.
            self.page.evaluate(f.read())
        found = self.page.evaluate("async () => (await axe.run({resultTypes: ['violations']})).violations.map(v => ({"
                                   "id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map(n => n.html + ' ' +"
                                   " (n.any[0]?.message ?? n.failureSummary))}))")
        grave = [v for v in found if v["impact"] in ("serious", "critical")]
        assert not grave, (where, grave)

    def leave(self):
        pwned = [p.evaluate("window.pwned") for p in self.context.pages]
        self.context.close()
        assert not any(pwned), "foreign script ran: %s" % pwned
        assert not self.bad, self.bad

    def operator(self, page):
        self.page.goto("/operator#" + page)
        self.page.get_by_role("heading", level=1).wait_for()
        self.page.get_by_text("live", exact=True).first.wait_for()
        self.page.wait_for_load_state("load")
        wait_for(lambda: self.page.locator("main .spinner, main [aria-busy=true]").count() == 0, page + " is there")
        return self

    # ---- the chat page, by what a person sees of it

    def chat(self, session=""):
        if session:
            self.page.goto("/chat#" + session)
        self.page.get_by_role("textbox", name="Message").wait_for()
        self.page.locator(".welcome, .message").first.wait_for()
        return self

    @property
    def session(self):
        return self.page.evaluate("location.hash.slice(1)")

    def ask(self, text):
        before = self.answers.count()
        self.page.get_by_role("textbox", name="Message").fill(text)
        self.page.keyboard.press("Enter")
        self.answers.nth(before).wait_for()
        return self.answers.nth(before)

    @property
    def answers(self):
        return self.page.locator("article.answer")

    def ended(self, answer):
        answer.locator("[data-testid=badge], .state, [role=alert]").first.wait_for()
        return answer

    def zone(self, answer):
        return self.ended(answer).get_by_test_id("badge").get_attribute("data-zone")

    def mode(self, name):
        self.page.locator(".modes label", has_text=name).click()

    def model(self, words):
        self.page.get_by_label("Model", exact=True).select_option(value=words)
