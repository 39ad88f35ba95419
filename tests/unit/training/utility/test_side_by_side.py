"""Tasks beside each other: nothing is lost, nothing goes on unwanted, and random numbers are each task's own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from model.data import DataConfig
from training.data.training_set import unchanged
from training.seeded import seeded
from training.utility.augmentation import classical_augmentation
from training.utility.side_by_side import side_by_side, stop_if_unwanted

THREADS = 3


@pytest.fixture(autouse=True)
def threads(torch_threads):
    torch_threads(THREADS)


def test_every_task_yields_all_it_has_and_as_many_run_as_there_are_threads():
    together = threading.Barrier(THREADS, timeout=30)

    def task(number: int):
        if number < THREADS:
            together.wait()  # passes only if so many run at a time
        yield from ((number, i, torch.get_num_threads()) for i in range(number))

    found = list(side_by_side([lambda number=number: task(number) for number in range(7)]))
    assert sorted(found) == [(number, i, 1) for number in range(7) for i in range(number)]
    assert torch.get_num_threads() == THREADS


def test_few_tasks_share_the_threads():
    def task():
        yield torch.get_num_threads()

    assert list(side_by_side([task])) == [THREADS] and list(side_by_side([])) == []


@pytest.mark.parametrize("ends", ["a task fails", "the caller stops"])
def test_where_one_ends_the_others_stop_and_nothing_runs_on(ends):
    others = threading.Barrier(THREADS, timeout=30)
    steps = []

    def first():
        others.wait()
        if ends == "a task fails":
            raise ValueError("no more")
        yield "first"
        yield from train()

    def other():
        others.wait()
        yield from train()

    def train():
        while True:  # for ever, unless it is stopped
            stop_if_unwanted()
            steps.append(1)
        yield "never"

    def not_begun():
        steps.append("begun")
        yield "never"

    running = side_by_side([first, other, other, not_begun])
    if ends == "a task fails":
        with pytest.raises(ValueError, match="no more"):
            next(running)
    else:
        assert next(running) == "first"
        running.close()
    taken = len(steps)
    assert "begun" not in steps and torch.get_num_threads() == THREADS
    assert taken == len(steps) and not [one for one in threading.enumerate() if one.name.endswith("(work)")]


def test_where_a_thread_cannot_be_started_those_before_it_stop(monkeypatch):
    start, begun = threading.Thread.start, []

    def limited(thread):
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    def for_ever():
        while True:
            yield 1

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(side_by_side([for_ever] * THREADS))
    assert not begun[0].is_alive() and torch.get_num_threads() == THREADS


def test_outside_tasks_nothing_is_unwanted():
    stop_if_unwanted()
    assert list(side_by_side([lambda: iter([1])])) == [1]
    stop_if_unwanted()


def test_threads_that_are_seeded_do_not_disturb_each_other():
    before = torch.default_generator.get_state()

    def draw(seed: int) -> list[float]:
        with seeded(seed):
            return [torch.rand(()).item() for _ in range(50)]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(draw, range(64)))
    assert together == [torch.rand(50, generator=torch.Generator().manual_seed(seed)).tolist() for seed in range(64)]
    assert torch.equal(torch.default_generator.get_state(), before)


def test_augmentation_in_threads_is_that_of_its_seed():
    augment = classical_augmentation(DataConfig(dataset="grey", kind="images", shape=(1, 8, 8)), unchanged)
    images = 255 * torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def of(seed: int) -> torch.Tensor:
        return augment(images, torch.Generator().manual_seed(seed))

    with ThreadPoolExecutor(8) as pool:
        together = torch.stack(list(pool.map(of, range(32))))
    assert torch.equal(together, torch.stack([of(seed) for seed in range(32)]))
