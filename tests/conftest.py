import os

import pytest
import structlog
import torch

from service.settings import Settings

# The networks of the tests are so small that a second thread only makes them wait for it.
torch.set_num_threads(1)
# Plain traces, as the service has them: structlog's own pretty ones take seconds each.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order():
    """What a test draws from torch's own generator depends neither on the tests before it nor on the day."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory):
    """No setting of the developer's reaches a test, and no test reaches the jobs of the developer's service."""
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(f"SPIRALE_{name.upper()}", raising=False)
        patch.setenv("SPIRALE_JOBS_DIR", str(tmp_path_factory.mktemp("jobs")))
        yield


@pytest.fixture(scope="session")
def mnist_files():
    """For tests that want MNIST: none of them downloads it."""
    if "SPIRALE_DATA_DIR" not in os.environ:
        pytest.skip("SPIRALE_DATA_DIR is not set: the MNIST files are not here")


@pytest.fixture
def torch_threads():
    """Sets PyTorch's number of threads, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
