"use strict";
(() => {
  const all = (what, where) => Array.from((where || document).querySelectorAll(what));
  const root = document.documentElement;

  const themes = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  const remember = (value) => { try { localStorage.setItem("theme", value); } catch (_) { /* not from a disk */ } };
  const recall = () => { try { return localStorage.getItem("theme"); } catch (_) { return null; } };
  let theme = themes.includes(recall()) ? recall() : "auto";
  const paint = () => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = "Theme: " + theme;
  };
  button.addEventListener("click", () => { theme = themes[(themes.indexOf(theme) + 1) % 3]; remember(theme); paint(); });
  paint();

  const FEW = 100;  // rows that a long table begins with: the others are not in the page until they are asked for
  const tables = all(".board.results").map((table) => {
    const part = table.closest(".part"), more = document.createElement("button");
    const rows = Array.from(table.tBodies[0].rows, (row) => ({
      row, fits: true, facts: Object.assign({}, part.dataset, row.dataset),
      values: Array.from(row.cells, (cell) => cell.dataset.v), text: row.textContent.toLowerCase(),
    }));
    const one = { table, part, more, rows, limit: FEW };
    more.type = "button";
    more.className = "all";
    more.addEventListener("click", () => { one.limit = Infinity; show(one); table.closest(".scroll").focus(); });
    table.closest(".scroll").after(more);
    return one;
  });
  const show = (one) => {
    const fitting = one.rows.filter((each) => each.fits);
    one.table.tBodies[0].replaceChildren(...fitting.slice(0, one.limit).map((each) => each.row));
    one.part.hidden = !fitting.length;
    one.more.hidden = fitting.length <= one.limit;
    one.more.textContent = "Show all " + fitting.length + " rows";
  };

  const collator = new Intl.Collator(undefined, { numeric: true });
  const sort = (head) => {
    const one = tables.find((each) => each.table === head.closest("table")), column = head.cellIndex;
    const number = head.dataset.kind === "number", before = head.getAttribute("aria-sort");
    const down = before === "none" ? number && column > 0 : before === "ascending";
    all("th[aria-sort]", one.table.tHead).forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    one.rows.sort((a, b) => {
      const left = a.values[column], right = b.values[column];
      if (!left || !right) return !left - !right;
      const order = number ? left - right : collator.compare(left, right);
      return down ? -order : order;
    });
    show(one);
  };
  all(".board thead th[aria-sort] button").forEach((one) => one.addEventListener("click", () => sort(one.parentElement)));

  const form = document.getElementById("filter"), told = document.getElementById("told");
  const paper = document.getElementById("filtered");  // what is printed says so, too
  const filter = () => {
    const wanted = ["corpus", "protocol", "task", "method", "modality", "state"]
      .map((name) => [name, form.elements[name].value]).filter((pair) => pair[1]);
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0, total = 0;
    for (const one of tables) {
      for (const each of one.rows) {
        each.fits = wanted.every(([name, asked]) => each.facts[name] === asked)
          && words.every((word) => each.text.includes(word) || each.facts.corpus.includes(word));
        shown += each.fits;
        total += 1;
      }
      show(one);
    }
    all(".arena").forEach((arena) => { arena.hidden = !arena.querySelector(".part:not([hidden])"); });
    told.textContent = shown + " of " + total + " rows";
    paper.hidden = shown === total;
    paper.textContent = "Filtered: " + told.textContent + ".";
  };
  let waiting = 0;
  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 60); });
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();

  const narrow = window.matchMedia("(max-width: 600px)").matches;
  document.getElementById("filters").open = !narrow;
  const costs = form.elements.costs;
  const columns = () => document.body.classList.toggle("nocosts", !costs.checked);
  costs.checked = !narrow;
  costs.addEventListener("change", columns);
  form.addEventListener("reset", () => setTimeout(columns));
  columns();

  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    target.scrollIntoView();
    const summary = target.tagName === "DETAILS" && target.querySelector("summary");
    if (summary) summary.focus();
  };
  window.addEventListener("hashchange", open);
  open();
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = all("details:not([open]):not(#filters)");
    closed.forEach((one) => { one.open = true; });
    tables.forEach((one) => { one.before = one.limit; one.limit = Infinity; show(one); });
  });
  window.addEventListener("afterprint", () => {
    closed.forEach((one) => { one.open = false; });
    tables.forEach((one) => { one.limit = one.before; show(one); });
  });
})();
