"""rat: restore medical images with the Region Attention Transformer.

From Python: `ratcli.restore(array_or_path, task="ct-denoise")`, `ratcli.segment` and
`ratcli.evaluate`. Nothing heavy loads before a function is used.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ratcli.api import evaluate as evaluate
    from ratcli.api import restore as restore
    from ratcli.api import segment as segment

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "restore", "segment"]

_FUNCTIONS = ("evaluate", "restore", "segment")


class _Package(ModuleType):
    """The package, whose functions load when they are used.

    `ratcli.restore` is a function for users; the module of that name, which holds the pipe, is
    imported by `from ratcli.restore import ...` and leaves the name to the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _FUNCTIONS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _FUNCTIONS:
            raise AttributeError(f"module 'ratcli' has no attribute '{name}'")
        from ratcli import api

        return getattr(api, name)


sys.modules[__name__].__class__ = _Package
