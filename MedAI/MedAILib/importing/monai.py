"""MONAI bundles: configs/metadata.json, configs/inference.json, and weights in models/model.pt or code in model.ts.

A network that MedAI has is built here from the description, and only its weights are taken. Any other comes as
TorchScript, which is code: it is brought in only when that is allowed. What a bundle does around its network is in the
card: orientation, voxels from the first one on, intensities, windows. What remains different: logits instead of
probabilities are interpolated back to the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CodeError, ModelError
from ..models.json_object import read_object
from .foreign import ForeignModel, anatomy_of, input_names, intensity_of, label_entries, modality_of, model_name
from .monai_config import BundleConfig, target_of
from .monai_network import KNOWN, network_name, network_of, own_weights
from .monai_transforms import Before, check_after, read_before
from .reading import named_tensors, read_checkpoint

if TYPE_CHECKING:
    from .bring import Import

_WRAPPERS = ("state_dict", "model", "network", "net")
_CITATION = (
    "Cardoso M. J. et al., MONAI: An open-source framework for deep learning in healthcare, arXiv 2211.02701, 2022"
)


def read_monai(folder: Path, wanted: Import) -> ForeignModel:
    """Understand a bundle.

    Raises:
        ModelError: something is missing, damaged, or not supported; the message names it.
    """
    config = _config(folder)
    path = folder / "configs" / "metadata.json"
    metadata = read_object(path, "the bundle's metadata")
    try:
        return _converted(folder, config, metadata, wanted)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelError(
            f"{folder}: its configs are not as MONAI writes them ({type(error).__name__}: {error}). Get it again."
        ) from error


def _config(folder: Path) -> BundleConfig:
    path = folder / "configs" / "inference.json"
    other = path.with_suffix(".yaml")
    if not path.is_file() and other.is_file():
        raise ModelError(f"{other}: MedAI reads configs in JSON. Convert it, e.g. with any YAML to JSON tool.")
    return BundleConfig(read_object(path, "the bundle's inference configuration"), path)


def _converted(folder: Path, config: BundleConfig, metadata: Mapping[str, Any], wanted: Import) -> ForeignModel:
    described = network_of(config)
    image, answer = _formats(metadata)
    plain, code = folder / "models" / "model.pt", folder / "models" / "model.ts"
    script = None
    if described is not None and plain.is_file():
        name, arguments = described
        inputs, classes = int(arguments["inputs"]), int(arguments["classes"])
        tensors = own_weights(name, arguments, _weights(plain))
    else:
        _check_code(folder, config, code, described is not None, wanted)
        script = code
        name, arguments, tensors = "torchscript", {"reverse": True}, None
        inputs, classes = int(image.get("num_channels", 1)), int(answer.get("num_channels", 2))
    labels = _labels(answer, classes, config)
    before = read_before(config, inputs)
    patch, window = _window(config)
    title = str(metadata.get("name") or metadata.get("task") or folder.name)
    card = {
        "name": model_name(wanted.name, str(metadata.get("name") or folder.name)),
        "title": f"{title} (MONAI)",
        "description": str(metadata.get("description", "")),
        "modality": modality_of(wanted.modality, [str(image.get("modality", ""))], folder),
        "anatomy": anatomy_of(labels),
        "license": str(metadata.get("license") or "not stated; ask whoever trained the model"),
        "version": str(metadata.get("version") or "imported"),
        "input_channels": inputs,
        "inputs": input_names([str(each) for _, each in sorted(image.get("channel_def", {}).items())], inputs),
        "spacing": _spacing(before, config),
        "orientation": before.orientation,
        "intensity": intensity_of([before.intensity] * inputs),
        "preparation": {"crop": before.crop, "resampling": "corner", "intensity_first": before.intensity_first},
        "network": {"name": name, "arguments": dict(arguments)},
        "labels": label_entries(labels),
        "window": {"patch": patch, **window},
        "training": {
            "data": str(metadata.get("data_source") or metadata.get("data_type") or "not stated"),
            "command": "imported from a MONAI bundle",
            "seed": 0,
            "source": folder.name,
        },
        "limits": _limits(check_after(config), inputs),
        "citations": [_CITATION, *(str(each) for each in metadata.get("references", []) if each)],
    }
    return ForeignModel(folder, card, tensors, script)


def _formats(metadata: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the metadata say of the image and of the answer."""
    formats = metadata.get("network_data_format", {})
    images, answers = formats.get("inputs", {}), formats.get("outputs", {})
    return next(iter(images.values()), {}), next(iter(answers.values()), {})


def _weights(path: Path) -> dict[str, Any]:
    found = read_checkpoint(path)
    for key in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    return named_tensors(found, path)


def _check_code(folder: Path, config: BundleConfig, script: Path, known: bool, wanted: Import) -> None:
    """Whether TorchScript is there and allowed."""
    if not script.is_file():
        missing = "models/model.pt" if known else f"models/model.ts; its network is a {network_name(config)}"
        raise ModelError(
            f"{folder}: holds no {missing}. MedAI imports weights of MONAI's {', '.join(KNOWN)}, and other networks as "
            "TorchScript (python -m monai.bundle ckpt_export)."
        )
    if not wanted.allow_code:
        raise CodeError(
            f"{script}: is TorchScript, which is code that would run with your rights. Allow it only if you trust "
            "where it comes from."
        )


def _labels(answer: Mapping[str, Any], classes: int, config: BundleConfig) -> dict[int, str]:
    if classes < 2:
        raise ModelError(
            f"{config.path}: the network has one output, decided by a threshold. MedAI imports networks with an output "
            "for the background and one for each structure."
        )
    names = answer.get("channel_def", {})
    return {value: str(names.get(str(value), f"Label {value}")) for value in range(1, classes)}


def _spacing(before: Before, config: BundleConfig) -> list[float]:
    if before.spacing is None:
        raise ModelError(
            f"{config.path}: preprocessing has no Spacing, so that the voxel size it works at is not known. Add "
            "a Spacingd with the pixdim of the training data."
        )
    return before.spacing[::-1]


def _window(config: BundleConfig) -> tuple[list[int], dict[str, Any]]:
    inferer = config.get("inferer")
    kind = target_of(inferer)
    if kind not in ("SlidingWindowInferer", "SlidingWindowInfererAdapt"):
        raise ModelError(f"{config.path}: the inferer is {kind or 'missing'}; MedAI knows SlidingWindowInferer.")
    given = config.plain(inferer, "the inferer")
    sides, overlap, mode = given["roi_size"], given.get("overlap", 0.25), str(given.get("mode", "constant")).lower()
    sides = [sides] * 3 if isinstance(sides, int) else list(sides)
    if len(sides) != 3 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ModelError(f"{config.path}: the inferer's roi_size is {sides}; MedAI needs three sizes.")
    odd = {
        "overlap": isinstance(overlap, (int, float)),
        "mode": mode in ("constant", "gaussian"),
        "sigma_scale": given.get("sigma_scale", 0.125) == 0.125,
        "padding_mode": given.get("padding_mode", "constant") == "constant",
        "cval": given.get("cval", 0) == 0,
    }
    if not all(odd.values()):
        name = next(name for name, fine in odd.items() if not fine)
        raise ModelError(f"{config.path}: the inferer's {name} is {given.get(name)!r}, which MedAI does not have.")
    weighting = "monai" if mode == "gaussian" else "uniform"
    return sides[::-1], {"overlap": float(overlap), "weighting": weighting}


def _limits(left_out: list[str], inputs: int) -> list[str]:
    limits = [f"Of the bundle's postprocessing, {', '.join(left_out)} is left out."] if left_out else []
    return limits + ([f"Needs {inputs} images at once."] if inputs > 1 else [])
