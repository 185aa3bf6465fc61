"""Which rows are computed together: of similar lengths, and with no more padding than there is room for."""

from collections.abc import Iterator, Sequence

from seqloom.data import evaluation_order

BATCH = 64
ROOM = 1 << 15  # steps of a batch, padding counted


def batches_within(lengths: Sequence[int], *, room: int = ROOM) -> Iterator[list[int]]:
    """All rows in batches, short ones first, none with more than `room` steps but where a single row has more."""
    for rows in evaluation_order(lengths, batch_size=BATCH):
        batch: list[int] = []
        for row in rows:  # rising, so that the newest is the longest
            if batch and (len(batch) + 1) * lengths[row] > room:
                yield batch
                batch = []
            batch.append(row)
        yield batch
