"""Bytes before they are CSV: encodings (F106), line ends (F107), gzip and other packings (F118)."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

from entries import HEAD, Entry, T, bad, csv, jsonl, ok, whole

ROW = b"3377,1574385824000\n"
TWO = HEAD + ROW + b"3378,1574385824000\n"
TEXT = TWO.decode()
LINE = b'{"flowId":3377,"triggerTime":1574385824000}\n'
LINES = LINE + b'{"flowId":3378,"triggerTime":1574385824000}\n'
SITE = b"flowId,triggerTime,site\n"
BOM = b"\xef\xbb\xbf"
BOTH = (ok(), ok(3378))


def _zip(name: str) -> bytes:
    """What `jobs.xlsx` renamed to `jobs.csv` begins with."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "<xml/>")
    return file.getvalue()


BEFORE_IT = SITE + b"1,%d," % T
STRADDLING = b"x" * (2**18 - len(BEFORE_IT) - 1) + "江".encode()  #: its last character lies across a border


def _late(line: bytes, at: int) -> bytes:
    """Twenty thousand good rows, and this line in the place of line `at`."""
    rows = [b"%d,%d\n" % (flow, T) for flow in range(1, 20_001)]
    rows[at - 2] = line
    return HEAD + b"".join(rows)


def _crlf_on_the_border() -> bytes:
    """A CRLF of which the CR ends the first block and the LF begins the second."""
    head = HEAD.replace(b"\n", b"\r\n")
    padding = 2**18 - len(head) - len(b"1,1574385824000\r")
    return head + b"1,1574385824000" + b" " * padding + b"\r\n2,1574385824000\r\n"


ENCODINGS: tuple[Entry, ...] = (
    csv("F106 UTF-8 with a mark", BOM + TWO, BOTH),
    csv("F106 UTF-8 with a mark and a quoted first name", BOM + b'"flowId",triggerTime\n' + ROW, ok()),
    csv("F106 two marks", BOM + BOM + TWO, whole(1, "no column flowId")),
    csv("F106 a mark and nothing else", BOM, whole(None, "empty")),
    csv("F106 UTF-16 little-endian with a mark", TEXT.encode("utf-16"), whole(1, "UTF-16")),
    csv("F106 UTF-16 big-endian with a mark", b"\xfe\xff" + TEXT.encode("utf-16-be"), whole(1, "UTF-16")),
    csv("F106 UTF-16 little-endian without a mark", TEXT.encode("utf-16-le"), whole(1, "UTF-16")),
    csv("F106 UTF-16 big-endian without a mark", TEXT.encode("utf-16-be"), whole(1, "UTF-16")),
    csv("F106 UTF-32 little-endian with a mark", TEXT.encode("utf-32"), whole(1, "UTF-32")),
    csv("F106 UTF-32 big-endian with a mark", b"\0\0\xfe\xff" + TEXT.encode("utf-32-be"), whole(1, "UTF-32")),
    csv("F106 UTF-32 little-endian without a mark", TEXT.encode("utf-32-le"), whole(1, "UTF-32")),
    jsonl("F106 JSON lines in UTF-16", LINES.decode().encode("utf-16"), whole(1, "UTF-16")),
    csv("F106 UTF-7", b"+AGYAbABvAHcASQBk-,triggerTime\n" + ROW, whole(1, "no column flowId")),
    csv("F106 EBCDIC", TEXT.encode("cp500"), whole(1, "is not UTF-8")),
    csv(
        "F106 Latin-1 in the header", "flowId,triggerTime,Höhe\n".encode("latin-1") + ROW, whole(1, "Latin-1")
    ),
    csv(
        "F106 Latin-1 in the third row",
        SITE + b"1,%d,a\n2,%d,b\n3,%d,M\xfcnchen\n" % (T, T, T),
        whole(4, "Latin-1"),
    ),
    csv("F106 curly quotes of Windows-1252", SITE + b"1,%d,\x93Jiangyin\x94\n" % T, whole(2, "Windows-1252")),
    csv("F106 GBK", "flowId,triggerTime,site\n1,1574385824000,江阴\n".encode("gbk"), whole(2, "GBK")),
    csv(
        "F106 Shift-JIS",
        "flowId,triggerTime,site\n1,1574385824000,東京\n".encode("shift-jis"),
        whole(2, "UTF-8"),
    ),
    csv("F106 an overlong slash", SITE + b"1,%d,\xc0\xaf\n" % T, whole(2, "is not UTF-8")),
    csv("F106 a surrogate in UTF-8 (CESU-8)", SITE + b"1,%d,\xed\xa0\x80\n" % T, whole(2, "is not UTF-8")),
    csv("F106 beyond U+10FFFF", SITE + b"1,%d,\xf4\x90\x80\x80\n" % T, whole(2, "is not UTF-8")),
    csv(
        "F106 a character cut in the middle at the end", SITE + b"1,%d,\xe6\xb1" % T, whole(2, "is not UTF-8")
    ),
    csv("F106 a continuation byte alone in a flow ID", HEAD + b"33\x8077,%d\n" % T, whole(2, "is not UTF-8")),
    csv(
        "F106 invalid UTF-8 in line 15000, generated",
        lambda: _late(b"1,%d\xff\n" % T, 15_000),
        whole(15_000, "is not UTF-8"),
    ),
    csv(
        "F106 a character across the border of two blocks, generated",
        lambda: BEFORE_IT + STRADDLING + b"\n2,%d,y\n" % T,
        (ok(1, T, b'{"site":"' + STRADDLING + b'"}'), ok(2, T, b'{"site":"y"}')),
    ),
    csv("F106 NUL in the header", b"flow\0Id,triggerTime\n" + ROW, whole(1, "NUL")),
    csv("F106 NUL in a flow ID", TWO + b"33\x0079,%d\n" % T, whole(4, "NUL")),
    csv("F106 NUL in a quoted field", SITE + b'1,%d,"a\0b"\n' % T, whole(2, "NUL")),
    csv("F106 the zeros of a page that was never written", TWO + b"\0" * 4096, whole(4, "NUL")),
    csv("F106 nothing but NULs", b"\0" * 4096, whole(1, "NUL")),
    csv("F106 NUL in line 15000, generated", lambda: _late(b"1,15743\x00\n", 15_000), whole(15_000, "NUL")),
    jsonl("F106 NUL between two JSON lines", LINE + b"\0\n" + LINE, whole(2, "NUL")),
    jsonl(
        "F106 an escaped NUL is text",
        b'{"flowId":3377,"triggerTime":%d,"a":"\\u0000"}\n' % T,
        ok(extra=b'{"a":"\\u0000"}'),
    ),
    csv(
        "F106 characters of four bytes",
        SITE + "1,1574385824000,🌬\n".encode(),
        ok(1, T, '{"site":"🌬"}'.encode()),
    ),
    csv(
        "F106 a replacement character is text",
        SITE + "1,1574385824000,M�n\n".encode(),
        ok(1, T, '{"site":"M�n"}'.encode()),
    ),
    csv(
        "F106 a mark before the first field of a row",
        TWO + BOM + b"3379,%d\n" % T,
        (*BOTH, bad("bad-flow-id", 4, "flowId", "byte order mark")),
    ),
    jsonl("F106 UTF-8 JSON lines with a mark", BOM + LINES, BOTH),
    jsonl(
        "F116 a mark in the middle: two files joined",
        LINE + BOM + LINE,
        (ok(), bad("not-json", 2, says="byte order mark")),
    ),
)

LINE_ENDS: tuple[Entry, ...] = (
    csv("F107 CRLF", TWO.replace(b"\n", b"\r\n"), BOTH),
    csv("F107 CR alone", TWO.replace(b"\n", b"\r"), BOTH),
    csv(
        "F107 all three mixed",
        HEAD.replace(b"\n", b"\r\n") + ROW.replace(b"\n", b"\r") + b"3378,%d\n" % T,
        BOTH,
    ),
    csv("F107 no newline at the end", TWO[:-1], BOTH),
    csv("F107 CR at the very end", TWO[:-1] + b"\r", BOTH),
    csv("F107 CR CR LF, as Windows writes text twice", TWO.replace(b"\n", b"\r\r\n"), BOTH, blanks=3),
    csv("F107 LF CR", TWO.replace(b"\n", b"\n\r"), BOTH, blanks=3),
    csv("F107 CRLF on the border of two blocks, generated", _crlf_on_the_border, (ok(1), ok(2))),
    csv(
        "F107 blank lines before, between and behind",
        b"\n\r\n" + HEAD + b"\n  \n\t\n" + ROW + b"\n\n",
        ok(),
        blanks=7,
    ),
    csv(
        "F107 U+2028 ends no line",
        SITE + "1,1574385824000,a\u2028b\n".encode(),
        ok(1, T, '{"site":"a\u2028b"}'.encode()),
    ),
    csv(
        "F107 U+2029 ends no line",
        SITE + "1,1574385824000,a\u2029b\n".encode(),
        ok(1, T, '{"site":"a\u2029b"}'.encode()),
    ),
    csv(
        "F107 U+0085 ends no line",
        SITE + "1,1574385824000,a\x85b\n".encode(),
        ok(1, T, '{"site":"a\x85b"}'.encode()),
    ),
    csv("F107 a form feed ends no line", SITE + b"1,%d,a\x0cb\n" % T, ok(1, T, b'{"site":"a\\fb"}')),
    csv("F107 a vertical tab ends no line", SITE + b"1,%d,a\x0bb\n" % T, ok(1, T, b'{"site":"a\\u000bb"}')),
    csv(
        "F107 an ASCII file separator ends no line",
        SITE + b"1,%d,a\x1cb\n" % T,
        ok(1, T, b'{"site":"a\\u001cb"}'),
    ),
    csv("F107 a form feed within a flow ID", HEAD + b"33\x0c77,%d\n" % T, bad("bad-flow-id", 2, "flowId")),
    csv(
        "F107 a form feed behind a flow ID is no space",
        HEAD + b"3377\x0c,%d\n" % T,
        bad("bad-flow-id", 2, "flowId"),
    ),
    csv(
        "F107 LF in a quoted field",
        SITE + b'1,%d,"a\nb"\n2,%d,c\n' % (T, T),
        (ok(1, T, b'{"site":"a\\nb"}'), ok(2, T, b'{"site":"c"}')),
    ),
    csv("F107 CR in a quoted field", SITE + b'1,%d,"a\rb"\n' % T, ok(1, T, b'{"site":"a\\rb"}')),
    csv("F107 CRLF in a quoted field", SITE + b'1,%d,"a\r\nb"\r\n' % T, ok(1, T, b'{"site":"a\\r\\nb"}')),
    csv(
        "F107 blank lines in a quoted field are its own",
        SITE + b'1,%d,"\n\n"\n' % T,
        ok(1, T, b'{"site":"\\n\\n"}'),
    ),
    csv(
        "F107 lines are counted within quoted fields",
        SITE + b'1,%d,"a\r\nb\rc\nd"\nx,%d,e\n' % (T, T),
        (ok(1, T, b'{"site":"a\\r\\nb\\rc\\nd"}'), bad("bad-flow-id", 6, "flowId")),
    ),
    csv("F107 Ctrl-Z as the last byte, as DOS ends files", TWO + b"\x1a", whole(4, "cut off")),
    csv("F107 Ctrl-Z on a line of its own", TWO + b"\x1a\n", (*BOTH, bad("ragged", 4))),
    jsonl("F107 JSON lines with CRLF", LINES.replace(b"\n", b"\r\n"), BOTH),
    jsonl("F107 JSON lines with CR alone", LINES.replace(b"\n", b"\r"), BOTH),
    jsonl(
        "F107 JSON lines with U+2028 in a value",
        '{"flowId":3377,"triggerTime":1574385824000,"a":"\u2028"}\n'.encode(),
        ok(extra='{"a":"\u2028"}'.encode()),
    ),
    jsonl(
        "F107 U+0085 between two objects ends no line", LINE[:-1] + "\x85".encode() + LINE, bad("not-json", 1)
    ),
    jsonl(
        "F116 blank lines",
        b"\n" + LINE + b"  \t\n\r\n" + LINE.replace(b"3377", b"3378") + b"\n",
        BOTH,
        blanks=4,
    ),
)

PACKED: tuple[Entry, ...] = (
    csv("F118 gzip", gzip.compress(TWO, mtime=0), BOTH),
    csv(
        "F118 gzip of several members",
        gzip.compress(TWO[:25], mtime=0) + gzip.compress(TWO[25:], mtime=0),
        BOTH,
    ),
    csv("F118 gzip of a file with a mark", gzip.compress(BOM + TWO, mtime=0), BOTH),
    csv("F118 gzip of nothing", gzip.compress(b"", mtime=0), whole(None, "empty")),
    csv("F118 gzip of a header alone", gzip.compress(HEAD, mtime=0), ()),
    csv("F118 gzip, cut within the data", gzip.compress(TWO, mtime=0)[:-12], whole(None, "gzip")),
    csv("F118 gzip, cut within the checksum", gzip.compress(TWO, mtime=0)[:-3], whole(None, "gzip")),
    csv("F118 gzip, cut within its own header", gzip.compress(TWO, mtime=0)[:5], whole(None, "gzip")),
    csv("F118 gzip, the mark alone", b"\x1f\x8b", whole(None, "gzip")),
    csv(
        "F118 gzip with a wrong checksum",
        gzip.compress(TWO, mtime=0)[:-8] + b"\1\2\3\4" + gzip.compress(TWO, mtime=0)[-4:],
        whole(None, "gzip"),
    ),
    csv("F118 gzip with a wrong length", gzip.compress(TWO, mtime=0)[:-4] + b"\1\0\0\0", whole(None, "gzip")),
    csv("F118 gzip with something behind it", gzip.compress(TWO, mtime=0) + b"junk", whole(None, "gzip")),
    csv("F118 gzip with zeros behind it, as tapes do", gzip.compress(TWO, mtime=0) + b"\0" * 512, BOTH),
    csv("F118 gzip in gzip", gzip.compress(gzip.compress(TWO, mtime=0), mtime=0), whole(1, "")),
    csv("F118 gzip of UTF-16", gzip.compress(TEXT.encode("utf-16"), mtime=0), whole(1, "UTF-16")),
    csv("F118 gzip of a file that was cut", gzip.compress(TWO[:-5], mtime=0), whole(3, "cut off")),
    csv(
        "F118 a bomb: 64 MB of one line in 64 KB, generated",
        lambda: gzip.compress(b"x" * 64_000_000, 1, mtime=0),
        whole(1, "1 MiB"),
    ),
    csv("F118 a workbook (zip) with the ending .csv", _zip("xl/workbook.xml"), whole(1, "")),
    csv("F118 bzip2", bz2.compress(TWO), whole(1, "")),
    csv("F118 xz", lzma.compress(TWO), whole(1, "")),
    csv("F118 zstd", b"\x28\xb5\x2f\xfd\x04\x58" + TWO, whole(1, "is not UTF-8")),
    csv("F118 a PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", whole(2, "is not UTF-8")),
    csv(
        "F118 an HTML page instead of the download",
        b"<!DOCTYPE html>\n<html><body>Log in</body></html>\n",
        whole(1, "no column flowId"),
    ),
    csv(
        "F118 the pointer of a file in Git LFS",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
        whole(1, "no column flowId"),
    ),
    jsonl("F118 JSON lines in gzip", gzip.compress(LINES, mtime=0), BOTH),
    jsonl("F118 JSON lines in gzip, cut", gzip.compress(LINES, mtime=0)[:-9], whole(None, "gzip")),
)
