"""Real captures: photo or video → landmarks → phone texture and visibility in the `head` layout."""

from .contact import ContactSheet
from .fusion import fuse
from .landmarks import (
    StoredLandmarks,
    astronaut_landmarks,
    landmarks,
    load_landmarks,
    save_landmarks,
)
from .pose import Pose, fit_pose
from .shape import face_shape, head_shape
from .unwrap import Capture, capture_photo
from .video import capture_photos, capture_video, is_video, read_frames

__all__ = [
    "Capture",
    "ContactSheet",
    "Pose",
    "StoredLandmarks",
    "astronaut_landmarks",
    "capture_photo",
    "capture_photos",
    "capture_video",
    "face_shape",
    "fit_pose",
    "fuse",
    "head_shape",
    "is_video",
    "landmarks",
    "load_landmarks",
    "read_frames",
    "save_landmarks",
]
