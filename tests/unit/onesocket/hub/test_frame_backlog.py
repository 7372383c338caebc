"""The frames that a hub keeps for clients that lag."""

from onesocket.hub._frame_backlog import MAX_CHUNK, FrameBacklog, FrameBatch


class LaggingClient:
    """A client that reads when it is told to."""

    def __init__(self, backlog: FrameBacklog) -> None:
        self.backlog = backlog
        self.batches: list[FrameBatch] = []
        self.has_fallen_out = False

    @property
    def oldest(self) -> int:
        return self.batches[0].number

    @property
    def size(self) -> int:
        return sum(batch.size for batch in self.batches)

    def put(self, batch: FrameBatch) -> None:
        self.batches.append(batch)
        self.backlog.keep(batch, self)

    def read(self) -> None:
        batch = self.batches.pop(0)
        if not self.batches:
            self.backlog.forget(self)
        self.backlog.release(batch)

    def fall_out(self) -> None:
        self.has_fallen_out = True
        while self.batches:
            self.read()


def batch_of(size: int) -> FrameBatch:
    return FrameBatch([b"x" * size], 1)


def test_each_batch_is_kept_once_until_the_last_client_has_begun_it() -> None:
    backlog = FrameBacklog(100)
    readers = [LaggingClient(backlog) for _ in range(3)]
    for size in (10, 20):
        batch = batch_of(size)
        for reader in readers:
            reader.put(batch)
    assert backlog.size == 30
    readers[0].read()
    readers[1].read()
    assert backlog.size == 30
    readers[2].read()
    assert backlog.size == 20
    for reader in readers:
        reader.read()
    assert (backlog.size, repr(backlog)) == (0, "<FrameBacklog bytes=0 clients=0>")


def test_the_client_that_lags_furthest_falls_out_and_the_newest_batch_is_kept_whatever_its_size() -> None:
    backlog = FrameBacklog(100)
    slow, quick = LaggingClient(backlog), LaggingClient(backlog)
    slow.put(batch_of(60))
    for reader in (slow, quick):
        reader.put(batch_of(30))
    large = batch_of(1000)
    quick.read()
    for reader in (slow, quick):
        reader.put(large)
    assert (slow.has_fallen_out, quick.has_fallen_out) == (True, False)
    assert (backlog.size, quick.batches) == (1000, [large])


def test_a_client_that_asks_for_much_and_reads_nothing_costs_no_other_one_its_connection() -> None:
    backlog = FrameBacklog(100)
    slow, greedy = LaggingClient(backlog), LaggingClient(backlog)
    slow.put(batch_of(10))
    for _ in range(10):
        greedy.put(batch_of(10))
    assert (slow.has_fallen_out, greedy.has_fallen_out) == (False, True)
    assert backlog.size == slow.size == 10


def test_frames_are_joined_to_chunks_of_a_bounded_size() -> None:
    half = b"x" * (MAX_CHUNK // 2)
    assert [len(chunk) for chunk in FrameBatch.of([b"x"] * 10).chunks] == [30]
    assert [len(chunk) for chunk in FrameBatch.of([half, b"", b"y" * MAX_CHUNK, half]).chunks] == [
        MAX_CHUNK // 2 + 12,
        MAX_CHUNK + 10,
        MAX_CHUNK // 2 + 10,
    ]
    large = FrameBatch.of([b"x" * (2 * MAX_CHUNK + 1), "last"])
    assert [len(chunk) for chunk in large.chunks] == [MAX_CHUNK + 10, MAX_CHUNK + 10, 3 + 6]
    assert (large.count, large.size) == (2, 2 * MAX_CHUNK + 29)
