"""The public perceptual trunk: the first eleven blocks of EfficientNet-Lite0, which saw photographs and none of our data.

A perceptual distance needs features that tell pictures apart as people do; networks trained on ImageNet have them
(Zhang et al., CVPR 2018). This one is small enough to ship (0.7 M weights) and no loss of ours ever uses it, so that
nothing is measured with the ruler it was trained on. Architecture: Tan & Le, *EfficientNet*, ICML 2019, in its Lite
form, without squeeze-and-excitation and with ReLU6. Batch normalisation is folded into the convolutions. Where the
weights come from stands in NOTICE; `python -m studiolike.evaluation.convert` made the file.
"""

from __future__ import annotations

import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..image import to_signed

# (blocks, kernel, stride of the first block, expansion, channels out): stem and blocks 0–10 of EfficientNet-B0's table 1
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112))
STEM = 32


class SameConv(nn.Conv2d):
    """Convolution that pads as TensorFlow's "SAME" does, where the weights were trained: odd padding goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if stride == 1:
            return F.conv2d(x, self.weight, self.bias, padding=kernel // 2, groups=self.groups)
        total = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:]]
        pad = [side for n in reversed(total) for side in (n // 2, n - n // 2)]
        return super().forward(F.pad(x, pad))


class MBConv(nn.Module):
    """Inverted residual (Sandler et al., MobileNetV2, CVPR 2018): expand, depthwise, project."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = channels_in * expansion
        self.expand = SameConv(channels_in, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, channels, 1)
        self.skips = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output, and its wide activations before they are projected down."""
        wide = F.relu6(self.depthwise(x if self.expand is None else F.relu6(self.expand(x))))
        y = self.project(wide)
        return x + y if self.skips else y, wide


class EfficientNetLite(ModelMixin, ConfigMixin):
    """Feature maps of textures ``(B, 3, H, W)`` in [0, 1] at the size at which they come."""

    name = "EfficientNet-Lite0"
    signed_input = False

    @register_to_config
    def __init__(self):
        super().__init__()
        self.stem = SameConv(3, STEM, 3, 2)
        self.stages = nn.ModuleList()
        channels = STEM
        for blocks, kernel, stride, expansion, wanted in STAGES:
            stage = []
            for k in range(blocks):
                stage.append(MBConv(channels, wanted, kernel, stride if k == 0 else 1, expansion))
                channels = wanted
            self.stages.append(nn.ModuleList(stage))

    def features(self, texture: Tensor, visibility: Tensor | None = None) -> list[Tensor]:
        """Maps from fine to coarse: the stem's, and the wide activations of each stage's last block; half the side to a
        sixteenth of it, 32 to 672 channels. They come after a nonlinearity, as LPIPS takes them: the narrow outputs between the
        blocks answered to a grain one hardly sees as strongly as to a heavy blur.

        Args:
            texture: ``(B, 3, H, W)`` in [0, 1], sRGB, of any size of at least 32.
            visibility: ``(B, 1, H, W)`` in [0, 1]; what it hides is mid-grey, the zero of the network's input.
        """
        x = to_signed(texture)
        x = (x if visibility is None else x * visibility).to(self.stem.weight.dtype)
        x = F.relu6(self.stem(x))
        maps = [x]
        for stage in self.stages:
            for block in stage:
                x, wide = block(x)
            maps.append(wide)
        return maps

    forward = features
