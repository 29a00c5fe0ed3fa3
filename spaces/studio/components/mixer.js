// The mixer: props.value is {tracks: [{key, name, colour, count}], muted: [keys], solo: [keys]}, or null.
const $ = (selector) => element.querySelector(selector);
const list = $(".strips");
let value = null;

const show = () => {
  const heard = new Set(encoreBand.audible(value.tracks.map((track) => track.key), value));
  for (const strip of list.children) {
    const { key } = strip.dataset;
    strip.classList.toggle("silent", !heard.has(key));
    strip.querySelector(".mute").setAttribute("aria-pressed", String(value.muted.includes(key)));
    strip.querySelector(".solo").setAttribute("aria-pressed", String(value.solo.includes(key)));
  }
  $(".sum").textContent = heard.size === value.tracks.length ? `${heard.size} ${heard.size === 1 ? "instrument" : "instruments"}` : `${heard.size} of ${value.tracks.length} heard`;
  $(".all").hidden = !value.muted.length && !value.solo.length;
};

const store = (next) => {
  value = { ...value, ...next };
  props.value = value;
  show();
  encoreBand.setMix(props.desk, { muted: value.muted, solo: value.solo });
  trigger("input");
};
const toggle = (name, key) => store({ [name]: value[name].includes(key) ? value[name].filter((other) => other !== key) : [...value[name], key] });

const build = (tag, name, text, parent) => {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text; // names may come from files
  parent.append(made);
  return made;
};
const strip = ({ key, name, colour, count }) => {
  const row = document.createElement("li");
  row.className = "strip";
  row.dataset.key = key;
  row.style.setProperty("--swatch", `var(--track-${colour})`);
  build("i", "swatch", "", row).setAttribute("aria-hidden", "true");
  const words = build("div", "words", "", row);
  build("div", "name", name, words).title = name;
  build("div", "count", `${count} ${count === 1 ? "note" : "notes"}`, words);
  for (const [action, label] of [["mute", "Mute"], ["solo", "Solo"]]) {
    const button = build("button", action, label, row);
    button.type = "button";
    button.setAttribute("aria-label", `${label} ${name}`);
    button.addEventListener("click", () => toggle(action === "mute" ? "muted" : "solo", key));
  }
  words.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && encoreBand.point(props.desk, key));
  words.addEventListener("pointerleave", () => encoreBand.point(props.desk, null));
  return row;
};

const update = () => {
  value = props.value?.tracks?.length ? props.value : null;
  element.classList.toggle("filled", Boolean(value));
  const focused = list.contains(document.activeElement) ? [document.activeElement.closest(".strip").dataset.key, document.activeElement.className] : null;
  list.replaceChildren(...(value?.tracks ?? []).map(strip));
  if (focused) list.querySelector(`.strip[data-key="${focused[0]}"] .${focused[1]}`)?.focus();
  encoreBand.point(props.desk, null);
  encoreBand.setMix(props.desk, { muted: value?.muted ?? [], solo: value?.solo ?? [] });
  if (value) show();
};
$(".all").addEventListener("click", () => { store({ muted: [], solo: [] }); list.querySelector("button")?.focus(); });
watch("value", update);
update();
