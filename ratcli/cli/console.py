"""Messages and progress bars, all on stderr, because stdout is for data."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import Self

from ratcli.cli.streams import printable
from ratcli.commands.options import option
from ratcli.errors import OutputError, reason_of

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

LOG = logging.getLogger("ratcli.cli")
PLAIN_INTERVAL_S = 10.0
MESSAGES = "Messages"


@dataclass(frozen=True, kw_only=True)
class ConsoleOptions:
    """How much is shown on the terminal; every command has these options."""

    json: bool = option(False, "Print one JSON object for each result on stdout.", group=MESSAGES)
    quiet: bool = option(False, "Show errors only.", short="q", group=MESSAGES)
    verbose: bool = option(False, "Also show details.", short="v", group=MESSAGES)
    debug: bool = option(False, "Show tracebacks and warnings of libraries.", group=MESSAGES)
    no_progress: bool = option(False, "Do not show a progress bar.", group=MESSAGES)
    log_file: Path | None = option(
        None, "Write every detail with its time to this file.", metavar="FILE", group=MESSAGES
    )

    @property
    def level(self) -> int:
        """Lowest level of messages that reaches stderr."""
        if self.quiet:
            return logging.ERROR
        if self.debug:
            return logging.NOTSET + 1
        return logging.DEBUG if self.verbose else logging.INFO

    @property
    def has_bar(self) -> bool:
        """Whether a progress bar is shown: on a terminal, where it is wanted."""
        return not self.no_progress and not self.quiet and sys.stderr.isatty()


@contextmanager
def talking(options: ConsoleOptions) -> Iterator[None]:
    """Send the log of `ratcli` to stderr and the log file, and keep other libraries silent.

    Raises:
        OutputError: the log file cannot be written.
    """
    root = logging.getLogger("ratcli")
    handlers = _handlers(options)
    before = (root.level, root.propagate)
    root.setLevel(min(options.level, logging.DEBUG))
    root.propagate = False
    for handler in handlers:
        root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            if not options.debug:
                _silence_libraries()
            yield
    finally:
        root.setLevel(before[0])
        root.propagate = before[1]
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _handlers(options: ConsoleOptions) -> list[logging.Handler]:
    screen = _Screen()
    screen.setLevel(options.level)
    handlers: list[logging.Handler] = [screen]
    if options.log_file is not None:
        try:
            file = _LogFile(options.log_file, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            reason = reason_of(error)
            raise OutputError(
                f"the log {options.log_file.name} cannot be written: {reason}"
            ) from error
        file.setLevel(logging.DEBUG)
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(file)
    return handlers


def _silence_libraries() -> None:
    """Silence other libraries, because warnings of pydicom quote values of headers."""
    warnings.simplefilter("ignore")
    for name in ("pydicom", "pynetdicom", "tifffile", "nibabel", "highdicom", "distributed"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _LogFile(logging.FileHandler):
    """A log file. If its disk is full, that is said once, and the work continues."""

    def emit(self, record: logging.LogRecord) -> None:
        message = logging.makeLogRecord({**record.__dict__, "msg": printable(record.getMessage())})
        message.args = ()
        super().emit(message)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if self.level <= logging.CRITICAL:
            self.setLevel(logging.CRITICAL + 1)
            name = Path(self.baseFilename).name
            print(f"warning: the log {name} cannot be written any more", file=sys.stderr)


class _Screen(logging.Handler):
    """Writes a line above the bar, or to stderr if there is no bar."""

    bar: Bar | None = None

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        line = prefix + printable(record.getMessage())
        if _Screen.bar is not None:
            _Screen.bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr)


class Progress:
    """A bar on a terminal; a plain line from time to time elsewhere.

    Args:
        options: whether a bar is wanted.
        files: number of files to come.
    """

    def __init__(self, options: ConsoleOptions, files: int) -> None:
        self._files = files
        self._told = time.monotonic()
        self._bar = _make_bar() if options.has_bar else None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._overall = self._bar.add_task("files", total=self._files, visible=self._files > 1)
            _Screen.bar = self._bar
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        _Screen.bar = None
        if self._bar is not None:
            self._bar.stop()

    def planes(self, name: str, done: float, total: int) -> None:
        """Show the progress of one file."""
        if self._bar is not None:
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(name, total=total)
            self._bar.update(self._tasks[name], completed=done)
        elif time.monotonic() - self._told > PLAIN_INTERVAL_S:
            self._told = time.monotonic()
            if total > 1:
                LOG.info("%s: %d of %d planes", name, done, total)
            else:
                LOG.info("%s: %.0f %%", name, 100 * done)

    def finished(self, name: str) -> None:
        """Count one file as finished."""
        if self._bar is None:
            return
        task = self._tasks.pop(name, None)
        if task is not None:
            self._bar.remove_task(task)
        self._bar.advance(self._overall)


class Download:
    """A bar for a download; nothing if stderr is not a terminal.

    Args:
        name: of the file.
        size: bytes to come, None if unknown.
        shown: whether a bar is wanted.

    Attributes:
        total: bytes to come, if known.
    """

    def __init__(self, name: str, size: int | None, *, shown: bool = True) -> None:
        self.total = float(size or 0)
        self._name = name
        self._bar = _make_bytes_bar() if shown and sys.stderr.isatty() else None

    def update(self, amount: int) -> None:
        """Count more bytes."""
        if self._bar is not None:
            self._bar.update(self._task, total=self.total or None, advance=amount)

    def reset(self) -> None:
        """Start over."""
        if self._bar is not None:
            self._bar.reset(self._task)

    def close(self) -> None:
        """Remove the bar."""

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._name, total=self.total or None)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _make_bytes_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a plain text table, its columns aligned.

    Args:
        header: names of the columns.
        rows: one text for each column.
    """
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    text.insert(1, "  ".join("-" * width for width in widths))
    return text


def say(*lines: str) -> None:
    """Write lines of data to stdout; control characters in them are escaped."""
    for line in lines:
        print(printable(line))
