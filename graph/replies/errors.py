"""What is raised for a reply that does not follow the protocol."""

from __future__ import annotations

from .json_repair import replace_lone_surrogates


class MalformedReply(Exception):
    """The model's turn lacks what its step requires. The text names the defect; it is sent back to the model."""

    def __init__(self, defect: str) -> None:
        """`defect` may quote the reply, lone surrogates included; these are replaced."""
        super().__init__(replace_lone_surrogates(defect))
