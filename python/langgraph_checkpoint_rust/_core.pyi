"""The native half. Users import from `langgraph_checkpoint_rust`, never from here."""

__version__: str
