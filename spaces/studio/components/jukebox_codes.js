// Draws the codes of a level: a column for each code of the top level, in it the codes of the same moment from top to bottom.
// Installed once per page as window.encoreCodes.
if (!window.encoreCodes) {
  const OPEN = 255; // no code there yet
  const COLOURS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const PALETTE = Array.from({ length: OPEN }, (_, rank) => {
    const place = (rank / (OPEN - 1)) * (COLOURS.length - 1), index = Math.min(COLOURS.length - 2, Math.floor(place)), share = place - index;
    return COLOURS[index].map((from, channel) => Math.round(from + share * (COLOURS[index + 1][channel] - from)));
  });
  const GRADIENT = `linear-gradient(90deg, ${COLOURS.map((rgb) => `rgb(${rgb})`).join(", ")})`;

  // A picture of its own, a pixel for a code; drawn to size later.
  const decode = (picture) => {
    if (!picture) return null;
    const { columns, rows } = picture, ranks = Uint8Array.from(atob(picture.data), (letter) => letter.charCodeAt(0));
    const canvas = document.createElement("canvas");
    canvas.width = columns;
    canvas.height = rows;
    const image = new ImageData(columns, rows);
    ranks.forEach((rank, at) => { if (rank !== OPEN) image.data.set([...PALETTE[rank], 255], 4 * at); });
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  };
  const draw = (canvas, width, height, picture, colours) => {
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.fillStyle = colours.ground;
    context.fillRect(0, 0, width, height);
    context.strokeStyle = colours.line;
    context.globalAlpha = 0.6;
    context.beginPath();
    for (let x = -height; x < width; x += 7) { context.moveTo(x, height); context.lineTo(x + height, 0); }
    context.stroke();
    context.globalAlpha = 1;
    context.imageSmoothingEnabled = false;
    if (picture) context.drawImage(picture, 0, 0, width, height);
  };
  // A waveform that goes but a share of the way.
  const drawWave = (canvas, width, height, wave, share, colours) => {
    const reach = Math.round(width * Math.min(1, share));
    encoreSound.drawWave(canvas, width, height, wave && stretch(wave, reach / width), colours);
    const context = canvas.getContext("2d");
    context.clearRect(reach, 0, width - reach, height);
    context.fillStyle = colours.line;
    context.fillRect(reach, height / 2 - 0.5, width - reach, 1);
  };
  const stretch = ({ columns, values }, share) => {
    const all = Math.max(columns, Math.round(columns / Math.max(share, 0.001))), longer = new Int8Array(2 * all);
    longer.set(values);
    return { columns: all, values: longer };
  };
  window.encoreCodes = { decode, draw, drawWave, GRADIENT };
}
