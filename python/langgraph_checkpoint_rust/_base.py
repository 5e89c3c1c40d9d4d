"""Everything that the sync and the async saver share: all verbs, in both colours."""

from __future__ import annotations

from langgraph_checkpoint_rust._formats import FormatVerbs
from langgraph_checkpoint_rust._leases import LeaseVerbs
from langgraph_checkpoint_rust._listing import ListingVerbs
from langgraph_checkpoint_rust._metrics import MetricsVerbs
from langgraph_checkpoint_rust._reads import ReadVerbs
from langgraph_checkpoint_rust._repairs import RepairVerbs
from langgraph_checkpoint_rust._resilience import ResilienceVerbs
from langgraph_checkpoint_rust._retention import RetentionVerbs
from langgraph_checkpoint_rust._tenants import TenantVerbs
from langgraph_checkpoint_rust._writes import WriteVerbs


class SqliteSaverBase(
    WriteVerbs,
    ReadVerbs,
    ListingVerbs,
    FormatVerbs,
    RepairVerbs,
    TenantVerbs,
    RetentionVerbs,
    LeaseVerbs,
    MetricsVerbs,
    ResilienceVerbs,
):
    """The verbs. Not used by itself: see `RustSqliteSaver` and `AsyncRustSqliteSaver`."""
