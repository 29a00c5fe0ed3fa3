// Hands and keys on a roll that is edited: the mouse, a pen, fingers, the keyboard, and the controls of the toolbar.
const several = $(".several"), SLACK = { mouse: 4, pen: 6, touch: 9 }, TWICE = 400; // pixels; milliseconds
let gesture = null, tapped = null; // tapped: {note, at}, for the second tap on the same note
const isSeveral = () => several.getAttribute("aria-pressed") === "true";

// ---- Where a pointer is, and on what
const where = (event) => {
  const box = drawing.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  const panel = panels.find((panel) => y >= panel.y && y < panel.y + panel.height), row = panel ? Math.floor((y - panel.y) / panel.laneHeight) : -1;
  return { x, y, beat: encoreNotes.within(x / pxPerBeat, 0, beats()), panel, row, pitch: panel?.lanes[row]?.[0] };
};
const extent = (note) => [note[1] * pxPerBeat, (isDrum(note) ? note[1] + 0.25 : note[2]) * pxPerBeat];
const noteAt = (place, pointer) => {
  if (!place.panel) return null;
  const slack = pointer === "touch" ? 6 : 1;
  const under = sheet.notes.filter((note) => {
    if (note[0] !== place.pitch || partIndex(note) !== place.panel.index) return false;
    const [from, to] = extent(note);
    return place.x >= from - slack && place.x <= to + slack;
  });
  return under.find((note) => sheet.selected.has(note)) ?? under.at(-1) ?? null;
};
const isOnEdge = (note, place, pointer) => {
  const [from, to] = extent(note);
  return !isDrum(note) && place.x > to - Math.min(pointer === "touch" ? 16 : 8, (to - from) * 0.4);
};

// ---- Pointers
drawing.addEventListener("pointerdown", (event) => {
  if (!editor.active || event.button || gesture) return;
  const place = where(event), pointer = event.pointerType, note = noteAt(place, pointer), extend = event.shiftKey || isSeveral();
  if (pointer !== "touch") event.preventDefault();
  scroller.focus({ preventScroll: true });
  if (place.y < panels.head) { startHere(place.beat); return; }
  gesture = { id: event.pointerId, pointer, place, note, extend, kind: "tap", moved: false, known: null };
  if (note) {
    if (extend) { sheet.toggle(note); select([...sheet.selected]); gesture.kind = "toggle"; }
    else {
      if (!sheet.selected.has(note)) select([note]);
      gesture.kind = event.altKey ? "velocity" : isOnEdge(note, place, pointer) ? "length" : "move";
    }
    hear(note);
  } else if (pointer !== "touch" || isSeveral()) gesture.kind = "box";
  if (gesture.kind !== "tap") drawing.setPointerCapture(event.pointerId);
});
drawing.addEventListener("pointermove", (event) => {
  if (!editor.active) return;
  const place = where(event);
  if (!gesture) {
    const note = event.pointerType === "touch" ? null : noteAt(place, event.pointerType), edge = note && isOnEdge(note, place, event.pointerType);
    drawing.classList.toggle("on-edge", Boolean(edge));
    drawing.classList.toggle("on-note", Boolean(note) && !edge);
    return;
  }
  if (event.pointerId !== gesture.id) return;
  const across = place.x - gesture.place.x, down = place.y - gesture.place.y;
  if (!gesture.moved && Math.hypot(across, down) < SLACK[gesture.pointer]) return;
  gesture.moved = true;
  if (gesture.kind === "move") {
    const lower = Math.round(down / panels[partIndex(gesture.note)].laneHeight), notes = sheet.moved(snap(across / pxPerBeat), lower);
    const held = notes[[...sheet.selected].indexOf(gesture.note)];
    if (held[0] !== (gesture.known ?? gesture.note[0])) hear(held);
    gesture.known = held[0];
    show(notes);
  } else if (gesture.kind === "length") show(sheet.stretched(snap(across / pxPerBeat), keyStep()));
  else if (gesture.kind === "velocity") show(sheet.louder(-down / 1.5));
  else if (gesture.kind === "box") {
    marquee = { x: Math.min(place.x, gesture.place.x), y: Math.min(place.y, gesture.place.y), width: Math.abs(across), height: Math.abs(down) };
    preview = { notes: sheet.notes, selected: new Set([...(gesture.extend ? sheet.selected : []), ...boxed()]) };
    redraw();
    showTools();
  }
});
const boxed = () => sheet.notes.filter((note) => {
  const panel = panels[partIndex(note)], row = panel.lanes.findIndex(([pitch]) => pitch === note[0]), y = panel.y + row * panel.laneHeight, [from, to] = extent(note);
  return from < marquee.x + marquee.width && to > marquee.x && y < marquee.y + marquee.height && y + panel.laneHeight > marquee.y;
});
const release = (event) => {
  if (!gesture || event.pointerId !== gesture.id) return;
  const { kind, moved, place, note, extend, pointer } = gesture, shownNow = preview;
  gesture = marquee = null;
  if (event.type === "pointercancel") { preview = null; redraw(); showTools(); return; }
  if (kind === "toggle") return;
  if (moved && kind === "box") { select([...shownNow.selected]); return; }
  if (moved && kind !== "tap") { replace([...(shownNow?.selected ?? sheet.selected)], kind === "move"); return; }
  if (moved) return;
  if (!note) {
    tapped = null;
    if (extend) { select([]); return; }
    if (place.pitch !== undefined) addAt(place.panel.index, place.pitch, gridStep() ? Math.floor(place.beat / gridStep() + 1e-6) * gridStep() : place.beat);
    return;
  }
  if (tapped?.note === note && event.timeStamp - tapped.at < TWICE) { tapped = null; remove([note]); return; }
  tapped = { note, at: event.timeStamp };
  if (sheet.selected.size > 1 || pointer === "touch") select([note]);
};
drawing.addEventListener("pointerup", release);
drawing.addEventListener("pointercancel", release);
drawing.addEventListener("lostpointercapture", release);
// A finger on a note moves it; elsewhere it scrolls, unless boxes are drawn.
drawing.addEventListener("touchstart", (event) => {
  if (!editor.active || event.touches.length > 1) return;
  const place = where(event.touches[0]);
  if (isSeveral() || noteAt(place, "touch")) event.preventDefault();
}, { passive: false });

const startHere = (beat) => {
  startAt = encoreNotes.within(Math.round(beat * 4) / 4, 0, beats() - 0.25);
  if (part) playSynth(startAt); else redraw();
  say(`Plays from ${placeOf(startAt)}`);
};

// ---- Keys
const seeBeat = (beat) => {
  const x = beat * pxPerBeat;
  if (x < scroller.scrollLeft + 20 || x > scroller.scrollLeft + scroller.clientWidth - 60) scroller.scrollLeft = Math.max(0, x - scroller.clientWidth / 3);
};
const moveSelection = (time, down) => { replace(sheet.moved(time, down)); seeBeat(cursor.beat); };
const moveCursor = (time, down) => {
  const step = keyStep();
  cursor.beat = encoreNotes.round(encoreNotes.within(Math.round((cursor.beat + time) / step) * step, 0, Math.ceil(beats() / step - 1 - 1e-6) * step));
  for (let left = Math.abs(down); left > 0; left--) {
    const { lanes, drums } = panels[cursor.panel], row = rowOf(cursor) + Math.sign(down);
    if (lanes[row]) cursor.pitch = lanes[row][0];
    else if (!drums && encoreNotes.within(cursor.pitch - Math.sign(down), 0, 127) !== cursor.pitch && !panels[cursor.panel + Math.sign(down)]) {
      cursor.pitch -= Math.sign(down);
      ranges[cursor.panel] = [Math.min(ranges[cursor.panel][0], cursor.pitch), Math.max(ranges[cursor.panel][1], cursor.pitch)];
      draw();
    } else if (panels[cursor.panel + Math.sign(down)]) {
      cursor.panel += Math.sign(down);
      cursor.pitch = panels[cursor.panel].lanes.at(down > 0 ? 0 : -1)[0];
    }
  }
  seeBeat(cursor.beat);
  redraw();
  const there = noteUnderCursor();
  say(there ? describeNote(there) : `${panels[cursor.panel].drums ? encoreDraw.drumName(cursor.pitch) : encoreDraw.pitchName(cursor.pitch)}, ${placeOf(cursor.beat)}, empty`);
};
const noteUnderCursor = () => sheet.notes.find((note) => note[0] === cursor.pitch && partIndex(note) === cursor.panel && (isDrum(note)
  ? Math.abs(note[1] - cursor.beat) < 0.125 : note[1] < cursor.beat + keyStep() - 1e-6 && note[2] > cursor.beat + 1e-6));
const pickOrPut = () => {
  if (sheet.selected.size) { select([]); return; }
  const there = noteUnderCursor();
  if (there) { select([there]); hear(there); } else addAt(cursor.panel, cursor.pitch, cursor.beat);
};
const goToNote = (by) => {
  if (!sheet.notes.length) return;
  const index = sheet.notes.findIndex((note) => sheet.selected.has(note));
  const after = sheet.notes.findIndex((note) => note[1] >= cursor.beat - 1e-6);
  const next = index >= 0 ? index + by : by > 0 ? (after < 0 ? sheet.notes.length - 1 : after) : (after < 0 ? sheet.notes.length : after) - 1;
  const note = sheet.notes[encoreNotes.within(next, 0, sheet.notes.length - 1)];
  select([note]);
  hear(note);
  seeBeat(note[1]);
};
const paste = (notes, at) => {
  if (!notes?.length) return;
  const first = Math.min(...notes.map((note) => note[1])), last = Math.max(...notes.map((note) => note[1]));
  const kept = notes.filter((note) => (shown.parts ? shown.parts[note[4]] : note.length === 4) && at + note[1] - first < beats() - 1e-6);
  const moved = kept.map(([pitch, start, end, ...rest]) => [pitch, at + start - first, Math.min(beats(), at + end - first), ...rest]);
  if (!moved.length || !sheet.add(moved)) { say(moved.length ? `There is room for ${sheet.most} notes.` : "There is no room after this."); return; }
  keepCursor(sheet.notes.find((note) => sheet.selected.has(note)));
  renewed(last > first ? `${moved.length} notes put in` : undefined);
  seeBeat(cursor.beat);
};
const withControl = {
  z: (event) => (event.shiftKey ? redo() : undo()),
  y: redo,
  a: () => select(sheet.notes),
  c: () => { if (sheet.selected.size) { encoreNotes.clipboard = [...sheet.selected]; say(`${sheet.selected.size} copied`); } },
  x: () => { if (sheet.selected.size) { encoreNotes.clipboard = [...sheet.selected]; remove([...sheet.selected]); } },
  v: () => paste(encoreNotes.clipboard, cursor.beat),
  d: () => {
    const notes = [...sheet.selected], step = gridStep() || 0.25;
    if (notes.length) paste(notes, Math.min(...notes.map((note) => note[1])) + Math.ceil((Math.max(...notes.map((note) => note[2])) - Math.min(...notes.map((note) => note[1]))) / step - 1e-6) * step);
  },
  ArrowLeft: (event) => (event.shiftKey ? stretch(-keyStep()) : goToNote(-1)),
  ArrowRight: (event) => (event.shiftKey ? stretch(keyStep()) : goToNote(1)),
  ArrowUp: () => { if (sheet.selected.size) replace(sheet.louder(8)); },
  ArrowDown: () => { if (sheet.selected.size) replace(sheet.louder(-8)); },
};
const stretch = (time) => { if (sheet.selected.size) replace(sheet.stretched(time, keyStep())); };
const plain = {
  ArrowLeft: (event) => go(-(event.shiftKey ? 4 : keyStep()), 0),
  ArrowRight: (event) => go(event.shiftKey ? 4 : keyStep(), 0),
  ArrowUp: (event) => go(0, event.shiftKey ? -12 : -1),
  ArrowDown: (event) => go(0, event.shiftKey ? 12 : 1),
  Home: () => { sheet.select([]); moveCursor(-beats(), 0); showTools(); },
  End: () => { sheet.select([]); moveCursor(beats(), 0); showTools(); },
  Enter: pickOrPut,
  " ": toggle,
  Delete: () => { const there = noteUnderCursor(); remove(sheet.selected.size ? [...sheet.selected] : there ? [there] : []); },
  "[": () => stretch(-keyStep()),
  "]": () => stretch(keyStep()),
};
plain.Backspace = plain.Delete;
const go = (time, down) => (sheet.selected.size ? moveSelection(time, down) : moveCursor(time, down));
element.addEventListener("keydown", (event) => {
  if (!editor.active) return;
  const control = event.ctrlKey || event.metaKey, name = event.key.length === 1 ? event.key.toLowerCase() : event.key, inRoll = event.target === scroller;
  let action = null;
  if (name === "Escape") action = () => leave(false);
  else if (control && !event.altKey && (inRoll || "zy".includes(name))) action = withControl[name];
  else if (!control && !event.altKey && inRoll) action = plain[name];
  if (!action) return;
  event.preventDefault();
  event.stopPropagation();
  if (!gesture || name === "Escape") action(event);
});

// ---- Toolbar
velocity.addEventListener("input", () => {
  const loud = Number(velocity.value);
  if (!sheet.selected.size) { brush = loud; $(".loud").textContent = loud; return; }
  show([...sheet.selected].map((note) => [...note.slice(0, 3), loud, ...note.slice(4)]));
});
velocity.addEventListener("change", () => {
  brush = Number(velocity.value);
  if (preview) replace([...preview.selected]);
});
several.addEventListener("click", () => several.setAttribute("aria-pressed", String(!isSeveral())));
grid.addEventListener("change", redraw);
