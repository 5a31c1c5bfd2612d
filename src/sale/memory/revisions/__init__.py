"""Alembic's revisions of the auction memory's tables, one a file: `rNNNN_what_it_changes.py`."""
