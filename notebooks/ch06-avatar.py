# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch06)=
# # The avatar, and how good it is
#
# <!-- run box -->
#
# The stages of the last five chapters become one call: a phone texture goes in, a studio-like one comes out, and a head that can be turned is made of it.
# We then ask the only question that matters, on people the networks never saw and beside rivals that need no training at all: was it worth it?

# %% [markdown]
# ## What you will learn
#
# - Run the whole chain, `StudioPipeline`, and read its intermediate results.
# - Compare it fairly: against doing nothing, against an answer that ignores the question (one mean face for everybody), and against a strong rival that needs no learning.
# - Put an interval on every number, and let a test decide which words may be used.
# - See where a mean hides a failure: by light, by skin tone, by the worst case.
# - Export a textured head as GLB, and know what this avatar cannot do.
#
# **You need** the stages of {ref}`ch01` to {ref}`ch05` in outline; the code here starts from the released weights.
# [Notation and metrics](../notation-and-metrics.md) has every symbol and measure on one page.
#
# **Which weights.** The chain is judged with the networks of the protocol `few`, the paper's question: studio textures of a few people only.
# Beside it stands the chain of the protocol `open`, which the command line and {ref}`ch07` use and which has learnt from every studio texture that our generator of heads gave it, except those of the splits "val" and "test".
# It tells what more studio data is worth, and is no answer to the paper's question.
#
# This is the only chapter that reads the split "test": no training and no choice of settings has looked at these people, and the sets of the other chapters do not hold them.
# The heads are synthetic: a declared stand-in for people.
# They give us what no collection of photographs can, the true studio texture of every subject, and they make every sentence of this chapter a sentence about synthetic heads.
#
# ## Predict before you run
#
# Choose before you read on.
#
# ```{predict} 1. One "method" answers with the same mean face for everybody. In which metrics will it look good?
# - [ ] In none: it is nobody's face.
#   Most metrics do not ask whose face it is.
# - [x] In all that reward the absence of light.
# - [ ] In identity: a mean face is near to everybody's.
#   Near to everybody is near to nobody in particular.
#
# Nothing of the capture survives, so nothing varies with the light.
# Often it looks good in PSNR too, because a smooth mean is never far from anybody.
# It has to fail in identity, which is why no single number may decide.
# ```
#
# ```{predict} 2. Every method has to beat the phone texture as it came. Where is that harder: where the camera looked, or in the holes?
# - [x] Where the camera looked.
# - [ ] In the holes.
#   What does the phone texture show there?
#
# Where the camera looked, the phone texture is a strong rival, for it shows the right person, under the wrong light.
# In the holes it has only smeared colour, and whoever knows what heads look like can win.
# Compare the two PSNR columns of the first table below.
# ```
#
# ```{predict} 3. Suppose that we measure 64 captures, two of each of 32 subjects. How many independent measurements are these?
# - [ ] 64.
#   The two captures of one subject share the face.
# - [x] About 32.
# - [ ] 2.
#   The subjects do not depend on each other.
#
# Two captures of one subject share the face, so their errors are alike; treating them as independent makes intervals too narrow.
# ```

# %% tags=["parameters"]
profile = (
    "auto"  # "smoke", "cpu", "gpu" or "paper"; "auto" takes what fits this machine
)

# %% tags=["hide-input"]
from pathlib import Path

import numpy as np
import torch
from IPython.display import Markdown, display

from studiolike import avatar, evaluation, recipes, weights
from studiolike.chapters import examination as shown
from studiolike.chapters import figures, interactive, notebook
from studiolike.chapters.detailing import default_steps
from studiolike.chapters.live import explore
from studiolike.experiments.examination import Examination
from studiolike.pipeline import StudioPipeline

settings = recipes.chapter_profile(profile)
figures.apply_style()
device = "cuda" if torch.cuda.is_available() else "cpu"
data = recipes.chapter_set(settings, detailed=True, test=True)
exam = Examination(settings, data, device)
assert exam.nobody_looked()  # at any subject of the split "test"
facts = {"subjects": len(exam.people), "captures": len(exam.rows)}
steps = default_steps()
facts["steps"] = settings.detail.sample_steps
facts["default"] = f"with {steps} steps of it" if steps else "without it"
notebook.tell("ch06", facts)

# %% [markdown]
# ## The chain in one call, and its rivals
#
# Let $x$ be the phone texture and $v$ its visibility.
# The encoder $E$ of {ref}`ch02` finds the face's code $w^+$; from it $G_\text{studio}$ of {ref}`ch04`, brought to the tone that the capture tells, draws the studio texture $\hat s$; fusion ({ref}`ch05`, with $I$, $G$, $T$ for our $x$, $\hat s$, $f$) puts the phone's detail on it; and the detailer adds what it finds missing:
#
# ```{math}
# :label: eq-ch06-chain
# \begin{aligned}
# w^+ &= E(x, v) \\
# \hat s &= G_\text{studio}(w^+) \\
# f &= \text{fuse}(x, v, \hat s) \\
# y &= f + \text{detail}\big(f, \hat s, x, v\big)
# \end{aligned}
# ```
#
# Here $y$ is the result.
# The authors state the order code, studio generator, diffusion model {cite}`athar2024bridging`; the sizes, the sampler, the tone and the fusion are our choices.
# So is taking the encoder's code as it is: $G_\text{studio}$ was trained on such codes, and an optimised one ({ref}`ch03`) lies where it has never been.
# Where nothing was seen, $y$ takes the detail of an exemplar at the end ({ref}`ch05`).
# Nothing is tuned to a person: all that is computed for a new capture is its code $w^+$, a blur, and one run of the sampler.
# The chain is examined here with its detailer, {glue:text}`ch06_steps` steps of it; the command line runs it {glue:text}`ch06_default`.
#
# A method is only as good as the simplest thing that it beats.
#
# - `nothing` is the phone texture as it is.
# - `mean_studio` is the average texture of the few-shot studio set: always the same answer, whoever is asked for.
# - `colour_transfer` gives the texture the mean and spread of colour of that average {cite}`reinhard2001colour`.
# - `quotient` divides out the phone texture's low frequencies and puts in those of the average, in the spirit of the retinex and of the quotient image {cite}`land1971retinex,shashua2001quotient`.
# - `generator` is our chain stopped after $\hat s$, and `fusion` is $f$, stopped before the detailer; they tell what the last steps are worth.
# - `chain` is the chain of {eq}`eq-ch06-chain` under the protocol `few`, and `chain (open)` the same under `open`.
#
# The quotient is the one to fear.
# With a blur $B_v$ that looks only at observed texels, and the mean studio texture $m$, it is, in linear light,
#
# ```{math}
# :label: eq-ch06-quotient
# y_\text{quotient} = x \cdot \frac{B_v\, m}{B_v\, x}.
# ```
#
# Light is mostly low-frequency and multiplies the skin's own colour, so it cancels.
# What pigment has in low frequencies cancels with it, and comes back as the average person's.

# %% tags=["hide-output"]
notebook.source(StudioPipeline.__call__)
notebook.source(evaluation.quotient)

# %% [markdown]
# ## The numbers, with their uncertainty
#
# `evaluate` gives every method the same captures and compares its output with the true studio texture.
# The region that a camera saw and the holes are measured apart: a method may copy the first, and has to invent the second.
# The table is saved as JSON beside the run, so that each number below can be traced to one capture.
#
# Every entry is a mean over {glue:text}`ch06_captures` captures of {glue:text}`ch06_subjects` people, {glue:text}`ch06_each:.0f` of each, with a 95 % interval.
# The interval comes from drawing whole *subjects* with replacement, each with all of its captures {cite}`field2007clustered`: with $m_c$ the measure of capture $c$, for the drawn subjects $S^*$,
#
# ```{math}
# :label: eq-ch06-bootstrap
# \bar m^* = \frac{\sum_{s\in S^*}\sum_{c\in s} m_c}{\sum_{s\in S^*} |s|}
# ```
#
# is the mean of one drawing, where $|s|$ counts the captures of subject $s$.
# Of many drawings the interval leaves out the 2.5 % with the smallest and the 2.5 % with the largest mean.

# %%
table = exam.run_all("runs/ch06/evaluation.json")
close = [m for m in shown.METRICS if m.startswith(("psnr", "low", "perceptual"))]
who = [m for m in shown.METRICS if m not in close]
display(Markdown("**How close to the truth**\n\n" + table.markdown(close, more=True)))
display(Markdown("**Who is it, in which light**\n\n" + table.markdown(who)))
judge = weights.read_card("identity_eval")["metrics"]
each = np.bincount(np.unique(table.subject, return_inverse=True)[1])
facts = {
    "each": each.mean(),
    "judge": table.networks["faceid"],
    "eye": table.networks["perceptual"],
}
notebook.tell("ch06", facts | {"judge_auc": judge["val_auc"]})
print(f"the chain took {table.estimate('chain', 'seconds').mean:.1f} s for each face")

# %% [markdown]
# Read these tables with their judges in mind.
#
# - **PSNR**, in dB, stands there as it is, and after the three gains, one per colour, that fit the truth best (*fitted*): nobody can read the exposure of a studio off one phone capture.
# - **Low-band error** is the root mean square of log luminance and log chroma after a blur of 6 texels at 256²: light lives there, and sharpness cannot buy it.
# - **Perceptual** distance {cite}`zhang2018lpips` is measured by a public network that was trained on photographs ({glue:text}`ch06_eye`; the number after the @ is the side at which it looks).
# - **Identity cosine** {cite}`deng2019arcface` is measured by a network of our own ({glue:text}`ch06_judge`), trained on synthetic heads. On unseen subjects it tells two captures of one person from two of different people with an area under the ROC curve of {glue:text}`ch06_judge_auc:.2f` (0.5 is guessing, 1 is perfect), so trust its verdicts that far and no further.
# - **Colour** error is CIEDE2000 {cite}`sharma2005ciede` on low-passed skin; **asymmetry** is the difference of light between left and right; **variance over lights** is that of the outputs divided by that of the inputs.
# - **KID** {cite}`binkowski2018kid` compares the whole set of outputs with studio textures of *other* held-out people.
#
# No loss of any stage has seen either network.
# They are not the networks of the published LPIPS or of ArcFace: their numbers compare methods inside this book, and nothing else.
#
# ## Which words may we use?
#
# The words in the next table are computed, not written.
# If chain and rival were equally good, the sign of each person's *paired* difference would be a coin toss; the p-value is the share of all tosses that give as large a mean.
# A table asks many questions at once, and some would be answered by chance, so its p-values are corrected together (Holm): with a probability of 95 % no "better" and no "worse" in it is wrong.
# Otherwise the two cannot be told apart on these subjects; with a handful, as in the smoke profile, nothing can.

# %% tags=["hide-input"]
notebook.source(evaluation.verdicts)
judged = table.verdicts("chain", metrics=list(shown.METRICS))
words = table.versus("chain", metrics=list(shown.METRICS), labels=shown.METRICS)
display(Markdown(words))
notebook.tell("ch06", shown.told(judged))
figures.show(
    shown.dots_figure(table),
    "Means hide people, so here is every subject as a dot. Each method is a row, with "
    "its mean and a 95 % interval over subjects: PSNR where the camera looked, PSNR in "
    "holes, identity cosine and asymmetry. The arrow in each title points to better.",
)

# %% [markdown]
# Against doing nothing and against colour transfer we promised an advantage in PSNR and in perceptual distance, in the observed region and in the holes.
# Of these {glue:text}`ch06_promised` comparisons the chain wins {glue:text}`ch06_kept`; it is measurably worse in: {glue:text}`ch06_lost`.
#
# - Against **nothing** it is better in: {glue:text}`ch06_wins_nothing`; worse in: {glue:text}`ch06_losses_nothing`.
# - Against the **quotient**, which has learnt nothing but one mean texture, it is better in: {glue:text}`ch06_wins_quotient`.
#   **The quotient is better than the chain in: {glue:text}`ch06_losses_quotient`.**
# - Against the **mean face** it is better in: {glue:text}`ch06_wins_mean_studio`; worse in: {glue:text}`ch06_losses_mean_studio`.
#   The mean face varies with nothing, so it cannot be beaten in variance over lights; the identity column is where it pays.
# - Against **its own generator** it is better in: {glue:text}`ch06_wins_generator`; worse in: {glue:text}`ch06_losses_generator`.
# - Against **its own fusion without the detailer** it is better in: {glue:text}`ch06_wins_fusion`; worse in: {glue:text}`ch06_losses_fusion`.
# - The chain of the protocol **open** is worse than that of `few` in: {glue:text}`ch06_wins_open`; better in: {glue:text}`ch06_losses_open`.
#   That is what studio textures of many people are worth, with everything else the same.
#
# Rivals that learn, such as a U-Net trained on the pairs, have to be trained first: they stand, with what brief and long trainings make of them, on [the page of the rivals](../rivals.md).
# Where a rival that takes milliseconds wins, use the rival; how long the chain took for a face stands below the tables.
#
# ## Best, median, worst
#
# Pictures are chosen by a rule and not by hand: the best, the median and the worst capture of the chain by PSNR over the face.

# %%
notebook.tell("ch06", shown.cases(exam, table))

# %% [markdown]
# From best to worst the chain spans {glue:text}`ch06_best:.1f` to {glue:text}`ch06_worst:.1f` dB over the face, with a median capture of {glue:text}`ch06_median:.1f` dB.
# Look for three things: is the light gone, is it still the same person, and is the skin's colour right?
# These are different failures, and one number cannot tell them apart.
#
# ## By severity of the light
#
# Uneven light is the reason for the whole method, so a fair table asks where it helps.
# `severity` is the generator's own measure of how uneven the light on the face was, between 0 and 1; no real data set could give it.
# People differ in much more than their light, so whether it costs quality is asked *within* people: does the capture of a person in more uneven light come out worse than the other one of the same person?

# %%
score = table.values["chain"]["psnr/face"]
uneven = evaluation.trend(table.severity, score, table.subject)
figures.show(
    shown.severity_figure(table),
    "PSNR in the observed region and asymmetry for mild, medium and severe light: "
    "doing nothing, quotient and chain, with 95 % intervals over subjects. A method "
    "that removes the light has a level line.",
)
says = "falls", "grows", "shows no trend that these subjects could resolve"
slope = uneven.difference
facts = {"trend": slope.mean, "trend_low": slope.low, "trend_high": slope.high}
notebook.tell("ch06", facts | {"trend_verdict": uneven.say(*says)})

# %% [markdown]
# Within people, the chain's error over the face {glue:text}`ch06_trend_verdict` with the severity of the light: PSNR changes by {glue:text}`ch06_trend:+.1f` dB [{glue:text}`ch06_trend_low:+.1f`, {glue:text}`ch06_trend_high:+.1f`] for one unit of it.
#
# That is two lights a person.
# The record `severity` of [the ledger](../ledger.md) has other people, each under four lights from the most even to the least, several times, and the chain without its detailer:

# %%
figures.show(
    shown.severity_curve(),
    "From the ledger: the chain's low-band error, PSNR where the camera looked and "
    "identity cosine against the severity of the light, under the protocols few and "
    "open (a hair to the right). Each point is everybody's light of one rank, with a "
    "95 % interval over seeds, which are new captures with the same weights. The "
    "arrow points to better.",
)

# %% [markdown]
# ## By skin tone
#
# A mean over people can hide that it works for some and not for others.
# Subjects are sorted by their skin tone, which the generator knows, into three groups of equal size, and the *gap* is the worst group's error divided by the best group's; 1 would be the same for everybody.
# The few pairs of {ref}`ch04` are there to prevent exactly this kind of drift.

# %%
notebook.tell("ch06", shown.tones(table))

# %% [markdown]
# The chain's gap is {glue:text}`ch06_gap:.2f` {glue:text}`ch06_gap_range`, with the {glue:text}`ch06_gap_worst` group worst off; doing nothing has {glue:text}`ch06_gap_nothing:.2f`.
# We set ourselves a gap of at most {glue:text}`ch06_gap_aim:.1f`; on these subjects this aim {glue:text}`ch06_gap_met`.
# Groups are small, so look at the intervals before you conclude; and synthetic skin says little about real skin ([responsible use](../responsible-use.md)).
#
# ## One subject under many lights
#
# The cleanest test of de-lighting needs no truth: photograph one subject under several lights, and see whether the outputs agree.
# With real people this is hard to arrange; with synthetic heads it is one line.
# What still varies is divided by what varied in the input, over the texels that every capture saw.

# %%
seen = exam.many_lights()
notebook.tell("ch06", shown.lights(seen, table))

# %% [markdown]
# For this subject {glue:text}`ch06_one_chain:.0f` % of the input's variance over lights is left in the chain's outputs and {glue:text}`ch06_one_quotient:.0f` % in the quotient's.
# Over all test subjects the chain leaves {glue:text}`ch06_ratio`, at an identity cosine of {glue:text}`ch06_cosine` to the truth.
# The two belong together: a method that ignores its input has zero variance and nobody's identity.
# Our aim is at most {glue:text}`ch06_aim_left:.0f` % at a cosine of at least {glue:text}`ch06_aim_cosine:.2f`; with these weights it {glue:text}`ch06_aim`.
# A limit counts as met if its whole interval keeps it, here and in [the ledger](../ledger.md), which asks the same of other people.
# The chain's share also contains the sampler's own noise, for every capture starts from other noise.
#
# ## The avatar
#
# The paper feeds its texture to a pretrained universal avatar model {cite}`cao2022authentic`, which is not public.
# We put it on a textured mesh instead: the layout gives each texel $(u, v)$ a place in space, so a map of these places, $P(u, v)$, *is* the head, sampled on a regular grid, closed at the back and at the crown.
# Here $P$ is the subject's own, from our generator of heads; for a photograph ({ref}`ch07`) landmarks tell it.
#
# In the slider the camera and the lamps stand still and the head turns, so a light that is baked into the texture turns with it.
# That is how you catch it: watch the dark side of the phone texture move with the nose.
# In Jupyter or Colab, the picture below it turns by any angle, one texture at a time.

# %%
mesh = avatar.head_mesh(seen.head.position[0], grid=96)
first = next(k for k, row in enumerate(table.rows) if data.subject[row] == seen.subject)
phone = data.phone_batch(exam.rows[first][None])[0][0]
skins = {"phone": phone, "chain": exam.result[first], "truth": seen.truth}
shown.turning(mesh, skins)

# %% tags=["remove-output", "nbval-ignore-output"]
explore(
    lambda angle, texture: avatar.turntable(mesh, skins[texture], [angle], 384)[0],
    "the head, turned",
    angle=(-180, 180, 20),
    texture=list(skins),
)

# %% [markdown]
# The same head as a file: GLB is the binary form of glTF 2.0 {cite}`khronos2021gltf`, which nearly every 3D program opens.
# The page below needs no network; drag to turn, and switch between the three textures.

# %%
folder = Path("runs/ch06")
glb = avatar.write_glb(mesh, skins["chain"], folder / "avatar.glb")
again, skin = avatar.read_glb(glb)
assert torch.equal(again.triangles, mesh.triangles)
assert (skin - skins["chain"]).abs().max() < 1 / 255
print(f"{glb.name}: {len(mesh.vertices)} vertices, {skin.shape[-1]}² texture")
title = "A synthetic test subject"
viewer = avatar.write_viewer(
    mesh, folder / "avatar.html", {"chain": skins["chain"], **skins}, title=title
)
interactive.page(
    viewer,
    "A head that can be turned, with a switch between phone texture, chain and truth",
    avatar.render(mesh, skins["chain"], yaw=20, size=256),
)

# %% [markdown]
# ## What this avatar is not
#
# - **Eyes and mouth are painted on.** One surface holds skin, eyeballs and teeth, so the eyes do not turn, and the mouth cannot open.
# - **It does not move.** There is no expression space; the paper's avatar model has one.
# - **Hair is paint as well**, without volume or strands.
# - **The head ends at the neck**, as the paper's does, whose authors model the head only.
# - **The light is gone, and with it the gloss**: a uniformly lit texture on a matte surface looks like clay under a lamp that real skin would answer with highlights.

# %%
figures.show(
    shown.close_figure(mesh, skins),
    "The face from close by, turned by 20 degrees: with the chain's texture, with the "
    "true texture, and with the true texture without lamps. Eyes and lips lie flat in "
    "the surface even with the true texture: this limit is the mesh's.",
)

# %% [markdown]
# ## What goes wrong: a hard shadow
#
# It is reported of the paper that strongly uneven light degrades its result.
# We can turn that into a dose and a response: take the true studio texture, darken one half of it with a hard edge, more and more, and hide nothing else.
# Everything that changes in the output is then the shadow's doing.

# %%
shadow = exam.shadow(seen.truth)
notebook.tell("ch06", shown.shadow(shadow))

# %% [markdown]
# From no shadow to the hardest, the PSNR over the face changes by {glue:text}`ch06_shadow_change`, and {glue:text}`ch06_shadow_left:.0f` % of the asymmetry that it put into the input is found again in the output.
# Two stages can let it through: the encoder may take a dark half for dark skin, and the edge of the shadow is a gradient like any other to the fusion ({ref}`ch05`).
# No function of a single picture can tell shading from pigment without a prior {cite}`chen2000invariants`.
#
# ## Claims of the paper, tested here
#
# <!-- claims -->
#
# "Reproduced" means: in these records, with these weights, on synthetic heads.
# It does not mean that our pictures reach the paper's, which has real captures, far larger networks, and an avatar model.
#
# ## Exercises
#
# A cell with a stub ends in a check: put your answer in place of `...` and run it.
# The check says that the answer is right, or what kind of mistake it looks like.
# A folded solution follows each exercise.
#
# ```{exercise-start} Recall: which column exposes it?
# :label: ex-ch06-exposed
# ```
# Four results that look good in some column.
# Which measure is it that shows what is wrong with them?

# %% tags=["exercise"]
from studiolike.exercises import ch06

exposed = {  # "identity", "residual light", "perceptual distance" or "colour error"
    "the same mean face for everybody": ...,
    "the phone texture as it came": ...,
    "the truth, blurred": ...,
    "the truth, but all skin a little too dark": ...,
}
ch06.check_exposed(exposed)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch06-exposed
# :class: dropdown
#
# ```python
# exposed = {
#     "the same mean face for everybody": "identity",
#     "the phone texture as it came": "residual light",
#     "the truth, blurred": "perceptual distance",
#     "the truth, but all skin a little too dark": "colour error",
# }
# ```
#
# Each of the four is perfect, or nearly so, in at least one of the other columns.
# ````
#
# ```{exercise-start} Code: a metric that can be fooled
# :label: ex-ch06-fooled
# ```
# Write a method that leaves no residual light and varies with no light, for *every* subject, in one line.
# Evaluate it on a few captures, and name the column that exposes it.

# %% tags=["exercise"]
from studiolike.exercises import ch06


def cheat(texture, visibility):
    return ...  # (B, 3, H, W) in [0, 1], like the texture


ch06.check_cheat(cheat)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch06-fooled
# :class: dropdown
#
# ```python
# import torch
#
#
# def cheat(texture, visibility):
#     return torch.full_like(texture, 0.5)
# ```
#
# A constant varies with nothing and is symmetric.
# The identity cosine, PSNR and colour error expose it; so never print a de-lighting metric without one of identity.
# ````
#
# ```{exercise-start} Code: how sure is a mean?
# :label: ex-ch06-error
# ```
# `values` holds one number for each capture, `subject` says whose capture it is, and each subject has equally many.
# Write the standard error of the mean over *people*.

# %% tags=["exercise"]
from studiolike.exercises import ch06


def standard_error(values, subject):
    return ...  # your code


ch06.check_standard_error(standard_error)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch06-error
# :class: dropdown
#
# ```python
# import torch
#
#
# def standard_error(values, subject):
#     means = torch.stack([values[subject == person].mean() for person in subject.unique()])
#     return means.std() / len(means) ** 0.5
# ```
#
# One number for each person, and then the usual formula with the number of people.
# The bootstrap of the package draws whole people with replacement, which comes to the same and also works with unequal numbers of captures.
# ````
#
# ```{exercise-start} Explain: independent captures?
# :label: ex-ch06-cluster
# ```
# Recompute the interval of `psnr/observed` of the chain as if every capture were its own subject: `evaluation.clustered_mean(values, np.arange(len(values)))`.
# By what factor does it shrink, and why does the factor stay below $\sqrt{2}$?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch06-cluster
# :class: dropdown
#
# With two captures of each subject and errors that correlate with $\rho$ within a subject, the variance of the mean is larger by $1 + \rho$ than for independent captures.
# So the interval shrinks by $\sqrt{1+\rho}$, which lies between 1 (captures share nothing) and $\sqrt 2$ (captures are copies).
# From the factor that you found you can read off $\rho$.
# ````
#
# ```{exercise-start} Research: join the rivals
# :label: ex-ch06-join
# ```
# The quotient keeps the observed detail, and the chain knows what belongs in the holes.
# Combine the two with the visibility map, and evaluate your method as a further row.
# In which columns can it win, and in which can it not?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch06-join
# :class: dropdown
#
# `torch.lerp(chain, quotient, visibility)`.
# Observed metrics are then nearly the quotient's, those of the holes the chain's.
# A seam appears where the two disagree in colour, which the perceptual distance near the border shows; blending in gradients {cite}`perez2003poisson` would hide it.
# ````
#
# ## Repeating this chapter
#
# The set is made from seeds, the sampler's noise from seed 0, and the intervals from a seeded bootstrap.
# On one machine two runs agree digit by digit; between machines, threads or devices the last digits move, and a verdict that is close to the line may change its word.
# All numbers stand in `runs/ch06/evaluation.json`, capture by capture.
#
# ## Summary
#
# - The chain is one call, tuned to nobody, and {glue:text}`ch06_captures` captures of {glue:text}`ch06_subjects` unseen subjects are its examination.
# - Of the {glue:text}`ch06_promised` comparisons promised against simple rivals it wins {glue:text}`ch06_kept`; the quotient beats it in: {glue:text}`ch06_losses_quotient`.
# - De-lighting, identity and colour are three different things, and each has a cheap way to look perfect; only together do they mean something.
# - Uneven light, hard shadows, painted eyes and a head without a body are the limits that you can see above.
#
# ## References
#
# <!-- references -->
