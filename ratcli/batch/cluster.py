"""Runs jobs on a Dask cluster; each of its processes loads the work once."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ratcli.batch.outcome import LOG, TRACE, Outcome
from ratcli.batch.plan import Job
from ratcli.batch.run import BatchListener, Runner, RunSettings
from ratcli.batch.work import Work
from ratcli.errors import DeviceError, InputNotFoundError, RatError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK_S = 0.1
"""Seconds between two looks at what has finished."""

NO_WORKER_S = 20.0
"""Seconds without workers after which it is said; one that was lost is usually started again."""

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Scheduler:
    """Where a cluster is.

    Attributes:
        address: as `tcp://host:8786`.
        timeout_s: seconds in which it must answer.
    """

    address: str
    timeout_s: float = 10.0


def run_cluster(
    jobs: Sequence[Job],
    work: Work,
    settings: RunSettings,
    listener: BatchListener,
    scheduler: Scheduler,
) -> None:
    """Send jobs to a scheduler. If a worker is lost, the scheduler gives its job to another one.

    Inputs and outputs are paths: they must mean the same on every machine of the cluster.

    Args:
        jobs: the jobs.
        work: what to do with each scan.
        settings: how.
        listener: hears of outcomes, not of single planes.
        scheduler: of the cluster.

    Raises:
        UsageError: the extra `cluster` is not installed.
        DeviceError: the scheduler does not answer, or no longer.
        WeightsError: the weights are missing or damaged.
    """
    with _connect(scheduler) as client:
        # A worker can be lost after it wrote the output: then its job comes again and must be
        # allowed to replace that output. The plan has checked that the names were free.
        ours = [replace(job, overwrite=True) for job in jobs]
        run = functools.partial(_run, client, work=work, settings=settings, listener=listener)
        suspects = run(ours)
        for job in suspects:
            if len(suspects) == 1 or run([job]):
                listener.finished(_lost(job))


def _run(
    client: Client,
    jobs: Sequence[Job],
    *,
    work: Work,
    settings: RunSettings,
    listener: BatchListener,
) -> list[Job]:
    """Submit jobs and pass their outcomes on; see `_listen` for what is returned."""
    futures = {client.submit(work_on, job, work, settings, pure=False): job for job in jobs}
    try:
        return _listen(client, futures, settings, listener)
    finally:
        if client.status == "running":  # it closes when the scheduler is lost
            client.cancel(list(futures))


def _listen(
    client: Client,
    futures: dict[Future[Any], Job],
    settings: RunSettings,
    listener: BatchListener,
) -> list[Job]:
    """Pass outcomes on as they come in.

    Returns:
        Jobs that lost several workers, one after another. One job that ends its workers takes
        the jobs that wait on them with it, so each of these must be tried alone.

    Raises:
        DeviceError: the scheduler is lost.
    """
    from distributed import KilledWorker

    suspects = []
    for future in _finished(client, list(futures)):
        try:
            outcome = _outcome(future, futures[future])
        except KilledWorker:
            suspects.append(futures[future])
            continue
        listener.finished(outcome)
        if outcome.status == "failed" and settings.fail_fast:
            break
    return suspects


def _finished(client: Client, futures: list[Future[Any]]) -> Iterator[Future[Any]]:
    """Yield futures as they finish; warn if the cluster has no workers for a while."""
    from distributed import as_completed

    finishing, left, last_seen = as_completed(futures), len(futures), -math.inf
    while left:
        batch = finishing.next_batch(block=False)
        left -= len(batch)
        yield from batch
        now = time.monotonic()
        if client.scheduler_info()["workers"]:
            last_seen = now
        elif now - last_seen > NO_WORKER_S:
            LOG.warning("the cluster has no workers; the scans wait for the next one")
            last_seen = math.inf
        if not batch:
            time.sleep(LOOK_S)


def _outcome(future: Future[Any], job: Job) -> Outcome:
    """Return the outcome of a future that is finished.

    Raises:
        KilledWorker: it lost several workers, also while its outcome was fetched from the last.
        DeviceError: the scheduler is lost.
        RatError: the weights or the device are; no other scan would fare better.
    """
    from distributed import KilledWorker

    try:
        outcome = future.result()
    except (KilledWorker, RatError):
        raise
    except Exception as error:
        if future.cancelled():
            raise DeviceError(
                "the Dask scheduler was lost",
                hint="Start it again and continue with --resume; the manifest has what is done.",
            ) from None
        return Outcome.failure(job.name, error, output=job.output_text)
    assert isinstance(outcome, Outcome)
    return outcome


def _lost(job: Job) -> Outcome:
    error = DeviceError(
        "the workers that had this scan were lost, one after another",
        hint="The usual cause is too little memory: use --memory, or larger workers.",
    )
    return Outcome.failure(job.name, error, output=job.output_text)


def work_on(job: Job, work: Work, settings: RunSettings) -> Outcome:
    """Run one job on a worker of the cluster."""
    if not all(path.exists() for path in job.source.paths):
        error = InputNotFoundError(
            f"a worker of the cluster does not see {job.name}",
            hint="Inputs and outputs must have the same paths on all machines of the cluster.",
        )
        return Outcome.failure(job.name, error, output=job.output_text)
    with _ONE_AT_A_TIME:
        return _runner(work, settings).run_one(job, lambda done, total: None)


@functools.lru_cache(maxsize=1)
def _runner(work: Work, settings: RunSettings) -> Runner:
    return Runner(work, settings)


def _connect(scheduler: Scheduler) -> Client:
    address, timeout_s = scheduler.address, scheduler.timeout_s
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            "--scheduler needs the library distributed, which is not installed",
            hint="Install it with `pip install 'ratcli[cluster]'`.",
        ) from error
    if not LOG.isEnabledFor(TRACE):
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        with ThreadPoolExecutor(1) as thread:  # whoever calls may have an event loop of their own
            asking = asyncio.wait_for(_ask(address), timeout_s)
            thread.submit(asyncio.run, asking).result()
        return Client(address, timeout=timeout_s)
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        raise DeviceError(
            f"no Dask scheduler answers at {address} within {timeout_s:g} s",
            hint="Start one with `dask scheduler`, and workers with `dask worker`.",
        ) from error
    except Exception as error:  # its bytes are taken for lengths: MemoryError, and many others
        raise DeviceError(
            f"what answers at {address} is no Dask scheduler",
            hint="Give the address that `dask scheduler` shows when it starts.",
        ) from error


async def _ask(address: str) -> None:
    """Exchange a message; a client would wait without end for a port that is silent."""
    from distributed.core import rpc

    async with rpc(address) as scheduler:
        await scheduler.identity()
