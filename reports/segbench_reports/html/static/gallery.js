// Predictions: whose are shown, and two of them under one slider.
function showModel(model) {
  $$(".toggle").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.model === model)));
  $$("[data-of]").forEach((figure) => (figure.hidden = model !== "all" && figure.dataset.of !== model));
}

function setUpWipe(wipe) {
  const scene = wipe.closest(".scene");
  const show = () => {
    for (const side of ["left", "right"]) {
      const model = $(`[data-side="${side}"]`, wipe).value;
      const layer = $(`[data-layer="${side}"]`, wipe);
      const source = $(`[data-of="${model}"] img`, scene);
      layer.src = source.src;
      layer.alt = source.alt;
    }
    wipe.style.setProperty("--at", `${$("input", wipe).value}%`);
  };
  wipe.addEventListener("input", show);
  wipe.addEventListener("toggle", show, { once: true });
}

function setUpGallery() {
  const buttons = $$(".toggle");
  buttons.forEach((button, at) => {
    button.addEventListener("click", () => showModel(button.dataset.model));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = buttons[(at + step + buttons.length) % buttons.length];
      next.focus();
      next.click();
    });
  });
  if (buttons.length) showModel(buttons[0].dataset.model);
  $$(".wipe").forEach(setUpWipe);
}
