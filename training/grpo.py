"""GRPO on runs of the graph: TRL's trainer, with episodes of the graph and its tools as rollouts.

Episodes are supplied by overriding `GRPOTrainer._generate`. The method is private, so TRL is pinned and a contract test
checks what it must return. The trainer gets the record itself: the ids that the policy read and sampled, and the images
it saw. The completion mask covers every sampled token, tool choice included, and none written by a tool or the graph.
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
    """R_tool of each run, 0 if its answer is wrong."""
    return [rewards.accuracy(r, t) * rewards.tool_use(r) for r, t in zip(record, truth, strict=True)]


def sub_action_reward(record: Sequence[Row], truth: Sequence[str], **_: Any) -> list[float]:
    """R_sub of each run, 0 if its answer is wrong."""
    return [rewards.accuracy(r, t) * rewards.sub_actions(r, t) for r, t in zip(record, truth, strict=True)]


HIERARCHICAL_REWARD = [accuracy_reward, format_reward, tool_reward, sub_action_reward]
"""The paper's reward, equation 6, one function per term: the reward is their sum, and each is logged separately."""


class EpisodeTrainer(GRPOTrainer):
    """GRPO whose completions are episodes of the graph with the model in training as policy.

    The dataset has the columns prompt (ignored: the graph writes its own prompts), video, actions and truth. Model and
    processor are those of Qwen2.5-VL; the chat template of this package is set on the processor.
    """

    def __init__(self, *args: Any, context: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Take the arguments of `GRPOTrainer`, and `context`: settings of the episodes, as in `video_star.Context`."""
        kwargs.setdefault("reward_funcs", HIERARCHICAL_REWARD)
        super().__init__(*args, **kwargs)
        processor: Any = self.processing_class
        apply_to(processor)
        # With constrained decoding, the model could not learn the format.
        self._context = {"structured": "never", **(context or {})}
        self._inputs: Sequence[Row] = ()
        # Without tools, the trainer looks for image pads in the prompt only.
        self.tools = [_tool_placeholder]
        self._loaded = around(self.accelerator.unwrap_model(self.model), self.processing_class)

    def policy(self, number: int) -> TransformersPolicy:
        """The policy of the episode with this index in its batch."""
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
        trained = [self._sequence(record) for record in episodes]
        starts = [sequence.completion_mask.index(1) for sequence in trained]
        images = [_images(record, sequence) for record, sequence in zip(episodes, trained, strict=True)]
        mode = "train" if training else "eval"
        for name in ("turns", "forks"):
            mean = sum(record["tokens"][name] for record in episodes) / len(episodes)
            self._metrics[mode][f"episodes/{name}"].append(mean)
        masks = [sequence.completion_mask[at:] for sequence, at in zip(trained, starts, strict=True)]
        self._metrics[mode]["completions/mean_length"].append(sum(map(sum, masks)) / len(masks))
        return (
            [sequence.ids[:at] for sequence, at in zip(trained, starts, strict=True)],
            [sequence.ids[at:] for sequence, at in zip(trained, starts, strict=True)],
            masks,
            [[{"role": "assistant", "content": _last_reply(record)}] for record in episodes],
            [sequence.logprobs[at:] for sequence, at in zip(trained, starts, strict=True)],
            {"record": episodes},
            images,
            images,
        )

    async def _episodes(self) -> list[dict[str, Any]]:
        return await asyncio.gather(*(self._episode(number, row) for number, row in enumerate(self._inputs)))

    async def _episode(self, number: int, row: Row) -> dict[str, Any]:
        graph = build_graph(policy=self.policy(number)).compile()
        inputs = {name: row[name] for name in ("question", "start", "end") if row.get(name) is not None}
        return await run_record(row["video"], row["actions"], graph=graph, **inputs, **self._context)

    def _sequence(self, record: Row) -> TokenSequence:
        """The longest sequence of an episode: the whole episode unless it forked."""
        found = sequences(tracks(record["messages"], default_store()))
        if not found:
            raise PolicyUnavailable(f"an episode has no tokens: {record['recognition']['error']}")
        return max(found, key=lambda sequence: len(sequence.ids))


def _tool_placeholder() -> None:
    """A placeholder: the graph runs its tools itself."""


def _images(record: Row, sequence: TokenSequence) -> list[Image.Image]:
    """The images that the sequence reads, in order."""
    store = default_store()
    urls = image_urls(record["messages"][: sequence.message])
    return [Image.open(io.BytesIO(store.get(url))).convert("RGB") for url in urls]


def _last_reply(record: Row) -> str:
    last = next((m for m in reversed(record["messages"]) if m.get("author") == "policy"), None)
    return str(last["content"]) if last else ""
