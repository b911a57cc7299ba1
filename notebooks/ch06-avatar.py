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
# Was it worth it? On {glue:text}`ch06_captures` captures of {glue:text}`ch06_subjects` synthetic people, whom no training and no choice of settings has looked at:
#
# - Where the camera looked, the chain is {glue:text}`ch06_gain_says` {glue:text}`ch06_rival`, the best in this measure of four methods that learn nothing ({glue:text}`ch06_gain` dB). Over all measures it is better in {glue:text}`ch06_simple_wins` of {glue:text}`ch06_simple` comparisons with these four. It takes {glue:text}`ch06_pace` a face (measured below the tables).
# - Of the variance that the light makes in the captures, {glue:text}`ch06_ratio` is left; our aim, at most {glue:text}`ch06_aim_left:.0f` %, {glue:text}`ch06_left_met`. In less even light the result {glue:text}`ch06_trend_says`.
# - Its identity cosine to the truth is {glue:text}`ch06_cosine`, where 1 is the same face and two different people have {glue:text}`ch06_strangers:.2f` in the mean; our aim, at least {glue:text}`ch06_aim_cosine:.2f`, {glue:text}`ch06_cosine_met`.
#
# ## What you will learn
#
# - Run the whole chain, `StudioPipeline`, and read its intermediate results.
# - Compare it fairly: against doing nothing, one mean face for everybody, and a strong rival that needs no learning.
# - Put an interval on every number, and let a test decide which words may be used.
# - See where a mean hides a failure: by light, by skin tone, by the worst case.
# - Export a textured head as GLB, and know what this avatar cannot do.
#
# **You need** the stages of {ref}`ch01` to {ref}`ch05` in outline; the code here starts from the released weights.
# [Notation and metrics](../notation-and-metrics.md) has every symbol and measure on one page.
#
# **Which weights.** The chain is judged with the networks of the protocol `few`, the paper's question: studio textures of a few people only.
# Beside it stands the chain of the protocol `open`, whose networks the command line and {ref}`ch07` use and which has learnt from every studio texture that our generator of heads gave it, except those of the splits "val" and "test".
#
# This is the only chapter that reads the split "test".
# The heads are synthetic: a declared stand-in for people.
# They give us what no collection of photographs can, the true studio texture of every person, and they make every sentence of this chapter a sentence about synthetic heads.
#
# ## Predict before you run
#
# Choose before you read on.
#
# ```{predict} 1. One "method" answers with the same mean face for everybody. In which measures will it look good?
# - [ ] In none: it is nobody's face.
#   Most measures do not ask whose face it is.
# - [x] In all that reward the absence of light.
# - [ ] In identity: a mean face is near to everybody's.
#   Near to everybody is near to nobody in particular.
#
# Nothing of the capture survives, so nothing varies with the light.
# Often it looks good in PSNR too, because a smooth mean is never far from anybody.
# In identity it knows nothing of the person; yet compare it there with the phone texture as it came, below: a network that tells people apart sees their light as well.
# No single number may decide.
# ```
#
# ```{predict} 2. The phone texture as it came is a rival too. Where will the chain gain more over it: where the camera looked, or in the holes?
# - [x] Where the camera looked.
# - [ ] In the holes: there is hardly anything to beat.
#   And hardly anything to go by. What can the chain know of them?
#
# In the holes there is only smeared colour, which any head beats, the mean one too; but what belongs there must be guessed, and a guess of somebody's hair and neck does not come near.
# Where the camera looked, the right person stands under the wrong light, so that there is much to gain and something to gain it from.
# What it gains in each is said below the tables.
# ```
#
# ```{predict} 3. Suppose that we measure 64 captures, two of each of 32 people. How many independent measurements are these?
# - [ ] 64.
#   The two captures of one person share the face.
# - [x] About 32.
# - [ ] 2.
#   The people do not depend on each other.
#
# Two captures of one person share the face, so their errors are alike; treating them as independent makes intervals too narrow.
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
assert exam.nobody_looked()  # at any person of the split "test"
facts = {"subjects": len(exam.people), "captures": len(exam.rows)}
facts["lightings"] = len(exam.rows) // len(exam.people)
steps, default = settings.detail.sample_steps, default_steps()
facts["steps"] = f"{steps} step" + "s" * (steps != 1)
facts["default"] = f"with {default} of them" if default else "without it"
notebook.tell("ch06", facts)

# %% [markdown]
# ## The chain in one call, and its rivals
#
# Let $x$ be the phone texture and $v$ its visibility, from 0 in a hole to 1:
#
# ```{math}
# :label: eq-ch06-chain
# \begin{aligned}
# w^+ &= E(x, v) \\
# \hat s &= \text{tone}\big(G_\text{studio}(w^+),\ x, v\big) \\
# f &= \text{fuse}(x, v, \hat s) \\
# d &= f + \text{detail}\big(f, \hat s, x, v\big) \\
# y &= \text{lend}(d, v)
# \end{aligned}
# ```
#
# The encoder $E$ of {ref}`ch02` finds the face's code $w^+$; from it $G_\text{studio}$ of {ref}`ch04` draws a studio texture, whose skin is made as light as the capture tells: $\hat s$.
# All that follows is of {ref}`ch05`: *fuse* puts the phone's detail on it, the detailer adds what it finds missing, and *lend* gives what nobody saw the detail of an exemplar, the known texture of somebody like this person.
# Here $y$ is the result.
#
# The authors state the order code, studio generator, diffusion model {cite}`athar2024bridging`; the sizes, the sampler (what turns noise into detail, in steps), the tone, the fusion and the exemplars are our choices.
# So is taking the encoder's code as it is: $G_\text{studio}$ was trained on such codes, and an optimised one ({ref}`ch03`) lies where it has never been.
# Nothing is tuned to a person.
#
# A method is only as good as the simplest thing that it beats.
# These names stand for the same in every table, figure and sentence of this page:
#
# - `nothing` is the phone texture as it is.
# - `mean_studio` is the average texture of the few-shot studio set: always the same answer, whoever is asked for.
# - `colour_transfer` gives the texture the mean and spread of colour of that average {cite}`reinhard2001colour`.
# - `quotient` divides out the phone texture's low frequencies and puts in those of the average, in the spirit of the retinex and of the quotient image {cite}`land1971retinex,shashua2001quotient`.
# - `generator` is $\hat s$, where the networks of the GAN end.
# - `fusion` is lend$(f, v)$: the chain without its detailer.
# - `chain` is all of {eq}`eq-ch06-chain`, with {glue:text}`ch06_steps` of the detailer (more leave more grain), under the protocol `few`; `chain (open)` is the same under `open`.
#
# The command line runs the chain {glue:text}`ch06_default`: on the synthetic people of these tables the detailer helps, but photographs of real people, of which it has seen none, a face network that is not ours recognises better without it.
# So what [the ledger](../ledger.md) and the boxes of claims call *the chain* is `fusion` here, and what you run on a capture of your own is `fusion` with the networks of `open`, which the ledger has as *the chain, open*.
#
# Of the four that learn nothing, the quotient is the one to fear: it keeps the person, which the mean face, strong in PSNR, cannot.
# With a blur $B_v$ that looks only at observed texels, and the mean studio texture $m$, it is, in linear light and where the camera looked,
#
# ```{math}
# :label: eq-ch06-quotient
# y_\text{quotient} = x \cdot \frac{B_v\, m}{B_v\, x} ,
# ```
#
# and $m$ in holes.
# Light is mostly low-frequency and multiplies the skin's own colour, so it cancels.
# What pigment has in low frequencies cancels with it, and comes back as the average person's.
# The next cell holds the code of the chain, of the quotient, and of the test that gives the words below.

# %% tags=["hide-output"]
notebook.source(StudioPipeline.__call__)
notebook.source(evaluation.quotient)
notebook.source(evaluation.verdicts)

# %% [markdown]
# ## What is measured
#
# Outputs are compared with the true studio texture in three regions: what the camera *observed*, which a method may copy; the *holes*, which it has to invent; and *the face*, from forehead to chin, seen or not.
#
# | measure | what it asks | what fools it |
# |---|---|---|
# | **PSNR**, dB ↑ | How far from the truth is a texel? At 20 dB the error is typically a tenth of the way from black to white; 6 dB more halve it | blur; a mean face |
# | **PSNR after a gain fit** ↑ | The same, after the three gains, one per colour, that fit the truth best: nobody can read the exposure of a studio off one capture | the same, and a colour cast |
# | **low-band error** ↓ | Are light and broad colour right? Log luminance and log chroma after a blur of 6 texels at 256²; 0.1 is about 10 % | it sees no detail |
# | **perceptual distance** ↓ | Does it look alike to a public network trained on photographs ({glue:text}`ch06_eye`; the number after the @ is the side at which it looks) {cite}`zhang2018lpips`? | right detail in the wrong place |
# | **identity cosine** ↑ | Whose face is it, to a network of our own ({glue:text}`ch06_judge`)? 1 is the same; true textures of two different people have {glue:text}`ch06_strangers:.2f` in the mean, and one pair in twenty more than {glue:text}`ch06_strangers_high:.2f` {cite}`deng2019arcface` | light and tone, which it sees too |
# | **colour error** ↓ | CIEDE2000 of the face's broad colour {cite}`sharma2005ciede`; 1 is just visible | a mean face of the right tone |
# | **asymmetry** | How different is the light of left and right (0.1: by 10 %)? Good is what the truth has, no less: skin and hair are not symmetric. *Its distance to the truth's* ↓ is what is judged | a grey square |
# | **variance over lights** ↓ | One person in several lights: how much do the outputs vary, divided by how much the inputs do? | an answer that ignores the question |
# | **KID** ↓ | Does the *set* of outputs look like studio textures of other held-out people {cite}`binkowski2018kid`? One number for all, so no test over people | copies of these |
#
# No loss of any stage has seen either network, and they are not those of the published LPIPS or of ArcFace: their numbers compare methods inside this book, and nothing else.
# Ours was trained on synthetic heads. It tells two captures of one unseen person from two of different people with an area under the ROC curve of {glue:text}`ch06_judge_auc:.2f` (0.5 is guessing, 1 is perfect); trust it that far.
#
# ## The numbers, with their uncertainty
#
# Every entry is a mean over {glue:text}`ch06_captures` captures of {glue:text}`ch06_subjects` people, {glue:text}`ch06_each:.0f` of each, with a 95 % interval.
# The interval comes from drawing whole people with replacement, each with all of their captures {cite}`field2007clustered`: with $m_c$ the measure of capture $c$, for the drawn people $S^*$,
#
# ```{math}
# :label: eq-ch06-bootstrap
# \bar m^* = \frac{\sum_{p\in S^*}\sum_{c\in p} m_c}{\sum_{p\in S^*} |p|}
# ```
#
# is the mean of one drawing, where $|p|$ counts the captures of person $p$.
# Of many drawings the interval leaves out the 2.5 % with the smallest and the 2.5 % with the largest mean.

# %%
table = exam.run_all("runs/ch06/evaluation.json")
notebook.tell("ch06", shown.tables(exam, table))
judge = weights.read_card("identity_eval")["metrics"]
each = np.bincount(np.unique(table.subject, return_inverse=True)[1])
facts = {
    "each": each.mean(),
    "judge": table.networks["faceid"],
    "eye": table.networks["perceptual"],
}
notebook.tell("ch06", facts | {"judge_auc": judge["val_auc"]})

# %% [markdown]
# KID is in thousandths. A set that is one picture again and again, as that of `mean_studio`, is unlike any set of people, however good the picture.
#
# ## Which words may we use?
#
# The words in the next table are computed, not written.
# If chain and rival were equally good, the sign of each person's *paired* difference would be a coin toss; the p-value is the share of all tosses that give as large a mean.
# A table asks many questions at once, and some would be answered by chance, so its p-values are corrected together (Holm): with a probability of 95 % no "better" and no "worse" in it is wrong.
# Otherwise the two cannot be told apart on these people; with a handful, as in the smoke profile, nothing can.
#
# How to read it: in brackets stands chain − rival, in the measure's own unit.
# Of PSNR, where more is better, +5 means that the chain is 5 dB better; of an error, where less is better, −5 does.

# %% tags=["hide-input"]
judged = table.verdicts("chain", metrics=list(shown.METRICS))
words = table.versus("chain", metrics=list(shown.METRICS), labels=shown.METRICS)
display(Markdown(words))
notebook.tell("ch06", shown.told(table, judged))
figures.show(
    shown.dots_figure(exam, table),
    "Means hide people, so here is every person as a dot. Each method is a row, with "
    "its mean and a 95 % interval over people: PSNR where the camera looked, PSNR in "
    "holes, identity cosine and asymmetry. The arrow in a title points to better; the "
    "dotted line is the asymmetry of the true textures themselves.",
)

# %% [markdown]
# **Against what learns nothing.** We promised an advantage over doing nothing and over colour transfer in PSNR and in perceptual distance, in the observed region and in the holes.
# Of these {glue:text}`ch06_promised` comparisons the chain wins {glue:text}`ch06_kept`; it is measurably worse in: {glue:text}`ch06_lost`.
# Of all {glue:text}`ch06_simple` with the four simple methods it wins {glue:text}`ch06_simple_wins`, and {glue:text}`ch06_simple_open` cannot be told; it loses: {glue:text}`ch06_simple_losses`.
# Against the quotient it is {glue:text}`ch06_vs_quotient`.
# Over doing nothing it gains {glue:text}`ch06_gain_seen` dB where the camera looked and {glue:text}`ch06_gain_holes` dB in the holes (question 2).
#
# **The mean face** (question 1) varies with nothing, so it cannot be beaten in variance over lights.
# Its identity cosine is {glue:text}`ch06_mean_face:.2f`, the phone texture's as it came {glue:text}`ch06_as_it_came:.2f`, and that of two strangers {glue:text}`ch06_strangers:.2f`: the judge sees the light as well as the person, so compare the cosines of methods that have taken the light away.
# The true textures have an asymmetry of {glue:text}`ch06_own_asymmetry:.2f`, the chain's results one of {glue:text}`ch06_chain_asymmetry:.2f`.
#
# **What the last steps are worth.**
#
# - *Fusion*, against `generator`: {glue:text}`ch06_step_fusion`. It is there for the phone's detail, and lets through what light looks like detail.
# - *The detailer*, `chain` against `fusion`: {glue:text}`ch06_step_detailer`.
# - *More studio data*, `chain (open)` against `chain`: {glue:text}`ch06_step_open`.
#
# Rivals that learn, such as a U-Net trained on the pairs, have [a page of their own](../rivals.md).
#
# ## Best, median, worst
#
# Pictures are chosen by a rule and not by hand, by PSNR over the face.
# Ask three things of each row: is the light gone, is it still the same person, and is the skin's colour right?
# These are different failures; the table below the figure has a number for each.

# %%
notebook.tell("ch06", shown.cases(exam, table))

# %% [markdown]
# From best to worst the chain spans {glue:text}`ch06_best:.1f` to {glue:text}`ch06_worst:.1f` dB over the face, with a median capture of {glue:text}`ch06_median:.1f` dB.
#
# ## By severity of the light
#
# Uneven light is the reason for the whole method, so a fair table asks where it helps.
# *Severity* is the generator's own measure of how uneven the light on the face was, between 0 and 1; no real data set could give it.
# The first figure puts our captures into three groups of about equal size.
# People differ in much more than their light, though, so whether it costs quality is asked *within* people: does the capture of a person in more uneven light come out worse than the other one of the same person?
#
# Here everybody has {glue:text}`ch06_lightings` lights.
# The record `severity` of [the ledger](../ledger.md), in the second figure, has {glue:text}`ch06_curve_people` other people, each under {glue:text}`ch06_curve_lights` lights from the most even to the least, {glue:text}`ch06_curve_seeds` times with new captures (*seeds*), and `fusion` for the chain.

# %%
notebook.tell("ch06", shown.severity(exam, table))

# %% [markdown]
# Within people, the chain {glue:text}`ch06_trend_says` as the light becomes less even: from the most to the least even light of these captures (severity {glue:text}`ch06_span`), PSNR over the face changes by {glue:text}`ch06_trend` dB. That is a line fitted within people and drawn over the whole span, which no one person's captures cover; the figures above compare different people, or a part of the span, and show less.
#
# ## By skin tone
#
# A mean over people can hide that it works for some and not for others.
# People are sorted by their skin tone, which the generator knows, into three groups as equal as their number allows, and the *gap* is the worst group's error divided by the best group's; 1 would be the same for everybody.

# %%
notebook.tell("ch06", shown.tones(table))

# %% [markdown]
# The chain's gap is {glue:text}`ch06_gap`; the {glue:text}`ch06_gap_worst` group has the largest mean error.
# A gap is never below 1, but its interval may be: the two groups stay those of the mean when people are drawn again, and where 1 is inside, who is worse off cannot be told.
# We set ourselves a gap of at most {glue:text}`ch06_gap_aim:.1f`; on these people this aim {glue:text}`ch06_gap_met`.
# Being bad for everybody is no gap either: doing nothing has {glue:text}`ch06_gap_nothing`, at a colour error of {glue:text}`ch06_gap_error_nothing:.1f` where the chain has {glue:text}`ch06_gap_error:.1f`.
# Groups are small, and synthetic skin says little about real skin ([responsible use](../responsible-use.md)).
#
# ## One person under many lights
#
# The cleanest test of de-lighting needs no truth: photograph one person under several lights, and see whether the outputs agree.
# With real people this is hard to arrange; with synthetic heads it is one line.
# What still varies is divided by what varied in the input, over the texels of the face that every capture saw.

# %%
seen = exam.many_lights()
notebook.tell("ch06", shown.lights(seen, table, judged))

# %% [markdown]
# Of this person's variance over lights {glue:text}`ch06_one_chain:.0f` % is left in the chain's outputs and {glue:text}`ch06_one_quotient:.0f` % in the quotient's: for one person the {glue:text}`ch06_one_less` leaves less. Over all people of the table {glue:text}`ch06_all_less`.
# Nor do they leave the same: a mean colour of the face that moves as a whole makes {glue:text}`ch06_level_chain:.0f` % of what the chain leaves, and {glue:text}`ch06_level_quotient:.0f` % of what the quotient leaves. The rest is pattern, such as the edges of shadows, and counts little in a variance where it is narrow, however visible: eyes see edges and hardly notice that a whole face is a little darker.
#
# We have two aims, and a method that ignores its input would keep the first alone:
#
# - at most {glue:text}`ch06_aim_left:.0f` % of the variance over lights: over all people the chain leaves {glue:text}`ch06_ratio`, and this aim {glue:text}`ch06_left_met`;
# - an identity cosine to the truth of at least {glue:text}`ch06_aim_cosine:.2f`, which was written down before its experiment was run, with no measurement behind it: the chain has {glue:text}`ch06_cosine`, and this aim {glue:text}`ch06_cosine_met`.
#
# An aim is met if the whole interval keeps it, here and in the ledger, which asks the same of `fusion` and of other people.
#
# ## The avatar
#
# The paper feeds its texture to a pretrained universal avatar model {cite}`cao2022authentic`, which is not public.
# We put it on a textured mesh instead: the layout gives each texel $(u, v)$, where $v$ is now a coordinate, a place in space, so a map of these places, $P(u, v)$, *is* the head, sampled on a regular grid, closed at the back and at the crown.
# Here $P$ is the person's own, from our generator of heads; for a photograph ({ref}`ch07`) landmarks tell it.
# The person is that of the median row above.
#
# In the slider the camera and the lamps stand still and the head turns, so a light that is baked into the texture turns with it: watch whether what is dark or bright on the phone texture moves with the nose, and look at hair and ears, which no camera saw and the chain had to guess.
# In Jupyter or Colab the cell after it turns the head by any angle, one texture at a time; on this page it shows nothing.
#
# Last comes the same head as a file: GLB is the binary form of glTF 2.0 {cite}`khronos2021gltf`, which nearly every 3D program opens.
# The page below it needs no network; drag to turn, and switch between the three textures.

# %%
mesh, skins = exam.portrait(shown.chosen(table)["median"])
display(shown.turning(mesh, skins))
figures.show(
    shown.close_figure(mesh, skins),
    "The face from close by, turned by 20 degrees: with the chain's texture, with the "
    "true texture, and with the true texture without lamps, its bare colours. What the first lacks "
    "beside the second is the chain's failure; what the second lacks beside a face is "
    "the mesh's: eyes and lips lie flat in the surface.",
)

# %% tags=["remove-output", "nbval-ignore-output"]
explore(
    lambda angle, texture: avatar.turntable(mesh, skins[texture], [angle], 384)[0],
    "the head, turned",
    angle=(-180, 180, 20),
    texture=list(skins),
)

# %%
folder = Path("runs/ch06")
glb = avatar.write_glb(mesh, skins["chain"], folder / "avatar.glb")
again, skin = avatar.read_glb(glb)
assert torch.equal(again.triangles, mesh.triangles)
assert (skin - skins["chain"]).abs().max() < 1 / 255
print(f"{glb.name}: {len(mesh.vertices)} vertices, {skin.shape[-1]}² texture")
title = "A synthetic test person"
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
# - **With the light goes the gloss**: an evenly lit texture on a matte surface looks like clay under a lamp that real skin would answer with highlights.
#
# ## A hard shadow, in doses
#
# It is reported of the paper that strongly uneven light degrades its result.
# We can turn that into a dose and a response: take true studio textures, darken one half of each with a hard edge, more and more, and hide nothing else.
# What changes in the output is then the shadow's doing.

# %%
shadow = exam.shadow()
notebook.tell("ch06", shown.shadow(shadow))

# %% [markdown]
# In the first row of the table the input *is* the truth, and the chain makes {glue:text}`ch06_shadow_floor:.1f` dB of it: it takes every input for a capture, and draws it anew, in a tone of its own reading.
# So the PSNR as it is tells of two things, the shadow and how well the tone was guessed under it. From no shadow to the hardest it {glue:text}`ch06_shadow_raw`.
# After the gain fit the tone no longer counts, and what is left is the shadow's: there the PSNR {glue:text}`ch06_shadow_fitted`.
# Of the asymmetry that the shadow put into the input {glue:text}`ch06_shadow_left` % is found again in the output.
#
# Two stages can let it through: the encoder may take a dark half for dark skin, and the edge of the shadow is a gradient like any other to the fusion ({ref}`ch05`).
# No function of a single picture can tell shading from pigment without a prior {cite}`chen2000invariants`.
#
# ## Claims of the paper, tested here
#
# Some of these claims are the authors', some are aims of ours, which the paper does not state; the column *origin* says whose.
# *The chain* in them is `fusion` of this page, and the people are those of the split "val", under {glue:text}`ch06_curve_lights` lights each and on smaller textures, so that its numbers are not those of the tables above.
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

exposed = {  # "identity", "asymmetry", "perceptual distance" or "colour error"
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
#     "the phone texture as it came": "asymmetry",
#     "the truth, blurred": "perceptual distance",
#     "the truth, but all skin a little too dark": "colour error",
# }
# ```
#
# Each of them looks good in something: the mean face in the variance over lights, the phone texture in its detail, which is the person's, the blurred truth in colour, and the dark truth in detail and asymmetry.
# ````
#
# ```{exercise-start} Code: a metric that can be fooled
# :label: ex-ch06-fooled
# ```
# Write a method that is perfectly symmetric and varies with no light, for *every* subject, in one line.
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
# - The chain is one call, tuned to nobody. Of the {glue:text}`ch06_simple` comparisons with methods that learn nothing it wins {glue:text}`ch06_simple_wins`; against the quotient it is {glue:text}`ch06_vs_quotient`.
# - De-lighting, identity and colour are three different things, and each has a cheap way to look perfect; only together do they mean something.
# - The limits that you can see above: {glue:text}`ch06_trend_limit`{glue:text}`ch06_shadow_limit`painted eyes and a head without a body.
#
# ## References
#
# <!-- references -->
