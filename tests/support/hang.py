"""How long a test waits before it takes what it waits for to hang.

Far more than anything takes, on a busy machine too: nothing is proved by how soon something happens.
"""

HANG = 600.0
"""Seconds."""
