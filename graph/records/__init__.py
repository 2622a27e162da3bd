"""The record of a run: its result, its trace, and the exact tokens of every turn."""
