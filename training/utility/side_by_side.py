"""Independent tasks, as many at a time as PyTorch has threads."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

import torch

Result = TypeVar("Result")

_task = threading.local()


def workers_for(tasks: int) -> int:
    """How many of so many tasks run at a time: at least 1."""
    return max(1, min(torch.get_num_threads(), tasks))


@contextmanager
def threads_of_a_worker(workers: int) -> Iterator[None]:
    """Inside, PyTorch has as many threads as each of so many workers gets."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // workers))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(tasks: Sequence[Callable[[], Iterator[Result]]]) -> Generator[Result, None, None]:
    """What the tasks yield, as it comes. Small networks gain more by this than by many threads inside an operation.

    A task's exception is raised here. Then, or where the caller closes this iterator, the other tasks are stopped: at
    what they yield next, or where they call `stop_if_unwanted`.
    """
    waiting, stopped = iter(tasks), threading.Event()
    found: SimpleQueue[tuple[Result] | BaseException | None] = SimpleQueue()

    def work() -> None:
        _task.stopped = stopped
        try:
            for task in waiting:
                for result in task():
                    found.put((result,))
                    stop_if_unwanted()
        except BaseException as error:
            found.put(error)
        found.put(None)

    going = workers_for(len(tasks))
    threads: list[threading.Thread] = []
    with threads_of_a_worker(going):
        try:
            for _ in range(going):
                thread = threading.Thread(target=work)
                thread.start()
                threads.append(thread)
            while going:
                match found.get():
                    case None:
                        going -= 1
                    case BaseException() as error:
                        raise error
                    case (result,):
                        yield result
        finally:
            stopped.set()
            for thread in threads:
                thread.join()


def stop_if_unwanted() -> None:
    """End the task that calls this, if nobody waits for it any more. Outside tasks nothing happens."""
    stopped: threading.Event | None = getattr(_task, "stopped", None)
    if stopped is not None and stopped.is_set():
        raise Unwanted


class Unwanted(Exception):
    """Ends a task. Nobody sees it."""
