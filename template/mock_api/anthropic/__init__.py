"""`/v1/messages`, as Anthropic serves it."""
