"""The playground where something is in the way, or is not as in the shipped models."""

import base64
import contextlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from model.checkpoints.base import save_checkpoint
from model.checkpoints.reference_points import MAX_REFERENCE, Reference, save_reference
from model.data import DataConfig
from model.measured_columns import DateColumn, NumberColumn
from model.samplers import SAMPLERS
from model.table import CategoryColumn
from tests.e2e.browser import SECONDS, as_pixels, status_of
from tests.e2e.conftest import Process, services
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_control
from tests.waiting import wait_for

COLOURED = DataConfig(
    dataset="Flags & signs", kind="images", shape=(3, 12, 16), labels=("red, or so", "it's", '"green"'),
    mean=(127.5,), std=(127.5,), clip=1.0,
)  # fmt: skip
SPACE = DataConfig(
    dataset="space", kind="points", shape=(3,), labels=tuple(f"cluster {i}" for i in range(20)),
    names=("length", "width", "weight"), std=(1.0, 2.0, 3.0),
)  # fmt: skip
GRADES = DataConfig(
    dataset="grades", kind="points", shape=(2,), names=("written", "spoken"),
    table=tuple(NumberColumn(name=name, whole=True, low=-3, high=3) for name in ("written", "spoken")),
)  # fmt: skip

TREES = DataConfig(
    dataset="trees", kind="points", shape=(4,), names=("species=oak", "species=elm", "planted", "height"),
    mean=(0.5, 0.5, 400.0, 12.0), std=(0.5, 0.5, 300.0, 5.0),
    table=(
        CategoryColumn(name="species", categories=("oak", "elm")),
        DateColumn(name="planted", format="%Y-%m-%d", origin="2014-01-01T00:00:00", low=0, high=888, fill=400),
        NumberColumn(name="height", low=0, high=40, fill=12),
    ),
)  # fmt: skip


def as_base64(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@contextlib.contextmanager
def occupied(service: Process) -> Iterator[None]:
    """Others ask all the time: while one is answered, the next stands ready."""
    fields = {"dataset": "mnist", "n": 64, "steps": 250, "sampler": "ddpm"}
    left = threading.Event()

    def ask() -> None:
        while not left.is_set():
            service.post("/sample", json=fields)
            left.wait(0.01)

    others = [threading.Thread(target=ask) for _ in range(3)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        left.set()
        for other in others:
            other.join(SECONDS)


def test_a_full_queue_says_when_to_try_again_and_then_it_works(start_service, visit, tmp_path):
    save_tiny(tmp_path, IMAGES, T=1000)
    service = start_service("--checkpoints", str(tmp_path), "--max-queued-seconds", "0.01")
    service.wait_until_ready()
    with occupied(service):
        wait_for(lambda: service.metric("spirale_rows_active") > 0)
        visit = visit(service.url, "/?dataset=mnist&n=64&steps=30&seed=1")
        notice = visit.page.locator("#notice")
        again = notice.get_by_role("button", name="Try again")
        while not notice.is_visible():  # in the moment between two of the others the page may have been lucky
            visit.page.get_by_role("button", name="Generate", exact=True).click()
            visit.page.wait_for_function("() => document.querySelector('[name=generate]').textContent === 'Generate'")
        visit.keep_picture("full")
        assert "would wait" in notice.inner_text()
        assert notice.get_by_role("button", name="Take 4 steps only").is_enabled()  # 30 were asked for
        assert re.search(r"Try again in \d+\ss", notice.inner_text()) and again.is_disabled()
        assert "Try again" not in visit.page.get_by_role("alert").inner_text()  # it would be read out every second
    again.click()  # as soon as it can be
    visit.wait_for_address("n=64", "steps=30&")
    assert notice.is_hidden() and len(visit.pictures()) == 64
    assert all(status_of(one) == "429" for one in visit.complaints)


def test_a_service_that_is_gone_is_said_and_found_again(start_service, visit, tmp_path):
    save_tiny(tmp_path, IMAGES)
    service = start_service("--checkpoints", str(tmp_path))
    service.wait_until_ready()
    visit = visit(service.url)
    visit.wait_until_done()
    service.end()
    visit.page.get_by_role("button", name="Generate", exact=True).click()
    notice = visit.page.locator("#notice")
    notice.wait_for()
    assert "The service does not answer" in notice.inner_text()
    visit.page.wait_for_function("() => document.querySelector('#status').textContent.includes('does not answer')")
    visit.choose("7")  # meanwhile
    start_service("--checkpoints", str(tmp_path), "--port", service.url.rsplit(":", 1)[1]).wait_until_ready()
    notice.get_by_role("button", name="Try again").click()
    visit.wait_for_address("label=7")
    assert len(visit.pictures()) == 1 and notice.is_hidden()
    assert visit.page.locator("#remark").inner_text() == ""  # what was chosen is no mistake of the link's


def test_where_a_key_is_wanted_the_page_asks_for_it(start_service, visit, tmp_path):
    save_tiny(tmp_path, IMAGES)
    service = start_service("--checkpoints", str(tmp_path), "--api-key", "sesame")
    service.wait_until_ready()
    visit = visit(service.url, "/?dataset=mnist&label=7&seed=3")
    for asked, key in (("This service wants an API key", "simsim"), ("does not take this API key", "sesame")):
        visit.page.locator("#key label", has_text=asked).wait_for()
        assert visit.page.locator("main").inner_text() == ""  # nothing can be chosen yet
        assert (
            visit.page.locator(":is(input, select, button):visible").count()
            == visit.page.locator(":is(#key, footer) :is(input, select, button):visible").count()
        )
        visit.keep_picture(f"key-{key}")
        field = visit.page.locator("#key input")
        field.fill(key)
        field.press("Enter")
    visit.wait_until_done()
    assert len(visit.pictures()) == 1 and field.is_hidden()
    assert all(status_of(one) == "401" for one in visit.complaints)
    # The key itself gets neither into the commands nor into the link.
    visit.page.get_by_role("button", name="curl", exact=True).click()
    command = visit.page.evaluate("navigator.clipboard.readText()")
    assert "$SPIRALE_API_KEY" in command and "sesame" not in command + visit.page.url


def test_data_of_any_kind_is_shown_as_it_is(start_service, visit, tmp_path):
    save_tiny(tmp_path, COLOURED, name="flags")
    save_tiny(tmp_path, SPACE, name="space")
    save_tiny(tmp_path, DataConfig(dataset="heights", kind="points", shape=(1,)), name="heights")
    save_tiny(tmp_path, GRADES, name="grades")
    service = start_service("--checkpoints", str(tmp_path))
    service.wait_until_ready()
    visit = visit(service.url)
    visit.wait_until_done()
    pictures = visit.pictures()
    assert [picture.shape for picture in pictures] == [(12, 16, 3)] * 3
    assert any((picture[..., 0] != picture[..., 2]).any() for picture in pictures)
    visit.keep_picture("own-images")
    visit.choose("it's")
    visit.wait_for_address("label=it%27s")
    assert len(visit.pictures()) == 1

    visit.choose("space")
    visit.wait_for_address("dataset=space")
    assert visit.page.get_by_label("What").locator("option").count() == 22  # too many for chips
    visit.page.get_by_label("Upright").select_option("weight")
    visit.keep_picture("own-points")
    visit.choose("heights")
    visit.wait_for_address("dataset=heights")
    visit.choose("grades")
    visit.wait_for_address("dataset=grades")
    looks = visit.page.locator(".chips input[name=look-checkbox]")
    assert [one.get_attribute("value") for one in looks.all()] == ["paths"]  # rounded numbers have no score field
    assert visit.complaints == []


def shown_axes(page) -> list[str]:
    return [one.evaluate("one => one.selectedOptions[0].text") for one in page.locator("#picture .axes select").all()]


def clouds(page) -> list[str]:
    return [one.evaluate("one => one.toDataURL()") for one in page.locator(".cloud:visible").all()]


def test_other_axes_are_chosen_are_in_the_link_and_come_back(start_service, visit, tmp_path):
    """What is sampled stays: other dimensions of it are shown."""
    for name, data in (("trees", TREES), ("space", SPACE)):
        save_reference(
            save_tiny(tmp_path, data, name=name), Reference(torch.randn(9, data.shape[0]), torch.full((9,), -1))
        )
    service = start_service("--checkpoints", str(tmp_path))
    service.wait_until_ready()
    visit = visit(service.url, "/?dataset=trees&seed=1&n=50&steps=3")
    visit.wait_until_done()
    page = visit.page
    assert shown_axes(page) == ["planted", "height"]  # and not the first two, which are a category's
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = clouds(page)
    page.get_by_label("Across").select_option("species=elm")
    visit.wait_for_address("axes=species%3Delm%2Cheight")
    assert clouds(page) != before and not [url for url in asked if url.endswith("/sample")]
    page.get_by_role("button", name="Link", exact=True).click()
    link = page.evaluate("navigator.clipboard.readText()")
    page.get_by_label("Upright").select_option("species=elm")  # what the other axis has: they trade places
    visit.wait_for_address("axes=height%2Cspecies%3Delm")
    page.goto(link)
    visit.wait_until_done()
    assert shown_axes(page) == ["species=elm", "height"] and page.locator("#remark").inner_text() == ""
    page.get_by_role("button", name="Generate", exact=True).click()  # another picture, by the same axes
    page.wait_for_function("() => !location.search.includes('seed=1&')")
    visit.wait_until_done()
    assert shown_axes(page) == ["species=elm", "height"]
    page.get_by_role("link", name="Compare", exact=True).click()
    visit.wait_for_address("view=compare", "axes=species%3Delm%2Cheight")
    chosen = clouds(page)
    page.goto(page.url.replace("axes=", "look="))  # by the default axes
    visit.wait_until_done()
    assert len(chosen) > 2 and all(one != other for one, other in zip(clouds(page), chosen, strict=True))
    page.go_back()
    visit.wait_for_address("view=compare", "axes=species%3Delm%2Cheight")
    assert clouds(page) == chosen
    page.get_by_role("link", name="Generate", exact=True).click()
    visit.wait_for_address("axes=species%3Delm%2Cheight")
    visit.choose("space")
    visit.wait_for_address("dataset=space")
    assert shown_axes(page) == ["length", "width"] and "axes" not in page.url
    visit.choose("trees")
    visit.wait_for_address("dataset=trees")
    assert shown_axes(page) == ["planted", "height"] and "axes" not in page.url
    page.get_by_label("Across").select_option("height")
    visit.wait_for_address("axes=height%2Cplanted")
    page.get_by_label("Across").select_option("planted")
    page.wait_for_function("() => !location.search.includes('axes')")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        lists = [one.bounding_box() for one in page.locator("#picture .axes select").all()]
        labels = [one.bounding_box() for one in page.locator("#picture .axes label").all()]
        assert all(100 <= one["width"] <= 320 and one["x"] + one["width"] <= width for one in lists)
        assert all(
            abs(label["y"] - one["y"]) < 5 for label, one in zip(labels, lists, strict=True)
        )  # its name is beside it
        assert width < 1280 or lists[0]["y"] == lists[1]["y"]
        visit.keep_picture(f"axes-{width}")
    assert visit.complaints == []


@pytest.mark.parametrize("query", [
    "?dataset=nothing&label=9", "?dataset=mnist&label=seventy&steps=1e9&seed=-3&n=0&sampler=euler&model=gone",
    "?dataset=mnist&prompt=hello", "?view=draw", "?view=draw&drawing=%00%00", "?view=compare&over=colour&values=a,b,-1",
    "?dataset=mnist&seed=9007199254740993",
])  # fmt: skip
def test_a_link_that_makes_no_sense_shows_what_there_is(one_page, query):
    visit = one_page
    visit.page.goto(f"{visit.url}/{query}")
    visit.page.wait_for_selector("#controls .chip:visible, #notice:not([hidden])")
    if "view=draw" not in query:
        visit.wait_until_done()
    assert visit.complaints == []


@pytest.fixture(scope="module")
def tiny_service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    save_tiny(folder, IMAGES)
    points = save_tiny(folder, POINTS)
    save_reference(points, Reference(torch.randn(MAX_REFERENCE, 2), torch.zeros(MAX_REFERENCE, dtype=torch.int64)))
    with services() as start:
        service = start("--checkpoints", str(folder), "--jobs-dir", str(folder / "jobs"))
        service.wait_until_ready()
        yield service


@pytest.fixture(scope="module")
def one_page(tiny_service, visit):
    """A page of that service which several tests lead on."""
    return visit(tiny_service.url)


def test_events_are_read_however_their_bytes_come(tiny_service, visit):
    """Cut after every byte, also within a letter of several; what is no event is passed over."""
    text = ': still at it\n\nevent: progress\ndata: {"step": 1, "label": "séven"}\n\nevent: result\ndata: {"n": 2}\n\n'
    read = """async ([text, size]) => {
      const { eventsOf } = await import("./playground/events.js");
      const bytes = new TextEncoder().encode(text);
      const stream = new ReadableStream({ start(to) {
        for (let i = 0; i < bytes.length; i += size) to.enqueue(bytes.slice(i, i + size));
        to.close();
      } });
      const found = [];
      for await (const event of eventsOf(stream)) found.push(event);
      return found;
    }"""
    page = visit(tiny_service.url).page
    expected = [{"name": "progress", "data": {"step": 1, "label": "séven"}}, {"name": "result", "data": {"n": 2}}]
    for size in (1, 7, 1000):
        assert page.evaluate(read, [text, size]) == expected


def test_images_that_come_late_stay_with_their_own_run(tiny_service, visit):
    """Another run begins while the last one's images are being decoded: it has none of them."""
    leftovers = """async () => {
      const { Trajectory } = await import("./playground/trajectory.js");
      const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
      const b64_png = canvas.toDataURL().split(",")[1];
      const begin = () => new Trajectory({ n: 1, can: { dataset: { kind: "images", shape: [1, 8, 8] } } });
      const before = begin();
      const late = [before.add({ step: 1, of: 2, b64_png }), before.done({ steps: 2, images: [{ b64_png }] })];
      const after = begin();
      await Promise.all(late);
      return [before.frames.length, after.frames.length];
    }"""
    assert visit(tiny_service.url).page.evaluate(leftovers) == [2, 0]


def test_what_the_page_does_wrong_is_not_laid_on_the_service(tiny_service, visit):
    """A TypeError is a broken connection where it comes from reading, and nowhere else."""
    failing = """async () => {
      const { eventsOf, sampled } = await import("./playground/events.js");
      const onProgress = () => { throw new TypeError("cannot paint"); };
      const body = { dataset: "mnist", label: "7", n: 1, seed: 1, previews: 2 };
      const painting = await sampled(body, { onProgress }).catch((error) => error.message);
      const cut = new ReadableStream({ start(to) { to.error(new TypeError("network error")); } });
      const reading = await eventsOf(cut).next().catch((error) => error.message);
      return { painting, reading };
    }"""
    told = visit(tiny_service.url).page.evaluate(failing)
    assert told == {"painting": "cannot paint", "reading": "The service does not answer. Is it still running?"}


def test_real_points_are_asked_for_once_and_again_only_after_a_failure(tiny_service, visit):
    asking = """async () => {
      const { Stage } = await import("./playground/stage.js");
      const stage = { references: new Map() };
      const reference = () =>
        Stage.prototype.reference.call(stage, { model: "spiral-tiny", can: { model: { reference: 1 } } });
      const fetch = window.fetch;
      let [asked, broken] = [0, true];
      window.fetch = (...given) => {
        if (!given[0].endsWith("/reference")) return fetch(...given);
        asked += 1;
        return broken ? Promise.reject(new TypeError("network error")) : fetch(...given);
      };
      const failed = await Promise.allSettled([reference(), reference()]);
      broken = false;
      const [one, other] = await Promise.all([reference(), reference()]);
      return { asked, failed: failed.map(({ status }) => status), points: one.points.length, same: one === other };
    }"""
    told = visit(tiny_service.url).page.evaluate(asking)
    assert told == {"asked": 2, "failed": ["rejected", "rejected"], "points": MAX_REFERENCE, "same": True}


@pytest.fixture
def pad(one_page):
    """A page with a new pad of its own at its top left corner, as `pad`."""
    one_page.page.mouse.move(400, 400)
    one_page.page.evaluate("""async () => {
      const { Pad } = await import("./playground/pad.js");
      document.querySelector("#pad-of-test")?.remove();
      const canvas = Object.assign(document.createElement("canvas"), { tabIndex: 0, id: "pad-of-test" });
      Object.assign(canvas.style, { position: "fixed", top: 0, left: 0, zIndex: 1, touchAction: "none" });
      document.body.append(canvas);
      window.pad = new Pad(canvas, () => {});
    }""")
    return one_page


def drag(page, *points: tuple[int, int]) -> None:
    """The mouse goes down at the first point and to the others."""
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)


def strokes(page) -> list[list[list[int]]]:
    """The strokes on the pad, each as its [x, y]."""
    return page.evaluate("pad.strokes.map((stroke) => stroke.map((point) => point.map(Math.round)))")


@pytest.mark.parametrize("moves", [0, 2])
def test_where_the_pen_is_put_down_there_is_ink(pad, moves):
    """A drawing may be asked for before the pen leaves its place: it must not be empty."""
    page = pad.page
    assert page.evaluate("pad.empty")
    page.mouse.move(60, 60)
    page.mouse.down()
    for _ in range(moves):  # to where it is already
        page.mouse.move(60, 60)
    assert [len(stroke) for stroke in strokes(page)] == [1 + moves]
    ink = as_pixels(base64.b64decode(page.evaluate("pad.picture().split(',')[1]")))[..., 0] < 128
    rows, columns = np.nonzero(ink)
    assert abs(rows.mean() - 59.5) < 1 and abs(columns.mean() - 59.5) < 1  # pixels have their middles at ½
    assert 0.8 < ink.sum() / (np.pi * 7.5**2) < 1.2  # as wide as the pen
    page.mouse.up()


def test_undo_takes_back_the_stroke_under_the_pen_and_lifts_it(pad):
    page = pad.page
    drag(page, (20, 20), (40, 40))
    page.mouse.up()
    kept = strokes(page)
    assert kept[0][0] == [20, 20] and kept[0][-1] == [40, 40]
    drag(page, (100, 100), (120, 120))
    page.keyboard.press("Backspace")
    page.mouse.move(140, 140)
    page.mouse.up()
    assert strokes(page) == kept
    for key in ("Space", "ArrowDown", "Backspace", "ArrowDown"):
        page.keyboard.press(key)
    assert strokes(page) == kept
    drag(page, (100, 100), (120, 120))
    page.evaluate("pad.clear()")
    page.mouse.move(140, 140)
    page.mouse.up()
    assert strokes(page) == [] and pad.complaints == []


def test_a_pen_that_leaves_the_pad_draws_along_its_edge(pad):
    """A link has a byte for each coordinate, and none beyond the edge."""
    page = pad.page
    drag(page, (60, 60), (320, 120), (320, 300))
    page.mouse.up()
    assert strokes(page)[0][-1] == [224, 224]
    assert page.evaluate("pad.under({ clientX: -30, clientY: 100 })") == [0, 100]
    read = """async () => (await import("./playground/strokes.js")).decodeStrokes(pad.asText, 224)"""
    assert page.evaluate(read) == [[[60, 60], [224, 120], [224, 224]]] and pad.complaints == []


def test_mouse_and_keys_draw_a_stroke_each(pad):
    page = pad.page
    drag(page, (20, 20), (40, 40))
    page.keyboard.press("Space")
    page.mouse.move(60, 60)
    page.keyboard.press("ArrowDown")
    page.mouse.up()
    page.mouse.move(80, 80)
    by_mouse, by_keys = strokes(page)
    assert by_mouse[0] == [20, 20] and by_mouse[-1] == [60, 60]
    assert by_keys == [[112, 56], [112, 64]]


@pytest.fixture(scope="module")
def drawing_service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    base = tiny_checkpoint(IMAGES, name="mnist-cfg")
    for one in (base, tiny_control(base, "sketch")):
        save_checkpoint(folder / one.config.name, one.config, one.network)
    with services() as start:
        service = start("--checkpoints", str(folder))
        service.wait_until_ready()
        yield service


def test_drawing_is_followed_while_the_pen_moves_one_request_at_a_time(drawing_service, visit):
    visit = visit(drawing_service.url, "/?view=draw&seed=1")
    page = visit.page
    page.locator("#pad").wait_for()
    page.evaluate("""() => {
      window.asked = { under: 0, most: 0, bodies: [] };
      const fetch = window.fetch;
      window.fetch = async (...given) => {
        if (given[0] !== "sample") return fetch(...given);
        asked.most = Math.max(asked.most, ++asked.under);
        asked.bodies.push(JSON.parse(given[1].body));
        let open = 1;
        const left = () => {
          asked.under -= open;
          open = 0;
        };
        const orLeft = (promise) => promise.catch((broken) => {
          left();  // the page gave it up, before or after its first byte
          throw broken;
        });
        const answer = await orLeft(fetch(...given));
        const reader = answer.body.getReader();
        return new Response(new ReadableStream({
          async pull(to) {
            const { value, done } = await orLeft(reader.read());
            if (!done) return to.enqueue(value);
            left();
            to.close();
          },
          cancel: () => (left(), reader.cancel()),
        }), answer);
      };
    }""")
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    for i in range(60):  # without a rest, until the page has asked three times
        page.mouse.move(box["x"] + 40 + 2 * i, box["y"] + 40 + i)
        if page.evaluate("asked.bodies.length") >= 3:
            break
        page.wait_for_timeout(30)
    while_moving = page.evaluate("asked.bodies.length")
    page.mouse.up()
    visit.wait_for_address("drawing=", "strokes=")
    page.wait_for_function("() => !asked.under")
    asked = page.evaluate("asked")
    assert while_moving >= 3 and asked["most"] == 1 and visit.complaints == []
    # A link of it shows its strokes, and gives its picture again.
    ink = page.evaluate(INK)
    final = visit.pictures()[0]
    page.reload()
    visit.wait_for_address("drawing=", "strokes=")
    np.testing.assert_array_equal(visit.pictures()[0], final)
    assert 0.9 < page.evaluate(INK) / ink < 1.1 and page.locator("#remark").inner_text() == ""


INK = """() => {
  const pad = document.querySelector("#pad");
  const { data } = pad.getContext("2d").getImageData(0, 0, pad.width, pad.height);
  return data.filter((_, i) => i % 4 === 3).reduce((sum, alpha) => sum + alpha, 0);
}"""


def test_a_draw_link_without_strokes_says_that_the_pad_is_empty(drawing_service, visit):
    hint = drawing_service.post("/sample", json={
        "dataset": "mnist", "control": {"kind": "sketch", "image": as_base64(np.eye(8, dtype=np.uint8) * 255)},
    }, headers={"Accept": "application/json"}).json()["control"]["image"]  # fmt: skip
    link = "/?view=draw&seed=1&drawing=" + hint.replace("+", "-").replace("/", "_").rstrip("=")
    visit = visit(drawing_service.url, link)
    visit.wait_until_done()
    assert "the pad is empty" in visit.page.locator("#remark").inner_text()
    visit.page.goto(drawing_service.url + "/?view=draw&seed=1&drawing=%00%00")
    visit.page.get_by_text("The drawing in this link cannot be read").wait_for()
    assert visit.complaints == []


def test_the_address_is_never_of_what_is_not_yet_shown(drawing_service, visit):
    """Something else is chosen while the page decodes how a drawing was understood: then it writes no address."""
    visit = visit(drawing_service.url, "/?view=draw&seed=1")
    page = visit.page
    page.locator("#pad").wait_for()  # hidden it has no focus, and it is hidden until the page knows what there is
    page.locator("#pad").focus()
    for key in ("Space", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    visit.wait_until_asked()
    visit.wait_for_address("seed=1", "drawing=")
    page.evaluate("""() => {
      const src = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");
      Object.defineProperty(HTMLImageElement.prototype, "src", { ...src, set(value) {
        const load = () => src.set.call(this, value);
        if (!document.querySelector("#told").textContent.endsWith("seed 2")) return load();
        Object.defineProperty(HTMLImageElement.prototype, "src", src); // all but the hint has been shown
        window.go = load;
      } });
    }""")
    page.locator("#seed").fill("2")
    page.locator("#seed").blur()
    page.wait_for_function("() => window.go")
    query = page.evaluate("""async () => {
      const seed = document.querySelector("#seed");
      seed.value = "3";
      seed.dispatchEvent(new Event("change"));
      go();
      await new Promise((done) => setTimeout(done, 100)); // of the 250 ms for which a change may be followed by another
      return location.search;
    }""")
    assert "seed=1" in query
    visit.wait_for_address("seed=3", "drawing=")
    assert visit.complaints == []


def test_a_seed_that_is_typed_is_the_one_that_is_sampled(tiny_service, visit):
    visit = visit(tiny_service.url, "/?dataset=mnist&label=7&seed=1")
    visit.wait_until_done()
    first = visit.pictures()[0]
    seed = visit.page.locator("#seed")
    seed.fill("7")
    seed.press("Enter")
    visit.wait_for_address("seed=7")
    assert seed.input_value() == "7"
    expected = tiny_service.get("/sample?dataset=mnist&label=7&seed=7").content
    np.testing.assert_array_equal(visit.pictures()[0], as_pixels(expected))
    assert not np.array_equal(visit.pictures()[0], first)
    visit.page.get_by_role("button", name="Generate", exact=True).click()  # the next one is drawn again
    visit.page.wait_for_function("() => document.querySelector('#seed').value !== '7'")
    visit.wait_until_done()
    assert visit.complaints == []


def test_a_number_out_of_range_becomes_the_nearest_that_may_be(tiny_service, visit):
    """Not a seed that is drawn, nor the steps of before: nobody asked for those."""
    visit = visit(tiny_service.url, "/?dataset=mnist&label=7&seed=1&steps=4")
    visit.wait_until_done()
    seed, steps = visit.page.locator("#seed"), visit.page.get_by_label("Steps", exact=True)
    for typed, taken in (("-5", "0"), ("2.6", "3"), ("99999999999999999999", str(2**53 - 1))):
        seed.fill(typed)
        seed.press("Enter")
        visit.wait_for_address(f"seed={taken}")
        assert seed.input_value() == taken
    most = steps.get_attribute("max")
    for typed, taken in (("99999", most), ("0", "1"), ("2.4", "2"), ("", "2")):
        steps.fill(typed)
        steps.press("Enter")
        visit.wait_for_address(f"steps={taken}")
        assert steps.input_value() == taken
    assert visit.complaints == []


HELD = """() => {
  const fetch = window.fetch;
  window.fetch = async (...given) => {
    if (given[0] === "sample") await new Promise((go) => (window.go = go));
    return fetch(...given);
  };
}"""


def test_after_stop_the_seed_is_the_pictures(tiny_service, visit):
    """Before the first frame the picture of before stands there, dimmed; stopped then, its seed is back."""
    visit = visit(tiny_service.url, "/?dataset=mnist&label=7&seed=1")
    visit.wait_until_done()
    first = visit.pictures()[0]
    visit.page.evaluate(HELD)
    visit.page.get_by_role("button", name="Generate", exact=True).click()
    visit.page.wait_for_function("() => window.go")
    assert visit.page.locator("#seed").input_value() != "1"
    assert visit.page.locator("#picture").get_attribute("data-before") == ""
    visit.page.get_by_text("Asking the service").wait_for()
    visit.choose("xₜ")  # what is seen otherwise is still the picture of before
    visit.page.get_by_role("button", name="Full screen").click()
    visit.page.keyboard.press("f")
    visit.page.locator("#controls").wait_for()
    assert "seed=1" in visit.page.url and visit.page.get_by_role("button", name="Link").count() == 0
    visit.page.get_by_role("button", name="Stop").click()
    visit.wait_until_done()
    assert visit.page.locator("#seed").input_value() == "1" and visit.page.locator("#wait").is_hidden()
    np.testing.assert_array_equal(visit.pictures()[0], first)
    assert "this is the picture of before" in visit.page.locator("#remark").inner_text()
    assert visit.page.locator("#picture").get_attribute("data-before") is None and visit.complaints == []


def test_who_hears_the_page_is_told_of_the_run_that_is_shown(tiny_service, visit):
    """Also of one that is kept: nothing is sampled to go back to it."""
    visit = visit(tiny_service.url, "/?dataset=mnist&label=7&seed=1&n=2")
    visit.wait_until_done()
    told = visit.page.locator("#told")
    assert told.inner_text() == "2 mnist sampled, seed 1"
    visit.page.locator("#seed").fill("5")
    visit.page.locator("#seed").press("Enter")
    visit.wait_for_address("seed=5")
    assert told.inner_text() == "2 mnist sampled, seed 5"
    visit.page.go_back()
    visit.wait_for_address("seed=1")
    assert told.inner_text() == "2 mnist sampled, seed 1"
    visit.page.get_by_role("button", name="7, seed 2").click()
    visit.wait_for_address("seed=2")
    assert told.inner_text() == "1 mnist sampled, seed 2" and visit.complaints == []


def test_a_number_is_taken_as_precisely_as_it_is_typed(tiny_service, visit):
    """The handle and the arrow keys go in steps; what counts something stays whole."""
    visit = visit(tiny_service.url, "/?dataset=mnist&label=7&seed=1&guidance_scale=1.25&steps=3")
    visit.wait_until_done()
    page = visit.page
    scale, steps = (page.get_by_label(name, exact=True) for name in ("Guidance scale", "Steps"))
    assert scale.input_value() == "1.25" and scale.evaluate("one => one.checkValidity()")
    scale.fill("1.75")
    scale.press("Tab")
    visit.wait_for_address("guidance_scale=1.75")
    assert scale.input_value() == "1.75"
    scale.press("ArrowUp")
    visit.wait_for_address("guidance_scale=1.85")
    for _ in range(2):
        scale.press("ArrowDown")
    visit.wait_for_address("guidance_scale=1.65")
    scale.fill("0.05")
    scale.press("ArrowDown")
    visit.wait_for_address("guidance_scale=0&")
    page.get_by_role("slider", name="Guidance scale, handle").fill("50")  # a quarter of eight
    visit.wait_for_address("guidance_scale=2&")
    steps.press("ArrowUp")
    visit.wait_for_address("steps=4")
    steps.fill("2.5")
    steps.press("Tab")
    assert steps.input_value() == "3" and visit.complaints == []


def test_a_walks_files_are_the_services(tiny_service, visit):
    """Each sample has its own share of the way in them."""
    visit = visit(tiny_service.url, "/?dataset=mnist&label=7&seed=1&seed_to=9&mix=0.25&n=3&steps=3&sampler=ddim")
    visit.wait_until_done()
    with zipfile.ZipFile(io.BytesIO(visit.download("zip"))) as archive:
        lines = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        pngs = [Image.open(io.BytesIO(archive.read(name))).text for name in archive.namelist()[:-1]]
    fields = {"dataset": "mnist", "label": "7", "seed": 1, "seed_to": 9, "mix": [0.25] * 3, "n": 3, "steps": 3}
    answer = tiny_service.post("/sample", json=fields | {"sampler": "ddim"}, headers={"Accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        expected = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    assert lines == expected and [line["mix"] for line in lines] == [0.25] * 3
    assert [json.loads(text["Parameters"])["mix"] for text in pngs] == [0.25] * 3 and visit.complaints == []


def test_what_fails_beside_a_run_does_not_end_it(tiny_service, visit):
    visit = visit(tiny_service.url, "/?dataset=spiral&label=outer&steps=3&step=1&seed=1")
    visit.wait_until_done()
    page = visit.page
    page.evaluate(HELD)
    page.get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_function("() => window.go")
    page.route("**/score?*", lambda route: route.fulfill(status=503, json={"detail": "no score now"}))
    page.locator("#explain .chip", has_text="score").click()
    page.get_by_role("alert").get_by_text("no score now").wait_for()
    picture = page.locator("#picture")
    assert picture.get_attribute("aria-busy") == "true" and picture.get_attribute("data-before") == ""
    page.evaluate("go()")
    visit.wait_until_done()
    assert all(status_of(one) == "503" for one in visit.complaints)


def test_a_look_that_is_chosen_while_the_picture_is_sampled_stays(tiny_service, visit):
    visit = visit(tiny_service.url, "/?dataset=mnist&label=7&seed=1")
    visit.wait_until_done()
    page = visit.page
    page.evaluate(HELD)
    page.get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_function("() => window.go")
    visit.choose("both")
    page.evaluate("go()")
    visit.wait_for_address("look=both")
    assert page.locator("#explain :checked").get_attribute("value") == "both"
    page.get_by_role("button", name="Link", exact=True).click()
    assert "look=both" in page.evaluate("navigator.clipboard.readText()")
    assert visit.complaints == []


def test_a_picture_of_before_a_failure_keeps_its_own_settings(tiny_service, visit):
    visit = visit(tiny_service.url, "/?dataset=mnist&label=7&seed=1&n=3&steps=3&sampler=ddim")
    visit.wait_until_done()
    page = visit.page
    second = visit.pictures()[1]
    page.route("**/sample", lambda route: route.fulfill(status=503, json={"detail": "not now"}))
    page.get_by_label("Steps", exact=True).fill("2")
    page.locator("#notice").wait_for()
    visit.wait_until_asked()
    page.unroute("**/sample")
    page.get_by_role("button", name="7, seed 2").click()
    visit.wait_for_address("seed=2", "n=1&", "steps=3&")
    np.testing.assert_array_equal(visit.pictures()[0], second)
    expected = tiny_service.get("/sample?dataset=mnist&label=7&seed=2&steps=3&sampler=ddim").content
    np.testing.assert_array_equal(second, as_pixels(expected))
    assert all(status_of(one) for one in visit.complaints)


def test_the_page_speaks_the_browsers_language_or_the_chosen_one(tiny_service, visit):
    visit = visit(tiny_service.url, "/?dataset=mnist&label=12&steps=3&seed=1", locale="fr-CH")
    page = visit.page
    generate = page.get_by_role("button", name="Générer", exact=True)
    generate.wait_for()
    assert page.evaluate("document.documentElement.lang") == "fr"
    assert page.locator("#remark").inner_text().startswith("Ce lien demande ce qui n’existe pas ici")
    page.get_by_role("button", name="English").click()
    visit.wait_until_done()
    assert page.evaluate("document.documentElement.lang") == "en" and generate.count() == 0
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark or light").click()
    chosen = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    visit.wait_until_done()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == chosen != before
    page.evaluate("localStorage.clear()")
    assert visit.complaints == []


def test_in_forced_colours_one_sees_what_is_chosen_and_which_colour_is_which_class(tiny_service, visit):
    """A dark theme that was chosen before gives way to the system's colours, which the canvases have to fit."""
    visit = visit(tiny_service.url, "/?dataset=spiral&label=outer&steps=3&seed=1", forced_colors="active")
    page = visit.page
    page.evaluate("localStorage.setItem('spirale-theme', 'dark')")
    page.reload()
    visit.wait_until_done()

    def colours(selector: str, name: str, of: str = "") -> list[str]:
        read = "(all, [name, of]) => all.map((one) => getComputedStyle(one, of || null)[name])"
        return page.eval_on_selector_all(selector, read, [name, of])

    page.get_by_role("button", name="loop").click()
    canvas = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for marked in ("#controls .chip :checked + span", "#explain .chip :checked + span", "[aria-pressed=true]"):
        assert set(colours(marked, "backgroundColor")).isdisjoint({canvas, *colours("[name=slow]", "backgroundColor")})
    assert set(colours("#controls .chip :not(:checked) + span", "backgroundColor")) == {canvas}
    [button], [triangle] = (colours("[name=play]", "backgroundColor", of) for of in ("", "::before"))
    assert triangle != button
    marks = colours("#legend li", "backgroundColor", "::before")
    assert len({*marks, canvas}) == 1 + len(marks) == 3  # a class, and the real points
    [current] = colours("#views [aria-current]", "borderBottomColor")
    assert set(colours("#views a:not([aria-current])", "borderBottomColor")) == {canvas} != {current}
    assert page.locator("html").get_attribute("data-theme") == "light" and page.locator("#theme").is_hidden()
    page.emulate_media(forced_colors="none")
    page.locator("html[data-theme=dark]").wait_for()
    page.evaluate("localStorage.clear()")
    assert visit.complaints == []


def test_where_the_browser_keeps_nothing_the_page_remembers_by_itself(tiny_service, visit):
    visit = visit(tiny_service.url, "/?dataset=mnist&label=7&seed=1")
    page = visit.page
    page.add_init_script("""for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, name, { get() { throw new DOMException("blocked", "SecurityError"); } });
    }""")
    page.reload()
    visit.wait_until_done()
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    for other in (True, False):
        page.get_by_role("button", name="Dark or light").click()
        assert (page.evaluate(background) != before) == other
    keep = """async () => {
      const { key } = await import("./playground/key.js");
      key.value = "sesame";
      const kept = key.value;
      key.value = "";
      return [kept, key.value];
    }"""
    assert page.evaluate(keep) == ["sesame", ""] and visit.complaints == []


def test_a_run_is_shown_on_a_projector_by_keyboard_and_saved(tiny_service, visit):
    visit = visit(tiny_service.url, "/?dataset=mnist&labels=each&steps=4&seed=1&sampler=ddim&screen=1")
    visit.wait_until_done()
    page = visit.page
    assert page.locator("#controls").is_hidden() and page.locator("header").is_hidden()
    end = visit.pictures()
    for key in ("ArrowLeft", "ArrowLeft", "Home"):
        page.keyboard.press(key)
    assert page.locator("#scrubber output").inner_text() == "step 0 of 4"
    page.keyboard.press("ArrowRight")
    assert page.locator("#scrubber output").inner_text() == "step 1 of 4"
    page.keyboard.press("End")
    np.testing.assert_array_equal(visit.pictures(), end)
    # A button or a chip that has the focus keeps its own keys, and the focus.
    slow = page.get_by_role("button", name="slow")
    for pressed in ("true", "false"):
        slow.press("Space")
        assert slow.get_attribute("aria-pressed") == pressed
    page.get_by_role("radio", name="x̂₀", exact=True).focus()
    for key, looked_at in (("ArrowRight", "x_t"), ("ArrowRight", "both"), ("ArrowLeft", "x_t"), ("ArrowLeft", "x0")):
        page.keyboard.press(key)
        assert page.locator("#explain :checked").get_attribute("value") == looked_at
        assert page.evaluate("document.activeElement.value") == looked_at
    output = page.locator("#scrubber output")
    assert output.inner_text() == "step 4 of 4" and output.get_attribute("aria-live") == "off"
    page.keyboard.press("Escape")
    page.locator("#controls").wait_for()
    assert "screen=" not in page.url
    # Outside, a letter does nothing: who dictates may type it unasked. There, F leaves too.
    page.get_by_role("radio", name="x̂₀", exact=True).focus()
    for key in "fgsl":
        page.keyboard.press(key)
    assert page.locator("#controls").is_visible() and page.locator("[aria-pressed=true]").count() == 0
    page.get_by_role("button", name="Full screen").click()
    page.locator("#controls").wait_for(state="hidden")
    page.keyboard.press("f")
    page.locator("#controls").wait_for()
    animation = Image.open(io.BytesIO(visit.download("APNG")))
    assert animation.n_frames == 5
    animation.seek(4)
    first = np.asarray(animation.convert("RGB"))[: 18 * 8, : 18 * 8]  # eight pixels a side, enlarged to about 140
    np.testing.assert_array_equal(first, end[0].repeat(18, 0).repeat(18, 1))
    gif = Image.open(io.BytesIO(visit.download("GIF")))
    assert gif.n_frames == 5
    gif.seek(4)
    np.testing.assert_array_equal(np.asarray(gif.convert("RGB")), np.asarray(animation.convert("RGB")))
    width, height = (side.to_bytes(2, "big") for side in animation.size)
    video = visit.download("WebM")  # Matroska's header, and PixelWidth and PixelHeight of its track
    assert video.startswith(b"\x1a\x45\xdf\xa3") and b"\xb0\x82" + width in video and b"\xba\x82" + height in video
    page.evaluate("delete window.MediaRecorder")  # a browser that records nothing offers none
    page.get_by_role("button", name="Generate", exact=True).click()
    visit.wait_until_done()
    assert page.get_by_role("button", name="GIF").is_visible() and not page.get_by_role("button", name="WebM").count()
    assert visit.complaints == []


def test_a_comparison_is_stopped_stepped_through_by_keyboard_and_enlarged(tiny_service, visit):
    visit = visit(tiny_service.url, "/?view=compare&dataset=mnist&label=7&seed=1&n=2&values=1,4&screen=1")
    visit.wait_until_done()
    page = visit.page
    handle = page.get_by_role("slider", name="All trajectories")
    for key, share in (("Home", "0%"), ("ArrowRight", "8%"), ("End", "100%")):
        page.keyboard.press(key)
        assert handle.get_attribute("aria-valuetext") == f"{share} of the way"
    page.get_by_role("button", name="Enlarge: 4 steps").click()
    dialog = page.get_by_role("dialog", name="4 steps")
    assert dialog.get_by_role("button").all_inner_texts() == ["Take it to Generate", "Close"]  # no image is one
    assert dialog.get_by_role("img").count() == 2
    dialog.get_by_role("button", name="Close").click()
    page.evaluate(HELD)
    page.keyboard.press("g")
    page.wait_for_function("() => window.go")
    assert page.locator("#comparison").get_attribute("aria-busy") == "true"
    page.get_by_role("button", name="Stop").click()
    assert page.locator("#comparison").get_attribute("aria-busy") == "false"
    assert visit.complaints == []


def test_an_example_of_a_prompt_keeps_the_focus_when_it_is_taken(one_page):
    take = """async () => {
      const { Controls } = await import("./playground/controls.js");
      const element = document.body.appendChild(document.createElement("div"));
      const controls = new Controls(element, ({ prompt }) => controls.showPrompt(prompt, { examples: ["a", "b"] }));
      controls.showPrompt("", { examples: ["a", "b"] });
      const button = controls.prompt.examples.children[1];
      button.focus();
      button.click();
      const taken = [controls.prompt.input.value, document.activeElement === button];
      controls.showPrompt("", { examples: ["c"] });
      element.remove();
      return [...taken, controls.prompt.examples.textContent];
    }"""
    one_page.page.wait_for_selector("#controls .chip:visible")
    assert one_page.page.evaluate(take) == ["b", True, "c"]


def test_a_page_in_a_frame_shows_the_picture_and_leads_to_the_whole(tiny_service, visit):
    visit = visit(tiny_service.url, "/?dataset=spiral&label=outer&steps=3&seed=1&embed=1")
    visit.wait_until_done()
    page = visit.page
    assert page.locator("header").is_hidden() and page.locator("#controls").is_hidden()
    assert page.locator("#picture canvas").is_visible() and "embed=1" in page.url
    whole = page.get_by_role("link", name="Open in the playground").get_attribute("href")
    assert "embed" not in whole and "seed=1" in whole and page.locator("#remark").inner_text() == ""
    assert visit.complaints == []


def test_a_bad_link_is_corrected_where_one_looks(tiny_service, visit):
    visit = visit(tiny_service.url, "/?dataset=mnist&label=12&steps=3&sampler=euler&seed=1")
    visit.wait_until_done()
    remark = visit.page.locator("#remark")
    assert remark.inner_text() == (
        "This link asks for what is not here; shown instead: label “12” → every class; sampler “euler” → dpmpp-2m."
    )
    assert remark.bounding_box()["y"] < visit.page.locator("#picture").bounding_box()["y"]
    visit.choose("4")  # it is said once
    visit.wait_for_address("label=4")
    assert remark.inner_text() == "" and visit.complaints == []


def test_a_data_set_is_made_looked_at_and_still_there_after_a_reload(tiny_service, visit):
    counts = ",".join(["3", "0", "5"] + ["1"] * 7)
    visit = visit(tiny_service.url, f"/?view=data&dataset=mnist&labels=each&seed=1&steps=2&format=npy&counts={counts}")
    page = visit.page
    page.evaluate("delete Crypto.prototype.randomUUID")  # as over plain HTTP
    page.get_by_role("button", name="Make them").click()
    page.locator(".job", has_text="15 of 15").wait_for()
    page.locator(".contact canvas").nth(14).wait_for()
    before = visit.pictures(".contact")
    page.reload()
    page.locator(".contact canvas").nth(14).wait_for()
    assert page.locator(".counts li").all_inner_texts()[:2] == ["0\n3 of 3", "2\n5 of 5"]
    np.testing.assert_array_equal(visit.pictures(".contact"), before)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="part-00000.npy").click()
    [rows] = np.load(downloading.value.path())[None]
    np.testing.assert_array_equal(np.stack(before)[..., 0], rows)
    page.get_by_role("button", name="Delete").dblclick()  # the second click belongs to the first
    page.wait_for_timeout(600)
    page.get_by_role("button", name="Sure?").click()
    page.locator(".job").wait_for(state="detached")
    assert visit.complaints == []
    # What the model cannot leave out is not offered, and the page says why.
    assert page.get_by_label("Leave out copies").is_disabled()
    assert page.get_by_text("not of mnist-tiny: it keeps no training rows to compare with").is_visible()
    assert page.get_by_label("Leave out what is misread", exact=True).is_hidden()
    # Where jobs cannot be kept the page says so.
    page.route(
        re.compile(r"/jobs\?"), lambda route: route.fulfill(status=503, json={"detail": "jobs cannot be kept: no room"})
    )
    page.reload()
    page.get_by_text("keeps no data sets: jobs cannot be kept: no room. Start it with --jobs-dir FOLDER.").wait_for()
    assert page.get_by_role("button", name="Make them").is_disabled()
    page.locator(".class-counts input").first.fill("4")  # another choice does not help
    assert page.get_by_role("button", name="Make them").is_disabled()
    assert all(status_of(one) for one in visit.complaints)


def test_a_job_that_is_gone_is_forgotten_and_links_to_files_stay(one_page):
    listed = """async () => {
      const { DataSet } = await import("./playground/data-set.js");
      const { JobCard } = await import("./playground/job-card.js");
      const none = () => {};
      const job = { rows: 4, rows_done: 2, rows_dropped: 0, state: "running", created: "2026-01-01T00:00:00Z",
        seconds_left: null, request: { dataset: "mnist", format: "npy", label: null, rows_per_file: 2 } };
      const set = new DataSet(document.createElement("div"), { onChange: none, onError: none });
      set.newest = false; // none is opened
      const cards = [["a", "b"], ["b"], []].map((ids) => {
        set.tell(ids.map((id) => ({ ...job, id })));
        return [...set.cards.keys()];
      });
      const fetch = window.fetch;
      const files = [];
      window.fetch = async () => Response.json({ files });
      const card = new JobCard({ id: "c" }, { onDelete: none, onError: (error) => { throw error; } });
      const lists = [];
      for (const [i, name] of ["part-1.npy", "part-0.npy"].entries()) { // a later part may be ready first
        files.unshift({ name, bytes: 1000 });
        card.job = { rows: 0, rows_done: i, request: { rows_per_file: 1 } }; // no contact sheet
        await card.look();
        lists.push([...card.files.children]);
      }
      window.fetch = fetch;
      return { cards, texts: lists[1].map((one) => one.textContent), same: lists[0][0] === lists[1][1] };
    }"""
    assert one_page.page.evaluate(listed) == {
        "cards": [["a", "b"], ["b"], []],
        "texts": ["part-0.npy 1\u00a0kB", "part-1.npy 1\u00a0kB"],
        "same": True,
    }


def test_of_the_pictures_of_worst_samples_only_the_one_that_is_shown_is_held(one_page):
    """Other models are chosen while they come."""
    look = """async () => {
      const { Quality } = await import("./playground/quality.js");
      const { fetch } = window;
      const { createObjectURL, revokeObjectURL } = URL;
      const held = new Map(); // address → what it is of
      const waiting = [];
      window.fetch = (path) => new Promise((done) => waiting.push([path.split("/")[1], done]));
      URL.createObjectURL = (blob) => {
        const address = createObjectURL(blob);
        held.set(address, blob.type);
        return address;
      };
      URL.revokeObjectURL = (address) => {
        held.delete(address);
        revokeObjectURL(address);
      };
      const quality = new Quality(document.createElement("details"), (error) => { throw error; });
      quality.element.open = true;
      const looks = (name) => {
        quality.model = { name, farthest: true };
        return quality.look();
      };
      const all = [looks("a"), looks("b"), looks("a"), looks("c")];
      const answer = ([name, done]) => done(new Response("", { headers: { "Content-Type": `image/${name}` } }));
      waiting.splice(0).forEach(answer);
      await Promise.all(all);
      const shown = [[...held.values()], held.has(quality.worst.src)];
      const again = [looks("d"), looks("e"), looks("d")];
      waiting.splice(0).forEach(answer);
      await Promise.all(again);
      shown.push([...held.values()], held.has(quality.worst.src));
      Object.assign(window, { fetch });
      Object.assign(URL, { createObjectURL, revokeObjectURL });
      return shown;
    }"""
    assert one_page.page.evaluate(look) == [["image/c"], True, ["image/d"], True]


def test_the_rows_of_a_class_are_legible_however_long_its_name_is(start_service, visit, tmp_path):
    names = ("hypochromic microcytic", "Dreiecke, rot & blau", "Donaudampfschifffahrtsgesellschaft", "7")
    save_tiny(tmp_path, IMAGES.model_copy(update={"dataset": "cells", "labels": names}), name="cells")
    service = start_service("--checkpoints", str(tmp_path))
    service.wait_until_ready()
    visit = visit(service.url, "/?view=data&dataset=cells&labels=each&seed=1")
    page = visit.page
    fields = page.locator(".class-counts input")
    fields.first.wait_for()
    assert [one.get_attribute("title") for one in page.locator(".class-counts span").all()] == list(names)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for field in fields.all():
            field.fill("123456")
            assert field.evaluate("one => one.scrollWidth <= one.clientWidth && one.clientWidth >= 100")
        words = page.locator(".class-counts span").first
        assert words.evaluate("one => one.scrollWidth <= one.clientWidth")  # its words are whole
        visit.keep_picture(f"class-counts-{width}")
    assert visit.complaints == []


def test_files_that_come_late_are_shown_and_missed_once(tiny_service, visit):
    query = f"dataset=mnist&labels=each&seed=1&steps=2&format=npy&counts={','.join(['1'] * 10)}"
    visit = visit(tiny_service.url, f"/?view=data&{query}")
    page = visit.page
    files, part = re.compile(r"/files$"), re.compile(r"/part-00000\.npy$")

    def refuse(what: re.Pattern) -> None:
        page.route(what, lambda route: route.fulfill(status=503, json={"detail": "the files are not to be had now"}))

    def look_again(what: re.Pattern) -> None:
        with page.expect_response(what):
            page.locator(".job summary").click()
            page.locator(".job summary").click()
        visit.wait_until_asked()

    refuse(files)
    page.get_by_role("button", name="Make them").click()
    page.locator(".job", has_text="10 of 10").wait_for()
    page.get_by_role("alert").get_by_text("not to be had now").wait_for()
    page.evaluate("document.querySelector('#notice').hidden = true")  # it was read
    look_again(files)
    page.unroute(files)
    refuse(part)
    look_again(part)
    assert page.locator("#notice").is_hidden() and page.locator(".contact canvas").count() == 0
    page.unroute(part)
    look_again(part)
    page.locator(".contact canvas").nth(9).wait_for()
    page.get_by_role("button", name="Delete").click()
    page.wait_for_timeout(600)
    page.get_by_role("button", name="Sure?").click()
    page.locator(".job").wait_for(state="detached")
    assert all(status_of(one) for one in visit.complaints)


def test_a_picture_that_comes_late_is_no_longer_begun_with(tiny_service, visit):
    """Somebody asks for one, and leaves the view before it comes."""
    visit = visit(tiny_service.url, "/?view=edit&dataset=mnist&seed=1&n=2&steps=3&sampler=ddim")
    page = visit.page
    file = {
        "name": "black.png",
        "mimeType": "image/png",
        "buffer": base64.b64decode(as_base64(np.zeros((8, 8), np.uint8))),
    }
    page.locator("#source").wait_for()  # until the page knows what there is
    page.locator("#file").set_input_files(file)
    visit.wait_for_address("picture=")
    assert page.locator("#file").evaluate("one => one.value") == ""  # the same file can be chosen again
    page.evaluate(HELD)
    page.get_by_role("button", name="Sample one").click()
    page.wait_for_function("() => window.go")
    page.evaluate("() => { window.late = go; delete window.go; }")
    page.get_by_role("link", name="Generate", exact=True).click()
    page.wait_for_function("() => window.go")
    page.evaluate("go()")
    visit.wait_for_address("seed=1")
    page.evaluate("() => { delete window.go; }")
    source = page.locator("#source").evaluate("one => one.toDataURL()")
    with page.expect_response("**/sample"):
        page.evaluate("late()")
    visit.wait_until_asked()
    assert page.evaluate("window.go === undefined")  # nothing more was asked for
    assert page.locator("#source").evaluate("one => one.toDataURL()") == source
    assert visit.complaints == []


def test_what_is_rubbed_out_is_redrawn_and_the_rest_is_kept(tiny_service, visit):
    visit = visit(tiny_service.url, "/?view=edit&dataset=mnist&seed=1&n=2&steps=3&sampler=ddim")
    page = visit.page
    page.get_by_role("button", name="Sample one").click()
    visit.wait_for_address("picture=", "strength=0.5")
    page.locator("#source").focus()
    for key in ("Space", "ArrowRight", "ArrowRight", "Space"):
        page.keyboard.press(key)
    visit.wait_for_address("mask=", "strength=1&")
    query = parse_qs(urlsplit(page.url).query)
    source, mask = (as_pixels(base64.urlsafe_b64decode(query[name][0] + "=="))[..., 0] for name in ("picture", "mask"))
    assert 0 < (mask == 255).sum() < 20 and set(np.unique(mask)) == {0, 255}
    drawn = visit.pictures()
    for image in drawn:
        np.testing.assert_array_equal(image[..., 0][mask == 0], source[mask == 0])
    assert (drawn[0] != drawn[1]).any()
    page.reload()  # its link shows the mask, and gives the same
    visit.wait_for_address("mask=")
    np.testing.assert_array_equal(visit.pictures(), drawn)
    page.get_by_role("button", name="Keep all").click()
    page.wait_for_function("() => !location.search.includes('mask=')")
    assert visit.complaints == []


def test_what_was_rubbed_out_before_a_slow_answer_can_be_taken_back(tiny_service, visit):
    """The answer's own picture, which fits the model, takes its place. Where nothing is left, Undo asks for nothing."""
    visit = visit(tiny_service.url, "/?view=edit&dataset=mnist&seed=1&n=1&steps=3&sampler=ddim")
    page = visit.page
    page.locator("#source").wait_for()
    page.evaluate("""() => {
      const fetch = window.fetch;
      window.fetch = async (...given) => {
        if (given[0] !== "sample") return fetch(...given);
        window.fetch = fetch; // the next ones are not held
        await new Promise((go) => (window.go = go));
        return fetch(...given);
      };
    }""")
    buffer = base64.b64decode(as_base64(np.zeros((90, 120), np.uint8)))
    page.locator("#file").set_input_files({"name": "wide.png", "mimeType": "image/png", "buffer": buffer})
    page.wait_for_function("() => window.go")
    page.locator("#source").scroll_into_view_if_needed()
    box = page.locator("#source").bounding_box()
    for share in (0.25, 0.75):
        at = [(round(box["x"] + along * box["width"]), round(box["y"] + share * box["height"])) for along in (0.2, 0.6)]
        drag(page, *at)
        page.mouse.up()
    page.evaluate("go()")
    visit.wait_for_address("mask=")

    def redrawn() -> np.ndarray:
        """The lines of the mask in which there is any."""
        query = parse_qs(urlsplit(page.url).query)
        return np.flatnonzero(as_pixels(base64.urlsafe_b64decode(query["mask"][0] + "=="))[..., 0].any(1))

    both = redrawn()
    assert both.min() < 4 <= both.max()  # of eight
    undo = page.locator("#unerase")
    before = page.url
    undo.click()
    page.wait_for_function("before => location.href !== before", arg=before)
    visit.wait_until_done()
    assert redrawn().max() < 4
    undo.click()
    page.wait_for_function("() => !location.search.includes('mask=')")
    visit.wait_until_done()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    undo.click()
    page.get_by_role("button", name="Keep all").click()
    visit.wait_until_asked()
    assert not [url for url in asked if url.endswith("/sample")] and visit.complaints == []


def test_a_picture_that_is_decoded_when_its_view_was_left_is_not_handed_on(one_page):
    begin = """async (leave) => {
      const { Editing } = await import("./playground/editing.js");
      const made = (tag) => document.createElement(tag);
      const buttons = Object.fromEntries(["sampled", "invert", "unerase", "keepall"].map((id) => [id, made("button")]));
      let edits = 0;
      const editing = new Editing({ editing: made("div"), source: made("canvas"), file: made("input"), ...buttons },
        () => edits++, (error) => { throw error; });
      const begun = editing.beginWith(() => Object.assign(made("canvas"), { width: 8, height: 8 }));
      for (let i = 0; i < 5; i++) await null; // the picture is made, and not yet decoded
      const made_it = Boolean(editing.picture);
      if (leave) editing.show();
      await begun;
      return [made_it, edits];
    }"""
    assert one_page.page.evaluate(begin, False) == [True, 1]
    assert one_page.page.evaluate(begin, True) == [True, 0]


def test_an_answer_to_a_picture_that_was_taken_away_is_not_shown(one_page):
    """Another picture is there, and not yet handed on, when the first one's answer comes."""
    begin = """async (again) => {
      const { Editing } = await import("./playground/editing.js");
      const made = (tag) => document.createElement(tag);
      const buttons = Object.fromEntries(["sampled", "invert", "unerase", "keepall"].map((id) => [id, made("button")]));
      const editing = new Editing({ editing: made("div"), source: made("canvas"), file: made("input"), ...buttons },
        () => {}, (error) => { throw error; });
      const picture = (side) => Object.assign(made("canvas"), { width: side, height: side });
      const image = picture(8).toDataURL("image/png").split(",")[1];
      await editing.beginWith(() => picture(90));
      const asked = { picture: editing.picture };
      if (again) await editing.beginWith(() => picture(120));
      const before = editing.picture;
      const understood = await editing.understood({ init: { image }, resized: true }, undefined, asked);
      return [understood.picture === image, editing.picture === before];
    }"""
    assert one_page.page.evaluate(begin, False) == [True, False]
    assert one_page.page.evaluate(begin, True) == [False, True]


@pytest.mark.parametrize(("over", "told"), [
    ("steps&values=1,4&guidance_scale=1", ["1 evaluation", "4 evaluations"]),
    ("steps&values=1,4&guidance_scale=3", ["2 evaluations", "8 evaluations"]),
    ("guidance_scale&values=0,1,2&steps=3", ["3 evaluations", "3 evaluations", "6 evaluations"]),
    ("sampler&by=steps&by_values=2,5&guidance_scale=1", [
        f"{spec.evaluations(steps)} evaluations" for spec in SAMPLERS.values() for steps in (2, 5)
    ]),
])  # fmt: skip
def test_a_comparison_tells_what_each_way_cost_as_the_service_counted_it(tiny_service, one_page, over, told):
    def counted() -> float:
        return tiny_service.metric('spirale_network_evaluations_total{device="cpu",model="mnist-tiny"}')

    visit = one_page
    visit.wait_until_done()  # what it began with is not counted
    before = counted()
    visit.page.goto(f"{visit.url}/?view=compare&dataset=mnist&label=7&guidance=classifier-free&n=3&over={over}")
    visit.wait_until_done()
    costs = visit.page.locator("#comparison .cost").all_inner_texts()
    assert [cost.split(" · ")[0] for cost in costs] == told
    assert all(re.fullmatch(r"[\d.]+\s(ms|s)", cost.split(" · ")[1]) for cost in costs)
    assert counted() - before == 3 * sum(int(line.split()[0]) for line in told)  # three images of each
    assert visit.complaints == []
