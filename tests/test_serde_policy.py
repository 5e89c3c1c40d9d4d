"""Allow-lists, hooks, clones, events, errors, re-entrancy: the policy stays upstream's."""

from __future__ import annotations

import copy
import gc
import logging
import os
import pickle
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass
from typing import Any

import ormsgpack
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.serde import _msgpack, jsonplus
from langgraph.checkpoint.serde.event_hooks import register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Send
from serde_support import CALL, FAST, MESSAGES, RUST, check_loads, same

from langgraph_checkpoint_rust import _fingerprint, _upstream
from langgraph_checkpoint_rust.errors import CheckpointError, SerializationError
from langgraph_checkpoint_rust.serde import RustSerializer


@dataclass
class Listed:
    a: Any


@dataclass
class Unlisted:
    a: Any


STATE = {
    "messages": [HumanMessage("x"), AIMessage("y", tool_calls=[CALL])],
    "listed": Listed([HumanMessage("z"), Unlisted(1)]),
    "unlisted": Unlisted({"m": HumanMessage("w")}),
    "send": Send("n", [HumanMessage("v"), Unlisted(2)]),
    "id": uuid.UUID(int=1),
}

POLICIES: dict[str, dict[str, Any]] = {
    "default": {},
    "everything": {"allowed_msgpack_modules": True},
    "safe_only": {"allowed_msgpack_modules": None},
    "empty": {"allowed_msgpack_modules": []},
    "class": {"allowed_msgpack_modules": [Listed]},
    "name": {"allowed_msgpack_modules": [(__name__, "Listed")]},
    "both": {"allowed_msgpack_modules": [Listed, Unlisted]},
}


def events_of(serde: Any, typed: tuple[str, bytes]) -> tuple[Any, list[Any]]:
    seen: list[Any] = []
    unregister = register_serde_event_listener(seen.append)
    try:
        return serde.loads_typed(typed), seen
    finally:
        unregister()


@pytest.fixture(autouse=True)
def _fresh_warnings() -> None:
    for name in ("_warned_unregistered_types", "_warned_blocked_types"):
        getattr(jsonplus, name, set()).clear()


@pytest.mark.parametrize("name", POLICIES)
def test_allow_list(name: str) -> None:
    typed = RUST.dumps_typed(STATE)
    theirs, their_events = events_of(JsonPlusSerializer(**POLICIES[name]), typed)
    ours, our_events = events_of(RustSerializer(**POLICIES[name]), typed)
    assert same(theirs, ours)
    assert their_events == our_events


@pytest.mark.parametrize("name", POLICIES)
def test_allow_list_warns_like_upstream(name: str, caplog: pytest.LogCaptureFixture) -> None:
    typed = RUST.dumps_typed(STATE)
    logs = []
    for serde in (JsonPlusSerializer(**POLICIES[name]), RustSerializer(**POLICIES[name])):
        _fresh()
        caplog.clear()
        serde.loads_typed(typed)
        logs.append([(record.levelno, record.getMessage()) for record in caplog.records])
    assert logs[0] == logs[1]


def _fresh() -> None:
    for name in ("_warned_unregistered_types", "_warned_blocked_types"):
        getattr(jsonplus, name, set()).clear()


@pytest.mark.parametrize("name", POLICIES)
def test_clone_with_allow_list_uses_its_own_policy(name: str) -> None:
    typed = RUST.dumps_typed(STATE)
    theirs, ours = JsonPlusSerializer(**POLICIES[name]), RustSerializer(**POLICIES[name])
    ours.loads_typed(typed)  # the parent has used its hook before it is cloned
    their_clone, our_clone = (
        theirs.with_msgpack_allowlist([Unlisted]),
        ours.with_msgpack_allowlist([Unlisted]),
    )
    assert isinstance(our_clone, RustSerializer)
    for left, right in ((their_clone, our_clone), (theirs, ours), (their_clone, our_clone)):
        expected, their_events = events_of(left, typed)
        got, our_events = events_of(right, typed)
        assert same(expected, got)
        assert their_events == our_events


def test_hook_that_is_swapped_later_is_the_one_that_runs() -> None:
    typed = RUST.dumps_typed(STATE)
    serde = RustSerializer(allowed_msgpack_modules=True)
    assert type(serde.loads_typed(typed)["unlisted"]) is Unlisted
    serde._unpack_ext_hook = jsonplus._create_msgpack_ext_hook(None)
    assert type(serde.loads_typed(typed)["unlisted"]) is dict
    serde._unpack_ext_hook = lambda code, data: code
    assert serde.loads_typed(typed)["messages"] == [5, 5]


def test_custom_hook_sees_every_extension() -> None:
    seen: list[int] = []

    def hook(code: int, data: bytes) -> Any:
        assert type(data) is bytes
        seen.append(code)
        return (code, len(data))

    typed = RUST.dumps_typed(STATE)
    expected = JsonPlusSerializer(__unpack_ext_hook__=hook).loads_typed(typed)
    theirs, seen = seen, []
    got = RustSerializer(__unpack_ext_hook__=hook).loads_typed(typed)
    assert same(expected, got)
    assert theirs == seen
    assert len(seen) == 6


def test_custom_hook_survives_a_clone() -> None:
    serde = RustSerializer(__unpack_ext_hook__=lambda code, data: code, allowed_msgpack_modules=[Listed])
    clone = serde.with_msgpack_allowlist([Unlisted])
    assert clone.loads_typed(serde.dumps_typed(STATE))["unlisted"] == 2


def test_upstream_hook_given_as_custom_hook() -> None:
    hook = jsonplus._create_msgpack_ext_hook(None)
    typed = RUST.dumps_typed(STATE)
    theirs, ours = JsonPlusSerializer(__unpack_ext_hook__=hook), RustSerializer(__unpack_ext_hook__=hook)
    assert same(theirs.loads_typed(typed), ours.loads_typed(typed))


@pytest.mark.parametrize("error", [KeyError("k"), ValueError("v"), RuntimeError("r")])
def test_failing_hook(error: Exception) -> None:
    def hook(code: int, data: bytes) -> Any:
        raise error

    typed = RUST.dumps_typed([HumanMessage("x")])
    theirs, ours = JsonPlusSerializer(__unpack_ext_hook__=hook), RustSerializer(__unpack_ext_hook__=hook)
    check_loads(typed, theirs, ours)
    with pytest.raises(ValueError, match="ext_hook failed") as caught:
        ours.loads_typed(typed)
    assert caught.value.__cause__ is error


def test_interrupt_in_a_hook_or_a_default_is_not_swallowed() -> None:
    def hook(code: int, data: bytes) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RustSerializer(__unpack_ext_hook__=hook).loads_typed(RUST.dumps_typed([HumanMessage("x")]))

    class Stop:
        def model_dump(self) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RUST.dumps_typed([Stop()])


def test_strict_mode_of_the_environment() -> None:
    code = (
        "from langgraph_checkpoint_rust.serde import RustSerializer\n"
        "from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer\n"
        "from langchain_core.messages import HumanMessage\n"
        "from fractions import Fraction\n"
        "import ormsgpack\n"
        "from langgraph.checkpoint.serde.jsonplus import _msgpack_enc\n"
        "inner = ormsgpack.Ext(1, _msgpack_enc(('fractions', 'Fraction', (1, 2))))\n"
        "blob = ormsgpack.packb([inner])\n"
        "assert RustSerializer().loads_typed(('msgpack', blob)) == [[1, 2]]\n"
        "assert JsonPlusSerializer().loads_typed(('msgpack', blob)) == [[1, 2]]\n"
        "assert RustSerializer().loads_typed(RustSerializer().dumps_typed([HumanMessage('x')]))[0].content == 'x'\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"}
    )


def test_safe_types_that_shrink_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = RUST.dumps_typed([HumanMessage("x")])
    monkeypatch.setattr(_msgpack, "SAFE_MSGPACK_TYPES", frozenset())
    check_loads(
        typed, JsonPlusSerializer(allowed_msgpack_modules=None), RustSerializer(allowed_msgpack_modules=None)
    )
    assert type(RustSerializer(allowed_msgpack_modules=None).loads_typed(typed)[0]) is dict


@pytest.mark.parametrize("symbol", ["_msgpack_default", "_msgpack_enc"])
def test_replaced_upstream_function_is_the_one_that_runs(
    symbol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(jsonplus, symbol)
    calls: list[Any] = []

    def replacement(value: Any) -> Any:
        calls.append(value)
        return original(value)

    monkeypatch.setattr(jsonplus, symbol, replacement)
    assert RUST.dumps_typed([uuid.UUID(int=1)]) == JsonPlusSerializer().dumps_typed([uuid.UUID(int=1)])
    assert len(calls) >= 2


@pytest.mark.parametrize(
    "symbol", ["_msgpack_default", "_msgpack_enc", "_create_msgpack_ext_hook", "_option"]
)
def test_missing_upstream_symbol_means_upstreams_own_code(
    symbol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _upstream.binding.cache_clear()
    try:
        monkeypatch.delattr(jsonplus, symbol)
        assert _upstream.binding() is None
        monkeypatch.undo()
        # Still bound to nothing: both verbs must work without the codec.
        assert RUST.dumps_typed(STATE)[1] == JsonPlusSerializer().dumps_typed(STATE)[1]
        assert RUST.loads_typed(RUST.dumps_typed([HumanMessage("x")]))[0].content == "x"
    finally:
        monkeypatch.undo()
        _upstream.binding.cache_clear()
        assert _upstream.binding() is not None


def test_symbol_that_vanishes_later_means_upstreams_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_msgpack, "SAFE_MSGPACK_TYPES")
    assert RUST.dumps_typed([1]) == ("msgpack", b"\x91\x01")
    assert RUST.loads_typed(("msgpack", b"\x91\x01")) == [1]


def test_class_with_another_fingerprint_is_slow_and_one_debug_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pydantic import field_validator

    class Changed(HumanMessage):
        @field_validator("content")
        @classmethod
        def shout(cls, value: Any) -> Any:
            return str(value).upper()

    Changed.__name__, Changed.__module__ = "HumanMessage", HumanMessage.__module__
    assert _fingerprint.digest(Changed) not in _fingerprint.RECORDED["HumanMessage"]
    monkeypatch.setattr("langchain_core.messages.human.HumanMessage", Changed)
    with caplog.at_level(logging.DEBUG, logger="langgraph_checkpoint_rust._fingerprint"):
        names = [name for _, name, _ in _fingerprint.admitted()]
    assert "HumanMessage" not in names
    assert "AIMessage" in names
    assert len(caplog.records) == 1
    assert "HumanMessage" in caplog.text


def test_installed_langchain_core_matches_the_fingerprints() -> None:
    assert [(module, name) for module, name, _ in _fingerprint.admitted()] == list(_fingerprint.CLASSES)


def test_class_whose_sample_disagrees_is_not_admitted() -> None:
    def behaves(encode: Any) -> list[bool]:
        return [_fingerprint.behaves(cls, FAST, encode) for _, _, cls in _fingerprint.admitted()]

    assert all(behaves(jsonplus._msgpack_enc))
    assert not any(behaves(lambda message: jsonplus._msgpack_enc([message])))
    assert not _fingerprint.behaves(type("Own", (HumanMessage,), {}), FAST, jsonplus._msgpack_enc)


@pytest.mark.parametrize(
    "change",
    ["__init__", "__setattr__", "model_dump", "field", "default", "config", "post_init"],
)
def test_fingerprint_sees_the_change(change: str) -> None:
    from pydantic import ConfigDict

    namespace: dict[str, Any] = {"__module__": HumanMessage.__module__, "__annotations__": {}}
    if change == "field":
        namespace["__annotations__"] = {"more": int}
        namespace["more"] = 1
    elif change == "default":
        namespace["__annotations__"] = {"name": "str | None"}
        namespace["name"] = "x"
    elif change == "config":
        namespace["model_config"] = ConfigDict(extra="ignore")
    elif change == "post_init":
        namespace["model_post_init"] = _post_init
    else:
        namespace[change] = _method
    changed = type("HumanMessage", (HumanMessage,), namespace)
    assert _fingerprint.digest(changed) != _fingerprint.digest(
        type("HumanMessage", (HumanMessage,), {"__module__": HumanMessage.__module__})
    )


def _method(self: Any, *args: Any, **kwargs: Any) -> Any:
    return None


def _post_init(self: Any, context: Any) -> None:
    return None


# --- errors ---


class DataFrame:
    pass


PLACES: dict[str, tuple[Any, str]] = {
    "checkpoint": (
        {"v": 1, "channel_values": {"df": [1, 2, 3, {"meta": DataFrame()}]}},
        "channel `df`, element 3 -> `meta`: DataFrame is not serializable",
    ),
    "channel": ({"channel_values": {"df": DataFrame()}}, "channel `df`: DataFrame is not serializable"),
    "list": ([1, {"meta": DataFrame()}], "element 1 -> `meta`: DataFrame is not serializable"),
    "tuple": ((DataFrame(),), "element 0: DataFrame is not serializable"),
    "self": (DataFrame(), "DataFrame is not serializable"),
    "integer": ({"a": [2**64]}, "`a` -> element 0: Integer exceeds 64-bit range"),
    "key": ({"a": {frozenset(): 1}}, "`a` -> a key of type frozenset: Dict key must a type"),
    "dataclass": ({"a": Listed([DataFrame()])}, "`a` -> `a` -> element 0: DataFrame is not serializable"),
    "nested": (Listed(Listed({"x": DataFrame()})), "`a` -> `a` -> `x`: DataFrame is not serializable"),
    "send": ({"s": Send("n", {"k": DataFrame()})}, "`s` -> element 1 -> `k`: DataFrame is not serializable"),
    "set": ({"s": [{2**64}]}, "`s` -> element 0 -> element 0: Integer exceeds 64-bit range"),
    "message": (
        {"channel_values": {"messages": [HumanMessage("x", additional_kwargs={"k": DataFrame()})]}},
        "channel `messages`, element 0 -> `additional_kwargs` -> `k`: DataFrame is not serializable",
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_refusal_names_the_place(name: str) -> None:
    value, words = PLACES[name]
    with pytest.raises(SerializationError) as caught:
        RUST.dumps_typed(value)
    assert str(caught.value).startswith(words)
    assert isinstance(caught.value, (CheckpointError, TypeError, ormsgpack.MsgpackEncodeError))
    assert isinstance(caught.value, ormsgpack.MsgpackEncodeError)
    assert isinstance(caught.value, CheckpointError)
    assert isinstance(caught.value.__cause__, TypeError)


def test_refusal_survives_pickle_and_long_paths_are_cut() -> None:
    value: Any = DataFrame()
    for _ in range(100):
        value = [value]
    with pytest.raises(SerializationError, match="DataFrame is not serializable") as caught:
        RUST.dumps_typed(value)
    assert len(str(caught.value)) < 300
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# --- user code that runs during encoding and decoding ---


def test_default_that_uses_the_serializer_again() -> None:
    class Nested:
        def model_dump(self) -> Any:
            return {
                "inner": RUST.dumps_typed([HumanMessage("x")])[1],
                "again": RUST.loads_typed(("msgpack", b"\x05")),
            }

    assert RUST.dumps_typed([Nested(), Nested()]) == JsonPlusSerializer().dumps_typed([Nested(), Nested()])


class Reviving:
    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.inner = RUST.loads_typed(RUST.dumps_typed([HumanMessage("x"), {"k": depth}] * 50))
        if depth:
            self.deeper = RUST.loads_typed(
                (
                    "msgpack",
                    ormsgpack.packb(
                        ormsgpack.Ext(0, jsonplus._msgpack_enc((__name__, "Reviving", depth - 1)))
                    ),
                )
            )


def test_revived_object_that_uses_the_serializer_again() -> None:
    blob = ormsgpack.packb([ormsgpack.Ext(0, jsonplus._msgpack_enc((__name__, "Reviving", 5)))] * 2)
    serde = RustSerializer(allowed_msgpack_modules=[Reviving])
    first, second = serde.loads_typed(("msgpack", blob))
    assert first.deeper.deeper.inner[0].content == second.inner[0].content == "x"


def test_container_that_changes_while_it_is_encoded_is_refused_or_written_whole() -> None:
    state: dict[str, Any] = {}

    class Mutator:
        def __init__(self, act: Any) -> None:
            self.act = act

        def model_dump(self) -> Any:
            self.act()
            return {}

    for act in (state.clear, lambda: state.update({str(i): i for i in range(100)})):
        state.clear()
        state.update({"a": Mutator(act), "b": [1] * 10, "c": "x" * 100})
        with pytest.raises(SerializationError, match="changed while"):
            RUST.dumps_typed(state)
    items: list[Any] = []
    items.extend([Mutator(items.clear), [1] * 10, "x" * 100])
    with pytest.raises(SerializationError, match="changed while"):
        RUST.dumps_typed(items)
    growing: list[Any] = []
    growing.extend([Mutator(lambda: growing.extend(["y"] * 1000)), 1])
    typed = RUST.dumps_typed(growing)
    assert len(RUST.loads_typed(typed)) == 2


def test_collector_is_never_seen_off_and_is_left_as_it_was() -> None:
    seen: list[bool] = []

    def hook(code: int, data: bytes) -> Any:
        seen.append(gc.isenabled())
        return None

    typed = RUST.dumps_typed([*[{"a": [i]} for i in range(5000)], uuid.UUID(int=1), HumanMessage("x")])
    RustSerializer(__unpack_ext_hook__=hook).loads_typed(typed)
    assert seen == [True, True]
    assert gc.isenabled()
    RUST.loads_typed(RUST.dumps_typed([HumanMessage("x")] * 1000))
    assert gc.isenabled()
    with pytest.raises(ValueError, match="unexpected end"):
        RUST.loads_typed(("msgpack", typed[1][:-1]))
    assert gc.isenabled()
    gc.disable()
    try:
        RUST.loads_typed(RUST.dumps_typed([HumanMessage("x")] * 1000))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_many_threads() -> None:
    serde = RustSerializer()
    value = {"messages": list(MESSAGES.values()) * 20, "id": uuid.UUID(int=1)}
    expected = serde.dumps_typed(value)
    failures: list[Any] = []

    def work() -> None:
        try:
            for _ in range(20):
                assert serde.dumps_typed(value) == expected
                assert serde.loads_typed(expected) == value
                assert gc.isenabled()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_nothing_leaks() -> None:
    typed = RUST.dumps_typed(STATE)
    value = RUST.loads_typed(typed)
    messages = list(MESSAGES.values())
    for _ in range(3):
        RUST.dumps_typed(messages)
        RUST.loads_typed(RUST.dumps_typed(messages))
        RUST.loads_typed(typed)
    gc.collect()
    before = (
        len(gc.get_objects()),
        sys.getrefcount(messages[0]),
        sys.getrefcount(HumanMessage),
        sys.getrefcount(None),
    )
    for _ in range(200):
        RUST.dumps_typed(messages)
        RUST.loads_typed(RUST.dumps_typed(messages))
        RUST.loads_typed(typed)
        with pytest.raises(TypeError):
            RUST.dumps_typed([messages, DataFrame()])
        with pytest.raises(ValueError):
            RUST.loads_typed(("msgpack", typed[1][:-3]))
    gc.collect()
    after = (
        len(gc.get_objects()),
        sys.getrefcount(messages[0]),
        sys.getrefcount(HumanMessage),
        sys.getrefcount(None),
    )
    assert abs(after[0] - before[0]) < 50
    assert after[1:3] == before[1:3]
    assert sys.version_info >= (3, 12) or abs(after[3] - before[3]) < 200
    assert value


def test_read_instances_are_collected() -> None:
    import weakref

    message = RUST.loads_typed(RUST.dumps_typed(MESSAGES["ai_calls"]))
    message.additional_kwargs["self"] = message
    reference = weakref.ref(message)
    del message
    gc.collect()
    assert reference() is None


def test_constructor_arguments_and_copies() -> None:
    serde = RustSerializer(
        pickle_fallback=True, allowed_json_modules=[("a", "b")], allowed_msgpack_modules=None
    )
    for clone in (copy.copy(serde), copy.copy(copy.copy(serde))):
        assert clone.pickle_fallback
        assert clone.loads_typed(clone.dumps_typed(STATE)) == serde.loads_typed(serde.dumps_typed(STATE))
    assert FAST.loads(b"\x01", None, True) == 1
