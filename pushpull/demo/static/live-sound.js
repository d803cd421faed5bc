// Runs in the audio thread: what the microphone hears, at 16 kHz, in pieces of one video frame (640 samples).

const RATE = 16000;
const PIECE = 640;

class Sound extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(PIECE);
    this.filled = 0;
    this.sum = 0;
    this.count = 0;
    this.phase = 0;
  }

  process([input]) {
    const channels = input.length;
    if (!channels) return true;
    for (let at = 0; at < input[0].length; at++) {
      let value = 0;
      for (let channel = 0; channel < channels; channel++) value += input[channel][at];
      this.take(value / channels);
    }
    return true;
  }

  // Averages over each sixteen-thousandth of a second, where the context could not be had at that rate.
  take(value) {
    this.sum += value;
    this.count++;
    this.phase += RATE;
    if (this.phase < sampleRate) return;
    this.phase -= sampleRate;
    const mean = Math.max(-1, Math.min(1, this.sum / this.count));
    this.sum = this.count = 0;
    this.piece[this.filled++] = Math.round(mean * 32767);
    if (this.filled < PIECE) return;
    this.port.postMessage(this.piece.slice());
    this.filled = 0;
  }
}

registerProcessor("pp-sound", Sound);
