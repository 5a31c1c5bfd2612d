"""A market for language-model agents."""
