"""Searching and reading for contractors: providers, guarded fetching, pages as text, numbered sources."""
