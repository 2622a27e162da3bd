"""The chat models that act as policy, one module per backend."""
