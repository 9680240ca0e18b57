"""Small networks that answer on slices, taught to draw the bright disk that is meant."""

from __future__ import annotations

import torch
from torch.nn import functional

from MedAILib.interactive.slices.card import write_slice_network
from MedAILib.networks import build
from MedAILib.training.losses import DiceCrossEntropy

TINY = {"widths": [8, 8, 12, 16], "depths": [1, 1, 1, 1], "heads": [2, 3, 4], "sides": [3, 4, 3]}
VIT = {"channels": 64, "depth": 1, "heads": 2, "whole": [0], "window": 4}
SIZE = 64
NETWORKS = {
    "sam": {"encoder": "vit_t", "size": SIZE, "channels": 32, "changes": TINY},
    "sppnet": {"encoder": "vit_t", "size": SIZE, "channels": 32, "changes": TINY},
    "mammo_sam": {"encoder": "vit_b", "size": SIZE, "channels": 128, "changes": VIT},
    "pe_med": {
        "size": {"widths": [8, 16, 20, 32], "depths": [1, 1, 1, 1], "heads": [1, 2, 5, 8], "decoder": 16}
    },
}  # fmt: skip


def disk(row, column, radius, shape=(SIZE, SIZE)):
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in shape), indexing="ij")
    return ((rows - row) ** 2 + (columns - column) ** 2 <= radius**2).float()


def fresh(name):
    torch.manual_seed(0)
    return build(name, NETWORKS[name])


def taught(name, steps):
    """A SAM or an SPPNet that has seen some disks, with intensities as it gets them."""
    network = fresh(name).train()
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 0.3  # of few steps, the last ones count
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    mean, deviation = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    for step in range(steps):
        places = torch.randint(14, 50, (4, 2))
        target = torch.stack([disk(row, column, 6 + step % 6) for row, column in places.tolist()])[:, None]
        image = (255.0 * target - mean.reshape(3, 1, 1)) / deviation.reshape(3, 1, 1)
        points = places.flip(1)[:, None].float()
        labels = torch.ones(4, 1, dtype=torch.long)
        logits = network(image, points, labels)
        wanted = functional.interpolate(target, logits.shape[2:], mode="area").expand_as(logits) > 0.5
        loss = DiceCrossEntropy()(torch.stack([torch.zeros_like(logits), logits], 1), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def written(network, name, folder, **more):
    card = {"name": folder.name, "network": {"name": name, "arguments": NETWORKS[name]}, "trained": True}
    return write_slice_network(network, folder, {**card, **more})
