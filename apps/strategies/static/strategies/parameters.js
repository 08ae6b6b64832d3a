// The fields of another plug-in are fetched alone. The admin's theme takes whatever is fetched for rows of an inline table
// and would stumble over them, so it is not told.
document.addEventListener(
    "htmx:afterSettle",
    (event) => { if (event.target.matches(".parameters")) event.stopImmediatePropagation(); },
    true,
);
