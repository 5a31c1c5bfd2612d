"""Reaching a model: endpoints, log-probabilities, prices, embeddings, the embedded pool."""
