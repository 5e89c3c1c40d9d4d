"""Everything else that a state holds: upstream's bytes and objects, value by value and at random."""

# ruff: noqa: DTZ001 - states hold naive datetimes too
# mypy: disable-error-code="call-arg, arg-type"

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import ipaddress
import math
import os
import pathlib
import re
import struct
import uuid
import zoneinfo
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, NamedTuple

import numpy as np
import ormsgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send
from pydantic import BaseModel, ConfigDict, SecretStr
from serde_support import BAD_CALL, CALL, MESSAGES, RUST, UPSTREAM, check, check_dumps, check_loads, pack

EXAMPLES = int(os.environ.get("SERDE_EXAMPLES", "400"))
thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Point(NamedTuple):
    x: int
    y: Any


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, "a")


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Mode(str, enum.Enum):
    FAST = "fast"


class Level(enum.IntEnum):
    LOW = 1


class Flags(enum.IntFlag):
    A = 1
    B = 2


class OwnMeta(enum.EnumMeta):
    pass


class OwnEnum(str, enum.Enum, metaclass=OwnMeta):
    A = "a"


class OwnPlainEnum(enum.Enum, metaclass=OwnMeta):
    A = "a"


class OwnList(list):  # type: ignore[type-arg]
    pass


class OwnDict(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise RuntimeError

    def __iter__(self) -> Any:
        raise RuntimeError

    def __len__(self) -> int:
        return 77


class OwnTuple(tuple):  # type: ignore[type-arg]
    __slots__ = ()


class OwnFloat(float):
    pass


class OwnBytes(bytes):
    pass


class OwnByteArray(bytearray):
    pass


@dataclasses.dataclass
class Data:
    a: int
    b: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    a: Any


class State(BaseModel):
    messages: list[Any] = []
    n: int = 0


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 1


class Opaque:
    pass


class Old:
    """Looks like a pydantic 1 model."""

    def dict(self) -> Any:
        return {"a": HumanMessage("x")}


def moved() -> Any:
    ordered = collections.OrderedDict(a=1, b=2, c=3)
    ordered.move_to_end("a")
    return ordered


VALUES: dict[str, Any] = {
    "none": None,
    "bytes": b"x",
    "bytearray": bytearray(b"x"),
    "bytes_subclass": OwnBytes(b"x"),
    "inner_bytes": [b"", bytearray(b"ab"), OwnByteArray(b"c")],
    "ints": [0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1],
    "negative": [-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)],
    "floats": [
        0.0,
        -0.0,
        1.5,
        math.inf,
        -math.inf,
        math.nan,
        struct.unpack(">d", b"\xff\xf8\0\0\0\0\0\x01")[0],
        5e-324,
    ],
    "bools": [True, False, None],
    "strings": ["", "a" * 31, "a" * 32, "ü" * 127, "a" * 255, "a" * 256, "🙂" * 20000, "a\0b"],
    "surrogates": ["a\ud800b", "\ud83d\ude00", "\udcff", Text("\ud800")],
    "subclasses": [Text("x"), Number(5), OwnList([1]), OwnDict(a=1), moved(), collections.Counter("aab")],
    "defaultdict": collections.defaultdict(list, a=[1]),
    "tuple_subclass": OwnTuple((1,)),
    "float_subclass": OwnFloat(1.5),
    "bytes_subclass_inner": [OwnBytes(b"x")],
    "enums": [Color.RED, Color.PAIR, Mode.FAST, Level.LOW, Flags.A | Flags.B, OwnEnum.A],
    "own_enum": [OwnPlainEnum.A],
    "lists": [list(range(n)) for n in (0, 15, 16, 300)],
    "long": list(range(70000)),
    "dicts": [{str(i): i for i in range(n)} for n in (0, 15, 16, 300)],
    "long_dict": dict.fromkeys(range(66000)),
    "tuples": [(), (1,), tuple(range(16)), ((1, (2,)),)],
    "uuid": uuid.UUID(int=7),
    "decimal": [decimal.Decimal("1.50"), decimal.Decimal("NaN"), decimal.Decimal("-Infinity")],
    "sets": [{1}, frozenset({"a"}), set(), {(1, 2)}],
    "deque": collections.deque([1, HumanMessage("x")], maxlen=5),
    "datetimes": [
        datetime(2024, 1, 2, 3, 4, 5, 6),
        datetime(2024, 1, 2, tzinfo=timezone.utc),
        datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2024, 7, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1),
    ],
    "times": [
        date(2024, 1, 2),
        time(1, 2, 3, 4),
        time(1, tzinfo=timezone.utc),
        timedelta(days=-1, microseconds=5),
    ],
    "zones": [timezone.utc, timezone(timedelta(hours=1), "X"), zoneinfo.ZoneInfo("UTC")],
    "paths": [pathlib.Path("/a/b.txt"), pathlib.PurePosixPath("a")],
    "pattern": re.compile("a+", re.IGNORECASE),
    "byte_pattern": [re.compile(b"a")],
    "addresses": [
        ipaddress.ip_address("1.2.3.4"),
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_interface("10.0.0.1/8"),
        ipaddress.ip_address("::1"),
        ipaddress.ip_network("::/64"),
        ipaddress.ip_interface("::1/64"),
    ],
    "secret": SecretStr("s"),
    "namedtuple": Point(1, HumanMessage("x")),
    "delta": _DeltaSnapshot([HumanMessage("x")]),
    "dataclass": Data(1, [HumanMessage("x"), Data(2)]),
    "slotted": Slotted({"m": AIMessage("x")}),
    "model": State(messages=[HumanMessage("x"), {"a": 1}], n=2),
    "loose": Loose(a=1, b=HumanMessage("x")),
    "old_model": Old(),
    "send": Send("node", {"messages": [HumanMessage("x"), AIMessage("y", tool_calls=[CALL])]}),
    "interrupt": Interrupt(value={"q": HumanMessage("x")}, id="i"),
    "command": Command(
        update={"messages": [ToolMessage("x", tool_call_id="1")]}, goto=[Send("a", 1), "b"], resume=1
    ),
    "overwrite": Overwrite([HumanMessage("x")]),
    "item": Item(
        namespace=("a",),
        key="k",
        value={"x": 1},
        created_at=datetime(2024, 1, 1),
        updated_at=datetime(2024, 1, 1),
    ),
    "exception": ValueError("boom"),
    "exceptions": [ValueError("boom"), KeyError(HumanMessage("x"))],
    "array": np.arange(12).reshape(3, 4),
    "arrays": [
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(12)[::2],
        np.zeros((0, 3)),
        np.array(5),
        np.array(["a", "bc"]),
        np.array([1 + 2j]),
        np.arange(1000, dtype=np.float32),
        np.zeros((2, 2, 2))[:, ::-1],
    ],
    "object_array": np.array([1, "a", None], dtype=object),
    "scalars": [np.str_("x")],
    "scalar": np.float64(1.5),
    "integer_scalar": [np.int64(1)],
    "views": [memoryview(b"xyz"), memoryview(b"abc")[1:], memoryview(np.arange(4))],
    "bad_view": [memoryview(b"xyz")[::2]],
    "ext": [ormsgpack.Ext(0, pack(("uuid", "UUID", "0" * 32))), ormsgpack.Ext(100, b"x")],
    "fragment": [ormsgpack.Fragment(b"\x01")],
    "keys": {1: 1, None: 2, 1.5: 3, b"k": 4, "s": 5, (1, "a", (None,)): 6, -5: 7, 2**63: 8},
    "nan_key": {math.nan: 1},
    "odd_keys": {
        Text("t"): 1,
        Number(9): 2,
        Mode.FAST: 3,
        Level.LOW: 4,
        Color.PAIR: 5,
        Color.RED: 6,
        OwnEnum.A: 7,
    },
    "time_keys": {
        datetime(2020, 1, 1): 1,
        date(2020, 1, 1): 2,
        time(1): 3,
        uuid.UUID(int=5): 4,
        (date(2020, 1, 2),): 5,
    },
    "view_key": {memoryview(b"x"): 1},
    "scalar_key": {np.str_("a"): 1},
    "opaque": Opaque(),
    "function": print,
    "class": int,
    "complex": 1j,
    "range": range(3),
    "messages": list(MESSAGES.values()),
    "mixed": {"messages": list(MESSAGES.values()), "when": datetime(2024, 1, 1), "ids": {uuid.UUID(int=1)}},
}

REFUSED_KEYS: dict[str, Any] = {
    "float_subclass": OwnFloat(1.0),
    "bytes_subclass": OwnBytes(b"x"),
    "tuple_subclass": OwnTuple((1,)),
    "namedtuple": Point(1, 2),
    "frozenset": frozenset(),
    "too_big": 2**64,
    "too_small": -(2**63) - 1,
    "surrogate": "\ud800",
    "surrogate_in_tuple": ("\ud800",),
    "opaque": Opaque(),
    "class": int,
    "numpy": np.int64(1),
    "decimal": decimal.Decimal(1),
    "own_enum": OwnPlainEnum.A,
    "frozen": Slotted(1),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_value(name: str) -> None:
    value = VALUES[name]
    check(value)
    check([value])
    check({"k": {"v": value}})


@pytest.mark.parametrize("name", REFUSED_KEYS)
def test_key(name: str) -> None:
    key = REFUSED_KEYS[name]
    check({key: 1})
    check([[{"a": {key: 1}}]])


@pytest.mark.parametrize("value", [{"a": [Opaque()]}, [2**64], {"x": {frozenset(): 1}}])
def test_refusal_falls_back_to_pickle_like_upstream(value: Any) -> None:
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    from langgraph_checkpoint_rust.serde import RustSerializer

    theirs, ours = JsonPlusSerializer(pickle_fallback=True), RustSerializer(pickle_fallback=True)
    typed = ours.dumps_typed(value)
    assert typed[0] == "pickle"
    assert typed == theirs.dumps_typed(value)
    ours.loads_typed(typed)
    with pytest.raises(NotImplementedError):
        RUST.loads_typed(typed)


def wrap(value: Any, levels: int, kind: str) -> Any:
    for _ in range(levels):
        value = [value] if kind == "list" else (value,) if kind == "tuple" else {"k": value}
    return value


def long_key(levels: int) -> Any:
    key: Any = (1,)
    for _ in range(levels):
        key = (key,)
    return key


LEAVES: dict[str, Any] = {
    "int": 1,
    "text": "x",
    "list": [],
    "list_of_one": [1],
    "dict": {},
    "uuid": uuid.UUID(int=1),
    "set": {1},
    "message": HumanMessage("x"),
    "send": Send("a", [1]),
    "error": ValueError("x"),
    "ext": ormsgpack.Ext(100, b""),
    "bytearray": bytearray(b"x"),
    "tuple_key": {(1,): 1},
    "empty_tuple_key": {(): 1},
    "nested_key": {((1,),): 1},
    "enum_key": {Mode.FAST: 1},
    "pair_enum_key": {Color.PAIR: 1},
    "subclass_key": {Text("a"): 1},
}


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
@pytest.mark.parametrize("leaf", LEAVES)
def test_depth_limit_of_dumps(leaf: str, kind: str) -> None:
    for levels in (0, 1, 100, 250, 251, 252, 253, 254, 255, 256, 257, 400):
        check_dumps(wrap(LEAVES[leaf], levels, kind))


def test_depth_limit_of_keys_and_objects() -> None:
    for levels in (0, 5, 251, 252, 253, 254, 255, 256):
        check_dumps({long_key(levels): 1})
    for levels in (1, 50, 200):
        value: Any = 1
        for _ in range(levels):
            value = Data(1, value)
        check_dumps(value)


def test_cycles_are_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert check_dumps(loop) is None
    ring: dict[str, Any] = {}
    ring["a"] = [ring]
    assert check_dumps(ring) is None
    data = Data(1)
    data.b = [data]
    assert check_dumps(data) is None


BLOBS: dict[str, bytes] = {
    "empty": b"",
    "reserved": b"\xc1",
    "trailing": b"\x01\x02",
    "short_array": b"\x92\x01",
    "short_text": b"\xa5ab",
    "long_text": b"\xdb\xff\xff\xff\xffab",
    "long_bin": b"\xc6\xff\xff\xff\xffab",
    "long_array": b"\xdd\xff\xff\xff\xff\x01",
    "long_map": b"\xdf\xff\xff\xff\xff\x01\x01",
    "long_ext": b"\xc9\xff\xff\xff\xff\x05ab",
    "not_utf8": b"\xa2\xff\xfe",
    "encoded_surrogate": b"\xa3\xed\xa0\x80",
    "not_utf8_key": b"\x81\xa1\xff\x01",
    "float32": b"\xca\x3f\x80\x00\x00",
    "float32_nan": b"\xca\x7f\xc0\x00\x01",
    "float64_nan": b"\xcb\xff\xf8\x00\x00\x00\x00\x00\x01",
    "wide_ints": b"\x94\xcf\x00\x00\x00\x00\x00\x00\x00\x01\xd3\x00\x00\x00\x00\x00\x00\x00\x01\xcd\x00\x01\xd1\x00\x01",
    "wide_text": b"\xdb\x00\x00\x00\x01a",
    "wide_array": b"\xdd\x00\x00\x00\x01\x01",
    "array_key": b"\x81\x92\x01\x92\x02\x03\x01",
    "map_key": b"\x81\x80\x01",
    "map_in_key": b"\x81\x91\x80\x01",
    "bin_key": b"\x81\xc4\x01a\x01",
    "nil_key": b"\x81\xc0\x01",
    "float_keys": b"\x82\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\x01\xca\x3f\x80\x00\x00\x02",
    "equal_keys": b"\x83\xc3\x01\x01\x02\xca\x3f\x80\x00\x00\x03",
    "repeated_key": b"\x82\xa1a\x01\xa1a\x02",
    "ext_key": b"\x81\xd4\x05a\x01",
    "ext_in_key": b"\x81\x91\xd4\x05a\x01",
    "unknown_ext": b"\xd4\x64a",
    "negative_ext": b"\xd6\xff\x00\x00\x00\x01",
    "empty_ext": b"\xc7\x00\x05",
    **{f"bad_ext_{code}": b"\xd4" + bytes([code]) + b"\xc1" for code in range(8)},
    **{
        f"odd_ext_{code}": ormsgpack.packb(ormsgpack.Ext(code, b"\x93\xa1a\xa1b\x81\xa1k\x01"))
        for code in range(8)
    },
    **{f"int_ext_{code}": ormsgpack.packb(ormsgpack.Ext(code, b"\x05")) for code in range(8)},
    "missing_class": ormsgpack.packb(ormsgpack.Ext(2, pack(("collections", "Nothing", {"a": 1})))),
    "failing_class": ormsgpack.packb(ormsgpack.Ext(0, pack(("uuid", "UUID", "nonsense")))),
    "bad_method": ormsgpack.packb(ormsgpack.Ext(3, pack(("os", "path", "x", "exists")))),
}


@pytest.mark.parametrize("name", BLOBS)
def test_blob(name: str) -> None:
    for blob in (BLOBS[name], b"\x91" + BLOBS[name], b"\x81\xa1k" + BLOBS[name]):
        check_loads(("msgpack", blob))


@pytest.mark.parametrize("head", [b"\x91", b"\x81\xa1a", b"\x81\x01"])
def test_depth_limit_of_loads(head: bytes) -> None:
    for levels in (1, 500, 1020, 1021, 1022, 1023, 1024, 5000):
        for leaf in (b"\x01", b"\x90", b"\xa1a", b"\x80"):
            check_loads(("msgpack", head * levels + leaf))
    for levels in (1020, 1021, 1022, 1023):
        check_loads(("msgpack", b"\x81" + b"\x91" * levels + b"\x01\x01"))


@pytest.mark.parametrize(
    "blob", [bytearray(b"\x01"), memoryview(b"\x01"), OwnBytes(b"\x01"), "text", None, 5]
)
def test_blob_of_another_type(blob: Any) -> None:
    check_loads(("msgpack", blob))


@pytest.mark.parametrize("kind", ["null", "bytes", "bytearray", "json", "pickle", "odd"])
def test_other_type_tags_are_upstreams(kind: str) -> None:
    check_loads((kind, b'{"lc": 2, "type": "constructor", "id": ["uuid", "UUID"], "args": ["0"]}'))


# --- at random ---

text = st.text(max_size=40)
any_text = st.text(st.characters(), max_size=12)  # with surrogates
integers = st.integers(-(2**64) - 1, 2**65) | st.integers(-300, 300)
scalars = st.one_of(st.none(), st.booleans(), integers, st.floats(), text, any_text, st.binary(max_size=20))
keys = st.one_of(
    text,
    text,
    text,
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.booleans(),
    st.none(),
    st.binary(max_size=5),
    st.tuples(st.integers(-5, 5), text),
    st.uuids(),
    st.dates(),
    st.datetimes(),
    st.sampled_from([*Color, *Mode, *Level]),
)
extensions = st.one_of(
    st.uuids(),
    st.decimals(),
    st.datetimes(timezones=st.none() | st.just(timezone.utc)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.sets(st.integers() | text, max_size=3),
    st.frozensets(text, max_size=3),
    st.sampled_from([*Color, *Mode, *Level, OwnEnum.A]),
    st.ip_addresses(),
    st.builds(pathlib.PurePosixPath, st.just("a/b")),
    st.builds(pathlib.Path, st.sampled_from(["a", "/b/c"])),
    st.builds(lambda n: np.arange(n, dtype=np.int16), st.integers(0, 5)),
    st.builds(bytearray, st.binary(max_size=5)),
    st.builds(Text, text),
    st.builds(Number, st.integers(-5, 5)),
    st.builds(ValueError, text),
)
plain_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), text, any_text
)
plain = st.recursive(
    plain_scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(text, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=2)
    ),
    max_leaves=10,
)
calls = st.fixed_dictionaries(
    {"name": text, "args": st.dictionaries(text, plain, max_size=3), "id": st.none() | text},
    optional={"type": st.sampled_from(["tool_call", "tool_call", "other"]), "extras": st.just({"a": 1})},
)
details = st.dictionaries(
    st.sampled_from(["audio", "cache_creation", "cache_read", "reasoning", "other"]),
    st.integers(0, 9),
    max_size=3,
)
usage = st.fixed_dictionaries(
    {
        "input_tokens": st.integers(0, 2**40),
        "output_tokens": st.integers(0, 9),
        "total_tokens": st.integers(0, 9),
    },
    optional={"input_token_details": details, "output_token_details": details},
)
blocks = st.lists(
    st.one_of(
        text,
        st.fixed_dictionaries({"type": st.just("text"), "text": text}, optional={"annotations": plain}),
        st.fixed_dictionaries({"type": st.just("image"), "base64": text, "mime_type": st.just("image/png")}),
        st.dictionaries(text, plain, max_size=3),
    ),
    max_size=3,
)
content = st.one_of(text, any_text, blocks)
kwargs = st.dictionaries(text | st.just("tool_calls"), plain, max_size=3)
common = {
    "content": content,
    "additional_kwargs": kwargs,
    "response_metadata": kwargs,
    "id": st.none() | text | st.integers(0, 9),
    "name": st.none() | text,
}


def valid(cls: Any, **fields: Any) -> st.SearchStrategy[Any]:
    def build(**values: Any) -> Any:
        try:
            return cls(**values)
        except Exception:
            return cls.model_construct(**{**cls.model_construct().__dict__, **values})

    return st.builds(build, **fields)


messages = st.one_of(
    valid(HumanMessage, **common),
    valid(SystemMessage, **common),
    valid(
        AIMessage,
        **common,
        tool_calls=st.lists(calls, max_size=2),
        invalid_tool_calls=st.lists(st.just(BAD_CALL), max_size=1),
        usage_metadata=st.none() | usage,
    ),
    valid(
        ToolMessage,
        **common,
        tool_call_id=text | st.integers(0, 5),
        artifact=plain,
        status=st.sampled_from(["success", "error"]),
    ),
    valid(Document, page_content=text, metadata=kwargs, id=st.none() | text),
    st.sampled_from(list(MESSAGES.values())),
)
values = st.recursive(
    scalars | extensions | messages,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.tuples(inner, inner),
        st.dictionaries(keys, inner, max_size=5),
        st.builds(Data, st.integers(0, 5), inner),
        st.builds(Point, st.integers(0, 5), inner),
        st.builds(Slotted, inner),
        st.builds(Send, text, inner),
        st.builds(Interrupt, value=inner, id=text),
        st.builds(lambda update: Command(update=update), inner),
        st.builds(lambda value: State.model_construct(messages=[value], n=1), inner),
        st.builds(_DeltaSnapshot, inner),
        st.builds(collections.deque, st.lists(inner, max_size=3)),
    ),
    max_leaves=25,
)


@thorough
@given(plain)
def test_any_plain_value(value: Any) -> None:
    check(value)


@thorough
@given(messages)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_message(message: Any) -> None:
    check(message)


@thorough
@given(values)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_value(value: Any) -> None:
    check(value)


@thorough
@given(
    st.sampled_from([HumanMessage, AIMessage, ToolMessage, Document]),
    st.dictionaries(
        st.sampled_from(
            [
                "content",
                "additional_kwargs",
                "response_metadata",
                "type",
                "name",
                "id",
                "tool_calls",
                "invalid_tool_calls",
                "usage_metadata",
                "tool_call_id",
                "artifact",
                "status",
                "extra",
                "page_content",
                "metadata",
            ]
        ),
        st.one_of(plain, text, usage, st.lists(calls, max_size=2), blocks, kwargs),
        max_size=4,
    ),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_stored_fields(cls: Any, changes: Any) -> None:
    from serde_support import stored_message

    base = {type(m): m for m in MESSAGES.values()}[cls].model_dump()
    check_loads(stored_message(cls, {**base, **changes}))


@thorough
@given(st.binary(max_size=60))
def test_any_bytes(blob: bytes) -> None:
    check_loads(("msgpack", blob))


def test_both_serializers_are_the_real_ones() -> None:
    assert type(UPSTREAM).__module__.startswith("langgraph.")
    assert type(RUST).__module__.startswith("langgraph_checkpoint_rust.")
