"""The database behind the server's store."""

from __future__ import annotations

from sale.server.store.schema import SCHEMA
from sale.storage.database import Database


class StoreDatabase(Database):
    """An open store at the newest revision."""

    schema = SCHEMA
