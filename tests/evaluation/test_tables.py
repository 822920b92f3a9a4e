"""The tables of a result: the terminal and the report show the same texts."""

from __future__ import annotations

import re

import numpy as np
import pytest
from arrays import ArrayReader

from ratcli.cli.evaluating import print_scan
from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.evaluate import evaluate
from ratcli.evaluation.given_regions import Disc, regions_from_json
from ratcli.evaluation.report import PageFacts, render
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.tables import tables
from ratcli.evaluation.tables.table import Column, FigureTable


@pytest.fixture(scope="module")
def found() -> Evaluation:
    volume = np.full((9, 1, 64, 64), 0.5)
    volume[:, 0][:, Disc(30, 30, 8).mask((64, 64))] = 4.0
    noise = np.random.default_rng(0).normal(0.0, 0.1, volume.shape)
    scans = (0.9 * volume + noise, volume, volume + 3.0 * noise)
    restored, reference, low = (ArrayReader(scan, "SUV", (4.0, 4.0, 4.0)) for scan in scans)
    regions = regions_from_json('{"regions": [{"name": "[lesion]", "disc": [30, 30, 6]}]}')
    return evaluate(Comparison(restored, reference, low, regions))


def test_the_terminal_shows_the_main_texts_of_every_table(
    found: Evaluation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_scan("scan [1]", found)
    printed = capsys.readouterr().err
    assert "scan [1]" in printed
    for table in tables(found):
        narrow = table.narrow()
        for text in (narrow.title, *narrow.header, *(text for row in narrow.rows for text in row)):
            assert text in printed, table.title


def test_the_report_shows_all_texts_of_every_table(found: Evaluation) -> None:
    page = render(found, PageFacts("scan", "9"))
    cells = set(re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", page))
    for table in tables(found):
        assert table.title in page
        assert {text for row in table.rows for text in row} <= cells
        assert set(table.header) <= cells


def test_each_row_has_a_text_for_each_column(found: Evaluation) -> None:
    made = tables(found)
    assert {table.title for table in made} >= {"Noise", "Uptake", "Regions (10 of 10 differ)"}
    for table in made:
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_a_narrow_table_keeps_main_columns_and_rows() -> None:
    columns = (Column("region"), Column("pixels", is_main=False), Column("mean", "HU"))
    table = FigureTable("t", "m", columns, (("a", "5", "1"), ("b", "6", "2")), main_rows=1)
    assert table.narrow().header == ("region", "mean in HU")
    assert table.narrow().rows == (("a", "1"),)
