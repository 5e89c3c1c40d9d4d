"""The web page in headless Chromium: what is drawn, what the script does, what the policy lets through."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest
from helpers import checkpoint_of, config_of, id_of
from make_screenshots import CHROMIUM, FLAGS, fill
from ui_support import Document

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = "<img src=x onerror=\"document.title='obeyed'\"><script>document.title='obeyed'</script>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


@pytest.fixture
def url(path: Path) -> Iterator[str]:
    """The page of the file of docs/ui.md, with hostile values too."""
    fill(path)
    with RustSqliteSaver(path) as saver:
        saver.put(config_of(HOSTILE), checkpoint_of(1, {HOSTILE: HOSTILE}), {"source": "loop", "step": 1}, {})
    command = [sys.executable, "-m", "langgraph_checkpoint_rust", "ui", "-d", str(path), "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.communicate(timeout=30)


def chromium(profile: Path, url: str, *options: str) -> str:
    """What Chromium prints for a page, which may not break its own policy."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--enable-logging=stderr", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "Refused to" not in done.stderr
    assert "Content Security Policy" not in done.stderr
    return done.stdout


def test_pages_are_drawn_and_refreshed_and_hostile_values_are_not_obeyed(url: str, tmp_path: Path) -> None:
    picture, profile = tmp_path / "timeline.png", tmp_path / "profile"
    look = ("--window-size=900,700", "--blink-settings=preferredColorScheme=0", f"--screenshot={picture}")
    chromium(profile, f"{url}thread?thread=case-2", *look)
    assert picture.stat().st_size > 20_000
    # The first pixel is of the header, as the style sheet has it in the dark.
    assert first_pixel(picture, (900, 700)) == bytes.fromhex("1b2024")

    # Ten seconds of the browser's own time, in which the script fetches the figures.
    document = chromium(profile, f"{url}file", "--virtual-time-budget=10000", "--dump-dom")
    assert re.search(r'<div id="figures" data-seconds="3"[^>]* data-fetched="[1-9]', document)
    assert "2 interrupted 1 error" in Document(document).text

    (thread,) = Document(document).links("thread?thread=%3Cimg")
    address = f"{url}checkpoint?{thread.partition('?')[2]}&id={id_of(1)}"
    document = chromium(profile, address, "--virtual-time-budget=1000", "--dump-dom")
    assert HOSTILE in Document(document).text
    assert "<title>Step 1 " in document


def first_pixel(picture: Path, size: tuple[int, int]) -> bytes:
    """Red, green and blue of the pixel in the corner, which no filter of PNG changes."""
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, packed = 8, b""
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        content = data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            assert struct.unpack(">II", content[:8]) == size
        elif kind == b"IDAT":
            packed += content
        place += length + 12
    return zlib.decompress(packed)[1:4]
