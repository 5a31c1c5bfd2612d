"""Many tasks through a market: each done once, by any number of processes, within one cap in dollars."""
