"""Waiting on Linux, by epoll: streams by their edges, everything else by its level."""

from __future__ import annotations

import select
from collections.abc import Iterable
from contextlib import suppress

from guestwake_guest.transports.api import Stream

_STREAM_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET


class LinuxWaits:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._waits_on: set[int] = set()

    def add(self, stream: Stream) -> None:
        self._epoll.register(stream.fileno(), _STREAM_EVENTS)

    def wait(self, seconds: float, ends: set[int], outputs: Iterable[int]) -> None:
        for end in self._waits_on - ends:
            self._epoll.unregister(end)
        for end in ends - self._waits_on:
            self._epoll.register(end, select.EPOLLIN)
        self._waits_on = ends
        for output in outputs:
            with suppress(FileExistsError):  # already; it goes by itself when it is closed
                self._epoll.register(output, select.EPOLLIN | select.EPOLLET)
        self._epoll.poll(seconds)
