"""The playground while a slider or a pen moves: how long until the picture follows, in a browser on one machine."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from playwright.sync_api import Page, sync_playwright
from rich.table import Table

from benchmarks import machine
from benchmarks.server import spirale

CHROMIUM = "/usr/bin/chromium"
EVERY = 50  # milliseconds between two movements of the hand

# Moves a slider to and fro, or a pen round and round. For each movement: milliseconds until there is a picture that was
# asked for after it, and those of its answer; null where none came.
MOVE = """async ({ moves, every, hand }) => {
  const [inputs, asked, answered, painted] = [[], [], [], []];
  const own = window.fetch;
  window.fetch = async (...given) => {
    if (given[0] !== "sample") return own(...given);
    const number = asked.push(performance.now()) - 1;
    const answer = await own(...given);
    const [shown, read] = answer.body.tee();
    new Response(read).arrayBuffer().then(() => (answered[number] = performance.now()), () => {});
    return new Response(shown, answer);
  };
  const canvas = CanvasRenderingContext2D.prototype;
  for (const name of ["drawImage", "clearRect"]) {
    const paint = canvas[name];
    canvas[name] = function (...given) {
      if (asked.length && this.canvas.closest("#picture")) painted[asked.length - 1] = performance.now();
      return paint.apply(this, given);
    };
  }
  const slider = [...document.querySelectorAll(".dial")].find((one) => one.innerText.startsWith("Guidance scale"))
    .querySelector("input[type=range]");
  const pad = document.getElementById("pad");
  pad.setPointerCapture = () => {}; // no browser captures a pointer that nobody holds
  const hands = {
    slider: (i) => {
      slider.value = 20 + (i % 2 ? 40 : 0) + (i % 40);
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    },
    pen: (i) => {
      const { left, top, width, height } = pad.getBoundingClientRect();
      const [x, y] = [0.5 + 0.2 * Math.sin(i / 9), 0.5 - 0.3 * Math.cos(i / 9)];
      const at = { pointerId: 7, bubbles: true, clientX: left + width * x, clientY: top + height * y };
      const moved = new PointerEvent("pointermove", at);
      const drawn = { ...at, coalescedEvents: [moved] };
      pad.dispatchEvent(i ? new PointerEvent("pointermove", drawn) : new PointerEvent("pointerdown", at));
    },
  };
  for (let i = 0; i < moves; i++) {
    inputs.push(performance.now());
    hands[hand](i);
    await new Promise((done) => setTimeout(done, every));
  }
  await new Promise((done) => setTimeout(done, 2000));
  return inputs.map((at) => [at, asked.findIndex((begun, number) => begun >= at && painted[number])])
    .map(([at, number]) => (number < 0 ? null : [painted[number] - at, answered[number] - asked[number]]));
}"""


@dataclass(frozen=True)
class Case:
    """hand: what moves; asked: milliseconds, for 95 of 100 movements"""

    title: str
    query: str
    hand: Literal["slider", "pen"] = "slider"
    asked: int = 150


CASES = (
    Case("one digit", "dataset=mnist&label=7&seed=1"),
    Case("ten digits", "dataset=mnist&labels=each&seed=1"),
    Case("500 points", "dataset=spiral&labels=each&seed=1&n=500"),
    Case("a digit that follows a drawing", "view=draw&dataset=mnist&seed=1&n=1", "pen", asked=120),
)


def run(moves: int) -> None:
    machine.console.print(f"[bold]page[/] · {machine.describe()}")
    title = f"{moves} movements, {EVERY} ms apart"
    table = Table("", "p50, ms", "p95, ms", "asked", "of it the answer, p50", "without a picture", title=title)
    with spirale() as (url, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox"])
        for case in CASES:
            page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en")
            hand = {"every": EVERY, "hand": case.hand}
            _open(page, f"{url}/?{case.query}", case.hand)
            page.evaluate(MOVE, hand | {"moves": moves // 10})  # warm: the browser compiles what it runs
            _open(page, f"{url}/?{case.query}", case.hand)
            found = page.evaluate(MOVE, hand | {"moves": moves})
            table.add_row(case.title, *row_of(found, case.asked))
            page.close()
        browser.close()
    machine.console.print(table)


def _open(page: Page, address: str, hand: str) -> None:
    """And wait: for the first picture; before a pen there is none, but the page knows what may be asked."""
    page.goto(address)
    drawn = "true" if hand == "pen" else "document.querySelector('#picture').firstChild"
    page.wait_for_function(
        "() => document.querySelector('[name=generate]').textContent === 'Generate' && "
        f"document.querySelector('.dial input') && {drawn} && !document.querySelector('[aria-busy=true]')"
    )


def row_of(found: Sequence[Sequence[float] | None], asked: int) -> list[str]:
    """A movement without a picture took for ever."""
    shown = [times for times in found if times is not None]
    whole = [math.inf if times is None else times[0] for times in found]
    p50, p95 = np.quantile(whole, [0.5, 0.95], method="higher")  # nothing lies between a number and for ever
    answer = statistics.median(times[1] for times in shown) if shown else math.inf
    return [f"{p50:.0f}", f"[bold]{p95:.0f}[/]", f"≤ {asked}", f"{answer:.0f}", str(len(found) - len(shown))]
