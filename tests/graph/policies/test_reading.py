"""What a policy reads in a summary is what was measured."""

import numpy as np

from video_star.graph.policies.kinematic.reading import read_measurements
from video_star.tools.motion.result import MeasuredPrimitive, Motion, ObjectEvent, Repetition
from video_star.tools.primitives import PRIMITIVES


def motion() -> Motion:
    support = np.linspace(0, 1, len(PRIMITIVES)).tolist()
    primitives = [MeasuredPrimitive(n, s, 0.51, 1.49, 1) for n, s in zip(PRIMITIVES, support, strict=True)]
    repetitions = (Repetition("thing", 1, 5, 0.6, 0.5, 3.5), Repetition("person", 2, 1, 0.9, 0.1, 1.0))
    events = (ObjectEvent("thing_moves_left", 0.2), ObjectEvent("thing_moves_left", 2.34))
    return Motion((0.0, 1.0, 2.0), tuple(primitives), repetitions=repetitions, events=events)


def test_a_summary_reads_back_as_what_was_measured_within_any_text() -> None:
    summary = motion().summary()
    assert read_measurements(f"Before.\n{summary}\nAfter.") == motion().measurements() == read_measurements(summary)
    assert read_measurements("nothing of the kind") == read_measurements("")
