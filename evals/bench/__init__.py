"""Speed and memory benchmarks: each script prints its figures beside those of an alternative in the same run."""
