"""The networks and partitions that are installed, as methods; and what they are made of."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from held_out.cases import Method
from ratcli.errors import WeightsError
from ratcli.network.registry import WeightsEntry, list_weights
from ratcli.network.settings import EngineSettings
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.model import Model
from ratcli.scan import FloatArray
from ratcli.tasks import get_task

PACKAGES = ("ratcli", "torch", "numpy", "scipy", "scikit-image", "imagecodecs")


def installed_weights(task: str, names: Sequence[str] = ()) -> list[WeightsEntry]:
    """Return installed weights of a task; those of the names, where names are given."""
    found = [entry for entry in list_weights() if entry.task == task and entry.file.is_file()]
    chosen = [entry for entry in found if not names or entry.name in names]
    for name in names:
        if name not in {entry.name for entry in chosen}:
            print(f"{task}: no weights '{name}' of this task are installed: no row of them")
    if not chosen:
        print(f"{task}: no weights are installed: no row of rat", flush=True)
    return chosen


def networks(
    weights: Sequence[WeightsEntry], partitions: Sequence[str], threads: int
) -> Iterator[tuple[str, Method]]:
    """Yield each network with each partition that is installed."""
    for entry in weights:
        for partition in partitions:
            settings = RestoreSettings(
                task=get_task(entry.task),
                partition=partition,
                weights=(entry.name,),
                engine=EngineSettings(device="cpu", threads=threads),
            )
            try:
                model = Model.load(settings)
            except WeightsError as error:
                print(f"no row of regions by {partition}: {error}", flush=True)
                continue
            yield f"{entry.name}, regions by {partition}", method(model)


def method(model: Model) -> Method:
    """Return a network as a method."""

    def run(plane: FloatArray) -> FloatArray:
        hidden = np.zeros(plane.shape[1:], bool)
        return model.restore([plane], [hidden])[0].values

    return run


def facts(weights: Sequence[WeightsEntry], threads: int) -> dict[str, object]:
    """Return machine, versions and weights of a run."""
    return {
        "machine": {
            "cpu": cpu_name(),
            "threads": threads or torch.get_num_threads(),
            "system": f"{platform.system()} {platform.machine()}",
            "timing": "other programs may have run beside it: compare seconds within this run",
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "weights": {
            entry.name: {"sha256": entry.sha256, "bytes": entry.file.stat().st_size}
            for entry in weights
        },
    }


def cpu_name() -> str:
    """Return the processor's name as Linux tells it, else what Python knows."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()
