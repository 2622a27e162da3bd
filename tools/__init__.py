"""The tools that a policy can call, and everything they need to analyse a video."""
