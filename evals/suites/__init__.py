"""Measurements: one module for each printed table."""
