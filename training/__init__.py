"""From records to weights: chain synthesis, supervised cold start and GRPO on runs of the graph."""
