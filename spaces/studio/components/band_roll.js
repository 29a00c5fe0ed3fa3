// The roll of a band: draws the song of props.value, plays its WAV while that is what should be heard, else the built-in synth,
// in which every track follows the mixer at once. The canvas is as wide as what is seen of it; the bars above are buttons.
const $ = (selector) => element.querySelector(selector);
const scroller = $(".scroller"), space = $(".space"), header = $(".bars"), canvas = $("canvas.roll"), names = $("svg.names");
const playButton = $(".play"), clock = $(".clock"), loop = $(".loop input"), sound = $("audio"), playhead = $(".playhead"), tip = $(".tip");
const PITCHED = 250, HEADER = 45, BAR = 64, PLAIN_DRUM = 13, QUIET = 0.1;
const DRUM_NAMES = { 35: "Kick 2", 36: "Kick", 37: "Rimshot", 38: "Snare", 39: "Clap", 40: "Snare 2", 41: "Low floor", 42: "Closed hat", 43: "High floor", 44: "Pedal hat", 45: "Low tom", 46: "Open hat", 47: "Mid tom 2", 48: "Mid tom", 49: "Crash", 50: "High tom", 51: "Ride", 52: "China", 53: "Ride bell", 54: "Tambourine", 55: "Splash", 56: "Cowbell", 57: "Crash 2", 58: "Vibraslap", 59: "Ride 2", 60: "Bongo", 61: "Low bongo", 62: "Conga mute", 63: "Conga", 64: "Low conga", 65: "Timbale", 66: "Low timbale", 67: "Agogo", 68: "Low agogo", 69: "Cabasa", 70: "Maracas", 71: "Whistle", 72: "Whistle 2", 73: "Guiro", 74: "Guiro 2", 75: "Claves", 76: "Woodblock", 77: "Low block", 78: "Cuica", 79: "Cuica 2", 80: "Triangle", 81: "Triangle 2" };
// From top to bottom: other percussion, cymbals, hats, toms, snares, kicks.
const DRUM_ORDER = [49, 57, 55, 52, 51, 59, 53, 46, 42, 44, 50, 48, 47, 45, 43, 41, 39, 37, 40, 38, 35, 36];
let zoom = 1, song = null, notes = [], steps = new Map(), longest = 4, panels = [], gutter = 40, barWidth = BAR, pxPerBeat = 16, selected = new Set(), anchor = 0;
// `part` is what the synth plays, `wav` whether the WAV is playing; `at` is where the playhead rests, in quarter notes.
let part = null, wav = false, at = 0, frame = 0, waiting = 0, followed = true;

// ---- What is heard
const desk = () => encore.desk(props.desk);
const keysHeard = () => encoreBand.audible(song.tracks.map((track) => track.key), encoreBand.mix(props.desk));
const same = (some, others) => some.length === others.length && some.every((key) => others.includes(key));
const wavFits = () => Boolean(song.wav) && Math.abs(desk().tempo - song.tempo) < 0.01 && same(keysHeard(), song.audible);
const isPlaying = () => wav || part !== null;
const beats = () => song.bars * 4;
const loudness = () => Math.min(1, 1.7 / Math.sqrt(Math.max(1, song.tracks.length)));

// What goes round when it loops: the chosen bars from the first to the last, else everything. As [start, end) in quarter notes.
const region = () => (selected.size && loop.checked ? [Math.min(...selected) * 4, (Math.max(...selected) + 1) * 4] : [0, beats()]);
const position = () => {
  if (wav) return Math.min(beats(), (sound.currentTime * song.tempo) / 60);
  if (!part) return at;
  const [start, end] = part.region, beat = part.from + (part.at + Math.max(0, (encore.now() - part.time) / encore.stepSeconds(props.desk))) / 4;
  return part.round && beat >= end ? start + ((beat - start) % (end - start)) : Math.min(end, beat);
};

const halt = () => {
  at = song ? position() : 0;
  wav = false;
  sound.pause();
  if (part) encore.stop();
};
const playSynth = (from) => {
  const [start, end] = region(), round = loop.checked, first = Math.round(from * 4), length = (end - start) * 4, tracks = song.tracks;
  let heard = new Set(keysHeard());
  // What began before and still sounds.
  const held = notes.filter((note) => note[1] < first / 4 && note[2] > first / 4 + 0.05 && !tracks[note[4]].is_drum);
  const own = part = {
    desk: props.desk, parts: tracks.map(({ program, is_drum }) => ({ program, drums: is_drum })), loop: false, at: 0, time: Infinity,
    from: first / 4, region: [start, end], round, stepsPerLoop: round ? 1e7 : Math.max(1, end * 4 - first),
    level: (index) => (heard.has(tracks[index].key) ? loudness() : 0),
    hear: () => { heard = new Set(keysHeard()); encore.balance(); },
    notesAt: (step) => {
      const there = first + step >= end * 4 ? start * 4 + ((first + step - start * 4) % length) : first + step, back = (there - step) / 4;
      const found = (steps.get(there) ?? []).map(([pitch, begin, stop, velocity, track]) => [pitch, begin - back, stop - back, velocity, track]);
      return step ? found : [...found, ...held.map(([pitch, , stop, velocity, track]) => [pitch, 0, stop - back, velocity, track])];
    },
    onStep: (step, time) => { own.at = step; own.time = time; },
    onStop: () => {
      if (part !== own) return;
      at = position() >= end - 0.01 ? start : position();
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
  sound.currentTime = (from * 60) / song.tempo;
  sound.play().catch(() => { if (wav && sound.paused) { wav = false; showState(); } }); // a browser may want a click first
};
const play = (from) => {
  halt();
  const [start, end] = region();
  at = from >= end - 0.01 || (loop.checked && from < start) ? start : from;
  followed = true;
  wavFits() ? playWav(at) : playSynth(at);
  showState();
  follow();
};
const toggle = () => {
  if (!song) return;
  if (!isPlaying()) { play(at); return; }
  halt();
  showState();
  follow();
};
const seek = (beat) => {
  followed = true;
  beat = Math.min(beats() - 0.01, Math.max(0, beat));
  if (isPlaying()) play(beat); else { at = beat; showHead(); }
};
// The mixer, the tempo or the WAV changed: what sounds follows at once, from where it is.
const rebalance = () => {
  if (!song) return;
  if (wav ? !wavFits() : part && wavFits() && sound.readyState > 2) play(position());
  else part?.hear();
  showState();
};

// ---- Playhead
const format = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const showHead = () => {
  if (!song) { playhead.hidden = true; return; }
  const beat = position(), x = beat * pxPerBeat, seconds = (count) => (count * 60) / desk().tempo;
  playhead.hidden = !isPlaying() && beat === 0;
  playhead.style.transform = `translateX(${x}px)`;
  clock.textContent = `${format(seconds(beat))} / ${format(seconds(beats()))}`;
  if (scroller.scrollWidth <= scroller.clientWidth + 2 || !isPlaying()) return;
  // Turns the page when the playhead leaves it, unless a person has scrolled elsewhere.
  const seen = x >= scroller.scrollLeft && x <= scroller.scrollLeft + scroller.clientWidth - 30;
  if (!seen && followed) { scroller.scrollLeft = Math.max(0, x - 30); return; }
  followed = seen;
};
const goRound = () => {
  const [start, end] = region();
  if (wav && loop.checked && (sound.currentTime * song.tempo) / 60 >= end - 0.005) sound.currentTime = (start * 60) / song.tempo;
};
const follow = () => {
  cancelAnimationFrame(frame);
  if (song && wav) { goRound(); if (!wavFits()) rebalance(); }
  showHead();
  if (song && isPlaying()) frame = requestAnimationFrame(follow);
};
const showState = () => {
  const playing = Boolean(song) && isPlaying();
  playButton.classList.toggle("playing", playing);
  playButton.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${song?.title ?? props.slot}`);
  if (playing) element.dataset.playing = part ? "synth" : "wav"; else delete element.dataset.playing;
  if (song) element.dataset.audible = keysHeard().join(","); else delete element.dataset.audible;
};

// ---- Drawing
const colours = new Map();
const readColours = () => {
  const style = getComputedStyle(element), names = ["--roll-ground", "--roll-lane", "--roll-line", "--strong-line"];
  for (const name of [...names, ...(song?.tracks ?? []).map(({ colour }) => `--track-${colour}`)]) colours.set(name, style.getPropertyValue(name).trim());
};
const unpack = () => {
  const found = [], { ticks } = song;
  song.tracks.forEach((track, index) => {
    for (let i = 0; i + 3 < track.notes.length; i += 4) found.push([track.notes[i], track.notes[i + 1] / ticks, Math.min(beats(), track.notes[i + 2] / ticks), track.notes[i + 3], index]);
  });
  return found.sort((a, b) => a[1] - b[1]);
};
const layOut = () => {
  const pitched = notes.filter((note) => !song.tracks[note[4]].is_drum), drums = notes.filter((note) => song.tracks[note[4]].is_drum);
  panels = [];
  let y = 0;
  const add = (lanes, height, drums) => {
    panels.push({ lanes, height, drums, y, part: null, laneHeight: height / lanes.length, laneOf: new Map(lanes.map(([pitch], index) => [pitch, index])) });
    y += height;
  };
  if (pitched.length || !drums.length) add(encoreDraw.pitchRows(pitched, 24), PITCHED, false);
  if (drums.length) {
    const rows = [...new Set(drums.map((note) => note[0]))].sort((a, b) => DRUM_ORDER.indexOf(a) - DRUM_ORDER.indexOf(b) || b - a).map((pitch) => [pitch, DRUM_NAMES[pitch] ?? `Drum ${pitch}`]);
    if (panels.length) y += 5;
    add(rows, rows.length * Math.max(7, Math.min(PLAIN_DRUM, 170 / rows.length)), true);
  }
  panels.bottom = y + 2;
  gutter = drums.length ? 78 : 40;
};

const paint = () => {
  waiting = 0;
  if (!song || !canvas.width) return;
  const context = canvas.getContext("2d"), scale = devicePixelRatio || 1, left = scroller.scrollLeft, width = canvas.clientWidth, right = left + width;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.fillStyle = colours.get("--roll-ground");
  context.fillRect(0, 0, width, panels.bottom);
  context.translate(-left, 0);
  for (const { lanes, laneHeight, y, drums, height } of panels) {
    context.fillStyle = colours.get("--roll-lane");
    lanes.forEach(([pitch], index) => { if (drums ? index % 2 : [1, 3, 6, 8, 10].includes(pitch % 12)) context.fillRect(left, y + index * laneHeight, width, laneHeight); });
    if (drums && y > 0) { context.fillStyle = colours.get("--strong-line"); context.fillRect(left, y - 3, width, 1); }
    for (let beat = Math.floor(left / pxPerBeat); beat <= Math.min(beats(), right / pxPerBeat); beat++) {
      context.fillStyle = colours.get(beat % 4 ? "--roll-line" : "--strong-line");
      if (beat % 4 && pxPerBeat < 9) continue;
      context.fillRect(Math.round(beat * pxPerBeat), y, 1, height);
    }
  }
  const heard = new Set(keysHeard()), { pointed } = desk();
  const order = song.tracks.map((_, index) => index);
  // Silent tracks below, the one that the mixer points at on top.
  const rank = (index) => { const { key } = song.tracks[index]; return key === pointed ? 2 : heard.has(key) ? 1 : 0; };
  order.sort((a, b) => rank(a) - rank(b) || a - b);
  const places = new Map(order.map((index, place) => [index, place])), seen = [];
  let drawn = 0;
  for (let i = firstFrom(left / pxPerBeat - longest); i < notes.length && notes[i][1] * pxPerBeat < right; i++) if (notes[i][2] * pxPerBeat >= left) (seen[places.get(notes[i][4])] ??= []).push(notes[i]);
  for (const group of seen) {
    if (!group) continue;
    const track = song.tracks[group[0][4]], panel = panels.find(({ drums }) => drums === Boolean(track.is_drum));
    const clear = pointed === track.key ? (heard.has(track.key) ? 1 : 0.5) : !heard.has(track.key) ? QUIET : pointed ? 0.3 : 1;
    context.fillStyle = colours.get(`--track-${track.colour}`);
    const round = panel.laneHeight >= 6 && !panel.drums;
    for (const [pitch, start, end, velocity] of group) {
      const lane = panel.laneOf.get(pitch), x = start * pxPerBeat, loud = velocity / 127;
      context.globalAlpha = clear * (0.45 + 0.55 * loud);
      const height = panel.drums ? (panel.laneHeight - 2) * (0.4 + 0.6 * loud) : Math.max(2, panel.laneHeight - 0.8);
      const y = panel.y + (lane + 0.5) * panel.laneHeight - height / 2, wide = panel.drums ? Math.max(2, Math.min(5, pxPerBeat / 5)) : Math.max(1.5, (end - start) * pxPerBeat - 0.8);
      if (round && wide > 4) { context.beginPath(); context.roundRect(x, y, wide, height, Math.min(2, height / 3)); context.fill(); } else context.fillRect(x, y, wide, height);
      drawn += 1;
    }
  }
  context.globalAlpha = 1;
  element.dataset.notes = notes.length;
  element.dataset.drawn = drawn;
};
const repaint = () => { if (!waiting) waiting = requestAnimationFrame(paint); };
// The index of the first note that starts at `beat` or later.
const firstFrom = (beat) => {
  let low = 0, high = notes.length;
  while (low < high) { const middle = (low + high) >> 1; if (notes[middle][1] < beat) low = middle + 1; else high = middle; }
  return low;
};

const roomNow = () => Math.max(120, element.clientWidth - gutter - 3);
// In pixels: of a bar at first; of a quarter note when all of the song is in view, and when it is as wide as a browser draws.
const plainWidth = () => Math.max(leastWidth(), roomNow() / song.bars);
const leastScale = () => Math.max(4, roomNow() / (song.bars * 4));
const mostScale = () => Math.max(plainWidth() / 4, Math.min(160, 1e6 / (song.bars * 4)));
const draw = () => {
  element.classList.toggle("filled", Boolean(song));
  if (!song) return;
  const room = roomNow();
  barWidth = Math.min(4 * mostScale(), Math.max(4 * leastScale(), plainWidth() * zoom));
  pxPerBeat = barWidth / 4;
  space.style.width = `${barWidth * song.bars}px`;
  element.style.setProperty("--bar", `${barWidth}px`);
  const shift = HEADER;
  encoreDraw.labels(names, Object.assign(panels.map((panel) => ({ ...panel, y: panel.y + shift })), { bottom: panels.bottom + shift }), gutter, 0);
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(room * scale);
  canvas.height = Math.round(panels.bottom * scale);
  Object.assign(canvas.style, { width: `${room}px`, height: `${panels.bottom}px` });
  const counts = song.tracks.map(({ name, notes }) => `${name} ${notes.length / 4}`);
  canvas.setAttribute("aria-label", `Song of ${song.bars} bars, ${notes.length} notes: ${counts.join(", ")}`);
  readColours();
  paint();
  showChosen();
  showHead();
  zooms.show();
};
const zooms = encoreZoom({
  scroller, out: $(".out"), into: $(".in"), now: () => pxPerBeat, least: leastScale, most: mostScale, place: () => (isPlaying() || at ? position() : -1),
  set: (pixels) => { zoom = (4 * pixels) / plainWidth(); draw(); }, ready: () => Boolean(song),
});

// ---- Bars
const pretty = (symbol) => symbol.replace(/^([A-G])b/, "$1♭").replace(/^([A-G])#/, "$1♯");
// The chords of a bar where they change: [symbol, share of the bar before it, share that it lasts].
const changes = (bar) => {
  const symbols = song.chords[bar] ?? [], held = symbols.map((symbol, index) => [symbol, index]).filter(([symbol, index]) => index === 0 || symbol !== symbols[index - 1]);
  return held.map(([symbol, index], place) => [symbol, index / symbols.length, ((held[place + 1]?.[1] ?? symbols.length) - index) / symbols.length]);
};
// At which all chord names can be read, within reason.
const leastWidth = () => {
  const context = canvas.getContext("2d");
  context.font = `650 13.5px ${getComputedStyle(element).fontFamily}`;
  const needs = song.chords.flatMap((_, bar) => changes(bar).map(([symbol, , share]) => (context.measureText(pretty(symbol)).width + 7) / share + 8));
  return Math.min(160, Math.max(BAR, ...needs));
};
const labelOf = (bar) => `Bar ${bar + 1}${song.chords[bar]?.length ? `: ${song.chords[bar].join(" ")}` : ""}`;
const showBars = () => {
  let before = null;
  const buttons = Array.from({ length: song.bars }, (_, bar) => {
    const button = document.createElement("button"), number = document.createElement("span"), chords = document.createElement("span");
    button.type = "button";
    button.dataset.bar = bar;
    button.setAttribute("aria-label", labelOf(bar));
    number.className = "number";
    number.textContent = bar + 1;
    chords.className = "chords";
    changes(bar).forEach(([symbol, from, share]) => {
      const label = document.createElement("span");
      label.textContent = pretty(symbol);
      label.classList.toggle("again", symbol === before);
      label.style.left = `${from * 100}%`;
      label.style.width = `${share * 100}%`;
      before = symbol;
      chords.append(label);
    });
    button.append(number, chords);
    return button;
  });
  header.replaceChildren(...buttons);
};
const showChosen = () => {
  const chosen = [...selected].sort((a, b) => a - b);
  [...header.children].forEach((button, bar) => {
    button.setAttribute("aria-pressed", String(selected.has(bar)));
    button.tabIndex = bar === Math.min(anchor, song.bars - 1) ? 0 : -1;
  });
  const runs = [];
  for (const bar of chosen) if (runs.at(-1)?.[1] === bar) runs.at(-1)[1] = bar + 1; else runs.push([bar, bar + 1]);
  $(".chosen").replaceChildren(...runs.map(([start, end]) => {
    const mark = document.createElement("i");
    Object.assign(mark.style, { left: `${start * barWidth}px`, width: `${(end - start) * barWidth}px` });
    return mark;
  }));
  const words = runs.map(([start, end]) => (end - start > 1 ? `${start + 1}–${end}` : `${start + 1}`)).join(", ");
  $(".selection").textContent = chosen.length ? `${chosen.length > 1 ? "Bars" : "Bar"} ${words} chosen` : "Press a bar number to choose the bar.";
  $(".none").hidden = !chosen.length;
  $(".loop span").textContent = chosen.length ? "Loop chosen" : "Loop";
};
const choose = (next) => {
  selected = next;
  const bars = [...selected].sort((a, b) => a - b);
  props.value = { ...props.value, selected_bars: bars };
  showChosen();
  if (part?.round) play(position()); // what goes round changed
  trigger("select", { bars });
};
const press = (bar, extend, several) => {
  if (extend) {
    const [from, to] = [Math.min(anchor, bar), Math.max(anchor, bar)];
    choose(new Set([...(several ? selected : []), ...Array.from({ length: to - from + 1 }, (_, index) => from + index)]));
    return;
  }
  anchor = bar;
  const next = new Set(several ? selected : selected.has(bar) && selected.size === 1 ? [bar] : []);
  next.has(bar) ? next.delete(bar) : next.add(bar);
  choose(next);
};
const several = () => $(".several").getAttribute("aria-pressed") === "true";
header.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) press(Number(button.dataset.bar), event.shiftKey, event.ctrlKey || event.metaKey || several());
});
header.addEventListener("keydown", (event) => {
  const bar = Number(event.target.closest("button")?.dataset.bar ?? -1);
  const to = { ArrowLeft: bar - 1, ArrowRight: bar + 1, Home: 0, End: song.bars - 1, PageUp: bar - 8, PageDown: bar + 8 }[event.key];
  if (event.key === "Escape" && selected.size) { choose(new Set()); event.preventDefault(); return; }
  if (bar < 0 || to === undefined) return;
  event.preventDefault();
  const next = Math.min(song.bars - 1, Math.max(0, to));
  if (event.shiftKey) press(next, true, false);
  for (const button of header.children) button.tabIndex = Number(button.dataset.bar) === next ? 0 : -1;
  if (!event.shiftKey) anchor = next;
  header.children[next].focus();
});
$(".several").addEventListener("click", () => $(".several").setAttribute("aria-pressed", String(!several())));
$(".none").addEventListener("click", () => { choose(new Set()); header.children[Math.min(anchor, song.bars - 1)].focus({ preventScroll: true }); });

// ---- Pointing at notes
const noteAt = (event) => {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left + scroller.scrollLeft, y = event.clientY - box.top;
  const panel = panels.find((panel) => y >= panel.y && y < panel.y + panel.height);
  if (!panel) return null;
  const lane = Math.floor((y - panel.y) / panel.laneHeight), pitch = panel.lanes[lane]?.[0], beat = x / pxPerBeat, slack = 3 / pxPerBeat;
  let found = null;
  for (let i = firstFrom(beat - longest - slack); i < notes.length && notes[i][1] <= beat + slack; i++) {
    const [own, , end, , track] = notes[i];
    if (own === pitch && Boolean(song.tracks[track].is_drum) === panel.drums && (panel.drums ? notes[i][1] + slack * 2 >= beat : end >= beat)) found = notes[i];
  }
  return found;
};
canvas.addEventListener("pointermove", (event) => {
  const note = event.pointerType === "mouse" && song ? noteAt(event) : null;
  tip.hidden = !note;
  if (!note) return;
  const [pitch, start, , velocity, index] = note, track = song.tracks[index], box = $(".frame").getBoundingClientRect();
  const beat = (start % 4) + 1;
  tip.textContent = `${track.name}, ${track.is_drum ? (DRUM_NAMES[pitch] ?? `drum ${pitch}`).toLowerCase() : encoreDraw.pitchName(pitch)}, bar ${Math.floor(start / 4) + 1}, beat ${beat.toFixed(2).replace(/\.?0+$/, "")}, velocity ${velocity}`;
  tip.style.left = `${Math.max(4, Math.min(event.clientX - box.left + 12, box.width - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(2, event.clientY - box.top - 32)}px`;
});
canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
canvas.addEventListener("click", (event) => { if (song) seek((event.clientX - canvas.getBoundingClientRect().left + scroller.scrollLeft) / pxPerBeat); });

// ---- From the server
const update = () => {
  const next = props.value?.tracks && props.value.bars ? props.value : null, before = song;
  const goesOn = Boolean(next && before && next.song === before.song && next.bars === before.bars);
  const from = isPlaying() && next?.bars === before?.bars ? position() : null, file = next?.wav ? new URL(next.wav.url, location.href).href : "";
  if (wav ? file !== sound.src : !goesOn) halt(); // the synth plays on until the new WAV is there
  song = next;
  $(".title").textContent = song ? song.title : props.slot;
  $(".detail").textContent = song?.detail ?? "";
  for (const kind of ["midi", "wav"]) {
    const link = $(`a.${kind}`), made = song?.[kind];
    link.hidden = !made;
    if (made) { link.href = made.url; link.download = made.orig_name; } else link.removeAttribute("href");
  }
  $(".loop").hidden = clock.hidden = !song;
  if (!file) sound.removeAttribute("src");
  else if (sound.src !== file) { sound.preload = part ? "auto" : "metadata"; sound.src = file; }
  playButton.disabled = !song;
  const kept = [...selected].filter((bar) => bar < (song?.bars ?? 0) && song.bars === before?.bars);
  selected = new Set(song?.selected_bars ?? kept);
  if (song && !song.selected_bars && kept.length) props.value = { ...props.value, selected_bars: kept };
  if (song && !goesOn) {
    if (before?.bars !== song.bars) { zoom = 1; at = anchor = scroller.scrollLeft = 0; }
    desk().tempo = song.tempo;
    notes = unpack();
    longest = notes.reduce((most, note) => Math.max(most, note[2] - note[1]), 0);
    steps = encore.bySteps(notes);
    layOut();
  }
  if (song) { showBars(); playButton.disabled = !notes.length; }
  draw();
  if (song && notes.length && !isPlaying()) {
    if (from !== null) play(from);
    else if (song.play && !goesOn) play(0);
  }
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
  if (loop.checked) { play(region()[0]); return; }
  wav = false;
  at = 0;
  showState();
  follow();
});
sound.addEventListener("timeupdate", () => { if (song) goRound(); });
sound.addEventListener("canplay", () => { if (part) rebalance(); });
scroller.addEventListener("scroll", repaint, { passive: true });
loop.addEventListener("change", () => { if (part) play(position()); });
encoreBand.listen(props.desk, (what) => {
  if (!element.isConnected || !song) return;
  if (what === "mix") rebalance();
  repaint();
});
new MutationObserver(() => { if (song) { readColours(); repaint(); } }).observe(document.body, { attributeFilter: ["class"] });
let lastWidth = 0;
new ResizeObserver(() => { if (element.clientWidth && element.clientWidth !== lastWidth) { lastWidth = element.clientWidth; draw(); } }).observe(element);
loop.checked = props.loop;
watch("value", update);
update();
