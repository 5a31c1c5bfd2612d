"""The embedded pool: catalogue, weights on disk, the in-process llama.cpp engine."""
