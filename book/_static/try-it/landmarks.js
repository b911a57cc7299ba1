/* Finding a face and its 468 landmarks: the steps of studiolike/capture/detection.py, whose comments say why.
   Places are [x, y] or [x, y, z] in pixels of the picture; the centre of the first pixel is at 0.5. */

export const MARGIN = 1.5; // side of the crop for the mesh in widths of the face
const LOOK = 2.2, MARGINS = [1.4, 1.45, 1.5, 1.55, 1.6], AT_REST = 0.002, MOST_STEPS = 8;
const MESH_SIDE = 192, DETECTOR_SIDES = [128, 256], RIGHT_EYE = 33, LEFT_EYE = 263, SECOND_FACE = 0.5, SURE = 9;

export class PhotoError extends Error {}

/** A picture as bytes, four a pixel, with copies reduced by whole factors. */
export class Picture {
  constructor(width, height, data) {
    Object.assign(this, { width, height, levels: new Map([[1, { width, height, data }]]) });
  }

  static from({ width, height }, image) {
    const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, 0, 0, width, height);
    return new Picture(width, height, pen.getImageData(0, 0, width, height).data);
  }

  /** Area means over `factor` × `factor` pixels. */
  reduced(factor) {
    if (!this.levels.has(factor)) {
      const full = this.levels.get(1), width = Math.floor(full.width / factor), height = Math.floor(full.height / factor);
      const data = new Float32Array(width * height * 4);
      for (let y = 0; y < height * factor; y++) {
        const row = Math.floor(y / factor) * width;
        for (let x = 0; x < width * factor; x++) {
          const to = 4 * (row + Math.floor(x / factor)), from = 4 * (y * full.width + x);
          for (let c = 0; c < 3; c++) data[to + c] += full.data[from + c];
        }
      }
      for (let k = 0; k < data.length; k++) data[k] /= factor * factor;
      this.levels.set(factor, { width, height, data });
    }
    return this.levels.get(factor);
  }

  /** A square crop as three planes in [0, 1], and the functions that carry its places back to the picture, and there again. */
  cut(centre, side, angle, pixels, outside = "repeat") {
    const step = side / pixels, cos = step * Math.cos(angle), sin = step * Math.sin(angle), half = pixels / 2;
    const back = ([x, y]) => [(x - half) * cos - (y - half) * sin + centre[0], (x - half) * sin + (y - half) * cos + centre[1]];
    const to = ([x, y]) => [[cos, sin], [-sin, cos]].map(([a, b]) => (a * (x - centre[0]) + b * (y - centre[1])) / step ** 2 + half);
    const shrink = Math.max(1, Math.floor(step)), level = this.reduced(shrink), count = pixels * pixels;
    const planes = new Float32Array(3 * count), colour = [0, 0, 0];
    for (let y = 0; y < pixels; y++) for (let x = 0; x < pixels; x++) {
      const [px, py] = back([x + 0.5, y + 0.5]);
      if (outside === "black" && (px < 0 || py < 0 || px > this.width || py > this.height)) continue;
      bilinear(level, px / shrink - 0.5, py / shrink - 0.5, colour);
      for (let c = 0; c < 3; c++) planes[c * count + y * pixels + x] = colour[c] / 255;
    }
    return { planes, back, to };
  }
}

function bilinear({ width, height, data }, x, y, out) {
  x = Math.min(Math.max(x, 0), width - 1);
  y = Math.min(Math.max(y, 0), height - 1);
  const x0 = Math.floor(x), y0 = Math.floor(y), x1 = Math.min(x0 + 1, width - 1), y1 = Math.min(y0 + 1, height - 1);
  const fx = x - x0, fy = y - y0;
  for (let c = 0; c < 3; c++) {
    const at = (i, j) => data[4 * (j * width + i) + c];
    out[c] = (at(x0, y0) * (1 - fx) + at(x1, y0) * fx) * (1 - fy) + (at(x0, y1) * (1 - fx) + at(x1, y1) * fx) * fy;
  }
}

/** What the detector sees in a square crop of the picture, best first. */
async function detect(model, picture, centre, side, pixels) {
  const { planes, back } = picture.cut(centre, side, 0, pixels, "black");
  const sizes = [1, 3, pixels, pixels], scale = side / pixels;
  const { logits, places } = await model.run(`face_detector${pixels}.onnx`, { picture: [planes.map((v) => 2 * v - 1), sizes] });
  const found = [];
  logits.forEach((score, k) => {
    if (score <= 0) return;
    const place = (row) => back([places[16 * k + 2 * row], places[16 * k + 2 * row + 1]]);
    found.push({ score, centre: place(0), side: scale * Math.max(places[16 * k + 2], places[16 * k + 3]), right: place(2), left: place(3) });
  });
  return found.sort((a, b) => b.score - a.score);
}

const upright = (right, left) => Math.atan2(left[1] - right[1], left[0] - right[0]); // by the corners of the eyes
const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

/** Centre and side of the crop that landmarks ask for, and the angle that makes it upright. */
export function frame(points) {
  const right = points[RIGHT_EYE], left = points[LEFT_EYE], length = Math.max(distance(right, left), 1e-6);
  const along = [(left[0] - right[0]) / length, (left[1] - right[1]) / length], low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  for (const [x, y] of points) {
    [x * along[0] + y * along[1], y * along[0] - x * along[1]].forEach((value, axis) => {
      low[axis] = Math.min(low[axis], value);
      high[axis] = Math.max(high[axis], value);
    });
  }
  const [a, b] = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
  const centre = [a * along[0] - b * along[1], a * along[1] + b * along[0]];
  return { centre, side: MARGIN * Math.max(high[0] - low[0], high[1] - low[1]), angle: upright(right, left) };
}

/** Mean landmarks of upright crops of these sides, or null if the network's logit that this is a face is not above `least`. */
async function readMesh(model, picture, { centre, angle }, sides, least = 0) {
  const mean = Array.from({ length: 468 }, () => [0, 0, 0]);
  let presence = 0;
  for (const side of sides) {
    const { planes, back } = picture.cut(centre, side, angle, MESH_SIDE);
    const found = await model.run("face_mesh.onnx", { crop: [planes, [1, 3, MESH_SIDE, MESH_SIDE]] });
    presence += found.presence[0] / sides.length;
    mean.forEach((point, k) => {
      const [x, y] = back([found.points[3 * k], found.points[3 * k + 1]]);
      [x, y, found.points[3 * k + 2] * side / MESH_SIDE].forEach((value, axis) => { point[axis] += value / sides.length; });
    });
  }
  return presence > least ? mean : null;
}

/** The landmarks of the only face of a picture; throws a PhotoError that says what is wrong. */
export async function findLandmarks(model, picture) {
  const longest = Math.max(picture.width, picture.height), middle = [picture.width / 2, picture.height / 2];
  let found = [];
  for (const pixels of DETECTOR_SIDES) found.push(...await detect(model, picture, middle, longest, pixels));
  if (!found.length) found = await detect(model, picture, middle, longest / 2, 256); // a small face in the middle
  if (!found.length) throw new PhotoError("No face was found in this picture. Use a well lit photo that shows the whole face from the front, and crop it to the face if that is small.");
  found.sort((a, b) => b.side - a.side);
  const best = found[0];
  if (found.some((other) => distance(other.centre, best.centre) > 0.7 * best.side && other.side > SECOND_FACE * best.side)) {
    throw new PhotoError("Several faces were found in this picture: crop it to one person.");
  }
  // the package looks in four turns here, and so may ask for a surer second look than this one
  const near = await detect(model, picture, best.centre, LOOK * best.side, 128);
  let face = near.length ? near[0] : best;
  face = { ...face, side: MARGIN * face.side, angle: upright(face.right, face.left) };
  let points = null;
  for (let step = 0; step < MOST_STEPS; step++) {
    const before = points;
    points = await readMesh(model, picture, face, [face.side]);
    if (!points) throw new PhotoError("No face was found in this picture: what looked like one is none, or it is covered.");
    face = frame(points);
    if (before) {
      const moved = points.reduce((sum, p, k) => sum + Math.hypot(...p.map((v, axis) => v - before[k][axis])), 0) / points.length;
      if (moved < AT_REST * face.side / MARGIN) break;
    }
  }
  points = await readMesh(model, picture, face, MARGINS.map((margin) => face.side * margin / MARGIN), SURE);
  if (!points) throw new PhotoError("No face was found in this picture.");
  return points;
}
