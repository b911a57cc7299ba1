# %% [markdown]
# (ch02)=
# # Pre-training on phone textures
#
# A generative network learns here what phone textures look like, from textures of which none is whole.
# You will build StyleGAN2 up from its equations, train it for a moment, and then examine the trained network as a sceptic would.
#
# **What comes out.** By KID, with so few pictures, samples of the released generator {glue:text}`ch02_told` textures of people that it never saw (KID {glue:text}`ch02_kid:.4f`; two halves of these people's own: {glue:text}`ch02_kid_floor:.4f`); the eye may judge otherwise: look at the hair.
# Are they copies? {glue:text}`ch02_copies` of {glue:text}`ch02_copies_of` look suspicious: {glue:text}`ch02_copy_verdict`, by a detector that compares with a part of the training set only, and that finds {glue:text}`ch02_caught_imitated:.0f` % of the copies that $G$ has blurred.
# Reconstructions of such people reach {glue:text}`ch02_psnr_unseen:.1f` dB where they were observed, and have {glue:text}`ch02_rebuilt_grain`.
# Does looking through masks teach whole faces? By mean faces: {glue:text}`ch02_whole_verdict`. Person by person, what is painted into holes is {glue:text}`ch02_truth_words`.
#
# **The cast.**
#
# - A *capture* is one phone texture $x$ (a head's colour, unrolled onto a square) with its *visibility map* $v$, which is 0 in the *holes* that no camera saw.
# - The *generator* $G$ makes a texture from a *code*; the *discriminator* $D$ looks at a texture through a map and gives it a mark; the *encoder* $E$ looks at a capture and answers with a code. What $G$ makes of random codes are *samples*, what it makes of $E$'s codes *reconstructions*.
# - *Released* networks come with the package, trained beforehand; the *live* one is trained on this page, for {glue:text}`ch02_live` images.
# - *Training captures* are {glue:text}`ch02_captures` of those that the released networks learned from. Unless it says otherwise, numbers about quality are over {glue:text}`ch02_held_out` *held-out* captures, of people (split "val") that no network learned from. All heads are synthetic, a declared stand-in: what you see shows that the method works where the truth is known, and no more.
#
# <!-- run box -->

# %% [markdown]
# ## What you will learn
#
# **Objectives.** After this chapter you can
#
# - write down a StyleGAN2 generator and discriminator, and say what each part is there for;
# - explain why holes in the data let a discriminator win without ever looking at a face, why grain can escape it altogether, and what we do against either;
# - read what GANs are judged by (grids of samples, truncation, style mixing, and KID, a distance between sets of pictures), and say what each of them cannot show;
# - check whether a generator has copied its training data.
#
# **Prerequisites.** Chapter 1 for the data.
# You should have trained a convolutional network, and have seen the idea of a GAN {cite}`goodfellow2014gan`: a generator paints pictures from random numbers, a discriminator learns to tell them from real ones, and each is trained against the other.
# With *512²* we mean a picture of 512×512 texels, and what happens at small sizes, such as 4² or 8², is called *coarse*, at large ones *fine*.
# Differences are given in *levels*, of which a picture file has 256, or as PSNR in *dB* (decibels): the smaller the mean squared difference, the more; 6 dB more is half the difference.
#
# **What the authors say about this stage.** They state that a StyleGAN2 {cite}`karras2020analyzing` is trained on phone textures {cite}`athar2024bridging`.
# Secondary summaries report 12,000 of them.
# Resolution, configuration and augmentation are not known to us, so those are our choices.
#
# **What is ours.** Four things in this chapter are in nothing that we could read of the paper: the visibility map at the discriminator, because our textures have holes; its bands, because grain would escape it; and the encoder that learns along, with its change of basis, because we train for hours on one processor.
# What remains without them is a plain StyleGAN2.
#
# ### Predict before you run
#
# Choose before you read on; the sections below show what comes out.
#
# ```{predict} 1. Half of every training texture is missing. Will the samples have holes too?
# - [ ] Yes: a generator learns the data, and holes are part of the data.
#   So it is if holes tell real textures from generated ones. Must they?
# - [ ] No: a generator paints every texel.
#   It can paint holes as well, if that is what fools its judge.
# - [x] That depends on what the discriminator is shown.
#
# Not if real and generated pictures are shown with the same holes, so that holes tell nothing.
# If only the real ones have them, the generator has to paint them, because they are part of the data.
# ```
#
# ```{predict} 2. A code has one row for each layer of the generator. You take the rows of the coarse layers, up to 8², from one person and all finer ones from another. Whose face does the picture show, and whose light?
# - [ ] The face and the light of the coarse rows.
#   So it is often told. How many rows are coarse, and how many are not?
# - [x] The face of the finer rows, the light of both.
# - [ ] The face of the coarse rows, and the light of the finer ones.
#   Light is broad: a shadow over one cheek is as coarse as a cheek.
#
# So it is in our network: in {glue:text}`ch02_identity_to_fine:.0f` % of the pairs the face is nearer to the giver of the finer rows, whereas the coarse rows move the broad light by {glue:text}`ch02_light_coarse:.2f` of the way and the finer ones by {glue:text}`ch02_light_fine:.2f`.
# But the border is thin: with the next row counted as coarse, it is {glue:text}`ch02_identity_one_more:.0f` % for the coarse rows.
# That is a warning for chapter 4, where coarse layers are frozen.
# ```
#
# ```{predict} 3. A generator copies its training set. Which of these are perfect then: a grid of samples, their KID against the training set, their KID against subjects it never saw?
# - [ ] None: copies are always noticed.
#   By whom? A copy of a real texture looks perfectly real.
# - [x] The first two.
# - [ ] All three.
#   The third one compares with *other* people.
#
# The third one punishes copies only a little, because copies of real textures of *other* people are still realistic.
# So a separate check for copies is needed.
# ```

# %% tags=["parameters"]
profile = "auto"  # smoke, cpu, gpu or paper; auto takes what fits this machine

# %% tags=["hide-input"]
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from IPython.display import display

from studiolike import recipes, weights
from studiolike.chapters import figures, interactive, notebook, pretraining
from studiolike.chapters.live import explore
from studiolike.chapters.notebook import seeded
from studiolike.device import find_device
from studiolike.evaluation import psnr
from studiolike.experiments import pretraining as lab
from studiolike.experiments import samples
from studiolike.experiments.painting import codes_of, decode, sample
from studiolike.image import from_signed
from studiolike.run_record import read_log
from studiolike.stylegan2 import Discriminator, losses, ops, phone_networks, pretrain
from studiolike.stylegan2.bands import bands
from studiolike.stylegan2.encoder import reconstruction_loss
from studiolike.stylegan2.generator import (
    MappingNetwork,
    SynthesisBlock,
    SynthesisLayer,
)
from studiolike.stylegan2.train import GameStage, image_grid

settings = recipes.chapter_profile(profile)
device = find_device()
figures.apply_style()
data = recipes.chapter_set(settings)
g_phone, d_phone, encoder = (
    weights.load(name, device=device).requires_grad_(False)
    for name in ("g_phone", "d_phone", "encoder")
)
card = weights.read_card("g_phone")

# %% [markdown]
# ## The generator
#
# **From z to w.** A random $z \sim \mathcal N(0, I)$ of $n$ numbers is first normalised to a sphere, then mapped to a code $w$ by $f$, a small network of fully connected layers {cite}`karras2019style`:
#
# $$ w = f\!\left(\frac{z}{\sqrt{\tfrac1n \sum_i z_i^2 + \epsilon}}\right), \qquad w \in \mathbb R^n . $$ (eq-ch02-mapping)
#
# All directions of $z$ are equally frequent, faces are not: $f$ may stretch the space where faces are many and press it together where they are few ($\epsilon$, here and below, is a tiny number against division by zero).
#
# **Modulated convolution.** Every convolution reads its own copy of $w$ through an affine map that gives one scale $s_i$ per input channel $i$.
# StyleGAN2 scales the *weights* $\theta_{ijk}$ (input channel $i$, output channel $j$, place $k$ in the kernel), and divides each output channel by the norm that results {cite}`karras2020analyzing`:
#
# ```{math}
# :label: eq-ch02-modulation
# \begin{aligned}
# \theta'_{ijk} &= s_i \, \theta_{ijk}, \\
# \theta''_{ijk} &= \frac{\theta'_{ijk}}{\sqrt{\sum_{i,k} {\theta'_{ijk}}^2 + \epsilon}} .
# \end{aligned}
# ```
#
# The division (*demodulation*) keeps the statistics of the feature maps in order without looking at the feature maps.
# Both factors act on whole channels, so we may scale the input by $s$ and the output by $d = 1/\sqrt{\cdot}$ and use one ordinary convolution for the whole batch.
#
# **Noise.** The layer adds a fixed or fresh random map, scaled by one learned number, so that $w$ need not describe where every single pore sits.
# In {ref}`the next chapter <ch03>` this handy channel turns into a trap.
#
# **Images added up.** The layers stand in blocks, one for each resolution $r$ from 4 to the full $R$: one modulated convolution in the first block, two in every other.
# Each block turns its feature maps $x_r$ into an RGB picture (*toRGB*, one more modulated convolution, of single texels) and adds it to the enlarged picture of the blocks before (an *output skip*):
#
# $$
# \begin{aligned}
# y_r &= \operatorname{up}(y_{r/2}) + \operatorname{toRGB}_r(x_r) \\
# r &= 4, 8, \dots, R
# \end{aligned}
# $$ (eq-ch02-skip)
#
# **Rows.** Nothing forces all layers to read the same $w$: a code $w^+$ has $L$ rows, of $n$ numbers each, and every layer reads its own.
# The space of codes with equal rows is called **W**, that with free rows **W+**; random codes lie in W.
# The table says who reads which row.

# %% tags=["hide-input"]
notebook.source(
    [
        MappingNetwork,
        ops.modulated_conv,
        SynthesisLayer.forward,
        SynthesisBlock.forward,
    ],
    "The code of the mapping network, of a modulated convolution, its layer, a block",
)
pretraining.table_of_rows(g_phone)
figures.show(
    figures.texture_grid(
        lab.sum_of_parts(g_phone, seed=3),
        ["toRGB", "sum so far"],
        [f"{side}²" for side in g_phone.blocks],
    ),
    "One sample of the released generator taken apart, one column for each block. Above: "
    "what the block adds (grey is nothing). Below: the picture so far.",
)
notebook.tell("ch02", {"noise": lab.noise_level(g_phone, seed=3)})

# %% [markdown]
# With $w$ held fixed, fresh noise moves a texel of the released generator by {glue:text}`ch02_noise:.2f` of 255 levels (standard deviation, mean over the picture).
# That is all that noise decides; the rest is in $w$.
#
# ## What the discriminator is shown
#
# The discriminator $D$ is a residual network whose blocks halve the size; it ends in one number, the *logit*: above 0 it believes that a texture is real.
# Before its last layers it appends the *minibatch deviation*, one number for the whole batch: how much the samples differ from each other.
# A generator that always paints the same face would be betrayed by that number; whether it also keeps parts of a face from repeating is measured below.
#
# **Holes, and why D would win.** In the {glue:text}`ch02_captures` training captures of this page, {glue:text}`ch02_observed:.0f` % of the texels were observed, and {glue:text}`ch02_never:.0f` % of the layout in no capture whatever; where nobody looked, a real texture shows the smears of chapter 1, which a painted one need not have.
# So our change is at the input: the discriminator never sees $x$.
# It sees
#
# $$ (\,v \odot x,\; v\,), \qquad v \sim p_{\text{phone}}(v), $$ (eq-ch02-masked)
#
# for real and for generated textures alike, with maps $v$ from real captures, drawn as often as they occur among them (that is $p_{\text{phone}}$; $\odot$ multiplies texel by texel).
# This is the idea of AmbientGAN {cite}`bora2018ambientgan`: if the way in which data are damaged is known, damage the samples in the same way, and let the discriminator compare damaged with damaged.
# If texels go missing for reasons that have nothing to do with what is under them, the only generator that cannot be told from the data is the one whose *complete* textures have the right distribution, at every place that is observed sometimes, and together with every other place that is observed at the same time.
# Whether the authors mask is unknown to us; if they do not, holes are part of what their generator paints.
#
# **Octaves too faint to be seen.** An *octave* is the detail that one halving of a picture's size loses; the finest one of a phone texture, its grain, has {glue:text}`ch02_grain_share:.1f` % of the variance.
# $D$ finally averages over the picture.
# Grain has zero mean, and what passes through linear steps alone averages to zero again; so grain leaves a trace only where it is strong enough to bend the leaky ReLU between those steps, and this one is not.
# So the discriminator, and the encoder as well, also read the finest *bands* of the Laplacian pyramid {cite}`burt1983laplacian`,
#
# $$ b_\ell = \alpha \, v_\ell \odot \left( x_\ell - \frac{\uparrow \downarrow (v_\ell \odot x_\ell)}{\uparrow \downarrow v_\ell} \right) $$ (eq-ch02-bands)
#
# for $\ell = 0, 1, \dots$: what each octave above 32² adds to the next coarser picture, amplified by a fixed factor $\alpha$ (`GAIN` in the code).
# Here $x_\ell$ and $v_\ell$ are texture and visibility after $\ell$ halvings of their size, $\downarrow$ halves and $\uparrow$ doubles.
# The quotient is a mean over observed texels, so that the rim of a hole is no detail.
# Discriminators on wavelet bands {cite}`gal2021swagan` rest on the same observation.
# The section on what goes wrong takes either away, mask and bands.

# %% tags=["hide-input"]
notebook.source(
    [
        Discriminator._look,
        bands,
    ],
    "The code of what the discriminator reads, and of its bands",
)
all_texture, all_visibility = data.phone_batch(data.captures("phone"))
held_out = data.captures("val")
real, seen = data.phone_batch(held_out)
owners = data.subject[data.captures("phone")], data.subject[held_out]
spaced = torch.linspace(0, len(real) - 1, 8).long()
maps, fakes = seen[spaced], sample(g_phone, 8, seed=11)
figures.show(
    figures.texture_grid(
        [real[spaced], maps, real[spaced] * maps, fakes * maps, fakes],
        ["texture", "visibility", "product", "G, masked", "G"],
    ),
    "Eight held-out captures and eight samples. Rows: phone textures, with smears where "
    "nobody looked; their visibility maps; the product of both; samples of the released "
    "generator seen through the same maps; the same samples whole. The discriminator "
    "compares the third row, which is real, with the fourth; beside them it is given the "
    "second row, and the bands of both. It never sees the first row or the last.",
)
facts = {
    "captures": len(all_texture),
    "held_out": len(real),
    "observed": 100 * (all_visibility > 0).float().mean(),
    "never": 100 * (all_visibility.amax(0) == 0).float().mean(),
}
notebook.tell("ch02", facts)

# %% [markdown]
# ## Training: two losses, and an encoder that learns along
#
# **The losses.** The two players have the non-saturating loss {cite}`goodfellow2014gan`, with $\sigma^+(t) = \log(1 + e^t)$ and $\mathbb E$ for the mean over data, $z$ and $v$:
#
# $$
# \begin{aligned}
# \mathcal L_D &= \mathbb E\,\sigma^+\!\big(-D(x, v)\big) \\
# &\quad + \mathbb E\,\sigma^+\!\big(D(G(z), v)\big), \\
# \mathcal L_G &= \mathbb E\,\sigma^+\!\big(-D(G(z), v)\big) .
# \end{aligned}
# $$ (eq-ch02-loss)
#
# A discriminator that is sure of itself has steep, useless gradients.
# R1 makes steepness at *real* textures expensive {cite}`mescheder2018r1`, with a weight $\gamma$, here {glue:text}`ch02_gamma:.2g`:
#
# $$ R_1 = \frac\gamma2\, \mathbb E_{x}\, \big\lVert \nabla_x D(x, v) \big\rVert^2 . $$ (eq-ch02-r1)
#
# It is computed only once in {glue:text}`ch02_r1_every` steps, on a part of the batch and with {glue:text}`ch02_r1_every` times the weight ("lazy"; `losses.lazy` corrects the optimiser for it).
# Note that the gradient of {eq}`eq-ch02-r1` vanishes in holes by itself, because $D$ only sees $v \odot x$.
#
# Two more parts are standard.
# The network that we keep is a running average of the generator's weights, with a half-life counted in images.
# And what the discriminator sees is *augmented*, changed at random in place and colour by operations that gradients pass {cite}`zhao2020diffaugment,karras2020ada`, because for a GAN our textures are few; where an augmentation moves or cuts the picture, it moves and cuts the visibility map as well.
#
# **The encoder.** A StyleGAN2 is usually shown millions of images, ours far fewer, so we help it.
# A second network $E$ learns along with $G$ and maps a capture to a code in W+, $w^+ = E(x, v)$, with rows $w^+_l$.
# Half of the generated textures of every step are not random but reconstructions $G(E(x, v))$; the discriminator judges them like all others, and a loss ties them to what was observed:
#
# $$
# \begin{aligned}
# \mathcal L_E &= \lambda_r\, \operatorname{mean}\,\big\lvert v \odot \big(G(E(x, v)) - x\big) \big\rvert \\
# &\quad + \lambda_s\, \frac1{Ln}\sum_l \big\lVert w^+_l - \bar w^+ \big\rVert^2 .
# \end{aligned}
# $$ (eq-ch02-encoder)
#
# $\bar w^+$ is the mean of the rows, and the weights are $\lambda_r$ = {glue:text}`ch02_lambda_r:g` and $\lambda_s$ = {glue:text}`ch02_lambda_s:g`.
# The first mean is taken over copies of the pictures at full, half, quarter size and so on, and over their bands, or broad colour would drown the eyes; the second term keeps the rows of a code together {cite}`tov2021e4e`.
# A discriminator only says that something is wrong; a reconstruction says where every texel should go.
# That is why the training begins with a *warm-up*, which is reconstruction alone: when the game begins, $D$ meets a generator that knows faces.
# What $E$ is shown beside the capture is what a first code still misses, $v \odot (x - G(w^+))$; half of its codes are such second looks {cite}`alaluf2021restyle`.
#
# Last, *random* codes have to fall where $G$ knows faces, so the mapping network is drawn towards the cloud of the encoder's codes by a distance of two clouds of points (*sliced Wasserstein*: project both onto many lines and compare them there, point by point in order).
# For that, one row for all layers must be able to say what an encoder's code says.
# Once, between warm-up and game, we therefore choose the basis of W anew, along the $n$ principal components of the codes {cite}`harkonen2020ganspace`, which changes no picture; an exercise shows why it is needed.
# In the released network, {glue:text}`ch02_common:.0f` % of the variance between captures' codes is common to all $L$ rows; the free rows of W+ say the rest.
#
# **One step.** Both stages of pre-training run here, from scratch and for a few steps each: the warm-up, and the game, which begins at the vertical line of the first figure.
# It is the code that trained the released network, only stopped early.

# %%
notebook.source(
    [
        losses.discriminator_loss,
        losses.generator_loss,
        losses.r1_penalty,
        reconstruction_loss,
        GameStage._game_turn,
    ],
    "The code of the losses, and of one turn of the game",
)
images, half = settings.live_images, settings.live_images // 2
short = replace(
    settings, pretrain=replace(settings.pretrain, images=images, warm_up=half)
)
networks = phone_networks(short, seed=0)
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    pretrain(short, networks, data, folder, preview_every=images, progress=False)
    log = read_log(folder / "warm-up", folder)
live = networks["ema"].to(device)
figures.show(
    pretraining.training_figure(log, half, images),
    "The live training, over the images that it has seen. Left: the pixel loss of "
    "reconstructions. Middle and right, from the line on, where the warm-up ends: the "
    "losses of discriminator D and generator G, and D's mean logits for real and for "
    "generated textures. In a healthy game both losses stay about level and the two "
    "logits a small distance apart.",
)
figures.show(
    figures.texture_grid(
        [sample(live, 8, seed=1), sample(g_phone, 8, seed=1)], ["live", "released"]
    ),
    "Eight samples of the generator trained here for a moment, above eight samples of "
    "the released generator. Look at the hair of the lower row: how many kinds are there?",
)
facts = {
    "gamma": losses.r1_gamma(
        data.resolution, settings.pretrain.batch, settings.pretrain.r1
    ),
    "r1_every": settings.pretrain.r1_every,
    "lambda_r": settings.pretrain.reconstruction,
    "lambda_s": settings.pretrain.spread,
    "live": images,
    "card_images": card["images"],
    "card_minutes": card["seconds"] / 60,
    "card_device": card["device"].replace(" 1 threads", " one thread"),
    "card_history": pretraining.history(card),
}
notebook.tell("ch02", facts)
notebook.tell("ch02", pretraining.live_words(log))

# %% [markdown]
# In the last quarter of the log of these {glue:text}`ch02_live` images, the logits of real textures lie on average {glue:text}`ch02_live_gap:.1f` above those of generated ones, so {glue:text}`ch02_live_words`.
# The released network learnt from {glue:text}`ch02_card_history`; a texture is shown many times.
# The last {glue:text}`ch02_card_images` showings took {glue:text}`ch02_card_minutes:.0f` minutes on {glue:text}`ch02_card_device`.
# So says its card, which travels with the weights.
# The losses of a GAN say little: they measure a contest, not quality.
# From here on we look at the released network.
#
# ## Does it paint whole faces?
#
# First the part that can be checked texel by texel: held-out captures, sent through $E$ and $G$.
# The second figure shows the two clouds that the training tries to bring together: $w$ from the mapping network, and the encoder's codes.
#
# Where nobody looked there is no texture to compare with, only two candidates.
# Let $\bar x_p$ be the mean colour of texel $p$ over all captures that *saw* it, and $\bar s_p$ the mean over all captures, smears included.
# A generator that learned through masks should have the mean $\bar x_p$; one that learned to paint what software left in the holes should have $\bar s_p$.
# The third figure has the means: do the last two faces look like the second one or like the third?

# %% tags=["hide-input"]
all_codes = codes_of(encoder, g_phone, all_texture, all_visibility)
codes_unseen = codes_of(encoder, g_phone, real, seen)
rebuilt, redone = decode(g_phone, all_codes), decode(g_phone, codes_unseen)
known = slice(0, len(held_out))  # as many training captures
figures.show(
    figures.texture_grid(
        [(real * seen)[spaced], redone[spaced]], ["held-out", "G(E(·))"]
    ),
    "Eight held-out captures. Above: as far as they were observed, which is all that the "
    "encoder sees. Below: their reconstructions, which fill the square.",
)
noise = torch.randn(512, g_phone.config.w_dim, generator=seeded(6)).to(device)
cloud = g_phone.mapping(noise)
clouds = {
    "encoder, training captures": all_codes[known].mean(1),
    "encoder, held-out captures": codes_unseen.mean(1),
}
figures.show(
    pretraining.clouds_figure(cloud, clouds),
    "Codes, each a point: the mapping network's random ones, and the encoder's, of "
    "training and of held-out captures (means of their rows). Of all directions, these "
    "are the two in which the first cloud is widest.",
)
painted = sample(g_phone, len(all_texture), 12, noise="random")
subjects = torch.as_tensor(owners[0])
means = samples.mean_faces(all_texture, all_visibility, subjects, rebuilt, painted)
ever = (means.often > 0).float()
figures.show(
    figures.texture_grid(
        [[means.often, means.seen * ever, means.smeared, means.rebuilt, means.painted]],
        (),
        ["how often seen", "where seen", "with smears", "mean of G(E)", "mean of G"],
    ),
    "Five maps over the training captures: how often each texel is seen; the mean texture "
    "over captures that saw the texel, black where none did; the mean over all captures "
    "with smears; the mean reconstruction; the mean of as many random samples. Compare "
    "the last two with the second and the third at the ears, the neck and the hair.",
)
_, truth, _ = lab.completed(data, held_out, device)
errors = samples.hole_errors(redone, real, from_signed(truth).cpu(), seen, ever)
first = decode(g_phone, codes_of(encoder, g_phone, real, seen, passes=1))
nobody = decode(g_phone, g_phone.expand(g_phone.w_mean[None])).expand_as(real)
quality = psnr(rebuilt, all_texture, all_visibility), psnr(redone, real, seen)
facts = {
    "psnr_first": psnr(first, real, seen).mean(),
    "psnr_mean": psnr(nobody, real, seen).mean(),
    **pretraining.reconstruction_numbers(quality, owners),
    **pretraining.cloud_numbers(cloud, all_codes.mean(1), all_codes),
    **pretraining.whole_words(means),
    **pretraining.truth_words(errors, owners[1]),
    **pretraining.variety_words(all_texture, painted, all_visibility),
}
notebook.tell("ch02", facts)

# %% [markdown]
# **Where it was observed.** Reconstructions reach {glue:text}`ch02_psnr_known:.1f` dB for training captures and {glue:text}`ch02_psnr_unseen:.1f` dB for unseen people (after the first look {glue:text}`ch02_psnr_first:.1f` dB), which is, before rounding, {glue:text}`ch02_learned`.
# The *mean code* $\bar w$, the same picture for everybody, reaches {glue:text}`ch02_psnr_mean:.1f` dB; what is above that the encoder has learned to see.
# The clouds: over all directions together the random one is {glue:text}`ch02_wider:.1f` times as wide as the encoder's, in the two directions drawn, which were chosen as its widest, {glue:text}`ch02_wider_shown:.1f` times; 1 would be a match.
#
# **Where it was not.** We look at texels that at least a tenth and fewer than half of the captures saw; there $\bar x$ and $\bar s$ lie {glue:text}`ch02_apart:.1f` levels apart (root mean square).
# The mean reconstruction lies {glue:text}`ch02_rebuilt_seen:.1f` from $\bar x$ and {glue:text}`ch02_rebuilt_smeared:.1f` from $\bar s$ (95 % interval of the difference, by bootstrap over people: {glue:text}`ch02_rebuilt_gap`); the mean of random samples {glue:text}`ch02_to_seen:.1f` and {glue:text}`ch02_to_smeared:.1f` ({glue:text}`ch02_to_gap`).
# So {glue:text}`ch02_whole`.
# (This and the other words of this section read one interval each; they are not corrected for how many comparisons there are, as those of later chapters are.)
#
# That is a statement about means.
# For synthetic people we also know what was in the hole: their true skin, which we light by what is beside the hole.
# In texels that this capture did not see but others did, reconstructions of held-out people lie {glue:text}`ch02_truth_rebuilt:.1f` levels from it and smears {glue:text}`ch02_truth_smeared:.1f` (95 % interval of the difference: {glue:text}`ch02_truth_gap`): person by person, what is painted is {glue:text}`ch02_truth_words`.
#
# **Variety.** The broad forms of hair of two captures correlate by {glue:text}`ch02_hair_real:.2f` on average (95 % interval {glue:text}`ch02_hair_real_range`), those of two samples by {glue:text}`ch02_hair_drawn:.2f` ({glue:text}`ch02_hair_drawn_range`), so the hair of samples is {glue:text}`ch02_hair`; on the face it is {glue:text}`ch02_faces_real:.2f` and {glue:text}`ch02_faces_drawn:.2f`.
# But a correlation is blind to *kinds*: it compares place by place, and does not see a kind of hair that returns a little shifted. Count the kinds among the samples above, and among the captures.
#
# Two more limits should be said aloud.
# Where *no* capture ever saw a texel, the discriminator has no opinion, and what the generator paints there is an accident of its architecture.
# And texels are not missing at random: long hair hides the same ears every time, so "ears as they are seen" is not quite "ears as they are".
#
# ## What a code controls: truncation and style mixing
#
# **Truncation: quality against variety.** Samples far from the mean of $w$ are rare in training and look worse.
# *Truncation* pulls them in {cite}`karras2019style`, towards the mean code:
#
# $$ w_\psi = \bar w + \psi\,(w - \bar w) . $$ (eq-ch02-truncation)
#
# $\psi = 0$ is the mean face, $\psi = 1$ the model as trained, and $\psi > 1$ leaves what it knows.
# The first slider below moves $\psi$.
#
# **Mixing: which rows hold what?** Training already mixed two codes at a random row, so mixtures are not foreign to the network.
# Each picture of the grid takes rows 1 to {glue:text}`ch02_cut`, up to the last convolution at 8², from the person on its left, and all the rows after them from the person above.
# A grid invites one to see what one expects, so we also measure.
# For pairs of held-out captures we replace some rows by the other person's, and note how far three things move, as a share of what replacing *all* rows does: the identity embedding (numbers by which a network that no loss has used tells people apart), the broad light (luminance averaged down to 8²), and the luminance detail above that, which holds brows and beards as well as pores.
# The *colour* of the light is not measured; in the grid it seems to follow the person above.
#
# **A walk.** The last lines of the next cell walk in a straight line in W+ through four of these people and back to the first, which the last slider shows: a model that had only memorised would jump from face to face.
# That it does not is weak evidence, for blending codes is smooth anyway; look whether the faces *in between* are faces.

# %% tags=["hide-input"]
levels = [0.0, 0.25, 0.5, 0.7, 0.85, 1.0, 1.25, 1.5]
display(
    interactive.image_slider(
        [image_grid(sample(g_phone, 8, 5, psi), columns=4) for psi in levels],
        [f"ψ = {psi:g}" for psi in levels],
        "Eight samples of the released generator, drawn to the mean code or away from it",
        name="Truncation",
        width=560,
    )
)
people = codes_unseen[:: max(len(codes_unseen) // 8, 1)][:8]
coarse, fine = people[:4], people[4:]
cut = g_phone.rows(8).stop - 1  # the row after the last convolution at 8²
faces = decode(g_phone, people)
mixed = [
    decode(g_phone, torch.cat([code[:cut].expand(len(fine), -1, -1), fine[:, cut:]], 1))
    for code in coarse
]
figures.show(
    figures.texture_grid(
        [[None, *faces[4:]], *([faces[k], *mixed[k]] for k in range(len(coarse)))],
        ["", *["coarse from"] * len(coarse)],
        ["", *["fine from"] * len(fine)],
        tile=1.2,
    ),
    "Style mixing. The first column and the top row are reconstructions of eight held-out "
    "captures; each inner picture has the coarse rows of the person on its left and the "
    "fine rows of the person above. Look whom it resembles, first in its features, then "
    "in its shadows.",
)
eye = weights.load("identity_eval", device=device).requires_grad_(False)
swaps = lab.swapped_rows(g_phone, codes_unseen, eye)
figures.show(
    pretraining.rows_figure(swaps, len(g_phone.blocks)),
    "How far identity, broad light and luminance detail move when only some rows are "
    "replaced by another person's: one block's, and, right of the line, all rows up to "
    "the last convolution at 8², and all others. Changes are lengths: they need not add "
    "up to 1.",
)
stops = torch.cat([people[:4], people[:1]])
walk = [torch.lerp(stops[k // 6], stops[k // 6 + 1], k % 6 / 6) for k in range(24)]
display(
    interactive.image_slider(
        decode(g_phone, torch.stack(walk)),
        [f"{k / 6:.2f}" for k in range(24)],
        "A straight walk in W+ through the codes of four held-out captures, and back",
        name="Position",
        width=320,
    )
)
notebook.tell("ch02", pretraining.rows_numbers(swaps, list(g_phone.blocks)))

# %% tags=["remove-output", "nbval-ignore-output"]
explore(
    lambda seed, psi: image_grid(sample(g_phone, 4, seed, psi), columns=4),
    "four samples of the released generator",
    seed=(0, 99, 5),
    psi=(0.0, 2.0, 0.7),
    width=560,
)

# %% [markdown]
# The last cell shows nothing on this page; run in a notebook, it draws four samples of any seed at any $\psi$: look for the seed whose face breaks first.
#
# The authors state that coarse layers hold identity and therefore freeze them up to 8².
# In our network the strongest single block up to 8² moves identity by {glue:text}`ch02_identity_early:.2f` and broad light by {glue:text}`ch02_light_early:.2f` of a full replacement; the strongest finer block moves them by {glue:text}`ch02_identity_late:.2f` and {glue:text}`ch02_light_late:.2f`.
# Freezing asks about all of them together: rows 1 to {glue:text}`ch02_cut` move identity by {glue:text}`ch02_identity_coarse:.2f`, light by {glue:text}`ch02_light_coarse:.2f` and detail by {glue:text}`ch02_detail_coarse:.2f`; all others {glue:text}`ch02_identity_fine:.2f`, {glue:text}`ch02_light_fine:.2f` and {glue:text}`ch02_detail_fine:.2f`.
# In {glue:text}`ch02_identity_to_fine:.0f` % of the pairs the mixed face is nearer to the giver of the finer rows: cut here, identity is mostly held by {glue:text}`ch02_whose`.
# The border is thin: the next row is read by the toRGB of the 8² block *and* by the first convolution at 16² (see the table of rows), and if it counts as coarse, {glue:text}`ch02_identity_one_more:.0f` % of the faces are nearer to the giver of the coarse rows.
# So "up to 8²" means one thing by module and another by row.
# Light is broad, so part of it lives where identity lives.
# How much may be frozen before the light can no longer be removed is measured in {ref}`the chapter on adaptation <ch04>`.
#
# ## Distance to unseen phone textures
#
# KID {cite}`binkowski2018kid` compares two sets of pictures by feature vectors $\phi, \phi'$ of the one and $\chi, \chi'$ of the other, $m$ numbers each, which a network for photographs computes.
# With a cubic kernel $\kappa$, which asks how alike two vectors are, it compares the likeness across the sets with that within them (their squared *maximum mean discrepancy*):
#
# $$
# \begin{aligned}
# \operatorname{KID} &= \mathbb E\,\kappa(\phi, \phi') + \mathbb E\,\kappa(\chi, \chi') - 2\,\mathbb E\,\kappa(\phi, \chi), \\
# \kappa(\phi, \chi) &= \left(\tfrac1m \phi^\top \chi + 1\right)^3 .
# \end{aligned}
# $$ (eq-ch02-kid)
#
# 0 means that the two sets cannot be told apart, larger is worse.
# The estimate is unbiased at any sample size, unlike that of the more common FID {cite}`heusel2017fid`, and may be negative.
# A value means nothing alone, so four things stand around it.
#
# - The *floor*: two halves of the held-out captures, split by subject; and a second one, real training captures against held-out ones.
# - The *spread*, as bars: the standard deviation over random subsets of the pictures.
# - Reconstructions of training captures by encoder and generator: are random codes what costs distance?
# - Known bad samples: truncated ones, and those of the live network.
#
# Both sides are always seen through the same kind of visibility maps.

# %% tags=["hide-input"]
found = samples.gallery(
    (g_phone, live),
    (real, seen),
    torch.as_tensor(owners[1]),
    (all_texture, all_visibility),
    rebuilt[known],
)
results = samples.distances(found)
figures.show(
    pretraining.distances_figure(results),
    "KID to held-out captures, three repetitions of each, with their spread. From above: "
    "two halves of the held-out captures; real training captures; reconstructions of "
    "training captures; samples of the released generator at three truncations; samples "
    "of the network trained for a moment. The text quotes the median repetition.",
)
notebook.tell("ch02", {"features": found.name})
notebook.tell("ch02", pretraining.distance_numbers(results))

# %% [markdown]
# Over {glue:text}`ch02_held_out` held-out captures the released generator has a KID of {glue:text}`ch02_kid:.4f` (spread {glue:text}`ch02_kid_std:.4f`; here and below, the median of three repetitions).
# Two halves of the held-out captures have {glue:text}`ch02_kid_floor:.4f`, real training captures {glue:text}`ch02_kid_train:.4f`, and the network trained for a moment {glue:text}`ch02_kid_live:.4f`.
# Reconstructions of training captures have {glue:text}`ch02_kid_encoded:.4f`: {glue:text}`ch02_kid_codes`.
# (How much *grain* they have is measured below, under "Blind to grain".)
# At this sample size its samples {glue:text}`ch02_told` real ones, with these features ({glue:text}`ch02_features`).
# With so few pictures that is a weak test: see in the figure whether even strong truncation lies within the range of real captures.
# Of the three truncations the one with the smallest KID is $\psi$ = {glue:text}`ch02_best_psi`.
# Compare that with your own eyes: if samples look disturbed, or alike, in the grids above and their KID is near its floor all the same, then the features are blind to it.
# A metric never replaces the look at the pictures.
# The features are not those that papers use, so the number must not be compared with their KIDs.
#
# ## Are the samples copies?
#
# KID would not notice a generator that hands out training textures of other people.
# So we look for each sample's nearest training capture.
# Two captures are compared only in texels that both show, or the shape of their holes would decide; by the detail of their log luminance at half the size, without the broad part, which is light, and without the mean face, which all share.
# The distance is $\sqrt{2 - 2\rho}$, where $\rho$ is the correlation: 0 is a copy, 1.41 has nothing in common.
#
# A detector that has never fired proves nothing, so it gets positive controls: *planted copies*, training captures with a little noise (0.02 of the range), and $G$'s own *imitations*, its reconstructions of training captures, both seen through the maps of other captures, as samples are.
# And it gets a negative one: held-out people, who cannot be copies. Suspicious is what lies nearer than all of them.

# %% tags=["hide-input"]
check = samples.copy_check(
    found, (all_texture, all_visibility), (real, seen), rebuilt[known]
)
figures.show(
    pretraining.copies_figure(check),
    "What share of the pictures has its nearest training capture within a distance: a "
    "curve further to the left belongs to pictures nearer to the training set. Left of "
    "the vertical line is suspicious.",
)
distance = check.distance[samples.SAMPLED]
closest = distance.argsort()[:8]
figures.show(
    figures.texture_grid(
        [
            (found.images * found.maps)[closest],
            (all_texture * all_visibility)[check.nearest[closest]],
        ],
        ["sample", "nearest"],
        [f"{value:.2f}" for value in distance[closest].tolist()],
    ),
    "The eight samples that come closest to a training capture, above that capture, each "
    "through its own map; the distance stands on top. Are these the same people?",
)
notebook.tell("ch02", pretraining.copy_numbers(check))

# %% [markdown]
# The median distance is {glue:text}`ch02_planted:.2f` for planted copies, {glue:text}`ch02_imitated:.2f` for imitations, {glue:text}`ch02_unseen:.2f` for held-out people and {glue:text}`ch02_drawn:.2f` for samples.
# Below {glue:text}`ch02_threshold:.2f`, where the nearest held-out capture lies, are {glue:text}`ch02_caught:.0f` % of the planted copies and {glue:text}`ch02_caught_imitated:.0f` % of the imitations: what the detector misses is a copy that $G$ has blurred.
# {glue:text}`ch02_copies` of {glue:text}`ch02_copies_of` samples lie there: {glue:text}`ch02_copy_verdict`. (People like the held-out ones would give so many or more in {glue:text}`ch02_copies_chance:.0f` % of all cases; where none lies there, that is 100 % by definition and says nothing.)
# This page holds only {glue:text}`ch02_captures` of the captures that the network was trained on (see its card above), so the check covers that part of the training set and no more.
#
# ## What goes wrong: a discriminator that sees too much, or too little
#
# **It sees what stands in the holes.** Suppose that the generator knew everybody's skin.
# Take real captures, leave every observed texel as it is, and complete the rest with the person's true skin from the studio texture, lit by what is beside the hole.
# No generator of ours can do better; a seam remains at the rim of the hole, where the mean step is {glue:text}`ch02_step_filled:.0f` levels and in the captures {glue:text}`ch02_step_real:.0f`.
# Train two small discriminators to tell real captures from completed ones.
# One sees plain pictures, the other sees $(v \odot x, v)$.
#
# **Blind to grain.** Then suppose a generator that paints everything but the finest octave: real captures, each without its own $b_0$.
# Two small discriminators are to tell them from the captures themselves.
# They are the same network, from the same weights; in one of them the weights that read the bands are zero and stay zero.

# %%
contests = {
    "plain": lab.hole_contest(data, settings, device, masked=False),
    "masked": lab.hole_contest(data, settings, device, masked=True),
}
figures.show(
    pretraining.holes_figure(contests),
    "Holes. Left: AUC (chapter 1) of both discriminators on unseen people during "
    "training; 0.5 is guessing. Middle and right: how strong the gradient is, place by "
    "place, that a generator would get from either, on one scale: a discriminator that "
    "guesses sends next to nothing.",
)
both = contests["masked"]
shown = slice(0, None, max(len(both.real) // 4, 1))
pictures = [(x[shown][:4] + 1) / 2 for x in (both.real, both.fake)]
figures.show(
    figures.texture_grid(
        [*pictures, pictures[0] * both.visibility[shown][:4]],
        ["real", "completed", "masked, both"],
        tile=1.2,
    ),
    "Four held-out captures, the same completed (the seams show what is not perfect about "
    "that), and what the masked discriminator sees of either.",
)
grainy = {
    "with bands": lab.grain_contest(data, settings, device, with_bands=True),
    "colours alone": lab.grain_contest(data, settings, device, with_bands=False),
}
loud = pretraining.octaves(
    grainy["with bands"],
    {"G(E(·))": redone, "samples": sample(g_phone, len(real), 30, noise="random")},
)
figures.show(
    pretraining.grain_figure(grainy, loud),
    "Grain. Left: AUC on unseen people of two discriminators that differ only in whether "
    "they read the amplified bands; 0.5 is guessing. Right: how strong the two finest "
    "octaves are in held-out captures, in the same with the finest one taken away, in "
    "reconstructions and in samples of the released generator, over observed texels.",
)
notebook.tell("ch02", pretraining.hole_numbers(*contests.values()))
notebook.tell("ch02", pretraining.grain_numbers(*grainy.values(), loud))

# %% [markdown]
# The plain discriminator reaches a test AUC of {glue:text}`ch02_auc_plain:.2f`: it {glue:text}`ch02_shortcut`, though a part of it may be the seam.
# {glue:text}`ch02_holes_plain:.0f` % of the squared gradient that it sends back lies in texels that the capture did not see, where a generator can follow it only by learning to smear.
# The masked one stays at {glue:text}`ch02_auc_masked:.2f`, because its two inputs are the same; {glue:text}`ch02_holes_masked:.0f` % of its gradient, which is {glue:text}`ch02_fainter:.0f` times as faint, lies in holes.
# That is not a better discriminator, it is a better question.
#
# In chapter 4 the same shortcut would be worse: studio textures have no holes, so a plain discriminator could tell studio from phone without ever looking at the light.
#
# With the bands the test AUC reaches {glue:text}`ch02_auc_bands:.2f`, without them {glue:text}`ch02_auc_blind:.2f`: the discriminator that reads them {glue:text}`ch02_grain_words`.
# A discriminator that cannot see an octave cannot ask the generator for it, and a game at chance looks, in its losses, like a fair one.
# The right plot says what the game has achieved.
# Captures whose finest octave was taken away still measure {glue:text}`ch02_octave_floor:.0f` % of its strength, because octaves overlap: that is the measure's floor.
# Samples of the released generator have {glue:text}`ch02_octave_samples:.0f` %, reconstructions {glue:text}`ch02_octave_rebuilt:.0f` %: they have {glue:text}`ch02_rebuilt_grain`, for their loss rewards the mean of all grains that may be there, and that is smooth.
# The noise that $G$ adds does not undo this by itself: the layers after it scale every channel by the code, so the code decides how strongly noise shows.
#
# ## Claims of the paper tested here
#
# The paper gives no number for this stage, so nothing can be reproduced in the narrow sense.
# What this table says is of one run of this page; it is not in [the ledger](../ledger.md), whose records have several seeds.
#
# | statement | whose | measured here | verdict |
# | --- | --- | --- | --- |
# | A StyleGAN2 learns the distribution of phone textures | the authors state it | KID {glue:text}`ch02_kid:.4f`, floor {glue:text}`ch02_kid_floor:.4f` | by KID, at this sample size, samples {glue:text}`ch02_told` held-out textures |
# | It was trained on 12,000 textures | reported by summaries | not needed here | not testable: their data are private |
# | Coarse layers hold identity | the authors state it | rows up to 8² move it by {glue:text}`ch02_identity_coarse:.2f`, the others by {glue:text}`ch02_identity_fine:.2f` of a full replacement | held mostly by {glue:text}`ch02_whose`; see chapter 4 for the test that counts |
# | An encoder may learn along | our choice, for little compute | {glue:text}`ch02_psnr_unseen:.1f` dB on unseen people, mean code {glue:text}`ch02_psnr_mean:.1f` | used from here on |
# | Looking through masks teaches whole faces | our choice | mean reconstruction {glue:text}`ch02_rebuilt_seen:.1f` levels from what was seen, {glue:text}`ch02_rebuilt_smeared:.1f` from smears; samples {glue:text}`ch02_to_seen:.1f` and {glue:text}`ch02_to_smeared:.1f` | {glue:text}`ch02_whole_verdict` for means; person by person {glue:text}`ch02_truth_words` |
# | Samples are not copies | our check | {glue:text}`ch02_copies` of {glue:text}`ch02_copies_of` suspicious, {glue:text}`ch02_caught:.0f` % of planted copies caught | {glue:text}`ch02_copy_verdict`, as far as the check reaches |
#
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
    # x (B, I, H, W), weight (O, I, 3, 3), style (B, I) -> (B, O, H, W)
    return ...


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
#     theta = weight[None] * style[:, None, :, None, None]
#     theta = theta / theta.square().sum((2, 3, 4), keepdim=True).add(1e-8).sqrt()
#     x = x.reshape(1, -1, height, width)
#     y = F.conv2d(x, theta.flatten(0, 1), padding=1, groups=batch)
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
# Convolution is linear in input and weights, and $s_i$ multiplies every product that input channel $i$ enters: $\sum_i (s_i \theta_{ij}) * x_i = \sum_i \theta_{ij} * (s_i x_i)$.
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
# ```{exercise-start} Research: switch a part off
# :label: ex-ch02-off
# ```
# What is each part of the trained network for?
# `lab.switched_off(g_phone, codes_unseen[:4])` gives the pictures of four held-out people with one part taken away at a time: the noise; the output skips of {eq}`eq-ch02-skip`; the demodulation as an answer to the sample (each layer gets the batch's mean factor); the coarse rows of the code, or the finer ones, replaced by the mean code.
# Which of them does the network rely on most, in levels per texel?
# Does that say what it could have learned *without* the part?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch02-off
# :class: dropdown
#
# `off = lab.switched_off(g_phone, codes_unseen[:4])`, then `255 * (x - off["nothing"]).square().mean().sqrt()` for each `x` of `off.values()`, and `figures.texture_grid(list(off.values()), list(off))` to look.
# Demodulation is there to keep feature maps in order: `lab.strengths(g_phone, codes_unseen)` says by how many per cent the strength of the last block's maps varies over samples, with it and with one factor for all.
# The discriminator's part has a switch as well: `lab.betrayal(d_phone, real[:8], seen[:8])` is how much lower the logit of a capture is among copies of itself than among other people's, with the minibatch deviation and without.
# All that shows what these networks *rely* on; what could have been learned without a part takes a training without it.
# ````
#
# ```{exercise-start} Research: lose W, and find it again
# :label: ex-ch02-basis
# ```
# Turn row $l$ of every code by a matrix of its own, and fold the inverse turn into the affine maps of the layers that read this row: all pictures stay as they are.
# What has become of the space W?
# How could it be found again from the turned codes alone?
# `lab.lost_and_found(g_phone, all_codes.cpu())` does both.
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch02-basis
# :class: dropdown
#
# `views, explained = lab.lost_and_found(g_phone, all_codes.cpu())`, then `figures.texture_grid(list(views.values()), list(views))`: the rows are eight people; the same after the turns; one turned row of each, given to all layers; one vector for all layers in the basis that was found; random samples there.
# Equal rows, turned differently, are no longer equal, so W is now another space, and its pictures have nothing to do with anybody; training chooses among all these turns as it likes.
# But the rows are not independent: all of them describe one capture.
# Take the codes as long vectors and their first $n$ principal components, with coordinates $u$ of unit variance, and let a layer read its row through an affine map with matrix $A_l$ and offset $c_l$:
#
# $$
# \begin{aligned}
# w^+_l &\approx b_l + B_l\, u \\
# A_l\, w^+_l + c_l &= (A_l B_l)\, u + (A_l b_l + c_l)
# \end{aligned}
# $$
#
# The right side is again an affine map, so the new basis costs nothing: with one $u$ for all layers, W is what was the span of the codes, and with a row for each, W+ is what it was.
# ````
#
# ```{exercise-start} Research: fool the copy detector
# :label: ex-ch02-copies
# ```
# Mirror the training captures and their maps left to right (`.flip(-1)`) and hand them to `samples.nearest_capture` as if they were samples.
# Does the detector fire, that is, are they nearer than `check.threshold`?
# Which change to the question would make it?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch02-copies
# :class: dropdown
#
# With `known = (all_texture, all_visibility)`, `samples.nearest_capture(*(x.flip(-1) for x in known), known)` gives distances and places.
# The detector compares texel by texel, and neither hair nor shadows are their own mirror image: few fire, and the median distance is that of held-out people.
# Asking with both the sample and its mirror image, and taking the smaller distance, catches all.
# Every copy detector is blind to the changes that its measure responds to, so say which ones you tried.
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
# - Holes in the data are a shortcut for the discriminator. Showing it every texture, real or generated, through a real visibility map removes the shortcut. In theory that leaves whole faces as the only solution, where anyone ever looked; what was reached is measured: by means {glue:text}`ch02_whole_verdict`, person by person {glue:text}`ch02_truth_words`.
# - What is small in the input is invisible at the output: a discriminator must be shown faint octaves loudly, or its game stands still at chance.
# - Quality was judged against held-out subjects with a floor and a spread, and copies were looked for with a detector of which we know what it catches, and what it misses.
# - Light and identity share rows, and where "coarse" ends decides whose face a mixture shows. Remember that in chapter 4.
#
# ## References
#
# <!-- references -->
