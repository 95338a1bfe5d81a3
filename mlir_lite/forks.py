"""Forks beside work that a child could not go on with. It has the forking thread alone: were
another one compiling, the child would find LLVM's lock taken for good."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

_PATIENCE = 1.0  # seconds that new work waits for a fork, which else might wait for ever
_LONGEST = 60.0  # seconds that a fork waits: its thread may have what the others wait for


class _Work:
    """What is under way, by thread. A fork waits until there is nothing but its own thread's."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._depths: dict[int, int] = {}
        self._forks = 0  # that wait

    def begin(self) -> None:
        thread = threading.get_ident()
        with self._changed:
            if thread not in self._depths:  # else a fork waits for this thread
                self._changed.wait_for(lambda: not self._forks, _PATIENCE)
            self._depths[thread] = self._depths.get(thread, 0) + 1

    def end(self) -> None:
        thread = threading.get_ident()
        with self._changed:
            self._depths[thread] -= 1
            if not self._depths[thread]:
                del self._depths[thread]
            self._changed.notify_all()

    def before_fork(self) -> None:
        """Wait, and keep others from beginning."""
        self._changed.acquire()
        self._forks += 1
        try:
            own = {threading.get_ident()}
            self._changed.wait_for(lambda: not self._depths.keys() - own, _LONGEST)
        finally:
            self._forks -= 1

    def after_fork(self) -> None:
        """Let them begin, in the parent and in the child."""
        self._changed.notify_all()
        self._changed.release()


# A process forks as a whole: the hooks can only be registered for it. What is registered last is
# called first: these modules take locks of their own before a fork, which compiling needs.
for _module in ("concurrent.futures.thread", "logging"):
    import_module(_module)
_WORK = _Work()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_WORK.before_fork,
        after_in_parent=_WORK.after_fork,
        after_in_child=_WORK.after_fork,
    )


@contextmanager
def unforked() -> Iterator[None]:
    """A fork in another thread waits for the end of what is done inside."""
    _WORK.begin()
    try:
        yield
    finally:
        _WORK.end()
