// The pages of a site: tables that sort, runs that are filtered.
function fieldValue(row, column) {
  const order = row.children[column].dataset.order;
  if (order === undefined) return null;
  return order !== "" && !Number.isNaN(Number(order)) ? Number(order) : order;
}

function ordered(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

// What was not measured stays at the end in either direction.
function sortRows(table, rows, column, direction) {
  const sorted = rows.map((row, place) => [row, place]);
  if (direction) {
    sorted.sort(([one, first], [other, second]) => {
      const a = fieldValue(one, column);
      const b = fieldValue(other, column);
      if (a === null || b === null) return (a === null) - (b === null) || first - second;
      return direction * ordered(a, b) || first - second;
    });
  }
  $("tbody", table).append(...sorted.map(([row]) => row));
}

function setUpSorting(table) {
  const heads = $$("thead th", table);
  const rows = $$("tbody tr", table);
  heads.forEach((head, column) => {
    const button = $("button", head);
    if (!button) return;
    button.addEventListener("click", () => {
      const order = "falls" in head.dataset ? ["descending", "ascending"] : ["ascending", "descending"];
      const next = order[order.indexOf(head.getAttribute("aria-sort")) + 1];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      sortRows(table, rows, column, next === "ascending" ? 1 : next === "descending" ? -1 : 0);
      say(next ? `Sorted by ${$("span", button).textContent}, ${next}.` : "In the order of the scores.");
    });
  });
}

function setUpFilter() {
  const field = $("#filter");
  if (!field) return;
  const cards = $$(".card");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    cards.forEach((card) => (card.hidden = !words.every((word) => card.dataset.words.includes(word))));
    const left = cards.filter((card) => !card.hidden).length;
    $("#count").textContent = words.length ? `${left} of ${cards.length} runs` : "";
    say(`${left} runs.`);
  });
}

setUpTips();
$$("table.board").forEach(setUpSorting);
setUpFilter();
setUpTheme();
document.documentElement.dataset.ready = "true";
