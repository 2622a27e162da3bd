"""Arguments of tools in the forms in which chat models write them."""

from typing import Any

import pytest
from pydantic import ValidationError

from video_star.tools.registry import langchain_tool, tool


def test_times_are_read_in_every_usual_form() -> None:
    forms: dict[float | None, list[Any]] = {
        None: [None, "", "  ", "null", "None", '""'],
        0.0: [0, "0", "0:00", "0s", "00:00:00"],
        1.0: [1, "1", "1.0", "0:01", "1s", "1 s", "1 second", "'1s'"],
        61.5: [61.5, "61.5", "1:01.5", "01:01.5 s", "0:01:01.5", "61.5 seconds"],
        3723.0: ["1:02:03"],
    }
    for expected, given in forms.items():
        for form in given:
            read = tool("detect_people").schema.model_validate({"start": form}).model_dump()
            assert read["start"] == expected, form


def test_choices_are_read_in_every_usual_form() -> None:
    forms: dict[bool, list[Any]] = {
        False: [None, "", "null", False, "false", "no", 0],
        True: [True, "true", "True", "yes", "1"],
    }
    for expected, given in forms.items():
        for form in given:
            assert tool("estimate_pose").schema.model_validate({"hands": form}).model_dump()["hands"] is expected, form
    with pytest.raises(ValidationError):
        tool("track_motion").schema.model_validate({"hands": "left"})


@pytest.mark.parametrize("given", ["soon", "1:xx", "1:2:3:4", "-0:01", "1m", [], {}])
def test_what_is_no_time_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        tool("track_motion").schema.model_validate({"end": given})


def test_lists_of_names_are_read_in_every_usual_form() -> None:
    forms: list[tuple[Any, list[str]]] = [
        (["walk", "run"], ["walk", "run"]),
        ('["walk", "run"]', ["walk", "run"]),
        (["walk", "", None], ["walk"]),
        ('"walk"', ["walk"]),
        ("walk", ["walk"]),
        ("lift, then drop", ["lift, then drop"]),
        ("[walk", ["[walk"]),
        (None, []),
        ("", []),
        ("null", []),
        ("none", []),
        ([], []),
    ]
    for given, expected in forms:
        read = tool("explain_actions").schema.model_validate({"actions": given}).model_dump()
        assert read["actions"] == expected, given
    for wrong in (7, {"walk": 1}, [["walk"]]):
        with pytest.raises(ValidationError):
            tool("explain_actions").schema.model_validate({"actions": wrong})


def test_a_tool_alone_refuses_several_actions_in_one_text_and_says_so() -> None:
    one = langchain_tool("explain_actions")
    assert "hug" in one.invoke({"actions": "hug"}) and "hug" in one.invoke({"actions": '["hug, then wave"]'})
    for text in ("hug, wave", "hug;wave", "hug\nwave"):
        with pytest.raises(ValidationError, match="it is one text, .*give a list such as"):
            one.invoke({"actions": text})
