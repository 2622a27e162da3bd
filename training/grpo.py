"""GRPO on runs of the graph: TRL's trainer, whose rollouts are whole episodes with the real tools.

The seam is `GRPOTrainer._generate`, which gives the trainer its completions. It is private, so TRL is pinned and a test
watches what it must return. What is trained is the record itself: the ids the policy read and sampled, with the
pictures it saw; every token it sampled gets gradient, tool choice included, and none that a tool or the graph wrote.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image
from trl.trainer.grpo_trainer import GRPOTrainer

from ..graph import build_graph
from ..graph.concurrency import wait_for
from ..graph.policies.chat_template import apply_to
from ..graph.policies.local import TransformersPolicy, around
from ..graph.records.content import image_urls
from ..graph.records.token_track import TokenSequence, sequences, tracks
from ..graph.run import run_record
from ..tools.errors import PolicyUnavailable
from ..tools.execution.media_store import default_store
from . import rewards

Row = Mapping[str, Any]
"""video, actions, truth, and optionally question, start and end."""


def accuracy_reward(record: Sequence[Row], truth: Sequence[str], **_: Any) -> list[float]:
    """R_acc of each run."""
    return [rewards.accuracy(run, label) for run, label in zip(record, truth, strict=True)]


def format_reward(record: Sequence[Row], **_: Any) -> list[float]:
    """R_format of each run."""
    return [rewards.well_formed(run) for run in record]


def tool_reward(record: Sequence[Row], truth: Sequence[str], **_: Any) -> list[float]:
    """R_tool of each run, where its answer is right."""
    return [rewards.accuracy(r, t) * rewards.tool_use(r) for r, t in zip(record, truth, strict=True)]


def sub_action_reward(record: Sequence[Row], truth: Sequence[str], **_: Any) -> list[float]:
    """R_sub of each run, where its answer is right."""
    return [rewards.accuracy(r, t) * rewards.sub_actions(r, t) for r, t in zip(record, truth, strict=True)]


HIERARCHICAL_REWARD = [accuracy_reward, format_reward, tool_reward, sub_action_reward]
"""The paper's reward, equation 6, one function a term: their sum is the reward, and each is logged apart."""


class EpisodeTrainer(GRPOTrainer):
    """GRPO whose completions are episodes of the graph around the model in training.

    The dataset has the columns prompt (a conversation of any text; the graph asks in its own words), video, actions and
    truth. Model and processor are those of Qwen2.5-VL; the processor gets this package's chat template.
    """

    def __init__(self, *args: Any, context: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Take what `GRPOTrainer` takes, and `context`: settings of the episodes, fields of `video_star.Context`."""
        kwargs.setdefault("reward_funcs", HIERARCHICAL_REWARD)
        super().__init__(*args, **kwargs)
        processor: Any = self.processing_class
        apply_to(processor)
        # Held to a form, a model could not learn it.
        self._context = {"structured": "never", **(context or {})}
        self._inputs: Sequence[Row] = ()
        # Without tools the trainer would look for image pads in the prompt alone.
        self.tools = [_tools_are_the_graphs]
        self._loaded = around(self.accelerator.unwrap_model(self.model), self.processing_class)

    def policy(self, number: int) -> TransformersPolicy:
        """The policy of the episode with this number in its batch."""
        args: Any = self.args
        return TransformersPolicy(
            path="in training",
            loaded=self._loaded,
            temperature=args.temperature,
            max_new_tokens=args.max_completion_length,
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._inputs = inputs
        scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return scored

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        model = self.accelerator.unwrap_model(self.model)
        training = model.training
        model.eval()
        try:
            episodes = wait_for(self._episodes())
        finally:
            model.train(training)
        chosen = [self._sequence(record) for record in episodes]
        splits = [sequence.sampled.index(1) for sequence in chosen]
        images = [_images(record, sequence) for record, sequence in zip(episodes, chosen, strict=True)]
        mode = "train" if training else "eval"
        for name in ("turns", "forks"):
            mean = sum(record["tokens"][name] for record in episodes) / len(episodes)
            self._metrics[mode][f"episodes/{name}"].append(mean)
        sampled = [sequence.sampled[at:] for sequence, at in zip(chosen, splits, strict=True)]
        self._metrics[mode]["completions/mean_length"].append(sum(map(sum, sampled)) / len(sampled))
        return (
            [sequence.ids[:at] for sequence, at in zip(chosen, splits, strict=True)],
            [sequence.ids[at:] for sequence, at in zip(chosen, splits, strict=True)],
            sampled,
            [[{"role": "assistant", "content": _last_words(record)}] for record in episodes],
            [sequence.logprobs[at:] for sequence, at in zip(chosen, splits, strict=True)],
            {"record": episodes},
            images,
            images,
        )

    async def _episodes(self) -> list[dict[str, Any]]:
        return await asyncio.gather(*(self._episode(number, row) for number, row in enumerate(self._inputs)))

    async def _episode(self, number: int, row: Row) -> dict[str, Any]:
        star = build_graph(policy=self.policy(number)).compile()
        asked = {name: row[name] for name in ("question", "start", "end") if row.get(name) is not None}
        return await run_record(row["video"], row["actions"], graph=star, **asked, **self._context)

    def _sequence(self, record: Row) -> TokenSequence:
        """The longest sequence of an episode: all of it, unless it forked."""
        found = sequences(tracks(record["messages"], default_store()))
        if not found:
            raise PolicyUnavailable(f"an episode left no tokens: {record['recognition']['error']}")
        return max(found, key=lambda sequence: len(sequence.ids))


def _tools_are_the_graphs() -> None:
    """Stands for the tools of the graph, which runs them itself."""


def _images(record: Row, sequence: TokenSequence) -> list[Image.Image]:
    """The pictures that the sequence reads, in order."""
    store = default_store()
    urls = image_urls(record["messages"][: sequence.message])
    return [Image.open(io.BytesIO(store.get(url))).convert("RGB") for url in urls]


def _last_words(record: Row) -> str:
    last = next((m for m in reversed(record["messages"]) if m.get("author") == "policy"), None)
    return str(last["content"]) if last else ""
