"""A reader of compact files, written from docs/format.md and from nothing else: it shares no code with the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import xxhash
import zstandard
from blake3 import blake3

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

VERSION = 1
_LEAF, _NODE, _COMPRESSED_LEAF = 0, 1, 2
_INLINE, _LEAVES, _NODES, _BODY = 0, 1, 2, 3
_NULL = 2**64 - 1


class DamagedError(Exception):
    """A check failed."""


def _require(holds: object, what: str) -> None:
    if not holds:
        raise DamagedError(what)


class _Bytes:
    """What is left to be read."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        _require(len(taken) == count, "the recipe ends early")
        self._at += count
        return taken

    def number(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


class _References:
    """Ids, each told by its difference from the one before."""

    def __init__(self) -> None:
        self._last = 0

    def read(self, data: _Bytes, count: int) -> Iterator[int]:
        for _ in range(count):
            zigzag = data.number()
            self._last += zigzag >> 1 if zigzag & 1 == 0 else -((zigzag + 1) >> 1)
            yield self._last


class _Chunk(NamedTuple):
    kind: int
    hash: bytes
    data: bytes


class Reader:
    """Reads the values of one file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        meta = dict(connection.execute("SELECT key, value FROM checkpoint_meta"))
        _require(int(meta["min_reader"]) <= VERSION, "a later version is needed")

    def checkpoints(self) -> Iterator[tuple[tuple[str, ...], str, bytes]]:
        """Of each checkpoint its key, and the tag and bytes that the interop format would hold."""
        select = (
            "SELECT thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, parent_checkpoint_id, metadata"
        )
        for *key, tag, data, parent, metadata in self._connection.execute(f"{select} FROM checkpoints"):
            place = [_head(b"c", 0), *map(_field, [*key, parent, metadata])]
            yield (tuple(key), *self._value(tag, data, place))

    def writes(self) -> Iterator[tuple[tuple[Any, ...], str, bytes]]:
        """The same of each write."""
        select = (
            "SELECT thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, channel, idx, type, value"
        )
        for *key, index, tag, data in self._connection.execute(f"{select} FROM writes"):
            place = [_head(b"w", 0), *map(_field, key), index.to_bytes(8, "little", signed=True)]
            yield ((*key, index), *self._value(tag, data, place))

    def _value(self, tag: str, data: bytes, place: Iterable[bytes]) -> tuple[str, bytes]:
        if tag != "chunked":
            return tag, data
        recipe = _Bytes(data)
        version, flags = recipe.take(2)
        _require(version <= VERSION, "a later version of recipes")
        seal = recipe.take(8)
        thread_no = recipe.number()
        tag = recipe.take(recipe.number()).decode()
        length, inline_length = recipe.number(), recipe.number()
        if flags & 1:
            inline = zstandard.decompress(recipe.take(recipe.number()), max_output_size=inline_length)
        else:
            inline = recipe.take(inline_length)
        _require(len(inline) == inline_length, "inline bytes are missing")
        value, sealed = self._assembled(recipe, _Bytes(inline), inline, thread_no)
        _require(len(value) == length, "the value is of another length")
        digest = blake3(b"".join([_field(tag), *sealed, *place]), key=_key("seal")).digest()
        _require(digest[:8] == seal, "the seal is of another value or place")
        return tag, value

    def _assembled(
        self, recipe: _Bytes, inline: _Bytes, whole: bytes, thread_no: int
    ) -> tuple[bytes, list[bytes]]:
        """The value, and what of it is sealed."""
        if not recipe:
            return whole, [_head(b"i", len(whole)) + whole] if whole else []
        parts: list[bytes] = []
        sealed: list[bytes] = []
        references = _References()
        while recipe:
            op = recipe.number()
            kind, count = op & 3, op >> 2
            if kind == _INLINE:
                parts.append(inline.take(count))
                sealed.append(_head(b"i", count) + parts[-1])
            elif kind == _BODY:
                sealed.append(_head(b"b", count))
            else:
                for chunk_id in references.read(recipe, count):
                    chunk = self._chunk(chunk_id, thread_no)
                    sealed.append(_head(b"l" if kind == _LEAVES else b"n", 16) + chunk.hash)
                    _require((chunk.kind == _NODE) == (kind == _NODES), "a chunk of another kind")
                    parts += [chunk.data] if kind == _LEAVES else self._leaves(chunk, thread_no)
        _require(not inline, "inline bytes are left")
        return b"".join(parts), sealed

    def _leaves(self, node: _Chunk, thread_no: int) -> list[bytes]:
        data = _Bytes(node.data)
        references, leaves = _References(), []
        while data:
            leaves += [self._chunk(chunk_id, thread_no) for chunk_id in references.read(data, 1)]
        hashes = b"".join(leaf.hash for leaf in leaves)
        _require(blake3(hashes, key=_key("node")).digest()[:16] == node.hash, "a node of other leaves")
        return [leaf.data for leaf in leaves]

    def _chunk(self, chunk_id: int, thread_no: int) -> _Chunk:
        select = "SELECT thread_no, kind, hash, checksum, data FROM checkpoint_chunks WHERE id = ?"
        found = self._connection.execute(select, [chunk_id]).fetchone()
        _require(found is not None, "a chunk is missing")
        owner, kind, hash_, checksum, data = found
        _require(owner == thread_no, "a chunk of another thread")
        seed = int.from_bytes(hash_[:8], "little") ^ kind
        _require(xxhash.xxh3_64_intdigest(data, seed) == checksum % 2**64, "a chunk with another checksum")
        if kind == _COMPRESSED_LEAF:
            data = zstandard.decompress(data, max_output_size=16 * 1024)
        if kind != _NODE:
            _require(blake3(data).digest()[:16] == hash_, "a leaf with another hash")
        return _Chunk(kind, hash_, data)


def _head(letter: bytes, length: int) -> bytes:
    return letter + length.to_bytes(8, "little")


def _field(value: str | bytes | None) -> bytes:
    if value is None:
        return _head(b"f", _NULL)
    data = value.encode() if isinstance(value, str) else value
    return _head(b"f", len(data)) + data


def _key(name: str) -> bytes:
    return f"langgraph-checkpoint-rust {name} 1".encode()
