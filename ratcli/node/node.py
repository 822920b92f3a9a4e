"""The node: receives and sends in threads of its own, and restores in the thread that calls it."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import ExitStack
from functools import partial

from ratcli.batch.claim import BusyError, claimed
from ratcli.batch.closing import Closing
from ratcli.batch.interrupt import Interrupt
from ratcli.batch.memory import parse_bytes
from ratcli.errors import OutputError, UsageError
from ratcli.formats.atomic import output_errors
from ratcli.node.events import Events, log, reason_of
from ratcli.node.inbox import Inbox
from ratcli.node.page import Page
from ratcli.node.queue import Queue
from ratcli.node.restorer import Restorer
from ratcli.node.scp import Server
from ratcli.node.senders import Sender, committed
from ratcli.node.sending import carrier_of
from ratcli.node.settings import NodeConfig, NodeSettings
from ratcli.node.watch import Watch

DATABASE = "queue.sqlite"
_LOOK_S, _LOOK_AFTER_ERROR_S = 0.2, 5.0
_WATCH_S = 2.0
_CLEAN_S = 60.0


class Node(Closing):
    """A node that runs from when it is made until it is closed; `work` restores what comes in.

    Args:
        config: the settings.

    Raises:
        UsageError: the port, the folder or a certificate cannot be used.
        OutputError: the folder cannot be written.
        WeightsError: the weights are missing or damaged.
        DeviceError: the device is missing.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._config, self._events = config, Events()
        node = config.node
        self._keep_bytes = parse_bytes(node.keep_size) if node.keep_size else 0
        self._cleaned = self._looked = 0.0
        with ExitStack() as stack:
            self._claim(node, stack)
            self._queue = Queue(node.folder / DATABASE)
            stack.callback(self._queue.close)
            free = parse_bytes(node.free_space)
            self._inbox = Inbox(node, free, self._queue, config.routes)
            self._restorer = Restorer(config.routes, self._inbox, self._events)
            for to in config.destinations:
                carrier = carrier_of(to, node)
                stack.enter_context(
                    Sender(to, carrier, self._queue, self._inbox, self._events, node.refusals)
                )
            report = partial(committed, queue=self._queue, events=self._events)
            self._server = stack.enter_context(Server(config, self._inbox, self._events, report))
            self._page = None
            if node.page_port is not None:
                page = Page(node.page_port, self._queue, self._events)
                self._page = stack.enter_context(page)
            self._watch = None
            if node.watch is not None:
                self._watch = Watch(node.watch, node.ae_title, self._inbox, self._events)
            self._held = stack.pop_all()
        log(logging.INFO, "node started", ae_title=node.ae_title, port=self.port)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.port

    def figures(self) -> dict[str, float]:
        """Return what was counted since the start; see `METRICS`."""
        return self._events.figures()

    @property
    def page_port(self) -> int | None:
        """The port of the page; None if there is none."""
        return None if self._page is None else self._page.port

    def close(self, error: BaseException | None = None) -> None:
        """End associations, wait for what is being sent, and let go of the folder."""
        self._held.close()
        log(logging.INFO, "node ended")

    def work(self, interrupt: Interrupt) -> None:
        """Restore series as they are complete, until KeyboardInterrupt.

        Args:
            interrupt: is asked after each plane whether to end.
        """
        while True:
            interrupt.check()
            try:
                if not self._restore_one(interrupt):
                    time.sleep(_LOOK_S)
            except (OSError, OutputError, sqlite3.Error) as error:
                log(logging.ERROR, "restoring waits", reason=reason_of(error))
                time.sleep(_LOOK_AFTER_ERROR_S)

    def _restore_one(self, interrupt: Interrupt) -> bool:
        """Restore a series that is complete; return False if there is none."""
        self._queue.restart()  # nothing is being restored now, whatever went wrong before
        self._now_and_then()
        key = self._inbox.take()
        entry = None if key is None else self._queue.entry(key)
        if entry is None:
            return False
        self._restorer.restore(entry.key, entry.route, lambda done, total: interrupt.check())
        return True

    def _now_and_then(self) -> None:
        """Look into the folder that is watched, and delete what is kept no longer."""
        now = time.monotonic()
        if self._watch is not None and now - self._looked > _WATCH_S:
            self._watch.look()
            self._looked = now
        if now - self._cleaned > _CLEAN_S:
            self._inbox.clean(self._keep_bytes)
            self._cleaned = now

    def _claim(self, node: NodeSettings, stack: ExitStack) -> None:
        """Hold the folder for this process.

        Raises:
            UsageError: another node uses it.
        """
        with output_errors(node.folder):
            node.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            stack.enter_context(claimed(node.folder / DATABASE))
        except BusyError as error:
            raise UsageError(
                "another `rat serve` uses this folder", hint="Set another folder in node.toml."
            ) from error
