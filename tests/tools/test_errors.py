"""The tree of errors."""

import importlib

from video_star.tools import errors


def tree(kind: type[BaseException], depth: int = 0) -> list[tuple[int, str]]:
    ours = [sub for sub in kind.__subclasses__() if sub.__module__.startswith("video_star.")]
    return [(depth, kind.__name__), *(line for sub in ours for line in tree(sub, depth + 1))]


def test_the_documented_tree_is_the_class_hierarchy() -> None:
    for name in ("video_star.tools.execution.chat_model", "video_star.tools.knowledge.entries"):
        importlib.import_module(name)
    lines = [line for line in (errors.__doc__ or "").splitlines() if line.lstrip().startswith("* ")]
    documented = [((len(line) - len(line.lstrip())) // 2, line.split()[1]) for line in lines]
    assert sorted(documented) == sorted(tree(errors.VideoStarError))
