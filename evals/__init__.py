"""Evaluation: data sets, splits, runs of the agent on them, and metrics.

`splits` reads published split files, `runner` runs the agent on a split, `metrics` and `keypoint_metrics` score the
results. `suites/` has one module per printed table, `bench/` measures speed and memory. `marionette/` and `tabletop/`
generate clips with ground truth.
"""
