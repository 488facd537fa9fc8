"""Work whose every step asks the clock first: what has been due all along must not run once the term is over."""

import asyncio

import pytest

from aioha.steps import Steps


class Switch:
    """Ends the term when it is thrown, as a campaign does: by cancelling the task, once."""

    def __init__(self) -> None:
        self.thrown = False
        self.asked = 0

    def over(self) -> bool:
        self.asked += 1
        if self.thrown:
            self.thrown = False
            task = asyncio.current_task()
            assert task is not None
            task.cancel("term over")
            return True
        return False


async def test_a_step_that_is_already_due_is_not_run() -> None:
    switch, due, ran = Switch(), asyncio.Event(), list[str]()

    async def work() -> None:
        try:
            await due.wait()
            ran.append("step")
        finally:
            await asyncio.sleep(0)
            ran.append("cleanup")

    task = asyncio.ensure_future(_await(Steps(work(), switch.over)))
    await asyncio.sleep(0)
    due.set()  # the work's next step is now in the loop's queue ...
    switch.thrown = True  # ... and only then the term ends
    with pytest.raises(asyncio.CancelledError, match="term over"):
        await task
    assert ran == ["cleanup"]


async def test_values_and_exceptions_pass_through() -> None:
    switch = Switch()

    async def returns() -> int:
        await asyncio.sleep(0)
        return 7

    async def raises() -> None:
        await asyncio.sleep(0)
        raise KeyError("mine")

    async def awaits_a_failure() -> str:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, ValueError("theirs"))
        with pytest.raises(ValueError, match="theirs"):
            await future
        return "caught"

    assert await Steps(returns(), switch.over) == 7
    with pytest.raises(KeyError, match="mine"):
        await Steps(raises(), switch.over)
    assert await Steps(awaits_a_failure(), switch.over) == "caught"
    assert switch.asked > 0


async def test_a_plain_future_can_be_the_work() -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, "done")
    assert await Steps(future, Switch().over) == "done"


async def test_the_timeouts_of_the_work_still_work() -> None:
    async def work() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(10)
        async with asyncio.TaskGroup() as group:
            child = group.create_task(asyncio.sleep(0, "child"))
        return child.result()

    assert await Steps(work(), Switch().over) == "child"


async def _await(steps: Steps[None]) -> None:
    await steps
