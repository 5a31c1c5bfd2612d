"""Embeddings as another processor might make them."""
