/* The page "Try it": choose a face, compute its studio-like texture here, compare, turn the head. */

import { PhotoError } from "./landmarks.js";
import { loadGeometry } from "./layout.js";
import { Model, at, difference, fetched, ownTexture, painted, pixels, planes, shipped } from "./model.js";
import { findFace, inLayout, unwrapPhoto } from "./photo.js";
import { readShape, withShape } from "./record.js";
import { headShape, headVertices } from "./shape.js";

const LARGEST = 2, MEAN = 0.1; // of 255: how far the self-test may be from PyTorch's 8-bit picture
const COUNTED = 0.4; // as in studiolike/detail/fusion.py: visibility from which all detail is the phone's
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
const caption = make("figcaption"), headCaption = make("figcaption");

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
    button.addEventListener("click", () => choose(() => person(face), button));
    choices.append(button);
  }
  const own = (source) => (chosen) => choose(() => source(chosen));
  choices.append(make("div", { className: "try-own" },
    file("Your own texture …", own(texture)),
    file("Your own photo …", own(photo)),
    file("Camera …", own(photo), true)));
  cut.addEventListener("input", () => slide(Number(cut.value)));
  const follow = (event) => {
    const box = pair.getBoundingClientRect();
    slide(Math.max(0, Math.min(100, (event.clientX - box.left) / box.width * 100)));
  };
  pair.addEventListener("pointerdown", (event) => { pair.setPointerCapture(event.pointerId); follow(event); });
  pair.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  results.append(make("figure", {}, pair, cut, caption, save), make("figure", {}, head, headCaption));
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

const placesOf = async (name) => new Float32Array(await (await fetch(at(name))).arrayBuffer());

/** A shipped face with its head. */
async function person(face) {
  const [textures, places] = await Promise.all([shipped(face, manifest.resolution), placesOf(face.head)]);
  return { ...textures, places, told: face.told };
}

/** Face and head of a photo in which a face was found; landmarks and outline tell the shape. */
async function photographed(found) {
  const face = await unwrapPhoto(model, found, manifest.resolution), geometry = await loadGeometry();
  return { ...face, ...shaped(headShape(face.points, face.outward, geometry), geometry), unread: " Ears and neck are never read from a photo." };
}

/** A chosen file as a bitmap. */
async function decoded(chosen) {
  try {
    return await createImageBitmap(chosen);
  } catch {
    throw new PhotoError(`${chosen.name} is no picture that this browser can read: choose a JPEG or a PNG.`);
  }
}

/** Face and head of a texture, whose record may tell the shape. What is no texture is read as a photo, which is said. */
async function texture(chosen) {
  const image = await decoded(chosen), geometry = await loadGeometry();
  const shape = readShape(new Uint8Array(await chosen.arrayBuffer()), geometry);
  if (shape && image.width === image.height) return { ...ownTexture(image, chosen.name, manifest.resolution), ...shaped(shape, geometry) };
  const said = `${chosen.name} is no texture in the head layout, so it was read as a photo.`;
  try {
    const found = await findFace(model, image);
    if (inLayout(found, geometry)) return { ...ownTexture(image, chosen.name, manifest.resolution), told: manifest.base };
    const face = await photographed(found);
    return { ...face, warnings: [said, ...face.warnings] };
  } catch (error) {
    throw error instanceof PhotoError ? new PhotoError(`${said} ${error.message}`) : error;
  }
}

/** Face and head of a photo; what looks like a texture is one only for whoever says so. */
async function photo(chosen) {
  const found = await findFace(model, await decoded(chosen)), face = await photographed(found);
  const said = "This picture looks like a texture in the head layout: if it is one, choose it as your own texture.";
  return inLayout(found, await loadGeometry()) ? { ...face, warnings: [...face.warnings, said] } : face;
}

const shaped = (shape, geometry) => ({
  places: headVertices(shape, geometry), told: manifest.own, mark: (png) => withShape(png, shape, manifest.version, geometry),
});

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
    const seen = Math.min(face.visibility[k % count] / COUNTED, 1);
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
    + `${Math.round(100 * seen)} % of the head were seen; the rest is invented.${face.unread ?? ""}`;
  const address = studio.toDataURL("image/png");
  URL.revokeObjectURL(save.href);
  save.href = address;
  if (face.mark) { // the file tells the shape, as studiolike convert's does
    const png = Uint8Array.from(atob(address.split(",")[1]), (c) => c.charCodeAt(0));
    save.href = URL.createObjectURL(new Blob([face.mark(png)], { type: "image/png" }));
  }
  const textures = [["result", address], ["phone", phone.toDataURL("image/png")], ["guessed", painted(guessed, size).toDataURL("image/png")]];
  last = { face, result, textures };
  headCaption.textContent = `The head with the result; drag to turn it. ${face.told}`;
  results.hidden = false;
  const hand = () => head.contentWindow.postMessage({ textures: last.textures, places: last.face.places }, "*");
  if (head.src) hand();
  else {
    head.addEventListener("load", hand);
    head.src = at("head.html");
  }
  status.textContent = [`Done in ${result.seconds.toFixed(1)} s.`, ...(face.warnings || [])].join(" ");
}

// the book's own browser tests ask for this: "" or what is wrong, or that it cannot be known
window.selfTest = async () => {
  await starting;
  if (!manifest?.model) return `${manifest ? "NOT TESTED: " : ""}${trouble.textContent}`;
  try {
    await (ready ?? begin("wasm"));
    return await testPhoto() || await testKinds();
  } catch (error) { return error.message; }
};

/** The astronaut's photo as this page reads it, against what the package reads: landmarks, texture, head; "" or what is wrong. */
async function testPhoto() {
  const image = await fetched("photo.png"), { points } = await (await fetch(at("photo.json"))).json();
  const face = await photographed(await findFace(model, image)), places = await placesOf("photo-head.bin"), before = last;
  const mean = meanDistance(face.points.flatMap((p) => [p[0], p[1], 0]), points.flatMap((p) => [p[0], p[1], 0]));
  const off = meanDistance(face.places, places), ours = await shipped({ texture: "photo-texture.png", visibility: "photo-seen.png" }, manifest.resolution);
  const [seen, colours] = ["visibility", "texture"].map((name) => difference(face[name], ours[name]).mean);
  verdict.append(` The astronaut's photo, against the package: landmarks ${mean.toFixed(2)} pixels apart in the mean, visibility ${seen.toFixed(1)} `
    + `and colours ${colours.toFixed(1)} of 255, the head ${off.toFixed(3)} cm.`);
  if (!(mean < 1)) return `landmarks are ${mean.toFixed(2)} pixels from the package's`;
  if (!(seen < 2 && colours < 2)) return `the photo's texture is ${colours.toFixed(1)} of 255 from the package's, its visibility ${seen.toFixed(1)}`;
  if (!(off < 0.02)) return `the head is ${off.toFixed(3)} cm from the package's`;
  for (const [name, other] of [["a photo's", face], ["the base", { ...face, places: null }], ["a face's", before.face]]) {
    show(other, before.result);
    if (!await takes(other.places ?? baseHead)) return `the page does not show ${name} head`;
  }
  return "";
}

/** Whether a photo, a texture and what is neither are told apart when they are chosen as a texture; "" or what is wrong. */
async function testKinds() {
  const chosen = async (name) => new File([await (await fetch(at(name))).blob()], name);
  const face = await texture(await chosen("photo.png"));
  if (!face.points || !/no texture.*read as a photo/.test(face.warnings.join(" "))) return "a photo is taken for a texture";
  for (const { texture: name } of manifest.faces) {
    if ((await texture(await chosen(name))).points) return `the texture ${name} is taken for a photo`;
  }
  for (const wrong of [new File(["no picture"], "notes.txt"), new File([], "empty.png")]) {
    const said = await texture(wrong).catch((error) => error.message);
    if (!`${said}`.startsWith(`${wrong.name} is no picture`)) return `${wrong.name} is answered by: ${said}`;
  }
  return "";
}

function meanDistance(a, b) {
  let sum = 0;
  for (let k = 0; k < a.length; k += 3) sum += Math.hypot(a[k] - b[k], a[k + 1] - b[k + 1], a[k + 2] - b[k + 2]);
  return sum / a.length * 3;
}

/** Whether the head has these places within ten seconds, or those that a function finds. */
async function takes(wanted) {
  for (let k = 0; k < 100; k++) {
    const found = shownHead(), places = found && centred(typeof wanted === "function" ? wanted() : wanted);
    if (found?.every((value, n) => Math.abs(value - places[n]) < 0.01)) return true;
    await new Promise((done) => setTimeout(done, 100));
  }
  return false;
}

/** Places about the middle of their box. */
function centred(places) {
  const middle = [0, 1, 2].map((c) => {
    const along = places.filter((_, k) => k % 3 === c);
    return (along.reduce((a, b) => Math.min(a, b)) + along.reduce((a, b) => Math.max(a, b))) / 2;
  });
  return places.map((value, k) => value - middle[k % 3]);
}

const widened = (numbers, extent) => Float32Array.from({ length: numbers.length / 4 * 3 },
  (_, k) => (numbers[4 * Math.floor(k / 3) + k % 3] / 65535 - 0.5) * extent[k % 3]);

/** What the head's own buffers hold; null while it is not there. */
function shownHead() {
  if (head.contentDocument?.readyState !== "complete") return null;
  const gl = head.contentDocument.getElementById("view")?.getContext("webgl2"), program = gl?.getParameter(gl.CURRENT_PROGRAM);
  if (!program) return null;
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.getVertexAttrib(gl.getAttribLocation(program, "place"), gl.VERTEX_ATTRIB_ARRAY_BUFFER_BINDING));
  const numbers = new Uint16Array(gl.getBufferParameter(gl.ARRAY_BUFFER, gl.BUFFER_SIZE) / 2);
  gl.getBufferSubData(gl.ARRAY_BUFFER, 0, numbers);
  return widened(numbers, gl.getUniform(program, gl.getUniformLocation(program, "extent")));
}

/** The head that the page of the head brings with it. */
function baseHead() {
  const { positions, extent } = JSON.parse(head.contentDocument.getElementById("data").textContent);
  return widened(new Uint16Array(Uint8Array.from(atob(positions), (c) => c.charCodeAt(0)).buffer), extent);
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
