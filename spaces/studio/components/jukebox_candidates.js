// Candidates: props.value is {cards: [{key, name, detail, seconds, goal, wave, wav, busy, share}], chosen: [keys]}, or null.
const $ = (selector) => element.querySelector(selector);
const list = $(".cards"), HEIGHT = 64;
let cards = [], chosen = [], parts = new Map(), ticking = 0;

const playing = () => cards.find(({ key }) => { const { audio } = parts.get(key); return audio && !audio.paused; });
const share = ({ key, goal }) => { const { audio } = parts.get(key); return audio ? audio.currentTime / goal : 0; };

const store = (key, on) => {
  chosen = cards.map((card) => card.key).filter((other) => (other === key ? on : chosen.includes(other)));
  props.value = { ...props.value, chosen };
  showChoice();
  trigger("input");
};
const showChoice = () => {
  for (const { key, name } of cards) {
    const { item, box } = parts.get(key), on = chosen.includes(key);
    item.classList.toggle("chosen", on);
    box.checked = on;
    box.setAttribute("aria-label", `Choose ${name}`);
  }
};
const showHead = (card) => {
  const { audio, playhead, picture, button } = parts.get(card.key), on = Boolean(audio && !audio.paused);
  playhead.hidden = !audio || (!on && audio.currentTime === 0);
  playhead.style.left = `${100 * share(card)}%`;
  picture.setAttribute("aria-valuenow", Math.round(100 * share(card)));
  picture.setAttribute("aria-valuetext", `${(share(card) * card.goal).toFixed(1)} of ${card.goal.toFixed(1)} seconds`);
  button.classList.toggle("playing", on);
  button.disabled = !audio;
  button.setAttribute("aria-label", `${on ? "Pause" : "Play"} ${card.name}`);
};
const follow = () => {
  cancelAnimationFrame(ticking);
  const card = playing();
  if (!card) return;
  showHead(card);
  ticking = requestAnimationFrame(follow);
};
const find = (key) => cards.find((card) => card.key === key);
const toggle = (key) => {
  const { audio } = parts.get(key);
  if (!audio) return;
  if (!audio.paused) { audio.pause(); return; }
  encore.silence();
  audio.play().catch(() => {}); // a browser may want a click first
};
const seek = (key, place) => {
  const { audio } = parts.get(key);
  if (audio) audio.currentTime = Math.min(Math.max(0, place) * find(key).goal, Math.max(0, (audio.duration || 0) - 0.05));
};
const hear = (card, before) => {
  const audio = document.createElement("audio");
  audio.preload = "auto";
  audio.src = card.wav.url;
  audio.dataset.url = card.wav.url;
  audio.dataset.take = card.key;
  audio.addEventListener("play", () => { document.querySelectorAll("audio").forEach((other) => other !== audio && other.pause()); showHead(find(card.key)); follow(); });
  for (const name of ["pause", "seeked", "ended"]) audio.addEventListener(name, () => {
    if (name === "ended") audio.currentTime = 0;
    if (find(card.key) && parts.get(card.key).audio === audio) showHead(find(card.key));
  });
  element.append(audio);
  // A candidate that has grown goes on where it was heard.
  if (before && !before.paused) audio.addEventListener("canplay", () => {
    if (!before.paused && parts.get(card.key)?.audio === audio) { audio.currentTime = before.currentTime; audio.play().catch(() => {}); }
    before.remove();
  }, { once: true });
  else before?.remove();
  return audio;
};

const make = (tag, name, parent) => { const made = document.createElement(tag); made.className = name; parent.append(made); return made; };
const build = ({ key }) => {
  const item = make("li", "card-of", list), head = make("div", "head", item), button = make("button", "play", head);
  item.dataset.key = key;
  button.type = "button";
  button.innerHTML = '<svg viewBox="0 0 16 16" aria-hidden="true"><path class="go" d="M4 2.5v11l9-5.5z"/><path class="halt" d="M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z"/></svg>';
  button.addEventListener("click", () => toggle(key));
  const words = make("div", "words", head), title = make("div", "title", words), detail = make("div", "detail", words);
  const label = make("label", "choose", head), box = make("input", "", label);
  box.type = "checkbox";
  make("span", "", label).textContent = "Choose";
  box.addEventListener("change", () => store(key, box.checked));
  const picture = make("div", "picture", item), canvas = make("canvas", "", picture), playhead = make("div", "playhead", picture);
  for (const [name, value] of Object.entries({ role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": 100 })) picture.setAttribute(name, value);
  canvas.setAttribute("aria-hidden", "true");
  picture.addEventListener("click", (event) => { const area = picture.getBoundingClientRect(); seek(key, (event.clientX - area.left) / area.width); });
  picture.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key], card = find(key);
    if (by) seek(key, share(card) + by / card.goal);
    else if (event.key === "Home") seek(key, 0);
    else if (event.key === " " || event.key === "Enter") toggle(key);
    else return;
    event.preventDefault();
  });
  const bar = make("div", "bar", item);
  for (const [name, value] of Object.entries({ role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 })) bar.setAttribute(name, value);
  make("i", "", bar);
  return { item, button, title, detail, label, box, picture, canvas, playhead, bar, audio: null };
};
const draw = () => {
  const style = getComputedStyle(element);
  for (const card of cards) {
    const { canvas, picture } = parts.get(card.key), width = Math.round(picture.clientWidth);
    if (width < 20) continue;
    encoreCodes.drawWave(canvas, width, HEIGHT, card.waveDecoded, card.seconds / card.goal, { wave: style.getPropertyValue("--accent-text"), line: style.getPropertyValue("--strong-line") });
  }
};
const show = (card) => {
  const part = parts.get(card.key), { audio } = part;
  part.title.textContent = card.name;
  part.detail.textContent = card.detail;
  part.picture.setAttribute("aria-label", `Place in ${card.name}`);
  part.label.hidden = card.busy || !card.ready;
  part.bar.hidden = !card.busy;
  part.bar.setAttribute("aria-label", `${card.name} is being made`);
  part.bar.setAttribute("aria-valuenow", Math.round(100 * card.share));
  part.bar.firstChild.style.width = `${100 * card.share}%`;
  if (!card.wav) { audio?.remove(); part.audio = null; }
  else if (audio?.dataset.url !== card.wav.url) part.audio = hear(card, audio);
  showHead(card);
};
const update = () => {
  const old = new Map(cards.map((card) => [card.key, card]));
  cards = (props.value?.cards ?? []).map((card) => {
    const was = old.get(card.key), same = was?.wave?.data === card.wave?.data;
    return { ...card, waveDecoded: same ? was?.waveDecoded ?? null : encoreSound.decodeWave(card.wave) };
  });
  chosen = props.value?.chosen ?? [];
  for (const [key, { item, audio }] of parts) if (!find(key)) { audio?.pause(); audio?.remove(); item.remove(); parts.delete(key); }
  for (const card of cards) {
    if (!parts.has(card.key)) parts.set(card.key, build(card));
    show(card);
  }
  element.dataset.busy = String(cards.some((card) => card.busy));
  element.dataset.ready = String(cards.filter((card) => card.ready).length);
  showChoice();
  draw();
};
let lastWidth = 0;
new ResizeObserver(() => { if (list.clientWidth !== lastWidth) { lastWidth = list.clientWidth; draw(); } }).observe(element);
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
watch("value", update);
update();
