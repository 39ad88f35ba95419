"""The playground with the shipped models, as somebody uses it."""

import io
import json
import math
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.judge import load_judge
from model.data import to_uint8
from model.noise import normal
from model.samplers import SAMPLERS
from tests.e2e.browser import Visit, as_pixels
from tests.e2e.conftest import PROJECT
from tests.waiting import wait_for

MOVING = {"reduced_motion": "no-preference"}


@pytest.fixture
def at(visit, shipped):
    """Open a path there; it must be shown without a complaint, and without asking anybody else."""
    opened: list[Visit] = []

    def open_path(path: str = "/", **options) -> Visit:
        opened.append(visit(shipped.url, path, **options))
        return opened[-1]

    yield open_path
    for one in opened:
        assert one.complaints == []
        one.page.context.close()


def read(pictures: list[np.ndarray]) -> list[int]:
    """The digits that the judge sees."""
    images = torch.from_numpy(np.stack(pictures)[..., 0]).unsqueeze(1)
    return load_judge(PROJECT / "checkpoints" / "mnist-judge").look(images)[1].tolist()


def test_a_seven_is_asked_for_and_the_judge_reads_it_from_the_page(at):
    visit = at("/?seed=1", **MOVING)  # of a seed that is drawn, the judge misreads one sample in some hundreds
    visit.wait_until_done()
    assert read(visit.pictures()) == list(range(10))  # what the page begins with: every class
    visit.page.get_by_text("How good is it?").click()
    metrics = load_checkpoint(PROJECT / "checkpoints" / "mnist-cfg").config.metrics["measured"]
    assert f"{metrics['frechet_ratio']:.2f} times as far" in visit.page.locator("#quality").inner_text()
    visit.page.wait_for_function("() => document.querySelector('#quality img').naturalWidth > 100")  # its worst samples
    visit.keep_picture("generate")
    visit.choose("7")
    visit.wait_for_address("label=7")
    (seven,) = visit.pictures()
    assert read([seven]) == [7]
    seed = visit.page.locator("#seed").input_value()
    visit.page.get_by_role("button", name="Surprise me").click()
    visit.page.wait_for_function("before => document.querySelector('#seed').value !== before", arg=seed)
    visit.wait_for_address("label=7", f"seed={visit.page.locator('#seed').input_value()}")
    assert not np.array_equal(visit.pictures()[0], seven)


def test_samples_form_before_ones_eyes_and_the_scrubber_goes_back(at):
    visit = at("/?dataset=mnist&label=3&seed=1&n=2&steps=20", **MOVING)
    visit.wait_until_done()
    scrubber = visit.page.get_by_role("slider", name="Trajectory")
    final = visit.pictures()
    assert scrubber.get_attribute("aria-valuetext") == "step 20 of 20"
    scrubber.press("Home")
    assert scrubber.get_attribute("aria-valuetext") == "step 0 of 20"
    noise = normal(torch.tensor([1, 2]), torch.zeros(2, dtype=torch.int64), (1, 28, 28))
    data = load_checkpoint(PROJECT / "checkpoints" / "mnist-cfg").config.data
    np.testing.assert_array_equal(np.stack(visit.pictures())[..., 0], to_uint8(data.restore(noise)))
    visit.keep_picture("noise")
    scrubber.press("ArrowRight")
    assert scrubber.get_attribute("aria-valuetext") == "step 1 of 20"
    blurred = visit.pictures()
    assert not any(np.array_equal(a, b) for a, b in zip(blurred, final, strict=True))
    assert max(image.std() for image in blurred) < min(image.std() for image in final)  # a mean of many digits is pale
    scrubber.press("End")
    assert all(np.array_equal(a, b) for a, b in zip(visit.pictures(), final, strict=True))
    # One of them alone: it is looked at, and not sampled again.
    visit.page.on("request", lambda request: requests.append(request.url))
    requests: list[str] = []
    visit.page.get_by_role("button", name="3, seed 2").click()
    visit.wait_for_address("seed=2", "n=1&")
    np.testing.assert_array_equal(visit.pictures()[0], final[1])
    scrubber.press("Home")
    np.testing.assert_array_equal(visit.pictures()[0][..., 0], to_uint8(data.restore(noise))[1])
    visit.page.go_back()
    visit.wait_for_address("seed=1", "n=2&")
    assert all(np.array_equal(a, b) for a, b in zip(visit.pictures(), final, strict=True))
    visit.download("PNG")
    assert not [url for url in requests if "/sample" in url]


def test_a_link_gives_the_same_bytes(at, shipped):
    first = at("/?dataset=mnist&labels=each&guidance_scale=3&steps=5")
    first.wait_until_done()
    first.page.get_by_role("slider", name="Trajectory").fill("2")  # the link opens where one looks
    first.page.get_by_role("button", name="Link", exact=True).click()
    link = first.page.evaluate("navigator.clipboard.readText()")
    assert "seed=" in link and "steps=5&step=2&" in link and link.startswith(shipped.url)
    again = at(link.removeprefix(shipped.url))
    again.wait_until_done()
    assert again.page.locator("#scrubber output").inner_text() == "step 2 of 5"

    def alike() -> bool:
        return all(map(np.array_equal, first.pictures(), again.pictures()))

    wait_for(alike, seconds=30)  # a tile is drawn when its PNG is decoded
    assert len(first.pictures()) == len(again.pictures()) > 0
    assert first.download("zip") == again.download("zip")
    again.choose("4")
    again.wait_for_address("label=4")
    # A link of one class is GET /sample's own query; what is downloaded is the same, without asking for it again.
    sample = f"/sample{again.page.evaluate('location.search')}"
    numbers = shipped.get(sample, headers={"Accept": "application/x-npy"}).content
    assert again.download("npy") == numbers
    answer = shipped.get(sample, headers={"Accept": "application/zip"}).content
    with (
        zipfile.ZipFile(io.BytesIO(again.download("zip"))) as archive,
        zipfile.ZipFile(io.BytesIO(answer)) as expected,
    ):
        assert archive.namelist() == expected.namelist()
        *pngs, metadata = archive.namelist()
        assert all(archive.read(name) == expected.read(name) for name in pngs)
        lines, expected_lines = (one.read(metadata).decode().splitlines() for one in (archive, expected))
        assert [json.loads(line) for line in lines] == [json.loads(line) for line in expected_lines]
    # The picture of several is laid out as on the page: five in a line, enlarged five times, and it tells its seed.
    png = again.download("PNG")
    sheet = as_pixels(png)
    assert sheet.shape[:2] == (2 * 140 + 8, 5 * 140 + 4 * 8)
    shown = np.load(io.BytesIO(numbers))
    for i, digit in enumerate(shown):
        y, x = i // 5 * 148, i % 5 * 148
        np.testing.assert_array_equal(sheet[y : y + 140, x : x + 140, 0], digit.repeat(5, 0).repeat(5, 1))
    text = Image.open(io.BytesIO(png)).text
    parameters = json.loads(text["Parameters"])
    assert text["Seed"] == str(parameters["seed"]) and parameters["label"] == ["4"] * 10
    same = shipped.post("/sample", json=parameters, headers={"Accept": "application/x-npy"})
    assert same.content == numbers


def test_what_is_asked_otherwise_is_sampled_as_the_cards_advise_for_that(at):
    """Not as for what was asked before, which a link names; of another digit it stays as it was."""
    visit = at("/?dataset=mnist&model=mnist-ddpm&sampler=ddpm&steps=3&variance=fixed-large&n=2&seed=1")
    visit.wait_until_done()
    visit.choose("in words")
    visit.wait_for_address("guidance=clip", "sampler=ddpm", "variance=fixed-small", "steps=20")
    visit.choose("4")
    visit.wait_for_address("model=mnist-cfg", "sampler=dpmpp-2m", "steps=20")
    visit = at("/?dataset=mnist&label=4&sampler=ddim&steps=3&guidance_scale=2&seed=1")
    visit.wait_until_done()
    visit.choose("5")
    visit.wait_for_address("label=5", "sampler=ddim", "guidance_scale=2", "steps=3")


def test_a_line_is_drawn_and_a_one_appears_and_its_link_gives_it_again(at, shipped):
    visit = at("/?view=draw&seed=5")
    pad = visit.page.locator("#pad")
    pad.wait_for()  # until the page knows what there is
    box = pad.bounding_box()
    across, top, height = box["x"] + box["width"] / 2, box["y"], box["height"]
    visit.page.mouse.move(across, top + 0.2 * height)
    visit.page.mouse.down()
    for share in np.linspace(0.2, 0.8, 30):
        visit.page.mouse.move(across, top + share * height)
    visit.page.mouse.up()
    visit.wait_until_asked()
    visit.wait_for_address("drawing=")
    assert read(visit.pictures()) == [1]
    visit.keep_picture("draw")
    link = visit.page.evaluate("location.pathname + location.search")
    models = shipped.get("/models").json()["datasets"]["mnist"]["models"]
    [many_step] = [model for model in models if model["name"] == "mnist-cfg"]
    [sketch] = [of for of in many_step["controlnets"] if of["kind"] == "sketch"]
    assert f"guidance_scale={sketch['guidance_scale']:g}&" in link  # of the hint, since nothing else is asked for
    again = at(link)
    again.wait_until_done()
    np.testing.assert_array_equal(again.pictures()[0], visit.pictures()[0])


def test_the_keyboard_draws_too(at):
    visit = at("/?view=draw&seed=5")
    pad = visit.page.locator("#pad")
    pad.wait_for()  # until the page knows what there is
    pad.focus()
    pad.press("Space")
    for _ in range(14):
        pad.press("ArrowDown")
    pad.press("Space")
    visit.wait_until_asked()
    visit.wait_for_address("drawing=")
    assert read(visit.pictures()) == [1]


def test_what_nobody_waits_for_any_more_is_freed(at, shipped):
    wait_for(lambda: shipped.rows() == 0)
    cancelled = shipped.metric("spirale_cancelled_total")
    visit = at("/?dataset=mnist&n=64&steps=1000&sampler=ddpm")
    wait_for(lambda: shipped.rows() == 64, every=0.02)
    visit.page.get_by_role("button", name="Stop").click()
    wait_for(lambda: shipped.rows() == 0)
    assert shipped.metric("spirale_cancelled_total") == cancelled + 1
    # Another choice takes the place of the one before.
    visit.page.get_by_role("button", name="Generate", exact=True).click()
    wait_for(lambda: shipped.rows() == 64, every=0.02)
    visit.choose("spiral")
    visit.wait_for_address("dataset=spiral")
    wait_for(lambda: shipped.rows() == 0)
    assert shipped.metric("spirale_cancelled_total") == cancelled + 2


def test_points_are_drawn_over_real_ones(at, shipped):
    visit = at("/?dataset=spiral&labels=each&seed=3", **MOVING)
    visit.wait_until_done()
    visit.keep_picture("points")
    assert visit.page.locator("#legend li").all_inner_texts() == ["0", "1", "2", "real"]
    assert f"{shipped.url}/models/spiral-cfg/reference" in visit.asked
    table = visit.download("CSV").decode().split()
    assert table[0] == "x,y,label" and len(table) == 501
    # Dragged back to its beginning, there is ink elsewhere.
    canvas = visit.page.locator("#picture canvas")
    end = canvas.evaluate("canvas => canvas.toDataURL()")
    scrubber = visit.page.get_by_role("slider", name="Trajectory")
    scrubber.fill("9")
    visit.keep_picture("forming")
    scrubber.press("Home")
    assert canvas.evaluate("canvas => canvas.toDataURL()") != end


def test_a_run_is_understood_beside_its_scrubber(at):
    """The noise schedule, x_t beside x̂0, paths and the score field; nothing is sampled to look at them."""
    visit = at("/?dataset=spiral&label=1&seed=3&n=50&steps=10&step=5&guidance=classifier&guidance_scale=2")
    visit.wait_until_done()
    requests: list[str] = []
    visit.page.on("request", lambda one: requests.append(one.url) if re.search("/(sample|score)", one.url) else None)
    scrubber = visit.page.get_by_role("slider", name="Trajectory")
    explain, legend = visit.page.locator("#explain"), visit.page.locator("#legend")
    assert scrubber.get_attribute("aria-valuetext") == "step 5 of 10"
    alpha_bar = load_checkpoint(PROJECT / "checkpoints" / "spiral-ddpm").schedule.alpha_bar[500]
    assert f"t = 500 of 1000 · ᾱ = {alpha_bar:.3g}" in explain.inner_text()

    def shown() -> list[str]:
        return visit.page.eval_on_selector_all("#picture canvas", "all => all.map((one) => one.toDataURL())")

    (x0,) = shown()
    visit.choose("both")
    x_t, beside = visit.page.locator("#picture figcaption").all_inner_texts()
    assert (x_t, beside) == ("xₜ", "x̂₀") and len(set(shown())) == 2
    visit.choose("xₜ")
    (plain,) = shown()
    assert plain != x0
    explain.locator(".chip", has_text="paths").click()
    (paths,) = shown()
    assert paths != plain and not requests
    explain.locator(".chip", has_text="score").click()
    visit.page.wait_for_function(
        "before => document.querySelector('#picture canvas').toDataURL() !== before", arg=paths
    )
    assert legend.locator("li").all_inner_texts() == ["1", "real", "∇ log p(xₜ)", "what guidance adds"]
    assert len(requests) == 2 and all("/score?" in url and "timestep=500" in url for url in requests)
    visit.keep_picture("score")
    assert "look=x_t%2Cpaths%2Cfield" in visit.page.evaluate("location.search")
    visit.choose("forward")  # real points, and then more and more noise
    scrubber.press("Home")
    assert "t = 0 of 1000 · ᾱ = 1 " in explain.inner_text()
    scrubber.press("End")
    assert "t = 1,000 of 1000" in explain.inner_text() or "t = 1000 of 1000" in explain.inner_text()
    assert not [url for url in requests if "/sample" in url]


def test_every_link_of_the_lecture_asks_for_what_there_is(at):
    text = (PROJECT / "docs" / "teaching.md").read_text()
    links = re.findall(r"http://localhost:8000/(\?[^)\s]+)", text)
    corrected = """async (links) => {
      const { settle } = await import("./playground/choice.js");
      const { corrections, fromQuery } = await import("./playground/link.js");
      const catalog = await (await fetch("models")).json();
      return links.map((link) => {
        const query = new URLSearchParams(link);
        return corrections(query, settle(catalog, fromQuery(query)));
      });
    }"""
    visit = at("/?dataset=gaussian&n=1&steps=1&seed=1")
    visit.wait_until_done()
    assert len(links) >= 8 and visit.page.evaluate(corrected, links) == [""] * len(links)


def test_a_comparison_has_the_same_seeds_in_every_line(at, shipped):
    visit = at("/?view=compare&dataset=mnist&label=7&seed=9&values=2,20")
    visit.wait_until_done()
    lines = visit.page.locator(".list tr").all()
    assert [line.locator("th").inner_text().split("\n")[0] for line in lines] == ["2 steps", "20 steps"]
    drawn = np.split(np.stack(visit.pictures("#comparison"))[..., 0], len(lines))
    for steps, images in zip((2, 20), drawn, strict=True):
        fields = {"dataset": "mnist", "label": 7, "seed": 9, "n": 6, "steps": steps}
        answer = shipped.post("/sample", json=fields, headers={"Accept": "application/x-npy"})
        np.testing.assert_array_equal(images, np.load(io.BytesIO(answer.content)))


def test_one_handle_moves_through_all_cells_and_a_cell_can_be_enlarged(at):
    """From the same noise, whatever the number of steps; by a button each is seen large, and taken to Generate."""
    visit = at("/?view=compare&dataset=spiral&labels=each&seed=9&values=2,10&n=200")
    visit.wait_until_done()
    assert visit.page.locator("#legend li").all_inner_texts() == ["0", "1", "2", "real"]

    def cells() -> list[str]:
        return visit.page.eval_on_selector_all("#comparison canvas", "all => all.map((one) => one.toDataURL())")

    ends = cells()
    handle = visit.page.get_by_role("slider", name="All trajectories")
    assert handle.get_attribute("aria-valuetext") == "100% of the way"
    handle.press("Home")
    few, many = cells()
    assert few == many and few != ends[0] != ends[1]
    handle.press("End")
    visit.page.get_by_role("button", name="Enlarge: 10 steps").click()
    dialog = visit.page.get_by_role("dialog")
    assert dialog.locator("canvas").bounding_box()["width"] > 500
    assert dialog.get_by_role("img", name="200 points of spiral").is_visible()
    visit.keep_picture("enlarged")
    dialog.get_by_role("button", name="Take it to Generate").click()
    visit.wait_for_address("steps=10&", "seed=9")
    assert "view=compare" not in visit.page.url and dialog.is_hidden()


@pytest.mark.parametrize(("over", "titles"), [
    ("guidance", ["classifier-free", "classifier", "none"]),
    pytest.param(
        "model", ["mnist-cfg", "mnist-ddpm", "mnist-fast", "mnist-text-cfg", "mnist-text-fast"], marks=pytest.mark.slow
    ),
    pytest.param("variance", ["fixed-small", "fixed-large", "learned"], marks=pytest.mark.slow),
    pytest.param("seed", ["seed 4", "seed 6", "seed 8", "seed 10"], marks=pytest.mark.slow),
])  # fmt: skip
def test_any_one_field_is_compared(at, shipped, over, titles):
    model = "&model=mnist-ddpm&sampler=ddpm" if over == "variance" else ""
    asks = "" if over in ("model", "variance") else "&label=7"
    visit = at(f"/?view=compare&dataset=mnist&seed=4&n=2&steps=2&over={over}{asks}{model}")
    visit.wait_until_done()
    lines = visit.page.locator(".list tr").all()
    assert [line.locator("th").inner_text().split("\n")[0] for line in lines] == titles
    pairs = np.split(np.stack(visit.pictures("#comparison"))[..., 0], len(lines))
    fields = {"dataset": "mnist", "steps": 2, "n": 2, "seed": 4, "sampler": "ddpm" if model else "dpmpp-2m"}
    fields |= {"label": 7} if asks else {}
    fields |= {"model": "mnist-ddpm"} if model else {}
    row = titles.index("mnist-text-cfg") if over == "model" else -1  # students do not take the sampler
    value = int(titles[row].split()[1]) if over == "seed" else titles[row]
    answer = shipped.post("/sample", json=fields | {over: value}, headers={"Accept": "application/x-npy"})
    np.testing.assert_array_equal(pairs[row], np.load(io.BytesIO(answer.content)))
    link = visit.page.evaluate("location.search")
    assert ("values=" in link) == (over == "seed") and f"over={over}" in link


@pytest.mark.slow
def test_a_comparison_is_taken_along_as_one_picture(at):
    visit = at("/?view=compare&dataset=mnist&labels=each&seed=9&over=sampler&by=steps&by_values=1")
    visit.wait_until_done()
    cells = np.split(np.stack(visit.pictures("#comparison")), len(SAMPLERS))
    assert read(list(cells[2])) == list(range(10)) or len(cells[2]) == 10  # one of every class in each cell
    picture = as_pixels(visit.download("PNG"))
    box = visit.page.locator(".matrix").bounding_box()
    np.testing.assert_allclose(picture.shape[:2], [2 * (box["height"] + 32), 2 * (box["width"] + 32)], atol=2)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_samplers_are_compared_over_steps(at):
    visit = at("/?view=compare&dataset=spiral&over=sampler&by=steps&labels=each&seed=3&by_values=1,5,25")
    visit.wait_until_done()
    visit.keep_picture("compare")
    assert visit.page.locator(".matrix th[scope=col]").all_inner_texts() == ["1 step", "5 steps", "25 steps"]
    assert visit.page.locator(".matrix th[scope=row]").all_inner_texts() == list(SAMPLERS)
    assert len(visit.page.locator(".matrix td canvas").all()) == 3 * len(SAMPLERS)
    assert "…" not in visit.page.locator(".matrix").inner_text()


@pytest.mark.parametrize("path", [
    "/?dataset=mnist&labels=each&seed=2&steps=5",
    "/?dataset=mnist&prompt=a+thin+seven&seed=2&n=2&steps=5",
    "/?dataset=gaussian&label=1&seed=2&guidance=classifier&n=50",
])  # fmt: skip
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_copied_commands_work_as_pasted(at, shipped, tmp_path, path):
    visit = at(path)
    visit.wait_until_done()
    images = "mnist" in path

    def copied(name: str) -> str:
        visit.page.get_by_role("button", name=name, exact=True).click()
        text = visit.page.evaluate("navigator.clipboard.readText()")
        assert visit.page.locator("pre code").inner_text() == text
        return text

    def python(code: str) -> str:
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True).stdout

    told = subprocess.run(["bash", "-c", copied("curl")], cwd=tmp_path, check=True, capture_output=True).stdout
    if images:
        png = (tmp_path / "mnist-2.png").read_bytes()
        columns = math.ceil(math.sqrt(len(visit.pictures())))
        for i, picture in enumerate(visit.pictures()):
            y, x = i // columns * 29, i % columns * 29
            np.testing.assert_array_equal(as_pixels(png)[y : y + 28, x : x + 28], picture)
        (tmp_path / "mnist-2.png").unlink()
        python(copied("Python"))
        assert (tmp_path / "mnist-2.png").read_bytes() == png
    else:
        assert len(json.loads(told)["points"]) == 50
        assert python(copied("Python")).startswith(b"50 points, the first: [")
    openai = visit.page.get_by_role("button", name="OpenAI")
    if "prompt" in path:
        python(copied("OpenAI"))
        for i, picture in enumerate(visit.pictures()):
            np.testing.assert_array_equal(as_pixels((tmp_path / f"mnist-2-{i}.png").read_bytes()), picture)
    else:
        openai.click(force=True)  # it looks disabled, and says why
        assert "OpenAI's API has prompts for images only" in visit.page.locator("#take").inner_text()


def test_the_status_line_tells_of_the_device(at):
    visit = at("/?dataset=spiral&seed=1")
    visit.wait_until_done()
    visit.page.wait_for_function("() => /^cpu · .*p50 /.test(document.querySelector('#status').textContent)")


VIEWS = {
    "generate": "/?dataset=mnist&labels=each&seed=3",
    "points": "/?dataset=spiral&labels=each&seed=3",
    "words": "/?dataset=mnist&prompt=bold+3&seed=3&sampler=ddim",
    "draw": "/?view=draw",
    "edit": "/?view=edit",
    "compare": "/?view=compare&dataset=gaussian&seed=3&values=1,5",
}


@pytest.fixture(scope="module", params=VIEWS)
def view(request, visit, shipped) -> Iterator[tuple[str, Visit]]:
    """A view's name, and a page that shows it to its end."""
    shown = visit(shipped.url, VIEWS[request.param])
    shown.page.wait_for_selector("#controls .chip:visible")
    if request.param not in ("draw", "edit"):  # they begin with nothing
        shown.wait_until_done()
    yield request.param, shown
    assert shown.complaints == []
    shown.page.context.close()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_serious(view, scheme):
    _, visit = view
    visit.page.emulate_media(color_scheme=scheme)
    found = Axe().run(visit.page).response["violations"]
    visit.page.emulate_media(color_scheme="light")
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious]


def test_nothing_stands_out_at_any_width(view):
    name, visit = view
    visit.page.evaluate("document.querySelector('#quality').open = true")
    for width in (320, 390, 768, 1280, 1920):
        visit.page.set_viewport_size({"width": width, "height": 850})
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        visit.keep_picture(f"{name}-{width}")


def test_where_nothing_should_move_it_does_not(at):
    visit = at("/?dataset=mnist&label=3&seed=1&steps=20")
    visit.wait_until_done()
    scrubber = visit.page.get_by_role("slider", name="Trajectory")
    assert scrubber.get_attribute("aria-valuetext") == "step 20 of 20"
    visit.page.get_by_role("button", name="Replay").click()  # one step at a time, from the beginning
    assert scrubber.get_attribute("aria-valuetext") == "step 0 of 20"
