"use strict";
// A click on a column's head sorts by it: numbers the largest first, names from A on; again, the other way.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const isNumber = head.classList.contains("number");
    const first = isNumber ? "descending" : "ascending";
    const other = isNumber ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    for (const one of head.parentElement.children) one.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const column = head.cellIndex;
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => isNumber ? Number(key(a)) - Number(key(b)) : key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0;
    const body = head.closest("table").tBodies[0];
    const rows = [...body.rows].sort((a, b) => order === "ascending" ? compare(a, b) : compare(b, a));
    body.append(...rows);
  });
}
