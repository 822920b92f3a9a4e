"""How readers and writers end: a reader closes, a writer finishes its files or discards them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from typing_extensions import Self


class ClosingReader(ABC):
    """A context manager that closes what it has open."""

    @abstractmethod
    def close(self) -> None:
        """Close files and forget what was decoded."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close()


class FinishingWriter(ABC):
    """A context manager that gives its files their names at the end, unless there was an error."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the files and give them their names.

        Raises:
            OutputError: they cannot be written, or another file got a name in the meantime.
            ValueError: some of the scan was not written.
        """

    @abstractmethod
    def discard(self) -> None:
        """Remove everything that is temporary; also called after `finish`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            self.discard()
