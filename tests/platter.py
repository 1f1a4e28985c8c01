"""A disk that keeps what was synced, and of the rest what chance leaves of it.

What a power cut may do to what was not synced, and the tests with it:
  - each write is there or not, whatever was written before or after it (`Loss.SOME`);
  - each sector of 512 or 4096 bytes of a write is there or not (`Loss.TORN`); bytes beside it stay, which is
    what SQLite calls powersafe overwrite and takes for granted;
  - names (files that were made, renamed, deleted) survive in the order of their making, as with every
    journaling filesystem, and whether a name survives says nothing about the bytes of its file;
  - a sync that failed has left its bytes to chance for good: a later one succeeds and means nothing for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from pathlib import Path
import random

Dice = random.Random


class Loss(StrEnum):
    """What becomes of the bytes and names that were not synced when the power goes."""

    ALL = auto()
    SOME = auto()
    TORN = auto()
    NONE = auto()  #: as after a kill -9: the kernel still has everything


class _Fate(Enum):
    CACHED = auto()
    SAFE = auto()
    DOOMED = auto()  #: its sync failed: no later one saves it


@dataclass(slots=True)
class _Change:
    offset: int
    data: bytes | None  #: None: cut the file off at `offset`
    fate: _Fate = _Fate.CACHED

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            self._reach(content, self.offset)
        else:
            self._reach(content, self.offset)
            content[self.offset : self.offset + len(self.data)] = self.data

    def apply_torn(self, content: bytearray, dice: Dice) -> None:
        sector = dice.choice((512, 4096))
        if self.data is None:
            self.apply(content)
            return
        at, end = self.offset, self.offset + len(self.data)
        while at < end:
            until = min(at - at % sector + sector, end)
            if dice.random() < 0.5:
                _Change(at, self.data[at - self.offset : until - self.offset]).apply(content)
            at = until

    @staticmethod
    def _reach(content: bytearray, size: int) -> None:
        content.extend(bytes(max(size - len(content), 0)))  # a hole reads as zeros


class Content:
    """The bytes of one file: on the platter, and the changes that have not got there for certain."""

    def __init__(self, platter: bytes = b"") -> None:
        self._platter = bytearray(platter)
        self._changes: list[_Change] = []
        self.by_sqlite = False  #: who writes it tells us of each change

    def write(self, offset: int, data: bytes) -> None:
        self._changes.append(_Change(offset, data))

    def truncate(self, size: int) -> None:
        self._changes.append(_Change(size, None))

    def replace(self, data: bytes) -> None:
        """Take note of a file that was written by other means than ours."""
        if data != self.cached():
            self._changes += [_Change(0, data), _Change(len(data), None)]

    def sync(self) -> None:
        for change in self._changes:
            if change.fate is _Fate.CACHED:
                change.fate = _Fate.SAFE
        done = 0
        for change in self._changes:
            if change.fate is not _Fate.SAFE:
                break
            change.apply(self._platter)
            done += 1
        del self._changes[:done]

    def fail_sync(self) -> None:
        for change in self._changes:
            if change.fate is _Fate.CACHED:
                change.fate = _Fate.DOOMED

    def cached(self) -> bytes:
        """What a reader sees while the power is on."""
        content = bytearray(self._platter)
        for change in self._changes:
            change.apply(content)
        return bytes(content)

    def survivors(self, dice: Dice, loss: Loss) -> bytes:
        """What is there when the power is back."""
        content = bytearray(self._platter)
        for change in self._changes:
            if change.fate is _Fate.SAFE or loss is Loss.NONE:
                change.apply(content)
            elif loss is Loss.TORN:
                change.apply_torn(content, dice)
            elif loss is Loss.SOME and dice.random() < 0.5:
                change.apply(content)
        return bytes(content)


class Folder:
    """Stands in the names for what is no file."""


Thing = Content | Folder
Naming = tuple[
    tuple[Path, Thing | None], ...
]  #: what one step makes of names; None: nothing is there any more


@dataclass
class Names:
    """Which file stands under which name: now, and on the platter."""

    now: dict[Path, Thing] = field(default_factory=dict)
    _safe: dict[Path, Thing] = field(default_factory=dict)
    _unsynced: dict[Path, list[Naming]] = field(default_factory=dict)

    def find(self, path: Path, thing: Thing) -> None:
        """Take note of what was there from the beginning."""
        self.now[path] = self._safe[path] = thing

    def change(self, naming: Naming) -> None:
        _rename(self.now, naming)
        self._unsynced.setdefault(naming[0][0].parent, []).append(naming)

    def sync(self, directory: Path) -> None:
        for naming in self._unsynced.pop(directory, []):
            _rename(self._safe, naming)

    def survivors(self, dice: Dice, loss: Loss) -> dict[Path, Thing]:
        """Which names are there when the power is back: of each directory the first so many changes."""
        names = dict(self._safe)
        for namings in self._unsynced.values():
            match loss:
                case Loss.ALL:
                    kept = 0
                case Loss.NONE:
                    kept = len(namings)
                case _:
                    kept = dice.randint(0, len(namings))
            for naming in namings[:kept]:
                _rename(names, naming)
        return {path: thing for path, thing in names.items() if _has_place(path, names, self.now)}


def _rename(names: dict[Path, Thing], naming: Naming) -> None:
    for path, thing in naming:
        if thing is None:
            names.pop(path, None)
        else:
            names[path] = thing


def _has_place(path: Path, names: dict[Path, Thing], before: dict[Path, Thing]) -> bool:
    """Whether every directory above a file is there, as far as we know of it."""
    return all(parent in names for parent in path.parents if isinstance(before.get(parent), Folder))
