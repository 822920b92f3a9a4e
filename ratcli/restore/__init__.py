"""The pipe: a scan is read plane by plane, mapped, partitioned, restored, mapped back, written."""

from ratcli.restore.restorer import Restorer, check, unit_factor
from ratcli.restore.settings import RestoredBlock, RestoreSettings, RestoreSummary

__all__ = [
    "RestoreSettings",
    "RestoreSummary",
    "RestoredBlock",
    "Restorer",
    "check",
    "unit_factor",
]
