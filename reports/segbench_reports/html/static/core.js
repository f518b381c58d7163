// Data, small helpers, the theme, and what the page says aloud.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => Array.from(root.querySelectorAll(selector));
const MINUS = "\u2212";

document.documentElement.classList.add("js");

function say(text) {
  $("#said").textContent = text;
}

// The same rounding as in the Markdown report (wording.py).
function significant(value, digits) {
  if (value === 0) return "0";
  const magnitude = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(digits)))));
  return value.toFixed(Math.max(0, Math.min(digits - 1 - magnitude, 12))).replace("-", MINUS);
}

// The ratio of two counts that differ, with as many decimals as keep it from reading as 1.
function times(ratio) {
  let text = "";
  for (let more = 0; more < 8; more += 1) {
    text = ratio >= 0.1 && ratio < 9.995 ? ratio.toFixed(2 + more) : ratio < 0.1 ? significant(ratio, 2 + more) : ratio.toFixed(more);
    if (Number(text) !== 1) break;
  }
  return "×" + text;
}

function points(difference) {
  const rounded = Math.round(difference * 10) / 10;
  const sign = rounded === 0 ? "±" : rounded > 0 ? "+" : MINUS;
  return sign + Math.abs(rounded).toFixed(1);
}

async function copyText(text, what) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("aria-hidden", "true");
    area.className = "unseen";
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  say(done ? `${what} copied.` : "The browser does not allow copying.");
  return done;
}

async function copyFrom(button, text, what) {
  const before = button.textContent;
  button.focus();
  const done = await copyText(text, what);
  button.textContent = done ? "Copied" : "Not allowed";
  setTimeout(() => (button.textContent = before), 1400);
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const themeListeners = [];

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
}

function showTheme() {
  const button = $("#theme");
  button.textContent = isDark() ? "Light" : "Dark";
  button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  themeListeners.forEach((listener) => listener());
}

function setUpTheme() {
  $("#theme").removeAttribute("aria-pressed");
  $("#theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
  });
  dark.addEventListener("change", showTheme);
  showTheme();
}

// One bubble for all explanations: on hover, on focus, gone with Escape.
function setUpTips() {
  const tip = $("#tip");
  const hide = () => (tip.hidden = true);
  const show = (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (!target || !target.dataset.tip) return hide();
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    const box = target.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left), window.innerWidth - tip.offsetWidth - 8);
    const below = box.bottom + 6 + tip.offsetHeight < window.innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below ? box.bottom + 6 : box.top - tip.offsetHeight - 6}px`;
  };
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("scroll", hide, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  $$("[data-tip]").forEach((element) => element.setAttribute("aria-description", element.dataset.tip));
}

function setUpContents() {
  const list = $("#contents");
  $$("main > section > h2").forEach((heading) => {
    const link = document.createElement("a");
    link.href = `#${heading.parentElement.id}`;
    link.textContent = heading.dataset.short || heading.textContent;
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  });
}
