"""Speed and size, measured: each script prints figures against a named alternative in the same run."""
