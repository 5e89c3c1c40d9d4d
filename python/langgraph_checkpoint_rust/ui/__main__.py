"""`python -m langgraph_checkpoint_rust.ui PATH`."""

from __future__ import annotations

import argparse
import sys

from langgraph_checkpoint_rust.errors import CheckpointError
from langgraph_checkpoint_rust.ui import serve


def main() -> int:
    """Serves the page of the file that the arguments name.

    Returns:
        0 after Ctrl-C, 1 if the file cannot be read, the port is taken or the extra is missing.
    """
    parser = argparse.ArgumentParser(prog="python -m langgraph_checkpoint_rust.ui", description=__doc__)
    parser.add_argument("path", help="the database file")
    parser.add_argument("--port", type=int, default=0, help="the port at 127.0.0.1; a free one by default")
    parser.add_argument("--open", action=argparse.BooleanOptionalAction, default=True, help="open a browser")
    parser.add_argument("--no-redact", action="store_true", help="show values that look like secrets")
    options = parser.parse_args()
    try:
        serve(options.path, port=options.port, open_browser=options.open, redact=not options.no_redact)
    except (CheckpointError, ImportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 (a command)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
