"""The two values of a row: flow IDs (F113), trigger times (F114), and what spreadsheets do to both (F115).

Each is tried in both formats where both can write it: in CSV as a field, in JSON as a string.
"""

from __future__ import annotations

from collections.abc import Iterator
import json

from entries import Bad, Entry, Good, T, bad, csv, jsonl, ok

FLOW_IDS_ACCEPTED = (1, 9, 10, 3377, 2**31 - 1, 2**31, 2**32, 2**53, 2**53 + 1, 10**18, 2**63 - 1)

#: (text, what message or cure must hold)
FLOW_IDS_REFUSED = (
    ("3377.0", "decimal point"),
    ("3377.", "decimal point"),
    (".5", ""),
    ("3377,0", "decimal point"),
    ("1e3", "lost its digits"),
    ("1E3", "lost its digits"),
    ("3.377E+03", "lost its digits"),
    ("3,38E+15", "lost its digits"),
    ("03377", ""),
    ("0", ""),
    ("00", ""),
    ("-0", ""),
    ("-1", ""),
    ("+3377", ""),
    ("--1", ""),
    ("3_377", ""),
    ("3'377", ""),
    ("3 377", ""),
    ("3\u00a0377", ""),
    ("3,377", ""),
    ("0x1", ""),
    ("0b1", ""),
    ("0o7", ""),
    ("1L", ""),
    ("#3377", ""),
    ("flow 3377", ""),
    ("\u0663\u0663\u0667\u0667", "ASCII digits"),
    ("\uff13\uff13\uff17\uff17", "ASCII digits"),
    ("\u0969\u0969\u096d\u096d", "ASCII digits"),
    ("337\u0667", ""),
    ("\u00b2", ""),
    ("\u2460", ""),
    ("\u4e94", ""),
    ("\u200b3377", ""),
    ("3377\u200b", ""),
    ("\u200f3377", ""),
    ("\u00a03377", ""),
    ("\u30003377", ""),
    ("null", ""),
    ("NULL", ""),
    ("None", ""),
    ("NaN", ""),
    ("nan", ""),
    ("inf", ""),
    ("Infinity", ""),
    ("true", ""),
    ("N/A", ""),
    ("#N/A", ""),
    ("#REF!", ""),
    ("-", ""),
    ("", "is empty"),
    ('="3377"', "formula"),
    ("=3377", "formula"),
    ("'3377", ""),
    ("9223372036854775808", "64 bits"),
    ("18446744073709551615", "64 bits"),
    ("99999999999999999999", "64 bits"),
    ("3377-20191122012300", ""),
    ("1574385824000.0", "decimal point"),
)

#: (text, epoch milliseconds)
TIMES_ACCEPTED = (
    ("1574385824001", T + 1),
    ("100000000000", 10**11),
    ("253402300799999", 253402300799999),
    ("2019-11-22T01:23:44Z", T),
    ("2019-11-22 01:23:44Z", T),
    ("2019-11-22T01:23:44+00:00", T),
    ("2019-11-22T01:23:44-00:00", T),
    ("2019-11-22T09:23:44+08:00", T),
    ("2019-11-22T09:23:44 +08:00", T),
    ("2019-11-22T09:23:44+0800", T),
    ("2019-11-22T09:23:44+08", T),
    ("2019-11-22T06:53:44+05:30", T),
    ("2019-11-22T07:08:44+05:45", T),
    ("2019-11-22T07:08:44+0545", T),
    ("12341231125959", 12341231125959),  # it could be a date of 1234, but nobody means that
    ("2019-11-21T13:53:44-11:30", T),
    ("2019-11-22T01:23Z", T - 44_000),
    ("2019-11-22T01:23:44.5Z", T + 500),
    ("2019-11-22T01:23:44.001Z", T + 1),
    ("2019-11-22T01:23:44,001Z", T + 1),
    ("2019-11-22T01:23:44.001000000Z", T + 1),
    ("2020-02-29T00:00:00Z", 1582934400000),
    ("9999-12-31T23:59:59.999Z", 253402300799999),
    ("1973-03-03T09:46:40Z", 10**11),
)

#: (text, reason, what message or cure must hold)
TIMES_REFUSED = (
    ("1574385824", "wrong-unit", "--time-unit s"),
    ("0157438582400", "bad-time", "leading zeros"),
    ("1574385824000000", "wrong-unit", "--time-unit us"),
    ("1574385824000000000", "wrong-unit", "--time-unit ns"),
    ("99999999999", "wrong-unit", "--time-unit s"),
    ("253402300800000", "wrong-unit", ""),
    ("9223372036854775807", "wrong-unit", ""),
    ("9223372036854775808", "bad-time", "64 bits"),
    ("0", "bad-time", ""),
    ("1", "wrong-unit", ""),
    ("-1574385824000", "bad-time", ""),
    ("+1574385824000", "bad-time", ""),
    ("1574385824000.0", "bad-time", "decimal point"),
    ("1574385824000.5", "bad-time", "decimal point"),
    ("1574385824,5", "bad-time", "decimal point"),
    ("1_574_385_824_000", "bad-time", ""),
    ("1 574 385 824 000", "bad-time", ""),
    ("1.57439E+12", "bad-time", "lost its digits"),
    ("1,57439E+12", "bad-time", "lost its digits"),
    ("1.57439e12", "bad-time", "lost its digits"),
    ('="1574385824000"', "bad-time", "formula"),
    ("=1574385824000", "bad-time", "formula"),
    ("0x16E90A2A580", "bad-time", ""),
    ("\uff11574385824000", "bad-time", ""),
    ("\u0661574385824000", "bad-time", ""),
    ("11/22/2019", "bad-time", "ISO 8601"),
    ("22/11/2019 01:23", "bad-time", "ISO 8601"),
    ("22.11.2019 01:23:44", "bad-time", "ISO 8601"),
    ("2019/11/22 01:23:44", "bad-time", "ISO 8601"),
    ("22-11-2019", "bad-time", "ISO 8601"),
    ("Nov 22, 2019", "bad-time", ""),
    ("22-Nov-19", "bad-time", ""),
    ("43791.0581481481", "bad-time", "decimal point"),
    ("20191122", "bad-time", "looks like a date"),
    ("201911220123", "bad-time", "looks like a date"),
    ("20191122012344", "bad-time", "looks like a date"),
    ("20191122T012344Z", "bad-time", "ISO 8601"),
    ("2019-11-22", "bad-time", "ISO 8601"),
    ("2019-11-22T01:23:44", "no-offset", "--timezone"),
    ("2019-11-22 01:23", "no-offset", "--timezone"),
    ("2019-11-22T01:23:44z", "bad-time", ""),
    ("2019-11-22t01:23:44Z", "bad-time", ""),
    ("2019-11-22T01:23:44 CST", "bad-time", ""),
    ("2019-11-22T01:23:44 Asia/Shanghai", "bad-time", ""),
    ("2019-11-22T01:23:44+08:00[Asia/Shanghai]", "bad-time", ""),
    ("2019-11-22T01:23:44GMT", "bad-time", ""),
    ("2019-11-22T01:23:44+8", "bad-time", ""),
    ("2019-11-22T01:23:44+8:00", "bad-time", ""),
    ("2019-11-22T01:23:44+24:00", "bad-time", "offset"),
    ("2019-11-22T01:23:44+08:60", "bad-time", "offset"),
    ("2019-11-22T01:23:44\u221208:00", "bad-time", ""),
    ("2019\u201011\u201022T01:23:44Z", "bad-time", ""),
    ("2019-11-22T1:23:44Z", "bad-time", ""),
    ("2019-1-22T01:23:44Z", "bad-time", ""),
    ("19-11-22T01:23:44Z", "bad-time", ""),
    ("02019-11-22T01:23:44Z", "bad-time", ""),
    ("+2019-11-22T01:23:44Z", "bad-time", ""),
    ("2019-W47-5T01:23:44Z", "bad-time", ""),
    ("2019-326T01:23:44Z", "bad-time", ""),
    ("2019-11-22T24:00:00Z", "bad-time", "does not exist"),
    ("2019-11-22T23:59:60Z", "bad-time", "does not exist"),
    ("2019-11-22T25:00:00Z", "bad-time", "does not exist"),
    ("2019-11-31T01:23:44Z", "bad-time", "does not exist"),
    ("2019-02-29T01:23:44Z", "bad-time", "does not exist"),
    ("2019-00-22T01:23:44Z", "bad-time", "does not exist"),
    ("2019-13-22T01:23:44Z", "bad-time", "does not exist"),
    ("2019-11-22T01:60:44Z", "bad-time", "does not exist"),
    ("2019-11-22T01:23:44.0005Z", "too-fine", "millisecond"),
    ("2019-11-22T01:23:44.000000001Z", "too-fine", "millisecond"),
    ("2019-11-22T01:23:44.Z", "bad-time", ""),
    ("1970-01-01T00:00:00Z", "bad-time", "1973"),
    ("1973-03-03T09:46:39Z", "bad-time", "1973"),
    ("0000-01-01T00:00:00Z", "bad-time", ""),
    ("9999-12-31T23:59:59-00:01", "bad-time", "9999"),
    ("now", "bad-time", ""),
    ("null", "bad-time", ""),
    ("NaT", "bad-time", ""),
    ("", "bad-time", "is empty"),
)

#: (unit, text, epoch milliseconds or reason)
UNITS = (
    ("s", "1574385824", T),
    ("s", "1574385824000", "wrong-unit"),
    ("s", "99999999", "wrong-unit"),
    ("s", "100000000", 10**11),
    ("s", "1574385824.5", "bad-time"),
    ("s", "2019-11-22T01:23:44Z", T),
    ("us", "1574385824000000", T),
    ("us", "1574385824000001", "too-fine"),
    ("us", "1574385824000", "wrong-unit"),
    ("ns", "1574385824000000000", T),
    ("ns", "1574385824001000000", T + 1),
    ("ns", "1574385824000000001", "too-fine"),
    ("ns", "9223372036854000000", 9223372036854),
    ("ns", "9223372036854775808", "bad-time"),
)

#: (zone, text, epoch milliseconds or reason)
ZONES = (
    ("Asia/Shanghai", "2019-11-22T09:23:44", T),
    ("Asia/Shanghai", "2019-11-22T01:23:44Z", T),
    ("Asia/Kolkata", "2019-11-22 06:53:44", T),
    ("UTC", "2019-11-22T01:23:44", T),
    ("Europe/Berlin", "2019-03-31T01:59:59", 1553993999000),
    ("Europe/Berlin", "2019-03-31T02:00", "time-gap"),
    ("Europe/Berlin", "2019-03-31T02:59:59.999", "time-gap"),
    ("Europe/Berlin", "2019-03-31T03:00", 1553994000000),
    ("Europe/Berlin", "2019-10-27T01:59:59", 1572134399000),
    ("Europe/Berlin", "2019-10-27T02:00", "time-twice"),
    ("Europe/Berlin", "2019-10-27T02:59:59", "time-twice"),
    ("Europe/Berlin", "2019-10-27T03:00", 1572141600000),
    ("Europe/Berlin", "2019-10-27T02:30+02:00", 1572136200000),
    ("Asia/Shanghai", "1574385824000", T),
    ("Pacific/Apia", "2011-12-30T12:00", "time-gap"),
)


def _field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & {",", '"', "\n"} else text


def _as_csv(flow_id: str, time: str) -> bytes:
    return f"flowId,triggerTime\n{_field(flow_id)},{_field(time)}\n".encode()


def _as_json(flow_id: str, time: str) -> bytes:
    return (json.dumps({"flowId": flow_id, "triggerTime": time}) + "\n").encode()


def _entries(name: str, flow_id: str, time: str, verdict: Good | Bad, **more: object) -> Iterator[Entry]:
    """One pair of texts in both formats; the line of a JSON record is its first."""
    yield csv(f"{name} in CSV", _as_csv(flow_id, time), verdict, **more)
    in_json = verdict._replace(line=1) if isinstance(verdict, Bad) else verdict
    yield jsonl(f"{name} in JSON", _as_json(flow_id, time), in_json, **more)


def _flow_ids() -> Iterator[Entry]:
    for number in FLOW_IDS_ACCEPTED:
        yield from _entries(f"F113 flow ID {number}", str(number), str(T), ok(number))
        bare = b'{"flowId":%d,"triggerTime":%d}\n' % (number, T)
        yield jsonl(f"F113 flow ID {number} as a number in JSON", bare, ok(number))
    for text, says in FLOW_IDS_REFUSED:
        refused = bad("bad-flow-id", 2, "flowId", says)
        yield from _entries(f"F113 flow ID {text!a}", text, str(T), refused)


def _times() -> Iterator[Entry]:
    for text, ms in TIMES_ACCEPTED:
        yield from _entries(f"F114 time {text!r}", "3377", text, ok(3377, ms))
    for text, reason, says in TIMES_REFUSED:
        refused = bad(reason, 2, "triggerTime", says)
        yield from _entries(f"F114 time {text!a}", "3377", text, refused)
    for unit, text, meant in UNITS:
        verdict = ok(3377, meant) if isinstance(meant, int) else bad(meant, 2, "triggerTime")
        yield from _entries(f"F114 time {text!r} in {unit}", "3377", text, verdict, unit=unit)
    for zone, text, meant in ZONES:
        verdict = ok(3377, meant) if isinstance(meant, int) else bad(meant, 2, "triggerTime")
        yield from _entries(f"F114 time {text!r} in {zone}", "3377", text, verdict, zone=zone)


VALUES: tuple[Entry, ...] = (*_flow_ids(), *_times())

SPREADSHEETS: tuple[Entry, ...] = (
    csv("F115 spaces around the values", b"flowId,triggerTime\n 3377\t, 1574385824000 \n", ok()),
    csv(
        "F115 a list that went through a spreadsheet",
        b"flowId,triggerTime\r\n3377,1.57439E+12\r\n3378,1.57439E+12\r\n",
        (bad("bad-time", 2, "triggerTime", "Excel"), bad("bad-time", 3, "triggerTime", "Excel")),
    ),
    csv(
        "F115 a list that went through pandas with a gap in it",
        b"flowId,triggerTime\n3377.0,1574385824000.0\n,\n",
        (bad("bad-flow-id", 2, "flowId", "pandas"), bad("bad-flow-id", 3, "flowId", "is empty")),
    ),
    csv(
        "F115 an index column of pandas",
        b",flowId,triggerTime\n0,3377,1574385824000\n",
        ok(extra=b'{"":"0"}'),
    ),
)
