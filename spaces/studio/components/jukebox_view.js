// A song of the Jukebox: its takes (a level each) to be heard by turns at the same place, the words as they are sung, and the
// codes of every level as pictures.
const $ = (selector) => element.querySelector(selector);
const pictures = $(".pictures"), waveCanvas = $("canvas.wave"), strips = $(".strips"), lane = $(".lane"), lyrics = $(".lyrics"), sung = $(".sung");
const gutter = $(".gutter"), axis = $(".axis"), playButton = $(".play"), clock = $(".clock"), loop = $(".loop input"), playhead = $(".playhead"), takeList = $(".takes"), making = $(".making");
const WAVE_HEIGHT = 110, GAP = 5, LINE = 20, MAX_LINES = 3, SURE = 0.3;
// `sounds` are the audio elements by the key of their take; `place` is where the playhead rests, a share of the song.
let shown = null, takes = new Map(), chosen = null, sounds = new Map(), place = 0, ticking = 0, labels = [], texts = [], spokenLevel = "";
$(".scale").style.background = encoreCodes.GRADIENT;

const take = () => takes.get(chosen);
const sound = () => sounds.get(chosen);
const isPlaying = () => Boolean(sound() && !sound().paused);
const format = (seconds) => { const whole = Math.floor(seconds + 0.05); return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`; };
const make = (tag, name, text, parent) => {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text; // lyrics are somebody's text
  parent.append(made);
  return made;
};

// ---- What is heard; places are shares of the whole song, also where a take does not reach its end yet
const length = () => shown?.seconds ?? 0;
const reached = () => (sound()?.duration > 0 ? sound().duration : take()?.seconds ?? 0);
const seek = (share) => {
  place = Math.min(0.999, Math.max(0, share));
  if (sound()) sound().currentTime = Math.min(place * length(), Math.max(0, reached() - 0.05));
  showHead();
};
const start = () => {
  encore.silence();
  const from = place * length();
  sound().currentTime = from >= reached() - 0.05 ? 0 : from;
  sound().play().catch(() => {}); // a browser may want a click first
};
const toggle = () => { if (sound()) isPlaying() ? sound().pause() : start(); };
const choose = (key, focus = false) => {
  if (!takes.has(key)) return;
  const goesOn = isPlaying();
  if (goesOn) sound().pause();
  chosen = key;
  showTake();
  if (goesOn && sound()) start();
  if (focus) takeList.querySelector("[aria-checked=true]")?.focus();
};
const hear = (one) => {
  const audio = document.createElement("audio");
  audio.preload = "auto";
  audio.src = one.wav.url;
  audio.dataset.url = one.wav.url;
  audio.dataset.take = one.key;
  audio.addEventListener("play", () => { document.querySelectorAll("audio").forEach((other) => other !== audio && other.pause()); showState(); follow(); });
  audio.addEventListener("pause", () => { showState(); showHead(); });
  audio.addEventListener("ended", () => { place = 0; if (loop.checked && sound() === audio) start(); else { showState(); showHead(); } });
  audio.addEventListener("loadedmetadata", () => one.key === chosen && showHead());
  element.append(audio);
  return audio;
};
// A take that has grown or become sharper goes on sounding where it was, as soon as its new file is there.
const renewSounds = () => {
  const kept = new Map();
  for (const one of takes.values()) {
    if (!one.wav) continue;
    const before = sounds.get(one.key);
    if (before?.dataset.url === one.wav.url) { kept.set(one.key, before); continue; }
    const audio = hear(one);
    kept.set(one.key, audio);
    if (before && !before.paused) {
      audio.addEventListener("canplay", () => {
        if (before.paused || sounds.get(one.key) !== audio) { before.remove(); return; }
        audio.currentTime = before.currentTime;
        audio.play().catch(() => {});
        before.remove();
      }, { once: true });
    } else before?.remove();
  }
  for (const [key, audio] of sounds) if (!kept.has(key)) { audio.pause(); audio.remove(); }
  sounds = kept;
};

// ---- Playhead and words
const light = () => {
  const now = place * length(), lit = isPlaying() || place > 0;
  let from = Infinity, to = -Infinity;
  (shown?.words ?? []).forEach(([, start, end], index) => {
    const on = lit && now >= start && now < end;
    labels[index]?.classList.toggle("now", on);
    const text = texts[index];
    if (text && text.classList.contains("now") !== on) {
      text.classList.toggle("now", on);
      if (on) lyrics.scrollTop = Math.max(0, text.offsetTop - lyrics.offsetTop - lyrics.clientHeight / 2);
    }
    if (on) { from = Math.min(from, start); to = Math.max(to, end); }
  });
  sung.hidden = !(to > from);
  if (to > from) {
    sung.style.left = `${(100 * from) / length()}%`;
    sung.style.width = `${(100 * (Math.min(to, length()) - from)) / length()}%`;
  }
};
const showHead = () => {
  if (isPlaying()) place = Math.min(1, sound().currentTime / (length() || 1));
  playhead.hidden = !shown || (!isPlaying() && place === 0);
  playhead.style.left = `${place * 100}%`;
  const seconds = length();
  clock.textContent = `${format(place * seconds)} / ${format(seconds)}`;
  pictures.setAttribute("aria-valuenow", Math.round(place * 100));
  pictures.setAttribute("aria-valuetext", `${(place * seconds).toFixed(1)} of ${seconds.toFixed(1)} seconds`);
  light();
};
const follow = () => {
  cancelAnimationFrame(ticking);
  showHead();
  if (isPlaying()) ticking = requestAnimationFrame(follow);
};
const showState = () => {
  const playing = isPlaying();
  playButton.classList.toggle("playing", playing);
  playButton.disabled = !sound();
  playButton.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${take() ? `${shown.title}, ${take().name}` : props.slot}`);
};

// ---- Pictures
// Words beside one another in as few lines as there may be; those that find no room are seen when they are sung.
const layWords = (width) => {
  lane.replaceChildren();
  labels = [];
  const words = shown.words;
  lane.hidden = !words.length;
  if (!words.length) return 0;
  const ends = [];
  const hidden = [];
  words.forEach(([text, start, , confidence], index) => {
    const label = make("span", confidence < SURE ? "unsure" : "", text, lane);
    labels[index] = label;
    const needed = label.offsetWidth, left = Math.min((start / shown.seconds) * width, Math.max(0, width - needed));
    let line = ends.findIndex((end) => end + 3 <= left);
    if (line < 0 && ends.length < MAX_LINES) line = ends.push(0) - 1;
    label.style.left = `${left}px`;
    if (line < 0) hidden.push(label);
    else { ends[line] = left + needed; label.style.top = `${line * LINE}px`; }
  });
  hidden.forEach((label) => { label.classList.add("crowded"); label.style.top = `${(ends.length - 1) * LINE}px`; });
  lane.style.height = `${ends.length * LINE}px`;
  return ends.length * LINE + GAP;
};
const draw = () => {
  if (!shown || !take()) return;
  const width = Math.round(pictures.clientWidth), seconds = shown.seconds, one = take();
  if (width < 20) return;
  const style = getComputedStyle(element), colour = (name) => style.getPropertyValue(name);
  let y = layWords(width);
  sung.style.top = `${y}px`;
  sung.style.height = `${WAVE_HEIGHT}px`;
  // A take that is not all there is drawn as far as it goes.
  encoreCodes.drawWave(waveCanvas, width, WAVE_HEIGHT, one.waveDecoded, one.seconds / seconds, { wave: colour("--accent-text"), line: colour("--strong-line") });
  gutter.replaceChildren();
  make("span", "", "Sound", gutter).style.top = `${y + WAVE_HEIGHT / 2}px`;
  y += WAVE_HEIGHT + GAP;
  shown.levels.forEach((level, index) => {
    const canvas = strips.children[index];
    encoreCodes.draw(canvas, width, level.height, level.picture, { ground: colour("--roll-ground"), line: colour("--strong-line") });
    make("span", "", level.name, gutter).style.top = `${y + level.height / 2}px`;
    y += level.height + GAP;
  });
  axis.replaceChildren();
  for (const [share, words] of encoreSound.times(seconds, width)) make("span", "", words, axis).style.left = `${share * 100}%`;
  waveCanvas.setAttribute("aria-label", `Waveform. ${shown.title}, ${one.name}, ${seconds.toFixed(1)} seconds`);
  light();
};
const showLyrics = () => {
  lyrics.replaceChildren();
  texts = [];
  lyrics.hidden = !shown?.words.length;
  let line = null, number = null;
  shown?.words.forEach(([text, start, , confidence, row], index) => {
    if (row !== number) { line = make("p", "", "", lyrics); number = row; } else line.append(" ");
    texts[index] = make("span", confidence < SURE ? "unsure" : "", text, line);
    texts[index].addEventListener("click", () => seek((start + 0.001) / length()));
  });
  $(".unsure.legend").hidden = !shown?.words.some((word) => word[3] < SURE);
};

const showTake = () => {
  for (const button of takeList.children) {
    const own = button.dataset.key === chosen;
    button.setAttribute("aria-checked", String(own));
    button.tabIndex = own ? 0 : -1;
  }
  const one = take();
  $(".detail").textContent = [shown?.detail, one?.detail].filter(Boolean).join(", ");
  const link = $("a.wav");
  link.hidden = !one?.wav;
  if (one?.wav) { link.href = one.wav.url; link.download = one.wav.orig_name; link.setAttribute("aria-label", `Download ${one.name} as WAV`); } else link.removeAttribute("href");
  $(".loop").hidden = clock.hidden = !sound();
  draw();
  showState();
  showHead();
};
// A bar for each level: how far it is, how fast, and how long it will take.
const showRun = () => {
  const run = shown?.run;
  making.hidden = !run;
  element.dataset.busy = String(Boolean(run?.busy));
  element.dataset.done = run ? run.levels.reduce((sum, level) => sum + level.done, 0) : "";
  making.replaceChildren(...(run?.levels ?? []).map(({ name, done, total, text, now }) => {
    const item = document.createElement("li"), share = Math.round((100 * done) / Math.max(1, total));
    item.classList.toggle("now", Boolean(now));
    make("b", "", name, item);
    const bar = make("div", "bar", "", item);
    for (const [key, value] of Object.entries({ role: "progressbar", "aria-label": `Codes of ${name}`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": share })) bar.setAttribute(key, value);
    make("i", "", "", bar).style.width = `${share}%`;
    make("span", "text", text, item);
    return item;
  }));
  const now = run?.levels.find((level) => level.now);
  const words = now && run.busy ? `Sampling ${now.name}` : "";
  if (words !== spokenLevel) { spokenLevel = words; $(".spoken").textContent = words; }
};

const update = () => {
  const old = takes, before = shown;
  shown = props.value?.takes ? { ...props.value } : null;
  takes = new Map((shown?.takes ?? []).map((one) => {
    const was = old.get(one.key), same = was?.wave?.data === one.wave?.data;
    return [one.key, { ...one, waveDecoded: same ? was?.waveDecoded ?? null : encoreSound.decodeWave(one.wave) }];
  }));
  if (shown) {
    shown.levels = shown.levels.map((level, index) => {
      const was = before?.levels[index], same = was?.codes?.data === level.codes?.data;
      return { ...level, height: [18, 28, 52][Math.min(2, index)], picture: same ? was?.picture ?? null : encoreCodes.decode(level.codes) };
    });
    strips.replaceChildren(...shown.levels.map((level) => {
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", level.label);
      return canvas;
    }));
  }
  const another = before?.key !== shown?.key, next = shown?.chosen ?? null;
  // What a person has chosen stays, until a finer take is there.
  if (another || !takes.has(chosen) || next !== before?.chosen) chosen = next;
  if (another) { place = 0; for (const audio of sounds.values()) audio.pause(); }
  renewSounds();
  element.classList.toggle("filled", takes.size > 0);
  element.dataset.take = chosen ?? "";
  $(".title").textContent = shown?.title ?? props.slot;
  $(".moment").textContent = shown?.legend ?? "";
  $(".open").hidden = !shown?.levels.some((level) => level.open);
  takeList.hidden = takes.size < 2;
  const focused = takeList.contains(document.activeElement);
  takeList.replaceChildren(...[...takes.values()].map(({ key, name }) => {
    const button = make("button", "", name, takeList);
    button.type = "button";
    button.setAttribute("role", "radio");
    button.dataset.key = key;
    button.addEventListener("click", () => choose(key));
    return button;
  }));
  if (JSON.stringify(before?.words) !== JSON.stringify(shown?.words)) showLyrics();
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
let lastWidth = 0;
new ResizeObserver(() => { if (pictures.clientWidth !== lastWidth) { lastWidth = pictures.clientWidth; draw(); } }).observe(element);
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
watch("value", update);
update();
