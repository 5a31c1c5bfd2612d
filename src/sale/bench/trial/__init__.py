"""Would a market pay on these tasks? A sample of them, done by every agent under a cap in dollars, answers."""
