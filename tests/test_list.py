"""`list`: upstream's order and filters, in pages that hold nothing between them."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from helpers import OTHER_TASK, TASK, Verbs, checkpoint_of, config_of, id_of, ids, put_chain, query, rows
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver, _pages
from langgraph_checkpoint_rust.errors import MissingKeyError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def put_metadata(saver: Any, *metadata: dict[str, Any]) -> None:
    for number, item in enumerate(metadata):
        saver.put(config_of(), checkpoint_of(number), item, {})


def matches(saver: Verbs, **condition: Any) -> list[str]:
    return ids(saver.list(None, filter=condition))


def test_newest_first_with_config_parent_metadata_and_writes(saver: Verbs) -> None:
    first, second = put_chain(saver, 2)
    saver.put_writes(second, [("b", 2)], TASK, "~2")
    saver.put_writes(second, [("a", 1)], OTHER_TASK, "~1")
    newest, oldest = saver.list(config_of())
    assert (newest.config, newest.parent_config) == (second, first)
    assert (oldest.config, oldest.parent_config) == (first, None)
    assert newest.metadata == {"source": "loop", "step": 2, "parents": {}}
    assert newest.pending_writes == [(OTHER_TASK, "a", 1), (TASK, "b", 2)]
    assert oldest.pending_writes == []


def test_none_lists_all_threads_and_a_config_without_a_namespace_all_of_them(saver: Verbs) -> None:
    put_chain(saver, 2, "1")
    put_chain(saver, 2, "1", "child", start=3)
    put_chain(saver, 2, "2", start=5)
    assert ids(saver.list(None)) == [id_of(number) for number in (6, 5, 4, 3, 2, 1)]
    assert ids(saver.list({"configurable": {"thread_id": "1"}})) == [id_of(number) for number in (4, 3, 2, 1)]
    assert ids(saver.list(config_of("1", "child"))) == [id_of(4), id_of(3)]
    assert ids(saver.list(config_of("1"))) == [id_of(2), id_of(1)]
    assert saver.list(config_of("3")) == []


@pytest.mark.parametrize("thread", [7, "7"])
def test_a_thread_id_of_another_type_is_its_text(saver: Verbs, thread: Any) -> None:
    put_chain(saver, 1, 7)
    assert len(saver.list(config_of(thread))) == 1


def test_a_config_with_a_checkpoint_lists_only_that(saver: Verbs) -> None:
    first, _ = put_chain(saver, 2)
    assert ids(saver.list(first)) == [id_of(1)]


def test_before_is_exclusive_and_combines_with_limit_and_filter(saver: Verbs) -> None:
    put_chain(saver, 9)
    before = config_of("1", "", id_of(6))
    assert ids(saver.list(config_of(), before=before, limit=2)) == [id_of(5), id_of(4)]
    assert ids(saver.list(config_of(), before=before, filter={"step": 6})) == []
    assert ids(saver.list(None, before={"configurable": {"checkpoint_id": id_of(2)}})) == [id_of(1)]


def test_before_without_a_checkpoint_id_matches_nothing_as_upstream(saver: Verbs) -> None:
    put_chain(saver, 1)
    assert saver.list(config_of(), before=config_of()) == []


@pytest.mark.parametrize(("limit", "count"), [(None, 40), (0, 0), (1, 1), (17, 17), (99, 40), (-1, 40)])
def test_limit(saver: Verbs, limit: int | None, count: int) -> None:
    put_chain(saver, 40)
    assert ids(saver.list(config_of(), limit=limit)) == [id_of(40 - number) for number in range(count)]


@pytest.mark.parametrize("limit", ["1", 1.0, [1], b"1"])
def test_a_limit_that_is_no_int_is_a_type_error(saver: Verbs, limit: Any) -> None:
    with pytest.raises(TypeError, match="limit must be an int"):
        saver.list(config_of(), limit=limit)


@pytest.mark.parametrize("wrong", ["step", 1, ["step"], {1: 2}])
def test_a_filter_that_is_no_mapping_of_text_is_a_type_error(saver: Verbs, wrong: Any) -> None:
    with pytest.raises(TypeError, match="filter"):
        saver.list(config_of(), filter=wrong)


@pytest.mark.parametrize("wrong", ["id", 1, [("configurable", {})]])
def test_a_before_that_is_no_config_is_a_type_error(saver: Verbs, wrong: Any) -> None:
    with pytest.raises(TypeError, match="must be a mapping"):
        saver.list(config_of(), before=wrong)


def test_a_config_without_a_thread_is_a_key_error(saver: Verbs) -> None:
    with pytest.raises(MissingKeyError, match="thread_id"):
        saver.list({"configurable": {}})


VALUES = [None, True, False, 0, 1, 2**40, -7, 1.5, "", "text", "1", "ü", [1, "a"], {"k": [None]}, {}]


@pytest.mark.parametrize("value", VALUES)
def test_a_filter_matches_what_upstreams_does(
    path: Path, make_saver: Any, make_upstream: Callable[..., UpstreamSaver], value: Any
) -> None:
    ours, theirs = make_saver(), make_upstream(path.with_name("upstream.db"))
    for saver in (ours, theirs):
        put_metadata(saver, {"other": 1}, *({"key": stored} for stored in VALUES))
    found = ids(list(ours.list(None, filter={"key": value})))
    assert found == ids(list(theirs.list(None, filter={"key": value})))
    assert found


KEYS = st.text("ab01_.-", min_size=1, max_size=4).filter(lambda key: all(key.split(".")))
SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0]) | st.text("a1", max_size=2)
)
NESTED = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("ab01", min_size=1, max_size=2), inner)
    ),
    max_leaves=5,
)


@given(
    stored=st.lists(st.dictionaries(KEYS.filter(lambda key: "." not in key), NESTED, max_size=3), max_size=4),
    wanted=st.dictionaries(KEYS, NESTED, max_size=2),
)
def test_any_filter_of_upstreams_keys_matches_what_upstreams_does(stored: Any, wanted: Any) -> None:
    with RustSqliteSaver(":memory:") as ours, UpstreamSaver.from_conn_string(":memory:") as theirs:
        for saver in (ours, theirs):
            put_metadata(saver, *stored)
        assert ids(list(ours.list(None, filter=wanted))) == ids(list(theirs.list(None, filter=wanted)))


def test_all_conditions_of_a_filter_must_hold(saver: Verbs) -> None:
    put_metadata(saver, {"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2})
    assert matches(saver, a=1, b=2) == [id_of(1)]
    assert matches(saver) == [id_of(2), id_of(1), id_of(0)]


def test_a_dotted_key_is_a_path_first_and_a_literal_key_second(saver: Verbs) -> None:
    put_metadata(saver, {"a": {"b": 1}}, {"a.b": 1}, {"a": {"b": 2}, "a.b": 1}, {"a": {"c": 1}})
    assert matches(saver, **{"a.b": 1}) == [id_of(1), id_of(0)]
    assert matches(saver, **{"a.b": None}) == [id_of(3)]


@pytest.mark.parametrize(
    "key", ["with space", "ü", "日本語", "a-b", "$", "a[0]", "*", "a'b", "--", "a;b", "😀", "a..b", ".", "%s"]
)
def test_a_key_of_any_characters_is_bound(saver: Verbs, key: str) -> None:
    put_metadata(saver, {key: "here"}, {"other": "here"})
    assert matches(saver, **{key: "here"}) == [id_of(0)]


@pytest.mark.parametrize("key", ["", 'a"b', "a\\b", "a\nb", "a\0b", "\x7f", "\ud800", '") OR 1=1 --'])
def test_a_key_that_could_leave_its_quotes_is_a_value_error(saver: Verbs, key: str) -> None:
    put_metadata(saver, {"a": 1})
    with pytest.raises(ValueError, match="Invalid filter key"):
        saver.list(None, filter={key: 1})


@pytest.mark.parametrize(
    "attack", ["x') OR 1=1 --", "' OR '1'='1", "x'; DROP TABLE checkpoints; --", "step') IS NULL OR ('1"]
)
def test_injection_finds_nothing_and_changes_nothing(saver: Verbs, attack: str) -> None:
    put_chain(saver, 2)
    assert matches(saver, **{attack: "x"}) == []
    assert matches(saver, source=attack) == []
    assert saver.list(config_of(attack)) == []
    assert saver.list(config_of("1", attack)) == []
    assert saver.list(config_of(), before=config_of("1", "", "' OR 1=1")) == []
    assert len(saver.list(None)) == 2


def test_an_integer_beyond_64_bits_is_a_value_error(saver: Verbs) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        saver.list(None, filter={"step": 2**63})


def test_metadata_with_nan_or_that_is_no_json_does_not_stop_a_filter(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    put_metadata(saver, {"a": 1, "loss": float("nan")}, {"a": 1}, {"a": 1})
    query(path, "UPDATE checkpoints SET metadata = 'no json' WHERE checkpoint_id = ?", [id_of(1)])
    assert ids(list(saver.list(None, filter={"a": 1}))) == [id_of(2), id_of(0)]


@pytest.mark.parametrize("length", [15, 16, 17, 48, 49, 300])
def test_pages_neither_repeat_nor_lose_rows(saver: Verbs, length: int) -> None:
    put_chain(saver, length)
    assert ids(saver.list(config_of())) == [id_of(length - number) for number in range(length)]


def test_rows_with_the_same_id_in_many_threads_and_namespaces_come_once_each(saver: Verbs) -> None:
    keys = list(itertools.product(["b", "a", "ü"], ["", "child", "x:1|y:2"]))
    for thread, namespace in keys:
        put_chain(saver, 9, thread, namespace)
    found = saver.list(None)
    seen = [tuple(item.config["configurable"].values()) for item in found]
    assert sorted(seen) == sorted((*key, id_of(number)) for key in keys for number in range(1, 10))
    assert ids(found) == sorted(ids(found), reverse=True)


def test_a_limit_is_exact_in_the_middle_of_a_tie(saver: Verbs) -> None:
    for thread in range(40):
        put_chain(saver, 2, thread)
    whole = saver.list(None)
    for limit in (15, 16, 17, 41, 79):
        assert saver.list(None, limit=limit) == whole[:limit]


def test_a_page_ends_early_once_it_holds_8_mib(make_saver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    saver = make_saver()
    for number in range(16):
        saver.put(config_of(), checkpoint_of(number, {"blob": bytes(3 << 20)}), {}, {})
    pages: list[int] = []
    advance = _pages.Pages.advance

    def noted(self: _pages.Pages, count: int, after: Any) -> None:
        pages.append(count)
        advance(self, count, after)

    monkeypatch.setattr(_pages.Pages, "advance", noted)
    assert ids(list(saver.list(config_of()))) == [id_of(15 - number) for number in range(16)]
    assert sum(pages) == 16
    assert max(pages) == 3


def test_writes_count_towards_the_size_of_a_page(make_saver: Any) -> None:
    saver = make_saver()
    for config in put_chain(saver, 12):
        saver.put_writes(config, [("blob", bytes(5 << 20)), ("b", 1)], TASK)
    found = list(saver.list(config_of()))
    assert [len(item.pending_writes or ()) for item in found] == [2] * 12


def test_an_iteration_sees_what_is_stored_and_deleted_meanwhile(make_saver: Any) -> None:
    saver = make_saver()
    put_chain(saver, 100)
    iteration = saver.list(config_of())
    next(iteration)
    put_chain(saver, 1, start=500)
    saver.delete_thread("1")
    rest = list(iteration)
    assert id_of(500) not in ids(rest)
    assert len(rest) < 99


def test_an_iteration_that_is_left_holds_nothing(make_saver: Any, path: Path) -> None:
    saver = make_saver(pool_size=1, pool_timeout=1)
    put_chain(saver, 100)
    iterations = [saver.list(config_of()) for _ in range(4)]
    for iteration in iterations:
        next(iteration)
    assert saver.get_tuple(config_of()) is not None
    saver.put(config_of(), checkpoint_of(500), {}, {})
    assert len(rows(path, "checkpoints")) == 101


def test_put_works_inside_a_paused_alist(path: Path) -> None:
    async def main() -> int:
        async with AsyncRustSqliteSaver(path) as saver:
            put_chain(saver, 20)
            seen = 0
            async for found in saver.alist(config_of()):
                await saver.aput(found.config, checkpoint_of(100 + seen), {}, {})
                await saver.aput_writes(found.config, [("a", 1)], TASK)
                seen += 1
            return seen

    assert asyncio.run(main()) == 20


def test_nothing_is_read_before_the_first_step_of_the_iteration(make_saver: Any, path: Path) -> None:
    saver = make_saver()
    saver.list(config_of())
    assert not path.exists()


def test_a_nested_value_compares_as_json_of_any_text(saver: Verbs) -> None:
    put_metadata(saver, {"k": {"a": [1, 2], "b": "ü"}})
    assert matches(saver, k={"a": [1, 2], "b": "ü"}) == [id_of(0)]
