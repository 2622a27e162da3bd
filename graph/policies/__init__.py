"""Backends of policies: one module each."""
