"""The verbs of a saver with a fallback or a mirror.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from langgraph_checkpoint_rust import _config
from langgraph_checkpoint_rust._saver import Saver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._mirror import Mirror

_PAGE = 256


class ResilienceVerbs(Saver):
    """`is_degraded`, `end_fallback`, `mirror_flush` and `mirror_resync`."""

    @property
    def is_degraded(self) -> bool:
        """Whether verbs go on in memory, since the database could not be used (`fallback="memory"`).

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:", fallback="memory").is_degraded
            False
        """
        return self._store.is_degraded

    def end_fallback(self) -> int:
        """Tries the database again, brings into it what was stored in memory, and goes on there.

        Checkpoints and writes of the file with the same ids are replaced, and so is what was said of threads
        (titles, pins, times to live). What was deleted in memory is not deleted in the file.

        Returns:
            The threads that were brought; 0 if the saver was not degraded.

        Raises:
            ValueError: If this saver is scoped.
            CheckpointError: What the database raises, if it still cannot be used: the saver stays degraded,
                and nothing is lost.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:", fallback="memory").end_fallback()
            0
        """
        return self._run(self._store.go_back(), "end_fallback")

    async def aend_fallback(self) -> int:
        """As `end_fallback`."""
        return await self._arun(self._store.go_back(), "end_fallback")

    def mirror_flush(self, timeout: float | None = None) -> bool:
        """Waits until the mirror has, or has refused, all that was stored before.

        Args:
            timeout: Seconds to wait; None for no limit.

        Returns:
            Whether it came to that in time.

        Raises:
            ValueError: If this saver has no mirror.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> with RustSqliteSaver("app.db", mirror="mirror.db") as saver:
            ...     saver.mirror_flush(timeout=10)
            True
        """
        return self._mirror().flush(timeout)

    async def amirror_flush(self, timeout: float | None = None) -> bool:
        """As `mirror_flush`."""
        return await asyncio.get_running_loop().run_in_executor(None, self._mirror().flush, timeout)

    def mirror_resync(self, threads: Sequence[str] | Literal["marked", "all"] = "marked") -> int:
        """Copies threads to the mirror as a whole, and waits for it. Their copies there are deleted first.

        Args:
            threads: `"marked"` for those that the mirror lacks something of; `"all"` for all, such as for a
                new mirror of an old file; or the threads.

        Returns:
            The threads that were copied.

        Raises:
            ValueError: If this saver has no mirror.
            CheckpointError: If one of them could not be copied.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> with RustSqliteSaver("app.db", mirror="mirror.db") as saver:
            ...     saver.mirror_resync("all")
            0
        """
        found = self._run(self._mirrored(threads), "mirror_resync")
        self._mirror().copied(found)
        return len(found)

    async def amirror_resync(self, threads: Sequence[str] | Literal["marked", "all"] = "marked") -> int:
        """As `mirror_resync`."""
        found = await self._arun(self._mirrored(threads), "mirror_resync")
        await asyncio.get_running_loop().run_in_executor(None, self._mirror().copied, found)
        return len(found)

    def _mirrored(
        self, threads: Sequence[str] | Literal["marked", "all"]
    ) -> Steps[list[tuple[str | None, str]]]:
        mirror, tenant = self._mirror(), self._store.tenant
        if threads == "marked":
            return [thread for thread in mirror.marked() if tenant in (None, thread[0])]
        if threads != "all":
            return [(tenant, thread_id) for thread_id in _config.texts("threads", threads)]
        yield from self._open()
        found: list[tuple[str | None, str]] = []
        last: str | None = None
        while page := (yield self._store.backend.thread_ids(last, True, _PAGE)):
            found += [(tenant, thread_id) for thread_id in page]
            last = page[-1]
        return found

    def _mirror(self) -> Mirror:
        if self._store.mirror is None:
            raise ValueError("this saver has no mirror: make it with mirror=")
        return self._store.mirror
