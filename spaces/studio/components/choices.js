// Tells a choice from a dropdown that was only passed by. Installed once per page as window.encoreChoices.
// Gradio tells of a choice whenever a dropdown loses the focus, changed or not.
if (!window.encoreChoices) {
  const shown = new Map(); // the text that a dropdown showed when it got the focus, or that was chosen since, by its id
  document.addEventListener("focusin", ({ target }) => {
    if (target.matches?.("input[role=listbox], input[role=combobox]")) shown.set(target.closest(".block[id]")?.id, target.value);
  });
  // The `count` first of the values, that at `place` null unless another one was chosen in the dropdown `id`; `labels` are pairs of
  // what is seen and what is meant, where they differ.
  window.encoreChoices = (id, place, count, labels, values) => {
    const given = values.slice(0, count), label = labels.find(([, value]) => value === given[place])?.[0] ?? given[place] ?? "";
    if (shown.get(id) === label) given[place] = null;
    shown.set(id, label);
    return given;
  };
}
