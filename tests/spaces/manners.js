// What a page must be like for everybody, as window.manners: contrasts(), focusless() and shifts() give what is not so.
window.manners ??= (() => {
// What stands out too little, as sentences. Text is compared with the colours that lie under it, from the nearest opaque one up; text
// on a picture or a gradient is left out, and so is what is disabled. Of fields and boxes the border must stand out from what lies
// around it, or the ground, where there is no border.
const contrasts = () => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ratio = (one, other) => { const [a, b] = [light(one), light(other)].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); };
  const isSeen = (node) => {
    const box = node.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  };
  const isOff = (node) => Boolean(node.closest(':disabled, [aria-disabled=true], [aria-hidden=true], .visually-hidden, .sr-only'));
  // The colour under a node, and whether it is known.
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== 'none') return null;
      const colour = rgba(style.backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, colour) => over(colour, below), [255, 255, 255, 1]);
  };
  const clear = (node) => { let all = 1; for (let at = node; at; at = at.parentElement) all *= Number(getComputedStyle(at).opacity); return all; };
  const where = (node) => `${node.tagName.toLowerCase()}${node.id ? '#' + node.id : ''}.${[...node.classList].join('.')} in #${node.closest('[id]:not([id^=component])')?.id ?? ''}`;
  const found = [], told = new Set();
  const tell = (node, what, value, wanted) => {
    const words = `${what} has ${value.toFixed(2)}, not ${wanted}: ${where(node)}`;
    if (value < wanted && !told.has(words)) { told.add(words); found.push(words); }
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), node = walker.currentNode.parentElement;
    if (!text || !node || node.closest('script, style, option, title') || isOff(node) || !isSeen(node)) continue;
    const style = getComputedStyle(node), isSvg = node instanceof SVGElement, below = ground(isSvg ? node.closest('svg') : node);
    if (!below) continue;
    const colour = rgba(isSvg ? style.fill : style.color), size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    tell(node, `"${text.slice(0, 30)}"`, ratio(over([...colour.slice(0, 3), colour[3] * clear(node)], below), below), isLarge ? 3 : 4.5);
  }
  for (const node of document.querySelectorAll('input[placeholder], textarea[placeholder]')) {
    const below = ground(node);
    if (node.value || isOff(node) || !isSeen(node) || !below) continue;
    const style = getComputedStyle(node, '::placeholder'), colour = rgba(style.color);
    tell(node, `placeholder "${node.placeholder.slice(0, 30)}"`, ratio(over([...colour.slice(0, 3), colour[3] * Number(style.opacity)], below), below), 4.5);
  }
  for (const node of document.querySelectorAll('input:not([type=range]):not([type=file]):not([type=hidden]), textarea, select')) {
    if (isOff(node) || !isSeen(node)) continue;
    // The border may be that of the box that holds it.
    let best = 0;
    for (let at = node, step = 0; at && step < 5 && best < 3; at = at.parentElement, step++) {
      const style = getComputedStyle(at), around = ground(at.parentElement);
      if (!around) { best = 99; break; }
      if (parseFloat(style.borderTopWidth) && style.borderTopStyle !== 'none') best = Math.max(best, ratio(over(rgba(style.borderTopColor), around), around));
      const own = ground(at);
      best = Math.max(best, own ? ratio(own, around) : 99);
    }
    tell(node, `the edge of ${node.type ?? node.tagName}`, best, 3);
  }
  return found;
};

// What has moved without a person having done anything just before.
const seen = [];
new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
    // Gradio's own picture while it loads is not the page.
    if (!entry.sources.some(({ node }) => (node?.nodeType === 1 ? node : node?.parentElement)?.closest('#tabs, #tray, .masthead'))) continue;
      const sources = entry.sources.map(({ node, previousRect, currentRect }) => {
        const element = node?.nodeType === 1 ? node : node?.parentElement;
        const name = element ? `${element.tagName.toLowerCase()}.${element.className?.baseVal ?? element.className} in #${element.closest('[id]:not([id^=html-], [id^=component], [id=""])')?.id} "${element.textContent.trim().slice(0, 24)}"` : '?';
        return `${name} ${Math.round(previousRect.y)} -> ${Math.round(currentRect.y)} (${Math.round(previousRect.height)} -> ${Math.round(currentRect.height)})`;
      });
      seen.push({ value: entry.value, sources });
    }
  }).observe({ type: 'layout-shift', buffered: true });
const shifts = () => seen.filter(({ value }) => value > 0);
const forget = () => { seen.length = 0; };

// The controls that look the same when they are reached with the keyboard.
const focusless = async () => {
  const look = (node) => { const s = getComputedStyle(node); return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.borderTopColor, s.backgroundColor].join('|'); };
  const found = [];
  for (const node of document.querySelectorAll('button, input, select, textarea, a[href], [tabindex="0"]')) {
    if (node.disabled || node.type === 'file' || node.role === 'listbox' || node.role === 'combobox' || !node.checkVisibility({ visibilityProperty: true }) || node.closest('.visually-hidden')) continue;
    const chain = [node, node.parentElement, node.parentElement?.parentElement, node.parentElement?.parentElement?.parentElement].filter(Boolean);
    const extra = node.type === 'range' || node.type === 'checkbox' || node.type === 'radio' ? [node.closest('label'), node.nextElementSibling].filter(Boolean) : [];
    document.activeElement?.blur();
    const before = [...chain, ...extra].map(look).join();
    node.focus({ focusVisible: true, preventScroll: true });
    if (document.activeElement !== node) continue;
    if ([...chain, ...extra].map(look).join() === before) found.push(node.outerHTML.slice(0, 140));
  }
  document.activeElement?.blur();
  return found;
};

// Resolves when nothing has been put into the page or taken out of it for a while.
const quiet = () => new Promise((resolve) => {
  let timer = 0;
  const again = () => { clearTimeout(timer); timer = setTimeout(() => { observer.disconnect(); resolve(true); }, 600); };
  const observer = new MutationObserver(again);
  observer.observe(document.body, { childList: true, subtree: true });
  again();
});
return { contrasts, shifts, forget, focusless, quiet };
})();
