"""Channels under real threads: what is dropped, who waits, and that closing frees everybody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.channels import Closed, Latest, Lossless

LONG_S = 60.0  # only reached when a test fails


@given(st.lists(st.sampled_from(["put", "get"]), max_size=40))
def test_latest_hands_out_the_newest_once_and_counts_the_rest(steps: list[str]) -> None:
    channel: Latest[int] = Latest()
    puts, unread, drops = 0, False, 0
    for step in steps:
        if step == "put":
            puts, drops, unread = puts + 1, drops + unread, True
            channel.put(puts)
        elif unread:
            assert channel.get(0) == puts
            unread = False
        else:
            with pytest.raises(TimeoutError):
                channel.get(0)
    assert channel.drops == drops


def test_lossless_loses_nothing_between_threads() -> None:
    channel: Lossless[int] = Lossless(3)
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(lambda: list(_drain(channel)))
        for i in range(500):
            channel.put(i)
            assert len(channel) <= 3
        channel.close()
        assert received.result(LONG_S) == list(range(500))
    assert channel.drops == 0


def test_lossless_holds_the_producer_back_until_there_is_room() -> None:
    channel: Lossless[int] = Lossless(1)
    channel.put(0)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(channel.put, 1)
        with pytest.raises(NotYet):
            second.result(0.05)
        assert channel.get() == 0
        second.result(LONG_S)
        assert channel.get() == 1


@pytest.mark.parametrize("make", [Latest, lambda: Lossless(2)], ids=["latest", "lossless"])
def test_what_was_queued_is_read_after_close_and_then_it_is_over(make: Callable[[], Latest[int] | Lossless[int]]) -> None:
    channel = make()
    channel.put(7)
    channel.close()
    with pytest.raises(Closed):
        channel.put(8)
    assert channel.get() == 7
    with pytest.raises(Closed):
        channel.get()


def test_closing_with_discard_empties_it() -> None:
    channel: Lossless[int] = Lossless(2)
    channel.put(7)
    channel.close(discard=True)
    with pytest.raises(Closed):
        channel.get(LONG_S)


def test_close_wakes_a_waiting_consumer_and_a_waiting_producer() -> None:
    empty: Latest[int] = Latest()
    full: Lossless[int] = Lossless(1)
    full.put(0)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(empty.get), pool.submit(full.put, 1)]
        for channel in (empty, full):
            channel.close()
        for future in waiting:
            with pytest.raises(Closed):
                future.result(LONG_S)


def test_many_producers_one_consumer() -> None:
    channel: Lossless[tuple[int, int]] = Lossless(4)

    def produce(name: int) -> None:
        for i in range(100):
            channel.put((name, i))

    producers = [threading.Thread(target=produce, args=(n,)) for n in range(4)]
    for thread in producers:
        thread.start()
    received = [channel.get(LONG_S) for _ in range(400)]
    for thread in producers:
        thread.join(LONG_S)
    for name in range(4):
        assert [i for n, i in received if n == name] == list(range(100)), "each producer's order is kept"


def test_a_channel_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Lossless(0)


def _drain(channel: Lossless[int]) -> Iterator[int]:
    while True:
        try:
            yield channel.get(LONG_S)
        except Closed:
            return
