"""The playground in a real browser, and what it did there."""

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
NEEDED = "SPIRALE_NEEDS_CHROMIUM" in os.environ  # without chromium tests fail, and are not skipped
SCREENSHOTS = os.environ.get("SPIRALE_SCREENSHOTS")  # a folder that pictures of the page are kept in
SECONDS = 120.0
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (401|422|429|503)")

# The pixels of a canvas, as rows of red, green, blue.
PIXELS = """canvas => {
  const { width, height } = canvas;
  const of = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  return { width, height, values: Array.from(of) };
}"""


@dataclass
class Visit:
    """A page, the hosts that it asked, and what it complained of."""

    page: Page
    url: str
    asked: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def wait_until_done(self) -> None:
        """Until what was asked for is there, and has been shown to its end."""
        self.page.wait_for_function(
            """() => document.querySelector("[name=generate]").textContent === "Generate"
              && !document.querySelector("[aria-busy=true]")
              && !document.querySelector(".scrubber .playing")
              && (document.querySelector("#picture").firstChild || document.querySelector("#comparison").firstChild)""",
            timeout=1000 * SECONDS,
        )

    def wait_for_address(self, *parts: str) -> None:
        """Until what is shown is what these parts of the address say."""
        self.page.wait_for_function(
            "parts => parts.every((part) => location.search.includes(part))", arg=list(parts), timeout=1000 * SECONDS
        )
        self.wait_until_done()

    def choose(self, name: str) -> None:
        self.page.locator(".chip", has=self.page.get_by_role("radio", name=name, exact=True)).click()

    def pictures(self) -> list[np.ndarray]:
        """uint8 [H, W, 3] of every image on the sheet."""
        canvases = self.page.locator("#picture canvas").all()
        return [as_array(canvas.evaluate(PIXELS)) for canvas in canvases]

    def download(self, button: str) -> bytes:
        with self.page.expect_download() as downloading:
            self.page.get_by_role("button", name=button, exact=True).click()
        return Path(downloading.value.path()).read_bytes()

    def keep_picture(self, name: str) -> None:
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def as_array(pixels: dict) -> np.ndarray:
    values = np.array(pixels["values"], dtype=np.uint8)
    return values.reshape(pixels["height"], pixels["width"], 4)[..., :3]


def as_pixels(png: bytes) -> np.ndarray:
    """uint8 [H, W, 3]"""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@contextlib.contextmanager
def visits() -> Iterator[Callable[..., Visit]]:
    """What opens pages. Whatever they do, none may ask another host, or complain of more than a refusal."""
    visited: list[Visit] = []

    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

        def open_page(url: str, path: str = "/", **options) -> Visit:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
            visit = Visit(context.new_page(), url)
            visit.page.on("request", lambda request: visit.asked.add(request.url))
            visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
            visit.page.on(
                "console",
                lambda said: (
                    said.type == "error"
                    and not said.location["url"].endswith(
                        "/readyz"
                    )  # a busy machine may be slow to say that it is ready
                    and visit.complaints.append(said.text)
                ),
            )
            visit.page.goto(url + path)
            visited.append(visit)
            return visit

        yield open_page
        browser.close()
    for visit in visited:
        elsewhere = {asked for asked in visit.asked if not asked.startswith((visit.url + "/", "data:", "blob:"))}
        assert not elsewhere, elsewhere
