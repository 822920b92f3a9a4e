"""Restores the series of the inbox, as `rat restore` does, with networks that stay loaded."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace

from ratcli.batch.outcome import Outcome, as_rat_error, failure_of
from ratcli.batch.plan import Plan, find_jobs
from ratcli.batch.run import Runner, RunSettings
from ratcli.batch.work import PlaneProgress, Work
from ratcli.errors import DeviceError, OutputError, RatError, UnsuitableInputError, sentence
from ratcli.node.events import Events, log
from ratcli.node.inbox import INPUTS, WORK, Inbox
from ratcli.node.settings import Route

_AGAIN_S = 60.0
_LOCALIZERS = "all images are localizers (scouts), and its route has no include-localizers"
_OF_THE_MACHINE = (OutputError.exit_code, DeviceError.exit_code)


class Restorer:
    """Restores series; routes with the same options share a network.

    Args:
        routes: all routes.
        inbox: the folders of the series.
        events: counts what was done.

    Raises:
        WeightsError: the weights are missing or damaged.
        DeviceError: the device is missing.
    """

    def __init__(self, routes: Sequence[Route], inbox: Inbox, events: Events) -> None:
        self._routes = {route.patterns.name: route for route in routes}
        self._inbox, self._events = inbox, events
        self._runners: dict[Work, Runner] = {}
        for route in routes:
            if route.work not in self._runners:
                self._runners[route.work] = Runner(route.work, RunSettings())
                self._runners[route.work].load()

    def restore(self, key: str, name: str, progress: PlaneProgress) -> None:
        """Restore a series that was taken, and say in the queue what became of it.

        Args:
            key: of the series.
            name: of its route.
            progress: is called after each plane; it may raise KeyboardInterrupt.
        """
        began = time.monotonic()
        route = self._routes.get(name)
        if route is None:
            reason = f"the route {name} is no longer in node.toml"
            self._fail(key, RatError(reason, hint="Add it, then run `rat serve --retry`."))
            return
        try:
            plan = self._plan(key, route)
            if not route.selection.localizers and _has_localizers_alone(plan):
                self._ignore(key)
                return
            runner = self._runners[route.work]
            outcomes = [*plan.outcomes, *(runner.run_one(job, progress) for job in plan.jobs)]
        except Exception as error:  # the node must live
            self._fail(key, as_rat_error(error))
            return
        failure = failure_of([outcome for outcome in outcomes if not outcome.is_left_out])
        if failure is None and not any(outcome.status == "done" for outcome in outcomes):
            failure = UnsuitableInputError("no image of the series was restored")
        if failure is None:
            self._done(key, route, outcomes, time.monotonic() - began)
        elif failure.exit_code in _OF_THE_MACHINE:
            log(logging.ERROR, "series waits", series=key, reason=failure)
            self._inbox.put_back(key, _AGAIN_S)
        else:
            self._fail(key, failure)

    def _plan(self, key: str, route: Route) -> Plan:
        work = self._inbox.folder(key, WORK)
        shutil.rmtree(work, ignore_errors=True)
        selection = replace(route.selection, output=work.absolute())
        return find_jobs([self._inbox.folder(key, INPUTS)], selection)

    def _done(self, key: str, route: Route, outcomes: Sequence[Outcome], seconds: float) -> None:
        planes = sum(int(str(outcome.facts.get("planes", 0))) for outcome in outcomes)
        self._events.count("series_restored_total")
        self._events.count("planes_restored_total", planes)
        self._events.count("restoring_seconds_total", seconds)
        for outcome in outcomes:
            for notice in (*outcome.notices, outcome.error if outcome.is_left_out else ""):
                if notice:
                    log(logging.WARNING, "notice", series=key, reason=notice)
        facts = {"planes": planes, "seconds": round(seconds, 3), "route": route.patterns.name}
        log(logging.INFO, "series restored", series=key, **facts)
        self._inbox.restored(key, route.patterns.to)

    def _ignore(self, key: str) -> None:
        log(logging.INFO, "series ignored", series=key, reason=_LOCALIZERS)
        self._inbox.ignore(key, _LOCALIZERS)

    def _fail(self, key: str, error: RatError) -> None:
        reason = sentence(str(error), error.hint)
        self._events.count("series_failed_total")
        log(logging.ERROR, "series failed", series=key, reason=reason)
        self._inbox.fail(key, "restoring", reason)


def _has_localizers_alone(plan: Plan) -> bool:
    return bool(plan.jobs) and all(job.source.is_localizer for job in plan.jobs)
