"""Generation in this process: runs that ask at the same time share one forward pass.

One worker thread owns the model. It takes the first request that waits, gathers others for a moment, pads them on the
left to one batch and generates; a run alone waits no longer than that moment.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from ...tools.errors import MissingExtra, PolicyBusy, PolicyUnavailable

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MOST: Final = 32
"""Requests in one batch."""
MOMENT: Final = 0.01
"""Seconds for which a batch waits for company."""
CACHE: Final = 256 * 1024**2
"""Bytes of compiled grammars to keep: those of a run take about 10 MB."""


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
    grammar: str | None = None
    """EBNF, as xgrammar reads it, that the turn keeps to; None for free text. Forced tokens are not held to it."""
    on_token: Callable[[int], None] | None = None
    """Called in the worker with each id as it is sampled, the end of the turn included; it must return at once."""


@dataclass(frozen=True)
class Completion:
    """What was sampled."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural log-probability of each id under the distribution that it was sampled from: at the request's temperature
    (at 1 where that is 0), without vision tokens, and without what the request's grammar forbids at that place."""


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
            model: A Qwen2.5-VL-like model that takes `mm_token_type_ids`.
            end: The id that ends a turn.
            pad: The id to fill up with.
            image: The id of image pads.
            never: Ids that must not be sampled: vision tokens stand for pixels that a completion does not have.
            tokenizer: The model's tokenizer, for requests with a grammar.
        """
        self.end = end
        self._model, self._pad, self._image = model, pad, image
        self._never = list(never)
        self._tokenizer = tokenizer
        self._waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self.batches: list[int] = []
        threading.Thread(target=self._work, daemon=True, name="video-star-engine").start()

    def submit(self, request: Request) -> Future[Completion]:
        """Queue a turn; its future holds the completion, or an error. One that is cancelled is generated no further."""
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
            self._answer([row for waiting in batch if (row := self._row(*waiting)) is not None])

    @cached_property
    def _grammars(self) -> Grammars:
        return Grammars(self._tokenizer, self._model.config.get_text_config().vocab_size, self.end)

    def _row(self, request: Request, future: Future[Completion]) -> Row | None:
        """A request ready to generate; None where it is no longer wanted or its grammar cannot be used."""
        if future.cancelled():
            return None
        try:
            held = request.grammar is not None and request.forced is None
            return Row(request, future, self._grammars.matcher(str(request.grammar)) if held else None)
        except Exception as error:
            _settle(future, error)
            return None

    def _answer(self, rows: Sequence[Row]) -> None:
        import torch

        if not rows:
            return
        try:
            inputs = self._batched([row.request for row in rows])
            sampler = _sampler(rows, inputs["input_ids"].shape[1], self.end, self._never)
            out = self._generate(rows, inputs, sampler)
            logprobs = sampler.logprobs()
        except torch.OutOfMemoryError as error:
            full: str | None = str(error)[:200]
        except Exception as error:
            for row in rows:
                _settle(row.future, error)
            return
        else:
            full = None
        if full is not None:
            # Only here is the error gone, and with it the tensors of the frames that it held.
            self._halve(rows, full)
            return
        self.batches.append(len(rows))
        for row, ids, values in zip(rows, out, logprobs, strict=True):
            _settle(row.future, row.error or self._cut(ids, values, row.request))

    def _halve(self, rows: Sequence[Row], why: str) -> None:
        """Generate in two smaller batches; a turn of which somebody heard the beginning cannot begin again."""
        lost = [row for row in rows if row.told or len(rows) == 1]
        for row in lost:
            _settle(
                row.future,
                PolicyBusy(
                    f"too little memory for this turn; give fewer frames or pixels, or run fewer at once: {why}"
                ),
            )
        again = [self._row(row.request, row.future) for row in rows if row not in lost]
        ready = [row for row in again if row is not None]
        half = (len(ready) + 1) // 2
        self._answer(ready[:half])
        self._answer(ready[half:])

    def _generate(self, rows: Sequence[Row], inputs: dict[str, Any], sampler: Any) -> list[list[int]]:
        import torch
        from transformers import LogitsProcessorList

        # The sampler chooses, and leaves one token to be greedy about: what a checkpoint's own settings would cut off
        # or penalise is then in neither the choice nor the recorded probability.
        # Not inference mode: what a model caches there could not be used in training afterwards.
        with torch.no_grad():
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


class Row:
    """One request of a batch while it is generated."""

    def __init__(self, request: Request, future: Future[Completion], matcher: Any = None) -> None:
        """`matcher`: xgrammar's, at the beginning of the turn."""
        self.request, self.future, self.matcher = request, future, matcher
        self.error: Exception | None = None
        self.told = False
        self._open = True

    def must(self, step: int, end: int) -> int | None:
        """The id that this step must give, or None to sample."""
        if step >= self.request.max_new_tokens or self.error or self.future.cancelled():
            return end
        if self.request.forced is None:
            return None
        return self.request.forced[step] if step < len(self.request.forced) else end

    @property
    def heard(self) -> bool:
        """Whether somebody must be told of the id just sampled: a listener, or the grammar."""
        return self._open and (self.matcher is not None or self.request.on_token is not None)

    def hear(self, step: int, token: int, end: int) -> None:
        """Take the id just sampled. What a listener raises fails its own turn."""
        if step >= self.request.max_new_tokens or self.future.cancelled():
            self._open = False
            return
        self._open = token != end
        try:
            if self.matcher is not None and not self.matcher.accept_token(token):
                raise PolicyUnavailable("the grammar of a turn admits no token here; give one that can be completed")
            if self.request.on_token is not None:
                self.told = True
                self.request.on_token(token)
        except Exception as error:
            self.error, self._open = error, False


def _sampler(rows: Sequence[Row], width: int, end: int, never: Sequence[int]) -> Any:
    """A logits processor that samples: it leaves the chosen token of each row as the only one possible.

    It keeps one log-probability a token, not the scores: those of a turn take a gigabyte at Qwen's 152 thousand tokens.
    """
    import torch
    from transformers import LogitsProcessor

    class Sampler(LogitsProcessor):
        def __init__(self) -> None:
            self._taken: list[torch.Tensor] = []
            self._warmth: torch.Tensor | None = None

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            step = input_ids.shape[1] - width
            scores = scores.float()
            scores[:, never] = float("-inf")
            self._forbid(scores)
            if self._warmth is None:
                warmth = [[row.request.temperature] for row in rows]
                self._warmth = torch.tensor(warmth, device=scores.device)
            logprobs = torch.log_softmax(scores / self._warmth.where(self._warmth > 0, 1.0), dim=-1)
            chosen = logprobs.argmax(dim=-1, keepdim=True)
            if any(row.request.temperature > 0 for row in rows):
                chosen = torch.where(self._warmth > 0, _drawn(logprobs.exp()), chosen)
            for index, row in enumerate(rows):
                if (token := row.must(step, end)) is not None:
                    chosen[index] = token
            self._taken.append(logprobs.gather(1, chosen))
            if any(row.heard for row in rows):
                for row, token in zip(rows, chosen[:, 0].tolist(), strict=True):
                    if row.heard:
                        row.hear(step, token, end)
            return torch.full_like(scores, float("-inf")).scatter_(1, chosen, 0.0)

        def _forbid(self, scores: torch.Tensor) -> None:
            held = [index for index, row in enumerate(rows) if row.matcher is not None and row.heard]
            if not held:
                return
            import xgrammar

            allowed = xgrammar.allocate_token_bitmask(len(rows), scores.shape[1])
            for index in held:
                rows[index].matcher.fill_next_token_bitmask(allowed, index)
            xgrammar.apply_token_bitmask_inplace(scores, allowed.to(scores.device), indices=held)

        def logprobs(self) -> list[list[float]]:
            """(rows, new tokens)."""
            values: list[list[float]] = torch.cat(self._taken, dim=1).tolist()
            return values

    return Sampler()


def _drawn(probabilities: torch.Tensor) -> torch.Tensor:
    """(rows, 1) indices drawn from (rows, tokens): on a CPU in a fourth of the time of `torch.multinomial`."""
    import torch

    sums = probabilities.cumsum(dim=-1, dtype=torch.float64)
    points = torch.rand(len(sums), 1, dtype=torch.float64, device=sums.device) * sums[:, -1:]
    return torch.searchsorted(sums, points, right=True).clamp_(max=sums.shape[1] - 1)


class Grammars:
    """Compiled grammars of one tokenizer; the last ones are kept."""

    def __init__(self, tokenizer: Any, vocabulary: int, end: int) -> None:
        """Read the tokenizer's vocabulary; `vocabulary` is the number of scores that the model gives.

        Raises:
            MissingExtra: xgrammar is not installed.
        """
        try:
            import xgrammar
        except ImportError:
            raise MissingExtra("structured turns need xgrammar: pip install 'video-star[local]'") from None
        self._matcher = xgrammar.GrammarMatcher
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=[end])
        self._compiler = xgrammar.GrammarCompiler(info, cache_limit_bytes=CACHE)

    def matcher(self, grammar: str) -> Any:
        """A matcher at the beginning of a turn.

        Raises:
            PolicyUnavailable: The grammar cannot be read.
        """
        try:
            return self._matcher(self._compiler.compile_grammar(grammar))
        except RuntimeError as error:
            raise PolicyUnavailable(
                f"the grammar of a turn is no EBNF that xgrammar reads: {str(error)[:300]}"
            ) from None


def _settle(future: Future[Completion], result: Completion | Exception) -> None:
    """Give a future its result, unless it was cancelled meanwhile."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


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
