"""Sampling in this process: requests, completions, and the sampler with its constraints by grammar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...tools.errors import MissingExtra, PolicyUnavailable

if TYPE_CHECKING:
    import torch

GRAMMAR_CACHE_BYTES: Final = 256 * 1024**2
"""Size of the cache of compiled grammars; those of one run take about 10 MB."""


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
    """Tokens to give instead of sampled ones, for tests and to score a given text; None to sample."""
    grammar: str | None = None
    """EBNF for xgrammar that constrains the turn; None for no constraint. Not applied to forced tokens."""
    on_token: Callable[[int], None] | None = None
    """Called in the worker thread with each sampled id, the end of the turn included; must return at once."""


@dataclass(frozen=True)
class Completion:
    """A sampled turn."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural log-probability of each id under the distribution it was sampled from: at the temperature of the request
    (1 if that is 0), without vision tokens, and without the tokens that the grammar of the request excludes there."""


class Row:
    """One request of a batch during generation."""

    def __init__(self, request: Request, future: Future[Completion], matcher: Any = None) -> None:
        """`matcher` is xgrammar's, at the start of the turn."""
        self.request, self.future, self.matcher = request, future, matcher
        self.error: Exception | None = None
        self.emitted = False
        self._open = True

    def prescribed(self, step: int, end: int) -> int | None:
        """The id to give at this step, or None to sample."""
        if step >= self.request.max_new_tokens or self.error or self.future.cancelled():
            return end
        if self.request.forced is None:
            return None
        return self.request.forced[step] if step < len(self.request.forced) else end

    @property
    def has_listener(self) -> bool:
        """Whether the next sampled id must be passed on, to the grammar or to `on_token`."""
        return self._open and (self.matcher is not None or self.request.on_token is not None)

    def notify(self, step: int, token: int, end: int) -> None:
        """Pass on the id just sampled. An exception of a listener fails its own turn only."""
        if step >= self.request.max_new_tokens or self.future.cancelled():
            self._open = False
            return
        self._open = token != end
        try:
            if self.matcher is not None and not self.matcher.accept_token(token):
                raise PolicyUnavailable("the grammar of a turn allows no token here; give one that can be completed")
            if self.request.on_token is not None:
                self.emitted = True
                self.request.on_token(token)
        except Exception as error:
            self.error, self._open = error, False


class Sampler:
    """A logits processor that samples: it leaves the chosen token of each row as the only possible one.

    It keeps one log-probability per token instead of the scores, which take a gigabyte a turn for Qwen's vocabulary of
    152 thousand tokens.
    """

    def __init__(self, rows: Sequence[Row], width: int, end: int, never: Sequence[int]) -> None:
        """Sample for `rows`, whose padded prompts have `width` tokens; `never` are ids that must not be sampled."""
        self._rows, self._width, self._end, self._never = rows, width, end, list(never)
        self._chosen_logprobs: list[torch.Tensor] = []
        self._temperature: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (rows, tokens) that are 0 for the chosen token of each row and -inf elsewhere."""
        import torch

        scores = scores.float()
        scores[:, self._never] = float("-inf")
        self._mask_by_grammar(scores)
        if self._temperature is None:
            self._temperature = torch.tensor([[row.request.temperature] for row in self._rows], device=scores.device)
        positive = self._temperature > 0
        logprobs = torch.log_softmax(scores / self._temperature.where(positive, 1.0), dim=-1)
        chosen = logprobs.argmax(dim=-1, keepdim=True)
        if any(row.request.temperature > 0 for row in self._rows):
            chosen = torch.where(positive, _drawn(logprobs.exp()), chosen)
        self._commit(input_ids.shape[1] - self._width, chosen, logprobs)
        return torch.full_like(scores, float("-inf")).scatter_(1, chosen, 0.0)

    def _commit(self, step: int, chosen: torch.Tensor, logprobs: torch.Tensor) -> None:
        """Replace chosen tokens by prescribed ones, record the log-probabilities, and notify the rows."""
        for index, row in enumerate(self._rows):
            if (token := row.prescribed(step, self._end)) is not None:
                chosen[index] = token
        self._chosen_logprobs.append(logprobs.gather(1, chosen))
        if any(row.has_listener for row in self._rows):
            for row, token in zip(self._rows, chosen[:, 0].tolist(), strict=True):
                if row.has_listener:
                    row.notify(step, token, self._end)

    def _mask_by_grammar(self, scores: torch.Tensor) -> None:
        constrained = [i for i, row in enumerate(self._rows) if row.matcher is not None and row.has_listener]
        if not constrained:
            return
        import xgrammar

        allowed = xgrammar.allocate_token_bitmask(len(self._rows), scores.shape[1])
        for index in constrained:
            self._rows[index].matcher.fill_next_token_bitmask(allowed, index)
        xgrammar.apply_token_bitmask_inplace(scores, allowed.to(scores.device), indices=constrained)

    def logprobs(self) -> list[list[float]]:
        """Log-probability of each sampled token: (rows, new tokens)."""
        import torch

        values: list[list[float]] = torch.cat(self._chosen_logprobs, dim=1).tolist()
        return values


def _drawn(probabilities: torch.Tensor) -> torch.Tensor:
    """Indices (rows, 1) drawn from probabilities (rows, tokens); on a CPU four times as fast as `torch.multinomial`."""
    import torch

    sums = probabilities.cumsum(dim=-1, dtype=torch.float64)
    points = torch.rand(len(sums), 1, dtype=torch.float64, device=sums.device) * sums[:, -1:]
    return torch.searchsorted(sums, points, right=True).clamp_(max=sums.shape[1] - 1)


class Grammars:
    """Compiled grammars of one tokenizer, the latest of them cached."""

    def __init__(self, tokenizer: Any, vocabulary: int, end: int) -> None:
        """Read the vocabulary of the tokenizer; `vocabulary` is the number of scores of the model.

        Raises:
            MissingExtra: xgrammar is not installed.
        """
        try:
            import xgrammar
        except ImportError:
            raise MissingExtra("constrained output needs xgrammar: pip install 'video-star[local]'") from None
        self._matcher = xgrammar.GrammarMatcher
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=[end])
        self._compiler = xgrammar.GrammarCompiler(info, cache_limit_bytes=GRAMMAR_CACHE_BYTES)

    def matcher(self, grammar: str) -> Any:
        """A matcher at the start of a turn.

        Raises:
            PolicyUnavailable: The grammar cannot be parsed.
        """
        try:
            return self._matcher(self._compiler.compile_grammar(grammar))
        except RuntimeError as error:
            raise PolicyUnavailable(f"xgrammar cannot parse the grammar of a turn: {str(error)[:300]}") from None
