"""From a model's reply to typed values: tool calls, sub-actions, scores and labels."""
