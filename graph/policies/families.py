"""Model families: what differs between the models that can be served or loaded, one row each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Family:
    """One family of models."""

    name: str
    model_type: str = ""
    """`model_type` in the `config.json` of its checkpoints."""
    model_name: str = r"(?!)"
    """Pattern of the names of its models, case-insensitive, for models whose configuration is not at hand."""
    template: str = ""
    """File in `templates/` with the chat template of this package; empty if the model's own template is used."""
    tool_call_parser: str = "hermes"
    """The parser of `vllm serve` for the form in which the models write tool calls."""

    @property
    def template_path(self) -> Path | None:
        """The chat template of this package for the family, or None."""
        return Path(str(files(__package__) / "templates" / self.template)) if self.template else None

    def serve_options(self) -> list[str]:
        """The options of `vllm serve` that depend on the family."""
        return [
            *(("--chat-template", str(self.template_path)) if self.template else ()),
            *("--enable-auto-tool-choice", "--tool-call-parser", self.tool_call_parser),
        ]


QWEN2_5_VL: Final = Family(
    "Qwen2.5-VL",
    model_type="qwen2_5_vl",
    model_name=r"qwen2[._]?5[-_]?vl",
    # Its own template has no tool section.
    template="qwen2_5_vl.jinja",
)
OTHER: Final = Family("other")
FAMILIES: Final = (QWEN2_5_VL, OTHER)


def family_of_type(model_type: str) -> Family:
    """The family whose checkpoints have this `model_type`; `OTHER` if there is none."""
    return next((family for family in FAMILIES if family.model_type == model_type), OTHER)


def family_of(model: str) -> Family:
    """The family of a model, by the `config.json` in its folder, or else by its name; `OTHER` if there is none.

    Args:
        model: A folder or a Hugging Face id.
    """
    config = Path(model) / "config.json"
    if config.is_file():
        return family_of_type(_model_type(config))
    return next((family for family in FAMILIES if re.search(family.model_name, model, re.IGNORECASE)), OTHER)


def _model_type(config: Path) -> str:
    """`model_type` of a configuration; empty if the file is not a JSON object."""
    try:
        return str(json.loads(config.read_text(encoding="utf-8", errors="replace"))["model_type"])
    except (ValueError, LookupError, TypeError):
        return ""
