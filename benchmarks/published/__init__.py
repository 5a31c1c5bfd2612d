"""Figures that others published, computed again from the public tables they were published with."""
