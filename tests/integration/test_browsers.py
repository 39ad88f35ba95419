"""What browsers are told, and which pages may use the service."""

import re

import pytest

STRICT = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' blob: data:",
    "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
}  # fmt: skip


def policy(answer) -> dict[str, str]:
    parts = answer.headers["content-security-policy"].split("; ")
    return dict(part.split(" ", 1) for part in parts)


@pytest.mark.parametrize("path", ["/healthz", "/models", "/sample?dataset=mnist", "/sample?dataset=cats", "/nothing"])
def test_every_answer_has_the_strict_policy_and_is_what_it_says_it_is(client, path):
    answer = client.get(path)
    assert policy(answer) == STRICT
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_only_named_sites_may_frame_the_page_and_nothing_but_the_page(client, make_client):
    assert policy(client.get("/")) == STRICT
    embedded = make_client(ready=False, embed_origins=("https://a.example", "http://b.example:8080"))
    framed = "'self' https://a.example http://b.example:8080"
    assert policy(embedded.get("/?embed=1")) == STRICT | {"frame-ancestors": framed}
    assert policy(embedded.get("/healthz")) == policy(embedded.get("/playground/main.js")) == STRICT


def test_so_do_the_answers_that_no_route_gives(make_client):
    client = make_client(ready=False, api_key="sesame", body_limit=1024)
    assert policy(client.get("/models")) == STRICT
    assert policy(client.post("/sample", content=b"x" * 2000, headers={"Authorization": "Bearer sesame"})) == STRICT
    assert "access-control-allow-origin" not in client.get("/healthz", headers={"Origin": "https://a.example"}).headers


def test_so_does_what_nobody_expected_and_pages_of_named_origins_may_read_it(make_client):
    client = make_client(cors_origins=("https://a.example",))

    async def fail(job, key):
        raise RuntimeError("a secret")

    client.app.state.spirale.engine.sample = fail
    answer = client.post("/sample", json={"dataset": "mnist"}, headers={"Origin": "https://a.example"})
    assert answer.status_code == 500 and answer.headers["x-request-id"]
    assert policy(answer) == STRICT and answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]


def test_docs_needs_nothing_from_elsewhere(client):
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert policy(page) == STRICT | {"style-src": "'self' 'unsafe-inline'"}
    assert "//" not in page.text and not re.search(r"<script>|<style|\son\w+=", page.text)
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    types = {
        asset: client.get(f"/{asset}").headers["content-type"].split(";")[0] for asset in assets if asset != "data:,"
    }
    assert types == {
        "docs/swagger-ui.css": "text/css",
        "docs/swagger-ui-bundle.js": "text/javascript",
        "docs/start.js": "text/javascript",
    }
    assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text
    assert client.get("/" + re.search(r'url: "([^"]+)"', client.get("/docs/start.js").text)[1]).json()["paths"]


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


def test_no_page_from_elsewhere_may_ask_unless_it_is_named(client, make_client):
    origin = {"Origin": "https://a.example"}
    assert client.options("/sample", headers=origin | PREFLIGHT).status_code == 405
    assert "access-control-allow-origin" not in client.get("/healthz", headers=origin).headers

    opened = make_client(cors_origins=("https://a.example",), api_key="sesame", ready=False)
    preflight = opened.options("/sample", headers=origin | PREFLIGHT)  # a browser sends no key with it
    assert preflight.status_code == 200 and preflight.headers["access-control-allow-origin"] == "https://a.example"
    answer = opened.get("/models", headers=origin | {"Authorization": "Bearer sesame"})
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert "X-Seed" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    other = {"Origin": "https://b.example"}
    assert opened.options("/sample", headers=other | PREFLIGHT).status_code == 400
    assert "access-control-allow-origin" not in opened.get("/healthz", headers=other).headers


def test_a_page_that_may_ask_may_also_end_a_job_and_read_every_header_of_the_contract(make_client):
    opened = make_client(cors_origins=("https://a.example",), ready=False)
    origin = {"Origin": "https://a.example"}
    preflight = opened.options("/jobs/job-1", headers=origin | {"Access-Control-Request-Method": "DELETE"})
    assert preflight.status_code == 200
    exposed = opened.get("/healthz", headers=origin).headers["access-control-expose-headers"].split(", ")
    answers = [
        answer
        for path in opened.get("/openapi.json").json()["paths"].values()
        for operation in path.values()
        for answer in operation["responses"].values()
    ]
    told = {name for answer in answers for name in answer.get("headers", {})}
    assert "X-Seed" in told and told <= set(exposed)
    assert {"ETag", "Content-Range", "X-Request-ID"} <= set(exposed)
