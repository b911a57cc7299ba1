/* The networks in the browser: loading them with progress, running them, and comparing with what PyTorch computed.
   Pictures are Float32Array in [0, 1], channel after channel, as the networks take them. */

const BASE = new URL("./", import.meta.url);
export const at = (name) => new URL(name, BASE).href;

/** Fetch a file of the site as bytes; `told(loaded, total)` hears of the progress. */
async function bytes(name, told = () => {}) {
  const answer = await fetch(at(name));
  if (!answer.ok) throw new Error(`${name} cannot be loaded (${answer.status})`);
  const total = Number(answer.headers.get("content-length")) || 0;
  const reader = answer.body.getReader(), parts = [];
  let loaded = 0;
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    parts.push(step.value);
    loaded += step.value.length;
    told(loaded, total);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Everything that runs networks, on one provider: "wasm" or "webgpu". */
export class Model {
  static async load(provider, told = () => {}) {
    const ort = await import(at(provider === "webgpu" ? "ort.webgpu.min.mjs" : "ort.wasm.min.mjs"));
    ort.env.wasm.wasmPaths = BASE.href;
    ort.env.wasm.numThreads = 1; // more need headers that few servers send
    ort.env.logLevel = "error";
    const model = new Model();
    Object.assign(model, { ort, provider, sessions: {}, settings: { executionProviders: [provider] } });
    model.sessions["chain.onnx"] = await ort.InferenceSession.create(await bytes("chain.onnx", told), model.settings);
    return model;
  }

  /** Run a network; small ones are loaded when they are first asked for. Feeds and results: name → [values, sizes]. */
  async run(file, feeds) {
    this.sessions[file] ??= await this.ort.InferenceSession.create(await bytes(file), this.settings);
    const tensors = Object.entries(feeds).map(([name, [values, sizes]]) => [name, new this.ort.Tensor("float32", values, sizes)]);
    const found = await this.sessions[file].run(Object.fromEntries(tensors));
    return Object.fromEntries(Object.entries(found).map(([name, tensor]) => [name, tensor.data]));
  }

  /** The chain: texture (3 · n²) and visibility (n²) → studio-like texture (3 · n²) and the seconds it took. */
  async convert({ texture, visibility, size }) {
    const began = performance.now();
    const found = await this.run("chain.onnx", { texture: [texture, [1, 3, size, size]], visibility: [visibility, [1, 1, size, size]] });
    return { texture: found.studio, size, seconds: (performance.now() - began) / 1000 };
  }
}

/** Largest and mean difference of two pictures, in steps of 1/255; the second one has 8 bits. */
export function difference(found, expected) {
  let largest = 0, sum = 0;
  for (let k = 0; k < found.length; k++) {
    const apart = Math.abs(Math.round(Math.min(Math.max(found[k], 0), 1) * 255) - Math.round(expected[k] * 255));
    largest = Math.max(largest, apart);
    sum += apart;
  }
  return { largest, mean: sum / found.length };
}

// ------------------------------------------------------------------------------------------------ pictures

/** An image element or bitmap, drawn into `size` × `size` pixels; bytes, four a pixel. */
export function pixels(image, size) {
  const canvas = new OffscreenCanvas(size, size), pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, 0, 0, size, size);
  return pen.getImageData(0, 0, size, size).data;
}

export async function fetched(name) {
  const answer = await fetch(at(name));
  if (!answer.ok) throw new Error(`${name} cannot be loaded (${answer.status})`);
  return createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" });
}

/** Bytes, four a pixel → three planes in [0, 1]. */
export function planes(data, channels = 3) {
  const count = data.length / 4, out = new Float32Array(channels * count);
  for (let c = 0; c < channels; c++) for (let k = 0; k < count; k++) out[c * count + k] = data[4 * k + c] / 255;
  return out;
}

/** Three planes in [0, 1] → a canvas. */
export function painted(values, size) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const image = new ImageData(size, size), count = size * size;
  for (let k = 0; k < count; k++) {
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = Math.round(values[c * count + k] * 255);
    image.data[4 * k + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** A shipped face, or a texture of the reader's; what is transparent or black was not seen. */
export async function shipped(face, size) {
  const [texture, seen] = await Promise.all([fetched(face.texture), fetched(face.visibility)]);
  return { name: face.name, texture: planes(pixels(texture, size)), visibility: planes(pixels(seen, size), 1), size };
}

export function ownTexture(image, name, size) {
  const data = pixels(image, size), visibility = new Float32Array(size * size);
  for (let k = 0; k < visibility.length; k++) {
    visibility[k] = Math.max(data[4 * k], data[4 * k + 1], data[4 * k + 2]) > 2 ? data[4 * k + 3] / 255 : 0;
  }
  if (!visibility.some((v) => v > 0)) throw new Error(`Nothing is to be seen in ${name}.`);
  return { name, texture: planes(data), visibility, size };
}
