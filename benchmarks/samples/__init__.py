"""Samples of work as bids: recordings for two experiments whose specifications are in docs/research."""
