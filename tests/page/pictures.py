# SPDX-License-Identifier: Apache-2.0
"""pictures.py PAGE_SERVER: records docs/page/*.png."""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import browser  # noqa: E402
from site_server import Site  # noqa: E402

# name, path, settings of Browser.show(), height
PICTURES = [
    ("stacks-light", "/", {}, 1180),
    ("stacks-dark", "/", {"dark": True}, 1180),
    ("stacks-narrow", "/", {"width": 375}, 1400),
    ("deployment-light", "/deployments/3", {}, 1250),
    ("deployment-dark-narrow", "/deployments/6", {"width": 375, "dark": True}, 1400),
    ("stack-light", "/stacks/wiki", {}, 1000),
]
LARGEST = 150_000


def main():
    folder = HERE.parents[1] / "docs" / "page"
    folder.mkdir(exist_ok=True)
    site, chromium = Site(sys.argv[1]), browser.Browser()
    try:
        for name, path, settings, height in PICTURES:
            picture = folder / f"{name}.png"
            chromium.show(f"http://127.0.0.1:{site.port}{path}", **settings)
            chromium.picture(picture, height)
            subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", "64", picture], check=True)
            size = picture.stat().st_size
            print(f"{picture}: {size} bytes")
            if size > LARGEST:
                raise SystemExit(f"{name} is larger than {LARGEST} bytes")
    finally:
        chromium.close()
        site.close()


if __name__ == "__main__":
    main()
