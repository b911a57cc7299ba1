# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch05)=
# # Fusion and diffusion detailing
#
# <!-- run box -->
#
# The generator's studio texture is evenly lit but coarse; the phone texture is badly lit but sharp.
# This chapter joins the two by a formula without anything learnt (a *closed form*), trains a diffusion model on what is still wrong, and measures what each is worth.
#
# **What comes out**, on {glue:text}`ch05_people` people (the first on {glue:text}`ch05_lit` heads that we light by hand):
#
# - The log gradients of a phone texture agree with the skin's own at a correlation of {glue:text}`ch05_log_smooth:.2f` in smooth light, and of {glue:text}`ch05_log_hard:.2f` in hard light, whose shadows' edges stay in.
# - The perceptual distance to the truth is {glue:text}`ch05_mean_g_studio:.3f` for the coarse texture, {glue:text}`ch05_mean_fusion:.3f` after fusion and {glue:text}`ch05_mean_guided:.3f` after the diffusion model. Is it better than fusion by this measure? On these people *{glue:text}`ch05_last_step`*; on {glue:text}`ch05_ledger_people` with {glue:text}`ch05_ledger_seeds` captures each *{glue:text}`ch05_ledger_step`*; whether it is used, three measures decide.
# - Where the coarse texture is right already, the diffusion model leaves up to {glue:text}`ch05_spoilt_most:.1f` times the error of fusion.
# - How light the skin is, a phone texture gets wrong by {glue:text}`ch05_tone_phone:.2f` log units, and a small network by {glue:text}`ch05_tone_tone:.2f`.
#
# **The order.** Capture, code, coarse texture (chapters 2 to 4), tone, fusion: always. Then the *detailer*, which is our diffusion model: {glue:text}`ch05_detailer_on` by default. (Our number of steps is {glue:text}`ch05_steps`; in a single one nothing is sampled, and it is a regression.) Last, detail *borrowed* from somebody else where nothing was seen: {glue:text}`ch05_borrow_on` by default.
#
# ## What you will learn
#
# - Why the *logarithm's* gradient of a phone texture is nearly free of its light, and when it is not.
# - To put the phone's detail on the generator's light without any network (*fusion*), and to see what leaks.
# - Which one number of a face a camera hides, and where it can be read all the same.
# - What the detailer sees and predicts, and how to ask whether it earns its place.
#
# **You need**: {ref}`ch04`, and the idea of a diffusion model {cite}`ho2020ddpm`.
# A *texture* is the skin of a head, unrolled onto a square, the *layout*, whose picture elements are *texels*; a *capture* is what a phone saw of it, with *holes* where it saw nothing; the rest is *observed*.
# The *encoder* answers a capture with a *code*, from which *G_studio*, the generator of {ref}`ch04`, draws the coarse texture; the *chain* is all of it, capture in, finished texture out.
# Symbols and measures stand on [one page](../notation-and-metrics.md), words in [the glossary](../glossary.md).
#
# **Which weights, which people.** Under the protocol `few` a network may learn from phone captures of everybody, but from studio textures of {glue:text}`ch05_taught` people only; under `open`, from all that our generator of heads gives for training.
# All networks here are those of `few`.
# Everything is measured on people of the split "val", one capture each, at {glue:text}`ch05_side`² texels: no network has learnt from them, but settings were chosen on them; {ref}`ch06` examines the chain on people that nobody has looked at.
# All heads are synthetic, a declared stand-in.
#
# **What is the paper's.** The authors state that the generator's output is made finer (super-resolved) by a diffusion model guided by the image gradients of the phone texture {cite}`athar2024bridging`.
# The network, its training and the form of the gradients are unknown to us, and fusion before diffusion is our addition: what stands here is our choice.
#
# ## Predict before you run
#
# ```{predict} 1. You halve the exposure of the phone texture, or photograph it in yellow light. What changes in the fused texture?
# - [ ] It becomes half as bright, or yellow.
#   Brightness and colour are coarse: whose are the coarse parts?
# - [ ] Its detail becomes half as strong.
#   So it would be with raw gradients. Take the logarithm of a factor.
# - [x] Nearly nothing.
#
# One factor for a whole channel becomes a constant under the logarithm, and fusion replaces everything that is coarse, constants first.
# So exposure and white balance cannot pass; what little changes is the small floor that keeps the logarithm finite in the dark.
# ```
#
# ```{predict} 2. A cast shadow crosses the cheek. Does the logarithm remove its edge?
# - [ ] Yes: that is what it is for.
#   It makes shading additive. What is additive is not gone.
# - [x] No.
# - [ ] By half.
#   There is nothing in a logarithm that would tell the edge of a shadow from a scar.
#
# The logarithm makes shading *additive*; only smoothness makes it coarse.
# A shadow's edge is not smooth, so it is kept as if it were a scar.
# ```
#
# ```{predict} 3. Sample the detailer several times with different noise, once with the phone and once with the phone hidden. What does hiding it cost?
# - [ ] The samples agree less with each other.
#   So one would think. But what the phone tells is in the fused texture, before anything is sampled.
# - [x] They agree less with the truth.
# - [ ] Nothing: the detailer knows faces.
#   It knows faces. Whose?
#
# Samples that agree with each other need not be right.
# Without the phone the detailer starts from the generator's texture and draws what is likely on anybody; the tables below measure both, the spread of samples and the likeness.
# ```

# %% tags=["parameters"]
profile = "auto"

# %% tags=["hide-input"]
import numpy as np
import torch

from studiolike import detail as stage4
from studiolike import recipes, weights
from studiolike.chapters import detailing as shown
from studiolike.chapters import figures, notebook
from studiolike.chapters.live import explore
from studiolike.detail import model as network
from studiolike.detail.fusion import WIDTH
from studiolike.experiments import detailing

settings = recipes.chapter_profile(profile)
figures.apply_style()
device = "cuda" if torch.cuda.is_available() else "cpu"
data = recipes.chapter_set(settings, detailed=True)
lab = detailing.DetailLaboratory(settings, data, device)  # released networks of "few"
notebook.tell("ch05", {"width": WIDTH * lab.size})
notebook.tell("ch05", shown.cast(lab, weights.exemplars()))

# %% [markdown]
# ## Why log gradients
#
# A texture $I$ is, roughly, albedo $A$ (the skin's own colour) times shading $S$ (the light that arrives), texel by texel: $I = A \cdot S$.
# With $\nabla$ for the differences between neighbouring texels along the layout's two axes $u$ and $v$,
#
# $$
# \nabla \log I = \nabla \log A + \nabla \log S .
# $$ (eq-ch05-log)
#
# Smooth shading has a small second term, so the log gradient, $\nabla \log I$, is nearly the albedo's {cite}`land1971retinex`.
# The raw gradient $\nabla I = S\,\nabla A + A\,\nabla S$ keeps the shading as a *factor* on every pore: strong on the lit cheek, weak on the dark one.
# Nothing that is computed from one picture is exactly free of light {cite}`chen2000invariants`, so this is a matter of degree, and we can measure the degree: our synthetic heads come with their true albedo.
# Below, {glue:text}`ch05_lit` heads under two lights that we make by hand: a smooth one without shadows, and a hard one with a cast shadow and a small highlight.
# The code takes gradients of the luminance $Y$, one number per texel for its light, with a small floor under the logarithm.

# %%
notebook.source(stage4.gradients)
scene = detailing.hand_lit(data)
notebook.tell("ch05", shown.agreement(scene))
figures.show(
    shown.gradients_figure(scene),
    "One head's albedo, and the same head under a smooth and a hard light, each with "
    "the size of its raw and of its log gradient on the face; each column has one "
    "scale. The log gradient of the second row looks like that of the first; the edge "
    "of the hard light's shadow, in the third row, is in both kinds.",
)

# %% [markdown]
# A correlation of 1 would mean that a gradient tells the albedo's exactly, 0 that it tells nothing of it.
# In smooth light the correlation is {glue:text}`ch05_raw_smooth:.3f` raw and {glue:text}`ch05_log_smooth:.3f` log; in hard light {glue:text}`ch05_raw_hard:.3f` and {glue:text}`ch05_log_hard:.3f`.
# The log gradient is the closer one {glue:text}`ch05_log_wins`.
#
# ## Fusion: the phone's gradients, the generator's light
#
# Let $G$ be the generator's texture, enlarged, $T$ the fused texture that we look for, and $B$ a low pass, a blur, that looks at observed texels only.
# In logarithms of linear light (the values of a picture file, decoded), channel by channel,
#
# $$
# \log T = \log I + B\,(\log G - \log I)
# $$ (eq-ch05-fuse)
#
# Written as $(\log I - B \log I) + B \log G$ it is the phone minus its own blur, plus the generator's blur.
# What is finer than the blur, gradients included, stays the phone's as long as the blur is a fixed one; what is coarser, light and colour above all, becomes the generator's.
# Where nothing was seen, $T$ is $G$.
# That is the formula; four corrections make the rest of the code, and with them the blur is no longer fixed: it depends on the pictures.
#
# 1. **Edges of light.** The edge of a cast shadow is finer than any blur, and would stay behind as a dark line with a bright one beside it. So on skin $B$ is a bilateral filter {cite}`tomasi1998bilateral,durand2002bilateral`: it averages $\log G - \log I$ over texels near by *and* of like value, follows a steep step, which it takes for the light's, and smooths over pores and wrinkles, which are shallow.
# 2. **Eyes, brows, lips.** There a steep step is the person's. At eyes and brows $B$ is a plain Gaussian blur; on the lips, which stand out into the light, it is half of each. Brows are raised or knitted, thin or thick, and seldom lie where $G$ draws them; what differs there is no light. So brows are looked for in the phone's texture, as what is darker and greyer than the skin beside them, and the light is read beside them. And beside the lips: $G$'s are the mean of all people's, and theirs keep their own red.
# 3. **Highlights.** A highlight on lips or skin is thin and bright. Where a channel of the phone's texture is brighter than its surroundings by clearly more than $G$ is there, the excess is cut off.
# 4. **Noise.** A camera's noise is about as large in a dark channel as in a light one, so where there is little blue light the logarithm of blue is mostly noise. Pores and wrinkles look alike in all three channels; so outside eyes, brows and lips what the channels share is kept as detail, and what one has alone is taken for noise. How large that noise is tells how much of it must be in the shared part too, which is weakened accordingly {cite}`lee1980noise`.
#
# How wide should $B$ be? Its standard deviation is {glue:text}`ch05_width:.1f` texels here, {glue:text}`ch05_width_coarse:.1f` of G_studio's own, which has fewer: about what it can no longer draw.
# A wider one lets more of the light's soft edges through, a narrower one loses lips and brows of the phone's.
# A better known way is a screened Poisson equation {cite}`perez2003poisson`, which looks for the texture that has the phone's gradients and stays near to $G$.
# That comes to {eq}`eq-ch05-fuse` with another low pass, a linear one, which follows no steps: the edge of a shadow stays in. The figure has both; ours needs no solver, and no rule for the borders of holes.

# %%
notebook.tell("ch05", {"width_coarse": WIDTH * lab.low})
notebook.source(stage4.fuse)
figures.show(
    shown.fusion_figure(lab),
    "Unseen people, one per row: the first, the capture with the largest holes, and "
    "one in very uneven light. Columns: phone texture; visibility (white: seen); G_studio's "
    "texture enlarged; the same with the phone's gradients, by a screened Poisson "
    "equation and by fusion; the true studio texture. Look along the border of the phone's "
    "shadow: what of it is left in the fifth column has leaked. Broad colour that the fourth "
    "and fifth columns share with the third is the generator's.",
)

# %% [markdown]
# Two kinds of edges are not skin, and fusion cannot always tell.
# One belongs to the light: the edge of a shadow that is too faint to be followed or lies on a brow, the rim of a highlight.
# The other is the rim of a hole, where the phone's texels are seen at a grazing angle, and beside which a blur knows one side only.
# Nothing in a gradient says whether an edge is a scar or a shadow; but edges of shadows look different from scars, and that might be learnt.
#
# A colour cast or a wrong exposure of the capture hardly passes through {eq}`eq-ch05-fuse`.
# Where the results have one all the same, it came with $G$: the encoder looks at the badly lit capture, and its code may be mistaken.
#
# ## The tone: what a meter hides
#
# The coarse part is the generator's, and with it the one number that everybody sees first: how light this skin is.
# Its measure here is the *level* $\ell$, the mean natural logarithm of the skin's light; one *log unit* is a factor of 2.7, and 0.69 a factor of two.
# A camera *meters*: it makes dark skin brighter and light skin darker, towards one grey.
# What it records is about
#
# $$
# \ell_\text{phone} = a + s\,\ell + e ,
# $$ (eq-ch05-meter)
#
# with a share $s$ of the true level let through ({glue:text}`ch05_tone_through:.2f`, as the training below learnt it), and an error $e$ of that one picture: a meter that is off, a face half in the shade.
# Log gradients are blind to a factor, and the encoder's code describes the phone texture.
# Yet the level is in the picture: the white of the eyes, lips and brows keep their relation to the skin beside them.
#
# So a network with {glue:text}`ch05_tone_numbers:,` parameters, the *tone network*, reads the level that the skin would have in the studio, and one factor brings G_studio's texture to that level.
# It is ours; the paper has nothing of the kind.
# From the studio textures of {glue:text}`ch05_taught` people alone it would learn people by heart, so under `few` it learns from three things:
#
# - captures of these people, with the level of their studio textures as the answer;
# - their studio textures under random light, as a camera that meters at random would show them, with the same answer;
# - captures of everybody else, whose true level nobody knows. So the network's $\ell$, as $a + s\,\ell$, is compared with the level of the same person's *other* captures. Their $e$ cannot be foreseen from the capture at hand, so the network learns to leave it out {cite}`lehtinen2018noise2noise`.

# %% tags=["hide-input"]
fig, told = shown.tones(lab)
notebook.tell("ch05", told)
figures.show(
    fig,
    "The level of the skin in log units against the true one (lighter skin to the right), "
    "a coloured dot per person: as the phone texture shows it, as G_studio draws it on its "
    "own, and as the tone network reads it; pale dots: all other captures of the split. In "
    "the titles the root of the mean squared error of the coloured dots; on the grey line "
    "nothing is wrong.",
)

# %% [markdown]
# The phone texture's level is wrong by {glue:text}`ch05_tone_phone:.2f` log units, G_studio's by {glue:text}`ch05_tone_g_studio:.2f`, and the one that the network reads by {glue:text}`ch05_tone_tone:.2f`.
# The coloured dots of the first panel have a slope of {glue:text}`ch05_tone_slope:+.2f`, all {glue:text}`ch05_metered` captures one of {glue:text}`ch05_metered_slope:+.2f`; without metering it would be 1. What the few have beyond the many is chance: who met which light. Nor need either be the learnt $s$: that comes from other people and captures, and from more of them.
# The dots spread because of $e$: captures of one person differ by {glue:text}`ch05_metered_within:.2f` log units (standard deviation), the true levels of all people by {glue:text}`ch05_metered_across:.2f`.
# So the level of a capture {glue:text}`ch05_metered_word` the skin's: it explains {glue:text}`ch05_metered_share:.0f` % of its variance.
#
# Hair is treated likewise, with no network: where a capture shows hair and G_studio skin, or the reverse, the capture is right; hair that nobody saw takes the colour of what was seen (`studiolike/tone/hair.py`).
# Everything here, fusion above included, begins with G_studio's texture in that tone.
#
# The chain asks its networks twice, for the capture and for its mirror image, and takes the mean of the textures, where part of what is wrong cancels {cite}`timofte2016seven`; and of three levels, the two that are read so and the one that G_studio draws, the median, so that a single wild one has no say.
#
# A photograph of a real person is another matter, for the network learnt its cues from synthetic eyes and lips.
# So of a photo `studiolike convert` takes what is read as {glue:text}`ch05_lighter:.2f` log units lighter, half of what it is too dark on portraits, as we guess by eye, and keeps skin as light as the photo shows it, as long as that is within {glue:text}`ch05_kept_within:.1f` log units ({ref}`ch07`). Rooms are dim and windows stand behind people: of what the photo is darker, {glue:text}`ch05_kept_darker:.0f` % is kept.
# And synthetic skin lacks blood: the two skins of the ColorChecker chart {cite}`mccamy1976color` are redder. So in a photo's result the ratio of red to green is made {glue:text}`ch05_redder:.0f` % larger.
# Nor does the generator know real faces: what fusion changes between the width of $B$ and {glue:text}`ch05_wider:.0f`/128 of the side is as often the person as the light. So of a photo this band is changed as far as it is strong around a place, within about {glue:text}`ch05_region:.0f`/128, by half where it comes to {glue:text}`ch05_even:.1f` log units; in even light it stays the phone's (`real=True`).
# Its nose is everybody's, with dark sides and hardly a nostril: on a photo's nose all steps are the person's, nostrils, like brows, have no say in the light, and of the drawn nose only what is wider than {glue:text}`ch05_noseless:.0f`/128 counts. And the sides of a nose are seen at a slant, where a texture blended by its visibility is half the generator's: of a photo a texel counts as fully seen from {glue:text}`ch05_counted:.1f` on, and below in proportion.
# Synthetic people lose by all three, which is why they are kept for photographs.
#
# ## The detailer: draw what is still wrong
#
# A diffusion model, in short.
# Training: mix Gaussian noise into a true picture, much or little, and let a network guess what was mixed.
# Drawing: begin with nothing but noise, let it guess, take a part of the guess away, and go on in *steps* until no noise is left.
# Beside the noisy picture the network may be shown more, its *conditions*; then it draws what goes with them.
# Different noise gives different *samples*.
#
# Our detailer does not draw a face; it draws the *residual* $x_0$, what is still wrong with the fused texture (the 0 says: without noise):
#
# $$
# x_0 = (\text{truth} - T)\,/\,c ,
# $$ (eq-ch05-residual)
#
# where the number $c$ brings it to unit variance in training, which a diffusion model expects.
# $T$ is a *real* result: in training, captures are disturbed as in {ref}`ch04`, encoded, drawn by the G_studio of the same protocol, and fused, so that the network sees the errors that it will be asked about.
# The conditions are
#
# - the textures $T$ and $G$;
# - the phone's log gradients along $u$ and along $v$ (by $\operatorname{asinh}$, which leaves small values and compresses large ones);
# - where these can be trusted: in observed texels, but not in the few beside a hole;
# - the place $(u, v)$ in the layout;
# - the light that fusion took away, $\log I - \log T$, which is steep where a shadow ends (`relief` in the code); the released network {glue:text}`ch05_relief`.
#
# For {glue:text}`ch05_hidden:.0f` % of the training samples the phone is hidden: then $T = G$, all that comes from the phone is zero, and the network must know by itself what belongs there.
# At test time `guided=False` does the same.
#
# A residual needs the truth, so only the {glue:text}`ch05_taught` people can teach it, with {glue:text}`ch05_taught_captures` captures; of everybody else in the training set it sees nothing.

# %% tags=["hide-input"]
notebook.tell("ch05", shown.inputs(lab))

# %% [markdown]
# The released model's $c$ is {glue:text}`ch05_scale:.4f`; the residuals of these unseen people have a standard deviation of {glue:text}`ch05_residual_std:.4f`, {glue:text}`ch05_residual_ratio:.1f` times as much.
# The reason to expect more than 1: the detailer has learnt from the very people from whose studio textures G_studio and the tone network learnt, and whom they draw best.
# So it has hardly met errors such as these, and can know only a part of them; how much it takes off is measured below.
#
# ## How it predicts: velocity, down to no signal at all
#
# A noisy residual is $x_t = \alpha_t x_0 + \sigma_t \varepsilon$: at time step $t$ a share $\alpha_t$ of the signal is left, and $\sigma_t$ of the Gaussian noise $\varepsilon$ has come in, with $\alpha_t^2 + \sigma_t^2 = 1$.
# The list of $\alpha_t$ and $\sigma_t$ is the *schedule*.
# The network predicts the velocity $\mathbf{v}$ {cite}`salimans2022progressive` (bold; $v$ stays a coordinate):
#
# $$
# \begin{aligned}
# \mathbf{v} &= \alpha_t\, \varepsilon - \sigma_t\, x_0, \quad\text{so that} \\
# x_0 &= \alpha_t\, x_t - \sigma_t\, \mathbf{v}
# \end{aligned}
# $$ (eq-ch05-velocity)
#
# At the last time step of a common schedule a little signal is left ($\alpha_t =$ {glue:text}`ch05_left_over:.3f` for the dashed curve below), so a network trained with it has never seen pure noise, where drawing begins.
# We take a cosine schedule, which nearly ends at zero, and rescale it to end there exactly {cite}`lin2024zerosnr`.
# There the noise $\varepsilon$ would say nothing about $x_0$ (one would have to divide by $\alpha_t = 0$), and the velocity still does.
#
# **One step is a regression.** Asked at pure noise, where its input holds nothing of $x_0$, the network can only answer with the mean of all that the conditions allow, and a single step stops there; from the second step on, something is sampled.
# Our number of steps is {glue:text}`ch05_steps`; a figure below says why.
#
# In the loss $L$ each time step has a weight $m_t$ that follows from its signal-to-noise ratio, $\mathrm{SNR}_t$: Min-SNR-5 {cite}`hang2023minsnr`.
# It falls to zero at both ends.
# Towards pure noise, where drawing begins and few steps are longest, the network would hardly be taught; so we keep a floor $f =$ {glue:text}`ch05_floor:.1f`, which is our addition, and which lifts the other end too, where there is hardly any noise.
# With $\hat{\mathbf{v}}$ for what the network predicts:
#
# $$
# \begin{aligned}
# L &= \mathbb{E}_{t,\varepsilon}\ m_t\, \lVert \hat{\mathbf{v}} - \mathbf{v} \rVert^2 \\
# m_t &= \max\!\Big(\frac{\min(\mathrm{SNR}_t, 5)}{\mathrm{SNR}_t + 1},\ f\Big) \\
# \mathrm{SNR}_t &= \alpha_t^2 / \sigma_t^2
# \end{aligned}
# $$ (eq-ch05-loss)
#
# Cut into blocks of 2×2 texels, the residual has four *bands*: the blocks' mean, and the differences in them along $u$, along $v$ and along both.
# The mean brightness of the blocks holds {glue:text}`ch05_coarse_share:.0f` % of its power (its variance): most of what is wrong is broad light, and fine detail is the smaller part of what a *detailer* is asked for.
# A network that meets all bands at once would spend its first steps on learning their sizes.
# So these are built in: in each band, for brightness and two colours,
#
# $$
# \hat{\mathbf{v}} = k\,x_t + r \cdot \text{network} ,
# $$ (eq-ch05-precondition)
#
# where $k\,x_t$ is the best guess of $\mathbf{v}$ that is a multiple of $x_t$, and $r$ the standard deviation of what it leaves to the network; both follow from $t$ and the band's power, as in EDM {cite}`karras2022edm` for a whole picture.

# %% tags=["hide-input"]
notebook.source(network.precondition)
notebook.tell("ch05", shown.schedule(lab))
notebook.tell("ch05", {"steps": settings.detail.sample_steps})

# %% [markdown]
# ## A fresh detailer, and the released one
#
# A fresh network, trained for a moment on small crops of real results, beside the released one.
# The training reads the set through `permitted`: asking for a studio texture that the protocol `few` does not show would raise an error.
# Look at *where* things are, not how sharp they are: unguided detail may look right and still be somebody else's.

# %%
beginner, log = lab.train()
losses = np.array(log["loss"])
guided, unguided = lab.draw(), lab.draw(guided=False)
columns = {"phone": lab.phone, "G_studio": lab.enlarged, "unguided": unguided}
columns |= {"fusion": lab.fused, "live": lab.draw([0, lab.uneven], model=beginner)}
figures.show(
    shown.zoom_figure(lab, columns | {"guided": guided, "truth": lab.truth}),
    "Two unseen people, the second in the most uneven light of the others, whole and "
    "zoomed in: phone texture; G_studio's texture; the released detailer without the "
    "phone (unguided); fusion alone; the detailer after the short run (live); the "
    "released detailer (guided); and the true studio texture.",
)
third = max(len(losses) // 3, 1)
facts = {"loss_first": losses[:third].mean(), "loss_last": losses[-third:].mean()}
facts |= {"live_images": settings.live_images}
facts["images"] = weights.read_card("detailer", protocol="few")["images"]
notebook.tell("ch05", facts)

# %% [markdown]
# After {glue:text}`ch05_live_images` crops the weighted loss of the fresh one went from {glue:text}`ch05_loss_first:.3f` (mean of the first third) to {glue:text}`ch05_loss_last:.3f` (of the last); the released one saw {glue:text}`ch05_images:,`.
# The linear guess is there from the first step on, so what falls here is what a network can know beyond it.
#
# In Jupyter or Colab a picture with three controls follows: whether the phone is seen, how many steps, which noise; every move draws the first person anew. On this page there is none.

# %% tags=["remove-output", "nbval-ignore-output"]
explore(
    lambda phone, steps, seed: lab.draw(
        [0], guided=phone == "seen", steps=steps, seed=seed
    )[0],
    "the first person, detailed",
    phone=["seen", "hidden"],
    steps=(1, 16, settings.detail.sample_steps),
    seed=(0, 9, 0),
)

# %% [markdown]
# ## Does the detailer earn its place, and in how many steps?
#
# Its rivals are G_studio's texture as it is, the two closed forms, and itself without the phone.
# Over observed texels of the head we measure ([the page of metrics](../notation-and-metrics.md) tells more):
#
# | measure | what it tells |
# |---|---|
# | PSNR, dB | closeness texel by texel; it likes blur. 1 dB more: a fifth less squared error |
# | fitted PSNR, dB | the same after the best gain for each colour: what is left when being too light or too dark is forgiven |
# | perceptual@*n* | at *n*×*n* texels: distance of features of a public network that no loss has seen; the last column has it for the holes |
# | low-band error | light and colour after a wide blur, in log units |
# | identity | cosine of the two vectors that a network makes of the two faces; 1 is the same face |
# | gradient correlation | do the log gradients stand where the truth has them, to about a texel? |
#
# What counts as much? The last row of the first table is a yardstick: the true texture of *somebody else*.
# By perceptual distance a blurred right person may be as far from the truth as a sharp wrong one; identity tells them apart.
#
# The words of the second table are stricter than its intervals.
# It asks {glue:text}`ch05_comparisons` questions at once, and of so many some would come out by luck, so each has to be clearer than one that stands alone (Holm's correction, of sign-flip tests over people): an interval without 0 can still be *cannot tell*.

# %% tags=["hide-input"]
results = {"G_studio": lab.enlarged, "Poisson": lab.poisson, "fusion": lab.fused}
results |= {"unguided": unguided, "guided": guided}
found = detailing.scores(lab, results)
judged = detailing.judged(found, "guided", lab.people)
other = detailing.scores(lab, {"somebody else's truth": lab.truth.roll(1, 0)})
shown.worth(found | other, judged, lab.size)
notebook.tell("ch05", shown.told(judged, found))
pair = {"fusion": lab.fused, "guided": guided}
notebook.tell("ch05", shown.recorded(lab, pair))
notebook.tell("ch05", shown.registered(lab))
some = slice(0, 4)
by_steps = lab.by_steps(some)
figures.show(
    shown.steps_figure(by_steps),
    "Perceptual distance and gradient correlation of guided detail against the number "
    "of sampling steps, mean of the first captures. More steps draw more grain, which need not be the truth's.",
)
best = min(by_steps, key=lambda steps: by_steps[steps][0])
notebook.tell("ch05", {"best_steps": best, "some": len(lab.phone[some])})

# %% [markdown]
# The guided detailer, on these {glue:text}`ch05_people` people:
#
# - against **fusion alone**, better in: {glue:text}`ch05_wins_fusion`; worse in: {glue:text}`ch05_losses_fusion`; cannot be told in: {glue:text}`ch05_open_fusion`.
# - against **itself without the phone**, better in: {glue:text}`ch05_wins_unguided`; worse in: {glue:text}`ch05_losses_unguided`.
#
# It takes {glue:text}`ch05_taken:.0f` % off the squared error that fusion leaves in what was seen, all texels of all people in one sum, where the worst results count most; the table's dB are means over people.
#
# **Its place.** One rule: the detailer must be better than fusion alone in perceptual distance, in the low band *and* in identity, or it stays off.
# On these people it is better in {glue:text}`ch05_earns` of the {glue:text}`ch05_asked`, and the chain's default is {glue:text}`ch05_default`, {glue:text}`ch05_default_fits`.
# The claim ledger has asked the same of more: all {glue:text}`ch05_ledger_people` people of the split, {glue:text}`ch05_ledger_seeds` fresh captures each, at {glue:text}`ch05_ledger_size`², perceptual distance on the face. There it is better in {glue:text}`ch05_ledger_earns` of the {glue:text}`ch05_asked`; by the rule, fewer than all are not enough.
# It gains {glue:text}`ch05_ledger_gain:.0f` % of the perceptual distance there.
# The claim at the end of this page, that diffusion adds to fusion, asks less than the rule: nothing of the low band, nor of identity.
# A public face network that learnt from photographs sees results of fusion at a distance of {glue:text}`ch05_face_fusion:.3f` from the truth and the detailer's at {glue:text}`ch05_face_guided:.3f`: *{glue:text}`ch05_face_word`*.
# None of this says how it does on photographs, of which it has seen none.
#
# **Why gradients are compared after a blur of one texel in 256.** A phone's texels do not lie exactly where the truth's do: of {glue:text}`ch05_people` fused textures {glue:text}`ch05_aside` fit it better when they are moved, by {glue:text}`ch05_aside_texels:.1f` texels (median).
# Compared texel by texel a pore that sits beside its place is wrong twice, and a coarse texture without pores is wrong once: fusion's correlation would be {glue:text}`ch05_sharp_fusion:.3f`, {glue:text}`ch05_sharp_word` G_studio's {glue:text}`ch05_sharp_g_studio:.3f`.
# With each texture moved to where it fits best it is {glue:text}`ch05_moved_fusion:.3f`, {glue:text}`ch05_moved_word` {glue:text}`ch05_moved_g_studio:.3f`: {glue:text}`ch05_moved_sentence`.
#
# **Steps.** Each costs a pass of the network.
# On {glue:text}`ch05_some` captures the perceptual distance is smallest when the number of steps is {glue:text}`ch05_best_steps`; our setting is {glue:text}`ch05_steps`.
#
# ## What nobody saw: invented or borrowed
#
# In more than one step a diffusion model samples: different noise, different detail.
# Where the conditions tell it what to draw the samples should agree; in holes they may not.
# Detail in a hole is invented, however good it looks.
#
# A generator, or a single step, paints the mean of all that is possible: hair without strands, ears without folds, and a visible border where the photograph ends.
# So the chain *borrows*.
# Of {glue:text}`ch05_exemplars` exemplars, studio textures of people of the few-shot set, it takes the one that is most like the generator's picture in the hole, or its mirror image, and puts the exemplar's detail on the generator's light as in {eq}`eq-ch05-fuse`, the exemplar in the phone's place: texture transfer by example {cite}`efros2001quilting`.
# Hair lends to hair and skin to skin, and of skin only what is fine, faint and no rougher than the skin that was seen: blotches, a mole, a stubbly chin or a hairline are somebody's own.
# Observed texels stay as they are, and so do eyes and brows, by which people are known. Lips that were not seen where they meet are painted in the colour of those that were, with the mean line of all exemplars between them.

# %% tags=["hide-input"]
notebook.tell("ch05", shown.samples(lab))
notebook.tell("ch05", shown.borrowed(lab))

# %% [markdown]
# In observed texels the spread of guided samples is {glue:text}`ch05_spread_drop:.2f` times that of unguided ones: {glue:text}`ch05_spread_word`.
# What the phone tells is in $T$ before sampling begins; what is sampled is what $T$ leaves open.
# So agreement is no measure of knowledge, and likeness is: see the table before.
# In holes the spread is {glue:text}`ch05_spread_holes:.2f` times what it is in observed texels.
#
# The verdicts on borrowing in the holes, against fusion alone: {glue:text}`ch05_lent_perceptual` in perceptual distance, {glue:text}`ch05_lent_psnr` in PSNR.
# A mean is the safest guess texel by texel, and looks like nobody; somebody else's strands are a wrong guess that looks right.
# It is an invention either way: use `borrow=False` where a reader must not be shown what nobody saw; then the generator's dark band stays between the lips.
#
# ## What passes of the light
#
# First **colour and exposure**, the first prediction: the same captures darker and in yellow light, with the same texture of G_studio.
# (In the whole chain the encoder sees the change as well, so a yellow capture can come back yellow by its code; here we ask what passes through fusion and detailer.)
#
# Then **edges**.
# For both kinds that are not skin, $G$ is made ideal: the true texture, shrunk and enlarged.
# So whatever is wrong in the fusion came from the phone, or is too fine for $G$, and the question is what the detailer makes of it.
# The heads are those of the first experiment, under its two lights and, for comparison, with no shading at all; and captures with holes.

# %%
passed = lab.colour_passed(guided, some)
notebook.tell("ch05", shown.colour_passed(passed))
assert all(fused < given / 2 for given, fused, _ in passed.values())
notebook.tell("ch05", shown.leaks(lab, scene))

# %% [markdown]
# Of the change of exposure or colour at most {glue:text}`ch05_passed:.0f` % passes through fusion, and {glue:text}`ch05_passed_all:.0f` % arrives in the result.
#
# Without any shading the mean error of fusion on the face is {glue:text}`ch05_fused_flat:.4f`: lines at eyes, mouth and outline that $G$ is too coarse for, or that the studio's own light draws.
# In smooth light it is {glue:text}`ch05_fused_smooth:.4f`, in nearly the same places (correlation of the two maps: {glue:text}`ch05_flat_like:.2f`); in hard light {glue:text}`ch05_fused_hard:.4f`, and {glue:text}`ch05_leak_edges:.1f` times as large on the edges of the light as elsewhere on the face.
# With a blur that follows no edges it would be {glue:text}`ch05_leak_plain:.2f` times what it is there (above 1: following them helps).
# At the rims of holes it is {glue:text}`ch05_leak_rims:.1f` times what it is in the rest of what was seen.
#
# The detailer makes the error smaller here: {glue:text}`ch05_mended`.
# It makes it larger here: {glue:text}`ch05_spoilt`; at most {glue:text}`ch05_spoilt_most:.1f` times.
# Of what it changes in smooth light {glue:text}`ch05_broad:.0f` % is broad (left by a blur of 6 texels in 256): it has learnt that G_studio's broad light is wrong, and mends it where it is right, too.
# So look in the figure's last column for what is broad and faint, which the detailer has added, and then at the lines, whether they are thinner than fusion's.
# It was trained on the chain's errors, not on leaks as such; what is left of those a reader of the result will take for a scar, a fold or a stain.
#
# ## Claims of the paper, tested here
#
# What the claims call diffusion is the detailer; in a single step it is a regression.
#
# <!-- claims -->
#
# ## Exercises
#
# A cell with a stub ends in a check: put your answer in place of `...` and run it.
# The check says that the answer is right, or what kind of mistake it looks like.
# A folded solution follows each exercise.
#
# ```{exercise-start} Recall: what comes through?
# :label: ex-ch05-passes
# ```
# The low pass of the fusion is a plain Gaussian here, `edges=False`.
# What of the phone texture is in the fused one?

# %% tags=["exercise"]
from studiolike.exercises import ch05

passes = {  # "stays out" or "comes through"
    "the exposure of the phone": ...,
    "the colour of the lamp": ...,
    "a broad, smooth shadow": ...,
    "pores and stubble": ...,
    "the edge of a cast shadow": ...,
    "the rim of a hole": ...,
}
ch05.check_passes(passes)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch05-passes
# :class: dropdown
#
# ```python
# passes = {
#     "the exposure of the phone": "stays out",
#     "the colour of the lamp": "stays out",
#     "a broad, smooth shadow": "stays out",
#     "pores and stubble": "comes through",
#     "the edge of a cast shadow": "comes through",
#     "the rim of a hole": "comes through",
# }
# ```
#
# The blur decides by width alone.
# Exposure and colour are as wide as can be; edges of light are as fine as skin.
# That is why the low pass of the package follows steep steps on skin (`edges=True`); it then takes a steep step of pigment for light as well, where G does not know it.
# ````
#
# ```{exercise-start} Code: a blur that knows of holes
# :label: ex-ch05-blur
# ```
# Fusion needs a blur that looks at observed texels only.
# Write it with the plain Gaussian of the package, `studiolike.image.blur(x, sigma)`, and the mask as a weight.
# The check looks at observed texels, and puts junk into the holes.

# %% tags=["exercise"]
from studiolike.exercises import ch05


def blur_seen(x, mask, sigma):
    return ...  # x (B, 3, H, W), mask (B, 1, H, W) in [0, 1]


ch05.check_masked_blur(blur_seen)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch05-blur
# :class: dropdown
#
# ```python
# from studiolike.image import blur
#
#
# def blur_seen(x, mask, sigma):
#     return blur(x * mask, sigma) / blur(mask, sigma).clamp_min(1e-6)
# ```
#
# The numerator sums what was seen, the denominator says how much weight arrived.
# So a constant texture stays what it is up to the rim of a hole: *normalised convolution*.
# ````
#
# ```{exercise-start} Code: from velocity to residual
# :label: ex-ch05-clean
# ```
# The sampler holds a noisy residual $x_t = \alpha\, x_0 + \sigma\, \epsilon$ with $\alpha^2 + \sigma^2 = 1$, and the network says $\mathbf{v} = \alpha\, \epsilon - \sigma\, x_0$ (`v` in the code).
# Find $x_0$, in a form that needs no division.

# %% tags=["exercise"]
from studiolike.exercises import ch05


def clean(noisy, v, signal, sigma):
    return ...  # signal is α; your code


ch05.check_clean(clean)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch05-clean
# :class: dropdown
#
# ```python
# def clean(noisy, v, signal, sigma):
#     return signal * noisy - sigma * v
# ```
#
# $\alpha x_t - \sigma \mathbf{v} = \alpha^2 x_0 + \alpha\sigma\epsilon - \sigma\alpha\epsilon + \sigma^2 x_0 = x_0$.
# A network that predicts $\epsilon$ leaves $(x_t - \sigma\epsilon)/\alpha$, which has no value where there is no signal.
# ````
#
# ```{exercise-start} Explain: two floors
# :label: ex-ch05-floor
# ```
# `gradients` takes the logarithm of $Y + 0.03 \cdot \bar Y$, with $\bar Y$ the mean luminance of the observed texels; `fuse` with `edges=False` takes that of the light plus a fixed floor.
# Which of the two is exactly unchanged by a darker exposure?
# What would you gain, and what would you lose, by giving `fuse` the other floor?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch05-floor
# :class: dropdown
#
# With a floor that scales with the exposure, $\log(cY + c\,0.03\,\bar Y) = \log c + \log(Y + 0.03\,\bar Y)$, and every gradient is unchanged.
# With a fixed floor, a darker exposure moves texels towards the floor and shrinks their gradients: part of the small change of the fusion in the table above is of that kind.
# But in a dark capture sensor noise is large in comparison with the light; a floor that follows the exposure down amplifies it, and a fixed one holds it back.
# So the chain does a bit of both: with `edges=True` each channel is first brought to the level of $G$, but at most made three times as light (`noise.MOST`), and noise is taken out.
# ````
#
# ```{exercise-start} Explain: the measure that likes blur
# :label: ex-ch05-psnr
# ```
# The enlarged coarse texture may have a higher PSNR than a sharp result that looks much better.
# Explain it with one mole that sits two texels aside.
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch05-psnr
# :class: dropdown
#
# A sharp mole in the wrong place is wrong twice: where it is drawn, and where it is missing.
# No mole at all is wrong only once.
# Mean squared error prefers the blurred average of all places, so it must be read beside measures that know structure.
# ````
#
# ```{exercise-start} Research: how wide is fine?
# :label: ex-ch05-width
# ```
# Call `fuse` with `edges=False`, and with a quarter and four times its `width`, on the heads in hard light and on the captures.
# Which of the two leaks more of the light, and what does the other one lose?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch05-width
# :class: dropdown
#
# A wide blur keeps more of the phone: whole soft shadows are finer than it, and come along.
# A narrow one keeps only what is finer than a texel or two: light stays out, and so do brows, lips and stubble, for which the generator's coarse drawing must then do.
# The width is a trust in the generator's resolution: it should be about as wide as what the generator cannot draw.
# ````
#
# ```{exercise-start} Research: four times the texels
# :label: ex-ch05-size
# ```
# Call `detail` with a phone texture of twice the detailer's size on each side.
# Read its source: which part of the result does the diffusion model draw, and who draws the rest?
# What follows for holes?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch05-size
# :class: dropdown
#
# The phone texture is shrunk to the detailer's size, the detailer repairs the fusion there, the result is enlarged, and the phone is fused once more, with a blur of less than a texel of the smaller size.
# So the finest octave is the phone's alone, leaks included, and costs no sampling.
# In holes there is no phone: they are as sharp as the detailer's size and not sharper.
# ````
#
# ## Determinism
#
# The noise of every sample comes from a seeded generator, and so does every training step, so two executions on one machine and one number of threads agree.
#
# ## Summary
#
# - $\nabla \log I = \nabla \log A + \nabla \log S$: the log gradient is the albedo's where the light is smooth, and only there.
# - Fusion is one formula, the phone above a blur, the generator below it, and four corrections; colour casts and exposure hardly pass through it (they may come in with the generator, where its code is mistaken), but edges of the light and rims of holes do.
# - How light the skin is, a metered picture hides; eyes, lips and brows beside it tell.
# - The detailer predicts the velocity of what is still wrong; a single step of it is a regression. It was trained on real results of the chain, and leaves up to {glue:text}`ch05_spoilt_most:.1f` times the error where these are right.
# - It must be better than fusion alone in perceptual distance, in the low band and in identity, or it stays off; it is in {glue:text}`ch05_earns` of the three on {glue:text}`ch05_people` people, and in {glue:text}`ch05_ledger_earns` on {glue:text}`ch05_ledger_people` with {glue:text}`ch05_ledger_seeds` captures each.
# - Whose detail it is, the phone tells by way of $T$: without it the detailer is further from the truth in {glue:text}`ch05_wins_unguided`; its samples agree with each other {glue:text}`ch05_agree`. In holes the detail is only plausible.
#
# {ref}`ch06` puts the finished texture on a head and judges the whole chain.
#
# ## References
#
# <!-- references -->
