"""The motion primitives: the vocabulary that measured motion and the knowledge base's definitions share.

`track_motion` measures how clearly each primitive occurs, from poses and from points tracked through the frames; a
definition of the knowledge base names the primitives an action consists of. What no primitive covers (which object is
held, what a mouth says) is not measured.
"""

from typing import Final

OBSERVED: Final = 0.3
"""Support, 0 to 1, from which a primitive counts as observed."""

PRIMITIVES: Final[dict[str, str]] = {
    # the whole body
    "stay_in_place": "the person stays in place",
    "travel": "the person moves across the scene",
    "travel_fast": "the person moves across the scene at running speed or faster",
    "climb": "the person climbs up or down with hands and feet",
    "steps": "the person takes steps",
    "pedal": "the knees rise and fall alternately while the person sits, as in pedalling",
    "jump": "the person jumps off the ground and lands",
    "turn": "the person turns around",
    "invert": "the person is upside down, the head below the hips",
    "fall": "the person falls to the ground",
    "lie": "the body is horizontal, lying or hanging",
    # posture
    "upright": "the person stands upright with straight legs",
    "seated": "the person is seated with bent knees",
    "sit_down": "the person sits down, hips lowering and knees bending",
    "stand_up": "the person stands up, hips rising and knees straightening",
    "torso_bend": "the trunk bends or leans far forward",
    "body_repeat": "the whole body moves up and down repeatedly",
    # arms
    "arm_raise": "a hand rises above its shoulder",
    "arms_overhead": "both hands are above the head",
    "arm_swing": "an arm swings fast in a wide arc",
    "arm_thrust": "a bent arm straightens fast",
    "reach": "an arm reaches out from the body",
    "arm_repeat": "a hand makes the same movement repeatedly",
    "wave": "a raised hand moves from side to side",
    "hands_together": "the two hands of one person meet or are held together",
    "hand_to_face": "a hand is at the mouth, eyes or cheek",
    "hand_to_head": "a hand is at the hair or the top of the head",
    "hands_rise": "the hands move up from low to high",
    "hands_lower": "the hands move down from high to low",
    # legs
    "kick": "one foot swings fast away from the standing leg",
    # the head
    "face_close": "the face is shown in close-up",
    "face_motion": "the face moves or changes while the body is still",
    "head_motion": "the head nods, shakes or tilts while the body is still",
    # between people
    "approach": "two people approach each other",
    "separate": "two people move apart",
    "close_together": "two people are within arm's length",
    "arms_around": "a hand of one person is on the trunk or neck of another",
    "hands_meet": "a hand of one person meets a hand of another",
    "strike": "a hand or foot of one person moves fast towards another's body",
    "faces_meet": "the faces of two people touch",
    # hands in close view
    "hands_close": "hands fill the picture",
    "hands_touch": "two hands touch each other in close view",
    "fingers_work": "the fingers of a hand move",
    # objects, hands among them, with camera motion removed
    "thing_moves_right": "an object moves to the right",
    "thing_moves_left": "an object moves to the left",
    "thing_moves_up": "an object moves up",
    "thing_moves_down": "an object moves down",
    "thing_nears": "an object moves towards the camera and grows in the image",
    "thing_recedes": "an object moves away from the camera and shrinks in the image",
    "thing_lifted": "an object at rest is lifted",
    "thing_put_down": "an object is put down, not in free fall, and then rests",
    "thing_falls": "an object falls faster and faster",
    "thing_turns": "an object rotates in the image plane",
    "thing_repeats": "an object moves back and forth repeatedly",
    "things_approach": "two objects approach each other",
    "things_separate": "two objects move apart",
    "things_meet": "an object reaches another, and from then on they move or rest together",
    "thing_opens": "two parts that were side by side move apart to both sides",
    "thing_closes": "two parts come together from both sides",
    # the camera
    "camera_turns_left": "the camera turns or moves to the left",
    "camera_turns_right": "the camera turns or moves to the right",
    "camera_turns_up": "the camera turns or moves up",
    "camera_turns_down": "the camera turns or moves down",
    "camera_nears": "the camera moves closer to the whole scene or zooms in",
    "camera_recedes": "the camera moves away from the whole scene or zooms out",
}
"""Name to meaning, a clause that reads on after `that`. Summaries follow this order."""
