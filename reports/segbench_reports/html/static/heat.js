// The heat map of classes: shares, or differences to the baseline.
function paint(cell, text, share, tone) {
  cell.textContent = text;
  cell.dataset.tone = tone;
  cell.style.setProperty("--share", Math.min(1, share).toFixed(2));
}

function showHeat() {
  const table = $("#heat");
  const asDifferences = $("#heat-differences").checked;
  const base = DATA.classes[String(baseline)];
  $$("tbody tr[data-row]", table).forEach((row) => {
    const values = DATA.classes[row.dataset.row];
    const own = row.dataset.row === String(baseline);
    $$("td", row).forEach((cell, at) => {
      const value = values[at];
      if (value === null) return paint(cell, "–", 0, "none");
      if (!asDifferences || !base || own) return paint(cell, value.toFixed(1), asDifferences ? 0 : value / 100, "good");
      if (base[at] === null) return paint(cell, "–", 0, "none");
      const difference = value - base[at];
      return paint(cell, points(difference), 0, "none"); // no colour: differences per class have no verdict
    });
  });
}

function setUpHeat() {
  if (!$("#heat")) return;
  $("#heat-differences").addEventListener("change", showHeat);
  baselineListeners.push(showHeat);
  showHeat();
}
