// The mode "Edit" of a roll: the toolbar, what is drawn on top of the notes, what is said, and how it begins and ends. What
// hands and keys do is in piano_roll_input.js, what becomes of the notes in piano_roll_notes.js.
const tools = $(".editing"), editButton = $(".edit"), statusLine = $(".status"), velocity = $(".velocity"), grid = $(".grid");
const COARSE = matchMedia("(pointer: coarse)"), HINT_MOUSE = "Click to add, drag to move, drag the right edge for the length, double-click to delete.", HINT_TOUCH = "Tap to add, drag to move, drag the right edge for the length, double-tap to delete.";
const KEYS = "Arrow keys move the cursor, Enter adds a note or picks up the one that is there, arrow keys then move it, with Shift by a bar or an octave, left and right square bracket change its length, Control with arrow up and down its velocity, Delete removes it, Control with arrow left and right goes to other notes, Escape leaves without changes.";
let sheet = null, sheetKey = "", ranges = null, panels = [], preview = null, byStep = null, waiting = 0, marquee = null;
let brush = 80, lengths = new Map(), startAt = 0, view = [0, 0], cursor = { panel: 0, pitch: 60, beat: 0 };

// ---- Music
const beats = () => shown.bars * 4;
const partIndex = (note) => (shown.parts ? note[4] : 0);
const isDrum = (note) => Boolean(shown.parts ? shown.parts[note[4]]?.drums : shown.drums);
const PITCHES = Array.from({ length: 128 }, (_, index) => 127 - index);
const rowsOf = (note) => (isDrum(note) ? panels[partIndex(note)].lanes.map(([pitch]) => pitch) : PITCHES);
const gridStep = () => Number(grid.value);
const keyStep = () => gridStep() || encoreNotes.SHORTEST;
const snap = (time) => (gridStep() ? Math.round(time / gridStep()) * gridStep() : time);
const hear = (note) => {
  if (isDrum(note)) { encore.strike(note[0], note[3]); return; }
  const program = shown.parts?.[note[4]]?.program ?? encore.desk(props.desk).program;
  encore.sound(program, [note[0]], note[3], Math.min(1.2, Math.max(0.15, beatsToSeconds(note[2] - note[1]))));
};
const current = () => preview ?? sheet;

// ---- Words
const nameOf = (note) => (isDrum(note) ? encoreDraw.drumName(note[0]) : encoreDraw.pitchName(note[0]));
const short = (number) => number.toFixed(2).replace(/\.?0+$/, "");
const placeOf = (beat) => `bar ${Math.floor(beat / 4 + 1e-6) + 1}, beat ${short((beat % 4) + 1)}`;
const describeNote = (note) => {
  const length = isDrum(note) ? "" : `, ${short(note[2] - note[1])} beat${note[2] - note[1] === 1 ? "" : "s"} long`;
  return `${shown.parts ? `${shown.parts[note[4]].name}, ` : ""}${nameOf(note)}, ${placeOf(note[1])}${length}, velocity ${note[3]}`;
};
const describeSelection = () => {
  const chosen = [...current().selected];
  if (!chosen.length) return "";
  return chosen.length === 1 ? describeNote(chosen[0]) : `${chosen.length} notes selected`;
};
const say = (text) => { $(".spoken").textContent = text; };

// ---- The rows that are shown: as many as the notes need and some around them; more when notes get to their edge.
const limitsOf = (index) => {
  const pitches = sheet.notes.filter((note) => partIndex(note) === index).map((note) => note[0]);
  return pitches.length ? [Math.min(...pitches), Math.max(...pitches)] : [60, 64];
};
const widen = () => {
  const count = shown.parts?.length ?? 1, around = shown.parts ? 3 : 5, fewest = shown.parts ? 15 : 24;
  ranges ??= Array.from({ length: count }, (_, index) => {
    let [low, high] = limitsOf(index);
    low -= around;
    high += around;
    while (high - low + 1 < fewest) { low -= 1; high += 1; }
    return [Math.max(0, low), Math.min(127, high)];
  });
  ranges = ranges.map(([low, high], index) => {
    const [lowest, highest] = limitsOf(index);
    return [lowest < low + 2 ? Math.max(0, lowest - around) : low, highest > high - 2 ? Math.min(127, highest + around) : high];
  });
};

// ---- Drawing
const redraw = () => { if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; if (editor.active) draw(); }); };
const lookAt = () => { view = [(scroller.scrollLeft - scroller.clientWidth) / pxPerBeat, (scroller.scrollLeft + 2 * scroller.clientWidth) / pxPerBeat]; };
const onScroll = () => {
  if (!editor.active) return;
  const from = scroller.scrollLeft / pxPerBeat, to = (scroller.scrollLeft + scroller.clientWidth) / pxPerBeat;
  if (from < view[0] + 0.01 && view[0] > 0 || to > view[1]) redraw();
};
const rowOf = ({ panel, pitch }) => panels[panel].lanes.findIndex(([own]) => own === pitch);
// The finer lines of the grid, below the notes.
const drawGrid = () => {
  const step = gridStep(), first = drawing.querySelector(".note");
  if (!step || step >= 1 || step * pxPerBeat < 7) return;
  for (const { drums, y, height } of panels) {
    if (drums) continue;
    for (let index = Math.max(0, Math.floor(view[0] / step)); index * step < Math.min(beats(), view[1]); index++) {
      const x = index * step * pxPerBeat;
      if (Math.abs(index * step - Math.round(index * step)) > 0.01) drawing.insertBefore(encoreDraw.make("line", { x1: x, x2: x, y1: y, y2: y + height, class: "fine" }), first);
    }
  }
};
const drawOver = (list, head) => {
  panels = list;
  panels.head = head;
  drawing.prepend(encoreDraw.make("rect", { x: 0, y: 0, width: beats() * pxPerBeat, height: head - 1, class: "ruler" }));
  drawGrid();
  const x = startAt * pxPerBeat;
  encoreDraw.make("path", { d: `M${Math.max(0, x - 5)} ${head - 8}h${x < 5 ? x + 5 : 10}L${x} ${head - 1}z`, class: "start" }, drawing);
  const panel = panels[cursor.panel], row = panel ? rowOf(cursor) : -1;
  if (row >= 0 && document.activeElement === scroller && scroller.matches(":focus-visible")) encoreDraw.make("rect", {
    x: cursor.beat * pxPerBeat + 1, y: panel.y + row * panel.laneHeight + 1, width: Math.max(4, (gridStep() || 0.25) * pxPerBeat - 2), height: panel.laneHeight - 2, rx: 2, class: "cell",
  }, drawing);
  if (marquee) encoreDraw.make("rect", { ...marquee, class: "marquee" }, drawing);
};
const showTools = () => {
  $(".undo").disabled = !sheet.canUndo();
  $(".redo").disabled = !sheet.canRedo();
  $(".remove").disabled = !sheet.selected.size;
  playButton.disabled = !sheet.notes.length;
  const chosen = [...current().selected], loud = chosen.length ? Math.round(chosen.reduce((sum, note) => sum + note[3], 0) / chosen.length) : brush;
  velocity.value = loud;
  $(".loud").textContent = loud;
  statusLine.textContent = describeSelection() || (COARSE.matches ? HINT_TOUCH : HINT_MOUSE);
  element.dataset.notes = sheet.notes.length;
  element.dataset.selected = sheet.selected.size;
};
// After every step.
const renewed = (words = describeSelection()) => {
  preview = byStep = null;
  widen();
  redraw();
  showTools();
  say(words);
};
const show = (notes) => { preview = sheet.preview(notes); byStep = null; redraw(); showTools(); };

// ---- Steps
const keepCursor = (note) => { cursor = { panel: partIndex(note), pitch: note[0], beat: encoreNotes.round(note[1]) }; };
const addAt = (panel, pitch, beat) => {
  const drums = panels[panel].drums, length = drums ? 0.25 : lengths.get(panel) ?? (gridStep() || 0.5);
  const note = [pitch, beat, Math.min(beats(), beat + length), brush, ...(shown.parts ? [panel] : [])];
  if (!sheet.add([note])) { say(`There is room for ${sheet.most} notes.`); statusLine.textContent = `There is room for ${sheet.most} notes.`; return; }
  const [added] = sheet.selected;
  hear(added);
  keepCursor(added);
  renewed(`Added ${describeNote(added)}`);
};
const replace = (notes, silent = false) => {
  const before = sheet.notes;
  sheet.replace(notes);
  const [first] = sheet.selected;
  if (before === sheet.notes) { preview = null; redraw(); showTools(); return; }
  keepCursor(first);
  if (!silent) hear(first);
  for (const note of sheet.selected) if (!isDrum(note)) lengths.set(partIndex(note), encoreNotes.round(note[2] - note[1]));
  renewed();
};
const remove = (notes) => {
  if (!notes.length) return;
  sheet.remove(notes);
  renewed(notes.length === 1 ? `Deleted ${describeNote(notes[0])}` : `Deleted ${notes.length} notes`);
};
const select = (notes) => {
  sheet.select(notes);
  if (notes.length) keepCursor(notes.at(-1));
  preview = null;
  redraw();
  showTools();
  say(describeSelection() || "Nothing selected");
};
const undo = () => { if (sheet.undo()) renewed(`Undone. ${describeSelection()}`); };
const redo = () => { if (sheet.redo()) renewed(`Done again. ${describeSelection()}`); };

// ---- Beginning and end
const plainLabel = scroller.getAttribute("aria-label");
const setMode = (active) => {
  editor.active = active;
  element.classList.toggle("edited", active);
  element.dataset.mode = active ? "edit" : "";
  tools.hidden = !active;
  editButton.hidden = active;
  scroller.setAttribute("role", active ? "application" : "group");
  scroller.setAttribute("aria-label", active ? `Piano roll editor. ${KEYS}` : plainLabel);
  zoom = 1;
};
const enter = () => {
  if (!shown || editor.active) return;
  if (isPlaying()) toggle();
  const left = scroller.scrollLeft / pxPerBeat, key = JSON.stringify(shown.notes);
  // What was left without changes can be done again.
  if (!sheet || sheetKey !== key || sheet.beats !== beats()) {
    const velocities = shown.notes.map((note) => note[3]).sort((a, b) => a - b);
    sheet = encoreNotes.sheet(shown.notes.map((note) => [...note]), beats(), rowsOf, props.most_notes);
    sheetKey = key;
    brush = velocities.length ? velocities[velocities.length >> 1] : 80;
    lengths = new Map();
    ranges = null;
  }
  startAt = 0;
  byStep = preview = null;
  setMode(true);
  $(".loop").hidden = false;
  clock.hidden = playhead.hidden = true;
  widen();
  view = [-Infinity, Infinity];
  draw();
  scroller.scrollLeft = left * pxPerBeat;
  const first = sheet.notes.find((note) => note[1] >= left - 0.01) ?? sheet.notes[0], panel = first ? partIndex(first) : 0;
  cursor = { panel, pitch: first?.[0] ?? panels[panel].lanes[panels[panel].lanes.length >> 1][0], beat: encoreNotes.round(Math.floor(left / 0.25 + 0.999) * 0.25) };
  scroller.focus({ preventScroll: true });
  showTools();
  showState();
  redraw();
  say(`Editing, ${sheet.notes.length} notes. ${KEYS}`);
};
const leave = (keep) => {
  if (!editor.active) return;
  if (part) encore.stop();
  const changed = sheet.isChanged(), { notes } = sheet, hadFocus = element.contains(document.activeElement);
  setMode(false);
  if (keep && changed) {
    const { midi, wav, play, ...rest } = shown; // its files are of other notes
    props.value = { ...rest, notes };
    sheet = null;
    update();
    trigger("edited", { notes });
  } else {
    sheet.rewind();
    update();
  }
  if (hadFocus) editButton.focus({ preventScroll: true });
  say(!changed ? "Left, nothing was changed" : keep ? `Done, ${notes.length} notes` : "Left without changes. Edit and then Redo bring them back.");
};

editor = {
  active: false,
  offer: () => { editButton.hidden = !shown || Boolean(shown.barlines); },
  value: () => { if (view[0] !== -Infinity) lookAt(); view[0] = Math.max(view[0], -1); return { ...shown, notes: current().notes, ranges, view }; },
  heights: () => (COARSE.matches ? { row: shown.parts ? 14 : 18, drumRow: 28 } : { row: shown.parts ? 11 : 15, drumRow: shown.parts ? 20 : 28 }),
  barWidth: () => (COARSE.matches ? 256 : 160),
  from: () => startAt,
  steps: () => (byStep ??= encore.bySteps(current().notes)),
  each: (note, rect) => {
    if (!editor.active) return;
    if (!isDrum(note)) rect.style.fillOpacity = 0.45 + (0.55 * note[3]) / 127;
    if (current().selected.has(note)) rect.classList.add("chosen");
  },
  drawn: drawOver,
};
editButton.addEventListener("click", enter);
$(".done").addEventListener("click", () => leave(true));
$(".leave").addEventListener("click", () => leave(false));
$(".undo").addEventListener("click", undo);
$(".redo").addEventListener("click", redo);
$(".remove").addEventListener("click", () => { remove([...sheet.selected]); scroller.focus({ preventScroll: true }); });
scroller.addEventListener("scroll", onScroll, { passive: true });
for (const kind of ["focus", "blur"]) scroller.addEventListener(kind, () => { if (editor.active) redraw(); });
editor.offer();
