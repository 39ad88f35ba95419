"""OpenAI's edits and variations, as its own client asks for them."""

import io

import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from model.checkpoints.base import save_checkpoint
from service.app import create_app
from service.settings import Settings
from tests.integration.conftest import wait_until_ready
from tests.integration.test_edits import GREY, seen
from tests.tiny import tiny_text_checkpoint


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder, text = tmp_path_factory.mktemp("checkpoints"), tiny_text_checkpoint()
    save_checkpoint(folder / "text", text.config, text.network, text.text)
    with TestClient(create_app(Settings(checkpoints=folder, device="cpu")), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture
def images(client):
    return openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=client, max_retries=0).images


def png(pixels: np.ndarray, alpha: np.ndarray | None = None) -> tuple[str, bytes, str]:
    image = Image.fromarray(pixels)
    if alpha is not None:
        image = image.convert("RGBA")
        image.putalpha(Image.fromarray(alpha))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "picture.png", buffer.getvalue(), "image/png"


OPAQUE_ON_THE_RIGHT = np.where(np.arange(8) < 4, 0, 255).astype(np.uint8) * np.ones((8, 1), np.uint8)


def drawn(answer) -> np.ndarray:
    return np.stack([seen(one.b64_json) for one in answer.data])


def test_what_is_transparent_is_redrawn_and_the_rest_is_kept(images):
    asked = {"prompt": "thin seven", "n": 2, "extra_body": {"seed": 3, "steps": 3}}
    by_mask = drawn(images.edit(image=png(GREY), mask=png(GREY, OPAQUE_ON_THE_RIGHT), **asked))
    np.testing.assert_array_equal(by_mask[:, :, 4:], np.stack([GREY[:, 4:]] * 2))
    assert (by_mask[0, :, :4] != by_mask[1, :, :4]).any()
    by_own = drawn(images.edit(image=png(GREY, OPAQUE_ON_THE_RIGHT), **asked))
    np.testing.assert_array_equal(by_own[:, :, 4:], by_mask[:, :, 4:])
    listed = drawn(images.edit(image=[png(GREY)], mask=png(GREY, OPAQUE_ON_THE_RIGHT), **asked))
    np.testing.assert_array_equal(listed, by_mask)


def test_without_a_mask_the_whole_picture_changes_as_far_as_strength_says(images):
    back = drawn(images.edit(image=png(GREY), prompt="7", size="16x16", extra_body={"strength": 0}))[0]
    np.testing.assert_array_equal(back, GREY.repeat(2, 0).repeat(2, 1))
    other = images.create_variation(image=png(GREY), n=2, response_format="b64_json", extra_body={"seed": 1})
    assert (drawn(other)[0] != drawn(other)[1]).any()
    back = drawn(images.create_variation(image=png(GREY), extra_body={"strength": 0}))[0]
    np.testing.assert_array_equal(back, GREY)


@pytest.mark.parametrize(
    ("more", "param", "says"),
    [
        ({"mask": png(GREY)}, "mask", "alpha"),
        ({"mask": png(GREY, np.full((8, 8), 255, np.uint8))}, "mask", "in part"),
        ({"image": ("a.png", b"no picture", "image/png")}, "image", "not a picture"),
        ({"image": ("a.png", b"\0" * 1_048_577, "image/png")}, "image", "bytes"),
        ({"image": [png(GREY), png(GREY)]}, "image", "one picture"),
        ({"n": 11}, "n", "less than or equal to 10"),
        ({"response_format": "url"}, "response_format", "b64_json"),
        ({"extra_body": {"strength": 2}}, "strength", "less than or equal to 1"),
        ({"extra_body": {"colour": "red"}}, "colour", "unknown field"),
        ({"model": "dall-e-2"}, "model", "there are: mnist-text-cfg"),
        ({"extra_body": {"mask": "aGVsbG8="}}, "mask", "as a file"),
    ],
)
def test_what_cannot_be_edited_is_refused_as_openai_refuses(images, more, param, says):
    with pytest.raises(openai.APIStatusError) as refused:
        images.edit(**{"image": png(GREY), "prompt": "7"} | more)
    assert refused.value.status_code in (400, 404)
    assert refused.value.body["param"] == param and says in refused.value.body["message"]


def test_soft_edges_are_no_hole(images):
    """Where nothing is as transparent as opaque, all of the picture is redrawn."""
    soft = np.full((8, 8), 255, np.uint8)
    soft[0, 0] = 200
    asked = {"prompt": "seven", "extra_body": {"seed": 3, "steps": 3}}
    assert (drawn(images.edit(image=png(GREY, soft), **asked))[0] != GREY).any(1).all()


def test_other_bodies_than_forms_are_told_what_to_send(client):
    for content in ({"json": {"prompt": "seven"}}, {"data": {"prompt": "seven"}}):
        answer = client.post("/v1/images/edits", **content)
        assert answer.status_code == 415 and "send multipart/form-data" in answer.json()["error"]["message"]


def test_a_field_that_stands_there_twice_is_refused_and_an_empty_one_is_none(client):
    files = {"image": png(GREY)}
    answer = client.post("/v1/images/variations", files=files, data={"n": ["1", "2"]})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "n"
    answer = client.post("/v1/images/variations", files=files, data={"n": "2", "size": ""})
    assert answer.status_code == 200 and len(answer.json()["data"]) == 2


def test_a_page_elsewhere_cannot_send_a_form_without_a_key(client):
    files, page = {"image": png(GREY)}, {"Origin": "https://a.example"}
    assert client.post("/v1/images/variations", files=files).status_code == 200
    assert client.post("/v1/images/variations", files=files, headers=page).status_code == 415
    assert client.post("/sample", files=files).status_code == 415
    assert client.post("/v1/images/variations", files={}, data={"n": "1"}).status_code in (400, 415)


@pytest.mark.parametrize("path", ["/v1/images/variations", "/v1/images/edits"])
def test_an_empty_file_is_none(client, path):
    """As a page's form sends it where no file was chosen."""
    answer = client.post(path, files={"image": ("", b"")}, data={"prompt": "3"} if "edits" in path else {})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "image", answer.text
    files = {"image": png(GREY)} | ({"mask": ("", b"")} if "edits" in path else {})
    answer = client.post(path, files=files, data={"prompt": "3"} if "edits" in path else {})
    assert answer.status_code == 200, answer.text


def test_each_refused_picture_is_counted_once(client):
    def counted(dataset: str) -> float:
        line = f'spirale_requests_total{{dataset="{dataset}",outcome="invalid"}} '
        text = client.get("/metrics").text
        return sum(float(of.split()[-1]) for of in text.splitlines() if of.startswith(line))

    broken = {"image": ("a.png", b"no picture")}
    for path in ("/v1/images/edits", "/v1/images/variations"):
        for files, data, dataset in (
            ({}, {"prompt": "7"}, "mnist"),
            (broken, {"prompt": "7"}, "mnist"),
            (broken, {"prompt": "7", "model": "dall-e-2"}, "unknown"),
            (broken, {"prompt": "7", "n": "0"}, "unknown"),
        ):
            before, fields = {name: counted(name) for name in ("mnist", "unknown")}, dict(data)
            if "variations" in path:
                del fields["prompt"]
            sent = files or {"other": ("a.png", b"x")}
            assert client.post(path, files=sent, data=fields).status_code in (400, 404)
            assert {name: counted(name) for name in before} == before | {dataset: before[dataset] + 1}, (path, data)


def test_a_form_has_no_charset_of_its_own(client):
    """Whatever a client calls it: names are UTF-8."""
    head = {"Content-Type": "multipart/form-data; boundary=x; charset=undefined"}
    form = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na\r\n--x--\r\n'
    answer = client.post("/v1/images/edits", content=form, headers=head)
    assert answer.status_code == 400, answer.text
    assert "image" in answer.json()["error"]["message"]
