# SPDX-License-Identifier: Apache-2.0
"""The colours of style.css, held to WCAG 2 AA: 4.5 for text, 3 for what is drawn. https://www.w3.org/TR/WCAG22/#contrast-minimum"""

import re

TONES = ("good", "bad", "careful", "busy", "plain")
# text, and each ground that it stands on
TEXT = [("text", ground) for ground in ("ground", "surface", "code-ground", *(f"{t}-ground" for t in TONES))]
TEXT += [("soft", ground) for ground in ("ground", "surface", "busy-ground", "code-ground", "careful-ground", "bad-ground", "good-ground", "plain-ground")]
TEXT += [("link", ground) for ground in ("ground", "surface", "busy-ground", "bad-ground", "careful-ground", "good-ground", "plain-ground")]
TEXT += [(tone, ground) for tone in TONES for ground in (f"{tone}-ground", "surface")]
DRAWN = [(tone, ground) for tone in TONES for ground in ("surface", "plain-ground")] + [("link", "surface")]


def schemes(css):
    """({name: colour} of the light scheme, the same of the dark one)"""
    light, dark = re.findall(r":root \{(.*?)\}", css, re.S)
    read = lambda block: dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
    return {"light": read(light), "dark": {**read(light), **read(dark)}}


def luminance(colour):
    def linear(c):
        c /= 255
        return c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[i:i + 2], 16)) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ratio(one, other):
    a, b = sorted((luminance(one), luminance(other)), reverse=True)
    return (a + 0.05) / (b + 0.05)


def too_little(css):
    """What is not readable: (scheme, text, ground, ratio)."""
    found = []
    for scheme, colours in schemes(css).items():
        for pairs, least in ((TEXT, 4.5), (DRAWN, 3)):
            found += [(scheme, a, b, round(ratio(colours[a], colours[b]), 2)) for a, b in pairs if ratio(colours[a], colours[b]) < least]
    return found
