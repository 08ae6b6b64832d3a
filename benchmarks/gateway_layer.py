"""What a bare channel layer takes from sending to receiving: the one of Channels that lives in memory, one process."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from channels.layers import InMemoryChannelLayer

MESSAGES = 200


def measure(sizes: Sequence[int]) -> Mapping[str, Sequence[float]]:
    """Return the milliseconds from the sending to each receiver, for groups of these sizes."""
    return {f"a group of {size}": asyncio.run(_group(size)) for size in sorted({1, *sizes})}


async def _group(size: int) -> list[float]:
    layer = InMemoryChannelLayer()
    spent: list[float] = []
    names = [await layer.new_channel() for _ in range(size)]
    for name in names:
        await layer.group_add("bench", name)

    async def receive(name: str) -> None:
        message = await layer.receive(name)
        spent.append((time.perf_counter() - message["sent"]) * 1000)

    for _ in range(MESSAGES):  # one after the other: a queue of them would be measured, not the layer
        receivers = [asyncio.ensure_future(receive(name)) for name in names]
        await asyncio.sleep(0)  # all of them wait
        await layer.group_send("bench", {"type": "event", "sent": time.perf_counter(), "text": "x" * 400})
        await asyncio.gather(*receivers)
    return spent
