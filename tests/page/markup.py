# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a page's markup: faults(html) is a list of words, empty when all is well.

Every element is closed in its order, ids are there once, what refers to one finds it, headings come in order, each landmark, table,
region and link has a name, nothing is inline that the Content-Security-Policy forbids, and nothing comes from elsewhere.
"""

import html.parser

VOID = {"meta", "link", "br", "hr", "img", "input", "rect", "path"}
NAMED = {"nav", "section", "progress"}
TABLE_ROLES = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "td": "cell"}


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.wrong, self.open, self.ids, self.refers, self.headings, self.landmarks = [], [], [], [], [], []
        self.links = []  # [href, text]
        self.words = []
        self.language = self.title = None
        self.tables = []
        self.feed(text)
        self.close()
        self.finish()

    def fault(self, words):
        self.wrong.append(f"line {self.getpos()[0]}: {words}")

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if len(a) != len(attributes):
            self.fault(f"<{tag}> has an attribute twice")
        for name in a:
            if name == "style" or name.startswith("on"):
                self.fault(f"<{tag}> has an inline {name}")
        for name in ("href", "src"):
            if name in a and not (a[name] or "").startswith(("/", "#")):
                self.fault(f"<{tag}> refers elsewhere: {a[name]}")
        if "id" in a:
            self.ids.append(a["id"])
        self.refers += [word for name in ("aria-labelledby", "aria-describedby") for word in a.get(name, "").split()]
        if a.get("href", "").startswith("#"):
            self.refers.append(a["href"][1:])
        if (tag in NAMED or a.get("role") == "region") and not (a.get("aria-label") or a.get("aria-labelledby")):
            self.fault(f"<{tag}> has no name")
        if tag in TABLE_ROLES and a.get("role") != TABLE_ROLES[tag]:
            self.fault(f"<{tag}> has no role, which it needs on narrow screens")
        if tag == "th" and (a.get("scope"), a.get("role")) not in (("col", "columnheader"), ("row", "rowheader")):
            self.fault("<th> without scope and role")
        if tag == "svg" and a.get("aria-hidden") != "true":
            self.fault("<svg> is not hidden from readers")
        if tag == "pre" and a.get("tabindex") != "0":
            self.fault("<pre> scrolls and cannot be reached with the keyboard")
        if tag in ("script", "style") and "src" not in a:
            self.fault(f"inline <{tag}>")
        if tag in ("form", "button", "input", "iframe", "object"):
            self.fault(f"<{tag}> on a page that only shows")
        self.note(tag, a)
        if tag not in VOID:
            self.open.append(tag)

    def note(self, tag, a):
        if tag == "html":
            self.language = a.get("lang")
        elif tag in ("header", "main", "footer", "nav") and (tag != "header" or "top" in a.get("class", "")):
            self.landmarks.append(tag)
        elif tag == "table":
            self.tables.append(False)
        elif tag == "caption":
            self.tables[-1] = True
        elif tag == "a":
            self.links.append([a.get("href"), ""])
        elif tag in ("h1", "h2", "h3", "h4"):
            level = int(tag[1])
            if level > (self.headings[-1] if self.headings else 0) + 1:
                self.fault(f"<{tag}> skips a level")
            self.headings.append(level)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.fault(f"</{tag}> closes {self.open[-1:]}")
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        self.words.append(data)
        if "a" in self.open:
            self.links[-1][1] += data
        if self.open[-1:] == ["title"]:
            self.title = data
        for c in data:
            if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f":
                self.fault(f"control character {ord(c):#x}")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def finish(self):
        twice = {i for i in self.ids if self.ids.count(i) > 1}
        self.wrong += [f"never closed: {self.open}"] * bool(self.open) + [f"ids that are there twice: {twice}"] * bool(twice)
        self.wrong += [f"nothing has the id {r}" for r in self.refers if r not in self.ids]
        self.wrong += [f"a link to {href} has no words" for href, text in self.links if not text.strip()]
        if self.headings.count(1) != 1:
            self.wrong.append(f"{self.headings.count(1)} <h1>")
        if not all(self.tables):
            self.wrong.append("a table has no caption")
        if self.language != "en" or not self.title:
            self.wrong.append("no language, or no title")
        if [self.landmarks.count(x) for x in ("header", "main", "footer")] != [1, 1, 1]:
            self.wrong.append(f"landmarks are {self.landmarks}")

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def faults(text):
    return Page(text).wrong
