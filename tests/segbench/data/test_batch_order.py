from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.data.batch_order import count_batches, epoch_batches, sample_seed

COUNTS = st.integers(2, 80)
BATCHES = st.integers(2, 9)
WORLDS = st.integers(1, 4)


@settings(deadline=None, max_examples=60)
@given(count=COUNTS, batch_size=BATCHES, world_size=WORLDS, epoch=st.integers(0, 3))
def test_processes_share_an_epoch_without_duplicates(count: int, batch_size: int, world_size: int, epoch: int) -> None:
    shares = [list(epoch_batches(count, batch_size, seed=1, epoch=epoch, rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert {len(share) for share in shares} == {count_batches(count, batch_size, world_size=world_size)}
    assert all(2 <= len(batch) <= batch_size for share in shares for batch in share)
    drawn = [index for share in shares for batch in share for index in batch]
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(range(count))
    # dropped is less than two images per process, and nothing where the processes can share evenly
    assert count - len(drawn) < 2 * world_size
    if count % (batch_size * world_size) == 0:
        assert len(drawn) == count


@settings(deadline=None, max_examples=60)
@given(count=st.integers(8, 60), batch_size=BATCHES)
def test_a_global_batch_holds_the_same_images_however_many_processes_share_it(count: int, batch_size: int) -> None:
    one = list(epoch_batches(count, 2 * batch_size, seed=3, epoch=0))
    two = [list(epoch_batches(count, batch_size, seed=3, epoch=0, rank=rank, world_size=2)) for rank in (0, 1)]
    for whole, left, right in zip(one, *two, strict=False):
        assert whole == left + right


def test_only_a_last_batch_of_one_is_dropped() -> None:
    sizes = {count: [len(b) for b in epoch_batches(count, 4, seed=0, epoch=0)] for count in (8, 9, 10, 2)}
    assert sizes == {8: [4, 4], 9: [4, 4], 10: [4, 4, 2], 2: [2]}


def test_epochs_and_seeds_differ_and_drop_different_images() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [index for batch in epoch_batches(41, 4, seed=seed, epoch=epoch) for index in batch]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    dropped = {index for epoch in range(30) for index in set(range(41)) - set(order(0, epoch))}
    assert len(dropped) > 10


def test_seeds_of_samples_do_not_collide() -> None:
    seeds = {sample_seed(seed, epoch, index) for seed in range(3) for epoch in range(10) for index in range(200)}
    assert len(seeds) == 3 * 10 * 200
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert math.isclose(sum(seeds) / len(seeds) / 2**62, 1.0, rel_tol=0.1)
