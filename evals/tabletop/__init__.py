"""Tabletop: a generator of short clips of objects moved on a table, by a hand or alone, with known motion.

`scenarios` draws what happens in a clip and what should be measured in it; `renderer` turns that into frames. The same
random generator gives the same frames. `evals/suites/motion.py` measures `track_motion` on it.
"""
