// Notes that are edited: what can be done to them, and all that was done, to be undone. Nothing here draws or sounds.
// Installed once per page as window.encoreNotes. A note is [pitch, start, end, velocity] and in a trio its part, and never changes:
// whoever changes one puts another in its place, so that a step of the history is no more than a list.
if (!window.encoreNotes) {
  const HISTORY = 300; // steps that can be undone
  const SHORTEST = 1 / 24; // quarter notes
  const round = (beats) => Math.round(beats * 1e6) / 1e6;
  const within = (value, low, high) => Math.min(high, Math.max(low, value));
  const order = (a, b) => a[1] - b[1] || (a[4] ?? 0) - (b[4] ?? 0) || a[0] - b[0];
  const changed = (note, pitch, start, end, velocity = note[3]) => [pitch, round(start), round(end), velocity, ...note.slice(4)];

  // Sheet: the notes of a clip of `beats` quarter notes, which of them are selected, and their history. `rows(note)` lists the
  // pitches that its part has, from top to bottom; at most `most` notes.
  const sheet = (source, beats, rows, most) => {
    const first = { notes: [...source].sort(order), selected: new Set() };
    let now = first, past = [], future = [];
    const self = { get notes() { return now.notes; }, get selected() { return now.selected; }, beats, most, source };

    // Two notes of one pitch that begin together are one: the one that was touched last.
    const tidy = (notes, selected) => {
      const taken = new Map();
      for (const note of [...notes.filter((note) => !selected.has(note)), ...selected]) taken.set(`${note[4] ?? 0}:${note[0]}:${note[1]}`, note);
      return [...taken.values()].sort(order);
    };
    // One step: these notes in place of the selected ones, and selected; others in place of the `removed`.
    const commit = (notes, selected) => {
      past.push(now);
      if (past.length > HISTORY) past.shift();
      future = [];
      const kept = tidy(notes, selected);
      now = { notes: kept, selected: new Set(kept.filter((note) => selected.has(note))) };
    };
    const go = (from, to) => {
      const next = from.pop();
      if (!next) return false;
      to.push(now);
      now = next;
      return true;
    };
    const put = (notes) => [...now.notes.filter((note) => !now.selected.has(note)), ...notes];

    Object.assign(self, {
      canUndo: () => past.length > 0,
      canRedo: () => future.length > 0,
      undo: () => go(past, future),
      redo: () => go(future, past),
      // Back to the beginning; all of it can be redone.
      rewind: () => { while (go(past, future)); now.selected = new Set(); },
      isChanged: () => now.notes !== first.notes && JSON.stringify(now.notes) !== JSON.stringify(first.notes),
      select: (notes) => { now.selected = new Set(notes); },
      toggle: (note) => { if (!now.selected.delete(note)) now.selected.add(note); },
      // Of the selection, what it would be moved by a time and by rows downwards, as far as all of it can go; a copy.
      moved: (time, down) => {
        const notes = [...now.selected];
        const by = within(time, -Math.min(...notes.map((note) => note[1])), beats - Math.max(...notes.map((note) => note[2])));
        const places = notes.map((note) => { const pitches = rows(note); return [pitches, pitches.indexOf(note[0])]; });
        const lower = within(down, -Math.min(...places.map(([, row]) => row)), Math.min(...places.map(([pitches, row]) => pitches.length - 1 - row)));
        return notes.map((note, index) => changed(note, places[index][0][places[index][1] + lower], note[1] + by, note[2] + by));
      },
      // Longer by a time, or shorter, no shorter than `least`.
      stretched: (time, least) => [...now.selected].map((note) => {
        const shortest = Math.min(Math.max(SHORTEST, least), note[2] - note[1]);
        return changed(note, note[0], note[1], within(note[2] + time, note[1] + shortest, beats));
      }),
      louder: (by) => [...now.selected].map((note) => changed(note, note[0], note[1], note[2], within(Math.round(note[3] + by), 1, 127))),
      preview: (notes) => ({ notes: put(notes).sort(order), selected: new Set(notes) }),
      replace: (notes) => { if (JSON.stringify(notes) !== JSON.stringify([...now.selected])) commit(put(notes), new Set(notes)); },
      // Adds notes and selects them; false: there is no room for so many.
      add: (notes) => {
        if (now.notes.length + notes.length > most) return false;
        const fresh = notes.map((note) => changed(note, note[0], note[1], Math.min(beats, Math.max(note[2], note[1] + SHORTEST))));
        commit([...now.notes, ...fresh], new Set(fresh));
        return true;
      },
      remove: (notes) => {
        const gone = new Set(notes);
        if (gone.size) commit(now.notes.filter((note) => !gone.has(note)), new Set());
      },
    });
    return self;
  };

  window.encoreNotes = { sheet, round, within, SHORTEST, clipboard: null };
}
