"""What `sale serve` adds to a call, against the endpoint itself and against the LiteLLM proxy; see `__main__`."""
