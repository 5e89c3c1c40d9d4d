"""Hostile and damaged blobs: upstream's outcome, no crash, no panic, bounded memory."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import Any

import ormsgpack
import pytest
from langgraph.checkpoint.serde import jsonplus
from serde_support import FAST, MESSAGES, RUST, outcome, same

from langgraph_checkpoint_rust._upstream import binding

ROUNDS = int(os.environ.get("SERDE_FUZZ", "6000"))

SEEDS = [
    RUST.dumps_typed(value)[1]
    for value in (
        list(MESSAGES.values()),
        *MESSAGES.values(),
        {"a": [1, -1, 2.5, None, True, b"x", "text"], "b": {"c": {(1, 2): 3}}, "n": [2**40, -(2**40)]},
        [{"k": list(range(200))}, "x" * 300, b"y" * 300],
    )
]


def mutated(source: random.Random, blob: bytes) -> bytes:
    data = bytearray(blob)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(data))
        match source.randrange(6):
            case 0:
                data[at] = source.randrange(256)
            case 1:
                data[at] ^= 1 << source.randrange(8)
            case 2:
                del data[at : at + source.randint(1, 8)]
            case 3:
                data[at:at] = source.randbytes(source.randint(1, 8))
            case 4:
                data[at] = source.choice(b"\xc1\xc7\xc9\xd4\xd9\xdb\xdc\xdd\xde\xdf\x90\x80\xa0\xc0")
            case _:
                other = source.choice(SEEDS)
                start = source.randrange(len(other))
                data[at:at] = other[start : start + source.randint(1, 60)]
        if not data:
            data = bytearray(b"\x90")
    return bytes(data)


def harmless(code: int, data: bytes) -> Any:
    """Extensions as data: the mutations must not choose which code runs."""
    return (code, data)


@pytest.mark.parametrize("round_", range(4))
def test_mutated_blobs_decode_as_with_ormsgpack(round_: int) -> None:
    source = random.Random(round_)
    for _ in range(ROUNDS // 4):
        blob = mutated(source, source.choice(SEEDS))
        expected = outcome(
            lambda b=blob: ormsgpack.unpackb(b, ext_hook=harmless, option=ormsgpack.OPT_NON_STR_KEYS)
        )
        got = outcome(FAST.loads, blob, harmless, False)
        assert expected[0] == got[0], (blob, expected, got)
        if expected[0] == "error":
            assert isinstance(got[1], ValueError)
        else:
            assert same(expected[1], got[1]), blob


@pytest.mark.parametrize("round_", range(4))
@pytest.mark.filterwarnings("ignore")
def test_mutated_messages_decode_as_with_upstreams_hook(round_: int) -> None:
    source = random.Random(1000 + round_)
    strict = jsonplus._create_msgpack_ext_hook(None)
    bound = binding()
    assert bound is not None
    rebound = bound.rebind(strict)
    for _ in range(ROUNDS // 4):
        payload = ormsgpack.unpackb(source.choice(SEEDS[1:-2]), ext_hook=lambda code, data: data)
        blob = ormsgpack.packb(ormsgpack.Ext(5, mutated(source, payload)))
        expected = outcome(
            lambda b=blob: ormsgpack.unpackb(b, ext_hook=strict, option=ormsgpack.OPT_NON_STR_KEYS)
        )
        got = outcome(bound.codec.loads, blob, rebound, True)
        assert expected[0] == got[0], (blob, expected, got)
        if expected[0] == "value":
            assert same(expected[1], got[1]), blob


LIMITED = """
import resource, sys, random
sys.path.insert(0, {tests!r})
import ormsgpack
from langgraph_checkpoint_rust.serde import RustSerializer
serde = RustSerializer(allowed_msgpack_modules=None)
serde.loads_typed(serde.dumps_typed([1, {{"a": 1.5}}]))
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
before = peak()
{body}
grown = peak() - before
assert grown < {limit}, grown
"""

# 1 MB each. An empty container costs CPython 56-64 bytes, so a blob of nothing else is the worst case that
# any decoder has: its bound is that, everything else stays below 64 MB.
HOSTILE: dict[str, tuple[str, int]] = {
    "claimed_array": (r"blob = b'\xdd\xff\xff\xff\xff' + b'\x01' * 1_000_000", 64),
    "claimed_map": (r"blob = b'\xdf\xff\xff\xff\xff' + b'\x01' * 1_000_000", 64),
    "claimed_arrays": (r"blob = b'\xdd\x00\x0f\x00\x00' * 200_000", 64),
    "claimed_texts": (r"blob = b'\xdc\xff\xff' + b'\xdb\xff\xff\xff\xff' * 200_000", 64),
    "claimed_exts": (r"blob = b'\xdc\xff\xff' + b'\xc9\xff\xff\xff\xff\x05' * 160_000", 64),
    "nested_arrays": (r"blob = b'\x91' * 1_000_000", 64),
    "nested_keys": (r"blob = b'\x81' + b'\x91' * 1_000_000", 64),
    "short_texts": (r"blob = b'\xdd\x00\x05\x00\x00' + b'\xa2ab' * 0x50000", 64),
    "distinct_texts": (
        r"blob = b'\xdd' + (240_000).to_bytes(4, 'big') + b''.join(b'\xa3' + i.to_bytes(3, 'big').replace(b'\x80', b'a').translate(bytes(b & 0x7f for b in range(256))) for i in range(240_000))",
        64,
    ),
    "floats": (r"blob = b'\xdd' + (110_000).to_bytes(4, 'big') + (b'\xcb' + bytes(range(8))) * 110_000", 64),
    "wide_map": (
        r"blob = b'\xdf' + (160_000).to_bytes(4, 'big') + b''.join(b'\xce' + i.to_bytes(4, 'big') + b'\x01' for i in range(160_000))",
        64,
    ),
    "empty_arrays": (r"blob = b'\xdd' + (1_000_000).to_bytes(4, 'big') + b'\x90' * 1_000_000", 90),
    "empty_maps": (r"blob = b'\xdd' + (1_000_000).to_bytes(4, 'big') + b'\x80' * 1_000_000", 90),
    "exts_in_exts": (
        r"""
blob = b'\x01'
while len(blob) < 1_000_000:
    inner = b'\x93\xa1a\xa1b' + b'\x91' * 900 + blob
    blob = ormsgpack.packb(ormsgpack.Ext(0, inner))
    if len(blob) > 300_000: break
""",
        64,
    ),
    "models_in_models": (
        r"""
head = b'\x94\xbelangchain_core.messages.human\xacHumanMessage'
blob = b'\x01'
for _ in range(600):
    blob = ormsgpack.packb(ormsgpack.Ext(5, head + b'\x81\xa7content' + b'\x91' * 30 + blob + b'\xa1m'))
""",
        64,
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_blob_of_one_megabyte_takes_bounded_memory(name: str) -> None:
    body, megabytes = HOSTILE[name]
    program = LIMITED.format(
        tests=os.path.dirname(__file__),
        body=body + "\ntry:\n    result = serde.loads_typed(('msgpack', blob))\nexcept ValueError:\n    pass",
        limit=megabytes * 1024 * 1024,
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_objects_nested_through_python_end_before_the_stack_does() -> None:
    program = (
        "import sys, threading\n"
        "from dataclasses import dataclass\n"
        "from typing import Any\n"
        "from langgraph_checkpoint_rust.serde import RustSerializer\n"
        "@dataclass\n"
        "class Data:\n"
        "    a: Any\n"
        "def wrap(value, levels):\n"
        "    for _ in range(levels): value = [value]\n"
        "    return value\n"
        "value = 1\n"
        "for _ in range(900): value = Data(wrap(value, 200))\n"
        "def work():\n"
        "    try: RustSerializer().dumps_typed(value)\n"
        "    except TypeError: pass\n"
        "threading.stack_size(8 * 1024 * 1024)\n"
        "sys.setrecursionlimit(100_000)\n"
        "thread = threading.Thread(target=work)\n"
        "thread.start(); thread.join(); work()\n"
        "print('alive')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "alive", done.stderr[-2000:]
