"""`backup`: one moment of a database in a new file, under load, and nothing left of one that failed."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import Verbs, checkpoint_of, config_of, put_chain, query, rows, run_python, start_python

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver


def fill(saver: Any, megabytes: int) -> None:
    """With 60 megabytes there are several steps."""
    for number in range(megabytes):
        saver.put(config_of("big"), checkpoint_of(number, {"text": os.urandom(1_000_000)}), {}, {})


def test_a_backup_holds_the_same_rows(saver: Verbs, tmp_path: Path) -> None:
    configs = put_chain(saver, 5)
    saver.put_writes(configs[-1], [("a", 1), ("__error__", "x")], "task", "path")
    target = tmp_path / "sub" / "backup.db"
    seen: list[tuple[int, int]] = []
    report = saver.backup(target, progress=lambda *pages: seen.append(pages))
    assert report.pages > 0
    assert report.bytes == target.stat().st_size == report.pages * 4096
    assert seen[-1] == (report.pages, report.pages)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(target.parent) == ["backup.db"]
    copied = Verbs(RustSqliteSaver(target))
    assert copied.list(None) == saver.list(None)
    assert len(rows(target, "writes")) == 2
    copied.close()


def test_a_backup_needs_no_wal(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 3)
        saver.backup(tmp_path / "backup.db")
        header = (tmp_path / "backup.db").read_bytes()[18:20]
    assert header == b"\x01\x01"
    assert query(tmp_path / "backup.db", "PRAGMA integrity_check") == [("ok",)]


def test_an_existing_target_is_refused_and_left_alone(saver: Verbs, tmp_path: Path) -> None:
    put_chain(saver, 1)
    target = tmp_path / "backup.db"
    target.write_text("precious")
    with pytest.raises(FileExistsError):
        saver.backup(target)
    assert target.read_text() == "precious"


def test_the_database_itself_and_its_companions_are_refused(path: Path) -> None:
    with RustSqliteSaver(path, journal_mode="DELETE") as saver:
        put_chain(saver, 1)
        with pytest.raises(FileExistsError):
            saver.backup(path)
        (path.parent / "link.db").symlink_to(path)
        with pytest.raises(FileExistsError):
            saver.backup(path.parent / "link.db")
        for suffix in ("-journal", "-wal", "-shm"):
            with pytest.raises(ValueError, match="choose another"):
                saver.backup(f"{path}{suffix}")
        assert os.listdir(path.parent).count(f"{path.name}-wal") == 0


def test_what_progress_raises_ends_it_and_leaves_no_file(path: Path, tmp_path: Path) -> None:
    def refuse(done: int, total: int) -> None:
        assert done < total
        raise KeyboardInterrupt

    target = tmp_path / "backups" / "backup.db"
    with RustSqliteSaver(path) as saver:
        fill(saver, 60)
        with pytest.raises(KeyboardInterrupt):
            saver.backup(target, progress=refuse)
        assert os.listdir(target.parent) == []
        assert saver.backup(target).pages > 14_000


def test_progress_may_use_the_saver(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path, pool_size=1) as saver:
        fill(saver, 60)

        def use(done: int, total: int) -> None:
            saver.put(config_of("other"), checkpoint_of(done), {}, {})
            assert saver.get_tuple(config_of("other")) is not None

        saver.backup(tmp_path / "backup.db", progress=use)
        with RustSqliteSaver(tmp_path / "backup.db") as copied:
            # As of the moment at which it began.
            assert copied.get_tuple(config_of("other")) is None
            assert copied.get_tuple(config_of("big")) == saver.get_tuple(config_of("big"))


def test_a_backup_under_load_ends_and_is_of_one_moment(path: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    with RustSqliteSaver(path) as saver:
        fill(saver, 30)

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                for thread_id in ("left", "right"):
                    saver.put(config_of(thread_id), checkpoint_of(number, {"count": number}), {}, {})

        writer = threading.Thread(target=write)
        neighbour = start_python(
            """
            import sys
            from helpers import checkpoint_of, config_of
            from langgraph_checkpoint_rust import RustSqliteSaver
            saver = RustSqliteSaver(sys.argv[1])
            number = 0
            print("writing", flush=True)
            while True:
                number += 1
                saver.put(config_of("neighbour"), checkpoint_of(number), {}, {})
            """,
            path,
        )
        try:
            assert neighbour.stdout is not None
            assert neighbour.stdout.readline() == "writing\n"
            writer.start()
            for number in range(3):
                saver.backup(tmp_path / f"{number}.db")
        finally:
            stop.set()
            writer.join()
            neighbour.kill()
            neighbour.communicate()
    for number in range(3):
        target = tmp_path / f"{number}.db"
        assert query(target, "PRAGMA integrity_check") == [("ok",)]
        counts = dict(query(target, "SELECT thread_id, count(*) FROM checkpoints GROUP BY 1"))
        assert counts.get("left", 0) - counts.get("right", 0) in {0, 1}
        assert counts["big"] == 30


def test_a_cancelled_backup_leaves_no_file(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "backups" / "backup.db"

    async def main() -> None:
        saver = AsyncRustSqliteSaver(path)
        await asyncio.to_thread(fill, saver, 60)
        begun = asyncio.Event()
        task = asyncio.create_task(saver.abackup(target, progress=lambda *_: begun.set()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert os.listdir(target.parent) == []
        await saver.abackup(target)
        await saver.aclose()

    asyncio.run(main())


def test_a_killed_backup_leaves_an_empty_database(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        fill(saver, 30)
    target = tmp_path / "backup.db"
    for number in range(6):
        process = start_python(
            """
            import sys
            from langgraph_checkpoint_rust import RustSqliteSaver
            print("begun", flush=True)
            RustSqliteSaver(sys.argv[1]).backup(sys.argv[2])
            print("done", flush=True)
            """,
            path,
            target,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.005 + 0.01 * number)
        process.kill()
        finished = "done" in process.communicate()[0]
        if target.exists():
            assert query(target, "PRAGMA integrity_check") == [("ok",)]
            tables = query(target, "SELECT count(*) FROM sqlite_schema WHERE name = 'checkpoints'")
            assert tables == [(0,)] or query(target, "SELECT count(*) FROM checkpoints") == [(30,)]
            assert tables == [(1,)] or not finished
            target.unlink()
    with RustSqliteSaver(path) as saver:
        assert saver.verify().is_ok


def test_a_fork_during_a_backup(path: Path, tmp_path: Path) -> None:
    code = """
    import os, sys
    from helpers import checkpoint_of, config_of
    from langgraph_checkpoint_rust import RustSqliteSaver
    saver = RustSqliteSaver(sys.argv[1])
    for number in range(60):
        saver.put(config_of("big"), checkpoint_of(number, {"text": os.urandom(1_000_000)}), {}, {})
    children = []
    def fork(done, total):
        if not children:
            children.append(os.fork())
            if not children[0]:
                saver.put(config_of("child"), checkpoint_of(1), {}, {})
                os._exit(0)
    report = saver.backup(sys.argv[2], progress=fork)
    assert os.waitpid(children[0], 0)[1] == 0
    assert saver.get_tuple(config_of("child")) is not None
    print(report.pages > 14_000)
    """
    assert run_python(code, path, tmp_path / "backup.db") == "True\n"
    assert query(tmp_path / "backup.db", "PRAGMA integrity_check") == [("ok",)]


def test_a_full_disk_is_named_and_nothing_is_left(path: Path, tmp_path: Path) -> None:
    code = """
    import os, resource, signal, sys
    from helpers import checkpoint_of, config_of
    from langgraph_checkpoint_rust import RustSqliteSaver
    saver = RustSqliteSaver(sys.argv[1])
    for number in range(20):
        saver.put(config_of("big"), checkpoint_of(number, {"text": os.urandom(100_000)}), {}, {})
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
    try:
        saver.backup(sys.argv[2])
    except Exception as error:
        print(type(error).__name__, sys.argv[2] in str(error), os.path.exists(sys.argv[2]))
    """
    answer = run_python(code, path, tmp_path / "backup.db").split()
    assert answer[1:] == ["True", "False"]


def test_a_child_of_a_fork_without_the_guard_is_told(path: Path, tmp_path: Path) -> None:
    code = """
    import os, sys
    from helpers import checkpoint_of, config_of
    from langgraph_checkpoint_rust import RustSqliteSaver
    from langgraph_checkpoint_rust.errors import ForkedDatabaseError
    saver = RustSqliteSaver(sys.argv[1], lock_guard=False)
    for number in range(60):
        saver.put(config_of("big"), checkpoint_of(number, {"text": os.urandom(1_000_000)}), {}, {})
    children = []
    def fork(done, total):
        if not children:
            children.append(os.fork())
            if not children[0]:
                try:
                    RustSqliteSaver(sys.argv[1], lock_guard=False).setup()
                except ForkedDatabaseError:
                    os._exit(7)
                os._exit(0)
    saver.backup(sys.argv[2], progress=fork)
    print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
    saver.restore(sys.argv[2])
    saver.export_thread("big", sys.argv[2] + ".thread")
    saver.import_thread(sys.argv[2] + ".thread", thread_id="copy")
    print(len(list(saver.list(config_of("copy"), limit=5))))
    """
    assert run_python(code, path, tmp_path / "backup.db") == "7\n5\n"
    assert query(tmp_path / "backup.db", "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("options", [{"read_only": True}, {"journal_mode": "DELETE"}], ids=str)
def test_savers_of_other_settings(path: Path, tmp_path: Path, options: Any) -> None:
    with RustSqliteSaver(path, journal_mode=options.get("journal_mode", "WAL")) as saver:
        put_chain(saver, 3)
    with RustSqliteSaver(path, **options) as saver:
        saver.backup(tmp_path / "backup.db")
    with RustSqliteSaver(tmp_path / "backup.db") as saver:
        assert len(list(saver.list(None))) == 3


def test_a_signal_ends_it_and_leaves_no_file(path: Path, tmp_path: Path) -> None:
    code = """
    import os, signal, sys
    from helpers import checkpoint_of, config_of
    from langgraph_checkpoint_rust import RustSqliteSaver
    saver = RustSqliteSaver(sys.argv[1])
    for number in range(200):
        saver.put(config_of("big"), checkpoint_of(number, {"text": os.urandom(1_000_000)}), {}, {})
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    def leave(*_):
        raise InterruptedError("left")
    signal.signal(signal.SIGALRM, leave)
    try:
        saver.backup(sys.argv[2])
    except InterruptedError as error:
        print(error)
    """
    assert run_python(code, path, tmp_path / "backup.db") == "left\n"
    assert os.listdir(tmp_path).count("backup.db") == 0
