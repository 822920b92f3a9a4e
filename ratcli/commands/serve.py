"""`rat serve`: its options, and the functions that run a node and tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ratcli.commands.options import option
from ratcli.errors import InputNotFoundError, UsageError

if TYPE_CHECKING:
    from ratcli.node.queue import Entry, Queue
    from ratcli.node.settings import NodeConfig


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How `rat serve` works; all else is in the file that `settings` names."""

    settings: Path | None = option(
        None, "TOML file with the settings of the node, its routes and its destinations.",
        word="config", short="c", metavar="FILE",
    )  # fmt: skip
    status: bool = option(False, "Only show the queue of the node, which may be running.")
    retry: bool = option(False, "Only put the series that failed back into the queue.")


class QueueStatus(NamedTuple):
    """What is in the queue of a node.

    Attributes:
        counts: number of series in each state.
        waiting: number of series that each destination is still to get.
        failed: the series that failed.
    """

    counts: dict[str, int]
    waiting: dict[str, int]
    failed: list[Entry]


def serve(options: ServeOptions) -> None:
    """Run a node until the process gets SIGINT or SIGTERM.

    Raises:
        InputNotFoundError: the file of settings does not exist.
        UsageError: a setting is wrong, a library is missing, or the port is taken.
        WeightsError: the weights are missing or damaged.
        DeviceError: the device is missing.
    """
    config = _config(options)
    _check_libraries(config)
    from ratcli.batch.interrupt import Interrupt
    from ratcli.node.node import Node

    with Interrupt() as interrupt, Node(config) as node:
        node.work(interrupt)


def queue_status(options: ServeOptions) -> QueueStatus:
    """Return what is in the queue of a node, which may be running.

    Raises:
        InputNotFoundError: there is no such file of settings, or no queue yet.
        UsageError: a setting is wrong.
    """
    queue = _queue(_config(options))
    try:
        return QueueStatus(queue.counts(), queue.waiting(), queue.entries("failed"))
    finally:
        queue.close()


def retry_failed(options: ServeOptions) -> int:
    """Put the series that failed back into the queue, and return how many.

    Raises:
        InputNotFoundError: there is no such file of settings, or no queue yet.
        UsageError: a setting is wrong.
    """
    from ratcli.node.inbox import Inbox

    config = _config(options)
    queue = _queue(config)
    try:
        return Inbox(config.node, 0, queue, config.routes).retry()
    finally:
        queue.close()


def _config(options: ServeOptions) -> NodeConfig:
    from ratcli.node.config import read_config

    if options.settings is None:
        raise UsageError("no file of settings was named", hint="Add --config node.toml.")
    return read_config(options.settings)


def _queue(config: NodeConfig) -> Queue:
    from ratcli.node.node import DATABASE
    from ratcli.node.queue import Queue

    path = config.node.folder / DATABASE
    if not path.exists():
        raise InputNotFoundError("there is no queue yet", hint="Start the node first.")
    return Queue(path)


def _check_libraries(config: NodeConfig) -> None:
    needed = ["pynetdicom"]
    if any(destination.url for destination in config.destinations):
        needed.append("dicomweb_client")
    for name in needed:
        if find_spec(name) is None:
            raise UsageError(
                f"rat serve needs {name.replace('_', '-')}, which is not installed",
                hint="Install it with pip install 'ratcli[serve]'.",
            )
