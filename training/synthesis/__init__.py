"""Chains to learn from: runs of the graph by a teacher, kept where rules and a second model find nothing wrong.

The paper's teacher is given the right answer and writes a chain towards it. Here a model is not: a chain is drawn, and
kept only if it comes to the right answer by what the conversation gives. The teacher of rules is told, and says no more
than the evidence bears out.
"""

from .dataset_card import write_card
from .folder import Chains, Progress
from .run import Job, Settings, Teacher, synthesize, teacher_named
from .token_counts import load_processor

__all__ = [
    "Chains",
    "Job",
    "Progress",
    "Settings",
    "Teacher",
    "load_processor",
    "synthesize",
    "teacher_named",
    "write_card",
]
