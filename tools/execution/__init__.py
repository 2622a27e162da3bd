"""How tool calls run: time limits, sharing of identical calls, circuit breakers, and where results are stored."""
