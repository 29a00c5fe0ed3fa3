// What the roll and the mixer of a band share: which tracks sound. Installed once per page as window.encoreBand.
// A mix is {muted, solo}, lists of the keys of tracks. It belongs to a desk, by whose name roll and mixer find each other.
if (!window.encoreBand) {
  const EMPTY = { muted: [], solo: [] };
  const mix = (desk) => encore.desk(desk).mix ?? EMPTY;

  // The keys that sound: those on solo alone where there are any, else all that are not muted.
  const audible = (keys, { muted, solo }) => {
    const alone = keys.filter((key) => solo.includes(key));
    return alone.length ? alone : keys.filter((key) => !muted.includes(key));
  };

  // Tells whoever listens that the mix of a desk changed, or which track is pointed at.
  const listeners = new Set();
  const tell = (desk, what) => { for (const [name, listener] of listeners) if (name === desk) listener(what); };
  const listen = (desk, listener) => listeners.add([desk, listener]);
  const setMix = (desk, value) => { encore.desk(desk).mix = value; tell(desk, "mix"); };
  const point = (desk, key) => { encore.desk(desk).pointed = key; tell(desk, "pointed"); };

  window.encoreBand = { mix, setMix, audible, listen, point };
}
