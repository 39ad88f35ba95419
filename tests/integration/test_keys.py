"""Several API keys: who may do what, how much, and whose jobs are whose."""

import hashlib
import re

import pytest

from service.key_file import KeysError

RATE = 1e-3  # device-seconds a minute: one request of points costs more
KEYS = f"""
[[keys]]
name = "alice"
key = "sesame"
admin = true

[[keys]]
name = "bob"
sha256 = "{hashlib.sha256(b"open").hexdigest()}"
rate = {RATE}
"""
POINTS = {"dataset": "spiral", "n": 300, "steps": 20}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text(KEYS)
    path.chmod(0o600)
    return path


@pytest.fixture
def client(make_client, file, tmp_path):
    return make_client(keys_file=file, api_key="settings", jobs_dir=tmp_path / "jobs")


def test_each_status_says_which_limit_and_use_is_counted_by_name(client):
    nobody = client.post("/sample", json=POINTS)
    assert nobody.status_code == 401 and nobody.headers["www-authenticate"] == 'Bearer realm="spirale"'
    unknown = client.post("/sample", json=POINTS, headers=bearer("sesam"))
    assert unknown.status_code == 401 and "not known" in unknown.json()["detail"]
    assert 'error="invalid_token"' in unknown.headers["www-authenticate"]

    for key in ("sesame", "settings"):
        assert client.post("/sample", json=POINTS, headers=bearer(key)).status_code == 200
    assert client.post("/sample", json=POINTS, headers=bearer("open")).status_code == 200  # from a full bucket
    refused = client.post("/sample", json=POINTS, headers=bearer("open"))
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    assert "the key bob may use 0.001 device-seconds a minute" in refused.json()["detail"]
    forbidden = client.post("/admin/reload", headers=bearer("open"))
    assert forbidden.status_code == 403 and "the key bob may not do this" in forbidden.json()["detail"]
    for key in ("sesame", "settings"):
        assert client.post("/admin/reload", headers=bearer(key)).status_code == 200

    text = client.get("/metrics", headers=bearer("sesame")).text
    used = dict(re.findall(r'^spirale_key_device_seconds_total\{key="([^"]+)"\} (\S+)$', text, re.MULTILINE))
    assert used.keys() == {"alice", "bob", "api-key"} and all(float(seconds) > 0 for seconds in used.values())
    assert 'spirale_key_requests_total{key="bob",status="429"} 1.0' in text
    assert 'spirale_key_requests_total{key="alice",status="200"} 2.0' in text
    assert 'spirale_rejected_total{reason="rate"} 1.0' in text
    assert 'spirale_requests_total{dataset="spiral",outcome="rate"} 1.0' in text


def test_what_a_key_is_answered_is_counted_as_it_is_answered(client, monkeypatch):
    """Under /v1 a problem's status is OpenAI's, and what nobody expected is 500."""
    headers = bearer("sesame")
    assert client.post("/v1/images/generations", json={}, headers=headers).status_code == 400

    def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("service.http.preparation.resolve", fail)
    assert client.get("/sample?dataset=spiral", headers=headers).status_code == 500
    assert client.head("/models", headers=headers).status_code == 200
    assert client.get("/models", headers=bearer("sesam")).status_code == 401
    monkeypatch.undo()
    text = client.get("/metrics", headers=headers).text
    counts = dict(re.findall(r'^spirale_key_requests_total\{key="alice",status="(\d+)"\} (\S+)$', text, re.MULTILINE))
    assert counts == {"400": "1.0", "500": "1.0", "200": "1.0"}


def test_jobs_are_seen_by_their_own_key_only(client):
    asked = {"dataset": "spiral", "n": 4, "steps": 2}
    made = client.post("/jobs", json=asked, headers=bearer("sesame")).json()["id"]
    assert [job["id"] for job in client.get("/jobs", headers=bearer("sesame")).json()["jobs"]] == [made]
    assert client.get(f"/jobs/{made}", headers=bearer("sesame")).status_code == 200
    for key in ("open", "settings"):
        assert client.get("/jobs", headers=bearer(key)).json() == {"jobs": []}
        for ask in (client.get, client.delete):
            assert ask(f"/jobs/{made}", headers=bearer(key)).status_code == 404


def test_the_file_is_read_again_and_a_bad_one_changes_nothing(client, file):
    keys = client.app.state.spirale.keys
    file.write_text(KEYS.replace("sesame", "changed").replace(str(RATE), "1e6"))
    client.post("/sample", json=POINTS, headers=bearer("open"))
    keys.reload()
    assert client.get("/models", headers=bearer("sesame")).status_code == 401
    assert client.get("/models", headers=bearer("changed")).status_code == 200
    assert client.post("/sample", json=POINTS, headers=bearer("open")).status_code == 200
    file.chmod(0o644)
    with pytest.raises(KeysError):
        keys.reload()
    assert client.get("/models", headers=bearer("changed")).status_code == 200
