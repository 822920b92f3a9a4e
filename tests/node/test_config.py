"""`node.toml` is checked as a whole before anything is received."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratcli.cli.app import main
from ratcli.errors import UsageError
from ratcli.node.config import read_config

THERE = '[[destination]]\nname = "there"\nfolder = "out"\n'
ROUTE = '[[route]]\nname = "ct"\nto = ["there"]\ntask = "ct-denoise"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


def test_a_route_takes_the_options_of_restore(tmp_path: Path) -> None:
    route = ROUTE + 'strength = 0.5\nsave-residual = true\nkernel = "B*"\n'
    (found,) = read_config(write(tmp_path, THERE + route)).routes
    assert found.work.settings.strength == 0.5
    assert found.selection.residual
    assert found.patterns.kernel == ("B*",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROUTE, "there is no destination 'there'"),
        (THERE, "needs a [[route]] with a name"),
        (THERE + ROUTE + ROUTE, "two routes have the same name"),
        (THERE + ROUTE.replace('to = ["there"]', ""), "has no destination"),
        (THERE + ROUTE.replace("ct-denoise", "denoise"), "'ct': there is no task 'denoise'"),
        (THERE + ROUTE + "uncertainty = true\nviews = 1\n", "the route 'ct': an uncertainty needs"),
        (THERE + ROUTE + "strength = 2\n", "strength must be from 0 to 1"),
        (THERE + ROUTE + 'output = "x"\n', "sets 'output', which is not an option"),
        (THERE + 'url = "http://x"\n' + ROUTE, "needs one of address, url and folder"),
        (THERE.replace("folder", "address") + ROUTE, "has an address but no ae-title"),
        ('listen = "0.0.0.0"\n' + THERE + ROUTE, "no caller is named"),
        (THERE + ROUTE + '[[caller]]\naddress = "10.0.0/8"\n', "is not an IP address"),
        ('tls-key = "key.pem"\n' + THERE + ROUTE, "are needed together"),
        ('free-space = "much"\n' + THERE + ROUTE, "is not an amount"),
        ("prt = 104\n" + THERE + ROUTE, "node.toml sets 'prt', which is not an option"),
        ("route = 3\n" + THERE, "'route' is not a list of tables"),
        ("port = ", "node.toml is not TOML"),
    ],
)
def test_a_mistake_gets_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_config(write(tmp_path, text))
    assert words in str(caught.value)


def test_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve"]) == 2
    assert main(["serve", "--config", str(tmp_path / "none.toml")]) == 3
    path = write(tmp_path, f'folder = "{tmp_path}/node"\n' + THERE + ROUTE)
    assert main(["serve", "--config", str(path), "--status"]) == 3
    told = capsys.readouterr().err
    assert "no file of settings was named" in told
    assert "none.toml does not exist" in told
    assert "there is no queue yet" in told
