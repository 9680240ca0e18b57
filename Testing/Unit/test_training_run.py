from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from MedAILib import training
from MedAILib.errors import DeviceError, MedAIError, ModelError, ReadError, UsageError, WriteError
from MedAILib.files import write_image
from MedAILib.geometry import with_spacing
from MedAILib.image import Image, Kind
from MedAILib.models import load_network, read_card
from MedAILib.training import export as exporting
from MedAILib.training import job
from MedAILib.training.distributed import World
from MedAILib.training.loop import learning_rate
from MedAILib.training.recipe import load_recipe, recipe_from
from MedAILib.training.trainer import Trainer
from MedAILib.training.validation import dice_scores
from Unit.training_tools import SPACING, codes, head, recipe, recipe_values

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "maps"
    folder.mkdir()
    for name in ("first", "second"):
        image = Image(codes(), with_spacing(SPACING), kind=Kind.LABEL)
        write_image(folder / f"{name}.nii.gz", image)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(recipe_values()))
    return file


def trainer(output: Path, **changes: Any) -> Trainer:
    return Trainer(recipe(**changes), [head()], [], output, World("cpu"))


def lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def test_six_steps_equal_three_steps_and_a_resume_of_three_bit_by_bit(config: Path, data: Path, tmp_path: Path) -> None:
    training.run(config, data, tmp_path / "straight", device="cpu")

    broken = tmp_path / "broken"
    broken.mkdir()
    values = load_recipe(config)
    first = Trainer(values, *job.load_data(values, data), broken, World("cpu"))
    first.run(stop=lambda: first.clock.step == 3)
    training.run(config, data, broken, device="cpu")

    straight, resumed = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("straight", "broken"))
    assert straight.keys() == resumed.keys()
    assert any(name.startswith("optimizer") for name in straight)
    different = [name for name in straight if not torch.equal(straight[name], resumed[name])]
    assert different == ["random.cpu"] or different == []


def test_the_log_has_losses_and_the_curve_of_the_map_held_out(config: Path, data: Path, tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    training.run(config, data, tmp_path / "run", device="cpu", report=reported.append)
    written = lines(tmp_path / "run")
    assert written == json.loads(json.dumps(reported))
    assert [line["step"] for line in written if "loss" in line] == [1, 2, 3, 4, 5, 6]
    curve = [line for line in written if "validation" in line]
    assert [line["step"] for line in curve] == [1, 6]
    assert [line["coarseness"] for line in curve] == [2, 1]
    assert set(curve[0]["validation"]["classes"]) == {"2", "3", "16", "41", "42"}


def test_without_resume_the_run_starts_anew(config: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    training.run(config, data, output, device="cpu")
    training.run(config, data, output, device="cpu", resume=False, steps=1)
    assert lines(output)[-1]["step"] == 1


def test_a_finished_run_is_not_trained_further(config: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    training.run(config, data, output, device="cpu")
    before = load_file(output / "checkpoint.safetensors")
    training.run(config, data, output, device="cpu")
    after = load_file(output / "checkpoint.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("random"))


def test_seconds_replace_the_recipe_s_steps(config: Path, data: Path, tmp_path: Path) -> None:
    training.run(config, data, tmp_path / "run", device="cpu", seconds=1e-6)
    assert lines(tmp_path / "run")[-1]["step"] == 1


def test_rate_rises_then_falls_to_zero() -> None:
    settings = recipe(warmup=10, learning_rate=1.0).training
    assert learning_rate(settings, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(settings, 10, 0.0) == pytest.approx(1.0)
    assert learning_rate(settings, 99, 0.5) == pytest.approx(0.5)
    assert learning_rate(settings, 99, 1.0) == pytest.approx(0.0)


def test_averaged_weights_follow_the_weights_slowly(tmp_path: Path) -> None:
    one = trainer(tmp_path, ema=0.9)
    before = one.average.network.head.weight.clone()
    one.step(one.network, 0.6)
    moved = one.network.network.head.weight - before
    assert torch.allclose(one.average.network.head.weight - before, moved * (1 - 2 / 11), atol=1e-7)


def test_the_coarse_phase_trains_the_body_and_leaves_the_finest_level(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    before = {name: value.clone() for name, value in one.network.state_dict().items()}
    one.step(one.network, 0.0)
    changed = {name for name, value in one.network.state_dict().items() if not torch.equal(value, before[name])}
    assert "coarse_head.weight" in changed
    assert "network.downs.1.0.0.weight" in changed
    assert not any(name.startswith(("network.stem", "network.head", "network.ups.1")) for name in changed)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Patches of 16 voxels gain nothing from several threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_one_sample_is_learned_by_heart(tmp_path: Path) -> None:
    one = trainer(tmp_path, steps=240, patches=[[0.0, 1, [16, 16, 16]]], warmup=5, learning_rate=1e-2)
    samples = (one.generator.sample((seed,), (16, 16, 16)) for seed in range(100))
    image, target = next(s for s in samples if torch.bincount(s[1].reshape(-1).long(), minlength=7).min() > 30)
    one.generator.sample = lambda seed, shape, coarseness: (image, target)  # type: ignore[method-assign]
    for step in range(240):
        one.step(one.network, step / 240)
    with torch.no_grad():
        predicted = one.network(image[None, None])[0].argmax(0)
    assert float(dice_scores(predicted, target, 7).min()) > 0.95


TWO = """
import hashlib, sys
from contextlib import closing
from pathlib import Path
from MedAILib.training import job
from MedAILib.training.recipe import load_recipe
from MedAILib.training.distributed import World
from MedAILib.training.trainer import Trainer

def train(recipe, data, output, world):
    trainer = Trainer(recipe, *job.load_data(recipe, data), output, world)
    trainer.run()
    return b"".join(v.numpy().tobytes() for v in trainer.network.state_dict().values())

recipe, data, output = load_recipe(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
with closing(World("cpu")) as world:
    weights = train(recipe, data, output, world)
    (output / f"rank{world.rank}").write_text(hashlib.sha256(weights).hexdigest())
"""


def test_two_processes_share_one_set_of_weights(config: Path, data: Path, tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "MedAI"), "OMP_NUM_THREADS": "1"}
    digests = []
    for processes in (2, 1):
        output = tmp_path / f"run{processes}"
        output.mkdir()
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"] if processes == 2 else []
        command = [sys.executable, *launcher, str(script), str(config), str(data), str(output)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr
        assert [line["step"] for line in lines(output) if "loss" in line] == [1, 2, 3, 4, 5, 6], "one process logs"
        digests.append([(output / f"rank{rank}").read_text() for rank in range(processes)])
    (first, second), (alone,) = digests
    assert first == second
    assert first != alone, "two processes see twice as many samples"


def test_a_model_folder_written_from_a_run_loads_and_says_where_it_comes_from(
    config: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "FEWEST_STEPS", 6)
    output = tmp_path / "run"
    training.run(config, data, output, device="cpu")
    folder = job.export(config, data, output, tmp_path / "model")
    card = read_card(folder)
    assert [label.value for label in card.labels] == [2, 3, 16, 41, 42]
    assert len(card.classes) == 6
    assert card.training["trained_on"] == ["first"]
    assert card.training["held_out"] == ["second"]
    assert card.training["steps"] == 6
    assert card.training["command"] == "medai train boxes --data LABEL_MAPS --output RUN --steps 6"
    assert [figure.metric for figure in card.measured] == ["mean Dice over all structures"]
    low, high = card.plausible_ml["brain stem"]
    assert low < (codes() == 16).sum() * 8 / 1000 < high

    average = load_file(output / "checkpoint.safetensors")["average.network.head.weight"]
    assert torch.equal(load_network(card).head.weight, average.half().float())


def test_a_hardly_trained_network_is_not_exported(config: Path, data: Path, tmp_path: Path) -> None:
    training.run(config, data, tmp_path / "run", device="cpu")
    with pytest.raises(ModelError, match="only 6 steps"):
        job.export(config, data, tmp_path / "run", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_damaged_checkpoint_is_named(config: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    output.mkdir()
    (output / "checkpoint.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(ReadError, match=r"checkpoint\.safetensors: not a usable checkpoint"):
        training.run(config, data, output, device="cpu")


def test_a_checkpoint_that_cannot_be_written_is_told_and_the_last_one_stays(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    one._save()
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    (tmp_path / ".checkpoint.safetensors.part").mkdir()
    one.step(one.network, 0.6)
    with pytest.raises(WriteError, match=r"checkpoint\.safetensors: the checkpoint cannot be written"):
        one._save()
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_checkpoint_of_another_network_is_refused(config: Path, data: Path, tmp_path: Path) -> None:
    training.run(config, data, tmp_path / "run", device="cpu", steps=1)
    values = recipe_values()
    values["network"]["arguments"]["widths"] = [4, 8, 16]
    config.write_text(json.dumps(values))
    with pytest.raises(ReadError, match="belongs to another network"):
        training.run(config, data, tmp_path / "run", device="cpu")


def test_a_map_is_not_trained_on_and_held_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="first: a label map cannot be"):
        Trainer(recipe(), [head()], [head()], tmp_path, World("cpu"))


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        ([[0.0, 2, [8, 8, 8]], [0.5, 1, [16, 18, 16]]], r"\(16, 18, 16\) voxels at coarseness 1 .* divisible by 4"),
        ([[0.0, 2, [8, 7, 8]]], "coarseness 2 .* divisible by 2"),
    ],
)
def test_shapes_that_the_network_does_not_take_are_refused_before_the_run(
    tmp_path: Path, patches: list[Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        trainer(tmp_path, patches=patches)


def test_a_folder_without_the_maps_held_out_is_refused(config: Path, data: Path, tmp_path: Path) -> None:
    (data / "second.nii.gz").unlink()
    with pytest.raises(ReadError, match="0 of the 1 to hold out"):
        training.run(config, data, tmp_path / "run", device="cpu")


def test_an_unknown_recipe_names_the_bundled_ones(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="brain-mr"):
        training.run("brain-ct", tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("training", {"rate": 1}, "unknown setting rate"),
        ("training", {"steps": None}, "training: A training needs a budget"),
        ("training", {"steps": 0}, "budget above 0"),
        ("training", {"patches": [[0.5, 1, [16, 16, 16]]]}, "begin at share 0"),
        ("network", {"name": "residual_unet", "arguments": {"classes": 3}}, "3 classes, the recipe 7"),
        ("generator", {"deform": {"twist": 1}}, r"generator\.deform: unknown setting twist"),
    ],
)
def test_a_wrong_recipe_is_explained(part: str, change: dict[str, Any], message: str) -> None:
    values = recipe_values()
    values[part] = {**values[part], **change}
    with pytest.raises(UsageError, match=message):
        recipe_from(values, "test.json")


def test_json_that_is_no_recipe_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text("[]")
    with pytest.raises(UsageError, match=r"list\.json: not a recipe"):
        load_recipe(file)


def test_a_budget_of_nothing_is_refused(config: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="budget above 0"):
        training.run(config, data, tmp_path / "run", device="cpu", steps=0)


def test_the_bundled_recipe_reports_every_named_brain_structure() -> None:
    from MedAILib.brain_labels import BRAIN

    bundled = load_recipe("brain-mr")
    assert [code for code in bundled.table.classes if code] == [label.value for label in BRAIN]
    assert len(exporting.class_labels(bundled.table)) == len(bundled.table.classes) - 1


def test_a_missing_device_is_a_device_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceError, match="cuda"):
        World("cuda")


def test_only_the_right_errors_reach_the_caller(config: Path, data: Path) -> None:
    with pytest.raises(MedAIError, match="cannot be written"):
        training.run(config, data, config / "run", device="cpu")


def test_a_sample_that_overflows_does_not_spoil_the_weights(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    image = torch.full((16, 16, 16), torch.inf)
    one.generator.sample = lambda *_: (image, torch.zeros(16, 16, 16, dtype=torch.uint8))  # type: ignore[method-assign]
    _, norm = one.step(one.network, 0.6)
    assert not torch.isfinite(torch.tensor(norm))
    assert all(torch.isfinite(value).all() for value in one.network.state_dict().values())


def test_settings_of_the_whole_run_stay_when_the_budget_changes() -> None:
    one = recipe()
    assert replace(one, training=replace(one.training, steps=7)).training.patch(0.5) == (1, (16, 16, 16))
