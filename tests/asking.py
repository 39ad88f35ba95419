"""Asking a service for samples, in JSON, and for its metrics."""


def ask(client, fields: dict) -> dict:
    answer = client.post("/sample", json=fields, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def metric(client, name: str) -> float:
    """The sum of the series of that name, or of that name and labels; 0 where there is none."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))
