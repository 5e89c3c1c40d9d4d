"""How the installed package was built. A missing flag or file is silent otherwise."""

from __future__ import annotations

import importlib.resources
import re
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import pytest

from langgraph_checkpoint_rust import __version__, _build, _core

ROOT = Path(__file__).resolve().parents[1]


def test_sqlite_is_lean_and_has_the_wal_fix() -> None:
    _, version, options = _core.build_info()
    assert version >= 3_051_003
    assert {"DEFAULT_MEMSTATUS=0", "DQS=0", "OMIT_LOAD_EXTENSION"} <= set(options)
    assert "THREADSAFE=1" in options
    unwanted = ("ENABLE_FTS", "ENABLE_RTREE", "ENABLE_MEMORY_MANAGEMENT", "ENABLE_SESSION")
    assert [option for option in options if option.startswith(unwanted)] == []


def test_the_tests_run_on_a_release_build() -> None:
    debug, _, _ = _core.build_info()
    assert not debug


def test_a_debug_build_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    _, version, options = _core.build_info()
    monkeypatch.setattr(_build, "build_info", lambda: (True, version, options))
    with pytest.warns(RuntimeWarning, match="debug build and slow"):
        _build.check()


@pytest.mark.parametrize("option", sorted(_build.REQUIRED_OPTIONS))
def test_a_missing_flag_warns_by_name(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    debug, version, options = _core.build_info()
    monkeypatch.setattr(
        _build, "build_info", lambda: (debug, version, [other for other in options if other != option])
    )
    with pytest.warns(RuntimeWarning, match=re.escape(option)):
        _build.check()


@pytest.mark.parametrize("option", sorted(_build.FORBIDDEN_OPTIONS))
def test_a_forbidden_flag_warns_by_name(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    debug, version, options = _core.build_info()
    monkeypatch.setattr(_build, "build_info", lambda: (debug, version, [*options, option]))
    with pytest.warns(RuntimeWarning, match=option):
        _build.check()


def test_a_sqlite_that_corrupts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    debug, _, options = _core.build_info()
    monkeypatch.setattr(_build, "build_info", lambda: (debug, 3_051_002, options))
    with pytest.raises(ImportError, match="3051002 can corrupt"):
        _build.check()


def test_this_build_passes_its_own_check() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _build.check()


def test_the_bundled_sqlite_is_private() -> None:
    # An exported symbol could bind the process' other SQLite to ours, or ours to it.
    library = _core.__file__
    try:
        listing = subprocess.run(
            ["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("nm is not installed")
    exported = [line.split()[-1] for line in listing.splitlines()]
    assert "PyInit__core" in exported
    assert [name for name in exported if name.startswith("sqlite3")] == []


def test_types_are_shipped() -> None:
    files = importlib.resources.files("langgraph_checkpoint_rust")
    assert files.joinpath("py.typed").is_file()
    assert files.joinpath("_core.pyi").is_file()


def test_the_version_is_cargos() -> None:
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    assert re.search(r'^version = "(.+)"$', manifest, re.MULTILINE)[1] == __version__  # type: ignore[index]


def test_an_sdist_builds_the_same_library(tmp_path: Path) -> None:
    pytest.importorskip("maturin")
    subprocess.run(
        [sys.executable, "-m", "maturin", "sdist", "--out", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = tmp_path.iterdir()
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        (flags,) = [name for name in archive.getnames() if name.endswith("/.cargo/config.toml")]
        content = archive.extractfile(flags)
        assert content is not None
        assert content.read() == (ROOT / ".cargo/config.toml").read_bytes()
    wanted = {"Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "pyproject.toml", "src/lib.rs"}
    assert wanted <= names
    package = "python/langgraph_checkpoint_rust"
    assert {f"{package}/py.typed", f"{package}/_core.pyi", f"{package}/__init__.py"} <= names
