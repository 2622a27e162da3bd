"""Video-STAR as a tool of a LangChain agent.

Run: `python examples/agent_tool.py [VIDEO]`; needs `pip install 'video-star[api]'`. The agent's model is scripted, so
that the example runs offline; replace it with any chat model, such as `init_chat_model("openai:gpt-4.1")`.
"""

import sys
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import ToolException, tool

from video_star import VideoStarError, recognize
from video_star.tools.video.source import DEMO_CLIP


@tool
def recognize_action(video: str, actions: list[str]) -> str:
    """Decide which of the candidate actions a video shows."""
    try:
        result = recognize(video, actions)
    except VideoStarError as error:
        raise ToolException(f"failed: {error}") from error
    return f"{result.action} (score {result.ranking[0].score:.2f})" if result.action else f"failed: {result.error}"


# A path that the model made up is an error message to it, and does not end the agent.
recognize_action.handle_tool_error = True


class ScriptedModel(BaseChatModel):
    """Calls the tool for the video named by the user, then reports what it returned."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Accept the agent's tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            reply = AIMessage(f"The video shows: {last.text}")
        else:
            call = {"video": last.text.rpartition(" ")[2], "actions": ["walk", "run", "hug"]}
            reply = AIMessage("", tool_calls=[{"name": "recognize_action", "args": call, "id": "1"}])
        return ChatResult(generations=[ChatGeneration(message=reply)])


def main(video: str = str(DEMO_CLIP)) -> None:
    """Ask the agent about a video."""
    agent = create_agent(ScriptedModel(), [recognize_action])
    result = agent.invoke({"messages": [HumanMessage(f"What do the people do in {video}")]})
    print(result["messages"][-1].text)


if __name__ == "__main__":
    main(*sys.argv[1:])
