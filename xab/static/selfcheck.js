// Does this browser pass pixels and samples on unchanged? The sums go to the server, which decides; the counts tell
// the volunteer, and later the experimenter, what is wrong.

import { decodeSamples, grabFrames } from "./grab.js";

// Three formulas shared with xab/selfcheck.py.
const SIDE = 112;
const GRABBED = [1, 4, 8];
const SAMPLES = 6400;

function expectedFrame(k) {
  const frame = new Uint8Array(SIDE * SIDE);
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) frame[y * SIDE + x] = (7 * x + 13 * y + 29 * k + ((x * y) >> 3)) & 255;
  }
  return frame;
}

function expectedSamples() {
  const samples = new Int16Array(SAMPLES);
  let state = 1;
  for (let i = 0; i < SAMPLES; i++) {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    samples[i] = (state >>> 16) - 32768;
  }
  return samples;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n >>> 0;
});

export function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

function littleEndian(samples) {
  const view = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((sample, i) => view.setInt16(2 * i, sample, true));
  return new Uint8Array(view.buffer);
}

/** What /api/check wants to know; never throws. */
export async function selfCheck(blob) {
  const report = {
    video: [],
    audio: null,
    wrong_pixels: null,
    largest_difference: null,
    wrong_samples: null,
    error: "",
    width: Math.round(innerWidth),
    height: Math.round(innerHeight),
    pixel_ratio: devicePixelRatio,
  };
  const failures = [];
  try {
    comparePixels(report, await grabFrames(blob, GRABBED));
  } catch (error) {
    failures.push(`video: ${error.message}`);
  }
  try {
    compareSamples(report, await decodeSamples(blob));
  } catch (error) {
    failures.push(`audio: ${error.message}`);
  }
  report.error = failures.join("; ").slice(0, 500);
  return report;
}

function comparePixels(report, frames) {
  report.wrong_pixels = 0;
  report.largest_difference = 0;
  frames.forEach(({ grey, coloured }, index) => {
    const wanted = expectedFrame(GRABBED[index]);
    // A pixel that is no grey is wrong although its red may be right: the sum must not hide it.
    report.video.push(coloured === 0 ? crc32(grey) : 0);
    report.wrong_pixels += coloured;
    for (let i = 0; i < wanted.length; i++) {
      const difference = Math.abs(wanted[i] - (grey[i] ?? 0));
      if (difference > 0) report.wrong_pixels++;
      report.largest_difference = Math.max(report.largest_difference, difference);
    }
  });
}

function compareSamples(report, samples) {
  const wanted = expectedSamples();
  report.audio = crc32(littleEndian(samples));
  report.wrong_samples = Math.abs(samples.length - wanted.length);
  for (let i = 0; i < Math.min(samples.length, wanted.length); i++) {
    if (samples[i] !== wanted[i]) report.wrong_samples++;
  }
}

/** What a failed report means, and what a person can do about it. */
export function explain(report) {
  const pictures = report.wrong_pixels === null;
  const sound = report.wrong_samples === null;
  if (pictures || sound) {
    const what = pictures && sound ? "the clips" : pictures ? "the picture of the clips" : "the sound of the clips";
    return {
      what: `This browser cannot decode ${what} (lossless VP9 video and FLAC sound in MP4).`,
      todo: [
        "Open the same link in a current Chrome, Edge or Firefox on a computer.",
        "On an iPhone or iPad every browser uses Apple's decoder: please use a computer, or an Android phone.",
      ],
    };
  }
  if (report.wrong_pixels > 0 && report.largest_difference <= 2) {
    return {
      what: `This browser changes the picture slightly: ${report.wrong_pixels} pixels differ by at most ${report.largest_difference} of 255 levels.`,
      todo: [
        "A protection against tracking may add noise to pictures that a page reads (Brave, Firefox with resistFingerprinting, privacy extensions): switch it off for this page, then check again.",
        "Or open the same link in a current Chrome or Edge.",
      ],
    };
  }
  if (report.wrong_pixels > 0) {
    return {
      what: `This browser changes the picture: ${report.wrong_pixels} pixels differ, by up to ${report.largest_difference} of 255 levels.`,
      todo: [
        "Switch off “enhance video”, night mode or forced colours for this browser, then check again.",
        "Or open the same link in a current Chrome or Edge on another computer.",
      ],
    };
  }
  return {
    what: `This browser changes the sound: ${report.wrong_samples} of ${SAMPLES} samples differ.`,
    todo: ["Switch off extensions that change sound, then check again.", "Or open the same link in a current Chrome, Edge or Firefox."],
  };
}
