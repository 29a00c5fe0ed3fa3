// Draws notes as SVG; shared by the piano roll and the pad. Installed once per page as window.encoreDraw.
if (!window.encoreDraw) {
  const SVG = "http://www.w3.org/2000/svg";
  const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
  const BLACK = new Set([1, 3, 6, 8, 10]);
  const DRUMS = [[49, "Crash"], [51, "Ride"], [46, "Open hat"], [42, "Closed hat"], [50, "High tom"], [48, "Mid tom"], [45, "Low tom"], [38, "Snare"], [36, "Kick"]];

  const make = (name, attributes, parent) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent?.appendChild(element);
    return element;
  };
  const pitchName = (pitch) => NAMES[pitch % 12] + (Math.floor(pitch / 12) - 1);
  const drumName = (pitch) => (DRUMS.find(([known]) => known === pitch) ?? [0, "Drum " + pitch])[1];

  // Rows from top to bottom as [pitch, label].
  const rows = (notes, drums) => {
    const pitches = notes.map((note) => note[0]);
    if (drums) {
      const others = [...new Set(pitches)].filter((pitch) => !DRUMS.some(([known]) => known === pitch)).sort((a, b) => b - a);
      return [...others.map((pitch) => [pitch, drumName(pitch)]), ...DRUMS];
    }
    let low = Math.min(...pitches, 127), high = Math.max(...pitches, 0);
    if (low > high) { low = 60; high = 72; }
    low -= 1; high += 1;
    while (high - low < 13) { low -= 1; if (high - low < 13) high += 1; }
    const list = [];
    for (let pitch = Math.min(127, high); pitch >= Math.max(0, low); pitch--) list.push([pitch, pitchName(pitch)]);
    return list;
  };

  // The colour of a place between A (0) and B (1).
  const mix = (share) => `color-mix(in oklab, var(--clip-b) ${Math.round(share * 100)}%, var(--clip-a))`;

  // Fills `svg` (width x height px) with rows, bar lines, beats and notes. Returns nothing.
  const roll = (svg, value, width, height, top, fill) => {
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    const lanes = rows(value.notes, value.drums), laneHeight = (height - top) / lanes.length, beats = value.bars * 4, beatWidth = width / beats;
    lanes.forEach(([pitch], index) => {
      const shaded = value.drums ? index % 2 : BLACK.has(pitch % 12);
      if (shaded) make("rect", { x: 0, y: top + index * laneHeight, width, height: laneHeight, class: "lane" }, svg);
    });
    for (let beat = 0; beat <= beats; beat++) {
      const x = Math.min(width - 0.5, Math.max(0.5, beat * beatWidth));
      make("line", { x1: x, x2: x, y1: beat % 4 ? top : 0, y2: height, class: beat % 4 ? "beat" : "bar" }, svg);
    }
    const laneOf = new Map(lanes.map(([pitch], index) => [pitch, index]));
    const gap = Math.min(1, laneHeight / 8);
    for (const [pitch, start, end, velocity] of value.notes) {
      const lane = laneOf.get(pitch);
      if (lane === undefined) continue;
      const note = make("rect", {
        x: start * beatWidth + 0.75, y: top + lane * laneHeight + gap, width: Math.max(2, (end - start) * beatWidth - 1.5),
        height: Math.max(1.5, laneHeight - 2 * gap), rx: Math.min(2.5, laneHeight / 3), class: "note",
      }, svg);
      note.style.fill = fill(start);
      make("title", {}, note).textContent = `${value.drums ? drumName(pitch) : pitchName(pitch)}, beat ${(start + 1).toFixed(2).replace(/\.?0+$/, "")}`;
    }
    return { lanes, laneHeight };
  };

  // The labels beside the rows.
  const labels = (svg, lanes, laneHeight, width, height, top, drums) => {
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    const order = drums ? lanes.map((_, index) => index) : lanes.map((_, index) => index).sort((a, b) => (lanes[a][0] % 12 === 0 ? 0 : 1) - (lanes[b][0] % 12 === 0 ? 0 : 1));
    const taken = [];
    for (const index of order) {
      const [pitch, text] = lanes[index], y = top + (index + 0.5) * laneHeight;
      if (!drums && BLACK.has(pitch % 12)) continue;
      if (y < top + 5 || y > height - 4) continue;
      if (taken.some((other) => Math.abs(other - y) < 11)) continue;
      taken.push(y);
      make("text", { x: width - 6, y: y + 3.5, "text-anchor": "end", class: pitch % 12 === 0 || drums ? "name strong" : "name" }, svg).textContent = text;
    }
  };

  const describe = (value) => {
    if (!value.notes.length) return `Empty piano roll, ${value.bars} bars`;
    const pitches = value.notes.map((note) => note[0]);
    const range = value.drums ? [...new Set(pitches)].map(drumName).join(", ") : `${pitchName(Math.min(...pitches))} to ${pitchName(Math.max(...pitches))}`;
    return `Piano roll: ${value.notes.length} notes, ${range}, ${value.bars} bars`;
  };

  window.encoreDraw = { roll, labels, mix, describe, make };
}
