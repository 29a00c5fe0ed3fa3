// A menu that opens from a button: arrow keys, Home, End and letters move in it, Escape closes it and goes back to the button.
// Shared by every component. Installed once per page as window.encoreMenu.
if (!window.encoreMenu) {
  let open = null; // {button, list}: one menu is open at a time
  const EDGE = 8; // pixels that stay free at the edges of the window

  const items = () => [...open.list.querySelectorAll("[role=menuitem]")];
  const close = (button, andReturn = false) => {
    if (!open || (button && open.button !== button)) return;
    const closed = open;
    open = null;
    closed.list.remove();
    closed.button.setAttribute("aria-expanded", "false");
    if (andReturn) closed.button.focus();
  };

  // Under its button where there is room, else above it; never beyond the window.
  const place = () => {
    if (!open) return;
    const { button, list } = open, at = button.getBoundingClientRect();
    if (!button.isConnected || !at.width) { close(); return; }
    const below = innerHeight - at.bottom - EDGE, above = at.top - EDGE, height = list.scrollHeight;
    list.style.left = "0px"; // as wide as it likes
    const isBelow = height <= below || below >= above;
    list.style.maxHeight = `${Math.max(96, isBelow ? below - 4 : above - 4)}px`;
    list.style.left = `${Math.max(EDGE, Math.min(at.left, innerWidth - list.offsetWidth - EDGE))}px`;
    list.style.top = isBelow ? `${at.bottom + 4}px` : `${Math.max(EDGE, at.top - 4 - list.offsetHeight)}px`;
  };

  const focus = (index) => { const all = items(); all[(index + all.length) % all.length]?.focus(); };
  const onKey = (event) => {
    const all = items(), at = all.indexOf(document.activeElement);
    if (event.key === "Escape") close(null, true);
    else if (event.key === "Tab") { close(null, true); return; } // and on from the button
    else if (event.key === "ArrowDown") focus(at + 1);
    else if (event.key === "ArrowUp") focus(at < 0 ? -1 : at - 1);
    else if (event.key === "Home") focus(0);
    else if (event.key === "End") focus(-1);
    else if (event.key.length === 1 && /\S/.test(event.key)) {
      const letter = event.key.toLowerCase(), later = [...all.slice(at + 1), ...all.slice(0, at + 1)];
      later.find((item) => item.textContent.trim().toLowerCase().startsWith(letter))?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  // `places` are {title, text}. The list is no part of what its button is in, so that nothing lies above it.
  const show = (button, places, choose, label, last) => {
    close();
    const list = document.createElement("ul");
    list.className = "menu-list";
    list.setAttribute("role", "menu");
    list.setAttribute("aria-label", label);
    for (const entry of places) {
      const row = document.createElement("li"), item = document.createElement("button");
      row.setAttribute("role", "none");
      item.type = "button";
      item.tabIndex = -1;
      item.setAttribute("role", "menuitem");
      const title = document.createElement("b"), text = document.createElement("small");
      title.textContent = entry.title;
      text.textContent = entry.text;
      item.append(title, " ", text);
      item.addEventListener("click", () => { close(null, true); choose(entry); });
      row.append(item);
      list.append(row);
    }
    list.addEventListener("keydown", onKey);
    (button.closest(".gradio-container") ?? document.body).append(list);
    open = { button, list };
    button.setAttribute("aria-expanded", "true");
    place();
    focus(last ? -1 : 0);
  };

  // Makes a button open a menu of what `places()` gives then.
  const attach = (button, places, choose, label) => {
    const start = (last) => { const now = places(); if (now.length) show(button, now, choose, label, last); };
    button.addEventListener("click", () => (open?.button === button ? close(button, true) : start(false)));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      event.preventDefault();
      start(event.key === "ArrowUp");
    });
  };

  document.addEventListener("pointerdown", (event) => {
    if (open && !open.list.contains(event.target) && !open.button.contains(event.target)) close();
  }, true);
  addEventListener("scroll", (event) => { if (open && !open.list.contains(event.target)) place(); }, true);
  addEventListener("resize", place);
  window.encoreMenu = { attach, close };
}
