/* The page "Try it": choose a face, compute its studio-like texture here, compare, turn the head. */

import { Model, at, difference, fetched, ownTexture, painted, pixels, planes, shipped } from "./model.js";
import { PhotoError, unwrapPhoto } from "./photo.js";

const LARGEST = 2, MEAN = 0.1; // of 255: how far the self-test may be from PyTorch's 8-bit picture
const PROVIDERS = { wasm: "WebAssembly, one thread", webgpu: "WebGPU" };

const make = (tag, settings = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};

const root = document.getElementById("try-it"), trouble = document.getElementById("try-it-trouble");
let manifest, model, ready, last, running = Promise.resolve();

// ------------------------------------------------------------------------------------------------ the page's parts

const status = make("p", { className: "try-status", role: "status" });
const bar = make("progress", { hidden: true, max: 1, value: 0, "aria-label": "Loading the networks" });
const verdict = make("p", { className: "try-test", role: "status" });
const start = make("button", { type: "button", className: "try-button" });
const choices = make("fieldset", { className: "try-faces" }, make("legend", {}, "A face"));
const results = make("div", { className: "try-results", hidden: true });
const cut = make("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": "Line between the phone's texture and the result" });
const pair = make("div", { className: "try-pair" });
const head = make("iframe", { title: "The head, which can be turned and lit", className: "try-head" });
const save = make("a", { className: "try-button", download: "studio.png" }, "Save the result");
const caption = make("figcaption");

function file(label, told, camera) {
  const input = make("input", { type: "file", accept: "image/*" });
  if (camera) input.setAttribute("capture", "user");
  input.addEventListener("change", () => { if (input.files.length) told(input.files[0]); input.value = ""; });
  return make("label", { className: "try-button try-file" }, label, input);
}

function slide(percent) {
  cut.value = percent;
  cut.setAttribute("aria-valuetext", `${Math.round(percent)} per cent phone`);
  pair.style.setProperty("--cut", `${percent}%`);
}

function build() {
  const size = Object.values(manifest.model).reduce((a, b) => a + b, 0);
  start.textContent = `Load the model (${Math.round(size / 1e6)} MB)`;
  start.addEventListener("click", () => begin("wasm").catch(tell));
  for (const face of manifest.faces) {
    const button = make("button", { type: "button", "aria-pressed": "false" },
      make("img", { src: at(face.texture), alt: "", width: 96, height: 96 }), face.name);
    button.addEventListener("click", () => choose(() => shipped(face, manifest.resolution), button));
    choices.append(button);
  }
  const photo = (chosen) => choose(async () => unwrapPhoto(model, await createImageBitmap(chosen), manifest.resolution));
  choices.append(make("div", { className: "try-own" },
    file("Your own texture …", (chosen) => choose(async () => ownTexture(await createImageBitmap(chosen), chosen.name, manifest.resolution))),
    file("Your own photo …", photo),
    file("Camera …", photo, true)));
  cut.addEventListener("input", () => slide(Number(cut.value)));
  const follow = (event) => {
    const box = pair.getBoundingClientRect();
    slide(Math.max(0, Math.min(100, (event.clientX - box.left) / box.width * 100)));
  };
  pair.addEventListener("pointerdown", (event) => { pair.setPointerCapture(event.pointerId); follow(event); });
  pair.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  results.append(make("figure", {}, pair, cut, caption, save), make("figure", {}, head,
    make("figcaption", {}, "The head with the result; drag, or use the arrow keys. The lamp can be moved.")));
  root.append(start, bar, status, verdict, choices, results);
  choices.disabled = true;
  root.hidden = false;
  trouble.hidden = true;
  slide(50);
  offerGpu();
}

async function offerGpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter) return;
  const select = make("select", {}, ...Object.entries(PROVIDERS).map(([value, name]) => make("option", { value }, name)));
  select.addEventListener("change", async () => {
    const wanted = select.value;
    await begin(wanted).catch(tell);
    if (model?.provider !== wanted) select.value = "wasm";
  });
  status.before(make("label", { className: "try-provider" }, "Runs on ", select));
}

// ------------------------------------------------------------------------------------------------ what happens

function tell(error) {
  status.textContent = error instanceof PhotoError || error.name !== "TypeError" ? error.message : `This did not work: ${error.message}`;
  bar.hidden = true;
}

/** Load the networks and test them; a provider that fails its test is not used. */
function begin(provider) {
  start.disabled = true;
  ready = (async () => {
    status.textContent = "Loading the networks …";
    bar.hidden = false;
    try {
      const fresh = await Model.load(provider, (loaded, total) => { bar.value = loaded / (total || manifest.model["chain.onnx"]); });
      bar.hidden = true;
      status.textContent = "Testing …";
      const wrong = await test(fresh);
      if (wrong) throw new Error(wrong);
      model = fresh;
    } catch (error) {
      start.disabled = Boolean(model);
      throw error;
    }
    start.hidden = true;
    choices.disabled = false;
    document.getElementById("try-it-still")?.classList.add("try-done");
    if (!last) choices.querySelector("button").click();
    await running;
    return "";
  })();
  return ready;
}

/** Convert the first face and compare with PyTorch's result; "" or what is wrong. */
async function test(fresh) {
  const size = manifest.resolution;
  const result = await fresh.convert(await shipped(manifest.faces[0], size));
  const { largest, mean } = difference(result.texture, planes(pixels(await fetched(manifest.reference), size)));
  const passed = largest <= LARGEST && mean <= MEAN;
  const numbers = `largest difference ${largest} of 255 (at most ${LARGEST}), mean ${mean.toFixed(4)} (at most ${MEAN}), ${result.seconds.toFixed(1)} s`;
  verdict.textContent = `Self-test on ${PROVIDERS[fresh.provider]}: ${passed ? "passed" : "FAILED"}. Against PyTorch: ${numbers}.`;
  verdict.classList.toggle("failed", !passed);
  return passed ? "" : `The self-test failed: ${numbers}.`;
}

/** Take a face from `source`, convert it, show it; one after the other. */
function choose(source, button) {
  running = running.then(async () => {
    try {
      status.textContent = "Computing …";
      await new Promise((done) => setTimeout(done, 30)); // let the browser paint that
      const face = await source();
      for (const other of choices.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
      show(face, await model.convert(face));
    } catch (error) { tell(error); }
  });
  return running;
}

function show(face, result) {
  const { size } = result, count = size * size;
  const guessed = Float32Array.from(result.texture, (value, k) => {
    const seen = Math.min(face.visibility[k % count], 1);
    return seen * value + (1 - seen) * (0.4 * value + 0.6 * [0.9, 0.35, 0.05][Math.floor(k / count)]);
  });
  const [phone, studio] = [painted(face.texture, size), painted(result.texture, size)];
  phone.setAttribute("role", "img");
  phone.setAttribute("aria-label", `${face.name}: the phone's texture`);
  studio.setAttribute("role", "img");
  studio.setAttribute("aria-label", `${face.name}: the result`);
  pair.replaceChildren(phone, studio);
  const seen = face.visibility.reduce((a, b) => a + b, 0) / count;
  caption.textContent = `${face.name}: left of the line the phone's texture, right of it the result. `
    + `${Math.round(100 * seen)} % of the head were seen; the rest is the generator's guess.`;
  save.href = studio.toDataURL("image/png");
  const textures = [["result", save.href], ["phone", phone.toDataURL("image/png")], ["guessed", painted(guessed, size).toDataURL("image/png")]];
  last = { face, result, textures };
  results.hidden = false;
  if (head.src) head.contentWindow.postMessage({ textures }, "*");
  else {
    head.addEventListener("load", () => head.contentWindow.postMessage({ textures: last.textures }, "*"));
    head.src = at("head.html");
  }
  status.textContent = [`Done in ${result.seconds.toFixed(1)} s.`, ...(face.warnings || [])].join(" ");
}

// the book's own browser tests ask for this: "" or what is wrong
window.selfTest = async () => {
  await starting;
  if (!manifest?.model) return "";
  try {
    await (ready ?? begin("wasm"));
    return unwrapPhoto ? await testPhoto() : "";
  } catch (error) { return error.message; }
};

/** The astronaut's photo through this page's own landmarks, against those of the package; "" or what is wrong. */
async function testPhoto() {
  const image = await fetched("photo.png"), { points } = await (await fetch(at("photo.json"))).json();
  const face = await unwrapPhoto(model, image, manifest.resolution);
  const apart = face.points.map((p, k) => Math.hypot(p[0] - points[k][0], p[1] - points[k][1]));
  const mean = apart.reduce((a, b) => a + b, 0) / apart.length;
  verdict.append(` Landmarks of the astronaut: ${mean.toFixed(2)} pixels from the package's in the mean.`);
  return mean < 1 ? "" : `landmarks are ${mean.toFixed(2)} pixels from the package's`;
}

const starting = (async () => {
  if (location.protocol === "file:") return;
  try {
    manifest = await (await fetch(at("manifest.json"))).json();
  } catch (error) {
    trouble.textContent = `The model cannot be loaded: ${error.message}`;
    return;
  }
  if (manifest.model) build();
  else trouble.textContent = "This build of the book has no model, because npm was not there to fetch the runtime. "
    + "Install npm and run  make book  again.";
})();
