"""Bad input: a clear error that says what to do, and nothing breaks."""

import asyncio
import json

import pytest
from pydantic import ValidationError

from service.engine.job import DeadlinePassed, EngineFull, EngineStopped, JobFailed, JobTooLong
from service.jobs.batch_answers import BatchRequest
from service.jobs.job_request import JobRequest
from service.requests.field_names import FIELDS, SAME_FIELD
from service.requests.openai_images import ImagesRequest
from service.requests.schemas import SampleRequest
from tests.tiny import IMAGES, save_tiny


def problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status and body["detail"] and body["title"]
    assert "Traceback" not in answer.text
    return body


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"label": 11}, "label", "0 … 9"),
        ({"label": -1}, "label", "0 … 9"),
        ({"label": "eleven"}, "label", "one of 0, 1"),
        ({"label": True}, "label", "int"),
        ({"label": 7.5}, "label", "int"),
        ({"label": []}, "label", "empty"),
        ({"label": [1, 2], "n": 3}, "n", "2 labels"),
        ({"n": 0}, "n", "1 … 64"),
        ({"n": 65}, "n", "1 … 64"),
        ({"n": "3"}, "n", "integer"),
        ({"steps": 0}, "steps", "1 … 50"),
        ({"steps": 51}, "steps", "1 … 50"),
        ({"seed": -2}, "seed", f"0 … {2**63 - 1}, or -1 to have one drawn"),
        ({"seed": 2**63}, "seed", "less"),
        ({"seed": 1.5}, "seed", "integer"),
        ({"sampler": "euler"}, "sampler", "dpmpp-2m"),
        ({"eta": 0.5}, "eta", "ddim"),
        ({"eta": 1.5, "sampler": "ddim"}, "eta", "less"),
        ({"variance": "fixed-small"}, "variance", "ddpm"),
        ({"variance": "learned", "sampler": "ddpm"}, "variance", "fixed-small"),
        ({"guidance_scale": 2}, "guidance_scale", "label"),
        ({"guidance_scale": 21, "label": 1}, "guidance_scale", "0 … 20"),
        ({"guidance_scale": 2, "label": 1, "guidance": "none"}, "guidance_scale", "none"),
        ({"guidance": "classifier-free"}, "guidance", "label"),
        ({"guidance": "classifier", "label": 1}, "guidance", "classifier-free"),
        ({"guidance": "psychic", "label": 1}, "guidance", "classifier-free"),
        ({"zoom": 17}, "zoom", "1 … 16"),
        ({"dataset": "spiral", "zoom": 2}, "zoom", "images"),
        ({"dataset": "spiral", "n": 10_001}, "n", "1 … 10,000"),
        ({"dataset": 3}, "dataset", "string"),
        ({"prompts": "a seven"}, "prompts", "unknown field"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_range_and_what_was_given(client, fields, field, says):
    body = problem(client.post("/sample", json={"dataset": "mnist"} | fields), 422)
    assert body["errors"][0]["field"] == field
    assert says in body["detail"]
    assert field in body["detail"]
    if field != "dataset" and fields[field] != []:
        given = fields[field] if isinstance(fields[field], str) else json.dumps(fields[field])
        assert given[:20] in body["errors"][0]["given"] and given[:20] in body["detail"]


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("num_inference_steps", "steps"), ("cfg_scale", "guidance_scale"), ("class", "label"), ("scheduler", "sampler"),
        ("num_images_per_prompt", "n"), ("controlnet_conditioning_scale", "control.scale"), ("labell", "label"),
        ("guidanceScale", "guidance_scale"), ("prompts", "prompt"), ("Steps", "steps"),
    ],
)  # fmt: skip
def test_a_field_that_others_call_otherwise_is_answered_with_its_name_here(client, name, called):
    body = problem(client.post("/sample", json={"dataset": "mnist", name: 1}), 422)
    told = f"unknown field; it is called {called} here"
    assert body["errors"] == [{"field": name, "detail": told, "given": "1"}]


def test_a_name_is_told_only_where_its_field_can_be(client):
    """GET has no `control`, OpenAI's API no `label`; what nobody calls so is no field."""
    listed = "unknown field; the fields are listed at /docs"
    assert problem(client.get("/sample?dataset=mnist&control_scale=1"), 422)["errors"][0]["detail"] == listed
    assert problem(client.get("/sample?dataset=mnist&cfg=1"), 422)["errors"][0]["detail"].endswith(
        "guidance_scale here"
    )
    control = {"kind": "canny", "image": "x", "strength": 1}
    (error,) = problem(client.post("/sample", json={"dataset": "mnist", "control": control}), 422)["errors"]
    assert error["field"] == "control.strength" and error["detail"].endswith("control.scale here")
    for name, detail in (("class", listed), ("num_inference_steps", "unknown field; it is called steps here")):
        answer = client.post("/v1/images/generations", json={"prompt": "7", name: 1})
        assert answer.status_code == 400 and detail in answer.json()["error"]["message"]
    for name in ("colour", "x" * 5000, "\u0000"):
        assert problem(client.post("/sample", json={"dataset": "mnist", name: 1}), 422)["errors"][0]["detail"] == listed


def test_every_other_name_leads_to_a_field_and_is_none_itself():
    assert set(SAME_FIELD.values()) <= set(FIELDS["body"])
    assert not SAME_FIELD.keys() & set(FIELDS["body"])


def test_an_unknown_dataset_or_model_is_answered_with_those_there_are(client):
    assert "mnist, spiral" in problem(client.post("/sample", json={"dataset": "cats"}), 404)["detail"]
    answer = client.post("/sample", json={"dataset": "mnist", "model": "big"})
    assert "mnist-tiny" in problem(answer, 404)["detail"]
    answer = client.post("/sample", json={"dataset": "mnist", "model": "spiral-tiny"})
    assert "mnist-tiny" in problem(answer, 404)["detail"]


OBJECT = 'such as {"dataset": "mnist", "label": 7}'


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", OBJECT),
        (b"{", OBJECT),
        (b"[]", OBJECT),
        (b"7", OBJECT),
        (b'"mnist"', OBJECT),
        (b"null", OBJECT),
        (b"dataset=mnist&label=7", f"Expecting value at character 0 of dataset=mnist&label=7; send an object {OBJECT}"),
        (b"'{dataset:mnist}'", "of '{dataset:mnist}'; send"),
        (b'{"dataset": "mnist"}}', OBJECT),
        (b"\xff\xfe", OBJECT),
        (b'{"dataset": "mn\xff"}', "byte 15 is not UTF-8"),
        ('{"dataset": "größe"}'.encode("latin-1"), "byte 15 is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"dataset": ' * 100_000, "nested too deeply"),
        (b'{"dataset": "mnist", "seed": ' + b"9" * 5000 + b"}", "a number has more than 4,300 digits"),
    ],
)
def test_a_body_that_is_no_json_object_is_told_why(client, body, says):
    told = problem(client.post("/sample", content=body, headers={"Content-Type": "application/json"}), 422)
    assert says in told["detail"] and len(told["detail"]) < 300


@pytest.mark.parametrize("label", ["\\ud800", "0000000019999", "0" * 5000])
def test_text_that_is_no_class(client, label):
    body = f'{{"dataset": "mnist", "label": "{label}"}}'
    problem(client.post("/sample", content=body, headers={"Content-Type": "application/json"}), 422)


MANY = {f"field{i}": "a" for i in range(5000)}


@pytest.mark.parametrize("body", [SampleRequest, JobRequest, ImagesRequest, BatchRequest])
@pytest.mark.parametrize(
    "fields",
    [
        MANY, {"control": MANY}, {"given": MANY}, {"init": MANY}, {"mask": MANY}, {"accept": MANY}, {"metadata": MANY},
        {"label": MANY}, {"label": [[]] * 5000}, {"label": [1] * 5000 + [[]] * 5000}, {"mix": ["a"] * 5000},
        {"axes": [[]] * 5000}, {"guidance_interval": ["a"] * 5000}, {"output_expires_after": MANY},
    ],
    ids=lambda fields: "many" if fields is MANY else next(iter(fields)),
)  # fmt: skip
def test_a_body_full_of_errors_makes_few_of_them(body, fields):
    """An error for each of a million would take seconds of the event loop, and gigabytes."""
    with pytest.raises(ValidationError) as raised:
        body.model_validate({"dataset": "mnist"} | fields)
    assert raised.value.error_count() < 20


def test_every_one_of_many_classes_may_have_a_count():
    counts = {name: 2.0 for name in MANY}
    assert JobRequest.model_validate({"dataset": "mnist", "label": counts}).label == counts


@pytest.mark.parametrize("fields", [MANY, {"control": MANY}, {"label": [[]] * 10_001}, {"label": [1] * 10_001}])
def test_a_body_full_of_errors_is_answered_shortly(client, fields):
    answer = client.post("/sample", json={"dataset": "mnist"} | fields)
    problem(answer, 422)
    assert len(answer.content) < 5000


@pytest.mark.parametrize(
    ("fields", "given"),
    [({"n": "4"}, '"4"'), ({"steps": True}, "true"), ({"control": "drawing.png"}, '"drawing.png"'),
     ({"label": {"größe": 3}}, '{"größe": 3}'), ({"mix": ["\ud800"]}, '"\ud800"'), ({"seed": "x"}, '"x"')],
)  # fmt: skip
def test_what_was_given_is_shown_as_it_was_sent(client, fields, given):
    body = json.dumps({"dataset": "mnist"} | fields)
    told = problem(client.post("/sample", content=body, headers={"Content-Type": "application/json"}), 422)
    (error,) = told["errors"]
    assert error["given"] == given and "dictionary" not in error["detail"]


def test_too_many_fields_say_where_they_are(client):
    told = problem(client.post("/sample", json={"dataset": "mnist", "control": MANY}), 422)
    assert told["errors"][0]["detail"] == "there are 5000 fields in control; see /docs"


def test_a_field_that_is_needed_says_what_it_may_be(client):
    for answer in (client.post("/sample", json={}), client.get("/sample"), client.post("/sample", json={"label": 7})):
        needed = {"field": "dataset", "detail": "needed: one of mnist, spiral"}
        assert problem(answer, 422)["errors"] == [needed]
    body = problem(client.post("/sample", json={"dataset": "mnist", "control": {"image": "x"}}), 422)
    assert body["errors"] == [{"field": "control.kind", "detail": "needed"}]


def test_nan_and_infinity_are_not_numbers(client):
    for value in ("NaN", "Infinity", "1e999"):
        body = f'{{"dataset": "mnist", "label": 1, "guidance_scale": {value}}}'
        problem(client.post("/sample", content=body, headers={"Content-Type": "application/json"}), 422)


def test_get_names_its_field_too(client):
    body = problem(client.get("/sample?dataset=mnist&steps=many"), 422)
    assert body["errors"][0] == {"field": "steps", "detail": body["errors"][0]["detail"], "given": "many"}
    problem(client.get("/sample?dataset=mnist&colour=red"), 422)
    problem(client.get("/sample"), 422)


def test_other_content_types(client):
    body = json.dumps({"dataset": "mnist"})
    answer = client.post("/sample", content=body, headers={"Content-Type": "text/plain"})
    assert "`Content-Type: application/json`" in problem(answer, 415)["detail"]
    assert answer.headers["accept"] == "application/json"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/sample", content=body, headers=form).status_code == 200
    problem(client.post("/sample", content=body, headers=form | {"Origin": "https://elsewhere.example"}), 415)


def test_a_representation_that_there_is_not(client):
    answer = client.post("/sample", json={"dataset": "spiral"}, headers={"Accept": "application/zip"})
    assert "text/csv" in problem(answer, 406)["detail"]
    assert answer.headers["vary"] == "Accept"
    several = [("Accept", "text/html"), ("Accept", "text/csv")]
    assert client.get("/sample?dataset=spiral", headers=several).headers["content-type"].startswith("text/csv")


def test_a_route_and_a_method_that_there_are_not(client):
    problem(client.get("/nothing"), 404)
    assert "DELETE" in problem(client.delete("/sample"), 405)["detail"]
    assert client.delete("/sample").headers["allow"] == "GET, HEAD, POST"


def test_a_body_that_is_too_large_is_refused_before_it_is_read(make_client):
    client = make_client(body_limit=2000)
    body = json.dumps({"dataset": "mnist", "model": "x" * 3000})
    problem(client.post("/sample", content=body, headers={"Content-Type": "application/json"}), 413)

    def drip():
        for _ in range(100):
            yield b" " * 100

    problem(client.post("/sample", content=drip(), headers={"Content-Type": "application/json"}), 413)
    assert client.post("/sample", json={"dataset": "mnist"}).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(make_client):
    client = make_client(client_seconds=0.2)
    sent = iter([{"type": "http.request", "body": b'{"dataset":', "more_body": True}])
    answer = []

    async def receive():
        for message in sent:
            return message
        await asyncio.sleep(60)

    async def send(message):
        answer.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/sample",
        "raw_path": b"/sample", "root_path": "", "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"100")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {},
    }  # fmt: skip
    client.portal.call(client.app, scope, receive, send)
    assert answer[0]["status"] == 408
    assert "0.2 s" in json.loads(answer[1]["body"])["detail"]


def test_whoever_waits_for_a_long_answer_is_not_hurried(make_client):
    client = make_client(client_seconds=0.5)
    sample = client.app.state.spirale.engine.sample

    async def slow(job, key):
        await asyncio.sleep(1)
        return await sample(job, key)

    client.app.state.spirale.engine.sample = slow
    assert client.post("/sample", json={"dataset": "mnist"}).status_code == 200
    assert client.get("/sample?dataset=mnist").status_code == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EngineFull(70.0, 13), 429),
        (JobTooLong(300.0, 120.0), 422),
        (DeadlinePassed("not done within 120 s"), 504),
        (JobFailed("a value was not finite"), 500),
        (EngineStopped("draining"), 503),
        (RuntimeError("a secret"), 500),
    ],
)
def test_what_the_engine_refuses(make_client, error, status):
    client = make_client()

    async def refuse(job, key):
        await asyncio.sleep(0)
        raise error

    client.app.state.spirale.engine.sample = refuse
    answer = client.post("/sample", json={"dataset": "mnist"})
    problem(answer, status)
    assert "secret" not in answer.text and answer.headers["x-request-id"]
    if status == 429:
        assert answer.headers["retry-after"] == "13"
    # What took too long once does so again; client libraries would repeat it by themselves.
    assert answer.headers.get("x-should-retry") == ("false" if status == 504 else None)
    assert answer.headers["cache-control"] == "no-store"


def test_a_key_that_is_needed(make_client):
    client = make_client(api_key="sesame")
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    for headers in (
        {},
        {"Authorization": "Bearer open"},
        {"Authorization": "sesame"},
        {"Authorization": "Bearer sésame"},
    ):
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = client.get("/models", headers=encoded)
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert client.get("/models", headers={"Authorization": "Bearer sesame"}).status_code == 200


def test_a_broken_checkpoint_is_named_and_left_out(tmp_path, make_client, caplog, capsys):
    save_tiny(tmp_path, IMAGES)
    for name, harm in {
        "cut": lambda path: (path / "model.safetensors").write_bytes((path / "model.safetensors").read_bytes()[:1000]),
        "half-written": lambda path: (path / "config.json").unlink(),
        "not-json": lambda path: (path / "config.json").write_text("{"),
        "not-utf-8": lambda path: (path / "config.json").write_bytes(b"\xff\xfe"),
        "no-weights": lambda path: (path / "model.safetensors").unlink(),
    }.items():
        harm(save_tiny(tmp_path, IMAGES, name))
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "config.json").write_text('{"role": "judge"}')
    client = make_client(checkpoints=tmp_path)
    assert client.post("/sample", json={"dataset": "mnist"}).status_code == 200
    assert [model["name"] for model in client.get("/models").json()["datasets"]["mnist"]["models"]] == ["mnist-tiny"]
    told = caplog.text + "".join(capsys.readouterr())
    for name in ("cut", "half-written", "not-json", "not-utf-8", "no-weights"):
        assert name in told
    assert "judge" not in told


def test_a_query_of_too_many_labels_is_refused_as_a_field(client):
    assert problem(client.get("/sample?dataset=mnist&label=" + "," * 10_001), 422)["errors"][0]["field"] == "label"
