"""Networks that users bring answer on the slices that carry prompts, and on no other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from MedAILib.errors import Cancelled, ModelError
from MedAILib.image import Image
from MedAILib.interactive.answering import answer_prompts
from MedAILib.interactive.marks import marks_of
from MedAILib.interactive.network.card import write_network
from MedAILib.interactive.prompts import Prompt
from MedAILib.interactive.request import Engine
from MedAILib.interactive.segmenter import go_on
from MedAILib.interactive.slices.card import CARD_NAME, read_slice_card
from MedAILib.interactive.slices.fitting import Square
from MedAILib.interactive.slices.planes import numbers, plane_axis, prompts_on
from MedAILib.interactive.slices.readers import PEMedReader, SamReader, SPPNetReader
from MedAILib.interactive.slices.segmenter import NOTHING_FOUND, SliceSegmenter
from MedAILib.networks import build
from MedAILib.networks.promptable import PromptableUNet
from MedAILib.pipeline.interact_task import Volume
from Unit.registration_tools import single_thread
from Unit.slice_tools import NETWORKS, disk, fresh, taught, written

SPACING = (5.0, 1.0, 1.0)
FIRST, SECOND = (16, 20, 7), (36, 44, 6)
"""Row, column and radius of the two disks on each slice."""


@pytest.fixture(autouse=True, scope="module")
def threads():
    with single_thread():
        yield


def scan(spacing=SPACING):
    slices = disk(*FIRST, (48, 60)) + disk(*SECOND, (48, 60))
    array = 100.0 + 400.0 * slices.expand(6, -1, -1).numpy()
    return Image(array, np.diag([*spacing[::-1], 1.0]), "scan")


def at(image, k, j, i, **more):
    return Prompt("point", [image.affine[:3] @ [i, j, k, 1]], **more)


def box(image, low, high):
    return Prompt("box", [image.affine[:3] @ [*corner[::-1], 1] for corner in (low, high)])


def answered(segmenter, image, prompts, current=None, check=go_on):
    """The object after an answer, and the answer."""
    current = np.zeros(image.shape, bool) if current is None else current
    answer = answer_prompts(segmenter, image, prompts, 1, current, check)
    found = current.copy()
    found[answer.box] = answer.inside
    return found, answer


def dice(one, other):
    return 2.0 * (one & other).sum() / max(1, one.sum() + other.sum())


class Bright:
    """A reader that finds what is bright, and counts its looks and answers."""

    def __init__(self):
        self.looks, self.said = [], []

    def look(self, picture, spacing):
        self.looks.append((picture, spacing))
        return picture

    def answer(self, seen, prompts):
        self.said.append(prompts)
        return (seen > 0.5).numpy()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("slices")
    return {name: written(taught(name, 60), name, root / name) for name in ("sam", "sppnet")}


@pytest.fixture
def mammo(tmp_path):
    """Mammo-SAM on a scan, as if it had learned that what is bright is a mass."""
    image = scan()
    segmenter = SliceSegmenter(image, written(fresh("mammo_sam"), "mammo_sam", tmp_path / "mammo"))
    segmenter._reader.network.forward = lambda image: image[:, :1]
    return image, segmenter


@pytest.fixture
def bright(tmp_path):
    image = scan()
    segmenter = SliceSegmenter(image, written(fresh("pe_med"), "pe_med", tmp_path / "any", side=64))
    segmenter._reader = Bright()
    return image, segmenter


@pytest.mark.parametrize("name", ["sam", "sppnet"])
@pytest.mark.parametrize("spacing", [SPACING, (5.0, 1.5, 1.2)])
def test_a_click_finds_what_the_users_network_learned_on_its_slice_only(folders, name, spacing):
    image = scan(spacing)
    found, answer = answered(SliceSegmenter(image, folders[name]), image, [at(image, 3, *FIRST[:2])])
    row, column, radius = FIRST
    near = np.zeros((48, 60), bool)
    near[row - 10 : row + 11, column - 10 : column + 11] = True
    assert dice(found[3] & near, disk(row, column, radius, (48, 60)).numpy() > 0) > 0.75
    assert not np.delete(found, 3, 0).any()
    assert answer.box[0] == slice(3, 4) and answer.inside.any(0).any() and found[3, row, column]


def test_mammo_sam_gives_the_parts_that_are_marked_or_all_that_is_framed(mammo):
    image, segmenter = mammo
    disks = [disk(*each, (48, 60)).numpy() > 0 for each in (FIRST, SECOND)]
    one, _ = answered(segmenter, image, [at(image, 2, *FIRST[:2])])
    assert dice(one[2], disks[0]) > 0.95 and one.sum() == one[2].sum()
    both, _ = answered(segmenter, image, [at(image, 2, *FIRST[:2]), at(image, 2, *SECOND[:2])], one)
    assert dice(both[2], disks[0] | disks[1]) > 0.95
    framed, _ = answered(segmenter, image, [box(image, (1, 0, 0), (2, 47, 59))])
    assert (framed[1] == framed[2]).all() and dice(framed[1], disks[0] | disks[1]) > 0.95
    assert not framed[3:].any() and not framed[0].any()
    half, _ = answered(segmenter, image, [box(image, (1, 0, 0), (1, 34, 59))])
    rest = disks[1].copy()
    rest[35:] = False
    assert dice(half[1], disks[0] | rest) > 0.95 and not half[1, 35:].any()


def test_where_the_network_finds_nothing_the_mark_stands_alone_and_the_user_is_told(mammo):
    image, segmenter = mammo
    found, answer = answered(segmenter, image, [at(image, 2, 44, 3)])
    assert found.sum() == 1 and found[2, 44, 3] and answer.notes == (NOTHING_FOUND,)


def test_marks_are_obeyed_whatever_the_network_says(bright):
    image, segmenter = bright
    said = [at(image, 2, 3, 50), at(image, 2, *FIRST[:2], positive=False)]
    found, _ = answered(segmenter, image, said)
    assert found[2, 3, 50] and not found[2, FIRST[0], FIRST[1]] and found[2, FIRST[0], FIRST[1] + 1]
    found, _ = answered(segmenter, image, [*said, box(image, (2, 0, 0), (2, 20, 59))])
    assert not found[2, 21:].any() and found[2, 3, 50]


def test_a_stroke_through_several_slices_answers_each_once(bright):
    image, segmenter = bright
    row, column, _ = FIRST
    stroke = Prompt("stroke", [image.affine[:3] @ [column, row, k, 1] for k in (1.0, 3.0)])
    found, _ = answered(segmenter, image, [stroke])
    assert [k for k in range(6) if found[k].any()] == [1, 2, 3] and len(segmenter._reader.looks) == 3
    again = [stroke, at(image, 2, row, column + 3, positive=False)]
    found, _ = answered(segmenter, image, again, found)
    assert len(segmenter._reader.looks) == 3 and len(segmenter._reader.said) == 4  # one slice anew, seen before
    assert len(segmenter._reader.said[-1].inside) == 1 and len(segmenter._reader.said[-1].outside) == 1


def test_confirming_changes_nothing_and_asks_no_network(bright):
    image, segmenter = bright
    current = np.zeros(image.shape, bool)
    current[2, 10:20, 10:30] = True
    found, _ = answered(segmenter, image, [at(image, 2, 15, 15)], current)
    assert (found == current).all() and segmenter._reader.said == []
    found, _ = answered(segmenter, image, [at(image, 2, 1, 1, positive=False)], current)
    assert (found == current).all() and segmenter._reader.said == []
    found, _ = answered(segmenter, image, [at(image, 3, 15, 15)], current)
    assert (found[2] == current[2]).all() and found[3].any()


def test_a_new_box_clears_what_lies_beyond_it_and_is_answered_once(bright):
    image, segmenter = bright
    current = np.zeros(image.shape, bool)
    current[5, 10:20, 10:30] = True
    frame = box(image, (1, 5, 5), (2, 30, 40))
    found, _ = answered(segmenter, image, [frame], current)
    assert not found[5].any() and found[1:3].any((1, 2)).all() and len(segmenter._reader.said) == 2
    answered(segmenter, image, [frame, at(image, 1, 29, 6)], found)
    assert len(segmenter._reader.said) == 3  # the box is known


def test_a_stop_between_slices_ends_the_answer(bright):
    image, segmenter = bright
    calls = []

    def check():
        calls.append(None)
        if len(calls) == 2:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        answered(segmenter, image, [box(image, (1, 5, 5), (4, 30, 40))], check=check)
    assert len(segmenter._reader.said) == 1


def test_the_window_of_the_card_or_of_the_volume_becomes_black_and_white(tmp_path):
    image = Image(np.arange(4 * 50 * 50, dtype=np.float32).reshape(4, 50, 50), np.diag([1.0, 1, 5, 1]), "ramp")
    for window, wanted in (((2500.0, 5000.0), (0.0, 1.0)), (None, (0.25, 0.5))):
        folder = written(fresh("pe_med"), "pe_med", tmp_path / str(window), side=64, window=window)
        segmenter = SliceSegmenter(image, folder)
        segmenter._reader = Bright()
        segmenter._look(0, 1)
        picture, spacing = segmenter._reader.looks[0]
        assert (float(picture.min()), float(picture.max())) == pytest.approx(wanted, abs=0.01) and spacing == (1, 1)


def test_slices_lie_along_the_thickest_axis_else_as_drawn_else_axially():
    point, flat = np.array([[5, 5, 5]]), np.array([[5, 5, 5], [6, 5, 9]])  # flat: in the plane of j = 5
    volume = np.zeros((20, 20, 20), np.float32)
    assert plane_axis(Image(volume, np.diag([3.0, 1, 1, 1])), flat) == 2
    assert plane_axis(Image(volume, np.diag([1.0, 2, 2, 1])), point) == 0
    cube = Image(volume, np.eye(4))
    assert plane_axis(cube, point) == 0 and plane_axis(cube, flat) == 1 and plane_axis(cube, flat[:0]) == 0
    sagittal = np.eye(4)[[2, 0, 1, 3]]  # i runs along y, j along z, k along x
    assert plane_axis(Image(volume, sagittal), point) == 1
    assert plane_axis(Image(volume[:, :, :1], np.diag([0.1, 1, 1, 1])), point) == 2  # a single slice


def test_prompts_are_split_by_slices():
    image = scan((1.0, 1.0, 1.0))
    said = [at(image, 2, 10, 11), at(image, 3, 12, 13, positive=False), box(image, (1, 2, 3), (4, 30, 40))]
    marks = marks_of(said, 1, image.shape, image.affine)
    current = np.zeros(image.shape, bool)
    two, five = (prompts_on(marks, 0, number, current, 1) for number in (2, 5))
    assert two.inside.tolist() == [[10, 11]] and not len(two.outside) and two.frame == (slice(2, 31), slice(3, 41))
    assert five.frame == (slice(0, 0), slice(0, 0)) and not five.obeyed(np.ones((48, 60), bool)).any()
    across = prompts_on(marks, 1, 12, current, 1)
    assert across.outside.tolist() == [[3, 13]] and across.frame == (slice(1, 5), slice(3, 41))
    assert numbers(marks, 0, current, False) == [3] and numbers(marks, 0, current, True) == [1, 2, 3, 4]


@pytest.mark.parametrize(("shape", "spacing", "fitted"), [((48, 60), (1, 1), (51, 64)), ((48, 60), (2, 1), (64, 40))])
def test_pixels_go_to_the_square_and_back(shape, spacing, fitted):
    square = Square(shape, spacing, 64)
    assert square.fitted == fitted
    spot = torch.zeros(1, 1, *shape)
    spot[0, 0, 20:23, 30:33] = 1.0
    seen = square.to(spot, -1.0)
    assert seen.shape == (1, 1, 64, 64) and (seen == -1).sum() == 64 * 64 - fitted[0] * fitted[1]
    (x, y) = square.points(np.array([[21, 31]]))[0]
    bright = (seen[0, 0] > 0.2).nonzero().float().mean(0)
    assert bright.tolist() == pytest.approx([y, x], abs=0.75)
    back = square.back(square.to(disk(20, 30, 9, shape)[None, None] - 0.5, -1.0))
    assert dice((back > 0).numpy(), disk(20, 30, 9, shape).numpy() > 0) > 0.97


def said_on(shape, inside, outside=(), newest=(), positive=True, frame=None, current=None):
    from MedAILib.interactive.slices.planes import SlicePrompts

    def pixels(places):
        return np.array(places, np.int64).reshape(-1, 2)

    current = np.zeros(shape, bool) if current is None else current
    return SlicePrompts(1, pixels(inside), pixels(outside), pixels(newest), positive, frame, current)


def test_sam_gives_its_best_guess_after_one_point_and_its_first_mask_after_more():
    network, heard = fresh("sam").eval(), []

    def answer(embedding, points, labels, box=None):
        heard.append((points, labels, box))
        logits = torch.full((1, 4, 16, 16), -1.0)
        logits[0, 0, :8], logits[0, 2, 8:] = 1.0, 1.0  # mask 0 is the upper half, mask 2 the lower one
        return logits, torch.tensor([[9.0, 1.0, 3.0, 2.0]])

    network.answer = answer
    reader = SamReader(network)
    seen = reader.look(torch.zeros(64, 64), (1.0, 1.0))
    one = reader.answer(seen, said_on((64, 64), [[10, 20]]))
    assert one[40:].all() and not one[:24].any() and heard[0][0].tolist() == [[[20.0, 10.0]]]
    two = reader.answer(seen, said_on((64, 64), [[10, 20]], [[30, 40]]))
    assert two[:24].all() and not two[40:].any() and heard[1][1].tolist() == [[1, 0]]
    framed = reader.answer(seen, said_on((64, 64), [], frame=(slice(5, 20), slice(6, 31))))
    assert framed[:24].all() and heard[2][2].tolist() == [[6.0, 5.0, 30.0, 19.0]] and heard[2][0].shape == (1, 0, 2)
    current = np.zeros((64, 64), bool)
    current[20:29, 30:39] = True  # it is shown in its center
    reader.answer(seen, said_on((64, 64), [], [[5, 5]], current=current))
    assert heard[3][0].tolist() == [[[34.0, 24.0], [5.0, 5.0]]]
    assert reader.answer(seen, said_on((64, 64), [], [[5, 5]])) is None


def test_sppnet_hears_one_point_of_each_sign():
    network, heard = fresh("sppnet").eval(), []
    network.answer = lambda embedded, points, labels: (
        heard.append((points[0].tolist(), labels[0].tolist())) or (torch.zeros(1, 1, 16, 16))
    )
    reader = SPPNetReader(network)
    seen = reader.look(torch.zeros(64, 64), (1.0, 1.0))
    line = [[30, column] for column in range(10, 21)]
    square = [[row, column] for row in range(40, 45) for column in range(40, 45)]
    reader.answer(seen, said_on((64, 64), line + square, [[1, 2], [60, 60]], newest=[[60, 60]], positive=False))
    reader.answer(seen, said_on((64, 64), line + square, newest=line))
    reader.answer(seen, said_on((64, 64), [], frame=(slice(5, 20), slice(6, 31))))
    assert heard[0] == ([[42.0, 42.0], [60.0, 60.0]], [1, 0])  # the deepest of all, and the newest
    assert heard[1] == ([[10.0, 30.0]], [1]) and heard[2] == ([[18.0, 12.0]], [1])


def test_pe_med_sees_the_mask_as_it_is_and_its_last_answer_while_that_stands():
    network, heard = fresh("pe_med").eval(), []
    forward = network.forward

    def listened(*arguments):
        heard.append(arguments)
        return forward(*arguments)

    network.forward = listened
    reader = PEMedReader(network, 64)
    with torch.inference_mode():
        seen = reader.look(torch.rand(64, 64), (1.0, 1.0))
        first = said_on((64, 64), [[10, 20]])
        current = first.obeyed(reader.answer(seen, first))
        assert heard[0][3] is None and heard[0][4] is None and heard[0][1].sum() == 81  # a disk of radius 5
        reader.answer(seen, said_on((64, 64), [[10, 20]], [[30, 30]], current=current))
        assert heard[1][3].shape == (1, 1, 64, 64) and heard[1][4] is not None and heard[1][2].sum() == 81
        current[0, 0] ^= True  # the user painted
        reader.answer(seen, said_on((64, 64), [[10, 20]], [[30, 30]], current=current))
        assert heard[2][3] is not None and heard[2][4] is not heard[1][4] and heard[2][4] is None


def test_the_worker_takes_folders_of_slice_networks(folders):
    segmenter, name = Volume(scan(), "cpu").segmenter(Engine("network", str(folders["sppnet"])))
    assert isinstance(segmenter, SliceSegmenter) and name == "network"
    assert Engine("network", "own").model == str(Path.cwd() / "own")  # the worker works elsewhere


def test_without_trained_weights_there_is_no_answer(tmp_path):
    image = scan()
    with pytest.raises(ModelError, match="Choose the folder"):
        SliceSegmenter(image, tmp_path)
    folder = written(fresh("sppnet"), "sppnet", tmp_path / "sppnet")
    card = json.loads((folder / CARD_NAME).read_text())

    def refused(match, **changes):
        (folder / CARD_NAME).write_text(json.dumps({**card, **changes}))
        with pytest.raises(ModelError, match=match):
            SliceSegmenter(image, folder)

    refused("not trained", trained=False)
    refused("not trained", training={"steps": 3})
    refused("window", window=[5, 5])
    refused("missing or wrong", side=100)
    refused("missing or wrong", network="sppnet")
    refused("do not belong", network={"name": "sam", "arguments": NETWORKS["sam"]})
    refused("no network", network={"name": "sppnet2", "arguments": {}})
    refused("damaged", weights={**card["weights"], "sha256": "0" * 64})
    (folder / "weights.safetensors").unlink()
    refused("weights of model sppnet are missing")


def test_networks_of_other_kinds_are_refused(tmp_path):
    network = PromptableUNet(widths=(8, 8), groups=4)
    arguments = {"widths": [8, 8], "groups": 4}
    card = {"name": "clicks", "network": {"name": "promptable_unet", "arguments": arguments}}
    folder = write_network(network, tmp_path, {**card, "training": {"steps": 1000}})
    (folder / "clicks.json").rename(folder / CARD_NAME)
    with pytest.raises(ModelError, match="does not answer prompts on slices"):
        SliceSegmenter(scan(), read_slice_card(folder))
    colored = {**NETWORKS["pe_med"], "channels": 3}
    folder = written(build("pe_med", colored), "pe_med", tmp_path / "colored")
    card = json.loads((folder / CARD_NAME).read_text())
    (folder / CARD_NAME).write_text(json.dumps({**card, "network": {"name": "pe_med", "arguments": colored}}))
    with pytest.raises(ModelError, match="sees 3 channels"):
        SliceSegmenter(scan(), folder)
