// The pad: a grid of clips between four corners. Dragging (or the arrow keys) chooses the cell that loops; no server involved.
const $ = (selector) => element.querySelector(selector);
const pad = $(".pad"), canvas = $(".cells"), knob = $(".knob"), roll = $("svg.roll"), playButton = $(".play");
let value = null, x = 0.5, y = 0.5, part = null, steps = [];

const cell = () => {
  const size = value.size;
  return [Math.round(y * (size - 1)), Math.round(x * (size - 1))];
};
const clipOf = (row, column) => ({ notes: value.cells[row][column], bars: value.bars, drums: value.drums, parts: value.parts });
const HEIGHTS = { melody: 84, drums: 90, parts: [56, 38, 54] };
const colourAt = (u, v) => {
  const top = `color-mix(in oklab, var(--clip-b) ${u * 100}%, var(--clip-a))`, bottom = `color-mix(in oklab, var(--clip-d) ${u * 100}%, var(--clip-c))`;
  return `color-mix(in oklab, ${bottom} ${v * 100}%, ${top})`;
};

const drawCell = () => {
  const [row, column] = cell();
  const clip = clipOf(row, column);
  const colour = colourAt(column / (value.size - 1), row / (value.size - 1));
  encoreDraw.roll(roll, clip, Math.max(120, element.clientWidth - 2), HEIGHTS, 0, () => colour);
  roll.setAttribute("aria-label", encoreDraw.describe(clip));
  canvas.querySelectorAll(".cell").forEach((c, index) => c.classList.toggle("now", index === row * value.size + column));
};

const place = () => {
  knob.style.left = `${x * 100}%`;
  knob.style.top = `${y * 100}%`;
  if (!value) return;
  const [row, column] = cell();
  const weights = [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y];
  const words = weights.map((weight, index) => `${"ABCD"[index]}\u00a0${Math.round(weight * 100)}%`).join(", ");
  pad.setAttribute("aria-valuenow", row * value.size + column + 1);
  pad.setAttribute("aria-valuetext", `Row ${row + 1}, column ${column + 1} of ${value.size}: ${words}`);
  $(".where").textContent = words;
};

const showState = () => {
  const playing = part !== null && encore.isPlaying(part);
  playButton.classList.toggle("playing", playing);
  playButton.setAttribute("aria-label", playing ? "Stop the pad" : "Play the pad");
};

const play = () => {
  if (!value || (part && encore.isPlaying(part))) return;
  part = {
    desk: "morph", drums: value.drums, parts: value.parts, loop: true, stepsPerLoop: value.bars * 16,
    notesAt: (step) => { const [row, column] = cell(); return steps[row][column].get(step) ?? []; },
    onStep: (step) => { element.dataset.step = step; },
    onStop: () => { part = null; showState(); },
  };
  encore.play(part);
  showState();
};

const move = (newX, newY) => {
  x = Math.min(1, Math.max(0, newX));
  y = Math.min(1, Math.max(0, newY));
  place();
  if (value) drawCell();
};

const fromPointer = (event) => {
  const box = canvas.getBoundingClientRect();
  move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
};

pad.addEventListener("pointerdown", (event) => {
  if (!value) return;
  pad.setPointerCapture(event.pointerId);
  pad.focus({ preventScroll: true });
  event.preventDefault();
  fromPointer(event);
  play();
});
pad.addEventListener("pointermove", (event) => { if (value && pad.hasPointerCapture(event.pointerId)) fromPointer(event); });
pad.addEventListener("keydown", (event) => {
  if (!value) return;
  const unit = 1 / (value.size - 1);
  const moves = { ArrowLeft: [-unit, 0], ArrowRight: [unit, 0], ArrowUp: [0, -unit], ArrowDown: [0, unit] };
  if (event.key in moves) { const [row, column] = cell(); move(column * unit + moves[event.key][0], row * unit + moves[event.key][1]); play(); }
  else if (event.key === " ") part ? encore.stop() : play();
  else if (event.key === "Enter") choose();
  else return;
  event.preventDefault();
});
playButton.addEventListener("click", () => (part ? encore.stop() : play()));

const choose = () => { if (!value) return; const [row, column] = cell(); trigger("choose", { row, column }); };
$(".choose").addEventListener("click", choose);

const update = () => {
  if (part) encore.stop();
  value = props.value && props.value.cells ? props.value : null;
  element.classList.toggle("filled", Boolean(value));
  playButton.disabled = $(".choose").disabled = !value;
  pad.setAttribute("aria-disabled", String(!value));
  canvas.replaceChildren();
  const size = value ? value.size : 7;
  canvas.style.gridTemplateColumns = `repeat(${size}, 1fr)`;
  for (let row = 0; row < size; row++) for (let column = 0; column < size; column++) {
    const square = document.createElement("div");
    square.className = "cell";
    square.style.background = colourAt(column / (size - 1), row / (size - 1));
    canvas.appendChild(square);
  }
  pad.setAttribute("aria-valuemin", 1);
  pad.setAttribute("aria-valuemax", size * size);
  if (value) {
    steps = value.cells.map((row) => row.map((notes) => encore.bySteps(notes)));
    drawCell();
  } else { roll.replaceChildren(); $(".where").textContent = ""; }
  place();
  showState();
};
let lastWidth = 0;
new ResizeObserver(() => { if (value && element.clientWidth !== lastWidth) { lastWidth = element.clientWidth; drawCell(); } }).observe(element);
watch("value", update);
update();
