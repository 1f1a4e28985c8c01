"""A small fuzzer in the manner of AFL's havoc stage: valid files, spoilt by a few random edits at a time.

Every input is a function of (seed, number), so a failure is played again from the two numbers that it prints.
The limit of an input is CPU time, not time on the clock: a busy machine is no hang.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import random
import signal
import time
from types import FrameType
from typing import Protocol

HANG_S = 10.0  #: CPU seconds of one input
LONGEST = 1 << 17  #: bytes of an input
_NUMBERS = (
    b"0", b"-1", b"1", b"65536", b"4294967296", b"9007199254740993", b"9223372036854775807",
    b"9223372036854775808", b"1e400", b"0.1", b"-0", b"00", b"1_0", b"99999999999999999999999",
)  # fmt: skip
_BYTES = (
    b"\0", b"\n", b"\r", b"\r\n", b'"', b'""', b",", b"\\", b"{", b"}", b"[", b"]", b":", b" ", b"\t",
    b"\x1f\x8b", b"\xef\xbb\xbf", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\x85", b"\x1b[2J",
)  # fmt: skip

Target = Callable[[bytes], None]


class Source(Protocol):
    """Where inputs come from."""

    least: int  #: inputs that are tried however slow the machine is

    def input(self, seed: int, number: int) -> bytes:
        """The input of that number, from 0."""


class Havoc:
    """Makes inputs out of seeds and of words that mean something in their language."""

    least = 300

    def __init__(
        self, seeds: Sequence[bytes], words: Sequence[bytes] = (), *, good: Sequence[bytes] = ()
    ) -> None:
        self._seeds = [seed for seed in (*good, *seeds) if len(seed) <= LONGEST]
        self._good = good or self._seeds  #: half of all inputs come from these
        self._words = (*_NUMBERS, *_BYTES, *words)

    def input(self, seed: int, number: int) -> bytes:
        """The input of that number; the first ones are the seeds as they are."""
        if number < len(self._seeds):
            return self._seeds[number]
        dice = random.Random(f"{seed} {number}")
        data = bytearray(dice.choice(dice.choice((self._good, self._seeds))))
        for _ in range(1 << dice.choice((0, 0, 1, 2, 3, 4))):
            dice.choice(_EDITS)(data, dice, self)
        return bytes(data[:LONGEST])

    def word(self, dice: random.Random) -> bytes:
        return dice.choice(self._words)

    def part(self, dice: random.Random) -> bytes:
        """A piece of some seed."""
        other = dice.choice(self._seeds)
        start, end = _range(other, dice)
        return other[start:end]


def _range(data: bytes | bytearray, dice: random.Random) -> tuple[int, int]:
    start = dice.randrange(len(data) + 1)
    return start, min(len(data), start + 1 + int(dice.expovariate(1 / 12)))


def _flip(data: bytearray, dice: random.Random, _: Havoc) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _set(data: bytearray, dice: random.Random, _: Havoc) -> None:
    if data:
        data[dice.randrange(len(data))] = dice.randrange(256)


def _digit(data: bytearray, dice: random.Random, _: Havoc) -> None:
    if places := [at for at, byte in enumerate(data[:2000]) if 48 <= byte <= 57]:
        data[dice.choice(places)] = 48 + dice.randrange(10)


def _delete(data: bytearray, dice: random.Random, _: Havoc) -> None:
    start, end = _range(data, dice)
    del data[start:end]


def _double(data: bytearray, dice: random.Random, _: Havoc) -> None:
    start, end = _range(data, dice)
    data[start:start] = data[start:end] * dice.choice((1, 1, 1, 2, 50, 2000))


def _insert(data: bytearray, dice: random.Random, havoc: Havoc) -> None:
    at = dice.randrange(len(data) + 1)
    data[at:at] = havoc.word(dice)


def _replace(data: bytearray, dice: random.Random, havoc: Havoc) -> None:
    start, end = _range(data, dice)
    data[start:end] = havoc.word(dice)


def _splice(data: bytearray, dice: random.Random, havoc: Havoc) -> None:
    at = dice.randrange(len(data) + 1)
    data[at:at] = havoc.part(dice)


def _cut(data: bytearray, dice: random.Random, _: Havoc) -> None:
    del data[dice.randrange(len(data) + 1) :]


def _lines(data: bytearray, dice: random.Random, _: Havoc) -> None:
    """Lines change places, go, or come twice."""
    lines = bytes(data).splitlines(keepends=True)
    if len(lines) > 1:
        line = lines.pop(dice.randrange(len(lines)))
        for _time in range(dice.choice((0, 1, 1, 2))):
            lines.insert(dice.randrange(len(lines) + 1), line)
        data[:] = b"".join(lines)


_EDITS = (
    _flip,
    _set,
    _digit,
    _digit,
    _delete,
    _double,
    _insert,
    _insert,
    _replace,
    _replace,
    _splice,
    _cut,
    _lines,
)


class Found(AssertionError):  # noqa: N818 - what fuzzers do
    """An input that broke a property."""


def fuzz(target: Target, source: Source, *, seed: int, seconds: float) -> int:
    """Try inputs for so long; returns how many. Raises `Found` with the smallest input that breaks it."""
    end = time.monotonic() + seconds
    number = 0
    while number < source.least or time.monotonic() < end:
        data = source.input(seed, number)
        if (error := failure(target, data)) is not None:
            small = shrink(target, data, type(error))
            raise Found(f"input {number} of --seed {seed}: {small!r}") from failure(target, small)
        number += 1
    return number


def failure(target: Target, data: bytes) -> BaseException | None:
    """What a target raises for an input; a hang is a `TimeoutError`."""
    try:
        with _limited():
            target(data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, it was found
        return error
    return None


def shrink(target: Target, data: bytes, kind: type[BaseException]) -> bytes:
    """Take away as much as the same kind of failure allows: halves, then smaller pieces."""
    size, tries = max(len(data) // 2, 1), 0
    while tries < 2000:
        for at in range(0, len(data), size):
            smaller = data[:at] + data[at + size :]
            tries += 1
            if type(failure(target, smaller)) is kind:
                data = smaller
                break
        else:
            if size == 1:
                break
            size //= 2
    return data


@contextmanager
def _limited() -> Iterator[None]:
    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _hangs)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _hangs(_: int, __: FrameType | None) -> None:
    raise TimeoutError(f"more than {HANG_S:g} s of CPU time for one input")
