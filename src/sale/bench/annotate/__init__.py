"""The instrument that makes human times: a page with an honest clock, its record, and what follows from records."""
