"""PET in Bq/ml, in counts and in g/ml is evaluated in SUV, whatever the file's units."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dicom_series import write_pet

from ratcli.cli.app import main

LESION_SUV = 5.0


@pytest.mark.parametrize("units", ["BQML", "CNTS", "GML"])
def test_uptake_is_given_in_suv(
    units: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = np.ones((6, 24, 24))
    volume[:, 8:16, 8:16] = LESION_SUV
    folder = write_pet(tmp_path / "pet", volume, units)
    regions = tmp_path / "regions.json"
    lesion = {"name": "lesion", "box": [9, 9, 6, 6], "nominal": 8.0}
    regions.write_text(json.dumps({"regions": [lesion]}))
    words = [folder, "--reference", folder, "--input", folder, "--regions", regions, "--json"]
    assert main(["evaluate", *map(str, words)]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["unit"] == "SUV"
    uptake = found["uptake"][0]
    for image in ("restored", "reference", "input"):
        assert uptake[image]["mean"] == pytest.approx(LESION_SUV, rel=1e-3)
        assert uptake[image]["peak"] == pytest.approx(LESION_SUV, rel=1e-3)
    # The region is drawn with a true uptake of 8 SUV, of which 5 are found.
    assert "0.625" in err
