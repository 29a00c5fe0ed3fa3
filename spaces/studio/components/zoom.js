// Zooms what scrolls along time: with two buttons, with + and - on the keys, with Ctrl and the wheel. What is looked at stays.
// Installed once per page as window.encoreZoom. A roll gives: `scroller`; its buttons `out` and `into`, where it has them;
// now(), least() and most(), in pixels per unit of time; set(pixels), which draws; place(): the time that is to stay where it is
// as long as it is in view; ready().
if (!window.encoreZoom) {
  const STEP = 1.5;

  window.encoreZoom = ({ scroller, out, into, now, set, least, most, place, ready }) => {
    const show = () => {
      if (!out) return;
      out.disabled = !ready() || now() <= least() * 1.001;
      into.disabled = !ready() || now() >= most() * 0.999;
    };
    const to = (pixels, clientX) => {
      if (!ready()) return;
      const before = now(), left = scroller.scrollLeft, width = scroller.clientWidth;
      const resting = place() * before - left, middle = resting >= 0 && resting <= width ? resting : width / 2;
      const inView = clientX === undefined ? middle : clientX - scroller.getBoundingClientRect().left;
      const time = (left + inView) / before;
      set(Math.min(most(), Math.max(least(), pixels)));
      scroller.scrollLeft = time * now() - inView;
      show();
    };
    scroller.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey) || !ready()) return;
      event.preventDefault();
      const turned = event.deltaY * (event.deltaMode ? 20 : 1);
      to(now() * Math.exp(Math.max(-0.5, Math.min(0.5, -turned / 250))), event.clientX);
    }, { passive: false });
    scroller.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !"+=-_".includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      to(now() * ("+=".includes(event.key) ? STEP : 1 / STEP));
    });
    out?.addEventListener("click", () => to(now() / STEP));
    into?.addEventListener("click", () => to(now() * STEP));
    return { show };
  };
}
