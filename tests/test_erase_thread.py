"""`erase_thread`: the bytes are gone from the file, and the receipt says what it could not reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers import TASK, Verbs, checkpoint_of, config_of, put_chain, start_python

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct horse battery staple"  # noqa: S105


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM checkpoints").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""


def bytes_of(path: Path) -> bytes:
    """All that the files of a database hold."""
    return b"".join(part.read_bytes() for part in path.parent.glob(f"{path.name}*"))


def fill(saver: RustSqliteSaver, thread_id: str = "1", number: int = 3) -> None:
    config = config_of(thread_id)
    for step in range(1, number + 1):
        state = {"text": f"{SECRET} {step} " * 400}
        config = saver.put(config, checkpoint_of(step, state), {"run_id": SECRET}, {})
        saver.put_writes(config, [("text", f"{SECRET} w{step} " * 100)], TASK)


def test_what_is_erased_is_not_in_the_files(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 3, "other")
        fill(saver)
        assert SECRET.encode() in bytes_of(path)
        receipt = saver.erase_thread("1")
        assert (receipt.checkpoints, receipt.writes, receipt.wal_emptied) == (3, 3, True)
        assert saver.get_tuple(config_of("1")) is None
        assert len(list(saver.list(None))) == 3
        if SECRET.encode() in bytes_of(path):
            # What pages that were split keep is named in the receipt, with the way out.
            assert any("compact(full=True)" in place for place in receipt.unreachable)
        saver.compact(full=True)
        saver.erase_thread("1")
        assert SECRET.encode() not in bytes_of(path)


def test_a_plain_deletion_leaves_the_bytes(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        fill(saver)
        saver.delete_thread("1")
        assert SECRET.encode() in bytes_of(path)


def test_the_thread_id_is_erased_too(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        fill(saver, "ada@example.org", 1)
        saver.erase_thread("ada@example.org")
        saver.compact(full=True)
        saver.erase_thread("nobody")
        assert b"ada@example.org" not in bytes_of(path)


def test_a_reader_in_the_way_is_in_the_receipt(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        fill(saver)
        reader = start_python(READER, path)
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        receipt = saver.erase_thread("1")
        assert not receipt.wal_emptied
        assert any("reader" in place for place in receipt.unreachable)
        reader.communicate(timeout=30)
        assert saver.erase_thread("1").wal_emptied


def test_an_unknown_thread_is_no_error(saver: Verbs) -> None:
    assert saver.erase_thread("unknown").checkpoints == 0
