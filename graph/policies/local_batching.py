"""Batched generation in this process: turns requested at the same time share one forward pass.

One worker thread owns the model. It takes the first waiting request, collects others for a moment, pads them left
and generates one batch. A single request waits no longer than that moment.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import Context
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from ...tools.errors import MissingExtra, PolicyBusy, ToolCancelled
from ...tools.execution.cancellation import CHECK_SECONDS, exiting, start_thread
from .local_sampling import Completion, Grammars, Request, Row, Sampler

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_BATCH: Final = 32
"""Requests in one batch."""
BATCH_SECONDS: Final = 0.01
"""How long a batch waits for further requests."""


Waiting = tuple[Request, Future[Completion]]


class Engine:
    """One model, shared by all runs of this process."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        end: int,
        pad: int,
        image: int,
        never: Sequence[int],
        tokenizer: Any = None,
    ) -> None:
        """Start the worker.

        Args:
            model: A model of the architecture of Qwen2.5-VL, which takes `mm_token_type_ids`.
            end: The id that ends a turn.
            pad: The id that pads prompts.
            image: The id of image pads.
            never: Ids that must not be sampled: vision tokens, which stand for pixels that a completion does not have.
            tokenizer: The model's tokenizer, for requests with a grammar.
        """
        self.end = end
        self._model, self._pad, self._image = model, pad, image
        self._never = list(never)
        self._tokenizer = tokenizer
        self._waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self.batches: list[int] = []
        # Without the context of this caller: the worker serves all, and is cancelled only by the exit of the process.
        Context().run(start_thread, self._work)

    def submit(self, request: Request) -> Future[Completion]:
        """Queue a turn. Its future gets the completion or an error; generation stops if it is cancelled."""
        future: Future[Completion] = Future()
        self._waiting.put((request, future))
        return future

    def _work(self) -> None:
        while not exiting():
            try:
                batch = [self._waiting.get(timeout=CHECK_SECONDS)]
            except queue.Empty:
                continue
            while len(batch) < MAX_BATCH:
                try:
                    batch.append(self._waiting.get(timeout=BATCH_SECONDS))
                except queue.Empty:
                    break
            self._complete([row for waiting in batch if (row := self._row(*waiting)) is not None])

    @cached_property
    def _grammars(self) -> Grammars:
        return Grammars(self._tokenizer, self._model.config.get_text_config().vocab_size, self.end)

    def _row(self, request: Request, future: Future[Completion]) -> Row | None:
        """A request ready to generate; None if it was cancelled or its grammar is invalid."""
        if future.cancelled():
            return None
        try:
            constrained = request.grammar is not None and request.forced is None
            return Row(request, future, self._grammars.matcher(str(request.grammar)) if constrained else None)
        except Exception as error:
            _settle(future, error)
            return None

    def _complete(self, rows: Sequence[Row]) -> None:
        import torch

        if not rows:
            return
        try:
            inputs = self._batched([row.request for row in rows])
            sampler = Sampler(rows, inputs["input_ids"].shape[1], self.end, self._never)
            out = self._generate(rows, inputs, sampler)
            logprobs = sampler.logprobs()
        except torch.OutOfMemoryError as error:
            out_of_memory: str | None = str(error)[:200]
        except Exception as error:
            for row in rows:
                _settle(row.future, error)
            return
        else:
            out_of_memory = None
        if out_of_memory is not None:
            # Outside the handler, so that the tensors referenced by the traceback are freed.
            self._halve(rows, out_of_memory)
            return
        self.batches.append(len(rows))
        for row, ids, values in zip(rows, out, logprobs, strict=True):
            _settle(row.future, row.error or self._cut(ids, values, row.request))

    def _halve(self, rows: Sequence[Row], why: str) -> None:
        """Generate in two smaller batches; a turn whose beginning was already emitted cannot be restarted."""
        failed = [row for row in rows if row.emitted or len(rows) == 1]
        remedy = "out of memory; use fewer frames or pixels, or run fewer at once"
        for row in failed:
            _settle(
                row.future,
                PolicyBusy(f"{remedy}: {why}", remedy),
            )
        again = [self._row(row.request, row.future) for row in rows if row not in failed]
        ready = [row for row in again if row is not None]
        half = (len(ready) + 1) // 2
        self._complete(ready[:half])
        self._complete(ready[half:])

    def _generate(self, rows: Sequence[Row], inputs: dict[str, Any], sampler: Any) -> list[list[int]]:
        import torch
        from transformers import LogitsProcessorList

        # The sampler chooses the token, and greedy decoding takes the one it leaves: cut-offs and penalties of the
        # checkpoint's generation config affect neither the choice nor the recorded probability.
        # No inference mode: tensors that the model caches in it could not be used in training afterwards.
        with torch.no_grad(), self._stopped_if_abandoned(rows):
            out = self._model.generate(  # type: ignore[operator]
                **inputs,
                do_sample=False,
                repetition_penalty=1.0,
                max_new_tokens=max(row.request.max_new_tokens for row in rows),
                eos_token_id=self.end,
                pad_token_id=self._pad,
                logits_processor=LogitsProcessorList([sampler]),
            )
        sampled: list[list[int]] = out[:, inputs["input_ids"].shape[1] :].tolist()
        return sampled

    @contextmanager
    def _stopped_if_abandoned(self, rows: Sequence[Row]) -> Iterator[None]:
        """Stop within a forward pass, which takes minutes for a long prompt on a CPU, once no turn is waited for."""

        def check(*_: Any) -> None:
            if exiting() or all(row.future.cancelled() for row in rows):
                raise ToolCancelled("no turn of the batch is waited for")

        hooks = [module.register_forward_pre_hook(check) for module in self._model.modules()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _cut(self, row: list[int], values: list[float], request: Request) -> Completion:
        """A row up to the end of its turn or its own limit."""
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
        with_images = [r for r in requests if r.pixel_values is not None and r.image_grid_thw is not None]
        if with_images:
            inputs["pixel_values"] = torch.cat([r.pixel_values for r in with_images]).to(self._model.dtype)  # type: ignore[misc]
            inputs["image_grid_thw"] = torch.cat([r.image_grid_thw for r in with_images])  # type: ignore[misc]
        return {name: value.to(device) for name, value in inputs.items()}


def _settle(future: Future[Completion], result: Completion | Exception) -> None:
    """Set the result of a future unless it was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def require_local() -> None:
    """Check that torch and transformers are installed.

    Raises:
        MissingExtra: One of them is not installed.
    """
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra(f"transformers policies need {error.name}: pip install 'video-star[local]'") from None
