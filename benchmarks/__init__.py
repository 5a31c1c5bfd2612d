"""Measurements of speed, each against something named, in one run."""
