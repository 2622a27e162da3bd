"""The family of a model is found by its configuration or by its name."""

import json
from pathlib import Path

from video_star.graph.policies.chat_template import chat_template
from video_star.graph.policies.families import FAMILIES, OTHER, QWEN2_5_VL, family_of, family_of_type


def test_a_family_is_found_by_the_name_of_a_model() -> None:
    for model in ("Qwen/Qwen2.5-VL-7B-Instruct", "unsloth/qwen2_5-vl-3b"):
        assert family_of(model) is QWEN2_5_VL
    for model in ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen3-VL-8B-Instruct", "OpenGVLab/InternVL3-8B"):
        assert family_of(model) is OTHER


def test_the_configuration_of_a_checkpoint_takes_precedence_over_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "qwen2.5-vl"
    folder.mkdir()
    assert family_of(str(folder)) is QWEN2_5_VL
    config = folder / "config.json"
    for text, family in ((json.dumps({"model_type": "qwen2_5_vl"}), QWEN2_5_VL), ('{"model_type": "x"}', OTHER)):
        config.write_text(text, encoding="utf-8")
        assert family_of(str(folder)) is family
    for text in ("{", "[]", "{}"):
        config.write_text(text, encoding="utf-8")
        assert family_of(str(folder)) is OTHER


def test_every_template_of_a_family_exists() -> None:
    assert family_of_type("qwen2_5_vl").template_path is not None
    assert QWEN2_5_VL.template_path is not None and QWEN2_5_VL.template_path.read_text("utf-8") == chat_template()
    for family in FAMILIES:
        assert family.template_path is None or family.template_path.is_file()
        assert "--chat-template" in family.serve_options() or not family.template
