"""The steps around the network: finding the region, the modality, cleaning, and doubts about a result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MedAILib.errors import ModalityError
from MedAILib.image import Image, Kind
from MedAILib.labels import LEFT, RIGHT
from MedAILib.models import ModelCard, read_card
from MedAILib.pipeline.cleaning import keep_largest, remove_crumbs
from MedAILib.pipeline.modality import check_modality
from MedAILib.pipeline.plausibility import warnings_of
from MedAILib.region import box_shape, foreground_box
from MedAILib.spatial import reorient
from MedAILib.statistics import label_statistics
from tiny_model import BALL, CORE, ball, truth


@pytest.fixture
def card(tiny: Path) -> ModelCard:
    return read_card(tiny)


def found(array: np.ndarray, affine: np.ndarray, card: ModelCard) -> list[str]:
    """Codes of the warnings that a label map raises."""
    labels = Image(array.astype(np.uint8), affine, "result", Kind.LABEL)
    volumes = label_statistics(labels, Image(array.astype(float), affine), card.labels)
    return [warned.code for warned in warnings_of(labels, volumes, {}, card)]


class TestRegion:
    def test_the_box_holds_the_object_with_its_margin_and_not_much_more(self) -> None:
        array, _ = ball((80, 90, 100), radius=30.0)
        noisy = array + np.random.default_rng(0).normal(0, 5, array.shape)
        box = foreground_box(noisy, (2.0, 2.0, 2.0), margin=10.0)
        inside = np.argwhere(array >= 100)
        for axis in range(3):
            assert box[axis].start <= inside[:, axis].min() - 5
            assert box[axis].stop >= inside[:, axis].max() + 6
            assert box_shape(box)[axis] < 50

    def test_a_small_bright_spot_far_away_does_not_widen_the_box(self) -> None:
        array, _ = ball((80, 90, 100))
        array[2:5, 2:5, 2:5] = 150
        assert box_shape(foreground_box(array, (2.0, 2.0, 2.0))) < (40, 40, 40)

    def test_a_volume_without_background_is_kept_whole(self) -> None:
        array = np.random.default_rng(0).normal(100, 5, (20, 30, 40))
        assert box_shape(foreground_box(array, (3.0, 3.0, 3.0))) == (20, 30, 40)

    def test_a_volume_that_is_nearly_constant_is_kept_whole(self) -> None:
        array = np.zeros((20, 30, 40))
        array[1, 1, 1] = 1
        assert box_shape(foreground_box(array, (1.0, 1.0, 1.0))) == (20, 30, 40)


class TestModality:
    def test_a_known_other_modality_is_refused_with_both_names(self, card: ModelCard) -> None:
        array, affine = ball()
        with pytest.raises(ModalityError, match=r"scan: is CT, the model tiny is for MR.*--force"):
            check_modality(Image(array, affine, "scan"), card, "CT")

    def test_hounsfield_units_are_recognised_when_nothing_is_known(self, card: ModelCard) -> None:
        array, affine = ball()
        with pytest.raises(ModalityError, match="values look like CT"):
            check_modality(Image(array - 1024, affine, "scan"), card)

    def test_a_known_fitting_modality_is_believed_whatever_the_values(self, card: ModelCard) -> None:
        array, affine = ball()
        check_modality(Image(array - 1024, affine), card, "mr")

    def test_a_few_negative_outliers_are_no_ct(self, card: ModelCard) -> None:
        array, affine = ball()
        array[0, 0, :4] = -2000
        check_modality(Image(array, affine), card)

    def test_a_ct_model_takes_hounsfield_units(self, card: ModelCard) -> None:
        array, affine = ball()
        check_modality(Image(array - 1024, affine), replace(card, modality=("CT",)))


class TestCleaning:
    def test_parts_away_from_the_largest_are_cleared(self) -> None:
        labels = truth(ball()[0]).astype(np.uint8)
        clean = labels.copy()
        labels[1:3, 1:3, 1:3] = CORE
        assert keep_largest(labels) == 8
        np.testing.assert_array_equal(labels, clean)

    def test_touching_labels_are_one_part(self) -> None:
        labels = np.zeros((6, 6, 6), np.uint8)
        labels[1:3], labels[3:5] = 1, 2
        assert keep_largest(labels) == 0

    def test_an_empty_map_stays_empty(self) -> None:
        labels = np.zeros((4, 4, 4), np.uint8)
        assert keep_largest(labels) == 0
        assert remove_crumbs(labels) == 0

    def test_a_crumb_takes_the_label_that_surrounds_it(self) -> None:
        labels = np.ones((20, 20, 20), np.uint8)
        labels[:10] = 2
        labels[15, 5, 5] = 2
        assert remove_crumbs(labels) == 1
        assert (labels[10:] == 1).all()

    def test_a_second_part_of_fair_size_stays(self) -> None:
        labels = np.ones((20, 20, 20), np.uint8)
        labels[:4, :4, :4] = labels[10:13, 10:13, 10:13] = 2
        before = labels.copy()
        assert remove_crumbs(labels) == 0
        np.testing.assert_array_equal(labels, before)


class TestPlausibility:
    def test_a_result_as_expected_raises_no_doubt(self, card: ModelCard) -> None:
        array, affine = ball()
        assert found(truth(array), affine, card) == []

    def test_an_empty_result_says_that_nothing_was_found(self, card: ModelCard) -> None:
        array, affine = ball()
        assert found(np.zeros_like(array), affine, card) == ["nothing-found"]

    def test_a_total_out_of_range_is_told(self, card: ModelCard) -> None:
        array, affine = ball()
        assert "implausible-total" in found(truth(array), affine @ np.diag([3, 3, 3, 1]), card)

    def test_a_missing_structure_is_out_of_its_range(self, card: ModelCard) -> None:
        array, affine = ball()
        labels = np.where(truth(array) == CORE, BALL, truth(array))
        narrow = replace(card, plausible_ml={"Core": (0.5, 2.0)})
        assert found(labels, affine, narrow) == ["implausible-volumes"]
        assert found(truth(array), affine, narrow) == []

    def test_a_cut_off_organ_is_told_with_the_side(self, card: ModelCard) -> None:
        array, affine = ball()
        labels = Image(truth(array)[20:].astype(np.uint8), affine, "result", Kind.LABEL)
        for codes in ("RAS", "LPI", "SRA"):
            turned = reorient(labels, codes)
            volumes = label_statistics(turned, turned, card.labels)
            messages = {w.code: w.message for w in warnings_of(turned, volumes, {}, card)}
            assert "reaches the lower border" in messages["cut-off"]

    def test_sides_that_differ_grossly_are_told(self, card: ModelCard) -> None:
        array, affine = ball()
        one, other = card.classes
        pair = (replace(one, modifier=LEFT), replace(other, modifier=RIGHT))
        assert "uneven-sides" in found(truth(array), affine, replace(card, classes=pair))

    def test_parts_of_one_type_are_compared_in_their_order(self, card: ModelCard) -> None:
        array, affine = ball((40, 44, 96))
        one, other = card.classes
        labels = truth(array)
        twice = np.where(
            np.roll(labels, 30, axis=2) > 0, np.roll(labels, 30, axis=2) + 20, np.roll(labels, -10, axis=2)
        )
        left, right = ([replace(part, modifier=side) for part in (one, other)] for side in (LEFT, RIGHT))
        moved = [replace(part, value=part.value + 20, name=f"right {part.name}") for part in right]
        both = replace(card, classes=(*left, *moved), total_ml=None)
        assert found(twice, affine, both) == []
        twice[twice == moved[1].value] = moved[0].value
        assert found(twice, affine, both) == ["uneven-sides"]

    def test_an_unsure_network_is_told(self, card: ModelCard) -> None:
        array, affine = ball()
        labels = Image(truth(array).astype(np.uint8), affine, "result", Kind.LABEL)
        volumes = label_statistics(labels, labels, card.labels)
        warned = warnings_of(labels, volumes, {"Ball": 0.9, "Core": 0.4}, card)
        assert [one.message for one in warned] == ["The network is unsure of: Core (0.40). Check these structures."]

    def test_thick_slices_are_told(self, card: ModelCard) -> None:
        affine = np.diag([2.0, 2.0, 6.0, 1.0])
        array, _ = ball((16, 44, 48), affine)
        assert found(truth(array), affine, card) == ["thick-slices"]
