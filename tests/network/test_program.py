"""The real program, in a process of its own, against all that the tables of this folder know."""

from __future__ import annotations

from pathlib import Path
import sys
from typing import NamedTuple

from behind import Ended, behind
from evening import Case, Evening, Fate, spend_with_the_program
from proxy import Request, Toxic
import pytest
from running import hourly
from strange_replies import HTML, PAGE, said
import test_after_send
import test_headers
import test_replies
from toxics import (
    always,
    black_hole,
    by_chance,
    closed_after,
    closed_before,
    cut_reply,
    cut_request,
    delayed,
    late,
    narrow,
    passed,
    reset_after,
    reset_before,
    sliced,
    withheld,
)

CASES = [
    *test_after_send.CASES,
    *test_replies.CASES,
    *test_headers.CASES,
    Case("F18 a reply that is withheld", withheld, Fate.FOUND),
    Case("F30 a connection that is half open", black_hole, Fate.SENT_AGAIN),
    Case("F19 takes effect as the attempt's time ends", late(3.2), Fate.FOUND),
]
TIMES = ("--timeout", "3s", "--reconcile-wait", "4s")
MORE_KIB = 20 * 1024  #: that strange replies may cost


class Run(NamedTuple):
    evening: Evening
    ended: Ended


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(*spend_with_the_program(tmp_path_factory.mktemp("evening"), CASES, *TIMES))


def test_the_program_does_with_each_case_what_the_engine_does(run: Run) -> None:
    """F14-F49, P1, P3, P4, P6, P12: all cases in one run of the command line."""
    assert len(CASES) > 170
    for case in CASES:
        run.evening.assert_as_it_must(case)
    run.evening.assert_the_rest_is_well()


def test_what_the_program_says_is_lines_of_text(run: Run) -> None:
    """F46, F47, P27, P28: no escape, no forged line; that no secret is in it is seen to after every test."""
    assert all(char.isprintable() or char == "\n" for char in run.ended.told + run.ended.out)
    assert not [line for line in run.ended.told.splitlines() if line.startswith("62104 forged")]


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_no_reply_costs_memory(run: Run, tmp_path: Path) -> None:
    """F25, F41, F42, F43, P26, P30: the same run without a fault needs hardly less at its peak."""
    plain = [Case(case.name, passed, Fate.AT_ONCE) for case in CASES]
    quiet, ended = spend_with_the_program(tmp_path, plain, *TIMES)

    assert quiet.exit_code == 0
    assert run.evening.rig.proxy.told > quiet.rig.proxy.told + 16 * 2**20
    assert run.ended.peak_kib - ended.peak_kib < MORE_KIB


#: What a trigger meets in the storm, and how often; other calls a third as often.
STORM = {
    reset_after: 0.03,
    reset_before: 0.03,
    closed_after: 0.03,
    closed_before: 0.03,
    withheld: 0.005,
    black_hole: 0.005,
    **{cut_request(at): 0.005 for at in (0, 1, 100, 400)},
    **{cut_reply(at, reset=at % 2 == 0): 0.005 for at in (0, 1, 15, 60, 160, 201)},
    sliced(7, 0.001): 0.03,
    narrow(20_000.0): 0.03,
    delayed(0.05, 0.05): 0.05,
    delayed(0.0, 0.2): 0.05,
    said(PAGE, HTML)(True): 0.01,
    said(b"", status=500)(False): 0.01,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One storm for each thousand of `--seeds`."""
    if "storm" in metafunc.fixturenames:
        one = metafunc.config.getoption("seed")
        storms = max(metafunc.config.getoption("seeds") // 1000, 1)
        metafunc.parametrize("storm", range(storms) if one is None else [one])


async def test_a_storm_of_everything_leaves_each_job_done_once(tmp_path: Path, storm: int) -> None:
    """F14-F18, F22-F24, F27-F30, F36, P1, P3, P6, P12: on every call of the program, look-ups included."""
    jobs = hourly(180, flows=18)
    sends, others = by_chance(storm, STORM), by_chance(storm, {each: STORM[each] / 3 for each in STORM})

    def script(request: Request) -> Toxic:
        return (sends if request.api == "trigger" else others)(request)

    async with behind(tmp_path, script, seed=storm) as rig:
        ended = await rig.program().send(jobs, "--in-flight", "12", "--timeout", "2s")

        assert ended.exit_code == 0, ended.told
        rig.assert_proven(jobs).assert_each_once()
        assert {row["status"] for row in rig.results()} == {"succeeded"}
        assert {each.name for each, share in STORM.items() if share >= 0.03} <= set(rig.proxy.did)
        assert rig.proxy.did.total() - rig.proxy.did[passed.name] > 50


async def test_a_gateway_that_is_not_there_stops_the_program_and_resume_does_the_rest(tmp_path: Path) -> None:
    """F1, F5, P4: a name that means nothing, a port that nobody listens on; exit 4, everything pending."""
    jobs, patient = hourly(10), ("--patience", "1s")
    async with behind(tmp_path, always(passed)) as rig:
        rig.proxy.close_door()
        refused = await rig.program().send(jobs, *patient)
        assert refused.exit_code == 4
        assert "connection-refused" in refused.told
        assert '"pending": 10' in (rig.directory / "summary.json").read_text()

        await rig.proxy.open_door()
        assert (await rig.program().go_on()).exit_code == 0
        rig.assert_proven(jobs).assert_each_once()

        rig.directory = tmp_path / "nowhere"
        nowhere = await rig.program().send(jobs, *patient, gateway="https://gateway.invalid")
        assert nowhere.exit_code == 4
        assert "name-not-resolved" in nowhere.told
        assert '"pending": 10' in (rig.directory / "summary.json").read_text()
