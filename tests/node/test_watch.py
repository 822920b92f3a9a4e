"""The folder that a node takes files from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from node_runs import ct_series, save, write_config

from ratcli.node.config import read_config
from ratcli.node.events import Events
from ratcli.node.inbox import Inbox
from ratcli.node.queue import Queue
from ratcli.node.watch import Watch


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def watch(tmp_path: Path, events: Events) -> Iterator[Watch]:
    config = read_config(write_config(tmp_path, 1))
    config.node.folder.mkdir()
    queue = Queue(config.node.folder / "queue.sqlite")
    yield Watch(tmp_path / "in", "RAT", Inbox(config.node, 0, queue, config.routes), events)
    queue.close()


def test_a_file_that_grows_is_taken_when_it_is_whole(
    watch: Watch, events: Events, tmp_path: Path
) -> None:
    (path,) = save(ct_series("a", 1), tmp_path / "in")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    watch.look()
    path.write_bytes(whole)
    watch.look()
    assert path.exists()
    watch.look()
    assert not path.exists()
    assert events.figures()["objects_received_total"] == 1


def test_a_file_that_cannot_be_removed_is_taken_once(
    watch: Watch, events: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = save(ct_series("a", 1), tmp_path / "in")
    unlink = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self == path:
            raise PermissionError(13, "Permission denied")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(4):
        watch.look()
    assert path.exists()
    assert events.figures()["objects_received_total"] == 1


def test_a_file_that_is_refused_stays_and_is_counted_once(
    watch: Watch, events: Events, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "notes.txt"
    path.write_text("not DICOM")
    for _ in range(4):
        watch.look()
    assert path.exists()
    assert events.figures()["objects_refused_total"] == 1
