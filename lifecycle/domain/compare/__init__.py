"""The judge: what the observations of two versions say about going on, waiting, or going back.

Pure: counts, weights and a policy in, a verdict out; no clock and no memory. A measure is breached when its estimate is
past the threshold and its confidence sequence rules out "no worse", clear when the whole sequence is inside the
threshold, and else undecided. The statistics and their sources are in ``lifecycle.domain.sequential``.
"""

from lifecycle.domain.compare.parts import (
    Evidence,
    Measure,
    MeasureState,
    OnBreach,
    Trial,
    Verdict,
    VerdictKind,
    Window,
)
from lifecycle.domain.compare.stored import dump, load
from lifecycle.domain.compare.verdict import judge

__all__ = [
    "Evidence",
    "Measure",
    "MeasureState",
    "OnBreach",
    "Trial",
    "Verdict",
    "VerdictKind",
    "Window",
    "dump",
    "judge",
    "load",
]
