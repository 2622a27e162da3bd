"""Reading and writing video: sources, clips, frames by presentation time."""
