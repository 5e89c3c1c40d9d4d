"""`on_conflict`: two runs on one thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from helpers import checkpoint_of, config_of, put_chain, run_python

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import ConcurrentWriteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def strict(make_saver: Callable[..., RustSqliteSaver]) -> RustSqliteSaver:
    return make_saver(on_conflict="raise")


def test_a_put_behind_the_head_raises(strict: RustSqliteSaver) -> None:
    first, second = put_chain(strict, 2)
    with pytest.raises(ConcurrentWriteError, match="thread `1` went on elsewhere"):
        strict.put(first, checkpoint_of(5), {}, {})
    with pytest.raises(ConcurrentWriteError):
        strict.put(config_of(), checkpoint_of(5), {}, {})
    strict.put(second, checkpoint_of(5), {}, {})


def test_each_namespace_has_a_head(strict: RustSqliteSaver) -> None:
    put_chain(strict, 2)
    put_chain(strict, 2, "1", "child:1")


def test_a_checkpoint_may_be_stored_again(strict: RustSqliteSaver) -> None:
    first, _ = put_chain(strict, 2)
    strict.put(first, checkpoint_of(2, {"a": 1}), {}, {})
    strict.put(config_of(), checkpoint_of(1), {}, {})


def test_the_default_forks(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver()
    first, _ = put_chain(saver, 2)
    saver.put(first, checkpoint_of(5), {}, {})
    assert len(list(saver.list(None))) == 3


def test_of_many_at_once_one_goes_on(strict: RustSqliteSaver) -> None:
    (head,) = put_chain(strict, 1)

    def go_on(number: int) -> bool:
        try:
            strict.put(head, checkpoint_of(number), {}, {})
        except ConcurrentWriteError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(go_on, range(10, 42))) == 1
    assert len(list(strict.list(None))) == 2


def test_another_process_counts(strict: RustSqliteSaver, path: Path) -> None:
    (head,) = put_chain(strict, 1)
    run_python(
        """
        import sys
        from helpers import checkpoint_of, config_of, id_of
        from langgraph_checkpoint_rust import RustSqliteSaver
        with RustSqliteSaver(sys.argv[1]) as saver:
            saver.put(config_of("1", "", id_of(1)), checkpoint_of(2), {}, {})
        """,
        path,
    )
    with pytest.raises(ConcurrentWriteError):
        strict.put(head, checkpoint_of(3), {}, {})
