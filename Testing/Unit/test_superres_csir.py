"""C-SIR: the network, its loss, and its training on one patient's stacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from MedAILib.errors import UsageError
from MedAILib.networks.csir import CSIR
from MedAILib.spatial import resample
from MedAILib.superres import csir
from MedAILib.superres.alignment import Measured
from MedAILib.superres.methods import METHODS
from MedAILib.superres.target import Target
from Unit.registration_tools import single_thread
from Unit.stack_tools import SIDE, box, grid, motions, psnr, sampled, stack, three_stacks


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


def measured(axis: int, motion: np.ndarray | None = None) -> Measured:
    return Measured.of(stack(axis, motion), axis, box(), np.eye(4) if motion is None else motion, torch.device("cpu"))


@pytest.mark.parametrize("ratio", [2, 3, 4, 5])
def test_the_network_begins_as_interpolation_that_moves_nothing(ratio: int) -> None:
    network = CSIR(ratio, 4)
    ramp = torch.arange(6.0).view(1, 1, 6, 1, 1).expand(1, 1, 6, 5, 4)
    found = network(ramp)
    assert found.shape == (1, 1, 6 * ratio, 5, 4)
    centers = (torch.arange(6 * ratio) + 0.5) / ratio - 0.5
    assert torch.allclose(found[0, 0, ratio:-ratio, 2, 2], centers[ratio:-ratio], atol=1e-5)


def test_the_network_is_the_papers() -> None:
    network = CSIR()
    convolutions = [m for m in network.modules_.modules() if isinstance(m, torch.nn.Conv3d)]
    assert network.ratio == 4 and len(convolutions) == 3 * 6
    assert {m.kernel_size for m in convolutions} == {(3, 3, 3)}
    assert network(torch.rand(1, 1, 5, 8, 8)).shape == (1, 1, 20, 8, 8)


def test_outside_the_mask_the_output_is_the_deconvolutions() -> None:
    network = CSIR(4, 4)
    torch.nn.init.normal_(network.tail.weight)
    slices, mask = torch.rand(1, 1, 4, 8, 8), torch.zeros(1, 1, 16, 8, 8)
    mask[..., :4] = 1.0
    found, base = network(slices, mask), network.enlarged(slices)
    assert torch.equal(found[..., 4:], base[..., 4:])
    assert not torch.allclose(found[..., :4], base[..., :4])


def test_the_comparison_sees_only_what_was_acquired() -> None:
    one = measured(0)
    some = replace(one, slices=one.slices.part(2, 1), values=one.values[2:3])
    output = torch.rand(SIDE, SIDE, SIDE, requires_grad=True)
    (gradient,) = torch.autograd.grad(csir.comparison(output, Target((SIDE,) * 3, grid()), [some]), output)
    seen = gradient.abs().amax((1, 2)) > 0
    assert seen.nonzero().flatten().tolist() == [8, 9, 10, 11]
    (gradient,) = torch.autograd.grad(csir.smoothness(output), output)
    assert bool((gradient.abs().amax((1, 2)) > 0).all())


def test_the_comparison_is_small_only_where_the_output_lies_right() -> None:
    target = Target((SIDE,) * 3, grid())
    truth = torch.from_numpy(sampled(grid(), (SIDE,) * 3).astype(np.float32))
    stacks = [measured(axis, motion) for axis, motion in enumerate(motions())]
    right = float(csir.comparison(truth, target, stacks))
    unmoved = [replace(one, motions=(np.eye(4),)) for one in stacks]
    assert right < 2.0
    assert float(csir.comparison(truth, target, unmoved)) > 10.0 * right


def test_a_box_of_thin_slices_lies_where_its_thick_slices_lie() -> None:
    motion = motions()[1]
    one = csir.Input.of(measured(1, motion), 4)
    start, shape = (2, 6, 5), (4, 20, 22)
    target = one.thin(start, shape)
    output = torch.from_numpy(sampled(target.affine, target.shape).astype(np.float32))
    thick = output.view(4, 4, 20, 22).mean(1)
    assert float((thick - one.stack.values[2:6, 6:26, 5:27]).abs().max()) < 1.5
    assert float(csir.comparison(output, target, [one.stack])) < 1.0


def test_the_papers_own_slices_are_every_fourth() -> None:
    assert csir.nearest_slices(np.arange(12)[:, None]).ravel().tolist() == [2, 6, 10]


@pytest.mark.slow
def test_one_patients_stacks_give_more_than_one_stack_and_than_the_mean() -> None:
    problem = three_stacks(noise=1.0, budget=25.0)
    found = csir.solve(problem, "cpu", lambda done: None)
    images = [problem.image, *(other.image for other in problem.others)]
    trilinear = [resample(image, (SIDE,) * 3, grid(), antialias=False).array for image in images]
    assert found.method == "csir" and found.array.shape == (SIDE,) * 3
    assert ("adapted", csir.ADAPTED) in found.notes
    assert psnr(found.array) > psnr(trilinear[0]) + 1.0
    assert psnr(found.array) > psnr(np.mean(trilinear, 0)) + 1.0


def test_methods_that_join_stacks_are_not_bent_to_the_first_one_alone() -> None:
    joining = [method for method in METHODS.values() if method.needs == "stack"]
    assert {method.name for method in joining} == {"csir", "orthogonal"}
    assert not any(method.consistent for method in joining)


def test_a_stop_still_gives_a_whole_volume() -> None:
    found = csir.solve(three_stacks(budget=0.0), "cpu", lambda done: None, lambda: True)
    assert np.isfinite(found.array).all() and psnr(found.array) > 15.0


def test_one_stack_alone_is_refused() -> None:
    with pytest.raises(UsageError, match="further stacks"):
        csir.solve(replace(three_stacks(), others=()), "cpu", lambda done: None)
