"""What each part of the method contributes: short trainings that differ in one thing.

    python benchmarks/ablations.py --data DIR -o runs/ablations --steps 300 \
        [--variants base "beta 0"] [--json benchmarks/results/ablations.json]
    python benchmarks/ablations.py --docs docs/ablations.md [--json ...]

Seed, number of steps, scans and held-out patients are the same for all. The same command continues
an interrupted run: variants that have figures are skipped, the others resume from their last
checkpoint. `--docs` replaces the table in that file by the figures in the JSON file.

In a network without W-MSA (or R-MSA), the gate of that attention stays at zero, its initial value,
so that the attention adds nothing. Nothing else differs.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from held_out.cases import Case, Method, spread
from held_out.ct import CtJudge
from held_out.networks import facts
from held_out.rows import judge, show

from ratcli.errors import WeightsError
from ratcli.network.checkpoint import build_network
from ratcli.network.engine import Engine
from ratcli.network.inference import InferenceRAT
from ratcli.network.settings import EngineSettings
from ratcli.partition import get_partitioner
from ratcli.scan import FloatArray
from ratcli.tasks import get_task
from ratcli.training.checkpoints import CHECKPOINT, CURVE, load
from ratcli.training.data import read_patients
from ratcli.training.prepare import prepare
from ratcli.training.recipe import Recipe, keep_recipe, read_recipe

CPU = torch.device("cpu")
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


@dataclass(frozen=True)
class Variant:
    """One change of the recipe.

    Attributes:
        settings: of the recipe.
        closed: gates of the network that stay at zero, by the end of their name.
        restored_by: partitions to restore with besides the one trained with.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    closed: str = ""
    restored_by: tuple[str, ...] = ()


VARIANTS = {
    "base": Variant(restored_by=("none",)),
    "regions: none": Variant({"partition": "none"}, restored_by=("superpixel",)),
    "regions: sam-compact": Variant({"partition": "sam-compact"}, restored_by=("superpixel",)),
    "beta 0": Variant({"beta": 0.0}),
    "beta 1e-3": Variant({"beta": 1e-3}),
    "without W-MSA": Variant(closed="window_gate"),
    "without R-MSA": Variant(closed="region_gate"),
    "real scans only": Variant({"procedural": 0.0}),
    "procedural only": Variant({"procedural": 1.0}),
}


def shortened(recipe: Recipe, steps: int, patch: int) -> Recipe:
    """Return a recipe of fewer steps whose phases keep their shares; 0 keeps the patches."""
    share = steps / recipe.steps
    smaller = {"patch": patch, "late_patch": patch} if patch else {}
    return replace(
        recipe,
        steps=steps,
        late_steps=round(recipe.late_steps * share),
        warmup=max(1, round(recipe.warmup * share)),
        validate=min(100, steps),
        **smaller,
    )


def train(recipe: Recipe, variant: Variant, data: Path, folder: Path) -> None:
    """Train a variant, or go on with it."""
    trainer = prepare(recipe, data, folder, CPU)
    for name, value in trainer.network.named_parameters():
        if variant.closed and name.endswith(variant.closed):
            value.requires_grad_(False)
    keep_recipe(folder, recipe)
    if (folder / CHECKPOINT).is_file():
        trainer.resume()
    began, first = time.monotonic(), trainer.step

    def tell(progress: Any) -> None:
        if progress.is_validated or progress.step == first + 1:
            spent = time.monotonic() - began
            print(f"  step {progress.step} of {progress.steps}, {spent:.0f} s", flush=True)

    trainer.run(tell)


def restoring(recipe: Recipe, folder: Path, partition: str, threads: int) -> Method:
    """Return a trained variant as a method.

    Raises:
        WeightsError: the partition's weights are not installed.
    """
    task, partitioner = get_task(recipe.task), get_partitioner(partition)
    network = build_network(recipe.network, load(folder / CHECKPOINT, CPU)["average"], CPU)
    folded = InferenceRAT(network, torch.float32)
    engine = Engine(folded, CPU, EngineSettings(device="cpu", threads=threads))

    def run(plane: FloatArray) -> FloatArray:
        normal = task.normalise(plane)
        restored = engine.restore([normal], [partitioner.partition(normal).labels])[0]
        return np.where(task.outside(plane), plane, task.denormalise(restored))

    return run


def installed(partition: str) -> bool:
    """Tell whether a partition can run here."""
    try:
        get_partitioner(partition)
    except WeightsError as error:
        print(f"no variant with regions by {partition}: {error}", flush=True)
        return False
    return True


def figures(
    name: str, recipe: Recipe, folder: Path, cases: Mapping[str, list[Case]], threads: int
) -> Iterator[dict[str, Any]]:
    """Judge a trained variant with each of its partitions at each dose."""
    bench = CtJudge()
    for partition in dict.fromkeys((recipe.partition, *VARIANTS[name].restored_by)):
        if not installed(partition):
            continue
        method = restoring(recipe, folder, partition, threads)
        rows = [judge(bench, dose, (name, method), some) for dose, some in cases.items()]
        show(rows, bench.columns, f"{name}, restored with regions by {partition}; a row each dose")
        yield from ({"restored_by": partition, **asdict(row)} for row in rows)


def seconds_trained(folder: Path) -> tuple[int, float]:
    """Return steps and seconds of the last uninterrupted part of a training."""
    with (folder / CURVE).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    told = [float(row["seconds"]) for row in rows]
    first = max((i for i in range(1, len(told)) if told[i] < told[i - 1]), default=0)
    return len(told) - first, told[-1]


def held_out_cases(recipe: Recipe, data: Path, planes: int) -> dict[str, list[Case]]:
    """Degrade held-out slices at each dose, without the planted edges."""
    bench = CtJudge()
    chosen = spread(read_patients(data, recipe.held_out, get_task(recipe.task)), planes)
    return {
        dose: [replace(case, edges=None) for case in bench.cases(chosen, dose, first_seed=0)]
        for dose in bench.conditions
    }


def run_all(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and judge every variant that has no figures yet; keep them after each."""
    recipe = shortened(read_recipe(arguments.recipe), arguments.steps, arguments.patch)
    budget = {
        "steps": recipe.steps,
        "patch": recipe.patch,
        "seed": recipe.seed,
        "planes": arguments.planes,
    }
    result = {**facts((), arguments.threads), "budget": budget, "variants": {}}
    if arguments.json.is_file():
        result["variants"] = kept(arguments.json, budget)
    cases = held_out_cases(recipe, arguments.data, arguments.planes)
    for name in arguments.variants:
        variant = VARIANTS[name]
        own = replace(recipe, **variant.settings)
        if name in result["variants"] or not installed(own.partition):
            continue
        print(f"\n{name}", flush=True)
        folder = arguments.output / name.replace(" ", "-").replace(":", "")
        train(own, variant, arguments.data, folder)
        steps, seconds = seconds_trained(folder)
        result["variants"][name] = {
            "settings": dict(variant.settings),
            "closed": variant.closed,
            "seconds_per_step": seconds / steps,
            "rows": list(figures(name, own, folder, cases, arguments.threads)),
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


def kept(path: Path, budget: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variants that have figures already; refuse those of another budget."""
    before: dict[str, Any] = json.loads(path.read_text())
    if before["budget"] != budget:
        raise SystemExit(f"{path.name} holds another budget, {before['budget']}: choose another")
    variants: dict[str, Any] = before["variants"]
    return variants


def table(result: Mapping[str, Any]) -> str:
    """Return the figures as a table in Markdown, differences from `base` beside them."""
    rows = [(name, row) for name, variant in result["variants"].items() for row in variant["rows"]]
    doses = list(dict.fromkeys(row["condition"] for _, row in rows))
    of = {(name, row["restored_by"], row["condition"]): row["figures"] for name, row in rows}
    worst = {(name, row["restored_by"], row["condition"]): row["worst"] for name, row in rows}
    titles = [f"{dose}: {what}" for dose in doses for what in ("PSNR dB", "SSIM", "bias HU, worst")]
    lines = [
        f"{result['budget']['steps']} steps, patches of {result['budget']['patch']}.",
        "",
        f"| variant | restored by | {' | '.join(titles)} |",
        "|---" * (2 + len(titles)) + "|",
    ]
    for name, partition in dict.fromkeys(key[:2] for key in of):
        cells = []
        for dose in doses:
            figure, base = of[name, partition, dose], of.get(("base", "superpixel", dose))
            is_other = base is not None and figure is not base
            more = f" ({figure['psnr_soft_db'] - base['psnr_soft_db']:+.2f})" if is_other else ""
            bias, most = figure["bias_hu"], worst[name, partition, dose]["bias_hu"]
            cells += [
                f"{figure['psnr_soft_db']:.2f}{more}",
                f"{figure['ssim_soft']:.4f}",
                f"{bias:.2f}, {most:.2f}",
            ]
        lines.append(f"| {name} | `{partition}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_docs(path: Path, result: Mapping[str, Any]) -> None:
    """Replace the table between its marks."""
    text = path.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    path.write_text(f"{head}{BEGIN}\n\n{table(result)}\n\n{END}{tail}")


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ct-denoise.toml"))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--patch", type=int, default=0, help="side of all patches; 0: the recipe's")
    parser.add_argument("--planes", type=int, default=2, help="most slices of a held-out patient")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/ablations.json"))
    parser.add_argument("--docs", type=Path, help="file whose table is replaced")
    return parser.parse_args(words)


def main() -> None:
    arguments = parsed()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    result = run_all(arguments) if arguments.data else json.loads(arguments.json.read_text())
    print(f"\n{table(result)}")
    if arguments.docs:
        write_docs(arguments.docs, result)


if __name__ == "__main__":
    main()
