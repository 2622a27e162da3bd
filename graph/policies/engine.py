"""Generation in this process: runs that ask at the same time share one forward pass.

One worker thread owns the model. It takes the first request that waits, gathers others for a moment, pads them on the
left to one batch and generates; a run alone waits no longer than that moment.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...tools.errors import MissingExtra

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MOST: Final = 32
"""Requests in one batch."""
MOMENT: Final = 0.01
"""Seconds for which a batch waits for company."""


@dataclass(frozen=True)
class Request:
    """One turn to generate."""

    ids: tuple[int, ...]
    """The prompt, image pads expanded."""
    pixel_values: torch.Tensor | None
    """(patches, values) of all images in order, as the processor gives them; None without images."""
    image_grid_thw: torch.Tensor | None
    """(images, 3) grid of each image."""
    temperature: float
    max_new_tokens: int
    forced: tuple[int, ...] | None = None
    """Tokens the model must give, whatever it would choose: for tests, and to score a given text. None to sample."""


@dataclass(frozen=True)
class Completion:
    """What was sampled."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural log-probability of each id at the request's temperature, image and video tokens excluded."""


class Engine:
    """One model, shared by all runs of this process."""

    def __init__(self, model: PreTrainedModel, *, end: int, pad: int, image: int, never: Sequence[int]) -> None:
        """Start the worker.

        Args:
            model: A Qwen2.5-VL-like model that takes `mm_token_type_ids`.
            end: The id that ends a turn.
            pad: The id to fill up with.
            image: The id of image pads.
            never: Ids that must not be sampled: vision tokens stand for pixels that a completion does not have.
        """
        self.end = end
        self._model, self._pad, self._image = model, pad, image
        self._never = list(never)
        self._waiting: queue.SimpleQueue[tuple[Request, Future[Completion]]] = queue.SimpleQueue()
        self.batches: list[int] = []
        threading.Thread(target=self._work, daemon=True, name="video-star-engine").start()

    def submit(self, request: Request) -> Future[Completion]:
        """Queue a turn; its future holds the completion, or the error of its batch."""
        future: Future[Completion] = Future()
        self._waiting.put((request, future))
        return future

    def _work(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < MOST:
                try:
                    batch.append(self._waiting.get(timeout=MOMENT))
                except queue.Empty:
                    break
            for temperature in dict.fromkeys(request.temperature for request, _ in batch):
                self._answer([item for item in batch if item[0].temperature == temperature])

    def _answer(self, batch: Sequence[tuple[Request, Future[Completion]]]) -> None:
        running = [(request, future) for request, future in batch if future.set_running_or_notify_cancel()]
        if not running:
            return
        try:
            done = self._generate([request for request, _ in running])
        except Exception as error:
            for _, future in running:
                future.set_exception(error)
            return
        self.batches.append(len(running))
        for (_, future), completion in zip(running, done, strict=True):
            future.set_result(completion)

    def _generate(self, requests: Sequence[Request]) -> list[Completion]:
        import torch
        from transformers import LogitsProcessorList

        inputs = self._batched(requests)
        width, temperature = inputs["input_ids"].shape[1], requests[0].temperature
        watch = _watcher(requests, width, temperature, self.end)
        sampling: dict[str, Any] = (
            {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        )
        # Not inference mode: what a model caches there could not be used in training afterwards.
        with torch.no_grad():
            out = self._model.generate(  # type: ignore[operator]
                **inputs,
                **sampling,
                max_new_tokens=max(request.max_new_tokens for request in requests),
                suppress_tokens=self._never,
                eos_token_id=self.end,
                pad_token_id=self._pad,
                logits_processor=LogitsProcessorList([watch]),
            )
        sampled = out[:, width:].tolist()
        logprobs = watch.logprobs(out)
        return [self._cut(row, values, r) for row, values, r in zip(sampled, logprobs, requests, strict=True)]

    def _cut(self, row: list[int], values: list[float], request: Request) -> Completion:
        """A row up to the end of its turn, or its own limit."""
        length = row.index(self.end) + 1 if self.end in row else len(row)
        length = min(length, request.max_new_tokens)
        return Completion(tuple(row[:length]), tuple(values[:length]))

    def _batched(self, requests: Sequence[Request]) -> dict[str, Any]:
        import torch

        width = max(len(request.ids) for request in requests)
        device = self._model.device
        ids = torch.full((len(requests), width), self._pad)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(requests):
            ids[row, width - len(request.ids) :] = torch.tensor(request.ids)
            mask[row, width - len(request.ids) :] = 1
        inputs: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": mask,
            "mm_token_type_ids": ((ids == self._image) & (mask == 1)).int(),
        }
        pictured = [r for r in requests if r.pixel_values is not None and r.image_grid_thw is not None]
        if pictured:
            inputs["pixel_values"] = torch.cat([r.pixel_values for r in pictured]).to(self._model.dtype)  # type: ignore[misc]
            inputs["image_grid_thw"] = torch.cat([r.image_grid_thw for r in pictured])  # type: ignore[misc]
        return {name: value.to(device) for name, value in inputs.items()}


def _watcher(requests: Sequence[Request], width: int, temperature: float, end: int) -> Any:
    """A logits processor that keeps the log-probability of what is sampled, and holds forced turns to their tokens.

    It keeps one step of scores only: those of a whole turn would take a gigabyte at Qwen's 152 thousand tokens.
    """
    import torch
    from transformers import LogitsProcessor

    class Watch(LogitsProcessor):
        def __init__(self) -> None:
            self._last: torch.Tensor | None = None
            self._taken: list[torch.Tensor] = []

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            if self._last is not None:
                self._taken.append(self._last.gather(1, input_ids[:, -1:]))
            self._last = torch.log_softmax(scores.float() / (temperature or 1.0), dim=-1)
            step = input_ids.shape[1] - width
            for row, request in enumerate(requests):
                if request.forced is not None:
                    token = request.forced[step] if step < len(request.forced) else end
                    scores = scores.clone()
                    scores[row] = float("-inf")
                    scores[row, token] = 0.0
            return scores

        def logprobs(self, out: torch.Tensor) -> list[list[float]]:
            """(rows, new tokens)."""
            if self._last is None:
                return [[] for _ in range(len(out))]
            last = self._last.gather(1, out[:, -1:])
            values: list[list[float]] = torch.cat([*self._taken, last], dim=1).tolist()
            return values

    return Watch()


def require_local() -> None:
    """Raise unless torch and transformers are installed.

    Raises:
        MissingExtra: One of them is not.
    """
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra(f"a policy in this process needs {error.name}: pip install 'video-star[local]'") from None
