"""People and their poses: detection, keypoints, tracking, and the engines that do it."""
