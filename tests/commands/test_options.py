"""Options are described once: the command line and Python have the same ones, and do the same."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

import ratcli
from ratcli.cli.app import LazyGroup, main
from ratcli.cli.console import ConsoleOptions
from ratcli.commands.evaluate import EvaluateOptions
from ratcli.commands.info import InfoOptions
from ratcli.commands.options import described, option, recorded, settle
from ratcli.commands.restore_options import RestoreOptions
from ratcli.commands.segment import SegmentOptions
from ratcli.commands.simulate import SimulateOptions
from ratcli.errors import UsageError
from ratcli.evaluation.export import as_dict

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
VERBS: dict[str, type] = {
    "restore": RestoreOptions,
    "segment": SegmentOptions,
    "simulate": SimulateOptions,
    "evaluate": EvaluateOptions,
    "info": InfoOptions,
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Options of every kind."""

    share: float = option(0.5, "A share.", least=0, most=1, changes_pixels=True)
    count: int = option(2, "A number.", least=1)
    flag: bool = option(False, "A flag.", changes_pixels=True)
    names: tuple[str, ...] = option((), "Several names.", changes_pixels=True)
    where: Path | None = option(None, "A path.")
    how: Literal["this", "that"] = option("this", "A choice.")
    unit: str | None = option(None, "A name.", names=lambda: ["HU", "SUV"])


@pytest.mark.parametrize("verb", VERBS)
def test_the_command_line_and_python_have_the_same_options_and_defaults(verb: str) -> None:
    command: Any = LazyGroup().get_command(None, verb)
    shown = {
        parameter.name: parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name not in ("help", "config")
    }
    keywords = inspect.signature(getattr(ratcli, verb)).parameters
    fields = {each.name: each for each in described(VERBS[verb])}
    of_console = {each.name for each in described(ConsoleOptions)}
    assert set(shown) - of_console == set(fields)
    assert set(fields) <= set(keywords)
    for name, each in fields.items():
        assert keywords[name].default == each.default
        assert (shown[name].default or None) == (each.default or None)
        assert f"--{each.word}" in shown[name].opts


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_explained_by_a_sentence(verb: str) -> None:
    for each in described(VERBS[verb]):
        assert each.option.help[0].isupper(), each.name
        assert each.option.help.endswith("."), each.name


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"share": 1}, "share"),
        ({"share": 0}, "share"),
        ({"where": "a/b"}, "where"),
        ({"names": ["a", "b"]}, "names"),
        ({"names": "a"}, "names"),
        ({"unit": "HU"}, "unit"),
    ],
)
def test_values_become_those_of_the_field(changes: dict[str, Any], found: str) -> None:
    value = getattr(settle(Sample, None, changes), found)
    expected = {"share": float, "where": Path, "names": tuple, "unit": str}[found]
    assert type(value) is expected or isinstance(value, expected)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"share": 1.5}, "share must be from 0 to 1, not 1.5"),
        ({"share": True}, "share must be a number, not True"),
        ({"share": "much"}, "share must be a number, not 'much'"),
        ({"count": 0}, "count must be at least 1, not 0"),
        ({"count": 1.0}, "count must be a whole number, not 1.0"),
        ({"flag": 1}, "flag must be true or false, not 1"),
        ({"how": "thus"}, "how must be this or that, not 'thus'"),
        ({"share": float("inf")}, "share must be from 0 to 1, not inf"),
        ({"unit": "suv"}, "there is no unit 'suv'"),
        ({"count": 10**400}, "count must be a smaller number, not one of 401 digits"),
        ({"share": 10**400}, "share must be a smaller number"),
        ({"where": 3}, "where must be a path, not 3"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        settle(Sample, None, changes)


@pytest.mark.parametrize("word", ["threads", "jobs"])
@pytest.mark.parametrize("count", [1025, 2_000_000_000, 10**23, 10**400])
def test_more_threads_or_processes_than_machines_have_are_refused(word: str, count: int) -> None:
    with pytest.raises(UsageError, match=f"{word} must be"):
        settle(RestoreOptions, None, {word: count})
    assert main(["restore", "a.nii", f"--{word}", str(count)]) == 2


def test_an_unknown_option_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match=r"there is no option 'shore'\. Did you mean share\?"):
        settle(Sample, None, {"shore": 1})


def test_a_manifest_records_what_changes_pixels() -> None:
    options = Sample(share=0.25, names=("a", "b"))
    assert recorded(options) == {"share": 0.25, "flag": False, "names": "a,b"}


def scan_words(format: str) -> tuple[Path, list[str]]:
    """Return an example of a format, and what the command line has to be told about it."""
    name, unit = {"dicom": ("ct_phantom.dcm", []), "nifti": ("ct_phantom.nii.gz", ["HU"]),
                  "tiff": ("ct_phantom.tif", ["HU"])}[format]  # fmt: skip
    return EXAMPLES / name, unit


@pytest.mark.parametrize("format", ["dicom", "nifti", "tiff"])
@pytest.mark.parametrize("verb", ["restore", "segment", "simulate"])
def test_both_write_the_same_file(
    verb: str, format: str, tmp_path: Path, tiny_weights: Path
) -> None:
    scan, unit = scan_words(format)
    suffix = "".join(scan.suffixes)
    ours, theirs = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    words = [verb, str(scan), "-t", "ct-denoise", "-o", str(ours), "--threads", "1"]
    assert main([*words, *(["--unit", *unit] if unit else []), "-q"]) == 0
    more = {"unit": unit[0]} if unit else {}
    function = getattr(ratcli, verb)
    [outcome] = function(scan, task="ct-denoise", output=theirs, threads=1, **more)
    assert outcome.output == str(theirs)
    assert pixels(ours).tobytes() == pixels(theirs).tobytes()


def pixels(path: Path) -> Any:
    """Return stored values, whatever the format; files may differ by the time they were written."""
    if path.suffix == ".dcm":
        import pydicom

        return pydicom.dcmread(path).pixel_array
    if path.name.endswith(".nii.gz"):
        import nibabel
        import numpy as np

        return np.asarray(nibabel.load(path).dataobj)
    import tifffile

    return tifffile.imread(path)


@pytest.mark.parametrize("format", ["dicom", "nifti", "tiff"])
def test_both_see_the_same_in_a_scan(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    scan, unit = scan_words(format)
    assert main(["info", str(scan), "--json", *(["--unit", *unit] if unit else [])]) == 0
    told = capsys.readouterr().out
    [facts] = ratcli.info(scan, **({"unit": unit[0]} if unit else {}))
    assert f'"tasks": ["{facts.tasks[0]}"]' in told
    assert facts.values is not None
    assert f'"lowest": {facts.values.lowest}' in told


@pytest.mark.parametrize("format", ["dicom", "nifti", "tiff"])
def test_both_measure_the_same(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    scan, unit = scan_words(format)
    told = ["--unit", *unit] if unit else []
    assert main(["evaluate", str(scan), "--reference", str(scan), "--json", "-q", *told]) == 0
    shown = json.loads(capsys.readouterr().out)
    found = ratcli.evaluate(scan, reference=scan, **({"unit": unit[0]} if unit else {}))
    assert as_dict(found) == {name: shown[name] for name in as_dict(found)}
