// The main table: sorting, filtering, hiding columns, ratios to a chosen baseline, copying.
const TABLE = DATA.table;
const baselineListeners = [];
let baseline = TABLE.reference;

const tableElement = () => $("#main-table");
const bodyRows = () => $$("tbody tr", tableElement());
const place = (row) => Number(row.dataset.row);

function sortValue(row, column) {
  const figure = column - TABLE.axes.length;
  if (figure < 0) return row.children[column].textContent.trim().toLowerCase();
  const value = TABLE.rows[place(row)].figures[figure];
  return value === null ? null : value[0];
}

function compared(a, b) {
  if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
  return a - b;
}

// What was not measured stays at the end in either direction.
function sortBy(column, direction) {
  const rows = bodyRows();
  rows.sort((one, other) => {
    if (!direction) return place(one) - place(other);
    const a = sortValue(one, column);
    const b = sortValue(other, column);
    if (a === null || b === null) return (a === null) - (b === null) || place(one) - place(other);
    return direction * compared(a, b) || place(one) - place(other);
  });
  $("tbody", tableElement()).append(...rows);
}

function setUpSorting() {
  const heads = $$("thead th", tableElement());
  heads.forEach((head, column) => {
    $("button", head).addEventListener("click", () => {
      const falls = TABLE.columns[column - TABLE.axes.length]?.better === "higher";
      const order = falls ? ["descending", "ascending"] : ["ascending", "descending"];
      const next = order[order.indexOf(head.getAttribute("aria-sort")) + 1];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      sortBy(column, next === "ascending" ? 1 : next === "descending" ? -1 : 0);
      say(next ? `Sorted by ${$("button", head).textContent}, ${next}.` : "In the order of the run.");
    });
  });
}

function setUpFilter() {
  const field = $("#filter");
  const seeds = $("#seeds");
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = bodyRows();
    rows.forEach((row) => {
      const name = TABLE.rows[place(row)].name.toLowerCase();
      const labels = $$(".name", row).map((cell) => cell.textContent.toLowerCase()).join(" ");
      const single = seeds && !seeds.checked && row.classList.contains("unranked");
      row.hidden = single || !words.every((word) => name.includes(word) || labels.includes(word));
    });
    const left = rows.filter((row) => !row.hidden).length;
    $("#count").textContent = words.length ? `${left} of ${rows.length} rows.` : "";
    return left;
  };
  for (const input of [field, seeds].filter(Boolean)) input.addEventListener("input", () => say(`${show()} rows.`));
  show();
}

function setUpColumns() {
  $$("[data-column]").forEach((box) => {
    box.addEventListener("change", () => {
      const column = Number(box.dataset.column);
      $$("tr", tableElement()).forEach((row) => (row.children[column].hidden = !box.checked));
    });
  });
}

function measured(column, subject) {
  return TABLE.comparisons.find((c) => c[0] === column.key && c[1] === subject && c[2] === baseline);
}

// Counts have a plain ratio; of all else the run's comparison says what may be shown.
function relative(column, figure, row) {
  const own = TABLE.rows[row].figures[figure];
  const base = baseline === null ? null : TABLE.rows[baseline].figures[figure];
  if (!own || !base || row === baseline || !column.compare) return "";
  if (!column.exact) return measured(column, row)?.[3] ?? "";
  if (base[0] <= 0 || own[0] === base[0]) return "";
  return times(own[0] / base[0]);
}

function explained(column, row) {
  const found = measured(column, row);
  return found ? `Against ${TABLE.rows[baseline].name}: ${found[4]}` : "";
}

function showRatios() {
  bodyRows().forEach((row) => {
    const at = place(row);
    row.classList.toggle("baseline", at === baseline);
    TABLE.columns.forEach((column, figure) => {
      const cell = row.children[TABLE.axes.length + figure];
      $("small.relative", cell).textContent = relative(column, figure, at);
      const tip = explained(column, at);
      if (tip) cell.dataset.tip = tip;
      else delete cell.dataset.tip;
    });
  });
}

function setUpBaseline() {
  const select = $("#baseline");
  if (!select) return;
  if (baseline === null) baseline = Number(select.value);
  select.addEventListener("change", () => {
    baseline = Number(select.value);
    showRatios();
    baselineListeners.forEach((listener) => listener());
    say(`Compared with ${TABLE.rows[baseline].name}.`);
  });
  showRatios();
}

// What is visible, in the order in which it stands: heads, then rows of {text, mark, relative}.
function visibleTable() {
  const shown = (row) => Array.from(row.children).filter((cell) => !cell.hidden);
  const heads = shown($("thead tr", tableElement())).map((head) => {
    const unit = $("small", head)?.textContent;
    return ($("span", head) || head).textContent.trim() + (unit ? ` (${unit})` : "");
  });
  const rows = bodyRows()
    .filter((row) => !row.hidden)
    .map((row) =>
      shown(row).map((cell) => ({
        text: cell.firstChild ? cell.firstChild.textContent.trim() : "",
        mark: cell.classList.contains("best") ? "best" : cell.classList.contains("second") ? "second" : "",
        relative: $("small.relative", cell)?.textContent || "",
        number: !cell.classList.contains("name"),
      })),
    );
  return { heads, rows };
}

const COPIES = {
  markdown({ heads, rows }) {
    const safe = (text) => text.replace(/([\\`*_[\]|~$#<>&!])/g, "\\$1");
    const rule = rows[0] ? rows[0].map((cell) => (cell.number ? "--:" : ":--")) : heads.map(() => "--");
    const body = rows.map((row) =>
      row.map(({ text, mark, relative }) => {
        const value = mark === "best" ? `**${safe(text)}**` : mark === "second" ? `*${safe(text)}*` : safe(text);
        return relative ? `${value} (${relative})` : value;
      }),
    );
    return [heads.map(safe), rule, ...body].map((cells) => `| ${cells.join(" | ")} |`).join("\n") + "\n";
  },
  latex({ heads, rows }) {
    const safe = (text) => Array.from(text, (sign) => DATA.latex[sign] ?? sign).join("");
    const columns = rows[0] ? rows[0].map((cell) => (cell.number ? "r" : "l")).join("") : "l".repeat(heads.length);
    const body = rows.map((row) =>
      row.map(({ text, mark }) => (mark === "best" ? `\\textbf{${safe(text)}}` : mark === "second" ? `\\underline{${safe(text)}}` : safe(text))),
    );
    const line = (cells) => `  ${cells.join(" & ")} \\\\`;
    return [`\\begin{tabular}{${columns}}`, "  \\toprule", line(heads.map(safe)), "  \\midrule", ...body.map(line), "  \\bottomrule", "\\end{tabular}", ""].join("\n");
  },
  csv({ heads, rows }) {
    // a spreadsheet must not run a name as a formula
    const guarded = (text) => (/^\s*[=+\-@\t\r]/.test(text) ? `'${text}` : text);
    const field = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const body = rows.map((row) => row.map((cell) => field(cell.number ? cell.text.replace(MINUS, "-") : guarded(cell.text))));
    return [heads.map((head) => field(guarded(head))), ...body].map((cells) => cells.join(",")).join("\r\n") + "\r\n";
  },
};

function setUpCopies() {
  $$("[data-table-copy]").forEach((button) => {
    const format = button.dataset.tableCopy;
    button.addEventListener("click", () => copyFrom(button, COPIES[format](visibleTable()), `The table as ${button.textContent}`));
  });
  $$("[data-copy]").forEach((button) => {
    button.addEventListener("click", () => copyFrom(button, document.getElementById(button.dataset.copy).textContent, "The command"));
  });
}

function setUpTable() {
  setUpCopies();
  if (!tableElement()) return;
  setUpSorting();
  setUpFilter();
  setUpColumns();
  setUpBaseline();
}
