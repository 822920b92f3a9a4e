"""rat: restore medical images with the Region Attention Transformer.

From Python: `ratcli.restore(array_or_path, task="ct-denoise")`, `ratcli.segment` and
`ratcli.evaluate`. Nothing heavy loads before a function is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ratcli.api import evaluate as evaluate
    from ratcli.api import restore as restore
    from ratcli.api import segment as segment

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "restore", "segment"]


def __getattr__(name: str) -> Any:
    """Load the function of that name."""
    if name not in __all__:
        raise AttributeError(f"module 'ratcli' has no attribute '{name}'")
    from ratcli import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return __all__
