"""Two optimiser steps on runs of the graph with images of real tools."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

torch = pytest.importorskip("torch", reason="needs the extra [train]")
pytest.importorskip("trl", reason="needs the extra [train]")
datasets = pytest.importorskip("datasets", reason="needs the extra [train]")

from video_star.graph.policies.local import TransformersPolicy  # noqa: E402
from video_star.graph.prompts import requested  # noqa: E402
from video_star.training.grpo import HIERARCHICAL_REWARD, EpisodeTrainer  # noqa: E402

pytestmark = pytest.mark.slow

LENGTH = 220


def call(name: str, **args: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': args})}\n</tool_call>"


class PrescribedEpisodes(EpisodeTrainer):
    """Episodes with prescribed replies, as a random model never answers; every second is wrong and calls no tool."""

    def policy(self, number: int) -> TransformersPolicy:
        policy = super().policy(number)
        policy.forced = good if number % 2 == 0 else bad
        return policy

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        self.seen: dict[str, Any] = args[1]
        return super().compute_loss(*args, **kwargs)


def good(messages: Sequence[BaseMessage]) -> str:
    return {
        "choose": call("detect_people", end=0.5),
        "decompose": call("decompose", sub_actions=[{"name": "legs swing", "candidates": ["walk", "run"]}]),
        "score": '<think>t</think>\n<scores>{"1": {"walk": 8, "run": 3}}</scores>\n<answer>walk</answer>',
    }[requested(messages)]


def bad(messages: Sequence[BaseMessage]) -> str:
    return {
        "choose": "I need no tool.",
        "decompose": call("decompose", sub_actions=[{"name": "arms swing", "candidates": ["walk", "run"]}]),
        "score": '<think>t</think>\n<scores>{"1": {"run": 8, "walk": 3}}</scores>\n<answer>run</answer>',
    }[requested(messages)]


@pytest.fixture(scope="module")
def trained(tiny_qwen: Path, walking_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A trainer after two steps, the last hidden states with their gradients, and the weights before."""
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl.trainer.grpo_config import GRPOConfig

    row = {"prompt": [{"role": "user", "content": "-"}], "video": str(walking_clip), "actions": ["walk", "run", "hug"]}
    table = datasets.Dataset.from_list([{**row, "truth": "walk", "end": 1.0}] * 4)
    model = AutoModelForImageTextToText.from_pretrained(tiny_qwen, dtype=torch.float32)
    trainer = PrescribedEpisodes(
        model=model,
        processing_class=AutoProcessor.from_pretrained(tiny_qwen),  # type: ignore[no-untyped-call]
        train_dataset=table,
        context={"frames": 4},
        args=GRPOConfig(
            output_dir=str(tmp_path_factory.mktemp("grpo")), max_steps=2, num_generations=2,
            per_device_train_batch_size=2, max_completion_length=LENGTH, learning_rate=1e-3, logging_steps=1,
            report_to="none", save_strategy="no", bf16=False, gradient_checkpointing=False, use_cpu=True,
            temperature=1.0, beta=0.0,
        ),
    )  # fmt: skip
    hidden: list[Any] = []

    def keep(module: Any, inputs: Any, output: Any) -> None:
        if output.requires_grad:
            output.retain_grad()
            hidden.append(output)

    # What comes out here at one place reaches the loss through the token after it, and nothing else.
    model.model.language_model.norm.register_forward_hook(keep)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    trainer.train()
    return trainer, hidden, before


def logged(trainer: Any, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def test_two_steps_have_a_finite_loss_and_change_the_weights(trained: Any) -> None:
    trainer, _, before = trained
    assert trainer.state.global_step == 2
    assert all(math.isfinite(loss) for loss in logged(trainer, "loss")) and len(logged(trainer, "loss")) == 2
    assert all(norm > 0 and math.isfinite(norm) for norm in logged(trainer, "grad_norm"))
    after = dict(trainer.model.named_parameters())
    assert any(not torch.equal(after[name].detach(), value) for name, value in before.items())
    assert any(not torch.equal(after[name].detach(), value) for name, value in before.items() if "visual" in name)


def test_every_reward_term_is_logged_separately(trained: Any) -> None:
    trainer, _, _ = trained
    means = {f.__name__: logged(trainer, f"rewards/{f.__name__}/mean")[0] for f in HIERARCHICAL_REWARD}
    assert means == {"accuracy_reward": 0.5, "format_reward": 1.0, "tool_reward": 0.5, "sub_action_reward": 0.5}
    assert logged(trainer, "reward")[0] == pytest.approx(2.5)
    assert logged(trainer, "episodes/forks") == [0.0, 0.0]


def test_gradient_reaches_sampled_tokens_tool_choice_included_and_no_others(trained: Any) -> None:
    trainer, hidden, _ = trained
    batch = trainer.seen
    wanted = (batch["completion_mask"] * batch["tool_mask"]).bool()
    got = hidden[-1].grad.abs().sum(-1) > 0
    assert torch.equal(got[:, -wanted.shape[1] - 1 : -1], wanted) and not got[:, : -wanted.shape[1] - 1].any()
    tokenizer = trainer.processing_class.tokenizer
    rows = [tokenizer.decode(ids[mask]) for ids, mask in zip(batch["completion_ids"], wanted, strict=True)]
    assert any('"detect_people"' in row and "<answer>walk" in row for row in rows)
    unsampled = [tokenizer.decode(ids[~mask]) for ids, mask in zip(batch["completion_ids"], wanted, strict=True)]
    assert all("Shortlists" in row and "<answer>walk</answer>" not in row for row in unsampled)


def test_there_is_one_pad_per_feature_tool_images_included(trained: Any) -> None:
    trainer, _, _ = trained
    batch = trainer.seen
    pad = trainer.processing_class.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    pads = [(batch[name] == pad).sum().item() for name in ("prompt_ids", "completion_ids")]
    assert sum(pads) == int((batch["image_grid_thw"].prod(1) // 4).sum()) and pads[1] > 0


def test_rollouts_report_the_log_probabilities_training_computes(trained: Any) -> None:
    trainer, _, _ = trained
    differences = logged(trainer, "sampling/sampling_logp_difference/max")
    assert not differences or max(differences) < 0.05


def test_trl_still_has_the_overridden_methods() -> None:
    import inspect

    from trl.trainer.grpo_trainer import GRPOTrainer

    source = inspect.getsource(GRPOTrainer._generate)
    returned = "return prompt_ids, completion_ids, tool_mask, completions, logprobs, extra_fields, images, tool_images"
    assert returned in source and list(inspect.signature(GRPOTrainer._generate).parameters) == ["self", "prompts"]
