"""The engines that are measured, each as a function from a volume and a network to labels.

Imports are inside: a process measures one contender and must not pay for another's libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

OVERLAP = 0.5
COARSE = 4


class Network(nn.Module):
    """Two 3x3x3 convolutions and a 1x1x1 head: so little work that an engine's own share shows.

    The convolutions have no bias, so empty space has no features, and the head's bias makes that class 0.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv3d(1, width, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv3d(width, width, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Conv3d(width, classes, 1)
        bias = torch.zeros(classes)
        bias[0] = 0.01
        self.head.bias = nn.Parameter(bias)

    def features(self, patch: torch.Tensor) -> torch.Tensor:
        """(n, 1, k, j, i) to (n, width, k, j, i)."""
        return self.body(patch)

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        """(n, 1, k, j, i) to logits (n, classes, k, j, i)."""
        return self.head(self.features(patch))


@dataclass(frozen=True)
class Task:
    """What every contender gets.

    Attributes:
        volume: (k, j, i) float32, on the image's grid.
        network: the network, the same weights for all.
        classes: its number of classes.
        patch: window length along each axis.
        zoom: network voxels are this much larger than the image's; 1 in the engine's table.
    """

    volume: np.ndarray
    network: Network
    classes: int
    patch: int
    zoom: float = 1.0

    @property
    def coarse_shape(self) -> tuple[int, int, int]:
        """Of the network grid."""
        k, j, i = (round(size / self.zoom) for size in self.volume.shape)
        return k, j, i

    def windows(self) -> int:
        """How many windows every contender lays over the network grid."""
        steps = (max(0, ceil((size - self.patch) / int(self.patch * (1 - OVERLAP)))) + 1 for size in self.coarse_shape)
        return int(np.prod(list(steps)))


def labels_type(classes: int) -> type:
    """Small enough for the comparison files."""
    return np.uint8 if classes <= 256 else np.uint16


def bare_network(task: Task) -> None:
    """The network alone, as the peers run it: plain memory order, head included."""
    patch = torch.from_numpy(task.volume[: task.patch, : task.patch, : task.patch].copy())[None, None]
    with torch.inference_mode():
        for _ in range(task.windows()):
            task.network(patch)


def bare_features(task: Task) -> None:
    """What our engine runs of the network: channels last; without the head where the features are narrower."""
    from MedAILib.inference.precision import channels_last

    channels_last(task.network)
    patch = torch.from_numpy(task.volume[: task.patch, : task.patch, : task.patch].copy())[None, None]
    patch = patch.contiguous(memory_format=torch.channels_last_3d)
    wide = task.network.head.in_channels >= task.classes
    with torch.inference_mode():
        for _ in range(task.windows()):
            task.network(patch) if wide else task.network.features(patch)


def reference(task: Task) -> np.ndarray:
    """Every logit of the whole volume summed in float32."""
    from MedAILib.inference.engine import WindowOptions
    from MedAILib.inference.windows import WindowGrid

    options = WindowOptions((task.patch,) * 3, OVERLAP)
    volume = torch.from_numpy(task.volume)
    profile = torch.exp(-0.5 * ((torch.arange(task.patch) - (task.patch - 1) / 2) / (task.patch / 8)) ** 2)
    gaussian = profile[:, None, None] * profile[:, None] * profile
    total, norm = torch.zeros(task.classes, *volume.shape), torch.zeros(volume.shape)
    axes = WindowGrid.lay(task.volume.shape, options).axes
    with torch.inference_mode():
        for k in axes[0].starts:
            for j in axes[1].starts:
                for i in axes[2].starts:
                    at = tuple(slice(start, start + task.patch) for start in (k, j, i))
                    total[(slice(None), *at)] += task.network(volume[at][None, None])[0].mul_(gaussian)
                    norm[at] += gaussian
        return torch.stack(
            [(row / weight).argmax(0) for row, weight in zip(total.unbind(1), norm, strict=True)]
        ).numpy()


def medai(task: Task, precision: str = "float32") -> np.ndarray:
    """Our engine, exact."""
    from MedAILib.inference.engine import WindowOptions, predict_labels

    options = WindowOptions((task.patch,) * 3, OVERLAP, precision=precision)
    return predict_labels(task.network, task.volume[None], options, "cpu").labels


def monai(task: Task) -> np.ndarray:
    """MONAI's inferer, then argmax."""
    return _monai_logits(task, torch.from_numpy(task.volume)[None]).argmax(0).numpy()


def nnunet(task: Task) -> np.ndarray:
    """nnU-Net's predictor without mirroring, then argmax as its label manager does."""
    return _nnunet_logits(task, torch.from_numpy(task.volume)[None]).argmax(0).numpy()


def medai_pipeline(task: Task, fast: bool = False) -> np.ndarray:
    """Image to labels on its grid; the fast mode adds bfloat16, a coarse pass, skipping and less overlap."""
    from MedAILib.geometry import with_spacing
    from MedAILib.image import Image
    from MedAILib.inference.coarse import occupied_region
    from MedAILib.inference.engine import WindowOptions, predict_labels
    from MedAILib.spatial import resample

    scales = [size / coarse for size, coarse in zip(task.volume.shape, task.coarse_shape, strict=True)]
    affine = with_spacing((scales[0], scales[1], scales[2]))
    affine[:3, 3] = [(scale - 1) / 2 for scale in reversed(scales)]
    image = Image(task.volume, with_spacing((1.0, 1.0, 1.0)))
    volume = resample(image, task.coarse_shape, affine).array[None]
    grid_map = [(1 / scale, (1 / scale - 1) / 2) for scale in scales]
    if not fast:
        options = WindowOptions((task.patch,) * 3, OVERLAP, precision="float32")
        return predict_labels(task.network, volume, options, "cpu", task.volume.shape, grid_map).labels
    options = WindowOptions((task.patch,) * 3, 0.25, skip_background=0.0)
    region = occupied_region(task.network, volume, WindowOptions((48, 48, 48), 0.0), "cpu", COARSE, COARSE)
    if region is None:
        return np.zeros(task.volume.shape, np.uint8)
    return predict_labels(task.network, volume, options, "cpu", task.volume.shape, grid_map, region).labels


def monai_pipeline(task: Task, nearest: bool = False) -> np.ndarray:
    """MONAI's Spacing transform, inferer, and the transform's inverse on logits, as its bundles do, or on labels."""
    from monai.data import MetaTensor
    from monai.transforms import Spacing

    spacing = Spacing([task.zoom] * 3, mode="bilinear", dtype=torch.float32)
    prepared = spacing(MetaTensor(torch.from_numpy(task.volume)[None], affine=torch.eye(4)))
    found = _monai_logits(task, prepared.as_tensor())
    if nearest:
        found = found.argmax(0, keepdim=True).float()
        for operation in prepared.applied_operations:
            operation["extra_info"]["mode"] = "nearest"
    back = spacing.inverse(
        MetaTensor(found, affine=prepared.affine, applied_operations=prepared.applied_operations)
    ).as_tensor()
    return (back[0] if nearest else back.argmax(0)).numpy()


def nnunet_pipeline(task: Task) -> np.ndarray:
    """nnU-Net's resampling of the image (cubic) and of the logits (linear) around its predictor."""
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

    fine, coarse = [1.0] * 3, [task.zoom] * 3
    volume = resample_data_or_seg_to_shape(task.volume[None], task.coarse_shape, fine, coarse, order=3)
    logits = _nnunet_logits(task, torch.from_numpy(np.ascontiguousarray(volume, np.float32)))
    logits = resample_data_or_seg_to_shape(logits, task.volume.shape, coarse, fine, order=1)
    return torch.from_numpy(logits).argmax(0).numpy()


def _monai_logits(task: Task, volume: torch.Tensor) -> torch.Tensor:
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer([task.patch] * 3, sw_batch_size=1, overlap=OVERLAP, mode="gaussian")
    with torch.inference_mode():
        return inferer(volume[None], task.network)[0]


def _nnunet_logits(task: Task, volume: torch.Tensor) -> torch.Tensor:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        OVERLAP, use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
    )
    # What its predictor reads of a trained model's folder when nothing is mirrored.
    predictor.network = task.network
    predictor.configuration_manager = SimpleNamespace(patch_size=[task.patch] * 3)
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=task.classes)
    return predictor.predict_sliding_window_return_logits(volume)


CONTENDERS: dict[str, Callable[[Task], np.ndarray | None]] = {
    "network": bare_network,
    "features": bare_features,
    "reference": reference,
    "MedAI": medai,
    "MONAI": monai,
    "nnU-Net": nnunet,
    "MedAI bf16": lambda task: medai(task, "bfloat16"),
    "MedAI pipeline": medai_pipeline,
    "MedAI fast pipeline": lambda task: medai_pipeline(task, fast=True),
    "MONAI pipeline": monai_pipeline,
    "MONAI labels pipeline": lambda task: monai_pipeline(task, nearest=True),
    "nnU-Net pipeline": nnunet_pipeline,
}
