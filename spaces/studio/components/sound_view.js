// The sound view: draws the takes of props.value and plays one of them at a time; another goes on at the same place.
const $ = (selector) => element.querySelector(selector);
const frame = $(".frame"), pictures = $(".pictures"), waveCanvas = $("canvas.wave"), melCanvas = $("canvas.mel"), gutter = $(".gutter"), axis = $(".axis");
const playButton = $(".play"), clock = $(".clock"), loop = $(".loop input"), playhead = $(".playhead"), takeList = $(".takes"), stepBox = $(".steps"), stepInput = $(".steps input");
const HEIGHTS = props.compact ? { wave: 72, mel: 132 } : { wave: 120, mel: 300 };
const shows = { wave: props.pictures.includes("wave"), mel: props.pictures.includes("mel") };
// `sounds` are the audio elements by the key of their take; `place` is where the playhead rests, a share of the sound.
let shown = null, takes = new Map(), chosen = null, sounds = new Map(), place = 0, ticking = 0, runId = null, history = [], looked = null;
element.classList.toggle("large", !props.compact);
// As high while it is empty as the pictures that come, with what is below them.
if (props.compact) $(".empty").style.minHeight = `${shows.mel ? HEIGHTS.mel + 40 + (shows.wave ? HEIGHTS.wave + 6 : 0) : HEIGHTS.wave + 19}px`;
waveCanvas.hidden = !shows.wave;
melCanvas.hidden = !shows.mel;
$(".legend i").style.background = encoreSound.GRADIENT;
$(".legend").hidden = !shows.mel;
playButton.hidden = props.silent;

const take = () => takes.get(chosen);
const sound = () => sounds.get(chosen);
const isPlaying = () => Boolean(sound() && !sound().paused);
const format = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// ---- What is heard
const length = () => (sound()?.duration > 0 ? sound().duration : take()?.seconds ?? 0);
const seek = (share) => {
  place = Math.min(0.999, Math.max(0, share));
  if (sound()) sound().currentTime = place * length();
  showHead();
};
const start = () => {
  encore.silence();
  sound().currentTime = (place >= 0.995 ? 0 : place) * length();
  sound().play().catch(() => {}); // a browser may want a click first
};
const toggle = () => { if (sound()) isPlaying() ? sound().pause() : start(); };
const choose = (key, focus = false) => {
  if (!takes.has(key)) return;
  const goesOn = isPlaying();
  if (goesOn) sound().pause();
  chosen = key;
  looked = null;
  showTake();
  if (goesOn && sound()) start();
  if (focus) takeList.querySelector("[aria-checked=true]")?.focus();
};
const hear = (one) => {
  const audio = document.createElement("audio");
  audio.preload = "auto";
  audio.src = one.wav.url;
  audio.addEventListener("play", () => { document.querySelectorAll("audio").forEach((other) => other !== audio && other.pause()); showState(); follow(); });
  audio.addEventListener("pause", () => { showState(); showHead(); });
  audio.addEventListener("ended", () => { place = 0; if (loop.checked) start(); else { showState(); showHead(); } });
  audio.addEventListener("loadedmetadata", () => one.key === chosen && showHead());
  element.append(audio);
  return audio;
};
// An audio element stays while its file does: what is heard is not broken off when another take arrives.
const renewSounds = () => {
  const kept = new Map();
  for (const one of takes.values()) {
    if (!one.wav) continue;
    const before = [...sounds.values()].find((audio) => audio.dataset.url === one.wav.url);
    const audio = before ?? hear(one);
    audio.dataset.url = one.wav.url;
    audio.dataset.take = one.key;
    kept.set(one.key, audio);
  }
  for (const audio of sounds.values()) if (![...kept.values()].includes(audio)) { audio.pause(); audio.remove(); }
  sounds = kept;
};

// ---- Playhead
const showHead = () => {
  if (isPlaying()) place = Math.min(1, sound().currentTime / (length() || 1));
  playhead.hidden = !shown || (!isPlaying() && place === 0);
  playhead.style.left = `${place * 100}%`;
  const seconds = length();
  clock.textContent = `${format(place * seconds)} / ${format(seconds)}`;
  pictures.setAttribute("aria-valuenow", Math.round(place * 100));
  pictures.setAttribute("aria-valuetext", `${(place * seconds).toFixed(1)} of ${seconds.toFixed(1)} seconds`);
};
const follow = () => {
  cancelAnimationFrame(ticking);
  showHead();
  if (isPlaying()) ticking = requestAnimationFrame(follow);
};
const showState = () => {
  const playing = isPlaying(), name = take() ? (takes.size > 1 ? take().name : shown.title) : props.slot;
  playButton.classList.toggle("playing", playing);
  playButton.disabled = !sound();
  playButton.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${name}`);
};

// ---- Pictures
const text = (tag, words, style, parent) => {
  const made = document.createElement(tag);
  made.textContent = words;
  Object.assign(made.style, style);
  parent.append(made);
  return made;
};
const draw = () => {
  if (!shown || !take()) return;
  const width = Math.round(pictures.clientWidth), one = take(), seconds = one.seconds;
  if (width < 20) return;
  const style = getComputedStyle(element), seen = looked ?? one;
  if (shows.wave) encoreSound.drawWave(waveCanvas, width, HEIGHTS.wave, seen.waveDecoded, { wave: style.getPropertyValue("--accent-text"), line: style.getPropertyValue("--strong-line") });
  if (shows.mel) encoreSound.drawMel(melCanvas, width, HEIGHTS.mel, seen.melDecoded);
  gutter.replaceChildren();
  if (shows.mel) {
    const top = shows.wave ? HEIGHTS.wave + 6 : 0;
    let taken = Infinity;
    for (const [share, words] of shown.ticks) {
      const y = top + (1 - share) * HEIGHTS.mel;
      if (y > taken - 15 || y < top + 5) continue;
      taken = y;
      text("span", words, { top: `${y}px` }, gutter);
    }
  }
  axis.replaceChildren();
  for (const [share, words] of encoreSound.times(seconds, width)) text("span", words, { left: `${share * 100}%` }, axis);
  const [from, to] = shown.part ?? [0, seconds];
  $(".before").hidden = !(from > 0.005);
  $(".before").style.width = `${(from / seconds) * 100}%`;
  $(".after").hidden = !(to < seconds - 0.005);
  $(".after").style.left = `${(to / seconds) * 100}%`;
  const what = `${takes.size > 1 ? `${one.name}: ` : ""}${shown.title}, ${seconds.toFixed(1)} seconds`;
  waveCanvas.setAttribute("aria-label", `Waveform. ${what}`);
  melCanvas.setAttribute("aria-label", `Mel spectrogram. ${what}`);
};
const showTake = () => {
  for (const button of takeList.children) {
    const own = button.dataset.key === chosen;
    button.setAttribute("aria-checked", String(own));
    button.tabIndex = own ? 0 : -1;
  }
  const one = take(), detail = [shown?.detail, one?.detail].filter(Boolean).join(", ");
  $(".detail").textContent = detail;
  $(".detail").title = detail;
  const link = $("a.wav");
  link.hidden = !one?.wav;
  if (one?.wav) { link.href = one.wav.url; link.download = one.wav.orig_name; link.setAttribute("aria-label", `Download ${one.name} as WAV`); } else link.removeAttribute("href");
  $(".loop").hidden = clock.hidden = !sound();
  stepBox.hidden = history.length < 2 || Boolean(shown?.run?.busy) || chosen !== history[0].key;
  stepInput.max = history.length;
  if (!looked) stepInput.value = history.length;
  showStep();
  draw();
  showState();
  showHead();
};
const showStep = () => { if (!stepBox.hidden) $(".steps output").textContent = `${history[stepInput.value - 1].done} of ${history.at(-1).steps}`; };

// What the sound looked like after each step of the run that is shown.
const remember = () => {
  const run = shown?.run;
  if (!run) { runId = null; history = []; return; }
  if (run.id !== runId) { runId = run.id; history = []; }
  const one = takes.get(run.key);
  if (one?.wave && run.done && run.done !== history.at(-1)?.done) {
    history.push({ key: run.key, done: run.done, steps: run.steps, waveDecoded: one.waveDecoded, melDecoded: one.melDecoded });
  }
};
const showRun = () => {
  const run = shown?.run, busy = Boolean(run?.busy);
  $(".making").hidden = !busy;
  element.dataset.step = run?.done ?? "";
  if (!busy) return;
  $(".making .text").textContent = run.text;
  const bar = $(".making .bar");
  bar.setAttribute("aria-valuemax", run.steps);
  bar.setAttribute("aria-valuenow", run.done);
  bar.firstChild.style.width = `${(100 * run.done) / run.steps}%`;
};

const update = () => {
  const before = shown, old = takes;
  shown = props.value?.takes ? props.value : null;
  const sameRun = Boolean(before?.run && shown?.run && before.run.id === shown.run.id);
  takes = new Map((shown?.takes ?? []).map((one) => {
    const was = old.get(one.key);
    const same = (kind) => was?.[kind]?.data === one[kind]?.data;
    return [one.key, {
      ...one,
      waveDecoded: same("wave") ? was?.waveDecoded ?? null : encoreSound.decodeWave(one.wave),
      melDecoded: same("mel") ? was?.melDecoded ?? null : encoreSound.decodeMel(one.mel),
    }];
  }));
  if (!sameRun || !takes.has(chosen)) { chosen = shown?.chosen ?? null; }
  if (!sameRun) place = 0;
  looked = null;
  renewSounds();
  remember();
  element.classList.toggle("filled", takes.size > 0);
  $(".title").textContent = shown?.title ?? props.slot;
  takeList.hidden = takes.size < 2;
  const focused = takeList.contains(document.activeElement);
  takeList.replaceChildren(...[...takes.values()].map(({ key, name }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("role", "radio");
    button.dataset.key = key;
    button.textContent = name;
    button.addEventListener("click", () => choose(key));
    return button;
  }));
  showRun();
  showTake();
  if (focused) takeList.querySelector("[aria-checked=true]")?.focus();
};

playButton.addEventListener("click", toggle);
pictures.addEventListener("click", (event) => {
  const box = pictures.getBoundingClientRect();
  if (take()) seek((event.clientX - box.left) / box.width);
});
pictures.addEventListener("keydown", (event) => {
  const second = 1 / Math.max(1, length()), by = { ArrowRight: second, ArrowUp: second, ArrowLeft: -second, ArrowDown: -second, PageUp: 5 * second, PageDown: -5 * second }[event.key];
  if (!take()) return;
  if (by) seek(place + by);
  else if (event.key === "Home") seek(0);
  else if (event.key === " " || event.key === "Enter") toggle();
  else return;
  event.preventDefault();
});
takeList.addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!by) return;
  const keys = [...takes.keys()];
  choose(keys[(keys.indexOf(chosen) + by + keys.length) % keys.length], true);
  event.preventDefault();
});
stepInput.addEventListener("input", () => {
  looked = history[stepInput.value - 1];
  showStep();
  draw();
});
if (props.view) {
  encoreSound.views[props.view] = {
    mark: (begin, length) => { if (shown) { shown.part = [begin, begin + length]; draw(); } },
  };
}
let lastWidth = 0;
new ResizeObserver(() => { if (pictures.clientWidth !== lastWidth) { lastWidth = pictures.clientWidth; draw(); } }).observe(element);
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
watch("value", update);
update();
