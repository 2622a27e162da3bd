"""Entry point of `video-star` and `python -m video_star`: Ctrl-C is handled from the first import on."""

from __future__ import annotations

from .interrupts import end_on_interrupt


def main() -> None:
    """Run the command line."""
    end_on_interrupt()
    from . import cli

    cli.main()


if __name__ == "__main__":
    main()
