"""The public conformance suite of checkpointers. It says FULL if it detects nothing, hence the counts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

_CAPABILITIES = {
    "put",
    "put_writes",
    "get_tuple",
    "list",
    "delete_thread",
    "delete_for_runs",
    "copy_thread",
    "prune",
}
_TESTS = 81


class SyncVerbs(BaseCheckpointSaver[str]):
    """A saver whose a-verbs call the sync verbs of another."""

    def __init__(self, saver: RustSqliteSaver) -> None:
        super().__init__(serde=saver.serde)
        self.inner = saver

    def get_next_version(self, current: str | None, channel: None) -> str:
        return self.inner.get_next_version(current, channel)

    async def aget_tuple(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner.get_tuple(*args, **kwargs)

    async def alist(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for found in self.inner.list(*args, **kwargs):
            yield found

    async def aput(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner.put(*args, **kwargs)

    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        self.inner.put_writes(*args, **kwargs)

    async def adelete_thread(self, *args: Any, **kwargs: Any) -> None:
        self.inner.delete_thread(*args, **kwargs)

    async def adelete_for_runs(self, *args: Any, **kwargs: Any) -> None:
        self.inner.delete_for_runs(*args, **kwargs)

    async def acopy_thread(self, *args: Any, **kwargs: Any) -> None:
        self.inner.copy_thread(*args, **kwargs)

    async def aprune(self, *args: Any, **kwargs: Any) -> None:
        self.inner.prune(*args, **kwargs)


@pytest.mark.parametrize("place", ["file", "memory"])
@pytest.mark.parametrize("serializer", ["default", "encrypted"])
@pytest.mark.parametrize("kind", ["sync class", "async class", "sync verbs", "scoped"])
def test_all_81_tests_of_all_8_capabilities_pass(
    kind: str, serializer: str, place: str, tmp_path: Path
) -> None:
    serde = None if serializer == "default" else EncryptedSerializer.from_pycryptodome_aes(key=b"k" * 16)
    numbers = iter(range(100))

    @checkpointer_test(name=f"{kind}, {serializer}, {place}")
    async def checkpointer() -> AsyncGenerator[BaseCheckpointSaver[str], None]:
        conn = tmp_path / f"{next(numbers)}.db" if place == "file" else ":memory:"
        if kind == "async class":
            async with AsyncRustSqliteSaver(conn, serde=serde) as saver:
                yield saver
        else:
            with RustSqliteSaver(conn, serde=serde) as saver:
                if kind == "scoped":
                    yield saver.scoped("a tenant")
                else:
                    yield SyncVerbs(saver) if kind == "sync verbs" else saver

    results = asyncio.run(validate(checkpointer)).results
    assert [failure for result in results.values() for failure in result.failures] == []
    assert {name for name, result in results.items() if result.detected and result.passed} == _CAPABILITIES
    assert sum(result.tests_passed for result in results.values()) == _TESTS
