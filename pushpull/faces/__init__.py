"""Faces out of a video: find, track, crop, and put back."""

from pushpull.faces.cache import TrackCache
from pushpull.faces.crop import FACE_BOX, TALKNET_DEMO, crop_box, crop_track, crop_tracks, move_change, paste_back
from pushpull.faces.detect import FaceDetector, detect_faces
from pushpull.faces.find import find_tracks
from pushpull.faces.read import Footage, read_clips, recut
from pushpull.faces.tracking import Track

__all__ = [
    "FACE_BOX",
    "FaceDetector",
    "Footage",
    "TALKNET_DEMO",
    "Track",
    "TrackCache",
    "crop_box",
    "crop_track",
    "crop_tracks",
    "detect_faces",
    "find_tracks",
    "move_change",
    "paste_back",
    "read_clips",
    "recut",
]
