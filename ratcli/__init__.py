"""rat: restore medical images with the Region Attention Transformer.

From Python: `ratcli.restore("scan.dcm", task="ct-denoise")`; likewise `segment`, `simulate`,
`evaluate`, `export`, `info` and `train`. `restore`, `segment` and `evaluate` also take arrays.
Nothing heavy is imported before a function is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ratcli.commands.doctor import doctor as doctor
    from ratcli.commands.evaluate import evaluate as evaluate
    from ratcli.commands.export import export as export
    from ratcli.commands.info import info as info
    from ratcli.commands.restore import restore as restore
    from ratcli.commands.segment import find_regions as find_regions
    from ratcli.commands.segment import segment as segment
    from ratcli.commands.simulate import simulate as simulate
    from ratcli.commands.train import train as train

__version__ = "0.1.0"
__all__ = [
    *("__version__", "doctor", "evaluate", "export", "find_regions"),
    *("info", "restore", "segment", "simulate", "train"),
]

_ELSEWHERE = {"find_regions": "segment"}


def __getattr__(name: str) -> Any:
    """Load the function of that name."""
    if name not in __all__:
        raise AttributeError(f"module 'ratcli' has no attribute '{name}'")
    return getattr(importlib.import_module(f"ratcli.commands.{_ELSEWHERE.get(name, name)}"), name)


def __dir__() -> list[str]:
    return __all__
