"""The rows of each epoch in the order of that epoch, made while the device is busy with the one before."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future

import numpy as np
from jaxtyping import Float32, Int32, Int64

from evercast.networks.folds import shuffled
from evercast.networks.group import Group

__all__ = ["EpochRows"]


class EpochRows:
    """Rows and weights of the training part of some networks, each in its own order, which its seed decides.

    Args:
        group: the networks.
        seeds: of them.
        epochs: how many there are at most.
        batch: events in a step.
        ahead: makes the orders of the next epoch beside; None: they are made when they are asked for.
    """

    def __init__(
        self, group: Group, seeds: Sequence[int], *, epochs: int, batch: int, ahead: Executor | None = None
    ) -> None:
        self._group, self._seeds, self._epochs, self._batch = group, tuple(seeds), epochs, batch
        self._ahead = ahead
        self._coming: tuple[int, list[Future[np.ndarray]]] = (-1, [])

    def of(
        self, epoch: int
    ) -> tuple[Int32[np.ndarray, "networks steps batch"], Float32[np.ndarray, "networks steps batch"]]:
        """Return rows and weights of an epoch; padding has weight 0."""
        orders = np.stack(self._orders(epoch))
        shape = (len(self._seeds), -1, self._batch)
        rows = np.take_along_axis(self._group.training_rows, orders, axis=1).reshape(shape)
        weight = np.take_along_axis(self._group.training_weight, orders, axis=1).reshape(shape)
        return rows, weight

    def _orders(self, epoch: int) -> list[Int64[np.ndarray, " rows"]]:
        if self._ahead is None:
            return [self._order(seed, epoch) for seed in self._seeds]
        asked, coming = self._coming
        found = [one.result() for one in (coming if asked == epoch else self._ask(self._ahead, epoch))]
        self._coming = (epoch + 1, self._ask(self._ahead, epoch + 1) if epoch + 1 < self._epochs else [])
        return found

    def _ask(self, executor: Executor, epoch: int) -> list[Future[np.ndarray]]:
        return [executor.submit(self._order, seed, epoch) for seed in self._seeds]

    def _order(self, seed: int, epoch: int) -> Int64[np.ndarray, " rows"]:
        return shuffled(self._group.training_rows.shape[1], seed=seed, turn=epoch)
