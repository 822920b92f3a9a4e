"""What is entered and closed: a base that spells out the protocol of `with` once."""

from __future__ import annotations

from typing_extensions import Self


class Closing:
    """A context manager that is its own value; subclasses say what closing does."""

    def close(self, error: BaseException | None = None) -> None:
        """Close it.

        Args:
            error: what ended the work inside, or None.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close(error)
