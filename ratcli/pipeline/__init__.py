"""The pipe: a scan is read plane by plane, mapped, partitioned, restored, mapped back, written."""

from ratcli.pipeline.restorer import Restorer, check, load_partitioner
from ratcli.pipeline.settings import RestoredBlock, RestoreSettings, RestoreSummary

__all__ = [
    "RestoreSettings",
    "RestoreSummary",
    "RestoredBlock",
    "Restorer",
    "check",
    "load_partitioner",
]
