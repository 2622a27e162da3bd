"""The knowledge base of actions: definitions by phases, and ranked sub-actions in measurable motion primitives.

A label is looked up by its words: case, underscores, hyphens, camelCase, articles and inflections do not matter. The
definition of a label without an entry is composed from the nearest entries, which it names in `composed_from`.
"""

from .entries import Definition, KnowledgeError, SubAction, one_line, read_entries
from .retrieval import define, define_all, has_entry, labels, search
from .shortlist import shortlist

__all__ = [
    "Definition",
    "KnowledgeError",
    "SubAction",
    "define",
    "define_all",
    "has_entry",
    "labels",
    "one_line",
    "read_entries",
    "search",
    "shortlist",
]
