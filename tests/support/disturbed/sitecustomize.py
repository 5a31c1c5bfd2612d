"""Read by every Python program that is started while the embeddings are disturbed."""

from __future__ import annotations

import os

if os.environ.get("DISTURB_EMBEDDINGS"):
    import disturbance

    disturbance.install()
