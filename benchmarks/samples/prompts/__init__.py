"""The prompt of agents that reason before they answer."""
