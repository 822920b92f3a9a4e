"""Every command and every Python example of the pages runs as it is printed, on small scans."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from evaluation.dicom_series import write_ct, write_pet
from training_scans import body, noisy, write_nifti

from ratcli.cli.app import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^```(?:sh|python)\n(.*?)^```$|((?:^    \S[^\n]*\n)+)", re.MULTILINE | re.DOTALL
)

FOLLOWED = ("README.md", "start.md", "training.md")
"""Pages whose commands build on each other."""

ELSEWHERE = {
    "rat serve": "tests/node/test_node.py",
    "--scheduler": "tests/batch/test_cluster.py",
    "--detectability": "tests/commands/test_detectability.py",
}
"""Commands that need more than scans, and the tests that run them."""

SHORT = "--set steps=2 --set pool=2 --set batch=1 --set patch=32 --set late_steps=0 --threads 1"
"""What makes a training short; it is added to what is printed."""


def commands_of(text: str) -> list[str]:
    """Return the commands of `rat` in a block, each with the variables before it."""
    lines = text.replace("\\\n", " ").splitlines()
    lines = [line.strip() for line in lines]
    found = [re.search(r"(?:^|&& )((?:\w+=\S+ )*rat .*)$", line) for line in lines]
    return [match.group(1) for match in found if match]


def blocks() -> dict[str, list[str]]:
    """Return the commands of each block, or of a whole page that is followed."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8"))):
            commands = [
                command
                for command in commands_of(match.group(1) or match.group(2))
                if not any(words in command for words in ELSEWHERE)
            ]
            key = page.name if page.name in FOLLOWED else f"{page.name} {number}"
            if commands and page.name != "options.md":
                found[key] = found.get(key, []) + commands
    return found


def write_scans(folder: Path) -> None:
    """Write the scans that the pages name: 48 x 48 pixels, one patient each."""
    clean = body(planes=3)
    for name in ("series", "scan", "monday", "tuesday", "study/p1/CT"):
        write_ct(folder / name, noisy(clean))
    write_pet(folder / "study/p1/PET", np.where(clean > 0, 4.0, 0.2))
    for name in ("scan.dcm", "low.dcm", "out.dcm"):
        shutil.copy(next(iter(sorted((folder / "scan").iterdir()))), folder / name)
    write_nifti(folder / "study/p3.nii.gz", noisy(clean))
    for number, patient in enumerate(("p1", "p2")):
        for place in ("low", "study/low"):
            write_nifti(folder / place / f"{patient}.nii.gz", noisy(clean, number))
        for place in ("full", "study/full", "scans"):
            write_nifti(folder / place / f"{patient}.nii.gz", clean)
    shutil.copy(folder / "low/p1.nii.gz", folder / "scan.nii.gz")
    words = ["segment", f"{folder}/scan.dcm", "-o", f"{folder}/my_regions.nii.gz", "-q"]
    assert main([*words, "--format", "nifti"]) == 0
    (folder / "organs.json").write_text(
        json.dumps({"regions": [{"name": "liver", "disc": [24, 24, 6]}]})
    )
    tifffile.imwrite(folder / "slide.svs", np.full((24, 24, 3), 200, np.uint8), photometric="rgb")
    (folder / "examples").mkdir()
    shutil.copy(folder / "scan.dcm", folder / "examples/ct_phantom.dcm")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documented")
    write_scans(folder)
    return folder


@pytest.fixture
def place(scans: Path, tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(scans, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    words = shlex.split(command, comments=True)
    for word in iter(lambda: words.pop(0), "rat"):
        monkeypatch.setenv(*word.split("=", 1))
    if words[0] == "train" and not {"--publish", "--resume"} & set(words):
        words += shlex.split(SHORT)
    return main(words)


@pytest.mark.parametrize("block", blocks())
def test_the_commands_of_a_block_run_as_printed(
    block: str, place: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in blocks()[block]:
        words = shlex.split(command)
        if "evaluate restored/" in command and not (place / "restored").exists():
            given = words[words.index("--input") + 1]  # restored in another block
            assert main(["restore", given, "-t", "ct-denoise", "-o", "restored/", "-q"]) == 0
        assert run(command, monkeypatch) == 0, command
        monkeypatch.setenv("RAT_HOME", str(tiny_weights))


def test_the_python_examples_run_as_printed(place: Path) -> None:
    low, full = (np.asarray(nib.load(f"{name}/p1.nii.gz").dataobj).T for name in ("low", "full"))
    names = {"hu": low.astype(np.float32), "full": full.astype(np.float32)}
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    short = ", ".join(f'"{word}"' for word in SHORT.split()[1:10:2])
    text = text.replace('"steps=2000"', short)
    examples = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(examples) > 5
    for example in examples:
        exec(compile(example, "docs/python.md", "exec"), names)


def test_every_page_with_commands_is_read() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    printed = len(re.findall(r"^(?:    )?(?:\w+=\S+ )*rat [a-z]", text, re.MULTILINE))
    elsewhere = len(re.findall("^rat serve", text, re.MULTILINE))
    assert sum(map(len, blocks().values())) >= printed - elsewhere - len(ELSEWHERE)
    for test in ELSEWHERE.values():
        assert (ROOT / test).is_file()
