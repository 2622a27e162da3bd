"""What the policy can call, and what it takes to look at a video."""
