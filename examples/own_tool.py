"""Replace a tool of the library with your own: here a `describe_video` that measures brightness.

Run: `python examples/own_tool.py [VIDEO]`. A tool is a function of a clip, the candidate actions and the number of
frames it may show; it returns a `Finding`, whose summary is what the policy reads.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from video_star import Context, build_graph
from video_star.tools.registry import Finding, tool
from video_star.tools.video.clip import Clip
from video_star.tools.video.source import DEMO_CLIP


def describe_brightness(clip: Clip, actions: Sequence[str], max_frames: int) -> Finding:
    """The mean brightness at the start and at the end of the clip, and its darkest frames."""
    frames = clip.frames()
    brightness = frames.images.mean(axis=(1, 2, 3))
    darkest = np.sort(np.argsort(brightness)[:max_frames])
    return Finding(
        summary=f"Mean brightness {brightness[0]:.0f} at the start and {brightness[-1]:.0f} at the end, of 255.",
        result=brightness,
        frames=tuple((float(frames.times[k]), frames.images[k]) for k in darkest),
    )


def main(video: str = str(DEMO_CLIP)) -> None:
    """Run the graph with the tool and print its evidence."""
    own = replace(tool("describe_video"), run=describe_brightness, engine="brightness-1")
    context = Context(mode="static", tools=["track_motion", "describe_video"])
    star = build_graph(context=context, tools={"describe_video": own}).compile()
    result = asyncio.run(star.ainvoke({"video": video, "actions": ["walk", "run", "hug"]}))
    evidence = {item["tool"]: item["summary"] for item in result["evidence"]}
    print(f"{result['action']}; describe_video: {evidence['describe_video']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
