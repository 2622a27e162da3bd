"""The compiled knowledge base: it equals its YAML files, is cached, and is compiled again if the cache is unusable."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from video_star.tools.knowledge import KnowledgeError
from video_star.tools.knowledge.base import KnowledgeBase, compile_base, knowledge_base

ADDITIONAL = "hug: {definition: arms close, sub_actions: [{name: one, primitives: [steps]}, {name: two}]}"


def opened() -> KnowledgeBase:
    """The knowledge base as a new process reads it."""
    return knowledge_base.__wrapped__()


def shipped() -> dict[str, bytes]:
    paths = sorted(files("video_star.tools.knowledge").iterdir(), key=lambda path: path.name)
    return {path.name: path.read_bytes() for path in paths if path.name.endswith(".yaml")}


def cached(home: Path) -> list[Path]:
    return list((home / "results").glob("*.json"))


def test_what_is_cached_equals_the_yaml(home: Path) -> None:
    compiled = compile_base(shipped(), {})
    for _ in range(2):
        base = opened()
        assert base == compiled and list(base.entries) == list(compiled.entries)
        assert len(cached(home)) == 1


def test_a_cached_base_needs_no_yaml_parser_and_no_encoder(home: Path) -> None:
    opened()
    code = """if True:
        import sys
        from video_star.tools.knowledge import define, define_all, shortlist
        assert define("hugging").label == "hug" and list(define_all(["walk", "run"])) == ["walk", "run"]
        assert shortlist("legs step", ["walk", "hug"], 1) == ["walk"]
        assert not {"yaml", "tokenizers", "safetensors", "langchain_core"} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(cached(home)) == 1


@pytest.mark.slow
def test_a_damaged_cache_is_compiled_again(home: Path) -> None:
    compiled = opened()
    (path,) = cached(home)
    whole = path.read_bytes()
    for damage in (b"", b"{}", whole[:-1], whole.replace(b'"steps"', b'"stops"'), b"\xff\0"):
        path.write_bytes(damage)
        assert opened() == compiled, damage[:20]
        assert path.read_bytes() == whole


def test_a_home_that_cannot_be_written_is_no_obstacle(home: Path) -> None:
    home.write_text("in the way")
    assert opened().entries["hug"].label == "hug"


@pytest.mark.slow
def test_additional_files_are_compiled_under_a_key_of_their_own(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = opened()
    path = tmp_path / "own.yaml"
    path.write_text(ADDITIONAL, encoding="utf-8")
    monkeypatch.setenv("VIDEO_STAR_KNOWLEDGE", str(path))
    for _ in range(2):
        base = opened()
        assert base.entries["hug"].definition == "arms close" and base.entries["walk"] == plain.entries["walk"]
    path.write_text(ADDITIONAL.replace("arms close", "arms open"), encoding="utf-8")
    assert opened().entries["hug"].definition == "arms open"
    monkeypatch.delenv("VIDEO_STAR_KNOWLEDGE")
    assert opened() == plain and len(cached(home)) == 3
    path.write_bytes(b"\xff")
    for wrong in (path, tmp_path / "nowhere.yaml"):
        monkeypatch.setenv("VIDEO_STAR_KNOWLEDGE", str(wrong))
        with pytest.raises(KnowledgeError, match=f"VIDEO_STAR_KNOWLEDGE names .*{wrong.name}"):
            opened()
