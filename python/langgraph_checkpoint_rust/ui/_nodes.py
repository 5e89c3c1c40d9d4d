"""Values as trees of bounded size, for pages that fold them, without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langgraph_checkpoint_rust.inspection import StoredObject, Unreadable, redacted
from langgraph_checkpoint_rust.inspection.rendering import is_secret_name

MOST_NODES = 1500
"""Nodes of one page, of all its values together."""
MOST_ITEMS = 50
"""Items of one list or mapping."""
MOST_TEXT = 20_000
"""Characters of one text."""
MOST_TEXTS = 400_000
"""Characters of one page."""
MOST_DEPTH = 24
SHORT = 160
"""Longer texts are folded."""
_MARGIN = 4096
"""Characters beyond a cut that are looked at too: a secret across it must not be missed."""
_HIDDEN_KEY = "secret"
"""What is below it `redacted` masks."""
_IN_GIST = 4
_EMPTY: tuple[Any, ...] = (None, "", False, [], {}, ())


@dataclass
class Node:
    """A value, as much as is shown of it.

    Attributes:
        label: The key or position in its parent.
        kind: `text`, `number`, `none`, `bytes`, `object`, `list`, `mapping`, or `more` for what is left out.
        text: What is shown of it; of what has children, the line that stands for it.
        gist: What it is about, in short: the content of a message, the first values of a mapping.
        rest: Characters that are left out.
        children: What is in it.
    """

    label: str = ""
    kind: str = "none"
    text: str = ""
    gist: str = ""
    rest: int = 0
    children: list[Node] = field(default_factory=list)

    @property
    def is_long(self) -> bool:
        """Whether the text is to be folded."""
        return len(self.text) > SHORT or "\n" in self.text

    @property
    def line(self) -> str:
        """The beginning of the text, in one line."""
        return shortened(self.text)


def is_secret_object(found: StoredObject) -> bool:
    """Whether an object is of a class whose values are secret, such as pydantic's `SecretStr`."""
    return found.module.startswith("pydantic") and found.name.startswith("Secret")


def shortened(text: str, most: int = SHORT) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(text[: most * 2].split())
    return line if len(line) <= most and len(text) <= most * 2 else f"{line[:most]}…"


class Budget:
    """What a page may still show. What is over the bounds is counted, not copied.

    Args:
        redact: Whether secrets are masked: only in what is shown, so a state of any size costs the same.
        nodes: How many nodes.
        characters: How many characters.
    """

    def __init__(self, *, redact: bool, nodes: int = MOST_NODES, characters: int = MOST_TEXTS) -> None:
        self._redact = redact
        self._nodes = nodes
        self._characters = characters

    def channel(self, name: str, value: Any, start: int = 0) -> Node:
        """Makes the tree of a channel's value, of a list from its item `start` on."""
        return self._node(value, self.text(str(name)), secret=self._hides(name), start=start)

    def value(self, value: Any, *, secret: bool = False) -> Node:
        """Makes the tree of a value without a name, which may be known to be secret."""
        return self._node(value, "", secret=secret and self._redact)

    def text(self, text: str) -> str:
        """A text that is shown as it is, without secrets: a name, a message."""
        return self._text("", "text", text, secret=False).text

    def _hides(self, key: Any) -> bool:
        return self._redact and is_secret_name(key)

    def _node(self, value: Any, label: str, *, secret: bool = False, start: int = 0, depth: int = 0) -> Node:  # noqa: PLR0911 (one for each kind)
        self._nodes -= 1
        match value:
            case None | bool():
                return Node(label, "none", str(value))
            case int() | float():
                return self._text(label, "number", _number(value), secret=secret)
            case str():
                return self._text(label, "text", value, secret=secret)
            case bytes() | bytearray():
                return Node(label, "bytes", f"{len(value):,} bytes")
            case Unreadable():
                known_by = f"only their own serializer reads them ({value.tag})"
                return Node(label, "bytes", f"{len(value.data):,} bytes; {known_by}")
            case _DeltaSnapshot():
                return self._object(StoredObject("", "snapshot", value.value), label, depth, secret=secret)
            case StoredObject():
                return self._object(value, label, depth, secret=secret)
            case Mapping():
                node = Node(label, "mapping", counted(len(value), "key"))
                return self._branch(node, value.items(), len(value), depth, secret=secret)
            case list() | tuple():
                start = min(max(start, 0), len(value))
                items = ((place, value[place]) for place in range(start, len(value)))
                node = Node(label, "list", counted(len(value), "item"))
                return self._branch(node, items, len(value) - start, depth, secret=secret)
        return self._text(label, "text", repr(value), secret=secret)

    def _text(self, label: str, kind: str, text: str, *, secret: bool) -> Node:
        most = max(0, min(MOST_TEXT, self._characters))
        shown = text[: most + _MARGIN]
        if self._redact:
            shown = redacted({_HIDDEN_KEY: shown})[_HIDDEN_KEY] if secret else redacted(shown)
        rest = 0 if secret else max(0, len(text) - max(most, len(text[:most])))
        self._characters -= min(len(shown), most)
        return Node(label, kind, shown[:most], rest=rest)

    def _object(self, found: StoredObject, label: str, depth: int, *, secret: bool) -> Node:
        node = Node(label, "object", found.name)
        secret = secret or (self._redact and is_secret_object(found))
        if not isinstance(found.value, Mapping):
            inner = self._node(found.value, "", secret=secret, depth=depth + 1)
            node.children = inner.children
            node.gist = "" if inner.children else inner.text
            return node
        content = found.value.get("content")
        if isinstance(content, str):
            node.gist = shortened(self._text("", "text", content[: SHORT * 2], secret=secret).text)
        full = {key: item for key, item in found.value.items() if item not in _EMPTY}
        return self._branch(node, full.items(), len(full), depth, secret=secret)

    def _branch(
        self, node: Node, items: Iterable[tuple[Any, Any]], count: int, depth: int, *, secret: bool
    ) -> Node:
        if depth < MOST_DEPTH:
            for key, item in islice(items, MOST_ITEMS):
                if self._nodes <= 0:
                    break
                label = self.text(str(key))
                child = self._node(item, shortened(label), secret=secret or self._hides(key), depth=depth + 1)
                node.children.append(child)
        if not node.gist:
            told = [child for child in node.children[:_IN_GIST] if child.text and not child.children]
            named = node.kind != "list"
            node.gist = ", ".join(f"{child.label}: {child.line}" if named else child.line for child in told)
            node.gist = shortened(node.gist)
        if count > len(node.children):
            rest = counted(count - len(node.children), "more item")
            node.children.append(Node("", "more", f"{rest} not shown here"))
        return node


def _number(value: float) -> str:
    # Python refuses to write integers of more than 4,300 digits.
    if isinstance(value, int) and value.bit_length() > 10_000:  # noqa: PLR2004
        return f"an integer of {value.bit_length():,} bits"
    return str(value)


def counted(number: int, word: str) -> str:
    """A number with its noun, as `1 item` or `2,000 items`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
