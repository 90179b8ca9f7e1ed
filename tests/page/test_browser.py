# SPDX-License-Identifier: Apache-2.0
"""test_browser.py PAGE_SERVER: the pages in headless Chromium: what a screen reader is told, contrast as it is drawn, keyboard,
narrow screens, live updates. Needs Debian's package chromium; tests/page/run installs it.
"""

import pathlib
import signal
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import browser  # noqa: E402
import story  # noqa: E402
from site_server import Site  # noqa: E402

SERVER = sys.argv.pop(1) if len(sys.argv) > 1 else None
PATHS = ("/", "/stacks/shop", "/stacks/wiki", "/deployments/3", "/deployments/6", "/deployments/9")
NAMED = {"link", "button", "region", "navigation", "table", "heading", "progressbar", "DisclosureTriangle"}

# Every piece of text, its colour over the grounds below it, as WCAG counts. Large is 24 px, or bold from 18.66 px.
CONTRAST = """(() => {
  const parse = c => { const n = c.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const ground = e => { const layers = []; for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, c) => over(c, below), [255, 255, 255, 1]); };
  const low = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let looked = 0;
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement, style = getComputedStyle(e);
    if (!texts.currentNode.data.trim() || !e.checkVisibility() || e.closest('.unseen, .skip')) continue;
    looked++;
    const g = ground(e), a = light(over(parse(style.color), g)), b = light(g), size = parseFloat(style.fontSize);
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) low.push([texts.currentNode.data.trim().slice(0, 40), style.color, g.slice(0, 3).join(), ratio.toFixed(2)]);
  }
  return {looked, low};
})()"""


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site, cls.chromium = Site(SERVER), browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.chromium.close()
        cls.site.close()

    def show(self, path, **options):
        self.chromium.show(f"http://127.0.0.1:{self.site.port}{path}", **options)

    def each(self, check, widths=(1280, 375)):
        for path in PATHS:
            for width in widths:
                for dark in (False, True):
                    with self.subTest(path=path, width=width, dark=dark):
                        self.show(path, width=width, dark=dark)
                        check(path)

    def test_names_and_order(self):
        def check(path):
            tree = self.chromium.tree()
            self.assertEqual([(role, name) for role, name, _ in tree if role in NAMED and not name.strip()], [])
            roles = [role for role, _, _ in tree]
            for landmark in ("banner", "main", "contentinfo", "navigation"):
                self.assertIn(landmark, roles)
            levels = [p["level"] for role, _, p in tree if role == "heading"]
            self.assertEqual(levels[0], 1)
            self.assertTrue(all(b <= a + 1 for a, b in zip(levels, levels[1:])), levels)
            names = [name for role, name, _ in tree if role == "region"]
            self.assertEqual(len(names), len(set(names)), f"regions of the same name: {names}")

        self.each(check)

    def test_tables_stay_tables(self):
        """Rows are blocks on narrow screens, and are still rows to a reader."""
        counts = {}
        def check(path):
            roles = [role for role, _, _ in self.chromium.tree()]
            count = {role: roles.count(role) for role in ("table", "row", "rowheader", "cell")}
            self.assertEqual(counts.setdefault(path, count)["row"], count["row"])
            self.assertGreaterEqual(count["table"], 1)
            self.assertGreaterEqual(count["rowheader"], 1)

        self.each(check)

    def test_contrast(self):
        def check(path):
            result = self.chromium.run(CONTRAST)
            self.assertGreater(result["looked"], 20)
            self.assertEqual(result["low"], [])

        self.each(check)

    def test_nothing_is_wider_than_the_screen(self):
        def check(path):
            self.assertLessEqual(self.chromium.run("document.scrollingElement.scrollWidth - innerWidth"), 0)

        self.each(check, widths=(320, 375, 768, 1280))

    def test_no_complaints(self):
        def check(path):
            # there may be 16 listeners, and who has left is seen only when it is written to
            self.assertEqual([c for c in self.chromium.complaints() if "status of 503" not in c.get("text", "")], [])

        self.each(check, widths=(1280,))

    def test_keyboard(self):
        """The skip link comes first and works; whatever takes the focus shows it; all links are reached."""
        self.show("/")
        self.chromium.key("Tab")
        self.assertEqual(self.chromium.run("document.activeElement.className"), "skip")
        self.assertGreaterEqual(self.chromium.run("document.activeElement.getBoundingClientRect().top"), 0)
        self.chromium.key("Enter")
        self.chromium.wait_for(lambda: self.chromium.run("document.activeElement.id") == "main", "the focus to follow the link")
        self.show("/deployments/3")
        reached = set()
        for _ in range(60):
            self.chromium.key("Tab")
            at = self.chromium.run("(e => e === document.body ? null : [[...document.querySelectorAll('*')].indexOf(e), e.tagName, "
                                   "getComputedStyle(e).outlineStyle])(document.activeElement)")
            if at is None or tuple(at) in reached:
                break
            self.assertNotEqual(at[2], "none", at)
            reached.add(tuple(at))
        there = self.chromium.run("[...document.querySelectorAll('a, summary, pre')].filter(e => e.checkVisibility()).length")
        self.assertEqual(len(reached), there)
        self.assertEqual({tag for _, tag, _ in reached}, {"A", "PRE", "SUMMARY"})

    def test_without_script(self):
        self.show("/", script=False)
        self.chromium.call("Emulation.setScriptExecutionDisabled", value=False)
        self.assertIn("blog", self.chromium.run("document.querySelector('main').innerText"))
        self.assertEqual(self.chromium.run("document.getElementById('old').hidden"), True)

    def test_live(self):
        """What happens while the page is open is shown and said, and what was opened stays open."""
        site = Site(SERVER)  # without the listeners of other pages
        self.addCleanup(site.close)
        self.chromium.show(f"http://127.0.0.1:{site.port}/deployments/9")
        self.chromium.run("document.querySelectorAll('details')[0].open = true")
        opened = self.chromium.run("document.querySelectorAll('details')[0].id")
        heard = lambda name: any(e["method"] == "Network.eventSourceMessageReceived" and e["params"]["eventName"] == name for e in self.chromium.events)
        self.chromium.wait_for(lambda: heard("hello"), "the first event")

        def ends(book):
            book.db.execute("UPDATE deployment SET state = 'succeeded', reason = '1 service rolled', finished_us = ? WHERE id = 9", (book.now,))

        site.fill(ends)
        self.chromium.wait_for(lambda: "succeeded" in self.chromium.run("document.getElementById('said').textContent"), "what is said")
        self.chromium.wait_for(lambda: heard("deployment"), "the event")
        self.assertIn("1 service rolled", self.chromium.run("document.querySelector('main').innerText"))
        self.assertTrue(self.chromium.run(f"document.getElementById('{opened}').open"))

    def test_says_so_when_nobody_answers(self):
        """A tunnel whose network is gone, an agentd that hangs: connections stay, and nothing comes."""
        self.show("/")
        self.chromium.run("AbortSignal.wait = AbortSignal.timeout; AbortSignal.timeout = ms => AbortSignal.wait(ms / 20)")
        self.site.process.send_signal(signal.SIGSTOP)
        try:
            self.chromium.run("document.dispatchEvent(new Event('visibilitychange'))")
            self.chromium.wait_for(lambda: not self.chromium.run("document.getElementById('old').hidden"), "the page to say that it is old")
        finally:
            self.site.process.send_signal(signal.SIGCONT)
        self.chromium.run("document.dispatchEvent(new Event('visibilitychange'))")
        self.chromium.wait_for(lambda: self.chromium.run("document.getElementById('old').hidden"), "the page to be up to date again")

    def test_says_when_it_is_old(self):
        site = Site(SERVER, fill=story.days)
        try:
            self.chromium.show(f"http://127.0.0.1:{site.port}/")
            self.assertTrue(self.chromium.run("document.getElementById('old').hidden"))
        finally:
            site.close()
        self.chromium.wait_for(lambda: not self.chromium.run("document.getElementById('old').hidden"), "the page to say that it is old")


if __name__ == "__main__":
    if not browser.program():
        print("chromium is not installed")
        sys.exit(77)
    unittest.main()
