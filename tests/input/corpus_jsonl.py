"""JSON lines (F116): what is an object, what is a number, what comes twice, and where a file ends."""

from __future__ import annotations

from entries import MINUTE, Bad, Entry, Good, T, bad, jsonl, ok, whole

LINE = b'{"flowId":3377,"triggerTime":%d}\n' % T


def _job(more: bytes) -> bytes:
    """A good job with something more in it."""
    return b'{"flowId":3377,"triggerTime":%d%s}\n' % (T, more)


def _carries(members: bytes) -> Entry:
    """Other values pass byte for byte."""
    return jsonl(
        f"F116 carried: {ascii(members.decode())[:60]}", _job(b"," + members), ok(extra=b"{" + members + b"}")
    )


def _flow(value: bytes, verdict: Good | Bad) -> Entry:
    return jsonl(f"F116 flowId: {value.decode()}", b'{"flowId":%s,"triggerTime":%d}\n' % (value, T), verdict)


def _time(value: bytes, verdict: Good | Bad) -> Entry:
    return jsonl(
        f"F116 triggerTime: {value.decode()}", b'{"flowId":3377,"triggerTime":%s}\n' % value, verdict
    )


def _not(reason: str, line: bytes, says: str = "") -> Entry:
    """A line that is no job, between two that are."""
    content = LINE + line + b"\n" + LINE.replace(b"3377", b"3378")
    return jsonl(
        f"F116 {reason}: {ascii(line.decode())[:70]}", content, (ok(), bad(reason, 2, says=says), ok(3378))
    )


BAD_FLOW = bad("bad-flow-id", 1, "flowId")
BAD_TIME = bad("bad-time", 1, "triggerTime")

SHAPES: tuple[Entry, ...] = (
    _not("not-an-object", b"[1,2]", "jq"),
    _not("not-an-object", b'[{"flowId":3377,"triggerTime":%d}]' % T, "jq"),
    _not("not-an-object", b"3377"),
    _not("not-an-object", b'"3377"'),
    _not("not-an-object", b"null"),
    _not("not-an-object", b"true"),
    _not("not-an-object", b"3377,%d" % T, "--format csv"),
    _not("not-json", b"flowId,triggerTime"),
    _not("not-an-object", b"[", "jq"),
    _not("not-json", b"]"),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d},' % T, "line of its own"),
    _not(
        "not-json",
        b'{"flowId":3377,"triggerTime":%d}{"flowId":3378,"triggerTime":%d}' % (T, T),
        "line of its own",
    ),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d} {}' % T, "line of its own"),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,}' % T, "comma"),
    _not("not-json", b'{"flowId":3377 "triggerTime":%d}' % T),
    _not("not-json", b"{'flowId':3377,'triggerTime':%d}" % T),
    _not("not-json", b"{flowId:3377,triggerTime:%d}" % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d} // why' % T),
    _not("not-json", b'{"flowId":3377,/* why */"triggerTime":%d}' % T),
    _not("not-json", b"# comment", "no comments"),
    _not("not-json", b"// comment", "no comments"),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":NaN}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":Infinity}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":-Infinity}' % T),
    _not("not-json", b'{"flowId":NaN,"triggerTime":%d}' % T),
    _not("not-json", b'{"flowId":03377,"triggerTime":%d}' % T),
    _not("not-json", b'{"flowId":+3377,"triggerTime":%d}' % T),
    _not("not-json", b'{"flowId":0x1,"triggerTime":%d}' % T),
    _not("not-json", b'{"flowId":3_377,"triggerTime":%d}' % T),
    _not("not-json", b'{"flowId":3377.,"triggerTime":%d}' % T),
    _not("not-json", b'{"flowId":.5,"triggerTime":%d}' % T),
    _not("not-json", b'{"flowId":undefined,"triggerTime":%d}' % T),
    _not("not-json", b'{"flowId":None,"triggerTime":%d}' % T),
    _not("not-json", b'{"flowId":True,"triggerTime":%d}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":"\t"}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":"\x01"}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":"\\x41"}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":"\\ud800"}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"\\ud800":1}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":01}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":1.}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":-}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d,"a":tru}' % T),
    _not("not-json", b'{"flowId":3377,"triggerTime":%d' % T),
    _not("not-json", "{\u00a0}".encode()),
    _not("not-json", b'\x0c{"flowId":3377,"triggerTime":%d}' % T),
    _not("missing-key", b"{}", "no flowId and triggerTime"),
    _not("missing-key", b'{"flowId":3377}', "no triggerTime"),
    _not("missing-key", b'{"triggerTime":%d}' % T, "no flowId"),
    _not("missing-key", b'{"job":{"flowId":3377,"triggerTime":%d}}' % T, "no flowId and triggerTime"),
)

TWICE: tuple[Entry, ...] = (
    jsonl(
        "F116 the flow twice",
        b'{"flowId":3377,"flowId":3378,"triggerTime":%d}\n' % T,
        bad("duplicate-key", 1, "flowId"),
    ),
    jsonl(
        "F116 the flow twice, the same value",
        b'{"flowId":3377,"flowId":3377,"triggerTime":%d}\n' % T,
        bad("duplicate-key", 1, "flowId"),
    ),
    jsonl(
        "F116 the flow in two spellings",
        b'{"flowId":3377,"flow_id":3378,"triggerTime":%d}\n' % T,
        bad("duplicate-key", 1, "flow_id"),
    ),
    jsonl(
        "F116 the flow twice, one of them escaped",
        b'{"flowId":3377,"flow\\u0049d":3378,"triggerTime":%d}\n' % T,
        bad("duplicate-key", 1, "flowId"),
    ),
    jsonl(
        "F116 the time twice",
        b'{"flowId":3377,"triggerTime":%d,"triggerTime":%d}\n' % (T, T),
        bad("duplicate-key", 1, "triggerTime"),
    ),
    jsonl("F116 another key twice", _job(b',"a":1,"a":2'), bad("duplicate-key", 1, "a")),
    jsonl(
        "F116 another key twice, with colons about",
        _job(b',"a":":","b":{":":":"},"a":"::"'),
        bad("duplicate-key", 1, "a"),
    ),
    jsonl(
        "F116 a status twice, the last one harmless",
        _job(b',"status":"unknown","status":"failed"'),
        bad("duplicate-key", 1, "status"),
    ),
)

VALUES: tuple[Entry, ...] = (
    _flow(b"3377.0", BAD_FLOW),
    _flow(b"1.0", BAD_FLOW),
    _flow(b"1e3", BAD_FLOW),
    _flow(b"33770e-1", BAD_FLOW),
    _flow(b"-1", BAD_FLOW),
    _flow(b"-0", BAD_FLOW),
    _flow(b"0", BAD_FLOW),
    _flow(b"9223372036854775808", BAD_FLOW),
    _flow(b"18446744073709551616", BAD_FLOW),
    _flow(b"1" * 400, BAD_FLOW),
    _flow(b"null", BAD_FLOW),
    _flow(b"true", BAD_FLOW),
    _flow(b"[3377]", BAD_FLOW),
    _flow(b'{"a":3377}', BAD_FLOW),
    _flow(b'" 3377"', BAD_FLOW),
    _flow(b'"33\\u00377"', ok()),
    _time(b"%d.0" % T, BAD_TIME),
    _time(b"1.574385824e12", BAD_TIME),
    _time(b"-%d" % T, BAD_TIME),
    _time(b"null", BAD_TIME),
    _time(b"false", BAD_TIME),
    _time(b'{"$date":%d}' % T, BAD_TIME),
    _time(b"1574385824", bad("wrong-unit", 1, "triggerTime", "--time-unit s")),
    _time(b'"2019-11-22T01:23:44\\u005A"', ok()),
)

CARRIED: tuple[Entry, ...] = (
    _carries(b'"a":1e400'),
    _carries(b'"a":18446744073709551616'),
    _carries(b'"a":1.10000000000000000000000000001'),
    _carries(b'"a":-0'),
    _carries(b'"a":0.0'),
    _carries(b'"a":null'),
    _carries(b'"a":"\\u00e9"'),
    _carries(b'"a":"\\ud83c\\udf2c"'),
    _carries(b'"a":"\\/"'),
    _carries(b'"a":"=cmd()"'),
    _carries(b'"a":"../../x"'),
    _carries(b'"a":"\\u001b[2J"'),
    _carries(b'"a":[]'),
    _carries(b'"a":[1,[2,[3]]]'),
    _carries(b'"a":{"x":1,"x":2}'),
    _carries(b'"a":{"flowId":1}'),
    _carries(b'"":1'),
    _carries('"键":"值"'.encode()),
    jsonl(
        "F116 spaces within a carried value go, the value stays",
        _job(b',"a":[1, 2]'),
        ok(extra=b'{"a":[1, 2]}'),
    ),
    jsonl(
        "F116 nested as deep as allowed",
        _job(b',"a":' + b"[" * 63 + b"]" * 63),
        ok(extra=b'{"a":' + b"[" * 63 + b"]" * 63 + b"}"),
    ),
    jsonl(
        "F116 nested one level deeper",
        _job(b',"a":' + b"[" * 64 + b"]" * 64),
        bad("not-json", 1, says="deeper"),
    ),
    jsonl(
        "F116 nested 100,000 levels deep",
        _job(b',"a":' + b"[" * 100_000 + b"]" * 100_000),
        bad("not-json", 1, says="deeper"),
    ),
    jsonl("F116 100,000 open brackets", _job(b',"a":' + b"[" * 100_000), bad("not-json", 1)),
    jsonl("F116 100,000 open objects", b'{"a":' * 100_000 + b"\n", bad("not-json", 1)),
)

LISTS: tuple[Entry, ...] = (
    jsonl("F112 an empty file of JSON lines", b"", whole(None, "empty")),
    jsonl("F112 blank JSON lines alone", b"\n \n", whole(None, "empty")),
    jsonl("F116 the last line cut off", LINE + b'{"flowId":3378,"trigge', whole(2, "cut off")),
    jsonl("F116 the last line cut off before its brace", LINE + LINE[:-2], whole(2, "cut off")),
    jsonl("F116 the last line cut off within its number", LINE + LINE[:-5], whole(2, "cut off")),
    jsonl("F116 the only line cut off", LINE[:20], whole(1, "cut off")),
    jsonl("F116 a brace alone at the end", LINE + b"{", whole(2, "cut off")),
    jsonl(
        "F116 a line cut off, and a newline behind it",
        LINE + b'{"flowId":3378,"trigge\n',
        (ok(), bad("not-json", 2)),
    ),
    jsonl("F116 no newline at the end", LINE[:-1], ok()),
    jsonl("F116 no newline, but spaces at the end", LINE + b"   ", ok(), blanks=1),
    jsonl(
        "F116 an array over many lines",
        b"[\n" + LINE[:-1] + b"\n]\n",
        (bad("not-an-object", 1, says="jq"), ok(), bad("not-json", 3)),
    ),
    jsonl(
        "F116 an object over many lines",
        b'{\n"flowId":3377,\n"triggerTime":%d\n}\n' % T,
        (bad("not-json", 1), bad("not-an-object", 2), bad("not-an-object", 3), bad("not-json", 4)),
    ),
    jsonl(
        "F109 CSV with the ending .jsonl",
        b"flowId,triggerTime\n3377,%d\n" % T,
        (bad("not-json", 1, says="--format csv"), bad("not-an-object", 2, says="--format csv")),
    ),
    jsonl("F116 record separators of RFC 7464", b"\x1e" + LINE, bad("not-json", 1)),
    jsonl("F110 JSON keys in other spellings", b'{"FLOW_ID":3377,"Trigger-Time":%d}\n' % T, ok()),
    jsonl(
        "F110 JSON keys of each line in its own spelling",
        b'{"flowId":3377,"triggerTime":%d}\n{"trigger_time":"%d","flow id":"3378"}\n' % (T, T),
        (ok(), ok(3378)),
    ),
    jsonl(
        "F117 JSON lines of one minute",
        LINE + LINE.replace(b"824000", b"825000"),
        (ok(), ok(3377, T + 1000)),
        duplicates=1,
    ),
    jsonl(
        "F117 JSON lines a minute apart",
        LINE + b'{"flowId":3377,"triggerTime":%d}\n' % (T + MINUTE),
        (ok(), ok(3377, T + MINUTE)),
    ),
    jsonl(
        "P6 a row in doubt",
        _job(b',"status":"unknown","code":"timeout","message":""'),
        bad("status-unknown", 1, "status", "--rerun unknown"),
    ),
    jsonl(
        "P6 a row in doubt, escaped", _job(b',"status":"\\u0075nknown"'), bad("status-unknown", 1, "status")
    ),
    jsonl(
        "P6 a failed row says so",
        _job(b',"a":1,"status":"failed","code":"62104","message":"no task"'),
        ok(extra=b'{"a":1}'),
    ),
    jsonl(
        "F112 a line of 1.5 MB, generated",
        lambda: LINE + _job(b',"a":"' + b"x" * 1_500_000 + b'"'),
        whole(2, "1 MiB"),
    ),
    jsonl(
        "F112 a value of 1,000,000 bytes, generated",
        lambda: _job(b',"a":"' + b"x" * 1_000_000 + b'"'),
        ok(extra=b'{"a":"' + b"x" * 1_000_000 + b'"}'),
    ),
    jsonl(
        "F112 a key of its own in each of 11,000 lines, generated",
        lambda: b"".join(_job(b',"k%d":1' % n) for n in range(11_000)),
        whole(10_001 - 2, "different keys"),
    ),
    jsonl(
        "F112 keys of 100 KB in each of 300 lines, generated",
        lambda: b"".join(_job(b',"%s%d":1' % (b"k" * 100_000, n)) for n in range(300)),
        whole(None, "different keys"),
    ),
)
