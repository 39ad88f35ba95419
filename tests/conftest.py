import pytest
import torch

# The networks of the tests are so small that a second thread only makes them wait for it.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order():
    """What a test draws from torch's own generator depends neither on the tests before it nor on the day."""
    torch.manual_seed(0)
