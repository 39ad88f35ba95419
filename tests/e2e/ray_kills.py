"""Run by test_ray.py, alone in a network: a cluster of two nodes answers while a replica, and then a node, is killed.

`python -m tests.e2e.ray_kills CHECKPOINTS REQUESTS` prints, as JSON, how each request came out.
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import ray
from ray import serve
from ray.cluster_utils import Cluster

from ops.ray.serve_app import deployment
from tests.e2e.conftest import free_ports

SETTINGS = {"device": "cpu", "threads": 1, "max_queued_seconds": 3600, "deadline_seconds": 600}
CLIENTS = 8
ACCEPTS = {"mnist": ("image/png", "application/json", "application/x-npy", "text/event-stream"),
           "spiral": ("application/json", "text/csv", "application/x-npy")}  # fmt: skip


def request(number: int) -> tuple[dict, str]:
    dataset = ("mnist", "spiral")[number % 2]
    accepts = ACCEPTS[dataset]
    body = {"dataset": dataset, "seed": number % 40, "n": 1 + number % 3, "steps": (5, 20, 50)[number % 3]}
    return body, accepts[number // 2 % len(accepts)]


def ask(http: httpx.Client, number: int) -> tuple[int | str, bytes]:
    """(the status, or what broke; the samples)"""
    body, accept = request(number)
    try:
        answer = http.post("/sample", json=body, headers={"Accept": accept})
    except httpx.TransportError as error:
        return type(error).__name__, b""
    content = answer.content
    if answer.status_code == 200 and accept == "text/event-stream":
        last = content.decode().rstrip().rpartition("data: ")[2]
        content = json.dumps(json.loads(last).get("images")).encode()
    return answer.status_code, content


def main(checkpoints: str, requests: int) -> None:
    port, own = free_ports(2)
    settings = SETTINGS | {"checkpoints": checkpoints}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    alone = subprocess.Popen([sys.executable, "-m", "service", "--port", str(own), *flags], stderr=subprocess.DEVNULL)
    with httpx.Client(base_url=f"http://127.0.0.1:{own}", timeout=600) as http:
        until_ready(http)
        expected = {}
        for number in range(requests):
            key = json.dumps(request(number))
            if key not in expected:
                status, expected[key] = ask(http, number)
                assert status == 200, expected[key]
    alone.kill()
    alone.wait()

    cluster = Cluster()
    cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")
    second = cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")
    ray.init(address=cluster.address, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
    two = {"min_replicas": 2, "max_replicas": 2}
    serve.run(deployment(settings).options(autoscaling_config=two).bind(settings), route_prefix="/")

    tries, wrong, lock, done = Counter(), [], threading.Lock(), threading.Semaphore(0)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:

        def answered(number: int) -> None:
            deadline = time.monotonic() + 300
            while True:
                status, content = ask(http, number)
                with lock:
                    tries[str(status)] += 1
                if status == 200:
                    if content != expected[json.dumps(request(number))]:
                        wrong.append(number)
                    break
                if time.monotonic() > deadline:
                    wrong.append(number)
                    break
                time.sleep(0.5)
            done.release()

        with ThreadPoolExecutor(CLIENTS) as clients:
            for number in range(requests):
                clients.submit(answered, number)
            for _ in range(requests // 3):
                done.acquire()
            actors = [one["name"] for one in ray.util.list_named_actors(all_namespaces=True)]
            victim = next(name for name in actors if name.startswith("SERVE_REPLICA"))
            ray.kill(ray.get_actor(victim, namespace="serve"))
            for _ in range(requests // 3):
                done.acquire()
            cluster.remove_node(second, allow_graceful=False)
    print(json.dumps({"tries": tries, "wrong": wrong}), flush=True)
    ray.shutdown()
    cluster.shutdown()


def until_ready(http: httpx.Client) -> None:
    for _ in range(600):
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError("the service is not ready")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
