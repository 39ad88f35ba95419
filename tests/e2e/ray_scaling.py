"""Run by test_ray.py on a cluster of Ray: one replica gets more work than it should have waiting, until there are two.

`python -m tests.e2e.ray_scaling CHECKPOINTS` prints, as JSON, the number of replicas at the start and at the end, and
how many requests came out with which status.
"""

import json
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import ray
from ray import serve

from tests.e2e.ray_app import run_app
from tests.waiting import wait_for

CLIENTS = 48
LONG = {"dataset": "mnist", "n": 64, "steps": 50}


def replicas() -> int:
    """That run."""
    (application,) = serve.status().applications.values()
    return application.deployments["spirale"].replica_states.get("RUNNING", 0)


def main(checkpoints: str) -> None:
    ray.init(log_to_driver=False)
    url = run_app(checkpoints)
    first, statuses, enough = replicas(), Counter(), threading.Event()
    with httpx.Client(base_url=url, timeout=600, limits=httpx.Limits(max_connections=CLIENTS)) as http:

        def ask_until_enough(client: int) -> None:
            while not enough.is_set():
                statuses[http.post("/sample", json=LONG | {"seed": client}).status_code] += 1

        with ThreadPoolExecutor(CLIENTS) as clients:
            asking = [clients.submit(ask_until_enough, client) for client in range(CLIENTS)]
            try:
                wait_for(lambda: replicas() > first, 400, every=1)
            finally:
                enough.set()
        for one in asking:
            one.result()  # a client that failed is not overlooked
    print(json.dumps({"replicas": [first, replicas()], "statuses": statuses}), flush=True)
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
