# %% [markdown]
# (ch02)=
# # Pre-training on phone textures
#
# A generative network learns here what phone textures look like, from textures of which none is whole.
# You will build StyleGAN2 up from its equations, train it for a moment, and then examine the trained network as a sceptic would: samples, spread, distance to unseen data, copies.
#
# <!-- run box -->

# %% tags=["parameters"]
profile = "auto"

# %% tags=["hide-input"]
import copy
import tempfile
from dataclasses import replace
from unittest.mock import patch

import matplotlib.pyplot as plt
import torch

from studiolike import recipes, weights
from studiolike.chapters import figures, notebook
from studiolike.chapters.live import explore
from studiolike.chapters.notebook import seeded
from studiolike.evaluation import PooledFeatures, kid, nearest_reference, psnr
from studiolike.image import from_signed, luminance, resize, to_signed
from studiolike.inversion import CodeBank
from studiolike.layout import region_mask
from studiolike.stylegan2 import Discriminator, discriminator, generator, losses, ops, phone_stage
from studiolike.stylegan2.bands import GAIN, bands, channels_of_bands
from studiolike.stylegan2.discriminator import DiscriminatorBlock, minibatch_std
from studiolike.stylegan2.encoder import Encoder, encode, reconstruction_loss, sliced_distance, spread
from studiolike.stylegan2.generator import MappingNetwork, SynthesisBlock, SynthesisLayer
from studiolike.stylegan2.rebase import Frame, centre, fit_mapping, rebase_generator
from studiolike.stylegan2.train import PretrainStage, image_grid
from studiolike.training import ema_decay, fit, read_log

settings = recipes.chapter_profile(profile)
device = "cuda" if torch.cuda.is_available() else "cpu"  # where the contests are; looking at a few faces needs no GPU
figures.apply_style()
data = recipes.chapter_set(settings)
g_phone, encoder = (weights.load(name).requires_grad_(False) for name in ("g_phone", "encoder"))
card = weights.read_card("g_phone")


@torch.no_grad()
def sample(count, seed, truncation=1.0, network=g_phone, noise="const"):
    """Textures in [0, 1] of random z."""
    rng = seeded(seed)
    z = torch.randn(count, network.config.w_dim, generator=rng)
    return torch.cat([from_signed(network(part, truncation, noise, rng)) for part in z.split(16)])


@torch.no_grad()
def decode(codes):
    """Textures in [0, 1] of codes (B, L, D)."""
    return torch.cat([from_signed(g_phone.synthesis(part)) for part in codes.split(16)])


# %% [markdown]
# ## What you will learn
#
# **Objectives.** After this chapter you can
#
# - write down a StyleGAN2 generator and discriminator, and say what each part is there for;
# - explain why holes in the data let a discriminator win without ever looking at a face, why grain can escape it altogether, and what we do against either;
# - read a sample grid, a truncation sweep, a style-mixing grid and a KID with its floor, and say what each of them cannot show;
# - check whether a generator has copied its training data.
#
# **Prerequisites.** Chapter 1 for the data: a phone texture, its visibility map, and the splits by subject.
# You should have trained a convolutional network, and have seen the idea of a GAN {cite}`goodfellow2014gan`.
#
# **What the authors say about this stage.** They state that a StyleGAN2 {cite}`karras2020analyzing` is trained on phone textures {cite}`athar2024bridging`.
# Secondary summaries report 12,000 of them.
# Resolution, configuration and augmentation are not known to us, so those are our choices.
# The synthetic heads of this book are a declared stand-in for people: what you see here shows that the method works where the truth is known, and no more.
#
# ### Predict before you run
#
# Choose before you read on; the sections below show what comes out.
#
# ```{predict} 1. Half of every training texture is missing. Will the samples have holes too?
# - [ ] Yes: a generator learns the data, and holes are part of the data.
#   So it is if the discriminator sees them. Need it see them?
# - [ ] No: a generator paints every texel.
#   It can paint holes as well, if that is what fools its judge.
# - [x] That depends on what the discriminator is shown.
#
# Not if the discriminator never sees a hole.
# If it does see them, the generator has to paint them, because they are part of the data.
# ```
#
# ```{predict} 2. You swap the *coarse* layers' codes of two people and keep the fine ones. Whose face, and whose light, does the picture show?
# - [x] The face of the coarse rows, and a good part of their light.
# - [ ] The face of the coarse rows, and the light of the fine ones.
#   Light is broad: a shadow over one cheek is as coarse as a cheek.
# - [ ] The face of the fine rows.
#   Fine rows hold pores and grain; a face is made of larger things.
#
# Layout and face shape follow the coarse rows, fine texture the fine rows.
# Light is broad, so a good part of it follows the coarse rows as well.
# That is a warning for chapter 4, where coarse layers are frozen.
# ```
#
# ```{predict} 3. A generator copies its training set. Which of these are perfect then: a sample grid, KID against the training set, KID against held-out subjects?
# - [ ] None: copies are always noticed.
#   By whom? A copy of a real texture looks perfectly real.
# - [x] The first two.
# - [ ] All three.
#   The third one compares with *other* people.
#
# The third one punishes copies only a little, because copies of real textures of *other* people are still realistic.
# So a separate check for copies is needed.
# ```

# %% [markdown]
# ## The data: faces that nobody saw whole
#
# A capture is a pair $(x, v)$: a texture $x$ and a visibility $v \in [0, 1]$ per texel, exactly 0 where no camera looked.
# Unwrapping software seldom leaves such texels black.
# It smears its neighbours over them, as our stand-in does, and that looks harmless.

# %% tags=["hide-input"]
rows = data.captures("phone")[:: max(len(data.captures("phone")) // 8, 1)][:8]
texture, visibility = data.phone_batch(rows)
figures.show(
    figures.texture_grid([texture, visibility, texture * visibility], ["texture", "visibility", "product"]),
    "Eight phone textures, their visibility maps, and the product of both. The back of the head, the scalp and "
    "often one ear were never observed; the texture shows a smear there.",
)
all_texture, all_visibility = data.phone_batch(data.captures("phone"))
notebook.glue("ch02_observed", 100 * (all_visibility > 0).float().mean())
notebook.glue("ch02_never", 100 * (all_visibility.amax(0) == 0).float().mean())
notebook.glue("ch02_captures", len(all_texture))

# %% [markdown]
# Of all texels in the {glue:text}`ch02_captures` phone captures that this chapter holds, {glue:text}`ch02_observed:.0f` % were observed at all.
# {glue:text}`ch02_never:.0f` % of the layout was observed in no capture whatever.
#
# ## The generator
#
# ### From z to w
#
# A random $z \sim \mathcal N(0, I)$ is first normalised to a sphere, then mapped to $w$ by a small network of fully connected layers {cite}`karras2019style`:
#
# $$ w = f\!\left(\frac{z}{\sqrt{\tfrac1D \sum_i z_i^2 + \epsilon}}\right), \qquad w \in \mathbb R^D . $$ (eq-ch02-mapping)
#
# The density of $w$ is free, so that the network may unbend what the Gaussian forces together.
# The layers learn a hundred times more slowly than the rest (`rate=0.01`), which keeps training stable.

# %%
notebook.source(MappingNetwork)

# %% [markdown]
# ### Modulated convolution
#
# Every convolution reads its own copy of $w$ through an affine map that gives one scale $s_i$ per input channel.
# StyleGAN2 scales the *weights*, and divides each output channel by the norm that results {cite}`karras2020analyzing`:
#
# $$ w'_{ijk} = s_i \, w_{ijk}, \qquad w''_{ijk} = \frac{w'_{ijk}}{\sqrt{\sum_{i,k} {w'_{ijk}}^2 + \epsilon}} . $$ (eq-ch02-modulation)
#
# The division (demodulation) keeps the statistics of the feature maps in order without looking at the feature maps.
# Both factors act on whole channels, so we may scale the input by $s$ and the output by $d = 1/\sqrt{\cdot}$ and use one ordinary convolution for the whole batch.

# %%
notebook.source(ops.modulated_conv)
notebook.source(SynthesisLayer)

# %% [markdown]
# ### Noise, and images added up
#
# The layer adds a fixed or fresh random map, scaled by one learned number, so that $w$ need not describe where every single pore sits.
# In {ref}`the next chapter <ch03>` this handy channel turns into a trap.
#
# Each block adds its own RGB picture to the enlarged picture of the blocks before it (an *output skip*):
#
# $$ y_r = \operatorname{up}(y_{r/2}) + \operatorname{toRGB}_r(x_r), \qquad r = 4, 8, \dots, R . $$ (eq-ch02-skip)

# %%
notebook.source(SynthesisBlock.forward)

# %% tags=["hide-input"]
sums, parts = [], []
hooks = [
    block.register_forward_hook(lambda module, args, out: sums.append(from_signed(out[1]))) for block in g_phone.blocks.values()
]
hooks += [
    block.to_rgb.register_forward_hook(lambda module, args, out: parts.append((out * 0.5 + 0.5).clamp(0, 1)))
    for block in g_phone.blocks.values()
]
sample(1, seed=3)
for hook in hooks:
    hook.remove()
figures.show(
    figures.texture_grid(
        [[part[0] for part in parts], [image[0] for image in sums]],
        ["toRGB", "sum so far"],
        [f"{size}²" for size in g_phone.blocks],
    ),
    "One sample of the released generator, block by block: what each resolution adds (grey is nothing), and the "
    "picture after adding it.",
)

w = g_phone.mapping(torch.randn(1, g_phone.config.w_dim, generator=seeded(3)))
with torch.no_grad():
    codes = g_phone.expand(w)
    rng = seeded(0)
    draws = torch.cat([from_signed(g_phone.synthesis(codes, "random", rng)) for _ in range(16)])
notebook.glue("ch02_noise", 255 * draws.std(0).mean())

# %% [markdown]
# With $w$ held fixed, fresh noise moves a texel of the released generator by {glue:text}`ch02_noise:.2f` of 255 levels (standard deviation, mean over the picture).
# That is all that noise decides; the rest is in $w$.
#
# ## The discriminator
#
# It is a residual network: each block halves the size, and both branches are scaled by $1/\sqrt2$ so that variances add up to one.
# Before its last layers it appends one number for the whole group: how much the samples differ from each other.
# A generator that always paints the same face would be betrayed by that number.
#
# ### Holes, and why D would win
#
# Our change is at the input.
# The discriminator never sees $x$.
# It sees
#
# $$ (\,v \odot x,\; v\,), \qquad v \sim p_{\text{phone}}(v), $$ (eq-ch02-masked)
#
# for real and for generated textures alike, with maps $v$ drawn from real captures.
# This is the idea of AmbientGAN {cite}`bora2018ambientgan`: if the way in which data are damaged is known, damage the samples in the same way, and let the discriminator compare damaged with damaged.
# If texels go missing for reasons that have nothing to do with what is under them, the only generator that cannot be told from the data is the one whose *complete* textures have the right distribution, at every place that is observed sometimes, and together with every other place that is observed at the same time.
#
# Whether the authors mask is unknown to us; if they do not, holes are part of what their generator paints.
# Masking is our design choice, and a section on what goes wrong shows what it is worth.
#
# ### Octaves too faint to be seen
#
# The grain of a phone texture has a hundredth of the variance of its colours.
# To such a small signal a leaky ReLU is a straight line nearly everywhere, and a straight line of zero-mean grain has zero mean: nothing is left that could tell a grainy texture from a smooth one.
# So the discriminator, and the encoder as well, also read the finest *bands* of the Laplacian pyramid {cite}`burt1983laplacian`,
#
# $$ b_\ell = g \, v_\ell \odot \left( x_\ell - \frac{\uparrow \downarrow (v_\ell \odot x_\ell)}{\uparrow \downarrow v_\ell} \right), \qquad \ell = 0, 1, \dots $$ (eq-ch02-bands)
#
# what each octave above 32² adds to the next coarser picture, amplified by $g$.
# The quotient is a mean over observed texels, so that the rim of a hole is no detail.
# Discriminators on wavelet bands {cite}`gal2021swagan` rest on the same observation; whether the authors' discriminator had such an input is not known to us.
# Another section on what goes wrong takes the bands away.

# %%
notebook.source(Discriminator._look)
notebook.source(bands)
notebook.source(DiscriminatorBlock)
notebook.source(minibatch_std)

# %% [markdown]
# ## The losses
#
# The two players have the non-saturating loss {cite}`goodfellow2014gan`, with $\sigma^+(t) = \log(1 + e^t)$:
#
# $$ L_D = \mathbb E\,\sigma^+\!\big(-D(x, v)\big) + \mathbb E\,\sigma^+\!\big(D(G(z), v)\big), \qquad L_G = \mathbb E\,\sigma^+\!\big(-D(G(z), v)\big) . $$ (eq-ch02-loss)
#
# A discriminator that is sure of itself has steep, useless gradients.
# R1 makes steepness at *real* textures expensive {cite}`mescheder2018r1`:
#
# $$ R_1 = \frac\gamma2\, \mathbb E_{x}\, \big\lVert \nabla_x D(x, v) \big\rVert^2 . $$ (eq-ch02-r1)
#
# It is computed only once in {glue:text}`ch02_r1_every` steps, on half of the batch and with {glue:text}`ch02_r1_every` times the weight ("lazy"), which changes Adam's effective settings and therefore needs the correction shown last.
# Note that the gradient of {eq}`eq-ch02-r1` vanishes in holes by itself, because $D$ only sees $v \odot x$.

# %%
notebook.glue("ch02_r1_every", settings.pretrain.r1_every)
notebook.source(losses.discriminator_loss)
notebook.source(losses.generator_loss)
notebook.source(losses.r1_penalty)
notebook.source(losses.lazy)

# %% [markdown]
# Two more parts are standard.
# The network that we keep is a running average of the generator's weights, with a half-life counted in images.
# And what the discriminator sees is augmented differentiably {cite}`zhao2020diffaugment,karras2020ada`, because some thousand textures are few; where an augmentation moves or cuts the picture, it moves and cuts the visibility map as well.

# %%
notebook.source(ema_decay)

# %% [markdown]
# ### An encoder that learns along
#
# StyleGAN2 is usually trained on millions of images shown.
# We have a processor and minutes, so we help it.
# A second network $E$ learns along with $G$ and maps a capture to a code $w^+ = E(x, v)$.
# Half of the generated textures of every step are not random but reconstructions $G(E(x, v))$; the discriminator judges them like all others, and a loss ties them to what was observed:
#
# $$ L_E = \lambda_r\, \operatorname{mean}\,\big\lvert v \odot \big(G(E(x, v)) - x\big) \big\rvert \;+\; \lambda_s\, \frac1{LD}\sum_l \big\lVert w^+_l - \bar w^+ \big\rVert^2 . $$ (eq-ch02-encoder)
#
# The mean is taken over an area pyramid and over its bands, or broad colour would drown the eyes.
# A discriminator only says that something is wrong; a reconstruction says where every texel should go.
# That is why the first part of the training is reconstruction alone: the discriminator takes no turns, an image costs half as much, and when the game begins $D$ meets a generator that knows faces.
# What $E$ is shown beside the capture is what a first code still misses, $v \odot (x - G(w^+))$; half of its codes are such second looks {cite}`alaluf2021restyle`, and at test time two passes cost less than one step of optimisation.
# The second term keeps the rows of a code together, near the space W {cite}`tov2021e4e`.
# Last, the mapping network is drawn towards the cloud of the encoder's codes by a sliced Wasserstein distance, so that *random* codes fall where $G$ knows faces; the next section says what that takes besides.
# None of this is in what we could read of the paper: it is our choice, for little compute.
# It has a useful by-product, a code without any optimisation, which the next chapter starts from.

# %%
notebook.source(Encoder.forward)
notebook.source(encode)
notebook.source(reconstruction_loss)
notebook.source(spread)
notebook.source(sliced_distance)

# %% [markdown]
# ### A basis in which random codes are faces
#
# The encoder may send every layer its own row, and no reconstruction asks what the rows have in common.
# Turn row $l$ of every code by a matrix of its own, fold the inverse turn into the affine maps of the layers that read this row, and all pictures stay as they are.
# But the space W, the codes with *equal* rows, is now another one, and its pictures have nothing to do with anybody.
# Training chooses among all these turns as it likes: in our first networks most of the variance of the codes lay between their rows, reconstructions were faces, and random samples were patches of colour.
#
# The rows are not independent, though: all of them describe one capture.
# So take the codes as long vectors and their first $D$ principal components, with coordinates $u$ of unit variance {cite}`harkonen2020ganspace`:
#
# $$ w^+_l \approx b_l + B_l\, u , \qquad A_l\, w^+_l + c_l = (A_l B_l)\, u + (A_l b_l + c_l) . $$ (eq-ch02-rebase)
#
# The right side is again an affine map, so the new basis costs nothing and loses nothing: with one $u$ for all layers, W is what was the span of the codes, and with a row for each, W+ is what it was.
# We do this once, between the warm-up and the game, so that the discriminator meets random codes that are worth judging.
#
# Here we wreck the released network on purpose, by a random turn and shift for every row, and find W again from the wrecked codes alone.

# %% tags=["hide-output"]
notebook.source(Frame.of)
notebook.source(rebase_generator)


# %% tags=["hide-input"]
def equal_rows(w):
    return w[:, None].expand(-1, g_phone.num_ws, -1)


bank, drawn = CodeBank.open(weights.weights_dir() / "bank.safetensors").w_plus, seeded(21)
turns = torch.linalg.qr(torch.randn(g_phone.num_ws, *2 * [bank.shape[-1]], generator=drawn))[0]
shifts = torch.randn(g_phone.num_ws, bank.shape[-1], generator=drawn)
turned, found_again = copy.deepcopy(g_phone), copy.deepcopy(g_phone)
wrecked = Frame(shifts.double(), turns.double(), 1.0)
rebase_generator(turned, wrecked)
names = torch.einsum("lde,bld->ble", turns, bank - shifts)  # the inverse of a turn is its transpose
frame = Frame.of(names)
rebase_generator(found_again, wrecked)
rebase_generator(found_again, frame)
fit_mapping(found_again, frame.coordinates(names), drawn)
centre(found_again)
picked = torch.linspace(0, len(bank) - 1, 8).long()
views = [
    g_phone.synthesis(bank[picked]),
    turned.synthesis(names[picked]),
    turned.synthesis(equal_rows(names[picked, names.shape[1] // 2])),
    found_again.synthesis(equal_rows(frame.coordinates(names[picked]))),
    sample(8, 5, network=found_again),
]
views = [view.detach() if k == 4 else from_signed(view.detach()).clamp(0, 1) for k, view in enumerate(views)]
assert (views[0] - views[1]).abs().max() < 0.02
figures.show(
    figures.texture_grid(views, ["codes", "rows turned", "… one row", "new basis", "… random"]),
    "Rows: reconstructions of eight captures; the same after every row was turned, which look the same; the wrecked "
    "network's pictures of one row of each code, given to all layers; one vector for all layers in the new basis, the same "
    "people again; random samples of the mapping network taught there.",
)
notebook.glue("ch02_explained", 100 * frame.explained)

# %% [markdown]
# {glue:text}`ch02_explained:.1f` % of the variance of the wrecked codes lies in the span of the new basis: that is what one vector for all layers can say.
#
# One step of the training puts all of it together.
# Both losses of {eq}`eq-ch02-loss` read $D(G(z), v)$, so one look at the fakes serves both players.
# Each gradient is then taken at where the *other* player stood at the start of the step; many implementations let one player move first, look again, and pay another pass of $D$ for it.

# %%
notebook.source(PretrainStage.step)
notebook.source(PretrainStage._game_turn)

# %% [markdown]
# ## Training for a moment
#
# The stage that trained the released network runs here as well, from scratch and for a few steps: half of them reconstruction alone, half the game.
# It is the same code, only stopped early.

# %%
short = replace(settings.pretrain, images=settings.live_images, warm_up=settings.live_images // 2)
stage = phone_stage(replace(settings, pretrain=short), data, seed=0)
with tempfile.TemporaryDirectory() as folder:
    fit(stage, settings.live_images, folder, seed=0, preview_every=settings.live_images, progress=False)
    log = read_log(folder)
live = stage.ema.cpu()

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=(figures.WIDTH, 2.4))
for axis, curves, unit in zip(
    axes,
    ((("recons", "G(E(x, v))"),), (("loss_d", "D"), ("loss_g", "G")), (("logit_real", "real"), ("logit_fake", "generated"))),
    ("pixel loss", "loss of the game", "mean logit of D"),
    strict=True,
):
    for (key, label), dash, marker in zip(curves, figures.DASHES, figures.MARKERS, strict=False):
        axis.plot(log["images"], log[key], linestyle=dash, marker=marker, label=label)
    axis.axvline(short.warm_up, color=figures.QUIET, linewidth=0.8)
    axis.set(xlabel="images seen", title=unit, xlim=(0, settings.live_images))
    axis.legend()
figures.show(
    fig,
    "Three plots over the images of the live training: the pixel loss of reconstructions, which falls; the losses "
    "of discriminator and generator, and the discriminator's mean logits for real and generated textures, which "
    "begin where a line marks the end of the warm-up.",
)
figures.show(
    figures.texture_grid([sample(8, 1, network=live), sample(8, 1)], ["live", "released"]),
    "Eight samples of the generator trained here for a moment, above eight samples of the released generator.",
)
for name in ("images", "device", "data"):
    notebook.glue(f"ch02_card_{name}", card[name])
notebook.glue("ch02_card_minutes", card["seconds"] / 60)
notebook.glue("ch02_live", settings.live_images)
start = card.get("started_from")
notebook.glue("ch02_card_start", f"from weights that had seen {start['images']} images before" if start else "from scratch")

# %% [markdown]
# The live network has seen {glue:text}`ch02_live` images.
# The released one, started {glue:text}`ch02_card_start`, has seen {glue:text}`ch02_card_images` in {glue:text}`ch02_card_minutes:.0f` minutes on {glue:text}`ch02_card_device`.
# Its data were: {glue:text}`ch02_card_data`.
# Those facts come from its card, which travels with the weights.
# The losses of a GAN say little: they measure a contest, not quality.
# From here on we look at the released network.
#
# ## The encoder's view
#
# First the part that can be checked texel by texel: captures of people that were never trained on, sent through $E$ and $G$.
# Beside it, the two clouds that the training tries to bring together: $w$ from the mapping network, and the encoder's codes.

# %% tags=["hide-input"]
held_out = data.captures("val")
real, seen = data.phone_batch(held_out)
with torch.no_grad():
    known = data.captures("phone")[: len(held_out)]
    codes_known = encode(encoder, g_phone, all_texture[: len(known)], all_visibility[: len(known)])
    codes_unseen = encode(encoder, g_phone, real, seen)
    at_first = encode(encoder, g_phone, real, seen, passes=1)
    cloud = g_phone.mapping(torch.randn(512, g_phone.config.w_dim, generator=seeded(6)))
redone = decode(codes_unseen)
spaced = torch.linspace(0, len(real) - 1, 8).long()
figures.show(
    figures.texture_grid([(real * seen)[spaced], redone[spaced]], ["held-out", "G(E(·))"]),
    "Eight held-out captures as far as they were observed, and their reconstructions by encoder and generator, which are whole.",
)
_, _, axes_of_w = torch.pca_lowrank(cloud, 2)
fig, axis = plt.subplots(figsize=(figures.WIDTH, 2.8))
for k, (name, points) in enumerate(
    (
        ("mapping network", cloud),
        ("encoder, training captures", codes_known.mean(1)),
        ("encoder, held-out captures", codes_unseen.mean(1)),
    )
):
    flat = (points - cloud.mean(0)) @ axes_of_w
    axis.scatter(flat[:, 0], flat[:, 1], s=10, marker=figures.MARKERS[k], color=figures.PALETTE[k], alpha=0.7, label=name)
axis.set(xlabel="first principal axis of w", ylabel="second")
axis.legend()
figures.show(
    fig,
    "Codes along the two principal axes of the mapping network's output: its own samples, the encoder's codes "
    "of training captures and of held-out captures.",
)
notebook.glue("ch02_psnr_known", psnr(decode(codes_known), all_texture[: len(known)], all_visibility[: len(known)]).mean())
notebook.glue("ch02_psnr_unseen", psnr(redone, real, seen).mean())
notebook.glue("ch02_psnr_first", psnr(decode(at_first), real, seen).mean())
notebook.glue("ch02_psnr_mean", psnr(decode(g_phone.expand(g_phone.w_mean[None])).expand_as(real), real, seen).mean())

# %% [markdown]
# In observed texels the reconstructions reach {glue:text}`ch02_psnr_known:.1f` dB for captures of the training set and {glue:text}`ch02_psnr_unseen:.1f` dB for unseen people (after the first pass {glue:text}`ch02_psnr_first:.1f` dB); the mean code, the same picture for everybody, reaches {glue:text}`ch02_psnr_mean:.1f` dB.
# The first difference is what the encoder has learned by heart, the second is what it has learned to see.
#
# ## Switch a part off
#
# What is each part for?
# The quickest answer is to switch it off in the trained network and look.
# That shows what the network *relies* on; what it could have learned without the part is another question, which takes a training of its own (see the exercises).
# We take four held-out people as the encoder sees them, and remove one thing at a time:
#
# - the **noise**;
# - the **demodulation** as an answer to the sample: each layer gets the batch's mean factor instead of the sample's own $d$;
# - the **output skips**: only the last block's picture is shown, not the sum of {eq}`eq-ch02-skip`;
# - the **coarse rows** of the code, up to the 8² block, and then all **finer rows**: replaced by the mean code.


# %%
def mean_factor(x, weight, style, *, up=False):
    """Modulated convolution whose demodulation no longer depends on the sample."""
    y, demodulation = ops.modulated_conv(x, weight, style, up=up)
    return y, demodulation.mean(0, keepdim=True).expand_as(demodulation)


def energies(codes):
    """Root mean square of every block's feature maps, one number per sample and block."""
    kept = []
    hooks = [
        block.register_forward_hook(lambda module, args, out: kept.append(out[0].square().mean((1, 2, 3)).sqrt()))
        for block in g_phone.blocks.values()
    ]
    with torch.no_grad():
        g_phone.synthesis(codes)
    for hook in hooks:
        hook.remove()
    return torch.stack(kept)  # (blocks, B)


four = codes_unseen[:: max(len(codes_unseen) // 4, 1)][:4]
split = g_phone.rows(8).stop - 1
mean_code = g_phone.expand(g_phone.w_mean[None]).expand_as(four)
last = []
hook = list(g_phone.blocks.values())[-1].to_rgb.register_forward_hook(lambda module, args, out: last.append(out))
whole = decode(four)
hook.remove()
off = {"as trained": whole, "noise": from_signed(g_phone.synthesis(four, "none")), "skips": (last[0] * 0.5 + 0.5).clamp(0, 1)}
with patch.object(generator, "modulated_conv", mean_factor):
    off["demodulation"] = decode(four)
    loose = energies(codes_unseen)
off["coarse rows"] = decode(torch.cat([mean_code[:, :split], four[:, split:]], 1))
off["finer rows"] = decode(torch.cat([four[:, :split], mean_code[:, split:]], 1))
tight = energies(codes_unseen)
spread_on, spread_off = (e.log().std(1) for e in (tight, loose))

# %% tags=["hide-input"]
titles = ["as trained", "no noise", "no skips", "one factor\nfor all", "coarse rows:\nmean code", "finer rows:\nmean code"]
figures.show(
    figures.texture_grid(
        [[pictures[k] for pictures in off.values()] for k in range(len(four))],
        tile=1.2,
        col_titles=titles,
        row_titles=[""] * len(four),
    ),
    "Four held-out people, a row each. Columns: the reconstruction, and the same with noise, output skips, demodulation, "
    "coarse rows or finer rows of the code switched off.",
)
for name, pictures in off.items():
    notebook.glue(f"ch02_off_{name.replace(' ', '_')}", 255 * float((pictures - whole).square().mean()) ** 0.5)
notebook.glue("ch02_energy_on", 100 * float(spread_on[-1]))
notebook.glue("ch02_energy_off", 100 * float(spread_off[-1]))
judge = weights.load("d_phone").requires_grad_(False)
different, seen_by = to_signed(real[:: max(len(real) // 8, 1)][:8]), seen[:: max(len(seen) // 8, 1)][:8]
alike, seen_alike = different[:1].expand_as(different), seen_by[:1].expand_as(seen_by)


def betrayed():
    """How much higher D rates the first capture in a group of different ones than in a group of copies."""
    return float(judge(different, seen_by)[0] - judge(alike, seen_alike)[0])


notebook.glue("ch02_group_on", betrayed())
with patch.object(discriminator, "minibatch_std", lambda x: torch.cat([x, torch.zeros_like(x[:, :1])], 1)):
    notebook.glue("ch02_group_off", betrayed())

# %% [markdown]
# Over the whole picture, switching off moves a texel by {glue:text}`ch02_off_noise:.1f` levels (noise), {glue:text}`ch02_off_demodulation:.1f` (demodulation), {glue:text}`ch02_off_skips:.1f` (skips), {glue:text}`ch02_off_coarse_rows:.1f` (coarse rows) and {glue:text}`ch02_off_finer_rows:.1f` (finer rows).
# Demodulation is there to keep feature maps in order without looking at them: the strength of the last block's maps varies by {glue:text}`ch02_energy_on:.0f` % from sample to sample with it, and by {glue:text}`ch02_energy_off:.0f` % with one factor for all.
# The discriminator's group statistic can be switched off as well: a capture among copies of itself gets a logit that is lower by {glue:text}`ch02_group_on:.2f` than among other people's, and by {glue:text}`ch02_group_off:.2f` without that one number.
#
# ## Does it paint whole faces?

# %% tags=["hide-input"]
fakes = sample(8, seed=11)
figures.show(
    figures.texture_grid(
        [real[spaced], (real * seen)[spaced], fakes * seen[spaced], fakes], ["held-out", "masked", "G, masked", "G_phone"]
    ),
    "Rows: held-out phone textures; the same seen through their visibility; samples of the released generator seen "
    "through the same maps; the same samples whole. Only the two middle rows are what the discriminator compares.",
)

# %% [markdown]
# No texture in the training set is complete, so no sample can be checked against a complete one.
# But we can ask a sharper question, texel by texel.
# Let $\bar x_p$ be the mean colour of texel $p$ over all captures that *saw* it, and $\bar s_p$ the mean over all captures, smears included.
# A generator that learned through masks should have the mean $\bar x_p$; one that learned to paint what software left in the holes should have $\bar s_p$.
# The two differ most where a texel is seldom seen.

# %% tags=["hide-input"]
often = all_visibility.mean(0)
where_seen = (all_texture * all_visibility).sum(0) / all_visibility.sum(0).clamp_min(1e-6)
with_smears = all_texture.mean(0)
with torch.no_grad():
    rebuilt = decode(encode(encoder, g_phone, all_texture, all_visibility)).mean(0)
painted = sample(len(all_texture), seed=12, noise="random").mean(0)
ever, seldom = (often > 0).float(), ((often > 0) & (often < 0.5)).float()


def rms(a, b, weight):
    """Root mean square difference in 8-bit levels over the texels of ``weight``."""
    return 255 * float(((a - b).square().mean(0, keepdim=True) * weight).sum() / weight.sum().clamp_min(1)) ** 0.5


figures.show(
    figures.texture_grid(
        [[often, where_seen * ever, with_smears, rebuilt, painted]],
        col_titles=["how often seen", "mean where seen", "mean with smears", "mean of G(E)", "mean of G"],
    ),
    "Five maps: how often each texel is seen; the mean phone texture over captures that saw the texel, black where none "
    "did; the mean over all captures with smears; the mean reconstruction; the mean of random samples with fresh noise.",
)
to_seen, to_smeared = rms(painted, where_seen, seldom), rms(painted, with_smears, seldom)
rebuilt_seen, rebuilt_smeared = rms(rebuilt, where_seen, seldom), rms(rebuilt, with_smears, seldom)
apart = rms(where_seen, with_smears, seldom)
notebook.glue("ch02_to_seen", to_seen)
notebook.glue("ch02_to_smeared", to_smeared)
notebook.glue("ch02_apart", apart)
notebook.glue("ch02_rebuilt_seen", rebuilt_seen)
notebook.glue("ch02_rebuilt_smeared", rebuilt_smeared)
nearer = (rebuilt_seen < rebuilt_smeared) + (to_seen < to_smeared)
notebook.glue(
    "ch02_whole",
    (
        "both means are nearer to the smears than to what was seen: masking has not been enough, at this length "
        "of training, to overcome the smooth habits of an up-sampling network",
        "one of the two is nearer to what was seen, the other to the smears",
        "both means are nearer to what was seen than to the smears",
    )[nearer],
)
notebook.glue("ch02_whole_verdict", ("not shown here", "partly", "supported")[nearer])

# %% [markdown]
# In texels that fewer than half of the captures saw, $\bar x$ and $\bar s$ lie {glue:text}`ch02_apart:.1f` levels apart.
# The mean reconstruction lies {glue:text}`ch02_rebuilt_seen:.1f` from what was seen and {glue:text}`ch02_rebuilt_smeared:.1f` from the smears; the mean of random samples {glue:text}`ch02_to_seen:.1f` and {glue:text}`ch02_to_smeared:.1f`.
# So {glue:text}`ch02_whole`.
# Mind that the network never saw a smear: where it resembles one, it does so because it continues colours smoothly, as the smearing software does.
#
# Two more limits should be said aloud.
# Where *no* capture ever saw a texel, the discriminator has no opinion, and what the generator paints there is an accident of its architecture.
# And texels are not missing at random: long hair hides the same ears every time, so "ears as they are seen" is not quite "ears as they are".
#
# ## Truncation: quality against variety
#
# Samples far from the mean of $w$ are rare in training and look worse.
# Truncation pulls them in {cite}`karras2019style`:
#
# $$ w_\psi = \bar w + \psi\,(w - \bar w) . $$ (eq-ch02-truncation)
#
# Move the slider: $\psi = 0$ is the mean face, $\psi = 1$ the model as trained, and $\psi > 1$ leaves what it knows.

# %%
levels = [0.0, 0.25, 0.5, 0.7, 0.85, 1.0, 1.25, 1.5]
figures.image_slider(
    [image_grid(sample(8, 5, psi), columns=4) for psi in levels],
    [f"ψ = {psi:g}" for psi in levels],
    "Eight samples of the released generator while truncation changes",
    name="Truncation",
    width=560,
)

# %% [markdown]
# The frames above were made beforehand.
# Where a kernel runs, the next cell shows any seed at any $\psi$; look for the seed whose face breaks first.

# %% tags=["remove-output", "nbval-ignore-output"]
explore(
    lambda seed, psi: image_grid(sample(4, seed, psi), columns=4),
    "four samples of the released generator",
    seed=(0, 99, 5),
    psi=(0.0, 2.0, 0.7),
    width=560,
)

# %% [markdown]
# ## Style mixing: which rows hold what?
#
# Nothing forces all layers to read the same $w$.
# Give each its own and you have a code in **W+**: $L$ rows, here {glue:text}`ch02_rows`, read from coarse to fine.
# Training already mixed two codes at a random row, so mixtures are not foreign to the network.
# Below, the people are held-out captures, as the encoder sees them.
# Each picture takes the rows up to the 8² block from its row's person, and all finer rows from its column's person.

# %% tags=["hide-input"]
people = codes_unseen[:: max(len(codes_unseen) // 8, 1)][:8]  # some codes of different people
faces = decode(people)
coarse, fine = people[:4], people[4:]
cut = g_phone.rows(8).stop - 1  # the row after the last convolution at 8²
notebook.glue("ch02_rows", g_phone.num_ws)
notebook.glue("ch02_cut", cut)
mixed = [decode(torch.cat([code[:cut].expand(len(fine), -1, -1), fine[:, cut:]], 1)) for code in coarse]
figures.show(
    figures.texture_grid(
        [[None, *faces[4:]], *([faces[k], *mixed[k]] for k in range(len(coarse)))],
        tile=1.2,
        row_titles=["", *("coarse" for _ in coarse)],
        col_titles=["", *("fine from" for _ in fine)],
    ),
    "A style-mixing grid. The first column gives the coarse rows of the code, the top row the fine ones; each inner "
    "picture combines both.",
)

# %% [markdown]
# A grid invites one to see what one expects, so we also measure.
# For pairs of held-out captures we replace the rows of *one* block by the other person's, and note how far three things move, as a share of what replacing *all* rows does: the identity embedding of a network that no loss has used, the broad colour and light (luminance averaged down to 8²), and the fine detail that remains.

# %% tags=["hide-input"]
eye = weights.load("identity_eval").requires_grad_(False)
face = region_mask("face", data.resolution)[None]


def describe(image):
    """Identity embedding, broad luminance inside the face, and the detail above it."""
    light = luminance(image) * face
    broad = resize(light, 8)
    detail = light - torch.nn.functional.interpolate(broad, light.shape[-1], mode="bilinear")
    return {"identity": eye.embed(image), "broad light and colour": broad.flatten(1), "fine detail": detail.flatten(1)}


with torch.no_grad():
    pairs = min(len(codes_unseen) // 2, 32)
    a, b = codes_unseen[:pairs], codes_unseen[-pairs:]
    before, after = describe(decode(a)), describe(decode(b))
    shares = {key: [] for key in before}
    for size_ in g_phone.blocks:
        mine = list(g_phone.rows(int(size_)))
        mine = mine if int(size_) == data.resolution else mine[:-1]  # a toRGB row belongs to the next block's convolution
        swapped = a.clone()
        swapped[:, mine] = b[:, mine]
        now = describe(decode(swapped))
        for key, values in shares.items():
            moved = (now[key] - before[key]).norm(dim=1) / (after[key] - before[key]).norm(dim=1).clamp_min(1e-6)
            values.append(float(moved.median()))
fig, axis = plt.subplots(figsize=(figures.WIDTH, 2.6))
places = torch.arange(len(g_phone.blocks))
for k, (key, values) in enumerate(shares.items()):
    axis.bar(
        places + (k - 1) * 0.27,
        values,
        0.25,
        label=key,
        color=figures.PALETTE[k],
        edgecolor=figures.INK,
        linewidth=0.5,
        hatch=("", "//", "..")[k],
    )
axis.set_xticks(places, [f"{name}²" for name in g_phone.blocks])
axis.set(xlabel="block whose rows are replaced", ylabel="change, 1 = all rows replaced")
axis.legend()
figures.show(
    fig,
    "Bars per resolution block: how much identity, broad light and fine detail change when only this "
    "block's rows of the code are replaced by another person's.",
)
early = [name for name in g_phone.blocks if int(name) <= 8]
light_share = max(shares["broad light and colour"][: len(early)])
notebook.glue("ch02_light_early", light_share)
notebook.glue("ch02_light_late", max(shares["broad light and colour"][len(early) :]))
notebook.glue("ch02_identity_early", max(shares["identity"][: len(early)]))
notebook.glue("ch02_identity_late", max(shares["identity"][len(early) :]))

# %% [markdown]
# The authors state that coarse layers hold identity and therefore freeze them up to 8².
# In our network the strongest single block up to 8² moves identity by {glue:text}`ch02_identity_early:.2f` and broad light by {glue:text}`ch02_light_early:.2f` of a full replacement; the strongest finer block moves them by {glue:text}`ch02_identity_late:.2f` and {glue:text}`ch02_light_late:.2f`.
# Light is broad, so part of it lives where identity lives.
# How much may be frozen before the light can no longer be removed is measured in {ref}`the chapter on adaptation <ch04>`.
# The row at which this grid cuts, {glue:text}`ch02_cut`, is also read by the toRGB of the 8² block: "up to 8²" means one thing by module and another by row.
#
# ## A walk through the latent space
#
# A model that had only memorised would jump from face to face.
# A model that has learned a space passes through plausible faces in between.
# The walk is a straight line in W+ through four held-out captures and back to the first.

# %%
stops = torch.cat([people[:4], people[:1]])
frames = decode(torch.stack([torch.lerp(stops[k], stops[k + 1], t) for k in range(4) for t in torch.arange(6) / 6]))
figures.image_slider(
    frames,
    [f"{k / 6:.2f}" for k in range(len(frames))],
    "A walk in W+ through the codes of four held-out captures",
    name="Position",
    width=320,
)

# %% [markdown]
# ## Distance to unseen phone textures
#
# KID {cite}`binkowski2018kid` compares two sets by the squared maximum mean discrepancy of their features, with a cubic kernel:
#
# $$ \operatorname{KID} = \mathbb E\,k(f, f') + \mathbb E\,k(g, g') - 2\,\mathbb E\,k(f, g), \qquad k(f, g) = \left(\tfrac1d f^\top g + 1\right)^3 . $$ (eq-ch02-kid)
#
# Its estimate is unbiased at any sample size, unlike FID's {cite}`heusel2017fid`, and it may be negative.
# A value means nothing alone, so four things stand around it.
# The *floor*: two halves of the held-out captures, split by subject.
# A second floor: real training captures against held-out ones.
# The *spread* over random subsets, as bars.
# Reconstructions of training captures by encoder and generator, which tell how much of the distance is due to random codes.
# And known bad samples: truncated ones, and those of the live network.
# Both sides are always seen through the same kind of visibility maps.
# The features are those of a public network trained on photographs, EfficientNet-Lite0, at the textures' own size.

# %% tags=["hide-input"]
look, same = PooledFeatures(), torch.nn.Identity()  # features once, then KID on the features
real_features = look(real * seen)
owner = data.subject[held_out]
results = {}


def seen_as_held_out(images, seed):
    """Feature vectors of images seen through the held-out captures' maps, in random order."""
    order = torch.randperm(len(seen), generator=seeded(seed))[: len(images)]
    return look(images * seen[order])


repeats = range(3)
names = owner.unique()
results["floor: held-out halves"] = []
for k in repeats:
    half = names[torch.randperm(len(names), generator=seeded(k))[: len(names) // 2]]
    chosen = torch.isin(owner, half)
    results["floor: held-out halves"].append(kid(same, real_features[chosen], real_features[~chosen], seed=k))
own_features = look(all_texture * all_visibility)
results["real training captures"] = [
    kid(
        same,
        own_features[torch.randperm(len(own_features), generator=seeded(k))[: len(real)]],
        real_features,
        seed=k,
    )
    for k in repeats
]
results["G(E(training captures))"] = [kid(same, seen_as_held_out(decode(codes_known), k), real_features, seed=k) for k in repeats]
sampled = {(psi, k): seen_as_held_out(sample(len(real), 30 + k, psi), k) for psi in (1.0, 0.7, 0.4) for k in repeats}
for psi in (1.0, 0.7, 0.4):
    results[f"G_phone, ψ = {psi:g}"] = [kid(same, sampled[psi, k], real_features, seed=k) for k in repeats]
results["trained for a moment"] = [
    kid(same, seen_as_held_out(sample(len(real), 30 + k, network=live), k), real_features, seed=k) for k in repeats
]

fig, axis = plt.subplots(figsize=(figures.WIDTH, 2.6))
for row, values in enumerate(results.values()):
    for k, value in enumerate(values):
        axis.errorbar(
            value.mean, -row + (k - 1) * 0.2, xerr=value.std, marker=figures.MARKERS[row], capsize=2, color=figures.PALETTE[row]
        )
largest = max(value.mean for values in results.values() for value in values)
floor_values = [value.mean for value in results["floor: held-out halves"]]
axis.set_xscale("symlog", linthresh=max(max(map(abs, floor_values)), largest / 1e4))
axis.axvline(0, color=figures.QUIET, linewidth=0.8)
axis.set_yticks([-row for row in range(len(results))], list(results))
axis.set(xlabel="KID to held-out phone textures (symmetric logarithmic axis)")
figures.show(
    fig,
    "KID with its spread for: two halves of the held-out captures, real training captures, their "
    "reconstructions, samples of the released generator at truncation 1, 0.7 and 0.4, and samples of the network trained for a moment. "
    "Three repetitions each.",
)
middle = {name: sorted(value.mean for value in values)[1] for name, values in results.items()}
notebook.glue("ch02_kid", middle["G_phone, ψ = 1"])
notebook.glue("ch02_kid_std", results["G_phone, ψ = 1"][1].std)
notebook.glue("ch02_kid_floor", middle["floor: held-out halves"])
notebook.glue("ch02_kid_floor_high", max(value.mean + value.std for value in results["floor: held-out halves"]))
notebook.glue("ch02_kid_train", middle["real training captures"])
notebook.glue("ch02_kid_encoded", middle["G(E(training captures))"])
notebook.glue("ch02_kid_live", middle["trained for a moment"])
notebook.glue("ch02_held_out", len(real))
notebook.glue("ch02_features", look.name)
high = max(value.mean + value.std for name in ("floor: held-out halves", "real training captures") for value in results[name])
told = "cannot be told from" if middle["G_phone, ψ = 1"] <= high else "can be told from"
notebook.glue("ch02_told", told)
best = min((name for name in middle if "ψ" in name), key=middle.get)
notebook.glue("ch02_best_psi", best.rpartition(" ")[2])

# %% [markdown]
# Over {glue:text}`ch02_held_out` held-out captures the released generator has a KID of {glue:text}`ch02_kid:.2e` (spread {glue:text}`ch02_kid_std:.0e`).
# Two halves of the held-out captures have {glue:text}`ch02_kid_floor:.2e`, real training captures {glue:text}`ch02_kid_train:.2e`, and the network trained for a moment {glue:text}`ch02_kid_live:.2e`.
# Reconstructions of training captures have {glue:text}`ch02_kid_encoded:.2e`: what lies between that and the samples is owed to where random codes fall, not to what $G$ can paint.
# At this sample size its samples {glue:text}`ch02_told` real ones, with these features ({glue:text}`ch02_features`).
# Of the three truncations the one with the smallest KID is $\psi$ = {glue:text}`ch02_best_psi`.
# Compare that with your own eyes: if samples look disturbed in the grids above and their KID is near its floor all the same, then the features are blind to the disturbance.
# A metric never replaces the look at the pictures.
# The features are not those that papers use, so the number must not be compared with their KIDs.
#
# ## Are the samples copies?
#
# KID would not notice a generator that hands out training textures of other people.
# So we look for each sample's nearest training capture, and divide by what is usual: the median distance of a training capture to its own nearest neighbour.
# A detector that has never fired proves nothing, so it gets a positive control: training captures with a little noise, which are copies by construction.
# And it gets a negative one: held-out people, who cannot be copies.

# %% tags=["hide-input"]
rng = seeded(4)
planted = all_texture[: len(real)]
planted = (planted + 0.02 * torch.randn(planted.shape, generator=rng)).clamp(0, 1) * all_visibility[: len(real)]
queries = {
    "planted copies": look(planted),
    "held-out people": real_features,
    "G_phone": sampled[1.0, 0],
}
own_rows = own_features
ratios = {name: nearest_reference(same, features, own_rows) for name, features in queries.items()}
fig, axis = plt.subplots(figsize=(figures.WIDTH, 2.3))
for k, (name, (ratio, _)) in enumerate(ratios.items()):
    ordered = ratio.sort().values
    axis.step(
        ordered,
        torch.arange(1, len(ordered) + 1) / len(ordered),
        where="post",
        label=name,
        color=figures.PALETTE[k],
        linestyle=figures.DASHES[k],
    )
axis.set(xlabel="distance to the nearest training capture ÷ usual distance", ylabel="share of queries", xlim=(0, None))
axis.legend()
figures.show(
    fig,
    "Cumulative distributions of the relative distance to the nearest training capture, for planted copies, "
    "for held-out people and for samples of the released generator.",
)
ratio, index = ratios["G_phone"]
closest = ratio.argsort()[:8]
order = torch.randperm(len(seen), generator=seeded(0))
figures.show(
    figures.texture_grid(
        [(sample(len(real), 30) * seen[order])[closest], (all_texture * all_visibility)[index[closest]]],
        ["sample", "nearest"],
        [f"{value:.2f}" for value in ratio[closest].tolist()],
    ),
    "The eight samples that are closest to a training capture, above that capture, both as the features see them; the "
    "relative distance stands on top.",
)
planted, unseen, drawn = (float(ratios[name][0].median()) for name in queries)
lowest = float(ratios["held-out people"][0].min())
copies = int((ratio < min(lowest, (planted + unseen) / 2)).sum())
notebook.glue("ch02_planted", planted)
notebook.glue("ch02_unseen", unseen)
notebook.glue("ch02_drawn", drawn)
notebook.glue("ch02_copies", copies)
notebook.glue("ch02_copy_verdict", "no sign of copying" if copies <= len(ratio) // 50 else "signs of copying")

# %% [markdown]
# The median relative distance is {glue:text}`ch02_planted:.2f` for planted copies, {glue:text}`ch02_unseen:.2f` for held-out people and {glue:text}`ch02_drawn:.2f` for samples.
# {glue:text}`ch02_copies` of {glue:text}`ch02_held_out` samples lie nearer to a training capture than every held-out capture and than the middle between copies and unseen people: {glue:text}`ch02_copy_verdict`.
# This chapter holds only {glue:text}`ch02_captures` of the captures that the network was trained on (see its card above), so the check covers that part of the training set and no more.
#
# ## What goes wrong: a discriminator that sees the holes
#
# Suppose that the generator were already *perfect*.
# Take real captures, leave every observed texel as it is, and complete the rest with the person's true skin from the studio texture, in the capture's mean colour.
# No generator can do better than that.
# Now train two small discriminators to tell real captures from completed ones.
# One sees plain pictures, the other sees $(v \odot x, v)$.


# %%
def completed(rows):
    """Captures, the same captures perfectly completed, and what was seen."""
    texture, visibility = data.phone_batch(rows, device)
    studio, mask = data.studio_batch(data.subject[rows], device), (visibility > 0).float()
    gain = (texture * mask).sum((2, 3), keepdim=True) / (studio * mask).sum((2, 3), keepdim=True).clamp_min(1e-6)
    return texture, torch.where(visibility > 0, texture, (studio * gain).clamp(0, 1)), visibility


def contest(masked, images=settings.contest_images, batch=settings.pretrain.batch):
    """Train a small discriminator; return its test AUC over time and where its gradient points."""
    torch.manual_seed(0)
    judge = Discriminator(data.resolution, channel_base=512, channel_max=32, in_channels=4 if masked else 3).to(device)
    adam = torch.optim.Adam(judge.parameters(), lr=settings.pretrain.lr, betas=(0.0, 0.99))
    rng, phone = seeded(0), data.captures("phone")
    real, fake, visibility = completed(held_out)
    curve = []
    for step in range(images // batch + 1):
        with torch.no_grad():
            logits = [judge(to_signed(side), visibility if masked else None).flatten() for side in (real, fake)]
        wins = (logits[0][:, None] > logits[1]).float() + 0.5 * (logits[0][:, None] == logits[1]).float()
        curve.append((step * batch, float(wins.mean())))
        a, b = (completed(phone[torch.randint(len(phone), (batch,), generator=rng)]) for _ in range(2))
        loss = losses.discriminator_loss(
            judge(to_signed(a[0]), a[2] if masked else None), judge(to_signed(b[1]), b[2] if masked else None)
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
    picture = to_signed(fake).requires_grad_(True)
    losses.generator_loss(judge(picture, visibility if masked else None)).backward()
    return curve, picture.grad.square().sum(1, keepdim=True).cpu(), visibility.cpu()


plain, masked = contest(False), contest(True)


# %% tags=["hide-input"]
def share_in_holes(run):
    """Share of the squared gradient that the generator would get in texels nobody saw."""
    return float((run[1] * (run[2] == 0)).sum() / run[1].sum().clamp_min(1e-20))


fig, axes = plt.subplots(1, 3, figsize=(figures.WIDTH, 2.5), width_ratios=[1.5, 1, 1])
for k, (run, label) in enumerate(((plain, "plain"), (masked, "masked"))):
    axes[0].plot(*zip(*run[0], strict=True), label=label, linestyle=figures.DASHES[k], marker=figures.MARKERS[k])
    strength = run[1].mean(0)[0].sqrt()
    axes[k + 1].imshow(strength / strength.max().clamp_min(1e-12), vmin=0, vmax=1)
    axes[k + 1].set(title=f"{label}: gradient", xticks=[], yticks=[])
    axes[k + 1].grid(False)
axes[0].set(xlabel="images seen", ylabel="AUC, real or completed?", ylim=(0.0, 1.05))
axes[0].axhline(0.5, color=figures.QUIET, linewidth=0.8)
axes[0].legend(loc="lower right")
figures.show(
    fig,
    "Left: test AUC of both discriminators during training; 0.5 is guessing. Middle and right: where the "
    "gradient that the generator would receive points, for the plain and the masked discriminator, each "
    "scaled to its maximum.",
)
shown = [k for k in range(0, len(held_out), max(len(held_out) // 4, 1))][:4]
both = [x.cpu() for x in completed(held_out[torch.tensor(shown)])]
figures.show(
    figures.texture_grid([both[0], both[1], both[0] * both[2]], ["real", "completed", "masked, both"], tile=1.2),
    "Four held-out captures, their perfect completions, and what the masked discriminator sees of either.",
)
notebook.glue("ch02_auc_plain", plain[0][-1][1])
notebook.glue("ch02_auc_masked", masked[0][-1][1])
notebook.glue("ch02_holes_plain", 100 * share_in_holes(plain))
notebook.glue("ch02_holes_masked", 100 * share_in_holes(masked))
shortcut = plain[0][-1][1] > 0.75
notebook.glue("ch02_shortcut", "has found the shortcut" if shortcut else "has not yet found the shortcut in so few steps")

# %% [markdown]
# The plain discriminator reaches a test AUC of {glue:text}`ch02_auc_plain:.2f` against a perfect generator: it {glue:text}`ch02_shortcut`.
# {glue:text}`ch02_holes_plain:.0f` % of the squared gradient that it sends back lies in texels nobody ever saw, where a generator can follow it only by learning to smear.
# The masked one stays at {glue:text}`ch02_auc_masked:.2f`, because its two inputs are the same, and {glue:text}`ch02_holes_masked:.0f` % of its gradient lies in holes.
# That is not a better discriminator, it is a better question.
#
# In chapter 4 the same shortcut would be worse: studio textures have no holes, so a plain discriminator could tell studio from phone without ever looking at the light.
#
# ## What goes wrong: a discriminator that is blind to grain
#
# Now suppose a generator that paints everything but the finest octave: real captures, each without its own $b_0$.
# Two small discriminators are to tell them from the captures themselves.
# They are the same network, from the same weights; in one of them the weights that read the bands are zero and stay zero.


# %%
def grain_contest(with_bands, images=2 * settings.contest_images, batch=settings.pretrain.batch):
    """Train a small discriminator on captures against the same captures without their finest octave; its test AUC."""
    torch.manual_seed(0)
    judge = Discriminator(data.resolution, channel_base=1024, channel_max=64).to(device)
    if not with_bands:
        weight, kept = judge.from_rgb.weight, judge.from_rgb.weight.shape[1] - channels_of_bands(data.resolution)
        read = (torch.arange(weight.shape[1], device=device) < kept).float().view(1, -1, 1, 1)
        weight.data.mul_(read)
        weight.register_hook(lambda slope: slope * read)
    adam = torch.optim.Adam(judge.parameters(), lr=settings.pretrain.lr * settings.pretrain.d_rate, betas=(0.0, 0.99))
    rng, phone = seeded(0), data.captures("phone")

    def both(rows):
        texture, visibility = data.phone_batch(rows, device)
        return to_signed(texture), to_signed(texture) - bands(to_signed(texture), visibility)[:, :3] / GAIN, visibility

    sharp, smooth, mask = both(held_out)
    curve = []
    for step in range(images // batch + 1):
        if step % max(images // batch // 16, 1) == 0:
            with torch.no_grad():
                a, b = judge(sharp, mask).flatten(), judge(smooth, mask).flatten()
            curve.append((step * batch, float((a[:, None] > b).float().mean())))
        x, y = (both(phone[torch.randint(len(phone), (batch,), generator=rng)]) for _ in range(2))
        loss = losses.discriminator_loss(judge(x[0], x[2]), judge(y[1], y[2]))
        adam.zero_grad()
        loss.backward()
        adam.step()
    return curve, sharp.cpu(), smooth.cpu(), mask.cpu()


seeing, blind = grain_contest(True), grain_contest(False)


# %% tags=["hide-input"]
def loudness(images, mask):
    """Standard deviation of the two finest bands, without their gain, over observed texels of signed images."""
    found = (bands(images, mask) / GAIN).unflatten(1, (-1, 3))[:, :2].square().mean(2)
    return (found.sum((0, 2, 3)) / mask.sum()).sqrt()


sides = {
    "real": to_signed(real),
    "without its finest octave": seeing[2],
    "G(E(·))": to_signed(redone),
    "samples": to_signed(sample(len(real), 30, noise="random")),
}
loud = {name: loudness(images, seen) for name, images in sides.items()}
fig, (left, right) = plt.subplots(1, 2, figsize=(figures.WIDTH, 2.5), width_ratios=[1.2, 1])
for k, (run, label) in enumerate(((seeing, "with bands"), (blind, "colours alone"))):
    left.plot(*zip(*run[0], strict=True), label=label, linestyle=figures.DASHES[k], marker=figures.MARKERS[k])
left.axhline(0.5, color=figures.QUIET, linewidth=0.8)
left.set(xlabel="images seen", ylabel="AUC, grainy or smooth?", ylim=(0.0, 1.05))
left.legend(loc="lower right")
for k, (name, values) in enumerate(loud.items()):
    right.bar(torch.arange(2) + 0.2 * k - 0.3, values, width=0.2, color=figures.PALETTE[k], label=name)
right.set_xticks([0, 1], ["finest octave", "second"])
right.set(ylabel="standard deviation (signed)", ylim=(0, 1.6 * float(max(values.max() for values in loud.values()))))
right.legend(ncols=1, fontsize=7)
figures.show(
    fig,
    "Left: test AUC of two discriminators that differ only in whether they read the amplified bands; 0.5 is guessing. Right: how "
    "strong both octaves are in held-out captures, in the same without the finest one, in reconstructions and in samples "
    "of the released generator, over observed texels.",
)
notebook.glue("ch02_auc_bands", seeing[0][-1][1])
notebook.glue("ch02_auc_blind", blind[0][-1][1])
notebook.glue("ch02_grain_share", 100 * float((loud["real"][0] / to_signed(real)[seen.expand_as(real) > 0].std()) ** 2))
notebook.glue(
    "ch02_grain_words",
    "sees the grain, and the other one guesses"
    if seeing[0][-1][1] > 0.8 > 0.65 > blind[0][-1][1]
    else "is ahead"
    if seeing[0][-1][1] > blind[0][-1][1] + 0.1
    else "is not ahead after so few steps",
)
notebook.glue("ch02_octave_samples", 100 * float(loud["samples"][0] / loud["real"][0]))
notebook.glue("ch02_octave_rebuilt", 100 * float(loud["G(E(·))"][0] / loud["real"][0]))

# %% [markdown]
# The finest octave has {glue:text}`ch02_grain_share:.1f` % of the variance of a capture.
# With the bands the test AUC reaches {glue:text}`ch02_auc_bands:.2f`, without them {glue:text}`ch02_auc_blind:.2f`: the discriminator that reads them {glue:text}`ch02_grain_words`.
# A discriminator that cannot see an octave cannot ask the generator for it, and a game at chance looks, in its losses, like a fair one.
# The right plot says what the game has achieved: in their finest octave, samples of the released generator have {glue:text}`ch02_octave_samples:.0f` % of the strength of real captures, reconstructions {glue:text}`ch02_octave_rebuilt:.0f` %.
#
# ## Claims of the paper tested here
#
# The paper gives no number for this stage, so nothing can be reproduced in the narrow sense.
#
# | statement | whose | measured here | verdict |
# | --- | --- | --- | --- |
# | A StyleGAN2 learns the distribution of phone textures | the authors state it | KID {glue:text}`ch02_kid:.1e`, floor {glue:text}`ch02_kid_floor:.1e` | at this sample size samples {glue:text}`ch02_told` held-out textures |
# | It was trained on 12,000 textures | reported by summaries | not needed here | not testable: their data are private |
# | Coarse layers hold identity | the authors state it | identity moves by {glue:text}`ch02_identity_early:.2f` (coarse) and {glue:text}`ch02_identity_late:.2f` (fine) of a full replacement | see chapter 4 for the test that counts |
# | An encoder may learn along | our choice, for little compute | {glue:text}`ch02_psnr_unseen:.1f` dB on unseen people, mean code {glue:text}`ch02_psnr_mean:.1f` | used from here on |
# | Looking through masks teaches whole faces | our choice | reconstructions: {glue:text}`ch02_rebuilt_seen:.1f` levels from what was seen, {glue:text}`ch02_rebuilt_smeared:.1f` from smears; samples: {glue:text}`ch02_to_seen:.1f` and {glue:text}`ch02_to_smeared:.1f` | {glue:text}`ch02_whole_verdict` |
# | Samples are not copies | our check | {glue:text}`ch02_copies` of {glue:text}`ch02_held_out` suspicious | {glue:text}`ch02_copy_verdict`, as far as the check reaches |

# %% [markdown]
# ## Exercises
#
# A cell with a stub ends in a check: put your answer in place of `...` and run it.
# The check says that the answer is right, or what kind of mistake it looks like.
# A folded solution follows each exercise.
#
# ```{exercise-start} Recall: what is each part for?
# :label: ex-ch02-parts
# ```
# Give each sentence the part that it speaks of.

# %% tags=["exercise"]
from studiolike.exercises import ch02

parts = {  # "demodulation", "R1", "noise", "minibatch deviation" or "masking"
    "keeps the size of feature maps in order without looking at them": ...,
    "makes a steep discriminator expensive where textures are real": ...,
    "says where every single pore sits, so that w need not": ...,
    "betrays a generator that always paints the same face": ...,
    "leaves the discriminator no hole to win by": ...,
}
ch02.check_parts(parts)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch02-parts
# :class: dropdown
#
# ```python
# parts = {
#     "keeps the size of feature maps in order without looking at them": "demodulation",
#     "makes a steep discriminator expensive where textures are real": "R1",
#     "says where every single pore sits, so that w need not": "noise",
#     "betrays a generator that always paints the same face": "minibatch deviation",
#     "leaves the discriminator no hole to win by": "masking",
# }
# ```
#
# Demodulation divides by the norm of the modulated *weights*, so it never sees a feature map.
# The minibatch deviation is the one part that looks at several samples at once.
# ````
#
# ```{exercise-start} Recall: how many rows?
# :label: ex-ch02-rows
# ```
# How many rows has a code w+ of a generator whose pictures have 128×128 texels?

# %% tags=["exercise"]
from studiolike.exercises import ch02

rows = ...
ch02.check_rows(rows)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch02-rows
# :class: dropdown
#
# ```python
# blocks = len((4, 8, 16, 32, 64, 128))
# rows = 2 * blocks
# ```
#
# The first block has one convolution, every other one has two, which makes 11 rows.
# Each toRGB reads the row of the convolution that comes next; the last one has none after it, and gets the twelfth row.
# ````
#
# ```{exercise-start} Code: weights for every sample
# :label: ex-ch02-per-sample
# ```
# Write {eq}`eq-ch02-modulation` as it stands, with a set of weights of its own for each sample, then the convolution with padding 1.
# The check compares it with the package, which scales activations instead.

# %% tags=["exercise"]
from studiolike.exercises import ch02


def modulated(x, weight, style):
    return ...  # x (B, I, H, W), weight (O, I, 3, 3), style (B, I) -> (B, O, H, W)


ch02.check_modulation(modulated)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch02-per-sample
# :class: dropdown
#
# ```python
# import torch.nn.functional as F
#
#
# def modulated(x, weight, style):
#     batch, _, height, width = x.shape
#     w = weight[None] * style[:, None, :, None, None]
#     w = w / w.square().sum((2, 3, 4), keepdim=True).add(1e-8).sqrt()
#     y = F.conv2d(x.reshape(1, -1, height, width), w.flatten(0, 1), padding=1, groups=batch)
#     return y.reshape(batch, -1, height, width)
# ```
#
# One convolution with as many groups as samples does all of them at once.
# It is slower than the package's form, which needs one set of weights for the whole batch.
# ````
#
# ```{exercise-start} Explain: the trick behind modulated convolution
# :label: ex-ch02-modulation
# ```
# Equation {eq}`eq-ch02-modulation` makes one set of weights per sample.
# Show that scaling the input by $s$ and the output by $d$ gives the same result, and say where the argument would break if the scale depended on the position as well.
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch02-modulation
# :class: dropdown
#
# Convolution is linear in input and weights, and $s_i$ multiplies every product that input channel $i$ enters: $\sum_i (s_i w_{ij}) * x_i = \sum_i w_{ij} * (s_i x_i)$.
# The norm depends on the output channel $j$ only, so it may be divided out at the end.
# A scale that varies with position does not commute with the convolution, because the kernel mixes positions; one would then have to scale inside the sum.
# ````
#
# ```{exercise-start} Code: R1 with its weight
# :label: ex-ch02-penalty
# ```
# Write {eq}`eq-ch02-r1`, weight included.
# `discriminator` maps textures `(B, 3, H, W)` to logits `(B,)`; `torch.autograd.grad` gives the gradient of one number.

# %% tags=["exercise"]
from studiolike.exercises import ch02


def r1(discriminator, real, gamma):
    return ...  # your code


ch02.check_r1(r1)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch02-penalty
# :class: dropdown
#
# ```python
# import torch
#
#
# def r1(discriminator, real, gamma):
#     real = real.detach().requires_grad_(True)
#     (slope,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
#     return gamma / 2 * slope.square().sum((1, 2, 3)).mean()
# ```
#
# The sum of the logits has, for each sample, the gradient of that sample's own logit, because samples do not see each other.
# (Where they do, by the minibatch deviation, the package's form is the same approximation.)
# `create_graph` keeps the way back, so that the penalty can be descended.
# ````
#
# ```{exercise-start} Research: switch R1 off
# :label: ex-ch02-r1
# ```
# Train the stage twice for a few thousand images, once with `replace(settings.pretrain, r1=0.0)`.
# Plot `logit_real − logit_fake` over the images.
# What do you expect, and what does the generator's loss do?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch02-r1
# :class: dropdown
#
# Without R1 nothing limits the slope, and with few training textures the discriminator learns them by heart: the gap between the logits grows without bound, $\sigma^+(-D)$ of samples grows with it, and its gradient on the generator points at single training textures.
# With R1 the gap settles.
# A step of `stage.step` logs all of these.
# ````
#
# ```{exercise-start} Research: fool the copy detector
# :label: ex-ch02-copies
# ```
# Mirror the training captures left to right and feed them to `nearest_reference` as if they were samples.
# Does the detector fire?
# Which change to the features would make it?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch02-copies
# :class: dropdown
#
# The pooled features keep a 2×2 grid, so a mirrored face with light from the other side is a different vector and the ratio rises towards that of unseen people.
# Asking with both the sample and its mirror image, and taking the smaller distance, catches it.
# Every copy detector is blind to the changes that its features respond to, so say which ones you tried.
# ````
#
# ## Determinism
#
# Every random number here comes from a generator with a fixed seed, and the trainer seeds each step by (seed, images seen).
# Two runs on one machine with one number of threads agree to the last digit.
# Another processor or another number of threads adds floating-point numbers in another order, which the live training amplifies; the released weights are not affected.
#
# ## Summary
#
# - StyleGAN2 is a mapping network, modulated convolutions with noise, and a sum of pictures over resolutions; its discriminator is residual, and R1 keeps it from becoming steep.
# - An encoder that learns along gives the generator a teacher that points at texels, and us a first code for any capture.
# - Holes in the data are a shortcut for the discriminator. Showing it every texture, real or generated, through a real visibility map removes the shortcut and leaves whole faces as the only solution, where anyone ever looked.
# - What is small in the input is invisible at the output: a discriminator must be shown faint octaves loudly, or its game stands still at chance.
# - Quality was judged against held-out subjects with a floor and a spread, and copies were looked for with a detector that was shown to fire.
# - Light and identity share coarse rows. Remember that in chapter 4.
#
# ## References
#
# <!-- references -->
