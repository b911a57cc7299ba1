"""Pictures of high dynamic range to sRGB, as a phone's screen shows them beside ordinary ones.

Phones record video in HLG (ARIB STD-B67) or PQ (SMPTE ST 2084) with the primaries of BT.2020. Both are brought to light
on a display (ITU-R BT.2100), divided by the light of diffuse white (203 cd/m², ITU-R BT.2408), and what is brighter
than that is rolled off at constant hue. In: encoded RGB of 8 or 16 bits. Out: sRGB of 8 bits.
"""

from __future__ import annotations

import numpy as np

# numbers of ITU-T H.273: transfer characteristics, then colour primaries
PQ, HLG = 16, 18
REC709, REC2020, P3 = 1, 9, 12
REFERENCE_WHITE = 203.0  # cd/m², BT.2408
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2  # cd/m² of the nominal display and its system gamma, BT.2100
KNEE = 0.85  # of diffuse white: below it nothing is changed
ROWS = 256  # rows at a time, so that a 4K frame takes no gigabyte of floats

# linear RGB of the primaries → linear sRGB, both D65; derived from the chromaticities of H.273
TO_SRGB = {
    REC2020: ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730)),
    P3: ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}
LUMA_2020 = np.array((0.2627, 0.6780, 0.0593), np.float32)


def hlg_to_light(signal: np.ndarray) -> np.ndarray:
    """HLG signal ``(…, 3)`` in [0, 1] → cd/m² on a display of 1000 cd/m² (BT.2100, tables 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = (scene @ LUMA_2020)[..., None]
    return HLG_PEAK * scene * np.maximum(luminance, 1e-6) ** (HLG_GAMMA - 1)


def pq_to_light(signal: np.ndarray) -> np.ndarray:
    """PQ signal in [0, 1] → cd/m² (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = np.maximum(signal, 0) ** (1 / m2)
    return 10000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def _encode(linear: np.ndarray) -> np.ndarray:
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-8) ** (1 / 2.4) - 0.055)


def _decode(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _roll_off(linear: np.ndarray) -> np.ndarray:
    peak = linear.max(-1, keepdims=True)
    over = np.maximum(peak - KNEE, 0) / (1 - KNEE)
    return linear * np.where(peak > KNEE, (KNEE + (1 - KNEE) * over / (1 + over)) / np.maximum(peak, 1e-6), 1)


def to_srgb(rgb: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Bring encoded RGB to sRGB.

    Args:
        rgb: ``(H, W, 3)`` uint8 or uint16 over the full range.
        transfer: H.273 number: `HLG`, `PQ`, anything else is taken for the curve of sRGB.
        primaries: H.273 number: `REC2020`, `P3` are converted, anything else is taken for those of sRGB.
    Returns:
        uint8 ``(H, W, 3)``.
    """
    matrix = TO_SRGB.get(primaries)
    if transfer not in (HLG, PQ) and matrix is None:
        return rgb if rgb.dtype == np.uint8 else ((rgb.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    result = np.empty(rgb.shape, np.uint8)
    for top in range(0, len(rgb), ROWS):
        signal = rgb[top : top + ROWS].astype(np.float32) / np.iinfo(rgb.dtype).max
        if transfer == HLG:
            linear = hlg_to_light(signal) / REFERENCE_WHITE
        elif transfer == PQ:
            linear = pq_to_light(signal) / REFERENCE_WHITE
        else:
            linear = _decode(signal)
        if matrix is not None:
            linear = linear @ np.array(matrix, np.float32).T
        if transfer in (HLG, PQ):
            linear = _roll_off(np.maximum(linear, 0))
        result[top : top + ROWS] = _encode(linear) * 255 + 0.5
    return result
