"""The live page as a browser follows it: cards over one connection."""

from __future__ import annotations

import threading
from typing import Self

import httpx2

from tests.support.hang import HANG


class Window:
    """Somebody who has the live page of a server open, and the cards it was sent."""

    def __init__(self, address: str) -> None:
        self._client = httpx2.Client(base_url=address, trust_env=False, timeout=HANG)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.cards: list[str] = []
        self.connected = threading.Event()
        self.ended = threading.Event()

    def _read(self) -> None:
        card: list[str] = []
        try:
            with self._client.stream("GET", "/live") as reply:
                for line in reply.iter_lines():
                    self.connected.set()
                    if line.startswith("data: "):
                        card.append(line.removeprefix("data: "))
                    elif not line and card:
                        self.cards.append("\n".join(card))
                        card = []
        except httpx2.HTTPError:
            pass
        self.ended.set()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.connected.wait(HANG)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self.ended.wait(HANG)

    def of(self, auction_id: str) -> list[str]:
        return [card for card in self.cards if f'id="auction-{auction_id}"' in card]
