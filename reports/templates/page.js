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

  const FEW = 100, out = new Set();  // rows that a long table begins with; rows that the filter leaves out
  const tables = all(".board.results").map((table) => {
    const more = document.createElement("button"), one = { table, more, limit: FEW };
    more.type = "button";
    more.className = "all";
    more.addEventListener("click", () => { one.limit = Infinity; show(one); table.closest(".scroll").focus(); });
    table.closest(".scroll").after(more);
    return one;
  });
  const show = (one) => {
    let fits = 0;
    for (const row of one.table.tBodies[0].rows) {
      const hide = out.has(row) || ++fits > one.limit;
      if (row.hidden !== hide) row.hidden = hide;
    }
    one.more.hidden = fits <= one.limit;
    one.more.textContent = "Show all " + fits + " rows";
  };

  const collator = new Intl.Collator(undefined, { numeric: true });
  const value = (row, column) => row.cells[column].dataset.v;
  const sort = (head) => {
    const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
    const number = head.dataset.kind === "number", before = head.getAttribute("aria-sort");
    const down = before === "none" ? number && column > 0 : before === "ascending";
    all("th[aria-sort]", table.tHead).forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = Array.from(body.rows).map((row) => {
      const text = value(row, column);
      return [row, number ? (text ? Number(text) : null) : text];
    });
    rows.sort((a, b) => {
      if (a[1] === null || b[1] === null) return (a[1] === null) - (b[1] === null);
      const order = number ? a[1] - b[1] : collator.compare(a[1], b[1]);
      return down ? -order : order;
    });
    body.append(...rows.map((pair) => pair[0]));
    show(tables.find((one) => one.table === table));
  };
  all(".board thead th[aria-sort] button").forEach((one) => one.addEventListener("click", () => sort(one.parentElement)));

  const form = document.getElementById("filter"), told = document.getElementById("told");
  const rows = all(".board.results tbody tr").map((row) => ({
    row, part: row.closest(".part"), text: row.textContent.toLowerCase(),
    facts: Object.assign({}, row.closest(".part").dataset, row.dataset),
  }));
  const filter = () => {
    const wanted = ["corpus", "protocol", "task", "method", "modality", "state"]
      .map((name) => [name, form.elements[name].value]).filter((pair) => pair[1]);
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const parts = new Set();
    let shown = 0;
    for (const one of rows) {
      const fits = wanted.every(([name, asked]) => one.facts[name] === asked)
        && words.every((word) => one.text.includes(word) || one.facts.corpus.includes(word));
      if (fits) { shown += 1; parts.add(one.part); out.delete(one.row); } else out.add(one.row);
    }
    tables.forEach(show);
    all(".part").forEach((part) => { part.hidden = !parts.has(part); });
    all(".arena").forEach((arena) => { arena.hidden = !arena.querySelector(".part:not([hidden])"); });
    told.textContent = shown + " of " + rows.length + " rows";
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
    tables.forEach((one) => { one.limit = Infinity; show(one); });
  });
  window.addEventListener("afterprint", () => {
    closed.forEach((one) => { one.open = false; });
    tables.forEach((one) => { one.limit = FEW; show(one); });
  });
})();
