/* What a page can do beyond being read: pictures grow, wide things scroll by keyboard and say so, a report brings the
   browser with it. No library, no request; without scripts everything is still there, only smaller. */
"use strict";
(() => {
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  // --- pictures: a button on each, and the picture itself, open it large

  let dialog;
  function enlarge(image, name, caption) {
    if (!dialog) {
      const close = make("button", { type: "button", class: "enlarged-close" }, "Close");
      close.addEventListener("click", () => dialog.close());
      dialog = make("dialog", { class: "enlarged" }, close, make("div", { tabindex: "0" }), make("p"));
      dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
      dialog.addEventListener("keydown", (event) => { if (event.key === "Escape") dialog.close(); });
      document.body.append(dialog);
    }
    dialog.setAttribute("aria-label", `${name}, enlarged`);
    const large = make("img", { src: image.currentSrc || image.src, alt: image.alt });
    // at its own size where it fits, and never smaller than four fifths of it: then its letters can be read
    const own = image.naturalWidth || image.width, room = window.innerWidth - 32;
    large.style.width = `${own <= room ? own : Math.max(room, 0.8 * own)}px`;
    const [, box, text] = dialog.children;
    box.replaceChildren(large);
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "The picture; arrow keys move it");
    text.textContent = caption;
    text.hidden = !caption;
    dialog.showModal();
    box.focus();
    box.scrollTo(0, 0);
  }

  function offerToEnlarge() {
    let count = 0;
    for (const image of document.querySelectorAll("article figure img, article .cell_output > .output > img")) {
      const figure = image.closest("figure") || image.parentElement;
      if (figure.querySelector("input, iframe, canvas, video") || image.closest("a, button")) continue;
      count += 1;
      const caption = figure.querySelector("figcaption");
      const number = caption && caption.querySelector(".caption-number");
      const name = number ? number.textContent.trim().replace(/[.:]$/, "") : `picture ${count}`;
      const button = make("button", { type: "button", class: "enlarge", "aria-label": `Enlarge ${name}` }, "Enlarge");
      const said = caption ? caption.textContent.replace(/#$/, "").trim() : "";
      for (const element of [button, image]) element.addEventListener("click", () => enlarge(image, name, said));
      const holder = make("span", { class: "enlargeable" }), box = make("span", { class: "picture-scrolls" });
      // low and wide, as several plots side by side are: on a phone its letters would be half as large as they were drawn
      if (image.getAttribute("width") / image.getAttribute("height") >= 2 && image.style.width) {
        box.classList.add("low");
        box.style.setProperty("--readable", `${0.8 * parseFloat(image.style.width)}px`);
      }
      image.before(holder);
      box.append(image);
      holder.append(box, button);
    }
  }

  // --- wide formulas, tables, pictures and code scroll in their own box

  // a column is never squeezed to a word a line: what a table then lacks in room it gets by scrolling, with its first column
  // in sight if that leaves room; a number keeps its unit or error on its line, and an interval has one of its own
  function spread(table) {
    const cells = [...table.querySelectorAll("th, td")], columns = Math.max(...[...table.rows].map((row) => row.cells.length));
    for (const cell of cells) {
      const text = cell.textContent.trim();
      const number = /\d/.test(text) && text.length < 32 && !/[^\W\d_]{4}/.test(text);
      const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
      for (let node = texts.nextNode(); node; node = texts.nextNode()) {
        if (node.parentElement.closest(".math, code")) continue;
        const held = node.data.replace(/\[[^\]]*\]/g, (interval) => interval.replaceAll(" ", "\u00a0"));
        node.data = number ? held.replace(/ (?!\[)/g, "\u00a0") : held;
      }
      if (number) continue;
      if (text.length > 60 && columns > 2 && cell.cellIndex > 0) cell.classList.add("cell-text");
      else if (text.length > 24) cell.classList.add("cell-words");
    }
    return columns;
  }

  // a formula that is too wide puts its number below, then shrinks to three quarters; only what is wider still scrolls
  function fitFormula(box) {
    if (!box.clientWidth || box.dataset.fitted === String(box.clientWidth)) return;
    box.dataset.fitted = box.clientWidth;
    box.classList.remove("number-below");
    box.style.fontSize = "";
    if (box.scrollWidth > box.clientWidth + 1) box.classList.add("number-below");
    if (box.scrollWidth > box.clientWidth + 1) {
      box.style.fontSize = `${Math.max(0.75, (0.98 * box.clientWidth) / box.scrollWidth)}em`;
    }
  }

  function keepFirst(box) {
    const table = box.querySelector("table"), first = table && table.querySelector("tbody :is(td, th)");
    if (!first) return;
    const scrolls = box.scrollWidth > box.clientWidth + 2;
    box.classList.toggle("keeps-first", scrolls && box.dataset.columns > 2 && first.offsetWidth < 0.45 * box.clientWidth);
  }

  const KINDS = [
    ["div.math", "Formula"], [".table-scrolls", "Table"], [".picture-scrolls.low", "Picture"], [".highlight pre", "Code"],
    [".output.text_plain pre", "Output"],
  ];

  function update(box) {
    if (box.classList.contains("math")) {
      box.classList.remove("has-more");  // the sign that there is more takes room itself
      if (box.querySelector("mjx-container")) fitFormula(box);
    }
    const more = box.scrollWidth - box.clientWidth;
    box.classList.toggle("has-more", more > 2 && box.scrollLeft < more - 2);
    if (box.dataset.columns) keepFirst(box);
    if (more > 2) {
      if (box.tabIndex !== 0) box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", `${box.dataset.kind}, scrolls sideways`);
    } else if (box.dataset.kind && box.hasAttribute("role")) {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
    }
  }

  function letScroll() {
    for (const table of document.querySelectorAll("article table")) {
      if (table.closest(".table-scrolls")) continue;
      const box = make("div", { class: "table-scrolls", "data-columns": spread(table) });
      table.before(box);
      box.append(table);
    }
    // a short name, such as an option's, is no place to break a line; a long one is
    for (const word of document.querySelectorAll("article code .pre")) {
      if (word.textContent.length <= 20) word.classList.add("whole");
      else word.innerHTML = word.innerHTML.replace(/([._/])(?=[\w.])/g, "$1<wbr>");
    }
    const watch = "ResizeObserver" in window ? new ResizeObserver((all) => all.forEach((one) => update(one.target))) : null;
    const theme = new MutationObserver((all) => all.forEach((one) => update(one.target)));
    for (const [selector, kind] of KINDS) {
      for (const box of document.querySelectorAll(`article ${selector}`)) {
        box.dataset.kind = kind;
        box.addEventListener("scroll", () => update(box), { passive: true });
        if (watch) watch.observe(box);
        theme.observe(box, { attributes: true, attributeFilter: ["tabindex"] });
        update(box);
      }
    }
    // the theme takes boxes out of the tab order by what it measured before fonts came, folds opened or the window changed
    const again = () => document.querySelectorAll("article [data-kind]").forEach(update);
    if (document.fonts) document.fonts.ready.then(again);
    document.addEventListener("toggle", again, true);
    window.addEventListener("resize", () => setTimeout(again, 600));
    const formulas = document.querySelectorAll("article div.math");
    if (formulas.length && window.MathJax && MathJax.startup && MathJax.startup.promise) {
      MathJax.startup.promise.then(() => formulas.forEach(update));
    }
  }

  // --- a report says which browser it comes from

  function fillReports() {
    for (const link of document.querySelectorAll('a[href*="/issues/new?"]')) {
      link.addEventListener("click", () => {
        const address = new URL(link.href), theme = document.documentElement.dataset.theme;
        const browser = `${navigator.userAgent}, ${window.innerWidth}×${window.innerHeight}, ${theme} theme`;
        const body = address.searchParams.get("body").replace(/Browser: .*/, `Browser: ${browser}`);
        address.searchParams.set("body", body.replace(/(Page: [^\s#]*)\S*/, `$1${window.location.hash}`));
        link.href = address;
      });
    }
  }

  const begin = () => { offerToEnlarge(); letScroll(); fillReports(); };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
  window.addEventListener("load", () => document.querySelectorAll("[data-kind]").forEach(update));
})();
