"""Measure imported models beside the packages that they come from: equal labels, seconds and memory, in one table.

    python Testing/Benchmarks/imported.py --output Testing/Benchmarks/imported.md

needs the ``benchmark`` extra. Small models are made with nnU-Net v2 and MONAI themselves (see imported_models.py),
which takes minutes, imported, and run by both on the same images: a hippocampus crop, which the networks were trained
for, and a whole brain, where their labels mean nothing but cost what labels cost. nnU-Net's networks are compared
without and with mirroring, like with like. Every run is a fresh process and both take turns; the table has the medians.
CPU seconds are those from the image's file to labels on its grid, the model's loading included; ours include the
volumes table that a segmentation always brings. Memory is the peak of the whole process, libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from imported_models import NETWORKS, monai_bundle, nnunet_folder
from networks_data import DATA, hippocampus
from processes import environment, processor, publish

HERE = Path(__file__).resolve().parent
MODELS = (
    "nnU-Net",
    "nnU-Net, two folds",
    "nnU-Net, mirrored",
    "nnU-Net, residual",
    *(f"MONAI {name}" for name in NETWORKS),
)
SCRIPT = "MONAI UNet as TorchScript"
IMAGES = {
    "crop": lambda: hippocampus().test[0].image,
    "brain": lambda: DATA / "brain" / "c2fvit_oasis_A_T1.nii.gz",
}


@dataclass(frozen=True)
class Run:
    """What one process took: CPU seconds of the call, and its peak memory in MB (10^6 bytes)."""

    cpu: float
    peak: float


def make(model: str, cache: Path, steps: int) -> Path:
    """The folder of a model, made if it is not there yet; what the packages say meanwhile goes to the error stream."""
    if model.startswith("MONAI"):
        name = model.split()[1]
        folder = cache / "monai" / name
        return folder if (folder / "models" / "model.ts").is_file() else monai_bundle(folder, name, steps)
    residual = model.endswith("residual")
    base = cache / ("residual" if residual else "plain")
    found = sorted(base.glob("results/*/*/fold_0/checkpoint_final.pth"))
    return found[0].parents[1] if found else nnunet_folder(base, steps, residual, folds=1 if residual else 2)


def bring_in(model: str, folder: Path, models: Path) -> str:
    """Import it into the model folder ``models``; the name that it has there."""
    name = "".join(letter if letter.isalnum() else "-" for letter in model.lower())
    line = [sys.executable, "-m", "MedAILib", "import", str(folder), "--name", name]
    if model.startswith("nnU-Net") and model != "nnU-Net, two folds":
        line += ["--folds", "0"]
    line += ["--mirror"] if model.endswith("mirrored") else []
    if model == SCRIPT:
        line += ["--allow-code"]
        folder.joinpath("models", "model.pt").rename(folder / "models" / "aside.pt")
    try:
        subprocess.run(line, env={**environment(), "MEDAI_MODELS": str(models)}, check=True, stdout=subprocess.DEVNULL)
    finally:
        if model == SCRIPT:
            folder.joinpath("models", "aside.pt").rename(folder / "models" / "model.pt")
    return name


def of_medai(model: str, image: Path) -> Callable[[], np.ndarray]:
    """Ours; ``model`` is the folder of the imported one."""
    from MedAILib.files import read_image
    from MedAILib.models import load_network, read_card
    from MedAILib.pipeline.request import Request
    from MedAILib.pipeline.segment import STAGES, segment
    from MedAILib.pipeline.stages import Stages
    from MedAILib.progress import Progress

    def run() -> np.ndarray:
        card = read_card(model)
        stages = Stages(Progress(STAGES))
        request = Request(model, force=True)
        return segment(read_image(image), load_network(card), card, request, "cpu", stages).labels.array

    return run


def of_nnunet(folder: str, folds: tuple[int, ...], mirror: bool, image: Path) -> Callable[[], np.ndarray]:
    """nnU-Net's predictor."""
    import torch
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    def run() -> np.ndarray:
        predictor = nnUNetPredictor(
            use_mirroring=mirror, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
        )
        predictor.initialize_from_trained_model_folder(folder, folds)
        return predictor.predict_single_npy_array(*SimpleITKIO().read_images([str(image)]))

    return run


def of_monai(folder: str, script: bool, image: Path) -> Callable[[], np.ndarray]:
    """The bundle's own steps, as its configuration has them."""
    import torch
    from monai.bundle import ConfigParser

    def run() -> np.ndarray:
        parser = ConfigParser(ConfigParser.load_config_file(str(Path(folder) / "configs" / "inference.json")))
        if script:
            network = torch.jit.load(str(Path(folder) / "models" / "model.ts"))
        else:
            network = parser.get_parsed_content("network_def")
            network.load_state_dict(torch.load(Path(folder) / "models" / "model.pt", weights_only=True))
        before, inferer, after = (
            parser.get_parsed_content(part) for part in ("preprocessing", "inferer", "postprocessing")
        )
        with torch.inference_mode():
            data = before({"image": str(image)})
            data["pred"] = inferer(data["image"][None], network.eval())[0]
            return after(data)["pred"][0].numpy().transpose(2, 1, 0)

    return run


def child(options: argparse.Namespace) -> Run:
    """Measure one run in this process and leave its labels."""
    import torch

    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    model, folder = options.child
    if model == "MedAI":
        run = of_medai(folder, options.image)
    elif model.startswith("MONAI"):
        run = of_monai(folder, model == SCRIPT, options.image)
    else:
        folds = (0, 1) if model == "nnU-Net, two folds" else (0,)
        run = of_nnunet(folder, folds, model.endswith("mirrored"), options.image)
    before = resource.getrusage(resource.RUSAGE_SELF)
    labels = run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    np.save(options.labels, labels.astype(np.uint8))
    # Linux counts in KiB, macOS in bytes.
    peak = after.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return Run(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak)


def measure(model: str, folder: Path, image: Path, labels: Path, options: argparse.Namespace, models: Path) -> Run:
    """One run in a fresh process; ``labels`` receives its result."""
    line = [sys.executable, str(HERE / "imported.py"), "--child", model, str(folder), "--image", str(image)]
    line += ["--labels", str(labels), "--threads", str(options.threads)]
    quiet = {"MEDAI_MODELS": str(models), "nnUNet_def_n_proc": "1"}
    quiet |= {f"nnUNet_{part}": str(options.cache) for part in ("raw", "preprocessed", "results")}
    answer = subprocess.run(line, env={**environment(), **quiet}, stdout=subprocess.PIPE, check=True, text=True)
    return Run(**json.loads(answer.stdout.splitlines()[-1]))


def row(model: str, image: str, options: argparse.Namespace, models: Path) -> str:
    """One line of the table."""
    with redirect_stdout(sys.stderr):
        theirs = make(model, options.cache, options.steps)
    ours = models / bring_in(model, theirs, models)
    contenders = {"theirs": (model, theirs), "ours": ("MedAI", ours)}
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(options.repeat):
        for name, (kind, folder) in contenders.items():
            print(f"  {model}, {image}, {name} …", file=sys.stderr, flush=True)
            found = models / f"{name}.npy"
            runs[name].append(measure(kind, folder, IMAGES[image](), found, options, models))
    one, two = (np.load(models / f"{name}.npy") for name in contenders)
    cpu = {name: median(run.cpu for run in found) for name, found in runs.items()}
    peak = {name: median(run.peak for run in found) for name, found in runs.items()}
    labeled = int((one > 0).sum())
    return (
        f"| {model} | {image} | {100 * np.mean(one == two):.4f} | {int((one != two).sum())} of {labeled} "
        f"| {cpu['theirs']:.2f} | {cpu['ours']:.2f} | {cpu['ours'] / cpu['theirs']:.2f} "
        f"| {peak['theirs']:.0f} | {peak['ours']:.0f} | {peak['ours'] / peak['theirs']:.2f} |"
    )


def voxels(image: Path) -> tuple[int, ...]:
    """Of an image file, (i, j, k)."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(image))
    reader.ReadImageInformation()
    return tuple(reader.GetSize())


def table(options: argparse.Namespace) -> Iterator[str]:
    """All lines of the report."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "monai", "nnunetv2"))
    sizes = "; ".join(f"{name}: {' x '.join(map(str, voxels(IMAGES[name]())))} voxels" for name in options.images)
    yield (
        f"{options.threads} thread(s) of {processor()}, {packages}; medians of {options.repeat}. Networks trained for "
        f"{options.steps} steps on hippocampus crops. {sizes}."
    )
    yield ""
    yield (
        "| model | image | % equal labels | voxels that differ, of the labeled ones | CPU s, original | CPU s, MedAI "
        "| ratio | peak MB, original | peak MB, MedAI | ratio |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as scratch:
        for image in options.images:
            for model in options.models:
                yield row(model, image, options, Path(scratch))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=(*MODELS, SCRIPT), default=[*MODELS, SCRIPT], metavar="M")
    parser.add_argument("--images", nargs="+", choices=list(IMAGES), default=list(IMAGES))
    parser.add_argument("--repeat", type=int, default=3, help="runs of each")
    parser.add_argument("--steps", type=int, default=120, help="of training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "medai-imported", help="of models")
    parser.add_argument("--output", type=Path, help="write the report here too")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--image", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--labels", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    if options.child:
        print(json.dumps(vars(child(options))))
        return
    publish(table(options), options.output)


if __name__ == "__main__":
    main()
