"""Reasoning traces for training: runs of the graph by a teacher, kept if rules and a second model find no error.

The paper calls them reasoning chains, and gives its teacher the right answer to write towards. Here a model is not told
the answer: it samples a trace, which is kept only if it reaches the right answer from what the conversation contains.
The scripted teacher, made of rules, knows the answer but states only what the evidence supports.
"""

from .dataset_card import write_card
from .folder import Progress, TraceFolder
from .run import Job, Settings, Teacher, synthesize, teacher_named
from .token_counts import load_processor

__all__ = [
    "Job",
    "Progress",
    "Settings",
    "Teacher",
    "TraceFolder",
    "load_processor",
    "synthesize",
    "teacher_named",
    "write_card",
]
