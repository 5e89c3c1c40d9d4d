"""Fixtures: savers of both classes, in a file and in memory."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import formats
import langgraph.checkpoint.base
import pytest
from helpers import Verbs
from hypothesis import HealthCheck, settings
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A job in the background may ignore Ctrl-C, and so would each process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

_unhurried = [HealthCheck.too_slow, HealthCheck.data_too_large]
NEEDS_SORTED_WRITES = {
    "test_copy_from.py::test_rows_equal_upstreams_where_the_interface_tells_all",
    "test_delta_channels.py::test_a_fan_out_rebuilds_the_same_state_as_in_memory",
    "test_delta_channels.py::test_a_slow_put_with_fast_put_writes_and_a_prune_in_between_loses_nothing",
    "test_delta_channels.py::test_history_equals_upstreams",
    "test_delta_channels.py::test_history_of_a_fan_out_with_forks_equals_in_memorys",
    "test_delta_channels.py::test_history_of_rows_without_task_path_equals_in_memorys",
    "test_export_thread.py::test_rows_are_the_same_byte_for_byte",
    "test_interop.py::test_a_file_that_one_wrote_the_other_reads_continues_and_lists",
    "test_interop.py::test_a_golden_file_is_continued_as_upstream_continues_it",
    "test_interop.py::test_all_verbs_add_nothing_to_the_schema_of_an_upstream_file",
    "test_interop.py::test_rows_and_schema_equal_upstreams_for_the_same_calls",
    "test_put_writes.py::test_rows_equal_upstreams_byte_for_byte",
    "test_state_machine.py::test_any_sequence_of_calls",
}
"""They compare with savers that learnt the order of `writes_sort_key` in langgraph-checkpoint 4.3."""

RUN_ONCE = {
    "test_apply_retention.py",
    "test_bridge.py",
    "test_build.py",
    "test_command_line_docs.py",
    "test_command_line_errors.py",
    "test_compact.py",
    "test_compact_damage.py",
    "test_docs.py",
    "test_events.py",
    "test_examples.py",
    "test_fallback.py",
    "test_fastapi.py",
    "test_fastapi_chat.py",
    "test_fastapi_runs.py",
    "test_fastapi_tenants.py",
    "test_foreign_sqlite.py",
    "test_golden_compact.py",
    "test_inspection.py",
    "test_metadata_json.py",
    "test_metrics.py",
    "test_mirror.py",
    "test_otel.py",
    "test_process_saver.py",
    "test_prune_ages.py",
    "test_retry.py",
    "test_serde_fuzz.py",
    "test_serde_messages.py",
    "test_serde_policy.py",
    "test_serde_values.py",
    "test_server.py",
    "test_settings.py",
    "test_structure.py",
    "test_thread_status.py",
    "test_threads.py",
    "test_typing.py",
    "test_ui_browser.py",
    "test_ui_command.py",
    "test_ui_parts.py",
    "test_ui_security.py",
}
"""Files in which the format makes no difference, or which choose it themselves."""

settings.register_profile("fast", max_examples=25, deadline=None, suppress_health_check=_unhurried)
settings.register_profile("slow", max_examples=1000, deadline=None, suppress_health_check=_unhurried)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves tests marked `slow` out unless `-m` names marks, and those whose oracle is too old."""
    if not hasattr(langgraph.checkpoint.base, "writes_sort_key"):
        reason = "upstream's savers order writes by task and have no column task_path before 4.3 and 3.1.2"
        for item in items:
            if item.nodeid.partition("[")[0].rpartition("/")[2] in NEEDS_SORTED_WRITES:
                item.add_marker(pytest.mark.skip(reason=reason))
    if not config.option.markexpr:
        skip = pytest.mark.skip(reason="slow; run with -m slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--one-format`: for environments that differ in what the format has no part in."""
    parser.addoption("--one-format", action="store_true", help="run unmarked tests on compact files only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs each test on new files of both formats, or of the one that it is marked with."""
    if metafunc.definition.path.name not in RUN_ONCE:
        marked = [name for name in formats.FORMATS if metafunc.definition.get_closest_marker(name)]
        unmarked = formats.FORMATS[:1] if metafunc.config.option.one_format else formats.FORMATS
        metafunc.parametrize("tested_format", marked or unmarked, indirect=True)


@pytest.fixture(autouse=True)
def tested_format(request: pytest.FixtureRequest) -> Iterator[str]:
    """The format that new files get in this test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if hasattr(request, "param"):
            formats.use(monkeypatch, request.param)
        yield formats.tested()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "checkpoints.db"


@pytest.fixture
def make_saver(path: Path) -> Iterator[Callable[..., RustSqliteSaver]]:
    """Makes sync savers, of `path` unless told otherwise, and closes them at the end."""
    made: list[RustSqliteSaver] = []

    def make(conn: Any = None, **options: Any) -> RustSqliteSaver:
        made.append(RustSqliteSaver(path if conn is None else conn, **options))
        return made[-1]

    yield make
    for saver in made:
        saver.close()


@pytest.fixture
def make_upstream(path: Path) -> Iterator[Callable[..., UpstreamSaver]]:
    """Makes upstream's savers, of `path` unless told otherwise, and closes them at the end."""
    with_managers: list[Any] = []

    def make(conn: Any = None) -> UpstreamSaver:
        manager = UpstreamSaver.from_conn_string(str(path if conn is None else conn))
        with_managers.append(manager)
        saver: UpstreamSaver = manager.__enter__()
        return saver

    yield make
    for manager in with_managers:
        manager.__exit__(None, None, None)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture(params=["sync-file", "sync-memory", "async-file", "async-memory"])
def saver(request: pytest.FixtureRequest, path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Verbs]:
    """The verbs of the sync class, and the a-verbs of the async class, in a file and in memory."""
    colour, _, place = request.param.partition("-")
    conn = path if place == "file" else ":memory:"
    with RustSqliteSaver(conn) if colour == "sync" else AsyncRustSqliteSaver(conn) as opened:
        yield Verbs(opened, loop if colour == "async" else None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting needs root")
    directory = tmp_path / "small"
    directory.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory)], check=False
    ).returncode:
        pytest.skip("mounting is not allowed here")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)
