"""The environment variables of this package, VIDEO_STAR_HOME and so on, read when they are needed."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

from platformdirs import user_cache_path
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .errors import BadInput

PREFIX: Final = "VIDEO_STAR_"


def _split(separator: str) -> BeforeValidator:
    def parts(value: Any) -> Any:
        return [part.strip() for part in value.split(separator) if part.strip()] if isinstance(value, str) else value

    return BeforeValidator(parts)


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Folder = Annotated[Path, BeforeValidator(os.path.expanduser)]
Paths = Annotated[tuple[Folder, ...], NoDecode, _split(os.pathsep)]


class Settings(BaseSettings):
    """One field per variable: the name in upper case after VIDEO_STAR_. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    home: Folder = Field(default_factory=lambda: user_cache_path("video-star"))
    """Folder of images, tool results, downloads and weights; default: `video-star` in the user's cache folder."""
    vision: str = "embedded"
    """Engine that finds people and poses: `embedded`, a YOLO name, the path of an export, or KIND:ARGUMENT."""
    weights_url: str | None = None
    """Mirror of the YOLO weights, an https:// address; default: the publisher's release."""
    search: str | None = None
    """Encoder that looks up labels without an entry: all-MiniLM-L6-v2, wordllama or words; default: the best one that
    is installed."""
    knowledge: Paths = ()
    """Additional YAML files of the knowledge base, separated as in PATH, read once per process."""
    roots: Paths | None = None
    """Folders that videos may be read from, separated as in PATH; default: any, for a server the working folder."""
    hosts: Annotated[tuple[str, ...], NoDecode, _split(",")] = ()
    """Hosts that videos may be downloaded from, comma-separated; * for any public host; default: none."""
    allowed_models: Annotated[tuple[str, ...], NoDecode, _split(",")] = ()
    """Policies, describers and explainers that the context of a run may name, comma-separated, written exactly as
    there; default: only the embedded ones. What the host sets itself needs no permission."""
    private_addresses: bool = False
    """Whether those hosts may be in this machine's own networks."""
    max_mb: Positive = 512
    """Size limit of a download, in MiB."""
    download_seconds: Positive = 60
    """Time limit of a download, redirects included, in seconds."""
    downloads_mb: Positive = 4096
    """Disk space for downloads, in MiB; the least recently used are deleted."""
    results_mb: Positive = 2048
    """Disk space for tool results, in MiB; the least recently used are deleted."""


_NAMES: Final = (*(PREFIX + name.upper() for name in Settings.model_fields), "HOME", "XDG_CACHE_HOME")


def settings() -> Settings:
    """The settings in the environment as it is now.

    Raises:
        BadInput: A variable has an invalid value.
    """
    return _settings(tuple(map(os.environ.get, _NAMES)))


def home() -> Path:
    """The folder for everything this package stores."""
    return settings().home


@lru_cache(maxsize=4)
def _settings(values: tuple[str | None, ...]) -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        raise BadInput(f"{variable} is {str(first['input'])[:200]!r}: {first['msg']}; correct or unset it") from None
