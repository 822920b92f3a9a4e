"""Sources of examples: each index gives one example, physics and grids fit the task."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from ratcli.errors import InputNotFoundError, UnreadableInputError
from ratcli.network.rat import NetworkSettings
from ratcli.partition import get_partitioner
from ratcli.tasks import TASKS, get_task
from ratcli.training.data import read_patients
from ratcli.training.examples import PatientPlanes, TargetPlane, make_example
from ratcli.training.recipe import Recipe, read_recipe
from ratcli.training.sources import TRAINABLE_TASKS, held_out_examples, make_source

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
RESTORERS = sorted(path for path in RECIPES.glob("*.toml") if not path.stem.startswith("sam"))
TRAINABLE = sorted(TRAINABLE_TASKS)


def recipe_of(task: str, **settings: float) -> Recipe:
    network = NetworkSettings(channels=get_task(task).channels, scale=get_task(task).scale)
    return replace(Recipe(task, network, seed=3), **settings)


def clean_plane(task: str, patient: str = "p", side: int = 48) -> TargetPlane:
    """A disc in the task's unit: soft tissue in air, uptake in a limb, stain on glass."""
    rows, columns = np.mgrid[:side, :side] - side / 2
    inside = rows**2 + columns**2 < (side / 3) ** 2
    low, high = {"ct-denoise": (-1000, 40), "pet-synthesis": (0, 2), "pathology-sr": (0.95, 0.4)}[
        task
    ]
    values = np.where(inside, high, low).astype(np.float32)
    return TargetPlane(patient, np.stack([values] * get_task(task).channels), 4.0)


def test_every_task_can_be_trained() -> None:
    assert set(TRAINABLE_TASKS) == set(TASKS)


@pytest.mark.parametrize("task", TRAINABLE)
@pytest.mark.parametrize("procedural", [0.0, 1.0])
def test_an_index_gives_the_same_example_again(task: str, procedural: float) -> None:
    recipe = recipe_of(task, procedural=procedural)
    first, second = (
        make_source(get_task(task), recipe, [clean_plane(task)]).make(5) for _ in range(2)
    )
    assert np.array_equal(first.degraded, second.degraded)
    assert np.array_equal(first.target, second.target)
    assert np.array_equal(first.labels, second.labels)


@pytest.mark.parametrize("task", TRAINABLE)
def test_clean_and_labels_stand_on_the_output_grid(task: str) -> None:
    scale = get_task(task).scale
    example = make_source(get_task(task), recipe_of(task, procedural=0), [clean_plane(task)]).make(
        0
    )
    assert example.target.shape[1:] == tuple(scale * n for n in example.degraded.shape[1:])
    assert example.labels.shape == example.target.shape[1:]
    assert example.degraded.dtype == example.target.dtype == np.float32


@pytest.mark.parametrize("task", TRAINABLE)
def test_degrading_changes_a_plane(task: str) -> None:
    source = make_source(get_task(task), recipe_of(task, procedural=0.0), [clean_plane(task)])
    example = source.make(1)
    scale = get_task(task).scale
    coarse = example.target[:, ::scale, ::scale]
    assert float(np.abs(example.degraded - coarse).max()) > 0.01


def test_low_counts_keep_the_mean_uptake() -> None:
    recipe = recipe_of("pet-synthesis", procedural=0.0, reduction=(3.0, 4.0))
    source = make_source(get_task("pet-synthesis"), recipe, [clean_plane("pet-synthesis")])
    pairs = [source.make(index) for index in range(12)]
    middle = (slice(None), slice(18, 30), slice(18, 30))
    ratios = [float(e.degraded[middle].mean() / e.target[middle].mean()) for e in pairs]
    # 12 draws of about 2 % each
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.03)


def test_low_counts_are_never_below_zero() -> None:
    recipe = recipe_of("pet-synthesis", procedural=1.0, reduction=(20.0, 24.0))
    example = make_source(get_task("pet-synthesis"), recipe, []).make(2)
    assert example.degraded.min() >= 0


def test_a_field_without_blur_is_the_bicubic_one() -> None:
    from skimage.transform import resize

    recipe = recipe_of("pathology-sr", procedural=0.0, realistic=0.0)
    slide = clean_plane("pathology-sr", side=64)
    example = make_source(get_task("pathology-sr"), recipe, [slide]).make(0)
    rough = resize(example.target[0], example.degraded.shape[1:], anti_aliasing=True)
    assert float(np.abs(example.degraded[0] - rough).mean()) < 0.03


def test_labels_of_a_finer_grid_are_those_of_the_coarse_one() -> None:
    task, partitioner = get_task("pathology-sr"), get_partitioner("superpixel")
    coarse = clean_plane("pathology-sr", side=32).values
    example = make_example(task, partitioner, coarse, clean_plane("pathology-sr", side=128))
    found = partitioner.partition(coarse).labels
    assert np.array_equal(example.labels[::4, ::4], found)
    assert np.array_equal(example.labels[3::4, 3::4], found)


def test_patients_are_drawn_evenly_whatever_their_planes() -> None:
    planes = [clean_plane("ct-denoise", "many")] * 9 + [clean_plane("ct-denoise", "one")]
    rng = np.random.default_rng(0)
    drawn = Counter(PatientPlanes(planes).draw_evenly(rng).patient for _ in range(400))
    assert drawn["one"] == pytest.approx(200, abs=40)  # four standard deviations


def test_larger_scans_are_drawn_by_the_root_of_their_size() -> None:
    planes = [clean_plane("ct-denoise", "many")] * 9 + [clean_plane("ct-denoise", "one")]
    rng = np.random.default_rng(0)
    drawn = Counter(PatientPlanes(planes).draw_by_size(rng).patient for _ in range(400))
    assert drawn["one"] == pytest.approx(100, abs=35)  # four standard deviations


def test_held_out_examples_are_the_same_at_every_call() -> None:
    task, recipe = get_task("ct-denoise"), recipe_of("ct-denoise")
    planes = [clean_plane("ct-denoise", str(number)) for number in range(3)]
    first, second = (held_out_examples(task, recipe, planes, 2) for _ in range(2))
    assert [e.name for e in first] == ["0", "2"]
    assert all(np.array_equal(a.degraded, b.degraded) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("path", RESTORERS, ids=lambda path: path.stem)
def test_the_recipes_hold_out_whole_patients(path: Path) -> None:
    recipe = read_recipe(path)
    inside = [
        (a, b)
        for a in recipe.train
        for b in recipe.held_out
        if a == b or a.startswith(f"{b}/") or b.startswith(f"{a}/")
    ]
    assert recipe.train
    assert recipe.held_out
    assert inside == []


def write_picture(path: Path, samples: np.ndarray) -> None:
    encode = imagecodecs.png_encode if path.suffix == ".png" else imagecodecs.jpeg8_encode
    path.write_bytes(encode(samples))


def test_pictures_are_read_in_colour_without_their_alpha(tmp_path: Path) -> None:
    rgba = np.zeros((6, 8, 4), np.uint8)
    rgba[..., 0], rgba[..., 3] = 255, 7
    write_picture(tmp_path / "slide.png", rgba)
    (plane,) = read_patients(tmp_path, ["slide.png"], get_task("pathology-sr"))
    assert plane.values.shape == (3, 6, 8)
    assert plane.values.max() == 1.0
    assert plane.values[1].max() == 0.0


def test_a_folder_of_pictures_is_one_slide(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        write_picture(tmp_path / name, np.full((8, 8, 3), 200, np.uint8))
    planes = read_patients(tmp_path.parent, [tmp_path.name], get_task("pathology-sr"))
    assert {plane.patient for plane in planes} == {tmp_path.name}
    assert len(planes) == 2


def test_a_damaged_picture_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    with pytest.raises(UnreadableInputError, match=r"a\.png is damaged"):
        read_patients(tmp_path, ["a.png"], get_task("pathology-sr"))


def test_a_gray_picture_is_a_clear_error(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(UnreadableInputError, match="gray"):
        read_patients(tmp_path, ["a.png"], get_task("pathology-sr"))


def test_missing_scans_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no 'nobody' in the training data"):
        read_patients(tmp_path, ["nobody"], get_task("ct-denoise"))
