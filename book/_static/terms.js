/* What a link's title says, of a word of the glossary or a cited work, in a box that a mouse, the keyboard and a finger open:
   browsers show titles to the mouse alone. While the box is closed the title stays, so that a screen reader has it too. */
"use strict";
(() => {
  const LINKS = 'article a.term[title], article a[href*="bibliography.html#"][title]';
  let tip, open, leaving, finger = false;

  function show(link) {
    clearTimeout(leaving);
    if (open === link) return;
    hide();
    if (!link.title) return;
    open = link;
    tip.textContent = link.dataset.told = link.title;
    link.removeAttribute("title");  // or the browser would draw it once more
    link.setAttribute("aria-describedby", tip.id);
    if (finger) tip.append(Object.assign(document.createElement("small"), { textContent: "Touch it again to go there." }));
    tip.hidden = false;
    // below the line on which the word begins, above it where there is no room
    const word = link.getClientRects()[0], wide = document.documentElement.clientWidth;
    const below = word.bottom + 6, above = word.top - tip.offsetHeight - 6;
    const top = below + tip.offsetHeight > window.innerHeight && above > 0 ? above : below;
    tip.style.left = `${window.scrollX + Math.max(12, Math.min(word.left, wide - tip.offsetWidth - 12))}px`;
    tip.style.top = `${window.scrollY + top}px`;
  }

  function hide() {
    clearTimeout(leaving);
    if (!open) return;
    open.title = open.dataset.told;
    open.removeAttribute("aria-describedby");
    tip.hidden = true;
    open = undefined;
  }

  function begin() {
    const links = document.querySelectorAll(LINKS);
    if (!links.length) return;
    tip = Object.assign(document.createElement("div"), { id: "term-tip", className: "term-tip", hidden: true });
    tip.setAttribute("role", "tooltip");
    document.body.append(tip);
    const later = () => { leaving = setTimeout(hide, 200); };  // time to move into the box
    tip.addEventListener("pointerenter", () => clearTimeout(leaving));
    tip.addEventListener("pointerleave", later);
    for (const link of links) {
      link.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") show(link); });
      link.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") later(); });
      link.addEventListener("focus", () => { if (!finger) show(link); });
      link.addEventListener("blur", hide);
      link.addEventListener("click", (event) => {
        if (!finger || open === link) return;
        event.preventDefault();
        show(link);
      });
    }
    document.addEventListener("pointerdown", (event) => {
      finger = event.pointerType !== "mouse";
      if (open && !tip.contains(event.target) && !open.contains(event.target)) hide();
    }, true);
    document.addEventListener("keydown", (event) => {
      finger = false;
      if (event.key === "Escape") hide();
    }, true);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
