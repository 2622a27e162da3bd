"""From recorded runs to training data and trained models.

`export` turns runs into rows, `rewards` scores a run, `grpo` trains on live episodes of the graph, and `synthesis/`
makes verified reasoning traces. `pose_detector` trains the small pose model that the tests use. Supervised fine-tuning
will be `sft`, and complete training recipes will be YAML files in `recipes/`.
"""
