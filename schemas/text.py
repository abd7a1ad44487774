"""Text that is safe to show and to write."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Text with what would break a line or command a terminal written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def written(name: str) -> str:
    """A name that can be written as UTF-8: those of files need not be text."""
    return name.encode(errors="backslashreplace").decode()
