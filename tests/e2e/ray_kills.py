"""Run by test_ray.py, alone in a network: a cluster of two nodes answers while replicas and nodes of it are killed.

`python -m tests.e2e.ray_kills CHECKPOINTS REQUESTS KILLS` kills a replica, then a node, which is replaced, by turns.
It prints, as JSON, how tries came out, which requests had other bytes than a single process gives, and which none.
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import ray
from ray.cluster_utils import Cluster

from tests.e2e.conftest import free_ports
from tests.e2e.ray_app import SETTINGS, run_app
from tests.e2e.ray_two_nodes import NODE
from tests.waiting import wait_for

CLIENTS = 8
STREAM = "text/event-stream"
MODELS = {  # how each is asked
    "mnist-tiny": (
        "mnist",
        range(10),
        ("image/png", "application/json", "application/x-npy", "application/zip", STREAM),
    ),
    "mnist-fast": ("mnist", range(10), ("image/png", "application/json", STREAM)),
    "spiral-tiny": ("spiral", ("inner", "outer"), ("application/json", "text/csv", "application/x-npy", STREAM)),
}
STEPS = {"mnist-tiny": (5, 20, 50), "mnist-fast": (1, 2), "spiral-tiny": (5, 20, 50)}
PATIENCE = 600.0  # seconds in which a request is tried again


def request(number: int) -> tuple[dict, str]:
    """(the body, the media type) of that request."""
    draw = random.Random(number)
    model = draw.choice(list(MODELS))
    dataset, labels, accepts = MODELS[model]
    body = {"dataset": dataset, "model": model, "label": draw.choice([*labels, None]), "seed": draw.randrange(2**63)}
    return body | {"n": draw.randint(1, 3), "steps": draw.choice(STEPS[model])}, draw.choice(accepts)


def ask(http: httpx.Client, number: int) -> tuple[str, bytes]:
    """(the status, or what broke; the answer, of a stream its last event without the timings)"""
    body, accept = request(number)
    try:
        answer = http.post("/sample", json=body, headers={"Accept": accept})
    except httpx.TransportError as error:
        return f"{type(error).__name__} of {'a stream' if accept == STREAM else 'an answer'}", b""
    if answer.status_code != 200 or accept != STREAM:
        return str(answer.status_code), answer.content
    last = json.loads(answer.text.rstrip().rpartition("data: ")[2])
    if "timings" not in last:  # an error, as an event
        return str(last["status"]), b""
    return "200", json.dumps(last | {"timings": None}).encode()


def asked_alone(checkpoints: str, requests: int) -> list[bytes]:
    """The answers of a single process."""
    (port,) = free_ports(1)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in {**SETTINGS, "checkpoints": checkpoints}.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "--port", str(port), *flags], stderr=subprocess.DEVNULL
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as http:
            wait_for(lambda: is_ready(http), 600)
            with ThreadPoolExecutor(CLIENTS) as clients:
                answers = list(clients.map(lambda number: ask(http, number), range(requests)))
    finally:
        process.kill()
        process.wait()
    assert {status for status, _ in answers} == {"200"}, Counter(status for status, _ in answers)
    return [content for _, content in answers]


def is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def kill_a_replica() -> None:
    """One that is alive; waits until there is one."""

    def alive() -> list[str]:
        actors = ray.util.list_named_actors(all_namespaces=True)
        return [one["name"] for one in actors if one["name"].startswith("SERVE_REPLICA")]

    wait_for(alive, PATIENCE)
    ray.kill(ray.get_actor(alive()[0], namespace="serve"))


def main(checkpoints: str, requests: int, kills: int) -> None:
    expected = asked_alone(checkpoints, requests)
    cluster = Cluster()
    cluster.add_node(**NODE)  # the proxy is there
    other = cluster.add_node(**NODE)
    ray.init(address=cluster.address, log_to_driver=False)
    two = {"min_replicas": 2, "max_replicas": 2}
    url = run_app(checkpoints, autoscaling_config=two)

    tries, wrong, given_up, lock = Counter(), [], [], threading.Lock()
    done = threading.Semaphore(0)
    with httpx.Client(base_url=url, timeout=300) as http:

        def until_answered(number: int) -> None:
            deadline = time.monotonic() + PATIENCE
            try:
                while time.monotonic() < deadline:
                    status, content = ask(http, number)
                    with lock:
                        tries[status] += 1
                        if status == "200" and content != expected[number]:
                            wrong.append(number)
                    if status == "200":
                        return
                    time.sleep(0.5)
                with lock:
                    given_up.append(number)
            finally:
                done.release()

        with ThreadPoolExecutor(CLIENTS) as clients:
            asked = [clients.submit(until_answered, number) for number in range(requests)]
            for kill in range(kills):
                for _ in range(requests // (kills + 1)):
                    done.acquire()
                if kill % 2 == 0:
                    kill_a_replica()
                else:
                    cluster.remove_node(other, allow_graceful=False)
                    other = cluster.add_node(**NODE)
    for each in asked:
        each.result()  # raises what one raised
    print(json.dumps({"tries": tries, "wrong": wrong, "given_up": given_up, "kills": kills}), flush=True)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
