"""`python -m video_star.cli`."""

from . import main

main()
