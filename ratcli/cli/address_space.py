"""A limit of the address space (`ulimit -v`) that is too small for torch is said before its import.

At some limits torch ends the process or never returns, and no exception can be caught.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

from ratcli.errors import DeviceError

# Processes that have loaded torch and restore small planes map 3.2 to 4.0 GB.
TORCH_BYTES = 4_000_000_000


class TorchGuard(MetaPathFinder):
    """Looks at each import of torch, and leaves it to the usual finders if there is room."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Find nothing.

        Raises:
            DeviceError: the module is torch, and the address space is too small.
        """
        if fullname == "torch" and (limit := _limit_bytes()) is not None and limit < TORCH_BYTES:
            raise DeviceError(
                f"the address space is limited to {limit / 1e9:.1f} GB, which is too little",
                hint=f"Raise the limit (ulimit -v) to at least {TORCH_BYTES / 1e9:.0f} GB.",
            )


def guard_torch() -> None:
    """Look at imports of torch from now on."""
    if not any(isinstance(finder, TorchGuard) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchGuard())


def _limit_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit
