"""Databases under the auction memory and the server's store: SQLite files, and databases on PostgreSQL servers."""
