# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch04)=
# # Few-shot studio fine-tuning
#
# A generator of phone textures, $G_\text{phone}$ of {ref}`ch02`, becomes a generator of studio textures, $G_\text{studio}$, by the studio textures of {glue:text}`ch04_few` people (*few-shot*).
# You will read each term of the objective beside the code that computes it, and measure what the result is worth and where it fails.
#
# What comes out, over {glue:text}`ch04_captures` captures of {glue:text}`ch04_subjects` people from whom no network has learnt: how unlike the light of left and right is (*asymmetry*) goes from {glue:text}`ch04_light_phone:.2f` in the captures to {glue:text}`ch04_light_ours:.2f`, and one person's results vary over several lights {glue:text}`ch04_variance:.2f` times as much as the captures do.
# The likeness of the face to the true one, an *identity cosine*, goes from {glue:text}`ch04_id_phone:.2f` to {glue:text}`ch04_id_ours:.2f`; in it, G_studio {glue:text}`ch04_id_says`.
# In the colour of the skin, {glue:text}`ch04_colour_ours:.1f` ΔE off, it {glue:text}`ch04_colour_says`.
# Four terms of ours stand beside the authors' five: in the ledger's shorter runs the error of light and broad colour with the authors' terms alone, against that with all, {glue:text}`ch04_alone_low` ({glue:text}`ch04_alone_low_times:.1f` times it).
#
# <!-- run box -->
#
# ## What you will learn
#
# - To read the few-shot objective term by term, and to say which player minimises which term.
# - Why only the layers after 8×8 train, and why "after 8×8" has two meanings in StyleGAN2.
# - Why it could matter from where the training codes are drawn, and what our runs show of it.
# - To see a discriminator begin to recite its few textures, and to see a term's absence in a picture.
# - To judge a de-lighting method with measures that cannot all be fooled at once.
#
# **You need**: {ref}`ch02` (StyleGAN2, and its encoder), {ref}`ch03` (w+ codes), and the idea of fine-tuning: to go on training a finished network on something else.
#
# **The cast.** A *capture*, or phone texture, is what a phone saw of a head's skin, in the light of that place; a *studio texture* is complete and evenly lit.
# The *encoder* makes of a capture a code $w^+$, and a generator $G$ draws a texture of it, from coarse to fine, in blocks of 4×4, 8×8, 16×16 … places; each layer reads one row of the code, so a row for a coarse block says something about the whole head.
# A *discriminator* $D$ gives a texture a mark, the *logit*: the larger, the more it takes the texture for a real one.
# In *logarithmic* light a factor, such as a lamp of half the power, is a difference.
# [Notation and metrics](../notation-and-metrics.md) has every symbol and measure of the book on one page.
#
# **Whose numbers.** All that is measured here is measured on people of the split "val", from whom no network learns, under the protocol `few`, the paper's question: phone captures of everybody, studio textures of a few.
# (The command-line tools use networks of the protocol `open`, which have seen every studio texture that our generator of heads can make for training.)
# Runs differ in length, so compare numbers within a line of this table only:
#
# | run | images | steps | seeds | studio textures of | where |
# | --- | --- | --- | --- | --- | --- |
# | the released G_studio | {glue:text}`ch04_released_images:,` | {glue:text}`ch04_released_steps:,` | 1 | {glue:text}`ch04_released_few` people | the lines above, its pictures and tables, several lights |
# | the live run | {glue:text}`ch04_live_images:,` | {glue:text}`ch04_live_steps:,` | 1 | {glue:text}`ch04_few` | "Live", and a column beside the released one |
# | each of the runs with a term off | {glue:text}`ch04_short_images:,` | {glue:text}`ch04_short_steps:,` | 1 | {glue:text}`ch04_few` | "What each term does" |
# | the careless run | {glue:text}`ch04_careless_images:,` | {glue:text}`ch04_careless_steps:,` | 1 | {glue:text}`ch04_recited` | "The discriminator recites" |
# | each run of the ledger | {glue:text}`ch04_ledger_images:,` | {glue:text}`ch04_ledger_steps:,` | {glue:text}`ch04_ledger_seeds` | {glue:text}`ch04_ledger_few` | the tables "From the ledger", and the claims |
#
# Of the others, who have captures only, the released run has {glue:text}`ch04_released_people:,`, this page's runs {glue:text}`ch04_live_people:,` and the ledger's {glue:text}`ch04_ledger_people:,`; the ledger measures {glue:text}`ch04_ledger_judged` people.
#
# **What is the paper's.** We write "the authors state" for what we could read of them, "it is reported" for what others write about them, and "our choice" for the rest; [what was read and what is inferred](../related-work.md) is said once, there.
#
# All heads here are synthetic, a declared stand-in: they show that the method works where the truth is known, not that it works on people.
#
# ## Predict before you run
#
# The objective has five terms by the authors, which the next section defines: the game of two networks ($L_\text{adv}$) with a brake on the discriminator ($L_\text{R1}$), a tie to the few pairs ($L_\text{percp-recons}$), and two ties to what $G_\text{phone}$ draws of the same code, one of structure ($L_\text{percp}$) and one of identity ($L_\text{faceID}$).
#
# ```{predict} 1. At the very first step G_studio is an exact copy of G_phone. Which of the paper's five terms are zero?
# - [ ] $L_\text{adv}$: the game has not begun.
#   The discriminator has an opinion from the first step on: the term is not zero, though during the warm-up G does not descend it yet.
# - [ ] $L_\text{percp-recons}$: a copy reconstructs.
#   A phone texture is not the studio texture of the pair.
# - [x] $L_\text{percp}$ and $L_\text{faceID}$.
# - [ ] None.
#   Two terms compare G_studio with its own copy.
#
# These two compare G_studio with G_phone on the same code.
# So at first they pull nowhere; they start to pull back when the others have pulled away.
# ```
#
# ```{predict} 2. You could keep the face perfectly, or make the light perfectly even, without any training. How?
# - [x] The phone texture does the first, the mean studio texture the second.
# - [ ] The mean studio texture does both.
#   Nobody's face is everybody's.
# - [ ] The phone texture does both.
#   It is the same face, and all of its light.
#
# Return the phone texture: the same person, and all of its light (which the judge of identity feels as well, as the tables will show).
# Or return the mean studio texture for everybody: no light at all, and nobody's face.
# This is why identity and lighting must always be printed side by side.
# ```
#
# ```{predict} 3. The discriminator sees the studio textures of few people. How will you notice that it has learnt them by heart?
# - [ ] The generator's loss falls to zero.
#   It rises, if anything: a judge who recites is hard to fool.
# - [ ] Its marks for all studio textures rise.
#   So they do when it learns honestly. Which textures can it not know by heart?
# - [x] Its mark for training textures rises, its mark for kept ones does not.
#
# Keep a few studio textures of other people away from it, and look at both marks.
# When they part, it recites.
# ```

# %% tags=["parameters"]
profile = "auto"

# %% tags=["hide-input"]
import torch
from IPython.display import Markdown, display

from studiolike import recipes, weights
from studiolike.chapters import adaptation as shown
from studiolike.chapters import adaptation_verdicts as said
from studiolike.chapters import figures, notebook
from studiolike.experiments.few_shot import RECITED, FewShotLaboratory, two_readings

settings = recipes.chapter_profile(profile)
figures.apply_style()
device = "cuda" if torch.cuda.is_available() else "cpu"
data = recipes.chapter_set(settings)
lab = FewShotLaboratory(settings, data, device)  # released networks, few-shot set
card = weights.read_card("g_studio", protocol="few")
notebook.tell("ch04", said.runs(lab, card))

# %% [markdown]
# ## The objective
#
# The authors state this objective {cite}`athar2024bridging`, over $\theta(8+)$, the generator's parameters after the 8×8 block (to which we add the layers that paint in colour, see below); $\lambda_1$ and $\lambda_2$ are weights:
#
# $$
# \begin{aligned}
# \min_{\theta(8+)\ \text{of}\ G_\text{studio}}\ \max_{D_\text{studio}}\quad
# & L_\text{adv} + L_\text{R1} + L_\text{percp-recons} \\
# & {} + \lambda_1 L_\text{percp} + \lambda_2 L_\text{faceID}
# \end{aligned}
# $$ (eq-ch04-objective)
#
# A *pair* is a capture and the studio texture of one person; $w^+_i$ is the code of person $i$'s capture.
# *Who descends* a term is who changes to make it smaller:
#
# | term | compares | needs pairs | who descends it |
# |---|---|---|---|
# | $L_\text{adv}$ | studio textures with $G_\text{studio}(w^+)$, as sets | no | both, against each other |
# | $L_\text{R1}$ | slope of $D_\text{studio}$ at **real** studio textures with zero | no | the discriminator |
# | $L_\text{percp-recons}$ | $G_\text{studio}(w^+_i)$ with the studio texture of the same person $i$ | **yes, a few** | the generator |
# | $L_\text{percp}$ | $G_\text{studio}(w^+)$ with $G_\text{phone}(w^+)$ | no | the generator |
# | $L_\text{faceID}$ | identity of the same two | no | the generator |
#
# **The game.** Here $G$ and $D$ are short for $G_\text{studio}$ and $D_\text{studio}$, and $\mathbb{E}$ is the mean over codes $w^+$ or over studio textures $x$.
# $\operatorname{softplus}(t) = \log(1 + e^t)$ is nearly zero for very negative $t$ and nearly $t$ for large ones.
# $\nabla_x D$ is the slope of the logit: how it would change with each texel; $\gamma$ is a weight.
# The generator descends $L^{G}_\text{adv}$, the discriminator $L^{D}$:
#
# $$
# \begin{aligned}
# L^{G}_\text{adv} &= \mathbb{E}_{w^+} \operatorname{softplus}(-D(G(w^+))) \\
# L^{D} &= \mathbb{E}_{x} \operatorname{softplus}(-D(x)) \\
# & \quad + \mathbb{E}_{w^+} \operatorname{softplus}(D(G(w^+))) + L_\text{R1} \\
# L_\text{R1} &= \tfrac{\gamma}{2}\, \mathbb{E}_{x} \lVert \nabla_x D(x) \rVert^2
# \end{aligned}
# $$ (eq-ch04-adv)
#
# $L_\text{adv}$ knows what studio textures look like *as a set* {cite}`goodfellow2014gan`: it would be content with a beautiful studio texture of the wrong person.
# Equation {eq}`eq-ch04-objective` prints $L_\text{R1}$ inside a "max over $D$", but a discriminator that *maximised* its own slope would be useless: it minimises it {cite}`mescheder2018r1`.
# Nor do both players move one and the same $L_\text{adv}$: each descends its own form, the two of {eq}`eq-ch04-adv`.
#
# **The ties to the person.** With $d$ a perceptual distance (of what a network sees in two textures, not of their texels), $e$ an identity embedding (a vector of length 1 by which a network tells faces apart, so that the product of two is their cosine), and $P$ pairs of a capture's code $w^+_i$ and a studio texture $x_i$:
#
# $$
# \begin{aligned}
# L_\text{percp} &= \mathbb{E}_{w^+}\, d\big(G_\text{studio}(w^+), G_\text{phone}(w^+)\big) \\
# L_\text{faceID} &= 1 - \mathbb{E}_{w^+}\, e(G_\text{studio}(w^+)) \cdot e(G_\text{phone}(w^+)) \\
# L_\text{percp-recons} &= \tfrac1P \textstyle\sum_i d\big(G_\text{studio}(w^+_i), x_i\big)
# \end{aligned}
# $$ (eq-ch04-hold)
#
# For $d$ we chose the features of the frozen phone discriminator, compared as in LPIPS {cite}`zhang2018lpips`, plus bands of a Laplacian pyramid {cite}`burt1983laplacian`, which are differences of blurs of growing width.
# It is reported that the authors' pair term is there to stop a global shift of skin tone.
#
# **Four terms that are ours.** Two of them compare with the studio textures of the pairs:
#
# - *Texel by texel*, at all scales. The face counts double, because an eye is a small part of a mean over the texture.
# - *The low band* (what a wide blur leaves) *in logarithmic light*. A wrong shading is a wrong factor, and in differences of sRGB values a factor counts little where skin is dark.
#
# Two need no studio texture of the person, so everybody whose captures $G_\text{phone}$ has learnt from can teach them:
#
# - *Light-invariance*: two captures of one person, under two lights, must give one texture.
# - *The other captures*: what G_studio draws from one capture shall have the low band of the same person's other captures, but for its mean level.
#   A capture's low band differs from a studio texture's also on average; by how much the pairs tell, and that is taken off first.
#   Each of these targets is wrong, for it has a light of its own. But that light has nothing to do with this capture's, and a least-squares fit to many targets whose errors are random finds what a fit to clean ones would {cite}`lehtinen2018noise2noise`.
#
# The first table below has what the generator descends: each term's weight, and weight times term for an untouched copy of G_phone, so that you can check the first prediction.
# $L_\text{R1}$ is the discriminator's alone; its weight stands among the other symbols, in the second table.
# Below the tables waits the code of every term, each behind a click.

# %%
stage = lab.stage()
terms = lab.first_terms(stage)
assert terms["percp"] < 1e-4 and terms["face_id"] < 1e-4
notebook.tell("ch04", shown.objective(lab, stage, terms))
shown.code()

# %% [markdown]
# Before the first step our four terms sum to {glue:text}`ch04_ours_first:.2f` and the paper's to {glue:text}`ch04_paper_first:.2f`: ours {glue:text}`ch04_ours_word` the paper's.
# Keep this difference from the paper in mind; what the authors' terms reach alone is told {ref}`below <ch04-terms>`.
#
# ## Which layers train: two readings of "after 8"
#
# The authors freeze everything up to 8×8, because identity lives in the coarse layers.
# Whether the 8×8 block itself trains, we do not know: here `train_from` is one integer, the side of the last block that rests: {glue:text}`ch04_train_from` trains the blocks of {glue:text}`ch04_trained_from`² and above.
#
# There is a trap.
# A block computes *features*, from which the next block goes on, and its `toRGB` layer paints them in colour.
# In StyleGAN2 {cite}`karras2020analyzing` this layer reads the row of w+ that also feeds the *next* block's first convolution.
# "Change the *modules* after 8×8" (the parts of the network, with their parameters) and "change the *rows* of w+ that the blocks after 8×8 read" are therefore not the same thing.
# The next cell does both to one code, by giving it another person's rows and by disturbing the modules' parameters at random, and prints by how much, relative to what was there, the features and the colours of each block change.
#
# Its second table comes **from the ledger**: from longer trainings, made once and recorded ([all of them](../ledger.md)), each several times from other random numbers (*seeds*).
# There, *identity MSE to G_phone* is how far the face is, to a face network that no loss has seen, from the one that G_phone draws of the same code (the mean squared difference of two embeddings), *identity MSE* how far from the true studio texture, *KID* a distance between sets of textures, the *low-band error* that of light and broad colour, and *variance over lights* how much one person's results vary with the light; all are better when small.
# The ± is half of an interval over the seeds; a verdict compares two rows on the same people, so it can be sure where the ± of two rows overlap.
# These runs are shorter than the released network's, and measured on other people and lights: compare them with each other, not with the tables further down.

# %%
codes = lab.bank.w_plus.to(device)
blocks = two_readings(lab.g_phone, codes[:1], codes[-1:])
notebook.tell("ch04", shown.readings(blocks))
eight = next(block for block in blocks if block.size == 8)
assert eight.by_row[0] == 0 == eight.by_module[1]
shown.ledger("layers", limits=True)
notebook.tell("ch04", said.layers_words())

# %% [markdown]
# Changing the modules after 8² leaves the 8² block exactly as it was.
# Changing row {glue:text}`ch04_shared_row` and the rows after it leaves the *features* of the 8² block as they were, but its toRGB output changes, by {glue:text}`ch04_leak:.2f` of its size.
# So freezing by row changes colours of a coarse layer without being asked, and freezing by module does not; we freeze by module, and which colours may change is then our choice (see below).
#
# Does freezing keep the person?
# In the ledger's runs the face of a wholly trained network {glue:text}`ch04_whole_kept` what G_phone draws of the code than the face of one trained after 8², for a face network.
# That is what the authors could measure.
# What they could not, and a user asks for: it {glue:text}`ch04_whole_truth` the person's true studio texture than the face of the other.
# The two ask different things, because G_phone's picture has errors and a light of its own, to which a frozen layer holds on as well.
# Compare the two rows in the other columns as well: in runs this short, little but the authors' own measure, identity against G_phone, speaks for freezing.
# We freeze all the same, because it is the paper's method, and because it keeps what a few pairs cannot teach.
#
# Freezing has a price.
# Light is coarse too: a shadow across half a face is an 8×8 pattern, the toRGB layers of the frozen blocks *paint* it, and later blocks can only paint over it.
# So we let the toRGB layers of all blocks train (`train_rgb`): the features up to 8×8, where identity lives, stay exactly as they were, and what colour they are painted in may change.
# The row "toRGB of the others frozen" of the table is the other choice: it {glue:text}`ch04_rgb_low` ours in the low-band error, and {glue:text}`ch04_rgb_var` ours in the variance over lights.
# Whether the authors do that, we do not know.
#
# ## Where the codes come from
#
# The authors sample "in the W+ parameterised space"; how, we do not know.
# At test time G_studio meets what the encoder says about a capture that *comes in*: under whatever light and exposure, often one photograph that shows a face and nothing else.
# So G_studio is trained on the encoder's codes of captures, and captures are disturbed at random before they are encoded (`studiolike.adaptation.disturb`): another exposure and white balance, a shadow, a face cut out.
# Training encodes all that a capture shows; the chain shows its encoder the face alone (`studiolike.tone.translation.face_alone`), for real hair is unlike all that the generator knows. What that costs on synthetic heads stands among the claims at the end.
# Beside them stand, to compare, codes from Z and W (random numbers, and what G_phone's mapping network makes of them: one row for all layers), from a *bank* of captures that were inverted one by one ({ref}`ch03`), and *mixtures* from it: half of these are means of two or three people's codes with random weights, faces between people.

# %%
val_rows = data.captures("val")[:24]
phone, seen = data.phone_batch(val_rows)
truth = data.studio_batch(data.subject[val_rows])
val_codes = lab.codes_of(phone, seen)
sources = lab.sources(val_codes)
notebook.tell("ch04", shown.sources(lab, sources))
shown.ledger("codes")
notebook.tell("ch04", said.codes_words())

# %% [markdown]
# Codes from Z and W have the same numbers in every row; to say who somebody is, rows have to differ.
# The codes closest to those of unseen captures come from {glue:text}`ch04_codes_closest`, all of other people.
# The nearest draw of Z or W is {glue:text}`ch04_codes_ratio:.2f` times as far away as the nearest of captures (above 1: captures are closer).
# A generator trained on the far ones is asked, at test time, about places it was never trained on.
# Whether that costs accuracy is another question, for the table from the ledger: of its rows, "captures" {glue:text}`ch04_codes_low` in the low-band error, and {glue:text}`ch04_codes_truth` in nearness to the true face (identity MSE).
# (There each comparison is judged alone; the claims at the end use other measures.)
#
# ## Live: the first steps
#
# $D_\text{studio}$ starts as a copy of $D_\text{phone}$, and its layers nearest to the picture stay frozen (FreezeD {cite}`mo2020freezed`; our choice): edges, pores and hair look alike in both domains, and a few textures need not teach them again.
# That is {glue:text}`ch04_d_frozen:.1f` % of its parameters, but they decide what the others get to see.
# The same small set is stretched by augmentation {cite}`zhao2020diffaugment,karras2020ada`: random shifts and colours, for real and generated textures alike.
# They are differentiable, so that the generator still learns through them.
#
# One step draws codes, lets the discriminator look at their pictures, updates both players from that look, and then the generator's running average, which is calmer than any single step and is what we keep.
# The generator does not listen to the discriminator from the start.
# At first a studio texture and a phone texture are so easy to tell apart that its verdict says nothing about the person; the other terms say much more.
# So the first part of a run (`warm_up`) is theirs.
# While the discriminator plays, the learning rates fall to zero (`cool_down`): two players pull the generator to and fro, and smaller and smaller steps let that average out.
# *Held-out* studio textures are those of other people, kept away from the training, to see whether the discriminator learns its own by heart.
# This run of {glue:text}`ch04_live_images:,` images is far too short for a good G_studio: it is here to be watched.

# %%
g_live, log = lab.train(settings.live_images)
figures.show(
    shown.run_figure(log),
    "One short run. Left: the generator's weighted terms, the paper's four and our "
    "four (the paper's fifth, L_R1, is the discriminator's); those that compare with "
    "G_phone start at zero, and L_adv starts when the warm-up ends; look for no other "
    "trend in a run this short. Right: the discriminator's mean logit, measured now and then; "
    "the further the line of the training textures rises above that of held-out ones, "
    "the more it recites.",
)
notebook.tell("ch04", {"d_frozen": 100 * lab.frozen_share()})

# %% [markdown]
# ## The released G_studio
#
# The released network is the same stage, run longer; its card, the record that comes with the weights, says how.
# Below it draws the codes of unseen people's captures, beside G_phone and the short run: what differs between G_phone(w) and G_studio(w) (short for their textures of one $w^+$) is what the fine-tuning has learnt.
# A rule chose which captures are shown: the best, the median and the three worst, by closeness to the truth on the face.
# Look at two things: how even the light is, and how far skin and hair are from the truth, for what the code does not say is drawn as an average of the few.
# Fine curved lines and ripples that the true texture has not are the generator's own; {ref}`ch05` keeps only what is coarse of its picture.
# In the first column, flat colour stands where nothing was seen.

# %%
g_studio = weights.load("g_studio", protocol="few", device=device)
notebook.tell("ch04", shown.released(card))
ours = "G_studio(w)"
networks = {"G_phone(w)": lab.g_phone, "short run": g_live, ours: g_studio}
outputs = {name: lab.translate(net, val_codes) for name, net in networks.items()}
measured = lab.measure(val_rows, outputs, rivals=True)
shown.cases(measured, ours, {"phone": phone, **outputs, "truth": truth})

# %% [markdown]
# ## Measured on unseen people
#
# A key to what is measured, and against whom (more on [the page of metrics](../notation-and-metrics.md)):
#
# - In brackets stands where a measure looks: what a camera *observed*, the *holes*, or the *face*; after an @ the side of the pictures that its network looks at.
# - **PSNR**, dB, up is better: closeness to the true studio texture.
# - **perceptual**, down: a distance of features of a public network that no loss has seen; **colour**, down: error of the skin's broad colour in ΔE2000, of which 1 is just visible.
# - **identity cosine**, up: how alike two faces are to a network that no loss has seen; 1 is the same. (*FaceID* in this book is only the name of the paper's measure, whose definition we do not know; $L_\text{faceID}$ is the loss.)
# - **asymmetry**, down: difference of light between left and right; **variance over lights**, down: what still varies with the light, divided by what varied in the phone textures.
# - Rivals that learn nothing: `nothing` is the phone texture itself; `mean_studio` returns the mean of the studio textures for everybody.
# - `colour_transfer` gives the phone texture that mean's colours; `quotient` divides its broad light out and puts that mean's in.

# %% tags=["hide-input"]
metrics = ["psnr/observed", "psnr/holes", "perceptual/face", "faceid_cosine"]
metrics += ["colour", "asymmetry", "variance_ratio"]
display(Markdown(measured.markdown(metrics)))
simple = list(said.SIMPLE)
judged = measured.verdicts(ours, simple, metrics)
display(Markdown(measured.versus(ours, simple, metrics)))
notebook.tell("ch04", said.outcome(measured, ours, judged))

# %% [markdown]
# "Better" and "worse" are verdicts of a test over people ({ref}`ch06` explains it), corrected for the number of comparisons in the table.
# On {glue:text}`ch04_subjects` unseen subjects G_studio(w)
#
# - in PSNR of the observed region {glue:text}`ch04_psnr_says`;
# - in asymmetry, our measure of left-over light, {glue:text}`ch04_light_says` (the mean studio texture has no light of its own at all);
# - in identity {glue:text}`ch04_id_says`;
# - in the colour of the skin {glue:text}`ch04_colour_says`.
#
# "Cannot be told" does not mean equal: with so few people, and so many comparisons corrected together, even a difference of some dB may not be certain.
# Read the columns together: PSNR and light alone could crown a method that shows everybody the same face.
# Identity, too, is to be compared with evenly lit rivals, for the embedding feels the light of a phone texture.
# The few pairs are meant for the colour, and the table says how far that goes: G_studio's mean colour error is {glue:text}`ch04_colour_ours:.1f`, and of three groups of skin tone the worst served has {glue:text}`ch04_tone_gap:.2f` times the error of the best served (phone textures: {glue:text}`ch04_tone_phone:.2f` times); {ref}`ch06` looks closer.
# That ratio is about fairness: above the phone textures' own, the gap between the tones is wider than before, though each tone's error may be smaller.
#
# (ch04-terms)=
# ## What each term does: switch it off
#
# Short runs of {glue:text}`ch04_short_images:,` images each ({glue:text}`ch04_short_steps:,` steps), all from the same start and the same seed.
# **This is an illustration and not the paper's ablation**: it shows in which direction a term pulls at the beginning, not where a long run ends.
# One seed and so few steps prove nothing about small differences, and some may go the wrong way here; read the figure for what changes in kind.
# Below it stands what the ledger of experiments has recorded over several seeds: first the paper's terms alone, then ours, each left out.
# Look there for the row "the authors' terms alone": against our whole objective its low-band error {glue:text}`ch04_alone_low` ({glue:text}`ch04_alone_low_times:.1f` times it), its variance over lights {glue:text}`ch04_alone_var` ({glue:text}`ch04_alone_var_times:.1f` times).
# How many of our four are missed when they are left out one by one: {glue:text}`ch04_missed_low` in the low-band error, which becomes at most {glue:text}`ch04_most_low:.2f` times as large, and {glue:text}`ch04_missed_var` in the variance over lights, at most {glue:text}`ch04_most_var:.2f` times; without {glue:text}`ch04_spared_var` of them that variance is smaller.
# And do not trust *identity MSE to G_phone* where little was learnt: who stays near to G_phone keeps its face, and its light.

# %%
runs = {
    name: lab.train(lab.short, **off)[0] for name, off in lab.switched_off().items()
}
results = {"G_phone(w)": outputs["G_phone(w)"]}
results |= {name: lab.translate(net, val_codes) for name, net in runs.items()}
effects = lab.measure(val_rows, results, regions=("face",))
notebook.tell("ch04", shown.effects(effects, results, truth))
for name in ("losses", "terms"):
    shown.ledger(name)
notebook.tell("ch04", said.terms_words())

# %% [markdown]
# ### What goes wrong: a tie that is too strong
#
# G_phone(w) is lit, and a face network sees more than the face: where its embedding changes with the light, a loss that insists on the embedding insists on the light.
# (A tie that is strong enough holds everything back; by which of the two the light stays, this run cannot say.)
# The run with {glue:text}`ch04_strong_times` times $L_\text{faceID}$ moved {glue:text}`ch04_strong_moved:.2f` times as far from G_phone(w) as the run with all terms, and {glue:text}`ch04_strong_light` it.
#
# ### What goes wrong: the discriminator recites
#
# Give it {glue:text}`ch04_recited` studio textures instead of all, no augmentation and no frozen layers, and leave out every other term.

# %%
careless = lab.train(lab.watched, **lab.careless())[1]
logs = {f"ours, {len(lab.studio)} textures": log}
logs[f"{RECITED} textures,\nno augmentation, no freezing"] = careless
figures.show(
    shown.opinions_figure(logs, lab.watched + lab.live.batch),
    "The discriminator's mean logit for its training textures, for held-out studio "
    "textures and for generated ones: left our settings, right the careless ones. As "
    "far as the first line lies above the second, it knows its textures by heart.",
)
gaps = {"gap_ours": shown.gap(log), "gap_careless": shown.gap(careless)}
notebook.tell("ch04", gaps)

# %% [markdown]
# The gap between D's marks for its training textures and for held-out ones ended at {glue:text}`ch04_gap_careless:.2f` in the careless run.
# In ours it ended at {glue:text}`ch04_gap_ours:.2f`, but that is of a run twice as long as what is drawn: compare the right ends of the two panels by eye.
# (Below zero the held-out ones look even more real, which happens when they are few; and both begin with a gap, for the mean of so few marks is uncertain. The two panels have scales of their own.)
# The released run's card says {glue:text}`ch04_gap_released:.2f`, and its overfitting measure (0: held-out textures look as real as training ones; 1: they look as false as generated ones) is {glue:text}`ch04_overfit_released:.2f`.
# Four things differ between the two runs, and this does not say which of them does it.
# A reciting discriminator teaches the generator to copy those few faces.
#
# That the marks for training and held-out textures stay together does not mean that the game is even.
# At the end of the released run D gives its training textures {glue:text}`ch04_final_train:.1f` and generated ones {glue:text}`ch04_final_fake:.1f`.
# Put the border between "real" and "generated" half way, and read a mark's distance from it as log odds: then D is {glue:text}`ch04_final_right:.0f` % sure of a typical texture.
# At 50 % it could only guess, and the game would be in balance; at 100 % it sees through every picture, and its marks no longer say what would be better.
#
# ## One person under several lights
#
# The cleanest test of de-lighting needs no studio texture: the same person under different lights must give the same output.
# Only synthetic (or stage-lit) people can be tested this way; the authors' phone captures come in one light each.

# %%
generators = {"G_phone(w)": lab.g_phone, ours: g_studio}
ratios = shown.one_person(lab, lab.one_person(), generators)
facts = {"ratio": ratios[ours], "ratio_phone": ratios["G_phone(w)"]}
facts["ratio_says"] = "less" if ratios[ours] < 1 else "not less"
notebook.tell("ch04", facts)

# %% [markdown]
# G_studio's outputs vary {glue:text}`ch04_ratio:.2f` times as much over the lights as the phone textures do, which is {glue:text}`ch04_ratio_says` than the input; G_phone's reconstructions vary {glue:text}`ch04_ratio_phone:.2f` times as much.
# (The captures differ in what they show of the head, too: where only a face came in, hair and neck are G_studio's guess, and differ. The ratio counts what the captures saw.)
# The mean studio texture has a ratio of zero and shows nobody: the column of identity is there to catch that.
# Compare it here with the phone textures of this one person.
# In the table of unseen people further up the same comparison can fail: an embedding feels light as well, so that there an evenly lit nobody may score above the person's own badly lit texture.
#
# ## Claims of the paper, tested here
#
# Other ways to an evenly lit texture, a network trained on the pairs alone among them, are compared on [the page of the rivals](../rivals.md).
#
# <!-- claims -->
#
# ## Exercises
#
# A cell with a stub ends in a check: put your answer in place of `...` and run it.
# The check says that the answer is right, or what kind of mistake it looks like.
# A folded solution follows each exercise.
#
# ```{exercise-start} Recall: who descends which term?
# :label: ex-ch04-players
# ```
# Who changes its weights because of a term: the generator, the discriminator, or both?

# %% tags=["exercise"]
from studiolike.exercises import ch04

players = {  # "the generator", "the discriminator" or "both"
    "L_adv": ...,
    "L_R1": ...,
    "L_percp-recons": ...,
    "L_percp": ...,
    "L_faceID": ...,
}
ch04.check_players(players)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch04-players
# :class: dropdown
#
# ```python
# players = {
#     "L_adv": "both",
#     "L_R1": "the discriminator",
#     "L_percp-recons": "the generator",
#     "L_percp": "the generator",
#     "L_faceID": "the generator",
# }
# ```
#
# A term acts on whoever stands in it and is not frozen.
# G_phone, the perceptual and the identity network are frozen, and no generated texture stands in $L_\text{R1}$.
# ````
#
# ```{exercise-start} Code: two forms of L_faceID
# :label: ex-ch04-faceid
# ```
# Take two embeddings, vectors of $E$ numbers and of norm 1.
# Show that the mean squared error of their numbers is a function of their cosine, and write that function; `length` is $E$.
# What would you have to do to λ2 if $L_\text{faceID}$ were made of it, and not of the cosine?

# %% tags=["exercise"]
from studiolike.exercises import ch04


def mse_of(cosine, length):
    return ...  # your code


ch04.check_mse(mse_of)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch04-faceid
# :class: dropdown
#
# ```python
# def mse_of(cosine, length):
#     return 2 * (1 - cosine) / length
# ```
#
# $\lVert a-b\rVert^2 = \lVert a\rVert^2 + \lVert b\rVert^2 - 2\,a\cdot b = 2 - 2\cos$; dividing by the $E$ numbers gives $2(1-\cos)/E$.
# The minimum stays where it is, but λ2 has to grow by $E/2$ to pull as hard.
# ````
#
# ```{exercise-start} Code: does it recite?
# :label: ex-ch04-overfit
# ```
# Make one number of the discriminator's mean logits for training, held-out and generated textures.
# It should be 0 if held-out textures look as real as training ones, 1 if they look as false as generated ones, and should not change when a constant is added to all logits.

# %% tags=["exercise"]
from studiolike.exercises import ch04


def overfit(train, held_out, fake):
    return ...  # your code


ch04.check_overfit(overfit)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch04-overfit
# :class: dropdown
#
# ```python
# def overfit(train, held_out, fake):
#     return (train - held_out) / (train - fake)
# ```
#
# It says how much of the way from training to generated textures the held-out ones have gone.
# Karras et al. steer their augmentation by this number {cite}`karras2020ada`; below 0 it means that held-out textures look *more* real, which happens when they are few.
# ````
#
# ```{exercise-start} Code: a factor of light
# :label: ex-ch04-low-light
# ```
# Write the term for the low band in logarithmic light: means over a grid of 8×8 patches of both textures (`F.adaptive_avg_pool2d(x, 8)`), plus a floor of 0.01, logarithms, and the mean absolute difference.
# The textures come in linear light.

# %% tags=["exercise"]
from studiolike.exercises import ch04


def low_light(light, truth):
    return ...  # (B, 3, H, W) each, linear -> one number


ch04.check_low_light(low_light)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch04-low-light
# :class: dropdown
#
# ```python
# import torch.nn.functional as F
#
#
# def low_light(light, truth):
#     a, b = ((F.adaptive_avg_pool2d(x, 8) + 0.01).log() for x in (light, truth))
#     return (a - b).abs().mean()
# ```
#
# First the mean, then the logarithm: light adds up in a patch, logarithms do not.
# Half the light costs $\log 2$ on any skin, but for the floor, which keeps what is nearly black from ruling.
# ````
#
# ```{exercise-start} Explain: a perfect score
# :label: ex-ch04-cheat
# ```
# `mean_studio` has a variance ratio of zero.
# Which metric of the tables exposes it, and does the colour of the skin? Invent a method that cheats on these two instead.
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch04-cheat
# :class: dropdown
#
# Identity (cosine) exposes it, against methods that are as evenly lit, and so do the pictures: it is the same face for everybody.
# Colour need not: an average skin in even light is not far from many people's, and the verdict says whether G_studio can be told from it.
# What G_phone draws of the code has the person's features and colour, in the light of the capture, which asymmetry and the variance ratio expose; in good light it would be the cheat.
# In bad light it is not: look its row up. The embedding and the colour feel the light, and may put it below nobody's face.
# No single column is safe; that is why they stand together.
# ````
#
# ```{exercise-start} Research: the integer train_from
# :label: ex-ch04-train-from
# ```
# Call `lab.train(lab.short, train_from=16, train_rgb=False)` and `lab.train(lab.short, train_from=0)`.
# (`train_from=16` trains the blocks above 16×16, `train_rgb=False` freezes the toRGB layers of the others too.)
# Before you do: which one will move further from G_phone(w), and which part of the light can the first one not remove?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch04-train-from
# :class: dropdown
#
# `train_from=0` trains the whole synthesis network and is free to move furthest from G_phone(w), in identity too.
# Whether that takes it away from the person is another question: compare *identity MSE to G_phone* and *identity MSE* in the table from the ledger.
# With `train_from=16` and `train_rgb=False` only the blocks of 32×32 and above learn: what the coarser blocks paint at 16×16 and below, a shadow over one cheek for example, can only be covered up by the finer ones.
# ````
#
# ## Determinism
#
# Every step draws its randomness from generators seeded by the run's seed and the images seen, so two executions on one machine and one number of threads give the same numbers.
# Another processor or thread count changes the last digits, and a game between two networks lets such differences grow.
#
# ## Summary
#
# - The objective is one adversarial pull towards "looks like a studio texture", and three ties to the person; each repairs what the adversarial pull alone would break. Four terms of ours stand beside them; without these, in the ledger's runs, the low-band error {glue:text}`ch04_alone_low`.
# - Coarse layers stay frozen, as the authors have it, and by module, because freezing by row of w+ leaks through toRGB. The face of a wholly trained network {glue:text}`ch04_whole_kept` G_phone's than that of one so frozen, and {glue:text}`ch04_whole_truth` the true one.
# - Training codes should look like test codes, so ours are of captures as they come in, through the encoder; in the ledger's low-band error their row {glue:text}`ch04_codes_low`.
# - Two captures of one person must give one texture: a term that asks for even light without a single studio texture.
# - Few-shot discriminators recite; watch them with textures they never train on.
# - Identity and light can pull against each other, in the loss and in the evaluation: always print both.
#
# The texture is now evenly lit, complete and coarse.
# {ref}`ch05` gives it back the detail that the phone has seen.
#
# ## References
#
# <!-- references -->
