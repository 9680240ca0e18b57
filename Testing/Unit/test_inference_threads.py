"""Small volumes get fewer threads, and the next task gets back what there was."""

from __future__ import annotations

import pytest
import torch

from MedAILib.inference.threads import threads_for


@pytest.fixture(autouse=True)
def _four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("voxels", "count"), [(1, 1), (700_000, 1), (1_500_000, 3), (10**9, 4)])
def test_threads_grow_with_the_volume_up_to_those_there_are(voxels, count):
    with threads_for(voxels) as given:
        assert given == torch.get_num_threads() == count
    assert torch.get_num_threads() == 4


def test_the_threads_come_back_after_an_error():
    with pytest.raises(ValueError, match="bad"), threads_for(1):
        raise ValueError("bad")
    assert torch.get_num_threads() == 4
