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
# This chapter first joins the two in closed form, then trains a diffusion model that repairs what the closed form cannot know, and measures what each of the two is really worth.

# %% tags=["parameters"]
profile = "auto"

# %% tags=["hide-input"]
import dataclasses
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from matplotlib.figure import Figure

from studiolike import layout, recipes, weights
from studiolike.chapters import figures, notebook
from studiolike.chapters.live import explore
from studiolike.chapters.notebook import seeded, table_of
from studiolike.detail import (
    Detailer,
    DetailStage,
    detail,
    fuse,
    gradients,
    impose_gradients,
    make_scheduler,
    screened_poisson,
)
from studiolike.detail.fusion import WIDTH
from studiolike.detail.guidance import differences, pair_mask
from studiolike.detail.model import precondition, upsample
from studiolike.detail.train import FLOOR, clean_from_velocity, min_snr_weight, velocity
from studiolike.evaluation import faceid, low_band_error, perceptual, perceptual_judge, psnr, verdicts
from studiolike.image import from_signed, linear_to_srgb, resize, srgb_to_linear
from studiolike.inversion import resize_observed
from studiolike.protocols import paired_captures, permitted
from studiolike.stylegan2 import encode
from studiolike.synth import studio_texture, synthesise_subjects
from studiolike.synth.light import shadow
from studiolike.training import fit, read_log

settings = recipes.chapter_profile(profile)
figures.apply_style()
device = "cuda" if torch.cuda.is_available() else "cpu"
data = recipes.chapter_set(settings, detailed=True)
size = data.resolution
g_phone, encoder = (weights.load(name, device=device) for name in ("g_phone", "encoder"))
g_studio, detailer = (weights.load(name, protocol="few", device=device) for name in ("g_studio", "detailer"))
low = g_studio.config.resolution


def mean_in(field, mask):
    return float((field * mask).sum() / mask.sum().clamp_min(1e-6))


# %% [markdown]
# ## What you will learn
#
# - Why the *logarithm's* gradient of a phone texture is nearly free of its light, and when it is not.
# - To put the phone's detail on the generator's light without any network, and to see what leaks.
# - What the detailer sees, what it predicts, and why: the residual of real results, velocity, zero terminal signal-to-noise ratio, Min-SNR weights, scales for each band.
# - To ask of a network whether it earns its place: against fusion alone, and against itself without the phone.
#
# **You need**: {ref}`ch04` (where the coarse texture comes from) and the idea of a diffusion model {cite}`ho2020ddpm`.
# The authors state that the generator's output is super-resolved by a diffusion model guided by the image gradients of the phone texture {cite}`athar2024bridging`.
# The network, its training and the form of the gradients are unknown to us, and fusion before diffusion is our addition: what stands here is our choice.
# The networks are those of the protocol `few`, as in {ref}`ch04`.
# Everything is measured on people of the split "val": no network has learnt from them, but settings were chosen on them; {ref}`ch06` examines the chain on people that nobody has looked at.
# All heads are synthetic, a declared stand-in.
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
# ```{predict} 3. Sample the detailer several times with different noise. Where will the results differ most?
# - [ ] On the face, where most of the detail is.
#   There the phone says what the detail is.
# - [x] Where nothing tells the model what to draw.
# - [ ] Everywhere alike: noise is noise.
#   The conditions differ from place to place.
#
# In holes, and everywhere when the phone is hidden from it.
# ```
#
# ## Why log gradients
#
# A texture is, roughly, albedo times shading, texel by texel: $I = A \cdot S$.
# Then
#
# $$
# \nabla \log I = \nabla \log A + \nabla \log S .
# $$ (eq-ch05-log)
#
# Smooth shading has a small second term, so the log gradient is nearly the albedo's {cite}`land1971retinex`.
# The raw gradient $\nabla I = S\,\nabla A + A\,\nabla S$ keeps the shading as a *factor* on every pore: strong on the lit cheek, weak on the dark one.
# No exact illumination invariant exists {cite}`chen2000invariants`, so this is a matter of degree, and we can measure the degree: our synthetic heads come with their true albedo.
# Below, the same heads under two lights that we make by hand from their true normals: a smooth one without shadows, and a hard one with a cast shadow and a small highlight.

# %% tags=["hide-input"]
notebook.source(gradients)
heads = synthesise_subjects(data.seeds[data.subjects("val")[:4]], size)
key = F.normalize(torch.tensor([[0.75, 0.45, 0.6]]), dim=1).expand(len(heads), 3)
facing = (key[:, :, None, None] * heads.smooth_normals).sum(1, keepdim=True)
reach = shadow(heads.position, heads.smooth_normals, key, softness=0.15)
shading = {"smooth light": 0.4 + 0.3 * (1 + facing), "hard light": 0.12 + 1.0 * facing.clamp_min(0) * reach}
shine = {"smooth light": 0.0, "hard light": 0.5 * facing.clamp_min(0) ** 60 * reach}
lit = {name: linear_to_srgb((heads.albedo_linear * s + shine[name]).clamp(0, 1)) for name, s in shading.items()}
albedo = linear_to_srgb(heads.albedo_linear.clamp(0, 1))
face = (layout.region_mask("face", size) > 0.5).float().expand(len(heads), 1, size, size)


def correlation(a, b, mask):
    """Of two fields (B, 2, H, W) where both texels of a difference count, per texture."""
    weight = pair_mask(mask).flatten(1)
    a, b = a.flatten(1), b.flatten(1)
    a, b = (x - (x * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True) for x in (a, b))
    return (weight * a * b).sum(1) / ((weight * a * a).sum(1) * (weight * b * b).sum(1)).sqrt().clamp_min(1e-12)


def field_of(texture, kind="log"):
    return gradients(texture, torch.ones_like(texture[:, :1]), kind, 0)[0]


agree = {
    (name, kind): float(correlation(field_of(t, kind), field_of(albedo, kind), face).mean())
    for name, t in lit.items()
    for kind in ("raw", "log")
}
table_of(
    ["light", "raw gradient", "log gradient"], [[name, f"{agree[name, 'raw']:.3f}", f"{agree[name, 'log']:.3f}"] for name in lit]
)
for (name, kind), value in agree.items():
    notebook.glue(f"ch05_{kind}_{name.split()[0]}", value)
wins = {name: agree[name, "log"] > agree[name, "raw"] for name in lit}
notebook.glue("ch05_log_wins", "both lights" if all(wins.values()) else next((n for n in wins if wins[n]), "neither light"))
pictures, clearest = {"albedo": albedo, **lit}, int(heads.tone.argsort()[0])  # the head that is easiest to see in print
unit = {kind: field_of(albedo, kind).norm(dim=1)[face[:, 0] > 0].quantile(0.98) for kind in ("raw", "log")}
figures.show(
    figures.texture_grid(
        [
            [t[clearest], *(field_of(t, k).norm(dim=1, keepdim=True)[clearest] / unit[k] * face[clearest] for k in unit)]
            for t in pictures.values()
        ],
        list(pictures),
        ["texture", "raw gradient", "log gradient"],
        tile=1.9,
    ),
    "One head's albedo, and the same head under a smooth and a hard light, each with the size of its raw and of its log "
    "gradient on the face.",
)

# %% [markdown]
# The correlation is taken over the face, between the gradient of the lit texture and the gradient *of the same kind* of the albedo alone; each column of pictures has one scale.
# In smooth light it is {glue:text}`ch05_raw_smooth:.3f` raw and {glue:text}`ch05_log_smooth:.3f` log; in hard light {glue:text}`ch05_raw_hard:.3f` and {glue:text}`ch05_log_hard:.3f`.
# The log gradient is closer in: {glue:text}`ch05_log_wins`.
# In the last row, look for the edge of the cast shadow: it is in both gradients.
#
# ## Fusion: the phone's gradients, the generator's light
#
# Let $G$ be the generator's texture, enlarged, and $B$ a blur that looks at observed texels only.
# In logarithms of linear light, channel by channel,
#
# $$
# \log T = \log I + B\,(\log G - \log I) .
# $$ (eq-ch05-fuse)
#
# What is finer than $B$ stays the phone's; what is coarser, light and colour above all, becomes the generator's.
# Where nothing was seen, $T$ is $G$.
# A screened Poisson equation {cite}`perez2003poisson`, which looks for the texture that has given gradients and stays near to $G$, does the same with another low pass; ours needs no solver and no rule for the borders of holes.
# $B$ has a standard deviation of {glue:text}`ch05_width:.1f` texels at this size: just wide enough to bridge what the generator, at half the size or less, cannot draw.

# %% tags=["hide-input"]
notebook.source(fuse)
rows = data.captures("val")[:: data.manifest["spec"]["lightings"]][:16]  # one capture each
people = data.subject[rows].numpy()
phone, visibility = data.phone_batch(rows)
truth = data.studio_batch(data.subject[rows])
with torch.no_grad():
    codes = encode(encoder, g_phone, *(x.to(device) for x in resize_observed(phone, visibility, low)))
    coarse = from_signed(g_studio.synthesis(codes, "none")).cpu()
enlarged = upsample(coarse, size)
fused = fuse(phone, visibility, enlarged)
notebook.glue("ch05_width", WIDTH * size)
notebook.glue("ch05_people", len(np.unique(people)))
notebook.source(screened_poisson)
field, trust = gradients(phone, visibility)
poisson = impose_gradients(enlarged, field, trust)
most = int((1 - visibility).mean((1, 2, 3)).argmax())
severe = 1 + int(data.severity[rows[1:]].argmax())  # of the others
shown = list(dict.fromkeys([0, most, severe]))
figures.show(
    figures.texture_grid(
        [[x[k] for x in (phone, visibility, enlarged, poisson, fused, truth)] for k in shown],
        col_titles=["phone", "visibility", "G_studio", "Poisson", "fusion", "truth"],
    ),
    "Unseen subjects, one per row, among them the capture with the largest holes and one in very uneven light: phone "
    "texture, visibility, G_studio's texture enlarged, the same with the phone's gradients by a screened Poisson equation and "
    "by fusion, and the true studio texture.",
)

# %% [markdown]
# ### What leaks
#
# Two kinds of edges are not skin, and fusion cannot tell.
# One is finer than $B$ and belongs to the light: the edge of a cast shadow, the rim of a highlight.
# The other is the rim of a hole, where the phone's texels are seen at a grazing angle, and beside which a blur knows one side only.
#
# For both, $G$ is made ideal here: the true texture, shrunk and enlarged, so that whatever is wrong in the result came from the phone.

# %% tags=["hide-input"]
studio = studio_texture(heads)
everything = torch.ones_like(studio[:, :1])
ideal_heads, ideal = (upsample(resize(t, low), size) for t in (studio, truth))
leaked = {name: fuse(scene, everything, ideal_heads) for name, scene in lit.items()}
wrong = {name: (result - studio).abs().mean(1, keepdim=True) for name, result in leaked.items()}
light = shading["hard light"] + shine["hard light"]
edges = (differences(light.clamp_min(1e-3).log()).norm(dim=1, keepdim=True) > 0.1).float() * face
from_phone = fuse(phone, visibility, ideal)
off = (from_phone - truth).abs().mean(1, keepdim=True)
seen = (visibility > 0.5).float()
rim = seen * F.max_pool2d((visibility < 0.05).float(), 13, 1, 6)
figures.show(
    figures.texture_grid(
        [
            [lit[name][clearest], leaked[name][clearest], 4 * wrong[name][clearest], edges[clearest] if "hard" in name else None]
            for name in lit
        ]
        + [[phone[most], from_phone[most], 4 * off[most], rim[most]]],
        [*lit, "capture"],
        ["phone", "fusion", "error × 4", "edges, rims"],
    ),
    "One head under smooth and hard light, and a capture with holes: the phone texture, its fusion with the ideal coarse "
    "texture, four times the error, and where the edges of the light and the rims of the holes are.",
)
notebook.glue("ch05_fused_smooth", mean_in(wrong["smooth light"], face))
notebook.glue("ch05_fused_hard", mean_in(wrong["hard light"], face))
notebook.glue("ch05_leak_edges", mean_in(wrong["hard light"], edges) / mean_in(wrong["hard light"], face - edges))
notebook.glue("ch05_leak_rims", mean_in(off, rim) / mean_in(off, seen - rim))

# %% [markdown]
# In smooth light the mean error on the face is {glue:text}`ch05_fused_smooth:.4f`, in hard light {glue:text}`ch05_fused_hard:.4f`.
# In hard light it is {glue:text}`ch05_leak_edges:.1f` times as large on the edges of the light as elsewhere on the face.
# At the rims of holes it is {glue:text}`ch05_leak_rims:.1f` times what it is in the rest of what was seen.
# Nothing in a gradient says whether an edge is a scar or a shadow; but edges of shadows look different from scars, and that can be learnt.
#
# ## The detailer: draw what is still wrong
#
# The detailer does not draw a face; it draws what is wrong with the fused one.
#
# $$
# x_0 = (\text{truth} - T)\,/\,s ,
# $$ (eq-ch05-residual)
#
# and $s$ brings the residual to unit variance, which a diffusion model expects.
# $T$ is a *real* result: in training, captures are disturbed as in {ref}`ch04`, encoded, drawn by the G_studio of the same protocol, and fused, so that the network sees the errors that it will be asked about.
#
# Beside the noisy residual it sees $T$, $G$, the phone's two log-gradient channels (compressed by $\operatorname{asinh}$), where they can be trusted (holes are grown by a few texels, so that their rims do not count), and the place in the layout.
# For a share of the training samples the phone is hidden: then $T = G$, gradients and trust are zero, and the network must know by itself what belongs there.
# At test time `guided=False` does the same.

# %% tags=["hide-input"]
notebook.source(Detailer.base)
notebook.source(Detailer.conditions)
base = detailer.base(phone, visibility, enlarged)
c = detailer.conditions(phone, visibility, enlarged, base)[most]
residual = (truth - base) / detailer.config.residual_scale
figures.show(
    figures.texture_grid(
        [
            [from_signed(c[:3]), from_signed(c[3:6]), 0.5 + c[6:7] / 6, 0.5 + c[7:8] / 6],
            [c[8:9], from_signed(c[9:10]), from_signed(c[10:11]), 0.5 + residual[most] / 6],
        ],
        col_titles=["T, below: trust", "G, below: u", "∂/∂u, below: v", "∂/∂v, below: residual"],
        tile=1.6,
    ),
    "What the detailer sees of one capture: fused texture, generator's texture, two gradient channels, trust, and the two "
    "coordinates; and, last, the scaled residual that it must draw.",
)
notebook.glue("ch05_scale", float(detailer.config.residual_scale))
notebook.glue("ch05_residual_std", float((truth - base).std()))
notebook.glue("ch05_hidden", 100 * settings.detail.hidden)

# %% [markdown]
# The phone is hidden for {glue:text}`ch05_hidden:.0f` % of the samples.
# The released model's $s$ is {glue:text}`ch05_scale:.4f`; the residuals of these unseen people have a standard deviation of {glue:text}`ch05_residual_std:.4f`.
#
# ## How it predicts: velocity, down to no signal at all
#
# A noisy residual is $x_t = \alpha_t x_0 + \sigma_t \varepsilon$ with $\alpha_t^2 + \sigma_t^2 = 1$.
# The network predicts the velocity {cite}`salimans2022progressive`
#
# $$
# v = \alpha_t\, \varepsilon - \sigma_t\, x_0, \qquad\text{so}\qquad x_0 = \alpha_t\, x_t - \sigma_t\, v .
# $$ (eq-ch05-velocity)
#
# At the last step of a common schedule a little signal is left ($\alpha_T =$ {glue:text}`ch05_left_over:.3f` for the dashed curve below), so a network trained on it has never seen pure noise, where sampling begins.
# We take a cosine schedule, which nearly ends at zero, and rescale it to end there exactly {cite}`lin2024zerosnr`.
# There a noise prediction would say nothing about $x_0$ (it divides by $\alpha_t = 0$), and a velocity still does.
# The loss is weighted by Min-SNR-5 {cite}`hang2023minsnr`; its weight is zero at pure noise, where a sampler of few steps takes its longest step, so we keep a floor $f =$ {glue:text}`ch05_floor:.1f`, which is our addition.
#
# $$
# L = \mathbb{E}_{t,\varepsilon}\ \max\!\Big(\frac{\min(\mathrm{SNR}_t, 5)}{\mathrm{SNR}_t + 1},\ f\Big)\ \lVert \hat v - v \rVert^2, \qquad \mathrm{SNR}_t = \alpha_t^2 / \sigma_t^2
# $$ (eq-ch05-loss)
#
# The residual's power is spread unevenly over its bands, as the third panel shows: the coarse brightness of 2×2 blocks holds {glue:text}`ch05_coarse_share:.0f` % of it.
# So each band of blocks, in brightness and two colours, gets scales of its own, as EDM {cite}`karras2022edm` gives them to the whole picture: the best *linear* guess of the velocity is built in, and the network learns what is left, at unit size.

# %% tags=["hide-input"]
for function in (velocity, clean_from_velocity, min_snr_weight, precondition, DetailStage.loss):
    notebook.source(function)
power = make_scheduler().alphas_cumprod
common = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).alphas_cumprod
snr, common_snr = power / (1 - power), common / (1 - common)
noise, x0 = torch.randn(3, generator=seeded(0)), torch.randn(3, generator=seeded(1))
end = power[-1].sqrt(), (1 - power[-1]).sqrt()
assert power[-1] == 0 and torch.allclose(clean_from_velocity(noise, velocity(x0, noise, *end), *end), x0)
fig = Figure(figsize=(figures.WIDTH, 2.7))
left, middle, right = fig.subplots(1, 3)
left.semilogy(common_snr.clamp_min(1e-12), ls=figures.DASHES[1], label="scaled linear")
left.semilogy(snr.clamp_min(1e-12), ls=figures.DASHES[0], label="ours")
left.set(xlabel="time step", title="signal-to-noise ratio", ylim=(1e-8, 1e5))
left.legend()
for k, (label, weight) in enumerate(
    {"Min-SNR-5": min_snr_weight(snr), "with our floor": min_snr_weight(snr, floor=FLOOR)}.items()
):
    middle.plot(weight, ls=figures.DASHES[k], label=label)
middle.set(xlabel="time step", title="weight of the loss")
middle.legend()
shares = np.array(detailer.config.band_power)
for k, label in enumerate(("brightness", "red–blue", "green–magenta")):
    right.plot(shares[4 * k : 4 * k + 4], figures.MARKERS[k], ls=figures.DASHES[k], label=label)
right.set(yscale="log", title="power of the residual's bands", xticks=range(4), xticklabels=["mean", "∂u", "∂v", "∂u∂v"])
right.legend()
figures.show(
    fig,
    "Left: the signal-to-noise ratio over the time steps of a common schedule and of ours, which ends at zero. Middle: the "
    "Min-SNR weight with and without the floor. Right: the power of the scaled residual in the bands of 2×2 blocks.",
)
notebook.glue("ch05_left_over", float(common[-1].sqrt()))
notebook.glue("ch05_floor", FLOOR)
notebook.glue("ch05_coarse_share", 100 * float(shares[0] / shares.sum()))

# %% [markdown]
# ## Live: the first steps
#
# A fresh network, trained for a moment on small crops of real results.
# The training reads the set through `permitted`: asking for a studio texture that the protocol `few` does not show would raise an error.

# %%
live = dataclasses.replace(settings.detail, crop=64, images=settings.live_images)
stage = DetailStage(
    live,
    permitted(data, "few"),
    paired_captures(data, "few"),
    g_phone=g_phone,
    encoder=encoder,
    g_studio=g_studio,
)
with tempfile.TemporaryDirectory() as folder:
    fit(
        stage,
        live.images,
        folder,
        seed=0,
        device="cpu" if device == "cpu" else None,
        progress=False,
        log_every=live.batch,
        checkpoint_every=live.images,
        preview_every=10 * live.images,
    )
    log = read_log(folder)
beginner = stage.average.eval()
losses = np.array(log["loss"])
third = max(len(losses) // 3, 1)
notebook.glue("ch05_live_images", settings.live_images)
notebook.glue("ch05_loss_first", float(losses[:third].mean()))
notebook.glue("ch05_loss_last", float(losses[-third:].mean()))

# %% [markdown]
# After {glue:text}`ch05_live_images` crops the weighted loss went from {glue:text}`ch05_loss_first:.3f` (mean of the first third) to {glue:text}`ch05_loss_last:.3f` (of the last).
# The linear guess is there from the first step, so what falls here is what a network can know beyond it.
#
# ## The released detailer on unseen people

# %% tags=["hide-input"]
card = weights.read_card("detailer", protocol="few")
table_of(
    ["fact on the card", "value"],
    [["data", card["data"]], ["images", card["images"]], ["trained on", card["device"]], ["seed", card["seed"]]],
)


def draw(chosen=slice(None), studio=coarse, texture=phone, seen=visibility, steps=settings.detail.sample_steps, **options):
    """The detailer's result of some captures."""
    options = {"model": detailer, "generator": seeded(), **options}
    return detail(options.pop("model"), studio[chosen], texture[chosen], seen[chosen], steps=steps, **options).cpu()


guided, unguided = draw(), draw(guided=False)
corners = layout.landmark_uv() * size  # the landmarks in texels; 33 and 133 are the corners of an eye, 61 of the mouth
places = [corners[[33, 133]].mean(0).long().tolist(), corners[61].long().tolist()]


def zoom(picture, place, side=size // 4):
    """A square around a texel (x, y), enlarged without smoothing."""
    x, y = (int(np.clip(p - side // 2, 0, size - side)) for p in place)
    return picture[:, y : y + side, x : x + side]


moment = draw([0, severe], model=beginner)
lines, names = [], []
for n, (k, place) in enumerate(zip([0, severe], places, strict=True)):
    full = [x[k] for x in (phone, enlarged, unguided, fused)] + [moment[n], guided[k], truth[k]]
    lines += [full, [zoom(p, place) for p in full]]
    names += [f"subject {n + 1}", "zoom"]
figures.show(
    figures.texture_grid(lines, names, ["phone", "G_studio", "unguided", "fusion", "live", "guided", "truth"]),
    "Two unseen subjects, the second in the most uneven light of the others, whole and zoomed in: phone texture, G_studio's texture, detail "
    "drawn without the phone, fusion alone, the live run's result, the released detailer's, and the true studio texture.",
)

# %% [markdown]
# Look at *where* things are, not how sharp they are: unguided detail may look right and still be somebody else's.
#
# Where a kernel runs, see what steps and noise decide; every move draws the first subject anew.

# %% tags=["remove-output", "nbval-ignore-output"]
explore(
    lambda phone, steps, seed: draw([0], guided=phone == "seen", steps=steps, generator=seeded(seed))[0],
    "the first subject, detailed",
    phone=["seen", "hidden"],
    steps=(1, 16, settings.detail.sample_steps),
    seed=(0, 9, 0),
)

# %% [markdown]
# ### Measured
#
# Does the detailer earn its place?
# Its rivals are G_studio's texture as it is, the two closed forms, and itself without the phone.
# Over observed texels of the head we measure PSNR, perceptual distance (a public network that no loss has seen), the low-band error of light and colour in logarithmic units, identity (the cosine of a network that only measures), and the correlation of the log gradients with those of the truth; and in the holes the perceptual distance again.

# %% tags=["hide-input"]
distance, judge = perceptual_judge(), weights.load("identity_eval")
head = (layout.region_mask("head", size) > 0.5).float()
counts, hidden = visibility * head, (visibility < 0.05).float() * head
true_field = field_of(truth)
METRICS = {  # whether larger is better, and digits to print
    "PSNR": (True, 2),
    "perceptual": (False, 4),
    "low-band error": (False, 4),
    "identity": (True, 3),
    "gradient correlation": (True, 3),
    "perceptual (holes)": (False, 4),
}


@torch.no_grad()
def measure(result):
    values = (
        psnr(result, truth, counts),
        perceptual(distance, result, truth, counts),
        low_band_error(result, truth, counts)["total"],
        faceid(judge, result, truth, visibility)["cosine"],
        correlation(field_of(result), true_field, trust * counts),
        torch.where(hidden.mean((1, 2, 3)) > 0.01, perceptual(distance, result, truth, hidden), torch.nan),
    )
    return {name: value.numpy() for name, value in zip(METRICS, values, strict=True)}


results = {"G_studio": enlarged, "Poisson": poisson, "fusion": fused, "unguided": unguided, "guided": guided}
scores = {name: measure(result) for name, result in results.items()}
rivals = [name for name in results if name != "guided"]
judged = verdicts(
    {(rival, metric): scores["guided"][metric] - scores[rival][metric] for rival in rivals for metric in METRICS},
    people,
    {(rival, metric): up for rival in rivals for metric, (up, _) in METRICS.items()},
)
table_of(
    ["result", *(f"{metric} {'↑' if up else '↓'}" for metric, (up, _) in METRICS.items())],
    [[name, *(f"{np.nanmean(s[m]):.{d}f}" for m, (_, d) in METRICS.items())] for name, s in scores.items()],
)


def cell(told):
    gap = told.difference
    return f"{told.word}: {gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"


table_of(
    ["guided − rival, paired [95 %]", *METRICS],
    [[rival, *(cell(judged[rival, m]) for m in METRICS)] for rival in rivals],
)


def listed(rival, word):
    return ", ".join(m for m in METRICS if judged[rival, m].word == word) or "nothing"


for rival in rivals:
    for word, name in (("better", "wins"), ("worse", "losses"), ("cannot tell", "open")):
        notebook.glue(f"ch05_{name}_{rival.lower()}", listed(rival, word))
earns = [judged["fusion", m].word for m in ("perceptual", "low-band error", "identity")]
notebook.glue("ch05_comparisons", len(judged))
notebook.glue("ch05_earns", earns.count("better"))

# %% [markdown]
# The guided detailer, on {glue:text}`ch05_people` subjects with one capture each:
#
# - against **fusion alone**, better in: {glue:text}`ch05_wins_fusion`; worse in: {glue:text}`ch05_losses_fusion`; cannot be told in: {glue:text}`ch05_open_fusion`.
# - against **itself without the phone**, better in: {glue:text}`ch05_wins_unguided`; worse in: {glue:text}`ch05_losses_unguided`.
# - against **the screened Poisson equation**, better in: {glue:text}`ch05_wins_poisson`; worse in: {glue:text}`ch05_losses_poisson`.
# - against **G_studio's texture as it is**, better in: {glue:text}`ch05_wins_g_studio`; worse in: {glue:text}`ch05_losses_g_studio`.
#
# We ask of the detailer that it beats fusion alone in perceptual distance, in the low band and in identity: it does in {glue:text}`ch05_earns` of the three.
# The words come from a sign-flip test over subjects, all {glue:text}`ch05_comparisons` comparisons of the table corrected together; "cannot tell" is an answer too.
# The brackets are the intervals of the single differences, uncorrected.
#
# ## Many answers where nothing is known, in how many steps?
#
# A diffusion model samples: different noise, different detail.
# Where the phone speaks, the samples should agree; in holes they may not.
# And it samples in steps: each one costs a pass of the network.

# %% tags=["hide-input"]
seeds = 3
samples = {
    name: draw([most] * seeds, guided=looks, generator=[seeded(s) for s in range(seeds)])
    for name, looks in (("guided", True), ("unguided", False))
}
spread = {name: s.std(0).mean(0, keepdim=True) for name, s in samples.items()}
brightest = max(float(s.quantile(0.995)) for s in spread.values())
figures.show(
    figures.texture_grid(
        [[*samples[name], spread[name] / brightest] for name in samples],
        list(samples),
        [*(f"seed {s}" for s in range(seeds)), "spread"],
    ),
    "Three samples each of guided and unguided detail for the capture with the largest holes, and the standard "
    "deviation over the samples.",
)
where = {"observed": trust[most] * head, "holes": hidden[most]}
table_of(["mean spread", *where], [[name, *(f"{mean_in(s, w):.4f}" for w in where.values())] for name, s in spread.items()])
known = mean_in(spread["guided"], where["observed"])
notebook.glue("ch05_spread_drop", known / max(mean_in(spread["unguided"], where["observed"]), 1e-9))
notebook.glue("ch05_spread_holes", mean_in(spread["guided"], where["holes"]) / max(known, 1e-9))
counts_of_steps = [2**k for k in range(int(np.log2(4 * settings.detail.sample_steps)) + 1)]
some = slice(0, 4)
quality = {"perceptual": [], "gradients": []}
for steps in counts_of_steps:
    drawn = draw(some, steps=steps)
    quality["perceptual"].append(float(perceptual(distance, drawn, truth[some], counts[some]).mean()))
    quality["gradients"].append(float(correlation(field_of(drawn), true_field[some], (trust * counts)[some]).mean()))
fig = Figure(figsize=(figures.WIDTH, 2.3))
for k, (ax, label) in enumerate(zip(fig.subplots(1, 2), ("perceptual distance ↓", "gradient correlation ↑"), strict=True)):
    ax.plot(counts_of_steps, list(quality.values())[k], figures.MARKERS[k] + "-", color=figures.COLOURS["detailed"])
    ax.set_xscale("log", base=2)
    ax.set(xlabel="sampling steps", ylabel=label, xticks=counts_of_steps, xticklabels=counts_of_steps)
figures.show(fig, "Perceptual distance and gradient correlation of guided detail against the number of sampling steps.")
notebook.glue("ch05_best_steps", counts_of_steps[int(np.argmin(quality["perceptual"]))])
notebook.glue("ch05_steps", settings.detail.sample_steps)
notebook.glue("ch05_some", len(coarse[some]))

# %% [markdown]
# In observed texels the spread of guided samples is {glue:text}`ch05_spread_drop:.2f` times that of unguided ones (below 1: the phone settles something).
# In holes it is {glue:text}`ch05_spread_holes:.2f` times what it is in observed texels.
# Detail in a hole is invented, however good it looks; an honest avatar would say so.
#
# One sampling step gives the model's mean: smooth, and often good in numbers that like smoothness.
# The smallest perceptual distance on these {glue:text}`ch05_some` captures is at {glue:text}`ch05_best_steps` steps; our setting is {glue:text}`ch05_steps`.
#
# ## No colour through the gradients
#
# The first prediction, as an experiment: the same captures darker and in yellow light, with the same texture of G_studio.
# (In the whole chain the encoder sees the change as well; here we ask what passes through fusion and detailer.)

# %%
disturbed = {"exposure 1/2": (0.5, 0.5, 0.5), "exposure 1/4": (0.25, 0.25, 0.25), "yellow light": (1.0, 0.8, 0.5)}
lines = []
for name, gain in disturbed.items():
    other = linear_to_srgb(srgb_to_linear(phone[some]) * torch.tensor(gain).view(1, 3, 1, 1))
    through = fuse(other, visibility[some], enlarged[some]), draw(some, texture=torch.cat([other, phone[len(other) :]]))
    pairs = zip((other, *through), (phone, fused, guided), strict=True)
    lines.append([name, *(mean_in((new - old[some]).abs().mean(1, keepdim=True), counts[some]) for new, old in pairs)])
table_of(
    ["what is done to the phone texture", "its mean change", "of the fusion", "of the result"],
    [[name, *(f"{v:.4f}" for v in values)] for name, *values in lines],
)
notebook.glue("ch05_passed", 100 * max(values[1] / values[0] for _, *values in lines))
notebook.glue("ch05_passed_all", 100 * max(values[2] / values[0] for _, *values in lines))
assert all(values[1] < values[0] / 2 for _, *values in lines)

# %% [markdown]
# Of the change at most {glue:text}`ch05_passed:.0f` % passes through fusion, and {glue:text}`ch05_passed_all:.0f` % arrives in the result.
# Colour comes from the generator, detail from the phone.
#
# ## What goes wrong: the light that looks like skin
#
# The two lights of the first experiment again, now through the detailer, with the ideal coarse texture.
# Everything is observed and perfectly registered, so what is wrong in fusion is the leak, and the question is how much of it the detailer repairs, and what it spoils.

# %% tags=["hide-input"]
repaired = {name: draw(studio=resize(studio, low), texture=scene, seen=everything) for name, scene in lit.items()}
figures.show(
    figures.texture_grid(
        [[scene[clearest], leaked[n][clearest], repaired[n][clearest], studio[clearest]] for n, scene in lit.items()],
        list(lit),
        ["phone", "fusion", "+ detailer", "truth"],
        tile=1.7,
    ),
    "One head under smooth and hard light: the phone texture, fusion with the ideal coarse texture, the detailer's result, and "
    "the truth.",
)
rest = {name: (result - studio).abs().mean(1, keepdim=True) for name, result in repaired.items()}
areas = {"smooth light, face": ("smooth light", face), "hard light, edges of the light": ("hard light", edges)}
areas["hard light, elsewhere"] = ("hard light", face - edges)
change = {area: mean_in(rest[n], m) / mean_in(wrong[n], m) for area, (n, m) in areas.items()}
table_of(
    ["where", "error of fusion ↓", "with the detailer ↓"],
    [[area, f"{mean_in(wrong[n], m):.4f}", f"{mean_in(rest[n], m):.4f}"] for area, (n, m) in areas.items()],
)
on_edges = change["hard light, edges of the light"]
notebook.glue("ch05_repaired", f"{abs(1 - on_edges):.0%} {'less' if on_edges < 1 else 'more'}")
notebook.glue("ch05_repair_word", "repairs part of the leak" if on_edges < 0.95 else "does not repair the leak")

# %% [markdown]
# On the edges of the light the detailer leaves {glue:text}`ch05_repaired` error than fusion: here it {glue:text}`ch05_repair_word`.
# What is left is what a reader of the result will take for a scar, a fold or a stain.
#
# ## Claims of the paper, tested here


# %% tags=["hide-input"]
def say(*verdict):
    if all(v == "better" for v in verdict):
        return "reproduced"
    return "partly" if "better" in verdict else "not reproduced" if "worse" in verdict else "cannot tell"


def against(rival):
    return "; ".join(f"{m} {judged[rival, m].word}" for m in METRICS)


table_of(
    ["claim", "whose", "what we see here", "verdict on synthetic heads"],
    [
        [
            "gradient guidance improves realism and accuracy of detail",
            "stated by the authors",
            f"guided against unguided: {against('unguided')}",
            say(*(judged["unguided", m].word for m in ("perceptual", "PSNR", "gradient correlation"))),
        ],
        [
            "a diffusion model is better than fusion in closed form",
            "our question",
            f"guided against fusion: {against('fusion')}",
            "yes"
            if set(earns) == {"better"}
            else "in part"
            if "better" in earns
            else "no"
            if "worse" in earns
            else "cannot tell",
        ],
        [
            "log gradients follow the albedo better than raw ones, also under cast shadows",
            "our reading; the authors say 'image gradients'",
            f"hard light: {agree['hard light', 'log']:.3f} log, {agree['hard light', 'raw']:.3f} raw",
            "holds" if all(wins.values()) else "holds in part" if any(wins.values()) else "does not hold",
        ],
    ],
)

# %% [markdown]
# ## Exercises
#
# A cell with a stub ends in a check: put your answer in place of `...` and run it.
# The check says that the answer is right, or what kind of mistake it looks like; a folded solution follows.
#
# ```{exercise-start} Recall: what comes through?
# :label: ex-ch05-passes
# ```
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
# The sampler holds a noisy residual $x_t = \alpha\, x_0 + \sigma\, \epsilon$ with $\alpha^2 + \sigma^2 = 1$, and the network says $v = \alpha\, \epsilon - \sigma\, x_0$.
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
# $\alpha x_t - \sigma v = \alpha^2 x_0 + \alpha\sigma\epsilon - \sigma\alpha\epsilon + \sigma^2 x_0 = x_0$.
# A network that predicts $\epsilon$ leaves $(x_t - \sigma\epsilon)/\alpha$, which has no value where there is no signal.
# ````
#
# ```{exercise-start} Explain: two floors
# :label: ex-ch05-floor
# ```
# `gradients` takes the logarithm of $Y + 0.03 \cdot \bar Y$, with $\bar Y$ the mean luminance of the observed texels; `fuse` takes that of the light plus a fixed floor.
# Which of the two is exactly unchanged by a darker exposure?
# What would you gain, and what would you lose, by giving `fuse` the other floor?
# ```{exercise-end}
# ```
#
# ````{solution} ex-ch05-floor
# :class: dropdown
#
# With a floor that scales with the exposure, $\log(cY + c\,0.03\,\bar Y) = \log c + \log(Y + 0.03\,\bar Y)$, and every gradient is unchanged.
# With a fixed floor, a darker exposure moves texels towards the floor and shrinks their gradients: that is the small change of the fusion in the table above.
# But in a dark capture sensor noise is large in comparison with the light; a floor that follows the exposure down amplifies it, and a fixed one holds it back.
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
# Call `fuse` with a quarter and with four times its `width`, on the heads in hard light and on the captures.
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
# - Fusion is one line: the phone above a blur, the generator below it; no colour cast and no exposure passes, but edges of the light and rims of holes do.
# - The detailer predicts the velocity of what is still wrong, from pure noise, and was trained on real results of the chain before it.
# - It must beat fusion alone in perceptual distance, in the low band and in identity; here it does in {glue:text}`ch05_earns` of the three.
# - The phone decides *whose* detail is drawn; without it, and in holes, the detail is only plausible.
#
# {ref}`ch06` puts the finished texture on a head and judges the whole chain.
#
# ## References
#
# <!-- references -->
