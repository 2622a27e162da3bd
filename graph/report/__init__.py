"""What a person looks at after a run: the HTML page and the annotated video."""
