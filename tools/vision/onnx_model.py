"""Inference of an ONNX file: loaded on first use, on a GPU if there is one, one call at a time."""

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
"""Threads per call. Calls of one model take turns: concurrent ones would compete for the same cores."""
_GPU_FIRST: Final = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxModel:
    """A network with one input. Thread-safe.

    Raises:
        BadWeights: The path is not an existing .onnx file.
    """

    def __init__(self, weights: Path) -> None:
        if weights.suffix != ".onnx" or not weights.is_file():
            raise BadWeights(f"{weights} is not an existing .onnx file; give the path of an exported model")
        self._weights = weights
        self._loading, self._running = Lock(), Lock()
        self._session: InferenceSession | None = None

    def __call__(self, inputs: np.ndarray) -> list[np.ndarray]:
        """All outputs for one batch of inputs, converted to the model's float16 or float32."""
        (spec,) = self.session.get_inputs()
        kind = np.float16 if "float16" in spec.type else np.float32
        with self._running:
            return [np.asarray(output) for output in self.session.run(None, {spec.name: inputs.astype(kind)})]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The input shape; None for a side of any length."""
        return tuple(side if isinstance(side, int) else None for side in self.session.get_inputs()[0].shape)

    @property
    def session(self) -> InferenceSession:
        """The onnxruntime session, created on first use.

        Raises:
            BadWeights: onnxruntime cannot load the file.
        """
        with self._loading:
            if self._session is None:
                import onnxruntime

                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = THREADS
                available = onnxruntime.get_available_providers()
                providers = [each for each in _GPU_FIRST if each in available]
                try:
                    self._session = onnxruntime.InferenceSession(str(self._weights), options, providers=providers)
                except Exception as error:
                    # onnxruntime raises many unrelated exception classes for invalid files.
                    reason = " ".join(str(error).split())[:300]
                    raise BadWeights(f"{self._weights} cannot be loaded ({reason}); export it again") from error
            return self._session
