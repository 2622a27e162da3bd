"""Settings from the environment."""

import os
from pathlib import Path
from typing import Any

import pytest

from video_star.tools.errors import BadInput
from video_star.tools.settings import PREFIX, Settings, home, settings


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_STAR_HOME", "~/store")
    assert home() == Path.home() / "store"
    monkeypatch.delenv("VIDEO_STAR_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/srv/cache")
    assert home() == Path("/srv/cache/video-star")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert home() == Path.home() / ".cache" / "video-star"


def test_every_variable_is_read_and_an_empty_one_is_unset(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    given: dict[str, tuple[str, Any]] = {
        "VISION": ("yolo11n", "yolo11n"),
        "WEIGHTS_URL": ("https://example.org/weights", "https://example.org/weights"),
        "SEARCH": ("words", "words"),
        "KNOWLEDGE": (f"a.yaml{os.pathsep}~/b.yaml", (Path("a.yaml"), Path.home() / "b.yaml")),
        "ROOTS": (f"/srv/a{os.pathsep}{os.pathsep}/srv/b", (Path("/srv/a"), Path("/srv/b"))),
        "HOSTS": ("a.example.org, b.example.org,", ("a.example.org", "b.example.org")),
        "ALLOWED_MODELS": ("openai:gpt-4.1, vllm:m@http://host/v1", ("openai:gpt-4.1", "vllm:m@http://host/v1")),
        "PRIVATE_ADDRESSES": ("1", True),
        "MAX_MB": ("0.5", 0.5),
        "DOWNLOAD_SECONDS": ("5", 5.0),
        "DOWNLOADS_MB": ("2", 2.0),
        "RESULTS_MB": ("3e3", 3000.0),
    }
    assert {name.lower() for name in given} == Settings.model_fields.keys() - {"home"}
    default = Settings(home=home)
    for name, (text, value) in given.items():
        monkeypatch.setenv(PREFIX + name, text)
        assert getattr(settings(), name.lower()) == value, name
        monkeypatch.setenv(PREFIX + name, "")
        assert settings() == default, name


def test_a_wrong_value_is_a_typed_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_MB", "DOWNLOAD_SECONDS", "DOWNLOADS_MB", "RESULTS_MB"):
        for text in ("much", "0", "-1", "nan", "inf", "1,5"):
            monkeypatch.setenv(PREFIX + name, text)
            with pytest.raises(BadInput, match=f"{PREFIX}{name} is '{text}': .*; correct or unset it"):
                settings()
            monkeypatch.delenv(PREFIX + name)
    monkeypatch.setenv("VIDEO_STAR_PRIVATE_ADDRESSES", "perhaps")
    with pytest.raises(BadInput, match="VIDEO_STAR_PRIVATE_ADDRESSES is 'perhaps'"):
        settings()


def test_every_variable_is_in_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for name in Settings.model_fields:
        assert f"`{PREFIX}{name.upper()}`" in readme, name
