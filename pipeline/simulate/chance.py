"""Chance that can be repeated: every stream of it has a name, and depends on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, TypeVar

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

T = TypeVar("T")
Floats = NDArray[np.float64]

ALPHABETS: Final = {
    "hex": "0123456789abcdef",
    "HEX": "0123456789ABCDEF",
    "BASE": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "digit": "0123456789",
    "mixed": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
}


def stream(seed: int, *names: object) -> Generator:
    """The chance that belongs to a name: the same for the same seed, whatever else is drawn."""
    text = "\x1f".join(map(str, (seed, *names)))
    return Generator(PCG64(int.from_bytes(blake2b(text.encode(), digest_size=16).digest())))


def letters(chance: Generator, alphabet: str, length: int) -> str:
    """A random word over one of `ALPHABETS`."""
    signs = ALPHABETS[alphabet]
    return "".join([signs[i] for i in chance.integers(0, len(signs), length).tolist()])


def uuids(chance: Generator, count: int) -> list[str]:
    """Random (version 4) UUIDs."""
    digits = chance.bytes(16 * count).hex()
    words = [digits[i : i + 32] for i in range(0, 32 * count, 32)]
    return [f"{w[:8]}-{w[8:12]}-4{w[13:16]}-a{w[17:20]}-{w[20:]}" for w in words]


def pick(chance: Generator, things: Sequence[T], weights: Sequence[float] | None = None) -> T:
    """One of the things, each as likely as its weight says."""
    if weights is None:
        return things[int(chance.integers(len(things)))]
    return things[draw(chance, np.asarray(weights, dtype=np.float64), 1)[0]]


def draw(chance: Generator, weights: Floats, count: int) -> list[int]:
    """Indices drawn with replacement, each as likely as its weight says."""
    steps = np.cumsum(weights)
    found: list[int] = np.searchsorted(steps, chance.random(count) * steps[-1], "right").tolist()
    return found


def draw_distinct(chance: Generator, weights: Floats, count: int) -> list[int]:
    """Indices drawn without replacement; the likeliest tend to come first."""
    with np.errstate(divide="ignore"):
        order = np.argsort(chance.exponential(size=len(weights)) / weights, kind="stable")
    return [int(i) for i in order[: min(count, int((weights > 0).sum()))]]


def about(chance: Generator, median: float, spread: float, low: float, high: float) -> float:
    """A positive number with a tail to the right, kept between two bounds."""
    return float(min(max(median * np.exp(spread * chance.standard_normal()), low), high))


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """A whole number divided by weights into whole numbers that add up to it."""
    steps = np.cumsum([0.0, *weights])
    edges = np.rint(steps * (total / steps[-1])).astype(np.int64)
    parts: list[int] = np.diff(edges).tolist()
    return parts
