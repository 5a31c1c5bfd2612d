"""The embedded pool: catalogue, weights on disk, llama.cpp in a process for each model."""
