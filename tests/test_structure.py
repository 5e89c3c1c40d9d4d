"""The rooms of the source tree: what may be named where.

The checker is run on the real tree, on which it must find files and nothing wrong, and on small
trees with one planted fault each, in which it must find that fault.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import NEEDS_SORTED_WRITES

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

ROOT = Path(__file__).resolve().parents[1]

MOST_LINES = 600
LONGER: dict[str, int] = {}

PARTS = {
    "acquire_lease",
    "chunked_threads",
    "convert",
    "count_rows",
    "finish_deletions",
    "format",
    "garbage",
    "integrity",
    "pending_sends",
    "read_notes",
    "read_thread",
    "rebuild",
    "release_lease",
    "remove",
    "set_term",
    "salvage",
    "scrub",
    "select",
    "storage",
    "survey",
    "sweep",
    "thread_ids",
    "vacuum",
    "write_notes",
    "write_thread",
}
"""Verbs of the native half that are a part of what users call: `list`, `prune`, `verify`, `import_thread`, ..."""

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |r(?P<hashes>\#*)"(?P<raw>.*?)"(?P=hashes)
    |"(?P<text>(?:\\.|[^"\\])*)"
    |(?P<char>'(?:\\[^']+|[^'\\])')""",
    re.DOTALL | re.VERBOSE,
)
STATEMENT = re.compile(
    r"^\s*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|CREATE|ALTER|DROP|PRAGMA|SAVEPOINT|RELEASE|ATTACH|DETACH"
    r"|EXPLAIN)\s+\S"
    r"|^\s*(?:BEGIN|COMMIT|END|ROLLBACK|VACUUM|ANALYZE|REINDEX)\b"
    r"|(?i:\bselect\b.+\bfrom\b|\binsert\b.+\binto\b|\bdelete\s+from\b|\bupdate\b.+\bset\b.+=)",
    re.DOTALL,
)
OPENINGS = {
    # The pool's manager opens the readers.
    re.compile(r"\bSqliteConnectionManager::(?:file|memory)\b"): ("src/sqlite/manager", "src/sqlite/reader"),
    re.compile(r"(?<!\w)Connection::open\w*"): ("src/sqlite/manager",),
}
UNWRAPPING = re.compile(r"\.(?:unwrap|expect)(?:_err)?\(")
TEST_MODULE = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod\s+\w+\s*\{")


class Source(NamedTuple):
    """One Rust file without its tests: the code with literals blanked out, and the literals."""

    path: str
    code: str
    texts: list[str]
    lines: list[str]

    def is_in(self, *rooms: str) -> bool:
        """Whether the file is one of these files, or in one of these directories."""
        return any(self.path in (room, f"{room}.rs") or self.path.startswith(f"{room}/") for room in rooms)


def rust_source(root: Path, path: Path) -> Source:
    text = without_tests(path.read_text(encoding="utf-8"))
    texts: list[str] = []

    def blank(match: re.Match[str]) -> str:
        literal = match["text"] if match["text"] is not None else match["raw"]
        if literal is not None:
            texts.append(literal)
        return re.sub(r"[^\n]", " ", match[0])

    code = TOKEN.sub(blank, text)
    return Source(path.relative_to(root).as_posix(), code, texts, text.splitlines())


def without_tests(text: str) -> str:
    """Cuts `#[cfg(test)]` modules, braces counted outside literals and comments."""
    blanked = TOKEN.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    while found := TEST_MODULE.search(blanked):
        depth, end = 1, found.end()
        while depth and end < len(blanked):
            depth += {"{": 1, "}": -1}.get(blanked[end], 0)
            end += 1
        text = text[: found.start()] + text[end:]
        blanked = blanked[: found.start()] + blanked[end:]
    return text


def rust_files(root: Path) -> list[Path]:
    return [path for path in sorted(root.glob("src/**/*.rs")) if path.name != "tests.rs"]


def violations(root: Path) -> tuple[int, list[str]]:
    """How many files were read, and what is wrong, as `rule: path`."""
    found: list[str] = []
    files = rust_files(root)
    for source in [rust_source(root, path) for path in files]:
        if re.search(r"\bpyo3\b", source.code) and not source.is_in("src/py", "src/codec"):
            found.append(f"pyo3: {source.path}")
        if any(map(STATEMENT.search, source.texts)) and not source.is_in(
            "src/sqlite/statements", "src/sqlite/schema"
        ):
            found.append(f"SQL: {source.path}")
        for opening, rooms in OPENINGS.items():
            if opening.search(source.code) and not source.is_in(*rooms):
                found.append(f"opening: {source.path}")
        if UNWRAPPING.search(source.code):
            found.append(f"unwrap: {source.path}")
        found += unsafe_violations(source)
    python_files = sorted(root.glob("python/**/*.py*"))
    texts = [path for path in files + python_files if path.suffix in {".rs", ".py", ".pyi"}]
    for path in texts:
        name = path.relative_to(root).as_posix()
        if len(path.read_text(encoding="utf-8").splitlines()) > LONGER.get(name, MOST_LINES):
            found.append(f"size: {name}")
    return len(texts), found


def unsafe_violations(source: Source) -> list[str]:
    found: list[str] = []
    for number, line in enumerate(source.code.splitlines()):
        if not re.search(r"\bunsafe\b", line):
            continue
        if not source.is_in("src/codec", "src/sqlite/lock_guard"):
            found.append(f"unsafe: {source.path}")
        above = "\n".join(source.lines[max(0, number - 6) : number + 1])
        if re.search(r"\bunsafe\s*\{", line) and "SAFETY:" not in above:
            found.append(f"invariant: {source.path}")
    return found


def test_everything_is_in_its_room() -> None:
    count, found = violations(ROOT)
    assert count > 40
    assert found == []


def test_longer_files_are_still_long() -> None:
    for name, most in LONGER.items():
        assert MOST_LINES < len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= most


FAULTS = {
    "pyo3": ("src/model.rs", "use pyo3::prelude::*;"),
    "SQL": ("src/sqlite/put.rs", 'const TEXT: &str = "\n  SELECT 1";'),
    "SQL in lower case": ("src/sqlite/put.rs", 'let text = format!("delete from {table}");'),
    "SQL in a raw string": ("src/py/mod.rs", 'const TEXT: &str = r#"INSERT INTO t VALUES ("")"#;'),
    "opening": ("src/sqlite/engine.rs", "let c = rusqlite::Connection::open_in_memory()?;"),
    "opening in the pool's file": ("src/sqlite/reader.rs", "let c = Connection::open(path)?;"),
    "opening by a pool": ("src/sqlite/engine.rs", "SqliteConnectionManager::file(path)"),
    "unsafe": ("src/sqlite/row.rs", "// SAFETY: none\nunsafe { f() }"),
    "invariant": ("src/codec/encode.rs", "fn f() {\n    unsafe { g() }\n}"),
    "unwrap": ("src/error.rs", "let x = y.unwrap();"),
    "unwrap by expect": ("src/error.rs", 'let x = y\n    .expect("why");'),
    "unwrap after a test module": (
        "src/error.rs",
        "#[cfg(test)]\nmod tests {\n    const OPEN: char = '{';\n}\nfn f() { y.unwrap() }",
    ),
    "size": ("src/error.rs", "\n" * (MOST_LINES + 1)),
    "size in Python": ("python/package/module.py", "\n" * (MOST_LINES + 1)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    name, text = FAULTS[fault]
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert violations(tmp_path) == (1, [f"{fault.split(maxsplit=1)[0]}: {name}"])


HARMLESS = {
    "src/py/mod.rs": "use pyo3::prelude::*;",
    "src/codec/mod.rs": "// SAFETY: the caller holds the interpreter.\nunsafe { f() }",
    "src/sqlite/lock_guard.rs": "// SAFETY: the descriptor is ours.\nunsafe { f() }",
    "src/sqlite/statements.rs": 'const TEXT: &str = "SELECT 1";',
    "src/sqlite/manager.rs": "let c = Connection::open(path)?;",
    "src/error.rs": '// pyo3, unsafe, .unwrap() and `SELECT` in a comment\n#[expect(dead_code, reason = "x")]',
    "src/model.rs": '#[cfg(test)]\nmod tests {\n    fn f() { Connection::open("}").unwrap(); }\n}',
}


def test_what_is_allowed_is_not_reported(tmp_path: Path) -> None:
    for name, text in HARMLESS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert violations(tmp_path) == (len(HARMLESS), [])


def test_what_the_floor_skips_exists() -> None:
    for name in NEEDS_SORTED_WRITES:
        file, test, *_ = name.split("::")
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"def {test}(" in text or f"{test} = " in text or f"{test}: " in text, name


def test_the_verbs_of_savers_go_through_one_place() -> None:
    """Where they are counted, retried and mirrored; `recover` has no saver."""
    package = ROOT / "python/langgraph_checkpoint_rust"
    past = [
        path.name
        for path in package.rglob("*.py")
        if re.search(r"_bridge import .*\b(?:run|arun)\b|_bridge\.a?run\(", path.read_text(encoding="utf-8"))
    ]
    assert sorted(past) == ["_runner.py", "recovery.py"]


def test_a_verb_has_one_name_everywhere() -> None:
    trait = (ROOT / "src/backend.rs").read_text(encoding="utf-8")
    rust = set(re.findall(r"^    fn (\w+)\(", trait, re.MULTILINE))
    stub = ast.parse((ROOT / "python/langgraph_checkpoint_rust/_core.pyi").read_text(encoding="utf-8"))
    (backend,) = [
        node for node in stub.body if isinstance(node, ast.ClassDef) and node.name == "SqliteBackend"
    ]
    stubbed = {node.name for node in backend.body if isinstance(node, ast.FunctionDef)} - {
        "__new__",
        "scoped",
    }
    assert len(rust) > 10
    assert rust == stubbed
    for verb in rust - PARTS:
        for saver in (RustSqliteSaver, AsyncRustSqliteSaver):
            assert inspect.isfunction(getattr(saver, verb))
            twin = getattr(saver, f"a{verb}")
            assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin)
