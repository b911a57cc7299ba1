# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch01)=
# # Data and the two domains
#
# Everything that later chapters learn, they learn from two kinds of picture of the same heads: what a phone sees, and what a studio sees.
# You will build both from their causes, measure how far apart they are, and meet three ways in which such data fool the people who use them.
#
# <!-- run box -->

# %% tags=["parameters"]
profile = "auto"  # "smoke", "cpu", "gpu" or "paper"; "auto" takes what fits this machine

# %% tags=["hide-input"]
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.colors import to_rgb
from scipy.stats import spearmanr
from skimage.data import astronaut
from torch import Tensor

from studiolike import avatar, layout, recipes, weights
from studiolike.capture import astronaut_landmarks, capture_photo
from studiolike.chapters import figures, notebook
from studiolike.chapters.notebook import seeded, table_of
from studiolike.evaluation import asymmetry, psnr
from studiolike.evaluation.lighting import variance_over_lights
from studiolike.evaluation.masked import masked_blur, masked_mean
from studiolike.features.verification import pair_scores, verification
from studiolike.image import linear_to_srgb, luminance, resize, srgb_to_lab, srgb_to_linear
from studiolike.protocols import studio_subjects
from studiolike.stylegan2.train import image_grid
from studiolike.synth import SetSpec, light, phone_capture, skin, studio_texture, synthesise_subjects, write_set
from studiolike.synth.dataset import SPLIT_SEEDS, SPLITS, STRETCH
from studiolike.synth.phone import STAGES
from studiolike.synth.traits import BEARDS, HAIR_STYLES, draw_traits

settings = recipes.chapter_profile(profile)
figures.apply_style()
data = recipes.chapter_set(settings)  # small textures of many subjects
size = settings.chapter.detail_resolution  # larger textures of a few subjects, made on this page

# %% [markdown]
# ## What you will learn
#
# **Objectives.** After this chapter you can
#
# - read a texture in the head layout, and explain why registration makes a few samples go a long way;
# - name what a phone does to a texture, one cause at a time, and say which of it is light;
# - put a number on how uneven the light of a capture is;
# - find the shortcuts by which a network tells phone from studio without ever looking at light, and close them;
# - read, and write, a data card that says what a data set cannot show.
#
# **Prerequisites.** Basic deep learning, and PyTorch tensors.
# No graphics: the few equations of light are explained where they are used.
#
# **What the authors say about their data.** They state that phone textures are of low resolution, have the capture's light baked in, and miss regions, behind the ears for example {cite}`athar2024bridging`.
# Secondary summaries report 12,000 phone textures.
# Those are private, and so are the studio captures.
# The synthetic heads of this book are a declared stand-in for them: they show that the method works where the truth is known, not that it works on people.
#
# ### Predict before you run
#
# ```{predict} 1. One person under twelve lights, and twelve people under one light. In which group do the textures differ more, texel by texel?
# - [ ] The twelve people: skin tones, beards and noses differ more than lamps.
#   That is what most people expect.
# - [x] The one person: light moves a texel more than everything that makes people different.
#
# Many expect people to differ more than lamps.
# The section on twelve lights measures both variances, over the same texels.
# ```
#
# ```{predict} 2. A classifier sees no picture, only the visibility map. How well does it tell phone from studio?
# - [ ] No better than a coin.
#   It sees no face, but it sees something that only one of the two has.
# - [ ] Fairly well, with many errors.
# - [x] Perfectly.
#
# A studio texture has no holes.
# The question that matters is what such a classifier teaches a generator, and the answer is: to paint holes, or to fill them, and nothing about light.
# ```
#
# ```{predict} 3. Your studio set stores linear light, your phone set sRGB. You train a network to turn one into the other. What does it learn first?
# - [ ] To remove shadows, for they are the largest difference.
#   They are not: the encoding moves every texel, shadows only some.
# - [x] A curve.
# - [ ] Nothing: the two cannot be compared.
#   A loss can always be computed, which is the danger.
#
# The loss falls steeply, the curve is reported as de-lighting, and every shadow is still there.
# ```
#
# ## One layout for every head
#
# A head is stored as a square picture: unroll a cylinder around the head's vertical axis, put a dome on top, keep the nose in the middle.
# A point with azimuth $\varphi$ (0 at the nose), distance $r$ from the axis and height $y$ goes to
#
# $$
# \begin{aligned}
# u &= \tfrac12 + \tfrac12 \operatorname{sign}(\varphi)\; a\,(1 + f - f a), \qquad a = |\varphi| / \pi, \\
# v &= (T - h) / (T - B), \qquad h = \begin{cases} y & y \le D \\ D + \frac{T - D}{88°}\arctan\frac{y - D}{r} & y > D. \end{cases}
# \end{aligned}
# $$ (eq-ch01-layout)
#
# $T$ and $B$ are the heights of crown and neck, $D$ is where the dome begins, and $f$ gives the face more texels than the back of the head.
# The map has two companions.
# A **position map** holds, in every texel, the point of the head that lies there, so that normals, meshes and light all follow from it.
# A **visibility map** in $[0, 1]$ says how well a texel was seen, and is exactly 0 where nobody looked.

# %%
notebook.source(layout.uv_of)

# %% tags=["hide-input"]
REGION_COLOURS = {
    "scalp": 5,
    "neck": 2,
    "face": 1,
    "ears": 4,
    "lips": 3,
    "left_eye": 0,
    "right_eye": 0,
    "left_brow": 6,
    "right_brow": 6,
}
regions = torch.ones(3, 256, 256)
for name, colour in REGION_COLOURS.items():
    paint = torch.tensor(to_rgb(figures.PALETTE[colour])).view(3, 1, 1)
    regions = torch.lerp(regions, paint.expand_as(regions), layout.region_mask(name, 256) * 0.75)
grid = (layout.texel_uv(256) * 16 % 1 < 0.07).any(-1)
painted = torch.where(grid[None], regions * 0.45, regions)
position = layout.position_map(256)
span = position.amin((1, 2), keepdim=True), position.amax((1, 2), keepdim=True)
marks = layout.landmark_uv() * 256 - 0.5

fig, axes = plt.subplots(1, 3, figsize=(figures.WIDTH, 2.2), width_ratios=(1, 1, 1.75))
axes[0].imshow(painted.permute(1, 2, 0))
axes[0].plot(*marks.T, ".", color="black", ms=0.7)
for name, (across, down) in {"scalp": (128, 26), "face": (78, 212), "ears": (39, 168), "neck": (30, 238)}.items():
    axes[0].text(
        across, down, name, ha="center", va="center", fontsize=7, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}
    )
axes[1].imshow(((position - span[0]) / (span[1] - span[0])).permute(1, 2, 0))
mesh = avatar.head_mesh(grid=64)
views = avatar.turntable(mesh, painted, [0, 60], 192, shading="unlit", supersample=1)
axes[2].imshow(torch.cat(list(views), -1)[:, :, 20:-20].permute(1, 2, 0))
for ax, title in zip(axes, ("regions, landmarks", "position map", "the layout on the head"), strict=True):
    ax.set_axis_off()
    ax.set_title(title)
figures.show(
    fig,
    "Left: the square head layout with coloured regions, a grid and the 468 landmarks around the middle. Centre: the "
    "position map with x, y and z as red, green and blue. Right: the coloured layout on the head, from the front and "
    "from the side; the grid's cells are small on the face and large at the back.",
)

step_u = F.pad(position, (0, 1, 0, 0), mode="circular").diff(dim=2)[:, :-1]
step_v = position.diff(dim=1)
area = torch.linalg.cross(step_v, step_u, dim=0).norm(dim=0)
face = layout.face_mask(256)[0]
notebook.glue("ch01_face_texels", 100 * face.mean())
notebook.glue("ch01_face_area", 100 * (area * face[:-1]).sum() / area.sum())

# %% [markdown]
# The face oval is {glue:text}`ch01_face_area:.0f` % of the head's surface and gets {glue:text}`ch01_face_texels:.0f` % of the texels.
#
# ### Why registration makes few samples enough
#
# The 468 landmarks of a detector {cite}`kartynnik2019facemesh` have *fixed* places in the layout.
# So one texel is the same spot of skin on everybody: a network need not learn where the mouth is, only what mouths look like.
# Morphable models have rested on that correspondence since {cite:t}`blanz1999morphable`.
#
# How much is it worth?
# Take the fine structure of $n$ studio faces (log luminance without its broad part: eyes, brows, nose, lips, marks), span a linear subspace by them, and ask what share of the fine structure of people *not* among them it explains.
# Then do the same after every texture was moved, turned and scaled a little, as it would come out of the crop box of a face detector.
# Same people, same statistics of pixels; only the correspondence is gone.


# %% tags=["hide-input"]
def jitter(textures: Tensor, rng: torch.Generator) -> Tensor:
    """Each texture moved by up to 4 % of the width, scaled by up to 8 % and turned by up to 6°."""
    amount = torch.rand(len(textures), 4, generator=rng) * 2 - 1
    turn, scale = amount[:, 0] * 0.105, 1 + amount[:, 1] * 0.08
    cos, sin = turn.cos() * scale, turn.sin() * scale
    pose = torch.stack([cos, -sin, amount[:, 2] * 0.08, sin, cos, amount[:, 3] * 0.08], -1).view(-1, 2, 3)
    where = F.affine_grid(pose, list(textures.shape), align_corners=False)
    return F.grid_sample(textures, where, padding_mode="border", align_corners=False)


def structure(textures: Tensor) -> Tensor:
    """Fine log luminance of the face, ``(B, texels)``."""
    n = textures.shape[-1]
    log = torch.log(luminance(srgb_to_linear(textures)) + 0.02)
    return (log - masked_blur(log, torch.ones_like(log), 0.06 * n))[:, :, 5 * n // 16 : 13 * n // 16, n // 4 : -n // 4].flatten(1)


def explained(train: Tensor, held_out: Tensor) -> Tensor:
    """Share of the held-out people's structure that lies in mean + span of the training ones; negative = worse than nothing."""
    mean = train.mean(0)
    basis = torch.linalg.svd((train - mean).T, full_matrices=False)[0][:, : len(train) - 1]
    rest = held_out - mean
    return 1 - (rest - rest @ basis @ basis.T).square().sum() / held_out.square().sum()


rng = seeded(0)
everyone = data.studio_batch(torch.arange(len(data.studio)))
unseen = data.split == SPLITS.index("val")
train, held = everyone[~unseen], everyone[unseen]
counts = [n for n in (2, 4, 8, 16, 32, 64) if n <= len(train)]
curves: dict[str, list[list[Tensor]]] = {"registered": [[] for _ in counts], "jittered": [[] for _ in counts]}
for _ in range(5):
    order = torch.randperm(len(train), generator=rng)
    for name, move in (("registered", lambda x, rng: x), ("jittered", jitter)):
        moved, moved_held = (structure(move(x, rng)) for x in (train[order], held))
        for place, n in enumerate(counts):
            curves[name][place].append(100 * explained(moved[:n], moved_held))
fig = plt.figure(figsize=(figures.WIDTH, 2.4))
axes = fig.subplots(1, 3, width_ratios=(1, 1, 2))
for ax, textures, title in ((axes[0], train, "mean, registered"), (axes[1], jitter(train, rng), "mean, jittered")):
    ax.imshow(textures.mean(0).permute(1, 2, 0).clamp(0, 1), interpolation="antialiased")
    ax.set_axis_off()
    ax.set_title(title)
for (name, rows), marker, dash in zip(curves.items(), figures.MARKERS, figures.DASHES, strict=False):
    values = torch.tensor([[float(v) for v in row] for row in rows])
    axes[2].errorbar(counts, values.mean(1), values.std(1), marker=marker, linestyle=dash, capsize=2, label=name)
axes[2].axhline(0, color=figures.QUIET, linewidth=0.6)
axes[2].set(
    xscale="log",
    xlabel="training textures n",
    ylabel="explained of new\nfaces' structure (%)",
    xticks=counts,
    xticklabels=[str(n) for n in counts],
)
axes[2].minorticks_off()
axes[2].legend()
figures.show(
    fig,
    "Mean of all training studio textures, sharp when registered and blurred when jittered, and the share of "
    "held-out faces' fine structure explained over the number of training textures, for both; error bars show one "
    "standard deviation over five draws.",
)
mean_of = {name: [float(torch.stack(row).mean()) for row in rows] for name, rows in curves.items()}
enough = next((n for n, value in zip(counts, mean_of["registered"], strict=True) if value >= mean_of["jittered"][-1]), None)
notebook.glue("ch01_registered", mean_of["registered"][-1])
notebook.glue("ch01_jittered", mean_of["jittered"][-1])
notebook.glue("ch01_counts", counts[-1])
notebook.glue(
    "ch01_enough",
    f"{enough} registered textures do as well as {counts[-1]} jittered ones"
    if enough
    else "no number of registered textures does as well as the jittered ones, against our expectation",
)

# %% [markdown]
# From {glue:text}`ch01_counts` textures, {glue:text}`ch01_registered:.0f` % of new faces' fine structure is explained if all are registered, and {glue:text}`ch01_jittered:.0f` % if not: {glue:text}`ch01_enough`.
# This tests the *representation*; no network was trained, and a convolutional one would be hurt less than a linear subspace.
#
# ## Who is in the data: a synthetic subject
#
# ### Skin from its pigments
#
# Skin is painted with two fields, melanin $M$ and the blood fraction $b$, and becomes a colour only through a model of absorption, in the manner of {cite:t}`donner2006skin`:
# blood-perfused dermis reflects by diffusion theory {cite}`jensen2001subsurface`, and light crosses the melanin of the epidermis on its way in and out.
#
# $$ R(\lambda) = 0.97\, e^{-M(\lambda / 550\,\mathrm{nm})^{-1.25}}\; R_{\text{dermis}}(\lambda; b) + 0.01 . $$ (eq-ch01-skin)
#
# Blood is placed by region, as measured maps show it {cite}`jimenez2010appearance`; spectral models of skin go back further {cite}`krishnaswamy2004skin`.
# The exponent $-1.25$ is **our choice**, flatter than the textbook law, with which dark skin came out orange.
# How strongly the dermis scatters is the mean over many measured skins {cite}`jacques2013optical`; with an older, flatter spectrum even bloodless skin without melanin stayed too yellow to be *very light*.
# A spectrum matters here: mixing "light" and "dark" RGB linearly makes brown skin grey.

# %%
notebook.source(skin.skin_reflectance)

# %% tags=["hide-input"]
ITA_EDGES = (55, 41, 28, 10, -30)
ITA_NAMES = ("very light", "light", "intermediate", "tan", "brown", "dark")


def ita(lab: Tensor) -> Tensor:
    """Individual typology angle in degrees of L*a*b* ``(B, 3, …)``; b* of skin is positive."""
    return torch.rad2deg(torch.atan2(lab[:, 0] - 50, lab[:, 2]))


def ita_group(angle: Tensor) -> Tensor:
    """Place in `ITA_NAMES`."""
    return (angle[:, None] <= torch.tensor(ITA_EDGES)).sum(1)


tone = torch.linspace(0, 1, 48)
blood = torch.linspace(0.004, 0.05, 16)
chart = skin.skin_colour(skin.melanin_of_tone(tone).expand(1, 1, 16, -1), blood[:, None].expand(1, 1, -1, 48))
chart = linear_to_srgb(chart)
skin_mask = (layout.region_mask("skin_face", data.resolution)[0] > 0.9).flatten()
# the middle skin colour of every subject, read off the studio texture as a camera would
measured = torch.stack(
    [srgb_to_lab(everyone[k : k + 1])[0].flatten(1)[:, skin_mask].median(1).values for k in range(len(everyone))]
)
curve = srgb_to_lab(
    linear_to_srgb(skin.skin_colour(skin.melanin_of_tone(tone).view(1, 1, 1, -1), torch.full((1, 1, 1, 48), 0.012)))
)[0, :, 0]
fig, axes = plt.subplots(1, 2, figsize=(figures.WIDTH, 2.7))
axes[0].imshow(chart[0].permute(1, 2, 0), extent=(0, 1, 0.05, 0.004), aspect="auto", interpolation="bilinear")
axes[0].set(xlabel="tone (0 = least melanin)", ylabel="blood fraction", title="the absorption model's range")
axes[0].grid(False)
axes[1].plot(curve[2], curve[0], color=figures.INK, linewidth=1.2, label="model, blood 0.012")
axes[1].scatter(
    measured[:, 2], measured[:, 0], s=16, color=figures.COLOURS["studio"], linewidths=0, alpha=0.7, label="studio textures"
)
reach = torch.tensor([0.0, 40.0])
for edge in ITA_EDGES:
    axes[1].plot(reach, 50 + reach * torch.tan(torch.deg2rad(torch.tensor(float(edge)))), color=figures.QUIET, linewidth=0.6)
axes[1].set(xlabel="b*", ylabel="L*", xlim=(0, 32), ylim=(15, 85), title="against the six ITA classes")
for name, (x, y) in {
    "very light": (2, 79),
    "light": (20, 70.5),
    "intermediate": (20, 63),
    "tan": (24, 57),
    "brown": (24, 45),
    "dark": (24, 26),
}.items():
    axes[1].text(x, y, name, fontsize=7, color=figures.QUIET)
axes[1].legend(loc="lower left", fontsize=7)
figures.show(
    fig,
    "Left: a chart of skin colours over tone and blood fraction, from pale to very dark, redder with more blood. Right: "
    "lightness over yellowness of the model and of all subjects' studio textures, with the borders of the six classes "
    "of the individual typology angle.",
)
of_group = torch.bincount(ita_group(ita(measured)), minlength=6)
notebook.glue("ch01_classes", int((of_group > 0).sum()))
notebook.glue("ch01_lightest", measured[:, 0].max())
notebook.glue("ch01_darkest", measured[:, 0].min())

# %% [markdown]
# Subjects' median skin lightness runs from L* {glue:text}`ch01_darkest:.0f` to {glue:text}`ch01_lightest:.0f`, and they fall into {glue:text}`ch01_classes` of the six classes that dermatologists cut by the *individual typology angle*, $\arctan\frac{L^*-50}{b^*}$ {cite}`delbino2013skin`.
# Nobody was measured for this figure: it shows that the model's range is wide, not that its colours are right for each person.
#
# ### Everything is known
#
# A subject is a seed.
# From it come a shape (the base head plus smooth, slightly asymmetric bumps, at fixed $u, v$), pigments, marks, hair, and relief.
# Every map that went into the picture is kept, which no real capture can offer.

# %% tags=["hide-input"]
candidates = STRETCH["val"] * SPLIT_SEEDS + torch.arange(64)
tones = draw_traits(candidates).tone
wanted = torch.linspace(0.05, 0.95, 6)
chosen = candidates[(tones[None] - wanted[:, None]).abs().argmin(1)]  # by tone alone: not picked for their looks
with torch.no_grad():
    heads = synthesise_subjects(chosen, size)
    studio = studio_texture(heads)
    shots = phone_capture(heads, torch.arange(6))

one = 0  # the subject whose maps are shown
truth = {
    "albedo": linear_to_srgb(heads.albedo_linear[one]),
    "normals": heads.normals[one] * 0.5 + 0.5,
    "distance to base head": (heads.position[one] - layout.position_map(size)).norm(dim=0, keepdim=True) / 3,
    "sky seen (AO)": heads.occlusion[one],
    "gloss": heads.gloss[one] / 2,
    "hair": heads.hair[one],
    "light": linear_to_srgb((shots.irradiance[one] / shots.irradiance[one].amax()).clamp(0, 1)),
    "visibility": shots.visibility[one],
    "studio texture": studio[one],
    "phone texture": shots.texture[one],
}
pictures = list(truth.values())
fig = figures.texture_grid([pictures[:5], pictures[5:]], (), list(truth)[:5])
for ax, name in zip(fig.axes[5:], list(truth)[5:], strict=True):
    ax.set_title(name, fontsize=9, loc="center")
moles = heads.moles[one]
moles = moles[moles[:, 3] > 0.05]
fig.axes[0].scatter(
    moles[:, 0] * size, moles[:, 1] * size, s=18, facecolors="none", edgecolors=figures.PALETTE[5], linewidths=0.7
)
figures.show(
    fig,
    "Ten maps of one synthetic subject: albedo with rings around its moles, normals, distance to the base head, ambient "
    "occlusion, gloss, hair, then the irradiance and visibility of one phone capture, and the studio and phone textures.",
)

# %% [markdown]
# Light reaches a texel with normal $n$ from all directions $\omega_d$ that it can see.
# What it can see, $V_d$, is worked out once and kept, which turns every further lighting into a product of matrices {cite}`sloan2002prt`:
#
# $$ E = \frac4{|\mathcal D|}\sum_{d \in \mathcal D} L(\omega_d)\, V_d \max(n \cdot \omega_d, 0) \;+\; K\, S \max(n\cdot\omega_K, 0) . $$ (eq-ch01-light)
#
# The second term is a hard key light $K$ with its cast shadow $S$, a lamp or the sun, present in about three captures of five.
# The studio has one light for everybody, a uniform dome, and one exposure:

# %%
notebook.source(light.diffuse)
notebook.source(studio_texture)

# %% [markdown]
# ## The two domains
#
# Six subjects, evenly spaced in tone, once in the studio and once by phone.
# The columns share a subject; nothing else is shared between the rows.

# %% tags=["hide-input"]
figures.show(
    figures.texture_grid(
        [studio, shots.texture, shots.visibility, shots.texture * (shots.visibility > 0)],
        ["studio", "phone", "visibility", "phone, seen"],
        [f"severity {value:.2f}" for value in shots.severity],
    ),
    "Six synthetic subjects from light to dark skin. Rows: studio texture; phone texture of the same subject; visibility of the phone "
    "capture; phone texture with unobserved texels black. The phone row varies in colour, shadow and sharpness, the studio row only "
    "in its people.",
)


def gradient_energy(texture: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation ``(B,)`` of fine log luminance inside the mask: detail, and noise."""
    log = torch.log(luminance(srgb_to_linear(texture)) + 0.01)
    fine = log - masked_blur(log, mask, 0.012 * texture.shape[-1])
    return masked_mean(fine.square(), mask).sqrt()


seen = shots.visibility.gt(0.5).float() * layout.region_mask("skin_face", size).gt(0.9).float()
notebook.glue("ch01_nothing", psnr(shots.texture, studio, seen).mean())
notebook.glue("ch01_asymmetry_phone", asymmetry(shots.texture, seen).mean())
notebook.glue("ch01_asymmetry_studio", asymmetry(studio, seen).mean())

# %% [markdown]
# Over the facial skin that the phone saw well, the two rows agree to only {glue:text}`ch01_nothing:.1f` dB.
# The left and right side of a face differ in luminance by {glue:text}`ch01_asymmetry_phone:.2f` log units by phone and by {glue:text}`ch01_asymmetry_studio:.2f` in the studio.
# Faces are nearly symmetric and light seldom is, so most of that difference is light.
#
# ## One subject under twelve lights
#
# Strongly uneven light is the limit that summaries of the paper name for its method, so every capture gets a number for it.
# The **severity** of a capture is the contrast of the true irradiance $E$ over the face,
#
# $$ s = \frac{E_{95} - E_5}{E_{95} + E_5} \in [0, 1], $$ (eq-ch01-severity)
#
# with the 5th and 95th percentile of its luminance.
# A real capture cannot know it, because it needs $E$; the synthetic one does.

# %%
notebook.source(light.severity)

# %% tags=["hide-input"]
with torch.no_grad():
    many = phone_capture(heads[torch.full((12,), one)], torch.arange(100, 112))
order = many.severity.argsort()
lit = many.irradiance[order]
lit = linear_to_srgb((lit / (2.2 * luminance(lit).mean((1, 2, 3), keepdim=True))).clamp(0, 1))
rows = [many.texture[order][:6], lit[:6], many.texture[order][6:], lit[6:]]
fig = figures.texture_grid(rows, ["phone", "true light", "phone", "true light"])
for start, part in ((0, order[:6]), (12, order[6:])):
    for ax, value in zip(fig.axes[start : start + 6], many.severity[part], strict=True):
        ax.set_title(f"s = {value:.2f}", fontsize=9, loc="center")
figures.show(
    fig,
    "One subject under twelve lights in order of severity, from nearly even to one side in deep shadow, with the true "
    "irradiance of each below it, every one at the same mean brightness.",
)

shared = many.visibility.gt(0.3).float() * layout.face_mask(size)
over_lights = variance_over_lights(many.texture, torch.zeros(12), shared)[0][0]
people = data.studio_batch(torch.arange(len(data.studio)))
over_people = masked_mean(people.var(0, keepdim=True), resize(shared.amin(0, keepdim=True), data.resolution))[0]
notebook.glue("ch01_sd_lights", 255 * over_lights.sqrt())
notebook.glue("ch01_sd_people", 255 * over_people.sqrt())
notebook.glue("ch01_variance", "more" if over_lights > over_people else "less")
notebook.glue("ch01_s_low", many.severity.min())
notebook.glue("ch01_s_high", many.severity.max())

# %% tags=["hide-input"]
figures.image_slider(
    many.texture[order],
    [f"severity {value:.2f}" for value in many.severity[order]],
    "one synthetic subject under twelve lights",
    name="Light",
    width=320,
)

# %% [markdown]
# Severity runs from {glue:text}`ch01_s_low:.2f` to {glue:text}`ch01_s_high:.2f` here.
# One face under these lights varies by {glue:text}`ch01_sd_lights:.0f` levels (standard deviation of a texel); all people of this chapter's set in the studio vary by {glue:text}`ch01_sd_people:.0f`, over the same texels.
# So light moves a texel of this face {glue:text}`ch01_variance` than everything that makes people different, skin tone included.
# Pixel error alone cannot tell the two apart, which is why identity and light are measured separately in later chapters.
#
# ## What the phone does, step by step
#
# The simulator can record the picture after each step.
# Move the slider: the first frame is the albedo, the last one the phone texture.

# %% tags=["hide-input"]
stages = {}
with torch.no_grad():
    hard = order[8]
    last = phone_capture(heads[one : one + 1], 100 + hard[None], stages)
assert torch.equal(stages["JPEG"], last.texture)
WORDS = {
    "light": "the place's light and shadow",
    "gloss": "gloss, seen from the first camera",
    "white balance": "white balance",
    "views": "views blended, holes open",
    "background": "background bleeds in at the rim",
    "misregistration": "each view misregistered",
    "blur": "blur at grazing angles",
    "holes filled": "holes smeared over",
    "noise": "sensor noise",
    "tone curve": "tone curve and saturation",
    "sharpening": "sharpening halo",
    "JPEG": "JPEG",
}
frames = [linear_to_srgb(heads.albedo_linear[one])] + [stages[name][0] for name in STAGES]
labels = ["0 · albedo, the truth"] + [f"{k} · {WORDS[name]}" for k, name in enumerate(STAGES, 1)]
figures.image_slider(frames, labels, "one synthetic subject through the phone", name="Step", width=384)

# %% tags=["hide-input"]
unit = last.visibility.gt(0).float() * layout.face_mask(size)
changes = []
for before, after in zip(frames[1:], frames[2:], strict=False):
    a, b = before[None], after[None]
    broad = masked_blur(b - a, unit, 0.03 * size)
    changes.append([255 * float(masked_mean(part.square(), unit).sqrt()) for part in (broad, b - a - broad)])
fig, ax = plt.subplots(figsize=(figures.WIDTH, 2.6))
place = torch.arange(len(changes))
for k, (name, colour) in enumerate((("broad", figures.COLOURS["phone"]), ("fine", figures.COLOURS["detailed"]))):
    ax.bar(place + 0.4 * k, [row[k] for row in changes], 0.38, color=colour, label=f"{name} change", hatch=("", "//")[k])
ax.set_xticks(place + 0.2, [name.replace(" ", "\n") for name in STAGES[1:]], rotation=45, ha="right")
ax.set(ylabel="RMS change on the\nseen face (levels)")
ax.legend()
figures.show(
    fig,
    "Bars: how much each step after the light changes the observed face, split into broad and fine changes. Colour steps "
    "change broadly, misregistration, blur, noise, sharpening and JPEG change finely.",
)
first = masked_mean((frames[1][None] - frames[0][None]).square(), unit).sqrt()
notebook.glue("ch01_light_change", 255 * first)
notebook.glue("ch01_most_fine", STAGES[1:][max(place.tolist(), key=lambda k: changes[k][1])])

# %% [markdown]
# The step that is missing in the bars is the first one, from albedo to light: {glue:text}`ch01_light_change:.0f` levels, exposure included.
# Of the others, *{glue:text}`ch01_most_fine`* changes fine structure most in this capture.
# Broad changes are what chapter 4 has to undo, fine ones what chapter 5 has to restore, and black texels what chapter 2 has to invent.
#
# ## Holes, and how well a texel was seen
#
# For each view, a texel's quality is a smooth step of the cosine between its normal and the direction to the camera, times the share of the camera's sight that nothing blocks; the best view counts.
# Below a threshold the texel was never observed: its visibility is exactly 0, and what the picture shows there is a smear.

# %% tags=["hide-input"]
texture, visibility = data.phone_batch(torch.arange(len(data)))
often = (visibility > 0).float().mean(0)
NAMES = ("skin_face", "lips", "ears", "neck", "scalp", "head")
share = [float((often * m).sum() / m.sum()) for m in (layout.region_mask(name, data.resolution) for name in NAMES)]
fig = plt.figure(figsize=(figures.WIDTH, 1.9))
axes = fig.subplots(1, 3, width_ratios=(1, 1, 1.3))
for ax, values, title in ((axes[0], often[0], "share of captures"), (axes[1], visibility.mean(0)[0], "mean visibility")):
    shown = ax.imshow(values, vmin=0, vmax=1, cmap=figures.MAP)
    ax.set_axis_off()
    ax.set_title(title)
fig.colorbar(shown, ax=axes[:2], fraction=0.03, pad=0.02)
axes[2].barh(NAMES[::-1], share[::-1], color=figures.COLOURS["phone"])
axes[2].set(xlim=(0, 1), xlabel="share of texels observed")
axes[2].set_yticks(
    range(len(NAMES)), [name.replace("skin_face", "facial skin").replace("head", "whole head") for name in NAMES[::-1]]
)
figures.show(
    fig,
    "Two maps of the layout: the share of captures in which a texel was observed, and its mean visibility, both high in the "
    "face's middle and zero at the back. Bars: the observed share by region.",
)
notebook.glue("ch01_observed", 100 * share[-1])
notebook.glue("ch01_ears", 100 * share[NAMES.index("ears")])
notebook.glue("ch01_never", 100 * (often == 0).float().mean())

# %% [markdown]
# A capture observes {glue:text}`ch01_observed:.0f` % of the map on average, and {glue:text}`ch01_ears:.0f` % of the ears.
# {glue:text}`ch01_never:.0f` % of the map was observed in no capture of this set: whatever a network paints there is a guess from the studio data alone.
#
# ## How severe is the light?

# %% tags=["hide-input"]
uneven = asymmetry(texture, visibility * layout.face_mask(data.resolution))
held = torch.isin(torch.arange(len(data)), data.captures("val"))
bins = torch.linspace(0, 1, 17).tolist()
fig, axes = plt.subplots(1, 2, figsize=(figures.WIDTH, 2.5))
axes[0].hist(
    [data.severity[rows].tolist() for rows in (held, ~held)],
    bins,
    stacked=True,
    label=["split “val”", "all other splits"],
    color=[figures.COLOURS["studio"], figures.COLOURS["phone"]],
    edgecolor="white",
    linewidth=0.5,
)
axes[0].set(xlabel="severity (true light)", ylabel="captures")
axes[0].legend()
axes[1].plot(data.severity, uneven, ".", color=figures.COLOURS["phone"])
axes[1].set(xlabel="severity (true light)", ylabel="asymmetry of the picture\n(log units)")
figures.show(
    fig,
    "Left: stacked histogram of lighting severity of the split val and of all other captures. Right: the asymmetry that can be "
    "measured in the picture, over the true severity, one dot per capture.",
)
rank = spearmanr(data.severity.numpy(), uneven.numpy()).statistic
notebook.glue("ch01_severity_median", data.severity.median())
notebook.glue("ch01_severity_high", data.severity.quantile(0.9))
notebook.glue("ch01_rank", float(rank))

# %% [markdown]
# The median severity is {glue:text}`ch01_severity_median:.2f`, and one capture in ten exceeds {glue:text}`ch01_severity_high:.2f`.
# On a real photo only the right-hand axis can be measured.
# Its rank correlation with the truth is {glue:text}`ch01_rank:.2f`: light from above is severe and yet symmetric, and hair that hangs on one side is asymmetric without any light.
# Later chapters use the true number.
#
# ## What goes wrong, 1: holes betray the domain
#
# An adversarial loss pays for *any* difference between two sets, and takes the easiest one: a shortcut {cite}`geirhos2020shortcut`.
# We train a classifier of a few lines, logistic regression, to tell phone from studio, and give it less and less to look at.
# **Raw:** textures as they come, with the visibility map of each (a studio texture is seen everywhere).
# **Masked:** both domains seen through maps of phone captures, $(v \odot x, v)$, each map handed to one texture of either side.
# It is graded on subjects that it was not trained on, by the area under the ROC curve: 0.5 is a coin, 1 is certainty.


# %%
def auc(scores: Tensor, label: Tensor) -> float:
    difference = scores[label == 1][:, None] - scores[label == 0][None]
    return float(((difference > 0).float() + 0.5 * (difference == 0).float()).mean())


def train_and_grade(features: Callable, train: tuple[Tensor, ...], held_out: tuple[Tensor, ...]) -> float:
    x, grade = features(*train[:2]), features(*held_out[:2])
    mean, spread = x.mean(0), x.std(0).clamp_min(1e-6)
    weights = torch.zeros(x.shape[1] + 1, requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=50)

    def score(values: Tensor) -> Tensor:
        return ((values - mean) / spread) @ weights[1:] + weights[0]

    def loss() -> Tensor:
        solver.zero_grad()
        value = F.binary_cross_entropy_with_logits(score(x), train[2]) + 0.01 * weights.square().sum()
        value.backward()
        return value

    solver.step(loss)
    return auc(score(grade).detach(), held_out[2])


# %% tags=["hide-input"]
never = (often == 0).float()[None]
face = layout.face_mask(data.resolution)[None]


def holes_only(x: Tensor, v: Tensor) -> Tensor:
    return torch.stack([v.mean((1, 2, 3)), (v == 0).float().mean((1, 2, 3))], 1)


def smears_only(x: Tensor, v: Tensor) -> Tensor:
    """Contrast where no phone capture ever saw anything."""
    return gradient_energy(x, never.expand(len(x), -1, -1, -1))[:, None]


def light_only(x: Tensor, v: Tensor) -> Tensor:
    return asymmetry(x, v * face)[:, None]


def camera_only(x: Tensor, v: Tensor) -> Tensor:
    """Fine structure of luminance and of colour: blur, noise, sharpening, JPEG."""
    where = (v > 0.5).float() * face
    lab = srgb_to_lab(x)
    fine = lab - masked_blur(lab, where, 0.012 * x.shape[-1])
    return torch.cat([masked_mean(fine[:, k : k + 1].square(), where)[:, None].sqrt() for k in range(3)], 1)


def domains(captures: Tensor, people: Tensor, rng: torch.Generator, masked: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Phone captures (label 1) and as many studio textures (label 0), with their visibility."""
    x, v = data.phone_batch(captures)
    y = data.studio_batch(people[torch.arange(len(captures)) % len(people)])
    w = v[torch.randperm(len(v), generator=rng)] if masked else torch.ones_like(v)
    x, y = (x * v.gt(0), y * w.gt(0)) if masked else (x, y)
    return torch.cat([x, y]), torch.cat([v, w]), torch.cat([torch.ones(len(x)), torch.zeros(len(y))])


LOOKS = {
    "holes (map only)": holes_only,
    "smears (never-seen texels)": smears_only,
    "asymmetry of light": light_only,
    "blur and noise of the face": camera_only,
}
grades = torch.zeros(2, len(LOOKS))
for masked in (0, 1):
    rng = seeded(7)
    fitted = domains(data.captures("phone"), data.subjects("studio"), rng, bool(masked))
    graded = domains(
        torch.cat([data.captures(name) for name in ("pairs", "val")]),
        torch.cat([data.subjects(name) for name in ("pairs", "val")]),
        rng,
        bool(masked),
    )
    for k, features in enumerate(LOOKS.values()):
        grades[masked, k] = train_and_grade(features, fitted, graded)
fig, ax = plt.subplots(figsize=(figures.WIDTH, 2.2))
place = torch.arange(len(LOOKS))
for masked, (name, colour, hatch) in enumerate(
    (("raw", figures.COLOURS["phone"], ""), ("masked", figures.COLOURS["studio"], "//"))
):
    ax.barh(place + 0.4 * masked, grades[masked], 0.38, color=colour, hatch=hatch, edgecolor="white", label=name)
    for y, value in zip((place + 0.4 * masked).tolist(), grades[masked].tolist(), strict=True):
        ax.text(value + 0.01, y, f"{value:.2f}", va="center", fontsize=8)
ax.axvline(0.5, color=figures.INK, linewidth=0.8)
ax.set_yticks(place + 0.2, LOOKS)
ax.set(xlim=(0, 1.12), xlabel="AUC, phone against studio, unseen subjects")
ax.invert_yaxis()
ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2)
figures.show(
    fig,
    "Bars of the classifier's AUC for four kinds of evidence, raw and masked. Raw, holes and smears betray the domain; "
    "masked, both are at one half. The bars of light, and of blur and noise, are much the same raw and masked.",
)
for name, row in (("raw", 0), ("masked", 1)):
    for k, key in enumerate(("holes", "smears", "light", "camera")):
        notebook.glue(f"ch01_auc_{key}_{name}", grades[row, k])
closed = bool((grades[1, :2] - 0.5).abs().max() < 0.05)
notebook.glue("ch01_closed", "closes both" if closed else "does not close both")
notebook.glue("ch01_camera", "give the domain away as well" if grades[1, 3] > 0.7 else "give little away at this resolution")

# %% [markdown]
# The hole map alone reaches {glue:text}`ch01_auc_holes_raw:.2f`, and so would a discriminator, without one look at a face.
# Texels that nobody saw reach {glue:text}`ch01_auc_smears_raw:.2f`: hiding the *map* is not enough, because software leaves a smear.
# Masking {glue:text}`ch01_closed`: {glue:text}`ch01_auc_holes_masked:.2f` and {glue:text}`ch01_auc_smears_masked:.2f`.
# For the holes that is exact and no measurement, since the same maps are handed to both sides.
#
# What is left is light ({glue:text}`ch01_auc_light_masked:.2f`), which we want a discriminator to see.
# The camera's blur and noise {glue:text}`ch01_camera` ({glue:text}`ch01_auc_camera_masked:.2f`), and masking does nothing about them: a discriminator that compares textures directly can win by them too.
# Chapter 2 puts the mask into the discriminator; chapter 4 needs it most, because there one side has no holes at all.
#
# ## What goes wrong, 2: colour management as de-lighting
#
# Studio archives often hold linear camera values, and phones deliver sRGB.
# Suppose nobody converts.
# The whole "network" below is one number, the exponent of $y = x^\gamma$, fitted on the pre-training subjects and graded on those of the split "val".


# %% tags=["hide-input"]
def pairs_of(split: str) -> tuple[Tensor, Tensor, Tensor]:
    rows = data.captures(split)
    x, v = data.phone_batch(rows)
    return x, data.studio_batch(data.subject[rows]), (v > 0.3).float() * face


def error(x: Tensor, y: Tensor, mask: Tensor) -> float:
    return float(psnr(x, y, mask).mean())


gammas = torch.linspace(0.4, 3.2, 57)
x, y, mask = pairs_of("phone")
fits = {"one encoding (sRGB)": lambda t: t, "studio left linear": srgb_to_linear}
lines, best = [], {}
tx, ty, tmask = pairs_of("val")
for name, store in fits.items():
    gamma = float(gammas[torch.tensor([error(x**g, store(y), mask) for g in gammas]).argmax()])
    before, after = error(tx, store(ty), tmask), error(tx**gamma, store(ty), tmask)
    shown = tx**gamma if store(torch.tensor(0.5)) == 0.5 else linear_to_srgb(tx**gamma)
    best[name] = (gamma, before, after, error(shown, ty, tmask), shown)
    gain = f"**{after - before:+.1f} dB**"
    lines.append([name, f"{before:.1f} dB", f"{after:.1f} dB, γ = {gamma:.2f}", gain, f"{best[name][3]:.1f} dB"])
table_of(["studio set", "doing nothing", "one exponent", "gain", "and decoded correctly"], lines)
trap, honest = best["studio left linear"], best["one encoding (sRGB)"]
pick = int(data.severity[data.captures("val")].argmax())
figures.show(
    figures.texture_grid(
        [[tx[pick], srgb_to_linear(ty)[pick], tx[pick] ** trap[0], trap[4][pick], ty[pick]]],
        (),
        ["phone", "studio, linear", f"phone, γ = {trap[0]:.1f}", "… decoded", "studio, sRGB"],
    ),
    "The phone texture of the most severe unseen capture; the studio texture stored linear, which looks dark; the phone texture "
    "after one exponent, dark as well; the same decoded for display, which is the phone texture again, shadow and all; and the "
    "studio texture as it should look.",
)
notebook.glue("ch01_trap_gain", trap[2] - trap[1])
notebook.glue("ch01_trap_gamma", trap[0])
notebook.glue("ch01_trap_true", trap[3] - honest[1])
notebook.glue("ch01_honest_gain", honest[2] - honest[1])

# %% [markdown]
# One exponent, $\gamma =$ {glue:text}`ch01_trap_gamma:.1f`, changes the result by {glue:text}`ch01_trap_gain:+.1f` dB, and it has not touched a single shadow.
# Decoded for display, its picture is {glue:text}`ch01_trap_true:+.1f` dB from having done nothing.
# In one encoding the same fit changes the result by {glue:text}`ch01_honest_gain:+.1f` dB on unseen subjects.
# So phone and studio must share unwrap, crop, colour space and gamma before anything is compared, and every claim of de-lighting needs a colour-only rival; in this book *colour transfer* and the *quotient* are evaluated beside the method.
#
# ## What goes wrong, 3: a split by capture
#
# The worst "method" that one can think of keeps all training pairs and answers with the studio texture of the most similar training capture.
# Here it is graded twice on the same captures.
# Split by capture, the gallery holds *other* captures of the same people; split by subject, it does not.


# %% tags=["hide-input"]
def fingerprint(texture: Tensor, visibility: Tensor) -> Tensor:
    """Fine luminance of the face, without light, as unit vectors."""
    mask = (visibility > 0.2).float() * face
    log = torch.log(luminance(srgb_to_linear(texture)) + 0.01)
    fine = (log - masked_blur(log, mask, 0.03 * data.resolution)) * mask
    return F.normalize(fine.flatten(1), dim=1)


rows = data.captures("phone")
subject = data.subject[rows]
rank_of = torch.tensor([int((subject[:k] == s).sum()) for k, s in enumerate(subject)])
ask, gallery = rows[rank_of == 0], rows[rank_of > 0]
match = fingerprint(*data.phone_batch(ask)) @ fingerprint(*data.phone_batch(gallery)).T
own = data.subject[ask][:, None] == data.subject[gallery][None]
target = data.studio_batch(data.subject[ask])
answers = {
    name: gallery[scores.argmax(1)] for name, scores in (("by capture", match), ("by subject", match.masked_fill(own, -2)))
}
leak = {
    name: 255 * (data.studio_batch(data.subject[found]) - target).square().mean((1, 2, 3)).sqrt().mean()
    for name, found in answers.items()
}
notebook.glue("ch01_leak_found", 100 * (data.subject[answers["by capture"]] == data.subject[ask]).float().mean())
notebook.glue("ch01_leak_capture", leak["by capture"])
notebook.glue("ch01_leak_subject", leak["by subject"])
asked = torch.arange(len(ask))[:6]
figures.show(
    figures.texture_grid(
        [
            data.phone_batch(ask[asked])[0],
            data.studio_batch(data.subject[answers["by capture"]][asked]),
            data.studio_batch(data.subject[answers["by subject"]][asked]),
            target[asked],
        ],
        ["asked", "by capture", "by subject", "truth"],
    ),
    "Six phone captures; the memoriser's answers when other captures of the same people are in its gallery; its answers when they are "
    "not; and the true studio textures. With the leak, answers are mostly the truth itself.",
)

# %% [markdown]
# With the leak the memoriser finds the right person in {glue:text}`ch01_leak_found:.0f` % of the cases, and then its answer *is* the truth; its error is {glue:text}`ch01_leak_capture:.1f` levels.
# Split by subject, its error is {glue:text}`ch01_leak_subject:.1f` levels, which is what it deserves.
#
# So every split here is by subject, and the seeds of the splits lie a million apart: a larger set holds a smaller one's people, each in the same split.
# The set of this page holds nobody of the split "test": those people stand in a set of their own, which only {ref}`ch06` opens.

# %%
notebook.source(SetSpec.seeds)
spec = data.manifest["spec"]
USES = (
    "pre-training of G_phone, identity networks",
    "few-shot set: captures and studio textures",
    "the rest of the few-shot set",
    "choosing settings",
    "the final evaluation alone; a set of its own",
)
table_of(
    ["split", "used for", "subjects", "captures", "first seed"],
    [
        [name, use, len(data.subjects(name)), len(data.captures(name)), spec["first_seed"] + STRETCH[name] * SPLIT_SEEDS]
        for name, use in zip(SPLITS, USES, strict=True)
    ],
)
members = [set(data.seeds[data.subjects(name)].tolist()) for name in SPLITS]
assert sum(map(len, members)) == len(set().union(*members)) == len(data.studio)  # nobody is in two splits
assert not members[-1]  # and nobody of the last split, the final evaluation's, is here

# %% [markdown]
# ## The same manifest, the same bytes
#
# A set is a generator version, seeds and a resolution; the manifest names them and the hash of each file.
# Here is a tiny set, made twice in different folders.

# %%
tiny = SetSpec(
    resolution=32,
    phone_subjects=1,
    studio_subjects=1,
    pair_subjects=0,
    val_subjects=1,
    test_subjects=0,
    lightings=1,
    first_seed=123,
)
manifests = []
for _ in range(2):
    with tempfile.TemporaryDirectory() as folder:
        manifests.append(write_set(tiny, folder, progress=False).manifest)
assert manifests[0] == manifests[1]
print(json.dumps({key: manifests[0][key] for key in ("generator", "splits", "captures")}, indent=1))
for name, digest in manifests[0]["sha256"].items():
    print(f"{name:11s} {digest[:16]}… twice: {digest == manifests[1]['sha256'][name]}")

# %% [markdown]
# The promise holds on one machine with one version of PyTorch.
# Another processor adds floating-point numbers in another order, so a few texels may round to a neighbouring level there.
# The released networks name the set that they were trained on in their cards.
#
# ## A real capture beside them
#
# NASA's portrait of an astronaut (public domain) is the only real person in this book.
# Its landmarks are stored with the package, so no detector runs here; chapter 7 explains the unwrapping.
# To compare like with like, the synthetic captures are shown through the *same* visibility.

# %% tags=["hide-input"]
real = capture_photo(astronaut(), size, astronaut_landmarks())
inside = real.visibility.gt(0)
peers = shots.texture[:4]
figures.show(
    figures.texture_grid(
        [torch.cat([real.texture, peers]) * inside, torch.cat([real.texture, peers])],
        ["seen", "whole"],
        ["astronaut", *["synthetic"] * 4],
    ),
    "The astronaut's unwrapped texture beside four synthetic phone captures, above through the astronaut's visibility, below "
    "whole. The real texture ends at the face's outline; the synthetic ones go on over ears, hair and neck.",
)
zone = real.visibility.gt(0.5).float() * layout.region_mask("skin_face", size).gt(0.9).float()
ours = torch.cat([shots.texture, many.texture])
seen_ours = torch.cat([shots.visibility, many.visibility])


def facts(texture: Tensor, visibility: Tensor) -> dict[str, Tensor]:
    where = zone.expand(len(texture), -1, -1, -1)
    lab = srgb_to_lab(texture)
    return {
        "map observed (%)": 100 * visibility.gt(0).float().mean((1, 2, 3)),
        "skin L*": masked_mean(lab[:, :1], where),
        "skin chroma": masked_mean(lab[:, 1:].norm(dim=1, keepdim=True), where),
        "asymmetry (log units)": asymmetry(texture, where),
        "fine contrast (log units)": gradient_energy(texture, where),
    }


one_real, all_ours = facts(real.texture, real.visibility), facts(ours, seen_ours)
lines, outside = [], []
for name, value in one_real.items():
    low, high = float(all_ours[name].min()), float(all_ours[name].max())
    if not low <= float(value) <= high:
        outside.append(name)
    lines.append([name, f"{float(value):.2f}", f"{low:.2f} … {high:.2f}", "yes" if low <= float(value) <= high else "**no**"])
table_of(["measure, on the same facial skin", "astronaut", "synthetic, lowest … highest of 18", "inside?"], lines)
notebook.glue("ch01_outside", len(outside))
notebook.glue("ch01_measures", len(one_real))

# %% [markdown]
# {glue:text}`ch01_outside` of {glue:text}`ch01_measures` measures lie outside of the range that our few captures span.
# One photograph proves nothing about all photographs, and numbers inside a range do not make a picture real.
# By eye, the differences are:
#
# - **Coverage.** A photo unwraps as far as the face mesh reaches. Half of our captures are cut to that oval; the other half, films from two or three sides, also see ears, hair and neck, which no mesh of landmarks does.
# - **Features.** Real eyes, brows and lips are sharper, more varied and better attached to the face than painted ones. The synthetic eye is the weakest part.
# - **Shape and expression.** Our heads are neutral. A smile moves skin, opens lips, bares teeth and makes folds; the generator knows nothing of it.
# - **Skin.** Ours has pores, marks and blotches in layers, but no real person's history; at high resolution it looks painted.
# - **Things.** A few captures wear glasses or loose strands of hair. No make-up beyond lipstick, jewellery, head-wear (only its shadow), headset or microphone.
# - **Light.** Half of it comes from 26 real places with their suns, half from a few broad lobes and one key, all infinitely far away. No bounce from clothes, no lamp near the face, one hard source at a time.
# - **Camera.** One error model for all phones. Beauty filters, local tone mapping and motion blur are missing, and the astronaut was photographed with studio light.
#
# These judgements come from laying sheets of 64 captures beside real unwraps and evenly lit face scans, changing the generator, and looking again, six times so far.
# The first round removed a plastic sheen and skin that repeated itself: pigment in layers, pores and blotches came in.
# The second went to the phone: seams, streaks at the silhouette and a tone curve, because our holes were too clean.
# The third found hair cut out with scissors and a family likeness: stray hairs, more variation of shape, softer wrinkles.
# The fourth replaced stencilled beards by single hairs, let grey come hair by hair, and gave the hollows of the studio textures the reddish light that skin throws into them, where they had been grey smudges.
# The fifth compared skin with measurements instead of with eyes: nobody was *very light*, and pale skin was too yellow. Scattering as it was measured, and pale skin with little blood, mended both.
# The sixth laid them beside photographs that came through `capture`: real ones show an oval, harder light, burnt highlights, yellow rooms. Single photographs, real places, foreign shadows and cameras that err came in.
# A seventh round should begin with the eyes.
#
# ## Sixty-four of each, and how different they are
#
# A generator can be varied in colour and still draw one face.
# Wipe between the phone textures of {glue:text}`ch01_sheet` subjects and the studio textures of the same people.

# %% tags=["hide-input"]
crowd = data.subjects("phone")[:64]
first_of = torch.stack([(data.subject == s).nonzero()[0, 0] for s in crowd])
notebook.glue("ch01_sheet", len(crowd))
figures.before_after(
    image_grid(data.phone_batch(first_of)[0]),
    image_grid(data.studio_batch(crowd)),
    "The subjects of this page's pre-training split: one phone capture each, over their studio textures",
    labels=("phone", "studio"),
    width=720,
)

# %% [markdown]
# Two measurements tell one face in many colours from many faces.
# First, every face loses its colours: each channel is set to zero mean and unit variance over the face, so that only shape and pattern are left, and we look for the two subjects who are most alike.
# Second, an identity network must say whether two captures under *different lights* show one person.
# It was trained on other subjects, no loss in this book ever uses it, and its threshold is chosen on {glue:text}`ch01_line_up` people of the split "val", for as many others of that split, under three lights each.

# %% tags=["hide-input"]
everyone = data.studio_batch(torch.arange(len(data.studio))).flatten(2)
on_face = everyone[:, :, layout.region_mask("face", data.resolution)[0].flatten() > 0.5]
plain = ((on_face - on_face.mean(2, keepdim=True)) / on_face.std(2, keepdim=True)).flatten(1)
apart = torch.cdist(plain, plain) / plain.shape[1] ** 0.5
upper = apart[tuple(torch.triu_indices(len(apart), len(apart), 1))]
nearest = apart.fill_diagonal_(torch.inf).min(1)

judge = weights.load("identity_eval")
many = 2 * settings.chapter.val_subjects  # a threshold and an accuracy need more people than the other figures of this page
those = replace(settings.chapter, phone_subjects=0, studio_subjects=0, pair_subjects=0, val_subjects=2 * many, lightings=3)
line_up = recipes.chapter_set(replace(settings, data=those, chapter=those))


@torch.no_grad()
def embed(subjects):
    captures = torch.isin(line_up.subject, subjects).nonzero().flatten()
    return torch.cat([judge.embed(*line_up.phone_batch(part)) for part in captures.split(32)]), line_up.subject[captures]


chosen = verification(*embed(line_up.subjects("val")[:many]))
judged = embed(line_up.subjects("val")[many:])
verdict, scores = verification(*judged, threshold=chosen.threshold), pair_scores(*judged)

fig = plt.figure(figsize=(figures.WIDTH, 2.4))
axes = fig.subplots(1, 2)
for ax, groups_, names, label in (
    (
        axes[0],
        (upper, nearest.values),
        ("any two subjects", "a subject and the most alike"),
        "distance of colourless studio textures",
    ),
    (axes[1], scores[::-1], ("two subjects", "one subject, two lights"), "cosine of phone captures"),
):
    edges = torch.linspace(min(float(g.min()) for g in groups_), max(float(g.max()) for g in groups_), 28).tolist()
    for values, name, role, hatch in zip(groups_, names, ("studio", "phone"), ("", "///"), strict=True):
        ax.hist(
            values.tolist(),
            edges,
            density=True,
            histtype="stepfilled",
            alpha=0.65,
            color=figures.COLOURS[role],
            hatch=hatch,
            label=name,
        )
    ax.set(xlabel=label, ylabel="density", ylim=(0, 1.45 * ax.get_ylim()[1]))
    ax.legend(loc="upper left")
axes[1].axvline(chosen.threshold, color=figures.COLOURS["truth"], linestyle="--", linewidth=1)
figures.show(
    fig,
    "Left: histograms of the distances between colourless studio textures, of any two subjects and of each subject and its "
    "nearest neighbour. Right: histograms of the identity network's cosines for captures of two subjects and for captures "
    "of one subject under two lights, with the threshold.",
)
closest = int(nearest.values.argmin())
typical = int((apart[closest] - upper.median()).abs().argmin())
figures.show(
    figures.texture_grid(
        [data.studio_batch(torch.tensor([closest, int(nearest.indices[closest]), typical]))],
        [""],
        ["a subject", "most alike", "at the median"],
    ),
    "The two subjects of this set who are most alike without their colours, and a third at the median distance from the first.",
)
notebook.glue("ch01_nearest", nearest.values.median())
notebook.glue("ch01_any", upper.median())
notebook.glue("ch01_closest", nearest.values.min())
notebook.glue("ch01_line_up", many)
notebook.glue("ch01_verified", 100 * verdict.accuracy)
notebook.glue("ch01_auc", verdict.auc)
notebook.glue("ch01_genuine", verdict.pairs[0])
notebook.glue("ch01_impostor", verdict.pairs[1])

# %% [markdown]
# The median distance of two subjects is {glue:text}`ch01_any:.2f`, of a subject and its nearest neighbour {glue:text}`ch01_nearest:.2f`, and of the closest pair {glue:text}`ch01_closest:.2f`; copies would lie at 0.
# Across lights, {glue:text}`ch01_verified:.1f` % of the pairs of these others are told right (area under the ROC curve {glue:text}`ch01_auc:.3f`, {glue:text}`ch01_genuine` genuine and {glue:text}`ch01_impostor` impostor pairs), so an identity can be lost, and its loss can be measured.
# Mind what this shows and what not: the network knows how *our* heads differ, and many of them differ by hair, beard and tone more than real relatives do.
#
# ## Data card
#
# A data set should come with a description that says who is in it and what it must not be used for {cite}`pushkarna2022datacards`.

# %% tags=["hide-input"]
traits = draw_traits(data.seeds)
years = 18 + 62 * traits.age
groups = {
    "skin (ITA class)": (ITA_NAMES, of_group),
    "age (years)": (
        ("18–29", "30–44", "45–59", "60–80"),
        torch.bincount(torch.bucketize(years, torch.tensor([30.0, 45.0, 60.0])), minlength=4),
    ),
    "hair": (HAIR_STYLES, torch.bincount(traits["hair_style"], minlength=len(HAIR_STYLES))),
    "beard": (BEARDS, torch.bincount(traits["beard"], minlength=len(BEARDS))),
}
fig = plt.figure(figsize=(figures.WIDTH, 3.0))
axes = fig.subplots(1, 4)
for ax, (title, (names, values)) in zip(axes, groups.items(), strict=True):
    bars = ax.barh(names, values, color=figures.COLOURS["studio"])
    ax.bar_label(bars, fontsize=7, padding=1)
    ax.set(title=title, xticks=[], xlim=(0, float(values.max()) * 1.25))
    ax.grid(False)
    ax.invert_yaxis()
    ax.tick_params(axis="y", labelsize=7)
figures.show(
    fig,
    f"Composition of this chapter's {len(data.studio)} subjects: counts over six skin classes, four age groups, eleven hair "
    "styles and six beards.",
)
notebook.glue("ch01_subjects", len(data.studio))
notebook.glue("ch01_captures", len(data))
notebook.glue("ch01_generator", data.manifest["generator"])
notebook.glue("ch01_old", 100 * (years >= 60).float().mean())
notebook.glue("ch01_smallest", ITA_NAMES[int(of_group.argmin())])
notebook.glue("ch01_smallest_count", int(of_group.min()))

# %% [markdown]
# | field | content |
# | --- | --- |
# | name | synthetic heads, generator {glue:text}`ch01_generator`; this page's set has {glue:text}`ch01_subjects` subjects and {glue:text}`ch01_captures` captures |
# | origin | computed; no photograph, scan or person went in, apart from published tables of absorption and the canonical face mesh |
# | truth kept | albedo, normals, position, occlusion, gloss, hair, moles, light, visibility, traits |
# | tone | drawn evenly in a scale of melanin, **not** as any population has it; the smallest class here is *{glue:text}`ch01_smallest`* with {glue:text}`ch01_smallest_count` subjects |
# | age | 18 to 80, more young than old: {glue:text}`ch01_old:.0f` % are 60 or older; no children |
# | hair, beards, eyes | colours depend loosely on tone, beards and baldness on one number called masculinity; both are simplifications of ours and describe nobody |
# | intended use | teaching; testing whether a method does what it claims where the truth is known; pre-training before real data |
# | not for | claims about real people or groups; fairness audits; face recognition; deciding anything about anybody |
# | known limits | neutral expression, no accessories, one head topology, simplified eyes and hair, the list of the section above |
# | licence | that of this package; the face mesh is Apache-2.0 (see NOTICE) |
#
# **Consent.** Nobody had to be asked, which is the main reason for synthetic data here.
# It is different as soon as you capture a face: ask, say what for and how long, keep it on your machine, and delete it when asked.
# A studio-like avatar of somebody who did not agree is a harm, however it was made.
#
# **Bias.** An even spread over tone does not make a method fair.
# Cameras expose for the average, the studio's fixed exposure leaves fewer levels for dark skin, and a network spends its capacity where its loss is.
# Accuracy that is only reported as a mean hides whom a system fails {cite}`buolamwini2018gender`; so colour errors are reported per tone group in later chapters.
# Even there, the groups are our scale's, and a small gap on our heads is no evidence about people.
#
# ## The paper's data and ours
#
# | | the paper | this book |
# | --- | --- | --- |
# | phone textures | 12,000 (as secondary summaries report); private | synthetic; as many as you ask for |
# | studio textures | from a light dome; private; number unknown to us | synthetic, uniform dome |
# | pairs | "few-shot": a few; number unknown to us | {glue:text}`ch01_pairs` subjects on this page |
# | subjects | real people | seeds |
# | truth for a test subject | at best one studio capture | exact, under any number of lights |
# | visibility maps | unknown to us | exact |
# | what success means | it works on people | the method does what it says, on heads that we made |
#
# Real sets that a reader may plug in, each under its own licence, are Ava-256 {cite}`martinez2024ava256`, Multiface {cite}`wuu2022multiface` and FFHQ-UV {cite}`bai2023ffhquv`; the first comes from the same kind of dome as the paper's studio data.

# %% tags=["remove-cell"]
notebook.glue("ch01_pairs", len(studio_subjects(data, "few")))

# %% [markdown]
# ## Claims of the paper tested here
#
# | statement | whose | measured here | verdict |
# | --- | --- | --- | --- |
# | Phone textures have the capture's light baked in | the authors state it | one face varies by {glue:text}`ch01_sd_lights:.0f` levels over twelve lights | built into our stand-in, so shown but not tested |
# | Phone captures miss regions, behind the ears for example | the authors state it | {glue:text}`ch01_observed:.0f` % of the map and {glue:text}`ch01_ears:.0f` % of the ears observed | built in as well |
# | 12,000 phone textures were used | secondary summaries report it | – | not testable: the data are private |
# | Registration is why few samples suffice | our inference | {glue:text}`ch01_registered:.0f` % against {glue:text}`ch01_jittered:.0f` % explained | on our heads, {glue:text}`ch01_enough` |
# | Masking removes the shortcut of the holes | our choice | AUC {glue:text}`ch01_auc_smears_raw:.2f` → {glue:text}`ch01_auc_smears_masked:.2f` | masking {glue:text}`ch01_closed`, hole and smear; it does nothing about blur and noise |
#
# A stand-in that was built to have a property cannot confirm that property.
# What can be tested begins in the next chapter.

# %% [markdown]
# ## Exercises
#
# A cell with a stub ends in a check: put your answer in place of `...` and run it.
# The check says that the answer is right, or what kind of mistake it looks like; a folded solution follows.
#
# ```{exercise-start} Recall: four gaps
# :label: ex-ch01-causes
# ```
# Phone and studio differ in light, in holes, in what the camera did, and in encoding.
# Which of the four is it?

# %% tags=["exercise"]
from studiolike.exercises import ch01

causes = {  # "light", "holes", "camera" or "encoding"
    "one cheek is darker than the other": ...,
    "behind the ear there is a smear": ...,
    "pores are gone and there is grain instead": ...,
    "black and white agree, everything between is darker": ...,
}
ch01.check_causes(causes)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch01-causes
# :class: dropdown
#
# ```python
# causes = {
#     "one cheek is darker than the other": "light",
#     "behind the ear there is a smear": "holes",
#     "pores are gone and there is grain instead": "camera",
#     "black and white agree, everything between is darker": "encoding",
# }
# ```
#
# Light depends on the place on the face, an encoding on the value alone.
# A smear has neither edges nor grain, for no sensor has seen it.
# ````
#
# ```{exercise-start} Recall: how severe is a ramp?
# :label: ex-ch01-ramp
# ```
# The irradiance over a face rises evenly, from 0.1 at one ear to 0.5 at the other.
# Work out by hand how severe {eq}`eq-ch01-severity` calls this light.

# %% tags=["exercise"]
from studiolike.exercises import ch01

severity_of_ramp = ...
ch01.check_severity_of_ramp(severity_of_ramp)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch01-ramp
# :class: dropdown
#
# ```python
# low, high = 0.1 + 0.05 * 0.4, 0.1 + 0.95 * 0.4
# severity_of_ramp = (high - low) / (high + low)
# ```
#
# The 5th percentile is 0.12, the 95th 0.48, so $s = 0.36 / 0.60 = 0.6$.
# With an exposure twice as long both double and $s$ stays, as it should.
# ````
#
# ```{exercise-start} Code: split by subject
# :label: ex-ch01-split
# ```
# `subject` says of each capture whose it is.
# Write a function that gives a mask `(N,)`, true for the captures that are held out: roughly the given share of the *people*, and nobody on both sides.

# %% tags=["exercise"]
from studiolike.exercises import ch01


def held_out(subject, share):
    return ...  # your code


ch01.check_split(held_out)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch01-split
# :class: dropdown
#
# ```python
# import torch
#
#
# def held_out(subject, share):
#     people = subject.unique()
#     chosen = people[torch.randperm(len(people), generator=torch.Generator().manual_seed(0))]
#     return torch.isin(subject, chosen[: round(share * len(people))])
# ```
#
# People are drawn, and their captures follow.
# Drawing captures is the leak of the section above: the memoriser then finds the person that it is asked about.
# ````
#
# ```{exercise-start} Code: which exponent?
# :label: ex-ch01-exponent
# ```
# Somebody hands you two textures `(B, 3, H, W)` of one capture, $x$ and $y = c\,x^\gamma$, with an unknown exposure $c$.
# Find $\gamma$.

# %% tags=["exercise"]
from studiolike.exercises import ch01


def exponent(x, y):
    return ...  # your code


ch01.check_exponent(exponent)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch01-exponent
# :class: dropdown
#
# ```python
# import torch
#
#
# def exponent(x, y):
#     a, b = (t.log().diff(dim=-1) for t in (x, y))
#     return (a * b).sum() / a.square().sum()
# ```
#
# $\log y = \log c + \gamma \log x$, and a difference of neighbouring texels does not see $\log c$.
# What is left is the slope of a line through the origin.
# Chapter 5 lives on this: log gradients do not know the exposure.
# ````
#
# ```{exercise-start} Explain: gamma and gradients
# :label: ex-ch01-gamma
# ```
# Chapter 5 guides detail by gradients of log luminance.
# Show what happens to $\nabla \log x$ when the texture is stored as $x^\gamma$, and what it means for a detailer that was trained in the other encoding.
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch01-gamma
# :class: dropdown
#
# $\log x^\gamma = \gamma \log x$, so every gradient is multiplied by $\gamma$: directions stay, strengths change.
# A detailer trained on linear light and fed with sRGB values taken as linear sees detail about 2.2 times too weak, and paints skin that is too smooth; the other way round it paints wrinkles that nobody has.
# ````
#
# ```{exercise-start} Research: a number without truth
# :label: ex-ch01-severity
# ```
# Severity needs the true irradiance.
# Find a function of a phone texture and its visibility alone whose rank correlation with `data.severity` beats that of the asymmetry.
# Which lights does it miss?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch01-severity
# :class: dropdown
#
# A good start is `shading_energy` of `studiolike.evaluation.lighting`: the spread of low-frequency log luminance over the face, which also sees light from above.
# It confuses beards with shadow, and broad pigment with light, so by itself it gains next to nothing.
# Subtracting the log luminance of the mean *studio* face before the blur removes what all faces share (brows, eye sockets, the nose's sides), and helps more.
# No such function is exact, because no illumination invariant of a single picture exists {cite}`chen2000invariants`.
# ````
#
# ```{exercise-start} Research: a third camera
# :label: ex-ch01-views
# ```
# Half of our captures are one photograph, and a quarter of the films miss one side.
# How much would the observed share of the ears rise if the phone went right around the head?
# Which region stays a hole, and why does more filming not help there?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch01-views
# :class: dropdown
#
# Set `SINGLE` in `studiolike/synth/camera.py` to 0, widen `middle` there to $\pm\pi$ with five views, and look at the bars of the section on holes again.
# The back of the ears becomes visible from behind, the scalp under hair never does: hair hides it from every side.
# The crown needs a camera above, which people seldom hold there.
# ````
#
# ## Determinism
#
# Subjects, lightings, cameras and noise come from named streams of random numbers, one per seed and purpose, so a batch's make-up does not change who is in it.
# Two runs on one machine give the same figures and numbers; a test of the package runs every chapter twice and compares.
#
# ## Summary
#
# - One registered layout makes texels correspond across people, and that is what makes few samples go far.
# - Phone and studio differ in light, in holes, in sharpness and in colour encoding. Only the first is what de-lighting is about.
# - Adversaries, metrics and splits find the other three for you if you do not close them: mask holes, share one encoding, split by subject.
# - Severity is known exactly here, and will be the axis along which the method's limit is measured.
# - The heads are a stand-in. Keep the list of differences at hand when you read the numbers of the next chapters.
#
# ## References
#
# <!-- references -->
