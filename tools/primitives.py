"""The motion primitives: the words in which measured motion and the knowledge base's definitions meet.

`track_motion` measures how strongly each primitive shows, from poses and from points followed through the pictures; a
definition in the knowledge base names the primitives an action is made of. What no primitive covers (which object is
held, what a mouth says) is not measured, and nothing here pretends that it is.
"""

from typing import Final

OBSERVED: Final = 0.3
"""Support, 0 to 1, from which a primitive counts as observed."""

PRIMITIVES: Final[dict[str, str]] = {
    # the whole body through the scene
    "stay_in_place": "the body stays where it is",
    "travel": "the body moves across the scene",
    "travel_fast": "the body moves across the scene at the speed of a run or faster",
    "climb": "the body rises or descends through the scene while hands and feet move",
    "steps": "the legs swing alternately in steps",
    "pedal": "the knees rise and fall in turn while the hips stay at one height, seated",
    "jump": "the whole body leaves the ground and comes down",
    "turn": "the body turns about its upright axis",
    "invert": "the head is below the hips",
    "fall": "an upright body drops to the ground",
    "lie": "the body lies or hangs level",
    # posture
    "upright": "the trunk is upright with the legs straight, as in standing",
    "seated": "the hips rest with the knees bent, as in sitting",
    "sit_down": "the hips sink and the knees bend",
    "stand_up": "the hips rise and the knees straighten",
    "torso_bend": "the trunk bends or leans far forwards",
    "body_repeat": "the whole body goes up and down again and again",
    # arms
    "arm_raise": "a hand rises above its shoulder",
    "arms_overhead": "both hands are above the head",
    "arm_swing": "a hand sweeps fast through a wide arc",
    "arm_thrust": "a bent arm straightens fast",
    "reach": "an arm stretches out from the body",
    "arm_repeat": "a hand repeats one movement again and again",
    "wave": "a raised hand goes from side to side",
    "hands_together": "the two hands of one person are held together or meet",
    "hand_to_face": "a hand is at the mouth, eyes or cheek",
    "hand_to_head": "a hand is at the hair or the top of the head",
    "hands_rise": "the hands come up from low to high",
    "hands_lower": "the hands go down from high to low",
    # legs
    "kick": "one foot swings fast away from the standing leg",
    # the head
    "face_close": "the face fills much of the picture and the legs are out of it",
    "face_motion": "the face moves or changes while the body keeps still",
    "head_motion": "the head nods, shakes or tilts while the body keeps still",
    # between people
    "approach": "two people come nearer to each other",
    "separate": "two people go apart",
    "close_together": "two people are within arm's length",
    "arms_around": "a hand of one person is at the trunk or neck of another",
    "hands_meet": "a hand of one person meets a hand of another",
    "strike": "a hand or foot of one person moves fast to another's body",
    "faces_meet": "the faces of two people touch",
    # things in the picture, hands among them, the camera's movement taken out
    "thing_moves_right": "a thing moves to the right in the picture",
    "thing_moves_left": "a thing moves to the left in the picture",
    "thing_moves_up": "a thing moves up in the picture",
    "thing_moves_down": "a thing moves down in the picture",
    "thing_nears": "a thing comes towards the camera and grows in the picture",
    "thing_recedes": "a thing goes away from the camera and shrinks in the picture",
    "thing_lifted": "a thing that lay still goes up",
    "thing_put_down": "a thing goes down, not in free fall, and then lies still",
    "thing_falls": "a thing drops faster and faster",
    "thing_turns": "a thing turns in the plane of the picture",
    "thing_repeats": "a thing goes to and fro again and again",
    "things_approach": "two things come nearer to each other",
    "things_separate": "two things go apart",
    "things_meet": "a thing comes up to another, and from then on they go or rest together",
    "thing_opens": "two parts that were side by side go apart to both sides",
    "thing_closes": "two parts come together from both sides",
    # the camera
    "camera_turns_left": "the camera turns or moves to the left, past what it films",
    "camera_turns_right": "the camera turns or moves to the right, past what it films",
    "camera_turns_up": "the camera turns or moves up, past what it films",
    "camera_turns_down": "the camera turns or moves down, past what it films",
    "camera_nears": "the camera goes nearer to the whole scene, or zooms in",
    "camera_recedes": "the camera goes away from the whole scene, or zooms out",
}
"""Name to meaning. The order is that of the reports."""
