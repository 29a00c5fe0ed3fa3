// The chord editor: props.value is {text, bars, error, error_bar}. The text is the truth; the bars are another way to write it.
const $ = (selector) => element.querySelector(selector);
const grid = $(".grid"), text = $(".text"), panel = $(".panel"), symbolsInput = $(".symbols"), count = $(".count"), preset = $(".preset");
const ROOTS = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"], NO_CHORD = "N.C.", HISTORY = 60, MOST = 16;
// As written, as shown, and what is heard of it above the root.
const KINDS = [["", "Major", [0, 4, 7]], ["m", "Minor", [0, 3, 7]], ["dim", "Dim", [0, 3, 6]], ["aug", "Aug", [0, 4, 8]], ["7", "7", [0, 4, 7, 10]], ["maj7", "Maj7", [0, 4, 7, 11]], ["m7", "m7", [0, 3, 7, 10]], ["m7b5", "m7♭5", [0, 3, 6, 10]], ["sus4", "sus4", [0, 5, 7]]];
const SEMITONES = { C: 0, D: 2, E: 4, F: 5, G: 7, A: 9, B: 11 };
let value = { text: "", bars: 8 }, bars = [], found = { wrong: [], heard: {} }, history = [], open = null, slot = 0, cursor = 0, checking = null, telling = null;

// ---- Text and bars
const parse = (given) => {
  const parts = given.replaceAll("\n", "|").split("|").map((part) => part.split(/\s+/).filter(Boolean)), read = [];
  const rows = given.includes("|") || given.includes("\n") ? parts.filter((part) => part.length) : (parts[0] ?? []).map((symbol) => [symbol]);
  for (const row of rows.slice(0, props.max_bars)) {
    const symbols = row.length === 1 && row[0] === "%" && read.length ? read.at(-1) : row, bar = [];
    for (const symbol of symbols) bar.push(symbol === "/" ? bar.at(-1) ?? read.at(-1)?.at(-1) ?? symbol : symbol);
    read.push(bar);
  }
  return read;
};
const write = (list) => (list.every((bar) => bar.length === 1) ? list.map(([symbol]) => symbol).join(" ") : list.length ? `| ${list.map((bar) => bar.join(" ")).join(" | ")} |` : "");
const pretty = (symbol) => symbol.replace(/([A-G0-9(/])b(?=\d|$|[A-Za-z/()])/g, "$1♭").replaceAll("#", "♯");
const split = (symbol) => /^([A-G](?:#+|b+)?)(.*)$/.exec(symbol);
const rootNumber = (root) => (((SEMITONES[root[0]] + root.split("#").length - root.split("b").length) % 12) + 12) % 12;

// ---- Changes by a person
const store = (next, { remember = true, soon = 400 } = {}) => {
  if (remember) { history.push({ text: value.text, bars: value.bars }); if (history.length > HISTORY) history.shift(); }
  value = { text: next.text ?? value.text, bars: Math.min(props.max_bars, Math.max(1, next.bars ?? value.bars)), error: null, error_bar: null };
  props.value = value;
  bars = parse(value.text);
  check();
  show();
  clearTimeout(telling);
  telling = setTimeout(() => trigger("input"), soon);
};
// New bars; a song as long as its progression stays so.
const storeBars = (list) => {
  const length = value.bars === bars.length ? Math.max(1, list.length) : Math.max(value.bars, list.length);
  store({ text: write(list), bars: length });
};
const replaceBar = (bar, symbols) => storeBars(bars.map((own, index) => (index === bar ? symbols : own)));
const check = () => {
  clearTimeout(checking);
  const asked = value.text;
  checking = setTimeout(async () => {
    try {
      const answer = await server.check_progression(asked);
      if (asked !== value.text || !answer) return;
      found = answer;
      show();
    } catch { /* the server is away: nothing is marked */ }
  }, 250);
};
const undo = () => {
  const last = history.pop();
  if (!last) return;
  store(last, { remember: false });
};

// ---- Showing
const showText = () => {
  if (document.activeElement !== text || text.value !== value.text) text.value = value.text;
  text.style.height = "auto";
  if (text.scrollHeight) text.style.height = `${Math.min(132, text.scrollHeight + 2)}px`;
};
const chordWords = (bar, into) => bar.forEach((symbol, index) => {
  if (index) into.append(Object.assign(document.createElement("em"), { textContent: "·" }));
  const word = document.createElement("span");
  word.textContent = pretty(symbol);
  word.classList.toggle("wrong", found.wrong.includes(symbol));
  into.append(word);
});
const showGrid = () => {
  const focused = grid.contains(document.activeElement);
  cursor = Math.min(cursor, Math.max(0, bars.length - 1));
  const cells = bars.map((bar, index) => {
    const cell = document.createElement("button"), words = document.createElement("b");
    const wrong = bar.some((symbol) => found.wrong.includes(symbol)) || value.error_bar === index + 1;
    cell.type = "button";
    cell.className = "bar";
    cell.dataset.bar = index;
    cell.tabIndex = index === cursor ? 0 : -1;
    cell.classList.toggle("wrong", wrong);
    cell.classList.toggle("open", index === open);
    cell.classList.toggle("beyond", index >= value.bars);
    cell.setAttribute("aria-label", `Bar ${index + 1}: ${bar.join(" ")}${wrong ? ", cannot be read" : ""}${index >= value.bars ? ", not played" : ""}`);
    cell.setAttribute("aria-expanded", String(index === open));
    const length = bar.join("").length;
    words.className = bar.length > 2 || (bar.length > 1 && length > 7) || length > 11 ? "many" : bar.length > 1 || length > 5 ? "two" : "";
    chordWords(bar, words);
    cell.append(Object.assign(document.createElement("i"), { textContent: index + 1 }), words);
    return cell;
  });
  grid.replaceChildren(...cells);
  $(".add").disabled = bars.length >= props.max_bars;
  if (focused) (cells[cursor] ?? $(".add")).focus({ preventScroll: true });
};
const showSum = () => {
  const own = bars.length;
  const plural = (number) => `${number} ${number === 1 ? "bar" : "bars"}`;
  $(".sum").textContent = !own ? "" : own > value.bars ? `${plural(own)}; the song plays the first ${value.bars}`
    : own === value.bars ? `${plural(own)}, played once` : `${plural(own)}, looped to ${value.bars}`;
  for (const button of element.querySelectorAll(".length button")) button.setAttribute("aria-pressed", String(Number(button.dataset.bars) === value.bars));
  if (document.activeElement !== count) count.value = value.bars;
  preset.value = String(presetTexts.indexOf(write(bars)));
  $(".undo").disabled = !history.length;
};
const showError = () => {
  const message = value.error ?? found.error;
  $(".error").hidden = !message;
  if ($(".error").textContent !== (message ?? "")) $(".error").textContent = message ?? "";
  element.classList.toggle("bad", Boolean(message));
};
const radio = (label, checked, name, action) => {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
  button.setAttribute("role", "radio");
  button.setAttribute("aria-checked", String(checked));
  if (name) button.setAttribute("aria-label", name);
  button.addEventListener("click", action);
  return button;
};
const fill = (group, buttons) => {
  const at = [...group.children].indexOf(document.activeElement);
  const first = Math.max(0, buttons.findIndex((button) => button.getAttribute("aria-checked") === "true"));
  buttons.forEach((button, index) => { button.tabIndex = index === first ? 0 : -1; });
  group.replaceChildren(...buttons);
  if (at >= 0) (buttons[at] ?? buttons.at(-1)).focus({ preventScroll: true });
};
const showPanel = () => {
  panel.hidden = open === null;
  if (open === null) return;
  const bar = bars[open];
  slot = Math.min(slot, bar.length - 1);
  const symbol = bar[slot], [, root, kind] = split(symbol) ?? [null, null, null];
  $(".which").textContent = `Bar ${open + 1}`;
  symbolsInput.setAttribute("aria-label", `Chords of bar ${open + 1}; several share the bar`);
  if (document.activeElement !== symbolsInput) symbolsInput.value = bar.join(" ");
  symbolsInput.classList.toggle("bad", bar.some((own) => found.wrong.includes(own)));
  fill($(".chips"), bar.map((own, index) => radio(pretty(own), index === slot, `Chord ${index + 1} of ${bar.length}: ${own}`, () => { slot = index; showPanel(); })));
  fill($(".roots"), ROOTS.map((own, number) => radio(pretty(own), root !== null && rootNumber(root) === number, "", () => pick(own + (kind ?? "").replace(/\/.*$/, "")))));
  fill($(".kinds"), [...KINDS.map(([suffix, label]) => radio(label, kind === suffix, { Dim: "Diminished", Aug: "Augmented" }[label] ?? "", () => pick((root ?? "C") + suffix))), radio(NO_CHORD, symbol === NO_CHORD, "No chord", () => pick(NO_CHORD))]);
  $(".split").disabled = bar.length >= MOST;
  $(".join").hidden = bar.length < 2;
  $(".remove").disabled = bars.length < 2;
  const heard = found.heard[symbol];
  $(".note").textContent = found.wrong.includes(symbol) ? "This is no chord symbol." : heard ? `The model knows triads and no chord: ${pretty(symbol)} counts as ${pretty(heard)}.` : bar.length > 1 ? `${bar.length} chords share the bar evenly.` : "";
};
const show = () => {
  if (open !== null && open >= bars.length) open = null;
  showText();
  showGrid();
  showSum();
  showError();
  showPanel();
};

// ---- The palette
const hear = (symbol) => {
  const [, root, kind] = split(symbol) ?? [];
  if (!root) return;
  const intervals = KINDS.find(([suffix]) => suffix === kind)?.[2] ?? (/^(m(?!aj)|dim)/.test(kind) ? [0, 3, 7] : [0, 4, 7]);
  encore.sound(0, [rootNumber(root) + 48, ...intervals.map((interval) => rootNumber(root) + 60 + interval)], 80, 0.9);
};
const pick = (symbol) => {
  replaceBar(open, bars[open].map((own, index) => (index === slot ? symbol : own)));
  hear(symbol);
};
const openBar = (bar, focus = true) => {
  open = bar;
  cursor = bar;
  slot = 0;
  show();
  check();
  if (focus) { symbolsInput.focus({ preventScroll: true }); symbolsInput.select(); }
  panel.scrollIntoView({ block: "nearest" });
};
const close = () => {
  if (open === null) return;
  cursor = open;
  open = null;
  show();
  grid.querySelector(`.bar[data-bar="${cursor}"]`)?.focus({ preventScroll: true });
};
const addBar = () => {
  const last = bars.at(-1) ?? ["C"];
  storeBars([...bars, [last.at(-1)]]);
  openBar(bars.length - 1, false);
  grid.querySelector(".bar.open").focus({ preventScroll: true });
  grid.scrollTop = grid.scrollHeight;
};
const removeBar = (bar) => {
  if (bars.length < 2) return;
  const wasOpen = open !== null;
  open = null;
  cursor = Math.max(0, bar - (bar === bars.length - 1 ? 1 : 0));
  storeBars(bars.filter((_, index) => index !== bar));
  if (wasOpen) openBar(cursor, false);
  grid.querySelector(`.bar[data-bar="${cursor}"]`)?.focus({ preventScroll: true });
};
const transpose = (by) => {
  const moved = (root) => ROOTS[(rootNumber(root) + by + 12) % 12];
  const turn = (symbol) => symbol.replace(/^[A-G](?:#+|b+)?/, moved).replace(/\/([A-G](?:#+|b+)?)$/, (_, bass) => `/${moved(bass)}`);
  storeBars(bars.map((bar) => bar.map(turn)));
};

// ---- Controls
const FREE = "-1", presetTexts = (props.presets ?? []).map(([, own]) => write(parse(own)));
preset.append(new Option("Your own chords", FREE), ...(props.presets ?? []).map(([name], index) => new Option(name, String(index))));
preset.addEventListener("change", () => {
  const [, own, length] = props.presets[Number(preset.value)] ?? [];
  if (!own) { showSum(); return; }
  const size = parse(own).length;
  open = null;
  store({ text: own, bars: value.bars >= size && value.bars % size === 0 && value.bars !== 1 ? value.bars : length });
});
for (const button of element.querySelectorAll(".length button")) button.addEventListener("click", () => store({ bars: Number(button.dataset.bars) }));
count.addEventListener("input", () => { const number = Math.round(Number(count.value)); if (number >= 1 && number <= props.max_bars) store({ bars: number }); });
count.addEventListener("blur", showSum);
let typed = false; // one step of undo for what is typed in one go
for (const input of [text, symbolsInput]) { input.addEventListener("focus", () => { typed = false; }); }
text.addEventListener("input", () => {
  const line = text.value.replaceAll("\n", " | ");
  const longest = parse(line).length;
  store({ text: line, bars: value.bars === bars.length && longest ? longest : value.bars }, { remember: !typed });
  typed = true;
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  clearTimeout(telling);
  trigger("input");
  trigger("submit");
});
symbolsInput.addEventListener("input", () => {
  const symbols = symbolsInput.value.replaceAll("|", " ").split(/\s+/).filter(Boolean).slice(0, MOST);
  if (!symbols.length) return;
  slot = Math.min(slot, symbols.length - 1);
  const list = bars.map((own, index) => (index === open ? symbols : own));
  store({ text: write(list) }, { remember: !typed });
  typed = true;
});
symbolsInput.addEventListener("blur", () => { if (open !== null) showPanel(); });
panel.addEventListener("keydown", (event) => {
  if (event.key === "Escape" || (event.key === "Enter" && event.target === symbolsInput)) { event.preventDefault(); event.stopPropagation(); close(); return; }
  const group = event.target.closest("[role=radiogroup]"), by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!group || !by) return;
  event.preventDefault();
  const at = [...group.children].indexOf(event.target), next = (at + by + group.children.length) % group.children.length;
  group.children[next].focus();
  group.children[next].click();
});
$(".done").addEventListener("click", close);
$(".remove").addEventListener("click", () => removeBar(open));
$(".split").addEventListener("click", () => { const bar = [...bars[open]]; bar.splice(slot + 1, 0, bar[slot]); slot += 1; replaceBar(open, bar); });
$(".join").addEventListener("click", () => { const bar = bars[open].filter((_, index) => index !== slot); slot = Math.max(0, slot - 1); replaceBar(open, bar); });
$(".add").addEventListener("click", addBar);
$(".up").addEventListener("click", () => transpose(1));
$(".down").addEventListener("click", () => transpose(-1));
$(".undo").addEventListener("click", undo);
grid.addEventListener("click", (event) => {
  const cell = event.target.closest(".bar");
  if (!cell) return;
  const bar = Number(cell.dataset.bar);
  if (bar === open) { close(); return; }
  hear(bars[bar][0]);
  openBar(bar, false);
  grid.querySelector(".bar.open").focus({ preventScroll: true });
});
grid.addEventListener("keydown", (event) => {
  const cell = event.target.closest(".bar");
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); undo(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && open !== null) { event.preventDefault(); close(); return; }
  if (!cell) return;
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length, bar = Number(cell.dataset.bar);
  const to = { ArrowLeft: bar - 1, ArrowRight: bar + 1, ArrowUp: bar - columns, ArrowDown: bar + columns, Home: 0, End: bars.length - 1 }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    cursor = Math.min(bars.length - 1, Math.max(0, to));
    if (open !== null) { open = cursor; slot = 0; }
    show();
  } else if (event.key === "Enter") { event.preventDefault(); openBar(bar); }
  else if (event.key === "Delete" || event.key === "Backspace") { event.preventDefault(); removeBar(bar); }
  else if (/^[A-Ga-g]$/.test(event.key)) { // begins to write
    event.preventDefault();
    openBar(bar);
    symbolsInput.value = event.key.toUpperCase();
    symbolsInput.dispatchEvent(new Event("input"));
    symbolsInput.setSelectionRange(1, 1);
  }
});

// ---- From the server
const update = () => {
  const given = props.value && typeof props.value === "object" ? props.value : {};
  const text = given.text ?? "", length = given.bars ?? 8, before = value, number = bars.length;
  value = { text, bars: length, error: given.error ?? null, error_bar: given.error_bar ?? null };
  bars = parse(text);
  if (before.text && (text !== before.text || length !== before.bars)) history.push({ text: before.text, bars: before.bars });
  if (bars.length !== number) open = null;
  show();
};
let lastWidth = 0;
new ResizeObserver(() => { if (element.clientWidth && element.clientWidth !== lastWidth) { lastWidth = element.clientWidth; showText(); } }).observe(element);
watch("value", () => { update(); check(); });
update(); // what a page begins with is right
