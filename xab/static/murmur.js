// A quiet synthetic voice for setting the volume: as loud as ordinary speech in the clips, and none of the clips.

const RATE = 16000;
const LEVEL = 0.05; // RMS at full scale 1, -26 dB: the usual active level of recorded speech
const LENGTH = 0.45; // seconds of one murmur
const GAP = 0.3;
const FORMANTS = [
  [620, 1100],
  [330, 2000],
  [480, 900],
];

/** `count` murmurs as an AudioBuffer: a buzz at a voice's pitch through the resonances of a vowel. */
async function render(count) {
  const seconds = count * (LENGTH + GAP) + 0.1;
  const context = new OfflineAudioContext(1, Math.ceil(seconds * RATE), RATE);
  for (let i = 0; i < count; i++) {
    const start = 0.05 + i * (LENGTH + GAP);
    const buzz = new OscillatorNode(context, { type: "sawtooth", frequency: 118 + 6 * i });
    buzz.frequency.linearRampToValueAtTime(104 + 6 * i, start + LENGTH);
    const envelope = new GainNode(context, { gain: 0 });
    envelope.gain.setValueAtTime(0, start);
    envelope.gain.linearRampToValueAtTime(1, start + 0.06);
    envelope.gain.setValueAtTime(1, start + LENGTH - 0.12);
    envelope.gain.linearRampToValueAtTime(0, start + LENGTH);
    for (const frequency of FORMANTS[i % FORMANTS.length]) {
      buzz.connect(new BiquadFilterNode(context, { type: "bandpass", frequency, Q: 6 })).connect(envelope);
    }
    envelope.connect(context.destination);
    buzz.start(start);
    buzz.stop(start + LENGTH);
  }
  const rendered = await context.startRendering();
  const samples = rendered.getChannelData(0);
  const sounding = count * LENGTH * RATE;
  const rms = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / sounding);
  samples.forEach((sample, i) => (samples[i] = (sample * LEVEL) / rms));
  return rendered;
}

export class Murmurs {
  /** Play `count` murmurs; resolves when they are over or stopped. Call it from a click: browsers insist. */
  async play(count) {
    this.stop();
    this.context ??= new AudioContext();
    await this.context.resume();
    const source = new AudioBufferSourceNode(this.context, { buffer: await render(count) });
    source.connect(this.context.destination);
    this.source = source;
    return new Promise((done) => {
      source.onended = done;
      source.start();
    });
  }

  stop() {
    this.source?.stop();
    this.source = null;
  }

  close() {
    this.stop();
    this.context?.close();
    this.context = null;
  }
}
