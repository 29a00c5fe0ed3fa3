// The roll of a performance: draws the notes of props.value on a canvas that is as wide as what is seen of it, while they arrive
// and after. Plays its WAV when there is one, before that the notes on the built-in synth, never faster than they arrive.
// Times are in seconds: the desk's tempo is 60, so a quarter note of the transport is one second and a step a quarter of it.
const $ = (selector) => element.querySelector(selector);
const compact = props.compact, scroller = $(".scroller"), space = $(".space"), canvas = $("canvas.roll"), names = $("svg.names");
const playButton = $(".play"), clock = $(".clock"), loop = $(".loop input"), sound = $("audio"), playhead = $(".playhead"), tip = $(".tip");
const DESK = "performance", AXIS = compact ? 0 : 20, MOST = 240, LOWEST = 21, HIGHEST = 108;
// How much music must lie ahead of what is heard, in seconds: to begin, to go on, and to begin again after a wait.
const LEAD = { begin: 2, go: 1, again: 3 };
Object.assign(encore.desk(DESK), { tempo: 60, program: 0 });
let shown = null, notes = [], steps = new Map(), longest = 0, panel = null, gutter = 34, wanted = compact ? 6 : 48, pxPerSecond = 48, colours = new Map(), velocityColours = [];
// `part` is what the synth plays, `wav` whether the WAV is playing, `stalled` whether it waits for more music, `listening`
// the run that is heard, or not, as a person or it itself has decided; `at` is where the playhead rests, in seconds; `followed`: the view goes along.
let part = null, wav = false, stalled = false, listening = null, at = 0, frame = 0, waiting = 0, followed = true, spokenAt = 0;
element.classList.toggle("large", !compact);

const busy = () => Boolean(shown?.run?.busy);
const front = () => shown?.seconds ?? 0; // how much music there is
const length = () => (busy() ? Math.max(shown.run.goal, front()) : front());

// ---- What is heard
const isPlaying = () => wav || part !== null || stalled;
const position = () => {
  if (wav) return Math.min(front(), sound.currentTime);
  if (!part) return at;
  return Math.min(front(), part.from + (part.at + Math.max(0, (encore.now() - part.time) / encore.stepSeconds(DESK))) / 4);
};
const halt = () => {
  at = shown ? position() : 0;
  wav = stalled = false;
  sound.pause();
  if (part) encore.stop();
};
const playSynth = (from) => {
  const first = Math.floor(from * 4);
  const held = notes.filter((note) => note[1] < first / 4 && note[2] > first / 4 + 0.05);
  const own = part = {
    desk: DESK, parts: [{ program: 0, drums: false }], loop: false, at: 0, time: Infinity, from: first / 4, stepsPerLoop: 1e7,
    level: () => 0.8,
    notesAt: (step) => {
      const back = first / 4, found = (steps.get(first + step) ?? []).map(([pitch, start, end, velocity]) => [pitch, start - back, end - back, velocity, 0]);
      return step ? found : [...held.map(([pitch, , end, velocity]) => [pitch, 0, end - back, velocity, 0]), ...found];
    },
    onStep: (step, time) => {
      own.at = step;
      own.time = time;
      const ahead = front() - (first + step) / 4;
      // The transport goes on from here before it may be stopped.
      if (busy() && ahead < LEAD.go) setTimeout(() => { if (part === own) { at = position(); encore.stop(); stalled = true; showState(); } });
      else if (!busy() && ahead <= 0) setTimeout(() => { if (part !== own) return; encore.stop(); at = 0; if (loop.checked) play(0); else showHead(); });
    },
    onStop: () => {
      if (part !== own) return;
      at = position();
      part = null;
      showState();
      follow();
    },
  };
  encore.play(own);
};
const playWav = (from) => {
  encore.stop();
  wav = true;
  sound.currentTime = from;
  sound.play().catch(() => { if (wav && sound.paused) { wav = false; showState(); } }); // a browser may want a click first
};
const play = (from) => {
  halt();
  encore.silence();
  at = from >= front() - 0.05 && !busy() ? 0 : from;
  followed = true;
  if (shown.wav) playWav(at);
  else if (busy() && front() - at < LEAD.go) stalled = true;
  else playSynth(at);
  showState();
  follow();
};
const toggle = () => {
  if (!shown || !notes.length) return;
  listening = shown.run?.id ?? null; // a person has decided
  if (!isPlaying()) { play(at); return; }
  halt();
  showState();
  follow();
};
const seek = (seconds) => {
  followed = true;
  seconds = Math.min(front() - 0.01, Math.max(0, seconds));
  if (isPlaying()) play(seconds); else { at = seconds; showHead(); }
};
// Begins by itself once the rest will be made before it is heard; goes on after a wait.
const listen = () => {
  if (!element.offsetParent) { stalled = false; return; } // only what is to be seen sounds
  if (stalled && !busy() && at >= front() - 0.3) { stalled = false; at = 0; return; } // all of it was heard
  if (stalled && (!busy() || front() - at >= LEAD.again)) { play(at); return; }
  const run = shown?.run;
  if (!run?.busy || !run.listen || listening === run.id || isPlaying()) return;
  const rate = run.rate || 0, begin = run.listen_from ?? 0;
  if (front() - begin < LEAD.begin || !rate || (run.goal - front()) / rate > run.goal - begin) return;
  listening = run.id;
  play(begin);
};

// ---- Playhead
const format = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const showHead = () => {
  if (!shown) { playhead.hidden = true; return; }
  const seconds = position();
  playhead.hidden = !isPlaying() && seconds === 0;
  playhead.style.transform = `translateX(${seconds * pxPerSecond}px)`;
  clock.textContent = `${format(seconds)} / ${format(length())}`;
  scroller.setAttribute("aria-valuemax", Math.round(front()));
  scroller.setAttribute("aria-valuenow", Math.round(seconds));
  scroller.setAttribute("aria-valuetext", `${seconds.toFixed(1)} of ${front().toFixed(1)} seconds`);
  if (isPlaying()) goAlong(seconds, 0.6);
};
// Scrolls so that a place stays to the left of a share of what is seen, unless a person has scrolled away from it.
const goAlong = (seconds, share) => {
  if (!followed || scroller.scrollWidth <= scroller.clientWidth + 2) return;
  const x = seconds * pxPerSecond, width = scroller.clientWidth;
  if (x > scroller.scrollLeft + width * share) scroller.scrollLeft = x - width * share;
  else if (x < scroller.scrollLeft) scroller.scrollLeft = Math.max(0, x - 30);
};
const follow = () => {
  cancelAnimationFrame(frame);
  if (shown && wav && loop.checked && sound.currentTime >= front() - 0.01) sound.currentTime = 0;
  else if (shown && wav && sound.currentTime >= front() + 0.9) { halt(); at = 0; showState(); }
  showHead();
  if (shown && isPlaying()) frame = requestAnimationFrame(follow);
};
const showState = () => {
  const playing = Boolean(shown) && isPlaying();
  playButton.classList.toggle("playing", playing);
  playButton.disabled = !shown || !notes.length;
  playButton.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${shown?.title ?? props.slot}`);
  if (playing) element.dataset.playing = wav ? "wav" : stalled ? "waiting" : "synth"; else delete element.dataset.playing;
};

// ---- Drawing
const VARIABLES = ["--roll-ground", "--roll-lane", "--roll-line", "--strong-line", "--quiet-text", "--body-text-color", "--part-melody", "--soft", "--middle", "--loud"];
const rgb = (hex) => [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));
const readColours = () => {
  const style = getComputedStyle(element);
  for (const name of VARIABLES) colours.set(name, style.getPropertyValue(name).trim());
  const [soft, middle, loud] = ["--soft", "--middle", "--loud"].map((name) => rgb(colours.get(name)));
  // Music lies between the velocities 24 and 112; what is softer or louder has the colours of the ends.
  velocityColours = Array.from({ length: 128 }, (_, velocity) => {
    const share = Math.min(1, Math.max(0, (velocity - 24) / 88)) * 2, [from, to] = share < 1 ? [soft, middle] : [middle, loud];
    return `rgb(${from.map((value, index) => Math.round(value + (to[index] - value) * (share % 1 || (share === 2 ? 1 : 0)))).join()})`;
  });
};
// The keyboard of a piano, so that nothing moves when higher notes arrive; a low roll is as high as its notes need.
const layOut = () => {
  const pitches = notes.map((note) => note[0]), narrow = element.clientWidth < 520;
  let low = LOWEST, high = HIGHEST;
  if (compact) {
    low = Math.max(0, Math.min(...pitches, 127) - 1);
    high = Math.min(127, Math.max(...pitches, 0) + 1);
    if (low > high) { low = 60; high = 72; }
    while (high - low < 24) { low = Math.max(0, low - 1); high = Math.min(127, high + 1); }
  }
  const count = high - low + 1, height = compact ? 96 : count * (narrow ? 3.4 : 4);
  const lanes = Array.from({ length: count }, (_, index) => [high - index, encoreDraw.pitchName(high - index)]);
  panel = { lanes, low, high, y: AXIS, height, laneHeight: height / count, drums: false, part: null };
};
// The index of the first note that starts at `seconds` or later.
const firstFrom = (seconds) => {
  let low = 0, high = notes.length;
  while (low < high) { const middle = (low + high) >> 1; if (notes[middle][1] < seconds) low = middle + 1; else high = middle; }
  return low;
};
const tickSeconds = () => [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300].find((seconds) => seconds * pxPerSecond >= 58) ?? 600;
const paint = () => {
  waiting = 0;
  if (!shown || !canvas.width) return;
  const context = canvas.getContext("2d"), scale = devicePixelRatio || 1, left = scroller.scrollLeft, width = canvas.clientWidth, right = left + width;
  const { lanes, laneHeight, y, height, high } = panel, bottom = y + height;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.fillStyle = colours.get("--roll-ground");
  context.fillRect(0, 0, width, bottom);
  context.translate(-left, 0);
  context.fillStyle = colours.get("--roll-lane");
  lanes.forEach(([pitch], index) => { if ([1, 3, 6, 8, 10].includes(pitch % 12)) context.fillRect(left, y + index * laneHeight, width, laneHeight); });
  if (shown.opening) { // what was given
    context.globalAlpha = 0.45;
    context.fillStyle = colours.get("--roll-line");
    context.fillRect(0, y, shown.opening * pxPerSecond, height);
    context.globalAlpha = 1;
  }
  const tick = tickSeconds();
  context.font = `10.5px ${getComputedStyle(element).fontFamily}`;
  for (let index = Math.floor(left / pxPerSecond / tick); index * tick * pxPerSecond <= right; index++) {
    const x = Math.round(index * tick * pxPerSecond);
    context.fillStyle = colours.get("--roll-line");
    context.fillRect(x, y ? 4 : 0, 1, bottom);
    if (!y) continue;
    context.fillStyle = colours.get("--quiet-text");
    context.fillText(tick < 1 ? `${format(index * tick)}.${(index * tick * 10) % 10}` : format(index * tick), x + 4, 14);
  }
  context.fillStyle = colours.get("--strong-line");
  if (y) context.fillRect(left, y - 1, width, 1);
  lanes.forEach(([pitch], index) => { if (pitch % 12 === 0) context.fillRect(left, Math.round(y + (index + 1) * laneHeight) - 0.5, width, 0.5); });
  let drawn = 0;
  for (let i = firstFrom(left / pxPerSecond - longest); i < notes.length && notes[i][1] * pxPerSecond < right; i++) {
    const [pitch, start, end, velocity] = notes[i];
    if (end * pxPerSecond < left || pitch > high || pitch < panel.low) continue;
    const x = start * pxPerSecond, wide = Math.max(2, (end - start) * pxPerSecond - 0.6), top = y + (high - pitch) * laneHeight, tall = Math.max(2, laneHeight - 0.5);
    context.fillStyle = shown.plain ? colours.get("--part-melody") : velocityColours[velocity];
    if (wide > 4) { context.beginPath(); context.roundRect(x, top, wide, tall, Math.min(1.5, tall / 3)); context.fill(); } else context.fillRect(x, top, wide, tall);
    drawn += 1;
  }
  if (shown.opening && !compact) {
    const x = Math.round(shown.opening * pxPerSecond);
    context.fillStyle = colours.get("--body-text-color");
    context.fillRect(x, 0, 1.5, bottom);
    context.font = `600 10.5px ${getComputedStyle(element).fontFamily}`;
    const words = "goes on from here", wide = context.measureText(words).width;
    context.fillStyle = colours.get("--roll-ground");
    context.fillRect(x + 2, 2, wide + 8, 16);
    context.fillStyle = colours.get("--body-text-color");
    context.fillText(words, x + 6, 14);
  }
  if (busy()) { // what is still to come
    const x = front() * pxPerSecond;
    context.globalAlpha = 0.35;
    context.fillStyle = colours.get("--roll-line");
    context.fillRect(x, y, Math.max(0, right - x), height);
    context.globalAlpha = 1;
    context.fillStyle = colours.get("--strong-line");
    context.fillRect(Math.round(x), y, 1, height);
  }
  element.dataset.notes = notes.length;
  element.dataset.drawn = drawn;
};
const repaint = () => { if (!waiting) waiting = requestAnimationFrame(paint); };
const describe = () => {
  if (!notes.length) return "Piano roll, no notes yet";
  const pitches = notes.map((note) => note[0]), velocities = notes.map((note) => note[3]);
  const loudness = shown.plain ? "" : `, velocity ${Math.min(...velocities)} to ${Math.max(...velocities)}`;
  return `Piano roll: ${notes.length} note${notes.length > 1 ? "s" : ""} in ${front().toFixed(1)} seconds, ${encoreDraw.pitchName(Math.min(...pitches))} to ${encoreDraw.pitchName(Math.max(...pitches))}${loudness}`;
};
const fit = () => Math.max(60, element.clientWidth - gutter - 3);
const leastScale = () => fit() / Math.max(1, length());
const mostScale = () => Math.max(leastScale(), Math.min(MOST, 1e6 / length())); // no wider than a browser draws
const scaleNow = () => {
  const room = fit();
  pxPerSecond = Math.min(mostScale(), Math.max(wanted, leastScale()));
  space.style.width = `${Math.max(room, Math.ceil(pxPerSecond * length()))}px`;
};
const draw = () => {
  element.classList.toggle("filled", Boolean(shown));
  if (!shown || !element.clientWidth) return;
  layOut();
  const room = fit(), scale = devicePixelRatio || 1, bottom = panel.y + panel.height;
  scaleNow();
  encoreDraw.labels(names, Object.assign([{ ...panel, lanes: panel.lanes.map(([pitch, text]) => [pitch, compact || pitch % 12 === 0 ? text : ""]) }], { bottom }), gutter, 0);
  canvas.width = Math.round(room * scale);
  canvas.height = Math.round(bottom * scale);
  Object.assign(canvas.style, { width: `${room}px`, height: `${bottom}px` });
  canvas.setAttribute("aria-label", describe());
  readColours();
  paint();
  showHead();
  zooms.show();
};
const zooms = encoreZoom({
  scroller, out: $(".out"), into: $(".in"), now: () => pxPerSecond, least: leastScale, most: mostScale,
  place: () => (isPlaying() || at ? position() : -1), set: (pixels) => { wanted = pixels; draw(); repaint(); }, ready: () => Boolean(shown),
});

// ---- Pointing at notes
const noteAt = (event) => {
  const box = canvas.getBoundingClientRect(), seconds = (event.clientX - box.left + scroller.scrollLeft) / pxPerSecond, slack = 3 / pxPerSecond;
  const pitch = panel.high - Math.floor((event.clientY - box.top - panel.y) / panel.laneHeight);
  let found = null;
  for (let i = firstFrom(seconds - longest - slack); i < notes.length && notes[i][1] <= seconds + slack; i++) {
    if (Math.abs(notes[i][0] - pitch) <= (panel.laneHeight < 5 ? 1 : 0) && notes[i][2] >= seconds - slack && (!found || notes[i][0] === pitch)) found = notes[i];
  }
  return found;
};
canvas.addEventListener("pointermove", (event) => {
  const note = event.pointerType === "mouse" && shown ? noteAt(event) : null;
  tip.hidden = !note;
  if (!note) return;
  const [pitch, start, end, velocity] = note, box = $(".frame").getBoundingClientRect();
  tip.textContent = `${encoreDraw.pitchName(pitch)}, at ${start.toFixed(2)} s for ${(end - start).toFixed(2)} s${shown.plain ? "" : `, velocity ${velocity}`}`;
  tip.style.left = `${Math.max(4, Math.min(event.clientX - box.left + 12, box.width - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(2, event.clientY - box.top - 32)}px`;
});
canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
canvas.addEventListener("click", (event) => { if (shown) seek((event.clientX - canvas.getBoundingClientRect().left + scroller.scrollLeft) / pxPerSecond); });
scroller.addEventListener("keydown", (event) => {
  if (!shown) return;
  const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
  if (by) seek(position() + by);
  else if (event.key === "Home") seek(0);
  else if (event.key === "End") seek(front());
  else if (event.key === " " || event.key === "Enter") toggle();
  else return;
  event.preventDefault();
});

// ---- From the server
const unpack = () => {
  const { notes: numbers } = shown, found = [];
  for (let i = 0; i + 3 < numbers.length; i += 4) found.push([numbers[i], numbers[i + 1] / 1000, (numbers[i + 1] + numbers[i + 2]) / 1000, numbers[i + 3]]);
  return found;
};
const showRun = () => {
  const run = shown?.run;
  $(".making").hidden = !busy();
  element.dataset.busy = busy();
  if (!busy()) { if (spokenAt) { $(".spoken").textContent = shown ? describe() : ""; spokenAt = 0; } return; }
  $(".making .text").textContent = run.text;
  const bar = $(".making .bar"), share = Math.min(1, Math.max(0, (front() - (run.start ?? 0)) / Math.max(0.1, run.goal - (run.start ?? 0))));
  bar.setAttribute("aria-valuemax", 100);
  bar.setAttribute("aria-valuenow", Math.round(100 * share));
  bar.firstElementChild.style.width = `${100 * share}%`;
  if (performance.now() - spokenAt > 8000) { $(".spoken").textContent = run.text; spokenAt = performance.now(); }
};
const update = () => {
  const next = props.value?.notes && props.value.seconds ? props.value : null, before = shown;
  const goesOn = Boolean(next && before && next.key && next.key === before.key);
  const file = next?.wav ? new URL(next.wav.url, location.href).href : "";
  if (!goesOn || (wav && file !== sound.src)) halt();
  const begins = goesOn && !before.wav && next.wav; // the WAV of what the synth plays
  shown = next;
  $(".title").textContent = shown ? shown.title : props.slot;
  $(".detail").textContent = shown?.detail ?? "";
  for (const kind of ["midi", "wav"]) {
    const link = $(`a.${kind}`), made = shown?.[kind];
    link.hidden = !made;
    if (made) { link.href = made.url; link.download = made.orig_name; link.setAttribute("aria-label", `Download ${shown.title} as ${kind.toUpperCase()}`); } else link.removeAttribute("href");
  }
  $(".loop").hidden = compact || !shown || busy();
  clock.hidden = !shown || (busy() && !front());
  if (!file) sound.removeAttribute("src");
  else if (sound.src !== file) { sound.preload = begins && part ? "auto" : "metadata"; sound.src = file; }
  $(".legend").hidden = Boolean(shown?.plain);
  notes = shown ? unpack() : [];
  steps = encore.bySteps(notes);
  longest = notes.reduce((most, note) => Math.max(most, note[2] - note[1]), 0);
  if (shown && !goesOn) {
    at = busy() ? shown.run.listen_from ?? 0 : 0;
    followed = true;
    scroller.scrollLeft = 0;
  }
  draw();
  if (busy() && !isPlaying()) goAlong(front(), 0.85);
  showRun();
  listen();
  showState();
  showHead();
};

playButton.addEventListener("click", toggle);
sound.addEventListener("play", () => document.querySelectorAll("audio").forEach((other) => other !== sound && other.pause()));
// Something else plays, or the end.
sound.addEventListener("pause", () => {
  if (!wav || !sound.paused || sound.ended) return;
  at = position();
  wav = false;
  showState();
  follow();
});
sound.addEventListener("ended", () => {
  if (!wav) return;
  if (loop.checked) { play(0); return; }
  wav = false;
  at = 0;
  showState();
  follow();
});
sound.addEventListener("canplay", () => { if (part && shown?.wav) play(position()); });
for (const kind of ["wheel", "pointerdown", "touchstart"]) scroller.addEventListener(kind, (event) => { if (kind !== "pointerdown" || event.target === scroller) followed = false; }, { passive: true });
scroller.addEventListener("scroll", () => {
  const x = (isPlaying() ? position() : front()) * pxPerSecond;
  if (!followed && x >= scroller.scrollLeft && x <= scroller.scrollLeft + scroller.clientWidth) followed = true;
  repaint();
}, { passive: true });
new MutationObserver(() => { if (shown) { readColours(); repaint(); } }).observe(document.body, { attributeFilter: ["class"] });
// A file that is dropped on the slot goes the way of its upload button.
const slot = compact ? element.closest(".slot") : null, holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
if (slot) {
  slot.addEventListener("dragover", (event) => { if (!holdsFiles(event)) return; event.preventDefault(); slot.classList.add("dropping"); });
  slot.addEventListener("dragleave", (event) => { if (!slot.contains(event.relatedTarget)) slot.classList.remove("dropping"); });
  slot.addEventListener("drop", (event) => {
    const input = slot.querySelector("input[type=file]");
    if (!holdsFiles(event) || !input) return;
    event.preventDefault();
    slot.classList.remove("dropping");
    const one = new DataTransfer();
    one.items.add(event.dataTransfer.files[0]);
    input.files = one.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
let lastWidth = 0;
new ResizeObserver(() => { if (element.clientWidth && element.clientWidth !== lastWidth) { lastWidth = element.clientWidth; draw(); } }).observe(element);
loop.checked = props.loop;
watch("value", update);
update();
