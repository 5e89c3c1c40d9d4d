"""`lgcheckpoint`: each command on a file that a graph wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import DONE, FAILED, FORKED, PAUSED, SECRET, make_file, run
from helpers import put_chain
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from langgraph_checkpoint_rust import RustSqliteSaver, __version__
from langgraph_checkpoint_rust.cli.app import app

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_file(tmp_path / "shop.db")


def ids(path: Path) -> list[str]:
    with RustSqliteSaver(path, read_only=True, format="auto") as saver:
        return sorted(thread.thread_id for thread in saver.list_threads(archived=None))


def count(path: Path, thread_id: str) -> int:
    with RustSqliteSaver(path, read_only=True, format="auto") as saver:
        found = saver.get_thread(thread_id)
    return 0 if found is None else found.checkpoints


# --- looking ---


def test_info(path: Path, tested_format: str) -> None:
    document = run(path, "info", "--json").json
    assert document["format"] == tested_format
    assert document["min_reader"] == (1 if tested_format == "compact" else None)
    assert document["bytes"] == path.stat().st_size == document["pages"] * document["page_size"]
    assert document["threads"] == {
        "total": 4, "archived": 0, "busy": 0, "interrupted": 1, "error": 1, "pending": 1, "done": 1
    }  # fmt: skip
    assert document["state"]["checkpoints"] == 18
    assert document["package"] == __version__
    text = run(path, "info").out
    assert "4: 1 interrupted, 1 error, 1 pending, 1 done" in text
    assert "journal wal" in text
    assert run(path, "info", "--quick", "--json").json["state"] is None


def test_threads(path: Path) -> None:
    document = run(path, "threads", "--order", "thread_id", "--json").json
    assert [one["thread_id"] for one in document["threads"]] == [PAUSED, DONE, FAILED, FORKED]
    assert [one["status"] for one in document["threads"]] == ["interrupted", "done", "error", "pending"]
    assert (document["total"], document["cursor"]) == (4, None)
    assert "title" not in document["threads"][0]
    text = run(path, "threads", "--status", "interrupted")
    assert "ada     interrupted" in text.out
    assert "bob" not in text.out
    assert text.err == "1 of 1 thread\n"
    assert "Trip to Rome" not in run(path, "threads").out
    assert "Trip to Rome" in run(path, "threads", "--titles", "--filter", "user=bob").out
    assert run(path, "threads", "--filter", "user=ada", "--json").json["threads"] == []


def test_pages_of_threads(path: Path) -> None:
    first = run(path, "threads", "--order", "thread_id", "--limit", 3, "--json").json
    rest = run(path, "threads", "--order", "thread_id", "--cursor", first["cursor"], "--json").json
    assert [one["thread_id"] for one in first["threads"] + rest["threads"]] == [PAUSED, DONE, FAILED, FORKED]
    assert rest["cursor"] is None
    assert f"--cursor {first['cursor']}" in run(path, "threads", "--order", "thread_id", "--limit", 3).err
    assert run(path, "threads", "--cursor", "x").code == 2


def test_show(path: Path) -> None:
    document = run(path, "show", FORKED, "--json").json
    steps = document["checkpoints"]
    assert [(step["step"], step["source"]) for step in steps] == [
        (2, "update"), (3, "loop"), (2, "loop"), (1, "loop"), (0, "loop"), (-1, "input")
    ]  # fmt: skip
    assert [step["interrupts"] for step in steps] == [0, 0, 0, 1, 0, 0]
    assert steps[0]["parent_id"] == steps[3]["checkpoint_id"]
    assert document["state"] is None
    text = run(path, "show", FORKED).out
    assert "approve (interrupt)" in text
    assert "Rome" not in text
    assert run(path, "show", FORKED, "--limit", 2, "--json").json["more"] is True
    assert "book (error)" in run(path, "show", FAILED).out


def test_a_tree_has_the_older_branch_to_the_side(path: Path) -> None:
    lines = run(path, "show", FORKED, "--tree").out.splitlines()[7:]
    assert [line.partition("1f")[0].split() for line in lines] == [
        ["●", "-1", "input"],
        ["●", "0", "loop"],
        ["●", "1", "loop"],
        ["├─╮"],
        ["│", "●", "2", "loop"],
        ["│", "●", "3", "loop"],
        ["●", "2", "update"],
    ]


def test_state_is_printed_without_secrets_unless_asked(path: Path) -> None:
    shown = run(path, "show", PAUSED, "--state").out
    assert "HumanMessage(" in shown
    assert "Order(city='Rome', nights=2)" in shown
    assert "{'question': 'Book it?'}" in shown
    assert SECRET not in shown
    assert SECRET in run(path, "show", PAUSED, "--state", "--no-redact").out
    state = run(path, "show", PAUSED, "--state", "--json").json["state"]
    assert state["values"]["api_key"] == "***"
    assert state["values"]["order"] == {"class": "command_line.Order", "value": {"city": "Rome", "nights": 2}}
    assert "__interrupt__" in [write["channel"] for write in state["pending_writes"]]
    only = run(path, "show", PAUSED, "--state", "--channel", "order", "--json").json["state"]
    assert list(only["values"]) == ["order"]


def test_a_checkpoint_is_named_by_step_id_or_its_beginning(path: Path) -> None:
    steps = run(path, "show", DONE, "--json").json["checkpoints"]
    wanted = steps[2]
    for name in (wanted["step"], wanted["checkpoint_id"], wanted["checkpoint_id"][:-20]):
        state = run(path, "show", DONE, "--state", "--checkpoint", name, "--json").json["state"]
        assert state["checkpoint_id"] == wanted["checkpoint_id"]
    assert run(path, "show", DONE, "--state", "--checkpoint", steps[0]["checkpoint_id"][:4]).code == 2
    unknown = run(path, "show", DONE, "--state", "--checkpoint", 77)
    assert unknown.code == 3
    assert "has no checkpoint '77'" in unknown.err


def test_diff(path: Path) -> None:
    newest = run(path, "diff", DONE, "--json").json
    assert [(change["where"], change["kind"]) for change in newest["changes"]] == [
        ("messages[3]", "added"), ("branch:to:book", "removed")
    ]  # fmt: skip
    assert "before" not in newest["changes"][0]
    text = run(path, "diff", DONE).out
    assert "+ messages[3]  AIMessage\n" in text
    assert "booked" not in text
    assert "booked" in run(path, "diff", DONE, "--state").out
    between = run(path, "diff", DONE, 0, 2, "--json").json
    assert {change["where"] for change in between["changes"]} >= {"messages[1]", "messages[2]", "order"}
    assert run(path, "diff", DONE, 0, 2, "--exit-code").code == 1
    assert run(path, "diff", DONE, 2, 2, "--exit-code").code == 0
    first = run(path, "diff", DONE, "--json", "--", -1).json
    assert first["before"] is None
    assert run(path, "diff", DONE, 1, 2, 3).code == 2


def test_diff_masks_by_the_name_that_leads_there(path: Path) -> None:
    first = run(path, "diff", DONE, "--state", "--", 0).out
    assert "api_key  '***'" in first
    assert SECRET in run(path, "diff", DONE, "--state", "--no-redact", "--", 0).out


def test_stats(path: Path) -> None:
    document = run(path, "stats", "--json").json
    assert document["by"] == "channel"
    assert {"messages", "order", "api_key"} <= document["channels"].keys()
    assert "messages" in run(path, "stats").out
    assert run(path, "stats", "--thread", DONE, "--json").json["checkpoints"] == 5
    by_thread = run(path, "stats", "--by", "thread", "--limit", 2, "--json").json["threads"]
    assert [one["thread_id"] for one in by_thread] == [FORKED, DONE]
    assert by_thread[0]["bytes"] > by_thread[1]["bytes"]
    assert "dora" in run(path, "stats", "--by", "thread").out


def test_types_print_an_allow_list(path: Path) -> None:
    text = run(path, "types").out
    scope: dict[str, Any] = {}
    exec(text, scope)  # noqa: S102
    assert scope["allowed_msgpack_modules"] == [("command_line", "Order")]
    assert "# allowed anyhow: langchain_core.messages.ai.AIMessage" in run(path, "types", "--all").out
    document = run(path, "types", "--json").json
    assert document["allow_list"] == [["command_line", "Order"]]
    assert (document["checkpoints"], document["unread"]) == (18, {})


def test_verify_and_doctor(path: Path, tested_format: str) -> None:
    found = run(path, "verify")
    assert (found.code, found.out[:24]) == (0, "ok: 18 checkpoints and 4")
    assert run(path, "verify", "--json").json["ok"] is True
    document = run(path, "doctor", "--json").json
    checks = {check["name"]: check for check in document["checks"]}
    assert document["ok"] is True
    assert checks["format"]["level"] == ("ok" if tested_format == "compact" else "note")
    assert {
        "settings",
        "SQLite of Python",
        "WAL",
        "file system",
        "mode",
        "integrity",
        "orphans",
    } <= checks.keys()
    path.chmod(0o644)
    assert "0644: others can read or write it" in run(path, "doctor", "--quick").out


def test_reading_changes_nothing_and_needs_no_lock(path: Path) -> None:
    before = path.read_bytes()
    for words in (["info"], ["threads"], ["show", DONE], ["diff", DONE], ["stats"], ["types"], ["verify"], ["doctor"],
                  ["prune", "--all"], ["delete", DONE], ["erase", DONE], ["retention", "--keep-last", 1],
                  ["repair"], ["upgrade"], ["downgrade"]):  # fmt: skip
        assert run(path, *words).code == 0, words
    assert path.read_bytes() == before


# --- threads ---


def test_archive_and_pin_and_back(path: Path) -> None:
    def flags(thread_id: str) -> tuple[bool, bool]:
        with RustSqliteSaver(path, read_only=True, format="auto") as saver:
            found = saver.get_thread(thread_id)
        assert found is not None
        return found.archived, found.pinned

    assert run(path, "archive", DONE, FAILED).code == 0
    assert run(path, "pin", DONE, "--json").json == {"pinned": [DONE]}
    assert flags(DONE) == (True, True)
    assert run(path, "threads", "--json").json["total"] == 2
    assert run(path, "threads", "--archived", "--json").json["total"] == 2
    assert run(path, "threads", "--all", "--json").json["total"] == 4
    assert "would delete 0 checkpoints" in run(path, "retention", "--done-after", "0s").out
    assert run(path, "unarchive", DONE).code == run(path, "unpin", DONE).code == 0
    assert flags(DONE) == (False, False)


def test_copy(path: Path) -> None:
    assert run(path, "copy", DONE, "bob-2").out == "bob-2 has 5 checkpoints\n"
    assert run(path, "copy", DONE, "bob-3", "--last", 2, "--json").json["checkpoints"] == 2
    refused = run(path, "copy", PAUSED, "bob-2")
    assert (refused.code, "exists; see --on-existing" in refused.err) == (7, True)
    planned = run(path, "copy", PAUSED, "bob-2", "--on-existing", "replace")
    assert "would replace thread bob-2" in planned.out
    assert "dry run" in planned.err
    assert count(path, "bob-2") == 5
    assert run(path, "copy", PAUSED, "bob-2", "--on-existing", "replace", "--yes").code == 0
    assert count(path, "bob-2") == 3


def test_export_and_import(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "bob.db"
    assert run(path, "export", DONE, file).code == 0
    assert run(path, "export", DONE, file).code == 7
    assert ids(file) == [DONE]
    assert run(path, "import", file).code == 7
    assert run(path, "import", file, "--as", "guest", "--json").json["checkpoints"] == 5
    assert "would replace thread guest" in run(path, "import", file, "--as", "guest", "--replace").out
    assert run(path, "import", file, "--as", "guest", "--replace", "--yes").code == 0
    assert ids(path) == [PAUSED, DONE, FAILED, FORKED, "guest"]
    several = run(path, "import", path)
    assert (several.code, "exactly one thread" in several.err) == (7, True)


def test_a_tenant_has_its_own_ids(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path, format="auto") as saver:
        for tenant in ("acme", "other"):
            put_chain(saver.scoped(tenant), 3, DONE)
    acme = ["--tenant", "acme"]
    assert [one["thread_id"] for one in run(path, "threads", *acme, "--json").json["threads"]] == [DONE]
    assert len(run(path, "show", DONE, *acme, "--json").json["checkpoints"]) == 3
    assert run(path, "diff", DONE, *acme, "--json").json["changes"][0]["where"] == "count"
    assert run(path, "stats", *acme, "--json").json["checkpoints"] == 3
    assert run(path, "stats", "--by", "thread", *acme, "--json").json["threads"][0]["checkpoints"] == 3
    assert run(path, "types", *acme, "--json").json["checkpoints"] == 3
    assert run(path, "pin", DONE, *acme).code == run(path, "unpin", DONE, *acme).code == 0
    assert run(path, "archive", DONE, *acme).code == run(path, "unarchive", DONE, *acme).code == 0
    assert run(path, "copy", DONE, "copied", *acme, "--json").json["checkpoints"] == 3
    assert run(path, "export", DONE, tmp_path / "bob.db", *acme).code == 0
    assert run(path, "import", tmp_path / "bob.db", "--as", "guest", *acme).code == 0
    assert run(path, "prune", "--all", *acme, "--yes", "--json").json["checkpoints"] == 6
    assert (
        run(path, "delete", DONE, "guest", *acme, "--yes").code
        == run(path, "erase", "copied", *acme, "--yes").code
        == 0
    )
    assert run(path, "threads", *acme, "--json").json["total"] == 0
    assert count(path, DONE) == 5
    assert run(path, "threads", "--tenant", "other", "--json").json["threads"][0]["checkpoints"] == 3
    assert run(path, "show", PAUSED, "--tenant", "other").code == 3


# --- deleting ---


def test_prune(path: Path) -> None:
    assert run(path, "pin", FORKED).code == 0
    planned = run(path, "prune", "--all", "--keep-last", 2)
    assert "would delete" in planned.out
    assert "dry run: nothing was changed; --yes does it" in planned.err
    document = run(path, "prune", "--all", "--keep-last", 2, "--json").json
    assert (document["dry_run"], document["threads"]) == (True, 3)
    assert run(path, "prune", DONE, "--keep-last", 2, "--yes", "--json").json["checkpoints"] == 3
    assert (count(path, DONE), count(path, FAILED), count(path, FORKED)) == (2, 4, 6)
    assert run(path, "prune", "--all", "--older-than", "1d", "--json").json["checkpoints"] == 0
    assert run(path, "prune", "--all", "--yes").code == 0
    assert (count(path, PAUSED), count(path, DONE), count(path, FORKED)) == (1, 1, 6)
    assert run(path, "prune").code == run(path, "prune", DONE, "--all").code == 2
    assert run(path, "prune", "--all", "--older-than", "soon").code == 2


def test_retention(path: Path, tmp_path: Path) -> None:
    document = run(path, "retention", "--done-after", "0s", "--json").json
    assert [(one["thread_id"], one["reason"]) for one in document["threads"]] == [(DONE, "done")]
    assert (document["dry_run"], document["checkpoints"]) == (True, 5)
    archive = tmp_path / "archive.db"
    done = run(path, "retention", "--done-after", "0s", "--archive-to", archive, "--yes")
    assert "deleted 5 checkpoints" in done.out
    assert (DONE in ids(path), ids(archive)) == (False, [DONE])
    assert run(path, "retention", "--max-bytes", "many").code == 2


def test_delete_and_erase(path: Path) -> None:
    planned = run(path, "delete", DONE, FAILED, "--json").json
    assert [one["thread_id"] for one in planned["threads"]] == [DONE, FAILED]
    assert planned["dry_run"] is True
    assert len(ids(path)) == 4
    assert run(path, "delete", DONE, "--yes").err == "deleted 1 thread\n"
    receipt = run(path, "erase", FAILED, "--yes", "--json").json["receipts"][0]
    assert (receipt["thread_id"], receipt["checkpoints"], receipt["wal_emptied"]) == (FAILED, 4, True)
    erased = run(path, "erase", FORKED, "--yes")
    assert "not reached: backups, exports" in erased.out
    assert ids(path) == [PAUSED]


# --- the file ---


def test_backup_and_restore(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "backups" / "shop.db"
    assert run(path, "backup", file, "--json").json["pages"] > 1
    assert run(path, "backup", file).code == 7
    assert run(path, "delete", DONE, "--yes").code == 0
    planned = run(path, "restore", file)
    assert "would replace the 3 threads" in planned.out
    assert DONE not in ids(path)
    assert run(path, "restore", file, "--yes").code == 0
    assert DONE in ids(path)
    assert run(path, "restore", file, "--json").json["dry_run"] is True


def test_upgrade_and_downgrade(path: Path, tmp_path: Path, tested_format: str) -> None:
    there, back = ("downgrade", "upgrade") if tested_format == "compact" else ("upgrade", "downgrade")
    planned = run(path, there, "--backup", tmp_path / "copy.db")
    assert f"from the {tested_format} to the" in planned.out
    assert not (tmp_path / "copy.db").exists()
    document = run(path, there, "--backup", tmp_path / "copy.db", "--yes", "--json").json
    assert (document["from"], document["dry_run"]) == (tested_format, False)
    assert run(path, "info", "--json").json["format"] == document["to"] != tested_format
    assert run(tmp_path / "copy.db", "info", "--json").json["format"] == tested_format
    assert run(path, there, "--backup", tmp_path / "copy.db", "--yes").code == 7
    assert f"in the {document['to']} format already" in run(path, there).out
    made = run(path, back, "--yes", "--json").json["backup"]
    assert f".before-{back}-" in made
    assert run(Path(made), "info", "--json").json["format"] == document["to"]
    assert run(path, there, "--no-backup", "--yes", "--json").json["backup"] is None
    assert run(path, "verify").code == 0


def test_compact_and_repair(path: Path) -> None:
    before = path.stat().st_size
    assert run(path, "delete", DONE, FAILED, FORKED, "--yes").code == 0
    assert run(path, "compact", "--full", "--json").json["bytes_after"] == path.stat().st_size < before
    assert run(path, "compact").code == 0
    tidied = run(path, "optimize", "--json").json
    assert tidied["chunks"] == tidied["pages"] == 0
    assert tidied["wal_emptied"]
    assert run(path, "optimize").out == "0 chunks deleted, 0 pages given back\n"
    assert run(path, "repair").err == "dry run: nothing was changed; --yes does it\n"
    assert run(path, "repair", "--yes", "--json").json == {
        "dry_run": False, "chunks": 0, "writes": 0, "threads": 0, "unread_threads": []
    }  # fmt: skip


def test_recover(path: Path, tmp_path: Path) -> None:
    document = run(path, "recover", tmp_path / "saved.db", "--json").json
    assert (document["checkpoints"], document["lost"]) == (18, [])
    assert ids(tmp_path / "saved.db") == ids(path)
    assert run(path, "recover", tmp_path / "saved.db").code == 7


# --- all of them ---


def test_encrypted_threads_are_shown_and_not_pruned(tmp_path: Path) -> None:
    from command_line import write_threads

    path = tmp_path / "encrypted.db"
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"0123456789abcdef")
    with RustSqliteSaver(path, serde=serde) as saver:
        write_threads(saver)
    assert run(path, "threads").code == run(path, "verify").code == 0
    assert "Unreadable(tag='msgpack+aes'" in run(path, "show", DONE, "--state").out
    assert "msgpack+aes" in run(path, "types", "--json").json["unread"]
    assert "with the tag 'msgpack+aes' can only be read by the app" in run(path, "types").err
    for words in (["prune", DONE], ["prune", DONE, "--yes"]):
        refused = run(path, *words)
        assert refused.code == 7
        assert "can only be read by the app's own serializer" in refused.err
    assert count(path, DONE) == 5


def test_ids_cannot_steer_the_terminal(path: Path) -> None:
    evil = "x\x1b]0;pwned\x07[bold]\u202e"
    assert run(path, "copy", DONE, evil).code == 0
    for words in (
        ["threads"],
        ["show", evil],
        ["show", evil, "--tree"],
        ["stats", "--by", "thread"],
        ["delete", evil],
    ):
        out = run(path, *words).out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert r"x\x1b]0;pwned\x07[bold]\u202e" in "".join(out.split()) or words[-1] == "--tree"


@pytest.mark.compact
def test_the_database_comes_from_the_environment_too(path: Path, tmp_path: Path) -> None:
    env = {**os.environ, "CHECKPOINTS_DB_PATH": f"sqlite:///{path}", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "langgraph_checkpoint_rust", "threads", "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)["total"] == 4
    assert done.stderr == ""
    without = run(None, "threads")
    assert without.code == 2
    assert "CHECKPOINTS_DB_PATH" in without.err
    assert run(":memory:", "threads").code == 2


@pytest.mark.compact
def test_the_version_and_the_help() -> None:
    assert run(None, "--version").out == f"{__version__}\n"
    assert "Exit codes: 0 done" in " ".join(run(None, "--help").out.split())
    for command in app.registered_commands:
        assert run(None, str(command.name), "--help").code == 0


@pytest.mark.compact
def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['typer'] = None\nfrom langgraph_checkpoint_rust.cli import main\nmain()"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr == "lgcheckpoint: typer is not installed; pip install 'langgraph-checkpoint-rust[cli]'\n"
    )


@pytest.mark.compact
def test_the_package_needs_no_extra_for_anything_else() -> None:
    code = (
        "import sys; sys.modules['typer'] = sys.modules['rich'] = None\n"
        "import langgraph_checkpoint_rust, langgraph_checkpoint_rust.inspection"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
