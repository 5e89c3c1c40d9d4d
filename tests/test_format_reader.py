"""docs/format.md is enough to write a reader from: `format_reader.py` was, and reads what the savers store."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from format_reader import DamagedError, Reader
from helpers import TASK, checkpoint_of, config_of

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.compact

GOLDEN = sorted((Path(__file__).parent / "golden").glob("compact-*.db"))


def fill(path: Path, compression: Any) -> None:
    """A chat, a text that is cut into nodes, bytes that do not compress, small values, a subgraph, a tenant."""
    words = random.Random(1)
    document = " ".join(str(words.randrange(10**6)) for _ in range(150_000))
    with RustSqliteSaver(path, compression=compression) as saver:
        config = config_of("1")
        messages: list[str] = []
        for number in range(1, 30):
            messages.append(f"{number}: " + " ".join(str(words.random()) for _ in range(60)))
            values: dict[str, Any] = {"messages": messages, "count": number}
            if number % 10 == 0:
                values |= {"document": document + str(number), "picture": os.urandom(40_000)}
            config = saver.put(config, checkpoint_of(number, values), {"step": number}, {})
            saver.put_writes(config, [("messages", messages[-1] * 20), ("small", number)], TASK, "path")
        saver.put(config_of("1", "child:1"), checkpoint_of(1, {"x": document[:50_000]}), {}, {})
        saver.scoped("a").put(config_of("1"), checkpoint_of(1, {"x": document}), {}, {})


def interop_rows(path: Path, directory: Path) -> Iterator[list[Any]]:
    """What a downgrade makes of the file: checkpoints, then writes."""
    copy = directory / "downgraded.db"
    with RustSqliteSaver(path, read_only=True) as saver:
        saver.backup(copy)
    with RustSqliteSaver(copy) as saver:
        saver.downgrade()
    with closing(sqlite3.connect(copy)) as connection:
        for key, value, table in (
            ("thread_id, checkpoint_ns, checkpoint_id", "checkpoint", "checkpoints"),
            ("thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, channel, idx", "value", "writes"),
        ):
            rows = connection.execute(f"SELECT {key}, type, {value} FROM {table}")
            yield sorted((tuple(row[:-2]), *row[-2:]) for row in rows)


def read(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        reader = Reader(connection)
        return [sorted(reader.checkpoints()), sorted(reader.writes())]


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_it_reads_what_a_downgrade_would_write(compression: str, path: Path, tmp_path: Path) -> None:
    fill(path, compression)
    with closing(sqlite3.connect(path)) as connection:
        kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT kind FROM checkpoint_chunks")}
        recipes = connection.execute("SELECT count(*) FROM checkpoints WHERE type = 'chunked'").fetchone()
    assert kinds >= ({0, 1} if compression == "none" else {0, 1, 2})
    assert recipes[0] >= 31
    found = read(path)
    assert [len(rows) for rows in found] == [31, 58]
    assert found == list(interop_rows(path, tmp_path))


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_it_reads_the_golden_files(golden: Path, tmp_path: Path) -> None:
    assert read(golden) == list(interop_rows(golden, tmp_path))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE checkpoints SET parent_checkpoint_id = 'another' WHERE checkpoint_ns = ''", "the seal"),
        ("UPDATE writes SET task_path = 'another'", "the seal"),
        ("DELETE FROM checkpoint_chunks WHERE kind = 0", "a chunk is missing"),
        ("UPDATE checkpoint_chunks SET data = zeroblob(length(data))", "another checksum"),
        ("UPDATE checkpoint_chunks SET thread_no = thread_no + 1000", "another thread"),
        ("UPDATE checkpoint_meta SET value = '2' WHERE key = 'min_reader'", "a later version"),
    ],
)
def test_it_finds_what_the_page_says_is_found(damage: str, what: str, path: Path) -> None:
    fill(path, "none")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER IF EXISTS checkpoint_format_checkpoints")
        connection.execute(damage)
        connection.commit()
    with pytest.raises(DamagedError, match=what):
        read(path)
