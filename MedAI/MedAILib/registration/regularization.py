"""Regularization that is solved, not descended: the smooth field nearest to a given one.

Ehrhardt & Handels 2023, "Implicitly Solved Regularization for Learning-Based Image Registration" (MLMI 2023), Eq. 3 to
6. The loss L^d = D + σ/2 |u − ū|² pulls a displacement u toward ū = argmin ½|u − ū|² + γ R(ū) = (I − γA)⁻¹ u, which one
linear solve gives; the gradient of the loss does not see R, because ū is a constant for it (:func:`implicit_penalty`).

Operators A for R: diffusion Δ, curvature, linear elastic μΔ + (μ+λ)∇div. What differs from the paper's text:

- Curvature. The text prints A = Δ², which makes I − γΔ² indefinite (in 1D and for its γ = 5 the symbol runs from −79 to
  1). The operator of the curvature energy ½|Δu|² is −Δ², so what is solved is I + γΔ².
- Boundaries. The text solves curvature and elasticity by a discrete Fourier transform, i.e. with periodic boundaries,
  where what is left of the image pulls at what is right of it. Here ``"diffusion"`` and ``"curvature"`` take the
  discrete cosine transform (no flow through the border), and ``"elastic"``, whose mixed derivatives no cosine basis
  diagonalizes, the Fourier transform of the field continued over a margin (``boundary="periodic"``: as printed).
- Additive operator splitting (AOS, Weickert et al. 1998) is there as published, ``"aos"``: the mean over the axes of
  one-dimensional solutions with γ times the number of axes. It is an approximation, exact to first order in γ, so the
  exact solution is the default. Its tridiagonal systems are solved by a product with their inverse in place of a
  recursion, which gives the same numbers without 2n steps that wait for each other.

Lengths of 1 have no neighbors and take no part. All functions keep constants: a shift costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch.nn import functional

from ..errors import UsageError

METHODS = ("diffusion", "curvature", "elastic", "aos")


def smooth(
    u: torch.Tensor,
    method: str = "diffusion",
    gamma: float = 2.0,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    mu: float = 1.0,
    lam: float = 0.0,
    boundary: str = "free",
) -> torch.Tensor:
    """ū = (I − γA)⁻¹ u, Eq. 5 of the paper.

    The defaults of ``gamma``, ``mu`` and ``lam`` are the paper's for brains (its γ for curvature is 5).

    Args:
        u: (…, c, k, j, i) displacement, or (…, c, j, i) with a ``spacing`` of two numbers; float. The components follow
            the order of the axes and are in the unit of ``spacing``; only ``"elastic"`` cares.
        method: one of :data:`METHODS`.
        gamma: γ, strength; 0 returns the field itself. In spacing² (diffusion, elastic), spacing⁴ (curvature).
        spacing: distance of the grid points along each axis; its length says how many axes are spatial.
        mu, lam: μ and λ, the Lamé constants of ``"elastic"``.
        boundary: ``"free"``, or ``"periodic"`` for the paper's Fourier solution, ``"elastic"`` only.

    Returns:
        Same shape, type and device; differentiable, linear in ``u``.

    Raises:
        UsageError: an unknown method or boundary, or a number that makes no sense.
    """
    axes = len(spacing)
    _check(u, method, gamma, spacing, mu, lam, boundary)
    if gamma == 0:
        return u
    steps = tuple(float(step) for step in spacing)
    if method == "elastic":
        return _elastic(u, float(gamma), steps, float(mu), float(lam), boundary == "periodic")
    shape = u.shape[-axes:]
    if method == "aos":
        return _split(u, float(gamma), steps)
    key = (tuple(shape), steps, float(gamma), method == "curvature", str(u.device), u.dtype)
    return _uncosine(_cosine(u, axes) * _gain(*key), axes)


def implicit_penalty(
    u: torch.Tensor,
    method: str = "diffusion",
    gamma: float = 2.0,
    sigma: float = 1.0,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    mu: float = 1.0,
    lam: float = 0.0,
) -> torch.Tensor:
    """σ/2 |u − ū|² of Eq. 3, with ū held constant (detached), so the gradient is σ (u − ū) and smooth.

    The squared norm is the mean over batch and voxels of the squared length, as the similarities it is added to are
    means over voxels; the paper writes a norm and does not say how it is scaled. In its experiments σγ takes the part
    of the weight α of an explicit regularizer.

    Args:
        u: (n, c, k, j, i) displacement, or (n, c, j, i) with a ``spacing`` of two numbers.
        method, gamma, spacing, mu, lam: see :func:`smooth`.
        sigma: σ, weight.

    Returns:
        Scalar.
    """
    with torch.no_grad():
        target = smooth(u, method, gamma, spacing=spacing, mu=mu, lam=lam)
    component = -len(spacing) - 1
    return 0.5 * sigma * (u - target).square().sum(component).mean()


def _check(
    u: torch.Tensor, method: str, gamma: float, spacing: Sequence[float], mu: float, lam: float, boundary: str
) -> None:
    axes = len(spacing)
    if method not in METHODS:
        raise UsageError(f'Regularization must be one of {", ".join(METHODS)}, not "{method}".')
    if boundary not in ("free", "periodic") or (boundary == "periodic" and method != "elastic"):
        raise UsageError(f'The boundary of "{method}" cannot be "{boundary}".')
    if not (math.isfinite(gamma) and gamma >= 0):
        raise UsageError(f"The strength of a regularization must be 0 or more, not {gamma}.")
    if axes not in (2, 3) or min(spacing) <= 0 or u.ndim < axes + 1:
        raise UsageError(f"A field of {u.ndim} axes cannot be smoothed with a spacing of {tuple(spacing)}.")
    if method == "elastic" and (u.shape[-axes - 1] != axes or mu <= 0 or lam + 2 * mu <= 0):
        raise UsageError("Elastic regularization needs one component per axis, μ above 0 and λ above −2μ.")


# Cosine transform: no flow through the border


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _cosines(n: int, device: str, dtype: torch.dtype) -> torch.Tensor:
    """(n, n) orthonormal type-II discrete cosine transform; row f is the basis function of frequency f."""
    f, x = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None]
    basis = torch.cos(math.pi * f * (x + 0.5) / n) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis.to(device, dtype)


def _second(n: int, step: float) -> torch.Tensor:
    """(n,) eigenvalues of minus the second difference that has no flow through its ends."""
    return (2 - 2 * torch.cos(math.pi * torch.arange(n, dtype=torch.float64) / n)) / step**2


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _gain(
    shape: tuple[int, ...], steps: tuple[float, ...], gamma: float, squared: bool, device: str, dtype: torch.dtype
) -> torch.Tensor:
    """1 / (1 + γ(−Δ)) or, ``squared``, 1 / (1 + γΔ²) at each frequency."""
    laplacian = torch.zeros(shape, dtype=torch.float64)
    for axis, (n, step) in enumerate(zip(shape, steps, strict=True)):
        laplacian += _second(n, step).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return (1 / (1 + gamma * (laplacian.square() if squared else laplacian))).to(device, dtype)


def _along(u: torch.Tensor, matrix: torch.Tensor, axis: int) -> torch.Tensor:
    """A square ``matrix`` times ``u`` along a negative ``axis``."""
    if axis == -1:
        return u @ matrix.T
    rows = u.reshape(-1, u.shape[axis], math.prod(u.shape[axis + 1 :]))
    return (matrix @ rows).reshape(u.shape)


def _cosine(u: torch.Tensor, axes: int) -> torch.Tensor:
    for axis in range(-axes, 0):
        u = _along(u, _cosines(u.shape[axis], str(u.device), u.dtype), axis)
    return u


def _uncosine(u: torch.Tensor, axes: int) -> torch.Tensor:
    for axis in range(-axes, 0):
        u = _along(u, _cosines(u.shape[axis], str(u.device), u.dtype).T, axis)
    return u


# Additive operator splitting


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _line(n: int, weight: float, device: str, dtype: torch.dtype) -> torch.Tensor:
    """(n, n) inverse of I − weight · (second difference without flow through the ends)."""
    system = torch.eye(n, dtype=torch.float64) * (1 + 2 * weight)
    beside = torch.full((n - 1,), -weight, dtype=torch.float64)
    system += torch.diag(beside, 1) + torch.diag(beside, -1)
    system[0, 0] -= weight
    system[-1, -1] -= weight
    return torch.linalg.inv(system).to(device, dtype)


def _split(u: torch.Tensor, gamma: float, steps: tuple[float, ...]) -> torch.Tensor:
    """(1/m) Σ_l (I − mγA_l)⁻¹ u over the m axes l."""
    used = [axis for axis in range(-len(steps), 0) if u.shape[axis] > 1]
    if not used:
        return u
    parts = []
    for axis in used:
        weight = len(used) * gamma / steps[axis] ** 2
        parts.append(_along(u, _line(u.shape[axis], weight, str(u.device), u.dtype), axis))
    return torch.stack(parts).mean(0)


# Linear elasticity


def _margin(n: int, gamma: float, step: float, stiffness: float) -> int:
    """Points on either side until the solution has forgotten the border: it decays as exp(−x / sqrt(γ(2μ+λ)))."""
    return min(n, math.ceil(4 * math.sqrt(gamma * stiffness) / step)) if n > 1 else 0


def _elastic(
    u: torch.Tensor, gamma: float, steps: tuple[float, ...], mu: float, lam: float, periodic: bool
) -> torch.Tensor:
    axes = len(steps)
    shape = u.shape[-axes:]
    margins = [0 if periodic else _margin(n, gamma, h, 2 * mu + lam) for n, h in zip(shape, steps, strict=True)]
    field = u.reshape(-1, *u.shape[-axes - 1 :])
    if any(margins):
        pads = [m for margin in reversed(margins) for m in (margin, margin)]
        field = functional.pad(field, pads, mode="replicate")
    dims = tuple(range(-axes, 0))
    spectrum = torch.fft.rfftn(field, dim=dims)
    grid = tuple(field.shape[-axes:])
    inverse, mixed, share = _elastic_symbols(grid, steps, gamma, mu, lam, str(u.device), u.dtype)
    # Diagonal plus rank one, at each frequency: Sherman and Morrison's formula inverts the coupled system.
    scaled = spectrum * inverse
    coupled = (mixed * scaled).sum(-axes - 1, keepdim=True) * share
    field = torch.fft.irfftn(scaled - inverse * mixed * coupled, s=grid, dim=dims)
    box = tuple(slice(margin, margin + n) for margin, n in zip(margins, shape, strict=True))
    return field[(..., *box)].reshape(u.shape)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _elastic_symbols(
    shape: tuple[int, ...],
    steps: tuple[float, ...],
    gamma: float,
    mu: float,
    lam: float,
    device: str,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The system I − γA at each frequency, as diag(1/``inverse``) + mixed mixedᵀ / (…).

    ∂_l∂_l is the second difference with the symbol −s_l², s = 2 sin(ω/2) / h; ∂_l∂_m the product of two central
    differences, −(s_l c_l)(s_m c_m) with c = cos(ω/2). So −A = μ Σs² I + (μ+λ) (diag(s²(1−c²)) + v vᵀ), v = s c:
    positive semi-definite, zero only for constants.

    Returns:
        1 / diagonal and v, both (axes, …frequencies), and γ(μ+λ) / (1 + γ(μ+λ) vᵀ diagonal⁻¹ v), (1, …frequencies).
    """
    s, c = [], []
    for axis, (n, step) in enumerate(zip(shape, steps, strict=True)):
        frequencies = torch.fft.rfftfreq(n) if axis == len(shape) - 1 else torch.fft.fftfreq(n)
        half = (math.pi * frequencies.double()).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        s.append(2 * torch.sin(half) / step)
        c.append(torch.cos(half))
    squares = torch.stack(torch.broadcast_tensors(*(part.square() for part in s)))
    cosines = torch.stack(torch.broadcast_tensors(*c))
    coupling = gamma * (mu + lam)
    diagonal = 1 + gamma * mu * squares.sum(0, keepdim=True) + coupling * squares * (1 - cosines.square())
    mixed = torch.stack(torch.broadcast_tensors(*(a * b for a, b in zip(s, c, strict=True))))
    share = coupling / (1 + coupling * (mixed.square() / diagonal).sum(0, keepdim=True))
    return (1 / diagonal).to(device, dtype), mixed.to(device, dtype), share.to(device, dtype)
