from __future__ import annotations

import pytest
import torch

from MedAILib.errors import ModelError
from MedAILib.networks import build
from MedAILib.networks.unet import ResidualUNet

SMALL = {"inputs": 2, "classes": 5, "widths": [4, 8, 8], "groups": 2}


def test_output_has_one_channel_per_class_on_the_input_grid() -> None:
    assert build("residual_unet", SMALL)(torch.rand(1, 2, 8, 12, 16)).shape == (1, 5, 8, 12, 16)


def test_head_on_features_is_the_network() -> None:
    network = build("residual_unet", SMALL)
    image = torch.rand(1, 2, 8, 8, 8)
    features = network.features(image)
    assert features.shape[1] == network.head.in_channels == 4
    assert isinstance(network.head, torch.nn.Conv3d)
    assert network.head.kernel_size == (1, 1, 1)
    assert torch.equal(network.head(features), network(image))


def test_sides_must_be_multiples_of_the_stated_number() -> None:
    network = build("residual_unet", SMALL)
    assert network.multiple == 4
    with pytest.raises(RuntimeError):
        network(torch.rand(1, 2, 10, 8, 8))


def test_number_of_parameters_follows_from_the_widths() -> None:
    def conv(inputs: int, outputs: int) -> int:
        return 27 * inputs * outputs + 2 * outputs

    # stem; way down, pair of level 1; way down, pair of level 2; way up, pair of level 1; way up, finest level; head
    expected = conv(2, 4) + 3 * conv(8, 8) + conv(4, 8) + 2 * conv(8, 8)
    expected += (8 * 8 + 8) + 2 * conv(8, 8) + (8 * 4 + 4) + conv(4, 4) + (4 * 5 + 5)
    assert sum(p.numel() for p in build("residual_unet", SMALL).parameters()) == expected


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = build("residual_unet", SMALL)
    network(torch.rand(1, 2, 8, 8, 8)).square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_brightness_and_scale_of_the_image_hardly_matter() -> None:
    """The first normalization removes them, so a model does not depend on the scanner's units."""
    torch.manual_seed(0)
    network = build("residual_unet", SMALL | {"inputs": 1}).eval()
    image = torch.rand(1, 1, 16, 16, 16)
    inner = (slice(None), slice(None), slice(6, 10), slice(6, 10), slice(6, 10))
    assert torch.allclose(network(image * 1000)[inner], network(image)[inner], atol=1e-2)


def test_fine_groups_change_only_the_finest_level() -> None:
    network = ResidualUNet(1, 2, (4, 8, 8), groups=4, fine_groups=1)
    groups = {name: module.num_groups for name, module in network.named_modules() if hasattr(module, "num_groups")}
    fine = {name for name, count in groups.items() if count == 1}
    assert fine == {"stem.1", "ups.1.refine.1"}
    assert set(groups.values()) == {1, 4}


def test_unknown_network_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r'no network "other".*residual_unet'):
        build("other", {})


@pytest.mark.parametrize(
    "arguments", [{"sizes": [1]}, {"widths": [6, 6], "groups": 4}, {"widths": [-1, 2]}, {"widths": "wide"}]
)
def test_arguments_that_do_not_fit_are_a_model_error(arguments: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="residual_unet"):
        build("residual_unet", arguments)
