"""Anthropic's Messages API: requests as chat completions, answers as messages, errors in its own form."""
