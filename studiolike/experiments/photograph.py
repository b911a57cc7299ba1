"""Laboratory of chapter 7: a real photograph through the chain, made worse, spoilt, and compared with synthetic captures.

The chain runs with the networks of the protocol "open", at the size that a user gets.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut
from torch import Tensor

from .. import capture, evaluation, layout, weights
from ..avatar.render import rotation
from ..capture import StoredLandmarks
from ..capture.quality import sharpness
from ..chain import RESOLUTION, StudioOutput
from ..errors import StudioError
from ..image import resize
from ..inversion import WPrior
from ..pipeline import StudioPipeline
from ..synth import TextureSet

SIDES = (1, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125)  # of the texture's, that a blurred one is brought down to
BOX = np.s_[20:250, 110:340]  # where the astronaut's face is


@contextlib.contextmanager
def closed_sockets() -> Iterator[mock.Mock]:
    """While this lasts, Python's own sockets connect to nothing; whoever tries raises ``AssertionError``, and is counted."""
    forbidden = mock.Mock(side_effect=AssertionError("something tried to open a connection"))
    with contextlib.ExitStack() as stack:
        for name in ("connect", "connect_ex", "sendto"):
            stack.enter_context(mock.patch.object(socket.socket, name, forbidden))
        stack.enter_context(mock.patch("socket.create_connection", forbidden))
        yield forbidden


def crop(photo: np.ndarray) -> Tensor:
    """The face's part of the astronaut's photograph, ``(3, H, W)`` in [0, 1]."""
    return torch.from_numpy(photo[BOX].copy()).permute(2, 0, 1).float() / 255


@dataclass(frozen=True)
class Home:
    """What can be said of captures without their truth, by measure: of the photograph, and of synthetic ones ``(N,)``.

    Attributes:
        threshold, area: of the judge of identity on validation subjects: where it separates "same" from "different" best, and
            its area under the ROC curve.
    """

    real: dict[str, float]
    synthetic: dict[str, np.ndarray]
    threshold: float
    area: float


class Photograph:
    """NASA's portrait of an astronaut with its landmarks, and the chain: what a user gets who converts this picture.

    Attributes:
        photo: uint8 ``(H, W, 3)``. shot: its capture. points: the 468 landmarks that were found, with depth ``(468, 3)``.
        stored: landmarks of this picture that come with the package.
    """

    def __init__(self, device: str = "cpu", size: int = RESOLUTION):
        self.photo, self.stored, self.size = astronaut(), capture.astronaut_landmarks(), size
        if not self.stored.same_picture(self.photo):
            raise StudioError("the stored landmarks belong to another picture: reinstall scikit-image")
        self.shot = capture.capture_photo(self.photo, size)
        self.points = self.shot.landmarks
        self.pipe = StudioPipeline.released(device, protocol="open")
        self.judge = weights.load("identity_eval", device=device)

    def run(self, texture: Tensor, visibility: Tensor) -> StudioOutput:
        """The chain as a user gets it."""
        return self.pipe(texture, visibility, resolution=self.size, keep_tone=True).to("cpu")

    def home(self, data: TextureSet, out: StudioOutput, captures: int = 16) -> Home:
        """The photograph beside unseen synthetic captures that are shown through its own visibility map."""
        texture, visibility = data.phone_batch(data.captures("val")[:captures])
        texture, seen = resize(texture, self.size), resize(visibility, self.size) * self.shot.visibility
        prior = WPrior.from_generator(self.pipe.g_phone).to("cpu")

        def describe(phone: Tensor, mask: Tensor, output: StudioOutput) -> dict[str, Tensor]:
            face = layout.region_mask("face", self.size)[None] * mask
            return {
                "reconstruction PSNR, dB": output.psnr_observed.cpu(),
                "length of the code": prior.energy(output.w_plus).sqrt(),
                "identity cosine": evaluation.faceid(self.judge, output.texture, phone, face)["cosine"],
                "SSIM to the input": evaluation.ssim(output.texture, phone, mask),
                "asymmetry before": evaluation.asymmetry(phone, face),
                "asymmetry after": evaluation.asymmetry(output.texture, face),
            }

        card = weights.read_card("identity_eval")["metrics"]
        others = describe(texture, seen, self.run(texture, seen))
        mine = describe(self.shot.texture, self.shot.visibility, out)
        return Home(
            {k: v.item() for k, v in mine.items()},
            {k: v.numpy() for k, v in others.items()},
            card["val_threshold"],
            card["val_auc"],
        )

    def softened(self, data: TextureSet, captures: int = 16) -> tuple[int, np.ndarray]:
        """The same synthetic captures as in `home`, blurred until they are as little sharp as the photograph.

        Returns:
            texels that they were brought down to, and the PSNRs ``(N,)`` of their reconstructions.
        """
        texture, visibility = data.phone_batch(data.captures("val")[:captures])
        texture, seen = resize(texture, self.size), resize(visibility, self.size) * self.shot.visibility
        for side in SIDES:
            soft = resize(resize(texture, round(side * self.size)), self.size)
            found = [sharpness(x, mask[0] > 0.3) for x, mask in zip(soft, seen, strict=True)]
            if np.median(found) <= self.shot.quality["sharpness"]:
                break
        least = self.pipe.g_phone.config.resolution  # only the reconstruction is asked for
        return round(side * self.size), self.pipe(soft, seen, resolution=least, keep_tone=True).psnr_observed.cpu().numpy()

    def worse(self) -> dict[str, np.ndarray]:
        """The photograph as taken, lit from one side, half in a hard shadow, and with a hat painted on."""
        linear, across = (self.photo / 255.0) ** 2.2, np.arange(self.photo.shape[1])[None, :, None]

        def developed(picture: np.ndarray) -> np.ndarray:
            return (picture.clip(0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)

        hat = self.photo.copy()
        hat[30:88, 172:284] = (28, 34, 70)
        return {
            "as taken": self.photo,
            "light from one side": developed(linear * (0.06 + 0.94 / (1 + np.exp((226 - across) / 14)))),
            "hard shadow": developed(linear * np.where(across < 226, 0.12, 1.0)),
            "hat": hat,
        }

    def spoilt(self) -> dict[str, tuple[np.ndarray, np.ndarray | StoredLandmarks]]:
        """Pictures with landmarks that give no face texture, by what is wrong with them."""
        photo, points, centre, turn = self.photo, self.points, self.points.mean(0), rotation(75, 0).numpy()
        small = np.asarray(Image.fromarray(photo).resize((128, 128)))
        return {
            "far too dark": (photo // 16, points),
            "burnt out": (np.clip(photo.astype(int) * 4, 0, 255).astype(np.uint8), points),
            "profile": (photo, (points - centre) @ turn.T + centre),
            "a tiny face": (small, points / 4),
            "partly outside of the picture": (np.ascontiguousarray(photo[:, 215:]), points - (215, 0, 0)),
            "landmarks of another picture": (np.ascontiguousarray(photo[:400]), self.stored),
            "not a photograph": (photo[..., 0], points),
        }

    def refusals(self) -> dict[str, str]:
        """What the package says to each spoilt picture; ``AssertionError`` if it takes one."""
        said = {}
        for name, (picture, marks) in self.spoilt().items():
            try:
                capture.capture_photo(picture, self.size, marks)
            except StudioError as error:
                said[name] = f"{type(error).__name__}: {error}"
            else:
                raise AssertionError(f"'{name}' should have been refused")
        return said
