from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

import ratcli
from ratcli.batch.outcome import Outcome
from ratcli.errors import (
    DeviceError,
    InputNotFoundError,
    OutputError,
    PartialFailureError,
    UnsuitableInputError,
    UsageError,
)


def plane(height: int = 48, width: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 100, (height, width)).astype(np.float32)


@pytest.mark.parametrize("shape", [(48, 40), (3, 48, 40)])
def test_an_array_comes_back_with_its_axes(shape: tuple[int, ...], tiny_weights: Path) -> None:
    values = np.broadcast_to(plane(), shape).copy()
    restored = ratcli.restore(values, task="ct-denoise", threads=1)
    assert restored.shape == shape
    assert restored.dtype == np.float32
    assert not np.array_equal(restored, values)


def test_strength_0_gives_an_array_back(tiny_weights: Path) -> None:
    restored = ratcli.restore(plane(), task="ct-denoise", strength=0.0, threads=1)
    # float32 on the way to the network's units and back: 3000 HU x 2^-22
    np.testing.assert_allclose(restored, plane(), atol=1e-3)


def test_missing_values_stay_missing(tiny_weights: Path) -> None:
    values = plane()
    values[:4] = np.nan
    restored = ratcli.restore(values, task="ct-denoise", threads=1)
    np.testing.assert_array_equal(np.isnan(restored), np.isnan(values))


def test_a_slide_of_8_bits_comes_back_four_times_as_fine(tiny_weights: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    restored = ratcli.restore(values, task="pathology-sr", threads=1)
    assert restored.shape == (48, 64, 3)
    assert restored.min() >= 0
    assert restored.max() <= 1


def test_regions_can_be_given(tiny_weights: Path) -> None:
    labels = np.arange(40, dtype=np.int32)[None].repeat(48, 0) // 8
    given = ratcli.restore(plane(), task="ct-denoise", regions=labels, threads=1)
    whole = ratcli.restore(plane(), task="ct-denoise", partition="none", threads=1)
    assert given.shape == whole.shape


def test_regions_of_another_size_are_refused(tiny_weights: Path) -> None:
    with pytest.raises(ValueError, match="not on the grid"):
        ratcli.restore(plane(), task="ct-denoise", regions=np.zeros((2, 2), int), threads=1)


def test_an_array_of_other_axes_is_refused(tiny_weights: Path) -> None:
    with pytest.raises(ValueError, match=r"takes arrays \(H, W\)"):
        ratcli.restore(np.zeros((1, 2, 3, 4)), task="ct-denoise")


def test_a_file_is_restored_beside_itself(tmp_path: Path, tiny_weights: Path) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", plane() * 4)
    outputs = ratcli.restore(tmp_path / "scan.tif", task="ct-denoise", unit="HU", threads=1)
    assert [outcome.output for outcome in outputs] == [str(tmp_path / "scan_ct-denoise.tif")]
    assert tifffile.imread(outputs[0].output).shape == (48, 40)


def written(outcomes: list[Outcome]) -> list[Path]:
    return [Path(outcome.output) for outcome in outcomes]


def test_several_paths_are_one_batch_that_can_go_on(tmp_path: Path, tiny_weights: Path) -> None:
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", plane())
    paths = [tmp_path / "a.tif", str(tmp_path / "b.tif")]
    kept = {"manifest": tmp_path / "run.json", "resume": True, "output": tmp_path / "out"}
    first = written(ratcli.restore(paths, task="ct-denoise", unit="HU", threads=1, **kept))
    assert first == [tmp_path / "out" / "a.tif", tmp_path / "out" / "b.tif"]
    made = [path.stat().st_mtime_ns for path in first]
    again = ratcli.restore(paths, task="ct-denoise", unit="HU", threads=1, **kept)
    assert [outcome.status for outcome in again] == ["skipped", "skipped"]
    assert written(again) == first
    assert [path.stat().st_mtime_ns for path in first] == made


def test_one_broken_scan_is_logged_and_the_others_are_done(
    tmp_path: Path, tiny_weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", plane())
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:2000])
    with pytest.raises(PartialFailureError, match="1 of 2 inputs failed"):
        ratcli.restore(tmp_path, task="ct-denoise", unit="HU", output=tmp_path / "out", threads=1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.tif"]
    assert "a.tif" in caplog.text


def test_an_uncertainty_comes_with_eight_views(tmp_path: Path, tiny_weights: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", plane())
    options = {"task": "ct-denoise", "unit": "HU", "threads": 1}
    ratcli.restore(tmp_path / "a.tif", uncertainty=True, **options)
    assert (tmp_path / "a_ct-denoise_uncertainty.tif").is_file()
    with pytest.raises(UsageError, match="needs 8 views"):
        ratcli.restore(tmp_path / "a.tif", uncertainty=True, views=1, **options)


def test_an_array_has_no_place_on_disk(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="does not take these options: output"):
        ratcli.restore(plane(), task="ct-denoise", output=tmp_path)


def test_a_budget_too_small_for_an_array_is_told(tiny_weights: Path) -> None:
    with pytest.raises(DeviceError, match="too little for the network"):
        ratcli.restore(plane(), task="ct-denoise", memory="10MB", threads=1)


def test_errors_are_those_of_the_command_line(tmp_path: Path, tiny_weights: Path) -> None:
    with pytest.raises(InputNotFoundError):
        ratcli.restore(tmp_path / "gone.tif", task="ct-denoise")
    with pytest.raises(UsageError, match="no task 'ct'"):
        ratcli.restore(plane(), task="ct")


def test_an_output_that_exists_keeps_its_error_class(tmp_path: Path, tiny_weights: Path) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", plane())
    (tmp_path / "scan_ct-denoise.tif").touch()
    with pytest.raises(OutputError):
        ratcli.restore(tmp_path / "scan.tif", task="ct-denoise", unit="HU")


def test_regions_of_an_array_cover_it() -> None:
    labels = ratcli.segment(plane() * 3, task="ct-denoise")
    assert labels.shape == (48, 40)
    assert labels.min() == 0


def test_regions_of_a_file_are_those_of_its_values(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", plane() * 3)
    found = ratcli.find_regions(tmp_path / "scan.tif", task="ct-denoise", unit="HU")
    np.testing.assert_array_equal(found, ratcli.segment(plane() * 3, task="ct-denoise"))


def test_a_cache_keeps_the_regions_of_an_array(tmp_path: Path) -> None:
    fresh = ratcli.segment(plane() * 3, task="ct-denoise", cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    kept = ratcli.segment(plane() * 3, task="ct-denoise", cache=tmp_path)
    np.testing.assert_array_equal(kept, fresh)


def test_a_restored_array_is_evaluated() -> None:
    clean = np.zeros((64, 64), np.float32)
    noisy = np.random.default_rng(0).normal(0, 10, (64, 64)).astype(np.float32)
    result = ratcli.evaluate(
        noisy * 0.5, reference=clean, input=noisy, task="ct-denoise", unit="HU"
    )
    errors = {row.image: row.fidelity.rmse for row in result.pooled}
    assert errors["restored"] == pytest.approx(errors["input"] / 2, rel=1e-3)


HU = np.where(np.hypot(*np.mgrid[-24:24, -20:20]) < 18, np.float32(40), np.float32(-1000))
IN_ANOTHER_UNIT = {
    "stored": ("ct-denoise", HU + 1024),
    "thousandths": ("ct-denoise", HU / 1000),
    "CT": ("pet-synthesis", HU),
    "Bq/ml": ("pet-synthesis", np.clip(HU, 0, None) * 1000),
    "8 bits": ("pathology-sr", np.full((48, 40, 3), 200.0)),
}


@pytest.mark.parametrize("name", IN_ANOTHER_UNIT)
@pytest.mark.parametrize("function", ["restore", "segment", "find_regions", "evaluate"])
def test_an_array_in_another_unit_is_refused(name: str, function: str) -> None:
    task, values = IN_ANOTHER_UNIT[name]
    with pytest.raises(UnsuitableInputError, match=r"do not look like|but RGB reaches 1"):
        getattr(ratcli, function)(values, task=task)


def test_an_array_that_does_not_look_like_its_unit_is_taken_if_the_unit_is_given(
    tiny_weights: Path,
) -> None:
    values = np.full((32, 32), 40.0)
    restored = ratcli.restore(values, task="ct-denoise", unit="HU", threads=1)
    assert restored.shape == values.shape
    with pytest.raises(UnsuitableInputError, match="is in HU, not in SUV"):
        ratcli.restore(HU, task="ct-denoise", unit="SUV")


def test_an_array_is_not_evaluated_without_a_task() -> None:
    with pytest.raises(ValueError, match="give task="):
        ratcli.evaluate(plane())


@pytest.mark.parametrize("first", ["import ratcli.pipeline", "import ratcli.pipeline.model as M"])
def test_the_function_keeps_its_name_beside_the_module(first: str) -> None:
    code = f"{first}\nimport ratcli\nassert ratcli.restore.__module__ == 'ratcli.commands.restore'"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
