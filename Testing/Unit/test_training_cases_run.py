from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import ndimage

import MedAILib
from MedAILib.cli.main import main
from MedAILib.errors import Cancelled, ContentError, ModelError, OutputExistsError, UsageError, WriteError
from MedAILib.files import read_frames, read_image
from MedAILib.models import ModelStore, load_network, read_card
from MedAILib.training import loop
from MedAILib.training.cases.job import Outcome, run_request
from MedAILib.training.cases.patches import Patches
from MedAILib.training.cases.request import TrainRequest, model_name
from MedAILib.training.cases.run_folder import RunFolder
from MedAILib.training.cases.start import class_axes
from MedAILib.training.cases.trainer import CasesTrainer
from MedAILib.training.cases.watch import Watch
from Unit.cases_tools import ball_case, recipe_values, write_case, write_cases

ROOT = Path(__file__).parents[2]


def write_recipe(folder: Path, **changes: Any) -> Path:
    training_changes = changes.pop("training", {})
    file = folder / "tiny.json"
    file.write_text(json.dumps({**recipe_values(**training_changes), **changes}))
    return file


def run(config: Path, data: Path, output: Path, watch: Watch | None = None, **asked: Any) -> Outcome:
    return run_request(TrainRequest(str(config), str(data), str(output), **asked), "cpu", lambda line: None, watch)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cases, a recipe, and a finished run of it."""
    folder = tmp_path_factory.mktemp("cases")
    write_cases(folder / "data", 4)
    config = write_recipe(folder)
    run(config, folder / "data", folder / "run", name="balls")
    return folder


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDAI_MODELS", str(tmp_path / "models"))


def test_a_folder_of_cases_becomes_a_model_that_segments(place: Path) -> None:
    card = read_card(place / "run" / "model")
    assert (card.name, [label.name for label in card.labels]) == ("balls", ["Label 1", "Label 2"])
    assert not card.cleaning
    result = MedAILib.segment(
        place / "data" / "images" / "first.nii.gz", model=str(card.folder), device="cpu", progress=False
    )
    truth = read_image(place / "data" / "labels" / "first.nii.gz").array
    for value in (1, 2):
        found = result.labels.array == value
        assert 2 * (found & (truth == value)).sum() / (found.sum() + (truth == value).sum()) > 0.8


def test_the_card_says_what_was_trained_on_and_what_was_measured(place: Path) -> None:
    card = read_card(place / "run" / "model")
    plan = json.loads((place / "run" / "plan.json").read_text())
    assert len(card.training["trained_on"]) == 3
    assert card.training["held_out"] == plan["held_out"]
    assert (card.training["steps"], card.training["seed"]) == (100, 3)
    assert card.training["command"] == "medai train tiny --data CASES --output RUN --steps 100 --seed 3"
    assert card.measured[0].metric == "mean Dice over all structures"
    last = [line for line in RunFolder(place / "run").log() if "validation" in line][-1]
    assert card.measured[0].value == last["validation"]["dice"]
    assert any("3 cases" in limit for limit in card.limits)
    assert card.plausible_ml["Label 1"][1] > card.plausible_ml["Label 1"][0] > 0.0


def test_the_log_can_be_drawn_and_a_picture_looked_at(place: Path) -> None:
    folder = RunFolder(place / "run")
    lines = folder.log()
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]
    assert {"rate", "remaining", "done"} <= set(next(line for line in lines if "loss" in line))
    measured = [line for line in lines if "validation" in line]
    assert measured[-1]["step"] == 100
    assert set(measured[-1]["validation"]["classes"]) == {"Label 1", "Label 2"}
    picture = read_frames(place / "run" / "preview.png")
    assert len(picture) == 3
    assert picture[0].shape[2] == 3 * (picture[0].shape[2] // 3) >= 3 * 240
    image, truth, answer = np.split(np.stack([one.array[0] for one in picture]), 3, axis=2)
    colored = [np.ptp(part, axis=0) > 0 for part in (image, truth, answer)]
    assert not colored[0].any()
    for outline in colored[1:]:  # three pixels wide, and nothing is filled
        assert 0 < outline.mean() < 0.2
        assert ndimage.binary_erosion(outline, np.ones((3, 3))).any()
        assert not ndimage.binary_erosion(outline, np.ones((9, 9))).any()
    assert folder.request["finished"] == "balls"
    assert not folder.resumable


def test_the_same_seed_gives_the_same_model_and_another_seed_another(place: Path, tmp_path: Path) -> None:
    run(place / "tiny.json", place / "data", tmp_path / "again", name="balls")
    run(place / "tiny.json", place / "data", tmp_path / "other", name="balls", seed=4, steps=100)
    first, again, other = (
        load_file(folder / "model" / "weights.safetensors")["head.weight"]
        for folder in (place / "run", tmp_path / "again", tmp_path / "other")
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_paused_and_resumed_run_equals_an_uninterrupted_one(place: Path, tmp_path: Path) -> None:
    looks = iter(range(10_000))

    def pause() -> None:
        if next(looks) == 70:
            raise Cancelled("now")

    with pytest.raises(Cancelled, match="Paused after"):
        run(place / "tiny.json", place / "data", tmp_path / "run", Watch(check=pause), name="balls")
    folder = RunFolder(tmp_path / "run")
    assert folder.resumable
    assert not (folder.path / "model").exists()
    request = TrainRequest.read({"output": str(folder.path)})
    assert request.recipe == str(place / "tiny.json")
    run_request(request, "cpu", lambda line: None)
    parts = [load_file(where / "checkpoint.safetensors") for where in (place / "run", folder.path)]
    assert all(torch.equal(parts[0][name], parts[1][name]) for name in parts[0] if not name.startswith("random"))


def test_a_killed_run_loses_at_most_an_epoch(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    step = loop.Loop.step

    def dying(self: Any, *arguments: Any) -> Any:
        if self.clock.step == 60:
            raise Killed
        return step(self, *arguments)

    monkeypatch.setattr(loop.Loop, "step", dying)
    with pytest.raises(Killed):
        run(place / "tiny.json", place / "data", tmp_path / "run", name="balls")
    monkeypatch.undo()
    seen: list[dict[str, Any]] = []
    request = TrainRequest(str(place / "tiny.json"), str(place / "data"), str(tmp_path / "run"), name="balls")
    run_request(request, "cpu", seen.append)
    assert seen[0]["step"] == 60  # the first line after step 50, where the checkpoint was
    parts = [load_file(where / "model" / "weights.safetensors") for where in (place / "run", tmp_path / "run")]
    assert all(torch.equal(parts[0][name], parts[1][name]) for name in parts[0])


def test_a_full_disk_is_said_and_the_last_checkpoint_stays(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedAILib.training import checkpoint

    save, saved = checkpoint.save_file, []

    def filling(tensors: Any, path: Any, *more: Any) -> None:
        if len(saved) == 2:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        saved.append(path)
        save(tensors, path, *more)

    monkeypatch.setattr(checkpoint, "save_file", filling)
    with pytest.raises(WriteError, match="No space left"):
        run(place / "tiny.json", place / "data", tmp_path / "run", name="balls")
    monkeypatch.undo()
    assert checkpoint.read_checkpoint(tmp_path / "run" / "checkpoint.safetensors")[1]["step"] == 50
    assert run(place / "tiny.json", place / "data", tmp_path / "run", name="balls").steps == 100


def test_without_memory_batches_and_then_patches_get_smaller(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss_of = CasesTrainer.loss_of

    def hungry(self: Any, model: Any, fraction: float) -> Any:
        if self.clock.step == 30 and (self.plan.batch > 1 or self.plan.patch[0] > 8):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return loss_of(self, model, fraction)

    monkeypatch.setattr(CasesTrainer, "loss_of", hungry)
    told: list[str] = []
    watch = Watch(warn=lambda code, message: told.append(message) if code == "memory" else None)
    outcome = run(place / "tiny.json", place / "data", tmp_path / "run", watch, name="balls")
    assert outcome.steps == 100
    assert len(told) == 2
    assert "1 instead of 2 patches" in told[0]
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert (plan["batch"], plan["patch"]) == (1, [8, 8, 8])
    assert read_card(tmp_path / "run" / "model").patch == (8, 8, 8)


def test_gradients_that_are_never_finite_are_told(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss_of = CasesTrainer.loss_of
    monkeypatch.setattr(CasesTrainer, "loss_of", lambda *arguments: loss_of(*arguments) * float("nan"))
    with pytest.raises(ContentError, match="not finite for 20 steps"):
        run(place / "tiny.json", place / "data", tmp_path / "run")


@pytest.mark.slow
def test_two_processes_train_one_model(place: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "MedAILib", "train", str(place / "tiny.json"), "--data", str(place / "data"), "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "MedAI"), "OMP_NUM_THREADS": "1"}
    command += ["--output", str(tmp_path / "run"), "--device", "cpu"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert read_card(tmp_path / "run" / "model").training["steps"] == 100


def test_a_stop_makes_a_model_of_what_there_is(place: Path, tmp_path: Path) -> None:
    looks = iter(range(10_000))
    watch = Watch(stop=lambda: next(looks) >= 110)
    config = write_recipe(tmp_path, training={"steps": 1000})
    outcome = run(config, place / "data", tmp_path / "run", watch, name="balls", install=True)
    assert outcome.concluded
    assert outcome.steps == 110
    assert outcome.folder == ModelStore().user / "balls"
    assert set(outcome.dice) == {"Label 1", "Label 2"}


def test_a_finished_model_is_listed_at_once_and_its_name_is_taken(place: Path, tmp_path: Path) -> None:
    run(place / "tiny.json", place / "data", place / "run", name="balls", title="My balls", install=True)
    (card,) = [card for card in ModelStore().scan()[0] if card.name == "balls"]
    assert card.title == "My balls"
    with pytest.raises(OutputExistsError, match="another name"):
        run(place / "tiny.json", place / "data", tmp_path / "new", name="balls", install=True)
    with pytest.raises(ModelError, match="bundled"):
        run(place / "tiny.json", place / "data", tmp_path / "new", name="brain-mr", install=True)


def test_cases_that_cannot_be_trained_on_are_refused_with_all_reasons(place: Path, tmp_path: Path) -> None:
    write_cases(tmp_path / "data", 2)
    image, labels = ball_case(5)
    write_case(tmp_path / "data", "third", image, labels[1:])
    (tmp_path / "data" / "labels" / "second.nii.gz").unlink()
    with pytest.raises(ContentError, match=r"second\.nii\.gz has no label map.*third: .*only one case"):
        run(place / "tiny.json", tmp_path / "data", tmp_path / "run")


def test_training_may_begin_with_a_model_of_fewer_classes(place: Path, tmp_path: Path) -> None:
    for number in range(3):
        image, labels = ball_case(20 + number)
        labels[:2, :2, :2] = 5
        write_case(tmp_path / "data", f"case{number}", image, labels)
    names = {"Label 2": 1, "corner": 5, "Label 1": 2}
    (tmp_path / "data" / "labels.json").write_text(json.dumps(names))
    start = str(place / "run" / "model")
    run(place / "tiny.json", tmp_path / "data", tmp_path / "run", name="more", start=start)
    card = read_card(tmp_path / "run" / "model")
    assert card.training["start"]["model"] == "balls"
    assert card.training["command"].startswith("medai train tiny ") and card.training["command"].endswith(
        "--start balls"
    )
    assert card.training["start"]["classes"] == ["Label 2", "Label 1"]
    old, total = card.training["start"]["tensors"].split(" of ")
    assert old == total
    assert card.spacing == read_card(place / "run" / "model").spacing


def test_outputs_are_taken_over_by_name(place: Path) -> None:
    from MedAILib.labels import Code, Label
    from MedAILib.networks import build
    from MedAILib.training.cases.start import take_over

    card = read_card(place / "run" / "model")
    arguments = {**card.network_arguments, "classes": 4}
    network = build(card.network, arguments)
    fresh = network.head.weight[2].clone()
    table = [
        Label(n, name, (0.0, 0.0, 0.0), Code("SCT", "1", "x"))
        for n, name in ((1, "label 2"), (2, "new"), (3, "Label 1"))
    ]
    taken = take_over(network, card, arguments, table)
    old = load_network(card).head.weight
    assert torch.equal(network.head.weight[[0, 1, 3]], old[[0, 2, 1]])
    assert torch.equal(network.head.weight[2], fresh)
    assert taken.classes == ("label 2", "Label 1")
    assert class_axes(card.network, arguments, 4) == {"head.weight": 0, "head.bias": 0}


def test_a_model_of_another_network_cannot_be_begun_with(place: Path, tmp_path: Path) -> None:
    values = {**recipe_values(), "network": {"name": "vnet", "arguments": {}}}
    (tmp_path / "vnet.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match="same network"):
        run(tmp_path / "vnet.json", place / "data", tmp_path / "run", start=str(place / "run" / "model"))


def test_what_the_card_is_to_say_is_checked_before_the_training(place: Path, tmp_path: Path) -> None:
    for card, message in (({"colour": "red"}, "colour is not a field"), ({"limits": "none"}, "limits: must be a list")):
        with pytest.raises(UsageError, match=message):
            run(place / "tiny.json", place / "data", tmp_path / "run", card=card)
    (tmp_path / "My Recipe.json").write_text((place / "tiny.json").read_text())
    with pytest.raises(UsageError, match="name: must match"):
        run(tmp_path / "My Recipe.json", place / "data", tmp_path / "run")


def test_recipes_and_requests_say_what_is_wrong_with_them(tmp_path: Path) -> None:
    for changes, message in (
        ({"training": {"optimizer": "lion"}}, "optimizer must be one of"),
        ({"plan": {"patches": [1, 2, 3]}}, "unknown setting patches"),
        ({"augmentation": {"flip": "up"}}, "flip must be one of"),
        ({"objectives": {}}, "unknown part objectives"),
    ):
        config = write_recipe(tmp_path, **changes)
        with pytest.raises(UsageError, match=message):
            TrainRequest(str(config), "data", "run").load_recipe()
    with pytest.raises(UsageError, match="such as 'my-model'"):
        TrainRequest("tiny", "data", "run", name="My Model")
    assert model_name("Hippocampus (3 T), left") == "hippocampus-3-t-left"
    with pytest.raises(UsageError, match="incomplete"):
        TrainRequest.read({"output": str(tmp_path), "nonsense": 1})


@pytest.mark.parametrize(("optimizer", "schedule"), [("sgd", "polynomial"), ("adam", "cosine")])
def test_other_optimizers_learn_too(place: Path, tmp_path: Path, optimizer: str, schedule: str) -> None:
    rate = 0.05 if optimizer == "sgd" else 0.01
    changes = {"optimizer": optimizer, "schedule": schedule, "learning_rate": rate, "momentum": 0.9}
    config = write_recipe(tmp_path, training=changes)
    outcome = run(config, place / "data", tmp_path / "run")
    assert outcome.dice["Label 2"] > 0.6


def test_the_shell_checks_trains_and_installs(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, data = str(place / "tiny.json"), str(place / "data")
    assert main(["train", config, "--data", data, "--check"]) == 0
    shown = capsys.readouterr().out
    assert "4 cases that can be used" in shown
    assert "3 cases are trained on, 1 are held out" in shown
    arguments = ["train", config, "--data", data, "--output", str(tmp_path / "run"), "--device", "cpu", "--quiet"]
    assert main([*arguments, "--name", "shelled", "--title", "Of the shell", "--install", "--held-out", "second"]) == 0
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    assert "Of the shell" in capsys.readouterr().out
    assert ModelStore().find("shelled").training["held_out"] == ["second"]
    assert main(["train", config, "--output", str(tmp_path / "run")]) == 2
    (place / "data" / "labels" / "first.nii.gz").rename(tmp_path / "gone.nii.gz")
    try:
        assert main(["train", config, "--data", data, "--check"]) == 5
    finally:
        (tmp_path / "gone.nii.gz").rename(place / "data" / "labels" / "first.nii.gz")


def test_ctrl_c_pauses_and_the_same_command_goes_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = Patches.batch

    def interrupting(self: Any, seeds: Any, fraction: float) -> Any:
        if seeds[0][1] == 40:
            signal.raise_signal(signal.SIGINT)
        return batch(self, seeds, fraction)

    arguments = ["train", str(place / "tiny.json"), "--data", str(place / "data"), "--output", str(tmp_path / "run")]
    monkeypatch.setattr(Patches, "batch", interrupting)
    before = signal.getsignal(signal.SIGINT)
    assert main([*arguments, "--device", "cpu", "--quiet"]) == 130
    assert "Paused after 41 steps" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert main([*arguments, "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["step"] == 50


def test_the_worker_checks_trains_pauses_and_goes_on(place: Path, tmp_path: Path) -> None:
    from MedAILib.progress import Step
    from MedAILib.worker import Worker

    config = write_recipe(tmp_path, training={"steps": 200, "epoch_steps": 50})
    request = TrainRequest(str(config), str(place / "data"), str(tmp_path / "run"), name="worked", install=True)
    with Worker("cpu") as worker:
        found = worker.submit("check_cases", {"data": str(place / "data"), "network": str(config), "plan": {}}).wait()
        assert (found.parameters["cases"], found.parameters["problems"]) == (4, [])
        assert (found.parameters["patch"], found.parameters["training"]) == ([16, 16, 16], 3)
        training_job = worker.submit("train", *request.message())
        begun = threading.Event()

        def pause(event: Any) -> None:
            if isinstance(event, Step) and event.stage == "Training" and event.fraction > 0.1 and not begun.is_set():
                begun.set()
                training_job.cancel()

        with pytest.raises(Cancelled):
            training_job.wait(pause)
        assert RunFolder(tmp_path / "run").resumable
        answer = worker.submit("train", {"output": str(tmp_path / "run"), "resume": True}).wait().parameters
    assert (answer["model"], answer["steps"], answer["concluded"]) == ("worked", 200, False)
    assert answer["dice"]["Label 2"] > 0.8
    assert np.isfinite(answer["seconds"])
