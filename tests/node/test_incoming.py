"""The file of an object that is being received."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from node_runs import ct_series, running, send, state_of, wait_until, write_config

from ratcli.node.incoming import IncomingFile, is_dropped

PART = bytes(1000)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let every write beyond a size of its file fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_has_what_was_written(tmp_path: Path) -> None:
    file = IncomingFile(tmp_path, lambda: True)
    assert [file.write(PART), file.write(b"end")] == [1000, 3]
    file.close()
    assert Path(file.name).read_bytes() == PART + b"end"
    assert not is_dropped(Path(file.name))


@pytest.mark.parametrize("size", [0, 2500, 3000])
def test_a_file_for_which_the_disk_has_no_room_is_emptied(size: int, tmp_path: Path) -> None:
    file = IncomingFile(tmp_path, lambda: True)
    with full_disk(size):
        for _ in range(5):
            file.write(PART)
    file.close()
    assert is_dropped(Path(file.name))


def test_nothing_more_is_written_when_there_is_too_little_space(tmp_path: Path) -> None:
    answers = iter([True, False, True])
    file = IncomingFile(tmp_path, lambda: next(answers))
    for _ in range(3):
        file.write(PART)
    file.close()
    assert is_dropped(Path(file.name))


def test_a_file_that_cannot_be_made_is_dropped(tmp_path: Path) -> None:
    file = IncomingFile(tmp_path / "missing", lambda: True)
    file.write(PART)
    file.close()
    assert is_dropped(Path(file.name))


@pytest.mark.usefixtures("tiny_weights")
def test_an_object_that_fills_the_disk_is_refused_and_taken_when_there_is_room(
    tmp_path: Path,
) -> None:
    images = ct_series("a", 2)
    large = images[1]
    large.Rows = large.Columns = 256
    large.PixelData = bytes(2 * 256 * 256)
    with running(write_config(tmp_path, 1)) as node:
        with full_disk(100_000):
            assert send(node.port, images) == [0, 0xA700]
        assert list((tmp_path / "node" / "arriving").iterdir()) == []
        assert send(node.port, images) == [0, 0]
        wait_until(lambda: len(list((tmp_path / "node" / "series").glob("*/in/*.dcm"))) == 2)
    assert not state_of(tmp_path).get("failed")
