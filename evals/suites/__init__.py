"""Evaluation suites: each module prints one table."""
