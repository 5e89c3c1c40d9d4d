"""The verbs of a saver that went on in memory.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

from langgraph_checkpoint_rust._saver import Saver


class ResilienceVerbs(Saver):
    """`is_degraded` and `end_fallback`."""

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

        Checkpoints and writes of the file with the same ids are replaced. What was deleted in memory is not
        deleted in the file. Titles, pins and times to live that were set meanwhile are not brought.

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
