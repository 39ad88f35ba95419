"""Records docs/spiral.webp, the moving picture in README: how a spiral forms, with the score field that leads it.

make serve                                # in another terminal
.venv/bin/python docs/record_spiral.py    # needs what the tests need, and Debian's package chromium
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PAGE = "?dataset=spiral&model=spiral-cfg&labels=each&n=400&sampler=ddim&steps=20&seed=3&look=x_t,field"
SIZE = {"width": 1100, "height": 800}
FRAME, LAST = 150, 2_500  # milliseconds
PAUSE = 600  # milliseconds in which a service on this machine answers and the page paints
QUALITY = 60  # of WebP
MOST_BYTES = 1_000_000


def record(page: Page, address: str) -> list[Image.Image]:
    """A picture of the page at each step, with the arrows of that step."""
    page.goto(f"{address}/{PAGE}")
    scrubber = page.get_by_role("slider", name="Trajectory")
    scrubber.wait_for()
    page.get_by_role("button", name="Generate", exact=True).wait_for()  # until then it says Stop, and steps are lacking
    last = int(scrubber.get_attribute("max") or 0)
    frames = []
    for step in range(last + 1):
        scrubber.fill(str(step))
        page.wait_for_timeout(PAUSE)
        frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    return frames


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        still = {"viewport": SIZE, "reduced_motion": "reduce", "color_scheme": "light", "locale": "en"}
        frames = record(browser.new_page(**still), address)
        browser.close()
    path = Path(__file__).parent / "spiral.webp"
    durations = [FRAME] * (len(frames) - 1) + [LAST]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=QUALITY, method=6)
    size = path.stat().st_size
    print(f"{path}: {len(frames)} frames, {size / 1e6:.2f} MB")
    if size > MOST_BYTES:
        sys.exit("larger than README should load: lower QUALITY")


if __name__ == "__main__":
    main()
