"""What actions are made of: definitions by transition phases, and their ranked sub-actions in measurable primitives.

A label is looked up by its words alone: case, underscores, hyphens, camelCase, articles and endings do not matter. A
label that has no entry is composed from the nearest ones and says so in `composed_from`, so that a reader can weigh it.
"""

from .entries import Definition, KnowledgeError, SubAction, one_line, read_entries
from .retrieval import define, define_all, labels, search, shortlist

__all__ = [
    "Definition",
    "KnowledgeError",
    "SubAction",
    "define",
    "define_all",
    "labels",
    "one_line",
    "read_entries",
    "search",
    "shortlist",
]
