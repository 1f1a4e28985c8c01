"""CSV as a form: quotes (F108), delimiters (F109), headers (F110), ragged rows (F111), sizes (F112),
duplicates (F117), hostile columns (F120), and lists that come from a run of ours (P6).
"""

from __future__ import annotations

from entries import HEAD, MINUTE, Entry, T, bad, csv, ok, whole

ROW = b"3377,%d\n" % T
SITE = b"flowId,triggerTime,site\n"
GOOD = b"1,%d,a\n" % T
A = ok(1, T, b'{"site":"a"}')


def _site(value: bytes) -> bytes:
    """The row of flow 1 with this text in its third field."""
    return SITE + b"1,%d,%s\n" % (T, value)


def _many(rows: int) -> bytes:
    return HEAD + b"".join(b"%d,%d\n" % (flow, T) for flow in range(1, rows + 1))


QUOTES: tuple[Entry, ...] = (
    csv("F108 everything quoted", b'"flowId","triggerTime"\n"3377","%d"\n' % T, ok()),
    csv("F108 a doubled quote", _site(b'"a ""b"" c"'), ok(1, T, b'{"site":"a \\"b\\" c"}')),
    csv("F108 an empty quoted field", _site(b'""'), ok(1, T, b'{"site":""}')),
    csv("F108 a quote and nothing else, quoted", _site(b'""""'), ok(1, T, b'{"site":"\\""}')),
    csv("F108 a quote opened in the last row", SITE + GOOD + b'2,%d,"b\n' % T, whole(3, "never closed")),
    csv(
        "F108 a quote opened in the first of many rows", _site(b'"b\n' + GOOD * 500), whole(2, "never closed")
    ),
    csv("F108 a quote opened in the header", b'flowId,triggerTime,"site\n' + GOOD, whole(1, "never closed")),
    csv("F108 a quote alone as the last byte", SITE + GOOD + b'"', whole(3, "never closed")),
    csv(
        "F108 two open quotes that would swallow the rows between",
        _site(b'"b\n' + GOOD * 3 + b'2,3,c"d'),
        whole(2, "within a field"),
    ),
    csv(
        "F108 an open quote that a later inch mark closes",
        SITE + b'1,%d,"5 pipe\n2,%d,6" pipe\n' % (T, T),
        whole(2, "within a field"),
    ),
    csv("F108 junk behind a closed quote", _site(b'"a"b'), whole(2, "within a field")),
    csv("F108 a space behind a closed quote", _site(b'"a" '), whole(2, "within a field")),
    csv("F108 a space before a quote", _site(b' "a"'), whole(2, "within a field")),
    csv("F108 an inch mark in an unquoted field", _site(b'5" pipe'), whole(2, "quote")),
    csv("F108 a backslash does not escape a quote", _site(b'"a\\"b"'), whole(2, "")),
    csv(
        "F108 single quotes are text, and a comma within them parts",
        _site(b"'a,b'"),
        bad("ragged", 2, says="4 fields"),
    ),
    csv("F108 curly quotes are text", _site("“a”".encode()), ok(1, T, '{"site":"“a”"}'.encode())),
    csv("F108 a backslash is text", _site(b"a\\nb"), ok(1, T, b'{"site":"a\\\\nb"}')),
    csv("F108 a quoted number is that number", HEAD + b'"3377","%d"\n' % T, ok()),
    csv("F108 spaces within the quotes of a number", HEAD + b'" 3377 "," %d"\n' % T, ok()),
    csv(
        "F108 a quoted field of 1.2 MB in many lines, generated",
        lambda: _site(b'"' + b"x\n" * 600_000 + b'"'),
        whole(2, "1 MiB"),
    ),
    csv(
        "F108 an open quote and 5 MB behind it, generated",
        lambda: _site(b'"') + GOOD * 250_000,
        whole(2, "1 MiB"),
    ),
)

DELIMITERS: tuple[Entry, ...] = (
    csv("F109 semicolons", b"flowId;triggerTime\n3377;%d\n" % T, whole(1, "the delimiter is ';'")),
    csv("F109 tabs", b"flowId\ttriggerTime\n3377\t%d\n" % T, whole(1, r"the delimiter is '\t'")),
    csv("F109 pipes", b"flowId|triggerTime\n3377|%d\n" % T, whole(1, "the delimiter is '|'")),
    csv(
        "F109 semicolons, with commas in a column's name",
        b"flowId;triggerTime;name, first\n1;2;3\n",
        whole(1, "the delimiter is ';'"),
    ),
    csv("F109 quoted and semicolons", b'"flowId";"triggerTime"\n"1";"2"\n', whole(1, "")),
    csv("F109 spaces", b"flowId triggerTime\n3377 %d\n" % T, whole(1, "no column flowId")),
    csv("F109 colons", b"flowId:triggerTime\n3377:%d\n" % T, whole(1, "no column flowId")),
    csv("F109 full-width commas", "flowId\uff0ctriggerTime\n".encode() + ROW, whole(1, "no column flowId")),
    csv(
        "F109 the line sep=; of a spreadsheet",
        b"sep=;\nflowId;triggerTime\n1;2\n",
        whole(1, "the delimiter is ';'"),
    ),
    csv("F109 the line sep=, of a spreadsheet", b"sep=,\n" + HEAD + ROW, whole(1, "no column flowId")),
    csv(
        "F109 a header with commas and rows with semicolons",
        HEAD + b"3377;%d\n" % T,
        bad("ragged", 2, says="1 of 2"),
    ),
    csv(
        "F109 decimal commas part a field in two", SITE + b"1,%d,3,5\n" % T, bad("ragged", 2, says="4 fields")
    ),
    csv(
        "F109 JSON with the ending .csv",
        b'{"flowId": 3377, "triggerTime": %d}\n' % T,
        whole(1, "--format jsonl"),
    ),
    csv("F109 a JSON array with the ending .csv", b'[\n{"flowId": 3377}\n]\n', whole(1, "--format jsonl")),
)

HEADERS: tuple[Entry, ...] = (
    csv("F110 other case", b"FLOWID,TriggerTime\n" + ROW, ok()),
    csv("F110 underscores", b"flow_id,trigger_time\n" + ROW, ok()),
    csv("F110 dashes and spaces", b" Flow-Id , Trigger Time \n" + ROW, ok()),
    csv(
        "F110 reordered, with columns between",
        b"a,trigger_time,b,flowId,c\n1,%d,2,3377,3\n" % T,
        ok(extra=b'{"a":"1","b":"2","c":"3"}'),
    ),
    csv("F110 the two names in the order of the API", b"triggerTime,flowId\n%d,3377\n" % T, ok()),
    csv(
        "F110 columns that nobody knows",
        b"flowId,triggerTime,owner,x y\n3377,%d,me,z\n" % T,
        ok(extra=b'{"owner":"me","x y":"z"}'),
    ),
    csv(
        "F110 names that differ in case are two columns",
        b"flowId,triggerTime,a,A\n3377,%d,1,2\n" % T,
        ok(extra=b'{"a":"1","A":"2"}'),
    ),
    csv("F110 one column without a name", b"flowId,triggerTime,\n3377,%d,x\n" % T, ok(extra=b'{"":"x"}')),
    csv(
        "F110 names in Chinese beside the two",
        "flowId,triggerTime,场站\n3377,1574385824000,江阴\n".encode(),
        ok(extra='{"场站":"江阴"}'.encode()),
    ),
    csv(
        "F110 a name over two lines",
        b'flowId,triggerTime,"a\nb"\n3377,%d,x\n' % T,
        ok(extra=b'{"a\\nb":"x"}'),
    ),
    csv("F110 missing: data in the first line", ROW * 2, whole(1, "looks like data")),
    csv("F110 missing: dates in the first line", b"3377,2019-11-22T01:23:44Z\n", whole(1, "looks like data")),
    csv("F110 the flow's name is missing", b"workflow,triggerTime\n" + ROW, whole(1, "no column flowId")),
    csv("F110 the time's name is missing", b"flowId,time\n" + ROW, whole(1, "no column triggerTime")),
    csv(
        "F110 names in Chinese instead of the two",
        "流程,时间\n".encode() + ROW,
        whole(1, "no column flowId and triggerTime"),
    ),
    csv(
        "F110 the flow twice",
        b"flowId,triggerTime,flow_id\n3377,%d,3378\n" % T,
        whole(1, "flowId is there more than once"),
    ),
    csv(
        "F110 the time twice",
        b"flowId,triggerTime,Trigger Time\n3377,%d,%d\n" % (T, T),
        whole(1, "triggerTime is there more than once"),
    ),
    csv(
        "F110 another column twice",
        b"flowId,triggerTime,a,b,a\n3377,%d,1,2,3\n" % T,
        whole(1, "'a' is there more than once"),
    ),
    csv(
        "F110 a letter that only looks like one of ours",
        "fl\u043ewId,triggerTime\n".encode() + ROW,
        whole(1, "no column flowId"),
    ),
    csv("F110 full-width letters", "\uff46lowId,triggerTime\n".encode() + ROW, whole(1, "no column flowId")),
    csv("F110 a comment above the header", b"# made by hand\n" + HEAD + ROW, whole(1, "no column flowId")),
    csv("F110 a title above the header", b"Replay of March,\n" + HEAD + ROW, whole(1, "no column flowId")),
    csv(
        "F110 a header once more in the middle: two files joined",
        HEAD + ROW + HEAD + ROW,
        (ok(), bad("bad-flow-id", 3, "flowId", "second header"), ok()),
        duplicates=1,
    ),
    csv("F110 a header without rows", HEAD, ()),
    csv("F110 a header without rows and without newline", HEAD[:-1], ()),
    csv("F110 a header and blank lines", HEAD + b"\n\n \n", (), blanks=3),
    csv("F110 a header that was cut off", b"flowId,trigge", whole(1, "no column triggerTime")),
)

RAGGED: tuple[Entry, ...] = (
    csv("F111 a field too few", SITE + b"1,%d\n" % T + GOOD, (bad("ragged", 2, says="2 of 3"), A)),
    csv(
        "F111 a field too many",
        SITE + b"1,%d,a,b\n" % T + GOOD,
        (bad("ragged", 2, says="quotes around the field"), A),
    ),
    csv("F111 one field", HEAD + b"3377\n" + ROW, (bad("ragged", 2, says="1 of 2"), ok())),
    csv("F111 commas alone", SITE + b",,\n" + GOOD, (bad("bad-flow-id", 2, "flowId", "is empty"), A)),
    csv("F111 a quoted nothing is a row", HEAD + b'""\n' + ROW, (bad("ragged", 2), ok())),
    csv("F111 a comment", HEAD + b"# note\n" + ROW, (bad("ragged", 2, says="no comments"), ok())),
    csv("F111 a comment with as many fields", HEAD + b"# 3377,%d\n" % T, bad("bad-flow-id", 2, "flowId")),
    csv("F111 a list of one column", b"flowId\n3377\n", whole(1, "no column triggerTime")),
    csv(
        "F115 empty columns on the right of one row",
        HEAD + b"3377,%d,,,\n" % T,
        bad("ragged", 2, says="empty columns on the right"),
    ),
    csv(
        "F115 empty columns on the right of all rows",
        b"flowId,triggerTime,,\n3377,%d,,\n" % T,
        whole(1, "'' is there more than once"),
    ),
    csv(
        "F115 empty rows below, as spreadsheets export them",
        HEAD + ROW + b",\n,\n",
        (ok(), bad("bad-flow-id", 3, "flowId", "is empty"), bad("bad-flow-id", 4, "flowId", "is empty")),
    ),
    csv("F111 a total below the rows", HEAD + ROW + b"Total,1\n", (ok(), bad("bad-flow-id", 3, "flowId"))),
    csv("F111 the last row without its second field", HEAD + ROW + b"3378", whole(3, "cut off")),
    csv("F111 the last row with a comma and nothing behind it", HEAD + ROW + b"3378,", whole(3, "cut off")),
    csv("F111 the last time lost a digit", HEAD + ROW + b"3378,157438582400", whole(3, "shorter than")),
    csv(
        "F111 the last time lost three, and would be seconds",
        HEAD + ROW + b"3378,1574385824",
        whole(3, "shorter than"),
    ),
    csv(
        "F111 the last time lost a digit, and a newline follows",
        HEAD + ROW + b"3378,157438582400\n",
        (ok(), ok(3378, 157438582400)),
    ),
    csv(
        "F111 the only row lost a digit, and nothing stands above it",
        HEAD + b"3378,157438582400",
        whole(2, "may begin a longer number"),
    ),
    csv(
        "F111 the only row is in another notation, and nothing follows",
        HEAD + b"3378,2019-11-22T01:23:44Z",
        ok(3378),
    ),
    csv(
        "F111 the last date lost its offset's minutes",
        HEAD + b"3377,2019-11-22T09:23:44+08:00\n3378,2019-11-22T09:23:44+08",
        whole(3, "shorter than"),
    ),
    csv(
        "F111 the last row is whole in its last column only",
        b"flowId,triggerTime,site\n" + GOOD + b"2,%d,Berl" % T,
        (A, ok(2, T, b'{"site":"Berl"}')),
    ),
    csv(
        "F111 the last flow ID lost its digits",
        b"triggerTime,flowId\n%d,3377\n%d,33" % (T, T),
        whole(3, "shorter than"),
    ),
)

SIZES: tuple[Entry, ...] = (
    csv("F112 an empty file", b"", whole(None, "empty")),
    csv("F112 blank lines alone", b"\n\n  \n", whole(None, "empty")),
    csv("F112 a space alone", b" ", whole(None, "empty")),
    csv(
        "F112 a field of 131,073 bytes, generated",
        lambda: _site(b"x" * 131_073),
        ok(1, T, b'{"site":"' + b"x" * 131_073 + b'"}'),
    ),
    csv(
        "F112 a field of 1,000,000 bytes, generated",
        lambda: _site(b"x" * 1_000_000),
        ok(1, T, b'{"site":"' + b"x" * 1_000_000 + b'"}'),
    ),
    csv("F112 a field of 1.5 MB, generated", lambda: _site(b"x" * 1_500_000), whole(2, "1 MiB")),
    csv("F112 a header of 1.5 MB, generated", lambda: b"x" * 1_500_000 + b"\n" + ROW, whole(1, "1 MiB")),
    csv("F112 a line of 100 MB, generated", lambda: b"x" * 100_000_000, whole(1, "1 MiB")),
    csv(
        "F112 a flow ID of 100,000 digits, generated",
        lambda: HEAD + b"1" * 100_000 + b",%d\n" % T,
        bad("bad-flow-id", 2, "flowId", "64 bits"),
    ),
    csv(
        "F112 a time of 100,000 digits, generated",
        lambda: HEAD + b"1," + b"1" * 100_000 + b"\n",
        bad("bad-time", 2, "triggerTime", "64 bits"),
    ),
    csv("F112 ten thousand flows, generated", lambda: _many(10_000), [ok(flow) for flow in range(1, 10_001)]),
    csv(
        "F112 a thousand columns, generated",
        lambda: (
            b"flowId,triggerTime,"
            + b",".join(b"c%d" % n for n in range(1000))
            + b"\n1,%d" % T
            + b",x" * 1000
            + b"\n"
        ),
        ok(1, T, b"{" + b",".join(b'"c%d":"x"' % n for n in range(1000)) + b"}"),
    ),
    csv(
        "F112 eleven thousand columns, generated",
        lambda: b"flowId,triggerTime," + b",".join(b"c%d" % n for n in range(11_000)) + b"\n1,%d\n" % T,
        whole(1, "columns"),
    ),
)


def _at(offset_ms: int, flow_id: int = 1) -> bytes:
    return b"%d,%d\n" % (flow_id, MIN + offset_ms)


MIN = T // MINUTE * MINUTE  #: the UTC minute in which T lies

DUPLICATES: tuple[Entry, ...] = (
    csv("F117 the same row twice", HEAD + _at(0) + _at(0), (ok(1, MIN), ok(1, MIN)), duplicates=1),
    csv(
        "F117 other milliseconds of one minute",
        HEAD + _at(0) + _at(59_999),
        (ok(1, MIN), ok(1, MIN + 59_999)),
        duplicates=1,
    ),
    csv(
        "F117 a millisecond apart, in two minutes",
        HEAD + _at(59_999) + _at(60_000),
        (ok(1, MIN + 59_999), ok(1, MIN + 60_000)),
    ),
    csv("F117 one minute, two flows", HEAD + _at(0, 1) + _at(0, 2), (ok(1, MIN), ok(2, MIN))),
    csv(
        "F117 three rows of one minute",
        HEAD + _at(0) + _at(1) + _at(2),
        (ok(1, MIN), ok(1, MIN + 1), ok(1, MIN + 2)),
        duplicates=2,
    ),
    csv(
        "F117 one instant in two notations",
        HEAD + b"1,%d\n1,2019-11-22T09:23:00+08:00\n" % MIN,
        (ok(1, MIN), ok(1, MIN)),
        duplicates=1,
    ),
    csv(
        "F117 far apart, generated",
        lambda: _many(5000) + b"1,%d\n" % T,
        [ok(flow) for flow in range(1, 5001)] + [ok(1)],
        duplicates=1,
    ),
)

HOSTILE: tuple[Entry, ...] = (
    csv(
        "F120 a formula",
        _site(b'"=HYPERLINK(""http://x"",""y"")"'),
        ok(1, T, b'{"site":"=HYPERLINK(\\"http://x\\",\\"y\\")"}'),
    ),
    csv("F120 a path", _site(b"../../etc/passwd"), ok(1, T, b'{"site":"../../etc/passwd"}')),
    csv(
        "F120 escape sequences of a terminal",
        _site(b"\x1b[2J\x1b[31mred"),
        ok(1, T, b'{"site":"\\u001b[2J\\u001b[31mred"}'),
    ),
    csv(
        "F120 escape sequences in place of a flow ID",
        HEAD + b"\x1b[2J,%d\n" % T,
        bad("bad-flow-id", 2, "flowId", "\\x1b[2J"),
    ),
    csv(
        "F120 escape sequences in a column's name",
        b"flowId,triggerTime,\x1b[2J\n1,%d,a\n" % T,
        ok(1, T, b'{"\\u001b[2J":"a"}'),
    ),
    csv("F120 escape sequences in a wrong header", b"flowId,\x1b[2J\n1,%d\n" % T, whole(1, "\\x1b[2J")),
    csv(
        "F120 words of SQL", _site(b"'; DROP TABLE jobs; --"), ok(1, T, b'{"site":"\'; DROP TABLE jobs; --"}')
    ),
    csv(
        "F120 a column of the name row, as our results have it",
        b"row,flowId,triggerTime\n7,1,%d\n" % T,
        ok(1, T, b'{"row":"7"}'),
    ),
    csv(
        "F120 a column that tries to be the tool's own",
        b"flowId,triggerTime,flowInstanceId\n1,%d,1-1\n" % T,
        ok(1, T, b'{"flowInstanceId":"1-1"}'),
    ),
)

FROM_A_RUN: tuple[Entry, ...] = (
    csv(
        "P6 a failed.csv",
        b"flowId,triggerTime,site,status,code,message\n1,%d,a,failed,62104,no task\n" % T,
        A,
    ),
    csv(
        "P6 an unknown.csv",
        b"flowId,triggerTime,site,status,code,message\n1,%d,a,unknown,timeout,\n" % T,
        bad("status-unknown", 2, "status", "--rerun unknown"),
    ),
    csv(
        "P6 a status of unknown in other case and with spaces",
        b"flowId,triggerTime,status\n1,%d, UNKNOWN \n" % T,
        bad("status-unknown", 2, "status"),
    ),
    csv(
        "P6 a results.csv with a row in doubt",
        b"row,flowId,triggerTime,status,flowInstanceId\n1,1,%d,unknown,\n" % T,
        bad("status-unknown", 2, "status"),
    ),
    csv(
        "P6 one row in doubt among others",
        b"flowId,triggerTime,status,code,message\n1,%d,failed,1,\n2,%d,unknown,x,\n3,%d,skipped,y,\n"
        % (T, T, T),
        (ok(1), bad("status-unknown", 3, "status"), ok(3)),
    ),
)
