"""Words for messages: the kind of a file that is not a scan, and a number with its noun."""

from __future__ import annotations

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"NRRD", "an NRRD file"),
    (0, b"ObjectType", "a MetaImage header"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x7fELF", "a program"),
)


def describe_bytes(head: bytes) -> str:
    """Name the kind of a file by its first bytes, as `a PNG image`.

    Args:
        head: the first bytes of the file.
    """
    if not head:
        return "empty"
    for offset, magic, name in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return name
    return "a text file" if _is_text(head) else "of an unknown kind"


def counted(number: int, noun: str) -> str:
    """Return a number and a noun, as `1 gap` and `2 gaps`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    control = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    return control == 0
