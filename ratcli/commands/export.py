"""`rat export`: writes an installed network as a model of ONNX, with what a program must know."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ratcli import __version__
from ratcli.commands.options import option, settle, takes
from ratcli.errors import OutputError, UsageError, WeightsError
from ratcli.formats.atomic import PartialFile, output_errors
from ratcli.tasks import get_task

if TYPE_CHECKING:
    from ratcli.network.rat import NetworkSettings
    from ratcli.network.registry import ResidualKept, WeightsEntry

MOST_DIFFERENCE = 1e-4
"""Largest difference from torch, in the network's values."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How `rat export` works; its fields are the options of the command line."""

    onnx: Path | None = option(
        None,
        "ONNX file to write, such as ct.onnx. A JSON file of the same name says how to prepare "
        "planes for it.",
        metavar="FILE",
    )
    with_regions: bool = option(
        False,
        "Give the model a second input, the region of each pixel. Without it, the whole plane is "
        "one region.",
    )
    if_exists: Literal["error", "overwrite"] = option(
        "error", "What to do if an output file already exists."
    )


@dataclass(frozen=True)
class ExportManifest:
    """What a program must know to run an exported network.

    The network sees `(value - offset) / gain` of values clipped to the window.

    Attributes:
        rat: version of rat.
        weights: name of the weights.
        sha256: hash of their file.
        licence: of the weights, an SPDX identifier.
        task: what they restore.
        unit: of the values.
        window: lowest and highest value that is restored, in the unit.
        offset: value that maps to 0.
        gain: step that maps to 1.
        channels: of a plane.
        context: neighbouring planes on each side that the network sees, as further channels.
        input_channels: of the model's input; more than `channels` with neighbouring planes.
        scale: output pixels for each input pixel and axis.
        multiple: rows and columns of the model's input must be a multiple of this.
        frame_px: reflected pixels by which rat extends a plane on each side.
        with_regions: whether the model has the input `labels`.
        max_region_tokens: larger regions are split, see `NetworkSettings`; the model does it.
        opset: version of the operators.
        largest_difference: from torch, in the network's values, as measured in ONNX Runtime.
        mean_kept_px: what `rat restore` does after the network, see `WeightsEntry`.
        residual_kept: the same.
        consistent_below: the same.
    """

    rat: str
    weights: str
    sha256: str
    licence: str
    task: str
    unit: str
    window: tuple[float, float]
    offset: float
    gain: float
    channels: int
    context: int
    input_channels: int
    scale: int
    multiple: int
    frame_px: int
    with_regions: bool
    max_region_tokens: int
    opset: int
    largest_difference: float
    mean_kept_px: float
    residual_kept: ResidualKept | None
    consistent_below: float


@takes(ExportOptions)
def export(weights: str, options: ExportOptions | None = None, **changes: Any) -> ExportManifest:
    """Write an installed network as a model of ONNX, and a JSON file beside it.

    The model is compared with torch in ONNX Runtime before anything is written.

    Args:
        weights: their name, as `rat weights list` shows it.
        options: the options; None for the defaults.
        changes: single options by name, which replace those in `options`.

    Returns:
        What the JSON file says.

    Raises:
        UsageError: no file is named, or the libraries for ONNX are not installed.
        WeightsError: there are no such weights, or the model differs from torch.
        OutputError: a file already exists or cannot be written.
    """
    settled = settle(ExportOptions, options, changes)
    model, overwrite = _named(settled), settled.if_exists == "overwrite"
    facts = model.with_suffix(".json")
    if not overwrite:
        _refuse_existing(model, facts)
    _check_libraries()
    data, manifest = _exported(weights, with_regions=settled.with_regions)
    text = json.dumps(asdict(manifest), indent=2).encode()
    _write({model: data, facts: text}, overwrite=overwrite)
    return manifest


def _named(options: ExportOptions) -> Path:
    if options.onnx is None:
        raise UsageError("rat export needs the name of a file", hint="Give it with --onnx.")
    if options.onnx.suffix.lower() != ".onnx":
        raise UsageError(f"{options.onnx.name} does not end in .onnx")
    return options.onnx


def _refuse_existing(*paths: Path) -> None:
    for path in filter(os.path.lexists, paths):
        raise OutputError(
            f"{path.name} already exists",
            hint="Choose another name, or give --if-exists overwrite.",
        )


def _check_libraries() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(name) is None:
            raise UsageError(
                f"rat export needs {name}, which is not installed",
                hint="Install it with pip install 'ratcli[onnx]'.",
            )


def _exported(name: str, *, with_regions: bool) -> tuple[bytes, ExportManifest]:
    """Return a model that agrees with torch, and what is said about it."""
    import torch

    from ratcli.network.checkpoint import load_network
    from ratcli.network.onnx_export import largest_difference, make_onnx
    from ratcli.network.registry import find_weights

    entry = find_weights(name)
    network = load_network(entry, torch.device("cpu"))
    model = make_onnx(network, with_regions=with_regions)
    difference = largest_difference(model, network, with_regions=with_regions)
    if not difference <= MOST_DIFFERENCE:
        raise WeightsError(
            f"the exported network differs from torch by {difference:.1g}, "
            f"but at most {MOST_DIFFERENCE:g} is allowed"
        )
    manifest = _manifest(entry, network.settings, difference, with_regions=with_regions)
    return model, manifest


def _manifest(
    entry: WeightsEntry, settings: NetworkSettings, difference: float, *, with_regions: bool
) -> ExportManifest:
    from ratcli.network.frame import FRAME_PX
    from ratcli.network.onnx_export import OPSET, step

    task = get_task(entry.task)
    return ExportManifest(
        rat=__version__,
        weights=entry.name,
        sha256=entry.sha256,
        licence=entry.licence,
        task=task.name,
        unit=task.units[0],
        window=task.window,
        offset=task.offset,
        gain=task.gain,
        channels=settings.channels,
        context=settings.context,
        input_channels=settings.input_channels,
        scale=settings.scale,
        multiple=step(settings),
        frame_px=math.ceil(FRAME_PX / settings.scale),
        with_regions=with_regions,
        max_region_tokens=settings.max_region_tokens,
        opset=OPSET,
        largest_difference=difference,
        mean_kept_px=entry.mean_kept_px,
        residual_kept=entry.residual_kept,
        consistent_below=entry.consistent_below,
    )


def _write(contents: dict[Path, bytes], *, overwrite: bool) -> None:
    """Write files under temporary names, and rename them when all are complete."""
    partials = [PartialFile(path, overwrite=overwrite) for path in contents]
    try:
        for partial, data in zip(partials, contents.values(), strict=True):
            with output_errors(partial.final):
                partial.path.write_bytes(data)
        for partial in partials:
            partial.commit()
    finally:
        for partial in partials:
            partial.discard()
