"""The motion primitives: the words in which measured motion and the knowledge base's definitions meet.

`track_motion` measures how strongly each primitive shows, from poses alone; a definition in the knowledge base names
the primitives an action is made of. What no primitive covers (which object is held, what a mouth says) is not measured,
and nothing here pretends that it is.
"""

from typing import Final

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
}
"""Name to meaning. The order is that of the reports."""
