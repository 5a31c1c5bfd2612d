"""Read by every Python program started while embeddings are disturbed: this directory is on its path then."""

from __future__ import annotations

import os
from importlib import import_module

if os.environ.get("DISTURB_EMBEDDINGS"):
    import_module("disturbance").install()
