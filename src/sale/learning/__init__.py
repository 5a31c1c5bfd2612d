"""Weights from records: three objectives, held-out honesty, replay of past traffic under other weights."""
