# SPDX-License-Identifier: Apache-2.0
"""test_pages.py PAGE_SERVER: what the pages say of a record that has every state, and how they are made."""

import http.client
import itertools
import json
import pathlib
import re
import socket
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import contrast  # noqa: E402
import markup  # noqa: E402
import story  # noqa: E402
from site_server import Site  # noqa: E402

SERVER = sys.argv.pop(1) if len(sys.argv) > 1 else None
SOURCES = HERE.parents[1] / "src" / "html"
HOSTILE = "'\"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\x1b[31m\u202e\u0085 end"


class Served(unittest.TestCase):
    stacks, story = ("shop", "blog", "wiki"), staticmethod(story.days)

    @classmethod
    def setUpClass(cls):
        cls.site = Site(SERVER, cls.stacks, cls.story)

    @classmethod
    def tearDownClass(cls):
        cls.site.close()

    def read(self, path):
        page = markup.Page(self.site.page(path))
        self.assertEqual(page.wrong, [], path)
        return page

    def says(self, path, *words):
        text = self.read(path).text
        for word in words:
            self.assertIn(word, text)
        return text


class Days(Served):
    def test_stacks(self):
        text = self.says("/", "shop in step", "blog deploying", "wiki held", "Let orders be cancelled within ten minutes by alice",
                         "Now roll web, for ", "of at most 4m5", "1 of 2 replicas up: starting", "8 of 11 steps", "agentctl cancel 9", "agentctl retry 6", "agentctl resume wiki", "bob looks at the cache",
                         "web healthy", "worker unverified", "FAILED exit 1", "only shows")
        self.assertEqual(self.read("/").title.split(" · ")[0], "blog deploying, wiki held")
        self.assertNotIn("hunter22", text)

    def test_failed(self):
        text = self.says("/deployments/3", "Deployment #3", "failed", "No application service was touched", "agentctl retry 3", "UniqueViolation", "run django",
                         "not run", "sha256:91a2e0185391", "bob")
        self.assertRegex(self.site.page("/deployments/3"), r'<details id="output-7" open>')
        self.assertNotIn("hunter22", text)

    def test_rolled_back(self):
        self.says("/deployments/6", "rolled back", "The services were put back to what ran before.", "KeyError: 'CACHE_URL'", "0 of 5 now (200 before, 500 now)")

    def test_running(self):
        self.says("/deployments/9", "running", "so far", "agentctl cancel 9", "1 of 2 replicas up: starting")

    def test_stack(self):
        self.says("/stacks/wiki", "wiki", "held", "service web: update", "env CACHE_URL", "agentctl plan wiki")
        self.says("/stacks/shop", "Nothing: the newest commit that was seen is deployed.", "registry.example.org/shop/web:42@sha256:91a2e0185391")

    def test_every_page_is_well_made(self):
        pages = self.site.every_page()
        self.assertGreaterEqual(len(pages), 13)
        for path, text in pages.items():
            with self.subTest(path):
                self.assertEqual(markup.faults(text), [])

    def test_what_is_not_there(self):
        for path in ("/stacks/none", "/stacks/..", "/deployments/99", "/deployments/x", "/deployments/-1", "/deployments/99999999999999999999", "/assets/x"):
            with self.subTest(path):
                status, _, body = self.site.get(path)
                self.assertEqual(status, 404)
                self.assertEqual(markup.faults(body), [])

    def test_headers(self):
        for path in ("/", "/stacks/shop", "/deployments/1", "/assets/style.css", "/assets/live.js", "/assets/icon.svg"):
            with self.subTest(path):
                status, headers, body = self.site.get(path)
                self.assertEqual(status, 200)
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(self.site.get(path, "HEAD")[2], "")
                if "9" not in path and path != "/":  # what runs has a clock on it
                    status, _, again = self.site.get(path, **{"If-None-Match": headers["ETag"]})
                    self.assertEqual((status, again), (304, ""))
        headers = self.site.get("/")[1]
        policy = headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual(self.site.get("/", "POST")[0], 405)

    def test_names(self):
        """The record is told only to those who ask for a name that nobody else can point at this host."""
        known = ("127.0.0.1", f"127.0.0.1:{self.site.port}", "localhost", "LocalHost:80", "a.localhost", "[::1]", "[::1]:80", "10.0.0.7", socket.gethostname(),
                 "deploy.example.org", "Deploy.Example.Org:443")
        unknown = ("example.org", "evil.example.org:80", "127.0.0.1.example.org", "localhost.example.org", "notlocalhost", "x.deploy.example.org",
                   "deploy.example.org.", "[::1", "[::1].example.org", "[::1]x:80", "::1", "127.1", "")
        for path in ("/", "/stacks/shop", "/deployments/1", "/api/v1/deployments", "/api/v1/stacks"):
            for names, status in ((known, 200), (unknown, 421)):
                for name in names:
                    with self.subTest(path=path, name=name):
                        self.assertEqual(self.site.get(path, Host=name)[0], status)
        self.assertEqual(self.site.get("/healthz", Host="example.org")[0], 200)

    def test_nothing_changes(self):
        """GET has no effects, whatever is asked."""
        before = (self.site.dir / "journal.db").read_bytes()
        self.site.every_page()
        self.assertEqual((self.site.dir / "journal.db").read_bytes(), before)


class History(Served):
    stacks = ("shop",)

    @staticmethod
    def story(book):
        for n in range(1, 61):
            book.deployment("shop", "succeeded", 100 - n, 0.5, f"Change {n}.", number=n)

    def test_pages(self):
        """Each deployment stands on one page, newest first, on those of all as on those of a stack."""
        for path in ("/", "/stacks/shop"):
            seen, at = [], path
            while at and len(seen) < 100:
                text = self.site.page(at)
                table = text.split('class="rows history"')[1].split("</table>")[0]
                seen += [int(n) for n in re.findall(r'href="/deployments/(\d+)"', table)]
                older = re.search(r'href="([^"]*)" rel="next"', text)
                at = older and older.group(1)
            self.assertEqual(seen, list(range(60, 0, -1)), path)

    def test_before_nonsense(self):
        for value in ("x", "-1", "0", "99999999999999999999", "1'", "%00"):
            self.assertEqual(self.site.get(f"/?before={value}")[0], 200)
        self.assertIn("No deployment is on record before this one", self.site.page("/?before=1"))


class Empty(Served):
    stacks = ("shop",)
    story = None

    def test_nothing_yet(self):
        self.says("/", "shop not deployed yet", "Nothing was deployed yet.", "No deployment is on record yet.")
        self.says("/stacks/shop", "What Git says is not known yet.", "agentctl plan shop")


class Unconfigured(Served):
    stacks = ()
    story = None

    def test_under_way(self):
        """What is under way is not always what the branch is at."""
        def plan_of(service):
            return {**story.PLAN, "services": [{"service": service, "action": "update", "restarts": True, "changes": ["image"]}]}

        def fill(book):
            def stack(name, tip, under_way, state="running"):
                book.deployment(name, "succeeded", 30, 1, number=10)
                book.deployment(name, state, 1, None, number=under_way, plan=plan_of(f"of{under_way}"))
                book.stack(name, tip=story.commit_id(tip), tip_seen_us=book.ago(1))
            stack("pushed", 11, 11)
            stack("twice", 12, 11)
            stack("back", 10, 9, "interrupted")
            stack("again", 10, 10)

        nothing = "Nothing: the newest commit that was seen is deployed."
        site = Site(SERVER, stacks=("pushed", "twice", "back", "again"), fill=fill)
        try:
            for name, says, says_not in (
                    ("pushed", ["is not what was deployed last", "#2 planned it; its plan:", "service of11: update"], [nothing]),
                    ("twice", [f"{story.commit_id(12)[:7]} is not what was deployed last, which is {story.commit_id(10)[:7]}."], ["its plan:", nothing]),
                    ("back", [nothing], ["is not what was deployed last", "its plan:"]),
                    ("again", [nothing, "#8 deploys it again; its plan:", "service of10: update"], ["is not what was deployed last"])):
                text = markup.Page(site.page(f"/stacks/{name}")).text
                for words in says:
                    self.assertIn(words, text, name)
                for words in says_not:
                    self.assertNotIn(words, text, name)
        finally:
            site.close()

    def test_no_stack(self):
        self.says("/", "No stack is configured.", "agentctl check")


class Agent(Served):
    """What is true for all stacks, and a stack whose section is gone."""
    stacks = ()

    @staticmethod
    def story(book):
        story.days(book)
        for name, failing in (("notify chat", book.ago(12)), ("records", None)):
            book.insert("receiver", name=name, keep=0, keep_us=0, position=0, failing_since_us=failing, error=failing and "chat.example.org: 503", dropped=2)

    def test_receivers(self):
        text = self.says("/", "notify chat cannot be told, since", "chat.example.org: 503", "2 dropped")
        self.assertNotIn("records", text)

    def test_not_watched(self):
        self.says("/stacks/shop", "shop", "not watched", "no section of agent.conf names this stack any more", "Let orders be cancelled within ten minutes")


class EveryState(Served):
    stacks = ("intern",)
    story = staticmethod(story.every_state)

    def test_states(self):
        self.says("/", "succeeded", "failed", "rolled back", "halted", "cancelled", "superseded", "stuck", "interrupted", "requested", "planned", "running",
                  "needs a person")
        for n in range(1, 12):
            self.says(f"/deployments/{n}", "failed (allowed)", "degraded", "not run")

    def test_what_next(self):
        for n, words in {2: "No application service was touched", 3: "put back to what ran before", 4: "stopped half way", 5: "were put back",
                         7: "came no further", 8: "taken up again as soon as agentd runs"}.items():
            self.says(f"/deployments/{n}", words)
        for n, command in {2: "agentctl retry 2", 4: "agentctl rollback intern", 5: "agentctl retry 5", 7: "journalctl -u deploy-agent DEPLOYMENT=7",
                           9: "agentctl cancel 9"}.items():
            self.says(f"/deployments/{n}", command)


class Hostile(Served):
    stacks = ("intern",)

    @staticmethod
    def story(book):
        story.every_state(book, HOSTILE)

    def test_text_stays_text(self):
        pages = self.site.every_page()
        self.assertGreaterEqual(len(pages), 13)
        for path, text in pages.items():
            with self.subTest(path):
                self.assertEqual(markup.faults(text), [])
                self.assertNotIn("<script>alert", text)
                self.assertNotIn("<img", text)
                self.assertEqual(text.count("<script"), 1)
        # it is shown as it was written, less what controls terminals
        self.assertIn("'\"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;[31m end", markup.Page(pages["/deployments/2"]).text)


class Large(Served):
    """However long a record is, a page of it is not."""
    stacks = ("shop",)

    @staticmethod
    def story(book):
        many = [(f"step{i}", f"{i:05}", "<" * 300, "applied") for i in range(9000)]
        steps = [("run", f"job{i}", "failed", 1.0, "&" * 5000, ("<line>" * 20 + "\n") * 500) for i in range(60)]
        services = [(f"web{i}", "update", "healthy", "1", "2", "'" * 3000) for i in range(300)]
        book.deployment("shop", "failed", 30, 20, "<" * 190, "\"" * 190, "'" * 4000, steps, services, many)
        for i in range(40):
            book.deployment("shop", "failed", 20, 1, "<" * 190, "\"" * 190, "'" * 4000)

    def test_bounds(self):
        for path, text in self.site.every_page().items():
            with self.subTest(path):
                self.assertEqual(markup.faults(text), [])
                self.assertLess(len(text.encode()), 500_000)
        self.assertIn("There is more than fits on a page", self.site.page("/deployments/1"))


class Listener(unittest.TestCase):
    def test_stop(self):
        """Somebody who listens keeps nobody from stopping."""
        site = Site(SERVER)
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
        connection.request("GET", "/api/v1/events")
        answer = connection.getresponse()
        while not answer.fp.readline().startswith(b"event: hello"):
            pass
        site.close()
        connection.close()


class Events(unittest.TestCase):
    def setUp(self):
        self.site = Site(SERVER, ("shop", "blog"), self.waits)
        self.addCleanup(self.site.close)

    @staticmethod
    def waits(book):
        """One of shop has waited since before many of blog."""
        book.deployment("shop", "requested", 900)
        for n in range(60):
            book.deployment("blog", "succeeded", 800 - n, 0.5)

    def listen(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=30)
        self.addCleanup(connection.close)
        connection.request("GET", "/api/v1/events")
        answer = connection.getresponse()

        def events():
            """(event, data) of each, until the connection ends"""
            name, end = None, time.monotonic() + 40
            for line in map(bytes.decode, answer):  # signs of life come every ten seconds
                self.assertLess(time.monotonic(), end, "nothing more was told")
                field, _, value = line.rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

        heard = events()
        self.assertEqual(next(heard)[0], "hello")
        return heard

    def test_many_at_once(self):
        """All that is new is told, oldest first, not only what one look takes; then what comes after."""
        heard = self.listen()

        def more(book):
            book.ids = [61]
            for n in range(130):
                book.deployment("blog", "succeeded", 600 - n, 0.5)

        self.site.fill(more)
        told = [data["id"] for _, data in itertools.islice(heard, 130)]
        self.assertEqual(told, list(range(62, 192)))

    def test_one_that_has_waited_for_long(self):
        heard = self.listen()
        self.site.fill(lambda book: book.db.execute("UPDATE deployment SET state = 'superseded', finished_us = requested_us WHERE id = 1"))
        name, data = next(heard)
        self.assertEqual((name, data["id"], data["state"]), ("deployment", 1, "superseded"))

    def test_another_journal(self):
        """After damage ids begin anew: what was said of the old ones is not gone on with."""
        heard = self.listen()
        self.site.fill(lambda book: [book.db.execute(f"DELETE FROM {table}") for table in ("deployment", "sqlite_sequence")])
        with self.assertRaises((StopIteration, http.client.IncompleteRead)):
            next(heard)
        heard = self.listen()
        self.site.fill(lambda book: book.deployment("blog", "succeeded", 10, 0.5))
        self.assertEqual(next(heard)[1]["id"], 1)


class Style(unittest.TestCase):
    css = (SOURCES / "style.css").read_text()

    def test_contrast(self):
        self.assertEqual(contrast.too_little(self.css), [])

    def test_both_schemes_have_each_colour(self):
        light, dark = re.findall(r":root \{(.*?)\}", self.css, re.S)
        self.assertEqual(re.findall(r"--[a-z-]+(?=:)", light), re.findall(r"--[a-z-]+(?=:)", dark))

    def test_colours_stand_in_one_place(self):
        rest = re.sub(r":root \{.*?\}", "", self.css, flags=re.S).split("@media print")[0]
        self.assertEqual(re.findall(r"#[0-9a-f]{3,8}\b|\brgba?\(|\bhsla?\(", rest), [])

    def test_motion_only_where_it_is_wanted(self):
        rest = re.sub(r"@media \(prefers-reduced-motion: no-preference\) \{.*?\n\}", "", self.css, flags=re.S)
        self.assertEqual(re.findall(r"animation|transition", rest), [])

    def test_sizes(self):
        self.assertLess((SOURCES / "live.js").stat().st_size, 3072)
        self.assertLess((SOURCES / "style.css").stat().st_size, 16384)

    def test_nothing_comes_from_elsewhere(self):
        for name in ("style.css", "live.js"):
            self.assertEqual(re.findall(r"url\(|@import|https?://", (SOURCES / name).read_text()), [])


if __name__ == "__main__":
    unittest.main()
