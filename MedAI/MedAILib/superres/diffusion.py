"""Noise schedule of a diffusion model, and its deterministic sampler."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

STEPS = 1000
"""T of DDPM (Ho et al. 2020)."""


class Schedule:
    """Linear β from 1e-4 to 0.02, as in DDPM; spread out accordingly for other T.

    Wang et al. 2023 (HiFi-Diff) print Eq. 2 as √ᾱ·x0 + (1 − ᾱ)·ε; the factor of ε must be √(1 − ᾱ), or the variance of
    the left-hand side is missed. They do not give β.

    Args:
        steps: T.

    Attributes:
        alphas: ᾱ_t, (T,) float64, falling.
    """

    def __init__(self, steps: int = STEPS) -> None:
        scale = STEPS / steps
        betas = np.minimum(np.linspace(1e-4 * scale, 0.02 * scale, steps), 0.999)
        self.alphas = np.cumprod(1.0 - betas)

    @property
    def steps(self) -> int:
        return len(self.alphas)

    def noisy(self, clean: torch.Tensor, noise: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """x_t of x_0 and ε (b, …) at steps (b,), which count from 0."""
        alpha = torch.as_tensor(self.alphas, dtype=torch.float32, device=clean.device)[time]
        alpha = alpha.view(-1, *[1] * (clean.ndim - 1))
        return alpha.sqrt() * clean + (1.0 - alpha).sqrt() * noise

    def sample(
        self,
        predict: Callable[[torch.Tensor, int], torch.Tensor],
        noise: torch.Tensor,
        count: int = 100,
        check: Callable[[float], None] = lambda done: None,
        limits: tuple[float, float] = (-1.0, 1.2),
        first: int | None = None,
    ) -> torch.Tensor:
        """DDIM with η = 0 (Song et al. 2021): the same noise always gives the same image.

        As in DDPM's code, each estimate of the image is kept within limits; where noise is nearly all there is, a small
        error of ε is a large one of the image.

        Args:
            predict: ε of x_t at a step, 0 to T − 1.
            noise: x_T, or x_t of ``first``.
            count: steps taken, evenly spread.
            check: gets the done share after each; what it raises ends the sampling.
            limits: of an image's values.
            first: the step to begin at; None: T − 1.

        Returns:
            x_0.
        """
        last = self.steps - 1 if first is None else first
        times = np.unique(np.linspace(0, last, min(count, last + 1)).round().astype(int))[::-1]
        current = noise
        for number, time in enumerate(times):
            alpha = self.alphas[time]
            before = self.alphas[times[number + 1]] if number + 1 < len(times) else 1.0
            epsilon = predict(current, int(time))
            clean = ((current - (1.0 - alpha) ** 0.5 * epsilon) / alpha**0.5).clamp(*limits)
            epsilon = (current - alpha**0.5 * clean) / (1.0 - alpha) ** 0.5
            current = before**0.5 * clean + (1.0 - before) ** 0.5 * epsilon
            check((number + 1) / len(times))
        return current
