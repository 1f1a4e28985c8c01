"""The bytes of a job list: opened, hashed as stored, unpacked, checked, and cut at line ends."""

from __future__ import annotations

from contextlib import ExitStack
import gzip
import hashlib
import io
from pathlib import Path
import re
from typing import TYPE_CHECKING, BinaryIO
import zlib

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from _typeshed import WriteableBuffer

RECORD_LIMIT = 2**20  #: bytes of one record; nothing that a person calls a row comes near
_CHUNK = 2**18
_GZIP = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class Source:
    """A job list's bytes, read once from beginning to end in constant memory."""

    def __init__(self, source: str | Path | BinaryIO, name: str) -> None:
        self._source = source
        self._name = name
        self._stored = _Stored(name)
        self.ends_in_newline = True  #: the text read so far

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of what was read, as stored."""
        return self._stored.hash.hexdigest()

    @property
    def size(self) -> int:
        """Bytes read, as stored."""
        return self._stored.size

    def blocks(self) -> Generator[tuple[int, bytes], None, None]:
        """Give the text as UTF-8 without its mark: the number of the first line (from 1), and whole lines.

        Only the last block may end within a line. Raises `InputError` for everything that is not text.
        """
        line, rest, first = 1, b"", True
        for data in self._unpacked():
            rest += data
            if first:
                _refuse_wide(rest, self._name)
                rest, first = rest.removeprefix(_UTF8_BOM), False
            if (
                cut := rest.rfind(b"\n") + 1 or rest.rfind(b"\r", 0, -1) + 1
            ):  # a last CR may be half of a CRLF
                yield line, _checked(rest[:cut], line, self._name)
                line += count_lines(rest[:cut])
                rest = rest[cut:]
            if len(rest) > RECORD_LIMIT:
                raise too_long(self._name, line)
        if rest:
            self.ends_in_newline = rest.endswith(b"\r")
            yield line, _checked(rest, line, self._name)

    def _unpacked(self) -> Iterator[bytes]:
        """Give the bytes in chunks, unpacked if they are gzip."""
        with ExitStack() as stack:
            if isinstance(self._source, str | Path):
                self._stored.stream = stack.enter_context(_open(Path(self._source), self._name))
            else:
                self._stored.stream = self._source
            plain = io.BufferedReader(self._stored, _CHUNK)
            packed = plain.peek(len(_GZIP)).startswith(_GZIP)
            file = stack.enter_context(gzip.GzipFile(fileobj=plain)) if packed else plain
            try:
                while data := file.read(_CHUNK):
                    yield data
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise InputError(f"{self._name}: the gzip data is damaged or cut off ({error})") from None


class _Stored(io.RawIOBase):
    """A stream that hashes and counts what is read from it."""

    stream: BinaryIO

    def __init__(self, name: str) -> None:
        self._name = name
        self.hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        count = self._read_into(view)
        if count == self.size == 1:  # a pipe may begin with a single byte, and it takes two to tell gzip
            count += self._read_into(view[1:])
        return count

    def _read_into(self, view: memoryview) -> int:
        try:
            data: bytes | None = self.stream.read(len(view))
        except OSError as error:
            raise InputError(f"{self._name}: cannot be read: {error.strerror or error}") from None
        if data is None:  # taken for the end, this would lose rows
            raise InputError(
                f"{self._name}: the stream does not wait for its writer; use a file or a usual pipe"
            )
        self.hash.update(data)
        self.size += len(data)
        view[: len(data)] = data
        return len(data)


def _open(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{name}: is a directory; name the job list in it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be opened: {getattr(error, 'strerror', error)}") from None


def count_lines(data: bytes) -> int:
    """The number of line ends: LF, CRLF or CR."""
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def too_long(name: str, line: int) -> InputError:
    """The refusal of a record that does not end."""
    return InputError(f"{name}:{line}: the record that starts here is longer than 1 MiB; correct the file")


def _checked(data: bytes, line: int, name: str) -> bytes:
    """Give the block back if it is UTF-8 text."""
    if (nul := data.find(b"\0")) >= 0:
        raise InputError(
            f"{name}:{line + count_lines(data[:nul])}: holds a NUL byte: the file is damaged; make it again"
        )
    try:
        data.decode()
    except UnicodeDecodeError as error:
        bad = line + count_lines(data[: error.start])
        raise InputError(
            f"{name}:{bad}: is not UTF-8; it looks like {_guess_encoding(data)}: save the file as UTF-8"
        ) from None
    return data


def _refuse_wide(data: bytes, name: str) -> None:
    """Refuse UTF-16 and UTF-32, by their marks or by the NULs that they give to plain text."""
    wide = next((encoding for mark, encoding in _WIDE_BOMS.items() if data.startswith(mark)), "")
    head = data[:400]
    is_text = b"\0" * 8 not in head  # so many in a row are blocks of a disk that were never written
    if not wide and is_text and (nuls := head.count(0) / max(len(head), 1)) > 0.4:
        wide = "UTF-32" if nuls > 0.6 else "UTF-16"
    if wide:
        raise InputError(f"{name}:1: is not UTF-8; it looks like {wide}: save the file as UTF-8")


def _guess_encoding(data: bytes) -> str:
    """Name the likely encoding, for the message only: Chinese text comes in pairs of high bytes."""
    pairs = all(len(run) % 2 == 0 for run in re.findall(rb"[\x80-\xff]+", data))
    return "GBK (Chinese)" if pairs else "Latin-1 or Windows-1252"
