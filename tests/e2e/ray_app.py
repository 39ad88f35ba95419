"""The service on the cluster of Ray that this process has joined."""

from ray import serve

from ops.ray.serve_app import deployment
from tests.e2e.conftest import free_ports

SETTINGS = {"device": "cpu", "threads": 1, "max_queued_seconds": 3600, "deadline_seconds": 600}


def run_app(checkpoints: str, **options: object) -> str:
    """Start it, and return its address once it answers. The options are those of the deployment."""
    (port,) = free_ports(1)
    serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
    settings = SETTINGS | {"checkpoints": checkpoints}
    serve.run(deployment(settings).options(**options).bind(settings), route_prefix="/")
    return f"http://127.0.0.1:{port}"
