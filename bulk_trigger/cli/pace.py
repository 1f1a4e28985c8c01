"""How fast and how patient: the flags of `run` that `resume` may be given anew (design decision 17)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import click

from .help import Decorator, flag, together
from .kinds import DURATION, RATE


def _pace(*, anew: bool, of: Collection[str] = ()) -> Decorator:
    """What `resume` may be given anew; then only as flags, and without a default: the run has its own.

    `of`: only these.
    """
    flags: list[Decorator] = []

    def own(*names: str, default: Any, **attributes: Any) -> None:
        if of and names[-1] not in of:
            return
        if anew:
            attributes |= {"allow_from_autoenv": False, "show_default": False}
        else:
            attributes |= {"default": default}
        flags.append(flag("Pace and patience", *names, **attributes))

    own(
        "--rate",
        type=RATE,
        multiple=True,
        default=None,
        metavar="N/s|m|h|d",
        help="Calls per window, all calls counted; repeat it for several windows; `none` for no limit."
        + ("" if anew else "  [default: 20/s; 500/s with --sandbox]"),
    )
    own(
        "-j",
        "--in-flight",
        type=click.IntRange(min=1),
        default=64,
        metavar="N",
        help="Calls under way at most.",
    )
    own("--timeout", type=DURATION, default="30s", help="Of one attempt.")
    own(
        "--patience",
        type=DURATION,
        default="15m",
        help="Without a good reply for so long, the run stops (and can be resumed).",
    )
    own(
        "--reconcile-wait",
        type=DURATION,
        default=None,
        help="Before a look-up may conclude that a flow was not triggered."
        + ("" if anew else "  [default: 75s; 1s with --sandbox]"),
    )
    own("--drain", type=DURATION, default="8s", help="For replies still to come, after a signal.")
    own(
        "--durability",
        type=click.Choice(["power", "process"]),
        default="power",
        help="What the journal survives: a power cut, or only the end of the process (faster).",
    )
    return together(*flags)


PACE = _pace(anew=False)
PACE_ANEW = _pace(anew=True)
#: Of commands about a run that only ask its gateway.
PACE_OF_READS_ANEW = _pace(anew=True, of={"--rate", "--timeout", "--patience"})
#: Of commands that only ask the gateway.
PACE_OF_READS = _pace(anew=False, of={"--rate", "--in-flight", "--timeout", "--patience"})
