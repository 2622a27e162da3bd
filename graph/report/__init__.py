"""Reports of a run: the HTML page and the annotated video."""
