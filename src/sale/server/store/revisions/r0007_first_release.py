"""The tables of the first release. It is never run: a new database gets its tables from `sale.server.store.schema`.

Those before it were of versions that were not released. It keeps the number of the last of them, whose tables are the
same, so that stores made by that version stay in use.
"""

from __future__ import annotations

revision = "0007"
down_revision = None
branch_labels = None
depends_on = None
