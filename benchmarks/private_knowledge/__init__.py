"""The report of the pool of private knowledge: see docs/private-knowledge.md."""
