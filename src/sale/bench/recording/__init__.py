"""Recorded runs: every call once, appended to one file, so that any router can be replayed over them in seconds."""
