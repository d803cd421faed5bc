// A clip's pixels and samples as this browser decodes them: what a volunteer sees and hears, as numbers.

const RATE = 16000; // the clips' own: at another rate the browser would resample
const PATIENCE = 12000; // milliseconds
const UNTOLD = 200;

function once(target, name, failure = "error") {
  return new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`timeout waiting for ${name}`)), PATIENCE);
    target.addEventListener(name, () => (clearTimeout(timer), done()), { once: true });
    target.addEventListener(
      failure,
      () => (clearTimeout(timer), fail(new Error(target.error?.message || `media error ${target.error?.code ?? ""}`))),
      { once: true },
    );
  });
}

/**
 * Frames of a clip at the given indices, 25 a second.
 * @returns {Promise<{grey: Uint8Array, coloured: number}[]>} the red channel row by row, and how many pixels are no grey
 */
export async function grabFrames(blob, indices) {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  const url = URL.createObjectURL(blob);
  try {
    const loaded = once(video, "loadeddata");
    video.src = url;
    // Phones load nothing before something plays; muted playing is always allowed.
    const nudge = setTimeout(() => video.play().then(() => video.pause(), () => {}), 1500);
    await loaded.finally(() => clearTimeout(nudge));
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const frames = [];
    for (const index of indices) {
      const shown = presented(video, index / 25);
      const found = once(video, "seeked");
      video.currentTime = (index + 0.5) / 25;
      await found;
      await shown;
      context.drawImage(video, 0, 0);
      frames.push(greyOf(context.getImageData(0, 0, canvas.width, canvas.height).data));
    }
    return frames;
  } finally {
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(url);
  }
}

/**
 * A busy browser says "seeked" a moment before the frame can be drawn, and a canvas then gets the old one. Resolves when
 * the frame that starts at `time` is there, or after a while where browsers do not tell.
 */
function presented(video, time) {
  if (!video.requestVideoFrameCallback) return new Promise((done) => setTimeout(done, UNTOLD));
  return new Promise((done) => {
    const timer = setTimeout(done, PATIENCE / 4);
    const look = (_now, { mediaTime }) => {
      if (Math.abs(mediaTime - time) > 0.01) return video.requestVideoFrameCallback(look);
      clearTimeout(timer);
      done();
    };
    video.requestVideoFrameCallback(look);
  });
}

function greyOf(rgba) {
  const grey = new Uint8Array(rgba.length / 4);
  let coloured = 0;
  for (let i = 0; i < grey.length; i++) {
    grey[i] = rgba[4 * i];
    if (rgba[4 * i] !== rgba[4 * i + 1] || rgba[4 * i] !== rgba[4 * i + 2]) coloured++;
  }
  return { grey, coloured };
}

/** All samples of a clip on the 16-bit grid. @returns {Promise<Int16Array>} */
export async function decodeSamples(blob) {
  const Context = window.OfflineAudioContext ?? window.webkitOfflineAudioContext;
  const decoded = await new Context(1, RATE, RATE).decodeAudioData(await blob.arrayBuffer());
  return onGrid(decoded.getChannelData(0));
}

/**
 * Floats back to the 16-bit steps they stand for. Firefox divides every step by 32768; Chromium divides those above
 * zero by 32767, so that both ends of the range become full scale. Neither loses a bit, and the right divisor is the
 * one under which samples fall on whole steps.
 */
function onGrid(samples) {
  const astray = (divisor) =>
    samples.reduce((sum, sample) => sum + (sample > 0 ? Math.abs(sample * divisor - Math.round(sample * divisor)) : 0), 0);
  const above = astray(32767) < astray(32768) ? 32767 : 32768;
  return Int16Array.from(samples, (sample) => Math.round(sample * (sample > 0 ? above : 32768)));
}
