"""Tabletop: generated clips of objects moved on a table, whose movement is known."""
