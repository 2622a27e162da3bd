"""How tool calls are run: limits, sharing, circuit breakers, and where their results are kept."""
