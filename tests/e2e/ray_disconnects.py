"""Run by test_ray.py on a cluster of Ray: clients leave while their requests are in work, and the engine hears of it.

`python -m tests.e2e.ray_disconnects CHECKPOINTS` waits until it has.
"""

import sys

import httpx
import ray

from tests.e2e.ray_app import run_app
from tests.waiting import wait_for

LONG = {"dataset": "mnist", "n": 64, "steps": 1000, "seed": 1}


def main(checkpoints: str) -> None:
    ray.init(log_to_driver=False)
    url = run_app(checkpoints)
    with httpx.Client(base_url=url, timeout=120) as http:

        def metric(name: str) -> float:
            lines = http.get("/metrics").text.splitlines()
            return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

        with http.stream("POST", "/sample", json=LONG, headers={"Accept": "text/event-stream"}) as stream:
            next(stream.iter_lines())  # it has begun
        wait_for(lambda: metric("spirale_cancelled_total") == 1)
        try:
            http.post("/sample", json=LONG, timeout=2)
        except httpx.ReadTimeout:
            wait_for(lambda: metric("spirale_cancelled_total") == 2)
        else:
            raise AssertionError("it was answered too soon")
        wait_for(lambda: metric("spirale_rows_active") + metric("spirale_rows_queued") == 0)
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
