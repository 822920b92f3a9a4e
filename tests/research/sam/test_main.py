"""`python -m research.sam`, as it stands in the recipes of the compact SAM."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest
from training_scans import body, write_nifti

from ratcli.partition.sam import read_compact
from ratcli.training.checkpoints import CURVE
from research.sam.__main__ import main
from research.sam.training import WEIGHTS

ROOT = Path(__file__).resolve().parents[3]
RECIPE = """
steps = 4
batch = 1
prompts = 4
pool = 2
save = 2
warmup = 2
precision = "fp32"
train = ["one.nii.gz"]

[shape]
image_size = 64
width = 32
depth = 2
heads = 2
global_blocks = [1]
window = 2
prompt_width = 32
decoder_hidden = 32
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    write_nifti(tmp_path / "data" / "one.nii.gz", body())
    (tmp_path / "tiny.toml").write_text(RECIPE)
    given = ["--config", tmp_path / "tiny.toml", "--data", tmp_path / "data"]
    return [*map(str, given), "--device", "cpu", "--workers", "0", "--threads", "1"]


def steps(folder: Path) -> list[int]:
    with (folder / CURVE).open() as stream:
        return [int(row["step"]) for row in csv.DictReader(stream)]


def test_a_run_is_interrupted_resumed_and_continued_by_another(
    words: list[str], tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    main([*words, "-o", str(first), "--until", "2"])
    main([*words, "-o", str(first), "--resume"])
    assert steps(first) == [1, 2, 3, 4]
    main([*words, "-o", str(second), "--from", str(first / WEIGHTS), "--until", "1"])
    assert read_compact(second / WEIGHTS)[0] == read_compact(first / WEIGHTS)[0]


@pytest.mark.parametrize("name", ["sam-compact", "sam-compact-points"])
def test_the_command_in_a_recipe_names_options_that_exist(
    name: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "recipes" / f"{name}.toml").read_text().replace("\\\n#", " ")
    (line,) = re.findall(r"^#\s+(python -m research\.sam .*)$", text, re.MULTILINE)
    with pytest.raises(SystemExit):
        main(["--help"])
    known = capsys.readouterr().out
    given = [word for word in shlex.split(line)[3:] if word.startswith("-")]
    assert {"--config", "--data", "-o"} <= set(given)
    assert all(re.search(rf"{word}\b", known) for word in given)
