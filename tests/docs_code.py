# SPDX-License-Identifier: Apache-2.0
"""The code on the pages of the documentation: what stands in fences, indented, and between backquotes."""

import pathlib
import re
import textwrap

TOP = pathlib.Path(__file__).resolve().parents[1]


def pages():
    return sorted([TOP / "README.md", *(TOP / "docs").rglob("*.md")])


def blocks(text):
    """(line number, kind, code): kind is the language of a fence ("" without one), "indented", or "inline"."""
    kind, first, held = "text", 1, []

    def close():
        code = "\n".join(held)
        if kind == "text":
            for found in re.finditer(r"`([^`]+)`", code):
                yield first + code.count("\n", 0, found.start()), "inline", " ".join(found[1].split())
        elif code.strip():
            yield first, kind, textwrap.dedent(code).strip("\n")

    for number, line in enumerate(text.splitlines(), 1):
        fence = line.lstrip().startswith("```")
        if kind not in ("text", "indented"):
            now = "text" if fence else kind
        else:
            now = line.strip()[3:] if fence else "indented" if line.startswith("    ") or kind == "indented" and not line.strip() else "text"
        if now != kind or fence:
            yield from close()
            kind, first, held = now, number + fence, []
        if not fence:
            held.append(line)
    yield from close()


def lines(text):
    """(line number, line of code), wherever it stands."""
    for number, _, code in blocks(text):
        for offset, line in enumerate(code.splitlines()):
            yield number + offset, line.strip()
