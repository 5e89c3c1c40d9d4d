"""The documentation: its examples run, its tables match the code, and nothing public lacks one."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import inspect
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import langgraph_checkpoint_rust
from langgraph_checkpoint_rust import (
    AsyncRustSqliteSaver,
    RustSqliteSaver,
    SqliteSettings,
    errors,
    fastapi,
    inspection,
)
from langgraph_checkpoint_rust.host import HostSettings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DIFFERENCES = (ROOT / "docs/differences.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples write `app.db` and set variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("CHECKPOINTS_DB_PATH", "LANGGRAPH_CHECKPOINT_SYNCHRONOUS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


# --- examples ---


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


PAGES = {
    path.relative_to(ROOT).as_posix(): re.findall(
        r"^```(python|console)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
}
"""The blocks of each page that are run: Python, and `lgcheckpoint` in what is typed into a terminal."""
LANGUAGES = {"python", "console", "text", "diff", "json", "toml", "yaml", "ini", "dockerfile", "mermaid"}


def test_there_are_pages_with_examples() -> None:
    assert len(PAGES) > 15
    examples = [language for page in PAGES.values() for language, _ in page]
    assert examples.count("python") > 30
    assert sum(len(commands(code)) for page in PAGES.values() for _, code in page) >= 3
    assert [language for language, _ in PAGES["README.md"]].count("python") >= 2


def commands(code: str) -> list[str]:
    return re.findall(r"^\$ lgcheckpoint (.*)$", code, re.MULTILINE)


@pytest.mark.parametrize("page", [page for page, examples in PAGES.items() if examples])
def test_the_examples_of_a_page_run_one_after_the_other(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Classes of the examples are revived from checkpoints by the name of their module.
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    # Examples set variables.
    with pytest.MonkeyPatch.context() as environment:
        environment.setattr(os, "environ", os.environ.copy())
        for number, (language, code) in enumerate(PAGES[page], 1):
            if language == "python":
                exec(compile(code, f"{page}, example {number}", "exec"), vars(module))  # noqa: S102
            for command in commands(code) if language == "console" else []:
                words = [
                    sys.executable,
                    "-m",
                    "langgraph_checkpoint_rust",
                    *shlex.split(command, comments=True),
                ]
                done = subprocess.run(words, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{page}: {command}: {done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_a_block_says_what_it_is(page: str) -> None:
    fences = re.findall(r"^ *```(\w*)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) % 2 == 0
    assert set(fences[::2]) <= LANGUAGES
    assert set(fences[1::2]) <= {""}


def test_each_page_is_in_the_navigation() -> None:
    named = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    # The pages of a run of the benchmarks are reached from its index.
    reached = {page for page in PAGES if re.match("docs/benchmarks/.*/(?!README)", page)}
    assert {f"docs/{name}" for name in named} | {"README.md"} | reached == set(PAGES)


def modules() -> Iterator[ModuleType]:
    yield langgraph_checkpoint_rust
    for info in pkgutil.walk_packages(langgraph_checkpoint_rust.__path__, "langgraph_checkpoint_rust."):
        if not info.name.endswith(("._core", ".__main__")):
            yield importlib.import_module(info.name)


DOCTESTS = [found for module in modules() for found in doctest.DocTestFinder().find(module) if found.examples]


def test_docstrings_have_examples() -> None:
    assert len(DOCTESTS) > 15


@pytest.mark.parametrize("example", DOCTESTS, ids=lambda example: example.name)
def test_an_example_of_a_docstring_runs(example: doctest.DocTest) -> None:
    # Only what the example imports itself: readers copy it as it stands.
    example.globs = {"__name__": "__main__"}
    report: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert results.failed == 0, "".join(report)
    assert results.attempted > 0


def public_callables() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module, prefix in (
        (langgraph_checkpoint_rust, ""),
        (fastapi, "fastapi."),
        (inspection, "inspection."),
    ):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) or (inspect.isclass(value) and module is not inspection):
                found[prefix + name] = value
    for saver in (RustSqliteSaver, AsyncRustSqliteSaver, SqliteSettings, fastapi.BackgroundRuns):
        for name, value in inspect.getmembers(saver):
            if name.startswith("_") or not getattr(value, "__module__", "").startswith("langgraph_ch"):
                continue
            if inspect.isfunction(value) or inspect.ismethod(value):
                found[f"{saver.__name__}.{name}"] = value
    return found


PUBLIC = public_callables()


def test_the_public_surface_was_found() -> None:
    assert len(PUBLIC) > 40
    assert {"RustSqliteSaver.aput", "AsyncRustSqliteSaver.setup", "SqliteSettings.from_env"} <= PUBLIC.keys()


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_is_documented_with_an_example(name: str) -> None:
    documentation = inspect.getdoc(PUBLIC[name]) or ""
    assert documentation
    owner, _, verb = name.partition(".")
    if verb.startswith("a") and f"{owner}.{verb[1:]}" in PUBLIC and "Example:" not in documentation:
        # An async twin points at the verb that has the example.
        assert re.match(rf"As `(\w+\.)?{verb[1:]}`", documentation)
        return
    assert "Example:" in documentation
    assert ">>> " in documentation


def test_local_links_lead_somewhere() -> None:
    seen = 0
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *ROOT.glob("docs/**/*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
            seen += 1
    assert seen > 5


# --- tables ---


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    section = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines[2:]]
    return [[cell.strip() for cell in row] for row in rows]


def value_of(cell: str) -> Any:
    cell = cell.strip("`")
    if size := re.fullmatch(r"(\d+) MiB", cell):
        return int(size[1]) * 2**20
    return ast.literal_eval(cell)


def test_the_settings_tables_match_the_settings() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    shown, few = (
        {row[0].strip("`"): value_of(row[1]) for row in table(text, heading)}
        for text, heading in ((page, "All"), (README, "Settings"))
    )
    of_host = {row[0].strip("`"): value_of(row[1]) for row in table(page, "Of the host")}
    assert of_host == {field.name: field.default for field in dataclasses.fields(HostSettings)}
    fields = {field.name: field.default for field in dataclasses.fields(SqliteSettings)}
    assert len(few) > 5
    assert shown == fields
    assert few.items() <= fields.items()


TROUBLES = dict(
    re.findall(
        r"^## (\w+Error)\n(.*?)(?=^## )",
        (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)


def test_each_error_has_a_place_in_troubleshooting() -> None:
    assert len(TROUBLES) > 8
    assert TROUBLES.keys() == set(errors.__all__) - {"CheckpointError"}


@pytest.mark.parametrize("name", TROUBLES)
def test_troubleshooting_tells_what_an_error_is_and_says(name: str) -> None:
    told = re.search(r"^Also a (.*)\.$", TROUBLES[name], re.MULTILINE)
    assert re.findall(r"`([\w.]+)`", told[1] if told else "") == [
        f"{base.__module__}.{base.__name__}".removeprefix("builtins.")
        for base in getattr(errors, name).__bases__
        if base is not errors.CheckpointError
    ]
    assert all(word in TROUBLES[name] for word in ("**Cause.**", "**Way out.**"))
    (texts,) = blocks(TROUBLES[name], "text")
    for text in texts.splitlines():
        for part in filter(None, (part.strip() for part in text.split("…"))):
            assert re.sub(r"\s+", " ", part) in MESSAGES, f"{name}: {part!r} is said nowhere"


def messages() -> str:
    """The source of all messages, with the literals that make up one joined."""
    sources = [*ROOT.glob("src/**/*.rs"), *ROOT.glob("python/**/*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    text = re.sub(r"\\\n\s*", "", text).replace('\\"', '"')
    text = re.sub(r'"\s*\n\s*f?"', "", text)
    return re.sub(r"\s+", " ", text)


MESSAGES = messages()


def test_each_difference_names_a_test_that_exists() -> None:
    rows = table(DIFFERENCES, "Differences")
    assert len(rows) > 20
    for number, row in enumerate(rows, 1):
        assert row[0] == str(number)
        named = re.findall(r"`(tests/[\w/]+\.py|src/[\w/]+\.rs)::(\w+)`", row[-1])
        assert named, f"row {number} names no test"
        for path, name in named:
            assert name in functions(ROOT / path), f"row {number}: {path}::{name}"


def functions(path: Path) -> set[str]:
    if path.suffix == ".rs":
        return set(re.findall(r"#\[test\]\n *fn (\w+)", path.read_text(encoding="utf-8")))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_the_first_difference_says_what_power_loss_may_take() -> None:
    first = table(DIFFERENCES, "Differences")[0]
    words = "nothing at `synchronous=FULL`; the un-synced tail at the default NORMAL, never consistency"
    assert any(words in cell for cell in first)
    for page in ("README.md", "docs/durability.md"):
        assert words in re.sub(r"\s+", " ", (ROOT / page).read_text(encoding="utf-8"))


# --- the documentation's own checkers ---


def test_the_table_reader_reads_only_its_section() -> None:
    text = "# One\n\n| a | b |\n|---|---|\n| 1 | x \\| y |\n\n# Two\n\n| c |\n|---|\n| 2 |\n"
    assert table(text, "One") == [["1", "x \\| y"]]
    assert table(text, "Two") == [["2"]]
    assert table(text, "Three") == []


def test_an_example_that_fails_is_reported() -> None:
    parser = doctest.DocTestParser()
    with pytest.raises(AssertionError, match="Expected"):
        test_an_example_of_a_docstring_runs(parser.get_doctest(">>> 1\n2\n", {}, "planted", None, None))
