"""The playground in a real browser, and what it did there."""

import base64
import contextlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, sync_playwright

from tests.waiting import wait_for

CHROMIUM = Path("/usr/bin/chromium")
FIREFOX = Path("/usr/bin/firefox-esr")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
NEEDED = "SPIRALE_NEEDS_CHROMIUM" in os.environ  # without chromium tests fail, and are not skipped
SCREENSHOTS = os.environ.get("SPIRALE_SCREENSHOTS")  # a folder that pictures of the page are kept in
SECONDS = 300.0  # after which a test is lost, on a slow machine too
PAUSE = 300  # milliseconds without a change, after which the page asks for what was changed: longer than any of its own
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (401|422|429|503)")

# The pixels of canvases: red, green, blue, alpha of each, row by row, in base64.
PIXELS = """canvases => canvases.map((canvas) => {
  const { width, height } = canvas;
  const values = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  return { width, height, values: btoa(String.fromCharCode(...values)) };
})"""


@dataclass
class Visit:
    """A page, the hosts that it asked, and what it complained of."""

    page: Page
    url: str
    downloads: Path | None = None  # where files come to, if the browser does not tell of them
    asked: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def wait_until_done(self) -> None:
        """Until what was asked for is there, and has been shown to its end; also while the page is being loaded."""
        self.page.wait_for_function(
            """() => document.querySelector("[name=generate]")?.textContent === "Generate"
              && !document.querySelector("[aria-busy=true]")
              && !document.querySelector(".scrubber .playing")
              && (document.querySelector("#picture").firstChild || document.querySelector("#comparison").firstChild)""",
        )

    def wait_until_asked(self) -> None:
        """Until the page has asked for what was changed last. Its timers end in their order, however slow it is."""
        self.page.evaluate("pause => new Promise((done) => setTimeout(done, pause))", PAUSE)

    def wait_for_address(self, *parts: str) -> None:
        """Until what is shown is what these parts of the address say."""
        self.page.wait_for_function("parts => parts.every((part) => location.search.includes(part))", arg=list(parts))
        self.wait_until_done()

    def choose(self, name: str) -> None:
        self.page.locator(".chip", has=self.page.get_by_role("radio", name=name, exact=True)).click()

    def pictures(self, of: str = "#picture") -> list[np.ndarray]:
        """uint8 [H, W, 3] of every image in there; what there is to begin with is the sheet."""
        return [as_array(pixels) for pixels in self.page.eval_on_selector_all(f"{of} canvas", PIXELS)]

    def download(self, button: str) -> bytes:
        press = self.page.get_by_role("button", name=button, exact=True).click
        if self.downloads is None:
            with self.page.expect_download() as downloading:
                press()
            return Path(downloading.value.path()).read_bytes()
        before = set(self.downloads.iterdir())
        press()
        wait_for(lambda: sum(path.stat().st_size for path in set(self.downloads.iterdir()) - before) > 0)
        wait_for(lambda: not list(self.downloads.glob("*.part")))
        (path,) = set(self.downloads.iterdir()) - before
        return path.read_bytes()

    def keep_picture(self, name: str) -> None:
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def complain(visit: Visit, said: ConsoleMessage) -> None:
    """Keep an error of the page, and the address that it is about."""
    about = said.location["url"]
    if said.type == "error" and not about.endswith("/readyz"):  # a busy machine may be slow to say that it is ready
        visit.complaints.append(f"{said.text} ({about})")


def status_of(complaint: str) -> str | None:
    """Of an answer that the service refused; None of anything else."""
    found = REFUSED.match(complaint)
    return found[1] if found else None


def as_array(pixels: dict) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(pixels["values"]), dtype=np.uint8)
    return values.reshape(pixels["height"], pixels["width"], 4)[..., :3]


def as_pixels(png: bytes) -> np.ndarray:
    """uint8 [H, W, 3]"""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def launched(playwright: Playwright, program: Path, downloads: str) -> Browser:
    """Debian's own browser; Firefox by WebDriver BiDi, which needs none of Playwright's builds."""
    if program == FIREFOX:
        return playwright.firefox.launch(
            channel="moz-firefox",
            executable_path=program,
            downloads_path=downloads,
            firefox_user_prefs={"ui.prefersReducedMotion": 1},  # a context's own wish does not reach it
        )
    return playwright.chromium.launch(executable_path=program, args=FLAGS)


@contextlib.contextmanager
def visits(program: Path = CHROMIUM) -> Iterator[Callable[..., Visit]]:
    """What opens pages. Nothing moves there unless motion is asked for, and no page may ask another host."""
    visited: list[Visit] = []

    with tempfile.TemporaryDirectory() as downloads, sync_playwright() as playwright:
        browser = launched(playwright, program, downloads)

        def open_page(url: str, path: str = "/", **options) -> Visit:
            still = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
            context = browser.new_context(**{**still, **options})
            context.set_default_timeout(1000 * SECONDS)
            if program == CHROMIUM:
                context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
            # By BiDi Playwright does not notice a download that no navigation began.
            visit = Visit(context.new_page(), url, Path(downloads) if program == FIREFOX else None)
            visit.page.on("request", lambda request: visit.asked.add(request.url))
            visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
            visit.page.on("console", partial(complain, visit))
            visit.page.goto(url + path)
            visited.append(visit)
            return visit

        yield open_page
        browser.close()
    for visit in visited:
        elsewhere = {asked for asked in visit.asked if not asked.startswith((visit.url + "/", "data:", "blob:"))}
        assert not elsewhere, elsewhere
