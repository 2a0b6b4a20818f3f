"""Training with the norms of layers in view, in plain PyTorch.

- :class:`SpectralPenalty` adds the norms of a model's convolutions to the loss.
- :func:`spectral_norm` registers a parametrization that divides a weight by what its layer's norm exceeds a
  target by.
- :func:`finish` rescales weights by what the core proves, so that every layer is at most its target for
  certain.

What is computed on tensors is power iteration in floating point: estimates. Only :func:`finish` proves
anything.
"""

from sigmax.torch.finishing import finish
from sigmax.torch.parametrization import SpectralNorm, spectral_norm
from sigmax.torch.penalty import SpectralPenalty

__all__ = ["SpectralNorm", "SpectralPenalty", "finish", "spectral_norm"]
