"""The auction itself: bids, jury, scoring, refinement. Knows no provider, no database, no web."""
