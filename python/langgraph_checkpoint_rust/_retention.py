"""The verbs on what goes by itself.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph_checkpoint_rust._core import ShapeBook
from langgraph_checkpoint_rust._saver import Saver
from langgraph_checkpoint_rust.events import Event
from langgraph_checkpoint_rust.reports import RetentionReport, ThreadOutcome
from langgraph_checkpoint_rust.retention import minutes_to_milliseconds, policy_of

if TYPE_CHECKING:
    from typing import Literal

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust.retention import RetentionPolicy


class RetentionVerbs(Saver):
    """`apply_retention`, `set_ttl`, `pin_thread` and `unpin_thread`."""

    def apply_retention(
        self, policy: RetentionPolicy | None = None, *, dry_run: bool = True
    ) -> RetentionReport:
        """Deletes what a policy lets go, or tells what that is. Threads whose time to live is over go too.

        In short transactions, beside other writers and other processes that do the same. A thread that gets a
        checkpoint or a write meanwhile stays. Interrupted, it is as good as before; call again for the rest.

        Args:
            policy: The policy; the saver's own if None.
            dry_run: Whether to tell only what would go.

        Returns:
            What went or would go, by thread.

        Raises:
            ValueError: If there is no policy, or `archive_to` is the database itself.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RetentionPolicy, RustSqliteSaver
            >>> RustSqliteSaver(":memory:").apply_retention(RetentionPolicy(keep_last=20)).checkpoints
            0
        """
        return self._run(self._apply_retention(policy, dry_run))

    async def aapply_retention(
        self, policy: RetentionPolicy | None = None, *, dry_run: bool = True
    ) -> RetentionReport:
        """As `apply_retention`."""
        return await self._arun(self._apply_retention(policy, dry_run))

    def _apply_retention(self, policy: RetentionPolicy | None, dry_run: bool) -> Steps[RetentionReport]:
        argument = None if policy is None else policy_of(policy, self._store.host.ttl)
        yield from self._open()
        shapes = ShapeBook()
        steps = self._store.backend.apply_retention(argument, dry_run, shapes)
        outcomes: list[ThreadOutcome] = []
        is_last = False
        try:
            while not is_last:
                result, unknown = yield steps.step()
                if unknown:
                    self._learn(shapes, unknown)
                    continue
                is_last, went = result
                outcomes += [
                    ThreadOutcome(thread_id, reason, *figures) for thread_id, reason, figures in went
                ]
        finally:
            if not dry_run:
                self._store.changed({outcome.thread_id for outcome in outcomes})
        report = RetentionReport(tuple(outcomes), dry_run)
        if not dry_run:
            threads = sum(outcome.reason != "history" for outcome in outcomes)
            self._store.emit(Event("retention", "apply_retention", count=threads, bytes=report.bytes))
        return report

    def set_ttl(self, thread_id: str, minutes: float | None) -> None:
        """Gives a thread a time to live of its own: from now, and after each of its checkpoints anew.

        Once it is over, the thread cannot be seen through savers with `ttl=` or `retention=`, nor through
        this one; their next sweep, or `apply_retention`, deletes it.

        Args:
            thread_id: The thread; it need not exist yet.
            minutes: Its time to live; None for the saver's default.

        Raises:
            ValueError: If the number is not above 0.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").set_ttl("1", 60)
        """
        self._run(self._set_term(thread_id, "ttl", minutes_to_milliseconds("minutes", minutes)), "set_ttl")

    async def aset_ttl(self, thread_id: str, minutes: float | None) -> None:
        """As `set_ttl`."""
        await self._arun(
            self._set_term(thread_id, "ttl", minutes_to_milliseconds("minutes", minutes)), "set_ttl"
        )

    def pin_thread(self, thread_id: str) -> None:
        """Keeps a thread, with all its history, from every policy and time to live.

        Args:
            thread_id: The thread; it need not exist yet.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").pin_thread("1")
        """
        self._run(self._set_term(thread_id, "pinned", 1), "pin_thread")

    async def apin_thread(self, thread_id: str) -> None:
        """As `pin_thread`."""
        await self._arun(self._set_term(thread_id, "pinned", 1), "pin_thread")

    def unpin_thread(self, thread_id: str) -> None:
        """Lets policies and times to live apply to a thread again.

        Args:
            thread_id: The thread. One that is not pinned is no error.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").unpin_thread("1")
        """
        self._run(self._set_term(thread_id, "pinned", None), "unpin_thread")

    async def aunpin_thread(self, thread_id: str) -> None:
        """As `unpin_thread`."""
        await self._arun(self._set_term(thread_id, "pinned", None), "unpin_thread")

    def _set_term(self, thread_id: str, term: Literal["pinned", "ttl"], value: int | None) -> Steps[None]:
        yield from self._open()
        yield self._store.backend.set_term(str(thread_id), term, value)
