"""Prepares a run from a recipe and a folder of scans."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ratcli.errors import InputNotFoundError, UnsuitableInputError, UsageError, WeightsError
from ratcli.network.checkpoint import read_state, settings_from
from ratcli.network.registry import find_weights, verify_weights
from ratcli.partition import get_partitioner
from ratcli.partition.cache import CachedPartitioner
from ratcli.task import Task
from ratcli.tasks import get_task
from ratcli.training.data import FoundScan, find_entries, find_patients, read_scans
from ratcli.training.examples import Example, ExampleSource
from ratcli.training.loop import Trainer
from ratcli.training.pairs import Pair, PairExamples, find_pairs, is_paired, read_pairs
from ratcli.training.patches import PatchBatch
from ratcli.training.recipe import Recipe
from ratcli.training.restoration import RestorationObjective
from ratcli.training.sources import TRAINABLE_TASKS, held_out_examples, make_source, spread
from ratcli.weightfiles import REGISTRY

LOG = logging.getLogger("ratcli.training")

_HELD_OUT_PLANES = 6
_HELD_OUT_SHARE = 0.15
PARTITIONS = "partitions"
# Share of each neighbour that a network adds when it begins to learn from neighbours.
_FIRST_SHARE = 0.05

P = TypeVar("P", FoundScan, Pair)
RestorationTrainer = Trainer[PatchBatch]


def prepare(
    recipe: Recipe,
    data: Path,
    folder: Path,
    device: torch.device,
    *,
    cache: Path | None = None,
) -> RestorationTrainer:
    """Read the scans, hold patients out, and make a run.

    Args:
        recipe: what to do.
        data: folder of the scans that the recipe names; if it names none, all scans are used.
            If it contains folders `low/` and `full/`, the run learns from pairs.
        folder: of the run.
        device: where the network runs.
        cache: folder of the partitions of pairs; None for one in the run's folder.

    Raises:
        InputNotFoundError: scans are missing.
        UnreadableInputError: a scan is damaged.
        UnsuitableInputError: a scan does not fit the task.
        UsageError: the recipe does not fit its task.
    """
    task = get_task(recipe.task)
    _check_network(task, recipe)
    if not data.is_dir():
        raise InputNotFoundError(f"the data folder {data.name or data} does not exist")
    if is_paired(data):
        recipe = replace(recipe, procedural=0.0)
        source, held_out = _from_pairs(task, recipe, data, cache or folder / PARTITIONS)
    else:
        source, held_out = _from_scans(task, recipe, data)
    objective = RestorationObjective(recipe, source, held_out, TRAINABLE_TASKS[task.name].scored)
    return Trainer(recipe, objective, folder, device)


def tune_from(recipe: Recipe, name: str, *, is_network_given: bool) -> Recipe:
    """Return a recipe with the network of installed weights.

    Args:
        recipe: what to do.
        name: of the weights.
        is_network_given: whether the recipe names its network, which must then be the same.

    Raises:
        WeightsError: there are none of that name, or they are of another task or network.
    """
    entry = find_weights(name)
    if entry.task != recipe.task:
        raise WeightsError(f"the weights '{name}' are for {entry.task}, not for {recipe.task}")
    network = settings_from(entry.network, f"{REGISTRY}, [{entry.name}.network]")
    if not is_network_given:
        return replace(recipe, network=network, tuned_from=name)
    wanted = recipe.network
    alike = replace(
        network,
        context=wanted.context,
        fused=wanted.fused,
        max_region_tokens=wanted.max_region_tokens,
    )
    if alike != wanted or network.context not in (0, wanted.context):
        raise WeightsError(f"the weights '{name}' do not fit the network of the recipe")
    return replace(recipe, tuned_from=name)


def begin_from(trainer: RestorationTrainer, name: str) -> None:
    """Begin a run from installed weights.

    Raises:
        WeightsError: they are damaged, or of another network.
    """
    entry = find_weights(name)
    verify_weights(entry)
    try:
        state = {key: value.float() for key, value in read_state(entry.file).items()}
        trainer.initialise(widened(state, trainer.network.state_dict()))
    except RuntimeError as error:
        raise WeightsError(f"the weights '{name}' do not fit the network of the run") from error


def widened(state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return parameters of a network of single planes for one that sees neighbours, too.

    Without neighbours it does what the first one does. With them it begins with a part of their
    mean, and sees the same mean.
    """
    if any(name.startswith("fusion.") for name in wanted.keys() - state.keys()):
        return _fusing(state, wanted)
    first, seen = state["intro.weight"], wanted["intro.weight"].shape[1]
    channels, returned = len(state["ending.weight"]), len(wanted["ending.weight"])
    if first.shape[1] == seen:
        return state
    for name in ("intro.weight", "ending.weight", "ending.bias"):
        whole = torch.zeros_like(wanted[name])
        state[name], single = whole, state[name]
        if name == "intro.weight":
            whole[:, :channels] = single
            for start in range(channels, returned, channels):
                whole[:, start : start + channels] = _FIRST_SHARE * single
        else:
            whole[:channels] = single
    state["ending.bias"][channels:] = _FIRST_SHARE
    return state


def _fusing(state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return parameters for a network that averages neighbours before it restores the plane."""
    channels = wanted["intro.weight"].shape[1]
    state["intro.weight"] = state["intro.weight"][:, :channels]
    for name in ("ending.weight", "ending.bias"):
        state[name] = state[name][:channels]
    return {**wanted, **state}


def split(parts: Sequence[P], recipe: Recipe) -> tuple[list[P], list[P]]:
    """Hold out whole patients: about one in seven, and at least one if there are two or more.

    The choice depends only on the seed and the names: one more patient changes few others.

    Args:
        parts: scans or pairs.
        recipe: its seed.

    Returns:
        The parts to learn from, and the parts that are held out.
    """

    def lot(patient: str) -> bytes:
        return hashlib.sha256(f"{recipe.seed}:{patient}".encode()).digest()

    patients = sorted({part.patient for part in parts}, key=lot)
    count = max(1, round(_HELD_OUT_SHARE * len(patients))) if len(patients) > 1 else 0
    chosen = set(patients[:count])
    if not count:
        LOG.warning("all scans are of one patient: none can be held out for validation")
    train = [part for part in parts if part.patient not in chosen]
    return train, [part for part in parts if part.patient in chosen]


def _from_scans(task: Task, recipe: Recipe, data: Path) -> tuple[ExampleSource, list[Example]]:
    if recipe.train or recipe.held_out:
        train = find_entries(data, recipe.train)
        held_out = find_entries(data, recipe.held_out)
    else:
        train, held_out = split(find_patients(data), recipe)
    _check_split(train, held_out)
    source = make_source(task, recipe, read_scans(train, task))
    return source, held_out_examples(task, recipe, read_scans(held_out, task), _HELD_OUT_PLANES)


def _from_pairs(
    task: Task, recipe: Recipe, data: Path, cache: Path
) -> tuple[ExampleSource, list[Example]]:
    pairs = find_pairs(data, task)
    if recipe.train or recipe.held_out:
        train, held_out = (_named(pairs, names) for names in (recipe.train, recipe.held_out))
    else:
        train, held_out = split(pairs, recipe)
    _check_split(train, held_out)
    partitioner = CachedPartitioner(get_partitioner(recipe.partition), cache)
    source = PairExamples(task, recipe, read_pairs(train, task), partitioner)
    kept = spread(read_pairs(held_out, task), _HELD_OUT_PLANES)
    examples = [PairExamples(task, recipe, [plane], partitioner).make(0) for plane in kept]
    return source, examples


def _named(pairs: Sequence[Pair], names: Sequence[str]) -> list[Pair]:
    """Return the pairs with given names: paths below `low/`, with or without a suffix."""
    found = []
    for name in names:
        of_name = [pair for pair in pairs if _is_named(pair.low.key, name)]
        if not of_name:
            raise InputNotFoundError(f"there is no '{name}' in the training data")
        found += of_name
    return found


def _is_named(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name.rstrip('/')}/") or name.startswith(f"{key}.")


def _check_network(task: Task, recipe: Recipe) -> None:
    network = recipe.network
    if (network.channels, network.scale) != (task.channels, task.scale):
        raise UsageError(
            f"the recipe's network has {network.channels} channels and scale {network.scale}, "
            f"but {task.name} takes {task.channels} and {task.scale}"
        )
    if recipe.balance and task.scale != 1:
        raise UsageError(f"{task.name} changes the grid, so its recipe cannot set balance")


def _check_split(train: Sequence[FoundScan | Pair], held_out: Sequence[FoundScan | Pair]) -> None:
    """Log the numbers of scans and patients; refuse patients that are on both sides."""
    mine, others = ({part.patient for part in parts} for parts in (train, held_out))
    if mine & others:
        raise UnsuitableInputError(
            f"{len(mine & others)} patients are used both for training and for validation",
            hint="List all scans of a patient either in train or in held_out.",
        )
    LOG.info(
        "to learn from: %d scans of %d patients; held out: %d of %d",
        len(train), len(mine), len(held_out), len(others),
    )  # fmt: skip
