"""Bytes that all share: nobody gets what is not there, and everybody gets a turn."""

from __future__ import annotations

import asyncio

import pytest

from awlog.engine.byte_budget import ByteBudget


async def turns(*tasks: asyncio.Task[int]) -> list[bool]:
    """Which of them have had their turn."""
    for _ in range(3):
        await asyncio.sleep(0)
    return [task.done() for task in tasks]


async def test_who_wants_more_than_is_left_waits_until_it_is_given_back() -> None:
    budget = ByteBudget(10)
    assert await budget.take(7) == 7
    waiting = asyncio.create_task(budget.take(4))
    assert await turns(waiting) == [False]
    assert budget.waiting_count == 1
    budget.give_back(7)
    assert await turns(waiting) == [True]
    assert budget.waiting_count == 0


async def test_nobody_overtakes_one_that_waits() -> None:
    """A small one would fit now, and comes after the large one that was there before."""
    budget = ByteBudget(10)
    await budget.take(5)
    large, small = asyncio.create_task(budget.take(8)), asyncio.create_task(budget.take(1))
    assert await turns(large, small) == [False, False]
    budget.give_back(5)
    assert await turns(large, small) == [True, True]


async def test_one_that_wants_more_than_there_are_altogether_gets_them_all() -> None:
    """Alone, and it does not wait for ever."""
    budget = ByteBudget(10)
    assert await budget.take(1_000) == 10
    other = asyncio.create_task(budget.take(1))
    assert await turns(other) == [False]
    budget.give_back(10)
    assert await turns(other) == [True]


@pytest.mark.parametrize("granted", [False, True], ids=["while it waits", "when it was just granted"])
async def test_one_that_is_cancelled_holds_nothing(granted: bool) -> None:
    """Neither its place in the queue nor its bytes."""
    budget = ByteBudget(10)
    await budget.take(10)
    gone, other = asyncio.create_task(budget.take(10)), asyncio.create_task(budget.take(10))
    await turns(gone, other)
    if granted:
        budget.give_back(10)  # its future is done, it has not run yet
        gone.cancel()
    else:
        gone.cancel()
        await turns(gone)
        budget.give_back(10)
    assert await turns(gone, other) == [True, True]
    assert gone.cancelled()
