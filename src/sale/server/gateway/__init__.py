"""The OpenAI-compatible API: chat completions, responses, embeddings, models, feedback."""
