"""Asking a service for samples, in JSON."""


def ask(client, fields: dict) -> dict:
    answer = client.post("/sample", json=fields, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return answer.json()
