"""Delivers what is restored: a thread for each destination, so that none waits for another."""

from __future__ import annotations

import logging
import sqlite3
import threading

from pydicom.uid import generate_uid

from ratcli.batch.closing import Closing
from ratcli.errors import RatError
from ratcli.node.events import Events, log, reason_of
from ratcli.node.inbox import OUTPUTS, Inbox
from ratcli.node.queue import Delivery, Queue
from ratcli.node.sending import Carrier, DestinationRefusedError, UnreachableError
from ratcli.node.settings import Destination

_LOOK_S = 0.5
_REPORT_S = 600.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 300.0


def delivered(delivery: Delivery, queue: Queue, events: Events) -> None:
    """Record that a destination has a series."""
    events.count("deliveries_total")
    log(logging.INFO, "series sent", series=delivery.key, destination=delivery.destination)
    queue.delivered(delivery)


def committed(transaction: str, is_whole: bool, queue: Queue, events: Events) -> None:
    """Record the report about a storage commitment; what is not committed to is sent again.

    Args:
        transaction: UID of the request.
        is_whole: whether the destination committed to all objects.
        queue: knows the delivery.
        events: counts it.
    """
    delivery = queue.awaiting(transaction)
    if delivery is None:
        return
    if is_whole:
        delivered(delivery, queue, events)
        return
    events.count("delivery_failures_total")
    facts = {"series": delivery.key, "destination": delivery.destination}
    log(logging.WARNING, "series not sent", **facts, reason="the node did not commit to it")
    queue.postpone(delivery, _LONGEST_WAIT_S, refused=True)


class Sender(Closing):
    """Delivers series to one destination until it is closed.

    Args:
        to: the destination.
        carrier: the way there.
        queue: tells what is to be sent.
        inbox: has the files.
        events: counts what was sent.
        refusals: after so many, a series fails.
    """

    def __init__(
        self,
        to: Destination,
        carrier: Carrier,
        queue: Queue,
        inbox: Inbox,
        events: Events,
        refusals: int,
    ) -> None:
        self._to, self._carrier, self._queue = to, carrier, queue
        self._inbox, self._events, self._refusals = inbox, events, refusals
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"rat-send-{to.name}", daemon=True)
        self._thread.start()

    def close(self, error: BaseException | None = None) -> None:
        """Stop after the series that is being sent."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            try:
                for delivery in self._queue.due(self._to.name):
                    if self._ended.is_set():
                        return
                    self._deliver(delivery)
            except (OSError, sqlite3.Error) as error:
                log(logging.ERROR, "sending waits", reason=reason_of(error))
                self._ended.wait(_FIRST_WAIT_S)

    def _deliver(self, delivery: Delivery) -> None:
        folder = self._inbox.folder(delivery.key, OUTPUTS)
        try:
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            self._carrier.send(files)
            if self._to.commitment:
                # Recorded first: the report may come before the answer to the request.
                transaction = str(generate_uid())
                self._queue.postpone(delivery, _REPORT_S, transaction=transaction)
                self._carrier.ask_commitment(files, transaction)
        except (UnreachableError, OSError) as error:
            self._again(delivery, error)
        except DestinationRefusedError as error:
            self._refused(delivery, error)
        except Exception as error:  # the thread must live; the series is tried again
            self._again(delivery, RatError(f"internal error ({type(error).__name__})"))
        else:
            if not self._to.commitment:
                delivered(delivery, self._queue, self._events)

    def _again(self, delivery: Delivery, error: Exception, *, refused: bool = False) -> None:
        seconds = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(delivery.tries, 10))
        self._events.count("delivery_failures_total")
        reason = str(error) if isinstance(error, RatError) else "a file cannot be read"
        facts = {"series": delivery.key, "destination": self._to.name, "reason": reason}
        log(logging.WARNING, "series not sent", **facts, again_in_seconds=seconds)
        self._queue.postpone(delivery, seconds, refused=refused)

    def _refused(self, delivery: Delivery, error: DestinationRefusedError) -> None:
        if delivery.refusals + 1 < self._refusals:
            self._again(delivery, error, refused=True)
            return
        reason = f"{self._to.name} refused the series: {error}"
        self._events.count("series_failed_total")
        log(logging.ERROR, "series failed", series=delivery.key, reason=reason)
        self._inbox.fail(delivery.key, "restored", reason)
