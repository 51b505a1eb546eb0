"""Asks an OpenAI-compatible endpoint many questions at once. It knows nothing of scores."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses that may be others in a moment."""
LONGEST_WAIT = 30.0
"""Seconds between two tries, at most."""


@dataclass(frozen=True)
class Reply:
    """What came of one question."""

    text: str | None
    """The endpoint's words; None when there are none."""
    fault: str = ""
    """Why there are none."""


@dataclass(frozen=True)
class Client:
    """How to reach an endpoint and how long to try."""

    address: str
    """Where requests go, with the path."""
    headers: dict[str, str]
    """Sent with every request."""
    concurrency: int
    """Requests under way at once, at most."""
    retries: int
    """Tries after the first."""
    seconds: float
    """That one try may take."""
    batch_seconds: float
    """That all questions may take together."""
    backoff_seconds: float
    """Wait before the first retry; it doubles from there, and varies by half."""

    async def ask_all(self, bodies: Sequence[dict[str, Any]]) -> list[Reply]:
        """Send requests and return a reply to each, in order. It raises nothing that is the endpoint's fault.

        Args:
            bodies: the JSON of each request.
        """
        import aiohttp  # takes half a second, which only a judge needs

        timeout = aiohttp.ClientTimeout(total=self.seconds)
        free = asyncio.Semaphore(self.concurrency)
        connector = aiohttp.TCPConnector(limit=self.concurrency)
        async with aiohttp.ClientSession(
            headers=self.headers, timeout=timeout, connector=connector
        ) as session:
            tasks = [asyncio.create_task(self._ask(session, free, body)) for body in bodies]
            if not tasks:
                return []
            try:
                _, late = await asyncio.wait(tasks, timeout=self.batch_seconds)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        overdue = Reply(None, f"the batch took over {self.batch_seconds:g} s")
        return [overdue if task in late else task.result() for task in tasks]

    async def _ask(self, session: Any, free: asyncio.Semaphore, body: dict[str, Any]) -> Reply:
        """Send one request until it is answered or the tries are used up."""
        for attempt in range(self.retries + 1):
            async with free:  # not while it waits for the next try
                reply, again = await self._try(session, body)
            if not again or attempt == self.retries:
                break
            wait = min(self.backoff_seconds * 2**attempt, LONGEST_WAIT)
            await asyncio.sleep(wait * (0.5 + os.urandom(1)[0] / 255))
        return reply

    async def _try(self, session: Any, body: dict[str, Any]) -> tuple[Reply, bool]:
        """Send one request once; say also whether another try may help."""
        import aiohttp

        try:
            # A redirect would take the key elsewhere.
            async with session.post(self.address, json=body, allow_redirects=False) as response:
                if response.status != 200:
                    return Reply(None, f"HTTP {response.status}"), response.status in PASSING
                answer = await response.json(content_type=None)
        except TimeoutError:
            return Reply(None, f"no answer in {self.seconds:g} s"), True
        except aiohttp.ClientError as error:
            return Reply(None, f"no connection ({type(error).__name__})"), True
        except ValueError:
            return Reply(None, "the answer is no JSON"), False
        try:
            text = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            text = None
        return (
            (Reply(text), False) if isinstance(text, str) else (Reply(None, "the answer has no text"), False)
        )
