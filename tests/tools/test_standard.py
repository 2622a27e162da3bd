"""LangChain's own standard tests of tools, for every tool of the library."""

from typing import Any

import pytest

pytest.importorskip("langchain_tests", reason="needs the development dependencies")

from langchain_core.tools import BaseTool  # noqa: E402
from langchain_tests.integration_tests import ToolsIntegrationTests  # noqa: E402
from langchain_tests.unit_tests import ToolsUnitTests  # noqa: E402

from video_star.tools.registry import langchain_tool  # noqa: E402
from video_star.tools.video.source import DEMO_CLIP  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm")]


class OfLibrary:
    """A tool that watches the first second of the bundled clip."""

    name: str

    @property
    def tool_constructor(self) -> BaseTool:
        return langchain_tool(self.name)

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"video": str(DEMO_CLIP), "start": 0, "end": 1}


class OfDetectPeople(OfLibrary):
    name = "detect_people"


class OfEstimatePose(OfLibrary):
    name = "estimate_pose"


class OfTrackMotion(OfLibrary):
    name = "track_motion"


class OfDescribeVideo(OfLibrary):
    name = "describe_video"


class OfExplainActions(OfLibrary):
    name = "explain_actions"

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"actions": ["hug", "handshake"]}


class TestDetectPeopleUnit(OfDetectPeople, ToolsUnitTests):
    pass


class TestDetectPeople(OfDetectPeople, ToolsIntegrationTests):
    pass


class TestEstimatePoseUnit(OfEstimatePose, ToolsUnitTests):
    pass


class TestEstimatePose(OfEstimatePose, ToolsIntegrationTests):
    pass


class TestTrackMotionUnit(OfTrackMotion, ToolsUnitTests):
    pass


class TestTrackMotion(OfTrackMotion, ToolsIntegrationTests):
    pass


class TestDescribeVideoUnit(OfDescribeVideo, ToolsUnitTests):
    pass


class TestDescribeVideo(OfDescribeVideo, ToolsIntegrationTests):
    pass


class TestExplainActionsUnit(OfExplainActions, ToolsUnitTests):
    pass


class TestExplainActions(OfExplainActions, ToolsIntegrationTests):
    pass
