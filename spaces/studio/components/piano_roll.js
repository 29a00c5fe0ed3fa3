// The roll: draws props.value; plays its WAV when it has one (result), else the notes on the built-in synth (slot, or while it is
// edited; the scripts piano_roll_*.js that follow this one where it can be edited set `editor`).
const $ = (selector) => element.querySelector(selector);
const compact = props.compact, scroller = $(".scroller"), drawing = $("svg.roll"), names = $("svg.names");
const playButton = $(".play"), clock = $(".clock"), loop = $(".loop input"), sound = $("audio"), playhead = $(".playhead");
let part = null, shown = null, frame = 0, pxPerBeat = 1, zoom = 1, editor = null;
const HEIGHTS = compact ? { melody: 118, drums: 118, parts: [66, 46, 99] } : { melody: 300, drums: 270, parts: [190, 112, 153] };
element.classList.toggle("large", !compact);

const beatsToSeconds = (beats) => (beats * 60) / (shown?.tempo ?? 120);
const editing = () => Boolean(editor?.active);
const hasSound = () => Boolean(shown?.wav) && !editing();
const isPlaying = () => (hasSound() ? !sound.paused : part !== null && encore.isPlaying(part));

const showState = () => {
  const playing = isPlaying();
  playButton.classList.toggle("playing", playing);
  playButton.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${shown?.title ?? props.slot}`);
};

const format = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

const placePlayhead = (beat) => {
  playhead.style.transform = `translateX(${beat * pxPerBeat}px)`;
  if (scroller.scrollWidth <= scroller.clientWidth + 2) return;
  const x = beat * pxPerBeat;
  if (x < scroller.scrollLeft || x > scroller.scrollLeft + scroller.clientWidth - 40) scroller.scrollLeft = Math.max(0, x - 40);
};

const beatNow = () => {
  if (hasSound()) return Math.min(shown.bars * 4, (sound.currentTime * shown.tempo) / 60);
  if (!part || !isPlaying()) return 0;
  const beat = part.from + (part.at + Math.max(0, (encore.now() - part.time) / encore.stepSeconds())) / 4;
  return Math.min(shown.bars * 4, Math.max(0, beat));
};
const follow = () => {
  cancelAnimationFrame(frame);
  if (!shown || !isPlaying()) { playhead.hidden = !hasSound() || !sound.currentTime; return; }
  playhead.hidden = false;
  if (hasSound()) {
    const end = beatsToSeconds(shown.bars * 4);
    if (loop.checked && sound.currentTime >= end) sound.currentTime -= end;
    placePlayhead(beatNow());
    clock.textContent = `${format(Math.min(end, sound.currentTime))} / ${format(end)}`;
  } else {
    placePlayhead(beatNow());
  }
  frame = requestAnimationFrame(follow);
};

const toggle = () => {
  if (!shown) return;
  if (isPlaying()) { hasSound() ? sound.pause() : encore.stop(); return; }
  if (hasSound()) { encore.stop(); sound.play(); return; }
  playSynth(editing() ? editor.from() : 0);
};
// From a sixteenth step on; of what is edited every note is heard as it is by then.
const playSynth = (from) => {
  const first = Math.round(from * 4), own = first / 4, fixed = editing() ? null : encore.bySteps(shown.notes);
  part = {
    desk: props.desk, drums: shown.drums, parts: shown.parts, loop: editing() && loop.checked, stepsPerLoop: shown.bars * 16 - first, at: 0, time: encore.now(), from: own,
    notesAt: (step) => ((fixed ?? editor.steps()).get(first + step) ?? []).map(([pitch, start, end, ...rest]) => [pitch, start - own, end - own, ...rest]),
    onStep: (step, time) => { part.at = step; part.time = time; },
    onStop: () => { part = null; showState(); follow(); },
  };
  encore.play(part);
  showState();
  follow();
};

// The least width of a bar, in pixels, at which it can be read; wider music scrolls.
const barWidth = ({ bars, drums, parts, barlines }) => {
  if (barlines) return compact ? 0 : 48;
  if (compact) return bars > 4 ? 40 : 0;
  if (drums) return bars > 16 ? 96 : 160;
  return parts && bars <= 64 ? 96 : 56;
};

const gutterOf = (value) => (value.drums || value.parts?.some((part) => part.drums) ? 74 : 40);
const roomFor = (value) => Math.max(120, element.clientWidth - gutterOf(value) - 2);
// In pixels per quarter note: everything in view; as it is at first; no wider than a browser draws.
const leastScale = () => (shown ? roomFor(shown) / (shown.bars * 4) : 1);
const plainScale = () => Math.max(leastScale(), ((editing() ? Math.max(barWidth(shown), editor.barWidth()) : barWidth(shown)) / 4));
const mostScale = () => Math.max(plainScale(), Math.min(240, 1e5 / (shown.bars * 4)));

const draw = () => {
  const value = editing() ? editor.value() : shown;
  element.classList.toggle("filled", Boolean(value));
  if (!value) return;
  const gutter = gutterOf(value), top = editing() ? 22 : compact && value.bars <= 4 ? 0 : compact ? 14 : 18;
  pxPerBeat = Math.min(mostScale(), Math.max(leastScale(), plainScale() * zoom));
  const width = pxPerBeat * value.bars * 4;
  const segments = value.segments ?? [];
  const shareAt = (beat) => { let share = value.share ?? 0; for (const s of segments) if (beat >= s.bar * 4 - 1e-6) share = s.share; return share; };
  const fill = (beat) => (value.colour ? `var(--clip-${value.colour})` : encoreDraw.mix(shareAt(beat)));
  const panels = encoreDraw.roll(drawing, value, width, editing() ? editor.heights() : HEIGHTS, top, fill, editor?.each);
  encoreDraw.labels(names, panels, gutter, top);
  drawing.setAttribute("aria-label", encoreDraw.describe(value));
  if (top) {
    const marks = segments.length ? segments.map((s) => [s.bar * 4, s.label]) : (value.barlines ?? Array.from({ length: value.bars }, (_, bar) => bar * 4)).map((beat, bar) => [beat, String(bar + 1)]);
    if (segments.length && value.parts) segments.forEach((s, index) => {
      const until = segments[index + 1]?.bar ?? value.bars;
      encoreDraw.make("rect", { x: s.bar * 4 * pxPerBeat, y: top - 4, width: (until - s.bar) * 4 * pxPerBeat, height: 4, style: `fill: ${encoreDraw.mix(s.share)}` }, drawing);
    });
    let taken = -1;
    for (const [beat, text] of marks) {
      if (beat * pxPerBeat < taken) continue;
      taken = beat * pxPerBeat + 9 + 8 * text.length;
      const label = encoreDraw.make("text", { x: beat * pxPerBeat + (compact ? 4 : 6), y: compact ? 10.5 : 13, class: "mark" }, drawing);
      label.textContent = text;
    }
  }
  playhead.style.height = `${panels.bottom}px`;
  if (editing()) editor.drawn(panels, top);
  zooms.show();
};
const zooms = encoreZoom({
  scroller, out: $(".out"), into: $(".in"), now: () => pxPerBeat, least: leastScale, most: mostScale, place: beatNow,
  set: (pixels) => { zoom = pixels / plainScale(); draw(); }, ready: () => Boolean(shown),
});

const update = () => {
  if (editing()) return; // what comes from the server waits
  if (part) encore.stop();
  const before = shown;
  shown = props.value && props.value.notes ? props.value : null;
  const same = before && shown && before.bars === shown.bars && JSON.stringify(before.notes) === JSON.stringify(shown.notes);
  $(".title").textContent = shown ? shown.title : props.slot;
  $(".detail").textContent = shown ? shown.detail ?? "" : "";
  playButton.disabled = !shown || !shown.notes.length;
  for (const kind of ["midi", "wav"]) {
    const link = $(`a.${kind}`), file = shown?.[kind];
    link.hidden = !file;
    if (file) { link.href = file.url; link.download = file.orig_name; } else link.removeAttribute("href");
  }
  $(".legend").hidden = !shown?.parts;
  $(".legend").replaceChildren(...(shown?.parts ?? []).map(({ name, colour }) => {
    const entry = document.createElement("li");
    entry.textContent = name;
    entry.style.setProperty("--swatch", `var(--part-${colour})`);
    return entry;
  }));
  encore.desk(props.desk).tempo = shown?.barlines ? shown.tempo : encore.desk(props.desk).tempo;
  $(".loop").hidden = clock.hidden = !hasSound();
  sound.pause();
  if (hasSound()) { sound.src = shown.wav.url; clock.textContent = `0:00 / ${format(beatsToSeconds(shown.bars * 4))}`; }
  else sound.removeAttribute("src");
  playhead.hidden = true;
  if (!same) { zoom = 1; scroller.scrollLeft = 0; }
  $(".zoom").hidden = compact || !shown;
  editor?.offer();
  draw();
  showState();
};
const renew = () => {
  update();
  if (editing() || !shown?.play || !hasSound()) return;
  encore.stop();
  sound.play().catch(() => {}); // a browser may want a click first
};

playButton.addEventListener("click", toggle);
for (const event of ["play", "pause", "ended"]) sound.addEventListener(event, () => { showState(); follow(); });
sound.addEventListener("play", () => document.querySelectorAll("audio").forEach((other) => other !== sound && other.pause()));
sound.addEventListener("ended", () => { if (loop.checked) { sound.currentTime = 0; sound.play(); } });
drawing.addEventListener("click", (event) => {
  if (!hasSound()) return;
  const box = drawing.getBoundingClientRect();
  sound.currentTime = beatsToSeconds((event.clientX - box.left) / pxPerBeat);
  playhead.hidden = false;
  placePlayhead((event.clientX - box.left) / pxPerBeat);
});
let lastWidth = 0;
new ResizeObserver(() => { if (element.clientWidth !== lastWidth) { lastWidth = element.clientWidth; draw(); } }).observe(element);
loop.checked = props.loop;
watch("value", renew);
update();
