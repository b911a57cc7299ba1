/* The shape of a face or head in the record of a PNG: written and read as studiolike/record.py does, whose comments say why. */

import { restShape } from "./outline.js";

const RECORD = "studiolike", UNIT = 0.01, FARTHEST = 4;
const HEADER = 33; // bytes up to the end of IHDR, which comes first

const TABLE = Uint32Array.from({ length: 256 }, (_, k) => { for (let bit = 0; bit < 8; bit++) k = k & 1 ? 0xedb88320 ^ (k >>> 1) : k >>> 1; return k; });
const checksum = (bytes) => ~bytes.reduce((sum, byte) => TABLE[(sum ^ byte) & 255] ^ (sum >>> 8), -1);

function shapeText(shape, geometry) {
  const rest = restShape(geometry), steps = new DataView(new ArrayBuffer(2 * 3 * shape.length));
  shape.forEach((point, k) => point.forEach((value, c) => {
    const step = Math.round((value - rest[k][c]) / UNIT), most = FARTHEST / UNIT;
    steps.setInt16(2 * (3 * k + c), Math.min(Math.max(step, -most), most), true);
  }));
  return btoa(String.fromCharCode(...new Uint8Array(steps.buffer)));
}

/** The bytes of a PNG with a record of the shape. */
export function withShape(png, shape, version, geometry) {
  const text = `tEXt${RECORD}\0${JSON.stringify({ shape: shapeText(shape, geometry), version })}`;
  const body = Uint8Array.from(text, (c) => c.charCodeAt(0)), chunk = new Uint8Array(body.length + 8), view = new DataView(chunk.buffer);
  view.setUint32(0, body.length - 4);
  chunk.set(body, 4);
  view.setUint32(body.length + 4, checksum(body));
  const out = new Uint8Array(png.length + chunk.length);
  out.set(png.subarray(0, HEADER));
  out.set(chunk, HEADER);
  out.set(png.subarray(HEADER), HEADER + chunk.length);
  return out;
}

/** The shape that a PNG's record tells, or null. */
export function readShape(png, geometry) {
  const view = new DataView(png.buffer, png.byteOffset, png.length), text = (from, to) => String.fromCharCode(...png.subarray(from, to));
  if (text(1, 4) !== "PNG") return null;
  try {
    for (let at = 8; at + 12 <= png.length; at += 12 + view.getUint32(at)) {
      if (text(at + 4, at + 8) !== "tEXt" || text(at + 8, at + 9 + RECORD.length) !== `${RECORD}\0`) continue;
      const { shape } = JSON.parse(text(at + 9 + RECORD.length, at + 8 + view.getUint32(at)));
      const bytes = Uint8Array.from(atob(shape), (c) => c.charCodeAt(0)), steps = new DataView(bytes.buffer);
      const rest = [geometry.vertices, restShape(geometry)].find((points) => bytes.length === 2 * 3 * points.length);
      const points = rest.map((point, k) => point.map((value, c) => value + UNIT * steps.getInt16(2 * (3 * k + c), true)));
      return points.every((point, k) => point.every((value, c) => Math.abs(value - rest[k][c]) < FARTHEST + UNIT / 2)) ? points : null;
    }
  } catch { } // not a record of ours
  return null;
}
