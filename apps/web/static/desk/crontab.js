// Says below the field of a crontab what the chosen one means.
(() => {
    const select = document.getElementById("id_crontab");
    const words = document.getElementById("readable-crontabs");
    const row = select?.closest(".field-crontab, .form-row, .field-row");
    if (!select || !words || !row) return;
    const readable = JSON.parse(words.textContent);
    const told = document.createElement("p");
    told.className = "note";
    row.append(told);
    const tell = () => { told.textContent = readable[select.value] ?? ""; };
    select.addEventListener("change", tell);
    tell();
    for (const spare of document.querySelectorAll(".field-crontab_translation")) spare.hidden = true;
})();
