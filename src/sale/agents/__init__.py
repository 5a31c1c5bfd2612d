"""Contractors: agents that bid, judge and do the work; their tools; verification of what they did."""
