"""Kept for engine modules written for 0.1; the module is `video_star.tools.vision.rtmpose`."""

from .vision.rtmpose import RtmPose as RtmPose
