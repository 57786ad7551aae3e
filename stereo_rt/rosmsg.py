"""ROS messages: what images, camera geometry and point clouds look like in a recording, read and written without ROS.

Messages that are read are objects with the fields of sensor_msgs; those that are written are plain dictionaries.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .calib.formats import ros
from .calib.formats.fields import Fields
from .calib.rig import StereoRig
from .errors import SourceError
from .geometry import RectifiedRig
from .post.cloud import Cloud

IMAGE = "sensor_msgs/Image"
COMPRESSED = "sensor_msgs/CompressedImage"
CAMERA_INFO = "sensor_msgs/CameraInfo"
POINTS = "sensor_msgs/PointCloud2"

_PARTS = {
    "std_msgs/Header": "builtin_interfaces/Time stamp\nstring frame_id",
    "sensor_msgs/RegionOfInterest": "uint32 x_offset\nuint32 y_offset\nuint32 height\nuint32 width\nbool do_rectify",
    "sensor_msgs/PointField": "string name\nuint32 offset\nuint8 datatype\nuint32 count",
    "builtin_interfaces/Time": "int32 sec\nuint32 nanosec",
}
_WHOLES = {
    IMAGE: "uint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\nuint8[] data",
    COMPRESSED: "string format\nuint8[] data",
    CAMERA_INFO: "uint32 height\nuint32 width\nstring distortion_model\nfloat64[] d\nfloat64[9] k\nfloat64[9] r\n"
    "float64[12] p\nuint32 binning_x\nuint32 binning_y\nsensor_msgs/RegionOfInterest roi",
    POINTS: "uint32 height\nuint32 width\nsensor_msgs/PointField[] fields\nbool is_bigendian\nuint32 point_step\n"
    "uint32 row_step\nuint8[] data\nbool is_dense",
}


def _definition(text: str) -> str:
    whole = f"std_msgs/Header header\n{text}"
    used = whole + _PARTS["std_msgs/Header"]
    return f"\n{'=' * 80}\n".join([whole, *(f"MSG: {name}\n{part}" for name, part in _PARTS.items() if name in used)])


DEFINITIONS = {kind: _definition(text) for kind, text in _WHOLES.items()}
"""The text of each message's definition with those it is made of, as recordings carry them."""

ENCODINGS: dict[str, tuple[int, int | None]] = {
    "mono8": (1, None),
    "8UC1": (1, None),
    "bgr8": (3, None),
    "8UC3": (3, None),
    "rgb8": (3, cv2.COLOR_RGB2BGR),
    "bgra8": (4, cv2.COLOR_BGRA2BGR),
    "rgba8": (4, cv2.COLOR_RGBA2BGR),
}
"""Channels of each encoding, and how it becomes BGR."""
_CLOUD = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
_FLOAT32 = 7
"""sensor_msgs/PointField's number for it."""


def stamp_ns(message: Any) -> int:
    """The time in a message's header; 0 where nobody set it."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def header(stamp: int, frame_id: str) -> dict[str, Any]:
    """stamp: nanoseconds. frame_id: whose coordinates, x right, y down, z forward."""
    return {"stamp": {"sec": stamp // 1_000_000_000, "nanosec": stamp % 1_000_000_000}, "frame_id": frame_id}


def read_image(message: Any) -> np.ndarray:
    """(H, W) or (H, W, 3) BGR uint8 from an Image or CompressedImage. Raises SourceError, without the file's name."""
    return _raw(message) if hasattr(message, "encoding") else _compressed(message)


def _raw(message: Any) -> np.ndarray:
    if message.encoding not in ENCODINGS:
        raise SourceError(f"its images are '{message.encoding:.40}', and {', '.join(ENCODINGS)} are read; convert them to one")
    channels, conversion = ENCODINGS[message.encoding]
    width, height, step = message.width, message.height, message.step
    data = np.frombuffer(message.data, np.uint8)
    if not (width and height and step >= width * channels and data.size >= step * height):
        raise SourceError(f"an image of {width}x{height} pixels has {data.size} bytes, which do not fit; record it again")
    rows = data[: step * height].reshape(height, step)[:, : width * channels]
    image = np.ascontiguousarray(rows if channels == 1 else rows.reshape(height, width, channels))
    return image if conversion is None else cv2.cvtColor(image, conversion)


def _compressed(message: Any) -> np.ndarray:
    data = np.frombuffer(message.data, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise SourceError(f"a compressed image ('{message.format:.40}') cannot be decoded; record it as jpeg or png")
    if image.dtype != np.uint8:
        raise SourceError(f"its compressed images hold {image.dtype} values, and eyes have 8 bits; check the topic")
    return np.ascontiguousarray(image[:, :, :3]) if image.ndim == 3 else image


def image(values: np.ndarray, stamp: int, frame_id: str) -> dict[str, Any]:
    """An Image of (H, W) uint8 grey, (H, W, 3) uint8 BGR, or a (H, W) float32 map (32FC1, NaN where invalid)."""
    encoding = "32FC1" if values.dtype == np.float32 else "mono8" if values.ndim == 2 else "bgr8"
    values = np.ascontiguousarray(values)
    return {
        "header": header(stamp, frame_id),
        "height": values.shape[0],
        "width": values.shape[1],
        "encoding": encoding,
        "is_bigendian": 0,
        "step": values.strides[0],
        "data": values.tobytes(),
    }


def read_rig(left: Any, right: Any, *, rectified: bool, name: str) -> StereoRig | RectifiedRig:
    """The geometry in two CameraInfo messages; rectified: of images that are rectified already. Raises CalibrationError."""
    eyes = Fields(_tree(left)), Fields(_tree(right))
    return ros.rectified_rig(*eyes) if rectified else ros.stereo_rig(*eyes, name=name)


def _tree(message: Any) -> dict[str, Any]:
    """A CameraInfo as camera_info YAML has it. ROS 1 writes D, K, R and P in capitals."""

    def numbers(name: str) -> dict[str, Any]:
        return {"data": list(getattr(message, name, ()) if hasattr(message, name) else getattr(message, name.upper()))}

    return {
        "image_width": message.width,
        "image_height": message.height,
        "distortion_model": message.distortion_model or "plumb_bob",
        "distortion_coefficients": numbers("d"),
        "camera_matrix": numbers("k"),
        "rectification_matrix": numbers("r"),
        "projection_matrix": numbers("p"),
    }


def camera_info(tree: dict[str, Any], stamp: int, frame_id: str) -> dict[str, Any]:
    """A CameraInfo from one eye's camera_info tree (calib.formats.ros.camera_infos)."""
    return {
        "header": header(stamp, frame_id),
        "width": tree["image_width"],
        "height": tree["image_height"],
        "distortion_model": tree["distortion_model"],
        "d": tree["distortion_coefficients"]["data"],
        "k": tree["camera_matrix"]["data"],
        "r": tree["rectification_matrix"]["data"],
        "p": tree["projection_matrix"]["data"],
    }


def points(cloud: Cloud, stamp: int, frame_id: str) -> dict[str, Any]:
    """A PointCloud2 of x, y, z in metres and rgb, whose 32 bits 0x00RRGGBB are called a float by convention."""
    rows = np.empty(len(cloud.points_m), _CLOUD)
    for name, column in zip("xyz", cloud.points_m.T, strict=True):
        rows[name] = column
    red, green, blue = cloud.colors_rgb.T.astype(np.uint32)
    rows["rgb"] = red << 16 | green << 8 | blue
    fields = [{"name": n, "offset": 4 * i, "datatype": _FLOAT32, "count": 1} for i, n in enumerate(_CLOUD.names or ())]
    return {
        "header": header(stamp, frame_id),
        "height": 1,
        "width": len(rows),
        "fields": fields,
        "is_bigendian": False,
        "point_step": _CLOUD.itemsize,
        "row_step": rows.nbytes,
        "data": rows.tobytes(),
        "is_dense": True,
    }
