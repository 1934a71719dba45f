"use strict";
// A copy button holds its text in data-copy; without a clipboard the text is selected instead.
function select(node) {
  const range = document.createRange();
  range.selectNodeContents(node);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}
function say(button, text) {
  button.textContent = text;
  window.setTimeout(() => { button.textContent = "copy"; }, 2000);
}
function selectAndCopy(button) {
  select(button.parentElement.querySelector("code"));
  say(button, document.execCommand("copy") ? "copied" : "selected");
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) { return; }
  if (!navigator.clipboard) { selectAndCopy(button); return; }
  navigator.clipboard.writeText(button.dataset.copy).then(
    () => say(button, "copied"), () => selectAndCopy(button));
});
