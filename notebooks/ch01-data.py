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
# This book rebuilds, in small, the method of {cite:t}`athar2024bridging` ("the paper", "the authors"), which turns a phone's picture of a head into one that looks taken in a studio.
# Everything in it is learnt from two kinds of picture of the same heads: what a phone sees, and what a studio sees.
# Here you build both from their causes, with a *simulator* (the program that makes this book's heads); measure how far apart they are; and meet three ways in which such data fool their users.
#
# **What comes out.** Where a texel is the same spot on everybody, {glue:text}`ch01_enough` in spanning new faces.
# Changing the light moves a face's picture {glue:text}`ch01_light_moves` changing the person ({glue:text}`ch01_sd_light:.0f` against {glue:text}`ch01_sd_people:.0f` levels of 255).
# The map of what was seen tells phone from studio with AUC {glue:text}`ch01_auc_holes_raw:.2f` (0.5 is a coin), without any face; one exponent "gains" {glue:text}`ch01_trap_gain:.1f` dB and removes no shadow; and other captures of the same people take the error of a mere memory from {glue:text}`ch01_leak_subject:.0f` to {glue:text}`ch01_leak_capture:.0f` levels.
# All people are synthetic, but for one photograph. No network of the method runs yet; one that recognises people serves as a judge.
#
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
# No graphics: {doc}`../before-you-start` has what is needed of it, in pictures.
#
# **Words.** A *subject* is a person, here a synthetic one.
# A *texture* is the unrolled surface of a head, stored as a picture whose pixels are called *texels*; its red, green and blue lie in [0, 1], and a *level* is one step of an 8-bit picture, 1/255 of that range.
# A *capture* is one texture of one subject in one light, from one photograph or from a film of two or three sides.
# The *phone* and the *studio domain* are the two kinds of texture; the studio's light is even, and *de-lighting* is the way from the first to the second.
# *sRGB* is the encoding of ordinary picture files: not the light itself (*linear* values), but a curve of it that gives dark tones more levels.
# *Log units* are of the natural logarithm: 0.1 is about 10 %, 1.0 a factor of 2.7.
# A blur splits a picture into what is *broad*, which survives it, and what is *fine*; it is 3 % of the width wide unless said otherwise.
# A *split* is a group of subjects with one purpose.
# Most are for training; settings are chosen on the split "val", from which no network learns, and only the final evaluation opens "test".
#
# | the sets of this page | subjects | captures | what they are for |
# | --- | --- | --- | --- |
# | the page's set, {glue:text}`ch01_resolution`² | {glue:text}`ch01_subjects` | {glue:text}`ch01_captures` | every number, unless another set is named |
# | its split "val" | {glue:text}`ch01_val_people` | {glue:text}`ch01_val_captures` | to grade what was fitted on the others |
# | six heads, {glue:text}`ch01_size`² | 6 | 6, and {glue:text}`ch01_lights` lights of the first head | the large pictures, and the steps of the phone |
# | a larger draw of "val" | {glue:text}`ch01_line_up_all` | 3 each | the judge of identity, in two halves |
#
# **What the authors say about their data.** They state that phone textures are of low resolution, have the capture's light baked in, and miss regions, behind the ears for example.
# Their captures are private, of phones and of studio alike; secondary summaries report 12,000 phone textures.
# The synthetic heads are a declared stand-in for them: they show that the method works where the truth is known, not that it works on people.
# The layout, skin model, light and camera of this chapter are all our choices.
# What of the paper was read, and what is inferred, is said in one place: {doc}`../related-work`.
#
# ### Predict before you run
#
# ```{predict} 1. One person under many lights, and many people under the studio's one light. In which group do the textures differ more, texel by texel?
# - [ ] The people, by far: skin tones, beards and noses differ more than lamps.
#   That is what most expect.
# - [x] Neither by far: another light moves a texel about as much as another person.
# - [ ] The one person, by far.
#   Lights differ a lot, but so do skin and hair.
#
# The section on severity measures both, over the same texels, with and without what the camera adds.
# ```
#
# ```{predict} 2. A classifier sees no picture, only the map of which texels were observed. How well does it tell phone from studio?
# - [ ] No better than a coin.
#   It sees no face, but it sees something that only one of the two has.
# - [ ] Fairly well, with many errors.
# - [x] Perfectly.
#
# A studio texture has no holes.
# The question that matters is what a network learns that has to please such a classifier, and the answer is: to paint holes, or to fill them, and nothing about light.
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

# %% tags=["parameters"]
profile = "auto"  # smoke, cpu, gpu or paper; auto takes what fits this machine

# %% tags=["hide-input"]
import torch
from IPython.display import display
from skimage.data import astronaut

from studiolike import layout, recipes, weights
from studiolike.capture import astronaut_landmarks, capture_photo
from studiolike.chapters import (
    domains,
    figures,
    interactive,
    notebook,
    portraits,
    traps,
)
from studiolike.evaluation import asymmetry
from studiolike.experiments import domains as lab
from studiolike.image import linear_to_srgb, srgb_to_linear
from studiolike.protocols import studio_subjects
from studiolike.stylegan2.train import image_grid
from studiolike.synth import (
    light,
    phone_capture,
    studio_texture,
    synthesise_subjects,
)
from studiolike.synth.dataset import SPLITS

settings = recipes.chapter_profile(profile)
figures.apply_style()
data = recipes.chapter_set(settings)  # small textures of many subjects
size = settings.chapter.detail_resolution  # of the few that are made on this page
everybody = data.studio_batch(torch.arange(len(data.studio)))
tested = data.captures("val")
notebook.tell("ch01", {"resolution": data.resolution, "size": size})
notebook.tell("ch01", {"val_people": len(data.subjects("val"))})
notebook.tell("ch01", {"val_captures": len(tested)})

# %% [markdown]
# ## One layout for every head, and what that is worth
#
# A head is stored as a square picture: unroll a cylinder around the head's vertical axis, put a dome on top, keep the nose in the middle.
# Across stands the angle around the axis, down the height; the face gets more texels than the back of the head.
#
# The picture has two companions.
# A **position map** holds, in every texel, the point of the head that lies there, so that normals (the directions in which the skin faces), meshes and light all follow from it.
# A **visibility map** in $[0, 1]$ says how well a texel was seen, and is exactly 0 where nobody looked.
#
# The 468 landmarks of a face detector {cite}`kartynnik2019facemesh` have *fixed* places in the layout: the textures are *registered*.
# So one texel is the same spot of skin on everybody: a network need not learn where the mouth is, only what mouths look like.
# Models of faces have rested on that correspondence since {cite:t}`blanz1999morphable`.
#
# How much is it worth?
# Take the fine structure of some studio faces: log luminance (brightness) without what survives a blur over 6 % of the width, so that eyes, brows, nose, lips and marks remain.
# Span a linear subspace by them, and ask what share of the fine structure of people *not* among them, those of the split "val", it explains: 1 − (sum of squares left over) / (sum of squares).
# Then do the same after every texture was moved, turned and scaled a little, as it would come out of the crop box of a face detector: only the correspondence is gone.

# %% tags=["hide-input"]
notebook.source(
    layout.uv_of, "The code of the layout: from a point of the head to its texel"
)
figures.show(
    portraits.layout_figure(),
    "Find the nose in all three. Left: the square head layout with coloured regions, a "
    "grid and the 468 landmarks. Centre: the position map; red is how far to the "
    "picture's right, green how high, blue how far to the front a texel lies. "
    "Right: the coloured layout on the head, from the front and from the side; the "
    "grid's cells are small on the face and large at the back.",
)
unseen = data.split == SPLITS.index("val")
registered = lab.registration(everybody[~unseen], everybody[unseen])
notebook.tell("ch01", domains.registration_numbers(registered))
notebook.tell("ch01", portraits.face_share())
figures.show(
    portraits.registration_figure(registered),
    "Left: mean of all training studio textures, sharp when registered and blurred when "
    "jittered. Right, the result: the share of new faces' fine structure explained, over "
    "the number of training textures; higher is better, and below 0 the subspace is "
    "worse than assuming no structure at all. Error bars: one standard deviation over "
    "five draws of the training textures.",
)

# %% [markdown]
# The face oval is {glue:text}`ch01_face_area:.0f` % of the head's surface and gets {glue:text}`ch01_face_texels:.0f` % of the texels.
# From {glue:text}`ch01_counts` textures, {glue:text}`ch01_registered:.0f` % of new faces' fine structure is explained if all are registered, and {glue:text}`ch01_jittered:.0f` % if not: {glue:text}`ch01_enough`.
# No network was trained, and a convolutional one would be hurt less than a linear subspace.
#
# ## A head whose causes are known
#
# A synthetic subject is a seed, from which its traits are drawn: a shape (the base head plus smooth, slightly asymmetric bumps), pigments, marks, hair, and relief (pores and wrinkles).
# Every map that went into the picture is kept, which no real capture can offer.
# The first figure has ten of them.
# Upper row, what the subject is made of:
#
# - **albedo**, the skin's own colour, what is left when all light is taken away (rings mark its moles);
# - **normals**, the direction in which each texel faces, in the colours of the position map;
# - **off the base head**, how far the shape of this head is from the average one, bright where it is far;
# - **sky seen**, the share of all directions that nothing blocks, dark in hollows (*ambient occlusion*);
# - **gloss**, how mirror-like the skin is.
#
# Lower row: where **hair** covers the skin; the **light** that fell on the head in one capture; its **visibility**; and the two textures that result, one for each domain.
#
# The domains differ first of all in their light.
# It reaches a texel with normal $n$ from all directions $\omega_d$ that it can see; $\mathcal D$ is a set of directions spread over the sphere, and $L(\omega_d)$ the light that comes from one of them.
# What a texel can see, $V_d$ (1 or 0 for each direction, or between), is worked out once, on the average (base) head, and kept for everybody, which turns every further lighting into a product of matrices {cite}`sloan2002prt`.
# The sum is the *irradiance* $E$, the light that falls on the texel:
#
# $$
# \begin{aligned}
# E ={} & \frac4{|\mathcal D|}\sum_{d \in \mathcal D} L(\omega_d)\, V_d \max(n \cdot \omega_d, 0) \\
# & + K\, V_K \max(n\cdot\omega_K, 0) .
# \end{aligned}
# $$ (eq-ch01-light)
#
# The factor 4 makes $E = 1$ where nothing is blocked and white light of strength 1 comes from everywhere (physics has a factor π more).
# The second term is a hard key light, a lamp or the sun in direction $\omega_K$ with strength $K$; $V_K$ is 0 in its cast shadow and 1 outside. It is present in {glue:text}`ch01_key:.0f` % of the captures: as the sun of a measured place that has one, or as a lamp or sun of our own, which about half of the other lights have.
#
# **The picture before the camera is albedo × $E$, texel by texel, in linear light.**
# All else that a phone does comes on top, in a section below.
# The studio has one light for everybody, a uniform dome, one exposure and no camera.
#
# The second figure has the six heads, evenly spaced in skin tone, once in the studio and once by phone.
# (The *severity* above a column says how uneven the phone's light was; the next section defines it.)

# %% tags=["hide-input"]
notebook.source(light.diffuse, "The code of the first term of the equation")
with torch.no_grad():
    people = portraits.evenly_by_tone(6)  # not for their looks
    heads = synthesise_subjects(people, size)
    studio = studio_texture(heads)
    shots = phone_capture(heads, torch.arange(6))
one = 0  # the subject whose maps are shown
notebook.tell("ch01", domains.habits())
figures.show(
    portraits.maps_figure(heads, shots, studio, one),
    "Ten maps of one synthetic subject, named above each. Grey maps go from black (none) "
    "to white (most); visibility is black where the phone never looked, grey where it "
    "looked at a slant. The shadow across the light is of something before the lamp that "
    "is no part of the head: a hand here.",
)
seen_by_phone = shots.texture * (shots.visibility > 0)
figures.show(
    figures.texture_grid(
        [studio, shots.texture, shots.visibility, seen_by_phone],
        ["studio", "phone", "visibility", "phone, seen"],
        [f"severity {value:.2f}" for value in shots.severity],
    ),
    "Each column is a subject, from light to dark skin. Rows: studio texture; phone "
    "texture; visibility of the phone capture, white where seen squarely and black where "
    "never; phone texture with unobserved texels black. Compare the upper two rows: the "
    "studio varies only in its people, the phone in colour, shadow and sharpness too.",
)

# %% [markdown]
# Over the observed part of the face, phone and studio texture of the people of "val" agree to only {glue:text}`ch01_nothing:.1f` dB of PSNR (*peak signal-to-noise ratio*: the mean squared error on a logarithmic scale, where 20 dB is an error of a tenth of the range, 40 dB of a hundredth).
# The left and right side of a face differ in luminance by {glue:text}`ch01_asymmetry_phone:.2f` log units by phone, a factor of {glue:text}`ch01_asymmetry_factor:.1f`, and by {glue:text}`ch01_asymmetry_studio:.2f` in the studio (means of the page's set, after a blur over 4 % of the width).
# Faces are nearly symmetric and light seldom is, so most of that difference is light.
#
# ## How severe is a light?
#
# Strongly uneven light is the limit that summaries of the paper name for its method, so every capture gets a number for it.
# The **severity** of a capture is the contrast of the true irradiance $E$ over the face,
#
# $$ s = \frac{E_{95} - E_5}{E_{95} + E_5} \in [0, 1], $$ (eq-ch01-severity)
#
# with the 5th and 95th percentile of its luminance: 0 for perfectly even light, near 1 if one part is black.
# A real capture cannot know it, because it needs $E$.
# What one can measure there is the left-right *asymmetry* of the picture.
#
# The first figure has the first of the six heads under {glue:text}`ch01_lights` lights, which stand at even ranks of severity among {glue:text}`ch01_light_draws` draws.
# Compare only what is bright and what is dark: each light comes with a phone of its own, so colours (white balance), noise and coverage differ as well.

# %% tags=["hide-input"]
notebook.source(light.severity, "The code of the severity")
stages = {}  # receives the pictures after each step of the phone
with torch.no_grad():
    lights = lab.spread_lights(people[one : one + 1])
    many = phone_capture(heads[torch.full_like(lights, one)], lights, stages)
figures.show(
    domains.lights_figure(many),
    "One subject under several lights in order of severity s, from nearly even to deep "
    "shadow. Below each phone texture is the brightness of the true light alone, over "
    "the whole head, all at one mean: bright and dark parts should match.",
)
texture, visibility = data.phone_batch(torch.arange(len(data)))
uneven = asymmetry(texture, visibility * layout.face_mask(data.resolution))
spreads = lab.light_against_people(stages["light"], many, everybody)
notebook.tell("ch01", domains.light_numbers(*spreads))
notebook.tell("ch01", domains.capture_numbers(data, uneven))
notebook.tell("ch01", {"s_low": many.severity.min(), "s_high": many.severity.max()})
notebook.tell("ch01", {"lights": len(lights), "light_draws": lab.DRAWS})
figures.show(
    domains.severity_figure(data, uneven),
    "All captures of the page's set. Left: how many have which severity; the split val "
    "is stacked below the others. Right: the asymmetry that can be measured in the "
    "picture, over the true severity; one dot is one capture.",
)

# %% [markdown]
# The {glue:text}`ch01_lights` lights run from {glue:text}`ch01_s_low:.2f` to {glue:text}`ch01_s_high:.2f`; in the page's set the median of severity is {glue:text}`ch01_severity_median:.2f`, and one capture in ten exceeds {glue:text}`ch01_severity_high:.2f`.
# Before the camera (albedo × $E$, exposed) a texel of this one face varies under them by {glue:text}`ch01_sd_light:.0f` levels (standard deviation), in the finished phone textures by {glue:text}`ch01_sd_lights:.0f`; over all people of the set in the studio it varies by {glue:text}`ch01_sd_people:.0f`, at the same places.
# So light, with the exposure chosen for it, moves a texel {glue:text}`ch01_light_moves` everything that makes people different, skin tone included, and light and camera together {glue:text}`ch01_capture_moves` it.
# Pixel error cannot tell the two apart, which is why identity and light are measured separately in later chapters.
#
# The rank correlation of asymmetry with severity is {glue:text}`ch01_rank:.2f` (1 would order the captures alike): light from above is severe and yet symmetric, and hair that hangs on one side is asymmetric without any light.
# Later chapters use the true number.
#
# ## What the phone does, step by step
#
# The simulator can record the picture after each step: causes, one at a time.
# Move the slider, from the albedo to the phone texture; the table says what each step is.
# The bars measure the steps over the observed face in all of these lights, split into *broad* changes and *fine* ones.

# %% tags=["hide-input"]
shown = 8  # the ninth of the lights, a severe one
albedo = linear_to_srgb(heads.albedo_linear[one])
frames = [albedo] + [stages[name][shown] for name in domains.STEPS]
labels = [f"{k} · {words[0]}" for k, words in enumerate(domains.STEPS.values(), 1)]
labels = ["0 · albedo, the truth", *labels]
alt = "One subject through the phone, one cause at a time; black texels are holes"
display(interactive.image_slider(frames, labels, alt, name="Step"))
notebook.table_of(["step", "what happens", "why"], domains.step_rows())
pictures = [albedo.expand_as(many.texture), *(stages[name] for name in domains.STEPS)]
changes = lab.step_changes(pictures, domains.seen_face(many.visibility))
notebook.tell("ch01", domains.step_numbers(changes))
figures.show(
    domains.steps_figure(changes),
    "How much each step changes the observed face, in 8-bit levels, mean of these "
    "captures; left bars: broad changes, right bars, hatched: fine ones.",
)

# %% [markdown]
# The light moves what is broad by {glue:text}`ch01_light_broad:.0f` levels, exposure included.
# Of the later steps, *{glue:text}`ch01_most_broad`* changes most that is broad ({glue:text}`ch01_most_broad_by:.0f`) and *{glue:text}`ch01_most_fine`* most that is fine ({glue:text}`ch01_most_fine_by:.0f`).
# A shift by a texel or two is hard to see on the slider and yet large in these numbers, because every edge moves: a first warning about pixel errors.
# Broad changes are what chapter 4 has to undo, fine ones what chapter 5 has to restore, and the texels that nobody saw what chapter 2 has to invent.
#
# ## What goes wrong, 1: holes betray the domain
#
# A texel of a phone texture is seen well if it faces one of the cameras, and nothing stands between.
# Below a threshold it counts as never observed: a hole, where visibility is exactly 0 and the texture a smear.
# Of the captures, {glue:text}`ch01_single:.0f` % are single photographs, cut to the oval of the face; films also see ears, hair and neck.
#
# Now somebody trains a network adversarially: a second one, the *discriminator*, learns to tell phone from studio, and its opinion trains the first.
# That pays for *any* difference, and takes the easiest one: a shortcut {cite}`geirhos2020shortcut`.
# We train the simplest discriminator, logistic regression, four times, on a few numbers each time:
#
# - **holes**: how much of the map is observed, and how well; no texture at all;
# - **smears**: how much structure finer than 1.2 % of the width there is in texels that no capture has seen;
# - **light**: how much the left and the right side of the face differ;
# - **blur and noise**: how much of that there is in the face, in lightness and in colour.
#
# Each is trained twice.
# **Raw:** with textures as they come, and the visibility map of each (a studio texture is seen everywhere).
# **Masked:** with both domains seen through maps of phone captures, $(v \odot x, v)$, with texture $x$ and visibility $v$ multiplied texel by texel, each map handed to one texture of either side.
# They are graded on {glue:text}`ch01_auc_people` subjects that they were not trained on, by the AUC: the probability that a phone texture is ranked above a studio one, 0.5 for a coin, 1 for certainty.

# %% tags=["hide-input"]
figures.show(
    domains.holes_figure(data),
    "Over all captures of the page's set. Left: the share of captures in which a texel "
    "was observed. Centre: its mean visibility; both are high in the face's middle and "
    "zero at the back of the head, the left and right edge. Bars: the observed share by "
    "region.",
)
grades = lab.shortcuts(data)
graded = sum(len(data.subjects(name)) for name in ("pairs", "val"))
notebook.tell("ch01", traps.shortcut_numbers(grades, graded))
figures.show(
    traps.shortcuts_figure(grades),
    "The classifier's AUC for four kinds of evidence, raw and masked: the map of holes, "
    "the smears over them, light, and blur and noise. The line at one half is a coin.",
)

# %% [markdown]
# A capture observes {glue:text}`ch01_observed:.0f` % of the map on average, and {glue:text}`ch01_ears:.0f` % of the ears; {glue:text}`ch01_never:.0f` % of the map was observed in no capture of this set.
#
# The hole map alone reaches {glue:text}`ch01_auc_holes_raw:.2f`, without one look at a face.
# The smears alone, raw, reach {glue:text}`ch01_auc_smears_raw:.2f`: to hide the *map* is not enough where software paints over a hole.
# Masking {glue:text}`ch01_closed`: {glue:text}`ch01_auc_holes_masked:.2f` and {glue:text}`ch01_auc_smears_masked:.2f`.
# That is arithmetic and no measurement, since both sides get the same maps, and what nobody saw is black on both.
#
# What is left is light ({glue:text}`ch01_auc_light_masked:.2f`), which we want a discriminator to see.
# The camera's blur and noise {glue:text}`ch01_camera` ({glue:text}`ch01_auc_camera_masked:.2f`), and masking does nothing about them: the standard error with so few people is {glue:text}`ch01_auc_error:.2f`, and {glue:text}`ch01_camera_moved`.
# Chapter 2 puts the mask into the discriminator; chapter 4 needs it most, because there one side has no holes at all.
#
# ## What goes wrong, 2: colour management as de-lighting
#
# Studio archives often hold linear camera values; phones deliver sRGB.
# Suppose nobody converts.
# The whole "network" below is one number, the exponent of $y = x^\gamma$, fitted on the training subjects and graded on those of the split "val".
# The table has the PSNR to the studio textures (in dB: higher is a smaller loss) of the phone textures as they are, and after the exponent: once as a *loss* computes it, from the numbers in the files, and once as an *eye* would judge, with both sides in sRGB.
# In the figure, compare the second picture with the third, and the first with the fourth: is that de-lighting?

# %% tags=["hide-input"]
fits = lab.one_exponent(data)
trap = fits["mixed"]
notebook.tell("ch01", traps.trap_numbers(fits))
notebook.table_of(
    ["files", "exponent γ", "for the loss: before → after", "for the eye"],
    traps.exponent_rows(fits),
)
worst = tested[data.severity[tested].argmax()][None]  # the most severe light
phone, target = data.phone_batch(worst)[0][0], data.studio_batch(data.subject[worst])[0]
views = {
    "phone": phone,
    "studio, linear": srgb_to_linear(target),
    f"phone^{trap.gamma:.1f}": phone**trap.gamma,
    "… in sRGB": linear_to_srgb(phone**trap.gamma),
    "studio, sRGB": target,
}
figures.show(
    figures.texture_grid([list(views.values())], (), list(views)),
    "One person of val, in the most severe light: the phone texture; the studio texture "
    "stored linear; the phone texture after the exponent, dark as well; the same in sRGB, "
    "for the eye: the phone texture with another contrast, shadow and all; and the studio "
    "texture as it should look.",
)

# %% [markdown]
# One exponent, $\gamma =$ {glue:text}`ch01_trap_gamma:.1f`, changes the loss's result by {glue:text}`ch01_trap_gain:+.1f` dB, and cannot touch a shadow, since it treats equal values alike wherever they lie.
# For the eye the result changes by {glue:text}`ch01_trap_true:+.1f` dB; with a minus, it gets worse.
# In one encoding the same fit changes the result by {glue:text}`ch01_honest_gain:+.1f` dB.
# So phone and studio must share unwrap, crop, colour space and gamma before anything is compared, and every claim of de-lighting needs a colour-only rival; in this book *colour transfer* (the same mean and spread of colours) and the *quotient* (the phone's picture divided by its own broad light) are evaluated beside the method.
#
# ## What goes wrong, 3: a split by capture
#
# A "method" that learns nothing keeps pairs of captures and studio textures, and answers with the studio texture of the most similar capture that it keeps: the one whose fine luminance (below 3 % of the width) over the face has the highest correlation with the question's.
# It is asked for the first capture of each of the {glue:text}`ch01_leak_people` subjects of the split "phone"; its memory keeps their other captures, with their studio textures, which are opened for this experiment only.
# It is graded twice.
# Split by capture, its memory holds *another* capture of the same person; split by subject, it does not.
#
# The table lists the splits of this book, all by subject.
# (The *few-shot set* is the few people whose studio textures chapter 4 may use; a *seed* is the number that a subject is made from, and a split's people have consecutive ones.)

# %% tags=["hide-input"]
leak = lab.split_leak(data)
notebook.tell("ch01", traps.leak_numbers(leak))
figures.show(
    traps.leak_figure(data, leak),
    "Each column is one person, not chosen by look: the first three whom the memory finds "
    "with the leak (frame: its answer is the truth), and the first three whom it misses. "
    "Rows: the phone capture that is asked; the answer if the memory holds another "
    "capture of this person; the answer if it does not; the true studio texture. Where "
    "it misses, both answers are the same wrong person.",
)
notebook.table_of(
    ["split", "used for", "subjects", "captures", "first seed"],
    traps.split_rows(data),
)

# %% [markdown]
# With the leak the memory finds the right person in {glue:text}`ch01_leak_found:.0f` % of the cases, and then its answer *is* the truth.
# It misses the others because the two captures differ in light and holes, and nothing was learnt that looks past them.
# Its error (root mean square over the whole texture, mean of the people) is {glue:text}`ch01_leak_capture:.1f` levels with the leak, {glue:text}`ch01_leak_subject:.1f` without.
# That honest number is {glue:text}`ch01_leak_honest` the {glue:text}`ch01_leak_mean:.1f` of answering everybody with the mean studio face.
#
# The seeds of the splits lie a million apart: a larger set holds a smaller one's people, each in the same split.
# Only {ref}`ch06` opens the split "test".
# The counts are this page's, cut down for speed, "phone" most; the released networks learnt from larger sets, which their cards describe.
#
# ## A real capture beside them
#
# NASA's portrait of an astronaut (public domain) is the only real person in this book.
# Its landmarks are stored with the package, so no detector runs here; chapter 7 explains the unwrapping.
# The table has first the share of the whole map that was observed, then four measures over the facial skin that the photo shows well (fine contrast: below 1.2 % of the width); it places each among the {glue:text}`ch01_captures` captures of the page's set, over what they saw of the same skin.
# It has medians of ours, where the sections before have means, over the whole face.

# %% tags=["hide-input"]
real = capture_photo(astronaut(), size, astronaut_landmarks())
peers = torch.cat([real.texture, shots.texture[:4]])
both_saw = real.visibility.gt(0) * torch.cat(
    [real.visibility, shots.visibility[:4]]
).gt(0)
figures.show(
    figures.texture_grid(
        [peers * both_saw, peers],
        ["both seen", "whole"],
        ["astronaut", *["synthetic"] * 4],
    ),
    "The astronaut's unwrapped texture beside four synthetic phone captures. Above, "
    "black is what the photograph, or the capture itself, did not see. Below, whole: "
    "what is black above is smeared over, unless the synthetic capture, a film, saw it.",
)
photo = capture_photo(astronaut(), data.resolution, astronaut_landmarks())
zone = domains.seen_skin(photo.visibility)
of_real = domains.facts(photo.texture, photo.visibility, zone)
rows, outside = domains.facts_rows(of_real, domains.facts(texture, visibility, zone))
notebook.tell("ch01", {"outside": outside, "measures": len(rows)})
facing = of_real["left-right asymmetry (log units)"]
notebook.tell("ch01", {"asymmetry_astronaut": facing})
head = ["measure", "astronaut", "ours: median", "middle 90 %", "share of ours below"]
notebook.table_of(head, rows)

# %% [markdown]
# {glue:text}`ch01_outside` of {glue:text}`ch01_measures` measures lie outside of the middle 90 % of our captures.
# That is weak evidence: our captures spread widely, so almost any photograph would fall among them, and numbers inside a range do not make a picture real.
# By eye, the differences are:
#
# - **Coverage.** Photographs of ours end at the oval, films go on to ears, hair and neck. A real photo lies between, on a shape that landmarks do not tell.
# - **Features.** Real eyes, brows and lips are sharper, more varied and better attached to the face than painted ones, eyes most of all.
# - **Expression.** Our heads are neutral: no smile that moves skin, opens lips, bares teeth and makes folds.
# - **Skin.** Ours has pores, marks and blotches in layers, but no real person's history; at high resolution it looks painted.
# - **Things.** A few captures wear glasses or loose strands of hair. No make-up beyond lipstick, jewellery, head-wear (only its shadow), headset or microphone.
# - **Light.** Of the captures {glue:text}`ch01_places:.0f` % have the light of measured environments, some of them with a sun, the others that of a few broad lobes and, about half of them, a key; all far away. No bounce from clothes, at most one hard source at a time.
# - **Camera.** One error model for all phones, without beauty filters, local tone mapping and motion blur. And a portrait studio is not this book's even dome: the astronaut's asymmetry is {glue:text}`ch01_asymmetry_astronaut:.2f`, that of our studio textures {glue:text}`ch01_asymmetry_studio:.2f`.
#
# ## Who is in the data
#
# Skin is painted with two fields, melanin (the brown pigment of the outer layer) and blood (in the layer below), and becomes a colour only through a model (`studiolike.synth.skin`) of what both let through at each wavelength, in the manner of {cite:t}`donner2006skin`, as spectral models of skin have done for long {cite}`krishnaswamy2004skin,jensen2001subsurface`; blood is placed by region, as measured maps show it {cite}`jimenez2010appearance`.
# A spectrum matters: mixing "light" and "dark" colours instead would make brown skin grey.
# How strongly skin scatters is the mean over many measured skins {cite}`jacques2013optical`; how fast melanin's absorption falls with the wavelength is **our choice**, flatter than the textbook law, with which dark skin came out orange.
#
# The first figure sets the colours of the model and of this page's people against the classes that dermatologists use; the second counts people by four traits.
#
# A simulator can vary in colour and still draw one face, so the third figure has two tests of that.
# Left, every face loses its colours: each channel is set to zero mean and unit variance over the face, and we look how far apart two subjects are.
# Copies lie at 0, faces that share nothing at √2 = 1.41; a distance $\delta$ is a correlation of $1 - \delta^2/2$.
# Right, an *identity network*, which turns a texture into a list of numbers (an embedding) that should depend on the person alone, must say whether two captures under *different lights* show one person.
# The cosine of two embeddings is 1 if they point the same way.
# The network was trained on other subjects, and no loss in this book ever uses it.
# The dashed threshold is chosen on {glue:text}`ch01_line_up` people of the larger draw of "val", and graded on {glue:text}`ch01_line_up` others of it, under three lights each.
#
# Last, wipe between the phone textures of {glue:text}`ch01_sheet` subjects and the studio textures of the same people.

# %% tags=["hide-input"]
measured = portraits.skin_colours(data)
groups = portraits.composition(data, portraits.ita_class(measured))
notebook.tell("ch01", portraits.skin_numbers(data, measured, groups))
figures.show(
    portraits.skin_figure(measured),
    "Left: the skin colours that the model makes, over tone and blood fraction, from pale "
    "to very dark, redder with more blood. Right: lightness over yellowness. A dot is the "
    "median skin of one subject's studio texture; lines are the borders of the six "
    "classes of the individual typology angle (ITA). The curve is the model for flat skin "
    "of one blood fraction; dots leave it because people's blood differs, and because "
    "hollows, marks and the studio's exposure are in their textures.",
)
figures.show(
    portraits.composition_figure(groups),
    f"Composition of this page's {len(data.studio)} subjects: counts over six skin "
    "classes, four age groups, eleven hair styles and six beards.",
)
crowd = data.subjects("phone")[:64]
first = torch.stack([(data.subject == s).nonzero()[0, 0] for s in crowd])
apart = lab.diversity(everybody, layout.region_mask("face", data.resolution))
line_up = lab.line_up(settings, weights.load("identity_eval"))
notebook.tell("ch01", domains.diversity_numbers(apart, line_up))
notebook.tell("ch01", {"sheet": len(crowd), "few": len(studio_subjects(data, "few"))})
figures.show(
    domains.diversity_figure(apart, line_up),
    "Left: distances between colourless studio textures, of any two subjects and of each "
    "subject and its nearest neighbour; 0 is a copy. Right: the identity network's "
    "cosines for captures of two subjects and for captures of one subject under two "
    "lights, with the threshold; the less the two overlap, the better.",
)
interactive.before_after(
    image_grid(data.phone_batch(first)[0]),
    image_grid(data.studio_batch(crowd)),
    "Subjects of this page's split phone: one capture each, over their studio textures",
    labels=("phone", "studio"),
    width=720,
)

# %% [markdown]
# Subjects' median skin lightness runs from L* {glue:text}`ch01_darkest:.0f` to {glue:text}`ch01_lightest:.0f` (0 is black, 100 white), and they fall into {glue:text}`ch01_classes` classes of the *individual typology angle*, $\arctan\frac{L^*-50}{b^*}$ with lightness $L^*$ and yellowness $b^*$ {cite}`delbino2013skin`.
# Nobody was measured for this: it shows that the model's range is wide, not that its colours are right for each person.
#
# The median distance of two subjects is {glue:text}`ch01_any:.2f` (a correlation of {glue:text}`ch01_any_r:.2f`), of a subject and its nearest neighbour {glue:text}`ch01_nearest:.2f` ({glue:text}`ch01_nearest_r:.2f`), and of the closest pair {glue:text}`ch01_closest:.2f`, {glue:text}`ch01_copies`.
# Across lights, the judge tells one person from two {glue:text}`ch01_told`: {glue:text}`ch01_verified:.0f` % is the mean of its two rates of success, on {glue:text}`ch01_genuine` pairs of captures of one person and {glue:text}`ch01_impostor` of two (AUC {glue:text}`ch01_auc:.2f`).
# So a loss of identity can be measured {glue:text}`ch01_told_use`.
# And the network knows how *our* heads differ: by hair, beard and tone more than real relatives do.
#
# ## Data card
#
# A data set should come with a description that says who is in it and what it must not be used for {cite}`pushkarna2022datacards`.
#
# | field | content |
# | --- | --- |
# | name | synthetic heads, simulator version {glue:text}`ch01_generator`; this page's set has {glue:text}`ch01_subjects` subjects and {glue:text}`ch01_captures` captures |
# | origin | computed, from published tables of absorption, a canonical face mesh, and the measured light of real places; no photograph or scan of a person went in |
# | truth kept | albedo, normals, position, occlusion, gloss, hair, moles, light, visibility, traits |
# | tone | drawn evenly in a scale of melanin, **not** as any population has it; the six skin classes are unequal pieces of that scale, so they hold {glue:text}`ch01_smallest_count` (*{glue:text}`ch01_smallest`*) to {glue:text}`ch01_largest_count` subjects here |
# | age | 18 to 80, more young than old: {glue:text}`ch01_old:.0f` % are 60 or older; no children |
# | hair, beards, eyes | colours depend loosely on tone, beards and baldness on one number called masculinity; both are simplifications of ours and describe nobody |
# | intended use | teaching; testing whether a method does what it claims where the truth is known; pre-training before real data |
# | not for | claims about real people or groups; fairness audits; face recognition; deciding anything about anybody |
# | known limits | neutral expression; nothing worn but glasses in a few captures, and lipstick; one head topology; simplified eyes and hair; the list beside the real capture above |
# | licence | that of this package; the face mesh is Apache-2.0, the places' light as NOTICE says |
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
# | people with studio texture in training | "few-shot": a few; number unknown to us | {glue:text}`ch01_few` subjects (splits "studio" and "pairs"), few beside the thousands that the released phone networks learnt from |
# | truth for a test subject | at best one studio capture | exact, under any number of lights |
# | visibility maps | unknown to us | exact |
# | what success means | it works on people | the method does what it says, on heads that we made |
#
# Real sets that a reader may plug in, each under its own licence, are Ava-256 {cite}`martinez2024ava256`, Multiface {cite}`wuu2022multiface` and FFHQ-UV {cite}`bai2023ffhquv`; the first comes from the same kind of dome as the paper's studio data.
#
# ## Claims of the paper tested here
#
# None yet: a stand-in that was built to have a property cannot confirm that property.
# The last two rows are statements of ours: registration is tested, in one run of this page ([the ledger](../ledger.md) has records of several seeds); what masking does to holes and smears is true by construction, and the row only shows it.
#
# | statement | whose | measured here | verdict |
# | --- | --- | --- | --- |
# | Phone textures have the capture's light baked in | the authors state it | one face varies by {glue:text}`ch01_sd_lights:.0f` levels over {glue:text}`ch01_lights` lights | built into our stand-in, so shown but not tested |
# | Phone captures miss regions, behind the ears for example | the authors state it | {glue:text}`ch01_observed:.0f` % of the map and {glue:text}`ch01_ears:.0f` % of the ears observed | built in as well |
# | 12,000 phone textures were used | secondary summaries report it | – | not testable: the data are private |
# | Registration is why few samples suffice | our inference | {glue:text}`ch01_registered:.0f` % against {glue:text}`ch01_jittered:.0f` % explained | on our heads, {glue:text}`ch01_enough` |
# | Masking removes the shortcut of the holes | our choice | AUC of smears {glue:text}`ch01_auc_smears_raw:.2f` → {glue:text}`ch01_auc_smears_masked:.2f` | by construction: masking {glue:text}`ch01_closed`; it does nothing about blur and noise |
#
# ## Exercises
#
# A cell with a stub ends in a check: put your answer in place of `...` and run it.
# The check says that the answer is right, or what kind of mistake it looks like.
# A folded solution follows each exercise.
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
# Many of our captures are one photograph, and some films miss one side.
# How much would the observed share of the ears rise if the phone went right around the head?
# Which region stays a hole, and why does more filming not help there?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch01-views
# :class: dropdown
#
# Set `SINGLE` in `studiolike/synth/camera.py` to 0, widen `middle` there to $\pm\pi$ with five views, and look at the bars beside the maps of holes again.
# The back of the ears becomes visible from behind, the scalp under hair never does: hair hides it from every side.
# The crown needs a camera above, which people seldom hold there.
# ````
#
# ## Determinism
#
# <!-- run box -->
#
# Subjects, lightings, cameras and noise come from named streams of random numbers, so a batch's make-up does not change who is in it.
# A set is a version of the simulator, seeds and a resolution; its *manifest* names them and the hash (a fingerprint of the bytes) of each file, and a set made twice has the same bytes.
# That holds on one machine with one version of PyTorch: another processor adds numbers in another order, so a few texels may round to a neighbouring level.
# A test of the package runs every chapter twice and compares.
#
# ## Summary
#
# - One registered layout makes texels correspond across people: on our heads, {glue:text}`ch01_enough`.
# - Phone and studio differ in light, in holes, in what the camera does (blur, noise) and in encoding. Only the first is what de-lighting is about.
# - Discriminators and metrics find the other three for you. Two can be closed: mask holes, share one encoding. Blur and noise stay, and come back in chapter 5.
# - Split by subject, or you grade a memory.
# - Severity is known exactly here, and will be the axis along which the method's limit is measured.
# - The heads are a stand-in; the list of differences goes with every number of the next chapters.
#
# ## References
#
# <!-- references -->
