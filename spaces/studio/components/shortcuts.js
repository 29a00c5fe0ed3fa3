// The keyboard shortcuts of the whole page; the dialog lists them. A key that anything else has used, that is typed into a field,
// or that comes with Ctrl, Alt or Meta is left alone.
const dialog = element.querySelector("dialog"), opener = element.querySelector(".keys");
const TYPING = "textarea, select, [contenteditable=''], [contenteditable=true], [role=menu], [role=listbox], [role=combobox], dialog";
const PLAIN = new Set(["checkbox", "radio", "range", "button", "submit", "file", "color"]);
const PRESSABLE = "button, a[href], summary, input, audio, video, [role=button], [role=link], [role=menuitem], [role=option], [role=switch], [role=checkbox], [role=radio], [role=slider], [role=application]";

const isTyping = (target) => Boolean(target.closest?.(TYPING)) || (target.matches?.("input") && !PLAIN.has(target.type));
// Pressing Space on the tab that is open does nothing, so it may play.
const takesSpace = (target) => Boolean(target.closest?.(PRESSABLE)) && !target.closest("[role=tab][aria-selected=true]");
const isSeen = (node) => node.getClientRects().length > 0 && getComputedStyle(node).visibility !== "hidden";
const tabs = () => [...document.querySelectorAll("#tabs > .tab-wrapper [role=tablist] [role=tab]")];
const room = () => [...document.querySelectorAll("#tabs > [role=tabpanel]")].find(isSeen) ?? document.body;
const findIn = (selector) => [...room().querySelectorAll(selector)].filter((node) => isSeen(node) && !node.disabled);

// What plays, else what has the most of it in view, and of several the largest.
const inView = (node) => {
  const box = node.getBoundingClientRect();
  return Math.max(0, Math.min(box.right, innerWidth) - Math.max(box.left, 0)) * Math.max(0, Math.min(box.bottom, innerHeight) - Math.max(box.top, 0));
};
const playing = () => {
  const buttons = findIn("button.play"), seen = (button) => inView(button.closest(".html-container") ?? button.parentElement.parentElement);
  return buttons.find((button) => button.classList.contains("playing")) ?? buttons.sort((a, b) => seen(b) - seen(a)).find((button) => seen(button) > 0);
};
const press = (button) => {
  if (!button) return false;
  button.scrollIntoView({ block: "nearest" });
  button.click();
  return true;
};
const tray = () => {
  const dock = document.getElementById("tray");
  if (!dock) return false;
  const toggle = dock.querySelector(".toggle");
  if (toggle?.getAttribute("aria-expanded") === "false") toggle.click();
  (dock.querySelector(".clip .play") ?? toggle)?.focus();
  return true;
};
const help = () => {
  if (!dialog.open) dialog.showModal();
  return true;
};
const actions = {
  " ": () => press(playing()),
  m: () => press(findIn("button.primary")[0]),
  s: () => press(findIn("button[id*=stop]")[0]),
  z: () => press(findIn("button.undo")[0]),
  t: tray,
  "?": help,
};
for (let number = 1; number <= 9; number++) actions[number] = () => press(tabs()[number - 1]);

document.addEventListener("keydown", (event) => {
  if (!element.isConnected || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, { target } = event;
  if (!Object.hasOwn(actions, key) || dialog.open || isTyping(target) || (key === " " && takesSpace(target))) return;
  if (actions[key]()) event.preventDefault();
});
opener.addEventListener("click", help);
dialog.querySelector(".close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); }); // beside it
