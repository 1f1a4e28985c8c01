"""Bad and odd job lists by the hundred, each with the verdict that it must get (F106 to F120).

What a fuzzer found stands in `FOUND`, each with its story.
"""

from __future__ import annotations

import corpus_csv
import corpus_jsonl
import corpus_text
import corpus_values
from entries import HEAD, Bad, Entry, Good, T, bad, jsonl, ok

FOUND: tuple[Entry, ...] = (
    # The name of the repeated key is empty, and so was taken for "no key is repeated": the last one won.
    jsonl(
        "F116 the empty key twice",
        b'{"flowId":7,"":1,"":2,"triggerTime":%d}\n' % T,
        bad("duplicate-key", 1, ""),
    ),
    jsonl(
        "F116 the empty key once",
        b'{"flowId":7,"":1,"triggerTime":%d}\n' % T,
        ok(7, T, b'{"":1}'),
    ),
)

CORPUS: tuple[Entry, ...] = (
    *corpus_text.ENCODINGS,
    *corpus_text.LINE_ENDS,
    *corpus_text.PACKED,
    *corpus_csv.QUOTES,
    *corpus_csv.DELIMITERS,
    *corpus_csv.HEADERS,
    *corpus_csv.RAGGED,
    *corpus_csv.SIZES,
    *corpus_csv.DUPLICATES,
    *corpus_csv.HOSTILE,
    *corpus_csv.FROM_A_RUN,
    *corpus_values.VALUES,
    *corpus_values.SPREADSHEETS,
    *corpus_jsonl.SHAPES,
    *corpus_jsonl.TWICE,
    *corpus_jsonl.VALUES,
    *corpus_jsonl.CARRIED,
    *corpus_jsonl.LISTS,
    *FOUND,
)


def mixed_list(form: str) -> tuple[bytes, list[Good | Bad]]:
    """All values of the corpus that need no flag, good and bad, as one list."""
    parts = [
        entry
        for entry in corpus_values.VALUES
        if (entry.format, entry.unit, entry.zone) == (form, "ms", None)
    ]
    head = HEAD if form == "csv" else b""
    content = head + b"".join(entry.make().removeprefix(head) for entry in parts)
    return content, [row for entry in parts for row in entry.rows]
