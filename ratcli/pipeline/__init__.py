"""The pipeline: one scan is read plane by plane, restored by a model, and written plane by plane.

`restore` reads and writes; `model` restores planes; `cutting` cuts large planes into panes;
`provenance` says what was done. These names need no torch; `ratcli.pipeline.model` does.
"""

from ratcli.pipeline.restore import Outputs, RestoreSummary, check, restore_scan
from ratcli.pipeline.settings import RestoreSettings

__all__ = ["Outputs", "RestoreSettings", "RestoreSummary", "check", "restore_scan"]
