// Draws notes as SVG: melodies as piano rolls, drums as a grid of hits, music of several parts as one above the other.
// Shared by every component. Installed once per page as window.encoreDraw.
// What is drawn has notes, bars, drums (of drums alone), and for several parts `parts`: a list of {name, colour, drums}, of
// which a note's fifth number is the index. `barlines` (in quarter notes) are where bars are not all of 4/4.
// For editing, `ranges` (lowest and highest pitch, for each part) fix the rows, and view (in quarter notes, from and to) bounds
// the notes that are drawn.
if (!window.encoreDraw) {
  const SVG = "http://www.w3.org/2000/svg";
  const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
  const BLACK = new Set([1, 3, 6, 8, 10]);
  const DRUMS = [[49, "Crash"], [51, "Ride"], [46, "Open hat"], [42, "Closed hat"], [50, "High tom"], [48, "Mid tom"], [45, "Low tom"], [38, "Snare"], [36, "Kick"]];
  const FEEL = 0.02; // steps off the grid from which a hit counts as early or late
  let grids = 0;

  const make = (name, attributes, parent) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent?.appendChild(element);
    return element;
  };
  const size = (svg, width, height) => {
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
  };
  const pitchName = (pitch) => NAMES[pitch % 12] + (Math.floor(pitch / 12) - 1);
  const drumName = (pitch) => (DRUMS.find(([known]) => known === pitch) ?? [0, "Drum " + pitch])[1];
  const place = (start) => `beat ${(start + 1).toFixed(2).replace(/\.?0+$/, "")}`;

  // Rows from top to bottom as [pitch, label].
  const drumRows = (notes) => {
    const others = [...new Set(notes.map((note) => note[0]))].filter((pitch) => !DRUMS.some(([known]) => known === pitch)).sort((a, b) => b - a);
    return [...others.map((pitch) => [pitch, drumName(pitch)]), ...DRUMS];
  };
  const rowsBetween = (low, high) => Array.from({ length: high - low + 1 }, (_, index) => [high - index, pitchName(high - index)]);
  const pitchRows = (notes, fewest) => {
    const pitches = notes.map((note) => note[0]);
    let low = Math.min(...pitches, 127), high = Math.max(...pitches, 0);
    if (low > high) { low = 60; high = 72; }
    low -= 1; high += 1;
    while (high - low < fewest) { low -= 1; if (high - low < fewest) high += 1; }
    return rowsBetween(Math.max(0, low), Math.min(127, high));
  };

  // What is drawn under one another: {notes, drums, part, index, lanes, y, height}. `heights` gives those of a melody, of drums,
  // and of the parts in their order; or of one row, as `row` and `drumRow`.
  const GAP = 5;
  const panels = (value, heights, top) => {
    const list = value.parts
      ? value.parts.map((part, index) => ({ part, notes: value.notes.filter((note) => note[4] === index), drums: part.drums, height: heights.parts?.[part.drums ? 2 : index] }))
      : [{ part: null, notes: value.notes, drums: Boolean(value.drums), height: value.drums ? heights.drums : heights.melody }];
    let y = top;
    for (const [index, panel] of list.entries()) {
      panel.index = index;
      panel.lanes = panel.drums ? drumRows(panel.notes) : value.ranges ? rowsBetween(...value.ranges[index]) : pitchRows(panel.notes, value.parts ? 11 : 13);
      if (heights.row) panel.height = panel.lanes.length * (panel.drums ? heights.drumRow : heights.row);
      panel.laneHeight = panel.height / panel.lanes.length;
      panel.y = y;
      panel.seconds = Boolean(value.barlines);
      y += panel.height + GAP;
    }
    list.bottom = y - GAP;
    return list;
  };

  // The colour of a place between A (0) and B (1).
  const mix = (share) => `color-mix(in oklab, var(--clip-b) ${Math.round(share * 100)}%, var(--clip-a))`;

  const lines = (svg, bars, beatWidth, y, height, top, barlines) => {
    const beats = bars * 4, width = beats * beatWidth;
    for (const beat of barlines ?? []) make("line", { x1: beat * beatWidth, x2: beat * beatWidth, y1: top, y2: y + height, class: "bar" }, svg);
    if (barlines) return;
    for (let beat = 0; beat <= beats; beat++) {
      if (beat % 4 && beatWidth < 5) continue;
      const x = Math.min(width - 0.5, Math.max(0.5, beat * beatWidth));
      make("line", { x1: x, x2: x, y1: beat % 4 ? y : top, y2: y + height, class: beat % 4 ? "beat" : "bar" }, svg);
    }
  };

  // The empty cells of a drum grid, as a pattern of two beats: a step is a cell, every other beat is shaded.
  const cells = (svg, panel, width, stepWidth) => {
    const id = `encore-cells-${(grids += 1)}`, gap = stepWidth < 8 ? 0.5 : 1;
    const pattern = make("pattern", { id, width: stepWidth * 8, height: panel.laneHeight, patternUnits: "userSpaceOnUse", x: 0, y: panel.y }, make("defs", {}, svg));
    for (let step = 0; step < 8; step++) {
      make("rect", { x: step * stepWidth + gap, y: gap, width: stepWidth - 2 * gap, height: panel.laneHeight - 2 * gap, rx: Math.min(3, stepWidth / 5), class: step < 4 ? "step-cell" : "step-cell other" }, pattern);
    }
    make("rect", { x: 0, y: panel.y, width, height: panel.height, fill: `url(#${id})` }, svg);
  };

  // A drum hit: the harder, the taller and the darker; beside its step when it is early or late, with a mark on the step.
  const hit = (svg, panel, lane, note, stepWidth, colour) => {
    const [pitch, start, , velocity] = note, step = Math.round(start * 4), offset = start * 4 - step, hard = velocity / 127;
    const full = panel.laneHeight - (panel.laneHeight > 12 ? 4 : 1.5), height = Math.max(2, full * (0.3 + 0.7 * hard));
    const middle = panel.y + (lane + 0.5) * panel.laneHeight, width = panel.seconds ? 3 : Math.max(2.5, stepWidth - (stepWidth > 8 ? 4 : 1));
    const x = start * 4 * stepWidth + (panel.seconds ? 0 : (stepWidth - width) / 2);
    const rect = make("rect", { x, y: middle - height / 2, width, height, rx: Math.min(3, width / 3, height / 3), class: "note hit" }, svg);
    rect.style.fill = `color-mix(in oklab, ${colour} ${Math.round(22 + 78 * hard)}%, var(--roll-ground))`;
    rect.style.stroke = colour;
    const off = !panel.seconds && Math.abs(offset) >= FEEL; // in seconds there is no grid
    if (off && stepWidth >= 7) {
      const nominal = step * stepWidth + (stepWidth - width) / 2;
      make("line", { x1: nominal, x2: nominal, y1: middle - full / 2, y2: middle + full / 2, class: "nominal" }, svg);
    }
    const timing = off ? `, ${Math.round(Math.abs(offset) * 100)}% of a step ${offset < 0 ? "early" : "late"}` : "";
    make("title", {}, rect).textContent = `${drumName(pitch)}, ${panel.seconds ? "" : `${place(step / 4)}, `}velocity ${velocity}${timing}`;
    return rect;
  };

  // Fills `svg` (`width` px wide) with rows, bar lines, beats and notes; `fill` gives the colour at a beat; each(note, rect) is
  // told of every note that is drawn. Returns the panels.
  const roll = (svg, value, width, heights, top, fill, each = () => {}) => {
    const list = panels(value, heights, top), beatWidth = width / (value.bars * 4), stepWidth = beatWidth / 4;
    size(svg, width, list.bottom);
    for (const panel of list) {
      const { y, lanes, laneHeight } = panel;
      const withCells = panel.drums && stepWidth >= 6 && !value.barlines;
      if (withCells) cells(svg, panel, width, stepWidth);
      else lanes.forEach(([pitch], index) => {
        const shaded = panel.drums ? index % 2 : BLACK.has(pitch % 12);
        if (shaded) make("rect", { x: 0, y: y + index * laneHeight, width, height: laneHeight, class: "lane" }, svg);
      });
      lines(svg, value.bars, beatWidth, y, panel.height, panel === list[0] ? 0 : y, value.barlines);
      const laneOf = new Map(lanes.map(([pitch], index) => [pitch, index]));
      const gap = Math.min(1, laneHeight / 8);
      for (const note of panel.notes) {
        const [pitch, start, end] = note, lane = laneOf.get(pitch);
        if (lane === undefined || (value.view && (end < value.view[0] || start > value.view[1]))) continue;
        const colour = panel.part === null ? fill(start) : `var(--part-${panel.part.colour})`;
        if (panel.drums) { each(note, hit(svg, panel, lane, note, stepWidth, colour)); continue; }
        const rect = make("rect", {
          x: start * beatWidth + 0.75, y: y + lane * laneHeight + gap, width: Math.max(2, (end - start) * beatWidth - 1.5),
          height: Math.max(1.5, laneHeight - 2 * gap), rx: Math.min(2.5, laneHeight / 3), class: "note",
        }, svg);
        rect.style.fill = colour;
        make("title", {}, rect).textContent = panel.seconds ? pitchName(pitch) : `${pitchName(pitch)}, ${place(start)}`;
        each(note, rect);
      }
    }
    return list;
  };

  // The labels beside the rows.
  const labels = (svg, list, width, top) => {
    size(svg, width, list.bottom);
    for (const { lanes, laneHeight, y: start, height, drums, part } of list) {
      const order = lanes.map((_, index) => index);
      if (!drums) order.sort((a, b) => (lanes[a][0] % 12 === 0 ? 0 : 1) - (lanes[b][0] % 12 === 0 ? 0 : 1));
      const taken = [], small = drums && laneHeight < 12;
      for (const index of order) {
        const [pitch, text] = lanes[index], y = start + (index + 0.5) * laneHeight;
        if (!drums && BLACK.has(pitch % 12)) continue;
        if (y < start + 4 || y > start + height - 3) continue;
        if (taken.some((other) => Math.abs(other - y) < (small ? 8 : 10))) continue;
        taken.push(y);
        const label = make("text", { x: width - 6, y: y + 3.5, "text-anchor": "end", class: pitch % 12 === 0 || drums ? "name strong" : "name" }, svg);
        label.textContent = text;
        if (small) label.style.fontSize = "9.5px";
      }
      if (part !== null) make("rect", { x: 0, y: start, width: 4, height, class: "part", style: `fill: var(--part-${part.colour})` }, svg);
    }
  };

  const describe = (value) => {
    const what = value.parts ? "Score" : value.drums ? "Drum grid" : "Piano roll";
    if (!value.notes.length) return `Empty ${what.toLowerCase()}, ${value.bars} bars`;
    if (value.parts) {
      const counts = value.parts.map(({ name }, part) => `${name.toLowerCase()} ${value.notes.filter((note) => note[4] === part).length}`);
      return `${what}: ${value.notes.length} notes (${counts.join(", ")})`;
    }
    const pitches = value.notes.map((note) => note[0]);
    const range = value.drums ? [...new Set(pitches)].map(drumName).join(", ") : `${pitchName(Math.min(...pitches))} to ${pitchName(Math.max(...pitches))}`;
    return `${what}: ${value.notes.length} ${value.drums ? "hits" : "notes"}, ${range}, ${value.bars} bars`;
  };

  window.encoreDraw = { pitchName, drumName, pitchRows, roll, labels, mix, describe, make, size, cells, hit, lines, DRUMS };
}
