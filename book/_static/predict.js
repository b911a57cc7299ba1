// Predict-first questions: compare the reader's choice, say what it means, open the answer. Without this script the
// choices and the folded answer are still there.
document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll("fieldset.predict")) {
    const button = box.querySelector(".predict-ask button");
    const status = box.querySelector(".predict-ask [role=status]");
    const replies = box.querySelectorAll(".predict-reply");
    const clear = () => {
      status.textContent = "";
      box.classList.remove("is-right", "is-wrong");
      for (const reply of replies) reply.hidden = true;
    };
    button.hidden = false;
    box.addEventListener("change", clear);
    button.addEventListener("click", () => {
      clear();
      const chosen = box.querySelector("input:checked");
      if (!chosen) {
        status.textContent = "Choose one first: a wrong guess teaches more than none.";
        return;
      }
      const right = "right" in chosen.dataset;
      box.classList.add(right ? "is-right" : "is-wrong");
      status.textContent = right ? "✓ As we see it too." : "✗ We see it differently.";
      for (const reply of replies) reply.hidden = reply.dataset.of !== chosen.value;
      box.querySelector(".predict-answer").open = true;
    });
  }
});
