"""Jobs in another process, so that one that hangs, or spoils the card, does not stop the others.

After a fault a card does nothing more for the process that made it, and a kernel that waits for
ever is ended only with its process. So each failure costs the process, and the next job has a new
one.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

T = TypeVar("T")


class JobError(Exception):
    """What went wrong with a job, in a line."""


class Worker(Protocol):
    """Does jobs one after the other."""

    def do(self, job: Callable[[], T], seconds: float) -> T:
        """The job's result; `JobError` where there is none, or none within so many seconds."""


class Apart:
    """Does jobs in a process of its own. They must be of a kind that can be sent."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def do(self, job: Callable[[], T], seconds: float) -> T:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        try:
            return self._pool.submit(job).result(seconds)
        except TimeoutError:
            self.close()
            raise JobError(f"not done after {seconds:.0f} s") from None
        except BrokenProcessPool:
            self.close()
            raise JobError("its process ended") from None
        except Exception as error:  # whatever it is: the others are still to be done
            self.close()
            raise failure(error) from error

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._pool is None:
            return
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        self._pool = None


class Here:
    """Does jobs in this process, which no time ends."""

    def do(self, job: Callable[[], T], seconds: float) -> T:
        try:
            return job()
        except Exception as error:  # as above
            raise failure(error) from error


def failure(error: Exception) -> JobError:
    """An exception in a line."""
    return JobError(" ".join(f"{type(error).__name__}: {error}".split()))
