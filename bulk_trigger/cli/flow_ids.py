"""The flows that a command is about: `--flow`, again and again, and `--flows FILE`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import csv
from pathlib import Path

from ..errors import InputError
from ..reader.fields import Refusal, read_flow_id


def read_flow_ids(given: Iterable[int], files: Iterable[Path]) -> list[int]:
    """All flows that were named, each once, in the order of their first mention. Raises `InputError`."""
    listed = (flow_id for path in files for flow_id in _in_file(path))
    return list(dict.fromkeys([*given, *listed]))


def _in_file(path: Path) -> Iterator[int]:
    """One ID per line, or the column flowId of a CSV file with a header; blank lines and # comments."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"--flows {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"--flows {path}: is not UTF-8 text") from None
    column, count = 0, 0
    for line, fields in enumerate(csv.reader(text.splitlines()), 1):
        if not fields or fields[0].lstrip().startswith("#"):
            continue
        names = [field.strip().lower().replace("_", "") for field in fields]
        if count == 0 and "flowid" in names:
            column = names.index("flowid")
            continue
        count += 1
        read = read_flow_id(fields[column].strip() if column < len(fields) else "")
        if isinstance(read, Refusal):
            raise InputError(f"--flows {path}:{line}: {read.message}; {read.cure}")
        yield read
    if count == 0:
        raise InputError(f"--flows {path}: names no flow; write one ID per line")
