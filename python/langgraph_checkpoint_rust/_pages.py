"""Where an iteration of `list` stands between two pages."""

from __future__ import annotations

from typing import Any

from langgraph_checkpoint_rust import _config

_FIRST_PAGE = 16
_LARGEST_PAGE = 512
"""Without a thread, each page scans the key index once: larger pages, fewer scans. Bytes are capped below."""


class Pages:
    """The request of the next page."""

    def __init__(self, config: Any, filter_: Any, before: Any, limit: Any) -> None:
        self._filter = _config.list_filter(config, filter_, before)
        self._remaining = _config.limit(limit)
        self._after: Any = None
        self._size = _FIRST_PAGE
        self.more = self._filter is not None and self._remaining != 0
        self.sends: dict[tuple[str, str, str], Any] = {}

    def request(self) -> tuple[Any, ...]:
        """The arguments of the native call."""
        size = self._size if self._remaining is None else min(self._size, self._remaining)
        return self._filter, self._after, size

    def advance(self, count: int, after: Any) -> None:
        """Notes that a page of `count` tuples came, and where the next begins."""
        self._after = after
        self._size = min(self._size * 2, _LARGEST_PAGE)
        self.sends = {}
        if self._remaining is not None:
            self._remaining -= count
        self.more = after is not None and self._remaining != 0
