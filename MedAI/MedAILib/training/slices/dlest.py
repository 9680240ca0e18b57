"""Training of DLEST, in two stages: the generation of slices of any site, then their translation to the target site.

Eq. 1 to 10 of the paper, with two corrections. Eq. 5 maximizes Eq. 3 over E and D, but that is a softplus loss, which
has to become small. Eq. 6 is printed with a minus before both terms, which would raise the energy of the target site;
what is minimized here is E(Z_y) − E(Z̃_y). Norms are means over the numbers of a code or a slice, so that weights mean
the same for all sizes. The learning rate falls as half a cosine over each stage. What the paper does not state is in
:class:`~MedAILib.training.slices.config.DlestSettings`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ...errors import ReadError, UsageError
from ...networks import build
from ...networks.dlest import DLEST
from ..distributed import World
from ..loop import Loop
from .config import DlestSettings, SliceRecipe
from .slices import Slices, draw_whole

_VALIDATION = 8
_VALIDATION_SEED = 1_000_003


def judged_apart(network: DLEST, noise: torch.Tensor, real: torch.Tensor, penalty: float) -> torch.Tensor:
    """Eq. 3: D is to tell codes of generated slices from those of real ones (b, 1, y, x), smoothly (R1)."""
    made = network.decoder(network.mapping(noise), noisy=True).detach()
    real = real.clone().requires_grad_()
    scores = network.discriminator(network.encoder(real))
    (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    smooth = 0.5 * penalty * slope.square().flatten(1).sum(1).mean()
    made_scores = network.discriminator(network.encoder(made))
    return functional.softplus(made_scores).mean() + functional.softplus(-scores).mean() + smooth


def judged_real(network: DLEST, noise: torch.Tensor) -> torch.Tensor:
    """Eq. 4: D is to take the codes of generated slices for those of real ones."""
    made = network.decoder(network.mapping(noise), noisy=True)
    return functional.softplus(-network.discriminator(network.encoder(made))).mean()


def kept(network: DLEST, noise: torch.Tensor, real: torch.Tensor, settings: DlestSettings) -> torch.Tensor:
    """Eq. 1 and 2: codes and slices survive the way through the autoencoder."""
    codes = network.mapping(noise).detach()
    again = network.encoder(network.decoder(codes, noisy=True))
    picture = network.decoder(network.encoder(real), noisy=True)
    return settings.latent * (codes - again).square().mean() + settings.pixel * (real - picture).abs().mean()


def translated(network: DLEST, source: torch.Tensor, target: torch.Tensor, settings: DlestSettings) -> torch.Tensor:
    """Eq. 10: low energy for codes of the target site, without leaving what the source's codes say."""
    with torch.no_grad():
        start, wanted = network.encoder(source), network.encoder(target)
    moved = network.translate(start, settings.noise, differentiable=True)
    contrast = network.energy(wanted).mean() - network.energy(moved.detach()).mean()
    back = network.encoder(network.decoder(moved, noisy=True))
    back = network.translate(back, settings.noise, uphill=True, differentiable=True)
    content, cycle = (start - moved).abs().mean(), (start - back).abs().mean()
    return contrast + settings.content * content + settings.cycle * cycle


class DlestTrainer(Loop):
    """Trains one model.

    Args:
        recipe: of the run, with the losses of DLEST.
        sources, targets: see :func:`MedAILib.training.slices.slices.split_sites`.
        held_out: to validate on; may be empty.
        output, world, report: see :class:`Loop`.

    Raises:
        UsageError: the network is another, or there are several processes.
        ReadError: slices are larger than the network's.
        ModelError: it cannot be built.
    """

    network: DLEST
    average: DLEST

    def __init__(
        self,
        recipe: SliceRecipe,
        sources: Sequence[Slices],
        targets: Sequence[Slices],
        held_out: Sequence[Slices],
        output: Path,
        world: World,
        report: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        torch.manual_seed(recipe.training.seed)
        network = build(recipe.network, recipe.arguments)
        if not isinstance(network, DLEST) or not isinstance(recipe.losses, DlestSettings):
            raise UsageError(f'{recipe.name}: the network "{recipe.network}" is not that of DLEST.')
        if world.size > 1:
            raise UsageError(f"{recipe.name}: DLEST is trained in one process. Start it without torchrun.")
        for one in (*sources, *targets, *held_out):
            if max(one.values.shape[1:]) > network.side:
                raise ReadError(
                    f"{one.file}: its slices have {' x '.join(map(str, one.values.shape[:0:-1]))} pixels, the network "
                    f"takes {network.side} x {network.side}. Choose a larger side in the recipe, or crop the volumes."
                )
        self.losses, self.sources, self.targets, self.held_out = recipe.losses, sources, targets, held_out
        self._translates = False
        super().__init__(recipe.training, network, output, world, report)

    def step(self, model: nn.Module, fraction: float) -> tuple[float, float]:
        """Three updates of the first stage, or one of the second; see :meth:`Loop.step`."""
        share = self.losses.generation
        if fraction >= share:
            self._begin_translation()
            return super().step(model, (fraction - share) / (1.0 - share))
        network, losses = self.network, self.losses
        self.set_rate(fraction / share)
        real = self._draw(0, (*self.sources, *self.targets))
        self._train_only(network.encoder, network.discriminator)
        self.update(judged_apart(network, self._noise(), real, losses.penalty))
        self._train_only(network.mapping, network.decoder)
        self.update(judged_real(network, self._noise()))
        self._train_only(network.encoder, network.decoder)
        loss, norm = self.update(kept(network, self._noise(), real, losses))
        self.advance()
        return loss, norm

    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        """Eq. 10, of the second stage."""
        return translated(self.network, self._draw(1, self.sources), self._draw(2, self.targets), self.losses)

    def details(self, fraction: float) -> dict[str, Any]:
        """The stage, for the log."""
        return {"stage": 2 if self._translates else 1}

    def _begin_translation(self) -> None:
        """From the averaged weights on, of which only the energy's go on changing; it does no harm twice."""
        if self._translates:
            return
        energy = {name: value.clone() for name, value in self.network.energy_layers.state_dict().items()}
        self.network.load_state_dict(self.average.state_dict())
        self.network.energy_layers.load_state_dict(energy)
        self._train_only(self.network.energy_layers)
        self._translates = True

    def _train_only(self, *parts: nn.Module) -> None:
        self.network.requires_grad_(False)
        for part in parts:
            part.requires_grad_(True)

    def _noise(self) -> torch.Tensor:
        return torch.randn(self.settings.batch, self.network.latent, device=self.world.device)

    def _draw(self, number: int, volumes: Sequence[Slices]) -> torch.Tensor:
        seeds = [(*seed, number) for seed in self.seeds()]
        return draw_whole(seeds, volumes, self.network.side).to(self.world.device)

    @torch.no_grad()
    def measure(self, fraction: float) -> dict[str, Any] | None:
        """Mean absolute error of the autoencoder, on the volumes held out."""
        if not self.held_out:
            return None
        seeds = [(_VALIDATION_SEED, number) for number in range(_VALIDATION)]
        real = draw_whole(seeds, self.held_out, self.network.side).to(self.world.device)
        error = (self.average.decoder(self.average.encoder(real)) - real).abs().mean()
        return {"validation": {"pixel_error": round(float(error), 5)}}
