"""How a network in an ONNX file is run: read at first use, on a GPU where there is one, one look at a time."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import BadWeights
from ..execution.executor import processors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

THREADS: Final = min(processors(), 4)
"""Threads of one look. Looks of one model take turns: more at a time would fight over the same cores."""
_GPU_FIRST: Final = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxModel:
    """A network of one input. Safe to share between threads.

    Raises:
        BadWeights: There is no .onnx file at that path.
    """

    def __init__(self, weights: Path) -> None:
        if weights.suffix != ".onnx" or not weights.is_file():
            raise BadWeights(f"{weights} is no .onnx file that exists; give the path of an exported model")
        self._weights = weights
        self._reading, self._looking = Lock(), Lock()
        self._session: InferenceSession | None = None

    def __call__(self, inputs: np.ndarray) -> list[np.ndarray]:
        """All outputs for one batch of inputs, floats of either width."""
        (taken,) = self.session.get_inputs()
        kind = np.float16 if "float16" in taken.type else np.float32
        with self._looking:
            return [np.asarray(output) for output in self.session.run(None, {taken.name: inputs.astype(kind)})]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape it takes; None for a side that may have any length."""
        return tuple(side if isinstance(side, int) else None for side in self.session.get_inputs()[0].shape)

    @property
    def session(self) -> InferenceSession:
        """The session of onnxruntime.

        Raises:
            BadWeights: The file is nothing that onnxruntime can run.
        """
        with self._reading:
            if self._session is None:
                import onnxruntime

                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = THREADS
                here = onnxruntime.get_available_providers()
                providers = [each for each in _GPU_FIRST if each in here]
                try:
                    self._session = onnxruntime.InferenceSession(str(self._weights), options, providers=providers)
                except Exception as error:
                    # onnxruntime has an exception for each way in which a file is no model, without a common root.
                    reason = " ".join(str(error).split())[:300]
                    raise BadWeights(f"{self._weights} cannot be read ({reason}); export it anew") from error
            return self._session
