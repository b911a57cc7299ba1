"""What is noise in a phone's detail, and not the person's.

A camera's noise is nearly the same in all channels and at all levels of linear light; where a channel is dark, as blue is under
a lamp, its logarithm makes much of it. Three rules keep it out of fusion.

Every channel is brought to the level of the evenly lit texture first, within limits: a floor that is added before the logarithm
then means the same for all of them, and black hair under yellow light does not turn blue.

Fine detail of skin is relief and pigment, which all channels see alike. So the channels share one, to which each contributes
as much as it is sure: with independent noise of equal size, by the square of its level. What a channel has of its own is noise,
but for eyes, brows and lips, which have colours of their own.

And what the channels do not agree about says how much noise there is near by: where it is independent, two of its three parts
are in their colours and the third is in the shared detail. That is kept by the share of its energy that is above this: the filter
of Wiener (*Extrapolation, Interpolation, and Smoothing of Stationary Time Series*, 1949), place by place as in Lee (TPAMI 1980).
"""

from __future__ import annotations

from torch import Tensor

from ..evaluation.masked import channel_means, masked_blur

MOST = 3.0  # by how much, at most, a channel is made lighter or darker before its logarithm
# standard deviations, as shares of the side: of what is not looked at since it is too coarse for noise, and of the places near by
# that have as much noise. On the split "val" 1.5 and 4 texels of 256 are about as good as 2.5.
FINE, NEAR = 2.5 / 256, 6 / 256


def balance(phone: Tensor, studio: Tensor, weight: Tensor) -> Tensor:
    """Factors ``(B, 3, 1, 1)`` that bring the channels of a phone texture to the level of a studio texture, within `MOST`.

    Args:
        phone, studio: linear light ``(B, 3, H, W)``. weight: ``(B, 1, H, W)``, above 0 where the phone is trusted.
    """
    factor = channel_means(studio, weight) / channel_means(phone, weight).clamp_min(1e-6)
    return factor.clamp(1 / MOST, MOST)


def quieted(log: Tensor, level: Tensor, weight: Tensor, own: Tensor | float = 0.0) -> Tensor:
    """A texture without the noise of its finest detail, see the module's text.

    Args:
        log: log light ``(B, 3, H, W)``. level: ``(B, 3, H, W)``, what a channel's logarithm is sure by: its linear light with the
            floor, before it was balanced. weight: ``(B, 1, H, W)`` in [0, 1]. own: ``(B, 1, H, W)`` in [0, 1], how far colours
            of fine detail are the person's.
    Returns:
        ``(B, 3, H, W)`` log light; what is coarser than `FINE` is the same.
    """
    side = log.shape[-1]
    base = masked_blur(log, weight, FINE * side)
    sure = masked_blur(level.square(), weight, FINE * side)
    sure = sure / sure.sum(1, keepdim=True).clamp_min(1e-12)
    detail = log - base
    shared = (sure * detail).sum(1, keepdim=True)
    colour = detail - shared
    noise = masked_blur((sure * colour.square()).sum(1, keepdim=True) / 2, weight, NEAR * side)
    energy = masked_blur(shared.square(), weight, NEAR * side)
    kept = (1 - noise / energy.clamp_min(1e-12)).clamp_min(0)
    return base + kept * shared + own * colour
