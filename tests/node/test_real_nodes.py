"""The node as a process, with dcmtk and Orthanc; and killed while it works."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pydicom
import pytest
from node_runs import (
    Archive,
    ct_series,
    listening,
    save,
    send,
    state_of,
    wait_until,
    write_config,
)

NODE = Path(__file__).resolve().parents[2] / "examples" / "node"
Process = subprocess.Popen[bytes]

pytestmark = pytest.mark.usefixtures("tiny_weights")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def process(words: list[object], folder: Path, port: int) -> Iterator[Process]:
    """Run a program until the end of the block; it has begun when it listens."""
    with (folder / "log").open("ab") as log:
        program = subprocess.Popen([*map(str, words)], cwd=folder, stdout=log, stderr=log)
    try:
        wait_until(lambda: listens(port) or program.poll() is not None)
        assert program.poll() is None, (folder / "log").read_text()
        yield program
    finally:
        if program.poll() is None:
            program.terminate()
        program.wait(timeout=60)


def node_words(folder: Path, there: int, port: int) -> list[object]:
    config = write_config(folder, there)
    config.write_text(config.read_text().replace("port = 0", f"port = {port}", 1))
    return [sys.executable, "-m", "ratcli", "serve", "--config", config]


def validator_errors(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, timeout=60)
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


@needs("storescu")
@needs("storescp")
@needs("dciodvfy")
def test_dcmtk_sends_a_series_and_gets_the_result(tmp_path: Path) -> None:
    there, port, got = free_port(), free_port(), tmp_path / "got"
    got.mkdir()
    paths = save(ct_series("a"), tmp_path / "a")
    with (
        process(["storescp", "-od", got, there], tmp_path, there),
        process(node_words(tmp_path, there, port), tmp_path, port) as node,
    ):
        subprocess.run(["echoscu", "127.0.0.1", str(port)], check=True, timeout=60)
        subprocess.run(["storescu", "127.0.0.1", str(port), *paths], check=True, timeout=60)
        wait_until(lambda: state_of(tmp_path) == {"sent": 1})
        node.send_signal(signal.SIGTERM)
        assert node.wait(timeout=60) == 0
    results = sorted(got.iterdir())
    assert [pydicom.dcmread(path).ImageType[0] for path in results] == ["DERIVED"] * 3
    assert [validator_errors(path) for path in results] == [[]] * 3


class Orthanc:
    """The REST interface of an Orthanc.

    Args:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> Any:
        with urlopen(f"{self._root}{path}", timeout=60) as answer:
            return json.load(answer)

    def series(self) -> list[Any]:
        return [self.get(f"/series/{name}") for name in self.get("/series")]

    def post(self, path: str, body: bytes) -> Any:
        request = Request(f"{self._root}{path}", data=body, method="POST")
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)


@needs("Orthanc")
def test_orthanc_routes_a_series_and_shows_the_result_beside_it(tmp_path: Path) -> None:
    port, dicom, web = free_port(), free_port(), free_port()
    settings = {
        "StorageDirectory": "db", "IndexDirectory": "db", "Plugins": [],
        "DicomAet": "THERE", "DicomPort": dicom, "HttpPort": web, "RemoteAccessAllowed": False,
        "DicomModalities": {"rat": ["RAT", "127.0.0.1", port]},
        "StableAge": 1, "LuaScripts": [str(NODE / "route.lua")],
    }  # fmt: skip
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    config = node_words(tmp_path, dicom, port)
    text = Path(str(config[-1])).read_text()
    Path(str(config[-1])).write_text(text.replace('"THERE"', '"THERE"\ncommitment = true'))
    with (
        process(["Orthanc", "orthanc.json"], tmp_path, web),
        process(config, tmp_path, port),
    ):
        orthanc = Orthanc(web)
        for path in save(ct_series("a"), tmp_path / "a"):
            orthanc.post("/instances", path.read_bytes())
        wait_until(lambda: state_of(tmp_path) == {"sent": 1})
        wait_until(lambda: len(orthanc.series()) == 2)
        wait_until(lambda: all(each["IsStable"] for each in orthanc.series()))
        (study,) = orthanc.get("/studies")
        series = orthanc.series()
    assert [each["ParentStudy"] for each in series] == [study, study]
    assert [len(each["Instances"]) for each in series] == [3, 3]
    assert "object refused" not in (tmp_path / "log").read_text()  # the result was not sent back


def test_a_node_that_is_killed_loses_nothing_and_invents_nothing(tmp_path: Path) -> None:
    port = free_port()
    images = [*ct_series("a"), *ct_series("b")]
    with listening(Archive()) as archive:
        words = node_words(tmp_path, archive.port, port)
        with process(words, tmp_path, port) as node:
            assert send(port, images[:2]) == [0, 0]
            node.kill()
        with process(words, tmp_path, port) as node:
            assert send(port, images[2:]) == [0, 0, 0, 0]
            wait_until(lambda: state_of(tmp_path).get("received", 0) < 2)
            node.kill()  # while a series is restored or sent
        with process(words, tmp_path, port):
            wait_until(lambda: state_of(tmp_path) == {"sent": 2})
    assert len(archive.images) == 6
    assert len({str(image.SeriesInstanceUID) for image in archive.images.values()}) == 2
