from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.tiny import IMAGES, POINTS, save_tiny
from tests.waiting import wait_for


def wait_until_ready(client: TestClient) -> None:
    wait_for(lambda: client.get("/readyz").status_code == 200, every=0.02)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> Path:
    """`mnist` (8×8 images, ten classes) and `spiral` (points, "inner" and "outer"), with random weights, T = 50."""
    folder = tmp_path_factory.mktemp("checkpoints")
    save_tiny(folder, IMAGES)
    save_tiny(folder, POINTS)
    return folder


@pytest.fixture(scope="session")
def client(checkpoints) -> Iterator[TestClient]:
    app = create_app(Settings(checkpoints=checkpoints, device="cpu"))
    with TestClient(app) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture
def make_client(checkpoints) -> Iterator[Callable[..., TestClient]]:
    """A client of an app of its own, with these settings."""

    def make(ready: bool = True, **settings) -> TestClient:
        app = create_app(Settings(**{"checkpoints": checkpoints, "device": "cpu", **settings}))
        client = clients.enter_context(TestClient(app, raise_server_exceptions=False))
        if ready:
            wait_until_ready(client)
        return client

    with ExitStack() as clients:  # all are closed, even if one cannot be
        yield make
