"""`scoped`: a saver of one tenant sees and changes nothing of others, by any verb."""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
import pickle
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, Verbs, checkpoint_of, collected, config_of, id_of, put_chain, query
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from langgraph_checkpoint_rust import (
    AsyncRustSqliteSaver,
    RetentionPolicy,
    RustSqliteSaver,
    stored_thread_id,
)
from langgraph_checkpoint_rust.errors import (
    ConcurrentWriteError,
    DatabaseCorruptError,
    LeaseHeldError,
    SaverClosedError,
    ThreadDeletedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

OWN = "a"
OTHERS = ["A", "a/", "a%2F", "a%:", "aa"]
UNSCOPED = ["1", "a", "", "a%"]
FOREIGN = "a stranger's"


def fill(saver: Any, threads: Iterable[str], word: str) -> None:
    for thread_id in threads:
        config = config_of(thread_id)
        for number in (1, 2, 3):
            values = {"messages": [word * 400, str(number)]}
            metadata: Any = {"source": "loop", "step": number, "run_id": "run", "word": word}
            config = saver.put(config, checkpoint_of(number, values), metadata, {})
            saver.put_writes(config, [("messages", word)], TASK)
        saver.set_thread(thread_id, title=word, metadata={"word": word})


@pytest.fixture
def crowd(make_saver: Callable[..., RustSqliteSaver]) -> RustSqliteSaver:
    """A file with the threads of many tenants and of none, under the same ids."""
    saver = make_saver()
    for tenant in OTHERS:
        fill(saver.scoped(tenant), ["1", "2"], FOREIGN)
    fill(saver, UNSCOPED, FOREIGN)
    fill(saver.scoped(OWN), ["1", "2"], "own")
    return saver


def rows_of(path: Path, negation: str) -> list[Any]:
    """All that is stored of the tenant, or, negated, of others, byte for byte."""
    tables = ["checkpoint_runs", "checkpoint_threads", "checkpoints", "writes"]
    select = (
        f"SELECT * FROM {{}} WHERE thread_id IS NOT NULL AND {negation} (thread_id >= ? AND thread_id < ?)"
    )
    # A copy: to open the file itself a second time in this process is another test's matter.
    copied = path.with_name("copy.db")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copied}{suffix}")
    connection = sqlite3.connect(copied)
    try:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        return [
            connection.execute(select.format(table), (f"{OWN}%:", f"{OWN}%;")).fetchall()
            for table in tables
            if table in there
        ]
    finally:
        connection.close()


def foreign_rows(path: Path) -> list[Any]:
    rows = rows_of(path, "NOT")
    assert len(rows[-1]) == 3 * (2 * len(OTHERS) + len(UNSCOPED))
    return rows


CONFIG = config_of("1")
LAST = config_of("1", "", id_of(3))
VERBS: dict[str, Callable[[Any, Path], Any]] = {
    "apply_retention": lambda s, _: s.apply_retention(RetentionPolicy(keep_last=1), dry_run=False),
    "archive_thread": lambda s, _: s.archive_thread("1"),
    "copy_from": lambda s, _: s.copy_from(strangers()),
    "copy_thread": lambda s, _: s.copy_thread("1", "3"),
    "count_threads": lambda s, _: s.count_threads(archived=None),
    "delete_for_runs": lambda s, _: s.delete_for_runs(["run"]),
    "delete_tenant": lambda s, _: s.delete_tenant(),
    "delete_thread": lambda s, _: s.delete_thread("1"),
    "delete_threads": lambda s, _: s.delete_threads(["1", "2", f"{OTHERS[0]}%:1"]),
    "erase_tenant": lambda s, _: s.erase_tenant(),
    "erase_thread": lambda s, _: s.erase_thread("1"),
    "export_tenant": lambda s, tmp: (s.export_tenant(tmp / "t.db"), list_of(tmp / "t.db")),
    "export_thread": lambda s, tmp: (s.export_thread("1", tmp / "e.db"), list_of(tmp / "e.db")),
    "get": lambda s, _: s.get(CONFIG),
    "get_delta_channel_history": lambda s, _: s.get_delta_channel_history(config=LAST, channels=["messages"]),
    "get_thread": lambda s, _: s.get_thread("1"),
    "get_tuple": lambda s, _: (s.get_tuple(CONFIG), s.get_tuple(LAST), s.get_tuple(config_of("a"))),
    "history": lambda s, _: list(s.history("1")),
    "import_tenant": lambda s, tmp: s.import_tenant(exported(tmp), on_existing="replace"),
    "import_thread": lambda s, tmp: s.import_thread(exported(tmp), on_existing="replace"),
    "list": lambda s, _: (
        list(s.list(None)),
        list(s.list(None, filter={"word": FOREIGN})),
        list(s.list(CONFIG)),
    ),
    "list_threads": lambda s, _: [
        (page.threads, [t for p in pages_of(s, order) for t in p])
        for order in ("updated", "created", "thread_id")
        for page in [s.list_threads(order_by=order, archived=None, filter={"word": FOREIGN})]
    ],
    "metrics": lambda s, _: s.metrics(),
    "pin_thread": lambda s, _: s.pin_thread("1"),
    "prune": lambda s, _: s.prune(["1", "2"], keep_last=1),
    "put": lambda s, _: s.put(LAST, checkpoint_of(4, {"messages": ["own"]}), {"step": 4}, {}),
    "put_writes": lambda s, _: s.put_writes(LAST, [("messages", "more")], "task"),
    "set_thread": lambda s, _: s.set_thread("1", title="new"),
    "set_ttl": lambda s, _: s.set_ttl("1", 60),
    "stats": lambda s, _: (s.stats(), s.stats(by="channel"), s.stats("1")),
    "thread_lease": lambda s, _: lease(s),
    "unarchive_thread": lambda s, _: s.unarchive_thread("1"),
    "unpin_thread": lambda s, _: s.unpin_thread("1"),
}
WHOLE_FILE: dict[str, Callable[[Any, Path], Any]] = {
    "backup": lambda s, tmp: s.backup(tmp / "b.db"),
    "close": lambda s, _: s.close(),
    "compact": lambda s, _: s.compact(),
    "optimize": lambda s, _: s.optimize(),
    "downgrade": lambda s, _: s.downgrade(),
    "end_fallback": lambda s, _: s.end_fallback(),
    "repair": lambda s, _: s.repair(),
    "restore": lambda s, tmp: s.restore(tmp / "checkpoints.db"),
    "scoped": lambda s, _: s.scoped("b"),
    "upgrade": lambda s, _: s.upgrade(),
    "verify": lambda s, _: s.verify(),
}
CHANGING = {
    "apply_retention",
    "archive_thread",
    "copy_from",
    "copy_thread",
    "delete_for_runs",
    "delete_tenant",
    "delete_thread",
    "delete_threads",
    "erase_tenant",
    "erase_thread",
    "import_tenant",
    "import_thread",
    "pin_thread",
    "prune",
    "put",
    "put_writes",
    "set_thread",
    "set_ttl",
    "thread_lease",
}
WITHOUT_THREADS = {
    "config_specs",
    "format",
    "from_conn_string",
    "from_env",
    "get_next_version",
    "host",
    "is_degraded",
    "is_setup",
    "jsonplus_serde",
    "mirror_flush",
    "mirror_resync",
    "serde",
    "settings",
    "setup",
    "tenant",
    "with_allowlist",
}


def strangers() -> Any:
    other = InMemorySaver()
    fill_only(other, ["1", "a%:1", f"{OTHERS[0]}%:1"])
    return other


def fill_only(saver: Any, threads: list[str]) -> None:
    for thread_id in threads:
        saver.put(config_of(thread_id), checkpoint_of(9, {"messages": ["own"]}), {"step": 1}, {})


def list_of(path: Path) -> list[Any]:
    with RustSqliteSaver(path) as saver:
        return list(saver.list(None))


def exported(tmp_path: Path) -> Path:
    path = tmp_path / "from.db"
    with RustSqliteSaver(tmp_path / "other.db") as saver:
        put_chain(saver, 2, "1")
        saver.export_thread("1", path)
    return path


def pages_of(saver: Any, order: Any) -> list[Any]:
    pages = [saver.list_threads(order_by=order, limit=1)]
    while pages[-1].cursor is not None:
        pages.append(saver.list_threads(order_by=order, limit=1, cursor=pages[-1].cursor))
    return pages


def lease(saver: Any) -> Any:
    with saver.thread_lease("1", 60) as held:
        return held.thread_id, saver.put(LAST, checkpoint_of(5), {}, {}), saver.get_thread("1")


def public_names() -> set[str]:
    names = {name for name in dir(RustSqliteSaver) if not name.startswith("_")}
    twins = {name for name in names if name.startswith("a") and name[1:] in names}
    return names - twins


def test_every_public_name_is_looked_at() -> None:
    assert len(VERBS) > 25
    known = [*VERBS, *WHOLE_FILE, *WITHOUT_THREADS]
    assert len(known) == len(set(known))
    assert public_names() <= set(known)
    twins = {name for name in dir(RustSqliteSaver) if name.startswith("a")}
    for verb in set(VERBS) - {"thread_lease"}:
        assert f"a{verb}" in twins


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_neither_tells_nor_changes_what_is_others(
    verb: str,
    colour: str,
    crowd: RustSqliteSaver,
    path: Path,
    loop: asyncio.AbstractEventLoop,
) -> None:
    saver: Any = crowd.scoped(OWN)
    if colour == "async" and verb != "thread_lease":  # which has no twin
        saver = Verbs(saver, loop)
    before, own = foreign_rows(path), rows_of(path, "")
    told = repr(VERBS[verb](saver, path.parent))
    assert FOREIGN not in told
    assert f"{OWN}%:" not in told.replace("'a%:1'", "")
    assert foreign_rows(path) == before
    assert (rows_of(path, "") != own) == (verb in CHANGING)


@pytest.mark.parametrize("verb", WHOLE_FILE)
def test_a_verb_on_the_whole_file_is_refused(
    verb: str, crowd: RustSqliteSaver, path: Path, tmp_path: Path
) -> None:
    before = foreign_rows(path)
    with pytest.raises(ValueError, match="scoped to"):
        WHOLE_FILE[verb](crowd.scoped(OWN), tmp_path)
    assert foreign_rows(path) == before
    twin = getattr(crowd.scoped(OWN), f"a{verb}", None)
    if twin is not None:
        arguments = [tmp_path / "checkpoints.db"] if verb in {"backup", "restore"} else []
        with pytest.raises(ValueError, match="scoped to"):
            asyncio.run(collected(twin(*arguments)))
    assert not (tmp_path / "b.db").exists()


TEXT = st.text(
    st.sampled_from(["a", "A", "b", "/", "%", "_", ":", "2", "F", "\0", "é", "e", "\u0301", " ", "*"])
)
IDS = TEXT | st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.just("x" * 3000)
TENANTS = st.lists(IDS.filter(bool), min_size=2, max_size=4, unique=True)


@given(TENANTS, st.lists(IDS, min_size=1, max_size=3, unique=True))
def test_no_id_of_one_tenant_reaches_another(tenants: list[str], threads: list[str]) -> None:
    tenants = [*tenants, tenants[0] + "/", tenants[0] + "%:" + threads[0]]
    tenants = list(dict.fromkeys(tenants))
    with RustSqliteSaver(":memory:") as saver:
        for tenant in tenants:
            fill_small(saver.scoped(tenant), threads, tenant)
        for tenant in tenants:
            scoped = saver.scoped(tenant)
            listed = {
                (found.config["configurable"]["thread_id"], dict(found.metadata)["of"])
                for found in scoped.list(None)
            }
            assert listed == {(thread_id, ascii(tenant)) for thread_id in threads}
            assert {found.thread_id for found in scoped.list_threads(limit=100)} == set(threads)
            assert scoped.count_threads() == len(threads)
            for thread_id in [*threads, *tenants]:
                there = scoped.get_tuple(config_of(thread_id))
                assert (there is not None) == (thread_id in threads)
        assert saver.scoped(tenants[0]).delete_tenant() == len(threads)
        assert saver.scoped(tenants[0]).count_threads() == 0
        for tenant in tenants[1:]:
            assert saver.scoped(tenant).count_threads() == len(threads)


def fill_small(saver: Any, threads: list[str], tenant: str) -> None:
    for thread_id in threads:
        saver.put(config_of(thread_id), checkpoint_of(1), {"of": ascii(tenant)}, {})


def test_the_stored_form_is_as_documented(make_saver: Callable[..., RustSqliteSaver], path: Path) -> None:
    saver = make_saver()
    fill_small(saver.scoped("Acme Ltd/é"), ["42"], "")
    assert query(path, "SELECT thread_id FROM checkpoints") == [("Acme%20Ltd%2F%C3%A9%:42",)]
    stored = [found.config["configurable"]["thread_id"] for found in saver.list(None)]
    assert stored == ["Acme%20Ltd%2F%C3%A9%:42"] == [stored_thread_id("Acme Ltd/é", "42")]


@pytest.mark.parametrize("tenant", ["", "\ud800", None, 5, b"a"])
def test_what_is_no_tenant_is_refused(tenant: Any, make_saver: Callable[..., RustSqliteSaver]) -> None:
    for call in (make_saver().scoped, lambda tenant: stored_thread_id(tenant, "1")):
        with pytest.raises((TypeError, ValueError), match="tenant must"):
            call(tenant)


def test_verbs_on_a_tenant_need_one(make_saver: Callable[..., RustSqliteSaver], tmp_path: Path) -> None:
    saver = make_saver()
    put_chain(saver, 1)
    for verb in (
        saver.delete_tenant,
        saver.erase_tenant,
        lambda: saver.export_tenant(tmp_path / "x.db"),
        lambda: asyncio.run(saver.adelete_tenant()),
        lambda: asyncio.run(saver.aerase_tenant()),
        lambda: saver.import_tenant(tmp_path / "x.db"),
        lambda: asyncio.run(saver.aexport_tenant(tmp_path / "x.db")),
        lambda: asyncio.run(saver.aimport_tenant(tmp_path / "x.db")),
    ):
        with pytest.raises(ValueError, match=r"saver\.scoped\(tenant\)"):
            verb()
    assert saver.count_threads() == 1
    assert not (tmp_path / "x.db").exists()


def test_both_colours_delete_erase_and_export_a_tenant(saver: Verbs, tmp_path: Path) -> None:
    scoped = Verbs(saver.saver.scoped("a"), saver._loop)
    other = Verbs(saver.saver.scoped("b"), saver._loop)
    for thread_id in ("1", "2"):
        for verbs in (scoped, other):
            verbs.put(config_of(thread_id), checkpoint_of(1, {"x": 1}), {}, {})
    scoped.pin_thread("noted only")
    seen: list[int] = []
    report = scoped.export_tenant(tmp_path / "a.db", progress=seen.append)
    assert (report.threads, report.checkpoints, seen) == (2, 2, [1, 2])
    assert scoped.delete_tenant(progress=seen.append) == 3
    assert seen == [1, 2, 1, 2, 3]
    assert scoped.count_threads() == 0
    with pytest.raises(ValueError, match="no threads; nothing was exported"):
        scoped.export_tenant(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
    with RustSqliteSaver(tmp_path / "a.db") as exported_saver:
        assert {found.thread_id for found in exported_saver.list_threads()} == {"1", "2"}
        assert scoped.copy_from(exported_saver).checkpoints == 2
    assert scoped.get_tuple(config_of("2")).checkpoint["channel_values"] == {"x": 1}
    receipt = scoped.erase_tenant()
    assert (receipt.checkpoints, receipt.wal_emptied) == (2, True)
    assert scoped.import_tenant(tmp_path / "a.db", progress=seen.append) == report
    assert seen[-2:] == [1, 2]
    assert other.count_threads() == 2


def test_an_import_is_refused_whole_or_replaces(saver: Verbs, tmp_path: Path) -> None:
    scoped = Verbs(saver.saver.scoped("a"), saver._loop)
    for thread_id in ("1", "2"):
        scoped.put(config_of(thread_id), checkpoint_of(1, {"x": thread_id}), {}, {})
    scoped.export_tenant(tmp_path / "a.db")
    scoped.delete_thread("1")
    scoped.put(config_of("2"), checkpoint_of(2), {}, {})
    with pytest.raises(ValueError, match="thread '2' exists; nothing was imported"):
        scoped.import_tenant(tmp_path / "a.db")
    assert scoped.get_thread("1") is None
    assert scoped.import_tenant(tmp_path / "a.db", on_existing="replace").threads == 2
    assert [scoped.get_thread(thread_id).checkpoints for thread_id in ("1", "2")] == [1, 1]
    with pytest.raises(ValueError, match="unknown on_existing"):
        scoped.import_tenant(tmp_path / "a.db", on_existing="merge")
    with RustSqliteSaver(tmp_path / "empty.db") as empty:
        empty.setup()
    with pytest.raises(ValueError, match="the file holds no thread"):
        scoped.import_tenant(tmp_path / "empty.db")


@pytest.mark.parametrize("saver_class", [RustSqliteSaver, AsyncRustSqliteSaver])
def test_copies_are_of_the_same_tenant(saver_class: Any, path: Path) -> None:
    with saver_class(path) as saver:
        scoped = saver.scoped("a")
        assert type(scoped) is saver_class
        assert repr(scoped).endswith(", tenant='a')")
        fill_small(scoped, ["1"], "a")
        fill_small(saver, ["2"], "none")
        copies = [copy.copy(scoped), copy.deepcopy(scoped), pickle.loads(pickle.dumps(scoped))]
        copies.append(scoped.with_allowlist([]))
        for clone in copies:
            assert clone.tenant == "a"
            assert [found.thread_id for found in clone.list_threads()] == ["1"]
        assert saver.tenant is None
        assert saver.count_threads() == 2


def test_a_graph_runs_on_it(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver()
    number: Any = int
    builder = StateGraph(number).add_node("add", lambda x: x + 1).add_edge(START, "add")
    for tenant, begin in (("a", 1), ("b", 10)):
        graph = builder.compile(checkpointer=saver.scoped(tenant))
        assert graph.invoke(begin, {"configurable": {"thread_id": "1"}}) == begin + 1
    for tenant, end in (("a", 2), ("b", 11)):
        graph = builder.compile(checkpointer=saver.scoped(tenant))
        assert graph.get_state({"configurable": {"thread_id": "1"}}).values == end
        assert asyncio.run(graph.aget_state({"configurable": {"thread_id": "1"}})).values == end
        assert len(list(graph.get_state_history({"configurable": {"thread_id": "1"}}))) == 3


def test_it_leaves_the_file_open_and_ends_with_it(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver()
    with saver.scoped("a") as scoped:
        fill_small(scoped, ["1"], "a")
    assert saver.is_setup
    assert scoped.is_setup
    assert scoped.count_threads() == 1
    saver.close()
    with pytest.raises(SaverClosedError):
        scoped.count_threads()


def test_it_is_opened_and_told_of_once(
    make_saver: Callable[..., RustSqliteSaver], caplog: pytest.LogCaptureFixture
) -> None:
    saver = make_saver()
    with caplog.at_level("INFO", logger="langgraph_checkpoint_rust"):
        for tenant in ("a", "b"):
            saver.scoped(tenant).setup()
        saver.setup()
    assert len(caplog.records) == 1


def test_leases_are_the_tenants(make_saver: Callable[..., RustSqliteSaver], path: Path) -> None:
    saver = make_saver()
    with saver.scoped("a").thread_lease("1", 60), saver.scoped("b").thread_lease("1", 60):
        # Another copy holds what the first one took, and no other thread.
        fill_small(saver.scoped("a"), ["1"], "a")
        fill_small(saver, ["1"], "none")
        with RustSqliteSaver(path) as elsewhere, pytest.raises(LeaseHeldError, match="thread '1' is"):
            elsewhere.scoped("a").thread_lease("1", 60).__enter__()
        assert saver.scoped("a").count_threads(status="busy") == 1


def test_retention_is_the_tenants(make_saver: Callable[..., RustSqliteSaver], path: Path) -> None:
    saver = make_saver(retention=RetentionPolicy(keep_last=1))
    for tenant in ("a", "b"):
        put_chain(saver.scoped(tenant), 3)
    told = saver.scoped("a").apply_retention()
    assert [(thread.thread_id, thread.checkpoints) for thread in told.threads] == [("1", 2)]
    assert saver.scoped("a").apply_retention(dry_run=False).checkpoints == 2
    assert len(list(saver.scoped("b").list(None))) == 3
    with pytest.raises(ValueError, match="max_bytes is about the whole file"):
        saver.scoped("a").apply_retention(RetentionPolicy(max_bytes=1))


def test_stats_are_the_tenants(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver()
    put_chain(saver.scoped("a"), 3)
    put_chain(saver.scoped("b"), 4)
    assert saver.scoped("a").stats()["checkpoints"] == 3
    assert asyncio.run(saver.scoped("a").astats())["checkpoints"] == 3
    assert saver.scoped("a").stats("1")["checkpoints"] == 3
    assert saver.stats(by="channel")["checkpoints"] == 7


def test_errors_name_the_tenants_own_ids(make_saver: Callable[..., RustSqliteSaver], path: Path) -> None:
    saver = make_saver(on_conflict="raise", on_deleted_thread="raise")
    scoped = saver.scoped("tenant")
    first, *_ = put_chain(scoped, 2, "one")
    errors: list[tuple[type[Exception], Callable[[], Any]]] = [
        (ConcurrentWriteError, lambda: scoped.put(first, checkpoint_of(9), {}, {})),
        (ValueError, lambda: scoped.copy_thread("two", "one", on_existing="refuse")),
        (ValueError, lambda: scoped.copy_thread("one", "two", up_to="none")),
    ]
    for kind, call in errors:
        with pytest.raises(kind, match="thread `one`"):
            call()
    with pytest.raises(ValueError, match="thread 'none' does not exist"):
        scoped.export_thread("none", path.parent / "none.db")
    scoped.delete_thread("one")
    with pytest.raises(ThreadDeletedError, match="thread `one`"):
        scoped.put(first, checkpoint_of(9), {}, {})


@pytest.mark.compact
def test_damage_is_told_by_the_tenants_own_id(make_saver: Callable[..., RustSqliteSaver], path: Path) -> None:
    saver = make_saver()
    values = {"messages": [os.urandom(20_000)]}
    saver.scoped("tenant").put(config_of("one"), checkpoint_of(1, values), {}, {})
    saver.close()
    query(path, "UPDATE checkpoint_chunks SET data = zeroblob(length(data))")
    with pytest.raises(DatabaseCorruptError, match="thread `one`"):
        make_saver().scoped("tenant").get_tuple(config_of("one"))


def test_a_read_that_refreshes_is_not_written_again_by_the_next_copy(
    make_saver: Callable[..., RustSqliteSaver],
) -> None:
    saver = make_saver(ttl={"default_ttl": 60, "refresh_on_read": True})
    for tenant in ("a", "b"):
        saver.scoped(tenant).put(config_of("1"), empty_checkpoint(), {}, {})
    jobs = saver.stats()["writer"]["jobs"]
    for _ in range(3):
        for tenant in ("a", "b"):
            assert saver.scoped(tenant).get_tuple(config_of("1")) is not None
    assert saver.stats()["writer"]["jobs"] == jobs + 2


def test_twins_have_the_same_parameters() -> None:
    for name in ("delete_tenant", "erase_tenant", "export_tenant", "import_tenant"):
        plain = inspect.signature(getattr(RustSqliteSaver, name))
        twin = inspect.signature(getattr(RustSqliteSaver, f"a{name}"))
        assert plain.parameters == twin.parameters
