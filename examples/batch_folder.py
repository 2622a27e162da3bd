"""Recognise the actions of all clips in a folder, several at a time. Run it again to resume after an interruption.

Run: `python examples/batch_folder.py FOLDER --actions "walk, run, hug" --out runs/batch --concurrency 4`. Every
finished run is appended to `OUT/runs.jsonl`; `video-star show OUT` prints them.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from video_star import BadInput, arecognize

SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm"}


def finished(out: Path) -> set[str]:
    """The clips that already have a record."""
    trace = out / "runs.jsonl"
    lines = trace.read_text(encoding="utf-8").splitlines() if trace.is_file() else []
    return {json.loads(line)["request"]["source"] for line in lines}


async def batch(clips: Sequence[Path], actions: Sequence[str], out: Path, concurrency: int) -> None:
    """Run the agent on every clip that has no record yet."""
    limit, done = asyncio.Semaphore(concurrency), finished(out)

    async def run(clip: Path) -> None:
        async with limit:
            try:
                result = await arecognize(clip, actions, trace=out)
                print(f"{clip.name}: {result.action or result.error}", flush=True)
            except BadInput as error:  # an unreadable clip must not stop the others
                print(f"{clip.name}: skipped, {error}", flush=True)

    await asyncio.gather(*(run(clip) for clip in clips if str(clip) not in done))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run the batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--actions", required=True, help="comma-separated")
    parser.add_argument("--out", type=Path, default=Path("runs/batch"))
    parser.add_argument("--concurrency", type=int, default=4)
    options = parser.parse_args(arguments)
    clips = sorted(path for path in options.folder.iterdir() if path.suffix.lower() in SUFFIXES)
    actions = [action.strip() for action in options.actions.split(",")]
    asyncio.run(batch(clips, actions, options.out, options.concurrency))


if __name__ == "__main__":
    main()
