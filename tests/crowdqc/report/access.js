// What hinders somebody who hears the page or works from the keyboard; [] where nothing does.
(() => {
  const found = [];
  const all = (what) => [...document.querySelectorAll(what)];
  const tell = (why, node) => found.push(`${why}: ${node.outerHTML.slice(0, 120)}`);
  const named = (node) => {
    const by = (node.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id));
    return [node.getAttribute("aria-label"), ...by.map((n) => n && n.textContent), node.textContent,
      node.title, ...[...(node.labels || [])].map((n) => n.textContent)].some((text) => text && text.trim());
  };

  if (!document.documentElement.lang) found.push("no language");
  if (all("h1").length !== 1) found.push("not one h1");
  if (all("main").length !== 1) found.push("not one main");
  let last = 0;
  for (const heading of all("h1, h2, h3, h4, h5, h6")) {
    const level = Number(heading.tagName[1]);
    if (level > last + 1) tell(`h${level} after h${last}`, heading);
    last = level;
  }
  const ids = all("[id]").map((node) => node.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push(`id twice: ${id}`);
  for (const node of all("[aria-labelledby], [aria-describedby]"))
    for (const id of (node.getAttribute("aria-labelledby") || "").split(" ").filter(Boolean))
      if (!document.getElementById(id)) tell("label that is not there", node);
  for (const node of all("a[href], button, input, select, summary, [tabindex], svg[role=img], [role=region], nav, fieldset"))
    if (!node.closest("dialog:not([open])") && !named(node)) tell("without a name", node);
  for (const node of all("svg:not([role=img]):not([aria-hidden]):not(#js-plotly-tester)"))
    if (!node.closest("[aria-hidden=true], [role=img]") && !node.closest(".js-plotly-plot")) tell("picture that says nothing", node);
  for (const table of all("table")) {
    const region = table.closest("[role=region], article");
    if (!table.caption && !region) tell("table without a name", table);
    for (const head of table.querySelectorAll("thead th")) if (!head.scope) tell("heading without scope", head);
    if (!table.querySelector("th")) tell("table without headings", table);
  }
  for (const node of all(".scroll")) if (node.tabIndex !== 0) tell("scrolls, but not from the keyboard", node);
  for (const link of all("a[href^='#']")) if (!document.getElementById(link.hash.slice(1))) tell("leads nowhere", link);
  return found;
})()
