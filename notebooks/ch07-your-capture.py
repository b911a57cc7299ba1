# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch07)=
# # Your own capture
#
# <!-- run box -->
#
# A real photograph goes through the whole chain, from pixels and landmarks to a head that turns, and every intermediate result is shown.
# Nothing in it was ever trained on a real person, so we also measure how far from home the networks are, and what they do when the photograph is worse.

# %% [markdown]
# ## What you will learn
#
# - Turn a portrait and its landmarks into a phone texture with a visibility map.
# - Read the intermediate results of the chain on a face without a known truth.
# - Measure a domain gap fairly: same mask, same resolution, same metric.
# - Use your own photo or video, from the command line, from Python and in Colab.
# - Know what will not work, and what the package says then.
#
# **You need** {ref}`ch06`, and the layout of {ref}`ch01`; symbols and measures stand on [one page](../notation-and-metrics.md).
#
# **Which weights.** The networks are those of the protocol `open`, which have learnt from every studio texture that our generator of heads gave them, except those of the splits "val" and "test": a tool should use what there is.
# (Chapters 4 to 6 ask the paper's question, what a few studio textures can teach, and use the protocol `few`.)
#
# The networks were trained on synthetic heads, a declared stand-in for people.
# The photograph is NASA's portrait of an astronaut, which is in the public domain and comes with scikit-image; it is the only real person in this book.
# Its landmarks come with the package, so this chapter needs no detector.
#
# ## Predict before you run
#
# ```{predict} 1. How much of the head layout can one frontal photograph fill?
# - [ ] Nearly all of it.
#   The layout goes around the whole head.
# - [ ] Two thirds.
#   Even the sides of the face are seen at a grazing angle.
# - [x] Less than half.
#
# And that half is the face.
# Scalp, ears, the back of the head and the neck are outside of the face mesh that the landmarks describe, and the sides of the face are seen at a grazing angle.
# The visibility map below gives the number.
# ```
#
# ```{predict} 2. Will encoder and generator reproduce the real face with as many decibels as an unseen synthetic one?
# - [ ] Surely not: they have never seen real skin.
#   One of two reasons. What does a blurred picture do to a PSNR?
# - [ ] Surely: a face is a face.
#   Real skin, real hair and a real camera are new to them.
# - [x] That cannot be said beforehand: two effects pull in opposite directions.
#
# The generator has never seen real skin, real hair or a real camera, which makes it worse.
# But a blurred photograph has less detail to reproduce, which makes the PSNR *higher*.
# So guess, and then look at both numbers, measured through the same mask.
# ```
#
# ```{predict} 3. What will the chain do with a hat?
# - [ ] Refuse it.
#   Nothing in the chain knows what a hat is.
# - [ ] Keep it: it is part of the picture.
#   The code can only say what faces of the training set have.
# - [x] Explain it as something that it knows.
#
# No network here has ever seen one, so it can only be explained as something that they have seen: hair, shadow, or dark skin.
# It will not be refused, because nothing in the chain knows what a hat is.
# ```

# %% tags=["parameters"]
profile = (
    "auto"  # "smoke", "cpu", "gpu" or "paper"; "auto" takes what fits this machine
)

# %% tags=["hide-input"]
from pathlib import Path

import torch
from PIL import Image

from studiolike import avatar, capture, recipes
from studiolike.avatar.relight import lamp
from studiolike.chapters import figures, interactive, notebook
from studiolike.chapters import photograph as shown
from studiolike.chapters.live import explore
from studiolike.experiments.photograph import Photograph, closed_sockets

settings = recipes.chapter_profile(profile)
figures.apply_style()
folder = Path("runs/ch07")
folder.mkdir(parents=True, exist_ok=True)
device = "cuda" if torch.cuda.is_available() else "cpu"
lab = Photograph(device)  # the picture, its landmarks, and the chain of "open"

# %% [markdown]
# ## The photograph and its landmarks
#
# MediaPipe's face mesh {cite}`kartynnik2019facemesh,lugaresi2019mediapipe`, two small networks that come with the package, gives 468 points with depth.
# They carry everything that we need to know of the face's shape and pose; the pixels bring the colour.

# %%
figures.show(
    shown.landmarks_figure(lab),
    "NASA's portrait of an astronaut, the part of it that shows the face, and the same "
    "part with the stored landmarks and the triangles between them.",
)

# %% [markdown]
# ## Unwrapping
#
# Every texel $(u, v)$ of the layout has a place $X(u, v)$ on its head.
# That head is moved onto the landmarks by a similarity, scale $a$, rotation $R$ and offset $t$; what the landmarks still differ by, $r$, is interpolated over the triangles and added.
# So each texel finds its pixel, by the camera's projection $\Pi$, and takes the colour of the photo $I$ there:
#
# ```{math}
# :label: eq-ch07-unwrap
# \begin{aligned}
# x(u, v) &= I\big(\Pi\,(a R\, X(u, v) + t + r(u, v))\big) \\
# v(u, v) &= \text{ramp}(n \cdot c) \\
# & \quad \cdot [\text{not hidden}] \cdot [\text{in the picture}]
# \end{aligned}
# ```
#
# Here $x$ is the phone texture, and $v$ before a bracket its visibility (inside of one it is a coordinate of the layout).
# The cosine $n \cdot c$ between the surface's normal $n$ and the direction $c$ to the camera tells how squarely a place is seen, and the ramp rises from 0 at a grazing angle to 1.
# A bracket is 1 where it is true and 0 elsewhere; a depth buffer is a picture of how far the nearest surface is, so it knows what hides what.
# How the authors weight their frames we do not know; this visibility is our choice.
#
# The landmarks end at the face's oval, and a person does not.
# Beyond it, $r$ runs on smoothly over the base head, and a third small network (MediaPipe's selfie segmentation) tells the person from the wall behind: where the photo shows the person, hair and the sides of the head are read as well.
# Ears and neck are left out, because nobody's are where the base head has them.

# %%
notebook.source(capture.unwrap.visibility_map)
notebook.tell("ch07", shown.unwrapped(lab))

# %% [markdown]
# The photo fills {glue:text}`ch07_covered:.0f` % of the layout; everything else will be invented.
# The face is {glue:text}`ch07_face_pixels:.0f` pixels wide, and one pixel of it covers {glue:text}`ch07_oversampling`.
# The mouth is open by {glue:text}`ch07_mouth:.2f` of its width, and teeth have no place in the layout.
# The notes below the table are what the command line would tell you.
#
# ## Through the chain
#
# The call is that of {ref}`ch06`, at the default size, with two additions.
# `keep_tone` leaves her skin as light as the photo shows it, for the tone network of {ref}`ch05` knows synthetic people only.
# And Python's sockets are closed while it runs.
# If Python code of any step tried to send the photograph somewhere, this cell would fail.

# %%
with closed_sockets() as attempts:
    out = lab.run(lab.shot.texture, lab.shot.visibility)
print("connections tried:", attempts.call_count)
assert not attempts.called
figures.show(
    shown.stages_figure(lab, out),
    "The four stages on the astronaut: phone texture, its reconstruction by G_phone, "
    "the same code through G_studio, and the result at full size. Each is judged by "
    "what the one before it could know.",
)

# %% [markdown]
# Read it from left to right, and blame the right stage.
#
# - If the second picture is not this person, the encoder's code has lost her, and only what fusion takes from the phone texture can bring her back.
# - If the second is right and the third is not, the fine-tuned generator has changed her.
# - If the third is right and the fourth shows light or marks that do not belong to skin, they came in through the phone's gradients.
#
# There is no true studio texture of this person, so the picture is all that we have for the question how *right* the result is.
# The next slider wipes between the photo's texture and the result.

# %%
interactive.before_after(
    lab.shot.texture[0],
    out.texture[0],
    "The astronaut's phone texture and the chain's result",
    labels=("phone texture", "result"),
)

# %% [markdown]
# ## On a head
#
# A texture on somebody else's head is somebody else.
# The paper starts from a registered head of the person; we have one photograph and its landmarks, so we take what these tell.
#
# Turned back by their pose, the landmarks $x_f$ of a picture $f$ are measured across the line of sight, and guessed by a network along it.
# So each picture gets a precision $A_f$, which is 1 across its line of sight and small along it, and a weak prior holds the rest at the canonical face $\bar x$:
#
# ```{math}
# :label: eq-ch07-shape
# \begin{aligned}
# x = \arg\min_x \; & \frac{1}{F} \sum_f (x - x_f)^\top A_f \, (x - x_f) \\
# & + \kappa \, \| x - \bar x \|^2
# \end{aligned}
# ```
#
# Here $F$ is the number of pictures, and $\kappa$ the prior's precision.
# The head passes through these points; ears and neck follow smoothly.
# Of skull and hair one photograph shows the outline: where the person ends, on rays from the middle of the head.
# The base head is moved out that far, and a little less to the front and the back, which no outline shows.
# A smile stays, but an open mouth is closed, because the layout has no teeth to show, and lips that close over teeth come together at the corners.

# %%
notebook.tell("ch07", shown.heads(lab, out))
notebook.ledger("shape", limits=True)

# %% [markdown]
# Her points lie {glue:text}`ch07_head_moved:.1f` mm from the canonical face, on average.
# A network for real faces ({ref}`ch06`) finds the texture on the base head {glue:text}`ch07_head_base:.2f` from the photo, and on her own head {glue:text}`ch07_head_own:.2f`; below {glue:text}`ch07_head_limit:.1f` it takes two pictures for one person's.
# So her own head is {glue:text}`ch07_head_nearer` her, with the same texture.
#
# The table asks the same where the shape is known: how well does a head, photographed and found again, say what tells people apart?
# Look at the column for depth before you trust a profile: one picture says next to nothing of it, so it stays mostly the base head's.
#
# Turn the head: ears, neck and the back of it are what the generator thinks belongs to such a face.
# The hair in front is the photo's, and the rest of it got its colour from there: after the light of the face is taken from it, hair is what is darker than the skin beside it, or greyer.
# The code knows nothing of it: the encoder looks at the face alone, for hair that it never met would lead it astray.
# In Jupyter or Colab, the picture below it moves one lamp around the head: light that stays where it was is in the texture.

# %%
mesh = avatar.own_head(lab.shot.shape, grid=96)
skins = {"phone texture": lab.shot.texture[0], "result": out.texture[0]}
shown.turning(mesh, skins)

# %% tags=["remove-output", "nbval-ignore-output"]
explore(
    lambda side, height, texture: avatar.render(
        mesh, skins[texture], 20, size=384, shading=lamp(side, height)
    ),
    "the head under one lamp: light that no lamp makes is in the texture",
    side=(-120, 120, -50),
    height=(-60, 60, 25),
    texture=list(skins),
)

# %%
avatar.write_glb(mesh, skins["result"], folder / "astronaut.glb")
page, title = folder / "astronaut.html", "Astronaut"
interactive.page(
    avatar.write_viewer(mesh, page, {"result": skins["result"], **skins}, title=title),
    "A head that can be turned, with a switch between the phone texture and the result",
    avatar.render(mesh, skins["result"], yaw=20, size=256),
)

# %% [markdown]
# ## How far from home?
#
# "It looks worse than on synthetic heads" is no measurement.
# For a fair one, unseen synthetic captures are shown to the chain *through the astronaut's own visibility map*, so that the mask, the resolution and the metric are the same, and only the face differs.
# Without the truth we can ask five questions:
#
# - PSNR of the reconstruction, in the texels that were seen: can encoder and G_phone reproduce this face at all?
# - Length of the code: how many standard deviations from the average code does it lie, as a root mean square? A random code of G_phone has about 1; an encoder's may lie further out, for W+ is larger than what the mapping network reaches.
# - Identity cosine between input and result, over the seen texels, by a network that no loss has seen.
# - Structural similarity {cite}`wang2004ssim` between input and result, over the seen texels: a second opinion on likeness that needs no network.
# - Left-right asymmetry of light, before and after.

# %%
home = lab.home(recipes.chapter_set(settings, detailed=True), out)
figures.show(
    shown.gap_figure(home),
    "Six panels, one per measure. Dots are unseen synthetic captures seen through the "
    "astronaut's mask, the line is their median, and the star is the astronaut. A star "
    "inside the cloud of dots is at home in that measure; the last two share a scale.",
)
notebook.tell("ch07", shown.gap(home))

# %% [markdown]
# **Reconstruction.** The astronaut is reproduced at {glue:text}`ch07_psnr:.1f` dB, {glue:text}`ch07_psnr_gap` the median of {glue:text}`ch07_others` synthetic captures seen through the same mask ({glue:text}`ch07_psnr_home:.1f` dB); {glue:text}`ch07_psnr_worse:.0f` % of these are reproduced worse.
# A blurred picture is easier to reproduce, so even an equal PSNR would not mean that the real face lies within the training set.
#
# **Code.** Its length is {glue:text}`ch07_code:.2f`, against {glue:text}`ch07_code_home:.2f` for the median synthetic capture.
# The longer the code, the further from the codes that G_studio was fine-tuned on, and the less its translation can be trusted ({ref}`ch03`).
#
# **Identity.** The cosine between photo and result is {glue:text}`ch07_cosine:.2f`, and {glue:text}`ch07_cosine_home:.2f` for the synthetic median.
# On validation subjects the judge separates "same" from "different" best at {glue:text}`ch07_threshold:.2f`; the astronaut is {glue:text}`ch07_same` that.
# But this judge has only ever seen synthetic heads, which it tells apart with an area under the curve of {glue:text}`ch07_auc:.2f`.
# Outside of its domain it can call "same" what nobody would recognise: where this number and the picture disagree, believe the picture.
# The second opinion, structural similarity to the input, is {glue:text}`ch07_ssim:.2f` for the astronaut and {glue:text}`ch07_ssim_home:.2f` for the synthetic median.
#
# **Light.** Asymmetry goes from {glue:text}`ch07_before:.3f` to {glue:text}`ch07_after:.3f`, {glue:text}`ch07_less` than before; the synthetic medians are {glue:text}`ch07_before_home:.3f` and {glue:text}`ch07_after_home:.3f`.
# A real face is a little asymmetric itself, and a smile more so, so zero is not the aim.
#
# ## Where the gap comes from
#
# Synthetic heads and a real portrait differ in more than one way, and we can name the differences, though not weigh them all.
#
# - **Faces.** The generator's skin, brows, lips and hair are drawn from a small family of rules; a real face is not in that family.
# - **Expression.** Training heads look neutral; this one smiles, and the folds of a smile are neither light nor pigment.
# - **Registration.** Synthetic textures are registered perfectly; landmarks are off by a pixel or two, which is several texels here.
# - **Camera.** A professional portrait has its own colour processing and soft light, unlike our simulated phone.
# - **Coverage.** Half of the training captures go around the head, the others end at the face's oval; one photograph shows the front of a head, of which the encoder reads the face.
#
# The remedy for all five is data: real registered captures, which we may not ship, or a better generator.
# The authors trained on real captures of many people {cite}`athar2024bridging`, and what they report is not shown by this chapter.
#
# ## What goes wrong: worse photographs
#
# We change the photograph in ways that happen, and keep the landmarks: light from one side, a hard shadow over half of the face, and a hat pulled down to the brows (painted on).
# None of these is refused, and that is the lesson: the package cannot know that a dark half is a shadow.

# %%
notebook.tell("ch07", shown.worse(lab))

# %% [markdown]
# With the hard shadow the result still has an asymmetry of {glue:text}`ch07_shadow_after:.2f`, of {glue:text}`ch07_shadow_before:.2f` in the input.
# It is reported of the paper, too, that strongly uneven light degrades the result and that hats and hairbands fail, because no studio texture has any.
# Soft light from the front, hair off the forehead, a closed mouth and no glasses are worth more than any setting.
#
# ## The same from the command line
#
# ```bash
# studiolike convert photo.png -o studio.png --json  # photo → studio-like texture
# studiolike view studio.png -o avatar.glb           # → GLB, and a page that turns it
# ```
#
# The next cell calls exactly these commands, only without starting a new process.
# What `--json` measures compares the result with the photo's own texture, for there is no truth.

# %%
Image.fromarray(lab.photo).save(folder / "photo.png")
shown.commands(folder, lab.size)

# %% [markdown]
# ## What is refused, and how
#
# Some pictures cannot give a face texture at all.
# They are refused early, with one line that says what was found, what is needed and what to do.
# To provoke it without other people's pictures, we spoil the astronaut's: we darken her, burn her out, turn her *landmarks* to a profile, and offer the landmarks with a picture of another size.
# Then we type commands that cannot work: each gives one line and the exit code 2, and leaves no half-written file.

# %%
shown.refusals(lab.refusals())
(folder / "notes.png").write_text("this is no picture")
nobody, notes, photo = (str(folder / f"{n}.png") for n in ("nobody", "notes", "photo"))
sized = ["convert", photo, "--size", "100"]
no_picture = ["convert", photo, "-o", str(folder / "out.txt")]
shown.refused([["convert", nobody], ["convert", notes], sized, no_picture])

# %% [markdown]
# ## Your own photo or video
#
# In other pictures the landmarks are found by the two networks in the package.
# Only video needs an extra, which decodes it: `pip install 'studiolike[capture] @ git+https://github.com/studiolike/studiolike'`.
#
# `````{tab-set}
# ````{tab-item} Command line
# ```bash
# # one photo; several of one person, fused; a video, whose best frames are fused
# studiolike convert me.jpg -o studio.png
# studiolike convert front.jpg left.jpg right.jpg -o studio.png
# studiolike convert walk-around.mp4 -o studio.png
# # only the phone texture and its visibility map; then both on a head
# studiolike capture me.jpg -o me.png
# studiolike view studio.png --compare me.png
# ```
# ````
# ````{tab-item} Python
# ```python
# from studiolike import capture, io
# from studiolike.pipeline import StudioPipeline
#
# shot = capture.capture_photo(io.read_image("me.jpg"), 512)
# print(shot.quality["warnings"])
# out = StudioPipeline.released()(shot.texture, shot.visibility)
# io.write_image(out.texture[0], "studio.png")
# ```
# ````
# ````{tab-item} Colab
# ```text
# from google.colab import files
# name = next(iter(files.upload()))
# !studiolike convert "$name" -o studio.png
# !studiolike view studio.png
# files.download("avatar.html")
# ```
# In Colab the upload *does* leave your machine: it goes to the rented one.
# ````
# `````
#
# The page *From your phone to your avatar* of this book tells the whole way in plain words, with consent, deletion, and what to do when something goes wrong.
# Several photographs are better than one: a slow half turn of the head with a still camera shows the cheeks squarely, and a light that stands still shows itself by not moving with the face.
#
# ## Consent and privacy
#
# - Everything runs on your machine: the cell above ran the chain with Python's sockets closed, and the viewer page forbids outside requests by its own content policy.
# - A face texture identifies a person.
#   Treat the texture, the GLB and the landmark file as you would treat the photograph: as personal data.
# - Use only pictures of people who have agreed to *this* use; that a picture is public is not consent.
# - The result is partly invented, and shows a person in a light that never was.
#   Label it when you pass it on, and never use it, or the identity networks of this package, to recognise anybody.
#
# ## Claims of the paper, tested here
#
# One photograph proves nothing and can refute little: this table is a record, not a result.

# %% tags=["hide-input"]
shown.claims(home, out.studio_lr.shape[-1])

# %% [markdown]
# <!-- claims -->
#
# ## Exercises
#
# A cell with a stub ends in a check: put your answer in place of `...` and run it.
# The check says that the answer is right, or what kind of mistake it looks like.
# A folded solution follows each exercise.
#
# ```{exercise-start} Recall: refused, or spoilt?
# :label: ex-ch07-fate
# ```
# Which pictures does the package refuse, and which does it convert although the result is spoilt?

# %% tags=["exercise"]
from studiolike.exercises import ch07

fate = {  # "refused" or "converted, and spoilt"
    "a profile": ...,
    "a face of 24 pixels": ...,
    "a photograph that is far too dark": ...,
    "a hat": ...,
    "a hard shadow across the face": ...,
}
ch07.check_fate(fate)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch07-fate
# :class: dropdown
#
# ```python
# fate = {
#     "a profile": "refused",
#     "a face of 24 pixels": "refused",
#     "a photograph that is far too dark": "refused",
#     "a hat": "converted, and spoilt",
#     "a hard shadow across the face": "converted, and spoilt",
# }
# ```
#
# Pose, size and exposure are measured in the picture, and a bad measurement is a reason to refuse.
# To recognise a hat or a shadow one has to know what it is.
# ````
#
# ```{exercise-start} Code: a smaller truth
# :label: ex-ch07-mirror
# ```
# We have no studio texture of the astronaut, but we know a property of it: it is nearly mirror-symmetric.
# Build a measure of it: the PSNR in dB of a texture to its mirror image, over texels where *both* were seen, each weighted by the product of the two visibilities.
# Try it on the photograph with the hard shadow, and say when it is wrong.

# %% tags=["exercise"]
from studiolike.exercises import ch07


def mirror_psnr(texture, visibility):
    return ...  # (B, 3, H, W), (B, 1, H, W) -> (B,)


ch07.check_mirror(mirror_psnr)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch07-mirror
# :class: dropdown
#
# ```python
# from studiolike import evaluation
#
#
# def mirror_psnr(texture, visibility):
#     return evaluation.psnr(texture, texture.flip(-1), visibility * visibility.flip(-1))
# ```
#
# It is wrong for what is truly asymmetric: parted hair, moles, a crooked smile; and a constant texture is perfect in it, so an identity metric must stand beside it.
# ````
#
# ```{exercise-start} Code: blend two captures
# :label: ex-ch07-blend
# ```
# Blend captures of one face into one texture: a mean, weighted by visibility, of *light*.
# Textures are stored in sRGB (`studiolike.image` has `srgb_to_linear` and `linear_to_srgb`); where no capture has looked, any finite value will do.

# %% tags=["exercise"]
from studiolike.exercises import ch07


def blend(textures, visibility):
    return ...  # (N, 3, H, W), (N, 1, H, W) -> (1, 3, H, W)


ch07.check_blend(blend)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch07-blend
# :class: dropdown
#
# ```python
# from studiolike.image import linear_to_srgb, srgb_to_linear
#
#
# def blend(textures, visibility):
#     weight = visibility.sum(0, keepdim=True)
#     light = (srgb_to_linear(textures) * visibility).sum(0, keepdim=True) / weight.clamp_min(1e-8)
#     return linear_to_srgb(light)
# ```
#
# Decode, average, encode.
# The package's `capture.fuse` does more: it brings exposures together first, takes fine detail from the best frames, and outvotes what only one frame shows.
# ````
#
# ```{exercise-start} Research: is it the blur?
# :label: ex-ch07-blur
# ```
# Blur the synthetic captures until their sharpness (`capture.quality.sharpness`) is the astronaut's, and measure their reconstruction again.
# How much of the difference in PSNR is the blur's?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch07-blur
# :class: dropdown
#
# `resize(resize(texture, small), size)` with `small` near the width of the face in pixels does it.
# The blurred captures are reproduced better, because a generator of this size reproduces low frequencies first.
# Only what is left after this correction may be called a domain gap.
# ````
#
# ```{exercise-start} Research: two photographs
# :label: ex-ch07-fuse
# ```
# Fuse the photo as taken with the one lit from the side, `capture.fuse([a, b])`, and run the chain on it.
# Does the fused texture show the average of the two lights, and is the result closer to that of the photo as taken?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch07-fuse
# :class: dropdown
#
# `fuse` brings the frames to a median exposure and weights them by how well they saw each texel.
# Both saw everything equally well, so the lights are blended, and the asymmetry lies between the two.
# With a moving head and a fixed lamp the same average makes the light softer, which is why a video works better than a photograph.
# ````
#
# ## Repeating this chapter
#
# Photo and landmarks are fixed and checked by their digest, and the sampler's noise has seed 0, so two runs on one machine agree digit by digit.
# Only the command line's cell looks for the landmarks itself; what it finds may move by fractions of a pixel between machines.
#
# ## Summary
#
# - A photo and 468 landmarks give a phone texture and its visibility; {glue:text}`ch07_covered:.0f` % of the layout was seen, the rest is invented.
# - The reconstruction reaches {glue:text}`ch07_psnr:.1f` dB, {glue:text}`ch07_psnr_gap` the synthetic median through the same mask: that, the length of the code and the judge's doubt are the domain gap that we can measure.
# - Bad pictures that can be recognised are refused in one line; hats and hard shadows cannot be recognised, and spoil the result.
# - Nothing leaves your machine, and a face texture is personal data.
#
# ## References
#
# <!-- references -->
