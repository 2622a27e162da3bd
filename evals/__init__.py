"""Data sets, protocols, metrics and baselines."""
