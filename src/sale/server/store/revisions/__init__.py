"""Alembic's revisions of the tables of the server's store, one a file: `rNNNN_what_it_changes.py`."""
