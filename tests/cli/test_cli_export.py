"""`rat export`: its files, their use as the documentation shows it, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ratcli.cli.app import main
from ratcli.commands import export as exporting
from ratcli.network.engine import load_engine
from ratcli.network.registry import find_weights
from ratcli.network.settings import EngineSettings
from ratcli.tasks import get_task

PAGE = Path(__file__).resolve().parents[2] / "docs" / "onnx.md"
Output = pytest.CaptureFixture[str]

needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="the extra onnx is not installed",
)


@needs_onnx
def test_the_example_of_the_page_gives_the_planes_of_the_engine(
    tmp_path: Path, tiny_weights: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "ct-denoise", "--onnx", "ct.onnx"]) == 0
    assert capsys.readouterr().out == "ct.onnx\n"
    facts = json.loads(Path("ct.json").read_text(encoding="utf-8"))
    assert facts["task"] == "ct-denoise"
    assert facts["unit"] == "HU"
    assert facts["multiple"] == 16
    assert facts["largest_difference"] < exporting.MOST_DIFFERENCE
    assert facts["residual_kept"]["error"] == 1.3

    hu = np.random.default_rng(0).normal(0, 300, (50, 37)).astype(np.float32)
    (example,) = re.findall(r"```python\n(.+?)```", PAGE.read_text(encoding="utf-8"), re.S)
    names: dict[str, np.ndarray] = {"hu": hu}
    exec(example, names)
    task = get_task("ct-denoise")
    engine = load_engine(find_weights("ct-denoise"), EngineSettings(device="cpu", threads=1))
    (restored,) = engine.restore([task.normalise(hu[None])], [np.zeros(hu.shape, np.int32)])
    # 1e-4 of the network's values is 0.04 HU
    np.testing.assert_allclose(names["denoised"], task.denormalise(restored)[0], atol=0.04)
    assert np.abs(names["denoised"] - hu).max() > 1


def test_a_model_that_differs_from_torch_is_not_written(
    tmp_path: Path, tiny_weights: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    from ratcli.network import onnx_export

    monkeypatch.setattr(onnx_export, "make_onnx", lambda *_, **__: b"")
    monkeypatch.setattr(onnx_export, "largest_difference", lambda *_, **__: float("nan"))
    assert main(["export", "ct-denoise", "--onnx", str(tmp_path / "ct.onnx")]) == 7
    assert "differs from torch by nan" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ([], 2, "rat export needs the name of a file. Give it with --onnx."),
        (["--onnx", "model.pt"], 2, "model.pt does not end in .onnx."),
        (
            ["--onnx", "old.onnx"],
            5,
            "old.json already exists. Choose another name, or give --if-exists overwrite.",
        ),
        (["--onnx", "new.onnx", "--if-exists", "skip"], 2, "--if-exists must be error or"),
    ],
)
def test_a_wrong_output_is_refused_before_any_work(
    words: list[str],
    code: int,
    expected: str,
    tmp_path: Path,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.json").write_text("mine")
    assert main(["export", "ct-denoise", *words]) == code
    assert capsys.readouterr().err.startswith(f"rat: {expected}")
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert Path("old.json").read_text() == "mine"


@needs_onnx
def test_weights_that_do_not_exist_are_refused(tmp_path: Path, capsys: Output) -> None:
    assert main(["export", "ct-denois", "--onnx", str(tmp_path / "ct.onnx")]) == 7
    assert "Did you mean ct-denoise" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library_is_named_with_the_extra_that_has_it(
    missing: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> object:
        return None if name == missing else object()

    monkeypatch.setattr(exporting, "find_spec", find)
    assert main(["export", "ct-denoise", "--onnx", str(tmp_path / "ct.onnx")]) == 2
    told = capsys.readouterr().err
    assert f"rat export needs {missing}, which is not installed" in told
    assert "ratcli[onnx]" in told
