"""A figure that takes long to look up, for pages that do not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FRESH = 3.0
"""Seconds that a figure is shown without being looked up again, at least."""
_COST = 30
"""A figure is fresh for so many times the time that it took."""


class Figure:
    """What a function tells, looked up in a thread of its own; meanwhile what it told before.

    Args:
        look_up: The function.
    """

    def __init__(self, look_up: Callable[[], Any]) -> None:
        self._look_up = look_up
        self._lock = threading.Lock()
        self._value: Any = None
        self._error: Exception | None = None
        self._until = 0.0
        self._running: threading.Event | None = None

    def get(self, patience: float | None) -> Any:
        """The figure, at most a few seconds old; older if it takes long.

        Args:
            patience: Seconds to wait for a new one; None for as long as it takes.

        Returns:
            The figure, or None if none is known yet.
        """
        with self._lock:
            if self._running is None and time.monotonic() >= self._until:
                self._running = threading.Event()
                threading.Thread(target=self._refresh, args=(self._running,), daemon=True).start()
            running = self._running
        if running is not None:
            running.wait(patience)
        with self._lock:
            error, self._error = self._error, None
            if error is not None:
                raise error
            return self._value

    def _refresh(self, done: threading.Event) -> None:
        begin = time.monotonic()
        value, error = None, None
        try:
            value = self._look_up()
        except Exception as raised:  # noqa: BLE001 (it is raised where the figure is asked for)
            error = raised
        end = time.monotonic()
        with self._lock:
            self._error = error
            if error is None:
                self._value = value
                self._until = end + max(FRESH, _COST * (end - begin))
            self._running = None
        done.set()
