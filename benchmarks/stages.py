"""Where the time of the network goes: times every operation and sums the times by part."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ratcli.network import inference

ATTENTION = ("region attention", "window attention")
PARTS = {
    "linear": "linear layers and 1x1 convolutions",
    "mm": "linear layers and 1x1 convolutions",
    "addmm_": "linear layers and 1x1 convolutions",
    "baddbmm_": "linear layers and 1x1 convolutions",
    "layer_norm": "norms",
    "mul": "gates and GELU",
    "gelu": "gates and GELU",
    "add_": "skips and biases",
    "add": "skips and biases",
    "sum": "means of the channel attention",
    "index_select": "copies, gather, scatter",
    "copy_": "copies, gather, scatter",
    "clone": "copies, gather, scatter",
    "cat": "copies, gather, scatter",
    "reshape": "copies, gather, scatter",
    "_to_copy": "copies, gather, scatter",
}
BETWEEN = "between operations: Python, views, memory"


class Stages(TorchDispatchMode):
    """Seconds, arithmetic and calls of each part.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.seconds: Counter[str] = Counter()
        self.gflop: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._clock = clock
        self._inside = ""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        began = self._clock()
        result = func(*args, **(kwargs or {}))
        seconds = self._clock() - began
        name = func.__name__.split(".")[0]
        part = self._inside or part_of(name, args)
        self.seconds[part] += seconds
        self.gflop[part] += operations(name, args, result) / 1e9
        self.calls[part] += 1
        return result

    @contextmanager
    def telling_attention(self) -> Iterator[None]:
        """Count all that happens inside the two attentions as theirs."""
        kept = inference.region_attention, inference.window_attention
        inference.region_attention = self._named(ATTENTION[0], kept[0])
        inference.window_attention = self._named(ATTENTION[1], kept[1])
        try:
            yield
        finally:
            inference.region_attention, inference.window_attention = kept

    def _named(self, part: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(*args: Any) -> Tensor:
            self._inside = part
            result = function(*args)
            self._inside = ""
            return result

        return run


def part_of(name: str, args: tuple[Any, ...]) -> str:
    """Return the part that an operation outside attention belongs to."""
    if name == "conv2d":
        groups = args[6] if len(args) > 6 else 1
        return "depthwise 3x3 convolutions" if groups > 1 else "3x3 and 2x2 convolutions"
    return PARTS.get(name, BETWEEN)


def operations(name: str, args: tuple[Any, ...], result: Any) -> float:
    """Count multiplications and additions of one operation."""
    if name == "scaled_dot_product_attention":
        q, k = args[0], args[1]
        return 4.0 * q.numel() * k.shape[-2]
    if name == "conv2d":
        return 2.0 * result.numel() * args[1].numel() / args[1].shape[0]
    if name == "linear":
        return 2.0 * args[0].numel() * args[1].shape[0]
    if name in ("mm", "matmul", "bmm"):
        return 2.0 * result.numel() * args[0].shape[-1]
    if name in ("addmm_", "baddbmm_"):
        return 2.0 * result.numel() * args[1].shape[-1]
    return 0.0


def measure(run: Callable[[], object], threads: int, repeats: int) -> tuple[Stages, float]:
    """Time the parts of a run: the least of each over repeats.

    Args:
        run: restores one plane.
        threads: with one, the time of the processor is taken, which a busy machine does not raise.
        repeats: runs.

    Returns:
        What each part takes, and the seconds of a run without all this.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    run()
    plain = min(_seconds(run, clock) for _ in range(repeats))
    runs = []
    for _ in range(repeats):
        stages = Stages(clock)
        with stages.telling_attention(), stages:
            run()
        runs.append(stages)
    best = runs[0]
    for part in best.seconds:
        best.seconds[part] = min(stages.seconds[part] for stages in runs)
    del best.seconds[BETWEEN]
    # Views are free but for Python, which the timing itself makes slower.
    best.seconds[BETWEEN] = max(0.0, plain - sum(best.seconds.values()))
    return best, plain


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    run()
    return clock() - began
