// The groove editor: two grooves of two bars, A and B, to be drawn, tapped on a pad or played with keys, and heard at once.
// props.value is {current: "a" | "b", a: groove, b: groove}, a groove being {name, notes, bars} or null; sources too, see pattern.py.
const $ = (selector) => element.querySelector(selector);
const BARS = 2, STEPS = 16 * BARS, TOP = 22, SNARE = 38, TAP_VELOCITY = 100, COUNT_IN = 16, HISTORY = 40;
const LANES = encoreDraw.DRUMS, LETTERS = { 36: "A", 38: "S", 42: "D", 46: "F", 45: "G", 48: "H", 50: "J", 49: "K", 51: "L" };
const grid = $("svg.grid"), scroller = $(".scroller"), tapPad = $(".tap"), playButton = $(".play"), playhead = $(".playhead");
const IDLE = "Press “Record”, then tap a rhythm here or on the space bar. Letters play single drums.";
let value = null, hits = new Map(), history = [], part = null, take = null, stepWidth = 20, LANE = 34, frame = 0;
let lane = 8, column = 0, brush = 85;

// ---- A groove as hits: a Map from "lane:step" to {velocity, offset}, the offset in steps, early below 0.
const laneOf = new Map(LANES.map(([pitch], index) => [pitch, index]));
const key = (row, step) => `${row}:${step}`;
const parse = (notes) => {
  const found = new Map();
  for (const [pitch, start, , velocity] of notes ?? []) {
    const row = laneOf.get(pitch), step = Math.min(STEPS - 1, Math.round(start * 4));
    if (row === undefined || step < 0 || (found.get(key(row, step))?.velocity ?? 0) >= velocity) continue;
    found.set(key(row, step), { velocity, offset: Math.min(0.5, Math.max(-0.5, start * 4 - step)) });
  }
  return found;
};
const noteOf = (place, { velocity, offset }) => {
  const [row, step] = place.split(":").map(Number), start = Math.max(0, (step + offset) / 4);
  return [LANES[row][0], start, Math.min(start + 0.25, BARS * 4), velocity];
};
const notesNow = () => [...hits].map(([place, hit]) => noteOf(place, hit)).sort((a, b) => a[1] - b[1] || a[0] - b[0]);
const current = () => value?.current ?? "a";
const ink = () => `var(--clip-${current()})`;

// ---- Drawing
const draw = () => {
  element.style.setProperty("--ink", ink());
  const fitting = (scroller.clientWidth - 1) / STEPS;
  const wide = fitting >= 17;
  stepWidth = wide ? fitting : 25; // too narrow to hit: wider, and it scrolls
  LANE = wide ? 34 : 30;
  element.style.setProperty("--lane", `${LANE}px`);
  const width = stepWidth * STEPS, height = TOP + LANE * LANES.length;
  encoreDraw.size(grid, width, height);
  const panel = { y: TOP, height: height - TOP, laneHeight: LANE };
  encoreDraw.cells(grid, panel, width, stepWidth);
  encoreDraw.lines(grid, BARS, stepWidth * 4, TOP, height - TOP, 0);
  for (let beat = 0; beat < BARS * 4; beat++) {
    const label = encoreDraw.make("text", { x: beat * stepWidth * 4 + 5, y: 15, class: beat % 4 ? "mark" : "mark strong" }, grid);
    label.textContent = beat % 4 ? beat % 4 + 1 : `Bar ${beat / 4 + 1}`;
  }
  for (const [place, hit] of hits) encoreDraw.hit(grid, panel, Number(place.split(":")[0]), noteOf(place, hit), stepWidth, ink());
  grid.setAttribute("aria-label", encoreDraw.describe({ notes: notesNow(), bars: BARS, drums: true }));
  drawCursor();
};
const drawCursor = () => {
  const cursor = $(".cursor");
  cursor.hidden = document.activeElement !== grid || !grid.matches(":focus-visible");
  Object.assign(cursor.style, { left: `${column * stepWidth}px`, top: `${TOP + lane * LANE}px`, width: `${stepWidth}px`, height: `${LANE}px` });
};
const showHead = () => {
  const groove = value?.[current()];
  $(".title").textContent = groove?.name ?? `Groove ${current().toUpperCase()}, empty`;
  for (const button of element.querySelectorAll("[data-groove]")) button.setAttribute("aria-checked", String(button.dataset.groove === current()));
  for (const button of element.querySelectorAll("[data-groove]")) button.tabIndex = button.dataset.groove === current() ? 0 : -1;
  const playing = part !== null && encore.isPlaying(part);
  playButton.classList.toggle("playing", playing && !take);
  playButton.setAttribute("aria-label", playing && !take ? "Stop the groove" : "Play the groove");
  playButton.disabled = !hits.size || Boolean(take);
  $(".undo").disabled = !history.length || Boolean(take);
  $(".clear").disabled = !hits.size || Boolean(take);
  element.classList.toggle("recording", Boolean(take));
  $(".record span").textContent = take ? "Stop" : "Record";
  $(".record").setAttribute("aria-label", take ? "Stop recording" : "Record taps: a bar of count-in, then two bars");
};
const say = (text) => { $(".spoken").textContent = text; };

// ---- Changes: everything goes through change(), so that it can be undone and the server is told.
const change = (name, edit, isNew = false) => {
  history.push({ which: current(), groove: value?.[current()] ?? null });
  if (history.length > HISTORY) history.shift();
  edit();
  store(name, isNew);
};
// What is made of a groove is from where that is from.
const store = (name, isNew = false) => {
  const sources = isNew ? null : value?.[current()]?.sources;
  const groove = hits.size ? { name, notes: notesNow(), bars: BARS, ...(sources ? { sources } : {}) } : null;
  value = { ...value, current: current(), [current()]: groove };
  props.value = value;
  draw();
  showHead();
};
const nameNow = () => {
  const name = value?.[current()]?.name;
  return !name ? "Drawn groove" : /, edited$|^Drawn|^Tapped/.test(name) ? name : `${name}, edited`;
};
const undo = () => {
  const last = history.pop();
  if (!last) return;
  value = { ...value, current: last.which, [last.which]: last.groove };
  hits = parse(last.groove?.notes);
  props.value = value;
  draw();
  showHead();
  say("Undone");
};
const choose = (which) => {
  if (which === current() || take) return;
  value = { ...value, current: which };
  hits = parse(value[which]?.notes);
  props.value = value;
  draw();
  showHead();
};

// ---- Sound
const light = (row, seconds = 0) => {
  const button = $(".lanes").children[row];
  setTimeout(() => { button.classList.add("lit"); setTimeout(() => button.classList.remove("lit"), 100); }, Math.max(0, seconds * 1000));
};
const strike = (row, velocity) => { encore.strike(LANES[row][0], velocity); light(row); };
const notesAt = (step) => {
  const found = [];
  LANES.forEach((_, row) => { const place = key(row, step), hit = hits.get(place); if (hit) found.push(noteOf(place, hit)); });
  return found;
};
const lightStep = (step, time) => LANES.forEach((_, row) => { if (hits.has(key(row, step))) light(row, time - encore.now()); });
const follow = () => {
  cancelAnimationFrame(frame);
  const running = part !== null && encore.isPlaying(part);
  playhead.hidden = !running;
  if (!running) return;
  const step = part.at + Math.max(0, (encore.now() - part.time) / encore.stepSeconds(props.desk)) - (take ? COUNT_IN : 0);
  playhead.hidden = step < 0;
  const x = Math.min(STEPS, step) * stepWidth;
  playhead.style.transform = `translateX(${x}px)`;
  if (scroller.scrollWidth > scroller.clientWidth + 2 && (x < scroller.scrollLeft || x > scroller.scrollLeft + scroller.clientWidth - 30)) scroller.scrollLeft = Math.max(0, x - 30);
  if (take) $(".progress div").style.width = `${Math.min(100, Math.max(0, (step / STEPS) * 100))}%`;
  frame = requestAnimationFrame(follow);
};
const play = () => {
  if (part) { encore.stop(); return; }
  if (!hits.size) return;
  part = {
    desk: props.desk, drums: true, loop: true, stepsPerLoop: STEPS, at: 0, time: Infinity, notesAt,
    onStep: (step, time) => { part.at = step; part.time = time; lightStep(step, time); },
    onStop: () => { part = null; showHead(); follow(); },
  };
  encore.play(part);
  showHead();
  follow();
};

// ---- Recording: a bar of count-in, then two bars, in which every tap becomes a hit with its own timing.
const record = () => {
  if (take) { encore.stop(); return; }
  const metronome = $(".metronome"), before = new Map($(".overdub").checked ? hits : []);
  take = { start: null, taps: new Map(), onPad: true, ended: false };
  part = {
    desk: props.desk, drums: true, loop: false, stepsPerLoop: COUNT_IN + STEPS, at: 0, time: Infinity,
    notesAt: (step) => (step < COUNT_IN ? [] : [...before].filter(([place]) => place.endsWith(`:${step - COUNT_IN}`)).map(([place, hit]) => {
      const [pitch, start, end, velocity] = noteOf(place, hit);
      return [pitch, start + COUNT_IN / 4, end + COUNT_IN / 4, velocity];
    })),
    onStep: (step, time) => {
      part.at = step; part.time = time;
      if (step === 0) take.start = time + COUNT_IN * encore.stepSeconds();
      if (step % 4 === 0 && (metronome.checked || step < COUNT_IN)) encore.click(time, step % 16 === 0);
      if (step % 4 === 0) { const beat = step / 4; setTimeout(() => take && count(beat), (time - encore.now()) * 1000); }
      if (step === COUNT_IN + STEPS - 1) take.ended = true;
    },
    onStop: finish,
  };
  take.before = before;
  hits = new Map(before);
  draw();
  scroller.scrollLeft = 0;
  encore.play(part);
  tapPad.focus({ preventScroll: true });
  document.addEventListener("keydown", onKey, true);
  document.addEventListener("keyup", swallow, true);
  showHead();
  follow();
};
const count = (beat) => {
  $(".count").textContent = beat < 4 ? 4 - beat : "";
  $(".hint").textContent = beat < 4 ? "Get ready" : take.taps.size ? "" : "Tap now";
};
const tap = (row, event, velocity = TAP_VELOCITY) => {
  strike(row, velocity);
  if (!take || take.start === null) return;
  const at = (encore.heardAt(event) - take.start) / encore.stepSeconds(props.desk); // in steps
  if (at < -0.5 || at >= STEPS) return;
  let step = Math.round(at), offset = at - step;
  if (step >= STEPS) { step = 0; offset = 0; } // a hair before the loop comes round: its first beat
  take.taps.set(key(row, step), { velocity, offset });
  hits = new Map([...take.before, ...take.taps]);
  $(".hint").textContent = "";
  draw();
};
const finish = () => {
  const { taps, ended, onPad } = take;
  take = part = null;
  document.removeEventListener("keydown", onKey, true);
  document.removeEventListener("keyup", swallow, true);
  $(".count").textContent = "";
  $(".hint").textContent = IDLE;
  $(".progress div").style.width = "0";
  scroller.scrollLeft = 0;
  hits = parse(value?.[current()]?.notes);
  if (taps.size && ended) {
    const overdub = $(".overdub").checked;
    change("Tapped groove", () => { hits = new Map([...(overdub ? hits : []), ...taps]); }, !overdub);
    say(`Recorded ${taps.size} taps`);
    trigger("recorded", { taps: taps.size, rhythm: onPad && !overdub });
  } else {
    if (ended) $(".hint").textContent = "Nothing was tapped, so the groove is as it was. Press “Record” to try again.";
    draw();
  }
  showHead();
  follow();
};
const isTyping = (event) => event.target.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
const rowOfKey = (event) => { const letter = event.key.toUpperCase(); return LANES.findIndex(([pitch]) => LETTERS[pitch] === letter); };
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab" || event.key === "Shift" || isTyping(event)) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.repeat) return;
  if (event.key === "Escape") { encore.stop(); return; }
  const row = rowOfKey(event);
  if (row >= 0) { take.onPad = false; tap(row, event); }
  else if (event.key === " " || event.key === "Enter" || event.key.length === 1) hitPad(event);
}
function swallow(event) { if (event.key === " " || event.key === "Enter") { event.preventDefault(); event.stopPropagation(); } }
const hitPad = (event) => {
  tapPad.classList.add("struck");
  setTimeout(() => tapPad.classList.remove("struck"), 90);
  tap(laneOf.get(SNARE), event);
};
tapPad.addEventListener("pointerdown", (event) => { event.preventDefault(); tapPad.focus({ preventScroll: true }); hitPad(event); });
tapPad.addEventListener("click", (event) => { if (!event.detail) hitPad(event); }); // from assistive technology
tapPad.addEventListener("keydown", (event) => { if (!take && !event.repeat && (event.key === " " || event.key === "Enter")) { event.preventDefault(); event.stopPropagation(); hitPad(event); } });
element.addEventListener("keydown", (event) => {
  if (take || event.altKey) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); undo(); return; }
  if (event.ctrlKey || event.metaKey || event.repeat || isTyping(event)) return;
  const row = rowOfKey(event);
  if (row >= 0) { strike(row, brush); event.preventDefault(); }
});

// ---- Drawing hits: with the mouse by dragging, with a finger by touching (a drag scrolls), with the keyboard by a cursor.
const where = (event) => {
  const box = grid.getBoundingClientRect();
  const row = Math.floor((event.clientY - box.top - TOP) / LANE), step = Math.floor((event.clientX - box.left) / stepWidth);
  return row >= 0 && row < LANES.length && step >= 0 && step < STEPS ? [row, step] : null;
};
const paint = (row, step, adding) => {
  const place = key(row, step);
  if (adding) { hits.set(place, { velocity: brush, offset: 0 }); strike(row, brush); } else hits.delete(place);
};
const describePlace = () => {
  const hit = hits.get(key(lane, column)), timing = !hit || Math.abs(hit.offset) < 0.02 ? "" : `, ${Math.round(Math.abs(hit.offset) * 100)}% of a step ${hit.offset < 0 ? "early" : "late"}`;
  return `${LANES[lane][1]}, bar ${Math.floor(column / 16) + 1}, beat ${Math.floor((column % 16) / 4) + 1}, sixteenth ${(column % 4) + 1}: ${hit ? `hit, velocity ${hit.velocity}${timing}` : "nothing"}`;
};
let stroke = null;
grid.addEventListener("pointerdown", (event) => {
  const place = where(event);
  if (!place || take || event.button) return;
  [lane, column] = place;
  const hit = hits.get(key(...place)), adding = !hit || Math.abs(hit.velocity - brush) > 18;
  stroke = { adding, name: nameNow(), pointer: event.pointerType, seen: new Set([key(...place)]), moved: false, first: place, x: event.clientX, y: event.clientY };
  if (event.pointerType !== "touch") {
    history.push({ which: current(), groove: value?.[current()] ?? null });
    grid.setPointerCapture(event.pointerId);
    paint(...place, adding);
    draw();
  }
});
grid.addEventListener("pointermove", (event) => {
  if (!stroke) return;
  if (stroke.pointer === "touch") { stroke.moved ||= Math.hypot(event.clientX - stroke.x, event.clientY - stroke.y) > 8; return; }
  const place = where(event);
  if (!place || stroke.seen.has(key(...place))) return;
  stroke.seen.add(key(...place));
  paint(...place, stroke.adding);
  draw();
});
grid.addEventListener("pointerup", () => {
  if (!stroke) return;
  const { pointer, moved, first, adding, name } = stroke;
  stroke = null;
  if (pointer === "touch") { if (!moved) change(name, () => paint(...first, adding)); } else store(name);
});
grid.addEventListener("pointercancel", () => { if (stroke && stroke.pointer !== "touch") store(stroke.name); stroke = null; });
grid.addEventListener("keydown", (event) => {
  if (take || event.ctrlKey || event.metaKey || event.altKey) return;
  const place = key(lane, column), hit = hits.get(place);
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (event.key in moves) {
    lane = Math.min(LANES.length - 1, Math.max(0, lane + moves[event.key][0]));
    column = Math.min(STEPS - 1, Math.max(0, column + moves[event.key][1]));
    const x = column * stepWidth;
    if (x < scroller.scrollLeft || x + stepWidth > scroller.scrollLeft + scroller.clientWidth) scroller.scrollLeft = x - scroller.clientWidth / 2;
  } else if (event.key === " " || event.key === "Enter") change(nameNow(), () => paint(lane, column, !hit));
  else if (hit && "+=-_".includes(event.key)) {
    const velocity = Math.min(127, Math.max(10, hit.velocity + ("+=".includes(event.key) ? 10 : -10)));
    change(nameNow(), () => hits.set(place, { ...hit, velocity }));
    strike(lane, velocity);
  } else if (hit && ",.".includes(event.key)) {
    const offset = Math.min(0.5, Math.max(-0.5, hit.offset + (event.key === "," ? -0.1 : 0.1)));
    change(nameNow(), () => hits.set(place, { ...hit, offset }));
  } else if (hit && event.key === "Delete") change(nameNow(), () => paint(lane, column, false));
  else return;
  event.preventDefault();
  event.stopPropagation();
  drawCursor();
  say(describePlace());
});
for (const event of ["focus", "blur"]) grid.addEventListener(event, drawCursor);

// ---- Buttons
LANES.forEach(([pitch, name], row) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(name);
  const cap = document.createElement("kbd");
  cap.textContent = LETTERS[pitch];
  cap.setAttribute("aria-hidden", "true");
  button.append(cap);
  button.setAttribute("aria-label", `Play the ${name.toLowerCase()}`);
  button.addEventListener("pointerdown", (event) => { event.preventDefault(); if (take) take.onPad = false; tap(row, event, take ? TAP_VELOCITY : brush); });
  button.addEventListener("click", (event) => { if (!event.detail && !take) strike(row, brush); }); // from the keyboard
  $(".lanes").append(button);
});
const radios = (group, action) => {
  const buttons = [...group.querySelectorAll("[role=radio]")];
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => action(button));
    button.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!by) return;
      const next = buttons[(index + by + buttons.length) % buttons.length];
      action(next);
      next.focus();
      event.preventDefault();
      event.stopPropagation();
    });
  });
};
radios($(".which"), (button) => choose(button.dataset.groove));
const chooseBrush = (button) => {
  brush = Number(button.dataset.velocity);
  for (const other of element.querySelectorAll("[data-velocity]")) { other.setAttribute("aria-checked", String(other === button)); other.tabIndex = other === button ? 0 : -1; }
};
radios($(".brush"), chooseBrush);
chooseBrush($("[data-velocity='85']"));
playButton.addEventListener("click", play);
$(".record").addEventListener("click", record);
$(".undo").addEventListener("click", undo);
$(".clear").addEventListener("click", () => { change("", () => { hits = new Map(); }); say("Cleared"); });
$(".hint").textContent = IDLE;

// ---- From the server
const update = () => {
  if (take) encore.stop();
  const before = JSON.stringify(value?.[current()] ?? null), which = current();
  value = props.value && typeof props.value === "object" ? props.value : { current: "a", a: null, b: null };
  if (which !== current() || JSON.stringify(value[current()] ?? null) !== before) history = [];
  hits = parse(value[current()]?.notes);
  if (!hits.size && part) encore.stop();
  draw();
  showHead();
};
let lastWidth = 0;
new ResizeObserver(() => { if (element.clientWidth && scroller.clientWidth !== lastWidth) { lastWidth = scroller.clientWidth; draw(); } }).observe(element);
watch("value", update);
update();
