# %% [markdown]
# (ch03)=
# # Inversion into W+
#
# Which code makes the generator paint *this* face?
# You will guess it with an encoder, and search for it by gradient descent in two spaces, with a pull towards the mean and without.
#
# What comes out, over {glue:text}`ch03_captures` people whom no network has learnt from: descent, by default with a pull towards the mean of all codes, raises the copy of the capture from the encoder's {glue:text}`ch03_recon_encoder:.1f` dB to {glue:text}`ch03_recon_wplus:.1f`, without the pull and for longer to {glue:text}`ch03_recon_long:.1f`.
# But the code is wanted for the *studio* texture that a second generator, chapter 4's $G_{\text{studio}}$, makes of it, and there {glue:text}`ch03_after_best` has the highest mean, {glue:text}`ch03_after_best_db` dB; the longest descent has {glue:text}`ch03_studio_long:.1f`, one mean code for everybody {glue:text}`ch03_studio_mean:.1f`.
# Shown to be better there than the encoder's code: {glue:text}`ch03_after_better`. The default descent {glue:text}`ch03_descent_words` ({glue:text}`ch03_descent` dB), so our chain takes the encoder's code as it is.
#
# <!-- run box -->
#
# ## What you will learn
#
# **Objectives.** After this chapter you can
#
# - write down inversion as an optimisation problem, with a distance that looks only where the phone has looked;
# - say what the spaces W and W+ are, and what a *prior* on W+ (a pull of codes towards their mean) costs and buys;
# - say why gradient descent, Adam too, needs many times as many steps here as a method that knows the curvature;
# - judge an inversion where it counts: *after* translation by $G_{\text{studio}}$, and where nothing was observed;
# - explain why optimised noise maps are a trap.
#
# **Prerequisites.** Chapter 2 for the generator, its mapping network and the rows of W+; gradient descent with Adam; what a Hessian is (the matrix of second derivatives).
#
# **What the authors say about this stage.** They state that each phone texture is parameterised in W+, "enabling near-perfect reconstruction" {cite}`athar2024bridging`.
# Whether by optimisation or by an encoder, with which loss and for how many steps, is not known to us, so the encoder, the optimiser, the distance and the prior here are our choices.
#
# **The cast.** A *texture* is a head's surface, unrolled onto a square of *texels*: $u$ runs from its left edge to its right, $v$ from top to bottom.
# A *phone texture*, or capture, shows a face in the light of some place, and its *visibility* says how well each texel was seen.
# $G_{\text{phone}}$ is chapter 2's generator of such textures; $G_{\text{studio}}$ is a copy of it that {ref}`ch04` teaches to paint *studio textures*, complete and evenly lit, from those of {glue:text}`ch03_few` people.
# It is taught on the encoder's codes, so codes far out are strange to it, and so is the very mean.
# A *code* is a table of $L$ rows of $n$ numbers, one row for each layer of a generator; *translation* is to give a code that was found with $G_{\text{phone}}$ to $G_{\text{studio}}$.
#
# **How far to trust it.** One pair of generators, trained with one seed, and {glue:text}`ch03_captures` people, of whom $G_{\text{studio}}$ saw none.
# All faces are synthetic heads, a declared stand-in for people, for which the true studio texture is known.
# Errors are told as PSNR, $-10 \log_{10}$ of the mean squared error of colours between 0 and 1: 20 dB is an error of 0.1, 30 dB one of 0.03, and 1 dB more is a fifth less squared error.
#
# ### Predict before you run
#
# Choose before you read on; the sections below show what comes out.
#
# ```{predict} 1. One w for all layers (W), one w per layer (W+), W+ with a pull towards the mean: which one has the smallest error of the *reconstruction*?
# - [ ] W: the generator was trained on such codes.
#   That makes its pictures likely, not near to this capture.
# - [x] W+ without a pull.
# - [ ] W+ with a pull.
#   A pull can only take away from the fit.
#
# Freedom decides: W+ without a pull is best, then W+ with it, then W.
# ```
#
# ```{predict} 2. $G_{\text{studio}}$ makes a *studio texture* of each of these codes. Must their errors rank in the same order?
# - [ ] Yes: the better the code fits, the better is what is made of it.
#   It fits under G_phone. What does G_studio know of a code that no face ever had?
# - [x] No.
#
# A code that leaves the region where the generators were trained means little to $G_{\text{studio}}$; too tight a code forgets the person.
# Where the best place lies between is an empirical question; measured: {glue:text}`ch03_prior_words` ({glue:text}`ch03_prior_effect` dB), and the highest mean has **{glue:text}`ch03_best_after`**.
# ```
#
# ```{predict} 3. A third of the face is hidden from the inversion. What will the generator paint there?
# - [ ] Grey, or noise: nothing tells it what to do.
#   The code that explains the rest paints the whole face.
# - [ ] The mean face.
#   The side that was seen says much about the other one.
# - [x] Something between the mean face and this person.
# - [ ] This person, exactly.
#   Light and marks of the hidden side are nowhere in the picture.
#
# It fits the side that was seen.
# How near it comes to the truth is measured below, because the truth is known.
# ```

# %% tags=["parameters"]
profile = "auto"  # smoke, cpu, gpu or paper; auto takes what fits this machine

# %% tags=["hide-input"]
import inspect
from dataclasses import replace

import torch

from studiolike import inversion, recipes, weights
from studiolike.chapters import figures, notebook
from studiolike.chapters import inversion as drawn
from studiolike.device import find_device
from studiolike.evaluation import psnr
from studiolike.experiments import inversion as lab
from studiolike.experiments.painting import decode
from studiolike.inversion import CodeBank, WPrior, pyramid_distance

settings = recipes.chapter_profile(profile)
device = find_device()
figures.apply_style()
data = recipes.chapter_set(settings)
g_phone, d_phone, encoder, curvature, eye = (
    weights.load(name, device=device).requires_grad_(False)
    for name in ("g_phone", "d_phone", "encoder", "curvature", "identity_eval")
)
g_studio = weights.load("g_studio", protocol="few", device=device).requires_grad_(False)
size = g_phone.config.resolution
inverter = lab.Inverter(g_phone, d_phone, encoder, curvature)

# %% [markdown]
# ## The problem
#
# Given a texture $x$ and its visibility $v$, look for the code $w$ whose picture is near to the texture, and which is itself a likely one:
#
# $$
# \begin{aligned}
# w^+ = \arg\min_{w \in \mathbb R^{L \times n}} \; & d_{\text{pix}}\big(G(w), x; v\big) \\
# & + \lambda_f\, d_{\text{feat}}\big(G(w), x; v\big) \\
# & + \lambda_p\, e(w) ,
# \end{aligned}
# $$ (eq-ch03-problem)
#
# with $G$ = $G_{\text{phone}}$, which stays as it is; here $L$ = {glue:text}`ch03_rows` and $n$ = {glue:text}`ch03_width`.
# The three terms, two distances of pictures and the *prior energy* $e$, are explained below; the two $\lambda$ weigh them against each other.
# In **W** all $L$ rows are forced to be equal; in **W+** {cite}`abdal2019image2stylegan` each layer has its own.
#
# **Look only where the phone has looked.** The pixel distance is a mean square over observed texels $p$, averaged over the $K$ = {glue:text}`ch03_levels` levels $k$ of an *area pyramid*, the same picture at full, half, quarter size and so on ($\downarrow^k$ halves it $k$ times by averaging 2×2 texels):
#
# $$
# \begin{aligned}
# d_{\text{pix}}(y, x; v) &= \frac1K \sum_{k=0}^{K-1} \frac{\sum_p \big( r_k \big)_p^2 \big/ (\downarrow^k v)_p}{\sum_p (\downarrow^k v)_p} \\
# r_k &= \; \downarrow^k [\, v \odot (y - x) \,]
# \end{aligned}
# $$ (eq-ch03-pyramid)
#
# The difference is multiplied by $v$ *before* anything is averaged, so an unobserved texel has exactly no influence.
# The finest level is the usual error, coarser ones pull from further away.
# The feature distance $d_{\text{feat}}$ compares not texels but what a network makes of them, as LPIPS does {cite}`zhang2018lpips`; the network is D_phone, the discriminator that $G_{\text{phone}}$ was trained against, and it looks through the same mask.
#
# **A prior that knows the shape of W.** $G$ was trained on rows $w$ from its mapping network, which fill a thin, slanted cloud.
# With $\mu$, $U$ and $\sigma$ the mean, the principal axes and the standard deviations of that cloud, the *prior energy*
#
# $$
# \begin{aligned}
# e(w) &= \frac{1}{Ln} \sum_{l=1}^{L} \lVert a_l \rVert^2 \\
# a_l &= \operatorname{diag}(\sigma)^{-1} U^\top (w_l - \mu)
# \end{aligned}
# $$ (eq-ch03-prior)
#
# counts how many standard deviations a code lies from the mean, squared: about 1 for a sample of the generator.
# The $a_l$ are the *whitened* coordinates of row $l$, in which the cloud is round; $\mu$, the same in every row, is the *mean code*.
# (Here every row counts, and every direction in its own standard deviations; chapter 2's widths of clouds are of the means of rows, in plain units.)

# %% tags=["hide-input"]
notebook.source(pyramid_distance)
notebook.source(WPrior.whiten)
notebook.source(WPrior.energy)

# %% [markdown]
# ## A canyon, and its map
#
# Move a code a little: along some directions the picture changes completely, along others hardly at all.
# Near its minimum the pixel loss of a small step $\delta$ is $\tfrac12\, \delta^\top H\, \delta$, and the Hessian $H$ is nearly $\tfrac{2}{m} J^\top J$, where $J = \partial G / \partial w$ says how each of the picture's $m$ numbers answers to each number of the code.
# $J$ is far too large to be formed, but need not be: for noise $y$ with $m$ independent entries of variance 1, the gradient of $\langle y, G(w) \rangle$ is $J^\top y$, and the mean of $J^\top y\, y^\top J$ over such noise is $J^\top J$.
# `Curvature` averages that over codes, row by row of W+.
#
# Both axes of the figure are logarithmic: between the left and the right end lie many powers of ten.

# %% tags=["hide-input"]
steep = lab.second_derivatives(g_phone, curvature)
figures.show(
    drawn.canyon_figure(steep, 2 * settings.inversion.prior / steep.numel()),
    "How strongly a picture answers to its code: mean second derivative of the pixel loss "
    "along the directions of a row, in standard deviations of W, the steepest first. One "
    "curve for every other row, by the resolution of the layer that it drives. Look at how "
    "far each curve falls; the grey line is what the prior adds to every direction.",
)

# %% [markdown]
# In the first row the second derivative falls by a factor of {glue:text}`ch03_canyon` from the steepest direction to the middle one, number {glue:text}`ch03_middle` of {glue:text}`ch03_width`.
# A step short enough for the first is far too short for the other: that is why gradient descent crawls here.
# The curves of the fine layers end early: a row cannot move a picture in more directions than its layers have channels.
#
# **A map for the descent.** Newton's step, $-H^{-1}$ times the gradient, is the right length in every direction.
# Ours takes the map just measured, plus the prior's own curvature, for $H$, and corrects it on the way from how the gradient changed (a *quasi-Newton* method, limited-memory BFGS {cite}`nocedal1980lbfgs`).
# One detail matters: $J$ differs from face to face, so where the *mean* matrix is flat, a single face may be steep, and a long step there would miss.
# So the matrix is raised to the power {glue:text}`ch03_power`, as in Shampoo {cite}`gupta2018shampoo`, and scaled to keep its largest second derivative: all others become larger, so the steps that they allow become shorter.
# Each face is inverted as if it were alone, and a step that makes the *loss* larger, of which the pixels are one term, is taken back and shortened.
#
# **A place to begin.** In {ref}`ch02` the encoder learnt while the generator was still changing.
# When that training is over $G$ stands still, and we train the encoder on, for a while, with {eq}`eq-ch03-problem` itself as its loss, averaged over the training captures instead of minimised for one.
# What all captures have in common is learnt once (*amortised* inversion), and the descent is left with what is special about this one.
# The encoder looks twice: at the capture, and then at what its first guess has missed {cite}`alaluf2021restyle`.
#
# ## The experiment
#
# We take people of the split "val", whom no network has learnt from, one capture each.
# To learn what happens in unobserved regions, we need to know what is there.
# So we *hide one side*: every texel with $u <$ {glue:text}`ch03_hidden_below:g` counts as unobserved, as if the phone had never gone around to that side, and is kept aside as truth.
# An inversion sees the third row of the figure and nothing else; the studio texture is only measured against.

# %%
captures = lab.hide_a_side(data, size, settings.inversion.batch * 5 // 4)
texture, kept, truth = captures.texture, captures.kept, captures.truth
rows, hidden, holes = captures.rows, captures.hidden, captures.holes
views = [texture, texture * captures.visibility, texture * kept, truth]
figures.show(
    figures.texture_grid(
        [view[:8] for view in views],
        ["phone", "observed", "given", "studio truth"],
        tile=1.2,
    ),
    "Up to eight of the people, one column each: the phone texture, with a smooth fill where "
    "nothing was seen; what of it was observed; what is given to an inversion after one side "
    "is hidden; and the true studio texture.",
)

# %% [markdown]
# The next cell first prints the key to all names.
# "W+" is our default; "W+ tight" has {glue:text}`ch03_tight_times` times its pull, "W+ free" none, "W+ long" none and {glue:text}`ch03_long_times` times the steps.
# Adam {cite}`kingma2015adam`, in the whitened coordinates where its steps are alike along every axis, is the rival: from the same codes, and from the mean code with {glue:text}`ch03_adam_times` times as many steps.
#
# Then two views of the race: over the steps, and over the seconds that a texture takes; means over people, higher is better.

# %% tags=["hide-input", "nbval-ignore-output"]
base = settings.inversion
drawn.methods_table(base)
result = lab.race(inverter, texture, kept, base)
nobody = g_phone.expand(g_phone.w_mean[None]).expand(len(rows), -1, -1)
codes = {lab.MEAN: nobody, **result.codes}
painted = {name: decode(g_phone, code) for name, code in codes.items()}
translated = {name: decode(g_studio, code, "none") for name, code in codes.items()}
runs = result.runs
figures.show(
    drawn.race_figure(result),
    "PSNR in the given texels over the steps, mean over people; the band is the range over "
    "people of W+ alone. All start from the encoder's codes, but W has to begin with the mean "
    "of their rows. Coloured: quasi-Newton steps; grey: Adam's.",
)
figures.show(
    drawn.time_figure(result),
    "Quality against time: mean PSNR in the given texels over the seconds spent on a "
    "texture, on a logarithmic axis, for W+ and for Adam.",
)

# %% [markdown]
# The encoder's codes begin at {glue:text}`ch03_start:.1f` dB ({glue:text}`ch03_first_pass:.1f` dB after its first look); W, where their rows are averaged, begins at {glue:text}`ch03_w_start:.1f`.
# {glue:text}`ch03_steps` quasi-Newton steps in W+ bring them to {glue:text}`ch03_newton:.1f` dB, as many of Adam to {glue:text}`ch03_adam:.1f` dB: its first steps can lose some of what the encoder had given, so that it may end below its start.
# Adam from the mean code, for {glue:text}`ch03_adam_times` times as many steps, ends at {glue:text}`ch03_adam_long:.1f` dB; our descent {glue:text}`ch03_reached`.
# Where a coloured curve dips, as those of "W+ features" and "W+ tight" may, the loss has fallen all the same: its other terms gained.
#
# Decibels do not say how likely the codes are.
# The encoder's have a prior energy of {glue:text}`ch03_start_energy:.1f`, quasi-Newton steps end at {glue:text}`ch03_newton_energy:.1f`, Adam's at {glue:text}`ch03_adam_energy:.1f`.
# Along directions that no pixel answers to, only the pull counts, and it points to the mean; a method that knows the curvature takes steps there that are long enough to follow it.
#
# ## Before and after translation
#
# The same codes, decoded by G_phone (upper rows) and by G_studio (lower rows), for two people.
# The first table has the means over {glue:text}`ch03_captures` people, the best in bold: of G_phone's pictures against the capture ("phone"), and of G_studio's against the true studio texture ("studio"), each on the side that was given, on the hidden one, and in the holes that the phone left itself; ↑ marks measures of which more is better, ↓ less.
# *Identity cosine* is how alike a network that no loss uses finds the two faces: 1 at most, and {glue:text}`ch03_strangers:.2f` for the studio textures of two different people.
# The *perceptual* distance compares features of a public network for photographs; after the @ stands how many texels wide the textures are.
# *Gain-fitted* decibels allow the best factor for each colour first, and the *low-band* error is that of light and colour after a wide blur, in log units.
#
# The second table has differences, with their 95 % intervals, and words from a stricter test, a sign-flip test (how often would random signs of the people's differences give a mean as far from 0?) in which all of its comparisons, and those of the claims below, are corrected together.

# %% tags=["hide-input"]
for person in range(min(2, len(rows))):
    tops = [(texture * kept)[person], *(p[person] for p in painted.values())]
    bottoms = [truth[person], *(t[person] for t in translated.values())]
    figures.show(
        figures.texture_grid(
            [tops, bottoms],
            ["G_phone", "G_studio"],
            ["goal", *painted],
            tile=1.2,
        ),
        f"Unseen person {person + 1}. Top: what was given, and G_phone's "
        "pictures of the codes. Bottom: the true studio texture, and G_studio's "
        "pictures. Compare each row with its goal: lines that look drawn on, and "
        "colours that run, are what G_studio makes of codes it was not taught "
        "on, of the mean code too.",
    )
measures = lab.measure(captures, codes, painted, translated, g_phone, eye)
notebook.table_of(["measure", *codes], drawn.measures_rows(measures))
drawn.gains_table(measures)

# %% [markdown]
# Before translation **{glue:text}`ch03_best_before`** is best.
# After it the encoder's code has the best mean {glue:text}`ch03_encoder_first` rows named "studio"; of the given side's decibels **{glue:text}`ch03_best_after`** has most.
# Whether such a lead is more than chance is for the second table to say; an interval there may exclude 0 where the word is "cannot tell", for the words are corrected for all comparisons and the intervals are not.
#
# - *Further than the encoder?* Steps on from its code give a worse studio texture with {glue:text}`ch03_after_worse`, and a better one with {glue:text}`ch03_after_better`. The default descent {glue:text}`ch03_descent_words` ({glue:text}`ch03_descent` dB).
# - *Better than nothing?* Everybody's mean code is beaten, after translation, by {glue:text}`ch03_beat_mean`. Of what is not named here it cannot be said that it gains by having looked at the capture, however well it copies it.
# - *The pull*, default minus none: {glue:text}`ch03_prior_effect` dB, so {glue:text}`ch03_prior_words`; one {glue:text}`ch03_tight_times` times as strong {glue:text}`ch03_tight_words` ({glue:text}`ch03_tight_effect` dB).
# - *The feature distance* changes the perceptual distance to the true studio texture from {glue:text}`ch03_pixels_perceptual:.3f` to {glue:text}`ch03_features_perceptual:.3f` (lower is better), and costs one more network in every step.
#
# ## The trade, person by person
#
# Left, every small dot is a person: how much better than the encoder's code an inversion copies the given side (to the right), and how much better a studio texture it gives (upwards).
# If the two went together, the dots would rise to the right.

# %% tags=["hide-input"]
prior = WPrior.from_generator(g_phone)
figures.show(
    drawn.trade_figure(measures, codes, prior),
    "Left: gain over the encoder's code (black star), by method; small dots are people, large "
    "marks their means. Dots below the line make a worse studio texture than the encoder's "
    "guess does. Right: squared distance of each row from the mean, in standard deviations; "
    "a sample of the generator lies at 1.",
)

# %% [markdown]
# The right plot says where codes lie.
# A sample has energy 1 in every row; the encoder's codes have {glue:text}`ch03_energy_encoder:.1f` on average, those with the default pull {glue:text}`ch03_energy_wplus:.1f`, those in W {glue:text}`ch03_energy_w:.1f`, the free ones {glue:text}`ch03_energy_free:.1f` and after {glue:text}`ch03_long_times` times the steps {glue:text}`ch03_energy_long:.1f`.
# Far out, a studio texture falls apart.
# But nearer to the mean is not better either: the default pull moves codes inwards from the encoder's, and we have seen what it gains.
# What counts is to be where $G_{\text{studio}}$ was trained, and it was trained on the encoder's codes, of captures that were disturbed a little before the encoder saw them ({ref}`ch04`).
# That is why the chain stops at the encoder.
#
# Is it harder to copy people whom no network has seen?
# The released *code bank* holds the codes of {glue:text}`ch03_bank` captures that the generator was trained on, inverted as a whole with {glue:text}`ch03_bank_steps` steps: {glue:text}`ch03_bank_psnr:.1f` dB on average, and the middle 80 % of them lie between {glue:text}`ch03_bank_low:.1f` and {glue:text}`ch03_bank_high:.1f`.
# Our unseen people, as a whole too, have {glue:text}`ch03_bank_unseen`; {glue:text}`ch03_bank_words`.
#
# ## What was not observed
#
# First the strict statement: texels of visibility 0 do not influence the code at all.
# We paint the holes and the hidden side in a loud colour, once telling the inversion where they are, and once not.
#
# Then the useful one: what does the generator paint where it was told nothing?
# The rivals are the mean code, and a smooth *fill* that continues the colours of the given side.
# Here the truth is the capture itself, in its own light.

# %%
short = replace(base, steps=max(base.steps // 4, 2))
leaked = lab.leak(inverter, texture[:2], kept[:2], short)
pictures, scores = lab.hidden_scores(
    captures, {name: p for name, p in painted.items() if name != "W+ features"}
)
person = 0
figures.show(
    figures.texture_grid(
        [
            [
                (texture * captures.visibility)[person],
                *(p[person] for p in pictures.values()),
            ],
            [(x * hidden)[person] for x in (texture, *pictures.values())],
        ],
        ["all", "hidden side"],
        ["capture", *pictures],
        tile=1.05,
    ),
    "One unseen person. First column: the capture, of which the left side was hidden; then "
    "what each method paints, whole (top) and on the hidden side alone (bottom).",
)
figures.show(
    drawn.hidden_figure(scores),
    "PSNR on the hidden side, by method: one mark per person, and a line at their mean.",
)

# %% [markdown]
# With the mask the codes move by {glue:text}`ch03_leak:.1g`; without it, by {glue:text}`ch03_leak_unmasked:.2f` times their own distance from the mean code.
#
# On the hidden side the default inversion reaches {glue:text}`ch03_hidden_wplus:.1f` dB, the mean code {glue:text}`ch03_hidden_mean:.1f` and the smooth fill {glue:text}`ch03_hidden_fill:.1f`.
# It {glue:text}`ch03_hidden_vs_mean` the mean code and {glue:text}`ch03_hidden_vs_fill` the fill; the highest mean has {glue:text}`ch03_hidden_best`.
# From the given side to the hidden one, "W+ long" loses {glue:text}`ch03_hidden_gap:.1f` dB and W {glue:text}`ch03_hidden_gap_w:.1f`.
# The encoder's code, which no descent has fitted to the capture, loses too (first table): that is what not seeing costs.
# What a fitted code loses beyond that is over-fitting in the plain sense of the word: the given texels are its training set, the hidden ones its test set.
# (After translation the hidden side is no such test: the light of the capture, which a code over-fits first, is not in the studio texture, on either side.)
#
# ## What goes wrong: noise maps
#
# The generator adds noise maps to its features (chapter 2), and a popular recipe optimises them together with the code; here they stay fixed.
# The reconstruction gets better at once.
# To see what was learned, we go to the extreme: the code is the mean code, and *only* the noise maps are optimised, for the first capture.
#
# Compare the columns below: the upper row should look like the first picture in it, and so should the lower one.

# %% tags=["hide-input"]
alone, seen = texture[:1], kept[:1]
trap = lab.noise_trap(g_phone, g_studio, alone, seen, nobody[:1], 2 * base.steps)
figures.show(
    figures.texture_grid(
        [
            [(alone * seen)[0], painted[lab.MEAN][0], trap.painted[0], trap.painted[0]]
            + [painted["W+"][0]],
            [truth[0], trap.left[0], trap.left[0], trap.moved[0], translated["W+"][0]],
        ],
        ["reconstruction", "translation"],
        ["given / truth", "mean code", "noise stays", "noise moves", "W+ code"],
        tile=1.35,
    ),
    "Top: what was given, and pictures of G_phone: the mean code, the mean code with noise "
    "maps optimised to explain this capture (twice), a W+ code. Bottom: the studio truth, and "
    "G_studio's pictures, with its own maps (noise stays) or the optimised ones (moves).",
)

# %% [markdown]
# The maps alone lift the copy of this one capture from {glue:text}`ch03_noise_start:.1f` to {glue:text}`ch03_noise_end:.1f` dB, with a code that says nothing about the person.
# Translated, there are two possibilities.
# If the maps stay behind, G_studio gets the mean code and paints the mean person: {glue:text}`ch03_noise_after:.1f` dB.
# If they are moved along, they carry the phone's light with them, past every layer that was taught to remove it: {glue:text}`ch03_noise_moved:.1f` dB.
# Both are {glue:text}`ch03_noise_words` the honest code with {glue:text}`ch03_noise_code:.1f` dB.
# How strong this trap is depends on how much the generator learned to use its noise; chapter 2 measured that.
#
# ## What goes wrong: the over-fitted code
#
# A code is there to be *used*: to be mixed with others, edited, translated.
# Take two people's codes and go half-way.
# Look first at G_phone's rows: every stop of every walk is a face.
# Then at G_studio's: where codes over-fit, what goes wrong lies at the *ends*, in the codes themselves; the way between two far codes leads back from far out (the energies below the figures say how far).
#
# The second figure over-fits in another way: it inverts *every* texel, the fill where nothing was seen included.

# %% tags=["hide-input"]
walks, titles = [], []
for name in ("W", "W+", "W+ long"):
    way = lab.walk(codes[name][0], codes[name][-1])
    walks += [decode(g_phone, way), decode(g_studio, way, "none")]
    titles += [f"{name}\nphone", f"{name}\nstudio"]
figures.show(
    figures.texture_grid(
        walks, titles, ["person A", "¼", "½", "¾", "person B"], tile=1.15
    ),
    "Straight walks between the codes of two unseen people, from left to right, in W, W+ and "
    "W+ long: two rows each, decoded by G_phone and by G_studio. Compare the last row with "
    "the one above it.",
)
pair = slice(0, 2)
whole = inverter(texture, captures.visibility, base)
observed = decode(g_studio, whole.w_plus, "none")
smears = inverter(texture[pair], torch.ones_like(kept[pair]), base)
smeared = decode(g_studio, smears.w_plus, "none")
stages = [texture[pair], smears.reconstruction.cpu(), smeared]
stages += [observed[pair], truth[pair]]
figures.show(
    figures.texture_grid(
        list(zip(*stages, strict=True)),
        ["person 1", "person 2"],
        ["phone", "all texels", "… translated", "observed only", "truth"],
        tile=1.2,
    ),
    "Two captures with the fill of their holes; inverted as if every texel had been observed; "
    "the translation of that; the translation of the inversion that looks at observed texels "
    "only; the true studio texture.",
)

# %% [markdown]
# In "W+ long" the two ends of the walk have a prior energy of {glue:text}`ch03_walk_ends:.0f` on average, the stop half-way {glue:text}`ch03_walk_middle:.0f`.
# In the holes of the two captures the translation of the first inversion has {glue:text}`ch03_smear_holes:.1f` dB, and of the one that looks at observed texels only {glue:text}`ch03_smear_holes_masked:.1f` dB.
#
# ## Claims tested here
#
# What this table says is of one run of this page; it is not in [the ledger](../ledger.md), whose records have several seeds.
#
# | statement | whose | measured here | verdict |
# | --- | --- | --- | --- |
# | W+ gives near-perfect reconstruction | the authors state it | {glue:text}`ch03_perfect_long` dB with "W+ long"; we ask for {glue:text}`ch03_limit:.0f` | {glue:text}`ch03_perfect` at this size of network and of data, on given texels only; after translation these codes have {glue:text}`ch03_studio_long:.1f` dB, the best {glue:text}`ch03_after_best_db` |
# | W+ without a pull copies better than with it, and that better than W | our inference | {glue:text}`ch03_freedom` dB | {glue:text}`ch03_freedom_words` |
# | The best code before translation is beaten by another after it | our inference | {glue:text}`ch03_best_before` minus {glue:text}`ch03_best_after`: {glue:text}`ch03_beaten` | {glue:text}`ch03_differs` |
# | The pull helps after translation | our inference | {glue:text}`ch03_prior_effect` dB | {glue:text}`ch03_prior_words` |
# | Optimising the encoder's code further gains nothing after translation | our chain rests on it | {glue:text}`ch03_descent` dB | the descent {glue:text}`ch03_descent_words` |
# | Unobserved texels have no influence | our design | codes move by {glue:text}`ch03_leak:.1g` | true by construction, and checked |

# %% tags=["remove-cell"]
# The numbers that the text quotes.
bank = CodeBank.open(weights.weights_dir() / "bank.safetensors")
notebook.tell("ch03", drawn.race_numbers(result, base.steps))
notebook.tell("ch03", drawn.measure_numbers(measures))
notebook.tell("ch03", drawn.verdict_words(measures))
notebook.tell("ch03", drawn.claim_words(measures))
notebook.tell("ch03", drawn.bank_words(whole.psnr_observed, bank, base.steps))
notebook.tell("ch03", drawn.hidden_words(measures, scores))
left, moved = (float(psnr(x, truth[:1], seen)) for x in (trap.left, trap.moved))
honest = float(measures.values[lab.AFTER]["W+"][0])
notebook.tell("ch03", drawn.noise_numbers(trap, left, moved, honest))
first = decode(g_phone, inverter.guess(texture, kept, passes=1))
in_holes = {"smear_holes": smeared, "smear_holes_masked": observed[pair]}
notebook.tell(
    "ch03",
    {name: psnr(x, truth[pair], holes[pair]).nanmean() for name, x in in_holes.items()},
)
energies = prior.energy(lab.walk(codes["W+ long"][0], codes["W+ long"][-1], 3))
levels = inspect.signature(pyramid_distance).parameters["levels"].default
notebook.tell(
    "ch03",
    {
        "power": inversion.curvature.POWER,
        "canyon": drawn.fall(steep),
        "rows": len(steep),
        "width": steep.shape[1],
        "middle": steep.shape[1] // 2,
        "levels": levels,
        "captures": len(rows),
        "few": weights.read_card("g_studio", protocol="few")["settings"]["studio"],
        "strangers": lab.strangers(eye, truth),
        "steps": base.steps,
        "first_pass": psnr(first, texture, kept).mean(),
        "leak": leaked[0],
        "leak_unmasked": leaked[1],
        "walk_ends": energies[[0, 2]].mean(),
        "walk_middle": energies[1],
    },
)

# %% [markdown]
# ## Exercises
#
# A cell with a stub ends in a check: put your answer in place of `...` and run it.
# The check says that the answer is right, or what kind of mistake it looks like.
# A folded solution follows each exercise.
#
# ```{exercise-start} Recall: who is free?
# :label: ex-ch03-spaces
# ```
# Of which code is it true?

# %% tags=["exercise"]
from studiolike.exercises import ch03

# "mean code", "encoder", "W", "W+ with a pull" or "W+ without a pull"
spaces = {
    "reproduces the capture best": ...,
    "cannot give one layer another light than the next": ...,
    "may lie far from every face that G was trained on": ...,
    "is the same for everybody": ...,
    "costs no descent at all, only looks of a network": ...,
}
ch03.check_spaces(spaces)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch03-spaces
# :class: dropdown
#
# ```python
# spaces = {
#     "reproduces the capture best": "W+ without a pull",
#     "cannot give one layer another light than the next": "W",
#     "may lie far from every face that G was trained on": "W+ without a pull",
#     "is the same for everybody": "mean code",
#     "costs no descent at all, only looks of a network": "encoder",
# }
# ```
#
# Before translation more freedom means less error; what it costs shows after it.
# ````
#
# ```{exercise-start} Code: make the cloud round
# :label: ex-ch03-whiten
# ```
# Write a function that takes codes `(N, D)` and returns them whitened: zero mean, variance 1 in every direction, no correlation.
# Many answers are right, because a round cloud may be turned.

# %% tags=["exercise"]
from studiolike.exercises import ch03


def whiten(codes):
    return ...  # your code


ch03.check_whiten(whiten)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch03-whiten
# :class: dropdown
#
# ```python
# import torch
#
#
# def whiten(codes):
#     centred = codes - codes.mean(0)
#     variance, basis = torch.linalg.eigh(centred.T @ centred / (len(codes) - 1))
#     return centred @ basis / variance.sqrt()
# ```
#
# Turn the cloud onto its principal axes, then divide each axis by its standard deviation; that is {eq}`eq-ch03-prior` without the square.
# Dividing the coordinates as they are leaves a slanted cloud slanted.
# ````
#
# ```{exercise-start} Code: one level of the pyramid
# :label: ex-ch03-level
# ```
# Write the term $k = 1$ of {eq}`eq-ch03-pyramid`: differences halved once, by `F.avg_pool2d(…, 2)`, with the mean square over the three channels.
# The check puts junk where nobody has looked.

# %% tags=["exercise"]
from studiolike.exercises import ch03


def level_one(a, b, visibility):
    return ...  # a, b (B, 3, H, W), visibility (B, 1, H, W) -> (B,)


ch03.check_level(level_one)

# %% [markdown]
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch03-level
# :class: dropdown
#
# ```python
# import torch.nn.functional as F
#
#
# def level_one(a, b, visibility):
#     difference, seen = F.avg_pool2d((a - b) * visibility, 2), F.avg_pool2d(visibility, 2)
#     squares = difference.square().mean(1, keepdim=True) / seen.clamp_min(1e-6)
#     return squares.sum((1, 2, 3)) / seen.sum((1, 2, 3))
# ```
#
# $v$ comes first, then the averages.
# A coarse texel's difference is $\downarrow(v d) / \downarrow v$, and it counts with the weight $\downarrow v$; the product of the square and the weight leaves one division.
# ````
#
# ```{exercise-start} Explain: sum or mean?
# :label: ex-ch03-sum
# ```
# The gradient is that of the *sum* of the losses over the batch.
# Quasi-Newton steps do not care about a constant factor of the loss (why?), so would the mean do as well?
# And Adam, and plain gradient descent?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch03-sum
# :class: dropdown
#
# With a factor $c$ the gradient and its changes grow by $c$, and the remembered inverse curvature shrinks by $1/c$: the steps are the same, all but the first one, which uses the measured map alone.
# With the mean, $c$ is one over the batch size, so the first step, and with it everything after, would depend on how many faces are inverted together.
# The sum avoids that.
# Adam divides by the root of the running mean square, so $c$ cancels there up to its small ε; plain gradient descent has no such division, and the factor scales every step.
# ````
#
# ```{exercise-start} Research: choose the prior without cheating
# :label: ex-ch03-lambda
# ```
# The table compares weights of the pull, $\lambda_p$, on the people of the split "val".
# Choosing the best column and then quoting its number would be cheating, mildly.
# Choose it on one half of these people, by the quality after translation, and then measure once on the other half.
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch03-lambda
# :class: dropdown
#
# Loop over weights such as 0, 3e-4, 1e-3, 3e-3, 1e-2; invert the captures of the first half with `replace(base, prior=weight)`; decode with G_studio; take the weight with the best mean PSNR to `data.studio_batch(data.subject[rows])`.
# The curve is usually flat around its maximum, so the choice costs little; but only the second measurement may be quoted.
# Mind that G_studio was fine-tuned on the encoder's codes: a short descent, which stays near to them, has a home advantage.
# ````
#
# ```{exercise-start} Research: what is the encoder worth?
# :label: ex-ch03-start
# ```
# Let the quasi-Newton descent begin at the mean code instead.
# How many steps does it need for what the encoder's code gives at once, and is the code that it finds as good after translation?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch03-start
# :class: dropdown
#
# `inversion.invert(g_phone, texture, kept, replace(base, steps=4 * base.steps), feature_net=d_phone, curvature=curvature)` starts from the mean, because `start` is not given.
# Compare `history["psnr"]`, and `psnr(decode(g_studio, result.w_plus), truth, kept)`.
# The first steps are taken back, most of them: so far from the goal, the map that was measured near typical codes promises too much.
# An encoder alone {cite}`tov2021e4e` costs a pass or two instead of a descent; the column "encoder" of the table says what they are worth.
# ````
#
# ## Determinism
#
# Inversion has no random numbers at all: it starts from the encoder's code, with fixed noise, and the prior is fitted to the same samples each time.
# Two runs on one machine agree to the last digit; another processor or number of threads rounds differently, and {glue:text}`ch03_steps` steps carry such differences on without making them large.
#
# ## Summary
#
# - Inversion minimises a visibility-weighted distance over W+; what was not observed has exactly no influence.
# - Freedom lowers the error of the copy and leaves the region that the generators know. Judge a code after translation, and on texels that it was not given.
# - A pull towards the mean, in whitened coordinates, is the price tag on that freedom. Here {glue:text}`ch03_prior_words` ({glue:text}`ch03_prior_effect` dB, default minus none).
# - After translation {glue:text}`ch03_after_best` has the highest mean here; shown to be better than the encoder's code: {glue:text}`ch03_after_better`. The chain takes the encoder's code: it costs no descent, and it is what G_studio was trained on.
# - Noise maps stay fixed: what they absorb is lost, or carries the light along.
#
# ## References
#
# <!-- references -->
