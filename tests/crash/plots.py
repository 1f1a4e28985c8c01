"""What the victims of the kills have to do. Each is rich enough to reach every failpoint that it is for."""

from __future__ import annotations

from dataclasses import replace

from running import hourly
from victims import Plot

#: Constant latency, so that the three 521 in a row arrive in a row: that is an outage.
_RICH = """
    visible_after_s = 0.05
    token_lifetime_s = 3
    [latency]
    shape = "constant"
    median_ms = 80
    [[faults]]
    kind = "status"
    status = 521
    calls = [16, 17, 18, 19, 20]
    [[faults]]
    kind = "status"
    status = 429
    calls = [40]
    [[faults]]
    kind = "code"
    code = 62109
    rate = 0.06
"""
_DOUBTS = """
    [[faults]]
    kind = "code"
    code = 62109
    when = "after"
    rate = 0.06
    [[faults]]
    kind = "reset"
    when = "after"
    rate = 0.04
    [[faults]]
    kind = "reset"
    rate = 0.04
"""
_JOBS = hourly(60, flows=12)
EXISTING = _JOBS[5:8]

#: With look-ups: 62109 before and after the effect, lost replies, an outage, a pause, short-lived tokens.
SEEING = Plot(_RICH + _DOUBTS, _JOBS)

#: Without them: nothing but the kills puts a row in doubt.
BLIND = Plot('lookup = "forbidden"\n' + _RICH, hourly(60, flows=30))

#: With `--baseline`, and three rows that exist already.
CAREFUL = Plot(
    _DOUBTS
    + "".join(f"[[instances]]\nflow = {flow}\ntrigger_time = {time}\n" for flow, time in EXISTING)
    + '[latency]\nshape = "constant"\nmedian_ms = 10\n',
    _JOBS[:20],
    flags=("--baseline",),
    rate=60,
)

#: As SEEING, and soon over.
BRIEF = Plot(
    (_RICH + _DOUBTS).replace("median_ms = 80", "median_ms = 30"),
    _JOBS[:48],
    rate=60,
)

#: Nothing goes wrong on the gateway's side.
CALM = Plot('[latency]\nshape = "constant"\nmedian_ms = 30\n', hourly(60, flows=12), rate=100)

#: Nothing but rows in doubt.
DOUBTFUL = replace(CALM, scenario=CALM.scenario + _DOUBTS, jobs=hourly(40, flows=12), rate=60)
