"""What the queue remembers, and what the folders of series keep."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from node_runs import ct_series, save

from ratcli.cli.app import main
from ratcli.errors import UsageError
from ratcli.node.config import read_config
from ratcli.node.inbox import INPUTS, OUTPUTS, WORK, Inbox
from ratcli.node.queue import Queue
from ratcli.node.settings import NodeConfig

CONFIG = (
    '[[destination]]\nname = "a"\nfolder = "a"\n[[destination]]\nname = "b"\nfolder = "b"\n'
    '[[route]]\nname = "ct"\nto = ["a", "b"]\ntask = "ct-denoise"\n'
)


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    path = tmp_path / "node.toml"
    path.write_text(f'folder = "{tmp_path / "node"}"\nquiet-seconds = 0.1\n{CONFIG}')
    (tmp_path / "node").mkdir()
    return read_config(path)


@pytest.fixture
def queue(config: NodeConfig) -> Iterator[Queue]:
    made = Queue(config.node.folder / "queue.sqlite")
    yield made
    made.close()


def store(inbox: Inbox, folder: Path, name: str) -> str:
    """Store a series of two images; return its key."""
    keys = [
        inbox.store(path, "T", "RAT") for path in save(ct_series(name, 2), folder / "node" / name)
    ]
    assert len({*keys}) == 1
    return keys[0]


def restored(inbox: Inbox, key: str) -> None:
    """Take a series, and put a file in place of what would be restored."""
    deadline = time.monotonic() + 60
    while inbox.take() != key:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    inbox.folder(key, WORK).mkdir()
    (inbox.folder(key, WORK) / "a.dcm").write_bytes(bytes(1000))
    inbox.restored(key, ["a", "b"])


def sent(queue: Queue) -> None:
    for name in ("a", "b"):
        for delivery in queue.due(name):
            queue.delivered(delivery)


def test_a_series_is_sent_when_every_destination_has_it(
    config: NodeConfig, queue: Queue, tmp_path: Path
) -> None:
    inbox = Inbox(config.node, 0, queue, config.routes)
    restored(inbox, store(inbox, tmp_path, "x"))
    (first,), (second,) = queue.due("a"), queue.due("b")
    queue.delivered(first)
    assert queue.counts()["restored"] == 1
    assert queue.waiting() == {"b": 1}
    queue.postpone(second, 3600)
    assert queue.due("b") == []
    queue.delivered(second)
    assert queue.counts()["sent"] == 1


def test_a_delivery_of_what_is_outdated_counts_for_nothing(
    config: NodeConfig, queue: Queue, tmp_path: Path
) -> None:
    inbox = Inbox(config.node, 0, queue, config.routes)
    key = store(inbox, tmp_path, "x")
    restored(inbox, key)
    (old,) = queue.due("a")
    store(inbox, tmp_path, "x")
    assert queue.due("a") == []
    restored(inbox, key)
    queue.delivered(old)
    assert len(queue.due("a")) == 1


def test_what_comes_while_a_series_is_restored_makes_the_result_outdated(
    config: NodeConfig, queue: Queue, tmp_path: Path
) -> None:
    inbox = Inbox(config.node, 0, queue, config.routes)
    key = store(inbox, tmp_path, "x")
    time.sleep(0.2)
    assert inbox.take() == key
    store(inbox, tmp_path, "x")
    inbox.restored(key, ["a", "b"])
    assert queue.counts()["received"] == 1
    assert not inbox.folder(key, OUTPUTS).exists()


def test_old_series_and_the_oldest_of_too_many_are_deleted(
    config: NodeConfig, queue: Queue, tmp_path: Path
) -> None:
    inbox = Inbox(config.node, 0, queue, config.routes)
    keys = [store(inbox, tmp_path, name) for name in ("x", "y", "z")]
    for key in keys[:2]:
        restored(inbox, key)
        sent(queue)
    one = sum(path.stat().st_size for path in inbox.folder(keys[0], INPUTS).iterdir()) + 1000
    inbox.clean(keep_bytes=0)
    assert queue.counts()["sent"] == 2
    inbox.clean(keep_bytes=int(2.5 * one))
    assert queue.entry(keys[0]) is None
    assert not inbox.folder(keys[0], INPUTS).exists()
    assert queue.counts()["sent"] == 1
    Inbox(replace(config.node, keep_days=0), 0, queue, config.routes).clean(0)
    assert {entry.key for entry in queue.entries("sent", "received")} == {keys[2]}
    assert len(list(inbox.folder(keys[2], INPUTS).iterdir())) == 2


def test_a_series_whose_folder_was_not_moved_when_it_failed_is_tried_again(
    config: NodeConfig, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(config.node, 0, queue, config.routes)
    key = store(inbox, tmp_path, "x")
    time.sleep(0.2)
    assert inbox.take() == key

    def end(self: Path, target: Path) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", end)
        with pytest.raises(OSError):  # noqa: PT011
            inbox.fail(key, "restoring", "it is bad")
    assert [entry.reason for entry in queue.entries("failed")] == ["it is bad"]
    assert inbox.retry() == 1
    assert queue.counts()["received"] == 1
    assert len(list(inbox.folder(key, INPUTS).iterdir())) == 2


def test_parts_of_objects_that_never_came_are_deleted(config: NodeConfig, queue: Queue) -> None:
    inbox = Inbox(config.node, 0, queue, config.routes)
    for name, age in (("old", 7200), ("new", 0)):
        path = inbox.temporary / name
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age,) * 2)
    inbox.clean(0)
    assert [path.name for path in inbox.temporary.iterdir()] == ["new"]


def test_what_is_no_queue_is_refused(
    config: NodeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config.node.folder / "queue.sqlite"
    path.write_text("this is no database, and it is long enough to be read as one" * 100)
    with pytest.raises(UsageError, match="cannot be opened"):
        Queue(path)
    assert main(["serve", "--config", str(tmp_path / "node.toml"), "--status"]) == 2
    assert "cannot be opened" in capsys.readouterr().err
