"""`python -m langgraph_checkpoint_rust` is `lgcheckpoint`."""

from __future__ import annotations

from langgraph_checkpoint_rust.cli import main

if __name__ == "__main__":
    main()
