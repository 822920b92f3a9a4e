"""Delivers what is restored: a thread for each destination, so that none waits for another."""

from __future__ import annotations

import logging
import threading

from ratcli.batch.closing import Closing
from ratcli.errors import RatError
from ratcli.node.events import Events, log
from ratcli.node.inbox import OUTPUTS, Inbox
from ratcli.node.queue import Delivery, Queue
from ratcli.node.sending import Carrier, DestinationRefusedError, UnreachableError

LOOK_S = 0.5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 300.0


class Sender(Closing):
    """Delivers series to one destination until it is closed.

    Args:
        name: of the destination.
        carrier: the way there.
        queue: tells what is to be sent.
        inbox: has the files.
        events: counts what was sent.
        refusals: after so many, a series fails.
    """

    def __init__(
        self, name: str, carrier: Carrier, queue: Queue, inbox: Inbox, events: Events, refusals: int
    ) -> None:
        self._name, self._carrier, self._queue = name, carrier, queue
        self._inbox, self._events, self._refusals = inbox, events, refusals
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"rat-send-{name}", daemon=True)
        self._thread.start()

    def close(self, error: BaseException | None = None) -> None:
        """Stop after the series that is being sent."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            for delivery in self._queue.due(self._name):
                if self._ended.is_set():
                    return
                self._deliver(delivery)

    def _deliver(self, delivery: Delivery) -> None:
        folder = self._inbox.folder(delivery.key, OUTPUTS)
        try:
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            self._carrier.send(files)
        except (UnreachableError, OSError) as error:
            self._again(delivery, error)
        except DestinationRefusedError as error:
            self._refused(delivery, error)
        except Exception as error:  # the thread must live; the series is tried again
            self._again(delivery, RatError(f"internal error ({type(error).__name__})"))
        else:
            self._events.count("deliveries_total")
            log(logging.INFO, "series sent", series=delivery.key, destination=self._name)
            self._queue.delivered(delivery)

    def _again(self, delivery: Delivery, error: Exception, *, refused: bool = False) -> None:
        seconds = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(delivery.tries, 10))
        self._events.count("delivery_failures_total")
        reason = str(error) if isinstance(error, RatError) else "a file cannot be read"
        facts = {"series": delivery.key, "destination": self._name, "reason": reason}
        log(logging.WARNING, "series not sent", **facts, again_in_seconds=seconds)
        self._queue.postpone(delivery, seconds, refused=refused)

    def _refused(self, delivery: Delivery, error: DestinationRefusedError) -> None:
        if delivery.refusals + 1 < self._refusals:
            self._again(delivery, error, refused=True)
            return
        reason = f"{self._name} refused the series: {error}"
        self._events.count("series_failed_total")
        log(logging.ERROR, "series failed", series=delivery.key, reason=reason)
        self._inbox.fail(delivery.key, "restored", reason)
