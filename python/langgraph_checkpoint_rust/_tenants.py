"""Savers that see the threads of one tenant only, and what is done to all of them.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph_checkpoint_rust import _core
from langgraph_checkpoint_rust._deletion import DeletionVerbs
from langgraph_checkpoint_rust._slices import deleted, transferred
from langgraph_checkpoint_rust._store import TenantStore
from langgraph_checkpoint_rust._transfer import NewFile, TransferVerbs, imported_file, read_to_the_end
from langgraph_checkpoint_rust.reports import TransferReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._core import SqliteBackend
    from langgraph_checkpoint_rust._maintenance import StrPath
    from langgraph_checkpoint_rust.reports import EraseReport

_PAGE = 256


class TenantVerbs(DeletionVerbs, TransferVerbs):
    """`scoped`, and `delete_tenant`, `erase_tenant`, `export_tenant` and `import_tenant`."""

    def scoped(self, tenant: str) -> Self:
        """A saver that sees and changes the threads of one tenant only.

        A cheap copy that shares the file, the connections and the settings; make one for each request, or
        keep it. It takes and returns the tenant's own ids of threads, and no id of one tenant reaches a
        thread of another. What is about the whole file (`backup`, `verify`, `compact`, ...) is refused with a
        ValueError, so is `close`; leaving a `with` block leaves the file open. The saver that is not scoped
        sees the threads of all tenants, by their stored ids: docs/tenants.md.

        Args:
            tenant: The tenant, in any text but the empty one. Case counts, and so does the Unicode form.

        Returns:
            The saver, of the same class.

        Raises:
            TypeError: If the tenant is no str.
            ValueError: If it is empty or no text, or this saver is scoped already.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> acme, config = saver.scoped("acme"), {"configurable": {"thread_id": "1"}}
            >>> stored = acme.put(config, empty_checkpoint(), {}, {})
            >>> stored["configurable"]["thread_id"], saver.scoped("other").get_tuple(config)
            ('1', None)
        """
        if self.tenant is not None:
            raise ValueError(
                f"this saver is scoped to tenant {self.tenant!r} already; scope the one that it was made from"
            )
        _check(tenant)
        saver = self.__copy__()
        saver._store = TenantStore(self._store, tenant)  # noqa: SLF001
        return saver

    def delete_tenant(self, *, progress: Callable[[int], object] | None = None) -> int:
        """Deletes all threads of the tenant, one after the other, each as `delete_thread` does.

        Titles, metadata, times to live and pins go too. A thread that is made meanwhile may stay: stop the
        tenant's runs first, or call again. Interrupted, call again.

        Args:
            progress: Called after each thread with the threads done, with nothing locked. What it raises ends
                the call.

        Returns:
            How many threads were deleted.

        Raises:
            ValueError: If this saver is not scoped.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> acme = RustSqliteSaver(":memory:").scoped("acme")
            >>> stored = acme.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
            >>> acme.delete_tenant()
            1
        """
        return self._run(self._delete_tenant(progress))

    async def adelete_tenant(self, *, progress: Callable[[int], object] | None = None) -> int:
        """As `delete_tenant`."""
        return await self._arun(self._delete_tenant(progress))

    def _delete_tenant(self, progress: Callable[[int], object] | None) -> Steps[int]:
        threads, _ = yield from self._removed(progress, overwrite=False)
        return threads

    def erase_tenant(self, *, progress: Callable[[int], object] | None = None) -> EraseReport:
        """Deletes all threads of the tenant as `erase_thread` does: overwritten, and out of the WAL.

        Args:
            progress: As in `delete_tenant`.

        Returns:
            What was erased, and where copies may still be.

        Raises:
            ValueError: If this saver is not scoped.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").scoped("acme").erase_tenant().checkpoints
            0
        """
        return self._run(self._erase_tenant(progress))

    async def aerase_tenant(self, *, progress: Callable[[int], object] | None = None) -> EraseReport:
        """As `erase_tenant`."""
        return await self._arun(self._erase_tenant(progress))

    def _erase_tenant(self, progress: Callable[[int], object] | None) -> Steps[EraseReport]:
        _, counts = yield from self._removed(progress, overwrite=True)
        return (yield from self._receipt(counts))

    def export_tenant(
        self, path: StrPath, *, progress: Callable[[int], object] | None = None
    ) -> TransferReport:
        """Writes all threads of the tenant to a file of their own, as `export_thread` writes one.

        The file is a database with the tenant's own ids, and with nothing of others, that any saver opens.
        A thread that is made meanwhile may be left out.

        Args:
            path: The file to make, readable by its owner only.
            progress: Called after each thread with the threads done, with nothing locked. What it raises ends
                the call and leaves no file.

        Returns:
            How much was exported.

        Raises:
            FileExistsError: If the file exists.
            ValueError: If this saver is not scoped, or the tenant has no threads.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> acme = RustSqliteSaver(":memory:").scoped("acme")
            >>> stored = acme.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
            >>> acme.export_tenant("acme.db").threads
            1
        """
        self._require_tenant("export_tenant")
        with NewFile(path, self.settings) as target:
            return self._run(self._export_tenant(target, progress))

    async def aexport_tenant(
        self, path: StrPath, *, progress: Callable[[int], object] | None = None
    ) -> TransferReport:
        """As `export_tenant`."""
        self._require_tenant("export_tenant")
        await self._store.resolve()
        async with NewFile(path, self.settings) as target:
            return await self._arun(self._export_tenant(target, progress))

    def _export_tenant(
        self, target: SqliteBackend, progress: Callable[[int], object] | None
    ) -> Steps[TransferReport]:
        yield from self._open()
        backend = self._store.backend
        total = TransferReport(0, 0, 0)
        last: str | None = None
        while page := (yield backend.thread_ids(last, False, _PAGE)):
            for last in page:
                total = _sum(total, (yield from transferred(backend, last, target, last)))
                if progress is not None:
                    progress(total.threads)
        if not total.threads:
            raise ValueError(f"tenant {self.tenant!r} has no threads; nothing was exported")
        return total

    def import_tenant(
        self,
        path: StrPath,
        *,
        on_existing: str = "refuse",
        progress: Callable[[int], object] | None = None,
    ) -> TransferReport:
        """Stores all threads of a file as the tenant's, with the ids that they have there.

        Rows go over as they are stored: no class is imported, encrypted data stay encrypted. If it is
        interrupted, what was imported stays; call again with `on_existing="replace"`.

        Args:
            path: A file of `export_tenant`, or any other database of checkpoints.
            on_existing: What to do if the tenant has one of the threads: `"refuse"`, before anything is
                stored, or `"replace"`, which reads the thread in the file to its end before it deletes the
                other.
            progress: Called after each thread with the threads done, with nothing locked. What it raises ends
                the call.

        Returns:
            How much was imported.

        Raises:
            ValueError: If this saver is not scoped, the file holds no thread, a thread exists and may not be
                replaced, or `on_existing` is another word.
            DatabaseCorruptError: If the file is damaged.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> acme = saver.scoped("acme")
            >>> stored = acme.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
            >>> exported = acme.export_tenant("acme.db")
            >>> saver.scoped("acme of Berlin").import_tenant("acme.db") == exported
            True
        """
        self._require_tenant("import_tenant")
        source = imported_file(path, on_existing, self.settings)
        try:
            return self._run(self._import_tenant(source, on_existing, progress))
        finally:
            source.close()

    async def aimport_tenant(
        self,
        path: StrPath,
        *,
        on_existing: str = "refuse",
        progress: Callable[[int], object] | None = None,
    ) -> TransferReport:
        """As `import_tenant`."""
        self._require_tenant("import_tenant")
        source = imported_file(path, on_existing, self.settings)
        try:
            return await self._arun(self._import_tenant(source, on_existing, progress))
        finally:
            source.close()

    def _import_tenant(
        self, source: SqliteBackend, on_existing: str, progress: Callable[[int], object] | None
    ) -> Steps[TransferReport]:
        yield from self._open()
        target = self._store.backend
        if on_existing == "refuse":
            yield from _refuse_existing(source, target)
        total = TransferReport(0, 0, 0)
        last: str | None = None
        while page := (yield source.thread_ids(last, False, _PAGE)):
            for last in page:
                if on_existing == "replace":
                    yield from read_to_the_end(source, last)
                    yield from deleted(target, last)
                total = _sum(total, (yield from transferred(source, last, target, last)))
                if progress is not None:
                    progress(total.threads)
        if not total.threads:
            raise ValueError("the file holds no thread; nothing was imported")
        return total

    def _removed(
        self, progress: Callable[[int], object] | None, *, overwrite: bool
    ) -> Steps[tuple[int, tuple[int, int, int]]]:
        """Deletes the threads; how many, and the checkpoints, writes and chunks that went."""
        self._require_tenant("erase_tenant" if overwrite else "delete_tenant")
        yield from self._open()
        backend = self._store.backend
        threads, counts = 0, (0, 0, 0)
        last: str | None = None
        while page := (yield backend.thread_ids(last, True, _PAGE)):
            for last in page:
                went = yield from deleted(backend, last, overwrite=overwrite)
                counts = (counts[0] + went[0], counts[1] + went[1], counts[2] + went[2])
                threads += 1
                if progress is not None:
                    progress(threads)
        return threads, counts

    def _require_tenant(self, verb: str) -> None:
        if self.tenant is None:
            raise ValueError(f"{verb} is for a saver of one tenant: call it on `saver.scoped(tenant)`")


def stored_thread_id(tenant: str, thread_id: str) -> str:
    """The id under which a saver that is not scoped sees a thread of a tenant.

    For one graph that serves all tenants: its saver is not scoped, and each run is given the stored id.

    Args:
        tenant: The tenant, as in `scoped`.
        thread_id: The tenant's own id of the thread.

    Returns:
        The stored id.

    Raises:
        TypeError: If the tenant is no str.
        ValueError: If it is empty or no text.

    Example:
        >>> from langgraph_checkpoint_rust import stored_thread_id
        >>> stored_thread_id("Acme Ltd", "42")
        'Acme%20Ltd%:42'
    """
    _check(tenant)
    return _core.stored_thread_id(tenant, str(thread_id))


def _check(tenant: object) -> None:
    if not isinstance(tenant, str):
        raise TypeError(f"tenant must be a str, not {type(tenant).__name__}")
    if not tenant:
        raise ValueError("tenant must not be empty")
    try:
        tenant.encode()
    except UnicodeEncodeError:
        raise ValueError("tenant must be text without lone surrogates") from None


def _refuse_existing(source: SqliteBackend, target: SqliteBackend) -> Steps[None]:
    last: str | None = None
    while page := (yield source.thread_ids(last, False, _PAGE)):
        for last in page:
            if (yield target.read_thread(last, None))[1] is not None:
                raise ValueError(f'thread {last!r} exists; nothing was imported; pass on_existing="replace"')


def _sum(total: TransferReport, more: TransferReport) -> TransferReport:
    return TransferReport(
        total.threads + more.threads, total.checkpoints + more.checkpoints, total.writes + more.writes
    )
