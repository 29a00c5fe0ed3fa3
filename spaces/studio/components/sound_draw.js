// Draws sound on canvases: waveforms as the range of each column, spectrograms as pictures from dark (silence) to bright (full
// level). Installed once per page as window.encoreSound.
if (!window.encoreSound) {
  // From silence to full level; brightness rises evenly.
  const COLOURS = [[13, 8, 60], [84, 2, 163], [158, 24, 157], [214, 84, 109], [248, 149, 64], [250, 250, 150]];
  const PALETTE = Array.from({ length: 256 }, (_, level) => {
    const place = (level / 255) * (COLOURS.length - 1), index = Math.min(COLOURS.length - 2, Math.floor(place)), share = place - index;
    return COLOURS[index].map((from, channel) => Math.round(from + share * (COLOURS[index + 1][channel] - from)));
  });
  const GRADIENT = `linear-gradient(90deg, ${COLOURS.map((rgb) => `rgb(${rgb})`).join(", ")})`;

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const decodeWave = (picture) => (picture ? { columns: picture.columns, values: new Int8Array(bytes(picture.data).buffer) } : null);
  // The spectrogram as a picture of its own, a pixel for a band in a column; drawn to size later.
  const decodeMel = (picture) => {
    if (!picture) return null;
    const { columns, bands } = picture, levels = bytes(picture.data);
    const canvas = document.createElement("canvas");
    canvas.width = columns;
    canvas.height = bands;
    const image = new ImageData(columns, bands);
    for (let band = 0; band < bands; band++) {
      for (let column = 0; column < columns; column++) {
        const at = ((bands - 1 - band) * columns + column) * 4, [red, green, blue] = PALETTE[levels[band * columns + column]];
        image.data[at] = red; image.data[at + 1] = green; image.data[at + 2] = blue; image.data[at + 3] = 255;
      }
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  };

  // A canvas as wide and high as it is shown, sharp on any screen; gives its context, in CSS pixels.
  const prepare = (canvas, width, height) => {
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  };

  const drawWave = (canvas, width, height, wave, colours) => {
    const context = prepare(canvas, width, height), middle = height / 2;
    context.fillStyle = colours.line;
    context.fillRect(0, middle - 0.5, width, 1);
    if (!wave) return;
    context.fillStyle = colours.wave;
    for (let x = 0; x < width; x++) {
      const first = Math.floor((x * wave.columns) / width), last = Math.max(first + 1, Math.ceil(((x + 1) * wave.columns) / width));
      let low = 127, high = -127;
      for (let column = first; column < Math.min(last, wave.columns); column++) {
        low = Math.min(low, wave.values[2 * column]);
        high = Math.max(high, wave.values[2 * column + 1]);
      }
      const top = middle - (high / 127) * (middle - 2);
      context.fillRect(x, top, 1, Math.max(1, ((high - low) / 127) * (middle - 2)));
    }
  };
  const drawMel = (canvas, width, height, mel) => {
    const context = prepare(canvas, width, height);
    context.fillStyle = `rgb(${COLOURS[0]})`;
    context.fillRect(0, 0, width, height);
    if (mel) context.drawImage(mel, 0, 0, width, height);
  };

  // Times for an axis: round steps, at least `room` pixels apart.
  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120];
  const times = (seconds, width, room = 52) => {
    const step = STEPS.find((step) => (step / seconds) * width >= room) ?? 300, list = [];
    for (let index = 0; index * step < seconds - step * 0.25; index++) list.push([index * step, step]);
    return list.map(([time]) => [time / seconds, step < 1 ? `${time.toFixed(1)} s` : seconds >= 60 ? `${Math.floor(time / 60)}:${String(Math.round(time % 60)).padStart(2, "0")}` : `${Math.round(time)} s`]);
  };

  const views = {}; // those that have a name
  window.encoreSound = { views, decodeWave, decodeMel, drawWave, drawMel, times, GRADIENT };
}
