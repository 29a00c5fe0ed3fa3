// The tray: props.value is {clips: [{id, name, detail, kind, own, thumbnail, places}], said, undo, fresh}, the newest first.
// Files are asked for when they are needed, and come through window.encoreTray.deliver.
const $ = (selector) => element.querySelector(selector);
const list = $(".clips"), toggle = $(".toggle"), said = $(".said"), undo = $(".undo");
const dock = document.getElementById("tray"), OPEN_KEY = "encore-tray-open";
const parts = new Map(), urls = new Map(), waiting = new Map();
let clips = [], playing = null, wanted = null, number = 0, ticking = 0;

const audio = document.createElement("audio");
audio.preload = "auto";
element.append(audio);

// ---- Files

const ask = (id, what, then) => { waiting.set((number += 1), then); trigger("fetch", { id, what, number }); };
const saveAs = ({ url, orig_name }) => {
  const link = document.createElement("a");
  link.href = url;
  link.download = orig_name;
  element.append(link);
  link.click();
  link.remove();
};
const deliver = (value) => {
  const then = waiting.get(value?.asked?.number);
  if (!then) return;
  waiting.delete(value.asked.number);
  then(value.file);
};
const save = () => { waiting.set((number += 1), (file) => file && saveAs(file)); trigger("save", { number }); };

// ---- Sound

const find = (id) => clips.find((clip) => clip.id === id);
const showPlaying = () => {
  for (const { id, name } of clips) {
    const { play, line } = parts.get(id), isOn = id === playing && !audio.paused;
    play.classList.toggle("playing", isOn);
    play.classList.toggle("waiting", id === wanted);
    play.setAttribute("aria-busy", String(id === wanted));
    play.setAttribute("aria-label", `${isOn ? "Pause" : "Play"} ${name}`);
    line.hidden = id !== playing || (!isOn && audio.currentTime === 0);
    if (id === playing) line.style.left = `${(100 * audio.currentTime) / (audio.duration || 1)}%`;
  }
  element.dataset.playing = playing && !audio.paused ? playing : "";
};
const follow = () => {
  cancelAnimationFrame(ticking);
  showPlaying();
  if (!audio.paused) ticking = requestAnimationFrame(follow);
};
const start = (id, url) => {
  encore.silence();
  playing = id;
  audio.src = url;
  audio.play().catch(() => {}); // a browser may want a click first
  follow();
};
const hear = (id) => {
  wanted = id;
  ask(id, "wav", (file) => {
    if (file) urls.set(id, file.url);
    const isWanted = wanted === id;
    if (isWanted) wanted = null;
    if (isWanted && file && find(id)) start(id, file.url);
    else showPlaying();
  });
  showPlaying();
};
const playOrPause = (id) => {
  if (playing === id && !audio.paused) audio.pause();
  else if (playing === id && audio.currentTime > 0 && !audio.ended) { encore.silence(); audio.play().catch(() => {}); }
  else if (urls.has(id)) start(id, urls.get(id));
  else hear(id);
};
for (const name of ["play", "pause", "seeked"]) audio.addEventListener(name, follow);
audio.addEventListener("play", () => document.querySelectorAll("audio").forEach((other) => other !== audio && other.pause()));
audio.addEventListener("ended", () => { audio.currentTime = 0; follow(); });
// Files are kept on the server for a while; one that is gone is asked for again, once.
audio.addEventListener("error", () => { if (playing && urls.delete(playing)) hear(playing); });

// ---- Pictures

const SVG = "http://www.w3.org/2000/svg", WIDE = 255, HIGH = 64;
const path = (svg, className, d) => {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", className);
  made.setAttribute("d", d);
  svg.append(made);
};
const draw = (svg, { kind, data }) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  if (kind === "audio") {
    const columns = bytes.length / 2, y = (value) => (HIGH * (1 - value / 255)).toFixed(1), x = (column) => ((WIDE * (column + 0.5)) / columns).toFixed(1);
    const upper = [], lower = [];
    for (let column = 0; column < columns; column++) {
      const low = bytes[2 * column], high = Math.max(bytes[2 * column + 1], low + 4);
      upper.push(`${x(column)} ${y(high)}`);
      lower.unshift(`${x(column)} ${y(low)}`);
    }
    path(svg, "tones", `M${[...upper, ...lower].join("L")}Z`);
    return;
  }
  const drawn = { tones: "", hits: "" };
  for (let at = 0; at < bytes.length; at += 4) {
    const [begin, end, height, isDrum] = bytes.slice(at, at + 4);
    const y = (HIGH - 8) * (1 - height / 255) + 2;
    drawn[isDrum ? "hits" : "tones"] += `M${begin} ${y.toFixed(1)}h${Math.max(2, end - begin - 0.5)}v4h-${Math.max(2, end - begin - 0.5)}z`;
  }
  for (const [name, d] of Object.entries(drawn)) if (d) path(svg, name, d);
};

// ---- Clips

const make = (tag, className, parent) => {
  const made = document.createElement(tag);
  made.className = className;
  if (tag === "button") made.type = "button";
  parent.append(made);
  return made;
};
const build = ({ id, kind, own, thumbnail }) => {
  const item = document.createElement("li");
  item.className = "clip";
  item.dataset.id = id;
  const heard = make("div", "heard", item), play = make("button", "play", heard);
  play.innerHTML = '<svg viewBox="0 0 16 16" aria-hidden="true"><path class="go" d="M4 2.5v11l9-5.5z"/><path class="halt" d="M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z"/></svg>';
  play.addEventListener("click", () => playOrPause(id));
  const picture = make("div", "picture", heard), svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  draw(svg, thumbnail);
  picture.append(svg);
  const line = make("div", "line", picture);
  const words = make("div", "words", item), name = make("input", "name", words), detail = make("div", "detail", words);
  name.maxLength = 80;
  name.spellcheck = false;
  const rename = () => {
    const clip = find(id), chosen = name.value.trim();
    if (!clip || chosen === clip.name) return;
    if (!chosen) { name.value = clip.name; return; }
    clip.name = chosen;
    trigger("rename", { id, name: chosen });
  };
  name.addEventListener("blur", rename);
  name.addEventListener("keydown", (event) => {
    if (event.key === "Enter") name.blur();
    else if (event.key === "Escape") { name.value = find(id)?.name ?? ""; name.blur(); }
    event.stopPropagation(); // what a tab does with keys is not meant here
  });
  const acts = make("div", "acts", item), send = make("button", "opens-menu", acts);
  send.textContent = "Send to…";
  send.setAttribute("aria-haspopup", "menu");
  send.setAttribute("aria-expanded", "false");
  encoreMenu.attach(send, () => find(id)?.places ?? [], ({ title }) => trigger("send", { id, title }), "Send to");
  const fetches = (kind === "midi" ? [["own", "MIDI"], ["wav", "WAV"]] : [["own", own.toUpperCase()]]).map(([what, text]) => {
    const button = make("button", `fetch ${what}`, acts);
    button.textContent = text;
    button.addEventListener("click", () => ask(id, what, (file) => file && saveAs(file)));
    return [button, text];
  });
  const remove = make("button", "remove", acts);
  remove.innerHTML = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.7 9h6.6l.7-9M6.7 7v4M9.3 7v4"/></svg>';
  remove.addEventListener("click", () => {
    const at = clips.findIndex((clip) => clip.id === id), next = clips[at + 1] ?? clips[at - 1];
    (next ? parts.get(next.id).remove : toggle).focus();
    trigger("remove", { id });
  });
  return { item, play, line, name, detail, send, fetches, remove };
};
const show = (clip) => {
  const { name, detail, send, fetches, remove } = parts.get(clip.id);
  if (document.activeElement !== name) name.value = clip.name;
  name.setAttribute("aria-label", `Name of the clip ${clip.name}`);
  detail.textContent = clip.detail;
  send.disabled = !clip.places.length;
  send.setAttribute("aria-label", `Send ${clip.name} to…`);
  for (const [button, text] of fetches) button.setAttribute("aria-label", `Download ${clip.name} as ${text}`);
  remove.setAttribute("aria-label", `Delete ${clip.name}`);
};
const update = () => {
  const value = props.value ?? { clips: [] };
  clips = value.clips.map((clip) => ({ ...clip }));
  for (const [id, { item }] of parts) {
    if (find(id)) continue;
    if (playing === id) { audio.pause(); playing = null; }
    item.remove();
    parts.delete(id);
  }
  clips.forEach((clip, index) => {
    if (!parts.has(clip.id)) parts.set(clip.id, build(clip));
    const { item } = parts.get(clip.id);
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
    item.classList.toggle("fresh", clip.id === value.fresh);
    show(clip);
  });
  if (value.fresh) list.scrollLeft = 0;
  $(".count").textContent = clips.length;
  toggle.setAttribute("aria-label", `Your clips, ${clips.length}`);
  const fresh = find(value.fresh);
  said.textContent = value.said || (fresh ? `New: “${fresh.name}”.` : "");
  undo.hidden = !value.undo;
  element.dataset.count = clips.length;
  showPlaying();
  measure();
};

// ---- The dock

// The page ends above the tray, and what has the focus is scrolled above it.
const measure = () => document.documentElement.style.setProperty("--tray-height", `${dock.offsetHeight}px`);
const open = (isOpen) => {
  element.classList.toggle("closed", !isOpen);
  dock.classList.toggle("closed", !isOpen);
  toggle.setAttribute("aria-expanded", String(isOpen));
  measure();
};
const isOpen = () => toggle.getAttribute("aria-expanded") === "true";
toggle.addEventListener("click", () => {
  open(!isOpen());
  try { localStorage.setItem(OPEN_KEY, isOpen() ? "1" : ""); } catch { /* a browser may keep nothing */ }
});
undo.addEventListener("click", () => { toggle.focus(); trigger("bring_back", { id: props.value?.undo }); });
// Another window may have changed it.
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") trigger("refresh"); });
new ResizeObserver(measure).observe(dock);
let wasOpen = "";
try { wasOpen = localStorage.getItem(OPEN_KEY) ?? ""; } catch { /* a browser may keep nothing */ }
window.encoreTray = { deliver, save };
watch("value", update);
update();
open(Boolean(wasOpen));
